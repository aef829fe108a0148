//! Random sequences of edits on an NTFS volume, against a plain model.

use super::ntfs_bench::open;
use super::ntfs_check::Listing;
use super::rng::Rng;
use regain::disk::Disk;
use regain::disk::overlay::Overlay;
use regain::error::{ErrorKind, Result};
use regain::fs::{FileEdit, NewNode, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Edits in one sequence.
const EDITS_MAX: u64 = 10;
/// Files that one edit makes or removes at most.
const CROWD_MAX: u64 = 30;

/// What a volume should hold: files by path, contents by record.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    paths: BTreeMap<String, u64>,
    /// None for a directory.
    contents: BTreeMap<u64, Option<Content>>,
    /// A step for the next name, so that names differ.
    count: u64,
}

#[derive(Debug, Clone)]
enum Content {
    /// As it was, with so many bytes.
    Untouched(u64),
    /// Compressed, sparse, or more than the file: edits may be refused.
    Special(u64),
    Bytes(Vec<u8>),
}

/// One edit, with all paths of what it touches.
#[derive(Debug, Clone)]
enum Edit {
    Append(String, usize),
    Replace(String, usize),
    Overwrite(String, usize, usize),
    File(String, usize),
    Directory(String),
    Remove(String),
    Crowd(String, Vec<String>),
    Clear(Vec<String>),
}

impl Model {
    /// What a good volume holds.
    pub(crate) fn new(listing: &Listing) -> Self {
        let mut model = Self { paths: BTreeMap::new(), contents: BTreeMap::new(), count: 0 };
        for shown in &listing.0 {
            model.paths.insert(shown.path.clone(), shown.record);
            let content = match shown.size {
                _ if shown.is_directory => None,
                size if shown.is_special => Some(Content::Special(size)),
                size => Some(Content::Untouched(size)),
            };
            model.contents.insert(shown.record, content);
        }
        model
    }

    /// Fails unless a volume holds all of that, and nothing else.
    pub(crate) fn assert_equals(
        &self,
        listing: &Listing,
        volume: &[u8],
        what: &dyn Fn() -> String,
    ) {
        let found: BTreeMap<&str, u64> =
            listing.0.iter().map(|shown| (shown.path.as_str(), shown.record)).collect();
        for (path, record) in &self.paths {
            assert_eq!(found.get(path.as_str()), Some(record), "{path}: {}", what());
        }
        assert_eq!(found.len(), self.paths.len(), "more paths: {}", what());
        for shown in &listing.0 {
            let content = &self.contents[&shown.record];
            assert_eq!(content.is_none(), shown.is_directory, "{}: {}", shown.path, what());
            let Some(content) = content else { continue };
            let size = match content {
                Content::Untouched(size) | Content::Special(size) => *size,
                Content::Bytes(bytes) => bytes.len() as u64,
            };
            assert_eq!(shown.size, size, "{}: {}", shown.path, what());
            if let Content::Bytes(bytes) = content {
                let is_same = super::ntfs_check::content(volume, shown) == *bytes;
                assert!(is_same, "{}: the content: {}", shown.path, what());
            }
        }
    }

    fn of_kind(&self, is_directory: bool) -> Vec<&String> {
        let paths = self.paths.iter();
        let those = paths.filter(|(_, record)| self.contents[record].is_none() == is_directory);
        those.map(|(path, _)| path).collect()
    }

    fn pick(&self, rng: &mut Rng, is_directory: bool) -> Option<String> {
        let paths = self.of_kind(is_directory);
        (!paths.is_empty()).then(|| paths[rng.index(paths.len())].clone())
    }

    fn size(&self, path: &str) -> usize {
        match &self.contents[&self.paths[path]] {
            None => 0,
            Some(Content::Untouched(size) | Content::Special(size)) => *size as usize,
            Some(Content::Bytes(bytes)) => bytes.len(),
        }
    }

