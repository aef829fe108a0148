//! The content of a file as bytes, whatever maps it: extents, a block map, or the inode itself.

use super::inode::{I_BLOCK_BYTES, Inode, InodeDefect, flag};
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{add, div, len_u64, mul, rem, sub, to};
use crate::bytes::field;
use crate::error::{Error, Result};

/// Where one block of a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Nowhere; reads as zeros.
    Hole,
    /// Allocated, but not written yet; reads as zeros.
    Unwritten(FsBlock),
    /// In this block.
    Mapped(FsBlock),
}

/// The mapping of one block and of those that follow it in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MappedRun {
    pub(crate) mapping: Mapping,
    /// At least 1.
    pub(crate) length: u64,
}

/// Blocks that a cut took out of a file and that are still to be given back.
#[derive(Debug, Default)]
pub(crate) struct FreedBlocks {
    /// Content: (first block, number).
    pub(crate) content: Vec<(FsBlock, u64)>,
    /// Extent nodes and indirect blocks.
    pub(crate) metadata: Vec<FsBlock>,
}

/// Bound on the runs that one cut frees.
const FREED_RUNS_MAX: usize = 1 << 22;

impl FreedBlocks {
    pub(crate) fn push(&mut self, start: FsBlock, count: u64) -> Result<()> {
        // Cuts go from the end of a file to its start, or the other way round.
        if let Some((first, known)) = self.content.last_mut() {
            if first.plus(*known)? == start {
                *known = add(*known, count)?;
                return Ok(());
            }
            if start.plus(count)? == *first {
                (*first, *known) = (start, add(*known, count)?);
                return Ok(());
            }
        }
        if self.content.len() >= FREED_RUNS_MAX {
            let limit = len_u64(FREED_RUNS_MAX);
            return Err(Error::limit("runs of blocks to be freed", limit, add(limit, 1)?));
        }
        self.content.push((start, count));
        Ok(())
    }

    pub(crate) fn push_metadata(&mut self, block: FsBlock) {
        self.metadata.push(block);
    }
}

/// Longest target of a symbolic link that lies in the inode, in bytes.
const FAST_LINK_BYTES_MAX: u64 = 59;
/// Longest target of a symbolic link, in bytes.
const LINK_BYTES_MAX: u64 = 4096;

impl Volume {
    /// Finds block `at` of a file that is not inline.
    pub(crate) fn find_block(&self, inode: &Inode, at: FileBlock) -> Result<MappedRun> {
        if inode.has_flag(flag::EXTENTS) {
            self.find_extent(inode, at)
        } else {
            self.find_mapped_block(inode, at)
        }
    }

    /// Reads up to `len` bytes from `offset`; less only at the end of the content. The caller bounds `len`.
    pub(crate) fn read_content(&self, inode: &Inode, offset: u64, len: usize) -> Result<Vec<u8>> {
        inode.check_readable()?;
        let left = inode.size_bytes().saturating_sub(offset).min(len_u64(len));
        if inode.has_flag(flag::INLINE_DATA) {
            let content = inode.read_inline()?;
            return Ok(match usize::try_from(offset) {
                Ok(from) => field::slice(&content, from.min(content.len()), to(left)?)?.to_vec(),
                Err(_) => Vec::new(),
            });
        }
        let mut bytes = vec![0; to(left)?];
        let mut rest = bytes.as_mut_slice();
        let mut position = offset;
        let block_size = self.superblock().block_size();
        while !rest.is_empty() {
            let at = div(position, block_size)?;
            let Ok(at) = u32::try_from(at) else {
                return Err(inode.corrupt(InodeDefect::Size(inode.size_bytes())));
            };
            let run = self.find_block(inode, FileBlock(at))?;
            let inside = rem(position, block_size)?;
            let available = sub(mul(run.length, block_size)?, inside)?;
            let part: usize = to(available.min(len_u64(rest.len())))?;
            let (head, tail) = rest.split_at_mut(part);
            if let Mapping::Mapped(block) = run.mapping {
                let disk_offset = add(self.superblock().block_offset(block)?, inside)?;
                self.disk().read_at(disk_offset, head)?;
            }
            position = add(position, len_u64(part))?;
            rest = tail;
        }
        Ok(bytes)
    }

    /// The target of a symbolic link.
    pub(crate) fn read_link_target(&self, inode: &Inode) -> Result<Vec<u8>> {
        inode.check_readable()?;
        let size = inode.size_bytes();
        if size > LINK_BYTES_MAX {
            return Err(inode.corrupt(InodeDefect::Size(size)));
        }
        if self.is_fast_link(inode)? {
            return Ok(field::slice(inode.i_block()?, 0, to(size)?)?.to_vec());
        }
        self.read_content(inode, 0, to(size)?)
    }

    /// True if the target of a symbolic link lies in `i_block` itself: it is short, and no block is counted
    /// but that of the attributes.
    pub(crate) fn is_fast_link(&self, inode: &Inode) -> Result<bool> {
        debug_assert!(FAST_LINK_BYTES_MAX < len_u64(I_BLOCK_BYTES));
        if inode.has_flag(flag::INLINE_DATA | flag::EXTENTS) {
            return Ok(false);
        }
        let superblock = self.superblock();
        let per_cluster = u64::from(superblock.cluster_blocks);
        let attribute_blocks = if inode.attribute_block().is_some() { per_cluster } else { 0 };
        let attribute_sectors = mul(attribute_blocks, superblock.block_size() >> 9)?;
        Ok(inode.size_bytes() <= FAST_LINK_BYTES_MAX && inode.sectors()? <= attribute_sectors)
    }
}
