//! Random sequences of edits on a volume, against a plain model.

use super::model::{self, Model};
use super::rng::Rng;
use regain::disk::overlay::{Change, Overlay};
use regain::disk::{Disk, DiskEdit};
use regain::error::{ErrorKind, Result};
use regain::fs::{FileEdit, MetadataChange, NewNode, NodeId, Timestamp, Xattr};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Edits in one sequence.
const EDITS_MAX: u64 = 15;

/// The clock of every edit.
pub(crate) const CLOCK: Timestamp = Timestamp { seconds: 1_750_000_000, nanoseconds: 5 };

/// How a volume is opened for editing.
pub(crate) type Opener = fn(Arc<dyn DiskEdit>) -> Box<dyn FileEdit>;

/// The number in a variable of the environment.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Writes one side of `changes` to `file`.
pub(crate) fn store(file: &File, changes: &[Change], bytes: impl Fn(&Change) -> &Vec<u8>) {
    for change in changes {
        file.write_all_at(bytes(change), change.offset_bytes).unwrap();
    }
}

/// One random sequence on its own overlay.
pub(crate) struct Sequence<'a> {
    what: &'a str,
    rng: Rng,
    open: Opener,
    /// The volume below the edits, and the edits.
    pub(crate) overlay: Arc<Overlay>,
    /// The volume as it is now.
    pub(crate) fs: Box<dyn FileEdit>,
    /// What it should hold.
    pub(crate) model: Model,
    /// What was tried.
    pub(crate) log: Vec<String>,
    /// Number of edits that were made.
    pub(crate) done: u64,
    /// Number of edits that were refused.
    pub(crate) refused: u64,
}

/// What one edit is, chosen before it is made.
#[derive(Debug, Clone)]
enum Edit {
    Append(NodeId, Vec<u8>),
    Replace(NodeId, Vec<u8>),
    CreateFile(NodeId, Vec<u8>, NewNode, Vec<u8>),
    CreateDirectory(NodeId, Vec<u8>, NewNode),
    Remove(NodeId, Vec<u8>),
    SetMetadata(NodeId, MetadataChange),
    SetXattr(NodeId, Vec<u8>, Option<Vec<u8>>),
}

impl<'a> Sequence<'a> {
    /// Starts on the volume `base`, which holds what `model` says.
    pub(crate) fn new(
        open: Opener,
        base: Arc<dyn Disk>,
        model: &Model,
        seed: u64,
        what: &'a str,
    ) -> Self {
        let overlay = Arc::new(Overlay::new(base));
        let fs = open(overlay.clone());
        let (model, rng, log) = (model.clone(), Rng::new(seed), Vec::new());
        Self { what, rng, open, overlay, fs, model, log, done: 0, refused: 0 }
    }

    /// Makes some edits; what is refused is taken back.
    pub(crate) fn run(&mut self) {
        for _ in 0..5 + self.rng.below(EDITS_MAX - 4) {
            let edit = self.choose();
            let savepoint = self.overlay.savepoint();
            self.log.push(shown(&edit));
            match self.make(&edit) {
                Ok(()) => self.done += 1,
                Err(error) => {
                    let is_refusal = matches!(error.kind(), ErrorKind::Refused(_));
                    assert!(is_refusal, "{}: {error}: {:#?}", self.what, self.log);
                    self.log.push(format!("  {error}"));
                    self.refused += 1;
                    self.overlay.roll_back(savepoint);
                    self.fs = (self.open)(self.overlay.clone());
                }
            }
        }
    }

    fn choose(&mut self) -> Edit {
        let file = model::pick(&mut self.rng, &self.model.files());
        let directory = model::pick(&mut self.rng, &self.model.directories());
        match self.rng.below(20) {
            0..=3 => Edit::Append(file, self.content()),
            4..=6 => Edit::Replace(file, self.content()),
            7..=10 => Edit::CreateFile(directory, self.name(), self.new_node(), self.content()),
            11..=12 => Edit::CreateDirectory(directory, self.name(), self.new_node()),
            13..=15 => {
                let names = self.model.removable();
                let (directory, name) = names[self.rng.index(names.len())].clone();
                Edit::Remove(directory, name)
            }
            16..=17 => Edit::SetMetadata(self.any(file, directory), self.metadata_change()),
            _ => {
                let node = self.any(file, directory);
                let name = self.xattr_name(node);
                let value = self.xattr_value();
                Edit::SetXattr(node, name, value)
            }
        }
    }

    fn any(&mut self, file: NodeId, directory: NodeId) -> NodeId {
        if self.rng.below(3) == 0 { directory } else { file }
    }

