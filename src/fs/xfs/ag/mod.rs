//! The headers of an allocation group (AG): free space (AGF), inodes (AGI), and the list of blocks kept
//! for its trees (AGFL).
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Allocation Groups", sections "AG Free Space Block",
//! "AG Free List" and "Inode Information"; the fields of `inobtcount` as `xfs_db` prints them. Each header
//! fills one sector, big-endian, with the checksum over the whole sector. What a header holds behind the
//! fields below is kept byte for byte.
//!
//! Not handled: the superblock copies in the first sector of each AG (only the first one is in use).

mod agf;
mod agfl;
mod agi;

#[cfg(test)]
mod tests;

pub(crate) use agf::{Agf, FreeList};
pub(crate) use agfl::Agfl;
pub(crate) use agi::{Agi, UNLINKED_BUCKETS};

use super::checksum::{self, ChecksumDefect};
use super::feature::Features;
use super::superblock::Superblock;
use super::units::{AgBlock, AgNumber};
use super::volume::{AgSector, Volume};
use crate::bytes::arith::{OutOfRange, div_ceil, mul, to};
use crate::bytes::field::{Short, array, be_u32};
use crate::error::{Corrupt, Result};

/// The version that all AG headers have.
const HEADER_VERSION: u32 = 1;

/// Most levels that a tree of an AG can have. An AG has at most 2^31 blocks, and the smallest nodes hold
/// eleven pointers when they are half full.
pub(crate) const AG_TREE_LEVELS_MAX: u32 = 10;

/// Sectors at the start of an AG that hold its headers, with the superblock.
pub(crate) const HEADER_SECTORS: u32 = 4;

