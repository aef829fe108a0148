//! The superblock; where things lie by its geometry is in `place`.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Super Block". 1024 bytes at
//! byte 1024 of the volume, little-endian. Backup copies are never read or written: the kernel does not keep
//! them up to date either.

mod place;

use super::checksum;
use super::feature::{Features, compat, incompat, ro_compat};
use crate::bytes::arith::{div_ceil, mul, pow2, sub, to};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{self, join_u32, le_u16, le_u32, u8_at};
use crate::bytes::guid::Uuid;
use crate::error::{Corrupt, Result};

/// Where the superblock starts, in bytes.
pub(crate) const SUPERBLOCK_AT_BYTES: u64 = 1024;
/// Its length in bytes.
pub(crate) const SUPERBLOCK_BYTES: usize = 1024;

const MAGIC: u16 = 0xef53;
const LOG_BLOCK_SIZE_MAX: u32 = 6;
const LOG_CLUSTER_SIZE_MAX: u32 = 20;
const INODE_SIZE_MIN: u16 = 128;
const DESCRIPTOR_BYTES_SMALL: u16 = 32;
const DESCRIPTOR_BYTES_LARGE: u16 = 64;
const DESCRIPTOR_BYTES_MAX: u16 = 1024;
/// Inodes below this one are reserved in a revision 0 file system.
const FIRST_INODE_REVISION_0: u32 = 11;
/// Bound on the number of groups, so that no table of ours can grow without end: 512 TiB in 4 KiB blocks.
const GROUPS_MAX: u64 = 1 << 22;

/// Volume unmounted cleanly.
const STATE_VALID: u16 = 1;
/// Errors were found.
const STATE_ERROR: u16 = 2;
/// Directory hashes take characters as unsigned.
const FLAG_UNSIGNED_HASH: u32 = 2;

const FREE_BLOCKS_LOW_AT: usize = 0xc;
const FREE_INODES_AT: usize = 0x10;
const LAST_ORPHAN_AT: usize = 0xe8;
const FREE_BLOCKS_HIGH_AT: usize = 0x158;
const COMPAT_AT: usize = 0x5c;
const INCOMPAT_AT: usize = 0x60;
const RO_COMPAT_AT: usize = 0x64;

/// What can be wrong with a superblock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SuperblockDefect {
    #[error("magic is {0:#x}, not 0xef53")]
    Magic(u16),
    #[error("block size 2^(10+{0}) is outside 1 KiB to 64 KiB")]
    BlockSize(u32),
    #[error("cluster size 2^(10+{0}) is below the block size or too large")]
    ClusterSize(u32),
    #[error("inode size {0} is not a power of two from 128 to the block size")]
    InodeSize(u16),
    #[error("group descriptor size {0} is not a power of two from 32 to 1024")]
    DescriptorSize(u16),
    #[error("{0} blocks per group are not 8 to what one bitmap block holds")]
    BlocksPerGroup(u32),
    #[error("{0} inodes per group are not 8 to what one bitmap block holds")]
    InodesPerGroup(u32),
    #[error("first data block is {0}")]
    FirstDataBlock(u32),
    #[error("{0} blocks do not make a file system")]
    BlocksCount(u64),
    #[error("{fs_bytes} bytes of file system on {disk_bytes} bytes of disk")]
    LargerThanDisk { fs_bytes: u64, disk_bytes: u64 },
    #[error("{inodes} inodes in {groups} groups of {per_group}")]
    InodesCount { inodes: u32, groups: u64, per_group: u32 },
    #[error("{0} block groups are too many")]
    GroupCount(u64),
    #[error("checksum is {stored:#x}, should be {computed:#x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("checksum type {0} is not CRC-32C")]
    ChecksumType(u8),
}

