//! A strict check of a whole index: what an edit must leave behind.
//!
//! Stricter than reading. The shape of the tree is only counted, since other drivers leave uneven ones.

use super::collation::Collation;
use super::defect::{IndexDefect, in_block, in_root};
use super::format::{IndexFormat, ROOT_HEADER_LEN};
use super::host::{IndexBlock, IndexSource};
use super::node::{Node, NodeHeader};
use super::read::{LEVELS_MAX, Range, in_node, load, load_root};
use crate::bytes::arith::{add, len_u64};
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// Bound on the blocks of an index: 4 GiB of the usual size, for twenty million names.
const BLOCKS_MAX: u64 = 1 << 20;

/// What a check counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IndexSummary {
    /// Entries in all nodes.
    pub(crate) entries: u64,
    /// Index blocks in use.
    pub(crate) blocks: u64,
    /// Levels, with the root, down to the deepest leaf.
    pub(crate) levels: usize,
    /// Levels down to the highest leaf.
    pub(crate) levels_min: usize,
    /// Inner blocks without entries, which lead to one block only. ntfs-3g leaves such ones.
    pub(crate) empty_inner_blocks: u64,
    /// Leaves without entries.
    pub(crate) empty_leaf_blocks: u64,
    /// Blocks that the bitmap calls used and to which nothing leads. They are wasted, not dangerous.
    pub(crate) lost_blocks: u64,
    /// Nodes whose header does not end where their entries or their space end.
    pub(crate) loose_nodes: u64,
}

impl IndexSummary {
    /// True if the tree has the shape that the editor keeps: no empty and no lost blocks, headers that fit,
    /// and leaves of equal depth.
    #[cfg(test)]
    pub(crate) fn is_tidy(&self) -> bool {
        let empty_blocks = [self.empty_inner_blocks, self.empty_leaf_blocks];
        let is_even = self.levels == self.levels_min && empty_blocks == [0; 2];
        is_even && self.lost_blocks == 0 && self.loose_nodes == 0
    }
}

/// Checks every node of an index: structures, order, the ranges that parents give, one way to each block, and
/// that the bitmap knows all that are used.
///
/// # Errors
/// `Corrupt` with the first defect; `Limit` if there are more blocks than any index has; those of reading.
pub(crate) fn check(
    source: &dyn IndexSource,
    cluster_size_bytes: u32,
    collation: Collation<'_>,
) -> Result<IndexSummary> {
    let (root, format) = load_root(source, cluster_size_bytes, collation)?;
    let value = source.root_value()?;
    let is_exact = is_exact(value.get(ROOT_HEADER_LEN..).unwrap_or_default(), &root.node);
    let loose_nodes = u64::from(!is_exact.map_err(in_root)?);
    let summary = IndexSummary { levels_min: LEVELS_MAX, loose_nodes, ..IndexSummary::default() };
    let mut check = Check { source, format, collation, used: BTreeSet::new(), summary };
    check.node(None, &root.node, &Range::default(), 1)?;
    let mut lost_blocks = 0;
    let block_count = source.block_count()?;
    if block_count > BLOCKS_MAX {
        return Err(Error::limit("number of blocks of an index", BLOCKS_MAX, block_count));
    }
    for number in 0..block_count {
        let block = IndexBlock(number);
        if source.is_allocated(block)? && !check.used.contains(&block) {
            lost_blocks = add(lost_blocks, 1)?;
        }
    }
    let blocks = len_u64(check.used.len());
    Ok(IndexSummary { blocks, lost_blocks, ..check.summary })
}

/// True if the header of a node agrees with its entries and with the `bytes` that it has.
fn is_exact(bytes: &[u8], node: &Node) -> Result<bool, IndexDefect> {
    let header = NodeHeader::parse(bytes)?;
    let entries_end = header.first.saturating_add(node.stored_len());
    Ok(header.allocated == bytes.len() && header.total == entries_end)
}

struct Check<'a> {
    source: &'a dyn IndexSource,
    format: IndexFormat,
    collation: Collation<'a>,
    used: BTreeSet<IndexBlock>,
    summary: IndexSummary,
}

impl Check<'_> {
    /// Checks `node` and all below it. Recursion ends with [`LEVELS_MAX`].
    fn node(
        &mut self,
        at: Option<IndexBlock>,
        node: &Node,
        range: &Range,
        depth: usize,
    ) -> Result<()> {
        if depth > LEVELS_MAX {
            return Err(in_root(IndexDefect::Depth(LEVELS_MAX)));
        }
        range.check(node, self.collation).map_err(|defect| in_node(at, defect))?;
        let summary = &mut self.summary;
        summary.entries = add(summary.entries, len_u64(node.entries.len()))?;
        let empty = u64::from(at.is_some() && node.entries.is_empty());
        if node.is_leaf() {
            summary.empty_leaf_blocks = add(summary.empty_leaf_blocks, empty)?;
            summary.levels = summary.levels.max(depth);
            summary.levels_min = summary.levels_min.min(depth);
            return Ok(());
        }
        summary.empty_inner_blocks = add(summary.empty_inner_blocks, empty)?;
        for position in 0..=node.entries.len() {
            let Some(vcn) = node.sub_node(position) else { continue };
            let (block, loaded) = load(self.source, self.format, vcn)?;
            if !self.used.insert(block) {
                return Err(in_block(block, IndexDefect::Visited(block.0)));
            }
            if !self.source.is_allocated(block)? {
                return Err(in_block(block, IndexDefect::Free(block.0)));
            }
            let loose = u64::from(!loaded.is_exact());
            self.summary.loose_nodes = add(self.summary.loose_nodes, loose)?;
            let range = range.of_sub_node(node, position);
            self.node(Some(block), &loaded.node, &range, depth.saturating_add(1))?;
        }
        Ok(())
    }
}
