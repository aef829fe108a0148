//! Damaged and hostile targets through the binary: an error of the right kind, nothing written, no panic, and
//! no more than 64 MiB of memory (the harness caps every run).

use crate::support::image::{self, Content, ImageBuilder, Nodes};
use crate::support::regain::{Regain, Run};
use crate::support::rng::Rng;
use crate::support::root::{self, KEY_FILE, USER_ID};
use crate::support::scratch::Scratch;
use crate::support::tools;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const IO: i32 = 1;
const NOTHING_TO_DO: i32 = 3;
const REFUSED: i32 = 4;
const CORRUPT: i32 = 5;

/// Asserts that each command that takes a target fails with one of `statuses` and writes nothing.
fn assert_fails(target: &Path, statuses: &[i32]) {
    let run = add(target);
    run.failure(statuses);
    assert!(run.stderr.contains("the target was not modified"), "{run:?}");
    let image = target.to_str().unwrap();
    for arguments in [&["inspect", image, "--json"][..], &["key", "list", image, "--json"]] {
        let run = Regain::new(&std::env::temp_dir()).run(arguments);
        if run.status != 0 {
            run.failure(&[IO, NOTHING_TO_DO, REFUSED, CORRUPT]);
        }
    }
}

fn add(target: &Path) -> Run {
    let scratch = Scratch::new();
    let key = scratch.join("new.pub");
    std::fs::write(&key, root::NEW_KEY).unwrap();
    let is_file = target.is_file();
    let before = is_file.then(|| std::fs::read(target).unwrap());
    let run = Regain::new(scratch.path()).key_add(target, root::USER, &key, &[]);
    if run.status != 0 {
        let after = is_file.then(|| std::fs::read(target).unwrap());
        assert!(before == after, "the target was modified: {run:?}");
    }
    run
}

fn file_of(scratch: &Scratch, bytes: &[u8]) -> PathBuf {
    let path = scratch.join("target");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn ext4(nodes: Nodes) -> (Scratch, PathBuf) {
    built(&ImageBuilder::new("ext4", 16), nodes)
}

fn built(builder: &ImageBuilder, nodes: Nodes) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let image = builder.clone().nodes(nodes).build_in(&scratch, "target");
    (scratch, image)
}

#[test]
fn nothing_at_all() {
    let scratch = Scratch::new();
    assert_fails(&scratch.join("missing"), &[IO, NOTHING_TO_DO]);
    for len in [0, 1, 511, 512, 1024, 2048, 4096] {
        assert_fails(&file_of(&scratch, &vec![0; len]), &[NOTHING_TO_DO, CORRUPT]);
    }
}

#[test]
fn a_directory_without_a_system() {
    assert_fails(Scratch::new().path(), &[NOTHING_TO_DO, CORRUPT]);
}

#[test]
fn random_bytes() {
    let scratch = Scratch::new();
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let bytes: Vec<u8> = (0..200_000).map(|_| rng.next() as u8).collect();
        assert_fails(&file_of(&scratch, &bytes), &[NOTHING_TO_DO, CORRUPT]);
    }
}

#[test]
fn an_image_that_ends_too_early() {
    let (_scratch, image) = ext4(root::with_key());
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    for len in [12 * 1024 * 1024, 1024 * 1024, 70_000, 5000, 2048, 1500] {
        file.set_len(len).unwrap();
        assert_fails(&image, &[NOTHING_TO_DO, REFUSED, CORRUPT]);
    }
}

/// The copy broke off: a checker would only make it worse, so no hint names one.
#[test]
fn what_is_cut_short_is_compared_with_the_original() {
    let scratch = Scratch::new();
    let make = |name: &str, program: &str, arguments: &[&str]| {
        let path = scratch.join(name);
        std::fs::File::create(&path).unwrap().set_len(320 << 20).unwrap();
        tools::succeed(program, &[arguments, &[path.to_str().unwrap()]].concat());
        path
    };
    let images = [
        make("ext4", "mke2fs", &["-q", "-t", "ext4"]),
        make("xfs", "mkfs.xfs", &["-q"]),
        make("gpt", "sgdisk", &["--new=1:100M:+200M"]),
    ];
    for image in images {
        std::fs::File::options().write(true).open(&image).unwrap().set_len(80 << 20).unwrap();
        let error = add(&image).failure(&[NOTHING_TO_DO, REFUSED, CORRUPT]);
        let hint = "compare the size of this copy with the original: it may be cut short";
        assert_eq!(error["hint"], hint, "{}: {error}", image.display());
    }
}

#[test]
fn a_base_that_is_missing_is_put_back_or_named_anew() {
    let scratch = Scratch::new();
    let run = |line: &str| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| word.replace("AT", scratch.path().to_str().unwrap()))
            .collect();
        tools::succeed("qemu-img", &words);
    };
    run("create -q -f raw AT/base 1M");
    run("create -q -f qcow2 -b AT/base -F raw AT/target");
    std::fs::remove_file(scratch.join("base")).unwrap();
    let error = add(&scratch.join("target")).failure(&[NOTHING_TO_DO]);
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("qemu-img rebase -u -b FILE -F FORMAT "), "{error}");
}

