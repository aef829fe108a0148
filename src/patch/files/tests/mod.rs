//! Patches of directories: what comes back, what a kill leaves, what belongs to somebody else.
#![allow(clippy::disallowed_methods, reason = "a test makes its files as it likes")]

mod format;
mod kills;
mod others;
mod random;

use super::apply::{Direction, transfer};
use super::*;
use crate::error::Error;
use crate::fs::path::{GuestPath, find};
use crate::fs::tree::Tree;
use crate::fs::{FileEdit, MetadataChange, NewNode, NodeId, Timestamp};
use crate::image::directory::Directory;
use crate::image::directory::record::How;
use crate::image::directory::stat::Kind;
use crate::patch::{DurableUndo, FileNote};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

/// Path below the root: mode, owner, group, time, names, attribute, content.
type Inventory = BTreeMap<PathBuf, (u32, u32, u32, i64, i64, u64, Option<Vec<u8>>, Vec<u8>)>;

/// In memory, where files have attributes there: nothing is said here about what a sync does, only that it comes.
fn scratch() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm").ok().filter(|scratch| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(scratch.path(), "user.note", b"", flags).is_ok()
    });
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// What the host can do: every promise holds either way.
#[derive(Debug, Clone, Copy)]
struct Way {
    has_openat2: bool,
    has_rename_flags: bool,
}

const WAYS: [Way; 2] = [
    Way { has_openat2: true, has_rename_flags: true },
    Way { has_openat2: false, has_rename_flags: false },
];

struct Place {
    scratch: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let scratch = scratch();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("home/u/.ssh")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("home/u/.ssh/authorized_keys"), "old key\n").unwrap();
        fs::write(root.join("etc/shadow"), "u:!:1\n").unwrap();
        fs::write(root.join("etc/nologin"), "go away\n").unwrap();
        fs::write(root.join("etc/hive"), vec![7; 20_000]).unwrap();
        symlink("/nowhere", root.join("etc/link")).unwrap();
        let mode = fs::Permissions::from_mode;
        fs::set_permissions(root.join("etc/shadow"), mode(0o640)).unwrap();
        fs::set_permissions(root.join("home/u"), mode(0o2775)).unwrap();
        let keys = root.join("home/u/.ssh/authorized_keys");
        rustix::fs::setxattr(&keys, "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
        for (index, path) in ["", "home", "home/u", "home/u/.ssh", "etc", "etc/hive", "etc/shadow"]
            .into_iter()
            .enumerate()
        {
            let moment = std::time::SystemTime::UNIX_EPOCH
                + std::time::Duration::new(1_600_000_000 + index as u64, 987_654_321);
            fs::File::open(root.join(path)).unwrap().set_modified(moment).unwrap();
        }
        Self { scratch }
    }

    fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    fn directory(&self) -> Directory {
        Directory::open(&self.root()).unwrap()
    }

    /// The same on a host that lacks something.
    fn directory_by(&self, way: Way) -> Directory {
        let directory = self.directory();
        if !way.has_openat2 {
            directory.forget_openat2();
        }
        if !way.has_rename_flags {
            directory.forget_rename_flags();
        }
        directory
    }

    fn inventory(&self) -> Inventory {
        let mut found = BTreeMap::new();
        let mut rest = vec![self.root()];
        while let Some(path) = rest.pop() {
            let m = path.symlink_metadata().unwrap();
            let content = if m.is_dir() {
                rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Vec::new()
            } else if m.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let mut note = [0; 100];
            let note = rustix::fs::lgetxattr(&path, "user.note", &mut note[..])
                .ok()
                .map(|len| note[..len].to_vec());
            let names = if m.is_dir() { 0 } else { m.nlink() };
            let below = path.strip_prefix(self.root()).unwrap().to_owned();
            let facts =
                (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec(), names, note, content);
            found.insert(below, facts);
        }
        found
    }

    /// One of each kind of change.
    fn patch(&self) -> FilePatch {
        let mut tree = Tree::new(Rc::new(self.directory()), CLOCK);
        let node = |tree: &Tree, path: &str| -> NodeId {
            find(tree, &GuestPath::new(path)).unwrap().unwrap().node
        };
        let owner = fs::metadata(self.root()).unwrap();
        let new = |mode| NewNode { mode, uid: owner.uid(), gid: owner.gid(), xattrs: Vec::new() };
        let keys = node(&tree, "/home/u/.ssh/authorized_keys");
        tree.append(keys, b"new key\n").unwrap();
        let home = node(&tree, "/home");
        let other = tree.create_directory(home, b"v", &new(0o2711)).unwrap();
        let ssh = tree.create_directory(other, b".ssh", &new(0o700)).unwrap();
        tree.create_file(ssh, b"authorized_keys", &new(0o600), b"key of v\n").unwrap();
        let etc = node(&tree, "/etc");
        tree.remove(etc, b"nologin").unwrap();
        tree.remove(etc, b"link").unwrap();
        tree.create_file(etc, b"link", &new(0o644), b"a file now\n").unwrap();
        let hive = node(&tree, "/etc/hive");
        tree.overwrite(hive, 3000, &[8; 700]).unwrap();
        tree.overwrite(hive, 0, &[9; 4]).unwrap();
        tree.append(hive, &[6; 5000]).unwrap();
        let directory = node(&tree, "/home/u");
        let change = MetadataChange { mode: Some(0o755), ..MetadataChange::default() };
        tree.set_metadata(directory, &change).unwrap();
        let shadow = node(&tree, "/etc/shadow");
        tree.set_xattr(shadow, b"user.note", Some(b"label")).unwrap();
        FilePatch::new(description(), tree.records().unwrap()).unwrap()
    }
}