    /// Files directly in a directory.
    fn files_in(&self, directory: &str) -> Vec<String> {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        let below = self.paths.range(prefix.clone()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(&prefix));
        let direct = below.filter(|path| {
            !path[prefix.len()..].contains('/') && self.contents[&self.paths[*path]].is_some()
        });
        direct.cloned().collect()
    }

    fn remove(&mut self, path: &str) {
        let record = self.paths.remove(path).unwrap();
        if !self.paths.values().any(|other| *other == record) {
            self.contents.remove(&record);
        }
    }

    fn add(&mut self, path: &str, node: NodeId, content: Option<Vec<u8>>) {
        let previous = self.contents.insert(node.0, content.map(Content::Bytes));
        assert!(previous.is_none(), "{path}: {node:?} was in use already");
        self.paths.insert(path.to_owned(), node.0);
    }
}

/// One random sequence on its own overlay.
pub(crate) struct Sequence {
    rng: Rng,
    /// The volume below the edits, and the edits.
    pub(crate) overlay: Arc<Overlay>,
    fs: Box<dyn FileEdit>,
    /// What it should hold.
    pub(crate) model: Model,
    /// What was tried.
    pub(crate) log: Vec<String>,
    /// Number of edits that were made.
    pub(crate) done: u64,
    /// Number of edits that were refused.
    pub(crate) refused: u64,
}

impl Sequence {
    /// Starts on the volume `base`, which holds what `model` says.
    pub(crate) fn new(base: Arc<dyn Disk>, model: &Model, seed: u64) -> Self {
        let overlay = Arc::new(Overlay::new(base));
        let fs = open(overlay.clone());
        let (model, rng, log) = (model.clone(), Rng::new(seed), Vec::new());
        Self { rng, overlay, fs, model, log, done: 0, refused: 0 }
    }

    /// Makes some edits; what is refused is taken back.
    pub(crate) fn run(&mut self, what: &str) {
        for _ in 0..=self.rng.below(EDITS_MAX) {
            let Some(edit) = self.choose() else { continue };
            let savepoint = self.overlay.savepoint();
            // Others change the model when they are done.
            let is_many = matches!(edit, Edit::Crowd(..) | Edit::Clear(_));
            let before = is_many.then(|| self.model.clone());
            self.log.push(shown(&edit));
            match self.make(&edit) {
                Ok(()) => self.done += 1,
                Err(error) => {
                    let is_refusal = matches!(error.kind(), ErrorKind::Refused(_));
                    assert!(is_refusal, "{what}: {error}: {:#?}", self.log);
                    self.log.push(format!("  {error}"));
                    self.refused += 1;
                    self.overlay.roll_back(savepoint);
                    self.fs = open(self.overlay.clone());
                    if let Some(before) = before {
                        self.model = before;
                    }
                }
            }
        }
        let finished = self.fs.finish();
        assert!(finished.is_ok(), "{what}: {finished:?}");
    }

    fn choose(&mut self) -> Option<Edit> {
        let file = self.model.pick(&mut self.rng, false)?;
        let directory = self.model.pick(&mut self.rng, true)?;
        Some(match self.rng.below(24) {
            0..=3 => Edit::Append(file, self.len()),
            4..=7 => Edit::Replace(file, self.len()),
            8..=9 => {
                let size = self.model.size(&file);
                let start = self.rng.index(size + 1);
                let len = self.rng.index(size - start + 1);
                Edit::Overwrite(file, start, len)
            }
            10..=14 => Edit::File(self.name(&directory), self.len()),
            15..=16 => Edit::Directory(self.name(&directory)),
            17..=20 => Edit::Remove(file),
            21 | 22 => {
                let count = self.rng.below(CROWD_MAX) + 1;
                Edit::Crowd(directory.clone(), (0..count).map(|_| self.name(&directory)).collect())
            }
            _ => {
                let mut files = self.model.files_in(&directory);
                let keep = self.rng.index(4);
                files.truncate(2 * CROWD_MAX as usize);
                files.drain(..keep.min(files.len()));
                Edit::Clear(files)
            }
        })
    }

