//! Keys as callers give them: OpenSSH lines, RFC 4716, PEM, and private keys given by mistake.

use super::finding::Finding;
use super::public_key::{KeyDefect, PublicKey, RSA_BITS_RECOMMENDED, decode_base64, known_type};
use super::{authorized_keys::key_lines, foreign_key};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape_limited;
use crate::error::{Error, Refusal, Result};

/// Bound on one input, in bytes.
pub const INPUT_BYTES_MAX: u64 = 256 * 1024;
/// Bound on the keys of one input.
const KEYS_MAX: usize = 256;

/// The keys of one input, and what is to be said about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyInput {
    /// The keys, each once, in order.
    pub keys: Vec<PublicKey>,
    /// Warnings.
    pub findings: Vec<Finding>,
}

/// Reads all keys of an input; `source` names it in messages, as in a file name.
///
/// Options in front of a key are not taken over (LOGIN-119).
///
/// # Errors
/// `Limit` above [`INPUT_BYTES_MAX`]; `Refused` if any key in it cannot be used, or there is none.
pub fn parse(source: &str, content: &[u8]) -> Result<KeyInput> {
    let source = &escape_limited(source.as_bytes(), 256);
    if len_u64(content.len()) > INPUT_BYTES_MAX {
        let what = format!("size of the key file {source} in bytes");
        return Err(Error::limit(what, INPUT_BYTES_MAX, len_u64(content.len())));
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut input = KeyInput::default();
    if foreign_key::is_foreign(content) {
        for found in foreign_key::parse(content).map_err(|reason| refused(source, &reason))? {
            if found.is_private {
                let message = "this is a private key; only its public half is used. \
                               Give the .pub file, and keep the private key off this machine";
                input.findings.push(Finding::warn(("key-type", "LOGIN-119"), source, message));
            }
            input.add(source, found.blob, &found.comment)?;
        }
    } else {
        input.add_lines(source, content)?;
    }
    if input.keys.is_empty() {
        return Err(refused(source, "there is no public key in it"));
    }
    Ok(input)
}

/// The wire forms of all keys of an input, each once, whatever sshd thinks of them: for keys that are to go.
///
/// # Errors
/// As [`parse`], but weak and outdated keys are taken.
pub fn parse_names(source: &str, content: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<Finding>)> {
    let shown = &escape_limited(source.as_bytes(), 256);
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    if foreign_key::is_foreign(content) {
        let input = parse(source, content)?;
        return Ok((input.keys.iter().map(|key| key.blob().to_vec()).collect(), input.findings));
    }
    if len_u64(content.len()) > INPUT_BYTES_MAX {
        let what = format!("size of the key file {shown} in bytes");
        return Err(Error::limit(what, INPUT_BYTES_MAX, len_u64(content.len())));
    }
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    for (line, number) in content.split(|&byte| byte == b'\n').zip(1u64..) {
        let text = line.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let place = format!("{shown}:{number}");
        let Some((word, blob, _)) = split_line(text) else {
            return Err(refused(&place, "this is no public key"));
        };
        if word.windows(6).any(|part| part == b"-cert-") {
            return Err(refused(&place, &KeyDefect::Certificate.to_string()));
        }
        if blobs.len() >= KEYS_MAX {
            let count = len_u64(blobs.len()).saturating_add(1);
            return Err(Error::limit("number of keys in one input", len_u64(KEYS_MAX), count));
        }
        if !blobs.contains(&blob) {
            blobs.push(blob);
        }
    }
    if blobs.is_empty() {
        return Err(refused(shown, "there is no public key in it"));
    }
    Ok((blobs, Vec::new()))
}

fn refused(source: &str, reason: &str) -> Error {
    Refusal::UnsuitableKey { key: source.to_owned(), reason: reason.to_owned() }.into()
}

impl KeyInput {
    fn add_lines(&mut self, source: &str, content: &[u8]) -> Result<()> {
        for (line, number) in content.split(|&byte| byte == b'\n').zip(1u64..) {
            let text = line.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let place = format!("{source}:{number}");
            let Some((word, blob, comment)) = split_line(text) else {
                return Err(refused(&place, "this is no public key"));
            };
            // The options of a line are for somebody else's file.
            let mut words = text.split(|byte| matches!(byte, b' ' | b'\t'));
            if words.next() != Some(word.as_slice()) {
                let message = "options in front of the key are not taken over; use --options";
                self.findings.push(Finding::warn(("key-type", "LOGIN-119"), &place, message));
            }
            self.add(&place, blob, &comment)?;
        }
        Ok(())
    }

    fn add(&mut self, place: &str, blob: Vec<u8>, comment: &str) -> Result<()> {
        let key = match PublicKey::new(blob.clone(), comment) {
            Err(KeyDefect::BadComment) => {
                let message = "the comment cannot be written and is left out";
                self.findings.push(Finding::warn(("key-type", "LOGIN-119"), place, message));
                PublicKey::new(blob, "")
            }
            other => other,
        };
        let key = key.map_err(|defect| refused(place, &defect.to_string()))?;
        if let ("ssh-rsa", Some(bits)) = (key.key_type(), key.bits())
            && bits < RSA_BITS_RECOMMENDED
        {
            let message = format!(
                "RSA with {bits} bits is refused by current crypto policies, which ask for \
                 {RSA_BITS_RECOMMENDED}"
            );
            self.findings.push(Finding::warn(("key-type", "LOGIN-81"), place, message));
        }
        if self.keys.iter().any(|known| known.blob() == key.blob()) {
            return Ok(());
        }
        if self.keys.len() >= KEYS_MAX {
            let count = len_u64(self.keys.len()).saturating_add(1);
            return Err(Error::limit("number of keys in one input", len_u64(KEYS_MAX), count));
        }
        self.keys.push(key);
        Ok(())
    }
}

/// Type word, blob and comment of one line. The blob may be of a type that sshd does not take; the caller finds out
/// why.
fn split_line(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>, String)> {
    if let Some(line) = key_lines(text).next() {
        let comment = String::from_utf8(line.comment.to_vec());
        // A comment that is no UTF-8 is replaced by one that is refused as a comment.
        let comment = comment.unwrap_or_else(|_| "\u{0}".to_owned());
        return Some((line.shape.key_type.into(), line.blob, comment));
    }
    let mut words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|w| !w.is_empty());
    let word = words.next()?;
    let blob = decode_base64(words.next()?)?;
    let inside = blob.get(4..)?.get(..word.len())?;
    (inside == word && known_type(word).is_none_or(|known| known.contains("-cert-")))
        .then(|| (word.to_vec(), blob.clone(), String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Encoding as _};
    use proptest::prelude::*;

    const KEY: &str = crate::login::authorized_keys::tests::ED25519;

    fn base64(fields: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for field in fields {
            blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        Base64::encode_string(&blob)
    }

    fn reason(content: &str) -> String {
        parse("k", content.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn several_lines_give_each_key_once_and_no_options() {
        let text = format!("# c\r\n{KEY} me\r\n\nno-pty {KEY}\n");
        let input = parse("k", text.as_bytes()).unwrap();
        assert_eq!((input.keys.len(), input.keys[0].comment()), (1, "me"));
        assert_eq!(input.findings.len(), 1);
        assert_eq!(input.keys[0].to_line(Some("no-pty")), format!("no-pty {KEY} me\n").as_bytes());
    }

    #[test]
    fn hardware_keys_and_the_newest_type_are_taken() {
        let mut point = vec![4];
        point.extend([7; 64]);
        for (name, fields) in [
            ("sk-ssh-ed25519@openssh.com", vec![[7u8; 32].as_slice(), b"ssh:"]),
            ("sk-ecdsa-sha2-nistp256@openssh.com", vec![b"nistp256", &point, b"ssh:"]),
            ("ssh-mldsa44-ed25519@openssh.com", vec![[7; 1344].as_slice()]),
        ] {
            let fields = [vec![name.as_bytes()], fields].concat();
            let input = parse("k", format!("{name} {}", base64(&fields)).as_bytes()).unwrap();
            assert_eq!(input.keys[0].key_type(), name);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_reason_login_81() {
        for (content, wanted) in [
            (String::new(), "no public key"),
            ("hello".to_owned(), "no public key"),
            (format!("{KEY}\nhello"), "k:2: this is no public key"),
            (KEY.replace("GKJl", "GKJ"), "no public key"),
            (format!("x-y {}", base64(&[b"x-y"])), "type x-y is unknown"),
            (format!("ssh-dss {}", base64(&[b"ssh-dss", b"p"])), "DSA"),
            (format!("ssh-rsa {}", base64(&[b"ssh-rsa", b"\x01", &[1; 64]])), "505 bits"),
            (format!("ssh-ed25519 {}", base64(&[b"ssh-ed25519", &[1; 32], b"more"])), "damaged"),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----"
                    .into(),
                "passphrase",
            ),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n".into(), "damaged"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".into(), "X.509"),
        ] {
            assert!(reason(&content).contains(wanted), "{content}: {}", reason(&content));
        }
        let large = vec![b'a'; 300 * 1024];
        assert_eq!(parse("k", &large).unwrap_err().exit_status(), 5);
    }

    #[test]
    fn keys_that_are_to_go_may_be_weak_or_outdated() {
        let dsa = format!("ssh-dss {}", base64(&[b"ssh-dss", b"p", b"q", b"g", b"y"]));
        let rsa = format!("ssh-rsa {} old", base64(&[b"ssh-rsa", b"\x01", &[1; 64]]));
        let text = format!("# c\n{dsa}\r\nno-pty {rsa}\n{KEY}\n{KEY} again\n");
        let (blobs, findings) = parse_names("k", text.as_bytes()).unwrap();
        assert_eq!((blobs.len(), findings.len()), (3, 0));
        for text in ["", "hello", &format!("{KEY}\nhello")] {
            assert_eq!(parse_names("k", text.as_bytes()).unwrap_err().exit_status(), 4, "{text}");
        }
    }

    #[test]
    fn a_ppk_file_gives_its_public_half_and_nothing_else() {
        let base64 = KEY.split(' ').nth(1).unwrap();
        let ppk = format!(
            "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: aes256-cbc\r\nComment: me@putty\r\n\
             Public-Lines: 2\r\n{}\r\n{}\r\nPrivate-Lines: 1\r\nsecret\r\nPrivate-MAC: 00\r\n",
            &base64[..64],
            &base64[64..]
        );
        let input = parse("k", ppk.as_bytes()).unwrap();
        assert_eq!(input.keys[0].to_line(None), format!("{KEY} me@putty\n").as_bytes());
        assert_eq!(input.findings[0].rule, "LOGIN-119");
        assert!(!format!("{input:?}").contains("secret"));
        assert!(
            reason("PuTTY-User-Key-File-3: x\nPublic-Lines: 99999999999\n").contains("damaged")
        );
    }

    proptest! {
        #[test]
        fn any_input_is_survived(
            start in proptest::sample::select(vec![
                "", "PuTTY-User-Key-File-2: ssh-rsa\nPublic-Lines: 3\n", "ssh-rsa AAAAB3NzaC1yc2E",
                "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACID", "---- BEGIN SSH2 PUBLIC KEY ----\nComment: a\\\n",
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw",
            ]),
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            _ = parse("k", &[start.as_bytes(), &rest].concat());
            let text = format!("{start}{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&rest));
            _ = parse("k", text.as_bytes());
        }
    }
}
