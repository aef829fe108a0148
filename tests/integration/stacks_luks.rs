//! Root disks that are encrypted, below logical volumes and above them.

use crate::support::luks::{self, Kind, PASSPHRASE};
use crate::support::lvm::{self, Lay};
use crate::support::scratch::Scratch;
use crate::support::stack_bench::{self, StackBench};
use crate::support::{sparse, tools};
use std::path::{Path, PathBuf};

/// A bench whose commands have the passphrase. The program may have the memory of the key derivation, too.
fn unlocked(scratch: Scratch, disks: Vec<PathBuf>) -> StackBench {
    let passphrase = luks::passphrase_file(scratch.path());
    let options = ["--luks-passphrase-file", passphrase.to_str().unwrap()];
    StackBench::new(scratch, disks).with_options(&options)
}

/// A root in a container of `kind` that fills a disk, and its length.
fn in_luks(kind: Kind) -> (StackBench, u64) {
    let scratch = Scratch::new();
    let image = stack_bench::ext4_root(&scratch);
    let disk = scratch.join("disk.img");
    luks::put(&image, kind, &disk);
    let len_bytes = image.metadata().unwrap().len();
    (unlocked(scratch, vec![disk]), len_bytes)
}

#[test]
fn an_encrypted_root_is_edited_and_undone() {
    for kind in Kind::ALL {
        let (bench, len_bytes) = in_luks(kind);
        let take = |disks: &[PathBuf], to: &Path| luks::take(&disks[0], kind, len_bytes, to);
        bench.prove("luks:0", &[0], &take);
    }
}

/// A mirror image of the promise: what is written outside of the disk is cipher text, too.
#[test]
fn patch_and_undo_file_hold_no_clear_text() {
    let (bench, _) = in_luks(Kind::Second);
    let patch = bench.scratch().join("key.patch");
    bench.key_add(&["--patch-out", patch.to_str().unwrap()]).success();
    let document = bench.key_add(&[]).success();
    let undo = document["result"]["undo_file"].as_str().unwrap().to_owned();
    for file in [patch, bench.scratch().join(&undo)] {
        let bytes = std::fs::read(file).unwrap();
        // What the description says of the new key comes from the user.
        for text in ["old@laptop", "AAAAC3NzaC1lZDI1NTE5", PASSPHRASE] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
        }
    }
    // Undoing needs no passphrase.
    bench.undo(&document);
}

