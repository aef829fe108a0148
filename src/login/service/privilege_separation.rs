//! The user and the directory that sshd gives its rights away to (LOGIN-111).

use crate::error::Result;
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::text::{exists, kind, sorted_names};
use crate::login::daemon::{Daemon, version};
use crate::login::{Finding, Guest};

const ID: (&str, &str) = ("sshd-privsep", "LOGIN-111");
/// The directories that distributions compile in.
const DIRECTORIES: [&str; 7] = [
    "/run/sshd",
    "/var/run/sshd",
    "/usr/share/empty.sshd",
    "/var/empty/sshd",
    "/var/lib/sshd",
    "/var/lib/empty",
    "/var/empty",
];

pub(super) fn findings(guest: &Guest<'_>, daemon: &Daemon) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if guest.system.accounts.find(b"sshd").is_none() {
        findings.push(no_user(guest));
    }
    let words = version::words_in_program(guest.fs, &daemon.program, &DIRECTORIES)?;
    let Some(words) = words else { return Ok(findings) };
    let compiled =
        DIRECTORIES.iter().zip(words).find_map(|(path, is_there)| is_there.then_some(*path));
    if let Some(path) = compiled {
        findings.extend(directory(guest, path)?);
    }
    Ok(findings)
}

/// Without the user sshd ends at its start. Some other source of users may have it.
fn no_user(guest: &Guest<'_>) -> Finding {
    let subject = "/etc/passwd";
    let fs = guest.fs;
    let elsewhere = [
        "/usr/lib/passwd",
        "/usr/lib/sysusers.d/sshd.conf",
        "/usr/lib/sysusers.d/openssh-server.conf",
    ];
    if let Some(path) = elsewhere.iter().find(|path| exists(fs, path)) {
        let message = format!("there is no user sshd; it may come from {path}");
        return Finding::undecided(ID, subject, message);
    }
    Finding::block(ID, subject, "there is no user sshd, without which sshd does not start")
}

fn directory(guest: &Guest<'_>, path: &str) -> Result<Option<Finding>> {
    let fs = guest.fs;
    // /run is made anew at each boot.
    if path.starts_with("/run/") || path.starts_with("/var/run/") {
        return Ok(None);
    }
    let Some(found) = find(fs, &GuestPath::new(path))? else {
        let message = "sshd's directory is missing: it does not start";
        return Ok((!is_made_at_boot(guest)).then(|| Finding::block(ID, path, message)));
    };
    let metadata = fs.metadata(found.node)?;
    let problem = if metadata.kind != NodeKind::Directory {
        format!("is a {}", metadata.kind)
    } else if metadata.uid != 0 {
        format!("belongs to user {}", metadata.uid)
    } else if metadata.mode & 0o022 != 0 {
        format!("has mode {:04o}", metadata.mode)
    } else {
        return Ok(None);
    };
    let message =
        format!("{problem}, but must be a directory of root that nobody else can write to");
    Ok(Some(Finding::block(ID, path, message).fixed_by("chown root, chmod 711")))
}

/// True if a file of systemd-tmpfiles speaks of sshd.
fn is_made_at_boot(guest: &Guest<'_>) -> bool {
    let directory = "/usr/lib/tmpfiles.d";
    if kind(guest.fs, directory) != Some(NodeKind::Directory) {
        return false;
    }
    let Ok(Some(found)) = find(guest.fs, &GuestPath::new(directory)) else { return false };
    let names = sorted_names(guest.fs, found.node).unwrap_or_default();
    names.iter().any(|name| name.windows(3).any(|window| window == b"ssh"))
}
