//! Quota groups: their counts are marked as out of date.
//!
//! Format: Btrfs documentation, "On-disk format", section "Quota tree"; observed with `btrfs inspect-internal dump-tree`.
//! The kernel counts for each subvolume what it refers to and what it alone has. Whoever changes a tree without
//! counting says so in the status item (0, 240, 0), as the kernel does itself where it cannot count; `btrfs quota
//! rescan` counts anew.
//!
//! | offset | size | field      | valid when                                                     |
//! |-------:|-----:|------------|----------------------------------------------------------------|
//! |      0 |    8 | version    | 1                                                              |
//! |      8 |    8 | generation | the transaction for which the counts are right                 |
//! |     16 |    8 | flags      | bit 0: on, bit 1: counting anew, bit 2: out of date            |
//! |     24 |    8 | rescan     | how far counting anew has come                                 |

use super::super::key::{Key, item, object};
use super::super::volume::Volume;
use crate::bytes::field::{le_u64, put_le_u64};
use crate::error::Result;

const GENERATION: usize = 8;
const FLAGS: usize = 16;
const OUT_OF_DATE: u64 = 4;

const STATUS: Key = Key::new(0, item::QGROUP_STATUS, 0);

impl Volume {
    /// True if the kernel counts for quota groups.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn has_quota(&self) -> Result<bool> {
        Ok(self.root_item(object::QUOTA_TREE)?.is_some())
    }

    /// Marks the counts as out of date, if there are any.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if there is no room.
    pub(super) fn outdate_quota(&mut self) -> Result<()> {
        if !self.has_quota()? {
            return Ok(());
        }
        let root = self.root(object::QUOTA_TREE)?;
        let Some(mut status) = self.get(&root, STATUS)? else { return Ok(()) };
        let flags = le_u64(&status, FLAGS)?;
        put_le_u64(&mut status, FLAGS, flags | OUT_OF_DATE)?;
        put_le_u64(&mut status, GENERATION, self.pending().generation)?;
        self.replace(object::QUOTA_TREE, STATUS, status)
    }
}
