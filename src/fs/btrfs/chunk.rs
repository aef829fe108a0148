//! Chunks: which physical addresses stand behind a logical one.
//!
//! Format: Btrfs documentation, "On-disk format", sections "Chunk" and "Superblock" (system chunk array). Every address
//! in a tree is logical. The chunks of the chunk tree itself stand in the superblock as pairs of key and chunk.
//!
//! | offset | size | field       | valid when                                              |
//! |-------:|-----:|-------------|---------------------------------------------------------|
//! |      0 |    8 | length      | multiple of sectorsize, not 0                           |
//! |      8 |    8 | owner       | 2                                                       |
//! |     16 |    8 | stripe_len  | 65536; used by the profiles that stripe                 |
//! |     24 |    8 | type        | see [`block_group`]                                     |
//! |     44 |    2 | num_stripes | 1 and more; 2 for DUP                                   |
//! |     46 |    2 | sub_stripes | used by RAID10                                          |
//! |     48 |   32 | each stripe | device at 0, physical address at 8, UUID of the device at 16 |

use super::key::{KEY_BYTES, Key, item};
use super::superblock::Superblock;
use crate::bytes::arith::{add, len_u64, sub};
use crate::bytes::field::{self, le_u16, le_u64};
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeMap;

/// Bound on the chunks of a volume: 64 TiB in chunks of 256 MiB.
const CHUNKS_MAX: usize = 256 * 1024;

const CHUNK_BYTES: usize = 48;
const STRIPE_BYTES: usize = 32;

/// Bits of the type of a chunk and of its block group.
pub(crate) mod block_group {
    /// Holds data.
    pub(crate) const DATA: u64 = 1;
    /// Holds all other trees.
    pub(crate) const METADATA: u64 = 4;
    /// The bits that say how copies and stripes lie.
    pub(crate) const PROFILE: u64 = 0x7f8;
    /// Two copies on one device.
    pub(crate) const DUP: u64 = 0x20;
    /// Two, three, four copies on as many devices.
    pub(crate) const RAID1: u64 = 0x10 | 0x200 | 0x400;

    /// Name of the profile as the tools print it.
    pub(crate) fn profile_name(kind: u64) -> &'static str {
        match kind & PROFILE {
            0 => "single",
            0x8 => "RAID0",
            0x10 => "RAID1",
            DUP => "DUP",
            0x40 => "RAID10",
            0x80 => "RAID5",
            0x100 => "RAID6",
            0x200 => "RAID1C3",
            0x400 => "RAID1C4",
            _ => "a mix of profiles",
        }
    }
}

/// What can be wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// A field is outside its range.
    #[error("{0} is {1}")]
    Value(&'static str, u64),
    /// Two chunks claim the same addresses.
    #[error("it overlaps the chunk at {0}")]
    Overlap(u64),
    /// No chunk has the address.
    #[error("{len} bytes at logical address {logical} are in no chunk")]
    Unmapped {
        /// The address.
        logical: u64,
        /// How many bytes from there.
        len: u64,
    },
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its first logical address.
    pub(crate) logical: u64,
    /// How many bytes of logical addresses it has.
    pub(crate) length: u64,
    /// See [`block_group`].
    pub(crate) kind: u64,
    /// The stripes: device and physical address.
    pub(crate) stripes: Vec<(u64, u64)>,
}

impl Chunk {
    /// Parses the chunk that stands under `key`; gives it and how many bytes it takes.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn parse(key: Key, bytes: &[u8], superblock: &Superblock) -> Result<(Self, usize)> {
        let corrupt = |name, value| {
            Corrupt::new("chunk", Defect::Value(name, value)).of(format!("chunk {}", key.offset))
        };
        let count = usize::from(le_u16(bytes, 44)?);
        let chunk = Self {
            logical: key.offset,
            length: le_u64(bytes, 0)?,
            kind: le_u64(bytes, 24)?,
            stripes: (0..count).map(|index| stripe(bytes, index)).collect::<Result<_>>()?,
        };
        if key.kind != item::CHUNK_ITEM {
            return Err(corrupt("key type", key.kind.into()).into());
        }
        let ends = chunk.logical.checked_add(chunk.length).is_some();
        if chunk.length == 0 || !superblock.is_aligned(chunk.length) || !ends {
            return Err(corrupt("length", chunk.length).into());
        }
        if !superblock.is_aligned(chunk.logical) {
            return Err(corrupt("address", chunk.logical).into());
        }
        let is_dup = chunk.kind & block_group::DUP != 0;
        if count == 0 || (is_dup && count != 2) || (chunk.is_single() && count != 1) {
            return Err(corrupt("num_stripes", len_u64(count)).into());
        }
        for &(_, physical) in &chunk.stripes {
            if physical.checked_add(chunk.length).is_none() {
                return Err(corrupt("physical address", physical).into());
            }
        }
        Ok((chunk, CHUNK_BYTES.saturating_add(count.saturating_mul(STRIPE_BYTES))))
    }

    fn is_single(&self) -> bool {
        self.kind & block_group::PROFILE == 0
    }

    /// True if every stripe is a whole copy of the chunk.
    fn is_mirrored(&self) -> bool {
        let profile = self.kind & block_group::PROFILE;
        profile & !(block_group::DUP | block_group::RAID1) == 0 || self.stripes.len() == 1
    }

    /// True if all of the chunk can be written: single or DUP.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.kind & block_group::PROFILE, 0 | block_group::DUP)
    }

    /// The address behind its last one.
    pub(crate) fn end(&self) -> u64 {
        // Checked when it was parsed.
        self.logical.saturating_add(self.length)
    }
}

