//! Keys for the directory that other programs make the key file from: ~/.ssh/authorized_keys.d on Flatcar and Fedora
//! CoreOS (LOGIN-102, LOGIN-103). Where it exists, a key that is only in authorized_keys is gone after the next boot.

use super::draft::insert_line;
use super::key_add::KeyAddRequest;
use super::plan::{FileChange, Outcome, Plan};
use crate::error::{Context as _, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, NewNode, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::text::sorted_names;
use crate::login::authorized_keys::key_lines;
use crate::login::{Finding, Guest, PublicKey};

/// The directory, below a home.
const DIRECTORY: &str = ".ssh/authorized_keys.d";
/// The file of our own in it.
const OWN_FILE: &str = "regain";

/// The files of a user from which the key file is made: real paths, in the order of their names. Hidden ones do not
/// count.
///
/// # Errors
/// As the file system.
pub(super) fn files(guest: &Guest<'_>, user: &User) -> Result<Vec<GuestPath>> {
    let Some(directory) = directory(guest, user)? else { return Ok(Vec::new()) };
    let Some(found) = find(guest.fs, &directory)? else { return Ok(Vec::new()) };
    let names = sorted_names(guest.fs, found.node)?.into_iter();
    let names = names.filter(|name| !name.starts_with(b".")); // "." and ".." too
    Ok(names.map(|name| directory.join(name)).collect())
}

/// The real path of the directory, if there is one.
fn directory(guest: &Guest<'_>, user: &User) -> Result<Option<GuestPath>> {
    // What cannot be resolved feeds nothing.
    let Some(home) = guest.real_home(user).unwrap_or(None) else { return Ok(None) };
    let Ok(Some(found)) = find(guest.fs, &home.join(DIRECTORY)) else { return Ok(None) };
    let is_directory = guest.fs.metadata(found.node)?.kind == NodeKind::Directory;
    Ok(is_directory.then_some(found.real_path))
}

/// Adds to `plan` that the new keys of every user who gets them stand in the directory, too.
///
/// # Errors
/// As the file system.
pub(super) fn add(
    guest: &Guest<'_>,
    users: &[&User],
    request: &KeyAddRequest,
    plan: &mut Plan,
) -> Result<()> {
    for user in users {
        let gets_keys = plan.users.iter().any(|planned| {
            planned.name == user.name
                && matches!(planned.outcome, Outcome::Changes | Outcome::AlreadyPresent)
        });
        if let Some(directory) = directory(guest, user)?.filter(|_| gets_keys) {
            add_for(guest, user, &directory, request, plan)?;
        }
    }
    Ok(())
}

fn add_for(
    guest: &Guest<'_>,
    user: &User,
    directory: &GuestPath,
    request: &KeyAddRequest,
    plan: &mut Plan,
) -> Result<()> {
    let mut missing: Vec<&PublicKey> = request.keys.iter().collect();
    let own = directory.join(OWN_FILE);
    let mut before = None;
    for path in files(guest, user)? {
        let Some(found) = find(guest.fs, &path)? else { continue };
        if guest.fs.metadata(found.node)?.kind != NodeKind::File {
            continue;
        }
        let content = guest.fs.read(found.node, FILE_BYTES_MAX).context(|| path.to_string())?;
        missing.retain(|key| !key_lines(&content).any(|line| line.blob == key.blob()));
        if found.real_path == own {
            before = Some(content);
        }
    }
    // A file that is planned already holds the keys that it was planned for.
    let is_planned = plan.changes.iter().any(|change| *change.path() == own);
    if missing.is_empty() || is_planned || (before.is_none() && find(guest.fs, &own)?.is_some()) {
        return Ok(());
    }
    let mut content = before.clone().unwrap_or_default();
    let mut added = Vec::new();
    for key in missing {
        let end = content.len();
        insert_line(&mut content, end, &key.to_line(request.options.as_deref()))?;
        added.push(format!("adds {}", key.display_name()));
    }
    let detail = added.join("; ");
    let message = "authorized_keys is made from this directory, so the key goes into it, too";
    plan.findings.push(Finding::info(("writers", "LOGIN-102"), directory, message));
    plan.changes.push(if let Some(before) = before {
        let bytes = content.get(before.len()..).unwrap_or_default().to_vec();
        FileChange::Append { path: own, bytes, detail }
    } else {
        let near = find(guest.fs, directory)?.map(|found| found.node);
        let xattrs = guest.labels.for_new(guest.fs, &own, NodeKind::File, near)?;
        let (mode, uid, gid) = (0o600, user.uid, user.gid);
        let new = NewNode { mode, uid, gid, xattrs };
        let detail = format!("new, mode {mode:04o}, owner {uid}:{gid}; {detail}");
        FileChange::CreateFile { path: own, new, content, detail }
    });
    let changed = plan.users.iter_mut().filter(|planned| planned.name == user.name);
    changed.for_each(|planned| planned.outcome = Outcome::Changes);
    Ok(())
}
