//! Names of keys and values: UTF-16, compared without case.
//!
//! Windows compares with its own table of upper-case letters. Here ASCII is mapped exactly, and other
//! characters by the simple (one to one) mapping of Unicode, never onto ASCII; the two may differ for rare
//! letters outside ASCII. Every name that regain looks for or writes is ASCII.

use std::fmt;

/// Name of a key or a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u16>);

impl Name {
    /// The name `text`.
    pub fn new(text: &str) -> Self {
        Self(text.encode_utf16().collect())
    }

    /// Decodes a stored name: extended ASCII (one byte a character), or UTF-16LE without an odd byte.
    pub(super) fn decode(stored: &[u8], is_compressed: bool) -> Self {
        if is_compressed {
            return Self(stored.iter().map(|byte| u16::from(*byte)).collect());
        }
        let pairs = stored.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
        Self(pairs.map(u16::from_le_bytes).collect())
    }

    /// The name as it is stored, and whether that is the form of one byte a character.
    pub(super) fn encode(&self) -> (Vec<u8>, bool) {
        let bytes: Option<Vec<u8>> = self.0.iter().map(|unit| u8::try_from(*unit).ok()).collect();
        match bytes {
            Some(bytes) => (bytes, true),
            None => (self.0.iter().flat_map(|unit| unit.to_le_bytes()).collect(), false),
        }
    }

    /// The UTF-16 code units.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// The name as text; unpaired surrogates become U+FFFD.
    pub fn to_text(&self) -> String {
        String::from_utf16_lossy(&self.0)
    }

    /// True if the names are the same but for case.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.upper().eq(other.upper())
    }

    /// The code units in upper case: the order of subkey lists.
    pub(super) fn upper(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|unit| upper(*unit))
    }

    /// The hash of `lh` lists: H = 37 * H + c over the upper-case code units (WIN-99).
    pub(super) fn hash(&self) -> u32 {
        self.upper().fold(0, |hash: u32, unit| hash.wrapping_mul(37).wrapping_add(u32::from(unit)))
    }

    /// True if all characters are ASCII, so that our upper case is exactly that of Windows.
    pub(super) fn is_ascii(&self) -> bool {
        self.0.iter().all(|unit| *unit < 0x80)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

/// Safe to print: escaped as everything that comes from a volume.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::bytes::text::escape(self.to_text().as_bytes()))
    }
}

/// A code unit in upper case; surrogates stay.
fn upper(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else { return unit };
    if letter.is_ascii() {
        return u16::try_from(u32::from(letter.to_ascii_uppercase())).unwrap_or(unit);
    }
    let mut mapped = letter.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) if !one.is_ascii() => u16::try_from(u32::from(one)).unwrap_or(unit),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case() {
        for (one, other, is_same) in [
            ("CurrentVersion", "currentversion", true),
            ("Gr\u{fc}n", "GR\u{dc}N", true),
            ("a", "b", false),
            ("a", "ab", false),
            ("\u{131}", "I", false),
            ("\u{df}", "SS", false),
            ("\u{17f}", "S", false),
        ] {
            assert_eq!(Name::new(one).matches(&Name::new(other)), is_same, "{one} {other}");
        }
    }

    /// WIN-99; the sums are worked out by hand.
    #[test]
    fn hashes_are_those_of_the_specification() {
        assert_eq!(Name::new("").hash(), 0);
        assert_eq!(Name::new("a").hash(), 0x41);
        assert_eq!(Name::new("aB").hash(), 0x41 * 37 + 0x42);
        assert_eq!(Name::new("ABC").hash(), (0x41 * 37 + 0x42) * 37 + 0x43);
    }

    #[test]
    fn stored_forms_turn_back() {
        for (text, is_compressed) in [("Id", true), ("\u{e4}", true), ("\u{101}b", false)] {
            let (bytes, compressed) = Name::new(text).encode();
            assert_eq!(compressed, is_compressed, "{text}");
            assert_eq!(Name::decode(&bytes, compressed), Name::new(text));
        }
        assert_eq!(Name::decode(&[0x41, 0, 0x42], false), Name::new("A"));
    }
}
