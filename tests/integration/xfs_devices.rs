//! XFS volumes of several devices: a log elsewhere, and a realtime device.

use crate::support::root::{self, KEY_FILE, OLD_KEY};
use crate::support::scratch::Scratch;
use crate::support::sparse;
use crate::support::xfs_bench::{self, Intended, XfsBench};
use crate::support::xfs_mount::Mount;
use crate::support::xfs_tools::{self, RepairVerdict};
use crate::support::{tools, xfs_build, xfs_image, xfs_tree};
use std::path::PathBuf;

const EXTERNAL: &str = "external-log";

/// The volume with its log beside it.
fn external() -> XfsBench {
    let bench = XfsBench::of_fixture(EXTERNAL);
    bench.assert_silent("before");
    bench
}

#[test]
fn with_its_clean_log_a_volume_is_edited() {
    let bench = external();
    let log = sparse::digest(bench.log().unwrap());
    bench.prove(&Intended::append(OLD_KEY), |_, _| {});
    assert_eq!(sparse::digest(bench.log().unwrap()), log, "the log is only read");
}

#[test]
fn without_its_log_a_volume_is_read_and_refused_with_a_hint() {
    let bench = external();
    let listed = bench.regain().run(&["key", "list", bench.image().to_str().unwrap(), "--json"]);
    assert!(listed.success().to_string().contains("old@laptop"));
    let error = bench.key_add_without_devices(&[]).failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("on another device"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--device PATH"), "{error}");
    bench.assert_untouched();
    let inspect = |more: &[&str]| {
        let image = bench.image().to_str().unwrap();
        let document =
            bench.regain().run(&[&["inspect", image, "--json"], more].concat()).success();
        document["result"]["volumes"][0].clone()
    };
    assert_eq!(inspect(&[])["writable"], false);
    let log = bench.log().unwrap().to_str().unwrap().to_owned();
    assert_eq!(inspect(&["--device", &log])["writable"], true);
}

/// The device that is named must hold the log of this file system: zeros, another one's log, and one that is too
/// short do not. The right one may come after them.
#[test]
fn another_device_is_not_taken_for_the_log() {
    let bench = external();
    let scratch = bench.scratch();
    let make = |name: &str, len: u64| {
        let path = scratch.join(name);
        std::fs::File::create(&path).unwrap().set_len(len).unwrap();
        path
    };
    let (zeros, short, other) =
        (make("zeros", 64 << 20), make("short", 1 << 20), make("other", 64 << 20));
    let options = format!("-l logdev={},size=16m", other.to_str().unwrap());
    xfs_image::make(&scratch.join("other.img"), 32, &options);
    let missing = scratch.join("missing");
    for (path, status, reason) in [
        (&zeros, 4, "no record"),
        (&short, 4, "2048 blocks of 512 bytes"),
        (&other, 4, "record of another file system"),
        (&missing, 3, "no such file"),
    ] {
        let error = bench.key_add_without_devices(&["--device", path.to_str().unwrap()]);
        let error = error.failure(&[status]);
        assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
        bench.assert_untouched();
    }
    let paths = [&zeros, &other, &bench.log().unwrap().to_owned()];
    let devices: Vec<&str> =
        paths.iter().flat_map(|path: &&PathBuf| ["--device", path.to_str().unwrap()]).collect();
    bench.key_add_without_devices(&devices).success();
    bench.assert_silent("after several devices");
}

/// A log of which the last record, that of the unmount, did not arrive is not clean.
#[test]
fn a_log_elsewhere_that_is_not_clean_is_not_replayed() {
    let bench = external();
    let log = bench.log().unwrap();
    let mut bytes = std::fs::read(log).unwrap();
    let is_header = |block: &[u8]| block[..4] == [0xfe, 0xed, 0xba, 0xbe];
    let cycle = |block: &[u8]| u32::from_be_bytes(block[4..8].try_into().unwrap());
    let headers: Vec<(u32, usize)> = bytes
        .chunks(512)
        .enumerate()
        .filter(|(_, block)| is_header(block))
        .map(|(index, block)| (cycle(block), index))
        .collect();
    let (last_cycle, last) = *headers.iter().max().unwrap();
    for block in [last, last + 1] {
        bytes[block * 512..block * 512 + 512].fill(0);
        bytes[block * 512..block * 512 + 4].copy_from_slice(&(last_cycle - 1).to_be_bytes());
    }
    std::fs::write(log, bytes).unwrap();
    let verdict = xfs_tools::repair(bench.image(), Some(log));
    assert_eq!(verdict, RepairVerdict::Dirty, "the outside checker agrees");
    bench.assert_refused(&[4], &["a log on another device is not replayed"]);
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_kernel_takes_an_edit_beside_a_log_elsewhere() {
    let bench = external();
    let intended = Intended::append(OLD_KEY);
    bench.prove(&intended, |image, before| {
        let copies = ["copy.img", "copy.log"].map(|name| bench.scratch().join(name));
        tools::copy_sparse(image, &copies[0]);
        tools::copy_sparse(bench.log().unwrap(), &copies[1]);
        let place = bench.scratch().join("mount");
        let mount = Mount::new(&copies[0], Some(&copies[1]), &place, "rw");
        xfs_bench::assert_tree(before, &xfs_tree::of_kernel(mount.root()), &intended);
        xfs_bench::use_it(mount.root());
        drop(mount);
        assert_eq!(xfs_tools::repair(&copies[0], Some(&copies[1])), RepairVerdict::Silent);
    });
}

/// What is edited does not lie on the realtime device.
#[test]
fn a_volume_with_a_realtime_device_is_edited() {
    for more in ["", "-m rmapbt=0,reflink=0,finobt=0,inobtcount=0 -i sparse=0", "-n parent=1"] {
        let scratch = Scratch::new();
        let realtime = scratch.join("realtime");
        std::fs::File::create(&realtime).unwrap().set_len(64 << 20).unwrap();
        let device = realtime.to_str().unwrap();
        let options = format!("{more} -m metadir=0 -r rtdev={device},size=16m");
        for (nodes, intended) in
            [(root::with_key(), Intended::append(OLD_KEY)), (root::bare(), Intended::create())]
        {
            let image = xfs_build::volume(&scratch, 48, &options, &nodes);
            let bench = XfsBench::new(Scratch::new(), image).with_realtime(realtime.clone());
            bench.assert_silent("before");
            bench.prove(&intended, |_, _| {});
        }
    }
    let bench = XfsBench::of_fixture("realtime");
    let realtime = bench.scratch().join("realtime");
    std::fs::File::create(&realtime).unwrap().set_len(64 << 20).unwrap();
    let has_key = xfs_image::recorded_tree("realtime").0.contains_key(KEY_FILE);
    assert!(has_key);
    bench.with_realtime(realtime).prove(&Intended::append(OLD_KEY), |_, _| {});
}
