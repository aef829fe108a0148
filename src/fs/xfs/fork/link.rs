//! Targets of symbolic links.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Symbolic Links". With checksums every extent of a
//! remote target starts with a header; that the checksum covers the whole extent, not one block, was seen with
//! a target of 989 bytes on a volume of 1024-byte blocks.

use super::super::btree::Extent;
use super::super::inode::{ForkFormat, ForkKind, Inode};
use super::super::part_header::{HEADER_BYTES, PartDefect, PartHeader, PartPlace};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::corrupt;
use crate::bytes::arith::{len_u64, sub, to};
use crate::bytes::field::slice;
use crate::error::{Corrupt, Error, Result};

/// Longest target in bytes, from the document.
const LINK_BYTES_MAX: u64 = 1024;
/// Most blocks of an extent of a target: those of the smallest size, with a header.
const LINK_BLOCKS_MAX: u32 = 3;
/// "XSLM".
const MAGIC: u32 = 0x5853_4c4d;

/// What can be wrong with a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkDefect {
    #[error("target of {0} bytes, should be 1 to 1024")]
    Size(u64),
    #[error("only {found} of {size} bytes are mapped and written")]
    Short { size: u64, found: u64 },
    #[error(transparent)]
    Header(#[from] PartDefect),
    #[error("{0} blocks are more than a target needs")]
    Blocks(u32),
    #[error("{count} bytes from {offset} on, when {found} are known and {left} missing")]
    Part { offset: u32, count: u32, found: u64, left: u64 },
}

impl Volume {
    /// The target of a symbolic link.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn read_link(&self, inode: &Inode) -> Result<Vec<u8>> {
        let size = inode.size_bytes();
        let wrong = |defect| corrupt(inode, ForkKind::Data, defect);
        if size == 0 || size > LINK_BYTES_MAX {
            return Err(wrong(LinkDefect::Size(size)));
        }
        if inode.format(ForkKind::Data)? == ForkFormat::Local {
            let bytes = inode.fork(ForkKind::Data);
            let short = LinkDefect::Short { size, found: len_u64(bytes.len()) };
            return Ok(bytes.get(..to(size)?).ok_or_else(|| wrong(short))?.to_vec());
        }
        let mut target = Vec::new();
        let mut at = FileBlock(0);
        while len_u64(target.len()) < size {
            let found = len_u64(target.len());
            let extent = self.find_extent(inode, ForkKind::Data, at)?;
            let extent = extent.ok_or_else(|| wrong(LinkDefect::Short { size, found }))?;
            self.read_link_part(inode, &extent, size, &mut target)?;
            at = FileBlock(extent.end());
        }
        target.truncate(to(size)?);
        Ok(target)
    }

    /// Adds the part of a target that one extent holds: at least one byte.
    fn read_link_part(
        &self,
        inode: &Inode,
        extent: &Extent,
        size: u64,
        target: &mut Vec<u8>,
    ) -> Result<()> {
        let superblock = self.superblock();
        let place = superblock.block_offset(extent.start)?;
        let wrong = |defect: LinkDefect| -> Error {
            Corrupt::new("link block", defect).at(place).of(inode.number.to_string()).into()
        };
        if extent.count > LINK_BLOCKS_MAX {
            return Err(wrong(LinkDefect::Blocks(extent.count)));
        }
        let bytes = self.read_blocks(extent.start, extent.count)?;
        if !superblock.has_crc() {
            target.extend_from_slice(&bytes);
            return Ok(());
        }
        let meta_uuid = superblock.meta_uuid;
        let daddr = superblock.daddr(extent.start)?;
        let own = PartPlace { magic: MAGIC, meta_uuid, owner: inode.number, daddr };
        let header = PartHeader::parse(&bytes, &own).map_err(|defect| wrong(defect.into()))?;
        let (offset, count) = (header.offset_bytes, header.len_bytes);
        let found = len_u64(target.len());
        let left = sub(size, found)?;
        let fits = u64::from(offset) == found && count > 0 && u64::from(count) <= left;
        if !fits {
            return Err(wrong(LinkDefect::Part { offset, count, found, left }));
        }
        target.extend_from_slice(slice(&bytes, HEADER_BYTES, to(count)?)?);
        Ok(())
    }
}
