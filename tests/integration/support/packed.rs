//! Volumes that a fixture holds packed, and what an outside reader shows in them.

use super::scratch::Scratch;
use super::tree::Tree;
use super::{tools, xfs_tree};
use regain::disk::file::FileDisk;
use regain::disk::overlay::Overlay;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Unpacks the file `packed` to `path`; zeros become holes. `more` are further options of zstd.
pub(crate) fn unpack_to(packed: &Path, path: &Path, more: &[&str]) {
    let (packed, path) = (packed.to_str().unwrap(), path.to_str().unwrap());
    let arguments = [&["-q", "-d", "-f", "--sparse"], more, &[packed, "-o", path]].concat();
    tools::succeed("zstd", &arguments);
}

/// Unpacks the volume `name` of `folder` into `scratch`.
pub(crate) fn unpack(folder: &Path, scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.join(&format!("{}.img", name.replace('/', "-")));
    unpack_to(&folder.join(format!("{name}.zst")), &path, &[]);
    path
}

/// The text that is recorded of the volume `name` of `folder`.
pub(crate) fn recorded_text(folder: &Path, name: &str) -> String {
    let scratch = Scratch::new();
    let path = scratch.join("tree");
    unpack_to(&folder.join(format!("{name}.tree.zst")), &path, &[]);
    std::fs::read_to_string(path).unwrap()
}

/// What an outside reader shows in the volume `name` of `folder`, with its log replayed.
pub(crate) fn recorded_tree(folder: &Path, name: &str) -> Tree {
    xfs_tree::decode(&recorded_text(folder, name))
}

/// Compares what an outside reader shows with what is recorded. With `REGAIN_BLESS=1` it is recorded instead.
pub(crate) fn assert_recorded(folder: &Path, name: &str, tree: &Tree) {
    if std::env::var_os("REGAIN_BLESS").is_some() {
        let scratch = Scratch::new();
        let path = scratch.join("tree");
        std::fs::write(&path, xfs_tree::encode(tree)).unwrap();
        let packed = folder.join(format!("{name}.tree.zst"));
        let (path, packed) = (path.to_str().unwrap(), packed.to_str().unwrap());
        tools::succeed("zstd", &["-q", "--ultra", "-22", "-f", path, "-o", packed]);
    }
    xfs_tree::assert_equal(&recorded_tree(folder, name), tree, name);
}

/// The volume at `path` under an empty overlay.
pub(crate) fn overlay(path: &Path) -> Arc<Overlay> {
    let file = File::open(path).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    Arc::new(Overlay::new(Arc::new(FileDisk::new(file, len_bytes, 512))))
}
