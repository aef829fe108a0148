//! Every kind of image that qemu makes, read and edited; and what is refused.

use super::open_writable;
use super::testing::{Bench, MIB, disk, noise, ranges};
use crate::disk::medium::Medium as _;
use crate::error::{ErrorKind, Refusal};
use crate::image::container::testing::{MemoryHost, write_files};
use crate::image::{self, writable};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Reads the whole disk in `path` with odd lengths.
pub(super) fn read_all(path: &Path, step: usize) -> Vec<u8> {
    let image = image::open(path, None).unwrap();
    let len = image.disk.len_bytes() as usize;
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        let end = len.min(at + step);
        image.disk.read_at(at as u64, &mut bytes[at..end]).unwrap();
        at = end;
    }
    bytes
}

/// Writes at random places of the image and of `content`; the image is then clean and has the content, and has its
/// old content again after these have been put back.
#[track_caller]
fn edit(bench: &Bench, name: &str, content: &[u8], seed: u64) {
    let path = bench.path(name);
    assert!(read_all(&path, 65_536 + 512) == content, "{name}: read before");
    let mut changed = content.to_vec();
    let ranges = ranges(seed, 60, content.len());
    let write_all = |model: &mut [u8], source: &dyn Fn(usize, usize) -> Vec<u8>| {
        let image = image::open(&path, None).unwrap();
        let asked: Vec<_> =
            ranges.iter().map(|&(start, len)| start as u64..(start + len) as u64).collect();
        let before = std::fs::read(&path).unwrap();
        image.can_write(&asked).unwrap();
        let mut medium = writable::open(&image).unwrap();
        medium.can_write(&asked).unwrap();
        assert!(std::fs::read(&path).unwrap() == before, "{name}: asking writes nothing");
        for (index, &(start, len)) in ranges.iter().enumerate() {
            let bytes = source(start, len);
            model[start..start + len].copy_from_slice(&bytes);
            medium.write_at(start as u64, &bytes).unwrap();
            if index % 13 == 0 {
                medium.sync().unwrap();
                medium.drop_cache().unwrap();
            }
            // Also what is not in the files yet.
            let from = start.saturating_sub(1000);
            let mut back = vec![0; len.min(model.len() - from)];
            medium.read_at(from as u64, &mut back).unwrap();
            assert!(back == model[from..from + back.len()], "{name}: at {start:#x}");
        }
        medium.sync().unwrap();
        medium.drop_cache().unwrap();
        let mut back = vec![0; model.len()];
        medium.read_at(0, &mut back).unwrap();
        assert!(back == model, "{name}: read back");
    };
    write_all(&mut changed, &|start, len| noise(seed ^ start as u64, len));
    bench.check(name, &changed);
    assert!(read_all(&path, 1536) == changed, "{name}: read after");
    write_all(&mut changed, &|start, len| content[start..start + len].to_vec());
    bench.check(name, content);
}

#[test]
fn every_layout_is_read_and_edited() {
    let bench = Bench::new();
    // The last cluster of the disk is not whole.
    let content = disk(2 * MIB + 512 * 77);
    bench.put("source.raw", &content);
    for (seed, (name, options)) in [
        ("plain", &[][..]),
        ("v2", &["-o", "compat=0.10"]),
        ("small clusters", &["-o", "cluster_size=512"]),
        ("large clusters", &["-o", "cluster_size=2M"]),
        ("lazy", &["-o", "lazy_refcounts=on"]),
        ("1 bit", &["-o", "refcount_bits=1"]),
        ("64 bits", &["-o", "refcount_bits=64,cluster_size=512"]),
        ("preallocated", &["-o", "preallocation=metadata"]),
        ("compressed", &["-c"]),
        ("compressed, small", &["-c", "-o", "cluster_size=4k"]),
        ("compressed, v2", &["-c", "-o", "compat=0.10"]),
    ]
    .into_iter()
    .enumerate()
    {
        bench.convert("source.raw", name, options);
        edit(&bench, name, &content, seed as u64 + 1);
    }
}

