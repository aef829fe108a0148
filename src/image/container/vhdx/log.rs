//! The log: changes of the file that may not have been made yet.
//!
//! Source: \[MS-VHDX\], section 2.3. The log is a ring of entries, each whole sectors of 4 KiB long. Those with the
//! identifier that the header names, and with sequence numbers that follow each other, are a sequence; the last entry
//! of a complete one says in which sector the first one is. The complete sequence with the highest number is replayed.
//!
//! Entry header, 64 bytes:
//!
//! | offset | size | specification     | valid when                                                             |
//! |-------:|-----:|-------------------|------------------------------------------------------------------------|
//! |      0 |    4 | Signature         | `loge`                                                                 |
//! |      4 |    4 | Checksum          | CRC-32C of the entry                                                   |
//! |      8 |    4 | EntryLength       | whole sectors of 4 KiB, at most the log                                |
//! |     12 |    4 | Tail              | the place of the first entry of the sequence in the log                |
//! |     16 |    8 | SequenceNumber    | not 0                                                                  |
//! |     24 |    4 | DescriptorCount   | descriptors and data sectors fit into the entry                        |
//! |     32 |   16 | LogGuid           | that of the header                                                     |
//! |     48 |    8 | FlushedFileOffset | the file is at least as long                                           |
//! |     56 |    8 | LastFileOffset    | the file has to be as long                                             |
//!
//! Descriptors of 32 bytes follow, then a sector of 4 KiB for each data descriptor:
//!
//! | offset | size | data descriptor (`desc`)          | zero descriptor (`zero`) |
//! |-------:|-----:|-----------------------------------|--------------------------|
//! |      4 |    4 | last 4 bytes of the sector        | reserved                 |
//! |      8 |    8 | first 8 bytes of the sector       | length in bytes          |
//! |     16 |    8 | where the sector goes             | where the zeros go       |
//! |     24 |    8 | SequenceNumber, as of the entry   | the same                 |
//!
//! Data sector: `data`, the high half of the sequence number, bytes 8 to 4091 of the sector, the low half.

use super::super::block_map::Source;
use super::MIB;
use super::header::{Header, has_right_sum, put_sum};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Corrupt, Error, Result};

/// The unit of the log in bytes.
pub(super) const SECTOR_BYTES: u64 = 4096;

/// Bound on a log that is replayed, in bytes. Usual are 1 MiB.
const LOG_BYTES_MAX: u64 = 4 * MIB;

/// Bound on the changes in a log.
const CHANGES_MAX: usize = 4096;

/// Bound on the pages of [`entry`]: as many descriptors fit into its first sector, and the whole into the smallest log.
pub(super) const PAGES_MAX: usize = 100;

// The header has 64 bytes, a descriptor 32.
const _: () = assert!(64 + 32 * PAGES_MAX <= 4096, "descriptors in a second sector");

/// What is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LogDefect {
    #[error("the header names a log, but no sequence of entries in it is complete")]
    NoSequence,
    #[error("the file has {file_bytes} bytes, and had {needed_bytes} when the log was written")]
    CutShort { file_bytes: u64, needed_bytes: u64 },
    #[error("a change of {len_bytes} bytes at {start_bytes:#x}")]
    Place { start_bytes: u64, len_bytes: u64 },
    #[error("a descriptor or data sector of another entry")]
    Torn,
}

/// One change of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) start_bytes: u64,
    pub(super) content: Content,
}

/// What goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A sector of 4 KiB.
    Sector(Vec<u8>),
    /// So many zeros.
    Zeros(u64),
}

impl Change {
    pub(super) fn len_bytes(&self) -> u64 {
        match &self.content {
            Content::Sector(bytes) => len_u64(bytes.len()),
            Content::Zeros(len) => *len,
        }
    }
}

/// What a replay does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replay {
    /// In the order in which they are made.
    pub(super) changes: Vec<Change>,
    /// How long the file has to be.
    pub(super) file_bytes: u64,
}

fn corrupt(defect: LogDefect) -> Error {
    Corrupt::new("VHDX log", defect).into()
}

/// An entry with a right checksum.
#[derive(Debug, Clone, Copy)]
struct Found {
    at: u64,
    len: u64,
    tail: u64,
    sequence_number: u64,
}

/// The log in memory.
struct Log<'a> {
    bytes: Vec<u8>,
    guid: &'a [u8],
}

