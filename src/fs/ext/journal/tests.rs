//! Journals inside real images: made by debugfs, replayed here and by e2fsck, and compared.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::*;
use crate::bytes::checksum::crc32c_raw;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::fs::ext::testing::jbd2::{Checksum, LogWriter};
use crate::fs::ext::testing::{Image, assert_clean, run};
use std::sync::Arc;

impl Image {
    fn log(&self, disk: Arc<Overlay>) -> MappedLog {
        MappedLog { disk, physical: self.journal_map(), block_bytes: self.block_bytes }
    }

    fn journal_map(&self) -> Vec<u64> {
        self.blocks_of(8)
    }

    fn limits(&self, disk: &Overlay) -> ReplayLimits {
        let block_bytes = u32::try_from(self.block_bytes).unwrap();
        ReplayLimits::new(disk.len_bytes() / self.block_bytes, block_bytes).unwrap()
    }

    fn replay(&self, disk: &Arc<Overlay>) -> Result<Replay> {
        let mut log = self.log(disk.clone());
        replay(&mut log, &**disk, &self.limits(disk))
    }

    /// The whole disk after e2fsck recovered the journal of a copy.
    fn recovered_by_e2fsck(&self) -> Vec<u8> {
        let copy = self.directory.path().join("copy.img");
        std::fs::copy(&self.path, &copy).unwrap();
        let (status, text) = run("e2fsck", &["-fy", copy.to_str().unwrap()]);
        assert!(matches!(status, 0 | 1), "{status}: {text}");
        std::fs::read(copy).unwrap()
    }
}

struct MappedLog {
    disk: Arc<Overlay>,
    physical: Vec<u64>,
    block_bytes: u64,
}

impl LogBlocks for MappedLog {
    fn block_count(&self) -> u32 {
        u32::try_from(self.physical.len()).unwrap()
    }

    fn block_size_bytes(&self) -> u32 {
        u32::try_from(self.block_bytes).unwrap()
    }

    fn read(&self, log_block: u32) -> Result<Vec<u8>> {
        let block = self.physical[log_block as usize];
        self.disk.read_vec(block * self.block_bytes, self.block_bytes as usize)
    }

    fn write(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        let block = self.physical[log_block as usize];
        self.disk.write_at(block * self.block_bytes, bytes, "journal")
    }

    fn is_log_block(&self, fs_block: u64) -> bool {
        self.physical.contains(&fs_block)
    }
}