fn description() -> FilesDescription {
    FilesDescription {
        regain_version: "0.1.0".into(),
        created: "2026-11-29T12:00:00Z".into(),
        command: "key add".into(),
        directory: DirectoryIdentity {
            file_system: "ext4".into(),
            uuid: None,
            machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        },
        files: vec![FileNote {
            volume: "0".into(),
            path: "/home/u/.ssh/authorized_keys".into(),
            action: "append".into(),
            detail: "1 key".into(),
        }],
    }
}

/// Fails with the objects that differ, without their contents.
fn assert_same(found: &Inventory, expected: &Inventory, when: &str) {
    let paths: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    for path in paths {
        let facts = |inventory: &Inventory| {
            inventory
                .get(path)
                .map(|f| (f.0, f.1, f.2, f.3, f.4, f.5, f.6.clone(), Sha256::digest(&f.7)))
        };
        assert_eq!(facts(found), facts(expected), "{when}: {}", path.display());
    }
}

fn run(patch: &FilePatch, directory: &Directory, direction: Direction) -> Result<Outcome> {
    transfer(patch, directory, direction, &|_| Ok(()), &mut |_, _| ())
}

#[test]
fn what_was_applied_comes_back_exactly() {
    let place = Place::new();
    let before = place.inventory();
    let patch = place.patch();
    assert_same(&place.inventory(), &before, "");
    let directory = place.directory();
    assert_eq!(state(&patch, &directory).unwrap(), FilesState::Unapplied);
    let outcome = apply(&patch, &directory, &DurableUndo::waived(), &mut |_, _| ()).unwrap();
    assert_eq!(outcome.found, FilesState::Unapplied);
    assert_eq!(state(&patch, &directory).unwrap(), FilesState::Applied);
    let after = place.inventory();
    let of = |path: &str| &after[Path::new(path)];
    let keys = of("home/u/.ssh/authorized_keys");
    assert_eq!(
        (keys.7.as_slice(), keys.6.as_deref()),
        (&b"old key\nnew key\n"[..], Some(&b"kept"[..]))
    );
    assert_eq!((keys.3, keys.4), (CLOCK.seconds, i64::from(CLOCK.nanoseconds)));
    assert_eq!(of("home/v").0 & 0o7777, 0o2711);
    assert_eq!(of("home/v").3, CLOCK.seconds);
    assert_eq!(of("home/v/.ssh/authorized_keys").0 & 0o7777, 0o600);
    assert_eq!(of("home/u/.ssh").3, before[Path::new("home/u/.ssh")].3);
    assert_eq!(of("etc/link").7, b"a file now\n");
    assert_eq!(of("etc/hive").7.len(), 25_000);
    assert_eq!(of("etc/shadow").6.as_deref(), Some(&b"label"[..]));
    assert!(!after.contains_key(Path::new("etc/nologin")));
    let again = apply(&patch, &directory, &DurableUndo::waived(), &mut |_, _| ()).unwrap();
    assert_eq!((again.found, again.objects_changed), (FilesState::Applied, 0));
    assert_same(&place.inventory(), &after, "");
    undo(&patch, &directory, &mut |_, _| ()).unwrap();
    assert_same(&place.inventory(), &before, "");
    undo(&patch, &directory, &mut |_, _| ()).unwrap();
    assert_same(&place.inventory(), &before, "");
}
