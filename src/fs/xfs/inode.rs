//! Inodes: everything about a file but its name and content.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "On-disk Inode". 256 to 2048 bytes, big-endian but for the
//! checksum. An [`Inode`] keeps its bytes, so that fields that mean nothing to us survive an edit. The two forks
//! behind the core are slices here; what is in them is for `fork`, `directory` and `attribute`.

mod fork;
mod time;

#[cfg(test)]
mod tests;

pub(crate) use fork::{ForkFormat, ForkKind};
pub(crate) use time::Time;

use super::checksum::{self, ChecksumDefect};
use super::superblock::Superblock;
use super::units::{AgInode, InodeNumber, Lsn};
use crate::bytes::field::{
    self, be_u16, be_u32, be_u64, high_u16, low_u16, put_be_u16, put_be_u32, put_be_u64, u8_at,
};
use crate::bytes::guid::Uuid;
use crate::error::{Corrupt, Error, Result};
use crate::fs::{Metadata, NodeFlags, NodeKind};

/// "IN".
pub(crate) const MAGIC: u16 = 0x494e;
/// Where the literal area starts: versions 1 and 2, version 3.
const CORE_BYTES_OLD: usize = 100;
pub(crate) const CORE_BYTES: usize = 176;

const MODE_AT: usize = 2;
const VERSION_AT: usize = 4;
const OLD_LINKS_AT: usize = 6;
const UID_AT: usize = 8;
const GID_AT: usize = 12;
const LINKS_AT: usize = 16;
const PROJECT_LOW_AT: usize = 20;
const PROJECT_HIGH_AT: usize = 22;
const SIZE_AT: usize = 56;
const BLOCKS_AT: usize = 64;
const EXTENT_SIZE_AT: usize = 72;
const FLAGS_AT: usize = 90;
const GENERATION_AT: usize = 92;
const NEXT_UNLINKED_AT: usize = 96;
const CRC_AT: usize = 100;
const CHANGE_COUNT_AT: usize = 104;
const LSN_AT: usize = 112;
const FLAGS2_AT: usize = 120;
const NUMBER_AT: usize = 152;
const UUID_AT: usize = 160;

/// Permission, set-id and sticky bits of the mode.
const PERMISSIONS: u16 = 0o7777;
/// Largest file: 2^63 - 1 bytes.
const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// `di_flags`.
pub(crate) mod flag {
    pub(crate) const REALTIME: u16 = 0x1;
    pub(crate) const IMMUTABLE: u16 = 0x8;
    pub(crate) const APPEND: u16 = 0x10;
    pub(crate) const PROJINHERIT: u16 = 0x200;
    pub(crate) const EXTSIZE: u16 = 0x800;
    pub(crate) const EXTSZINHERIT: u16 = 0x1000;
    pub(crate) const RTINHERIT: u16 = 0x100;
    /// What a new file or directory takes over from its directory: SYNC, NOATIME, NODUMP, PROJINHERIT, NODEFRAG,
    /// FILESTREAM. The kernel passes on NOSYMLINKS only if it is told to.
    pub(crate) const INHERITED: u16 = 0x20 | 0x40 | 0x80 | 0x200 | 0x2000 | 0x4000;
}

/// `di_flags2`.
pub(crate) mod flag2 {
    pub(crate) const DAX: u64 = 0x1;
    pub(crate) const REFLINK: u64 = 0x2;
    pub(crate) const COW_EXTSIZE: u64 = 0x4;
    pub(crate) const BIGTIME: u64 = 0x8;
    pub(crate) const NREXT64: u64 = 0x10;
    pub(crate) const METADATA: u64 = 0x20;
}

