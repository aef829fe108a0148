//! An address space of bytes, and the layers that can be stacked on it.
//!
//! A [`Disk`] is what file-system code reads; a [`DiskEdit`] is what it writes. The only `DiskEdit` that
//! remembers a write is [`overlay::Overlay`]: nothing here ever changes a target.

pub mod cache;
pub mod fault;
pub mod file;
pub mod fixed;
pub mod joined;
pub mod medium;
pub mod memory;
pub mod overlay;
#[cfg(test)]
pub(crate) mod testing;
pub mod window;

use crate::bytes::arith;
use crate::error::{Corrupt, Result};
use std::fmt::Debug;

/// The unit of the overlay and of a patch, in bytes: the smallest sector that any device has, and the unit
/// that a medium writes wholly or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Label of a structure that completes an edit: a superblock that points to trees which were written elsewhere. It has
/// sectors of its own in a patch, which come onto the target when all others are durable.
pub const COMPLETING_LABEL: &str = "superblock, written last";

/// A readable address space.
pub trait Disk: Debug + Send + Sync {
    /// Length in bytes.
    fn len_bytes(&self) -> u64;

    /// Size of a logical sector in bytes: 512 or 4096.
    fn sector_size_bytes(&self) -> u32;

    /// Fills `buffer` from `offset_bytes`.
    ///
    /// # Errors
    /// * `Corrupt` - the range ends behind the disk: only a pointer from a volume can ask for that.
    /// * `Io` - the host failed.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()>;

    /// Reads `len` bytes from `offset_bytes` into a new buffer. `len` must be bounded by the caller.
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    fn read_vec(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        check_range(self.len_bytes(), offset_bytes, len)?;
        let mut buffer = vec![0; len];
        self.read_at(offset_bytes, &mut buffer)?;
        Ok(buffer)
    }
}

/// An address space that believes it can be written.
pub trait DiskEdit: Disk {
    /// Stores `bytes` at `offset_bytes`. `what` names the structure for people, as in "inode 131" or
    /// "block bitmap of group 3": it becomes the label of the changed run in the patch. [`COMPLETING_LABEL`] is written last.
    ///
    /// # Errors
    /// * `Corrupt` - the range ends behind the disk.
    /// * `Io` - the base of the overlay could not be read.
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()>;
}

/// A pointer leads behind the end of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {offset_bytes:#x} end behind the disk of {disk_bytes} bytes")]
pub struct OutsideDisk {
    /// Start of the range.
    pub offset_bytes: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Length of the disk in bytes.
    pub disk_bytes: u64,
}

/// Checks that `len` bytes from `offset_bytes` lie inside a disk of `disk_bytes`.
///
/// # Errors
/// `Corrupt` with [`OutsideDisk`].
pub fn check_range(disk_bytes: u64, offset_bytes: u64, len: usize) -> Result<()> {
    let len = arith::len_u64(len);
    match offset_bytes.checked_add(len) {
        Some(end) if end <= disk_bytes => Ok(()),
        _ => Err(Corrupt::new("disk range", OutsideDisk { offset_bytes, len, disk_bytes }).into()),
    }
}
