//! A tree, and looking things up in it.

use super::expected::Expected;
use super::inode_root;
use super::kind::TreeKind;
use super::node::{LEVELS_MAX, Node, TreeDefect, corrupt};
use super::reverse_map::{ReverseMap, ReverseMapKey, Rmapbt};
use super::store::{NodeSource, Pointer, Root};
use crate::bytes::arith::to;
use crate::error::{Error, Result};
use crate::fs::xfs::units::AgBlock;
use std::marker::PhantomData;
use std::ops::ControlFlow;

/// Where a node is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Block(Pointer),
    Inode,
}

/// One node on the way from the root to a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step<K: TreeKind> {
    pub(super) place: Place,
    pub(super) node: Node<K>,
    pub(super) expected: Expected<K>,
    /// The entry that the way goes through; in the leaf, where the key is or would be.
    pub(super) index: usize,
}

/// A B+tree of kind `K` in the blocks of `S`.
///
/// Nothing is kept between two calls. Every node is checked when it is read: magic, checksum, address, UUID and
/// owner, level exactly one below its parent, number of entries, order, keys inside the range that its parent
/// gives, and siblings as far as the parent knows them. Levels are bounded by [`LEVELS_MAX`], and ranges of keys
/// never overlap, so no walk meets a block twice.
#[derive(Debug)]
pub(crate) struct Tree<K, S> {
    pub(super) store: S,
    kind: PhantomData<K>,
}

/// The direction of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Towards {
    Left,
    Right,
}

impl<K: TreeKind, S: NodeSource> Tree<K, S> {
    /// The tree in `store`.
    pub(crate) fn new(store: S) -> Self {
        Self { store, kind: PhantomData }
    }

