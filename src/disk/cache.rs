//! A read-through cache of aligned pages, so that many small reads become few large ones.
//!
//! File-system readers ask for descriptors of 64 bytes and checkers read the same blocks again; the host is
//! asked once per page. The cache never holds more than [`CACHE_PAGES_MAX`] pages, or the number it was given, and forgets all of them
//! when it is full: an edit touches far fewer, and anything cleverer would cost more than it saves.

use super::{Disk, check_range};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Size of a page in bytes: one block of nearly every file system.
const PAGE_BYTES: u64 = 4096;

/// Bound on the cached pages, unless another is given: 4 MiB.
pub const CACHE_PAGES_MAX: usize = 1024;

/// Reads of at least this many bytes pass by the cache.
const LARGE_READ_BYTES: usize = 64 * 1024;

/// A [`Disk`] behind a page cache.
#[derive(Debug)]
pub struct Cache {
    disk: Arc<dyn Disk>,
    pages: Mutex<HashMap<u64, Box<[u8]>>>,
    pages_max: usize,
}

impl Cache {
    /// Caches reads of `disk`, which must not change meanwhile.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self::with_pages_max(disk, CACHE_PAGES_MAX)
    }

    /// As [`Cache::new`], with another bound on the pages of 4 KiB: for one of many caches.
    pub fn with_pages_max(disk: Arc<dyn Disk>, pages_max: usize) -> Self {
        Self { disk, pages: Mutex::new(HashMap::new()), pages_max }
    }

    fn load_page(&self, page_index: u64) -> Result<Box<[u8]>> {
        let start = arith::mul(page_index, PAGE_BYTES)?;
        let len = PAGE_BYTES.min(arith::sub(self.disk.len_bytes(), start)?);
        Ok(self.disk.read_vec(start, arith::to(len)?)?.into_boxed_slice())
    }

    fn read_page(&self, page_index: u64, from: usize, buffer: &mut [u8]) -> Result<()> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= self.pages_max && !pages.contains_key(&page_index) {
            pages.clear();
        }
        let page = match pages.entry(page_index) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(self.load_page(page_index)?)
            }
        };
        buffer.copy_from_slice(field::slice(page, from, buffer.len())?);
        Ok(())
    }
}

impl Disk for Cache {
    fn len_bytes(&self) -> u64 {
        self.disk.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        self.disk.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        if buffer.len() >= LARGE_READ_BYTES {
            return self.disk.read_at(offset_bytes, buffer);
        }
        let mut offset = offset_bytes;
        let mut rest = buffer;
        while !rest.is_empty() {
            let from = arith::rem(offset, PAGE_BYTES)?;
            let room: usize = arith::to(arith::sub(PAGE_BYTES, from)?)?;
            let (head, tail) = rest.split_at_mut(room.min(rest.len()));
            self.read_page(arith::div(offset, PAGE_BYTES)?, arith::to(from)?, head)?;
            offset = arith::add(offset, len_u64(head.len()))?;
            rest = tail;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    #[test]
    fn reads_across_pages_and_at_the_odd_end() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
        let cache = Cache::new(Arc::new(MemoryDisk::new(bytes.clone())));
        for (offset, len) in [(0, 10), (4090, 20), (9990, 10), (100, 9000), (4096, 4096)] {
            assert_eq!(cache.read_vec(offset as u64, len).unwrap(), bytes[offset..offset + len]);
        }
        assert!(cache.read_vec(9999, 2).is_err());
    }

    #[test]
    fn no_more_pages_are_kept_than_asked_for() {
        let cache = Cache::with_pages_max(Arc::new(MemoryDisk::new(vec![7; 100_000])), 3);
        for page in 0..20 {
            assert_eq!(cache.read_vec(page * 4096 + 5, 1).unwrap(), [7]);
            assert!(cache.pages.lock().unwrap().len() <= 3);
        }
    }
}
