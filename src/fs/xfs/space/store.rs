//! Where the trees of the AGF live: roots and counters in the AGF, blocks from the AGFL or, for the reference
//! counts, from free space.

use super::{Near, Owner, Request, Run};
use crate::bytes::arith::{OutOfRange, to};
use crate::error::{Context, Result};
use crate::fs::xfs::ag::{Agf, Agfl, TreeRoot};
use crate::fs::xfs::btree::{
    Bnobt, Bounds, Cntbt, NodeSource, NodeStore, Pointer, Refcountbt, Rmapbt, Root, Shape, Tree,
    TreeKind,
};
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::units::{AgBlock, AgNumber, FsBlock};
use crate::fs::xfs::volume::Volume;
use std::borrow::Borrow;

/// Which of the trees of an AGF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    ByBlock,
    BySize,
    ReverseMap,
    ReferenceCounts,
}

/// A kind of tree whose root is in the AGF.
pub(super) trait InAgf: TreeKind {
    const WHICH: Which;
}

impl InAgf for Bnobt {
    const WHICH: Which = Which::ByBlock;
}

impl InAgf for Cntbt {
    const WHICH: Which = Which::BySize;
}

impl InAgf for Rmapbt {
    const WHICH: Which = Which::ReverseMap;
}

impl InAgf for Refcountbt {
    const WHICH: Which = Which::ReferenceCounts;
}

/// The blocks of one tree of one allocation group.
#[derive(Debug)]
pub(super) struct AgTree<V> {
    volume: V,
    ag: AgNumber,
    which: Which,
}

/// The tree of kind `K` of the group `ag`: for reading with `&Volume`, for editing with `&mut Volume`.
pub(super) fn tree<K: InAgf, V: Borrow<Volume>>(volume: V, ag: AgNumber) -> Tree<K, AgTree<V>> {
    Tree::new(AgTree { volume, ag, which: K::WHICH })
}

/// The facts about the trees of an allocation group.
pub(super) fn shape(volume: &Volume, ag: AgNumber) -> Shape {
    let superblock = volume.superblock();
    Shape {
        block_size_bytes: superblock.block_size_bytes,
        owner: u64::from(ag.0),
        uuid: superblock.has_crc().then_some(superblock.meta_uuid.0),
        bounds: Bounds::AllocationGroup {
            // A group that does not exist has no blocks, so nothing is inside it.
            blocks: superblock.ag_length(ag).unwrap_or(0),
            inodes_per_block: 1u32.wrapping_shl(superblock.inodes_per_block_log.into()),
            has_sparse_inodes: superblock.features.has_incompat(incompat::SPARSE_INODES),
        },
    }
}

impl<V: Borrow<Volume>> AgTree<V> {
    fn agf(&self) -> Result<Agf> {
        Agf::load(self.volume.borrow(), self.ag)
    }

    fn block(&self, at: Pointer) -> Result<FsBlock> {
        self.volume.borrow().superblock().join(self.ag, AgBlock(to(at.0)?))
    }

    fn name(&self) -> String {
        let tree = match self.which {
            Which::ByBlock => "tree of free space by block",
            Which::BySize => "tree of free space by size",
            Which::ReverseMap => "reverse map",
            Which::ReferenceCounts => "reference counts",
        };
        format!("{tree} of {}", self.ag)
    }
}

impl<V: Borrow<Volume>> NodeSource for AgTree<V> {
    fn shape(&self) -> Shape {
        shape(self.volume.borrow(), self.ag)
    }

    fn root(&self) -> Result<Root> {
        let agf = self.agf()?;
        let root = match self.which {
            Which::ByBlock => agf.by_block,
            Which::BySize => agf.by_size,
            Which::ReverseMap => agf.reverse_map.ok_or(OutOfRange)?,
            Which::ReferenceCounts => agf.reference_counts.ok_or(OutOfRange)?,
        };
        Ok(Root::Block { pointer: Pointer(u64::from(root.block.0)), levels: root.levels })
    }

    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.volume.borrow().superblock().daddr(self.block(at)?)
    }

    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.volume.borrow().read_blocks(self.block(at)?, 1)
    }
}

impl NodeStore for AgTree<&mut Volume> {
    fn set_root(&mut self, root: Root) -> Result<()> {
        let Root::Block { pointer, levels } = root else { return Err(OutOfRange.into()) };
        let root = TreeRoot { block: AgBlock(to(pointer.0)?), levels };
        let mut agf = self.agf()?;
        match self.which {
            Which::ByBlock => agf.by_block = root,
            Which::BySize => agf.by_size = root,
            Which::ReverseMap => agf.reverse_map = Some(root),
            Which::ReferenceCounts => agf.reference_counts = Some(root),
        }
        agf.store(self.volume)
    }

    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        self.volume.write_blocks(self.block(at)?, bytes, &self.name())
    }

    fn allocate(&mut self, near: Pointer) -> Result<Pointer> {
        let block = if self.which == Which::ReferenceCounts {
            self.take_from_space(near)?
        } else {
            let mut agf = self.agf()?;
            let agfl = Agfl::load(self.volume, &agf)?;
            let block = agfl.take(&mut agf).context(|| self.name())?;
            agf.store(self.volume)?;
            block
        };
        self.count_block(|count| count.checked_add(1))?;
        Ok(Pointer(u64::from(block.0)))
    }

    fn free(&mut self, at: Pointer) -> Result<()> {
        self.count_block(|count| count.checked_sub(1))?;
        let start = self.block(at)?;
        if self.which == Which::ReferenceCounts {
            return self.volume.free_blocks(Run { start, count: 1 }, &Owner::RefcountBtree);
        }
        let mut agf = self.agf()?;
        let mut agfl = Agfl::load(self.volume, &agf)?;
        agfl.put(&mut agf, AgBlock(to(at.0)?)).context(|| self.name())?;
        agfl.store(self.volume)?;
        agf.store(self.volume)
    }
}

impl AgTree<&mut Volume> {
    fn take_from_space(&mut self, near: Pointer) -> Result<AgBlock> {
        let request = Request {
            near: Near::Block(self.block(near)?),
            min_blocks: 1,
            max_blocks: 1,
            alignment: 1,
            owner: Owner::RefcountBtree,
        };
        let run = self.volume.allocate_blocks(&request)?;
        Ok(self.volume.superblock().split(run.start)?.1)
    }

    /// Counts a block of the tree in or out. The reverse map is counted twice: by itself, and with the trees
    /// of free space.
    fn count_block(&mut self, change: impl Fn(u32) -> Option<u32>) -> Result<()> {
        let mut agf = self.agf()?;
        let count = |count: &mut u32| -> Result<()> {
            *count = change(*count).ok_or(OutOfRange)?;
            Ok(())
        };
        match self.which {
            Which::ByBlock | Which::BySize => count(&mut agf.tree_blocks)?,
            Which::ReverseMap => {
                count(&mut agf.tree_blocks)?;
                count(&mut agf.reverse_map_blocks)?;
            }
            Which::ReferenceCounts => count(&mut agf.reference_count_blocks)?,
        }
        agf.store(self.volume)
    }
}
