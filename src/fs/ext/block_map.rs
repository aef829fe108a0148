//! Block maps: how ext2 and ext3 files, and old directories, find their blocks.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Direct/Indirect Block
//! Addressing". `i_block` holds 12 direct block numbers and one each for an indirect, a double and a triple
//! indirect block; every entry is a little-endian 32-bit block number, 0 is a hole. Nothing has a checksum.

use super::content::{FreedBlocks, MappedRun, Mapping};
use super::inode::Inode;
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{add, div, mul, rem, sub, to};
use crate::bytes::field::{le_u32, put_le_u32};
use crate::error::{Corrupt, Error, Result};

/// Block numbers that lie in the inode itself.
const DIRECT_COUNT: u64 = 12;
/// Deepest indirection.
const LEVELS_MAX: u32 = 3;

/// What can be wrong with a block map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockMapDefect {
    #[error("entry for block {at} leads to block {block}, outside the file system")]
    Outside { at: u32, block: u32 },
    #[error("block {0} is behind what a block map can hold")]
    TooFar(u32),
}

/// The way to one block: the index in `i_block`, then the index in each indirect block.
fn way(at: FileBlock, per_block: u64) -> Result<(usize, Vec<u64>)> {
    let mut index = u64::from(at.0);
    if index < DIRECT_COUNT {
        return Ok((to(index)?, Vec::new()));
    }
    index = sub(index, DIRECT_COUNT)?;
    let mut span = per_block;
    for level in 1..=LEVELS_MAX {
        if index < span {
            let mut steps = Vec::new();
            let mut below = span;
            for _ in 0..level {
                below = div(below, per_block)?;
                steps.push(div(index, below)?);
                index = rem(index, below)?;
            }
            let slot = add(DIRECT_COUNT, u64::from(level.saturating_sub(1)))?;
            return Ok((to(slot)?, steps));
        }
        index = sub(index, span)?;
        span = mul(span, per_block)?;
    }
    Err(Corrupt::new("block map", BlockMapDefect::TooFar(at.0)).into())
}

impl Volume {
    fn entries_per_indirect(&self) -> u64 {
        self.superblock().block_size() >> 2
    }

    /// Turns an entry into a block number; `None` for a hole.
    fn map_entry(&self, inode: &Inode, at: FileBlock, entry: u32) -> Result<Option<FsBlock>> {
        if entry == 0 {
            return Ok(None);
        }
        let superblock = self.superblock();
        let block = u64::from(entry);
        if block <= u64::from(superblock.first_data_block) || block >= superblock.blocks_count {
            let defect = BlockMapDefect::Outside { at: at.0, block: entry };
            return Err(Corrupt::new("block map", defect).of(inode.number.to_string()).into());
        }
        Ok(Some(FsBlock(block)))
    }

    /// Finds block `at` of a file that is mapped by a block map.
    pub(crate) fn find_mapped_block(&self, inode: &Inode, at: FileBlock) -> Result<MappedRun> {
        let per_block = self.entries_per_indirect();
        let (slot, steps) = way(at, per_block)?;
        let entry = le_u32(inode.i_block()?, slot.saturating_mul(4))?;
        let mut block = self.map_entry(inode, at, entry)?;
        // Blocks that a hole at this place of the map spans.
        let mut span = steps.iter().try_fold(1, |span, _| mul(span, per_block))?;
        let mut run = 1u64;
        for step in steps {
            span = div(span, per_block)?;
            let Some(indirect) = block else {
                let inside = mul(span, per_block)?;
                let position = self.position_in_span(at, inside)?;
                let length = sub(inside, position)?.max(1);
                return Ok(MappedRun { mapping: Mapping::Hole, length });
            };
            let bytes = self.read_block(indirect)?;
            let step_at: usize = to(mul(step, 4)?)?;
            block = self.map_entry(inode, at, le_u32(&bytes, step_at)?)?;
            if span == 1 {
                run = count_run(&bytes, step_at);
            }
        }
        let Some(block) = block else {
            return Ok(MappedRun { mapping: Mapping::Hole, length: run.max(1) });
        };
        let left = sub(self.superblock().blocks_count, block.0)?;
        Ok(MappedRun { mapping: Mapping::Mapped(block), length: run.min(left) })
    }

    /// How far `at` is behind the start of the aligned run of `span` blocks that holds it.
    fn position_in_span(&self, at: FileBlock, span: u64) -> Result<u64> {
        let per_block = self.entries_per_indirect();
        let mut index = sub(u64::from(at.0), DIRECT_COUNT)?;
        let mut level_span = per_block;
        for _ in 1..LEVELS_MAX {
            if index < level_span {
                break;
            }
            index = sub(index, level_span)?;
            level_span = mul(level_span, per_block)?;
        }
        Ok(rem(index, span)?)
    }
}

/// Length of the run of entries from `from` that lie next to each other, or are all holes.
fn count_run(bytes: &[u8], from: usize) -> u64 {
    let mut entries = bytes.get(from..).unwrap_or_default().chunks_exact(4);
    let read = |raw: &[u8]| le_u32(raw, 0).unwrap_or(0);
    let Some(first) = entries.next().map(read) else { return 1 };
    let mut length = 1u64;
    for entry in entries.map(read) {
        let expected = if first == 0 { Some(0) } else { next_block(first, length) };
        if expected != Some(entry) {
            break;
        }
        length = length.saturating_add(1);
    }
    length
}

