//! Patches of directories: what comes back, what a kill leaves, what belongs to somebody else.
#![allow(clippy::disallowed_methods, reason = "a test makes its files as it likes")]

use super::apply::{Direction, temporaries, transfer};
use super::*;
use crate::error::{Error, ErrorKind};
use crate::fs::path::{GuestPath, find};
use crate::fs::tree::Tree;
use crate::fs::{FileEdit, MetadataChange, NewNode, NodeId, Timestamp};
use crate::image::directory::Directory;
use crate::patch::format::FormatDefect;
use crate::patch::{AnyPatch, DurableUndo, FileNote, load_any, store_files};
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
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

/// As a kill before step `at`: nothing is done from then on, not even cleaning up.
fn killed(patch: &FilePatch, directory: &Directory, direction: Direction, at: usize) -> bool {
    let steps = Cell::new(0);
    let before_step = |_: &str| {
        steps.set(steps.get() + 1);
        if steps.get() > at { Err(Error::unsupported("killed")) } else { Ok(()) }
    };
    transfer(patch, directory, direction, &before_step, &mut |_, _| ()).is_err()
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

#[test]
fn a_kill_at_any_step_is_finished_or_taken_back() {
    let place = Place::new();
    let (before, patch, directory) = (place.inventory(), place.patch(), place.directory());
    run(&patch, &directory, Direction::Apply).unwrap();
    let after = place.inventory();
    run(&patch, &directory, Direction::Undo).unwrap();
    let mut at = 0;
    let mut partial = 0;
    while killed(&patch, &directory, Direction::Apply, at) {
        let found = state(&patch, &directory).unwrap();
        assert!(!matches!(found, FilesState::Foreign { .. }), "apply, step {at}: {found:?}");
        partial += u32::from(matches!(found, FilesState::Partial { .. }));
        run(&patch, &directory, Direction::Apply).unwrap_or_else(|e| panic!("step {at}: {e}"));
        assert_same(&place.inventory(), &after, &format!("applied after a kill at {at}"));
        run(&patch, &directory, Direction::Undo).unwrap();
        killed(&patch, &directory, Direction::Apply, at);
        run(&patch, &directory, Direction::Undo).unwrap_or_else(|e| panic!("step {at}: {e}"));
        assert_same(&place.inventory(), &before, &format!("undone after a kill at {at}"));
        at += 1;
    }
    assert!(at > 40 && partial > 10, "{at} steps, {partial} partial");
    let mut at = 0;
    loop {
        run(&patch, &directory, Direction::Apply).unwrap();
        if !killed(&patch, &directory, Direction::Undo, at) {
            break;
        }
        let found = state(&patch, &directory).unwrap();
        assert!(!matches!(found, FilesState::Foreign { .. }), "undo, step {at}: {found:?}");
        run(&patch, &directory, Direction::Undo).unwrap_or_else(|e| panic!("step {at}: {e}"));
        assert_same(&place.inventory(), &before, &format!("undone after a kill at {at}"));
        run(&patch, &directory, Direction::Apply).unwrap();
        killed(&patch, &directory, Direction::Undo, at);
        run(&patch, &directory, Direction::Apply).unwrap_or_else(|e| panic!("step {at}: {e}"));
        assert_same(&place.inventory(), &after, &format!("applied after a kill at {at}"));
        at += 1;
    }
    assert!(at > 40, "{at} steps");
}

#[test]
fn what_somebody_else_changed_is_a_mismatch_and_nothing_is_written() {
    type Change = fn(&Path);
    let changes: [Change; 9] = [
        |root| fs::write(root.join("home/u/.ssh/authorized_keys"), "other\n").unwrap(),
        |root| {
            fs::set_permissions(root.join("etc/shadow"), fs::Permissions::from_mode(0o600))
                .unwrap();
        },
        |root| fs::create_dir(root.join("home/v")).unwrap(),
        |root| fs::remove_file(root.join("etc/nologin")).unwrap(),
        |root| fs::hard_link(root.join("etc/hive"), root.join("etc/hive2")).unwrap(),
        |root| {
            fs::rename(root.join("home/u/.ssh"), root.join("home/u/s")).unwrap();
            symlink("s", root.join("home/u/.ssh")).unwrap();
        },
        |root| fs::write(root.join("etc/hive"), vec![1; 20_000]).unwrap(),
        |root| {
            rustix::fs::setxattr(
                root.join("home/u/.ssh/authorized_keys"),
                "user.more",
                b"x",
                rustix::fs::XattrFlags::empty(),
            )
            .unwrap();
        },
        |root| {
            fs::remove_file(root.join("etc/link")).unwrap();
            symlink("/somewhere", root.join("etc/link")).unwrap();
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let place = Place::new();
        let patch = place.patch();
        change(&place.root());
        let found = place.inventory();
        for direction in [Direction::Apply, Direction::Undo] {
            if index == 3 {
                continue;
            }
            let error = run(&patch, &place.directory(), direction).unwrap_err();
            assert_eq!(
                (error.exit_status(), error.target_modified()),
                (6, false),
                "{index}: {error}"
            );
            assert_same(&place.inventory(), &found, &format!("{index}"));
        }
        if index == 3 {
            // A name that is gone already is the end that is wanted.
            let found = state(&patch, &place.directory()).unwrap();
            assert!(matches!(found, FilesState::Partial { .. }));
        }
    }
}

/// Somebody changes a file between the comparison and the exchange: theirs stays.
#[test]
fn a_change_at_the_last_moment_is_not_lost() {
    for (step, path) in [("exchange", "home/u/.ssh/authorized_keys"), ("remove", "etc/nologin")] {
        let place = Place::new();
        let patch = place.patch();
        let victim = place.root().join(path);
        let before_step = |found: &str| {
            if found == step && victim.exists() {
                fs::write(&victim, "the last word").unwrap();
            }
            Ok(())
        };
        let directory = place.directory();
        let error = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        let error = error.unwrap_err();
        assert_eq!((error.exit_status(), error.target_modified()), (6, true), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), b"the last word", "{path}");
    }
}

/// A directory becomes a link to another one between the comparison and the writing.
#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    for step in ["stage", "exchange", "publish", "set mode"] {
        let place = Place::new();
        let patch = place.patch();
        let outside = place.scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::copy(place.root().join("home/u/.ssh/authorized_keys"), outside.join("authorized_keys"))
            .unwrap();
        let swapped = Cell::new(false);
        let before_step = |found: &str| {
            if found == step && !swapped.replace(true) {
                fs::rename(place.root().join("home/u/.ssh"), place.root().join("moved")).unwrap();
                symlink(&outside, place.root().join("home/u/.ssh")).unwrap();
            }
            Ok(())
        };
        let directory = place.directory();
        let result = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        assert!(result.is_err(), "{step}");
        assert_eq!(fs::read(outside.join("authorized_keys")).unwrap(), b"old key\n", "{step}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{step}");
    }
}

