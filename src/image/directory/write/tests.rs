//! What a writer refuses to touch.
#![allow(clippy::disallowed_methods, reason = "a test makes its files as it likes")]

use super::super::mounts::Standing;
use super::super::record::Piece;
use super::super::stat::Time;
use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

const MOMENT: Time = Time { seconds: 1_600_000_000, nanoseconds: 1 };

fn tree() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir_all(scratch.path().join("root/full")).unwrap();
    fs::write(scratch.path().join("root/file"), "content").unwrap();
    fs::write(scratch.path().join("root/full/file"), "").unwrap();
    symlink("file", scratch.path().join("root/link")).unwrap();
    scratch
}

fn side(kind: Kind, content: Content) -> Side {
    let owner = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = (owner.uid(), owner.gid());
    Side { kind, mode: 0o640, uid, gid, modified: MOMENT, xattrs: Vec::new(), content }
}

/// The same object, seen through a mount that is not entered.
fn barred(directory: &Directory, handle: &Handle) -> Handle {
    let fd = handle.fd().try_clone_to_owned().unwrap();
    let standing = Standing::Barred("a mount of the host".into());
    Handle::new(fd, standing, directory.bytes_read.clone()).unwrap()
}

type Facts = Vec<(String, u32, u64, i64, i64, i64)>;

fn facts(root: &Path) -> Facts {
    let of = |name: &str| {
        let m = root.join(name).symlink_metadata().unwrap();
        (name.to_owned(), m.mode(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime_nsec())
    };
    let mut names: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    std::iter::once(of("")).chain(names.iter().map(|name| of(name))).collect()
}

#[test]
fn nothing_on_a_mount_that_is_not_entered_is_changed() {
    let scratch = tree();
    let root = scratch.path().join("root");
    let directory = Directory::open(&root).unwrap();
    let before = facts(&root);
    let writer = Writer::new(&directory, &|_| Ok(()));
    let child = |name: &[u8]| directory.child(directory.root(), name).unwrap().unwrap();
    let (place, file) = (barred(&directory, directory.root()), barred(&directory, &child(b"file")));
    let whole = side(Kind::File, Content::Whole(b"new".to_vec()));
    let piece = [Piece { offset_bytes: 0, bytes: b"X".to_vec() }];
    let yes: IsExpected<'_> = &|_| Ok(true);
    for (what, result) in [
        ("stage", writer.stage(&place, b"new", &whole)),
        ("stage", writer.stage(&place, b"new", &side(Kind::Directory, Content::Same))),
        ("publish", writer.publish(&place, b"file", b"new")),
        ("exchange", writer.exchange(&place, b"file", b"link", yes)),
        ("remove", writer.remove(&place, b"new", b"file", yes)),
        ("discard", writer.discard(&place, b"file", Kind::File)),
        ("remove_directory", writer.remove_directory(&place, b"full")),
        ("set_metadata", writer.set_metadata(&file, &whole)),
        ("set_metadata", writer.set_metadata(&place, &side(Kind::Directory, Content::Same))),
        ("write_pieces", writer.write_pieces(&file, 1, &piece)),
        ("set_modified", writer.set_modified(&place, MOMENT).map(drop)),
    ] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("a mount of the host"), "{what}: {error}");
        assert!(error.to_string().contains("unmount it first: umount /"), "{what}: {error}");
        assert_eq!(facts(&root), before, "{what}");
    }
}

/// Between the making of a directory or link and its first change, somebody puts something else there.
#[test]
fn only_what_was_just_made_gets_an_owner() {
    let scratch = tree();
    let directory = Directory::open(&scratch.path().join("root")).unwrap();
    let writer = Writer::new(&directory, &|_| Ok(()));
    for (name, kind) in
        [("file", Kind::Directory), ("link", Kind::Directory), ("full", Kind::Directory)]
    {
        assert!(writer.just_made(directory.root(), name.as_bytes(), kind).is_err(), "{name}");
    }
    assert!(writer.just_made(directory.root(), b"file", Kind::Symlink).is_err());
    assert!(writer.just_made(directory.root(), b"link", Kind::Symlink).is_ok());
}

