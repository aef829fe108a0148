//! The inode trees of a group against each other and against the AGI.

use super::needs_check;
use crate::bytes::arith::add;
use crate::error::Result;
use crate::fs::xfs::ag::Agi;
use crate::fs::xfs::btree::InodeChunk;
use crate::fs::xfs::units::AgNumber;
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

impl Volume {
    /// Reads both inode trees of a group whole: whether the tree of free inodes has exactly the chunks with free
    /// inodes, and the AGI counts what is there.
    ///
    /// # Errors
    /// `Refused` (`NeedsCheck`) if they differ; `Corrupt`.
    pub(crate) fn check_inode_trees(&self, ag: AgNumber) -> Result<()> {
        let (mut inodes, mut free, mut chunks) = (0, 0, 0u64);
        self.inode_tree(ag).visit_all(|chunk: InodeChunk| {
            inodes = add(inodes, u64::from(chunk.count))?;
            free = add(free, u64::from(chunk.free_count))?;
            if chunk.free_count > 0 {
                chunks = add(chunks, 1)?;
                self.check_free_copy(ag, &chunk)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let agi = Agi::load(self, ag)?;
        if (u64::from(agi.inode_count), u64::from(agi.free_inode_count)) != (inodes, free) {
            let detail =
                format!("{ag} has {inodes} inodes, {free} of them free, but counts others");
            return Err(needs_check(detail));
        }
        if !self.has_free_inode_tree() {
            return Ok(());
        }
        let mut copies = 0u64;
        self.free_inode_tree(ag).visit_all(|_| {
            copies = add(copies, 1)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if copies == chunks {
            return Ok(());
        }
        Err(needs_check(format!(
            "the tree of free inodes of {ag} has {copies} chunks, not {chunks}"
        )))
    }
}
