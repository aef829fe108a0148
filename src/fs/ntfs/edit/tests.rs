//! Edits of volumes that mkntfs and ntfs-3g made, judged by ntfsfix, ntfsresize, ntfsinfo, and by ntfs-3g again.
//!
//! What mounts needs root, and is ignored without it.

#![expect(clippy::disallowed_methods, reason = "tests write to mounts of their own")]

use super::super::Ntfs;
use super::super::attribute::{AttributeKind, Sizes};
use super::super::run_list::RunList;
use super::super::units::{MftRecordNumber, Vcn};
use super::file::EditedFile;
use super::testing::{Bench, Mount, sectors, succeed, with_acl};
use crate::error::{ErrorKind, Refusal, Result};
use crate::fs::{FileEdit as _, FileSystem as _, NTFS_ACL_NAME, NewNode, NodeId};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A self-relative security descriptor without owner, group and lists.
const DESCRIPTOR: [u8; 20] = [1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 ^ seed).collect()
}

/// Populates through a mount by ntfs-3g.
fn mounted(options: &'static str, populate: impl FnOnce(&Path)) -> impl FnOnce(&Path) {
    move |image| populate(&Mount::new(image, options).0)
}

fn set_xattr(path: &Path, name: &str, value: &str) {
    succeed("setfattr", &["-h", "-n", name, "-v", value, path.to_str().unwrap()]);
}

/// Gives a file a short name.
fn set_short_name(path: &Path, name: &str) {
    set_xattr(path, "system.ntfs_dos_name", name);
}

fn file(bench: &Bench, node: NodeId) -> EditedFile {
    EditedFile::load(&bench.ntfs.volume, MftRecordNumber(node.0)).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{error}");
    error.to_string()
}

/// What `ls` of the mounted volume shows, and every content.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Sectors 512 and 4096, records 1024 and 4096, clusters from 512 bytes to 2 MiB.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_volumes_of_every_shape_take_files_and_give_them_back() {
    for (mib, arguments) in [
        (8, &["-c", "512"][..]),
        (16, &["-c", "4096"]),
        (32, &["-s", "4096", "-c", "4096"]),
        (64, &["-c", "2097152"]),
    ] {
        let mut bench = Bench::new(mib, arguments, |_| {});
        let root = bench.ntfs.root();
        let new = with_acl(&DESCRIPTOR);
        let directory = bench.ntfs.create_directory(root, b"sub", &new).unwrap();
        let mut files = Vec::new();
        for (index, len) in [0, 1, 600, 700, 800, 4096, 5000, 100_000].into_iter().enumerate() {
            let (name, content) = (format!("a file {index}.dat"), bytes(len, 7));
            let node = bench.ntfs.create_file(directory, name.as_bytes(), &new, &content).unwrap();
            files.push((node, name, content));
        }
        // Enough to fill the first part of the MFT, and several blocks of the index.
        for index in 0..70 {
            let name = format!("one of many files, number {index}");
            bench.ntfs.create_file(directory, name.as_bytes(), &new, b"x").unwrap();
        }
        for index in (0..70).step_by(2) {
            let name = format!("ONE OF MANY FILES, number {index}");
            bench.ntfs.remove(directory, name.as_bytes()).unwrap();
        }
        for (index, (node, _, content)) in files.iter_mut().enumerate() {
            *content = bytes(content.len() * 3 % 7000, 9);
            bench.ntfs.replace(*node, content).unwrap();
            let more = bytes(index * 333, 3);
            bench.ntfs.append(*node, &more).unwrap();
            content.extend(more);
            assert_eq!(bench.read(*node), *content, "{arguments:?}");
        }
        let image = bench.assert_clean();
        let mount = Mount::new(&image, "rw");
        let place = mount.0.join("sub");
        for (_, name, content) in &files {
            assert_eq!(fs::read(place.join(name)).unwrap(), *content, "{arguments:?} {name}");
        }
        assert_eq!(names(&place).len(), 35 + files.len());
        // Another writer goes on from there.
        for index in 0..60 {
            fs::write(place.join(format!("other {index}")), bytes(index * 5, 1)).unwrap();
        }
        for (_, name, _) in &files {
            fs::remove_file(place.join(name)).unwrap();
        }
        drop(mount);
        super::testing::assert_clean(&image);
    }
}