/// What can be wrong with the core of an inode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InodeDefect {
    #[error("magic is {0:#x}, not \"IN\"")]
    Magic(u16),
    #[error("version {found} does not belong to this version of the file system")]
    Version { found: u8 },
    #[error("{0}")]
    Checksum(ChecksumDefect),
    #[error("says that it is inode {0}")]
    Number(u64),
    #[error("belongs to another file system ({0})")]
    Uuid(Uuid),
    #[error("mode {0:#o} is no kind of file")]
    Kind(u16),
    #[error("is not in use")]
    Free,
    #[error("fork format {0} is unknown")]
    Format(u8),
    #[error("fork offset {offset} leaves no room in {literal} bytes")]
    ForkOffset { offset: usize, literal: usize },
    #[error("size {0} is too large")]
    Size(u64),
}

/// One inode.
///
/// | offset | size | spec | here |
/// |-------:|-----:|------|------|
/// | 0 | 2 | di_magic | (checked) |
/// | 2 | 2 | di_mode | kind, permissions |
/// | 4 | 1 | di_version | (checked) 1 to 3 |
/// | 5, 83 | 1+1 | di_format, di_aformat | format |
/// | 6, 16 | 2+4 | di_onlink, di_nlink | link_count |
/// | 8, 12 | 4+4 | di_uid, di_gid | uid, gid |
/// | 20, 22 | 2+2 | di_projid, di_projid_hi | project |
/// | 24 | 8 | di_big_nextents (with NREXT64) | extent_count(Data) |
/// | 32, 40, 48, 144 | 8 each | di_atime, di_mtime, di_ctime, di_crtime | time |
/// | 56 | 8 | di_size | size_bytes |
/// | 64 | 8 | di_nblocks | block_count |
/// | 72 | 4 | di_extsize | extent_size_blocks |
/// | 76 | 4 | di_nextents; with NREXT64 di_big_anextents | extent_count |
/// | 80 | 2 | di_anextents | extent_count(Attribute) |
/// | 82 | 1 | di_forkoff, in units of 8 bytes | fork_offset_bytes |
/// | 90 | 2 | di_flags | flags |
/// | 92 | 4 | di_gen | generation |
/// | 96 | 4 | di_next_unlinked | next_unlinked |
/// | 100 | 4 | di_crc, little-endian | (checked) |
/// | 104 | 8 | di_changecount | change_count |
/// | 112 | 8 | di_lsn | lsn |
/// | 120 | 8 | di_flags2 | flags2 |
/// | 152 | 8 | di_ino | (checked) |
/// | 160 | 16 | di_uuid | (checked) |
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(crate) number: InodeNumber,
    bytes: Vec<u8>,
    /// Where it was read from, for messages.
    offset_bytes: u64,
}

impl Inode {
    /// Checks the bytes of inode `number`, which lie at `offset_bytes` of the volume.
    ///
    /// # Errors
    /// `Corrupt` with [`InodeDefect`].
    pub(crate) fn parse(
        superblock: &Superblock,
        number: InodeNumber,
        bytes: Vec<u8>,
        offset_bytes: u64,
    ) -> Result<Self> {
        let inode = Self { number, bytes, offset_bytes };
        let magic = be_u16(&inode.bytes, 0)?;
        inode.require(magic == MAGIC, InodeDefect::Magic(magic))?;
        let version = u8_at(&inode.bytes, VERSION_AT)?;
        let fits = if superblock.has_crc() { version == 3 } else { (1..=2).contains(&version) };
        inode.require(fits, InodeDefect::Version { found: version })?;
        if version == 3 {
            let sum = checksum::verify(&inode.bytes, CRC_AT)?;
            sum.map_err(|wrong| inode.corrupt(InodeDefect::Checksum(wrong)))?;
            let own = be_u64(&inode.bytes, NUMBER_AT)?;
            inode.require(own == number.0, InodeDefect::Number(own))?;
            let uuid = Uuid(field::array(&inode.bytes, UUID_AT)?);
            inode.require(uuid == superblock.meta_uuid, InodeDefect::Uuid(uuid))?;
        }
        let size = inode.size_bytes();
        inode.require(size <= SIZE_MAX, InodeDefect::Size(size))?;
        let (offset, literal) = (inode.fork_offset_bytes(), inode.literal_len());
        inode.require(offset < literal, InodeDefect::ForkOffset { offset, literal })?;
        Ok(inode)
    }

