//! Every defect of superblock, group descriptor, inode, extent tree, block map and bitmap, one row each: a good
//! volume made by hand, a few bytes changed, and the exact defect. Hostile values at every bound.

use super::block_map::BlockMapDefect;
use super::extent::{ExtentDefect, Node, Parse};
use super::group::GroupDefect;
use super::inode::{Inode, InodeDefect};
use super::superblock::{Superblock, SuperblockDefect};
use super::units::{FileBlock, FsBlock, GroupIndex, InodeNumber};
use super::volume::Volume;
use super::xattr::XattrDefect;
use super::{checksum, flag};
use crate::bytes::checksum::crc32c_raw;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::error::{Error, ErrorKind, Refusal, Result};
use std::sync::Arc;

const BLOCK: usize = 1024;
/// One group of 8192 blocks behind the boot block.
const BLOCKS: u32 = 8193;
const SUPER: usize = 1024;
const DESCRIPTOR: usize = 2 * BLOCK;
const BLOCK_BITMAP: usize = 3 * BLOCK;
const INODE_BITMAP: usize = 4 * BLOCK;
const TABLE: usize = 5 * BLOCK;
const INODES: u32 = 2048;
/// The inode that is looked at, and where it lies.
const NUMBER: InodeNumber = InodeNumber(12);
const INODE: usize = TABLE + 11 * 256;
/// A block of content.
const FREE_BLOCK: u32 = 1000;

const RO_UNINIT_BG: u32 = 0x10;
const RO_BIGALLOC: u32 = 0x200;
const RO_METADATA_CSUM: u32 = 0x400;

type Change<'a> = (usize, &'a [u8]);

/// The bytes of a good volume with these read-only-compatible features; checksums are all zero.
fn good(ro_compat: u32) -> Vec<u8> {
    let mut bytes = vec![0; BLOCKS as usize * BLOCK];
    let mut put32 = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    for (at, value) in [
        (0x0, INODES),
        (0x4, BLOCKS),
        (0x14, 1),
        (0x1c, 0),
        (0x20, 8192),
        (0x24, 8192),
        (0x28, INODES),
        (0x38, 0x1_ef53),
        (0x4c, 1),
        (0x54, 11),
        (0x58, 256),
        (0x5c, 0x38),
        (0x60, 0xc2),
        (0x64, 0x3 | ro_compat),
        (0xfc, 64 << 16),
        (0x174, 1 << 8),
    ] {
        put32(SUPER + at, value);
    }
    // Bitmaps in blocks 3 and 4, the table behind them; free: 8192 - 516 blocks, 2048 - 11 inodes.
    for (at, value) in [(0x0, 3), (0x4, 4), (0x8, 5), (0xc, (2037 << 16) + 7676), (0x10, 2)] {
        put32(DESCRIPTOR + at, value);
    }
    put32(INODE, 0x81a4);
    put32(INODE + 0x18, 1 << 16);
    put32(INODE + 0x20, flag::EXTENTS);
    put32(INODE + 0x28, 0xf30a);
    put32(INODE + 0x2c, 4);
    put32(INODE + 0x80, 32);
    for (at, count) in [(BLOCK_BITMAP, 516), (INODE_BITMAP, 11)] {
        for bit in 0..count {
            bytes[at + bit / 8] |= 1 << (bit % 8);
        }
    }
    bytes[INODE_BITMAP + 256..INODE_BITMAP + BLOCK].fill(0xff);
    bytes
}

fn changed(mut bytes: Vec<u8>, changes: &[Change<'_>]) -> Vec<u8> {
    for (at, value) in changes {
        bytes[*at..*at + value.len()].copy_from_slice(value);
    }
    bytes
}

fn open(bytes: Vec<u8>) -> Volume {
    Volume::open(Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))))).unwrap()
}

