use super::*;
use crate::login::daemon::Version;
use std::path::Path;
use std::process::Command;

const KNOWN: Release = Release::Known(Version::new(9, 2));

fn run(program: &str, arguments: &[&str]) -> std::process::Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

fn keygen(arguments: &[&str]) {
    let output = run("ssh-keygen", arguments);
    assert!(output.status.success(), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
}

fn blob(path: &str) -> Vec<u8> {
    let line = std::fs::read(format!("{path}.pub")).unwrap();
    decode_base64(line.split(|&byte| byte == b' ').nth(1).unwrap()).unwrap()
}

/// A scratch file of the test.
fn write(path: &str, content: &[u8]) {
    use std::io::Write as _;
    let directory = Path::new(path).parent().unwrap();
    let mut file = tempfile::NamedTempFile::new_in(directory).unwrap();
    file.write_all(content).unwrap();
    file.persist(path).unwrap();
}

/// ssh-keygen makes the lists and judges the keys; we must say the same, and of damage too.
#[test]
fn lists_of_ssh_keygen_are_read_login_28() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let names = ["ed", "rsa", "ec", "other", "ca"].map(at);
    for (path, kind) in names.iter().zip(["ed25519", "rsa", "ecdsa", "ed25519", "ed25519"]) {
        keygen(&["-q", "-t", kind, "-N", "", "-f", path]);
    }
    let [ed, rsa, ec, other, ca] = &names;
    let (ed_pub, rsa_pub) = (format!("{ed}.pub"), format!("{rsa}.pub"));
    let text =
        |path: &str| String::from_utf8(std::fs::read(format!("{path}.pub")).unwrap()).unwrap();
    let hashes = format!("sha1: {}\nsha256: {}\n", text(ed).trim(), text(rsa).trim());
    let serials = "serial: 1\nserial: 10-20\nserial: 100\nid: someone\n";
    let (hash_spec, serial_spec) = (at("hashes"), at("serials"));
    write(&hash_spec, hashes.as_bytes());
    write(&serial_spec, serials.as_bytes());
    let ca_pub = format!("{ca}.pub");
    for (name, arguments) in [
        ("explicit", vec![ed_pub.as_str(), rsa_pub.as_str()]),
        ("hashes", vec![hash_spec.as_str()]),
        ("certificates", vec!["-s", ca_pub.as_str(), serial_spec.as_str(), ed_pub.as_str()]),
        ("empty", vec![]),
    ] {
        let list = at(&format!("{name}.krl"));
        keygen(&[&["-q", "-k", "-f", list.as_str()], arguments.as_slice()].concat());
        let content = std::fs::read(&list).unwrap();
        for key in [ed, rsa, ec, other] {
            let output = run("ssh-keygen", &["-Q", "-f", &list, &format!("{key}.pub")]);
            let expected = if output.status.success() { Listed::No } else { Listed::Yes };
            assert_eq!(lookup(&content, &blob(key), KNOWN), Ok(expected), "{name} {key}");
        }
        if name == "certificates" {
            damaged(&at("damaged"), &content, ec);
        }
    }
    let flat = format!("# comment\n\n \t{}{}", text(ed), text(rsa));
    for (content, is_good) in [(flat.clone(), true), (format!("{flat}nonsense\n"), false)] {
        for key in [ed, ec] {
            let expected = if key == ed {
                Ok(Listed::Yes)
            } else if is_good {
                Ok(Listed::No)
            } else {
                Err(Broken("a line is no key"))
            };
            assert_eq!(lookup(content.as_bytes(), &blob(key), KNOWN), expected, "{content}");
        }
    }
}

/// Every byte changed and every end cut: where ssh-keygen takes the list for good, so must we.
fn damaged(path: &str, content: &[u8], key: &str) {
    let blob = blob(key);
    let public = format!("{key}.pub");
    let mut cases: Vec<Vec<u8>> =
        (8..content.len()).step_by(9).map(|end| content[..end].to_vec()).collect();
    for at in (8..content.len()).step_by(5) {
        let mut changed = content.to_vec();
        changed[at] ^= 1;
        cases.push(changed);
    }
    for case in cases {
        write(path, &case);
        let output = run("ssh-keygen", &["-Q", "-f", path, &public]);
        let is_refused = !output.status.success();
        let ours = lookup(&case, &blob, KNOWN);
        // What a certificate section holds inside is not looked at, so we may refuse less there, never the
        // other way round for a list that sshd takes.
        if ours != Ok(Listed::No) {
            assert!(is_refused, "{ours:?} {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn flat_lists_are_read_line_by_line_login_28() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf";
    let blob = decode_base64(key.split(' ').nth(1).unwrap().as_bytes()).unwrap();
    let yes = Ok(Listed::Yes);
    for (content, is_listed, is_broken) in [
        (String::new(), false, false),
        ("# nothing\n".to_owned(), false, false),
        (format!("{key} comment\n"), true, false),
        (format!("{key}\r\n"), true, false),
        (format!("\t {key}"), true, false),
        (format!("nonsense\n{key}\n"), false, true),
        (format!("{key}\nnonsense\n"), true, false),
        (format!("ssh-rsa {}\n", &key[12..]), false, true),
        (format!("restrict {key}\n"), false, true),
        ("\r\n".to_owned(), false, true),
    ] {
        let found = lookup(content.as_bytes(), &blob, KNOWN);
        assert_eq!((found == yes, found.is_err()), (is_listed, is_broken), "{content:?}");
    }
}
