//! The Btrfs volumes of `fixtures/btrfs`: what there is, how a test gets one, and how the kernel mounts it.

use super::mount::Mount;
use super::packed;
use super::scratch::Scratch;
use super::tree::Tree;
use std::path::{Path, PathBuf};

pub(crate) use super::packed::overlay;

/// The folder with the volumes.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/btrfs")
}

/// The names of all volumes in a folder (empty, or `dirty/`), sorted, with it.
pub(crate) fn names(below: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder().join(below)).unwrap();
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            let name = name.strip_suffix(".zst").filter(|name| !name.contains(".tree"))?;
            Some(format!("{below}{name}"))
        })
        .collect();
    names.sort();
    names
}

/// Unpacks a volume into `scratch`; zeros become holes.
pub(crate) fn unpack(scratch: &Scratch, name: &str) -> PathBuf {
    packed::unpack(&folder(), scratch, name)
}

/// What the kernel shows in a volume, with its log replayed.
pub(crate) fn recorded_tree(name: &str) -> Tree {
    packed::recorded_tree(&folder(), name)
}

/// Compares what the kernel shows with what is recorded. With `REGAIN_BLESS=1` it is recorded instead.
pub(crate) fn assert_recorded(name: &str, tree: &Tree) {
    packed::assert_recorded(&folder(), name, tree);
}

/// Drops the times of the empty directories that a snapshot shows in place of subvolumes: the kernel takes those of
/// the mount.
pub(crate) fn without_stub_times(tree: &mut Tree, stubs: &Tree) {
    for (path, fields) in &mut tree.0 {
        let is_stub = stubs
            .0
            .get(path)
            .is_some_and(|stub| stub["type"] == "Directory" && stub["mtime"] == "0.000000000");
        if is_stub {
            fields.remove("mtime");
            fields.remove("ctime");
        }
    }
}

/// Mounts the volume `image` at `place`.
///
/// # Panics
/// Without root, or if the kernel refuses.
pub(crate) fn mount(image: &Path, place: &Path, options: &str) -> Mount {
    Mount::of_image("btrfs", image, place, options)
}