/// A volume whose free space is in pieces of one cluster, between those of one file.
fn fragmented(mib: u64, filler_bytes: usize) -> Bench {
    let mut bench = Bench::new(mib, &["-c", "512"], |_| {});
    let filler = bench.create("filler", &bytes(filler_bytes, 1));
    let mut owner = file(&bench, filler);
    let (_, runs) = owner.non_resident(AttributeKind::DATA, &[]).unwrap();
    let (mut kept, mut given_back) = (RunList::new(Vcn(0)), RunList::new(Vcn(0)));
    for vcn in 0..runs.clusters() {
        let list = if vcn % 2 == 0 { &mut kept } else { &mut given_back };
        list.push(runs.find(Vcn(vcn)).unwrap().lcn, 1).unwrap();
    }
    let mut editor = super::Editor::new(&mut bench.ntfs.volume);
    editor.free_clusters(given_back.runs()).unwrap();
    let len = kept.clusters() * 512;
    let sizes = Sizes { allocated: len, value: len, initialised: len, compressed: None };
    owner.put_runs(&mut editor, AttributeKind::DATA, &[], &kept, sizes).unwrap();
    owner.store(&mut editor).unwrap();
    editor.refresh_names(&owner).unwrap();
    // The rest of the volume, from large to small.
    let root = bench.ntfs.root();
    for (index, exponent) in (12..22).rev().chain((12..20).rev()).enumerate() {
        let (save, name) = (bench.overlay.savepoint(), format!("rest {index}"));
        let content = bytes(1 << exponent, 1);
        let before = bench.ntfs.lookup(root, name.as_bytes()).unwrap();
        assert_eq!(before, None);
        let new = with_acl(&DESCRIPTOR);
        let made = bench.ntfs.create_file(root, name.as_bytes(), &new, &content);
        let in_one_piece = made.is_ok_and(|node| {
            file(&bench, node).non_resident(AttributeKind::DATA, &[]).unwrap().1.runs().len() == 1
        });
        if !in_one_piece {
            bench.overlay.roll_back(save);
            bench.ntfs.volume.reload_mft().unwrap();
        }
    }
    bench
}

/// A run list that no record holds goes into extension records, with an attribute list; and back.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_long_run_lists_get_an_attribute_list() {
    let mut bench = fragmented(3, 800_000);
    let content = bytes(330_000, 5);
    let node = bench.create("in pieces", &content);
    let whole = file(&bench, node);
    assert!(whole.records.len() > 2, "{} records", whole.records.len());
    assert!(!whole.parts(AttributeKind::ATTRIBUTE_LIST, &[]).unwrap().is_empty());
    assert_eq!(bench.read(node), content);
    bench.assert_clean();

    // The same length and shorter ones, in place; longer again; then away.
    for len in [330_000, 100_000, 200_000, 20, 250_000] {
        let content = bytes(len, len as u8);
        bench.ntfs.replace(node, &content).unwrap();
        assert_eq!(bench.read(node), content);
        bench.ntfs.overwrite(node, 7, b"over").unwrap();
        assert_eq!(bench.read(node)[7..11], *b"over");
    }
    let image = bench.assert_clean();
    let read = fs::read(Mount::new(&image, "ro").0.join("in pieces")).unwrap();
    assert_eq!(read, bench.read(node));
    bench.ntfs.replace(node, b"").unwrap();
    assert_eq!(file(&bench, node).records.len(), 1, "the extension records are given back");
    bench.assert_clean();
    bench.ntfs.replace(node, &content).unwrap();
    let root = bench.ntfs.root();
    bench.ntfs.remove(root, b"in pieces").unwrap();
    bench.assert_clean();
}