/// What the owner of the file-system superblock does after a replay.
fn clear_needs_recovery(disk: &Overlay) {
    let mut superblock = disk.read_vec(1024, 1024).unwrap();
    superblock[0x60] &= !4;
    let checksum = crc32c_raw(!0, &superblock[..0x3fc]);
    if superblock[0x65] & 4 != 0 {
        superblock[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
    }
    disk.write_at(1024, &superblock, "superblock").unwrap();
}

/// Journals of debugfs: what it writes is replayed to the same blocks as by e2fsck.
#[test]
fn journals_written_by_debugfs_are_replayed_like_e2fsck_does() {
    for (features, block_bytes, open) in [
        ("^64bit,^metadata_csum", 4096u64, "jo"),
        ("64bit,^metadata_csum", 4096, "jo"),
        ("^64bit,metadata_csum", 4096, "jo -c -v 2"),
        ("64bit,metadata_csum", 4096, "jo -c -v 2"),
        ("^64bit,metadata_csum", 4096, "jo -c -v 3"),
        ("64bit,metadata_csum", 1024, "jo -c -v 3"),
        ("64bit,metadata_csum,metadata_csum_seed", 1024, "jo -c -v 3"),
    ] {
        let image = Image::make(block_bytes, &["-t", "ext4", "-J", "size=4", "-O", features]);
        let content = image.directory.path().join("content");
        // The second block starts with the magic, so it is escaped in the log.
        let mut bytes = vec![b'Z'; 3 * block_bytes as usize];
        bytes[block_bytes as usize..][..4].copy_from_slice(&JOURNAL_MAGIC.to_be_bytes());
        std::fs::write(&content, &bytes).unwrap();
        let content = content.to_str().unwrap();
        image.debugfs(&format!(
            "{open}\njw -b 7100,7101,7102 {content}\njw -r 7102 /dev/null\n\
             jw -b 7103 {content}\njc\n"
        ));
        let disk = image.overlay();
        let inspection = inspect(&image.log(disk.clone())).unwrap();
        let expected = JournalState::NeedsReplay { sequence: Sequence(1), start: 1 };
        assert_eq!(inspection.state, expected, "{features} {open}");
        let replay = image.replay(&disk).unwrap();
        assert_eq!(
            (replay.transactions, replay.blocks_replayed, replay.blocks_revoked, replay.discarded),
            (3, 3, 1, None),
            "{features} {open}"
        );
        clear_needs_recovery(&disk);
        let ours = disk.read_vec(0, disk.len_bytes() as usize).unwrap();
        assert_clean(&ours, image.directory.path());
        let theirs = image.recovered_by_e2fsck();
        for block in 7100..7104u64 {
            let at = (block * block_bytes) as usize..((block + 1) * block_bytes) as usize;
            assert_eq!(ours[at.clone()], theirs[at], "block {block}, {features} {open}");
        }
        assert_eq!(inspect(&image.log(disk)).unwrap().state, JournalState::Clean);
    }
}

/// Content of a block that is told apart by `seed`.
fn content(image: &Image, seed: u8) -> Vec<u8> {
    vec![seed; image.block_bytes as usize]
}

/// Content that starts with the journal magic, so that it must be escaped.
fn escaped_content(image: &Image) -> Vec<u8> {
    let mut bytes = content(image, 0xee);
    bytes[..4].copy_from_slice(&JOURNAL_MAGIC.to_be_bytes());
    bytes
}

impl Image {
    /// Free blocks near the end of the file system.
    fn free(&self, index: u64) -> u64 {
        32 * 1024 * 1024 / self.block_bytes - 100 + index
    }

    /// Writes a log with `write` into the image.
    fn write_log(
        &self,
        (checksum, has_64bit, incompat): (Checksum, bool, u32),
        start: (u32, u32),
        write: impl FnOnce(&mut LogWriter<'_>),
    ) {
        let map = self.journal_map();
        let mut bytes = self.bytes();
        let mut log = LogWriter::new(&mut bytes, map, checksum, has_64bit, incompat, start);
        write(&mut log);
        self.store(&bytes);
    }

    /// The blocks [`Image::free`] 0..5 of `bytes`.
    fn probe(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let len = self.block_bytes as usize;
        let at = |index| self.free(index) as usize * len;
        (0..5).map(|index| bytes[at(index)..at(index) + len].to_vec()).collect()
    }

    /// Replays, and wants the same blocks from e2fsck and a clean result.
    fn assert_replays_like_e2fsck(&self, what: &str) -> Replay {
        let disk = self.overlay();
        let replay = self.replay(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
        clear_needs_recovery(&disk);
        let ours = disk.read_vec(0, disk.len_bytes() as usize).unwrap();
        assert_clean(&ours, self.directory.path());
        assert!(self.probe(&ours) == self.probe(&self.recovered_by_e2fsck()), "{what}");
        let second = self.replay(&disk).unwrap();
        assert_eq!((second.transactions, second.blocks_replayed), (0, 0), "{what}: again");
        replay
    }
}

fn image_for(checksum: Checksum, has_64bit: bool, block_bytes: u64) -> Image {
    let csum = matches!(checksum, Checksum::V2 | Checksum::V3);
    let features = format!(
        "{}metadata_csum,{}64bit",
        if csum { "" } else { "^" },
        if has_64bit { "" } else { "^" }
    );
    Image::make(block_bytes, &["-t", "ext4", "-J", "size=4", "-O", &features])
}

const FORMATS: [(Checksum, bool, u64); 9] = [
    (Checksum::None, false, 4096),
    (Checksum::None, true, 1024),
    (Checksum::V1, false, 1024),
    (Checksum::V1, true, 4096),
    (Checksum::V2, false, 4096),
    (Checksum::V2, true, 1024),
    (Checksum::V3, false, 1024),
    (Checksum::V3, true, 4096),
    (Checksum::V3, true, 2048),
];

/// Several transactions, a block written twice, an escaped block, a revocation that counts, one
/// that is older than the block, in a log that wraps and whose transaction numbers wrap.
#[test]
fn every_format_is_replayed_like_e2fsck_does() {
    for (checksum, has_64bit, block_bytes) in FORMATS {
        let image = image_for(checksum, has_64bit, block_bytes);
        let blocks = u32::try_from(image.journal_map().len()).unwrap();
        for start in [(1, 1), (blocks - 3, u32::MAX - 1)] {
            let what = format!("{checksum:?} 64bit={has_64bit} {block_bytes} {start:?}");
            image.write_log((checksum, has_64bit, 0), start, |log| {
                let at = |index| image.free(index);
                let one = [(at(0), content(&image, 1)), (at(1), content(&image, 2))];
                log.transaction(&one, &[], true);
                log.transaction(&[(at(1), content(&image, 3))], &[at(0), at(2)], true);
                let three = [(at(2), content(&image, 4)), (at(3), escaped_content(&image))];
                log.transaction(&three, &[], true);
            });
            let dump = image.debugfs("logdump -a\n");
            assert_eq!(dump.matches("(commit block)").count(), 3, "{what}: {dump}");
            let replay = image.assert_replays_like_e2fsck(&what);
            assert_eq!((replay.transactions, replay.blocks_replayed), (3, 3), "{what}");
            assert_eq!((replay.blocks_revoked, replay.discarded), (1, None), "{what}");
        }
    }
}

/// More tags than one descriptor block holds.
#[test]
fn a_transaction_may_have_many_descriptor_blocks() {
    for (checksum, has_64bit, _) in FORMATS.into_iter().take(8) {
        let image = image_for(checksum, has_64bit, 1024);
        image.write_log((checksum, has_64bit, 0), (7, 9), |log| {
            let blocks: Vec<_> =
                (0..300).map(|index| (image.free(0) - index, content(&image, 9))).collect();
            log.transaction(&blocks, &[], true);
        });
        let replay = image.assert_replays_like_e2fsck(&format!("{checksum:?} {has_64bit}"));
        assert_eq!((replay.transactions, replay.blocks_replayed), (1, 300));
    }
}

/// What a power cut leaves: the last transaction is not complete, or its blocks are not what they
/// should be.
#[test]
fn a_torn_last_transaction_is_discarded() {
    for (checksum, has_64bit, block_bytes) in FORMATS {
        for (name, incompat) in [("no commit", 0), ("commit", 0), ("commit", 4), ("data", 0)] {
            let is_detected = match name {
                "commit" | "data" => checksum != Checksum::None,
                _ => true,
            };
            if !is_detected {
                continue;
            }
            let image = image_for(checksum, has_64bit, block_bytes);
            image.write_log((checksum, has_64bit, incompat), (5, 70), |log| {
                log.transaction(&[(image.free(0), content(&image, 1))], &[], true);
                let two =
                    [(image.free(0), content(&image, 2)), (image.free(1), content(&image, 3))];
                let used = log.transaction(&two, &[], name != "no commit");
                match name {
                    "commit" => log.damage(used[3], 0x11),
                    "data" => log.damage(used[2], 500),
                    _ => {}
                }
            });
            let what = format!("{checksum:?} {name} {incompat}");
            let disk = image.overlay();
            let replay = image.replay(&disk).unwrap();
            assert_eq!((replay.transactions, replay.blocks_replayed), (1, 1), "{what}");
            assert_eq!(replay.discarded.is_some(), name != "no commit", "{what}");
            clear_needs_recovery(&disk);
            let ours = disk.read_vec(0, disk.len_bytes() as usize).unwrap();
            assert_clean(&ours, image.directory.path());
            let expected = [content(&image, 1), content(&image, 0)];
            assert!(image.probe(&ours)[..2] == expected, "{what}");
        }
    }
}

/// Damage with later transactions behind it is no power cut.
#[test]
fn a_damaged_transaction_in_the_middle_is_refused() {
    for (checksum, has_64bit, block_bytes) in FORMATS {
        if checksum == Checksum::None {
            continue;
        }
        for victim in 0..3usize {
            let image = image_for(checksum, has_64bit, block_bytes);
            image.write_log((checksum, has_64bit, 0), (5, 70), |log| {
                let used = log.transaction(&[(image.free(0), content(&image, 1))], &[], true);
                log.transaction(&[(image.free(1), content(&image, 2))], &[], true);
                log.damage(used[victim], [0x20, 100, 0x11][victim]);
            });
            let disk = image.overlay();
            let error = image.replay(&disk).unwrap_err();
            assert_eq!(error.kind_name(), "refused", "{checksum:?} {victim}: {error}");
            assert!(error.to_string().contains("transaction 70 is damaged"), "{error}");
            assert_eq!(disk.changes().unwrap(), [], "nothing may be written");
        }
    }
}

#[test]
fn hostile_journals_are_refused_before_anything_is_written() {
    type Write = fn(&Image, &mut LogWriter<'_>);
    let cases: [(&str, &str, Write); 13] = [
        ("corrupt", "journal block tag: block 8192 in a file system of 8192", |image, log| {
            log.transaction(&[(8192, content(image, 1))], &[], true);
        }),
        ("corrupt", "belongs to the journal itself", |image, log| {
            let target = image.journal_map()[9];
            log.transaction(&[(target, content(image, 1))], &[], true);
        }),
        ("corrupt", "journal superblock: log from 0 to 1024", |_, log| log.set_field(0x14, 0)),
        ("corrupt", "log from 1 to 1024 with start 1024", |_, log| log.set_field(0x1c, 1024)),
        ("corrupt", "2000 blocks in a journal of 1024", |_, log| log.set_field(0x10, 2000)),
        ("corrupt", "block size 1024, the file system has 4096", |_, log| log.set_field(0xc, 1024)),
        ("corrupt", "no journal superblock", |_, log| log.set_field(0, 1)),
        ("corrupt", "no journal superblock", |_, log| log.set_field(4, 2)),
        ("corrupt", "contradicting checksum formats", |_, log| log.set_field(0x28, 0x1b)),
        ("corrupt", "unknown checksum type 1", |_, log| log.set_field(0x50, 1 << 24)),
        ("corrupt", "journal superblock: checksum 0x", |_, log| log.damage(0, 0x31)),
        ("refused", "journal incompat 0x40, journal ro_compat 0x1", |_, log| {
            log.set_field(0x28, 0x53);
            log.set_field(0x2c, 1);
        }),
        ("corrupt", "fast-commit area of 256 blocks in a journal of 1024", |_, log| {
            log.set_field(0x28, 0x33);
        }),
    ];
    for (kind, expected, write) in cases {
        let image = image_for(Checksum::V3, true, 4096);
        image.write_log((Checksum::V3, true, 0), (1, 1), |log| write(&image, log));
        let disk = image.overlay();
        let map = image.journal_map();
        let mut log = MappedLog { disk: disk.clone(), physical: map, block_bytes: 4096 };
        let error = replay(&mut log, &*disk, &image.limits(&disk)).unwrap_err();
        assert_eq!(error.kind_name(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(disk.changes().unwrap(), [], "nothing may be written");
    }
}

/// Fast commits count only for the transaction behind the last complete one, or a later one. That
/// the area starts one block behind the log, and what its head looks like, was seen in images of
/// the kernel.
#[test]
fn waiting_fast_commits_are_refused_and_old_ones_ignored() {
    for (transaction, start, is_refused) in
        [(71, 5, true), (72, 5, true), (70, 5, false), (70, 0, true), (69, 0, false)]
    {
        let image = Image::make(4096, &["-t", "ext4", "-J", "size=8", "-O", "fast_commit"]);
        image.write_log((Checksum::V3, true, 0x20), (5, 70), |log| {
            log.set_field(0x54, 100);
            log.set_field(0x1c, start);
            log.transaction(&[(image.free(0), content(&image, 1))], &[], true);
            let area = image.journal_map().len() as u32 - 100 + 1;
            log.put(area, &[9, 0, 8, 0, 0, 0, 0, 0, transaction, 0, 0, 0]);
        });
        let disk = image.overlay();
        let inspection = inspect(&image.log(disk.clone())).unwrap();
        if start == 0 && is_refused {
            assert_eq!(inspection.state, JournalState::HasFastCommits);
        }
        let result = image.replay(&disk);
        assert_eq!(result.is_err(), is_refused, "{transaction} {start} {result:?}");
        if is_refused {
            assert_eq!(disk.changes().unwrap(), []);
        }
    }
}

#[test]
fn the_error_of_an_aborted_journal_is_reported() {
    let image = image_for(Checksum::V3, true, 4096);
    image.write_log((Checksum::V3, true, 0), (0, 3), |log| {
        log.set_field(0x20, u32::from_be_bytes((-5i32).to_be_bytes()));
    });
    let inspection = inspect(&image.log(image.overlay())).unwrap();
    assert_eq!((inspection.state, inspection.errno), (JournalState::Clean, Some(-5)));
}

/// A log in memory, for damage of every kind.
struct MemoryLog(Vec<u8>);

impl LogBlocks for MemoryLog {
    fn is_log_block(&self, _: u64) -> bool {
        false
    }

    fn block_count(&self) -> u32 {
        u32::try_from(self.0.len() / 1024).unwrap()
    }

    fn block_size_bytes(&self) -> u32 {
        1024
    }

    fn read(&self, log_block: u32) -> Result<Vec<u8>> {
        let at = log_block as usize * 1024;
        Ok(self.0[at..at + 1024].to_vec())
    }

    fn write(&mut self, log_block: u32, bytes: &[u8]) -> Result<()> {
        let at = log_block as usize * 1024;
        self.0[at..at + 1024].copy_from_slice(bytes);
        Ok(())
    }
}

/// The journal of an image with two transactions and a revocation, in a log of 24 blocks.
fn small_log(checksum: Checksum, has_64bit: bool) -> MemoryLog {
    let mut bytes = vec![0; 24 * 1024];
    bytes[..8].copy_from_slice(&[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4]);
    for (offset, value) in [(0xc, 1024u32), (0x10, 24), (0x14, 1)] {
        put_be_u32(&mut bytes, offset, value).unwrap();
    }
    // The first block stands in for the superblock of a file system, whose block size is 1 KiB
    // there, too.
    let mut image = vec![0; 4096];
    image.extend_from_slice(&bytes);
    let map = (4..28).collect();
    let mut log = LogWriter::new(&mut image, map, checksum, has_64bit, 0, (20, 7));
    log.transaction(&[(1, vec![1; 1024]), (2, vec![2; 1024])], &[], true);
    log.transaction(&[(3, vec![3; 1024])], &[1], true);
    MemoryLog(image.split_off(4096))
}

proptest::proptest! {
    /// Whatever stands in the log: no panic, no endless loop, nothing outside the file system, and
    /// either an error before the first write or an empty journal.
    #[test]
    fn damaged_logs_never_panic(
        format in 0usize..8,
        damage in proptest::collection::vec((0usize..24 * 1024, 0u8..=255), 0..12),
        fields in proptest::collection::vec((0usize..60, 0u8..24), 0..4),
    ) {
        let (checksum, has_64bit, _) = FORMATS[format];
        let mut log = small_log(checksum, has_64bit);
        for (offset, value) in damage {
            log.0[offset] = value;
        }
        // Blocks with a header are hit more often than chance would.
        for (offset, block) in fields {
            log.0[usize::from(block) * 1024 + offset] ^= 1 << (offset % 8);
        }
        let disk = Overlay::new(Arc::new(crate::disk::memory::MemoryDisk::new(vec![0; 8192])));
        let limits = ReplayLimits { block_count: 8, replayed_blocks_max: 8 };
        if let Ok(replay) = replay(&mut log, &disk, &limits) {
            let state = inspect(&log).map(|seen| seen.state);
            let is_empty = matches!(state, Ok(JournalState::Clean));
            proptest::prop_assert!(is_empty && replay.blocks_replayed <= 8);
        } else {
            proptest::prop_assert_eq!(disk.changes().unwrap(), []);
        }
    }
}
