//! The attributes of an inode of a volume.

use super::parent::ParentPointer;
use super::read::{self, Source};
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

/// The blocks of an attribute fork, for reading.
struct ForkBlocks<'a> {
    volume: &'a Volume,
    inode: &'a Inode,
    format: DaFormat,
}

impl ForkBlocks<'_> {
    fn place(&self, at: FileBlock) -> Result<Option<FsBlock>> {
        let extent = self.volume.find_extent(self.inode, ForkKind::Attribute, at)?;
        extent.map(|extent| extent.block_at(at)).transpose()
    }

    fn read_only(&self) -> Result<()> {
        Err(Refusal::ReadOnly { what: self.inode.number.to_string() }.into())
    }
}

impl DaBlocks for ForkBlocks<'_> {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        self.place(at)?.map(|block| self.volume.read_blocks(block, 1)).transpose()
    }

    fn write(&mut self, _at: FileBlock, _bytes: &[u8], _what: &str) -> Result<()> {
        self.read_only()
    }

    fn allocate(&mut self, _at: FileBlock) -> Result<()> {
        self.read_only()
    }

    fn free(&mut self, _at: FileBlock) -> Result<()> {
        self.read_only()
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        let Some(block) = self.place(at)? else {
            // Without a place there is no offset to name.
            return Err(self.inode.corrupt(Unmapped));
        };
        self.volume.superblock().daddr(block)
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        let extent = self.volume.next_extent(self.inode, ForkKind::Attribute, from)?;
        Ok(extent.map(|extent| extent.file_block.max(from)))
    }
}

impl Volume {
    /// Calls `read` with the place of the attributes of `inode`.
    fn with_attributes<T>(
        &self,
        inode: &Inode,
        read: impl FnOnce(Source<'_>) -> Result<T>,
    ) -> Result<T> {
        if !inode.has_attribute_fork() {
            return read(Source::Nowhere);
        }
        if inode.format(ForkKind::Attribute)? == ForkFormat::Local {
            let short_form = Source::ShortForm(inode.fork(ForkKind::Attribute));
            return read(short_form).context(|| inode.number.to_string());
        }
        let format = format_of(self, inode);
        read(Source::Blocks(&ForkBlocks { volume: self, inode, format }))
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
}
