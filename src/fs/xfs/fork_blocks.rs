//! Directory and attribute blocks of an inode, as the code of directories and attributes wants them.

use super::da::{DaBlocks, DaFormat, Unmapped};
use super::inode::{ForkFormat, ForkKind, Inode};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{OutOfRange, len_u64, mul, to};
use crate::bytes::field;
use crate::error::{Corrupt, Error, Refusal, Result};

/// What the blocks of `fork` look like.
///
/// # Errors
/// `Corrupt` only if the superblock had not been checked.
pub(crate) fn format(volume: &Volume, inode: &Inode, fork: ForkKind) -> Result<DaFormat> {
    let superblock = volume.superblock();
    let block = superblock.block_size_bytes;
    let directory_block = block.checked_shl(u32::from(superblock.directory_block_log));
    Ok(DaFormat {
        block_size_bytes: block,
        da_block_size_bytes: match fork {
            ForkKind::Data => directory_block.ok_or(OutOfRange)?,
            ForkKind::Attribute => block,
        },
        inode: inode.number,
        has_crc: superblock.has_crc(),
        has_file_type: superblock.features.has_file_type(),
        is_ascii_ci: superblock.features.is_ascii_ci(),
        meta_uuid: superblock.meta_uuid,
    })
}

/// Who looks at the blocks.
#[derive(Debug)]
enum Access<'a> {
    Read(&'a Volume, &'a Inode),
    Edit(&'a mut Volume, &'a mut Inode),
}

/// The blocks of one fork. The inode is changed by an edit, and stored by the caller.
#[derive(Debug)]
pub(crate) struct ForkBlocks<'a> {
    access: Access<'a>,
    fork: ForkKind,
    format: DaFormat,
}

impl<'a> ForkBlocks<'a> {
    /// Blocks that are only read.
    ///
    /// # Errors
    /// As [`format()`].
    pub(crate) fn read(volume: &'a Volume, inode: &'a Inode, fork: ForkKind) -> Result<Self> {
        let format = format(volume, inode, fork)?;
        Ok(Self { access: Access::Read(volume, inode), fork, format })
    }

    /// Blocks that are edited.
    ///
    /// # Errors
    /// As [`format()`].
    pub(crate) fn edit(
        volume: &'a mut Volume,
        inode: &'a mut Inode,
        fork: ForkKind,
    ) -> Result<Self> {
        let format = format(volume, inode, fork)?;
        Ok(Self { access: Access::Edit(volume, inode), fork, format })
    }

    fn volume(&self) -> &Volume {
        match &self.access {
            Access::Read(volume, _) => volume,
            Access::Edit(volume, _) => volume,
        }
    }

    fn inode(&self) -> &Inode {
        match &self.access {
            Access::Read(_, inode) => inode,
            Access::Edit(_, inode) => inode,
        }
    }

    fn editor(&mut self) -> Result<(&mut Volume, &mut Inode)> {
        match &mut self.access {
            Access::Read(..) => {
                let what = "a directory or attribute block that is only read".to_owned();
                Err(Refusal::ReadOnly { what }.into())
            }
            Access::Edit(volume, inode) => Ok((volume, inode)),
        }
    }

    /// Where the file-system blocks of the block at `at` lie; none if all of it is a hole.
    fn places(&self, at: FileBlock) -> Result<Option<Vec<FsBlock>>> {
        let mut places = Vec::new();
        for index in 0..self.format.blocks_per_da_block() {
            let file_block = at.plus(index)?;
            match self.volume().find_extent(self.inode(), self.fork, file_block)? {
                Some(extent) => places.push(extent.block_at(file_block)?),
                None if places.is_empty() && index == 0 => return Ok(None),
                None => return Err(self.unmapped(at)),
            }
        }
        Ok(Some(places))
    }

    fn unmapped(&self, at: FileBlock) -> Error {
        let object = format!("{}, block {at} of the fork", self.inode().number);
        Corrupt::new("directory or attribute block", Unmapped).of(object).into()
    }

    fn mapped(&self, at: FileBlock) -> Result<Vec<FsBlock>> {
        self.places(at)?.ok_or_else(|| self.unmapped(at))
    }
}

impl DaBlocks for ForkBlocks<'_> {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        let Some(places) = self.places(at)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(self.format.block_len());
        for place in places {
            bytes.extend(self.volume().read_blocks(place, 1)?);
        }
        Ok(Some(bytes))
    }

    fn write(&mut self, at: FileBlock, bytes: &[u8], what: &str) -> Result<()> {
        if bytes.len() != self.format.block_len() {
            return Err(OutOfRange.into());
        }
        let label = format!("{what} of {}", self.inode().number);
        let block_len: usize = to(self.format.block_size_bytes)?;
        for (index, place) in self.mapped(at)?.into_iter().enumerate() {
            let from = mul(len_u64(index), len_u64(block_len))?;
            let part = field::slice(bytes, to(from)?, block_len)?;
            self.volume().write_blocks(place, part, &label)?;
        }
        Ok(())
    }

    fn allocate(&mut self, at: FileBlock) -> Result<()> {
        let (fork, count) = (self.fork, self.format.blocks_per_da_block());
        let (volume, inode) = self.editor()?;
        volume.map_blocks(inode, fork, at, count)
    }

    fn free(&mut self, at: FileBlock) -> Result<()> {
        self.mapped(at)?;
        let (fork, end) = (self.fork, at.plus(self.format.blocks_per_da_block())?);
        let (volume, inode) = self.editor()?;
        volume.unmap_blocks(inode, fork, at, end)
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        let places = self.mapped(at)?;
        let first = places.first().ok_or_else(|| self.unmapped(at))?;
        self.volume().superblock().daddr(*first)
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        if self.inode().format(self.fork)? == ForkFormat::Local {
            return Ok(None);
        }
        let extent = self.volume().next_extent(self.inode(), self.fork, from)?;
        Ok(extent.map(|extent| extent.file_block.max(from)))
    }
}
