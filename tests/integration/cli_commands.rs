//! The contract of the command line (`spec/cli.md`), command by command, on the disk of the demo.

use crate::support::digest;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::tools;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A public key whose private half nobody has.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK6whEEwkmw5Zxp8Az0nT/TJaGMsr/e6aBKcXN76FKjh old-laptop\n";

/// A directory with `root.img`, as the demo leaves it: exactly as before.
pub(crate) struct Place {
    pub(crate) scratch: Scratch,
    pub(crate) regain: Regain,
    pub(crate) digest: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let regain = Regain::new(scratch.path());
        let demo = regain.run(&["demo", "demo", "--json"]).success();
        assert_eq!(demo["result"]["restored"], true);
        for name in ["root.img", "rescue_key.pub"] {
            fs::rename(scratch.join("demo").join(name), scratch.join(name)).unwrap();
        }
        let digest = digest::of_file(&scratch.join("root.img"));
        assert_eq!(demo["result"]["sha256_after"], digest.as_str());
        Self { scratch, regain, digest }
    }

    pub(crate) fn ok(&self, line: &str) -> Value {
        self.regain.run(&words(line)).success()["result"].clone()
    }

    pub(crate) fn failed(&self, line: &str, status: i32) -> Value {
        self.regain.run(&words(line)).failure(&[status])
    }

    pub(crate) fn disk_digest(&self) -> String {
        digest::of_file(&self.scratch.join("root.img"))
    }

    pub(crate) fn names(&self, start: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.scratch.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start))
            .collect()
    }
}

pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn a_key_is_added_once_and_taken_back_to_the_bit() {
    let place = Place::new();
    let add = "key add root.img --key rescue_key.pub --yes --json";
    let first = place.ok(add);
    assert_eq!((&first["changed"], &first["users"][0]["name"]), (&true.into(), &"admin".into()));
    assert_eq!(first["changes"][0]["path"], "/home/admin/.ssh/authorized_keys");
    assert_eq!(first["verified_by"], "ext4-view");
    assert!(first["io"]["bytes_written"].as_u64().unwrap() <= 4096);
    let undo_file = first["undo_file"].as_str().unwrap();
    assert!(undo_file.starts_with("regain-undo-") && undo_file.ends_with("-root.img.patch"));
    assert_eq!(first["undo_command"], format!("regain undo {undo_file} root.img"));

    let second = place.ok(add);
    assert_eq!((&second["changed"], &second["undo_file"]), (&false.into(), &Value::Null));
    assert_eq!(place.names("regain-undo-").len(), 1);
    let listed = place.ok("key list root.img --json");
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);

    let undo = format!("undo {undo_file} root.img --yes --json");
    assert_eq!(place.ok(&undo)["state_before"], "applied");
    assert_eq!(place.disk_digest(), place.digest);
    assert_eq!(place.ok(&undo)["changed"], false);
}

#[test]
fn a_dry_run_and_a_patch_leave_the_target_alone() {
    let place = Place::new();
    let plan = place.ok("key add root.img --key rescue_key.pub --dry-run --json");
    assert_eq!((&plan["dry_run"], &plan["io"]["bytes_written"]), (&true.into(), &0.into()));
    let made = place.ok("key add root.img --key rescue_key.pub --patch-out p --json");
    assert_eq!((&made["changed"], &made["patch"]["path"]), (&false.into(), &"p".into()));
    assert_eq!(place.disk_digest(), place.digest);
    let shown = place.ok("show p --json");
    assert_eq!(shown["files"][0]["path"], "/home/admin/.ssh/authorized_keys");
    assert_eq!(shown["runs"].as_array().unwrap().len() as u64, made["patch"]["runs"]);
    assert_eq!(
        place.failed("key add root.img --key rescue_key.pub --patch-out p --json", 4)["kind"],
        "refused"
    );

    assert_eq!(place.ok("apply p root.img --yes --undo-file u --json")["state_after"], "applied");
    assert_eq!(place.ok("apply p root.img --yes --json")["changed"], false);
    assert_eq!(place.ok("undo u root.img --yes --json")["changed"], true);
    assert_eq!(place.disk_digest(), place.digest);
}

#[test]
fn an_interrupted_run_is_named_finished_and_taken_back() {
    let place = Place::new();
    place.ok("key add root.img --key rescue_key.pub --patch-out p --json");
    let runs = place.ok("show p --json")["runs"].clone();
    let disk = place.scratch.join("root.img");
    let before = fs::read(&disk).unwrap();
    place.ok("apply p root.img --yes --no-undo --json");
    let after = fs::read(&disk).unwrap();
    // What a power cut after the first run leaves.
    let start = runs[0]["offset_bytes"].as_u64().unwrap() as usize;
    let end = start + runs[0]["size_bytes"].as_u64().unwrap() as usize;
    let mut partial = before;
    partial[start..end].copy_from_slice(&after[start..end]);
    for (command, digest) in [
        ("apply p root.img --yes --no-undo --json", digest::of_bytes(&after)),
        ("undo p root.img --yes --json", place.digest.clone()),
    ] {
        fs::write(&disk, &partial).unwrap();
        let run = place.regain.run(&words(command));
        assert_eq!(run.success()["result"]["state_before"], "partial");
        assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
        assert_eq!(place.disk_digest(), digest);
    }
}

