//! The log as a ring of blocks of 512 bytes, wherever it lies.

use super::LogDefect;
use super::record::LOG_BLOCK_BYTES;
use crate::bytes::arith::{add, len_u64, mul, sub, to};
use crate::disk::{Disk, DiskEdit};
use crate::error::{Corrupt, Result};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::volume::Volume;
use std::sync::Arc;

/// Bound on the size of a log in blocks of 512 bytes: 2 GiB, the most that mkfs.xfs makes, and one.
const LOG_BLOCKS_MAX: u64 = 4 * 1024 * 1024 + 1;
/// Smallest log that makes sense: two records of 32 KiB.
const LOG_BLOCKS_MIN: u64 = 128;

/// A log, wherever it lies.
pub(crate) trait LogBlocks {
    /// Number of blocks of 512 bytes.
    fn block_count(&self) -> u32;

    /// Reads `count` blocks from `first`, which do not wrap.
    ///
    /// # Errors
    /// `Corrupt` if they do not exist; `Io`.
    fn read(&self, first: u32, count: u32) -> Result<Vec<u8>>;
}

/// The log inside the volume.
#[derive(Debug, Clone)]
pub(crate) struct VolumeLog {
    disk: Arc<dyn DiskEdit>,
    start_bytes: u64,
    block_count: u32,
}

impl VolumeLog {
    /// The internal log of `volume`; `None` if its log is on another device.
    ///
    /// # Errors
    /// `Corrupt` if it does not lie in one allocation group, or has no possible size.
    pub(crate) fn of(volume: &Volume) -> Result<Option<Self>> {
        let superblock = volume.superblock();
        if superblock.log_start.0 == 0 {
            return Ok(None);
        }
        superblock.check_run(superblock.log_start, superblock.log_blocks)?;
        let start_bytes = superblock.block_offset(superblock.log_start)?;
        let block_count = check_count(log_len(superblock)?)?;
        Ok(Some(Self { disk: volume.disk().clone(), start_bytes, block_count }))
    }

    /// Writes whole blocks from `first`, which do not wrap.
    ///
    /// # Errors
    /// `Corrupt` if they do not exist; `Io`.
    pub(super) fn write(&self, first: u32, bytes: &[u8]) -> Result<()> {
        let count = len_u64(bytes.len().div_ceil(LOG_BLOCK_BYTES));
        let end = add(u64::from(first), count)?;
        sub(u64::from(self.block_count), end)?;
        let at = add(self.start_bytes, mul(u64::from(first), 512)?)?;
        self.disk.write_at(at, bytes, "log")
    }
}

impl LogBlocks for VolumeLog {
    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, first: u32, count: u32) -> Result<Vec<u8>> {
        let end = add(u64::from(first), u64::from(count))?;
        sub(u64::from(self.block_count), end)?;
        let at = add(self.start_bytes, mul(u64::from(first), 512)?)?;
        self.disk.read_vec(at, to(mul(u64::from(count), 512)?)?)
    }
}

/// The log of a volume on a device of its own, which is only read.
#[derive(Debug, Clone)]
pub(super) struct DeviceLog {
    disk: Arc<dyn Disk>,
    block_count: u32,
}

impl DeviceLog {
    /// The log of the volume of `superblock` at the start of `disk`.
    ///
    /// # Errors
    /// `Corrupt` if it has no possible size, or does not fit on the device.
    pub(super) fn new(superblock: &Superblock, disk: Arc<dyn Disk>) -> Result<Self> {
        let blocks = log_len(superblock)?;
        if mul(blocks, 512)? > disk.len_bytes() {
            return Err(Corrupt::new("log", LogDefect::Size(disk.len_bytes() >> 9)).into());
        }
        Ok(Self { disk, block_count: check_count(blocks)? })
    }
}

impl LogBlocks for DeviceLog {
    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, first: u32, count: u32) -> Result<Vec<u8>> {
        let end = add(u64::from(first), u64::from(count))?;
        sub(u64::from(self.block_count), end)?;
        self.disk.read_vec(mul(u64::from(first), 512)?, to(mul(u64::from(count), 512)?)?)
    }
}

fn log_len(superblock: &Superblock) -> Result<u64> {
    Ok(mul(u64::from(superblock.log_blocks), u64::from(superblock.block_size_bytes))? >> 9)
}

pub(super) fn check_count(blocks: u64) -> Result<u32> {
    if !(LOG_BLOCKS_MIN..=LOG_BLOCKS_MAX).contains(&blocks) {
        return Err(Corrupt::new("log", LogDefect::Size(blocks)).into());
    }
    Ok(to(blocks)?)
}

/// Reads `count` blocks from `first`, around the end of the log.
pub(super) fn read_around(log: &dyn LogBlocks, first: u32, count: u32) -> Result<Vec<u8>> {
    let until_end = log.block_count().saturating_sub(first);
    let mut bytes = log.read(first, count.min(until_end))?;
    if count > until_end {
        bytes.extend(log.read(0, count.saturating_sub(until_end))?);
    }
    Ok(bytes)
}

/// The block `count` behind `block`, around the end of the log. `count` is at most the log.
pub(super) fn forward(log: &dyn LogBlocks, block: u32, count: u32) -> u32 {
    let end = u64::from(block).saturating_add(u64::from(count));
    let wrapped = end.checked_sub(u64::from(log.block_count())).unwrap_or(end);
    u32::try_from(wrapped).unwrap_or_default()
}

/// The block `count` before `block`, around the start of the log. `count` is at most the log.
pub(super) fn backward(log: &dyn LogBlocks, block: u32, count: u32) -> u32 {
    match block.checked_sub(count) {
        Some(before) => before,
        None => log.block_count().saturating_sub(count.saturating_sub(block)),
    }
}
