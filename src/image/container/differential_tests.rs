//! Random writes to one image, by qemu-io and by regain in turns: what both and `qemu-img` read out of it is what a raw
//! file holds that got the same writes, and `qemu-img check` finds nothing.
//!
//! `REGAIN_CONTAINER_ROUNDS=30` takes more turns than the quick run does, `REGAIN_SEED=7` other ones. Package:
//! qemu-utils.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::testing::{Rng, run};
use crate::disk::medium::Medium as _;
use crate::disk::testing::directory;
use crate::image::{self, writable};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Turns of each of the two.
const ROUNDS: u64 = 2;

/// Writes of each turn.
const WRITES: usize = 5;

/// How an image is made.
struct Layout {
    format: &'static str,
    options: &'static str,
    len_bytes: u64,
    /// Where the writes go.
    places: &'static [Range<u64>],
    /// Length of a base of random bytes, if it is an overlay.
    base_bytes: Option<u64>,
    has_snapshot: bool,
}

const SMALL: &[Range<u64>] = &[0..MIB, MIB..3 * MIB];

/// Around the borders of the first extents of a split VMDK.
const SPLIT: &[Range<u64>] = &[
    0..MIB,
    2 * GIB - 64 * MIB..2 * GIB - 63 * MIB,
    2 * GIB - MIB..2 * GIB + MIB,
    4 * GIB - MIB..4 * GIB + MIB,
    5 * GIB - MIB..5 * GIB,
];

const fn small(format: &'static str, options: &'static str) -> Layout {
    let (len_bytes, places) = (3 * MIB, SMALL);
    Layout { format, options, len_bytes, places, base_bytes: None, has_snapshot: false }
}

/// An image with its model.
struct Pair {
    directory: TempDir,
    model: File,
    layout: &'static Layout,
    rng: Rng,
}

