//! Journals inside real images: made by debugfs, replayed here and by e2fsck, and compared.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::*;
use crate::bytes::checksum::crc32c_raw;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// An image file in a directory of its own.
struct Image {
    directory: tempfile::TempDir,
    path: PathBuf,
    block_bytes: u64,
}

/// Runs a tool and gives its exit status and everything it printed.
fn run(program: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} (package e2fsprogs) is needed: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

impl Image {
    fn make(block_bytes: u64, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        let block = block_bytes.to_string();
        let mut all = vec!["-q", "-F", "-b", &block];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&[path.to_str().unwrap(), "32M"]);
        let (status, text) = run("mke2fs", &all);
        assert_eq!(status, 0, "{text}");
        Self { directory, path, block_bytes }
    }

    fn debugfs(&self, script: &str) -> String {
        let commands = self.directory.path().join("commands");
        std::fs::write(&commands, script).unwrap();
        run("debugfs", &["-w", "-f", commands.to_str().unwrap(), self.path.to_str().unwrap()]).1
    }

    fn overlay(&self) -> Arc<Overlay> {
        let bytes = std::fs::read(&self.path).unwrap();
        Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))))
    }

    fn log(&self, disk: Arc<Overlay>) -> MappedLog {
        let text = self.debugfs("blocks <8>\n");
        let numbers = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let physical: Vec<u64> =
            numbers.flat_map(str::split_whitespace).map(|number| number.parse().unwrap()).collect();
        // The list has the blocks of the extent tree between the others.
        let first = physical.iter().position(|&block| {
            let header = disk.read_vec(block * self.block_bytes, 4).unwrap();
            header == JOURNAL_MAGIC.to_be_bytes()
        });
        let physical = physical[first.unwrap()..].to_vec();
        MappedLog { disk, physical, block_bytes: self.block_bytes }
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

fn e2fsck_is_clean(bytes: &[u8], directory: &Path) {
    let path = directory.join("ours.img");
    std::fs::write(&path, bytes).unwrap();
    let (status, text) = run("e2fsck", &["-fn", path.to_str().unwrap()]);
    assert_eq!(status, 0, "{text}");
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
            "{open}\njw -b 7100,7101,7102 {content}\njw -r 7102 /dev/null\njw -b 7103 {content}\njc\n"
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
        e2fsck_is_clean(&ours, image.directory.path());
        let theirs = image.recovered_by_e2fsck();
        for block in 7100..7104u64 {
            let at = (block * block_bytes) as usize..((block + 1) * block_bytes) as usize;
            assert_eq!(ours[at.clone()], theirs[at], "block {block}, {features} {open}");
        }
        assert_eq!(inspect(&image.log(disk)).unwrap().state, JournalState::Clean);
    }
}
