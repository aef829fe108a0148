//! The proof that a power cut at any moment of a write leaves an image in order.
//!
//! The operations of an edit are counted; then the edit is run again for each of them with the power going there, with
//! different tears, and with different parts of the unsynced sectors lost. In each image that is left, each sector of
//! the guest is as before or as after, no reference leads to a cluster that is not counted (a checker of ours for all of
//! them, `qemu-img check` for a part), and the same edit, or taking it back, succeeds. REGAIN_CRASH_ALL=1 leaves nothing
//! out, which takes minutes.

use super::header::Header;
use super::refcounts::Refcounts;
use super::staged::Staged;
use super::table::{Mapping, decode_l1, decode_l2};
use super::testing::{Bench, Verdict, check, disk, noise};
use super::{open, open_writable};
use crate::disk::Disk;
use crate::disk::fault::{Failure, Fault, FaultMedium, Operation};
use crate::disk::medium::{HostMedium, Medium};
use crate::disk::memory::MemoryDisk;
use crate::error::Result;
use crate::image::container::files::{Access, SharedMedium, WriteFile, WriteFiles};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

/// How many images of a case are shown to `qemu-img`.
const JUDGED: usize = 25;

/// True if every image is explored, which takes minutes.
fn is_campaign() -> bool {
    std::env::var_os("REGAIN_CRASH_ALL").is_some()
}

/// A fault medium that can be looked at after the writer has gone.
#[derive(Debug, Clone)]
struct Probe(Arc<Mutex<FaultMedium>>);

impl Medium for Probe {
    fn len_bytes(&self) -> u64 {
        self.0.lock().unwrap().len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.lock().unwrap().read_at(offset_bytes, buffer)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap().write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.0.lock().unwrap().sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.0.lock().unwrap().drop_cache()
    }
}

impl HostMedium for Probe {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.0.lock().unwrap().set_len(len_bytes)
    }
}

/// Ranges that an edit writes, with the bytes before and after.
struct Edit(Vec<(u64, Vec<u8>, Vec<u8>)>);

impl Edit {
    fn new(content: &[u8], places: &[(usize, usize)]) -> Self {
        let range = |&(start, len): &(usize, usize)| {
            (start as u64, content[start..start + len].to_vec(), noise(start as u64 + 99, len))
        };
        Self(places.iter().map(range).collect())
    }

    /// Writes one side into `image`; what became of it, and whether all went well.
    fn write(&self, image: Vec<u8>, fault: Option<Fault>, is_after: bool) -> (FaultMedium, bool) {
        let medium = FaultMedium::new(image);
        let medium = if let Some(fault) = fault { medium.with_fault(fault) } else { medium };
        let probe = Probe(Arc::new(Mutex::new(medium)));
        let shared = SharedMedium::new(Box::new(probe.clone()));
        let result = open_writable(files(Access::Written(shared))).and_then(|mut medium| {
            for (start, before, after) in &self.0 {
                medium.write_at(*start, if is_after { after } else { before })?;
            }
            medium.sync()
        });
        let medium = probe.0.lock().unwrap().clone();
        (medium, result.is_ok())
    }

    /// The content of the guest after the whole edit.
    fn applied(&self, content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        for (start, _, after) in &self.0 {
            content[*start as usize..*start as usize + after.len()].copy_from_slice(after);
        }
        content
    }
}

fn files(access: Access) -> WriteFiles {
    WriteFiles::new(vec![WriteFile { reference: String::new(), access }])
}

fn guest(image: &[u8]) -> Vec<u8> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new(image.to_vec()));
    let opened = open(&mut files(Access::OnlyRead(disk))).unwrap();
    opened.disk.read_vec(0, opened.disk.len_bytes() as usize).unwrap()
}

