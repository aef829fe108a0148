//! One walk over the log that finds its end, the blocks to replay and the blocks that are revoked.
//!
//! The document describes three passes. They are one here, because only the last copy of a block
//! counts: a block is written once, from its last copy, unless a transaction at least as new as
//! that copy revokes it. What a transaction says counts only once its commit block has been seen
//! and every checksum was right.

use super::block::{self, Commit, Header, Kind};
use super::superblock::{JournalChecksum, Superblock};
use super::{JournalDefect, LogBlocks, ReplayLimits, Sequence};
use crate::bytes::arith::len_u64;
use crate::bytes::checksum::{agrees, crc32_msb};
use crate::error::{Corrupt, Error, Refusal, Result};
use std::collections::BTreeMap;

/// Bound on the revocation records of one log.
const REVOKED_MAX: usize = 1024 * 1024;
/// Bound on the blocks that are searched for a later transaction behind a damaged one: the largest
/// log that mke2fs makes by itself, 1 GiB in blocks of 4 KiB.
const LATER_SEARCH_BLOCKS_MAX: u32 = 262_144;

/// The last copy of a block in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) sequence: Sequence,
    pub(super) log_block: u32,
    pub(super) is_escaped: bool,
}

/// What a log asks for.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The transaction that would come next.
    pub(super) end: Sequence,
    /// Complete transactions.
    pub(super) transactions: u32,
    /// Where the blocks of the file system have their last copies.
    pub(super) copies: BTreeMap<u64, Copy>,
    /// The last transaction that revokes a block.
    pub(super) revoked: BTreeMap<u64, Sequence>,
    /// Why the last transaction was discarded, if it was more than merely incomplete.
    pub(super) discarded: Option<String>,
}

/// What an unfinished transaction has said so far.
#[derive(Debug)]
struct Open {
    copies: Vec<(u64, Copy)>,
    revoked: Vec<u64>,
    crc32: u32,
    damage: Option<String>,
}

impl Open {
    fn new() -> Self {
        Self { copies: Vec::new(), revoked: Vec::new(), crc32: !0, damage: None }
    }

    fn note(&mut self, what: &str, log_block: u32, defect: &dyn std::fmt::Display) {
        self.damage.get_or_insert_with(|| format!("{what} in log block {log_block}: {defect}"));
    }
}

struct Scanner<'a> {
    log: &'a dyn LogBlocks,
    superblock: &'a Superblock,
    limits: ReplayLimits,
    position: u32,
    /// Blocks of the log that were not visited yet.
    left: u32,
    expected: Sequence,
    commit_seconds: u64,
    open: Open,
    scan: Scan,
}

/// Walks over the log.
///
/// # Errors
/// * `Refused` ([`Refusal::DirtyLog`]) - a transaction is damaged and later ones exist.
/// * `Corrupt` - a complete transaction names a block outside the file system or inside the log.
/// * `Limit` - more blocks or revocations than the bounds.
pub(super) fn scan(
    log: &dyn LogBlocks,
    superblock: &Superblock,
    limits: ReplayLimits,
) -> Result<Scan> {
    let mut scanner = Scanner {
        log,
        superblock,
        limits,
        position: superblock.start,
        left: superblock.log_len(),
        expected: superblock.sequence,
        commit_seconds: 0,
        open: Open::new(),
        scan: Scan::default(),
    };
    if superblock.start != 0 {
        scanner.run()?;
    }
    scanner.scan.end = scanner.expected;
    Ok(scanner.scan)
}

