//! What a container costs more than a raw disk, and what other ways to the same disk cost.
//!
//! * Reading (`regain key list`) and editing (`regain key add`) the same disk in every format, in turns.
//! * Reading it at the start of a disk of 1 TiB, also where the clusters lie in no order.
//! * The same two jobs through `qemu-nbd` (the disk as a file, by `nbdfuse` of libnbd) and by `guestfish`, where they
//!   are installed and work.
//!
//! `cargo bench --bench containers` (`-- --rounds 40` for more); needs `qemu-img`. Not a test: it never fails on a
//! number. Each row has the median of wall and processor time and the peak of memory, and what the wall time is of
//! that of the first row. The aim is under 5 ms and under 8 MiB more than on raw; unlocking LUKS costs what its key
//! derivation costs, which is small here on purpose, so that what is left shows.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const REGAIN: &str = env!("CARGO_BIN_EXE_regain");

/// Name, and the arguments of `qemu-img convert` behind `-O`. The first row is what the others are compared with.
type Containers = [(&'static str, &'static str)];

const SMALL: &Containers = &[
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("qcow2 compressed", "qcow2 -c"),
    ("qcow2 512-byte clusters", "qcow2 -o cluster_size=512"),
    ("vmdk flat", "vmdk -o subformat=monolithicFlat"),
    ("vmdk sparse", "vmdk -o subformat=monolithicSparse"),
    ("vmdk split sparse", "vmdk -o subformat=twoGbMaxExtentSparse"),
    ("vhd fixed", "vpc -o subformat=fixed,force_size=on"),
    ("vhd dynamic", "vpc -o subformat=dynamic,force_size=on"),
    ("vhdx", "vhdx"),
    ("luks1", "luks --object secret,id=s,data=open -o key-secret=s,iter-time=10"),
];

const LARGE: &Containers = &[
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("qcow2 unordered", "qcow2 -W -m 16"),
    ("qcow2 2 MiB clusters", "qcow2 -o cluster_size=2M"),
    ("vmdk sparse", "vmdk -o subformat=monolithicSparse"),
    ("vhd dynamic", "vpc -o subformat=dynamic,force_size=on"),
    ("vhdx", "vhdx -o block_size=1048576"),
];

const LARGE_BYTES: u64 = 1 << 40;

const KEYS: &str = "/home/admin/.ssh/authorized_keys";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDwnFgEwTVS7pB55Xd/swnAa51YOfhMtx193ubo3NBzK rescue@bench";

/// Reading and editing through qemu-nbd, with the disk as the file `mnt/nbd`. `$1` is the image, `$2` its format, then
/// the command. The socket is there once qemu-nbd has forked, the file once its directory is a mount.
const THROUGH_NBD: &str = "set -e; image=$1 format=$2; shift 2; rm -f socket; mkdir -p mnt
qemu-nbd --fork -t -k $PWD/socket -f $format --pid-file nbd.pid $image
nbdfuse mnt --unix $PWD/socket & fuse=$!
while ! mountpoint -q mnt; do kill -0 $fuse; done
\"$@\" || status=$?
fusermount3 -u mnt; wait $fuse; kill $(cat nbd.pid); exit ${status:-0}";

/// One run.
#[derive(Clone, Copy)]
struct Sample {
    wall_ms: f64,
    processor_ms: f64,
    peak_kib: f64,
}

/// Runs `words` in `directory`; why not, if it fails.
fn measure(directory: &Path, words: &[&str]) -> Result<Sample, String> {
    let mut command = Command::new("/usr/bin/time");
    command.args(["-f", "%U %S %M", "-o", "time"]).args(words).current_dir(directory);
    command.env("LIBGUESTFS_BACKEND", "direct").stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output().expect("/usr/bin/time is needed: apt-get install time");
    let wall_ms = start.elapsed().as_secs_f64() * 1000.0;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(text.lines().next().unwrap_or("it failed, or took too long").to_owned());
    }
    let text = std::fs::read_to_string(directory.join("time")).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let processor_ms = (numbers[0] + numbers[1]) * 1000.0;
    Ok(Sample { wall_ms, processor_ms, peak_kib: numbers[2] })
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_header(title: &str) {
    println!(
        "\n{title:<30} {:>9} {:>8} {:>7} {:>9} {:>10}",
        "wall, ms", "more", "ratio", "CPU, ms", "peak, KiB"
    );
}

fn print_row(name: &str, samples: &[Sample], base_ms: f64) {
    let wall_ms = median(samples, |sample| sample.wall_ms);
    let processor_ms = median(samples, |sample| sample.processor_ms);
    let peak_kib = samples.iter().map(|sample| sample.peak_kib).fold(0.0, f64::max);
    let (more, ratio) = (wall_ms - base_ms, wall_ms / base_ms);
    println!(
        "{name:<30} {wall_ms:>9.2} {more:>8.2} {ratio:>7.2} {processor_ms:>9.1} {peak_kib:>10}"
    );
}

/// A directory with the images.
struct Bench {
    scratch: tempfile::TempDir,
    rounds: usize,
}

