//! Names of the log: what is added, and what that displaces.

use super::Replay;
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::btrfs::checksum::name_hash;
use crate::fs::btrfs::inode::corrupt;
use crate::fs::btrfs::item::{DirItem, EntryType, InodeRef, extref_hash};
use crate::fs::btrfs::key::{Key, item};
use std::ops::ControlFlow;

/// Bytes that a name adds to the size of its directory, for each of its own.
const SIZE_FACTOR: u64 = 2;

/// A name in a directory: its place in the order of names, and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    directory: u64,
    index: u64,
    entry: DirItem,
}

impl Replay<'_> {
    /// Removes the entries of a directory that the log speaks for and does not have.
    pub(super) fn forget_entries(&mut self, directory: u64) -> Result<()> {
        let from = Key::new(directory, item::DIR_LOG_INDEX, 0);
        let to = Key::new(directory, item::DIR_LOG_INDEX, u64::MAX);
        let ranges: Vec<(u64, u64)> = self
            .log
            .range(from..=to)
            .map(|(key, data)| Ok((key.offset, crate::bytes::field::le_u64(data, 0)?)))
            .collect::<Result<_>>()?;
        for (first, last) in ranges {
            let key = |index| Key::new(directory, item::DIR_INDEX, index);
            for key in self.keys(key(first), key(last))? {
                if !self.log.contains_key(&key)
                    && let Some(named) = self.named_at(key)?
                {
                    self.unlink(&named)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the entry that a DIR_INDEX item of the log has, if what it names exists.
    pub(super) fn replay_entry(&mut self, key: Key, data: &[u8]) -> Result<()> {
        let place = self.place(key.objectid);
        let entries = DirItem::parse_all(data)
            .map_err(|defect| corrupt("directory entry of the log", place, defect))?;
        for entry in entries {
            let Named { directory, index, entry } =
                Named { directory: key.objectid, index: key.offset, entry };
            let is_inode = entry.location.kind == item::INODE_ITEM;
            if is_inode && self.inode(entry.location.objectid)?.is_some() {
                self.link(&Named { directory, index, entry })?;
            }
        }
        Ok(())
    }

    /// Adds the names that an INODE_REF or INODE_EXTREF item of the log has, and takes away others in the same item.
    pub(super) fn replay_names(&mut self, key: Key, data: &[u8]) -> Result<()> {
        let inode = key.objectid;
        let logged = self.parse_names(key, data)?;
        let Some(item) = self.inode(inode)? else { return Ok(()) };
        let bad = |defect| corrupt("inode item", self.place(inode), defect);
        let entry_type = EntryType::Node(item.kind().map_err(bad)?);
        let old = match self.view.get(self.subvolume, key)? {
            Some(data) => self.parse_names(key, &data)?,
            None => Vec::new(),
        };
        let is_kept = |name: &InodeRef| {
            logged.iter().any(|kept| (kept.parent, &kept.name) == (name.parent, &name.name))
        };
        for name in old.iter().filter(|name| !is_kept(name)) {
            let entry = entry(inode, entry_type, &name.name);
            self.unlink(&Named { directory: name.parent, index: name.index, entry })?;
        }
        for name in &logged {
            // The root directory names itself.
            if name.parent == inode || self.inode(name.parent)?.is_none() {
                continue;
            }
            let entry = entry(inode, entry_type, &name.name);
            self.link(&Named { directory: name.parent, index: name.index, entry })?;
        }
        Ok(())
    }

    fn parse_names(&self, key: Key, data: &[u8]) -> Result<Vec<InodeRef>> {
        let parsed = match key.kind {
            item::INODE_REF => InodeRef::parse_all(data, key.offset),
            _ => InodeRef::parse_all_extended(data),
        };
        parsed.map_err(|defect| corrupt("inode reference", self.place(key.objectid), defect))
    }

    /// What stands at a place in the order of names.
    fn named_at(&self, key: Key) -> Result<Option<Named>> {
        let Some(data) = self.view.get(self.subvolume, key)? else { return Ok(None) };
        let place = self.place(key.objectid);
        let entries = DirItem::parse_all(&data)
            .map_err(|defect| corrupt("directory entry", place, defect))?;
        let entry = entries.into_iter().next();
        Ok(entry.map(|entry| Named { directory: key.objectid, index: key.offset, entry }))
    }

    /// What has a name in a directory.
    fn named(&self, directory: u64, name: &[u8]) -> Result<Option<Named>> {
        let Some(entry) = self.view.entry(self.place(directory), name)? else { return Ok(None) };
        let names = self.names_of(entry.location.objectid)?;
        let found = names.iter().find(|one| one.parent == directory && one.name == name);
        let index = match found {
            Some(found) => Some(found.index),
            None => self.index_of(directory, name)?,
        };
        Ok(index.map(|index| Named { directory, index, entry }))
    }

    /// The place of a name in the order of names, by looking at all of them.
    fn index_of(&self, directory: u64, name: &[u8]) -> Result<Option<u64>> {
        let from = Key::new(directory, item::DIR_INDEX, 0);
        let to = Key::new(directory, item::DIR_INDEX, u64::MAX);
        let place = self.place(directory);
        let mut found = None;
        self.view.for_each(self.subvolume, from, to, &mut |key, data| {
            let entries = DirItem::parse_all(data)
                .map_err(|defect| corrupt("directory entry", place, defect))?;
            self.view.look(entries.len())?;
            if entries.iter().any(|entry| entry.name == name) {
                found = Some(key.offset);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Adds a name, in place of whatever has it or its place in the order.
    fn link(&mut self, named: &Named) -> Result<()> {
        let Named { directory, index, entry } = named;
        let at = Key::new(*directory, item::DIR_INDEX, *index);
        let by_name = self.named(*directory, &entry.name)?;
        let by_index = self.named_at(at)?;
        let is_same = |other: &Named| {
            other.index == *index
                && other.entry.name == entry.name
                && other.entry.location == entry.location
        };
        if by_name.as_ref().is_some_and(is_same) && by_index.as_ref().is_some_and(is_same) {
            return self.put_reference(named);
        }
        for other in [by_name, by_index].into_iter().flatten() {
            self.unlink(&other)?;
        }
        let hash = Key::new(*directory, item::DIR_ITEM, name_hash(&entry.name));
        let mut packed = self.view.get(self.subvolume, hash)?.unwrap_or_default();
        let bytes = self.encoded(entry)?;
        packed.extend(&bytes);
        // Names of one hash stand in one item, which a leaf has to hold.
        let (limit, actual) = (self.view.volume().node_bytes(), len_u64(packed.len()));
        if actual > limit {
            return Err(Error::limit("names of one hash in a directory in bytes", limit, actual));
        }
        self.view.change(self.subvolume, hash, Some(packed))?;
        self.view.change(self.subvolume, at, Some(bytes))?;
        self.put_reference(named)?;
        self.touched.insert(entry.location.objectid);
        self.resize(*directory, u64::saturating_add, &entry.name)
    }

    fn encoded(&self, entry: &DirItem) -> Result<Vec<u8>> {
        let place = self.place(entry.location.objectid);
        entry.encode().map_err(|defect| corrupt("directory entry", place, defect))
    }

    /// Lets the inode know that it has the name.
    fn put_reference(&mut self, named: &Named) -> Result<()> {
        let Named { directory, index, entry } = named;
        let (inode, parent) = (entry.location.objectid, *directory);
        let has = |one: &InodeRef| one.parent == parent && one.name == entry.name;
        if self.names_of(inode)?.iter().any(has) {
            return Ok(());
        }
        let reference = InodeRef { parent, index: *index, name: entry.name.clone() };
        let key = Key::new(inode, item::INODE_REF, parent);
        let mut packed = self.view.get(self.subvolume, key)?.unwrap_or_default();
        let bytes = reference.encode();
        packed
            .extend(bytes.map_err(|defect| corrupt("inode reference", self.place(inode), defect))?);
        self.view.change(self.subvolume, key, Some(packed))
    }

    /// Takes a name away.
    fn unlink(&mut self, named: &Named) -> Result<()> {
        let Named { directory, index, entry } = named;
        let hash = Key::new(*directory, item::DIR_ITEM, name_hash(&entry.name));
        if let Some(data) = self.view.get(self.subvolume, hash)? {
            let place = self.place(*directory);
            let entries = DirItem::parse_all(&data)
                .map_err(|defect| corrupt("directory entry", place, defect))?;
            let mut packed = Vec::new();
            for kept in entries.iter().filter(|kept| kept.name != entry.name) {
                packed.extend(self.encoded(kept)?);
            }
            self.view.change(self.subvolume, hash, (!packed.is_empty()).then_some(packed))?;
        }
        let at = Key::new(*directory, item::DIR_INDEX, *index);
        if self.named_at(at)?.is_some_and(|there| there.entry.name == entry.name) {
            self.view.change(self.subvolume, at, None)?;
        }
        self.drop_reference(entry.location.objectid, *directory, &entry.name)?;
        self.touched.insert(entry.location.objectid);
        self.resize(*directory, u64::saturating_sub, &entry.name)
    }

    fn drop_reference(&mut self, inode: u64, parent: u64, name: &[u8]) -> Result<()> {
        let plain = Key::new(inode, item::INODE_REF, parent);
        let extended = Key::new(inode, item::INODE_EXTREF, extref_hash(parent, name));
        for key in [plain, extended] {
            let Some(data) = self.view.get(self.subvolume, key)? else { continue };
            let mut packed = Vec::new();
            for kept in self.parse_names(key, &data)? {
                if (kept.parent, kept.name.as_slice()) != (parent, name) {
                    let is_plain = key.kind == item::INODE_REF;
                    let bytes = if is_plain { kept.encode() } else { kept.encode_extended() };
                    let place = self.place(inode);
                    packed
                        .extend(bytes.map_err(|defect| corrupt("inode reference", place, defect))?);
                }
            }
            self.view.change(self.subvolume, key, (!packed.is_empty()).then_some(packed))?;
        }
        Ok(())
    }

    /// Changes the size of a directory by what a name counts.
    fn resize(&mut self, directory: u64, by: fn(u64, u64) -> u64, name: &[u8]) -> Result<()> {
        let Some(mut item) = self.inode(directory)? else { return Ok(()) };
        item.size_bytes = by(item.size_bytes, len_u64(name.len()).saturating_mul(SIZE_FACTOR));
        self.put_inode(directory, &item)
    }
}

/// The entry for a name of an inode.
fn entry(inode: u64, entry_type: EntryType, name: &[u8]) -> DirItem {
    let location = Key::new(inode, item::INODE_ITEM, 0);
    DirItem { location, transid: 0, entry_type, name: name.to_vec(), value: Vec::new() }
}
