//! Each kind of damage, and the exact words for it. Checksums are right, so that the damage counts.

use super::check::{check, check_short};
use super::tests::{Tested, name_of};
use super::*;
use crate::error::ErrorKind;
use crate::fs::xfs::checksum;
use crate::fs::xfs::da::memory::format;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// The leaf extent and free index of directories of 512-byte blocks.
const LEAF: u64 = LEAF_OFFSET_BYTES / 512;
const FREE: u64 = FREE_OFFSET_BYTES / 512;
/// Where the checksum is in data and free index blocks, and in leaves and nodes.
const DATA_CRC: usize = 4;
const LEAF_CRC: usize = 12;

fn filled(names: u32) -> Tested {
    let mut tested = Tested::new(format(512, 512), 40);
    for number in 0..names {
        tested.insert(&name_of(number, 12), 99).unwrap();
    }
    tested
}

/// The defect that an operation reports.
fn defect<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result.unwrap_err().kind() {
        ErrorKind::Corrupt(corrupt) => corrupt.defect.to_string(),
        other => panic!("{other}"),
    }
}

/// Overwrites bytes of a block.
fn damaged(tested: &Tested, block: u64, at: usize, bytes: &[u8]) -> Tested {
    let mut tested = tested.clone();
    let content = tested.blocks.blocks.get_mut(&block).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    let crc_at = if (LEAF..FREE).contains(&block) { LEAF_CRC } else { DATA_CRC };
    checksum::seal(content, crc_at).unwrap();
    tested
}

fn check_damaged(tested: &Tested, block: u64, at: usize, bytes: &[u8]) -> String {
    let tested = damaged(tested, block, at, bytes);
    defect(check(&tested.blocks, tested.size_bytes))
}

#[test]
fn damage_in_a_directory_of_one_block() {
    let tested = filled(4);
    assert_eq!(tested.form(), Some(Form::Block));
    for (at, bytes, expected) in [
        (0, &b"XDD3"[..], "magic number 0x58444433"),
        (8, &[1], "says that it lies at sector 72057594037932032, lies at 4096"),
        (0x4f, &[0x41], "entry at 0x40: tag 0x41"),
        (0x48, &[255], "entry at 0x40: tag 0x0"),
        (0xb2, &[0xff, 0xf8], "entry at 0xb0: 65528 bytes do not fit before 0x1c8"),
        (0xb2, &[0, 0], "entry at 0xb0: 0 bytes do not fit before 0x1c8"),
        (0x49, b"/", "entry at 0x40: the name is empty or contains '/' or NUL"),
        (0x4a, &[9], "entry at 0x40: file type 9"),
        (0x49, b"x", "does not start with \".\" and \"..\""),
        (0x47, &[9], "does not start with \".\" and \"..\""),
        (0x33, &[8], "entry 0 of the free table is 264 bytes at 0xb0"),
        (0x3b, &[8], "entry 2 of the free table is 8 bytes at 0x0"),
        (508, &[0, 0, 0, 1], "0 stale entries, counted as 1"),
        (504, &[0, 0, 1, 0], "256 leaf entries do not fit"),
        (504, &[255, 255, 255, 255], "4294967295 leaf entries do not fit"),
        (0x1c8, &[255], "hash 0x0000172e of entry 1 is below that of the entry before"),
        (0x1cf, &[77], "leaf entry 0x0000002e to address 0x8 has no counterpart"),
    ] {
        assert_eq!(check_damaged(&tested, 0, at, bytes), expected, "{at:#x} {bytes:?}");
    }
}

#[test]
fn damage_in_a_single_leaf() {
    let tested = filled(30);
    assert_eq!(tested.form(), Some(Form::Leaf));
    let root = LEAF;
    for (at, bytes, expected) in [
        (3, &[1][..], "has siblings"),
        (57, &[0], "has no entry"),
        (57, &[57], "57 entries and 2 data blocks do not fit"),
        (59, &[1], "0 stale entries, counted as 1"),
        (508, &[0, 0, 0, 0], "32 entries and 0 data blocks do not fit"),
        (508, &[0, 0, 1, 0], "32 entries and 256 data blocks do not fit"),
        (508, &[255, 255, 255, 255], "32 entries and 4294967295 data blocks do not fit"),
        (504, &[1], "data block 0 has Some(8) bytes of room, the index says Some(264)"),
        (8, &[0x3d, 0xff], "data block 0 has Some(8) bytes of room, the index says None"),
        (8, &[0x3b, 0xee], "is no leaf of this form"),
    ] {
        let said = check_damaged(&tested, root, at, bytes);
        assert_eq!(said, expected, "{at:#x} {bytes:?}");
    }
}

