//! Changing extent trees: adding extents with splits and growth, writing into unwritten ones, cutting off.

use super::content::FreedBlocks;
use super::extent::{DEPTH_MAX, Entries, Extent, ExtentDefect, Node, entries_per_block, tail_at};
use super::inode::{I_BLOCK_BYTES, Inode};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{sub, to};
use crate::bytes::checksum::crc32c_raw;
use crate::bytes::field::{self, put_le_u32};
use crate::error::{Corrupt, Error, Result};

/// Entries of the root in an inode.
const ROOT_ENTRIES: u16 = 4;
/// Bound on the nodes that one cut visits.
const NODES_MAX: u32 = 65536;

/// One node on the way to a leaf.
struct Step {
    node: Node,
    /// `None` for the root.
    block: Option<FsBlock>,
    /// The entry that leads on.
    child: usize,
}

/// Makes `inode` an empty file that is mapped by extents.
pub(super) fn put_empty_root(inode: &mut Inode) -> Result<()> {
    let entries = Entries::Leaf(Vec::new());
    let root = Node { depth: 0, limit: ROOT_ENTRIES, generation: 0, entries };
    let i_block = inode.i_block_mut()?;
    i_block.fill(0);
    root.encode(i_block)
}

/// True if `b` continues `a`, and both together are not too long.
fn joins(a: &Extent, b: &Extent) -> bool {
    let length = a.length.checked_add(b.length);
    a.is_unwritten == b.is_unwritten
        && a.end() == u64::from(b.first)
        && a.start.0.checked_add(u64::from(a.length)) == Some(b.start.0)
        && length.is_some_and(|length| length <= a.length_max())
}

/// Joins neighbours that lie next to each other, but no two of the extents that were there before.
fn join_around(extents: &mut Vec<Extent>, from: usize, to: usize) {
    let mut index = to;
    while index > from {
        index = index.saturating_sub(1);
        let next = index.saturating_add(1);
        let (Some(a), Some(b)) = (extents.get(index).copied(), extents.get(next).copied()) else {
            continue;
        };
        if joins(&a, &b) {
            if let Some(a) = extents.get_mut(index) {
                a.length = a.length.saturating_add(b.length);
            }
            extents.remove(next);
        }
    }
}

