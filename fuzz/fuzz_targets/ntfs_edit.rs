//! An edit of a damaged NTFS volume.
//!
//! Invariant: no panic; either the edit is refused, or what was written can be read back.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    regain_fuzz::edit_ntfs(bytes);
});