impl Bench {
    fn run(&self, program: &str, line: &str) {
        let mut command = Command::new(program);
        command.args(line.split(' ')).current_dir(self.scratch.path()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{program} {line}");
    }

    /// Makes all of `containers` out of the raw file `source`; their names begin with `prefix`.
    fn make(&self, containers: &Containers, source: &str, prefix: &str) {
        for (name, options) in containers {
            let image = file_name(prefix, name);
            self.run("qemu-img", &format!("convert -f raw {source} {image} -O {options}"));
        }
    }

    /// Measures `job` on each of `containers` in turns. An edit is undone each time.
    fn compare(&self, title: &str, containers: &Containers, prefix: &str, job: &[&str]) {
        let mut samples = vec![Vec::new(); containers.len()];
        for _ in 0..self.rounds {
            for ((name, _), samples) in containers.iter().zip(&mut samples) {
                let image = file_name(prefix, name);
                let mut words = vec![REGAIN];
                words.extend(job.iter().map(|word| if *word == "IMAGE" { &image } else { *word }));
                if *name == "luks1" {
                    words.extend(["--luks-passphrase-file", "passphrase"]);
                }
                samples.push(measure(self.scratch.path(), &words).expect(name));
                if job.contains(&"--yes") {
                    // The record is of the disk in the container, which needs no passphrase.
                    let undo = [REGAIN, "undo", "undo.patch", &image, "--yes"];
                    measure(self.scratch.path(), &undo).expect(name);
                    std::fs::remove_file(self.scratch.path().join("undo.patch")).unwrap();
                }
            }
        }
        print_header(title);
        let base_ms = median(&samples[0], |sample| sample.wall_ms);
        for ((name, _), samples) in containers.iter().zip(&samples) {
            print_row(name, samples, base_ms);
        }
    }

    /// Measures other ways to do a job, each against the first.
    fn ways(&self, title: &str, ways: &[(&str, &[&str], Vec<&str>)]) {
        print_header(title);
        let mut base_ms = None;
        for (name, programs, words) in ways {
            if let Some(missing) = programs.iter().find(|program| !is_installed(program)) {
                println!("{name:<30} {missing} is not installed");
                continue;
            }
            let mut samples = Vec::new();
            for _ in 0..self.rounds.min(5) {
                self.run("cp", "small-qcow2 work.qcow2");
                match measure(self.scratch.path(), words) {
                    Ok(sample) => samples.push(sample),
                    Err(reason) => {
                        println!("{name:<30} does not work here: {reason}");
                        break;
                    }
                }
                let _ = std::fs::remove_file(self.scratch.path().join("undo.patch"));
            }
            if !samples.is_empty() {
                let wall_ms = median(&samples, |sample| sample.wall_ms);
                print_row(name, &samples, *base_ms.get_or_insert(wall_ms));
            }
        }
    }
}

fn file_name(prefix: &str, name: &str) -> String {
    format!("{prefix}-{}", name.replace(' ', "-"))
}

fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let given = words.iter().position(|word| word == "--rounds");
    let rounds: usize = given.map_or(15, |at| words[at + 1].parse().unwrap());
    let bench = Bench { scratch: tempfile::tempdir().unwrap(), rounds };
    bench.run(REGAIN, "demo demo --json");
    std::fs::write(bench.scratch.path().join("passphrase"), "open").unwrap();
    std::fs::write(bench.scratch.path().join("key.pub"), format!("{KEY}\n")).unwrap();
    let list = ["key", "list", "IMAGE"];
    let add = ["key", "add", "IMAGE", "--key", "key.pub", "--undo-file", "undo.patch", "--yes"];
    bench.make(SMALL, "demo/root.img", "small");
    bench.compare("reading", SMALL, "small", &list);
    bench.compare("editing", SMALL, "small", &add);

    bench.run("cp", "demo/root.img large.img");
    let large =
        std::fs::OpenOptions::new().append(true).open(bench.scratch.path().join("large.img"));
    large.unwrap().set_len(LARGE_BYTES).unwrap();
    bench.make(LARGE, "large.img", "large");
    bench.compare("reading, disk of 1 TiB", LARGE, "large", &list);

    let nbd = ["sh", "-c", THROUGH_NBD, "sh", "work.qcow2", "qcow2", REGAIN];
    let through_nbd = |job: &[&'static str]| -> Vec<&str> {
        nbd.into_iter()
            .chain(job.iter().map(|word| if *word == "IMAGE" { "mnt/nbd" } else { *word }))
            .collect()
    };
    let direct = |job: &[&'static str]| -> Vec<&str> {
        let job = job.iter().map(|word| if *word == "IMAGE" { "work.qcow2" } else { *word });
        std::iter::once(REGAIN).chain(job).collect()
    };
    // Its appliance does not start everywhere.
    let fish = ["timeout", "120", "guestfish", "--format=qcow2", "-a", "work.qcow2", "-i"];
    let cat: Vec<&str> = fish.iter().copied().chain(["cat", KEYS]).collect();
    let line = format!("{KEY}\n");
    let append: Vec<&str> = fish.iter().copied().chain(["write-append", KEYS, &line]).collect();
    let nbd_programs = ["qemu-nbd", "nbdfuse", "fusermount3"];
    for (title, job, fish_job) in
        [("reading qcow2, other ways", &list[..], cat), ("editing qcow2, other ways", &add, append)]
    {
        bench.ways(
            title,
            &[
                ("regain", &[], direct(job)),
                ("regain through qemu-nbd", &nbd_programs, through_nbd(job)),
                ("guestfish", &["guestfish"], fish_job),
            ],
        );
    }
}
