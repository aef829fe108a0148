//! Damaged XFS volumes.

use super::attempt::{self, CLOCK, XFS};
use super::unpack;
use super::volume::Volume;
use regain::disk::overlay::Overlay;
use regain::fs::known;
use regain::fs::probe::ProbeKind;
use std::sync::{Arc, LazyLock};

/// How structures begin that are worth damaging; file contents are not.
const MAGICS: [&[u8]; 17] = [
    b"XFSB", b"XAGF", b"XAGI", b"XAFL", b"AB3B", b"AB3C", b"IAB3", b"FIB3", b"RMB3", b"R3FC",
    b"BMA3", b"IN\x41", b"IN\x81", b"XDB3", b"XDD3", b"XDF3", b"XSLM",
];

/// The magic numbers of nodes and leaves of directories and attributes, behind two links.
const DA_MAGICS: [[u8; 2]; 4] = [[0x3e, 0xbe], [0x3d, 0xf1], [0x3d, 0xff], [0x3b, 0xee]];

/// The start of a log record.
const LOG_MAGIC: [u8; 4] = [0xfe, 0xed, 0xba, 0xbe];

fn is_metadata(sector: &[u8]) -> bool {
    MAGICS.iter().any(|magic| sector.starts_with(magic))
        || DA_MAGICS.iter().any(|magic| sector[8..10] == *magic)
}

static VOLUMES: LazyLock<Vec<Volume>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/xfs/default.zst").as_slice(),
        include_bytes!("../../fixtures/xfs/rhel7.zst"),
        include_bytes!("../../fixtures/xfs/parent-1k.zst"),
        include_bytes!("../../fixtures/xfs/v4.zst"),
    ]
    .map(|compressed| Volume::new(unpack(compressed), is_metadata))
    .into()
});

static LOGS: LazyLock<Vec<Volume>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/xfs/dirty/create.zst").as_slice(),
        include_bytes!("../../fixtures/xfs/dirty/xattrs-parent.zst"),
        include_bytes!("../../fixtures/xfs/dirty/log-wrapped-rmap.zst"),
        include_bytes!("../../fixtures/xfs/dirty/pending-rmap.zst"),
    ]
    .map(|compressed| Volume::new(unpack(compressed), |sector| sector.starts_with(&LOG_MAGIC)))
    .into()
});

fn choose<'a>(volumes: &'a [Volume], bytes: &'a [u8]) -> (&'a Volume, &'a [u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    (&volumes[usize::from(*choice) % volumes.len()], rest)
}

/// A volume with damaged structures.
pub fn damaged_xfs(bytes: &[u8]) -> Arc<Overlay> {
    let (volume, rest) = choose(&VOLUMES, bytes);
    volume.damaged(rest)
}

/// A volume with a dirty log, and damage in it.
pub fn damaged_xfs_log(bytes: &[u8]) -> Arc<Overlay> {
    let (volume, rest) = choose(&LOGS, bytes);
    volume.damaged(rest)
}

/// Edits a volume, and reads back.
pub fn edit_xfs(disk: Arc<Overlay>) {
    let Ok(mut fs) = known::open(ProbeKind::Xfs, disk.clone(), CLOCK) else { return };
    if attempt::edit(&mut *fs, &XFS).is_err() {
        return;
    }
    // Damage elsewhere may still hide from a fresh reader what the edit did, but must not change it.
    let Ok(again) = known::open(ProbeKind::Xfs, disk, CLOCK) else { return };
    super::assert_line(again.as_file_system());
}
