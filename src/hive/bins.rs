//! Bins: the pieces in which the bins data grow, each filled by cells.

use super::defect::{Defect, corrupt};
use super::pages::Pages;
use super::units::{CellOffset, PAGE_BYTES};
use crate::bytes::field;
use crate::error::Result;

/// Size of the header of a bin, in bytes.
pub(super) const HEADER_BYTES: u32 = 32;

const STRUCTURE: &str = "hive bin";

/// A bin.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Hive bin". 32 bytes and the
/// cells, little-endian.
///
/// | offset | size | spec      | here       | valid when                                          |
/// |-------:|-----:|-----------|------------|-----------------------------------------------------|
/// |      0 |    4 | Signature | (checked)  | `hbin`                                              |
/// |      4 |    4 | Offset    | offset     | its own place in the bins data                      |
/// |      8 |    4 | Size      | size_bytes | multiple of 4096, inside the bins data              |
/// |     12 |    8 | Reserved  | (kept)     | any                                                 |
/// |     20 |    8 | Timestamp | (kept)     | any; only the first bin has one                     |
/// |     28 |    4 | Spare     | (kept)     | no meaning on a disk                                |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bin {
    pub(super) offset: u32,
    pub(super) size_bytes: u32,
}

impl Bin {
    /// Reads the header at `offset`.
    ///
    /// # Errors
    /// `Corrupt` - no bin is there, or it leads behind the bins data.
    pub(super) fn read(pages: &Pages<'_>, offset: u32) -> Result<Self> {
        let header = pages.read(offset, 12)?;
        let broken = |defect| corrupt(STRUCTURE, CellOffset(offset), defect);
        let found: [u8; 4] = field::array(&header, 0)?;
        if &found != b"hbin" {
            return Err(broken(Defect::Signature { expected: "hbin", found }));
        }
        let own = field::le_u32(&header, 4)?;
        if own != offset {
            return Err(broken(Defect::BinOffset { found: own }));
        }
        let size_bytes = field::le_u32(&header, 8)?;
        let bin = Self { offset, size_bytes };
        let is_size = size_bytes != 0 && size_bytes.is_multiple_of(PAGE_BYTES);
        if !is_size || bin.end_bytes() > pages.bins_bytes().into() {
            return Err(broken(Defect::BinSize(size_bytes)));
        }
        Ok(bin)
    }

    /// Where the next bin starts.
    pub(super) fn end_bytes(self) -> u64 {
        u64::from(self.offset).saturating_add(self.size_bytes.into())
    }
}

/// All bins, in order. They cover the bins data without gaps.
///
/// # Errors
/// `Corrupt` - one of them is damaged.
pub(super) fn read_all(pages: &Pages<'_>) -> Result<Vec<Bin>> {
    let mut bins = Vec::new();
    let mut at = 0;
    // Each bin has at least 4096 of at most 2^31 bytes.
    while at < pages.bins_bytes() {
        let bin = Bin::read(pages, at)?;
        at = at.saturating_add(bin.size_bytes);
        bins.push(bin);
    }
    Ok(bins)
}
