//! The blocks of a directory, for the `directory` module: how it reaches the disk.

use super::content::Mapping;
use super::directory::inline::InlineDirectory;
use super::directory::{self, DirectoryBlocks, DirectoryFormat, Entry};
use super::feature::{compat, incompat};
use super::inode::{Inode, InodeDefect, flag};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{add, div_ceil, mul};
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
fn place(volume: &Volume, directory: &Inode, file_block: u32) -> Result<FsBlock> {
    match volume.find_block(directory, FileBlock(file_block))?.mapping {
        Mapping::Mapped(block) if file_block < block_count(volume, directory)? => Ok(block),
        _ => {
            let object = directory.number.to_string();
            Err(Corrupt::new("directory", Hole(file_block)).of(object).into())
        }
    }
}

/// Who looks at the blocks.
#[derive(Debug)]
enum Access<'a> {
    Read(&'a Volume, &'a Inode),
    Edit(&'a mut Volume, &'a mut Inode),
}

/// The blocks of a directory. The inode is changed by an edit, and stored by the caller.
#[derive(Debug)]
pub(crate) struct InodeBlocks<'a> {
    access: Access<'a>,
    format: DirectoryFormat,
    block_count: u32,
}

impl<'a> InodeBlocks<'a> {
    /// Blocks that are only read.
    pub(crate) fn read(volume: &'a Volume, directory: &'a Inode) -> Result<Self> {
        let format = format(volume, directory);
        let block_count = block_count(volume, directory)?;
        Ok(Self { access: Access::Read(volume, directory), format, block_count })
    }

    /// Blocks that are edited.
    pub(crate) fn edit(volume: &'a mut Volume, directory: &'a mut Inode) -> Result<Self> {
        let format = format(volume, directory);
        let block_count = block_count(volume, directory)?;
        Ok(Self { access: Access::Edit(volume, directory), format, block_count })
    }

    fn editor(&mut self) -> Result<(&mut Volume, &mut Inode)> {
        match &mut self.access {
            Access::Read(_, directory) => {
                Err(Refusal::ReadOnly { what: directory.number.to_string() }.into())
            }
            Access::Edit(volume, directory) => Ok((volume, directory)),
        }
    }
}

fn label(directory: &Inode, file_block: u32) -> String {
    format!("directory block {file_block} of {}", directory.number)
}

impl DirectoryBlocks for InodeBlocks<'_> {
    fn format(&self) -> &DirectoryFormat {
        &self.format
    }

    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, file_block: u32) -> Result<Vec<u8>> {
        let (volume, directory): (&Volume, &Inode) = match &self.access {
            Access::Read(volume, directory) => (volume, directory),
            Access::Edit(volume, directory) => (volume, directory),
        };
        volume.read_block(place(volume, directory, file_block)?)
    }

    fn write(&mut self, file_block: u32, bytes: &[u8]) -> Result<()> {
        let (volume, directory) = self.editor()?;
        let block = place(volume, directory, file_block)?;
        volume.write_block(block, 0, bytes, &label(directory, file_block))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<u32> {
        let number = self.block_count;
        let (volume, directory) = self.editor()?;
        let block_size = volume.superblock().block_size();
        let offset = mul(u64::from(number), block_size)?;
        let what = label(directory, number);
        volume.write_content(directory, offset, bytes, &what)?;
        directory.set_size_bytes(add(offset, block_size)?)?;
        self.block_count = number.saturating_add(1);
        Ok(number)
    }

    fn set_indexed(&mut self, indexed: bool) -> Result<()> {
        let (_, directory) = self.editor()?;
        let others = directory.flags() & !flag::INDEX;
        directory.set_flags(if indexed { others | flag::INDEX } else { others })?;
        self.format.is_indexed = indexed;
        Ok(())
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
            let entry = directory::lookup(&InodeBlocks::read(self, directory)?, name)?;
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
            return directory::visit(&InodeBlocks::read(self, directory)?, visit);
        }
        let format = format(self, directory);
        read_inline(directory)?.visit(&format, visit)
    }
}
