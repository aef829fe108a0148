//! The edits of a Btrfs: what they change in the items of a subvolume. All of it happens in one transaction, which
//! [`FileEdit::finish`] brings onto the disk.
//!
//! ```text
//!  log        what a replay changed becomes part of the transaction
//!  names      creating and removing files and directories
//!  content    content of files: in the leaf, or in extents with checksums
//!  attributes extended attributes
//!  node       which inodes may be edited, and what every edit changes in them
//! ```
//!
//! Content is never compressed, also where files of the directory would be. Content up to 2048 bytes stands in the leaf.

mod attributes;
mod content;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod kernel_tests;
mod log;
mod names;
mod node;
#[cfg(test)]
mod special_tests;
#[cfg(test)]
mod tests;

use super::file_system::Btrfs;
use crate::error::{Context as _, Result};
use crate::fs::{FileEdit, FileSystem, MetadataChange, NewNode, NodeId, NodeKind, acl};

/// Bits of the mode that an edit may set.
const MODE_MAX: u32 = 0o7777;

/// Refuses what only an edit needs.
///
/// # Errors
/// `Refused`.
pub(super) fn check_writable(btrfs: &Btrfs) -> Result<()> {
    btrfs.check_log()?;
    btrfs.view.volume().check_editable()
}

impl FileEdit for Btrfs {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let (place, mut inode) = self.editable_file(node)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.append_content(place, &mut inode, bytes).context(|| place.describe())?;
        self.store_inode(place, inode, true)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let (place, mut inode) = self.editable_file(node)?;
        self.put_content(place, &mut inode, 0, content).context(|| place.describe())?;
        self.store_inode(place, inode, true)
    }

    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let (place, mut inode) = self.editable_file(node)?;
        self.put_range(place, &mut inode, offset_bytes, bytes).context(|| place.describe())?;
        self.store_inode(place, inode, true)
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
        let (place, mut inode) = self.editable(node)?;
        if let Some(mode) = change.mode {
            if mode > MODE_MAX {
                return Err(node::unsuitable(place, format!("cannot have mode {mode:o}")));
            }
            if let Some(access) = self.view.xattr(place, acl::ACCESS_NAME)? {
                let access = acl::with_mode(&access, mode).context(|| place.describe())?;
                self.put_attribute(place, acl::ACCESS_NAME, access.as_deref())?;
            }
            inode.mode = inode.mode & !MODE_MAX | mode;
        }
        inode.uid = change.uid.unwrap_or(inode.uid);
        inode.gid = change.gid.unwrap_or(inode.gid);
        inode.accessed = change.accessed.unwrap_or(inode.accessed);
        inode.modified = change.modified.unwrap_or(inode.modified);
        self.store_inode(place, inode, false)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        let (place, inode) = self.editable(node)?;
        if self.view.xattr(place, name)?.as_deref() == value {
            return Ok(());
        }
        self.put_attribute(place, name, value)?;
        self.store_inode(place, inode, false)
    }

    fn finish(&mut self) -> Result<()> {
        let clock = self.clock;
        self.view.volume_mut().commit(clock)
    }
}
