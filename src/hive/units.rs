//! Numbers that must not be mixed up.

use std::fmt;

/// Size of the base block, which is where the bins data start in the file, in bytes.
pub(super) const BASE_BLOCK_BYTES: u64 = 4096;

/// Unit in which bins are sized and placed, in bytes.
pub(super) const PAGE_BYTES: u32 = 4096;

/// [`PAGE_BYTES`] as a length in memory.
pub(super) const PAGE_LEN: usize = 4096;

/// Place of a cell, in bytes from the start of the bins data (byte 4096 of the file).
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Base block", note 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellOffset(pub u32);

impl CellOffset {
    /// Points nowhere.
    pub const NONE: Self = Self(u32::MAX);

    /// The offset, or `None` if it points nowhere.
    pub fn given(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }

    /// Byte of the file at which the cell starts.
    pub fn file_offset_bytes(self) -> u64 {
        // At most 2^32 + 4095.
        BASE_BLOCK_BYTES.saturating_add(u64::from(self.0))
    }
}

impl fmt::Display for CellOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cell {:#x}", self.0)
    }
}

/// A time as Windows keeps it: units of 100 ns since 1601-01-01, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);
