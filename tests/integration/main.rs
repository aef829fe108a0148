//! Black-box tests of the binary and of the library, judged by programs that are not ours.
//!
//! One binary, so that the crate is linked once. Every oracle is an installed program (`tests/run` installs
//! them); a missing one fails the test and names its package. Nothing here skips.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod access_lists;
mod bad_input;
mod broken;
mod btrfs_crashes;
mod btrfs_reader;
mod btrfs_systems;
mod cli_commands;
mod cli_fields;
mod cli_options;
mod cli_subvolumes;
mod containers;
mod damage;
mod damaged_places;
mod dirty;
mod dirty_edits;
mod dirty_program;
mod end_to_end;
mod harness;
mod kernel;
mod key_life;
mod key_verdict;
mod killed;
mod layers;
mod layout;
mod linux_password;
mod login_scenarios;
mod login_truth;
mod luks;
mod lvm;
mod matrix;
mod md;
mod mounted_root;
mod mounted_root_attacks;
mod mounted_root_kills;
mod mounted_root_mounts;
mod mounted_root_plans;
mod mounted_root_windows;
mod mounts;
mod needs_check;
mod ntfs_broken;
mod ntfs_checker;
mod ntfs_damage;
mod ntfs_matrix;
mod ntfs_random;
mod ntfs_reader;
mod ntfs_rules;
mod patch_files;
mod place_matrix;
mod random;
mod reader;
mod recognised;
mod root_only;
mod stacks;
mod stacks_luks;
mod stacks_md;
mod support;
mod vm;
mod windows;
mod windows_fallbacks;
mod windows_refusals;
mod xfs_damage;
mod xfs_devices;
mod xfs_dirty;
mod xfs_end_to_end;
mod xfs_fixtures;
mod xfs_matrix;
mod xfs_random;
mod xfs_reader;
