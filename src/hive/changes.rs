//! What the edits of a hive change in its file.

use super::Hive;
use super::base_block::{self, HEAD_LEN};
use super::defect::Defect;
use super::log;
use super::units::{BASE_BLOCK_BYTES, PAGE_BYTES};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Corrupt, Result};

/// Changed runs with fewer equal bytes between them become one.
const GAP_BYTES: usize = 32;

/// The bytes that change in the primary file of a hive.
///
/// They are meant to be written in this order: `appended`, then `overwrites` as they stand. The last overwrite
/// is that of the base block; until it is written, the hive is the old one (WIN-96).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiveChanges {
    /// Offset in the file and bytes, ascending, but for the last one, which is the base block at 0.
    pub overwrites: Vec<(u64, Vec<u8>)>,
    /// What follows the old end of the file.
    pub appended: Vec<u8>,
    /// Length of the file after the change, in bytes.
    pub new_len_bytes: u64,
}

impl HiveChanges {
    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.overwrites.is_empty() && self.appended.is_empty()
    }
}

impl Hive<'_> {
    /// The changes that all edits together make; none if there was no edit, or none that changed a byte, even
    /// if the hive was dirty. If it was, the replayed pages are part of the changes.
    ///
    /// Both sequence numbers become one that is above all in the file and in its logs, so that no entry that
    /// is left in a log can ever be applied to it (WIN-96). The time in the base block stays, as Windows
    /// leaves it since 8.1.
    ///
    /// # Errors
    /// * `Corrupt` - no higher sequence number is left.
    /// * what reading the file and its logs gives.
    pub fn finish(&self) -> Result<HiveChanges> {
        let file_bytes = self.pages.primary().len_bytes();
        let mut changes =
            HiveChanges { overwrites: Vec::new(), appended: Vec::new(), new_len_bytes: file_bytes };
        if !self.pages.is_edited()? {
            return Ok(changes);
        }
        for page in self.pages.touched() {
            self.add_page(page, &mut changes)?;
        }
        changes.new_len_bytes = arith::add(file_bytes, len_u64(changes.appended.len()))?;
        let sequence = self.next_sequence()?;
        let mut head = self.pages.primary().read_at(0, HEAD_LEN)?;
        base_block::store(&mut head, sequence, self.base.bins_bytes, self.base.flags)?;
        changes.overwrites.push((0, head));
        Ok(changes)
    }

    /// Adds the bytes of a page that are not yet those of the file. Pages come in ascending order, and behind
    /// the end of the file every page is touched: a replay has all of them, and so has a new bin.
    fn add_page(&self, page: u32, changes: &mut HiveChanges) -> Result<()> {
        let file_bytes = self.pages.primary().len_bytes();
        let start = arith::add(BASE_BLOCK_BYTES, arith::mul(page.into(), PAGE_BYTES.into())?)?;
        let new = self.pages.page(page)?;
        let there = file_bytes.saturating_sub(start).min(PAGE_BYTES.into());
        let (inside, behind) = new.split_at(arith::to(there)?);
        let old = self.pages.primary_page(page)?;
        for (from, bytes) in differing_runs(&old, inside) {
            let at = arith::add(start, len_u64(from))?;
            match changes.overwrites.last_mut() {
                // From one page into the next.
                Some((before, run)) if before.checked_add(len_u64(run.len())) == Some(at) => {
                    run.extend_from_slice(&bytes);
                }
                _ => changes.overwrites.push((at, bytes)),
            }
        }
        if !behind.is_empty() {
            changes.appended.extend_from_slice(behind);
        }
        Ok(())
    }

    fn next_sequence(&self) -> Result<u32> {
        let highest = log::highest_sequence(&self.pages)?;
        let highest = highest.max(self.base.primary).max(self.base.secondary);
        highest.checked_add(1).ok_or_else(|| {
            Corrupt::new("base block", Defect::SequenceExhausted(highest)).at(0).into()
        })
    }
}

/// Runs of `new` that differ from `old`, by their starts.
fn differing_runs(old: &[u8], new: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (index, (old, new)) in old.iter().zip(new).enumerate() {
        if old == new {
            continue;
        }
        let end = index.saturating_add(1);
        match ranges.last_mut() {
            Some(range) if index.saturating_sub(range.1) < GAP_BYTES => range.1 = end,
            _ => ranges.push((index, end)),
        }
    }
    let run = |(start, end)| new.get(start..end).map(|bytes| (start, bytes.to_vec()));
    ranges.into_iter().filter_map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_runs_become_one() {
        let old = [0u8; 64];
        let mut new = old;
        (new[3], new[5], new[38], new[63]) = (1, 2, 3, 4);
        let runs = differing_runs(&old, &new);
        let places: Vec<_> = runs.iter().map(|(start, bytes)| (*start, bytes.len())).collect();
        assert_eq!(places, [(3, 3), (38, 26)]);
        assert_eq!(runs[0].1, [1, 0, 2]);
        assert_eq!(differing_runs(&old, &old), []);
    }
}
