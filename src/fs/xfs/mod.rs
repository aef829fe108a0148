//! XFS: reading and editing.
//!
//! Format: "XFS Algorithms & Data Structures", 3rd edition, which the module docs cite by chapter. [`Xfs`] works on
//! an overlay and believes that it edits a disk. Edits are made in place, without the log; a log that is not clean
//! is replayed first, unless the edit touches nothing that it names (`recovery`).
//!
//! ```text
//!  edit, edit_names        the operations
//!  names                   directories of an inode, whatever their form
//!  directory, attribute    forms in bytes and blocks ------ da: the tree both share
//!  fork                    what maps an inode's content to blocks
//!  inodes, space           what is in use and what is free
//!  btree, ag               the trees and headers of an allocation group
//!  quota                   what is counted for users, groups and projects
//!  log, recovery           what a mount would replay
//!  check, cross_check      whether an edit was finished well
//!  inode, superblock, volume, units, feature, checksum
//! ```
//!
//! Not handled: version 4 and metadata directories for writing, files on a realtime device, dirty logs on another
//! device (all refused by name).

mod ag;
mod attribute;
mod btree;
mod check;
mod checksum;
mod cross_check;
mod da;
mod directory;
mod edit;
mod edit_names;
mod feature;
mod fork;
mod fork_blocks;
mod inode;
mod inodes;
pub mod log;
mod names;
#[cfg(test)]
mod near_damage_tests;
mod part_header;
mod quota;
mod recovery;
mod space;
mod superblock;
#[cfg(test)]
pub(crate) mod testing;
mod units;
mod volume;

pub use check::verify;

use super::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, NodeId, NodeKind, Timestamp, Xattr,
};
use crate::disk::{Disk, DiskEdit};
use crate::error::{Corrupt, Error, Refusal, Result};
use inode::Inode;
use recovery::{Layers, Recovered};
use std::ops::ControlFlow;
use std::sync::Arc;
use superblock::Outside;
use units::InodeNumber;
use volume::Volume;

/// Longest read in one call, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An XFS file system.
#[derive(Debug)]
pub struct Xfs {
    volume: Volume,
    health: Health,
    clock: Timestamp,
    layers: Option<Layers>,
    refusal: Option<Refusal>,
    warnings: Vec<String>,
}

impl Xfs {
    /// Opens the file system that fills `disk`; `clock` is the time that edits are made at. A log that is not clean
    /// is replayed in memory: nothing is written to `disk` before [`FileEdit::finish`](super::FileEdit::finish).
    ///
    /// # Errors
    /// * `Corrupt` - the superblock makes no sense.
    /// * `Unsupported` - a feature prevents reading.
    pub fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        Self::open_with(disk, &[], clock)
    }

    /// As [`Xfs::open`], with further devices that belong to the file system: one of them may hold its log. They
    /// are only read.
    ///
    /// # Errors
    /// As [`Xfs::open`].
    pub fn open_with(
        disk: Arc<dyn DiskEdit>,
        devices: &[Arc<dyn Disk>],
        clock: Timestamp,
    ) -> Result<Self> {
        let Recovered { volume, health, layers, refusal, warnings } =
            recovery::recover(disk, devices, clock)?;
        Ok(Self { volume, health, clock, layers, refusal, warnings })
    }

    fn inode(&self, node: NodeId) -> Result<Inode> {
        self.volume.load_inode(InodeNumber(node.0))
    }

    fn directory(&self, node: NodeId) -> Result<Inode> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::Directory, inode.number)?;
        Ok(inode)
    }

    /// Checks that a directory entry names an inode that can exist.
    fn check_entry(&self, directory: &Inode, number: InodeNumber) -> Result<NodeId> {
        if self.volume.superblock().split_inode(number).is_err() {
            let defect = Outside::Inode(number.0);
            let object = directory.number.to_string();
            return Err(Corrupt::new("directory entry", defect).of(object).into());
        }
        Ok(NodeId(number.0))
    }
}

/// A refusal of the node behind `inode`.
fn unsuitable(inode: &Inode, reason: impl Into<String>) -> Error {
    Refusal::UnsuitableFile { path: inode.number.to_string(), reason: reason.into() }.into()
}

impl FileSystem for Xfs {
    fn identity(&self) -> Identity {
        let superblock = self.volume.superblock();
        Identity {
            type_name: "xfs",
            uuid: superblock.uuid.to_string(),
            label: superblock.label.clone(),
        }
    }

    fn health(&self) -> Health {
        self.health
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_writable(&self) -> Result<()> {
        let superblock = self.volume.superblock();
        superblock.features.check_writable()?;
        if superblock.is_read_only() {
            return Err(Refusal::ReadOnly { what: "the file system".to_owned() }.into());
        }
        match &self.refusal {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(()),
        }
    }

    fn root(&self) -> NodeId {
        NodeId(self.volume.superblock().root.0)
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let inode = self.directory(directory)?;
        let Some(entry) = self.volume.find_name(&inode, name)? else { return Ok(None) };
        self.check_entry(&inode, entry.inode).map(Some)
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let inode = self.directory(directory)?;
        self.volume.visit_names(&inode, &mut |entry| {
            if entry.name == b"." || entry.name == b".." {
                return Ok(ControlFlow::Continue(()));
            }
            let node = self.check_entry(&inode, entry.inode)?;
            visit(DirectoryEntry { name: entry.name.clone(), node })
        })
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        let inode = self.inode(node)?;
        let mut metadata = inode.metadata()?;
        metadata.flags.is_casefolded =
            metadata.kind == NodeKind::Directory && self.volume.superblock().features.is_ascii_ci();
        Ok(metadata)
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::File, inode.number)?;
        self.volume.read_content(&inode, offset_bytes, len.min(READ_BYTES_MAX))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::Symlink, inode.number)?;
        self.volume.read_link(&inode)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.volume.xattrs(&self.inode(node)?)
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.volume.xattr(&self.inode(node)?, name)
    }
}
