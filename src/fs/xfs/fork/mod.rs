//! Forks: what maps the content of an inode (the data fork) and its attributes (the attribute fork) to blocks
//! of the volume.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "On-disk Inode", "Data Extents" and "Symbolic Links".
//! A fork is local (its bytes lie in the inode), a list of extents in the inode, or a B+tree of extents with
//! its root in the inode. A fork is a list as long as the list fits.
//!
//! | file | holds |
//! |---|---|
//! | `extent` | where extents may lie, taking them apart and together |
//! | `list` | the list of extents in the inode |
//! | `tree`, `tree_edit` | the block-map B+tree |
//! | `find` | looking extents up and checking a whole fork |
//! | `records` | changing extents, and the form of the fork |
//! | `map` | giving blocks to a fork and taking them away |
//! | `resize` | moving the border between the two forks |
//! | `content`, `content_edit` | the content of regular files |
//! | `link` | targets of symbolic links |
//!
//! Not handled: the content of realtime files, whose extents count blocks of another device; allocating for files
//! with an extent size hint (both refused by name). Hints for copies of shared blocks leave no trace on disk
//! and are not followed.

mod content;
mod content_edit;
mod extent;
mod find;
mod link;
mod list;
mod map;
mod records;
mod resize;
mod tree;
mod tree_edit;

#[cfg(test)]
mod defect_tests;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod tests;

pub(crate) use super::btree::Extent;

use super::inode::{ForkKind, Inode};
use super::units::FileBlock;
use crate::error::{Corrupt, Error, Result};
use crate::fs::NodeKind;
use extent::FILE_BLOCKS_MAX;
use find::mapped_format;

/// Behind every block that a fork can have.
pub(crate) const FILE_END: FileBlock = FileBlock(FILE_BLOCKS_MAX);

/// The name of a fork in messages.
fn name(kind: ForkKind) -> &'static str {
    match kind {
        ForkKind::Data => "data fork",
        ForkKind::Attribute => "attribute fork",
    }
}

/// Describes damage to a fork.
fn corrupt(
    inode: &Inode,
    kind: ForkKind,
    defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Corrupt::new(name(kind), defect).of(inode.number.to_string()).into()
}

/// True if extents of the fork may be unwritten: only content of regular files can be allocated in advance.
fn may_be_unwritten(inode: &Inode, kind: ForkKind) -> Result<bool> {
    Ok(kind == ForkKind::Data && inode.kind()? == NodeKind::File)
}
