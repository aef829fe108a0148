//! The superblock: geometry, features and the counters of the whole file system.
//!
//! Format: "XFS Algorithms & Data Structures", section "Superblocks". One sector, big-endian. Only the first
//! one, in allocation group 0, is used; the others are copies for `xfs_repair`.

mod address;

pub(crate) use address::Outside;

use super::checksum;
use super::feature::{Features, incompat};
use super::units::{FsBlock, InodeNumber};
use crate::bytes::arith::{div_ceil, mul, pow2};
use crate::bytes::field::{self, be_u16, be_u32, be_u64, put_be_u16, put_be_u64, u8_at};
use crate::bytes::guid::Uuid;
use crate::disk::SECTOR_BYTES;
use crate::error::{Corrupt, Result};
use std::ops::RangeInclusive;

/// "XFSB".
pub(crate) const MAGIC: u32 = 0x5846_5342;
const VERSION_AT: usize = 100;
const CRC_AT: usize = 224;
const INODES_AT: usize = 128;
const FREE_INODES_AT: usize = 136;
const FREE_BLOCKS_AT: usize = 144;
const QUOTA_FLAGS_AT: usize = 176;
/// `sb_flags`: only read-only mounts are allowed.
const FLAG_READ_ONLY: u8 = 1;
/// `sb_qflags`: usage of users, groups or projects is counted.
const QUOTAS_COUNTED: u16 = 0x1 | 0x8 | 0x40;
/// `sb_qflags`: what was counted is right, so that a mount need not count again.
const QUOTAS_CHECKED: u16 = 0x4 | 0x20 | 0x100 | 0x400;

const BLOCK_LOG: RangeInclusive<u8> = 9..=16;
const SECTOR_LOG: RangeInclusive<u8> = 9..=15;
const INODE_LOG: RangeInclusive<u8> = 8..=11;
/// Smallest allocation group, in blocks, that leaves room for its headers.
const AG_BLOCKS_MIN: u32 = 5;
/// Bound on the number of allocation groups: 1 PiB of groups of 1 GiB.
const AGS_MAX: u32 = 1 << 20;
/// Largest directory block: 64 KiB.
const DIRECTORY_BLOCK_LOG_MAX: u8 = 16;

/// What can be wrong with a superblock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockDefect {
    #[error("magic is {0:#x}, not \"XFSB\"")]
    Magic(u32),
    #[error("version {0} is not 4 or 5")]
    Version(u16),
    #[error("{field}: logarithm {log} does not fit {size}")]
    Log { field: &'static str, log: u8, size: u64 },
    #[error("{0}")]
    Checksum(checksum::ChecksumDefect),
    #[error("{blocks} blocks do not make {groups} allocation groups of {group_blocks}")]
    Geometry { blocks: u64, groups: u32, group_blocks: u32 },
    #[error("file system of {fs_bytes} bytes does not fit a disk of {disk_bytes}")]
    LargerThanDisk { fs_bytes: u64, disk_bytes: u64 },
    #[error("directory blocks of 2^{0} file-system blocks are too large")]
    DirectoryBlock(u8),
    #[error("root directory {0} lies in no allocation group")]
    Root(u64),
    #[error("log of {blocks} blocks at {start} does not lie in one allocation group")]
    LogPlace { start: u64, blocks: u32 },
    #[error("is marked as being made (mkfs did not finish)")]
    InProgress,
}

