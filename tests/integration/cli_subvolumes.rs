//! Several systems on one Btrfs: listed, chosen by their subvolumes, and none of them taken by guess.

use crate::support::btrfs_image;
use crate::support::image::{Content, Nodes};
use crate::support::regain::{Regain, Run};
use crate::support::root::{self, NEW_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use regain::fs::path::{GuestPath, read_file};
use regain::fs::probe::ProbeKind;
use regain::fs::{Timestamp, known};
use std::path::{Path, PathBuf};

const UUID: &str = "5c2f0d9e-7b1a-4e63-9c55-0000000000dd";

/// A disk with two systems side by side, a snapshot of each that can be written, and a subvolume without a system.
struct Bench {
    scratch: Scratch,
    image: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let tree = scratch.join("tree");
        for (at, root, name) in [
            ("@one", "@one", "one"),
            ("@two", "/@two", "two"),
            ("before", "@two", "two"),
            ("timeshift-btrfs/snapshots/2026-11-01/@one", "@one", "one"),
        ] {
            let mut nodes = root::bare();
            nodes.file("/etc/hostname", format!("{name}\n"), 0o644, 0);
            let fstab = format!("UUID={UUID} / btrfs defaults,subvol={root} 0 0\n");
            nodes.file("/etc/fstab", fstab, 0o644, 0);
            lay_out(&nodes, &tree.join(at));
        }
        std::fs::create_dir_all(tree.join("@data")).unwrap();
        let image = scratch.join("disk.img");
        let arguments = format!(
            "-q -L multi -U {UUID} --rootdir {} --subvol @one --subvol @two --subvol before --subvol @data \
             --subvol timeshift-btrfs/snapshots/2026-11-01/@one {}",
            tree.display(),
            image.display()
        );
        std::fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        mkfs(&arguments);
        std::fs::write(scratch.join("new.pub"), NEW_KEY).unwrap();
        Self { scratch, image }
    }

    fn run(&self, line: &str) -> Run {
        Regain::new(self.scratch.path()).run(&line.split(' ').collect::<Vec<_>>())
    }

    /// The key file of the user in a subvolume.
    fn keys(&self, subvolume: &str) -> Option<String> {
        let overlay = btrfs_image::overlay(&self.image);
        let fs = known::open(ProbeKind::Btrfs, overlay, Timestamp::default()).unwrap();
        let path = GuestPath::new(format!("/{subvolume}{}", root::KEY_FILE));
        let content = read_file(fs.as_file_system(), &path, 1 << 16).unwrap();
        content.map(|content| String::from_utf8(content).unwrap())
    }
}

/// Runs a mkfs.btrfs that makes subvolumes (6.12 and later): that of `fixtures/btrfs/tools`, or of the system.
fn mkfs(arguments: &str) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/btrfs-progs/bin/mkfs.btrfs");
    let mut command = tools::command("mkfs.btrfs");
    if own.is_file() {
        command = tools::timeout();
        command.arg("60").arg(&own);
    }
    let output = command.args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Makes the nodes below `directory`, as far as an ordinary user can.
fn lay_out(nodes: &Nodes, directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    for (path, node) in &nodes.0 {
        let place = directory.join(path.trim_start_matches('/'));
        match &node.content {
            Content::Directory => std::fs::create_dir_all(&place).unwrap(),
            Content::File(bytes) => std::fs::write(&place, bytes).unwrap(),
            Content::Symlink(target) => std::os::unix::fs::symlink(target, &place).unwrap(),
            _ => panic!("{path} is of a kind that no root here has"),
        }
    }
}

#[test]
fn both_systems_are_shown_with_what_chooses_them_and_their_snapshots_are_not() {
    let bench = Bench::new();
    let found = bench.run("inspect disk.img --json").success();
    let systems = found["result"]["systems"].as_array().unwrap();
    // mkfs numbers the subvolumes in the order of its directory, and so they are listed.
    let mut shown: Vec<_> = systems
        .iter()
        .map(|system| {
            let command = system["access_routes"][0]["command"].as_str().unwrap();
            (system["volume_id"].as_str(), system["subvolume"].as_str(), command)
        })
        .collect();
    shown.sort_unstable();
    let command = |id| format!("regain key add disk.img --volume {id} --key FILE");
    let (one, two) = (command("0:/@one"), command("0:/@two"));
    assert_eq!(
        shown,
        [(Some("0"), Some("/@one"), one.as_str()), (Some("0"), Some("/@two"), two.as_str())]
    );
    assert_eq!(found["result"]["volumes"][0]["writable"], true);
    let text = bench.run("inspect disk.img").stdout;
    assert!(
        text.contains("System on volume 0, subvolume /@two: Debian GNU/Linux 12, host \"two\""),
        "{text}"
    );
    let only = bench.run("inspect disk.img --volume 0:@two --json").success();
    assert_eq!(only["result"]["systems"].as_array().unwrap().len(), 1);
    assert_eq!(only["result"]["systems"][0]["host_name"], "two");
}

#[test]
fn one_must_be_chosen() {
    let bench = Bench::new();
    let before = sparse::digest(&bench.image);
    let error = bench.run("key add disk.img --key new.pub --yes --json").failure(&[3]);
    let candidates = error["candidates"].to_string();
    for candidate in [r#"0:/@one (Debian GNU/Linux, host \"one\")"#, "0:/@two (Debian"] {
        assert!(candidates.contains(candidate), "{candidates}");
    }
    assert!(!candidates.contains("before") && !candidates.contains("timeshift"), "{candidates}");
    for (wrong, said) in [
        ("0:/nothing", "has no subvolume /nothing"),
        ("0:@data", "no operating system"),
        ("7:@one", "no volume"),
    ] {
        let line = format!("key add disk.img --volume {wrong} --key new.pub --yes --json");
        let error = bench.run(&line).failure(&[3]);
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    assert_eq!(sparse::digest(&bench.image), before);
}

/// By number, label and UUID of the volume; a snapshot, too, if somebody insists.
#[test]
fn what_is_chosen_is_edited_and_nothing_else() {
    let bench = Bench::new();
    let before = sparse::digest(&bench.image);
    let all = ["@one", "@two", "before", "timeshift-btrfs/snapshots/2026-11-01/@one"];
    for (volume, subvolume) in ["0:/", "multi:", &format!("{UUID}:/"), "0:"].iter().zip(all) {
        // The directory below which the tree was made belongs to whoever runs this.
        let line = format!(
            "key add disk.img --volume {volume}{subvolume} --user {USER} --key new.pub --force --yes --json"
        );
        let added = bench.run(&line).success();
        assert_eq!(added["result"]["changed"], true, "{added}");
        for other in all {
            assert_eq!(bench.keys(other).is_some(), other == subvolume, "{subvolume}: {other}");
        }
        let image = bench.image.to_str().unwrap();
        let checked = tools::run("btrfs", &["check", "--readonly", image]);
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(bench.run(&line).success()["result"]["changed"], false);
        let undo_file = added["result"]["undo_file"].as_str().unwrap();
        bench.run(&format!("undo {undo_file} disk.img --yes --json")).success();
        assert_eq!(sparse::digest(&bench.image), before, "{subvolume}");
    }
}
