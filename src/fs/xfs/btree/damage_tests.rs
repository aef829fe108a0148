//! Damaged trees: the exact defect, wherever the tree is entered.

use super::kind::{Form, RecordDefect};
use super::node::TreeDefect;
use super::testing::{MemoryStore, shape};
use super::*;
use crate::error::{Error, ErrorKind};
use crate::fs::xfs::checksum;
use crate::fs::xfs::units::{AgBlock, AgInode, FileBlock, FsBlock};

/// A bnobt of three levels with leaves of six records and nodes of four children.
fn free_space() -> MemoryStore {
    let shape = shape(Form::Short, 0x38 + 48, true);
    let mut store = MemoryStore::with_empty_leaf(shape, Form::Short, Bnobt::MAGIC_V5);
    for at in 0..60 {
        let record = FreeExtent { start: AgBlock(10 + at * 10), count: 5 };
        Tree::<Bnobt, _>::new(&mut store).insert(record).unwrap();
    }
    assert!(matches!(store.root, Root::Block { levels: 3, .. }));
    store
}

fn root_of(store: &MemoryStore) -> u64 {
    match store.root {
        Root::Block { pointer, .. } => pointer.0,
        Root::Inode(_) => panic!("no block"),
    }
}

/// The `index`th pointer of an inner node of a bnobt.
fn pointer(store: &MemoryStore, block: u64, index: usize) -> u64 {
    let at = 0x38 + 4 * 8 + index * 4;
    u32::from_be_bytes(store.blocks[&block][at..at + 4].try_into().unwrap()).into()
}

/// The second leaf of the second node below the root.
fn inner_leaf(store: &MemoryStore) -> u64 {
    pointer(store, pointer(store, root_of(store), 1), 1)
}

fn put(store: &mut MemoryStore, block: u64, at: usize, bytes: &[u8]) {
    let block = store.blocks.get_mut(&block).unwrap();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    checksum::seal(block, 0x34).unwrap();
}

fn word(store: &MemoryStore, block: u64, at: usize) -> u32 {
    u32::from_be_bytes(store.blocks[&block][at..at + 4].try_into().unwrap())
}

fn defect(error: &Error) -> TreeDefect {
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
    corrupt.defect.downcast_ref::<TreeDefect>().unwrap_or_else(|| panic!("{error}")).clone()
}

/// What a walk through the whole tree with the checks of every look-up finds.
fn read(store: &mut MemoryStore) -> TreeDefect {
    let visit = |_| Ok(std::ops::ControlFlow::Continue(()));
    defect(&Tree::<Bnobt, _>::new(store).visit_all(visit).unwrap_err())
}

/// What the complete check finds.
fn check(store: &mut MemoryStore) -> TreeDefect {
    defect(&Tree::<Bnobt, _>::new(store).check(100, |_| Ok(())).unwrap_err())
}

#[test]
fn a_changed_byte_fails_the_checksum() {
    let mut store = free_space();
    let leaf = inner_leaf(&store);
    store.blocks.get_mut(&leaf).unwrap()[0x3f] ^= 1;
    assert!(matches!(read(&mut store), TreeDefect::Checksum(_)));
}

#[test]
fn headers_say_whose_and_where_a_block_is() {
    let wrong = |at: usize, bytes: &[u8]| {
        let mut store = free_space();
        let leaf = inner_leaf(&store);
        put(&mut store, leaf, at, bytes);
        (leaf, read(&mut store))
    };
    let magic = Cntbt::MAGIC_V5;
    let (_, defect) = wrong(0x0, &magic.to_be_bytes());
    assert_eq!(defect, TreeDefect::Magic { actual: magic, expected: Bnobt::MAGIC_V5 });
    let (_, defect) = wrong(0x4, &[0, 1]);
    assert_eq!(defect, TreeDefect::Level { actual: 1, expected: 0 });
    let (leaf, defect) = wrong(0x10, &[0; 8]);
    assert_eq!(defect, TreeDefect::Address { actual: 0, expected: leaf * 8 });
    assert_eq!(wrong(0x20, &[0; 16]).1, TreeDefect::Uuid);
    assert_eq!(wrong(0x30, &[0, 0, 0, 4]).1, TreeDefect::Owner { actual: 4, expected: 3 });
}