impl Volume {
    fn descend(&self, inode: &Inode, at: u32) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        let mut node = self.read_extent_root(inode)?;
        let mut block = None;
        loop {
            let Entries::Index(children) = &node.entries else {
                steps.push(Step { node, block, child: 0 });
                return Ok(steps);
            };
            let child = children.partition_point(|(first, _)| *first <= at).saturating_sub(1);
            let Some((_, next)) = children.get(child).copied() else {
                let defect = ExtentDefect::Entries { entries: 0, limit: node.limit, room: 0 };
                let object = inode.number.to_string();
                return Err(Corrupt::new("extent tree node", defect).of(object).into());
            };
            let depth = node.depth.saturating_sub(1);
            steps.push(Step { node, block, child });
            node = self.read_extent_node(inode, next, depth)?;
            block = Some(next);
        }
    }

    /// Maps blocks of a file that were a hole.
    pub(crate) fn insert_extent(&mut self, inode: &mut Inode, new: Extent) -> Result<()> {
        let mut steps = self.descend(inode, new.first)?;
        if let Some(Step { node: Node { entries: Entries::Leaf(extents), .. }, .. }) =
            steps.last_mut()
        {
            let index = extents.partition_point(|extent| extent.first < new.first);
            extents.insert(index, new);
            join_around(extents, index.saturating_sub(1), index.saturating_add(1));
        }
        self.store_steps(inode, steps)
    }

    /// Turns `count` blocks from `at`, which lie in one unwritten extent, into written ones.
    pub(crate) fn mark_written(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        count: u16,
    ) -> Result<()> {
        let mut steps = self.descend(inode, at.0)?;
        if let Some(Step { node: Node { entries: Entries::Leaf(extents), .. }, .. }) =
            steps.last_mut()
        {
            let index = extents.partition_point(|extent| extent.first <= at.0).saturating_sub(1);
            let Some(old) = extents.get(index).copied() else { return Ok(()) };
            let head: u16 = to(u64::from(at.0).saturating_sub(u64::from(old.first)))?;
            let tail = old.length.saturating_sub(head).saturating_sub(count);
            let tail_first = at.plus(u32::from(count))?.0;
            let written = Extent {
                first: at.0,
                length: count,
                start: old.block_at(at.0)?,
                is_unwritten: false,
            };
            let rest =
                Extent { first: tail_first, length: tail, start: old.block_at(tail_first)?, ..old };
            let parts = [Extent { length: head, ..old }, written, rest];
            let parts: Vec<Extent> = parts.into_iter().filter(|part| part.length > 0).collect();
            let last = index.saturating_add(parts.len());
            extents.splice(index..=index, parts);
            join_around(extents, index.saturating_sub(1), last);
        }
        self.store_steps(inode, steps)
    }

    /// Stores the nodes of a path from the leaf up, splitting those that have become too long.
    fn store_steps(&mut self, inode: &mut Inode, mut steps: Vec<Step>) -> Result<()> {
        while let Some(mut step) = steps.pop() {
            let is_full = step.node.len() > usize::from(step.node.limit);
            let Some(block) = step.block else {
                return self.store_root(inode, step.node, is_full);
            };
            let added =
                if is_full { Some(self.split(inode, &mut step.node, block)?) } else { None };
            self.store_node(inode, &step.node, block, false)?;
            let first = step.node.first();
            let Some(Step { node: Node { entries: Entries::Index(children), .. }, child, .. }) =
                steps.last_mut()
            else {
                return Ok(());
            };
            let mut is_changed = false;
            if let (Some((key, _)), Some(first)) = (children.get_mut(*child), first) {
                is_changed = *key != first;
                *key = first;
            }
            if let Some(added) = added {
                children.insert(child.saturating_add(1).min(children.len()), added);
            } else if !is_changed {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves the end of `node` to a new node, and gives its entry for the parent.
    fn split(
        &mut self,
        inode: &mut Inode,
        node: &mut Node,
        block: FsBlock,
    ) -> Result<(u32, FsBlock)> {
        let new_block = self.allocate_node(inode, block)?;
        // A file mostly grows at its end: leave the left node full then, in halves otherwise.
        let keep = usize::from(node.limit);
        let entries = match &mut node.entries {
            Entries::Index(children) => Entries::Index(children.split_off(keep)),
            Entries::Leaf(extents) => Entries::Leaf(extents.split_off(keep)),
        };
        let right = Node { entries, ..node.clone() };
        self.store_node(inode, &right, new_block, true)?;
        Ok((right.first().unwrap_or(0), new_block))
    }

    fn store_root(&mut self, inode: &mut Inode, mut root: Node, is_full: bool) -> Result<()> {
        if is_full {
            if root.depth >= DEPTH_MAX {
                let what = format!("depth of the extent tree of {}", inode.number);
                return Err(Error::limit(
                    what,
                    DEPTH_MAX.into(),
                    u64::from(root.depth).saturating_add(1),
                ));
            }
            let goal =
                self.superblock().first_block(self.superblock().inode_place(inode.number)?.0)?;
            let block = self.allocate_node(inode, goal)?;
            let limit = entries_per_block(self.superblock().block_size_bytes);
            let child = Node { limit, ..root.clone() };
            self.store_node(inode, &child, block, true)?;
            root.depth = root.depth.saturating_add(1);
            root.entries = Entries::Index(vec![(child.first().unwrap_or(0), block)]);
        }
        let mut bytes = inode.i_block()?.to_vec();
        root.encode(&mut bytes)?;
        field::put(inode.i_block_mut()?, 0, field::slice(&bytes, 0, I_BLOCK_BYTES)?)?;
        Ok(())
    }

    fn allocate_node(&mut self, inode: &mut Inode, goal: FsBlock) -> Result<FsBlock> {
        let (block, count) = self.allocate_clusters(goal, 1)?;
        debug_assert_eq!(count, 1);
        inode.add_blocks(u64::from(self.superblock().cluster_blocks))?;
        Ok(block)
    }

    fn store_node(&self, inode: &Inode, node: &Node, block: FsBlock, is_new: bool) -> Result<()> {
        let mut bytes =
            if is_new { vec![0; self.superblock().block_len()?] } else { self.read_block(block)? };
        node.encode(&mut bytes)?;
        if let Some(seed) = self.inode_seed(inode) {
            let tail_at = tail_at(node.limit);
            let sum = crc32c_raw(seed, field::slice(&bytes, 0, tail_at)?);
            put_le_u32(&mut bytes, tail_at, sum)?;
        }
        let what = format!("extent node of {}", inode.number);
        self.write_block(block, 0, &bytes, &what)
    }

    /// Unmaps everything from block `from` of the file on. The blocks are listed in `freed`, not yet free.
    pub(crate) fn cut_extents(
        &self,
        inode: &mut Inode,
        from: u64,
        freed: &mut FreedBlocks,
    ) -> Result<()> {
        let mut root = self.read_extent_root(inode)?;
        let mut nodes_left = NODES_MAX;
        self.cut_node(inode, &mut root, from, freed, &mut nodes_left)?;
        if root.len() == 0 {
            root.depth = 0;
            root.entries = Entries::Leaf(Vec::new());
        }
        while self.shorten(inode, &mut root, freed)? {}
        root.encode(inode.i_block_mut()?)
    }

    /// Takes the entries of all children into the root if they fit, so that the tree is as flat as it can be.
    fn shorten(&self, inode: &Inode, root: &mut Node, freed: &mut FreedBlocks) -> Result<bool> {
        let Entries::Index(children) = &root.entries else { return Ok(false) };
        let depth = root.depth.saturating_sub(1);
        let (mut below, mut leaves, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
        for (_, block) in children {
            match self.read_extent_node(inode, *block, depth)?.entries {
                Entries::Index(more) => below.extend(more),
                Entries::Leaf(more) => leaves.extend(more),
            }
            blocks.push(*block);
        }
        if below.len().saturating_add(leaves.len()) > usize::from(ROOT_ENTRIES) {
            return Ok(false);
        }
        root.depth = depth;
        root.entries = if depth == 0 { Entries::Leaf(leaves) } else { Entries::Index(below) };
        for block in blocks {
            freed.push_metadata(block);
        }
        Ok(true)
    }

    /// Cuts one node, from its end. The recursion is as deep as the tree, at most [`DEPTH_MAX`].
    fn cut_node(
        &self,
        inode: &Inode,
        node: &mut Node,
        from: u64,
        freed: &mut FreedBlocks,
        nodes_left: &mut u32,
    ) -> Result<()> {
        let depth = node.depth;
        match &mut node.entries {
            Entries::Leaf(extents) => cut_leaf(extents, from, freed),
            Entries::Index(children) => {
                while let Some((_, block)) = children.last().copied() {
                    *nodes_left = nodes_left.checked_sub(1).ok_or_else(|| {
                        let what = format!("extent nodes of {}", inode.number);
                        Error::limit(what, NODES_MAX.into(), u64::from(NODES_MAX).saturating_add(1))
                    })?;
                    let mut child = self.read_extent_node(inode, block, depth.saturating_sub(1))?;
                    let before = child.clone();
                    self.cut_node(inode, &mut child, from, freed, nodes_left)?;
                    if child.len() > 0 {
                        if child != before {
                            self.store_node(inode, &child, block, false)?;
                        }
                        break;
                    }
                    children.pop();
                    freed.push_metadata(block);
                }
                Ok(())
            }
        }
    }
}

fn cut_leaf(extents: &mut Vec<Extent>, from: u64, freed: &mut FreedBlocks) -> Result<()> {
    while let Some(last) = extents.last_mut() {
        if last.end() <= from {
            break;
        }
        let kept = from.saturating_sub(u64::from(last.first));
        let cut = sub(u64::from(last.length), kept)?;
        freed.push(last.start.plus(kept)?, cut)?;
        if kept > 0 {
            last.length = to(kept)?;
            break;
        }
        extents.pop();
    }
    Ok(())
}
