//! The XFS volumes of `fixtures/xfs`: what there is, and how a test gets one.

use super::scratch::Scratch;
use super::tree::Tree;
use super::{tools, xfs_tools, xfs_tree};
use regain::disk::file::FileDisk;
use regain::disk::overlay::Overlay;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let scratch = Scratch::new();
    let path = scratch.join("tree");
    unpack_to(&folder().join(format!("{name}.tree.zst")), &path);
    xfs_tree::decode(&std::fs::read_to_string(path).unwrap())
}

/// Compares what an outside reader shows with what is recorded. With `REGAIN_BLESS=1` it is recorded instead.
pub(crate) fn assert_recorded(name: &str, tree: &Tree) {
    if std::env::var_os("REGAIN_BLESS").is_some() {
        let scratch = Scratch::new();
        let path = scratch.join("tree");
        std::fs::write(&path, xfs_tree::encode(tree)).unwrap();
        let packed = folder().join(format!("{name}.tree.zst"));
        let arguments = ["-q", "--ultra", "-22", "-f", path.to_str().unwrap(), "-o"];
        tools::succeed("zstd", &[&arguments[..], &[packed.to_str().unwrap()]].concat());
    }
    xfs_tree::assert_equal(&recorded_tree(name), tree, name);
}

/// The volume at `path` under an empty overlay.
pub(crate) fn overlay(path: &Path) -> Arc<Overlay> {
    let file = File::open(path).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    Arc::new(Overlay::new(Arc::new(FileDisk::new(file, len_bytes, 512))))
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
    let path = scratch.join(&format!("{}.img", name.replace('/', "-")));
    unpack_to(&folder().join(format!("{name}.zst")), &path);
    path
}

/// Unpacks the log device of a volume, if it has one.
pub(crate) fn unpack_log(scratch: &Scratch, name: &str) -> Option<PathBuf> {
    let packed = folder().join(format!("{name}.log.zst"));
    let path = scratch.join(&format!("{name}.log"));
    packed.exists().then(|| {
        unpack_to(&packed, &path);
        path
    })
}

fn unpack_to(packed: &Path, path: &Path) {
    let arguments = ["-q", "-d", "-f", "--sparse", packed.to_str().unwrap(), "-o"];
    tools::succeed("zstd", &[&arguments[..], &[path.to_str().unwrap()]].concat());
}
