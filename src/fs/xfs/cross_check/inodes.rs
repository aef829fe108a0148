//! Inodes: both trees, the AGI, and free space.

use super::{Compare, CrossDefect, Group, Run, check_count, check_not_free, join};
use crate::bytes::arith::OutOfRange;
use crate::fs::xfs::btree::{INODES_PER_HOLE, InodeChunk};
use crate::fs::xfs::volume::Volume;

/// Compares inobt, finobt, AGI and bnobt.
pub(super) fn compare(volume: &Volume, group: &Group) -> Result<(), Compare> {
    let (agi, chunks) = (&group.agi, &group.inodes.records);
    let sum = |count: fn(&InodeChunk) -> u32| {
        chunks.iter().map(|chunk| u64::from(count(chunk))).fold(0, u64::saturating_add)
    };
    check_count("inodes", agi.inode_count.into(), sum(|chunk| chunk.count))?;
    check_count("free inodes", agi.free_inode_count.into(), sum(|chunk| chunk.free_count))?;
    if let Some(stored) = agi.inode_tree_blocks {
        check_count("blocks of the inobt", stored.into(), group.inodes.blocks)?;
    }
    if let Some(free) = &group.free_inodes {
        if let Some(stored) = agi.free_inode_tree_blocks {
            check_count("blocks of the finobt", stored.into(), free.blocks)?;
        }
        check_same(chunks, &free.records)?;
    }
    let blocks = chunk_blocks(volume, chunks)?;
    check_not_free("an inode chunk", &group.by_block.records, &blocks)?;
    Ok(())
}

/// The finobt has exactly the chunks that have free inodes.
fn check_same(chunks: &[InodeChunk], free: &[InodeChunk]) -> Result<(), CrossDefect> {
    let mut expected = chunks.iter().filter(|chunk| chunk.free_count > 0);
    let mut found = free.iter();
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) => {
                return Err(CrossDefect::Chunk(one.start.0.min(other.start.0)));
            }
            (Some(only), None) | (None, Some(only)) => {
                return Err(CrossDefect::Chunk(only.start.0));
            }
        }
    }
}

/// The blocks of all inodes that exist, joined.
pub(super) fn chunk_blocks(volume: &Volume, chunks: &[InodeChunk]) -> Result<Vec<Run>, OutOfRange> {
    let log = u32::from(volume.superblock().inodes_per_block_log);
    let mut runs = Vec::new();
    for chunk in chunks {
        let parts = (0..u16::BITS).filter(|part| chunk.holes.wrapping_shr(*part) & 1 == 0);
        for part in parts {
            let first = u64::from(part).saturating_mul(INODES_PER_HOLE.into());
            let first = u64::from(chunk.start.0).saturating_add(first);
            let last = first.saturating_add(u64::from(INODES_PER_HOLE).saturating_sub(1));
            let block = |inode: u64| inode.checked_shr(log).ok_or(OutOfRange);
            runs.push(Run { start: block(first)?, end: block(last)?.saturating_add(1) });
        }
    }
    Ok(join(runs))
}
