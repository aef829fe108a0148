//! Volumes of machines that did not shut down: a dirty journal is replayed into the overlay, and
//! what comes out is the volume that the journal was written for.
//!
//! An image is edited with debugfs, and the blocks that changed are put into a log of the image
//! before the edit. Opening it must give the image after the edit, but for the state in the two
//! superblocks.

use crate::support::image::ImageBuilder;
use crate::support::jbd2::{Checksum, LogWriter, blocks_of};
use crate::support::scratch::Scratch;
use crate::support::{oracle, root, tools};
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk, DiskEdit};
use regain::fs::ext::{Ext, verify};
use regain::fs::path::{GuestPath, read_file};
use regain::fs::verify::{Expectation, Expected, Owner, Verdict};
use regain::fs::{FileSystem, Health, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const CLOCK: Timestamp = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
pub(crate) const BLOCK: usize = 4096;
pub(crate) const FILE: &str = "/etc/from-the-journal";

/// A clean image, the same after an edit, and the first with the edit in its journal.
pub(crate) struct Dirty {
    pub(crate) scratch: Scratch,
    after: Vec<u8>,
    pub(crate) path: PathBuf,
    content: Vec<u8>,
    journal: Vec<u64>,
}

pub(crate) fn dirty(
    builder: &ImageBuilder,
    checksum: Checksum,
    has_64bit: bool,
    start: u32,
) -> Dirty {
    let scratch = Scratch::new();
    let path = builder.clone().nodes(root::with_key()).build_in(&scratch, "before.img");
    let before = std::fs::read(&path).unwrap();
    // The data block starts with the magic of the journal, and so must be escaped.
    let mut content = vec![0xc0, 0x3b, 0x39, 0x98];
    content.resize(9000, b'j');
    let host = scratch.join("content");
    std::fs::write(&host, &content).unwrap();
    let edited = scratch.join("after.img");
    std::fs::write(&edited, &before).unwrap();
    let commands = [
        format!("write {} {FILE}", host.to_str().unwrap()),
        "rm /etc/hostname".to_owned(),
        format!("sif {FILE} uid 1000"),
    ];
    crate::support::image::edit(&edited, &commands);
    builder.settle(&edited);
    oracle::assert_clean(&edited, 0, "after the edit");
    let after = std::fs::read(&edited).unwrap();
    let journal = blocks_of(&path, 8);
    let changed: Vec<(u64, Vec<u8>)> = before
        .chunks(BLOCK)
        .zip(after.chunks(BLOCK))
        .enumerate()
        .filter(|(_, (before, after))| before != after)
        .map(|(block, (_, after))| (block as u64, after.to_vec()))
        .collect();
    assert!(changed.len() > 3, "the edit must change something");
    let mut image = before;
    let start = if start == 0 { journal.len() as u32 - 4 } else { start };
    let mut log = LogWriter::new(&mut image, journal.clone(), checksum, has_64bit, 0, (start, 9));
    // First rubbish for all of them, which the second transaction makes good; then a block that was
    // freed.
    let rubbish: Vec<_> = changed.iter().map(|(block, _)| (*block, vec![0x77; BLOCK])).collect();
    log.transaction(&rubbish, &[], true);
    let spare = (image_blocks(&after) - 3, vec![0x99; BLOCK]);
    log.transaction(&[changed, vec![spare.clone()]].concat(), &[], true);
    log.transaction(&[], &[spare.0], true);
    log.transaction(&[(spare.0, vec![0x11; BLOCK])], &[], false);
    let path = scratch.join("dirty.img");
    std::fs::write(&path, image).unwrap();
    Dirty { scratch, after, path, content, journal }
}

pub(crate) fn image_blocks(bytes: &[u8]) -> u64 {
    (bytes.len() / BLOCK) as u64
}

pub(crate) fn overlay(path: &Path) -> Arc<Overlay> {
    Arc::new(Overlay::new(Arc::new(MemoryDisk::new(std::fs::read(path).unwrap()))))
}

pub(crate) fn bytes_of(disk: &Overlay) -> Vec<u8> {
    disk.read_vec(0, disk.len_bytes() as usize).unwrap()
}

/// The formats that distributions and administrators have.
pub(crate) fn variants() -> Vec<(&'static str, ImageBuilder, Checksum, bool, u32)> {
    let ext4 = |features: &str| ImageBuilder::new("ext4", 32).features(features);
    let ext3 = ImageBuilder::new("ext3", 32);
    vec![
        ("ext3", ext3.clone(), Checksum::None, false, 1),
        ("ext3 wrapped", ext3, Checksum::None, false, 0),
        ("csum v1", ext4("^metadata_csum,^64bit"), Checksum::V1, false, 5),
        ("csum v1 64bit", ext4("^metadata_csum,64bit"), Checksum::V1, true, 0),
        ("csum v2", ext4("metadata_csum"), Checksum::V2, true, 5),
        ("csum v3", ext4("metadata_csum"), Checksum::V3, true, 0),
        ("csum v3 seed", ext4("metadata_csum,metadata_csum_seed"), Checksum::V3, true, 1),
        ("csum v3 orphan file", ext4("metadata_csum,orphan_file"), Checksum::V3, true, 1),
        ("csum v3 quota", ext4("metadata_csum,quota,project"), Checksum::V3, true, 3),
        ("csum v3 fast commit", ext4("metadata_csum,fast_commit"), Checksum::V3, true, 1),
    ]
}

#[test]
fn a_dirty_volume_opens_as_the_volume_its_journal_was_written_for() {
    for (name, builder, checksum, has_64bit, start) in variants() {
        let dirty = dirty(&builder, checksum, has_64bit, start);
        let disk = overlay(&dirty.path);
        let fs = Ext::open(disk.clone(), CLOCK).unwrap();
        assert_eq!(fs.health(), Health::JournalDirty, "{name}");
        fs.check_writable().unwrap_or_else(|error| panic!("{name}: {error}"));
        let read = read_file(&fs, &GuestPath::new(FILE), 1 << 20).unwrap();
        assert!(read.as_ref() == Some(&dirty.content), "{name}");
        assert_eq!(read_file(&fs, &GuestPath::new("/etc/hostname"), 99).unwrap(), None, "{name}");

        let ours = bytes_of(&disk);
        for block in 1..image_blocks(&ours) {
            let at = block as usize * BLOCK..(block as usize + 1) * BLOCK;
            let is_same = ours[at.clone()] == dirty.after[at];
            assert!(is_same || dirty.journal.contains(&block), "{name}: block {block} differs");
        }
        let path = dirty.scratch.join("ours.img");
        std::fs::write(&path, &ours).unwrap();
        oracle::assert_clean(&path, 0, name);
        let features = tools::succeed("dumpe2fs", &["-h", path.to_str().unwrap()]);
        assert!(!features.contains("needs_recovery"), "{name}");

        let owner = Owner { uid: 1000, gid: 0, mode: 0o644 };
        let state = Expected::File { content: dirty.content.clone(), owner };
        let expectation = Expectation { path: GuestPath::new(FILE), state };
        let reopened = Ext::open(disk.clone(), CLOCK).unwrap();
        let verdict = verify::verify(disk.clone(), &reopened, &[expectation]).unwrap();
        assert_eq!(verdict, Verdict::Independent { reader: "ext4-view" }, "{name}");
    }
}

/// Only what belongs to the replay is in the patch, each change under its name.
#[test]
fn the_changes_of_a_replay_carry_its_name() {
    let (_, builder, checksum, has_64bit, start) = variants().swap_remove(5);
    let dirty = dirty(&builder, checksum, has_64bit, start);
    let disk = overlay(&dirty.path);
    Ext::open(disk.clone(), CLOCK).unwrap();
    let changes = disk.changes().unwrap();
    for change in &changes {
        let is_known = |label: &String| {
            matches!(label.as_str(), "journal replay" | "journal superblock" | "superblock")
        };
        assert!(change.labels.iter().all(is_known), "{:?}", change.labels);
    }
    assert!(changes.iter().any(|change| change.labels == ["journal superblock"]));
}

/// What cannot be replayed can be looked at, but not edited.
#[test]
fn a_journal_that_cannot_be_replayed_refuses_every_edit() {
    type Damage = fn(&mut LogWriter<'_>);
    let cases: [(&str, Damage); 6] = [
        ("refused", |log| log.set_field(0x28, 0x53)),
        ("refused", |log| log.set_field(0x14, 0)),
        ("refused", |log| {
            let used = log.transaction(&[(9, vec![1; BLOCK])], &[], true);
            log.transaction(&[(9, vec![2; BLOCK])], &[], true);
            log.damage(used[1], 7);
        }),
        ("refused", |log| {
            log.transaction(&[(1 << 40, vec![1; BLOCK])], &[], true);
        }),
        // Into the log itself: a block that is read later, and the journal superblock.
        ("refused", |log| {
            let target = (log.range(4).start / BLOCK) as u64;
            log.transaction(&[(9, vec![1; BLOCK]), (target, vec![2; BLOCK])], &[], true);
        }),
        ("refused", |log| {
            let target = (log.range(0).start / BLOCK) as u64;
            log.transaction(&[(target, vec![2; BLOCK])], &[], true);
        }),
    ];
    for (kind, damage) in cases {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 32).features("metadata_csum,64bit");
        let path = builder.nodes(root::with_key()).build_in(&scratch, "disk.img");
        let journal = blocks_of(&path, 8);
        let mut image = std::fs::read(&path).unwrap();
        damage(&mut LogWriter::new(&mut image, journal, Checksum::V3, true, 0, (1, 1)));
        std::fs::write(&path, image).unwrap();
        let disk = overlay(&path);
        let fs = Ext::open(disk.clone(), CLOCK).unwrap();
        let error = fs.check_writable().unwrap_err();
        assert_eq!(error.kind_name(), kind, "{error}");
        assert!(read_file(&fs, &GuestPath::new(root::KEY_FILE), 1 << 20).unwrap().is_some());
        assert_eq!(disk.changes().unwrap(), [], "{error}");
    }
}

/// A last transaction that a power cut damaged is dropped, and the user hears of it.
#[test]
fn a_damaged_end_of_the_journal_is_a_warning() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 32).features("metadata_csum,64bit");
    let path = builder.nodes(root::with_key()).build_in(&scratch, "disk.img");
    let journal = blocks_of(&path, 8);
    let mut image = std::fs::read(&path).unwrap();
    let spare = image_blocks(&image) - 3;
    let mut log = LogWriter::new(&mut image, journal, Checksum::V3, true, 0, (1, 1));
    log.transaction(&[(spare, vec![1; BLOCK])], &[], true);
    let used = log.transaction(&[(spare, vec![2; BLOCK])], &[], true);
    log.damage(used[1], 7);
    std::fs::write(&path, image).unwrap();
    let disk = overlay(&path);
    let fs = Ext::open(disk.clone(), CLOCK).unwrap();
    fs.check_writable().unwrap();
    let warnings = fs.warnings();
    assert!(warnings[0].contains("transactions: 1, blocks: 1"), "{warnings:?}");
    assert!(
        warnings[1].contains("damaged") && warnings[1].contains("transaction 2"),
        "{warnings:?}"
    );
    assert_eq!(disk.read_vec(spare * BLOCK as u64, 4).unwrap(), [1; 4]);
}

