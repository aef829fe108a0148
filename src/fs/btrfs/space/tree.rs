//! The free space tree.
//!
//! Format: Btrfs documentation, "On-disk format", section "Free space tree". For each block group:
//!
//! | key                     | data                                                                    |
//! |-------------------------|-------------------------------------------------------------------------|
//! | (group, 198, length)    | number of free ranges (4), flags (4): bit 0 says that bitmaps are used   |
//! | (start, 199, length)    | a free range; no data                                                   |
//! | (start, 200, length)    | a bitmap: one bit for each unit of data, the lowest one first; 1: free   |
//!
//! Free ranges never touch: what is given back joins its neighbours. The layout of a group is kept as it is found; the
//! kernel changes it when it likes.

use super::super::key::{Key, item, object};
use super::super::volume::Volume;
use crate::bytes::arith::{add, div, len_u64, mul, sub};
use crate::bytes::field::{le_u32, put_le_u32};
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Bit of the flags: the group uses bitmaps.
const USES_BITMAPS: u32 = 1;

/// What can be wrong with the free space tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// No record of a group.
    #[error("the block group has no record")]
    NoInfo,
    /// Space that is to be taken is not free.
    #[error("the space from {0} to {1} is not recorded as free")]
    NotFree(u64, u64),
    /// Space that is given back is free.
    #[error("the space from {0} to {1} is recorded as free")]
    Free(u64, u64),
    /// A bitmap of the wrong size.
    #[error("the bitmap at {0} has the wrong size")]
    Bitmap(u64),
}

fn corrupt(defect: Defect) -> Error {
    Corrupt::new("free space tree", defect).into()
}

type Range = (u64, u64);