/// Under the other name there is something already: it is not opened, and what it leads to neither.
#[test]
fn nothing_is_made_over_what_is_there() {
    let scratch = tree();
    let root = scratch.path().join("root");
    fs::write(scratch.path().join("outside"), "host").unwrap();
    symlink("../outside", root.join("out")).unwrap();
    symlink("../nowhere", root.join("dangling")).unwrap();
    let directory = Directory::open(&root).unwrap();
    let writer = Writer::new(&directory, &|_| Ok(()));
    let whole = Content::Whole(b"new".to_vec());
    for name in ["file", "full", "link", "out", "dangling"] {
        for (kind, content) in [
            (Kind::File, whole.clone()),
            (Kind::Symlink, whole.clone()),
            (Kind::Directory, Content::Same),
        ] {
            let before = facts(&root);
            let staged = writer.stage(directory.root(), name.as_bytes(), &side(kind, content));
            assert!(staged.is_err(), "{kind:?} over {name}");
            assert_eq!(facts(&root), before, "{kind:?} over {name}");
        }
    }
    assert_eq!(fs::read(scratch.path().join("outside")).unwrap(), b"host");
    assert!(!scratch.path().join("nowhere").exists());
}

/// A link of its own time: what it leads to keeps its.
#[test]
fn a_link_is_made_without_touching_what_it_leads_to() {
    let scratch = tree();
    let root = scratch.path().join("root");
    let directory = Directory::open(&root).unwrap();
    let before = facts(&root);
    let writer = Writer::new(&directory, &|_| Ok(()));
    let wanted = side(Kind::Symlink, Content::Whole(b"file".to_vec()));
    writer.stage(directory.root(), b"made", &wanted).unwrap();
    let made = root.join("made").symlink_metadata().unwrap();
    assert_eq!((made.mtime(), made.mtime_nsec()), (MOMENT.seconds, 1));
    let after = facts(&root);
    let file = |facts: &Facts| facts.iter().find(|f| f.0 == "file").cloned();
    assert_eq!(file(&after), file(&before));
}

#[test]
fn what_is_expected_decides_with_and_without_the_flags_of_rename() {
    for has_flags in [true, false] {
        let scratch = tree();
        let root = scratch.path().join("root");
        let directory = Directory::open(&root).unwrap();
        if !has_flags {
            directory.forget_rename_flags();
        }
        let writer = Writer::new(&directory, &|_| Ok(()));
        let place = directory.root();
        fs::write(root.join("t"), "new").unwrap();
        let no: IsExpected<'_> = &|_| Ok(false);
        let fails: IsExpected<'_> = &|_| Err(Error::unsupported("cannot look"));
        for (is_expected, status) in [(no, 6), (fails, 5)] {
            for result in [
                writer.exchange(place, b"t", b"file", is_expected),
                writer.remove(place, b"u", b"file", is_expected),
            ] {
                assert_eq!(result.unwrap_err().exit_status(), status);
            }
            assert_eq!(fs::read(root.join("file")).unwrap(), b"content");
            assert_eq!(fs::read(root.join("t")).unwrap(), b"new");
        }
        let error = writer.publish(place, b"t", b"file").unwrap_err();
        assert_eq!(error.exit_status(), 6, "{error}");
        assert_eq!(fs::read(root.join("file")).unwrap(), b"content");
        // A rename without flags would put one directory over another that is empty.
        fs::create_dir(root.join("d")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        assert_eq!(writer.publish(place, b"d", b"empty").unwrap_err().exit_status(), 6);
        assert!(root.join("d").exists());
        writer.exchange(place, b"t", b"file", &|_| Ok(true)).unwrap();
        assert_eq!(
            (fs::read(root.join("file")).unwrap(), root.join("t").exists()),
            (b"new".to_vec(), false)
        );
        writer.publish(place, b"file", b"other").unwrap();
        assert!(!root.join("file").exists() && root.join("other").exists());
        writer.remove(place, b"u", b"other", &|_| Ok(true)).unwrap();
        assert!(!root.join("other").exists() && !root.join("u").exists());
    }
}
