//! Leaf entries, and the leaves that hold them.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories", sections "Leaf Directories" and
//! "Node Directories". Leaf entries lead from the hash of a name to its entry. A removed one stays
//! as *stale*, with address 0, until its place is needed. Everything here is pure.

use crate::bytes::field;
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::da::header::{DaHeader, DaKind, HeaderDefect};

/// Bytes of a leaf entry.
pub(crate) const ENTRY_LEN: usize = 8;
/// The free space of a data block that is not there (`NULLDATAOFF`).
pub(crate) const NO_BLOCK: u16 = 0xffff;
/// Bytes of the count of data blocks at the end of a single leaf.
const TAIL_LEN: usize = 4;
/// Bytes of the free space of one data block.
const BEST_LEN: usize = 2;

/// What is wrong with leaf entries or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeafDefect {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderDefect),
    /// Another kind of block.
    #[error("is no leaf of this form")]
    Kind,
    /// More entries, or more data blocks, than fit.
    #[error("{entries} entries and {bests} data blocks do not fit")]
    Count {
        /// `count`.
        entries: usize,
        /// `bestcount`; 0 in leaves below nodes.
        bests: usize,
    },
    /// The hashes do not ascend.
    #[error("hash {hash:#010x} of entry {index} is below that of the entry before")]
    Order {
        /// Index of the entry.
        index: usize,
        /// Its hash.
        hash: u32,
    },
    /// The number of stale entries is wrong.
    #[error("{actual} stale entries, counted as {stored}")]
    Stale {
        /// `stale`.
        stored: usize,
        /// Entries with address 0.
        actual: usize,
    },
    /// No entry is in use.
    #[error("has no entry")]
    Empty,
    /// A single leaf has siblings.
    #[error("has siblings")]
    Siblings,
    /// The last hash is not the one that the parent has.
    #[error("ends with hash {actual:#010x}, its parent says {expected:#010x}")]
    LastHash {
        /// In the leaf.
        actual: u32,
        /// In the parent.
        expected: u32,
    },
}

impl From<field::Short> for LeafDefect {
    fn from(defect: field::Short) -> Self {
        Self::Header(defect.into())
    }
}

/// A leaf entry: `xfs_dir2_leaf_entry`, 4 bytes each, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeafEntry {
    /// Hash of the name.
    pub(crate) hash: u32,
    /// Where the entry is in the data blocks, in units of 8 bytes; 0 if stale.
    pub(crate) address: u32,
}

impl LeafEntry {
    /// True if it leads nowhere.
    pub(crate) fn is_stale(self) -> bool {
        self.address == 0
    }
}

/// Parses an array of leaf entries of which `stale` are counted as stale.
///
/// # Errors
/// The defect.
pub(crate) fn parse_entries(array: &[u8], stale: usize) -> Result<Vec<LeafEntry>, LeafDefect> {
    let mut entries: Vec<LeafEntry> = Vec::with_capacity(array.len() / ENTRY_LEN);
    for (index, bytes) in array.chunks_exact(ENTRY_LEN).enumerate() {
        let hash = field::be_u32(bytes, 0)?;
        if entries.last().is_some_and(|last| last.hash > hash) {
            return Err(LeafDefect::Order { index, hash });
        }
        entries.push(LeafEntry { hash, address: field::be_u32(bytes, 4)? });
    }
    let actual = stale_count(&entries);
    if actual == stale { Ok(entries) } else { Err(LeafDefect::Stale { stored: stale, actual }) }
}

/// Writes an array of leaf entries.
///
/// # Errors
/// The defect, if it does not fit.
pub(crate) fn put_entries(
    bytes: &mut [u8],
    mut at: usize,
    entries: &[LeafEntry],
) -> Result<(), LeafDefect> {
    for entry in entries {
        field::put_be_u32(bytes, at, entry.hash)?;
        field::put_be_u32(bytes, at.saturating_add(4), entry.address)?;
        at = at.saturating_add(ENTRY_LEN);
    }
    Ok(())
}

