//! Everything on a damaged Btrfs is read.
//!
//! Invariant: no panic, and an end.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::known;
use regain::fs::probe::ProbeKind;
use regain_fuzz::attempt::{self, CLOCK, XFS};

fuzz_target!(|bytes: &[u8]| {
    let disk = regain_fuzz::damaged_btrfs(bytes);
    let Ok(fs) = known::open(ProbeKind::Btrfs, disk, CLOCK) else { return };
    let _ = fs.check_writable();
    let _ = fs.subvolumes();
    // Filled by the same script.
    attempt::walk(fs.as_file_system(), &XFS);
});
