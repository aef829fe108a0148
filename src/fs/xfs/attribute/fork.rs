//! The attributes of an inode of a volume.
//!
//! An inode under edit is stored by the caller; its blocks are written at once.

use super::edit::{Change, ForkChange, change_blocks, change_short_form};
use super::parent::ParentPointer;
use super::read::{self, Source};
use super::room::Room;
use super::tree::{self, BlocksChange};
use super::{Attribute, short_form};
use crate::error::{Context as _, Refusal, Result};
use crate::fs::Xattr;
use crate::fs::xfs::da::{DaBlocks, DaFormat, Unmapped};
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::units::{FileBlock, FsBlock};
use crate::fs::xfs::volume::Volume;

/// What the blocks of attributes of `inode` look like.
fn format_of(volume: &Volume, inode: &Inode) -> DaFormat {
    let superblock = volume.superblock();
    DaFormat {
        block_size_bytes: superblock.block_size_bytes,
        da_block_size_bytes: superblock.block_size_bytes,
        inode: inode.number,
        has_crc: superblock.has_crc(),
        has_file_type: superblock.features.has_file_type(),
        is_ascii_ci: superblock.features.is_ascii_ci(),
        meta_uuid: superblock.meta_uuid,
    }
}

/// Where block `at` of the attribute fork of `inode` lies.
fn place(volume: &Volume, inode: &Inode, at: FileBlock) -> Result<Option<FsBlock>> {
    let extent = volume.find_extent(inode, ForkKind::Attribute, at)?;
    extent.map(|extent| extent.block_at(at)).transpose()
}

fn mapped(volume: &Volume, inode: &Inode, at: FileBlock) -> Result<FsBlock> {
    place(volume, inode, at)?.ok_or_else(|| inode.corrupt(Unmapped))
}

fn read(volume: &Volume, inode: &Inode, at: FileBlock) -> Result<Option<Vec<u8>>> {
    place(volume, inode, at)?.map(|block| volume.read_blocks(block, 1)).transpose()
}

fn next_mapped(volume: &Volume, inode: &Inode, from: FileBlock) -> Result<Option<FileBlock>> {
    let extent = volume.next_extent(inode, ForkKind::Attribute, from)?;
    Ok(extent.map(|extent| extent.file_block.max(from)))
}

/// The blocks of an attribute fork, for reading.
struct ReadBlocks<'a> {
    volume: &'a Volume,
    inode: &'a Inode,
    format: DaFormat,
}

impl ReadBlocks<'_> {
    fn refuse(&self) -> Result<()> {
        Err(Refusal::ReadOnly { what: self.inode.number.to_string() }.into())
    }
}

impl DaBlocks for ReadBlocks<'_> {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        read(self.volume, self.inode, at)
    }

    fn write(&mut self, _at: FileBlock, _bytes: &[u8], _what: &str) -> Result<()> {
        self.refuse()
    }

    fn allocate(&mut self, _at: FileBlock) -> Result<()> {
        self.refuse()
    }

    fn free(&mut self, _at: FileBlock) -> Result<()> {
        self.refuse()
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        self.volume.superblock().daddr(mapped(self.volume, self.inode, at)?)
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        next_mapped(self.volume, self.inode, from)
    }
}

/// The blocks of an attribute fork under edit.
struct EditBlocks<'a> {
    volume: &'a mut Volume,
    inode: &'a mut Inode,
    format: DaFormat,
}

impl<'a> EditBlocks<'a> {
    fn new(volume: &'a mut Volume, inode: &'a mut Inode) -> Self {
        let format = format_of(volume, inode);
        Self { volume, inode, format }
    }
}

impl DaBlocks for EditBlocks<'_> {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        read(self.volume, self.inode, at)
    }

    fn write(&mut self, at: FileBlock, bytes: &[u8], what: &str) -> Result<()> {
        let block = mapped(self.volume, self.inode, at)?;
        let what = format!("{what} of {}", self.inode.number);
        self.volume.write_blocks(block, bytes, &what)
    }

    fn allocate(&mut self, at: FileBlock) -> Result<()> {
        self.volume.map_blocks(self.inode, ForkKind::Attribute, at, 1)
    }

    fn free(&mut self, at: FileBlock) -> Result<()> {
        mapped(self.volume, self.inode, at)?;
        self.volume.unmap_blocks(self.inode, ForkKind::Attribute, at, at.plus(1)?)
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        self.volume.superblock().daddr(mapped(self.volume, self.inode, at)?)
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        next_mapped(self.volume, self.inode, from)
    }
}

