//! The XFS volumes of `fixtures/xfs`: what there is, and how a test gets one.

use super::scratch::Scratch;
use super::tools;
use std::path::{Path, PathBuf};

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

/// What the index lists, by name.
pub(crate) fn index() -> Vec<IndexLine> {
    let text = std::fs::read_to_string(folder().join("INDEX")).unwrap();
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
