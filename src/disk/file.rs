//! A host file or block device, read with positioned reads and counted.

use super::{Disk, check_range};
use crate::bytes::arith::len_u64;
use crate::error::Result;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open host file as a [`Disk`]. Opening and measuring it is the work of `image`.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
    len_bytes: u64,
    sector_size_bytes: u32,
    bytes_read: AtomicU64,
}

impl FileDisk {
    /// Wraps `file`, whose length and logical sector size the caller has found out.
    pub fn new(file: File, len_bytes: u64, sector_size_bytes: u32) -> Self {
        Self { file, len_bytes, sector_size_bytes, bytes_read: AtomicU64::new(0) }
    }

    /// Bytes read from the host so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Disk for FileDisk {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        self.sector_size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        self.file.read_exact_at(buffer, offset_bytes)?;
        self.bytes_read.fetch_add(len_u64(buffer.len()), Ordering::Relaxed);
        Ok(())
    }
}
