//! Every container around every layer around every file system, so that each pair occurs: one edit each, seen by
//! the guest, judged by programs that are not ours, and undone.
//!
//! A row asserts: what `qemu-img` takes out of the container, taken apart without regain, passes the checker of the
//! file system; its tree differs in the one file that was meant; `qemu-img check` finds nothing; a second run changes
//! nothing; and the printed undo command brings back every bit that the guest sees.

mod container;
mod content;
mod place;

use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::tree::Tree;
use crate::support::{luks, sparse};
use container::Container;
use content::Content;
use place::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A disk without a container, and what is in it.
struct Disk {
    content: Content,
    place: Place,
    path: PathBuf,
    volume_bytes: u64,
    tree: Tree,
}

impl Disk {
    fn new(scratch: &Scratch, content: Content, place: Place) -> Self {
        let volume = content.build(scratch);
        let volume_bytes = volume.metadata().unwrap().len();
        let tree = content.judged_tree(&volume, "as built");
        let path = place.put(scratch, &volume);
        std::fs::remove_file(volume).unwrap();
        Self { content, place, path, volume_bytes, tree }
    }

    /// The tree of the volume in `guest`, which its checker finds clean.
    fn tree_of(&self, scratch: &Scratch, guest: &Path, what: &str) -> Tree {
        let volume = self.place.take(scratch, guest, self.volume_bytes);
        let tree = self.content.judged_tree(&volume, what);
        std::fs::remove_file(volume).unwrap();
        tree
    }
}

/// One run of the program, with everything that the row needs.
fn run(scratch: &Scratch, disk: &Disk, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    let passphrase = luks::passphrase_file(scratch.path());
    if disk.place.is_encrypted() && arguments[0] != "undo" {
        arguments.extend(["--luks-passphrase-file", passphrase.to_str().unwrap()]);
    }
    arguments.extend(["--yes", "--json"]);
    Regain::new(scratch.path()).run(&arguments).success()
}

fn prove(disk: &Disk, container: Container) {
    let what = format!("{container:?} around {:?} around {:?}", disk.place, disk.content);
    let scratch = Scratch::new();
    let target = container.put(&scratch, &disk.path);
    let guest = container.take(&scratch, &target);
    let digest = sparse::digest(&guest);

    let edit = disk.content.edit(&scratch);
    let with_target = |command: &[String]| -> Vec<String> {
        command.iter().map(|word| word.replace("TARGET", target.to_str().unwrap())).collect()
    };
    let words = with_target(&edit);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let document = run(&scratch, disk, &words);
    assert_eq!(document["result"]["changed"], true, "{what}: {document}");
    container.assert_clean(&target, &what);

    let guest = container.take(&scratch, &target);
    let tree = disk.tree_of(&scratch, &guest, &what);
    disk.content.assert_edited(&disk.tree, &tree, &what);
    let again = run(&scratch, disk, &words);
    assert_eq!(again["result"]["changed"], false, "{what}: {again}");

    let undo = document["result"]["undo_command"].as_str().unwrap();
    let undo: Vec<&str> = undo.split(' ').skip(1).collect();
    let undone = run(&scratch, disk, &undo);
    assert_eq!(undone["result"]["changed"], true, "{what}: {undone}");
    container.assert_clean(&target, &what);
    let guest = container.take(&scratch, &target);
    assert_eq!(sparse::digest(&guest), digest, "{what}: after undo");
}

/// All containers around one kind of place; the file systems take turns, so that each meets every container and
/// every place.
fn prove_all(place: Place) {
    let mut failed = Vec::new();
    for (turn, content) in Content::ALL.into_iter().enumerate() {
        let scratch = Scratch::new();
        let disk = Disk::new(&scratch, content, place);
        for (number, container) in Container::ALL.into_iter().enumerate() {
            if (number + place.number()) % Content::ALL.len() == turn {
                // The other rows tell what the failed ones have in common.
                let row = || prove(&disk, container);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(row)).is_err() {
                    failed.push(format!("{container:?} around {content:?}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{place:?}: {failed:#?}");
}

#[test]
fn containers_around_bare_file_systems() {
    prove_all(Place::Bare);
}

#[test]
fn containers_around_gpt() {
    prove_all(Place::Gpt);
}

#[test]
fn containers_around_mbr() {
    prove_all(Place::Mbr);
}

#[test]
fn containers_around_lvm() {
    prove_all(Place::Lvm);
}

#[test]
fn containers_around_luks() {
    prove_all(Place::Luks);
}

#[test]
fn containers_around_luks_around_lvm() {
    prove_all(Place::LuksLvm);
}