/// Reads what the log of `header` would change.
///
/// # Errors
/// `Corrupt`, `Io`; `Limit` if the log is too long.
pub(super) fn read(source: &dyn Source, header: &Header) -> Result<Replay> {
    let len_bytes = arith::sub(header.log.end, header.log.start)?;
    if len_bytes > LOG_BYTES_MAX {
        let what = "log of the VHDX in bytes (`qemu-img check -r all -f vhdx FILE` replays it)";
        return Err(Error::limit(what, LOG_BYTES_MAX, len_bytes));
    }
    let bytes = source.read_vec(header.log.start, arith::to(len_bytes)?)?;
    let log = Log { bytes, guid: header.log_guid() };
    let sequence = log.active()?;
    let Some(last) = sequence.last() else { return Err(corrupt(LogDefect::NoSequence)) };
    let head = log.ring(last.at, 64)?;
    let (needed_bytes, file_bytes) = (field::le_u64(&head, 48)?, field::le_u64(&head, 56)?);
    if source.len_bytes() < needed_bytes {
        let file_bytes = source.len_bytes();
        return Err(corrupt(LogDefect::CutShort { file_bytes, needed_bytes }));
    }
    let file_bytes = file_bytes.max(source.len_bytes());
    let mut changes = Vec::new();
    for entry in &sequence {
        log.add_changes(entry, file_bytes, &mut changes)?;
    }
    Ok(Replay { changes, file_bytes })
}

impl Log<'_> {
    fn len(&self) -> u64 {
        len_u64(self.bytes.len())
    }

    /// `len` bytes from `at`, over the end.
    fn ring(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        let first = len.min(arith::sub(self.len(), at)?);
        let mut bytes = field::slice(&self.bytes, arith::to(at)?, arith::to(first)?)?.to_vec();
        let rest = arith::to(arith::sub(len, first)?)?;
        bytes.extend_from_slice(field::slice(&self.bytes, 0, rest)?);
        Ok(bytes)
    }

    /// The entry at `at`, if there is a valid one.
    fn entry(&self, at: u64) -> Result<Option<Found>> {
        let head = self.ring(at, 64)?;
        let len = u64::from(field::le_u32(&head, 8)?);
        let is_entry = head.starts_with(b"loge")
            && field::slice(&head, 32, 16)? == self.guid
            && len != 0
            && len.is_multiple_of(SECTOR_BYTES)
            && len <= self.len();
        if !is_entry || !has_right_sum(&self.ring(at, len)?)? {
            return Ok(None);
        }
        let sequence_number = field::le_u64(&head, 16)?;
        let tail = field::le_u32(&head, 12)?.into();
        Ok((sequence_number != 0).then_some(Found { at, len, tail, sequence_number }))
    }

    /// The entries that are to be replayed.
    fn active(&self) -> Result<Vec<Found>> {
        let mut active: Vec<Found> = Vec::new();
        let mut at = 0;
        // Each start is tried once: after a sequence, what follows it.
        while at < self.len() {
            let sequence = self.sequence(at)?;
            let end = sequence.iter().try_fold(at, |end, entry| arith::add(end, entry.len))?;
            at = if end == at { arith::add(at, SECTOR_BYTES)? } else { end };
            let Some(last) = sequence.last() else { continue };
            let Some(first) = sequence.iter().position(|entry| entry.at == last.tail) else {
                continue;
            };
            let is_newer = |other: &Found| last.sequence_number > other.sequence_number;
            if active.last().is_none_or(is_newer) {
                active = sequence.get(first..).unwrap_or_default().to_vec();
            }
        }
        Ok(active)
    }

    /// The entries from `start` on whose numbers follow each other, once around at most.
    fn sequence(&self, start: u64) -> Result<Vec<Found>> {
        let mut sequence: Vec<Found> = Vec::new();
        let mut taken = 0;
        while taken < self.len() {
            let at = arith::rem(arith::add(start, taken)?, self.len())?;
            let Some(entry) = self.entry(at)? else { break };
            let follows = |last: &Found| last.sequence_number.checked_add(1);
            if sequence.last().is_some_and(|last| follows(last) != Some(entry.sequence_number)) {
                break;
            }
            taken = arith::add(taken, entry.len)?;
            if taken > self.len() {
                break;
            }
            sequence.push(entry);
        }
        Ok(sequence)
    }

    /// Appends what `entry` changes.
    fn add_changes(&self, entry: &Found, file_bytes: u64, changes: &mut Vec<Change>) -> Result<()> {
        let bytes = self.ring(entry.at, entry.len)?;
        let count = usize::try_from(field::le_u32(&bytes, 24)?).unwrap_or(usize::MAX);
        let table_bytes = arith::add(64, arith::mul(len_u64(count), 32)?)?;
        let mut data_at: usize = arith::to(arith::round_up(table_bytes, SECTOR_BYTES)?)?;
        let table = field::slice(&bytes, 64, count.saturating_mul(32))?;
        for descriptor in table.chunks_exact(32) {
            if field::le_u64(descriptor, 24)? != entry.sequence_number {
                return Err(corrupt(LogDefect::Torn));
            }
            let start_bytes = field::le_u64(descriptor, 16)?;
            let content = if descriptor.starts_with(b"desc") {
                let sector = field::slice(&bytes, data_at, 4096)?;
                data_at = data_at.saturating_add(4096);
                Content::Sector(restore(descriptor, sector, entry.sequence_number)?)
            } else if descriptor.starts_with(b"zero") {
                Content::Zeros(field::le_u64(descriptor, 8)?)
            } else {
                return Err(corrupt(LogDefect::Torn));
            };
            let change = Change { start_bytes, content };
            check_place(&change, file_bytes)?;
            if changes.len() >= CHANGES_MAX {
                let limit = len_u64(CHANGES_MAX);
                let what = "changes in the log of the VHDX";
                return Err(Error::limit(what, limit, limit.saturating_add(1)));
            }
            changes.push(change);
        }
        Ok(())
    }
}

