//! The journal superblock: geometry, features and state of the log.

use super::{JournalDefect, Sequence};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{self, be_u32, put_be_u32};
use crate::error::{Corrupt, Refusal, Result};

/// First four bytes of every block that JBD2 itself made.
pub(super) const JOURNAL_MAGIC: u32 = 0xc03b_3998;
/// Size of the journal superblock in bytes.
pub(super) const SUPERBLOCK_BYTES: usize = 1024;

const STRUCTURE: &str = "journal superblock";

const COMPAT_CHECKSUM: u32 = 0x1;
const INCOMPAT_REVOKE: u32 = 0x1;
const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
const INCOMPAT_KNOWN: u32 = INCOMPAT_REVOKE
    | INCOMPAT_64BIT
    | INCOMPAT_ASYNC_COMMIT
    | INCOMPAT_CSUM_V2
    | INCOMPAT_CSUM_V3
    | INCOMPAT_FAST_COMMIT;

/// `s_checksum_type` of CRC-32C, the only one that v2 and v3 are used with.
const CHECKSUM_TYPE_CRC32C: u8 = 4;
/// Blocks of the fast-commit area when `s_num_fc_blks` is 0.
const FAST_COMMIT_BLOCKS_DEFAULT: u32 = 256;
/// A log is never made shorter than this for the sake of the fast-commit area.
const LOG_BLOCKS_MIN: u32 = 1024;

/// How the blocks of the log are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalChecksum {
    /// Not at all.
    None,
    /// One CRC-32 over all blocks of a transaction, in its commit block ("checksum v1").
    Commit,
    /// CRC-32C per block, 16 bits of it in a tag ("v2").
    V2,
    /// CRC-32C per block, 32 bits of it in a tag ("v3").
    V3,
}

/// The journal superblock.
///
/// Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Journal (jbd2)",
/// table `journal_superblock_s`. 1024 bytes, **big-endian**, unlike the rest of ext4.
///
/// | offset | size | spec                | here              | valid when                    |
/// |-------:|-----:|---------------------|-------------------|-------------------------------|
/// |    0x0 |    4 | h_magic             | (checked)         | equals [`JOURNAL_MAGIC`]      |
/// |    0x4 |    4 | h_blocktype         | (checked)         | 3 (v1, no features) or 4 (v2) |
/// |    0xC |    4 | s_blocksize         | (checked)         | block size of the file system |
/// |   0x10 |    4 | s_maxlen            | last, fast_commit | at most those of the journal  |
/// |   0x14 |    4 | s_first             | first             | 1.. < last                    |
/// |   0x18 |    4 | s_sequence          | sequence          | any; wraps                    |
/// |   0x1C |    4 | s_start             | start             | 0, or first..last             |
/// |   0x20 |    4 | s_errno             | errno             | 0 unless it was aborted       |
/// |   0x24 |    4 | s_feature_compat    | checksum          | unknown bits are harmless     |
/// |   0x28 |    4 | s_feature_incompat  | the flags         | no unknown bit                |
/// |   0x2C |    4 | s_feature_ro_compat | (checked)         | no bit                        |
/// |   0x30 |   16 | s_uuid              | checksum_seed     | any                           |
/// |   0x50 |    1 | s_checksum_type     | (checked)         | 4 (CRC-32C) with v2 and v3    |
/// |   0x54 |    4 | s_num_fc_blks       | fast_commit       | observed, newer than document |
/// |   0xFC |    4 | s_checksum          | (checked)         | CRC-32C of all, this as 0     |
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    bytes: Vec<u8>,
    /// First block of the log proper.
    pub(super) first: u32,
    /// First block behind the log proper.
    pub(super) last: u32,
    /// First transaction expected in the log.
    pub(super) sequence: Sequence,
    /// Block of the first transaction; 0 if there is none.
    pub(super) start: u32,
    /// What the journal was aborted with, as stored.
    pub(super) errno: u32,
    /// Protection.
    pub(super) checksum: JournalChecksum,
    /// Block numbers have 64 bits.
    pub(super) has_64bit: bool,
    /// First block of the fast-commit area, if fast commits may be there.
    pub(super) fast_commit_start: Option<u32>,
    /// What the checksums of v2 and v3 are continued from.
    pub(super) checksum_seed: u32,
}

impl Superblock {
    /// Parses `block`, the first block of a journal of `block_count` blocks.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` for unknown features.
    pub(super) fn parse(block: &[u8], block_count: u32) -> Result<Self> {
        let bytes = field::slice(block, 0, SUPERBLOCK_BYTES)?.to_vec();
        let kind = be_u32(&bytes, 4)?;
        if be_u32(&bytes, 0)? != JOURNAL_MAGIC || !matches!(kind, 3 | 4) {
            return Err(Corrupt::new(STRUCTURE, JournalDefect::NotASuperblock).into());
        }
        let (compat, incompat, ro_compat) = if kind == 3 {
            (0, 0, 0)
        } else {
            (be_u32(&bytes, 0x24)?, be_u32(&bytes, 0x28)?, be_u32(&bytes, 0x2c)?)
        };
        refuse_unknown(incompat & !INCOMPAT_KNOWN, ro_compat)?;
        let checksum = checksum_kind(compat, incompat)?;
        if matches!(checksum, JournalChecksum::V2 | JournalChecksum::V3) {
            check_checksum(&bytes)?;
        }
        let has_fast_commit = incompat & INCOMPAT_FAST_COMMIT != 0;
        let (last, fast_commit_start) = log_end(&bytes, block_count, has_fast_commit)?;
        let superblock = Self {
            first: be_u32(&bytes, 0x14)?,
            last,
            sequence: Sequence(be_u32(&bytes, 0x18)?),
            start: be_u32(&bytes, 0x1c)?,
            errno: be_u32(&bytes, 0x20)?,
            checksum,
            has_64bit: incompat & INCOMPAT_64BIT != 0,
            fast_commit_start,
            checksum_seed: crc32c_raw(!0, field::slice(&bytes, 0x30, 16)?),
            bytes,
        };
        superblock.check_geometry(block.len())?;
        Ok(superblock)
    }

