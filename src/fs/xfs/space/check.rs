//! Going through all the space of one allocation group: everything that a single edit cannot see.

use super::store::{InAgf, tree};
use super::{SpaceDefect, corrupt};
use crate::bytes::arith::to;
use crate::error::Result;
use crate::fs::xfs::ag::{Agf, Agfl};
use crate::fs::xfs::btree::{
    Bnobt, Cntbt, FreeExtent, OWNER_AG, Refcountbt, ReverseMap, Rmapbt, TreeKind,
};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;

/// Blocks of a tree, in the numbers of the AGF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    tree: &'static str,
    counted: u64,
    stored: u64,
}

impl Volume {
    /// Checks the trees of the space of `ag` from end to end, against each other and against the AGF.
    ///
    /// Both free-space trees have the same extents, of which none touch; the AGF has their sum, the longest, and
    /// the blocks of the trees; with `rmapbt` every block is free or has an owner, never both.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if a tree has more than `blocks_max` blocks.
    pub(crate) fn check_space(&self, ag: AgNumber, blocks_max: u64) -> Result<()> {
        let agf = self.agf(ag)?;
        let (by_block, blocks) = self.collect::<Bnobt>(ag, blocks_max)?;
        let (mut by_size, size_blocks) = self.collect::<Cntbt>(ag, blocks_max)?;
        check_sums(ag, &agf, &by_block, &by_size)?;
        by_size.sort_unstable_by_key(|extent| extent.start);
        let differing = by_block.iter().zip(&by_size).find(|(one, other)| one != other);
        if let Some((one, _)) = differing {
            let FreeExtent { start, count } = *one;
            return Err(corrupt(ag, SpaceDefect::NotInBoth { start, count, tree: "size" }));
        }
        // Without their first roots.
        let mut tree_blocks = blocks.saturating_add(size_blocks).saturating_sub(2);
        let mut counts = Vec::new();
        if agf.reverse_map.is_some() {
            let (owners, counted) = self.collect::<Rmapbt>(ag, blocks_max)?;
            self.check_coverage(ag, &by_block, &owners)?;
            tree_blocks = tree_blocks.saturating_add(counted).saturating_sub(1);
            let stored = u64::from(agf.reverse_map_blocks);
            counts.push(Blocks { tree: "the reverse map", counted, stored });
        }
        if agf.reference_counts.is_some() {
            let (_, counted) = self.collect::<Refcountbt>(ag, blocks_max)?;
            let stored = u64::from(agf.reference_count_blocks);
            counts.push(Blocks { tree: "the reference counts", counted, stored });
        }
        let stored = u64::from(agf.tree_blocks);
        counts.push(Blocks { tree: "free space and owners", counted: tree_blocks, stored });
        match counts.into_iter().find(|blocks| blocks.counted != blocks.stored) {
            None => self.check_listed(ag, &agf, &by_block),
            Some(Blocks { tree, counted, stored }) => {
                Err(corrupt(ag, SpaceDefect::TreeBlocks { tree, counted, stored }))
            }
        }
    }

    /// All records of a tree, and how many blocks it has.
    fn collect<K: InAgf>(&self, ag: AgNumber, blocks_max: u64) -> Result<(Vec<K::Record>, u64)> {
        let mut records = Vec::new();
        let summary = tree::<K, _>(self, ag).check(blocks_max, |record| {
            records.push(record);
            Ok(())
        })?;
        Ok((records, summary.blocks))
    }

    /// Checks that every block is free or has an owner.
    fn check_coverage(
        &self,
        ag: AgNumber,
        free: &[FreeExtent],
        owners: &[ReverseMap],
    ) -> Result<()> {
        let length = u64::from(self.superblock().ag_length(ag)?);
        let of_free = free.iter().map(|extent| (extent.start, extent.end(), true));
        let of_owners = owners.iter().map(|record| (record.start, record.end(), false));
        let mut parts: Vec<(AgBlock, u64, bool)> = of_free.chain(of_owners).collect();
        parts.sort_unstable();
        // Where everything seen so far ends, and where the last free extent does.
        let (mut covered, mut free_until) = (0u64, 0u64);
        for (start, end, is_free) in parts {
            let from = u64::from(start.0);
            let taken_until = if is_free { covered } else { free_until };
            if from < taken_until {
                let count = to(end.saturating_sub(from))?;
                return Err(corrupt(ag, SpaceDefect::FreeAndUsed { start, count }));
            }
            if from > covered {
                return Err(corrupt(ag, SpaceDefect::Lost { block: AgBlock(to(covered)?) }));
            }
            covered = covered.max(end);
            if is_free {
                free_until = end;
            }
        }
        if covered < length {
            return Err(corrupt(ag, SpaceDefect::Lost { block: AgBlock(to(covered)?) }));
        }
        Ok(())
    }

    /// Checks that the blocks of the AGFL are not free, and have the owner that they must have.
    fn check_listed(&self, ag: AgNumber, agf: &Agf, free: &[FreeExtent]) -> Result<()> {
        for block in Agfl::load(self, agf)?.blocks(agf.free_list)? {
            let behind = free.partition_point(|extent| extent.start <= block);
            let before = behind.checked_sub(1).and_then(|index| free.get(index));
            if before.is_some_and(|extent| extent.end() > u64::from(block.0)) {
                return Err(corrupt(ag, SpaceDefect::FreeAndUsed { start: block, count: 1 }));
            }
            if agf.reverse_map.is_none() {
                continue;
            }
            let record = ReverseMap::special(block, 1, OWNER_AG);
            let map = tree::<Rmapbt, _>(self, ag);
            let found = map.at_or_before(&Rmapbt::key(&record))?;
            let is_right = found
                .is_some_and(|found| found.owner == OWNER_AG && found.end() > u64::from(block.0));
            if !is_right {
                return Err(corrupt(
                    ag,
                    SpaceDefect::NotOwned { block, owner: OWNER_AG, offset: 0 },
                ));
            }
        }
        Ok(())
    }
}

/// Checks number, sum and longest of the free extents, and that none touch.
fn check_sums(
    ag: AgNumber,
    agf: &Agf,
    by_block: &[FreeExtent],
    by_size: &[FreeExtent],
) -> Result<()> {
    let counted: u64 = by_block.iter().map(|extent| u64::from(extent.count)).sum();
    if counted != u64::from(agf.free_blocks) {
        let stored = u64::from(agf.free_blocks);
        let tree = "free space, in free blocks";
        return Err(corrupt(ag, SpaceDefect::TreeBlocks { tree, counted, stored }));
    }
    if by_block.len() != by_size.len() {
        let extent = by_block.iter().chain(by_size).next();
        let (start, count) = extent.map_or((AgBlock(0), 0), |extent| (extent.start, extent.count));
        return Err(corrupt(ag, SpaceDefect::NotInBoth { start, count, tree: "size or block" }));
    }
    let found = by_size.last().map_or(0, |extent| extent.count);
    let stored = agf.longest_blocks;
    if found != stored {
        return Err(corrupt(ag, SpaceDefect::Longest { stored, found }));
    }
    for pair in by_block.windows(2) {
        if let [left, right] = pair
            && left.end() >= u64::from(right.start.0)
        {
            let FreeExtent { start, count } = *right;
            return Err(corrupt(ag, SpaceDefect::Touching { start, count }));
        }
    }
    Ok(())
}
