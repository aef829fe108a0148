//! What must be true of a volume after a plan, as questions for the readers that verify it.

use crate::action::edit::{Expected, ExpectedNode};
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::verify::{self, Expectation, Owner};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NodeId, NodeKind};

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
        let mut found = after.xattrs(node_at(after, path)?)?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if found != node.xattrs {
            let detail = format!("{path}: the extended attributes differ");
            return Err(Refusal::NotVerified { detail }.into());
        }
    }
    Ok(())
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
