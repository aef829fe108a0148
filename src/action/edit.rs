//! Carries out a plan on a file system, and says what an independent reader must find afterwards.

use super::plan::{FileChange, Plan};
use crate::bytes::{arith, field};
use crate::error::{Context, Error, Refusal, Result};
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::fs::{
    FILE_BYTES_MAX, FileEdit, FileSystem, Metadata, NewNode, NodeId, NodeKind, Xattr, acl,
};
use std::collections::BTreeMap;

/// Size in bytes of a file that is still compared as a whole after bytes were appended to it: registry hives
/// are larger.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;

/// Makes every change of `plan`, in order. After an error the file system must not be used any
/// more.
///
/// # Errors
/// `Refused` if the volume is not as it was when the plan was made; otherwise as [`FileEdit`].
pub fn run(plan: &Plan, fs: &mut dyn FileEdit) -> Result<()> {
    for change in &plan.changes {
        run_one(change, fs).context(|| format!("{} {}", change.action_name(), change.path()))?;
    }
    Ok(())
}

fn run_one(change: &FileChange, fs: &mut dyn FileEdit) -> Result<()> {
    let path = change.path();
    match change {
        FileChange::Append { bytes, .. } => fs.append(existing(fs.as_file_system(), path)?, bytes),
        FileChange::Replace { content, .. } => {
            fs.replace(existing(fs.as_file_system(), path)?, content)
        }
        FileChange::Overwrite { offset_bytes, bytes, .. } => {
            fs.overwrite(existing(fs.as_file_system(), path)?, *offset_bytes, bytes)
        }
        FileChange::CreateFile { new, content, .. } => {
            let directory = parent(fs.as_file_system(), path)?;
            fs.create_file(directory, path.file_name(), new, content).map(drop)
        }
        FileChange::CreateDirectory { new, .. } => {
            let directory = parent(fs.as_file_system(), path)?;
            fs.create_directory(directory, path.file_name(), new).map(drop)
        }
        FileChange::SetMetadata { change, .. } => {
            fs.set_metadata(existing(fs.as_file_system(), path)?, change)
        }
        FileChange::SetXattr { name, value, .. } => {
            fs.set_xattr(existing(fs.as_file_system(), path)?, name, value.as_deref())
        }
        FileChange::Remove { .. } => {
            let directory = parent(fs.as_file_system(), path)?;
            fs.remove(directory, path.file_name())
        }
    }
}

/// The node at a real path. A link there means that the volume is not the one of the plan.
fn existing(fs: &dyn FileSystem, path: &GuestPath) -> Result<NodeId> {
    match resolve(fs, path, false)? {
        Resolution::Found(found) if found.real_path == *path => Ok(found.node),
        Resolution::Found(_) => {
            let reason = "leads through a link now".to_owned();
            Err(Refusal::UnsuitableFile { path: path.to_string(), reason }.into())
        }
        Resolution::Missing { .. } => Err(Error::not_found(path.to_string())),
    }
}

fn parent(fs: &dyn FileSystem, path: &GuestPath) -> Result<NodeId> {
    existing(fs, &path.parent().unwrap_or_else(GuestPath::root))
}

/// What must be at a path after the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Real path.
    pub path: GuestPath,
    /// The node; `None` if there must be nothing.
    pub node: Option<ExpectedNode>,
}

/// A node as it must be after the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedNode {
    /// Kind.
    pub kind: NodeKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content of a regular file; `None` for anything else and for a file whose content does not
    /// change.
    pub content: Option<Vec<u8>>,
    /// Pieces of a content that is not known as a whole: where each starts in bytes, and its bytes. They
    /// may overlap, and then the later one counts.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// Size of a content that is not known as a whole and was appended to.
    pub grown_bytes: Option<u64>,
    /// All extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
}

impl ExpectedNode {
    /// A new node; `default_acl` is the list that its directory passes on.
    fn of_new(
        kind: NodeKind,
        new: &NewNode,
        content: Option<Vec<u8>>,
        default_acl: Option<&[u8]>,
    ) -> Result<Self> {
        let NewNode { mode, uid, gid, xattrs } = new;
        let (mode, uid, gid) = (*mode, *uid, *gid);
        let inherited = default_acl.map(|list| acl::inherited(list, kind, mode)).transpose()?;
        let xattrs = acl::join(xattrs, inherited.unwrap_or_default());
        Ok(Self { kind, mode, uid, gid, content, pieces: Vec::new(), grown_bytes: None, xattrs })
    }

    fn of_existing(fs: &dyn FileSystem, path: &GuestPath) -> Result<Self> {
        let node = existing(fs, path)?;
        let Metadata { kind, mode, uid, gid, .. } = fs.metadata(node)?;
        let (content, pieces, grown_bytes) = (None, Vec::new(), None);
        let xattrs = fs.xattrs(node)?;
        Ok(Self { kind, mode, uid, gid, content, pieces, grown_bytes, xattrs })
    }
}

