//! The journal (JBD2): finds out whether it holds transactions, and replays them into the overlay.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Journal (jbd2)".
//! Everything in it is big-endian. Replayed are superblocks v1 and v2, every checksum format, 32-
//! and 64-bit tags, escaped blocks, revocations and logs that wrap.
//!
//! A transaction without commit block, or whose checksums are wrong, is discarded if it is the last
//! one, as the document says. If later transactions exist, the damage is not the trace of a power
//! cut, and the journal is refused ([`Refusal::DirtyLog`]).
//!
//! Not handled, and refused: fast commits that are still to be applied, journals on another device
//! (which the caller sees in the superblock of the file system), unknown features.

mod block;
mod scan;
mod superblock;

pub use superblock::JournalChecksum;

use crate::bytes::arith::{self, mul};
use crate::bytes::field::{self, Short, le_u16, le_u32, put_be_u32};
use crate::disk::{DiskEdit, SECTOR_BYTES, overlay::OVERLAY_SECTORS_MAX};
use crate::error::{Context, Refusal, Result};
use superblock::{JOURNAL_MAGIC, Superblock};

/// Label of replayed blocks in the patch.
const LABEL: &str = "journal replay";
/// Tag of the first record of a fast-commit area, observed.
const FAST_COMMIT_HEAD_TAG: u16 = 9;

/// The blocks of a journal, counted from its superblock, wherever they lie.
pub trait LogBlocks {
    /// Number of blocks.
    fn block_count(&self) -> u32;

    /// Size of a block in bytes: that of the file system.
    fn block_size_bytes(&self) -> u32;

    /// Reads a block; its length is [`LogBlocks::block_size_bytes`].
    ///
    /// # Errors
    /// `Corrupt` if there is no such block; `Io`.
    fn read(&self, log_block: u32) -> Result<Vec<u8>>;

    /// Writes a block.
    ///
    /// # Errors
    /// `Corrupt` if there is no such block; `Io`.
    fn write(&mut self, log_block: u32, bytes: &[u8]) -> Result<()>;

    /// True if block `fs_block` of the file system belongs to the journal; replaying into the log
    /// itself is refused.
    fn is_log_block(&self, fs_block: u64) -> bool;
}

/// Number of a transaction. It wraps, so only equality and "not before" within half the range mean
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Sequence(pub u32);

impl Sequence {
    /// The transaction behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// True if this transaction is `other` or a later one.
    #[must_use]
    fn is_at_or_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) < 1 << 31
    }
}

/// What is wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalDefect {
    /// The first block is something else.
    #[error("no journal superblock")]
    NotASuperblock,
    /// More than one checksum format is switched on.
    #[error("contradicting checksum formats")]
    ChecksumKinds,
    /// A checksum that is not used here.
    #[error("unknown checksum type {0}")]
    ChecksumType(u8),
    /// A stored checksum is wrong.
    #[error("checksum {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// As stored.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// A data block is not what its tag was made for.
    #[error("checksum differs from that in its tag")]
    DataChecksum,
    /// The journal has another block size than the file system.
    #[error("block size {stored_bytes}, the file system has {block_bytes}")]
    BlockSize {
        /// As stored.
        stored_bytes: u32,
        /// Of the file system.
        block_bytes: u32,
    },
    /// First, last and start do not fit together.
    #[error("log from {first} to {last} with start {start}")]
    Geometry {
        /// First log block.
        first: u32,
        /// Block behind the last one.
        last: u32,
        /// First block of the first transaction.
        start: u32,
    },
    /// The log is longer than the journal.
    #[error("{len} blocks in a journal of {block_count}")]
    Length {
        /// As stored.
        len: u32,
        /// Blocks of the journal.
        block_count: u32,
    },
    /// The fast-commit area leaves no log.
    #[error("fast-commit area of {area} blocks in a journal of {len}")]
    FastCommitArea {
        /// Its blocks.
        area: u32,
        /// Blocks of the journal.
        len: u32,
    },
    /// A transaction is larger than the log.
    #[error("more blocks than the log has")]
    LogTooShort,
    /// A block belongs outside the file system.
    #[error("block {target} in a file system of {block_count}")]
    Target {
        /// Where it belongs.
        target: u64,
        /// Blocks of the file system.
        block_count: u64,
    },
    /// A block belongs into the log.
    #[error("block {target} belongs to the journal itself")]
    TargetInLog {
        /// Where it belongs.
        target: u64,
    },
    /// A revocation block uses more bytes than it has.
    #[error("revocation block uses {used_bytes} bytes")]
    RevokeCount {
        /// As stored.
        used_bytes: u32,
    },
    /// A block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

/// State of a journal before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalState {
    /// Nothing to replay.
    Clean,
    /// The log holds transactions, or at least claims so.
    NeedsReplay {
        /// The first transaction.
        sequence: Sequence,
        /// Its first log block.
        start: u32,
    },
    /// Fast commits are waiting: [`replay`] will refuse.
    HasFastCommits,
}

/// What is known about a journal without reading its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether it must be replayed.
    pub state: JournalState,
    /// How its blocks are protected.
    pub checksum: JournalChecksum,
    /// The error that the journal was aborted with (`s_errno`); the file system then needs a check.
    pub errno: Option<i32>,
}

/// Bounds of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Blocks of the file system: every replayed block must lie below.
    pub block_count: u64,
    /// Most blocks that may be replayed.
    pub replayed_blocks_max: u64,
}

