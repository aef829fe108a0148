//! The block map of a fork (bmbt), and its records, which are also those of extent lists.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents".

use super::kind::{Form, RecordDefect, TreeKind};
use super::store::Bounds;
use crate::bytes::field::{Short, be_u64, low_u32, put_be_u64};
use crate::fs::xfs::units::{FileBlock, FsBlock};

const IS_UNWRITTEN: u64 = 1 << 63;
const FILE_BLOCK_BITS: u32 = 54;
const COUNT_BITS: u32 = 21;
/// Blocks of the longest extent.
pub(crate) const EXTENT_BLOCKS_MAX: u32 = (1 << COUNT_BITS) - 1;
/// Blocks of the longest file.
const FILE_BLOCKS_MAX: u64 = 1 << FILE_BLOCK_BITS;
/// Size of a record.
pub(crate) const EXTENT_BYTES: usize = 16;

/// A run of blocks of a fork (`xfs_bmbt_rec`): 128 bits, big-endian, counted from the most significant.
///
/// | bits | size | spec | here | valid when |
/// |-----:|-----:|------|------|------------|
/// | 127 | 1 | br_state | is_unwritten | |
/// | 126-73 | 54 | br_startoff | file_block | |
/// | 72-21 | 52 | br_startblock | start | inside the volume |
/// | 20-0 | 21 | br_blockcount | count | not 0, ends in the same allocation group |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first block of the fork.
    pub(crate) file_block: FileBlock,
    /// Where it lies.
    pub(crate) start: FsBlock,
    /// Length in blocks.
    pub(crate) count: u32,
    /// Allocated, but to be read as zeros.
    pub(crate) is_unwritten: bool,
}

impl Extent {
    /// The block of the fork behind the run.
    pub(crate) fn end(&self) -> u64 {
        self.file_block.0.saturating_add(u64::from(self.count))
    }

    /// Parses a record without judging it.
    ///
    /// # Errors
    /// `Short` if `bytes` is shorter than [`EXTENT_BYTES`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Short> {
        let (high, low) = (be_u64(bytes, 0x0)?, be_u64(bytes, 0x8)?);
        // The start block has 9 bits in the high word and 43 in the low one.
        let start = ((high & 0x1ff) << 43) | (low >> COUNT_BITS);
        Ok(Self {
            file_block: FileBlock((high & !IS_UNWRITTEN) >> 9),
            start: FsBlock(start),
            count: low_u32(low) & EXTENT_BLOCKS_MAX,
            is_unwritten: high & IS_UNWRITTEN != 0,
        })
    }

    /// Encodes a record that passed its check.
    ///
    /// # Errors
    /// `Short` if `bytes` is shorter than [`EXTENT_BYTES`].
    pub(crate) fn encode(&self, bytes: &mut [u8]) -> Result<(), Short> {
        let state = if self.is_unwritten { IS_UNWRITTEN } else { 0 };
        let offset = (self.file_block.0 & FILE_BLOCKS_MAX.wrapping_sub(1)) << 9;
        let high = state | offset | ((self.start.0 >> 43) & 0x1ff);
        let low = (self.start.0 << COUNT_BITS) | u64::from(self.count & EXTENT_BLOCKS_MAX);
        put_be_u64(bytes, 0x0, high)?;
        put_be_u64(bytes, 0x8, low)
    }

    /// Judges a record by itself.
    ///
    /// # Errors
    /// `Empty`, `Outside`, `OutsideFile`.
    pub(crate) fn check(&self, bounds: &Bounds) -> Result<(), RecordDefect> {
        let count = u64::from(self.count);
        bounds.check_run(self.start.0, count)?;
        if self.end() > FILE_BLOCKS_MAX || self.count > EXTENT_BLOCKS_MAX {
            return Err(RecordDefect::OutsideFile { start: self.file_block.0, count });
        }
        Ok(())
    }
}

/// The block map of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bmbt;

impl TreeKind for Bmbt {
    type Record = Extent;
    type Key = FileBlock;
    type NodeKey = FileBlock;
    const STRUCTURE: &'static str = "bmbt block";
    const FORM: Form = Form::Long;
    const MAGIC_V4: Option<u32> = Some(0x424d_4150);
    const MAGIC_V5: u32 = 0x424d_4133;
    const RECORD_BYTES: usize = EXTENT_BYTES;
    const KEY_BYTES: usize = 8;

    fn parse(bytes: &[u8], _: &Bounds) -> Result<Extent, RecordDefect> {
        Ok(Extent::parse(bytes)?)
    }
    fn encode(record: &Extent, bytes: &mut [u8], _: &Bounds) -> Result<(), Short> {
        record.encode(bytes)
    }
    fn parse_key(bytes: &[u8]) -> Result<FileBlock, Short> {
        Ok(FileBlock(be_u64(bytes, 0)?))
    }
    fn encode_key(key: &FileBlock, bytes: &mut [u8]) -> Result<(), Short> {
        put_be_u64(bytes, 0, key.0)
    }
    fn key(record: &Extent) -> FileBlock {
        record.file_block
    }
    fn order(key: &FileBlock) -> FileBlock {
        *key
    }
    fn low_key(record: &Extent) -> FileBlock {
        record.file_block
    }
    fn check(record: &Extent, bounds: &Bounds) -> Result<(), RecordDefect> {
        record.check(bounds)
    }
    fn may_follow(previous: &Extent, next: &Extent) -> bool {
        previous.end() <= next.file_block.0
    }
}
