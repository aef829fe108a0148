//! StrictModes, and whether the user can open the file at all (LOGIN-49 to LOGIN-56).
//!
//! [`examine`] asks everything about a path that sshd opens. Owners and modes are tested on the real path, the
//! permission to pass on every directory of the way, access control lists included ([`crate::fs::acl`]).
//! Not handled: Linux capabilities of anybody but uid 0, and security modules other than SELinux.

mod way;

pub use way::Way;

use super::Guest;
use super::finding::Finding;
use crate::error::{ErrorKind, Refusal, Result};
use crate::fs::acl::{ACCESS_NAME, Caller, named_groups, permits};
use crate::fs::path::GuestPath;
use crate::fs::{Metadata, MetadataChange, NodeId, NodeKind};
use crate::guest::linux::User;
use crate::guest::linux::fstab::is_below;

/// A node on the way to the key file, by its real path.
#[derive(Debug, Clone)]
pub struct ChainNode {
    /// Real path.
    pub path: GuestPath,
    /// The node.
    pub node: NodeId,
    /// Its metadata, or those that it will have.
    pub metadata: Metadata,
}

/// A reason against the key file, with the change that would remove it, if `--fix` may make it
/// (LOGIN-140,
/// LOGIN-141).
#[derive(Debug, Clone)]
pub struct Problem {
    /// The finding.
    pub finding: Finding,
    /// Node, change and what it does.
    pub repair: Option<(GuestPath, MetadataChange)>,
}

/// Tests the file that sshd opens as `path`, links and all, or the way to it as far as it exists.
///
/// # Errors
/// As [`Way::to`].
pub fn examine(
    guest: &Guest<'_>,
    user: &User,
    path: &GuestPath,
    is_strict: bool,
) -> Result<Vec<Problem>> {
    let way = Way::to(guest.fs, path)?;
    let mut found = problems(guest, user, &way.chain, is_strict)?;
    let home = home(guest, user)?;
    for node in &way.detours {
        found.extend(readable(guest, user, node, is_own(home.as_ref(), node)));
    }
    if let Some(file) = way.chain.last().filter(|_| way.is_found)
        && file.metadata.kind != NodeKind::File
    {
        let message =
            format!("it is a {}: sshd reads keys from regular files only", file.metadata.kind);
        let finding = Finding::block(("readable", "LOGIN-50"), &file.path, message);
        found.push(Problem { finding, repair: None });
    }
    Ok(found)
}

/// Tests a chain from the root directory down to the key file, or to the deepest part of it that
/// exists.
///
/// # Errors
/// As the file system.
pub fn problems(
    guest: &Guest<'_>,
    user: &User,
    chain: &[ChainNode],
    is_strict: bool,
) -> Result<Vec<Problem>> {
    let home = home(guest, user)?;
    let mut problems = Vec::new();
    // sshd goes up from the file and stops at the home, which it meets only if the file lies below it.
    let last = chain.last().map_or_else(GuestPath::root, |node| node.path.clone());
    let is_directory = chain.last().is_some_and(|node| node.metadata.kind == NodeKind::Directory);
    let meets = |home: &&GuestPath| is_below(&last, home) && (is_directory || last != **home);
    let stop = home.as_ref().filter(meets);
    for node in chain {
        // Damaged attributes deny everything; that a check is needed says more than that.
        guest.fs.xattr(node.node, ACCESS_NAME)?;
        let is_own = is_own(home.as_ref(), node);
        let is_tested = stop.is_none_or(|stop| is_below(&node.path, stop));
        if is_strict && is_tested {
            problems.extend(owner(user, node, is_own));
            problems.extend(mode(guest, user, node));
        }
        problems.extend(readable(guest, user, node, is_own));
    }
    Ok(problems)
}

/// The real path of the home; `None` also if it cannot be resolved, as sshd then goes on to the root (LOGIN-51).
fn home(guest: &Guest<'_>, user: &User) -> Result<Option<GuestPath>> {
    match guest.real_home(user) {
        Err(error)
            if matches!(error.kind(), ErrorKind::Refused(Refusal::UnsuitableFile { .. })) =>
        {
            Ok(None)
        }
        home => home,
    }
}

/// True for what lies below the home.
fn is_own(home: Option<&GuestPath>, node: &ChainNode) -> bool {
    home.is_some_and(|home| is_below(&node.path, home) && node.path != *home)
}

fn owner(user: &User, node: &ChainNode, is_own: bool) -> Option<Problem> {
    let uid = node.metadata.uid;
    if uid == 0 || uid == user.uid {
        return None;
    }
    let message = format!("is owned by uid {uid}, not by {} or root", user.display_name());
    let finding = Finding::block(("strict-owner", "LOGIN-51"), &node.path, message);
    let change = MetadataChange { uid: Some(user.uid), ..MetadataChange::default() };
    let repair = is_own.then(|| (node.path.clone(), change));
    Some(Problem { finding: finding.fixed_by(format!("chown {}", user.display_name())), repair })
}

