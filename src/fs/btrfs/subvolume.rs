//! Subvolumes: which there are, where they stand, and which one is mounted when nobody says so.
//!
//! Format: btrfs documentation, "On-disk Format", items ROOT_ITEM, ROOT_REF and ROOT_BACKREF, and btrfs-subvolume(8). The
//! entry `default` of directory 6 in the tree of trees leads to the subvolume that is mounted without an option.

use super::checksum::name_hash;
use super::inode::corrupt;
use super::item::{DirItem, InodeRef, RootItem, RootRef};
use super::key::{Key, item, object};
use super::place::{Place, ROOT_INODE};
use super::view::View;
use crate::bytes::arith::{add, len_u64};
use crate::bytes::guid::Uuid;
use crate::error::{Corrupt, Error, Result};
use crate::fs::path::{GuestPath, PATH_BYTES_MAX};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Bound on the subvolumes of a volume.
const SUBVOLUMES_MAX: usize = 1 << 16;

/// Bound on the directories and subvolumes above one.
const DEPTH_MAX: usize = 1024;

/// Bound on the names in the paths of all subvolumes together, and on their bytes.
const NAMES_MAX: u64 = 1 << 20;
const NAMES_BYTES_MAX: u64 = 16 << 20;

/// A subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its number.
    pub(crate) id: u64,
    /// Where it stands below the top.
    pub(crate) path: GuestPath,
    /// True if nothing in it may be changed.
    pub(crate) is_read_only: bool,
    /// Its UUID; the top has none on old volumes.
    pub(crate) uuid: Option<Uuid>,
    /// The UUID of what it is a snapshot of.
    pub(crate) parent_uuid: Option<Uuid>,
}

/// What is wrong with the place of a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceDefect {
    /// More directories above it than there can be, or a circle.
    #[error("more than 1024 directories above it")]
    Depth,
    /// A directory without a name.
    #[error("inode {0} above it has no name")]
    NoName(u64),
}

