//! Directory and attribute blocks: the B+tree that directories and attributes share.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Variable Length Record B+trees". Names are
//! hashed; a tree of nodes ([`node`]) leads from a hash to the leaf that knows where the record
//! is. All blocks carry the header of [`header`]. Nothing here knows how a fork maps to the disk:
//! blocks are reached through [`DaBlocks`].
//!
//! [`tree`] descends, splits and shrinks the node levels. What a leaf holds is the business of
//! `directory` and `attribute`.

pub(crate) mod header;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod node;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod walk;

use super::units::{FileBlock, InodeNumber};
use crate::bytes::arith;
use crate::bytes::guid::Uuid;
use crate::error::{Corrupt, Error, Result};

/// What the directory or attribute blocks of one inode look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DaFormat {
    /// Block size of the file system in bytes: 512..=65536.
    pub(crate) block_size_bytes: u32,
    /// Size of one directory or attribute block in bytes: a power of two, at most 65536. Attribute
    /// blocks are as large as the blocks of the file system.
    pub(crate) da_block_size_bytes: u32,
    /// The inode that the blocks belong to.
    pub(crate) inode: InodeNumber,
    /// Version 5: blocks describe themselves and carry a checksum.
    pub(crate) has_crc: bool,
    /// Directory entries carry the kind of what they name.
    pub(crate) has_file_type: bool,
    /// Names of directories are compared without case.
    pub(crate) is_ascii_ci: bool,
    /// `sb_meta_uuid`, which every block of version 5 repeats.
    pub(crate) meta_uuid: Uuid,
}

impl DaFormat {
    /// Size of a directory or attribute block in bytes.
    pub(crate) fn block_len(&self) -> usize {
        usize::try_from(self.da_block_size_bytes).unwrap_or(usize::MAX)
    }

    /// Blocks of the file system in one directory or attribute block; at least 1.
    pub(crate) fn blocks_per_da_block(&self) -> u64 {
        let (da, block) = (self.da_block_size_bytes, self.block_size_bytes);
        u64::from(da.checked_div(block).unwrap_or(1)).max(1)
    }
}

/// The directory or attribute blocks of one inode: a fork, seen in blocks of the file system.
///
/// Every access is to one whole directory or attribute block, which starts at the given block of
/// the fork. `None` and "hole" mean that no part of it is mapped; a part of a block being mapped is
/// damage.
pub(crate) trait DaBlocks {
    /// What the blocks look like.
    fn format(&self) -> &DaFormat;

    /// The content of the block at `at`; `None` if it is a hole.
    ///
    /// # Errors
    /// `Corrupt`.
    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>>;

    /// Replaces the content of the block at `at`; `what` names it, as in "directory leaf".
    ///
    /// # Errors
    /// `Corrupt` if it is a hole.
    fn write(&mut self, at: FileBlock, bytes: &[u8], what: &str) -> Result<()>;

    /// Maps the block at `at`, which is a hole. Its content is undefined until it is written.
    ///
    /// # Errors
    /// `Refused` if there is no space.
    fn allocate(&mut self, at: FileBlock) -> Result<()>;

    /// Unmaps the block at `at` and gives its space back.
    ///
    /// # Errors
    /// `Corrupt` if it is a hole.
    fn free(&mut self, at: FileBlock) -> Result<()>;

    /// Where the block at `at` starts on the volume, in units of 512 bytes, as in its header.
    ///
    /// # Errors
    /// `Corrupt` if it is a hole.
    fn daddr(&self, at: FileBlock) -> Result<u64>;

    /// The first mapped block of the file system at or after `from`.
    ///
    /// # Errors
    /// `Corrupt`.
    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>>;
}

/// A pointer into a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not mapped")]
pub(crate) struct Unmapped;

/// The content of a block that something points to.
///
/// # Errors
/// `Corrupt` if it is a hole.
pub(crate) fn read_mapped(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    structure: &'static str,
) -> Result<Vec<u8>> {
    let bytes = blocks.read(at)?;
    bytes.ok_or_else(|| corrupt(blocks, structure, at, Unmapped))
}

/// A defect of the block at `at`.
pub(crate) fn corrupt(
    blocks: &dyn DaBlocks,
    structure: &'static str,
    at: FileBlock,
    defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let object = format!("inode {}, block {} of the fork", blocks.format().inode.0, at.0);
    let corrupt = Corrupt::new(structure, defect).of(object);
    let offset = blocks.daddr(at).ok().and_then(|daddr| daddr.checked_mul(512));
    match offset {
        Some(offset_bytes) => corrupt.at(offset_bytes).into(),
        None => corrupt.into(),
    }
}

/// The first place at or after `from` where a whole block can be mapped: where new blocks go.
///
/// # Errors
/// `Corrupt` if there is none below `end`.
pub(crate) fn first_hole(
    blocks: &dyn DaBlocks,
    from: FileBlock,
    end: FileBlock,
) -> Result<FileBlock> {
    let step = blocks.format().blocks_per_da_block();
    let mut at = from;
    while at < end {
        let next = arith::add(at.0, step)?;
        match blocks.next_mapped(at)? {
            Some(mapped) if mapped.0 < next => at = FileBlock(next),
            _ => return Ok(at),
        }
    }
    Err(Error::limit("size of a directory or attribute fork in blocks", end.0, at.0))
}

/// The hash of a name, by which trees are ordered.
///
/// The document gives the hash for four bytes at a time; that is the same as this rule for one
/// byte, because the terms of four bytes do not reach beyond 32 bits.
pub(crate) fn hash_name(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, byte| hash.rotate_left(7) ^ u32::from(*byte))
}
