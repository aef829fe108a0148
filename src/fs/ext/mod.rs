//! ext2, ext3 and ext4: reading and editing.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms". [`Ext`] works on an overlay and
//! believes that it edits a disk. Edits are made in place, without the journal; a journal that is not clean is
//! replayed first. Everything that an edit touches is checked before it is used.
//!
//! Not handled: encrypted, casefolded and verity-protected files (refused by name), external journals, and
//! features outside the lists in `feature`.

mod allocate;
mod attributes;
mod attributes_edit;
mod bitmap;
mod block_map;
mod checksum;
mod content;
mod content_edit;
pub(crate) mod directory;
mod directory_blocks;
mod edit;
mod edit_names;
mod extent;
mod extent_edit;
mod feature;
mod group;
pub(crate) mod hash;
mod htree;
mod inline;
mod inode;
pub mod journal;
mod journal_blocks;
pub mod mmp;
pub mod orphan;
mod pending;
mod preflight;
pub mod quota;
mod quota_files;
mod superblock;
#[cfg(test)]
pub(crate) mod testing;
mod units;
pub mod verify;
mod volume;
pub(crate) mod xattr;

#[cfg(test)]
mod defect_tests;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod tests;

use super::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, NodeId, NodeKind, Timestamp, Xattr,
};
use crate::bytes::arith::to;
use crate::disk::DiskEdit;
use crate::error::{Corrupt, Refusal, Result};
use feature::{compat, incompat};
use inode::{Inode, InodeDefect, flag};
use journal_blocks::Recovery;
use std::ops::ControlFlow;
use std::sync::Arc;
use units::{FsBlock, InodeNumber, ROOT_INODE};
use volume::Volume;

/// Operating system code of Linux in `s_creator_os`; also used by all tools that are not Hurd's.
const CREATOR_HURD: u32 = 1;
/// Longest read in one call, in bytes.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An ext2, ext3 or ext4 file system.
#[derive(Debug)]
pub struct Ext {
    volume: Volume,
    health: Health,
    clock: Timestamp,
    recovery: Recovery,
}

impl Ext {
    /// Opens the file system that fills `disk`; `clock` is the time that edits are made at.
    ///
    /// # Errors
    /// * `Corrupt` - the superblock makes no sense.
    /// * `Unsupported` - a feature prevents reading.
    pub fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        let mut volume = Volume::open(disk)?;
        let superblock = volume.superblock();
        let health = if superblock.has_errors() {
            Health::Errors
        } else if superblock.needs_recovery() {
            Health::JournalDirty
        } else {
            Health::Clean
        };
        let recovery = journal_blocks::recover(&mut volume)?;
        Ok(Self { volume, health, clock, recovery })
    }

    fn inode(&self, node: NodeId) -> Result<Inode> {
        self.volume.read_inode(InodeNumber(to(node.0)?))
    }

    fn directory(&self, node: NodeId) -> Result<Inode> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::Directory, inode.number)?;
        Ok(inode)
    }
}

/// A refusal of the node behind `inode`.
fn unsuitable(inode: &Inode, reason: impl Into<String>) -> crate::error::Error {
    Refusal::UnsuitableFile { path: inode.number.to_string(), reason: reason.into() }.into()
}

impl FileSystem for Ext {
    fn identity(&self) -> Identity {
        let superblock = self.volume.superblock();
        Identity {
            type_name: superblock.features.type_name(),
            uuid: superblock.uuid.to_string(),
            label: superblock.label.clone(),
        }
    }

    fn health(&self) -> Health {
        self.health
    }

    fn warnings(&self) -> &[String] {
        &self.recovery.warnings
    }

    fn check_writable(&self) -> Result<()> {
        let superblock = self.volume.superblock();
        superblock.features.check_writable()?;
        if superblock.creator_os == CREATOR_HURD {
            let feature = "a file system made by the Hurd".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        let has_journal = superblock.features.has_compat(compat::HAS_JOURNAL);
        if superblock.has_errors() {
            let detail = "it is marked as having errors".to_owned();
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        if !superblock.is_valid() && !has_journal {
            let detail = "it has no journal and was not unmounted cleanly".to_owned();
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        if has_journal && superblock.journal_inode == 0 {
            let feature = format!("a journal on device {:#x}", superblock.journal_device);
            return Err(Refusal::NotWritable { feature }.into());
        }
        if superblock.features.has_incompat(incompat::MMP) {
            let block = FsBlock(superblock.mmp_block);
            let offset = superblock.block_offset(block)?;
            mmp::check(&self.volume.read_block(block)?, offset, superblock.checksum_seed)?;
        }
        match &self.recovery.refusal {
            Some(refusal) => Err(refusal.clone().into()),
            None => Ok(()),
        }
    }

    fn root(&self) -> NodeId {
        NodeId(u64::from(ROOT_INODE.0))
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let inode = self.directory(directory)?;
        inode.check_readable()?;
        if inode.has_flag(flag::CASEFOLD) {
            let feature = format!("casefold (directory {})", inode.number);
            return Err(Refusal::NotWritable { feature }.into());
        }
        let entry = self.volume.find_entry(&inode, name)?;
        let Some(number) = entry else { return Ok(None) };
        self.check_entry(&inode, number)?;
        Ok(Some(NodeId(u64::from(number))))
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let inode = self.directory(directory)?;
        inode.check_readable()?;
        self.volume.visit_entries(&inode, &mut |entry| {
            if entry.name == b"." || entry.name == b".." {
                return Ok(ControlFlow::Continue(()));
            }
            let node = NodeId(u64::from(entry.inode));
            visit(DirectoryEntry { name: entry.name.clone(), node })
        })
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.inode(node)?.metadata()
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::File, inode.number)?;
        self.volume.read_content(&inode, offset_bytes, len.min(READ_BYTES_MAX))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let inode = self.inode(node)?;
        inode.kind()?.check(NodeKind::Symlink, inode.number)?;
        self.volume.read_link_target(&inode)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.volume.read_xattrs(&self.inode(node)?)
    }
}

impl Ext {
    /// Checks that a directory entry names an inode that can exist.
    fn check_entry(&self, directory: &Inode, number: u32) -> Result<()> {
        let count = self.volume.superblock().inodes_count;
        if number == 0 || number > count {
            let object = directory.number.to_string();
            return Err(Corrupt::new("directory entry", InodeDefect::Number(count))
                .of(object)
                .into());
        }
        Ok(())
    }
}
