//! A disk that is only read, where something that could be written is asked for.

use super::{Disk, DiskEdit};
use crate::error::Result;
use std::io;
use std::sync::Arc;

/// A [`DiskEdit`] that takes no write: the bottom of a stack over which an overlay is laid.
#[derive(Debug, Clone)]
pub struct Fixed(Arc<dyn Disk>);

impl Fixed {
    /// Makes a bottom of `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self(disk)
    }
}

impl Disk for Fixed {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        self.0.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset_bytes, buffer)
    }
}

impl DiskEdit for Fixed {
    /// # Errors
    /// Always `Io`: whoever calls this has passed by the overlay.
    fn write_at(&self, offset_bytes: u64, _bytes: &[u8], what: &str) -> Result<()> {
        let text = format!("{what} at {offset_bytes:#x} was to be written below the overlay");
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, text).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    #[test]
    fn is_read_and_never_written() {
        let fixed = Fixed::new(Arc::new(MemoryDisk::new(vec![7; 1024])));
        assert_eq!(fixed.read_vec(512, 2).unwrap(), [7, 7]);
        let error = fixed.write_at(0, b"x", "superblock").unwrap_err();
        assert_eq!(error.kind_name(), "io");
        assert!(error.to_string().contains("superblock at 0x0"), "{error}");
        assert_eq!(fixed.read_vec(0, 1).unwrap(), [7]);
    }
}
