//! What hides a home from sshd: other file systems mounted over it, encryption, records of systemd-homed
//! (LOGIN-95, LOGIN-131; table LOGIN-T4).

use super::Guest;
use super::finding::{Finding, Severity};
use crate::bytes::text::escape_limited;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find, read_file};
use crate::guest::linux::User;
use crate::guest::linux::fstab::{Mount, SameVolume, Start, is_in_tree, mount_of};
use crate::guest::linux::text::TEXT_BYTES_MAX;

const CRYPT: (&str, &str) = ("home-crypt", "LOGIN-T4");
const MOUNT: (&str, &str) = ("home-mount", "LOGIN-95");

/// Homes whose content sshd cannot see before a login, and other writers of key files (LOGIN-102, LOGIN-103).
pub(super) fn findings(fs: &dyn FileSystem, user: &User) -> Vec<Finding> {
    let Some(home) = &user.home else { return Vec::new() };
    let mut findings = Vec::new();
    findings.extend(ecryptfs(fs, user, home));
    findings.extend(fscrypt(fs, home));
    findings.extend(homed(fs, user));
    let fragments = home.join(".ssh/authorized_keys.d");
    if is_there(fs, &fragments) {
        let message = "authorized_keys may be made anew from this directory; put the key there too";
        findings.push(Finding::warn(("writers", "LOGIN-102"), fragments, message));
    }
    findings
}

fn is_there(fs: &dyn FileSystem, path: &GuestPath) -> bool {
    matches!(find(fs, path), Ok(Some(_)))
}

/// ecryptfs: the whole home, or only a directory in it, which does no harm.
fn ecryptfs(fs: &dyn FileSystem, user: &User, home: &GuestPath) -> Option<Finding> {
    let shared = GuestPath::new("/home/.ecryptfs").join(&user.name);
    let own = home.join(".ecryptfs");
    let evidence = [shared, own].into_iter().find(|path| is_there(fs, path))?;
    let target = read_file(fs, &evidence.join("Private.mnt"), TEXT_BYTES_MAX).ok().flatten();
    let target = target.or_else(|| {
        read_file(fs, &evidence.join(".ecryptfs/Private.mnt"), TEXT_BYTES_MAX).ok().flatten()
    });
    if let Some(target) = target {
        let target = GuestPath::new(target.trim_ascii());
        if target != *home && target.as_bytes().starts_with(home.as_bytes()) {
            return None;
        }
    }
    let message = "the home is encrypted with ecryptfs: sshd cannot read keys in it";
    let finding = Finding::block(CRYPT, home, message);
    Some(finding.fixed_by("use an AuthorizedKeysFile outside the home"))
}

/// fscrypt: names and content are cipher text until the user has logged in with a password.
fn fscrypt(fs: &dyn FileSystem, home: &GuestPath) -> Option<Finding> {
    let found = find(fs, home).ok().flatten()?;
    fs.metadata(found.node).ok().filter(|metadata| metadata.flags.is_encrypted)?;
    let message = "the home is encrypted (fscrypt): sshd cannot read keys in it before a login";
    let finding = Finding::block(CRYPT, home, message);
    Some(finding.fixed_by("use an AuthorizedKeysFile outside the home"))
}

/// A record of systemd-homed beside the line in passwd: which of them counts depends on what runs.
fn homed(fs: &dyn FileSystem, user: &User) -> Option<Finding> {
    let record = [user.name.as_slice(), b".identity"].concat();
    let record = GuestPath::new("/var/lib/systemd/home").join(record);
    let message = "systemd-homed has a record of the same name, and its home may be used instead";
    is_there(fs, &record).then(|| Finding::undecided(CRYPT, record, message))
}

/// The finding that `path` (a real path) lies on another file system once the guest runs, which is not part of the
/// tree (LOGIN-95).
pub(super) fn mount_finding(guest: &Guest<'_>, path: &GuestPath) -> Option<Finding> {
    let mount = mount_of(&guest.mounts, path).filter(|mount| mount.target != GuestPath::root())?;
    let Err(missing) = is_in_tree(guest.fs, mount) else { return None };
    let source = escape_limited(&mount.source, 128);
    let (place, target) = (&mount.place, &mount.target);
    if let Some(from) = mount.bound_from() {
        return Some(bind(guest, mount, &from, path));
    }
    let is_own = mount.is_volume(&guest.fs.identity()) == SameVolume::Yes
        || guest.mounts.iter().any(|other| {
            other.target == GuestPath::root() && other.source == mount.source && !mount.is_virtual()
        });
    let message = if is_own {
        format!(
            "{place} mounts this same file system on {target}, so that the file is elsewhere on it"
        )
    } else if mount.is_virtual() {
        format!("{place} mounts a {source} on {target}, which hides what is here")
    } else {
        format!("{place} mounts {source} on {target}, which hides what is here")
    };
    let message = match missing {
        Some(why) => format!("{message}, and {}", why.reason),
        None => message,
    };
    let fix = if let Some(why) = missing {
        format!("{}, or use an AuthorizedKeysFile elsewhere", why.remedy)
    } else if is_own || mount.is_virtual() {
        "use an AuthorizedKeysFile elsewhere".to_owned()
    } else {
        format!("edit the volume {source}, or use an AuthorizedKeysFile elsewhere")
    };
    let finding = match mount.start {
        Start::Boot if mount.type_name == b"overlay" => Finding::undecided(MOUNT, path, message),
        Start::Boot => Finding::block(MOUNT, path, message),
        Start::IfPresent => {
            let message = format!("{message}, if it is there at boot (nofail)");
            Finding::undecided(MOUNT, path, message)
        }
        Start::ByHand => {
            let message = format!("{message}, but only when somebody mounts it (noauto)");
            Finding::new(MOUNT, Severity::Warn, path, message)
        }
    };
    Some(finding.fixed_by(fix))
}

/// Why what sshd finds at `path` (a real path) cannot be known here: what is mounted there is not part of the tree.
pub(super) fn unseen(guest: &Guest<'_>, path: &GuestPath) -> Option<Finding> {
    let finding = mount_finding(guest, path)?;
    // What is made in memory at boot is empty, and that is known.
    let is_empty = mount_of(&guest.mounts, path).is_some_and(Mount::is_virtual);
    let is_foreign = finding.is_blocking() && !is_empty;
    (is_foreign || finding.is_undecided).then_some(Finding {
        severity: Severity::Warn,
        is_undecided: true,
        ..finding
    })
}

/// A bind mount shows another directory of this system.
fn bind(guest: &Guest<'_>, mount: &Mount, from: &GuestPath, path: &GuestPath) -> Finding {
    let rest = path.as_bytes().get(mount.target.as_bytes().len()..).unwrap_or_default();
    let shown = GuestPath::new([from.as_bytes(), rest].concat());
    let (place, target) = (&mount.place, &mount.target);
    if shown == *path {
        let message = format!("{place} binds {target} to itself");
        return Finding::info(MOUNT, path, message);
    }
    let is_here = match mount_of(&guest.mounts, &shown) {
        Some(other) => other.target == GuestPath::root(),
        None => true,
    };
    let message = if is_here {
        format!("{place} binds {from} on {target}: sshd reads {shown} of this volume instead")
    } else {
        format!("{place} binds {from} on {target}, which is on another volume")
    };
    match mount.start {
        Start::ByHand => Finding::warn(MOUNT, path, message),
        _ if is_here => Finding::undecided(MOUNT, path, message).fixed_by(format!("edit {shown}")),
        _ => Finding::block(MOUNT, path, message),
    }
}

#[cfg(test)]
mod mounted_tests;
#[cfg(test)]
mod tests;
