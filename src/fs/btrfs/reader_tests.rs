//! The reader against `fixtures/btrfs`, without the kernel's view, which the black-box tests compare.

use super::testing::recorded;
use super::*;
use crate::disk::DiskEdit as _;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, Health, NodeKind, Timestamp};

fn open(name: &str) -> Btrfs {
    Btrfs::open(recorded(name), Timestamp::default()).unwrap()
}

fn read(fs: &Btrfs, path: &str) -> Vec<u8> {
    let found = find(fs, &GuestPath::new(path)).unwrap();
    let found = found.unwrap_or_else(|| panic!("{path} is not there"));
    fs.read(found.node, 1 << 24).unwrap()
}

#[test]
fn files_of_every_form() {
    for name in ["default", "xxhash", "sha256", "blake2", "mixed", "node-64k", "dup-data"] {
        let fs = open(name);
        assert_eq!(read(&fs, "/etc/hostname"), b"locked-out\n", "{name}");
        let inline = read(&fs, "/data/inline/size-2047");
        assert_eq!((inline.len(), &inline[..10]), (2047, b"content of".as_slice()), "{name}");
        assert_eq!(fs.health(), Health::Clean);
    }
}

#[test]
fn compressed_files_are_those_of_the_script() {
    let fs = open("default");
    for method in ["zlib", "lzo", "zstd"] {
        let long = read(&fs, &format!("/data/packed/{method}/long"));
        for (index, line) in long.split(|&byte| byte == b'\n').enumerate().take(12_000) {
            let number = index + 1;
            let padding = "x".repeat(number % 37);
            let expected = format!("line {number} of a file that packs well, {padding}");
            assert_eq!(line, expected.as_bytes(), "{method}");
        }
        let changed = read(&fs, &format!("/data/packed/{method}/overwritten"));
        assert_eq!(&changed[50_000..50_018], b"no longer the same", "{method}");
        let punched = read(&fs, &format!("/data/packed/{method}/punched"));
        assert!(punched[40_960..106_496].iter().all(|&byte| byte == 0), "{method}");
        let inline = read(&fs, &format!("/data/packed/{method}/inline"));
        assert_eq!(inline, "the same words ".repeat(100).as_bytes(), "{method}");
    }
}

#[test]
fn names_with_one_hash_are_told_apart() {
    let fs = open("default");
    assert_eq!(read(&fs, "/data/collisions/mtwjgxhjk"), b"one\n");
    assert_eq!(read(&fs, "/data/collisions/cyvilpkff"), b"two\n");
    let found = find(&fs, &GuestPath::new("/data/collisions/attributes")).unwrap().unwrap();
    for (name, value) in [("user.lyyjygkkm", "one"), ("user.rrrkassux", "two")] {
        let found = fs.xattr(found.node, name.as_bytes()).unwrap();
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{name}");
    }
    assert_eq!(fs.xattr(found.node, b"user.none").unwrap(), None);
}

#[test]
fn subvolumes_are_listed_and_found() {
    let fs = open("suse");
    let subvolumes = fs.subvolumes().unwrap();
    let paths: Vec<String> = subvolumes.iter().map(|one| one.path.to_string()).collect();
    let expected = [
        "/",
        "/@",
        "/@/.snapshots",
        "/@/home",
        "/@/root",
        "/@/var",
        "/@/.snapshots/1/snapshot",
        "/@/.snapshots/2/snapshot",
    ];
    assert_eq!(paths, expected);
    let default = find_subvolume(&fs, &SubvolumeName::Default).unwrap();
    assert_eq!(default.path.to_string(), "/@/.snapshots/1/snapshot");
    assert!(!default.is_read_only && subvolumes.last().unwrap().is_read_only);
    assert_eq!(find_subvolume(&fs, &SubvolumeName::Id(default.id)).unwrap(), default);
    let home = find_subvolume(&fs, &SubvolumeName::Path(b"@/home")).unwrap();
    assert_eq!(fs.metadata(home.root).unwrap().kind, NodeKind::Directory);
    assert_eq!(find(&fs, &home.path).unwrap().unwrap().node, home.root);
    let missing = find_subvolume(&fs, &SubvolumeName::Path(b"/none")).unwrap_err();
    assert_eq!(missing.to_string(), "subvolume /none");
    let listed = fs.view.subvolumes().unwrap();
    let (first, second) = (&listed[6], &listed[7]);
    assert_eq!((second.parent_uuid, first.parent_uuid), (first.uuid, None));
}

#[test]
fn a_snapshot_shows_an_empty_directory_for_a_subvolume_inside() {
    let fs = open("default");
    assert_eq!(read(&fs, "/data/nested/outer/inner/file"), b"in the inner one\n");
    let stub = find(&fs, &GuestPath::new("/data/nested/frozen/inner")).unwrap().unwrap();
    let metadata = fs.metadata(stub.node).unwrap();
    assert_eq!((metadata.kind, metadata.mode), (NodeKind::Directory, 0o755));
    assert_eq!(fs.lookup(stub.node, b"file").unwrap(), None);
    assert!(find(&fs, &GuestPath::new("/data/nested/gone")).unwrap().is_none());
}

