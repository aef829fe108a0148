//! The superblock and its copies.
//!
//! Format: Btrfs documentation, "On-disk format", section "Superblock". 4096 bytes, little-endian, at 64 KiB, 64 MiB and
//! 256 GiB of the device, as far as the device reaches.
//!
//! | offset | size | field                 | valid when                                             |
//! |-------:|-----:|-----------------------|--------------------------------------------------------|
//! |    0x0 |   32 | csum                  | of the bytes behind it                                 |
//! |   0x20 |   16 | fsid                  | any                                                    |
//! |   0x30 |    8 | bytenr                | where this copy stands                                 |
//! |   0x38 |    8 | flags                 | see [`flag`]                                           |
//! |   0x40 |    8 | magic                 | `_BHRfS_M`                                             |
//! |   0x48 |    8 | generation            | that of the root of the tree of trees                  |
//! |   0x50 |    8 | root                  | logical address, multiple of sectorsize                |
//! |   0x58 |    8 | chunk_root            | as root                                                |
//! |   0x60 |    8 | log_root              | as root; 0: no log                                     |
//! |   0x70 |    8 | total_bytes           | of all devices                                         |
//! |   0x78 |    8 | bytes_used            | up to total_bytes                                      |
//! |   0x88 |    8 | num_devices           | 1 and more                                             |
//! |   0x90 |    4 | sectorsize            | power of two, 4096 to 65536                            |
//! |   0x94 |    4 | nodesize              | power of two, sectorsize to 65536                      |
//! |   0xa0 |    4 | sys_chunk_array_size  | up to 2048                                             |
//! |   0xa4 |    8 | chunk_root_generation | that of the root of the chunk tree                     |
//! |   0xac |    8 | compat_flags          | any                                                    |
//! |   0xb4 |    8 | compat_ro_flags       | see `feature`                                          |
//! |   0xbc |    8 | incompat_flags        | see `feature`                                          |
//! |   0xc4 |    2 | csum_type             | 0..=3                                                  |
//! |   0xc6 |    1 | root_level            | 0..=7                                                  |
//! |   0xc7 |    1 | chunk_root_level      | 0..=7                                                  |
//! |   0xc8 |    1 | log_root_level        | 0..=7                                                  |
//! |   0xc9 |   98 | dev_item              | devid at 0, total_bytes at 8, uuid at 66, fsid at 82   |
//! |  0x12b |  256 | label                 | up to the first NUL                                    |
//! |  0x22b |    8 | cache_generation      | equal to generation: free space cache of version 1 is right |
//! |  0x23b |   16 | metadata_uuid         | with METADATA_UUID: what tree blocks carry as fsid     |
//! |  0x32b | 2048 | sys_chunk_array       | pairs of key and chunk                                 |
//! |  0xb2b |  672 | super_roots           | four backups of 168 bytes                              |

use super::checksum::Checksum;
use super::feature::{Features, incompat};
use crate::bytes::field::{self, le_u16, le_u32, le_u64, u8_at};
use crate::bytes::guid::Uuid;
use crate::disk::{Disk, check_range};
use crate::error::{Corrupt, Error, ErrorKind, Result};

/// Size of a copy, in bytes.
pub(crate) const SUPERBLOCK_BYTES: usize = 4096;

/// Where the copies stand, in bytes.
pub(crate) const COPIES: [u64; 3] = [64 * 1024, 64 * 1024 * 1024, 256 * 1024 * 1024 * 1024];

/// A tree has at most so many levels.
pub(crate) const LEVELS_MAX: u8 = 8;

const MAGIC: &[u8] = b"_BHRfS_M";
const UNIT_BYTES_MIN: u32 = 4096;
const UNIT_BYTES_MAX: u32 = 65536;
const SYSTEM_CHUNKS_AT: usize = 0x32b;
const SYSTEM_CHUNKS_BYTES_MAX: u32 = 2048;

/// Bits of `flags`.
pub(crate) mod flag {
    /// Errors were found.
    pub(crate) const ERROR: u64 = 1 << 2;
    /// The volume is the seed of others, and only read.
    pub(crate) const SEEDING: u64 = 1 << 32;
    /// Written by `btrfs-image`: only metadata; two versions.
    pub(crate) const METADUMP: u64 = 1 << 33 | 1 << 34;
    /// A conversion was interrupted: of the UUID, the block group tree, or the checksums.
    pub(crate) const CHANGING: u64 = 1 << 35 | 1 << 36 | 1 << 38 | 1 << 39 | 1 << 40;
}

