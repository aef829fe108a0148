//! Inline directories in memory, and before e2fsck.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::lookup;
use super::super::memory::Memory;
use super::super::oracle_tests::{assert_clean, debugfs, run};
use super::*;
use crate::fs::ext::xattr;
use std::path::Path;

fn format() -> DirectoryFormat {
    DirectoryFormat {
        block_size_bytes: 1024,
        inode: 12,
        has_file_type: true,
        checksum_seed: None,
        hash_seed: [1, 2, 3, 4],
        default_hash_version: 1,
        hash_is_unsigned: false,
        may_index: true,
        is_large: false,
        is_indexed: false,
    }
}

/// An empty directory with `rest_len` bytes of `system.data`.
fn empty(rest_len: usize) -> InlineDirectory {
    let mut i_block = vec![2, 0, 0, 0];
    i_block.resize(I_BLOCK_LEN, 0);
    region::clear(&mut i_block[ENTRIES_START..], format().layout()).unwrap();
    let mut rest = vec![0; rest_len];
    if rest_len > 0 {
        region::clear(&mut rest, format().layout()).unwrap();
    }
    InlineDirectory { i_block, rest }
}

#[test]
fn both_pieces_are_filled_and_emptied() {
    let format = format();
    let mut directory = empty(24);
    assert!(directory.records(&format).unwrap().is_empty());
    assert_eq!(directory.parent(&format).unwrap(), 2);
    // 56 bytes take four entries of 12 bytes, 24 bytes take two.
    for (inode, name) in (20..).zip([b"a", b"b", b"c", b"d", b"e", b"f"]) {
        assert!(directory.insert(&format, name, inode, NodeKind::File).unwrap());
    }
    assert!(!directory.insert(&format, b"g", 26, NodeKind::File).unwrap());
    assert!(directory.insert(&format, b"f", 26, NodeKind::File).is_err());
    let mut names = Vec::new();
    directory
        .visit(&format, &mut |entry| {
            names.push(entry.name[0]);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(names, b"abcdef");
    assert_eq!(directory.remove(&format, b"f").unwrap().inode, 25);
    assert_eq!(directory.remove(&format, b"a").unwrap().inode, 20);
    assert!(directory.remove(&format, b"a").is_err());
    assert_eq!(directory.lookup(&format, b"a").unwrap(), None);
    assert_eq!(directory.lookup(&format, b"e").unwrap().unwrap().inode, 24);

    let block = directory.to_block(&format).unwrap();
    let memory = Memory { format: format.clone(), blocks: vec![block] };
    for (name, inode) in [(".", 12), ("..", 2), ("b", 21), ("e", 24)] {
        assert_eq!(lookup(&memory, name.as_bytes()).unwrap().unwrap().inode, inode);
    }
    assert_eq!(lookup(&memory, b"a").unwrap(), None);
}

#[test]
fn damage_is_an_error() {
    let format = format();
    let mut directory = empty(24);
    directory.i_block[8] = 60;
    let error = directory.lookup(&format, b"a").unwrap_err().to_string();
    assert!(
        error.contains("inline directory: entry at 0x0: rec_len 60 leads beyond 0x38"),
        "{error}"
    );
    let mut directory = empty(24);
    directory.rest.pop();
    assert!(directory.insert(&format, b"a", 5, NodeKind::File).is_err());
    directory.i_block.pop();
    assert!(directory.to_block(&format).is_err());
}

/// Where the inode of the directory lies in the image, in bytes.
fn inode_offset(image: &Path) -> usize {
    let said = debugfs(image, "imap d\n");
    let place = said.split("located at block ").nth(1).unwrap().trim();
    let (block, offset) = place.split_once(", offset 0x").unwrap();
    let offset = usize::from_str_radix(offset.lines().next().unwrap().trim(), 16).unwrap();
    block.parse::<usize>().unwrap() * 1024 + offset
}

/// The inode checksum is not made here, so the image has none.
#[test]
fn e2fsck_accepts_inline_directories() {
    let image = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let path = image.to_str().unwrap();
    let features = "inline_data,^metadata_csum";
    let arguments = ["-q", "-F", "-t", "ext4", "-b", "1024", "-I", "256", "-O", features];
    run("mke2fs", &[&arguments[..], &[path, "4M"]].concat());
    debugfs(&image, "mkdir d\nwrite /dev/null f\n");
    let said = debugfs(&image, "stat d\n");
    assert!(said.contains("Inode: 12 ") && said.contains("Flags: 0x10000000"), "{said}");

    let start = inode_offset(&image);
    let mut bytes = std::fs::read(&image).unwrap();
    let attributes = xattr::parse_region(&bytes[start + 160..start + 256]).unwrap();
    let rest = attributes.iter().find(|attribute| attribute.is_inline_data()).unwrap();
    let xattr::Value::Inside(rest) = &rest.value else { panic!("{rest:?}") };
    let i_block = bytes[start + 40..start + 100].to_vec();
    let mut directory = InlineDirectory { i_block, rest: rest.clone() };
    let format = format();
    assert!(directory.records(&format).unwrap().is_empty());
    for name in ["one", "a longer name", "three"] {
        assert!(directory.insert(&format, name.as_bytes(), 13, NodeKind::File).unwrap());
    }
    directory.remove(&format, b"one").unwrap();
    bytes[start + 40..start + 100].copy_from_slice(&directory.i_block);
    std::fs::write(&image, bytes).unwrap();
    debugfs(&image, "sif f links_count 3\n");
    assert_clean(&image);
    let said = debugfs(&image, "ls d\n");
    assert!(
        said.contains("a longer name") && said.contains("three") && !said.contains("one "),
        "{said}"
    );
}
