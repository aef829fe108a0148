//! What must be true of a volume after a plan, as questions for the readers that verify it.

use crate::action::edit::{Expected, ExpectedNode};
use crate::bytes::arith;
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::verify::{self, Expectation, Owner};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NodeId, NodeKind, Xattr};
use std::collections::BTreeMap;

/// Everything a plan promises about files and directories. `before` gives the content of files whose content
/// does not change.
///
/// # Errors
/// As the file system; `Refused` for a node that is neither a file nor a directory.
pub(super) fn questions(
    promised: &[Expected],
    before: &dyn FileSystem,
) -> Result<Vec<Expectation>> {
    let question = |expected: &Expected| {
        let path = expected.path.clone();
        let state = match &expected.node {
            None => verify::Expected::Absent,
            Some(node) => state(&path, node, before)?,
        };
        Ok(Expectation { path, state })
    };
    promised.iter().map(question).collect()
}

/// Checks the extended attributes, which the independent reader cannot see, on `after`.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if they differ; as the file system.
pub(super) fn check_xattrs(promised: &[Expected], after: &dyn FileSystem) -> Result<()> {
    for Expected { path, node } in promised {
        let Some(node) = node else { continue };
        let id = node_at(after, path)?;
        let mut found = after.xattrs(id)?;
        // Some file systems hold attributes that they do not list.
        for promised in &node.xattrs {
            if !found.iter().any(|xattr| xattr.name == promised.name)
                && let Some(value) = after.xattr(id, &promised.name)?
            {
                found.push(Xattr { name: promised.name.clone(), value });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if found != node.xattrs {
            let detail = format!("{path}: the extended attributes differ");
            return Err(Refusal::NotVerified { detail }.into());
        }
    }
    Ok(())
}

/// Pieces, later ones over earlier ones, as pieces that do not overlap.
fn without_overlap(pieces: &[(u64, Vec<u8>)]) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut bytes: BTreeMap<u64, u8> = BTreeMap::new();
    for (offset_bytes, piece) in pieces {
        for (index, &byte) in piece.iter().enumerate() {
            bytes.insert(arith::add(*offset_bytes, arith::len_u64(index))?, byte);
        }
    }
    let mut joined: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, byte) in bytes {
        match joined.last_mut() {
            Some((start, piece)) if start.checked_add(arith::len_u64(piece.len())) == Some(at) => {
                piece.push(byte);
            }
            _ => joined.push((at, vec![byte])),
        }
    }
    Ok(joined)
}

fn state(
    path: &GuestPath,
    node: &ExpectedNode,
    before: &dyn FileSystem,
) -> Result<verify::Expected> {
    let owner = Owner { uid: node.uid, gid: node.gid, mode: node.mode };
    match (node.kind, &node.content) {
        (NodeKind::Directory, _) => Ok(verify::Expected::Directory { owner }),
        (NodeKind::File, Some(content)) => {
            Ok(verify::Expected::File { content: content.clone(), owner })
        }
        (NodeKind::File, None) if !node.pieces.is_empty() => {
            let size_bytes = before.metadata(node_at(before, path)?)?.size_bytes;
            let size_bytes = node.grown_bytes.unwrap_or(size_bytes);
            let pieces = without_overlap(&node.pieces)?;
            Ok(verify::Expected::Pieces { size_bytes, pieces, owner })
        }
        (NodeKind::File, None) => {
            let content = before.read(node_at(before, path)?, FILE_BYTES_MAX)?;
            Ok(verify::Expected::File { content, owner })
        }
        (kind, _) => {
            let reason = format!("is a {kind}, which cannot be verified");
            Err(Refusal::UnsuitableFile { path: path.to_string(), reason }.into())
        }
    }
}

fn node_at(fs: &dyn FileSystem, path: &GuestPath) -> Result<NodeId> {
    let found = find(fs, path)?;
    found.map(|found| found.node).ok_or_else(|| Error::not_found(path.to_string()))
}
