//! Entries of the logs that Windows writes since 8.1 (`HvLE`).

use super::super::base_block;
use super::super::defect::Defect;
use super::super::pages::SECTOR_BYTES;
use super::super::source::Source;
use super::marvin::{Marvin32, marvin32};
use crate::bytes::arith;
use crate::bytes::checksum;
use crate::bytes::field;
use crate::error::{Corrupt, Error, Result};

/// Bytes of an entry before its page references.
const HEADER_LEN: usize = 40;

/// [`HEADER_LEN`] as an offset.
const HEADER_BYTES: u32 = 40;

/// Bytes of a page reference.
const REFERENCE_BYTES: u32 = 8;

/// Bound on the pages of one entry: those of a hive of 2 GiB.
const ENTRY_PAGES_MAX: u32 = 524_288;

/// Bytes read at a time; a multiple of 8.
const PIECE_BYTES: u64 = 64 * 1024;

/// A run of the bins data, and where the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogPage {
    /// In the bins data.
    pub(super) offset: u32,
    pub(super) size: u32,
    /// In the log.
    pub(super) log_offset_bytes: u64,
}

/// An entry of a log: pages that change together.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Log entries". Little-endian,
/// at a multiple of 512 (WIN-89, WIN-90).
///
/// | offset | size  | spec                  | here       | valid when                                       |
/// |-------:|------:|-----------------------|------------|--------------------------------------------------|
/// |      0 |     4 | Signature             | (checked)  | `HvLE`                                           |
/// |      4 |     4 | Size                  | size_bytes | multiple of 512, inside the log                  |
/// |      8 |     4 | Flags                 | flags      | bit 0: transactions are pending                  |
/// |     12 |     4 | Sequence number       | sequence   | one more than that of the entry before           |
/// |     16 |     4 | Hive bins data size   | bins_bytes | multiple of 4096                                 |
/// |     20 |     4 | Dirty pages count     | (pages)    | references and pages fit the entry               |
/// |     24 |     8 | Hash-1                | (checked)  | Marvin32 of the bytes from 40 to the end         |
/// |     32 |     8 | Hash-2                | (checked)  | Marvin32 of the bytes 0 to 31                    |
/// |     40 | 8 * n | Page references       | pages      | offset u32 in the bins data, size u32            |
/// |    ... |   ... | Pages                 | (in place) | one after the other                              |
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) size_bytes: u32,
    pub(super) flags: u32,
    pub(super) sequence: u32,
    pub(super) bins_bytes: u32,
    pub(super) pages: Vec<LogPage>,
}

/// The sequence number of the entry that starts with `header`, if it is the header of an entry.
///
/// # Errors
/// `Corrupt` - `header` is shorter than 40 bytes.
pub(super) fn header_sequence(header: &[u8]) -> Result<Option<u32>> {
    let hash = field::le_u64(header, 32)?;
    let agrees = checksum::agrees(hash, marvin32(field::slice(header, 0, 32)?));
    let is_header = field::slice(header, 0, 4)? == b"HvLE" && agrees;
    Ok(if is_header { Some(field::le_u32(header, 12)?) } else { None })
}

