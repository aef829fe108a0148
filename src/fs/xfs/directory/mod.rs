//! Directories: finding, listing, adding and removing names.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories". A directory takes one of four
//! forms, each of which becomes the next when it is full:
//!
//! | form  | where                                       | module                                  |
//! |-------|---------------------------------------------|-----------------------------------------|
//! | short | in the inode                                | [`short`]                               |
//! | block | one block with everything                   | [`block`]                               |
//! | leaf  | data blocks, one leaf at 32 GiB             | [`data`], [`leaf`]                      |
//! | node  | data blocks, a tree at 32 GiB, a free index at 64 GiB | [`data`], [`leaf`], [`free_index`], `da` |
//!
//! The functions that end in `_short` take the bytes of the fork; the others reach the blocks of the
//! fork through [`DaBlocks`]. What becomes of the inode is in the [`ForkChange`] that edits give;
//! times and link counts are the caller's.
//!
//! Not handled: going back to a smaller form, which the format allows but does not ask for. Leaves
//! that are nearly empty are not joined, either.

pub(crate) mod block;
pub(crate) mod check;
pub(crate) mod data;
#[cfg(test)]
mod defect_tests;
mod edit;
mod find;
pub(crate) mod free_index;
pub(crate) mod leaf;
mod node_edit;
#[cfg(test)]
mod oracle_tests;
pub(crate) mod short;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod volume_tests;

pub(crate) use edit::{convert_short, empty_short, insert, insert_short, remove, remove_short};
pub(crate) use find::{lookup, lookup_short, visit, visit_short};

use super::da::{self, DaBlocks, DaFormat};
use super::units::{FileBlock, InodeNumber};
use crate::bytes::arith;
use crate::error::{Corrupt, Error, Result};
use crate::fs::NodeKind;

/// Where the leaves start, in bytes of the fork (`XFS_DIR2_LEAF_OFFSET`).
const LEAF_OFFSET_BYTES: u64 = 32 << 30;
/// Where the free index starts, in bytes of the fork (`XFS_DIR2_FREE_OFFSET`).
const FREE_OFFSET_BYTES: u64 = 64 << 30;
/// Where the free index ends.
const END_OFFSET_BYTES: u64 = 96 << 30;
/// Bound on the blocks of one directory that are visited.
const DIRECTORY_BLOCKS_MAX: u64 = 1 << 22;

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 1 to 255 bytes, without `/` and NUL.
    pub(crate) name: Vec<u8>,
    /// The inode it names, unchecked.
    pub(crate) inode: InodeNumber,
    /// The code of the file type, 0..=8; 0 if the volume stores none.
    pub(crate) file_type: u8,
}

impl Entry {
    /// What the entry says it names; `None` if it does not say.
    pub(crate) fn kind(&self) -> Option<NodeKind> {
        Some(match self.file_type {
            1 => NodeKind::File,
            2 => NodeKind::Directory,
            3 => NodeKind::CharDevice,
            4 => NodeKind::BlockDevice,
            5 => NodeKind::Fifo,
            6 => NodeKind::Socket,
            7 => NodeKind::Symlink,
            _ => return None,
        })
    }
}

/// An entry that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewEntry<'a> {
    /// The name.
    pub(crate) name: &'a [u8],
    /// What it names.
    pub(crate) inode: InodeNumber,
    /// The code of its kind; not stored if the volume stores none.
    pub(crate) file_type: u8,
}

impl<'a> NewEntry<'a> {
    /// An entry for an inode of `kind`.
    pub(crate) fn new(name: &'a [u8], inode: InodeNumber, kind: NodeKind) -> Self {
        Self { name, inode, file_type: kind.entry_type() }
    }
}

/// What becomes of the data fork and the size of a directory inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForkChange {
    /// The fork is local and holds these bytes, which are as many as the size says.
    Short(Vec<u8>),
    /// The fork maps blocks, as [`DaBlocks`] was told.
    Blocks {
        /// The size of the inode in bytes: to the end of the last data block.
        size_bytes: u64,
    },
}

