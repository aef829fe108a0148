//! Structures, one by one.

use super::block::Block;
use super::defect::IndexDefect;
use super::entry::{Entry, Parsed};
use super::format::IndexFormat;
use super::memory::MemoryIndex;
use super::node::Node;
use super::testing::*;
use super::*;
use crate::bytes::field;
use crate::fs::ntfs::fix_up;
use crate::fs::ntfs::units::Vcn;

/// The root of `$ObjId:$O` that libfsntfs shows in its section "$ObjID:$O".
const OBJECT_IDS: [u8; 0x98] = [
    0x00, 0x00, 0x00, 0x00, 0x13, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x10, 0x00, 0x00, 0x00, 0x88, 0x00, 0x00, 0x00, 0x88, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x20, 0x00, 0x38, 0x00, 0x00, 0x00, 0x00, 0x00, 0x60, 0x00, 0x10, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x59, 0xee, 0xec, 0x43, 0xb3, 0xe2, 0xdc, 0x11, 0xad, 0x7e, 0x00, 0x1c, 0x25, 0x82, 0x59, 0x8f,
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x60, 0x7b, 0xa6, 0xe6, 0xb5, 0xc0, 0x53, 0x4b,
    0xb8, 0xfe, 0x94, 0x47, 0x0c, 0x83, 0xdf, 0x89, 0x59, 0xee, 0xec, 0x43, 0xb3, 0xe2, 0xdc, 0x11,
    0xad, 0x7e, 0x00, 0x1c, 0x25, 0x82, 0x59, 0x8f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

#[test]
fn a_root_of_windows_is_read_and_stored_unchanged() {
    let root = IndexRoot::parse(&OBJECT_IDS).unwrap();
    assert_eq!((root.attribute_type, root.rule, root.block_size_bytes), (0, 0x13, 4096));
    let [entry] = &root.node.entries[..] else { panic!("{root:?}") };
    assert_eq!(entry.key(), &OBJECT_IDS[0x30..0x40]);
    assert_eq!(entry.data().unwrap(), &OBJECT_IDS[0x40..0x78]);
    assert_eq!((entry.sub_node, root.node.end), (Some(Vcn(0)), Some(Vcn(1))));
    assert_eq!(root.store().unwrap(), OBJECT_IDS);
}

/// What mkntfs and Windows write for a directory without entries, for the sizes of WIN-105.
#[test]
fn empty_roots() {
    for (block, cluster, per_block) in
        [(4096, 4096, 1), (4096, 512, 8), (4096, 65536, 8), (2048, 512, 4), (4096, 8192, 8)]
    {
        let root = IndexRoot::empty(&by_name(), block, cluster).unwrap().store().unwrap();
        let mut expected = vec![0x30, 0, 0, 0, 1, 0, 0, 0];
        expected.extend(block.to_le_bytes());
        expected.extend([per_block, 0, 0, 0]);
        expected.extend([0x10, 0, 0, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(root, expected);
    }
}

/// WIN-107: what a VCN counts depends on whether a cluster is larger than a block.
#[test]
fn vcns_stand_for_blocks() {
    for (block, cluster, vcn, expected) in [
        (4096, 4096, 3, Some(3)),
        (4096, 512, 24, Some(3)),
        (4096, 512, 4, None),
        (4096, 1024, 12, Some(3)),
        (4096, 8192, 24, Some(3)),
        (4096, 65536, 24, Some(3)),
        (4096, 65536, 3, None),
        (512, 4096, 3, Some(3)),
        (4096, 4096, 1 << 63, None),
        (4096, 4096, u64::MAX, None),
    ] {
        let format = IndexFormat::new(block, cluster).unwrap();
        let found = format.block(Vcn(vcn)).ok();
        assert_eq!(found, expected.map(IndexBlock), "{block} {cluster} {vcn}");
        if let Some(found) = found {
            assert_eq!(format.vcn(found), Ok(Vcn(vcn)));
        }
    }
    for (block, cluster) in [(0, 512), (256, 512), (4095, 512), (131_072, 512), (4096, 0)] {
        assert_eq!(
            IndexFormat::new(block, cluster),
            Err(IndexDefect::BlockSize { block, cluster })
        );
    }
}

fn node_bytes(names: &[&str]) -> Vec<u8> {
    let entries = names.iter().map(|name| entry(1, &utf16(name))).collect();
    let node = Node { entries, end: None };
    let mut bytes = vec![0; 16];
    let total = 16 + node.stored_len();
    node.store_header(&mut bytes, 16, total).unwrap();
    bytes.extend(node.store().unwrap());
    bytes
}

/// Every offset and length that could lead out of a node.
#[test]
fn nodes_that_contradict_themselves_are_refused() {
    let good = node_bytes(&["a", "b"]);
    assert_eq!(Node::parse(&good).unwrap().entries.len(), 2);
    let total = good.len() as u32;
    let with = |at: usize, value: u32, width: usize| {
        let mut bytes = good.clone();
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        Node::parse(&bytes)
    };
    let is_header = |result| matches!(result, Err(IndexDefect::NodeHeader { .. }));
    for (at, value) in [
        (0, 0),
        (0, 8),
        (0, 20),
        (0, total),
        (0, u32::MAX),
        (4, 0),
        (4, 16),
        (4, total + 8),
        (4, u32::MAX),
        (8, total - 8),
        (8, total + 8),
        (8, u32::MAX),
    ] {
        assert!(is_header(with(at, value, 4)), "{at} {value}");
    }
    let is_entry = |result| {
        matches!(
            result,
            Err(IndexDefect::Entry { .. } | IndexDefect::Short(_) | IndexDefect::NoEnd)
        )
    };
    let first = u32::from(field::le_u16(&good, 0x18).unwrap());
    for (at, value) in [
        (0x18, 0),
        (0x18, 8),
        (0x18, 16),
        (0x18, first + 4),
        (0x18, 0xfff8),
        (0x18, 0xffff),
        (0x1a, 0),
        (0x1a, first),
        (0x1a, 0xffff),
    ] {
        assert!(is_entry(with(at, value, 2)), "{at:#x} {value}: {:?}", with(at, value, 2));
    }
    // An end that never comes.
    assert!(is_entry(with(good.len() - 4, 0, 2)));
    assert!(Node::parse(&good[..good.len() - 1]).is_err());
    // A VCN over the end of a key, and a sub-node in one entry only.
    assert!(is_entry(with(0x1c, 1, 2)));
    for (of_entry, of_end) in [(Some(Vcn(1)), None), (None, Some(Vcn(1)))] {
        let mut entry = entry(1, &utf16("a"));
        entry.sub_node = of_entry;
        let node = Node { entries: vec![entry], end: of_end };
        let mut bytes = vec![0; 16];
        node.store_header(&mut bytes, 16, 16 + node.stored_len()).unwrap();
        bytes[0xc] = 1;
        bytes.extend(node.store().unwrap());
        assert_eq!(Node::parse(&bytes), Err(IndexDefect::MixedSubNodes));
    }
    // Sub-nodes that the header denies.
    let mut inner = IndexRoot::parse(&OBJECT_IDS).unwrap().store().unwrap();
    inner[0x1c] = 0;
    assert_eq!(IndexRoot::parse(&inner), Err(IndexDefect::MixedSubNodes));
}

/// A first entry that is the end may have a sub-node, and entries survive a round trip with every name length.
#[test]
fn entries_survive_a_round_trip() {
    for length in 1..=255 {
        for sub_node in [None, Some(Vcn(0x1234_5678_9abc))] {
            let mut stored = entry(77, &vec![0x61; length]);
            stored.sub_node = sub_node;
            let mut bytes = Vec::new();
            stored.store(&mut bytes).unwrap();
            assert_eq!((bytes.len(), bytes.len() % 8), (stored.stored_len(), 0));
            match Entry::parse(&bytes, 0).unwrap() {
                Parsed::Entry(read, len) => assert_eq!((&read, len), (&stored, bytes.len())),
                Parsed::End(..) => panic!("end"),
            }
        }
    }
    assert!(Entry::of_view(&[], &[]).is_err());
    assert!(Entry::of_view(&[0; 8], &[0; 1025]).is_err());
    assert!(Entry::of_view(&[0; 577], &[]).is_err());
}

/// Data of an entry must lie behind its key and inside it.
#[test]
fn data_outside_an_entry_are_refused() {
    let entry = Entry::of_view(&[1; 4], &[2; 20]).unwrap();
    let mut good = Vec::new();
    entry.store(&mut good).unwrap();
    assert_eq!(good.len(), 0x28);
    for (at, value) in
        [(0, 0u16), (0, 0x10), (0, 0x13), (0, 0x16), (0, 0xffff), (2, 21), (2, 0xffff)]
    {
        let mut bytes = good.clone();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        let Parsed::Entry(entry, _) = Entry::parse(&bytes, 0).unwrap() else { panic!("end") };
        assert!(entry.data().is_err(), "{at} {value}");
    }
}

fn block_bytes() -> Vec<u8> {
    let format = IndexFormat::new(4096, 4096).unwrap();
    let node = Node { entries: vec![entry(1, &utf16("a"))], end: None };
    Block::new(format, Vcn(3), node).unwrap().store().unwrap()
}

/// WIN-104: signature, fix-ups, own VCN and the place of the update sequence are checked.
#[test]
fn blocks_that_are_damaged_are_refused() {
    let good = block_bytes();
    assert_eq!(&good[..8], b"INDX\x28\0\x09\0");
    assert_eq!(&good[0x18..0x28], &[0x28, 0, 0, 0, 0x90, 0, 0, 0, 0xe8, 0x0f, 0, 0, 0, 0, 0, 0]);
    assert!(Block::parse(good.clone(), Vcn(3)).unwrap().is_exact());
    let parse = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Block::parse(bytes, Vcn(3)).map(|_| ())
    };
    assert_eq!(parse(0, b'B'), Err(IndexDefect::Signature(*b"BNDX")));
    assert!(matches!(
        parse(4094, 0x77),
        Err(IndexDefect::FixUp(fix_up::FixUpDefect::Torn { stride: 7, .. }))
    ));
    assert_eq!(parse(0x10, 4), Err(IndexDefect::OwnVcn { stored: 4, actual: 3 }));
    assert!(matches!(parse(6, 8), Err(IndexDefect::FixUp(_))));
    assert!(matches!(parse(4, 0x20), Err(IndexDefect::FixUp(_))));
    // Entries over the update sequence.
    assert!(parse(0x18, 0x10).is_err());
    // A header that leaves the block.
    assert!(matches!(parse(0x21, 0x20), Err(IndexDefect::NodeHeader { .. })));
}

/// A block keeps what it has in front of its entries: log sequence number, and an update sequence further back.
#[test]
fn a_block_keeps_its_header() {
    let mut bytes = block_bytes();
    fix_up::remove(&mut bytes).unwrap();
    field::put_le_u64(&mut bytes, 8, 0x1122_3344_5566).unwrap();
    // As if the update sequence began at 0x30 and the entries at 0x60.
    let entries = bytes[0x40..0x40 + 0x68].to_vec();
    bytes[0x28..0x100].fill(0);
    field::put_le_u16(&mut bytes, 4, 0x30).unwrap();
    field::put_le_u32(&mut bytes, 0x18, 0x48).unwrap();
    field::put_le_u32(&mut bytes, 0x1c, 0x48 + entries.len() as u32).unwrap();
    bytes[0x60..0x60 + entries.len()].copy_from_slice(&entries);
    fix_up::stamp(&mut bytes).unwrap();
    let mut block = Block::parse(bytes.clone(), Vcn(3)).unwrap();
    assert!(block.is_exact());
    let mut stored = block.store().unwrap();
    assert_eq!(Block::parse(stored.clone(), Vcn(3)).unwrap().node, block.node);
    fix_up::remove(&mut stored).unwrap();
    fix_up::remove(&mut bytes).unwrap();
    bytes[0x30] += 1;
    stored[0x32..0x42].fill(0);
    bytes[0x32..0x42].fill(0);
    assert_eq!(stored, bytes);
}

/// An index of another kind is not opened.
#[test]
fn the_collation_rule_must_be_the_expected_one() {
    let host = MemoryIndex::new(Collation::U32, 4096, 4096, 100);
    for (collation, is_right) in [
        (Collation::U32, true),
        (Collation::U32s, false),
        (Collation::SecurityHash, false),
        (by_name(), false),
    ] {
        assert_eq!(Index::open(&host, 4096, collation).is_ok(), is_right);
        assert_eq!(IndexEditor::open(&mut host.clone(), 4096, collation).is_ok(), is_right);
    }
}
