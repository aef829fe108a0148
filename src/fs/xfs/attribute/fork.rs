//! The attributes of an inode of a volume.
//!
//! An inode under edit is stored by the caller; its blocks are written at once.

use super::edit::{Change, ForkChange, change_blocks, change_short_form};
use super::parent::ParentPointer;
use super::read::{self, Source};
use super::room::Room;
use super::tree::{self, BlocksChange};
use super::{Attribute, short_form};
use crate::error::{Context as _, Result};
use crate::fs::Xattr;
use crate::fs::xfs::feature::version;
use crate::fs::xfs::fork_blocks::ForkBlocks;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::volume::Volume;

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
            let blocks = ForkBlocks::read(self, inode, ForkKind::Attribute)?;
            return read(Source::Blocks(&blocks));
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
            let mut blocks = ForkBlocks::edit(self, inode, ForkKind::Attribute)?;
            let result = change_blocks(&mut blocks, changes)?;
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
                self.note_attributes()?;
            }
            ForkChange::Blocks { offset_bytes, attributes } => {
                self.clear_attribute_fork(inode, offset_bytes)?;
                let mut blocks = ForkBlocks::edit(self, inode, ForkKind::Attribute)?;
                tree::create(&mut blocks, &attributes)?;
                self.note_attributes()?;
            }
        }
        Ok(true)
    }

    /// Notes in the superblock that there are attributes.
    fn note_attributes(&mut self) -> Result<()> {
        if self.superblock().features.version & version::ATTRIBUTES != 0 {
            return Ok(());
        }
        self.update_superblock(|superblock| {
            superblock.features.version |= version::ATTRIBUTES;
            Ok(())
        })
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
