//! Writing the content of a file: over what is there, into holes and unwritten blocks, and cutting it off.
//!
//! With `bigalloc` the blocks of one aligned cluster of a file lie in one cluster of the volume, so a hole
//! next to a mapped block of its cluster needs no allocation, and a cluster is free only when the last block in
//! it is.

use super::bitmap::needs_check;
use super::content::{FreedBlocks, Mapping};
use super::extent::{Extent, WRITTEN_LENGTH_MAX};
use super::extent_edit::put_empty_root;
use super::inode::{Inode, InodeDefect, flag};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{add, div, div_ceil, len_u64, mul, rem, sub, to};
use crate::bytes::field;
use crate::error::{Refusal, Result};

impl Volume {
    /// Makes `inode` an empty file with blocks, not inline.
    pub(crate) fn put_empty_map(&self, inode: &mut Inode) -> Result<()> {
        let flags = inode.flags() & !(flag::INLINE_DATA | flag::EXTENTS);
        if self.has_extents() {
            inode.set_flags(flags | flag::EXTENTS)?;
            return put_empty_root(inode);
        }
        inode.set_flags(flags)?;
        inode.i_block_mut()?.fill(0);
        Ok(())
    }

    /// Writes `bytes` at `offset` into a file that is not inline, and allocates what is missing. Size and times
    /// are the caller's.
    pub(crate) fn write_content(
        &mut self,
        inode: &mut Inode,
        offset: u64,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        self.check_mapping(inode)?;
        self.check_room(self.missing_blocks(inode, offset, len_u64(bytes.len()))?)?;
        let block_size = self.superblock().block_size();
        let (mut position, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let number = div(position, block_size)?;
            let too_far = |_| inode.corrupt(InodeDefect::Size(position));
            let at = FileBlock(u32::try_from(number).map_err(too_far)?);
            let inside = rem(position, block_size)?;
            let wanted = div_ceil(add(inside, len_u64(rest.len()))?, block_size)?;
            let run = self.find_block(inode, at)?;
            let wanted = wanted.min(run.length).min(u64::from(WRITTEN_LENGTH_MAX) >> 1);
            let (block, count, is_new) = match run.mapping {
                Mapping::Mapped(block) => (block, wanted, false),
                Mapping::Unwritten(block) => {
                    self.mark_written(inode, at, to(wanted)?)?;
                    (block, wanted, true)
                }
                Mapping::Hole => {
                    let (block, count) = self.fill_hole(inode, at, to(wanted)?)?;
                    (block, count, true)
                }
            };
            let room = sub(mul(count, block_size)?, inside)?;
            let part = rest.len().min(to(room)?);
            let (head, tail) = rest.split_at(part);
            self.write_blocks(block, inside, head, is_new, what)?;
            position = add(position, len_u64(part))?;
            rest = tail;
        }
        Ok(())
    }

    /// The blocks that writing `len` bytes at `offset` has to allocate, without those of the mapping. Holes
    /// are only looked for where the volume is nearly full: otherwise every block counts as missing.
    fn missing_blocks(&self, inode: &Inode, offset: u64, len: u64) -> Result<u64> {
        let superblock = self.superblock();
        let (block_size, size) = (superblock.block_size(), u64::from(superblock.cluster_blocks));
        let mut at = div(offset, block_size)?;
        let end = div_ceil(add(offset, len)?, block_size)?;
        let all = mul(div_ceil(sub(end, at)?, size)?, size)?;
        if all <= superblock.free_blocks()? {
            return Ok(all);
        }
        let mut missing = 0u64;
        while at < end {
            let too_far = |_| inode.corrupt(InodeDefect::Size(offset));
            let number = FileBlock(u32::try_from(at).map_err(too_far)?);
            let run = self.find_block(inode, number)?;
            let stop = add(at, run.length)?.min(end);
            if size > 1 {
                let position = to(rem(at, size)?)?;
                if self.find_cluster(inode, number, position)?.is_none() {
                    missing = add(missing, size)?;
                }
                at = mul(add(div(at, size)?, 1)?, size)?;
                continue;
            }
            if run.mapping == Mapping::Hole {
                missing = add(missing, sub(stop, at)?)?;
            }
            at = stop;
        }
        Ok(missing)
    }

