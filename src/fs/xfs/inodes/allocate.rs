//! Taking an inode.

use super::{content, needs_check};
use crate::error::Result;
use crate::fs::NodeKind;
use crate::fs::xfs::ag::Agi;
use crate::fs::xfs::btree::{InodeChunk, NodeSource, Tree, TreeKind};
use crate::fs::xfs::inode::Inode;
use crate::fs::xfs::units::{AgInode, AgNumber, InodeNumber, NULL_AG_INODE};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

/// Chunks with free inodes that are looked at to either side of the directory's own.
const CANDIDATES_MAX: u32 = 32;
/// Chunks that are looked at to either side to find one with a free inode: as many as one MiB of leaves holds.
const CHUNKS_MAX: u32 = 1 << 16;

/// The best chunk seen so far.
#[derive(Debug)]
struct Choice {
    near: AgInode,
    best: Option<InodeChunk>,
    candidates: u32,
    chunks: u32,
}

impl Choice {
    fn new(near: AgInode, best: Option<InodeChunk>) -> Self {
        Self { near, best, candidates: 0, chunks: 0 }
    }

    /// What makes a chunk worse than another: that it becomes full, then how far away it is.
    fn cost(&self, chunk: &InodeChunk) -> (bool, u32) {
        (chunk.free_count == 1, chunk.distance(self.near))
    }

    /// Looks at the next chunk, which is further away than those before it.
    fn offer(&mut self, chunk: InodeChunk) -> ControlFlow<()> {
        self.chunks = self.chunks.saturating_add(1);
        if chunk.free_count > 0 {
            self.candidates = self.candidates.saturating_add(1);
            if self.best.is_none_or(|best| self.cost(&chunk) < self.cost(&best)) {
                self.best = Some(chunk);
            }
        }
        let is_found = self.best.is_some_and(|best| best.free_count > 1);
        let is_far = self.candidates >= CANDIDATES_MAX || self.chunks >= CHUNKS_MAX;
        if is_found || is_far { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The best chunk of a tree to either side of `near`.
fn choose<K, S>(tree: &Tree<K, S>, near: AgInode) -> Result<Option<InodeChunk>>
where
    K: TreeKind<Record = InodeChunk, Key = AgInode>,
    S: NodeSource,
{
    let mut left = Choice::new(near, None);
    tree.visit_back_from(&near, |chunk| Ok(left.offer(chunk)))?;
    let mut right = Choice::new(near, None);
    let next = AgInode(near.0.saturating_add(1));
    tree.visit_from(&next, |chunk| Ok(right.offer(chunk)))?;
    Ok(left.best.into_iter().chain(right.best).min_by_key(|chunk| left.cost(chunk)))
}

impl Volume {
    /// The groups from `first` round the volume.
    pub(super) fn groups_from(&self, first: AgNumber) -> impl Iterator<Item = AgNumber> + use<> {
        let count = self.superblock().ag_count;
        let first = first.0.min(count.saturating_sub(1));
        (first..count).chain(0..first).map(AgNumber)
    }

    /// Takes an inode near the directory `parent` for a node of `kind`.
    ///
    /// It has the kind, times, flags and project of a new node, one link (a directory two), and an empty data
    /// fork, and is not stored yet. Permissions, owner, group and content are the caller's.
    ///
    /// # Errors
    /// `Refused` (`NoSpace`, `NeedsCheck`, or what forbids an edit); `Corrupt`.
    pub(crate) fn allocate_inode(&mut self, parent: InodeNumber, kind: NodeKind) -> Result<Inode> {
        self.superblock().features.check_writable()?;
        let directory = self.load_inode(parent)?;
        let (home, near) = self.superblock().split_inode(parent)?;
        let (ag, chunk) = match self.choose_free(home, near)? {
            Some(found) => found,
            None => self.make_chunk(home)?,
        };
        let index = chunk.first_free().ok_or_else(|| needs_check("a free inode vanished"))?;
        let number = self.superblock().join_inode(ag, chunk.inode(index))?;
        let free = self.load_inode(number)?;
        check_unused(&free)?;
        self.take(ag, &chunk, index)?;
        content::taken(self, &free, &directory, kind)
    }

    /// A chunk with a free inode, in the group of the directory if it has one.
    fn choose_free(&self, home: AgNumber, near: AgInode) -> Result<Option<(AgNumber, InodeChunk)>> {
        for ag in self.groups_from(home) {
            if Agi::load(self, ag)?.free_inode_count == 0 {
                continue;
            }
            let near = if ag == home { near } else { AgInode(0) };
            let found = if self.has_free_inode_tree() {
                choose(&self.free_inode_tree(ag), near)?
            } else {
                choose(&self.inode_tree(ag), near)?
            };
            if let Some(chunk) = found {
                return Ok(Some((ag, chunk)));
            }
        }
        Ok(None)
    }

    /// Marks a free inode of a chunk as taken, in both trees and all counts.
    fn take(&mut self, ag: AgNumber, chunk: &InodeChunk, index: u32) -> Result<()> {
        self.check_recorded(ag, chunk)?;
        self.check_free_copy(ag, chunk)?;
        let mut agi = Agi::load(self, ag)?;
        if agi.free_inode_count < chunk.free_count || agi.inode_count < chunk.count {
            return Err(needs_check(format!("{ag} counts fewer inodes than one chunk has")));
        }
        agi.free_inode_count = agi.free_inode_count.saturating_sub(1);
        agi.store(self)?;
        let after = chunk.taken(index);
        self.inode_tree_mut(ag).replace(&chunk.start, after)?;
        if self.has_free_inode_tree() {
            if after.free_count == 0 {
                self.free_inode_tree_mut(ag).remove(&chunk.start)?;
            } else {
                self.free_inode_tree_mut(ag).replace(&chunk.start, after)?;
            }
        }
        // Behind a log that is not clean, the count of the superblock may lag behind those of the groups.
        self.update_superblock(|superblock| {
            superblock.free_inodes = superblock.free_inodes.saturating_sub(1);
            Ok(())
        })
    }
}

/// Refuses an inode that the trees call free, but that is in use.
fn check_unused(inode: &Inode) -> Result<()> {
    let is_unused =
        inode.is_free() && inode.block_count() == 0 && inode.next_unlinked() == NULL_AG_INODE;
    if is_unused {
        return Ok(());
    }
    Err(needs_check(format!("{} is in use and free at once", inode.number)))
}
