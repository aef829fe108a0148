//! Recognising a file system: no panic on anything.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::disk::memory::MemoryDisk;

fuzz_target!(|bytes: &[u8]| {
    let _ = regain::fs::probe::probe(&MemoryDisk::new(bytes.to_vec()));
});
