//! A home on another volume than /etc: every command sees one tree, an edit goes to the volume that holds the file,
//! and nothing else changes.

use crate::support::image::ImageBuilder;
use crate::support::mounted_disk::{
    HOME_PART_UUID, HOME_UUID, MountedDisk, VAR_UUID, home_nodes, home_volume, root_nodes,
    root_volume, var_volume,
};
use crate::support::regain::{Regain, Run};
use crate::support::root::{NEW_KEY, OLD_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::{image, oracle, root, sparse, tree, xfs_image, xfs_tools};
use regain::fs::path::{GuestPath, read_file};
use regain::fs::probe::ProbeKind;
use regain::fs::{Timestamp, known};
use serde_json::Value;
use std::path::PathBuf;

const CLOCK: Timestamp = Timestamp { seconds: 1, nanoseconds: 0 };

/// A scratch directory with a new key in it.
struct Bench {
    scratch: Scratch,
    key: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let key = scratch.join("new.pub");
        std::fs::write(&key, NEW_KEY).unwrap();
        Self { scratch, key }
    }

    fn regain(&self) -> Regain {
        Regain::new(self.scratch.path())
    }

    fn key_add(&self, disk: &MountedDisk, more: &[&str]) -> Run {
        self.regain().key_add(&disk.path, USER, &self.key, more)
    }

    fn key_check(&self, disk: &MountedDisk, more: &[&str]) -> Run {
        let (path, key) = (disk.path.to_str().unwrap(), self.key.to_str().unwrap());
        let arguments = ["key", "check", path, "--user", USER, "--key", key, "--json"];
        self.regain().run(&[&arguments, more].concat())
    }

    /// A disk with the root, the homes and /var as partitions 1 to 3.
    fn disk(&self, fstab: &str) -> MountedDisk {
        let root = root_volume(&self.scratch, root_nodes(fstab));
        let home = home_volume(&self.scratch, &home_nodes());
        let var = var_volume(&self.scratch);
        MountedDisk::new(&self.scratch, "disk.img", &[&root, &home, &var])
    }

    /// What an XFS partition holds at a path.
    fn xfs_file(&self, disk: &MountedDisk, number: usize, path: &str) -> String {
        let volume = disk.extract(&self.scratch, number);
        xfs_tools::assert_silent(&volume, "a partition");
        let overlay = xfs_image::overlay(&volume);
        let fs = known::open(ProbeKind::Xfs, overlay, CLOCK).unwrap();
        let content = read_file(fs.as_file_system(), &GuestPath::new(path), 10_000).unwrap();
        String::from_utf8(content.unwrap_or_default()).unwrap()
    }

    /// Takes an edit back and compares every disk with its digest from before.
    fn undo(&self, edited: &Value, disks: &[(&MountedDisk, &str)], before: &[String]) {
        let undo_file = edited["result"]["undo_file"].as_str().unwrap();
        let target = disks[0].0.path.to_str().unwrap();
        let mut arguments = vec!["undo", undo_file, target, "--yes", "--json"];
        for (disk, _) in disks.iter().skip(1) {
            arguments.extend(["--device", disk.path.to_str().unwrap()]);
        }
        self.regain().run(&arguments).success();
        for ((disk, what), before) in disks.iter().zip(before) {
            assert_eq!(sparse::digest(&disk.path), *before, "{what} after undo");
        }
    }
}

fn verdict(run: &Run) -> (String, String) {
    let result = &run.json()["result"];
    let text = serde_json::to_string(&result["findings"]).unwrap();
    (result["verdict"].as_str().unwrap_or_default().to_owned(), text)
}

/// `path` and `volume` of every file that a patch names.
fn noted(bench: &Bench, document: &Value) -> Vec<(String, String)> {
    let undo_file = document["result"]["undo_file"].as_str().unwrap();
    let shown = bench.regain().run(&["show", undo_file, "--json"]).success();
    let files = shown["result"]["files"].as_array().unwrap().clone();
    let text = |file: &Value, name: &str| file[name].as_str().unwrap().to_owned();
    files.iter().map(|file| (text(file, "path"), text(file, "volume_id"))).collect()
}

