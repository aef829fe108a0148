//! Cells: the pieces of which bins consist.

use super::defect::{Defect, corrupt};
use super::pages::Pages;
use super::units::CellOffset;
use crate::bytes::arith::len_u64;
use crate::bytes::field;
use crate::error::Result;

/// Size of the size field, in bytes.
pub(super) const SIZE_BYTES: u32 = 4;

/// A cell that is in use.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Cell". Little-endian.
///
/// | offset | size | spec      | here           | valid when                                         |
/// |-------:|-----:|-----------|----------------|----------------------------------------------------|
/// |      0 |    4 | Size      | size_bytes     | signed; negative: in use; multiple of 8; in the bin |
/// |      4 |  ... | Cell data | [`Cell::read`] | by what points here                                |
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) at: CellOffset,
    /// With the size field.
    pub(super) size_bytes: u32,
}

impl Cell {
    /// The cell in use at `at`, which `structure` expects there.
    ///
    /// # Errors
    /// `Corrupt` - the pointer or the size is wrong, or the cell is free.
    pub(super) fn open(pages: &Pages<'_>, at: CellOffset, structure: &'static str) -> Result<Self> {
        let bins_bytes = pages.bins_bytes();
        let outside = Defect::CellOffset { offset: at.0, bins_bytes };
        if !at.0.is_multiple_of(8) || u64::from(at.0).saturating_add(8) > u64::from(bins_bytes) {
            return Err(corrupt(structure, at, outside));
        }
        let stored = field::le_u32(&pages.read(at.0, 4)?, 0)?.cast_signed();
        if stored > 0 {
            return Err(corrupt(structure, at, Defect::CellFree(stored)));
        }
        let size_bytes = stored.unsigned_abs();
        let end = u64::from(at.0).saturating_add(size_bytes.into());
        if size_bytes < 8 || !size_bytes.is_multiple_of(8) || end > u64::from(bins_bytes) {
            return Err(corrupt(structure, at, Defect::CellSize(stored)));
        }
        Ok(Self { at, size_bytes })
    }

    /// Bytes of data that fit into the cell.
    pub(super) fn capacity_bytes(self) -> u32 {
        self.size_bytes.saturating_sub(SIZE_BYTES)
    }

    /// Place of the byte `offset` of the cell's data in the bins data.
    pub(super) fn data_at(self, offset: u32) -> u32 {
        // The cell ends inside the bins data, whose size is 32 bits.
        self.at.0.saturating_add(SIZE_BYTES).saturating_add(offset)
    }

    /// `len` bytes of the data from `offset`. `len` must be bounded by the caller.
    ///
    /// # Errors
    /// `Corrupt` - the cell is too small.
    pub(super) fn read(
        self,
        pages: &Pages<'_>,
        structure: &'static str,
        offset: u32,
        len: usize,
    ) -> Result<Vec<u8>> {
        let needed = u64::from(offset).saturating_add(len_u64(len));
        let available = u64::from(self.capacity_bytes());
        if needed > available {
            return Err(corrupt(structure, self.at, Defect::CellShort { needed, available }));
        }
        pages.read(self.data_at(offset), len)
    }

    /// Checks the two letters that records start with.
    pub(super) fn expect(
        self,
        record: &[u8],
        structure: &'static str,
        signature: &'static str,
    ) -> Result<()> {
        let found: [u8; 4] = field::array(record, 0)?;
        if !found.starts_with(signature.as_bytes()) {
            let defect = Defect::Signature { expected: signature, found };
            return Err(corrupt(structure, self.at, defect));
        }
        Ok(())
    }
}