/// The superblock.
///
/// | offset | size | spec | here |
/// |-------:|-----:|------|------|
/// | 0x0 | 4 | s_inodes_count | inodes_count |
/// | 0x4, 0x150 | 4+4 | s_blocks_count_lo, _hi | blocks_count |
/// | 0x14 | 4 | s_first_data_block | first_data_block |
/// | 0x18 | 4 | s_log_block_size | block_size_bytes |
/// | 0x1c | 4 | s_log_cluster_size | cluster_blocks |
/// | 0x20 | 4 | s_blocks_per_group | blocks_per_group |
/// | 0x28 | 4 | s_inodes_per_group | inodes_per_group |
/// | 0x3a | 2 | s_state | state |
/// | 0x48 | 4 | s_creator_os | creator_os |
/// | 0x54 | 4 | s_first_ino | first_inode |
/// | 0x58 | 2 | s_inode_size | inode_size_bytes |
/// | 0x5c | 12 | s_feature_compat, _incompat, _ro_compat | features |
/// | 0x68 | 16 | s_uuid | uuid |
/// | 0x78 | 16 | s_volume_name | label |
/// | 0xce | 2 | s_reserved_gdt_blocks | reserved_gdt_blocks |
/// | 0xe0 | 4 | s_journal_inum | journal_inode |
/// | 0xe4 | 4 | s_journal_dev | journal_device |
/// | 0xe8 | 4 | s_last_orphan | last_orphan |
/// | 0xec | 16 | s_hash_seed | hash_seed |
/// | 0xfc | 1 | s_def_hash_version | default_hash_version |
/// | 0xfe | 2 | s_desc_size | descriptor_bytes |
/// | 0x104 | 4 | s_first_meta_bg | first_meta_bg |
/// | 0x15e | 2 | s_want_extra_isize | want_extra_isize |
/// | 0x160 | 4 | s_flags | hash_is_unsigned |
/// | 0x168 | 8 | s_mmp_block | mmp_block |
/// | 0x174 | 1 | s_log_groups_per_flex | log_groups_per_flex |
/// | 0x175 | 1 | s_checksum_type | (checked: 1) |
/// | 0x240 | 4+4 | s_usr_quota_inum, s_grp_quota_inum | quota_inodes |
/// | 0x24c | 8 | s_backup_bgs | backup_groups |
/// | 0x26c | 4 | s_prj_quota_inum | quota_inodes |
/// | 0x270 | 4 | s_checksum_seed | checksum_seed |
/// | 0x280 | 4 | s_orphan_file_inum | orphan_file_inode |
/// | 0x3fc | 4 | s_checksum | (checked) |
#[derive(Debug, Clone)]
pub(crate) struct Superblock {
    bytes: Vec<u8>,
    pub(crate) inodes_count: u32,
    pub(crate) blocks_count: u64,
    pub(crate) first_data_block: u32,
    pub(crate) block_size_bytes: u32,
    /// Blocks per cluster: 1 without `bigalloc`.
    pub(crate) cluster_blocks: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inode_size_bytes: u16,
    pub(crate) descriptor_bytes: u16,
    pub(crate) group_count: u32,
    state: u16,
    pub(crate) creator_os: u32,
    pub(crate) first_inode: u32,
    pub(crate) features: Features,
    pub(crate) uuid: Uuid,
    pub(crate) label: Vec<u8>,
    pub(crate) reserved_gdt_blocks: u16,
    pub(crate) journal_inode: u32,
    pub(crate) journal_device: u32,
    pub(crate) last_orphan: u32,
    pub(crate) hash_seed: [u32; 4],
    pub(crate) default_hash_version: u8,
    pub(crate) hash_is_unsigned: bool,
    pub(crate) first_meta_bg: u32,
    pub(crate) want_extra_isize: u16,
    pub(crate) mmp_block: u64,
    pub(crate) log_groups_per_flex: u8,
    /// User, group and project quota files; 0 where there is none.
    pub(crate) quota_inodes: [u32; 3],
    backup_groups: [u32; 2],
    pub(crate) orphan_file_inode: u32,
    /// Seed of all metadata checksums but the superblock's; `None` without `metadata_csum`.
    pub(crate) checksum_seed: Option<u32>,
}

fn defect(defect: SuperblockDefect) -> crate::error::Error {
    Corrupt::new("superblock", defect).at(SUPERBLOCK_AT_BYTES).into()
}

