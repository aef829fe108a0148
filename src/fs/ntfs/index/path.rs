//! The way from the root to an entry, held in memory while it is edited.

use super::block::Block;
use super::collation::Collation;
use super::defect::{IndexDefect, in_block, in_root};
use super::format::{IndexFormat, IndexRoot};
use super::host::{IndexBlock, IndexHost};
use super::node::Node;
use super::read::{LEVELS_MAX, Range, in_node, load, position};
use crate::error::Result;
use crate::fs::ntfs::units::Vcn;

/// Where a node is stored.
#[derive(Debug)]
pub(super) enum Place {
    /// In the index root.
    Root(IndexRoot),
    /// In an index block.
    Block(IndexBlock, Block),
}

/// A node on the way.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) place: Place,
    /// The entry that was looked for, or whose sub-node the way takes.
    pub(super) position: usize,
    /// True if the node in memory is not the stored one.
    pub(super) is_dirty: bool,
}

impl Level {
    pub(super) fn node(&self) -> &Node {
        match &self.place {
            Place::Root(root) => &root.node,
            Place::Block(_, block) => &block.node,
        }
    }

    /// The node, to be changed.
    pub(super) fn edit(&mut self) -> &mut Node {
        self.is_dirty = true;
        match &mut self.place {
            Place::Root(root) => &mut root.node,
            Place::Block(_, block) => &mut block.node,
        }
    }

    fn block(&self) -> Option<IndexBlock> {
        match &self.place {
            Place::Root(_) => None,
            Place::Block(block, _) => Some(*block),
        }
    }
}

/// Reads a node that is going to be edited: one that the bitmap does not know could be handed out again.
fn load_allocated(
    host: &dyn IndexHost,
    format: IndexFormat,
    vcn: Vcn,
) -> Result<(IndexBlock, Block)> {
    let (at, block) = load(host, format, vcn)?;
    if host.is_allocated(at)? {
        Ok((at, block))
    } else {
        Err(in_block(at, IndexDefect::Free(at.0)))
    }
}

/// The way from the root down.
#[derive(Debug)]
pub(super) struct Path<'a> {
    format: IndexFormat,
    collation: Collation<'a>,
    /// From the root on.
    pub(super) levels: Vec<Level>,
    /// The range of the last node.
    range: Range,
}

impl<'a> Path<'a> {
    pub(super) fn new(root: IndexRoot, format: IndexFormat, collation: Collation<'a>) -> Self {
        let root = Level { place: Place::Root(root), position: 0, is_dirty: false };
        Self { format, collation, levels: vec![root], range: Range::default() }
    }

    /// Goes down to the entry with `key`, and to the place in a leaf where it belongs if there is none. True
    /// if it was found.
    pub(super) fn descend_to(&mut self, host: &dyn IndexHost, key: &[u8]) -> Result<bool> {
        let collation = self.collation;
        for _ in 0..LEVELS_MAX {
            let range = &self.range;
            let Some(level) = self.levels.last_mut() else { break };
            let at = level.block();
            let (position, is_found) = range
                .check(level.node(), collation)
                .and_then(|()| position(level.node(), &|entry| collation.compare(entry, key)))
                .map_err(|defect| in_node(at, defect))?;
            level.position = position;
            if is_found {
                return Ok(true);
            }
            if !self.enter(host)? {
                return Ok(false);
            }
        }
        Err(in_root(IndexDefect::Depth(LEVELS_MAX)))
    }

    /// Goes on from the position of the last node into its sub-node, and there behind the last entry, down to
    /// a leaf.
    pub(super) fn descend_to_last(&mut self, host: &dyn IndexHost) -> Result<()> {
        for _ in 0..LEVELS_MAX {
            if !self.enter(host)? {
                return Ok(());
            }
            let Some(level) = self.levels.last_mut() else { break };
            let at = level.block();
            let defect_at = |defect| in_node(at, defect);
            self.range.check(level.node(), self.collation).map_err(defect_at)?;
            level.position = level.node().entries.len();
        }
        Err(in_root(IndexDefect::Depth(LEVELS_MAX)))
    }

    /// Goes one level down; false if the last node is a leaf.
    fn enter(&mut self, host: &dyn IndexHost) -> Result<bool> {
        let Some(level) = self.levels.last() else { return Ok(false) };
        let Some(vcn) = level.node().sub_node(level.position) else { return Ok(false) };
        self.range = self.range.of_sub_node(level.node(), level.position);
        let (at, block) = load_allocated(host, self.format, vcn)?;
        if self.levels.iter().any(|level| level.block() == Some(at)) {
            return Err(in_block(at, IndexDefect::Visited(at.0)));
        }
        let place = Place::Block(at, block);
        self.levels.push(Level { place, position: 0, is_dirty: false });
        Ok(true)
    }

    /// The last node, to be changed.
    pub(super) fn edit_last(&mut self) -> Result<&mut Node> {
        match self.levels.last_mut() {
            Some(level) => Ok(level.edit()),
            None => Err(in_root(IndexDefect::Depth(0))),
        }
    }

    /// Reads the block on the other side of entry `separator` of the last node, for its sub-node `at`: the right
    /// one if that `is_left`.
    pub(super) fn load_sibling(
        &self,
        host: &dyn IndexHost,
        at: IndexBlock,
        separator: usize,
        is_left: bool,
    ) -> Result<(IndexBlock, Block)> {
        let Some(parent) = self.levels.last() else {
            return Err(in_root(IndexDefect::Depth(0)));
        };
        let position = if is_left { separator.saturating_add(1) } else { separator };
        let vcn = parent.node().sub_node(position);
        let vcn = vcn.ok_or_else(|| in_node(parent.block(), IndexDefect::MixedSubNodes))?;
        let (sibling_at, sibling) = load_allocated(host, self.format, vcn)?;
        let is_on_the_way = self.levels.iter().any(|level| level.block() == Some(sibling_at));
        if sibling_at == at || is_on_the_way {
            return Err(in_block(sibling_at, IndexDefect::Visited(sibling_at.0)));
        }
        let range = Range::default().of_sub_node(parent.node(), position);
        range
            .check(&sibling.node, self.collation)
            .map_err(|defect| in_block(sibling_at, defect))?;
        Ok((sibling_at, sibling))
    }
}