fn next_block(first: u32, length: u64) -> Option<u32> {
    first.checked_add(u32::try_from(length).ok()?)
}

/// Bound on the indirect blocks that one cut visits: 64 GiB of content in 4 KiB blocks.
const INDIRECT_MAX: u32 = 16384;

/// One cut under way.
struct Cut<'a> {
    /// First block of the file to be unmapped.
    from: u64,
    freed: &'a mut FreedBlocks,
    indirect_left: u32,
}

impl Volume {
    /// Maps block `at` of a file that was a hole to `block`, with new indirect blocks where they are missing.
    pub(crate) fn map_block(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        block: FsBlock,
    ) -> Result<()> {
        let (slot, steps) = way(at, self.entries_per_indirect())?;
        let slot_at = slot.saturating_mul(4);
        let Some((last, above)) = steps.split_last() else {
            return Ok(put_le_u32(inode.i_block_mut()?, slot_at, to(block.0)?)?);
        };
        let entry = le_u32(inode.i_block()?, slot_at)?;
        let mut parent = if let Some(parent) = self.map_entry(inode, at, entry)? {
            parent
        } else {
            let new = self.allocate_indirect(inode, block)?;
            put_le_u32(inode.i_block_mut()?, slot_at, to(new.0)?)?;
            new
        };
        for step in above {
            let entry_at = mul(*step, 4)?;
            let entry = le_u32(&self.read_block(parent)?, to(entry_at)?)?;
            parent = if let Some(next) = self.map_entry(inode, at, entry)? {
                next
            } else {
                let new = self.allocate_indirect(inode, block)?;
                self.put_indirect(inode, parent, entry_at, new)?;
                new
            };
        }
        self.put_indirect(inode, parent, mul(*last, 4)?, block)
    }

    fn allocate_indirect(&mut self, inode: &mut Inode, goal: FsBlock) -> Result<FsBlock> {
        let (block, _) = self.allocate_clusters(goal, 1)?;
        inode.add_blocks(u64::from(self.superblock().cluster_blocks))?;
        let zeros = vec![0; self.superblock().block_len()?];
        self.write_block(block, 0, &zeros, &format!("indirect block of {}", inode.number))?;
        Ok(block)
    }

    fn put_indirect(&self, inode: &Inode, parent: FsBlock, at: u64, block: FsBlock) -> Result<()> {
        let entry: u32 = to(block.0)?;
        let what = format!("indirect block of {}", inode.number);
        self.write_block(parent, at, &entry.to_le_bytes(), &what)
    }

    /// Unmaps everything from block `from` of the file on. The blocks are listed in `freed`, not yet free.
    pub(crate) fn cut_block_map(
        &self,
        inode: &mut Inode,
        from: u64,
        freed: &mut FreedBlocks,
    ) -> Result<()> {
        let mut cut = Cut { from, freed, indirect_left: INDIRECT_MAX };
        let per_block = self.entries_per_indirect();
        let mut i_block = inode.i_block()?.to_vec();
        let (mut first, mut span) = (0u64, 1u64);
        for (slot, raw) in i_block.chunks_exact_mut(4).enumerate() {
            let level = u32::try_from(slot).unwrap_or(u32::MAX).saturating_sub(11);
            if level > 0 {
                span = mul(span, per_block)?;
            }
            let keeps = self.cut_entry(inode, le_u32(raw, 0)?, level, (first, span), &mut cut)?;
            if !keeps {
                raw.fill(0);
            }
            first = add(first, span)?;
        }
        inode.i_block_mut()?.copy_from_slice(&i_block);
        Ok(())
    }

    /// Cuts what one entry maps: `range` is (first block of the file, blocks). False if nothing is left of
    /// it. The recursion is as deep as the map, at most [`LEVELS_MAX`].
    fn cut_entry(
        &self,
        inode: &Inode,
        entry: u32,
        level: u32,
        range: (u64, u64),
        cut: &mut Cut<'_>,
    ) -> Result<bool> {
        let (first, span) = range;
        let at = FileBlock(u32::try_from(first).unwrap_or(u32::MAX));
        let Some(block) = self.map_entry(inode, at, entry)? else { return Ok(true) };
        if add(first, span)? <= cut.from {
            return Ok(true);
        }
        if level == 0 {
            cut.freed.push(block, 1)?;
            return Ok(false);
        }
        cut.indirect_left = cut.indirect_left.checked_sub(1).ok_or_else(|| {
            let what = format!("indirect blocks of {}", inode.number);
            Error::limit(what, INDIRECT_MAX.into(), u64::from(INDIRECT_MAX).saturating_add(1))
        })?;
        let mut bytes = self.read_block(block)?;
        let below = div(span, self.entries_per_indirect())?;
        let mut child_first = first;
        let mut is_changed = false;
        for raw in bytes.chunks_exact_mut(4) {
            let entry = le_u32(raw, 0)?;
            let child = (child_first, below);
            if !self.cut_entry(inode, entry, level.saturating_sub(1), child, cut)? {
                raw.fill(0);
                is_changed = true;
            }
            child_first = add(child_first, below)?;
        }
        if first >= cut.from || bytes.iter().all(|&byte| byte == 0) {
            cut.freed.push_metadata(block);
            return Ok(false);
        }
        if is_changed {
            let what = format!("indirect block of {}", inode.number);
            self.write_block(block, 0, &bytes, &what)?;
        }
        Ok(true)
    }
}
