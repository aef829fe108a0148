//! Images made by qemu-img.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use crate::disk::testing;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Runs a program that must succeed; returns what it prints.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(testing::program(program));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    text
}

/// A directory with one disk, raw and in a container.
pub(crate) struct Made {
    pub(crate) directory: TempDir,
    pub(crate) image: PathBuf,
    pub(crate) format: &'static str,
}

impl Made {
    /// Converts `disk` into a container of `format` with `options` of qemu-img.
    pub(crate) fn from_disk(disk: &[u8], format: &'static str, options: &str) -> Self {
        let directory = testing::directory();
        let (raw, image) = (directory.path().join("disk.raw"), directory.path().join("disk.img"));
        fs::write(&raw, disk).unwrap();
        let (from, to) = (raw.to_str().unwrap(), image.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, from, to]);
        Self { directory, image, format }
    }

    /// Makes an empty container.
    pub(crate) fn empty(len: usize, format: &'static str, options: &str) -> Self {
        let directory = testing::directory();
        let image = directory.path().join("disk.img");
        let (to, len) = (image.to_str().unwrap(), len.to_string());
        run("qemu-img", &["create", "-q", "-f", format, "-o", options, to, &len]);
        Self { directory, image, format }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    /// What qemu-img reads out of it.
    pub(crate) fn as_qemu_reads_it(&self) -> Vec<u8> {
        qemu_reads(&self.image, self.format)
    }
}

/// What qemu-img reads out of `image`.
pub(crate) fn qemu_reads(image: &Path, format: &str) -> Vec<u8> {
    let raw = image.with_extension("out");
    let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
    run("qemu-img", &["convert", "-f", format, "-O", "raw", from, to]);
    fs::read(raw).unwrap()
}
