//! Reference counts in the refcountbt: only blocks with two references or more are in it. Records that touch
//! and have the same count are kept as one.

use super::store::tree;
use crate::bytes::arith::to;
use crate::error::Result;
use crate::fs::xfs::btree::{Refcountbt, ReferenceCount, ReferenceCountKey, TreeKind};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

/// A count that is never changed again: the true number may be larger.
const REFERENCES_MAX: u32 = u32::MAX;

fn shared_key(start: AgBlock) -> ReferenceCountKey {
    ReferenceCountKey { is_cow: false, start }
}

impl Volume {
    /// Lengths of the parts of a run that are shared or not shared, in turns.
    pub(super) fn split_shared(
        &self,
        ag: AgNumber,
        start: AgBlock,
        count: u32,
    ) -> Result<Vec<(u32, bool)>> {
        let end = start.plus(count)?;
        let mut parts: Vec<(u32, bool)> = Vec::new();
        let mut push = |count: u32, is_shared: bool| match parts.last_mut() {
            Some(last) if last.1 == is_shared => last.0 = last.0.saturating_add(count),
            _ if count > 0 => parts.push((count, is_shared)),
            _ => {}
        };
        let mut at = start;
        for record in self.references(ag, start, end)? {
            let from = record.start.max(start);
            let behind = AgBlock(to(record.end().min(u64::from(end.0)))?);
            if behind > from {
                push(from.0.saturating_sub(at.0), false);
                push(behind.0.saturating_sub(from.0), true);
                at = behind;
            }
        }
        push(end.0.saturating_sub(at.0), false);
        Ok(parts)
    }

    /// The records of shared blocks that overlap or touch the blocks from `start` to before `end`, ascending;
    /// none on volumes without `reflink`.
    fn references(
        &self,
        ag: AgNumber,
        start: AgBlock,
        end: AgBlock,
    ) -> Result<Vec<ReferenceCount>> {
        let mut records = Vec::new();
        if self.agf(ag)?.reference_counts.is_none() {
            return Ok(records);
        }
        let counts = tree::<Refcountbt, _>(self, ag);
        let first = match start.0.checked_sub(1) {
            Some(before) => counts.at_or_before(&shared_key(AgBlock(before)))?,
            None => None,
        };
        let from = first.map_or(start, |first| first.start);
        counts.visit_from(&shared_key(from), |record| {
            if record.is_cow || record.start > end {
                return Ok(ControlFlow::Break(()));
            }
            if record.end() >= u64::from(start.0) {
                records.push(record);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// Takes one reference from each of `count` shared blocks from `start`.
    pub(super) fn drop_reference(
        &mut self,
        ag: AgNumber,
        start: AgBlock,
        count: u32,
    ) -> Result<()> {
        let end = start.plus(count)?;
        let old = self.references(ag, start, end)?;
        let new = with_one_less(&old, start, end)?;
        let mut counts = tree::<Refcountbt, _>(self, ag);
        let is_at = |records: &[ReferenceCount], record: &ReferenceCount| {
            records.iter().any(|other| other.start == record.start)
        };
        for record in old.iter().filter(|record| !is_at(&new, record)) {
            counts.remove(&Refcountbt::key(record))?;
        }
        // Shrinking records come before those that take the room.
        for record in new.iter().filter(|record| is_at(&old, record) && !old.contains(record)) {
            counts.replace(&Refcountbt::key(record), *record)?;
        }
        for record in new.iter().filter(|record| !is_at(&old, record)) {
            counts.insert(*record)?;
        }
        Ok(())
    }
}

/// `records` with one reference less between `start` and `end`, as few as possible.
fn with_one_less(
    records: &[ReferenceCount],
    start: AgBlock,
    end: AgBlock,
) -> Result<Vec<ReferenceCount>> {
    let mut new: Vec<ReferenceCount> = Vec::new();
    let mut push = |from: AgBlock, to: AgBlock, references: u32| {
        let count = to.0.saturating_sub(from.0);
        match new.last_mut() {
            _ if count == 0 || references < 2 => {}
            Some(last) if last.references == references && last.end() == u64::from(from.0) => {
                last.count = last.count.saturating_add(count);
            }
            _ => new.push(ReferenceCount { is_cow: false, start: from, count, references }),
        }
    };
    for record in records {
        let (from, behind) = (record.start, AgBlock(to(record.end())?));
        let less = match record.references {
            REFERENCES_MAX => REFERENCES_MAX,
            references => references.saturating_sub(1),
        };
        let (cut_from, cut_to) = (start.clamp(from, behind), end.clamp(from, behind));
        push(from, cut_from, record.references);
        push(cut_from, cut_to, less);
        push(cut_to, behind, record.references);
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(of: &[(u32, u32, u32)]) -> Vec<ReferenceCount> {
        of.iter()
            .map(|&(start, count, references)| ReferenceCount {
                is_cow: false,
                start: AgBlock(start),
                count,
                references,
            })
            .collect()
    }

    #[test]
    fn a_reference_less_splits_and_joins_records() {
        let less = |of: &[(u32, u32, u32)], start, end| {
            with_one_less(&records(of), AgBlock(start), AgBlock(end)).unwrap()
        };
        assert_eq!(less(&[(10, 10, 2)], 10, 20), []);
        assert_eq!(less(&[(10, 10, 3)], 12, 14), records(&[(10, 2, 3), (12, 2, 2), (14, 6, 3)]));
        assert_eq!(less(&[(10, 10, 2)], 12, 14), records(&[(10, 2, 2), (14, 6, 2)]));
        // The middle becomes like its neighbours.
        let three = [(10, 2, 2), (12, 2, 3), (14, 6, 2)];
        assert_eq!(less(&three, 12, 14), records(&[(10, 10, 2)]));
        assert_eq!(
            less(&[(10, 2, 2), (12, 2, 3)], 13, 14),
            records(&[(10, 2, 2), (12, 1, 3), (13, 1, 2)])
        );
        // Touching records of the same count become one only through the edit.
        assert_eq!(less(&[(0, 5, u32::MAX)], 1, 2), records(&[(0, 5, u32::MAX)]));
    }
}
