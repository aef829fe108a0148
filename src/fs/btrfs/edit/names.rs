//! Creating and removing files and directories.
//!
//! A name stands in three items: by hash and by sequence number in the directory, and in the inode. The size of a
//! directory is twice the length of all its names.

use super::super::checksum::name_hash;
use super::super::file_system::Btrfs;
use super::super::inode::corrupt;
use super::super::item::{
    DirItem, EntryType, InodeFlags, InodeItem, InodeRef, ItemDefect, extref_hash, mode_of,
};
use super::super::key::{Key, item, object};
use super::super::place::Place;
use super::MODE_MAX;
use super::node::{check_flags, unsuitable};
use crate::bytes::arith::{add, len_u64};
use crate::error::{Context as _, Corrupt, Error, Refusal, Result};
use crate::fs::{NewNode, NodeId, NodeKind, acl, entry_name};
use std::ops::ControlFlow;

/// First sequence number of a name; those before stand for `.` and `..`.
const FIRST_INDEX: u64 = 2;

/// Which method files of a directory are compressed with.
const COMPRESSION_NAME: &[u8] = b"btrfs.compression";

/// A name that is not where it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name of the directory is not among those of the inode")]
struct NoReference;

impl Btrfs {
    /// Creates a file or directory. Mode and group are exactly those of `new`: unlike the kernel, a set-group-ID
    /// directory gives its group and its bit to nothing that is made in it.
    pub(super) fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        kind: NodeKind,
        content: &[u8],
    ) -> Result<NodeId> {
        entry_name::check(name)?;
        let (parent, mut directory) = self.editable_directory(directory)?;
        if self.view.entry(parent, name)?.is_some() {
            return Err(entry_name::exists(name));
        }
        if new.mode > MODE_MAX {
            return Err(unsuitable(parent, format!("gets no entry of mode {:o}", new.mode)));
        }
        let place = Place { inode: self.next_inode(parent.subvolume)?, ..parent };
        let node = place.node()?;
        let generation = self.generation();
        let mut inode = InodeItem {
            generation,
            transid: generation,
            link_count: 1,
            uid: new.uid,
            gid: new.gid,
            mode: mode_of(kind, new.mode),
            flags: inherited_flags(directory.flags, kind),
            accessed: self.clock,
            changed: self.clock,
            modified: self.clock,
            created: self.clock,
            ..InodeItem::default()
        };
        if kind == NodeKind::File {
            self.put_content(place, &mut inode, 0, content).context(|| place.describe())?;
        }
        let key = Key::new(place.inode, item::INODE_ITEM, 0);
        self.view.volume_mut().insert(place.subvolume, key, inode.encode())?;
        self.first_attributes(parent, place, new, kind)?;
        self.insert_name(parent, place, name, kind)?;
        directory.size_bytes = add(directory.size_bytes, twice(name))?;
        self.store_inode(parent, directory, true)?;
        Ok(node)
    }

    /// A number that no inode of the subvolume has.
    fn next_inode(&self, subvolume: u64) -> Result<u64> {
        let last = Key::last_of(object::LAST_FREE);
        let found = self.view.last_of(subvolume, Key::first_of(object::FIRST_FREE), last)?;
        let next = add(found.map_or(object::FIRST_FREE, |(key, _)| key.objectid), 1)?;
        if next > object::LAST_FREE {
            return Err(Error::limit("inode number", object::LAST_FREE, next));
        }
        Ok(next)
    }

    /// Its own attributes, inherited lists, and the compression of the directory.
    fn first_attributes(
        &mut self,
        parent: Place,
        place: Place,
        new: &NewNode,
        kind: NodeKind,
    ) -> Result<()> {
        let known = self.view.xattrs(parent)?;
        let value = |name: &[u8]| known.iter().find(|xattr| xattr.name == name);
        let mut inherited = match value(acl::DEFAULT_NAME) {
            Some(default) => {
                acl::inherited(&default.value, kind, new.mode).context(|| parent.describe())?
            }
            None => Vec::new(),
        };
        if matches!(kind, NodeKind::File | NodeKind::Directory) {
            inherited.extend(value(COMPRESSION_NAME).cloned());
        }
        for xattr in acl::join(&new.xattrs, inherited) {
            self.put_attribute(place, &xattr.name, Some(&xattr.value))?;
        }
        Ok(())
    }

    fn insert_name(
        &mut self,
        parent: Place,
        place: Place,
        name: &[u8],
        kind: NodeKind,
    ) -> Result<()> {
        let damaged = |defect: ItemDefect| corrupt("directory entry", parent, defect);
        let Place { subvolume, inode: directory } = parent;
        let indices = |offset| Key::new(directory, item::DIR_INDEX, offset);
        let last = self.view.last_of(subvolume, indices(0), indices(u64::MAX))?;
        let index = match last {
            Some((key, _)) => add(key.offset, 1)?.max(FIRST_INDEX),
            None => FIRST_INDEX,
        };
        let entry = DirItem {
            location: Key::new(place.inode, item::INODE_ITEM, 0),
            transid: self.generation(),
            entry_type: EntryType::Node(kind),
            name: name.to_vec(),
            value: Vec::new(),
        };
        let encoded = entry.encode().map_err(damaged)?;
        let by_hash = Key::new(directory, item::DIR_ITEM, name_hash(name));
        let mut data = self.view.get(subvolume, by_hash)?.unwrap_or_default();
        data.extend(&encoded);
        self.put_item(subvolume, by_hash, data)?;
        self.view.volume_mut().insert(subvolume, indices(index), encoded)?;
        let reference = InodeRef { parent: directory, index, name: name.to_vec() };
        let reference = reference.encode().map_err(damaged)?;
        let key = Key::new(place.inode, item::INODE_REF, directory);
        self.view.volume_mut().insert(subvolume, key, reference)
    }

    /// Removes a name, and the inode with its last one.
    pub(super) fn remove_name(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let (parent, mut directory) = self.editable_directory(directory)?;
        let Some(entry) = self.view.entry(parent, name)? else {
            return Err(entry_name::missing(name));
        };
        let place = self.view.target(parent, &entry)?;
        if place.subvolume != parent.subvolume {
            return Err(unsuitable(place, "is a subvolume, and cannot be removed"));
        }
        let mut inode = self.view.inode(place)?;
        match self.view.metadata(place)?.kind {
            NodeKind::File | NodeKind::Symlink => check_flags(place, &inode)?,
            kind => return Err(unsuitable(place, format!("is a {kind}, and cannot be removed"))),
        }
        self.take_name(parent, place, name)?;
        inode.link_count = inode.link_count.saturating_sub(1);
        if inode.link_count == 0 {
            self.delete_inode(place, inode)?;
        } else {
            self.store_inode(place, inode, false)?;
        }
        directory.size_bytes = directory.size_bytes.saturating_sub(twice(name));
        self.store_inode(parent, directory, true)
    }

    /// Removes a name from all three items.
    fn take_name(&mut self, parent: Place, place: Place, name: &[u8]) -> Result<()> {
        let damaged = |defect: ItemDefect| corrupt("directory entry", parent, defect);
        let subvolume = parent.subvolume;
        let by_hash = Key::new(parent.inode, item::DIR_ITEM, name_hash(name));
        let data = self.view.get(subvolume, by_hash)?.unwrap_or_default();
        let entries = DirItem::parse_all(&data).map_err(damaged)?;
        let kept = entries.iter().filter(|entry| entry.name != name).map(DirItem::encode);
        let kept: Vec<u8> = kept.collect::<Result<Vec<_>, _>>().map_err(damaged)?.concat();
        self.put_or_delete(subvolume, by_hash, kept)?;
        let index = self.take_reference(parent, place, name)?;
        let by_index = Key::new(parent.inode, item::DIR_INDEX, index);
        self.view.volume_mut().delete(subvolume, by_index)
    }

    /// Removes the name from those of the inode; gives its sequence number.
    fn take_reference(&mut self, parent: Place, place: Place, name: &[u8]) -> Result<u64> {
        let damaged = |defect: ItemDefect| corrupt("inode reference", place, defect);
        let subvolume = place.subvolume;
        let is_it = |found: &InodeRef| found.parent == parent.inode && found.name == name;
        let plain = Key::new(place.inode, item::INODE_REF, parent.inode);
        let extended = extref_hash(parent.inode, name);
        let extended = Key::new(place.inode, item::INODE_EXTREF, extended);
        for key in [plain, extended] {
            let Some(data) = self.view.get(subvolume, key)? else { continue };
            let is_plain = key.kind == item::INODE_REF;
            let names = if is_plain {
                InodeRef::parse_all(&data, parent.inode)
            } else {
                InodeRef::parse_all_extended(&data)
            };
            let names = names.map_err(damaged)?;
            let Some(found) = names.iter().find(|found| is_it(found)) else { continue };
            let kept = names.iter().filter(|found| !is_it(found));
            let kept =
                kept.map(|name| if is_plain { name.encode() } else { name.encode_extended() });
            let kept = kept.collect::<Result<Vec<_>, _>>().map_err(damaged)?.concat();
            self.put_or_delete(subvolume, key, kept)?;
            return Ok(found.index);
        }
        Err(Corrupt::new("inode reference", NoReference).of(place.describe()).into())
    }

    fn put_or_delete(&mut self, subvolume: u64, key: Key, data: Vec<u8>) -> Result<()> {
        let volume = self.view.volume_mut();
        if data.is_empty() {
            volume.delete(subvolume, key)
        } else {
            volume.replace(subvolume, key, data)
        }
    }

    /// Gives up an inode without names, and everything it holds.
    pub(super) fn delete_inode(&mut self, place: Place, mut inode: InodeItem) -> Result<()> {
        if inode.flags.contains(InodeFlags::VERITY) {
            let feature = format!("fs-verity ({})", place.describe());
            return Err(Refusal::NotWritable { feature }.into());
        }
        self.drop_extents(place, &mut inode, 0, u64::MAX)?;
        let mut keys = Vec::new();
        let (first, last) = (Key::first_of(place.inode), Key::last_of(place.inode));
        self.view.for_each(place.subvolume, first, last, &mut |key, _| {
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })?;
        for key in keys {
            self.view.volume_mut().delete(place.subvolume, key)?;
        }
        Ok(())
    }
}

fn twice(name: &[u8]) -> u64 {
    len_u64(name.len()).saturating_mul(2)
}

/// What a new inode has of the flags of its directory.
fn inherited_flags(parent: InodeFlags, kind: NodeKind) -> InodeFlags {
    let mut flags = 0;
    if parent.contains(InodeFlags::NOCOMPRESS) {
        flags |= InodeFlags::NOCOMPRESS.0;
    } else if parent.contains(InodeFlags::COMPRESS) {
        flags |= InodeFlags::COMPRESS.0;
    }
    if parent.contains(InodeFlags::NODATACOW) {
        flags |= InodeFlags::NODATACOW.0;
        if kind == NodeKind::File {
            flags |= InodeFlags::NODATASUM.0;
        }
    }
    InodeFlags(flags)
}
