//! Everything on a damaged NTFS volume is read, and the readers that verify an edit look at it.
//!
//! Invariant: no panic, and an end.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::known::{self, Fresh};
use regain::fs::probe::{ProbeKind, probe};
use regain_fuzz::NTFS;
use regain_fuzz::attempt::{self, CLOCK};

fuzz_target!(|bytes: &[u8]| {
    let disk = regain_fuzz::damaged_ntfs(bytes);
    let _ = probe(&*disk);
    let Ok(fs) = known::open(ProbeKind::Ntfs, disk.clone(), CLOCK) else { return };
    let _ = fs.check_writable();
    attempt::walk(fs.as_file_system(), &NTFS);
    let expectations = regain_fuzz::ntfs_expectations();
    let Ok(fresh) = Fresh::open(ProbeKind::Ntfs, disk, &[], CLOCK) else { return };
    let _ = fresh.verify(&[0..1 << 20], &expectations);
});
