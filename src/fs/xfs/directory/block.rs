//! Block form: a directory in one block, entries and leaf entries together.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories", section "Block Directories".
//! Pure: bytes in, bytes out.

use super::NewEntry;
use super::data::{self, DataDefect, Record};
use super::leaf::{self, ENTRY_LEN, LeafDefect, LeafEntry};
use crate::bytes::field;
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::da::header::{BlockKind, HeaderDefect};

/// Bytes of the counts at the end of the block.
const TAIL_LEN: usize = 8;

/// What is wrong with a directory of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockDefect {
    /// The header or the entries.
    #[error(transparent)]
    Data(#[from] DataDefect),
    /// The leaf entries.
    #[error(transparent)]
    Leaf(#[from] LeafDefect),
    /// More leaf entries than fit.
    #[error("{0} leaf entries do not fit")]
    Count(usize),
}

impl From<HeaderDefect> for BlockDefect {
    fn from(defect: HeaderDefect) -> Self {
        Self::Data(defect.into())
    }
}

impl From<field::Short> for BlockDefect {
    fn from(defect: field::Short) -> Self {
        Self::Data(defect.into())
    }
}

/// The leaf entries of a directory of one block, and where they start: `xfs_dir2_block_tail` and the
/// array before it. Big-endian.
///
/// | offset | size | spec   | ours      | valid when                             |
/// |-------:|-----:|--------|-----------|----------------------------------------|
/// | -8-8*n |  8*n | leaf[] | entries   | hashes ascend (not strictly)           |
/// |     -8 |    4 | count  | entries   | what fits behind the header            |
/// |     -4 |    4 | stale  | (counted) | entries with address 0                 |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockLeaf {
    /// Ordered by hash.
    pub(crate) entries: Vec<LeafEntry>,
    /// Where they start, and the area of entries ends.
    pub(crate) at: usize,
}

/// Where `count` leaf entries start.
fn leaf_at(len: usize, count: usize) -> usize {
    len.saturating_sub(TAIL_LEN).saturating_sub(count.saturating_mul(ENTRY_LEN))
}

impl BlockLeaf {
    /// Parses the leaf entries of a block that was read at `daddr`.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(bytes: &[u8], format: &DaFormat, daddr: u64) -> Result<Self, BlockDefect> {
        BlockKind::Block.check(bytes, format, daddr)?;
        let tail = bytes.len().saturating_sub(TAIL_LEN);
        let number = |stored: u32| usize::try_from(stored).unwrap_or(usize::MAX);
        let count = number(field::be_u32(bytes, tail)?);
        let stale = number(field::be_u32(bytes, tail.saturating_add(4))?);
        let at = leaf_at(bytes.len(), count);
        if at < data::header_len(format) {
            return Err(BlockDefect::Count(count));
        }
        let array = field::slice(bytes, at, count.saturating_mul(ENTRY_LEN))?;
        Ok(Self { entries: leaf::parse_entries(array, stale)?, at })
    }

    fn encode(&self, bytes: &mut [u8]) -> Result<(), BlockDefect> {
        let overflow = BlockDefect::Count(self.entries.len());
        let count = u32::try_from(self.entries.len()).map_err(|_| overflow)?;
        let stale = u32::try_from(leaf::stale_count(&self.entries)).map_err(|_| overflow)?;
        let tail = bytes.len().saturating_sub(TAIL_LEN);
        field::put_be_u32(bytes, tail, count)?;
        field::put_be_u32(bytes, tail.saturating_add(4), stale)?;
        Ok(leaf::put_entries(bytes, self.at, &self.entries)?)
    }
}

/// The leaf entries and the entries of a block that was read at `daddr`.
///
/// # Errors
/// The defect.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    format: &DaFormat,
    daddr: u64,
) -> Result<(BlockLeaf, Vec<Record<'a>>), BlockDefect> {
    let leaf = BlockLeaf::parse(bytes, format, daddr)?;
    let records = data::parse(bytes, format, leaf.at)?;
    Ok((leaf, records))
}