/// Nothing changes the headers, or what is behind the end.
fn check_place(change: &Change, file_bytes: u64) -> Result<()> {
    let (start_bytes, len_bytes) = (change.start_bytes, change.len_bytes());
    let is_whole =
        start_bytes.is_multiple_of(SECTOR_BYTES) && len_bytes.is_multiple_of(SECTOR_BYTES);
    if is_whole && start_bytes >= MIB && arith::add(start_bytes, len_bytes)? <= file_bytes {
        return Ok(());
    }
    Err(corrupt(LogDefect::Place { start_bytes, len_bytes }))
}

/// The sector that a data descriptor and its data sector make together.
fn restore(descriptor: &[u8], sector: &[u8], sequence_number: u64) -> Result<Vec<u8>> {
    let number = field::join_u32(field::le_u32(sector, 4)?, field::le_u32(sector, 4092)?);
    if !sector.starts_with(b"data") || number != sequence_number {
        return Err(corrupt(LogDefect::Torn));
    }
    let mut restored = sector.to_vec();
    field::put(&mut restored, 0, field::slice(descriptor, 8, 8)?)?;
    field::put(&mut restored, 4092, field::slice(descriptor, 4, 4)?)?;
    Ok(restored)
}

/// An entry, the only one of its log, that changes `pages`: where each goes, and its 4 KiB. At most [`PAGES_MAX`].
///
/// # Errors
/// `Corrupt` if a page has another length.
pub(super) fn entry(guid: &[u8], pages: &[(u64, Vec<u8>)], file_bytes: u64) -> Result<Vec<u8>> {
    let len = arith::mul(arith::add(len_u64(pages.len()), 1)?, SECTOR_BYTES)?;
    let mut entry = vec![0; arith::to(len)?];
    field::put(&mut entry, 0, b"loge")?;
    field::put_le_u32(&mut entry, 8, arith::to(len)?)?;
    field::put_le_u64(&mut entry, 16, 1)?;
    field::put_le_u32(&mut entry, 24, arith::to(pages.len())?)?;
    field::put(&mut entry, 32, guid)?;
    field::put_le_u64(&mut entry, 48, file_bytes)?;
    field::put_le_u64(&mut entry, 56, file_bytes)?;
    let (mut at, mut data_at) = (64usize, 4096usize);
    for (place, page) in pages {
        field::put(&mut entry, at, b"desc")?;
        field::put(&mut entry, at.saturating_add(4), field::slice(page, 4092, 4)?)?;
        field::put(&mut entry, at.saturating_add(8), field::slice(page, 0, 8)?)?;
        field::put_le_u64(&mut entry, at.saturating_add(16), *place)?;
        field::put_le_u64(&mut entry, at.saturating_add(24), 1)?;
        let sector = field::slice_mut(&mut entry, data_at, 4096)?;
        field::put(sector, 0, b"data\0\0\0\0")?;
        field::put(sector, 8, field::slice(page, 8, 4084)?)?;
        field::put_le_u32(sector, 4092, 1)?;
        at = at.saturating_add(32);
        data_at = data_at.saturating_add(4096);
    }
    put_sum(&mut entry)?;
    Ok(entry)
}