#[test]
fn zero_clusters_and_discarded_ones() {
    let bench = Bench::new();
    let mut content = disk(4 * MIB);
    bench.put("source.raw", &content);
    bench.convert("source.raw", "image", &[]);
    let script = ["-c", "write -z 64k 300k", "-c", "write -z -u 1M 200k", "-c", "discard 2M 130k"];
    bench.run("qemu-io", &[&script[..], &["-f", "qcow2", "image"]].concat());
    for range in [64 << 10..364 << 10, 1024 << 10..1224 << 10, 2048 << 10..2176 << 10] {
        content[range].fill(0);
    }
    edit(&bench, "image", &content, 3);
}

#[test]
fn overlays_leave_their_base_alone() {
    let bench = Bench::new();
    // The overlay is larger than its base.
    let base = disk(3 * MIB);
    let mut content = base.clone();
    content.resize(4 * MIB, 0);
    bench.put("base.raw", &base);
    bench.convert("base.raw", "base.qcow2", &["-c"]);
    for (name, backing, format, options) in [
        ("over raw", "base.raw", "raw", "cluster_size=64k"),
        ("over qcow2", "base.qcow2", "qcow2", "cluster_size=4k"),
        ("over overlay", "over qcow2", "qcow2", "cluster_size=2M"),
        ("v2 over raw", "./base.raw", "raw", "compat=0.10"),
    ] {
        let size = content.len().to_string();
        let create = ["create", "-q", "-f", "qcow2", "-b", backing, "-F", format, "-o", options];
        bench.run("qemu-img", &[&create[..], &[name, &size]].concat());
        let before = std::fs::read(bench.path(backing)).unwrap();
        edit(&bench, name, &content, 5);
        assert!(before == std::fs::read(bench.path(backing)).unwrap(), "{name}");
    }
}

#[test]
fn snapshots_keep_what_they_hold() {
    let bench = Bench::new();
    let content = disk(3 * MIB);
    bench.put("source.raw", &content);
    bench.convert("source.raw", "image", &["-o", "cluster_size=4k"]);
    bench.run("qemu-img", &["snapshot", "-c", "one", "image"]);
    bench.run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 1M 100k", "image"]);
    bench.run("qemu-img", &["snapshot", "-c", "two", "image"]);
    let mut second = content.clone();
    second[MIB..MIB + (100 << 10)].fill(9);
    let image = image::open(&bench.path("image"), None).unwrap();
    assert_eq!(image.warnings, ["2 internal snapshots keep the content from before the edit"]);
    edit(&bench, "image", &second, 7);
    for (snapshot, expected) in [("one", &content), ("two", &second)] {
        let from = format!("snapshot.name={snapshot}");
        bench.run("qemu-img", &["convert", "-l", &from, "-O", "raw", "image", "out.raw"]);
        assert!(&std::fs::read(bench.path("out.raw")).unwrap() == expected, "{snapshot}");
    }
}

#[test]
fn external_data_files() {
    for raw in ["on", "off"] {
        let bench = Bench::new();
        let content = disk(3 * MIB);
        bench.put("source.raw", &content);
        let options = format!("data_file=data,data_file_raw={raw}");
        bench.convert("source.raw", "image", &["-o", &options]);
        edit(&bench, "image", &content, 11);
        let image = image::open(&bench.path("image"), None).unwrap();
        let names: Vec<_> = image.files().map(|file| file.path.file_name().unwrap()).collect();
        assert_eq!(names, ["image", "data"]);
        if raw == "on" {
            assert!(std::fs::read(bench.path("data")).unwrap() == content);
            let info = bench.run("qemu-img", &["info", "image"]);
            assert!(String::from_utf8_lossy(&info.stdout).contains("data file raw: true"));
        }
    }
}

#[test]
fn bitmaps_become_invalid() {
    let bench = Bench::new();
    let content = disk(2 * MIB);
    bench.put("source.raw", &content);
    bench.convert("source.raw", "image", &[]);
    bench.run("qemu-img", &["bitmap", "--add", "image", "backup"]);
    let image = image::open(&bench.path("image"), None).unwrap();
    assert!(image.warnings[0].contains("the next backup must be a full one"));
    edit(&bench, "image", &content, 13);
    let info = bench.run("qemu-img", &["info", "image"]);
    assert!(String::from_utf8_lossy(&info.stdout).contains("in-use"));
}

