//! The reference-count tree (refcountbt): blocks that more than one file has, and blocks that wait for a
//! copy-on-write.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Reference Count B+tree".

use super::kind::{Form, RecordDefect, TreeKind};
use super::store::Bounds;
use crate::bytes::field::{Short, be_u32, put_be_u32};
use crate::fs::xfs::units::AgBlock;

const IS_COW: u32 = 1 << 31;

/// A run of blocks with the same number of references (`xfs_refcount_rec`): 12 bytes, big-endian.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 bit 31 | 1 bit | rc_startblock | is_cow | |
/// | 0x0 | 31 bits | rc_startblock | start | inside the allocation group |
/// | 0x4 | 4 | rc_blockcount | count | not 0, ends inside the allocation group |
/// | 0x8 | 4 | rc_refcount | references | 1 for copy-on-write, else 2 or more |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReferenceCount {
    /// The blocks wait for a copy-on-write and belong to no file yet.
    pub(crate) is_cow: bool,
    /// First block.
    pub(crate) start: AgBlock,
    /// Length in blocks.
    pub(crate) count: u32,
    /// How many mappings the blocks have.
    pub(crate) references: u32,
}

/// The key of a [`ReferenceCount`]: shared blocks come before those of copy-on-write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReferenceCountKey {
    /// The blocks wait for a copy-on-write.
    pub(crate) is_cow: bool,
    /// First block.
    pub(crate) start: AgBlock,
}

impl ReferenceCountKey {
    fn parse(bytes: &[u8]) -> Result<Self, Short> {
        let word = be_u32(bytes, 0)?;
        Ok(Self { is_cow: word & IS_COW != 0, start: AgBlock(word & !IS_COW) })
    }

    fn encode(self, bytes: &mut [u8]) -> Result<(), Short> {
        put_be_u32(bytes, 0, self.start.0 | if self.is_cow { IS_COW } else { 0 })
    }
}

impl ReferenceCount {
    /// The block behind the run.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.start.0).saturating_add(u64::from(self.count))
    }
}

/// The reference-count tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refcountbt;

impl TreeKind for Refcountbt {
    type Record = ReferenceCount;
    type Key = ReferenceCountKey;
    type NodeKey = ReferenceCountKey;
    const STRUCTURE: &'static str = "refcountbt block";
    const FORM: Form = Form::Short;
    const MAGIC_V4: Option<u32> = None;
    const MAGIC_V5: u32 = 0x5233_4643;
    const RECORD_BYTES: usize = 12;
    const KEY_BYTES: usize = 4;

    fn parse(bytes: &[u8], _: &Bounds) -> Result<ReferenceCount, RecordDefect> {
        let ReferenceCountKey { is_cow, start } = ReferenceCountKey::parse(bytes)?;
        let (count, references) = (be_u32(bytes, 0x4)?, be_u32(bytes, 0x8)?);
        Ok(ReferenceCount { is_cow, start, count, references })
    }
    fn encode(record: &ReferenceCount, bytes: &mut [u8], _: &Bounds) -> Result<(), Short> {
        Self::key(record).encode(bytes)?;
        put_be_u32(bytes, 0x4, record.count)?;
        put_be_u32(bytes, 0x8, record.references)
    }
    fn parse_key(bytes: &[u8]) -> Result<ReferenceCountKey, Short> {
        ReferenceCountKey::parse(bytes)
    }
    fn encode_key(key: &ReferenceCountKey, bytes: &mut [u8]) -> Result<(), Short> {
        key.encode(bytes)
    }
    fn key(record: &ReferenceCount) -> ReferenceCountKey {
        ReferenceCountKey { is_cow: record.is_cow, start: record.start }
    }
    fn order(key: &ReferenceCountKey) -> ReferenceCountKey {
        *key
    }
    fn low_key(record: &ReferenceCount) -> ReferenceCountKey {
        Self::key(record)
    }
    fn check(record: &ReferenceCount, bounds: &Bounds) -> Result<(), RecordDefect> {
        bounds.check_run(u64::from(record.start.0), u64::from(record.count))?;
        let count = record.references;
        match (record.is_cow, count) {
            (true, 1) | (false, 2..) => Ok(()),
            (true, _) => Err(RecordDefect::References { count, kind: "of copy-on-write" }),
            (false, _) => Err(RecordDefect::References { count, kind: "of shared blocks" }),
        }
    }
    fn may_follow(previous: &ReferenceCount, next: &ReferenceCount) -> bool {
        previous.is_cow != next.is_cow || previous.end() <= u64::from(next.start.0)
    }
}