/// The address of the entry at `offset` of the first block, in units of 8 bytes.
fn address_of(offset: usize) -> u32 {
    u32::try_from(offset / data::ALIGN).unwrap_or(0)
}

/// Makes the block of a new directory from entries with their offsets. `.` and `..` are among them.
///
/// # Errors
/// The defect, if they do not fit or overlap.
pub(crate) fn build(
    format: &DaFormat,
    daddr: u64,
    entries: &[(usize, NewEntry<'_>)],
) -> Result<Vec<u8>, BlockDefect> {
    let mut bytes = vec![0; format.block_len()];
    let at = leaf_at(bytes.len(), entries.len());
    data::clear(&mut bytes, format, at)?;
    let mut leaf = BlockLeaf { entries: Vec::with_capacity(entries.len()), at };
    for (offset, new) in entries {
        data::insert_at(&mut bytes, format, at, *offset, new)?;
        let hash = super::hash_name(format, new.name);
        leaf.entries.push(LeafEntry { hash, address: address_of(*offset) });
    }
    leaf.entries.sort_unstable();
    leaf.encode(&mut bytes)?;
    BlockKind::Block.seal(&mut bytes, format, daddr)?;
    Ok(bytes)
}

/// Adds an entry; false if there is no room, and then `bytes` is as it was.
///
/// # Errors
/// The defect.
pub(crate) fn insert(
    bytes: &mut [u8],
    format: &DaFormat,
    daddr: u64,
    new: &NewEntry<'_>,
) -> Result<bool, BlockDefect> {
    let (old, _) = parse(bytes, format, daddr)?;
    let live = old.entries.len().saturating_sub(leaf::stale_count(&old.entries));
    let least = live.saturating_add(1);
    // First without moving the leaf entries, which takes a stale one; then with none stale.
    for count in [old.entries.len().max(least), least] {
        let mut edited = bytes.to_vec();
        let mut leaf = BlockLeaf { at: leaf_at(bytes.len(), count), entries: old.entries.clone() };
        if !data::resize(&mut edited, format, old.at, leaf.at)? {
            continue;
        }
        if let Some(offset) = data::insert(&mut edited, format, leaf.at, new)? {
            let hash = super::hash_name(format, new.name);
            let entry = LeafEntry { hash, address: address_of(offset) };
            leaf::insert(&mut leaf.entries, entry, count);
            leaf.encode(&mut edited)?;
            BlockKind::Block.seal(&mut edited, format, daddr)?;
            bytes.copy_from_slice(&edited);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the entry to which leaf entry `index` leads.
///
/// # Errors
/// The defect.
pub(crate) fn remove(
    bytes: &mut [u8],
    format: &DaFormat,
    daddr: u64,
    index: usize,
) -> Result<(), BlockDefect> {
    let mut leaf = BlockLeaf::parse(bytes, format, daddr)?;
    if let Some(entry) = leaf.entries.get_mut(index) {
        let offset = usize::try_from(entry.address).unwrap_or(0).saturating_mul(data::ALIGN);
        data::remove(bytes, format, leaf.at, offset)?;
        entry.address = 0;
    }
    leaf.encode(bytes)?;
    Ok(BlockKind::Block.seal(bytes, format, daddr)?)
}

/// Makes the block one that holds entries only, and gives its leaf entries without stale ones.
///
/// # Errors
/// The defect.
pub(crate) fn into_data(
    bytes: &mut [u8],
    format: &DaFormat,
    daddr: u64,
) -> Result<Vec<LeafEntry>, BlockDefect> {
    let (leaf, _) = parse(bytes, format, daddr)?;
    let len = bytes.len();
    data::resize(bytes, format, leaf.at, len)?;
    BlockKind::Data.seal(bytes, format, daddr)?;
    Ok(leaf.entries.into_iter().filter(|entry| !entry.is_stale()).collect())
}
