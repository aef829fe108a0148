//! What the tests of the containers share: images made by qemu-img, host files, and power cuts.
//!
//! Programs: qemu-img and qemu-io (Debian package qemu-utils). A missing one fails the test.
//!
//! `REGAIN_POWER_CUT_SAMPLES=12` tries more parts of the unsynced writes at each cut than the quick run does, and
//! `REGAIN_DAMAGE_ROUNDS=10000` more damaged images.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::Opened;
use super::files::{Access, FileId, ReadFiles, SharedMedium, WriteFile, WriteFiles};
use crate::disk::medium::{HostMedium, Medium};
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, SECTOR_BYTES, check_range, testing};
use crate::error::{Error, Result};
use crate::image::host_file::Role;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// Random numbers that are the same in every run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

/// A disk of random, empty, text and partly empty stretches of 64 KiB.
pub(crate) fn mixed_disk(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut disk = vec![0; len];
    for cluster in disk.chunks_mut(64 * 1024) {
        match rng.below(5) {
            0 => cluster.copy_from_slice(&rng.bytes(cluster.len())),
            1 => cluster
                .iter_mut()
                .zip(b"ssh-ed25519 AAAA ".iter().cycle())
                .for_each(|(a, b)| *a = *b),
            2 => cluster[512..1024].fill(7),
            _ => {}
        }
    }
    disk
}

/// Writes of whole sectors, 512 bytes to 150 KiB long.
pub(crate) fn random_writes(disk_len: usize, count: usize, seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut rng = Rng::new(seed);
    let sectors = (disk_len / SECTOR_BYTES) as u64;
    (0..count)
        .map(|_| {
            let start = rng.below(sectors);
            let len = (1 + rng.below(300)).min(sectors - start) as usize * SECTOR_BYTES;
            let bytes = if rng.below(8) == 0 { vec![0; len] } else { rng.bytes(len) };
            (start * SECTOR_BYTES as u64, bytes)
        })
        .collect()
}

/// Runs a program that must succeed; returns what it prints.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(testing::program(program));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{errors}");
    text
}

/// A directory with one disk, raw and in a container.
pub(crate) struct Made {
    pub(crate) directory: TempDir,
    pub(crate) image: PathBuf,
    pub(crate) format: &'static str,
}

impl Made {
    /// Converts `disk` into a container of `format` with `options` of qemu-img.
    pub(crate) fn from_disk(disk: &[u8], format: &'static str, options: &str) -> Self {
        let directory = testing::directory();
        let (raw, image) = (directory.path().join("disk.raw"), directory.path().join("disk.img"));
        fs::write(&raw, disk).unwrap();
        let (from, to) = (raw.to_str().unwrap(), image.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, from, to]);
        Self { directory, image, format }
    }

    /// Makes an empty container.
    pub(crate) fn empty(len: usize, format: &'static str, options: &str) -> Self {
        let directory = testing::directory();
        let image = directory.path().join("disk.img");
        let (to, len) = (image.to_str().unwrap(), len.to_string());
        run("qemu-img", &["create", "-q", "-f", format, "-o", options, to, &len]);
        Self { directory, image, format }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    /// What qemu-img reads out of it.
    pub(crate) fn as_qemu_reads_it(&self) -> Vec<u8> {
        qemu_reads(&self.image, self.format)
    }
}

/// What qemu-img reads out of `image`.
pub(crate) fn qemu_reads(image: &Path, format: &str) -> Vec<u8> {
    let raw = image.with_extension("out");
    let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
    run("qemu-img", &["convert", "-f", format, "-O", "raw", from, to]);
    fs::read(raw).unwrap()
}

/// Reads everything in pieces of odd sizes.
pub(crate) fn read_all(disk: &dyn Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.len_bytes() as usize];
    let sizes = [512, 4096, 65536 + 512, 1 << 20, 1536, 7, 200_001];
    let mut rest = bytes.as_mut_slice();
    let mut offset = 0;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (head, tail) = rest.split_at_mut((*size).min(rest.len()));
        disk.read_at(offset, head).unwrap();
        offset += head.len() as u64;
        rest = tail;
    }
    bytes
}

