//! Taking and giving back blocks.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Allocation Groups" (sections "AG Free Space
//! Management"), "Reverse-Mapping B+tree", "Reference Count B+tree" and "Sharing Data Blocks".
//!
//! A block is free, or it has an owner; with `rmapbt` the owner is recorded, with `reflink` it may have several
//! and is then counted. An edit keeps all of that and the counters right:
//!
//! | what | where | changed by |
//! |------|-------|------------|
//! | free extents by block and by size | bnobt, cntbt | `free_space` |
//! | blocks that only the trees may use | AGFL | `free_list` |
//! | owners | rmapbt | `reverse_map` |
//! | references above one | refcountbt | `reference_count` |
//! | which extent to take | | `choose` |
//!
//! The smallest edit wins: space behind the block that is named if it is free, else the end of the longest free
//! extent of the group, so that the keys of the trees stay.
//!
//! Not handled: making shared blocks, blocks that wait for a copy-on-write (they are left alone, and the
//! kernel gives them back at the next mount), the realtime device.

mod choose;
mod free_list;
mod free_space;
mod reference_count;
mod reverse_map;
mod staging;
mod store;

#[cfg(test)]
mod tests;

use super::ag::Agf;
use super::btree::{EXTENT_BLOCKS_MAX, OWNER_INOBT, OWNER_INODES, OWNER_REFCOUNT, ReverseMap};
use super::inode::ForkKind;
use super::units::{AgBlock, AgNumber, FileBlock, FsBlock, InodeNumber};
use super::volume::Volume;
use crate::bytes::arith::{OutOfRange, add};
use crate::error::{Corrupt, Refusal, Result};

/// Blocks that lie next to each other in one allocation group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: FsBlock,
    pub(crate) count: u32,
}

/// Who has blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A fork of an inode; the first block of the run holds `file_block` of it.
    Fork { inode: InodeNumber, kind: ForkKind, file_block: FileBlock },
    /// The tree of the extents of a fork.
    ForkBtree { inode: InodeNumber, kind: ForkKind },
    /// The inode trees of the allocation group.
    InodeBtree,
    /// The tree of reference counts of the allocation group.
    RefcountBtree,
    /// Inode chunks.
    Inodes,
}

/// Where blocks would be best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Near {
    /// From this block on, if all that is wanted is free there; else in its allocation group.
    Block(FsBlock),
    /// In this allocation group.
    Group(AgNumber),
}

/// A wish for blocks that lie next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Where; trees of an allocation group get their blocks only there, everybody else elsewhere if need be.
    pub(crate) near: Near,
    /// Fewest that help, at least 1.
    pub(crate) min_blocks: u32,
    /// As many as are wanted, at most [`EXTENT_BLOCKS_MAX`].
    pub(crate) max_blocks: u32,
    /// The number of the first block in its allocation group is a multiple of this; 1 for anywhere.
    pub(crate) alignment: u32,
    /// Who will have them.
    pub(crate) owner: Owner,
}

