//! The log becomes part of the transaction: before the first edit, what a replay changed in memory is brought into the
//! trees, and the superblock loses the log. The log's own blocks are in no tree, and so are free from then on; until then
//! they are kept from being allocated, so that the log stays whole below the edit.
//!
//! Data that only the log knows are in no tree either. They are kept from being allocated before anything is changed,
//! and then are recorded as extents of their files, with the checksums of the log.

use super::super::chunk::block_group;
use super::super::extent::change::Extent;
use super::super::extent::item::Reference;
use super::super::feature::incompat;
use super::super::file_system::Btrfs;
use super::super::inode::corrupt;
use super::super::item::{FileExtent, InodeFlags, InodeItem, Placement, Stored};
use super::super::key::{Key, item};
use super::super::log;
use super::super::place::Place;
use super::super::view::Changes;
use crate::bytes::arith::{add, div, len_u64, mul, round_up, sub, to};
use crate::error::{Context as _, Refusal, Result};
use crate::fs::NodeKind;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Extents by address: length, and whether their data have checksums.
type Extents = BTreeMap<u64, (u64, bool)>;

impl Btrfs {
    /// Brings the replay of a log into the trees, if there is one.
    ///
    /// # Errors
    /// `Refused` if the log could not be replayed; `Corrupt`.
    pub(super) fn adopt_log(&mut self) -> Result<()> {
        if self.view.volume().superblock().log_root == 0 || self.is_log_adopted {
            return Ok(());
        }
        self.check_log()?;
        self.is_log_adopted = true;
        let (changes, checksums) = self.view.take_changes();
        self.adopt(&changes, &checksums).context(|| "the log")
    }

    /// Checks that there is no log, or one that was replayed.
    ///
    /// # Errors
    /// `Refused`.
    pub(in super::super) fn check_log(&self) -> Result<()> {
        if self.view.volume().superblock().log_root == 0 || self.is_log_replayed {
            return Ok(());
        }
        let detail = "the log of the last crash could not be replayed".to_owned();
        Err(Refusal::DirtyLog { detail }.into())
    }

