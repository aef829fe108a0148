//! The edits of a Btrfs.

use super::file_system::Btrfs;
use crate::error::{Refusal, Result};
use crate::fs::{FileEdit, FileSystem, MetadataChange, NewNode, NodeId};

/// Refuses what only an edit needs.
///
/// # Errors
/// `Refused`.
pub(super) fn check_writable(_: &Btrfs) -> Result<()> {
    not_yet()
}

fn not_yet<T>() -> Result<T> {
    Err(Refusal::NotWritable { feature: "Btrfs".to_owned() }.into())
}

impl FileEdit for Btrfs {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, _: &[u8]) -> Result<()> {
        self.check_subvolume_writable(node)?;
        not_yet()
    }

    fn replace(&mut self, node: NodeId, _: &[u8]) -> Result<()> {
        self.check_subvolume_writable(node)?;
        not_yet()
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        _: &[u8],
        _: &NewNode,
        _: &[u8],
    ) -> Result<NodeId> {
        self.check_subvolume_writable(directory)?;
        not_yet()
    }

    fn create_directory(&mut self, directory: NodeId, _: &[u8], _: &NewNode) -> Result<NodeId> {
        self.check_subvolume_writable(directory)?;
        not_yet()
    }

    fn remove(&mut self, directory: NodeId, _: &[u8]) -> Result<()> {
        self.check_subvolume_writable(directory)?;
        not_yet()
    }

    fn set_metadata(&mut self, node: NodeId, _: &MetadataChange) -> Result<()> {
        self.check_subvolume_writable(node)?;
        not_yet()
    }

    fn set_xattr(&mut self, node: NodeId, _: &[u8], _: Option<&[u8]>) -> Result<()> {
        self.check_subvolume_writable(node)?;
        not_yet()
    }
}