/// A list that does not fit the base record either lies in clusters.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_long_attribute_lists_lie_in_clusters() {
    let mut bench = fragmented(12, 9_000_000);
    let node = bench.node("filler");
    let filler = file(&bench, node);
    let list = filler.stream(AttributeKind::ATTRIBUTE_LIST, &[]).unwrap().unwrap();
    assert!(list.runs().is_some(), "{} records", filler.records.len());
    bench.ntfs.overwrite(node, 4_000_000, b"here").unwrap();
    bench.ntfs.append(node, &bytes(3000, 2)).unwrap();
    let image = bench.assert_clean();
    let read = fs::read(Mount::new(&image, "ro").0.join("filler")).unwrap();
    assert!(read == bench.read(node) && read[4_000_000..4_000_004] == *b"here");
    bench.ntfs.replace(node, b"short").unwrap();
    let left = file(&bench, node);
    assert!(left.records.len() < 4, "what moved out of the base record may stay where it is");
    let list = left.stream(AttributeKind::ATTRIBUTE_LIST, &[]).unwrap().unwrap();
    assert_eq!(list.runs().map(RunList::clusters), Some(1));
    bench.assert_clean();
}

/// Files whose attribute lists ntfs-3g made: by links, by streams, by pieces.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_attribute_lists_of_others_are_edited() {
    let mut bench = Bench::new(
        16,
        &["-c", "4096"],
        mounted("streams_interface=xattr", |root| {
            fs::create_dir(root.join("links")).unwrap();
            fs::write(root.join("linked"), bytes(300, 1)).unwrap();
            for index in 0..20 {
                let link = root.join(format!("links/a further name of this file {index}"));
                fs::hard_link(root.join("linked"), link).unwrap();
            }
            fs::write(root.join("streams"), bytes(5000, 1)).unwrap();
            for index in 0..12 {
                let name = format!("user.stream{index}");
                set_xattr(&root.join("streams"), &name, &"v".repeat(100 + index));
            }
        }),
    );
    for (path, len) in [("linked", 300), ("streams", 5000)] {
        let node = bench.node(path);
        assert!(file(&bench, node).records.len() > 1, "{path}");
        for len in [len, 4000, 9000, 30] {
            let content = bytes(len, 2);
            bench.ntfs.replace(node, &content).unwrap();
            bench.ntfs.append(node, b"more").unwrap();
            assert_eq!(bench.read(node), [content.as_slice(), b"more"].concat(), "{path}");
        }
    }
    bench.assert_clean();
    // Every entry knows the new size.
    let links = bench.node("links");
    let node = bench.node("linked");
    for index in 0..20 {
        let name = format!("a further name of this file {index}");
        assert_eq!(bench.ntfs.lookup(links, name.as_bytes()).unwrap(), Some(node));
        bench.ntfs.remove(links, name.as_bytes()).unwrap();
        let left = bench.ntfs.metadata(node).unwrap().link_count;
        assert_eq!(left, 20 - index, "a hard link keeps the file (WIN-109)");
    }
    assert_eq!(bench.read(node).len(), 34);
    let image = bench.assert_clean();
    let mount = Mount::new(&image, "ro,streams_interface=xattr");
    let path = mount.0.join("streams");
    let stream = ["--absolute-names", "--only-values", "-n", "user.stream7"];
    let value = succeed("getfattr", &[&stream[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(value, "v".repeat(107));
    drop(mount);
    let root = bench.ntfs.root();
    bench.ntfs.remove(root, b"linked").unwrap();
    bench.ntfs.remove(root, b"STREAMS").unwrap();
    bench.assert_clean();
}

/// WIN-108: both names go, whichever is given.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_a_short_name_goes_with_its_long_one() {
    let populate = || {
        mounted("rw", |root| {
            for (name, short) in [(".run-once", "RUN-ON~1"), ("long name.txt", "LONGNA~1.TXT")] {
                fs::write(root.join(name), b"marker").unwrap();
                set_short_name(&root.join(name), short);
            }
        })
    };
    for name in [".run-once", "RUN-ON~1", "run-on~1", ".RUN-ONCE"] {
        let mut bench = Bench::new(8, &["-c", "4096"], populate());
        let node = bench.node(".run-once");
        assert_eq!(file(&bench, node).base().unwrap().header.link_count, 2);
        assert_eq!(bench.node("run-on~1"), node);
        let root = bench.ntfs.root();
        bench.ntfs.remove(root, name.as_bytes()).unwrap();
        for gone in [".run-once", "RUN-ON~1"] {
            assert_eq!(bench.ntfs.lookup(root, gone.as_bytes()).unwrap(), None, "{name}");
        }
        let image = bench.assert_clean();
        assert_eq!(names(&Mount::new(&image, "ro").0), ["long name.txt"]);
        assert_eq!(bench.ntfs.remove(root, name.as_bytes()).unwrap_err().kind_name(), "not_found");
    }
}

/// WIN-106: compressed files become plain ones; what cannot be edited is refused by name.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_compressed_files_become_plain_and_others_are_refused() {
    let mut bench = Bench::new(
        16,
        &["-c", "4096"],
        mounted("compression", |root| {
            fs::create_dir(root.join("packed")).unwrap();
            set_xattr(&root.join("packed"), "system.ntfs_attrib_be", "0x00000800");
            for (name, len) in [("small", 100), ("large", 200_000), ("append", 90_000)] {
                fs::write(root.join("packed").join(name), vec![b'a'; len]).unwrap();
            }
            let sparse = fs::File::create(root.join("sparse")).unwrap();
            sparse.set_len(1 << 20).unwrap();
            fs::write(root.join("read-only"), b"x").unwrap();
            set_xattr(&root.join("read-only"), "system.ntfs_attrib_be", "0x00000001");
        }),
    );
    for (path, content) in [("packed/small", bytes(50, 1)), ("packed/large", bytes(70_000, 3))] {
        let node = bench.node(path);
        bench.ntfs.replace(node, &content).unwrap();
        assert_eq!(bench.read(node), content);
    }
    let node = bench.node("packed/append");
    bench.ntfs.append(node, b"end").unwrap();
    bench.ntfs.overwrite(node, 5, b"over").unwrap();
    let mut expected = [&[b'a'; 90_000][..], b"end"].concat();
    expected[5..9].copy_from_slice(b"over");
    let image = bench.assert_clean();
    let mount = Mount::new(&image, "ro");
    assert_eq!(fs::read(mount.0.join("packed/append")).unwrap(), expected);
    assert_eq!(fs::read(mount.0.join("packed/large")).unwrap(), bytes(70_000, 3));
    drop(mount);

    let root = bench.ntfs.root();
    let sparse = bench.node("sparse");
    assert!(refused(bench.ntfs.replace(sparse, b"")).contains("is a sparse file"));
    assert!(refused(bench.ntfs.overwrite(sparse, 0, b"x")).contains("is a sparse file"));
    let read_only = bench.node("read-only");
    assert!(refused(bench.ntfs.replace(read_only, b"")).contains("read-only"));
    assert!(refused(bench.ntfs.remove(root, b"read-only")).contains("read-only"));
    assert!(refused(bench.ntfs.remove(root, b"packed")).contains("directory"));
    assert!(refused(bench.ntfs.replace(NodeId(6), b"")).contains("file system itself"));
    let new = NewNode::default();
    for name in ["PACKED", "sparse", "a:b", "a.", "nul\0"] {
        refused(bench.ntfs.create_file(root, name.as_bytes(), &new, b""));
    }
    bench.ntfs.remove(root, b"sparse").unwrap();
    let large = bench.node("packed");
    bench.ntfs.remove(large, b"large").unwrap();
    bench.assert_clean();
}

