//! The proof that a power cut at any moment of a write leaves an image in order.
//!
//! `REGAIN_POWER_CUT_SAMPLES=12` tries more parts of the unsynced writes at each cut than the quick run does.

use super::host::{Log, Operation, apply};
use super::{MemoryFiles, MemoryHost, Rng, read_all, read_medium};
use crate::disk::medium::Medium;
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, SECTOR_BYTES};
use crate::error::Result;
use crate::image::container::Opened;
use crate::image::container::files::{Access, ReadFiles, SharedMedium, WriteFile, WriteFiles};
use std::sync::Arc;

/// Opens a container.
pub(crate) type OpenRead = dyn Fn(&mut dyn ReadFiles) -> Result<Opened>;

/// Opens it for writing.
pub(crate) type OpenWrite = dyn Fn(WriteFiles) -> Result<Box<dyn Medium>>;

/// What the files of a container hold, in the order in which they are named.
pub(crate) type Files = [Vec<u8>];

/// How a format is opened, and who else judges it.
pub(crate) struct Judged<'a> {
    pub(crate) open: &'a OpenRead,
    pub(crate) open_writable: &'a OpenWrite,
    /// The names by which the container refers to its files; that of the target is empty.
    pub(crate) names: &'a [&'a str],
    /// A further file, which is only read: its name and what it holds.
    pub(crate) base: Option<(&'a str, &'a [u8])>,
    /// Called with everything that a cut leaves.
    pub(crate) check: &'a dyn Fn(&Files),
    /// Called with a part of that, and what we read out of it.
    pub(crate) judge: &'a dyn Fn(&Files, &[u8]),
    /// Every how manyth of what is left is judged.
    pub(crate) judge_every: usize,
    /// After every how manyth operation the power is cut.
    pub(crate) cut_every: usize,
}

impl<'a> Judged<'a> {
    /// A container that is one file, which nobody checks in between.
    pub(crate) fn one(
        (open, open_writable): (&'a OpenRead, &'a OpenWrite),
        judge: &'a dyn Fn(&Files, &[u8]),
        judge_every: usize,
    ) -> Self {
        let check = &|_: &Files| ();
        Self {
            open,
            open_writable,
            names: &[""],
            base: None,
            check,
            judge,
            judge_every,
            cut_every: 1,
        }
    }

    fn disk(&self, files: &Files) -> Arc<dyn Disk> {
        let (target, others) = files.split_first().unwrap();
        let named = self.names[1..].iter().map(|name| (*name).to_owned());
        let base = self.base.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        let others = named.zip(others.iter().cloned()).chain(base).collect();
        (self.open)(&mut MemoryFiles::new(target.clone(), others)).unwrap().disk
    }

    fn medium(&self, hosts: &[MemoryHost]) -> Box<dyn Medium> {
        let written = self.names.iter().zip(hosts).map(|(name, host)| WriteFile {
            reference: (*name).to_owned(),
            access: Access::Written(SharedMedium::new(host.boxed())),
        });
        let base = self.base.map(|(name, bytes)| WriteFile {
            reference: name.to_owned(),
            access: Access::OnlyRead(Arc::new(MemoryDisk::new(bytes.to_vec()))),
        });
        (self.open_writable)(WriteFiles::new(written.chain(base).collect())).unwrap()
    }
}

/// Bound on the unsynced sectors of which every subset is tried; of more, some are.
const EXHAUSTIVE_MAX: usize = 6;

/// How many times three subsets are tried of more sectors than [`EXHAUSTIVE_MAX`], unless the environment says more.
const SAMPLES: usize = 2;

