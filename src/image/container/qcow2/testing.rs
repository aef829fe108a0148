//! Images made by `qemu-img`, with disks whose content is known. Package: qemu-utils.

use crate::disk::testing::{directory, program};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub(super) const MIB: usize = 1 << 20;

/// A directory with images.
pub(super) struct Bench(pub(super) TempDir);

impl Bench {
    pub(super) fn new() -> Self {
        Self(directory())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file into the directory.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        let mut file = std::fs::File::create_new(&path).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        path
    }

    /// Runs a tool of qemu in the directory.
    #[track_caller]
    pub(super) fn run(&self, tool: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program(tool));
        let output = command.current_dir(self.0.path()).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{tool} {arguments:?}: {errors}");
        output
    }

    /// Makes `name` out of the raw image `source`, with `options` of `qemu-img convert`.
    pub(super) fn convert(&self, source: &str, name: &str, options: &[&str]) {
        let arguments =
            [&["convert", "-f", "raw", "-O", "qcow2"], options, &[source, name]].concat();
        self.run("qemu-img", &arguments);
    }

    /// Makes sure that `qemu-img check` finds nothing, and that the disk in `name` has `content`.
    #[track_caller]
    pub(super) fn check(&self, name: &str, content: &[u8]) {
        let verdict = check(&self.path(name));
        assert_eq!(verdict, Verdict::Clean, "{name}");
        let raw = self.put("expected.raw", content);
        let compared = self.run("qemu-img", &["compare", "-F", "raw", name, raw.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&compared.stdout).into_owned();
        assert!(text.contains("Images are identical."), "{text}");
        std::fs::remove_file(raw).unwrap();
    }
}

/// What `qemu-img check` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Clean,
    Leaks,
    Damaged,
}

/// Asks `qemu-img check` about the image at `path`.
pub(super) fn check(path: &Path) -> Verdict {
    let arguments = ["check", "-f", "qcow2", path.to_str().unwrap()];
    let mut command = Command::new(program("qemu-img"));
    // The name of a data file counts from the working directory there.
    let output = command.current_dir(path.parent().unwrap()).args(arguments).output().unwrap();
    match output.status.code() {
        Some(0) => Verdict::Clean,
        Some(3) => Verdict::Leaks,
        _ => Verdict::Damaged,
    }
}

/// Bytes that look random, always the same ones for a seed.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// A disk in pieces of 96 KiB: noise, zeros, text, and all of them mixed, so that every kind of cluster occurs.
pub(super) fn disk(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in 0.. {
        match piece % 4 {
            0 => bytes.extend(noise(piece, 96 << 10)),
            1 => bytes.extend(std::iter::repeat_n(0, 96 << 10)),
            2 => bytes.extend(b"the same text again. ".iter().cycle().take(96 << 10)),
            _ => {
                bytes.extend(noise(piece, 5000));
                bytes.extend(std::iter::repeat_n(0, (96 << 10) - 5000));
            }
        }
        if bytes.len() >= len {
            bytes.truncate(len);
            return bytes;
        }
    }
    bytes
}

/// Ranges of whole sectors, 512 bytes to 150 KiB long, inside `len` bytes: offset, length.
pub(super) fn ranges(seed: u64, count: usize, len: usize) -> Vec<(usize, usize)> {
    let numbers = noise(seed, count * 8);
    let pick = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    let range = |numbers: &[u8]| {
        let start = pick(&numbers[..4]) % (len / 512) * 512;
        // Most edits are small.
        let sectors = if numbers[7].is_multiple_of(4) { 300 } else { 8 };
        let wanted = (1 + pick(&numbers[4..]) % sectors) * 512;
        (start, wanted.min(len - start))
    };
    numbers.chunks(8).map(range).collect()
}
