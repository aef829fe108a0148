//! Reading volumes of `mkfs.btrfs`, against what `btrfs inspect-internal` says of them.

use super::key::{Key, item, object};
use super::testing::{base, dump, fixture};
use super::volume::Volume;
use crate::disk::DiskEdit as _;
use std::ops::ControlFlow;
use std::sync::Arc;

const VARIANTS: &[&[&str]] = &[
    &[],
    &["-n", "4096", "-m", "single"],
    &["-n", "65536", "-m", "dup"],
    &["--csum", "xxhash", "-R", "free-space-tree"],
    &["--csum", "sha256", "-O", "no-holes"],
    &["--csum", "blake2", "-R", "free-space-tree"],
    &["-O", "^skinny-metadata", "-R", "^free-space-tree"],
    &["--mixed", "-n", "4096"],
];

/// Every key of a tree, as `dump-tree` shows it: object, type, offset.
fn keys(volume: &Volume, tree: u64) -> Vec<Key> {
    let mut keys = Vec::new();
    let root = volume.root(tree).unwrap();
    volume
        .for_each(&root, Key::MIN, Key::MAX, &mut |key, _| {
            keys.push(key);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    keys
}

#[test]
fn every_tree_has_as_many_items_as_the_tools_say() {
    for arguments in VARIANTS {
        let disk = fixture(arguments);
        let volume = Volume::open(disk.clone()).unwrap();
        for tree in [1, 2, 3, 4, 5, 7] {
            let text = dump(&*disk, &["-t", &tree.to_string()]);
            let expected = text.lines().filter(|line| line.starts_with("\titem ")).count();
            assert_eq!(keys(&volume, tree).len(), expected, "{arguments:?}: tree {tree}");
        }
    }
}

#[test]
fn items_are_found_by_key_from_both_sides() {
    let volume = Volume::open(fixture(&["-n", "4096"])).unwrap();
    let root = volume.root(object::FS_TREE).unwrap();
    assert!(root.level > 0, "the tree must have nodes");
    let keys = keys(&volume, object::FS_TREE);
    for (index, &key) in keys.iter().enumerate() {
        assert!(volume.get(&root, key).unwrap().is_some());
        let above = Key::new(key.objectid, key.kind, key.offset.wrapping_add(1));
        let next = keys.get(index + 1).copied();
        if next.is_none_or(|next| next > above) {
            assert_eq!(volume.get(&root, above).unwrap(), None);
            assert_eq!(volume.last_up_to(&root, above).unwrap().unwrap().0, key);
            assert_eq!(volume.first_from(&root, above).unwrap().map(|found| found.0), next);
        }
    }
    assert_eq!(volume.last_up_to(&root, Key::MIN).unwrap(), None);
    let inode = Key::new(256, item::INODE_ITEM, 0);
    assert_eq!(volume.get(&root, inode).unwrap().unwrap().len(), 160);
}

#[test]
fn a_damaged_copy_is_passed_over_and_two_are_an_error() {
    let disk = fixture(&["-m", "dup"]);
    let root = Volume::open(disk.clone()).unwrap().root(object::FS_TREE).unwrap();
    let copies = Volume::open(disk.clone()).unwrap().chunks().copies(root.bytenr, 4096).unwrap();
    let [first, second] = copies[..] else { panic!("{copies:?}") };
    disk.write_at(first + 300, b"damage", "damage").unwrap();
    let volume = Volume::open(disk.clone()).unwrap();
    volume.root_node(&root).unwrap();
    disk.write_at(second + 300, b"damage", "damage").unwrap();
    let volume = Volume::open(disk).unwrap();
    let error = volume.root_node(&root).unwrap_err().to_string();
    assert!(
        error.starts_with("tree 5: tree block at ") && error.ends_with("wrong checksum"),
        "{error}"
    );
}

#[test]
fn the_second_superblock_serves_for_reading() {
    let disk = fixture(&[]);
    disk.write_at(64 * 1024 + 100, b"damage", "damage").unwrap();
    let volume = Volume::open(disk.clone()).unwrap();
    assert!(volume.first_copy().unwrap().to_string().contains("wrong checksum"));
    disk.write_at(64 * 1024 * 1024 + 100, b"damage", "damage").unwrap();
    assert!(Volume::open(disk).is_err());
}

#[test]
fn a_flipped_bit_in_the_chunk_array_is_no_panic() {
    let base = base(&[]);
    let overlay = crate::disk::overlay::Overlay::new(base);
    let disk = Arc::new(overlay);
    let superblock = Volume::open(disk.clone()).unwrap().superblock().clone();
    for at in (0x32b..0x32b + 17 + 48 + 64).step_by(3) {
        let mut raw = superblock.raw.clone();
        raw[at] ^= 0x91;
        let checksum = superblock.checksum.of(&raw[32..]);
        raw[..32].copy_from_slice(&checksum);
        disk.write_at(64 * 1024, &raw, "damage").unwrap();
        let _ = Volume::open(disk.clone());
    }
}
