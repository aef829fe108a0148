//! Directories: names by hash (DIR_ITEM) and in the order of their making (DIR_INDEX).

use super::checksum::name_hash;
use super::inode::corrupt;
use super::item::{DirItem, EntryType, RootRef};
use super::key::{Key, item, object};
use super::place::{Place, STUB_INODE};
use super::view::View;
use crate::error::{Corrupt, Error, Refusal, Result};
use crate::fs::DirectoryEntry;
use std::ops::ControlFlow;

/// What an entry leads to is neither an inode nor a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("leads to {0}")]
struct BadLocation(Key);

impl View {
    /// The entry of `directory` with this name.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if names are encrypted.
    pub(crate) fn entry(&self, directory: Place, name: &[u8]) -> Result<Option<DirItem>> {
        if directory.inode == STUB_INODE {
            return Ok(None);
        }
        let key = Key::new(directory.inode, item::DIR_ITEM, name_hash(name));
        let Some(data) = self.get(directory.subvolume, key)? else { return Ok(None) };
        let entries = DirItem::parse_all(&data)
            .map_err(|defect| corrupt("directory entry", directory, defect))?;
        let found = entries.into_iter().find(|entry| entry.name == name);
        found.as_ref().map_or(Ok(()), |entry| check_plain(directory, entry))?;
        Ok(found)
    }

    /// What `name` in `directory` names.
    ///
    /// # Errors
    /// As [`View::entry`].
    pub(crate) fn lookup(&self, directory: Place, name: &[u8]) -> Result<Option<Place>> {
        self.entry(directory, name)?.map(|entry| self.target(directory, &entry)).transpose()
    }

    /// Calls `visit` for every entry until it breaks.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if names are encrypted; the error of `visit`.
    pub(crate) fn read_dir(
        &self,
        directory: Place,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if directory.inode == STUB_INODE {
            return Ok(());
        }
        let from = Key::new(directory.inode, item::DIR_INDEX, 0);
        let to = Key::new(directory.inode, item::DIR_INDEX, u64::MAX);
        self.for_each(directory.subvolume, from, to, &mut |_, data| {
            let entries = DirItem::parse_all(data)
                .map_err(|defect| corrupt("directory entry", directory, defect))?;
            for entry in entries {
                check_plain(directory, &entry)?;
                let node = self.target(directory, &entry)?.node()?;
                if visit(DirectoryEntry { name: entry.name, node })?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The inode that an entry names, across the border of a subvolume. In a snapshot, entries that named subvolumes
    /// of the original lead to an empty directory.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn target(&self, directory: Place, entry: &DirItem) -> Result<Place> {
        let Place { subvolume, .. } = directory;
        let location = entry.location;
        let place = match location.kind {
            item::INODE_ITEM => Place { subvolume, inode: location.objectid },
            item::ROOT_ITEM if !object::is_subvolume(location.objectid) => {
                let defect = BadLocation(location);
                let of = directory.describe();
                return Err(Corrupt::new("directory entry", defect).of(of).into());
            }
            item::ROOT_ITEM if self.is_child(directory, entry)? => {
                Place::root_of(location.objectid)
            }
            item::ROOT_ITEM => Place { subvolume, inode: STUB_INODE },
            _ => {
                let defect = BadLocation(location);
                let of = directory.describe();
                return Err(Corrupt::new("directory entry", defect).of(of).into());
            }
        };
        // Only what has a number can be named.
        place.node().map(|_| place)
    }

    /// True if the subvolume that `entry` names stands there, and not in what this is a snapshot of.
    fn is_child(&self, directory: Place, entry: &DirItem) -> Result<bool> {
        let volume = self.volume();
        let key = Key::new(directory.subvolume, item::ROOT_REF, entry.location.objectid);
        let Some(data) = volume.get(&volume.root_tree(), key)? else { return Ok(false) };
        let reference = RootRef::parse(&data)
            .map_err(|defect| corrupt("subvolume reference", directory, defect))?;
        Ok(reference.directory == directory.inode && reference.name == entry.name)
    }
}

fn check_plain(directory: Place, entry: &DirItem) -> Result<()> {
    match entry.entry_type {
        EntryType::Encrypted(_) => {
            let what = format!("a name in {}", directory.describe());
            Err(Error::from(Refusal::Encrypted { what }))
        }
        _ => Ok(()),
    }
}
