//! Logs of the format before Windows 8.1 (`DIRT`): one bitmap of 512-byte pages, and the pages.

use super::super::base_block::{self, BaseBlock};
use super::super::defect::Defect;
use super::super::pages::{LogSector, Pages, SECTOR_BYTES};
use super::super::source::Source;
use super::entry::for_pieces;
use super::{ENTRIES_AT, Replay, TYPES_OLD, read_base};
use crate::bytes::arith;
use crate::bytes::field;
use crate::error::{Corrupt, Result};

/// Length of the signature before the bitmap, in bytes.
const SIGNATURE_BYTES: u64 = 4;

/// Replays the one log that applies (WIN-95).
///
/// Document: "Windows registry file format specification" (M. Suhanov), sections "Old format", "Dirty vector",
/// "Dirty pages". A log applies if its base block has the time of the hive's, and the sequence number that a
/// writer gives it: the hive's new one since Vista, the old one before. The choice between two logs that both
/// apply differs from Windows to Windows, so they are refused.
///
/// # Errors
/// * `Refused` - no log applies, or two do.
/// * `Corrupt` - the log is too short for its pages.
pub(super) fn replay(pages: &mut Pages<'_>, base: &BaseBlock) -> Result<Replay> {
    let mut applying = Vec::new();
    for (log_index, log) in pages.logs().iter().enumerate() {
        let Some(log_base) = read_base(&**log)? else { continue };
        let is_number = [base.primary, base.secondary].contains(&log_base.primary);
        if TYPES_OLD.contains(&log_base.file_type)
            && log_base.primary == log_base.secondary
            && log_base.last_written == base.last_written
            && is_number
        {
            if log_base.bins_bytes != base.bins_bytes {
                return Err(base_block::dirty("its log is of a hive of another size"));
            }
            applying.push(log_index);
        }
    }
    match applying.as_slice() {
        [] => Err(base_block::dirty("none of the hive's logs applies")),
        [log_index] => apply(pages, base, *log_index),
        _ => Err(base_block::dirty("two logs of the old format apply")),
    }
}

/// | offset in the log | size           | spec        | valid when                                          |
/// |------------------:|---------------:|-------------|-----------------------------------------------------|
/// |               512 |              4 | Signature   | `DIRT`                                              |
/// |               516 | bins / 512 / 8 | Bitmap      | lowest bit first: the page of that number follows   |
/// |  next mult. of 512 | 512 each       | Dirty pages | one for each bit that is set, in their order        |
fn apply(pages: &mut Pages<'_>, base: &BaseBlock, log_index: usize) -> Result<Replay> {
    let (sectors, count) = match pages.logs().get(log_index) {
        Some(log) => read_vector(&**log, base.bins_bytes)?,
        None => (Vec::new(), 0),
    };
    for (sector, offset_bytes) in sectors {
        pages.replay(sector, LogSector { log_index, offset_bytes });
    }
    Ok(Replay { entries: 1, pages: count, last_sequence: base.primary })
}

/// The pages of the bitmap with their places in the log, and their number.
fn read_vector(log: &dyn Source, bins_bytes: u32) -> Result<(Vec<(u32, u64)>, u64)> {
    let bitmap_bytes = u64::from(bins_bytes.div_euclid(SECTOR_BYTES).div_euclid(8));
    let vector_bytes =
        arith::round_up(arith::add(SIGNATURE_BYTES, bitmap_bytes)?, SECTOR_BYTES.into())?;
    let start = arith::add(ENTRIES_AT, vector_bytes)?;
    if start > log.len_bytes() {
        return Err(too_short(0, vector_bytes, log));
    }
    let found: [u8; 4] = field::array(&log.read_at(ENTRIES_AT, 4)?, 0)?;
    if &found != b"DIRT" {
        let defect = Defect::Signature { expected: "DIRT", found };
        return Err(Corrupt::new("dirty vector", defect).at(ENTRIES_AT).into());
    }
    let mut sectors = Vec::new();
    let mut sector = 0u32;
    let mut next = start;
    for_pieces(log, arith::add(ENTRIES_AT, SIGNATURE_BYTES)?, bitmap_bytes, |piece| {
        for byte in piece {
            for bit in 0..8u32 {
                if u32::from(*byte).wrapping_shr(bit) & 1 == 1 {
                    sectors.push((sector, next));
                    next = arith::add(next, SECTOR_BYTES.into())?;
                }
                sector = sector.saturating_add(1);
            }
        }
        Ok(())
    })?;
    let count = arith::len_u64(sectors.len());
    if next > log.len_bytes() {
        return Err(too_short(count, arith::sub(next, start)?, log));
    }
    Ok((sectors, count))
}

fn too_short(pages: u64, page_bytes: u64, log: &dyn Source) -> crate::error::Error {
    let log_bytes = log.len_bytes();
    Corrupt::new("dirty vector", Defect::LogShort { pages, page_bytes, log_bytes })
        .at(ENTRIES_AT)
        .into()
}
