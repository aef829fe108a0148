//! Changing a tree: insert, remove, replace.
//!
//! An edit changes the leaf in memory and settles the nodes from there to the root: a node that got too full gives
//! entries to a sibling under the same parent, or is split; one that fell below its minimum takes entries from such
//! a sibling, or is merged with it. A node at its minimum has two entries or more, so there is always such a
//! sibling. Keys in the parents follow: the low key is that of the first entry, the high key the largest.
//!
//! All blocks are taken before the first change and given back after the last (see [`NodeStore`]).

use super::inode_root;
use super::kind::TreeKind;
use super::node::{Child, Entries, Expected, LEVELS_MAX, Layout, Node, TreeDefect, corrupt};
use super::store::{NodeStore, Pointer, Root, Shape};
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

/// The entries beside the one that the way goes through; the left one first, so that records that are appended
/// one by one leave full blocks behind.
fn siblings<K: TreeKind>(parent: &Step<K>) -> impl Iterator<Item = usize> + use<K> {
    let last = parent.node.entries.len().saturating_sub(1);
    let left = parent.index.checked_sub(1);
    let right = Some(parent.index.saturating_add(1)).filter(|right| *right <= last);
    left.into_iter().chain(right)
}

/// One edit under way.
struct Edit<'t, K: TreeKind, S> {
    tree: &'t mut Tree<K, S>,
    shape: Shape,
    layout: Layout,
    /// Blocks for new nodes.
    spare: Vec<Pointer>,
    /// Blocks that the tree does not have any more.
    freed: Vec<Pointer>,
}

impl<'t, K: TreeKind, S: NodeStore> Edit<'t, K, S> {
    fn new(tree: &'t mut Tree<K, S>, spare: Vec<Pointer>) -> Result<Self> {
        let shape = tree.store.shape();
        let layout = Layout::of::<K>(&shape)?;
        Ok(Self { tree, shape, layout, spare, freed: Vec::new() })
    }

    /// Settles the nodes of `path`, whose last was changed, and gives back what is left over.
    fn finish(mut self, mut path: Vec<Step<K>>) -> Result<()> {
        while let Some(step) = path.pop() {
            let Some(parent) = path.last_mut() else {
                self.settle_root(step)?;
                break;
            };
            let has_changed = self.settle(step, parent)?;
            // The only child of a root in an inode may fit there now.
            let may_shrink = parent.place == Place::Inode
                && parent.node.level > 1
                && parent.node.entries.len() == 1;
            if !has_changed && !may_shrink {
                break;
            }
        }
        self.give_back()
    }

    /// Gives back the blocks that are not needed; the last that an edit does.
    fn give_back(&mut self) -> Result<()> {
        let freed = self.freed.drain(..).chain(self.spare.drain(..)).collect::<Vec<_>>();
        freed.into_iter().try_for_each(|pointer| self.tree.store.free(pointer))
    }

    /// Writes a node that is not the root, and its siblings as needed; true if `parent` had to be changed.
    fn settle(&mut self, step: Step<K>, parent: &mut Step<K>) -> Result<bool> {
        let len = step.node.entries.len();
        if len > self.layout.capacity(step.node.level) {
            self.spread(step, parent)?;
            return Ok(true);
        }
        if len < self.layout.minimum(step.node.level) {
            return self.gather(step, parent);
        }
        self.write(&step)?;
        self.set_child(parent, parent.index, &step)
    }

    /// Makes room in a node with one entry too many.
    fn spread(&mut self, mut step: Step<K>, parent: &mut Step<K>) -> Result<()> {
        let capacity = self.layout.capacity(step.node.level);
        for index in siblings(parent) {
            let Some(sibling) = self.tree.read_child(parent, index)? else { continue };
            if sibling.node.entries.len() < capacity {
                self.balance(step, sibling, index, parent)?;
                return Ok(());
            }
        }
        let new = self.split(&mut step)?;
        self.write(&step)?;
        self.write(&new)?;
        self.set_child(parent, parent.index, &step)?;
        let child = self.child(&new)?;
        if let Entries::Children(children) = &mut parent.node.entries {
            let at = parent.index.saturating_add(1).min(children.len());
            children.insert(at, child);
        }
        Ok(())
    }