impl Pair {
    fn new(layout: &'static Layout, seed: u64) -> Self {
        let directory = directory();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let mut rng = Rng::new(seed);
        let model = File::options().read(true).write(true).create_new(true).open(path("model"));
        let model = model.unwrap();
        let mut create = vec!["create", "-q", "-f", layout.format];
        if !layout.options.is_empty() {
            create.extend(["-o", layout.options]);
        }
        let (base, image, len) = (path("base"), path("image"), layout.len_bytes.to_string());
        if let Some(base_bytes) = layout.base_bytes {
            let bytes = rng.bytes(base_bytes as usize);
            std::fs::write(&base, &bytes).unwrap();
            model.write_all_at(&bytes, 0).unwrap();
            create.extend(["-F", "raw", "-b", &base]);
        }
        model.set_len(layout.len_bytes).unwrap();
        create.extend([image.as_str(), &len]);
        run("qemu-img", &create);
        Self { directory, model, layout, rng }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The next writes: where, how many bytes, and which byte that is.
    fn writes(&mut self) -> Vec<(u64, usize, u8)> {
        let write = |rng: &mut Rng| {
            let place = &self.layout.places[rng.below(self.layout.places.len() as u64) as usize];
            let sectors = (place.end - place.start) / 512;
            let start = rng.below(sectors);
            let most = if rng.below(3) == 0 { 600 } else { 12 };
            let len = (1 + rng.below(most)).min(sectors - start);
            // Zeros are common.
            let byte = if rng.below(4) == 0 { 0 } else { rng.next() as u8 };
            (place.start + start * 512, len as usize * 512, byte)
        };
        (0..WRITES).map(|_| write(&mut self.rng)).collect()
    }

    fn note(&self, writes: &[(u64, usize, u8)]) {
        for (at, len, byte) in writes {
            self.model.write_all_at(&vec![*byte; *len], *at).unwrap();
        }
    }

    fn turn_of_qemu(&mut self) {
        let writes = self.writes();
        let commands: Vec<String> =
            writes.iter().map(|(at, len, byte)| format!("write -P {byte} {at} {len}")).collect();
        let mut arguments = vec!["-f", self.layout.format];
        arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
        let image = self.path("image");
        arguments.push(image.to_str().unwrap());
        let text = run("qemu-io", &arguments);
        assert_eq!(text.matches("wrote ").count(), writes.len(), "{text}");
        self.note(&writes);
    }

    fn turn_of_regain(&mut self) {
        let writes = self.writes();
        let image = image::open(&self.path("image"), None).unwrap();
        let ranges: Vec<_> = writes.iter().map(|(at, len, _)| *at..*at + *len as u64).collect();
        image.can_write(&ranges).unwrap();
        let mut medium = writable::open(&image).unwrap();
        medium.can_write(&ranges).unwrap();
        for (at, len, byte) in &writes {
            medium.write_at(*at, &vec![*byte; *len]).unwrap();
            if self.rng.below(3) == 0 {
                medium.sync().unwrap();
            }
        }
        medium.sync().unwrap();
        self.note(&writes);
    }

    fn compare(&self) {
        let (image, model) = (self.path("image"), self.path("model"));
        let (image_text, model) = (image.to_str().unwrap(), model.to_str().unwrap());
        let format = self.layout.format;
        if format != "vpc" && !self.layout.options.contains("Flat") {
            run("qemu-img", &["check", "-q", "-f", format, image_text]);
        }
        run("qemu-img", &["compare", "-q", "-f", format, "-F", "raw", image_text, model]);
        let opened = image::open(&image, None).unwrap();
        assert_eq!(opened.disk.len_bytes(), self.layout.len_bytes);
        for place in self.layout.places {
            let len = (place.end - place.start) as usize;
            let mut expected = vec![0; len];
            self.model.read_exact_at(&mut expected, place.start).unwrap();
            assert!(opened.disk.read_vec(place.start, len).unwrap() == expected);
        }
    }
}

#[expect(clippy::print_stdout, reason = "shown only where a test fails: which layout that was")]
fn take_turns(layouts: &'static [Layout]) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (rounds, seed) = (number("REGAIN_CONTAINER_ROUNDS"), number("REGAIN_SEED").unwrap_or(1));
    for (index, layout) in layouts.iter().enumerate() {
        println!("{} {}", layout.format, layout.options);
        let mut pair = Pair::new(layout, seed * 1000 + index as u64);
        for round in 0..rounds.unwrap_or(ROUNDS) {
            pair.turn_of_qemu();
            if layout.has_snapshot {
                let (name, image) = (format!("s{round}"), pair.path("image"));
                run("qemu-img", &["snapshot", "-c", &name, image.to_str().unwrap()]);
            }
            pair.turn_of_regain();
            pair.compare();
        }
    }
}

#[test]
fn qcow2_of_every_width_by_turns() {
    static LAYOUTS: [Layout; 10] = [
        small("qcow2", "cluster_size=512,refcount_bits=1"),
        small("qcow2", "cluster_size=512,compat=0.10"),
        small("qcow2", "cluster_size=1k,refcount_bits=2,lazy_refcounts=on"),
        small("qcow2", "cluster_size=4k,refcount_bits=4"),
        small("qcow2", "cluster_size=16k,refcount_bits=8,lazy_refcounts=on"),
        small("qcow2", "cluster_size=64k,refcount_bits=16"),
        small("qcow2", "cluster_size=256k,refcount_bits=32"),
        small("qcow2", "cluster_size=1M,refcount_bits=64"),
        small("qcow2", "cluster_size=2M,compat=0.10"),
        small("qcow2", "cluster_size=2M,lazy_refcounts=on"),
    ];
    take_turns(&LAYOUTS);
}

#[test]
fn qcow2_overlays_and_snapshots_by_turns() {
    static LAYOUTS: [Layout; 5] = [
        Layout { base_bytes: Some(MIB + 777), ..small("qcow2", "cluster_size=4k") },
        Layout { base_bytes: Some(5 * MIB), ..small("qcow2", "cluster_size=64k") },
        Layout { base_bytes: Some(2 * MIB), ..small("qcow2", "cluster_size=512,compat=0.10") },
        Layout { has_snapshot: true, ..small("qcow2", "cluster_size=4k,refcount_bits=8") },
        Layout { has_snapshot: true, ..small("qcow2", "cluster_size=64k,compat=0.10") },
    ];
    take_turns(&LAYOUTS);
}

#[test]
fn vhd_and_vhdx_by_turns() {
    static LAYOUTS: [Layout; 6] = [
        // 4 MiB less what cylinders of 17 sectors and 4 heads do not reach, and a length that they never have.
        Layout { len_bytes: 8160 * 512, ..small("vpc", "subformat=dynamic") },
        Layout { len_bytes: 3 * MIB + 77 * 512, ..small("vpc", "subformat=dynamic,force_size=on") },
        Layout { len_bytes: 3 * MIB + 77 * 512, ..small("vpc", "subformat=fixed,force_size=on") },
        small("vhdx", "block_size=1M"),
        Layout {
            len_bytes: 300 * MIB,
            places: &[0..MIB, 255 * MIB..257 * MIB, 299 * MIB..300 * MIB],
            ..small("vhdx", "block_size=256M")
        },
        small("vhdx", "subformat=fixed,block_size=16M"),
    ];
    take_turns(&LAYOUTS);
}

#[test]
fn vmdk_by_turns() {
    static LAYOUTS: [Layout; 7] = [
        small("vmdk", "subformat=monolithicSparse"),
        small("vmdk", "subformat=monolithicSparse,compat6=on"),
        small("vmdk", "subformat=monolithicSparse,zeroed_grain=on"),
        Layout { len_bytes: 3 * MIB + 77 * 512, ..small("vmdk", "subformat=monolithicSparse") },
        Layout {
            len_bytes: 5 * GIB,
            places: SPLIT,
            ..small("vmdk", "subformat=twoGbMaxExtentSparse")
        },
        Layout {
            len_bytes: 5 * GIB,
            places: SPLIT,
            ..small("vmdk", "subformat=twoGbMaxExtentFlat")
        },
        small("vmdk", "subformat=monolithicFlat"),
    ];
    take_turns(&LAYOUTS);
}
