//! Volumes of machines that did not shut down, through the binary: looked at, edited, and taken back.

use crate::dirty::{BLOCK, FILE, dirty, image_blocks, variants};
use crate::support::image::{self, ImageBuilder};
use crate::support::jbd2::{Checksum, LogWriter, blocks_of};
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{digest, oracle, root, tools, tree};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A new key beside an image.
fn key(scratch: &Scratch) -> PathBuf {
    let path = scratch.join("new.pub");
    std::fs::write(&path, root::NEW_KEY).unwrap();
    path
}

fn inspect(regain: &Regain, image: &Path) -> Value {
    let result = regain.run(&["inspect", image.to_str().unwrap(), "--json"]).success();
    result["result"].clone()
}

/// The warnings of a result in one text.
fn warnings(result: &Value) -> String {
    result["warnings"].to_string()
}

#[test]
fn inspect_shows_the_replayed_volume_and_writes_nothing() {
    for (name, builder, checksum, has_64bit, start) in variants() {
        let dirty = dirty(&builder, checksum, has_64bit, start);
        let before = digest::of_file(&dirty.path);
        let regain = Regain::new(dirty.scratch.path());
        let found = inspect(&regain, &dirty.path);
        let volume = &found["volumes"][0];
        assert_eq!(
            (&volume["health"], &volume["writable"]),
            (&"journal_dirty".into(), &true.into())
        );
        // The journal removes the host name.
        assert_eq!(found["systems"][0]["host_name"], Value::Null, "{name}");
        assert!(warnings(&found).contains("an edit writes them too"), "{name}: {found}");
        let shown = regain.run(&["inspect", dirty.path.to_str().unwrap()]);
        assert!(shown.stdout.contains("journal dirty"), "{}", shown.stdout);
        assert!(shown.stdout.contains("replayed in memory"), "{}", shown.stdout);
        regain.run(&["key", "list", dirty.path.to_str().unwrap(), "--json"]).success();
        assert_eq!(digest::of_file(&dirty.path), before, "{name}");
    }
}

#[test]
fn one_patch_holds_the_replay_and_the_key_and_is_taken_back() {
    for (name, builder, checksum, has_64bit, start) in variants() {
        let dirty = dirty(&builder, checksum, has_64bit, start);
        let (image, target) = (&dirty.path, dirty.path.to_str().unwrap());
        let before = digest::of_file(image);
        let regain = Regain::new(dirty.scratch.path());
        let key = key(&dirty.scratch);
        let plan = regain.key_add(image, root::USER, &key, &["--dry-run"]).success();
        assert_eq!(digest::of_file(image), before, "{name}");
        let done = regain.key_add(image, root::USER, &key, &["--undo-file", "undo"]).success();
        let done = &done["result"];
        assert_eq!(done["patch"]["bytes_changed"], plan["result"]["patch"]["bytes_changed"]);
        assert!(warnings(done).contains("an edit writes them too"), "{name}: {done}");
        oracle::assert_clean(image, 0, name);
        let after = tree::read(image, 0);
        let keys = [root::OLD_KEY, root::NEW_KEY].concat();
        assert_eq!(after.0[root::KEY_FILE]["content"], digest::of_bytes(keys.as_bytes()), "{name}");
        assert_eq!(after.0[FILE]["uid"], "1000", "{name}");
        assert!(!after.0.contains_key("/etc/hostname"), "{name}");
        let health = &inspect(&regain, image)["volumes"][0]["health"];
        assert_eq!(health, "clean", "{name}");
        assert_eq!(
            regain.key_add(image, root::USER, &key, &[]).success()["result"]["changed"],
            false
        );
        let shown = regain.run(&["show", "undo", "--json"]).success();
        let runs = shown["result"]["runs"].to_string();
        assert!(runs.contains("journal replay") && runs.contains("journal superblock"), "{runs}");
        regain.run(&["undo", "undo", target, "--yes", "--json"]).success();
        assert_eq!(digest::of_file(image), before, "{name}");
    }
}

