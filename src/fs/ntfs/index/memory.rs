//! An index whose blocks are in memory, for tests.

use super::{Collation, IndexBlock, IndexHost, IndexRoot, IndexSource};
use crate::error::{Corrupt, Refusal, Result};
use std::cell::Cell;
use std::collections::BTreeSet;

/// An index in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryIndex {
    pub(crate) root: Vec<u8>,
    /// Longest value of the root.
    pub(crate) root_bytes_max: usize,
    pub(crate) blocks: Vec<Vec<u8>>,
    pub(crate) bitmap: BTreeSet<u64>,
    /// Blocks there may be.
    pub(crate) blocks_max: usize,
    /// Blocks written since the last reset.
    pub(crate) written: usize,
    /// Blocks read since the last reset.
    pub(crate) read: Cell<usize>,
}

impl MemoryIndex {
    /// An empty index.
    pub(crate) fn new(
        collation: Collation<'_>,
        block_size_bytes: u32,
        cluster_size_bytes: u32,
        root_bytes_max: usize,
    ) -> Self {
        let root = IndexRoot::empty(&collation, block_size_bytes, cluster_size_bytes).unwrap();
        Self {
            root: root.store().unwrap(),
            root_bytes_max,
            blocks: Vec::new(),
            bitmap: BTreeSet::new(),
            blocks_max: usize::MAX,
            written: 0,
            read: Cell::new(0),
        }
    }
}

impl IndexSource for MemoryIndex {
    fn root_value(&self) -> Result<Vec<u8>> {
        Ok(self.root.clone())
    }

    fn read_block(&self, block: IndexBlock, len: usize) -> Result<Vec<u8>> {
        self.read.set(self.read.get() + 1);
        let bytes = usize::try_from(block.0).ok().and_then(|block| self.blocks.get(block));
        match bytes {
            // A damaged root may ask for blocks of another size.
            Some(bytes) if bytes.len() == len => Ok(bytes.clone()),
            _ => Err(Corrupt::new("index", "block outside").into()),
        }
    }

    fn block_count(&self) -> Result<u64> {
        Ok(self.blocks.len() as u64)
    }

    fn is_allocated(&self, block: IndexBlock) -> Result<bool> {
        Ok(self.bitmap.contains(&block.0))
    }
}

impl IndexHost for MemoryIndex {
    fn write_block(&mut self, block: IndexBlock, bytes: &[u8]) -> Result<()> {
        assert!(self.bitmap.contains(&block.0), "write to a free block");
        let place = &mut self.blocks[usize::try_from(block.0).unwrap()];
        assert_eq!(place.len(), bytes.len());
        place.copy_from_slice(bytes);
        self.written += 1;
        Ok(())
    }

    fn allocate_block(&mut self, len: usize) -> Result<IndexBlock> {
        let free = (0..=u64::MAX).find(|block| !self.bitmap.contains(block)).unwrap();
        let at = usize::try_from(free).unwrap();
        if at >= self.blocks_max {
            let what = "index blocks".into();
            return Err(Refusal::NoSpace { what, needed: 1, available: 0 }.into());
        }
        // Content that must not be taken for a block.
        let poison = vec![0xa5; len];
        if at == self.blocks.len() {
            self.blocks.push(poison);
        } else {
            self.blocks[at] = poison;
        }
        self.bitmap.insert(free);
        Ok(IndexBlock(free))
    }

    fn free_block(&mut self, block: IndexBlock) -> Result<()> {
        assert!(self.bitmap.remove(&block.0), "freed twice");
        Ok(())
    }

    fn root_bytes_max(&self) -> Result<usize> {
        Ok(self.root_bytes_max)
    }

    fn set_root_value(&mut self, value: &[u8]) -> Result<()> {
        assert!(value.len() <= self.root_bytes_max && value.len().is_multiple_of(8));
        self.root = value.to_vec();
        Ok(())
    }
}
