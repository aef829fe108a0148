//! Items: what a transaction says about one buffer, inode, quota record or intent.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log", section "Log Items".
//! Little-endian, as the host wrote them, but for the numbers of an inode creation. Not in it, and
//! known from the kernel documentation and xfs_logprint: ATTRI/ATTRD, XMI/XMD, the realtime twins,
//! and that the upper five bits of the flags of a buffer say what it holds.

use super::LogDefect;
use super::operation::RawItem;
use super::quota::QuotaKinds;
use crate::bytes::field::{be_u32, le_u16, le_u32, le_u64, slice};
use crate::error::{Corrupt, Refusal, Result};
use crate::fs::xfs::units::InodeNumber;

/// Bytes that one bit of the map of a buffer stands for.
pub(super) const CHUNK_BYTES: usize = 128;
/// Bound on the length of a buffer in sectors of 512 bytes: the largest block.
const BUFFER_SECTORS_MAX: u16 = 128;
/// Words of the map of the largest buffer, and one that the kernel adds.
const MAP_WORDS_MAX: u32 = 17;
/// Bound on the extents of an intent.
const INTENT_EXTENTS_MAX: u32 = 65_536;

/// `blf_flags`.
pub(super) mod buffer_flag {
    /// Only the pointers of unlinked inodes count.
    pub(in super::super) const INODE: u16 = 0x1;
    /// The buffer was freed: what was logged before must not be replayed.
    pub(in super::super) const CANCEL: u16 = 0x2;
    /// Quota records: of users, projects, groups.
    pub(in super::super) const QUOTA: u16 = 0x4 | 0x8 | 0x10;
    /// Where the kind of buffer starts.
    pub(in super::super) const KIND_SHIFT: u32 = 11;
}

/// `ilf_fields`.
pub(super) mod inode_field {
    pub(in super::super) const DATA_LOCAL: u32 = 0x2;
    pub(in super::super) const DATA_EXTENTS: u32 = 0x4;
    pub(in super::super) const DATA_BTREE: u32 = 0x8;
    pub(in super::super) const DEVICE: u32 = 0x10;
    pub(in super::super) const ATTRIBUTE_LOCAL: u32 = 0x40;
    pub(in super::super) const ATTRIBUTE_EXTENTS: u32 = 0x80;
    pub(in super::super) const ATTRIBUTE_BTREE: u32 = 0x100;
    pub(in super::super) const OWNERS: u32 = 0x200 | 0x400;
    pub(in super::super) const DATA: u32 = DATA_LOCAL | DATA_EXTENTS | DATA_BTREE;
    pub(in super::super) const ATTRIBUTE: u32 =
        ATTRIBUTE_LOCAL | ATTRIBUTE_EXTENTS | ATTRIBUTE_BTREE;
}

/// Parts of a buffer (`xfs_buf_log_format_t`).
///
/// | offset | size | field         | ours    | valid when |
/// |-------:|-----:|---------------|---------|------------|
/// | 0      | 2    | blf_type      |         | 0x123c |
/// | 2      | 2    | blf_size      |         | regions, with this one |
/// | 4      | 2    | blf_flags     | `flags` | |
/// | 6      | 2    | blf_len       | `sectors` | up to 128; 0 only if canceled |
/// | 8      | 8    | blf_blkno     | `daddr` | inside the file system |
/// | 16     | 4    | blf_map_size  |         | up to 17 |
/// | 20     | 4 each | blf_data_map | `parts` | a bit for each 128 bytes |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) flags: u16,
    pub(super) daddr: u64,
    pub(super) sectors: u16,
    /// Byte offset in the buffer and bytes.
    pub(super) parts: Vec<(usize, Vec<u8>)>,
}

