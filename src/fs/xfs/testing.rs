//! Real volumes for the tests of these modules: made by the kernel (`fixtures/xfs`), looked at by `xfs_db`, judged
//! by xfs_repair.

// The oracle serves these tests and the black-box ones.
#[path = "../../../tests/integration/support/xfs_tools.rs"]
pub(crate) mod tools;

use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{self, Disk};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

pub(crate) use tools::RepairVerdict;

/// The fixtures that were unpacked already: several tests read the same one.
static UNPACKED: LazyLock<Mutex<HashMap<String, Arc<MemoryDisk>>>> = LazyLock::new(Mutex::default);

/// The bytes of a volume of `fixtures/xfs` (see `INDEX` there), such as `default` or `dirty/create`.
pub(crate) fn base(name: &str) -> Arc<MemoryDisk> {
    let mut unpacked = UNPACKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let unpack = || {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xfs");
        let path = fixtures.join(format!("{name}.zst"));
        let output = Command::new("zstd")
            .args(["-q", "-d", "-c"])
            .arg(&path)
            .output()
            .unwrap_or_else(|error| panic!("zstd (package zstd) is needed: {error}"));
        assert!(output.status.success(), "{}: {output:?}", path.display());
        Arc::new(MemoryDisk::new(output.stdout))
    };
    unpacked.entry(name.to_owned()).or_insert_with(unpack).clone()
}

/// A volume of `fixtures/xfs` under an empty overlay.
pub(crate) fn fixture(name: &str) -> Arc<Overlay> {
    Arc::new(Overlay::new(base(name)))
}

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
        disk::testing::write_sparse(disk, &path);
        Self { _directory: directory, path }
    }
}

/// What `xfs_repair -n` says about the content of `disk`.
pub(crate) fn repair(disk: &dyn Disk) -> RepairVerdict {
    tools::repair(&Copy::of(disk).path, None)
}

/// Fails unless `xfs_repair -n` says nothing about the content of `disk`.
pub(crate) fn assert_silent(disk: &dyn Disk, what: &str) {
    assert_eq!(repair(disk), RepairVerdict::Silent, "{what}");
}

/// What `xfs_db -r` prints for these commands.
pub(crate) fn db(disk: &dyn Disk, commands: &[&str]) -> String {
    tools::db(&Copy::of(disk).path, commands)
}

/// The value of one field that `xfs_db` prints as `name = value`.
pub(crate) fn db_field(disk: &dyn Disk, commands: &[&str], name: &str) -> String {
    let text = db(disk, commands);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    line.unwrap_or_else(|| panic!("{commands:?} shows no {name}: {text}")).to_owned()
}

#[test]
fn the_oracle_accepts_a_fixture_and_finds_a_wrong_count() {
    let disk = fixture("default");
    assert_silent(&*disk, "default");
    assert_eq!(db_field(&*disk, &["sb 0", "p"], "magicnum"), "0x58465342");
    let copy = Copy::of(&*disk);
    let changed = ["-x", "-c", "sb 0", "-c", "write fdblocks 1", copy.path.to_str().unwrap()];
    assert!(tools::run("xfs_db", &changed).status.success());
    assert!(matches!(tools::repair(&copy.path, None), RepairVerdict::Findings(_)));
}
