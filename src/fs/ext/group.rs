//! Group descriptors: where a group keeps its bitmaps and inodes, and how much of it is free.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Block Group Descriptors".
//! 32 bytes, or 64 and more with `64bit`; little-endian; a CRC-16 with `uninit_bg`, a CRC-32C cut to 16 bits
//! with `metadata_csum`. Descriptors are read one by one: an edit on a large volume needs few of them.

use super::checksum::{self, DESCRIPTOR_CHECKSUM_AT};
use super::feature::ro_compat;
use super::superblock::Superblock;
use super::units::{FsBlock, GroupIndex};
use super::volume::Volume;
use crate::bytes::arith::{add, div_ceil, mul, to};
use crate::bytes::checksum::agrees;
use crate::bytes::field::{high_u16, join_u32, le_u16, le_u32, low_u16, put_le_u16};
use crate::error::{Corrupt, Result};

/// The inode bitmap and table were never used.
const INODE_UNINIT: u16 = 1;
/// The block bitmap was never written.
const BLOCK_UNINIT: u16 = 2;

/// Shortest descriptor that has the upper halves of all fields.
const DESCRIPTOR_BYTES_LARGE: usize = 64;

/// What can be wrong with a group descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupDefect {
    #[error("checksum is {stored:#x}, should be {computed:#x}")]
    Checksum { stored: u16, computed: u16 },
    #[error("{what} at block {block} is outside the file system")]
    Place { what: &'static str, block: u64 },
    #[error("counts {what} {count} of {limit}")]
    Count { what: &'static str, count: u32, limit: u32 },
    #[error("group {0} does not exist")]
    Missing(u32),
}

/// One group descriptor.
///
/// | offset | size | spec | here |
/// |-------:|-----:|------|------|
/// | 0x0, 0x20 | 4+4 | bg_block_bitmap_lo, _hi | block_bitmap |
/// | 0x4, 0x24 | 4+4 | bg_inode_bitmap_lo, _hi | inode_bitmap |
/// | 0x8, 0x28 | 4+4 | bg_inode_table_lo, _hi | inode_table |
/// | 0xc, 0x2c | 2+2 | bg_free_blocks_count_lo, _hi | free_clusters |
/// | 0xe, 0x2e | 2+2 | bg_free_inodes_count_lo, _hi | free_inodes |
/// | 0x10, 0x30 | 2+2 | bg_used_dirs_count_lo, _hi | directories |
/// | 0x12 | 2 | bg_flags | is_..._uninit |
/// | 0x18, 0x38 | 2+2 | bg_block_bitmap_csum_lo, _hi | block_bitmap_checksum |
/// | 0x1a, 0x3a | 2+2 | bg_inode_bitmap_csum_lo, _hi | inode_bitmap_checksum |
/// | 0x1c, 0x32 | 2+2 | bg_itable_unused_lo, _hi | unused_inodes |
/// | 0x1e | 2 | bg_checksum | (checked) |
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) index: GroupIndex,
    bytes: Vec<u8>,
}

impl Group {
    fn is_large(&self) -> bool {
        self.bytes.len() >= DESCRIPTOR_BYTES_LARGE
    }

    fn block(&self, low_at: usize, high_at: usize) -> Result<FsBlock> {
        let high = if self.is_large() { le_u32(&self.bytes, high_at)? } else { 0 };
        Ok(FsBlock(join_u32(high, le_u32(&self.bytes, low_at)?)))
    }

    fn halves(&self, low_at: usize, high_at: usize) -> Result<u32> {
        let high = if self.is_large() { le_u16(&self.bytes, high_at)? } else { 0 };
        Ok((u32::from(high) << 16) | u32::from(le_u16(&self.bytes, low_at)?))
    }

    fn set_halves(&mut self, low_at: usize, high_at: usize, value: u32) -> Result<()> {
        put_le_u16(&mut self.bytes, low_at, low_u16(value))?;
        if self.is_large() {
            put_le_u16(&mut self.bytes, high_at, high_u16(value))?;
        }
        Ok(())
    }

    pub(crate) fn block_bitmap(&self) -> Result<FsBlock> {
        self.block(0x0, 0x20)
    }

    pub(crate) fn inode_bitmap(&self) -> Result<FsBlock> {
        self.block(0x4, 0x24)
    }

    pub(crate) fn inode_table(&self) -> Result<FsBlock> {
        self.block(0x8, 0x28)
    }

    /// Free clusters: blocks without `bigalloc`.
    pub(crate) fn free_clusters(&self) -> Result<u32> {
        self.halves(0xc, 0x2c)
    }

    pub(crate) fn set_free_clusters(&mut self, count: u32) -> Result<()> {
        self.set_halves(0xc, 0x2c, count)
    }

    pub(crate) fn free_inodes(&self) -> Result<u32> {
        self.halves(0xe, 0x2e)
    }

    pub(crate) fn set_free_inodes(&mut self, count: u32) -> Result<()> {
        self.set_halves(0xe, 0x2e, count)
    }

    pub(crate) fn directories(&self) -> Result<u32> {
        self.halves(0x10, 0x30)
    }

    pub(crate) fn set_directories(&mut self, count: u32) -> Result<()> {
        self.set_halves(0x10, 0x30, count)
    }

    /// Inodes at the end of the table that were never used.
    pub(crate) fn unused_inodes(&self) -> Result<u32> {
        self.halves(0x1c, 0x32)
    }

    pub(crate) fn set_unused_inodes(&mut self, count: u32) -> Result<()> {
        self.set_halves(0x1c, 0x32, count)
    }

