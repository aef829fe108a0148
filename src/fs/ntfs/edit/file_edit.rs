//! The edits as everything above knows them.

use super::super::Ntfs;
use super::Editor;
use crate::error::Result;
use crate::fs::{FileEdit, FileSystem, MetadataChange, NewNode, NodeId};

impl Ntfs {
    /// Begins an edit, if the gates are open.
    fn editor(&mut self) -> Result<Editor<'_>> {
        if !self.is_open {
            self.check_writable()?;
            self.is_open = true;
        }
        Ok(Editor::new(&mut self.volume))
    }
}

impl FileEdit for Ntfs {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        self.editor()?.append(node, bytes)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        self.editor()?.replace(node, content)
    }

    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.editor()?.overwrite(node, offset_bytes, bytes)
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.editor()?.create(directory, name, new, Some(content))
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.editor()?.create(directory, name, new, None)
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        self.editor()?.remove(directory, name)
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        self.editor()?.set_metadata(node, change)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.editor()?.set_xattr(node, name, value)
    }

    fn finish(&mut self) -> Result<()> {
        self.settle_log()
    }
}
