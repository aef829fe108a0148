//! A mounted root directory as a file system.
//!
//! Reading goes through [`Directory`], which reaches every object name by name from one handle and
//! can lead nowhere else. Edits are collected in memory ([`layer`]) and read back through it, so that everything above
//! sees the edited tree while nothing of it is written; [`Tree::records`] gives what changed, object by object,
//! with both sides. Writing them is the work of `patch::files`.
//!
//! | question | answer here |
//! |---|---|
//! | node numbers | counted as objects are met; an object is its mount, device and inode number |
//! | open files | at most 64 handles; one that was closed is opened again by its name, and must be the same object |
//! | sub-mounts | see [`mounts`](crate::image::directory::mounts) |
//! | a file that somebody changes meanwhile | `Mismatch`, when it is read again or edited |
//! | a file with several names | not edited: the others may lie outside the target |
//! | NTFS | names without case; owner and mode as our own NTFS reader gives them; content is changed in place, so that security descriptor, times of creation and streams stay |
//! | file systems of servers and programs | read, not edited; ntfs-3g is edited |
//!
//! The times of access of what is read are left alone where the kernel allows that (`O_NOATIME`).

mod edit;
mod layer;
mod nodes;
mod records;
#[cfg(test)]
mod tests;

use super::path::GuestPath;
use super::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, Missing, MountPoint, NTFS_ACL_NAME,
    NodeFlags, NodeId, NodeKind, Timestamp, Xattr,
};
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::mounts::Standing;
use crate::image::directory::stat::{Kind, Stat, Time};
use layer::Layer;
use nodes::{Nodes, ROOT};
use std::ops::ControlFlow;
use std::rc::Rc;

/// Bound on the target of a symbolic link in bytes.
const LINK_BYTES_MAX: usize = 4096;

/// What every object on NTFS may be used for, as our own NTFS reader has it.
const NTFS_MODE: u32 = 0o777;

/// The types whose names are those of the JSON contract; others are called `directory`.
const TYPE_NAMES: [&str; 12] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs",
    "xfs", "zfs",
];

/// A directory, and the edits that were made of it in memory.
#[derive(Debug)]
pub struct Tree {
    directory: Rc<Directory>,
    nodes: Rc<Nodes>,
    layer: Layer,
    clock: Timestamp,
    warnings: Vec<String>,
    mount_points: Vec<MountPoint>,
}

impl Tree {
    /// The tree below `directory`; `clock` is the time of every edit.
    pub fn new(directory: Rc<Directory>, clock: Timestamp) -> Self {
        let nodes = Rc::new(Nodes::new(directory.root()));
        let warnings = mount_warnings(&directory);
        let mount_points = mount_points(&directory);
        Self { directory, nodes, layer: Layer::default(), clock, warnings, mount_points }
    }

