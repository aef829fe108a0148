//! The layers of the matrix: how a volume lies on a disk, put there and taken out without regain.

use crate::support::lvm::{self, Lay};
use crate::support::mounted_disk::MountedDisk;
use crate::support::scratch::Scratch;
use crate::support::{luks, tools};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// How a volume lies on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the disk.
    Bare,
    /// The one partition of a GPT.
    Gpt,
    /// The one partition of an MBR.
    Mbr,
    /// A logical volume in two segments.
    Lvm,
    /// In LUKS2.
    Luks,
    /// In a logical volume in LUKS1.
    LuksLvm,
}

impl Place {
    /// Its number, from 0.
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// True if a passphrase is needed.
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Luks | Self::LuksLvm)
    }

    fn luks(self) -> luks::Kind {
        if self == Self::Luks { luks::Kind::Second } else { luks::Kind::First }
    }

    /// The disk with `volume` in it.
    pub(crate) fn put(self, scratch: &Scratch, volume: &Path) -> PathBuf {
        let path = scratch.join("whole.disk");
        match self {
            Self::Bare => tools::copy_sparse(volume, &path),
            Self::Gpt => {
                MountedDisk::new(scratch, "whole.disk", &[volume]);
            }
            Self::Mbr => put_mbr(volume, &path),
            Self::Lvm => put_lvm(scratch, volume, &path),
            Self::Luks => luks::put(volume, self.luks(), &path),
            Self::LuksLvm => {
                let physical = scratch.join("physical");
                put_lvm(scratch, volume, &physical);
                luks::put(&physical, self.luks(), &path);
                std::fs::remove_file(physical).unwrap();
            }
        }
        path
    }

    /// The volume of `len_bytes` that lies in `disk`.
    pub(crate) fn take(self, scratch: &Scratch, disk: &Path, len_bytes: u64) -> PathBuf {
        let path = scratch.join("taken.volume");
        match self {
            Self::Bare => cut(disk, 0, len_bytes, &path),
            Self::Gpt | Self::Mbr => cut(disk, MIB, len_bytes, &path),
            Self::Lvm => lvm::take(&[disk.to_owned()], Lay::Linear, len_bytes, &path),
            Self::Luks => luks::take(disk, self.luks(), len_bytes, &path),
            Self::LuksLvm => {
                let physical = scratch.join("physical");
                let physical_bytes = Lay::Linear.group(len_bytes).physical_bytes(0);
                luks::take(disk, self.luks(), physical_bytes, &physical);
                lvm::take(std::slice::from_ref(&physical), Lay::Linear, len_bytes, &path);
                std::fs::remove_file(physical).unwrap();
            }
        }
        path
    }
}

fn put_lvm(scratch: &Scratch, volume: &Path, path: &Path) {
    let disks = lvm::put(volume, Lay::Linear, scratch.path());
    assert_eq!(disks.len(), 1);
    std::fs::rename(&disks[0], path).unwrap();
}

/// A table with one partition of type 83 from 1 MiB on.
fn put_mbr(volume: &Path, path: &Path) {
    let size_bytes = volume.metadata().unwrap().len();
    let mut table = [0; 512];
    let entry = &mut table[446..462];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&2048u32.to_le_bytes());
    entry[12..16].copy_from_slice(&u32::try_from(size_bytes / 512).unwrap().to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let file = File::create(path).unwrap();
    file.set_len(size_bytes + 2 * MIB).unwrap();
    file.write_all_at(&table, 0).unwrap();
    copy(volume, 0, size_bytes, &file, MIB);
}

fn cut(disk: &Path, start_bytes: u64, len_bytes: u64, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(len_bytes).unwrap();
    copy(disk, start_bytes, len_bytes, &file, 0);
}

/// Zeros stay holes.
fn copy(from: &Path, start_bytes: u64, len_bytes: u64, to: &File, to_bytes: u64) {
    let from = File::open(from).unwrap();
    let mut buffer = vec![0; 1 << 16];
    for at in (0..len_bytes).step_by(buffer.len()) {
        let len = (len_bytes - at).min(buffer.len() as u64) as usize;
        from.read_exact_at(&mut buffer[..len], start_bytes + at).unwrap();
        if buffer[..len].iter().any(|&byte| byte != 0) {
            to.write_all_at(&buffer[..len], to_bytes + at).unwrap();
        }
    }
}
