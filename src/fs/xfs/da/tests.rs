//! Headers, nodes and the hash; trees are tested by the directories that use them.

use super::header::{BlockKind, DaHeader, DaKind, HeaderDefect};
use super::memory::format;
use super::node::{Node, NodeDefect, NodeEntry};
use super::*;
use crate::bytes::field;
use crate::fs::xfs::checksum;

fn node(hashes: &[u32]) -> Node {
    let entries = hashes.iter().enumerate();
    let entry = |(index, hash): (usize, &u32)| NodeEntry {
        hash: *hash,
        child: FileBlock(100 + index as u64),
    };
    let mut node = Node::new(2, entries.map(entry).collect());
    node.header.forw = Some(FileBlock(77));
    node
}

fn encoded(node: &Node, format: &DaFormat) -> Vec<u8> {
    let mut bytes = vec![0; format.block_len()];
    node.encode(&mut bytes, format, 8).unwrap();
    bytes
}

/// Changes a byte and makes the checksum right again.
fn changed(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    checksum::seal(&mut bytes, 12).unwrap();
    bytes
}

#[test]
fn names_hash_as_the_document_shows() {
    // Sections "Block Directories" (the dump) and "Node Directories".
    for (name, hash) in [
        ("", 0),
        (".", 0x2e),
        ("..", 0x172e),
        ("frame000000.tst", 0xa3a0_40b4),
        ("frame001845.tst", 0xf3a2_6094),
        // xfs_db, command "hash".
        ("abcde", 0x1c58_f263),
    ] {
        assert_eq!(hash_name(name.as_bytes()), hash, "{name}");
    }
}

#[test]
fn nodes_of_both_versions_come_back() {
    for has_crc in [false, true] {
        let format = DaFormat { has_crc, ..format(512, 512) };
        let capacity = Node::capacity(&format);
        assert_eq!(capacity, if has_crc { 56 } else { 62 });
        for count in [1, capacity] {
            let node = node(&vec![9; count]);
            let bytes = encoded(&node, &format);
            assert_eq!(Node::parse(&bytes, &format, 8), Ok(node));
        }
        let full = node(&vec![9; capacity + 1]);
        let defect = full.encode(&mut vec![0; 512], &format, 8);
        assert_eq!(defect, Err(NodeDefect::Count { count: capacity + 1, max: capacity }));
    }
}

#[test]
fn a_node_that_lies_is_found_out() {
    let format = format(512, 512);
    let good = encoded(&node(&[5, 5, 6]), &format);
    let parse = |bytes: &[u8]| Node::parse(bytes, &format, 8).unwrap_err();

    assert_eq!(parse(&changed(&good, 57, 0)), NodeDefect::Count { count: 0, max: 56 });
    assert_eq!(parse(&changed(&good, 57, 57)), NodeDefect::Count { count: 57, max: 56 });
    assert_eq!(parse(&changed(&good, 59, 6)), NodeDefect::Level { actual: 6, expected: 5 });
    assert_eq!(parse(&changed(&good, 59, 0)), NodeDefect::Level { actual: 0, expected: 5 });
    assert_eq!(parse(&changed(&good, 83, 4)), NodeDefect::Order { index: 2, hash: 4 });
    let leaf = DaKind::DirectoryNodeLeaf;
    let mut other = good.clone();
    DaHeader::new(leaf).seal(&mut other, &format, 8).unwrap();
    assert_eq!(parse(&other), NodeDefect::Kind);
}

#[test]
fn headers_that_lie_are_found_out() {
    let format = format(512, 512);
    let good = encoded(&node(&[5]), &format);
    let parse = |bytes: &[u8]| DaHeader::parse(bytes, &format, 8).unwrap_err();

    let size = HeaderDefect::Size { actual: 511, expected: 512 };
    assert_eq!(parse(&good[..511]), size);
    assert_eq!(parse(&changed(&good, 9, 0)), HeaderDefect::Magic(0x3e00));
    let mut flipped = good.clone();
    flipped[500] ^= 1;
    assert!(matches!(parse(&flipped), HeaderDefect::Checksum(_)));
    assert_eq!(parse(&changed(&good, 23, 9)), HeaderDefect::Address { stored: 9, actual: 8 });
    assert!(matches!(parse(&changed(&good, 32, 0)), HeaderDefect::FileSystem(_)));
    assert_eq!(parse(&changed(&good, 55, 132)), HeaderDefect::Owner(132));
}

#[test]
fn data_blocks_describe_themselves_at_another_place() {
    let format = format(512, 512);
    let mut bytes = vec![0; 512];
    BlockKind::Data.seal(&mut bytes, &format, 8).unwrap();
    assert_eq!(BlockKind::Data.check(&bytes, &format, 8), Ok(()));
    assert_eq!(
        BlockKind::Free.check(&bytes, &format, 8),
        Err(HeaderDefect::Magic(u32::from_be_bytes(*b"XDD3")))
    );
    assert_eq!(field::be_u64(&bytes, 40), Ok(131));
    let defect = BlockKind::Data.check(&bytes, &format, 16);
    assert_eq!(defect, Err(HeaderDefect::Address { stored: 8, actual: 16 }));
}

#[test]
fn new_blocks_go_into_the_first_hole() {
    let mut blocks = memory::MemoryBlocks::new(format(512, 1024));
    for at in [8, 10, 14] {
        blocks.allocate(FileBlock(at)).unwrap();
    }
    let hole = |from, end| first_hole(&blocks, FileBlock(from), FileBlock(end));
    assert_eq!(hole(8, 100).unwrap(), FileBlock(12));
    assert_eq!(hole(14, 100).unwrap(), FileBlock(16));
    assert!(hole(8, 12).is_err());
}
