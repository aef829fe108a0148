//! Extents: where they may lie, and taking them apart and together.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents". The record is that of the tree.

use super::super::btree::{EXTENT_BLOCKS_MAX, Extent};
use super::super::superblock::Superblock;
use super::super::units::{FileBlock, FsBlock};
use crate::bytes::arith::{mul, sub};
use crate::bytes::field;
use crate::error::Result;

/// Blocks of the longest file: 54 bits.
pub(super) const FILE_BLOCKS_MAX: u64 = 1 << 54;
/// Sectors at the start of every allocation group: superblock, AGF, AGI, AGFL.
const HEADER_SECTORS: u64 = 4;

/// What can be wrong with an extent, or with the row of extents of a fork.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtentDefect {
    #[error("extent at file block {0} has no length")]
    Empty(u64),
    #[error("extent of {count} blocks at file block {file_block} ends behind any file")]
    TooFar { file_block: u64, count: u32 },
    #[error("{count} blocks at block {start} do not lie in the data part of one allocation group")]
    Outside { start: u64, count: u32 },
    #[error("extent at file block {file_block} comes behind one that ends at {end}")]
    Order { file_block: u64, end: u64 },
    #[error("extent at file block {0} is unwritten")]
    Unwritten(u64),
    #[error("{found} extents, {stored} in the inode core")]
    Count { stored: u64, found: u64 },
    #[error("{count} extents do not fit {room} bytes")]
    Room { count: u64, room: usize },
    #[error("holds no extents")]
    NoExtents,
}

impl Extent {
    /// True if the extent maps file block `at`.
    pub(crate) fn covers(&self, at: FileBlock) -> bool {
        self.file_block <= at && at.0 < self.end()
    }

    /// Where file block `at`, which the extent covers, lies.
    ///
    /// # Errors
    /// `Corrupt` if the numbers do not fit.
    pub(crate) fn block_at(&self, at: FileBlock) -> Result<FsBlock> {
        self.start.plus(sub(at.0, self.file_block.0)?)
    }

    /// The part of the extent in the file blocks from `from` up to `to`, if there is one.
    ///
    /// # Errors
    /// `Corrupt` if the numbers do not fit.
    pub(crate) fn part(&self, from: FileBlock, to: FileBlock) -> Result<Option<Self>> {
        let (first, end) = (from.max(self.file_block), to.0.min(self.end()));
        if first.0 >= end {
            return Ok(None);
        }
        Ok(Some(Self {
            file_block: first,
            start: self.block_at(first)?,
            count: field::low_u32(sub(end, first.0)?),
            is_unwritten: self.is_unwritten,
        }))
    }

    /// True if `next` continues this extent in the file and on the volume, in the same state.
    fn continues_in(&self, next: &Self) -> bool {
        self.end() == next.file_block.0
            && self.start.0.checked_add(u64::from(self.count)) == Some(next.start.0)
            && self.is_unwritten == next.is_unwritten
    }

    /// This extent and `next` as one, if they continue each other and one record can say so.
    pub(crate) fn joined(&self, next: &Self) -> Option<Self> {
        let count = self.count.checked_add(next.count)?;
        (self.continues_in(next) && count <= EXTENT_BLOCKS_MAX).then_some(Self { count, ..*self })
    }

    /// Checks the extent by itself: not empty, inside any file, inside the data part of one allocation group.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn check_place(&self, superblock: &Superblock) -> Result<(), ExtentDefect> {
        let (file_block, count) = (self.file_block.0, self.count);
        if count == 0 {
            return Err(ExtentDefect::Empty(file_block));
        }
        if self.end() > FILE_BLOCKS_MAX {
            return Err(ExtentDefect::TooFar { file_block, count });
        }
        match is_data_run(superblock, self.start, count) {
            Ok(true) => Ok(()),
            _ => Err(ExtentDefect::Outside { start: self.start.0, count }),
        }
    }
}

/// True if the blocks lie in one allocation group, behind its headers and not in the log.
fn is_data_run(superblock: &Superblock, start: FsBlock, count: u32) -> Result<bool> {
    superblock.check_run(start, count)?;
    let (_, first) = superblock.split(start)?;
    let header_bytes = mul(HEADER_SECTORS, u64::from(superblock.sector_size_bytes))?;
    if mul(u64::from(first.0), superblock.block_size())? < header_bytes {
        return Ok(false);
    }
    let end = start.plus(u64::from(count))?;
    let log = superblock.log_start;
    let log_end = log.plus(u64::from(superblock.log_blocks))?;
    // A log that starts at block 0 is on another device.
    Ok(log.0 == 0 || end <= log || log_end <= start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(file_block: u64, start: u64, count: u32, is_unwritten: bool) -> Extent {
        Extent { file_block: FileBlock(file_block), start: FsBlock(start), count, is_unwritten }
    }

    #[test]
    fn parts_keep_the_place_on_the_volume() {
        let whole = extent(10, 100, 5, true);
        assert_eq!(whole.part(FileBlock(0), FileBlock(10)).unwrap(), None);
        assert_eq!(whole.part(FileBlock(15), FileBlock(20)).unwrap(), None);
        assert_eq!(whole.part(FileBlock(0), FileBlock(99)).unwrap(), Some(whole));
        let middle = whole.part(FileBlock(11), FileBlock(13)).unwrap();
        assert_eq!(middle, Some(extent(11, 101, 2, true)));
    }

    #[test]
    fn only_what_continues_everywhere_is_joined() {
        let first = extent(10, 100, 5, false);
        assert_eq!(first.joined(&extent(15, 105, 1, false)), Some(extent(10, 100, 6, false)));
        assert_eq!(first.joined(&extent(15, 106, 1, false)), None);
        assert_eq!(first.joined(&extent(16, 105, 1, false)), None);
        assert_eq!(first.joined(&extent(15, 105, 1, true)), None);
        assert_eq!(first.joined(&extent(15, 105, EXTENT_BLOCKS_MAX - 4, false)), None);
    }
}
