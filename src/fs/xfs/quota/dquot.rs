//! One dquot: limits and counts of one user, group or project.

use crate::bytes::field::{Short, array, be_u16, be_u32, be_u64, put_be_u64, u8_at};
use crate::error::Result;
use crate::fs::xfs::checksum::{self, ChecksumDefect};

/// Size of a dquot in its block.
pub(in crate::fs::xfs) const DQUOT_BYTES: usize = 136;

/// "DQ".
const MAGIC: u16 = 0x4451;
const VERSION: u8 = 1;
/// User, project, group; the bit above says that timers count from another point (`bigtime`).
const TYPE_MASK: u8 = 0x7;

const BLOCKS_AT: usize = 40;
const INODES_AT: usize = 48;
/// `dd_crc`.
pub(in crate::fs::xfs) const CRC_AT: usize = 108;
/// `dd_lsn`.
pub(in crate::fs::xfs) const LSN_AT: usize = 112;
const UUID_AT: usize = 120;

/// What can be wrong with a dquot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::fs::xfs) enum DquotDefect {
    #[error("magic number is {0:#x}")]
    Magic(u16),
    #[error("version is {0}, should be 1")]
    Version(u8),
    #[error("has type {stored:#x}, should be {expected:#x}")]
    Type { stored: u8, expected: u8 },
    #[error("is that of {0}")]
    Id(u32),
    #[error("has the UUID of another file system")]
    Uuid,
    #[error("counts {blocks} blocks and {inodes} inodes, which the edit does not fit")]
    Count { blocks: u64, inodes: u64 },
    #[error(transparent)]
    Checksum(#[from] ChecksumDefect),
    #[error(transparent)]
    Short(#[from] Short),
}

/// A dquot (`xfs_dqblk`): 136 bytes, big-endian.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0 | 2 | d_magic | (checked) | `DQ` |
/// | 2 | 1 | d_version | (checked) | 1 |
/// | 3 | 1 | d_flags | (checked) | that of its file |
/// | 4 | 4 | d_id | (checked) | that of its place |
/// | 8 | 32 | d_blk_..., d_ino_...limit | (kept) | any |
/// | 40 | 8 | d_bcount | blocks | any |
/// | 48 | 8 | d_icount | inodes | any |
/// | 56 | 48 | timers, warnings, realtime | (kept) | any |
/// | 108 | 4 | dd_crc | (checked) | CRC-32C, little-endian |
/// | 112 | 8 | dd_lsn | (kept) | any |
/// | 120 | 16 | dd_uuid | (checked) | the metadata UUID |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fs::xfs) struct Dquot {
    /// Blocks that the id has.
    pub(super) blocks: u64,
    /// Inodes that the id has.
    pub(super) inodes: u64,
    bytes: Vec<u8>,
}

impl Dquot {
    /// Reads the dquot of `id`.
    pub(super) fn parse(
        bytes: &[u8],
        id: u32,
        dquot_type: u8,
        uuid: &[u8; 16],
    ) -> Result<Self, DquotDefect> {
        let (stored, stored_id) = Self::check(bytes, uuid)?;
        if stored != dquot_type {
            return Err(DquotDefect::Type { stored, expected: dquot_type });
        }
        if stored_id != id {
            return Err(DquotDefect::Id(stored_id));
        }
        let (blocks, inodes) = (be_u64(bytes, BLOCKS_AT)?, be_u64(bytes, INODES_AT)?);
        Ok(Self { blocks, inodes, bytes: bytes.to_vec() })
    }

    /// Checks a dquot of whatever id; gives its type and its id.
    pub(in crate::fs::xfs) fn check(
        bytes: &[u8],
        uuid: &[u8; 16],
    ) -> Result<(u8, u32), DquotDefect> {
        let header = Self::check_header(bytes)?;
        let short = Short { needed: DQUOT_BYTES, available: bytes.len() };
        checksum::verify(bytes, CRC_AT).map_err(|_| short)??;
        if array::<16>(bytes, UUID_AT)? != *uuid {
            return Err(DquotDefect::Uuid);
        }
        Ok(header)
    }

    /// Checks the part of a dquot that is logged; gives its type and its id.
    pub(in crate::fs::xfs) fn check_header(bytes: &[u8]) -> Result<(u8, u32), DquotDefect> {
        let magic = be_u16(bytes, 0)?;
        if magic != MAGIC {
            return Err(DquotDefect::Magic(magic));
        }
        let version = u8_at(bytes, 2)?;
        if version != VERSION {
            return Err(DquotDefect::Version(version));
        }
        Ok((u8_at(bytes, 3)? & TYPE_MASK, be_u32(bytes, 4)?))
    }

    /// The bytes with the present counts and a checksum that fits.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        put_be_u64(&mut bytes, BLOCKS_AT, self.blocks)?;
        put_be_u64(&mut bytes, INODES_AT, self.inodes)?;
        checksum::seal(&mut bytes, CRC_AT)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::field::{put, put_be_u16, put_be_u32};

    const UUID: [u8; 16] = [9; 16];

    fn bytes(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; DQUOT_BYTES];
        put_be_u16(&mut bytes, 0, MAGIC).unwrap();
        put(&mut bytes, 2, &[1, 0x84]).unwrap();
        put_be_u32(&mut bytes, 4, 1000).unwrap();
        put_be_u64(&mut bytes, BLOCKS_AT, 12).unwrap();
        put_be_u64(&mut bytes, INODES_AT, 3).unwrap();
        bytes[60] = 0xee;
        put(&mut bytes, UUID_AT, &UUID).unwrap();
        change(&mut bytes);
        checksum::seal(&mut bytes, CRC_AT).unwrap();
        bytes
    }

    #[test]
    fn a_dquot_is_read_and_written_back() {
        let mut dquot = Dquot::parse(&bytes(|_| ()), 1000, 0x4, &UUID).unwrap();
        assert_eq!((dquot.blocks, dquot.inodes), (12, 3));
        assert_eq!(dquot.encode().unwrap(), bytes(|_| ()));
        dquot.blocks = 13;
        let again = Dquot::parse(&dquot.encode().unwrap(), 1000, 0x4, &UUID).unwrap();
        assert_eq!((again.blocks, again.bytes[60]), (13, 0xee));
    }

    #[test]
    fn a_dquot_that_lies_is_refused() {
        let parse = |bytes: &[u8]| Dquot::parse(bytes, 1000, 0x4, &UUID).unwrap_err();
        assert_eq!(parse(&bytes(|bytes| bytes[0] = 0)), DquotDefect::Magic(0x51));
        assert_eq!(parse(&bytes(|bytes| bytes[2] = 2)), DquotDefect::Version(2));
        let other = DquotDefect::Type { stored: 1, expected: 4 };
        assert_eq!(parse(&bytes(|bytes| bytes[3] = 1)), other);
        assert_eq!(parse(&bytes(|bytes| bytes[7] = 0)), DquotDefect::Id(768));
        assert_eq!(parse(&bytes(|bytes| bytes[120] = 0)), DquotDefect::Uuid);
        let mut broken = bytes(|_| ());
        broken[50] ^= 1;
        assert!(matches!(parse(&broken), DquotDefect::Checksum(_)));
        assert!(matches!(parse(&broken[..100]), DquotDefect::Short(_)));
        assert!(matches!(parse(&[]), DquotDefect::Short(_)));
    }
}
