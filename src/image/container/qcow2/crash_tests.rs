//! The proof that a power cut at any moment of a write leaves an image in order.
//!
//! In each state of the files that a cut leaves, each sector of the guest is as before or as after, no reference leads
//! to a cluster that is not counted (a checker of ours for all of them, `qemu-img check` for a part), and the same edit,
//! or taking it back, succeeds.

use super::header::Header;
use super::refcounts::Refcounts;
use super::staged::Staged;
use super::table::{Mapping, decode_l1, decode_l2};
use super::testing::{Bench, Verdict, check, disk, noise};
use super::{open, open_writable};
use crate::disk::memory::MemoryDisk;
use crate::image::container::files::SharedMedium;
use crate::image::container::testing::{Judged, MemoryFiles, MemoryHost, survives_power_cuts};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

/// Every reference of the active tables leads to a cluster that is counted, and one that may be written in place is
/// counted once.
fn check_references(image: &[u8]) {
    let medium = SharedMedium::new(MemoryHost::new(image.to_vec()).boxed());
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
                Mapping::Data(place) if header.data_file.is_none() => {
                    refer(place.offset, place.is_copied);
                }
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

/// An image, and how thoroughly it is explored.
struct Case<'a> {
    bench: &'a Bench,
    /// The file that holds its data, if that is another one.
    data: Option<&'a str>,
    /// The image of which it is an overlay.
    base: Option<&'a str>,
    judge_every: usize,
    cut_every: usize,
}

impl<'a> Case<'a> {
    fn new(bench: &'a Bench) -> Self {
        Self { bench, data: None, base: None, judge_every: 40, cut_every: 1 }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.bench.path(name)).unwrap()
    }

    /// Explores every interruption of writes to `places` of the image `image`, each of a length.
    fn explore(&self, places: &[(u64, usize)]) {
        self.explore_and(places, &|_| ());
    }

    /// As [`Case::explore`]; everything that is left must also pass `more`.
    fn explore_and(&self, places: &[(u64, usize)], more: &dyn Fn(&[Vec<u8>])) {
        let names: Vec<&str> = std::iter::once("").chain(self.data).collect();
        let files: Vec<Vec<u8>> =
            std::iter::once("image").chain(self.data).map(|name| self.read(name)).collect();
        let base = self.base.map(|name| (name, self.read(name)));
        let judged = Cell::new(0);
        let judge = |files: &[Vec<u8>], seen: &[u8]| {
            for (name, bytes) in std::iter::once("image").chain(self.data).zip(files) {
                fs::remove_file(self.bench.path(name)).unwrap();
                self.bench.put(name, bytes);
            }
            assert_ne!(check(&self.bench.path("image")), Verdict::Damaged);
            // At most leaks, and those are repaired without a loss.
            self.bench.run("qemu-img", &["check", "-q", "-r", "leaks", "image"]);
            self.bench.check("image", seen);
            judged.set(judged.get() + 1);
        };
        let format = Judged {
            names: &names,
            base: base.as_ref().map(|(name, bytes)| (*name, bytes.as_slice())),
            check: &|files| {
                check_references(&files[0]);
                more(files);
            },
            cut_every: self.cut_every,
            ..Judged::one((&open, &open_writable), &judge, self.judge_every)
        };
        let writes: Vec<(u64, Vec<u8>)> =
            places.iter().map(|&(start, len)| (start, noise(start + 99, len))).collect();
        let looked_at = survives_power_cuts(&files, &writes, &format);
        assert!(looked_at > 15 && judged.get() > 3, "{looked_at}, {} judged", judged.get());
    }
}

#[test]
fn power_cuts_while_compressed_clusters_are_replaced() {
    let bench = Bench::new();
    bench.put("source.raw", &disk(288 << 10));
    bench.convert("source.raw", "image", &["-c", "-o", "cluster_size=4k"]);
    Case::new(&bench).explore(&[(512, 1024), (100 << 10, 512), (196 << 10, 6144)]);
}

