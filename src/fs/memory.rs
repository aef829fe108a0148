//! A file system in memory: the double behind the tests of everything above [`FileSystem`].
//!
//! It has no format and no bounds of its own, and its builders never fail: a missing parent is
//! made, and a
//! component that is not a directory becomes one. Not handled: hard links, flags other than those
//! set with
//! [`MemoryTree::change`], space.

mod copy;

use super::path::GuestPath;
use super::{
    DirectoryEntry, FileEdit, FileSystem, Health, Identity, Metadata, MetadataChange, NewNode,
    NodeId, NodeKind, Subvolume, Timestamp, Xattr,
};
use crate::bytes::arith::{len_u64, to};
use crate::error::{Error, Refusal, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const ROOT: NodeId = NodeId(2);

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    Names(BTreeMap<Vec<u8>, NodeId>),
    None,
}

#[derive(Debug, Clone)]
struct Node {
    metadata: Metadata,
    content: Content,
    xattrs: Vec<Xattr>,
}

impl Node {
    fn new(kind: NodeKind, new: NewNode, content: Content, clock: Timestamp) -> Self {
        let size_bytes = match &content {
            Content::Bytes(bytes) => len_u64(bytes.len()),
            Content::Names(_) | Content::None => 0,
        };
        Self { metadata: new.metadata(kind, size_bytes, clock), content, xattrs: new.xattrs }
    }
}

/// A tree of nodes.
#[derive(Debug, Clone)]
pub struct MemoryTree {
    nodes: BTreeMap<NodeId, Node>,
    identity: Identity,
    clock: Timestamp,
    ignores_case: bool,
    subvolumes: Vec<Subvolume>,
}

impl Default for MemoryTree {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTree {
    /// An empty root directory, root:root 0755.
    pub fn new() -> Self {
        let new = NewNode { mode: 0o755, ..NewNode::default() };
        let clock = Timestamp::default();
        let root = Node::new(NodeKind::Directory, new, Content::Names(BTreeMap::new()), clock);
        let identity = Identity {
            type_name: "ext4",
            uuid: "3b28b8a8-9a3c-4c5e-8f2e-111111111111".to_owned(),
            label: b"root".to_vec(),
        };
        let nodes = BTreeMap::from([(ROOT, root)]);
        Self { nodes, identity, clock, ignores_case: false, subvolumes: Vec::new() }
    }

    /// The tree with another type, UUID and label.
    #[must_use]
    pub fn named(mut self, type_name: &'static str, uuid: &str, label: &str) -> Self {
        let (uuid, label) = (uuid.to_owned(), label.as_bytes().to_vec());
        self.identity = Identity { type_name, uuid, label };
        self
    }

    /// The tree with another time of every edit from now on.
    #[must_use]
    pub fn at(mut self, clock: Timestamp) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the directory at `path` a subvolume, if there is one.
    pub fn subvolume(&mut self, path: &str, id: u64, is_default: bool) -> &mut Self {
        if let Some(root) = self.node_at(path) {
            let path = GuestPath::new(path);
            let subvolume = Subvolume { id, path, root, is_read_only: false, is_default };
            self.subvolumes.push(subvolume);
        }
        self
    }

    /// The tree as it would be on NTFS: names are found whatever the case of their ASCII letters.
    #[must_use]
    pub fn into_ntfs(mut self) -> Self {
        self.identity.type_name = "ntfs";
        self.ignores_case = true;
        self
    }

    /// Puts a directory at `path`, owned by `uid` and the group of the same number.
    pub fn directory(&mut self, path: &str, uid: u32, mode: u32) -> &mut Self {
        self.put(path, NodeKind::Directory, uid, mode, Content::Names(BTreeMap::new()))
    }

    /// Puts a file at `path`, owned by `uid` and the group of the same number.
    pub fn file(&mut self, path: &str, uid: u32, mode: u32, content: &[u8]) -> &mut Self {
        self.put(path, NodeKind::File, uid, mode, Content::Bytes(content.to_vec()))
    }

    /// Puts a symbolic link at `path`.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, NodeKind::Symlink, 0, 0o777, Content::Bytes(target.as_bytes().to_vec()))
    }

    /// Puts a node without content at `path`, as in a named pipe.
    pub fn special(&mut self, path: &str, kind: NodeKind) -> &mut Self {
        self.put(path, kind, 0, 0o644, Content::None)
    }