    /// Checksum of the block bitmap; only 16 bits of it in a small descriptor.
    pub(crate) fn block_bitmap_checksum(&self) -> Result<u32> {
        self.halves(0x18, 0x38)
    }

    pub(crate) fn set_block_bitmap_checksum(&mut self, sum: u32) -> Result<()> {
        self.set_halves(0x18, 0x38, sum)
    }

    /// Checksum of the inode bitmap; only 16 bits of it in a small descriptor.
    pub(crate) fn inode_bitmap_checksum(&self) -> Result<u32> {
        self.halves(0x1a, 0x3a)
    }

    pub(crate) fn set_inode_bitmap_checksum(&mut self, sum: u32) -> Result<()> {
        self.set_halves(0x1a, 0x3a, sum)
    }

    /// The part of a 32-bit checksum that the descriptor has room for.
    pub(crate) fn stored_part(&self, sum: u32) -> u32 {
        if self.is_large() { sum } else { u32::from(low_u16(sum)) }
    }

    fn flags(&self) -> Result<u16> {
        Ok(le_u16(&self.bytes, 0x12)?)
    }

    pub(crate) fn is_block_uninit(&self) -> Result<bool> {
        Ok(self.flags()? & BLOCK_UNINIT != 0)
    }

    pub(crate) fn clear_block_uninit(&mut self) -> Result<()> {
        let flags = self.flags()? & !BLOCK_UNINIT;
        Ok(put_le_u16(&mut self.bytes, 0x12, flags)?)
    }

    pub(crate) fn is_inode_uninit(&self) -> Result<bool> {
        Ok(self.flags()? & INODE_UNINIT != 0)
    }

    pub(crate) fn clear_inode_uninit(&mut self) -> Result<()> {
        let flags = self.flags()? & !INODE_UNINIT;
        Ok(put_le_u16(&mut self.bytes, 0x12, flags)?)
    }

    /// The checksum that the descriptor should carry; `None` if this file system has none.
    fn checksum(&self, superblock: &Superblock) -> Result<Option<u16>> {
        if let Some(seed) = superblock.checksum_seed {
            return Ok(Some(checksum::descriptor_crc32c(seed, self.index, &self.bytes)?));
        }
        if superblock.features.has_ro_compat(ro_compat::GDT_CSUM) {
            let sum = checksum::descriptor_crc16(&superblock.uuid.0, self.index, &self.bytes)?;
            return Ok(Some(sum));
        }
        Ok(None)
    }

    fn check(&self, superblock: &Superblock) -> Result<Option<GroupDefect>> {
        if let Some(computed) = self.checksum(superblock)? {
            let stored = le_u16(&self.bytes, DESCRIPTOR_CHECKSUM_AT)?;
            if !agrees(stored, computed) {
                return Ok(Some(GroupDefect::Checksum { stored, computed }));
            }
        }
        let table_blocks = inode_table_blocks(superblock)?;
        for (what, block, count) in [
            ("block bitmap", self.block_bitmap()?, 1),
            ("inode bitmap", self.inode_bitmap()?, 1),
            ("inode table", self.inode_table()?, table_blocks),
        ] {
            let block = block.0;
            let lowest = u64::from(superblock.first_data_block);
            if block <= lowest || add(block, count)? > superblock.blocks_count {
                return Ok(Some(GroupDefect::Place { what, block }));
            }
        }
        let (clusters, inodes) = (superblock.clusters_in(self.index)?, superblock.inodes_per_group);
        let used_inodes = inodes.saturating_sub(self.free_inodes()?);
        for (what, count, limit) in [
            ("free blocks", self.free_clusters()?, clusters),
            ("free inodes", self.free_inodes()?, inodes),
            ("directories", self.directories()?, used_inodes),
            ("unused inodes", self.unused_inodes()?, inodes),
        ] {
            if count > limit {
                return Ok(Some(GroupDefect::Count { what, count, limit }));
            }
        }
        Ok(None)
    }
}

/// Blocks of one group's inode table.
pub(crate) fn inode_table_blocks(superblock: &Superblock) -> Result<u64> {
    let size = u64::from(superblock.inode_size_bytes);
    let bytes = mul(u64::from(superblock.inodes_per_group), size)?;
    Ok(div_ceil(bytes, superblock.block_size())?)
}

impl Volume {
    /// Reads and checks one group descriptor.
    ///
    /// # Errors
    /// `Corrupt` with a [`GroupDefect`].
    pub(crate) fn read_group(&self, index: GroupIndex) -> Result<Group> {
        let superblock = self.superblock();
        if index.0 >= superblock.group_count {
            return Err(Corrupt::new("group descriptor", GroupDefect::Missing(index.0)).into());
        }
        let offset = superblock.descriptor_offset(index)?;
        let bytes = self.disk().read_vec(offset, to(superblock.descriptor_bytes)?)?;
        let group = Group { index, bytes };
        if let Some(defect) = group.check(superblock)? {
            let corrupt = Corrupt::new("group descriptor", defect);
            return Err(corrupt.at(offset).of(index.to_string()).into());
        }
        Ok(group)
    }

    /// Stores a group descriptor with its checksum.
    pub(crate) fn store_group(&self, group: &mut Group) -> Result<()> {
        if let Some(sum) = group.checksum(self.superblock())? {
            put_le_u16(&mut group.bytes, DESCRIPTOR_CHECKSUM_AT, sum)?;
        }
        let offset = self.superblock().descriptor_offset(group.index)?;
        let what = format!("group descriptor {}", group.index.0);
        self.disk().write_at(offset, &group.bytes, &what)
    }
}
