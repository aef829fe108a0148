//! Random sequences of edits on XFS volumes that the kernel filled and fragmented, against a plain model.
//!
//! After each sequence the patched volume goes to xfs_repair, and our own reader must show what the model says.
//! `REGAIN_RANDOM_SEQUENCES=N` sets how many sequences run in total, `REGAIN_RANDOM_SEED=N` where they start; a
//! failure prints the seed of its sequence.

use crate::support::model::Model;
use crate::support::scratch::Scratch;
use crate::support::sequence::{CLOCK, Sequence, number, store};
use crate::support::xfs_mount::Mount;
use crate::support::{tools, xfs_image, xfs_tools, xfs_tree};
use regain::disk::DiskEdit;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::FileEdit;
use regain::fs::known;
use regain::fs::probe::ProbeKind;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Sequences of one run of the suite, over all volumes.
const SEQUENCES_DEFAULT: u64 = 1_050;
/// Sequences that the kernel looks at, of each volume.
const KERNEL_SEQUENCES: u64 = 5;

macro_rules! sequences {
    ($($name:ident: $fixture:expr;)*) => {
        const VOLUME_COUNT: u64 = [$(stringify!($name)),*].len() as u64;
        $(
            #[test]
            fn $name() {
                run($fixture);
            }
        )*

        #[test]
        #[ignore = "needs root and loop devices"]
        fn root_only_the_kernel_shows_what_random_edits_left() {
            for fixture in [$($fixture),*] {
                println!("{fixture}");
                show_to_the_kernel(fixture);
            }
        }
    };
}

sequences! {
    rhel7: "rhel7";
    al2: "al2";
    rhel8: "rhel8";
    default: "default";
    rhel10: "rhel10";
    parent: "parent";
    parent_1k: "parent-1k";
    block_1k_rmap: "block-1k-rmap";
    block_2k: "block-2k";
    block_16k: "block-16k";
    sector_4k_parent: "sector-4k-parent";
    inode_2k: "inode-2k";
    directory_8k: "directory-8k";
    directory_4k_block_1k: "directory-4k-block-1k";
}

fn run(fixture: &str) {
    let bench = Bench::new(fixture);
    let first_seed = number("REGAIN_RANDOM_SEED", 1);
    let total = number("REGAIN_RANDOM_SEQUENCES", SEQUENCES_DEFAULT);
    let (mut done, mut refused) = (0u64, 0u64);
    for index in 0..total.div_ceil(VOLUME_COUNT) {
        let seed = first_seed.wrapping_add(index);
        let what = format!("{fixture}, REGAIN_RANDOM_SEED={seed} REGAIN_RANDOM_SEQUENCES=1");
        let mut sequence = Sequence::new(open, bench.base.clone(), &bench.model, seed, &what);
        sequence.run();
        bench.judge(&sequence, &what, |_| {});
        done += sequence.done;
        refused += sequence.refused;
    }
    println!("{fixture}: {done} edits, {refused} refused");
    assert!(done > refused * 4, "{fixture}: {refused} edits were refused, only {done} done");
}

fn show_to_the_kernel(fixture: &str) {
    let bench = Bench::new(fixture);
    for seed in 1..=KERNEL_SEQUENCES {
        let what = format!("{fixture}, seed {seed}");
        let mut sequence = Sequence::new(open, bench.base.clone(), &bench.model, seed, &what);
        sequence.run();
        bench.judge(&sequence, &what, |image| {
            let copy = bench.scratch.join("copy.img");
            tools::copy_sparse(image, &copy);
            let mount = Mount::new(&copy, None, &bench.scratch.join("mount"), "ro");
            let ours = xfs_tree::of_reader(sequence.fs.as_file_system());
            xfs_tree::assert_equal(&xfs_tree::of_kernel(mount.root()), &ours, &what);
            drop(mount);
            let mount = Mount::new(&copy, None, &bench.scratch.join("mount"), "rw");
            for part in std::fs::read_dir(mount.root()).unwrap() {
                let path = part.unwrap().path();
                if path.is_symlink() || !path.is_dir() {
                    std::fs::remove_file(path).unwrap();
                } else {
                    std::fs::remove_dir_all(path).unwrap();
                }
            }
            drop(mount);
            xfs_tools::assert_silent(&copy, &format!("{what}: everything removed"));
        });
    }
}

/// A populated volume, and a host file in which the checker sees it patched.
struct Bench {
    scratch: Scratch,
    path: PathBuf,
    base: Arc<MemoryDisk>,
    model: Model,
}

impl Bench {
    fn new(fixture: &str) -> Self {
        let scratch = Scratch::new();
        let path = xfs_image::unpack(&scratch, fixture);
        let base = Arc::new(MemoryDisk::new(std::fs::read(&path).unwrap()));
        let fs = open(Arc::new(Overlay::new(base.clone())));
        let model = Model::read(fs.as_file_system()).unwrap();
        Self { scratch, path, base, model }
    }

    fn judge(&self, sequence: &Sequence<'_>, what: &str, look: impl FnOnce(&PathBuf)) {
        // Once more, so that nothing is remembered.
        let fs = open(sequence.overlay.clone());
        let found = Model::read(fs.as_file_system()).unwrap();
        assert_eq!(found, sequence.model, "{what}: our own reader differs");
        let changes = sequence.overlay.changes().unwrap();
        let file = File::options().write(true).open(&self.path).unwrap();
        store(&file, &changes, |change| &change.after);
        xfs_tools::assert_silent(&self.path, &format!("{what}: {:#?}", sequence.log));
        look(&self.path);
        store(&file, &changes, |change| &change.before);
    }
}

fn open(disk: Arc<dyn DiskEdit>) -> Box<dyn FileEdit> {
    let fs = known::open(ProbeKind::Xfs, disk, CLOCK).unwrap();
    fs.check_writable().unwrap();
    fs
}