impl View {
    /// All subvolumes that can be reached, by number.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if there are too many.
    pub(crate) fn subvolumes(&self) -> Result<Vec<Listed>> {
        let volume = self.volume();
        let mut items: BTreeMap<u64, RootItem> = BTreeMap::new();
        let mut parents: BTreeMap<u64, (u64, RootRef)> = BTreeMap::new();
        let from = Key::first_of(object::FS_TREE);
        let to = Key::last_of(object::LAST_FREE);
        volume.for_each(&volume.root_tree(), from, to, &mut |key, data| {
            let id = key.objectid;
            if !object::is_subvolume(id) {
                return Ok(ControlFlow::Continue(()));
            }
            let place = Place::root_of(id);
            if key.kind == item::ROOT_ITEM {
                let root = RootItem::parse(data);
                items.insert(id, root.map_err(|defect| corrupt("root item", place, defect))?);
            } else if key.kind == item::ROOT_BACKREF {
                let reference = RootRef::parse(data);
                let reference =
                    reference.map_err(|defect| corrupt("subvolume reference", place, defect))?;
                parents.entry(id).or_insert((key.offset, reference));
            }
            if items.len() > SUBVOLUMES_MAX {
                let (what, max) = ("number of subvolumes", len_u64(SUBVOLUMES_MAX));
                return Err(Error::limit(what, max, len_u64(items.len())));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut listed = Vec::new();
        let (mut name_count, mut name_bytes) = (0, 0);
        for (&id, root) in items.iter().filter(|(_, root)| root.ref_count > 0 && !root.is_dead) {
            let (path, names) = self.path_of(id, &parents)?;
            let bytes = path.as_ref().map_or(0, |path| path.as_bytes().len());
            name_count = add(name_count, names)?;
            name_bytes = add(name_bytes, len_u64(bytes))?;
            check_names(name_count, name_bytes)?;
            if let Some(path) = path {
                listed.push(Listed {
                    id,
                    path,
                    is_read_only: root.is_read_only,
                    uuid: root.uuid,
                    parent_uuid: root.parent_uuid,
                });
            }
        }
        Ok(listed)
    }

    /// Where a subvolume stands below the top; none if it stands nowhere, because it is being deleted. And how many names
    /// were looked up for that.
    fn path_of(
        &self,
        subvolume: u64,
        parents: &BTreeMap<u64, (u64, RootRef)>,
    ) -> Result<(Option<GuestPath>, u64)> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut at = subvolume;
        while at != object::FS_TREE {
            let Some((parent, reference)) = parents.get(&at) else {
                return Ok((None, len_u64(names.len())));
            };
            names.push(reference.name.clone());
            at = *parent;
            self.add_names(at, reference.directory, &mut names)?;
            if names.len() > DEPTH_MAX {
                return Err(misplaced(subvolume, PlaceDefect::Depth));
            }
        }
        names.reverse();
        let path = names.join(&b'/');
        if path.len() > PATH_BYTES_MAX {
            return Err(misplaced(subvolume, PlaceDefect::Depth));
        }
        let path = GuestPath::new([b"/".as_slice(), &path].concat());
        Ok((Some(path), len_u64(names.len())))
    }

    /// Appends the names of a directory of a subvolume and of those above it, the last one first.
    fn add_names(&self, subvolume: u64, inode: u64, names: &mut Vec<Vec<u8>>) -> Result<()> {
        let mut at = inode;
        while at != ROOT_INODE {
            if names.len() > DEPTH_MAX {
                return Err(misplaced(subvolume, PlaceDefect::Depth));
            }
            let from = Key::new(at, item::INODE_REF, 0);
            let to = Key::new(at, item::INODE_REF, u64::MAX);
            let place = Place { subvolume, inode: at };
            let mut found = None;
            self.for_each(subvolume, from, to, &mut |key, data| {
                let refs = InodeRef::parse_all(data, key.offset)
                    .map_err(|defect| corrupt("inode reference", place, defect))?;
                found = refs.into_iter().next();
                Ok(ControlFlow::Break(()))
            })?;
            let found = found.ok_or_else(|| misplaced(subvolume, PlaceDefect::NoName(at)))?;
            names.push(found.name);
            at = found.parent;
        }
        Ok(())
    }

    /// The subvolume that is mounted when no option names any.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn default_subvolume(&self) -> Result<u64> {
        const NAME: &[u8] = b"default";
        let volume = self.volume();
        let key = Key::new(object::ROOT_TREE_DIR, item::DIR_ITEM, name_hash(NAME));
        let Some(data) = volume.get(&volume.root_tree(), key)? else { return Ok(object::FS_TREE) };
        let entries = DirItem::parse_all(&data);
        let place = Place { subvolume: object::ROOT_TREE, inode: object::ROOT_TREE_DIR };
        let entries = entries.map_err(|defect| corrupt("directory entry", place, defect))?;
        let found = entries.into_iter().find(|entry| entry.name == NAME);
        let id = found.map_or(object::FS_TREE, |entry| entry.location.objectid);
        Ok(if object::is_subvolume(id) { id } else { object::FS_TREE })
    }

    /// True if nothing in the subvolume may be changed.
    ///
    /// # Errors
    /// `Corrupt`, `NotFound`.
    pub(crate) fn is_read_only(&self, subvolume: u64) -> Result<bool> {
        let found = self.volume().root_item(subvolume)?;
        let (_, data) = found.ok_or_else(|| Error::not_found(format!("subvolume {subvolume}")))?;
        let root = RootItem::parse(&data);
        let place = Place::root_of(subvolume);
        Ok(root.map_err(|defect| corrupt("root item", place, defect))?.is_read_only)
    }
}

/// Bounds what all subvolumes together may cost.
fn check_names(count: u64, bytes: u64) -> Result<()> {
    for (what, limit, actual) in [
        ("names in the paths of subvolumes", NAMES_MAX, count),
        ("paths of subvolumes in bytes", NAMES_BYTES_MAX, bytes),
    ] {
        if actual > limit {
            return Err(Error::limit(what, limit, actual));
        }
    }
    Ok(())
}

fn misplaced(subvolume: u64, defect: PlaceDefect) -> Error {
    Corrupt::new("subvolume reference", defect).of(format!("subvolume {subvolume}")).into()
}
