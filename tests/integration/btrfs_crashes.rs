//! Random crashes of Btrfs: a volume that is copied while it is mounted is shown as the kernel shows it after it has
//! replayed the log.
//!
//! `REGAIN_BTRFS_CRASHES` makes more of them, `REGAIN_SEED` others.

use crate::support::btrfs_image;
use crate::support::scratch::Scratch;
use crate::support::tree::Tree;
use crate::support::{tools, xfs_tree};
use regain::fs::btrfs::Btrfs;
use regain::fs::{FileSystem as _, Health, Timestamp};
use std::path::Path;

/// Crashes in a usual run.
const CRASHES: u64 = 4;
/// Options of mkfs.btrfs.
const SHAPES: [&str; 4] = ["-m single", "-m single -O ^no-holes", "-m single -n 4096", "--mixed"];
/// Options of the mount: no transaction is committed but by what is done.
const MOUNTS: [&str; 2] = ["commit=3000", "commit=3000,compress=zstd"];

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
#[ignore = "needs root: loop devices and mounts"]
fn root_only_random_crashes_of_btrfs_are_replayed_as_the_kernel_does() {
    let first = number("REGAIN_SEED", 0);
    for seed in first..first + number("REGAIN_BTRFS_CRASHES", CRASHES) {
        let scratch = Scratch::new();
        let image = scratch.join("image");
        crash(&scratch, seed, &image);
        let overlay = btrfs_image::overlay(&image);
        let fs = Btrfs::open(overlay, Timestamp::default()).unwrap();
        let found = (fs.health(), fs.warnings());
        assert_eq!(found, (Health::JournalDirty, [].as_slice()), "seed {seed}");
        let mut ours = xfs_tree::of_reader(&fs);
        let mount = btrfs_image::mount(&image, &scratch.join("mount"), "subvolid=5,noatime");
        let mut kernels = xfs_tree::of_kernel(mount.root());
        drop(mount);
        for tree in [&mut ours, &mut kernels] {
            forget_times_of_the_replay(tree);
        }
        xfs_tree::assert_equal(&kernels, &ours, &format!("seed {seed}"));
    }
}

/// Leaves in `image` what a power cut would.
fn crash(scratch: &Scratch, seed: u64, image: &Path) {
    let live = scratch.join("live");
    std::fs::File::create(&live).unwrap().set_len(128 << 20).unwrap();
    let shape = SHAPES[seed as usize % SHAPES.len()];
    let mut arguments: Vec<&str> = vec!["-q"];
    arguments.extend(shape.split(' '));
    arguments.push(live.to_str().unwrap());
    tools::succeed("mkfs.btrfs", &arguments);
    let options = MOUNTS[seed as usize / SHAPES.len() % MOUNTS.len()];
    let mount = btrfs_image::mount(&live, &scratch.join("mount"), options);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/btrfs/dirty/random");
    let root = mount.root().to_str().unwrap();
    tools::succeed("python3", &[script.to_str().unwrap(), root, &seed.to_string()]);
    tools::copy_sparse(&live, image);
}

/// The kernel sets some times while it replays.
fn forget_times_of_the_replay(tree: &mut Tree) {
    for fields in tree.0.values_mut() {
        fields.remove("ctime");
        if fields["type"] == "Directory" {
            fields.remove("mtime");
        }
    }
}
