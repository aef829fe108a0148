//! The way from the root directory to a key file: every directory that is passed, also on the way to and from
//! symbolic links, because the kernel asks for permission in each of them (path_resolution(7); LOGIN-49).

use super::ChainNode;
use crate::error::Result;
use crate::fs::path::{GuestPath, LINKS_MAX, PATH_BYTES_MAX, Resolution, Resolved, resolve};
use crate::fs::{FileSystem, NodeKind};
use std::collections::BTreeSet;

/// What lies on the way to a path.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// The nodes of the real path from the root down, as far as they exist.
    pub chain: Vec<ChainNode>,
    /// True if the last of them is what the path leads to.
    pub is_found: bool,
    /// Directories that are passed only because a link leads through them.
    pub detours: Vec<ChainNode>,
}

impl Way {
    /// Walks to `path` with all links.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn to(fs: &dyn FileSystem, path: &GuestPath) -> Result<Self> {
        let (last, is_found) = match resolve(fs, path, true)? {
            Resolution::Found(found) => (found, true),
            Resolution::Missing { parent, .. } => (parent, false),
        };
        let chain = nodes(fs, last)?;
        let mut seen: BTreeSet<GuestPath> = chain.iter().map(|node| node.path.clone()).collect();
        let mut detours = Vec::new();
        let mut walks = vec![path.clone()];
        let mut links = 0u32;
        while let Some(path) = walks.pop() {
            for prefix in prefixes(&path) {
                let Resolution::Found(found) = resolve(fs, &prefix, false)? else { break };
                let kind = fs.metadata(found.node)?.kind;
                if kind == NodeKind::Symlink && links < LINKS_MAX {
                    links = links.saturating_add(1);
                    let target = fs.read_link(found.node)?;
                    let from = found.real_path.parent().unwrap_or_else(GuestPath::root);
                    let is_absolute = target.starts_with(b"/");
                    walks.push(if is_absolute {
                        GuestPath::new(target)
                    } else {
                        from.join(target)
                    });
                }
                for node in nodes(fs, found)? {
                    let is_directory = node.metadata.kind == NodeKind::Directory;
                    if is_directory && seen.insert(node.path.clone()) {
                        detours.push(node);
                    }
                }
            }
        }
        Ok(Self { chain, is_found, detours })
    }
}

/// `/a`, `/a/b`, ... of `/a/b/...`, the path itself included.
fn prefixes(path: &GuestPath) -> impl Iterator<Item = GuestPath> {
    let mut prefix = GuestPath::root();
    let bytes = path.as_bytes().get(..PATH_BYTES_MAX).unwrap_or(path.as_bytes());
    let parts = bytes.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
    parts.map(move |part| {
        prefix = prefix.join(part);
        prefix.clone()
    })
}

fn nodes(fs: &dyn FileSystem, last: Resolved) -> Result<Vec<ChainNode>> {
    let Resolved { node, real_path, parents } = last;
    let nodes = parents.into_iter().chain(std::iter::once((real_path, node)));
    let with_metadata = |(path, node)| {
        let metadata = fs.metadata(node)?;
        Ok(ChainNode { path, node, metadata })
    };
    nodes.map(with_metadata).collect()
}
