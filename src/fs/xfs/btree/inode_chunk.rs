//! The inode trees: inobt with all inode chunks, finobt with those that have free inodes.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Allocation Groups", sections "Inode B+trees" and
//! "Sparse Inodes".

use super::kind::{Form, RecordDefect, TreeKind};
use super::store::Bounds;
use crate::bytes::field::{Short, be_u16, be_u32, be_u64};
use crate::bytes::field::{put, put_be_u16, put_be_u32, put_be_u64, u8_at};
use crate::fs::xfs::units::AgInode;

/// Inodes that one record describes.
pub(crate) const INODES_PER_CHUNK: u32 = 64;
/// Inodes that one bit of `ir_holemask` describes.
pub(crate) const INODES_PER_HOLE: u32 = 4;

/// An inode chunk (`xfs_inobt_rec`): 16 bytes, big-endian.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 | 4 | ir_startino | start | at the start of a block of the allocation group |
/// | 0x4 | 2 | ir_holemask | holes | with sparse inodes |
/// | 0x6 | 1 | ir_count | count | with sparse inodes; 64 less 4 for each hole |
/// | 0x7 | 1 | ir_freecount | free_count | bits of ir_free that are not in holes |
/// | 0x8 | 8 | ir_free | free | holes are marked free |
///
/// Without sparse inodes, ir_freecount has the four bytes at 0x4, and a chunk has always 64 inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InodeChunk {
    /// The first inode, also if it is in a hole.
    pub(crate) start: AgInode,
    /// One bit for four inodes that do not exist; the lowest is for the first four.
    pub(crate) holes: u16,
    /// Inodes that exist.
    pub(crate) count: u32,
    /// Inodes that exist and are free.
    pub(crate) free_count: u32,
    /// One bit for each inode that is free or does not exist; the lowest is for the first.
    pub(crate) free: u64,
}

impl InodeChunk {
    const BYTES: usize = 16;

    fn parse(bytes: &[u8], bounds: &Bounds) -> Result<Self, RecordDefect> {
        let (start, free) = (AgInode(be_u32(bytes, 0x0)?), be_u64(bytes, 0x8)?);
        let whole = Self { start, holes: 0, count: INODES_PER_CHUNK, free_count: 0, free };
        if !is_sparse(bounds) {
            return Ok(Self { free_count: be_u32(bytes, 0x4)?, ..whole });
        }
        let (count, free_count) = (u8_at(bytes, 0x6)?.into(), u8_at(bytes, 0x7)?.into());
        Ok(Self { holes: be_u16(bytes, 0x4)?, count, free_count, ..whole })
    }

    fn encode(&self, bytes: &mut [u8], bounds: &Bounds) -> Result<(), Short> {
        put_be_u32(bytes, 0x0, self.start.0)?;
        if is_sparse(bounds) {
            put_be_u16(bytes, 0x4, self.holes)?;
            // Both are at most 64 in a record that passed its check.
            let byte = |count: u32| count.to_le_bytes()[0];
            put(bytes, 0x6, &[byte(self.count), byte(self.free_count)])?;
        } else {
            put_be_u32(bytes, 0x4, self.free_count)?;
        }
        put_be_u64(bytes, 0x8, self.free)
    }

    /// One bit for each inode that does not exist; the lowest is for the first.
    pub(crate) fn hole_bits(&self) -> u64 {
        let four = |bit: u32| 0xf_u64.wrapping_shl(bit.wrapping_mul(INODES_PER_HOLE));
        let bits = (0..u16::BITS).filter(|bit| self.holes.wrapping_shr(*bit) & 1 == 1);
        bits.fold(0, |sum, bit| sum | four(bit))
    }

