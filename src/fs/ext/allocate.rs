//! Taking and giving back blocks and inodes: bitmaps, group descriptors, superblock counts.
//!
//! The group of the goal comes first, then those behind it, round the volume. The edit is the superuser's,
//! so reserved blocks may be used, and count as available. Every bitmap is checked before it is used (see
//! `bitmap`).

use super::bitmap::needs_check;
use super::group::Group;
use super::units::{FsBlock, GroupIndex, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{add, mul, sub, to};
use crate::error::{Error, Refusal, Result};

impl Volume {
    /// The groups from `first` round the volume.
    fn groups_from(&self, first: GroupIndex) -> impl Iterator<Item = GroupIndex> + use<> {
        let count = self.superblock().group_count;
        let first = first.0.min(count.saturating_sub(1));
        (first..count).chain(0..first).map(GroupIndex)
    }

    /// Refuses `needed` more blocks if there are not so many: before the first of them is taken, and with
    /// what the edit took before.
    ///
    /// # Errors
    /// `Refused` (`NoSpace`).
    pub(crate) fn check_room(&self, needed: u64) -> Result<()> {
        // The descriptors are only asked when the superblock says no.
        if self.superblock().free_blocks()? >= needed {
            return Ok(());
        }
        let (available, _) = self.count_free()?;
        if available >= needed { Ok(()) } else { Err(self.no_blocks(needed, available)) }
    }

    fn no_blocks(&self, needed: u64, available: u64) -> Error {
        let what = format!("blocks of {} bytes", self.superblock().block_size_bytes);
        let needed = needed.saturating_add(self.taken.blocks);
        let available = available.saturating_add(self.taken.blocks);
        Refusal::NoSpace { what, needed, available }.into()
    }

    /// Takes up to `wanted` clusters that lie next to each other, near `goal`. Gives the first block of the
    /// first one, and their number, at least 1.
    ///
    /// # Errors
    /// `Refused` (`NoSpace`, `NeedsCheck`).
    pub(crate) fn allocate_clusters(
        &mut self,
        goal: FsBlock,
        wanted: u32,
    ) -> Result<(FsBlock, u32)> {
        let goal = goal.0.clamp(
            u64::from(self.superblock().first_data_block),
            sub(self.superblock().blocks_count, 1)?,
        );
        let (goal_group, goal_bit) = self.superblock().block_place(FsBlock(goal))?;
        for index in self.groups_from(goal_group) {
            let mut group = self.read_group(index)?;
            if group.free_clusters()? == 0 {
                continue;
            }
            let mut bitmap = self.read_block_bitmap(&group)?;
            let from = if index == goal_group { goal_bit } else { 0 };
            let run = bitmap.find_run(from, wanted).or_else(|| bitmap.find_run(0, wanted));
            let Some((bit, count)) = run else { continue };
            let first = self.cluster_start(index, bit)?;
            let blocks = mul(u64::from(count), u64::from(self.superblock().cluster_blocks))?;
            self.check_not_metadata(first, blocks)?;
            for taken in bit..bit.saturating_add(count) {
                bitmap.set(taken, true);
            }
            self.store_block_bitmap(&mut group, &bitmap)?;
            self.update_superblock(|superblock| {
                superblock.set_free_blocks(superblock.free_blocks()?.saturating_sub(blocks))
            })?;
            self.taken.blocks = self.taken.blocks.saturating_add(blocks);
            return Ok((first, count));
        }
        // Nothing was found, so nothing is free: a bitmap that disagrees with its count was refused.
        let needed = mul(u64::from(wanted), u64::from(self.superblock().cluster_blocks))?;
        Err(self.no_blocks(needed, 0))
    }

    fn cluster_start(&self, group: GroupIndex, bit: u32) -> Result<FsBlock> {
        let inside = mul(u64::from(bit), u64::from(self.superblock().cluster_blocks))?;
        self.superblock().first_block(group)?.plus(inside)
    }

    /// Gives back `count` clusters from the one that starts at `first`.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`) if one of them is not in use or holds metadata.
    pub(crate) fn free_clusters(&mut self, first: FsBlock, count: u64) -> Result<()> {
        let size = u64::from(self.superblock().cluster_blocks);
        let (mut at, mut left) = (first, count);
        while left > 0 {
            let (index, bit) = self.superblock().block_place(at)?;
            let mut group = self.read_group(index)?;
            let mut bitmap = self.read_block_bitmap(&group)?;
            let part = left.min(u64::from(bitmap.bits.saturating_sub(bit)));
            if part == 0 {
                return Err(needs_check(format!("block {at} is outside its group")));
            }
            let blocks = mul(part, size)?;
            self.check_not_metadata(at, blocks)?;
            for freed in bit..bit.saturating_add(to(part)?) {
                if !bitmap.is_set(freed) {
                    let detail = format!("a block of {index} is in use and free at once");
                    return Err(needs_check(detail));
                }
                bitmap.set(freed, false);
            }
            self.store_block_bitmap(&mut group, &bitmap)?;
            self.update_superblock(|superblock| {
                superblock.set_free_blocks(add(superblock.free_blocks()?, blocks)?)
            })?;
            self.taken.blocks = self.taken.blocks.saturating_sub(blocks);
            at = at.plus(blocks)?;
            left = sub(left, part)?;
        }
        Ok(())
    }

    /// Takes an inode near `parent`.
    ///
    /// # Errors
    /// `Refused` (`NoSpace`, `NeedsCheck`).
    pub(crate) fn allocate_inode(
        &mut self,
        parent: InodeNumber,
        is_directory: bool,
    ) -> Result<InodeNumber> {
        let (parent_group, _) = self.superblock().inode_place(parent)?;
        for index in self.groups_from(parent_group) {
            let mut group = self.read_group(index)?;
            if group.free_inodes()? == 0 {
                continue;
            }
            let mut bitmap = self.read_inode_bitmap(&group)?;
            let reserved = self.superblock().first_inode.saturating_sub(1);
            let from = if index.0 == 0 { reserved } else { 0 };
            let Some(bit) = bitmap.find_free(from) else { continue };
            bitmap.set(bit, true);
            self.take_unused(&mut group, bit)?;
            if is_directory {
                group.set_directories(group.directories()?.saturating_add(1))?;
            }
            if self.superblock().features.has_group_checksums() && group.is_block_uninit()? {
                let blocks = self.read_block_bitmap(&group)?;
                self.store_block_bitmap(&mut group, &blocks)?;
            }
            self.store_inode_bitmap(&mut group, &bitmap)?;
            self.update_superblock(|superblock| {
                superblock.set_free_inodes(superblock.free_inodes()?.saturating_sub(1))
            })?;
            self.taken.inodes = self.taken.inodes.saturating_add(1);
            let before = mul(u64::from(index.0), u64::from(self.superblock().inodes_per_group))?;
            return Ok(InodeNumber(to(add(add(before, u64::from(bit))?, 1)?)?));
        }
        let (what, available) = ("inodes".to_owned(), self.taken.inodes);
        Err(Refusal::NoSpace { what, needed: available.saturating_add(1), available }.into())
    }

    /// Counts inode `bit` as used, if it is the first of those that never were.
    fn take_unused(&self, group: &mut Group, bit: u32) -> Result<()> {
        if !self.superblock().features.has_group_checksums() {
            return Ok(());
        }
        let per_group = self.superblock().inodes_per_group;
        let first_unused = per_group.saturating_sub(group.unused_inodes()?);
        if bit > first_unused {
            let detail = format!("inodes of {} are in use behind the last used one", group.index);
            return Err(needs_check(detail));
        }
        if bit == first_unused {
            group.set_unused_inodes(per_group.saturating_sub(bit).saturating_sub(1))?;
        }
        Ok(())
    }

    /// Gives back an inode.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`) if it is not in use.
    pub(crate) fn free_inode(&mut self, number: InodeNumber) -> Result<()> {
        let (index, bit) = self.superblock().inode_place(number)?;
        let mut group = self.read_group(index)?;
        let mut bitmap = self.read_inode_bitmap(&group)?;
        if !bitmap.is_set(bit) {
            return Err(needs_check(format!("{number} is in use and free at once")));
        }
        bitmap.set(bit, false);
        self.store_inode_bitmap(&mut group, &bitmap)?;
        self.taken.inodes = self.taken.inodes.saturating_sub(1);
        self.update_superblock(|superblock| {
            superblock.set_free_inodes(superblock.free_inodes()?.saturating_add(1))
        })
    }
}
