//! Changing a tree: insert, remove, replace.
//!
//! An edit changes the leaf in memory and settles the nodes from there to the root ([`super::settle`]). All blocks are taken before the first change and given back after the last (see [`NodeStore`]).

use super::entries::Entries;
use super::expected::Expected;
use super::inode_root;
use super::kind::TreeKind;
use super::node::{Layout, Node, TreeDefect};
use super::settle::{Edit, siblings};
use super::store::{NodeStore, Pointer, Root};
use super::tree::{Place, Step, Tree};
use crate::error::Result;

/// Bound on the rounds of planning an edit and taking blocks for it.
const PLANS_MAX: u32 = 8;

impl<K: TreeKind, S: NodeStore> Tree<K, S> {
    /// Inserts a record.
    ///
    /// # Errors
    /// `Corrupt` if there is one with the same key, if it overlaps a neighbour where that is not allowed, if the
    /// record makes no sense, or the tree is damaged; the errors of [`NodeStore::allocate`]; `Io`.
    pub(crate) fn insert(&mut self, record: K::Record) -> Result<()> {
        self.check_record(&record)?;
        let (mut path, spare) = self.plan(&record)?;
        if let Some(leaf) = path.last_mut()
            && let Entries::Records(records) = &mut leaf.node.entries
        {
            records.insert(leaf.index.min(records.len()), record);
        }
        Edit::new(self, spare)?.finish(path)
    }

    /// Removes the record with `key` and returns it.
    ///
    /// # Errors
    /// `Corrupt` if there is none, if it is the last of a tree in an inode (which must become an extent list
    /// instead), or if the tree is damaged; the errors of [`NodeStore::free`]; `Io`.
    pub(crate) fn remove(&mut self, key: &K::Key) -> Result<K::Record> {
        let mut path = self.descend(|node| node.search(key))?;
        let removed = path.last_mut().and_then(|leaf| take(leaf, key));
        let removed = removed.ok_or_else(|| self.corrupt(TreeDefect::Missing))?;
        Edit::new(self, Vec::new())?.finish(path)?;
        Ok(removed)
    }

    /// Puts `record` in the place of the record with `key`, whose key it need not have.
    ///
    /// As long as no other record lies between the two keys, this changes nothing but the leaf and keys above it.
    ///
    /// # Errors
    /// As [`Tree::insert`] and [`Tree::remove`].
    pub(crate) fn replace(&mut self, key: &K::Key, record: K::Record) -> Result<()> {
        self.check_record(&record)?;
        let new_key = K::key(&record);
        let is_in_place = if new_key < *key {
            self.at_or_after(&new_key)?.is_some_and(|next| K::key(&next) == *key)
        } else {
            self.at_or_before(&new_key)?.is_some_and(|previous| K::key(&previous) == *key)
        };
        if !is_in_place {
            self.remove(key)?;
            return self.insert(record);
        }
        let mut path = self.descend(|node| node.search(key))?;
        let taken = path.last_mut().and_then(|leaf| take(leaf, key));
        taken.ok_or_else(|| self.corrupt(TreeDefect::Missing))?;
        self.check_neighbours(&path, &record, Some(key))?;
        if let Some(leaf) = path.last_mut()
            && let Entries::Records(records) = &mut leaf.node.entries
        {
            records.insert(leaf.index.min(records.len()), record);
        }
        Edit::new(self, Vec::new())?.finish(path)
    }

    /// Makes a tree of `records`, which fit one leaf, with its root in a fork of `fork_bytes`. What the store
    /// says about the root before is not looked at.
    ///
    /// # Errors
    /// `Corrupt` if the records are none, too many, or not in order; the errors of [`NodeStore::allocate`]; `Io`.
    pub(crate) fn build(
        &mut self,
        fork_bytes: usize,
        records: Vec<K::Record>,
        near: Pointer,
    ) -> Result<()> {
        let shape = self.store.shape();
        let (actual, max) = (records.len(), Layout::of::<K>(&shape)?.record_max);
        if actual == 0 || actual > max {
            return Err(self.corrupt(TreeDefect::Entries { actual, min: 1, max }));
        }
        let leaf = Node::<K>::new(&shape, 0, Entries::Records(records))?;
        let checked = leaf.check(&Expected::root(0), &shape);
        checked.map_err(|defect| self.corrupt(defect))?;
        let spare = vec![self.store.allocate(near)?];
        let mut root = leaf.clone();
        root.raw = vec![0; fork_bytes];
        let root = Step { place: Place::Inode, expected: Expected::root(0), node: root, index: 0 };
        let mut edit = Edit::new(self, spare)?;
        edit.push_down_inode_root(root)
    }

