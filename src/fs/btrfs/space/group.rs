//! Block groups: how much of each is in use, and what of it was free before the edit.
//!
//! Format: Btrfs documentation, "On-disk format", section "Block group item". There is one for each chunk, under the
//! key (address, 192, length), in the extent tree or in a tree of its own (BLOCK_GROUP_TREE).
//!
//! | offset | size | field          | valid when              |
//! |-------:|-----:|----------------|-------------------------|
//! |      0 |    8 | used           | sum of its extents      |
//! |      8 |    8 | chunk_objectid | 256                     |
//! |     16 |    8 | flags          | the type of the chunk   |

use crate::bytes::arith::add;
use crate::bytes::field::{le_u64, put_le_u64};
use crate::error::{Context as _, Corrupt, Result};
use crate::fs::btrfs::feature::compat_ro;
use crate::fs::btrfs::key::{Key, item, object};
use crate::fs::btrfs::volume::Volume;
use std::collections::BTreeMap;

/// What can be wrong with a block group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// A chunk without a block group.
    #[error("no block group item")]
    Missing,
    /// More in use than there is, or less than nothing.
    #[error("{used} of {length} bytes are in use")]
    Used {
        /// In use, in bytes.
        used: u64,
        /// Length in bytes.
        length: u64,
    },
    /// Free space that is none.
    #[error("the space at {0} is recorded as free, and in use")]
    InUse(u64),
}

/// A block group that an edit looks at.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Its first logical address.
    pub(crate) start: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// Bytes in use before the edit.
    pub(crate) before: u64,
    /// Bytes in use, as the tree says.
    pub(crate) recorded: u64,
    /// Bytes in use now.
    pub(crate) used: u64,
    /// Free ranges, start to end, that were free before the edit and are still; `None` before they are needed.
    pub(crate) free: Option<BTreeMap<u64, u64>>,
}

impl Group {
    /// Takes `bytes` from the free ranges, aligned to `align`.
    pub(crate) fn take(&mut self, bytes: u64, align: u64) -> Result<Option<u64>> {
        let Some(free) = &mut self.free else { return Ok(None) };
        for (&start, &end) in &*free {
            let at = crate::bytes::arith::round_up(start, align)?;
            let at_end = add(at, bytes)?;
            if at_end > end {
                continue;
            }
            free.remove(&start);
            if start < at {
                free.insert(start, at);
            }
            if at_end < end {
                free.insert(at_end, end);
            }
            return Ok(Some(at));
        }
        Ok(None)
    }

    /// Takes a range that is wholly free; false if it is not.
    pub(crate) fn take_at(&mut self, from: u64, to: u64) -> bool {
        let mut ranges = self.free.iter().flat_map(|free| free.range(..=from));
        let is_free = ranges.next_back().is_some_and(|(_, end)| *end >= to);
        if is_free {
            self.exclude(from, to);
        }
        is_free
    }

    /// The longest free range in bytes.
    pub(crate) fn longest(&self) -> u64 {
        let ranges = self.free.iter().flatten();
        ranges.map(|(start, end)| end.saturating_sub(*start)).max().unwrap_or(0)
    }

    pub(super) fn exclude(&mut self, from: u64, to: u64) {
        let Some(free) = &mut self.free else { return };
        let touched: Vec<(u64, u64)> =
            free.range(..to).filter(|(_, end)| **end > from).map(|(s, e)| (*s, *e)).collect();
        for (start, end) in touched {
            free.remove(&start);
            if start < from {
                free.insert(start, from);
            }
            if end > to {
                free.insert(to, end);
            }
        }
    }
}

impl Volume {
    fn group_tree(&self) -> u64 {
        if self.superblock().features.has_compat_ro(compat_ro::BLOCK_GROUP_TREE) {
            object::BLOCK_GROUP_TREE
        } else {
            object::EXTENT_TREE
        }
    }

    /// The block group that has the address.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn group(&mut self, logical: u64) -> Result<&mut Group> {
        let (start, length) = {
            let chunk = self.chunks().chunk_of(logical)?;
            (chunk.logical, chunk.length)
        };
        if !self.pending().groups.contains_key(&start) {
            let used = self.recorded_use(start, length)?;
            let group = Group { start, length, before: used, recorded: used, used, free: None };
            self.pending().groups.insert(start, group);
        }
        let missing = || Corrupt::new("block group", Defect::Missing);
        Ok(self.pending().groups.get_mut(&start).ok_or_else(missing)?)
    }

    fn recorded_use(&self, start: u64, length: u64) -> Result<u64> {
        let of = || format!("block group at {start}");
        let root = self.root(self.group_tree())?;
        let key = Key::new(start, item::BLOCK_GROUP_ITEM, length);
        let missing = || Corrupt::new("block group", Defect::Missing).of(of());
        let data = self.get(&root, key)?.ok_or_else(missing)?;
        let used = le_u64(&data, 0)?;
        if used > length {
            return Err(Corrupt::new("block group", Defect::Used { used, length }).of(of()).into());
        }
        Ok(used)
    }

    /// Brings the use of all groups into their tree. True if something changed.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn store_groups(&mut self) -> Result<bool> {
        let tree = self.group_tree();
        let changed: Vec<(u64, u64, u64)> = self
            .pending()
            .groups
            .values_mut()
            .filter(|group| group.used != group.recorded)
            .map(|group| {
                group.recorded = group.used;
                (group.start, group.length, group.used)
            })
            .collect();
        for &(start, length, used) in &changed {
            let key = Key::new(start, item::BLOCK_GROUP_ITEM, length);
            let root = self.root(tree)?;
            let missing = || Corrupt::new("block group", Defect::Missing);
            let mut data = self.get(&root, key)?.ok_or_else(missing)?;
            put_le_u64(&mut data, 0, used)?;
            self.replace(tree, key, data)?;
        }
        Ok(!changed.is_empty())
    }

    /// An extent is in the extent tree now.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn space_taken(&mut self, bytenr: u64, bytes: u64) -> Result<()> {
        self.change_use(bytenr, bytes, true)
    }

    /// An extent is no longer in the extent tree. Its space is free only for later edits.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn space_freed(&mut self, bytenr: u64, bytes: u64) -> Result<()> {
        self.change_use(bytenr, bytes, false)
    }

    fn change_use(&mut self, bytenr: u64, bytes: u64, is_taken: bool) -> Result<()> {
        let group = self.group(bytenr)?;
        let (start, length) = (group.start, group.length);
        let used =
            if is_taken { group.used.checked_add(bytes) } else { group.used.checked_sub(bytes) };
        match used {
            Some(used) if used <= length => group.used = used,
            _ => {
                let defect = Defect::Used { used: group.used, length };
                let object = format!("block group at {start}");
                return Err(Corrupt::new("block group", defect).of(object).into());
            }
        }
        let has_tree = self.superblock().features.has_compat_ro(compat_ro::FREE_SPACE_TREE);
        if has_tree {
            let range = (bytenr, add(bytenr, bytes)?);
            self.update_free_space((start, length), range, is_taken)
                .context(|| format!("free space of the block group at {start}"))?;
        }
        Ok(())
    }
}
