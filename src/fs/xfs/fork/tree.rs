//! The block-map B+tree of a fork, whose root lies in the inode.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Data Extents", section "B+tree Extent List".

use super::super::btree::{Bmbt, Extent, NodeSource, Pointer, Root, Shape, Tree};
use super::super::inode::{ForkKind, Inode};
use super::super::units::{FileBlock, FsBlock};
use super::super::volume::Volume;
use super::list::Checker;
use crate::error::Result;
use std::ops::ControlFlow;

/// The blocks of a tree, for reading.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    volume: &'a Volume,
    inode: &'a Inode,
    kind: ForkKind,
    shape: Shape,
}

impl NodeSource for Source<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn root(&self) -> Result<Root> {
        Ok(Root::Inode(self.inode.fork(self.kind).to_vec()))
    }

    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.volume.superblock().daddr(FsBlock(at.0))
    }

    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.volume.read_blocks(FsBlock(at.0), 1)
    }
}

impl Volume {
    fn fork_tree<'a>(&'a self, inode: &'a Inode, kind: ForkKind) -> Result<Tree<Bmbt, Source<'a>>> {
        let shape = Shape::of_fork(self.superblock(), inode.number, false)?;
        Ok(Tree::new(Source { volume: self, inode, kind, shape }))
    }

    /// As `next_extent`, for a fork that is a tree.
    pub(super) fn next_in_tree(
        &self,
        inode: &Inode,
        kind: ForkKind,
        at: FileBlock,
    ) -> Result<Option<Extent>> {
        let tree = self.fork_tree(inode, kind)?;
        let before = tree.at_or_before(&at)?.filter(|extent| extent.covers(at));
        let found = if before.is_some() { before } else { tree.at_or_after(&at)? };
        self.checked_extent(inode, kind, found)
    }

    /// As `extent_before`, for a fork that is a tree.
    pub(super) fn before_in_tree(
        &self,
        inode: &Inode,
        kind: ForkKind,
        at: FileBlock,
    ) -> Result<Option<Extent>> {
        let Some(last) = at.0.checked_sub(1) else { return Ok(None) };
        let found = self.fork_tree(inode, kind)?.at_or_before(&FileBlock(last))?;
        self.checked_extent(inode, kind, found)
    }

    /// Passes every extent of a fork that is a tree to `visit` until it breaks.
    pub(super) fn visit_tree(
        &self,
        inode: &Inode,
        kind: ForkKind,
        visit: &mut dyn FnMut(Extent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.fork_tree(inode, kind)?.visit_from(&FileBlock(0), visit)
    }

    /// An extent of a tree, checked by itself.
    fn checked_extent(
        &self,
        inode: &Inode,
        kind: ForkKind,
        extent: Option<Extent>,
    ) -> Result<Option<Extent>> {
        if let Some(extent) = &extent {
            Checker::new(self.superblock(), inode, kind)?.check(extent)?;
        }
        Ok(extent)
    }
}
