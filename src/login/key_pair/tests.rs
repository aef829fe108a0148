//! Judged by ssh-keygen, OpenSSL and puttygen, which must read each file as the same key.

use super::*;
use crate::login::key_input;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const PASSPHRASE: &[u8] = "correct horse \u{e4}".as_bytes();

/// Standard output of a program that must succeed.
fn stdout(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first two words of an OpenSSH line: type and base64.
fn words(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The public half by a program of the format.
fn public_half(format: PairFormat, path: &Path, passphrase: Option<&Path>) -> String {
    let file = path.to_str().unwrap();
    match format {
        PairFormat::OpenSsh => {
            let given = passphrase.map(|_| std::str::from_utf8(PASSPHRASE).unwrap());
            words(&stdout("ssh-keygen", &["-y", "-P", given.unwrap_or(""), "-f", file]))
        }
        PairFormat::Pem => {
            let source = passphrase.map(|path| format!("file:{}", path.to_str().unwrap()));
            let mut arguments = vec!["pkey", "-in", file, "-pubout"];
            if let Some(source) = &source {
                arguments.extend(["-passin", source]);
            }
            let pem = stdout("openssl", &arguments);
            let input = key_input::parse("k", pem.as_bytes()).unwrap();
            words(&String::from_utf8(input.keys[0].to_line(None)).unwrap())
        }
        PairFormat::Ppk => {
            let mut arguments = vec![file, "-O", "public-openssh"];
            if let Some(passphrase) = passphrase {
                arguments.extend(["--old-passphrase", passphrase.to_str().unwrap()]);
            }
            words(&stdout("puttygen", &arguments))
        }
    }
}

fn store(path: &Path, bytes: &[u8]) {
    let mut file = File::create_new(path).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    file.write_all(bytes).unwrap();
}

fn check(pair: &KeyPair) {
    let directory = tempfile::tempdir().unwrap();
    let expected = words(&String::from_utf8(pair.public().to_line(None)).unwrap());
    let passphrase = directory.path().join("passphrase");
    store(&passphrase, PASSPHRASE);
    for format in [PairFormat::OpenSsh, PairFormat::Pem, PairFormat::Ppk] {
        for given in [None, Some(passphrase.as_path())] {
            let text = pair.encode(format, given.map(|_| PASSPHRASE)).unwrap();
            let path = directory.path().join(format!("{format:?}{}", given.is_some()));
            store(&path, text.as_bytes());
            assert_eq!(public_half(format, &path, given), expected, "{format:?}");
            // What regain itself says to a private key that is given as a public one.
            let read = key_input::parse("k", text.as_bytes());
            match (format, given) {
                (PairFormat::Pem, Some(_)) => assert_eq!(read.unwrap_err().exit_status(), 4),
                _ => assert_eq!(read.unwrap().keys[0].blob(), pair.public().blob()),
            }
        }
    }
}

#[test]
fn every_form_of_an_ed25519_pair_is_read_by_its_own_program() {
    check(&KeyPair::generate(PairType::Ed25519, "regain").unwrap());
}

#[test]
fn every_form_of_an_rsa_pair_is_read_by_its_own_program() {
    // Fewer bits than a real pair, which take a minute without optimisation.
    let keys = ssh_key::private::RsaKeypair::random(&mut OsRng, 2048).unwrap();
    let mut private = PrivateKey::from(keys);
    private.set_comment("regain");
    let blob = private.public_key().to_bytes().unwrap();
    let public = PublicKey::new(blob, "regain").unwrap();
    check(&KeyPair { private, public });
}

#[test]
fn the_private_half_is_in_no_debug_text() {
    let pair = KeyPair::generate(PairType::Ed25519, "regain").unwrap();
    let ssh_key::private::KeypairData::Ed25519(keys) = pair.private.key_data() else { panic!() };
    let seed: &[u8] = keys.private.as_ref();
    let text = format!("{pair:?}");
    assert!(text.contains("KeyPair") && !text.contains(&format!("{seed:?}")));
}
