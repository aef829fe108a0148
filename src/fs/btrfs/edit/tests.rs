//! Edits of volumes that the kernel filled, judged by `btrfs check`, and read back through `Btrfs`.

use super::super::Btrfs;
use super::super::testing::{CLOCK, RECORDED, assert_clean, fixture, recorded};
use super::kernel_tests;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::fs::{FileEdit, FileSystem, MetadataChange, NewNode, NodeId, Xattr};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::ops::ControlFlow;
use std::sync::Arc;

fn open(disk: &Arc<Overlay>) -> Btrfs {
    Btrfs::open(disk.clone(), CLOCK).unwrap()
}

pub(super) fn new(mode: u32) -> NewNode {
    let label = Xattr { name: b"security.selinux".to_vec(), value: b"unconfined\0".to_vec() };
    NewNode { mode, uid: 7, gid: 8, xattrs: vec![label] }
}

#[test]
fn every_edit_is_clean_on_every_shape() {
    for name in RECORDED {
        let disk = recorded(name);
        let mut fs = open(&disk);
        let subvolumes = fs.subvolumes().unwrap();
        let writable = subvolumes.into_iter().filter(|subvolume| !subvolume.is_read_only);
        // The last ones are snapshots.
        let count = if name.starts_with("shared/") { 2 } else { 1 };
        for root in writable.map(|subvolume| subvolume.root).rev().take(count) {
            let directory = fs.create_directory(root, b".ssh-new", &new(0o700)).unwrap();
            let small = fs.create_file(directory, b"small", &new(0o600), b"one\n").unwrap();
            let large = fs.create_file(directory, b"large", &new(0o644), &vec![9; 70_001]).unwrap();
            fs.append(small, b"two\n").unwrap();
            fs.append(large, &[8; 5000]).unwrap();
            fs.finish().unwrap();
            assert_clean(&*disk, &format!("{name}: created"));
            let mut again = open(&disk);
            assert_eq!(again.read(small, 100).unwrap(), b"one\ntwo\n");
            let content = again.read(large, 1 << 20).unwrap();
            assert_eq!(content.len(), 75_001);
            assert!(content[..70_001].iter().all(|byte| *byte == 9));
            assert!(content[70_001..].iter().all(|byte| *byte == 8));
            again.append(small, &[b'x'; 3000]).unwrap();
            again.overwrite(large, 4090, &[7; 10]).unwrap();
            let change = MetadataChange { mode: Some(0o640), uid: Some(3), ..Default::default() };
            again.set_metadata(small, &change).unwrap();
            again.set_xattr(small, b"user.a", Some(&[1; 500])).unwrap();
            again.finish().unwrap();
            assert_clean(&*disk, &format!("{name}: changed"));
            let mut again = open(&disk);
            assert_eq!(
                again.read_at(large, 4089, 12).unwrap(),
                [&[9][..], &[7; 10], &[9]].concat()
            );
            assert_eq!(again.read(small, 5000).unwrap().len(), 3008);
            assert_eq!(again.metadata(small).unwrap().mode, 0o640);
            again.replace(large, b"short").unwrap();
            again.remove(directory, b"small").unwrap();
            again.set_xattr(directory, b"security.selinux", None).unwrap();
            again.finish().unwrap();
            assert_clean(&*disk, &format!("{name}: removed"));
            fs = open(&disk);
            assert_eq!(fs.read(large, 100).unwrap(), b"short");
            assert_eq!(fs.lookup(directory, b"small").unwrap(), None);
        }
    }
}

