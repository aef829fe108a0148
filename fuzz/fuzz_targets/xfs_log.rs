//! A whole edit on an XFS whose log is dirty and damaged.
//!
//! Invariant: no panic, and an end; either every edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regain_fuzz::edit_xfs(regain_fuzz::damaged_xfs_log(bytes));
});
