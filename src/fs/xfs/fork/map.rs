//! Giving blocks to a fork and taking them away, converting unwritten blocks, and parting from shared ones.

use super::super::btree::{EXTENT_BLOCKS_MAX, Extent};
use super::super::inode::{ForkFormat, ForkKind, Inode, flag};
use super::super::space::{Near, Owner, Request, Run};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::{FILE_END, mapped_format};
use crate::bytes::arith::{add, sub, to};
use crate::error::{Refusal, Result};

impl Volume {
    /// Gives blocks to the holes in `count` file blocks from `at` on. What is in the new blocks is the caller's.
    ///
    /// # Errors
    /// * `Refused` - no space; or the file has an extent size hint, which would have to be followed.
    /// * `Corrupt` - the fork, or the free space.
    pub(crate) fn map_blocks(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        at: FileBlock,
        count: u64,
    ) -> Result<()> {
        mapped_format(inode, kind)?;
        let end = at.plus(count)?;
        let mut at = at;
        while at < end {
            let next = self.next_extent(inode, kind, at)?.filter(|next| next.file_block < end);
            let hole_end = next.map_or(end, |next| next.file_block);
            while at < hole_end {
                let wanted = sub(hole_end.0, at.0)?.min(u64::from(EXTENT_BLOCKS_MAX));
                let new = self.take_fork_blocks(inode, kind, at, to(wanted)?)?;
                self.add_extent(inode, kind, new)?;
                at = FileBlock(new.end());
            }
            at = next.map_or(end, |next| FileBlock(next.end()));
        }
        Ok(())
    }

    /// Takes up to `wanted` blocks for file block `at` and counts them in the inode.
    fn take_fork_blocks(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        at: FileBlock,
        wanted: u32,
    ) -> Result<Extent> {
        if kind == ForkKind::Data && inode.has_flag(flag::EXTSIZE) {
            let feature = format!("an extent size hint ({})", inode.number);
            return Err(Refusal::NotWritable { feature }.into());
        }
        let near = self.near_file_block(inode, kind, at)?;
        let owner = owner(inode, kind, at);
        let request = Request { near, min_blocks: 1, max_blocks: wanted, alignment: 1, owner };
        let Run { start, count } = self.allocate_blocks(&request)?;
        inode.set_block_count(add(inode.block_count(), u64::from(count))?)?;
        Ok(Extent { file_block: at, start, count, is_unwritten: false })
    }

    /// Where a block of a fork would be best: behind the one before it, or in the inode's allocation group.
    fn near_file_block(&self, inode: &Inode, kind: ForkKind, at: FileBlock) -> Result<Near> {
        if let Some(before) = self.extent_before(inode, kind, at)? {
            let behind = before.start.plus(u64::from(before.count))?;
            let group = self.superblock().split(before.start)?.0;
            return Ok(match self.superblock().split(behind) {
                Ok((ag, _)) if ag == group => Near::Block(behind),
                _ => Near::Group(group),
            });
        }
        self.near_inode(inode)
    }

    /// Takes the blocks from file block `from` up to `end` away from a fork. Blocks that other files have as well
    /// lose one reference, the others become free.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if the volume must not be edited.
    pub(crate) fn unmap_blocks(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        from: FileBlock,
        end: FileBlock,
    ) -> Result<()> {
        // From the end to the start, as the tree then shrinks at one edge.
        while let Some(whole) = self.extent_before(inode, kind, end)? {
            let Some(part) = whole.part(from, end)? else { break };
            self.take_out_of_fork(inode, kind, &whole, &part)?;
            self.give_back_extent(inode, kind, &part)?;
        }
        Ok(())
    }

    /// Frees the blocks of an extent that is not in the fork any more.
    fn give_back_extent(&mut self, inode: &mut Inode, kind: ForkKind, part: &Extent) -> Result<()> {
        let owner = owner(inode, kind, part.file_block);
        self.free_blocks(Run { start: part.start, count: part.count }, &owner)?;
        inode.set_block_count(sub(inode.block_count(), u64::from(part.count))?)
    }

    /// Makes an empty list of a fork, whatever it was, and frees all its blocks.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if the volume must not be edited.
    pub(crate) fn free_fork(&mut self, inode: &mut Inode, kind: ForkKind) -> Result<()> {
        match mapped_format(inode, kind)? {
            ForkFormat::Extents | ForkFormat::Btree => {
                self.unmap_blocks(inode, kind, FileBlock(0), FILE_END)?;
            }
            ForkFormat::Local | ForkFormat::Device => {}
        }
        inode.set_format(kind, ForkFormat::Extents)?;
        inode.put_fork(kind, &[])
    }

    /// Records that `part` of the unwritten extent `whole` is being written.
    pub(super) fn mark_written(
        &mut self,
        inode: &mut Inode,
        whole: &Extent,
        part: &Extent,
    ) -> Result<()> {
        self.take_out_of_fork(inode, ForkKind::Data, whole, part)?;
        self.add_extent(inode, ForkKind::Data, Extent { is_unwritten: false, ..*part })?;
        let run = Run { start: part.start, count: part.count };
        self.set_unwritten(run, &owner(inode, ForkKind::Data, part.file_block), false)
    }

    /// Gives the file new blocks in the place of `part` of the extent `whole`, which other files have as well, or
    /// of the start of it, and returns where they are. What is in them is the caller's.
    pub(super) fn part_from_shared(
        &mut self,
        inode: &mut Inode,
        whole: &Extent,
        part: &Extent,
    ) -> Result<Extent> {
        let new = self.take_fork_blocks(inode, ForkKind::Data, part.file_block, part.count)?;
        let old = Extent { count: new.count, ..*part };
        self.take_out_of_fork(inode, ForkKind::Data, whole, &old)?;
        self.add_extent(inode, ForkKind::Data, new)?;
        self.give_back_extent(inode, ForkKind::Data, &old)?;
        Ok(new)
    }
}

fn owner(inode: &Inode, kind: ForkKind, file_block: FileBlock) -> Owner {
    Owner::Fork { inode: inode.number, kind, file_block }
}
