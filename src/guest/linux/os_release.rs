//! `os-release`: which distribution this is (os-release(5); LOGIN-8).
//!
//! Values are quoted as for a shell. Expansions are not done, as the manual page asks.

use super::text::lines;
use std::collections::BTreeMap;

/// Bound on the lines that are looked at.
const LINES_MAX: usize = 1000;
/// Bound on one value, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// The fields that we use; unescaped, empty where the file has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// `ID`, as in `debian`, `amzn`, `almalinux`.
    pub id: Vec<u8>,
    /// `ID_LIKE`, separated by spaces.
    pub id_like: Vec<u8>,
    /// `NAME`, or `ID` where the file has none.
    pub name: Vec<u8>,
    /// `VERSION_ID`.
    pub version_id: Vec<u8>,
    /// `PRETTY_NAME`.
    pub pretty_name: Vec<u8>,
}

impl OsRelease {
    /// Parses the file. A key that stands twice has its last value, as in a shell.
    pub fn parse(content: &[u8]) -> Self {
        let mut values = BTreeMap::new();
        for line in lines(content).take(LINES_MAX) {
            let line = line.trim_ascii();
            let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
            let (key, value) = line.split_at(equals);
            if !key.starts_with(b"#") {
                values.insert(key.to_vec(), unquote(value.get(1..).unwrap_or_default()));
            }
        }
        let mut take = |key: &[u8]| values.remove(key).unwrap_or_default();
        let id = take(b"ID");
        let name = Some(take(b"NAME")).filter(|name| !name.is_empty());
        Self {
            name: name.unwrap_or_else(|| id.clone()),
            id,
            id_like: take(b"ID_LIKE"),
            version_id: take(b"VERSION_ID"),
            pretty_name: take(b"PRETTY_NAME"),
        }
    }

    /// True if `ID` is `id` or `ID_LIKE` names it.
    pub fn is_like(&self, id: &str) -> bool {
        let likes = self.id_like.split(u8::is_ascii_whitespace);
        self.id == id.as_bytes() || likes.into_iter().any(|like| like == id.as_bytes())
    }
}

/// Takes the shell quotes off one word: `'...'`, `"..."` with `\` before `"$`\``, bare with `\`
/// before anything.
fn unquote(word: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut quote = None;
    let mut bytes = word.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if byte == open => quote = None,
            (None, b' ' | b'\t' | b'#') => break,
            (Some(b'"'), b'\\') if bytes.peek().is_some_and(|next| b"\"$`\\".contains(next)) => {
                value.extend(bytes.next());
            }
            (None, b'\\') => value.extend(bytes.next()),
            _ => value.push(byte),
        }
        if value.len() >= VALUE_BYTES_MAX {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_like_a_shell_does() {
        for (word, expected) in [
            (b"debian".as_slice(), b"debian".as_slice()),
            (b"\"Debian GNU/Linux\"", b"Debian GNU/Linux"),
            (b"'it''s'", b"its"),
            (b"\"a\\\"b\\$c\\d\"", b"a\"b$c\\d"),
            (b"a\\ b", b"a b"),
            (b"a # comment", b"a"),
            (b"\"unterminated", b"unterminated"),
            (b"\xff\xfe", b"\xff\xfe"),
        ] {
            assert_eq!(unquote(word), expected, "{word:?}");
        }
        assert_eq!(unquote(&[b'x'; 100_000]).len(), VALUE_BYTES_MAX);
    }

    #[test]
    fn the_usual_file_is_read() {
        let os = OsRelease::parse(
            b"# comment\r\nNAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=\"debian x\"\nVERSION_ID='24.04'\r\n=\nx\n",
        );
        assert_eq!(os.name, b"Ubuntu");
        assert_eq!(os.version_id, b"24.04");
        assert!(os.is_like("debian") && os.is_like("ubuntu") && !os.is_like("fedora"));
        assert_eq!(OsRelease::parse(b"ID=arch").name, b"arch");
        assert_eq!(OsRelease::parse(b"\0\0\0"), OsRelease::default());
    }
}