impl Volume {
    /// The free ranges of a group before the edit, start to end.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn free_ranges(&self, start: u64, end: u64) -> Result<BTreeMap<u64, u64>> {
        let root = self.committed_root(object::FREE_SPACE_TREE)?;
        let unit = u64::from(self.superblock().sector_bytes);
        let mut ranges: BTreeMap<u64, u64> = BTreeMap::new();
        let last = Key::last_of(sub(end, 1)?);
        self.for_each(&root, Key::first_of(start), last, &mut |key, data| {
            match key.kind {
                item::FREE_SPACE_EXTENT => {
                    let range_end = add(key.objectid, key.offset)?;
                    if range_end > end {
                        return Err(corrupt(Defect::NotFree(key.objectid, range_end)));
                    }
                    ranges.insert(key.objectid, range_end);
                }
                item::FREE_SPACE_BITMAP => {
                    for index in free_bits(key, data, unit, end)? {
                        let at = add(key.objectid, mul(index, unit)?)?;
                        push_unit(&mut ranges, at, unit)?;
                    }
                }
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ranges)
    }

    /// Records that `range` of a group was taken or given back.
    ///
    /// # Errors
    /// `Corrupt` if the tree says otherwise.
    pub(crate) fn update_free_space(
        &mut self,
        (start, length): (u64, u64),
        range: Range,
        is_taken: bool,
    ) -> Result<()> {
        let key = Key::new(start, item::FREE_SPACE_INFO, length);
        let root = self.root(object::FREE_SPACE_TREE)?;
        let info = self.get(&root, key)?.ok_or_else(|| corrupt(Defect::NoInfo))?;
        let (before, uses_bitmaps) = (le_u32(&info, 0)?, le_u32(&info, 4)? & USES_BITMAPS != 0);
        let group = (start, add(start, length)?);
        let change = match (uses_bitmaps, is_taken) {
            (false, true) => self.take_extent(range)?,
            (false, false) => self.give_extent(group, range)?,
            (true, _) => self.flip_bits(group, range, is_taken)?,
        };
        let after = before.checked_add_signed(change).ok_or_else(|| corrupt(Defect::NoInfo))?;
        if after == before {
            return Ok(());
        }
        let mut info = info;
        put_le_u32(&mut info, 0, after)?;
        self.replace(object::FREE_SPACE_TREE, key, info)
    }

    /// Cuts a range out of the free one that has it. Gives by how much the number of ranges changes.
    fn take_extent(&mut self, (from, end): Range) -> Result<i32> {
        let not_free = || corrupt(Defect::NotFree(from, end));
        let root = self.root(object::FREE_SPACE_TREE)?;
        let last = Key::new(from, item::FREE_SPACE_EXTENT, u64::MAX);
        let (key, _) = self.last_up_to(&root, last)?.ok_or_else(not_free)?;
        let free_end = add(key.objectid, key.offset)?;
        if key.kind != item::FREE_SPACE_EXTENT || free_end < end {
            return Err(not_free());
        }
        self.delete(object::FREE_SPACE_TREE, key)?;
        let mut change = -1i32;
        for (start, end) in [(key.objectid, from), (end, free_end)] {
            if start < end {
                self.insert_free(start, end)?;
                change = change.saturating_add(1);
            }
        }
        Ok(change)
    }

    fn insert_free(&mut self, start: u64, end: u64) -> Result<()> {
        let key = Key::new(start, item::FREE_SPACE_EXTENT, sub(end, start)?);
        self.insert(object::FREE_SPACE_TREE, key, Vec::new())
    }

    /// Joins a range with the free ones that touch it.
    fn give_extent(&mut self, group: Range, (from, end): Range) -> Result<i32> {
        let root = self.root(object::FREE_SPACE_TREE)?;
        let (mut new_from, mut new_end, mut change) = (from, end, 1i32);
        let next = self.first_from(&root, Key::new(end, item::FREE_SPACE_EXTENT, 0))?;
        if let Some((key, _)) = next.filter(|(key, _)| is_free_from(*key, end) && end < group.1) {
            new_end = add(end, key.offset)?;
            if new_end > group.1 {
                return Err(corrupt(Defect::Free(from, new_end)));
            }
            self.delete(object::FREE_SPACE_TREE, key)?;
            change = change.saturating_sub(1);
        }
        let root = self.root(object::FREE_SPACE_TREE)?;
        let before = self.last_up_to(&root, Key::first_of(end))?.map(|found| found.0);
        if let Some(key) = before.filter(|key| key.kind == item::FREE_SPACE_EXTENT) {
            let free_end = add(key.objectid, key.offset)?;
            if free_end > from {
                return Err(corrupt(Defect::Free(from, end)));
            }
            if free_end == from && key.objectid >= group.0 {
                new_from = key.objectid;
                self.delete(object::FREE_SPACE_TREE, key)?;
                change = change.saturating_sub(1);
            }
        }
        self.insert_free(new_from, new_end)?;
        Ok(change)
    }

    /// Sets or clears the bits of a range in all bitmaps that have some of it.
    fn flip_bits(&mut self, group: Range, (from, end): Range, is_taken: bool) -> Result<i32> {
        let unit = u64::from(self.superblock().sector_bytes);
        let is_free_before = from > group.0 && self.is_free(group, sub(from, unit)?)?;
        let is_free_behind = end < group.1 && self.is_free(group, end)?;
        let mut at = from;
        while at < end {
            let (key, mut data) = self.bitmap_of(group, at)?;
            let bitmap_end = add(key.objectid, key.offset)?.min(end);
            while at < bitmap_end {
                let index = div(sub(at, key.objectid)?, unit)?;
                flip(&mut data, index, is_taken).ok_or_else(|| {
                    let defect =
                        if is_taken { Defect::NotFree(at, end) } else { Defect::Free(at, end) };
                    corrupt(defect)
                })?;
                at = add(at, unit)?;
            }
            self.replace(object::FREE_SPACE_TREE, key, data)?;
        }
        let neighbours = i32::from(is_free_before).saturating_add(i32::from(is_free_behind));
        let change = 1i32.saturating_sub(neighbours);
        Ok(if is_taken { change.saturating_neg() } else { change })
    }

    /// The bitmap that has the address.
    fn bitmap_of(&self, group: Range, at: u64) -> Result<(Key, Vec<u8>)> {
        let root = self.root(object::FREE_SPACE_TREE)?;
        let last = Key::new(at, item::FREE_SPACE_BITMAP, u64::MAX);
        let found = self.last_up_to(&root, last)?.filter(|(key, _)| {
            let has_it = key.objectid >= group.0
                && key.objectid.checked_add(key.offset).is_some_and(|end| at < end);
            key.kind == item::FREE_SPACE_BITMAP && has_it
        });
        found.ok_or_else(|| corrupt(Defect::Bitmap(at)))
    }

    fn is_free(&self, group: Range, at: u64) -> Result<bool> {
        let unit = u64::from(self.superblock().sector_bytes);
        let (key, data) = self.bitmap_of(group, at)?;
        let index = div(sub(at, key.objectid)?, unit)?;
        bit(&data, index).ok_or_else(|| corrupt(Defect::Bitmap(key.objectid)))
    }
}

/// True if `key` is a free range that starts at `at`.
fn is_free_from(key: Key, at: u64) -> bool {
    key.kind == item::FREE_SPACE_EXTENT && key.objectid == at
}

/// Adds a unit to ascending ranges.
fn push_unit(ranges: &mut BTreeMap<u64, u64>, at: u64, unit: u64) -> Result<()> {
    let end = add(at, unit)?;
    if let Some(mut last) = ranges.last_entry()
        && *last.get() == at
    {
        last.insert(end);
        return Ok(());
    }
    ranges.insert(at, end);
    Ok(())
}

/// The numbers of the bits that are set.
fn free_bits(key: Key, data: &[u8], unit: u64, end: u64) -> Result<Vec<u64>> {
    let bits = div(key.offset, unit)?;
    if len_u64(data.len()) != bits.div_ceil(8) || add(key.objectid, key.offset)? > end {
        return Err(corrupt(Defect::Bitmap(key.objectid)));
    }
    Ok((0..bits).filter(|index| bit(data, *index) == Some(true)).collect())
}

fn bit(data: &[u8], index: u64) -> Option<bool> {
    let byte = data.get(usize::try_from(index / 8).ok()?)?;
    Some(byte & mask(index)? != 0)
}

fn mask(index: u64) -> Option<u8> {
    1u8.checked_shl(u32::try_from(index % 8).ok()?)
}

/// Flips a bit that must be set before if `is_taken`, else clear.
fn flip(data: &mut [u8], index: u64, is_taken: bool) -> Option<()> {
    let mask = mask(index)?;
    let byte = data.get_mut(usize::try_from(index / 8).ok()?)?;
    if (*byte & mask != 0) != is_taken {
        return None;
    }
    *byte ^= mask;
    Some(())
}
