//! A whole edit on a damaged ext file system.
//!
//! Invariant: no panic; either every edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::ext::Ext;
use regain_fuzz::attempt::{self, CLOCK, EXT};

fuzz_target!(|bytes: &[u8]| {
    let overlay = regain_fuzz::damaged(bytes);
    let Ok(mut fs) = Ext::open(overlay.clone(), CLOCK) else { return };
    if attempt::edit(&mut fs, &EXT).is_err() {
        return;
    }
    // Damage elsewhere may still hide from a fresh reader what the edit did, but must not change it.
    let Ok(again) = Ext::open(overlay, CLOCK) else { return };
    regain_fuzz::assert_line(&again);
});