/// What is wrong with a directory beyond the structure of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DirectoryDefect {
    /// A leaf entry leads to no entry.
    #[error("leaf entry {hash:#010x} leads to address {address:#x}, where no entry starts")]
    Dangling {
        /// Its hash.
        hash: u32,
        /// Its address, in units of 8 bytes.
        address: u32,
    },
    /// A leaf entry leads to a name with another hash.
    #[error("leaf entry {stored:#010x} leads to a name with hash {actual:#010x}")]
    Hash {
        /// In the leaf entry.
        stored: u32,
        /// Of the name.
        actual: u32,
    },
    /// The index knows more room in a data block than there is.
    #[error("data block {block} has less room than the index says")]
    Room {
        /// The data block.
        block: u32,
    },
    /// A block of the fork is mapped where none of a directory starts, or the root is missing.
    #[error("block {0} of the fork is out of place")]
    Misplaced(u64),
    /// A new leaf entry does not find room after a split.
    #[error("no room for a leaf entry")]
    NoRoom,
}

/// The hash of a name in this directory.
pub(crate) fn hash_name(format: &DaFormat, name: &[u8]) -> u32 {
    if format.is_ascii_ci { da::hash_name(&fold_case(name)) } else { da::hash_name(name) }
}

/// True if two names are the same in this directory.
pub(crate) fn is_same_name(format: &DaFormat, a: &[u8], b: &[u8]) -> bool {
    a == b || (format.is_ascii_ci && fold_case(a) == fold_case(b))
}

/// Small letters for capital ones, those of ISO 8859-1 included (black-box: mkfs.xfs 6.13 and 7.2; only
/// mkfs.xfs before 6.4 left the latter alone).
fn fold_case(name: &[u8]) -> Vec<u8> {
    let fold = |byte: &u8| match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte | 0x20,
        _ => *byte,
    };
    name.iter().map(fold).collect()
}

/// The block of the fork at `offset_bytes`.
fn block_at(format: &DaFormat, offset_bytes: u64) -> FileBlock {
    FileBlock(offset_bytes.checked_div(format.block_size_bytes.into()).unwrap_or(0))
}

/// The part of the fork where the leaves and nodes are.
pub(crate) fn leaf_extent(format: &DaFormat) -> da::tree::Extent {
    da::tree::Extent {
        root: block_at(format, LEAF_OFFSET_BYTES),
        end: block_at(format, FREE_OFFSET_BYTES),
    }
}

/// The block of the fork where data block `number` starts.
fn data_at(format: &DaFormat, number: u32) -> Result<FileBlock> {
    let at = arith::mul(number.into(), format.blocks_per_da_block())?;
    if at >= leaf_extent(format).root.0 {
        let what = format!("size of directory {} in blocks", format.inode);
        return Err(Error::limit(what, leaf_extent(format).root.0, at));
    }
    Ok(FileBlock(at))
}

/// Where an entry is: data block, and offset in it.
fn place_of(format: &DaFormat, address: u32) -> Result<(u32, usize)> {
    let byte = arith::mul(address.into(), 8)?;
    let number = arith::div(byte, format.da_block_size_bytes.into())?;
    let offset = arith::rem(byte, format.da_block_size_bytes.into())?;
    Ok((arith::to(number)?, arith::to(offset)?))
}

/// The address of an entry, in units of 8 bytes.
fn address_of(format: &DaFormat, number: u32, offset: usize) -> Result<u32> {
    let byte = arith::mul(number.into(), format.da_block_size_bytes.into())?;
    Ok(arith::to(arith::div(arith::add(byte, arith::len_u64(offset))?, 8)?)?)
}

/// A defect of a directory inside its inode.
fn short_corrupt(format: &DaFormat, defect: short::ShortDefect) -> Error {
    Corrupt::new("short form directory", defect).of(format.inode.to_string()).into()
}

/// The form of a directory that is not inside its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Block,
    Leaf,
    Node,
}

/// Finds out the form, from what is at the place of the root.
fn form(blocks: &dyn DaBlocks) -> Result<Form> {
    let format = blocks.format();
    let root = leaf_extent(format).root;
    let structure = "directory";
    let Some(first) = blocks.next_mapped(root)? else { return Ok(Form::Block) };
    if first != root {
        let defect = DirectoryDefect::Misplaced(first.0);
        return Err(da::corrupt(blocks, structure, first, defect));
    }
    let bytes = da::read_mapped(blocks, root, structure)?;
    match da::tree::checked_header(blocks, root, &bytes)?.kind {
        da::header::DaKind::DirectoryLeaf => Ok(Form::Leaf),
        da::header::DaKind::DirectoryNodeLeaf | da::header::DaKind::Node => Ok(Form::Node),
        da::header::DaKind::AttributeLeaf => {
            Err(da::corrupt(blocks, structure, root, leaf::LeafDefect::Kind))
        }
    }
}