/// Reads everything of a medium.
pub(crate) fn read_medium(medium: &dyn Medium) -> Vec<u8> {
    let mut bytes = vec![0; medium.len_bytes() as usize];
    for (index, chunk) in bytes.chunks_mut(100_000).enumerate() {
        medium.read_at(index as u64 * 100_000, chunk).unwrap();
    }
    bytes
}

/// Makes the same writes to `medium` and to `raw`.
pub(crate) fn write_both(medium: &mut dyn Medium, raw: &mut [u8], writes: &[(u64, Vec<u8>)]) {
    for (index, (at, bytes)) in writes.iter().enumerate() {
        medium.write_at(*at, bytes).unwrap();
        raw[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        if index % 7 == 0 {
            medium.sync().unwrap();
        }
    }
    medium.sync().unwrap();
}

/// What a host file was told.
#[derive(Debug, Clone)]
enum Operation {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// The guest's writes so far were promised to be durable.
    Promise,
}

#[derive(Debug, Default)]
struct Recorded {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
}

/// A host file in memory that remembers what was done to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryHost(Arc<Mutex<Recorded>>);

impl MemoryHost {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Recorded { bytes, operations: Vec::new() })))
    }

    pub(crate) fn boxed(&self) -> Box<dyn HostMedium> {
        Box::new(self.clone())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// How many writes, syncs and changes of the length there were.
    pub(crate) fn operation_count(&self) -> usize {
        self.0.lock().unwrap().operations.len()
    }

    fn record(&self, operation: Operation) {
        let mut recorded = self.0.lock().unwrap();
        apply(&mut recorded.bytes, &operation, true);
        recorded.operations.push(operation);
    }
}

/// Does `operation` to `bytes`. What lies behind the end gets lost, unless it `must` not be there.
fn apply(bytes: &mut Vec<u8>, operation: &Operation, must: bool) {
    match operation {
        Operation::Write(at, written) => {
            let at = *at as usize;
            let end = at + written.len();
            if end <= bytes.len() {
                bytes[at..end].copy_from_slice(written);
            } else {
                assert!(!must, "a write behind the end of the file");
            }
        }
        Operation::SetLen(len) => bytes.resize(*len as usize, 0),
        Operation::Sync | Operation::Promise => {}
    }
}

