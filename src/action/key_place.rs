//! Where a new key line goes: the target file of a user, and what must be made on the way
//! (LOGIN-118,
//! LOGIN-129 to LOGIN-132).

use super::draft::{Draft, Trial};
use super::fix_login;
use crate::error::{Refusal, Result};
use crate::fs::path::{GuestPath, Resolution, Resolved, find, resolve};
use crate::fs::{NewNode, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::fstab::is_below;
use crate::login::finding::Finding;
use crate::login::key_files::KeyFile;
use crate::login::{Guest, UserLogin};

/// The target of one user.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// Real path of the file; `None` if there is no place for a key.
    pub(super) path: Option<GuestPath>,
    /// How the file is made if it is missing.
    pub(super) new_file: NewNode,
    /// Directories to make, from the top.
    directories: Vec<(GuestPath, NewNode)>,
    /// What speaks against the place.
    pub(super) findings: Vec<Finding>,
}

impl Place {
    /// Makes the missing directories.
    pub(super) fn create_directories(&self, draft: &mut Trial<'_>) {
        for (path, new) in &self.directories {
            draft.own.directory(path.clone(), new.clone());
        }
    }
}

/// Finds the target: the first file that only this user's keys are in (LOGIN-118, LOGIN-36).
///
/// # Errors
/// `Refused` if the path leads to something that is no key file; otherwise as the file system.
pub(super) fn find_place(
    guest: &Guest<'_>,
    user: &User,
    login: &UserLogin,
    fix: bool,
    draft: &Draft,
) -> Result<Place> {
    let mut place = Place::default();
    let Some(file) = login.files.iter().find(|file| !file.is_shared) else {
        if let Some(shared) = login.files.first() {
            let message = "every user's keys are in this one file; a key there would be for all";
            let id = ("conf-keyfile", "LOGIN-36");
            place.findings.push(Finding::block(id, &shared.path, message));
        } else if !login.findings.iter().any(Finding::is_blocking) {
            let message = "sshd reads no key file for this user";
            let id = ("conf-keyfile", "LOGIN-32");
            place.findings.push(Finding::block(id, user.display_name(), message));
        }
        return Ok(place);
    };
    let home = home(guest, user, file, fix, draft, &mut place)?;
    let fs = guest.fs;
    match resolve(fs, &file.path, true)? {
        Resolution::Found(found) => {
            let kind = fs.metadata(found.node)?.kind;
            if kind != NodeKind::File {
                return Err(unsuitable(&found.real_path, &format!("is a {kind}, not a key file")));
            }
            place.path = Some(found.real_path);
        }
        Resolution::Missing { parent, missing, dangling_link } => {
            if let Some(link) = dangling_link
                && find(fs, &link)?.is_none()
            {
                let Resolution::Found(found) = resolve(fs, &link, false)? else {
                    return Err(unsuitable(&link, "is a link that cannot be read"));
                };
                let target = GuestPath::new(fs.read_link(found.node)?);
                return Err(unsuitable(&link, &format!("is a link to {target}, which is missing")));
            }
            missing_nodes(guest, user, &parent, &missing, home.as_ref(), &mut place)?;
        }
    }
    Ok(place)
}

fn unsuitable(path: &GuestPath, reason: &str) -> crate::error::Error {
    Refusal::UnsuitableFile { path: path.to_string(), reason: reason.to_owned() }.into()
}

/// The real path of the home, existing or to be made (LOGIN-131).
fn home(
    guest: &Guest<'_>,
    user: &User,
    file: &KeyFile,
    fix: bool,
    draft: &Draft,
    place: &mut Place,
) -> Result<Option<GuestPath>> {
    if let Some(home) = guest.real_home(user)? {
        return Ok(Some(home));
    }
    let Some(home) = &user.home else { return Ok(None) };
    if !is_below(&file.path, home) {
        return Ok(None);
    }
    let Resolution::Missing { parent, missing, .. } = resolve(guest.fs, home, true)? else {
        return Err(unsuitable(home, "is the home directory in passwd, but no directory"));
    };
    let [name] = missing.as_slice() else {
        return Err(unsuitable(home, "and the directory above it are missing"));
    };
    let real = parent.real_path.join(name);
    if draft.makes_directory(&real) {
        return Ok(Some(real));
    }
    let id = ("home-missing", "LOGIN-131");
    let mut finding = Finding::block(id, &real, "the home directory is missing");
    if fix {
        fix_login::repaired(&mut finding, "it is made, empty");
    } else {
        fix_login::offer(&mut finding, "it is made, empty");
    }
    place.findings.push(finding);
    Ok(Some(real))
}

/// Plans the missing directories and the file itself.
fn missing_nodes(
    guest: &Guest<'_>,
    user: &User,
    parent: &Resolved,
    missing: &[Vec<u8>],
    home: Option<&GuestPath>,
    place: &mut Place,
) -> Result<()> {
    let mut path = parent.real_path.clone();
    let last = missing.len().saturating_sub(1);
    for (index, name) in missing.iter().enumerate() {
        path = path.join(name);
        let is_file = index == last;
        let is_own = home.is_some_and(|home| is_below(&path, home));
        let (uid, gid) = if is_own || is_file { (user.uid, user.gid) } else { (0, 0) };
        let mode = match (is_file, is_own) {
            (true, _) => 0o600,
            (false, true) => 0o700,
            (false, false) => 0o755,
        };
        let kind = if is_file { NodeKind::File } else { NodeKind::Directory };
        let xattrs = guest.labels.for_new(guest.fs, &path, kind, Some(parent.node))?;
        let new = NewNode { mode, uid, gid, xattrs };
        if guest.labels.are_needed() && new.xattrs.is_empty() {
            let message = "no SELinux label is known for it; it may be unreadable for sshd";
            place.findings.push(Finding::warn(("selinux-file", "LOGIN-92"), &path, message));
        }
        if is_file {
            place.path = Some(path.clone());
            place.new_file = new;
        } else {
            place.directories.push((path.clone(), new));
        }
    }
    Ok(())
}
