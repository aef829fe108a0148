//! The numbers of an XFS file system that must not be confused, as types.

use crate::bytes::arith;
use crate::error::Result;
use std::fmt;

/// An allocation group, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgNumber(pub(crate) u32);

/// A block, counted from the start of its allocation group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgBlock(pub(crate) u32);

/// An inode, counted from the start of its allocation group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgInode(pub(crate) u32);

/// A block of the file system as XFS packs it: allocation group above `sb_agblklog` bits of [`AgBlock`].
/// Numbers are therefore not dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FsBlock(pub(crate) u64);

/// A block of a fork, counted from the start of its content, in blocks of the file system: below 2^54.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileBlock(pub(crate) u64);

/// An inode number: allocation group, block and place in the block, packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeNumber(pub(crate) u64);

/// A log sequence number: cycle above 32 bits of log block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Lsn(pub(crate) u64);

/// The inode that is none, in the unlinked lists of an allocation group.
pub(crate) const NULL_AG_INODE: AgInode = AgInode(u32::MAX);

impl AgBlock {
    /// The block `count` further on.
    pub(crate) fn plus(self, count: u32) -> Result<Self> {
        Ok(Self(self.0.checked_add(count).ok_or(arith::OutOfRange)?))
    }
}

impl FsBlock {
    /// The block `count` further on; the caller knows that it is in the same allocation group.
    pub(crate) fn plus(self, count: u64) -> Result<Self> {
        Ok(Self(arith::add(self.0, count)?))
    }
}

impl FileBlock {
    /// The block `count` further on.
    pub(crate) fn plus(self, count: u64) -> Result<Self> {
        Ok(Self(arith::add(self.0, count)?))
    }
}

impl Lsn {
    /// The cycle: how often the log was gone through when this was written.
    pub(crate) fn cycle(self) -> u32 {
        crate::bytes::field::high_u32(self.0)
    }

    /// The block of 512 bytes inside the log.
    pub(crate) fn block(self) -> u32 {
        crate::bytes::field::low_u32(self.0)
    }
}

macro_rules! displayed {
    ($($unit:ident $format:literal;)*) => {$(
        impl fmt::Display for $unit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    )*};
}

displayed! {
    AgNumber "allocation group {}";
    AgBlock "{}";
    AgInode "{}";
    FsBlock "{}";
    FileBlock "{}";
    InodeNumber "inode {}";
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cycle(), self.block())
    }
}
