//! XFS volumes whose log a real kernel left dirty (`fixtures/xfs/dirty`): what we read from them, and that an edit
//! is what the kernel's own replay of an untouched copy gives, plus the edit.
//!
//! `root_only_` tests need root and loop devices; what the kernel makes of each volume is also recorded in `.tree.zst`
//! files, so that the others need neither.

use crate::support::scratch::Scratch;
use crate::support::tree::{self, Difference, Tree};
use crate::support::xfs_bench::{self, XfsBench};
use crate::support::xfs_mount::Mount;
use crate::support::xfs_tools::RepairVerdict;
use crate::support::{root, tools, xfs_image, xfs_tools, xfs_tree};
use regain::fs::probe::ProbeKind;
use regain::fs::{Timestamp, known};

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_kernel_replays_every_dirty_volume_as_recorded() {
    let scratch = Scratch::new();
    for name in xfs_image::dirty_names() {
        let path = xfs_image::unpack(&scratch, &name);
        drop(Mount::new(&path, None, &scratch.join("mount"), "rw"));
        xfs_tools::assert_silent(&path, &name);
        let mount = Mount::new(&path, None, &scratch.join("mount"), "ro");
        xfs_image::assert_recorded(&name, &xfs_tree::of_kernel(mount.root()));
        drop(mount);
        std::fs::remove_file(path).unwrap();
    }
}

/// An intent that nobody finished: only the kernel can.
fn is_pending(name: &str) -> bool {
    name.starts_with("dirty/pending-")
}

#[test]
fn our_replay_shows_what_that_of_the_kernel_does() {
    let scratch = Scratch::new();
    let mut wrong = Vec::new();
    for name in xfs_image::dirty_names() {
        let path = xfs_image::unpack(&scratch, &name);
        let overlay = xfs_image::overlay(&path);
        match known::open(ProbeKind::Xfs, overlay, Timestamp::default()) {
            Ok(fs) => {
                let found = xfs_tree::of_reader(fs.as_file_system());
                // What is pending shows as it was before.
                if !is_pending(&name) {
                    xfs_tree::assert_equal(&xfs_image::recorded_tree(&name), &found, &name);
                }
            }
            Err(error) if is_pending(&name) => println!("{name}: {error}"),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
        std::fs::remove_file(path).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Edits every volume. Only one with an open intent may be refused.
fn edit_each(judge: impl Fn(&str, &XfsBench, &Tree)) {
    let mut refused = Vec::new();
    for name in xfs_image::dirty_names() {
        let bench = XfsBench::of_fixture(&name);
        let run = bench.key_add(&[]);
        if run.status == 4 && is_pending(&name) {
            refused.push(format!("{name}: {}", run.failure(&[4])["message"]));
            bench.assert_untouched();
            continue;
        }
        let document = run.success();
        assert_eq!(document["result"]["changed"], true, "{name}: {document}");
        let before = xfs_image::recorded_tree(&name);
        judge(&name, &bench, &before);
        bench.undo(&document);
    }
    println!("refused: {refused:#?}");
}

/// The key file as the machine would have it, and our key at its end.
fn assert_edited(name: &str, before: &Tree, after: &Tree) {
    let had_key_file = before.0.contains_key(root::KEY_FILE);
    let mut differences = tree::diff(before, after);
    let difference = differences.remove(root::KEY_FILE);
    if had_key_file {
        let Some(Difference::Changed(fields)) = difference else {
            panic!("{name}: {difference:?}")
        };
        let may_change = ["content", "ctime", "mtime", "size"];
        assert!(fields.iter().all(|f| may_change.contains(&f.as_str())), "{name}: {fields:?}");
    } else {
        assert_eq!(difference, Some(Difference::Added), "{name}");
        differences.remove("/home/admin/.ssh");
        differences.remove("/home/admin");
    }
    assert!(differences.is_empty(), "{name}: not intended: {differences:#?}");
}

#[test]
fn the_checker_is_silent_after_an_edit_of_a_replayed_volume() {
    let (mut commuted, mut replayed) = (0, 0);
    let counts = std::cell::RefCell::new((&mut commuted, &mut replayed));
    edit_each(|name, bench, before| {
        let mut counts = counts.borrow_mut();
        match xfs_tools::repair(bench.image(), None) {
            // The edit touches nothing that the log names, and leaves the replay to the kernel.
            RepairVerdict::Dirty => *counts.0 += 1,
            verdict => {
                assert_eq!(verdict, RepairVerdict::Silent, "{name}");
                *counts.1 += 1;
            }
        }
        // What is pending shows as it was before.
        if is_pending(name) {
            return;
        }
        let overlay = xfs_image::overlay(bench.image());
        let fs = known::open(ProbeKind::Xfs, overlay, xfs_bench::CLOCK).unwrap();
        assert_edited(name, before, &xfs_tree::of_reader(fs.as_file_system()));
    });
    println!("{commuted} edited beside the log, {replayed} replayed");
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_kernel_takes_an_edit_of_every_dirty_volume() {
    edit_each(|name, bench, before| {
        let copy = bench.scratch().join("copy.img");
        tools::copy_sparse(bench.image(), &copy);
        let place = bench.scratch().join("mount");
        let mount = Mount::new(&copy, None, &place, "rw");
        let after = xfs_tree::of_kernel(mount.root());
        assert_edited(name, before, &after);
        let keys = std::fs::read_to_string(mount.path(root::KEY_FILE)).unwrap();
        assert!(keys.ends_with(root::NEW_KEY), "{name}: {keys}");
        drop(mount);
        xfs_tools::assert_silent(&copy, &format!("{name}: after the kernel"));
        let mount = Mount::new(&copy, None, &place, "rw");
        xfs_bench::use_it(mount.root());
        drop(mount);
        xfs_tools::assert_silent(&copy, &format!("{name}: after the kernel wrote"));
    });
}
