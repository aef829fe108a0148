//! What kind of structure a logged buffer holds, and where such a structure keeps what is not logged:
//! its checksum and the number of its last change.
//!
//! Format: "XFS Algorithms & Data Structures", the chapters of the structures, and "Magic Numbers".
//! That the upper five bits of the flags of a buffer item name the kind is not in it: measured with
//! xfs_logprint against the magic numbers in the buffers.

use super::{LogDefect, item};
use crate::bytes::field::{array, be_u16, be_u32, be_u64, put_be_u64};
use crate::error::{Corrupt, Refusal, Result};
use crate::fs::xfs::checksum;
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::Lsn;

/// Kinds of buffers, as their items number them.
mod kind {
    pub(super) const UNKNOWN: u16 = 0;
    pub(super) const BTREE: u16 = 4;
    pub(super) const AGF: u16 = 5;
    pub(super) const AGFL: u16 = 6;
    pub(super) const AGI: u16 = 7;
    pub(super) const SYMLINK: u16 = 9;
    pub(super) const DIRECTORY_BLOCK: u16 = 10;
    pub(super) const DIRECTORY_DATA: u16 = 11;
    pub(super) const DIRECTORY_FREE: u16 = 12;
    pub(super) const DIRECTORY_LEAF: u16 = 13;
    pub(super) const DIRECTORY_LEAF_NODE: u16 = 14;
    pub(super) const DA_NODE: u16 = 15;
    pub(super) const ATTRIBUTE_LEAF: u16 = 16;
    pub(super) const ATTRIBUTE_REMOTE: u16 = 17;
    pub(super) const SUPERBLOCK: u16 = 18;
    pub(super) const REALTIME: std::ops::RangeInclusive<u16> = 19..=20;
}

/// How long a buffer of a structure must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Sector,
    Block,
    DirectoryBlock,
    /// A block of a directory or of attributes.
    DaBlock,
    /// Up to 64 KiB.
    Any,
}

/// A self-describing structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Structure {
    kind: u16,
    name: &'static str,
    magic: u32,
    extent: Extent,
    crc_at: usize,
    lsn_at: usize,
    uuid_at: usize,
    /// Where it says where it lies.
    daddr_at: Option<usize>,
}

const fn header(kind: u16, name: &'static str, magic: u32, places: [usize; 3]) -> Structure {
    let [crc_at, lsn_at, uuid_at] = places;
    let extent = Extent::Sector;
    Structure { kind, name, magic, extent, crc_at, lsn_at, uuid_at, daddr_at: None }
}

const fn block(
    (kind, name, magic): (u16, &'static str, u32),
    extent: Extent,
    places: [usize; 4],
) -> Structure {
    let [crc_at, lsn_at, uuid_at, daddr_at] = places;
    Structure { kind, name, magic, extent, crc_at, lsn_at, uuid_at, daddr_at: Some(daddr_at) }
}

const fn short_btree(name: &'static str, magic: u32) -> Structure {
    block((kind::BTREE, name, magic), Extent::Block, [52, 24, 32, 16])
}

const fn directory(kind: u16, name: &'static str, magic: u32) -> Structure {
    block((kind, name, magic), Extent::DirectoryBlock, [4, 16, 24, 8])
}

const fn da(kind: u16, name: &'static str, magic: u32, extent: Extent) -> Structure {
    block((kind, name, magic), extent, [12, 24, 32, 16])
}

/// Structures with a magic number of four bytes at their start.
const BY_WORD: &[Structure] = &[
    header(kind::SUPERBLOCK, "superblock", 0x5846_5342, [224, 240, 32]),
    header(kind::AGF, "AGF", 0x5841_4746, [216, 208, 64]),
    header(kind::AGI, "AGI", 0x5841_4749, [312, 320, 296]),
    header(kind::AGFL, "AGFL", 0x5841_464c, [32, 24, 8]),
    short_btree("bnobt block", 0x4142_3342),
    short_btree("cntbt block", 0x4142_3343),
    short_btree("inobt block", 0x4941_4233),
    short_btree("finobt block", 0x4649_4233),
    short_btree("rmapbt block", 0x524d_4233),
    short_btree("refcountbt block", 0x5233_4643),
    block((kind::BTREE, "bmbt block", 0x424d_4133), Extent::Block, [64, 32, 40, 24]),
    block((kind::SYMLINK, "symlink block", 0x5853_4c4d), Extent::Any, [12, 48, 16, 40]),
    block((kind::ATTRIBUTE_REMOTE, "remote value", 0x5841_524d), Extent::Any, [12, 48, 16, 40]),
    directory(kind::DIRECTORY_BLOCK, "directory block", 0x5844_4233),
    directory(kind::DIRECTORY_DATA, "directory data block", 0x5844_4433),
    directory(kind::DIRECTORY_FREE, "directory free index", 0x5844_4633),
];

/// Structures with a magic number of two bytes at byte 8.
const BY_HALF_WORD: &[Structure] = &[
    da(kind::DIRECTORY_LEAF, "directory leaf", 0x3df1, Extent::DirectoryBlock),
    da(kind::DIRECTORY_LEAF_NODE, "directory leaf", 0x3dff, Extent::DirectoryBlock),
    da(kind::DA_NODE, "da node", 0x3ebe, Extent::DaBlock),
    da(kind::ATTRIBUTE_LEAF, "attribute leaf", 0x3bee, Extent::Block),
];

/// What a buffer holds after a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A self-describing structure.
    Structure(Structure),
    /// A realtime bitmap or summary: logged as it is.
    Plain,
}

