//! The Btrfs volumes of `fixtures/btrfs`: what there is, how a test gets one, and how the kernel mounts it.

use super::scratch::Scratch;
use super::tree::Tree;
use super::{tools, xfs_tree};
use regain::disk::file::FileDisk;
use regain::disk::overlay::Overlay;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a mount is tried: other programs of the host take loop devices, too.
const ATTEMPTS: usize = 20;

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
    let path = scratch.join(&format!("{}.img", name.replace('/', "-")));
    unpack_to(&folder().join(format!("{name}.zst")), &path);
    path
}

fn unpack_to(packed: &Path, path: &Path) {
    let arguments = ["-q", "-d", "-f", "--sparse", packed.to_str().unwrap(), "-o"];
    tools::succeed("zstd", &[&arguments[..], &[path.to_str().unwrap()]].concat());
}

/// The volume at `path` under an empty overlay.
pub(crate) fn overlay(path: &Path) -> Arc<Overlay> {
    let file = File::open(path).unwrap();
    let len_bytes = file.metadata().unwrap().len();
    Arc::new(Overlay::new(Arc::new(FileDisk::new(file, len_bytes, 512))))
}

/// What the kernel shows in a volume, with its log replayed.
pub(crate) fn recorded_tree(name: &str) -> Tree {
    let scratch = Scratch::new();
    let path = scratch.join("tree");
    unpack_to(&folder().join(format!("{name}.tree.zst")), &path);
    xfs_tree::decode(&std::fs::read_to_string(path).unwrap())
}

/// Compares what the kernel shows with what is recorded. With `REGAIN_BLESS=1` it is recorded instead.
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

/// A mounted volume, unmounted on drop.
#[derive(Debug)]
pub(crate) struct Mount {
    place: PathBuf,
}

impl Mount {
    /// Mounts `image`.
    ///
    /// # Panics
    /// Without root, or if the kernel refuses.
    pub(crate) fn new(image: &Path, place: &Path, options: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root and loop devices");
        std::fs::create_dir_all(place).unwrap();
        let options = format!("loop,{options}");
        let (image, target) = (image.to_str().unwrap(), place.to_str().unwrap());
        let arguments = ["-t", "btrfs", "-o", &options, image, target];
        let mounted = Self { place: place.to_owned() };
        for _ in 1..ATTEMPTS {
            if tools::run("mount", &arguments).status.success() {
                return mounted;
            }
        }
        tools::succeed("mount", &arguments);
        mounted
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        tools::run("umount", &[self.place.to_str().unwrap()]);
    }
}
