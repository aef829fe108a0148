//! Going through a whole tree: checking everything that a single look-up cannot see, and taking it apart.

use super::kind::TreeKind;
use super::node::{Layout, Node, TreeDefect, corrupt};
use super::store::{NodeSource, NodeStore, Pointer};
use super::tree::{Place, Step, Tree};
use crate::error::{Error, Result};

/// What a complete walk has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// Levels, the root included.
    pub(crate) levels: u32,
    /// Blocks; a root in an inode does not count.
    pub(crate) blocks: u64,
    /// Records.
    pub(crate) records: u64,
}

/// What a walk remembers to compare the next node with.
struct Walk<K: TreeKind> {
    layout: Layout,
    summary: Summary,
    /// The last block seen of each level, and what it says is to its right.
    last: Vec<Option<(Pointer, Option<Pointer>)>>,
    last_record: Option<K::Record>,
}

impl<K: TreeKind, S: NodeSource> Tree<K, S> {
    /// Checks the whole tree and calls `visit` for each record, ascending: beyond what every look-up checks, that
    /// blocks are filled as the format demands, keys in parents are exactly those of their children, and that the
    /// siblings of each level are one chain in the order of the keys.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Limit` if the tree has more than `blocks_max` blocks; the error of `visit`.
    pub(crate) fn check(
        &self,
        blocks_max: u64,
        mut visit: impl FnMut(K::Record) -> Result<()>,
    ) -> Result<Summary> {
        let mut walk = self.walk(blocks_max, |walk, step, parent| {
            check_node(walk, step, parent)?;
            for record in step.node.entries.records() {
                let is_behind = walk.last_record.is_none_or(|last| K::may_follow(&last, record));
                if !is_behind {
                    return Err(TreeDefect::Order(0).into());
                }
                walk.last_record = Some(*record);
                visit(*record)?;
            }
            Ok(())
        })?;
        let open_end = walk.last.drain(..).flatten().find(|(_, right)| right.is_some());
        match open_end {
            None => Ok(walk.summary),
            Some((at, right)) => Err(self.at(TreeDefect::RightSibling { actual: right }, at)),
        }
    }

    /// Reads every node, parents first, and hands it to `visit` with its parent.
    fn walk(
        &self,
        blocks_max: u64,
        mut visit: impl FnMut(&mut Walk<K>, &Step<K>, Option<&Step<K>>) -> Result<(), Visit>,
    ) -> Result<Walk<K>> {
        let root = self.read_root()?;
        let levels = usize::from(root.node.level).saturating_add(1);
        let mut walk = Walk {
            layout: Layout::of::<K>(&self.store.shape())?,
            summary: Summary {
                levels: u32::from(root.node.level).saturating_add(1),
                blocks: 0,
                records: 0,
            },
            last: vec![None; levels],
            last_record: None,
        };
        let mut path = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(step) = next.take() {
                walk.count(&step, blocks_max)?;
                visit(&mut walk, &step, path.last()).map_err(|error| {
                    match (error, step.place) {
                        (Visit::Error(error), _) => error,
                        (Visit::Defect(defect), Place::Block(at)) => self.at(defect, at),
                        (Visit::Defect(defect), Place::Inode) => self.corrupt(defect),
                    }
                })?;
                path.push(step);
            }
            let Some(parent) = path.last_mut() else { return Ok(walk) };
            next = self.read_child(parent, parent.index)?;
            if next.is_none() {
                path.pop();
            } else {
                parent.index = parent.index.saturating_add(1);
            }
        }
    }

    fn at(&self, defect: TreeDefect, at: Pointer) -> Error {
        corrupt::<K>(defect, &self.store.shape(), self.store.daddr(at).ok())
    }
}

impl<K: TreeKind, S: NodeStore> Tree<K, S> {
    /// Gives back all blocks of the tree. The root is left as it is: its owner says what takes its place.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Limit` if the tree has more than `blocks_max` blocks, before the first is given back; the
    /// errors of [`NodeStore::free`].
    pub(crate) fn free_all(&mut self, blocks_max: u64) -> Result<()> {
        let mut blocks = Vec::new();
        self.walk(blocks_max, |_, step, _| {
            if let Place::Block(at) = step.place {
                blocks.push(at);
            }
            Ok(())
        })?;
        blocks.into_iter().try_for_each(|at| self.store.free(at))
    }
}

/// A defect of the node at hand, or an error that says itself where it is.
enum Visit {
    Defect(TreeDefect),
    Error(Error),
}

impl From<TreeDefect> for Visit {
    fn from(defect: TreeDefect) -> Self {
        Self::Defect(defect)
    }
}

impl From<Error> for Visit {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl<K: TreeKind> Walk<K> {
    fn count(&mut self, step: &Step<K>, blocks_max: u64) -> Result<()> {
        let records = crate::bytes::arith::len_u64(step.node.entries.records().len());
        self.summary.records = self.summary.records.saturating_add(records);
        if step.place == Place::Inode {
            return Ok(());
        }
        self.summary.blocks = self.summary.blocks.saturating_add(1);
        if self.summary.blocks > blocks_max {
            let what = format!("number of blocks of a tree ({})", K::STRUCTURE);
            return Err(Error::limit(what, blocks_max, self.summary.blocks));
        }
        Ok(())
    }
}

fn check_node<K: TreeKind>(
    walk: &mut Walk<K>,
    step: &Step<K>,
    parent: Option<&Step<K>>,
) -> Result<(), TreeDefect> {
    let Some(parent) = parent else { return check_chain(walk, step) };
    let Node { level, entries, .. } = &step.node;
    let (actual, max) = (entries.len(), walk.layout.capacity(*level));
    let min = walk.layout.minimum(*level);
    let is_only_child = parent.place == Place::Inode && parent.node.entries.len() == 1;
    if actual < min && !is_only_child {
        return Err(TreeDefect::Entries { actual, min, max });
    }
    let keys = entries.keys().map(|(low, high)| (K::order(&low), K::order(&high)));
    let has_low = keys.map(|(low, _)| low) == step.expected.low;
    let has_high = !K::HAS_HIGH_KEYS || keys.map(|(_, high)| high) == step.expected.high;
    if !has_low || !has_high {
        return Err(TreeDefect::Key(parent.index.saturating_sub(1)));
    }
    check_chain(walk, step)
}

/// The siblings of a level are one chain.
fn check_chain<K: TreeKind>(walk: &mut Walk<K>, step: &Step<K>) -> Result<(), TreeDefect> {
    let Place::Block(at) = step.place else { return Ok(()) };
    let (left, right) = (step.node.left, step.node.right);
    let Some(last) = walk.last.get_mut(usize::from(step.node.level)) else { return Ok(()) };
    let before = last.replace((at, right));
    if left != before.map(|(pointer, _)| pointer) {
        return Err(TreeDefect::LeftSibling { actual: left });
    }
    match before {
        Some((_, right)) if right != Some(at) => Err(TreeDefect::RightSibling { actual: right }),
        _ => Ok(()),
    }
}