/// Every reference of the active tables leads to a cluster that is counted, and one that may be written in place is
/// counted once.
fn check_references(image: &[u8]) {
    let medium = SharedMedium::new(Box::new(FaultMedium::new(image.to_vec())));
    let header = Header::read(&MemoryDisk::new(image.to_vec())).unwrap();
    let counts = Refcounts::new(&header, &medium).unwrap();
    let entry = |at: u64| {
        let bytes = image.get(at as usize..at as usize + 8);
        bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
    };
    let cluster_bytes = header.cluster_bytes();
    let mut references: BTreeMap<u64, (u64, bool)> = BTreeMap::new();
    let mut refer = |offset: u64, is_copied: bool| {
        let reference = references.entry(offset / cluster_bytes).or_default();
        *reference = (reference.0 + 1, reference.1 || is_copied);
    };
    refer(0, true);
    for block in (0..header.reftable_clusters * cluster_bytes / 8)
        .map(|index| entry(header.reftable_offset + index * 8))
        .filter(|&block| block != 0)
    {
        refer(block, true);
    }
    for cluster in 0..header.reftable_clusters {
        refer(header.reftable_offset + cluster * cluster_bytes, true);
    }
    for index in 0..header.l1_entries {
        let l1 = entry(header.l1_offset + index * 8);
        let Some(table) = decode_l1(l1, &header).unwrap() else { continue };
        refer(table.offset, table.is_copied);
        for index in 0..cluster_bytes / 8 {
            match decode_l2(entry(table.offset + index * 8), &header).unwrap() {
                Mapping::Data(place) => refer(place.offset, place.is_copied),
                Mapping::Compressed(clusters) => {
                    clusters.for_each(|cluster| refer(cluster * cluster_bytes, false));
                }
                _ => {}
            }
        }
    }
    for (cluster, (found, is_single)) in references {
        let count = counts.count(&medium, &Staged::default(), cluster).unwrap();
        assert!(count >= found, "cluster {cluster:#x} has {found} references and counts {count}");
        assert!(!is_single || count == 1, "cluster {cluster:#x} counts {count}, not 1");
    }
}

/// Choices of what survives of the unsynced sectors, by their number.
fn survivors(count: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut choices = vec![vec![false; count], vec![true; count]];
    if count <= 6 {
        choices.extend((0..1 << count).map(|bits: usize| {
            (0..count).map(|index| bits >> index & 1 == 1).collect::<Vec<bool>>()
        }));
    }
    for index in 0..count.min(16) {
        // One alone, all but one: from the end, where the pointers are.
        let index = count - 1 - index;
        choices.push((0..count).map(|other| other == index).collect());
        choices.push((0..count).map(|other| other != index).collect());
    }
    for round in 0..4 {
        choices.push(noise(seed * 7 + round, count).iter().map(|byte| byte & 1 == 1).collect());
    }
    choices
}

/// Explores every interruption of the edit of `places` in the image `name`.
/// Of each `step` operations one is interrupted.
fn explore(bench: &Bench, name: &str, content: &[u8], places: &[(usize, usize)], step: usize) {
    let image = std::fs::read(bench.path(name)).unwrap();
    let edit = Edit::new(content, places);
    let after = edit.applied(content);
    assert!(guest(&image) == content);
    let (undisturbed, is_done) = edit.write(image.clone(), None, true);
    assert!(is_done && guest(undisturbed.durable()) == after);
    let operations = undisturbed.operations();
    let mut seen = HashSet::new();
    let mut left = Vec::new();
    let mut number = 0;
    for (at, operation) in operations.iter().enumerate() {
        let tears: &[usize] = match operation {
            Operation::Read | Operation::DropCache => continue,
            Operation::Write { sectors } if *sectors > 1 => &[0, 1, *sectors - 1],
            _ => &[0],
        };
        number += 1;
        if !is_campaign() && number % step != 0 {
            continue;
        }
        for &torn_sectors in tears {
            let fault = Fault { at, failure: Failure::PowerCut { torn_sectors } };
            let (medium, is_done) = edit.write(image.clone(), Some(fault), true);
            assert!(!is_done, "{operation:?}");
            let writes: Vec<usize> =
                medium.unsynced_sectors().iter().map(|&sectors| sectors.max(1)).collect();
            let mut choices = survivors(writes.iter().sum(), at as u64);
            if step > 1 && !is_campaign() {
                // Nothing, all, and one in between.
                choices.drain(2..choices.len() - 1);
            }
            for choice in choices {
                let place =
                    |write: usize, sector: usize| writes[..write].iter().sum::<usize>() + sector;
                let crashed = medium.after_crash(&mut |write, sector| choice[place(write, sector)]);
                let crashed = crashed.unwrap();
                let mut hasher = DefaultHasher::new();
                crashed.hash(&mut hasher);
                if seen.insert(hasher.finish()) {
                    examine(&edit, &crashed, content, &after);
                    left.push(crashed);
                }
            }
        }
    }
    assert!(left.len() > 15, "{name}: only {} images", left.len());
    judge(bench, &edit, &left, (content, &after));
}

