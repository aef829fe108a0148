//! The edits of existing files: content, metadata, attributes. Creating and removing is in `edit_names`.
//!
//! Order inside an edit does not matter: it happens in an overlay. An edit of content changes the times of
//! modification and change; every other one the time of change only.

use super::attribute::edit::Change;
use super::inode::{Inode, Time, flag, flag2};
use super::quota::Charge;
use super::volume::Volume;
use super::{Xfs, unsuitable};
use crate::bytes::arith::len_u64;
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
    if inode.has_flag(flag::REALTIME) {
        let feature = format!("the realtime device ({path})");
        return Err(Refusal::NotWritable { feature }.into());
    }
    Ok(())
}

impl Volume {
    /// Refuses an inode that belongs to the file system itself, that the inode trees call free, or that is
    /// deleted.
    pub(super) fn check_claim(&self, inode: &Inode) -> Result<()> {
        let superblock = self.superblock();
        let is_own = superblock.realtime_inodes.contains(&inode.number)
            || superblock.quota_inodes.contains(&inode.number)
            || inode.has_flag2(flag2::METADATA);
        if is_own {
            return Err(unsuitable(inode, "belongs to the file system itself"));
        }
        if inode.link_count() == 0 || !self.is_allocated(inode.number)? {
            let detail = format!("{} is deleted, but a directory still names it", inode.number);
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        Ok(())
    }
}

impl Xfs {
    /// The inode of a regular file whose content may be edited.
    fn editable_file(&self, node: NodeId) -> Result<Inode> {
        let inode = self.editable(node)?;
        inode.kind()?.check(NodeKind::File, inode.number)?;
        Ok(inode)
    }

    /// An inode that may be edited.
    pub(super) fn editable(&self, node: NodeId) -> Result<Inode> {
        self.check_writable()?;
        let inode = self.inode(node)?;
        check_editable(&inode)?;
        self.volume.check_claim(&inode)?;
        Ok(inode)
    }

    /// Writes `content` over the whole file, reusing its blocks.
    pub(super) fn put_content(&mut self, inode: &mut Inode, content: &[u8]) -> Result<()> {
        let what = format!("data of {}", inode.number);
        let size = len_u64(content.len());
        if size > FILE_BYTES_MAX {
            return Err(Error::limit("size of the new content in bytes", FILE_BYTES_MAX, size));
        }
        if size < inode.size_bytes() {
            self.volume.cut_content(inode, size, &what)?;
        }
        self.volume.write_content(inode, 0, content, &what)
    }

    /// Stores an inode that was changed, and sees to what it is charged for.
    pub(super) fn store_changed(
        &mut self,
        mut inode: Inode,
        before: Option<Charge>,
        is_content: bool,
    ) -> Result<()> {
        inode.set_time(Time::Change, self.clock)?;
        if is_content {
            inode.set_time(Time::Modify, self.clock)?;
        }
        inode.count_change()?;
        self.volume.store_inode(&mut inode)?;
        self.volume.recharge(before, Some(Charge::of(&inode)))
    }
}

impl FileEdit for Xfs {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let mut inode = self.editable_file(node)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let before = Charge::of(&inode);
        let what = format!("data of {}", inode.number);
        let size = inode.size_bytes();
        self.volume.write_content(&mut inode, size, bytes, &what)?;
        self.store_changed(inode, Some(before), true)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let mut inode = self.editable_file(node)?;
        let before = Charge::of(&inode);
        self.put_content(&mut inode, content)?;
        self.store_changed(inode, Some(before), true)
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
        let mut inode = self.editable(node)?;
        let before = Charge::of(&inode);
        if let Some(mode) = change.mode {
            if mode > MODE_MAX {
                return Err(unsuitable(&inode, format!("cannot have mode {mode:o}")));
            }
            if let Some(access) = self.volume.xattr(&inode, acl::ACCESS_NAME)? {
                let access = acl::with_mode(&access, mode).context(|| inode.number.to_string())?;
                let change = Change::xattr(acl::ACCESS_NAME, access.as_deref())?;
                self.volume.change_attributes(&mut inode, &[change])?;
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
        self.store_changed(inode, Some(before), false)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        let mut inode = self.editable(node)?;
        if self.volume.xattr(&inode, name)?.as_deref() == value {
            return Ok(());
        }
        let before = Charge::of(&inode);
        self.volume.change_attributes(&mut inode, &[Change::xattr(name, value)?])?;
        self.store_changed(inode, Some(before), false)
    }

    fn finish(&mut self) -> Result<()> {
        let Some(layers) = self.layers.take() else { return Ok(()) };
        layers.settle(&mut self.volume, &mut |volume, number| volume.finish_deleted(number))
    }
}