#[test]
fn a_key_goes_to_the_volume_that_holds_the_home() {
    let bench = Bench::new();
    let home = home_volume(&bench.scratch, &home_nodes());
    let var = var_volume(&bench.scratch);
    for source in [
        format!("UUID={HOME_UUID}"),
        "LABEL=home".to_owned(),
        format!("PARTUUID={HOME_PART_UUID}"),
        "/dev/disk/by-partlabel/part\\x202".to_owned(),
        format!("/dev/disk/by-uuid/{HOME_UUID}"),
    ] {
        let fstab = format!(
            "LABEL=root / ext4 defaults 0 1\n{source} /home xfs ro,nosuid 0 2\nUUID={VAR_UUID} /var ext4\n"
        );
        let root = root_volume(&bench.scratch, root_nodes(&fstab));
        let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home, &var]);
        let before = sparse::digest(&disk.path);
        let volumes: Vec<Vec<u8>> = (1..=3).map(|number| disk.bytes(number)).collect();
        assert_eq!(verdict(&bench.key_check(&disk, &[])).0, "refused", "{source}");

        let document = bench.key_add(&disk, &[]).success();
        assert_eq!(document["result"]["changed"], true, "{source}: {document}");
        assert_eq!(document["result"]["users"][0]["verdict"], "accepted", "{document}");
        let file = ("/home/admin/.ssh/authorized_keys".to_owned(), "2".to_owned());
        assert_eq!(noted(&bench, &document), [file], "{source}");
        for number in [1, 3] {
            assert!(disk.bytes(number) == volumes[number - 1], "{source}: volume {number} changed");
            oracle::assert_clean(&disk.path, disk.start(number), "a volume beside the home");
        }
        let content = bench.xfs_file(&disk, 2, "/admin/.ssh/authorized_keys");
        assert_eq!(content, format!("{OLD_KEY}{NEW_KEY}"), "{source}");
        assert_eq!(verdict(&bench.key_check(&disk, &[])).0, "accepted", "{source}");
        assert_eq!(bench.key_add(&disk, &[]).success()["result"]["changed"], false);
        bench.undo(&document, &[(&disk, "the disk")], &[before]);
    }
}

#[test]
fn partitions_of_an_mbr_are_told_by_signature_and_number() {
    let bench = Bench::new();
    let fstab = "PARTUUID=1a2b3c4d-01 / ext4\nPARTUUID=1A2B3C4D-02 /home xfs\n";
    let root = root_volume(&bench.scratch, root_nodes(fstab));
    let home = home_volume(&bench.scratch, &home_nodes());
    let disk = MountedDisk::with_mbr(&bench.scratch, "disk.img", &[&root, &home]);
    let before = sparse::digest(&disk.path);
    let document = bench.key_add(&disk, &[]).success();
    assert_eq!(noted(&bench, &document)[0].1, "2", "{document}");
    let content = bench.xfs_file(&disk, 2, "/admin/.ssh/authorized_keys");
    assert_eq!(content, format!("{OLD_KEY}{NEW_KEY}"));
    bench.undo(&document, &[(&disk, "the disk")], &[before]);
}

