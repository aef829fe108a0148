//! The content of a regular file as bytes.

use super::super::inode::{ForkFormat, ForkKind, Inode};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::corrupt;
use crate::bytes::arith::{add, div, len_u64, mul, rem, sub, to};
use crate::error::Result;

/// What can be wrong with the way in which an inode holds its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentDefect {
    #[error("the content of a regular file is in the inode, which the format does not allow")]
    LocalFile,
    #[error("{0} bytes are more than a file can have")]
    Size(u64),
}

impl Volume {
    /// Reads up to `len` bytes of a regular file from `offset`; less only at its end. The caller bounds `len`.
    ///
    /// Holes and unwritten blocks read as zeros.
    ///
    /// # Errors
    /// `Corrupt`; `Unsupported` for a file on a realtime device.
    pub(crate) fn read_content(&self, inode: &Inode, offset: u64, len: usize) -> Result<Vec<u8>> {
        check_content(inode)?;
        let left = inode.size_bytes().saturating_sub(offset).min(len_u64(len));
        let mut bytes = vec![0; to(left)?];
        let mut rest = bytes.as_mut_slice();
        let block_size = self.superblock().block_size();
        let mut position = offset;
        while !rest.is_empty() {
            let at = FileBlock(div(position, block_size)?);
            let inside = rem(position, block_size)?;
            let Some(extent) = self.next_extent(inode, ForkKind::Data, at)? else { break };
            let is_hole = extent.file_block > at;
            let end = if is_hole { extent.file_block.0 } else { extent.end() };
            let available = sub(mul(sub(end, at.0)?, block_size)?, inside)?;
            let part: usize = to(available.min(len_u64(rest.len())))?;
            let (head, tail) = rest.split_at_mut(part);
            if !is_hole && !extent.is_unwritten {
                let start = self.superblock().block_offset(extent.block_at(at)?)?;
                self.disk().read_at(add(start, inside)?, head)?;
            }
            position = add(position, len_u64(part))?;
            rest = tail;
        }
        Ok(bytes)
    }
}

/// Refuses what has no content that could be read as blocks.
pub(super) fn check_content(inode: &Inode) -> Result<()> {
    match inode.format(ForkKind::Data)? {
        ForkFormat::Local => Err(corrupt(inode, ForkKind::Data, ContentDefect::LocalFile)),
        _ => Ok(()),
    }
}