/// The structure that `bytes` start with.
fn recognise(bytes: &[u8]) -> Option<Structure> {
    let (word, half) = (be_u32(bytes, 0).ok()?, be_u16(bytes, 8).ok()?);
    let by_word = BY_WORD.iter().find(|known| known.magic == word);
    let by_half = || BY_HALF_WORD.iter().find(|known| known.magic == u32::from(half));
    by_word.or_else(by_half).copied()
}

/// The number of the last change of what lies at a place now; `None` if it is no structure of this
/// file system, or was never logged.
pub(super) fn present_lsn(superblock: &Superblock, bytes: &[u8]) -> Option<Lsn> {
    let structure = recognise(bytes)?;
    let uuid: [u8; 16] = array(bytes, structure.uuid_at(superblock)).ok()?;
    let lsn = be_u64(bytes, structure.lsn_at).ok()?;
    let is_set = lsn != 0 && lsn != u64::MAX;
    (uuid == superblock.meta_uuid.0 && is_set).then_some(Lsn(lsn))
}

impl Structure {
    /// The superblock keeps the UUID of structures apart from its own, once they differ.
    fn uuid_at(&self, superblock: &Superblock) -> usize {
        let is_apart = superblock.meta_uuid != superblock.uuid;
        if self.kind == kind::SUPERBLOCK && is_apart { 248 } else { self.uuid_at }
    }

    /// Name for labels.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    fn fits(&self, superblock: &Superblock, len: u64) -> bool {
        let block = superblock.block_size();
        let directory = block.checked_shl(superblock.directory_block_log.into()).unwrap_or(0);
        match self.extent {
            Extent::Sector => len == u64::from(superblock.sector_size_bytes),
            Extent::Block => len == block,
            Extent::DirectoryBlock => len == directory,
            Extent::DaBlock => len == block || len == directory,
            Extent::Any => true,
        }
    }

    /// Stamps the number of the change and a checksum that fits.
    pub(super) fn seal(&self, bytes: &mut [u8], lsn: Lsn) -> Result<()> {
        put_be_u64(bytes, self.lsn_at, lsn.0)?;
        checksum::seal(bytes, self.crc_at)
    }
}

/// Checks that the replayed buffer `bytes` at `daddr` is what its item says that it is.
///
/// # Errors
/// * `Corrupt` - it is something else, or belongs elsewhere.
/// * `Refused` - a kind that is not known, or a part of a directory block.
pub(super) fn check(
    superblock: &Superblock,
    flags: u16,
    daddr: u64,
    bytes: &[u8],
) -> Result<Content> {
    let kind = flags >> item::buffer_flag::KIND_SHIFT;
    if kind::REALTIME.contains(&kind) {
        return Ok(Content::Plain);
    }
    let offset = daddr.saturating_mul(512);
    let corrupt = |defect: LogDefect| Corrupt::new("logged buffer", defect).at(offset);
    let structure = match recognise(bytes) {
        Some(structure) if kind == structure.kind || kind == kind::UNKNOWN => structure,
        _ if kind::BTREE == kind || (kind::AGF..=kind::AGI).contains(&kind) => {
            return Err(corrupt(LogDefect::BufferKind(kind)).into());
        }
        _ if (kind::SYMLINK..=kind::SUPERBLOCK).contains(&kind) => {
            return Err(refuse(format!("it holds a part of a structure of kind {kind}")));
        }
        _ => return Err(refuse(format!("it holds a buffer of the unknown kind {kind}"))),
    };
    let len = crate::bytes::arith::len_u64(bytes.len());
    if !structure.fits(superblock, len) {
        return Err(refuse(format!("it holds {} in pieces", structure.name)));
    }
    let uuid: [u8; 16] = array(bytes, structure.uuid_at(superblock))?;
    if uuid != superblock.meta_uuid.0 {
        return Err(corrupt(LogDefect::Uuid).into());
    }
    if let Some(at) = structure.daddr_at {
        let stored = be_u64(bytes, at)?;
        if stored != daddr {
            return Err(corrupt(LogDefect::BufferPlace(stored)).into());
        }
    }
    Ok(Content::Structure(structure))
}

fn refuse(detail: String) -> crate::error::Error {
    Refusal::DirtyLog { detail }.into()
}