/// WIN-111: what was never written is zero, and becomes so when something behind it is written.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_writing_behind_the_valid_data_fills_the_gap() {
    let mut bench = Bench::new(
        16,
        &["-c", "4096"],
        mounted("rw", |root| {
            fs::write(root.join("hive"), bytes(60_000, 1)).unwrap();
        }),
    );
    let node = bench.node("hive");
    let mut hive = file(&bench, node);
    let (sizes, _) = hive.non_resident(AttributeKind::DATA, &[]).unwrap();
    let part = hive.parts(AttributeKind::DATA, &[]).unwrap()[0];
    hive.set_sizes(part, Sizes { initialised: 5000, ..sizes }).unwrap();
    hive.store(&mut super::Editor::new(&mut bench.ntfs.volume)).unwrap();
    bench.ntfs.overwrite(node, 40_000, b"here").unwrap();
    let mut expected = bytes(5000, 1);
    expected.resize(60_000, 0);
    expected[40_000..40_004].copy_from_slice(b"here");
    assert_eq!(bench.read(node), expected);
    bench.ntfs.append(node, b"end").unwrap();
    expected.extend(b"end");
    let image = bench.assert_clean();
    assert_eq!(fs::read(Mount::new(&image, "ro").0.join("hive")).unwrap(), expected);
    assert!(refused(bench.ntfs.overwrite(node, 60_000, b"long")).contains("shorter"));
}

