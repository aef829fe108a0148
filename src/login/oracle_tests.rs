//! The same questions put to OpenSSH and OpenSSL: they must agree with what stands in this module.
//!
//! Needs openssh-client, openssh-server and openssl; a missing one fails the tests.

use super::key_input::{KeyInput, parse};
use super::public_key::{decode_base64, fingerprint};
use super::sshd_config::SshdConfig;
use crate::error::Result;
use crate::fs::memory::MemoryTree;
use std::path::Path;
use std::process::{Command, Output};

fn command(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
}

/// Standard output of a program that must succeed.
fn stdout(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = command(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    output.stdout
}

fn text(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn blob_of(line: &[u8]) -> Vec<u8> {
    decode_base64(line.split(|&byte| byte == b' ').nth(1).unwrap()).unwrap()
}

fn only(input: Result<KeyInput>, name: &str) -> (Vec<u8>, Vec<&'static str>) {
    let input = input.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(input.keys.len(), 1, "{name}");
    let rules = input.findings.iter().map(|finding| finding.rule).collect();
    (input.keys[0].blob().to_vec(), rules)
}

#[test]
fn every_form_of_every_type_has_the_same_blob_as_for_ssh_keygen() {
    let directory = tempfile::tempdir().unwrap();
    for (name, key_type, bits) in [
        ("rsa", "rsa", "2048"),
        ("e256", "ecdsa", "256"),
        ("e384", "ecdsa", "384"),
        ("e521", "ecdsa", "521"),
        ("ed", "ed25519", "256"),
    ] {
        let path = text(&directory, name);
        let public = format!("{path}.pub");
        let comment = "me at home";
        let make = ["-q", "-t", key_type, "-b", bits, "-N", "secret", "-C", comment, "-f", &path];
        stdout("ssh-keygen", &make);
        let blob = blob_of(&read(&public));
        let input = parse("k", &read(&public)).unwrap();
        assert_eq!((input.keys[0].blob(), input.keys[0].comment()), (blob.as_slice(), comment));
        let shown = String::from_utf8(stdout("ssh-keygen", &["-lf", &public])).unwrap();
        let ours = format!("{} {} {comment} ", input.keys[0].bits().unwrap(), fingerprint(&blob));
        assert!(shown.starts_with(&ours), "{shown} {ours}");
        for format in ["RFC4716", "PKCS8", "PEM"] {
            let output = command("ssh-keygen", &["-e", "-m", format, "-f", &public]);
            // Some types have no such form.
            if output.status.success() {
                let label = format!("{name} {format}");
                assert_eq!(only(parse("k", &output.stdout), &label), (blob.clone(), vec![]));
            }
        }
        // The public half of an encrypted OpenSSH key is in clear; that of an encrypted PEM key is
        // not.
        assert_eq!(only(parse("k", &read(&path)), name), (blob.clone(), vec!["LOGIN-119"]));
        for format in ["RFC4716", "PKCS8", "PEM"] {
            stdout(
                "ssh-keygen",
                &["-q", "-p", "-m", format, "-P", "secret", "-N", "", "-f", &path],
            );
            let label = format!("{name} private {format}");
            assert_eq!(only(parse("k", &read(&path)), &label), (blob.clone(), vec!["LOGIN-119"]));
            stdout(
                "ssh-keygen",
                &["-q", "-p", "-m", format, "-P", "", "-N", "secret", "-f", &path],
            );
            let encrypted = parse("k", &read(&path));
            assert!(
                encrypted.is_err_and(|error| error.exit_status() == 4)
                    || name == "ed"
                    || format == "RFC4716"
            );
        }
    }
}

#[test]
fn keys_of_openssl_are_read_and_weak_ones_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory, "k");
    for (algorithm, rules, is_refused) in [
        (vec!["ed25519"], vec![], false),
        (vec!["rsa", "-pkeyopt", "rsa_keygen_bits:512"], vec![], true),
        (vec!["rsa", "-pkeyopt", "rsa_keygen_bits:1024"], vec!["LOGIN-81"], false),
        (vec!["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], vec![], false),
        (vec!["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], vec![], true),
        (vec!["ed448"], vec![], true),
    ] {
        let make = [&["genpkey", "-out", &path, "-algorithm"], algorithm.as_slice()].concat();
        stdout("openssl", &make);
        let public = parse("k", &stdout("openssl", &["pkey", "-in", &path, "-pubout"]));
        let private = parse("k", &read(&path));
        if is_refused {
            assert_eq!(public.unwrap_err().exit_status(), 4, "{algorithm:?}");
            assert_eq!(private.unwrap_err().exit_status(), 4, "{algorithm:?}");
            continue;
        }
        let (blob, found) = only(public, "public");
        assert_eq!(found, rules, "{algorithm:?}");
        assert_eq!(only(private, "private").0, blob, "{algorithm:?}");
    }
}

#[test]
fn certificates_and_dsa_are_refused_with_their_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory, "k");
    let public = format!("{path}.pub");
    stdout("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path]);
    stdout("ssh-keygen", &["-q", "-s", &path, "-I", "id", "-n", "admin", &public]);
    let error = parse("k", &read(&format!("{path}-cert.pub"))).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // Made by hand, because newer releases of ssh-keygen make none.
    let dsa = b"ssh-dss AAAAB3NzaC1kc3MAAAABAw==";
    assert!(parse("k", dsa).unwrap_err().to_string().contains("DSA"));
}

/// What our list of keywords leaves out, this sshd does not know either.
#[test]
fn sshd_knows_no_keyword_that_we_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(&directory, "key");
    stdout("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path]);
    let empty = text(&directory, "empty");
    write(Path::new(&empty), b"UsePAM yes\n");
    std::fs::create_dir_all("/run/sshd").unwrap();
    let shown = stdout("/usr/sbin/sshd", &["-T", "-f", &empty, "-h", &path]);
    let mut tree = MemoryTree::new();
    tree.file("/usr/sbin/sshd", 0, 0o755, &read("/usr/sbin/sshd"));
    tree.file("/etc/ssh/sshd_config", 0, 0o644, &shown);
    let findings = SshdConfig::read(&tree).unwrap().findings;
    assert_eq!(findings, []);
}

/// A scratch file of the test.
fn write(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(content).unwrap();
    file.persist(path).unwrap();
}