fn volume(changes: &[Change<'_>]) -> Volume {
    open(changed(good(0), changes))
}

/// The good volume with all metadata checksums, of which those behind the superblock are wrong.
fn volume_with_checksums(changes: &[Change<'_>]) -> Volume {
    let mut bytes = changed(good(RO_METADATA_CSUM), changes);
    let sum = crc32c_raw(!0, &bytes[SUPER..SUPER + 0x3fc]);
    bytes[SUPER + 0x3fc..SUPER + 0x400].copy_from_slice(&sum.to_le_bytes());
    open(bytes)
}

/// The defect inside a `Corrupt`.
#[track_caller]
fn defect<D: std::error::Error + Clone + 'static, T>(result: Result<T>) -> D {
    let Err(error) = result else { panic!("accepted") };
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("not damage: {error}") };
    let defect = corrupt.defect.downcast_ref::<D>();
    defect.unwrap_or_else(|| panic!("another defect: {corrupt}")).clone()
}

#[track_caller]
fn needs_check<T>(result: Result<T>) -> String {
    let error: Error = result.err().expect("accepted");
    match error.kind() {
        ErrorKind::Refused(Refusal::NeedsCheck { detail }) => detail.clone(),
        _ => panic!("another refusal: {error}"),
    }
}

#[test]
fn the_good_volume_is_good() {
    let volume = volume(&[]);
    let group = volume.read_group(GroupIndex(0)).unwrap();
    volume.read_block_bitmap(&group).unwrap();
    volume.read_inode_bitmap(&group).unwrap();
    let inode = volume.read_inode(NUMBER).unwrap();
    volume.read_extent_root(&inode).unwrap();
}

#[test]
fn superblocks() {
    use SuperblockDefect as D;
    let disk_bytes = u64::from(BLOCKS) * BLOCK as u64;
    let parse = |bytes: &[u8]| Superblock::parse(&bytes[SUPER..SUPER + 1024], disk_bytes);
    parse(&good(0)).unwrap();
    let word = |at: usize, value: u32, expected: D| (0, at, value, expected);
    let mut cases = vec![
        word(0x38, 0, D::Magic(0)),
        word(0x18, 7, D::BlockSize(7)),
        word(0x18, u32::MAX, D::BlockSize(u32::MAX)),
        (RO_BIGALLOC, 0x1c, 21, D::ClusterSize(21)),
        (RO_BIGALLOC, 0x1c, u32::MAX, D::ClusterSize(u32::MAX)),
        word(0x14, 0, D::FirstDataBlock(0)),
        word(0x14, 2, D::FirstDataBlock(2)),
        word(0x14, BLOCKS + 1, D::BlocksCount(BLOCKS.into())),
        word(0x4, 0, D::BlocksCount(0)),
        word(0x4, 1, D::GroupCount(0)),
        word(0x150, u32::MAX, D::GroupCount((u64::from(u32::MAX) << 19) + 1)),
        word(0x4, BLOCKS + 1, D::InodesCount { inodes: INODES, groups: 2, per_group: INODES }),
    ];
    for size in [0, 127, 129, 384, 2048, 0x8000] {
        cases.push(word(0x58, size.into(), D::InodeSize(size)));
    }
    for size in [0u16, 32, 63, 96, 2048, 0x8000] {
        cases.push(word(0xfc, u32::from(size) << 16, D::DescriptorSize(size)));
    }
    for count in [0, 7, 12, 8200, u32::MAX] {
        cases.push(word(0x20, count, D::BlocksPerGroup(count)));
    }
    for count in [0, 4, 12, 8200, u32::MAX] {
        cases.push(word(0x28, count, D::InodesPerGroup(count)));
    }
    for inodes in [0, INODES - 1, INODES + 1, u32::MAX] {
        let expected = D::InodesCount { inodes, groups: 1, per_group: INODES };
        cases.push(word(0x0, inodes, expected));
    }
    for (ro_compat, at, value, expected) in cases {
        let bytes = changed(good(ro_compat), &[(SUPER + at, &value.to_le_bytes())]);
        assert_eq!(defect::<D, _>(parse(&bytes)), expected, "{at:#x} = {value:#x}");
    }
    let bytes = good(0);
    let short = Superblock::parse(&bytes[SUPER..SUPER + 1024], disk_bytes - 1);
    let expected = D::LargerThanDisk { fs_bytes: disk_bytes, disk_bytes: disk_bytes - 1 };
    assert_eq!(defect::<D, _>(short), expected);
    // The cluster may not be smaller than the block.
    let bytes = changed(good(RO_BIGALLOC), &[(SUPER + 0x18, &[2])]);
    assert_eq!(defect::<D, _>(parse(&bytes)), D::ClusterSize(0));
    let bytes = good(RO_METADATA_CSUM);
    let computed = checksum::superblock(&bytes[SUPER..SUPER + 1024]).unwrap();
    assert_eq!(defect::<D, _>(parse(&bytes)), D::Checksum { stored: 0, computed });
    for kind in [0, 2, 255] {
        let bytes = changed(good(RO_METADATA_CSUM), &[(SUPER + 0x175, &[kind])]);
        assert_eq!(defect::<D, _>(parse(&bytes)), D::ChecksumType(kind));
    }
}