/// Parts of an inode (`xfs_inode_log_format_t`), 56 bytes; 52 without `ilf_pad`.
///
/// | offset | size | field       | ours    | valid when |
/// |-------:|-----:|-------------|---------|------------|
/// | 0      | 2    | ilf_type    |         | 0x123b |
/// | 2      | 2    | ilf_size    |         | regions, with this one |
/// | 4      | 4    | ilf_fields  | `fields`| |
/// | 8      | 2    | ilf_asize   | `attribute` | |
/// | 10     | 2    | ilf_dsize   | `data`  | |
/// | 16     | 8    | ilf_ino     | `number`| lies at that place |
/// | 24     | 16   | ilf_u       | `device`| |
/// | 40     | 8    | ilf_blkno   | `daddr` | |
/// | 48     | 4    | ilf_len     | `sectors` | |
/// | 52     | 4    | ilf_boffset | `offset_bytes` | |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) fields: u32,
    pub(super) number: InodeNumber,
    pub(super) device: u32,
    pub(super) daddr: u64,
    pub(super) sectors: u32,
    pub(super) offset_bytes: u32,
    /// The core, in host byte order.
    pub(super) core: Vec<u8>,
    /// What the data fork holds now, if it is logged.
    pub(super) data: Option<Vec<u8>>,
    /// What the attribute fork holds now, if it is logged.
    pub(super) attribute: Option<Vec<u8>>,
}

/// A quota record (`xfs_dq_logformat_t`), 24 bytes.
///
/// | offset | size | field       | ours    | valid when |
/// |-------:|-----:|-------------|---------|------------|
/// | 0      | 2    | qlf_type    |         | 0x123d |
/// | 2      | 2    | qlf_size    |         | regions, with this one: 2 |
/// | 4      | 4    | qlf_id      | `id`    | that of the record |
/// | 8      | 8    | qlf_blkno   | `daddr` | inside the file system |
/// | 16     | 4    | qlf_len     | `sectors` | |
/// | 20     | 4    | qlf_boffset | `offset_bytes` | the record fits behind it |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) id: u32,
    pub(super) daddr: u64,
    pub(super) sectors: u32,
    pub(super) offset_bytes: u32,
    /// The record, big-endian as on the disk.
    pub(super) record: Vec<u8>,
}

/// New inodes (`xfs_icreate_log`): type, size, then big-endian ag, agbno, count, isize, length, gen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeCreate {
    pub(super) ag: u32,
    pub(super) ag_block: u32,
    pub(super) inodes: u32,
    pub(super) inode_bytes: u32,
    pub(super) blocks: u32,
    pub(super) generation: u32,
}

/// What an intent announces, by the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IntentKind {
    /// Free extents.
    ExtentFree,
    /// Change reverse mappings.
    ReverseMapping,
    /// Change reference counts.
    ReferenceCount,
    /// Map or unmap an extent of a file.
    Mapping,
    /// Set or remove an attribute.
    Attribute,
    /// Exchange the extents of two files.
    Exchange,
    /// Free extents of the realtime device.
    RealtimeExtentFree,
    /// Change reverse mappings of the realtime device.
    RealtimeReverseMapping,
    /// Change reference counts of the realtime device.
    RealtimeReferenceCount,
}

impl IntentKind {
    /// True if it is about the realtime device.
    pub(crate) fn is_realtime(self) -> bool {
        matches!(
            self,
            Self::RealtimeExtentFree | Self::RealtimeReverseMapping | Self::RealtimeReferenceCount
        )
    }

    /// What xfs_logprint calls the intent.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ExtentFree => "EFI (free extents)",
            Self::ReverseMapping => "RUI (change reverse mappings)",
            Self::ReferenceCount => "CUI (change reference counts)",
            Self::Mapping => "BUI (map or unmap an extent)",
            Self::Attribute => "ATTRI (set or remove an attribute)",
            Self::Exchange => "XMI (exchange extents)",
            Self::RealtimeExtentFree => "realtime EFI",
            Self::RealtimeReverseMapping => "realtime RUI",
            Self::RealtimeReferenceCount => "realtime CUI",
        }
    }
}

/// What an intent is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct IntentTargets {
    pub(super) inodes: Vec<InodeNumber>,
    /// Start as packed block, length in blocks.
    pub(super) extents: Vec<(u64, u64)>,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Buffer(Buffer),
    Inode(Inode),
    Quota(Quota),
    /// The accounting of these kinds ended (`xfs_qoff_logformat_t`): type, size, flags (4), padding.
    QuotaOff(QuotaKinds),
    InodeCreate(InodeCreate),
    Intent(IntentKind, u64, IntentTargets),
    Done(IntentKind, u64),
}

