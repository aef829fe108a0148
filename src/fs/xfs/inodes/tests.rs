//! The inode trees of real volumes: what they say of every inode, and what damage is found.

use super::super::ag::Agi;
use super::super::btree::InodeChunk;
use super::super::checksum;
use super::super::cross_check::cross_check;
use super::super::inode::{ForkFormat, ForkKind, Inode, Time, flag2};
use super::super::testing::{RepairVerdict, assert_silent, base, db, fixture, repair};
use super::super::units::{AgInode, AgNumber, InodeNumber};
use super::super::volume::{AgSector, Volume};
use super::unlinked::UnlinkedDefect;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::fs::{NodeKind, Timestamp};
use proptest::prelude::*;
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
            cross_check(&volume, AgNumber(ag)).unwrap_or_else(|error| panic!("{name}: {error}"));
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

/// What the checker says of files that no directory names, and nothing else.
fn assert_only_unnamed(disk: &Overlay, what: &str) {
    let RepairVerdict::Findings(lines) = repair(disk) else { panic!("{what}: no findings") };
    for line in &lines {
        let is_expected = line.starts_with("disconnected inode ") && line.ends_with("lost+found");
        assert!(is_expected, "{what}: {line}");
    }
}

/// Takes `count` inodes for empty files in the root directory.
fn take_files(volume: &mut Volume, count: u64) -> Vec<Inode> {
    let root = volume.superblock().root;
    let take = |_| {
        let mut inode = volume.allocate_inode(root, NodeKind::File).unwrap();
        inode.set_permissions(0o600).unwrap();
        volume.store_inode(&mut inode).unwrap();
        inode
    };
    (0..count).map(take).collect()
}

fn check_all_trees(volume: &Volume) {
    for ag in 0..volume.superblock().ag_count {
        cross_check(volume, AgNumber(ag)).unwrap();
    }
}

/// Takes the free inodes of a volume and `more`, and gives them back.
fn take_and_give_back(name: &str, more: u64) -> Volume {
    let disk = fixture(name);
    let mut volume = open(disk.clone());
    let before = (volume.superblock().inodes, volume.superblock().free_inodes);
    let count = before.1 + more;
    let mut files = take_files(&mut volume, count);
    let numbers: BTreeSet<_> = files.iter().map(|inode| inode.number).collect();
    assert_eq!(numbers.len(), files.len(), "{name}");
    let superblock = volume.superblock();
    let in_use = before.0 + more;
    assert_eq!(superblock.inodes - superblock.free_inodes, in_use, "{name}");
    assert!(superblock.inodes > before.0, "{name}: no new chunk");
    check_all_trees(&volume);
    assert_only_unnamed(&disk, name);
    for inode in &mut files {
        assert!(volume.is_allocated(inode.number).unwrap(), "{name}");
        volume.free_inode(inode).unwrap();
        assert!(!volume.is_allocated(inode.number).unwrap(), "{name}");
    }
    check_all_trees(&volume);
    assert_silent(&*disk, name);
    volume
}

#[test]
fn inodes_are_taken_and_given_back_in_every_layout() {
    for name in LAYOUTS.iter().filter(|name| !name.starts_with("v4")) {
        take_and_give_back(name, 70);
    }
}

/// The records of a group.
fn chunks_of(volume: &Volume, ag: AgNumber) -> Vec<InodeChunk> {
    let mut all = Vec::new();
    let visit = |chunk| {
        all.push(chunk);
        Ok(ControlFlow::Continue(()))
    };
    volume.inode_tree(ag).visit_all(visit).unwrap();
    all
}

/// The records of all groups.
fn chunks(volume: &Volume) -> Vec<InodeChunk> {
    let groups = (0..volume.superblock().ag_count).map(AgNumber);
    groups.flat_map(|ag| chunks_of(volume, ag)).collect()
}

#[test]
fn scattered_free_space_gives_parts_of_chunks() {
    for name in ["scattered", "scattered-1k"] {
        let before = chunks(&open(fixture(name))).len();
        let volume = take_and_give_back(name, 300);
        let chunks = chunks(&volume);
        let parts = chunks.iter().filter(|chunk| chunk.holes != 0).count();
        assert!(chunks.len() >= before + 8 && parts >= 8, "{name}: {parts} parts of {chunks:?}");
    }
}

