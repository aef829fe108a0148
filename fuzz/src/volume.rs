//! Volumes that are larger than others, so that damage is laid over one copy in memory.

use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk, DiskEdit};
use std::sync::Arc;

/// The unit of damage.
const SECTOR: usize = 512;

/// A good volume.
pub(crate) struct Volume {
    disk: Arc<MemoryDisk>,
    /// Offsets of sectors.
    targets: Vec<u64>,
}

impl Volume {
    /// Damage goes to the sectors that are `wanted`.
    pub(crate) fn new(bytes: Vec<u8>, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let sectors = bytes.chunks(SECTOR).enumerate();
        let targets = sectors.filter(|(_, sector)| wanted(sector));
        let targets = targets.map(|(index, _)| (index * SECTOR) as u64).collect();
        Self { targets, disk: Arc::new(MemoryDisk::new(bytes)) }
    }

    /// Each group of six bytes is a sector (two bytes, modulo their number), an offset in it and behind it up to
    /// eight sectors, and the two bytes that go there.
    pub(crate) fn damaged(&self, bytes: &[u8]) -> Arc<Overlay> {
        let disk: Arc<dyn Disk> = self.disk.clone();
        let damaged = Overlay::new(disk);
        for group in bytes.chunks_exact(6) {
            let [sector, offset] = [[group[0], group[1]], [group[2], group[3]]]
                .map(|pair| usize::from(u16::from_le_bytes(pair)));
            let at = self.targets[sector % self.targets.len()] + (offset % (8 * SECTOR)) as u64;
            let _ = damaged.write_at(at, &group[4..], "damage");
        }
        Arc::new(damaged)
    }
}
