//! Which inodes may be edited, and what every edit changes in them.

use super::super::file_system::Btrfs;
use super::super::item::{InodeFlags, InodeItem};
use super::super::key::{Key, item};
use super::super::place::{Place, STUB_INODE};
use crate::error::{Error, Refusal, Result};
use crate::fs::{FileSystem as _, NodeId, NodeKind};

/// A refusal of the inode at `place`.
pub(super) fn unsuitable(place: Place, reason: impl Into<String>) -> Error {
    Refusal::UnsuitableFile { path: place.describe(), reason: reason.into() }.into()
}

/// Refuses an inode that must stay as it is.
///
/// # Errors
/// `Refused`.
pub(super) fn check_flags(place: Place, inode: &InodeItem) -> Result<()> {
    let path = place.describe();
    if inode.flags.contains(InodeFlags::IMMUTABLE) {
        return Err(Refusal::ProtectedFile { path, flag: "immutable" }.into());
    }
    if inode.flags.contains(InodeFlags::APPEND) {
        return Err(Refusal::ProtectedFile { path, flag: "append-only" }.into());
    }
    if inode.link_count == 0 {
        let detail = format!("{path} is deleted, but a directory still names it");
        return Err(Refusal::NeedsCheck { detail }.into());
    }
    Ok(())
}

impl Btrfs {
    /// An inode that may be edited.
    pub(super) fn editable(&mut self, node: NodeId) -> Result<(Place, InodeItem)> {
        self.check_writable()?;
        self.check_subvolume_writable(node)?;
        self.adopt_log()?;
        let place = Place::of(node);
        if place.inode == STUB_INODE {
            let reason = "stands for a subvolume that the snapshot does not have";
            return Err(unsuitable(place, reason));
        }
        let root = self.view.root(place.subvolume)?;
        self.view.volume().check_subvolume_editable(&root)?;
        let inode = self.view.inode(place)?;
        check_flags(place, &inode)?;
        Ok((place, inode))
    }

    /// A regular file whose content may be edited.
    pub(super) fn editable_file(&mut self, node: NodeId) -> Result<(Place, InodeItem)> {
        let (place, inode) = self.editable(node)?;
        self.check_kind(place, NodeKind::File)?;
        if inode.flags.contains(InodeFlags::VERITY) {
            let feature = format!("fs-verity ({})", place.describe());
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok((place, inode))
    }

    /// A directory whose names may be edited.
    pub(super) fn editable_directory(&mut self, node: NodeId) -> Result<(Place, InodeItem)> {
        let (place, inode) = self.editable(node)?;
        self.check_kind(place, NodeKind::Directory)?;
        Ok((place, inode))
    }

    /// Number of the transaction.
    pub(super) fn generation(&mut self) -> u64 {
        self.view.volume_mut().pending().generation
    }

    /// Stores an inode that was changed.
    pub(super) fn store_inode(
        &mut self,
        place: Place,
        mut inode: InodeItem,
        is_content: bool,
    ) -> Result<()> {
        inode.transid = self.generation();
        inode.sequence = inode.sequence.wrapping_add(1);
        inode.changed = self.clock;
        if is_content {
            inode.modified = self.clock;
        }
        let key = Key::new(place.inode, item::INODE_ITEM, 0);
        self.view.volume_mut().replace(place.subvolume, key, inode.encode())
    }

    /// Gives an item these data, whether it is there or not.
    pub(super) fn put_item(&mut self, subvolume: u64, key: Key, data: Vec<u8>) -> Result<()> {
        let exists = self.view.get(subvolume, key)?.is_some();
        let volume = self.view.volume_mut();
        if exists {
            volume.replace(subvolume, key, data)
        } else {
            volume.insert(subvolume, key, data)
        }
    }
}
