//! The inode trees of real volumes: what they say of every inode, and what damage is found.

use super::super::ag::Agi;
use super::super::btree::InodeChunk;
use super::super::testing::{base, db, fixture};
use super::super::units::{AgInode, AgNumber, InodeNumber};
use super::super::volume::Volume;
use super::unlinked::UnlinkedDefect;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

const CLOCK: Timestamp = Timestamp { seconds: 1_800_000_000, nanoseconds: 5 };

/// Volumes of every layout that matters to inodes.
const LAYOUTS: &[&str] = &[
    "default",
    "rhel7",
    "al2",
    "rhel8",
    "rhel10",
    "parent",
    "block-1k",
    "block-1k-rmap",
    "block-16k",
    "block-64k",
    "sector-4k",
    "inode-1k",
    "inode-2k",
    "no-sparse",
    "no-inobtcount",
    "one-group",
    "stripes",
    "v4",
    "v4-512",
    "v4-finobt-inode-1k",
];

fn open(disk: Arc<Overlay>) -> Volume {
    Volume::open(disk, CLOCK).unwrap()
}

/// The numbers of all inodes in use, as the directory tree has them: `xfs_db` knows it.
fn named_inodes(name: &str) -> BTreeSet<u64> {
    let text = db(&*base(name), &["blockget -n", "ncheck"]);
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse().ok());
    text.lines().filter_map(number).collect()
}

#[test]
fn the_trees_of_all_layouts_agree() {
    for name in LAYOUTS {
        let volume = open(fixture(name));
        for ag in 0..volume.superblock().ag_count {
            volume
                .check_inode_trees(AgNumber(ag))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn an_inode_with_a_name_is_in_use_and_others_are_not() {
    for name in ["default", "rhel7", "block-64k"] {
        let volume = open(fixture(name));
        let named = named_inodes(name);
        assert!(named.len() > 40, "{name}: {named:?}");
        let root = volume.superblock().root.0;
        for number in root..root + 4096 {
            // The two inodes behind the root belong to the realtime device.
            let is_hidden = (root..root + 3).contains(&number);
            let expected = named.contains(&number) || is_hidden;
            let found = volume.is_allocated(InodeNumber(number)).unwrap_or(false);
            assert_eq!(found, expected, "{name}: {number}");
        }
    }
}

#[test]
fn a_clean_volume_has_no_unlinked_inodes() {
    for name in LAYOUTS {
        assert_eq!(open(fixture(name)).unlinked().unwrap(), [], "{name}");
    }
}

/// Takes the names of the first inodes behind the root that hold files, and puts them on their lists.
fn orphaned(volume: &Volume, numbers: &[u64]) {
    for &number in numbers {
        let mut inode = volume.load_inode(InodeNumber(number)).unwrap();
        let (ag, at) = volume.superblock().split_inode(inode.number).unwrap();
        let mut agi = Agi::load(volume, ag).unwrap();
        let head = &mut agi.unlinked[(at.0 % 64) as usize];
        inode.set_link_count(0).unwrap();
        inode.set_next_unlinked(head.unwrap_or(AgInode(u32::MAX))).unwrap();
        *head = Some(at);
        agi.store(volume).unwrap();
        volume.store_inode(&mut inode).unwrap();
    }
}

/// Three inodes in use that belong on the same list.
fn same_list(volume: &Volume) -> Vec<u64> {
    let mut lists: HashMap<(AgNumber, u32), Vec<u64>> = HashMap::new();
    for ag in (0..volume.superblock().ag_count).map(AgNumber) {
        let add = |chunk: InodeChunk| {
            for inode in (0..64).map(|index| chunk.inode(index)) {
                if chunk.is_in_use(inode) {
                    let number = volume.superblock().join_inode(ag, inode).unwrap();
                    lists.entry((ag, inode.0 % 64)).or_default().push(number.0);
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        volume.inode_tree(ag).visit_all(add).unwrap();
    }
    lists.into_values().find(|list| list.len() >= 3).expect("three inodes of one list")
}

#[test]
fn unlinked_inodes_are_found_and_taken_off_their_lists() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut volume = open(fixture("default"));
        let numbers = same_list(&volume);
        orphaned(&volume, &numbers);
        let mut expected: Vec<_> = numbers.iter().rev().map(|&n| InodeNumber(n)).collect();
        assert_eq!(volume.unlinked().unwrap(), expected);
        for index in order {
            let number = InodeNumber(numbers[index]);
            let mut inode = volume.load_inode(number).unwrap();
            volume.remove_unlinked(&mut inode).unwrap();
            volume.store_inode(&mut inode).unwrap();
            expected.retain(|&other| other != number);
            assert_eq!(volume.unlinked().unwrap(), expected, "{order:?}");
            assert_eq!(inode.next_unlinked(), AgInode(u32::MAX));
            let again = volume.remove_unlinked(&mut inode).unwrap_err().to_string();
            assert!(again.contains(&UnlinkedDefect::Missing(number).to_string()), "{again}");
        }
    }
}

#[test]
fn damaged_unlinked_lists_are_found() {
    type Damage = fn(&Volume, &[u64]);
    let cases: [(&str, Damage); 4] = [
        ("is listed twice", |volume, list| relink(volume, list[0], 0, list[2])),
        ("where it does not belong", |volume, list| relink(volume, list[0], 0, list[2] + 1)),
        ("names", |volume, list| relink(volume, list[1], 2, list[0])),
        ("is free", |volume, list| {
            let mut inode = volume.load_inode(InodeNumber(list[1])).unwrap();
            inode.set_mode(0).unwrap();
            volume.store_inode(&mut inode).unwrap();
        }),
    ];
    for (message, damage) in cases {
        let volume = open(fixture("default"));
        let list = same_list(&volume);
        orphaned(&volume, &list);
        damage(&volume, &list);
        let error = volume.unlinked().unwrap_err();
        assert_eq!(error.kind_name(), "corrupt", "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

fn relink(volume: &Volume, number: u64, links: u32, next: u64) {
    let mut inode = volume.load_inode(InodeNumber(number)).unwrap();
    let (_, next) = volume.superblock().split_inode(InodeNumber(next)).unwrap();
    inode.set_link_count(links).unwrap();
    inode.set_next_unlinked(next).unwrap();
    volume.store_inode(&mut inode).unwrap();
}
