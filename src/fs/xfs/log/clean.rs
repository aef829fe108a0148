//! Ends a log as an unmount does.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log". What the record of an
//! unmount looks like was measured on those of mkfs.xfs and of kernel 6.18: one operation of client
//! "log" with the flag UNMOUNT and 8 bytes, of which the first two are 0x556e; the record is as long
//! as one unit of the log (the stripe unit, or a sector), its tail is the record itself.
//!
//! Blocks behind the new head that a crash left behind in the present cycle would look like a
//! continuation of the log. They get the cycle before, as a mount does it.

use super::blocks::{LogBlocks, VolumeLog, forward};
use super::ends::{self, Ends, WINDOW_BLOCKS, position_behind};
use super::record::{LOG_BLOCK_BYTES, NewRecord, RECORD_BYTES_MAX, cycle_of};
use crate::bytes::arith::{add, len_u64, to};
use crate::bytes::field::put_be_u32;
use crate::error::{Corrupt, Result};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::Lsn;
use crate::fs::xfs::volume::Volume;

/// The operation of an unmount: id 1, 8 bytes, client "log", flag UNMOUNT, then the bytes.
const UNMOUNT_OPERATION: [u8; 20] =
    [0, 0, 0, 1, 0, 0, 0, 8, 0xaa, 0x20, 0, 0, 0x6e, 0x55, 0, 0, 0, 0, 0, 0];

/// Blocks that are read at once.
const STEP_BLOCKS: u32 = 1024;

/// Ends the log of `volume`, whose content must be in its places: see [`replay`](super::replay).
/// A clean log is left untouched.
///
/// # Errors
/// * `Refused` - the log is on another device.
/// * `Corrupt` - the log is damaged.
/// * `Io`.
pub(crate) fn write_clean(volume: &Volume) -> Result<()> {
    let log = super::internal(volume)?;
    let uuids = super::uuids(volume);
    let ends = ends::find(&log, &uuids)?;
    if ends.is_clean {
        return Ok(());
    }
    let used = write_unmount(&log, volume.superblock(), &ends)?;
    let head = position_behind(&log, ends.head, used);
    clear_behind(&log, head, used)?;
    let after = ends::find(&log, &uuids)?;
    if !after.is_clean || after.head != head || after.last != Some(ends.head) {
        return Err(Corrupt::new("log", super::LogDefect::NotClean(after.head.0)).into());
    }
    Ok(())
}

/// The unit that records are padded to, in bytes.
fn unit_bytes(superblock: &Superblock) -> u32 {
    superblock.log_stripe_bytes.max(superblock.log_sector_size_bytes).clamp(512, RECORD_BYTES_MAX)
}

/// Writes the record at the head; gives its length in blocks.
fn write_unmount(log: &VolumeLog, superblock: &Superblock, ends: &Ends) -> Result<u32> {
    let record = NewRecord {
        position: ends.head,
        tail: ends.head,
        previous: ends.last.map_or(0, Lsn::block),
        uuid: &superblock.uuid.0,
        unit_bytes: unit_bytes(superblock),
        data: &UNMOUNT_OPERATION,
        operations: 1,
    };
    let bytes = record.encode(log)?;
    let count: u32 = to(len_u64(bytes.len()) >> 9)?;
    for (index, block) in bytes.chunks(LOG_BLOCK_BYTES).enumerate() {
        let position = position_behind(log, ends.head, to(index)?);
        log.write(position.block(), block)?;
    }
    Ok(count)
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