#[test]
fn a_patch_for_another_state_is_refused() {
    let place = Place::new();
    place.ok("key add root.img --key rescue_key.pub --patch-out p --json");
    let offset = place.ok("show p --json")["runs"][0]["offset_bytes"].as_u64().unwrap() as usize;
    let disk = place.scratch.join("root.img");
    let mut bytes = fs::read(&disk).unwrap();
    bytes[offset] ^= 0xff;
    fs::write(&disk, &bytes).unwrap();
    assert_eq!(place.failed("apply p root.img --yes --json", 6)["kind"], "mismatch");
    assert!(place.names("regain-undo-").is_empty(), "no record of what did not happen");
    assert_eq!(fs::read(&disk).unwrap(), bytes);
}

#[test]
fn a_new_key_pair_is_private_and_never_overwritten() {
    let place = Place::new();
    let add = "key add root.img --generate-key id --yes --json";
    let made = place.ok(add)["generated_key"].clone();
    let mode = fs::metadata(place.scratch.join("id")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let public = fs::read_to_string(place.scratch.join("id.pub")).unwrap();
    assert_eq!(public.trim_end(), made["public_key"]);
    let listed = place.ok("key list root.img --user admin --json");
    assert_eq!(listed["keys"][1]["fingerprint"], made["fingerprint"]);
    assert_eq!(place.failed(add, 4)["kind"], "refused");
    assert_eq!(fs::read_to_string(place.scratch.join("id.pub")).unwrap(), public);
}

#[test]
fn every_failure_has_its_status_and_one_document() {
    let place = Place::new();
    fs::write(place.scratch.join("empty"), b"").unwrap();
    fs::write(place.scratch.join("zeros"), vec![0; 1 << 20]).unwrap();
    fs::write(place.scratch.join("q"), b"QFI\xfb\0\0\0\x03").unwrap();
    fs::write(place.scratch.join("k"), KEY).unwrap();
    for (line, status, kind) in [
        ("inspect missing", 3, "not_found"),
        ("inspect empty", 3, "not_found"),
        ("inspect zeros", 3, "not_found"),
        ("inspect q", 5, "corrupt"),
        ("inspect /", 4, "refused"),
        ("inspect ebs:snap-0123456789abcdef0", 5, "unsupported"),
        ("inspect root.img --volume 7", 3, "not_found"),
        ("inspect root.img --format nonsense", 2, "usage"),
        ("key list root.img --user nobody-at-all", 3, "not_found"),
        ("key list root.img --volume 14", 3, "not_found"),
        ("key add root.img --key missing --yes", 1, "io"),
        ("key add root.img --key empty --yes", 4, "refused"),
        ("key add root.img --key rescue_key.pub", 2, "usage"),
        ("key add root.img --yes", 2, "usage"),
        ("key add root.img --key k --user root --user nobody-at-all --yes", 3, "not_found"),
        ("show root.img", 5, "corrupt"),
        ("show missing", 1, "io"),
        ("key revoke root.img --all --yes", 4, "refused"),
        ("key rotate root.img --key rescue_key.pub", 2, "usage"),
        ("password reset root.img", 2, "usage"),
        ("nonsense", 2, "usage"),
    ] {
        let error = place.failed(&format!("{line} --json"), status);
        assert_eq!(error["kind"], kind, "{line}: {error}");
        let run = place.regain.run(&words(line));
        assert_eq!((run.status, run.stdout.as_str()), (status, ""), "{line}");
        assert!(
            run.stderr.contains("the target was not modified\nhint: "),
            "{line}: {}",
            run.stderr
        );
    }
    assert_eq!(place.disk_digest(), place.digest);
}

#[test]
fn what_inspect_says_is_what_runbooks_need() {
    let place = Place::new();
    let found = place.ok("inspect root.img --json");
    let root = &found["volumes"][0];
    assert_eq!(found["image"]["format"], "raw");
    for (field, expected) in [
        ("id", "1"),
        ("file_system", "ext4"),
        ("label", "root"),
        ("uuid", "5f3e6a10-0000-4000-8000-000000000001"),
        ("health", "clean"),
    ] {
        assert_eq!(root[field], expected, "{field}");
    }
    assert_eq!((&root["writable"], &root["offset_bytes"]), (&true.into(), &1_572_864.into()));
    let system = &found["systems"][0];
    assert_eq!((&system["volume_id"], &system["family"]), (&"1".into(), &"linux".into()));
    let users = system["users"].as_array().unwrap();
    let admin = users.iter().find(|user| user["name"] == "admin").unwrap();
    assert_eq!((&admin["is_default"], &admin["keys"][0]["line"]), (&true.into(), &1.into()));
    assert!(found["io"]["bytes_read"].as_u64().unwrap() < 8 << 20);
    for name in ["root", "1", "5F3E6A10-0000-4000-8000-000000000001"] {
        let volumes =
            place.ok(&format!("inspect root.img --volume {name} --json"))["volumes"].clone();
        assert_eq!(volumes.as_array().unwrap().len(), 1, "{name}");
    }
}

#[test]
fn completions_manual_pages_and_user_data_come_from_the_program() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = place.regain.run(&["completions", shell]);
        assert!(run.status == 0 && run.stdout.contains("undo-file"), "{shell}");
    }
    fs::create_dir(place.scratch.join("man")).unwrap();
    let pages = place.ok("man man --json")["files"].clone();
    assert!(pages.as_array().unwrap().contains(&"man/regain-key-add.1".into()), "{pages}");
    let run = place.regain.run(&words("user-data --key rescue_key.pub --user ec2-user"));
    assert!(run.stdout.ends_with("--//--\n") && run.stdout.contains("- name: \"ec2-user\""));
}