/// Small clusters have small refcount blocks, and soon need a larger refcount table.
#[test]
fn the_refcount_table_grows() {
    let bench = Bench::new();
    bench.run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "image", "20M"],
    );
    let image = image::open(&bench.path("image"), None).unwrap();
    let mut medium = writable::open(&image).unwrap();
    let mut content = vec![0; 20 * MIB];
    content[MIB..19 * MIB].copy_from_slice(&noise(1, 18 * MIB));
    for start in (MIB..19 * MIB).step_by(MIB) {
        medium.write_at(start as u64, &content[start..start + MIB]).unwrap();
    }
    medium.sync().unwrap();
    drop(medium);
    bench.check("image", &content);
}

#[test]
fn a_machine_with_the_overlay_or_the_base_is_respected() {
    let bench = Bench::new();
    bench.put("base.raw", &disk(MIB));
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "image"];
    bench.run("qemu-img", &create);
    let image = image::open(&bench.path("image"), None).unwrap();
    let medium = writable::open(&image).unwrap();
    let write = |options: &[&str], file: &str| {
        let mut command = std::process::Command::new(crate::disk::testing::program("qemu-io"));
        command.current_dir(bench.0.path()).args(options).args(["-c", "write 0 512", file]);
        command.output().unwrap().status.success()
    };
    assert!(!write(&["-f", "qcow2"], "image"));
    assert!(!write(&["-f", "raw"], "base.raw"), "the base is held, too");
    // Reading the base is fine for others.
    bench.run("qemu-io", &["-r", "-f", "raw", "-c", "read 0 512", "base.raw"]);
    drop(medium);
    drop(image);
    assert!(write(&["-f", "raw"], "base.raw"));
    let file = std::fs::File::open(bench.path("base.raw")).unwrap();
    file.read_exact_at(&mut [0; 512], 0).unwrap();
}

/// A device cannot become longer: new clusters are found where none of the image are, and an edit that needs more of
/// them is refused before it begins.
#[test]
fn an_image_on_a_device_takes_what_there_is_room_for() {
    let bench = Bench::new();
    bench.put("source.raw", &noise(1, 64 << 10));
    let mut content = noise(1, 64 << 10);
    content.resize(MIB, 0);
    bench.convert("source.raw", "image", &["-o", "cluster_size=4k"]);
    bench.run("qemu-img", &["resize", "-q", "-f", "qcow2", "image", "1M"]);
    let mut device = std::fs::read(bench.path("image")).unwrap();
    // One cluster that is free between used ones, and two at the end.
    bench.run("qemu-io", &["-f", "qcow2", "-c", "discard 8k 4k", "image"]);
    let in_use = device.len().next_multiple_of(4096);
    device = std::fs::read(bench.path("image")).unwrap();
    device.resize(in_use + 8192, 0);
    content[8 << 10..12 << 10].fill(0);
    let ask = |ranges: &[std::ops::Range<u64>]| {
        let host = MemoryHost::device(device.clone());
        let medium = open_writable(write_files(&[("", &host)])).unwrap();
        let answer = medium.can_write(ranges);
        assert_eq!(host.operation_count(), 0);
        answer
    };
    let cluster = |number: u64| number * 4096 + 512..number * 4096 + 1024;
    ask(&[cluster(0), cluster(15)]).unwrap();
    ask(&[cluster(0), cluster(20), cluster(21), cluster(22)]).unwrap();
    let error = ask(&[cluster(20), cluster(21), cluster(22), cluster(23)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::NoSpace { .. })), "{error}");
    let host = MemoryHost::device(device.clone());
    let mut medium = open_writable(write_files(&[("", &host)])).unwrap();
    for number in [0, 20, 21, 22] {
        let start = cluster(number).start;
        medium.write_at(start, &[7; 512]).unwrap();
        content[start as usize..][..512].fill(7);
    }
    medium.sync().unwrap();
    bench.put("device", &host.bytes());
    bench.check("device", &content);
}
