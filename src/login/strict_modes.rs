//! StrictModes, and whether the user can open the file at all (LOGIN-49 to LOGIN-56).
//!
//! Not handled: POSIX ACLs beyond what the group bits show (LOGIN-53); a node with an ACL gets a
//! warning.

use super::Guest;
use super::finding::Finding;
use crate::error::Result;
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
    let home = guest.real_home(user)?;
    let mut problems = Vec::new();
    // sshd stops at the home if the file lies inside it.
    let last = chain.last().map_or_else(GuestPath::root, |node| node.path.clone());
    let stop = home.as_ref().filter(|home| is_below(&last, home));
    for node in chain {
        let is_own =
            home.as_ref().is_some_and(|home| is_below(&node.path, home) && node.path != *home);
        let is_tested = stop.is_none_or(|stop| is_below(&node.path, stop));
        if is_strict && is_tested {
            problems.extend(owner(user, node, is_own));
            problems.extend(mode(guest, user, node));
        }
        problems.extend(readable(guest, user, node, is_own));
    }
    Ok(problems)
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
    let id = ("strict-mode", "LOGIN-51");
    let fix = "chmod go-w";
    if mode & 0o002 == 0 && is_relaxed(guest, user, &node.metadata) {
        let message = format!("{message}; Debian's sshd accepts this for a private group");
        let finding = Finding::warn(("strict-mode", "LOGIN-54"), &node.path, message);
        return Some(Problem { finding: finding.fixed_by(fix), repair: None });
    }
    let change = MetadataChange { mode: Some(mode & !0o022), ..MetadataChange::default() };
    let finding = Finding::block(id, &node.path, message).fixed_by(fix);
    Some(Problem { finding, repair: Some((node.path.clone(), change)) })
}

/// The relaxation of Debian and Ubuntu: the group is the user's own (LOGIN-54).
fn is_relaxed(guest: &Guest<'_>, user: &User, metadata: &Metadata) -> bool {
    let os = &guest.system.os;
    (os.is_like("debian") || os.is_like("ubuntu"))
        && guest.system.accounts.is_private_group(metadata.gid, metadata.uid, user)
}

/// The user must be able to pass every directory and to read the file (LOGIN-49).
fn readable(guest: &Guest<'_>, user: &User, node: &ChainNode, is_own: bool) -> Option<Problem> {
    let metadata = &node.metadata;
    let wanted = if metadata.kind == NodeKind::Directory { 0o1 } else { 0o4 };
    let is_in_group = metadata.gid == user.gid
        || guest.system.accounts.groups_of(user).any(|group| group.gid == metadata.gid);
    let shift = match (metadata.uid == user.uid, is_in_group) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    // `>>` by a constant below 32 cannot overflow.
    let bits = metadata.mode.checked_shr(shift).unwrap_or(0);
    if user.uid == 0 || bits & wanted != 0 {
        return None;
    }
    let id = ("readable", "LOGIN-49");
    let has_acl =
        guest.fs.xattr(node.node, b"system.posix_acl_access").is_ok_and(|acl| acl.is_some());
    let name = user.display_name();
    let (mode, uid) = (metadata.mode, metadata.uid);
    let what = if wanted == 0o1 { "enter" } else { "read" };
    let message = format!("{name} cannot {what} it (owner uid {uid}, mode {mode:04o})");
    if has_acl {
        let message = format!("{message}, unless its access list allows that");
        return Some(Problem { finding: Finding::warn(id, &node.path, message), repair: None });
    }
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
