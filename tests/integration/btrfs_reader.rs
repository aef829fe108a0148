//! Our reader shows every Btrfs volume as the kernel does.

use crate::support::btrfs_image;
use crate::support::scratch::Scratch;
use crate::support::{tools, xfs_tree};
use regain::fs::probe::ProbeKind;
use regain::fs::{Health, Timestamp, known};

fn open(path: &std::path::Path) -> Box<dyn regain::fs::FileEdit> {
    let overlay = btrfs_image::overlay(path);
    let fs = known::open(ProbeKind::Btrfs, overlay, Timestamp::default());
    fs.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `of`th volume of those in a folder, beginning with number `first`.
fn share(below: &str, first: usize, of: usize) -> Vec<String> {
    btrfs_image::names(below).into_iter().skip(first).step_by(of).collect()
}

fn assert_shown(below: &str, first: usize, health: Health) {
    let scratch = Scratch::new();
    for name in share(below, first, 4) {
        let path = btrfs_image::unpack(&scratch, &name);
        let fs = open(&path);
        assert_eq!((fs.health(), fs.warnings()), (health, [].as_slice()), "{name}");
        let stubs = xfs_tree::of_reader(fs.as_file_system());
        let mut found = stubs.clone();
        let mut recorded = btrfs_image::recorded_tree(&name);
        btrfs_image::without_stub_times(&mut found, &stubs);
        btrfs_image::without_stub_times(&mut recorded, &stubs);
        xfs_tree::assert_equal(&recorded, &found, &name);
        std::fs::remove_file(path).unwrap();
    }
}

/// The tests of a folder in four parts, so that they run side by side.
macro_rules! four_parts {
    ($module:ident, $below:literal, $health:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn first_part() {
                assert_shown($below, 0, $health);
            }

            #[test]
            fn second_part() {
                assert_shown($below, 1, $health);
            }

            #[test]
            fn third_part() {
                assert_shown($below, 2, $health);
            }

            #[test]
            fn fourth_part() {
                assert_shown($below, 3, $health);
            }
        }
    };
}

four_parts!(our_reader_shows_what_the_kernel_showed, "", Health::Clean);
four_parts!(our_reader_replays_a_log_as_the_kernel_did, "dirty/", Health::JournalDirty);

/// `btrfs restore` is a reader of its own.
#[test]
fn contents_are_those_that_btrfs_restore_gives() {
    let scratch = Scratch::new();
    for name in ["default", "blake2", "mixed"] {
        let path = btrfs_image::unpack(&scratch, name);
        let target = scratch.join(name);
        std::fs::create_dir(&target).unwrap();
        tools::succeed("btrfs", &["restore", path.to_str().unwrap(), target.to_str().unwrap()]);
        let fs = open(&path);
        let mut count = 0;
        for (file, fields) in xfs_tree::of_reader(fs.as_file_system()).0 {
            let restored = target.join(file.trim_start_matches('/'));
            // It leaves out subvolumes, and files of terabytes.
            let is_small = fields["size"].parse::<u64>().unwrap() < 1 << 26;
            if fields["type"] == "File" && is_small && restored.is_file() {
                let digest = crate::support::digest::of_file(&restored);
                assert_eq!(fields["content"], digest, "{name}: {file}");
                count += 1;
            }
        }
        assert!(count > 30, "{name}: only {count} files were compared");
    }
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_the_kernel_reads_every_btrfs_fixture_as_recorded() {
    let scratch = Scratch::new();
    for name in btrfs_image::names("").into_iter().chain(btrfs_image::names("dirty/")) {
        let path = btrfs_image::unpack(&scratch, &name);
        // The kernel replays a log only where it can write.
        let options =
            if name.starts_with("dirty/") { "subvolid=5,noatime" } else { "subvolid=5,ro" };
        let mount = btrfs_image::mount(&path, &scratch.join("mount"), options);
        let mut shown = xfs_tree::of_kernel(mount.root());
        let stubs = xfs_tree::of_reader(open(&path).as_file_system());
        btrfs_image::without_stub_times(&mut shown, &stubs);
        btrfs_image::assert_recorded(&name, &shown);
        drop(mount);
        std::fs::remove_file(path).unwrap();
    }
}