#[test]
fn only_leftovers_of_ours_are_removed() {
    let place = Place::new();
    let patch = place.patch();
    let index = patch.records().iter().position(|r| r.path.ends_with(b"u/.ssh/authorized_keys"));
    let name = String::from_utf8(temporaries(&patch).unwrap()[index.unwrap()].clone()).unwrap();
    let left = place.root().join("home/u/.ssh").join(name);
    fs::write(&left, "old key\nnew").unwrap();
    run(&patch, &place.directory(), Direction::Apply).unwrap();
    assert!(!left.exists());
    fs::write(&left, "something else").unwrap();
    let error = run(&patch, &place.directory(), Direction::Undo).unwrap_err();
    assert_eq!((error.exit_status(), error.target_modified()), (6, false), "{error}");
    fs::remove_file(&left).unwrap();
    symlink(place.root().join("etc/shadow"), &left).unwrap();
    assert!(run(&patch, &place.directory(), Direction::Undo).is_err());
    assert!(place.root().join("etc/shadow").exists());
}

#[test]
fn a_new_directory_with_content_of_others_is_not_taken_back() {
    let place = Place::new();
    let patch = place.patch();
    run(&patch, &place.directory(), Direction::Apply).unwrap();
    fs::write(place.root().join("home/v/letter"), "mine").unwrap();
    let found = place.inventory();
    let error = run(&patch, &place.directory(), Direction::Undo).unwrap_err();
    assert!(error.to_string().contains("/home/v/letter"), "{error}");
    assert_eq!((error.exit_status(), error.target_modified()), (6, false));
    assert_same(&place.inventory(), &found, "");
}