    fn check(&self, bounds: &Bounds) -> Result<(), RecordDefect> {
        self.check_place(bounds)?;
        let holes = self.hole_bits();
        if holes & !self.free != 0 {
            return Err(RecordDefect::ChunkHoles);
        }
        let (count_bits, free_bits) = ((!holes).count_ones(), (self.free & !holes).count_ones());
        if (self.count, self.free_count) != (count_bits, free_bits) {
            let (count, free) = (self.count, self.free_count);
            return Err(RecordDefect::ChunkCounts { count, free, count_bits, free_bits });
        }
        if count_bits == 0 { Err(RecordDefect::Empty) } else { Ok(()) }
    }

    /// The chunk starts with a block, and all inodes that exist are inside the allocation group.
    fn check_place(&self, bounds: &Bounds) -> Result<(), RecordDefect> {
        let Bounds::AllocationGroup { blocks, inodes_per_block, .. } = *bounds else {
            return Err(RecordDefect::ChunkPlace(self.start.0));
        };
        let start = u64::from(self.start.0);
        let last = self.hole_bits().leading_ones().min(63);
        let last = start.saturating_add(u64::from(63_u32.saturating_sub(last)));
        let inodes = u64::from(blocks).saturating_mul(u64::from(inodes_per_block));
        let aligned = inodes_per_block.min(INODES_PER_CHUNK);
        let is_aligned = self.start.0.checked_rem(aligned) == Some(0);
        if !is_aligned || last >= inodes || self.start.0 < inodes_per_block {
            return Err(RecordDefect::ChunkPlace(self.start.0));
        }
        Ok(())
    }

    fn may_follow(previous: &Self, next: &Self) -> bool {
        let end = previous.start.0.checked_add(INODES_PER_CHUNK);
        end.is_some_and(|end| end <= next.start.0)
    }
}

fn is_sparse(bounds: &Bounds) -> bool {
    matches!(bounds, Bounds::AllocationGroup { has_sparse_inodes: true, .. })
}

macro_rules! inode_trees {
    ($($(#[$doc:meta])* $name:ident, $structure:literal, $v4:literal, $v5:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name;

        impl TreeKind for $name {
            type Record = InodeChunk;
            type Key = AgInode;
            type NodeKey = AgInode;
            const STRUCTURE: &'static str = $structure;
            const FORM: Form = Form::Short;
            const MAGIC_V4: Option<u32> = Some($v4);
            const MAGIC_V5: u32 = $v5;
            const RECORD_BYTES: usize = InodeChunk::BYTES;
            const KEY_BYTES: usize = 4;

            fn parse(bytes: &[u8], bounds: &Bounds) -> Result<InodeChunk, RecordDefect> {
                InodeChunk::parse(bytes, bounds)
            }
            fn encode(record: &InodeChunk, bytes: &mut [u8], bounds: &Bounds) -> Result<(), Short> {
                record.encode(bytes, bounds)
            }
            fn parse_key(bytes: &[u8]) -> Result<AgInode, Short> {
                Ok(AgInode(be_u32(bytes, 0)?))
            }
            fn encode_key(key: &AgInode, bytes: &mut [u8]) -> Result<(), Short> {
                put_be_u32(bytes, 0, key.0)
            }
            fn key(record: &InodeChunk) -> AgInode {
                record.start
            }
            fn order(key: &AgInode) -> AgInode {
                *key
            }
            fn low_key(record: &InodeChunk) -> AgInode {
                record.start
            }
            fn check(record: &InodeChunk, bounds: &Bounds) -> Result<(), RecordDefect> {
                record.check(bounds)?;
                $check(record)
            }
            fn may_follow(previous: &InodeChunk, next: &InodeChunk) -> bool {
                InodeChunk::may_follow(previous, next)
            }
        }
    )*};
}

inode_trees! {
    /// All inode chunks of an allocation group.
    Inobt, "inobt block", 0x4941_4254, 0x4941_4233, |_: &InodeChunk| Ok(());
    /// The inode chunks with free inodes.
    Finobt, "finobt block", 0x4649_4254, 0x4649_4233, has_free;
}

fn has_free(chunk: &InodeChunk) -> Result<(), RecordDefect> {
    if chunk.free_count == 0 { Err(RecordDefect::NoFreeInode) } else { Ok(()) }
}