/// What can be wrong with a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// No magic.
    #[error("not a Btrfs superblock")]
    Magic,
    /// The checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// It belongs elsewhere.
    #[error("it says that it stands at {0:#x}")]
    Place(u64),
    /// A field is outside its range.
    #[error("{0} is {1}")]
    Value(&'static str, u64),
}

/// A superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The 4096 bytes.
    pub(crate) raw: Vec<u8>,
    /// The algorithm of all checksums.
    pub(crate) checksum: Checksum,
    /// UUID of the file system.
    pub(crate) uuid: Uuid,
    /// What tree blocks carry as UUID.
    pub(crate) metadata_uuid: Uuid,
    /// See [`flag`].
    pub(crate) flags: u64,
    /// Number of the last transaction.
    pub(crate) generation: u64,
    /// The tree of trees.
    pub(crate) root: u64,
    /// Its level.
    pub(crate) root_level: u8,
    /// The chunk tree.
    pub(crate) chunk_root: u64,
    /// Its level.
    pub(crate) chunk_root_level: u8,
    /// The transaction that wrote it.
    pub(crate) chunk_root_generation: u64,
    /// The tree of log trees; 0 if there is none.
    pub(crate) log_root: u64,
    /// Its level.
    pub(crate) log_root_level: u8,
    /// Space of all devices, in bytes.
    pub(crate) total_bytes: u64,
    /// Space in use, in bytes.
    pub(crate) bytes_used: u64,
    /// How many devices there are.
    pub(crate) device_count: u64,
    /// Number of this device.
    pub(crate) device_id: u64,
    /// Space of this device, in bytes.
    pub(crate) device_bytes: u64,
    /// Unit of data, in bytes.
    pub(crate) sector_bytes: u32,
    /// Size of a tree block, in bytes.
    pub(crate) node_bytes: u32,
    /// Features.
    pub(crate) features: Features,
    /// Label, unescaped.
    pub(crate) label: Vec<u8>,
    /// For which transaction the free space cache of version 1 is right.
    pub(crate) cache_generation: u64,
    /// Pairs of key and chunk.
    pub(crate) system_chunks: Vec<u8>,
}

impl Superblock {
    /// Parses the copy that stands at `at`.
    ///
    /// # Errors
    /// `Corrupt`; `Unsupported` for an unknown checksum or a feature that prevents reading.
    pub(crate) fn parse(raw: Vec<u8>, at: u64) -> Result<Self> {
        let corrupt = |defect| Corrupt::new("superblock", defect).at(at);
        if field::slice(&raw, 0x40, MAGIC.len())? != MAGIC {
            return Err(corrupt(Defect::Magic).into());
        }
        let csum_type = le_u16(&raw, 0xc4)?;
        let Some(checksum) = Checksum::from_type(csum_type) else {
            return Err(Error::unsupported(format!("Btrfs checksum type {csum_type}")));
        };
        if !checksum.agrees(&raw) {
            return Err(corrupt(Defect::Checksum).into());
        }
        if le_u64(&raw, 0x30)? != at {
            return Err(corrupt(Defect::Place(le_u64(&raw, 0x30)?)).into());
        }
        let superblock = Self::fields(raw, checksum)?;
        superblock.features.check_readable()?;
        superblock.check().map_err(corrupt)?;
        Ok(superblock)
    }

