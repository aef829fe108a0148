//! The numbers of an ext file system that must not be confused, as types.

use crate::bytes::arith;
use crate::error::Result;
use std::fmt;

/// A block of the file system, counted from the start of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FsBlock(pub(crate) u64);

/// A block of a file, counted from the start of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileBlock(pub(crate) u32);

/// An inode number; the first inode is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeNumber(pub(crate) u32);

/// A block group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupIndex(pub(crate) u32);

/// The root directory.
pub(crate) const ROOT_INODE: InodeNumber = InodeNumber(2);

impl FsBlock {
    /// The block `count` further on.
    pub(crate) fn plus(self, count: u64) -> Result<Self> {
        Ok(Self(arith::add(self.0, count)?))
    }
}

impl FileBlock {
    /// The block `count` further on.
    pub(crate) fn plus(self, count: u32) -> Result<Self> {
        Ok(Self(self.0.checked_add(count).ok_or(arith::OutOfRange)?))
    }
}

impl fmt::Display for FsBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FileBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InodeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inode {}", self.0)
    }
}

impl fmt::Display for GroupIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}", self.0)
    }
}