#[test]
fn the_number_of_entries_has_bounds() {
    for (count, min, max) in [(0_u16, 1, usize::MAX), (7, 1, 6), (u16::MAX, 1, 6)] {
        let mut store = free_space();
        let leaf = inner_leaf(&store);
        put(&mut store, leaf, 0x6, &count.to_be_bytes());
        assert_eq!(read(&mut store), TreeDefect::Entries { actual: count.into(), min, max });
    }
    // Two of six are too few, but do no harm to a reader.
    let mut store = free_space();
    let leaf = inner_leaf(&store);
    put(&mut store, leaf, 0x6, &2_u16.to_be_bytes());
    assert_eq!(check(&mut store), TreeDefect::Entries { actual: 2, min: 3, max: 6 });
}

#[test]
fn siblings_must_be_those_of_the_parent() {
    for (at, is_left) in [(0x8, true), (0xc, false)] {
        for wrong in [u32::MAX, 100] {
            let mut store = free_space();
            let leaf = inner_leaf(&store);
            put(&mut store, leaf, at, &wrong.to_be_bytes());
            let actual = Some(Pointer(wrong.into())).filter(|_| wrong != u32::MAX);
            let expected = if is_left {
                TreeDefect::LeftSibling { actual }
            } else {
                TreeDefect::RightSibling { actual }
            };
            assert_eq!(read(&mut store), expected);
        }
    }
}

#[test]
fn siblings_under_different_parents_must_agree() {
    let mut store = free_space();
    let first_of_second_node = pointer(&store, pointer(&store, root_of(&store), 1), 0);
    put(&mut store, first_of_second_node, 0x8, &100_u32.to_be_bytes());
    assert_eq!(check(&mut store), TreeDefect::LeftSibling { actual: Some(Pointer(100)) });
}

#[test]
fn records_are_in_order_and_where_the_parent_says() {
    let mut store = free_space();
    let leaf = inner_leaf(&store);
    let first = word(&store, leaf, 0x38);
    // The first record reaches into the second.
    put(&mut store, leaf, 0x3c, &11_u32.to_be_bytes());
    assert_eq!(read(&mut store), TreeDefect::Order(1));
    put(&mut store, leaf, 0x3c, &0_u32.to_be_bytes());
    let empty = TreeDefect::Record { index: 0, defect: RecordDefect::Empty };
    assert_eq!(read(&mut store), empty);
    put(&mut store, leaf, 0x3c, &(1_u32 << 20).to_be_bytes());
    let (start, count) = (first.into(), 1 << 20);
    let outside = TreeDefect::Record { index: 0, defect: RecordDefect::Outside { start, count } };
    assert_eq!(read(&mut store), outside);
    put(&mut store, leaf, 0x38, &[(first - 5).to_be_bytes(), 1_u32.to_be_bytes()].concat());
    assert_eq!(read(&mut store), TreeDefect::Range(0));
    // A key that is too low does no harm to a reader, but is not what the kernel leaves.
    put(&mut store, leaf, 0x38, &[(first + 1).to_be_bytes(), 1_u32.to_be_bytes()].concat());
    assert_eq!(check(&mut store), TreeDefect::Key(1));
}

#[test]
fn a_pointer_to_a_block_above_or_elsewhere_is_found() {
    let mut store = free_space();
    let root = root_of(&store);
    let node = pointer(&store, root, 1);
    // Up: the level gives it away. Across: the siblings do. Out: the store does.
    let up = word(&store, root, 0x38 + 4 * 8).to_be_bytes();
    put(&mut store, node, 0x38 + 4 * 8, &up);
    assert_eq!(read(&mut store), TreeDefect::Level { actual: 1, expected: 0 });
    let other = pointer(&store, pointer(&store, root, 0), 0);
    put(&mut store, node, 0x38 + 4 * 8, &u32::try_from(other).unwrap().to_be_bytes());
    assert_eq!(read(&mut store), TreeDefect::LeftSibling { actual: None });
    put(&mut store, node, 0x38 + 4 * 8, &77_u32.to_be_bytes());
    let visit = |_| Ok(std::ops::ControlFlow::Continue(()));
    assert!(Tree::<Bnobt, _>::new(&mut store).visit_all(visit).is_err());
}

