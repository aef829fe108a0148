//! Metadata of volume groups: no panic, an end, and every logical volume lies on its disk.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk as _, DiskEdit};
use regain::volume::lvm::{LogicalDisk, assemble, read};
use std::sync::Arc;

fuzz_target!(|text: &[u8]| {
    let disk = Arc::new(MemoryDisk::new(regain_fuzz::physical_volume(text)));
    let Ok(physical) = read(disk.as_ref()) else { return };
    for group in assemble(&[physical]) {
        for volume in group.logical_volumes {
            let Ok(mapping) = volume.mapping else { continue };
            let below: Arc<dyn DiskEdit> = Arc::new(Overlay::new(disk.clone()));
            let disk = LogicalDisk::new(mapping, vec![below]).expect("one member");
            disk.read_vec(disk.len_bytes() - 1, 1).expect("inside");
        }
    }
});
