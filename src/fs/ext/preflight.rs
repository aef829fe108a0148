//! What is checked before a file or a directory is edited: that what it holds is its own and counted right,
//! as far as that can be seen without reading the whole volume. Checksums do not tell: many volumes have none,
//! and a wrong structure can have a right one.
//!
//! Not seen: a block that another file claims too, counts over all inodes of a group, and blocks of a block map
//! behind the end of the file.

use super::bitmap::{Bitmap, needs_check};
use super::content::{FreedBlocks, Mapping};
use super::directory_blocks::block_count;
use super::inode::{I_BLOCK_BYTES, Inode, flag};
use super::units::{FileBlock, FsBlock, GroupIndex, InodeNumber};
use super::volume::Volume;
use super::xattr::Attribute;
use crate::bytes::arith::{add, div, div_ceil, len_u64, mul, round_up, sub, to};
use crate::error::Result;
use crate::fs::NodeKind;
use std::ops::ControlFlow;

/// Bound on the holes and unwritten runs that are looked at behind the end of a file.
const RUNS_BEHIND_END_MAX: u32 = 4096;

/// A group whose blocks are looked up.
struct Known {
    group: GroupIndex,
    bitmap: Bitmap,
    /// Where metadata of groups lies: (first block, number).
    metadata: Vec<(u64, u64)>,
}

impl Volume {
    /// Refuses unless `inode` is in use, counts its blocks right, and each of them is in use and its own.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`); `Corrupt` if the map of the blocks cannot be read.
    pub(super) fn check_before_edit(&self, inode: &Inode) -> Result<()> {
        self.check_mapping(inode)?;
        self.check_inode_in_use(inode.number)?;
        if inode.has_flag(flag::INLINE_DATA)
            && !inode.attributes_inside()?.iter().any(Attribute::is_inline_data)
        {
            return Err(needs_check(format!("{} has lost its inline content", inode.number)));
        }
        let blocks = self.blocks_of(inode)?;
        let content = blocks.content.iter().try_fold(0, |sum, (_, count)| add(sum, *count))?;
        match inode.kind()? {
            NodeKind::Directory => self.check_directory_size(inode, content)?,
            NodeKind::File => self.check_end(inode)?,
            _ => {}
        }
        let clusters = self.check_clusters(inode, &blocks)?;
        let size =
            mul(u64::from(self.superblock().cluster_blocks), self.superblock().block_size())?;
        let (counted, stored) = (mul(clusters, div(size, 512)?)?, inode.sectors()?);
        if counted != stored {
            let number = inode.number;
            return Err(needs_check(format!(
                "{number} has {counted} sectors, but counts {stored}"
            )));
        }
        Ok(())
    }

    /// Refuses a directory whose link count is not that of its subdirectories, as far as its entries tell.
    pub(super) fn check_link_count(&self, directory: &Inode) -> Result<()> {
        let (mut links, mut is_told) = (2u64, true);
        self.visit_entries(directory, &mut |entry| {
            is_told &= entry.kind.is_some();
            let is_own = entry.name == b"." || entry.name == b"..";
            links = add(links, u64::from(!is_own && entry.kind == Some(NodeKind::Directory)))?;
            Ok(ControlFlow::Continue(()))
        })?;
        let stored = directory.link_count();
        // 1 is the count of a directory that had too many.
        if is_told && stored != 1 && u64::from(stored) != links {
            let number = directory.number;
            return Err(needs_check(format!("{number} has {links} links, but counts {stored}")));
        }
        Ok(())
    }

    fn check_inode_in_use(&self, number: InodeNumber) -> Result<()> {
        let (index, bit) = self.superblock().inode_place(number)?;
        let bitmap = self.read_inode_bitmap(&self.read_group(index)?)?;
        if bitmap.is_set(bit) {
            return Ok(());
        }
        Err(needs_check(format!("{number} has a name, but is free")))
    }

    /// Everything that cutting the whole content off would free, and the attribute block.
    fn blocks_of(&self, inode: &Inode) -> Result<FreedBlocks> {
        let mut blocks = FreedBlocks::default();
        if !inode.has_flag(flag::INLINE_DATA) {
            // A cut at 0 changes nothing but the inode, here a copy.
            let mut copy = inode.clone();
            if inode.has_flag(flag::EXTENTS) {
                self.cut_extents(&mut copy, 0, &mut blocks)?;
            } else {
                self.cut_block_map(&mut copy, 0, &mut blocks)?;
            }
        }
        if let Some(block) = inode.attribute_block() {
            blocks.push_metadata(block);
        }
        Ok(blocks)
    }

