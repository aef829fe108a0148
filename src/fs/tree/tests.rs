//! A directory of the host as a file system, and edits of it in memory.
#![allow(clippy::disallowed_methods, reason = "a test makes its files as it likes")]

use super::nodes::ROOT;
use super::*;
use crate::fs::path::{Resolution, find, read_file, resolve};
use crate::fs::{DirectoryEntry, FileEdit as _, FileSystem as _, MetadataChange, NewNode};
use crate::image::directory::record::{Content, How};
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 5 };

struct Place {
    scratch: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("home/u/.ssh")).unwrap();
        fs::write(root.join("etc/passwd"), "u:x:1:1::/home/u:/bin/sh\n").unwrap();
        fs::write(root.join("home/u/.ssh/authorized_keys"), "old\n").unwrap();
        fs::write(scratch.path().join("secret"), "host").unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("../../../../../../secret", root.join("etc/up")).unwrap();
        symlink(scratch.path().join("secret"), root.join("out")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        Self { scratch }
    }

    fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    fn tree(&self) -> Tree {
        Tree::new(Rc::new(Directory::open(&self.root()).unwrap()), CLOCK)
    }

    /// Everything below the root: path, mode, size and time.
    fn inventory(&self) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
        let mut found = BTreeMap::new();
        let mut rest = vec![self.root()];
        while let Some(path) = rest.pop() {
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let facts = (metadata.mode(), metadata.len(), metadata.mtime(), metadata.ctime_nsec());
            found.insert(path, facts);
        }
        found
    }
}

fn node(tree: &Tree, path: &str) -> NodeId {
    find(tree, &GuestPath::new(path)).unwrap().unwrap().node
}

fn content(tree: &Tree, path: &str) -> Option<Vec<u8>> {
    read_file(tree, &GuestPath::new(path), 1 << 20).unwrap()
}

#[test]
fn links_never_lead_out() {
    let place = Place::new();
    links_stay_inside(&place.tree());
    let old_kernel = place.tree();
    old_kernel.directory().forget_openat2();
    links_stay_inside(&old_kernel);
}

fn links_stay_inside(tree: &Tree) {
    assert_eq!(content(tree, "/absolute").unwrap(), b"u:x:1:1::/home/u:/bin/sh\n");
    for path in ["/etc/up", "/out", "/magic/etc/hostname", "/../../secret", "/etc/../../secret"] {
        let found = resolve(tree, &GuestPath::new(path), true).unwrap();
        assert!(matches!(found, Resolution::Missing { .. }), "{path}: {found:?}");
    }
}

#[test]
fn names_kinds_and_metadata_are_those_of_the_host() {
    let place = Place::new();
    fs::set_permissions(place.root().join("home/u/.ssh"), fs::Permissions::from_mode(0o2750))
        .unwrap();
    let tree = place.tree();
    let mut names = Vec::new();
    let mut visit = |entry: DirectoryEntry| {
        names.push((entry.name.clone(), tree.metadata(entry.node)?.kind));
        Ok(ControlFlow::Continue(()))
    };
    tree.read_dir(ROOT, &mut visit).unwrap();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("absolute", NodeKind::Symlink),
        ("etc", NodeKind::Directory),
        ("home", NodeKind::Directory),
        ("magic", NodeKind::Symlink),
        ("out", NodeKind::Symlink),
    ];
    assert_eq!(names, expected.map(|(name, kind)| (name.as_bytes().to_vec(), kind)));
    let found = tree.metadata(node(&tree, "/home/u/.ssh")).unwrap();
    let metadata = fs::metadata(place.root().join("home/u/.ssh")).unwrap();
    assert_eq!((found.mode, found.uid, found.gid), (0o2750, metadata.uid(), metadata.gid()));
    assert_eq!(found.modified.seconds, metadata.mtime());
}

#[test]
fn more_directories_than_handles_are_walked() {
    let place = Place::new();
    let mut path = place.root().join("home");
    for level in 0..150 {
        path.push(format!("d{level}"));
    }
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("leaf"), "deep").unwrap();
    let tree = place.tree();
    let inside = path.strip_prefix(place.root()).unwrap().join("leaf");
    let inside = format!("/{}", inside.display());
    let leaf = node(&tree, &inside);
    for _ in 0..2 {
        assert_eq!(tree.read(leaf, 10).unwrap(), b"deep");
        assert!(tree.metadata(node(&tree, "/etc/passwd")).is_ok());
    }
    assert_eq!(tree.path(leaf), inside);
}

