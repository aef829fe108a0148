//! Headers as bytes: what is read, what is refused, what is written back.

use super::*;
use crate::bytes::field::{put, put_be_u32};
use crate::fs::xfs::units::AgInode;

const UUID: [u8; 16] = [7; 16];

fn features(ro_compat: u32) -> Features {
    Features { version: 0xb4a5, features2: 0x18a, ro_compat, incompat: 3, log_incompat: 0 }
}

fn expected() -> Expected {
    Expected {
        ag: AgNumber(1),
        length_blocks: 4096,
        whole_group_blocks: 5000,
        first_block: 1,
        sector_bytes: 512,
        inodes_per_block_log: 3,
        uuid: UUID,
        features: features(0xf),
    }
}

/// A sector of zeros with these numbers in it, UUID and checksum.
fn sector(words: &[(usize, u32)], uuid_at: usize, crc_at: usize) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[500] = 0xee;
    put(&mut bytes, uuid_at, &UUID).unwrap();
    for (at, value) in words {
        put_be_u32(&mut bytes, *at, *value).unwrap();
    }
    checksum::seal(&mut bytes, crc_at).unwrap();
    bytes
}

const AGF: &[(usize, u32)] = &[
    (0, 0x5841_4746),
    (4, 1),
    (8, 1),
    (12, 4096),
    (16, 1),
    (20, 2),
    (24, 5),
    (28, 1),
    (32, 1),
    (36, 2),
    (40, 118),
    (44, 3),
    (48, 5),
    (52, 4000),
    (56, 3000),
    (60, 1),
    (80, 2),
    (84, 1),
    (88, 6),
    (92, 1),
];

fn agf(changes: &[(usize, u32)]) -> Result<Agf, HeaderDefect> {
    Agf::parse(sector(&[AGF, changes].concat(), 64, 216), &expected())
}

#[test]
fn an_agf_is_read_and_written_back() {
    let mut agf = agf(&[]).unwrap();
    assert_eq!(agf.by_size, TreeRoot { block: AgBlock(2), levels: 1 });
    assert_eq!(agf.reverse_map, Some(TreeRoot { block: AgBlock(5), levels: 2 }));
    assert_eq!(agf.reference_counts, Some(TreeRoot { block: AgBlock(6), levels: 1 }));
    assert_eq!((agf.free_blocks, agf.longest_blocks, agf.tree_blocks), (4000, 3000, 1));
    let mut bytes = agf.encode().unwrap();
    assert_eq!(bytes, sector(AGF, 64, 216), "the bytes behind the fields are kept");
    agf.free_blocks = 3999;
    agf.by_block.levels = 2;
    agf.reverse_map_blocks = 3;
    agf.reference_count_blocks = 4;
    bytes = agf.encode().unwrap();
    checksum::seal(&mut bytes, 216).unwrap();
    let again = Agf::parse(bytes, &expected()).unwrap();
    assert_eq!((again.free_blocks, again.by_block.levels), (3999, 2));
    assert_eq!((again.reverse_map_blocks, again.reference_count_blocks), (3, 4));
}

#[test]
fn an_agf_that_lies_is_refused() {
    let cases: &[(usize, u32, &str)] = &[
        (0, 0x5841_4749, "magic number is 0x58414749"),
        (4, 2, "version is 2, should be 1"),
        (8, 0, "is the header of allocation group 0"),
        (12, 4095, "says that the group has 4095 blocks, not 4096"),
        (16, 0, "the tree of free space by block at block 0 is outside"),
        (20, 4096, "the tree of free space by size at block 4096 is outside"),
        (28, 0, "the tree of free space by block has 0 levels"),
        (36, 11, "the reverse map has 11 levels"),
        (40, 119, "5 entries from 119 to 3 in a list of 119"),
        (48, 4, "4 entries from 118 to 3 in a list of 119"),
        (52, 4097, "counts 4097 free blocks of 4096"),
        (56, 4001, "counts 4001 blocks of the longest free extent of 4000"),
        (60, 4097, "counts 4097 tree blocks of 4096"),
        (64, 0, "has the UUID of another file system"),
        (84, 4097, "counts 4097 reference count blocks of 4096"),
        (88, u32::MAX, "the reference counts at block 4294967295 is outside"),
    ];
    for (at, value, message) in cases {
        let defect = agf(&[(*at, *value)]).unwrap_err().to_string();
        assert!(defect.starts_with(message), "{defect}, not {message}");
    }
    let mut bytes = sector(AGF, 64, 216);
    bytes[400] ^= 1;
    assert!(matches!(Agf::parse(bytes, &expected()), Err(HeaderDefect::Checksum(_))));
    let short = Agf::parse(vec![0; 2], &expected());
    assert!(matches!(short, Err(HeaderDefect::Short(_))));
}

#[test]
fn trees_that_the_volume_does_not_have_are_not_read() {
    let plain = Expected { features: features(0x9), ..expected() };
    let words = [AGF, &[(24, 0), (36, 0), (80, 9999), (84, 9999), (88, 0), (92, 0)]].concat();
    let bytes = sector(&words, 64, 216);
    let agf = Agf::parse(bytes.clone(), &plain).unwrap();
    assert_eq!((agf.reverse_map, agf.reference_counts), (None, None));
    assert_eq!(agf.encode().unwrap(), bytes);
}

#[test]
fn an_empty_list_and_a_full_one_have_the_same_bounds() {
    assert_eq!(agf(&[(40, 4), (44, 3), (48, 0)]).unwrap().free_list.count, 0);
    assert_eq!(agf(&[(40, 4), (44, 3), (48, 119)]).unwrap().free_list.count, 119);
    assert!(agf(&[(40, 4), (44, 3), (48, 1)]).is_err());
}

