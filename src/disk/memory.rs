//! A disk in memory: for the demo, for tests, and for reading structures that were already loaded.

use super::{Disk, check_range};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;

/// Bytes in memory as a [`Disk`] with 512-byte sectors.
#[derive(Debug, Clone)]
pub struct MemoryDisk(Vec<u8>);

impl MemoryDisk {
    /// Takes `bytes` as the content of the disk.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Disk for MemoryDisk {
    fn len_bytes(&self) -> u64 {
        len_u64(self.0.len())
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let start = arith::to(offset_bytes)?;
        buffer.copy_from_slice(field::slice(&self.0, start, buffer.len())?);
        Ok(())
    }
}
