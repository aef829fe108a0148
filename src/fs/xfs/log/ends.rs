//! Head and tail: where the log ends, and where what is still needed begins.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log". Every block carries the
//! number of the cycle that wrote it; the head is where that number falls. The kernel has several
//! records in flight at once, so behind a crash
//!
//! * blocks before the fall may be older (a record that never arrived, with later ones behind it),
//! * the last records may be torn: their checksum is wrong.
//!
//! The head is then the end of the last record before which everything is whole. What was measured:
//! a log that was never filled has cycle 0 behind its head, in blocks of zeros or (after a recovery)
//! in empty records.

use super::blocks::{LogBlocks, backward, forward, read_around};
use super::record::{LOG_BLOCK_BYTES, RECORD_BYTES_MAX, RecordFormat, RecordHeader};
use super::record::{cycle_of, is_header};
use super::{LogDefect, operation};
use crate::bytes::field::join_u32;
use crate::error::{Corrupt, Error, Refusal, Result};
use crate::fs::xfs::units::Lsn;

/// Records that the kernel has in flight at once.
const IN_FLIGHT: u32 = 8;
/// Blocks that they can take, with their headers.
pub(super) const WINDOW_BLOCKS: u32 = IN_FLIGHT * RECORD_BLOCKS_MAX;
/// Blocks of the largest record with its header.
const RECORD_BLOCKS_MAX: u32 = RECORD_BYTES_MAX / 512 + 8;
/// Blocks that are read at once when looking for a header: those of a record of the usual size.
const BACKWARD_BLOCKS: u32 = 65;
/// Blocks that are read at once when looking at their cycles.
const STEP_BLOCKS: u32 = 1024;

/// The ends of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Where the next record would go, with the cycle it would have.
    pub(crate) head: Lsn,
    /// The first record that is still needed; the head if none is.
    pub(crate) tail: Lsn,
    /// The last record says that the file system was unmounted.
    pub(crate) is_clean: bool,
    /// The last whole record; `None` in a log that was zeroed.
    pub(crate) last: Option<Lsn>,
}

/// What identifies the records of this file system: its UUID, and that of its structures.
pub(crate) type LogUuids = [[u8; 16]; 2];

/// A defect of the record at `block`; the offset is that in the log.
pub(super) fn defect(defect: LogDefect, block: u32) -> Error {
    let offset = u64::from(block).saturating_mul(512);
    Corrupt::new("record in the log", defect).at(offset).into()
}

/// Finds the ends of the log.
///
/// # Errors
/// * `Corrupt` - cycles that make no sense, no whole record before the head, a tail outside.
/// * `Refused` - dirty, and written by a host of the other byte order.
/// * `Io`.
pub(super) fn find(log: &dyn LogBlocks, uuids: &LogUuids) -> Result<Ends> {
    let Some(fall) = Fall::find(log)? else {
        let head = Lsn(join_u32(1, 0));
        return Ok(Ends { head, tail: head, is_clean: true, last: None });
    };
    if let Some(ends) = fall.unmounted(log, uuids)? {
        return Ok(ends);
    }
    let boundary = fall.whole_until(log)?;
    let record = last_record(log, boundary, uuids)?;
    let header = record.header;
    let head = position_behind(log, header.lsn, header.blocks());
    let is_clean = is_unmount(&record)?;
    let tail = if is_clean { head } else { header.tail };
    if !is_clean {
        check_format(&header)?;
        check_tail(log, tail, header.lsn)?;
    }
    Ok(Ends { head, tail, is_clean, last: Some(header.lsn) })
}

/// Refuses what this host cannot read.
pub(super) fn check_format(header: &RecordHeader) -> Result<()> {
    if header.format == RecordFormat::LittleEndian {
        return Ok(());
    }
    let detail = "it was written by a big-endian host".to_owned();
    Err(Refusal::DirtyLog { detail }.into())
}

/// The position `blocks` behind `lsn`, in the next cycle if that is around the end.
pub(super) fn position_behind(log: &dyn LogBlocks, lsn: Lsn, blocks: u32) -> Lsn {
    let block = forward(log, lsn.block(), blocks);
    let wraps = u32::from(block < lsn.block());
    Lsn(join_u32(lsn.cycle().saturating_add(wraps), block))
}

