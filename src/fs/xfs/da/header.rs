//! The header of directory and attribute blocks, and what every block of version 5 says about
//! itself.
//!
//! Format: "XFS Algorithms & Data Structures", section "Block Headers" of chapter "Variable Length
//! Record B+trees" (leaves and nodes), and section "Block Directories" (data and free index
//! blocks). Big-endian.

use super::{DaFormat, FileBlock};
use crate::bytes::field;
use crate::bytes::guid::Uuid;
use crate::fs::xfs::checksum::{self, ChecksumDefect};
use crate::fs::xfs::units::Lsn;

/// What is wrong with the header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderDefect {
    /// The block is not as large as the blocks of this inode.
    #[error("has {actual} bytes instead of {expected}")]
    Size {
        /// Bytes there are.
        actual: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// The block is of another kind.
    #[error("magic number {0:#x}")]
    Magic(u32),
    /// The checksum is wrong.
    #[error(transparent)]
    Checksum(#[from] ChecksumDefect),
    /// The block says that it lies elsewhere.
    #[error("says that it lies at sector {stored}, lies at {actual}")]
    Address {
        /// `blkno`.
        stored: u64,
        /// Where it was read.
        actual: u64,
    },
    /// The block belongs to another inode.
    #[error("belongs to inode {0}")]
    Owner(u64),
    /// The block belongs to another file system.
    #[error("belongs to the file system {0}")]
    FileSystem(Uuid),
    /// A number leaves its field.
    #[error(transparent)]
    Short(#[from] field::Short),
}

/// Start of the self-description in leaves and nodes, behind the 12 bytes of version 4.
const DA_DESCRIPTION_AT: usize = 12;
/// Start of the self-description in data and free index blocks, behind the magic number.
const BLOCK_DESCRIPTION_AT: usize = 4;
/// Bytes of the self-description.
const DESCRIPTION_LEN: usize = 44;

/// What a block of version 5 says about itself, at two places in two kinds of headers.
///
/// | offset | size | spec  | ours      | valid when                                   |
/// |-------:|-----:|-------|-----------|----------------------------------------------|
/// |    0x0 |    4 | crc   | (checked) | CRC-32C of the block, with 0 here             |
/// |    0x4 |    8 | blkno | daddr     | address of the block in units of 512 bytes    |
/// |    0xc |    8 | lsn   | (kept)    | any; 0 in a block that no log has seen        |
/// |   0x14 |   16 | uuid  | meta_uuid | that of the superblock                        |
/// |   0x24 |    8 | owner | inode     | the inode whose fork this is                  |
fn check_description(
    bytes: &[u8],
    at: usize,
    format: &DaFormat,
    daddr: u64,
) -> Result<(), HeaderDefect> {
    checksum::verify(bytes, at).map_err(|_| size_defect(bytes, format))??;
    let stored = field::be_u64(bytes, at.saturating_add(0x4))?;
    if stored != daddr {
        return Err(HeaderDefect::Address { stored, actual: daddr });
    }
    let uuid = Uuid(field::array(bytes, at.saturating_add(0x14))?);
    if uuid != format.meta_uuid {
        return Err(HeaderDefect::FileSystem(uuid));
    }
    let owner = field::be_u64(bytes, at.saturating_add(0x24))?;
    if owner == format.inode.0 { Ok(()) } else { Err(HeaderDefect::Owner(owner)) }
}

/// Writes the self-description and, last of all, the checksum. The LSN stays.
fn seal(bytes: &mut [u8], at: usize, format: &DaFormat, daddr: u64) -> Result<(), HeaderDefect> {
    if format.has_crc {
        field::put_be_u64(bytes, at.saturating_add(0x4), daddr)?;
        field::put(bytes, at.saturating_add(0x14), &format.meta_uuid.0)?;
        field::put_be_u64(bytes, at.saturating_add(0x24), format.inode.0)?;
        checksum::seal(bytes, at).map_err(|_| size_defect(bytes, format))?;
    }
    Ok(())
}

fn size_defect(bytes: &[u8], format: &DaFormat) -> HeaderDefect {
    HeaderDefect::Size { actual: bytes.len(), expected: format.block_len() }
}

fn check_size(bytes: &[u8], format: &DaFormat) -> Result<(), HeaderDefect> {
    if bytes.len() == format.block_len() { Ok(()) } else { Err(size_defect(bytes, format)) }
}

/// The kinds of leaves and nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DaKind {
    /// A node of the tree (`XFS_DA_NODE_MAGIC`).
    Node,
    /// A leaf of attributes (`XFS_ATTR_LEAF_MAGIC`).
    AttributeLeaf,
    /// The only leaf of a directory, with the free space of its data blocks
    /// (`XFS_DIR2_LEAF1_MAGIC`).
    DirectoryLeaf,
    /// One of many leaves of a directory (`XFS_DIR2_LEAFN_MAGIC`).
    DirectoryNodeLeaf,
}

impl DaKind {
    /// The magic number in version 4 and in version 5.
    fn magics(self) -> (u16, u16) {
        match self {
            Self::Node => (0xfebe, 0x3ebe),
            Self::AttributeLeaf => (0xfbee, 0x3bee),
            Self::DirectoryLeaf => (0xd2f1, 0x3df1),
            Self::DirectoryNodeLeaf => (0xd2ff, 0x3dff),
        }
    }

    fn magic(self, format: &DaFormat) -> u16 {
        let (v4, v5) = self.magics();
        if format.has_crc { v5 } else { v4 }
    }

    fn of(magic: u16, format: &DaFormat) -> Option<Self> {
        [Self::Node, Self::AttributeLeaf, Self::DirectoryLeaf, Self::DirectoryNodeLeaf]
            .into_iter()
            .find(|kind| kind.magic(format) == magic)
    }
}

/// The start of leaves and nodes: `xfs_da_blkinfo`, in version 5 `xfs_da3_blkinfo`.
///
/// | offset | size | spec  | ours      | valid when                                        |
/// |-------:|-----:|-------|-----------|---------------------------------------------------|
/// |    0x0 |    4 | forw  | forw      | block of the fork; 0 behind the last of its level  |
/// |    0x4 |    4 | back  | back      | block of the fork; 0 before the first of its level |
/// |    0x8 |    2 | magic | kind      | see [`DaKind`]                                     |
/// |    0xa |    2 | pad   | -         | ignored                                            |
/// |    0xc |   44 |       | (checked) | version 5: see `check_description`                 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DaHeader {
    /// What the block is.
    pub(crate) kind: DaKind,
    /// The next block of the same level, in blocks of the fork.
    pub(crate) forw: Option<FileBlock>,
    /// The previous block of the same level.
    pub(crate) back: Option<FileBlock>,
}

