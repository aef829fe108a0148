//! Inodes of the log: the item, attributes that are gone, extents behind the end, and the number of names.

use super::Replay;
use crate::bytes::arith::round_up;
use crate::error::Result;
use crate::fs::NodeKind;
use crate::fs::btrfs::inode::corrupt;
use crate::fs::btrfs::item::{InodeItem, InodeRef};
use crate::fs::btrfs::key::{Key, item};
use crate::fs::btrfs::place::Place;
use std::ops::ControlFlow;

impl Replay<'_> {
    pub(super) fn place(&self, inode: u64) -> Place {
        Place { subvolume: self.subvolume, inode }
    }

    /// The inode as it is now; none if there is none.
    pub(super) fn inode(&self, inode: u64) -> Result<Option<InodeItem>> {
        let key = Key::new(inode, item::INODE_ITEM, 0);
        let place = self.place(inode);
        let data = self.view.get(self.subvolume, key)?;
        let parse = |data: Vec<u8>| {
            InodeItem::parse(&data).map_err(|defect| corrupt("inode item", place, defect))
        };
        data.map(parse).transpose()
    }

    pub(super) fn put_inode(&mut self, inode: u64, item: &InodeItem) -> Result<()> {
        let key = Key::new(inode, item::INODE_ITEM, 0);
        self.view.change(self.subvolume, key, Some(item.encode()))
    }

    pub(super) fn replay_inode(&mut self, inode: u64, data: &[u8]) -> Result<()> {
        let place = self.place(inode);
        let bad = |defect| corrupt("inode item of the log", place, defect);
        let logged = InodeItem::parse(data).map_err(bad)?;
        if logged.link_count == 0 {
            self.ignored.insert(inode);
            return Ok(());
        }
        let kind = logged.kind().map_err(bad)?;
        let merged = merge(logged, self.inode(inode)?, kind);
        self.put_inode(inode, &merged)?;
        self.touched.insert(inode);
        self.forget_attributes(inode)?;
        match kind {
            NodeKind::Directory => self.forget_entries(inode),
            NodeKind::File => {
                let sector_bytes = u64::from(self.view.volume().superblock().sector_bytes);
                let end = round_up(merged.size_bytes, sector_bytes)?;
                self.drop_extents(inode, end, u64::MAX)
            }
            _ => Ok(()),
        }
    }

    /// Removes the attributes that are not in the log.
    fn forget_attributes(&mut self, inode: u64) -> Result<()> {
        let from = Key::new(inode, item::XATTR_ITEM, 0);
        let to = Key::new(inode, item::XATTR_ITEM, u64::MAX);
        for key in self.keys(from, to)? {
            // An item of the log replaces the whole one.
            if !self.log.contains_key(&key) {
                self.view.change(self.subvolume, key, None)?;
            }
        }
        Ok(())
    }

    /// The keys of the items from `from` to `to` as they are now.
    pub(super) fn keys(&self, from: Key, to: Key) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        self.view.for_each(self.subvolume, from, to, &mut |key, _| {
            self.view.look(1)?;
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    }

    /// Sets the number of names of every inode that gained or lost one.
    pub(super) fn count_names(&mut self) -> Result<()> {
        for inode in std::mem::take(&mut self.touched) {
            let Some(mut item) = self.inode(inode)? else { continue };
            let count = u32::try_from(self.names_of(inode)?.len()).unwrap_or(u32::MAX);
            if item.link_count != count {
                item.link_count = count;
                self.put_inode(inode, &item)?;
            }
        }
        Ok(())
    }

    /// All names of an inode.
    pub(super) fn names_of(&self, inode: u64) -> Result<Vec<InodeRef>> {
        let place = self.place(inode);
        let mut names = Vec::new();
        let from = Key::new(inode, item::INODE_REF, 0);
        let to = Key::new(inode, item::INODE_EXTREF, u64::MAX);
        self.view.for_each(self.subvolume, from, to, &mut |key, data| {
            let refs = match key.kind {
                item::INODE_REF => InodeRef::parse_all(data, key.offset),
                _ => InodeRef::parse_all_extended(data),
            };
            let refs = refs.map_err(|defect| corrupt("inode reference", place, defect))?;
            self.view.look(refs.len())?;
            names.extend(refs);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }
}

/// What becomes of an inode that was `old`.
fn merge(logged: InodeItem, old: Option<InodeItem>, kind: NodeKind) -> InodeItem {
    let Some(old) = old else {
        let size_bytes = if kind == NodeKind::Directory { 0 } else { logged.size_bytes };
        return InodeItem { size_bytes, ..logged };
    };
    if logged.generation == 0 {
        // Only the fact that it exists was logged, and how far it reached.
        let has_size = kind == NodeKind::File && logged.size_bytes != 0;
        let size_bytes = if has_size { logged.size_bytes } else { old.size_bytes };
        return InodeItem { size_bytes, ..old };
    }
    let is_directory = kind == NodeKind::Directory;
    let size_bytes = if is_directory { old.size_bytes } else { logged.size_bytes };
    InodeItem { size_bytes, ..logged }
}