    fn content(&mut self) -> Vec<u8> {
        let limit = [1, 100, 1024, 5000, 5000, 30_000][self.rng.index(6)];
        let len = self.rng.below(limit + 1) as usize;
        self.rng.bytes(len)
    }

    fn name(&mut self) -> Vec<u8> {
        let len = [3, 8, 30, 120, 255][self.rng.index(5)];
        (0..len).map(|_| b"abcdefghijklmnopqrstuvwxyz.-_0123456789"[self.rng.index(39)]).collect()
    }

    fn new_node(&mut self) -> NewNode {
        let uid = [0, 1000, 65_536, 4_000_000_000][self.rng.index(4)];
        let mut xattrs = Vec::new();
        if self.rng.below(3) == 0 {
            let value = self.rng.bytes(35);
            xattrs.push(Xattr { name: b"security.selinux".to_vec(), value });
        }
        NewNode { mode: self.rng.below(0o10000) as u32, uid, gid: uid / 2, xattrs }
    }

    fn metadata_change(&mut self) -> MetadataChange {
        let mut change = MetadataChange::default();
        if self.rng.below(2) == 0 {
            change.mode = Some(self.rng.below(0o10000) as u32);
        }
        if self.rng.below(2) == 0 {
            change.uid = Some(self.rng.below(100_000) as u32);
            change.gid = Some(self.rng.below(100_000) as u32);
        }
        if self.rng.below(4) == 0 {
            let seconds = self.rng.below(3_000_000_000) as i64 - 500_000_000;
            change.modified = Some(Timestamp { seconds, nanoseconds: 0 });
        }
        change
    }

    fn xattr_name(&mut self, node: NodeId) -> Vec<u8> {
        let known = self.model.xattr_names(node);
        if !known.is_empty() && self.rng.below(2) == 0 {
            return known[self.rng.index(known.len())].clone();
        }
        [b"security.selinux".as_slice(), b"user.a", b"user.longer-name", b"trusted.b"]
            [self.rng.index(4)]
        .to_vec()
    }

    fn xattr_value(&mut self) -> Option<Vec<u8>> {
        let limit = [1, 40, 40, 300, 900][self.rng.index(5)];
        let len = self.rng.below(limit + 1) as usize;
        (self.rng.below(4) > 0).then(|| self.rng.bytes(len))
    }

    fn make(&mut self, edit: &Edit) -> Result<()> {
        let (fs, model) = (&mut self.fs, &mut self.model);
        match edit {
            Edit::Append(node, bytes) => {
                fs.append(*node, bytes)?;
                model.append(*node, bytes);
            }
            Edit::Replace(node, content) => {
                fs.replace(*node, content)?;
                model.replace(*node, content);
            }
            Edit::CreateFile(directory, name, new, content) => {
                let node = fs.create_file(*directory, name, new, content)?;
                model.create(*directory, name, node, new, Some(content));
            }
            Edit::CreateDirectory(directory, name, new) => {
                let node = fs.create_directory(*directory, name, new)?;
                model.create(*directory, name, node, new, None);
            }
            Edit::Remove(directory, name) => {
                fs.remove(*directory, name)?;
                model.remove(*directory, name);
            }
            Edit::SetMetadata(node, change) => {
                fs.set_metadata(*node, change)?;
                model.set_metadata(*node, change);
            }
            Edit::SetXattr(node, name, value) => {
                fs.set_xattr(*node, name, value.as_deref())?;
                model.set_xattr(*node, name, value.as_deref());
            }
        }
        Ok(())
    }
}

/// An edit without its content, for the log of a failure.
fn shown(edit: &Edit) -> String {
    match edit {
        Edit::Append(node, bytes) => format!("append {} bytes to {node:?}", bytes.len()),
        Edit::Replace(node, content) => format!("replace {node:?} by {} bytes", content.len()),
        Edit::CreateFile(directory, name, new, content) => format!(
            "create file of {} bytes in {directory:?}, {} bytes of name, {} xattrs, mode {:o}",
            content.len(),
            name.len(),
            new.xattrs.len(),
            new.mode
        ),
        Edit::CreateDirectory(directory, name, new) => {
            format!("create directory in {directory:?}, {} bytes of name, {new:?}", name.len())
        }
        Edit::Remove(directory, name) => {
            format!("remove {} in {directory:?}", String::from_utf8_lossy(name))
        }
        Edit::SetMetadata(node, change) => format!("{node:?}: {change:?}"),
        Edit::SetXattr(node, name, value) => {
            let name = String::from_utf8_lossy(name);
            format!("{node:?}: {name} = {:?} bytes", value.as_ref().map(Vec::len))
        }
    }
}