#[test]
fn trees_of_inodes_grow_and_shrink_by_levels() {
    let name = "block-1k-rmap";
    let disk = fixture(name);
    let mut volume = open(disk.clone());
    let free = volume.superblock().free_inodes;
    // A leaf of 1 KiB holds 60 chunks.
    for _ in 0..61 {
        volume.make_chunk(AgNumber(0)).unwrap();
    }
    let levels = |volume: &Volume| {
        let agi = Agi::load(volume, AgNumber(0)).unwrap();
        (agi.inodes.levels, agi.free_inodes.unwrap().levels, agi.free_inode_tree_blocks.unwrap())
    };
    assert_eq!(levels(&volume), (2, 2, 3));
    check_all_trees(&volume);
    assert_silent(&*disk, name);
    let mut files = take_files(&mut volume, free + 61 * 64);
    assert_eq!(levels(&volume), (2, 1, 1));
    check_all_trees(&volume);
    assert_only_unnamed(&disk, name);
    for inode in &mut files {
        volume.free_inode(inode).unwrap();
    }
    assert_eq!(levels(&volume), (2, 2, 3));
    check_all_trees(&volume);
    assert_silent(&*disk, name);
}

/// The free inodes of a group.
fn free_in(volume: &Volume, ag: u32) -> u32 {
    Agi::load(volume, AgNumber(ag)).unwrap().free_inode_count
}

#[test]
fn the_group_of_the_directory_comes_first_then_the_others_then_new_chunks() {
    let mut volume = open(fixture("default"));
    let root = volume.superblock().root;
    let groups: Vec<u32> = (0..volume.superblock().ag_count).collect();
    let mut left: Vec<u32> = groups.iter().map(|&ag| free_in(&volume, ag)).collect();
    assert!(left[0] > 0 && left[1] > 0, "{left:?}");
    let total: u32 = left.iter().sum();
    for _ in 0..total {
        let inode = volume.allocate_inode(root, NodeKind::Directory).unwrap();
        let (ag, _) = volume.superblock().split_inode(inode.number).unwrap();
        let first = groups.iter().find(|&&ag| left[ag as usize] > 0).unwrap();
        assert_eq!(ag.0, *first);
        left[ag.0 as usize] -= 1;
    }
    let inodes = volume.superblock().inodes;
    let inode = volume.allocate_inode(root, NodeKind::Directory).unwrap();
    assert_eq!(volume.superblock().split_inode(inode.number).unwrap().0, AgNumber(0));
    assert_eq!(volume.superblock().inodes, inodes + 64);
    assert_eq!(Agi::load(&volume, AgNumber(0)).unwrap().new_inode.map(|new| new.0 % 64), Some(0));
}

#[test]
fn one_inode_of_a_chunk_changes_five_sectors() {
    for (name, expected) in [("default", 5), ("rhel7", 4)] {
        let disk = fixture(name);
        let mut volume = open(disk.clone());
        let root = volume.superblock().root;
        let mut inode = volume.allocate_inode(root, NodeKind::File).unwrap();
        volume.store_inode(&mut inode).unwrap();
        let changes = disk.changes().unwrap();
        let labels: Vec<_> = changes.iter().flat_map(|change| change.labels.clone()).collect();
        assert_eq!(labels.len(), expected, "{name}: {labels:?}");
    }
}

