//! The blocks of the log: header, descriptor, commit and revocation blocks. Bytes in, values out.

use super::superblock::{JOURNAL_MAGIC, JournalChecksum, Superblock};
use super::{JournalDefect, Sequence};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{
    Short, be_u16, be_u32, be_u64, join_u32, low_u16, put_be_u32, slice, u8_at,
};

/// Length of the header of every journal block, in bytes.
const HEADER_BYTES: usize = 12;
/// Length of a journal UUID behind a tag, in bytes.
const TAG_UUID_BYTES: usize = 16;
/// Length of header and byte count of a revocation block.
const REVOKE_HEADER_BYTES: usize = 16;

const FLAG_ESCAPED: u32 = 0x1;
const FLAG_SAME_UUID: u32 = 0x2;
const FLAG_LAST_TAG: u32 = 0x8;

/// What a journal block is, from `h_blocktype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 1: tags, and behind the block the data.
    Descriptor,
    /// 2: the end of a transaction.
    Commit,
    /// 5: blocks that must not be replayed.
    Revoke,
    /// 3 and 4, or anything else: not part of a transaction.
    Other,
}

/// Start of one JBD2 journal block.
///
/// Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Journal (jbd2)",
/// table `journal_header_s`. 12 bytes, **big-endian**.
///
/// | offset | size | spec        | here       | valid when                              |
/// |-------:|-----:|-------------|------------|-----------------------------------------|
/// |    0x0 |    4 | h_magic     | (checked)  | equals `JOURNAL_MAGIC`                  |
/// |    0x4 |    4 | h_blocktype | kind       | 1, 2 or 5 inside a transaction          |
/// |    0x8 |    4 | h_sequence  | sequence   | the transaction; wraps                  |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) sequence: Sequence,
}

impl Header {
    /// Parses the header; `None` if there is no magic, which is how a log ends.
    pub(super) fn parse(block: &[u8]) -> Result<Option<Self>, Short> {
        if be_u32(block, 0)? != JOURNAL_MAGIC {
            return Ok(None);
        }
        let kind = match be_u32(block, 4)? {
            1 => Kind::Descriptor,
            2 => Kind::Commit,
            5 => Kind::Revoke,
            _ => Kind::Other,
        };
        Ok(Some(Self { kind, sequence: Sequence(be_u32(block, 8)?) }))
    }
}

/// Where one data block of the log belongs.
///
/// Format: as above, tables `journal_block_tag_s` and `journal_block_tag3_s`.
///
/// | without v3 | with v3 | size | spec           | here       | valid when                      |
/// |-----------:|--------:|-----:|----------------|------------|---------------------------------|
/// |        0x0 |     0x0 |    4 | t_blocknr      | target     | inside the file system          |
/// |        0x4 |     0xC | 2, 4 | t_checksum     | checksum   | of UUID, sequence and log block |
/// |        0x6 |     0x4 | 2, 4 | t_flags        | is_escaped | 1 escaped, 2 same UUID, 8 last  |
/// |        0x8 |     0x8 |    4 | t_blocknr_high | target     | only used with 64-bit numbers   |
/// |     behind |  behind |   16 | uuid           | (skipped)  | absent with "same UUID"         |
///
/// A tag is 16 bytes long with v3; otherwise 8, or 12 with 64-bit numbers. UNKNOWN to the document,
/// but observed in what e2fsprogs and the kernel write: a v2 tag is 2 bytes longer than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Block of the file system.
    pub(super) target: u64,
    /// The first four bytes of the data block were the journal magic and are stored as zeros.
    pub(super) is_escaped: bool,
    /// Stored checksum: 16 bits with v2, 32 bits with v3, otherwise meaningless.
    pub(super) checksum: u32,
}

/// Length of a tag without UUID in bytes.
fn tag_len(superblock: &Superblock) -> usize {
    match (superblock.checksum, superblock.has_64bit) {
        (JournalChecksum::V3, _) => 16,
        (JournalChecksum::V2, true) => 14,
        (JournalChecksum::V2, false) => 10,
        (_, true) => 12,
        (_, false) => 8,
    }
}

/// Length of the checksum at the end of descriptor and revocation blocks.
fn tail_len(superblock: &Superblock) -> usize {
    if superblock.has_block_checksums() { 4 } else { 0 }
}

/// The tags of a descriptor block. Bounded by the size of the block.
pub(super) fn tags(block: &[u8], superblock: &Superblock) -> Result<Vec<Tag>, Short> {
    let len = tag_len(superblock);
    let end = block.len().saturating_sub(tail_len(superblock));
    let mut tags = Vec::new();
    let mut offset = HEADER_BYTES;
    while offset.saturating_add(len) <= end {
        let (tag, flags) = parse_tag(slice(block, offset, len)?, superblock)?;
        tags.push(tag);
        if flags & FLAG_LAST_TAG != 0 {
            break;
        }
        let uuid_len = if flags & FLAG_SAME_UUID == 0 { TAG_UUID_BYTES } else { 0 };
        offset = offset.saturating_add(len).saturating_add(uuid_len);
    }
    Ok(tags)
}

