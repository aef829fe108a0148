//! What a kernel stored (`fixtures/xfs`), and what xfs_repair says of what we store.

use super::edit::Change;
use super::parent::ParentPointer;
use crate::disk::DiskEdit;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::fs::acl;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::testing::{self, tools};
use crate::fs::xfs::units::InodeNumber;
use crate::fs::xfs::volume::Volume;
use crate::fs::{Timestamp, Xattr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A fixture, and what is where on it.
struct Bench {
    name: &'static str,
    disk: Arc<Overlay>,
    volume: Volume,
}

impl Bench {
    fn new(name: &'static str) -> Self {
        Self::on(name, testing::fixture(name))
    }

    fn on(name: &'static str, disk: Arc<Overlay>) -> Self {
        let edit: Arc<dyn DiskEdit> = disk.clone();
        let volume = Volume::open(edit, Timestamp::default()).unwrap();
        Self { name, disk, volume }
    }

    /// The inodes of these paths.
    fn find<const N: usize>(&self, paths: [&str; N]) -> [Inode; N] {
        let commands: Vec<String> =
            paths.iter().flat_map(|path| [format!("path {path}"), "inode".to_owned()]).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let said = testing::db(&*self.disk, &commands);
        let numbers: Vec<u64> = said
            .lines()
            .filter_map(|line| line.strip_prefix("current inode number is "))
            .map(|number| number.trim().parse().unwrap())
            .collect();
        let numbers: [u64; N] = numbers.try_into().unwrap_or_else(|_| panic!("{said}"));
        numbers.map(|number| self.volume.load_inode(InodeNumber(number)).unwrap())
    }
}

/// What `fixtures/xfs/populate` gave a file: `count` values of `bytes` bytes.
fn populated(count: usize, bytes: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut expected = BTreeMap::new();
    expected.insert(b"trusted.overlay.x".to_vec(), b"y".to_vec());
    for index in 1..=count {
        let value = format!("value {index} ").repeat(bytes);
        expected.insert(format!("user.a{index}").into_bytes(), value.as_bytes()[..bytes].to_vec());
    }
    expected
}

fn by_name(xattrs: Vec<Xattr>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    xattrs.into_iter().map(|xattr| (xattr.name, xattr.value)).collect()
}

const FORMS: [(&str, usize, usize); 5] = [
    ("short", 2, 10),
    ("leaf", 30, 40),
    ("node", 400, 30),
    ("remote", 3, 5000),
    ("huge", 2, 60000),
];

/// Every form on every geometry that changes it.
#[test]
fn everything_that_a_kernel_stored_is_read() {
    for name in [
        "default",
        "block-1k",
        "block-64k",
        "inode-1k",
        "v4",
        "v4-512",
        "v4-no-ftype",
        "ascii-ci",
        "nrext64",
        "parent",
        "parent-1k",
        "sector-4k",
    ] {
        let bench = Bench::new(name);
        let paths = FORMS.map(|(form, ..)| format!("/data/attributes/{form}"));
        let inodes = bench.find([0, 1, 2, 3, 4].map(|index: usize| paths[index].as_str()));
        for (inode, (form, count, bytes)) in inodes.iter().zip(FORMS) {
            let found = by_name(bench.volume.xattrs(inode).unwrap());
            let expected = populated(count, bytes);
            assert!(found == expected, "{name} {form}: {} attributes", found.len());
            for (full_name, value) in &expected {
                let one = bench.volume.xattr(inode, full_name).unwrap();
                assert!(one.as_ref() == Some(value), "{name} {form}: {full_name:?}");
            }
            assert_eq!(bench.volume.xattr(inode, b"user.none").unwrap(), None);
            let local = inode.format(ForkKind::Attribute).unwrap() == ForkFormat::Local;
            assert!(local == (form == "short"), "{name} {form}");
        }
        let [list, default_list, directory] = bench.find([
            "/data/attributes/list",
            "/data/attributes/default-list",
            "/data/attributes/directory",
        ]);
        let access = bench.volume.xattr(&list, acl::ACCESS_NAME).unwrap().unwrap();
        assert!(acl::with_mode(&access, 0o600).unwrap().is_some());
        let default = bench.volume.xattr(&default_list, acl::DEFAULT_NAME).unwrap().unwrap();
        assert_eq!(acl::inherited(&default, crate::fs::NodeKind::File, 0o600).unwrap().len(), 1);
        let found = bench.volume.xattr(&directory, b"user.of-a-directory").unwrap();
        assert_eq!(found, Some(b"value".to_vec()));
    }
}

/// Every name of a file with hundreds of them, which are in blocks.
#[test]
fn parent_pointers_are_the_names_of_a_file() {
    for name in ["parent", "parent-1k"] {
        let bench = Bench::new(name);
        let [file, data, short] = bench.find(["/data/many-names", "/data", "/data/short"]);
        let pointers = bench.volume.parent_pointers(&file).unwrap();
        assert_eq!(pointers.len(), file.link_count() as usize, "{}", bench.name);
        for (directory, entry) in [(&data, "many-names"), (&short, "1"), (&short, "3")] {
            let expected = ParentPointer {
                inode: directory.number,
                generation: directory.generation(),
                name: entry.as_bytes().to_vec(),
            };
            assert!(pointers.contains(&expected), "{entry}");
        }
        assert_eq!(bench.volume.xattrs(&file).unwrap(), []);
    }
}

/// Files of all kinds, with and without attributes before.
const KINDS: [&str; 9] = [
    "/etc/hostname",
    "/home/admin",
    "/bin",
    "/data/forms/character",
    "/data/forms/fragments",
    "/data/forms/long-link",
    "/data/attributes/short",
    "/data/attributes/leaf",
    "/data/attributes/list",
];

impl Bench {
    /// Makes a change and has it judged.
    fn change(&mut self, inode: &mut Inode, name: &[u8], value: Option<&[u8]>) {
        let change = Change::xattr(name, value).unwrap();
        self.volume.change_attributes(inode, &[change]).unwrap();
        self.volume.store_inode(inode).unwrap();
    }

    /// Compares what an inode, read again, has.
    fn assert_has(&self, inode: &Inode, expected: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let again = self.volume.load_inode(inode.number).unwrap();
        let found = by_name(self.volume.xattrs(&again).unwrap());
        assert!(&found == expected, "{} {}: {found:?}", self.name, inode.number);
    }

    fn assert_silent(&self, what: &str) {
        testing::assert_silent(&*self.disk, &format!("{} {what}", self.name));
    }
}

/// From nothing over short form and leaf to a tree with remote values, and back.
fn grow_and_shrink(name: &'static str) {
    let mut bench = Bench::new(name);
    let mut inodes = bench.find(KINDS);
    let mut expected: Vec<_> =
        inodes.iter().map(|inode| by_name(bench.volume.xattrs(inode).unwrap())).collect();
    let label = b"system_u:object_r:ssh_home_t:s0\0".as_slice();
    let steps: [(&str, usize, usize, Option<u8>); 10] = [
        ("security.selinux", 1, label.len(), Some(1)),
        ("security.selinux", 1, label.len() + 40, Some(2)),
        ("user.small", 3, 20, Some(3)),
        ("trusted.middle", 8, 200, Some(4)),
        ("user.large", 2, 10_000, Some(5)),
        ("user.many", 90, 100, Some(6)),
        ("user.large", 1, 3, Some(7)),
        ("user.large", 2, 0, None),
        ("user.many", 90, 0, None),
        ("trusted.middle", 8, 0, None),
    ];
    for (step, (prefix, count, len, fill)) in steps.into_iter().enumerate() {
        for (inode, expected) in inodes.iter_mut().zip(&mut expected) {
            for index in 0..count {
                let full = if count == 1 { prefix.to_owned() } else { format!("{prefix}{index}") };
                let value = fill.map(|fill| vec![fill; len]);
                bench.change(inode, full.as_bytes(), value.as_deref());
                match value {
                    Some(value) => drop(expected.insert(full.into_bytes(), value)),
                    None => drop(expected.remove(full.as_bytes())),
                }
            }
            bench.assert_has(inode, expected);
        }
        if step % 2 == 1 {
            bench.assert_silent(&format!("{prefix} {len}"));
        }
    }
    for (inode, expected) in inodes.iter_mut().zip(&mut expected) {
        for name in expected.keys() {
            bench.change(inode, name, None);
        }
        bench.assert_has(inode, &BTreeMap::new());
        let is_kept = inode.format(ForkKind::Data).unwrap() == ForkFormat::Btree;
        let has_parents = !bench.volume.parent_pointers(inode).unwrap().is_empty();
        assert_eq!(inode.has_attribute_fork(), is_kept || has_parents, "{}", inode.number);
    }
    bench.assert_silent("without attributes");
}

#[test]
fn attributes_grow_and_shrink() {
    grow_and_shrink("default");
}

#[test]
fn attributes_grow_and_shrink_in_small_blocks() {
    grow_and_shrink("block-1k-rmap");
}

#[test]
fn attributes_grow_and_shrink_in_large_inodes() {
    grow_and_shrink("inode-1k");
}

#[test]
fn attributes_grow_and_shrink_beside_parent_pointers() {
    grow_and_shrink("parent");
    grow_and_shrink("parent-1k");
}

#[test]
fn attributes_grow_and_shrink_with_large_extent_counters() {
    grow_and_shrink("nrext64");
}

/// Numbers that only depend on where they start.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end) as usize
    }
}