/// Trees of 512-byte blocks: the root is a node of level 2 from about 2,000 names on.
#[test]
fn damage_in_a_tree() {
    let tested = filled(2500);
    assert_eq!((tested.form(), tested.levels()), (Some(Form::Node), 2));
    let root = &tested.blocks.blocks[&LEAF];
    let child = |bytes: &[u8], index: usize| {
        let at = 64 + 8 * index + 4;
        u64::from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
    };
    let (first, second) = (child(root, 0), child(root, 1));
    let nodes = &tested.blocks.blocks;
    let (leaf, next) = (child(&nodes[&first], 0), child(&nodes[&first], 1));
    let pointer = |block: u64| (block as u32).to_be_bytes();
    for (block, at, bytes, expected) in [
        // Level loops: to the root, to itself, to a node of the same level.
        (LEAF, 68, pointer(LEAF), format!("entry 0 points to block {LEAF}, outside the tree")),
        (LEAF, 68, pointer(0), "entry 0 points to block 0, outside the tree".into()),
        (LEAF, 68, pointer(FREE), format!("entry 0 points to block {FREE}, outside the tree")),
        (first, 68, pointer(first), "is reached twice".into()),
        (first, 68, pointer(second), "is reached twice".into()),
        (LEAF, 68, pointer(second), "is reached twice".into()),
        // Sibling pointers in circles.
        (leaf, 0, pointer(leaf), format!("sibling pointer to Some({leaf}), expected Some({next})")),
        (leaf, 0, pointer(0), format!("sibling pointer to None, expected Some({next})")),
        (next, 4, pointer(next), format!("sibling pointer to Some({next}), expected Some({leaf})")),
        (
            first,
            0,
            pointer(first),
            format!("sibling pointer to Some({first}), expected Some({second})"),
        ),
        (leaf, 4, pointer(next), format!("sibling pointer to Some({next}), expected None")),
    ] {
        assert_eq!(check_damaged(&tested, block, at, &bytes), expected, "{block} {at}");
    }
    for (block, at, bytes, expected) in [
        (LEAF, 59, &[1][..], "is no leaf of this form"),
        (LEAF, 59, &[5], "level 1, expected 4"),
        (first, 57, &[0], "0 entries, where 1 to 56 fit"),
        (FREE, 51, &[9], "starts with data block 9 instead of 0"),
        (FREE, 54, &[9], "2425 data blocks, where 224 fit"),
        (FREE, 59, &[9], "121 data blocks in use, counted as 9"),
    ] {
        assert_eq!(check_damaged(&tested, block, at, bytes), expected, "{block} {at}");
    }
}

/// A lookup meets the damage on its own way, and does not run in circles.
#[test]
fn damage_on_the_way_to_a_name() {
    let tested = filled(2500);
    let name = name_of(7, 12);
    let place = find::find(&tested.blocks, &name).unwrap().unwrap();
    let find::Index::Node { path, index } = place.index else { panic!("{place:?}") };
    let entry_at = 64 + 8 * index;
    let find = |block: u64, at: usize, bytes: &[u8]| {
        let tested = damaged(&tested, block, at, bytes);
        defect(lookup(&tested.blocks, &name))
    };
    let hash = hash_name(&tested.format, &name);
    let said = find(path.leaf.0, entry_at + 4, &[0, 0, 0, 9]);
    assert_eq!(
        said,
        format!("leaf entry {hash:#010x} leads to address 0x9, where no entry starts")
    );
    let said = find(path.leaf.0, entry_at + 4, &[0, 0, 0, 8]);
    assert_eq!(said, format!("leaf entry {hash:#010x} leads to a name with hash 0x0000002e"));
    let said = find(path.leaf.0, entry_at + 4, &[0x80, 0, 0, 8]);
    assert_eq!(said, "is not mapped");
    // One more stale entry than there are.
    assert_eq!(find(path.leaf.0, 59, &[1]), "0 stale entries, counted as 1");
    assert_eq!(find(LEAF, 59, &[3]), "level 1, expected 2");
}

