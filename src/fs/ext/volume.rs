//! The volume under all structures: the disk and its superblock, with access by block number.
//!
//! Nothing but the superblock is kept in memory between two calls: the overlay below is the one place where
//! an edit lives.

use super::feature::ro_compat;
use super::superblock::{SUPERBLOCK_AT_BYTES, SUPERBLOCK_BYTES, Superblock};
use super::units::{FsBlock, GroupIndex};
use crate::bytes::arith::{add, len_u64, mul};
use crate::disk::DiskEdit;
use crate::error::Result;
use std::sync::Arc;

/// A disk with an ext superblock.
#[derive(Debug)]
pub(crate) struct Volume {
    disk: Arc<dyn DiskEdit>,
    superblock: Superblock,
    /// What the edit took so far and did not give back, so that a refusal can name the need of all of it.
    pub(super) taken: Taken,
}

/// Blocks and inodes that an edit took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) blocks: u64,
    pub(super) inodes: u64,
}

impl Volume {
    /// Reads the superblock of `disk`.
    pub(crate) fn open(disk: Arc<dyn DiskEdit>) -> Result<Self> {
        let bytes = disk.read_vec(SUPERBLOCK_AT_BYTES, SUPERBLOCK_BYTES)?;
        let superblock = Superblock::parse(&bytes, disk.len_bytes())?;
        Ok(Self { disk, superblock, taken: Taken::default() })
    }

    pub(crate) fn disk(&self) -> &Arc<dyn DiskEdit> {
        &self.disk
    }

    pub(crate) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Reads a whole block.
    pub(crate) fn read_block(&self, block: FsBlock) -> Result<Vec<u8>> {
        let offset = self.superblock.block_offset(block)?;
        self.disk.read_vec(offset, self.superblock.block_len()?)
    }

    /// Writes `bytes` into `block`, `from` bytes behind its start.
    pub(crate) fn write_block(
        &self,
        block: FsBlock,
        from: u64,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        let end = add(from, len_u64(bytes.len()))?;
        if end > self.superblock.block_size() {
            return Err(crate::bytes::arith::OutOfRange.into());
        }
        let offset = add(self.superblock.block_offset(block)?, from)?;
        self.disk.write_at(offset, bytes, what)
    }

    /// Reads the superblock again after a replay changed it below us, and clears `needs_recovery`. Its free
    /// counts, which a machine that runs does not keep up to date, become those of the descriptors, and an
    /// orphan file in which nothing waits is no longer in use. The inner error says why they did not.
    pub(crate) fn finish_recovery(&mut self) -> Result<Result<()>> {
        let bytes = self.disk.read_vec(SUPERBLOCK_AT_BYTES, SUPERBLOCK_BYTES)?;
        self.superblock = Superblock::parse(&bytes, self.disk.len_bytes())?;
        self.superblock.clear_needs_recovery()?;
        let settled = self.recount().and_then(|()| self.settle_orphan_file());
        self.store_superblock()?;
        Ok(settled)
    }

    fn settle_orphan_file(&mut self) -> Result<()> {
        if self.superblock.features.has_ro_compat(ro_compat::ORPHAN_PRESENT)
            && self.orphans_in_file()?.is_empty()
        {
            self.superblock.clear_orphan_present()?;
        }
        Ok(())
    }

    /// Applies `change` to the superblock and stores it.
    pub(crate) fn update_superblock(
        &mut self,
        change: impl FnOnce(&mut Superblock) -> Result<()>,
    ) -> Result<()> {
        change(&mut self.superblock)?;
        self.store_superblock()
    }

    fn store_superblock(&self) -> Result<()> {
        self.disk.write_at(SUPERBLOCK_AT_BYTES, &self.superblock.encode()?, "superblock")
    }

    /// The free counts of all descriptors: blocks and inodes.
    pub(super) fn count_free(&self) -> Result<(u64, u32)> {
        let (mut clusters, mut inodes) = (0u64, 0u32);
        for index in 0..self.superblock.group_count {
            let group = self.read_group(GroupIndex(index))?;
            clusters = add(clusters, u64::from(group.free_clusters()?))?;
            inodes = inodes.saturating_add(group.free_inodes()?);
        }
        Ok((mul(clusters, u64::from(self.superblock.cluster_blocks))?, inodes))
    }

    /// Takes over the sums of the descriptors.
    fn recount(&mut self) -> Result<()> {
        let (blocks, inodes) = self.count_free()?;
        self.superblock.set_free_blocks(blocks)?;
        self.superblock.set_free_inodes(inodes)
    }
}