    /// Gives the root in an inode a fork of another size: `root` of the store still returns the old fork,
    /// `set_root` gets the new one.
    ///
    /// # Errors
    /// `Corrupt`; the errors of [`NodeStore::allocate`] if its contents have to move into a block; `Io`.
    pub(crate) fn resize_inode_root(&mut self, fork_bytes: usize, near: Pointer) -> Result<()> {
        let mut spare = Vec::new();
        let max = inode_root::capacity::<K>(fork_bytes);
        let Place::Inode = self.read_root()?.place else {
            return Err(self.corrupt(TreeDefect::RootKind));
        };
        if self.read_root()?.node.entries.len() > max {
            spare.push(self.store.allocate(near)?);
        }
        let mut root = self.read_root()?;
        root.node.raw = vec![0; fork_bytes];
        let mut edit = Edit::new(self, spare)?;
        if root.node.entries.len() > max {
            return edit.push_down_inode_root(root);
        }
        edit.give_back()?;
        self.store.set_root(Root::Inode(inode_root::encode(&root.node)?))
    }

    fn check_record(&self, record: &K::Record) -> Result<()> {
        let checked = K::check(record, &self.store.shape().bounds);
        checked.map_err(|defect| self.corrupt(TreeDefect::Record { index: 0, defect }))
    }

    /// Finds the leaf for `record` and takes the blocks that inserting it needs.
    fn plan(&mut self, record: &K::Record) -> Result<(Vec<Step<K>>, Vec<Pointer>)> {
        let key = K::key(record);
        let mut spare = Vec::new();
        for _ in 0..PLANS_MAX {
            let path = self.descend(|node| node.search(&key))?;
            self.check_neighbours(&path, record, None)?;
            let needed = self.blocks_needed(&path)?;
            if needed <= spare.len() {
                return Ok((path, spare));
            }
            let near = path.iter().rev().find_map(|step| match step.place {
                Place::Block(pointer) => Some(pointer),
                Place::Inode => None,
            });
            while spare.len() < needed {
                spare.push(self.store.allocate(near.unwrap_or(Pointer(0)))?);
            }
        }
        Err(self.corrupt(TreeDefect::Unstable))
    }

    /// Checks that `record` goes between its neighbours. `without` is the key of a record that it replaces.
    fn check_neighbours(
        &self,
        path: &[Step<K>],
        record: &K::Record,
        without: Option<&K::Key>,
    ) -> Result<()> {
        let Some(leaf) = path.last() else { return Ok(()) };
        let key = K::key(record);
        let records = leaf.node.entries.records();
        let beside = |index: Option<usize>| index.and_then(|index| records.get(index).copied());
        let is_other = |other: &K::Record| without != Some(&K::key(other));
        let mut before = beside(leaf.index.checked_sub(1));
        if before.is_none() {
            self.visit_back_from(&key, |other| Ok(first_of(&mut before, other, is_other)))?;
        }
        let mut after = beside(Some(leaf.index));
        if after.is_none() {
            self.visit_from(&key, |other| Ok(first_of(&mut after, other, is_other)))?;
        }
        if [before, after].into_iter().flatten().any(|other| K::key(&other) == key) {
            return Err(self.corrupt(TreeDefect::Exists));
        }
        let follows = |a: &K::Record, b: &K::Record| K::key(a) < K::key(b) && K::may_follow(a, b);
        let is_ordered = before.is_none_or(|before| follows(&before, record))
            && after.is_none_or(|after| follows(record, &after));
        if is_ordered { Ok(()) } else { Err(self.corrupt(TreeDefect::Order(leaf.index))) }
    }

    /// How many blocks it takes to insert a record into the leaf at the end of `path`.
    fn blocks_needed(&self, path: &[Step<K>]) -> Result<usize> {
        let layout = Layout::of::<K>(&self.store.shape())?;
        let mut needed: usize = 0;
        let mut rest = path;
        while let Some((step, above)) = rest.split_last() {
            let capacity = match step.place {
                Place::Block(_) => layout.capacity(step.node.level),
                Place::Inode => inode_root::capacity::<K>(step.node.raw.len()),
            };
            if step.node.entries.len() < capacity {
                return Ok(needed);
            }
            let Some(parent) = above.last() else {
                // A root in a block becomes two with a new one above; one in an inode moves into a block.
                let more = if step.place == Place::Inode { 1 } else { 2 };
                return Ok(needed.saturating_add(more));
            };
            for index in siblings(parent) {
                let sibling = self.read_child(parent, index)?;
                if sibling.is_some_and(|sibling| sibling.node.entries.len() < capacity) {
                    return Ok(needed);
                }
            }
            needed = needed.saturating_add(1);
            rest = above;
        }
        Ok(needed)
    }
}

/// Keeps the first record that counts.
fn first_of<R: Copy>(
    found: &mut Option<R>,
    other: R,
    counts: impl Fn(&R) -> bool,
) -> std::ops::ControlFlow<()> {
    if counts(&other) {
        *found = Some(other);
        return std::ops::ControlFlow::Break(());
    }
    std::ops::ControlFlow::Continue(())
}

/// Removes the record with `key`, which `leaf.index` then stands behind.
fn take<K: TreeKind>(leaf: &mut Step<K>, key: &K::Key) -> Option<K::Record> {
    let Entries::Records(records) = &mut leaf.node.entries else { return None };
    let found = records.get(leaf.index).is_some_and(|record| K::key(record) == *key);
    found.then(|| records.remove(leaf.index))
}