/// What can be said about an image that is left without another program.
fn examine(edit: &Edit, image: &[u8], before: &[u8], after: &[u8]) {
    let found = guest(image);
    for (index, sector) in found.chunks(512).enumerate() {
        let range = index * 512..index * 512 + sector.len();
        let is_known = sector == &before[range.clone()] || sector == &after[range];
        assert!(is_known, "sector {index} is neither old nor new");
    }
    check_references(image);
    for (is_after, wanted) in [(true, after), (false, before)] {
        let (finished, is_done) = edit.write(image.to_vec(), None, is_after);
        assert!(is_done && guest(finished.durable()) == wanted);
        check_references(finished.durable());
    }
}

fn judge(bench: &Bench, edit: &Edit, left: &[Vec<u8>], (before, after): (&[u8], &[u8])) {
    let step = if is_campaign() { 1 } else { left.len().div_ceil(JUDGED) };
    for image in left.iter().step_by(step) {
        let path = bench.put("crashed", image);
        assert_ne!(check(&path), Verdict::Damaged);
        std::fs::remove_file(path).unwrap();
    }
    // What is finished after a crash has at most leaks, and those are repaired without a loss.
    let (finished, _) = edit.write(left[left.len() / 2].clone(), None, true);
    bench.put("finished", finished.durable());
    assert_ne!(check(&bench.path("finished")), Verdict::Damaged);
    bench.run("qemu-img", &["check", "-q", "-r", "leaks", "finished"]);
    bench.check("finished", after);
    assert!(before != after);
}

#[test]
fn power_cuts_while_compressed_clusters_are_replaced() {
    let bench = Bench::new();
    let content = disk(288 << 10);
    bench.put("source.raw", &content);
    bench.convert("source.raw", "image", &["-c", "-o", "cluster_size=4k"]);
    explore(&bench, "image", &content, &[(512, 1024), (100 << 10, 512), (196 << 10, 6144)], 1);
}

#[test]
fn power_cuts_while_snapshots_are_left_behind() {
    let bench = Bench::new();
    let content = disk(288 << 10);
    bench.put("source.raw", &content);
    bench.convert("source.raw", "image", &["-o", "cluster_size=4k"]);
    bench.run("qemu-img", &["snapshot", "-c", "one", "image"]);
    // In place, shared and not there yet, in one edit.
    let write = ["-f", "qcow2", "-c", "write -P 9 0 8k", "image"];
    bench.run("qemu-io", &write);
    let mut content = content;
    content[..8 << 10].fill(9);
    explore(&bench, "image", &content, &[(512, 1024), (12 << 10, 512), (100 << 10, 512)], 1);
}

/// Tables, refcount blocks and a refcount table that did not exist.
#[test]
fn power_cuts_while_the_tables_grow() {
    let bench = Bench::new();
    let options = "cluster_size=512,refcount_bits=64";
    bench.run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, "image", "2560k"]);
    // The refcount table has room for 2 MiB of the file.
    let full = 1_964 << 10;
    let fill = format!("write -P 1 0 {full}");
    bench.run("qemu-io", &["-f", "qcow2", "-c", &fill, "image"]);
    let mut content = vec![0; 2560 << 10];
    content[..full].fill(1);
    let tail = 2_000 << 10;
    let places = [(512, 512), (tail, 512), (tail + 65_536, 1024), (2304 << 10, 24_576)];
    let image = std::fs::read(bench.path("image")).unwrap();
    let (edited, _) = Edit::new(&content, &places).write(image.clone(), None, true);
    let table =
        |image: &[u8]| Header::read(&MemoryDisk::new(image.to_vec())).unwrap().reftable_offset;
    assert_ne!(table(&image), table(edited.durable()), "the refcount table moves");
    explore(&bench, "image", &content, &places, 9);
}