impl DaHeader {
    /// A header without siblings.
    pub(crate) fn new(kind: DaKind) -> Self {
        Self { kind, forw: None, back: None }
    }

    /// Bytes of the header.
    pub(crate) fn len(format: &DaFormat) -> usize {
        let description = if format.has_crc { DESCRIPTION_LEN } else { 0 };
        DA_DESCRIPTION_AT.saturating_add(description)
    }

    /// Checks the block that was read at `daddr` and gives its header.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(bytes: &[u8], format: &DaFormat, daddr: u64) -> Result<Self, HeaderDefect> {
        check_size(bytes, format)?;
        let magic = field::be_u16(bytes, 0x8)?;
        let kind = DaKind::of(magic, format).ok_or(HeaderDefect::Magic(magic.into()))?;
        if format.has_crc {
            check_description(bytes, DA_DESCRIPTION_AT, format, daddr)?;
        }
        let link = |stored: u32| (stored != 0).then_some(FileBlock(stored.into()));
        let forw = link(field::be_u32(bytes, 0x0)?);
        let back = link(field::be_u32(bytes, 0x4)?);
        Ok(Self { kind, forw, back })
    }

    /// Writes the header into `bytes`, whose other fields are complete, and seals it.
    ///
    /// # Errors
    /// The defect, if `bytes` is no block.
    pub(crate) fn seal(
        self,
        bytes: &mut [u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), HeaderDefect> {
        check_size(bytes, format)?;
        let link = |block: Option<FileBlock>| field::low_u32(block.map_or(0, |block| block.0));
        field::put_be_u32(bytes, 0x0, link(self.forw))?;
        field::put_be_u32(bytes, 0x4, link(self.back))?;
        field::put_be_u16(bytes, 0x8, self.kind.magic(format))?;
        seal(bytes, DA_DESCRIPTION_AT, format, daddr)
    }
}

