//! Volumes for the tests of these modules: made by `mkfs.btrfs`, judged by `btrfs check`.

use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::testing::{directory, program, write_sparse};
use crate::disk::{self, Disk};
use crate::fs::Timestamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The time of all edits.
pub(crate) const CLOCK: Timestamp = Timestamp { seconds: 1_800_000_000, nanoseconds: 7 };

/// Volumes that the kernel filled (`fixtures/btrfs`); most have snapshots.
pub(crate) const RECORDED: &[&str] = &[
    "default",
    "xxhash",
    "sha256",
    "blake2",
    "mixed",
    "node-64k",
    "dup-data",
    "zstd",
    "metadata-uuid",
    "suse",
    "micro",
    "fedora",
    "ubuntu",
    "shared/snapshots",
    "shared/removed",
    "shared/balanced",
    "shared/removing",
];

/// The volumes that were made already: several tests use the same one.
static MADE: LazyLock<Mutex<HashMap<String, Arc<MemoryDisk>>>> = LazyLock::new(Mutex::default);

/// A file with the content of a disk, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Vanishes with the value.
    _directory: tempfile::TempDir,
    /// The file.
    pub(crate) path: PathBuf,
}

impl Copy {
    /// Writes the content of `disk`; zeros become holes.
    pub(crate) fn of(disk: &dyn Disk) -> Self {
        let directory = disk::testing::directory();
        let path = directory.path().join("disk.img");
        write_sparse(disk, &path);
        Self { _directory: directory, path }
    }
}

/// A program of newer btrfs-progs than those of the system, if `fixtures/btrfs/tools` brought it.
fn newer(name: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/btrfs-progs/bin");
    Some(place.join(name)).filter(|path| path.is_file())
}

/// Runs a program of btrfs-progs: of the newer ones, if they are there.
pub(crate) fn run_newer(name: &str, arguments: &[&str]) -> Output {
    let Some(path) = newer(name) else { return run(name, arguments) };
    Command::new(path).args(arguments).env("LC_ALL", "C").output().unwrap()
}

/// Runs a program of btrfs-progs.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).env("LC_ALL", "C").output().unwrap_or_else(|error| {
        panic!("{name} (package btrfs-progs) is needed: {error}");
    })
}

/// A small tree of files: `etc/passwd`, 40 files in `many`, a large file, a link.
fn populate(root: &Path) {
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::create_dir_all(root.join("many")).unwrap();
    put(&root.join("etc/passwd"), b"root:x:0:0:root:/root:/bin/bash\n");
    for index in 0..40 {
        put(&root.join(format!("many/file-{index}")), format!("content {index}\n").as_bytes());
    }
    let large: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
    put(&root.join("large"), &large);
    std::os::unix::fs::symlink("etc/passwd", root.join("link")).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
fn put(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}

/// A volume of 128 MiB made by `mkfs.btrfs` with these arguments.
pub(crate) fn base(arguments: &[&str]) -> Arc<MemoryDisk> {
    sized(128 * 1024 * 1024, arguments)
}

/// A volume of `bytes` made by `mkfs.btrfs` with these arguments.
#[expect(clippy::disallowed_methods, reason = "tests write their own images")]
pub(crate) fn sized(bytes: u64, arguments: &[&str]) -> Arc<MemoryDisk> {
    let name = format!("{bytes} {}", arguments.join(" "));
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let directory = directory();
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap();
        populate(&files);
        let image = directory.path().join("disk.img");
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let mut all = vec!["-q", "--rootdir", files.to_str().unwrap()];
        all.extend(arguments);
        all.push(image.to_str().unwrap());
        let needs_newer = arguments.contains(&"block-group-tree");
        assert!(
            !needs_newer || newer("mkfs.btrfs").is_some(),
            "btrfs-progs of Debian 13 are needed: fixtures/btrfs/tools"
        );
        let make = if needs_newer { run_newer } else { run };
        let output = make("mkfs.btrfs", &all);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        Arc::new(MemoryDisk::new(std::fs::read(&image).unwrap()))
    };
    made.entry(name).or_insert_with(make).clone()
}

/// As [`base`], under an empty overlay.
pub(crate) fn fixture(arguments: &[&str]) -> Arc<Overlay> {
    Arc::new(Overlay::new(base(arguments)))
}

/// What `btrfs check --readonly` says about the content of `disk`; empty if it finds nothing.
pub(crate) fn check(disk: &dyn Disk) -> String {
    let copy = Copy::of(disk);
    let output = run_newer("btrfs", &["check", "--readonly", copy.path.to_str().unwrap()]);
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.concat();
    let is_clean = output.status.success()
        && text.contains("no error found")
        && !text.to_lowercase().contains("mismatch")
        && !text.contains("ERROR");
    if is_clean { String::new() } else { text }
}

/// Fails unless `btrfs check --readonly` finds nothing wrong with the content of `disk`.
pub(crate) fn assert_clean(disk: &dyn Disk, what: &str) {
    let findings = check(disk);
    assert!(findings.is_empty(), "{what}: {findings}");
}

/// What `btrfs inspect-internal dump-tree` prints with these arguments.
pub(crate) fn dump(disk: &dyn Disk, arguments: &[&str]) -> String {
    let copy = Copy::of(disk);
    let mut all = vec!["inspect-internal", "dump-tree"];
    all.extend(arguments);
    all.push(copy.path.to_str().unwrap());
    let output = run("btrfs", &all);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_oracle_accepts_a_fixture_and_finds_damage() {
    let disk = fixture(&[]);
    assert_clean(&*disk, "as made");
    let volume = super::volume::Volume::open(disk.clone()).unwrap();
    let root = volume.root(super::key::object::FS_TREE).unwrap();
    for physical in volume.chunks().copies(root.bytenr, 16384).unwrap() {
        use crate::disk::DiskEdit as _;
        disk.write_at(physical + 200, &[0xff; 8], "damage").unwrap();
    }
    assert!(!check(&*disk).is_empty());
}

/// A volume of `fixtures/btrfs` (see `INDEX` there) under an empty overlay, such as `default` or `dirty/append`.
pub(crate) fn recorded(name: &str) -> Arc<Overlay> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let unpack = || {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/btrfs");
        let path = fixtures.join(format!("{name}.zst"));
        let output = Command::new(program("zstd")).args(["-q", "-d", "-c"]).arg(&path).output();
        let output = output.unwrap_or_else(|error| panic!("zstd (package zstd): {error}"));
        assert!(output.status.success(), "{}: {output:?}", path.display());
        Arc::new(MemoryDisk::new(output.stdout))
    };
    Arc::new(Overlay::new(made.entry(format!("recorded {name}")).or_insert_with(unpack).clone()))
}