    fn check_directory_size(&self, directory: &Inode, content_blocks: u64) -> Result<()> {
        let (number, size) = (directory.number, directory.size_bytes());
        let is_right = if directory.has_flag(flag::INLINE_DATA) {
            size == len_u64(I_BLOCK_BYTES.saturating_add(directory.inline_rest()?.len()))
        } else {
            u64::from(block_count(self, directory)?) == content_blocks
        };
        if is_right {
            return Ok(());
        }
        let detail = format!("{number} is a directory of {content_blocks} blocks and {size} bytes");
        Err(needs_check(detail))
    }

    /// Refuses a file with written extents behind its end. Unwritten ones may be there: `fallocate` keeps them.
    fn check_end(&self, file: &Inode) -> Result<()> {
        if file.has_flag(flag::INLINE_DATA) || !file.has_flag(flag::EXTENTS) {
            return Ok(());
        }
        let superblock = self.superblock();
        let blocks = div_ceil(file.size_bytes(), superblock.block_size())?;
        let mut at = round_up(blocks, u64::from(superblock.cluster_blocks))?;
        for _ in 0..RUNS_BEHIND_END_MAX {
            // Block numbers of a file have 32 bits.
            let Ok(block) = u32::try_from(at) else { return Ok(()) };
            let run = self.find_block(file, FileBlock(block))?;
            if let Mapping::Mapped(_) = run.mapping {
                break;
            }
            at = add(at, run.length.max(1))?;
        }
        let (number, size) = (file.number, file.size_bytes());
        Err(needs_check(format!("{number} has {size} bytes, but extents behind them")))
    }

    /// Checks every cluster of `blocks`, and counts them.
    fn check_clusters(&self, inode: &Inode, blocks: &FreedBlocks) -> Result<u64> {
        let mut runs = Vec::with_capacity(blocks.content.len());
        for (start, count) in &blocks.content {
            runs.push(self.clusters_of(*start, *count)?);
        }
        for block in &blocks.metadata {
            runs.push(self.clusters_of(*block, 1)?);
        }
        runs.sort_unstable();
        let size = u64::from(self.superblock().cluster_blocks);
        let (mut known, mut total, mut end) = (None, 0, FsBlock(0));
        for (start, count) in runs {
            let stop = start.plus(mul(count, size)?)?;
            // With clusters, runs that lie apart in the file may share one.
            if size == 1 && start < end {
                return Err(needs_check(format!("block {start} is twice in {}", inode.number)));
            }
            let first = start.max(end);
            let fresh = stop.0.saturating_sub(first.0);
            self.check_in_use(first, fresh, &mut known)?;
            total = add(total, div(fresh, size)?)?;
            end = end.max(stop);
        }
        Ok(total)
    }

    /// Refuses unless `count` blocks from `start`, whole clusters, are in use and no metadata of a group.
    fn check_in_use(&self, start: FsBlock, count: u64, known: &mut Option<Known>) -> Result<()> {
        let size = u64::from(self.superblock().cluster_blocks);
        let (mut at, mut left) = (start, div(count, size)?);
        while left > 0 {
            let (group, bit) = self.superblock().block_place(at)?;
            let group = match known.take().filter(|known| known.group == group) {
                Some(same) => known.insert(same),
                None => known.insert(self.look_up(group)?),
            };
            let part = left.min(u64::from(group.bitmap.bits.saturating_sub(bit)));
            if part == 0 {
                return Err(needs_check(format!("block {at} is outside its group")));
            }
            let next = at.plus(mul(part, size)?)?;
            for &(first, len) in &group.metadata {
                if first < next.0 && at.0 < add(first, len)? {
                    let detail = format!("block {at} holds metadata and content at once");
                    return Err(needs_check(detail));
                }
            }
            let end = bit.saturating_add(to(part)?);
            if (bit..end).any(|bit| !group.bitmap.is_set(bit)) {
                return Err(needs_check(format!("block {at} is in use and free at once")));
            }
            at = next;
            left = sub(left, part)?;
        }
        Ok(())
    }

    fn look_up(&self, group: GroupIndex) -> Result<Known> {
        let bitmap = self.read_block_bitmap(&self.read_group(group)?)?;
        Ok(Known { group, bitmap, metadata: self.metadata_of(group)? })
    }
}
