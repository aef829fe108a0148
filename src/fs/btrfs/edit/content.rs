//! Content of files: in the leaf, or in extents with checksums. Extents are never written over: what changes is written
//! into new ones, in whole sectors, and the old ones lose a reference.

use super::super::extent::change::Extent;
use super::super::extent::item::Reference;
use super::super::file_system::Btrfs;
use super::super::inode::corrupt;
use super::super::item::{FileExtent, InodeFlags, InodeItem, Placement, Stored};
use super::super::key::{Key, item};
use super::super::node::{ITEM_BYTES, room_bytes};
use super::super::place::Place;
use super::node::unsuitable;
use crate::bytes::arith::{add, len_u64, rem, round_up, sub, to};
use crate::bytes::field;
use crate::error::{Error, Refusal, Result};
use crate::fs::FILE_BYTES_MAX;
use std::ops::ControlFlow;

/// Most content that is put into a leaf, in bytes: what Linux does by default.
const INLINE_BYTES_MAX: usize = 2048;

/// Size of an extent item before inline content, in bytes.
const EXTENT_HEADER_BYTES: usize = 21;

impl Btrfs {
    /// Writes `bytes` behind the content.
    pub(super) fn append_content(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        bytes: &[u8],
    ) -> Result<()> {
        let unit = u64::from(self.view.volume().superblock().sector_bytes);
        let size = inode.size_bytes;
        let from = if self.has_inline(place)? { 0 } else { sub(size, rem(size, unit)?)? };
        let len = to(sub(size, from)?)?;
        let mut tail = self.view.read_content(place, inode, from, len)?;
        tail.extend(bytes);
        self.put_content(place, inode, from, &tail)
    }