#[test]
fn levels_are_bounded() {
    for levels in [0, 13, u32::MAX] {
        let mut store = free_space();
        store.root = Root::Block { pointer: Pointer(root_of(&store)), levels };
        assert_eq!(read(&mut store), TreeDefect::Levels(levels));
    }
    let mut store = free_space();
    store.root = Root::Block { pointer: Pointer(root_of(&store)), levels: 12 };
    assert_eq!(read(&mut store), TreeDefect::Level { actual: 2, expected: 11 });
}

#[test]
fn a_walk_is_bounded() {
    let mut store = free_space();
    let count = store.blocks.len() as u64;
    let tree = Tree::<Bnobt, _>::new(&mut store);
    assert_eq!(tree.check(count, |_| Ok(())).unwrap().blocks, count);
    let error = tree.check(count - 1, |_| Ok(())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit { limit, .. } if *limit == count - 1));
}

#[test]
fn an_edit_does_not_follow_a_neighbour_that_does_not_know_it() {
    let mut store = free_space();
    let leaf = inner_leaf(&store);
    // The last leaf of the node: its neighbour is under another parent.
    let node = pointer(&store, root_of(&store), 0);
    let count = word(&store, node, 0x4) & 0xffff;
    let last = pointer(&store, node, count as usize - 1);
    let neighbour = u64::from(word(&store, last, 0xc));
    put(&mut store, neighbour, 0x8, &u32::try_from(leaf).unwrap().to_be_bytes());
    let first = word(&store, last, 0x38);
    let error = (0..40).find_map(|at| {
        let record = FreeExtent { start: AgBlock(first + at / 4 * 10 + 6 + at % 4), count: 1 };
        Tree::<Bnobt, _>::new(&mut store).insert(record).err()
    });
    let expected = TreeDefect::LeftSibling { actual: Some(Pointer(leaf)) };
    assert_eq!(error.map(|error| defect(&error)), Some(expected));
}

#[test]
fn roots_in_inodes_have_bounds() {
    let root = |bytes: &[u8]| {
        let store = MemoryStore::new(shape(Form::Long, 4096, true), Root::Inode(bytes.to_vec()));
        Tree::<Bmbt, _>::new(store).first().unwrap_err()
    };
    let fork = |level: u16, count: u16| {
        let mut fork = vec![0; 4 + 2 * 16];
        fork[..2].copy_from_slice(&level.to_be_bytes());
        fork[2..4].copy_from_slice(&count.to_be_bytes());
        fork
    };
    assert_eq!(defect(&root(&fork(0, 1))), TreeDefect::Levels(1));
    assert_eq!(defect(&root(&fork(12, 1))), TreeDefect::Levels(13));
    let entries = |actual| TreeDefect::Entries { actual, min: 1, max: 2 };
    assert_eq!(defect(&root(&fork(1, 0))), entries(0));
    assert_eq!(defect(&root(&fork(1, 3))), entries(3));
    assert_eq!(defect(&root(&fork(1, 2))), TreeDefect::Order(1));
    assert!(matches!(root(&[0, 1]).kind(), ErrorKind::Corrupt(_)));
}

#[test]
fn blocks_without_room_for_four_entries_are_refused() {
    let shape = shape(Form::Short, 0x38 + 47, true);
    let store = MemoryStore::with_empty_leaf(shape, Form::Short, Bnobt::MAGIC_V5);
    let error = Tree::<Bnobt, _>::new(store).first().unwrap_err();
    assert_eq!(defect(&error), TreeDefect::BlockSize(0x38 + 47));
}