/// What can be wrong about blocks that are taken or given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpaceDefect {
    #[error("{count} blocks at {start} overlap {what}")]
    Metadata { start: AgBlock, count: u32, what: &'static str },
    #[error("{count} blocks at {start} are in use and free at once")]
    FreeAndUsed { start: AgBlock, count: u32 },
    #[error("{count} free blocks at {start} are not in the tree by {tree}")]
    NotInBoth { start: AgBlock, count: u32, tree: &'static str },
    #[error("the longest free extent has {found} blocks, but the AGF says {stored}")]
    Longest { stored: u32, found: u32 },
    #[error("{count} of {stored} free blocks would be taken")]
    Counter { stored: u64, count: u32 },
    #[error("block {block} does not belong to {owner:#x} at offset {offset}")]
    NotOwned { block: AgBlock, owner: u64, offset: u64 },
    #[error("block {block} belongs to {owner:#x} as well, but is not shared")]
    OtherOwner { block: AgBlock, owner: u64 },
    #[error("block {block} of something that is no file content is shared")]
    Shared { block: AgBlock },
}

/// A defect of the space of `ag`.
fn corrupt(ag: AgNumber, defect: SpaceDefect) -> crate::error::Error {
    Corrupt::new("space of an allocation group", defect).of(ag.to_string()).into()
}

impl Owner {
    /// The record of the reverse map for `count` blocks from `start`.
    fn record(&self, start: AgBlock, count: u32) -> ReverseMap {
        match *self {
            Self::Fork { inode, kind, file_block } => ReverseMap {
                is_attribute_fork: kind == ForkKind::Attribute,
                ..ReverseMap::file(start, count, inode.0, file_block.0)
            },
            Self::ForkBtree { inode, kind } => ReverseMap {
                is_attribute_fork: kind == ForkKind::Attribute,
                is_bmbt: true,
                ..ReverseMap::file(start, count, inode.0, 0)
            },
            Self::InodeBtree => ReverseMap::special(start, count, OWNER_INOBT),
            Self::RefcountBtree => ReverseMap::special(start, count, OWNER_REFCOUNT),
            Self::Inodes => ReverseMap::special(start, count, OWNER_INODES),
        }
    }

    /// True for trees whose pointers cannot lead out of their allocation group.
    fn stays_in_group(&self) -> bool {
        matches!(self, Self::InodeBtree | Self::RefcountBtree)
    }

    /// True if another file may have the same blocks.
    fn may_share(&self) -> bool {
        matches!(self, Self::Fork { kind: ForkKind::Data, .. })
    }
}

impl Volume {
    /// Takes blocks out of the free space: at least `min_blocks` of the request.
    ///
    /// # Errors
    /// * `Refused` - `NoSpace`; `NotWritable` and the like if the volume must not be edited.
    /// * `Corrupt` - a structure that would be changed makes no sense.
    pub(crate) fn allocate_blocks(&mut self, request: &Request) -> Result<Run> {
        self.superblock().features.check_writable()?;
        let wrong = request.min_blocks == 0
            || request.min_blocks > request.max_blocks
            || request.max_blocks > EXTENT_BLOCKS_MAX
            || request.alignment == 0;
        if wrong {
            return Err(OutOfRange.into());
        }
        let mut wanted = request.max_blocks;
        loop {
            for ag in self.groups_for(request)? {
                if self.place_in(ag, request, wanted)?.is_none() {
                    continue;
                }
                // This may use up what was found.
                self.fix_free_list(ag)?;
                let Some(place) = self.place_in(ag, request, wanted)? else { continue };
                return self.take_place(ag, place, request);
            }
            if wanted == request.min_blocks {
                return Err(self.no_space(request));
            }
            wanted = request.min_blocks;
        }
    }

    fn take_place(&mut self, ag: AgNumber, place: choose::Place, request: &Request) -> Result<Run> {
        let choose::Place { extent, start, count } = place;
        self.take_free(ag, extent, start, count)?;
        self.add_owner(ag, request.owner.record(start, count))?;
        self.update_superblock(|superblock| {
            let stored = superblock.free_blocks;
            let left = stored.checked_sub(u64::from(count));
            superblock.free_blocks =
                left.ok_or_else(|| corrupt(ag, SpaceDefect::Counter { stored, count }))?;
            Ok(())
        })?;
        Ok(Run { start: self.superblock().join(ag, start)?, count })
    }

    fn no_space(&self, request: &Request) -> crate::error::Error {
        let what = format!(
            "blocks of {} bytes that lie next to each other",
            self.superblock().block_size_bytes
        );
        let available = self.longest_place(request);
        let needed = u64::from(request.min_blocks);
        Refusal::NoSpace { what, needed, available }.into()
    }

    /// Gives back a run of `owner`. Blocks that other files have as well lose one reference, the others become
    /// free.
    ///
    /// # Errors
    /// * `Corrupt` - one of them is free, or not recorded as this owner's.
    /// * `Refused` - the volume must not be edited.
    pub(crate) fn free_blocks(&mut self, run: Run, owner: &Owner) -> Result<()> {
        self.superblock().features.check_writable()?;
        self.superblock().check_run(run.start, run.count)?;
        let (ag, start) = self.superblock().split(run.start)?;
        let mut at = start;
        for (count, is_shared) in self.split_shared(ag, start, run.count)? {
            if is_shared && !owner.may_share() {
                return Err(corrupt(ag, SpaceDefect::Shared { block: at }));
            }
            let mut record = owner.record(at, count);
            if record.is_of_inode() && !record.is_bmbt {
                record.offset = add(record.offset, u64::from(at.0.saturating_sub(start.0)))?;
            }
            self.fix_free_list(ag)?;
            self.remove_owner(ag, record)?;
            if is_shared {
                self.drop_reference(ag, at, count)?;
            } else {
                self.give_up(ag, at, count)?;
            }
            at = at.plus(count)?;
        }
        Ok(())
    }

    /// Makes blocks free that have no owner any more.
    fn give_up(&mut self, ag: AgNumber, start: AgBlock, count: u32) -> Result<()> {
        self.check_no_owner(ag, start, count)?;
        self.give_free(ag, start, count)?;
        self.update_superblock(|superblock| {
            superblock.free_blocks = add(superblock.free_blocks, u64::from(count))?;
            Ok(())
        })
    }

    /// Records that a run of the data fork of an inode was written, or that it was not.
    ///
    /// # Errors
    /// `Corrupt` if one of the blocks is not recorded as this owner's.
    pub(crate) fn set_unwritten(
        &mut self,
        run: Run,
        owner: &Owner,
        is_unwritten: bool,
    ) -> Result<()> {
        self.superblock().features.check_writable()?;
        self.superblock().check_run(run.start, run.count)?;
        let (ag, start) = self.superblock().split(run.start)?;
        self.fix_free_list(ag)?;
        let record = owner.record(start, run.count);
        self.remove_owner(ag, record)?;
        self.add_owner(ag, ReverseMap { is_unwritten, ..record })
    }

    /// The parts of `run` that more than one file has, ascending; none on volumes without `reflink`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn shared_in(&self, run: Run) -> Result<Vec<Run>> {
        self.superblock().check_run(run.start, run.count)?;
        let (ag, start) = self.superblock().split(run.start)?;
        let mut at = start;
        let mut shared = Vec::new();
        for (count, is_shared) in self.split_shared(ag, start, run.count)? {
            if is_shared {
                shared.push(Run { start: self.superblock().join(ag, at)?, count });
            }
            at = at.plus(count)?;
        }
        Ok(shared)
    }

    fn agf(&self, ag: AgNumber) -> Result<Agf> {
        Agf::load(self, ag)
    }
}
