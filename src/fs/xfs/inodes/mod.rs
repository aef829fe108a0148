//! Inodes as a resource: which are in use, taking and giving them back, making new ones.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Allocation Groups", sections "AG Inode Management",
//! "Inode B+trees" and "Sparse Inodes", and section "Unlinked Pointer" of "On-disk Inode".
//!
//! Inodes come in chunks of 64, one record each in the tree of all chunks (inobt), and a copy of it in the tree of
//! those with free inodes (finobt), where the volume has that. The copy, the counts of the AGI, and the inode itself
//! must agree before anything is changed; otherwise the volume needs a check.
//!
//! A new inode lies near its directory, in a chunk that keeps other free inodes if there is one: then both trees
//! change by one record each. Chunks are made when all are full, and never removed: the kernel does not mind chunks
//! without any file, and makes them itself with `ikeep`.
//!
//! Not handled: volumes without checksums (version 4), which are not written.

mod allocate;
mod chunk;
mod content;
mod free;
mod grow;
mod placement;
mod trees;
mod unlinked;

#[cfg(test)]
mod tests;

use super::btree::{Finobt, Inobt, InodeChunk, Tree};
use super::units::{AgInode, AgNumber, InodeNumber};
use super::volume::Volume;
use crate::error::{Error, Refusal, Result};
use trees::{InodeTree, Which};

fn needs_check(detail: impl Into<String>) -> Error {
    Refusal::NeedsCheck { detail: detail.into() }.into()
}

fn trees_differ(ag: AgNumber, chunk: &InodeChunk) -> Error {
    needs_check(format!("the inode trees of {ag} differ about the chunk at {}", chunk.start))
}

impl Volume {
    fn inode_tree(&self, ag: AgNumber) -> Tree<Inobt, InodeTree<&Volume>> {
        Tree::new(InodeTree { volume: self, ag, which: Which::All })
    }

    fn free_inode_tree(&self, ag: AgNumber) -> Tree<Finobt, InodeTree<&Volume>> {
        Tree::new(InodeTree { volume: self, ag, which: Which::Free })
    }

    fn inode_tree_mut(&mut self, ag: AgNumber) -> Tree<Inobt, InodeTree<&mut Volume>> {
        Tree::new(InodeTree { volume: self, ag, which: Which::All })
    }

    fn free_inode_tree_mut(&mut self, ag: AgNumber) -> Tree<Finobt, InodeTree<&mut Volume>> {
        Tree::new(InodeTree { volume: self, ag, which: Which::Free })
    }

    fn has_free_inode_tree(&self) -> bool {
        self.superblock().features.has_ro_compat(super::feature::ro_compat::FINOBT)
    }

    /// The chunk that has a place for an inode.
    fn chunk_of(&self, ag: AgNumber, inode: AgInode) -> Result<Option<InodeChunk>> {
        let chunk = self.inode_tree(ag).at_or_before(&inode)?;
        Ok(chunk.filter(|chunk| chunk.index_of(inode).is_some()))
    }

    /// True if the inode trees say that an inode is in use.
    ///
    /// # Errors
    /// `Corrupt` if there can be no such inode, or the tree is damaged.
    pub(crate) fn is_allocated(&self, number: InodeNumber) -> Result<bool> {
        let (ag, inode) = self.superblock().split_inode(number)?;
        Ok(self.chunk_of(ag, inode)?.is_some_and(|chunk| chunk.is_in_use(inode)))
    }

    /// Refuses unless the tree of all chunks has this one.
    fn check_recorded(&self, ag: AgNumber, chunk: &InodeChunk) -> Result<()> {
        let is_recorded = self.inode_tree(ag).get(&chunk.start)? == Some(*chunk);
        if is_recorded { Ok(()) } else { Err(trees_differ(ag, chunk)) }
    }

    /// Refuses unless the copy of a chunk in the tree of free inodes agrees with it.
    fn check_free_copy(&self, ag: AgNumber, chunk: &InodeChunk) -> Result<()> {
        if !self.has_free_inode_tree() {
            return Ok(());
        }
        let copy = self.free_inode_tree(ag).get(&chunk.start)?;
        let agrees = copy == Some(*chunk).filter(|chunk| chunk.free_count > 0);
        if agrees { Ok(()) } else { Err(trees_differ(ag, chunk)) }
    }
}
