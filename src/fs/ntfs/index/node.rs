//! A node: its header and its entries, in the root as in a block.
//!
//! Sources: linux-ntfs documentation, "Index Node Header"; libyal libfsntfs, section "The index node header".

use super::defect::IndexDefect;
use super::entry::{self, Entry, Parsed};
use crate::bytes::arith::to;
use crate::bytes::field;
use crate::fs::ntfs::units::Vcn;

/// Bytes of a node header.
pub(super) const NODE_HEADER_LEN: usize = 16;
/// Flag: the entries have sub-nodes.
const HAS_SUB_NODES: u32 = 1;

/// The header of a node. All offsets count from its start.
///
/// | offset | size | field                      | ours      | valid when                            |
/// |-------:|-----:|----------------------------|-----------|---------------------------------------|
/// |    0x0 |    4 | offset of the first entry  | first     | 16 or more, multiple of 8             |
/// |    0x4 |    4 | end of the entries         | total     | behind first                          |
/// |    0x8 |    4 | end of the space for them  | allocated | not before total, inside root or block |
/// |    0xc |    1 | flags                      | flags     | 1: sub-nodes exist                    |
/// |    0xd |    3 | padding                    | flags     | ignored                               |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeHeader {
    pub(super) first: usize,
    pub(super) total: usize,
    pub(super) allocated: usize,
    has_sub_nodes: bool,
}

impl NodeHeader {
    /// Reads the header at the start of `bytes`, which end where root or block end.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, IndexDefect> {
        let first = field::le_u32(bytes, 0x0)?;
        let total = field::le_u32(bytes, 0x4)?;
        let allocated = field::le_u32(bytes, 0x8)?;
        let available = bytes.len();
        let header = Self {
            first: to(first)?,
            total: to(total)?,
            allocated: to(allocated)?,
            has_sub_nodes: field::le_u32(bytes, 0xc)? & HAS_SUB_NODES != 0,
        };
        let is_valid = header.first >= NODE_HEADER_LEN
            && header.first.is_multiple_of(8)
            && header.first < header.total
            && header.total <= header.allocated
            && header.allocated <= available;
        if is_valid {
            Ok(header)
        } else {
            Err(IndexDefect::NodeHeader { first, total, allocated, available })
        }
    }
}

/// The entries of a node. Either all of them have sub-nodes, and the end as well, or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    /// The entries in ascending order.
    pub(super) entries: Vec<Entry>,
    /// The node with the keys behind the last entry.
    pub(super) end: Option<Vcn>,
}

impl Node {
    /// Reads a node; `bytes` start at its header and end where root or block end.
    ///
    /// # Errors
    /// The defect.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, IndexDefect> {
        let header = NodeHeader::parse(bytes)?;
        let bytes = field::slice(bytes, 0, header.total)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut at = header.first;
        // Every entry takes at least 16 bytes: ends with the node.
        loop {
            if at >= bytes.len() {
                return Err(IndexDefect::NoEnd);
            }
            match Entry::parse(bytes, at)? {
                Parsed::Entry(entry, length) => {
                    entries.push(entry);
                    at = at.saturating_add(length);
                }
                Parsed::End(end, length) => {
                    if at.saturating_add(length) != bytes.len() {
                        return Err(IndexDefect::BehindEnd { at, used: bytes.len() });
                    }
                    let is_inner = end.is_some();
                    let is_uniform = entries.iter().all(|e| e.sub_node.is_some() == is_inner);
                    // The root may say that blocks exist although it has no use for them.
                    return if is_uniform && (header.has_sub_nodes || !is_inner) {
                        Ok(Self { entries, end })
                    } else {
                        Err(IndexDefect::MixedSubNodes)
                    };
                }
            }
        }
    }

    /// True if there are no sub-nodes.
    pub(super) fn is_leaf(&self) -> bool {
        self.end.is_none()
    }

    /// The sub-node left of entry `position`, or the last one for the number of entries.
    pub(super) fn sub_node(&self, position: usize) -> Option<Vcn> {
        self.entries.get(position).map_or(self.end, |entry| entry.sub_node)
    }

    /// Changes the sub-node that [`sub_node`](Self::sub_node) gives for `position`.
    pub(super) fn set_sub_node(&mut self, position: usize, vcn: Vcn) {
        let vcn = Some(vcn);
        match self.entries.get_mut(position) {
            Some(entry) => entry.sub_node = vcn,
            None => self.end = vcn,
        }
    }

    /// Bytes that the entries and the end take.
    pub(super) fn stored_len(&self) -> usize {
        let entries =
            self.entries.iter().fold(0, |sum: usize, e| sum.saturating_add(e.stored_len()));
        entries.saturating_add(entry::end_len(self.end.is_some()))
    }

    /// The stored form: entries and end.
    pub(super) fn store(&self) -> Result<Vec<u8>, IndexDefect> {
        let mut out = Vec::with_capacity(self.stored_len());
        for entry in &self.entries {
            entry.store(&mut out)?;
        }
        entry::store_end(self.end, &mut out)?;
        Ok(out)
    }

    /// Writes the header of this node at the start of `bytes`.
    pub(super) fn store_header(
        &self,
        bytes: &mut [u8],
        first: usize,
        allocated: usize,
    ) -> Result<(), IndexDefect> {
        let total = first.saturating_add(self.stored_len());
        field::put_le_u32(bytes, 0x0, to(first)?)?;
        field::put_le_u32(bytes, 0x4, to(total)?)?;
        field::put_le_u32(bytes, 0x8, to(allocated)?)?;
        field::put_le_u32(bytes, 0xc, if self.is_leaf() { 0 } else { HAS_SUB_NODES })?;
        Ok(())
    }
}