#[test]
fn an_edit_is_seen_and_nothing_is_written() {
    let place = Place::new();
    let before = place.inventory();
    let mut tree = place.tree();
    let keys = node(&tree, "/home/u/.ssh/authorized_keys");
    tree.append(keys, b"new\n").unwrap();
    let home = node(&tree, "/home/u");
    let new = NewNode { mode: 0o700, uid: 1, gid: 1, xattrs: Vec::new() };
    let directory = tree.create_directory(home, b".config", &new).unwrap();
    tree.create_file(directory, b"file", &new, b"content").unwrap();
    let ssh = node(&tree, "/home/u/.ssh");
    let change = MetadataChange { mode: Some(0o700), ..MetadataChange::default() };
    tree.set_metadata(ssh, &change).unwrap();
    tree.remove(ROOT, b"magic").unwrap();
    assert!(tree.create_directory(home, b".ssh", &new).is_err());
    assert!(tree.create_file(home, b"../x", &new, b"").is_err());
    assert!(tree.remove(home, b".ssh").is_err());

    let mut fresh = place.tree();
    fresh.load(&tree.records().unwrap()).unwrap();
    for tree in [&tree, &fresh] {
        assert_eq!(content(tree, "/home/u/.ssh/authorized_keys").unwrap(), b"old\nnew\n");
        assert_eq!(content(tree, "/home/u/.config/file").unwrap(), b"content");
        assert_eq!(tree.metadata(node(tree, "/home/u/.ssh")).unwrap().mode, 0o700);
        assert!(tree.lookup(ROOT, b"magic").unwrap().is_none());
    }
    assert_eq!(place.inventory(), before);
    let records = tree.records().unwrap();
    let found: Vec<_> =
        records.iter().map(|r| (r.how, String::from_utf8(r.path.clone()).unwrap())).collect();
    let expected = [
        (How::Create, "/home/u/.config"),
        (How::Replace, "/home/u/.ssh/authorized_keys"),
        (How::Create, "/home/u/.config/file"),
        (How::Remove, "/magic"),
        (How::Metadata, "/home/u/.ssh"),
        (How::Times, "/"),
        (How::Times, "/home/u"),
        (How::Times, "/home/u/.ssh"),
        (How::Times, "/home/u/.config"),
    ];
    let mut sorted = found.clone();
    sorted[5..].sort();
    let mut expected = expected.map(|(how, path)| (how, path.to_owned()));
    expected[5..].sort();
    assert_eq!(sorted, expected);
}

#[test]
fn large_files_change_in_place() {
    let place = Place::new();
    let path = place.root().join("etc/hive");
    let mut expected: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &expected).unwrap();
    let mut tree = place.tree();
    let hive = node(&tree, "/etc/hive");
    tree.overwrite(hive, 1000, &[0xaa; 100]).unwrap();
    expected[1000..1100].fill(0xaa);
    tree.append(hive, &[0xbb; 5000]).unwrap();
    expected.extend([0xbb; 5000]);
    tree.overwrite(hive, 2_999_990, &[0xcc; 20]).unwrap();
    expected[2_999_990..3_000_010].fill(0xcc);
    assert!(tree.overwrite(hive, 3_004_999, &[0; 2]).is_err());
    let records = tree.records().unwrap();
    let mut fresh = place.tree();
    fresh.load(&records).unwrap();
    for tree in [&tree, &fresh] {
        let hive = node(tree, "/etc/hive");
        assert_eq!(tree.read(hive, 1 << 24).unwrap(), expected);
        assert_eq!(tree.read_at(hive, 1050, 3).unwrap(), expected[1050..1053]);
    }
    assert_eq!(records.len(), 1);
    let side = records[0].after.as_ref().unwrap();
    let Content::Pieces { size_bytes, pieces } = &side.content else { panic!() };
    assert_eq!((*size_bytes, pieces.len()), (3_005_000, 3));
}

#[test]
fn what_somebody_else_changes_meanwhile_is_a_mismatch() {
    let place = Place::new();
    let path = place.root().join("home/u/.ssh/authorized_keys");
    let mut tree = place.tree();
    let keys = node(&tree, "/home/u/.ssh/authorized_keys");
    tree.read(keys, 100).unwrap();
    fs::write(&path, "somebody else's\n").unwrap();
    assert_eq!(tree.append(keys, b"x").unwrap_err().exit_status(), 6);
    let mut tree = place.tree();
    let keys = node(&tree, "/home/u/.ssh/authorized_keys");
    tree.append(keys, b"x").unwrap();
    fs::write(&path, "somebody else's again\n").unwrap();
    assert_eq!(tree.records().unwrap_err().exit_status(), 6);
}

/// A name that leads to another object than before, found again by its name.
#[test]
fn what_somebody_else_replaces_meanwhile_is_a_mismatch() {
    let place = Place::new();
    let tree = place.tree();
    let passwd = node(&tree, "/etc/passwd");
    let etc = node(&tree, "/etc");
    // Held open, so that nothing else gets its number.
    let _held = fs::File::open(place.root().join("etc/passwd")).unwrap();
    fs::write(place.root().join("etc/other"), "x:x:1:1::/home/u:/bin/sh\n").unwrap();
    fs::rename(place.root().join("etc/other"), place.root().join("etc/passwd")).unwrap();
    assert_eq!(tree.lookup(etc, b"passwd").unwrap_err().exit_status(), 6);
    // More objects than handles that are held open: now it has to be opened anew.
    for index in 0..150 {
        fs::write(place.root().join(format!("home/{index}")), "").unwrap();
        node(&tree, &format!("/home/{index}"));
    }
    assert_eq!(tree.read(passwd, 100).unwrap_err().exit_status(), 6);
}

#[test]
fn files_with_several_names_and_other_kinds_are_not_edited() {
    let place = Place::new();
    fs::hard_link(place.scratch.path().join("secret"), place.root().join("etc/hard")).unwrap();
    nix::unistd::mkfifo(&place.root().join("etc/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut tree = place.tree();
    let hard = node(&tree, "/etc/hard");
    let error = tree.append(hard, b"x").unwrap_err();
    assert!(error.to_string().contains("/etc/hard: has 2 names"), "{error}");
    let change = MetadataChange { mode: Some(0o600), ..MetadataChange::default() };
    assert_eq!(tree.set_metadata(hard, &change).unwrap_err().exit_status(), 4);
    let etc = node(&tree, "/etc");
    assert_eq!(tree.remove(etc, b"hard").unwrap_err().exit_status(), 4);
    let pipe = node(&tree, "/etc/pipe");
    for error in [
        tree.append(pipe, b"x").unwrap_err(),
        tree.set_metadata(pipe, &change).unwrap_err(),
        tree.read(pipe, 10).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.exit_status(), 4, "{error}");
    }
}
