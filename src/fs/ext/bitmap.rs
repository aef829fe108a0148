//! Block and inode bitmaps: checked against checksum and counts when they are read, made when they never
//! were.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Block and Inode Bitmaps". One
//! block each; the lowest bit of the first byte is the first block or inode of the group; bits behind the last
//! one are set.

use super::group::{Group, inode_table_blocks};
use super::units::{FsBlock, GroupIndex};
use super::volume::Volume;
use crate::bytes::arith::{add, div, div_ceil, mul, sub, to};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field;
use crate::error::{Refusal, Result};

/// Descriptors looked at around a group to find metadata in it: more than any real flex group has.
const NEIGHBOURS_MAX: u32 = 1024;

/// A bitmap, and how many of its bits mean something.
#[derive(Debug, Clone)]
pub(crate) struct Bitmap {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bits: u32,
}

impl Bitmap {
    fn place(index: u32) -> (usize, u8) {
        let byte = usize::try_from(index >> 3).unwrap_or(usize::MAX);
        (byte, 1u8.wrapping_shl(index & 7))
    }

    /// True if the bit is set, or outside.
    pub(crate) fn is_set(&self, index: u32) -> bool {
        let (byte, mask) = Self::place(index);
        self.bytes.get(byte).is_none_or(|byte| byte & mask != 0)
    }

    pub(crate) fn set(&mut self, index: u32, value: bool) {
        let (byte, mask) = Self::place(index);
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte = if value { *byte | mask } else { *byte & !mask };
        }
    }

    /// The number of clear bits that mean something.
    pub(crate) fn count_free(&self) -> u32 {
        let whole = usize::try_from(self.bits >> 3).unwrap_or(usize::MAX);
        let zeros: u32 = self.bytes.iter().take(whole).map(|byte| byte.count_zeros()).sum();
        let first = self.bits & !7;
        let rest = (first..self.bits).filter(|&index| !self.is_set(index)).count();
        zeros.saturating_add(u32::try_from(rest).unwrap_or(0))
    }

    /// True if all bits behind the last one that means something are set, as they must be.
    fn has_padding(&self) -> bool {
        let whole = self.bits.saturating_add(7) & !7;
        let behind = self.bytes.get(usize::try_from(whole >> 3).unwrap_or(usize::MAX)..);
        (self.bits..whole).all(|index| self.is_set(index))
            && behind.unwrap_or_default().iter().all(|&byte| byte == 0xff)
    }

    /// The first clear bit from `from`.
    pub(crate) fn find_free(&self, from: u32) -> Option<u32> {
        (from..self.bits).find(|&index| !self.is_set(index))
    }

    /// Length of the run of clear bits from `from`, at most `limit`.
    fn free_run(&self, from: u32, limit: u32) -> u32 {
        let end = from.saturating_add(limit).min(self.bits);
        let stop = (from..end).find(|&index| self.is_set(index)).unwrap_or(end);
        stop.saturating_sub(from)
    }

    /// A run of `wanted` clear bits from `from` on, or the first clear bits there are.
    pub(crate) fn find_run(&self, from: u32, wanted: u32) -> Option<(u32, u32)> {
        let mut first = None;
        let mut at = from;
        while let Some(start) = self.find_free(at) {
            let length = self.free_run(start, wanted);
            if length >= wanted {
                return Some((start, length));
            }
            first = first.or(Some((start, length)));
            at = start.saturating_add(length.max(1));
        }
        first
    }
}

/// The refusal when a structure that an edit needs fails its check.
pub(super) fn needs_check(detail: String) -> crate::error::Error {
    Refusal::NeedsCheck { detail }.into()
}

impl Volume {
    /// The checksum of a bitmap of `bits`, as far as `group` has room for it; `None` without `metadata_csum`.
    fn bitmap_checksum(&self, group: &Group, bytes: &[u8], bits: u32) -> Result<Option<u32>> {
        let Some(seed) = self.superblock().checksum_seed else { return Ok(None) };
        let covered = field::slice(bytes, 0, to(bits >> 3)?)?;
        Ok(Some(group.stored_part(crc32c_raw(seed, covered))))
    }