#[test]
fn group_descriptors() {
    use GroupDefect as D;
    let read = |volume: &Volume| volume.read_group(GroupIndex(0));
    let mut cases = Vec::new();
    for (at, what) in [(0x0, "block bitmap"), (0x4, "inode bitmap"), (0x8, "inode table")] {
        for block in [0, 1, BLOCKS, u32::MAX] {
            cases.push((at, block, D::Place { what, block: block.into() }));
        }
        let low = u64::from(3 + u32::try_from(at).unwrap() / 4);
        cases.push((at + 0x20, 1, D::Place { what, block: (1 << 32) + low }));
        let block = (u64::from(u32::MAX) << 32) + low;
        cases.push((at + 0x20, u32::MAX, D::Place { what, block }));
    }
    // 512 blocks of inodes: the last place where they fit is 7681.
    cases.push((0x8, 7682, D::Place { what: "inode table", block: 7682 }));
    let count = |what, count, limit| D::Count { what, count, limit };
    cases.push((0xc, 8193, count("free blocks", 8193, 8192)));
    cases.push((0xc, 2049 << 16, count("free inodes", 2049, INODES)));
    // Only inodes in use can be directories.
    cases.push((0x10, 2049, count("directories", 2049, 11)));
    cases.push((0x1c, 2049, count("unused inodes", 2049, INODES)));
    cases.push((0x2c, 1, count("free blocks", 0x1_0000 + 7676, 8192)));
    for (at, value, expected) in cases {
        let volume = volume(&[(DESCRIPTOR + at, &value.to_le_bytes())]);
        assert_eq!(defect::<D, _>(read(&volume)), expected, "{at:#x} = {value:#x}");
    }
    read(&volume(&[(DESCRIPTOR + 0x8, &7681u32.to_le_bytes())])).unwrap();
    for index in [1, u32::MAX] {
        let missing = volume(&[]).read_group(GroupIndex(index));
        assert_eq!(defect::<D, _>(missing), D::Missing(index));
    }
    for volume in [open(good(RO_UNINIT_BG)), volume_with_checksums(&[])] {
        let D::Checksum { stored: 0, computed } = defect::<D, _>(read(&volume)) else {
            panic!("the checksum was not looked at");
        };
        assert_ne!(computed, 0);
    }
}