    /// Changes the metadata of the node at `path`, if there is one. A size beyond the content reads
    /// as zeros.
    pub fn change(&mut self, path: &str, change: impl FnOnce(&mut Metadata)) -> &mut Self {
        if let Some(node) = self.node_at(path).and_then(|id| self.nodes.get_mut(&id)) {
            change(&mut node.metadata);
        }
        self
    }

    /// Sets an extended attribute of the node at `path`, if there is one.
    pub fn label(&mut self, path: &str, name: &str, value: &[u8]) -> &mut Self {
        if let Some(node) = self.node_at(path).and_then(|id| self.nodes.get_mut(&id)) {
            node.xattrs.retain(|xattr| xattr.name != name.as_bytes());
            node.xattrs.push(Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() });
        }
        self
    }

    /// The node at `path`, no link followed.
    pub fn node_at(&self, path: &str) -> Option<NodeId> {
        let mut node = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            node = self.child(node, part.as_bytes())?;
        }
        Some(node)
    }

    /// The content of the file at `path`, no link followed.
    pub fn content_at(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes.get(&self.node_at(path)?)?.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Names(_) | Content::None => None,
        }
    }

    fn put(
        &mut self,
        path: &str,
        kind: NodeKind,
        uid: u32,
        mode: u32,
        content: Content,
    ) -> &mut Self {
        let path = GuestPath::new(path);
        let mut directory = ROOT;
        let parent = path.parent().unwrap_or_else(GuestPath::root);
        for part in parent.as_bytes().split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            directory = self.directory_below(directory, part);
        }
        let new = NewNode { mode, uid, gid: uid, xattrs: Vec::new() };
        let node = Node::new(kind, new, content, self.clock);
        match (path.parent(), self.child(directory, path.file_name())) {
            (None, _) => _ = self.nodes.insert(ROOT, node),
            (Some(_), Some(old)) if kind == NodeKind::Directory => {
                if let Some(old) = self.nodes.get_mut(&old) {
                    old.metadata = node.metadata;
                }
            }
            (Some(_), _) => {
                let stored = self.names(directory).ok();
                let stored = stored.and_then(|names| self.entry(names, path.file_name()));
                let name = stored.map_or_else(|| path.file_name().to_vec(), |(name, _)| name);
                self.insert(directory, &name, node);
            }
        }
        self
    }

    fn directory_below(&mut self, directory: NodeId, name: &[u8]) -> NodeId {
        if let Some(child) = self.child(directory, name)
            && self.names(child).is_ok()
        {
            return child;
        }
        let new = NewNode { mode: 0o755, ..NewNode::default() };
        let content = Content::Names(BTreeMap::new());
        self.insert(directory, name, Node::new(NodeKind::Directory, new, content, self.clock))
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let (_, node) = self.entry(self.names(directory).ok()?, name)?;
        Some(node)
    }

    /// The name as it is stored, and its node.
    fn entry(&self, names: &BTreeMap<Vec<u8>, NodeId>, name: &[u8]) -> Option<(Vec<u8>, NodeId)> {
        let found = if self.ignores_case {
            names.iter().find(|(stored, _)| stored.eq_ignore_ascii_case(name))
        } else {
            names.get_key_value(name)
        };
        found.map(|(stored, &node)| (stored.clone(), node))
    }

    fn insert(&mut self, directory: NodeId, name: &[u8], node: Node) -> NodeId {
        let last = self.nodes.keys().next_back().map_or(ROOT.0, |id| id.0);
        let id = NodeId(last.saturating_add(1));
        self.nodes.insert(id, node);
        if let Some(Node { content: Content::Names(names), .. }) = self.nodes.get_mut(&directory) {
            names.insert(name.to_vec(), id);
        }
        id
    }

    fn node(&self, id: NodeId) -> Result<&Node> {
        self.nodes.get(&id).ok_or_else(|| Error::not_found(format!("node {}", id.0)))
    }

    fn node_mut(&mut self, id: NodeId) -> Result<&mut Node> {
        let clock = self.clock;
        let node = self.nodes.get_mut(&id);
        let node = node.ok_or_else(|| Error::not_found(format!("node {}", id.0)))?;
        node.metadata.changed = clock;
        Ok(node)
    }

    fn names(&self, directory: NodeId) -> Result<&BTreeMap<Vec<u8>, NodeId>> {
        match &self.node(directory)?.content {
            Content::Names(names) => Ok(names),
            Content::Bytes(_) | Content::None => Err(unsuitable(directory, "is not a directory")),
        }
    }

    fn refuse_existing(&self, directory: NodeId, name: &[u8]) -> Result<()> {
        if self.entry(self.names(directory)?, name).is_some() {
            return Err(unsuitable(directory, "has that name already"));
        }
        Ok(())
    }
}

