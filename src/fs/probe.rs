//! Which file system is this? Told from superblocks, with a bounded number of reads (VOL-3).
//!
//! A magic number and a little plausibility, no more: a hit says what the volume is meant to be, not that it is
//! healthy. Junk is `None`, never an error. What lies inside a container (RAID, LVM, LUKS) is not looked at, and
//! a container wins over the file system whose superblock shows through it.
//!
//! Some superblocks stand where making a partition table does not overwrite them. A signature at such a place is
//! a leftover if the same space has a table with partitions.

mod container;
mod foreign;
mod linux;

#[cfg(test)]
mod tests;

use crate::bytes::arith::{self, len_u64};
use crate::disk::Disk;
use crate::error::{ErrorKind, Result};
use crate::volume;

/// How much of the start is read at once: up to the superblock of Btrfs and UFS2 and its 4 KiB.
const HEAD_BYTES: u64 = 72 * 1024;

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The kind.
    pub kind: ProbeKind,
    /// The label as stored, unescaped; empty if there is none, or if it does not stand in the superblock.
    pub label: Vec<u8>,
    /// The UUID or serial number as its own tools print it; empty if there is none.
    pub uuid: String,
}

/// The kinds of content that are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeKind {
    /// ext2: no journal, no later features.
    Ext2,
    /// ext3: a journal, no later features.
    Ext3,
    /// ext4.
    Ext4,
    /// An external journal of ext3 or ext4.
    ExtJournal,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// LUKS, version 1 or 2.
    Luks {
        /// 1 or 2.
        version: u16,
    },
    /// A physical volume of LVM2.
    Lvm2,
    /// Swap space.
    Swap {
        /// It holds the memory of a suspended system (VOL-30).
        is_hibernated: bool,
    },
    /// ISO 9660.
    Iso9660,
    /// SquashFS.
    Squashfs,
    /// EROFS.
    Erofs,
    /// F2FS.
    F2fs,
    /// UFS1 or UFS2 of the BSDs.
    Ufs {
        /// 1 or 2.
        version: u16,
    },
    /// A member of a ZFS pool.
    Zfs,
    /// A member of a Linux software RAID.
    MdRaid,
    /// BitLocker.
    Bitlocker,
}

impl ProbeKind {
    /// The name in the JSON contract (`spec/cli.md`, "JSON").
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::ExtJournal => "ext_journal",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Ntfs => "ntfs",
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Luks { .. } => "luks",
            Self::Lvm2 => "lvm2",
            Self::Swap { .. } => "swap",
            Self::Iso9660 => "iso9660",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::F2fs => "f2fs",
            Self::Ufs { .. } => "ufs",
            Self::Zfs => "zfs",
            Self::MdRaid => "md_raid",
            Self::Bitlocker => "bitlocker",
        }
    }

    /// True if the content is cipher text (VOL-26).
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Luks { .. } | Self::Bitlocker)
    }

    /// True if the superblock survives the making of a partition table.
    fn may_be_leftover(self) -> bool {
        matches!(
            self,
            Self::Btrfs | Self::Iso9660 | Self::Ufs { .. } | Self::Zfs | Self::MdRaid | Self::F2fs
        )
    }
}

/// Recognises the content of `disk`; `None` if it is nothing known.
///
/// # Errors
/// `Io`.
pub fn probe(disk: &dyn Disk) -> Result<Option<Probe>> {
    let head = disk.read_vec(0, arith::to(disk.len_bytes().min(HEAD_BYTES))?)?;
    let source = Source { disk, head };
    for recognise in PROBES {
        let Some(found) = recognise(&source)? else { continue };
        if !found.kind.may_be_leftover() || !has_partitions(disk)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

type Recognise = fn(&Source<'_>) -> Result<Option<Probe>>;

/// Containers first, the RAID before what shows through on each of its members, and those with the weakest signature
/// last.
const PROBES: [Recognise; 19] = [
    container::md_raid,
    container::luks,
    container::bitlocker,
    container::lvm2,
    linux::swap,
    linux::ext,
    linux::xfs,
    linux::f2fs,
    linux::erofs,
    linux::squashfs,
    foreign::ntfs,
    foreign::exfat,
    linux::btrfs,
    foreign::iso9660,
    foreign::ufs2,
    foreign::ufs1,
    foreign::vfat,
    foreign::zfs,
    container::luks_without_start,
];

fn has_partitions(disk: &dyn Disk) -> Result<bool> {
    match volume::find(disk) {
        Ok(layout) => Ok(!layout.volumes.is_empty()),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The bytes that probes look at.
#[derive(Debug)]
struct Source<'a> {
    disk: &'a dyn Disk,
    head: Vec<u8>,
}

impl Source<'_> {
    /// `len` bytes at `offset` of the start of the disk; `None` if it is shorter.
    fn head(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.head.get(offset..offset.checked_add(len)?)
    }

    /// `len` bytes from anywhere; `None` if the disk ends before.
    fn read(&self, offset_bytes: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let end = offset_bytes.checked_add(len_u64(len));
        if end.is_none_or(|end| end > self.disk.len_bytes()) {
            return Ok(None);
        }
        self.disk.read_vec(offset_bytes, len).map(Some)
    }
}

/// A label of fixed size: up to the first NUL.
fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

/// A label that is padded with spaces.
fn without_padding(bytes: &[u8]) -> Vec<u8> {
    until_nul(bytes).trim_ascii_end().to_vec()
}

/// An identifier stored as text; empty unless it is printable ASCII.
fn text(bytes: &[u8]) -> String {
    let bytes = until_nul(bytes);
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return String::new();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// A UUID of 16 bytes in the order in which it is written; empty if it is nil.
fn uuid(bytes: [u8; 16]) -> String {
    let uuid = crate::bytes::guid::Uuid(bytes);
    if uuid.is_nil() { String::new() } else { uuid.to_string() }
}
