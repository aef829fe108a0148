//! Images laid into logical volumes, as an ordinary user: files that are physical volumes.

use super::lvm_build::{GroupSpec, SegmentSpec, linear};
use super::tools;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Size of an extent, and of a stripe.
const EXTENT_BYTES: u64 = 1 << 20;
const STRIPE_BYTES: u64 = 64 << 10;

/// How a logical volume lies on its physical volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lay {
    /// In two segments on one, not in their order.
    Linear,
    /// The first half on one, the second half on another.
    TwoDisks,
    /// In stripes of 64 KiB on two.
    Striped,
}

impl Lay {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Linear, Self::TwoDisks, Self::Striped];

    /// The group `group` whose logical volume `root` has `len_bytes`, rounded up to extents; `other` lies beside it.
    pub(crate) fn group(self, len_bytes: u64) -> GroupSpec {
        let half = len_bytes.div_ceil(2 * EXTENT_BYTES);
        let (physical, segments) = match self {
            Self::Linear => {
                (vec![2 * half + 3], vec![linear(0, half + 1, half), linear(0, 1, half)])
            }
            Self::TwoDisks => {
                (vec![half + 3, half + 3], vec![linear(1, 2, half), linear(0, 1, half)])
            }
            Self::Striped => {
                let lanes = vec![(1, 1), (0, 2)];
                let (extents, stripe_bytes) = (2 * half, STRIPE_BYTES);
                let striped = SegmentSpec::Striped { extents, stripe_bytes, lanes };
                (vec![half + 3, half + 3], vec![striped])
            }
        };
        let group = GroupSpec::new(EXTENT_BYTES, &physical).with("root", segments);
        group.with("other", vec![linear(0, 0, 1)])
    }
}

/// Lays the file system in the file `image` into the logical volume `root`: the physical volumes, as files in
/// `directory` called `pv0`, `pv1`.
pub(crate) fn put(image: &Path, lay: Lay, directory: &Path) -> Vec<PathBuf> {
    let image = File::open(image).unwrap();
    let len_bytes = image.metadata().unwrap().len();
    let group = lay.group(len_bytes);
    let paths: Vec<PathBuf> =
        (0..group.physical.len()).map(|index| directory.join(format!("pv{index}"))).collect();
    let files: Vec<File> = paths.iter().map(|path| File::create(path).unwrap()).collect();
    for (index, file) in files.iter().enumerate() {
        file.set_len(group.physical_bytes(index)).unwrap();
        file.write_all_at(&group.head(index), 0).unwrap();
    }
    each_chunk(&group, len_bytes, |at, physical, offset, buffer| {
        image.read_exact_at(buffer, at).unwrap();
        if buffer.iter().any(|byte| *byte != 0) {
            files[physical].write_all_at(buffer, offset).unwrap();
        }
    });
    paths
}

/// Takes the logical volume `root` of `len_bytes` out of `physical`, which [`put`] made, into the file `image`.
pub(crate) fn take(physical: &[PathBuf], lay: Lay, len_bytes: u64, image: &Path) {
    let out = File::create(image).unwrap();
    out.set_len(len_bytes).unwrap();
    let files: Vec<File> = physical.iter().map(|path| File::open(path).unwrap()).collect();
    each_chunk(&lay.group(len_bytes), len_bytes, |at, physical, offset, buffer| {
        files[physical].read_exact_at(buffer, offset).unwrap();
        if buffer.iter().any(|byte| *byte != 0) {
            out.write_all_at(buffer, at).unwrap();
        }
    });
}

fn each_chunk(
    group: &GroupSpec,
    len_bytes: u64,
    mut visit: impl FnMut(u64, usize, u64, &mut [u8]),
) {
    let mut buffer = vec![0; STRIPE_BYTES as usize];
    for (at, physical, offset, len) in group.runs(0) {
        for inside in (0..len).step_by(STRIPE_BYTES as usize) {
            let left = len_bytes.saturating_sub(at + inside).min(STRIPE_BYTES);
            visit(at + inside, physical, offset + inside, &mut buffer[..left as usize]);
        }
    }
}

/// The metadata of the physical volume in the file `path`, as `pvck` finds them.
///
/// # Panics
/// If it finds fault with them.
pub(crate) fn judged_metadata(path: &Path) -> String {
    let mut command = tools::command("lvm");
    command.args(["pvck", "--dump", "metadata", "--config", "global{activation=0}"]).arg(path);
    let output = command.env("LVM_SUPPRESS_FD_WARNINGS", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", path.display());
    assert!(said.contains("\n  ---\n"), "{}: {said}{errors}", path.display());
    said
}