/// What can be wrong with a header of an allocation group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderDefect {
    #[error("magic number is {0:#x}")]
    Magic(u32),
    #[error("version is {0}, should be 1")]
    Version(u32),
    #[error("is the header of {stored}")]
    Number { stored: AgNumber },
    #[error("says that the group has {stored} blocks, not {expected}")]
    Length { stored: u32, expected: u32 },
    #[error("has the UUID of another file system")]
    Uuid,
    #[error(transparent)]
    Checksum(#[from] ChecksumDefect),
    #[error("{what} at block {block} is outside the group")]
    Place { what: &'static str, block: u32 },
    #[error("{what} has {levels} levels")]
    Levels { what: &'static str, levels: u32 },
    #[error("counts {count} {what} of {limit}")]
    Count { what: &'static str, count: u32, limit: u32 },
    #[error("{count} entries from {first} to {last} in a list of {size}")]
    List { first: u32, last: u32, count: u32, size: u32 },
    #[error("lists block {0} twice")]
    ListedTwice(u32),
    #[error("{what} is inode {inode} of the group, which does not exist")]
    Inode { what: &'static str, inode: u32 },
    #[error("the list is {what}")]
    ListFull { what: &'static str },
    #[error(transparent)]
    Short(#[from] Short),
}

/// The root of a tree of an AG, and how many levels it has: 1 is a single leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TreeRoot {
    pub(crate) block: AgBlock,
    pub(crate) levels: u32,
}

/// What the superblock says about one AG, and the headers must agree with.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) ag: AgNumber,
    pub(super) length_blocks: u32,
    /// Of every group but the last one.
    pub(super) whole_group_blocks: u32,
    pub(super) first_block: u32,
    pub(super) sector_bytes: u32,
    pub(super) inodes_per_block_log: u8,
    pub(super) uuid: [u8; 16],
    pub(super) features: Features,
}

impl Expected {
    fn of(superblock: &Superblock, ag: AgNumber) -> Result<Self> {
        let length_blocks = superblock.ag_length(ag)?;
        Ok(Self {
            ag,
            length_blocks,
            whole_group_blocks: superblock.ag_blocks,
            first_block: header_blocks(superblock)?,
            sector_bytes: superblock.sector_size_bytes,
            inodes_per_block_log: superblock.inodes_per_block_log,
            uuid: superblock.meta_uuid.0,
            features: superblock.features,
        })
    }

    /// A tree root that lies behind the headers and inside the AG.
    fn root(&self, what: &'static str, block: u32, levels: u32) -> Result<TreeRoot, HeaderDefect> {
        self.check_block(what, block)?;
        if levels == 0 || levels > AG_TREE_LEVELS_MAX {
            return Err(HeaderDefect::Levels { what, levels });
        }
        Ok(TreeRoot { block: AgBlock(block), levels })
    }

    fn check_block(&self, what: &'static str, block: u32) -> Result<(), HeaderDefect> {
        if block < self.first_block || block >= self.length_blocks {
            return Err(HeaderDefect::Place { what, block });
        }
        Ok(())
    }

    /// Behind the last inode that could exist.
    fn inode_limit(&self) -> u32 {
        let limit = u64::from(self.length_blocks) << (self.inodes_per_block_log & 31);
        u32::try_from(limit).unwrap_or(u32::MAX)
    }

    fn check_count(&self, what: &'static str, count: u32) -> Result<u32, HeaderDefect> {
        let limit = self.length_blocks;
        if count > limit { Err(HeaderDefect::Count { what, count, limit }) } else { Ok(count) }
    }

    /// Magic, version, number and length, which the AGF and the AGI have at the same places.
    fn check_start(&self, bytes: &[u8], magic: u32) -> Result<(), HeaderDefect> {
        check_magic(bytes, magic)?;
        let version = be_u32(bytes, 4)?;
        if version != HEADER_VERSION {
            return Err(HeaderDefect::Version(version));
        }
        self.check_number(bytes, 8)?;
        let (stored, expected) = (be_u32(bytes, 12)?, self.length_blocks);
        if stored != expected {
            return Err(HeaderDefect::Length { stored, expected });
        }
        Ok(())
    }

    fn check_number(&self, bytes: &[u8], at: usize) -> Result<(), HeaderDefect> {
        let stored = AgNumber(be_u32(bytes, at)?);
        if stored == self.ag { Ok(()) } else { Err(HeaderDefect::Number { stored }) }
    }

    /// UUID and checksum, where the format has them.
    fn check_seal(&self, bytes: &[u8], uuid_at: usize, crc_at: usize) -> Result<(), HeaderDefect> {
        if !self.features.has_crc() {
            return Ok(());
        }
        let short = Short { needed: crc_at.saturating_add(4), available: bytes.len() };
        checksum::verify(bytes, crc_at).map_err(|_| short)??;
        if array::<16>(bytes, uuid_at)? != self.uuid {
            return Err(HeaderDefect::Uuid);
        }
        Ok(())
    }
}

fn check_magic(bytes: &[u8], magic: u32) -> Result<(), HeaderDefect> {
    let stored = be_u32(bytes, 0)?;
    if stored == magic { Ok(()) } else { Err(HeaderDefect::Magic(stored)) }
}

/// Blocks at the start of every AG that its headers take.
pub(crate) fn header_blocks(superblock: &Superblock) -> Result<u32, OutOfRange> {
    let bytes = mul(u64::from(HEADER_SECTORS), u64::from(superblock.sector_size_bytes))?;
    to(div_ceil(bytes, superblock.block_size())?)
}

/// Reads a header of `ag` and lets `parse` judge it.
fn with_header<T>(
    volume: &Volume,
    ag: AgNumber,
    sector: AgSector,
    name: &'static str,
    parse: impl FnOnce(Vec<u8>, &Expected) -> Result<T, HeaderDefect>,
) -> Result<T> {
    let expected = Expected::of(volume.superblock(), ag)?;
    let offset = volume.sector_offset(ag, sector)?;
    let bytes = volume.read_sector(ag, sector)?;
    let found = parse(bytes, &expected);
    found.map_err(|wrong| Corrupt::new(name, wrong).at(offset).of(ag.to_string()).into())
}

/// Writes a header of `ag` with a checksum that fits.
fn seal_and_write(
    volume: &Volume,
    ag: AgNumber,
    sector: AgSector,
    name: &'static str,
    mut bytes: Vec<u8>,
    crc_at: usize,
) -> Result<()> {
    if volume.superblock().has_crc() {
        checksum::seal(&mut bytes, crc_at)?;
    }
    volume.write_sector(ag, sector, &bytes, &format!("{name} of {ag}"))
}
