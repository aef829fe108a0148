//! A store in memory that watches the contract of an edit.

use super::kind::Form;
use super::store::{Bounds, NodeSource, NodeStore, Pointer, Root, Shape};
use crate::error::{Error, Refusal, Result};
use std::cell::Cell;
use std::collections::BTreeMap;

/// Blocks in memory, at the addresses 100, 101, ...
#[derive(Debug, Clone)]
pub(crate) struct MemoryStore {
    pub(crate) shape: Shape,
    pub(crate) root: Root,
    pub(crate) blocks: BTreeMap<u64, Vec<u8>>,
    /// How many more blocks may be taken.
    pub(crate) available: usize,
    /// How many blocks were read.
    pub(crate) reads: Cell<usize>,
    next: u64,
    /// An edit has written something; no block may be taken now.
    has_written: Cell<bool>,
    /// An edit has given something back; nothing may be read or written now.
    has_freed: Cell<bool>,
}

impl MemoryStore {
    /// A store without blocks.
    pub(crate) fn new(shape: Shape, root: Root) -> Self {
        Self {
            shape,
            root,
            blocks: BTreeMap::new(),
            available: usize::MAX,
            reads: Cell::new(0),
            next: 100,
            has_written: Cell::new(false),
            has_freed: Cell::new(false),
        }
    }

    /// An empty tree with its root in a block.
    pub(crate) fn with_empty_leaf(shape: Shape, form: Form, magic: u32) -> Self {
        let root = Root::Block { pointer: Pointer(100), levels: 1 };
        let mut store = Self::new(shape, root);
        let mut block = vec![0; shape.block_size_bytes as usize];
        block[..4].copy_from_slice(&magic.to_be_bytes());
        let (siblings, address, uuid, owner, crc) = match form {
            Form::Short => (8..16, 0x10, 0x20, 0x34 - 8, 0x34),
            Form::Long => (8..24, 0x18, 0x28, 0x38, 0x40),
        };
        block[siblings].fill(0xff);
        if let Some(bytes) = shape.uuid {
            block[owner..owner + 8].copy_from_slice(&shape.owner.to_be_bytes());
            block[address..address + 8].copy_from_slice(&(100_u64 * 8).to_be_bytes());
            block[uuid..uuid + 16].copy_from_slice(&bytes);
            crate::fs::xfs::checksum::seal(&mut block, crc).unwrap();
        }
        store.blocks.insert(100, block);
        store.next = 101;
        store
    }
}

/// The shape of a tree in tests: an allocation group of a million blocks, or a volume of three of them.
pub(crate) fn shape(form: Form, block_size_bytes: u32, has_crc: bool) -> Shape {
    let bounds = match form {
        Form::Short => Bounds::AllocationGroup {
            blocks: 1 << 20,
            inodes_per_block: 8,
            has_sparse_inodes: true,
        },
        Form::Long => Bounds::Volume {
            group_count: 3,
            group_blocks: 1 << 20,
            last_group_blocks: 5000,
            group_block_bits: 20,
        },
    };
    Shape { block_size_bytes, owner: 3, uuid: has_crc.then_some(*b"0123456789abcdef"), bounds }
}

impl NodeSource for MemoryStore {
    fn shape(&self) -> Shape {
        self.shape
    }
    fn root(&self) -> Result<Root> {
        // Every edit and every round of planning starts here.
        self.has_written.set(false);
        self.has_freed.set(false);
        Ok(self.root.clone())
    }
    fn daddr(&self, at: Pointer) -> Result<u64> {
        at.0.checked_mul(8).ok_or_else(|| crate::bytes::arith::OutOfRange.into())
    }
    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        assert!(!self.has_freed.get(), "read after free");
        self.reads.set(self.reads.get() + 1);
        let block = self.blocks.get(&at.0).cloned();
        block.ok_or_else(|| Error::mismatch(format!("no block {}", at.0)))
    }
}

impl NodeStore for MemoryStore {
    fn set_root(&mut self, root: Root) -> Result<()> {
        assert!(!self.has_freed.get(), "set_root after free");
        self.has_written.set(true);
        self.root = root;
        Ok(())
    }
    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        assert!(!self.has_freed.get(), "write after free");
        self.has_written.set(true);
        let block = self.blocks.get_mut(&at.0).expect("only blocks of the tree are written");
        assert_eq!(block.len(), bytes.len());
        block.copy_from_slice(bytes);
        Ok(())
    }
    fn allocate(&mut self, _: Pointer) -> Result<Pointer> {
        assert!(!self.has_written.get(), "allocate after a change");
        if self.available == 0 {
            let what = "blocks".to_owned();
            return Err(Refusal::NoSpace { what, needed: 1, available: 0 }.into());
        }
        self.available -= 1;
        let at = self.next;
        self.next += 1;
        // What was in the block before does not matter.
        self.blocks.insert(at, vec![0xa5; self.shape.block_size_bytes as usize]);
        Ok(Pointer(at))
    }
    fn free(&mut self, at: Pointer) -> Result<()> {
        self.has_freed.set(true);
        self.blocks.remove(&at.0).expect("only blocks of the tree are freed");
        self.available = self.available.saturating_add(1);
        Ok(())
    }
}
