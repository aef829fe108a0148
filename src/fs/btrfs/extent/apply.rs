//! Brings collected changes of references into the extent tree.

use super::change::{Change, Extent};
use super::item::{Defect, ExtentItem, Reference, flag};
use crate::bytes::arith::{len_u64, to};
use crate::error::{Context as _, Corrupt, Error, Result};
use crate::fs::btrfs::feature::incompat;
use crate::fs::btrfs::key::{Key, item, object};
use crate::fs::btrfs::node::{ITEM_BYTES, room_bytes};
use crate::fs::btrfs::volume::Volume;
use std::ops::ControlFlow;

/// Bound on the changes that one edit may bring into the extent tree. Each block of that tree is copied at most once,
/// so far fewer are needed.
const APPLIED_MAX: u32 = 4 * 1024 * 1024;

/// Bound on the offsets that a reference may have moved from its hash.
const COLLISIONS_MAX: u64 = 1024;

impl Volume {
    /// Adds `delta` to a reference to an extent.
    pub(crate) fn change_reference(
        &mut self,
        bytenr: u64,
        extent: Extent,
        user: Reference,
        delta: i64,
    ) {
        self.pending().changes.add(bytenr, extent, user, delta);
    }

    /// The item of an extent with its key.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn extent_item(
        &self,
        bytenr: u64,
        extent: Extent,
    ) -> Result<Option<(Key, Vec<u8>)>> {
        let root = self.root(object::EXTENT_TREE)?;
        let candidates = match extent {
            Extent::Block(level) => [
                Some(Key::new(bytenr, item::METADATA_ITEM, u64::from(level))),
                Some(Key::new(bytenr, item::EXTENT_ITEM, self.node_bytes())),
            ],
            Extent::Data(bytes) => [Some(Key::new(bytenr, item::EXTENT_ITEM, bytes)), None],
        };
        for key in candidates.into_iter().flatten() {
            if let Some(data) = self.get(&root, key)? {
                return Ok(Some((key, data)));
            }
        }
        Ok(None)
    }

    /// Brings all changes into the extent tree, and those that this makes. True if there were any.
    ///
    /// # Errors
    /// `Corrupt` if the extent tree does not know what is in use; `Limit`; `Refused` if space runs out.
    pub(crate) fn apply_changes(&mut self) -> Result<bool> {
        let mut count = 0u32;
        while let Some((bytenr, change)) = self.pending().changes.take() {
            count = count.saturating_add(1);
            if count > APPLIED_MAX {
                let limit = APPLIED_MAX.into();
                return Err(Error::limit("number of changes of references", limit, count.into()));
            }
            self.apply(bytenr, &change).context(|| format!("extent at {bytenr}"))?;
        }
        Ok(count > 0)
    }

    fn apply(&mut self, bytenr: u64, change: &Change) -> Result<()> {
        if change.is_nothing() {
            // A new extent that nobody kept: its space was never taken.
            return match change.extent {
                Extent::Data(bytes) if change.is_new => self.delete_checksums(bytenr, bytes),
                _ => Ok(()),
            };
        }
        if change.is_new {
            return self.insert_extent(bytenr, change);
        }
        let missing = || Corrupt::new("extent tree", Defect::Missing);
        let (key, data) = self.extent_item(bytenr, change.extent)?.ok_or_else(missing)?;
        let mut extent = ExtentItem::parse(key, &data)?;
        for (&user, &delta) in &change.deltas {
            self.change_count(bytenr, &mut extent, user, delta)?;
        }
        extent.refs = changed(extent.refs, change.sum()).ok_or(Corrupt::new(
            "extent item",
            Defect::Count(extent.refs, change.sum().unsigned_abs()),
        ))?;
        if change.sets_full_backref {
            extent.flags |= flag::FULL_BACKREF;
        }
        if extent.refs > 0 {
            return self.replace(object::EXTENT_TREE, key, extent.encode());
        }
        if !extent.inline.is_empty() {
            let count = len_u64(extent.inline.len());
            return Err(Corrupt::new("extent item", Defect::Count(0, count)).into());
        }
        self.delete(object::EXTENT_TREE, key)?;
        self.extent_freed(bytenr, change.extent)
    }

    fn extent_bytes(&self, extent: Extent) -> u64 {
        match extent {
            Extent::Block(_) => self.node_bytes(),
            Extent::Data(bytes) => bytes,
        }
    }

    fn extent_freed(&mut self, bytenr: u64, extent: Extent) -> Result<()> {
        let bytes = self.extent_bytes(extent);
        if matches!(extent, Extent::Data(_)) {
            self.delete_checksums(bytenr, bytes)?;
        }
        self.space_freed(bytenr, bytes)
    }

    fn insert_extent(&mut self, bytenr: u64, change: &Change) -> Result<()> {
        let is_skinny = self.superblock().features.has_incompat(incompat::SKINNY_METADATA);
        let (key, flags, block) = match change.extent {
            Extent::Block(level) if is_skinny => {
                let key = Key::new(bytenr, item::METADATA_ITEM, u64::from(level));
                (key, flag::TREE_BLOCK, None)
            }
            Extent::Block(level) => {
                let key = Key::new(bytenr, item::EXTENT_ITEM, self.node_bytes());
                (key, flag::TREE_BLOCK, Some((self.first_key_of(bytenr), level)))
            }
            Extent::Data(bytes) => (Key::new(bytenr, item::EXTENT_ITEM, bytes), flag::DATA, None),
        };
        let generation = self.pending().generation;
        let mut extent = ExtentItem { refs: 0, generation, flags, block, inline: Vec::new() };
        for (&user, &delta) in &change.deltas {
            self.change_count(bytenr, &mut extent, user, delta)?;
        }
        extent.refs =
            changed(0, change.sum()).ok_or(Corrupt::new("extent item", Defect::Missing))?;
        self.insert(object::EXTENT_TREE, key, extent.encode())?;
        self.space_taken(bytenr, self.extent_bytes(change.extent))
    }

    /// Changes the count of one reference, inside the item or in an item of its own.
    fn change_count(
        &mut self,
        bytenr: u64,
        extent: &mut ExtentItem,
        user: Reference,
        delta: i64,
    ) -> Result<()> {
        let unrecorded = || Corrupt::new("extent tree", Defect::Unrecorded(user));
        let inside = extent.inline.iter().position(|(known, _)| *known == user);
        if let Some(index) = inside {
            let count = extent.inline.get(index).map_or(0, |(_, count)| *count);
            let count = changed(count.into(), delta).ok_or_else(unrecorded)?;
            if count == 0 {
                extent.inline.remove(index);
            } else if let Some((_, known)) = extent.inline.get_mut(index) {
                *known = to(count)?;
            }
            return Ok(());
        }
        let own = self.own_items(bytenr)?;
        if let Some(&(key, _, count)) = own.iter().find(|(_, known, _)| *known == user) {
            let count = changed(count.into(), delta).ok_or_else(unrecorded)?;
            if count == 0 {
                return self.delete(object::EXTENT_TREE, key);
            }
            return self.replace(object::EXTENT_TREE, key, user.item_data(to(count)?));
        }
        let count: u32 = to(changed(0, delta).ok_or_else(unrecorded)?)?;
        let max = room_bytes(self.superblock().node_bytes) / 16;
        let size = extent.len_bytes().saturating_add(user.inline_bytes());
        if own.is_empty() && size.saturating_add(ITEM_BYTES) < max {
            extent.insert(user, count);
            return Ok(());
        }
        self.insert_own(bytenr, user, count)
    }

    /// The references to an extent that are items of their own.
    fn own_items(&self, bytenr: u64) -> Result<Vec<(Key, Reference, u32)>> {
        let root = self.root(object::EXTENT_TREE)?;
        let from = Key::new(bytenr, item::TREE_BLOCK_REF, 0);
        let to = Key::new(bytenr, item::SHARED_DATA_REF, u64::MAX);
        let mut found = Vec::new();
        self.for_each(&root, from, to, &mut |key, data| {
            let (reference, count) = Reference::parse_item(key, data)?;
            found.push((key, reference, count));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Hashes of data references can collide; then the next free offset is taken.
    fn insert_own(&mut self, bytenr: u64, user: Reference, count: u32) -> Result<()> {
        let root = self.root(object::EXTENT_TREE)?;
        let tries = if user.kind() == item::EXTENT_DATA_REF { COLLISIONS_MAX } else { 1 };
        for collision in 0..tries {
            let offset = user.sequence().wrapping_add(collision);
            let key = Key::new(bytenr, user.kind(), offset);
            if self.get(&root, key)?.is_none() {
                return self.insert(object::EXTENT_TREE, key, user.item_data(count));
            }
        }
        Err(Error::limit("number of references with one hash", tries, tries.saturating_add(1)))
    }
}

/// `count + delta`; `None` if that is below 0 or too large.
fn changed(count: u64, delta: i64) -> Option<u64> {
    count.checked_add_signed(delta)
}
