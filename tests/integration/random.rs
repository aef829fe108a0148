//! Random sequences of edits on populated volumes of every shape, against a plain model.
//!
//! After each sequence the patched volume goes to the outside checker, and our own reader must show what the
//! model says; on a sample, so must `debugfs`. `REGAIN_RANDOM_SEQUENCES=N` sets how many sequences run in
//! total, `REGAIN_RANDOM_SEED=N` where they start; a failure prints the seed of its sequence.

use crate::support::model::Model;
use crate::support::populated::populated;
use crate::support::scratch::Scratch;
use crate::support::sequence::{CLOCK, Sequence, number, store};
use crate::support::shapes::{Shape, every_shape};
use crate::support::{oracle, tree};
use regain::disk::DiskEdit;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::ext::Ext;
use regain::fs::{FileEdit, FileSystem as _};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Sequences of one run of the suite, over all shapes.
const SEQUENCES_DEFAULT: u64 = 2_250;
/// Of these, one in so many is also compared with what `debugfs` reads.
const OUTSIDE_READ_EVERY: u64 = 10;

macro_rules! sequences {
    ($($name:ident: $kind:expr, $mib:expr, $arguments:expr, $features:expr, $tune:expr;)*) => {
        const SHAPE_COUNT: u64 = [$(stringify!($name)),*].len() as u64;
        $(
            #[test]
            fn $name() {
                run(stringify!($name), Shape {
                    kind: $kind, size_mib: $mib, arguments: $arguments, features: $features, tune: $tune,
                });
            }
        )*
    };
}
every_shape!(sequences);

fn run(name: &str, shape: Shape) {
    let total = number("REGAIN_RANDOM_SEQUENCES", SEQUENCES_DEFAULT);
    let first_seed = number("REGAIN_RANDOM_SEED", 1);
    let bench = Bench::new(shape);
    let (mut done, mut refused) = (0u64, 0u64);
    for index in 0..total.div_ceil(SHAPE_COUNT) {
        let seed = first_seed.wrapping_add(index);
        let what = format!("{name}, REGAIN_RANDOM_SEED={seed} REGAIN_RANDOM_SEQUENCES=1");
        let mut sequence = Sequence::new(open, bench.base.clone(), &bench.model, seed, &what);
        sequence.run();
        bench.judge(&sequence, &what, index % OUTSIDE_READ_EVERY == 0);
        done += sequence.done;
        refused += sequence.refused;
    }
    println!("{name}: {done} edits, {refused} refused");
    assert!(done > refused * 4, "{name}: {refused} edits were refused, only {done} done");
}

/// A populated volume, and a host file in which the checker sees it patched.
struct Bench {
    _scratch: Scratch,
    path: PathBuf,
    base: Arc<MemoryDisk>,
    model: Model,
}

impl Bench {
    fn new(shape: Shape) -> Self {
        let scratch = Scratch::new();
        let path = populated(&shape.builder()).build_in(&scratch, "a.img");
        let base = Arc::new(MemoryDisk::new(std::fs::read(&path).unwrap()));
        let fs = open(Arc::new(Overlay::new(base.clone())));
        let model = Model::read(fs.as_file_system()).unwrap();
        model.assert_equals(&tree::read(&path, 0), "before any edit");
        Self { _scratch: scratch, path, base, model }
    }

    fn judge(&self, sequence: &Sequence<'_>, what: &str, reads_outside: bool) {
        let (overlay, fs) = (&sequence.overlay, sequence.fs.as_file_system());
        assert_eq!(Model::read(fs).unwrap(), sequence.model, "{what}: our own reader differs");
        let changes = overlay.changes().unwrap();
        let file = File::options().write(true).open(&self.path).unwrap();
        store(&file, &changes, |change| &change.after);
        oracle::assert_clean(&self.path, 0, &format!("{what}: {:#?}", sequence.log));
        if reads_outside {
            sequence.model.assert_equals(&tree::read(&self.path, 0), what);
        }
        store(&file, &changes, |change| &change.before);
    }
}

fn open(disk: Arc<dyn DiskEdit>) -> Box<dyn FileEdit> {
    let fs = Ext::open(disk, CLOCK).unwrap();
    fs.check_writable().unwrap();
    Box::new(fs)
}
