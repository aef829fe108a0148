//! Systems in a subvolume of a Btrfs, as SUSE, Fedora and Ubuntu lay them out: found without mounting anything, and keys
//! added where they count; judged by `btrfs check`.

use crate::support::btrfs_image;
use crate::support::regain::{Regain, Run};
use crate::support::root::{NEW_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use regain::fs::path::{GuestPath, read_file};
use regain::fs::probe::ProbeKind;
use regain::fs::{Timestamp, known};
use serde_json::Value;
use std::path::PathBuf;

/// The image of a fixture, and a new key.
struct Bench {
    scratch: Scratch,
    image: PathBuf,
    key: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new();
        let image = btrfs_image::unpack(&scratch, name);
        let key = scratch.join("new.pub");
        std::fs::write(&key, NEW_KEY).unwrap();
        Self { scratch, image, key }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let image = self.image.to_str().unwrap();
        let arguments: Vec<&str> =
            arguments.iter().map(|word| if *word == "IMAGE" { image } else { word }).collect();
        Regain::new(self.scratch.path()).run(&arguments)
    }

    fn inspect(&self) -> Value {
        self.run(&["inspect", "IMAGE", "--json"]).success()
    }

    fn check(&self) -> Run {
        let key = self.key.to_str().unwrap();
        self.run(&["key", "check", "IMAGE", "--user", USER, "--key", key, "--json"])
    }

    fn add(&self, user: &str) -> Run {
        Regain::new(self.scratch.path()).key_add(&self.image, user, &self.key, &[])
    }

    /// What is at a path below the top of all subvolumes.
    fn content(&self, path: &str) -> String {
        let overlay = btrfs_image::overlay(&self.image);
        let fs = known::open(ProbeKind::Btrfs, overlay, Timestamp::default()).unwrap();
        let content = read_file(fs.as_file_system(), &GuestPath::new(path), 1 << 16).unwrap();
        String::from_utf8(content.unwrap_or_default()).unwrap()
    }

    fn assert_clean(&self, what: &str) {
        let image = self.image.to_str().unwrap();
        let output = tools::run("btrfs", &["check", "--readonly", image]);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let is_clean = output.status.success()
            && text.contains("no error found")
            && !text.to_lowercase().contains("mismatch")
            && !text.contains("ERROR");
        assert!(is_clean, "{what}: {text}");
    }
}

/// From the locked door to the open one and back: found, listed, not accepted, added, accepted, undone.
fn open_the_door(name: &str, system: &str, key_file: &str) {
    let bench = Bench::new(name);
    let before = sparse::digest(&bench.image);
    let shown = bench.inspect().to_string();
    assert!(shown.contains(system) && shown.contains("\"btrfs\""), "{name}: {shown}");
    let listed = bench.run(&["key", "list", "IMAGE", "--json"]).success().to_string();
    assert!(listed.contains("old@laptop"), "{name}: {listed}");
    bench.check().failure(&[4]);

    let added = bench.add(USER).success();
    assert_eq!(added["result"]["changed"], true, "{name}: {added}");
    bench.assert_clean(name);
    let lines = bench.content(key_file);
    assert!(lines.contains("old@laptop") && lines.contains(NEW_KEY.trim()), "{name}: {lines}");
    bench.check().success();

    let undo_file = added["result"]["undo_file"].as_str().unwrap();
    bench.run(&["undo", undo_file, "IMAGE", "--yes", "--json"]).success();
    assert_eq!(sparse::digest(&bench.image), before, "{name}: undo");
}

#[test]
fn opensuse_boots_the_default_subvolume_and_has_its_homes_in_another() {
    open_the_door("suse", "openSUSE Leap", "/@/home/admin/.ssh/authorized_keys");
}

#[test]
fn fedora_has_no_default_and_names_its_root_in_fstab() {
    open_the_door("fedora", "Fedora Linux", "/home/admin/.ssh/authorized_keys");
}

#[test]
fn ubuntu_has_its_root_and_its_homes_side_by_side() {
    open_the_door("ubuntu", "Ubuntu", "/@home/admin/.ssh/authorized_keys");
}

/// What sshd makes of it is not known without its PAM; the edit is the same.
#[test]
fn a_system_in_the_top_level_needs_no_subvolume() {
    for name in ["xxhash", "sha256", "metadata-uuid"] {
        let bench = Bench::new(name);
        let before = sparse::digest(&bench.image);
        let added = bench.add(USER).success();
        bench.assert_clean(name);
        let lines = bench.content("/home/admin/.ssh/authorized_keys");
        assert!(lines.contains("old@laptop") && lines.contains(NEW_KEY.trim()), "{name}: {lines}");
        let undo_file = added["result"]["undo_file"].as_str().unwrap();
        bench.run(&["undo", undo_file, "IMAGE", "--yes", "--json"]).success();
        assert_eq!(sparse::digest(&bench.image), before, "{name}: undo");
    }
}

/// Only the root of SLE Micro is read-only: a key in a home is fine, a password in /etc is not.
#[test]
fn a_read_only_root_stops_what_goes_into_it_and_nothing_else() {
    open_the_door("micro", "SLE Micro", "/@/home/admin/.ssh/authorized_keys");
    let bench = Bench::new("micro");
    let before = sparse::digest(&bench.image);
    let arguments = ["password", "reset", "IMAGE", "--user", "root", "--generate", "--force"];
    let error = bench.run(&[&arguments[..], &["--yes", "--json"]].concat()).failure(&[4]);
    let shown = error.to_string();
    let path = "/@/.snapshots/1/snapshot is read-only";
    assert!(shown.contains(path) && shown.contains("transactional-update"), "{shown}");
    assert_eq!(sparse::digest(&bench.image), before);
}
