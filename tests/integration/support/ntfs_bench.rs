//! An NTFS volume under test: the library edits it, and it can be compared with what it was.

use super::ntfs_check::{self, Owner, Owners};
use super::scratch::Scratch;
use super::tree::{self, Difference, Tree};
use super::{digest, ntfs_image, ntfs_tools, ntfs_tree, sparse};
use regain::disk::overlay::{Change, Overlay};
use regain::disk::{Disk as _, DiskEdit};
use regain::error::Result;
use regain::fs::ntfs::Ntfs;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FileEdit, FileSystem as _, NodeId, Timestamp};
use regain::image;
use regain::patch::{self, Description, FileNote, Patch, State, TargetIdentity};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The clock of every edit.
pub(crate) const CLOCK: Timestamp = Timestamp { seconds: 1_800_000_000, nanoseconds: 0 };

/// Records of the system: the MFT and its bitmap, its mirror, the bitmap of clusters.
const SYSTEM_RECORDS: [u64; 3] = [0, 1, 6];

/// What an edit is meant to do, path by path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intended {
    /// New files with their content; new directories without.
    pub(crate) added: Vec<(String, Option<Vec<u8>>)>,
    /// Names that are gone.
    pub(crate) removed: Vec<String>,
    /// Files with another content.
    pub(crate) content: Vec<(String, Vec<u8>)>,
}

/// An image and its original.
#[derive(Debug)]
pub(crate) struct NtfsBench {
    scratch: Scratch,
    image: PathBuf,
    original: Vec<u8>,
    digest: String,
    verdicts: [ntfs_tools::NtfsVerdict; 3],
    tree: Tree,
    owners: Owners,
}

/// Our editor on a disk.
pub(crate) fn open(disk: Arc<dyn DiskEdit>) -> Box<dyn FileEdit> {
    let fs = Ntfs::open(disk, CLOCK).unwrap();
    fs.check_writable().unwrap();
    Box::new(fs)
}

/// The node of a path that is there.
pub(crate) fn node(fs: &dyn FileEdit, path: &str) -> NodeId {
    let found = find(fs.as_file_system(), &GuestPath::new(path)).unwrap();
    found.unwrap_or_else(|| panic!("{path} is not there")).node
}

/// The parent of a path, and its last part.
pub(crate) fn split(path: &str) -> (&str, &str) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    (if parent.is_empty() { "/" } else { parent }, name)
}

impl NtfsBench {
    /// A volume of `fixtures/ntfs`.
    pub(crate) fn new(fixture: &str) -> Self {
        let scratch = Scratch::new();
        let image = ntfs_image::unpack(&scratch, fixture);
        let original = sparse::read(&image);
        let digest = sparse::digest(&image);
        let verdicts = ntfs_tools::verdicts(&image);
        let tree = ntfs_check::tree(&original);
        let owners = Owners::read(&original);
        Self { scratch, image, original, digest, verdicts, tree, owners }
    }

