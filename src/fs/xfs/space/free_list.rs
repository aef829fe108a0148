//! The AGFL before an edit: filled so far that the trees can grow, and without what they do not need.
//!
//! Measured on Linux 6.18 with xfs_db: a group whose bnobt, cntbt and rmapbt have `n` levels keeps `2n` blocks
//! for each of them, or `2n - 2` where the tree cannot become any higher.

use super::store::tree;
use crate::bytes::arith::{OutOfRange, sub, to};
use crate::error::Result;
use crate::fs::xfs::ag::{AG_TREE_LEVELS_MAX, Agf, Agfl};
use crate::fs::xfs::btree::{Cntbt, OWNER_AG, ReverseMap};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;

/// Blocks above the minimum that stay on the list: giving them back would be a larger edit than keeping them.
const SURPLUS_BLOCKS: u32 = 8;

/// Header of a block of a tree in an allocation group, records and keys with pointers of the free-space
/// trees, in bytes.
const TREE_HEADER_BYTES: u32 = 56;
const RECORD_BYTES: u32 = 8;
const KEY_AND_POINTER_BYTES: u32 = 12;

/// Bound on the steps of one correction of the list: it has fewer entries than this.
const STEPS_MAX: u32 = 1 << 14;

/// How high a free-space tree becomes if every second block is free and all nodes are half full.
fn highest_free_tree(superblock: &Superblock) -> u32 {
    let room = superblock.block_size_bytes.saturating_sub(TREE_HEADER_BYTES);
    let half = |entry: u32| room.checked_div(entry.saturating_mul(2)).unwrap_or(0).max(2);
    let mut nodes = superblock.ag_blocks.div_ceil(2).div_ceil(half(RECORD_BYTES));
    let mut levels = 1u32;
    while nodes > 1 {
        nodes = nodes.div_ceil(half(KEY_AND_POINTER_BYTES));
        levels = levels.saturating_add(1);
    }
    levels
}

impl Volume {
    /// How many blocks the list needs before an edit.
    pub(super) fn free_list_minimum(&self, agf: &Agf) -> u32 {
        let highest = highest_free_tree(self.superblock());
        let need = |levels: u32, highest: u32| {
            levels.saturating_add(1).min(highest).saturating_sub(1).saturating_mul(2)
        };
        need(agf.by_block.levels, highest)
            .saturating_add(need(agf.by_size.levels, highest))
            .saturating_add(agf.reverse_map.map_or(0, |root| need(root.levels, AG_TREE_LEVELS_MAX)))
    }

    /// Fills the list of `ag` from free space, or gives back what it has too much. A group without free space
    /// is left as it is.
    pub(super) fn fix_free_list(&mut self, ag: AgNumber) -> Result<()> {
        for _ in 0..STEPS_MAX {
            let agf = self.agf(ag)?;
            let minimum = self.free_list_minimum(&agf);
            let count = agf.free_list.count;
            if count < minimum {
                let missing = sub(minimum.into(), count.into())?;
                if !self.fill_free_list(ag, to(missing)?)? {
                    return Ok(());
                }
            } else if count > minimum.saturating_add(SURPLUS_BLOCKS) {
                self.shorten_free_list(ag)?;
            } else {
                return Ok(());
            }
        }
        Err(OutOfRange.into())
    }

    /// Puts up to `count` free blocks on the list; false if there are none.
    fn fill_free_list(&mut self, ag: AgNumber, count: u32) -> Result<bool> {
        let by_size = tree::<Cntbt, _>(&*self, ag);
        let smallest = by_size.at_or_after(&(count, AgBlock(0)))?;
        let Some(extent) = smallest.map_or_else(|| by_size.last(), |extent| Ok(Some(extent)))?
        else {
            return Ok(false);
        };
        let count = count.min(extent.count);
        let start = AgBlock(to(sub(extent.end(), count.into())?)?);
        self.take_free(ag, extent, start, count)?;
        self.add_owner(ag, ReverseMap::special(start, count, OWNER_AG))?;
        let mut agf = self.agf(ag)?;
        let mut agfl = Agfl::load(self, &agf)?;
        for index in 0..count {
            agfl.put(&mut agf, start.plus(index)?)?;
        }
        agfl.store(self)?;
        agf.store(self)?;
        Ok(true)
    }

    /// Gives back the first block of the list.
    fn shorten_free_list(&mut self, ag: AgNumber) -> Result<()> {
        let mut agf = self.agf(ag)?;
        let block = Agfl::load(self, &agf)?.take(&mut agf)?;
        agf.store(self)?;
        self.remove_owner(ag, ReverseMap::special(block, 1, OWNER_AG))?;
        self.give_free(ag, block, 1)
    }
}
