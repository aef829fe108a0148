//! A Btrfs as a file system. Its root is the top of all subvolumes (number 5), so that every subvolume has a path;
//! [`FileSystem::subvolumes`] says which one a machine would mount.

use super::content::READ_BYTES_MAX;
use super::inode::corrupt;
use super::key::object;
use super::place::Place;
use super::superblock::flag;
use super::view::View;
use super::volume::Volume;
use crate::disk::DiskEdit;
use crate::error::{Error, Refusal, Result};
use crate::fs::path::GuestPath;
use crate::fs::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, NodeId, NodeKind, Subvolume, Timestamp,
    Xattr,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Longest target of a symbolic link, in bytes.
const LINK_BYTES_MAX: u64 = 4096;

/// A Btrfs file system.
#[derive(Debug)]
pub struct Btrfs {
    pub(super) view: View,
    pub(super) clock: Timestamp,
    health: Health,
    warnings: Vec<String>,
    /// False if there is a log that could not be replayed.
    pub(super) is_log_replayed: bool,
    /// True once the replay is part of a transaction.
    pub(super) is_log_adopted: bool,
}

impl Btrfs {
    /// Opens the file system that fills `disk`; `clock` is the time that edits are made at. A log that a crash left is
    /// replayed in memory.
    ///
    /// # Errors
    /// * `Corrupt` - the superblock or the chunk tree makes no sense.
    /// * `Unsupported` - a feature or profile prevents reading.
    pub fn open(disk: Arc<dyn DiskEdit>, clock: Timestamp) -> Result<Self> {
        let volume = Volume::open(disk)?;
        let mut warnings = Vec::new();
        if let Some(error) = volume.first_copy() {
            warnings.push(format!("another copy of the superblock is used: {error}"));
        }
        if volume.has_quota().unwrap_or(false) {
            warnings.push(
                "quota groups: an edit marks their counts as out of date, until btrfs quota rescan"
                    .to_owned(),
            );
        }
        let superblock = volume.superblock();
        let (flags, has_log) = (superblock.flags, superblock.log_root != 0);
        let health = match () {
            () if flags & flag::ERROR != 0 => Health::Errors,
            () if has_log => Health::JournalDirty,
            () => Health::Clean,
        };
        let mut view = View::new(volume);
        let mut is_log_replayed = has_log;
        if has_log && let Err(error) = super::log::replay(&mut view) {
            view.revert();
            is_log_replayed = false;
            warnings.push(format!(
                "the log could not be replayed, so what was written right before the crash is not shown: {error}"
            ));
        }
        Ok(Self { view, clock, health, warnings, is_log_replayed, is_log_adopted: false })
    }

    /// Refuses to change anything in the subvolume of a node if it is read-only.
    ///
    /// # Errors
    /// `Refused`; `Corrupt`.
    pub(crate) fn check_subvolume_writable(&self, node: NodeId) -> Result<()> {
        let Place { subvolume, .. } = Place::of(node);
        if !self.view.is_read_only(subvolume)? {
            return Ok(());
        }
        let subvolumes = self.view.subvolumes()?;
        let listed = subvolumes.into_iter().find(|listed| listed.id == subvolume);
        let path = listed.map_or_else(|| subvolume.to_string(), |listed| listed.path.to_string());
        Err(Refusal::ReadOnlySubvolume { path }.into())
    }

    /// Refuses a node that is not of the `wanted` kind.
    pub(super) fn check_kind(&self, place: Place, wanted: NodeKind) -> Result<()> {
        self.view.metadata(place)?.kind.check(wanted, place.describe())
    }
}

impl FileSystem for Btrfs {
    fn identity(&self) -> Identity {
        let superblock = self.view.volume().superblock();
        Identity {
            type_name: "btrfs",
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
        let volume = self.view.volume();
        let superblock = volume.superblock();
        superblock.features.check_writable()?;
        if let Some(error) = volume.first_copy() {
            let detail = format!("the first superblock: {error}");
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        if superblock.flags & flag::ERROR != 0 {
            let detail = "errors were found while it was mounted".to_owned();
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        if superblock.flags & flag::SEEDING != 0 {
            return Err(
                Refusal::ReadOnly { what: "the file system, a seed of others,".into() }.into()
            );
        }
        super::edit::check_writable(self)
    }

    fn root(&self) -> NodeId {
        // Both numbers fit.
        Place::root_of(object::FS_TREE).node().unwrap_or(NodeId(0))
    }

    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        let default = self.view.default_subvolume()?;
        let into = |listed: super::subvolume::Listed| {
            Ok(Subvolume {
                id: listed.id,
                path: listed.path,
                root: Place::root_of(listed.id).node()?,
                is_read_only: listed.is_read_only,
                is_default: listed.id == default,
            })
        };
        self.view.subvolumes()?.into_iter().map(into).collect()
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let place = Place::of(directory);
        self.check_kind(place, NodeKind::Directory)?;
        match name {
            b"." => Ok(Some(directory)),
            _ => self.view.lookup(place, name)?.map(Place::node).transpose(),
        }
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let place = Place::of(directory);
        self.check_kind(place, NodeKind::Directory)?;
        self.view.read_dir(place, visit)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.view.metadata(Place::of(node))
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let place = Place::of(node);
        self.check_kind(place, NodeKind::File)?;
        let inode = self.view.inode(place)?;
        self.view.read_content(place, &inode, offset_bytes, len.min(READ_BYTES_MAX))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let place = Place::of(node);
        self.check_kind(place, NodeKind::Symlink)?;
        let inode = self.view.inode(place)?;
        if inode.size_bytes > LINK_BYTES_MAX {
            let what = "length of a symbolic link in bytes";
            return Err(Error::limit(what, LINK_BYTES_MAX, inode.size_bytes));
        }
        let target = self.view.read_content(place, &inode, 0, READ_BYTES_MAX)?;
        if target.is_empty() {
            let defect = super::item::ItemDefect::Empty;
            return Err(corrupt("symbolic link", place, defect));
        }
        Ok(target)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.view.xattrs(Place::of(node))
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.view.xattr(Place::of(node), name)
    }
}

/// The subvolume that a mount option names: `subvolid=` by its number, `subvol=` by its path, with or without the slash
/// before it.
///
/// # Errors
/// `NotFound`; as [`FileSystem::subvolumes`].
pub fn find_subvolume(fs: &dyn FileSystem, wanted: &SubvolumeName<'_>) -> Result<Subvolume> {
    let is_wanted = |subvolume: &Subvolume| match wanted {
        SubvolumeName::Id(0) => subvolume.id == object::FS_TREE,
        SubvolumeName::Id(id) => subvolume.id == *id,
        SubvolumeName::Path(path) => subvolume.path == GuestPath::new([b"/", *path].concat()),
        SubvolumeName::Default => subvolume.is_default,
    };
    let found = fs.subvolumes()?.into_iter().find(is_wanted);
    found.ok_or_else(|| Error::not_found(format!("subvolume {wanted}")))
}

/// How a subvolume is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubvolumeName<'a> {
    /// Its number; 0 is the top, as for mount(8).
    Id(u64),
    /// Its path below the top.
    Path(&'a [u8]),
    /// The one that is mounted without an option.
    Default,
}

impl std::fmt::Display for SubvolumeName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Path(path) => f.write_str(&crate::bytes::text::escape(path)),
            Self::Default => f.write_str("that is the default"),
        }
    }
}
