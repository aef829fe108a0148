//! The blocks of a directory, for the `directory` module: how it reaches the disk.

use super::content::Mapping;
use super::directory::inline::InlineDirectory;
use super::directory::{self, DirectoryBlocks, DirectoryFormat, Entry};
use super::feature::{compat, incompat};
use super::inode::{Inode, InodeDefect, flag};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::div_ceil;
use crate::error::{Corrupt, Refusal, Result};
use std::ops::ControlFlow;

/// A directory that has no block where one must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {0} is a hole")]
struct Hole(u32);

/// What the blocks of `directory` look like.
pub(crate) fn format(volume: &Volume, directory: &Inode) -> DirectoryFormat {
    let superblock = volume.superblock();
    let features = superblock.features;
    DirectoryFormat {
        block_size_bytes: superblock.block_size_bytes,
        inode: directory.number.0,
        has_file_type: features.has_incompat(incompat::FILETYPE),
        checksum_seed: volume.inode_seed(directory),
        hash_seed: superblock.hash_seed,
        default_hash_version: superblock.default_hash_version,
        hash_is_unsigned: superblock.hash_is_unsigned,
        may_index: features.has_compat(compat::DIR_INDEX),
        is_large: features.has_incompat(incompat::LARGE_DIR),
        is_indexed: features.has_compat(compat::DIR_INDEX) && directory.has_flag(flag::INDEX),
    }
}

/// The number of blocks of `directory`.
pub(super) fn block_count(volume: &Volume, directory: &Inode) -> Result<u32> {
    let size = directory.size_bytes();
    let count = div_ceil(size, volume.superblock().block_size())?;
    u32::try_from(count).map_err(|_| directory.corrupt(InodeDefect::Size(size)))
}

/// Where block `file_block` of `directory` lies; a directory has no holes.
pub(super) fn place(volume: &Volume, directory: &Inode, file_block: u32) -> Result<FsBlock> {
    match volume.find_block(directory, FileBlock(file_block))?.mapping {
        Mapping::Mapped(block) if file_block < block_count(volume, directory)? => Ok(block),
        _ => {
            let object = directory.number.to_string();
            Err(Corrupt::new("directory", Hole(file_block)).of(object).into())
        }
    }
}

/// The blocks of a directory for reading.
#[derive(Debug)]
pub(crate) struct ReadBlocks<'a> {
    volume: &'a Volume,
    directory: &'a Inode,
    format: DirectoryFormat,
    block_count: u32,
}

impl<'a> ReadBlocks<'a> {
    pub(crate) fn new(volume: &'a Volume, directory: &'a Inode) -> Result<Self> {
        let format = format(volume, directory);
        let block_count = block_count(volume, directory)?;
        Ok(Self { volume, directory, format, block_count })
    }

    fn read_only<T>(&self) -> Result<T> {
        Err(Refusal::ReadOnly { what: self.directory.number.to_string() }.into())
    }
}

impl DirectoryBlocks for ReadBlocks<'_> {
    fn format(&self) -> &DirectoryFormat {
        &self.format
    }

    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, file_block: u32) -> Result<Vec<u8>> {
        self.volume.read_block(place(self.volume, self.directory, file_block)?)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<()> {
        self.read_only()
    }

    fn append(&mut self, _: &[u8]) -> Result<u32> {
        self.read_only()
    }

    fn set_indexed(&mut self, _: bool) -> Result<()> {
        self.read_only()
    }
}

/// The inline form of `directory`.
pub(super) fn read_inline(directory: &Inode) -> Result<InlineDirectory> {
    Ok(InlineDirectory { i_block: directory.i_block()?.to_vec(), rest: directory.inline_rest()? })
}

impl Volume {
    /// Finds `name` in `directory`, whatever its form. `.` and `..` are names like any other.
    pub(crate) fn find_entry(&self, directory: &Inode, name: &[u8]) -> Result<Option<u32>> {
        if !directory.has_flag(flag::INLINE_DATA) {
            let entry = directory::lookup(&ReadBlocks::new(self, directory)?, name)?;
            return Ok(entry.map(|entry| entry.inode));
        }
        let inline = read_inline(directory)?;
        let format = format(self, directory);
        Ok(match name {
            b"." => Some(directory.number.0),
            b".." => Some(inline.parent(&format)?),
            _ => inline.lookup(&format, name)?.map(|entry| entry.inode),
        })
    }

    /// Calls `visit` for every entry of `directory` until it breaks; `.` and `..` may be among them.
    pub(crate) fn visit_entries(
        &self,
        directory: &Inode,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if !directory.has_flag(flag::INLINE_DATA) {
            return directory::visit(&ReadBlocks::new(self, directory)?, visit);
        }
        let format = format(self, directory);
        read_inline(directory)?.visit(&format, visit)
    }
}
