//! The XFS volumes in `fixtures/xfs` are what they claim: whole, listed, and as the outside checker wants them.

use crate::support::digest;
use crate::support::scratch::Scratch;
use crate::support::xfs_image;
use crate::support::xfs_tools::{self, RepairVerdict};

#[test]
fn every_fixture_is_listed_and_whole() {
    let scratch = Scratch::new();
    for (below, names) in [(".", xfs_image::names()), ("dirty", xfs_image::dirty_names())] {
        let index = xfs_image::index(below);
        let listed: Vec<&str> = index.iter().map(|line| line.name.as_str()).collect();
        let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches("dirty/")).collect();
        assert_eq!(names, listed);
        for line in &index {
            let path = xfs_image::unpack(&scratch, &format!("{below}/{}", line.name));
            assert_eq!(digest::of_file(&path), line.digest, "{below}/{}", line.name);
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn the_outside_checker_sees_that_the_log_is_dirty() {
    let scratch = Scratch::new();
    let names = xfs_image::dirty_names();
    assert!(names.len() >= 30, "{}", names.len());
    for name in names {
        let path = xfs_image::unpack(&scratch, &name);
        assert_eq!(xfs_tools::repair(&path, None), RepairVerdict::Dirty, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_outside_checker_is_silent_about_every_fixture() {
    let scratch = Scratch::new();
    for name in xfs_image::names() {
        let path = xfs_image::unpack(&scratch, &name);
        let log = xfs_image::unpack_log(&scratch, &name);
        // The checker wants the realtime device, but reads nothing of it without reverse mappings there.
        let realtime = name.starts_with("realtime").then(|| scratch.join("realtime"));
        if let Some(path) = &realtime {
            std::fs::File::create(path).unwrap().set_len(64 << 20).unwrap();
        }
        let verdict = xfs_tools::repair_with(&path, log.as_deref(), realtime.as_deref());
        // Debian 13 does not check shared extents on a realtime device.
        if name != "realtime-metadir" {
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
