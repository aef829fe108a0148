//! What the targets share: good inputs, and damage made from the bytes of the fuzzer.

// What is tried serves the targets and the black-box tests.
#[path = "../../tests/integration/support/attempt.rs"]
pub mod attempt;
mod btrfs;
mod container;
mod hive;
#[path = "../../tests/integration/support/lvm_build.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod lvm_build;
#[path = "../../tests/integration/support/md_build.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod md_build;
mod layers;
mod ntfs;
mod tree;
mod volume;
mod windows;
mod xfs;

pub use btrfs::{damaged_btrfs, edit_btrfs};
pub use container::try_container;
pub use hive::try_hive;
pub use layers::{luks2_header, md_member, physical_volume};
pub use ntfs::{NTFS, damaged_ntfs, edit_ntfs, ntfs_expectations};
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::{Change, Overlay};
use regain::fs::FileSystem;
use regain::fs::path::{self, GuestPath};
use regain::patch::{self, Description, Patch, TargetIdentity};
use std::io::Read as _;
use std::sync::{Arc, LazyLock};
pub use tree::linux;
pub use windows::{WindowsFile, windows_file};
pub use xfs::{damaged_xfs, damaged_xfs_log, edit_xfs};

/// Good file systems of different features, made by `fixtures/fuzz/generate`.
static FILE_SYSTEMS: LazyLock<Vec<Good>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/fuzz/ext4.zst").as_slice(),
        include_bytes!("../../fixtures/fuzz/ext2.zst"),
        include_bytes!("../../fixtures/fuzz/inline.zst"),
        include_bytes!("../../fixtures/fuzz/journal.zst"),
        include_bytes!("../../fixtures/fuzz/dirty.zst"),
    ]
    .map(|compressed| Good::new(unpack(compressed)))
    .into()
});

/// Good disks with partitions, from the same script.
static DISKS: LazyLock<Vec<Good>> = LazyLock::new(|| {
    [
        include_bytes!("../../fixtures/fuzz/gpt.zst").as_slice(),
        include_bytes!("../../fixtures/fuzz/mbr.zst"),
    ]
    .map(|compressed| Good::new(unpack(compressed)))
    .into()
});

static PATCHES: LazyLock<Vec<Good>> = LazyLock::new(|| {
    let identity = TargetIdentity {
        size_bytes: 1 << 20,
        sector_size_bytes: 512,
        table_guid: None,
        volumes: Vec::new(),
        parts: Vec::new(),
    };
    let description = Description {
        regain_version: "0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        command: "key add".to_owned(),
        identity,
        files: Vec::new(),
    };
    let change = |offset_bytes, after: u8| Change {
        offset_bytes,
        before: vec![0; 512],
        after: vec![after; 512],
        labels: vec!["superblock".to_owned(), "inode 12".to_owned()],
    };
    let changes = vec![change(0, 1), change(4096, 2)];
    let patch = Patch::new(description, changes).expect("a good patch");
    let files = unpack(include_bytes!("../../fixtures/fuzz/files-patch.zst"));
    vec![Good::new(patch::encode(&patch).expect("a good patch")), Good::new(files)]
});

/// The unit of damage: the block size of all file systems.
const BLOCK_BYTES: usize = 1024;

struct Good {
    bytes: Vec<u8>,
    /// The blocks that hold something.
    used: Vec<usize>,
}

impl Good {
    fn new(bytes: Vec<u8>) -> Self {
        let blocks = bytes.chunks(BLOCK_BYTES).enumerate();
        // Zeros are free space, `x` is the content of a file.
        let is_used = |block: &[u8]| block.iter().any(|byte| !matches!(byte, 0 | b'x'));
        let used = blocks.filter(|(_, block)| is_used(block)).map(|(index, _)| index).collect();
        Self { bytes, used }
    }
}

fn unpack(compressed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(compressed).expect("a fixture");
    decoder.read_to_end(&mut bytes).expect("a fixture");
    bytes
}

/// A good input with damage: the first byte chooses the input, then each group of six bytes is a block that
/// holds something (two bytes, little-endian, modulo their number), an offset in it, and the two bytes that
/// go there.
fn damage(good: &[Good], bytes: &[u8]) -> Vec<u8> {
    let (choice, groups) = bytes.split_first().unwrap_or((&0, &[]));
    let good = &good[usize::from(*choice) % good.len()];
    let mut damaged = good.bytes.clone();
    for group in groups.chunks_exact(6) {
        let [block, offset] = [[group[0], group[1]], [group[2], group[3]]]
            .map(|pair| usize::from(u16::from_le_bytes(pair)));
        let at = good.used[block % good.used.len()] * BLOCK_BYTES + offset % BLOCK_BYTES;
        for (place, byte) in damaged.iter_mut().skip(at).zip(&group[4..]) {
            *place = *byte;
        }
    }
    damaged
}

/// A damaged file system, ready to be edited.
pub fn damaged(bytes: &[u8]) -> Arc<Overlay> {
    Arc::new(Overlay::new(Arc::new(MemoryDisk::new(damage(&FILE_SYSTEMS, bytes)))))
}

/// The input as it is, or a damaged disk with partitions if its first byte is odd.
pub fn raw_or_disk(bytes: &[u8]) -> Vec<u8> {
    raw_or(&DISKS, bytes)
}

/// The input as it is, or a damaged patch file if its first byte is odd.
pub fn raw_or_patch(bytes: &[u8]) -> Vec<u8> {
    raw_or(&PATCHES, bytes)
}

fn raw_or(good: &[Good], bytes: &[u8]) -> Vec<u8> {
    match bytes.split_first() {
        Some((choice, rest)) if choice % 2 == 1 => damage(good, rest),
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    }
}

/// Fails if a fresh reader finds the new file with another content.
pub fn assert_line(fs: &dyn FileSystem) {
    let file = GuestPath::new(attempt::NEW_FILE);
    if let Ok(Some(content)) = path::read_file(fs, &file, 1 << 20) {
        assert_eq!(content, attempt::LINE);
    }
}
