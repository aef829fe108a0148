//! Volumes made by the tools of each file system (VOL-3). A missing tool fails its test; the packages are
//! e2fsprogs, util-linux, xfsprogs, btrfs-progs, ntfs-3g, dosfstools, exfatprogs, f2fs-tools, erofs-utils,
//! squashfs-tools, genisoimage, cryptsetup-bin and gdisk.

use super::*;
use crate::disk::memory::MemoryDisk;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const MIB: u64 = 1024 * 1024;
const UUID: &str = "01234567-89ab-4def-8123-456789abcdef";

/// Runs a command line whose words contain no spaces; `{}` is the image.
fn run(directory: &Path, line: &str) {
    let image = directory.join("image");
    let mut words = line.split(' ').map(|word| word.replace("{}", image.to_str().unwrap()));
    let program = words.next().unwrap();
    let output = Command::new(&program)
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image of `size` bytes after `lines` have been run on it.
fn image_made_by(size: u64, lines: &[&str]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let file = std::fs::File::create_new(directory.path().join("image")).unwrap();
    file.set_len(size).unwrap();
    for line in lines {
        run(directory.path(), line);
    }
    std::fs::read(directory.path().join("image")).unwrap()
}

fn probe_bytes(bytes: &[u8]) -> Option<Probe> {
    probe(&MemoryDisk::new(bytes.to_vec())).unwrap()
}

#[track_caller]
fn assert_probe(size: u64, lines: &[&str], kind: ProbeKind, label: &str, uuid: &str) {
    let found = probe_bytes(&image_made_by(size, lines));
    let expected = Probe { kind, label: label.into(), uuid: uuid.into() };
    assert_eq!(found, Some(expected), "{lines:?}");
}

#[test]
fn ext_is_told_apart_by_its_features() {
    for (tool, kind) in [
        ("mke2fs -q -t ext2", ProbeKind::Ext2),
        ("mke2fs -q -t ext2 -b 1024", ProbeKind::Ext2),
        ("mke2fs -q -t ext3", ProbeKind::Ext3),
        ("mke2fs -q -t ext4", ProbeKind::Ext4),
        ("mke2fs -q -t ext4 -O ^has_journal", ProbeKind::Ext4),
        ("mke2fs -q -t ext2 -O extents", ProbeKind::Ext4),
    ] {
        let line = format!("{tool} -L root -U {UUID} {{}}");
        assert_probe(16 * MIB, &[&line], kind, "root", UUID);
    }
    let line = format!("mke2fs -q -O journal_dev -b 4096 -U {UUID} {{}}");
    assert_probe(16 * MIB, &[&line], ProbeKind::ExtJournal, "", UUID);
}

#[test]
fn file_systems_of_linux() {
    let xfs = format!("mkfs.xfs -q -L root -m uuid={UUID} {{}}");
    assert_probe(300 * MIB, &[&xfs], ProbeKind::Xfs, "root", UUID);
    let btrfs = format!("mkfs.btrfs -q -L root -U {UUID} {{}}");
    assert_probe(128 * MIB, &[&btrfs], ProbeKind::Btrfs, "root", UUID);
    let f2fs = format!("mkfs.f2fs -q -l root -U {UUID} {{}}");
    assert_probe(64 * MIB, &[&f2fs], ProbeKind::F2fs, "root", UUID);
    let erofs = format!("mkfs.erofs -U {UUID} {{}} tree");
    assert_probe(0, &["mkdir tree", &erofs], ProbeKind::Erofs, "", UUID);
    let squashfs = ["mkdir tree", "mksquashfs tree {} -noappend -quiet"];
    assert_probe(0, &squashfs, ProbeKind::Squashfs, "", "");
}

/// VOL-30.
#[test]
fn swap_and_a_suspended_system_in_it() {
    for page_bytes in [4096, 16384, 65536] {
        let line = format!("mkswap -q -p {page_bytes} -L swap -U {UUID} {{}}");
        let mut bytes = image_made_by(4 * MIB, &[&line]);
        let named = |is_hibernated| {
            let kind = ProbeKind::Swap { is_hibernated };
            Some(Probe { kind, label: b"swap".into(), uuid: UUID.into() })
        };
        assert_eq!(probe_bytes(&bytes), named(false), "{page_bytes}");
        bytes[page_bytes - 10..page_bytes].copy_from_slice(b"S1SUSPEND\0");
        assert_eq!(probe_bytes(&bytes), named(true), "{page_bytes}");
    }
}

#[test]
fn file_systems_of_others() {
    for bits in ["12", "16", "32"] {
        let line = format!("mkfs.vfat -F {bits} -n EFI -i 89abcdef {{}}");
        let size = if bits == "12" { 8 * MIB } else { 64 * MIB };
        assert_probe(size, &[&line], ProbeKind::Vfat, "EFI", "89AB-CDEF");
    }
    assert_probe(8 * MIB, &["mkfs.vfat -i 1 {}"], ProbeKind::Vfat, "", "0000-0001");
    let iso = ["mkdir tree", "genisoimage -quiet -V CIDATA -o {} tree"];
    assert_probe(0, &iso, ProbeKind::Iso9660, "CIDATA", "");
    let ntfs = probe_bytes(&image_made_by(16 * MIB, &["mkntfs -q -F -f -T {}"])).unwrap();
    assert_eq!((ntfs.kind.type_name(), ntfs.uuid.len()), ("ntfs", 16));
    let exfat = probe_bytes(&image_made_by(16 * MIB, &["mkfs.exfat {}"])).unwrap();
    assert_eq!((exfat.kind.type_name(), exfat.uuid.len()), ("exfat", 9));
}

#[test]
fn containers() {
    let key = "dd if=/dev/zero of=key bs=32 count=1 status=none";
    let pbkdf = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    for (version, label) in [(1, ""), (2, "secret")] {
        let label_option =
            if label.is_empty() { String::new() } else { format!(" --label {label}") };
        let line = format!(
            "cryptsetup luksFormat -q --type luks{version}{label_option} {pbkdf} --uuid {UUID} {{}} key"
        );
        assert_probe(32 * MIB, &[key, &line], ProbeKind::Luks { version }, label, UUID);
    }
    // pvcreate works on devices only; these are the bytes that it wrote to one.
    let uuid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg";
    let mut bytes = vec![0; 8 * 1024];
    bytes[512..520].copy_from_slice(b"LABELONE");
    bytes[532..536].copy_from_slice(&32u32.to_le_bytes());
    bytes[536..544].copy_from_slice(b"LVM2 001");
    bytes[544..576].copy_from_slice(uuid.replace('-', "").as_bytes());
    let expected = Probe { kind: ProbeKind::Lvm2, label: Vec::new(), uuid: uuid.into() };
    assert_eq!(probe_bytes(&bytes), Some(expected));
}

fn md_superblock(offset_bytes: usize) -> Vec<u8> {
    let mut superblock = vec![0; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efcu32.to_le_bytes());
    superblock[4] = 1;
    superblock[16..32].copy_from_slice(&[7; 16]);
    superblock[32..38].copy_from_slice(b"host:0");
    superblock[144..152].copy_from_slice(&(offset_bytes as u64 / 512).to_le_bytes());
    superblock
}

#[test]
fn raid_members_hide_the_file_system_inside() {
    let ext = image_made_by(4 * MIB + 4096, &["mke2fs -q -t ext4 {}"]);
    // Version 1.0 and 0.90 stand at the end, and the file system of a mirror shows at the start.
    let at_end = (ext.len() - 8192) & !4095;
    for offset in [4096, at_end] {
        let mut member = ext.clone();
        member[offset..offset + 256].copy_from_slice(&md_superblock(offset));
        let found = probe_bytes(&member).unwrap();
        assert_eq!((found.kind, found.label.as_slice()), (ProbeKind::MdRaid, b"host:0".as_slice()));
        assert_eq!(found.uuid, "07070707-0707-0707-0707-070707070707");
    }
    // One that names another place is no superblock.
    let mut member = ext.clone();
    member[at_end..at_end + 256].copy_from_slice(&md_superblock(512));
    assert_eq!(probe_bytes(&member).unwrap().kind, ProbeKind::Ext4);
    let mut member = ext.clone();
    let offset = (ext.len() & !65535) - 65536;
    member[offset..offset + 4].copy_from_slice(&0xa92b_4efcu32.to_le_bytes());
    member[offset + 8] = 90;
    member[offset + 20..offset + 24].copy_from_slice(&0x0123_4567u32.to_le_bytes());
    let found = probe_bytes(&member).unwrap();
    assert_eq!((found.kind, &found.uuid[..8]), (ProbeKind::MdRaid, "01234567"));
}

/// `wipefs` was not run before the disk was partitioned.
#[test]
fn a_leftover_beside_a_partition_table_does_not_count() {
    let btrfs = "mkfs.btrfs -q -f {}";
    let table = "sgdisk -n1:2048:0 {}";
    let both = image_made_by(128 * MIB, &[btrfs, table]);
    assert_eq!(probe_bytes(&both), None);
    assert_eq!(
        probe_bytes(&image_made_by(128 * MIB, &[table, btrfs])).unwrap().kind.type_name(),
        "btrfs"
    );
}

#[test]
fn signatures_for_which_there_is_no_tool_here() {
    let with = |len: usize, parts: &[(usize, &[u8])]| {
        let mut bytes = vec![0; len];
        for (offset, part) in parts {
            bytes[*offset..offset + part.len()].copy_from_slice(part);
        }
        probe_bytes(&bytes).map(|found| found.kind)
    };
    let ufs2 = 0x1954_0119u32;
    for magic in [ufs2.to_le_bytes(), ufs2.to_be_bytes()] {
        let kind = with(128 * 1024, &[(65536 + 1372, &magic)]);
        assert_eq!(kind, Some(ProbeKind::Ufs { version: 2 }));
    }
    let ufs1 = 0x0001_1954u32.to_le_bytes();
    assert_eq!(with(32768, &[(8192 + 1372, &ufs1)]), Some(ProbeKind::Ufs { version: 1 }));
    let uberblock = 0x00ba_b10cu64.to_be_bytes();
    assert_eq!(with(300 * 1024, &[(132 * 1024, &uberblock)]), Some(ProbeKind::Zfs));
    assert_eq!(with(512, &[(3, b"-FVE-FS-")]), Some(ProbeKind::Bitlocker));
}

#[test]
fn junk_is_nothing() {
    for len in [0, 1, 511, 512, 1024, 1100, 4096, 65536, 70_000, 300_000] {
        assert_eq!(probe_bytes(&vec![0; len]), None, "{len} zeros");
        assert_eq!(probe_bytes(&vec![0xff; len]), None, "{len} ones");
    }
}

proptest::proptest! {
    /// Every truncation and mutation of something that is recognised is recognised or not, but never an error.
    #[test]
    fn no_input_is_an_error(
        kind in 0..6usize, len in 0..140_000usize,
        changes in proptest::collection::vec((0..70_000usize, proptest::prelude::any::<u8>()), 0..20),
    ) {
        let mut bytes = vec![0; 140_000];
        let (offset, magic): (usize, &[u8]) = [
            (0, b"XFSB\0\0\x10\0".as_slice()), (1080, &[0x53, 0xef]), (512, b"LABELONE"),
            (0, b"LUKS\xba\xbe\0\x02"), (65600, b"_BHRfS_M"), (4086, b"SWAPSPACE2"),
        ][kind];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(len);
        probe(&MemoryDisk::new(bytes)).unwrap();
    }
}
