//! What is tried on a damaged volume: everything is read, and edits of all kinds are made.
//!
//! This file serves the black-box tests and the fuzz targets.

use regain::error::Result;
use regain::fs::path::{self, GuestPath};
use regain::fs::{FileEdit, FileSystem, NewNode, NodeId, NodeKind, Timestamp, Xattr};
use std::ops::ControlFlow;

/// Nodes that are asked for everything they have.
const NODES_MAX: usize = 300;

/// The clock of the edits.
pub const CLOCK: Timestamp = Timestamp { seconds: 1_800_000_000, nanoseconds: 0 };

/// The content of the new files.
pub const LINE: &[u8] = b"ssh-ed25519 AAAA a line that is appended\n";

/// The file that is there when every edit was made.
pub const NEW_FILE: &str = "/etc/new/file";

const LABEL: &[u8] = b"system_u:object_r:ssh_home_t:s0\0";

/// Where a volume has what is edited beside `/etc` and the key file.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// A directory of many names.
    pub many: &'static str,
    /// One of its names, which is removed.
    pub one_of_many: &'static [u8],
    /// A file of many blocks.
    pub large: &'static str,
}

/// Those of `fixtures/fuzz`.
pub const EXT: Places =
    Places { many: "/many", one_of_many: b"a-rather-long-file-name-9", large: "/home/large" };

/// Those of `fixtures/xfs`.
pub const XFS: Places =
    Places { many: "/data/leaf", one_of_many: b"9-a-rather-long-name", large: "/data/forms/large" };

/// Asks at most [`NODES_MAX`] nodes for everything they have.
pub fn walk(fs: &dyn FileSystem, places: &Places) {
    let mut nodes = vec![fs.root()];
    let mut next = 0;
    while let Some(&node) = nodes.get(next) {
        next += 1;
        visit(fs, node, places, &mut nodes);
    }
}

fn visit(fs: &dyn FileSystem, node: NodeId, places: &Places, nodes: &mut Vec<NodeId>) {
    let Ok(metadata) = fs.metadata(node) else { return };
    let _ = fs.xattrs(node);
    match metadata.kind {
        NodeKind::File => drop(fs.read_at(node, 0, metadata.size_bytes.min(1 << 20) as usize)),
        NodeKind::Symlink => drop(fs.read_link(node)),
        NodeKind::Directory => {
            let _ = fs.lookup(node, places.one_of_many);
            let _ = fs.read_dir(node, &mut |entry| {
                if nodes.len() < NODES_MAX && !nodes.contains(&entry.node) {
                    nodes.push(entry.node);
                }
                Ok(ControlFlow::Continue(()))
            });
        }
        _ => {}
    }
}

/// Edits of all kinds.
///
/// # Errors
/// Those of the edits.
pub fn edit(fs: &mut dyn FileEdit, places: &Places) -> Result<()> {
    fs.check_writable()?;
    let find =
        |fs: &dyn FileEdit, path: &str| path::find(fs.as_file_system(), &GuestPath::new(path));
    if let Some(keys) = find(fs, "/home/admin/.ssh/authorized_keys")? {
        fs.append(keys.node, LINE)?;
    }
    let Some(etc) = find(fs, "/etc")? else { return Ok(()) };
    let label = Xattr { name: b"security.selinux".to_vec(), value: LABEL.to_vec() };
    let new = NewNode { mode: 0o700, uid: 1000, gid: 1000, xattrs: vec![label] };
    let directory = fs.create_directory(etc.node, b"new", &new)?;
    fs.create_file(directory, b"file", &new, LINE)?;
    if let Some(many) = find(fs, places.many)? {
        fs.remove(many.node, places.one_of_many)?;
        for number in 0..8 {
            fs.create_file(many.node, format!("new-{number}").as_bytes(), &new, LINE)?;
        }
    }
    if let Some(large) = find(fs, places.large)? {
        fs.replace(large.node, LINE)?;
    }
    Ok(())
}