/// Number of stale entries.
pub(crate) fn stale_count(entries: &[LeafEntry]) -> usize {
    entries.iter().filter(|entry| entry.is_stale()).count()
}

/// Drops stale entries until at most `max` entries are left, or none of them is stale.
fn compact(entries: &mut Vec<LeafEntry>, max: usize) {
    let mut surplus = entries.len().saturating_sub(max);
    entries.retain(|entry| {
        let is_dropped = surplus > 0 && entry.is_stale();
        surplus = surplus.saturating_sub(usize::from(is_dropped));
        !is_dropped
    });
}

/// Puts an entry into its place: into that of the nearest stale one, if there is one, else the array
/// grows, up to `capacity`. False if there is no room.
pub(crate) fn insert(entries: &mut Vec<LeafEntry>, new: LeafEntry, capacity: usize) -> bool {
    compact(entries, capacity);
    let place = entries.partition_point(|entry| entry.hash <= new.hash);
    let stale = entries.iter().enumerate().filter(|(_, entry)| entry.is_stale());
    let nearest = stale.map(|(index, _)| index).min_by_key(|index| index.abs_diff(place));
    let place = match nearest {
        Some(index) => {
            entries.remove(index);
            if index < place { place.saturating_sub(1) } else { place }
        }
        None if entries.len() >= capacity => return false,
        None => place,
    };
    entries.insert(place.min(entries.len()), new);
    true
}

/// A leaf: `xfs_dir2_leaf`, in version 5 with `xfs_dir3_leaf_hdr`. Big-endian.
///
/// Offsets are behind the header that all leaves and nodes share; in version 5 four bytes of padding
/// follow `stale`. `bests` and the tail end the block, and exist only in a single leaf.
///
/// | offset   | size | spec      | ours      | valid when                                        |
/// |---------:|-----:|-----------|-----------|---------------------------------------------------|
/// |      0x0 |    2 | count     | entries   | what fits                                         |
/// |      0x2 |    2 | stale     | (counted) | entries with address 0; below `count`             |
/// | 0x4, 0x8 |  8*n | ents[]    | entries   | hashes ascend (not strictly)                      |
/// |  -4-2*b  |  2*b | bests[]   | bests     | largest free region of each data block, or 0xffff |
/// |       -4 |    4 | bestcount | bests     | 1 to what fits                                    |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Kind and sibling pointers.
    pub(crate) header: DaHeader,
    /// Ordered by hash.
    pub(crate) entries: Vec<LeafEntry>,
    /// In a single leaf: the largest free region of each data block in bytes; [`NO_BLOCK`] for a
    /// hole.
    pub(crate) bests: Vec<u16>,
}

fn entries_at(format: &DaFormat) -> usize {
    DaHeader::len(format).saturating_add(if format.has_crc { 8 } else { 4 })
}

/// Where the free space of `count` data blocks starts in a single leaf of `len` bytes.
fn bests_at(len: usize, count: usize) -> usize {
    len.saturating_sub(TAIL_LEN).saturating_sub(count.saturating_mul(BEST_LEN))
}

impl Leaf {
    /// The number of entries that fit into a leaf below nodes.
    pub(crate) fn capacity(format: &DaFormat) -> usize {
        format.block_len().saturating_sub(entries_at(format)) / ENTRY_LEN
    }

    /// The number of entries that fit into a single leaf for `bests` data blocks.
    pub(crate) fn single_capacity(format: &DaFormat, bests: usize) -> usize {
        bests_at(format.block_len(), bests).saturating_sub(entries_at(format)) / ENTRY_LEN
    }

    /// The number of entries that fit into this leaf.
    fn own_capacity(&self, format: &DaFormat) -> usize {
        match self.header.kind {
            DaKind::DirectoryLeaf => Self::single_capacity(format, self.bests.len()),
            _ => Self::capacity(format),
        }
    }

