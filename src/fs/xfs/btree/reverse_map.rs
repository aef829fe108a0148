//! The reverse-mapping tree (rmapbt): who owns which blocks.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Reverse-Mapping B+tree".
//!
//! Records of shared blocks overlap, so inner nodes have a low and a high key for each pointer. Keys compare by
//! start block, then owner, then the word with the flags for the attribute fork and for blocks of a bmbt above
//! the offset. The flag for unwritten extents takes no part, and is not stored in keys.

use super::kind::{Form, RecordDefect, TreeKind};
use super::store::Bounds;
use crate::bytes::field::{Short, be_u32, be_u64, put_be_u32, put_be_u64};
use crate::fs::xfs::units::AgBlock;

const IS_ATTRIBUTE: u64 = 1 << 63;
const IS_BMBT: u64 = 1 << 62;
const IS_UNWRITTEN: u64 = 1 << 61;
const OFFSET_MASK: u64 = (1 << 54) - 1;
const UNUSED_MASK: u64 = !(IS_ATTRIBUTE | IS_BMBT | IS_UNWRITTEN | OFFSET_MASK);
/// Owners from here on are no inodes.
const SPECIAL_MIN: u64 = 1 << 63;

/// Owner of the headers of allocation groups.
pub(crate) const OWNER_FILE_SYSTEM: u64 = u64::MAX - 2;
/// Owner of the log.
pub(crate) const OWNER_LOG: u64 = u64::MAX - 3;
/// Owner of the free-space trees, the rmapbt and the blocks of the AGFL.
pub(crate) const OWNER_AG: u64 = u64::MAX - 4;
/// Owner of inobt and finobt.
pub(crate) const OWNER_INOBT: u64 = u64::MAX - 5;
/// Owner of inode chunks.
pub(crate) const OWNER_INODES: u64 = u64::MAX - 6;
/// Owner of the refcountbt.
pub(crate) const OWNER_REFCOUNT: u64 = u64::MAX - 7;
/// Owner of blocks that wait for a copy-on-write.
pub(crate) const OWNER_COW: u64 = u64::MAX - 8;

/// A run of blocks and its owner (`xfs_rmap_rec`): 24 bytes, big-endian.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 | 4 | rm_startblock | start | inside the allocation group |
/// | 0x4 | 4 | rm_blockcount | count | not 0, ends inside the allocation group |
/// | 0x8 | 8 | rm_owner | owner | an inode, or -3 to -9 |
/// | 0x10 bit 63 | 1 bit | rm_fork | is_attribute_fork | 0 without inode |
/// | 0x10 bit 62 | 1 bit | rm_bmbt | is_bmbt | 0 without inode |
/// | 0x10 bit 61 | 1 bit | rm_unwritten | is_unwritten | only in the data fork |
/// | 0x10 bit 54 | 7 bits | rm_unused | (checked) | 0 |
/// | 0x10 bit 0 | 54 bits | rm_offset | offset | 0 without inode and for bmbt blocks |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReverseMap {
    /// First block.
    pub(crate) start: AgBlock,
    /// Length in blocks.
    pub(crate) count: u32,
    /// Number of the inode, or one of the special owners.
    pub(crate) owner: u64,
    /// Block of the fork that the first block holds.
    pub(crate) offset: u64,
    /// The blocks belong to the attribute fork.
    pub(crate) is_attribute_fork: bool,
    /// The blocks hold the bmbt of the fork.
    pub(crate) is_bmbt: bool,
    /// The extent is unwritten.
    pub(crate) is_unwritten: bool,
}

/// The key of a [`ReverseMap`]; compares field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReverseMapKey {
    /// First block.
    pub(crate) start: AgBlock,
    /// Number of the inode, or one of the special owners.
    pub(crate) owner: u64,
    /// `rm_offset` with its flags, but for the one of unwritten extents.
    packed_offset: u64,
}

impl ReverseMapKey {
    /// Below all keys of records that start at `start` or behind it.
    pub(crate) fn first_at(start: AgBlock) -> Self {
        Self { start, owner: 0, packed_offset: 0 }
    }

    /// Above all keys of records that start at `start` or before it.
    pub(crate) fn last_at(start: AgBlock) -> Self {
        Self { start, owner: u64::MAX, packed_offset: u64::MAX }
    }
}

impl ReverseMap {
    /// A run of something that is no inode.
    pub(crate) fn special(start: AgBlock, count: u32, owner: u64) -> Self {
        Self { owner, ..Self::file(start, count, 0, 0) }
    }

    /// A written run of the data fork of an inode.
    pub(crate) fn file(start: AgBlock, count: u32, owner: u64, offset: u64) -> Self {
        Self {
            start,
            count,
            owner,
            offset,
            is_attribute_fork: false,
            is_bmbt: false,
            is_unwritten: false,
        }
    }

    /// True if the owner is an inode.
    pub(crate) fn is_of_inode(&self) -> bool {
        self.owner < SPECIAL_MIN
    }

