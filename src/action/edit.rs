//! Carries out a plan on a file system, and says what an independent reader must find afterwards.

use super::plan::{FileChange, Plan};
use crate::error::{Context, Error, Refusal, Result};
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::fs::verify::{Expectation, Expected, Owner};
use crate::fs::{
    FILE_BYTES_MAX, FileEdit, FileSystem, Metadata, MetadataChange, NewNode, NodeId, NodeKind,
};
use std::collections::BTreeMap;

/// Makes every change of `plan`, in order. After an error the file system must not be used any more.
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

/// What an independent reader must find at every path that `plan` names, computed from the state `before`.
///
/// Extended attributes are not in it; see [`check_xattrs`].
///
/// # Errors
/// As the file system, and as [`run`] where the plan does not fit it.
pub fn expectations(plan: &Plan, before: &dyn FileSystem) -> Result<Vec<Expectation>> {
    let mut states: BTreeMap<GuestPath, Expected> = BTreeMap::new();
    for change in &plan.changes {
        let path = change.path();
        let state = match states.remove(path) {
            Some(state) => state,
            None => state_before(change, before)?,
        };
        states.insert(path.clone(), state_after(state, change)?);
    }
    Ok(states.into_iter().map(|(path, state)| Expectation { path, state }).collect())
}

/// Checks that `after` carries every extended attribute that `plan` sets.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) if one differs; otherwise as the file system.
pub fn check_xattrs(plan: &Plan, after: &dyn FileSystem) -> Result<()> {
    for change in &plan.changes {
        let path = change.path();
        let expected: Vec<(&[u8], Option<&[u8]>)> = match change {
            FileChange::CreateFile { new, .. } | FileChange::CreateDirectory { new, .. } => {
                new.xattrs.iter().map(|x| (x.name.as_slice(), Some(x.value.as_slice()))).collect()
            }
            FileChange::SetXattr { name, value, .. } => vec![(name, value.as_deref())],
            _ => continue,
        };
        let node = existing(after, path)?;
        for (name, value) in expected {
            if after.xattr(node, name)?.as_deref() != value {
                let name = crate::bytes::text::escape_limited(name, 64);
                let detail = format!("{path}: the extended attribute {name} is not as planned");
                return Err(Refusal::NotVerified { detail }.into());
            }
        }
    }
    Ok(())
}

fn owner_of(new: &NewNode) -> Owner {
    Owner { uid: new.uid, gid: new.gid, mode: new.mode }
}

/// What is at the path of a change before any change.
fn state_before(change: &FileChange, before: &dyn FileSystem) -> Result<Expected> {
    let is_new =
        matches!(change, FileChange::CreateFile { .. } | FileChange::CreateDirectory { .. });
    if is_new {
        return Ok(Expected::Absent);
    }
    let node = existing(before, change.path())?;
    let Metadata { kind, mode, uid, gid, .. } = before.metadata(node)?;
    let owner = Owner { uid, gid, mode };
    match kind {
        NodeKind::File => Ok(Expected::File { content: before.read(node, FILE_BYTES_MAX)?, owner }),
        NodeKind::Directory => Ok(Expected::Directory { owner }),
        _ => Err(unfit(change)),
    }
}

/// The plan and the volume do not fit each other.
fn unfit(change: &FileChange) -> Error {
    let reason = format!("cannot be changed by {}", change.action_name());
    Refusal::UnsuitableFile { path: change.path().to_string(), reason }.into()
}

fn state_after(state: Expected, change: &FileChange) -> Result<Expected> {
    Ok(match (change, state) {
        (FileChange::CreateFile { new, content, .. }, Expected::Absent) => {
            Expected::File { content: content.clone(), owner: owner_of(new) }
        }
        (FileChange::CreateDirectory { new, .. }, Expected::Absent) => {
            Expected::Directory { owner: owner_of(new) }
        }
        (FileChange::Append { bytes, .. }, Expected::File { mut content, owner }) => {
            content.extend_from_slice(bytes);
            Expected::File { content, owner }
        }
        (FileChange::Replace { content, .. }, Expected::File { owner, .. }) => {
            Expected::File { content: content.clone(), owner }
        }
        (FileChange::SetMetadata { change, .. }, Expected::File { content, owner }) => {
            Expected::File { content, owner: changed(owner, change) }
        }
        (FileChange::SetMetadata { change, .. }, Expected::Directory { owner }) => {
            Expected::Directory { owner: changed(owner, change) }
        }
        (FileChange::SetXattr { .. }, state) => state,
        (FileChange::Remove { .. }, Expected::File { .. }) => Expected::Absent,
        _ => return Err(unfit(change)),
    })
}

fn changed(owner: Owner, change: &MetadataChange) -> Owner {
    Owner {
        uid: change.uid.unwrap_or(owner.uid),
        gid: change.gid.unwrap_or(owner.gid),
        mode: change.mode.unwrap_or(owner.mode),
    }
}
