//! Keys: what every tree is sorted by; the item types and the numbers of the trees.
//!
//! Format: Btrfs documentation, "On-disk format", sections "Basic structures" (key) and "Objects" / "Item types".
//!
//! | offset | size | field    | valid when                                      |
//! |-------:|-----:|----------|-------------------------------------------------|
//! |      0 |    8 | objectid | any                                             |
//! |      8 |    1 | type     | any; [`item`] names those that are used here    |
//! |      9 |    8 | offset   | any; its meaning follows from the type          |

use crate::bytes::field::{self, Short};
use std::fmt;

/// Size of a key on the disk, in bytes.
pub(crate) const KEY_BYTES: usize = 17;

/// The key of an item. Keys are ordered by object, type, offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The object: an inode, a tree, an address.
    pub(crate) objectid: u64,
    /// The type: one of [`item`].
    pub(crate) kind: u8,
    /// What the type makes of it.
    pub(crate) offset: u64,
}

impl Key {
    /// The smallest key.
    pub(crate) const MIN: Self = Self::new(0, 0, 0);
    /// The largest key.
    pub(crate) const MAX: Self = Self::new(u64::MAX, u8::MAX, u64::MAX);

    /// A key of its parts.
    pub(crate) const fn new(objectid: u64, kind: u8, offset: u64) -> Self {
        Self { objectid, kind, offset }
    }

    /// The first key that `objectid` can have.
    pub(crate) const fn first_of(objectid: u64) -> Self {
        Self::new(objectid, 0, 0)
    }

    /// The last key that `objectid` can have.
    pub(crate) const fn last_of(objectid: u64) -> Self {
        Self::new(objectid, u8::MAX, u64::MAX)
    }

    /// Reads the key at `offset` of `bytes`.
    ///
    /// # Errors
    /// [`Short`] if `bytes` ends before.
    pub(crate) fn read(bytes: &[u8], offset: usize) -> Result<Self, Short> {
        Ok(Self {
            objectid: field::le_u64(bytes, offset)?,
            kind: field::u8_at(bytes, offset.saturating_add(8))?,
            offset: field::le_u64(bytes, offset.saturating_add(9))?,
        })
    }

    /// The key as it stands on the disk.
    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        let (objectid, rest) = bytes.split_at_mut(8);
        objectid.copy_from_slice(&self.objectid.to_le_bytes());
        let (kind, offset) = rest.split_at_mut(1);
        kind.copy_from_slice(&[self.kind]);
        offset.copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.objectid, self.kind, self.offset)
    }
}

/// Item types.
pub(crate) mod item {
    /// The inode itself; offset 0.
    pub(crate) const INODE_ITEM: u8 = 1;
    /// A name of an inode; offset: the directory.
    pub(crate) const INODE_REF: u8 = 12;
    /// Names that do not fit an `INODE_REF`; offset: a hash of directory and name.
    pub(crate) const INODE_EXTREF: u8 = 13;
    /// An extended attribute; offset: hash of its name.
    pub(crate) const XATTR_ITEM: u8 = 24;
    /// What the log tree knows of a directory: a range of positions.
    pub(crate) const DIR_LOG_INDEX: u8 = 72;
    /// A directory entry; offset: hash of its name.
    pub(crate) const DIR_ITEM: u8 = 84;
    /// The same entry; offset: its position in the order of creation.
    pub(crate) const DIR_INDEX: u8 = 96;
    /// Content of a file; offset: where in the file.
    pub(crate) const EXTENT_DATA: u8 = 108;
    /// Checksums of data; offset: the logical address.
    pub(crate) const EXTENT_CSUM: u8 = 128;
    /// A tree; objectid: the tree.
    pub(crate) const ROOT_ITEM: u8 = 132;
    /// The parent of a subvolume; offset: the parent.
    pub(crate) const ROOT_BACKREF: u8 = 144;
    /// A child of a subvolume; offset: the child.
    pub(crate) const ROOT_REF: u8 = 156;
    /// Space in use; objectid: the address, offset: the length.
    pub(crate) const EXTENT_ITEM: u8 = 168;
    /// A tree block in use; objectid: the address, offset: the level.
    pub(crate) const METADATA_ITEM: u8 = 169;
    /// Tree block used by a tree; offset: the tree.
    pub(crate) const TREE_BLOCK_REF: u8 = 176;
    /// Data used by a file; offset: a hash.
    pub(crate) const EXTENT_DATA_REF: u8 = 178;
    /// Tree block used by a block; offset: the block.
    pub(crate) const SHARED_BLOCK_REF: u8 = 182;
    /// Data used by a leaf; offset: the leaf.
    pub(crate) const SHARED_DATA_REF: u8 = 184;
    /// A block group; objectid: the address, offset: the length.
    pub(crate) const BLOCK_GROUP_ITEM: u8 = 192;
    /// Free space tree: layout and count of a block group.
    pub(crate) const FREE_SPACE_INFO: u8 = 198;
    /// Free space tree: a free range.
    pub(crate) const FREE_SPACE_EXTENT: u8 = 199;
    /// Free space tree: a bitmap over a range.
    pub(crate) const FREE_SPACE_BITMAP: u8 = 200;
    /// A chunk; objectid 256, offset: the logical address.
    pub(crate) const CHUNK_ITEM: u8 = 228;
    /// State of the quota groups; objectid and offset 0.
    pub(crate) const QGROUP_STATUS: u8 = 240;
    /// State of a balance (`TEMPORARY_ITEM`).
    pub(crate) const TEMPORARY_ITEM: u8 = 248;
    /// State of a device replacement, in the device tree.
    pub(crate) const DEV_REPLACE: u8 = 250;
}

