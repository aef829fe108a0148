//! Splitting and joining blocks, growing and shrinking trees.
//!
//! A leaf that is too full is split in the middle of its bytes, or into three where one item needs a leaf of its own;
//! a node in the middle of its pointers. A leaf that is nearly empty joins the next or the last one if both fit into
//! one; nodes are never joined, only given up when they are empty. A root with a single pointer gives way to the block
//! below it.

use super::super::node::{Body, Defect, ITEM_BYTES, Item, Node, Pointer, pointers_max, room_bytes};
use super::super::superblock::LEVELS_MAX;
use super::super::volume::Volume;
use super::path::{Path, Step};
use crate::error::{Corrupt, Error, Result};

/// A leaf joins its neighbour when less than this part of it is in use.
const JOIN_BELOW: usize = 3;

impl Volume {
    /// Splits the leaf of a path if it is too full.
    ///
    /// # Errors
    /// `Refused` if there is no room for new blocks.
    pub(crate) fn split_leaf(&mut self, path: &Path) -> Result<()> {
        let room = room_bytes(self.superblock().node_bytes);
        let leaf = self.new_node(path.leaf)?;
        if leaf.used_bytes() <= room {
            return Ok(());
        }
        let mut parts = parts(leaf.items(), room).into_iter();
        *self.node_mut(path.leaf)?.items_mut()? = parts.next().unwrap_or_default();
        let mut pointers = Vec::new();
        for part in parts {
            pointers.push(self.make_sibling(path.tree, &leaf, Body::Leaf(part))?);
        }
        self.insert_pointers(path, path.steps.len(), pointers)
    }

    fn make_sibling(&mut self, tree: u64, node: &Node, body: Body) -> Result<Pointer> {
        let bytenr = self.make_node(tree, node.level, node.chunk_tree_uuid, body)?;
        let generation = self.pending().generation;
        Ok(Pointer { key: self.first_key_of(bytenr), bytenr, generation })
    }

    /// Inserts pointers behind the one that the path takes in the node above `depth`, and splits that node if they do
    /// not fit. Depth 0 is the root.
    fn insert_pointers(&mut self, path: &Path, depth: usize, pointers: Vec<Pointer>) -> Result<()> {
        let Some(above) = depth.checked_sub(1) else { return self.grow(path, pointers) };
        let Some(&Step { bytenr, slot }) = path.steps.get(above) else { return Ok(()) };
        let max = pointers_max(self.superblock().node_bytes);
        let known = self.node_mut(bytenr)?.pointers_mut()?;
        let at = slot.saturating_add(1).min(known.len());
        known.splice(at..at, pointers);
        if known.len() <= max {
            return Ok(());
        }
        let tail = known.split_off(known.len() / 2);
        let node = self.new_node(bytenr)?;
        let sibling = self.make_sibling(path.tree, &node, Body::Node(tail))?;
        self.insert_pointers(path, above, vec![sibling])
    }

    /// Puts a new root above the old one and its new siblings.
    fn grow(&mut self, path: &Path, siblings: Vec<Pointer>) -> Result<()> {
        let root = self.root(path.tree)?;
        let old = self.new_node(root.bytenr)?;
        let level = root.level.saturating_add(1);
        if level >= LEVELS_MAX {
            let limit = u64::from(LEVELS_MAX).saturating_sub(1);
            return Err(Error::limit("level of a tree", limit, level.into()));
        }
        let key = self.first_key_of(root.bytenr);
        let mut pointers = vec![Pointer { key, bytenr: root.bytenr, generation: root.generation }];
        pointers.extend(siblings);
        let body = Body::Node(pointers);
        let bytenr = self.make_node(path.tree, level, old.chunk_tree_uuid, body)?;
        let node = self.new_node(bytenr)?;
        self.set_root(path.tree, &node);
        Ok(())
    }

    /// Gives up or joins the leaf of a path if it is empty or nearly so.
    ///
    /// # Errors
    /// As [`Volume::split_leaf`].
    pub(crate) fn shrink(&mut self, path: &Path) -> Result<()> {
        let room = room_bytes(self.superblock().node_bytes);
        let leaf = self.new_node(path.leaf)?;
        if path.steps.is_empty() {
            return Ok(());
        }
        if leaf.len() == 0 {
            self.drop_node(path.tree, &leaf);
            self.remove_pointer(path, path.steps.len())?;
        } else if leaf.used_bytes() < room / JOIN_BELOW {
            self.join(path, &leaf)?;
        }
        self.lower_root(path.tree)
    }