#[test]
fn logical_volumes_in_a_container_and_a_container_in_a_logical_volume() {
    // A physical volume that is encrypted.
    let scratch = Scratch::new();
    let image = stack_bench::ext4_root(&scratch);
    let len_bytes = image.metadata().unwrap().len();
    let physical = lvm::put(&image, Lay::Linear, scratch.path()).remove(0);
    let disk = scratch.join("disk.img");
    luks::put(&physical, Kind::Second, &disk);
    let physical_bytes = physical.metadata().unwrap().len();
    let bench = unlocked(scratch, vec![disk]);
    bench.prove("group/root", &[0], &|disks, to| {
        let clear = disks[0].with_extension("pv");
        luks::take(&disks[0], Kind::Second, physical_bytes, &clear);
        lvm::take(&[clear], Lay::Linear, len_bytes, to);
    });
    let found = bench.run("inspect", &[]).success();
    let volumes = found["result"]["volumes"].as_array().unwrap();
    let ids: Vec<&str> = volumes.iter().map(|volume| volume["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["0", "luks:0", "group/root", "group/other"]);
    assert_eq!(volumes[2]["parents"], serde_json::json!(["luks:0"]));

    // A logical volume in stripes over two disks that is encrypted.
    let scratch = Scratch::new();
    let image = stack_bench::ext4_root(&scratch);
    let container = scratch.join("container.img");
    luks::put(&image, Kind::First, &container);
    let container_bytes = container.metadata().unwrap().len();
    let disks = lvm::put(&container, Lay::Striped, scratch.path());
    let bench = unlocked(scratch, disks);
    bench.prove("luks:group/root", &[0, 1], &|disks, to| {
        let container = disks[0].with_extension("container");
        lvm::take(disks, Lay::Striped, container_bytes, &container);
        luks::take(&container, Kind::First, len_bytes, to);
    });
}

#[test]
fn what_opens_a_container_is_asked_for_and_a_wrong_one_is_told() {
    let (bench, _) = in_luks(Kind::Second);
    let disks = bench.disks();
    let key = bench.scratch().join("new.pub");
    let add = ["--user", "admin", "--key", key.to_str().unwrap(), "--yes"];
    let locked = bench.run_on(disks, "key add", &add).failure(&[4]);
    assert!(locked["message"].as_str().unwrap().contains("no passphrase was given"), "{locked}");
    assert!(locked["hint"].as_str().unwrap().contains("--luks-passphrase-file"), "{locked}");
    let found = bench.run_on(disks, "inspect", &[]).success();
    let volume = &found["result"]["volumes"][0];
    assert_eq!((&volume["health"], &volume["writable"]), (&"encrypted".into(), &false.into()));

    let file = |name: &str, content: &str| {
        let path = bench.scratch().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let wrong = file("wrong", "open sesam");
    let line = file("line", &format!("{PASSPHRASE}\nand more\n"));
    let (whole, with_break) =
        (file("whole", PASSPHRASE), file("break", &format!("{PASSPHRASE}\n")));
    for (option, path, opens) in [
        ("--luks-passphrase-file", &wrong, false),
        ("--luks-key-file", &wrong, false),
        ("--luks-key-file", &with_break, false),
        ("--luks-key-file", &whole, true),
        ("--luks-passphrase-file", &line, true),
    ] {
        let run = bench.run_on(disks, "key list", &[option, path]);
        if opens {
            assert_eq!(run.success()["result"]["keys"][0]["user"], "admin", "{option} {path}");
        } else {
            let error = run.failure(&[4]);
            let hint = error["hint"].as_str().unwrap();
            assert!(hint.contains("check the passphrase or the key file"), "{error}");
        }
    }
    bench.assert_untouched("refused");
}

/// Damage to the encrypted bytes is damage inside, and a header without a key is told.
#[test]
fn a_damaged_header_is_told_and_nothing_is_written() {
    let (bench, _) = in_luks(Kind::First);
    let mut bytes = sparse::read(&bench.disks()[0]);
    bytes[8..12].copy_from_slice(b"sxs\0");
    let damaged = bench.scratch().join("damaged.img");
    sparse::write(&damaged, &bytes);
    let before = sparse::digest(&damaged);
    let options = ["--luks-passphrase-file", "passphrase"];
    let error = bench.run_on(std::slice::from_ref(&damaged), "key list", &options).failure(&[4, 5]);
    assert!(error["message"].as_str().unwrap().contains("volume 0 (luks)"), "{error}");
    assert_eq!(sparse::digest(&damaged), before);
}

/// What the key derivation wants is asked for before it begins, and not had is no crash.
#[test]
fn a_container_that_wants_more_memory_than_there_is_says_so() {
    let scratch = Scratch::new();
    let container = scratch.join("container");
    sparse::write(&container, &vec![0; 20 << 20]);
    let passphrase = luks::passphrase_file(scratch.path());
    let [path, key] = [&container, &passphrase].map(|path| path.to_str().unwrap());
    let memory = ["--pbkdf-memory", "262144", "--pbkdf-parallel", "1"];
    let start = ["-q", "luksFormat", "--type", "luks2", "--key-file", key, path];
    let cost = ["--pbkdf", "argon2id", "--pbkdf-force-iterations", "4"];
    tools::succeed("cryptsetup", &[start.as_slice(), &cost, &memory].concat());
    let bench = StackBench::new(scratch, vec![container.clone()]);
    let options = ["--luks-passphrase-file", "passphrase"];
    let error = bench.run_on(bench.disks(), "key list", &options).failure(&[4]);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("no memory of 262144 KiB"), "{message}");
}

/// `dd if=/dev/zero` on the start of a disk: the second header is whole.
#[test]
fn a_container_that_lost_its_first_header_is_opened_and_edited() {
    let (bench, len_bytes) = in_luks(Kind::Second);
    let disk = bench.disks()[0].clone();
    let mut bytes = sparse::read(&disk);
    bytes[..16384].fill(0);
    let lost = bench.scratch().join("lost.img");
    sparse::write(&lost, &bytes);
    let found = bench.run_on(std::slice::from_ref(&lost), "inspect", &[]).success();
    assert_eq!(found["result"]["volumes"][0]["file_system"], "luks", "{found}");
    let scratch = Scratch::new();
    let copy = scratch.join("lost.img");
    sparse::write(&copy, &bytes);
    let bench = unlocked(scratch, vec![copy]);
    let document = bench.key_add(&[]).success();
    let mut after = sparse::read(&bench.disks()[0]);
    assert!(after[..16384].iter().all(|byte| *byte == 0), "the header is never written");
    // With its start again cryptsetup gives the key with which qemu decrypts it.
    after[..16384].copy_from_slice(&sparse::read(&disk)[..16384]);
    let whole = bench.scratch().join("whole.img");
    sparse::write(&whole, &after);
    let edited = bench.scratch().join("edited.img");
    luks::take(&whole, Kind::Second, len_bytes, &edited);
    assert!(stack_bench::key_file(&edited).contains("rescue@bench"));
    bench.undo(&document);
}