    /// The directory of everything.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The content of a file before any edit, by our reader.
    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        let disk = image::open(&self.image, None).unwrap().disk;
        let fs = open(Arc::new(Overlay::new(disk)));
        let node = node(&*fs, path);
        // Larger than what is read as a whole, where clusters are large.
        let size = fs.metadata(node).unwrap().size_bytes as usize;
        let mut content = Vec::new();
        while content.len() < size {
            content.extend(fs.read_at(node, content.len() as u64, 1 << 20).unwrap());
        }
        content
    }

    /// An extended attribute of a path as the image is now, by our reader.
    pub(crate) fn xattr(&self, path: &str, name: &[u8]) -> Option<Vec<u8>> {
        let disk = image::open(&self.image, None).unwrap().disk;
        let fs = open(Arc::new(Overlay::new(disk)));
        fs.xattr(node(&*fs, path), name).unwrap()
    }

    /// What another reader shows before any edit.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Edits a copy of the volume. `Err` is what the editor said, and then nothing may have changed.
    ///
    /// Asserts the four things: the outside programs and the strict checker say what they said before; the whole tree
    /// shows the intended change and no other; every changed byte is of a structure of the edit and in a run with a
    /// label; undo gives the digest back. `look` sees the image while it is edited.
    pub(crate) fn prove(
        &self,
        what: &str,
        edit: impl FnOnce(&mut dyn FileEdit) -> Result<()>,
        intended: &Intended,
        look: impl FnOnce(&Path),
    ) -> Result<()> {
        let base = image::open(&self.image, None).unwrap().disk;
        let overlay = Arc::new(Overlay::new(base));
        let mut fs = open(overlay.clone());
        edit(&mut *fs)?;
        fs.finish()?;
        drop(fs);
        let patch =
            Patch::new(description(overlay.len_bytes()), overlay.changes().unwrap()).unwrap();
        let undo_path = self.scratch.join("undo");
        let undo_record = patch::store(&patch, &undo_path).unwrap();
        let opened = image::open(&self.image, None).unwrap();
        let mut medium = open_for_writing(&opened);
        patch::apply(&patch, &mut medium, &undo_record, &mut |_, _| ()).unwrap();

        let after = sparse::read(&self.image);
        let found = ntfs_check::check_bytes(&after);
        assert!(found.is_empty(), "{what}: {:#?}", &found[..found.len().min(20)]);
        assert_eq!(ntfs_tools::verdicts(&self.image), self.verdicts, "{what}");
        let tree = ntfs_check::tree(&after);
        self.assert_tree(&tree, intended, what);
        self.assert_declared(&after, &patch, &tree, intended, what);
        self.assert_sequences(&after, &tree, intended, what);
        assert_ours(overlay, &tree, what);
        look(&self.image);

        patch::undo(&patch, &mut medium, &mut |_, _| ()).unwrap();
        std::fs::remove_file(undo_path).unwrap();
        assert_eq!(sparse::digest(&self.image), self.digest, "{what}: undo");
        Ok(())
    }

    /// Makes an edit, and writes only a part of its patch, sectors in order: for every such part the state must be
    /// known, applying must finish it, and undo must give the digest back.
    pub(crate) fn cut_off(&self, edit: impl FnOnce(&mut dyn FileEdit) -> Result<()>) {
        let base = image::open(&self.image, None).unwrap().disk;
        let overlay = Arc::new(Overlay::new(base));
        let mut fs = open(overlay.clone());
        edit(&mut *fs).unwrap();
        fs.finish().unwrap();
        let patch =
            Patch::new(description(overlay.len_bytes()), overlay.changes().unwrap()).unwrap();
        let undo_record = patch::store(&patch, &self.scratch.join("undo")).unwrap();
        let opened = image::open(&self.image, None).unwrap();
        let mut medium = open_for_writing(&opened);
        let mut edited = self.original.clone();
        let mut sectors = Vec::new();
        for run in patch.runs() {
            let start = run.offset_bytes as usize;
            edited[start..start + run.after.len()].copy_from_slice(&run.after);
            let parts =
                run.before.chunks(512).zip(run.after.chunks(512)).zip((start..).step_by(512));
            let changed = parts.filter(|((before, after), _)| before != after);
            sectors.extend(changed.map(|((_, after), at)| (at, after)));
        }
        assert!(sectors.len() > 8, "{} sectors changed", sectors.len());
        let file = std::fs::File::options().write(true).open(&self.image).unwrap();
        for count in 0..=sectors.len() {
            for (at, after) in &sectors[..count] {
                file.write_all_at(after, *at as u64).unwrap();
            }
            let state = patch::state(&patch, &*opened.disk).unwrap();
            let is_known = match state {
                State::Unapplied => count == 0,
                State::Applied => count == sectors.len(),
                State::Partial { sectors_after, .. } => sectors_after >= count as u64,
                State::Foreign { .. } => false,
            };
            assert!(is_known, "{count} of {} sectors: {state:?}", sectors.len());
            if count % 2 == 0 {
                patch::apply(&patch, &mut medium, &undo_record, &mut |_, _| ()).unwrap();
                assert!(sparse::read(&self.image) == edited, "{count} sectors: applied");
            }
            patch::undo(&patch, &mut medium, &mut |_, _| ()).unwrap();
            assert_eq!(sparse::digest(&self.image), self.digest, "{count} sectors: undone");
        }
        let found = ntfs_check::check_bytes(&edited);
        assert!(found.is_empty(), "{found:#?}");
    }

    fn assert_tree(&self, after: &Tree, intended: &Intended, what: &str) {
        let mut differences = tree::diff(&self.tree, after);
        let mut may_change: Vec<(String, &[&str])> = Vec::new();
        for (path, content) in &intended.added {
            assert_eq!(differences.remove(path), Some(Difference::Added), "{what}: {path}");
            let fields = &after.0[path];
            let kind = if content.is_some() { "file" } else { "directory" };
            assert_eq!((fields["type"].as_str(), fields["links"].as_str()), (kind, "1"), "{what}");
            if let Some(content) = content {
                assert_eq!(fields["content"], digest::of_bytes(content), "{what}: {path}");
            }
            let is_protected = fields["security"] != "None" && fields["security"] != "Some(0)";
            assert!(is_protected || fields.contains_key("own descriptor"), "{what}: {fields:?}");
            may_change.push((split(path).0.to_owned(), &["mtime", "ctime"]));
        }
        for path in &intended.removed {
            assert_eq!(differences.remove(path), Some(Difference::Removed), "{what}: {path}");
            may_change.push((split(path).0.to_owned(), &["mtime", "ctime"]));
            for other in self.same_record(path) {
                may_change.push((other, &["links", "ctime", "short"]));
            }
        }
        for (path, content) in &intended.content {
            assert_eq!(after.0[path]["content"], digest::of_bytes(content), "{what}: {path}");
            assert_eq!(after.0[path]["size"], content.len().to_string(), "{what}: {path}");
            for other in self.same_record(path) {
                may_change.push((other, &["content", "size", "mtime", "ctime", "flags"]));
            }
        }
        for (path, difference) in differences {
            let Difference::Changed(fields) = difference else {
                panic!("{what}: {path}: {difference:?}")
            };
            let allowed = |field: &String| {
                may_change
                    .iter()
                    .any(|(other, names)| *other == path && names.contains(&field.as_str()))
            };
            assert!(fields.iter().all(allowed), "{what}: {path}: {fields:?} changed");
        }
    }

    /// WIN-109: a record that becomes free counts on, past 0, so that old references to it are known as such. WIN-112: one
    /// that is taken keeps the number that it has.
    fn assert_sequences(&self, after: &[u8], tree: &Tree, intended: &Intended, what: &str) {
        let record = |tree: &Tree, path: &str| tree.0[path]["record"].parse::<u64>().unwrap();
        let some = intended.removed.iter().take(3);
        for path in
            some.filter(|path| !self.same_record(path).iter().any(|it| tree.0.contains_key(it)))
        {
            let old: u16 = self.tree.0[path]["sequence"].parse().unwrap();
            let next = if old == u16::MAX { 1 } else { old + 1 };
            let state = ntfs_check::record_state(after, record(&self.tree, path));
            assert_eq!(state, Some((false, next)), "{what}: {path}");
        }
        for (path, _) in intended.added.iter().take(3) {
            let sequence: u16 = tree.0[path]["sequence"].parse().unwrap();
            let before = ntfs_check::record_state(&self.original, record(tree, path));
            let expected = before.map_or(1, |(_, sequence)| sequence.max(1));
            assert_eq!(sequence, expected, "{what}: {path}");
        }
    }

    /// All paths of the file at `path`.
    fn same_record(&self, path: &str) -> Vec<String> {
        let record = &self.tree.0[path]["record"];
        let those = self.tree.0.iter().filter(|(_, fields)| &fields["record"] == record);
        those.map(|(path, _)| path.clone()).collect()
    }

    /// The records that the edit may touch: of the files themselves, of the directories of all their names, and the
    /// system's.
    fn planned(&self, after: &Tree, intended: &Intended) -> BTreeSet<u64> {
        let mut planned = BTreeSet::from(SYSTEM_RECORDS);
        let mut add = |tree: &Tree, path: &str| {
            if let Some(fields) = tree.0.get(path) {
                planned.insert(fields["record"].parse().unwrap());
            }
        };
        let added = intended.added.iter().map(|(path, _)| path);
        let content = intended.content.iter().map(|(path, _)| path);
        for path in added.chain(&intended.removed).chain(content) {
            let mut paths = vec![path.clone()];
            if self.tree.0.contains_key(path) {
                paths = self.same_record(path);
            }
            for path in paths {
                for tree in [&self.tree, after] {
                    add(tree, &path);
                    add(tree, split(&path).0);
                }
            }
        }
        planned
    }

    fn assert_declared(
        &self,
        after: &[u8],
        patch: &Patch,
        tree: &Tree,
        intended: &Intended,
        what: &str,
    ) {
        let mut planned = self.planned(tree, intended);
        let owners = [&self.owners, &Owners::read(after)];
        // What has an object id or a reparse point is in one more index.
        let is_listed = intended.removed.iter().any(|path| {
            let fields = &self.tree.0[path];
            fields.contains_key("object id") || fields.contains_key("reparse")
        });
        if is_listed {
            planned.extend(24..28);
        }
        for run in patch.runs() {
            let label = run.labels.iter().any(|label| !label.is_empty());
            assert!(label, "{what}: no label: {:#x}", run.offset_bytes);
            for (at, (old, new)) in (run.offset_bytes..).zip(run.before.iter().zip(&run.after)) {
                if old == new {
                    continue;
                }
                let is_planned = owners.iter().any(|owners| match owners.of(at) {
                    // A record that was taken or freed may be an extension on one side only.
                    Some(Owner::Record(record)) => planned.contains(&owners.base(record)),
                    Some(Owner::Stream(record, _)) => planned.contains(&record),
                    None => false,
                });
                let found = owners.map(|owners| owners.of(at));
                assert!(is_planned, "{what}: byte {at:#x} of {found:?} changed, {:?}", run.labels);
            }
        }
    }
}

