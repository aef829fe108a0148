//! Ends a log: as an unmount does, or so that the next mount finishes what was left open.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log". What the record of an
//! unmount looks like was measured on those of mkfs.xfs and of kernel 6.18: one operation of client
//! "log" with the flag UNMOUNT and 8 bytes, of which the first two are 0x556e; the record is as long
//! as one unit of the log (the stripe unit, or a sector), its tail is the record itself.
//!
//! Blocks behind the new head that a crash left behind in the present cycle would look like a
//! continuation of the log. They get the cycle before, as a mount does it.

use super::blocks::{LogBlocks, VolumeLog, forward};
use super::ends::{self, WINDOW_BLOCKS, position_behind};
use super::pending::Pending;
use super::record::{LOG_BLOCK_BYTES, NewRecord, RECORD_BYTES_MAX, cycle_of};
use crate::bytes::arith::{add, len_u64, to};
use crate::bytes::field::put_be_u32;
use crate::error::{Corrupt, Refusal, Result};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::Lsn;
use crate::fs::xfs::volume::Volume;

/// The operation of an unmount: id 1, 8 bytes, client "log", flag UNMOUNT, then the bytes.
const UNMOUNT_OPERATION: [u8; 20] =
    [0, 0, 0, 1, 0, 0, 0, 8, 0xaa, 0x20, 0, 0, 0x6e, 0x55, 0, 0, 0, 0, 0, 0];

/// Most bytes of operations that fit behind a header of one block.
const DATA_BYTES_MAX: u64 = 32 * 1024 - 512;
/// Blocks that are read at once.
const STEP_BLOCKS: u32 = 1024;

/// How a log was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As an unmount does it: the next mount replays nothing.
    Unmounted,
    /// The next mount replays nothing but a part of the superblock that it finds as it is, and then
    /// finishes what was left to it: intents, unlinked inodes.
    LeftToMount,
}

/// Ends the log of `volume` as an unmount does. Its content must be in its places: see
/// [`replay`](super::replay()). A clean log is left untouched.
///
/// # Errors
/// * `Refused` - the log is on another device.
/// * `Corrupt` - the log is damaged.
/// * `Io`.
pub(crate) fn write_clean(volume: &Volume) -> Result<()> {
    end(volume, Ending::Unmounted, &UNMOUNT_OPERATION, 1)
}

/// Ends the log of `volume` so that the next mount, having nothing to replay, finishes `pending` and
/// frees the inodes on the unlinked lists. A clean log is left untouched.
///
/// # Errors
/// As [`write_clean`]; `Refused` also if the intents do not fit into one record.
pub(crate) fn write_for_mount(volume: &Volume, pending: &Pending) -> Result<()> {
    let (data, operations) = pending.operations(volume.superblock())?;
    if len_u64(data.len()) > DATA_BYTES_MAX {
        let detail = format!("{} intents were left open", pending.intents().len());
        return Err(Refusal::DirtyLog { detail }.into());
    }
    end(volume, Ending::LeftToMount, &data, operations)
}

/// Ends the log of `volume` after a [`replay`](super::replay()) that left `pending`, and after the edit:
/// as an unmount does if nothing is left to do, else for the next mount. Blocks reserved for copies
/// that were never made are freed first, as a mount does; but with intents open they are left to it,
/// because the intents may name them.
///
/// # Errors
/// As [`write_clean`] and [`write_for_mount`]; `Corrupt` if the unlinked lists or the reservations
/// make no sense.
pub(crate) fn finish(volume: &mut Volume, pending: &Pending) -> Result<Ending> {
    if !pending.is_empty() || !volume.unlinked()?.is_empty() {
        write_for_mount(volume, pending)?;
        return Ok(Ending::LeftToMount);
    }
    volume.free_staging()?;
    write_clean(volume)?;
    Ok(Ending::Unmounted)
}

/// Writes one record at the head, of which everything before it is no longer needed.
fn end(volume: &Volume, ending: Ending, data: &[u8], operations: u32) -> Result<()> {
    let log = super::internal(volume)?;
    let uuids = super::uuids(volume);
    let ends = ends::find(&log, &uuids)?;
    if ends.is_clean {
        return Ok(());
    }
    let record = NewRecord {
        position: ends.head,
        tail: ends.head,
        previous: ends.last.map_or(0, Lsn::block),
        uuid: &volume.superblock().uuid.0,
        unit_bytes: unit_bytes(volume.superblock()),
        data,
        operations,
    };
    let bytes = record.encode(&log)?;
    for (index, block) in bytes.chunks(LOG_BLOCK_BYTES).enumerate() {
        let position = position_behind(&log, ends.head, to(index)?);
        log.write(position.block(), block)?;
    }
    let used: u32 = to(len_u64(bytes.len()) >> 9)?;
    let head = position_behind(&log, ends.head, used);
    clear_behind(&log, head, used)?;
    let after = ends::find(&log, &uuids)?;
    let is_as_meant = after.is_clean == (ending == Ending::Unmounted);
    if !is_as_meant || after.head != head || after.last != Some(ends.head) {
        return Err(Corrupt::new("log", super::LogDefect::NotEnded(after.head.0)).into());
    }
    Ok(())
}

/// The unit that records are padded to, in bytes.
fn unit_bytes(superblock: &Superblock) -> u32 {
    superblock.log_stripe_bytes.max(superblock.log_sector_size_bytes).clamp(512, RECORD_BYTES_MAX)
}

/// Gives blocks behind `head` that are of its cycle the cycle before, as far as records can have been
/// in flight; `used` blocks of the log belong to the last record.
fn clear_behind(log: &VolumeLog, head: Lsn, used: u32) -> Result<()> {
    let window = WINDOW_BLOCKS.min(log.block_count().saturating_sub(used));
    let mut done = 0;
    while done < window {
        let first = forward(log, head.block(), done);
        let until_end = log.block_count().saturating_sub(first);
        let count = window.saturating_sub(done).min(until_end).min(STEP_BLOCKS);
        let wraps = first < head.block();
        let expected = if wraps { head.cycle() } else { head.cycle().saturating_sub(1) };
        let bytes = log.read(first, count)?;
        for (index, block) in bytes.chunks(LOG_BLOCK_BYTES).enumerate() {
            if cycle_of(block)? > expected {
                let mut cleared = [0; LOG_BLOCK_BYTES];
                put_be_u32(&mut cleared, 0, expected)?;
                let at = add(u64::from(first), len_u64(index))?;
                log.write(to(at)?, &cleared)?;
            }
        }
        done = done.saturating_add(count);
    }
    Ok(())
}