#[test]
fn inodes() {
    use InodeDefect as D;
    for (at, value, expected) in [
        (0x0, [0, 0, 0, 0], D::Free),
        (0x80, [3, 0, 0, 0], D::ExtraSize { extra: 3, size: 256 }),
        (0x80, [132, 0, 0, 0], D::ExtraSize { extra: 132, size: 256 }),
        (0x80, [0xfc, 0xff, 0, 0], D::ExtraSize { extra: 0xfffc, size: 256 }),
        (0x6c, [0, 0, 0, 0x80], D::Size(1 << 63)),
        (0x6c, [0xff; 4], D::Size(u64::from(u32::MAX) << 32)),
    ] {
        let volume = volume(&[(INODE + at, &value)]);
        assert_eq!(defect::<D, _>(volume.read_inode(NUMBER)), expected, "{at:#x} = {value:?}");
    }
    for number in [0, INODES + 1, u32::MAX] {
        let result = volume(&[]).read_inode(InodeNumber(number));
        assert_eq!(defect::<D, _>(result), D::Number(INODES));
    }
    for mode in [0x3000u16, 0x1fff ^ 0x1000, 0xd1a4, 0xffff] {
        let volume = volume(&[(INODE, &mode.to_le_bytes())]);
        assert_eq!(defect::<D, _>(volume.read_inode(NUMBER).unwrap().kind()), D::Kind(mode));
    }
    // `user.a`, whose value is said to be in inode 13, which is a plain file.
    let entry = [0, 0, 2, 0xea, 1, 1, 0, 0, 13, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, b'a'];
    let volume = volume(&[(INODE + 160, &entry), (INODE + 256, &[0xa4, 0x81])]);
    let inode = volume.read_inode(NUMBER).unwrap();
    assert_eq!(defect::<D, _>(volume.read_xattrs(&inode)), D::NotAValue);
    // A value that ends behind the inode.
    let entry = [0, 0, 2, 0xea, 1, 1, 90, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, b'a'];
    let bytes = changed(good(0), &[(INODE + 160, &entry)]);
    let volume = open(bytes);
    let inode = volume.read_inode(NUMBER).unwrap();
    let Err(error) = volume.read_xattrs(&inode) else { panic!("accepted") };
    assert!(matches!(error.kind(), ErrorKind::Corrupt(c) if c.defect.is::<XattrDefect>()));
}

/// Checksums are looked at before anything else in an inode, and group descriptors before that.
#[test]
fn checksums_of_inodes_and_bitmaps() {
    let volume = volume_with_checksums(&[]);
    let seed = volume.superblock().checksum_seed.unwrap();
    let mut descriptor = good(RO_METADATA_CSUM)[DESCRIPTOR..DESCRIPTOR + 64].to_vec();
    let sum = checksum::descriptor_crc32c(seed, GroupIndex(0), &descriptor).unwrap();
    descriptor[0x1e..0x20].copy_from_slice(&sum.to_le_bytes());
    let volume = volume_with_checksums(&[(DESCRIPTOR, &descriptor)]);
    let group = volume.read_group(GroupIndex(0)).unwrap();
    let found = defect::<InodeDefect, _>(volume.read_inode(NUMBER));
    assert!(matches!(found, InodeDefect::Checksum { stored: 0, .. }), "{found}");
    let detail = needs_check(volume.read_block_bitmap(&group));
    assert_eq!(detail, "checksum of the block bitmap of group 0");
    let detail = needs_check(volume.read_inode_bitmap(&group));
    assert_eq!(detail, "checksum of the inode bitmap of group 0");
}

