//! The XFS volumes of `fixtures/xfs`: what there is, and how a test gets one.

use super::packed::{self, unpack_to};
use super::scratch::Scratch;
use super::tree::Tree;
use super::xfs_tools;
use std::fs::File;
use std::path::{Path, PathBuf};

pub(crate) use super::packed::overlay;

/// One line of `fixtures/xfs/INDEX`.
#[derive(Debug, Clone)]
pub(crate) struct IndexLine {
    /// The name of the volume.
    pub(crate) name: String,
    /// SHA-256 of the unpacked volume.
    pub(crate) digest: String,
}

/// The folder with the volumes.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/xfs")
}

/// What the index in `below` (`.` or `dirty`) lists, by name.
pub(crate) fn index(below: &str) -> Vec<IndexLine> {
    let text = std::fs::read_to_string(folder().join(below).join("INDEX")).unwrap();
    let mut lines: Vec<IndexLine> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap();
            let (name, _size, digest) = (word(), word(), word());
            IndexLine { name, digest }
        })
        .collect();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    lines
}

/// The names of all clean volumes, sorted.
pub(crate) fn names() -> Vec<String> {
    names_in(&folder())
}

/// The names of all volumes with a dirty log, sorted, such as `dirty/create`.
pub(crate) fn dirty_names() -> Vec<String> {
    names_in(&folder().join("dirty")).into_iter().map(|name| format!("dirty/{name}")).collect()
}

/// True if kernels of today mount the volume: neither version 4 nor case-insensitive, and no realtime.
pub(crate) fn is_mountable(name: &str) -> bool {
    !["v4", "ascii-ci", "realtime"].iter().any(|prefix| name.starts_with(prefix))
}

/// What an outside reader shows in a volume, with a dirty log replayed.
pub(crate) fn recorded_tree(name: &str) -> Tree {
    packed::recorded_tree(&folder(), name)
}

/// Compares what an outside reader shows with what is recorded. With `REGAIN_BLESS=1` it is recorded instead.
pub(crate) fn assert_recorded(name: &str, tree: &Tree) {
    packed::assert_recorded(&folder(), name, tree);
}

/// Makes a file system of `mib` at `path` with these options of mkfs.xfs, separated by spaces.
pub(crate) fn make(path: &Path, mib: u64, options: &str) {
    File::create(path).unwrap().set_len(mib << 20).unwrap();
    let mut arguments = vec!["-q"];
    arguments.extend(options.split_whitespace());
    arguments.push(path.to_str().unwrap());
    let output = xfs_tools::run("mkfs.xfs", &arguments);
    assert!(output.status.success(), "mkfs.xfs {options}: {output:?}");
}

fn names_in(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".zst").map(str::to_owned)
        })
        .filter(|name| Path::new(name).extension().is_none())
        .collect();
    names.sort();
    names
}

/// Unpacks a volume into `scratch`; zeros become holes.
pub(crate) fn unpack(scratch: &Scratch, name: &str) -> PathBuf {
    packed::unpack(&folder(), scratch, name)
}

/// Unpacks the log device of a volume, if it has one.
pub(crate) fn unpack_log(scratch: &Scratch, name: &str) -> Option<PathBuf> {
    let packed = folder().join(format!("{name}.log.zst"));
    let path = scratch.join(&format!("{name}.log"));
    packed.exists().then(|| {
        unpack_to(&packed, &path, &[]);
        path
    })
}