/// An image with a log that `write` makes, before the digest of it is taken.
fn with_log(features: &str, write: impl Fn(&mut LogWriter<'_>, u32)) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 32).features(features).nodes(root::with_key());
    let path = builder.build_in(&scratch, "disk.img");
    let journal = blocks_of(&path, 8);
    let mut bytes = std::fs::read(&path).unwrap();
    let blocks = journal.len() as u32;
    write(&mut LogWriter::new(&mut bytes, journal, Checksum::V3, true, 0, (1, 1)), blocks);
    std::fs::write(&path, bytes).unwrap();
    (scratch, path)
}

/// A block of the volume that nobody uses.
const SPARE: u64 = 32 * 256 - 3;

fn block(fill: u8) -> Vec<u8> {
    vec![fill; BLOCK]
}

/// `key add` refuses with `words` in the message and `remedy` in the hint; `inspect` says why.
fn assert_refused(scratch: &Scratch, path: &Path, words: &[&str], remedy: &str) {
    let before = digest::of_file(path);
    let regain = Regain::new(scratch.path());
    let error = regain.key_add(path, root::USER, &key(scratch), &[]).failure(&[4]);
    let message = error["message"].as_str().unwrap().to_owned() + &error["causes"].to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert!(error["hint"].as_str().unwrap().contains(remedy), "{error}");
    let found = inspect(&regain, path);
    let volume = &found["volumes"][0];
    assert_eq!(volume["writable"], false, "{volume}");
    assert!(volume["reason"].as_str().unwrap().contains(words[0]), "{volume}");
    // What is in place can still be looked at.
    assert_eq!(found["systems"][0]["users"][1]["name"], "admin", "{found}");
    assert_eq!(digest::of_file(path), before);
}

#[test]
fn journals_that_must_not_be_replayed_are_refused_with_a_remedy() {
    let fast_commits = |log: &mut LogWriter<'_>, blocks: u32| {
        log.set_field(0x28, 0x20 | 0x10 | 0x2 | 0x1);
        log.set_field(0x54, 16);
        log.transaction(&[(SPARE, block(1))], &[], true);
        log.put(blocks - 16 + 1, &[9, 0, 8, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    };
    let (scratch, path) = with_log("metadata_csum,64bit,fast_commit", fast_commits);
    assert_refused(&scratch, &path, &["fast commits"], "stop it cleanly");

    let (scratch, path) = with_log("metadata_csum,64bit", |log, _| {
        let used = log.transaction(&[(SPARE, block(1))], &[], true);
        log.transaction(&[(SPARE, block(2))], &[], true);
        log.damage(used[1], 7);
    });
    assert_refused(&scratch, &path, &["damaged", "later ones exist"], "e2fsck -f");

    let (scratch, path) = with_log("metadata_csum,64bit", |log, _| {
        let target = (log.range(3).start / BLOCK) as u64;
        log.transaction(&[(target, block(2))], &[], true);
    });
    assert_refused(&scratch, &path, &["belongs to the journal itself"], "e2fsck -f");

    let (scratch, path) =
        with_log("metadata_csum,64bit", |log, _| log.set_field(0x20, 0xffff_fffb));
    assert_refused(&scratch, &path, &["aborted with error -5"], "e2fsck -f");

    // The superblock denies what is in the journal.
    let (scratch, path) = with_log("metadata_csum,64bit", |log, _| {
        log.transaction(&[(SPARE, block(2))], &[], true);
    });
    image::edit(&path, &["feature -needs_recovery".to_owned()]);
    assert_refused(&scratch, &path, &["its journal holds changes"], "e2fsck -f");
}

#[test]
fn external_and_missing_journals_are_refused() {
    for needs_recovery in [false, true] {
        let (scratch, path) = with_log("metadata_csum,64bit", |_, _| ());
        let sign = if needs_recovery { '+' } else { '-' };
        let commands = [
            "ssv journal_inum 0".to_owned(),
            "ssv journal_dev 0x801".to_owned(),
            format!("feature {sign}needs_recovery"),
        ];
        image::edit(&path, &commands);
        assert_refused(&scratch, &path, &["a journal on device 0x801"], "regain user-data");
    }
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 16).features("^has_journal").nodes(root::with_key());
    let path = builder.build_in(&scratch, "disk.img");
    image::edit(&path, &["feature needs_recovery".to_owned()]);
    assert_refused(&scratch, &path, &["but it has none"], "e2fsck -f");
}

#[test]
fn a_dropped_end_of_the_journal_is_said_by_inspect_and_key_add() {
    let (scratch, path) = with_log("metadata_csum,64bit", |log, _| {
        log.transaction(&[(SPARE, block(1))], &[], true);
        let used = log.transaction(&[(SPARE, block(2))], &[], true);
        log.damage(used[1], 7);
    });
    let regain = Regain::new(scratch.path());
    let words = "what was written last is lost";
    let found = inspect(&regain, &path);
    assert!(warnings(&found).contains(words), "{found}");
    let done = regain.key_add(&path, root::USER, &key(&scratch), &[]);
    assert!(warnings(&done.success()["result"]).contains(words), "{done:?}");
    assert!(done.stderr.contains(words), "{done:?}");
    oracle::assert_clean(&path, 0, "after the edit");
}

/// Writes the MMP block of `path` as if `node` used the volume, or `None` for nobody.
fn set_mmp(path: &Path, sequence: u32, node: &str) {
    let text = tools::succeed("debugfs", &["-R", "dump_mmp", path.to_str().unwrap()]);
    let number = text.lines().find_map(|line| line.strip_prefix("block_number: ")).unwrap();
    let at = number.parse::<usize>().unwrap() * BLOCK;
    let mut image = std::fs::read(path).unwrap();
    let seed = !crc32c::crc32c_append(0, &image[1024 + 0x68..1024 + 0x78]);
    let block = &mut image[at..at + 1024];
    block[4..8].copy_from_slice(&sequence.to_le_bytes());
    block[0x10..0x10 + node.len()].copy_from_slice(node.as_bytes());
    let checksum = !crc32c::crc32c_append(!seed, &block[..0x3fc]);
    block[0x3fc..].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(path, image).unwrap();
}

#[test]
fn a_volume_in_use_elsewhere_is_refused_and_an_unused_one_edited() {
    let scratch = Scratch::new();
    let builder = ImageBuilder::new("ext4", 16).features("mmp").nodes(root::with_key());
    let path = builder.build_in(&scratch, "disk.img");
    let clean = std::fs::read(&path).unwrap();
    for (sequence, word) in [(77, "in use"), (0xe24d_4d50, "a checker on")] {
        set_mmp(&path, sequence, "db-node-7");
        assert_refused(&scratch, &path, &[word, "db-node-7"], "unmount it");
    }
    std::fs::write(&path, clean).unwrap();
    let before = digest::of_file(&path);
    let regain = Regain::new(scratch.path());
    regain.key_add(&path, root::USER, &key(&scratch), &["--undo-file", "undo"]).success();
    oracle::assert_clean(&path, 0, "after the edit");
    regain.run(&["undo", "undo", path.to_str().unwrap(), "--yes", "--json"]).success();
    assert_eq!(digest::of_file(&path), before);
}

/// A log of 64 MiB without a free block, all of it of use.
fn full_journal(scratch: &Scratch) -> PathBuf {
    let builder = ImageBuilder::new("ext4", 192).arguments("-J size=64").nodes(root::with_key());
    let path = builder.build_in(scratch, "disk.img");
    let journal = blocks_of(&path, 8);
    let blocks = journal.len() as u32;
    let mut bytes = std::fs::read(&path).unwrap();
    let mut target = image_blocks(&bytes);
    let mut log = LogWriter::new(&mut bytes, journal, Checksum::V3, true, 0, (1, 1));
    // 253 blocks, their descriptor and the commit.
    while log.position + 256 < blocks {
        let part = (0..253u8).map(|index| (target - 1 - u64::from(index), block(index + 1)));
        log.transaction(&part.collect::<Vec<_>>(), &[], true);
        target -= 253;
    }
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The bound is that of the harness, 64 MiB, and besides that the overlay, or the patch with its bytes before
/// and after.
#[test]
fn memory_follows_what_the_journal_changes() {
    const MIB: u32 = 1024;
    let scratch = Scratch::new();
    let path = full_journal(&scratch);
    let before = digest::of_file(&path);
    let regain = Regain::new(scratch.path());
    let looking = regain.clone().with_memory((64 + 80) * MIB);
    assert_eq!(inspect(&looking, &path)["volumes"][0]["health"], "journal_dirty");
    let editing = regain.with_memory((64 + 80 + 64) * MIB);
    let more = ["--undo-file", "undo"];
    let done = editing.key_add(&path, root::USER, &key(&scratch), &more).success();
    let written = done["result"]["io"]["bytes_written"].as_u64().unwrap();
    assert!(written > 60 << 20, "{done}");
    oracle::assert_clean(&path, 0, "a full journal");
    let undo = ["undo", "undo", path.to_str().unwrap(), "--yes", "--json"];
    // The file of the patch, and what is read from it.
    editing.with_memory((64 + 128 + 128) * MIB).run(&undo).success();
    assert_eq!(digest::of_file(&path), before);
}
