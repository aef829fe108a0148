//! The blocks of a tree of an allocation group, for reading.

use super::store::{NodeSource, Pointer, Root, Shape};
use crate::bytes::arith::to;
use crate::error::Result;
use crate::fs::xfs::ag::TreeRoot;
use crate::fs::xfs::units::{AgBlock, AgNumber, FsBlock};
use crate::fs::xfs::volume::Volume;

/// A tree of an allocation group with the root that a header had when it was loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupSource<'v> {
    volume: &'v Volume,
    ag: AgNumber,
    shape: Shape,
    root: TreeRoot,
}

impl<'v> GroupSource<'v> {
    /// The tree with this root.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group.
    pub(crate) fn new(volume: &'v Volume, ag: AgNumber, root: TreeRoot) -> Result<Self> {
        let shape = Shape::of_group(volume.superblock(), ag)?;
        Ok(Self { volume, ag, shape, root })
    }

    fn block(&self, at: Pointer) -> Result<FsBlock> {
        self.volume.superblock().join(self.ag, AgBlock(to(at.0)?))
    }
}

impl NodeSource for GroupSource<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn root(&self) -> Result<Root> {
        let pointer = Pointer(u64::from(self.root.block.0));
        Ok(Root::Block { pointer, levels: self.root.levels })
    }

    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.volume.superblock().daddr(self.block(at)?)
    }

    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.volume.read_blocks(self.block(at)?, 1)
    }
}
