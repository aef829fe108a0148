//! Reading the disk of the guest through a block map.

use super::{BlockMap, Source};
use crate::disk::Disk;
use crate::disk::cache::{CACHE_PAGES_MAX, Cache};
use crate::error::Result;
use std::sync::Arc;

/// Pages of tables that are kept of each file at least: a page of a sparse VMDK leads to 64 MiB of the guest.
const CACHE_PAGES_MIN: usize = 8;

/// The disk of the guest in a file that is open for reading.
#[derive(Debug)]
pub(crate) struct MappedDisk<M> {
    map: M,
    file: Arc<dyn Disk>,
    /// The same file, for the tables: they are read in small pieces, and again and again.
    tables: Cache,
}

impl<M: BlockMap> MappedDisk<M> {
    /// Reads `file` through `map`.
    pub(crate) fn new(map: M, file: Arc<dyn Disk>) -> Self {
        Self::one_of(1, map, file)
    }

    /// As [`MappedDisk::new`] for one of `count` files, which share the memory for tables.
    pub(crate) fn one_of(count: usize, map: M, file: Arc<dyn Disk>) -> Self {
        let pages_max = CACHE_PAGES_MAX.checked_div(count).unwrap_or(0).max(CACHE_PAGES_MIN);
        let tables = Cache::with_pages_max(file.clone(), pages_max);
        Self { map, file, tables }
    }
}

impl<M: BlockMap> Disk for MappedDisk<M> {
    fn len_bytes(&self) -> u64 {
        self.map.disk_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        self.map.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let data: &dyn Source = &self.file;
        super::read(&self.map, &self.tables, data, offset_bytes, buffer)
    }
}
