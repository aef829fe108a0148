//! A mirror as a disk.

use crate::bytes::arith::{add, len_u64, sub, to};
use crate::disk::{Disk, DiskEdit, check_range};
use crate::error::{Corrupt, Error, Refusal, Result, VolumeObstacle};
use std::sync::Arc;

/// Bound on the bytes of each member that are compared at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// Where the copies of a mirror are. Made by [`assemble`](super::assemble).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorLayout {
    pub(super) len_bytes: u64,
    /// In the order of their roles; never empty.
    pub(super) copies: Vec<Copy>,
}

/// One copy of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    /// Index of the disk in what [`assemble`](super::assemble) was given.
    pub(super) disk: usize,
    pub(super) start_bytes: u64,
}

impl MirrorLayout {
    /// Size of the mirror in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The members that hold a copy: indices into what [`assemble`](super::assemble) was given. The disks for
    /// [`Mirror::new`] are those of these members, in this order.
    pub fn members(&self) -> Vec<usize> {
        self.copies.iter().map(|copy| copy.disk).collect()
    }
}

/// A mirror over the disks of its members: reads come from the first, writes go to all.
#[derive(Debug, Clone)]
pub struct Mirror {
    len_bytes: u64,
    /// Each with where its data start. Never empty.
    copies: Vec<(u64, Arc<dyn DiskEdit>)>,
}

impl Mirror {
    /// Lays `layout` over `disks`: those of its [`members`](MirrorLayout::members), in that order.
    ///
    /// # Errors
    /// * `Usage` - there are more or fewer disks than members.
    /// * `Corrupt` - a disk is shorter than its data.
    pub fn new(layout: &MirrorLayout, disks: Vec<Arc<dyn DiskEdit>>) -> Result<Self> {
        if layout.copies.len() != disks.len() || disks.is_empty() {
            let (wanted, given) = (layout.copies.len(), disks.len());
            return Err(Error::usage(format!("a mirror of {wanted} members, and {given} disks")));
        }
        for (copy, disk) in layout.copies.iter().zip(&disks) {
            check_range(disk.len_bytes(), add(copy.start_bytes, layout.len_bytes)?, 0)?;
        }
        let copies = layout.copies.iter().map(|copy| copy.start_bytes).zip(disks).collect();
        Ok(Self { len_bytes: layout.len_bytes, copies })
    }

    fn first(&self) -> Result<&(u64, Arc<dyn DiskEdit>)> {
        let none = || Corrupt::new("mirror", crate::bytes::arith::OutOfRange);
        self.copies.first().ok_or_else(|| none().into())
    }

    /// Refuses if the copies differ in `len` bytes from `offset_bytes`.
    fn compare(&self, offset_bytes: u64, len: usize) -> Result<()> {
        let (start_bytes, first) = self.first()?;
        let end = add(offset_bytes, len_u64(len))?;
        let mut at = offset_bytes;
        while at < end {
            let part: usize = to(sub(end, at)?.min(CHUNK_BYTES))?;
            let expected = first.read_vec(add(*start_bytes, at)?, part)?;
            for (start_bytes, other) in self.copies.iter().skip(1) {
                if other.read_vec(add(*start_bytes, at)?, part)? != expected {
                    let reason = format!("its copies differ in the {part} bytes at {at:#x}");
                    let (what, obstacle) = ("the RAID array".to_owned(), VolumeObstacle::OutOfSync);
                    return Err(Refusal::UnsuitableVolume { what, obstacle, reason }.into());
                }
            }
            at = add(at, len_u64(part))?;
        }
        Ok(())
    }
}

impl Disk for Mirror {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        let sizes = self.copies.iter().map(|(_, disk)| disk.sector_size_bytes());
        sizes.max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        let (start_bytes, first) = self.first()?;
        first.read_at(add(*start_bytes, offset_bytes)?, buffer)
    }
}

impl DiskEdit for Mirror {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, bytes.len())?;
        self.compare(offset_bytes, bytes.len())?;
        for (start_bytes, disk) in &self.copies {
            disk.write_at(add(*start_bytes, offset_bytes)?, bytes, what)?;
        }
        Ok(())
    }
}
