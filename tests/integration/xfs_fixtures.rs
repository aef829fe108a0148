//! The XFS volumes in `fixtures/xfs` are what they claim: whole, listed, and as the outside checker wants them.

use crate::support::digest;
use crate::support::scratch::Scratch;
use crate::support::xfs_image;
use crate::support::xfs_tools::{self, RepairVerdict};

#[test]
fn every_fixture_is_listed_and_whole() {
    let scratch = Scratch::new();
    let index = xfs_image::index();
    for line in &index {
        let path = xfs_image::unpack(&scratch, &line.name);
        assert_eq!(digest::of_file(&path), line.digest, "{}", line.name);
        std::fs::remove_file(path).unwrap();
    }
    let listed: Vec<&str> = index.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(xfs_image::names(), listed);
}

#[test]
fn the_outside_checker_is_silent_about_every_fixture() {
    let scratch = Scratch::new();
    for name in xfs_image::names() {
        let path = xfs_image::unpack(&scratch, &name);
        let log = xfs_image::unpack_log(&scratch, &name);
        let verdict = xfs_tools::repair(&path, log.as_deref());
        // A realtime volume cannot be checked without its second device.
        if !name.starts_with("realtime") {
            assert_eq!(verdict, RepairVerdict::Silent, "{name}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_outside_checker_finds_a_wrong_count() {
    let scratch = Scratch::new();
    let path = xfs_image::unpack(&scratch, "default");
    let path = path.to_str().unwrap();
    let output = xfs_tools::run("xfs_db", &["-x", "-c", "sb 0", "-c", "write fdblocks 1", path]);
    assert!(output.status.success(), "{output:?}");
    let verdict = xfs_tools::repair(path.as_ref(), None);
    assert!(matches!(verdict, RepairVerdict::Findings(_)), "{verdict:?}");
}