/// What an independent reader must find at every path that `plan` names, computed from the state
/// `before`.
///
/// # Errors
/// As the file system, and as [`run`] where the plan does not fit it.
pub fn expectations(plan: &Plan, before: &dyn FileSystem) -> Result<Vec<Expected>> {
    let mut nodes: BTreeMap<GuestPath, Option<ExpectedNode>> = BTreeMap::new();
    for change in &plan.changes {
        let path = change.path();
        let expected = match change {
            FileChange::CreateFile { new, content, .. } => {
                let list = default_acl(&nodes, before, path)?;
                let content = Some(content.clone());
                Some(ExpectedNode::of_new(NodeKind::File, new, content, list.as_deref())?)
            }
            FileChange::CreateDirectory { new, .. } => {
                let list = default_acl(&nodes, before, path)?;
                Some(ExpectedNode::of_new(NodeKind::Directory, new, None, list.as_deref())?)
            }
            FileChange::Remove { .. } => None,
            _ => {
                let known = nodes.get(path).cloned().flatten();
                let mut node = match known {
                    Some(node) => node,
                    None => ExpectedNode::of_existing(before, path)?,
                };
                change_expected(&mut node, change, before)?;
                Some(node)
            }
        };
        nodes.insert(path.clone(), expected);
    }
    let sorted = |(path, mut node): (GuestPath, Option<ExpectedNode>)| {
        if let Some(node) = &mut node {
            node.xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Expected { path, node }
    };
    Ok(nodes.into_iter().map(sorted).collect())
}

/// The list that the directory of `path` passes on, whether it is there or only planned.
fn default_acl(
    planned: &BTreeMap<GuestPath, Option<ExpectedNode>>,
    before: &dyn FileSystem,
    path: &GuestPath,
) -> Result<Option<Vec<u8>>> {
    let directory = path.parent().unwrap_or_else(GuestPath::root);
    if let Some(Some(node)) = planned.get(&directory) {
        let list = node.xattrs.iter().find(|xattr| xattr.name == acl::DEFAULT_NAME);
        return Ok(list.map(|xattr| xattr.value.clone()));
    }
    before.xattr(existing(before, &directory)?, acl::DEFAULT_NAME)
}

/// The content of an existing file with `pieces` written over it.
fn whole_content(
    pieces: Vec<(u64, Vec<u8>)>,
    before: &dyn FileSystem,
    path: &GuestPath,
) -> Result<Vec<u8>> {
    let mut content = before.read(existing(before, path)?, FILE_BYTES_MAX)?;
    for (offset_bytes, bytes) in pieces {
        field::put(&mut content, arith::to(offset_bytes)?, &bytes)?;
    }
    Ok(content)
}

fn change_expected(
    node: &mut ExpectedNode,
    change: &FileChange,
    before: &dyn FileSystem,
) -> Result<()> {
    match change {
        FileChange::Append { path, bytes, .. } => {
            let size_bytes = before.metadata(existing(before, path)?)?.size_bytes;
            if node.content.is_none() && size_bytes > WHOLE_BYTES_MAX {
                let end_bytes = node.grown_bytes.unwrap_or(size_bytes);
                node.grown_bytes = Some(arith::add(end_bytes, arith::len_u64(bytes.len()))?);
                node.pieces.push((end_bytes, bytes.clone()));
                return Ok(());
            }
            let mut content = match node.content.take() {
                Some(content) => content,
                None => whole_content(std::mem::take(&mut node.pieces), before, path)?,
            };
            content.extend_from_slice(bytes);
            node.content = Some(content);
        }
        FileChange::Replace { content, .. } => node.content = Some(content.clone()),
        FileChange::Overwrite { offset_bytes, bytes, .. } => match &mut node.content {
            Some(content) => field::put(content, arith::to(*offset_bytes)?, bytes)?,
            None => node.pieces.push((*offset_bytes, bytes.clone())),
        },
        FileChange::SetMetadata { change, .. } => {
            node.mode = change.mode.unwrap_or(node.mode);
            let is_list = |xattr: &Xattr| xattr.name == acl::ACCESS_NAME;
            if let (Some(mode), Some(at)) = (change.mode, node.xattrs.iter().position(is_list)) {
                let list = node.xattrs.remove(at);
                let value = acl::with_mode(&list.value, mode)?;
                node.xattrs.extend(value.map(|value| Xattr { value, ..list }));
            }
            node.uid = change.uid.unwrap_or(node.uid);
            node.gid = change.gid.unwrap_or(node.gid);
        }
        FileChange::SetXattr { name, value, .. } => {
            node.xattrs.retain(|xattr| xattr.name != *name);
            let set =
                value.as_ref().map(|value| Xattr { name: name.clone(), value: value.clone() });
            node.xattrs.extend(set);
        }
        FileChange::CreateFile { .. }
        | FileChange::CreateDirectory { .. }
        | FileChange::Remove { .. } => {}
    }
    Ok(())
}
