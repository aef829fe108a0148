//! Trees: finding an item, and going through a range of them.
//!
//! Format: Btrfs documentation, "On-disk format", section "Btree"; root items as described there under "Root item".
//! Every block must hold only keys from that of its pointer up to that of the next one, and starts with the former; so
//! a damaged tree cannot lead in circles.
//!
//! | offset | size | root item field | valid when                                                   |
//! |-------:|-----:|-----------------|--------------------------------------------------------------|
//! |      0 |  160 | inode           | an inode item                                                |
//! |    160 |    8 | generation      | that of the root block                                       |
//! |    168 |    8 | root_dirid      | 256 in subvolumes                                            |
//! |    176 |    8 | bytenr          | logical address of the root block                            |
//! |    192 |    8 | bytes_used      | blocks of the tree times nodesize                            |
//! |    200 |    8 | last_snapshot   | generation of the last snapshot of it                        |
//! |    208 |    8 | flags           | bit 0: read-only                                             |
//! |    216 |    4 | refs            | 0: being removed                                             |
//! |    238 |    1 | level           | that of the root block                                       |
//! |    239 |    8 | generation_v2   | equal to generation, else all behind it is void              |
//! |    247 |   48 | UUIDs           | of it, of its parent, of what it was received from           |
//! |    295 |    8 | ctransid        | last transaction that changed an inode; three more follow    |
//! |    327 |   12 | ctime           | seconds and nanoseconds; three more follow                   |

use super::key::{Key, item, object};
use super::node::{Defect, Expected, Node, Pointer};
use super::volume::Volume;
use crate::bytes::field::{le_u64, u8_at};
use crate::error::{Context as _, Corrupt, Error, Result};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Offsets of fields of a root item.
pub(crate) mod root_item {
    pub(crate) const GENERATION: usize = 160;
    pub(crate) const BYTENR: usize = 176;
    pub(crate) const BYTES_USED: usize = 192;
    pub(crate) const FLAGS: usize = 208;
    pub(crate) const REFS: usize = 216;
    pub(crate) const LEVEL: usize = 238;
    pub(crate) const GENERATION_V2: usize = 239;
    pub(crate) const CTRANSID: usize = 295;
    pub(crate) const CTIME: usize = 327;
    /// Size of a whole root item, in bytes; old kernels wrote only what is before `GENERATION_V2`.
    pub(crate) const BYTES: usize = 439;
    /// Bit of the flags: the subvolume is read-only.
    pub(crate) const READ_ONLY: u64 = 1;
}

/// Where a tree starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    /// Number of the tree.
    pub(crate) tree: u64,
    /// Logical address of the root block.
    pub(crate) bytenr: u64,
    /// Level of the root block.
    pub(crate) level: u8,
    /// Generation of the root block.
    pub(crate) generation: u64,
}

impl TreeRoot {
    /// Reads a root item.
    ///
    /// # Errors
    /// `Corrupt` if it is too short.
    pub(crate) fn parse(tree: u64, data: &[u8]) -> Result<Self> {
        Ok(Self {
            tree,
            bytenr: le_u64(data, root_item::BYTENR)?,
            level: u8_at(data, root_item::LEVEL)?,
            generation: le_u64(data, root_item::GENERATION)?,
        })
    }

    /// What its root block must be.
    pub(crate) fn expected(self) -> Expected {
        Expected { bytenr: self.bytenr, generation: self.generation, level: self.level }
    }
}

/// Called with each item of a range until it breaks.
pub(crate) type Visit<'a> = dyn FnMut(Key, &[u8]) -> Result<ControlFlow<()>> + 'a;

impl Volume {
    /// The tree with this number, from the tree of trees.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt`.
    pub(crate) fn root(&self, tree: u64) -> Result<TreeRoot> {
        match tree {
            object::ROOT_TREE => return Ok(self.root_tree()),
            object::CHUNK_TREE => return Ok(self.chunk_root()),
            _ => {}
        }
        match self.pending_root(tree) {
            Some(root) => Ok(root),
            None => self.root_in(&self.root_tree(), tree),
        }
    }

    /// The tree with this number as it is on the disk, whatever a transaction makes of it.
    ///
    /// # Errors
    /// As [`Volume::root`].
    pub(crate) fn committed_root(&self, tree: u64) -> Result<TreeRoot> {
        self.root_in(&self.committed_root_tree(), tree)
    }

    fn root_in(&self, root_tree: &TreeRoot, tree: u64) -> Result<TreeRoot> {
        match self.root_item_in(root_tree, tree)? {
            Some((_, data)) => TreeRoot::parse(tree, &data).context(|| format!("tree {tree}")),
            None => Err(Error::not_found(format!("Btrfs tree {tree}"))),
        }
    }

