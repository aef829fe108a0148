//! What somebody else changes, before and in the middle of a run.

use super::*;
use std::cell::Cell;

#[test]
fn what_somebody_else_changed_is_a_mismatch_and_nothing_is_written() {
    type Change = fn(&Path);
    let changes: [Change; 11] = [
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
        |root| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(root.join("etc/shadow"), "user.note", b"else", flags).unwrap();
        },
        |root| {
            let keys = fs::File::open(root.join("home/u/.ssh/authorized_keys")).unwrap();
            keys.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
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
    let at = [("exchange", "home/u/.ssh/authorized_keys"), ("remove", "etc/nologin")];
    for ((step, path), way) in at.into_iter().flat_map(|at| WAYS.map(|way| (at, way))) {
        let place = Place::new();
        let patch = place.patch();
        let victim = place.root().join(path);
        let before_step = |found: &str| {
            if found == step && victim.exists() {
                fs::write(&victim, "the last word").unwrap();
            }
            Ok(())
        };
        let directory = place.directory_by(way);
        let error = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        let error = error.unwrap_err();
        assert_eq!((error.exit_status(), error.target_modified()), (6, true), "{error}");
        assert_eq!(fs::read(&victim).unwrap(), b"the last word", "{path}");
    }
}

/// A directory becomes a link to another one between the comparison and the writing.
#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    let steps = ["stage", "exchange", "publish", "set mode"];
    for (step, way) in steps.into_iter().flat_map(|step| WAYS.map(|way| (step, way))) {
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
        let directory = place.directory_by(way);
        let result = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        assert!(result.is_err(), "{step}");
        assert_eq!(fs::read(outside.join("authorized_keys")).unwrap(), b"old key\n", "{step}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{step}");
    }
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

/// No room, or no permission, while the new files are made: nothing tells of the attempt.
#[test]
fn what_cannot_be_made_leaves_no_trace() {
    for (step, at) in
        [("stage", 1), ("fill", 1), ("set mode", 2), ("set time", 1), ("sync file", 0)]
    {
        let place = Place::new();
        let (patch, before) = (place.patch(), place.inventory());
        let left = Cell::<u32>::new(at);
        let before_step = |found: &str| {
            if found != step || left.replace(left.get().saturating_sub(1)) > 0 {
                return Ok(());
            }
            left.set(u32::MAX);
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
        };
        let directory = place.directory();
        let error = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        let error = error.unwrap_err();
        assert_eq!((error.exit_status(), error.target_modified()), (1, false), "{step}: {error}");
        assert_same(&place.inventory(), &before, step);
    }
}

/// What another patch has left is told, and stays.
#[test]
fn leftovers_of_other_patches_are_named_and_kept() {
    let place = Place::new();
    let patch = place.patch();
    let ssh = place.root().join("home/u/.ssh");
    for name in
        [".regain-0123456789abcdef-12.tmp", ".regain-0123456789abcdef-.tmp", ".regain-x-1.tmp"]
    {
        fs::write(ssh.join(name), "old key\n").unwrap();
    }
    let told = ["/home/u/.ssh/.regain-0123456789abcdef-12.tmp"];
    assert_eq!(leftovers_of_others(&patch, &place.directory()).unwrap(), told);
    run(&patch, &place.directory(), Direction::Apply).unwrap();
    assert_eq!(leftovers_of_others(&patch, &place.directory()).unwrap(), told);
}

/// What was written is changed by somebody else before it is read back: that is no success.
#[test]
fn reading_back_sees_what_is_there_then() {
    for path in
        ["home/u/.ssh/authorized_keys", "home/v/.ssh/authorized_keys", "etc/hive", "etc/shadow"]
    {
        let place = Place::new();
        let patch = place.patch();
        let victim = place.root().join(path);
        let before_step = |found: &str| {
            if found == "sync directory" {
                fs::write(&victim, "the last word").unwrap();
            }
            Ok(())
        };
        let directory = place.directory();
        let error = transfer(&patch, &directory, Direction::Apply, &before_step, &mut |_, _| ());
        let error = error.unwrap_err();
        assert!([1, 6].contains(&error.exit_status()), "{path}: {error}");
        assert!(error.target_modified() && error.to_string().contains(path), "{path}: {error}");
    }
}
