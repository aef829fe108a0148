//! Text in quotes that JSON and YAML read in the same way.

use std::fmt::Write as _;
use zeroize::Zeroizing;

/// `text` as a JSON string in ASCII (RFC 8259, section 7), which is also a double-quoted YAML scalar
/// (YAML 1.2.2, section 7.3.1) if it has no character above U+FFFF.
///
/// ASCII only, so that the code page of a file without a byte order mark does not matter.
pub(super) fn json(text: &str) -> Zeroizing<String> {
    let mut quoted = Zeroizing::new(String::with_capacity(text.len().saturating_mul(6)));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        for (text, expected) in [
            ("", "\"\""),
            ("a'b#: {", "\"a'b#: {\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("\t\u{7f}\u{e4}\u{1f600}", "\"\\u0009\\u007f\\u00e4\\ud83d\\ude00\""),
        ] {
            assert_eq!(json(text).as_str(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_json_parser_reads_it_back(text in any::<String>()) {
            let back: String = serde_json::from_str(&json(&text)).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
