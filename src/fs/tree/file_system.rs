//! A directory of the host as a file system: the edits first, the disk where there are none.

use super::Tree;
use super::nodes::ROOT;
use crate::error::{Context as _, Result};
use crate::fs::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, MountPoint, NTFS_ACL_NAME, NodeId,
    Xattr,
};
use std::ops::ControlFlow;

/// The types whose names are those of the JSON contract; others are called `directory`.
const TYPE_NAMES: [&str; 12] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs",
    "xfs", "zfs",
];

impl FileSystem for Tree {
    fn identity(&self) -> Identity {
        let found = self.directory.type_name();
        let known = TYPE_NAMES.into_iter().find(|name| *name == found);
        let type_name = if self.is_ntfs() { "ntfs" } else { known.unwrap_or("directory") };
        let uuid = self.directory.uuid().unwrap_or_default();
        Identity { type_name, uuid, label: Vec::new() }
    }

    fn health(&self) -> Health {
        Health::Clean
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_writable(&self) -> Result<()> {
        self.directory.check_writable()
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn mount_points(&self) -> &[MountPoint] {
        &self.mount_points
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        Ok(self.find(directory, name)?.map(|(_, node)| node))
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for (name, node) in self.layer.new_names(directory) {
            if visit(DirectoryEntry { name, node })?.is_break() {
                return Ok(());
            }
        }
        if self.layer.is_new(directory) {
            return Ok(());
        }
        let handle = self.handle(directory)?;
        let mut visit_name = |name: &[u8]| {
            if self.layer.named(directory, name, self.is_ntfs()).is_some() {
                return Ok(true);
            }
            // Gone in between: it is not there.
            let Some(child) = self.directory.child(&handle, name)? else { return Ok(true) };
            let node = self.nodes.intern(directory, name, child)?;
            Ok(visit(DirectoryEntry { name: name.to_vec(), node })?.is_continue())
        };
        self.directory.names(&handle, &mut visit_name).context(|| self.path(directory))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        match self.layer.draft(node) {
            Some(draft) => Ok(draft.metadata),
            None => self.metadata_on_disk(node),
        }
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        match self.layer.draft(node) {
            Some(draft) => draft.read_at(offset_bytes, len, &|offset_bytes, len| {
                self.read_on_disk(node, offset_bytes, len)
            }),
            None => self.read_on_disk(node, offset_bytes, len),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.link_on_disk(node)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        match self.layer.draft(node) {
            Some(draft) => {
                let mut xattrs = draft.xattrs.clone();
                xattrs.retain(|xattr| xattr.name != NTFS_ACL_NAME);
                Ok(xattrs)
            }
            None => self.xattrs_on_disk(node),
        }
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(draft) = self.layer.draft(node)
            && let Some(xattr) = draft.xattrs.iter().find(|xattr| xattr.name == name)
        {
            return Ok(Some(xattr.value.clone()));
        }
        if self.layer.is_new(node) || (self.layer.draft(node).is_some() && name != NTFS_ACL_NAME) {
            return Ok(None);
        }
        self.xattr_on_disk(node, name)
    }
}