fn unsuitable(node: NodeId, reason: &str) -> Error {
    Refusal::UnsuitableFile { path: format!("node {}", node.0), reason: reason.to_owned() }.into()
}

impl FileSystem for MemoryTree {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn health(&self) -> Health {
        Health::Clean
    }

    fn check_writable(&self) -> Result<()> {
        Ok(())
    }

    fn root(&self) -> NodeId {
        ROOT
    }

    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        Ok(self.subvolumes.clone())
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        Ok(self.entry(self.names(directory)?, name).map(|(_, node)| node))
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for (name, &node) in self.names(directory)? {
            if visit(DirectoryEntry { name: name.clone(), node })?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.node(node).map(|node| node.metadata)
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        let found = self.node(node)?;
        let Content::Bytes(content) = &found.content else {
            return Err(unsuitable(node, "is not a regular file"));
        };
        let left = found.metadata.size_bytes.saturating_sub(offset_bytes);
        let wanted = len_u64(len).min(left);
        let start = to::<u64, usize>(offset_bytes)?.min(content.len());
        let mut bytes = content.get(start..).unwrap_or_default().to_vec();
        bytes.resize(to(wanted)?, 0);
        Ok(bytes)
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        match &self.node(node)?.content {
            Content::Bytes(target) => Ok(target.clone()),
            Content::Names(_) | Content::None => Err(unsuitable(node, "is not a link")),
        }
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        let mut xattrs = self.node(node)?.xattrs.clone();
        // As NTFS: every node has one, and it is given only to those who ask for it.
        xattrs.retain(|xattr| !(self.ignores_case && xattr.name == super::NTFS_ACL_NAME));
        Ok(xattrs)
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let xattrs = &self.node(node)?.xattrs;
        Ok(xattrs.iter().find(|xattr| xattr.name == name).map(|xattr| xattr.value.clone()))
    }
}

impl FileEdit for MemoryTree {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let mut content = self.read(node, super::FILE_BYTES_MAX)?;
        content.extend_from_slice(bytes);
        self.replace(node, &content)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let clock = self.clock;
        let found = self.node_mut(node)?;
        if found.metadata.kind != NodeKind::File {
            return Err(unsuitable(node, "is not a regular file"));
        }
        found.metadata.size_bytes = len_u64(content.len());
        found.metadata.modified = clock;
        found.content = Content::Bytes(content.to_vec());
        Ok(())
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.refuse_existing(directory, name)?;
        let content = Content::Bytes(content.to_vec());
        let node = Node::new(NodeKind::File, new.clone(), content, self.clock);
        Ok(self.insert(directory, name, node))
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.refuse_existing(directory, name)?;
        let content = Content::Names(BTreeMap::new());
        let node = Node::new(NodeKind::Directory, new.clone(), content, self.clock);
        Ok(self.insert(directory, name, node))
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let found = self.entry(self.names(directory)?, name);
        let (name, child) = found.ok_or_else(|| Error::not_found("name to remove"))?;
        if self.names(child).is_ok() {
            return Err(unsuitable(child, "is a directory"));
        }
        if let Content::Names(names) = &mut self.node_mut(directory)?.content {
            names.remove(&name);
        }
        self.nodes.remove(&child);
        Ok(())
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        let metadata = &mut self.node_mut(node)?.metadata;
        metadata.mode = change.mode.unwrap_or(metadata.mode);
        metadata.uid = change.uid.unwrap_or(metadata.uid);
        metadata.gid = change.gid.unwrap_or(metadata.gid);
        metadata.accessed = change.accessed.unwrap_or(metadata.accessed);
        metadata.modified = change.modified.unwrap_or(metadata.modified);
        Ok(())
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        let xattrs = &mut self.node_mut(node)?.xattrs;
        xattrs.retain(|xattr| xattr.name != name);
        if let Some(value) = value {
            xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
        }
        Ok(())
    }
}
