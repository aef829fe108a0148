//! A strict check of a whole index: what an edit must leave behind.
//!
//! Stricter than reading: trees of other drivers may break the rules about shape and still be usable.

use super::collation::Collation;
use super::defect::{IndexDefect, in_block, in_root};
use super::format::{IndexFormat, ROOT_HEADER_LEN};
use super::host::{IndexBlock, IndexHost};
use super::node::{Node, NodeHeader};
use super::read::{LEVELS_MAX, Range, in_node, load, load_root};
use crate::bytes::arith::{add, len_u64};
use crate::error::Result;
use std::collections::BTreeSet;

/// What a check counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IndexSummary {
    /// Entries in all nodes.
    pub(crate) entries: u64,
    /// Index blocks in use.
    pub(crate) blocks: u64,
    /// Levels, with the root.
    pub(crate) levels: usize,
}

/// Checks every node of an index: structures, order, the ranges that parents give, no way to a block but one,
/// the bitmap, no empty blocks, and leaves of equal depth.
///
/// # Errors
/// `Corrupt` with the first defect; those of reading.
pub(crate) fn check(
    host: &dyn IndexHost,
    cluster_size_bytes: u32,
    collation: Collation<'_>,
) -> Result<IndexSummary> {
    let (root, format) = load_root(host, cluster_size_bytes, collation)?;
    let value = host.root_value()?;
    check_exact(value.get(ROOT_HEADER_LEN..).unwrap_or_default(), &root.node).map_err(in_root)?;
    let mut check =
        Check { host, format, collation, used: BTreeSet::new(), entries: 0, leaf_depth: None };
    check.node(None, &root.node, &Range::default(), 1)?;
    for number in 0..host.block_count()? {
        let block = IndexBlock(number);
        if host.is_allocated(block)? && !check.used.contains(&block) {
            return Err(in_block(block, IndexDefect::Lost(number)));
        }
    }
    let blocks = len_u64(check.used.len());
    Ok(IndexSummary { entries: check.entries, blocks, levels: check.leaf_depth.unwrap_or(0) })
}

/// Checks that the header of a node agrees with its entries and with the `bytes` that it has.
fn check_exact(bytes: &[u8], node: &Node) -> Result<(), IndexDefect> {
    let header = NodeHeader::parse(bytes)?;
    if header.allocated != bytes.len()
        || header.first.saturating_add(node.stored_len()) != header.total
    {
        return Err(IndexDefect::Loose);
    }
    Ok(())
}

struct Check<'a> {
    host: &'a dyn IndexHost,
    format: IndexFormat,
    collation: Collation<'a>,
    used: BTreeSet<IndexBlock>,
    entries: u64,
    leaf_depth: Option<usize>,
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
        self.entries = add(self.entries, len_u64(node.entries.len()))?;
        if node.is_leaf() {
            let expected = *self.leaf_depth.get_or_insert(depth);
            if expected != depth {
                return Err(in_node(at, IndexDefect::Unbalanced { found: depth, expected }));
            }
            return Ok(());
        }
        for position in 0..=node.entries.len() {
            let Some(vcn) = node.sub_node(position) else { continue };
            let (block, loaded) = load(self.host, self.format, vcn)?;
            if !self.used.insert(block) {
                return Err(in_block(block, IndexDefect::Visited(block.0)));
            }
            if !self.host.is_allocated(block)? {
                return Err(in_block(block, IndexDefect::Free(block.0)));
            }
            if loaded.node.entries.is_empty() {
                return Err(in_block(block, IndexDefect::Empty(block.0)));
            }
            loaded.check_exact().map_err(|defect| in_block(block, defect))?;
            let range = range.of_sub_node(node, position);
            self.node(Some(block), &loaded.node, &range, depth.saturating_add(1))?;
        }
        Ok(())
    }
}
