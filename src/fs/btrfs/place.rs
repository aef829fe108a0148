//! Inodes of all subvolumes in one number: [`NodeId`] holds the subvolume in its upper 24 bits, the inode in the others.

use super::key::object;
use crate::error::{Corrupt, Error, Result};
use crate::fs::NodeId;

/// Bits of a [`NodeId`] that hold the inode.
const INODE_BITS: u32 = 40;

/// Bits that hold the subvolume.
const SUBVOLUME_BITS: u32 = 24;

/// The root directory of every subvolume.
pub(crate) const ROOT_INODE: u64 = 256;

/// The empty directory that a snapshot shows where the original has a subvolume inside.
pub(crate) const STUB_INODE: u64 = 2;

/// An inode of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Number of the subvolume, and of its tree.
    pub(crate) subvolume: u64,
    /// Number of the inode.
    pub(crate) inode: u64,
}

/// An entry names something that no inode can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("names inode {0} of subvolume {1}")]
pub(crate) struct NoInode(u64, u64);

impl Place {
    /// The root directory of a subvolume.
    pub(crate) fn root_of(subvolume: u64) -> Self {
        Self { subvolume, inode: ROOT_INODE }
    }

    /// The number for the world outside.
    ///
    /// # Errors
    /// `Corrupt` if this is no inode; `Limit` if its numbers need more than 64 bits.
    pub(crate) fn node(self) -> Result<NodeId> {
        let is_inode = self.inode == STUB_INODE
            || (object::FIRST_FREE..=object::LAST_FREE).contains(&self.inode);
        if !is_inode || !object::is_subvolume(self.subvolume) {
            let defect = NoInode(self.inode, self.subvolume);
            return Err(Corrupt::new("directory entry", defect).into());
        }
        if self.inode >> INODE_BITS != 0 {
            return Err(Error::limit("inode number", (1 << INODE_BITS) - 1, self.inode));
        }
        if self.subvolume >> SUBVOLUME_BITS != 0 {
            return Err(Error::limit(
                "subvolume number",
                (1 << SUBVOLUME_BITS) - 1,
                self.subvolume,
            ));
        }
        Ok(NodeId(self.subvolume << INODE_BITS | self.inode))
    }

    /// The inode behind a number that [`Place::node`] gave out.
    pub(crate) fn of(node: NodeId) -> Self {
        Self { subvolume: node.0 >> INODE_BITS, inode: node.0 & ((1 << INODE_BITS) - 1) }
    }

    /// The inode for messages.
    pub(crate) fn describe(self) -> String {
        format!("inode {} of subvolume {}", self.inode, self.subvolume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for (subvolume, inode) in [(5, 256), (5, 2), (256, (1 << 40) - 1), ((1 << 24) - 1, 257)] {
            let place = Place { subvolume, inode };
            assert_eq!(Place::of(place.node().unwrap()), place);
        }
    }

    #[test]
    fn what_is_no_inode_or_does_not_fit_is_named() {
        let node = |subvolume, inode| Place { subvolume, inode }.node().unwrap_err();
        assert_eq!(node(5, 255).to_string(), "directory entry: names inode 255 of subvolume 5");
        assert_eq!(node(7, 256).kind_name(), "corrupt");
        assert_eq!(node(5, 1 << 40).kind_name(), "limit");
        assert_eq!(node(1 << 24, 256).kind_name(), "limit");
    }
}