/// Makes `writes` to the container in `files`, no sector twice, with a sync after each third, and cuts the power after
/// every operation of a host file, with any part of what was not synced: every sector of the guest is then old or new,
/// new if that was promised, and the writes can be made again, or taken back. Returns how many states of the files were
/// looked at.
pub(crate) fn survives_power_cuts(
    files: &Files,
    writes: &[(u64, Vec<u8>)],
    format: &Judged<'_>,
) -> usize {
    let old = read_all(&*format.disk(files));
    let (hosts, log) = hosts_of(files);
    let mut medium = format.medium(&hosts);
    // What the guest sees, and what it is promised, after each promise.
    let (mut new, mut promises) = (old.clone(), vec![old.clone()]);
    for (index, (at, bytes)) in writes.iter().enumerate() {
        medium.write_at(*at, bytes).unwrap();
        new[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        assert!(read_medium(&*medium) == new, "before the sync");
        if index % 3 == 2 || index + 1 == writes.len() {
            medium.sync().unwrap();
            hosts[0].record(Operation::Promise);
            promises.push(new.clone());
        }
    }
    let operations = std::mem::take(&mut *log.lock().unwrap());
    let mut rng = Rng::new(operations.len() as u64);
    let mut looked_at = 0;
    for cut in (0..=operations.len()).filter(|cut| cut.is_multiple_of(format.cut_every)) {
        let done = &operations[..cut];
        let promised =
            done.iter().filter(|(_, operation)| matches!(operation, Operation::Promise)).count();
        for_each_crash(files, done, &mut rng, &mut |crashed| {
            let sides = [old.as_slice(), &promises[promised], &new];
            check_crashed(crashed, sides, writes, format, looked_at);
            looked_at += 1;
        });
    }
    looked_at
}

fn hosts_of(files: &Files) -> (Vec<MemoryHost>, Log) {
    let log = Log::default();
    let host =
        |(number, bytes): (usize, &Vec<u8>)| MemoryHost::numbered(bytes.clone(), number, &log);
    (files.iter().enumerate().map(host).collect(), log)
}

/// Calls `visit` with what may be left of `files` after `done`.
fn for_each_crash(
    files: &Files,
    done: &[(usize, Operation)],
    rng: &mut Rng,
    visit: &mut dyn FnMut(&Files),
) {
    let last_sync = |file: usize| {
        let is_sync = |(of, operation): &(usize, Operation)| {
            *of == file && matches!(operation, Operation::Sync)
        };
        done.iter().rposition(is_sync).map_or(0, |index| index + 1)
    };
    let synced: Vec<usize> = (0..files.len()).map(last_sync).collect();
    let (mut durable, mut units) = (files.to_vec(), Vec::new());
    for (index, (file, operation)) in done.iter().enumerate() {
        if index < synced[*file] {
            apply(&mut durable[*file], operation, true);
        } else {
            units.extend(sectors(operation).into_iter().map(|unit| (*file, unit)));
        }
    }
    let mut try_subset = |survives: &mut dyn FnMut(usize) -> bool| {
        let mut left = durable.clone();
        let kept = units.iter().enumerate().filter(|(index, _)| survives(*index));
        kept.for_each(|(_, (file, unit))| apply(&mut left[*file], unit, false));
        visit(&left);
    };
    if units.len() <= EXHAUSTIVE_MAX {
        (0..1usize << units.len()).for_each(|mask| try_subset(&mut |index| mask >> index & 1 == 1));
        return;
    }
    try_subset(&mut |_| true);
    let wanted = std::env::var("REGAIN_POWER_CUT_SAMPLES").ok();
    for _ in 0..wanted.map_or(SAMPLES, |wanted| wanted.parse().unwrap()) {
        let (lost, seed) = (rng.below(units.len() as u64), rng.next());
        try_subset(&mut |index| index as u64 != lost);
        try_subset(&mut |index| index as u64 == lost);
        try_subset(&mut |index| Rng::new(seed ^ index as u64).next().is_multiple_of(2));
    }
}

/// `operation` in parts that are done wholly or not at all.
fn sectors(operation: &Operation) -> Vec<Operation> {
    let (mut at, mut rest) = match operation {
        Operation::Write(at, bytes) => (*at, bytes.as_slice()),
        Operation::SetLen(_) => return vec![operation.clone()],
        Operation::Sync | Operation::Promise => return Vec::new(),
    };
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let room = SECTOR_BYTES - at as usize % SECTOR_BYTES;
        let (head, tail) = rest.split_at(room.min(rest.len()));
        parts.push(Operation::Write(at, head.to_vec()));
        at += head.len() as u64;
        rest = tail;
    }
    parts
}

fn check_crashed(
    crashed: &Files,
    [old, promised, new]: [&[u8]; 3],
    writes: &[(u64, Vec<u8>)],
    format: &Judged<'_>,
    number: usize,
) {
    let seen = read_all(&*format.disk(crashed));
    assert_eq!(seen.len(), old.len());
    for start in (0..seen.len()).step_by(SECTOR_BYTES) {
        let range = start..seen.len().min(start + SECTOR_BYTES);
        let [seen, old, promised, new] =
            [&seen, old, promised, new].map(|bytes| &bytes[range.clone()]);
        assert!(seen == new || promised != new && seen == old, "at {start:#x}, state {number}");
    }
    let is_judged = number.is_multiple_of(format.judge_every);
    (format.check)(crashed);
    if is_judged {
        (format.judge)(crashed, &seen);
    }
    for wanted in [old, new] {
        let (hosts, _) = hosts_of(crashed);
        let mut medium = format.medium(&hosts);
        for (at, bytes) in writes {
            let range = *at as usize..*at as usize + bytes.len();
            medium.write_at(*at, &wanted[range]).unwrap();
        }
        medium.sync().unwrap();
        assert!(read_medium(&*medium) == wanted, "after the second attempt");
        let again: Vec<Vec<u8>> = hosts.iter().map(MemoryHost::bytes).collect();
        assert!(read_all(&*format.disk(&again)) == wanted);
        (format.check)(&again);
        if is_judged && wanted == new {
            (format.judge)(&again, new);
        }
    }
}
