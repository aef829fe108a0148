//! Real images for the tests of these modules: made by mke2fs, looked at by debugfs, judged by
//! e2fsck.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

// The encoder of journals serves these tests and the black-box ones.
#[path = "../../../tests/integration/support/jbd2.rs"]
pub(crate) mod jbd2;

use crate::bytes::checksum::crc32c_raw;
use crate::disk::overlay::Overlay;
use crate::disk::{self, memory::MemoryDisk};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// An image file of 32 MiB in a directory of its own.
pub(crate) struct Image {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) block_bytes: u64,
}

/// Runs a tool and gives its exit status and everything it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} (package e2fsprogs) is needed: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

impl Image {
    /// Makes an image with these arguments of mke2fs.
    pub(crate) fn make(block_bytes: u64, arguments: &[&str]) -> Self {
        let directory = disk::testing::directory();
        let path = directory.path().join("disk.img");
        let block = block_bytes.to_string();
        let mut all = vec!["-q", "-F", "-b", &block];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&[path.to_str().unwrap(), "32M"]);
        let (status, text) = run("mke2fs", &all);
        assert_eq!(status, 0, "{text}");
        Self { directory, path, block_bytes }
    }

    /// Runs commands of debugfs on the image.
    pub(crate) fn debugfs(&self, script: &str) -> String {
        let commands = self.directory.path().join("commands");
        std::fs::write(&commands, script).unwrap();
        run("debugfs", &["-w", "-f", commands.to_str().unwrap(), self.path.to_str().unwrap()]).1
    }

    /// The bytes of the image.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    /// Replaces the bytes of the image.
    pub(crate) fn store(&self, bytes: &[u8]) {
        disk::testing::write_sparse(&MemoryDisk::new(bytes.to_vec()), &self.path);
    }

    /// The image under an overlay.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        Arc::new(Overlay::new(Arc::new(MemoryDisk::new(self.bytes()))))
    }

    /// Where the blocks of an inode lie.
    pub(crate) fn blocks_of(&self, inode: u32) -> Vec<u64> {
        jbd2::blocks_of(&self.path, inode)
    }

    /// The seed of the checksums of the file system.
    pub(crate) fn checksum_seed(&self) -> u32 {
        crc32c_raw(!0, &self.bytes()[1024 + 0x68..1024 + 0x78])
    }

    /// What `e2fsck -fn` says: exit status and text.
    pub(crate) fn checked(&self) -> (i32, String) {
        run("e2fsck", &["-fn", self.path.to_str().unwrap()])
    }
}

/// Fails unless e2fsck finds these bytes of an image clean.
pub(crate) fn assert_clean(bytes: &[u8], directory: &Path) {
    let path = directory.join("ours.img");
    disk::testing::write_sparse(&MemoryDisk::new(bytes.to_vec()), &path);
    let (status, text) = run("e2fsck", &["-fn", path.to_str().unwrap()]);
    assert_eq!(status, 0, "{text}");
}
