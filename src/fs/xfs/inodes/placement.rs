//! Where inode chunks may lie, and how many inodes there may be.
//!
//! Format: "XFS Algorithms & Data Structures", section "Superblocks": `sb_inoalignmt`, `sb_spino_align`,
//! `sb_imax_pct`, `sb_inopblock`.

use super::chunk::{CHUNK_INODES, HOLE_INODES};
use crate::bytes::arith::{div, mul, to};
use crate::error::Result;
use crate::fs::xfs::btree::InodeChunk;
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{AgBlock, AgInode};

/// The rules of one file system for new inode chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    per_block_log: u32,
    /// Blocks that are taken at once: those of a chunk, or one block that holds several chunks.
    pub(super) blocks: u32,
    /// What their first block must be a multiple of.
    pub(super) alignment: u32,
    /// Blocks of a part of a chunk, and what its first block must be a multiple of. Only where there may be parts.
    pub(super) sparse_blocks: Option<u32>,
}

impl Placement {
    pub(super) fn of(superblock: &Superblock) -> Self {
        let features = superblock.features;
        Self::new(
            superblock.inodes_per_block_log,
            superblock.inode_alignment_blocks,
            features
                .has_incompat(incompat::SPARSE_INODES)
                .then_some(superblock.sparse_alignment_blocks),
        )
    }

    fn new(per_block_log: u8, alignment: u32, sparse_alignment: Option<u32>) -> Self {
        let per_block_log = u32::from(per_block_log);
        let blocks = CHUNK_INODES.checked_shr(per_block_log).unwrap_or(0).max(1);
        let alignment = alignment.max(1);
        let inodes = |blocks: u32| blocks.checked_shl(per_block_log).unwrap_or(0);
        // A part must not reach over the end of its record, which starts at a multiple of the alignment.
        let sparse_blocks = sparse_alignment.filter(|&part| {
            (1..blocks).contains(&part)
                && alignment == blocks
                && blocks.is_multiple_of(part)
                && inodes(part).is_multiple_of(HOLE_INODES)
        });
        Self { per_block_log, blocks, alignment, sparse_blocks }
    }

    /// The inodes of `count` blocks.
    pub(super) fn inodes(&self, count: u32) -> Result<u32> {
        Ok(to(u64::from(count) << self.per_block_log.min(31))?)
    }

    /// The inodes of a whole allocation.
    pub(super) fn inodes_at_once(&self) -> Result<u32> {
        self.inodes(self.blocks)
    }

    /// The records of a whole allocation that starts at `start`, all inodes free.
    pub(super) fn whole_chunks(&self, start: AgBlock) -> Result<Vec<InodeChunk>> {
        let (first, count) = (self.inodes(start.0)?, self.inodes(self.blocks)?);
        let end: u32 = to(u64::from(first).saturating_add(u64::from(count)))?;
        let step: usize = to(CHUNK_INODES)?;
        Ok((first..end).step_by(step).map(|inode| InodeChunk::whole(AgInode(inode))).collect())
    }

    /// The record of a part that starts at `start`, all its inodes free; nothing if `start` is not aligned, or
    /// the whole record would not fit a group of `ag_length` blocks.
    pub(super) fn sparse_chunk(
        &self,
        start: AgBlock,
        ag_length: u32,
    ) -> Result<Option<InodeChunk>> {
        let Some(part) = self.sparse_blocks.filter(|&part| start.0.is_multiple_of(part)) else {
            return Ok(None);
        };
        let before = start.0.checked_rem(self.alignment).unwrap_or(0);
        let first = start.0.saturating_sub(before);
        let end = u64::from(first).saturating_add(u64::from(self.blocks));
        if end > u64::from(ag_length) {
            return Ok(None);
        }
        let chunk = AgInode(self.inodes(first)?);
        Ok(Some(InodeChunk::sparse(chunk, self.inodes(before)?, self.inodes(part)?)))
    }

    /// The first inode of a block.
    pub(super) fn first_inode(&self, block: AgBlock) -> Result<AgInode> {
        Ok(AgInode(self.inodes(block.0)?))
    }

    /// The largest number of inodes the file system may have; nothing if it is not bounded.
    pub(super) fn inodes_max(&self, superblock: &Superblock) -> Result<Option<u64>> {
        let percent = u64::from(superblock.inode_percent_max);
        if percent == 0 {
            return Ok(None);
        }
        let share = div(mul(superblock.blocks, percent)?, 100)?;
        let whole = mul(div(share, u64::from(self.blocks))?, u64::from(self.blocks))?;
        Ok(Some(mul(whole, 1u64 << self.per_block_log.min(31))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mkfs_geometries_give_these_rules() {
        // inopblog, inoalignmt, spino_align as `xfs_db` shows them: block size / inode size.
        for (log, alignment, sparse, blocks, parts, what) in [
            (3, 8, Some(4), 8, Some(4), "4096/512"),
            (3, 4, None, 8, None, "4096/512 without sparse"),
            (1, 32, Some(16), 32, Some(16), "1024/512 and 4096/2048"),
            (5, 2, Some(1), 2, Some(1), "16384/512"),
            (7, 0, Some(0), 1, None, "65536/512"),
            (3, 8, Some(3), 8, None, "an alignment that does not divide"),
            (3, 16, Some(4), 8, None, "records wider than a chunk"),
        ] {
            let rules = Placement::new(log, alignment, sparse);
            assert_eq!((rules.blocks, rules.sparse_blocks), (blocks, parts), "{what}");
            assert!(rules.alignment >= 1);
        }
    }

    #[test]
    fn a_block_of_64_kib_holds_several_chunks() {
        let chunks = Placement::new(7, 0, Some(0)).whole_chunks(AgBlock(8)).unwrap();
        let starts: Vec<u32> = chunks.iter().map(|chunk| chunk.start.0).collect();
        assert_eq!(starts, [1024, 1088]);
        assert_eq!(chunks[0].free_count, 64);
    }

    #[test]
    fn a_part_belongs_to_the_record_around_it() {
        let rules = Placement::new(3, 8, Some(4));
        let low = rules.sparse_chunk(AgBlock(16), 4096).unwrap().unwrap();
        let high = rules.sparse_chunk(AgBlock(20), 4096).unwrap().unwrap();
        assert_eq!((low.start.0, low.holes), (128, 0xff00));
        assert_eq!((high.start.0, high.holes), (128, 0x00ff));
        assert_eq!(low.merged(&high), Some(InodeChunk::whole(AgInode(128))));
        assert_eq!(rules.sparse_chunk(AgBlock(18), 4096).unwrap(), None);
        // The last record of a group that does not end at a multiple of the alignment.
        assert_eq!(rules.sparse_chunk(AgBlock(4088), 4095).unwrap(), None);
        assert!(rules.sparse_chunk(AgBlock(4088), 4096).unwrap().is_some());
    }
}
