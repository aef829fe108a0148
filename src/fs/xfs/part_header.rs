//! The header of blocks that hold a part of something: the value of an extended attribute, the target of a symbolic
//! link. Only version 5 has it.
//!
//! Format: "XFS Algorithms & Data Structures", chapters "Extended Attributes", section "Remote Values"
//! (`xfs_attr3_rmt_hdr`), and "Symbolic Links" (`xfs_dsymlink_hdr`), which differ in the magic number. 56 bytes,
//! big-endian but for the checksum.
//!
//! | offset | size | spec   | ours         | valid when                                                |
//! |-------:|-----:|--------|--------------|-----------------------------------------------------------|
//! |    0x0 |    4 | magic  | (checked)    | that of the use                                           |
//! |    0x4 |    4 | offset | offset_bytes | offset of the content in the whole                        |
//! |    0x8 |    4 | bytes  | len_bytes    | bytes of content                                          |
//! |    0xc |    4 | crc    | (checked)    | CRC-32C of everything that belongs to the header          |
//! |   0x10 |   16 | uuid   | (checked)    | `sb_meta_uuid`                                            |
//! |   0x20 |    8 | owner  | (checked)    | the inode                                                 |
//! |   0x28 |    8 | blkno  | (checked)    | address of the block in units of 512 bytes                |
//! |   0x30 |    8 | lsn    | -            | any; all ones where it is never logged                    |

use super::checksum::{self, ChecksumDefect};
use super::units::InodeNumber;
use crate::bytes::field::{self, Short, be_u32, be_u64, put_be_u32, put_be_u64};
use crate::bytes::guid::Uuid;
use crate::error::Result;

/// Length of the header in bytes.
pub(super) const HEADER_BYTES: usize = 56;
const CRC_AT: usize = 12;
/// The LSN of what no log ever sees.
const NULL_LSN: u64 = u64::MAX;

/// What can be wrong with such a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartDefect {
    /// No part of what is looked for.
    #[error("magic is {actual:#010x}, not {expected:#010x}")]
    Magic {
        /// The magic number that is there.
        actual: u32,
        /// The one of the use.
        expected: u32,
    },
    /// The checksum is wrong.
    #[error(transparent)]
    Checksum(#[from] ChecksumDefect),
    /// The block belongs to another file system.
    #[error("belongs to the file system {0}")]
    FileSystem(Uuid),
    /// The block belongs to another inode.
    #[error("belongs to inode {0}")]
    Owner(u64),
    /// The block says that it lies elsewhere.
    #[error("says that it lies at sector {stored}, lies at {actual}")]
    Address {
        /// `blkno`.
        stored: u64,
        /// Where it was read.
        actual: u64,
    },
    /// The block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

/// Whose blocks they are, and where one lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartPlace {
    /// The magic number of the use.
    pub(super) magic: u32,
    /// `sb_meta_uuid`.
    pub(super) meta_uuid: Uuid,
    /// The inode.
    pub(super) owner: InodeNumber,
    /// Address in units of 512 bytes.
    pub(super) daddr: u64,
}

/// What the header says about its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartHeader {
    /// Offset of the content in the whole.
    pub(super) offset_bytes: u32,
    /// Length of the content.
    pub(super) len_bytes: u32,
}

impl PartHeader {
    /// Parses the header of `bytes`, which it covers with its checksum, and checks that they are what lies at `place`.
    pub(super) fn parse(bytes: &[u8], place: &PartPlace) -> Result<Self, PartDefect> {
        let (actual, expected) = (be_u32(bytes, 0)?, place.magic);
        if actual != expected {
            return Err(PartDefect::Magic { actual, expected });
        }
        let short = Short { needed: HEADER_BYTES, available: bytes.len() };
        checksum::verify(bytes, CRC_AT).map_err(|_| short)??;
        let uuid = Uuid(field::array(bytes, 0x10)?);
        if uuid != place.meta_uuid {
            return Err(PartDefect::FileSystem(uuid));
        }
        let owner = be_u64(bytes, 0x20)?;
        if owner != place.owner.0 {
            return Err(PartDefect::Owner(owner));
        }
        let (stored, actual) = (be_u64(bytes, 0x28)?, place.daddr);
        if stored != actual {
            return Err(PartDefect::Address { stored, actual });
        }
        Ok(Self { offset_bytes: be_u32(bytes, 4)?, len_bytes: be_u32(bytes, 8)? })
    }

    /// Writes the header in front of the content in `bytes`, and seals both.
    ///
    /// # Errors
    /// `Corrupt` if `bytes` is shorter than the header.
    pub(super) fn seal(self, bytes: &mut [u8], place: &PartPlace) -> Result<()> {
        put_be_u32(bytes, 0, place.magic)?;
        put_be_u32(bytes, 4, self.offset_bytes)?;
        put_be_u32(bytes, 8, self.len_bytes)?;
        field::put(bytes, 0x10, &place.meta_uuid.0)?;
        put_be_u64(bytes, 0x20, place.owner.0)?;
        put_be_u64(bytes, 0x28, place.daddr)?;
        put_be_u64(bytes, 0x30, NULL_LSN)?;
        checksum::seal(bytes, CRC_AT)
    }
}