/// Other tests start programs, which have all our files open, locks and all, until they are the programs.
fn open_for_writing(image: &image::Image) -> image::writable::WritableImage {
    for _ in 0..10_000 {
        if let Ok(medium) = image::writable::open(image) {
            return medium;
        }
        std::thread::yield_now();
    }
    image::writable::open(image).unwrap()
}

/// Our own reader shows what the other one shows.
fn assert_ours(overlay: Arc<Overlay>, theirs: &Tree, what: &str) {
    let fs = open(overlay);
    let ours = ntfs_tree::of_reader(fs.as_file_system());
    ntfs_tree::assert_agree(&ours, theirs, &["size", "record"], what);
    for (path, fields) in &theirs.0 {
        let both = fields.get("content").zip(ours.0[path].get("content"));
        if let Some((theirs, ours)) = both.filter(|(it, _)| *it != ntfs_tree::UNREADABLE) {
            assert_eq!(ours, theirs, "{what}: {path}");
        }
    }
}

fn description(size_bytes: u64) -> Description {
    Description {
        regain_version: "0.1.0".into(),
        created: "2026-11-21T12:00:00Z".into(),
        command: "a test".into(),
        identity: TargetIdentity {
            size_bytes,
            sector_size_bytes: 512,
            table_guid: None,
            volumes: Vec::new(),
            parts: Vec::new(),
        },
        files: vec![FileNote {
            volume: "1".into(),
            path: "/file".into(),
            action: "replace".into(),
            detail: String::new(),
        }],
    }
}

/// Changes as bytes into a copy of a volume in memory.
pub(crate) fn store(volume: &mut [u8], changes: &[Change], bytes: impl Fn(&Change) -> &Vec<u8>) {
    for change in changes {
        let (start, bytes) = (change.offset_bytes as usize, bytes(change));
        volume[start..start + bytes.len()].copy_from_slice(bytes);
    }
}