#[test]
fn one_edit_of_two_volumes_is_one_patch() {
    let bench = Bench::new();
    let fstab = format!("UUID={HOME_UUID} /home xfs defaults 0 2\n");
    let mut nodes = root_nodes(&fstab);
    nodes.file("/etc/ssh/sshd_config", "PubkeyAuthentication no\nUsePAM yes\n", 0o644, 0);
    let root = root_volume(&bench.scratch, nodes);
    let mut home = home_nodes();
    home.directory("/admin", 0o777, root::USER_ID);
    let home = home_volume(&bench.scratch, &home);
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home]);
    let before = sparse::digest(&disk.path);
    bench.key_add(&disk, &[]).failure(&[4]);
    assert_eq!(sparse::digest(&disk.path), before);

    let document = bench.key_add(&disk, &["--fix"]).success();
    assert_eq!(document["result"]["users"][0]["verdict"], "accepted", "{document}");
    let mut volumes = noted(&bench, &document);
    volumes.sort();
    assert_eq!(
        volumes,
        [
            ("/etc/ssh/sshd_config", "1"),
            ("/home/admin", "2"),
            ("/home/admin/.ssh/authorized_keys", "2"),
        ]
        .map(|(path, volume)| (path.to_owned(), volume.to_owned()))
    );
    oracle::assert_clean(&disk.path, disk.start(1), "the root");
    let content = bench.xfs_file(&disk, 2, "/admin/.ssh/authorized_keys");
    assert_eq!(content, format!("{OLD_KEY}{NEW_KEY}"));
    bench.undo(&document, &[(&disk, "the disk")], &[before]);
}

#[test]
fn a_home_on_another_disk_is_edited_there() {
    let bench = Bench::new();
    let fstab = format!("UUID={HOME_UUID} /home xfs defaults 0 2\n");
    let mut nodes = root_nodes(&fstab);
    nodes.file("/etc/ssh/sshd_config", "PubkeyAuthentication no\nUsePAM yes\n", 0o644, 0);
    let root = root_volume(&bench.scratch, nodes);
    let home = home_volume(&bench.scratch, &home_nodes());
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root]);
    let other = MountedDisk::new(&bench.scratch, "other.img", &[&home]);
    let before = [&disk, &other].map(|disk| sparse::digest(&disk.path));

    // Without it nothing is known, and nothing is written.
    let error = bench.key_add(&disk, &["--fix"]).failure(&[4]).to_string();
    for word in ["on none of the given disks", "--device"] {
        assert!(error.contains(word), "{error}");
    }
    let device = ["--device", other.path.to_str().unwrap()];
    let both = [&["--fix"], device.as_slice()].concat();
    let document = bench.key_add(&disk, &both).success();
    let mut volumes = noted(&bench, &document);
    volumes.sort();
    assert_eq!(
        volumes,
        [("/etc/ssh/sshd_config", "1"), ("/home/admin/.ssh/authorized_keys", "2:1")]
            .map(|(path, volume)| (path.to_owned(), volume.to_owned()))
    );
    oracle::assert_clean(&disk.path, disk.start(1), "the root");
    let content = bench.xfs_file(&other, 1, "/admin/.ssh/authorized_keys");
    assert_eq!(content, format!("{OLD_KEY}{NEW_KEY}"));
    assert_eq!(verdict(&bench.key_check(&disk, &device)).0, "accepted");
    bench.undo(&document, &[(&disk, "the root"), (&other, "the home")], &before);
}

#[test]
fn a_key_on_a_volume_that_is_not_given_is_not_known() {
    let bench = Bench::new();
    let root = |fstab: &str| {
        let root = root_volume(&bench.scratch, root_nodes(fstab));
        MountedDisk::new(&bench.scratch, "disk.img", &[&root])
    };
    for (fstab, words) in [
        (
            format!("UUID={HOME_UUID} /home xfs\n"),
            ["on none of the given disks", "give its disk too, with --device"],
        ),
        ("/dev/sdb1 /home xfs\n".to_owned(), ["such names differ between machines", "UUID"]),
        ("nas:/home /home nfs\n".to_owned(), ["mounts nas:/home on /home", "AuthorizedKeysFile"]),
    ] {
        let disk = root(&fstab);
        let (answer, findings) = verdict(&bench.key_check(&disk, &[]));
        assert_eq!(answer, "unknown", "{fstab}: {findings}");
        assert!(words.iter().all(|word| findings.contains(word)), "{fstab}: {findings}");
        let before = sparse::digest(&disk.path);
        let error = bench.key_add(&disk, &[]).failure(&[4]).to_string();
        assert!(error.contains("which hides what is here"), "{error}");
        assert_eq!(sparse::digest(&disk.path), before);
    }
}