#[test]
fn a_new_inode_is_what_the_kernel_makes_of_it() {
    for (name, flags2) in [("default", 0x8), ("rhel10", 0x18), ("rhel8", 0), ("bigtime-off", 0)] {
        let disk = fixture(name);
        let mut volume = open(disk.clone());
        let root = volume.superblock().root;
        let mut inode = volume.allocate_inode(root, NodeKind::File).unwrap();
        volume.store_inode(&mut inode).unwrap();
        assert_eq!(inode.kind().unwrap(), NodeKind::File);
        assert_eq!((inode.link_count(), inode.size_bytes(), inode.lsn().0), (1, 0, 0));
        for time in [Time::Access, Time::Modify, Time::Change, Time::Create] {
            assert_eq!(inode.time(time), CLOCK, "{name}");
        }
        let query = format!("inode {}", inode.number.0);
        let text = db(&*disk, &[&query, "p core v3"]);
        let value = |field: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "));
            line.unwrap_or_else(|| panic!("{name}: no {field} in {text}")).to_owned()
        };
        assert_eq!(value("v3.flags2"), format!("{flags2:#x}").replace("0x0", "0"), "{name}");
        for (field, expected) in [
            ("core.mode", "0100000"),
            ("core.format", "2 (extents)"),
            ("core.aformat", "2 (extents)"),
            ("core.forkoff", "0"),
            ("core.nblocks", "0"),
            ("v3.change_count", "1"),
            ("v3.crtime.nsec", "5"),
        ] {
            assert_eq!(value(field), expected, "{name}: {field}");
        }
        assert!(value("v3.crc").ends_with("(correct)"));
    }
}

#[test]
fn a_directory_passes_on_project_flags_and_hints() {
    let mut volume = open(fixture("default"));
    let mut root = volume.load_inode(volume.superblock().root).unwrap();
    // All that can be set on a directory; what comes of it is what Linux 6.18 did.
    root.set_flags(0x77e0).unwrap();
    root.set_flags2(root.flags2() | flag2::COW_EXTSIZE | flag2::DAX).unwrap();
    root.set_extent_size_blocks(16).unwrap();
    root.bytes_mut()[128..132].copy_from_slice(&32u32.to_be_bytes());
    root.set_project(70_000).unwrap();
    volume.store_inode(&mut root).unwrap();
    for (kind, flags, flags2, extent_size, cow_size) in [
        (NodeKind::Directory, 0x73e0, 0xd, 16, 32),
        (NodeKind::File, 0x68e0, 0xd, 16, 32),
        (NodeKind::Symlink, 0, 0x8, 0, 0),
        (NodeKind::Fifo, 0, 0x8, 0, 0),
    ] {
        let inode = volume.allocate_inode(root.number, kind).unwrap();
        assert_eq!((inode.flags(), inode.flags2()), (flags, flags2), "{kind}");
        assert_eq!(inode.extent_size_blocks(), extent_size, "{kind}");
        assert_eq!(inode.bytes()[128..132], u32::to_be_bytes(cow_size), "{kind}");
        assert_eq!(inode.project(), 70_000, "{kind}");
        assert_eq!(inode.kind().unwrap(), kind);
    }
}

#[test]
fn a_freed_inode_is_empty_and_gets_another_generation() {
    let disk = fixture("default");
    let mut volume = open(disk.clone());
    let mut file = take_files(&mut volume, 1).remove(0);
    let generation = file.generation();
    file.set_fork_offset_bytes(120).unwrap();
    file.put_fork(ForkKind::Attribute, &[1; 40]).unwrap();
    file.set_format(ForkKind::Attribute, ForkFormat::Local).unwrap();
    file.set_flags2(file.flags2() | flag2::REFLINK).unwrap();
    volume.free_inode(&mut file).unwrap();
    let freed = volume.load_inode(file.number).unwrap();
    assert!(freed.is_free() && !freed.has_attribute_fork());
    assert_eq!((freed.generation(), freed.flags2()), (generation.wrapping_add(1), 0x8));
    assert_eq!(freed.time(Time::Change), CLOCK);
    assert!(freed.fork(ForkKind::Data).iter().all(|&byte| byte == 0));
    assert_silent(&*disk, "freed");
    let again = take_files(&mut volume, 1).remove(0);
    assert_eq!((again.number, again.generation()), (freed.number, freed.generation()));
}