    /// Refuses block maps on volumes of clusters: the kernel has no such files, and nobody could check one.
    pub(super) fn check_mapping(&self, inode: &Inode) -> Result<()> {
        let is_mapped = !inode.has_flag(flag::EXTENTS | flag::INLINE_DATA);
        if is_mapped && self.superblock().cluster_blocks > 1 {
            let feature = format!("bigalloc with a block map ({})", inode.number);
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok(())
    }

    /// Writes into blocks that lie next to each other. New blocks are written whole, with zeros around.
    fn write_blocks(
        &self,
        block: FsBlock,
        inside: u64,
        bytes: &[u8],
        is_new: bool,
        what: &str,
    ) -> Result<()> {
        let superblock = self.superblock();
        let end = add(inside, len_u64(bytes.len()))?;
        let count = div_ceil(end, superblock.block_size())?;
        // The last block bounds the others.
        superblock.block_offset(block.plus(count.saturating_sub(1))?)?;
        let start = superblock.block_offset(block)?;
        if !is_new {
            return self.disk().write_at(add(start, inside)?, bytes, what);
        }
        let mut whole = vec![0; to(mul(count, superblock.block_size())?)?];
        field::put(&mut whole, to(inside)?, bytes)?;
        self.disk().write_at(start, &whole, what)
    }

    /// Allocates up to `wanted` blocks for the hole at `at`. Gives the first block and how many there are.
    fn fill_hole(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        wanted: u32,
    ) -> Result<(FsBlock, u64)> {
        let cluster_blocks = self.superblock().cluster_blocks;
        let position = at.0.checked_rem(cluster_blocks).unwrap_or(0);
        let (block, count) = if cluster_blocks > 1 {
            let wanted = wanted.min(cluster_blocks.saturating_sub(position));
            let known = self.find_cluster(inode, at, position)?;
            let cluster = match known {
                Some(cluster) => cluster,
                None => self.take_content_clusters(inode, at, 1)?.0,
            };
            (cluster.plus(u64::from(position))?, wanted)
        } else {
            self.take_content_clusters(inode, at, wanted)?
        };
        self.map_new(inode, at, block, count)?;
        Ok((block, u64::from(count)))
    }

    fn take_content_clusters(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        wanted: u32,
    ) -> Result<(FsBlock, u32)> {
        let goal = self.goal(inode, at)?;
        let (block, count) = self.allocate_clusters(goal, wanted)?;
        let blocks = mul(u64::from(count), u64::from(self.superblock().cluster_blocks))?;
        inode.add_blocks(blocks)?;
        Ok((block, count))
    }

    /// The cluster that holds other blocks of the same cluster of the file.
    fn find_cluster(&self, inode: &Inode, at: FileBlock, position: u32) -> Result<Option<FsBlock>> {
        let first = at.0.saturating_sub(position);
        for offset in 0..self.superblock().cluster_blocks {
            let Some(sibling) = first.checked_add(offset) else { break };
            match self.find_block(inode, FileBlock(sibling))?.mapping {
                Mapping::Mapped(block) | Mapping::Unwritten(block) => {
                    return Ok(Some(FsBlock(sub(block.0, u64::from(offset))?)));
                }
                Mapping::Hole => {}
            }
        }
        Ok(None)
    }

    /// Where a new block should best lie: behind the one before it, or in the inode's group.
    fn goal(&self, inode: &Inode, at: FileBlock) -> Result<FsBlock> {
        if let Some(before) = at.0.checked_sub(1) {
            match self.find_block(inode, FileBlock(before))?.mapping {
                Mapping::Mapped(block) | Mapping::Unwritten(block) => return block.plus(1),
                Mapping::Hole => {}
            }
        }
        let (group, _) = self.superblock().inode_place(inode.number)?;
        self.superblock().first_block(group)
    }

    fn map_new(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        block: FsBlock,
        count: u32,
    ) -> Result<()> {
        if inode.has_flag(flag::EXTENTS) {
            let length = to(count)?;
            let new = Extent { first: at.0, length, start: block, is_unwritten: false };
            return self.insert_extent(inode, new);
        }
        for offset in 0..count {
            self.map_block(inode, at.plus(offset)?, block.plus(u64::from(offset))?)?;
        }
        Ok(())
    }

    /// Gives back every block of the content from byte `size` on, and zeros what is left of the last one up to
    /// the old end. The size itself is the caller's.
    pub(crate) fn cut_content(&mut self, inode: &mut Inode, size: u64, what: &str) -> Result<()> {
        self.check_mapping(inode)?;
        let block_size = self.superblock().block_size();
        let from = div_ceil(size, block_size)?;
        if size < inode.size_bytes() {
            self.zero_behind(inode, size, what)?;
        }
        let mut freed = FreedBlocks::default();
        if inode.has_flag(flag::EXTENTS) {
            self.cut_extents(inode, from, &mut freed)?;
        } else {
            self.cut_block_map(inode, from, &mut freed)?;
        }
        self.give_back(inode, from, freed)
    }

    /// Zeros the rest of the block that byte `size` lies in.
    pub(crate) fn zero_behind(&self, inode: &Inode, size: u64, what: &str) -> Result<()> {
        let block_size = self.superblock().block_size();
        let inside = rem(size, block_size)?;
        if inside == 0 {
            return Ok(());
        }
        let last: u32 = to(div(size, block_size)?)?;
        let Mapping::Mapped(block) = self.find_block(inode, FileBlock(last))?.mapping else {
            return Ok(());
        };
        let zeros = vec![0; to(sub(block_size, inside)?)?];
        self.write_block(block, inside, &zeros, what)
    }

    /// Frees the clusters of the blocks in `freed` that no block of the file below `from` uses.
    fn give_back(&mut self, inode: &mut Inode, from: u64, freed: FreedBlocks) -> Result<()> {
        let mut clusters = Vec::with_capacity(freed.content.len());
        for (start, count) in freed.content {
            clusters.push(self.clusters_of(start, count)?);
        }
        for block in freed.metadata {
            clusters.push(self.clusters_of(block, 1)?);
        }
        clusters.sort_unstable();
        let size = u64::from(self.superblock().cluster_blocks);
        // With clusters, neighbouring runs may name the same one.
        let kept = self.shared_cluster(inode, from)?;
        let mut end = FsBlock(0);
        for (start, count) in clusters {
            let stop = start.plus(mul(count, size)?)?;
            let first = start.max(end);
            if size == 1 && first != start {
                return Err(needs_check(format!("block {start} is twice in {}", inode.number)));
            }
            let mut at = first;
            while at < stop {
                // The kept cluster, if it is in the run, splits it.
                let run_end = match kept {
                    Some(kept) if kept >= at && kept < stop => kept,
                    _ => stop,
                };
                let run = div(sub(run_end.0, at.0)?, size)?;
                self.free_clusters(at, run)?;
                inode.sub_blocks(mul(run, size)?)?;
                at = if run_end < stop { run_end.plus(size)? } else { stop };
            }
            end = end.max(stop);
        }
        Ok(())
    }

    /// The cluster that holds the block before `from`, if `from` lies in the same one.
    fn shared_cluster(&self, inode: &Inode, from: u64) -> Result<Option<FsBlock>> {
        let size = self.superblock().cluster_blocks;
        let Ok(at) = u32::try_from(from) else { return Ok(None) };
        let position = at.checked_rem(size).unwrap_or(0);
        if position == 0 {
            return Ok(None);
        }
        self.find_cluster(inode, FileBlock(at), position)
    }
}
