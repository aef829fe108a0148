//! What an index needs from its surroundings: the value of `$INDEX_ROOT`, and blocks with a bitmap.
//!
//! An index does not know MFT records or run lists. The host is one index of one record: the three
//! attributes of the same name (`$I30`, `$SII`, ...) of types `$INDEX_ROOT`, `$INDEX_ALLOCATION` and
//! `$BITMAP`.

use crate::error::Result;

/// An index block, counted from the start of the value of `$INDEX_ALLOCATION` in units of its size: the block
/// starts at this number times the size of an index block, and its bit in `$BITMAP` has this number.
///
/// On disk a VCN stands for it, which counts clusters or 512 bytes: see
/// [`IndexFormat`](super::format::IndexFormat).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IndexBlock(pub(crate) u64);

/// An index that can be read.
pub(crate) trait IndexSource {
    /// The whole value of `$INDEX_ROOT`.
    ///
    /// # Errors
    /// Those of reading.
    fn root_value(&self) -> Result<Vec<u8>>;

    /// The `len` bytes of `block` as they are stored: fix-ups in place.
    ///
    /// # Errors
    /// `Corrupt` if the block does not lie inside `$INDEX_ALLOCATION`, or that attribute is missing; those
    /// of reading.
    fn read_block(&self, block: IndexBlock, len: usize) -> Result<Vec<u8>>;

    /// Number of blocks that `$INDEX_ALLOCATION` has; 0 without that attribute.
    ///
    /// # Errors
    /// Those of reading.
    fn block_count(&self) -> Result<u64>;

    /// True if the bit of `block` in `$BITMAP` is set; false for bits that the bitmap does not have.
    ///
    /// # Errors
    /// Those of reading.
    fn is_allocated(&self, block: IndexBlock) -> Result<bool>;
}

/// An index that can be edited.
///
/// The order of calls is not an order of writes: a host works on an overlay that becomes visible as a
/// whole. After an error the overlay must be dropped, as the edit may be half done.
pub(crate) trait IndexHost: IndexSource {
    /// Stores `bytes`, which are complete with fix-ups, over an allocated block.
    ///
    /// # Errors
    /// Those of writing.
    fn write_block(&mut self, block: IndexBlock, bytes: &[u8]) -> Result<()>;

    /// Finds a free block of `len` bytes and sets its bit. Where there is none, `$INDEX_ALLOCATION` and
    /// `$BITMAP` are created or grown. The content does not matter: the index writes all of it.
    ///
    /// The record may grow by this: `root_bytes_max` is asked again afterwards.
    ///
    /// # Errors
    /// `Refused` without space; those of reading and writing.
    fn allocate_block(&mut self, len: usize) -> Result<IndexBlock>;

    /// Clears the bit of `block`. Its content does not matter any more. `$INDEX_ALLOCATION` may stay as
    /// large as it is, even when the last block is freed (libfsntfs, "The index": the attribute can be
    /// present although it is not used).
    ///
    /// # Errors
    /// Those of reading and writing.
    fn free_block(&mut self, block: IndexBlock) -> Result<()>;

    /// How long the value of `$INDEX_ROOT` can become with everything else in the record as it is now.
    ///
    /// # Errors
    /// Those of reading.
    fn root_bytes_max(&self) -> Result<usize>;

    /// Replaces the value of `$INDEX_ROOT`, which stays resident. `value` is a multiple of 8 bytes long,
    /// not longer than [`root_bytes_max`](IndexHost::root_bytes_max), or not longer than it was.
    ///
    /// Before the content of a root goes to a new block, the root is stored in its new, smallest size with
    /// a VCN of 0, so that the record has room for a new `$INDEX_ALLOCATION`; it is stored again with the
    /// true VCN in the same edit.
    ///
    /// # Errors
    /// Those of writing.
    fn set_root_value(&mut self, value: &[u8]) -> Result<()>;
}
