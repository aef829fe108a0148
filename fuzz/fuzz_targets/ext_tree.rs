//! Everything on a damaged ext file system is read.
//!
//! Invariant: no panic, and an end.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::FileSystem;
use regain::fs::ext::Ext;
use regain_fuzz::attempt::{self, CLOCK, EXT};

fuzz_target!(|bytes: &[u8]| {
    let Ok(fs) = Ext::open(regain_fuzz::damaged(bytes), CLOCK) else { return };
    let _ = fs.check_writable();
    attempt::walk(&fs, &EXT);
});
