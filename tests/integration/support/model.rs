//! What a volume should hold after some edits: maps, and nothing of a file system.

use super::digest;
use super::rng::Rng;
use super::tree::Tree;
use regain::error::Result;
use regain::fs::{FILE_BYTES_MAX, FileSystem, MetadataChange, NewNode, NodeId, NodeKind};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Names of a directory that are all looked up, and behind them one in so many.
const LOOKED_UP_ALL: usize = 50;
const LOOKED_UP_EVERY: usize = 16;

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelNode {
    kind: NodeKind,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Of a file or link.
    content: Vec<u8>,
    /// The size of a file that is larger than what may be read; its content is not looked at.
    huge_bytes: Option<u64>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a directory.
    names: BTreeMap<Vec<u8>, NodeId>,
}

/// A whole volume.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Model {
    nodes: BTreeMap<NodeId, ModelNode>,
    root: NodeId,
}

impl std::fmt::Debug for Model {
    /// Short enough for the message of a failed comparison: contents as digests.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (node, it) in &self.nodes {
            let (len, digest) = (it.content.len(), digest::of_bytes(&it.content));
            let names: Vec<_> =
                it.names.iter().map(|(n, i)| (String::from_utf8_lossy(n), i.0)).collect();
            let xattrs: Vec<_> = it
                .xattrs
                .iter()
                .map(|(n, v)| (String::from_utf8_lossy(n), v.len(), digest::of_bytes(v)))
                .collect();
            writeln!(
                f,
                "{} {:?} {:o} {}:{} {len} {} {xattrs:?} {names:?}",
                node.0,
                it.kind,
                it.mode,
                it.uid,
                it.gid,
                &digest[..8]
            )?;
        }
        Ok(())
    }
}

/// A random element.
pub(crate) fn pick(rng: &mut Rng, nodes: &[NodeId]) -> NodeId {
    nodes[rng.index(nodes.len())]
}

impl Model {
    /// Everything that `fs` shows.
    pub(crate) fn read(fs: &dyn FileSystem) -> Result<Self> {
        let root = fs.root();
        let mut model = Self { nodes: BTreeMap::new(), root };
        let mut waiting = vec![root];
        while let Some(id) = waiting.pop() {
            if model.nodes.contains_key(&id) {
                continue;
            }
            let node = read_node(fs, id)?;
            waiting.extend(node.names.values());
            model.nodes.insert(id, node);
        }
        Ok(model)
    }

    /// Fails unless an outside reader sees the same paths, kinds, modes, owners and contents.
    pub(crate) fn assert_equals(&self, tree: &Tree, what: &str) {
        let mut seen = 0;
        let mut waiting = vec![(String::new(), self.root)];
        while let Some((path, id)) = waiting.pop() {
            let node = &self.nodes[&id];
            let shown = if path.is_empty() { "/" } else { &path };
            let fields = tree.0.get(shown);
            let fields = fields.unwrap_or_else(|| panic!("{what}: {shown} is missing outside"));
            node.assert_equals(fields, &format!("{what}: {shown}"));
            assert_eq!(fields["inode"], id.0.to_string(), "{what}: {shown}");
            seen += 1;
            for (name, below) in &node.names {
                waiting.push((format!("{path}/{}", String::from_utf8_lossy(name)), *below));
            }
        }
        assert_eq!(seen, tree.0.len(), "{what}: more paths outside");
    }

    /// Every regular file that is not special to the file system.
    pub(crate) fn files(&self) -> Vec<NodeId> {
        let mut files = self.of_kind(NodeKind::File);
        files.retain(|file| self.nodes[file].huge_bytes.is_none());
        files
    }

    /// Every directory.
    pub(crate) fn directories(&self) -> Vec<NodeId> {
        self.of_kind(NodeKind::Directory)
    }

    /// Every name of a file or link.
    pub(crate) fn removable(&self) -> Vec<(NodeId, Vec<u8>)> {
        let is_removable =
            |id: &NodeId| matches!(self.nodes[id].kind, NodeKind::File | NodeKind::Symlink);
        let mut names = Vec::new();
        for (directory, node) in &self.nodes {
            let those = node.names.iter().filter(|(_, below)| is_removable(below));
            names.extend(those.map(|(name, _)| (*directory, name.clone())));
        }
        names
    }

    /// The attributes of a node.
    pub(crate) fn xattr_names(&self, node: NodeId) -> Vec<Vec<u8>> {
        self.nodes[&node].xattrs.keys().cloned().collect()
    }

    /// As [`regain::fs::FileEdit::append`].
    pub(crate) fn append(&mut self, node: NodeId, bytes: &[u8]) {
        self.node(node).content.extend_from_slice(bytes);
    }

    /// As [`regain::fs::FileEdit::replace`].
    pub(crate) fn replace(&mut self, node: NodeId, content: &[u8]) {
        self.node(node).content = content.to_vec();
    }

