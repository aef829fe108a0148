//! The blocks from the root of a tree to a leaf, all of them copied for the transaction.

use super::super::extent::change::Extent;
use super::super::extent::item::Reference;
use super::super::key::Key;
use super::super::node::{Defect, Expected, Node, Pointer, flag};
use super::super::volume::Volume;
use crate::bytes::arith::OutOfRange;
use crate::error::{Corrupt, Result};
use std::sync::Arc;

/// A node on the way, and which of its pointers was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Address of the node.
    pub(crate) bytenr: u64,
    /// Index of the pointer.
    pub(crate) slot: usize,
}

/// The way to a leaf.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The tree.
    pub(crate) tree: u64,
    /// The nodes, the root first; none if the root is a leaf.
    pub(crate) steps: Vec<Step>,
    /// Address of the leaf.
    pub(crate) leaf: u64,
}

impl Volume {
    /// The way to the leaf that has or would have `key`; every block of it is new.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if there is no room.
    pub(crate) fn writable_path(&mut self, tree: u64, key: Key) -> Result<Path> {
        let root = self.root(tree)?;
        let node = self.root_node(&root)?;
        let mut bytenr = self.copy_block(tree, &node)?;
        if bytenr != root.bytenr {
            let copy = self.new_node(bytenr)?;
            self.set_root(tree, &copy);
        }
        let mut steps = Vec::new();
        let mut node = self.new_node(bytenr)?;
        while node.level > 0 {
            let slot = node.child_of(key);
            let child = self.writable_child(tree, &node, slot)?;
            steps.push(Step { bytenr, slot });
            bytenr = child;
            node = self.new_node(bytenr)?;
        }
        Ok(Path { tree, steps, leaf: bytenr })
    }

    /// The block of pointer `slot` of a new node, copied.
    ///
    /// # Errors
    /// As [`Volume::writable_path`].
    pub(crate) fn writable_child(
        &mut self,
        tree: u64,
        parent: &Arc<Node>,
        slot: usize,
    ) -> Result<u64> {
        let root = self.root(tree)?;
        let child = self.child(&root, parent, slot)?;
        let bytenr = self.copy_block(tree, &child)?;
        if bytenr != child.bytenr {
            let generation = self.pending().generation;
            let pointer = self.pointer_mut(parent.bytenr, slot)?;
            pointer.bytenr = bytenr;
            pointer.generation = generation;
        }
        Ok(bytenr)
    }

    /// Pointer `slot` of a new node.
    ///
    /// # Errors
    /// `Corrupt` if there is none.
    pub(crate) fn pointer_mut(&mut self, bytenr: u64, slot: usize) -> Result<&mut Pointer> {
        let node = self.node_mut(bytenr)?;
        Ok(node.pointers_mut()?.get_mut(slot).ok_or(OutOfRange)?)
    }

    /// Copies a block for `tree` unless it is new already; gives its address.
    fn copy_block(&mut self, tree: u64, old: &Node) -> Result<u64> {
        let Node { bytenr, generation, level, .. } = *old;
        if self.is_pending(Expected { bytenr, generation, level }) {
            return Ok(bytenr);
        }
        if old.owner != tree && !super::super::key::object::is_subvolume(tree) {
            let defect = Defect::Header { field: "owner", found: old.owner, wanted: tree };
            return Err(Corrupt::new("tree block", defect).at(bytenr).into());
        }
        self.share_references(tree, old)?;
        let copy = self.allocate_block(tree, level)?;
        let generation = self.pending().generation;
        let flags = flag::WRITTEN | flag::MIXED;
        self.add_node(Node { bytenr: copy, flags, generation, owner: tree, ..old.clone() })?;
        self.change_reference(bytenr, Extent::Block(level), Reference::Tree(tree), -1);
        self.count_blocks(tree, -1);
        Ok(copy)
    }

    /// Makes the pointers of the way have the first keys of their blocks.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn settle_keys(&mut self, path: &Path) -> Result<()> {
        let mut below = path.leaf;
        for &Step { bytenr, slot } in path.steps.iter().rev() {
            if let Some(key) = self.new_node(below)?.first_key() {
                self.pointer_mut(bytenr, slot)?.key = key;
            }
            below = bytenr;
        }
        Ok(())
    }
}