/// The superblock.
///
/// | offset | size | spec | here |
/// |-------:|-----:|------|------|
/// | 0 | 4 | sb_magicnum | (checked) |
/// | 4, 120 | 4+1 | sb_blocksize, sb_blocklog | block_size_bytes, block_log |
/// | 8 | 8 | sb_dblocks | blocks |
/// | 16 | 8 | sb_rblocks | realtime_blocks |
/// | 32 | 16 | sb_uuid | uuid |
/// | 48, 96 | 8+4 | sb_logstart, sb_logblocks | log_start, log_blocks |
/// | 56 | 8 | sb_rootino | root |
/// | 64, 72 | 8+8 | sb_rbmino, sb_rsumino | realtime_inodes |
/// | 84 | 4 | sb_agblocks | ag_blocks |
/// | 88 | 4 | sb_agcount | ag_count |
/// | 100 | 2 | sb_versionnum | features.version |
/// | 102, 121 | 2+1 | sb_sectsize, sb_sectlog | sector_size_bytes |
/// | 104, 122 | 2+1 | sb_inodesize, sb_inodelog | inode_size_bytes, inode_log |
/// | 106, 123 | 2+1 | sb_inopblock, sb_inopblog | inodes_per_block_log |
/// | 108 | 12 | sb_fname | label |
/// | 124 | 1 | sb_agblklog | ag_block_log |
/// | 126 | 1 | sb_inprogress | (checked) |
/// | 127 | 1 | sb_imax_pct | inode_percent_max |
/// | 128 | 8 | sb_icount | inodes |
/// | 136 | 8 | sb_ifree | free_inodes |
/// | 144 | 8 | sb_fdblocks | free_blocks |
/// | 160, 168, 232 | 8+8+8 | sb_uquotino, sb_gquotino, sb_pquotino | quota_inodes |
/// | 176 | 2 | sb_qflags | quota_flags |
/// | 180 | 4 | sb_inoalignmt | inode_alignment_blocks |
/// | 178 | 1 | sb_flags | is_read_only |
/// | 184, 188 | 4+4 | sb_unit, sb_width | (not needed) |
/// | 192 | 1 | sb_dirblklog | directory_block_log |
/// | 193, 194 | 1+2 | sb_logsectlog, sb_logsectsize | log_sector_size_bytes |
/// | 196 | 4 | sb_logsunit | log_stripe_bytes |
/// | 200 | 4 | sb_features2 | features.features2 |
/// | 208..224 | 4 each | sb_features_compat, ro_compat, incompat, log_incompat | features |
/// | 224 | 4 | sb_crc | (checked) |
/// | 228 | 4 | sb_spino_align | sparse_alignment_blocks |
/// | 240 | 8 | sb_lsn | (kept) |
/// | 248 | 16 | sb_meta_uuid | meta_uuid |
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    pub(crate) block_size_bytes: u32,
    pub(crate) block_log: u8,
    pub(crate) sector_size_bytes: u32,
    pub(crate) inode_size_bytes: u16,
    pub(crate) inode_log: u8,
    pub(crate) inodes_per_block_log: u8,
    pub(crate) ag_block_log: u8,
    pub(crate) directory_block_log: u8,
    pub(crate) blocks: u64,
    pub(crate) realtime_blocks: u64,
    pub(crate) ag_blocks: u32,
    pub(crate) ag_count: u32,
    pub(crate) log_start: FsBlock,
    pub(crate) log_blocks: u32,
    pub(crate) log_sector_size_bytes: u32,
    pub(crate) log_stripe_bytes: u32,
    pub(crate) root: InodeNumber,
    /// Bitmap and summary of the realtime device.
    pub(crate) realtime_inodes: [InodeNumber; 2],
    /// Users, groups, projects; 0 or all ones for none.
    pub(crate) quota_inodes: [InodeNumber; 3],
    pub(crate) quota_flags: u16,
    pub(crate) inode_alignment_blocks: u32,
    pub(crate) sparse_alignment_blocks: u32,
    pub(crate) inode_percent_max: u8,
    pub(crate) features: Features,
    pub(crate) uuid: Uuid,
    /// What every self-describing structure carries: `sb_meta_uuid` with that feature, else `sb_uuid`.
    pub(crate) meta_uuid: Uuid,
    pub(crate) label: Vec<u8>,
    /// Inodes that exist, used or free.
    pub(crate) inodes: u64,
    pub(crate) free_inodes: u64,
    /// Free data blocks, with those that the free-space trees and the free lists use.
    pub(crate) free_blocks: u64,
    bytes: Vec<u8>,
}

fn defect(defect: SuperblockDefect) -> crate::error::Error {
    Corrupt::new("XFS superblock", defect).at(0).into()
}

fn require(holds: bool, wrong: SuperblockDefect) -> Result<()> {
    if holds { Ok(()) } else { Err(defect(wrong)) }
}

/// Checks a pair of a size and its logarithm.
fn check_log(name: &'static str, log: u8, size: u64, range: &RangeInclusive<u8>) -> Result<()> {
    let fits = range.contains(&log) && pow2(u32::from(log))? == size;
    require(fits, SuperblockDefect::Log { field: name, log, size })
}

/// What all copies of the superblock agree about: the size of the file system and of its parts, and where the log
/// lies. Offset and length in bytes, and the name for messages.
const GEOMETRY: [(usize, usize, &str); 8] = [
    (0, 4, "magic number"),
    (4, 4, "block size"),
    (8, 8, "number of blocks"),
    (48, 8, "place of the log"),
    (84, 8, "size or number of allocation groups"),
    (96, 4, "size of the log"),
    (102, 4, "size of sectors or inodes"),
    (180, 4, "alignment of inodes"),
];

