//! The free index: where in a large directory there is room.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories", section "Node Directories". Each
//! block of the index knows the largest free region of a range of data blocks. Pure.

use super::leaf::NO_BLOCK;
use crate::bytes::field;
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::da::header::{BlockKind, HeaderDefect};

/// Bytes of the free space of one data block.
const BEST_LEN: usize = 2;

/// What is wrong with a block of the free index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FreeDefect {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderDefect),
    /// The block is about other data blocks than its place says.
    #[error("starts with data block {actual} instead of {expected}")]
    FirstBlock {
        /// `firstdb`.
        actual: u32,
        /// By its place.
        expected: u32,
    },
    /// More data blocks than fit.
    #[error("{count} data blocks, where {max} fit")]
    Count {
        /// `nvalid`.
        count: usize,
        /// What fits.
        max: usize,
    },
    /// The number of mapped data blocks is wrong.
    #[error("{actual} data blocks in use, counted as {stored}")]
    Used {
        /// `nused`.
        stored: usize,
        /// Those that are no holes.
        actual: usize,
    },
}

impl From<field::Short> for FreeDefect {
    fn from(defect: field::Short) -> Self {
        Self::Header(defect.into())
    }
}

/// A block of the free index: `xfs_dir2_free`, in version 5 `xfs_dir3_free`. Big-endian.
///
/// Offsets are behind the header of the block; in version 5 four bytes of padding follow `nused`.
///
/// | offset   | size | spec    | ours      | valid when                                        |
/// |---------:|-----:|---------|-----------|---------------------------------------------------|
/// |      0x0 |    4 | firstdb | first     | what fits, times the index of the block           |
/// |      0x4 |    4 | nvalid  | bests     | at most what fits                                 |
/// |      0x8 |    4 | nused   | (counted) | those that are not 0xffff                         |
/// | 0xc,0x10 |  2*n | bests[] | bests     | largest free region of each data block, or 0xffff |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FreeBlock {
    /// The first data block that it is about.
    pub(crate) first: u32,
    /// The largest free region of each data block in bytes; [`NO_BLOCK`] for a hole.
    pub(crate) bests: Vec<u16>,
}

fn bests_at(format: &DaFormat) -> usize {
    BlockKind::header_len(format).saturating_add(if format.has_crc { 16 } else { 12 })
}

impl FreeBlock {
    /// The number of data blocks that one block is about.
    pub(crate) fn capacity(format: &DaFormat) -> usize {
        format.block_len().saturating_sub(bests_at(format)) / BEST_LEN
    }

    /// Number of data blocks that are no holes.
    pub(crate) fn used(&self) -> usize {
        self.bests.iter().filter(|best| **best != NO_BLOCK).count()
    }

    /// Parses a block that was read at `daddr` and is about the data blocks from `first`.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(
        bytes: &[u8],
        format: &DaFormat,
        daddr: u64,
        first: u32,
    ) -> Result<Self, FreeDefect> {
        BlockKind::Free.check(bytes, format, daddr)?;
        let at = BlockKind::header_len(format);
        let actual = field::be_u32(bytes, at)?;
        if actual != first {
            return Err(FreeDefect::FirstBlock { actual, expected: first });
        }
        let number = |stored: u32| usize::try_from(stored).unwrap_or(usize::MAX);
        let count = number(field::be_u32(bytes, at.saturating_add(4))?);
        let stored = number(field::be_u32(bytes, at.saturating_add(8))?);
        let max = Self::capacity(format);
        if count > max {
            return Err(FreeDefect::Count { count, max });
        }
        let array = field::slice(bytes, bests_at(format), count.saturating_mul(BEST_LEN))?;
        let bests = array.chunks_exact(BEST_LEN).map(|best| field::be_u16(best, 0));
        let block = Self { first, bests: bests.collect::<Result<_, _>>()? };
        let actual = block.used();
        if actual == stored { Ok(block) } else { Err(FreeDefect::Used { stored, actual }) }
    }

    /// Writes the block over `bytes`, which is a block or zeros, and seals it.
    ///
    /// # Errors
    /// The defect, if it does not fit.
    pub(crate) fn encode(
        &self,
        bytes: &mut [u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), FreeDefect> {
        let (count, max) = (self.bests.len(), Self::capacity(format));
        let overflow = FreeDefect::Count { count, max };
        let stored = u32::try_from(count).ok().filter(|_| count <= max).ok_or(overflow)?;
        let used = u32::try_from(self.used()).map_err(|_| overflow)?;
        let at = BlockKind::header_len(format);
        field::put_be_u32(bytes, at, self.first)?;
        field::put_be_u32(bytes, at.saturating_add(4), stored)?;
        field::put_be_u32(bytes, at.saturating_add(8), used)?;
        if format.has_crc {
            field::put_be_u32(bytes, at.saturating_add(12), 0)?;
        }
        let mut at = bests_at(format);
        for best in &self.bests {
            field::put_be_u16(bytes, at, *best)?;
            at = at.saturating_add(BEST_LEN);
        }
        Ok(BlockKind::Free.seal(bytes, format, daddr)?)
    }

    /// Sets the free space of the data block at `index` of this block, [`NO_BLOCK`] for a hole. The
    /// list ends with the last data block that is none.
    pub(crate) fn set(&mut self, index: usize, best: u16) {
        set_best(&mut self.bests, index, best);
    }
}

/// Sets one entry of a list of free space, which ends with the last data block that is no hole.
pub(crate) fn set_best(bests: &mut Vec<u16>, index: usize, best: u16) {
    if bests.len() <= index {
        bests.resize(index.saturating_add(1), NO_BLOCK);
    }
    if let Some(entry) = bests.get_mut(index) {
        *entry = best;
    }
    while bests.last() == Some(&NO_BLOCK) {
        bests.pop();
    }
}