/// Many changes in no order to a few files, against a map.
fn change_at_random(name: &'static str, seed: u64) {
    let mut bench = Bench::new(name);
    let mut numbers = Numbers(seed);
    let mut inodes = bench.find(KINDS);
    let mut expected: Vec<_> =
        inodes.iter().map(|inode| by_name(bench.volume.xattrs(inode).unwrap())).collect();
    for round in 0..6 {
        for _ in 0..60 {
            let which = numbers.below(inodes.len() as u64);
            let (inode, expected) = (&mut inodes[which], &mut expected[which]);
            let prefix = ["user", "trusted", "security"][numbers.below(3)];
            let full = format!("{prefix}.name{}", numbers.below(12)).into_bytes();
            let len = [10, 60, 300, 3000, 9000][numbers.below(5)];
            let value = vec![numbers.below(256) as u8; numbers.below(len)];
            let value = (numbers.below(10) < 6).then_some(value);
            bench.change(inode, &full, value.as_deref());
            match value {
                Some(value) => drop(expected.insert(full, value)),
                None => drop(expected.remove(&full)),
            }
        }
        for (inode, expected) in inodes.iter().zip(&expected) {
            bench.assert_has(inode, expected);
        }
        bench.assert_silent(&format!("seed {seed}, round {round}"));
    }
}