    /// The root item of a tree with its key, whose offset differs for snapshots.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn root_item(&self, tree: u64) -> Result<Option<(Key, Vec<u8>)>> {
        self.root_item_in(&self.root_tree(), tree)
    }

    fn root_item_in(&self, root_tree: &TreeRoot, tree: u64) -> Result<Option<(Key, Vec<u8>)>> {
        let last = Key::new(tree, item::ROOT_ITEM, u64::MAX);
        let found = self.last_up_to(root_tree, last)?;
        Ok(found.filter(|(key, _)| key.objectid == tree && key.kind == item::ROOT_ITEM))
    }

    /// The data of the item with exactly this key.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn get(&self, root: &TreeRoot, key: Key) -> Result<Option<Vec<u8>>> {
        let leaf = self.leaf(root, key)?;
        let items = leaf.items();
        let index = items.binary_search_by_key(&key, |item| item.key).ok();
        Ok(index.and_then(|index| items.get(index)).map(|item| item.data.clone()))
    }

    /// The last item whose key is not above `key`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn last_up_to(&self, root: &TreeRoot, key: Key) -> Result<Option<(Key, Vec<u8>)>> {
        let leaf = self.leaf(root, key)?;
        // The leaf starts with the key of its pointer, so only the first leaf can start behind `key`.
        let before = leaf.items().partition_point(|item| item.key <= key).checked_sub(1);
        let found = before.and_then(|index| leaf.items().get(index));
        Ok(found.map(|item| (item.key, item.data.clone())))
    }

    /// The first item whose key is not below `key`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn first_from(&self, root: &TreeRoot, key: Key) -> Result<Option<(Key, Vec<u8>)>> {
        let mut found = None;
        self.for_each(root, key, Key::MAX, &mut |key, data| {
            found = Some((key, data.to_vec()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Calls `visit` with every item from `from` to `to`, both included, ascending, until it breaks.
    ///
    /// # Errors
    /// `Corrupt`; the error of `visit`.
    pub(crate) fn for_each(
        &self,
        root: &TreeRoot,
        from: Key,
        to: Key,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let node = self.root_node(root)?;
        self.walk(root, &node, (from, to), visit).map(|_| ())
    }

    /// The leaf that holds `key`, if any does.
    fn leaf(&self, root: &TreeRoot, key: Key) -> Result<Arc<Node>> {
        let mut node = self.root_node(root)?;
        while node.level > 0 {
            node = self.child(root, &node, node.child_of(key))?;
        }
        Ok(node)
    }

    /// The root block of a tree.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn root_node(&self, root: &TreeRoot) -> Result<Arc<Node>> {
        let tree = root.tree;
        let node = self.node(root.expected()).context(|| format!("tree {tree}"))?;
        check_owner(root.tree, &node).context(|| format!("tree {tree}"))?;
        Ok(node)
    }

    /// The block of pointer number `index`, one level below `parent`, with keys in its range only.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn child(&self, root: &TreeRoot, parent: &Node, index: usize) -> Result<Arc<Node>> {
        let pointers = parent.pointers();
        let corrupt = |defect| Corrupt::new("tree block", defect).at(parent.bytenr);
        let Some((pointer, level)) = pointers.get(index).zip(parent.level.checked_sub(1)) else {
            return Err(corrupt(Defect::ItemCount(0)).into());
        };
        let Pointer { bytenr, generation, key } = *pointer;
        let tree = root.tree;
        let node =
            self.node(Expected { bytenr, generation, level }).context(|| format!("tree {tree}"))?;
        check_owner(tree, &node).context(|| format!("tree {tree}"))?;
        let next = pointers.get(index.saturating_add(1)).map(|pointer| pointer.key);
        let is_inside = next.is_none_or(|next| node.last_key().is_some_and(|last| last < next));
        if node.first_key() != Some(key) || !is_inside {
            return Err(corrupt(Defect::Order(index)).into());
        }
        Ok(node)
    }

    /// Depth is bounded by the level, which is checked.
    fn walk(
        &self,
        root: &TreeRoot,
        node: &Node,
        (from, to): (Key, Key),
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let start = node.items().partition_point(|item| item.key < from);
        for item in node.items().iter().skip(start) {
            if item.key > to || visit(item.key, &item.data)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        for index in node.child_of(from)..node.pointers().len() {
            if node.pointers().get(index).is_some_and(|pointer| pointer.key > to) {
                return Ok(ControlFlow::Break(()));
            }
            let child = self.child(root, node, index)?;
            if self.walk(root, &child, (from, to), visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Checks that a block was made for the tree, or, as subvolumes share blocks, for a subvolume.
fn check_owner(tree: u64, node: &Node) -> Result<()> {
    let is_shared = object::is_subvolume(tree) && object::is_subvolume(node.owner);
    // Log trees and trees in relocation have the number of their kind.
    let is_special = tree == object::TREE_LOG || tree == object::TREE_RELOC;
    let is_moved = node.owner == object::TREE_RELOC;
    if node.owner == tree || is_shared || is_special || is_moved {
        return Ok(());
    }
    let defect = Defect::Header { field: "owner", found: node.owner, wanted: tree };
    Err(Corrupt::new("tree block", defect).at(node.bytenr).into())
}
