//! Owners of blocks in the rmapbt. Records of one owner that continue each other, on the disk and in the file,
//! are kept as one.
//!
//! All of this does nothing on volumes without `rmapbt`.

use super::store::tree;
use super::{SpaceDefect, corrupt};
use crate::bytes::arith::{sub, to};
use crate::error::Result;
use crate::fs::xfs::btree::{ReverseMap, Rmapbt, TreeKind};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

/// True if offsets into a file have a meaning for the owner of `record`.
fn has_offset(record: &ReverseMap) -> bool {
    record.is_of_inode() && !record.is_bmbt
}

/// The offset of the block `count` behind the first one.
fn offset_behind(record: &ReverseMap, count: u32) -> u64 {
    if has_offset(record) { record.offset.saturating_add(u64::from(count)) } else { record.offset }
}

/// True if both have the same owner and use, written or not.
fn is_same_owner(a: &ReverseMap, b: &ReverseMap) -> bool {
    a.owner == b.owner && a.is_attribute_fork == b.is_attribute_fork && a.is_bmbt == b.is_bmbt
}

/// True if `right` goes on where `left` ends.
fn continues(left: &ReverseMap, right: &ReverseMap) -> bool {
    is_same_owner(left, right)
        && left.is_unwritten == right.is_unwritten
        && left.end() == u64::from(right.start.0)
        && offset_behind(left, left.count) == right.offset
}

impl Volume {
    /// Records an owner. Others may have the same blocks only if they are shared, which the caller knows.
    pub(super) fn add_owner(&mut self, ag: AgNumber, record: ReverseMap) -> Result<()> {
        if self.agf(ag)?.reverse_map.is_none() {
            return Ok(());
        }
        let left = match record.start.0.checked_sub(1) {
            Some(before) => {
                self.find_owner(ag, AgBlock(before), |left| continues(left, &record))?
            }
            None => None,
        };
        let behind = ReverseMap {
            start: record.start.plus(record.count)?,
            offset: offset_behind(&record, record.count),
            ..record
        };
        let map = tree::<Rmapbt, _>(&*self, ag);
        let right = map.get(&Rmapbt::key(&behind))?.filter(|right| continues(&record, right));
        let mut whole = record;
        if let Some(right) = right {
            whole.count = whole.count.saturating_add(right.count);
        }
        if let Some(left) = left {
            whole = ReverseMap { count: left.count.saturating_add(whole.count), ..left };
        }
        let mut map = tree::<Rmapbt, _>(self, ag);
        if let Some(right) = right {
            map.remove(&Rmapbt::key(&right))?;
        }
        match left {
            Some(left) => map.replace(&Rmapbt::key(&left), whole),
            None => map.insert(whole),
        }
    }

    /// Takes the blocks of `record` from its owner; whether they were written does not matter.
    pub(super) fn remove_owner(&mut self, ag: AgNumber, record: ReverseMap) -> Result<()> {
        if self.agf(ag)?.reverse_map.is_none() {
            return Ok(());
        }
        let mut rest = record;
        // Each step takes at least one block away.
        while rest.count > 0 {
            let taken = self.remove_owner_once(ag, &rest)?;
            rest.start = rest.start.plus(taken)?;
            rest.offset = offset_behind(&rest, taken);
            rest.count = to(sub(rest.count.into(), taken.into())?)?;
        }
        Ok(())
    }

    /// Cuts the start of `part` out of the one record that has it; gives how many blocks that were.
    fn remove_owner_once(&mut self, ag: AgNumber, part: &ReverseMap) -> Result<u32> {
        let found = self.find_owner(ag, part.start, |found| {
            let inside = part.start.0.saturating_sub(found.start.0);
            is_same_owner(found, part) && offset_behind(found, inside) == part.offset
        })?;
        let Some(found) = found else {
            let (block, owner, offset) = (part.start, part.owner, part.offset);
            return Err(corrupt(ag, SpaceDefect::NotOwned { block, owner, offset }));
        };
        let before = ReverseMap { count: part.start.0.saturating_sub(found.start.0), ..found };
        let left: u32 = to(sub(found.end(), part.start.0.into())?)?;
        let taken = left.min(part.count);
        let cut = before.count.saturating_add(taken);
        let behind = ReverseMap {
            start: found.start.plus(cut)?,
            offset: offset_behind(&found, cut),
            count: left.saturating_sub(taken),
            ..found
        };
        let key = Rmapbt::key(&found);
        let mut map = tree::<Rmapbt, _>(self, ag);
        match (before.count > 0, behind.count > 0) {
            (true, false) => map.replace(&key, before)?,
            (true, true) => {
                map.replace(&key, before)?;
                map.insert(behind)?;
            }
            (false, true) => {
                map.remove(&key)?;
                map.insert(behind)?;
            }
            (false, false) => {
                map.remove(&key)?;
            }
        }
        Ok(taken)
    }

    /// The first record with `block` that suits.
    fn find_owner(
        &self,
        ag: AgNumber,
        block: AgBlock,
        suits: impl Fn(&ReverseMap) -> bool,
    ) -> Result<Option<ReverseMap>> {
        let mut found = None;
        tree::<Rmapbt, _>(self, ag).visit_overlapping(block, 1, |record| {
            if suits(&record) {
                found = Some(record);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Checks that nobody has any of the blocks.
    pub(super) fn check_no_owner(&self, ag: AgNumber, start: AgBlock, count: u32) -> Result<()> {
        if self.agf(ag)?.reverse_map.is_none() {
            return Ok(());
        }
        tree::<Rmapbt, _>(self, ag).visit_overlapping(start, count, |record| {
            let block = record.start.max(start);
            Err(corrupt(ag, SpaceDefect::OtherOwner { block, owner: record.owner }))
        })
    }
}