    /// Reads the block bitmap of `group`, or makes the one that was never written, and checks it.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`) if checksum or count does not fit.
    pub(crate) fn read_block_bitmap(&self, group: &Group) -> Result<Bitmap> {
        let superblock = self.superblock();
        let bits = superblock.clusters_in(group.index)?;
        let bitmap = if superblock.features.has_group_checksums() && group.is_block_uninit()? {
            self.make_block_bitmap(group, bits)?
        } else {
            let bytes = self.read_block(group.block_bitmap()?)?;
            let computed = self.bitmap_checksum(group, &bytes, superblock.clusters_per_group()?)?;
            let stored = group.block_bitmap_checksum()?;
            if computed.is_some_and(|computed| !agrees(stored, computed)) {
                let detail = format!("checksum of the block bitmap of {}", group.index);
                return Err(needs_check(detail));
            }
            Bitmap { bytes, bits }
        };
        if !bitmap.has_padding() {
            let detail = format!("padding of the block bitmap of {}", group.index);
            return Err(needs_check(detail));
        }
        let (counted, stored) = (bitmap.count_free(), group.free_clusters()?);
        if counted != stored {
            let detail = format!("{}: {counted} blocks are free, not {stored}", group.index);
            return Err(needs_check(detail));
        }
        Ok(bitmap)
    }

    /// The block bitmap of a group in which nothing but metadata is in use.
    fn make_block_bitmap(&self, group: &Group, bits: u32) -> Result<Bitmap> {
        let bytes = vec![0; self.superblock().block_len()?];
        let mut bitmap = Bitmap { bytes, bits };
        for (start, count) in self.metadata_of(group.index)? {
            for block in start..add(start, count)? {
                let (place, bit) = self.superblock().block_place(FsBlock(block))?;
                if place == group.index {
                    bitmap.set(bit, true);
                }
            }
        }
        self.set_padding(&mut bitmap)?;
        Ok(bitmap)
    }

    fn set_padding(&self, bitmap: &mut Bitmap) -> Result<()> {
        let all: u32 = to(mul(self.superblock().block_size(), 8)?)?;
        for index in bitmap.bits..all {
            bitmap.set(index, true);
        }
        Ok(())
    }

    /// The ranges of metadata, as (first block, count), that can lie in `group`: its own start, and bitmaps
    /// and inode tables of the groups that share its flex group.
    pub(super) fn metadata_of(&self, group: GroupIndex) -> Result<Vec<(u64, u64)>> {
        let superblock = self.superblock();
        let per_flex =
            1u32.checked_shl(u32::from(superblock.log_groups_per_flex)).unwrap_or(NEIGHBOURS_MAX);
        let per_flex = per_flex.clamp(1, NEIGHBOURS_MAX);
        let first = group.0.saturating_sub(group.0.checked_rem(per_flex).unwrap_or(0));
        let end = first.saturating_add(per_flex).min(superblock.group_count);
        let table_blocks = inode_table_blocks(superblock)?;
        let start = superblock.first_block(group)?.0;
        let mut ranges = vec![(start, superblock.base_blocks(group)?)];
        for index in first..end {
            let neighbour = self.read_group(GroupIndex(index))?;
            ranges.push((neighbour.block_bitmap()?.0, 1));
            ranges.push((neighbour.inode_bitmap()?.0, 1));
            ranges.push((neighbour.inode_table()?.0, table_blocks));
        }
        Ok(ranges)
    }

    /// Refuses if `count` blocks from `start` in one group touch metadata.
    pub(super) fn check_not_metadata(&self, start: FsBlock, count: u64) -> Result<()> {
        let (group, _) = self.superblock().block_place(start)?;
        let end = add(start.0, count)?;
        for (first, len) in self.metadata_of(group)? {
            if first < end && start.0 < add(first, len)? {
                let detail = format!("block {start} holds metadata and content at once");
                return Err(needs_check(detail));
            }
        }
        Ok(())
    }