    /// The block behind the run.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start.0).saturating_add(u64::from(self.count))
    }

    fn parse(bytes: &[u8]) -> Result<Self, RecordDefect> {
        let packed = be_u64(bytes, 0x10)?;
        if packed & UNUSED_MASK != 0 {
            return Err(RecordDefect::OwnerFlags(packed));
        }
        Ok(Self {
            start: AgBlock(be_u32(bytes, 0x0)?),
            count: be_u32(bytes, 0x4)?,
            owner: be_u64(bytes, 0x8)?,
            offset: packed & OFFSET_MASK,
            is_attribute_fork: packed & IS_ATTRIBUTE != 0,
            is_bmbt: packed & IS_BMBT != 0,
            is_unwritten: packed & IS_UNWRITTEN != 0,
        })
    }

    fn packed_offset(&self) -> u64 {
        let flag = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        self.offset
            | flag(self.is_attribute_fork, IS_ATTRIBUTE)
            | flag(self.is_bmbt, IS_BMBT)
            | flag(self.is_unwritten, IS_UNWRITTEN)
    }

    fn check(&self, bounds: &Bounds) -> Result<(), RecordDefect> {
        bounds.check_run(u64::from(self.start.0), u64::from(self.count))?;
        let packed = self.packed_offset();
        let is_inode = self.is_of_inode();
        if !is_inode && !(OWNER_COW..=OWNER_FILE_SYSTEM).contains(&self.owner) || self.owner == 0 {
            return Err(RecordDefect::Owner(self.owner));
        }
        let end = self.offset.saturating_add(u64::from(self.count));
        let suits = if is_inode && !self.is_bmbt {
            end <= OFFSET_MASK.saturating_add(1) && !(self.is_attribute_fork && self.is_unwritten)
        } else {
            self.offset == 0 && !self.is_unwritten && (is_inode || packed == 0)
        };
        if suits { Ok(()) } else { Err(RecordDefect::OwnerFlags(packed)) }
    }
}

/// The reverse-mapping tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rmapbt;

impl TreeKind for Rmapbt {
    type Record = ReverseMap;
    type Key = ReverseMapKey;
    type NodeKey = ReverseMapKey;
    const STRUCTURE: &'static str = "rmapbt block";
    const FORM: Form = Form::Short;
    const MAGIC_V4: Option<u32> = None;
    const MAGIC_V5: u32 = 0x524d_4233;
    const RECORD_BYTES: usize = 24;
    const KEY_BYTES: usize = 20;
    const HAS_HIGH_KEYS: bool = true;

    fn parse(bytes: &[u8], _: &Bounds) -> Result<ReverseMap, RecordDefect> {
        ReverseMap::parse(bytes)
    }
    fn encode(record: &ReverseMap, bytes: &mut [u8], _: &Bounds) -> Result<(), Short> {
        put_be_u32(bytes, 0x0, record.start.0)?;
        put_be_u32(bytes, 0x4, record.count)?;
        put_be_u64(bytes, 0x8, record.owner)?;
        put_be_u64(bytes, 0x10, record.packed_offset())
    }
    fn parse_key(bytes: &[u8]) -> Result<ReverseMapKey, Short> {
        let (start, owner) = (AgBlock(be_u32(bytes, 0x0)?), be_u64(bytes, 0x4)?);
        Ok(ReverseMapKey { start, owner, packed_offset: be_u64(bytes, 0xc)? })
    }
    fn encode_key(key: &ReverseMapKey, bytes: &mut [u8]) -> Result<(), Short> {
        put_be_u32(bytes, 0x0, key.start.0)?;
        put_be_u64(bytes, 0x4, key.owner)?;
        put_be_u64(bytes, 0xc, key.packed_offset)
    }
    fn key(record: &ReverseMap) -> ReverseMapKey {
        Self::low_key(record)
    }
    fn order(key: &ReverseMapKey) -> ReverseMapKey {
        // Older kernels may have stored the flag of unwritten extents.
        ReverseMapKey { packed_offset: key.packed_offset & !IS_UNWRITTEN, ..*key }
    }
    fn low_key(record: &ReverseMap) -> ReverseMapKey {
        let packed_offset = record.packed_offset() & !IS_UNWRITTEN;
        ReverseMapKey { start: record.start, owner: record.owner, packed_offset }
    }
    fn high_key(record: &ReverseMap) -> ReverseMapKey {
        let more = record.count.saturating_sub(1);
        let low = Self::low_key(record);
        let has_offset = record.is_of_inode() && !record.is_bmbt;
        let more_offset = if has_offset { u64::from(more) } else { 0 };
        ReverseMapKey {
            start: AgBlock(record.start.0.saturating_add(more)),
            owner: record.owner,
            packed_offset: low.packed_offset.saturating_add(more_offset),
        }
    }
    fn check(record: &ReverseMap, bounds: &Bounds) -> Result<(), RecordDefect> {
        record.check(bounds)
    }
    fn may_follow(previous: &ReverseMap, next: &ReverseMap) -> bool {
        Self::key(previous) < Self::key(next)
    }
}
