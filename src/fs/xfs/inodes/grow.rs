//! Making inodes where all are in use: a whole chunk, or a part of one where free space is in pieces.
//!
//! Format: "XFS Algorithms & Data Structures", sections "Inode B+trees" and "Sparse Inodes".

use super::chunk::CHUNK_INODES;
use super::placement::Placement;
use super::{content, needs_check};
use crate::bytes::arith::add;
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::fs::xfs::ag::Agi;
use crate::fs::xfs::btree::InodeChunk;
use crate::fs::xfs::space::{Near, Owner, Request, Run};
use crate::fs::xfs::units::{AgInode, AgNumber};
use crate::fs::xfs::volume::Volume;

/// Bound on the parts at the end of a group, where no record fits, that are set aside while another is sought.
const REJECTED_MAX: usize = 8;

/// Generation of the inodes of a new chunk.
const FIRST_GENERATION: u32 = 0;

fn no_inodes() -> Error {
    Refusal::NoSpace { what: "inodes".to_owned(), needed: 1, available: 0 }.into()
}

impl Volume {
    /// Makes free inodes in the group `home`, or one behind it, and gives one chunk of them.
    ///
    /// # Errors
    /// `Refused` (`NoSpace`, `NeedsCheck`); `Corrupt`.
    pub(super) fn make_chunk(&mut self, home: AgNumber) -> Result<(AgNumber, InodeChunk)> {
        let rules = Placement::of(self.superblock());
        if self.has_room(rules.inodes_at_once()?)? {
            let whole = self.take_chunk_blocks(home, rules.blocks, rules.alignment)?;
            if let Some(run) = whole {
                let (ag, start) = self.superblock().split(run.start)?;
                return self.add_chunks(ag, run, &rules.whole_chunks(start)?);
            }
        }
        self.make_part(home, &rules)
    }

    /// Makes a part of a chunk, where the volume may have parts.
    fn make_part(&mut self, home: AgNumber, rules: &Placement) -> Result<(AgNumber, InodeChunk)> {
        match self.take_part(home, rules)? {
            Some((ag, run, chunk)) => self.add_chunks(ag, run, &[chunk]),
            None => Err(no_inodes()),
        }
    }

    /// True if the file system may have so many inodes more (`sb_imax_pct`).
    fn has_room(&self, count: u32) -> Result<bool> {
        let limit = Placement::of(self.superblock()).inodes_max(self.superblock())?;
        let after = add(self.superblock().inodes, u64::from(count))?;
        Ok(limit.is_none_or(|limit| after <= limit))
    }