    /// The same tree without edits. It remembers what was read through this one: a file that somebody else has changed
    /// since is a `Mismatch` there, too.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            directory: self.directory.clone(),
            nodes: self.nodes.clone(),
            layer: Layer::default(),
            clock: self.clock,
            warnings: self.warnings.clone(),
            mount_points: self.mount_points.clone(),
        }
    }

    /// Notes that the file system that belongs on `path` is not mounted there, unless one is.
    pub fn leave_out(&mut self, path: &GuestPath, why: Missing) {
        if self.mount_points.iter().all(|point| point.path != *path) {
            self.mount_points.push(MountPoint { path: path.clone(), missing: Some(why) });
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Rc<Directory> {
        &self.directory
    }

    fn is_ntfs(&self) -> bool {
        self.directory.ntfs_acl_name().is_some()
    }

    /// A handle of a node that is on the disk.
    fn handle(&self, node: NodeId) -> Result<Rc<Handle>> {
        self.nodes.handle(&self.directory, node)
    }

    /// The path of `node` for people.
    fn path(&self, node: NodeId) -> String {
        escape(&self.path_bytes(node))
    }

    fn path_bytes(&self, node: NodeId) -> Vec<u8> {
        let Some((directory, name)) = self.layer.place_of_new(node) else {
            return self.nodes.path_bytes(node);
        };
        GuestPath::new(self.path_bytes(directory)).join(name).as_bytes().to_vec()
    }

    /// The node on the disk with `name` in `directory`, whatever was edited, and the name as it is stored.
    fn lookup_on_disk(&self, directory: NodeId, name: &[u8]) -> Result<Option<(Vec<u8>, NodeId)>> {
        if self.layer.is_new(directory) {
            return Ok(None);
        }
        let handle = self.handle(directory)?;
        let below = || GuestPath::new(self.path_bytes(directory)).join(name).to_string();
        if let Some(child) = self.directory.child(&handle, name).context(below)? {
            return Ok(Some((name.to_vec(), self.nodes.intern(directory, name, child)?)));
        }
        if !self.is_ntfs() || handle.stat.kind != Kind::Directory {
            return Ok(None);
        }
        let mut stored = None;
        self.directory.names(&handle, &mut |other| {
            if is_same_name(other, name) {
                stored = Some(other.to_vec());
            }
            Ok(stored.is_none())
        })?;
        let Some(stored) = stored else { return Ok(None) };
        let Some(child) = self.directory.child(&handle, &stored).context(below)? else {
            return Ok(None);
        };
        let node = self.nodes.intern(directory, &stored, child)?;
        Ok(Some((stored, node)))
    }

    /// The name as it is stored, and the node, edits included.
    fn find(&self, directory: NodeId, name: &[u8]) -> Result<Option<(Vec<u8>, NodeId)>> {
        if let Some(named) = self.layer.named(directory, name, self.is_ntfs()) {
            return Ok(named);
        }
        self.lookup_on_disk(directory, name)
    }

    fn metadata_on_disk(&self, node: NodeId) -> Result<Metadata> {
        let stat = self.handle(node)?.stat_now().context(|| self.path(node))?;
        Ok(self.metadata_of(&stat))
    }

    fn metadata_of(&self, stat: &Stat) -> Metadata {
        let is_ntfs = self.is_ntfs();
        Metadata {
            kind: node_kind(stat.kind),
            mode: if is_ntfs { NTFS_MODE } else { stat.mode },
            uid: if is_ntfs { 0 } else { stat.uid },
            gid: if is_ntfs { 0 } else { stat.gid },
            size_bytes: stat.size_bytes,
            link_count: stat.link_count,
            accessed: timestamp(stat.accessed),
            modified: timestamp(stat.modified),
            changed: timestamp(stat.changed),
            flags: NodeFlags {
                is_immutable: stat.is_immutable,
                is_append_only: stat.is_append_only,
                is_encrypted: stat.is_encrypted,
                is_casefolded: false,
                is_verity: stat.is_verity,
            },
        }
    }

    /// The content on the disk.
    fn read_on_disk(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let handle = self.handle(node)?;
        if handle.stat.kind != Kind::File {
            let reason = format!("is a {}, not a regular file", node_kind(handle.stat.kind));
            return Err(Refusal::UnsuitableFile { path: self.path(node), reason }.into());
        }
        self.check_entered(&handle, node)?;
        let read = || {
            self.nodes.check_unchanged(node, &handle.stat_now()?)?;
            handle.read_at(offset_bytes, len)
        };
        read().context(|| self.path(node))
    }

    /// Refuses files on mounts that are not entered.
    fn check_entered(&self, handle: &Handle, node: NodeId) -> Result<()> {
        let Some(reason) = handle.standing.reason() else { return Ok(()) };
        let (path, reason) = (self.path(node), format!("is on {reason}: not entered"));
        Err(Refusal::UnsuitableFile { path, reason }.into())
    }

    fn xattrs_on_disk(&self, node: NodeId) -> Result<Vec<Xattr>> {
        let handle = self.handle(node)?;
        let mut xattrs = Vec::new();
        let mut collect = || -> Result<()> {
            for name in handle.xattr_names()? {
                if !(self.is_ntfs() && name.starts_with(b"system.")) {
                    let value = handle.xattr(&name)?;
                    xattrs.extend(value.map(|value| Xattr { name, value }));
                }
            }
            Ok(())
        };
        collect().context(|| self.path(node))?;
        Ok(xattrs)
    }

    fn xattr_on_disk(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let name = match self.directory.ntfs_acl_name() {
            Some(host_name) if name == NTFS_ACL_NAME => host_name.as_bytes(),
            // ntfs-3g has lists of Unix too, made from the descriptor.
            Some(_) if name.starts_with(b"system.") => return Ok(None),
            _ => name,
        };
        self.handle(node)?.xattr(name).context(|| self.path(node))
    }
}

/// One sentence for each mount that is not entered, and one for all that are empty on the disk.
fn mount_warnings(directory: &Directory) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut empty = Vec::new();
    for (path, standing) in directory.mounts_below() {
        let path = escape(&path);
        match standing {
            Standing::Inside => {}
            Standing::Empty(_) => empty.push(path),
            Standing::Barred(reason) => warnings.push(format!("{path} is not entered: {reason}")),
        }
    }
    empty.sort();
    empty.dedup();
    if !empty.is_empty() {
        let all = empty.join(", ");
        warnings.push(format!("taken as empty, because its content is not on the disk: {all}"));
    }
    warnings
}