/// Trees and other objects with fixed numbers.
pub(crate) mod object {
    /// The tree of trees.
    pub(crate) const ROOT_TREE: u64 = 1;
    /// Space in use.
    pub(crate) const EXTENT_TREE: u64 = 2;
    /// Logical to physical addresses.
    pub(crate) const CHUNK_TREE: u64 = 3;
    /// Physical space in use.
    pub(crate) const DEV_TREE: u64 = 4;
    /// The top-level subvolume.
    pub(crate) const FS_TREE: u64 = 5;
    /// The directory in the tree of trees that names the default subvolume.
    pub(crate) const ROOT_TREE_DIR: u64 = 6;
    /// Checksums of data.
    pub(crate) const CSUM_TREE: u64 = 7;
    /// Quota groups.
    pub(crate) const QUOTA_TREE: u64 = 8;
    /// Free space.
    pub(crate) const FREE_SPACE_TREE: u64 = 10;
    /// Block groups, where they are not in the extent tree.
    pub(crate) const BLOCK_GROUP_TREE: u64 = 11;
    /// First number of a subvolume, and of an inode.
    pub(crate) const FIRST_FREE: u64 = 256;
    /// Last number of a subvolume, and of an inode.
    pub(crate) const LAST_FREE: u64 = u64::MAX - 255;
    /// Checksums of data in a log tree, and the objectid of `EXTENT_CSUM` keys.
    pub(crate) const EXTENT_CSUM: u64 = u64::MAX - 9;
    /// The tree of log trees, and the log trees themselves.
    pub(crate) const TREE_LOG: u64 = u64::MAX - 5;
    /// State of a balance.
    pub(crate) const BALANCE: u64 = u64::MAX - 3;
    /// A tree that a balance is moving.
    pub(crate) const TREE_RELOC: u64 = u64::MAX - 7;

    /// True for the trees that hold files: the top-level subvolume and all others.
    pub(crate) fn is_subvolume(tree: u64) -> bool {
        tree == FS_TREE || (FIRST_FREE..=LAST_FREE).contains(&tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_their_parts_and_come_back() {
        let key = Key::new(257, item::DIR_ITEM, 0x0102_0304_0506_0708);
        assert_eq!(Key::read(&key.to_bytes(), 0), Ok(key));
        assert!(Key::new(1, 200, 0) < Key::new(2, 0, 0));
        assert!(Key::new(1, 2, 9) < Key::new(1, 3, 0));
        assert!(Key::first_of(7) < Key::last_of(7));
        assert!(Key::read(&[0; 16], 0).is_err());
    }
}
