//! Where things lie: groups, blocks, inodes, and the descriptors of groups.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", sections "Layout" and "Block Groups".

use super::{SUPERBLOCK_AT_BYTES, Superblock};
use crate::bytes::arith::{add, div, div_ceil, mul, rem, sub, to};
use crate::error::{Corrupt, Result};
use crate::fs::ext::feature::{compat, incompat, ro_compat};
use crate::fs::ext::units::{FsBlock, GroupIndex, InodeNumber};

impl Superblock {
    /// The group that holds `inode`, and its index in the group's table.
    pub(crate) fn inode_place(&self, inode: InodeNumber) -> Result<(GroupIndex, u32)> {
        let index = sub(u64::from(inode.0), 1)?;
        let per_group = u64::from(self.inodes_per_group);
        Ok((GroupIndex(to(div(index, per_group)?)?), to(rem(index, per_group)?)?))
    }

    /// The first block of a group.
    pub(crate) fn first_block(&self, group: GroupIndex) -> Result<FsBlock> {
        let skipped = mul(u64::from(group.0), u64::from(self.blocks_per_group))?;
        Ok(FsBlock(add(u64::from(self.first_data_block), skipped)?))
    }

    /// The number of blocks in a group: fewer in the last one.
    fn blocks_in(&self, group: GroupIndex) -> Result<u64> {
        let left = sub(self.blocks_count, self.first_block(group)?.0)?;
        Ok(left.min(u64::from(self.blocks_per_group)))
    }

    /// The number of clusters in a group, which is the number of bits in use in its bitmap.
    pub(crate) fn clusters_in(&self, group: GroupIndex) -> Result<u32> {
        Ok(to(div_ceil(self.blocks_in(group)?, u64::from(self.cluster_blocks))?)?)
    }

    /// Bits of a full block bitmap.
    pub(crate) fn clusters_per_group(&self) -> Result<u32> {
        Ok(to(div(u64::from(self.blocks_per_group), u64::from(self.cluster_blocks))?)?)
    }

    /// The group that holds `block`, and the bit of its cluster.
    pub(crate) fn block_place(&self, block: FsBlock) -> Result<(GroupIndex, u32)> {
        let index = sub(block.0, u64::from(self.first_data_block))?;
        let per_group = u64::from(self.blocks_per_group);
        let bit = div(rem(index, per_group)?, u64::from(self.cluster_blocks))?;
        Ok((GroupIndex(to(div(index, per_group)?)?), to(bit)?))
    }

    /// The byte offset of `block`, which must lie inside the file system.
    pub(crate) fn block_offset(&self, block: FsBlock) -> Result<u64> {
        if block.0 >= self.blocks_count {
            let (block, count) = (block.0, self.blocks_count);
            return Err(Corrupt::new("block number", OutsideVolume { block, count }).into());
        }
        Ok(mul(block.0, self.block_size())?)
    }

    /// Descriptors in one block of the descriptor table.
    fn descriptors_per_block(&self) -> Result<u64> {
        Ok(div(self.block_size(), u64::from(self.descriptor_bytes))?)
    }

    /// True if `group` starts with a copy of the superblock.
    fn has_superblock_copy(&self, group: GroupIndex) -> bool {
        if group.0 == 0 {
            return true;
        }
        if self.features.has_compat(compat::SPARSE_SUPER2) {
            return self.backup_groups.contains(&group.0);
        }
        if !self.features.has_ro_compat(ro_compat::SPARSE_SUPER) || group.0 == 1 {
            return true;
        }
        [3, 5, 7].into_iter().any(|base| is_power_of(group.0, base))
    }

    /// Where the descriptor of `group` starts, in bytes.
    pub(crate) fn descriptor_offset(&self, group: GroupIndex) -> Result<u64> {
        let per_block = self.descriptors_per_block()?;
        let table_block = div(u64::from(group.0), per_block)?;
        let block = self.descriptor_block(table_block, per_block)?;
        let inside = mul(rem(u64::from(group.0), per_block)?, u64::from(self.descriptor_bytes))?;
        Ok(add(self.block_offset(block)?, inside)?)
    }

    fn descriptor_block(&self, table_block: u64, per_block: u64) -> Result<FsBlock> {
        let superblock_block = div(SUPERBLOCK_AT_BYTES, self.block_size())?;
        let is_meta = self.features.has_incompat(incompat::META_BG)
            && table_block >= u64::from(self.first_meta_bg);
        if !is_meta {
            return Ok(FsBlock(add(add(superblock_block, 1)?, table_block)?));
        }
        let group = GroupIndex(to(mul(table_block, per_block)?)?);
        if group.0 == 0 {
            return Ok(FsBlock(add(superblock_block, 1)?));
        }
        self.first_block(group)?.plus(u64::from(self.has_superblock_copy(group)))
    }

    /// The number of blocks that superblock copy and descriptor table take at the start of `group`.
    pub(crate) fn base_blocks(&self, group: GroupIndex) -> Result<u64> {
        let has_copy = self.has_superblock_copy(group);
        let per_block = self.descriptors_per_block()?;
        let own_table_block = div(u64::from(group.0), per_block)?;
        let has_meta = self.features.has_incompat(incompat::META_BG);
        let copy = u64::from(has_copy);
        if has_meta && own_table_block >= u64::from(self.first_meta_bg) {
            let position = rem(u64::from(group.0), per_block)?;
            let has_table = position <= 1 || add(position, 1)? == per_block;
            return Ok(add(copy, u64::from(has_table))?);
        }
        if !has_copy {
            return Ok(0);
        }
        let whole_table = div_ceil(u64::from(self.group_count), per_block)?;
        let table =
            if has_meta { whole_table.min(u64::from(self.first_meta_bg)) } else { whole_table };
        Ok(add(add(copy, table)?, u64::from(self.reserved_gdt_blocks))?)
    }
}

/// A block number leads outside the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {block} is outside the {count} blocks of the file system")]
pub(crate) struct OutsideVolume {
    block: u64,
    count: u64,
}

fn is_power_of(number: u32, base: u32) -> bool {
    let mut power = base;
    while power < number {
        power = power.saturating_mul(base);
    }
    power == number
}
