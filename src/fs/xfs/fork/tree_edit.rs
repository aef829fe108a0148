//! The block-map B+tree of a fork, for editing: where its blocks come from and go to.

use super::super::btree::{Bmbt, Extent, NodeSource, NodeStore, Pointer, Root, Shape, Tree};
use super::super::inode::{ForkKind, Inode};
use super::super::space::{Near, Owner, Request, Run};
use super::super::units::FsBlock;
use super::super::volume::Volume;
use super::{corrupt, extent::ExtentDefect};
use crate::bytes::arith::{add, sub};
use crate::error::Result;

/// The blocks of a tree. Every block that is taken or given back is counted in the inode.
#[derive(Debug)]
pub(super) struct Store<'a> {
    volume: &'a mut Volume,
    inode: &'a mut Inode,
    kind: ForkKind,
    shape: Shape,
    /// While the fork changes its size: the root as it was, and as it becomes.
    resized: Option<(Vec<u8>, Vec<u8>)>,
}

impl NodeSource for Store<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn root(&self) -> Result<Root> {
        let old = self.resized.as_ref().map(|(old, _)| old.as_slice());
        Ok(Root::Inode(old.unwrap_or_else(|| self.inode.fork(self.kind)).to_vec()))
    }

    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.volume.superblock().daddr(FsBlock(at.0))
    }

    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.volume.read_blocks(FsBlock(at.0), 1)
    }
}

impl NodeStore for Store<'_> {
    fn set_root(&mut self, root: Root) -> Result<()> {
        let Root::Inode(fork) = root else {
            return Err(corrupt(self.inode, self.kind, ExtentDefect::NoExtents));
        };
        match &mut self.resized {
            Some((_, new)) => *new = fork,
            None => self.inode.put_fork(self.kind, &fork)?,
        }
        Ok(())
    }

    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        let what = format!("extent tree of {}", self.inode.number);
        self.volume.write_blocks(FsBlock(at.0), bytes, &what)
    }

    fn allocate(&mut self, near: Pointer) -> Result<Pointer> {
        let near = match self.volume.superblock().split(FsBlock(near.0)) {
            Ok(_) => Near::Block(FsBlock(near.0)),
            Err(_) => self.volume.near_inode(self.inode)?,
        };
        let owner = self.owner();
        let request = Request { near, min_blocks: 1, max_blocks: 1, alignment: 1, owner };
        let run = self.volume.allocate_blocks(&request)?;
        self.inode.set_block_count(add(self.inode.block_count(), 1)?)?;
        Ok(Pointer(run.start.0))
    }

    fn free(&mut self, at: Pointer) -> Result<()> {
        let owner = self.owner();
        self.volume.free_blocks(Run { start: FsBlock(at.0), count: 1 }, &owner)?;
        self.inode.set_block_count(sub(self.inode.block_count(), 1)?)
    }
}

impl Store<'_> {
    fn owner(&self) -> Owner {
        Owner::ForkBtree { inode: self.inode.number, kind: self.kind }
    }
}

impl Volume {
    /// The allocation group of the inode, as a place for its blocks.
    pub(super) fn near_inode(&self, inode: &Inode) -> Result<Near> {
        Ok(Near::Group(self.superblock().split_inode(inode.number)?.0))
    }

    /// The tree of a fork.
    pub(super) fn edit_tree<'a>(
        &'a mut self,
        inode: &'a mut Inode,
        kind: ForkKind,
    ) -> Result<Tree<Bmbt, Store<'a>>> {
        let shape = Shape::of_fork(self.superblock(), inode.number, false)?;
        Ok(Tree::new(Store { volume: self, inode, kind, shape, resized: None }))
    }

    /// Makes a fork a tree of these extents, which are just too many for a list. The format is the caller's.
    pub(super) fn build_tree(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        extents: Vec<Extent>,
    ) -> Result<()> {
        let near = self.near_tree(inode, extents.first())?;
        let fork_bytes = inode.fork(kind).len();
        self.edit_tree(inode, kind)?.build(fork_bytes, extents, near)
    }

    /// Gives back the blocks of a tree. What takes its place is the caller's.
    pub(super) fn free_tree(&mut self, inode: &mut Inode, kind: ForkKind) -> Result<()> {
        let blocks_max = inode.block_count();
        self.edit_tree(inode, kind)?.free_all(blocks_max)
    }

    /// The root of a tree for a fork of `fork_bytes`; the one in the inode stays.
    pub(super) fn resized_root(
        &mut self,
        inode: &mut Inode,
        kind: ForkKind,
        fork_bytes: usize,
    ) -> Result<Vec<u8>> {
        let first = self.extent_before(inode, kind, super::FILE_END)?;
        let near = self.near_tree(inode, first.as_ref())?;
        let resized = Some((inode.fork(kind).to_vec(), Vec::new()));
        let shape = Shape::of_fork(self.superblock(), inode.number, false)?;
        let mut store = Store { volume: self, inode, kind, shape, resized };
        Tree::<Bmbt, _>::new(&mut store).resize_inode_root(fork_bytes, near)?;
        Ok(store.resized.map(|(_, new)| new).unwrap_or_default())
    }

    /// Where a block of a tree would be best: beside its content.
    fn near_tree(&self, inode: &Inode, extent: Option<&Extent>) -> Result<Pointer> {
        let own = self.superblock().inode_place(inode.number)?.0;
        let beside = extent.and_then(|extent| extent.start.plus(u64::from(extent.count)).ok());
        Ok(Pointer(beside.unwrap_or(own).0))
    }
}