#[test]
fn a_table_that_points_outside() {
    let (scratch, volume) = ext4(root::with_key());
    let mut disk = vec![0; 1024 * 1024];
    disk.extend(std::fs::read(volume).unwrap());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (start, sectors) in
        [(2048u32, 0x7fff_ffff_u32), (0xffff_0000, 100), (0xffff_ffff, 0xffff_ffff)]
    {
        let entry =
            [[0, 0, 0, 0, 0x83, 0, 0, 0].as_slice(), &start.to_le_bytes(), &sectors.to_le_bytes()];
        disk[446..462].copy_from_slice(&entry.concat());
        assert_fails(&file_of(&scratch, &disk), &[NOTHING_TO_DO, REFUSED, CORRUPT]);
    }
}

#[test]
fn a_gpt_of_absurd_counts() {
    let scratch = Scratch::new();
    let path = file_of(&scratch, &vec![0; 4 * 1024 * 1024]);
    tools::succeed("sgdisk", &["--new=1:2048:+1M", path.to_str().unwrap()]);
    let good = std::fs::read(&path).unwrap();
    // Number of entries, size of one, first LBA of the array; with the header checksum repaired.
    for (at, value) in
        [(80, u32::MAX), (84, u32::MAX), (84, 0), (84, 1), (72, u32::MAX), (12, u32::MAX)]
    {
        let mut disk = good.clone();
        for header in [512, disk.len() - 512] {
            disk[header + at..header + at + 4].copy_from_slice(&value.to_le_bytes());
            disk[header + 16..header + 20].copy_from_slice(&[0; 4]);
            let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
            let checksum = crc.checksum(&disk[header..header + 92]);
            disk[header + 16..header + 20].copy_from_slice(&checksum.to_le_bytes());
        }
        assert_fails(&file_of(&scratch, &disk), &[NOTHING_TO_DO, REFUSED, CORRUPT]);
    }
}

#[test]
fn a_loop_of_extended_partitions() {
    let scratch = Scratch::new();
    let mut disk = vec![0; 1024 * 1024];
    let entry = |kind: u8, start: u32, len: u32| {
        [[0, 0, 0, 0, kind, 0, 0, 0].as_slice(), &start.to_le_bytes(), &len.to_le_bytes()].concat()
    };
    disk[446..462].copy_from_slice(&entry(5, 64, 1900));
    for (at, next) in [(64, 16), (80, 32), (96, 16), (112, 0)] {
        let at = at * 512;
        disk[at + 446..at + 462].copy_from_slice(&entry(0x83, 1, 2));
        disk[at + 462..at + 478].copy_from_slice(&entry(5, next, 100));
        disk[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_fails(&file_of(&scratch, &disk), &[NOTHING_TO_DO, REFUSED, CORRUPT]);
}

#[test]
fn symbolic_links_that_never_end() {
    for target in ["authorized_keys", "/home/admin/.ssh/authorized_keys", "../.ssh/authorized_keys"]
    {
        let mut nodes = root::bare();
        nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
        nodes.add(KEY_FILE, Content::Symlink(target.to_owned()), 0o777, USER_ID);
        assert_fails(&ext4(nodes).1, &[REFUSED, CORRUPT]);
    }
    let mut nodes = root::bare();
    nodes.link("/etc/os-release", "os-release");
    nodes.0.remove("/usr/lib/os-release");
    assert_fails(&ext4(nodes).1, &[NOTHING_TO_DO, REFUSED, CORRUPT]);
}

#[test]
fn passwd_files_that_make_no_sense() {
    for bytes in
        [vec![0; 5000], b"\0\0:\0:\n".repeat(100), b":::::::\n".repeat(50), vec![b'x'; 300_000]]
    {
        let mut nodes = root::with_key();
        nodes.file("/etc/passwd", bytes, 0o644, 0);
        assert_fails(&ext4(nodes).1, &[NOTHING_TO_DO, REFUSED, CORRUPT]);
    }
}

/// A file of `size` bytes that has no block but the ones it had.
fn with_size(path: &str, size: u64) -> (Scratch, PathBuf) {
    // Without extents a map of holes may be longer than its blocks.
    let builder = ImageBuilder::new("ext2", 16).script([format!("sif {path} size {size}")]);
    built(&builder, root::with_key())
}

#[test]
fn a_passwd_of_100_megabytes() {
    assert_fails(&with_size("/etc/passwd", 100_000_000).1, &[CORRUPT]);
}

#[test]
fn a_key_file_of_a_gigabyte() {
    assert_fails(&with_size(KEY_FILE, 1_000_000_000).1, &[CORRUPT]);
}

#[test]
fn a_home_of_a_gigabyte() {
    let (_scratch, image) = ext4(root::bare());
    image::edit(&image, &["sif /home/admin size 1073741824".to_owned()]);
    assert_fails(&image, &[REFUSED, CORRUPT]);
}

#[test]
fn absurd_numbers_in_the_superblock() {
    let builder = ImageBuilder::new("ext4", 4).arguments("-b 1024").features("^metadata_csum");
    let (_scratch, image) = built(&builder, root::with_key());
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    let whole = std::fs::read(&image).unwrap();
    for offset in (1024..1024 + 0x180).step_by(4) {
        for value in [0u32, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            file.write_all_at(&value.to_le_bytes(), offset).unwrap();
            let run = add(&image);
            // Some fields do not matter to an append.
            if run.status == 0 {
                file.write_all_at(&whole, 0).unwrap();
            } else {
                run.failure(&[NOTHING_TO_DO, REFUSED, CORRUPT]);
                let at = offset as usize;
                file.write_all_at(&whole[at..at + 4], offset).unwrap();
            }
        }
    }
}
