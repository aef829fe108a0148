//! Reading the disk of the guest through a block map.

use super::{BlockMap, Source};
use crate::disk::Disk;
use crate::disk::cache::Cache;
use crate::error::Result;
use std::sync::Arc;

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
        let tables = Cache::new(file.clone());
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