/// Reads an item.
///
/// # Errors
/// * `Corrupt` - it makes no sense.
/// * `Refused` - an item that is not known.
pub(super) fn parse(raw: &RawItem) -> Result<Item> {
    let format = region(raw, 0).map_err(corrupt)?;
    let kind = le_u16(format, 0).map_err(|short| corrupt(short.into()))?;
    let parsed = match kind {
        0x123c => buffer(raw).map(Item::Buffer),
        0x123b => inode(raw).map(Item::Inode),
        0x123d => quota(raw).map(Item::Quota),
        0x123e => quota_off(format).map(Item::QuotaOff),
        0x123f => inode_create(format).map(Item::InodeCreate),
        0x1236..=0x1237 | 0x1240..=0x124f => intent(kind, format),
        _ => {
            let detail = format!("it holds items of the unknown type {kind:#x}");
            return Err(Refusal::DirtyLog { detail }.into());
        }
    };
    parsed.map_err(corrupt)
}

fn corrupt(defect: LogDefect) -> crate::error::Error {
    Corrupt::new("log item", defect).into()
}

fn region(raw: &RawItem, index: usize) -> Result<&[u8], LogDefect> {
    let (found, expected) = (raw.regions.len(), index.saturating_add(1));
    raw.regions.get(index).map(Vec::as_slice).ok_or(LogDefect::Regions { found, expected })
}

fn buffer(raw: &RawItem) -> Result<Buffer, LogDefect> {
    let format = region(raw, 0)?;
    let (flags, sectors) = (le_u16(format, 4)?, le_u16(format, 6)?);
    let daddr = le_u64(format, 8)?;
    let words = le_u32(format, 16)?;
    if sectors > BUFFER_SECTORS_MAX || words > MAP_WORDS_MAX {
        return Err(LogDefect::Place { daddr, sectors: sectors.into() });
    }
    let mut parts = Vec::new();
    if flags & buffer_flag::CANCEL == 0 {
        let words = usize::try_from(words).unwrap_or_default();
        let map = slice(format, 20, words.saturating_mul(4))?;
        parts = buffer_parts(raw, map)?;
    }
    Ok(Buffer { flags, daddr, sectors, parts })
}

