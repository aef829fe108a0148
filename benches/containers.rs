//! What a container or an encrypted volume costs more than a raw disk: `regain key list` on the same disk in every
//! format, in turns, with the median of wall and processor time and the peak of memory.
//!
//! `cargo bench --bench containers` (`-- --rounds 40` for more); needs `qemu-img`. Not a test: it never fails on a
//! number. The aim is under 5 ms and under 8 MiB more than on raw; unlocking LUKS costs what its key derivation costs,
//! which is small here on purpose, so that what is left shows. As root with `qemu-nbd` and the module `nbd`, compare by
//! hand: `qemu-nbd -c /dev/nbd0 disk.qcow2`, then the program on `/dev/nbd0`.
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

/// Name, and the arguments of `qemu-img convert` behind `-O`.
const CONTAINERS: [(&str, &str); 11] = [
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

/// One run: wall time in milliseconds, processor time in milliseconds, peak of resident memory in KiB.
fn measure(directory: &Path, image: &str) -> (f64, f64, u64) {
    let report = directory.join("time");
    let mut command = Command::new("/usr/bin/time");
    command.args(["-f", "%U %S %M", "-o", report.to_str().unwrap(), REGAIN, "key", "list", image]);
    if image == "luks1" {
        command.args(["--luks-passphrase-file", "passphrase"]);
    }
    let start = Instant::now();
    let status = command.current_dir(directory).stdout(Stdio::null()).status();
    let wall = start.elapsed().as_secs_f64() * 1000.0;
    assert!(status.expect("/usr/bin/time is needed: apt-get install time").success(), "{image}");
    let text = std::fs::read_to_string(report).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    (wall, (numbers[0] + numbers[1]) * 1000.0, numbers[2] as u64)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let given = words.iter().position(|word| word == "--rounds");
    let rounds: usize = given.map_or(15, |at| words[at + 1].parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let run = |program: &str, line: &str| {
        let mut command = Command::new(program);
        command.args(line.split(' ')).current_dir(scratch.path()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{program} {line}");
    };
    run(REGAIN, "demo demo --json");
    std::fs::write(scratch.path().join("passphrase"), "open").unwrap();
    for (name, options) in CONTAINERS {
        let name = name.replace(' ', "-");
        run("qemu-img", &format!("convert -f raw demo/root.img {name} -O {options}"));
    }
    let mut times = vec![(Vec::new(), Vec::new(), 0); CONTAINERS.len()];
    for _ in 0..rounds {
        for ((name, _), (walls, processors, peak)) in CONTAINERS.iter().zip(&mut times) {
            let (wall, processor, memory) = measure(scratch.path(), &name.replace(' ', "-"));
            walls.push(wall);
            processors.push(processor);
            *peak = memory.max(*peak);
        }
    }
    println!(
        "{:<24} {:>9} {:>7} {:>9} {:>10}",
        "container", "wall, ms", "ratio", "CPU, ms", "peak, KiB"
    );
    let raw = median(&mut times[0].0.clone());
    for ((name, _), (walls, processors, peak)) in CONTAINERS.iter().zip(&mut times) {
        let (wall, processor) = (median(walls), median(processors));
        println!("{name:<24} {wall:>9.2} {:>7.2} {processor:>9.1} {peak:>10}", wall / raw);
    }
}