    fn fields(raw: Vec<u8>, checksum: Checksum) -> Result<Self> {
        let features = Features { incompat: le_u64(&raw, 0xbc)?, compat_ro: le_u64(&raw, 0xb4)? };
        let uuid = Uuid(field::array(&raw, 0x20)?);
        let metadata_uuid = Uuid(field::array(&raw, 0x23b)?);
        let has_own = features.has_incompat(incompat::METADATA_UUID);
        let label = field::slice(&raw, 0x12b, 256)?;
        let system_chunks_bytes = le_u32(&raw, 0xa0)?.min(SYSTEM_CHUNKS_BYTES_MAX);
        let system_chunks_bytes = crate::bytes::arith::to(system_chunks_bytes)?;
        Ok(Self {
            checksum,
            uuid,
            metadata_uuid: if has_own { metadata_uuid } else { uuid },
            flags: le_u64(&raw, 0x38)?,
            generation: le_u64(&raw, 0x48)?,
            root: le_u64(&raw, 0x50)?,
            root_level: u8_at(&raw, 0xc6)?,
            chunk_root: le_u64(&raw, 0x58)?,
            chunk_root_level: u8_at(&raw, 0xc7)?,
            chunk_root_generation: le_u64(&raw, 0xa4)?,
            log_root: le_u64(&raw, 0x60)?,
            log_root_level: u8_at(&raw, 0xc8)?,
            total_bytes: le_u64(&raw, 0x70)?,
            bytes_used: le_u64(&raw, 0x78)?,
            device_count: le_u64(&raw, 0x88)?,
            device_id: le_u64(&raw, 0xc9)?,
            device_bytes: le_u64(&raw, 0xd1)?,
            sector_bytes: le_u32(&raw, 0x90)?,
            node_bytes: le_u32(&raw, 0x94)?,
            features,
            label: label.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
            cache_generation: le_u64(&raw, 0x22b)?,
            system_chunks: field::slice(&raw, SYSTEM_CHUNKS_AT, system_chunks_bytes)?.to_vec(),
            raw,
        })
    }

    fn check(&self) -> Result<(), Defect> {
        let is_unit = |bytes: u32, min: u32| {
            bytes.is_power_of_two() && (min..=UNIT_BYTES_MAX).contains(&bytes)
        };
        if !is_unit(self.sector_bytes, UNIT_BYTES_MIN) {
            return Err(Defect::Value("sectorsize", self.sector_bytes.into()));
        }
        if !is_unit(self.node_bytes, self.sector_bytes) {
            return Err(Defect::Value("nodesize", self.node_bytes.into()));
        }
        for (name, address) in
            [("root", self.root), ("chunk_root", self.chunk_root), ("log_root", self.log_root)]
        {
            if !self.is_aligned(address) {
                return Err(Defect::Value(name, address));
            }
        }
        for (name, level) in [
            ("root_level", self.root_level),
            ("chunk_root_level", self.chunk_root_level),
            ("log_root_level", self.log_root_level),
        ] {
            if level >= LEVELS_MAX {
                return Err(Defect::Value(name, level.into()));
            }
        }
        if self.device_count == 0 {
            return Err(Defect::Value("num_devices", 0));
        }
        // The next transaction must have a number.
        if self.generation >= u64::MAX / 2 {
            return Err(Defect::Value("generation", self.generation));
        }
        Ok(())
    }

    /// True if a block of data or of a tree can stand at this logical address.
    pub(crate) fn is_aligned(&self, address: u64) -> bool {
        address.is_multiple_of(u64::from(self.sector_bytes))
    }

    /// Where the copies of this device stand, the first one first.
    pub(crate) fn copies(&self, disk_bytes: u64) -> impl Iterator<Item = u64> {
        let end = self.device_bytes.min(disk_bytes);
        let fits = move |at: &u64| check_range(end, *at, SUPERBLOCK_BYTES).is_ok();
        COPIES.into_iter().filter(fits)
    }
}

/// A superblock, and what is wrong with the copies that were not taken.
#[derive(Debug)]
pub(crate) struct Found {
    /// The superblock.
    pub(crate) superblock: Superblock,
    /// The first copy is damaged, and another one was taken: fit for reading only.
    pub(crate) first_copy: Option<Error>,
}

/// Reads the superblock of `disk`: the first copy, or if that is damaged the newest of the others.
///
/// # Errors
/// As [`Superblock::parse`] says of the first copy.
pub(crate) fn read(disk: &dyn Disk) -> Result<Found> {
    let [first, others @ ..] = COPIES;
    let error = match read_copy(disk, first) {
        Ok(superblock) => return Ok(Found { superblock, first_copy: None }),
        Err(error) => error,
    };
    if !matches!(error.kind(), ErrorKind::Corrupt(_)) {
        return Err(error);
    }
    let copies = others.into_iter().filter_map(|at| read_copy(disk, at).ok());
    match copies.max_by_key(|superblock| superblock.generation) {
        Some(superblock) => Ok(Found { superblock, first_copy: Some(error) }),
        None => Err(error),
    }
}

fn read_copy(disk: &dyn Disk, at: u64) -> Result<Superblock> {
    Superblock::parse(disk.read_vec(at, SUPERBLOCK_BYTES)?, at)
}