    /// Stores the block bitmap and its group descriptor.
    pub(crate) fn store_block_bitmap(&self, group: &mut Group, bitmap: &Bitmap) -> Result<()> {
        group.set_free_clusters(bitmap.count_free())?;
        group.clear_block_uninit()?;
        let per_group = self.superblock().clusters_per_group()?;
        if let Some(sum) = self.bitmap_checksum(group, &bitmap.bytes, per_group)? {
            group.set_block_bitmap_checksum(sum)?;
        }
        let what = format!("block bitmap of {}", group.index);
        self.write_block(group.block_bitmap()?, 0, &bitmap.bytes, &what)?;
        self.store_group(group)
    }

    /// Reads the inode bitmap of `group`, or makes the one that was never written, and checks it.
    ///
    /// # Errors
    /// As [`Volume::read_block_bitmap`].
    pub(crate) fn read_inode_bitmap(&self, group: &Group) -> Result<Bitmap> {
        let superblock = self.superblock();
        let bits = superblock.inodes_per_group;
        let bitmap = if superblock.features.has_group_checksums() && group.is_inode_uninit()? {
            let mut bitmap = Bitmap { bytes: vec![0; superblock.block_len()?], bits };
            self.set_padding(&mut bitmap)?;
            bitmap
        } else {
            let bytes = self.read_block(group.inode_bitmap()?)?;
            let computed = self.bitmap_checksum(group, &bytes, bits)?;
            let stored = group.inode_bitmap_checksum()?;
            if computed.is_some_and(|computed| !agrees(stored, computed)) {
                let detail = format!("checksum of the inode bitmap of {}", group.index);
                return Err(needs_check(detail));
            }
            Bitmap { bytes, bits }
        };
        if !bitmap.has_padding() {
            let detail = format!("padding of the inode bitmap of {}", group.index);
            return Err(needs_check(detail));
        }
        let (counted, stored) = (bitmap.count_free(), group.free_inodes()?);
        if counted != stored {
            let detail = format!("{}: {counted} inodes are free, not {stored}", group.index);
            return Err(needs_check(detail));
        }
        Ok(bitmap)
    }

    /// Stores the inode bitmap and its group descriptor.
    pub(crate) fn store_inode_bitmap(&self, group: &mut Group, bitmap: &Bitmap) -> Result<()> {
        group.set_free_inodes(bitmap.count_free())?;
        group.clear_inode_uninit()?;
        if let Some(sum) = self.bitmap_checksum(group, &bitmap.bytes, bitmap.bits)? {
            group.set_inode_bitmap_checksum(sum)?;
        }
        let what = format!("inode bitmap of {}", group.index);
        self.write_block(group.inode_bitmap()?, 0, &bitmap.bytes, &what)?;
        self.store_group(group)
    }

    /// The clusters that `count` blocks from `start` touch, as (first block of the first cluster, number).
    pub(super) fn clusters_of(&self, start: FsBlock, count: u64) -> Result<(FsBlock, u64)> {
        let superblock = self.superblock();
        let size = u64::from(superblock.cluster_blocks);
        let offset = u64::from(superblock.first_data_block);
        let first = div(sub(start.0, offset)?, size)?;
        let end = div_ceil(sub(add(start.0, count)?, offset)?, size)?;
        Ok((FsBlock(add(mul(first, size)?, offset)?), sub(end, first)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_counts_stop_at_the_last_bit() {
        let bitmap = Bitmap { bytes: vec![0b1110_0101, 0b1111_0000, 0], bits: 14 };
        assert_eq!(bitmap.count_free(), 3 + 4);
        assert_eq!(bitmap.find_free(0), Some(1));
        assert_eq!(bitmap.find_run(0, 2), Some((3, 2)));
        assert_eq!(bitmap.find_run(0, 9), Some((1, 1)));
        assert_eq!(bitmap.find_run(12, 1), None);
        assert!(!bitmap.has_padding());
        assert!(!Bitmap { bytes: vec![0, 0xc0, 0xff, 0xfe], bits: 14 }.has_padding());
        assert!(Bitmap { bytes: vec![0, 0xc0, 0xff, 0xff], bits: 14 }.has_padding());
    }
}