    fn adopt(
        &mut self,
        changes: &BTreeMap<u64, Changes>,
        checksums: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<()> {
        self.reserve_log()?;
        let extents = self.reserve_logged(changes)?;
        // Also a log without changes makes a transaction, which takes it off the superblock.
        self.view.volume_mut().pending();
        for (&subvolume, items) in changes {
            for (&key, data) in items {
                self.adopt_item(subvolume, key, data.as_deref())?;
            }
        }
        self.adopt_checksums(&extents, checksums)?;
        for (&subvolume, items) in changes {
            let inodes: BTreeSet<u64> = items.keys().map(|key| key.objectid).collect();
            for inode in inodes {
                self.settle_inode(Place { subvolume, inode })?;
            }
        }
        Ok(())
    }

    /// Keeps the blocks of the log from being allocated: until the superblock is written, it leads to them.
    fn reserve_log(&mut self) -> Result<()> {
        let volume = self.view.volume_mut();
        let bytes = volume.node_bytes();
        for bytenr in log::blocks(volume)? {
            volume.reserve(block_group::METADATA, bytenr, bytes)?;
        }
        Ok(())
    }

    /// Keeps the data of the log from being allocated. Gives all extents that the log refers to.
    fn reserve_logged(&mut self, changes: &BTreeMap<u64, Changes>) -> Result<Extents> {
        let mut extents = Extents::new();
        for items in changes.values() {
            for (key, data) in items {
                let Some(data) = data.as_deref().filter(|_| key.kind == item::EXTENT_DATA) else {
                    continue;
                };
                let inode = Key::new(key.objectid, item::INODE_ITEM, 0);
                let flags = match items.get(&inode) {
                    Some(Some(inode)) => InodeItem::parse(inode).map(|inode| inode.flags),
                    _ => Ok(InodeFlags::default()),
                };
                let has_checksums = flags.is_ok_and(|flags| !flags.contains(InodeFlags::NODATASUM));
                if let Some((stored, _)) = stored_in(data)? {
                    extents.insert(stored.logical, (stored.disk_bytes, has_checksums));
                }
            }
        }
        let volume = self.view.volume_mut();
        for (&logical, &(bytes, _)) in &extents {
            if volume.extent_item(logical, Extent::Data(bytes))?.is_none() {
                volume.reserve(block_group::DATA, logical, bytes)?;
            }
        }
        Ok(extents)
    }

    fn adopt_item(&mut self, subvolume: u64, key: Key, new: Option<&[u8]>) -> Result<()> {
        let old = self.view.get(subvolume, key)?;
        match (&old, new) {
            (Some(old), Some(new)) if old == new => return Ok(()),
            (None, None) => return Ok(()),
            (_, Some(new)) => self.put_item(subvolume, key, new.to_vec())?,
            (Some(_), None) => self.view.volume_mut().delete(subvolume, key)?,
        }
        if key.kind == item::EXTENT_DATA {
            // The new reference comes first, so that an extent that stays is never given up.
            if let Some(new) = new {
                self.count_reference(subvolume, key, new, 1)?;
            }
            if let Some(old) = &old {
                self.count_reference(subvolume, key, old, -1)?;
            }
        }
        Ok(())
    }

    /// A file gains or loses the extent in an item.
    fn count_reference(&mut self, subvolume: u64, key: Key, data: &[u8], delta: i64) -> Result<()> {
        let Some((stored, offset)) = stored_in(data)? else { return Ok(()) };
        let offset = key.offset.wrapping_sub(offset);
        let user = Reference::Data { root: subvolume, inode: key.objectid, offset };
        let extent = Extent::Data(stored.disk_bytes);
        let volume = self.view.volume_mut();
        let is_known = volume.pending().changes.get(stored.logical).is_some()
            || volume.extent_item(stored.logical, extent)?.is_some();
        if is_known {
            volume.change_reference(stored.logical, extent, user, delta);
        } else {
            volume.pending().changes.allocated(stored.logical, extent, user);
        }
        Ok(())
    }

    /// Records the checksums that the log has for extents that are in use now.
    fn adopt_checksums(
        &mut self,
        extents: &Extents,
        checksums: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<()> {
        let superblock = self.view.volume().superblock();
        let unit = u64::from(superblock.sector_bytes);
        let size = len_u64(superblock.checksum.size_bytes());
        for (&logical, &(bytes, has_checksums)) in extents {
            let end = add(logical, bytes)?;
            for (&start, sums) in checksums.range(..end).filter(|_| has_checksums) {
                let sums_end = add(start, mul(div(len_u64(sums.len()), size)?, unit)?)?;
                let (from, upto) = (start.max(logical), sums_end.min(end));
                if from >= upto {
                    continue;
                }
                let index =
                    |at: u64| -> Result<usize> { Ok(to(mul(div(sub(at, start)?, unit)?, size)?)?) };
                let part = sums.get(index(from)?..index(upto)?).unwrap_or_default();
                let volume = self.view.volume_mut();
                volume.delete_checksums(from, sub(upto, from)?)?;
                volume.insert_checksums(from, part)?;
            }
        }
        Ok(())
    }

    /// Counts anew what an inode holds, or removes it if it has no name left.
    fn settle_inode(&mut self, place: Place) -> Result<()> {
        let key = Key::new(place.inode, item::INODE_ITEM, 0);
        let Some(data) = self.view.get(place.subvolume, key)? else { return Ok(()) };
        let mut inode =
            InodeItem::parse(&data).map_err(|defect| corrupt("inode item", place, defect))?;
        if inode.link_count == 0 {
            return self.delete_inode(place, inode);
        }
        let kind = inode.kind().map_err(|defect| corrupt("inode item", place, defect))?;
        if matches!(kind, NodeKind::File | NodeKind::Symlink) {
            inode.stored_bytes = self.count_extents(place, &inode)?;
        }
        let encoded = inode.encode();
        if encoded == data {
            return Ok(());
        }
        self.view.volume_mut().replace(place.subvolume, key, encoded)
    }

    /// What the extents of a file hold in bytes. Where holes need items, those that are missing are added.
    fn count_extents(&mut self, place: Place, inode: &InodeItem) -> Result<u64> {
        let superblock = self.view.volume().superblock();
        let has_holes = !superblock.features.has_incompat(incompat::NO_HOLES);
        let end = round_up(inode.size_bytes, superblock.sector_bytes.into())?;
        let key = |offset| Key::new(place.inode, item::EXTENT_DATA, offset);
        let (mut sum, mut at, mut holes) = (0, 0, Vec::new());
        let mut is_inline = false;
        self.view.for_each(place.subvolume, key(0), key(u64::MAX), &mut |key, data| {
            let extent =
                FileExtent::parse(data).map_err(|defect| corrupt("file extent", place, defect))?;
            if key.offset > at {
                holes.push((at, key.offset));
            }
            at = add(key.offset, extent.len_bytes())?;
            is_inline |= matches!(extent.placement, Placement::Inline(_));
            if !matches!(extent.placement, Placement::Hole { .. }) {
                sum = add(sum, extent.len_bytes())?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if at < end {
            holes.push((at, end));
        }
        let generation = self.generation();
        for (from, upto) in holes.into_iter().filter(|_| has_holes && !is_inline) {
            let len_bytes = sub(upto, from)?;
            let placement = Placement::Hole { len_bytes };
            let hole = FileExtent {
                ram_bytes: len_bytes,
                placement,
                ..FileExtent::inline(generation, &[])
            };
            self.view.volume_mut().insert(place.subvolume, key(from), hole.encode())?;
        }
        Ok(sum)
    }
}

/// The extent that an EXTENT_DATA item refers to, and where in it the item starts; none of content in the leaf and holes.
fn stored_in(data: &[u8]) -> Result<Option<(Stored, u64)>> {
    let extent = FileExtent::parse(data)
        .map_err(|defect| crate::error::Corrupt::new("file extent", defect))?;
    Ok(match extent.placement {
        Placement::Inline(_) | Placement::Hole { .. } => None,
        Placement::Regular(stored) | Placement::Preallocated(stored) => {
            Some((stored, stored.offset_bytes))
        }
    })
}