fn check_revocations(count: usize) -> Result<()> {
    if count <= REVOKED_MAX {
        return Ok(());
    }
    let what = "number of revocations in the journal";
    Err(Error::limit(what, len_u64(REVOKED_MAX), len_u64(count)))
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some((log_block, bytes)) = self.take()? {
            let header = match Header::parse(&bytes)? {
                Some(header) if header.sequence == self.expected => header,
                _ => break,
            };
            match header.kind {
                Kind::Descriptor => self.descriptor(log_block, &bytes)?,
                Kind::Revoke => self.revoke(log_block, &bytes)?,
                Kind::Commit => self.commit(log_block, &bytes)?,
                Kind::Other => break,
            }
            if let Some(damage) = self.open.damage.take() {
                return self.discard(&damage);
            }
        }
        Ok(())
    }

    /// The next block of the log; `None` once the whole log was visited.
    fn take(&mut self) -> Result<Option<(u32, Vec<u8>)>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let log_block = self.position;
        self.position = self.superblock.next(log_block);
        Ok(Some((log_block, self.log.read(log_block)?)))
    }

    fn descriptor(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        if let Err(defect) = block::check_tail(bytes, self.superblock) {
            self.open.note("descriptor block", log_block, &defect);
            return Ok(());
        }
        self.open.crc32 = crc32_msb(self.open.crc32, bytes);
        for tag in block::tags(bytes, self.superblock)? {
            let Some(left) = self.left.checked_sub(1) else {
                self.open.note("descriptor block", log_block, &JournalDefect::LogTooShort);
                return Ok(());
            };
            self.left = left;
            let data_block = self.position;
            self.position = self.superblock.next(data_block);
            self.check_data(&tag, data_block)?;
            let is_escaped = tag.is_escaped;
            let copy = Copy { sequence: self.expected, log_block: data_block, is_escaped };
            self.open.copies.push((tag.target, copy));
        }
        self.limit("blocks in one journal transaction", self.open.copies.len())
    }

    /// Reads a data block only where something is known about its content.
    fn check_data(&mut self, tag: &block::Tag, log_block: u32) -> Result<()> {
        if self.superblock.checksum == JournalChecksum::None {
            return Ok(());
        }
        let data = self.log.read(log_block)?;
        if self.superblock.checksum == JournalChecksum::Commit {
            self.open.crc32 = crc32_msb(self.open.crc32, &data);
        } else if !block::tag_matches(tag, &data, self.expected, self.superblock) {
            self.open.note("data block", log_block, &JournalDefect::DataChecksum);
        }
        Ok(())
    }

    fn revoke(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        match block::revoked(bytes, self.superblock) {
            Ok(blocks) => self.open.revoked.extend(blocks),
            Err(defect) => self.open.note("revocation block", log_block, &defect),
        }
        check_revocations(self.open.revoked.len())
    }

    fn commit(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        let commit = match Commit::parse(bytes, self.superblock) {
            Ok(commit) => commit,
            Err(defect) => {
                self.open.note("commit block", log_block, &defect);
                return Ok(());
            }
        };
        if let Some(stored) = commit.crc32.filter(|&stored| !agrees(stored, self.open.crc32)) {
            let defect = JournalDefect::Checksum { stored, computed: self.open.crc32 };
            self.open.note("commit block", log_block, &defect);
            return Ok(());
        }
        let open = std::mem::replace(&mut self.open, Open::new());
        self.accept(open)?;
        self.commit_seconds = commit.seconds;
        self.expected = self.expected.next();
        self.scan.transactions = self.scan.transactions.saturating_add(1);
        Ok(())
    }

    fn accept(&mut self, open: Open) -> Result<()> {
        for (target, copy) in open.copies {
            let defect = if target >= self.limits.block_count {
                JournalDefect::Target { target, block_count: self.limits.block_count }
            } else if self.log.is_log_block(target) {
                JournalDefect::TargetInLog { target }
            } else {
                self.scan.copies.insert(target, copy);
                continue;
            };
            let of = format!("journal transaction {}", copy.sequence.0);
            return Err(Corrupt::new("journal block tag", defect).of(of).into());
        }
        for target in open.revoked {
            self.scan.revoked.insert(target, self.expected);
        }
        check_revocations(self.scan.revoked.len())?;
        self.limit("number of blocks in the journal", self.scan.copies.len())
    }

    fn limit(&self, what: &str, count: usize) -> Result<()> {
        let limit = self.limits.replayed_blocks_max;
        let actual = len_u64(count);
        if actual > limit { Err(Error::limit(what, limit, actual)) } else { Ok(()) }
    }

    /// A damaged transaction is the end of the log, unless a later one proves that it was complete.
    fn discard(&mut self, damage: &str) -> Result<()> {
        let Sequence(number) = self.expected;
        if self.has_later_commit()? {
            let detail = format!("transaction {number} is damaged ({damage}), later ones exist");
            return Err(Refusal::DirtyLog { detail }.into());
        }
        self.scan.discarded = Some(format!("transaction {number}: {damage}"));
        Ok(())
    }

    /// Searches the rest of the log for the commit block of the transaction behind the damaged one.
    ///
    /// What an earlier use of the same blocks left behind is older than the last good commit.
    fn has_later_commit(&mut self) -> Result<bool> {
        let wanted = Header { kind: Kind::Commit, sequence: self.expected.next() };
        self.left = self.left.min(LATER_SEARCH_BLOCKS_MAX);
        while let Some((_, bytes)) = self.take()? {
            if Header::parse(&bytes)? != Some(wanted) {
                continue;
            }
            if let Ok(commit) = Commit::parse(&bytes, self.superblock)
                && commit.seconds >= self.commit_seconds
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
