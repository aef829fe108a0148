//! What a kernel stored (`fixtures/xfs`), and what xfs_repair says of what we store.

use super::parent::ParentPointer;
use crate::disk::DiskEdit;
use crate::disk::overlay::Overlay;
use crate::fs::acl;
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::testing;
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
        let disk = testing::fixture(name);
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
