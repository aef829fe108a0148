//! Free space: both trees, the AGF and the free list.

use super::{Compare, CrossDefect, Group, Run, check_count, check_not_free};
use crate::fs::xfs::btree::FreeExtent;
use crate::fs::xfs::volume::Volume;

fn run(extent: FreeExtent) -> Run {
    Run::of(extent.start, extent.count)
}

/// Compares bnobt, cntbt, AGF and AGFL.
pub(super) fn compare(volume: &Volume, group: &Group) -> Result<(), Compare> {
    let by_block = &group.by_block.records;
    check_same(by_block, &group.by_size.records)?;
    for pair in by_block.windows(2) {
        if let [before, after] = pair
            && before.end() >= u64::from(after.start.0)
        {
            return Err(CrossDefect::Touching(run(*before), run(*after)).into());
        }
    }
    let counts = by_block.iter().map(|extent| u64::from(extent.count));
    let longest = counts.clone().max().unwrap_or(0);
    let sum = counts.fold(0, u64::saturating_add);
    let agf = &group.agf;
    check_count("free blocks", agf.free_blocks.into(), sum)?;
    check_count("blocks of the longest free extent", agf.longest_blocks.into(), longest)?;
    check_tree_blocks(volume, group)?;
    check_not_free("a block of the AGFL", by_block, &group.listed)?;
    Ok(())
}

/// Both trees have the same extents.
fn check_same(by_block: &[FreeExtent], by_size: &[FreeExtent]) -> Result<(), CrossDefect> {
    let mut sorted = by_size.to_vec();
    sorted.sort_unstable_by_key(|extent| (extent.start, extent.count));
    let len = by_block.len().max(sorted.len());
    let mut pairs = (0..len).map(|at| (by_block.get(at), sorted.get(at)));
    match pairs.find(|(one, other)| one != other) {
        Some((Some(one), Some(other))) if other.start < one.start => {
            Err(CrossDefect::FreeInOne(run(*other)))
        }
        Some((Some(only), _) | (None, Some(only))) => Err(CrossDefect::FreeInOne(run(*only))),
        _ => Ok(()),
    }
}

fn check_tree_blocks(volume: &Volume, group: &Group) -> Result<(), CrossDefect> {
    let agf = &group.agf;
    let owner_blocks = group.owners.as_ref().map(|read| read.blocks);
    if volume.superblock().features.has_lazy_counters() && !group.lacks_owners {
        // The first roots do not count.
        let trees = [Some(group.by_block.blocks), Some(group.by_size.blocks), owner_blocks];
        let more = trees.into_iter().flatten().map(|blocks| blocks.saturating_sub(1));
        let found = more.fold(0, u64::saturating_add);
        check_count("blocks of bnobt, cntbt and rmapbt", agf.tree_blocks.into(), found)?;
    }
    if let Some(found) = owner_blocks {
        check_count("blocks of the rmapbt", agf.reverse_map_blocks.into(), found)?;
    }
    if let Some(references) = &group.references {
        let stored = agf.reference_count_blocks.into();
        check_count("blocks of the refcountbt", stored, references.blocks)?;
    }
    Ok(())
}