    /// The bytes with a checksum that fits them.
    ///
    /// # Errors
    /// `Corrupt` only if the inode is shorter than its core, which `parse` excludes.
    pub(crate) fn seal(&mut self) -> Result<&[u8]> {
        if self.is_version_3() {
            checksum::seal(&mut self.bytes, CRC_AT)?;
        }
        Ok(&self.bytes)
    }

    /// The bytes as they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be changed; [`Inode::seal`] comes last.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Describes a defect of this inode.
    pub(crate) fn corrupt(
        &self,
        defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Corrupt::new("inode", defect).at(self.offset_bytes).of(self.number.to_string()).into()
    }

    fn require(&self, holds: bool, defect: InodeDefect) -> Result<()> {
        if holds { Ok(()) } else { Err(self.corrupt(defect)) }
    }

    fn u16(&self, at: usize) -> u16 {
        be_u16(&self.bytes, at).unwrap_or_default()
    }

    fn u32(&self, at: usize) -> u32 {
        be_u32(&self.bytes, at).unwrap_or_default()
    }

    /// A field of the core, which `parse` has shown to be there.
    fn u64(&self, at: usize) -> u64 {
        be_u64(&self.bytes, at).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> u8 {
        u8_at(&self.bytes, at).unwrap_or_default()
    }

    fn is_version_3(&self) -> bool {
        self.byte(VERSION_AT) == 3
    }

    fn raw_mode(&self) -> u16 {
        self.u16(MODE_AT)
    }

    /// True if the inode is free: its mode is 0.
    pub(crate) fn is_free(&self) -> bool {
        self.raw_mode() == 0
    }

    /// The kind of file.
    ///
    /// # Errors
    /// `Corrupt` if it is free or of no kind.
    pub(crate) fn kind(&self) -> Result<NodeKind> {
        let mode = self.raw_mode();
        NodeKind::of_mode(mode).ok_or_else(|| {
            self.corrupt(if self.is_free() { InodeDefect::Free } else { InodeDefect::Kind(mode) })
        })
    }

    /// Sets the whole mode: kind and permissions.
    pub(crate) fn set_mode(&mut self, mode: u16) -> Result<()> {
        Ok(put_be_u16(&mut self.bytes, MODE_AT, mode)?)
    }

    pub(crate) fn permissions(&self) -> u32 {
        u32::from(self.raw_mode() & PERMISSIONS)
    }

    /// Sets the permission, set-id and sticky bits; the kind stays.
    pub(crate) fn set_permissions(&mut self, permissions: u32) -> Result<()> {
        let mode = (self.raw_mode() & !PERMISSIONS) | (low_u16(permissions) & PERMISSIONS);
        self.set_mode(mode)
    }

    pub(crate) fn uid(&self) -> u32 {
        self.u32(UID_AT)
    }

    pub(crate) fn set_uid(&mut self, uid: u32) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, UID_AT, uid)?)
    }

    pub(crate) fn gid(&self) -> u32 {
        self.u32(GID_AT)
    }

    pub(crate) fn set_gid(&mut self, gid: u32) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, GID_AT, gid)?)
    }

    /// Number of names; for directories also `.` and the `..` of their subdirectories.
    pub(crate) fn link_count(&self) -> u32 {
        match self.byte(VERSION_AT) {
            1 => u32::from(self.u16(OLD_LINKS_AT)),
            _ => self.u32(LINKS_AT),
        }
    }

    pub(crate) fn set_link_count(&mut self, links: u32) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, LINKS_AT, links)?)
    }

    /// The project that the blocks are counted for.
    pub(crate) fn project(&self) -> u32 {
        (u32::from(self.u16(PROJECT_HIGH_AT)) << 16) | u32::from(self.u16(PROJECT_LOW_AT))
    }

    pub(crate) fn set_project(&mut self, project: u32) -> Result<()> {
        put_be_u16(&mut self.bytes, PROJECT_HIGH_AT, high_u16(project))?;
        Ok(put_be_u16(&mut self.bytes, PROJECT_LOW_AT, low_u16(project))?)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.u64(SIZE_AT)
    }

    pub(crate) fn set_size_bytes(&mut self, size_bytes: u64) -> Result<()> {
        Ok(put_be_u64(&mut self.bytes, SIZE_AT, size_bytes)?)
    }

    /// Blocks of both forks, with those of their trees.
    pub(crate) fn block_count(&self) -> u64 {
        self.u64(BLOCKS_AT)
    }

    pub(crate) fn set_block_count(&mut self, blocks: u64) -> Result<()> {
        Ok(put_be_u64(&mut self.bytes, BLOCKS_AT, blocks)?)
    }

    /// The extent size hint in blocks; 0 for none.
    pub(crate) fn extent_size_blocks(&self) -> u32 {
        self.u32(EXTENT_SIZE_AT)
    }

    pub(crate) fn set_extent_size_blocks(&mut self, blocks: u32) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, EXTENT_SIZE_AT, blocks)?)
    }

    pub(crate) fn flags(&self) -> u16 {
        self.u16(FLAGS_AT)
    }

    pub(crate) fn has_flag(&self, bit: u16) -> bool {
        self.flags() & bit != 0
    }

    pub(crate) fn set_flags(&mut self, flags: u16) -> Result<()> {
        Ok(put_be_u16(&mut self.bytes, FLAGS_AT, flags)?)
    }

    /// `di_flags2`; 0 before version 3.
    pub(crate) fn flags2(&self) -> u64 {
        if self.is_version_3() { self.u64(FLAGS2_AT) } else { 0 }
    }

    pub(crate) fn has_flag2(&self, bit: u64) -> bool {
        self.flags2() & bit != 0
    }

    pub(crate) fn set_flags2(&mut self, flags2: u64) -> Result<()> {
        Ok(put_be_u64(&mut self.bytes, FLAGS2_AT, flags2)?)
    }

    /// Tells apart the files that have had this number.
    pub(crate) fn generation(&self) -> u32 {
        self.u32(GENERATION_AT)
    }

    pub(crate) fn set_generation(&mut self, generation: u32) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, GENERATION_AT, generation)?)
    }

    /// The next inode of its unlinked list.
    pub(crate) fn next_unlinked(&self) -> AgInode {
        AgInode(self.u32(NEXT_UNLINKED_AT))
    }

    pub(crate) fn set_next_unlinked(&mut self, next: AgInode) -> Result<()> {
        Ok(put_be_u32(&mut self.bytes, NEXT_UNLINKED_AT, next.0)?)
    }

    /// The log sequence number of the last write; 0 before version 3.
    #[cfg(test)]
    pub(crate) fn lsn(&self) -> Lsn {
        Lsn(if self.is_version_3() { self.u64(LSN_AT) } else { 0 })
    }

    pub(crate) fn set_lsn(&mut self, lsn: Lsn) -> Result<()> {
        Ok(put_be_u64(&mut self.bytes, LSN_AT, lsn.0)?)
    }

    /// Counts one more change, where the inode does so.
    pub(crate) fn count_change(&mut self) -> Result<()> {
        if self.is_version_3() {
            let count = self.u64(CHANGE_COUNT_AT).wrapping_add(1);
            put_be_u64(&mut self.bytes, CHANGE_COUNT_AT, count)?;
        }
        Ok(())
    }

    /// What the traits want to know.
    ///
    /// # Errors
    /// `Corrupt` if it is of no kind.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata {
            kind: self.kind()?,
            mode: self.permissions(),
            uid: self.uid(),
            gid: self.gid(),
            size_bytes: self.size_bytes(),
            link_count: self.link_count(),
            accessed: self.time(Time::Access),
            modified: self.time(Time::Modify),
            changed: self.time(Time::Change),
            flags: NodeFlags {
                is_immutable: self.has_flag(flag::IMMUTABLE),
                is_append_only: self.has_flag(flag::APPEND),
                ..NodeFlags::default()
            },
        })
    }
}
