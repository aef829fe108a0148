//! A directory whose blocks are in memory, for tests.

use super::{DirectoryBlocks, DirectoryFormat, first_block, insert, visit};
use crate::error::Result;
use crate::fs::NodeKind;
use std::ops::ControlFlow;

/// A directory whose blocks are in memory.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) format: DirectoryFormat,
    pub(crate) blocks: Vec<Vec<u8>>,
}

impl Memory {
    /// An empty directory whose parent is the root.
    pub(crate) fn new(format: DirectoryFormat) -> Self {
        let first = first_block(&format, format.inode, 2).unwrap();
        Self { format, blocks: vec![first] }
    }

    /// Adds a regular file.
    pub(crate) fn add(&mut self, name: &[u8], inode: u32) -> Result<()> {
        insert(self, name, inode, NodeKind::File)
    }
}

impl DirectoryBlocks for Memory {
    fn format(&self) -> &DirectoryFormat {
        &self.format
    }

    fn block_count(&self) -> u32 {
        self.blocks.len() as u32
    }

    fn read(&self, file_block: u32) -> Result<Vec<u8>> {
        Ok(self.blocks[file_block as usize].clone())
    }

    fn write(&mut self, file_block: u32, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), self.format.block_size());
        self.blocks[file_block as usize] = bytes.to_vec();
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<u32> {
        assert_eq!(bytes.len(), self.format.block_size());
        self.blocks.push(bytes.to_vec());
        Ok(self.block_count() - 1)
    }

    fn set_indexed(&mut self, indexed: bool) -> Result<()> {
        self.format.is_indexed = indexed;
        Ok(())
    }
}

/// True if the directory holds nothing but `.` and `..`.
pub(crate) fn is_empty(blocks: &dyn DirectoryBlocks) -> bool {
    let mut count = 0;
    visit(blocks, &mut |_| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    count == 2
}

/// A name of 1..=`len_max` bytes (more if the number needs more) that depends on `number` alone.
pub(crate) fn name_of(number: u32, len_max: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let mut name = format!("{number}-").into_bytes();
    let len = name.len().max(state as usize % len_max + 1);
    while name.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        name.push(if byte == 0 || byte == b'/' { b'x' } else { byte });
    }
    name
}
