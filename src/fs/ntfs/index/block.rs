//! An index block: "INDX".
//!
//! Sources: linux-ntfs documentation, "Index Record"; libyal libfsntfs, section "The index entry"; WIN-104.

use super::defect::IndexDefect;
use super::entry::end_len;
use super::format::IndexFormat;
use super::node::{NODE_HEADER_LEN, Node, NodeHeader};
use crate::bytes::arith::{len_u64, round_up, to};
use crate::bytes::field;
use crate::fs::ntfs::fix_up;
use crate::fs::ntfs::units::Vcn;

const SIGNATURE: [u8; 4] = *b"INDX";
/// Start of the node header.
const NODE_AT: usize = 0x18;
/// Where new blocks have their update sequence array.
const ARRAY_AT: usize = NODE_AT + NODE_HEADER_LEN;

/// An index block in memory.
///
/// | offset | size | field                         | ours   | valid when                                   |
/// |-------:|-----:|-------------------------------|--------|----------------------------------------------|
/// |    0x0 |    4 | signature                     | -      | "INDX"                                       |
/// |    0x4 |    2 | offset of the update sequence | prefix | behind the node header, before the entries   |
/// |    0x6 |    2 | its count of words            | prefix | see [`fix_up`]                               |
/// |    0x8 |    8 | `$LogFile` sequence number    | prefix | any; kept, 0 in new blocks                   |
/// |   0x10 |    8 | VCN of this block             | prefix | where it is, see [`IndexFormat`]             |
/// |   0x18 |   16 | node header                   | node   | see [`NodeHeader`]                           |
/// |        |      | entries                       | node   | see [`Entry`](super::Entry)                  |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The bytes in front of the first entry, without fix-ups.
    prefix: Vec<u8>,
    /// End of the space for entries, from the node header.
    allocated: usize,
    /// End of the entries as stored, from the node header.
    total: usize,
    /// Bytes of the block.
    len: usize,
    /// What it holds.
    pub(super) node: Node,
}

impl Block {
    /// A new block for `vcn` that holds `node`.
    pub(super) fn new(format: IndexFormat, vcn: Vcn, node: Node) -> Result<Self, IndexDefect> {
        let len = format.block_len();
        let words = len.checked_div(fix_up::STRIDE_BYTES).unwrap_or(0).saturating_add(1);
        let array_end = ARRAY_AT.saturating_add(words.saturating_mul(2));
        let mut prefix = vec![0; to(round_up(len_u64(array_end), 8)?)?];
        field::put(&mut prefix, 0x0, &SIGNATURE)?;
        field::put_le_u16(&mut prefix, 0x4, to(ARRAY_AT)?)?;
        field::put_le_u16(&mut prefix, 0x6, to(words)?)?;
        field::put_le_u64(&mut prefix, 0x10, vcn.0)?;
        Ok(Self { prefix, allocated: len.saturating_sub(NODE_AT), total: 0, len, node })
    }

    /// Reads the block that `vcn` leads to from its stored bytes.
    pub(super) fn parse(mut bytes: Vec<u8>, vcn: Vcn) -> Result<Self, IndexDefect> {
        let signature = field::array(&bytes, 0)?;
        if signature != SIGNATURE {
            return Err(IndexDefect::Signature(signature));
        }
        fix_up::remove(&mut bytes)?;
        let stored = field::le_u64(&bytes, 0x10)?;
        if stored != vcn.0 {
            return Err(IndexDefect::OwnVcn { stored, actual: vcn.0 });
        }
        let node_bytes = bytes.get(NODE_AT..).unwrap_or_default();
        let header = NodeHeader::parse(node_bytes)?;
        let node = Node::parse(node_bytes)?;
        let prefix = field::slice(&bytes, 0, NODE_AT.saturating_add(header.first))?.to_vec();
        let array_at = usize::from(field::le_u16(&prefix, 0x4)?);
        let array_len = usize::from(field::le_u16(&prefix, 0x6)?).saturating_mul(2);
        // Otherwise the array would be read as part of the headers, or overwrite entries.
        if array_at < ARRAY_AT {
            return Err(IndexDefect::FixUp(fix_up::FixUpDefect::Place {
                offset: array_at,
                words: array_len,
            }));
        }
        field::slice(&prefix, array_at, array_len)?;
        let NodeHeader { allocated, total, .. } = header;
        Ok(Self { prefix, allocated, total, len: bytes.len(), node })
    }

    /// True if the end entry ends the node and the node has the whole block. Reading does not insist on either.
    pub(super) fn is_exact(&self) -> bool {
        let entries_end = self.prefix.len().saturating_add(self.node.stored_len());
        NODE_AT.saturating_add(self.allocated) == self.len
            && NODE_AT.saturating_add(self.total) == entries_end
    }

    /// Bytes that entries and end may take.
    pub(super) fn capacity(&self) -> usize {
        NODE_AT.saturating_add(self.allocated).saturating_sub(self.prefix.len())
    }

    /// The longest entry, with a sub-node, for which a split always finds two halves that are not empty.
    ///
    /// With blocks of 2048 bytes and more this is longer than any entry of a directory.
    pub(super) fn entry_bytes_max(&self) -> usize {
        self.capacity().saturating_sub(end_len(true)).checked_div(2).unwrap_or(0)
    }

    /// True if the content fits.
    pub(super) fn fits(&self) -> bool {
        self.node.stored_len() <= self.capacity()
    }

    /// The bytes to store, with fix-ups. What is behind the end is zero: no remains of removed names.
    ///
    /// The update sequence number is raised in the block itself, so that the next one differs again.
    pub(super) fn store(&mut self) -> Result<Vec<u8>, IndexDefect> {
        let first = self.prefix.len().saturating_sub(NODE_AT);
        let mut bytes = vec![0; self.len];
        field::put(&mut bytes, 0, &self.prefix)?;
        let node_bytes = bytes.get_mut(NODE_AT..).unwrap_or_default();
        self.node.store_header(node_bytes, first, self.allocated)?;
        field::put(&mut bytes, self.prefix.len(), &self.node.store()?)?;
        fix_up::stamp(&mut bytes)?;
        self.prefix = field::slice(&bytes, 0, self.prefix.len())?.to_vec();
        Ok(bytes)
    }
}
