//! Lines of an authorized_keys file as sshd reads them (sshd(8); LOGIN-37 to LOGIN-48).
//!
//! Lines are told apart by LF only and keep their bytes; parsing never changes anything. Not handled: the length
//! limit of sshd before 7.8 (LOGIN-47).

use super::key_options::{Authority, KeyOptions};
use super::public_key::{Shape, decode_base64, known_type};
use crate::fs::Timestamp;
use std::ops::Range;

/// Names of signature algorithms of RSA, which sshd takes for the type of the key as well.
const SIGNATURES_OF_RSA: [&[u8]; 2] = [b"rsa-sha2-256", b"rsa-sha2-512"];

/// A line that holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLine<'a> {
    /// Line number from 1.
    pub number: u64,
    /// Where the line lies in the file, its LF included.
    pub range: Range<usize>,
    /// Option text, as written.
    pub options: Option<&'a [u8]>,
    /// Type and size.
    pub shape: Shape,
    /// Decoded key.
    pub blob: Vec<u8>,
    /// Comment, without white space around it.
    pub comment: &'a [u8],
}

impl KeyLine<'_> {
    /// The options, parsed.
    ///
    /// # Errors
    /// Why sshd ignores the line.
    pub fn parsed_options(&self) -> Result<KeyOptions, String> {
        self.options.map_or_else(|| Ok(KeyOptions::default()), KeyOptions::parse)
    }

    /// Whether sshd would let the key in by this line (LOGIN-40).
    pub fn authority(&self, now: Timestamp) -> Authority {
        match self.parsed_options() {
            Ok(options) => options.authority(now),
            Err(reason) => Authority::No(reason),
        }
    }
}

/// The lines of `content` that hold a key.
pub fn key_lines(content: &[u8]) -> impl Iterator<Item = KeyLine<'_>> {
    let mut start = 0usize;
    content.split_inclusive(|&byte| byte == b'\n').zip(1u64..).filter_map(move |(line, number)| {
        let end = start.saturating_add(line.len());
        let range = start..end;
        start = end;
        parse_line(line, number, range)
    })
}

fn parse_line(line: &[u8], number: u64, range: Range<usize>) -> Option<KeyLine<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // sshd's text ends at a NUL (LOGIN-46).
    let text = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = skip_blanks(text);
    if matches!(text.first(), None | Some(b'#')) {
        return None;
    }
    let (options, (shape, blob, comment)) = if let Some(key) = parse_key(text) {
        (None, key)
    } else {
        let (options, rest) = text.split_at(options_end(text)?);
        (Some(options), parse_key(skip_blanks(rest))?)
    };
    Some(KeyLine { number, range, options, shape, blob, comment })
}

/// `type base64 [comment]`; the type word must equal the type inside (LOGIN-38).
fn parse_key(text: &[u8]) -> Option<(Shape, Vec<u8>, &[u8])> {
    let (word, rest) = split_word(text);
    let key_type = if SIGNATURES_OF_RSA.contains(&word) { "ssh-rsa" } else { known_type(word)? };
    let (base64, rest) = split_word(skip_blanks(rest));
    let blob = decode_base64(base64)?;
    let shape = Shape::of(&blob)?;
    (shape.key_type == key_type).then(|| (shape, blob, rest.trim_ascii()))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.split_at(end)
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Where the options end: the first blank outside double quotes; `None` if a quote is not closed.
fn options_end(text: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (index, &byte) in text.iter().enumerate() {
        let next_is_quote = text.get(index.saturating_add(1)) == Some(&b'"');
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if next_is_quote => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' | b'\t' if !is_quoted => return Some(index),
            _ => {}
        }
    }
    (!is_quoted).then_some(text.len())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::login::public_key::fingerprint;
    use proptest::prelude::*;

    pub(crate) const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    pub(crate) const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBWQpq2ZtYBRC4xKzKqZ9kdPVGVdJWbHJ/6dWPnfwQeW";

    fn numbers(content: &[u8]) -> Vec<u64> {
        key_lines(content).map(|line| line.number).collect()
    }

    #[test]
    fn lines_count_as_for_sshd_login_37() {
        for (line, counts) in [
            (format!("{ED25519} me@home"), true),
            (format!(" \t{ED25519}"), true),
            (format!("{ED25519}\r"), true),
            (format!("# {ED25519}"), false),
            (format!("restrict {ED25519}"), true),
            (format!("command=\"a b \\\" c\" {ED25519}"), true),
            (format!("command=\"a b {ED25519}"), false),
            (format!("nonsense {ED25519}"), true),
            (format!("a b {ED25519}"), false),
            (format!("\u{feff}{ED25519}"), false),
            (format!("\u{feff}x {ED25519}"), true),
            (ED25519.replace("ssh-ed25519", "ssh-rsa"), false),
            (ED25519.replace("GKJl", "GKJ"), false),
            (ED25519.replace("AAAAC3", "AAAA C3"), false),
            (format!("\0{ED25519}"), false),
            (format!("{ED25519} x\0y"), true),
            (ED25519.replace(' ', " \t "), true),
            ("ssh-ed25519".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(!numbers(line.as_bytes()).is_empty(), counts, "{line:?}");
        }
    }

    #[test]
    fn options_and_comments_are_kept_as_written() {
        let text = format!("x\nno-pty,command=\"a b\" {ED25519}  me  home \r\n{OTHER}");
        let lines: Vec<_> = key_lines(text.as_bytes()).collect();
        assert_eq!(lines[0].options, Some(b"no-pty,command=\"a b\"".as_slice()));
        assert_eq!(lines[0].comment, b"me  home");
        assert_eq!((lines[0].number, lines[0].range.start), (2, 2));
        assert_eq!(lines[1].range.end, text.len());
        assert_eq!(lines[1].shape.bits, Some(256));
        assert!(fingerprint(&lines[1].blob).starts_with("SHA256:"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_ranges_cover_whole_lines(
            content in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut content = content;
            content.extend_from_slice(b"\n");
            content.extend_from_slice(ED25519.as_bytes());
            let last = key_lines(&content).last().unwrap();
            prop_assert_eq!(&content[last.range.clone()], ED25519.as_bytes());
        }
    }
}
