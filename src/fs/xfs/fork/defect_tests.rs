//! Forks that lie: each defect is named, and nothing loops.

use super::extent::ExtentDefect;
use super::list::put_list;
use super::tests::{inodes, open};
use super::*;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::error::ErrorKind;
use crate::fs::xfs::checksum;
use crate::fs::xfs::inode::{ForkFormat, Inode};
use crate::fs::xfs::testing::fixture;
use crate::fs::xfs::units::{FileBlock, FsBlock};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;

fn extent(file_block: u64, start: u64, count: u32) -> Extent {
    let (file_block, start) = (FileBlock(file_block), FsBlock(start));
    Extent { file_block, start, count, is_unwritten: false }
}

fn file(volume: &Volume, disk: &Overlay, path: &str) -> Inode {
    inodes(volume, disk, &[path]).remove(0)
}

/// The defect that going through the data fork finds.
fn defect(volume: &Volume, inode: &Inode) -> ExtentDefect {
    let mut visit = |_| Ok(ControlFlow::Continue(()));
    let error = volume.visit_extents(inode, ForkKind::Data, &mut visit).unwrap_err();
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
    corrupt.defect.downcast_ref::<ExtentDefect>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn lists_that_lie_are_named() {
    let disk = fixture("default");
    let volume = open(&disk);
    let mut inode = file(&volume, &disk, "/data/forms/small");
    let superblock = volume.superblock();
    let ag_blocks = superblock.ag_blocks;
    let group = 1 << superblock.ag_block_log;
    let log = superblock.log_start.0;
    let unwritten = Extent { is_unwritten: true, ..extent(0, 900, 1) };
    let outside = |start, count| ExtentDefect::Outside { start, count };
    let cases = [
        (vec![extent(0, 900, 0)], ExtentDefect::Empty(0)),
        (vec![extent(0, 0, 1)], outside(0, 1)),
        (vec![extent(0, group, 1)], outside(group, 1)),
        (vec![extent(0, u64::from(ag_blocks), 1)], outside(u64::from(ag_blocks), 1)),
        (vec![extent(0, u64::from(ag_blocks) - 1, 2)], outside(u64::from(ag_blocks) - 1, 2)),
        (vec![extent(0, 1 << 51, 1)], outside(1 << 51, 1)),
        (vec![extent(0, log, 1)], outside(log, 1)),
        (vec![extent(0, log - 1, 2)], outside(log - 1, 2)),
        (
            vec![extent((1 << 54) - 1, 900, 2)],
            ExtentDefect::TooFar { file_block: (1 << 54) - 1, count: 2 },
        ),
        (vec![extent(5, 900, 3), extent(7, 910, 1)], ExtentDefect::Order { file_block: 7, end: 8 }),
        (vec![extent(5, 900, 3), extent(4, 910, 1)], ExtentDefect::Order { file_block: 4, end: 8 }),
    ];
    for (extents, expected) in cases {
        put_list(&mut inode, ForkKind::Data, &extents).unwrap();
        inode.set_extent_count(ForkKind::Data, extents.len() as u64).unwrap();
        assert_eq!(defect(&volume, &inode), expected);
        assert!(volume.find_extent(&inode, ForkKind::Data, FileBlock(0)).is_err(), "{expected}");
        assert!(volume.read_content(&inode, 0, 1).is_err(), "{expected}");
    }
    inode.set_extent_count(ForkKind::Data, 22).unwrap();
    let room = inode.fork(ForkKind::Data).len();
    assert_eq!(defect(&volume, &inode), ExtentDefect::Room { count: 22, room });
    inode.set_format(ForkKind::Data, ForkFormat::Device).unwrap();
    assert_eq!(defect(&volume, &inode), ExtentDefect::NoExtents);

    let mut directory = file(&volume, &disk, "/data/block");
    put_list(&mut directory, ForkKind::Data, &[unwritten]).unwrap();
    assert_eq!(defect(&volume, &directory), ExtentDefect::Unwritten(0));
}

#[test]
fn a_tree_that_is_counted_wrong_is_named() {
    let disk = fixture("block-1k");
    let mut volume = open(&disk);
    let mut inode = file(&volume, &disk, "/data/forms/fragments");
    let stored = inode.extent_count(ForkKind::Data);
    inode.set_extent_count(ForkKind::Data, stored - 1).unwrap();
    let expected = ExtentDefect::Count { stored: stored - 1, found: stored };
    assert_eq!(defect(&volume, &inode), expected);
    inode.set_extent_count(ForkKind::Data, stored + 1).unwrap();
    let expected = ExtentDefect::Count { stored: stored + 1, found: stored };
    assert_eq!(defect(&volume, &inode), expected);
    // So few that the tree would become a list.
    inode.set_extent_count(ForkKind::Data, 2).unwrap();
    assert!(volume.cut_content(&mut inode, 0, "content").is_err());
}

#[test]
fn blocks_of_the_free_space_are_not_given_back() {
    let disk = fixture("parent");
    let mut volume = open(&disk);
    let mut inode = file(&volume, &disk, "/data/forms/small");
    let other = file(&volume, &disk, "/data/forms/large");
    let stolen = volume.find_extent(&other, ForkKind::Data, FileBlock(0)).unwrap().unwrap();
    put_list(&mut inode, ForkKind::Data, &[Extent { count: 1, ..stolen }]).unwrap();
    let error = volume.cut_content(&mut inode, 0, "content").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{error}");
}

/// What reading the link says after its block was changed at `at`.
fn damaged_link(inode: &Inode, at: usize, bytes: &[u8], is_sealed: bool) -> String {
    let disk = fixture("parent-1k");
    let volume = open(&disk);
    let extent = volume.find_extent(inode, ForkKind::Data, FileBlock(0)).unwrap().unwrap();
    let place = volume.superblock().block_offset(extent.start).unwrap();
    let mut block = disk.read_vec(place, extent.count as usize * 1024).unwrap();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    if is_sealed {
        checksum::seal(&mut block, 12).unwrap();
    }
    disk.write_at(place, &block, "link").unwrap();
    volume.read_link(inode).unwrap_err().to_string()
}

#[test]
fn link_blocks_that_lie_are_named() {
    let disk = fixture("parent-1k");
    let volume = open(&disk);
    let paths = ["/data/forms/long-link", "/data/forms/short-link"];
    let mut links = inodes(&volume, &disk, &paths);
    for (at, bytes, expected) in [
        (0, [0, 0, 0, 0], "magic is 0x00000000, not 0x58534c4d"),
        (4, [0, 0, 0, 1], "1000 bytes from 1 on, when 0 are known and 1000 missing"),
        (8, [0, 0, 0, 0], "0 bytes from 0 on, when 0 are known and 1000 missing"),
        (8, [0, 0, 4, 1], "1025 bytes from 0 on, when 0 are known and 1000 missing"),
        (8, [0, 0, 0, 9], "only 9 of 1000 bytes are mapped"),
        (16, [1, 2, 3, 4], "belongs to the file system 01020304-"),
        (36, [0, 0, 0, 1], "belongs to inode 1"),
        (40, [1, 0, 0, 0], "says that it lies at sector 7205759403"),
    ] {
        let said = damaged_link(&links[0], at, &bytes, true);
        assert!(said.contains(expected), "{said}");
    }
    assert!(damaged_link(&links[0], 100, b"x", false).contains("checksum is "));
    for size in [0, 1025, u64::MAX >> 1] {
        links[1].set_size_bytes(size).unwrap();
        let said = volume.read_link(&links[1]).unwrap_err().to_string();
        assert!(said.contains("should be 1 to 1024"), "{said}");
    }
}

/// Whatever is wrong with a fork, reading and editing it end, and without a panic.
#[test]
fn random_damage_is_survived() {
    let paths = ["/data/forms/fragments", "/data/forms/unwritten", "/data/shared/second"];
    let name = "parent-1k";
    let whole = fixture(name);
    let first = open(&whole);
    let files = inodes(&first, &whole, &paths);
    let mut numbers = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        numbers ^= numbers << 13;
        numbers ^= numbers >> 7;
        numbers ^= numbers << 17;
        (numbers % limit as u64) as usize
    };
    for round in 0..45 {
        let disk = fixture(name);
        let mut volume = open(&disk);
        let mut inode = files[round % files.len()].clone();
        for _ in 0..=below(3) {
            let mut fork = inode.fork(ForkKind::Data).to_vec();
            // Most of the bytes that mean something are at the start.
            let limit = if below(2) == 0 { 40 } else { fork.len() };
            let at = below(limit);
            fork[at] ^= 1 << below(8);
            inode.put_fork(ForkKind::Data, &fork).unwrap();
        }
        if below(4) == 0 {
            inode.set_extent_count(ForkKind::Data, below(2000) as u64).unwrap();
        }
        damage_tree(&volume, &files[0], &mut below);
        let mut visit = |_| Ok(ControlFlow::Continue(()));
        let _ = volume.visit_extents(&inode, ForkKind::Data, &mut visit);
        let _ = volume.read_content(&inode, 0, 100_000);
        let _ = volume.write_content(&mut inode, below(200_000) as u64, &[1; 5000], "content");
        let (from, end) = (FileBlock(below(500) as u64), FileBlock(500 + below(500) as u64));
        let _ = volume.unmap_blocks(&mut inode, ForkKind::Data, from, end);
        let _ = volume.set_fork_offset(&mut inode, 8 * below(40));
        let _ = volume.cut_content(&mut inode, below(100_000) as u64, "content");
    }
}

/// Flips bits in a block of the tree of `file`, and gives it the right checksum.
fn damage_tree(volume: &Volume, file: &Inode, below: &mut impl FnMut(usize) -> usize) {
    const HEADER_BYTES: usize = 72;
    const CRC_AT: usize = 64;
    let fork = file.fork(ForkKind::Data);
    let room = (fork.len() - 4) / 16;
    let pointer = fork[4 + 8 * room..].first_chunk().unwrap();
    let start = FsBlock(u64::from_be_bytes(*pointer));
    let mut block = volume.read_blocks(start, 1).unwrap();
    for _ in 0..below(3) {
        let at = if below(3) == 0 { below(HEADER_BYTES) } else { below(block.len()) };
        block[at] ^= 1 << below(8);
    }
    checksum::seal(&mut block, CRC_AT).unwrap();
    volume.write_blocks(start, &block, "tree").unwrap();
}
