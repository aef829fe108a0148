//! A file system that several trees look at: two systems on a disk may mount the same /home.

use crate::error::{Error, Result};
use crate::fs::{
    DirectoryEntry, FileEdit, FileSystem, Health, Identity, Metadata, MetadataChange, MountPoint,
    NewNode, NodeId, Subvolume, Xattr,
};
use std::cell::{Ref, RefCell, RefMut};
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;

/// A handle to a file system. All handles see one state.
#[derive(Debug, Clone)]
pub struct Shared {
    fs: Rc<RefCell<Box<dyn FileEdit>>>,
    /// As they were when the file system was opened.
    warnings: Rc<[String]>,
    /// The same.
    mount_points: Rc<[MountPoint]>,
}

impl Shared {
    /// Shares `fs`.
    pub fn new(fs: Box<dyn FileEdit>) -> Self {
        let warnings = fs.warnings().to_vec().into();
        let mount_points = fs.mount_points().to_vec().into();
        Self { fs: Rc::new(RefCell::new(fs)), warnings, mount_points }
    }

    /// True if both are handles to one file system.
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.fs, &other.fs)
    }

    /// For reading. A visitor of a directory may read on while it is called, so there can be several.
    fn get(&self) -> Result<Ref<'_, Box<dyn FileEdit>>> {
        self.fs.try_borrow().map_err(|_| busy())
    }

    fn edit(&self) -> Result<RefMut<'_, Box<dyn FileEdit>>> {
        self.fs.try_borrow_mut().map_err(|_| busy())
    }
}

/// Only an edit from within a visitor could come here, and no caller makes one.
fn busy() -> Error {
    Error::from(io::Error::other("the file system is read while it is edited"))
}

impl FileSystem for Shared {
    fn identity(&self) -> Identity {
        self.get().map_or_else(
            |_| Identity { type_name: "", uuid: String::new(), label: Vec::new() },
            |fs| fs.identity(),
        )
    }

    fn health(&self) -> Health {
        self.get().map_or(Health::Errors, |fs| fs.health())
    }

    fn mount_points(&self) -> &[MountPoint] {
        &self.mount_points
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_writable(&self) -> Result<()> {
        self.get()?.check_writable()
    }

    fn root(&self) -> NodeId {
        self.get().map_or(NodeId(0), |fs| fs.root())
    }

    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        self.get()?.subvolumes()
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        self.get()?.lookup(directory, name)
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.get()?.read_dir(directory, visit)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.get()?.metadata(node)
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.get()?.read_at(node, offset_bytes, len)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.get()?.read_link(node)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.get()?.xattrs(node)
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get()?.xattr(node, name)
    }

    fn read(&self, node: NodeId, limit_bytes: u64) -> Result<Vec<u8>> {
        self.get()?.read(node, limit_bytes)
    }
}

impl FileEdit for Shared {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        self.edit()?.append(node, bytes)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        self.edit()?.replace(node, content)
    }

    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.edit()?.overwrite(node, offset_bytes, bytes)
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.edit()?.create_file(directory, name, new, content)
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.edit()?.create_directory(directory, name, new)
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        self.edit()?.remove(directory, name)
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        self.edit()?.set_metadata(node, change)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.edit()?.set_xattr(node, name, value)
    }

    fn finish(&mut self) -> Result<()> {
        self.edit()?.finish()
    }
}