fn agfl(entries: &[(usize, u32)], list: FreeList) -> Result<Agfl, HeaderDefect> {
    Agfl::parse(agfl_sector(entries), &expected(), list)
}

/// A free list with these entries; all others were never used.
fn agfl_sector(entries: &[(usize, u32)]) -> Vec<u8> {
    let unused = (0..119).map(|index| (index, u32::MAX));
    let all = unused.chain(entries.iter().copied());
    let words: Vec<(usize, u32)> = [(0, 0x5841_464c), (4, 1)]
        .into_iter()
        .chain(all.map(|(index, block)| (36 + index * 4, block)))
        .collect();
    sector(&words, 8, 32)
}

#[test]
fn the_list_is_a_ring() {
    let mut agf = agf(&[(40, 118), (44, 0), (48, 2)]).unwrap();
    let mut agfl = agfl(&[(118, 9), (0, 8)], agf.free_list).unwrap();
    assert_eq!(agfl.blocks(agf.free_list).unwrap(), [AgBlock(9), AgBlock(8)]);
    agfl.put(&mut agf, AgBlock(7)).unwrap();
    assert_eq!(agf.free_list, FreeList { first: 118, last: 1, count: 3 });
    for block in [9, 8, 7] {
        assert_eq!(agfl.take(&mut agf).unwrap(), AgBlock(block));
    }
    assert_eq!(agf.free_list, FreeList { first: 2, last: 1, count: 0 });
    let error = agfl.take(&mut agf).unwrap_err().to_string();
    assert!(error.contains("the list is empty"), "{error}");
    for block in 0..119 {
        agfl.put(&mut agf, AgBlock(100 + block)).unwrap();
    }
    assert!(agfl.put(&mut agf, AgBlock(99)).unwrap_err().to_string().contains("is full"));
    assert_eq!(agfl.blocks(agf.free_list).unwrap().len(), 119);
}

#[test]
fn a_list_that_lies_is_refused() {
    let list = FreeList { first: 0, last: 1, count: 2 };
    assert_eq!(agfl(&[(0, 9), (1, 9)], list), Err(HeaderDefect::ListedTwice(9)));
    let outside = HeaderDefect::Place { what: "an entry", block: 4096 };
    assert_eq!(agfl(&[(0, 9), (1, 4096)], list), Err(outside));
    let unused = |block| HeaderDefect::Place { what: "an entry out of use", block };
    assert_eq!(agfl(&[(0, 9), (1, 10), (50, 5000)], list), Err(unused(5000)));
    assert!(agfl(&[(0, 9), (1, 10), (50, 4999)], list).is_ok());
    let other = Expected { ag: AgNumber(2), ..expected() };
    let bytes = agfl_sector(&[(0, 5), (1, 6)]);
    let wrong = HeaderDefect::Number { stored: AgNumber(1) };
    assert_eq!(Agfl::parse(bytes, &other, list), Err(wrong));
}

const AGI: &[(usize, u32)] = &[
    (0, 0x5841_4749),
    (4, 1),
    (8, 1),
    (12, 4096),
    (16, 128),
    (20, 3),
    (24, 1),
    (28, 60),
    (32, 64),
    (36, u32::MAX),
    (328, 4),
    (332, 1),
    (336, 1),
    (340, 2),
];

fn agi(changes: &[(usize, u32)]) -> Result<Agi, HeaderDefect> {
    let unlinked: Vec<(usize, u32)> = (0..64).map(|bucket| (40 + bucket * 4, u32::MAX)).collect();
    let words = [AGI, &unlinked, changes].concat();
    Agi::parse(sector(&words, 296, 312), &expected())
}

#[test]
fn an_agi_is_read_and_written_back() {
    let mut agi = agi(&[(44, 97)]).unwrap();
    assert_eq!((agi.inode_count, agi.free_inode_count), (128, 60));
    assert_eq!(agi.new_inode, Some(AgInode(64)));
    assert_eq!((agi.unlinked[0], agi.unlinked[1]), (None, Some(AgInode(97))));
    assert_eq!((agi.inode_tree_blocks, agi.free_inode_tree_blocks), (Some(1), Some(2)));
    agi.unlinked[1] = None;
    agi.free_inode_count = 59;
    agi.new_inode = None;
    let mut bytes = agi.encode().unwrap();
    assert_eq!(bytes[500], 0xee);
    checksum::seal(&mut bytes, 312).unwrap();
    let again = Agi::parse(bytes, &expected()).unwrap();
    assert_eq!((again.unlinked[1], again.free_inode_count, again.new_inode), (None, 59, None));
}

#[test]
fn an_agi_that_lies_is_refused() {
    let cases: &[(usize, u32, &str)] = &[
        (8, 7, "is the header of allocation group 7"),
        (16, 32769, "counts 32769 inodes of 32768"),
        (28, 129, "counts 129 free inodes of 128"),
        (32, 32768, "the newest chunk is inode 32768"),
        (44, 32768, "the head of an unlinked list is inode 32768"),
        (332, 0, "the free inode tree has 0 levels"),
        (340, 5000, "counts 5000 free inode tree blocks of 4096"),
    ];
    for (at, value, message) in cases {
        let defect = agi(&[(*at, *value)]).unwrap_err().to_string();
        assert!(defect.starts_with(message), "{defect}, not {message}");
    }
}
