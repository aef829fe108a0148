//! Random sequences of edits on NTFS volumes that ntfs-3g filled and fragmented, against a plain model.
//!
//! After each sequence the strict checker looks at the whole volume, and what it reads must be what the model says.
//! `REGAIN_RANDOM_SEQUENCES=N` sets how many sequences run in total, `REGAIN_RANDOM_SEED=N` where they start; a
//! failure prints the seed of its sequence.

use crate::support::ntfs_bench::{open, store};
use crate::support::ntfs_mount::Mount;
use crate::support::ntfs_sequence::{Model, Sequence};
use crate::support::scratch::Scratch;
use crate::support::sequence::number;
use crate::support::{ntfs_check, ntfs_image, ntfs_tools, ntfs_tree};
use regain::disk::memory::MemoryDisk;
use std::sync::Arc;

/// Sequences of one run of the suite, over all volumes.
const SEQUENCES_DEFAULT: u64 = 1_000;
/// The outside programs look at one sequence in so many.
const TOOLS_EVERY: u64 = 70;
/// Sequences that ntfs-3g looks at, of each volume.
const MOUNTED_SEQUENCES: u64 = 10;

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
        #[ignore = "needs root and FUSE"]
        fn root_only_ntfs_3g_shows_what_random_edits_left() {
            for fixture in [$($fixture),*] {
                println!("{fixture}");
                show_to_ntfs_3g(fixture);
            }
        }
    };
}

sequences! {
    c512: "c512";
    c1k: "c1k";
    c2k: "c2k";
    c4k: "c4k";
    c8k: "c8k";
    s1k: "s1k";
    s4k: "s4k";
    s4k_c64k: "s4k-c64k";
}

/// A populated volume, and a copy that the checker sees patched.
struct Bench {
    fixture: &'static str,
    base: Arc<MemoryDisk>,
    patched: Vec<u8>,
    model: Model,
}

impl Bench {
    fn new(fixture: &'static str) -> Self {
        let patched = ntfs_image::bytes(fixture).to_vec();
        let (findings, listing) = ntfs_check::check_and_list(&patched);
        assert_eq!(findings, Vec::<String>::new(), "{fixture}");
        let model = Model::new(&listing.unwrap());
        Self { fixture, base: ntfs_image::disk(fixture), patched, model }
    }

    /// Runs the sequence of `seed` and judges it; `look` sees the volume as it is then.
    fn run(&mut self, seed: u64, look: impl FnOnce(&[u8], &Sequence)) -> Sequence {
        let what = format!("{}, REGAIN_RANDOM_SEED={seed} REGAIN_RANDOM_SEQUENCES=1", self.fixture);
        let mut sequence = Sequence::new(self.base.clone(), &self.model, seed);
        sequence.run(&what);
        let changes = sequence.overlay.changes().unwrap();
        store(&mut self.patched, &changes, |change| &change.after);
        let (findings, listing) = ntfs_check::check_and_list(&self.patched);
        let some = &findings[..findings.len().min(12)];
        assert!(findings.is_empty(), "{what}: {some:#?}: {:#?}", sequence.log);
        let told = || format!("{what}: {:#?}", sequence.log);
        sequence.model.assert_equals(&listing.unwrap(), &self.patched, &told);
        look(&self.patched, &sequence);
        store(&mut self.patched, &changes, |change| &change.before);
        sequence
    }
}

fn run(fixture: &'static str) {
    let mut bench = Bench::new(fixture);
    let first_seed = number("REGAIN_RANDOM_SEED", 1);
    let total = number("REGAIN_RANDOM_SEQUENCES", SEQUENCES_DEFAULT);
    let (mut done, mut refused) = (0u64, 0u64);
    for index in 0..total.div_ceil(VOLUME_COUNT) {
        let seed = first_seed.wrapping_add(index);
        let sequence = bench.run(seed, |volume, sequence| {
            if index % TOOLS_EVERY == 0 {
                assert_outside(volume, sequence, &format!("{fixture}, seed {seed}"));
            }
        });
        done += sequence.done;
        refused += sequence.refused;
    }
    println!("{fixture}: {done} edits, {refused} refused");
    assert!(done > refused * 4, "{fixture}: {refused} edits were refused, only {done} done");
}

/// The outside programs are silent, and our own reader shows what the checker shows.
fn assert_outside(volume: &[u8], sequence: &Sequence, what: &str) {
    let scratch = Scratch::new();
    let image = scratch.join("disk.img");
    std::fs::write(&image, volume).unwrap();
    for verdict in ntfs_tools::verdicts(&image) {
        assert_eq!(verdict, ntfs_tools::NtfsVerdict::Silent, "{what}: {:#?}", sequence.log);
    }
    let ours = ntfs_tree::of_reader(open(sequence.overlay.clone()).as_file_system());
    ntfs_tree::assert_agree(&ours, &ntfs_check::tree(volume), &["size", "record"], what);
}

fn show_to_ntfs_3g(fixture: &'static str) {
    let mut bench = Bench::new(fixture);
    for seed in 1..=MOUNTED_SEQUENCES {
        bench.run(seed, |volume, sequence| {
            let what = format!("{fixture}, seed {seed}: {:#?}", sequence.log);
            let scratch = Scratch::new();
            let image = scratch.join("disk.img");
            std::fs::write(&image, volume).unwrap();
            let mount = Mount::new(&image, &scratch.join("mount"), "ro");
            let shown = ntfs_tree::of_mount(mount.root());
            let ours = ntfs_tree::of_reader(open(sequence.overlay.clone()).as_file_system());
            ntfs_tree::assert_agree(&ours, &shown, &["size", "content", "record"], &what);
            drop(mount);
            let mount = Mount::new(&image, &scratch.join("mount"), "rw");
            for part in std::fs::read_dir(mount.root()).unwrap() {
                let path = part.unwrap().path();
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap();
                } else {
                    std::fs::remove_file(path).unwrap();
                }
            }
            drop(mount);
            let found = ntfs_check::check(&image, 0);
            assert_eq!(found, Vec::<String>::new(), "{what}: everything removed");
        });
    }
}