fn parse_tag(bytes: &[u8], superblock: &Superblock) -> Result<(Tag, u32), Short> {
    let low = be_u32(bytes, 0)?;
    let high = if superblock.has_64bit { be_u32(bytes, 8)? } else { 0 };
    let (flags, checksum) = if superblock.checksum == JournalChecksum::V3 {
        (be_u32(bytes, 4)?, be_u32(bytes, 12)?)
    } else {
        (u32::from(be_u16(bytes, 6)?), u32::from(be_u16(bytes, 4)?))
    };
    let is_escaped = flags & FLAG_ESCAPED != 0;
    Ok((Tag { target: join_u32(high, low), is_escaped, checksum }, flags))
}

/// True if `data`, a block as it stands in the log, is what `tag` was written for.
pub(super) fn tag_matches(
    tag: &Tag,
    data: &[u8],
    sequence: Sequence,
    superblock: &Superblock,
) -> bool {
    let seed = crc32c_raw(superblock.checksum_seed, &sequence.0.to_be_bytes());
    let computed = crc32c_raw(seed, data);
    match superblock.checksum {
        JournalChecksum::V3 => agrees(tag.checksum, computed),
        JournalChecksum::V2 => agrees(tag.checksum, u32::from(low_u16(computed))),
        JournalChecksum::None | JournalChecksum::Commit => true,
    }
}

/// Checks the CRC-32C in the last four bytes of a descriptor or revocation block, if there is one.
pub(super) fn check_tail(block: &[u8], superblock: &Superblock) -> Result<(), JournalDefect> {
    let offset = block.len().saturating_sub(4);
    check_block_checksum(block, offset, superblock)
}

/// A commit block.
///
/// Format: as above, table `commit_header`.
///
/// | offset | size | spec           | here       | valid when                                     |
/// |-------:|-----:|----------------|------------|------------------------------------------------|
/// |    0xC |    1 | h_chksum_type  | crc32      | v1: 1 (CRC-32), or 0 with size and checksum 0  |
/// |    0xD |    1 | h_chksum_size  | crc32      | v1: 4, or 0                                    |
/// |   0x10 |    4 | h_chksum\[0\]  | crc32      | v1: of the transaction; v2, v3: of this block  |
/// |   0x30 |    8 | h_commit_sec   | seconds    | any                                            |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    /// The CRC-32 of all descriptor and data blocks of the transaction, where one is stored.
    pub(super) crc32: Option<u32>,
    /// When the transaction was committed, in seconds since 1970.
    pub(super) seconds: u64,
}

impl Commit {
    /// Parses a commit block and checks its own checksum, if there is one.
    pub(super) fn parse(block: &[u8], superblock: &Superblock) -> Result<Self, JournalDefect> {
        check_block_checksum(block, 0x10, superblock)?;
        let stored = be_u32(block, 0x10)?;
        let kind = (u8_at(block, 0xc)?, u8_at(block, 0xd)?);
        let crc32 = match (superblock.checksum, kind, stored) {
            (JournalChecksum::Commit, (0, 0), 0) => None,
            (JournalChecksum::Commit, (1, 4), crc32) => Some(crc32),
            (JournalChecksum::Commit, (checksum_type, _), _) => {
                return Err(JournalDefect::ChecksumType(checksum_type));
            }
            _ => None,
        };
        Ok(Self { crc32, seconds: be_u64(block, 0x30)? })
    }
}

fn check_block_checksum(
    block: &[u8],
    offset: usize,
    superblock: &Superblock,
) -> Result<(), JournalDefect> {
    if !superblock.has_block_checksums() {
        return Ok(());
    }
    let stored = be_u32(block, offset)?;
    let mut zeroed = block.to_vec();
    put_be_u32(&mut zeroed, offset, 0)?;
    let computed = crc32c_raw(superblock.checksum_seed, &zeroed);
    if agrees(stored, computed) {
        Ok(())
    } else {
        Err(JournalDefect::Checksum { stored, computed })
    }
}

/// The blocks that a revocation block names.
///
/// Format: as above, table `jbd2_journal_revoke_header_s`.
///
/// | offset | size   | spec    | here      | valid when                                       |
/// |-------:|-------:|---------|-----------|--------------------------------------------------|
/// |    0xC |      4 | r_count | (checked) | 16 up to the checksum at the end: bytes used     |
/// |   0x10 | 4 or 8 | blocks  | elements  | 8 bytes each with 64-bit numbers                 |
pub(super) fn revoked(block: &[u8], superblock: &Superblock) -> Result<Vec<u64>, JournalDefect> {
    check_tail(block, superblock)?;
    let used_bytes = be_u32(block, 0xc)?;
    let end = block.len().saturating_sub(tail_len(superblock));
    let used = usize::try_from(used_bytes).unwrap_or(usize::MAX);
    if !(REVOKE_HEADER_BYTES..=end).contains(&used) {
        return Err(JournalDefect::RevokeCount { used_bytes });
    }
    let entries = slice(block, REVOKE_HEADER_BYTES, used.saturating_sub(REVOKE_HEADER_BYTES))?;
    let width = if superblock.has_64bit { 8 } else { 4 };
    let numbers = entries.chunks_exact(width).map(|entry| {
        if superblock.has_64bit { be_u64(entry, 0) } else { be_u32(entry, 0).map(u64::from) }
    });
    Ok(numbers.collect::<Result<_, _>>()?)
}