impl Entry {
    /// Reads the entry at `at`. `None` where the log ends: no entry is there, or not all of it arrived.
    ///
    /// # Errors
    /// * `Corrupt` - the hashes are right, but the pages are not: no interrupted write does that.
    /// * `Limit` - more pages than a hive has.
    pub(super) fn read(log: &dyn Source, at: u64) -> Result<Option<Self>> {
        let log_bytes = log.len_bytes();
        if at.saturating_add(HEADER_BYTES.into()) > log_bytes {
            return Ok(None);
        }
        let header = log.read_at(at, HEADER_LEN)?;
        let Some(sequence) = header_sequence(&header)? else { return Ok(None) };
        let size_bytes = field::le_u32(&header, 4)?;
        let bins_bytes = field::le_u32(&header, 16)?;
        let is_placed = size_bytes >= SECTOR_BYTES
            && size_bytes.is_multiple_of(SECTOR_BYTES)
            && at.saturating_add(size_bytes.into()) <= log_bytes;
        if !is_placed || !base_block::is_bins_size(bins_bytes) {
            return Ok(None);
        }
        let computed = hash_of_rest(log, at, size_bytes)?;
        if !checksum::agrees(field::le_u64(&header, 24)?, computed) {
            return Ok(None);
        }
        let count = field::le_u32(&header, 20)?;
        let mut entry = Self {
            size_bytes,
            flags: field::le_u32(&header, 8)?,
            sequence,
            bins_bytes,
            pages: Vec::new(),
        };
        entry.read_pages(log, at, count)?;
        Ok(Some(entry))
    }

    fn read_pages(&mut self, log: &dyn Source, at: u64, count: u32) -> Result<()> {
        if count > ENTRY_PAGES_MAX {
            let (limit, actual) = (ENTRY_PAGES_MAX.into(), count.into());
            return Err(Error::limit("pages of a log entry", limit, actual));
        }
        let references_bytes = arith::mul(count.into(), REFERENCE_BYTES.into())?;
        let start = arith::add(HEADER_BYTES.into(), references_bytes)?;
        let overflow = |page_bytes| {
            let entry_bytes = self.size_bytes;
            broken(at, Defect::LogPages { pages: count, page_bytes, entry_bytes })
        };
        if start > self.size_bytes.into() {
            return Err(overflow(0));
        }
        let mut pages = Vec::new();
        let mut next = start;
        for_pieces(log, arith::add(at, HEADER_BYTES.into())?, references_bytes, |piece| {
            for reference in piece.chunks_exact(8) {
                let offset = field::le_u32(reference, 0)?;
                let size = field::le_u32(reference, 4)?;
                self.check_page(at, offset, size)?;
                pages.push(LogPage { offset, size, log_offset_bytes: arith::add(at, next)? });
                next = arith::add(next, size.into())?;
                if next > self.size_bytes.into() {
                    return Err(overflow(arith::sub(next, start)?));
                }
            }
            Ok(())
        })?;
        self.pages = pages;
        Ok(())
    }

    fn check_page(&self, at: u64, offset: u32, size: u32) -> Result<()> {
        let is_placed = size != 0
            && size.is_multiple_of(SECTOR_BYTES)
            && offset.is_multiple_of(SECTOR_BYTES)
            && u64::from(offset).saturating_add(size.into()) <= self.bins_bytes.into();
        if is_placed {
            return Ok(());
        }
        Err(broken(at, Defect::LogPage { offset, size, bins_bytes: self.bins_bytes }))
    }
}

fn broken(at: u64, defect: Defect) -> Error {
    Corrupt::new("log entry", defect).at(at).into()
}

/// Hash-1: from the first reference to the end of the entry.
fn hash_of_rest(log: &dyn Source, at: u64, size_bytes: u32) -> Result<u64> {
    let mut hash = Marvin32::new();
    // The size is a multiple of 512 and the header of 4, so nothing is left over.
    let len = u64::from(size_bytes.saturating_sub(HEADER_BYTES));
    for_pieces(log, arith::add(at, HEADER_BYTES.into())?, len, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok(hash.finish(&[]))
}

/// Hands `len` bytes from `at` over in pieces of [`PIECE_BYTES`], the last one shorter.
pub(super) fn for_pieces(
    log: &dyn Source,
    at: u64,
    len: u64,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let end = arith::add(at, len)?;
    let mut at = at;
    // Each round takes at least one byte.
    while at < end {
        let size = arith::sub(end, at)?.min(PIECE_BYTES);
        take(&log.read_at(at, arith::to(size)?)?)?;
        at = arith::add(at, size)?;
    }
    Ok(())
}
