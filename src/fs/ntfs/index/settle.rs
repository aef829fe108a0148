//! Bringing changed nodes back into shape, from the leaf up to the root.
//!
//! Three rules hold after every edit, as Windows builds trees that follow them and checkers may rely on them:
//! - no block is without entries (the root may be: it then leads to one block, or the index is empty),
//! - all leaves are equally deep, if they were before,
//! - the root is in the index root attribute.
//!
//! A node that is too full is split: its left half stays, the entry in the middle moves up, the right half goes
//! to a new block. A root that is too full moves into a new block and leads to it; that works with the smallest
//! of records. A block that lost its last entry takes in the entry that separates it from a neighbour, joins that
//! neighbour if there is room (its own block is freed), and otherwise gets the separating entry while the
//! neighbour's next one moves up. Blocks are not joined before they are empty: a half-empty block is legal, and
//! the fewest blocks are written so. A root whose only block lost everything is a small root again.

use super::block::Block;
use super::defect::{IndexDefect, in_block, in_root};
use super::edit::IndexEditor;
use super::entry::{Entry, end_len};
use super::format::IndexRoot;
use super::host::IndexBlock;
use super::node::Node;
use super::path::{Level, Path, Place};
use super::read::LEVELS_MAX;
use crate::bytes::arith::len_u64;
use crate::error::{Refusal, Result};
use crate::fs::ntfs::units::Vcn;

impl Level {
    /// Takes the last entry of a leaf.
    pub(super) fn take_last(&mut self) -> Option<Entry> {
        if self.node().entries.is_empty() { None } else { self.edit().entries.pop() }
    }
}