/// The mounts below the target that are entered, and those that are not and hide something.
fn mount_points(directory: &Directory) -> Vec<MountPoint> {
    let point = |(path, standing): (Vec<u8>, Standing)| {
        let missing = match standing {
            Standing::Inside => None,
            Standing::Empty(_) => return None,
            Standing::Barred(reason) => Some(Missing {
                reason: format!("what is mounted there now is {reason}"),
                remedy: "unmount that, and mount the file system of the guest there".to_owned(),
            }),
        };
        Some(MountPoint { path: GuestPath::new(path), missing })
    };
    directory.mounts_below().into_iter().filter_map(point).collect()
}

fn is_same_name(a: &[u8], b: &[u8]) -> bool {
    match (std::str::from_utf8(a), std::str::from_utf8(b)) {
        (Ok(a), Ok(b)) => {
            a.chars().flat_map(char::to_uppercase).eq(b.chars().flat_map(char::to_uppercase))
        }
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn node_kind(kind: Kind) -> NodeKind {
    match kind {
        Kind::File => NodeKind::File,
        Kind::Directory => NodeKind::Directory,
        Kind::Symlink => NodeKind::Symlink,
        Kind::Fifo => NodeKind::Fifo,
        Kind::CharDevice => NodeKind::CharDevice,
        Kind::BlockDevice => NodeKind::BlockDevice,
        Kind::Socket => NodeKind::Socket,
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn time(timestamp: Timestamp) -> Time {
    Time { seconds: timestamp.seconds, nanoseconds: timestamp.nanoseconds }
}

impl FileSystem for Tree {
    fn identity(&self) -> Identity {
        let found = self.directory.type_name();
        let known = TYPE_NAMES.into_iter().find(|name| *name == found);
        let type_name = if self.is_ntfs() { "ntfs" } else { known.unwrap_or("directory") };
        let uuid = self.directory.uuid().unwrap_or_default();
        Identity { type_name, uuid, label: Vec::new() }
    }

    fn health(&self) -> Health {
        Health::Clean
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn check_writable(&self) -> Result<()> {
        self.directory.check_writable()
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn mount_points(&self) -> &[MountPoint] {
        &self.mount_points
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        Ok(self.find(directory, name)?.map(|(_, node)| node))
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for (name, node) in self.layer.new_names(directory) {
            if visit(DirectoryEntry { name, node })?.is_break() {
                return Ok(());
            }
        }
        if self.layer.is_new(directory) {
            return Ok(());
        }
        let handle = self.handle(directory)?;
        let mut visit_name = |name: &[u8]| {
            if self.layer.named(directory, name, self.is_ntfs()).is_some() {
                return Ok(true);
            }
            // Gone in between: it is not there.
            let Some(child) = self.directory.child(&handle, name)? else { return Ok(true) };
            let node = self.nodes.intern(directory, name, child)?;
            Ok(visit(DirectoryEntry { name: name.to_vec(), node })?.is_continue())
        };
        self.directory.names(&handle, &mut visit_name).context(|| self.path(directory))
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        match self.layer.draft(node) {
            Some(draft) => Ok(draft.metadata),
            None => self.metadata_on_disk(node),
        }
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        match self.layer.draft(node) {
            Some(draft) => draft.read_at(offset_bytes, len, &|offset_bytes, len| {
                self.read_on_disk(node, offset_bytes, len)
            }),
            None => self.read_on_disk(node, offset_bytes, len),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        let handle = self.handle(node)?;
        if handle.stat.kind != Kind::Symlink {
            let reason = format!("is a {}, not a symbolic link", node_kind(handle.stat.kind));
            return Err(Refusal::UnsuitableFile { path: self.path(node), reason }.into());
        }
        let mut target = handle.link_target().context(|| self.path(node))?;
        if target.len() > LINK_BYTES_MAX {
            let actual = crate::bytes::arith::len_u64(target.len());
            return Err(Error::limit("length of a symbolic link in bytes", 4096, actual));
        }
        if self.is_ntfs() {
            // ntfs-3g gives the targets of junctions as paths of the host.
            target = self.directory.inside(target);
        }
        Ok(target)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        match self.layer.draft(node) {
            Some(draft) => {
                let mut xattrs = draft.xattrs.clone();
                xattrs.retain(|xattr| xattr.name != NTFS_ACL_NAME);
                Ok(xattrs)
            }
            None => self.xattrs_on_disk(node),
        }
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(draft) = self.layer.draft(node)
            && let Some(xattr) = draft.xattrs.iter().find(|xattr| xattr.name == name)
        {
            return Ok(Some(xattr.value.clone()));
        }
        if self.layer.is_new(node) || (self.layer.draft(node).is_some() && name != NTFS_ACL_NAME) {
            return Ok(None);
        }
        self.xattr_on_disk(node, name)
    }
}
