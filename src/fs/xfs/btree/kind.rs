//! What distinguishes one B+tree from another: magic, sizes, record, key and order.

use super::store::Bounds;
use crate::bytes::field::Short;
use std::fmt::Debug;

/// What can be wrong with a single record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordDefect {
    #[error(transparent)]
    Short(#[from] Short),
    #[error("covers nothing")]
    Empty,
    #[error("{count} blocks at block {start} are outside what the tree describes")]
    Outside { start: u64, count: u64 },
    #[error("{count} blocks at file block {start} are outside a file")]
    OutsideFile { start: u64, count: u64 },
    #[error("inode chunk at {0} is not aligned or outside the allocation group")]
    ChunkPlace(u32),
    #[error("{free} of {count} inodes free, but the bitmaps say {free_bits} of {count_bits}")]
    ChunkCounts { count: u32, free: u32, count_bits: u32, free_bits: u32 },
    #[error("inodes are marked allocated that the chunk does not have")]
    ChunkHoles,
    #[error("no inode is free in a chunk of the tree of free inodes")]
    NoFreeInode,
    #[error("reference count is {count}, which a record {kind} cannot have")]
    References { count: u32, kind: &'static str },
    #[error("owner {0:#x} is neither an inode nor one of the special owners")]
    Owner(u64),
    #[error("flags and offset {0:#x} do not suit the owner")]
    OwnerFlags(u64),
}

/// The form of the pointers and of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// 32-bit pointers inside an allocation group.
    Short,
    /// 64-bit pointers inside the volume.
    Long,
}

/// One kind of B+tree.
///
/// Implemented by types without content that serve as the parameter of [`Tree`](super::Tree):
/// `Tree<Bnobt, _>`. Keys are unique in a tree and compare as the format demands.
pub(crate) trait TreeKind: Debug + Copy + Eq + 'static {
    /// One entry of a leaf.
    type Record: Debug + Copy + Eq;
    /// What records are ordered by.
    type Key: Debug + Copy + Ord;
    /// The key as inner nodes store it, which may carry more than takes part in the order.
    type NodeKey: Debug + Copy + Eq;

    /// The format's name of a block of the tree, as in "bnobt block".
    const STRUCTURE: &'static str;
    /// The form of header and pointers.
    const FORM: Form;
    /// Magic number of blocks without checksums, if volumes without checksums have the tree.
    const MAGIC_V4: Option<u32>;
    /// Magic number of blocks with checksums.
    const MAGIC_V5: u32;
    /// Size of a record.
    const RECORD_BYTES: usize;
    /// Size of a key.
    const KEY_BYTES: usize;
    /// True if records may overlap, so that every pointer has a low and a high key.
    const HAS_HIGH_KEYS: bool = false;

    /// Parses a record without judging it.
    ///
    /// # Errors
    /// `Short` if `bytes` is shorter than [`TreeKind::RECORD_BYTES`].
    fn parse(bytes: &[u8], bounds: &Bounds) -> Result<Self::Record, RecordDefect>;

    /// Encodes a record into the first [`TreeKind::RECORD_BYTES`] bytes.
    ///
    /// # Errors
    /// `Short`.
    fn encode(record: &Self::Record, bytes: &mut [u8], bounds: &Bounds) -> Result<(), Short>;

    /// Parses the key of an inner node.
    ///
    /// # Errors
    /// `Short` if `bytes` is shorter than [`TreeKind::KEY_BYTES`].
    fn parse_key(bytes: &[u8]) -> Result<Self::NodeKey, Short>;

    /// Encodes a key of an inner node into the first [`TreeKind::KEY_BYTES`] bytes.
    ///
    /// # Errors
    /// `Short`.
    fn encode_key(key: &Self::NodeKey, bytes: &mut [u8]) -> Result<(), Short>;

    /// The key of a record.
    fn key(record: &Self::Record) -> Self::Key;

    /// The part of a stored key that takes part in the order.
    fn order(key: &Self::NodeKey) -> Self::Key;

    /// The key that an inner node stores for a record.
    fn low_key(record: &Self::Record) -> Self::NodeKey;

    /// The largest key that finds a record; only trees with high keys have one besides the key.
    fn high_key(record: &Self::Record) -> Self::NodeKey {
        Self::low_key(record)
    }

    /// Judges a record by itself.
    ///
    /// # Errors
    /// The first defect.
    fn check(record: &Self::Record, bounds: &Bounds) -> Result<(), RecordDefect>;

    /// True if `next`, whose key is larger, may stand behind `previous`: they do not overlap, where that
    /// is not allowed.
    fn may_follow(previous: &Self::Record, next: &Self::Record) -> bool;
}
