//! Root disks that are mirrored.

use crate::support::md_build::MemberSpec;
use crate::support::scratch::Scratch;
use crate::support::sparse;
use crate::support::stack_bench::{self, StackBench};
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
