//! The room for tree blocks that must be left to Linux.
//!
//! Whatever Linux does, also removing a file, it first copies tree blocks into free space; where there is none, it gives
//! the transaction up, and the volume is read-only from then on. So it keeps a reserve ("GlobalReserve" in `btrfs
//! filesystem usage`): as much as the trees take that every transaction changes, but at least what the longest paths of a
//! some items and of one removed file may take, and at most 512 MiB. An edit may take half of it, and no more.

use super::super::chunk::block_group;
use super::super::key::object;
use super::super::superblock::LEVELS_MAX;
use super::super::tree::root_item;
use super::super::volume::Volume;
use crate::bytes::arith::len_u64;
use crate::bytes::field::le_u64;
use crate::error::{Refusal, Result};

/// Trees that every transaction changes.
const BUSY_TREES: [u64; 4] =
    [object::EXTENT_TREE, object::CSUM_TREE, object::FREE_SPACE_TREE, object::BLOCK_GROUP_TREE];

/// Blocks of each level that the smallest reserve allows for: Linux 6.18 reports 5,767,168 bytes with nodes of 16 KiB.
const LEVEL_BLOCKS: u64 = 44;

/// The largest reserve in bytes.
const RESERVE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// The first MiB of a device is in no chunk.
const KEPT_BYTES: u64 = 1024 * 1024;

impl Volume {
    /// Checks that the transaction leaves Linux at least half of its reserve. One that takes no more room than before
    /// always does.
    ///
    /// # Errors
    /// `Refused` if it does not; `Corrupt`.
    pub(crate) fn check_reserve(&mut self) -> Result<()> {
        let groups = self.groups_for(block_group::METADATA);
        let starts: Vec<u64> = groups.iter().map(|chunk| chunk.logical).collect();
        let changed = &self.pending().groups;
        let changed = starts.iter().filter_map(|start| changed.get(start));
        let (before, now) = changed.fold((0u64, 0u64), |(before, now), group| {
            (before.saturating_add(group.before), now.saturating_add(group.used))
        });
        let needed = now.saturating_sub(before);
        if needed == 0 {
            return Ok(());
        }
        let mut free = 0u64;
        for start in starts {
            let group = self.group(start)?;
            free = free.saturating_add(group.length.saturating_sub(group.before));
        }
        let copies = groups.iter().map(|chunk| chunk.stripes.len()).max().unwrap_or(1);
        let unallocated = self.unallocated_bytes().checked_div(len_u64(copies)).unwrap_or(0);
        let left_to_linux = self.reserve_bytes()? / 2;
        let available = free.saturating_add(unallocated).saturating_sub(left_to_linux);
        if needed > available {
            let what = "bytes for tree blocks, beside those that Linux needs to remove a file";
            return Err(Refusal::NoSpace { what: what.to_owned(), needed, available }.into());
        }
        Ok(())
    }

    /// What Linux keeps for itself.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn reserve_bytes(&self) -> Result<u64> {
        let mut used = 0u64;
        for tree in BUSY_TREES {
            if let Some((_, data)) = self.root_item(tree)? {
                used = used.saturating_add(le_u64(&data, root_item::BYTES_USED)?);
            }
        }
        let path_bytes = self.node_bytes().saturating_mul(LEVELS_MAX.into());
        Ok(used.max(path_bytes.saturating_mul(LEVEL_BLOCKS)).min(RESERVE_BYTES_MAX))
    }

    /// What of the device is in no chunk, in bytes.
    fn unallocated_bytes(&self) -> u64 {
        let stripes = |chunk: &super::super::chunk::Chunk| {
            chunk.length.saturating_mul(len_u64(chunk.stripes.len()))
        };
        let allocated = self.chunks().iter().map(stripes).fold(0, u64::saturating_add);
        let device_bytes = self.superblock().device_bytes.saturating_sub(KEPT_BYTES);
        device_bytes.saturating_sub(allocated)
    }
}
