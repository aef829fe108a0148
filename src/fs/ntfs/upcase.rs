//! `$UpCase`: how the volume turns letters into capitals, and so how names compare.
//!
//! Sources: libyal libfsntfs, "New Technologies File System (NTFS)", section "The metadata files" (record 10) and
//! "Collation type" (COLLATION_FILENAME); linux-ntfs documentation, "$UpCase". 65,536 little-endian 16-bit
//! numbers, one per UTF-16 unit; surrogates map to themselves. Always the table of the volume, never one of ours: a
//! directory is sorted by the table that was current when the volume was made (WIN-11, WIN-107).

use crate::error::{Corrupt, Result};

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

    /// The capital of `unit`.
    pub(crate) fn upper(&self, unit: u16) -> u16 {
        self.upper.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// The order of two names of attributes or files, written down apart from the index: by capitals, then by the units.
    pub(crate) fn collate(&self, a: &[u16], b: &[u16]) -> std::cmp::Ordering {
        let capitals =
            |units: &[u16]| -> Vec<u16> { units.iter().map(|unit| self.upper(*unit)).collect() };
        capitals(a).cmp(&capitals(b)).then_with(|| a.cmp(b))
    }
}

fn parse(bytes: &[u8]) -> Result<UpCase, UpCaseDefect> {
    if bytes.len() != UP_CASE_BYTES {
        return Err(UpCaseDefect::Len(bytes.len()));
    }
    let (pairs, _) = bytes.as_chunks::<2>();
    let upper: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    // Asked at every start, so in a form that needs no branch for a unit.
    let is_fixed = |unit: u16| unit == 0 || unit == 0x2f || unit == 0x5c;
    let count = |count: u32, upper: &u16| count.wrapping_add(u32::from(is_fixed(*upper)));
    let stays = |fixed: u16| upper.get(usize::from(fixed)) == Some(&fixed);
    if upper.iter().fold(0, count) != 3 || ![0, 0x2f, 0x5c].into_iter().all(stays) {
        let mut changed = (0..=u16::MAX).zip(&upper).filter(|(unit, upper)| unit != *upper);
        let bad = changed.find(|(unit, upper)| is_fixed(*unit) || is_fixed(**upper));
        if let Some((unit, upper)) = bad {
            return Err(UpCaseDefect::Mapping { unit, upper: *upper });
        }
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

    /// WIN-11, WIN-107: how names compare by this is tested with the index.
    #[test]
    fn capitals_are_looked_up() {
        let table = UpCase::for_tests();
        for (unit, upper) in
            [(0x61, 0x41), (0x41, 0x41), (0xe9, 0xc9), (0x5f, 0x5f), (0xd83d, 0xd83d)]
        {
            assert_eq!(table.upper(unit), upper, "{unit:#x}");
        }
        assert_eq!(UpCase::identity().upper(0x61), 0x61);
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
