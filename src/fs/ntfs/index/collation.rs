//! The orders of keys.
//!
//! Sources: linux-ntfs documentation, "Collation"; libyal libfsntfs, section "Collation type"; WIN-107.

use super::defect::IndexDefect;
use crate::bytes::field;
use crate::fs::ntfs::file_name::FILE_NAME_HEADER_BYTES;
use crate::fs::ntfs::upcase::UpCase;
use std::cmp::Ordering;

/// How the keys of an index are ordered.
///
/// | rule | name          | used by                                   | compares                             |
/// |-----:|---------------|-------------------------------------------|--------------------------------------|
/// |    1 | FILENAME      | `$I30`                                    | names in upper case, then as they are |
/// | 0x10 | ULONG         | `$Secure:$SII`                            | a 32-bit number                      |
/// | 0x12 | SECURITY_HASH | `$Secure:$SDH`                            | hash, then id: two 32-bit numbers    |
/// | 0x13 | ULONGS        | `$ObjId:$O`, `$Reparse:$R`                | 32-bit numbers, first to last        |
#[derive(Debug, Clone, Copy)]
pub(crate) enum Collation<'a> {
    /// Names by the `$UpCase` of the volume.
    FileName(&'a UpCase),
    /// One number.
    U32,
    /// Hash and id.
    SecurityHash,
    /// Numbers.
    U32s,
}

impl Collation<'_> {
    /// The rule of file names.
    pub(super) const FILE_NAME_RULE: u32 = 0x1;

    /// The type of the attribute that is indexed: `$FILE_NAME`, or none.
    pub(super) fn attribute_type(&self) -> u32 {
        match self {
            Self::FileName(_) => 0x30,
            Self::U32 | Self::SecurityHash | Self::U32s => 0,
        }
    }

    /// The number of the rule in an index root.
    pub(crate) fn rule(&self) -> u32 {
        match self {
            Self::FileName(_) => Self::FILE_NAME_RULE,
            Self::U32 => 0x10,
            Self::SecurityHash => 0x12,
            Self::U32s => 0x13,
        }
    }

    /// Where `a` stands relative to `b`.
    ///
    /// # Errors
    /// The defect, if one of them is no key of this rule.
    pub(crate) fn compare(&self, a: &[u8], b: &[u8]) -> Result<Ordering, IndexDefect> {
        match self {
            Self::FileName(upcase) => {
                let (a, b) = (name_bytes(a)?, name_bytes(b)?);
                Ok(compare_names(upcase, units(a), units(b)).then_with(|| units(a).cmp(units(b))))
            }
            Self::U32 => Ok(field::le_u32(a, 0)?.cmp(&field::le_u32(b, 0)?)),
            Self::SecurityHash => Ok(pair(a)?.cmp(&pair(b)?)),
            Self::U32s => Ok(numbers(a).cmp(numbers(b))),
        }
    }
}

/// Compares two names without regard to case, by the capitals of their units.
pub(super) fn compare_names(
    upcase: &UpCase,
    a: impl Iterator<Item = u16>,
    b: impl Iterator<Item = u16>,
) -> Ordering {
    a.map(|unit| upcase.upper(unit)).cmp(b.map(|unit| upcase.upper(unit)))
}

/// The bytes of the name in a `$FILE_NAME`, which is not parsed for every comparison.
pub(super) fn name_bytes(key: &[u8]) -> Result<&[u8], field::Short> {
    let length = usize::from(field::u8_at(key, 0x40)?);
    field::slice(key, FILE_NAME_HEADER_BYTES, length.saturating_mul(2))
}

/// The UTF-16 units in `bytes`.
pub(super) fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair))
}

fn pair(key: &[u8]) -> Result<(u32, u32), IndexDefect> {
    Ok((field::le_u32(key, 0)?, field::le_u32(key, 4)?))
}

fn numbers(key: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = key.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}
