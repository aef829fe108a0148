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
mod file_system;
mod layer;
mod mount_points;
mod nodes;
mod on_disk;
mod records;
#[cfg(test)]
mod tests;

use super::path::GuestPath;
use super::{Missing, MountPoint, NodeId, NodeKind, Timestamp};
use crate::bytes::text::escape;
use crate::error::Result;
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::stat::{Kind, Time};
use layer::Layer;
use mount_points::{mount_points, mount_warnings};
use nodes::Nodes;
use std::rc::Rc;

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

    /// The name as it is stored, and the node, edits included.
    fn find(&self, directory: NodeId, name: &[u8]) -> Result<Option<(Vec<u8>, NodeId)>> {
        if let Some(named) = self.layer.named(directory, name, self.is_ntfs()) {
            return Ok(named);
        }
        self.lookup_on_disk(directory, name)
    }
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
