//! The log: finds out whether it holds changes, what they name, and replays them into the overlay.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log" (version 2 logs). Facts that
//! are not in it were measured on logs of kernel 6.18 and of mkfs.xfs 6.1 and 7.2, and say so.
//!
//! Three uses:
//! * [`scan`] says whether the log is clean, and if not what it names ([`ConflictSet`]): an edit that
//!   touches nothing of that commutes with the replay of the kernel, and needs none.
//! * [`replay()`] writes what the log holds to its places in the overlay, as a mount does.
//! * [`finish`] ends the log, so that nobody replays old items over an edit: as an unmount does, or
//!   with nothing in it but the promises that only a mount can keep (open intents, unlinked inodes).
//!
//! A log on another device is only looked at ([`scan_device`]): when it is clean, nothing in it matters.
//!
//! Not handled, and refused by name: version 1 logs, logs of big-endian hosts, dirty logs on another
//! device, open intents for the realtime device, changes of the owner of an extent tree, parts of directory blocks that lie in several places, growing of the file system, version 4 (no
//! checksums, no numbers of changes in its structures).

mod blocks;
mod clean;
mod counters;
mod ends;
mod inode_core;
mod item;
mod named;
mod operation;
mod pending;
mod quota;
mod record;
mod replay;
mod structure;
mod walk;

pub(crate) use clean::finish;
pub(crate) use ends::Ends;
pub(crate) use named::ConflictSet;
pub(crate) use pending::Pending;
pub(crate) use replay::{Purpose, replay};