    fn check_geometry(&self, block_len: usize) -> Result<()> {
        let (first, last, start) = (self.first, self.last, self.start);
        let stored_bytes = be_u32(&self.bytes, 0xc)?;
        let block_bytes = crate::bytes::arith::to(block_len)?;
        if stored_bytes != block_bytes {
            let defect = JournalDefect::BlockSize { stored_bytes, block_bytes };
            return Err(Corrupt::new(STRUCTURE, defect).into());
        }
        if first == 0 || first >= last || (start != 0 && !(first..last).contains(&start)) {
            let defect = JournalDefect::Geometry { first, last, start };
            return Err(Corrupt::new(STRUCTURE, defect).into());
        }
        Ok(())
    }

    /// True if every metadata block of the log carries a CRC-32C.
    pub(super) fn has_block_checksums(&self) -> bool {
        matches!(self.checksum, JournalChecksum::V2 | JournalChecksum::V3)
    }

    /// The log block behind `log_block`; behind the last comes the first.
    pub(super) fn next(&self, log_block: u32) -> u32 {
        match log_block.checked_add(1) {
            Some(next) if next < self.last => next,
            _ => self.first,
        }
    }

    /// Length of the log proper in blocks.
    pub(super) fn log_len(&self) -> u32 {
        self.last.saturating_sub(self.first)
    }

    /// The 1024 bytes of an empty journal that goes on with `sequence`.
    ///
    /// The fast-commit flag says that fast commits may be in the log, so it goes with them.
    pub(super) fn encode_empty(&self, sequence: Sequence) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        put_be_u32(&mut bytes, 0x18, sequence.0)?;
        put_be_u32(&mut bytes, 0x1c, 0)?;
        if be_u32(&bytes, 4)? == 4 {
            let incompat = be_u32(&bytes, 0x28)?;
            put_be_u32(&mut bytes, 0x28, incompat & !INCOMPAT_FAST_COMMIT)?;
        }
        if self.has_block_checksums() {
            let checksum = superblock_checksum(&bytes)?;
            put_be_u32(&mut bytes, 0xfc, checksum)?;
        }
        Ok(bytes)
    }
}

fn refuse_unknown(incompat: u32, ro_compat: u32) -> Result<()> {
    let mut names = Vec::new();
    if incompat != 0 {
        names.push(format!("journal incompat {incompat:#x}"));
    }
    if ro_compat != 0 {
        names.push(format!("journal ro_compat {ro_compat:#x}"));
    }
    if names.is_empty() { Ok(()) } else { Err(Refusal::UnknownFeature { names }.into()) }
}

fn checksum_kind(compat: u32, incompat: u32) -> Result<JournalChecksum> {
    let flags = (
        compat & COMPAT_CHECKSUM != 0,
        incompat & INCOMPAT_CSUM_V2 != 0,
        incompat & INCOMPAT_CSUM_V3 != 0,
    );
    Ok(match flags {
        (false, false, false) => JournalChecksum::None,
        (true, false, false) => JournalChecksum::Commit,
        (false, true, false) => JournalChecksum::V2,
        (false, false, true) => JournalChecksum::V3,
        _ => return Err(Corrupt::new(STRUCTURE, JournalDefect::ChecksumKinds).into()),
    })
}

fn superblock_checksum(bytes: &[u8]) -> Result<u32> {
    let mut zeroed = bytes.to_vec();
    put_be_u32(&mut zeroed, 0xfc, 0)?;
    Ok(crc32c_raw(!0, &zeroed))
}

fn check_checksum(bytes: &[u8]) -> Result<()> {
    let checksum_type = field::u8_at(bytes, 0x50)?;
    if checksum_type != CHECKSUM_TYPE_CRC32C {
        let defect = JournalDefect::ChecksumType(checksum_type);
        return Err(Corrupt::new(STRUCTURE, defect).into());
    }
    let (stored, computed) = (be_u32(bytes, 0xfc)?, superblock_checksum(bytes)?);
    if !agrees(stored, computed) {
        return Err(Corrupt::new(STRUCTURE, JournalDefect::Checksum { stored, computed }).into());
    }
    Ok(())
}

/// End of the log proper, and start of the fast-commit area behind it.
///
/// Observed: the log ends `s_num_fc_blks` blocks before the journal does, and the area starts one
/// block behind that end.
fn log_end(bytes: &[u8], block_count: u32, has_fast_commit: bool) -> Result<(u32, Option<u32>)> {
    let len = be_u32(bytes, 0x10)?;
    if len > block_count {
        let defect = JournalDefect::Length { len, block_count };
        return Err(Corrupt::new(STRUCTURE, defect).into());
    }
    if !has_fast_commit {
        return Ok((len, None));
    }
    let area = match be_u32(bytes, 0x54)? {
        0 => FAST_COMMIT_BLOCKS_DEFAULT,
        stored => stored,
    };
    match len.checked_sub(area) {
        Some(last) if last >= LOG_BLOCKS_MIN => Ok((last, last.checked_add(1))),
        _ => Err(Corrupt::new(STRUCTURE, JournalDefect::FastCommitArea { area, len }).into()),
    }
}
