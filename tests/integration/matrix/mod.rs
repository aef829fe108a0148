//! Shapes of file systems times situations on them: for each image, the program edits it and four things are
//! asserted. The outside checker finds it clean; a comparison of the whole tree shows exactly the intended
//! change; every changed byte lies in a structure of that change and in a run that the patch declares; undo
//! gives back the digest.

mod refused;
mod shapes;
mod situations;
mod tables;

use crate::support::regain::{CLOCK_SECONDS, Regain};
use crate::support::scratch::Scratch;
use crate::support::tree::{Difference, Fields, Tree};
use crate::support::{digest, oracle, root, sparse, structures, tools, tree};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The one intended change of an edit.
#[derive(Debug, Clone)]
struct Intended {
    /// The real path of the key file.
    key_file: String,
    /// Its whole content afterwards.
    content: Vec<u8>,
    /// Its size afterwards, if the content alone does not say it.
    owner: u32,
    /// Paths that did not exist before, parents first.
    added: Vec<String>,
    /// The SELinux type of what is added, if the volume is labelled.
    label: Option<&'static str>,
}

impl Intended {
    /// The new key at the end of the key file, which held `before`.
    fn append(before: impl AsRef<[u8]>) -> Self {
        let content = [before.as_ref(), root::NEW_KEY.as_bytes()].concat();
        let key_file = root::KEY_FILE.to_owned();
        Self { key_file, content, owner: root::USER_ID, added: Vec::new(), label: None }
    }

    /// A new `.ssh` with a new key file.
    fn create() -> Self {
        let added = ["/home/admin/.ssh", root::KEY_FILE].map(str::to_owned).to_vec();
        Self { added, ..Self::append("") }
    }

    /// The same for a key file elsewhere.
    fn at(mut self, key_file: &str) -> Self {
        key_file.clone_into(&mut self.key_file);
        self
    }

    /// The directory that gets a new name, if one does.
    fn grown_directory(&self) -> Option<&str> {
        let first = self.added.first()?;
        let (parent, _) = first.rsplit_once('/').unwrap();
        Some(if parent.is_empty() { "/" } else { parent })
    }
}

/// An image under test.
struct Bench {
    scratch: Scratch,
    image: PathBuf,
    /// Start of the file system in the image.
    offset_bytes: u64,
    key: PathBuf,
}

impl Bench {
    /// Takes `image`, which lies in `scratch`.
    fn new(scratch: Scratch, image: PathBuf, offset_bytes: u64) -> Self {
        let key = scratch.join("new.pub");
        std::fs::write(&key, root::NEW_KEY).unwrap();
        Self { scratch, image, offset_bytes, key }
    }

    fn regain(&self) -> Regain {
        Regain::new(self.scratch.path())
    }

    fn key_add(&self, more: &[&str]) -> crate::support::regain::Run {
        self.regain().key_add(&self.image, root::USER, &self.key, more)
    }

