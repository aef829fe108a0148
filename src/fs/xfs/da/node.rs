//! The nodes of the tree of hashes.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Variable Length Record B+trees", section
//! "Internal Nodes".

use super::header::{DaHeader, DaKind, HeaderDefect};
use super::{DaBlocks, DaFormat, FileBlock};
use crate::bytes::field;
use crate::error::Result;

/// Bytes of one entry.
const ENTRY_LEN: usize = 8;
/// Highest level of a node; leaves are level 0. More are never needed: 32 GiB of the smallest
/// leaves, half full, have fewer.
pub(crate) const LEVEL_MAX: u16 = 5;
/// The name of the structure in messages.
pub(crate) const STRUCTURE: &str = "directory or attribute node";

/// What is wrong with a node, or with the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeDefect {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderDefect),
    /// Another kind of block.
    #[error("is no node")]
    Kind,
    /// The level is not one below that of the parent, or not one of a node.
    #[error("level {actual}, expected {expected}")]
    Level {
        /// In the block.
        actual: u16,
        /// By the parent, or the bound if there is none.
        expected: u16,
    },
    /// No entry, or more than fit.
    #[error("{count} entries, where 1 to {max} fit")]
    Count {
        /// `count`.
        count: usize,
        /// What fits.
        max: usize,
    },
    /// The hashes do not ascend.
    #[error("hash {hash:#010x} of entry {index} is below that of the entry before")]
    Order {
        /// Index of the entry.
        index: usize,
        /// Its hash.
        hash: u32,
    },
    /// A child lies outside the part of the fork where the tree is.
    #[error("entry {index} points to block {before}, outside the tree")]
    Child {
        /// Index of the entry.
        index: usize,
        /// Where it points.
        before: u64,
    },
    /// The last hash of a child is not the one that its parent has for it.
    #[error("ends with hash {actual:#010x}, its parent says {expected:#010x}")]
    LastHash {
        /// In the child.
        actual: u32,
        /// In the parent.
        expected: u32,
    },
    /// Siblings do not point to each other.
    #[error("sibling pointer to {actual:?}, expected {expected:?}")]
    Sibling {
        /// As stored; `None` for 0.
        actual: Option<u64>,
        /// By the order of the tree.
        expected: Option<u64>,
    },
    /// The same block is reached twice.
    #[error("is reached twice")]
    Loop,
    /// A node would become empty.
    #[error("holds only one entry")]
    LastEntry,
}

impl From<field::Short> for NodeDefect {
    fn from(defect: field::Short) -> Self {
        Self::Header(defect.into())
    }
}

/// One entry of a node: `xfs_da_node_entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeEntry {
    /// The last (largest) hash in the child.
    pub(crate) hash: u32,
    /// `before`: the child, as a block of the fork.
    pub(crate) child: FileBlock,
}

/// A node: `xfs_da_intnode`, in version 5 `xfs_da3_intnode`. Big-endian.
///
/// Offsets are behind the header; in version 5 four bytes of padding follow `level`.
///
/// | offset   | size | spec    | ours    | valid when                                      |
/// |---------:|-----:|---------|---------|-------------------------------------------------|
/// |      0x0 |    2 | count   | entries | 1 to what fits                                  |
/// |      0x2 |    2 | level   | level   | 1..=[`LEVEL_MAX`], one less than in the parent  |
/// | 0x4, 0x8 |  8*n | btree[] | entries | hashes ascend (not strictly); 4 bytes hash, 4 bytes child |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Sibling pointers.
    pub(crate) header: DaHeader,
    /// Distance from the leaves.
    pub(crate) level: u16,
    /// The children.
    pub(crate) entries: Vec<NodeEntry>,
}

impl Node {
    /// A node without siblings.
    pub(crate) fn new(level: u16, entries: Vec<NodeEntry>) -> Self {
        Self { header: DaHeader::new(DaKind::Node), level, entries }
    }

    fn entries_at(format: &DaFormat) -> usize {
        DaHeader::len(format).saturating_add(if format.has_crc { 8 } else { 4 })
    }

    /// The number of entries that fit.
    pub(crate) fn capacity(format: &DaFormat) -> usize {
        format.block_len().saturating_sub(Self::entries_at(format)) / ENTRY_LEN
    }

    /// The hash of the last entry.
    pub(crate) fn last_hash(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.hash)
    }

    /// Parses a block that was read at `daddr`.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(bytes: &[u8], format: &DaFormat, daddr: u64) -> Result<Self, NodeDefect> {
        let header = DaHeader::parse(bytes, format, daddr)?;
        if header.kind != DaKind::Node {
            return Err(NodeDefect::Kind);
        }
        let at = DaHeader::len(format);
        let count = usize::from(field::be_u16(bytes, at)?);
        let level = field::be_u16(bytes, at.saturating_add(2))?;
        let max = Self::capacity(format);
        if count == 0 || count > max {
            return Err(NodeDefect::Count { count, max });
        }
        if level == 0 || level > LEVEL_MAX {
            return Err(NodeDefect::Level { actual: level, expected: LEVEL_MAX });
        }
        let len = count.saturating_mul(ENTRY_LEN);
        let array = field::slice(bytes, Self::entries_at(format), len)?;
        let mut entries: Vec<NodeEntry> = Vec::with_capacity(count);
        for (index, entry) in array.chunks_exact(ENTRY_LEN).enumerate() {
            let hash = field::be_u32(entry, 0)?;
            if entries.last().is_some_and(|last| last.hash > hash) {
                return Err(NodeDefect::Order { index, hash });
            }
            let child = FileBlock(field::be_u32(entry, 4)?.into());
            entries.push(NodeEntry { hash, child });
        }
        Ok(Self { header, level, entries })
    }

    /// Writes the node over `bytes`, which is a block or zeros, and seals it.
    ///
    /// # Errors
    /// The defect, if it does not fit.
    pub(crate) fn encode(
        &self,
        bytes: &mut [u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), NodeDefect> {
        let (count, max) = (self.entries.len(), Self::capacity(format));
        let stored = u16::try_from(count).ok().filter(|_| count <= max);
        let stored = stored.ok_or(NodeDefect::Count { count, max })?;
        let at = DaHeader::len(format);
        field::put_be_u16(bytes, at, stored)?;
        field::put_be_u16(bytes, at.saturating_add(2), self.level)?;
        if format.has_crc {
            field::put_be_u32(bytes, at.saturating_add(4), 0)?;
        }
        let mut at = Self::entries_at(format);
        for entry in &self.entries {
            field::put_be_u32(bytes, at, entry.hash)?;
            field::put_be_u32(bytes, at.saturating_add(4), field::low_u32(entry.child.0))?;
            at = at.saturating_add(ENTRY_LEN);
        }
        Ok(self.header.seal(bytes, format, daddr)?)
    }

    /// Writes the node to `at`, whose content is `bytes`.
    ///
    /// # Errors
    /// `Corrupt` if it does not fit.
    pub(crate) fn store(
        &self,
        blocks: &mut dyn DaBlocks,
        at: FileBlock,
        mut bytes: Vec<u8>,
    ) -> Result<()> {
        let format = *blocks.format();
        let daddr = blocks.daddr(at)?;
        self.encode(&mut bytes, &format, daddr)
            .map_err(|defect| super::corrupt(blocks, STRUCTURE, at, defect))?;
        blocks.write(at, &bytes, STRUCTURE)
    }
}
