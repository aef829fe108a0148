//! The way from a hash to its leaf, and edits of the nodes on it.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Variable Length Record B+trees", and section
//! "Node Directories". Each entry of a node holds the last hash of its child. The root never moves:
//! when it must grow, its content goes to a new block and the root becomes a node of the next level.
//! Leaves are opaque here but for their header.

use super::header::{self, DaHeader, DaKind};
use super::node::{LEVEL_MAX, Node, NodeDefect, NodeEntry, STRUCTURE};
use super::{DaBlocks, FileBlock, corrupt, first_hole, read_mapped};
use crate::error::{Error, Result};
use crate::fs::xfs::units::Lsn;
use std::collections::BTreeSet;

/// The part of a fork in which a tree lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The block of the root, and the first that may be used.
    pub(crate) root: FileBlock,
    /// The first block that may not be used.
    pub(crate) end: FileBlock,
}

impl Extent {
    pub(super) fn holds_child(&self, block: FileBlock) -> bool {
        self.root < block && block < self.end
    }
}

/// A node on the way to a leaf.
#[derive(Debug, Clone)]
struct Step {
    at: FileBlock,
    node: Node,
    /// The entry that the way takes.
    index: usize,
}

/// The way from the root to one leaf.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    extent: Extent,
    /// From the root down; empty if the root is a leaf.
    steps: Vec<Step>,
    /// The leaf.
    pub(crate) leaf: FileBlock,
    /// The leaves that [`Path::advance`] left behind.
    visited: BTreeSet<FileBlock>,
}

/// The header of a leaf or node, checked.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn checked_header(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    bytes: &[u8],
) -> Result<DaHeader> {
    DaHeader::parse(bytes, blocks.format(), blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, "directory or attribute block", at, defect))
}

/// Reads and checks the node at `at`.
pub(super) fn load(blocks: &dyn DaBlocks, at: FileBlock) -> Result<(Node, Vec<u8>)> {
    let bytes = read_mapped(blocks, at, STRUCTURE)?;
    let node = Node::parse(&bytes, blocks.format(), blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, STRUCTURE, at, defect))?;
    Ok((node, bytes))
}

/// Stores a node over what is there.
fn store(blocks: &mut dyn DaBlocks, at: FileBlock, node: &Node) -> Result<()> {
    let bytes = read_mapped(blocks, at, STRUCTURE)?;
    node.store(blocks, at, bytes)
}

/// Changes the sibling pointers of the leaf or node at `at`.
fn relink(
    blocks: &mut dyn DaBlocks,
    at: FileBlock,
    change: impl FnOnce(&mut DaHeader),
) -> Result<()> {
    let mut bytes = read_mapped(blocks, at, STRUCTURE)?;
    let mut changed = checked_header(blocks, at, &bytes)?;
    change(&mut changed);
    seal_and_write(blocks, at, changed, &mut bytes)
}

/// Seals a leaf or node whose content is complete, and writes it.
///
/// # Errors
/// `Corrupt` if `bytes` is no block.
pub(crate) fn seal_and_write(
    blocks: &mut dyn DaBlocks,
    at: FileBlock,
    header: DaHeader,
    bytes: &mut [u8],
) -> Result<()> {
    let format = *blocks.format();
    header
        .seal(bytes, &format, blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, STRUCTURE, at, defect))?;
    blocks.write(at, bytes, STRUCTURE)
}

/// Writes a leaf or node that was read elsewhere to `at`.
fn move_to(
    blocks: &mut dyn DaBlocks,
    at: FileBlock,
    header: DaHeader,
    bytes: &mut [u8],
    lsn: Lsn,
) -> Result<()> {
    header::set_lsn(bytes, blocks.format(), lsn)
        .map_err(|defect| corrupt(blocks, STRUCTURE, at, defect))?;
    seal_and_write(blocks, at, header, bytes)
}

