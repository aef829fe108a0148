//! An XFS volume under test: the program edits it, and it can be compared with what it was.

use super::regain::{CLOCK_SECONDS, Regain, Run};
use super::scratch::Scratch;
use super::tree::{self, Difference, Fields, Tree};
use super::{digest, root, sparse, tools, xfs_image, xfs_structures, xfs_tools, xfs_tree};
use regain::fs::path::{GuestPath, find};
use regain::fs::probe::ProbeKind;
use regain::fs::{FileEdit, Timestamp, known};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The clock of the program.
pub(crate) const CLOCK: Timestamp = Timestamp { seconds: CLOCK_SECONDS, nanoseconds: 0 };

/// The one intended change of an edit.
#[derive(Debug, Clone)]
pub(crate) struct Intended {
    /// The real path of the key file.
    pub(crate) key_file: String,
    /// Its whole content afterwards.
    pub(crate) content: Vec<u8>,
    /// Paths that did not exist before, parents first.
    pub(crate) added: Vec<String>,
    /// The SELinux type of what is added, if the volume is labelled.
    pub(crate) label: Option<&'static str>,
}

impl Intended {
    /// The new key at the end of the key file, which held `before`.
    pub(crate) fn append(before: impl AsRef<[u8]>) -> Self {
        let content = [before.as_ref(), root::NEW_KEY.as_bytes()].concat();
        Self { key_file: root::KEY_FILE.to_owned(), content, added: Vec::new(), label: None }
    }

    /// A new `.ssh` with a new key file.
    pub(crate) fn create() -> Self {
        let added = ["/home/admin/.ssh", root::KEY_FILE].map(str::to_owned).to_vec();
        Self { added, ..Self::append("") }
    }

    /// The same for a key file elsewhere.
    pub(crate) fn at(mut self, key_file: &str) -> Self {
        key_file.clone_into(&mut self.key_file);
        self
    }

    /// The directory that gets a new name, if one does.
    fn grown_directory(&self) -> Option<&str> {
        let (parent, _) = self.added.first()?.rsplit_once('/').unwrap();
        Some(if parent.is_empty() { "/" } else { parent })
    }
}

/// An image, its original, and the key to add.
#[derive(Debug)]
pub(crate) struct XfsBench {
    scratch: Scratch,
    image: PathBuf,
    original: PathBuf,
    key: PathBuf,
    log: Option<PathBuf>,
    realtime: Option<PathBuf>,
}

impl XfsBench {
    /// Takes `image`, which lies in `scratch`.
    pub(crate) fn new(scratch: Scratch, image: PathBuf) -> Self {
        let key = scratch.join("new.pub");
        std::fs::write(&key, root::NEW_KEY).unwrap();
        let original = scratch.join("original");
        tools::copy_sparse(&image, &original);
        Self { scratch, image, original, key, log: None, realtime: None }
    }

    /// A volume of `fixtures/xfs`, with its log if that is on another device.
    pub(crate) fn of_fixture(name: &str) -> Self {
        let scratch = Scratch::new();
        let image = xfs_image::unpack(&scratch, name);
        let log = xfs_image::unpack_log(&scratch, name);
        Self { log, ..Self::new(scratch, image) }
    }

    /// The same with a realtime device, of which nothing is read.
    pub(crate) fn with_realtime(self, realtime: PathBuf) -> Self {
        Self { realtime: Some(realtime), ..self }
    }

    /// The file with the log, if it is not in the image.
    pub(crate) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// Fails unless the outside checker says nothing.
    pub(crate) fn assert_silent(&self, what: &str) {
        let verdict =
            xfs_tools::repair_with(&self.image, self.log.as_deref(), self.realtime.as_deref());
        assert_eq!(verdict, xfs_tools::RepairVerdict::Silent, "{what}");
    }

    /// The directory of everything.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The image that is edited.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// The program, in the directory of the image.
    pub(crate) fn regain(&self) -> Regain {
        Regain::new(self.scratch.path())
    }

    /// Adds the new key, with the device of the log if there is one.
    pub(crate) fn key_add(&self, more: &[&str]) -> Run {
        let device = self.log().map(|log| ["--device", log.to_str().unwrap()]);
        self.key_add_without_devices(
            &[device.as_ref().map_or(&[][..], |device| device), more].concat(),
        )
    }

    /// Adds the new key.
    pub(crate) fn key_add_without_devices(&self, more: &[&str]) -> Run {
        self.regain().key_add(&self.image, root::USER, &self.key, more)
    }

