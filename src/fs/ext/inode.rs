//! Inodes: everything about a file but its name and content.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Index Nodes". 128 to 4096
//! bytes, little-endian; the first 128 are those of ext2. An [`Inode`] keeps its bytes, so that fields
//! that mean nothing to us survive an edit.

mod table;
mod time;

pub(crate) use time::Time;

use super::feature::ro_compat;
use super::superblock::Superblock;
use super::units::{FsBlock, InodeNumber};
use crate::bytes::arith::{add, div, mul, sub, to};
use crate::bytes::field::{
    self, high_u16, high_u32, join_u32, le_u16, le_u32, low_u16, low_u32, put_le_u16, put_le_u32,
};
use crate::error::{Corrupt, Refusal, Result};
use crate::fs::{Metadata, NodeFlags, NodeKind, Timestamp};

/// The part of an inode that ext2 knows, in bytes.
pub(crate) const GOOD_OLD_BYTES: usize = 128;
/// Where `i_block` starts, and its length: block map, extent root, short link target or inline content.
const I_BLOCK_AT: usize = 0x28;
pub(crate) const I_BLOCK_BYTES: usize = 60;

/// `i_flags`.
pub(crate) mod flag {
    pub(crate) const IMMUTABLE: u32 = 0x10;
    pub(crate) const APPEND: u32 = 0x20;
    pub(crate) const ENCRYPT: u32 = 0x800;
    pub(crate) const INDEX: u32 = 0x1000;
    pub(crate) const COMPRESSED: u32 = 0x4;
    pub(crate) const HUGE_FILE: u32 = 0x4_0000;
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    pub(crate) const VERITY: u32 = 0x10_0000;
    pub(crate) const EA_INODE: u32 = 0x20_0000;
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
    pub(crate) const PROJINHERIT: u32 = 0x2000_0000;
    pub(crate) const CASEFOLD: u32 = 0x4000_0000;
    /// What a new inode takes over from its directory: SECRM, UNRM, COMPR, SYNC, NODUMP, NOATIME, NOCOMP,
    /// JOURNAL_DATA, NOTAIL, DIRSYNC, DAX, PROJINHERIT.
    pub(crate) const INHERITED: u32 = 0x2201_c4cf;
    /// Of these, what only a directory has: DIRSYNC, PROJINHERIT.
    pub(crate) const ONLY_DIRECTORY: u32 = 0x2001_0000;
}

const MODE_AT: usize = 0x0;
const UID_LOW_AT: usize = 0x2;
const SIZE_LOW_AT: usize = 0x4;
const DELETE_TIME_AT: usize = 0x14;
const GID_LOW_AT: usize = 0x18;
const LINKS_AT: usize = 0x1a;
const BLOCKS_LOW_AT: usize = 0x1c;
const FLAGS_AT: usize = 0x20;
const GENERATION_AT: usize = 0x64;
const ATTRIBUTES_LOW_AT: usize = 0x68;
const SIZE_HIGH_AT: usize = 0x6c;
const BLOCKS_HIGH_AT: usize = 0x74;
const ATTRIBUTES_HIGH_AT: usize = 0x76;
const UID_HIGH_AT: usize = 0x78;
const GID_HIGH_AT: usize = 0x7a;
const EXTRA_SIZE_AT: usize = 0x80;
const PROJECT_AT: usize = 0x9c;

/// All fields that regain knows behind the first 128 bytes.
pub(crate) const KNOWN_EXTRA_BYTES: u16 = 32;
const PERMISSIONS: u16 = 0o7777;

/// What can be wrong with an inode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InodeDefect {
    #[error("checksum is {stored:#x}, should be {computed:#x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("number is outside 1 to {0}")]
    Number(u32),
    #[error("{extra} bytes of further fields do not fit an inode of {size} bytes")]
    ExtraSize { extra: u16, size: usize },
    #[error("mode {0:#o} is no kind of file")]
    Kind(u16),
    #[error("is not in use")]
    Free,
    #[error("is not the value of an extended attribute, although one names it")]
    NotAValue,
    #[error("size {0} is too large")]
    Size(u64),
}

