//! Directories of ours before e2fsck, and directories of e2fsck's before us.
//!
//! `debugfs expand_dir` gives a directory its blocks; then their content is replaced by ours. All
//! names are hard links to one file.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::hash::NameHash;
use super::memory::{Memory, name_of};
use super::*;
use crate::bytes::checksum::crc32c_raw;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const UUID_BYTES: [u8; 16] = [
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
];
const HASH_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89];
/// The first inode that mke2fs leaves free, and the next.
const DIRECTORY: u32 = 12;
const FILE: u32 = 13;

/// What an image is made of.
#[derive(Clone, Copy)]
struct Case {
    block_size_bytes: u32,
    features: &'static str,
    hash: &'static str,
    is_unsigned: bool,
    names: u32,
    len_max: usize,
    size: &'static str,
    /// `indirect_levels`, or `None` for a linear directory.
    levels: Option<u8>,
}

pub(super) fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (package e2fsprogs): {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

pub(super) fn debugfs(image: &Path, script: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let script = file.path().to_str().unwrap();
    run("debugfs", &["-w", "-f", script, image.to_str().unwrap()]).1
}

/// `e2fsck -fn` has nothing to say.
pub(super) fn assert_clean(image: &Path) {
    let (status, said) = run("e2fsck", &["-fn", image.to_str().unwrap()]);
    let is_silent = !said.contains("? no") && !said.contains("WARNING");
    assert!(status == Some(0) && is_silent && said.contains("Pass 5"), "{said}");
}

impl Case {
    fn format(&self, is_indexed: bool) -> DirectoryFormat {
        let seed = crc32c_raw(!0, &UUID_BYTES);
        let seed = crc32c_raw(crc32c_raw(seed, &DIRECTORY.to_le_bytes()), &[0; 4]);
        let has_checksums = !self.features.contains("^metadata_csum");
        DirectoryFormat {
            block_size_bytes: self.block_size_bytes,
            inode: DIRECTORY,
            has_file_type: !self.features.contains("^filetype"),
            checksum_seed: has_checksums.then_some(seed),
            hash_seed: HASH_SEED,
            default_hash_version: ["legacy", "half_md4", "tea"]
                .iter()
                .position(|name| *name == self.hash)
                .unwrap() as u8,
            hash_is_unsigned: self.is_unsigned,
            may_index: true,
            is_large: self.features.contains("large_dir"),
            is_indexed,
        }
    }

    /// An image with an empty directory and a file.
    fn make(&self) -> tempfile::TempPath {
        let image = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let path = image.to_str().unwrap();
        let extended = format!("hash_seed={UUID},lazy_itable_init=0");
        let block_size = self.block_size_bytes.to_string();
        let arguments = ["-q", "-F", "-t", "ext4", "-b", &block_size, "-O", self.features];
        let more = ["-U", UUID, "-E", &extended, "-N", "64", path, self.size];
        let (status, said) = run("mke2fs", &[&arguments[..], &more].concat());
        assert_eq!(status, Some(0), "{said}");
        let flags = if self.is_unsigned { 2 } else { 1 };
        let script = format!(
            "ssv def_hash_version {}\nssv flags {flags}\nmkdir d\nwrite /dev/null f\n",
            self.hash
        );
        debugfs(&image, &script);
        image
    }

    /// Where the blocks of the directory lie, in bytes.
    fn offsets(&self, image: &Path) -> Vec<u64> {
        let said = debugfs(image, "stat d\n");
        let size = said.split("Size: ").nth(1).unwrap().split_whitespace().next().unwrap();
        let count = size.parse::<u32>().unwrap() / self.block_size_bytes;
        let mut script = String::new();
        for block in 0..count {
            writeln!(script, "bmap d {block}").unwrap();
        }
        let said = debugfs(image, &script);
        let numbers = said.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let size = u64::from(self.block_size_bytes);
        numbers.map(|number| number.parse::<u64>().unwrap() * size).collect()
    }

    fn load(&self, image: &Path) -> Memory {
        let bytes = std::fs::read(image).unwrap();
        let said = debugfs(image, "stat d\n");
        let flags = said.split("Flags: 0x").nth(1).unwrap().split_whitespace().next().unwrap();
        let is_indexed = u32::from_str_radix(flags, 16).unwrap() & 0x1000 != 0;
        let block = |at: u64| bytes[at as usize..][..self.block_size_bytes as usize].to_vec();
        let blocks = self.offsets(image).into_iter().map(block).collect();
        Memory { format: self.format(is_indexed), blocks }
    }

    fn store(&self, image: &Path, directory: &Memory, names: usize) {
        let mut script = String::new();
        for _ in self.offsets(image).len()..directory.blocks.len() {
            script.push_str("expand_dir d\n");
        }
        let extents = if self.features.contains("^extent") { 0 } else { 0x80000 };
        let index = if directory.format.is_indexed { 0x1000 } else { 0 };
        // One link is that of the file's own name.
        writeln!(script, "sif d flags {:#x}", extents | index).unwrap();
        writeln!(script, "sif f links_count {}", names + 1).unwrap();
        debugfs(image, &script);
        let offsets = self.offsets(image);
        assert_eq!(offsets.len(), directory.blocks.len());
        let mut bytes = std::fs::read(image).unwrap();
        for (at, block) in offsets.into_iter().zip(&directory.blocks) {
            bytes[at as usize..][..block.len()].copy_from_slice(block);
        }
        std::fs::write(image, bytes).unwrap();
    }

    /// Adds all names and removes every third again.
    fn fill(&self, directory: &mut Memory, from: u32) -> BTreeMap<Vec<u8>, u32> {
        let mut model = BTreeMap::new();
        for number in from..from + self.names {
            let name = name_of(number, self.len_max);
            directory.add(&name, FILE).unwrap();
            if number.is_multiple_of(3) {
                remove(directory, &name).unwrap();
            } else {
                model.insert(name, FILE);
            }
        }
        model
    }
}

const CASES: [Case; 8] = [
    Case {
        block_size_bytes: 1024,
        features: "metadata_csum",
        hash: "half_md4",
        is_unsigned: false,
        names: 12,
        len_max: 30,
        size: "4M",
        levels: None,
    },
    Case {
        block_size_bytes: 4096,
        features: "metadata_csum",
        hash: "half_md4",
        is_unsigned: false,
        names: 700,
        len_max: 60,
        size: "16M",
        levels: Some(0),
    },
    Case {
        block_size_bytes: 1024,
        features: "^metadata_csum,^filetype",
        hash: "tea",
        is_unsigned: false,
        names: 500,
        len_max: 120,
        size: "8M",
        levels: Some(0),
    },
    Case {
        block_size_bytes: 1024,
        features: "metadata_csum",
        hash: "tea",
        is_unsigned: true,
        names: 400,
        len_max: 255,
        size: "8M",
        levels: Some(0),
    },
    Case {
        block_size_bytes: 1024,
        features: "metadata_csum",
        hash: "legacy",
        is_unsigned: true,
        names: 1400,
        len_max: 255,
        size: "16M",
        levels: Some(1),
    },
    Case {
        block_size_bytes: 1024,
        features: "^metadata_csum,^extent,^64bit",
        hash: "half_md4",
        is_unsigned: true,
        names: 1400,
        len_max: 255,
        size: "16M",
        levels: Some(1),
    },
    Case {
        block_size_bytes: 65536,
        features: "metadata_csum",
        hash: "half_md4",
        is_unsigned: false,
        names: 1200,
        len_max: 255,
        size: "64M",
        levels: Some(0),
    },
    Case {
        block_size_bytes: 65536,
        features: "^metadata_csum",
        hash: "legacy",
        is_unsigned: false,
        names: 1200,
        len_max: 255,
        size: "64M",
        levels: Some(0),
    },
];

#[test]
fn e2fsck_accepts_directories_of_every_format() {
    for case in CASES {
        let image = case.make();
        let mut directory = case.load(&image);
        let model = case.fill(&mut directory, 0);
        let levels = directory.format.is_indexed.then(|| directory.blocks[0][0x1e]);
        assert_eq!(levels, case.levels, "{}", case.features);
        case.store(&image, &directory, model.len());
        assert_clean(&image);
        let again = case.load(&image);
        for name in model.keys() {
            assert!(lookup(&again, name).unwrap().is_some());
        }
    }
}

#[test]
fn directories_that_e2fsck_indexed_are_read_and_edited() {
    for case in CASES.into_iter().filter(|case| case.levels.is_some()) {
        let image = case.make();
        let mut linear = case.load(&image);
        linear.format.may_index = false;
        let model = case.fill(&mut linear, 0);
        case.store(&image, &linear, model.len());
        assert_clean(&image);
        run("e2fsck", &["-fyD", image.to_str().unwrap()]);
        let mut directory = case.load(&image);
        assert!(directory.format.is_indexed, "e2fsck -D makes an index");
        for name in model.keys() {
            let found = htree::find(&directory, name).unwrap();
            assert_eq!(found.unwrap().entry.inode, FILE, "{name:02x?}");
        }
        let more = case.fill(&mut directory, 100_000);
        case.store(&image, &directory, model.len() + more.len());
        assert_clean(&image);
    }
}

/// Two names of 250 bytes with the same legacy hash, found by a search.
fn colliding_names(hash: &NameHash) -> [Vec<u8>; 2] {
    let mut by_hash = BTreeMap::new();
    for number in 0..1_000_000u32 {
        let name = format!("{:0>250}", format!("{number:x}")).into_bytes();
        if let Some(other) = by_hash.insert(hash.hash(&name), name.clone()) {
            return [other, name];
        }
    }
    panic!("no collision");
}

#[test]
fn e2fsck_accepts_a_leaf_that_was_split_between_names_with_one_hash() {
    let case = Case { features: "metadata_csum", hash: "legacy", is_unsigned: false, ..CASES[3] };
    let image = case.make();
    let mut directory = case.load(&image);
    let hash = NameHash::of_version(0, false, HASH_SEED).unwrap();
    let twins = colliding_names(&hash);
    let middle = hash.hash(&twins[0]);
    let other = |is_lower: bool| {
        let mut names = (0..1000).map(|number| format!("{number:x>250}").into_bytes());
        names.find(|name| (hash.hash(name) < middle) == is_lower).unwrap()
    };
    // In order of hash: lower, twin, twin, higher. Each half gets one twin.
    let all = [other(true), twins[0].clone(), twins[1].clone(), other(false)];
    for name in &all {
        directory.add(name, FILE).unwrap();
    }
    assert_eq!(directory.blocks.len(), 3);
    let second_hash = &directory.blocks[0][0x28..0x2c];
    assert_eq!(second_hash, (middle | 1).to_le_bytes(), "the second leaf continues the first");
    for name in &all {
        assert!(htree::find(&directory, name).unwrap().is_some());
    }
    case.store(&image, &directory, all.len());
    assert_clean(&image);
}

#[test]
fn e2fsck_accepts_a_large_directory_of_three_levels() {
    let case = Case {
        features: "metadata_csum,large_dir",
        len_max: 1,
        size: "64M",
        names: 0,
        levels: Some(2),
        ..CASES[3]
    };
    let image = case.make();
    let mut directory = case.load(&image);
    let mut number = 0;
    while !directory.format.is_indexed || directory.blocks[0][0x1e] < 2 {
        directory.add(format!("{number:0>250}").as_bytes(), FILE).unwrap();
        number += 1;
    }
    case.store(&image, &directory, number);
    assert_clean(&image);
}