/// A leaf whose last hash is not the one in its parent would hide names.
#[test]
fn a_leaf_that_ends_elsewhere_is_found_out() {
    let tested = filled(200);
    let root = &tested.blocks.blocks[&LEAF];
    let last = u32::from_be_bytes(root[64..68].try_into().unwrap());
    let leaf = u64::from(u32::from_be_bytes(root[68..72].try_into().unwrap()));
    let said = check_damaged(&tested, LEAF, 64, &(last - 1).to_be_bytes());
    let expected = format!("ends with hash {last:#010x}, its parent says {:#010x}", last - 1);
    assert_eq!(said, expected);
    // Names that hash to what the parent says are looked for in this leaf.
    let bytes = (last - 1).to_be_bytes();
    let damaged = damaged(&tested, LEAF, 64, &bytes);
    let mut said = BTreeSet::new();
    for number in 0..200 {
        if let Err(error) = lookup(&damaged.blocks, &name_of(number, 12)) {
            said.insert(defect::<()>(Err(error)));
        }
    }
    assert!(said.contains(&expected), "{leaf}: {said:?}");
}

#[test]
fn blocks_and_sizes_that_do_not_belong_are_found_out() {
    let tested = filled(200);
    let defect_of = |tested: &Tested| defect(check(&tested.blocks, tested.size_bytes));
    let mut larger = tested.clone();
    larger.size_bytes += 512;
    assert_eq!(defect_of(&larger), "5632 bytes, but its data end at 5120");
    let mut surplus = tested.clone();
    surplus.blocks.allocate(FileBlock(LEAF + 50)).unwrap();
    assert_eq!(
        defect_of(&surplus),
        format!("block {} of the fork is mapped, but not used", LEAF + 50)
    );
    let mut rootless = tested.clone();
    rootless.blocks.free(FileBlock(LEAF)).unwrap();
    assert!(defect_of(&rootless).contains("is out of place"));
    let mut hole = tested.clone();
    hole.blocks.free(FileBlock(2)).unwrap();
    assert!(defect_of(&hole).starts_with("data block 2 has None bytes of room"));
}

#[test]
fn damage_in_short_form() {
    let format = format(512, 512);
    let mut tested = Tested::new(format, 200);
    for name in [&b"one"[..], b"two"] {
        tested.insert(name, 99).unwrap();
    }
    let good = tested.short.clone().unwrap();
    assert_eq!(check_short(&format, &good).unwrap().names, 2);
    for (at, value, expected) in [
        (0, 3, "needs 29 bytes, has 28"),
        (0, 1, "28 bytes, but its entries end at 17"),
        (1, 1, "needs 123 bytes, has 28"),
        (6, 0, "entry 0: the name is empty or contains '/' or NUL"),
        (9, b'/', "entry 0: the name is empty or contains '/' or NUL"),
        (8, 0x61, "entry 0: offset 0x61"),
        (8, 0x58, "entry 0: offset 0x58"),
        (7, 2, "entry 1: offset 0x70"),
        (18, 2, "entry 1: offset 0x270"),
        (12, 9, "entry 0: file type 9"),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let mut ignore = |_: &Entry| Ok(ControlFlow::Continue(()));
        let said = defect(visit_short(&format, &bytes, &mut ignore));
        assert_eq!(said, expected, "{at} {value}");
    }
    let mut twice = good.clone();
    twice[20..23].copy_from_slice(b"one");
    assert!(defect(check_short(&format, &twice)).starts_with("two entries have the name"));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut tested = filled(4);
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        assert!(tested.insert(name, 5).is_err());
        assert!(tested.remove(name).is_err());
    }
    assert!(tested.insert(&name_of(1, 12), 5).is_err());
    assert_eq!(tested.remove(b"none").unwrap_err().kind_name(), "not_found");
    tested.check();
}

#[test]
fn case_does_not_matter_where_the_volume_says_so() {
    for room in [300, 40] {
        let format = DaFormat { is_ascii_ci: true, ..format(512, 512) };
        let mut tested = Tested::new(format, room);
        for name in ["Readme", "B", "c"] {
            tested.insert(name.as_bytes(), 7).unwrap();
        }
        assert!(tested.insert(b"README", 8).is_err());
        assert_eq!(tested.find(b"rEADME").unwrap().name, b"Readme");
        assert_eq!(tested.remove(b"readme").unwrap().name, b"Readme");
        assert_eq!(tested.find(b"Readme"), None);
        tested.check();
    }
}