/// One inode.
///
/// | offset | size | spec | here |
/// |-------:|-----:|------|------|
/// | 0x0 | 2 | i_mode | kind, mode |
/// | 0x2, 0x78 | 2+2 | i_uid, l_i_uid_high | uid |
/// | 0x4, 0x6c | 4+4 | i_size_lo, i_size_high | size_bytes |
/// | 0x8, 0x8c | 4+4 | i_atime, i_atime_extra | time(Access) |
/// | 0xc, 0x84 | 4+4 | i_ctime, i_ctime_extra | time(Change) |
/// | 0x10, 0x88 | 4+4 | i_mtime, i_mtime_extra | time(Modify) |
/// | 0x14 | 4 | i_dtime | set when the inode is freed |
/// | 0x18, 0x7a | 2+2 | i_gid, l_i_gid_high | gid |
/// | 0x1a | 2 | i_links_count | link_count |
/// | 0x1c, 0x74 | 4+2 | i_blocks_lo, l_i_blocks_high | sectors |
/// | 0x20 | 4 | i_flags | flags |
/// | 0x28 | 60 | i_block | i_block |
/// | 0x64 | 4 | i_generation | generation |
/// | 0x68, 0x76 | 4+2 | i_file_acl_lo, l_i_file_acl_high | attribute_block |
/// | 0x7c, 0x82 | 2+2 | l_i_checksum_lo, i_checksum_hi | (checked) |
/// | 0x80 | 2 | i_extra_isize | extra_size |
/// | 0x90, 0x94 | 4+4 | i_crtime, i_crtime_extra | time(Create) |
/// | 0x9c | 4 | i_projid | project |
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) number: InodeNumber,
    bytes: Vec<u8>,
    has_huge_file: bool,
    block_sectors: u64,
}

impl Inode {
    /// Wraps the bytes of an inode.
    pub(crate) fn new(number: InodeNumber, bytes: Vec<u8>, superblock: &Superblock) -> Self {
        let has_huge_file = superblock.features.has_ro_compat(ro_compat::HUGE_FILE);
        let block_sectors = superblock.block_size() >> 9;
        Self { number, bytes, has_huge_file, block_sectors }
    }

