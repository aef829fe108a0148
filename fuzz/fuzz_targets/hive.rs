//! A damaged registry hive with damaged logs, read and edited.
//!
//! Invariant: no panic, and an end; what was edited is a clean hive.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regain_fuzz::try_hive(bytes);
});