#[test]
fn two_volumes_of_one_name_are_not_chosen_between() {
    let bench = Bench::new();
    let root = root_volume(&bench.scratch, root_nodes(&format!("UUID={HOME_UUID} /home xfs\n")));
    let home = home_volume(&bench.scratch, &home_nodes());
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home, &home]);
    let (answer, findings) = verdict(&bench.key_check(&disk, &[]));
    assert_eq!(answer, "unknown", "{findings}");
    let words = format!(
        "UUID={HOME_UUID} could be volume 2 (xfs \\\"home\\\") or volume 3 (xfs \\\"home\\\")"
    );
    assert!(findings.contains(&words), "{findings}");
    bench.key_add(&disk, &[]).failure(&[4]);
}

#[test]
fn two_systems_may_share_their_homes() {
    let bench = Bench::new();
    let fstab = format!("UUID={HOME_UUID} /home xfs\n");
    let root = root_volume(&bench.scratch, root_nodes(&fstab));
    let mut other = root_nodes(&fstab);
    other.file("/etc/hostname", "other\n", 0o644, 0);
    let builder = ImageBuilder::new("ext4", 16).arguments("-L other").nodes(other);
    let other = builder.build_in(&bench.scratch, "other.volume");
    let home = home_volume(&bench.scratch, &home_nodes());
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home, &other]);
    let before = sparse::digest(&disk.path);
    bench.key_add(&disk, &[]).failure(&[3]);
    let document = bench.key_add(&disk, &["--volume", "3"]).success();
    assert_eq!(document["result"]["changed"], true);
    let again = bench.key_add(&disk, &["--volume", "1"]).success();
    assert_eq!(again["result"]["changed"], false, "{again}");
    bench.undo(&document, &[(&disk, "the disk")], &[before]);
}

#[test]
fn a_password_is_set_beside_a_home_that_stays() {
    let bench = Bench::new();
    let fstab = format!("UUID={HOME_UUID} /home xfs\nUUID={VAR_UUID} /var ext4\n");
    let mut nodes = root_nodes(&fstab);
    nodes.file("/usr/bin/login", "", 0o755, 0);
    let root = root_volume(&bench.scratch, nodes);
    let home = home_volume(&bench.scratch, &home_nodes());
    let var = var_volume(&bench.scratch);
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home, &var]);
    let before = sparse::digest(&disk.path);
    let volumes: Vec<Vec<u8>> = (1..=3).map(|number| disk.bytes(number)).collect();
    let path = disk.path.to_str().unwrap();
    let arguments = ["password", "reset", path, "--user", USER, "--password-file", "-"];
    let arguments = [arguments.as_slice(), &["--json", "--yes", "--force"]].concat();
    let run = bench.regain().run_with(&arguments, b"correct horse battery staple\n", &[]);
    let document = run.success();
    assert_eq!(noted(&bench, &document)[0].1, "1", "{document}");
    assert!(disk.bytes(1) != volumes[0]);
    assert!(disk.bytes(2) == volumes[1] && disk.bytes(3) == volumes[2]);
    oracle::assert_clean(&disk.path, disk.start(1), "the root");
    bench.undo(&document, &[(&disk, "the disk")], &[before]);
}

/// A /home with errors is not edited, and keeps nobody from editing what is elsewhere.
#[test]
fn damage_counts_only_where_an_edit_is_made() {
    let bench = Bench::new();
    let fstab = format!("UUID={} /home ext4\n", image::UUID);
    let root = root_volume(&bench.scratch, root_nodes(&fstab));
    let home = ImageBuilder::new("ext4", 8).nodes(home_nodes());
    let home = home.build_in(&bench.scratch, "home.volume");
    // s_state: valid, with errors.
    image::edit(&home, &["ssv state 3".to_owned()]);
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home]);
    let before = sparse::digest(&disk.path);
    let error = bench.key_add(&disk, &[]).failure(&[4]).to_string();
    assert!(error.contains("volume 2") && error.contains("needs a check"), "{error}");
    assert_eq!(sparse::digest(&disk.path), before);
    let document = bench.regain().key_add(&disk.path, "root", &bench.key, &[]).success();
    assert_eq!(document["result"]["changed"], true, "{document}");
    oracle::assert_clean(&disk.path, disk.start(1), "the root");
    bench.undo(&document, &[(&disk, "the disk")], &[before]);
}