fn check_tail(log: &dyn LogBlocks, tail: Lsn, last: Lsn) -> Result<()> {
    let (cycle, last_cycle) = (tail.cycle(), last.cycle());
    let is_before = tail <= last;
    let is_one_round = cycle == last_cycle
        || (cycle.checked_add(1) == Some(last_cycle) && tail.block() > last.block());
    if is_before && is_one_round && tail.block() < log.block_count() {
        return Ok(());
    }
    Err(defect(LogDefect::Tail { tail: tail.0, record: last.0 }, last.block()))
}

/// The cycle that `block` was written in.
fn cycle_at(log: &dyn LogBlocks, block: u32) -> Result<u32> {
    cycle_of(&log.read(block, 1)?).map_err(|short| defect(short.into(), block))
}

/// Where the cycle falls.
struct Fall {
    /// From 1 to the number of blocks.
    block: u32,
    /// Cycle of the last block of the log.
    last: u32,
    /// True if that is the cycle of the first block, too.
    is_level: bool,
}

impl Fall {
    /// `None` in a log of zeros.
    fn find(log: &dyn LogBlocks) -> Result<Option<Self>> {
        let count = log.block_count();
        let end = count.saturating_sub(1);
        let (first, last) = (cycle_at(log, 0)?, cycle_at(log, end)?);
        // Two, if what was in flight reached around the end and left a hole there.
        match first.checked_sub(last) {
            Some(0) if first == 0 => Ok(None),
            Some(0) => Ok(Some(Self { block: count, last, is_level: true })),
            Some(1 | 2) => {
                let block = binary_search(log, last, end)?;
                Ok(Some(Self { block, last, is_level: false }))
            }
            _ => Err(cycles(first, last)),
        }
    }

    /// The ends of a log that an unmount ended here: nothing was in flight, so nothing else needs to
    /// be looked at.
    fn unmounted(&self, log: &dyn LogBlocks, uuids: &LogUuids) -> Result<Option<Ends>> {
        let limit = RECORD_BLOCKS_MAX.min(log.block_count());
        let Some(distance) = header_before(log, self.block, limit)? else { return Ok(None) };
        let start = backward(log, self.block, distance);
        let Ok(record) = read_record(log, start, uuids) else { return Ok(None) };
        if record.header.blocks() != distance || !is_unmount(&record)? {
            return Ok(None);
        }
        let head = position_behind(log, record.header.lsn, distance);
        Ok(Some(Ends { head, tail: head, is_clean: true, last: Some(record.header.lsn) }))
    }

    /// The first block before the fall that should have been written and was not; else the fall.
    fn whole_until(&self, log: &dyn LogBlocks) -> Result<u32> {
        let count = log.block_count();
        // What was in flight may reach around the end of the log.
        let around = WINDOW_BLOCKS.saturating_sub(if self.is_level { 0 } else { self.block });
        if let Some(before_last) = self.last.checked_sub(1) {
            let start = count.saturating_sub(around);
            let start = if self.is_level { start } else { start.max(self.block) };
            if let Some(hole) = find_cycle(log, start, count, before_last)? {
                return Ok(hole);
            }
        }
        if self.is_level {
            return Ok(self.block);
        }
        let start = self.block.saturating_sub(WINDOW_BLOCKS);
        Ok(find_cycle(log, start, self.block, self.last)?.unwrap_or(self.block))
    }
}

fn cycles(first: u32, last: u32) -> Error {
    defect(LogDefect::Cycles { first, last }, 0)
}

