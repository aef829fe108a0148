//! Extents of the log: each replaces whatever is in its range.

use super::Replay;
use crate::bytes::arith::{add, round_up, sub};
use crate::error::Result;
use crate::fs::btrfs::inode::corrupt;
use crate::fs::btrfs::item::{FileExtent, ItemDefect, Placement, Stored};
use crate::fs::btrfs::key::{Key, item};
use std::ops::ControlFlow;

impl Replay<'_> {
    /// Puts the extent of an EXTENT_DATA item of the log in place.
    pub(super) fn replay_extent(&mut self, key: Key, data: &[u8]) -> Result<()> {
        if self.inode(key.objectid)?.is_none() {
            return Ok(());
        }
        let extent = self.parse_extent(key, data)?;
        let sector_bytes = u64::from(self.view.volume().superblock().sector_bytes);
        let end = add(key.offset, extent.len_bytes())?;
        self.drop_extents(key.objectid, key.offset, round_up(end, sector_bytes)?)?;
        self.view.change(self.subvolume, key, Some(data.to_vec()))
    }

    fn parse_extent(&self, key: Key, data: &[u8]) -> Result<FileExtent> {
        let place = self.place(key.objectid);
        FileExtent::parse(data).map_err(|defect| corrupt("file extent", place, defect))
    }

    /// Removes what extents have from `from` to `to`; what they have outside stays.
    pub(super) fn drop_extents(&mut self, inode: u64, from: u64, to: u64) -> Result<()> {
        let key = |offset| Key::new(inode, item::EXTENT_DATA, offset);
        let Some(last) = to.checked_sub(1) else { return Ok(()) };
        let before = self.view.last_of(self.subvolume, key(0), key(from))?;
        let start = before.map_or(from, |(key, _)| key.offset);
        let mut found = Vec::new();
        self.view.for_each(self.subvolume, key(start), key(last), &mut |key, data| {
            self.view.look(1)?;
            found.push((key, data.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        for (key, data) in found {
            self.cut(key, &data, from, to)?;
        }
        Ok(())
    }

    fn cut(&mut self, key: Key, data: &[u8], from: u64, to: u64) -> Result<()> {
        let extent = self.parse_extent(key, data)?;
        let end = add(key.offset, extent.len_bytes())?;
        if end <= from || key.offset >= to {
            return Ok(());
        }
        self.view.change(self.subvolume, key, None)?;
        let bad = || corrupt("file extent", self.place(key.objectid), ItemDefect::ExtentSizes);
        if key.offset < from {
            let head = part(&extent, 0, sub(from, key.offset)?)?.ok_or_else(bad)?;
            self.view.change(self.subvolume, key, Some(head.encode()))?;
        }
        if end > to {
            let skipped = sub(to, key.offset)?;
            let bad = || corrupt("file extent", self.place(key.objectid), ItemDefect::ExtentSizes);
            let tail = part(&extent, skipped, sub(end, to)?)?.ok_or_else(bad)?;
            let key = Key::new(key.objectid, key.kind, to);
            self.view.change(self.subvolume, key, Some(tail.encode()))?;
        }
        Ok(())
    }
}

/// `len_bytes` of an extent, without the first `skipped`; none of one that is inline.
fn part(extent: &FileExtent, skipped: u64, len_bytes: u64) -> Result<Option<FileExtent>> {
    let cut = |stored: &Stored| {
        let offset_bytes = add(stored.offset_bytes, skipped)?;
        Ok::<_, crate::error::Error>(Stored { offset_bytes, len_bytes, ..*stored })
    };
    let placement = match &extent.placement {
        Placement::Inline(_) => return Ok(None),
        Placement::Hole { .. } => Placement::Hole { len_bytes },
        Placement::Regular(stored) => Placement::Regular(cut(stored)?),
        Placement::Preallocated(stored) => Placement::Preallocated(cut(stored)?),
    };
    Ok(Some(FileExtent { placement, ..extent.clone() }))
}
