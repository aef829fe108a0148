//! Volumes that are refused for editing, each by name; and volumes that are full.

use super::super::Btrfs;
use super::super::key::{Key, item, object};
use super::super::superblock::COPIES;
use super::super::testing::{assert_clean, fixture, run, sized};
use super::super::volume::Volume;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::testing::directory;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::error::{ErrorKind, Refusal};
use crate::fs::{FileEdit as _, FileSystem as _, NewNode, Timestamp};
use std::sync::Arc;

fn open(disk: &Arc<Overlay>) -> Volume {
    Volume::open(disk.clone()).unwrap()
}

fn refusal(disk: &Arc<Overlay>) -> String {
    let error = open(disk).check_editable().unwrap_err();
    assert_eq!(error.kind_name(), "refused", "{error}");
    error.to_string()
}

/// A volume whose superblocks have other bytes at an offset.
fn with_bytes(at: usize, bytes: &[u8]) -> Arc<Overlay> {
    let disk = fixture(&[]);
    let checksum = open(&disk).superblock().checksum;
    for place in &COPIES[..2] {
        let mut raw = disk.read_vec(*place, 4096).unwrap();
        raw[at..at + bytes.len()].copy_from_slice(bytes);
        let sum = checksum.of(&raw[32..]);
        raw[..32].copy_from_slice(&sum);
        disk.write_at(*place, &raw, "superblock").unwrap();
    }
    disk
}

#[test]
fn what_the_superblock_says_is_refused_by_name() {
    for (at, bytes, expected) in [
        (0x88, &[2][..], "editing with Btrfs on 2 devices is not supported"),
        (0x38, &[5], "the file system needs a check: the superblock is marked as having errors"),
        (0x38, &[1, 0, 0, 0, 1], "editing with a seed device is not supported"),
        (0x38, &[1, 0, 0, 0, 4], "editing with a dump of metadata (btrfs-image) is not supported"),
        (0x38, &[1, 0, 0, 0, 8], "editing with an interrupted btrfstune is not supported"),
        (
            0xd1,
            &[0, 0, 0, 9],
            "the file system needs a check: it has 150994944 bytes, on a disk or partition of 134217728",
        ),
        (0xbc, &[0x61, 0x13], "editing with ZONED is not supported"),
        (0xbc, &[0x61, 0x03, 0x01], "editing with SIMPLE_QUOTA is not supported"),
        (0xbc, &[0x60, 0x03], "editing with back references of the first kind is not supported"),
        (0xb4, &[0x13], "unknown file-system feature compat_ro 0x10"),
        (
            0xb4,
            &[0x01],
            "editing with a free space tree that is not marked as valid is not supported",
        ),
    ] {
        assert_eq!(refusal(&with_bytes(at, bytes)), expected);
    }
}

#[test]
fn features_that_move_everything_are_refused_for_reading_by_name() {
    for (byte, name) in [(0x20, "EXTENT_TREE_V2"), (0x40, "RAID_STRIPE_TREE")] {
        let disk = with_bytes(0xbd, &[byte | 0x03]);
        let error = Volume::open(disk.clone()).unwrap_err();
        assert_eq!(error.to_string(), format!("file-system feature {name}"));
    }
}

#[test]
fn operations_that_were_interrupted_are_refused_by_name() {
    for (tree, key, data, expected) in [
        (
            object::ROOT_TREE,
            Key::new(object::BALANCE, item::TEMPORARY_ITEM, 0),
            vec![0; 448],
            "a balance in progress",
        ),
        (
            object::DEV_TREE,
            Key::new(0, item::DEV_REPLACE, 0),
            [vec![0; 24], vec![1], vec![0; 47]].concat(),
            "a device replacement in progress",
        ),
    ] {
        let disk = fixture(&[]);
        let mut volume = open(&disk);
        volume.insert(tree, key, data).unwrap();
        volume.commit(Timestamp::default()).unwrap();
        assert!(refusal(&disk).contains(expected), "{}", refusal(&disk));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests write their own images")]
fn profiles_over_several_devices_are_refused_by_name() {
    for (profile, expected) in [
        ("raid1", "editing with Btrfs on 2 devices is not supported"),
        ("raid0", "the Btrfs profile RAID0"),
    ] {
        let directory = directory();
        let images = ["a", "b"].map(|name| directory.path().join(name));
        for image in &images {
            std::fs::File::create(image).unwrap().set_len(128 << 20).unwrap();
        }
        let paths = images.each_ref().map(|image| image.to_str().unwrap());
        let output = run("mkfs.btrfs", &["-q", "-m", profile, "-d", profile, paths[0], paths[1]]);
        assert!(output.status.success(), "{output:?}");
        let bytes = std::fs::read(&images[0]).unwrap();
        let disk = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))));
        let error = match Volume::open(disk) {
            Ok(volume) => volume.check_editable().unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_full_volume_is_refused_and_stays_as_it_was() {
    for arguments in [&["--mixed", "-n", "4096"][..], &["-m", "single", "-n", "16384"]] {
        let disk = Arc::new(Overlay::new(sized(110 << 20, arguments)));
        let new = NewNode { mode: 0o644, ..NewNode::default() };
        let content = vec![b'x'; 15 << 20];
        let mut refused = None;
        for number in 0..60 {
            let before = disk.savepoint();
            let mut fs = Btrfs::open(disk.clone(), Timestamp::default()).unwrap();
            let name = format!("file-{number}");
            let result = fs.create_file(fs.root(), name.as_bytes(), &new, &content);
            if let Err(error) = result.and_then(|_| fs.finish()) {
                disk.roll_back(before);
                refused = Some(error);
                break;
            }
        }
        let error = refused.unwrap();
        let is_full = matches!(error.kind(), ErrorKind::Refused(Refusal::NoSpace { what, .. }) if what.contains("bytes"));
        assert!(is_full, "{error}");
        assert_clean(&*disk, "full");
        // What needs no data still has room.
        let mut fs = Btrfs::open(disk.clone(), Timestamp::default()).unwrap();
        fs.create_file(fs.root(), b"small", &new, b"small").unwrap();
        fs.finish().unwrap();
        assert_clean(&*disk, "full, and one small file more");
    }
}
