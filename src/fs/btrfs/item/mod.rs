//! What stands in the items of a leaf: inodes, names, extended attributes, extents of files, and roots of trees.
//! Pure: bytes in, value or defect out, and back.
//!
//! Format: btrfs documentation, "On-disk Format", sections on the item types; what it leaves open was observed with
//! `btrfs inspect-internal dump-tree`. All numbers are little-endian.
//!
//! | key type | number | key is                               | content            | here                   |
//! |----------|-------:|--------------------------------------|--------------------|------------------------|
//! | INODE_ITEM   |   1 | (inode, 0)                          | owner, times, size | [`InodeItem`]          |
//! | INODE_REF    |  12 | (inode, directory)                  | names, packed      | [`InodeRef`]           |
//! | INODE_EXTREF |  13 | (inode, hash of directory and name) | names, packed      | [`InodeRef`]           |
//! | XATTR_ITEM   |  24 | (inode, hash of the name)           | names and values   | [`DirItem`]            |
//! | DIR_ITEM     |  84 | (directory, hash of the name)       | names, packed      | [`DirItem`]            |
//! | DIR_INDEX    |  96 | (directory, sequence number)        | one name           | [`DirItem`]            |
//! | EXTENT_DATA  | 108 | (inode, offset in the file)         | where content lies | [`FileExtent`]         |
//! | ROOT_ITEM    | 132 | (tree, 0 or generation)             | a tree             | [`RootItem`]           |
//! | ROOT_BACKREF | 144 | (subvolume, parent subvolume)       | name and directory | [`RootRef`]            |
//! | ROOT_REF     | 156 | (parent subvolume, subvolume)       | name and directory | [`RootRef`]            |

mod directory;
mod file_extent;
mod inode;
mod reference;
mod root;

pub(crate) use directory::{DirItem, EntryType};
pub(crate) use file_extent::{Compression, FileExtent, Placement, Stored};
pub(crate) use inode::{INODE_ITEM_BYTES, InodeFlags, InodeItem, mode_of};
pub(crate) use reference::{InodeRef, extref_hash};
pub(crate) use root::{RootItem, RootRef};

use crate::bytes::field::Short;

/// Longest name of a file or attribute, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ItemDefect {
    /// It ends inside a field.
    #[error(transparent)]
    Short(#[from] Short),
    /// Length of a name.
    #[error("a name has {0} bytes, not 1 to 255")]
    NameLength(usize),
    /// A name that no file can have.
    #[error("a name contains a slash or NUL")]
    NameBytes,
    /// Length of the value of an attribute.
    #[error("a value has more than 65535 bytes")]
    ValueLength,
    /// Type of a directory entry.
    #[error("type of a directory entry is {0}")]
    EntryType(u8),
    /// A packed item with nothing in it.
    #[error("item is empty")]
    Empty,
    /// Type of an extent.
    #[error("type of an extent is {0}")]
    ExtentType(u8),
    /// Sizes of an extent that contradict each other.
    #[error("sizes of an extent contradict each other")]
    ExtentSizes,
    /// File type bits of a mode.
    #[error("mode is {0:#o}")]
    Mode(u32),
    /// Level of a tree.
    #[error("level of a tree is {0}")]
    Level(u8),
    /// Nanoseconds of a time.
    #[error("a time has {0} nanoseconds")]
    Nanoseconds(u32),
}