/// An external journal, a file system in use, and one that a checker works on.
#[test]
fn volumes_that_belong_to_others_are_refused() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 32).features("mmp").nodes(root::bare());
    let path = builder.build_in(&scratch, "disk.img");
    let fs = Ext::open(overlay(&path), CLOCK).unwrap();
    fs.check_writable().unwrap();
    let text = tools::succeed("debugfs", &["-R", "dump_mmp", path.to_str().unwrap()]);
    let number = text.lines().find_map(|line| line.strip_prefix("block_number: ")).unwrap();
    let at = number.parse::<usize>().unwrap() * BLOCK;
    for (sequence, expected) in [(77u32, "in use by host"), (0xe24d_4d50, "in use by a checker on")]
    {
        let disk = overlay(&path);
        let mut block = disk.read_vec(at as u64, 1024).unwrap();
        block[4..8].copy_from_slice(&sequence.to_le_bytes());
        let uuid = disk.read_vec(1024 + 0x68, 16).unwrap();
        let seed = !crc32c::crc32c_append(0, &uuid);
        let checksum = !crc32c::crc32c_append(!seed, &block[..0x3fc]);
        block[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
        disk.write_at(at as u64, &block, "MMP block").unwrap();
        let fs = Ext::open(disk, CLOCK).unwrap();
        let error = fs.check_writable().unwrap_err();
        assert_eq!(error.kind_name(), "refused");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