fn mode(guest: &Guest<'_>, user: &User, node: &ChainNode) -> Option<Problem> {
    let mode = node.metadata.mode;
    if mode & 0o022 == 0 {
        return None;
    }
    let message = format!("has mode {mode:04o}: others than the owner may write");
    let message = match access_list(guest, node) {
        // The mask of the list shows as the bits of the group (LOGIN-53).
        Some(_) if mode & 0o002 == 0 => format!("{message} (through its access control list)"),
        _ => message,
    };
    let fix = "chmod go-w";
    if mode & 0o002 == 0 && is_relaxed(guest, user, &node.metadata) {
        let message = format!("{message}; Debian's sshd accepts this for a private group");
        let finding = Finding::warn(("strict-mode", "LOGIN-54"), &node.path, message);
        return Some(Problem { finding: finding.fixed_by(fix), repair: None });
    }
    let change = MetadataChange { mode: Some(mode & !0o022), ..MetadataChange::default() };
    let id = ("strict-mode", "LOGIN-51");
    let finding = Finding::block(id, &node.path, message).fixed_by(fix);
    Some(Problem { finding, repair: Some((node.path.clone(), change)) })
}

/// The relaxation of Debian and Ubuntu: the group is the user's own (LOGIN-54).
fn is_relaxed(guest: &Guest<'_>, user: &User, metadata: &Metadata) -> bool {
    let os = &guest.system.os;
    (os.is_like("debian") || os.is_like("ubuntu"))
        && guest.system.accounts.is_private_group(metadata.gid, metadata.uid, user)
}

fn access_list(guest: &Guest<'_>, node: &ChainNode) -> Option<Vec<u8>> {
    guest.fs.xattr(node.node, ACCESS_NAME).ok().flatten()
}

/// What the kernel says to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Yes,
    No,
    /// It depends on groups that other services than the files may add.
    Depends,
}

/// Whether the user may pass the directory or read the file (LOGIN-49).
fn access(guest: &Guest<'_>, user: &User, node: &ChainNode) -> Access {
    if user.uid == 0 {
        return Access::Yes;
    }
    let metadata = &node.metadata;
    let wanted = if metadata.kind == NodeKind::Directory { 0o1 } else { 0o4 };
    let Ok(list) = guest.fs.xattr(node.node, ACCESS_NAME) else { return Access::No };
    // A list that the kernel cannot read denies everything.
    let may = |gids: &[u32]| {
        let caller = Caller { uid: user.uid, gids };
        permits(metadata, list.as_deref(), caller, wanted).unwrap_or(false)
    };
    let gids = guest.system.accounts.gids_of(user);
    let is_permitted = may(&gids);
    let mut others = vec![metadata.gid];
    others.extend(list.as_deref().and_then(|list| named_groups(list).ok()).unwrap_or_default());
    let with = |gid: u32| [gids.as_slice(), &[gid]].concat();
    let is_stable = guest.system.accounts.services.other_groups().is_empty()
        || others.into_iter().all(|gid| may(&with(gid)) == is_permitted);
    match (is_permitted, is_stable) {
        (_, false) => Access::Depends,
        (true, true) => Access::Yes,
        (false, true) => Access::No,
    }
}

/// The user must be able to pass every directory and to read the file (LOGIN-49).
fn readable(guest: &Guest<'_>, user: &User, node: &ChainNode, is_own: bool) -> Option<Problem> {
    let access = access(guest, user, node);
    if access == Access::Yes {
        return None;
    }
    let metadata = &node.metadata;
    let id = ("readable", "LOGIN-49");
    let name = user.display_name();
    let (mode, uid) = (metadata.mode, metadata.uid);
    let what = if metadata.kind == NodeKind::Directory { "enter" } else { "read" };
    let list = access_list(guest, node).map_or("", |_| ", with an access control list");
    let owner = format!("owner uid {uid}, mode {mode:04o}{list}");
    if access == Access::Depends {
        let message = format!(
            "whether {name} can {what} it ({owner}) depends on groups that are not in /etc/group"
        );
        return Some(Problem {
            finding: Finding::undecided(id, &node.path, message),
            repair: None,
        });
    }
    let message = format!("{name} cannot {what} it ({owner})");
    let needed = if metadata.kind == NodeKind::Directory { 0o700 } else { 0o600 };
    let change = MetadataChange {
        mode: Some((mode | needed) & !0o022),
        uid: (uid != user.uid).then_some(user.uid),
        ..MetadataChange::default()
    };
    let finding = Finding::block(id, &node.path, message);
    let repair = is_own.then(|| (node.path.clone(), change));
    Some(Problem { finding: finding.fixed_by(format!("make it readable for {name}")), repair })
}

#[cfg(test)]
mod tests;