    /// Writes `bytes` over the content from `offset_bytes`; the size stays.
    pub(super) fn put_range(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        offset_bytes: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let unit = u64::from(self.view.volume().superblock().sector_bytes);
        let end = add(offset_bytes, len_u64(bytes.len()))?;
        if end > inode.size_bytes {
            return Err(unsuitable(place, "ends before the range that is to be written"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let is_inline = self.has_inline(place)?;
        let from = if is_inline { 0 } else { sub(offset_bytes, rem(offset_bytes, unit)?)? };
        let upto = if is_inline { inode.size_bytes } else { round_up(end, unit)? };
        let len = sub(upto.min(inode.size_bytes), from)?;
        check_size(len)?;
        let mut content = self.view.read_content(place, inode, from, to(len)?)?;
        field::put(&mut content, to(sub(offset_bytes, from)?)?, bytes)?;
        if is_inline {
            return self.put_content(place, inode, 0, &content);
        }
        self.drop_extents(place, inode, from, upto)?;
        self.write_extents(place, inode, from, &content)
    }

    /// Makes `tail` the content from `from` on, a whole number of sectors; nothing is left behind it.
    pub(super) fn put_content(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        from: u64,
        tail: &[u8],
    ) -> Result<()> {
        check_size(len_u64(tail.len()))?;
        self.drop_extents(place, inode, from, u64::MAX)?;
        if from == 0 && tail.len() <= self.inline_max(inode) {
            if !tail.is_empty() {
                let generation = self.generation();
                let key = Key::new(place.inode, item::EXTENT_DATA, 0);
                let data = FileExtent::inline(generation, tail).encode();
                self.view.volume_mut().insert(place.subvolume, key, data)?;
                inode.stored_bytes = add(inode.stored_bytes, len_u64(tail.len()))?;
            }
        } else {
            self.write_extents(place, inode, from, tail)?;
        }
        inode.size_bytes = add(from, len_u64(tail.len()))?;
        Ok(())
    }

    /// Most content of the file that may stand in the leaf.
    fn inline_max(&self, inode: &InodeItem) -> usize {
        let has = |flag| inode.flags.contains(flag);
        if has(InodeFlags::NODATACOW) || has(InodeFlags::PREALLOC) {
            return 0;
        }
        let superblock = self.view.volume().superblock();
        let room = room_bytes(superblock.node_bytes);
        INLINE_BYTES_MAX.min(room.saturating_sub(ITEM_BYTES.saturating_add(EXTENT_HEADER_BYTES)))
    }

    /// True if the content stands in the leaf.
    fn has_inline(&self, place: Place) -> Result<bool> {
        let key = Key::new(place.inode, item::EXTENT_DATA, 0);
        let Some(data) = self.view.get(place.subvolume, key)? else { return Ok(false) };
        let extent =
            FileExtent::parse(&data).map_err(|defect| corrupt("file extent", place, defect))?;
        Ok(matches!(extent.placement, Placement::Inline(_)))
    }

    /// Writes `content` into new extents from `from` on, where there are none.
    fn write_extents(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        from: u64,
        content: &[u8],
    ) -> Result<()> {
        let unit = u64::from(self.view.volume().superblock().sector_bytes);
        let is_unchecked = inode.flags.contains(InodeFlags::NODATASUM);
        let what = format!("data of {}", place.describe());
        let Place { subvolume: root, inode: number } = place;
        let (mut at, mut rest) = (from, content);
        while !rest.is_empty() {
            let generation = self.generation();
            let volume = self.view.volume_mut();
            let user = Reference::Data { root, inode: number, offset: at };
            let wanted = round_up(len_u64(rest.len()), unit)?;
            let Some((logical, bytes)) = volume.allocate_data(wanted, user)? else {
                let needed = round_up(len_u64(content.len()), unit)?;
                let what = "bytes in the data block groups".to_owned();
                let available = needed.saturating_sub(wanted);
                return Err(Refusal::NoSpace { what, needed, available }.into());
            };
            let (part, behind) = rest.split_at(rest.len().min(to(bytes)?));
            let mut padded = part.to_vec();
            padded.resize(to(bytes)?, 0);
            volume.write_data(logical, &padded, is_unchecked, &what)?;
            let stored = Stored { logical, disk_bytes: bytes, offset_bytes: 0, len_bytes: bytes };
            let extent = FileExtent {
                ram_bytes: bytes,
                placement: Placement::Regular(stored),
                ..FileExtent::inline(generation, &[])
            };
            let key = Key::new(number, item::EXTENT_DATA, at);
            volume.insert(root, key, extent.encode())?;
            inode.stored_bytes = add(inode.stored_bytes, bytes)?;
            (at, rest) = (add(at, bytes)?, behind);
        }
        Ok(())
    }

    /// Takes the range out of the extents of a file. Both ends are whole sectors, or the end is behind everything.
    pub(super) fn drop_extents(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        from: u64,
        upto: u64,
    ) -> Result<()> {
        let key = |offset| Key::new(place.inode, item::EXTENT_DATA, offset);
        let before = self.view.last_of(place.subvolume, key(0), key(from))?;
        let start = before.map_or(from, |(key, _)| key.offset);
        let mut found = Vec::new();
        self.view.for_each(
            place.subvolume,
            key(start),
            key(upto.saturating_sub(1)),
            &mut |key, data| {
                let extent = FileExtent::parse(data)
                    .map_err(|defect| corrupt("file extent", place, defect))?;
                found.push((key.offset, extent));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        for (start, extent) in found {
            self.cut_extent(place, inode, (start, &extent), (from, upto))?;
        }
        Ok(())
    }

    /// Takes the range from `from` to `upto` out of one extent.
    fn cut_extent(
        &mut self,
        place: Place,
        inode: &mut InodeItem,
        (start, extent): (u64, &FileExtent),
        (from, upto): (u64, u64),
    ) -> Result<()> {
        let end = add(start, extent.len_bytes())?;
        if end <= from || start >= upto {
            return Ok(());
        }
        let is_inline = matches!(extent.placement, Placement::Inline(_));
        if is_inline && (from > start || upto < end) {
            return Err(unsuitable(place, "has content in the leaf and in extents"));
        }
        let subvolume = place.subvolume;
        let key = |offset| Key::new(place.inode, item::EXTENT_DATA, offset);
        self.view.volume_mut().delete(subvolume, key(start))?;
        let mut parts = 0i64;
        for (part_start, part_end) in [(start, from), (upto, end)] {
            if part_start < part_end {
                let part = part_of(extent, sub(part_start, start)?, sub(part_end, part_start)?)?;
                self.view.volume_mut().insert(subvolume, key(part_start), part.encode())?;
                parts = parts.saturating_add(1);
            }
        }
        let dropped = sub(end.min(upto), start.max(from))?;
        match &extent.placement {
            Placement::Hole { .. } => return Ok(()),
            Placement::Inline(_) => {}
            Placement::Regular(stored) | Placement::Preallocated(stored) => {
                let offset = start.wrapping_sub(stored.offset_bytes);
                let user = Reference::Data { root: subvolume, inode: place.inode, offset };
                let held = Extent::Data(stored.disk_bytes);
                let change = parts.saturating_sub(1);
                let volume = self.view.volume_mut();
                volume.change_reference(stored.logical, held, user, change);
            }
        }
        inode.stored_bytes = sub(inode.stored_bytes, dropped)?;
        Ok(())
    }
}

/// `len` bytes of an extent from `skip` on.
fn part_of(extent: &FileExtent, skip: u64, len: u64) -> Result<FileExtent> {
    let part = |stored: &Stored| -> Result<Stored> {
        let offset_bytes = add(stored.offset_bytes, skip)?;
        Ok(Stored { offset_bytes, len_bytes: len, ..*stored })
    };
    let placement = match &extent.placement {
        Placement::Inline(content) => Placement::Inline(content.clone()),
        Placement::Hole { .. } => Placement::Hole { len_bytes: len },
        Placement::Regular(stored) => Placement::Regular(part(stored)?),
        Placement::Preallocated(stored) => Placement::Preallocated(part(stored)?),
    };
    Ok(FileExtent { placement, ..extent.clone() })
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > FILE_BYTES_MAX {
        return Err(Error::limit("size of the new content in bytes", FILE_BYTES_MAX, bytes));
    }
    Ok(())
}
