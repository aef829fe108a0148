//! How the literal area of an inode is divided between data and attribute fork.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "On-disk Inode", sections "Attribute Fork"
//! and "Extended Attribute Versions". The document only says that `di_forkoff` starts high and
//! sinks as attributes grow. The bounds here are what a kernel (Linux 6.18) was observed to keep: a
//! new fork starts at 192 if the data fork has no more, an attribute fork has at least 40 bytes, a
//! data fork at least 56 (the root of an extent tree with 2 and 3 records), a device number 8.

use crate::bytes::field::be_u16;
use crate::error::Result;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};

/// Unit of the fork offset, in bytes.
const UNIT: usize = 8;
/// Where a new attribute fork starts, if there is no reason against it.
const OFFSET_DEFAULT: usize = 192;
const ATTRIBUTE_BYTES_MIN: usize = 40;
const DATA_BYTES_MIN: usize = 56;
/// Room of a device number.
const DEVICE_BYTES: usize = 8;
/// An extent in the inode, and a record with its pointer in the root of an extent tree.
const RECORD_BYTES: usize = 16;
/// Level and count before the records of such a root.
const ROOT_HEADER_BYTES: usize = 4;

/// The literal area, and what the data fork needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Length of the literal area.
    pub(crate) literal_bytes: usize,
    /// Where the attribute fork starts; 0 if there is none.
    pub(crate) offset_bytes: usize,
    /// Format of the data fork.
    pub(crate) data_format: ForkFormat,
    /// Bytes that the data fork uses.
    pub(crate) data_bytes: usize,
}

impl Room {
    /// The room in `inode`.
    ///
    /// # Errors
    /// `Corrupt` if the data fork makes no sense.
    pub(crate) fn of(inode: &Inode) -> Result<Self> {
        let data_format = inode.format(ForkKind::Data)?;
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let data_bytes = match data_format {
            ForkFormat::Device => DEVICE_BYTES,
            ForkFormat::Local => count(inode.size_bytes()),
            ForkFormat::Extents => {
                count(inode.extent_count(ForkKind::Data)).saturating_mul(RECORD_BYTES)
            }
            ForkFormat::Btree => {
                let records = usize::from(be_u16(inode.fork(ForkKind::Data), 2)?);
                records.saturating_mul(RECORD_BYTES).saturating_add(ROOT_HEADER_BYTES)
            }
        };
        let (literal_bytes, offset_bytes) = (inode.literal_len(), inode.fork_offset_bytes());
        Ok(Self { literal_bytes, offset_bytes, data_format, data_bytes })
    }

    /// The lowest possible offset.
    fn lowest(&self) -> usize {
        if self.data_format == ForkFormat::Device {
            return DEVICE_BYTES;
        }
        self.data_bytes.max(DATA_BYTES_MIN).checked_next_multiple_of(UNIT).unwrap_or(usize::MAX)
    }

    /// The highest offset that leaves `needed_bytes`, but not above what a kernel would choose.
    fn highest(&self, needed_bytes: usize) -> Option<usize> {
        if self.data_format == ForkFormat::Device {
            let left = self.literal_bytes.checked_sub(DEVICE_BYTES)?;
            return (left >= needed_bytes).then_some(DEVICE_BYTES);
        }
        let end = self.literal_bytes.checked_sub(needed_bytes.max(ATTRIBUTE_BYTES_MIN))?;
        Some(end & !UNIT.saturating_sub(1))
    }

    /// Where an attribute fork of `needed_bytes` starts: where it starts now, if they fit there.
    /// `None` if they fit nowhere.
    pub(crate) fn place(&self, needed_bytes: usize) -> Option<usize> {
        let stays = self.offset_bytes != 0
            && self.literal_bytes.saturating_sub(self.offset_bytes) >= needed_bytes;
        if stays {
            return Some(self.offset_bytes);
        }
        let highest = self.highest(needed_bytes)?;
        let lowest = self.lowest();
        let is_new = self.offset_bytes == 0 && lowest <= OFFSET_DEFAULT;
        let offset = if is_new { highest.min(OFFSET_DEFAULT) } else { highest };
        (offset >= lowest).then_some(offset)
    }

    /// Where an attribute fork that lists extents starts. `None` if there is no room for one.
    pub(crate) fn place_blocks(&self) -> Option<usize> {
        self.place(ATTRIBUTE_BYTES_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(offset_bytes: usize, data_format: ForkFormat, data_bytes: usize) -> Room {
        Room { literal_bytes: 336, offset_bytes, data_format, data_bytes }
    }

    /// Offsets that Linux 6.18 chose in inodes of 512 bytes.
    #[test]
    fn offsets_are_those_of_a_kernel() {
        let empty = |needed| room(0, ForkFormat::Extents, 0).place(needed);
        for (needed, expected) in
            [(109, 192), (144, 192), (149, 184), (209, 120), (259, 72), (272, 64), (280, 56)]
        {
            assert_eq!(empty(needed), Some(expected), "{needed}");
            let moved = room(192, ForkFormat::Extents, 0).place(needed);
            assert_eq!(moved, Some(expected), "{needed}");
        }
        assert_eq!(empty(281), None);
        assert_eq!(room(0, ForkFormat::Device, 8).place(90), Some(8));
        assert_eq!(room(8, ForkFormat::Device, 8).place(328), Some(8));
        assert_eq!(room(8, ForkFormat::Device, 8).place(329), None);
        assert_eq!(room(192, ForkFormat::Extents, 12 * 16).place(145), None);
    }

    #[test]
    fn the_data_fork_keeps_what_it_uses() {
        let place = |format, data_bytes, needed| room(0, format, data_bytes).place(needed);
        assert_eq!(place(ForkFormat::Extents, 13 * 16, 30), Some(296));
        assert_eq!(place(ForkFormat::Extents, 13 * 16, 128), Some(208));
        assert_eq!(place(ForkFormat::Extents, 13 * 16, 129), None);
        assert_eq!(place(ForkFormat::Extents, 19 * 16, 10), None);
        assert_eq!(place(ForkFormat::Local, 250, 40), Some(296));
        assert_eq!(place(ForkFormat::Local, 300, 11), None);
        assert_eq!(place(ForkFormat::Local, usize::MAX, 11), None);
        assert_eq!(room(296, ForkFormat::Local, 250).place_blocks(), Some(296));
        assert_eq!(room(0, ForkFormat::Local, 250).place_blocks(), Some(296));
        assert_eq!(room(320, ForkFormat::Local, 250).place_blocks(), Some(296));
    }
}