fn require(holds: bool, otherwise: SuperblockDefect) -> Result<()> {
    if holds { Ok(()) } else { Err(defect(otherwise)) }
}

impl Superblock {
    /// Parses and checks the superblock of a volume of `disk_bytes`.
    ///
    /// # Errors
    /// `Corrupt` with a [`SuperblockDefect`]; `Unsupported` if a feature prevents reading.
    pub(crate) fn parse(bytes: &[u8], disk_bytes: u64) -> Result<Self> {
        let bytes = field::slice(bytes, 0, SUPERBLOCK_BYTES)?;
        let magic = le_u16(bytes, 0x38)?;
        require(magic == MAGIC, SuperblockDefect::Magic(magic))?;
        let features = Features {
            compat: le_u32(bytes, COMPAT_AT)?,
            incompat: le_u32(bytes, INCOMPAT_AT)?,
            ro_compat: le_u32(bytes, RO_COMPAT_AT)?,
        };
        let revision = le_u32(bytes, 0x4c)?;
        let is_dynamic = revision != 0;
        let features =
            if is_dynamic { features } else { Features { compat: 0, incompat: 0, ro_compat: 0 } };
        features.check_readable()?;
        let superblock = Self::parse_fields(bytes, features, is_dynamic)?;
        superblock.check_checksum()?;
        superblock.check_geometry(disk_bytes)?;
        Ok(superblock)
    }

    fn parse_fields(bytes: &[u8], features: Features, is_dynamic: bool) -> Result<Self> {
        let log_block_size = le_u32(bytes, 0x18)?;
        require(log_block_size <= LOG_BLOCK_SIZE_MAX, SuperblockDefect::BlockSize(log_block_size))?;
        let block_size_bytes = 1024u32.checked_shl(log_block_size).unwrap_or(0);
        let is_64bit = features.has_incompat(incompat::BIT64);
        let high = |at| if is_64bit { le_u32(bytes, at) } else { Ok(0) };
        let blocks_count = join_u32(high(0x150)?, le_u32(bytes, 0x4)?);
        let descriptor_bytes = if is_64bit { le_u16(bytes, 0xfe)? } else { DESCRIPTOR_BYTES_SMALL };
        let uuid = Uuid(field::array(bytes, 0x68)?);
        let has_seed = features.has_incompat(incompat::CSUM_SEED);
        let seed = if has_seed { le_u32(bytes, 0x270)? } else { crc32c_raw(!0, &uuid.0) };
        let name = field::slice(bytes, 0x78, 16)?;
        let label = name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        let hash_seed = [
            le_u32(bytes, 0xec)?,
            le_u32(bytes, 0xf0)?,
            le_u32(bytes, 0xf4)?,
            le_u32(bytes, 0xf8)?,
        ];
        let mut superblock = Self {
            inodes_count: le_u32(bytes, 0x0)?,
            blocks_count,
            first_data_block: le_u32(bytes, 0x14)?,
            block_size_bytes,
            cluster_blocks: 1,
            blocks_per_group: le_u32(bytes, 0x20)?,
            inodes_per_group: le_u32(bytes, 0x28)?,
            inode_size_bytes: if is_dynamic { le_u16(bytes, 0x58)? } else { INODE_SIZE_MIN },
            descriptor_bytes,
            group_count: 0,
            state: le_u16(bytes, 0x3a)?,
            creator_os: le_u32(bytes, 0x48)?,
            first_inode: if is_dynamic { le_u32(bytes, 0x54)? } else { FIRST_INODE_REVISION_0 },
            features,
            uuid,
            label,
            reserved_gdt_blocks: le_u16(bytes, 0xce)?,
            journal_inode: le_u32(bytes, 0xe0)?,
            journal_device: le_u32(bytes, 0xe4)?,
            last_orphan: le_u32(bytes, LAST_ORPHAN_AT)?,
            hash_seed,
            default_hash_version: u8_at(bytes, 0xfc)?,
            hash_is_unsigned: le_u32(bytes, 0x160)? & FLAG_UNSIGNED_HASH != 0,
            first_meta_bg: le_u32(bytes, 0x104)?,
            want_extra_isize: le_u16(bytes, 0x15e)?,
            mmp_block: field::le_u64(bytes, 0x168)?,
            log_groups_per_flex: u8_at(bytes, 0x174)?,
            quota_inodes: [le_u32(bytes, 0x240)?, le_u32(bytes, 0x244)?, le_u32(bytes, 0x26c)?],
            backup_groups: [le_u32(bytes, 0x24c)?, le_u32(bytes, 0x250)?],
            orphan_file_inode: le_u32(bytes, 0x280)?,
            checksum_seed: features.has_ro_compat(ro_compat::METADATA_CSUM).then_some(seed),
            bytes: bytes.to_vec(),
        };
        superblock.derive_counts(log_block_size)?;
        Ok(superblock)
    }