#[test]
fn the_share_of_inodes_is_not_exceeded() {
    for (percent, is_allowed) in [(0, true), (1, false), (25, true)] {
        let disk = fixture("default");
        let mut bytes = disk.read_vec(0, 512).unwrap();
        bytes[127] = percent;
        checksum::seal(&mut bytes, 224).unwrap();
        disk.write_at(0, &bytes, "superblock").unwrap();
        let mut volume = open(disk);
        // 1 % of 32 MiB are 81 blocks of 8 inodes.
        let free = volume.superblock().free_inodes;
        let room = 640 - volume.superblock().inodes;
        take_files(&mut volume, free + room / 64 * 64);
        let root = volume.superblock().root;
        let one_more = volume.allocate_inode(root, NodeKind::File);
        assert_eq!(one_more.is_ok(), is_allowed, "{percent} %");
        if let Err(error) = one_more {
            assert_eq!(error.kind_name(), "refused");
            assert!(error.to_string().contains("no free inodes"), "{error}");
        }
    }
}

#[test]
fn what_does_not_agree_is_refused_before_anything_is_taken() {
    type Damage = fn(&mut Volume, AgNumber, InodeChunk);
    let cases: [(&str, Damage); 6] = [
        ("differ about the chunk", |volume, ag, chunk| {
            volume.free_inode_tree_mut(ag).replace(&chunk.start, chunk.taken(63)).unwrap();
        }),
        ("differ about the chunk", |volume, ag, chunk| {
            volume.inode_tree_mut(ag).replace(&chunk.start, chunk.taken(63)).unwrap();
        }),
        ("differ about the chunk", |volume, ag, chunk| {
            volume.inode_tree_mut(ag).remove(&chunk.start).unwrap();
        }),
        ("counts fewer inodes", |volume, ag, chunk| {
            let mut agi = Agi::load(volume, ag).unwrap();
            agi.free_inode_count = chunk.free_count - 1;
            agi.store(volume).unwrap();
        }),
        ("in use and free at once", |volume, ag, chunk| {
            let mut inode = first_free(volume, ag, chunk);
            inode.set_mode(0o100_644).unwrap();
            volume.store_inode(&mut inode).unwrap();
        }),
        ("in use and free at once", |volume, ag, chunk| {
            let mut inode = first_free(volume, ag, chunk);
            inode.set_next_unlinked(AgInode(200)).unwrap();
            volume.store_inode(&mut inode).unwrap();
        }),
    ];
    for (message, damage) in cases {
        let mut volume = open(fixture("default"));
        let chunk = chunks(&volume)[0];
        damage(&mut volume, AgNumber(0), chunk);
        let root = volume.superblock().root;
        let error = volume.allocate_inode(root, NodeKind::File).unwrap_err();
        assert_eq!(error.kind_name(), "refused", "{message}: {error}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
}

fn first_free(volume: &Volume, ag: AgNumber, chunk: InodeChunk) -> Inode {
    let inode = chunk.inode(chunk.first_free().unwrap());
    volume.load_inode(volume.superblock().join_inode(ag, inode).unwrap()).unwrap()
}

#[test]
fn an_inode_that_cannot_be_free_is_not_freed() {
    let mut volume = open(fixture("default"));
    let mut file = take_files(&mut volume, 1).remove(0);
    let refused = |volume: &mut Volume, inode: &Inode, message: &str| {
        let error = volume.free_inode(&mut inode.clone()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    };
    let mut with_blocks = file.clone();
    with_blocks.set_block_count(1).unwrap();
    refused(&mut volume, &with_blocks, "has blocks that its forks do not name");
    let mut listed = file.clone();
    listed.set_next_unlinked(AgInode(200)).unwrap();
    refused(&mut volume, &listed, "is unlinked at once");
    volume.free_inode(&mut file).unwrap();
    refused(&mut volume, &file, "in use and free at once");
}

#[test]
fn volumes_without_checksums_are_not_written() {
    for name in ["v4", "v4-finobt-inode-1k"] {
        let disk = fixture(name);
        let mut volume = open(disk.clone());
        let root = volume.superblock().root;
        let mut inode = volume.load_inode(root).unwrap();
        let taken = volume.allocate_inode(root, NodeKind::File).unwrap_err();
        let freed = volume.free_inode(&mut inode).unwrap_err();
        let removed = volume.remove_unlinked(&mut inode).unwrap_err();
        for error in [taken, freed, removed] {
            assert_eq!(error.kind_name(), "refused", "{name}: {error}");
        }
        assert_eq!(disk.changes().unwrap(), []);
    }
}

fn put_all(bytes: &mut [u8], damage: &[(usize, u8)]) {
    for &(at, value) in damage {
        bytes[at] = value;
    }
}

/// Directories all over a volume: where new inodes may be wanted.
fn directories(volume: &Volume) -> Vec<InodeNumber> {
    let in_use = |ag: AgNumber, chunk: InodeChunk| {
        let inodes = (0..64).map(move |index| chunk.inode(index));
        let used = inodes.filter(move |&inode| chunk.is_in_use(inode));
        used.map(move |inode| volume.superblock().join_inode(ag, inode).unwrap())
    };
    let groups = (0..volume.superblock().ag_count).map(AgNumber);
    let all = groups.flat_map(|ag| chunks_of(volume, ag).into_iter().map(move |chunk| (ag, chunk)));
    let all = all.flat_map(|(ag, chunk)| in_use(ag, chunk));
    all.filter(|&number| {
        matches!(volume.load_inode(number).unwrap().kind(), Ok(NodeKind::Directory))
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_taking_and_giving_back_leaves_a_sound_volume(
        layout in prop::sample::select(vec!["many-groups", "rhel7", "scattered", "inode-2k"]),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..10u8), 100..250),
    ) {
        let disk = fixture(layout);
        let mut volume = open(disk.clone());
        let directories = directories(&volume);
        let mut taken: Vec<Inode> = Vec::new();
        for (index, choice) in steps {
            if choice < 4 && !taken.is_empty() {
                let mut inode = taken.swap_remove(index.index(taken.len()));
                volume.free_inode(&mut inode).unwrap();
            } else {
                let parent = directories[index.index(directories.len())];
                let mut inode = volume.allocate_inode(parent, NodeKind::File).unwrap();
                volume.store_inode(&mut inode).unwrap();
                taken.push(inode);
            }
        }
        check_all_trees(&volume);
        if !taken.is_empty() {
            assert_only_unnamed(&disk, layout);
        }
        for inode in &mut taken {
            volume.free_inode(inode).unwrap();
        }
        assert_silent(&*disk, layout);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_ends_in_a_panic(
        layout in prop::sample::select(vec!["default", "rhel7", "scattered", "block-1k"]),
        structure in 0..4usize,
        damage in prop::collection::vec((0..512usize, any::<u8>()), 1..4),
    ) {
        let mut volume = open(fixture(layout));
        let agi = Agi::load(&volume, AgNumber(0)).unwrap();
        let block = match structure {
            0 | 1 => None,
            2 => Some(agi.inodes.block),
            _ => agi.free_inodes.map(|root| root.block),
        };
        if let Some(block) = block {
            let block = volume.superblock().join(AgNumber(0), block).unwrap();
            let mut bytes = volume.read_blocks(block, 1).unwrap();
            put_all(&mut bytes, &damage);
            checksum::seal(&mut bytes, 52).unwrap();
            volume.write_blocks(block, &bytes, "damage").unwrap();
        } else {
            let mut bytes = volume.read_sector(AgNumber(0), AgSector::Agi).unwrap();
            put_all(&mut bytes, &damage);
            checksum::seal(&mut bytes, 312).unwrap();
            volume.write_sector(AgNumber(0), AgSector::Agi, &bytes, "damage").unwrap();
        }
        let root = volume.superblock().root;
        let _ = volume.unlinked();
        let _ = cross_check(&volume, AgNumber(0));
        for _ in 0..70 {
            let Ok(mut inode) = volume.allocate_inode(root, NodeKind::File) else { break };
            volume.store_inode(&mut inode).unwrap();
            let _ = volume.remove_unlinked(&mut inode.clone());
            if inode.number.0 % 3 == 0 {
                let _ = volume.free_inode(&mut inode);
            }
        }
    }
}
