//! Which free extent to take, and which part of it.

use super::store::tree;
use super::{Near, Request};
use crate::bytes::arith::{rem, to};
use crate::error::Result;
use crate::fs::xfs::ag::Agf;
use crate::fs::xfs::btree::{Bnobt, Cntbt, FreeExtent};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

/// Blocks of every allocation group that stay free, so that later edits, ours or the kernel's, can fill the
/// free list.
const GROUP_RESERVE_BLOCKS: u32 = 8;

/// Bound on the free extents that are looked at for one with an aligned part.
const EXTENTS_TRIED_MAX: u32 = 4096;

/// A part of a free extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) extent: FreeExtent,
    pub(super) start: AgBlock,
    pub(super) count: u32,
}

impl Volume {
    /// The groups that a request may be served from, best first.
    pub(super) fn groups_for(
        &self,
        request: &Request,
    ) -> Result<impl Iterator<Item = AgNumber> + use<>> {
        let first = match request.near {
            Near::Block(block) => self.superblock().split(block)?.0,
            Near::Group(ag) => {
                self.superblock().ag_length(ag)?;
                ag
            }
        };
        let count = self.superblock().ag_count;
        let others = if request.owner.stays_in_group() { 0 } else { count.saturating_sub(1) };
        let round = (first.0..count).chain(0..first.0).map(AgNumber);
        Ok(round.take(to::<u32, usize>(others)?.saturating_add(1)))
    }

    /// Where in `ag` at least `wanted` blocks can be taken, up to as many as the request wants.
    pub(super) fn place_in(
        &self,
        ag: AgNumber,
        request: &Request,
        wanted: u32,
    ) -> Result<Option<Place>> {
        let agf = self.agf(ag)?;
        let most = request.max_blocks.min(self.spare_blocks(&agf));
        if most < wanted || agf.longest_blocks < wanted {
            return Ok(None);
        }
        if let Some(place) = self.place_at(ag, request, most)? {
            return Ok(Some(place));
        }
        let mut place = None;
        let mut tried = 0u32;
        let by_size = tree::<Cntbt, _>(self, ag);
        by_size.visit_back_from(&(u32::MAX, AgBlock(u32::MAX)), |extent| {
            place = place_at_end(extent, request.alignment, most)?
                .filter(|place| place.count >= wanted);
            tried = tried.saturating_add(1);
            let is_over = place.is_some() || extent.count < wanted || tried > EXTENTS_TRIED_MAX;
            Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(place)
    }

    /// `count` blocks from the very block that the request names, if they are all free.
    fn place_at(&self, ag: AgNumber, request: &Request, count: u32) -> Result<Option<Place>> {
        let Near::Block(block) = request.near else { return Ok(None) };
        let (near_ag, start) = self.superblock().split(block)?;
        if near_ag != ag
            || count != request.max_blocks
            || rem(u64::from(start.0), u64::from(request.alignment))? != 0
        {
            return Ok(None);
        }
        let extent = tree::<Bnobt, _>(self, ag).at_or_before(&start)?;
        let end = u64::from(start.0).saturating_add(u64::from(count));
        Ok(extent.filter(|extent| end <= extent.end()).map(|extent| Place { extent, start, count }))
    }

    /// Blocks of a group that can be taken without touching its reserve.
    fn spare_blocks(&self, agf: &Agf) -> u32 {
        let missing = self.free_list_minimum(agf).saturating_sub(agf.free_list.count);
        agf.free_blocks.saturating_sub(missing).saturating_sub(GROUP_RESERVE_BLOCKS)
    }

    /// The longest run that could be taken for a request, for people: groups that cannot be read have none.
    pub(super) fn longest_place(&self, request: &Request) -> u64 {
        let Ok(groups) = self.groups_for(request) else { return 0 };
        let longest = groups.filter_map(|ag| {
            let agf = self.agf(ag).ok()?;
            Some(agf.longest_blocks.min(self.spare_blocks(&agf)))
        });
        u64::from(longest.max().unwrap_or(0))
    }
}

/// The last aligned part of `extent` with `most` blocks, or all from its first aligned block on.
fn place_at_end(extent: FreeExtent, alignment: u32, most: u32) -> Result<Option<Place>> {
    let end: u32 = to(extent.end())?;
    let down = |block: u32| block.saturating_sub(block.checked_rem(alignment).unwrap_or(0));
    let last = down(end.saturating_sub(most));
    let (start, count) = if last >= extent.start.0 && end >= most {
        (last, most)
    } else {
        let Some(first) = extent.start.0.checked_next_multiple_of(alignment) else {
            return Ok(None);
        };
        (first, end.saturating_sub(first).min(most))
    };
    Ok((count > 0).then_some(Place { extent, start: AgBlock(start), count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(start: u32, count: u32, alignment: u32, most: u32) -> Option<(u32, u32)> {
        let extent = FreeExtent { start: AgBlock(start), count };
        let place = place_at_end(extent, alignment, most).unwrap();
        place.map(|place| (place.start.0, place.count))
    }

    #[test]
    fn the_end_of_an_extent_is_taken_as_alignment_allows() {
        assert_eq!(at_end(10, 20, 1, 3), Some((27, 3)));
        assert_eq!(at_end(10, 20, 8, 3), Some((24, 3)));
        assert_eq!(at_end(10, 20, 1, 30), Some((10, 20)));
        assert_eq!(at_end(10, 20, 8, 30), Some((16, 14)));
        assert_eq!(at_end(10, 20, 8, 20), Some((16, 14)));
        assert_eq!(at_end(17, 5, 8, 5), None);
        assert_eq!(at_end(0, 5, 8, 30), Some((0, 5)));
        assert_eq!(at_end(9, 5, 16, 1), None);
    }
}
