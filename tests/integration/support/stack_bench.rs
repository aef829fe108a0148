//! A root disk that lies in layers on one disk or several: edited through the program, taken apart again without it,
//! judged by the checker of the file system, and undone.

use super::image::ImageBuilder;
use super::regain::{Regain, Run};
use super::root::{self, KEY_FILE, NEW_KEY, OLD_KEY, USER};
use super::scratch::Scratch;
use super::{oracle, sparse, tools};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The disks of one machine.
pub(crate) struct StackBench {
    scratch: Scratch,
    regain: Regain,
    disks: Vec<PathBuf>,
    /// Options that open the layers, as in `--luks-key-file FILE`.
    options: Vec<String>,
    digests: Vec<String>,
}

/// A file system with a root and the user's old key, of 24 MiB.
pub(crate) fn ext4_root(scratch: &Scratch) -> PathBuf {
    ImageBuilder::new("ext4", 24).nodes(root::with_key()).build_in(scratch, "root.img")
}

impl StackBench {
    /// The machine with `disks`, of which the first is the target.
    pub(crate) fn new(scratch: Scratch, disks: Vec<PathBuf>) -> Self {
        let regain = Regain::new(scratch.path());
        std::fs::write(scratch.join("new.pub"), NEW_KEY).unwrap();
        let digests = disks.iter().map(|disk| sparse::digest(disk)).collect();
        Self { scratch, regain, disks, options: Vec::new(), digests }
    }

    /// Gives every command more options.
    pub(crate) fn with_options(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(crate) fn disks(&self) -> &[PathBuf] {
        &self.disks
    }

    /// Runs `command` on all disks, with the options of the bench.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Run {
        self.run_on(&self.disks, command, &[&self.options(), more].concat())
    }

    /// Runs `command` on some disks.
    pub(crate) fn run_on(&self, disks: &[PathBuf], command: &str, more: &[&str]) -> Run {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        for (number, disk) in disks.iter().enumerate() {
            if number > 0 {
                arguments.push("--device");
            }
            arguments.push(disk.to_str().unwrap());
        }
        arguments.extend(more);
        arguments.push("--json");
        self.regain.run(&arguments)
    }

    fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// `key add` with the new key.
    pub(crate) fn key_add(&self, more: &[&str]) -> Run {
        let key = self.scratch.join("new.pub");
        let fixed = ["--user", USER, "--key", key.to_str().unwrap(), "--yes"];
        self.run("key add", &[&fixed, more].concat())
    }

    /// Fails if a bit of a disk is not as it was at first.
    pub(crate) fn assert_untouched(&self, what: &str) {
        for (disk, digest) in self.disks.iter().zip(&self.digests) {
            assert_eq!(&sparse::digest(disk), digest, "{what}: {}", disk.display());
        }
    }

    /// Runs a command that the program printed, with `--yes --json`.
    pub(crate) fn run_printed(&self, command: &str) -> Run {
        let mut words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words.remove(0), "regain", "{command}");
        words.extend(["--yes", "--json"]);
        self.regain.run(&words)
    }

    /// The whole story: `key add` changes volume `id` and disks `changed`, `take` takes the file system out again,
    /// the checker finds it clean with both keys in it, a second run changes nothing, and the printed command undoes it.
    pub(crate) fn prove(&self, id: &str, changed: &[usize], take: &dyn Fn(&[PathBuf], &Path)) {
        let document = self.key_add(&[]).success();
        assert_eq!(document["result"]["changed"], true, "{document}");
        assert_eq!(document["result"]["volume_id"], id, "{document}");
        let after: Vec<String> = self.disks.iter().map(|disk| sparse::digest(disk)).collect();
        let is_changed = |number: &usize| after[*number] != self.digests[*number];
        let found: Vec<usize> = (0..self.disks.len()).filter(is_changed).collect();
        assert_eq!(found, changed, "the disks that changed");
        let edited = self.scratch.join("edited.img");
        take(&self.disks, &edited);
        oracle::assert_clean(&edited, 0, "edited");
        assert_eq!(key_file(&edited), format!("{OLD_KEY}{NEW_KEY}"));
        let again = self.key_add(&[]).success();
        assert_eq!(again["result"]["changed"], false, "{again}");
        self.undo(&document);
    }

    /// Undoes with the command that `document` has, and compares every bit.
    pub(crate) fn undo(&self, document: &Value) {
        let command = document["result"]["undo_command"].as_str().unwrap();
        let undone = self.run_printed(command).success();
        assert_eq!(undone["result"]["changed"], true, "{undone}");
        self.assert_untouched("undone");
    }
}

/// The content of the user's key file in an ext file system.
pub(crate) fn key_file(image: &Path) -> String {
    tools::succeed("debugfs", &["-R", &format!("cat {KEY_FILE}"), image.to_str().unwrap()])
}
