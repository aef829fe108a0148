//! A tree in memory that is the copy of another one.

use super::{Content, MemoryTree, Node, ROOT};
use crate::error::Result;
use crate::fs::{DirectoryEntry, FILE_BYTES_MAX, FileSystem, NewNode, NodeKind};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

impl MemoryTree {
    /// Everything in `fs`, but for second names of files, flags and subvolumes.
    ///
    /// # Errors
    /// As `fs`.
    pub fn copy_of(fs: &dyn FileSystem) -> Result<Self> {
        let mut copy = Self { identity: fs.identity(), ..Self::new() };
        let mut rest = vec![(fs.root(), ROOT)];
        while let Some((from, to)) = rest.pop() {
            let metadata = fs.metadata(from)?;
            let content = match metadata.kind {
                NodeKind::Directory => Content::Names(BTreeMap::new()),
                NodeKind::File => Content::Bytes(fs.read(from, FILE_BYTES_MAX)?),
                NodeKind::Symlink => Content::Bytes(fs.read_link(from)?),
                _ => Content::None,
            };
            copy.nodes.insert(to, Node { metadata, content, xattrs: fs.xattrs(from)? });
            if metadata.kind != NodeKind::Directory {
                continue;
            }
            let mut visit = |entry: DirectoryEntry| {
                let place =
                    Node::new(NodeKind::File, NewNode::default(), Content::None, copy.clock);
                rest.push((entry.node, copy.insert(to, &entry.name, place)));
                Ok(ControlFlow::Continue(()))
            };
            fs.read_dir(from, &mut visit)?;
        }
        Ok(copy)
    }
}