/// Pairs the runs of set bits with the regions. A region may end before its run does; the next one
/// then goes on.
fn buffer_parts(raw: &RawItem, map: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, LogDefect> {
    let is_set = |bit: usize| map.get(bit >> 3).is_some_and(|byte| (byte >> (bit & 7)) & 1 == 1);
    let bits = map.len().saturating_mul(8);
    let (mut bit, mut parts) = (0usize, Vec::new());
    for bytes in raw.regions.iter().skip(1) {
        while bit < bits && !is_set(bit) {
            bit = bit.saturating_add(1);
        }
        let start = bit;
        let chunks = bytes.len().div_ceil(CHUNK_BYTES);
        while bit.saturating_sub(start) < chunks && is_set(bit) {
            bit = bit.saturating_add(1);
        }
        let len = bit.saturating_sub(start).saturating_mul(CHUNK_BYTES).min(bytes.len());
        if len == 0 {
            let (found, expected) = (raw.regions.len(), parts.len().saturating_add(1));
            return Err(LogDefect::Regions { found, expected });
        }
        let bytes = slice(bytes, 0, len)?.to_vec();
        parts.push((start.saturating_mul(CHUNK_BYTES), bytes));
    }
    Ok(parts)
}

fn inode(raw: &RawItem) -> Result<Inode, LogDefect> {
    let format = region(raw, 0)?;
    let fields = le_u32(format, 4)?;
    let (attribute_bytes, data_bytes) = (le_u16(format, 8)?, le_u16(format, 10)?);
    // Hosts of 32 bits leave the padding out.
    let at = if format.len() < 56 { 12 } else { 16usize };
    let (mut data, mut attribute) = (None, None);
    let mut next = 2usize;
    if fields & inode_field::DATA != 0 {
        data = Some(slice(region(raw, next)?, 0, data_bytes.into())?.to_vec());
        next = next.saturating_add(1);
    }
    if fields & inode_field::ATTRIBUTE != 0 {
        attribute = Some(slice(region(raw, next)?, 0, attribute_bytes.into())?.to_vec());
    }
    Ok(Inode {
        fields,
        number: InodeNumber(le_u64(format, at)?),
        device: le_u32(format, at.saturating_add(8))?,
        daddr: le_u64(format, at.saturating_add(24))?,
        sectors: le_u32(format, at.saturating_add(32))?,
        offset_bytes: le_u32(format, at.saturating_add(36))?,
        core: region(raw, 1)?.to_vec(),
        data,
        attribute,
    })
}

fn quota(raw: &RawItem) -> Result<Quota, LogDefect> {
    let format = region(raw, 0)?;
    Ok(Quota {
        id: le_u32(format, 4)?,
        daddr: le_u64(format, 8)?,
        sectors: le_u32(format, 16)?,
        offset_bytes: le_u32(format, 20)?,
        record: region(raw, 1)?.to_vec(),
    })
}

fn quota_off(format: &[u8]) -> Result<QuotaKinds, LogDefect> {
    Ok(QuotaKinds::of_accounting(le_u32(format, 4)?))
}

fn inode_create(format: &[u8]) -> Result<InodeCreate, LogDefect> {
    Ok(InodeCreate {
        ag: be_u32(format, 4)?,
        ag_block: be_u32(format, 8)?,
        inodes: be_u32(format, 12)?,
        inode_bytes: be_u32(format, 16)?,
        blocks: be_u32(format, 20)?,
        generation: be_u32(format, 24)?,
    })
}

/// An intent or a done item: type, size, count (4), id (8), then what the kind of intent needs.
fn intent(kind: u16, format: &[u8]) -> Result<Item, LogDefect> {
    let id = le_u64(format, 8)?;
    let is_done = kind & 1 == 1;
    let (kind, targets) = match kind & !1 {
        0x1236 => (IntentKind::ExtentFree, extents(format, is_done)?),
        0x1240 => (IntentKind::ReverseMapping, mappings(format, is_done)?),
        0x1242 => (IntentKind::ReferenceCount, extents(format, is_done)?),
        0x1244 => (IntentKind::Mapping, mappings(format, is_done)?),
        0x1246 => (IntentKind::Attribute, inodes(format, 1, is_done)?),
        0x1248 => (IntentKind::Exchange, inodes(format, 2, is_done)?),
        // Blocks of the realtime device are no blocks of the file system.
        0x124a => (IntentKind::RealtimeExtentFree, IntentTargets::default()),
        0x124c => (IntentKind::RealtimeReverseMapping, IntentTargets::default()),
        _ => (IntentKind::RealtimeReferenceCount, IntentTargets::default()),
    };
    Ok(if is_done { Item::Done(kind, id) } else { Item::Intent(kind, id, targets) })
}

fn extent_count(format: &[u8]) -> Result<u32, LogDefect> {
    let count = le_u32(format, 4)?;
    if count > INTENT_EXTENTS_MAX { Err(LogDefect::Range) } else { Ok(count) }
}

/// Extents of start (8), length (4) and flags or padding (4). Hosts of 32 bits leave padding out.
fn extents(format: &[u8], is_done: bool) -> Result<IntentTargets, LogDefect> {
    let mut targets = IntentTargets::default();
    if is_done {
        return Ok(targets);
    }
    let count = usize::try_from(extent_count(format)?).unwrap_or(usize::MAX);
    let is_short = format.len() < count.saturating_mul(16).saturating_add(16);
    let step = if is_short { 12 } else { 16usize };
    for index in 0..count {
        let at = index.saturating_mul(step).saturating_add(16);
        let len = le_u32(format, at.saturating_add(8))?;
        targets.extents.push((le_u64(format, at)?, len.into()));
    }
    Ok(targets)
}

/// Extents of owner (8), start (8), place in the file (8), length (4) and flags (4).
fn mappings(format: &[u8], is_done: bool) -> Result<IntentTargets, LogDefect> {
    let mut targets = IntentTargets::default();
    if is_done {
        return Ok(targets);
    }
    let count = usize::try_from(extent_count(format)?).unwrap_or(usize::MAX);
    for index in 0..count {
        let at = index.saturating_mul(32).saturating_add(16);
        let len = le_u32(format, at.saturating_add(24))?;
        targets.inodes.push(InodeNumber(le_u64(format, at)?));
        targets.extents.push((le_u64(format, at.saturating_add(8))?, len.into()));
    }
    Ok(targets)
}

/// Inode numbers from byte 16 on.
fn inodes(format: &[u8], count: usize, is_done: bool) -> Result<IntentTargets, LogDefect> {
    let mut targets = IntentTargets::default();
    for index in 0..if is_done { 0 } else { count } {
        let at = index.saturating_mul(8).saturating_add(16);
        targets.inodes.push(InodeNumber(le_u64(format, at)?));
    }
    Ok(targets)
}
