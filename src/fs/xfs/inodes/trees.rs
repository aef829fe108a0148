//! The two inode trees of an allocation group as stores of blocks for the engine in `btree`.
//!
//! Format: "XFS Algorithms & Data Structures", section "Inode B+trees". Their roots are in the AGI, with
//! `inobtcount` also the number of their blocks.

use crate::bytes::arith::{OutOfRange, to};
use crate::error::Result;
use crate::fs::xfs::ag::{Agi, TreeRoot};
use crate::fs::xfs::btree::{Bounds, NodeSource, NodeStore, Pointer, Root, Shape};
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::space::{Near, Owner, Request, Run};
use crate::fs::xfs::units::{AgBlock, AgNumber, FsBlock};
use crate::fs::xfs::volume::Volume;
use std::borrow::Borrow;

/// One of the two inode trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The inobt: all chunks.
    All,
    /// The finobt: chunks with free inodes.
    Free,
}

/// One of the inode trees of an allocation group.
#[derive(Debug)]
pub(super) struct InodeTree<V> {
    pub(super) volume: V,
    pub(super) ag: AgNumber,
    pub(super) which: Which,
}

impl<V: Borrow<Volume>> InodeTree<V> {
    fn agi(&self) -> Result<Agi> {
        Agi::load(self.volume.borrow(), self.ag)
    }

    fn block(&self, at: Pointer) -> Result<FsBlock> {
        self.volume.borrow().superblock().join(self.ag, AgBlock(to(at.0)?))
    }
}

impl<V: Borrow<Volume>> NodeSource for InodeTree<V> {
    fn shape(&self) -> Shape {
        let superblock = self.volume.borrow().superblock();
        Shape {
            block_size_bytes: superblock.block_size_bytes,
            owner: u64::from(self.ag.0),
            uuid: superblock.has_crc().then_some(superblock.meta_uuid.0),
            bounds: Bounds::AllocationGroup {
                // A group that does not exist has no blocks, so nothing is inside it.
                blocks: superblock.ag_length(self.ag).unwrap_or(0),
                inodes_per_block: 1u32.wrapping_shl(superblock.inodes_per_block_log.into()),
                has_sparse_inodes: superblock.features.has_incompat(incompat::SPARSE_INODES),
            },
        }
    }

    fn root(&self) -> Result<Root> {
        let agi = self.agi()?;
        let root = match self.which {
            Which::All => agi.inodes,
            Which::Free => agi.free_inodes.ok_or(OutOfRange)?,
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

impl NodeStore for InodeTree<&mut Volume> {
    fn set_root(&mut self, root: Root) -> Result<()> {
        let Root::Block { pointer, levels } = root else { return Err(OutOfRange.into()) };
        let root = TreeRoot { block: AgBlock(to(pointer.0)?), levels };
        let mut agi = self.agi()?;
        match self.which {
            Which::All => agi.inodes = root,
            Which::Free => agi.free_inodes = Some(root),
        }
        agi.store(self.volume)
    }

    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        let what = match self.which {
            Which::All => format!("inode tree of {}", self.ag),
            Which::Free => format!("free inode tree of {}", self.ag),
        };
        self.volume.write_blocks(self.block(at)?, bytes, &what)
    }

    fn allocate(&mut self, near: Pointer) -> Result<Pointer> {
        let request = Request {
            near: Near::Block(self.block(near)?),
            min_blocks: 1,
            max_blocks: 1,
            alignment: 1,
            owner: Owner::InodeBtree,
        };
        let run = self.volume.allocate_blocks(&request)?;
        self.count_block(|count| count.checked_add(1))?;
        let (_, block) = self.volume.superblock().split(run.start)?;
        Ok(Pointer(u64::from(block.0)))
    }

    fn free(&mut self, at: Pointer) -> Result<()> {
        let start = self.block(at)?;
        self.volume.free_blocks(Run { start, count: 1 }, &Owner::InodeBtree)?;
        self.count_block(|count| count.checked_sub(1))
    }
}

impl InodeTree<&mut Volume> {
    /// Counts a block of the tree in or out, with `inobtcount`.
    fn count_block(&mut self, change: impl FnOnce(u32) -> Option<u32>) -> Result<()> {
        let mut agi = self.agi()?;
        let blocks = match self.which {
            Which::All => &mut agi.inode_tree_blocks,
            Which::Free => &mut agi.free_inode_tree_blocks,
        };
        let Some(count) = blocks else { return Ok(()) };
        *count = change(*count).ok_or(OutOfRange)?;
        agi.store(self.volume)
    }
}