fn stripe(bytes: &[u8], index: usize) -> Result<(u64, u64)> {
    let at = CHUNK_BYTES.saturating_add(index.saturating_mul(STRIPE_BYTES));
    let stripe = field::slice(bytes, at, STRIPE_BYTES)?;
    Ok((le_u64(stripe, 0)?, le_u64(stripe, 8)?))
}

/// All chunks of a volume.
#[derive(Debug, Clone)]
pub(crate) struct ChunkMap {
    device_id: u64,
    chunks: BTreeMap<u64, Chunk>,
}

impl ChunkMap {
    /// The chunks of the superblock.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn system(superblock: &Superblock) -> Result<Self> {
        let mut map = Self { device_id: superblock.device_id, chunks: BTreeMap::new() };
        let mut rest = superblock.system_chunks.as_slice();
        while !rest.is_empty() {
            let key = Key::read(rest, 0)?;
            let chunk = rest.get(KEY_BYTES..).unwrap_or_default();
            let (parsed, len) = Chunk::parse(key, chunk, superblock)?;
            map.insert(parsed)?;
            rest = chunk.get(len..).unwrap_or_default();
        }
        Ok(map)
    }

    /// Adds a chunk; the same one again is nothing new.
    ///
    /// # Errors
    /// `Corrupt` if it overlaps another one; `Limit` if there are too many.
    pub(crate) fn insert(&mut self, chunk: Chunk) -> Result<()> {
        let before = self.chunks.range(..chunk.end()).next_back();
        if let Some((&at, known)) = before {
            if *known == chunk {
                return Ok(());
            }
            if known.end() > chunk.logical {
                let object = format!("chunk {}", chunk.logical);
                return Err(Corrupt::new("chunk", Defect::Overlap(at)).of(object).into());
            }
        }
        if self.chunks.len() >= CHUNKS_MAX {
            let limit = len_u64(CHUNKS_MAX);
            return Err(Error::limit("number of chunks", limit, limit.saturating_add(1)));
        }
        self.chunks.insert(chunk.logical, chunk);
        Ok(())
    }

    /// All chunks, by logical address.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.values()
    }

    /// The chunk that has the address.
    ///
    /// # Errors
    /// `Corrupt` if none has.
    pub(crate) fn chunk_of(&self, logical: u64) -> Result<&Chunk> {
        let found = self.chunks.range(..=logical).next_back().map(|(_, chunk)| chunk);
        match found {
            Some(chunk) if logical < chunk.end() => Ok(chunk),
            _ => {
                let defect = Defect::Unmapped { logical, len: 1 };
                Err(Corrupt::new("chunk tree", defect).into())
            }
        }
    }

    /// The physical addresses of the copies of `len` bytes at `logical`, which must lie in one chunk. Not empty.
    ///
    /// # Errors
    /// * `Corrupt` - no chunk has them all.
    /// * `Unsupported` - the profile stripes over devices, or none of the copies is on this device.
    pub(crate) fn copies(&self, logical: u64, len: u64) -> Result<Vec<u64>> {
        let chunk = self.chunk_of(logical)?;
        if sub(chunk.end(), logical)? < len {
            let defect = Defect::Unmapped { logical, len };
            return Err(Corrupt::new("chunk tree", defect).into());
        }
        if !chunk.is_mirrored() {
            let profile = block_group::profile_name(chunk.kind);
            return Err(Error::unsupported(format!("the Btrfs profile {profile}")));
        }
        let inside = sub(logical, chunk.logical)?;
        let here = chunk.stripes.iter().filter(|(device, _)| *device == self.device_id);
        let copies: Vec<u64> =
            here.map(|&(_, physical)| Ok(add(physical, inside)?)).collect::<Result<_>>()?;
        if copies.is_empty() {
            let what =
                format!("a Btrfs chunk (at {}) that is only on other devices", chunk.logical);
            return Err(Error::unsupported(what));
        }
        Ok(copies)
    }

    /// How many bytes from `logical` on lie in the same chunk.
    ///
    /// # Errors
    /// `Corrupt` if no chunk has the address.
    pub(crate) fn run(&self, logical: u64) -> Result<u64> {
        Ok(sub(self.chunk_of(logical)?.end(), logical)?)
    }
}
