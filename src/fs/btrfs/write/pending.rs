//! The blocks, roots and counters of a transaction.

use super::super::extent::change::Changes;
use super::super::node::{Body, Expected, Node, flag};
use super::super::space::group::Group;
use super::super::tree::TreeRoot;
use super::super::volume::Volume;
use super::super::{key::Key, node::Defect};
use crate::bytes::arith::len_u64;
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bound on the tree blocks that an edit may change: 1 GiB of them.
const BLOCKS_MAX: usize = 64 * 1024;

/// What an edit changed so far.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Number of the transaction.
    pub(crate) generation: u64,
    /// Changes of references that are not in the extent tree yet.
    pub(crate) changes: Changes,
    /// The block groups that were looked at.
    pub(crate) groups: BTreeMap<u64, Group>,
    /// The new blocks.
    nodes: BTreeMap<u64, Arc<Node>>,
    /// The trees that changed.
    roots: BTreeMap<u64, TreeRoot>,
    /// By how many blocks each of them grew.
    block_counts: BTreeMap<u64, i64>,
}

impl Pending {
    /// Begins the transaction behind `generation`.
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            // Bounded when the superblock was parsed.
            generation: generation.saturating_add(1),
            changes: Changes::default(),
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            roots: BTreeMap::new(),
            block_counts: BTreeMap::new(),
        }
    }

    /// A new block.
    pub(crate) fn node(&self, bytenr: u64) -> Option<&Arc<Node>> {
        self.nodes.get(&bytenr)
    }

    /// All new blocks by address.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The root of a tree that changed.
    pub(crate) fn root(&self, tree: u64) -> Option<TreeRoot> {
        self.roots.get(&tree).copied()
    }

    /// All trees that changed.
    pub(crate) fn roots(&self) -> impl Iterator<Item = TreeRoot> {
        self.roots.values().copied()
    }

    /// Takes out by how many blocks each tree grew.
    pub(crate) fn take_block_count(&mut self, tree: u64) -> i64 {
        self.block_counts.remove(&tree).unwrap_or(0)
    }
}

impl Volume {
    /// The transaction, which begins with the first call.
    pub(crate) fn pending(&mut self) -> &mut Pending {
        let generation = self.superblock().generation;
        self.transaction().get_or_insert_with(|| Box::new(Pending::new(generation)))
    }

    /// Remembers the new root of a tree.
    pub(crate) fn set_root(&mut self, tree: u64, node: &Node) {
        let Node { bytenr, level, generation, .. } = *node;
        self.pending().roots.insert(tree, TreeRoot { tree, bytenr, level, generation });
    }

    /// A tree has more or fewer blocks now.
    pub(crate) fn count_blocks(&mut self, tree: u64, delta: i64) {
        let count = self.pending().block_counts.entry(tree).or_insert(0);
        *count = count.saturating_add(delta);
    }

    /// True if the block was made by this transaction, and so belongs to one tree only.
    pub(crate) fn is_pending(&self, expected: Expected) -> bool {
        self.pending_node(expected.bytenr)
            .is_some_and(|node| node.generation == expected.generation)
    }

    /// A block of this transaction that may be changed.
    ///
    /// # Errors
    /// `Corrupt` if it is none.
    pub(crate) fn node_mut(&mut self, bytenr: u64) -> Result<&mut Node> {
        match self.pending().nodes.get_mut(&bytenr) {
            Some(node) => Ok(Arc::make_mut(node)),
            None => Err(not_pending(bytenr)),
        }
    }

    /// A block of this transaction.
    ///
    /// # Errors
    /// `Corrupt` if it is none.
    pub(crate) fn new_node(&self, bytenr: u64) -> Result<Arc<Node>> {
        self.pending_node(bytenr).cloned().ok_or_else(|| not_pending(bytenr))
    }

    /// Adds a block to the transaction.
    ///
    /// # Errors
    /// `Limit` if there are too many.
    pub(crate) fn add_node(&mut self, node: Node) -> Result<()> {
        let nodes = &mut self.pending().nodes;
        if nodes.len() >= BLOCKS_MAX {
            let limit = len_u64(BLOCKS_MAX);
            let what = "number of tree blocks that an edit changes";
            return Err(Error::limit(what, limit, limit.saturating_add(1)));
        }
        nodes.insert(node.bytenr, Arc::new(node));
        Ok(())
    }

    /// Makes a new block for `tree`.
    ///
    /// # Errors
    /// `Refused` if there is no room.
    pub(crate) fn make_node(
        &mut self,
        tree: u64,
        level: u8,
        chunk_tree_uuid: [u8; 16],
        body: Body,
    ) -> Result<u64> {
        let bytenr = self.allocate_block(tree, level)?;
        let generation = self.pending().generation;
        let flags = flag::WRITTEN | flag::MIXED;
        self.add_node(Node {
            bytenr,
            flags,
            chunk_tree_uuid,
            generation,
            owner: tree,
            level,
            body,
        })?;
        Ok(bytenr)
    }

    /// Gives up a block of this transaction.
    pub(crate) fn drop_node(&mut self, tree: u64, node: &Node) {
        use super::super::extent::{change::Extent, item::Reference};
        self.pending().nodes.remove(&node.bytenr);
        self.change_reference(node.bytenr, Extent::Block(node.level), Reference::Tree(tree), -1);
        self.count_blocks(tree, -1);
    }

    /// The first key of a new block; the smallest one if it has none.
    pub(crate) fn first_key_of(&self, bytenr: u64) -> Key {
        self.pending_node(bytenr).and_then(|node| node.first_key()).unwrap_or(Key::MIN)
    }
}

fn not_pending(bytenr: u64) -> Error {
    Corrupt::new("tree block", Defect::ItemCount(0)).at(bytenr).into()
}