/// The first block of cycle `older`, which the block `end` is known to have and block 0 is not.
fn binary_search(log: &dyn LogBlocks, older: u32, end: u32) -> Result<u32> {
    let (mut low, mut high) = (0u32, end);
    // Halved at most 32 times.
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        if cycle_at(log, middle)? == older {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// The first block of `cycle` in `start..end`.
fn find_cycle(log: &dyn LogBlocks, start: u32, end: u32, cycle: u32) -> Result<Option<u32>> {
    let mut at = start;
    while at < end {
        let count = end.saturating_sub(at).min(STEP_BLOCKS);
        let bytes = log.read(at, count)?;
        let found = bytes.chunks(LOG_BLOCK_BYTES).position(|block| cycle_of(block) == Ok(cycle));
        if let Some(index) = found.and_then(|index| u32::try_from(index).ok()) {
            return Ok(Some(at.saturating_add(index)));
        }
        at = at.saturating_add(count);
    }
    Ok(None)
}

/// A whole record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) header: RecordHeader,
    pub(super) data: Vec<u8>,
}

/// Reads and checks the record that starts at `block`.
pub(super) fn read_record(log: &dyn LogBlocks, block: u32, uuids: &LogUuids) -> Result<Record> {
    let at = |wrong: LogDefect| defect(wrong, block);
    let header = RecordHeader::parse(&log.read(block, 1)?).map_err(at)?;
    if header.lsn.block() != block {
        return Err(at(LogDefect::RecordPlace { lsn: header.lsn.0 }));
    }
    if !uuids.contains(&header.uuid) {
        return Err(at(LogDefect::Uuid));
    }
    if header.blocks() > log.block_count() {
        let data_bytes = header.data_bytes;
        return Err(at(LogDefect::RecordLength { data_bytes, buffer_bytes: 0 }));
    }
    let bytes = read_around(log, block, header.blocks())?;
    header.verify(&bytes).map_err(at)?;
    Ok(Record { header, data: header.unpack(&bytes).map_err(at)? })
}

/// The last record that is whole, with everything before it whole as well.
fn last_record(log: &dyn LogBlocks, boundary: u32, uuids: &LogUuids) -> Result<Record> {
    let mut last: Option<Record> = None;
    for start in records_before(log, boundary)? {
        let record = match (read_record(log, start, uuids), &last) {
            (Ok(record), None) => record,
            (Ok(record), Some(before)) => {
                let expected = position_behind(log, before.header.lsn, before.header.blocks());
                if record.header.lsn != expected {
                    break;
                }
                record
            }
            (Err(_), Some(_)) => break,
            (Err(error), None) => return Err(error),
        };
        last = Some(record);
    }
    last.ok_or_else(|| defect(LogDefect::NoRecord, boundary.saturating_sub(1)))
}

/// Where the last records before `boundary` start, ascending: one more than can be torn. The first
/// record of a log has none before it.
fn records_before(log: &dyn LogBlocks, boundary: u32) -> Result<Vec<u32>> {
    let mut starts = Vec::new();
    let mut end = boundary;
    let mut left = log.block_count();
    for _ in 0..=IN_FLIGHT {
        let Some(distance) = header_before(log, end, left.min(RECORD_BLOCKS_MAX))? else { break };
        left = left.saturating_sub(distance);
        end = backward(log, end, distance);
        starts.push(end);
    }
    starts.reverse();
    Ok(starts)
}

/// How far before `end` the next header is; `None` if there is none in `limit` blocks.
fn header_before(log: &dyn LogBlocks, end: u32, limit: u32) -> Result<Option<u32>> {
    let mut distance = 0u32;
    while distance < limit {
        let count = limit.saturating_sub(distance).min(BACKWARD_BLOCKS);
        distance = distance.saturating_add(count);
        let bytes = read_around(log, backward(log, end, distance), count)?;
        let found = bytes.chunks(LOG_BLOCK_BYTES).rposition(is_header);
        if let Some(index) = found.and_then(|index| u32::try_from(index).ok()) {
            return Ok(Some(distance.saturating_sub(index)));
        }
    }
    Ok(None)
}

/// True if the only operation of a record says that the file system was unmounted.
fn is_unmount(record: &Record) -> Result<bool> {
    let Record { header, data } = record;
    let operations = operation::parse(data, header.operations)
        .map_err(|wrong| defect(wrong, header.lsn.block()))?;
    Ok(operations.len() == 1 && operations.iter().all(operation::Operation::is_unmount))
}
