//! What a kill leaves, and what is done about it.

use super::super::leftover::temporaries;
use super::*;
use std::cell::Cell;

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
fn a_kill_at_any_step_is_finished_or_taken_back() {
    for way in WAYS {
        kill_at_every_step(way);
    }
}

fn kill_at_every_step(way: Way) {
    let place = Place::new();
    let (before, patch, directory) = (place.inventory(), place.patch(), place.directory_by(way));
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

/// Killed before anything changed, or when only times were left to be set: the state says so.
#[test]
fn a_leftover_is_an_interrupted_run_wherever_it_came_to() {
    let place = Place::new();
    let (before, patch, directory) = (place.inventory(), place.patch(), place.directory());
    assert!(killed(&patch, &directory, Direction::Apply, 3));
    let found = state(&patch, &directory).unwrap();
    assert!(matches!(found, FilesState::Partial { after: 0, before: 1.. }), "{found:?}");
    let undone = run(&patch, &directory, Direction::Undo).unwrap();
    assert_eq!((undone.found, undone.objects_changed > 0), (found, true));
    assert_same(&place.inventory(), &before, "");
    assert!(has_times(&patch, &directory, false).unwrap());
    run(&patch, &directory, Direction::Apply).unwrap();
    assert!(has_times(&patch, &directory, true).unwrap());
    let etc = fs::File::open(place.root().join("etc")).unwrap();
    etc.set_modified(std::time::SystemTime::now()).unwrap();
    assert!(!has_times(&patch, &directory, true).unwrap());
    let again = run(&patch, &directory, Direction::Apply).unwrap();
    assert_eq!((again.found, again.objects_changed), (FilesState::Applied, 1));
    assert!(has_times(&patch, &directory, true).unwrap());
    assert_eq!(run(&patch, &directory, Direction::Apply).unwrap().objects_changed, 0);
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