/// The log sequence number of a leaf or node; 0 in version 4.
///
/// # Errors
/// The defect, if `bytes` is no block.
pub(crate) fn lsn(bytes: &[u8], format: &DaFormat) -> Result<Lsn, HeaderDefect> {
    if !format.has_crc {
        return Ok(Lsn(0));
    }
    Ok(Lsn(field::be_u64(bytes, DA_DESCRIPTION_AT.saturating_add(0xc))?))
}

/// Gives a copied leaf or node the log sequence number of the block that it is copied to.
///
/// # Errors
/// The defect, if `bytes` is no block.
pub(crate) fn set_lsn(bytes: &mut [u8], format: &DaFormat, lsn: Lsn) -> Result<(), HeaderDefect> {
    if format.has_crc {
        field::put_be_u64(bytes, DA_DESCRIPTION_AT.saturating_add(0xc), lsn.0)?;
    }
    Ok(())
}

/// The kinds of directory blocks that are neither leaf nor node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// The only block of a directory (`XFS_DIR2_BLOCK_MAGIC`).
    Block,
    /// A block of entries (`XFS_DIR2_DATA_MAGIC`).
    Data,
    /// A block of the free index (`XFS_DIR2_FREE_MAGIC`).
    Free,
}

impl BlockKind {
    fn magic(self, format: &DaFormat) -> [u8; 4] {
        *match (self, format.has_crc) {
            (Self::Block, false) => b"XD2B",
            (Self::Data, false) => b"XD2D",
            (Self::Free, false) => b"XD2F",
            (Self::Block, true) => b"XDB3",
            (Self::Data, true) => b"XDD3",
            (Self::Free, true) => b"XDF3",
        }
    }

    /// Bytes of the header: the magic number, in version 5 `xfs_dir3_blk_hdr`.
    pub(crate) fn header_len(format: &DaFormat) -> usize {
        let description = if format.has_crc { DESCRIPTION_LEN } else { 0 };
        BLOCK_DESCRIPTION_AT.saturating_add(description)
    }

    /// Checks the header of the block that was read at `daddr`.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn check(
        self,
        bytes: &[u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), HeaderDefect> {
        check_size(bytes, format)?;
        let magic: [u8; 4] = field::array(bytes, 0)?;
        if magic != self.magic(format) {
            return Err(HeaderDefect::Magic(u32::from_be_bytes(magic)));
        }
        if format.has_crc {
            check_description(bytes, BLOCK_DESCRIPTION_AT, format, daddr)?;
        }
        Ok(())
    }

    /// Writes the header into `bytes`, whose other fields are complete, and seals it.
    ///
    /// # Errors
    /// The defect, if `bytes` is no block.
    pub(crate) fn seal(
        self,
        bytes: &mut [u8],
        format: &DaFormat,
        daddr: u64,
    ) -> Result<(), HeaderDefect> {
        check_size(bytes, format)?;
        field::put(bytes, 0, &self.magic(format))?;
        seal(bytes, BLOCK_DESCRIPTION_AT, format, daddr)
    }
}
