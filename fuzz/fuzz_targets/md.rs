//! Superblocks of RAID: no panic, an end, and the mirror lies on its disk.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk as _, DiskEdit};
use regain::volume::md::{Mirror, Superblock, assemble};
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let disk = Arc::new(MemoryDisk::new(regain_fuzz::md_member(bytes)));
    let Ok(Some(superblock)) = Superblock::read(disk.as_ref()) else { return };
    for array in assemble(&[superblock]) {
        let Ok(layout) = array.layout else { continue };
        let below: Arc<dyn DiskEdit> = Arc::new(Overlay::new(disk.clone()));
        let mirror = Mirror::new(&layout, vec![below]).expect("one member");
        mirror.read_vec(mirror.len_bytes() - 1, 1).expect("inside");
    }
});