use super::volume::Volume;
use crate::bytes::arith::OutOfRange;
use crate::bytes::field::Short;
use crate::disk::Disk;
use crate::error::{Corrupt, Error, Refusal, Result};
use blocks::{DeviceLog, LogBlocks, VolumeLog};
use ends::LogUuids;
use named::Summary;
use std::sync::Arc;

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogDefect {
    /// A log cannot have this size.
    #[error("{0} blocks of 512 bytes")]
    Size(u64),
    /// A record does not start where one must.
    #[error("no record (magic {0:#x})")]
    RecordMagic(u32),
    /// A record of another version.
    #[error("record of version {0}, only 2 is known")]
    Version(u32),
    /// A record carries the cycle of another one.
    #[error("record of cycle {cycle} says it is of cycle {lsn}")]
    RecordCycle {
        /// As it should be.
        cycle: u32,
        /// As it says.
        lsn: u32,
    },
    /// A record says that it lies elsewhere.
    #[error("record says that it is {lsn:#x}")]
    RecordPlace {
        /// As it says.
        lsn: u64,
    },
    /// The byte order is none that is known.
    #[error("record of unknown format {0}")]
    Format(u32),
    /// A record of another file system.
    #[error("record of another file system")]
    Uuid,
    /// A record is longer than one can be.
    #[error("record of {data_bytes} bytes from a buffer of {buffer_bytes}")]
    RecordLength {
        /// Its data.
        data_bytes: u32,
        /// The buffer that it was written from.
        buffer_bytes: u32,
    },
    /// More operations than bytes.
    #[error("{operations} operations in {data_bytes} bytes")]
    OperationCount {
        /// As stored.
        operations: u32,
        /// Bytes of the record.
        data_bytes: u32,
    },
    /// The bytes are not what was written.
    #[error("checksum {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// Cycles that do not fall by one anywhere.
    #[error("cycle {first} at the start, {last} at the end")]
    Cycles {
        /// Of the first block.
        first: u32,
        /// Of the last block.
        last: u32,
    },
    /// There is no record before the head.
    #[error("no record before the head")]
    NoRecord,
    /// The tail is not before the head.
    #[error("tail {tail:#x} of the record {record:#x}")]
    Tail {
        /// As stored.
        tail: u64,
        /// The record that says so.
        record: u64,
    },
    /// The records between tail and head are longer than the log.
    #[error("records go round without end")]
    Circle,
    /// An operation of an unknown originator.
    #[error("operation of client {0:#x}")]
    Client(u8),
    /// More transactions than can be open at once.
    #[error("more than {0} unfinished transactions")]
    OpenTransactions(usize),
    /// A transaction starts with something else than its header.
    #[error("no transaction header")]
    TransactionHeader,
    /// A continued region without a start.
    #[error("a continued region without its start")]
    NothingToContinue,
    /// An item cannot have this many regions.
    #[error("item of {0} regions")]
    ItemSize(u16),
    /// An item lacks regions.
    #[error("item of {found} regions instead of {expected}")]
    Regions {
        /// As found.
        found: usize,
        /// As announced.
        expected: usize,
    },
    /// A buffer, an inode or a quota record lies outside the file system, or inside the log.
    #[error("{sectors} sectors at {daddr} are no place for it")]
    Place {
        /// Start in units of 512 bytes.
        daddr: u64,
        /// Length in units of 512 bytes.
        sectors: u64,
    },
    /// A buffer does not hold what its item says.
    #[error("holds nothing of kind {0}")]
    BufferKind(u16),
    /// A structure in a buffer says that it lies elsewhere.
    #[error("says that it lies at sector {0}")]
    BufferPlace(u64),
    /// An inode or its core in the log makes no sense.
    #[error("makes no sense")]
    InodeCore,
    /// The root of an extent tree does not fit.
    #[error("root of {count} records in room for {max}")]
    TreeRoot {
        /// Records.
        count: usize,
        /// Room.
        max: usize,
    },
    /// New inodes in a place of another size.
    #[error("{inodes} new inodes in {blocks} blocks")]
    InodeCreate {
        /// Inodes.
        inodes: u32,
        /// Blocks.
        blocks: u32,
    },
    /// The header of an allocation group is something else.
    #[error("is none")]
    AgHeader,
    /// The log was ended, but does not look so.
    #[error("does not end where it was ended, but at {0:#x}")]
    NotEnded(u64),
    /// A structure is too short.
    #[error(transparent)]
    Short(#[from] Short),
    /// A number is too large.
    #[error("number out of range")]
    Range,
}

impl From<LogDefect> for Error {
    fn from(defect: LogDefect) -> Self {
        Corrupt::new("log", defect).into()
    }
}

impl From<OutOfRange> for LogDefect {
    fn from(_: OutOfRange) -> Self {
        Self::Range
    }
}

/// What a log holds.
#[derive(Debug)]
pub(crate) enum LogState {
    /// Nothing that is needed.
    Clean(#[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))] Ends),
    /// Committed changes that may not have reached their places.
    Dirty(Box<Dirty>),
}

/// What a log that is not clean holds.
#[derive(Debug)]
pub(crate) struct Dirty {
    pub(crate) ends: Ends,
    /// Committed transactions.
    pub(crate) transactions: u32,
    /// What they name.
    pub(crate) named: ConflictSet,
    /// Announced changes that no transaction did: the kernel does them after its replay.
    pub(crate) pending: Pending,
}

/// Looks at the log of `volume`.
///
/// # Errors
/// * `Refused` - the log is on another device, or was written by a host of the other byte order.
/// * `Corrupt` - the log is damaged.
/// * `Io`.
pub(crate) fn scan(volume: &Volume) -> Result<LogState> {
    let log = internal(volume)?;
    scan_blocks(&log, &uuids(volume)).map(|(state, _)| state)
}

/// What the log on a device of its own holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceLogState {
    /// Nothing that is needed.
    Clean,
    /// Changes that may not have reached their places.
    Dirty,
}

/// Looks at `device`, which may hold the log of `volume`. Only a record with the UUID of the volume says
/// that it does: zeros could be anything.
///
/// # Errors
/// * `Corrupt` - it holds no log of this volume, or a damaged one.
/// * `Refused` - dirty, and written by a host of the other byte order.
/// * `Io`.
pub(crate) fn scan_device(volume: &Volume, device: Arc<dyn Disk>) -> Result<DeviceLogState> {
    let log = DeviceLog::new(volume.superblock(), device)?;
    let ends = ends::find(&log, &uuids(volume))?;
    if ends.last.is_none() {
        return Err(LogDefect::NoRecord.into());
    }
    Ok(if ends.is_clean { DeviceLogState::Clean } else { DeviceLogState::Dirty })
}

/// The log inside the volume.
fn internal(volume: &Volume) -> Result<VolumeLog> {
    let log = VolumeLog::of(volume)?;
    log.ok_or_else(|| Refusal::LogElsewhere { detail: String::new() }.into())
}

fn uuids(volume: &Volume) -> LogUuids {
    [volume.superblock().uuid.0, volume.superblock().meta_uuid.0]
}

fn scan_blocks(log: &dyn LogBlocks, uuids: &LogUuids) -> Result<(LogState, Summary)> {
    let ends = ends::find(log, uuids)?;
    let mut summary = Summary::default();
    if ends.is_clean {
        return Ok((LogState::Clean(ends), summary));
    }
    walk::transactions(log, &ends, uuids, &mut |transaction| summary.add(&transaction))?;
    let dirty = Dirty {
        ends,
        transactions: summary.transactions,
        named: summary.named.clone(),
        pending: summary.pending()?,
    };
    Ok((LogState::Dirty(Box::new(dirty)), summary))
}
#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod pending_tests;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod tests;