    /// Moves the second half of a node into a new one to its right. Neither is written.
    fn split(&mut self, step: &mut Step<K>) -> Result<Step<K>> {
        let pointer = self.take_spare()?;
        let half = step.node.entries.len().div_ceil(2);
        let mut node = Node::new(&self.shape, step.node.level, step.node.entries.split_off(half))?;
        node.left = Some(block_of(step)?);
        node.right = step.node.right.replace(pointer);
        self.relink(node.right, node.level, node.left, Some(pointer))?;
        Ok(Step { place: Place::Block(pointer), node, expected: step.expected, index: 0 })
    }

    /// Fills a node that fell below its minimum; true if `parent` had to be changed.
    fn gather(&mut self, step: Step<K>, parent: &mut Step<K>) -> Result<bool> {
        let enough = self.layout.minimum(step.node.level).saturating_mul(2);
        let mut partner = None;
        for index in siblings(parent) {
            let Some(sibling) = self.tree.read_child(parent, index)? else { continue };
            if sibling.node.entries.len().saturating_add(step.node.entries.len()) >= enough {
                return self.balance(step, sibling, index, parent);
            }
            partner = Some((index, sibling));
        }
        if let Some((index, sibling)) = partner {
            self.merge(step, sibling, index, parent)?;
            return Ok(true);
        }
        // The only child of a root in an inode has no minimum.
        if step.node.entries.len() == 0 {
            return Err(self.tree.corrupt(TreeDefect::LastRecord));
        }
        self.write(&step)?;
        self.set_child(parent, parent.index, &step)
    }

    /// Shares the entries of a node and its sibling at `index` between both.
    fn balance(
        &mut self,
        step: Step<K>,
        sibling: Step<K>,
        index: usize,
        parent: &mut Step<K>,
    ) -> Result<bool> {
        let at = parent.index;
        let ((mut left, left_at), (mut right, right_at)) = if index < at {
            ((sibling, index), (step, at))
        } else {
            ((step, at), (sibling, index))
        };
        let total = left.node.entries.len().saturating_add(right.node.entries.len());
        let empty = right.node.entries.split_off(0);
        left.node.entries.append(empty);
        right.node.entries = left.node.entries.split_off(total.div_ceil(2));
        self.write(&left)?;
        self.write(&right)?;
        let left_changed = self.set_child(parent, left_at, &left)?;
        Ok(self.set_child(parent, right_at, &right)? || left_changed)
    }

    /// Merges a node and its sibling at `index`; the right one of both is given up.
    fn merge(
        &mut self,
        step: Step<K>,
        sibling: Step<K>,
        index: usize,
        parent: &mut Step<K>,
    ) -> Result<()> {
        let at = parent.index;
        let (mut left, right, left_at) =
            if index < at { (sibling, step, index) } else { (step, sibling, at) };
        let gone = block_of(&right)?;
        left.node.entries.append(right.node.entries);
        left.node.right = right.node.right;
        let kept = block_of(&left)?;
        self.relink(left.node.right, left.node.level, Some(gone), Some(kept))?;
        self.write(&left)?;
        self.set_child(parent, left_at, &left)?;
        if let Entries::Children(children) = &mut parent.node.entries {
            let gone_at = left_at.saturating_add(1);
            if gone_at < children.len() {
                children.remove(gone_at);
            }
        }
        self.freed.push(gone);
        Ok(())
    }

    /// Writes the root, which gets a new one above or gives way to its only child as needed.
    fn settle_root(&mut self, step: Step<K>) -> Result<()> {
        let len = step.node.entries.len();
        match step.place {
            Place::Inode => {
                if len > inode_root::capacity::<K>(step.node.raw.len()) {
                    return self.push_down_inode_root(step);
                }
                self.settle_inode_root(step)
            }
            Place::Block(_) if len > self.layout.capacity(step.node.level) => self.grow(step),
            Place::Block(pointer) => match (step.node.entries.children(), step.node.level) {
                ([only], level) => {
                    let root = Root::Block { pointer: only.pointer, levels: level.into() };
                    self.freed.push(pointer);
                    self.tree.store.set_root(root)
                }
                _ => self.write(&step),
            },
        }
    }

    /// Splits a root in a block and puts a new root above.
    fn grow(&mut self, mut step: Step<K>) -> Result<()> {
        let level = self.level_above(&step)?;
        let right = self.split(&mut step)?;
        let entries = Entries::Children(vec![self.child(&step)?, self.child(&right)?]);
        let pointer = self.take_spare()?;
        let node = Node::new(&self.shape, level, entries)?;
        let expected = Expected::root(level);
        let root = Step { place: Place::Block(pointer), node, expected, index: 0 };
        self.write(&step)?;
        self.write(&right)?;
        self.write(&root)?;
        let levels = u32::from(level).saturating_add(1);
        self.tree.store.set_root(Root::Block { pointer, levels })
    }