/// A node of `entries` of at most `limit`, with `depth`.
fn node(entries: u16, limit: u16, depth: u16, content: &[[u32; 3]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in [0xf30a, entries, limit, depth, 0, 0] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(content.iter().flatten().flat_map(|word| word.to_le_bytes()));
    bytes.resize(60, 0);
    bytes
}

#[test]
fn extent_nodes() {
    use ExtentDefect as D;
    let one = [0, 1, FREE_BLOCK];
    let cases = [
        (vec![0; 60], D::Magic(0)),
        (node(0, 4, 6, &[]), D::TooDeep(6)),
        (node(0, 4, u16::MAX, &[]), D::TooDeep(u16::MAX)),
        (node(5, 4, 0, &[]), D::Entries { entries: 5, limit: 4, room: 4 }),
        (node(0, 5, 0, &[]), D::Entries { entries: 0, limit: 5, room: 4 }),
        (node(u16::MAX, u16::MAX, 0, &[]), {
            D::Entries { entries: u16::MAX, limit: u16::MAX, room: 4 }
        }),
        (node(2, 4, 0, &[one, one]), D::Order(1)),
        (node(2, 4, 0, &[[5, 3, FREE_BLOCK], [7, 1, 2000]]), D::Order(1)),
        (node(2, 4, 1, &[[5, FREE_BLOCK, 0], [5, 2000, 0]]), D::Order(1)),
        (node(1, 4, 0, &[[0, 0, FREE_BLOCK]]), D::Empty(0)),
        (node(2, 4, 0, &[one, [1, 0, FREE_BLOCK]]), D::Empty(1)),
    ];
    for (bytes, expected) in cases {
        match Node::parse(&bytes) {
            Err(Parse::Defect(found)) => assert_eq!(found, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    // An unwritten extent of the shortest and the longest length, at the last place of a file.
    for (stored, length) in [(32769, 1), (65535, 32767)] {
        let Ok(node) = Node::parse(&node(1, 4, 0, &[[u32::MAX, stored, FREE_BLOCK]])) else {
            panic!("length {stored}");
        };
        assert!(format!("{node:?}").contains(&format!("length: {length}, ")), "{node:?}");
    }
}

fn with_root(root: &[u8]) -> (Volume, Inode) {
    let volume = volume(&[(INODE + 0x28, root)]);
    let inode = volume.read_inode(NUMBER).unwrap();
    (volume, inode)
}

#[test]
fn extent_trees() {
    use ExtentDefect as D;
    let outside = |length, block| D::Outside { index: 0, length, block };
    for (root, expected) in [
        (node(1, 4, 0, &[[0, 1, 0]]), outside(1, 0)),
        (node(1, 4, 0, &[[0, 1, 1]]), outside(1, 1)),
        (node(1, 4, 0, &[[0, 1, BLOCKS]]), outside(1, BLOCKS.into())),
        (node(1, 4, 0, &[[0, 2, BLOCKS - 1]]), outside(2, (BLOCKS - 1).into())),
        (node(1, 4, 0, &[[0, 32768, BLOCKS - 1]]), outside(32768, (BLOCKS - 1).into())),
        (node(1, 4, 0, &[[0, 0xffff_0001, 5]]), outside(1, (0xffff << 32) + 5)),
        (node(1, 4, 1, &[[0, BLOCKS, 0]]), outside(1, BLOCKS.into())),
        (node(1, 4, 5, &[[0, 5, 0xffff]]), outside(1, (0xffff << 32) + 5)),
    ] {
        let (volume, inode) = with_root(&root);
        assert_eq!(defect::<D, _>(volume.read_extent_root(&inode)), expected);
    }
    let (last, _) = with_root(&node(1, 4, 0, &[[0, 1, BLOCKS - 1]]));
    last.read_extent_root(&last.read_inode(NUMBER).unwrap()).unwrap();

    // A child that has the depth of its parent: a loop, if nobody looked.
    let root = node(1, 4, 1, &[[0, FREE_BLOCK, 0]]);
    let block = FREE_BLOCK as usize * BLOCK;
    for depth in [1, 2, 5] {
        let child = node(1, 4, depth, &[[0, FREE_BLOCK, 0]]);
        let volume = volume(&[(INODE + 0x28, &root), (block, &child)]);
        let inode = volume.read_inode(NUMBER).unwrap();
        let Err(error) = volume.find_block(&inode, FileBlock(0)) else { panic!("accepted") };
        let expected = format!("depth is {depth}, should be 0");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    let leaf = node(1, 84, 0, &[[0, 1, FREE_BLOCK + 1]]);
    let volume = volume_with_checksums(&[(block, &leaf)]);
    let inode = Inode::new(NUMBER, good(0)[INODE..INODE + 256].to_vec(), volume.superblock());
    let result = volume.read_extent_node(&inode, FsBlock(FREE_BLOCK.into()), 0);
    let Err(error) = result else { panic!("accepted") };
    assert!(error.to_string().contains("checksum is 0x0, should be 0x"), "{error}");
}

#[test]
fn block_maps() {
    use BlockMapDefect as D;
    let read = |changes: &[Change<'_>], at: u32| {
        let plain: Change<'_> = (INODE + 0x20, &[0; 4]);
        let volume = volume(&[&[plain], changes].concat());
        let inode = volume.read_inode(NUMBER).unwrap();
        volume.find_block(&inode, FileBlock(at))
    };
    let block = FREE_BLOCK.to_le_bytes();
    // Direct, indirect, double and triple indirect: slot of the inode, and the first block behind it.
    let firsts = [(0, 0), (11, 11), (12, 12), (13, 268), (14, 65_804)];
    for hostile in [1, BLOCKS, u32::MAX] {
        for (slot, at) in firsts {
            let slot = INODE + 0x28 + 4 * slot;
            let found = read(&[(slot, &hostile.to_le_bytes())], at);
            assert_eq!(defect::<D, _>(found), D::Outside { at, block: hostile }, "{at}");
            if at >= 12 {
                let inner = (FREE_BLOCK as usize * BLOCK, hostile.to_le_bytes());
                let found = read(&[(slot, &block), (inner.0, &inner.1)], at);
                assert_eq!(defect::<D, _>(found), D::Outside { at, block: hostile }, "{at}");
            }
        }
    }
    let end = 12 + 256 + 256 * 256 + 256 * 256 * 256;
    assert!(read(&[], end - 1).is_ok());
    for at in [end, u32::MAX] {
        assert_eq!(defect::<D, _>(read(&[], at)), D::TooFar(at));
    }
    // An indirect block that leads to itself ends after three steps.
    let slot = INODE + 0x28 + 4 * 14;
    let own = (FREE_BLOCK as usize * BLOCK, block);
    assert!(read(&[(slot, &block), (own.0, &own.1)], 65_804).is_ok());
}

#[test]
fn bitmaps() {
    for (at, value, expected) in [
        (BLOCK_BITMAP, 0xfe, "group 0: 7677 blocks are free, not 7676"),
        (BLOCK_BITMAP + 1023, 0x80, "group 0: 7675 blocks are free, not 7676"),
    ] {
        let volume = volume(&[(at, &[value])]);
        let group = volume.read_group(GroupIndex(0)).unwrap();
        assert_eq!(needs_check(volume.read_block_bitmap(&group)), expected);
    }
    for (at, value, expected) in [
        (INODE_BITMAP, 0xfe, "group 0: 2038 inodes are free, not 2037"),
        (INODE_BITMAP + 255, 0x80, "group 0: 2036 inodes are free, not 2037"),
    ] {
        let volume = volume(&[(at, &[value])]);
        let group = volume.read_group(GroupIndex(0)).unwrap();
        assert_eq!(needs_check(volume.read_inode_bitmap(&group)), expected);
    }
    let mut fresh = volume(&[]);
    let detail = needs_check(fresh.free_clusters(FsBlock(FREE_BLOCK.into()), 1));
    assert_eq!(detail, "a block of group 0 is in use and free at once");
    for (block, count) in [(1, 1), (3, 1), (5, 512), (516, 1), (516, 100)] {
        let detail = needs_check(fresh.free_clusters(FsBlock(block), count));
        assert_eq!(detail, format!("block {block} holds metadata and content at once"));
    }
    assert_eq!(needs_check(fresh.free_inode(NUMBER)), "inode 12 is in use and free at once");
    // The first free block of the bitmap is the inode table of the descriptor.
    let table: Change<'_> = (DESCRIPTOR + 0x8, &[6, 0, 0, 0]);
    let mut volume = volume(&[table]);
    let detail = needs_check(volume.allocate_clusters(FsBlock(0), 1));
    assert_eq!(detail, "block 517 holds metadata and content at once");
}