/// WIN-112, WIN-113: descriptors come from siblings, or are those that were given.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_new_files_get_the_right_descriptor() {
    let mut bench = Bench::new(
        16,
        &["-c", "4096"],
        mounted("permissions", |root| {
            fs::create_dir(root.join("place")).unwrap();
            fs::write(root.join("place/sibling"), b"").unwrap();
            succeed("chmod", &["600", root.join("place/sibling").to_str().unwrap()]);
        }),
    );
    let place = bench.node("place");
    let acl = |bench: &Bench, node| bench.ntfs.xattr(node, NTFS_ACL_NAME).unwrap().unwrap();
    let sibling = acl(&bench, bench.node("place/sibling"));
    let directory = acl(&bench, place);
    assert_ne!(sibling, directory);
    let new = NewNode::default();
    let child = bench.ntfs.create_file(place, b"child", &new, b"").unwrap();
    assert_eq!(acl(&bench, child), sibling);
    let sub = bench.ntfs.create_directory(place, b"sub", &new).unwrap();
    assert_eq!(acl(&bench, sub), directory, "no sibling of this kind");
    let shared = bench.ntfs.create_file(sub, b"shared", &with_acl(&sibling), b"").unwrap();
    assert_eq!(acl(&bench, shared), sibling);
    assert!(file(&bench, shared).information().unwrap().security_id.is_some());
    // One that the volume does not have: the same with another group.
    let mut own = sibling.clone();
    let group_at = u32::from_le_bytes(own[8..12].try_into().unwrap()) as usize;
    own[group_at + 8] ^= 1;
    let node = bench.ntfs.create_file(sub, b"own", &with_acl(&own), &bytes(100, 1)).unwrap();
    assert_eq!(acl(&bench, node), own);
    bench.ntfs.set_xattr(node, NTFS_ACL_NAME, Some(&sibling)).unwrap();
    assert_eq!(acl(&bench, node), sibling);
    bench.ntfs.set_xattr(child, NTFS_ACL_NAME, Some(&own)).unwrap();
    assert_eq!(acl(&bench, child), own);
    refused(bench.ntfs.set_xattr(child, NTFS_ACL_NAME, None));
    refused(bench.ntfs.set_xattr(child, b"user.x", Some(b"")));
    let image = bench.assert_clean();
    let mount = Mount::new(&image, "ro,permissions");
    let path = mount.0.join("place/child");
    let shown =
        succeed("getfattr", &["-n", "system.ntfs_acl", "-e", "hex", path.to_str().unwrap()]);
    let mut hex = String::new();
    for byte in &own {
        write!(hex, "{byte:02x}").unwrap();
    }
    assert!(shown.contains(&hex), "{shown}");
}

/// WIN-109: the object id of a file goes with it.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_an_object_id_leaves_its_index() {
    let mut bench = Bench::new(
        8,
        &["-c", "4096"],
        mounted("rw", |root| {
            for (name, digit) in [("one", "1"), ("two", "2")] {
                fs::write(root.join(name), b"").unwrap();
                let id = format!("0x{}", digit.repeat(32));
                set_xattr(&root.join(name), "system.ntfs_object_id", &id);
            }
        }),
    );
    let index = |bench: &Bench| {
        let extend = bench.ntfs.volume.load_file(MftRecordNumber::EXTEND).unwrap();
        let found = bench
            .ntfs
            .with_index(&extend, |index| {
                index.find_name(&"$ObjId".encode_utf16().collect::<Vec<_>>())
            })
            .unwrap();
        let file = bench.ntfs.volume.load_reference(found.unwrap().file()).unwrap();
        let root = file.stream(&bench.ntfs.volume, AttributeKind::INDEX_ROOT, &[0x24, 0x4f]);
        let value = root.unwrap().unwrap().read_all(&bench.ntfs.volume, 4096).unwrap();
        [0x11, 0x22].map(|byte| value.windows(16).any(|part| part == [byte; 16]))
    };
    assert_eq!(index(&bench), [true, true]);
    let root = bench.ntfs.root();
    bench.ntfs.remove(root, b"one").unwrap();
    assert_eq!(index(&bench), [false, true]);
    bench.assert_clean();
}

