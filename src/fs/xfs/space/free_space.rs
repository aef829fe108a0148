//! Free extents: every one is in the bnobt by block and in the cntbt by size, none touches another, and the
//! AGF has their sum and the longest.

use super::store::tree;
use super::{SpaceDefect, corrupt};
use crate::bytes::arith::to;
use crate::error::Result;
use crate::fs::xfs::ag::{Agfl, header_blocks};
use crate::fs::xfs::btree::{Bnobt, Cntbt, FreeExtent, TreeKind};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;

impl Volume {
    /// Takes `count` blocks from `start` out of the free extent `extent`.
    pub(super) fn take_free(
        &mut self,
        ag: AgNumber,
        extent: FreeExtent,
        start: AgBlock,
        count: u32,
    ) -> Result<()> {
        self.check_not_metadata(ag, start, count)?;
        self.check_known(ag, extent)?;
        self.check_no_owner(ag, start, count)?;
        let before =
            FreeExtent { start: extent.start, count: start.0.saturating_sub(extent.start.0) };
        let end = start.plus(count)?;
        let behind =
            FreeExtent { start: end, count: to(extent.end().saturating_sub(end.0.into()))? };
        match (before.count > 0, behind.count > 0) {
            (false, false) => {
                self.remove_free(ag, extent)?;
            }
            (true, false) => self.change_free(ag, extent, before)?,
            (false, true) => self.change_free(ag, extent, behind)?,
            (true, true) => {
                self.change_free(ag, extent, before)?;
                self.insert_free(ag, behind)?;
            }
        }
        self.count_free(ag, |free| free.checked_sub(count))
    }

    /// Makes `count` blocks from `start` free, as one with the free extents that they touch.
    pub(super) fn give_free(&mut self, ag: AgNumber, start: AgBlock, count: u32) -> Result<()> {
        self.check_not_metadata(ag, start, count)?;
        let end = start.plus(count)?;
        let by_block = tree::<Bnobt, _>(&*self, ag);
        let (left, right) = (by_block.at_or_before(&start)?, by_block.at_or_after(&start)?);
        let overlaps = left.is_some_and(|left| left.end() > u64::from(start.0))
            || right.is_some_and(|right| right.start < end);
        if overlaps {
            return Err(corrupt(ag, SpaceDefect::FreeAndUsed { start, count }));
        }
        let left = left.filter(|left| left.end() == u64::from(start.0));
        let right = right.filter(|right| right.start == end);
        for neighbour in [left, right].into_iter().flatten() {
            self.check_known(ag, neighbour)?;
        }
        let first = left.map_or(start, |left| left.start);
        let last = right.map_or(u64::from(end.0), FreeExtent::end);
        let whole = FreeExtent { start: first, count: to(last.saturating_sub(first.0.into()))? };
        match (left, right) {
            (None, None) => self.insert_free(ag, whole)?,
            (Some(one), None) | (None, Some(one)) => self.change_free(ag, one, whole)?,
            (Some(left), Some(right)) => {
                self.remove_free(ag, right)?;
                self.change_free(ag, left, whole)?;
            }
        }
        self.count_free(ag, |free| free.checked_add(count))
    }

    fn insert_free(&mut self, ag: AgNumber, extent: FreeExtent) -> Result<()> {
        tree::<Bnobt, _>(&mut *self, ag).insert(extent)?;
        tree::<Cntbt, _>(self, ag).insert(extent)
    }

    fn remove_free(&mut self, ag: AgNumber, extent: FreeExtent) -> Result<()> {
        tree::<Bnobt, _>(&mut *self, ag).remove(&Bnobt::key(&extent))?;
        tree::<Cntbt, _>(self, ag).remove(&Cntbt::key(&extent))?;
        Ok(())
    }

    /// Changes start or length of a free extent without passing another one.
    fn change_free(&mut self, ag: AgNumber, old: FreeExtent, new: FreeExtent) -> Result<()> {
        tree::<Bnobt, _>(&mut *self, ag).replace(&Bnobt::key(&old), new)?;
        tree::<Cntbt, _>(self, ag).replace(&Cntbt::key(&old), new)
    }

    /// Changes the sum of free blocks in the AGF, and notes the longest extent.
    fn count_free(&mut self, ag: AgNumber, change: impl FnOnce(u32) -> Option<u32>) -> Result<()> {
        let longest = tree::<Cntbt, _>(&*self, ag).last()?.map_or(0, |extent| extent.count);
        let mut agf = self.agf(ag)?;
        let stored = agf.free_blocks;
        let counter = SpaceDefect::Counter { stored: u64::from(stored), count: longest };
        agf.free_blocks = change(stored).ok_or_else(|| corrupt(ag, counter.clone()))?;
        agf.longest_blocks = longest;
        if longest > agf.free_blocks {
            return Err(corrupt(ag, counter));
        }
        agf.store(self)
    }

    /// Checks that a free extent is in both trees, and that the AGF knows the longest.
    fn check_known(&self, ag: AgNumber, extent: FreeExtent) -> Result<()> {
        let FreeExtent { start, count } = extent;
        let missing = |tree| corrupt(ag, SpaceDefect::NotInBoth { start, count, tree });
        if tree::<Bnobt, _>(self, ag).get(&Bnobt::key(&extent))? != Some(extent) {
            return Err(missing("block"));
        }
        let by_size = tree::<Cntbt, _>(self, ag);
        if by_size.get(&Cntbt::key(&extent))? != Some(extent) {
            return Err(missing("size"));
        }
        let found = by_size.last()?.map_or(0, |extent| extent.count);
        let stored = self.agf(ag)?.longest_blocks;
        if found == stored {
            return Ok(());
        }
        Err(corrupt(ag, SpaceDefect::Longest { stored, found }))
    }

    /// Checks that blocks are not among those whose place is fixed or known: headers, log, roots, AGFL.
    fn check_not_metadata(&self, ag: AgNumber, start: AgBlock, count: u32) -> Result<()> {
        let end = start.plus(count)?;
        let agf = self.agf(ag)?;
        let agi = crate::fs::xfs::ag::Agi::load(self, ag)?;
        let listed = Agfl::load(self, &agf)?.blocks(agf.free_list)?;
        let roots = [Some(agf.by_block), Some(agf.by_size), agf.reverse_map, agf.reference_counts];
        let roots = roots.into_iter().chain([Some(agi.inodes), agi.free_inodes]).flatten();
        let log = self.superblock();
        let (log_ag, log_start) = match log.log_start.0 {
            0 => (None, AgBlock(0)),
            _ => log.split(log.log_start).map(|(ag, start)| (Some(ag), start))?,
        };
        let log_end = log_start.plus(log.log_blocks)?;
        let is_in = |block: AgBlock| start <= block && block < end;
        let what = if start.0 < header_blocks(self.superblock())? {
            "the headers"
        } else if log_ag == Some(ag) && start < log_end && log_start < end {
            "the log"
        } else if roots.map(|root| root.block).any(is_in) {
            "the root of a tree"
        } else if listed.into_iter().any(is_in) {
            "the free list"
        } else {
            return Ok(());
        };
        Err(corrupt(ag, SpaceDefect::Metadata { start, count, what }))
    }
}