    /// Fails unless the image is what it was.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(sparse::digest(&self.image), sparse::digest(&self.original), "modified");
    }

    /// Our reader on the image as it is now.
    pub(crate) fn open(&self) -> Box<dyn FileEdit> {
        known::open(ProbeKind::Xfs, xfs_image::overlay(&self.image), CLOCK).unwrap()
    }

    /// Everything that our reader shows.
    pub(crate) fn tree(&self) -> Tree {
        xfs_tree::of_reader(self.open().as_file_system())
    }

    /// Makes the edit and asserts the four things: the outside checker says nothing; the whole tree shows the
    /// intended change and no other; every changed byte is declared; undo gives the digest back. `look` sees the
    /// image while it is edited, with the tree before.
    pub(crate) fn prove(&self, intended: &Intended, look: impl FnOnce(&Path, &Tree)) {
        let before = self.tree();
        let document = self.key_add(&[]).success();
        let result = &document["result"];
        assert_eq!(result["changed"], true, "{document}");
        self.assert_silent("after the edit");
        assert_tree(&before, &self.tree(), intended);
        let undo_file = result["undo_file"].as_str().unwrap();
        let patch = self.regain().run(&["show", undo_file, "--json"]).success();
        let planned = self.inodes(intended);
        xfs_structures::assert_declared(&self.original, &self.image, &planned, false, &patch);
        self.assert_idempotent();
        look(&self.image, &before);
        self.undo(&document);
    }

    fn inodes(&self, intended: &Intended) -> BTreeSet<u64> {
        let fs = self.open();
        let grown = intended.grown_directory().map(str::to_owned);
        let paths = intended.added.iter().chain([&intended.key_file]).chain(&grown);
        let inode = |path: &String| {
            find(fs.as_file_system(), &GuestPath::new(path)).unwrap().unwrap().node.0
        };
        paths.map(inode).collect()
    }

    fn assert_idempotent(&self) {
        let before = sparse::digest(&self.image);
        let document = self.key_add(&[]).success();
        assert_eq!(document["result"]["changed"], false, "the second time: {document}");
        assert_eq!(sparse::digest(&self.image), before, "the second time");
    }

    /// Asserts that the edit is refused, that `words` say why, and that nothing changed.
    pub(crate) fn assert_refused(&self, statuses: &[i32], words: &[&str]) {
        let message = self.key_add(&[]).failure(statuses).to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
        self.assert_untouched();
    }

    /// Takes back the edit of that document; the image must be what it was.
    pub(crate) fn undo(&self, document: &Value) {
        let undo_file = document["result"]["undo_file"].as_str().unwrap();
        let image = self.image.to_str().unwrap();
        self.regain().run(&["undo", undo_file, image, "--yes", "--json"]).success();
        self.assert_untouched();
    }
}

/// Lets the kernel write and remove in a mounted volume, also in what was edited.
pub(crate) fn use_it(mounted: &Path) {
    let home = mounted.join("home/admin");
    for index in 0..200 {
        std::fs::write(home.join(format!("kernel-{index}")), vec![1; 3000 * (index % 4)]).unwrap();
    }
    for index in (0..200).step_by(3) {
        std::fs::remove_file(home.join(format!("kernel-{index}"))).unwrap();
    }
    std::fs::remove_dir_all(home.join(".ssh")).unwrap();
    for part in ["data", "etc"] {
        let path = mounted.join(part);
        if path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

/// Fails unless `after` is `before` with the intended change, all of it, and nothing else.
pub(crate) fn assert_tree(before: &Tree, after: &Tree, intended: &Intended) {
    let mut differences = tree::diff(before, after);
    for path in &intended.added {
        assert_eq!(differences.remove(path), Some(Difference::Added), "{path}");
        assert_added(&after.0[path], path == &intended.key_file, intended);
    }
    let mut assert_changed = |path: &str, may_change: &[&str]| {
        let difference = differences.remove(path);
        let Some(Difference::Changed(fields)) = difference else {
            panic!("{path}: {difference:?}")
        };
        assert!(fields.iter().all(|f| may_change.contains(&f.as_str())), "{path}: {fields:?}");
    };
    if let Some(path) = intended.grown_directory() {
        assert_changed(path, &["mtime", "ctime", "links", "size"]);
    } else {
        assert_changed(&intended.key_file, &["content", "ctime", "mtime", "size"]);
    }
    assert!(differences.is_empty(), "not intended: {differences:#?}");
    let key_file = &after.0[&intended.key_file];
    assert_eq!(key_file["size"], intended.content.len().to_string(), "size of the key file");
    assert_eq!(key_file["content"], digest::of_bytes(&intended.content), "content");
    for field in ["ctime", "mtime"] {
        assert_eq!(key_file[field], format!("{CLOCK_SECONDS}.000000000"), "{field}: {key_file:?}");
    }
}

fn assert_added(fields: &Fields, is_file: bool, intended: &Intended) {
    let (kind, mode) = if is_file { ("File", "0600") } else { ("Directory", "0700") };
    assert_eq!((fields["type"].as_str(), fields["mode"].as_str()), (kind, mode), "{fields:?}");
    let owner = root::USER_ID.to_string();
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