    /// Fills in what follows from several fields: cluster size and number of groups.
    fn derive_counts(&mut self, log_block_size: u32) -> Result<()> {
        if self.features.has_ro_compat(ro_compat::BIGALLOC) {
            let log_cluster_size = le_u32(&self.bytes, 0x1c)?;
            let wrong = SuperblockDefect::ClusterSize(log_cluster_size);
            require(log_cluster_size <= LOG_CLUSTER_SIZE_MAX, wrong.clone())?;
            let log_ratio = log_cluster_size.checked_sub(log_block_size);
            self.cluster_blocks = to(pow2(log_ratio.ok_or_else(|| defect(wrong))?)?)?;
        }
        let first = u64::from(self.first_data_block);
        let wrong = || defect(SuperblockDefect::BlocksCount(self.blocks_count));
        let blocks = sub(self.blocks_count, first).map_err(|_| wrong())?;
        let per_group = u64::from(self.blocks_per_group);
        let limit = mul(mul(8, self.block_size())?, u64::from(self.cluster_blocks))?;
        let fits = per_group >= 8 && per_group <= limit && per_group.is_multiple_of(8);
        require(fits, SuperblockDefect::BlocksPerGroup(self.blocks_per_group))?;
        let group_count = div_ceil(blocks, per_group)?;
        require(
            (1..=GROUPS_MAX).contains(&group_count),
            SuperblockDefect::GroupCount(group_count),
        )?;
        self.group_count = to(group_count)?;
        Ok(())
    }

    fn check_geometry(&self, disk_bytes: u64) -> Result<()> {
        let first_expected = u32::from(self.block_size_bytes == 1024);
        let is_bigalloc = self.cluster_blocks > 1;
        let first = self.first_data_block;
        let first_fits = first == first_expected || (is_bigalloc && first == 0);
        require(first_fits, SuperblockDefect::FirstDataBlock(first))?;
        let size = self.inode_size_bytes;
        let size_fits = size >= INODE_SIZE_MIN
            && size.is_power_of_two()
            && u32::from(size) <= self.block_size_bytes;
        require(size_fits, SuperblockDefect::InodeSize(size))?;
        let descriptor = self.descriptor_bytes;
        let descriptor_min = if self.features.has_incompat(incompat::BIT64) {
            DESCRIPTOR_BYTES_LARGE
        } else {
            DESCRIPTOR_BYTES_SMALL
        };
        let descriptor_fits = (descriptor_min..=DESCRIPTOR_BYTES_MAX).contains(&descriptor)
            && descriptor.is_power_of_two();
        require(descriptor_fits, SuperblockDefect::DescriptorSize(descriptor))?;
        let (groups, per_group) = (u64::from(self.group_count), self.inodes_per_group);
        let inodes_fit = per_group >= 8
            && u64::from(per_group) <= mul(8, self.block_size())?
            && per_group.is_multiple_of(8);
        require(inodes_fit, SuperblockDefect::InodesPerGroup(per_group))?;
        let inodes = self.inodes_count;
        let count_fits = mul(groups, u64::from(per_group))? == u64::from(inodes);
        require(count_fits, SuperblockDefect::InodesCount { inodes, groups, per_group })?;
        let fs_bytes = mul(self.blocks_count, self.block_size())?;
        require(fs_bytes <= disk_bytes, SuperblockDefect::LargerThanDisk { fs_bytes, disk_bytes })
    }