impl Medium for MemoryHost {
    fn len_bytes(&self) -> u64 {
        self.0.lock().unwrap().bytes.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let at = offset_bytes as usize;
        buffer.copy_from_slice(&self.0.lock().unwrap().bytes[at..at + buffer.len()]);
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        self.record(Operation::Write(offset_bytes, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.record(Operation::Sync);
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for MemoryHost {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.record(Operation::SetLen(len_bytes));
        Ok(())
    }
}

/// A host file whose sync fails, once, at the given call.
#[derive(Debug)]
pub(crate) struct FailingHost {
    pub(crate) host: MemoryHost,
    /// How many syncs succeed before that.
    pub(crate) good_syncs: usize,
    pub(crate) syncs: usize,
}

impl Medium for FailingHost {
    fn len_bytes(&self) -> u64 {
        self.host.len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.host.read_at(offset_bytes, buffer)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.host.write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.syncs += 1;
        if self.syncs == self.good_syncs + 1 {
            return Err(std::io::Error::other("injected: the sync fails").into());
        }
        self.host.sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for FailingHost {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.host.set_len(len_bytes)
    }
}

/// Files of a container in memory: the target, and others by their names.
#[derive(Debug)]
pub(crate) struct MemoryFiles {
    target: Arc<dyn Disk>,
    others: Vec<(String, Arc<dyn Disk>)>,
}

impl MemoryFiles {
    /// Only a target.
    pub(crate) fn one(target: Vec<u8>) -> Self {
        Self::new(target, Vec::new())
    }

    pub(crate) fn new(target: Vec<u8>, others: Vec<(String, Vec<u8>)>) -> Self {
        let disk = |bytes| -> Arc<dyn Disk> { Arc::new(MemoryDisk::new(bytes)) };
        let others = others.into_iter().map(|(name, bytes)| (name, disk(bytes))).collect();
        Self { target: disk(target), others }
    }
}

impl ReadFiles for MemoryFiles {
    fn target(&self) -> Arc<dyn Disk> {
        self.target.clone()
    }

    fn open(&mut self, _from: FileId, name: &str, _role: Role) -> Result<(FileId, Arc<dyn Disk>)> {
        let found = self.others.iter().position(|(other, _)| other == name);
        let index = found.ok_or_else(|| Error::not_found("no such file"))?;
        Ok((FileId(index + 1), self.others[index].1.clone()))
    }
}

/// The same files, open for writing: the target, which has no name, first.
pub(crate) fn write_files(hosts: &[(&str, &MemoryHost)]) -> WriteFiles {
    let files = hosts.iter().map(|(name, host)| WriteFile {
        reference: (*name).to_owned(),
        access: Access::Written(SharedMedium::new(host.boxed())),
    });
    WriteFiles::new(files.collect())
}

/// Opens a container that is one file.
pub(crate) type OpenOne = dyn Fn(&mut dyn ReadFiles) -> Result<Opened>;

/// Opens it for writing.
pub(crate) type OpenOneWritable = dyn Fn(WriteFiles) -> Result<Box<dyn Medium>>;

/// How a format is opened, and who else judges it.
pub(crate) struct Judged<'a> {
    pub(crate) open: &'a OpenOne,
    pub(crate) open_writable: &'a OpenOneWritable,
    /// Called with some of the files that a cut leaves, and what we read out of them.
    pub(crate) judge: &'a dyn Fn(&[u8], &[u8]),
    /// Every how manyth file is judged.
    pub(crate) judge_every: usize,
}

impl Judged<'_> {
    fn disk(&self, image: &[u8]) -> Arc<dyn Disk> {
        (self.open)(&mut MemoryFiles::one(image.to_vec())).unwrap().disk
    }

    fn medium(&self, host: &MemoryHost) -> Box<dyn Medium> {
        (self.open_writable)(write_files(&[("", host)])).unwrap()
    }
}

/// Bound on the unsynced sectors of which every subset is tried; of more, some are.
const EXHAUSTIVE_MAX: usize = 6;

/// How many times three subsets are tried of more sectors than [`EXHAUSTIVE_MAX`], unless the environment says more.
const SAMPLES: usize = 2;

/// Makes `writes` to `image`, no sector twice, with a sync after each third, and cuts the power after every
/// operation of the host file, with any part of what was not synced: every sector of the guest is then old or new, new if
/// that was promised, and the writes can be made again. Returns how many files were looked at.
pub(crate) fn survives_power_cuts(
    image: &[u8],
    writes: &[(u64, Vec<u8>)],
    format: &Judged<'_>,
) -> usize {
    let old = read_all(&*format.disk(image));
    let host = MemoryHost::new(image.to_vec());
    let mut medium = format.medium(&host);
    // What the guest sees, and what it is promised, after each promise.
    let (mut new, mut promises) = (old.clone(), vec![old.clone()]);
    for (index, (at, bytes)) in writes.iter().enumerate() {
        medium.write_at(*at, bytes).unwrap();
        new[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        assert_eq!(read_medium(&*medium), new, "before the sync");
        if index % 3 == 2 || index + 1 == writes.len() {
            medium.sync().unwrap();
            host.record(Operation::Promise);
            promises.push(new.clone());
        }
    }
    let operations = std::mem::take(&mut host.0.lock().unwrap().operations);
    let mut rng = Rng::new(operations.len() as u64);
    let mut looked_at = 0;
    for cut in 0..=operations.len() {
        let done = &operations[..cut];
        let promised =
            done.iter().filter(|operation| matches!(operation, Operation::Promise)).count();
        for_each_crash(image, done, &mut rng, &mut |crashed| {
            check_crashed(crashed, [&old, &promises[promised], &new], writes, format, looked_at);
            looked_at += 1;
        });
    }
    looked_at
}

/// Calls `visit` with what may be left of `image` after `done`.
fn for_each_crash(image: &[u8], done: &[Operation], rng: &mut Rng, visit: &mut dyn FnMut(&[u8])) {
    let is_sync = |operation: &Operation| matches!(operation, Operation::Sync);
    let synced = done.iter().rposition(is_sync).map_or(0, |index| index + 1);
    let mut durable = image.to_vec();
    done[..synced].iter().for_each(|operation| apply(&mut durable, operation, true));
    let units: Vec<Operation> = done[synced..].iter().flat_map(sectors).collect();
    let mut try_subset = |survives: &mut dyn FnMut(usize) -> bool| {
        let mut left = durable.clone();
        let kept = units.iter().enumerate().filter(|(index, _)| survives(*index));
        kept.for_each(|(_, unit)| apply(&mut left, unit, false));
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
    let Operation::Write(at, bytes) = operation else { return vec![operation.clone()] };
    let (mut at, mut rest, mut parts) = (*at, bytes.as_slice(), Vec::new());
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
    crashed: &[u8],
    [old, promised, new]: [&[u8]; 3],
    writes: &[(u64, Vec<u8>)],
    format: &Judged<'_>,
    number: usize,
) {
    let disk = format.disk(crashed);
    let seen = read_all(&*disk);
    assert_eq!(seen.len(), old.len());
    for sector in 0..seen.len() / SECTOR_BYTES {
        let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
        let [seen, old, promised, new] =
            [&seen, old, promised, new].map(|bytes| &bytes[range.clone()]);
        assert!(seen == new || promised != new && seen == old, "sector {sector}");
    }
    if number.is_multiple_of(format.judge_every) {
        (format.judge)(crashed, &seen);
    }
    let host = MemoryHost::new(crashed.to_vec());
    let mut medium = format.medium(&host);
    for (at, bytes) in writes {
        medium.write_at(*at, bytes).unwrap();
    }
    medium.sync().unwrap();
    assert!(read_medium(&*medium) == new, "after the second attempt");
    let again = host.bytes();
    assert!(read_all(&*format.disk(&again)) == new);
    if number.is_multiple_of(format.judge_every) {
        (format.judge)(&again, new);
    }
}

/// Changes bytes of `image` at random, near one of `structures`, and reads what can be read: nothing panics.
/// Returns how many of the images could be opened, in percent. `REGAIN_DAMAGE_ROUNDS` asks for more than `rounds`.
pub(crate) fn survives_damage(
    image: &[u8],
    structures: &[std::ops::Range<usize>],
    rounds: usize,
    attempt: &dyn Fn(Vec<u8>) -> bool,
) -> usize {
    let wanted = std::env::var("REGAIN_DAMAGE_ROUNDS").ok();
    let rounds = wanted.map_or(rounds, |wanted| wanted.parse().unwrap());
    let mut rng = Rng::new(rounds as u64);
    let mut opened = 0;
    for _ in 0..rounds {
        let mut damaged = image.to_vec();
        for _ in 0..=rng.below(4) {
            let range = &structures[rng.below(structures.len() as u64) as usize];
            let at = range.start + rng.below(range.len() as u64) as usize;
            let values = [0, 1, 0x7f, 0x80, 0xff, rng.next() as u8];
            let value = values[rng.below(values.len() as u64) as usize];
            let len = 1 + rng.below(8) as usize;
            damaged.iter_mut().skip(at).take(len).for_each(|byte| *byte = value);
        }
        if rng.below(20) == 0 {
            damaged.truncate(rng.below(damaged.len() as u64) as usize);
        }
        opened += usize::from(attempt(damaged));
    }
    opened * 100 / rounds
}

/// Writes to a few places of a medium that may be damaged.
pub(crate) fn write_some(medium: &mut dyn Medium) {
    let len_bytes = medium.len_bytes();
    let start = 0..len_bytes.min(1 << 20);
    let _ = medium.can_write(std::slice::from_ref(&start));
    for at in [0, 4096 * 7, 4096 * 9, 4096 * 700] {
        let _ = medium.write_at(at, &[1; 1024]);
    }
    let _ = medium.sync();
}

/// Whether one range can be written.
pub(crate) fn can_write(medium: &dyn Medium, start: u64, end: u64) -> Result<()> {
    medium.can_write(std::slice::from_ref(&(start..end)))
}

/// Reads a few places of a disk that may be damaged.
pub(crate) fn read_some(disk: &dyn Disk) {
    let len_bytes = disk.len_bytes();
    let mut buffer = vec![0; 10_000];
    for part in 0..16 {
        let at = len_bytes / 16 * part;
        let len = buffer.len().min((len_bytes - at) as usize);
        let _ = disk.read_at(at, &mut buffer[..len]);
    }
}