    /// Takes blocks for inodes, if there are so many next to each other.
    fn take_chunk_blocks(
        &mut self,
        home: AgNumber,
        blocks: u32,
        alignment: u32,
    ) -> Result<Option<Run>> {
        let near = Near::Group(home);
        let owner = Owner::Inodes;
        let request = Request { near, min_blocks: blocks, max_blocks: blocks, alignment, owner };
        match self.allocate_blocks(&request) {
            Ok(run) => Ok(Some(run)),
            Err(error) => match error.kind() {
                ErrorKind::Refused(Refusal::NoSpace { .. }) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Takes blocks for a part of a chunk, where the volume may have parts.
    fn take_part(
        &mut self,
        home: AgNumber,
        rules: &Placement,
    ) -> Result<Option<(AgNumber, Run, InodeChunk)>> {
        let Some(blocks) = rules.sparse_blocks else { return Ok(None) };
        let mut rejected = Vec::new();
        let mut found = None;
        while found.is_none() && rejected.len() < REJECTED_MAX {
            let Some(run) = self.take_chunk_blocks(home, blocks, blocks)? else { break };
            let (ag, start) = self.superblock().split(run.start)?;
            let chunk = rules.sparse_chunk(start, self.superblock().ag_length(ag)?)?;
            match chunk {
                Some(chunk) if self.has_room(chunk.count)? => found = Some((ag, run, chunk)),
                _ => rejected.push(run),
            }
        }
        for run in rejected {
            self.free_blocks(run, &Owner::Inodes)?;
        }
        Ok(found)
    }

    /// Fills blocks with free inodes and records them. Gives the first chunk, as it is recorded now.
    fn add_chunks(
        &mut self,
        ag: AgNumber,
        run: Run,
        chunks: &[InodeChunk],
    ) -> Result<(AgNumber, InodeChunk)> {
        self.write_unused(ag, run)?;
        let mut first = None;
        for chunk in chunks {
            let chunk = self.record_chunk(ag, chunk)?;
            first = first.or(Some(chunk));
        }
        let first = first.ok_or_else(no_inodes)?;
        let added = chunks.iter().map(|chunk| chunk.count).fold(0, u32::saturating_add);
        let mut agi = Agi::load(self, ag)?;
        agi.inode_count = agi.inode_count.saturating_add(added);
        agi.free_inode_count = agi.free_inode_count.saturating_add(added);
        agi.new_inode = Some(first.start);
        agi.store(self)?;
        self.update_superblock(|superblock| {
            superblock.inodes = add(superblock.inodes, u64::from(added))?;
            superblock.free_inodes = add(superblock.free_inodes, u64::from(added))?;
            Ok(())
        })?;
        Ok((ag, first))
    }

    /// Writes inodes that were never used into all of `run`.
    fn write_unused(&self, ag: AgNumber, run: Run) -> Result<()> {
        let (_, start) = self.superblock().split(run.start)?;
        let rules = Placement::of(self.superblock());
        let first = rules.first_inode(start)?;
        let mut bytes = Vec::new();
        for index in 0..rules.inodes(run.count)? {
            let inode = AgInode(first.0.saturating_add(index));
            let number = self.superblock().join_inode(ag, inode)?;
            bytes.extend(content::unused(self.superblock(), number, FIRST_GENERATION)?);
        }
        self.write_blocks(run.start, &bytes, &format!("new inodes of {ag}"))
    }

    /// Adds inodes to the trees: a new record, or in the holes of the one that is there.
    fn record_chunk(&mut self, ag: AgNumber, chunk: &InodeChunk) -> Result<InodeChunk> {
        let last = chunk.inode(CHUNK_INODES.saturating_sub(1));
        let there = self.inode_tree(ag).at_or_before(&last)?;
        let Some(there) = there.filter(|there| there.distance(chunk.start) == 0) else {
            return self.insert_chunk(ag, chunk);
        };
        self.check_free_copy(ag, &there)?;
        let Some(merged) = there.merged(chunk) else {
            let start = chunk.start;
            return Err(needs_check(format!("inodes of {ag} from {start} lie in free blocks")));
        };
        self.inode_tree_mut(ag).replace(&merged.start, merged)?;
        if self.has_free_inode_tree() {
            if there.free_count == 0 {
                self.free_inode_tree_mut(ag).insert(merged)?;
            } else {
                self.free_inode_tree_mut(ag).replace(&merged.start, merged)?;
            }
        }
        Ok(merged)
    }

    fn insert_chunk(&mut self, ag: AgNumber, chunk: &InodeChunk) -> Result<InodeChunk> {
        self.inode_tree_mut(ag).insert(*chunk)?;
        if self.has_free_inode_tree() {
            self.free_inode_tree_mut(ag).insert(*chunk)?;
        }
        Ok(*chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Timestamp;
    use crate::fs::xfs::testing::{assert_silent, fixture};
    use std::ops::ControlFlow;

    #[test]
    fn parts_fill_the_holes_of_the_records_that_are_there() {
        for name in ["default", "block-1k-rmap", "block-16k", "inode-2k", "scattered"] {
            let disk = fixture(name);
            let mut volume = Volume::open(disk.clone(), Timestamp::default()).unwrap();
            let rules = Placement::of(volume.superblock());
            let (before, mut merged) = (volume.superblock().inodes, 0);
            for _ in 0..9 {
                let (ag, chunk) = volume.make_part(AgNumber(0), &rules).unwrap();
                crate::fs::xfs::cross_check::cross_check(&volume, ag).unwrap();
                merged += u32::from(chunk.holes == 0);
            }
            assert_eq!(volume.superblock().inodes, before + 9 * 32, "{name}");
            assert_eq!(merged >= 3, name != "scattered", "{name}: {merged}");
            assert_silent(&*disk, name);
        }
    }

    #[test]
    fn inodes_that_lie_in_free_blocks_are_found() {
        let mut volume = Volume::open(fixture("default"), Timestamp::default()).unwrap();
        let mut there = None;
        let visit = |chunk| {
            there = Some(chunk);
            Ok(ControlFlow::Break(()))
        };
        volume.inode_tree(AgNumber(0)).visit_all(visit).unwrap();
        let error = volume.record_chunk(AgNumber(0), &there.unwrap()).unwrap_err();
        assert!(error.to_string().contains("lie in free blocks"), "{error}");
    }
}