/// All regular files and directories of the subvolumes that can be edited.
pub(super) fn nodes(fs: &Btrfs) -> (Vec<NodeId>, Vec<(NodeId, Vec<u8>)>) {
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    let subvolumes = fs.subvolumes().unwrap();
    let is_writable = |node: NodeId| {
        let id = node.0 >> 40;
        subvolumes.iter().any(|subvolume| subvolume.id == id && !subvolume.is_read_only)
    };
    let mut todo = vec![fs.root()];
    while let Some(directory) = todo.pop() {
        if is_writable(directory) {
            directories.push(directory);
        }
        fs.read_dir(directory, &mut |entry| {
            match fs.metadata(entry.node)?.kind {
                crate::fs::NodeKind::Directory if entry.node.0 & 0xff_ffff_ffff != 2 => {
                    todo.push(entry.node);
                }
                crate::fs::NodeKind::File if is_writable(directory) => {
                    files.push((directory, entry.name));
                }
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    (directories, files)
}

/// Random edits. `REGAIN_BTRFS_EDITS` sets how many transactions for each shape, `REGAIN_SEED` where they start.
#[test]
fn random_edits_are_clean() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let seed = u8::try_from(number("REGAIN_SEED").unwrap_or(1)).unwrap();
    for (index, name) in RECORDED.iter().enumerate() {
        let seed = seed.wrapping_add(u8::try_from(index).unwrap());
        random_edits(&recorded(name), name, seed, number("REGAIN_BTRFS_EDITS").unwrap_or(2), true);
    }
}

/// Transactions of one to four random edits, each followed by `btrfs check`, or all of them.
pub(super) fn random_edits(disk: &Arc<Overlay>, name: &str, seed: u8, count: u32, each: bool) {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut said = String::new();
    for round in 0..count {
        let mut fs = open(disk);
        let (directories, files) = nodes(&fs);
        said = if each { String::new() } else { said };
        let steps = 1 + random.next_u32() % 4;
        for step in 0..steps {
            said += &edit(&mut fs, &mut random, (&directories, &files), (round, step));
        }
        fs.finish().unwrap();
        if each || round + 1 == count {
            assert_clean(&**disk, &format!("{name}, seed {seed}, round {round}: {said}"));
        }
    }
}

/// One edit, which the volume may refuse.
fn edit(
    fs: &mut Btrfs,
    random: &mut TestRng,
    (directories, files): (&[NodeId], &[(NodeId, Vec<u8>)]),
    (round, step): (u32, u32),
) -> String {
    let lens = [0, 1, 50, 700, 2048, 2049, 4096, 4097, 20_000, 150_000];
    let len = lens[random.next_u32() as usize % lens.len()];
    let bytes = vec![random.next_u32() as u8; len];
    let directory = directories[random.next_u32() as usize % directories.len()];
    // A long run may have removed them all: then one is made.
    let none = [(directory, b"none".to_vec())];
    let files = if files.is_empty() { &none } else { files };
    let (parent, name) = &files[random.next_u32() as usize % files.len()];
    let file = fs.lookup(*parent, name).unwrap();
    let new_name = format!("new-{round}-{step}-{}", "n".repeat(random.next_u32() as usize % 200));
    let kind = random.next_u32() % 10;
    let result = match (kind, file) {
        (0, _) => fs.create_directory(directory, new_name.as_bytes(), &new(0o755)).map(|_| ()),
        (1 | 2, _) | (_, None) => {
            fs.create_file(directory, new_name.as_bytes(), &new(0o644), &bytes).map(|_| ())
        }
        (3 | 4, Some(file)) => fs.append(file, &bytes),
        (5, Some(file)) => fs.replace(file, &bytes),
        (6, Some(_)) => fs.remove(*parent, name),
        (7, Some(file)) => {
            let change = MetadataChange { mode: Some(0o600), ..Default::default() };
            fs.set_metadata(file, &change)
        }
        (8, Some(file)) => {
            let value = &bytes[..len.min(1000)];
            fs.set_xattr(file, format!("user.{}", round % 7).as_bytes(), Some(value))
        }
        (_, Some(file)) => {
            let size = fs.metadata(file).unwrap().size_bytes;
            let at = u64::from(random.next_u32()) % (size + 1);
            let len = len.min((size - at) as usize);
            fs.overwrite(file, at, &bytes[..len])
        }
    };
    let what = format!("{kind} {:?} {len}; ", String::from_utf8_lossy(name));
    if let Err(error) = result {
        assert_eq!(error.kind_name(), "refused", "{what}: {error}");
        return format!("refused: {error}");
    }
    what
}

#[test]
fn a_read_only_snapshot_is_refused() {
    let disk = recorded("micro");
    let mut fs = open(&disk);
    let subvolumes = fs.subvolumes().unwrap();
    let read_only = subvolumes.iter().find(|subvolume| subvolume.is_read_only).unwrap();
    let error = fs.create_file(read_only.root, b"new", &new(0o644), b"").unwrap_err();
    assert_eq!(error.kind_name(), "refused");
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn a_path_that_mkfs_made_is_edited() {
    let disk = fixture(&["-n", "4096"]);
    let mut fs = open(&disk);
    let etc = fs.lookup(fs.root(), b"etc").unwrap().unwrap();
    let passwd = fs.lookup(etc, b"passwd").unwrap().unwrap();
    fs.append(passwd, b"new:x:1:1::/:/bin/sh\n").unwrap();
    fs.finish().unwrap();
    assert_clean(&*disk, "appended");
}

#[test]
fn counts_of_quota_groups_are_marked_as_out_of_date() {
    let disk = fixture(&["-R", "quota"]);
    let mut fs = open(&disk);
    assert!(fs.warnings()[0].contains("btrfs quota rescan"));
    fs.create_file(fs.root(), b"new", &new(0o644), &[1; 5000]).unwrap();
    fs.finish().unwrap();
    assert_clean(&*disk, "quota");
    let status = super::super::testing::dump(&*disk, &["-t", "8"]);
    assert!(status.contains("flags ON|INCONSISTENT"), "{status}");
}

/// Crashes with a log (`fixtures/btrfs/dirty/scenarios`).
pub(super) fn dirty() -> Vec<String> {
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/btrfs/dirty/scenarios");
    let text = std::fs::read_to_string(scenarios).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains('|'));
    let names = lines.map(|line| format!("dirty/{}", line.split('|').next().unwrap()));
    names.collect()
}

#[test]
fn the_log_of_a_crash_becomes_part_of_the_edit() {
    for name in dirty() {
        let disk = recorded(&name);
        let mut fs = open(&disk);
        assert_eq!(fs.health(), crate::fs::Health::JournalDirty);
        let before = kernel_tests::ours(&fs);
        fs.create_file(fs.root(), b"new", &new(0o644), &[1; 5000]).unwrap();
        fs.finish().unwrap();
        assert_clean(&*disk, &name);
        let fs = open(&disk);
        assert_eq!(fs.health(), crate::fs::Health::Clean);
        let mut after = kernel_tests::ours(&fs);
        after.remove(&b"/new"[..]).unwrap();
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "{name}");
        for (path, seen) in &before {
            assert!(after[path] == *seen, "{name}: {}", String::from_utf8_lossy(path));
        }
    }
}

/// Where the copies of the superblock stand on these volumes.
const SUPERBLOCKS: [u64; 2] = [64 * 1024, 64 * 1024 * 1024];

/// An edit that was interrupted: only the superblocks are on the disk, or everything but them.
#[test]
fn the_old_state_stays_whole_below_the_new_one() {
    for name in ["shared/balanced", "xxhash", "blake2"] {
        let disk = recorded(name);
        let places = SUPERBLOCKS.map(|at| at..at + 4096);
        let places = places.into_iter().filter(|place| place.end <= disk.len_bytes());
        let places: Vec<_> = places.collect();
        let read = || -> Vec<Vec<u8>> {
            places.iter().map(|place| disk.read_vec(place.start, 4096).unwrap()).collect()
        };
        let old = read();
        random_edits(&disk, name, 3, 1, false);
        let new = read();
        assert_ne!(old, new);
        for (place, bytes) in places.iter().zip(&old) {
            disk.write_at(place.start, bytes, "superblock").unwrap();
        }
        assert_clean(&*disk, &format!("{name}: without the superblocks"));
        let disk = recorded(name);
        for (place, bytes) in places.iter().zip(&new) {
            disk.write_at(place.start, bytes, "superblock").unwrap();
        }
        let opened = Btrfs::open(disk.clone(), CLOCK);
        assert!(opened.and_then(|fs| fs.subvolumes()).is_err(), "{name}");
        let copy = super::super::testing::Copy::of(&*disk);
        let arguments = ["check", "--readonly", "--backup", copy.path.to_str().unwrap()];
        let output = super::super::testing::run_newer("btrfs", &arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // The sum of the bytes in use is that of the new superblock.
        let is_finding = |line: &&str| line.contains("mismatch") || line.contains("wrong");
        let findings: Vec<&str> = text.lines().filter(is_finding).collect();
        let is_sum = findings.iter().all(|line| line.starts_with("super bytes used "));
        let errors = text.lines().filter(|line| line.starts_with("ERROR")).count();
        assert!(is_sum && errors == findings.len(), "{name}: with the backup root: {text}");
    }
}