    /// The hash of the last entry, stale or not.
    pub(crate) fn last_hash(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.hash)
    }

    /// True if no entry is in use.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.is_stale())
    }

    /// Parses a block that was read at `daddr`; `kind` says which form of leaf it must be.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(
        bytes: &[u8],
        format: &DaFormat,
        daddr: u64,
        kind: DaKind,
    ) -> Result<Self, LeafDefect> {
        let header = DaHeader::parse(bytes, format, daddr)?;
        if header.kind != kind {
            return Err(LeafDefect::Kind);
        }
        let at = DaHeader::len(format);
        let count = usize::from(field::be_u16(bytes, at)?);
        let stale = usize::from(field::be_u16(bytes, at.saturating_add(2))?);
        let is_single = kind == DaKind::DirectoryLeaf;
        let bests = if is_single { parse_bests(bytes, format, count)? } else { Vec::new() };
        let mut leaf = Self { header, entries: Vec::new(), bests };
        if count > leaf.own_capacity(format) {
            return Err(LeafDefect::Count { entries: count, bests: leaf.bests.len() });
        }
        let array = field::slice(bytes, entries_at(format), count.saturating_mul(ENTRY_LEN))?;
        leaf.entries = parse_entries(array, stale)?;
        if is_single && (header.forw.is_some() || header.back.is_some()) {
            return Err(LeafDefect::Siblings);
        }
        if leaf.is_empty() { Err(LeafDefect::Empty) } else { Ok(leaf) }
    }

    /// Writes the leaf over `bytes`, which is a block or zeros, and seals it.
    ///
    /// # Errors
    /// The defect, if it does not fit.
    pub(crate) fn encode(
        &self,
        bytes: &mut [u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), LeafDefect> {
        let count = self.entries.len();
        let overflow = LeafDefect::Count { entries: count, bests: self.bests.len() };
        let fits = count <= self.own_capacity(format);
        let stored = u16::try_from(count).ok().filter(|_| fits).ok_or(overflow)?;
        let stale = u16::try_from(stale_count(&self.entries)).map_err(|_| overflow)?;
        let at = DaHeader::len(format);
        field::put_be_u16(bytes, at, stored)?;
        field::put_be_u16(bytes, at.saturating_add(2), stale)?;
        if format.has_crc {
            field::put_be_u32(bytes, at.saturating_add(4), 0)?;
        }
        put_entries(bytes, entries_at(format), &self.entries)?;
        if self.header.kind == DaKind::DirectoryLeaf {
            put_bests(bytes, &self.bests)?;
        }
        Ok(self.header.seal(bytes, format, daddr)?)
    }
}

fn parse_bests(bytes: &[u8], format: &DaFormat, entries: usize) -> Result<Vec<u16>, LeafDefect> {
    let stored = field::be_u32(bytes, bytes.len().saturating_sub(TAIL_LEN))?;
    let count = usize::try_from(stored).unwrap_or(usize::MAX);
    let at = bests_at(bytes.len(), count);
    if count == 0 || at < entries_at(format) {
        return Err(LeafDefect::Count { entries, bests: count });
    }
    let array = field::slice(bytes, at, count.saturating_mul(BEST_LEN))?;
    array.chunks_exact(BEST_LEN).map(|best| Ok(field::be_u16(best, 0)?)).collect()
}

fn put_bests(bytes: &mut [u8], bests: &[u16]) -> Result<(), LeafDefect> {
    let len = bytes.len();
    let overflow = LeafDefect::Count { entries: 0, bests: bests.len() };
    let count = u32::try_from(bests.len()).map_err(|_| overflow)?;
    field::put_be_u32(bytes, len.saturating_sub(TAIL_LEN), count)?;
    let mut at = bests_at(len, bests.len());
    for best in bests {
        field::put_be_u16(bytes, at, *best)?;
        at = at.saturating_add(BEST_LEN);
    }
    Ok(())
}
