//! Stream-optimized extents: compressed grains, one behind the other, for reading.
//!
//! Source: "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents". The tables are as in other
//! sparse extents, but come after the grains; a directory at sector 2^64 - 1 means that another header, the footer,
//! tells where it is. It is the last sector but one of the file, behind its marker and before the end-of-stream marker.
//!
//! An entry of a grain table leads to:
//!
//! | offset | size | specification | here      | valid when                                                          |
//! |-------:|-----:|---------------|-----------|---------------------------------------------------------------------|
//! |      0 |    8 | lba           | (checked) | the sector of the guest with which the grain begins                 |
//! |      8 |    4 | cmpSize       | length    | at most [`PACKED_BYTES_MAX`] more than the grain                    |
//! |     12 |      | data          | grain     | a zlib stream (RFC 1950) of one grain, or of what the disk has of it |

use super::super::block_map::{BlockMap as _, Place, Source};
use super::extent_header::ExtentHeader;
use super::sparse::SparseMap;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::cache::{CACHE_PAGES_MAX, Cache};
use crate::disk::{Disk, check_range};
use crate::error::{Corrupt, Error, Result};
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How much longer than itself a grain may be when it is compressed, in bytes.
const PACKED_BYTES_MAX: u64 = 64 * 1024;

/// Bound on the grains in memory, in bytes, for all extents together. When they are more, all of them are forgotten.
const CACHE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Pages of tables that are kept of each extent at least.
const CACHE_PAGES_MIN: usize = 8;

/// Bound on the size of a grain in bytes.
const GRAIN_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a compressed grain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PackedDefect {
    #[error("the grain of sector {found} is where that of sector {wanted} should be")]
    OtherGrain { wanted: u64, found: u64 },
    #[error("{0} bytes when compressed")]
    Size(u32),
    #[error("the zlib stream is damaged or too long")]
    Stream,
    #[error("it has {len} bytes of {wanted}")]
    Short { len: u64, wanted: u64 },
}

/// The disk of the guest in a stream-optimized extent.
#[derive(Debug)]
pub(super) struct StreamDisk {
    map: SparseMap,
    file: Arc<dyn Disk>,
    tables: Cache,
    grain_bytes: u64,
    cache_bytes_max: u64,
    grains: Mutex<HashMap<u64, Vec<u8>>>,
}

impl StreamDisk {
    /// Opens the extent in `file`, whose first header is `header`: one of `count`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Limit` if grains are too large.
    pub(super) fn one_of(count: usize, header: &ExtentHeader, file: Arc<dyn Disk>) -> Result<Self> {
        let header = header.with_footer(&file)?;
        let grain_bytes = header.grain_bytes()?;
        if grain_bytes > GRAIN_BYTES_MAX {
            return Err(Error::limit("size of a compressed grain", GRAIN_BYTES_MAX, grain_bytes));
        }
        let pages_max = arith::div(len_u64(CACHE_PAGES_MAX), len_u64(count))?;
        let pages_max = arith::to::<_, usize>(pages_max)?.max(CACHE_PAGES_MIN);
        let tables = Cache::with_pages_max(file.clone(), pages_max);
        let cache_bytes_max = arith::div(CACHE_BYTES_MAX, len_u64(count))?;
        let map = SparseMap::compressed(header)?;
        let grains = Mutex::new(HashMap::new());
        Ok(Self { map, file, tables, grain_bytes, cache_bytes_max, grains })
    }

    /// Reads bytes of one grain.
    fn read_grain(&self, grain: u64, inside: usize, buffer: &mut [u8]) -> Result<()> {
        let mut grains = self.grains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = grains.get(&grain) {
            buffer.copy_from_slice(field::slice(bytes, inside, buffer.len())?);
            return Ok(());
        }
        let start = arith::mul(grain, self.grain_bytes)?;
        let Place::At(at) = self.map.locate(&self.tables, start)?.place else {
            buffer.fill(0);
            return Ok(());
        };
        let bytes = self.unpack(start, at)?;
        buffer.copy_from_slice(field::slice(&bytes, inside, buffer.len())?);
        let kept = arith::mul(len_u64(grains.len()), self.grain_bytes)?;
        if arith::add(kept, self.grain_bytes)? > self.cache_bytes_max {
            grains.clear();
        }
        // One of many extents may have no room for a single grain.
        if self.grain_bytes <= self.cache_bytes_max {
            grains.insert(grain, bytes);
        }
        Ok(())
    }

    /// The grain at `at` of the file, which is that at `start` of the guest.
    fn unpack(&self, start: u64, at: u64) -> Result<Vec<u8>> {
        let corrupt = |defect| Error::from(Corrupt::new("VMDK compressed grain", defect).at(at));
        let head = self.file.read_vec(at, 12)?;
        let (found, wanted) = (field::le_u64(&head, 0)?, arith::div(start, 512)?);
        if found != wanted {
            return Err(corrupt(PackedDefect::OtherGrain { wanted, found }));
        }
        let size = field::le_u32(&head, 8)?;
        if size == 0 || u64::from(size) > arith::add(self.grain_bytes, PACKED_BYTES_MAX)? {
            return Err(corrupt(PackedDefect::Size(size)));
        }
        let packed = self.file.read_vec(arith::add(at, 12)?, arith::to(size)?)?;
        let limit = arith::to(self.grain_bytes)?;
        let bytes = decompress_to_vec_zlib_with_limit(&packed, limit)
            .map_err(|_| corrupt(PackedDefect::Stream))?;
        let wanted = arith::sub(self.map.disk_bytes(), start)?.min(self.grain_bytes);
        let len = len_u64(bytes.len());
        if len < wanted { Err(corrupt(PackedDefect::Short { len, wanted })) } else { Ok(bytes) }
    }
}

impl Disk for StreamDisk {
    fn len_bytes(&self) -> u64 {
        self.map.disk_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let mut offset = offset_bytes;
        let mut rest = buffer;
        while !rest.is_empty() {
            let inside = arith::rem(offset, self.grain_bytes)?;
            let room: usize = arith::to(arith::sub(self.grain_bytes, inside)?)?;
            let (head, tail) = rest.split_at_mut(room.min(rest.len()));
            self.read_grain(arith::div(offset, self.grain_bytes)?, arith::to(inside)?, head)?;
            offset = arith::add(offset, len_u64(head.len()))?;
            rest = tail;
        }
        Ok(())
    }
}

/// Where the footer is: the last sector but one.
pub(super) fn footer_offset(source: &dyn Source) -> Result<u64> {
    Ok(arith::sub(source.len_bytes(), 1024)?)
}