#[test]
fn power_cuts_while_snapshots_are_left_behind() {
    for version in ["0.10", "1.1"] {
        let bench = Bench::new();
        bench.put("source.raw", &disk(288 << 10));
        let options = format!("cluster_size=4k,compat={version}");
        bench.convert("source.raw", "image", &["-o", &options]);
        bench.run("qemu-img", &["snapshot", "-c", "one", "image"]);
        // In place, shared and not there yet, in one edit.
        bench.run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 0 8k", "image"]);
        Case::new(&bench).explore(&[(512, 1024), (12 << 10, 512), (100 << 10, 512)]);
    }
}

/// Tables, refcount blocks and a refcount table that did not exist.
#[test]
fn power_cuts_while_the_tables_grow() {
    let bench = Bench::new();
    let options = "cluster_size=512,refcount_bits=64";
    bench.run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, "image", "2560k"]);
    // The refcount table has room for 2 MiB of the file.
    let fill = format!("write -P 1 0 {}", 1_964 << 10);
    bench.run("qemu-io", &["-f", "qcow2", "-c", &fill, "image"]);
    let tail = 2_000 << 10;
    let places = [(512, 512), (tail, 512), (tail + 65_536, 1024), (2304 << 10, 24_576)];
    let case = Case { judge_every: 25, cut_every: 9, ..Case::new(&bench) };
    let before = table_offset(&case.read("image"));
    let has_moved = Cell::new(false);
    case.explore_and(&places, &|files| {
        has_moved.set(has_moved.get() || table_offset(&files[0]) != before);
    });
    assert!(has_moved.get(), "the refcount table moves");
}

fn table_offset(image: &[u8]) -> u64 {
    Header::read(&MemoryDisk::new(image.to_vec())).unwrap().reftable_offset
}

/// The data are durable in their file before an entry of the image says that they are there.
#[test]
fn power_cuts_while_the_data_go_to_another_file() {
    let bench = Bench::new();
    // The cluster that an edit brings has old data around it.
    let options = "data_file=data,data_file_raw=off,cluster_size=4k";
    bench.run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, "image", "64k"]);
    bench.run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 0 8k", "image"]);
    Case { data: Some("data"), ..Case::new(&bench) }.explore(&[
        (512, 1024),
        (12 << 10, 512),
        (39 << 10, 2048),
        (62 << 10, 512),
    ]);
}

#[test]
fn power_cuts_while_an_overlay_takes_clusters_of_its_base() {
    let bench = Bench::new();
    bench.put("base", &disk(200 << 10));
    let create =
        ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base", "-o", "cluster_size=4k"];
    // The base ends inside of a cluster, and before the overlay does.
    bench.run("qemu-img", &[&create[..], &["image", "203k"]].concat());
    bench.run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 0 8k", "image"]);
    Case { base: Some("base"), ..Case::new(&bench) }.explore(&[
        (512, 1024),
        (12 << 10, 512),
        (199 << 10, 3072),
    ]);
}

/// A bitmap that would miss the edit is marked before the edit can be seen.
#[test]
fn power_cuts_while_bitmaps_become_invalid() {
    let bench = Bench::new();
    bench.put("source.raw", &disk(64 << 10));
    bench.convert("source.raw", "image", &["-o", "cluster_size=4k"]);
    bench.run("qemu-img", &["bitmap", "--add", "image", "backup"]);
    let guest = |image: &[u8]| {
        let disk = open(&mut MemoryFiles::one(image.to_vec())).unwrap().disk;
        disk.read_vec(0, 64 << 10).unwrap()
    };
    let case = Case { judge_every: 4, ..Case::new(&bench) };
    let before = guest(&case.read("image"));
    case.explore_and(&[(512, 1024), (40 << 10, 512)], &|files| {
        let header = Header::read(&MemoryDisk::new(files[0].clone())).unwrap();
        let directory = header.valid_bitmaps().unwrap();
        let host = SharedMedium::new(MemoryHost::new(files[0].clone()).boxed());
        let is_valid = !super::bitmaps::places(directory, &host).unwrap().is_empty();
        assert!(!is_valid || guest(&files[0]) == before);
    });
}
