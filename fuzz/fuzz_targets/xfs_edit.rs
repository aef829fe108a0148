//! A whole edit on a damaged XFS.
//!
//! Invariant: no panic; either every edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regain_fuzz::edit_xfs(regain_fuzz::damaged_xfs(bytes));
});
