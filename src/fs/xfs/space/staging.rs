//! Blocks that were reserved for copies of shared blocks that were never made, because the machine stopped.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Reference Count B+tree": such an extent has a record of
//! its own kind, behind all others, and the owner "CoW" in the rmapbt. Nothing of a file leads to it. A mount that
//! replays a log frees them all.

use super::store::tree;
use crate::bytes::arith::add;
use crate::error::Result;
use crate::fs::xfs::btree::{OWNER_COW, Refcountbt, ReferenceCount, ReverseMap, TreeKind};
use crate::fs::xfs::units::AgNumber;
use crate::fs::xfs::volume::Volume;

impl Volume {
    /// The last reservation of a group.
    fn last_staging(&self, ag: AgNumber) -> Result<Option<ReferenceCount>> {
        if self.agf(ag)?.reference_counts.is_none() {
            return Ok(None);
        }
        Ok(tree::<Refcountbt, _>(self, ag).last()?.filter(|record| record.is_cow))
    }

    /// Frees every reservation; gives the number of blocks.
    ///
    /// # Errors
    /// * `Corrupt` - a reservation is free already, or belongs to something else.
    /// * `Refused` - the volume must not be edited.
    pub(crate) fn free_staging(&mut self) -> Result<u64> {
        let mut freed = 0;
        for ag in (0..self.superblock().ag_count).map(AgNumber) {
            // Each round removes one record.
            while let Some(record) = self.last_staging(ag)? {
                self.superblock().features.check_writable()?;
                self.fix_free_list(ag)?;
                tree::<Refcountbt, _>(&mut *self, ag).remove(&Refcountbt::key(&record))?;
                let owned = ReverseMap::special(record.start, record.count, OWNER_COW);
                self.remove_owner(ag, owned)?;
                self.give_up(ag, record.start, record.count)?;
                freed = add(freed, record.count.into())?;
            }
        }
        Ok(freed)
    }
}