    fn check_checksum(&self) -> Result<()> {
        if self.checksum_seed.is_none() {
            return Ok(());
        }
        let kind = u8_at(&self.bytes, 0x175)?;
        require(kind == 1, SuperblockDefect::ChecksumType(kind))?;
        let stored = le_u32(&self.bytes, checksum::SUPERBLOCK_CHECKSUM_AT)?;
        let computed = checksum::superblock(&self.bytes)?;
        require(agrees(stored, computed), SuperblockDefect::Checksum { stored, computed })
    }

    /// The 1024 bytes with a checksum that fits them.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        if self.checksum_seed.is_some() {
            let sum = checksum::superblock(&bytes)?;
            field::put_le_u32(&mut bytes, checksum::SUPERBLOCK_CHECKSUM_AT, sum)?;
        }
        Ok(bytes)
    }

    /// The block size as a factor.
    pub(crate) fn block_size(&self) -> u64 {
        u64::from(self.block_size_bytes)
    }

    /// The block size as a length in memory.
    pub(crate) fn block_len(&self) -> Result<usize> {
        Ok(to(self.block_size_bytes)?)
    }

    /// Unmounted cleanly, as far as a volume without a journal can say.
    pub(crate) fn is_valid(&self) -> bool {
        self.state & STATE_VALID != 0
    }

    /// Marked as having errors.
    pub(crate) fn has_errors(&self) -> bool {
        self.state & STATE_ERROR != 0
    }

    /// The journal may hold changes that are not in place.
    pub(crate) fn needs_recovery(&self) -> bool {
        self.features.has_incompat(incompat::RECOVER)
    }

    /// Records that the journal has been replayed.
    pub(crate) fn clear_needs_recovery(&mut self) -> Result<()> {
        self.features.incompat &= !incompat::RECOVER;
        Ok(field::put_le_u32(&mut self.bytes, INCOMPAT_AT, self.features.incompat)?)
    }

    /// Records that the orphan file is empty.
    pub(crate) fn clear_orphan_present(&mut self) -> Result<()> {
        self.features.ro_compat &= !ro_compat::ORPHAN_PRESENT;
        Ok(field::put_le_u32(&mut self.bytes, RO_COMPAT_AT, self.features.ro_compat)?)
    }

    /// Records that some inode has an attribute block.
    pub(crate) fn set_has_ext_attr(&mut self) -> Result<()> {
        self.features.compat |= compat::EXT_ATTR;
        Ok(field::put_le_u32(&mut self.bytes, COMPAT_AT, self.features.compat)?)
    }

    /// `s_free_blocks_count`: free blocks, also with `bigalloc`.
    pub(crate) fn free_blocks(&self) -> Result<u64> {
        let is_64bit = self.features.has_incompat(incompat::BIT64);
        let high = if is_64bit { le_u32(&self.bytes, FREE_BLOCKS_HIGH_AT)? } else { 0 };
        Ok(join_u32(high, le_u32(&self.bytes, FREE_BLOCKS_LOW_AT)?))
    }

    pub(crate) fn set_free_blocks(&mut self, count: u64) -> Result<()> {
        field::put_le_u32(&mut self.bytes, FREE_BLOCKS_LOW_AT, field::low_u32(count))?;
        if self.features.has_incompat(incompat::BIT64) {
            field::put_le_u32(&mut self.bytes, FREE_BLOCKS_HIGH_AT, field::high_u32(count))?;
        }
        Ok(())
    }

    /// `s_free_inodes_count`.
    pub(crate) fn free_inodes(&self) -> Result<u32> {
        Ok(le_u32(&self.bytes, FREE_INODES_AT)?)
    }

    pub(crate) fn set_last_orphan(&mut self, inode: u32) -> Result<()> {
        self.last_orphan = inode;
        Ok(field::put_le_u32(&mut self.bytes, LAST_ORPHAN_AT, inode)?)
    }

    pub(crate) fn set_free_inodes(&mut self, count: u32) -> Result<()> {
        Ok(field::put_le_u32(&mut self.bytes, FREE_INODES_AT, count)?)
    }
}