/// True if the attributes of `inode` are in blocks; else they are in the inode, or there are none.
fn is_in_blocks(inode: &Inode) -> Result<bool> {
    let is_local = inode.format(ForkKind::Attribute)? == ForkFormat::Local;
    let extents = inode.extent_count(ForkKind::Attribute);
    Ok(inode.has_attribute_fork() && !is_local && extents > 0)
}

/// The attributes in `inode` itself.
fn short_form_of(inode: &Inode) -> Result<Vec<Attribute>> {
    let is_local = inode.format(ForkKind::Attribute)? == ForkFormat::Local;
    if !inode.has_attribute_fork() || !is_local {
        return Ok(Vec::new());
    }
    let parsed = short_form::parse(inode.fork(ForkKind::Attribute));
    parsed.map_err(|defect| inode.corrupt(defect))
}

impl Volume {
    /// Calls `read` with the place of the attributes of `inode`.
    fn with_attributes<T>(
        &self,
        inode: &Inode,
        read: impl FnOnce(Source<'_>) -> Result<T>,
    ) -> Result<T> {
        if is_in_blocks(inode)? {
            let format = format_of(self, inode);
            return read(Source::Blocks(&ReadBlocks { volume: self, inode, format }));
        }
        if !inode.has_attribute_fork() || inode.format(ForkKind::Attribute)? != ForkFormat::Local {
            return read(Source::Nowhere);
        }
        let short_form = Source::ShortForm(inode.fork(ForkKind::Attribute));
        read(short_form).context(|| inode.number.to_string())
    }

    /// All attributes of `inode` that have a full name.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if they are too many.
    pub(crate) fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>> {
        self.with_attributes(inode, read::xattrs)
    }

    /// The value of one attribute of `inode`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn xattr(&self, inode: &Inode, full_name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with_attributes(inode, |source| read::xattr(source, full_name))
    }

    /// The names of `inode`, as its parent pointers have them.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if they are too many.
    pub(crate) fn parent_pointers(&self, inode: &Inode) -> Result<Vec<ParentPointer>> {
        self.with_attributes(inode, read::parent_pointers)
    }

    /// Makes `changes` to the attributes of `inode`, in their order; false if they change nothing.
    ///
    /// # Errors
    /// `Refused` without space, or if the content of the inode leaves no room; `Corrupt`.
    pub(crate) fn change_attributes(
        &mut self,
        inode: &mut Inode,
        changes: &[Change],
    ) -> Result<bool> {
        if is_in_blocks(inode)? {
            let result = change_blocks(&mut EditBlocks::new(self, inode), changes)?;
            if result == BlocksChange::Emptied {
                self.drop_attribute_fork(inode)?;
            }
            return Ok(result != BlocksChange::Same);
        }
        let old = short_form_of(inode)?;
        match change_short_form(&Room::of(inode)?, &old, changes)? {
            ForkChange::Same => return Ok(false),
            ForkChange::Gone => self.drop_attribute_fork(inode)?,
            ForkChange::Local { offset_bytes, bytes } => {
                self.clear_attribute_fork(inode, offset_bytes)?;
                inode.set_format(ForkKind::Attribute, ForkFormat::Local)?;
                inode.put_fork(ForkKind::Attribute, &bytes)?;
            }
            ForkChange::Blocks { offset_bytes, attributes } => {
                self.clear_attribute_fork(inode, offset_bytes)?;
                tree::create(&mut EditBlocks::new(self, inode), &attributes)?;
            }
        }
        Ok(true)
    }

    /// Makes an empty list of extents of the attribute fork, which has no blocks, and moves it.
    fn clear_attribute_fork(&mut self, inode: &mut Inode, offset_bytes: usize) -> Result<()> {
        inode.put_fork(ForkKind::Attribute, &[])?;
        inode.set_format(ForkKind::Attribute, ForkFormat::Extents)?;
        if inode.fork_offset_bytes() != offset_bytes {
            self.set_fork_offset(inode, offset_bytes)?;
        }
        Ok(())
    }

    /// Takes the attribute fork, which has no blocks, out of the inode. Beside the root of an extent
    /// tree, which would have to move, it stays as an empty one, as a kernel leaves it.
    fn drop_attribute_fork(&mut self, inode: &mut Inode) -> Result<()> {
        let is_kept = inode.format(ForkKind::Data)? == ForkFormat::Btree;
        let offset_bytes = if is_kept { inode.fork_offset_bytes() } else { 0 };
        self.clear_attribute_fork(inode, offset_bytes)
    }
}
