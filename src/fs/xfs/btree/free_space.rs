//! The free-space trees: bnobt by block number, cntbt by size.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Allocation Groups", section "AG Free Space B+trees".

use super::kind::{Form, RecordDefect, TreeKind};
use super::store::Bounds;
use crate::bytes::field::{Short, be_u32, put_be_u32};
use crate::fs::xfs::units::AgBlock;

/// A run of free blocks (`xfs_alloc_rec`): 8 bytes, big-endian; it is its own key.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 | 4 | ar_startblock | start | inside the allocation group |
/// | 0x4 | 4 | ar_blockcount | count | not 0, ends inside the allocation group |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeExtent {
    /// First block.
    pub(crate) start: AgBlock,
    /// Length in blocks.
    pub(crate) count: u32,
}

impl FreeExtent {
    const BYTES: usize = 8;

    fn parse(bytes: &[u8]) -> Result<Self, Short> {
        Ok(Self { start: AgBlock(be_u32(bytes, 0x0)?), count: be_u32(bytes, 0x4)? })
    }

    fn encode(self, bytes: &mut [u8]) -> Result<(), Short> {
        put_be_u32(bytes, 0x0, self.start.0)?;
        put_be_u32(bytes, 0x4, self.count)
    }

    /// The block behind the run.
    pub(crate) fn end(self) -> u64 {
        u64::from(self.start.0).saturating_add(u64::from(self.count))
    }
}

/// Free space by block number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bnobt;

impl TreeKind for Bnobt {
    type Record = FreeExtent;
    type Key = AgBlock;
    type NodeKey = FreeExtent;
    const STRUCTURE: &'static str = "bnobt block";
    const FORM: Form = Form::Short;
    const MAGIC_V4: Option<u32> = Some(0x4142_5442);
    const MAGIC_V5: u32 = 0x4142_3342;
    const RECORD_BYTES: usize = FreeExtent::BYTES;
    const KEY_BYTES: usize = FreeExtent::BYTES;

    fn parse(bytes: &[u8], _: &Bounds) -> Result<FreeExtent, RecordDefect> {
        Ok(FreeExtent::parse(bytes)?)
    }
    fn encode(record: &FreeExtent, bytes: &mut [u8], _: &Bounds) -> Result<(), Short> {
        record.encode(bytes)
    }
    fn parse_key(bytes: &[u8]) -> Result<FreeExtent, Short> {
        FreeExtent::parse(bytes)
    }
    fn encode_key(key: &FreeExtent, bytes: &mut [u8]) -> Result<(), Short> {
        key.encode(bytes)
    }
    fn key(record: &FreeExtent) -> AgBlock {
        record.start
    }
    fn order(key: &FreeExtent) -> AgBlock {
        Self::key(key)
    }
    fn low_key(record: &FreeExtent) -> FreeExtent {
        *record
    }
    fn check(record: &FreeExtent, bounds: &Bounds) -> Result<(), RecordDefect> {
        bounds.check_run(u64::from(record.start.0), u64::from(record.count))
    }
    fn may_follow(previous: &FreeExtent, next: &FreeExtent) -> bool {
        previous.end() <= u64::from(next.start.0)
    }
}

/// Free space by length, then by block number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cntbt;

impl TreeKind for Cntbt {
    type Record = FreeExtent;
    type Key = (u32, AgBlock);
    type NodeKey = FreeExtent;
    const STRUCTURE: &'static str = "cntbt block";
    const FORM: Form = Form::Short;
    const MAGIC_V4: Option<u32> = Some(0x4142_5443);
    const MAGIC_V5: u32 = 0x4142_3343;
    const RECORD_BYTES: usize = FreeExtent::BYTES;
    const KEY_BYTES: usize = FreeExtent::BYTES;

    fn parse(bytes: &[u8], _: &Bounds) -> Result<FreeExtent, RecordDefect> {
        Ok(FreeExtent::parse(bytes)?)
    }
    fn encode(record: &FreeExtent, bytes: &mut [u8], _: &Bounds) -> Result<(), Short> {
        record.encode(bytes)
    }
    fn parse_key(bytes: &[u8]) -> Result<FreeExtent, Short> {
        FreeExtent::parse(bytes)
    }
    fn encode_key(key: &FreeExtent, bytes: &mut [u8]) -> Result<(), Short> {
        key.encode(bytes)
    }
    fn key(record: &FreeExtent) -> (u32, AgBlock) {
        (record.count, record.start)
    }
    fn order(key: &FreeExtent) -> (u32, AgBlock) {
        Self::key(key)
    }
    fn low_key(record: &FreeExtent) -> FreeExtent {
        *record
    }
    fn check(record: &FreeExtent, bounds: &Bounds) -> Result<(), RecordDefect> {
        bounds.check_run(u64::from(record.start.0), u64::from(record.count))
    }
    fn may_follow(previous: &FreeExtent, next: &FreeExtent) -> bool {
        Self::key(previous) < Self::key(next)
    }
}