impl Path {
    /// Goes from the root to the first leaf that can hold `hash`; to the last leaf, if `hash` is
    /// above all.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn descend(blocks: &dyn DaBlocks, extent: Extent, hash: u32) -> Result<Self> {
        let mut path =
            Self { extent, steps: Vec::new(), leaf: extent.root, visited: BTreeSet::new() };
        path.go_down(blocks, |node| {
            let index = node.entries.partition_point(|entry| entry.hash < hash);
            index.min(node.entries.len().saturating_sub(1))
        })?;
        Ok(path)
    }

    /// Follows `choose` from `self.leaf` down to a leaf, checking levels and last hashes.
    fn go_down(&mut self, blocks: &dyn DaBlocks, choose: impl Fn(&Node) -> usize) -> Result<()> {
        loop {
            let at = self.leaf;
            let parent = self.steps.last().map(|step| step.node.level);
            if parent == Some(1) {
                return Ok(());
            }
            let bytes = read_mapped(blocks, at, STRUCTURE)?;
            if parent.is_none() && checked_header(blocks, at, &bytes)?.kind != DaKind::Node {
                return Ok(());
            }
            let (node, _) = load(blocks, at)?;
            self.check_node(&node, parent)
                .map_err(|defect| corrupt(blocks, STRUCTURE, at, defect))?;
            let index = choose(&node);
            let entry = node.entries.get(index).copied();
            let child = entry.map_or(FileBlock(0), |entry| entry.child);
            if !self.extent.holds_child(child) {
                let defect = NodeDefect::Child { index, before: child.0 };
                return Err(corrupt(blocks, STRUCTURE, at, defect));
            }
            self.steps.push(Step { at, node, index });
            self.leaf = child;
        }
    }

    /// Compares a node with its parent.
    fn check_node(&self, node: &Node, parent: Option<u16>) -> Result<(), NodeDefect> {
        let expected = parent.map_or(node.level, |level| level.saturating_sub(1));
        check_against(node, expected, self.last_hash())
    }

    /// The last hash of the leaf as its parent has it; `None` if the root is the leaf.
    pub(crate) fn last_hash(&self) -> Option<u32> {
        let step = self.steps.last()?;
        step.node.entries.get(step.index).map(|entry| entry.hash)
    }

    /// True if the root is the leaf.
    pub(crate) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Goes on to the next leaf; false if there is none.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn advance(&mut self, blocks: &dyn DaBlocks) -> Result<bool> {
        let (from, forw) = (self.leaf, self.leaf_header(blocks)?.forw);
        if !self.visited.insert(from) {
            return Err(corrupt(blocks, STRUCTURE, from, NodeDefect::Loop));
        }
        while let Some(step) = self.steps.last_mut() {
            step.index = step.index.saturating_add(1);
            if let Some(entry) = step.node.entries.get(step.index) {
                self.leaf = entry.child;
                if !self.extent.holds_child(self.leaf) {
                    let defect = NodeDefect::Child { index: step.index, before: self.leaf.0 };
                    return Err(corrupt(blocks, STRUCTURE, step.at, defect));
                }
                self.go_down(blocks, |_| 0)?;
                check_link(blocks, from, forw, Some(self.leaf))?;
                let back = self.leaf_header(blocks)?.back;
                check_link(blocks, self.leaf, back, Some(from))?;
                return Ok(true);
            }
            self.steps.pop();
        }
        check_link(blocks, from, forw, None)?;
        Ok(false)
    }

    fn leaf_header(&self, blocks: &dyn DaBlocks) -> Result<DaHeader> {
        checked_header(blocks, self.leaf, &read_mapped(blocks, self.leaf, STRUCTURE)?)
    }

    /// The step at `height` above the leaf.
    fn step(&mut self, height: usize) -> Option<&mut Step> {
        let index = self.steps.len().checked_sub(height.saturating_add(1))?;
        self.steps.get_mut(index)
    }

    /// Tells the nodes that the last hash of the leaf is now `hash`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn set_last_hash(&mut self, blocks: &mut dyn DaBlocks, hash: u32) -> Result<()> {
        self.set_hash(blocks, 0, hash)
    }

    fn set_hash(&mut self, blocks: &mut dyn DaBlocks, from: usize, hash: u32) -> Result<()> {
        for height in from..self.steps.len() {
            let Some(step) = self.step(height) else { return Ok(()) };
            let is_last = step.index.saturating_add(1) == step.node.entries.len();
            let Some(entry) = step.node.entries.get_mut(step.index) else { return Ok(()) };
            if entry.hash == hash {
                return Ok(());
            }
            entry.hash = hash;
            store(blocks, step.at, &step.node)?;
            if !is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves a leaf that is the root to a block of its own, below a new root node. `last_hash` is
    /// the last hash of the leaf.
    ///
    /// # Errors
    /// `Refused` without space; `Corrupt`.
    pub(crate) fn raise_root(&mut self, blocks: &mut dyn DaBlocks, last_hash: u32) -> Result<()> {
        let level = self.steps.first().map_or(0, |step| step.node.level).saturating_add(1);
        if level > LEVEL_MAX {
            let what = "levels of a directory or attribute tree";
            return Err(Error::limit(what, LEVEL_MAX.into(), level.into()));
        }
        let root = self.extent.root;
        let new = self.allocate(blocks)?;
        let mut bytes = read_mapped(blocks, root, STRUCTURE)?;
        let moved = checked_header(blocks, root, &bytes)?;
        move_to(blocks, new, moved, &mut bytes, Lsn(0))?;
        let node = Node::new(level, vec![NodeEntry { hash: last_hash, child: new }]);
        store(blocks, root, &node)?;
        match self.steps.first_mut() {
            Some(step) => step.at = new,
            None => self.leaf = new,
        }
        self.steps.insert(0, Step { at: root, node, index: 0 });
        Ok(())
    }

    /// Maps a new block of the tree.
    ///
    /// # Errors
    /// `Refused` without space.
    pub(crate) fn allocate(&self, blocks: &mut dyn DaBlocks) -> Result<FileBlock> {
        let at = first_hole(blocks, self.extent.root, self.extent.end)?;
        blocks.allocate(at)?;
        Ok(at)
    }

    /// Hangs a new leaf behind the leaf, which has given it its upper part: `left` and `right` are
    /// their last hashes. The leaf must not be the root. Sibling pointers are those that
    /// [`link_behind`] makes.
    ///
    /// # Errors
    /// `Refused` without space; `Corrupt`.
    pub(crate) fn insert_behind(
        &mut self,
        blocks: &mut dyn DaBlocks,
        new: FileBlock,
        left: u32,
        right: u32,
    ) -> Result<()> {
        self.insert_at(blocks, 0, NodeEntry { hash: right, child: new }, left)
    }

    fn insert_at(
        &mut self,
        blocks: &mut dyn DaBlocks,
        height: usize,
        new: NodeEntry,
        left: u32,
    ) -> Result<()> {
        let capacity = Node::capacity(blocks.format());
        if self.step(height).is_some_and(|step| step.node.entries.len() >= capacity) {
            self.split(blocks, height)?;
        }
        let Some(step) = self.step(height) else {
            return Err(corrupt(blocks, STRUCTURE, self.extent.root, NodeDefect::Kind));
        };
        if let Some(entry) = step.node.entries.get_mut(step.index) {
            entry.hash = left;
        }
        let behind = step.index.saturating_add(1).min(step.node.entries.len());
        step.node.entries.insert(behind, new);
        store(blocks, step.at, &step.node)?;
        let last = step.node.last_hash();
        self.set_hash(blocks, height.saturating_add(1), last)
    }

    /// Splits the node at `height`; the way goes on through the half that holds its entry.
    fn split(&mut self, blocks: &mut dyn DaBlocks, height: usize) -> Result<()> {
        if height.saturating_add(1) == self.steps.len() {
            let last = self.steps.first().map_or(0, |step| step.node.last_hash());
            self.raise_root(blocks, last)?;
        }
        let new = self.allocate(blocks)?;
        let Some(step) = self.step(height) else { return Ok(()) };
        let half = step.node.entries.len() / 2;
        let upper = step.node.entries.split_off(half);
        let (old, left) = (step.at, step.node.clone());
        let mut right = Node::new(left.level, upper);
        right.header = link_behind(blocks, old, left.header, new)?;
        let mut left = left;
        left.header.forw = Some(new);
        store(blocks, old, &left)?;
        let empty = vec![0; blocks.format().block_len()];
        right.store(blocks, new, empty)?;
        let entry = NodeEntry { hash: right.last_hash(), child: new };
        self.insert_at(blocks, height.saturating_add(1), entry, left.last_hash())?;
        let Some(step) = self.step(height) else { return Ok(()) };
        step.node = left;
        if step.index >= half {
            *step = Step { at: new, node: right, index: step.index.saturating_sub(half) };
            if let Some(parent) = self.step(height.saturating_add(1)) {
                parent.index = parent.index.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Takes the leaf, which must not be the root, out of the tree and frees its block. Nodes that
    /// become empty go too; a root with one child takes over its content.
    ///
    /// # Errors
    /// `Corrupt`, also if it is the only leaf.
    pub(crate) fn remove_leaf(mut self, blocks: &mut dyn DaBlocks) -> Result<()> {
        unlink(blocks, self.leaf)?;
        blocks.free(self.leaf)?;
        for height in 0..self.steps.len() {
            let Some(step) = self.step(height) else { break };
            let at = step.at;
            if step.node.entries.len() > 1 {
                if step.index < step.node.entries.len() {
                    step.node.entries.remove(step.index);
                }
                store(blocks, at, &step.node)?;
                let last = step.node.last_hash();
                self.set_hash(blocks, height.saturating_add(1), last)?;
                return self.lower_root(blocks);
            }
            if at == self.extent.root {
                return Err(corrupt(blocks, STRUCTURE, at, NodeDefect::LastEntry));
            }
            unlink(blocks, at)?;
            blocks.free(at)?;
        }
        Err(corrupt(blocks, STRUCTURE, self.extent.root, NodeDefect::LastEntry))
    }

    /// Replaces a root with one child by that child, as often as possible.
    fn lower_root(&self, blocks: &mut dyn DaBlocks) -> Result<()> {
        let root = self.extent.root;
        for _ in 0..LEVEL_MAX {
            let bytes = read_mapped(blocks, root, STRUCTURE)?;
            if checked_header(blocks, root, &bytes)?.kind != DaKind::Node {
                return Ok(());
            }
            let lsn = header::lsn(&bytes, blocks.format())
                .map_err(|defect| corrupt(blocks, STRUCTURE, root, defect))?;
            let (node, _) = load(blocks, root)?;
            let [only] = node.entries.as_slice() else { return Ok(()) };
            let mut bytes = read_mapped(blocks, only.child, STRUCTURE)?;
            let child = checked_header(blocks, only.child, &bytes)?;
            check_link(blocks, only.child, child.forw, None)?;
            check_link(blocks, only.child, child.back, None)?;
            move_to(blocks, root, child, &mut bytes, lsn)?;
            blocks.free(only.child)?;
        }
        Ok(())
    }
}

/// Compares a sibling pointer of the block at `at` with the order of the tree.
pub(super) fn check_link(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    actual: Option<FileBlock>,
    expected: Option<FileBlock>,
) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    let number = |block: Option<FileBlock>| block.map(|block| block.0);
    let defect = NodeDefect::Sibling { actual: number(actual), expected: number(expected) };
    Err(corrupt(blocks, STRUCTURE, at, defect))
}

/// Makes `new` the sibling behind `left`: the right neighbour is told; `left` gets `forw = new`
/// from the caller. Gives the sibling pointers of `new`, with the kind of `left`.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn link_behind(
    blocks: &mut dyn DaBlocks,
    left_at: FileBlock,
    left: DaHeader,
    new: FileBlock,
) -> Result<DaHeader> {
    if let Some(right) = left.forw {
        relink(blocks, right, |header| header.back = Some(new))?;
    }
    Ok(DaHeader { kind: left.kind, forw: left.forw, back: Some(left_at) })
}

/// Takes the leaf or node at `at` out of the chain of its siblings.
fn unlink(blocks: &mut dyn DaBlocks, at: FileBlock) -> Result<()> {
    let DaHeader { forw, back, .. } =
        checked_header(blocks, at, &read_mapped(blocks, at, STRUCTURE)?)?;
    if let Some(left) = back {
        relink(blocks, left, |header| header.forw = forw)?;
    }
    if let Some(right) = forw {
        relink(blocks, right, |header| header.back = back)?;
    }
    Ok(())
}

/// Compares a node with what its parent says.
pub(super) fn check_against(
    node: &Node,
    level: u16,
    last_hash: Option<u32>,
) -> Result<(), NodeDefect> {
    if node.level != level {
        return Err(NodeDefect::Level { actual: node.level, expected: level });
    }
    match last_hash {
        Some(expected) if expected != node.last_hash() => {
            Err(NodeDefect::LastHash { actual: node.last_hash(), expected })
        }
        _ => Ok(()),
    }
}