#[test]
fn records_are_judged_by_what_they_say() {
    let group = shape(Form::Short, 4096, true).bounds;
    let chunk = InodeChunk { start: AgInode(64), holes: 0, count: 64, free_count: 1, free: 2 };
    let counts = |count, free, count_bits, free_bits| {
        Err(RecordDefect::ChunkCounts { count, free, count_bits, free_bits })
    };
    assert_eq!(Inobt::check(&chunk, &group), Ok(()));
    assert_eq!(Inobt::check(&InodeChunk { count: 60, ..chunk }, &group), counts(60, 1, 64, 1));
    assert_eq!(Inobt::check(&InodeChunk { free: 6, ..chunk }, &group), counts(64, 1, 64, 2));
    let holes = InodeChunk { holes: 1, ..chunk };
    assert_eq!(Inobt::check(&holes, &group), Err(RecordDefect::ChunkHoles));
    let start = AgInode(65);
    assert_eq!(
        Inobt::check(&InodeChunk { start, ..chunk }, &group),
        Err(RecordDefect::ChunkPlace(65))
    );
    let full = InodeChunk { free: 0, free_count: 0, ..chunk };
    assert_eq!(Inobt::check(&full, &group), Ok(()));
    assert_eq!(Finobt::check(&full, &group), Err(RecordDefect::NoFreeInode));

    let shared = ReferenceCount { is_cow: false, start: AgBlock(9), count: 1, references: 1 };
    assert!(matches!(
        Refcountbt::check(&shared, &group),
        Err(RecordDefect::References { count: 1, .. })
    ));
    let cow = ReferenceCount { is_cow: true, ..shared };
    assert_eq!(Refcountbt::check(&cow, &group), Ok(()));

    let file = ReverseMap::file(AgBlock(9), 5, 131, 7);
    assert_eq!(Rmapbt::check(&file, &group), Ok(()));
    let special = ReverseMap { owner: OWNER_AG, ..file };
    assert_eq!(Rmapbt::check(&special, &group), Err(RecordDefect::OwnerFlags(7)));
    let unknown = ReverseMap { owner: u64::MAX, ..file };
    assert_eq!(Rmapbt::check(&unknown, &group), Err(RecordDefect::Owner(u64::MAX)));
    let far = ReverseMap { offset: (1 << 54) - 4, ..file };
    assert!(matches!(Rmapbt::check(&far, &group), Err(RecordDefect::OwnerFlags(_))));
}

#[test]
fn extents_stay_in_their_allocation_group_and_file() {
    let volume = shape(Form::Long, 4096, true).bounds;
    let extent = |start: u64, count| Extent {
        file_block: FileBlock(3),
        start: FsBlock(start),
        count,
        is_unwritten: false,
    };
    let outside = |start, count: u32| Err(RecordDefect::Outside { start, count: count.into() });
    assert_eq!(extent(0, 1 << 20).check(&volume), Ok(()));
    assert_eq!(extent(1, 1 << 20).check(&volume), outside(1, 1 << 20));
    assert_eq!(extent((2 << 20) + 4999, 1).check(&volume), Ok(()));
    assert_eq!(extent((2 << 20) + 4999, 2).check(&volume), outside((2 << 20) + 4999, 2));
    assert_eq!(extent(3 << 20, 1).check(&volume), outside(3 << 20, 1));
    let file_block = FileBlock((1 << 54) - 1);
    let end = Extent { file_block, ..extent(7, 2) };
    assert!(matches!(end.check(&volume), Err(RecordDefect::OutsideFile { count: 2, .. })));
    let mut bytes = [0; EXTENT_BYTES];
    let largest = Extent {
        file_block,
        start: FsBlock((1 << 52) - 1),
        count: EXTENT_BLOCKS_MAX,
        is_unwritten: true,
    };
    largest.encode(&mut bytes).unwrap();
    assert_eq!((bytes, Extent::parse(&bytes)), ([0xff; EXTENT_BYTES], Ok(largest)));
}

/// The example of the format document, chapter "Data Extents".
#[test]
fn the_published_extent_is_parsed() {
    let bytes = [0, 0, 0, 0, 0, 0x1f, 0xa4, 0, 0, 0, 0, 0x0f, 0x58, 0xe0, 0x07, 0xe9];
    let extent = Extent {
        file_block: FileBlock(4050),
        start: FsBlock(31431),
        count: 2025,
        is_unwritten: false,
    };
    assert_eq!(Extent::parse(&bytes), Ok(extent));
}
