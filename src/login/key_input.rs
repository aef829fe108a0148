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

/// Type word, blob and comment of one line. The blob may be of a type that sshd does not take; the caller
/// finds out why.
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
