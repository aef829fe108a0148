//! All blocks of a tree, checked against each other.

use super::header::DaKind;
use super::node::{NodeDefect, STRUCTURE};
use super::tree::{Extent, check_against, check_link, checked_header, load};
use super::{DaBlocks, FileBlock, corrupt, read_mapped};
use crate::error::Result;
use std::collections::BTreeSet;

/// What a walk through a whole tree has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The leaves in order, each with the last hash that its parent has for it.
    pub(crate) leaves: Vec<(FileBlock, Option<u32>)>,
    /// Leaves and nodes.
    pub(crate) reached: BTreeSet<FileBlock>,
}

/// Walks the whole tree, level by level, and checks levels, last hashes and sibling pointers. What
/// the leaves hold is left to the caller.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn walk(blocks: &dyn DaBlocks, extent: Extent) -> Result<Walk> {
    let mut reached = BTreeSet::from([extent.root]);
    let mut row: Vec<(FileBlock, Option<u32>)> = vec![(extent.root, None)];
    let mut parent_level: Option<u16> = None;
    loop {
        let is_node_row = if let Some(level) = parent_level {
            level > 1
        } else {
            let bytes = read_mapped(blocks, extent.root, STRUCTURE)?;
            checked_header(blocks, extent.root, &bytes)?.kind == DaKind::Node
        };
        check_row(blocks, &row)?;
        if !is_node_row {
            return Ok(Walk { leaves: row, reached });
        }
        let mut below = Vec::new();
        let mut level = None;
        for (at, last_hash) in row {
            let (node, _) = load(blocks, at)?;
            let expected = parent_level.map_or(node.level, |level| level.saturating_sub(1));
            check_against(&node, expected, last_hash)
                .map_err(|defect| corrupt(blocks, STRUCTURE, at, defect))?;
            for (index, entry) in node.entries.iter().enumerate() {
                if !extent.holds_child(entry.child) {
                    let defect = NodeDefect::Child { index, before: entry.child.0 };
                    return Err(corrupt(blocks, STRUCTURE, at, defect));
                }
                if !reached.insert(entry.child) {
                    return Err(corrupt(blocks, STRUCTURE, entry.child, NodeDefect::Loop));
                }
                below.push((entry.child, Some(entry.hash)));
            }
            level = Some(expected);
        }
        parent_level = level;
        row = below;
    }
}

/// Checks the sibling pointers of the blocks of one level.
fn check_row(blocks: &dyn DaBlocks, row: &[(FileBlock, Option<u32>)]) -> Result<()> {
    let mut back = None;
    let mut following = row.iter().skip(1).map(|(at, _)| *at);
    for (at, _) in row {
        let header = checked_header(blocks, *at, &read_mapped(blocks, *at, STRUCTURE)?)?;
        check_link(blocks, *at, header.back, back)?;
        check_link(blocks, *at, header.forw, following.next())?;
        back = Some(*at);
    }
    Ok(())
}
