//! Random edits of directories in memory, against a map, with a validator of its own that shares no
//! parser with the code.

use super::*;
use crate::bytes::checksum::crc32c_raw;
use crate::error::ErrorKind;
use crate::fs::ext::directory::memory::{Memory, is_empty, name_of};
use crate::fs::ext::directory::{DirectoryFormat, lookup, remove, visit};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

fn format(block_size_bytes: u32) -> DirectoryFormat {
    DirectoryFormat {
        block_size_bytes,
        inode: 12,
        has_file_type: true,
        checksum_seed: Some(0x1234_5678),
        hash_seed: [1, 2, 3, 4],
        default_hash_version: 1,
        hash_is_unsigned: false,
        may_index: true,
        is_large: false,
        is_indexed: false,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Names and inodes of one leaf, strictly checked. Sizes below 64 KiB only.
fn leaf_names(directory: &Memory, block: usize) -> Vec<(Vec<u8>, u32)> {
    let bytes = &directory.blocks[block];
    let mut end = bytes.len();
    if let Some(seed) = directory.format.checksum_seed {
        end -= 12;
        assert_eq!(bytes[end..end + 8], [0, 0, 0, 0, 12, 0, 0, 0xde]);
        assert_eq!(u32_at(bytes, end + 8), crc32c_raw(seed, &bytes[..end]));
    }
    let (mut at, mut names) = (0, Vec::new());
    while at < end {
        let (inode, rec_len) = (u32_at(bytes, at), u16_at(bytes, at + 4));
        assert!(rec_len >= 12 && rec_len % 4 == 0 && at + rec_len <= end);
        if inode != 0 {
            let len = usize::from(bytes[at + 6]);
            assert!(len > 0 && len + 8 <= rec_len);
            if !directory.format.has_file_type {
                assert_eq!(bytes[at + 7], 0);
            }
            names.push((bytes[at + 8..at + 8 + len].to_vec(), inode));
        }
        at += rec_len;
    }
    names
}

/// Checks the index below `block` and collects what its leaves hold.
fn collect_tree(
    directory: &Memory,
    block: usize,
    levels: u8,
    range: (u64, u64),
    found: &mut Vec<(Vec<u8>, u32)>,
    used: &mut Vec<usize>,
) {
    assert!(!used.contains(&block), "block {block} twice");
    used.push(block);
    let bytes = &directory.blocks[block];
    let start = if block == 0 { 32 } else { 8 };
    if block != 0 {
        assert_eq!((u32_at(bytes, 0), u16_at(bytes, 4), u16_at(bytes, 6)), (0, bytes.len(), 0));
    }
    let (limit, count) = (u16_at(bytes, start), u16_at(bytes, start + 2));
    let has_checksum = directory.format.checksum_seed.is_some();
    assert_eq!(limit, (bytes.len() - start - if has_checksum { 8 } else { 0 }) / 8);
    assert!((1..=limit).contains(&count));
    if let Some(seed) = directory.format.checksum_seed {
        let tail = start + limit * 8;
        let sum = crc32c_raw(seed, &bytes[..start + count * 8]);
        assert_eq!(u32_at(bytes, tail + 4), crc32c_raw(sum, &[0; 8]));
    }
    let hash_at = |i: usize| u64::from(u32_at(bytes, start + 8 * i));
    for i in 0..count {
        let from = if i == 0 { range.0 } else { hash_at(i) };
        let to = if i + 1 == count { range.1 } else { hash_at(i + 1) };
        assert!(from <= to && from >= range.0 && to <= range.1, "{from:x} {to:x} {range:x?}");
        let child = u32_at(bytes, start + 8 * i + 4) as usize;
        if levels > 0 {
            collect_tree(directory, child, levels - 1, (from, to), found, used);
            continue;
        }
        assert!(!used.contains(&child), "leaf {child} twice");
        used.push(child);
        let format = &directory.format;
        let version = directory.blocks[0][0x1c];
        let hash =
            NameHash::of_version(version, format.hash_is_unsigned, format.hash_seed).unwrap();
        for (name, inode) in leaf_names(directory, child) {
            let hash = u64::from(hash.hash(&name));
            // `from` has its low bit set if this leaf continues the one before, and `to` likewise.
            assert!(hash >= from & !1 && hash < to.max(1), "{hash:x} in {from:x}..{to:x}");
            found.push((name, inode));
        }
    }
}

/// Everything in the directory, read by the validator.
fn names(directory: &Memory) -> BTreeMap<Vec<u8>, u32> {
    let mut found = Vec::new();
    if directory.format.is_indexed {
        let mut used = Vec::new();
        let levels = directory.blocks[0][0x1e];
        collect_tree(directory, 0, levels, (0, 1 << 32), &mut found, &mut used);
        assert_eq!(used.len(), directory.blocks.len(), "every block is in the index");
    } else {
        for block in 0..directory.blocks.len() {
            found.extend(leaf_names(directory, block));
        }
        assert_eq!(
            (found[0].0.as_slice(), found[1].0.as_slice()),
            (b".".as_slice(), b"..".as_slice())
        );
        found.drain(..2);
    }
    let count = found.len();
    let map: BTreeMap<_, _> = found.into_iter().collect();
    assert_eq!(map.len(), count, "no name twice");
    map
}

fn listed(directory: &Memory) -> BTreeMap<Vec<u8>, u32> {
    let mut map = BTreeMap::new();
    visit(directory, &mut |entry| {
        if entry.name != b"." && entry.name != b".." {
            assert!(map.insert(entry.name.clone(), entry.inode).is_none());
        }
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    map
}

/// Inserts and removes by a fixed pseudo-random sequence, comparing with a map.
fn churn(format: DirectoryFormat, steps: u32, len_max: usize) -> Memory {
    let mut directory = Memory::new(format);
    let mut model = BTreeMap::new();
    let mut state = 99u32;
    for step in 0..steps {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = name_of((state >> 8) % (steps / 2 + 1), len_max);
        let expected = model.get(&name).copied();
        assert_eq!(lookup(&directory, &name).unwrap().map(|entry| entry.inode), expected);
        match expected {
            Some(inode) if state.is_multiple_of(3) => {
                assert_eq!(remove(&mut directory, &name).unwrap().inode, inode);
                model.remove(&name);
            }
            Some(_) => {
                let error = directory.add(&name, 5).unwrap_err();
                assert!(error.to_string().contains("exists already"), "{error}");
            }
            None => {
                directory.add(&name, step + 20).unwrap();
                model.insert(name, step + 20);
            }
        }
    }
    assert_eq!(names(&directory), model);
    assert_eq!(listed(&directory), model);
    for (name, inode) in &model {
        assert_eq!(lookup(&directory, name).unwrap().unwrap().inode, *inode);
    }
    assert_eq!(lookup(&directory, b"..").unwrap().unwrap().inode, 2);
    assert_eq!(lookup(&directory, b".").unwrap().unwrap().inode, 12);
    directory
}

#[test]
fn every_format_keeps_every_name() {
    for (block_size_bytes, has_file_type, checksum_seed, may_index, version) in [
        (1024, true, Some(7), true, 1),
        (1024, true, None, true, 1),
        (1024, false, None, true, 0),
        (1024, false, Some(9), true, 2),
        (4096, true, Some(7), true, 2),
        (4096, true, None, true, 0),
        (1024, true, Some(7), false, 1),
        (4096, false, None, false, 1),
        (65536, true, Some(7), true, 5),
        (1024, true, Some(7), true, 3),
        (1024, true, Some(7), true, 4),
    ] {
        for hash_is_unsigned in [false, true] {
            let format = DirectoryFormat {
                has_file_type,
                checksum_seed,
                may_index,
                default_hash_version: version,
                hash_is_unsigned,
                ..format(block_size_bytes)
            };
            let directory = churn(format, 700, 255);
            let is_large = directory.blocks.len() > 1;
            assert_eq!(directory.format.is_indexed, may_index && is_large);
        }
    }
}

#[test]
fn the_index_grows_to_its_deepest_level_and_then_refuses() {
    let mut directory = Memory::new(format(1024));
    let mut model = BTreeMap::new();
    for number in 0..4000 {
        let name = name_of(number, 255);
        directory.add(&name, number + 20).unwrap();
        model.insert(name, number + 20);
    }
    assert_eq!(directory.blocks[0][0x1e], 1);
    assert_eq!(names(&directory), model);

    // A root and a node that are full: one more level is only for "large_dir".
    let mut path = Path::to(&directory, b"x").unwrap();
    let filler = |count: u32| (0..count).map(|i| Slot { hash: i * 2, block: i + 1 }).collect();
    path.steps[0].node.slots = filler(123);
    path.steps[1].node.slots = filler(126);
    assert!(path.steps.iter().all(|step| !step.node.has_room(&directory.format)));
    let mut copy = directory.clone();
    let error = path.clone().make_room(&mut copy).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::NoSpace { .. })), "{error}");
    copy.format.is_large = true;
    path.make_room(&mut copy).unwrap();
    assert_eq!((path.steps.len(), path.info.levels), (3, 2));
    assert!(path.steps[2].node.has_room(&copy.format));
}

#[test]
fn a_large_directory_of_three_levels_keeps_every_name() {
    let large = DirectoryFormat { is_large: true, ..format(1024) };
    let mut directory = Memory::new(large);
    let mut model = BTreeMap::new();
    let mut number = 0;
    while directory.blocks[0][0x1e] < 2 {
        let name = format!("{number:0>250}").into_bytes();
        directory.add(&name, number + 20).unwrap();
        model.insert(name, number + 20);
        number += 1;
        assert!(number < 60_000, "123 * 126 leaves of 3 names are enough");
    }
    assert_eq!(names(&directory), model);
}

/// Two different names with the same legacy hash, found by a search.
fn colliding_names() -> [Vec<u8>; 2] {
    let hash = NameHash::of_version(0, false, [0; 4]).unwrap();
    let mut by_hash = BTreeMap::new();
    for number in 0..400_000u32 {
        let name = format!("{number:x}").into_bytes();
        if let Some(other) = by_hash.insert(hash.hash(&name), name.clone()) {
            return [other, name];
        }
    }
    panic!("no collision");
}

#[test]
fn names_with_one_hash_continue_in_the_next_leaf() {
    let collisions = colliding_names();
    let legacy = DirectoryFormat { default_hash_version: 0, ..format(1024) };
    let mut directory = Memory::new(legacy);
    for (inode, name) in (20..).zip(&collisions) {
        directory.add(name, inode).unwrap();
    }
    for number in 0..300 {
        directory.add(&name_of(number, 200), number + 30).unwrap();
    }
    assert!(directory.format.is_indexed);
    for (inode, name) in (20..).zip(&collisions) {
        assert_eq!(lookup(&directory, name).unwrap().unwrap().inode, inode);
    }
    // Put them into neighbouring leaves by hand, as a split in their midst does.
    let hash = NameHash::of_version(0, false, [0; 4]).unwrap().hash(&collisions[0]);
    let file = |inode, name| NewRecord { inode, file_type: 1, name };
    let format = directory.format.clone();
    let leaf = |names: &[NewRecord<'_>]| block::build(names, &format).unwrap().unwrap();
    let dots = directory.blocks[0][..24].try_into().unwrap();
    let mut root = Node::new_root(dots, 0, 1, &format).unwrap();
    root.slots.push(Slot { hash: hash | 1, block: 2 });
    directory.blocks = vec![
        root.encode(&format).unwrap(),
        leaf(&[file(20, &collisions[0])]),
        leaf(&[file(21, &collisions[1])]),
    ];
    assert_eq!(names(&directory).len(), 2);
    assert_eq!(lookup(&directory, &collisions[1]).unwrap().unwrap().inode, 21);
    assert!(directory.add(&collisions[1], 22).is_err());
    assert_eq!(remove(&mut directory, &collisions[1]).unwrap().inode, 21);
    assert_eq!(lookup(&directory, &collisions[1]).unwrap(), None);
}

/// An indexed directory of some blocks.
fn indexed() -> Memory {
    let mut directory = Memory::new(DirectoryFormat { checksum_seed: None, ..format(1024) });
    for number in 0..60 {
        directory.add(&name_of(number, 100), number + 20).unwrap();
    }
    assert!(directory.format.is_indexed && directory.blocks.len() > 4);
    directory
}

#[test]
fn a_damaged_index_is_never_edited_but_does_not_hide_names() {
    let good = indexed();
    let first_child = good.blocks[0][0x24];
    for (at, value, defect) in [
        (0x18, 1, "dx_root_info: reserved 0x1"),
        (0x1c, 9, "hash version 9 is unknown"),
        (0x1d, 7, "length 7"),
        (0x1e, 3, "indirect_levels 3 exceeds 2"),
        (0x1f, 1, "flags 0x1"),
        (0x20, 5, "limit 5 (should be 124)"),
        (0x22, 0, "count 0"),
        (0x22, 200, "count 200"),
        (0x24, 0, "slot 0 leads to block 0"),
        (0x24, 99, "slot 0 leads to block 99"),
        (0x2c, first_child, "is reached twice"),
        (0x2b, 0xff, "out of order"),
    ] {
        let mut bad = good.clone();
        bad.blocks[0][at] = value;
        let error = bad.add(b"new name", 9).unwrap_err();
        assert!(error.to_string().contains(defect), "{at:#x}: {error}");
        assert!(matches!(error.kind(), ErrorKind::Corrupt(_)));
        assert_eq!(lookup(&bad, &name_of(3, 100)).unwrap().unwrap().inode, 23, "{at:#x}");
        assert_eq!(listed(&bad), names(&good));
    }
    let mut bad = good.clone();
    bad.blocks[0][0x1c] = 6;
    for error in [bad.add(b"new", 9).unwrap_err(), lookup(&bad, b"new").unwrap_err()] {
        assert!(error.to_string().contains("SipHash"), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Refused(_)));
    }
}

#[test]
fn misplaced_names_and_disguised_nodes_stop_an_edit() {
    let mut swapped = indexed();
    swapped.blocks.swap(1, 2);
    let results: Vec<_> =
        (0..40).map(|number| swapped.clone().add(format!("n{number}").as_bytes(), 9)).collect();
    let misplaced = |error: &Error| error.to_string().contains("a name with hash");
    assert!(results.iter().any(|result| result.as_ref().is_err_and(misplaced)));

    let mut disguised = indexed();
    let node = Node::new(1, vec![Slot { hash: 0, block: 2 }], &disguised.format);
    for block in 1..disguised.blocks.len() {
        disguised.blocks[block] = node.encode(&disguised.format).unwrap();
    }
    let error = disguised.add(b"new", 9).unwrap_err();
    assert!(error.to_string().contains("where a leaf should be"), "{error}");

    let mut looped = indexed();
    looped.blocks[0][0x1e] = 1;
    let error = looped.add(b"new", 9).unwrap_err();
    assert!(error.to_string().contains("the entries that hide the index are damaged"), "{error}");
}

#[test]
fn checksums_of_the_index_are_checked() {
    let mut directory = Memory::new(format(1024));
    for number in 0..60 {
        directory.add(&name_of(number, 100), number + 20).unwrap();
    }
    directory.blocks[0][0x2d] ^= 1;
    let error = directory.add(b"new", 9).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn empty_means_only_the_dots() {
    let mut directory = Memory::new(format(1024));
    assert!(is_empty(&directory));
    for number in 0..40 {
        directory.add(&name_of(number, 100), number + 20).unwrap();
    }
    assert!(!is_empty(&directory));
    for number in 0..40 {
        remove(&mut directory, &name_of(number, 100)).unwrap();
    }
    assert!(is_empty(&directory) && directory.format.is_indexed);
    for (name, error) in [(b".".as_slice(), "fixed"), (b"a/b", "not a file"), (b"gone", "no entry")]
    {
        let message = remove(&mut directory, name).unwrap_err().to_string();
        assert!(message.contains(error), "{message}");
    }
    assert!(directory.add(&[b'x'; 256], 5).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No bytes make a directory panic or run for long.
    #[test]
    fn random_damage_gives_an_answer_or_an_error(
        changes in proptest::collection::vec((0usize..8, 0usize..1024, any::<u8>()), 1..8),
    ) {
        let mut directory = indexed();
        let count = directory.blocks.len();
        for (block, at, value) in changes {
            directory.blocks[block % count][at] = value;
        }
        let _ = lookup(&directory, b"some name");
        let _ = visit(&directory, &mut |_| Ok(ControlFlow::Continue(())));
        let _ = directory.add(b"some name", 9);
        let _ = remove(&mut directory, &name_of(3, 100));
    }
}
