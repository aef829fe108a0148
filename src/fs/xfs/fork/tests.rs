//! Forks of volumes that the kernel filled, compared with what was put there and with what `xfs_db` shows.

use super::*;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use crate::fs::xfs::inode::Inode;
use crate::fs::xfs::testing::{db, fixture};
use crate::fs::xfs::units::{FileBlock, FsBlock, InodeNumber};
use crate::fs::xfs::volume::Volume;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Volumes of every block size, with and without checksums.
const VOLUMES: &[&str] = &[
    "default",
    "rhel7",
    "parent",
    "parent-1k",
    "block-1k",
    "block-2k",
    "block-8k",
    "block-64k",
    "v4",
    "v4-512",
];

pub(super) fn open(disk: &Arc<Overlay>) -> Volume {
    Volume::open(disk.clone(), Timestamp { seconds: 1_800_000_000, nanoseconds: 5 }).unwrap()
}

/// The inodes of these paths, as `xfs_db` finds them.
pub(super) fn inodes(volume: &Volume, disk: &Overlay, paths: &[&str]) -> Vec<Inode> {
    let commands: Vec<_> =
        paths.iter().flat_map(|path| [format!("path {path}"), "inode".into()]).collect();
    let text = db(disk, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = text.lines().filter_map(|line| line.strip_prefix("current inode number is "));
    let numbers: Vec<u64> = lines.map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers.len(), paths.len(), "{text}");
    numbers.into_iter().map(|n| volume.load_inode(InodeNumber(n)).unwrap()).collect()
}

pub(super) fn content(volume: &Volume, inode: &Inode) -> Vec<u8> {
    volume.read_content(inode, 0, usize::try_from(inode.size_bytes()).unwrap()).unwrap()
}

pub(super) fn extents(volume: &Volume, inode: &Inode, kind: ForkKind) -> Vec<Extent> {
    let mut found = Vec::new();
    let mut visit = |extent| {
        found.push(extent);
        Ok(ControlFlow::Continue(()))
    };
    volume.visit_extents(inode, kind, &mut visit).unwrap();
    found
}

/// The extents of a path as `xfs_db`'s `bmap` shows them.
fn shown_extents(disk: &Overlay, path: &str, kind: ForkKind) -> Vec<Extent> {
    let (option, name) = match kind {
        ForkKind::Data => ("bmap -d", "data"),
        ForkKind::Attribute => ("bmap -a", "attr"),
    };
    let text = db(disk, &[&format!("path {path}"), option]);
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(" offset "))
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().unwrap();
            let count = number(5).try_into().unwrap();
            let (file_block, start) = (FileBlock(number(0)), FsBlock(number(2)));
            Extent { file_block, start, count, is_unwritten: number(7) == 1 }
        })
        .collect()
}

fn over(mut bytes: Vec<u8>, at: usize, text: &str) -> Vec<u8> {
    bytes.resize(bytes.len().max(at + text.len()), 0);
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

#[test]
fn content_in_every_form_is_what_was_written() {
    let paths =
        ["large", "unwritten", "behind-the-end", "empty"].map(|name| format!("/data/forms/{name}"));
    for name in VOLUMES {
        let disk = fixture(name);
        let volume = open(&disk);
        let found = inodes(&volume, &disk, &paths.each_ref().map(String::as_str));
        let unwritten = over(vec![0; 1 << 20], 300_000, &"written\n".repeat(2000));
        let expected = [
            "a line of a large file\n".repeat(20_000).into_bytes(),
            unwritten,
            b"short\n".to_vec(),
            Vec::new(),
        ];
        for ((path, inode), expected) in paths.iter().zip(&found).zip(expected) {
            assert!(content(&volume, inode) == expected, "{name}: {path}");
        }
        let part = volume.read_content(&found[0], 459_990, 100).unwrap();
        assert_eq!(part, b"large file\n"[1..], "{name}");
        assert!(volume.read_content(&found[0], u64::MAX, 100).unwrap().is_empty(), "{name}");
    }
}

#[test]
fn a_far_end_is_reached_over_a_hole() {
    for name in ["default", "v4-512"] {
        let disk = fixture(name);
        let volume = open(&disk);
        let found = &inodes(&volume, &disk, &["/data/forms/sparse"])[0];
        let end = volume.read_content(found, found.size_bytes() - 12, 100).unwrap();
        assert_eq!(end, b"\0\0\0far away\n", "{name}");
    }
}

#[test]
fn links_in_the_inode_and_in_blocks() {
    for name in VOLUMES {
        let disk = fixture(name);
        let volume = open(&disk);
        let found = inodes(&volume, &disk, &["/data/forms/short-link", "/data/forms/long-link"]);
        assert_eq!(volume.read_link(&found[0]).unwrap(), b"../../etc/passwd", "{name}");
        assert_eq!(volume.read_link(&found[1]).unwrap(), b"long/".repeat(200), "{name}");
    }
}

#[test]
fn extents_are_those_that_xfs_db_shows() {
    let cases = [
        ("default", "/data/forms/fragments", 600, 8192),
        ("block-1k", "/data/forms/fragments", 1500, 2048),
        ("parent-1k", "/data/forms/fragments", 1500, 3072),
        ("rhel10", "/data/forms/fragments", 600, 8192),
        ("v4", "/data/forms/fragments", 600, 8192),
    ];
    for (name, path, count, step) in cases {
        let disk = fixture(name);
        let volume = open(&disk);
        let inode = &inodes(&volume, &disk, &[path])[0];
        let found = extents(&volume, inode, ForkKind::Data);
        assert_eq!(found, shown_extents(&disk, path, ForkKind::Data), "{name}");
        let bytes = content(&volume, inode);
        for index in 0..count {
            let text = format!("fragment {index}\n");
            assert!(bytes[index * step..].starts_with(text.as_bytes()), "{name}: {index}");
        }
        for extent in found {
            let at = FileBlock(extent.end() - 1);
            assert_eq!(volume.find_extent(inode, ForkKind::Data, at).unwrap(), Some(extent));
            let before = volume.extent_before(inode, ForkKind::Data, FileBlock(extent.end()));
            assert_eq!(before.unwrap(), Some(extent));
        }
    }
}

#[test]
fn extents_of_attributes() {
    for name in ["default", "block-1k", "parent-1k", "v4-512"] {
        let disk = fixture(name);
        let volume = open(&disk);
        for path in ["/data/attributes/node", "/data/attributes/huge", "/data/attributes/leaf"] {
            let inode = &inodes(&volume, &disk, &[path])[0];
            let found = extents(&volume, inode, ForkKind::Attribute);
            assert!(!found.is_empty(), "{name}: {path}");
            assert_eq!(found, shown_extents(&disk, path, ForkKind::Attribute), "{name}: {path}");
        }
    }
}
