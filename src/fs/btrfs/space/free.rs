//! What of a block group was free before the edit: by the free space tree, or by what lies between its extents.

use super::group::Defect;
use crate::bytes::arith::{add, len_u64, sub};
use crate::error::{Corrupt, Error, Result};
use crate::fs::btrfs::chunk::Chunk;
use crate::fs::btrfs::feature::compat_ro;
use crate::fs::btrfs::key::{Key, item, object};
use crate::fs::btrfs::superblock::COPIES;
use crate::fs::btrfs::volume::Volume;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Around each copy of the superblock so many bytes, aligned, are never allocated.
const KEPT_BYTES: u64 = 64 * 1024;

/// Bound on the free ranges of one block group: 1 GiB in single blocks of 4096 bytes, every other one free.
const RANGES_MAX: usize = 128 * 1024;

impl Volume {
    /// Loads the free ranges of the group of `chunk` as they were before the edit.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if there are too many.
    pub(crate) fn load_free(&mut self, chunk: &Chunk) -> Result<()> {
        if self.group(chunk.logical)?.free.is_some() {
            return Ok(());
        }
        let has_tree = self.superblock().features.has_compat_ro(compat_ro::FREE_SPACE_TREE);
        let ranges = if has_tree {
            self.free_ranges(chunk.logical, chunk.end())?
        } else {
            self.unused_ranges(chunk.logical, chunk.end())?
        };
        if ranges.len() > RANGES_MAX {
            let what = "number of free ranges of a block group";
            let limit = len_u64(RANGES_MAX);
            return Err(Error::limit(what, limit, len_u64(ranges.len())));
        }
        let disk_bytes = self.disk().len_bytes();
        let group = self.group(chunk.logical)?;
        group.free = Some(ranges);
        for &(_, physical) in &chunk.stripes {
            for copy in COPIES {
                let (from, to) = (copy, copy.saturating_add(KEPT_BYTES));
                let end = physical.saturating_add(chunk.length);
                if from < end && to > physical {
                    let logical = |at: u64| {
                        chunk
                            .logical
                            .saturating_add(at.clamp(physical, end).saturating_sub(physical))
                    };
                    group.exclude(logical(from), logical(to));
                }
            }
            // Nothing is written behind the end of the disk.
            let room = disk_bytes.saturating_sub(physical);
            if room < chunk.length {
                group.exclude(chunk.logical.saturating_add(room), chunk.end());
            }
        }
        Ok(())
    }

    /// What lies between the extents of a group.
    fn unused_ranges(&self, start: u64, end: u64) -> Result<BTreeMap<u64, u64>> {
        let root = self.committed_root(object::EXTENT_TREE)?;
        let mut free = BTreeMap::new();
        let mut at = start;
        let node_bytes = self.node_bytes();
        let last = Key::last_of(end.saturating_sub(1));
        self.for_each(&root, Key::first_of(start), last, &mut |key, _| {
            let bytes = match key.kind {
                item::EXTENT_ITEM => key.offset,
                item::METADATA_ITEM => node_bytes,
                _ => return Ok(ControlFlow::Continue(())),
            };
            if key.objectid < at {
                let defect = Defect::InUse(key.objectid);
                return Err(Corrupt::new("extent tree", defect).into());
            }
            if at < key.objectid {
                free.insert(at, key.objectid);
            }
            at = add(key.objectid, bytes)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if at < end {
            free.insert(at, end);
        }
        Ok(free)
    }

    /// Checks that the extent tree knows nothing in a range that is recorded as free.
    ///
    /// # Errors
    /// `Corrupt` if it does.
    pub(crate) fn check_unused(&self, start: u64, bytes: u64) -> Result<()> {
        let root = self.committed_root(object::EXTENT_TREE)?;
        let end = add(start, bytes)?;
        let in_use = |at| Corrupt::new("free space", Defect::InUse(at));
        let Some((last, _)) = self.last_up_to(&root, Key::last_of(sub(end, 1)?))? else {
            return Ok(());
        };
        let from = Key::new(last.objectid, item::EXTENT_ITEM, 0);
        let upto = Key::new(last.objectid, item::METADATA_ITEM, u64::MAX);
        let node_bytes = self.node_bytes();
        self.for_each(&root, from, upto, &mut |key, _| {
            let bytes = if key.kind == item::EXTENT_ITEM { key.offset } else { node_bytes };
            if add(key.objectid, bytes)? > start {
                return Err(in_use(key.objectid).into());
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}