impl IndexEditor<'_> {
    /// Writes the changed nodes of `path`, split or joined as needed. The result are entries that lost their
    /// place because the tree is not of equal depth; they are to be inserted again.
    pub(super) fn settle(&mut self, mut path: Path<'_>) -> Result<Vec<Entry>> {
        let mut homeless = Vec::new();
        // Every round settles one level.
        while let Some(level) = path.levels.pop() {
            if !level.is_dirty {
                continue;
            }
            match level.place {
                Place::Root(root) => self.settle_root(root)?,
                Place::Block(at, block) if block.node.entries.is_empty() => {
                    homeless.extend(self.settle_empty(at, block, &mut path)?);
                }
                Place::Block(at, block) => {
                    if let Some(parent) = path.levels.last_mut() {
                        self.settle_full(at, block, parent)?;
                    }
                }
            }
        }
        Ok(homeless)
    }

    /// True if settling `path` takes or frees a block.
    pub(super) fn changes_blocks(&self, path: &Path<'_>) -> Result<bool> {
        for level in path.levels.iter().filter(|level| level.is_dirty) {
            let changes = match &level.place {
                Place::Block(_, block) => block.node.entries.is_empty() || !block.fits(),
                Place::Root(root) => {
                    root.store().map_err(in_root)?.len() > self.host.root_bytes_max()?
                }
            };
            if changes {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write(&mut self, at: IndexBlock, block: &mut Block) -> Result<()> {
        let bytes = block.store().map_err(|defect| in_block(at, defect))?;
        self.host.write_block(at, &bytes)
    }

    fn vcn(&self, at: IndexBlock) -> Result<Vcn> {
        self.format.vcn(at).map_err(|defect| in_block(at, defect))
    }

    /// A new block with `node`, not yet written.
    fn allocate(&mut self, node: Node) -> Result<(IndexBlock, Block)> {
        let at = self.host.allocate_block(self.format.block_len())?;
        let block = Block::new(self.format, self.vcn(at)?, node);
        Ok((at, block.map_err(|defect| in_block(at, defect))?))
    }

    /// Writes a block that has entries, split if it is too full.
    fn settle_full(&mut self, at: IndexBlock, mut block: Block, parent: &mut Level) -> Result<()> {
        if block.fits() { self.write(at, &mut block) } else { self.split(at, block, parent) }
    }

    /// Splits a block that is too full and gives `parent` the entry in the middle.
    fn split(&mut self, at: IndexBlock, mut block: Block, parent: &mut Level) -> Result<()> {
        let fresh = Block::new(self.format, Vcn(0), Node::default());
        let capacity = fresh.map_err(|defect| in_block(at, defect))?.capacity();
        let node = &mut block.node;
        let Some(middle) = middle(node, capacity) else {
            return Err(in_block(at, IndexDefect::EntriesTooLong));
        };
        let right = node.entries.split_off(middle.saturating_add(1));
        let Some(mut median) = node.entries.pop() else { return Ok(()) };
        let right = Node { entries: right, end: node.end };
        node.end = median.sub_node;
        median.sub_node = Some(self.vcn(at)?);
        let (right_at, mut right) = self.allocate(right)?;
        self.write(at, &mut block)?;
        self.write(right_at, &mut right)?;
        let position = parent.position;
        let parent = parent.edit();
        if position > parent.entries.len() {
            return Err(in_block(at, IndexDefect::Order));
        }
        parent.entries.insert(position, median);
        parent.set_sub_node(position.saturating_add(1), self.vcn(right_at)?);
        Ok(())
    }

    /// Finds a new place for what an empty block leads to, and for the entry that separates it from its
    /// neighbour. The result is that entry if it fits neither of the two.
    fn settle_empty(
        &mut self,
        at: IndexBlock,
        block: Block,
        path: &mut Path<'_>,
    ) -> Result<Option<Entry>> {
        let child = block.node.end;
        let Some(parent) = path.levels.last() else { return Ok(None) };
        let (position, count) = (parent.position, parent.node().entries.len());
        if count == 0 {
            // The only block below its parent. The parent leads to the child instead, and is an empty leaf
            // if there is none.
            path.edit_last()?.end = child;
            self.host.free_block(at)?;
            return Ok(None);
        }
        let is_left = position < count;
        let separator = if is_left { position } else { count.saturating_sub(1) };
        let (sibling_at, sibling) = path.load_sibling(self.host, at, separator, is_left)?;
        let parent = path.edit_last()?;
        if sibling.node.is_leaf() == child.is_none() {
            let pair = Pair { at, block, sibling_at, sibling, separator, is_left };
            self.join(pair, parent)?;
            return Ok(None);
        }
        // Leaves of unequal depth.
        let mut homeless = None;
        if let Some(child) = child {
            parent.set_sub_node(position, child);
        } else {
            let entry = parent.entries.remove(separator);
            if !is_left {
                parent.end = entry.sub_node;
            }
            homeless = Some(entry);
        }
        self.host.free_block(at)?;
        Ok(homeless)
    }

    /// Joins an empty block with its neighbour, or moves one entry over if the neighbour is too full.
    fn join(&mut self, pair: Pair, parent: &mut Node) -> Result<()> {
        let Pair { at, mut block, sibling_at, mut sibling, separator, is_left } = pair;
        let child = block.node.end;
        let mut moved = parent.entries.remove(separator);
        let joined = &mut sibling.node;
        // The separator leads to what was next to it: the child of the empty block on one side, the last or
        // first sub-node of the neighbour on the other.
        if is_left {
            moved.sub_node = child;
            joined.entries.insert(0, moved);
        } else {
            moved.sub_node = joined.end;
            joined.entries.push(moved);
            joined.end = child;
        }
        if sibling.fits() {
            if !is_left {
                parent.set_sub_node(separator, self.vcn(sibling_at)?);
            }
            self.write(sibling_at, &mut sibling)?;
            return self.host.free_block(at);
        }
        let joined = &mut sibling.node;
        if joined.entries.len() < 3 {
            return Err(in_block(sibling_at, IndexDefect::EntriesTooLong));
        }
        let mut up = if is_left {
            let moved = joined.entries.remove(0);
            let up = joined.entries.remove(0);
            block.node = Node { entries: vec![moved], end: up.sub_node };
            up
        } else {
            let tail = joined.entries.split_off(joined.entries.len().saturating_sub(1));
            let Some(up) = joined.entries.pop() else { return Ok(()) };
            block.node = Node { entries: tail, end: joined.end };
            joined.end = up.sub_node;
            up
        };
        up.sub_node = Some(self.vcn(if is_left { at } else { sibling_at })?);
        parent.entries.insert(separator, up);
        self.write(at, &mut block)?;
        self.write(sibling_at, &mut sibling)
    }

    fn settle_root(&mut self, mut root: IndexRoot) -> Result<()> {
        for _ in 0..LEVELS_MAX {
            let value = root.store().map_err(in_root)?;
            if value.len() <= self.host.root_bytes_max()? {
                return self.host.set_root_value(&value);
            }
            root = self.push_down(root)?;
        }
        Err(in_root(IndexDefect::Depth(LEVELS_MAX)))
    }

    /// Moves the content of the root into a new block, to which the root then leads.
    fn push_down(&mut self, mut root: IndexRoot) -> Result<IndexRoot> {
        let node = std::mem::take(&mut root.node);
        root.node.end = Some(Vcn(0));
        let value = root.store().map_err(in_root)?;
        let available = self.host.root_bytes_max()?;
        if node.entries.is_empty() || value.len() > available {
            return Err(Refusal::NoSpace {
                what: "bytes for the index root in its MFT record".into(),
                needed: len_u64(value.len()),
                available: len_u64(available),
            }
            .into());
        }
        self.host.set_root_value(&value)?;
        let (at, block) = self.allocate(node)?;
        root.node.end = Some(self.vcn(at)?);
        let mut level = Level { place: Place::Root(root), position: 0, is_dirty: true };
        self.settle_full(at, block, &mut level)?;
        match level.place {
            Place::Root(root) => Ok(root),
            Place::Block(..) => Err(in_block(at, IndexDefect::Order)),
        }
    }
}

/// An empty block and its neighbour below the same parent.
struct Pair {
    at: IndexBlock,
    block: Block,
    sibling_at: IndexBlock,
    sibling: Block,
    /// The entry of the parent between the two.
    separator: usize,
    /// True if the empty block is the left one.
    is_left: bool,
}

/// The entry at which a node that is too full is split: both sides keep an entry, fit `capacity` bytes and are
/// as equal as they can be.
fn middle(node: &Node, capacity: usize) -> Option<usize> {
    let total = node.stored_len();
    let end = end_len(!node.is_leaf());
    let mut left = end;
    let mut best: Option<(usize, usize)> = None;
    for (position, entry) in node.entries.iter().enumerate() {
        let right =
            total.saturating_sub(left).saturating_sub(entry.stored_len()).saturating_add(end);
        let is_inside = position > 0 && position.saturating_add(1) < node.entries.len();
        let difference = left.abs_diff(right);
        if is_inside
            && left <= capacity
            && right <= capacity
            && best.is_none_or(|(smallest, _)| difference < smallest)
        {
            best = Some((difference, position));
        }
        left = left.saturating_add(entry.stored_len());
    }
    best.map(|(_, position)| position)
}
