//! Root disks that are mirrored.

use crate::support::luks::{self, Kind};
use crate::support::md_build::MemberSpec;
use crate::support::scratch::Scratch;
use crate::support::stack_bench::{self, StackBench};
use crate::support::{sparse, tools};
use std::path::{Path, PathBuf};

/// A root in a mirror of two, as `change` makes its superblocks.
fn mirrored(version: &'static str, change: impl Fn(&mut MemberSpec)) -> (StackBench, u64, u64) {
    let scratch = Scratch::new();
    let image = sparse::read(&stack_bench::ext4_root(&scratch));
    let len_bytes = image.len() as u64;
    let mut disks = Vec::new();
    let mut start = 0;
    for number in 0..2 {
        let mut spec = MemberSpec::mirror(version, number, len_bytes);
        change(&mut spec);
        start = spec.data_start();
        let disk = scratch.join(&format!("member{number}"));
        sparse::write(&disk, &spec.member(&image));
        disks.push(disk);
    }
    (StackBench::new(scratch, disks), start, len_bytes)
}

fn id_of(bench: &StackBench, disks: &[PathBuf]) -> String {
    let found = bench.run_on(disks, "inspect", &[]).success();
    let volumes = found["result"]["volumes"].as_array().unwrap();
    let array = volumes.iter().find(|volume| volume["source"] == "raid").unwrap();
    array["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_copy_of_a_mirror_gets_the_edit() {
    for version in ["0.90", "1.0", "1.2"] {
        let (bench, start, len_bytes) = mirrored(version, |_| {});
        let id = id_of(&bench, bench.disks());
        assert!(id.starts_with("md:"), "{id}");
        bench.prove(&id, &[0, 1], &|disks: &[PathBuf], to: &Path| {
            let range = start as usize..(start + len_bytes) as usize;
            let copies =
                [&disks[0], &disks[1]].map(|disk| sparse::read(disk)[range.clone()].to_vec());
            assert!(copies[0] == copies[1], "{version}: the copies differ");
            sparse::write(to, &copies[1]);
        });
    }
}

#[test]
fn one_member_of_two_is_refused_with_the_option_that_helps() {
    let (bench, _, _) = mirrored("1.2", |_| {});
    let key = bench.scratch().join("new.pub");
    let more = ["--user", "admin", "--key", key.to_str().unwrap(), "--yes"];
    for given in [&bench.disks()[..1], &bench.disks()[1..]] {
        let error = bench.run_on(given, "key add", &more).failure(&[4]);
        assert!(error["message"].as_str().unwrap().contains("not given"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--device PATH"), "{error}");
        // What is on it can be read all the same.
        let listed = bench.run_on(given, "key list", &[]).success();
        assert_eq!(listed["result"]["keys"][0]["user"], "admin");
    }
    bench.assert_untouched("refused");
}

#[test]
fn a_degraded_mirror_is_edited_and_one_with_differing_copies_is_not() {
    let (bench, _, _) = mirrored("1.2", |spec| spec.roles = vec![0, 0xfffe]);
    let alone = StackBench::new(Scratch::new(), bench.disks()[..1].to_vec());
    let document = alone.key_add(&[]).success();
    alone.undo(&document);
    let (bench, _, _) = mirrored("1.2", |spec| spec.is_clean = false);
    let error = bench.key_add(&[]).failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("copies may differ"), "{error}");
    bench.assert_untouched("refused");
}

/// A mirror of two whole disks that holds `content`.
fn mirror_of(version: &'static str, scratch: Scratch, content: &[u8]) -> (StackBench, u64) {
    let mut disks = Vec::new();
    let mut start = 0;
    for number in 0..2 {
        let spec = MemberSpec::mirror(version, number, content.len() as u64);
        start = spec.data_start();
        let disk = scratch.join(&format!("member{number}"));
        sparse::write(&disk, &spec.member(content));
        disks.push(disk);
    }
    (StackBench::new(scratch, disks), start)
}

/// Both copies of `range` of the array, which must be one.
fn both(disks: &[PathBuf], start: u64, range: std::ops::Range<u64>) -> Vec<u8> {
    let range = (start + range.start) as usize..(start + range.end) as usize;
    let [first, second] =
        [&disks[0], &disks[1]].map(|disk| sparse::read(disk)[range.clone()].to_vec());
    assert!(first == second, "the copies differ");
    first
}

fn assert_one_is_refused(bench: &StackBench, options: &[&str]) {
    let key = bench.scratch().join("new.pub");
    let more = [&["--user", "admin", "--key", key.to_str().unwrap(), "--yes"], options].concat();
    for given in [&bench.disks()[..1], &bench.disks()[1..]] {
        let error = bench.run_on(given, "key add", &more).failure(&[4]);
        assert!(error["message"].as_str().unwrap().contains("not given"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--device PATH"), "{error}");
    }
    bench.assert_untouched("refused");
}

/// The superblock is at the end, so the partitions of the array show on each of its members.
#[test]
fn partitions_of_a_mirror_are_never_edited_on_one_member_alone() {
    for version in ["0.90", "0.90 big-endian", "1.0"] {
        for is_gpt in [true, false] {
            let scratch = Scratch::new();
            let image = sparse::read(&stack_bench::ext4_root(&scratch));
            let (offset, len_bytes) = (1 << 20, image.len() as u64);
            let whole = scratch.join("whole");
            sparse::write(&whole, &[vec![0; 1 << 20], image, vec![0; 1 << 20]].concat());
            let path = whole.to_str().unwrap();
            if is_gpt {
                let end = format!("--new=1:2048:{}", (offset + len_bytes) / 512 - 1);
                tools::succeed("sgdisk", &[&end, path]);
            } else {
                // One entry of type Linux, and the signature.
                let mut bytes = sparse::read(&whole);
                bytes[446 + 4] = 0x83;
                bytes[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
                let sectors = (len_bytes / 512) as u32;
                bytes[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
                bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
                sparse::write(&whole, &bytes);
            }
            let (bench, start) = mirror_of(version, scratch, &sparse::read(&whole));
            assert_one_is_refused(&bench, &[]);
            let id = format!("{}:1", id_of(&bench, bench.disks()));
            bench.prove(&id, &[0, 1], &|disks: &[PathBuf], to: &Path| {
                sparse::write(to, &both(disks, start, offset..offset + len_bytes));
            });
        }
    }
}

/// So does an encrypted volume.
#[test]
fn an_encrypted_mirror_is_never_edited_on_one_member_alone() {
    for version in ["0.90", "0.90 big-endian", "1.0", "1.2"] {
        let scratch = Scratch::new();
        let image = stack_bench::ext4_root(&scratch);
        let len_bytes = image.metadata().unwrap().len();
        let container = scratch.join("container");
        luks::put(&image, Kind::First, &container);
        let passphrase = luks::passphrase_file(scratch.path());
        let content = sparse::read(&container);
        let (bench, start) = mirror_of(version, scratch, &content);
        let options = ["--luks-passphrase-file", passphrase.to_str().unwrap()];
        assert_one_is_refused(&bench, &options);
        let bench = bench.with_options(&options);
        let id = format!("luks:{}", id_of(&bench, bench.disks()));
        bench.prove(&id, &[0, 1], &|disks: &[PathBuf], to: &Path| {
            sparse::write(&container, &both(disks, start, 0..content.len() as u64));
            luks::take(&container, Kind::First, len_bytes, to);
        });
    }
}

/// Two arrays of one name, as of two machines made from one image: their identifiers tell them apart.
#[test]
fn arrays_of_one_name_are_told_apart() {
    let scratch = Scratch::new();
    let image = sparse::read(&stack_bench::ext4_root(&scratch));
    let len_bytes = image.len() as u64;
    let mut disks = Vec::new();
    for (array, uuid) in [*b"the first array.", *b"the other array."].into_iter().enumerate() {
        for number in 0..2 {
            let spec = MemberSpec { uuid, ..MemberSpec::mirror("1.2", number, len_bytes) };
            let disk = scratch.join(&format!("member{array}{number}"));
            sparse::write(&disk, &spec.member(&image));
            disks.push(disk);
        }
    }
    let bench = StackBench::new(scratch, disks);
    let found = bench.run("inspect", &[]).success();
    let volumes = found["result"]["volumes"].as_array().unwrap().iter();
    let ids =
        volumes.filter(|volume| volume["source"] == "raid").map(|volume| volume["id"].clone());
    let uuid = |text: &str| {
        let hex = text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let cuts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|cut| hex[cut].to_owned());
        format!("md:{}", cuts.join("-"))
    };
    let expected = ["the first array.", "the other array."].map(uuid);
    assert_eq!(ids.collect::<Vec<_>>(), expected);
    let document = bench.key_add(&["--volume", &expected[1]]).success();
    assert_eq!(document["result"]["volume_id"], expected[1]);
    bench.undo(&document);
}