#[test]
fn the_patch_file_is_private_and_loads_again() {
    let place = Place::new();
    let patch = place.patch();
    let path = place.scratch.path().join("undo.patch");
    let record = store_files(&patch, &path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(load_any(&path).unwrap(), AnyPatch::Files(patch.clone()));
    let other = FilePatch::new(description(), Vec::new()).unwrap();
    assert!(apply(&other, &place.directory(), &record, &mut |_, _| ()).is_err());
    apply(&patch, &place.directory(), &record, &mut |_, _| ()).unwrap();
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}

/// The layout is a promise: what this file holds stays readable for ever.
#[test]
fn the_layout_is_as_documented() {
    let record = Record {
        path: b"/a".to_vec(),
        how: How::Create,
        before: None,
        after: Some(Side {
            kind: Kind::File,
            mode: 0o640,
            uid: 1,
            gid: 2,
            modified: crate::image::directory::stat::Time { seconds: -1, nanoseconds: 5 },
            xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
            content: Content::Whole(b"z".to_vec()),
        }),
    };
    let patch = FilePatch::new(description(), vec![record]).unwrap();
    let bytes = encode(&patch).unwrap();
    let json = serde_json::to_vec(patch.description()).unwrap().len();
    assert_eq!(&bytes[..12], b"RGNPATCH\x02\0\0\0");
    assert_eq!(bytes[12..20], (bytes.len() as u64).to_le_bytes());
    assert_eq!(bytes[20..24], (json as u32).to_le_bytes());
    let expected = [
        &[0, 2, 0][..],
        b"/a",
        &[2, 0, 0xa0, 1, 1, 0, 0, 0, 2, 0, 0, 0],
        &[0xff; 8],
        &[5, 0, 0, 0, 1, 0, 6, 0],
        b"user.x",
        &[1, 0, 0, 0],
        b"y",
        &[1, 1, 0, 0, 0, 0, 0, 0, 0],
        b"z",
    ]
    .concat();
    assert_eq!(bytes[28 + json..bytes.len() - 32], expected);
    assert_eq!(decode(&bytes).unwrap(), patch);
}

#[test]
fn damage_anywhere_is_told_and_never_panics() {
    let bytes = encode(&Place::new().patch()).unwrap();
    for len in (0..bytes.len()).step_by(97).chain(0..40) {
        assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    for index in (0..bytes.len()).step_by(53) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1 << (index % 8);
        assert!(decode(&damaged).is_err(), "bit in {index}");
        // Behind a good digest: never a panic, and what is accepted is sound.
        if let Ok(patch) = decode(&sealed(damaged)) {
            check_records(patch.records()).unwrap();
        }
    }
    let mut other = bytes.clone();
    other[8] = 1;
    assert!(matches!(decode(&sealed(other)).unwrap_err().kind(), ErrorKind::Unsupported(_)));
    let mut huge = bytes;
    huge[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = decode(&sealed(huge)).unwrap_err();
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
    assert!(matches!(corrupt.defect.downcast_ref(), Some(FormatDefect::Ends { .. })), "{error}");
}

#[test]
fn each_broken_promise_about_records_has_its_defect() {
    let side = |kind, content| Side {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: crate::image::directory::stat::Time::default(),
        xattrs: Vec::new(),
        content,
    };
    let file = || Some(side(Kind::File, Content::Whole(b"x".to_vec())));
    let record = |path: &str, how, before, after| Record {
        path: path.as_bytes().to_vec(),
        how,
        before,
        after,
    };
    let pieces = |size_bytes, places: &[(u64, usize)]| {
        let piece = |&(offset_bytes, len)| Piece { offset_bytes, bytes: vec![1; len] };
        let pieces = places.iter().map(piece).collect();
        Some(side(Kind::File, Content::Pieces { size_bytes, pieces }))
    };
    let in_place = |before, after| record("/a", How::InPlace, before, after);
    let mut bad_mode = file();
    bad_mode.as_mut().unwrap().mode = 0o10_000;
    let mut bad_xattr = file();
    bad_xattr.as_mut().unwrap().xattrs = vec![(b"user.\0".to_vec(), Vec::new())];
    for (record, expected) in [
        (record("a", How::Create, None, file()), RecordDefect::Path),
        (record("/a//b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/../b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/./b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/", How::Create, None, file()), RecordDefect::Path),
        (record("/a\0", How::Create, None, file()), RecordDefect::Path),
        (record("/", How::Create, None, file()), RecordDefect::Root),
        (record("/a", How::Create, file(), file()), RecordDefect::Sides),
        (record("/a", How::Create, None, None), RecordDefect::Sides),
        (record("/a", How::Replace, None, file()), RecordDefect::Sides),
        (record("/a", How::Remove, file(), file()), RecordDefect::Sides),
        (record("/a", How::Metadata, file(), file()), RecordDefect::Sides),
        (record("/a", How::Times, None, file()), RecordDefect::Sides),
        (
            record("/a", How::Create, None, Some(side(Kind::Fifo, Content::Same))),
            RecordDefect::Sides,
        ),
        (
            record("/a", How::Remove, Some(side(Kind::Directory, Content::Same)), None),
            RecordDefect::Sides,
        ),
        (record("/a", How::Create, None, bad_mode), RecordDefect::Value),
        (record("/a", How::Create, None, bad_xattr), RecordDefect::Value),
        (in_place(pieces(9, &[(0, 4)]), pieces(9, &[(0, 5)])), RecordDefect::Pieces),
        (
            in_place(pieces(9, &[(0, 4), (2, 2)]), pieces(9, &[(0, 4), (2, 2)])),
            RecordDefect::Pieces,
        ),
        (in_place(pieces(9, &[(8, 4)]), pieces(9, &[(8, 4)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[(10, 2)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[(8, 4)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[(u64::MAX, 2)]), pieces(9, &[(u64::MAX, 2)])), RecordDefect::Pieces),
    ] {
        let error = check_records(std::slice::from_ref(&record)).unwrap_err();
        let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
        assert_eq!(corrupt.defect.downcast_ref(), Some(&expected), "{record:?}");
    }
    let twice =
        vec![record("/a", How::Create, None, file()), record("/a", How::Remove, file(), None)];
    assert!(check_records(&twice).is_err());
    assert!(
        check_records(&[in_place(pieces(9, &[(0, 4)]), pieces(12, &[(0, 4), (9, 3)]))]).is_ok()
    );
}
