//! The logs of a hive, and their replay in memory.
//!
//! Document: "Windows registry file format specification" (M. Suhanov), sections "Format of transaction log
//! files", "Dirty state of a hive", "Multiple transaction log files". Rules WIN-88 to WIN-95.
//!
//! What Windows would apply is applied, and where the document leaves more than one reading, the hive is
//! refused. Only the places of the pages are kept; the logs are read again when the pages are.

mod entry;
mod marvin;
mod old;
#[cfg(test)]
mod tests;

use super::base_block::{self, BaseBlock, HEAD_LEN};
use super::pages::{LogSector, Pages, SECTOR_BYTES};
use super::source::Source;
use crate::bytes::arith;
use crate::bytes::field;
use crate::error::{Error, Result};
use entry::{Entry, LogPage};

/// Bound on the size of a log, in bytes.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where the entries of a log start, in bytes.
const ENTRIES_AT: u64 = 512;

/// File type of the logs since Windows 8.1.
const TYPE_NEW: u32 = 6;

/// File types of the logs before.
const TYPES_OLD: [u32; 2] = [1, 2];

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Entries applied; 1 for a log of the old format.
    pub entries: u64,
    /// Pages in them: of 4096 bytes as a rule, of 512 bytes in the old format.
    pub pages: u64,
    /// Sequence number of the last entry.
    pub last_sequence: u32,
}

/// The entries of one log, in order.
struct Chain {
    log_index: usize,
    entries: Vec<Entry>,
}

/// Replays the logs in `pages` over its primary file, and brings `base` to the state after it.
///
/// # Errors
/// * `Refused` - no log applies.
/// * `Corrupt`, `Limit` - a log is damaged in a way that no interrupted write explains.
pub(super) fn replay(pages: &mut Pages<'_>, base: &mut BaseBlock) -> Result<Replay> {
    let chains = read_chains(pages, base)?;
    if chains.is_empty() {
        return old::replay(pages, base);
    }
    let mut done = Replay { entries: 0, pages: 0, last_sequence: 0 };
    for chain in &chains {
        for entry in &chain.entries {
            if done.entries != 0 && done.last_sequence.checked_add(1) != Some(entry.sequence) {
                // A gap between the logs: what is behind it is lost, for Windows too.
                return Ok(done);
            }
            apply(pages, base, chain.log_index, entry)?;
            done.entries = done.entries.saturating_add(1);
            done.pages = done.pages.saturating_add(arith::len_u64(entry.pages.len()));
            done.last_sequence = entry.sequence;
        }
    }
    Ok(done)
}

fn apply(
    pages: &mut Pages<'_>,
    base: &mut BaseBlock,
    log_index: usize,
    entry: &Entry,
) -> Result<()> {
    base.bins_bytes = entry.bins_bytes;
    base.set_transactions_of(entry.flags);
    pages.resize(entry.bins_bytes);
    for page in &entry.pages {
        apply_page(pages, log_index, page)?;
    }
    Ok(())
}

fn apply_page(pages: &mut Pages<'_>, log_index: usize, page: &LogPage) -> Result<()> {
    let first = page.offset.div_euclid(SECTOR_BYTES);
    for index in 0..page.size.div_euclid(SECTOR_BYTES) {
        let skipped = arith::mul(index.into(), SECTOR_BYTES.into())?;
        let offset_bytes = arith::add(page.log_offset_bytes, skipped)?;
        pages.replay(first.saturating_add(index), LogSector { log_index, offset_bytes });
    }
    Ok(())
}

/// The entries of those logs of the new format that apply, the earlier log first.
fn read_chains(pages: &Pages<'_>, base: &BaseBlock) -> Result<Vec<Chain>> {
    let mut chains = Vec::new();
    for (log_index, log) in pages.logs().iter().enumerate() {
        let Some(log_base) = read_base(&**log)? else { continue };
        if log_base.file_type != TYPE_NEW {
            continue;
        }
        let entries = read_entries(&**log)?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { continue };
        if first.sequence != log_base.primary || last.sequence < base.secondary {
            // Not the first entry that was written, or all of it is in the primary file (WIN-92).
            continue;
        }
        if first.sequence < base.secondary {
            return Err(base_block::dirty(format!(
                "a log has the sequences {} to {}, the hive has {}",
                first.sequence, last.sequence, base.secondary
            )));
        }
        chains.push(Chain { log_index, entries });
    }
    chains.sort_by_key(|chain| chain.entries.first().map(|entry| entry.sequence));
    Ok(chains)
}

/// Entries from the start of a log as long as they are whole and their numbers rise by one (WIN-91).
fn read_entries(log: &dyn Source) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = ENTRIES_AT;
    // Each entry has at least 512 bytes, and the log at most `LOG_BYTES_MAX`.
    while let Some(entry) = Entry::read(log, at)? {
        let expected = entries.last().map(|before| before.sequence.checked_add(1));
        if expected.is_some_and(|expected| expected != Some(entry.sequence)) {
            break;
        }
        at = arith::add(at, entry.size_bytes.into())?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The base block of a log; `None` if the log is empty or its base block is not whole.
fn read_base(log: &dyn Source) -> Result<Option<BaseBlock>> {
    if log.len_bytes() > LOG_BYTES_MAX {
        return Err(Error::limit("size of a hive log in bytes", LOG_BYTES_MAX, log.len_bytes()));
    }
    if log.len_bytes() < ENTRIES_AT {
        return Ok(None);
    }
    let head = log.read_at(0, HEAD_LEN)?;
    if !head.starts_with(b"regf") {
        return Ok(None);
    }
    let base = BaseBlock::parse(&head)?;
    Ok(base.checksum_agrees.then_some(base))
}

/// The highest sequence number in the logs of `pages`, stale entries and remnants included (WIN-96).
///
/// # Errors
/// `Limit` - a log is too large to be searched.
pub(super) fn highest_sequence(pages: &Pages<'_>) -> Result<u32> {
    let mut highest = 0;
    for log in pages.logs() {
        if let Some(base) = read_base(&**log)? {
            highest = highest.max(base.primary).max(base.secondary);
        }
        let sectors = arith::div(log.len_bytes(), SECTOR_BYTES.into())?;
        let len = arith::mul(sectors, SECTOR_BYTES.into())?;
        entry::for_pieces(&**log, 0, len, |piece| {
            for sector in piece.chunks_exact(HEAD_LEN) {
                let header = field::slice(sector, 0, 40)?;
                highest = highest.max(entry::header_sequence(header)?.unwrap_or(0));
            }
            Ok(())
        })?;
    }
    Ok(highest)
}
