//! A real kernel with RAID, the device mapper and ntfs3 judges edits: it and its tools make what is edited, or see it
//! afterwards. It runs in a virtual machine, because few hosts have all of these.
//!
//! A campaign: `tests/run -- --include-ignored campaign_kernel` (needs qemu-system-x86 and root; `fixtures/vm/tools`
//! brings the kernels; minutes, and without hardware for virtual machines more of them).

mod bare;
mod luks;
mod lvm;
mod machine;
mod md;
mod mounted;
mod ntfs;

use crate::support::digest;
use crate::support::regain::{Regain, Run};
use crate::support::root::{NEW_KEY, OLD_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::{image, root, sparse, tools, xfs_build};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where the disks of a campaign are, and the program that edits them.
struct Bench {
    scratch: Scratch,
    regain: Regain,
    key: PathBuf,
    /// What opens the layers, for every command.
    options: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
        let scratch = Scratch::new();
        let key = scratch.join("new.pub");
        std::fs::write(&key, NEW_KEY).unwrap();
        Self { regain: Regain::new(scratch.path()), scratch, key, options: Vec::new() }
    }

    /// Empty disks of this size, called `name0`, `name1` and so on.
    fn disks(&self, name: &str, count: usize, mib: u64) -> Vec<PathBuf> {
        let names = (0..count).map(|number| self.scratch.join(&format!("{name}{number}")));
        names
            .inspect(|path| std::fs::File::create(path).unwrap().set_len(mib << 20).unwrap())
            .collect()
    }

    /// An ext4 of 24 MiB with the root of a system whose user has the old key.
    fn ext4(&self) -> PathBuf {
        let builder = image::ImageBuilder::new("ext4", 24).nodes(root::with_key());
        builder.build_in(&self.scratch, "ext4.img")
    }

    /// The same on an XFS of 32 MiB that Linux 6.1 knows.
    fn xfs(&self) -> PathBuf {
        let own = Scratch::new();
        let options = "-m rmapbt=0,reflink=1 -i nrext64=0";
        let made = xfs_build::volume(&own, 32, options, &root::with_key());
        let path = self.scratch.join("xfs.img");
        tools::copy_sparse(&made, &path);
        path
    }

    /// `COMMAND TARGET --device MORE... ARGUMENTS --json`.
    fn run(&self, command: &str, disks: &[PathBuf], arguments: &[&str]) -> Run {
        let mut words: Vec<&str> = command.split(' ').collect();
        for (number, disk) in disks.iter().enumerate() {
            if number > 0 {
                words.push("--device");
            }
            words.push(disk.to_str().unwrap());
        }
        words.extend(self.options.iter().map(String::as_str));
        words.extend(arguments);
        words.push("--json");
        self.regain.run(&words)
    }

    fn key_add(&self, disks: &[PathBuf]) -> Run {
        let key = self.key.to_str().unwrap();
        self.run("key add", disks, &["--user", USER, "--key", key, "--yes"])
    }

    /// Adds the key to what lies on `disks`; what is needed to prove that it is taken back.
    fn edit(&self, disks: &[PathBuf]) -> Edited {
        let digests = disks.iter().map(|disk| sparse::digest(disk)).collect();
        let document = self.key_add(disks).success();
        assert_eq!(document["result"]["changed"], true, "{document}");
        Edited { disks: disks.to_vec(), digests, document }
    }

    /// Fails unless the disks are refused with these words, and stay as they are.
    fn refused(&self, disks: &[PathBuf], words: &str) {
        let before: Vec<String> = disks.iter().map(|disk| sparse::digest(disk)).collect();
        let error = self.key_add(disks).failure(&[3, 4, 5]);
        assert!(error.to_string().contains(words), "not {words:?}: {error}");
        let after: Vec<String> = disks.iter().map(|disk| sparse::digest(disk)).collect();
        assert_eq!(before, after);
    }

    fn undo(&self, edited: &Edited) {
        let command = edited.document["result"]["undo_command"].as_str().unwrap();
        let words = command.split(' ').skip(1).chain(["--yes", "--json"]);
        self.regain.run(&words.collect::<Vec<_>>()).success();
        for (disk, digest) in edited.disks.iter().zip(&edited.digests) {
            assert_eq!(&sparse::digest(disk), digest, "undone: {}", disk.display());
        }
    }
}

/// An edit that was made.
struct Edited {
    disks: Vec<PathBuf>,
    digests: Vec<String>,
    document: Value,
}

/// What the library of the scripts says of the key file after an edit.
fn has_both_keys(name: &str) -> String {
    let digest = digest::of_bytes(format!("{OLD_KEY}{NEW_KEY}").as_bytes());
    format!("{name} has 600 1000 1000 {digest}")
}

/// Fails unless exactly the lines of `expected` were said, in any order.
fn assert_said(said: &[String], expected: &[String]) {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    assert_eq!(sorted(said), sorted(expected), "said against expected");
}

/// The lines of `seen` for one volume.
fn seen(name: &str) -> [String; 2] {
    [has_both_keys(name), format!("{name} keeps what the kernel writes")]
}

/// A path as a plain word of a command line.
fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}
