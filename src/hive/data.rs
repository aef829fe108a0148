//! Data of values, by their types.
//!
//! Document: "Windows registry file format specification" (M. Suhanov), section "Key value", "Data types".

use crate::bytes::field;

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// REG_NONE.
    None,
    /// REG_SZ: text.
    Sz,
    /// REG_EXPAND_SZ: text with variables such as `%SystemRoot%`.
    ExpandSz,
    /// REG_BINARY.
    Binary,
    /// REG_DWORD, little-endian.
    Dword,
    /// REG_DWORD_BIG_ENDIAN.
    DwordBigEndian,
    /// REG_LINK: the path of another key.
    Link,
    /// REG_MULTI_SZ: texts.
    MultiSz,
    /// REG_QWORD.
    Qword,
    /// Any other number.
    Other(u32),
}

impl From<u32> for ValueKind {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Sz,
            2 => Self::ExpandSz,
            3 => Self::Binary,
            4 => Self::Dword,
            5 => Self::DwordBigEndian,
            6 => Self::Link,
            7 => Self::MultiSz,
            11 => Self::Qword,
            other => Self::Other(other),
        }
    }
}

impl From<ValueKind> for u32 {
    fn from(kind: ValueKind) -> Self {
        match kind {
            ValueKind::None => 0,
            ValueKind::Sz => 1,
            ValueKind::ExpandSz => 2,
            ValueKind::Binary => 3,
            ValueKind::Dword => 4,
            ValueKind::DwordBigEndian => 5,
            ValueKind::Link => 6,
            ValueKind::MultiSz => 7,
            ValueKind::Qword => 11,
            ValueKind::Other(number) => number,
        }
    }
}

/// The data of a value with their type. Nothing is checked: a REG_DWORD of 3 bytes is possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The type.
    pub kind: ValueKind,
    /// The bytes as they are stored.
    pub bytes: Vec<u8>,
}

impl Data {
    /// A REG_SZ of `text` with its end mark.
    pub fn text(text: &str) -> Self {
        let units = text.encode_utf16().chain([0]);
        Self { kind: ValueKind::Sz, bytes: units.flat_map(u16::to_le_bytes).collect() }
    }

    /// A REG_DWORD.
    pub fn dword(number: u32) -> Self {
        Self { kind: ValueKind::Dword, bytes: number.to_le_bytes().to_vec() }
    }

    /// A REG_BINARY.
    pub fn binary(bytes: &[u8]) -> Self {
        Self { kind: ValueKind::Binary, bytes: bytes.to_vec() }
    }

    /// The text of a REG_SZ, REG_EXPAND_SZ or REG_LINK up to its end mark, which may be missing; unpaired
    /// surrogates become U+FFFD. `None` for other types.
    pub fn as_text(&self) -> Option<String> {
        let is_text = matches!(self.kind, ValueKind::Sz | ValueKind::ExpandSz | ValueKind::Link);
        is_text.then(|| {
            let units: Vec<u16> = self.units().take_while(|unit| *unit != 0).collect();
            String::from_utf16_lossy(&units)
        })
    }

    /// The texts of a REG_MULTI_SZ up to the empty one that ends it. `None` for other types.
    pub fn as_texts(&self) -> Option<Vec<String>> {
        if self.kind != ValueKind::MultiSz {
            return None;
        }
        let units: Vec<u16> = self.units().collect();
        let texts = units.split(|unit| *unit == 0).take_while(|text| !text.is_empty());
        Some(texts.map(String::from_utf16_lossy).collect())
    }

    /// The number of a REG_DWORD of either byte order. `None` for other types and other lengths.
    pub fn as_u32(&self) -> Option<u32> {
        let bytes: [u8; 4] = self.bytes.as_slice().try_into().ok()?;
        match self.kind {
            ValueKind::Dword => Some(u32::from_le_bytes(bytes)),
            ValueKind::DwordBigEndian => Some(u32::from_be_bytes(bytes)),
            _ => None,
        }
    }

    /// The number of a REG_QWORD or REG_DWORD. `None` for other types and other lengths.
    pub fn as_u64(&self) -> Option<u64> {
        match (self.kind, self.bytes.len()) {
            (ValueKind::Qword, 8) => field::le_u64(&self.bytes, 0).ok(),
            _ => self.as_u32().map(u64::from),
        }
    }

    fn units(&self) -> impl Iterator<Item = u16> {
        self.bytes.chunks_exact(2).filter_map(|unit| unit.try_into().ok()).map(u16::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn numbers_of_types_turn_back() {
        for number in (0..20).chain([u32::MAX]) {
            assert_eq!(u32::from(ValueKind::from(number)), number);
        }
    }

    #[test]
    fn texts_end_at_their_mark() {
        for (bytes, expected) in [
            (utf16("6.3\0"), "6.3"),
            (utf16("6.3"), "6.3"),
            (utf16("a\0b\0"), "a"),
            (utf16(""), ""),
            ([utf16("x"), vec![9]].concat(), "x"),
            (vec![0x00, 0xd8], "\u{fffd}"),
        ] {
            let data = Data { kind: ValueKind::Sz, bytes };
            assert_eq!(data.as_text().as_deref(), Some(expected));
        }
        assert_eq!(Data::text("C:\\x").as_text().as_deref(), Some("C:\\x"));
        assert_eq!(Data::text("a").bytes, [0x61, 0, 0, 0]);
        assert_eq!(Data::dword(1).as_text(), None);
    }

    #[test]
    fn lists_of_texts_end_at_the_empty_one() {
        for (text, expected) in [
            ("a\0bc\0\0", vec!["a", "bc"]),
            ("a\0bc", vec!["a", "bc"]),
            ("\0", vec![]),
            ("", vec![]),
            ("a\0\0b\0", vec!["a"]),
        ] {
            let data = Data { kind: ValueKind::MultiSz, bytes: utf16(text) };
            assert_eq!(data.as_texts().unwrap(), expected, "{text:?}");
        }
        assert_eq!(Data::text("a").as_texts(), None);
    }

    #[test]
    fn numbers_have_their_lengths_and_byte_orders() {
        let data = |kind, bytes: &[u8]| Data { kind, bytes: bytes.to_vec() };
        for (value, as_u32, as_u64) in [
            (data(ValueKind::Dword, &[2, 1, 0, 0]), Some(0x102), Some(0x102)),
            (data(ValueKind::DwordBigEndian, &[0, 0, 1, 2]), Some(0x102), Some(0x102)),
            (data(ValueKind::Qword, &[1, 0, 0, 0, 0, 0, 0, 1]), None, Some(0x0100_0000_0000_0001)),
            (data(ValueKind::Dword, &[1, 0, 0]), None, None),
            (data(ValueKind::Qword, &[1, 0, 0, 0]), None, None),
            (data(ValueKind::Binary, &[1, 0, 0, 0]), None, None),
        ] {
            assert_eq!((value.as_u32(), value.as_u64()), (as_u32, as_u64), "{value:?}");
        }
    }
}