    /// Asserts that the edit is refused, that `words` say why, and that nothing changed.
    fn assert_refused(&self, statuses: &[i32], words: &[&str]) {
        let before = sparse::digest(&self.image);
        let error = self.key_add(&[]).failure(statuses);
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
        assert_eq!(sparse::digest(&self.image), before, "the target was modified");
        let left = std::fs::read_dir(self.scratch.path()).unwrap();
        let patches = left.filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".patch")
        });
        assert_eq!(patches.count(), 0, "an undo file of nothing");
    }

    /// Makes the edit and asserts the four things.
    fn prove(&self, intended: &Intended) {
        let original = self.scratch.join("original");
        tools::copy_sparse(&self.image, &original);
        let before = tree::read(&self.image, self.offset_bytes);
        self.prove_from(intended, &original, &before);
    }

    /// The same where the tree before is not what an outside reader sees in the image (a dirty journal).
    fn prove_from(&self, intended: &Intended, original: &Path, before: &Tree) {
        let document = self.key_add(&[]).success();
        let result = &document["result"];
        assert_eq!(result["changed"], true, "{document}");
        oracle::assert_clean(&self.image, self.offset_bytes, "after the edit");
        let after = tree::read(&self.image, self.offset_bytes);
        assert_tree(before, &after, intended);
        let undo_file = result["undo_file"].as_str().unwrap().to_owned();
        self.assert_runs(original, &after, intended, &undo_file);
        self.assert_idempotent();
        let image = self.image.to_str().unwrap();
        self.regain().run(&["undo", &undo_file, image, "--yes", "--json"]).success();
        assert_eq!(sparse::digest(&self.image), sparse::digest(original), "undo");
    }

    fn assert_idempotent(&self) {
        let before = sparse::digest(&self.image);
        let document = self.key_add(&[]).success();
        assert_eq!(document["result"]["changed"], false, "the second time: {document}");
        assert_eq!(sparse::digest(&self.image), before, "the second time");
    }

    /// Every changed byte lies in a structure of the edit, and in a labelled run of the patch.
    fn assert_runs(&self, original: &Path, after: &Tree, intended: &Intended, patch: &str) {
        let document = self.regain().run(&["show", patch, "--json"]).success();
        let runs = document["result"]["runs"].as_array().unwrap();
        let mut inodes: Vec<u64> = vec![inode(after, &intended.key_file)];
        inodes.extend(intended.added.iter().map(|path| inode(after, path)));
        inodes.extend(intended.grown_directory().map(|path| inode(after, path)));
        let mut with_quota = inodes.clone();
        with_quota.extend(self.quota_inodes());
        let allowed = structures::of_edit(&self.image, self.offset_bytes, &with_quota);
        for offset in structures::differing_bytes(original, &self.image) {
            let is_allowed = allowed.iter().any(|range| range.contains(&offset));
            assert!(is_allowed, "byte {offset:#x} changed: {document:#}");
            let is_declared = runs.iter().any(|run| span(run).contains(&offset));
            assert!(is_declared, "byte {offset:#x} is in no run: {document:#}");
        }
        for run in runs {
            let labels = run["labels"].as_array().unwrap();
            assert!(!labels.is_empty(), "a run without a label: {document:#}");
            for label in labels {
                self.assert_label(run, label.as_str().unwrap(), &inodes);
            }
        }
    }

    /// A run that says "inode 131" must hold that inode, by the outside reader's arithmetic.
    fn assert_label(&self, run: &Value, label: &str, inodes: &[u64]) {
        let number = label.strip_prefix("inode ").and_then(|rest| rest.parse::<u64>().ok());
        let Some(number) = number else { return };
        assert!(inodes.contains(&number) || number < 11, "{label} is not part of the plan");
        let offset = structures::inode_offset(&self.image, self.offset_bytes, number);
        assert!(span(run).contains(&offset), "{label} is at {offset:#x}, not in {run}");
    }

    fn quota_inodes(&self) -> Vec<u64> {
        let target = oracle::at(&self.image, self.offset_bytes);
        let text = tools::succeed("dumpe2fs", &["-h", &target]);
        let lines = text.lines().filter(|line| line.contains(" quota inode:"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }
}

fn span(run: &Value) -> std::ops::Range<u64> {
    let start = run["offset_bytes"].as_u64().unwrap();
    start..start + run["size_bytes"].as_u64().unwrap()
}

fn inode(tree: &Tree, path: &str) -> u64 {
    tree.0[path]["inode"].parse().unwrap()
}

/// The comparison of the whole tree shows the intended change, all of it, and nothing else.
fn assert_tree(before: &Tree, after: &Tree, intended: &Intended) {
    let mut differences: BTreeMap<String, Difference> = tree::diff(before, after);
    let clock = format!("0x{CLOCK_SECONDS:08x}");
    for path in &intended.added {
        let difference = differences.remove(path);
        assert_eq!(difference, Some(Difference::Added), "{path}");
        assert_added(&after.0[path], path == &intended.key_file, intended);
    }
    if let Some(path) = intended.grown_directory() {
        let difference = differences.remove(path);
        let Some(Difference::Changed(fields)) = difference else {
            panic!("{path}: {difference:?}")
        };
        let may_change = ["mtime", "ctime", "links", "size", "flags"];
        assert!(fields.iter().all(|f| may_change.contains(&f.as_str())), "{path}: {fields:?}");
        assert!(after.0[path]["mtime"].starts_with(&clock), "{path}: {:?}", after.0[path]);
    }
    let key_file = &after.0[&intended.key_file];
    if intended.added.is_empty() {
        let difference = differences.remove(&intended.key_file);
        let Some(Difference::Changed(fields)) = difference else { panic!("{difference:?}") };
        let mut may_change = vec!["content", "ctime", "mtime", "size"];
        if has_inline_flag(&before.0[&intended.key_file]) && !has_inline_flag(key_file) {
            may_change.push("flags");
        }
        assert!(fields.iter().all(|f| may_change.contains(&f.as_str())), "key file: {fields:?}");
    }
    assert!(differences.is_empty(), "not intended: {differences:#?}");
    assert_eq!(key_file["size"], intended.content.len().to_string(), "size of the key file");
    assert_eq!(key_file["content"], digest::of_bytes(&intended.content), "content");
    for field in ["ctime", "mtime"] {
        assert!(key_file[field].starts_with(&clock), "{field}: {key_file:?}");
    }
}

/// True if the content lies in the inode (`EXT4_INLINE_DATA_FL`).
fn has_inline_flag(fields: &Fields) -> bool {
    let flags = u32::from_str_radix(fields["flags"].trim_start_matches("0x"), 16).unwrap();
    flags & 0x1000_0000 != 0
}

fn assert_added(fields: &Fields, is_file: bool, intended: &Intended) {
    let (kind, mode) = if is_file { ("regular", "0600") } else { ("directory", "0700") };
    assert_eq!((fields["type"].as_str(), fields["mode"].as_str()), (kind, mode), "{fields:?}");
    let owner = intended.owner.to_string();
    assert_eq!((&fields["uid"], &fields["gid"]), (&owner, &owner), "{fields:?}");
    let label = fields.get("xattr security.selinux");
    match intended.label {
        None => assert_eq!(label, None),
        Some(expected) => {
            let label = label.unwrap_or_else(|| panic!("no label: {fields:?}"));
            assert!(label.contains(expected), "{label}");
        }
    }
}
