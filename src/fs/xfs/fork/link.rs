//! Targets of symbolic links.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Symbolic Links". With checksums every extent of a
//! remote target starts with a header; that the checksum covers the whole extent, not one block, was seen with
//! a target of 989 bytes on a volume of 1024-byte blocks.

use super::super::btree::Extent;
use super::super::checksum::{self, ChecksumDefect};
use super::super::inode::{ForkFormat, ForkKind, Inode};
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::corrupt;
use crate::bytes::arith::{len_u64, sub, to};
use crate::bytes::field::{array, be_u32, be_u64, slice};
use crate::bytes::guid::Uuid;
use crate::error::{Corrupt, Error, Result};

/// Longest target in bytes, from the document.
const LINK_BYTES_MAX: u64 = 1024;
/// Most blocks of an extent of a target: those of the smallest size, with a header.
const LINK_BLOCKS_MAX: u32 = 3;
/// `xfs_dsymlink_hdr`, big-endian but for the checksum:
///
/// | offset | size | spec | valid when |
/// |-------:|-----:|------|------------|
/// | 0 | 4 | sl_magic | "XSLM" |
/// | 4 | 4 | sl_offset | the bytes of the target before this extent |
/// | 8 | 4 | sl_bytes | 1 to the bytes that are missing |
/// | 12 | 4 | sl_crc | CRC-32C of the extent |
/// | 16 | 16 | sl_uuid | `sb_meta_uuid` |
/// | 32 | 8 | sl_owner | the inode number |
/// | 40 | 8 | sl_blkno | the place of the extent in units of 512 bytes |
/// | 48 | 8 | sl_lsn | any |
const HEADER_BYTES: usize = 56;
const MAGIC: u32 = 0x5853_4c4d;
const CRC_AT: usize = 12;

/// What can be wrong with a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkDefect {
    #[error("target of {0} bytes, should be 1 to 1024")]
    Size(u64),
    #[error("only {found} of {size} bytes are mapped and written")]
    Short { size: u64, found: u64 },
    #[error("magic is {0:#x}, not 0x58534c4d")]
    Magic(u32),
    #[error("{0}")]
    Checksum(ChecksumDefect),
    #[error("{0} blocks are more than a target needs")]
    Blocks(u32),
    #[error("belongs to inode {0}")]
    Owner(u64),
    #[error("block number is {actual:#x}, should be {expected:#x}")]
    Place { actual: u64, expected: u64 },
    #[error("belongs to the file system {0}")]
    FileSystem(Uuid),
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
        let magic = be_u32(&bytes, 0)?;
        require(magic == MAGIC, LinkDefect::Magic(magic)).map_err(wrong)?;
        checksum::verify(&bytes, CRC_AT)?.map_err(LinkDefect::Checksum).map_err(wrong)?;
        let uuid = Uuid(array(&bytes, 16)?);
        require(uuid == superblock.meta_uuid, LinkDefect::FileSystem(uuid)).map_err(wrong)?;
        let owner = be_u64(&bytes, 32)?;
        require(owner == inode.number.0, LinkDefect::Owner(owner)).map_err(wrong)?;
        let (actual, expected) = (be_u64(&bytes, 40)?, superblock.daddr(extent.start)?);
        require(actual == expected, LinkDefect::Place { actual, expected }).map_err(wrong)?;
        let (offset, count) = (be_u32(&bytes, 4)?, be_u32(&bytes, 8)?);
        let found = len_u64(target.len());
        let left = sub(size, found)?;
        let fits = u64::from(offset) == found && count > 0 && u64::from(count) <= left;
        let part = LinkDefect::Part { offset, count, found, left };
        require(fits, part).map_err(wrong)?;
        target.extend_from_slice(slice(&bytes, HEADER_BYTES, to(count)?)?);
        Ok(())
    }
}

fn require(holds: bool, defect: LinkDefect) -> Result<(), LinkDefect> {
    if holds { Ok(()) } else { Err(defect) }
}