fn node(fs: &Ntfs, directory: NodeId, name: &str) -> NodeId {
    fs.lookup(directory, name.as_bytes()).unwrap().unwrap()
}

fn create(fs: &mut Ntfs, directory: NodeId, content: &[u8]) {
    fs.create_file(directory, b"new", &with_acl(&DESCRIPTOR), content).unwrap();
}

type Operation = fn(&mut Ntfs, NodeId);

/// Table WIN-T5: how many sectors each operation changes, and which structures they belong to.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_edits_change_no_more_than_they_must() {
    let mut bench = Bench::new(
        64,
        &["-c", "4096"],
        mounted("rw", |root| {
            fs::create_dir(root.join("place")).unwrap();
            fs::write(root.join("place/resident"), bytes(100, 1)).unwrap();
            fs::write(root.join("place/clusters"), bytes(6000, 1)).unwrap();
        }),
    );
    let operations: [(&str, Operation, usize); 8] = [
        (
            "overwrite resident",
            |fs, at| fs.overwrite(node(fs, at, "resident"), 3, b"!").unwrap(),
            2,
        ),
        (
            "overwrite clusters",
            |fs, at| fs.overwrite(node(fs, at, "clusters"), 3, b"!").unwrap(),
            3,
        ),
        ("replace resident", |fs, at| fs.replace(node(fs, at, "resident"), b"other").unwrap(), 4),
        ("append clusters", |fs, at| fs.append(node(fs, at, "clusters"), b"more").unwrap(), 5),
        ("create resident", |fs, at| create(fs, at, b"content"), 5),
        ("remove resident", |fs, at| fs.remove(at, b"new").unwrap(), 5),
        ("create clusters", |fs, at| create(fs, at, &bytes(5000, 1)), 16),
        ("remove clusters", |fs, at| fs.remove(at, b"new").unwrap(), 6),
    ];
    for (what, operation, sectors_max) in operations {
        let place = bench.node("place");
        operation(&mut bench.ntfs, place);
        let (next, changes) = bench.commit();
        let changed = sectors(&changes);
        let labels: Vec<_> = changes.iter().flat_map(|change| &change.labels).collect();
        assert!(changed <= sectors_max, "{what}: {changed} sectors, {labels:?}");
        bench = next;
    }
    bench.assert_clean();
}

/// Attributes are found by their id.
#[test]
fn attributes_with_the_same_id_are_refused() {
    let mut bench = Bench::new(8, &["-c", "4096"], |_| {});
    let node = bench.create("file", b"content");
    let mut record = file(&bench, node).base().unwrap().clone();
    let data = record.attribute(AttributeKind::DATA, &[]).unwrap().unwrap().offset;
    let name = record.attribute(AttributeKind::FILE_NAME, &[]).unwrap().unwrap().id;
    record.put(data + 0xe, &name.to_le_bytes()).unwrap();
    super::Editor::new(&mut bench.ntfs.volume).put_record(&record, "test").unwrap();
    let error = bench.ntfs.replace(node, b"other").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{error}");
}

/// Structures that disagree stop an edit before it is done.
#[test]
fn disagreeing_bitmaps_are_refused() {
    let damaged = |what: &str, damage: fn(&mut Bench)| {
        let mut bench = Bench::new(8, &["-c", "4096"], |_| {});
        let content = bytes(5000, 1);
        bench.create("file", &content);
        damage(&mut bench);
        let root = bench.ntfs.root();
        let error = bench.ntfs.remove(root, b"file").unwrap_err();
        let is_right = matches!(error.kind(), ErrorKind::Refused(Refusal::NeedsCheck { .. }));
        assert!(is_right, "{what}: {error}");
    };
    damaged("cluster bit", |bench| {
        let node = bench.node("file");
        let (_, runs) = file(bench, node).non_resident(AttributeKind::DATA, &[]).unwrap();
        let mut editor = super::Editor::new(&mut bench.ntfs.volume);
        editor.free_clusters(runs.runs()).unwrap();
    });
    damaged("record bit", |bench| {
        let node = bench.node("file");
        let record = file(bench, node).base().unwrap().clone();
        let mut editor = super::Editor::new(&mut bench.ntfs.volume);
        editor.free_record(record.clone(), "test").unwrap();
        editor.put_record(&record, "test").unwrap();
    });
}