    /// All bytes, for the attributes that lie behind the fixed part.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn u16(&self, at: usize) -> u16 {
        // The fixed part is always there.
        le_u16(&self.bytes, at).unwrap_or(0)
    }

    fn u32(&self, at: usize) -> u32 {
        le_u32(&self.bytes, at).unwrap_or(0)
    }

    /// `i_mode` whole: kind and permissions.
    pub(crate) fn raw_mode(&self) -> u16 {
        self.u16(MODE_AT)
    }

    pub(crate) fn set_raw_mode(&mut self, mode: u16) -> Result<()> {
        Ok(put_le_u16(&mut self.bytes, MODE_AT, mode)?)
    }

    pub(crate) fn kind(&self) -> Result<NodeKind> {
        let mode = self.raw_mode();
        NodeKind::of_mode(mode).ok_or_else(|| self.corrupt(InodeDefect::Kind(mode)))
    }

    pub(crate) fn permissions(&self) -> u32 {
        u32::from(self.raw_mode() & PERMISSIONS)
    }

    pub(crate) fn set_permissions(&mut self, mode: u32) -> Result<()> {
        let permissions = low_u16(mode) & PERMISSIONS;
        self.set_raw_mode(self.raw_mode() & !PERMISSIONS | permissions)
    }

    pub(crate) fn uid(&self) -> u32 {
        (u32::from(self.u16(UID_HIGH_AT)) << 16) | u32::from(self.u16(UID_LOW_AT))
    }

    pub(crate) fn set_uid(&mut self, uid: u32) -> Result<()> {
        put_le_u16(&mut self.bytes, UID_LOW_AT, low_u16(uid))?;
        Ok(put_le_u16(&mut self.bytes, UID_HIGH_AT, high_u16(uid))?)
    }

    pub(crate) fn gid(&self) -> u32 {
        (u32::from(self.u16(GID_HIGH_AT)) << 16) | u32::from(self.u16(GID_LOW_AT))
    }

    pub(crate) fn set_gid(&mut self, gid: u32) -> Result<()> {
        put_le_u16(&mut self.bytes, GID_LOW_AT, low_u16(gid))?;
        Ok(put_le_u16(&mut self.bytes, GID_HIGH_AT, high_u16(gid))?)
    }

    /// The size of the content. Only regular files and directories have an upper half; elsewhere it is
    /// another field.
    pub(crate) fn size_bytes(&self) -> u64 {
        let has_high = matches!(self.raw_mode() >> 12, 0x4 | 0x8);
        let high = if has_high { self.u32(SIZE_HIGH_AT) } else { 0 };
        join_u32(high, self.u32(SIZE_LOW_AT))
    }

    pub(crate) fn set_size_bytes(&mut self, size: u64) -> Result<()> {
        put_le_u32(&mut self.bytes, SIZE_LOW_AT, low_u32(size))?;
        Ok(put_le_u32(&mut self.bytes, SIZE_HIGH_AT, high_u32(size))?)
    }

    pub(crate) fn link_count(&self) -> u16 {
        self.u16(LINKS_AT)
    }

    pub(crate) fn set_link_count(&mut self, count: u16) -> Result<()> {
        Ok(put_le_u16(&mut self.bytes, LINKS_AT, count)?)
    }

    pub(crate) fn flags(&self) -> u32 {
        self.u32(FLAGS_AT)
    }

    pub(crate) fn set_flags(&mut self, flags: u32) -> Result<()> {
        Ok(put_le_u32(&mut self.bytes, FLAGS_AT, flags)?)
    }

    pub(crate) fn has_flag(&self, bit: u32) -> bool {
        self.flags() & bit != 0
    }

    pub(crate) fn generation(&self) -> u32 {
        self.u32(GENERATION_AT)
    }

    pub(crate) fn set_generation(&mut self, generation: u32) -> Result<()> {
        Ok(put_le_u32(&mut self.bytes, GENERATION_AT, generation)?)
    }

    /// Block map, extent root, short link target or inline content.
    pub(crate) fn i_block(&self) -> Result<&[u8]> {
        Ok(field::slice(&self.bytes, I_BLOCK_AT, I_BLOCK_BYTES)?)
    }

    pub(crate) fn i_block_mut(&mut self) -> Result<&mut [u8]> {
        Ok(field::slice_mut(&mut self.bytes, I_BLOCK_AT, I_BLOCK_BYTES)?)
    }

    /// The block with further attributes; `None` if there is none.
    pub(crate) fn attribute_block(&self) -> Option<FsBlock> {
        let high = u32::from(self.u16(ATTRIBUTES_HIGH_AT));
        let block = join_u32(high, self.u32(ATTRIBUTES_LOW_AT));
        (block != 0).then_some(FsBlock(block))
    }

    pub(crate) fn set_attribute_block(&mut self, block: Option<FsBlock>) -> Result<()> {
        let block = block.map_or(0, |block| block.0);
        put_le_u32(&mut self.bytes, ATTRIBUTES_LOW_AT, low_u32(block))?;
        let high = low_u16(high_u32(block));
        Ok(put_le_u16(&mut self.bytes, ATTRIBUTES_HIGH_AT, high)?)
    }

    /// Allocated space in sectors of 512 bytes, attribute block and mapping blocks included.
    pub(crate) fn sectors(&self) -> Result<u64> {
        let low = self.u32(BLOCKS_LOW_AT);
        if !self.has_huge_file {
            return Ok(u64::from(low));
        }
        let count = join_u32(u32::from(self.u16(BLOCKS_HIGH_AT)), low);
        let unit = if self.has_flag(flag::HUGE_FILE) { self.block_sectors } else { 1 };
        Ok(mul(count, unit)?)
    }

    fn set_sectors(&mut self, sectors: u64) -> Result<()> {
        let unit = if self.has_huge_file && self.has_flag(flag::HUGE_FILE) {
            self.block_sectors
        } else {
            1
        };
        let count = div(sectors, unit)?;
        put_le_u32(&mut self.bytes, BLOCKS_LOW_AT, low_u32(count))?;
        if self.has_huge_file {
            let high: u16 = to(high_u32(count))?;
            return Ok(put_le_u16(&mut self.bytes, BLOCKS_HIGH_AT, high)?);
        }
        to::<u64, u32>(count)?;
        Ok(())
    }

    /// Counts `blocks` more allocated blocks.
    pub(crate) fn add_blocks(&mut self, blocks: u64) -> Result<()> {
        let sectors = add(self.sectors()?, mul(blocks, self.block_sectors)?)?;
        self.set_sectors(sectors)
    }

    /// Counts `blocks` fewer allocated blocks.
    pub(crate) fn sub_blocks(&mut self, blocks: u64) -> Result<()> {
        let sectors = sub(self.sectors()?, mul(blocks, self.block_sectors)?)?;
        self.set_sectors(sectors)
    }

    /// `i_extra_isize`: bytes in use behind the first 128.
    pub(crate) fn extra_size(&self) -> u16 {
        le_u16(&self.bytes, EXTRA_SIZE_AT).unwrap_or(0)
    }

    pub(crate) fn set_extra_size(&mut self, extra: u16) -> Result<()> {
        Ok(put_le_u16(&mut self.bytes, EXTRA_SIZE_AT, extra)?)
    }

    /// True if the `len` bytes at `at` behind the first 128 are in use.
    fn has_extra(&self, at: usize, len: usize) -> bool {
        let end = GOOD_OLD_BYTES.saturating_add(usize::from(self.extra_size()));
        at.saturating_add(len) <= end.min(self.bytes.len())
    }

    /// Marks the inode as deleted at `time`.
    pub(crate) fn set_deleted(&mut self, time: Timestamp) -> Result<()> {
        let seconds = low_u32(time.seconds.cast_unsigned());
        Ok(put_le_u32(&mut self.bytes, DELETE_TIME_AT, seconds)?)
    }

    /// The project that the blocks are counted for.
    pub(crate) fn project(&self) -> u32 {
        if self.has_extra(PROJECT_AT, 4) { self.u32(PROJECT_AT) } else { 0 }
    }

    pub(crate) fn set_project(&mut self, project: u32) -> Result<()> {
        if !self.has_extra(PROJECT_AT, 4) {
            return Ok(());
        }
        Ok(put_le_u32(&mut self.bytes, PROJECT_AT, project)?)
    }

    /// The public view.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata {
            kind: self.kind()?,
            mode: self.permissions(),
            uid: self.uid(),
            gid: self.gid(),
            size_bytes: self.size_bytes(),
            link_count: u32::from(self.link_count()),
            accessed: self.time(Time::Access),
            modified: self.time(Time::Modify),
            changed: self.time(Time::Change),
            flags: NodeFlags {
                is_immutable: self.has_flag(flag::IMMUTABLE),
                is_append_only: self.has_flag(flag::APPEND),
                is_encrypted: self.has_flag(flag::ENCRYPT),
                is_casefolded: self.has_flag(flag::CASEFOLD),
                is_verity: self.has_flag(flag::VERITY),
            },
        })
    }

    /// Refuses content and names that are cipher text or compressed.
    pub(crate) fn check_readable(&self) -> Result<()> {
        if self.has_flag(flag::ENCRYPT) {
            return Err(Refusal::Encrypted { what: self.number.to_string() }.into());
        }
        if self.has_flag(flag::COMPRESSED) {
            let feature = format!("compressed content ({})", self.number);
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok(())
    }

    /// `defect` of this inode.
    pub(crate) fn corrupt(&self, defect: InodeDefect) -> crate::error::Error {
        Corrupt::new("inode", defect).of(self.number.to_string()).into()
    }
}
