//! Text that came from a volume: shown safely, and never trusted to be UTF-8.

use std::fmt::Write as _;

/// `bytes` as one line of printable text.
///
/// Valid UTF-8 without control characters passes; a backslash and everything else (control characters, which
/// could drive the terminal, invisible and direction-changing characters, broken UTF-8) becomes `\xNN` or
/// `\u{N}`, so that the result can be turned back.
pub fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut shown, character);
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// [`escape`], cut to `limit` characters with "..." at the end.
pub fn escape_limited(bytes: &[u8], limit: usize) -> String {
    // Every character needs at most 4 bytes, so this never cuts more than asked for.
    let head = bytes.get(..limit.saturating_mul(4)).unwrap_or(bytes);
    let shown = escape(head);
    if shown.chars().count() <= limit && head.len() == bytes.len() {
        return shown;
    }
    let mut cut: String = shown.chars().take(limit.saturating_sub(3)).collect();
    cut.push_str("...");
    cut
}

fn push_escaped(shown: &mut String, character: char) {
    let code = u32::from(character);
    let is_control = character.is_control() || character == '\\';
    // Soft hyphen, zero-width and direction marks, line separators, byte order mark, tags.
    let is_invisible = matches!(code,
        0xad | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
        | 0xfff9..=0xfffb | 0xe0000..=0xe0fff);
    if code < 0x80 && is_control {
        let _ = write!(shown, "\\x{code:02x}");
    } else if is_control || is_invisible {
        let _ = write!(shown, "\\u{{{code:x}}}");
    } else {
        shown.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        for (bytes, expected) in [
            (b"admin".as_slice(), "admin"),
            ("Zo\u{eb}".as_bytes(), "Zo\u{eb}"),
            (b"\x1b[2Jx\n", "\\x1b[2Jx\\x0a"),
            (b"a\\b", "a\\x5cb"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("a\u{202e}b\u{85}".as_bytes(), "a\\u{202e}b\\u{85}"),
        ] {
            assert_eq!(escape(bytes), expected);
        }
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(escape_limited(b"abcdef", 6), "abcdef");
        assert_eq!(escape_limited(b"abcdefg", 6), "abc...");
        assert_eq!(escape_limited(&[b'x'; 100_000], 10).len(), 10);
    }
}