/// VOL-10: two roots on one disk are never guessed between.
#[test]
fn two_systems_are_listed_and_one_must_be_chosen() {
    let place = Place::new();
    let found = place.ok("inspect root.img --json")["volumes"][0].clone();
    let start = found["offset_bytes"].as_u64().unwrap() as usize;
    let end = start + found["size_bytes"].as_u64().unwrap() as usize;
    let root = fs::read(place.scratch.join("root.img")).unwrap()[start..end].to_vec();
    let disk = place.scratch.join("two.img");
    fs::write(&disk, vec![0; 2 * root.len() + (3 << 20)]).unwrap();
    let sectors = root.len() / 512;
    let second = 2048 + sectors;
    let new =
        |number: usize, start: usize| format!("--new={number}:{start}:{}", start + sectors - 1);
    let arguments = ["--set-alignment=1".to_owned(), new(1, 2048), new(2, second)];
    let mut arguments = arguments.to_vec();
    arguments.push(disk.to_str().unwrap().to_owned());
    tools::succeed("sgdisk", &arguments);
    let mut bytes = fs::read(&disk).unwrap();
    for start in [2048, second] {
        bytes[start * 512..][..root.len()].copy_from_slice(&root);
    }
    fs::write(&disk, bytes).unwrap();

    let add = "key add two.img --key rescue_key.pub --yes --no-undo --json";
    let error = place.failed(add, 3);
    assert_eq!(error["kind"], "ambiguous");
    assert!(error["candidates"][1].as_str().unwrap().starts_with("2 (Debian"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--volume"), "{error}");
    assert_eq!(place.failed(&format!("{add} --volume root"), 3)["kind"], "ambiguous");
    assert_eq!(place.ok(&format!("{add} --volume 2"))["volume_id"], "2");
    let after = fs::read(&disk).unwrap();
    assert!(after[2048 * 512..][..root.len()] == root, "the other volume was touched");

    // What cannot be read is not passed over in silence, but does not stand in the way of the other one.
    let first = format!("{}?offset={}", disk.display(), 2048 * 512);
    tools::succeed("debugfs", &["-w", "-R", "set_bg 0 checksum 0x1234", &first]);
    let run = place.regain.run(&words("key list two.img --json"));
    assert_eq!(run.success()["target"]["volume_id"], "2");
    assert!(run.stderr.contains("not looked at for a system: volume 1"), "{}", run.stderr);
    let error = place.failed("key list two.img --volume 1 --json", 5);
    assert!(error["message"].as_str().unwrap().contains("group descriptor"), "{error}");
    let found = place.ok("inspect two.img --json")["volumes"][0].clone();
    assert_eq!((&found["health"], &found["writable"]), (&"errors".into(), &false.into()));
}

/// A home that its group may write to keeps sshd from reading the key file.
#[test]
fn a_key_that_sshd_would_not_accept_is_refused_until_it_is_fixed() {
    let place = Place::new();
    let image = format!("{}?offset=1572864", place.scratch.join("root.img").display());
    tools::succeed("debugfs", &["-w", "-R", "set_inode_field /home/admin mode 040777", &image]);
    let locked = place.disk_digest();
    let add = "key add root.img --key rescue_key.pub --yes --undo-file u --json";
    let error = place.failed(add, 4);
    assert_eq!(error["kind"], "refused");
    assert!(error["causes"].as_array().unwrap().len() > 1, "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--fix"), "{error}");
    assert_eq!(place.disk_digest(), locked);
    let fixed = place.ok(&format!("{add} --fix"));
    let actions: Vec<&Value> =
        fixed["changes"].as_array().unwrap().iter().map(|change| &change["action"]).collect();
    assert!(actions.contains(&&"set_metadata".into()), "{actions:?}");
    place.ok("undo u root.img --yes --json");
    assert_eq!(place.disk_digest(), locked);
}
