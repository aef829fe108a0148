//! Content of files and links: from the leaf, from extents, decompressed, or nothing but zeros.

use super::compress::{CONTENT_BYTES_MAX, unpack};
use super::inode::corrupt;
use super::item::{Compression, FileExtent, InodeFlags, InodeItem, ItemDefect, Placement, Stored};
use super::key::{Key, item};
use super::place::Place;
use super::view::View;
use crate::bytes::arith::{add, len_u64, round_up, sub, to};
use crate::error::{Context as _, Error, Result};
use std::ops::{ControlFlow, Range};

/// Longest read in one call, in bytes.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A range of a file that is being read.
struct Reading {
    place: Place,
    range: Range<u64>,
    has_checksums: bool,
    content: Vec<u8>,
    /// End of the extents seen so far.
    seen_to: u64,
}

impl View {
    /// Up to `len` bytes of the content from `offset_bytes`; less only at the end.
    ///
    /// # Errors
    /// `Corrupt`; `Unsupported` for unknown compression.
    pub(crate) fn read_content(
        &self,
        place: Place,
        inode: &InodeItem,
        offset_bytes: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let end =
            offset_bytes.saturating_add(len_u64(len.min(READ_BYTES_MAX))).min(inode.size_bytes);
        if end <= offset_bytes {
            return Ok(Vec::new());
        }
        let range = offset_bytes..end;
        let mut reading = Reading {
            place,
            content: vec![0; to(sub(range.end, range.start)?)?],
            range,
            has_checksums: !inode.flags.contains(InodeFlags::NODATASUM),
            seen_to: 0,
        };
        self.fill(&mut reading).context(|| place.describe())?;
        Ok(reading.content)
    }

    /// Copies what every extent has of the range; what none has stays zeros.
    fn fill(&self, reading: &mut Reading) -> Result<()> {
        let Place { subvolume, inode } = reading.place;
        let key = |offset| Key::new(inode, item::EXTENT_DATA, offset);
        let start = self.last_of(subvolume, key(0), key(reading.range.start))?;
        let start = start.map_or(reading.range.start, |(key, _)| key.offset);
        let last = key(reading.range.end.saturating_sub(1));
        self.for_each(subvolume, key(start), last, &mut |key, data| {
            let extent = FileExtent::parse(data)
                .map_err(|defect| corrupt("file extent", reading.place, defect))?;
            self.copy_extent(reading, key.offset, &extent)
                .context(|| format!("extent at {:#x}", key.offset))?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn copy_extent(&self, reading: &mut Reading, start: u64, extent: &FileExtent) -> Result<()> {
        let bad = || corrupt("file extent", reading.place, ItemDefect::ExtentSizes);
        if extent.encryption != 0 || extent.other_encoding != 0 {
            return Err(Error::unsupported("an extent with an encoding that regain does not know"));
        }
        let extent_end = add(start, extent.len_bytes())?;
        let is_inline = matches!(extent.placement, Placement::Inline(_));
        let is_aligned =
            is_inline && start == 0 || self.is_sector(start) && self.is_sector(extent_end);
        // Each sector is in one extent only, so that the work is bounded by the length of the read.
        if start < reading.seen_to || !is_aligned {
            return Err(bad());
        }
        reading.seen_to = extent_end;
        let wanted = start.max(reading.range.start)..extent_end.min(reading.range.end);
        if wanted.is_empty() {
            return Ok(());
        }
        let within = sub(wanted.start, start)?..sub(wanted.end, start)?;
        let bytes = match &extent.placement {
            Placement::Hole { .. } | Placement::Preallocated(_) => return Ok(()),
            Placement::Inline(packed) => self.inline(extent, packed, &within)?,
            Placement::Regular(stored) if extent.compression == Compression::None => {
                self.plain(stored, &within, reading.has_checksums)?
            }
            Placement::Regular(stored) => {
                let content = self.packed(extent, stored, reading.has_checksums)?;
                let from = add(stored.offset_bytes, within.start)?;
                part(&content, from, add(stored.offset_bytes, within.end)?).ok_or_else(bad)?
            }
        };
        let at = to(sub(wanted.start, reading.range.start)?)?;
        crate::bytes::field::put(&mut reading.content, at, &bytes)?;
        Ok(())
    }

    fn is_sector(&self, offset: u64) -> bool {
        self.volume().superblock().is_aligned(offset)
    }

    fn sector_bytes(&self) -> u64 {
        self.volume().superblock().sector_bytes.into()
    }

    fn inline(&self, extent: &FileExtent, packed: &[u8], within: &Range<u64>) -> Result<Vec<u8>> {
        let sector_bytes = to(self.sector_bytes())?;
        let content = unpack(extent.compression, packed, extent.ram_bytes, sector_bytes)?;
        Ok(part(&content, within.start, within.end).unwrap_or_default())
    }

    /// A part of an extent that is not compressed.
    fn plain(&self, stored: &Stored, within: &Range<u64>, is_checked: bool) -> Result<Vec<u8>> {
        let from = add(stored.offset_bytes, within.start)?;
        let end = add(stored.offset_bytes, within.end)?;
        if !is_checked {
            let mut buffer = vec![0; to(sub(end, from)?)?];
            self.volume().read_logical(add(stored.logical, from)?, &mut buffer)?;
            return Ok(buffer);
        }
        let sector_bytes = self.sector_bytes();
        let first = sub(from, from.checked_rem(sector_bytes).unwrap_or(0))?;
        let len = sub(round_up(end, sector_bytes)?, first)?;
        let sectors = self.read_checked(add(stored.logical, first)?, to(len)?)?;
        Ok(part(&sectors, sub(from, first)?, sub(end, first)?).unwrap_or_default())
    }

    /// The whole content of a compressed extent.
    fn packed(&self, extent: &FileExtent, stored: &Stored, is_checked: bool) -> Result<Vec<u8>> {
        if stored.disk_bytes > CONTENT_BYTES_MAX || !self.is_sector(stored.disk_bytes) {
            let what = "size of a compressed extent in bytes";
            return Err(Error::limit(what, CONTENT_BYTES_MAX, stored.disk_bytes));
        }
        let len = to(stored.disk_bytes)?;
        let packed = if is_checked {
            self.read_checked(stored.logical, len)?
        } else {
            let mut buffer = vec![0; len];
            self.volume().read_logical(stored.logical, &mut buffer)?;
            buffer
        };
        unpack(extent.compression, &packed, extent.ram_bytes, to(self.sector_bytes())?)
    }
}

/// The bytes from `start` to `end`.
fn part(bytes: &[u8], start: u64, end: u64) -> Option<Vec<u8>> {
    let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
    bytes.get(start..end).map(<[u8]>::to_vec)
}