    /// As [`regain::fs::FileEdit::create_file`], or `create_directory` without content.
    pub(crate) fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
        new: &NewNode,
        content: Option<&[u8]>,
    ) {
        let kind = if content.is_some() { NodeKind::File } else { NodeKind::Directory };
        let xattrs = new.xattrs.iter().map(|x| (x.name.clone(), x.value.clone())).collect();
        let content = content.unwrap_or_default().to_vec();
        let names = BTreeMap::new();
        let (mode, uid, gid) = (new.mode, new.uid, new.gid);
        let made = ModelNode { kind, mode, uid, gid, content, huge_bytes: None, xattrs, names };
        assert!(self.nodes.insert(node, made).is_none(), "{node:?} was in use already");
        self.node(directory).names.insert(name.to_vec(), node);
    }

    /// As [`regain::fs::FileEdit::remove`].
    pub(crate) fn remove(&mut self, directory: NodeId, name: &[u8]) {
        let node = self.node(directory).names.remove(name).unwrap();
        let is_named = self.nodes.values().any(|other| other.names.values().any(|id| *id == node));
        if !is_named {
            self.nodes.remove(&node);
        }
    }

    /// As [`regain::fs::FileEdit::set_metadata`], without the times.
    pub(crate) fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) {
        let node = self.node(node);
        node.mode = change.mode.unwrap_or(node.mode);
        node.uid = change.uid.unwrap_or(node.uid);
        node.gid = change.gid.unwrap_or(node.gid);
    }

    /// As [`regain::fs::FileEdit::set_xattr`].
    pub(crate) fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) {
        let xattrs = &mut self.node(node).xattrs;
        match value {
            Some(value) => xattrs.insert(name.to_vec(), value.to_vec()),
            None => xattrs.remove(name),
        };
    }

    fn node(&mut self, node: NodeId) -> &mut ModelNode {
        self.nodes.get_mut(&node).unwrap()
    }

    fn of_kind(&self, kind: NodeKind) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.kind == kind).map(|(id, _)| *id).collect()
    }
}

fn read_node(fs: &dyn FileSystem, id: NodeId) -> Result<ModelNode> {
    let metadata = fs.metadata(id)?;
    let mut names = BTreeMap::new();
    let is_huge = metadata.kind == NodeKind::File && metadata.size_bytes > FILE_BYTES_MAX;
    let huge_bytes = is_huge.then_some(metadata.size_bytes);
    let content = match metadata.kind {
        NodeKind::File if is_huge => Vec::new(),
        NodeKind::File => fs.read(id, FILE_BYTES_MAX)?,
        NodeKind::Symlink => fs.read_link(id)?,
        _ => Vec::new(),
    };
    if metadata.kind == NodeKind::Directory {
        fs.read_dir(id, &mut |entry| {
            // Of a crowd, a sample: looking up is dear where nothing is optimised.
            if names.len() < LOOKED_UP_ALL || names.len() % LOOKED_UP_EVERY == 0 {
                assert_eq!(fs.lookup(id, &entry.name)?, Some(entry.node), "{id:?} {entry:?}");
            }
            assert!(names.insert(entry.name, entry.node).is_none(), "{id:?}: a name twice");
            Ok(ControlFlow::Continue(()))
        })?;
    }
    // Access control lists follow the mode by rules of their own.
    let xattrs = fs.xattrs(id)?.into_iter().filter(|xattr| !xattr.name.starts_with(b"system."));
    let xattrs = xattrs.map(|xattr| (xattr.name, xattr.value)).collect();
    let (kind, mode, uid, gid) = (metadata.kind, metadata.mode, metadata.uid, metadata.gid);
    Ok(ModelNode { kind, mode, uid, gid, content, huge_bytes, xattrs, names })
}

impl ModelNode {
    fn assert_equals(&self, fields: &BTreeMap<String, String>, what: &str) {
        let kind = match self.kind {
            NodeKind::File => "regular",
            NodeKind::Directory => "directory",
            NodeKind::Symlink => "symlink",
            NodeKind::Fifo => "FIFO",
            NodeKind::CharDevice => "character",
            NodeKind::BlockDevice => "block",
            NodeKind::Socket => "socket",
        };
        assert_eq!(fields["type"], kind, "{what}");
        let mode = u32::from_str_radix(&fields["mode"], 8).unwrap();
        assert_eq!(mode, self.mode, "{what}: mode");
        // debugfs prints owners as signed numbers.
        let number = |key: &str| fields[key].parse::<i64>().unwrap() as u32;
        assert_eq!((number("uid"), number("gid")), (self.uid, self.gid), "{what}: owner");
        if let Some(content) = fields.get("content") {
            assert_eq!(*content, digest::of_bytes(&self.content), "{what}: content");
        }
        if let Some(target) = fields.get("target") {
            assert_eq!(target.trim_matches('"').as_bytes(), self.content, "{what}: target");
        }
        let names: Vec<String> = self
            .xattrs
            .keys()
            .map(|name| format!("xattr {}", String::from_utf8_lossy(name)))
            .collect();
        let outside: Vec<&String> = fields.keys().filter(|key| key.starts_with("xattr ")).collect();
        assert_eq!(outside, names.iter().collect::<Vec<_>>(), "{what}: extended attributes");
    }
}
