//! The edits of existing files: content, metadata, attributes. Creating and removing is in `edit_names`.
//!
//! Order inside an edit does not matter: it happens in an overlay. An edit of content changes the times of
//! modification and change; every other one the time of change only.

use super::attributes_edit::check_no_value_inodes;
use super::inode::{Inode, Time, flag};
use super::quota_files::Charge;
use super::{Ext, unsuitable};
use crate::bytes::arith::{add, len_u64};
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::{
    FILE_BYTES_MAX, FileEdit, FileSystem, MetadataChange, NewNode, NodeId, NodeKind, acl,
};

/// Bits of the mode that an edit may set.
const MODE_MAX: u32 = 0o7777;

/// Refuses a file or directory that must stay as it is.
pub(super) fn check_editable(inode: &Inode) -> Result<()> {
    let path = inode.number.to_string();
    if inode.has_flag(flag::IMMUTABLE) {
        return Err(Refusal::ProtectedFile { path, flag: "immutable" }.into());
    }
    if inode.has_flag(flag::APPEND) {
        return Err(Refusal::ProtectedFile { path, flag: "append-only" }.into());
    }
    if inode.has_flag(flag::VERITY) {
        return Err(unsuitable(inode, "is protected by fs-verity"));
    }
    if inode.has_flag(flag::CASEFOLD) {
        let feature = format!("casefold (directory {})", inode.number);
        return Err(Refusal::NotWritable { feature }.into());
    }
    if inode.has_flag(flag::EA_INODE) {
        return Err(unsuitable(inode, "is the value of an extended attribute"));
    }
    inode.check_readable()
}

impl Ext {
    /// The inode of a regular file whose content may be edited.
    fn editable_file(&mut self, node: NodeId) -> Result<Inode> {
        self.check_writable()?;
        let mut inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::File, inode.number)?;
        check_editable(&inode)?;
        self.claim(&mut inode)?;
        self.volume.check_before_edit(&inode)?;
        Ok(inode)
    }

    /// Refuses files that belong to the file system itself, or that the next mount deletes. What the next mount
    /// would cut is cut now.
    pub(super) fn claim(&mut self, inode: &mut Inode) -> Result<()> {
        let superblock = self.volume.superblock();
        let number = inode.number.0;
        let is_hidden = (number < superblock.first_inode && number != super::ROOT_INODE.0)
            || number == superblock.journal_inode
            || number == superblock.orphan_file_inode
            || superblock.quota_inodes.contains(&number);
        if is_hidden {
            return Err(unsuitable(inode, "belongs to the file system itself"));
        }
        if inode.link_count() == 0 {
            let detail = format!("{} is deleted, but a directory still names it", inode.number);
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        self.volume.settle_orphan(inode)
    }

    /// Writes `content` over the whole file, reusing its blocks.
    pub(super) fn put_content(&mut self, inode: &mut Inode, content: &[u8]) -> Result<()> {
        let what = format!("data of {}", inode.number);
        let size = len_u64(content.len());
        if size > FILE_BYTES_MAX {
            return Err(Error::limit("size of the new content in bytes", FILE_BYTES_MAX, size));
        }
        if inode.has_flag(flag::INLINE_DATA) {
            if size <= self.volume.inline_limit() && inode.put_inline(content)? {
                return inode.set_size_bytes(size);
            }
            self.volume.leave_inline(inode)?;
            inode.set_size_bytes(0)?;
        } else if size < inode.size_bytes() {
            self.volume.cut_content(inode, size, &what)?;
        }
        self.volume.write_content(inode, 0, content, &what)?;
        inode.set_size_bytes(size)
    }

    /// Stores an inode whose content changed, and moves what it is charged for.
    fn finish(&mut self, mut inode: Inode, before: Charge, is_content: bool) -> Result<()> {
        inode.set_time(Time::Change, self.clock)?;
        if is_content {
            inode.set_time(Time::Modify, self.clock)?;
        }
        self.volume.store_inode(&mut inode)?;
        self.volume.recharge(Some(before), Some(Charge::of(&inode)?))
    }
}

impl FileEdit for Ext {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let mut inode = self.editable_file(node)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let before = Charge::of(&inode)?;
        let size = inode.size_bytes();
        if inode.has_flag(flag::INLINE_DATA) {
            let mut content = inode.read_inline()?;
            content.extend_from_slice(bytes);
            self.put_content(&mut inode, &content)?;
        } else {
            let end = add(size, len_u64(bytes.len()))?;
            let what = format!("data of {}", inode.number);
            self.volume.write_content(&mut inode, size, bytes, &what)?;
            inode.set_size_bytes(end)?;
        }
        self.finish(inode, before, true)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let mut inode = self.editable_file(node)?;
        let before = Charge::of(&inode)?;
        self.put_content(&mut inode, content)?;
        self.finish(inode, before, true)
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.create(directory, name, new, NodeKind::File, content)
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.create(directory, name, new, NodeKind::Directory, &[])
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        self.remove_name(directory, name)
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        self.check_writable()?;
        let mut inode = self.inode(node)?;
        check_editable(&inode)?;
        self.claim(&mut inode)?;
        let before = Charge::of(&inode)?;
        if let Some(mode) = change.mode {
            if mode > MODE_MAX {
                return Err(unsuitable(&inode, format!("cannot have mode {mode:o}")));
            }
            if let Some(access) = self.xattr(node, acl::ACCESS_NAME)? {
                let access = acl::with_mode(&access, mode).context(|| inode.number.to_string())?;
                self.volume.change_xattr(&mut inode, acl::ACCESS_NAME, access.as_deref())?;
            }
            inode.set_permissions(mode)?;
        }
        if let Some(uid) = change.uid {
            inode.set_uid(uid)?;
        }
        if let Some(gid) = change.gid {
            inode.set_gid(gid)?;
        }
        if let Some(accessed) = change.accessed {
            inode.set_time(Time::Access, accessed)?;
        }
        if let Some(modified) = change.modified {
            inode.set_time(Time::Modify, modified)?;
        }
        self.finish(inode, before, false)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_writable()?;
        let mut inode = self.inode(node)?;
        check_editable(&inode)?;
        self.claim(&mut inode)?;
        if let Some((_, block)) = self.volume.read_attribute_block(&inode)? {
            check_no_value_inodes(&inode, &block.attributes)?;
        }
        let before = Charge::of(&inode)?;
        if !self.volume.change_xattr(&mut inode, name, value)? {
            return Ok(());
        }
        self.finish(inode, before, false)
    }
}