    /// The record with `key`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn get(&self, key: &K::Key) -> Result<Option<K::Record>> {
        Ok(self.at_or_after(key)?.filter(|record| K::key(record) == *key))
    }

    /// The record with the largest key that is not above `key`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn at_or_before(&self, key: &K::Key) -> Result<Option<K::Record>> {
        let mut found = None;
        self.visit_back_from(key, |record| {
            found = Some(record);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The record with the smallest key that is not below `key`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn at_or_after(&self, key: &K::Key) -> Result<Option<K::Record>> {
        let mut found = None;
        self.visit_from(key, |record| {
            found = Some(record);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// The record with the smallest key.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    #[cfg(test)]
    pub(crate) fn first(&self) -> Result<Option<K::Record>> {
        let path = self.descend(|_| 0)?;
        Ok(path.last().and_then(|leaf| leaf.node.entries.records().first().copied()))
    }

    /// The record with the largest key.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn last(&self) -> Result<Option<K::Record>> {
        let path = self.descend(|node| node.entries.len().saturating_sub(1))?;
        Ok(path.last().and_then(|leaf| leaf.node.entries.records().last().copied()))
    }

    /// Calls `visit` for the records whose key is not below `key`, ascending, until it breaks.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; the error of `visit`.
    pub(crate) fn visit_from(
        &self,
        key: &K::Key,
        mut visit: impl FnMut(K::Record) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut path = self.descend(|node| node.search(key))?;
        let mut from = path.last().map_or(0, |leaf| leaf.index);
        loop {
            let records = path.last().map(|leaf| leaf.node.entries.records()).unwrap_or_default();
            for record in records.iter().skip(from) {
                if visit(*record)?.is_break() {
                    return Ok(());
                }
            }
            from = 0;
            if !self.next_leaf(&mut path, Towards::Right)? {
                return Ok(());
            }
        }
    }

    /// Calls `visit` for all records, ascending, until it breaks.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; the error of `visit`.
    #[cfg(test)]
    pub(crate) fn visit_all(
        &self,
        visit: impl FnMut(K::Record) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self.first()? {
            Some(first) => self.visit_from(&K::key(&first), visit),
            None => Ok(()),
        }
    }

    /// Calls `visit` for the records whose key is not above `key`, descending, until it breaks.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; the error of `visit`.
    pub(crate) fn visit_back_from(
        &self,
        key: &K::Key,
        mut visit: impl FnMut(K::Record) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut path = self.descend(|node| node.search(key))?;
        loop {
            let records = path.last().map(|leaf| leaf.node.entries.records()).unwrap_or_default();
            // Only in the first leaf can there be records above.
            let count = records.partition_point(|record| K::key(record) <= *key);
            for record in records.iter().take(count).rev() {
                if visit(*record)?.is_break() {
                    return Ok(());
                }
            }
            if !self.next_leaf(&mut path, Towards::Left)? {
                return Ok(());
            }
        }
    }

    /// The root with what is known about it.
    pub(super) fn read_root(&self) -> Result<Step<K>> {
        let shape = self.store.shape();
        match self.store.root()? {
            Root::Inode(fork) => {
                let node = inode_root::parse::<K>(&fork, &shape)?;
                let expected = Expected::root(node.level);
                Ok(Step { place: Place::Inode, node, expected, index: 0 })
            }
            Root::Block { pointer, levels } => {
                if levels == 0 || levels > LEVELS_MAX {
                    return Err(self.corrupt(TreeDefect::Levels(levels)));
                }
                let expected = Expected::root(to(levels.saturating_sub(1))?);
                let node = Node::read(&self.store, pointer, &expected)?;
                Ok(Step { place: Place::Block(pointer), node, expected, index: 0 })
            }
        }
    }

    /// Reads from the root to a leaf through the entries that `choose` names.
    pub(super) fn descend(&self, choose: impl Fn(&Node<K>) -> usize) -> Result<Vec<Step<K>>> {
        let mut path = vec![self.read_root()?];
        self.descend_further(&mut path, choose)?;
        Ok(path)
    }

    /// Reads on from the last node of `path` to a leaf.
    fn descend_further(
        &self,
        path: &mut Vec<Step<K>>,
        choose: impl Fn(&Node<K>) -> usize,
    ) -> Result<()> {
        // Each level is one less than the one above, which the first bounds.
        while let Some(step) = path.last_mut() {
            step.index = choose(&step.node);
            let Some(child) = self.read_child(step, step.index)? else { return Ok(()) };
            path.push(child);
        }
        Ok(())
    }

    /// Reads entry `index` of an inner node; `None` in a leaf.
    pub(super) fn read_child(&self, parent: &Step<K>, index: usize) -> Result<Option<Step<K>>> {
        let Some((pointer, expected)) = parent.expected.child(&parent.node, index) else {
            return Ok(None);
        };
        let node = Node::read(&self.store, pointer, &expected)?;
        Ok(Some(Step { place: Place::Block(pointer), node, expected, index: 0 }))
    }

    /// Goes on to the leaf beside the one at the end of `path`; false if there is none.
    fn next_leaf(&self, path: &mut Vec<Step<K>>, towards: Towards) -> Result<bool> {
        while path.pop().is_some() {
            let Some(step) = path.last_mut() else { return Ok(false) };
            let next = match towards {
                Towards::Left => step.index.checked_sub(1),
                Towards::Right => step.index.checked_add(1),
            };
            let Some(next) = next.filter(|next| *next < step.node.entries.len()) else { continue };
            step.index = next;
            let Some(child) = self.read_child(step, next)? else { return Ok(false) };
            path.push(child);
            let last = |node: &Node<K>| match towards {
                Towards::Left => node.entries.len().saturating_sub(1),
                Towards::Right => 0,
            };
            self.descend_further(path, last)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// A defect of the tree as a whole.
    pub(super) fn corrupt(&self, defect: TreeDefect) -> Error {
        corrupt::<K>(defect, &self.store.shape(), None)
    }
}

impl<S: NodeSource> Tree<Rmapbt, S> {
    /// Calls `visit` for the records that have any of `count` blocks from `start`, ascending by key, until it
    /// breaks. Records of shared blocks may start far before them; the high keys lead there.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; the error of `visit`.
    pub(crate) fn visit_overlapping(
        &self,
        start: AgBlock,
        count: u32,
        mut visit: impl FnMut(ReverseMap) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let low = ReverseMapKey::first_at(start);
        let high = ReverseMapKey::last_at(start.plus(count.saturating_sub(1))?);
        let overlaps = |from: &ReverseMapKey, to: &ReverseMapKey| {
            Rmapbt::order(from) <= high && Rmapbt::order(to) >= low
        };
        let mut path = vec![self.read_root()?];
        while let Some(step) = path.last_mut() {
            for record in step.node.entries.records() {
                let is_there = overlaps(&Rmapbt::low_key(record), &Rmapbt::high_key(record));
                if is_there && visit(*record)?.is_break() {
                    return Ok(());
                }
            }
            let children = step.node.entries.children().iter().enumerate().skip(step.index);
            let mut overlapping = children.filter(|(_, child)| overlaps(&child.low, &child.high));
            let Some((index, _)) = overlapping.next() else {
                path.pop();
                continue;
            };
            step.index = index.saturating_add(1);
            let child = self.read_child(step, index)?;
            path.extend(child);
        }
        Ok(())
    }
}
