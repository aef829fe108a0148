//! The file systems that regain edits, by kind: how one is opened, and who verifies an edit of it.

use super::btrfs::Btrfs;
use super::ext::{self, Ext};
use super::ntfs::{self, Ntfs};
use super::probe::ProbeKind;
use super::verify::{Expectation, OwnReader, Verdict, check};
use super::xfs::{self, Xfs};
use super::{FileEdit, FileSystem, Timestamp};
use crate::disk::cache::Cache;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Error, Refusal, Result};
use std::ops::Range;
use std::sync::Arc;

/// Opens the file system of `kind` that fills `disk`; `clock` is the time that edits are made at.
///
/// # Errors
/// * `Unsupported` - regain does not edit this kind yet.
/// * `Refused` - it must not be edited, or holds no files at all.
/// * `Corrupt` - it makes no sense.
pub fn open(
    kind: ProbeKind,
    disk: Arc<dyn DiskEdit>,
    clock: Timestamp,
) -> Result<Box<dyn FileEdit>> {
    open_with(kind, disk, &[], clock)
}

/// As [`open`], with further devices that belong to the file system, such as that of an external log. They are
/// only read.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    kind: ProbeKind,
    disk: Arc<dyn DiskEdit>,
    devices: &[Arc<dyn Disk>],
    clock: Timestamp,
) -> Result<Box<dyn FileEdit>> {
    Ok(match Own::open(kind, disk, devices, clock)? {
        Own::Ext(ext) => ext,
        Own::Xfs(xfs) => xfs,
        Own::Ntfs(ntfs) => ntfs,
        Own::Btrfs(btrfs) => btrfs,
    })
}

/// As [`open`], for an edit that may go on although the log of an NTFS volume is not clean: it is emptied, and the
/// volume marked so that Windows runs chkdsk ([`Ntfs::allow_unclean_log`]). Nothing else is opened differently.
///
/// # Errors
/// As [`open`].
pub fn open_clearing_log(
    kind: ProbeKind,
    disk: Arc<dyn DiskEdit>,
    clock: Timestamp,
) -> Result<Box<dyn FileEdit>> {
    if kind != ProbeKind::Ntfs {
        return open(kind, disk, clock);
    }
    let mut ntfs = Ntfs::open(disk, clock)?;
    ntfs.allow_unclean_log();
    Ok(Box::new(ntfs))
}

/// A file system that was opened after an edit, and remembers nothing of it: the reader that verifies.
#[derive(Debug)]
pub struct Fresh {
    fs: Own,
    disk: Arc<dyn DiskEdit>,
}

#[derive(Debug)]
enum Own {
    Ext(Box<Ext>),
    Xfs(Box<Xfs>),
    Ntfs(Box<Ntfs>),
    Btrfs(Box<Btrfs>),
}

impl Own {
    fn open(
        kind: ProbeKind,
        disk: Arc<dyn DiskEdit>,
        devices: &[Arc<dyn Disk>],
        clock: Timestamp,
    ) -> Result<Self> {
        match kind {
            ProbeKind::Ext2 | ProbeKind::Ext3 | ProbeKind::Ext4 => {
                Ok(Self::Ext(Box::new(Ext::open(disk, clock)?)))
            }
            ProbeKind::Xfs => Ok(Self::Xfs(Box::new(Xfs::open_with(disk, devices, clock)?))),
            ProbeKind::Ntfs => Ok(Self::Ntfs(Box::new(Ntfs::open(disk, clock)?))),
            ProbeKind::Btrfs => Ok(Self::Btrfs(Box::new(Btrfs::open(disk, clock)?))),
            _ => Err(reason_against(kind)),
        }
    }
}

impl Fresh {
    /// Opens the file system as [`open_with`] does.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(
        kind: ProbeKind,
        disk: Arc<dyn DiskEdit>,
        devices: &[Arc<dyn Disk>],
        clock: Timestamp,
    ) -> Result<Self> {
        Ok(Self { fs: Own::open(kind, disk.clone(), devices, clock)?, disk })
    }

    /// The file system for reading.
    pub fn file_system(&self) -> &dyn FileSystem {
        match &self.fs {
            Own::Ext(ext) => ext.as_ref(),
            Own::Xfs(xfs) => xfs.as_ref(),
            Own::Ntfs(ntfs) => ntfs.as_ref(),
            Own::Btrfs(btrfs) => btrfs.as_ref(),
        }
    }

    /// Checks what `expectations` say, with this reader and with another one where there is one. `written` are the
    /// bytes of the volume that the edit wrote.
    ///
    /// # Errors
    /// `Refused` ([`Refusal::NotVerified`]) if anything differs; `Io`.
    pub fn verify(&self, written: &[Range<u64>], expectations: &[Expectation]) -> Result<Verdict> {
        match &self.fs {
            Own::Xfs(xfs) => xfs::verify(xfs, written, expectations),
            Own::Ntfs(ntfs) => ntfs::verify(ntfs, written, expectations),
            Own::Btrfs(btrfs) => {
                check(&OwnReader(btrfs.as_ref()), expectations)?;
                let reason = "there is no independent reader for Btrfs".to_owned();
                Ok(Verdict::OwnReaderOnly { reason })
            }
            Own::Ext(ext) => {
                let below: Arc<dyn Disk> = self.disk.clone();
                ext::verify::verify(Arc::new(Cache::new(below)), ext.as_ref(), expectations)
            }
        }
    }
}

/// Why there is no editor for `kind`.
fn reason_against(kind: ProbeKind) -> Error {
    let what = match kind {
        ProbeKind::Luks { .. } => return encrypted("the LUKS volume"),
        ProbeKind::Bitlocker => return encrypted("the BitLocker volume"),
        ProbeKind::Ext2 | ProbeKind::Ext3 | ProbeKind::Ext4 => "ext",
        ProbeKind::Xfs => "XFS",
        ProbeKind::Btrfs => "Btrfs",
        ProbeKind::Ntfs => "NTFS",
        ProbeKind::Vfat => "FAT",
        ProbeKind::Exfat => "exFAT",
        ProbeKind::Lvm2 => "a physical volume of LVM",
        ProbeKind::MdRaid => "a member of a Linux software RAID",
        ProbeKind::Zfs => "ZFS",
        ProbeKind::Ufs { .. } => "UFS",
        ProbeKind::F2fs => "F2FS",
        ProbeKind::ExtJournal => "an external ext journal",
        ProbeKind::Swap { .. } => "swap space",
        ProbeKind::Iso9660 | ProbeKind::Squashfs | ProbeKind::Erofs => {
            let feature = kind.type_name().to_owned();
            return Refusal::NotWritable { feature }.into();
        }
    };
    Error::unsupported(format!("{what}: editing not supported yet"))
}

fn encrypted(what: &str) -> Error {
    Refusal::Encrypted { what: what.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_do_not_edit_is_named() {
        for (kind, name, text) in [
            (ProbeKind::F2fs, "unsupported", "F2FS: editing not supported yet"),
            (ProbeKind::Luks { version: 2 }, "refused", "the LUKS volume is encrypted"),
            (ProbeKind::Erofs, "refused", "editing with erofs is not supported"),
        ] {
            let error = reason_against(kind);
            assert_eq!((error.kind_name(), error.to_string().as_str()), (name, text));
        }
    }
}
