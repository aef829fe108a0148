//! Transactions on volumes of `mkfs.btrfs`, judged by `btrfs check`.

use super::super::checksum::name_hash;
use super::super::extent::change::Extent;
use super::super::extent::item::Reference;
use super::super::key::{Key, item, object};
use super::super::testing::{CLOCK, RECORDED, assert_clean, fixture, recorded};
use super::super::volume::Volume;
use crate::disk::overlay::Overlay;
use std::ops::ControlFlow;
use std::sync::Arc;

const VARIANTS: &[&[&str]] = &[
    &[],
    &["-n", "4096", "-m", "single"],
    &["-n", "65536", "-m", "dup"],
    &["--csum", "xxhash", "-R", "free-space-tree"],
    &["--csum", "sha256", "-R", "^free-space-tree"],
    &["--csum", "blake2", "-n", "4096", "-R", "free-space-tree"],
    &["-O", "^skinny-metadata", "-n", "4096", "-R", "^free-space-tree"],
    &["--mixed", "-n", "4096"],
    &["-s", "16384", "-n", "16384"],
    &["-s", "65536", "-n", "65536", "--csum", "sha256"],
    &["-O", "block-group-tree", "-n", "4096"],
];

fn open(disk: &Arc<Overlay>) -> Volume {
    Volume::open(disk.clone()).unwrap()
}

/// The item of an extended attribute `user.NUMBER` of the root directory.
fn attribute(number: u32, len: usize) -> (Key, Vec<u8>) {
    let name = format!("user.{number}");
    let mut data = vec![0; 30];
    data[25..27].copy_from_slice(&(len as u16).to_le_bytes());
    data[27..29].copy_from_slice(&(name.len() as u16).to_le_bytes());
    data[29] = 8;
    data.extend(name.as_bytes());
    data.extend(vec![b'x'; len]);
    (Key::new(256, item::XATTR_ITEM, name_hash(name.as_bytes())), data)
}

#[test]
fn a_transaction_that_only_copies_is_clean() {
    for arguments in VARIANTS {
        let disk = fixture(arguments);
        let mut volume = open(&disk);
        volume.check_editable().unwrap();
        let generation = volume.superblock().generation;
        volume.writable_path(object::FS_TREE, Key::first_of(256)).unwrap();
        volume.commit(CLOCK).unwrap();
        assert_eq!(open(&disk).superblock().generation, generation + 1);
        assert_clean(&*disk, &format!("{arguments:?}"));
    }
}

#[test]
fn trees_grow_and_shrink() {
    for arguments in VARIANTS {
        let disk = fixture(arguments);
        let mut volume = open(&disk);
        for number in 0..400 {
            let (key, data) = attribute(number, 700);
            volume.insert(object::FS_TREE, key, data).unwrap();
        }
        volume.commit(CLOCK).unwrap();
        assert_clean(&*disk, &format!("{arguments:?}: grown"));
        let mut volume = open(&disk);
        for number in 0..400 {
            let key = attribute(number, 700).0;
            if number % 3 == 0 {
                volume.replace(object::FS_TREE, key, attribute(number, 10).1).unwrap();
            } else {
                volume.delete(object::FS_TREE, key).unwrap();
            }
        }
        volume.commit(CLOCK).unwrap();
        assert_clean(&*disk, &format!("{arguments:?}: shrunk"));
        let mut volume = open(&disk);
        for number in (0..400).step_by(3) {
            volume.delete(object::FS_TREE, attribute(number, 0).0).unwrap();
        }
        volume.commit(CLOCK).unwrap();
        assert_clean(&*disk, &format!("{arguments:?}: as before"));
    }
}

#[test]
fn data_and_its_checksums_come_and_go() {
    for arguments in VARIANTS {
        let disk = fixture(arguments);
        let mut volume = open(&disk);
        // Data that nobody keeps.
        let user = Reference::Data { root: 5, inode: 257, offset: 0 };
        let (bytenr, bytes) = volume.allocate_data(1 << 20, user).unwrap().unwrap();
        volume.write_data(bytenr, &vec![7; bytes as usize], false, "data").unwrap();
        volume.change_reference(bytenr, Extent::Data(bytes), user, -1);
        volume.commit(CLOCK).unwrap();
        assert_clean(&*disk, &format!("{arguments:?}"));
    }
}

/// The trees of all subvolumes.
fn subvolumes(volume: &Volume) -> Vec<u64> {
    let mut trees = Vec::new();
    let (from, to) = (Key::first_of(object::FS_TREE), Key::last_of(object::LAST_FREE));
    volume
        .for_each(&volume.root_tree(), from, to, &mut |key, _| {
            if key.kind == item::ROOT_ITEM && object::is_subvolume(key.objectid) {
                trees.push(key.objectid);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    trees
}

/// Every `step`th inode of a tree.
fn inodes(volume: &Volume, tree: u64, step: usize) -> Vec<u64> {
    let mut inodes = Vec::new();
    let root = volume.root(tree).unwrap();
    volume
        .for_each(&root, Key::MIN, Key::MAX, &mut |key, _| {
            if key.kind == item::INODE_ITEM {
                inodes.push(key.objectid);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    inodes.into_iter().step_by(step).collect()
}

#[test]
fn blocks_that_snapshots_share_are_left_to_the_others() {
    for name in RECORDED {
        let disk = recorded(name);
        let mut volume = open(&disk);
        volume.check_editable().unwrap();
        for (round, step) in [(0, 40), (1, 1)] {
            for tree in subvolumes(&volume) {
                for inode in inodes(&volume, tree, step).into_iter().take(200) {
                    let (key, data) = attribute(round, 30 + inode as usize % 300);
                    let key = Key { objectid: inode, ..key };
                    volume.insert(tree, key, data).unwrap();
                }
                if tree % 2 == 0 || round == 1 {
                    volume.commit(CLOCK).unwrap();
                }
            }
            volume.commit(CLOCK).unwrap();
            assert_clean(&*disk, &format!("{name}: round {round}"));
        }
    }
}
