//! `$UpCase`: how the volume turns letters into capitals, and so how names compare.
//!
//! Sources: libyal libfsntfs, "New Technologies File System (NTFS)", section "The metadata files" (record 10) and
//! "Collation type" (COLLATION_FILENAME); linux-ntfs documentation, "$UpCase". 65,536 little-endian 16-bit
//! numbers, one per UTF-16 unit; surrogates map to themselves. Always the table of the volume, never one of ours: a
//! directory is sorted by the table that was current when the volume was made (WIN-11, WIN-107).

use crate::bytes::field::le_u16;
use crate::error::{Corrupt, Result};
use std::cmp::Ordering;

/// Entries of the table.
const UNITS: usize = 65536;
/// Length of the table in bytes.
pub(crate) const UP_CASE_BYTES: usize = 2 * UNITS;

/// What can be wrong with the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpCaseDefect {
    #[error("has {0} bytes, not {UP_CASE_BYTES}")]
    Len(usize),
    #[error("maps {unit:#06x} to {upper:#06x}, which would let names change their bounds")]
    Mapping { unit: u16, upper: u16 },
}

/// The table of capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpCase {
    upper: Vec<u16>,
}

impl UpCase {
    /// The table in which case counts, for the time until the true one is read.
    pub(crate) fn identity() -> Self {
        Self { upper: (0..=u16::MAX).collect() }
    }

    /// Parses the content of `$UpCase`.
    ///
    /// # Errors
    /// `Corrupt` if the table has the wrong length, or maps to or from NUL, `/` or `\`: no name holds these.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        parse(bytes).map_err(|defect| Corrupt::new("$UpCase", defect).into())
    }

    /// The table itself: the capital of every unit.
    pub(crate) fn units(&self) -> &[u16] {
        &self.upper
    }

    /// The capital of `unit`.
    pub(crate) fn upper(&self, unit: u16) -> u16 {
        self.upper.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// The order of two names when case does not count: by the capitals of their units.
    pub(crate) fn compare(&self, a: &[u16], b: &[u16]) -> Ordering {
        a.iter().map(|unit| self.upper(*unit)).cmp(b.iter().map(|unit| self.upper(*unit)))
    }

    /// True if two names differ in nothing but case.
    pub(crate) fn is_same(&self, a: &[u16], b: &[u16]) -> bool {
        self.compare(a, b) == Ordering::Equal
    }

    /// The order of two names in a directory: without case, and by the units themselves where that makes no
    /// difference (two POSIX names may differ in nothing but case).
    pub(crate) fn collate(&self, a: &[u16], b: &[u16]) -> Ordering {
        self.compare(a, b).then_with(|| a.cmp(b))
    }
}

fn parse(bytes: &[u8]) -> Result<UpCase, UpCaseDefect> {
    if bytes.len() != UP_CASE_BYTES {
        return Err(UpCaseDefect::Len(bytes.len()));
    }
    let mut upper = Vec::with_capacity(UNITS);
    for (unit, stored) in (0..=u16::MAX).zip(bytes.chunks_exact(2)) {
        let mapped = le_u16(stored, 0).map_err(|_| UpCaseDefect::Len(bytes.len()))?;
        let is_fixed = |unit: u16| matches!(unit, 0 | 0x2f | 0x5c);
        if unit != mapped && (is_fixed(unit) || is_fixed(mapped)) {
            return Err(UpCaseDefect::Mapping { unit, upper: mapped });
        }
        upper.push(mapped);
    }
    Ok(UpCase { upper })
}

#[cfg(test)]
impl UpCase {
    /// A table that knows what Unicode says about single capitals, much as Windows does.
    pub(crate) fn for_tests() -> Self {
        let upper = |unit: u16| {
            let capital = char::from_u32(u32::from(unit)).map(char::to_uppercase);
            match capital.map(|mut c| (c.next(), c.next())) {
                Some((Some(c), None)) => u16::try_from(u32::from(c)).unwrap_or(unit),
                _ => unit,
            }
        };
        Self { upper: (0..=u16::MAX).map(upper).collect() }
    }

    /// The content of `$UpCase`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.upper.iter().flat_map(|unit| unit.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    /// WIN-11, WIN-107.
    #[test]
    fn names_compare_by_capitals() {
        let table = UpCase::for_tests();
        for (a, b, expected, collated) in [
            ("windows", "WINDOWS", Ordering::Equal, Ordering::Greater),
            ("a", "B", Ordering::Less, Ordering::Less),
            ("_", "a", Ordering::Greater, Ordering::Greater),
            ("abc", "ABCD", Ordering::Less, Ordering::Less),
            ("\u{e9}", "\u{c9}", Ordering::Equal, Ordering::Greater),
            ("", "a", Ordering::Less, Ordering::Less),
            ("same", "same", Ordering::Equal, Ordering::Equal),
        ] {
            assert_eq!(table.compare(&units(a), &units(b)), expected, "{a} {b}");
            assert_eq!(table.collate(&units(a), &units(b)), collated, "{a} {b}");
            assert_eq!(table.is_same(&units(a), &units(b)), expected == Ordering::Equal);
        }
    }

    #[test]
    fn broken_tables_are_refused() {
        let good = UpCase::for_tests().to_bytes();
        assert_eq!(parse(&good), Ok(UpCase::for_tests()));
        assert_eq!(parse(&good[2..]), Err(UpCaseDefect::Len(UP_CASE_BYTES - 2)));
        let mut slash = good.clone();
        slash[2 * 0x61..][..2].copy_from_slice(&[0x2f, 0]);
        assert_eq!(parse(&slash), Err(UpCaseDefect::Mapping { unit: 0x61, upper: 0x2f }));
        let mut nul = good;
        nul[0] = 0x61;
        assert_eq!(parse(&nul), Err(UpCaseDefect::Mapping { unit: 0, upper: 0x61 }));
    }
}
