//! A fork whose blocks are in memory, for tests.

use super::{DaBlocks, DaFormat};
use crate::bytes::guid::Uuid;
use crate::error::Result;
use crate::fs::xfs::units::{FileBlock, InodeNumber};
use std::collections::BTreeMap;

/// A fork whose blocks are in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBlocks {
    pub(crate) format: DaFormat,
    /// Content by block of the fork, one directory or attribute block each.
    pub(crate) blocks: BTreeMap<u64, Vec<u8>>,
    /// Sector of each block; without an entry it is made up from the block.
    pub(crate) daddrs: BTreeMap<u64, u64>,
}

/// A version 5 format with file types.
pub(crate) fn format(block_size_bytes: u32, da_block_size_bytes: u32) -> DaFormat {
    DaFormat {
        block_size_bytes,
        da_block_size_bytes,
        inode: InodeNumber(131),
        has_crc: true,
        has_file_type: true,
        is_ascii_ci: false,
        meta_uuid: Uuid(*b"0123456789abcdef"),
    }
}

impl MemoryBlocks {
    /// A fork without blocks.
    pub(crate) fn new(format: DaFormat) -> Self {
        Self { format, blocks: BTreeMap::new(), daddrs: BTreeMap::new() }
    }
}

impl DaBlocks for MemoryBlocks {
    fn format(&self) -> &DaFormat {
        &self.format
    }

    fn read(&self, at: FileBlock) -> Result<Option<Vec<u8>>> {
        Ok(self.blocks.get(&at.0).cloned())
    }

    fn write(&mut self, at: FileBlock, bytes: &[u8], _what: &str) -> Result<()> {
        assert_eq!(bytes.len(), self.format.block_len());
        let old = self.blocks.insert(at.0, bytes.to_vec());
        assert!(old.is_some(), "write to a hole");
        Ok(())
    }

    fn allocate(&mut self, at: FileBlock) -> Result<()> {
        assert_eq!(at.0 % self.format.blocks_per_da_block(), 0);
        // Content that must not be taken for zeros.
        let old = self.blocks.insert(at.0, vec![0xa5; self.format.block_len()]);
        assert!(old.is_none(), "mapped twice");
        Ok(())
    }

    fn free(&mut self, at: FileBlock) -> Result<()> {
        assert!(self.blocks.remove(&at.0).is_some(), "freed a hole");
        Ok(())
    }

    fn daddr(&self, at: FileBlock) -> Result<u64> {
        Ok(self.daddrs.get(&at.0).copied().unwrap_or(at.0 * 8 + 4096))
    }

    fn next_mapped(&self, from: FileBlock) -> Result<Option<FileBlock>> {
        let step = self.format.blocks_per_da_block();
        let start = from.0.saturating_sub(step - 1);
        let next = self.blocks.range(start..).next();
        Ok(next.map(|(at, _)| FileBlock((*at).max(from.0))))
    }
}
