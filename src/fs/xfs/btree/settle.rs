//! Settling the nodes of a tree from a changed leaf to the root.
//!
//! A node that got too full gives entries to a sibling under the same parent, or is split; one that fell below its
//! minimum takes entries from such a sibling, or is merged with it. A node at its minimum has two entries or more, so
//! there is always such a sibling. Keys in the parents follow: the low key is that of the first entry, the high key
//! the largest.

use super::entries::{Child, Entries};
use super::expected::Expected;
use super::inode_root;
use super::kind::TreeKind;
use super::node::{LEVELS_MAX, Layout, Node, TreeDefect, corrupt};
use super::store::{NodeStore, Pointer, Root, Shape};
use super::tree::{Place, Step, Tree};
use crate::error::Result;

/// One edit under way.
pub(super) struct Edit<'t, K: TreeKind, S> {
    tree: &'t mut Tree<K, S>,
    shape: Shape,
    layout: Layout,
    /// Blocks for new nodes.
    spare: Vec<Pointer>,
    /// Blocks that the tree does not have any more.
    freed: Vec<Pointer>,
}

impl<'t, K: TreeKind, S: NodeStore> Edit<'t, K, S> {
    pub(super) fn new(tree: &'t mut Tree<K, S>, spare: Vec<Pointer>) -> Result<Self> {
        let shape = tree.store.shape();
        let layout = Layout::of::<K>(&shape)?;
        Ok(Self { tree, shape, layout, spare, freed: Vec::new() })
    }

    /// Settles the nodes of `path`, whose last was changed, and gives back what is left over.
    pub(super) fn finish(mut self, mut path: Vec<Step<K>>) -> Result<()> {
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
    pub(super) fn give_back(&mut self) -> Result<()> {
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
    pub(super) fn push_down_inode_root(&mut self, mut root: Step<K>) -> Result<()> {
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

/// The entries beside the one that the way goes through; the left one first, so that records that are appended
/// one by one leave full blocks behind.
pub(super) fn siblings<K: TreeKind>(parent: &Step<K>) -> impl Iterator<Item = usize> + use<K> {
    let last = parent.node.entries.len().saturating_sub(1);
    let left = parent.index.checked_sub(1);
    let right = Some(parent.index.saturating_add(1)).filter(|right| *right <= last);
    left.into_iter().chain(right)
}