#[test]
fn a_read_only_snapshot_is_refused_by_its_path() {
    let fs = open("micro");
    let root = find_subvolume(&fs, &SubvolumeName::Default).unwrap();
    assert!(root.is_read_only);
    let refusal = fs.check_subvolume_writable(root.root).unwrap_err();
    assert_eq!(refusal.to_string(), "the subvolume /@/.snapshots/1/snapshot is read-only");
    let home = find_subvolume(&fs, &SubvolumeName::Path(b"/@/home")).unwrap();
    fs.check_subvolume_writable(home.root).unwrap();
}

#[test]
fn the_wrong_kind_is_refused() {
    let fs = open("xxhash");
    let found = find(&fs, &GuestPath::new("/etc/hostname")).unwrap().unwrap();
    let error = fs.lookup(found.node, b"x").unwrap_err().to_string();
    assert!(error.ends_with("is a regular file, not a directory"), "{error}");
    assert!(fs.read_at(fs.root(), 0, 1).is_err());
    assert!(fs.read_link(found.node).is_err());
}

/// More are compared with the kernel's replay in the black-box tests.
#[test]
fn a_log_is_replayed_before_anything_is_read() {
    for (name, path, content) in [
        ("dirty/replace", "/etc/config", "all new content\n"),
        ("dirty/rename-over", "/etc/config", "replaced\n"),
        ("dirty/create", "/etc/new", "new\n"),
        ("dirty/subvolume", "/data/volume/file", "in a subvolume\nmore\n"),
    ] {
        let fs = open(name);
        assert_eq!(fs.health(), Health::JournalDirty, "{name}");
        assert_eq!(String::from_utf8(read(&fs, path)).unwrap(), content, "{name}");
        fs.check_writable().unwrap();
    }
    let fs = open("dirty/remove");
    assert!(find(&fs, &GuestPath::new("/data/other")).unwrap().is_none());
}

/// Where the content of a file lies: the logical address of its first extent.
fn first_extent(fs: &Btrfs, path: &str) -> u64 {
    let found = find(fs, &GuestPath::new(path)).unwrap().unwrap();
    let place = place::Place::of(found.node);
    let key = key::Key::new(place.inode, key::item::EXTENT_DATA, 0);
    let data = fs.view.get(place.subvolume, key).unwrap().unwrap();
    match item::FileExtent::parse(&data).unwrap().placement {
        item::Placement::Regular(stored) => stored.logical,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn a_damaged_copy_of_data_is_passed_over_and_two_are_an_error() {
    const PATH: &str = "/data/shared/first";
    let whole = read(&open("dup-data"), PATH);
    let disk = recorded("dup-data");
    let fs = Btrfs::open(disk.clone(), Timestamp::default()).unwrap();
    let logical = first_extent(&fs, PATH);
    let copies = fs.view.volume().chunks().copies(logical, 4096).unwrap();
    assert_eq!(copies.len(), 2, "{PATH}");
    for (count, physical) in copies.into_iter().enumerate() {
        disk.write_at(physical + 100, b"damage", "damage").unwrap();
        let found = find(&fs, &GuestPath::new(PATH)).unwrap().unwrap();
        let result = fs.read(found.node, 1 << 24);
        if count == 0 {
            assert_eq!(result.unwrap(), whole);
        } else {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("wrong checksum in every copy"), "{error}");
        }
    }
    // What lies elsewhere is not touched by it.
    let found = find(&fs, &GuestPath::new(PATH)).unwrap().unwrap();
    assert_eq!(fs.read_at(found.node, 8192, 4096).unwrap(), whole[8192..12288]);
}

#[test]
fn damage_to_compressed_data_and_to_data_without_checksums() {
    let disk = recorded("default");
    let fs = Btrfs::open(disk.clone(), Timestamp::default()).unwrap();
    for (path, is_noticed) in [("/data/packed/lzo/long", true), ("/data/bare/file", false)] {
        let logical = first_extent(&fs, path);
        let physical = fs.view.volume().chunks().copies(logical, 4096).unwrap()[0];
        disk.write_at(physical + 1000, b"damage", "damage").unwrap();
        let found = find(&fs, &GuestPath::new(path)).unwrap().unwrap();
        assert_eq!(fs.read(found.node, 1 << 24).is_err(), is_noticed, "{path}");
    }
}

#[test]
fn any_part_of_a_file_is_the_part_of_the_whole() {
    let fs = open("default");
    for path in [
        "packed/zlib/mixed",
        "packed/lzo/holes",
        "packed/zstd/cut",
        "bare/file",
        "inline/size-2000",
    ] {
        let path = format!("/data/{path}");
        let whole = read(&fs, &path);
        let node = find(&fs, &GuestPath::new(&path)).unwrap().unwrap().node;
        for (offset, len) in
            [(0, 1), (1, 4095), (4095, 2), (4096, 4096), (100_000, 70_001), (131_071, 3)]
        {
            let end = whole.len().min(offset + len);
            let expected = whole.get(offset..end).unwrap_or_default();
            let found = fs.read_at(node, offset as u64, len).unwrap();
            assert_eq!(found, expected, "{path}: {len} bytes at {offset}");
        }
    }
}