impl Superblock {
    /// The first thing that `copy`, the superblock of another allocation group, says otherwise.
    pub(crate) fn differs_from_copy(&self, copy: &[u8]) -> Option<&'static str> {
        let differs = |&&(at, len, _): &&(usize, usize, &str)| {
            field::slice(&self.bytes, at, len) != field::slice(copy, at, len)
        };
        GEOMETRY.iter().find(differs).map(|&(_, _, name)| name)
    }

    /// Size of the sector that holds the superblock, as its first bytes say.
    ///
    /// # Errors
    /// `Corrupt` if it is no XFS superblock.
    pub(crate) fn sector_size(first_bytes: &[u8; SECTOR_BYTES]) -> Result<usize> {
        let magic = be_u32(first_bytes, 0)?;
        require(magic == MAGIC, SuperblockDefect::Magic(magic))?;
        let (log, size) = (u8_at(first_bytes, 121)?, be_u16(first_bytes, 102)?);
        check_log("sector", log, u64::from(size), &SECTOR_LOG)?;
        Ok(usize::from(size))
    }

    /// Parses the sector of the superblock of a file system on a disk of `disk_bytes`.
    ///
    /// # Errors
    /// * `Corrupt` - it makes no sense.
    /// * `Unsupported` - a feature prevents reading.
    pub(crate) fn parse(bytes: &[u8], disk_bytes: u64) -> Result<Self> {
        let magic = be_u32(bytes, 0)?;
        require(magic == MAGIC, SuperblockDefect::Magic(magic))?;
        let features = parse_features(bytes)?;
        require(
            (4..=5).contains(&features.number()),
            SuperblockDefect::Version(features.number()),
        )?;
        if features.has_crc() {
            let sum = checksum::verify(bytes, CRC_AT)?;
            sum.map_err(|wrong| defect(SuperblockDefect::Checksum(wrong)))?;
        }
        features.check_readable()?;
        let superblock = Self::read_fields(bytes, features)?;
        superblock.check_sizes()?;
        superblock.check_geometry(disk_bytes)?;
        Ok(superblock)
    }

    fn read_fields(bytes: &[u8], features: Features) -> Result<Self> {
        let inode = |at| be_u64(bytes, at).map(InodeNumber);
        let uuid = Uuid(field::array(bytes, 32)?);
        let has_meta_uuid = features.has_incompat(incompat::META_UUID);
        let meta_uuid = if has_meta_uuid { Uuid(field::array(bytes, 248)?) } else { uuid };
        let label = field::slice(bytes, 108, 12)?;
        let sector_size_bytes = u32::from(be_u16(bytes, 102)?);
        // Filled in only where it differs.
        let log_sector = u32::from(be_u16(bytes, 194)?);
        require(u8_at(bytes, 126)? == 0, SuperblockDefect::InProgress)?;
        Ok(Self {
            block_size_bytes: be_u32(bytes, 4)?,
            block_log: u8_at(bytes, 120)?,
            sector_size_bytes,
            inode_size_bytes: be_u16(bytes, 104)?,
            inode_log: u8_at(bytes, 122)?,
            inodes_per_block_log: u8_at(bytes, 123)?,
            ag_block_log: u8_at(bytes, 124)?,
            directory_block_log: u8_at(bytes, 192)?,
            blocks: be_u64(bytes, 8)?,
            realtime_blocks: be_u64(bytes, 16)?,
            ag_blocks: be_u32(bytes, 84)?,
            ag_count: be_u32(bytes, 88)?,
            log_start: FsBlock(be_u64(bytes, 48)?),
            log_blocks: be_u32(bytes, 96)?,
            log_sector_size_bytes: if log_sector == 0 { 512 } else { log_sector },
            log_stripe_bytes: be_u32(bytes, 196)?,
            root: inode(56)?,
            realtime_inodes: [inode(64)?, inode(72)?],
            quota_inodes: [inode(160)?, inode(168)?, inode(232)?],
            quota_flags: be_u16(bytes, QUOTA_FLAGS_AT)?,
            inode_alignment_blocks: be_u32(bytes, 180)?,
            sparse_alignment_blocks: be_u32(bytes, 228)?,
            inode_percent_max: u8_at(bytes, 127)?,
            features,
            uuid,
            meta_uuid,
            label: label.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
            inodes: be_u64(bytes, INODES_AT)?,
            free_inodes: be_u64(bytes, FREE_INODES_AT)?,
            free_blocks: be_u64(bytes, FREE_BLOCKS_AT)?,
            bytes: bytes.to_vec(),
        })
    }

    fn check_sizes(&self) -> Result<()> {
        let block = u64::from(self.block_size_bytes);
        check_log("block", self.block_log, block, &BLOCK_LOG)?;
        check_log("inode", self.inode_log, u64::from(self.inode_size_bytes), &INODE_LOG)?;
        let per_block = self.block_log.checked_sub(self.inode_log);
        let log = self.inodes_per_block_log;
        let inopblock = u64::from(be_u16(&self.bytes, 106)?);
        let wrong = SuperblockDefect::Log { field: "inodes per block", log, size: inopblock };
        require(per_block == Some(log) && pow2(u32::from(log))? == inopblock, wrong)?;
        require(
            self.sector_size_bytes <= self.block_size_bytes,
            SuperblockDefect::Log {
                field: "sector",
                log: u8_at(&self.bytes, 121)?,
                size: u64::from(self.sector_size_bytes),
            },
        )?;
        let directory = self.directory_block_log;
        let fits = directory.saturating_add(self.block_log) <= DIRECTORY_BLOCK_LOG_MAX;
        require(fits, SuperblockDefect::DirectoryBlock(directory))
    }

    fn check_geometry(&self, disk_bytes: u64) -> Result<()> {
        let (blocks, groups, group_blocks) = (self.blocks, self.ag_count, self.ag_blocks);
        let wrong = SuperblockDefect::Geometry { blocks, groups, group_blocks };
        let fits = group_blocks >= AG_BLOCKS_MIN
            && (1..=AGS_MAX).contains(&groups)
            && div_ceil(blocks, u64::from(group_blocks))? == u64::from(groups);
        require(fits, wrong)?;
        let log = self.ag_block_log;
        let wrong =
            SuperblockDefect::Log { field: "allocation group", log, size: u64::from(group_blocks) };
        require(log <= 31, wrong.clone())?;
        let size = pow2(u32::from(log))?;
        require(u64::from(group_blocks) <= size && mul(u64::from(group_blocks), 2)? > size, wrong)?;
        let fs_bytes = mul(blocks, u64::from(self.block_size_bytes))?;
        require(fs_bytes <= disk_bytes, SuperblockDefect::LargerThanDisk { fs_bytes, disk_bytes })?;
        require(self.inode_place(self.root).is_ok(), SuperblockDefect::Root(self.root.0))?;
        let (start, blocks) = (self.log_start.0, self.log_blocks);
        let is_inside = start == 0 || self.check_run(self.log_start, blocks).is_ok();
        require(is_inside, SuperblockDefect::LogPlace { start, blocks })
    }

    /// The sector with its present counters and a checksum that fits.
    ///
    /// # Errors
    /// `Corrupt` only if the sector is shorter than the structure, which `parse` excludes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        put_be_u16(&mut bytes, VERSION_AT, self.features.version)?;
        put_be_u64(&mut bytes, INODES_AT, self.inodes)?;
        put_be_u64(&mut bytes, FREE_INODES_AT, self.free_inodes)?;
        put_be_u64(&mut bytes, FREE_BLOCKS_AT, self.free_blocks)?;
        put_be_u16(&mut bytes, QUOTA_FLAGS_AT, self.quota_flags)?;
        if self.features.has_crc() {
            checksum::seal(&mut bytes, CRC_AT)?;
        }
        Ok(bytes)
    }

    /// Version 5: every structure has a checksum and says where it belongs.
    pub(crate) fn has_crc(&self) -> bool {
        self.features.has_crc()
    }

    /// True if only read-only mounts are allowed.
    pub(crate) fn is_read_only(&self) -> bool {
        u8_at(&self.bytes, 178).is_ok_and(|flags| flags & FLAG_READ_ONLY != 0)
    }

    /// True if quotas are counted, and the next mount trusts what was counted.
    pub(crate) fn has_checked_quotas(&self) -> bool {
        self.quota_flags & QUOTAS_COUNTED != 0 && self.quota_flags & QUOTAS_CHECKED != 0
    }

    /// Makes the next mount count quotas anew.
    pub(crate) fn forget_checked_quotas(&mut self) {
        self.quota_flags &= !QUOTAS_CHECKED;
    }

    /// The block size as a factor.
    pub(crate) fn block_size(&self) -> u64 {
        u64::from(self.block_size_bytes)
    }
}

