//! A whole edit on a damaged Btrfs.
//!
//! Invariant: no panic, and an end; either every edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regain_fuzz::edit_btrfs(regain_fuzz::damaged_btrfs(bytes));
});