impl ReplayLimits {
    /// For a file system of `block_count` blocks, with as many replayed blocks as the overlay can
    /// hold, but for an eighth that is left to the edit.
    ///
    /// # Errors
    /// `Corrupt` if the block size is 0.
    pub fn new(block_count: u64, block_size_bytes: u32) -> Result<Self> {
        let sectors = OVERLAY_SECTORS_MAX.saturating_sub(OVERLAY_SECTORS_MAX >> 3);
        let bytes = mul(arith::to(sectors)?, arith::to(SECTOR_BYTES)?)?;
        let replayed_blocks_max = arith::div(bytes, u64::from(block_size_bytes))?;
        Ok(Self { block_count, replayed_blocks_max })
    }
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Complete transactions found.
    pub transactions: u32,
    /// Blocks written, each once.
    pub blocks_replayed: u64,
    /// Blocks not written because a later transaction revokes them.
    pub blocks_revoked: u64,
    /// The damaged last transaction and its damage, if there was one.
    pub discarded: Option<String>,
    /// The error that the journal was aborted with (`s_errno`); the file system then needs a check.
    pub errno: Option<i32>,
}

/// Looks at a journal without reading its log.
///
/// # Errors
/// `Corrupt` - the journal superblock is damaged; `Refused` - it has unknown features; `Io`.
pub fn inspect(log: &dyn LogBlocks) -> Result<Inspection> {
    let superblock = read_superblock(log)?;
    let state = if superblock.start != 0 {
        JournalState::NeedsReplay { sequence: superblock.sequence, start: superblock.start }
    } else if has_fast_commits(log, &superblock, superblock.sequence)? {
        JournalState::HasFastCommits
    } else {
        JournalState::Clean
    };
    Ok(Inspection { state, checksum: superblock.checksum, errno: errno(&superblock) })
}

/// Writes every block of every complete transaction to its place on `disk`, and empties the
/// journal.
///
/// `disk` starts with the file system. Everything is checked before the first write. A clean
/// journal is left untouched. The superblock of the file system may be among the replayed blocks,
/// so the caller must read it again, and then clear `needs_recovery` in it.
///
/// # Errors
/// * `Refused` - a damaged transaction with later ones behind it, fast commits, unknown features.
/// * `Corrupt` - the journal superblock is damaged, or a transaction names a block outside
///   `limits`.
/// * `Limit` - more blocks than `limits` allow.
/// * `Io` - the disk below could not be read.
pub fn replay(
    log: &mut dyn LogBlocks,
    disk: &dyn DiskEdit,
    limits: &ReplayLimits,
) -> Result<Replay> {
    let superblock = read_superblock(log)?;
    let scan = scan::scan(log, &superblock, *limits).context(|| "journal")?;
    if has_fast_commits(log, &superblock, scan.end)? {
        let detail = "it holds fast commits".to_owned();
        return Err(Refusal::DirtyLog { detail }.into());
    }
    let mut replay = Replay {
        transactions: scan.transactions,
        blocks_replayed: 0,
        blocks_revoked: 0,
        discarded: scan.discarded,
        errno: errno(&superblock),
    };
    for (&target, copy) in &scan.copies {
        let revoked_by = scan.revoked.get(&target);
        if revoked_by.is_some_and(|revoked_by| revoked_by.is_at_or_after(copy.sequence)) {
            replay.blocks_revoked = replay.blocks_revoked.saturating_add(1);
            continue;
        }
        let mut bytes = log.read(copy.log_block)?;
        if copy.is_escaped {
            put_be_u32(&mut bytes, 0, JOURNAL_MAGIC)?;
        }
        disk.write_at(mul(target, u64::from(log.block_size_bytes()))?, &bytes, LABEL)?;
        replay.blocks_replayed = replay.blocks_replayed.saturating_add(1);
    }
    if superblock.start != 0 {
        reset(log, &superblock, scan.end)?;
    }
    Ok(replay)
}

/// Stores an empty journal. One number is left out, as the kernel does it, so that nothing that an
/// unfinished transaction left in the log can be taken for a part of the next one.
fn reset(log: &mut dyn LogBlocks, superblock: &Superblock, end: Sequence) -> Result<()> {
    let mut block = log.read(0)?;
    field::put(&mut block, 0, &superblock.encode_empty(end.next())?)?;
    log.write(0, &block)
}

fn read_superblock(log: &dyn LogBlocks) -> Result<Superblock> {
    Superblock::parse(&log.read(0)?, log.block_count()).context(|| "journal")
}

fn errno(superblock: &Superblock) -> Option<i32> {
    let stored = i32::from_be_bytes(superblock.errno.to_be_bytes());
    (stored != 0).then_some(stored)
}

/// True if the fast-commit area starts with a record for the transaction `end` or a later one.
///
/// Format: as above, "Fast commits": records of tag and length (16 bits each, observed to be
/// little-endian); the first is the head, with 4 bytes of features and 4 bytes of the transaction
/// that it goes with. An older transaction made the area obsolete.
fn has_fast_commits(log: &dyn LogBlocks, superblock: &Superblock, end: Sequence) -> Result<bool> {
    let Some(start) = superblock.fast_commit_start.filter(|&start| start < log.block_count())
    else {
        return Ok(false);
    };
    let block = log.read(start)?;
    let is_head = le_u16(&block, 0)? == FAST_COMMIT_HEAD_TAG && le_u16(&block, 2)? >= 8;
    Ok(is_head && Sequence(le_u32(&block, 8)?).is_at_or_after(end))
}

#[cfg(test)]
mod tests;