fn parse_features(bytes: &[u8]) -> Result<Features> {
    /// `sb_versionnum`: `sb_features2` counts.
    const MORE_BITS: u16 = 0x8000;
    let version = be_u16(bytes, VERSION_AT)?;
    let mut features =
        Features { version, features2: 0, ro_compat: 0, incompat: 0, log_incompat: 0 };
    if version & MORE_BITS != 0 {
        features.features2 = be_u32(bytes, 200)?;
    }
    if features.has_crc() {
        features.ro_compat = be_u32(bytes, 212)?;
        features.incompat = be_u32(bytes, 216)?;
        features.log_incompat = be_u32(bytes, 220)?;
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::xfs::units::{AgBlock, AgInode, AgNumber};

    /// A version 5 superblock of 4 groups of 4096 blocks of 4 KiB.
    fn sector() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let mut put = |at: usize, value: u64, len: usize| {
            bytes[at..at + len].copy_from_slice(&value.to_be_bytes()[8 - len..]);
        };
        let fields: &[(usize, u64, usize)] = &[
            (0, 0x5846_5342, 4),
            (4, 4096, 4),
            (8, 16384, 8),
            (48, 8199, 8),
            (56, 128, 8),
            (84, 4096, 4),
            (88, 4, 4),
            (96, 3075, 4),
            (100, 0xb4a5, 2),
            (102, 512, 2),
            (104, 512, 2),
            (106, 8, 2),
            (120, 12, 1),
            (121, 9, 1),
            (122, 9, 1),
            (123, 3, 1),
            (124, 12, 1),
            (128, 64, 8),
            (144, 13273, 8),
            (200, 0x18a, 4),
            (212, 0xf, 4),
            (216, 0x2b, 4),
        ];
        for &(at, value, len) in fields {
            put(at, value, len);
        }
        bytes[108..112].copy_from_slice(b"root");
        bytes
    }

    fn parse(mut bytes: Vec<u8>) -> Result<Superblock> {
        checksum::seal(&mut bytes, CRC_AT).unwrap();
        Superblock::parse(&bytes, 64 << 20)
    }

    fn message(at: usize, value: &[u8]) -> String {
        let mut bytes = sector();
        bytes[at..at + value.len()].copy_from_slice(value);
        parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_packed_and_unpacked() {
        let superblock = parse(sector()).unwrap();
        assert_eq!(superblock.label, b"root");
        let block = superblock.join(AgNumber(2), AgBlock(7)).unwrap();
        assert_eq!(block, FsBlock(0x2007));
        assert_eq!(superblock.split(block).unwrap(), (AgNumber(2), AgBlock(7)));
        assert_eq!(superblock.daddr(block).unwrap(), (2 * 4096 + 7) * 8);
        let inode = superblock.join_inode(AgNumber(1), AgInode(131)).unwrap();
        assert_eq!(superblock.inode_place(inode).unwrap(), (FsBlock(0x1010), 3 * 512));
        assert!(superblock.split(FsBlock(0x4000)).is_err());
        assert!(superblock.check_run(FsBlock(0xfff), 2).is_err());
        assert!(superblock.split_inode(InodeNumber(u64::MAX)).is_err());
    }

    #[test]
    fn defects_are_exact() {
        let wrong = "XFS superblock at 0x0: ";
        let cases: &[(usize, &[u8], &str)] = &[
            (0, b"XFSX", "magic is 0x58465358, not \"XFSB\""),
            (100, &[0xb4, 0xa6], "version 6 is not 4 or 5"),
            (120, &[13], "block: logarithm 13 does not fit 4096"),
            (88, &[0, 0, 0, 5], "16384 blocks do not make 5 allocation groups of 4096"),
            (192, &[5], "directory blocks of 2^5 file-system blocks are too large"),
            (56, &[0, 1, 0, 0, 0, 0, 0, 0], "root directory 281474976710656 lies in no"),
            (126, &[1], "is marked as being made"),
        ];
        for (at, value, expected) in cases {
            let message = message(*at, value);
            assert!(message.starts_with(&format!("{wrong}{expected}")), "{message}");
        }
        let error = Superblock::parse(&sector(), 64 << 20).unwrap_err().to_string();
        assert!(error.contains("checksum is 0x0"), "{error}");
        let mut bytes = sector();
        checksum::seal(&mut bytes, CRC_AT).unwrap();
        let error = Superblock::parse(&bytes, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("does not fit a disk of 1048576"), "{error}");
    }

    #[test]
    fn counters_survive_encoding() {
        let mut superblock = parse(sector()).unwrap();
        superblock.free_blocks = 5;
        let again = Superblock::parse(&superblock.encode().unwrap(), 64 << 20).unwrap();
        assert_eq!((again.free_blocks, again.inodes), (5, 64));
    }
}
