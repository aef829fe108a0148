//! Damaged Btrfs volumes.

use super::attempt::{self, CLOCK, XFS};
use super::unpack;
use super::volume::Volume;
use regain::disk::overlay::Overlay;
use regain::fs::known;
use regain::fs::probe::ProbeKind;
use std::sync::{Arc, LazyLock};

/// Where the UUID of tree blocks is in the first superblock, and in a tree block.
const SUPERBLOCK_AT: usize = 65536;
const UUID_AT: usize = 32;

/// The superblock, and the start of every tree block, which has the UUID of the volume.
fn volume(compressed: &[u8]) -> Volume {
    let bytes = unpack(compressed);
    let at = SUPERBLOCK_AT + UUID_AT;
    let uuid = bytes[at..at + 16].to_vec();
    Volume::new(bytes, move |sector| sector[UUID_AT..UUID_AT + 16] == uuid)
}

static VOLUMES: LazyLock<Vec<Volume>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/btrfs/mixed.zst").as_slice(),
        include_bytes!("../../fixtures/btrfs/sha256.zst"),
        include_bytes!("../../fixtures/btrfs/default.zst"),
        include_bytes!("../../fixtures/btrfs/dirty/rename-between.zst"),
        include_bytes!("../../fixtures/btrfs/dirty/holes.zst"),
    ]
    .map(volume)
    .into()
});

/// A volume with damaged structures.
pub fn damaged_btrfs(bytes: &[u8]) -> Arc<Overlay> {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    VOLUMES[usize::from(*choice) % VOLUMES.len()].damaged(rest)
}

/// Edits a volume, and reads back.
pub fn edit_btrfs(disk: Arc<Overlay>) {
    let Ok(mut fs) = known::open(ProbeKind::Btrfs, disk.clone(), CLOCK) else { return };
    // Filled by the same script.
    let edited = attempt::edit(&mut *fs, &XFS).and_then(|()| fs.finish());
    if edited.is_err() {
        return;
    }
    // Damage elsewhere may still hide from a fresh reader what the edit did, but must not change it.
    let Ok(again) = known::open(ProbeKind::Btrfs, disk, CLOCK) else { return };
    super::assert_line(again.as_file_system());
}