#[test]
fn random_changes_leave_the_volume_whole() {
    for (seed, name) in
        ["block-1k-rmap", "parent-1k", "rhel10", "rhel7", "changed-uuid"].into_iter().enumerate()
    {
        change_at_random(name, seed as u64);
    }
}

/// xfs_repair compares parent pointers with directories: one that is away is missed, one that is
/// back is not, in the inode and in blocks.
#[test]
fn parent_pointers_can_be_taken_away_and_given_back() {
    let mut bench = Bench::new("parent-1k");
    let mut inodes = bench.find(["/etc/hostname", "/data/many-names", "/home/admin"]);
    for inode in &mut inodes {
        let pointers = bench.volume.parent_pointers(inode).unwrap();
        let pointer = pointers.last().unwrap().to_attribute();
        let removal = Change::Remove(pointer.clone());
        assert!(bench.volume.change_attributes(inode, &[removal]).unwrap());
        bench.volume.store_inode(inode).unwrap();
        let label = Change::xattr(b"security.selinux", Some(b"label\0")).unwrap();
        let verdict = testing::repair(&*bench.disk);
        assert!(matches!(verdict, testing::RepairVerdict::Findings(_)), "{}", inode.number);
        let addition = Change::Set(pointer);
        assert!(bench.volume.change_attributes(inode, &[label, addition]).unwrap());
        bench.volume.store_inode(inode).unwrap();
        bench.assert_silent("with all parent pointers");
        assert_eq!(bench.volume.parent_pointers(inode).unwrap().len(), pointers.len());
    }
}

#[test]
fn the_first_attribute_is_noted_in_the_superblock() {
    let empty = testing::Copy::of(&MemoryDisk::new(vec![0; 32 << 20]));
    let path = empty.path.to_str().unwrap();
    assert!(tools::run("mkfs.xfs", &["-q", "-n", "parent=0", path]).status.success());
    let made = MemoryDisk::new(std::fs::read(path).unwrap());
    let mut bench = Bench::on("new", Arc::new(Overlay::new(Arc::new(made))));
    let version = |bench: &Bench| testing::db_field(&*bench.disk, &["sb 0", "p"], "versionnum");
    assert_eq!(version(&bench), "0xb4a5");
    let mut root = bench.volume.load_inode(bench.volume.superblock().root).unwrap();
    bench.change(&mut root, b"trusted.first", Some(b"1"));
    assert_eq!(version(&bench), "0xb4b5");
    bench.assert_silent("with the first attribute");
    bench.change(&mut root, b"trusted.first", None);
    bench.assert_silent("without it");
}