    /// Removes the pointer that the path takes in the node above `depth`, and the node if it was the last one.
    fn remove_pointer(&mut self, path: &Path, depth: usize) -> Result<()> {
        let Some(above) = depth.checked_sub(1) else { return Ok(()) };
        let Some(&Step { bytenr, slot }) = path.steps.get(above) else { return Ok(()) };
        let pointers = self.node_mut(bytenr)?.pointers_mut()?;
        if slot < pointers.len() {
            pointers.remove(slot);
        }
        if !pointers.is_empty() {
            return self.settle_above(path, above);
        }
        let node = self.new_node(bytenr)?;
        if above > 0 {
            self.drop_node(path.tree, &node);
            return self.remove_pointer(path, above);
        }
        // The tree is empty: its root becomes a leaf.
        self.drop_node(path.tree, &node);
        let body = Body::Leaf(Vec::new());
        let bytenr = self.make_node(path.tree, 0, node.chunk_tree_uuid, body)?;
        let root = self.new_node(bytenr)?;
        self.set_root(path.tree, &root);
        Ok(())
    }

    /// As [`Volume::settle_keys`], from the node at `depth` upwards.
    fn settle_above(&mut self, path: &Path, depth: usize) -> Result<()> {
        let Some(&Step { bytenr, .. }) = path.steps.get(depth) else { return Ok(()) };
        let steps = path.steps.get(..depth).unwrap_or_default().to_vec();
        self.settle_keys(&Path { tree: path.tree, steps, leaf: bytenr })
    }

    /// Joins a leaf with its neighbour in the same node, if both fit into one.
    fn join(&mut self, path: &Path, leaf: &Node) -> Result<()> {
        let room = room_bytes(self.superblock().node_bytes);
        let Some(&Step { bytenr, slot }) = path.steps.last() else { return Ok(()) };
        let parent = self.new_node(bytenr)?;
        let root = self.root(path.tree)?;
        let next = slot.saturating_add(1);
        // The left one of the two is kept.
        let left = if next < parent.len() { slot } else { slot.saturating_sub(1) };
        let right = left.saturating_add(1);
        if right >= parent.len() {
            return Ok(());
        }
        let other = if left == slot { right } else { left };
        let neighbour = self.child(&root, &parent, other)?;
        if neighbour.used_bytes().saturating_add(leaf.used_bytes()) > room {
            return Ok(());
        }
        self.writable_child(path.tree, &parent, other)?;
        let parent = self.new_node(bytenr)?;
        let root = self.root(path.tree)?;
        let (from, to) = (self.child(&root, &parent, right)?, self.child(&root, &parent, left)?);
        let moved = from.items().to_vec();
        self.node_mut(to.bytenr)?.items_mut()?.extend(moved);
        self.drop_node(path.tree, &from);
        let mut path = path.clone();
        if let Some(step) = path.steps.last_mut() {
            step.slot = right;
        }
        self.remove_pointer(&path, path.steps.len())
    }

    /// While the root has a single pointer, the block below becomes the root.
    fn lower_root(&mut self, tree: u64) -> Result<()> {
        for _ in 0..LEVELS_MAX {
            let root = self.root(tree)?;
            if root.level == 0 {
                return Ok(());
            }
            let node = self.new_node(root.bytenr)?;
            if node.len() != 1 {
                return Ok(());
            }
            let child = self.writable_child(tree, &node, 0)?;
            let child = self.new_node(child)?;
            self.set_root(tree, &child);
            self.drop_node(tree, &node);
        }
        let defect = Defect::Header { field: "level", found: LEVELS_MAX.into(), wanted: 0 };
        Err(Corrupt::new("tree", defect).into())
    }
}

/// Deals items out to leaves: two of about the same size, or as many as it takes.
fn parts(items: &[Item], room: usize) -> Vec<Vec<Item>> {
    let size = |item: &Item| ITEM_BYTES.saturating_add(item.data.len());
    let total: usize = items.iter().map(size).sum();
    let mut left = 0usize;
    for (index, item) in items.iter().enumerate() {
        let with = left.saturating_add(size(item));
        // The item in the middle goes to the side that then is smaller.
        if with > total / 2 {
            for (count, left) in [(index.saturating_add(1), with), (index, left)] {
                let right = total.saturating_sub(left);
                if left <= room && right <= room && left > 0 && right > 0 {
                    let (first, second) = items.split_at_checked(count).unwrap_or((items, &[]));
                    return vec![first.to_vec(), second.to_vec()];
                }
            }
            break;
        }
        left = with;
    }
    let mut parts: Vec<Vec<Item>> = Vec::new();
    let mut used = usize::MAX;
    for item in items {
        let with = used.saturating_add(size(item));
        if with > room {
            parts.push(Vec::new());
            used = size(item);
        } else {
            used = with;
        }
        if let Some(part) = parts.last_mut() {
            part.push(item.clone());
        }
    }
    parts
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use crate::fs::btrfs::key::Key;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_parts_fit_and_hold_everything(sizes in prop::collection::vec(0usize..970, 2..9)) {
            let items: Vec<Item> = sizes.iter().enumerate().map(|(index, size)| {
                Item { key: Key::first_of(index as u64), data: vec![0; *size] }
            }).collect();
            let parts = parts(&items, 1000);
            prop_assert_eq!(parts.concat(), items);
            for part in parts {
                prop_assert!(!part.is_empty());
                prop_assert!(part.iter().map(|item| 25 + item.data.len()).sum::<usize>() <= 1000);
            }
        }
    }
}
