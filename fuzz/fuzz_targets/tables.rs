//! Partition tables: no panic, no unbounded loop, and every volume lies inside the disk.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::disk::Disk as _;
use regain::disk::memory::MemoryDisk;

fuzz_target!(|bytes: &[u8]| {
    let disk = MemoryDisk::new(regain_fuzz::raw_or_disk(bytes));
    if let Ok(layout) = regain::volume::find(&disk) {
        for volume in layout.volumes {
            let end = volume.offset_bytes.checked_add(volume.size_bytes).expect("checked by find");
            assert!(end <= disk.len_bytes());
        }
    }
});