    fn len(&mut self) -> usize {
        let limit = [1, 100, 500, 1500, 5000, 40_000][self.rng.index(6)];
        self.rng.below(limit + 1) as usize
    }

    /// A path in `directory` that is not there yet, in any case.
    fn name(&mut self, directory: &str) -> String {
        self.model.count += 1;
        let len = [1, 8, 30, 120, 240][self.rng.index(5)];
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_ 0123456789";
        let random = (0..len).map(|_| char::from(letters[self.rng.index(letters.len())]));
        let random: String = random.collect();
        format!("{}/{random}~{}x", directory.trim_end_matches('/'), self.model.count)
    }

    fn node(&self, path: &str) -> NodeId {
        NodeId(self.model.paths[path])
    }

    /// The directory of a path, and its name.
    fn place(&self, path: &str) -> (NodeId, Vec<u8>) {
        let (parent, name) = super::ntfs_bench::split(path);
        (self.node(parent), name.as_bytes().to_vec())
    }

    fn make(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::Append(path, len) => {
                let bytes = self.rng.bytes(*len);
                let (node, mut whole) = (self.node(path), self.whole(path)?);
                self.fs.append(node, &bytes)?;
                whole.extend(bytes);
                self.set(node, whole);
            }
            Edit::Replace(path, len) => {
                let bytes = self.rng.bytes(*len);
                let node = self.node(path);
                self.fs.replace(node, &bytes)?;
                self.set(node, bytes);
            }
            Edit::Overwrite(path, start, len) => {
                let bytes = self.rng.bytes(*len);
                let (node, mut whole) = (self.node(path), self.whole(path)?);
                self.fs.overwrite(node, *start as u64, &bytes)?;
                whole[*start..start + len].copy_from_slice(&bytes);
                self.set(node, whole);
            }
            Edit::File(path, len) => self.create(path, *len)?,
            Edit::Directory(path) => {
                let (directory, name) = self.place(path);
                let node = self.fs.create_directory(directory, &name, &NewNode::default())?;
                self.model.add(path, node, None);
            }
            Edit::Remove(path) => self.remove(path)?,
            Edit::Crowd(_, paths) => {
                for path in paths {
                    let len = self.rng.index(3) * 40;
                    self.create(path, len)?;
                }
            }
            Edit::Clear(paths) => paths.iter().try_for_each(|path| self.remove(path))?,
        }
        Ok(())
    }

    fn create(&mut self, path: &str, len: usize) -> Result<()> {
        let content = self.rng.bytes(len);
        let (directory, name) = self.place(path);
        let node = self.fs.create_file(directory, &name, &NewNode::default(), &content)?;
        self.model.add(path, node, Some(content));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        let (directory, name) = self.place(path);
        self.fs.remove(directory, &name)?;
        self.model.remove(path);
        Ok(())
    }

    /// The content of a file before an edit.
    fn whole(&self, path: &str) -> Result<Vec<u8>> {
        let node = self.node(path);
        match &self.model.contents[&node.0] {
            Some(Content::Bytes(bytes)) => Ok(bytes.clone()),
            _ => self.fs.read(node, regain::fs::FILE_BYTES_MAX),
        }
    }

    fn set(&mut self, node: NodeId, bytes: Vec<u8>) {
        self.model.contents.insert(node.0, Some(Content::Bytes(bytes)));
    }
}

/// An edit without its content, for the log of a failure.
fn shown(edit: &Edit) -> String {
    match edit {
        Edit::Crowd(directory, names) => format!("create {} files in {directory}", names.len()),
        Edit::Clear(paths) => format!("remove {} files, first {:?}", paths.len(), paths.first()),
        edit => format!("{edit:?}"),
    }
}
