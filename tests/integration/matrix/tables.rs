//! Partition tables around the file system.

use super::{Bench, Intended};
use crate::support::image::ImageBuilder;
use crate::support::scratch::Scratch;
use crate::support::{root, tools};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const MIB: u64 = 1024 * 1024;
/// Start of the partition with the file system.
const START: u64 = 4 * MIB;
const DISK: u64 = 24 * MIB;

/// A disk with a file system at [`START`], and a table made by `table`.
fn bench(table: impl Fn(&Path)) -> Bench {
    let scratch = Scratch::new();
    let volume = ImageBuilder::new("ext4", 16).nodes(root::with_key()).build_in(&scratch, "volume");
    let disk = scratch.join("disk.img");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(DISK).unwrap();
    table(&disk);
    file.write_all_at(&std::fs::read(&volume).unwrap(), START).unwrap();
    Bench::new(scratch, disk, START)
}

fn prove(table: impl Fn(&Path)) {
    bench(table).prove(&Intended::append(root::OLD_KEY));
}

fn sgdisk(disk: &Path, arguments: &[&str]) {
    let mut all = arguments.to_vec();
    all.push(disk.to_str().unwrap());
    tools::succeed("sgdisk", &all);
}

fn feed(tool: &str, arguments: &[&str], disk: &Path, input: &str) {
    let mut command = tools::command(tool);
    command.args(arguments).arg(disk).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{tool}: {output:?}");
}

/// Partition `number` in [`START`] and 16 MiB long.
fn gpt(disk: &Path, number: u32) {
    let new = format!("--new={number}:8192:+16M");
    sgdisk(disk, &["--disk-guid=6f0c7d1e-1111-4222-8333-944455566677", &new]);
}

#[test]
fn gpt_with_512_byte_sectors() {
    prove(|disk| gpt(disk, 1));
}

#[test]
fn gpt_with_holes_in_the_numbering() {
    prove(|disk| {
        gpt(disk, 15);
        sgdisk(disk, &["--new=14:2048:4095", "--typecode=14:ef02", "--new=3:4096:8191"]);
    });
}

#[test]
fn gpt_with_4096_byte_sectors() {
    prove(|disk| feed("fdisk", &["-b", "4096"], disk, "g\nn\n1\n1024\n+16M\nw\n"));
}

#[test]
fn gpt_with_a_damaged_primary_header() {
    prove(|disk| {
        gpt(disk, 1);
        damage(disk, 512 + 16);
    });
}

#[test]
fn gpt_with_a_damaged_entry_array() {
    prove(|disk| {
        gpt(disk, 1);
        damage(disk, 1024 + 40);
    });
}

#[test]
fn gpt_whose_backup_is_not_at_the_end() {
    prove(|disk| {
        gpt(disk, 1);
        let file = std::fs::File::options().write(true).open(disk).unwrap();
        file.set_len(DISK + 8 * MIB).unwrap();
    });
}

#[test]
fn mbr_with_a_primary_partition() {
    prove(|disk| feed("sfdisk", &["-q"], disk, "label: dos\nstart=8192, size=32768, type=83\n"));
}

#[test]
fn mbr_with_a_logical_partition() {
    prove(|disk| {
        let script = "label: dos\nstart=2048, size=2048, type=83\nstart=4096, type=5\n\
                      start=4160, size=2000, type=82\nstart=8192, size=32768, type=83\n";
        feed("sfdisk", &["-q"], disk, script);
    });
}

/// Flips a byte.
fn damage(disk: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(disk).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at).unwrap();
}

#[test]
fn two_systems_need_a_choice() {
    let scratch = Scratch::new();
    let volume = ImageBuilder::new("ext4", 8).nodes(root::with_key()).build_in(&scratch, "volume");
    let disk = scratch.join("disk.img");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(DISK).unwrap();
    sgdisk(&disk, &["--new=1:8192:+8M", "--new=2:24576:+8M"]);
    let bytes = std::fs::read(&volume).unwrap();
    file.write_all_at(&bytes, START).unwrap();
    file.write_all_at(&bytes, 12 * MIB).unwrap();
    let bench = Bench::new(scratch, disk, 12 * MIB);
    bench.assert_refused(&[3], &["--volume"]);
    let document = bench.key_add(&["--volume", "2"]).success();
    assert_eq!(document["result"]["changed"], true);
    let read = |offset| crate::support::tree::read(&bench.image, offset);
    assert_eq!(read(START), crate::support::tree::read(&volume_of(&bench), 0));
    assert_ne!(read(START), read(12 * MIB));
}

fn volume_of(bench: &Bench) -> PathBuf {
    bench.scratch.join("volume")
}

#[test]
fn a_label_with_control_characters_stays_out_of_the_terminal() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 16).arguments("-L \u{1b}[31mred");
    let image = builder.nodes(root::with_key()).build_in(&scratch, "disk.img");
    let bench = Bench::new(scratch, image, 0);
    let run = bench.regain().run(&["inspect", bench.image.to_str().unwrap()]);
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run:?}");
}