    /// Moves the contents of a root in an inode into a block, which becomes its only child.
    fn push_down_inode_root(&mut self, mut root: Step<K>) -> Result<()> {
        let (actual, max) = (root.node.entries.len(), self.layout.capacity(root.node.level));
        if actual > max || inode_root::capacity::<K>(root.node.raw.len()) == 0 {
            return Err(self.tree.corrupt(TreeDefect::Entries { actual, min: 1, max }));
        }
        let level = self.level_above(&root)?;
        let pointer = self.take_spare()?;
        let node = Node::new(&self.shape, root.node.level, root.node.entries)?;
        let expected = root.expected;
        let below = Step { place: Place::Block(pointer), node, expected, index: 0 };
        self.write(&below)?;
        root.node.level = level;
        root.node.entries = Entries::Children(vec![self.child(&below)?]);
        self.tree.store.set_root(Root::Inode(inode_root::encode(&root.node)?))
    }

    /// Writes a root in an inode, with the contents of its only child if they fit.
    fn settle_inode_root(&mut self, mut root: Step<K>) -> Result<()> {
        if root.node.entries.len() == 1 && root.node.level > 1 {
            let only = self.tree.read_child(&root, 0)?;
            let room = inode_root::capacity::<K>(root.node.raw.len());
            if let Some(only) = only.filter(|only| only.node.entries.len() <= room) {
                self.freed.push(block_of(&only)?);
                root.node.level = only.node.level;
                root.node.entries = only.node.entries;
            }
        }
        self.tree.store.set_root(Root::Inode(inode_root::encode(&root.node)?))
    }

    /// Lets `neighbour`, whose left sibling was `old`, know the new one.
    fn relink(
        &mut self,
        neighbour: Option<Pointer>,
        level: u16,
        old: Option<Pointer>,
        new: Option<Pointer>,
    ) -> Result<()> {
        let Some(pointer) = neighbour else { return Ok(()) };
        let expected = Expected::neighbour(level);
        let mut node = Node::<K>::read(&self.tree.store, pointer, &expected)?;
        if node.left != old {
            let (defect, daddr) =
                (TreeDefect::LeftSibling { actual: node.left }, self.tree.store.daddr(pointer)?);
            return Err(corrupt::<K>(defect, &self.shape, Some(daddr)));
        }
        node.left = new;
        self.write(&Step { place: Place::Block(pointer), node, expected, index: 0 })
    }

    fn write(&mut self, step: &Step<K>) -> Result<()> {
        let pointer = block_of(step)?;
        let bytes = step.node.encode(&self.shape, self.tree.store.daddr(pointer)?)?;
        self.tree.store.write(pointer, &bytes)
    }

    /// The entry of a parent for `step`.
    fn child(&self, step: &Step<K>) -> Result<Child<K>> {
        let empty = || self.tree.corrupt(TreeDefect::Entries { actual: 0, min: 1, max: 0 });
        let (low, high) = step.node.entries.keys().ok_or_else(empty)?;
        Ok(Child { low, high, pointer: block_of(step)? })
    }

    /// Puts the keys of `step` into entry `index` of its parent; true if they are others than before.
    fn set_child(&self, parent: &mut Step<K>, index: usize, step: &Step<K>) -> Result<bool> {
        let new = self.child(step)?;
        if let Entries::Children(children) = &mut parent.node.entries
            && let Some(child) = children.get_mut(index)
        {
            let has_changed = *child != new;
            *child = new;
            return Ok(has_changed);
        }
        Ok(false)
    }

    fn take_spare(&mut self) -> Result<Pointer> {
        self.spare.pop().ok_or_else(|| self.tree.corrupt(TreeDefect::Unstable))
    }

    /// The level of a node above `step`.
    fn level_above(&self, step: &Step<K>) -> Result<u16> {
        let level = step.node.level.saturating_add(1);
        let levels = u32::from(level).saturating_add(1);
        if levels > LEVELS_MAX {
            return Err(self.tree.corrupt(TreeDefect::Levels(levels)));
        }
        Ok(level)
    }
}

/// The block of a node that is not in an inode.
fn block_of<K: TreeKind>(step: &Step<K>) -> Result<Pointer> {
    match step.place {
        Place::Block(pointer) => Ok(pointer),
        Place::Inode => Err(crate::bytes::arith::OutOfRange.into()),
    }
}