/// Every directory of the system on a volume of its own, as on hardened images: what is told of the system comes
/// from all of them.
#[test]
fn a_system_in_pieces_is_one_system() {
    let bench = Bench::new();
    let mut nodes = root_nodes(&format!(
        "LABEL=root / ext4\nLABEL=usr /usr ext4\nUUID={VAR_UUID} /var ext4\nUUID={HOME_UUID} /home xfs\n"
    ));
    let mut usr = crate::support::image::Nodes::default();
    for (path, node) in nodes.0.clone() {
        if let Some(below) = path.strip_prefix("/usr").filter(|below| !below.is_empty()) {
            usr.0.insert(below.to_owned(), node);
            nodes.0.remove(&path);
        }
    }
    let root = root_volume(&bench.scratch, nodes);
    let builder = ImageBuilder::new("ext4", 8).arguments("-L usr").nodes(usr);
    let usr = builder.build_in(&bench.scratch, "usr.volume");
    let home = home_volume(&bench.scratch, &home_nodes());
    let var = var_volume(&bench.scratch);
    let disk = MountedDisk::new(&bench.scratch, "disk.img", &[&root, &home, &var, &usr]);
    let path = disk.path.to_str().unwrap();
    let inspected = bench.regain().run(&["inspect", path, "--json"]).success();
    let systems = inspected["result"]["systems"].as_array().unwrap();
    assert_eq!(systems.len(), 1, "{inspected}");
    assert_eq!(systems[0]["name"], "Debian GNU/Linux");
    let mounts = systems[0]["mounts"].as_array().unwrap().iter();
    let mounts: Vec<(&str, &str)> = mounts
        .map(|mount| (mount["path"].as_str().unwrap(), mount["volume_id"].as_str().unwrap()))
        .collect();
    assert_eq!(mounts, [("/home", "2"), ("/usr", "4"), ("/var", "3")]);
    let text = bench.regain().run(&["inspect", path]).stdout;
    assert!(text.contains("/home is volume 2\n"), "{text}");
    let keys = bench.regain().run(&["key", "list", path, "--json"]).success();
    assert_eq!(keys["result"]["keys"][0]["path"], "/home/admin/.ssh/authorized_keys", "{keys}");
    let document = bench.key_add(&disk, &[]).success();
    assert_eq!(document["result"]["changed"], true, "{document}");
    for number in [1, 3, 4] {
        oracle::assert_clean(&disk.path, disk.start(number), "a volume beside the home");
    }
}

/// A journal that is not clean is replayed where the edit is made, and nowhere else.
#[test]
fn a_volume_that_is_only_looked_at_is_not_replayed() {
    let bench = Bench::new();
    let disk = bench.disk(&format!("UUID={HOME_UUID} /home xfs\nUUID={VAR_UUID} /var ext4\n"));
    // needs_recovery with an empty journal: an edit would clear it.
    let var = disk.extract(&bench.scratch, 3);
    image::edit(&var, &["feature needs_recovery".to_owned()]);
    disk.put(3, &std::fs::read(&var).unwrap());
    let volumes: Vec<Vec<u8>> = (1..=3).map(|number| disk.bytes(number)).collect();
    bench.key_add(&disk, &[]).success();
    assert!(disk.bytes(1) == volumes[0] && disk.bytes(3) == volumes[2]);
    assert!(disk.bytes(2) != volumes[1]);
    let tree = tree::read(&disk.path, disk.start(1));
    assert!(!tree.0.contains_key("/home/admin"), "the mount point was written to");
}
