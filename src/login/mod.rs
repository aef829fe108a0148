//! Would sshd on this volume accept this key for this user (linux-login.md)?
//!
//! Pure functions over [`FileSystem`], to be run again after an edit (LOGIN-6). What is decided:
//! accounts,
//! the sshd configuration with its Match blocks, key files and their lines, StrictModes and
//! readability by
//! mode bits, mounts, SELinux labels. Not decided, and said so where it matters: PAM modules, POSIX
//! ACLs,
//! crypto policies, the sshd version, options on the daemon's command line (the `key check` issue).

pub mod account;
pub mod authorized_keys;
pub mod daemon;
pub mod finding;
pub mod fingerprint;
mod foreign_key;
pub mod key_files;
pub mod key_input;
pub mod key_options;
mod keyword;
pub mod match_block;
pub mod pattern;
pub mod public_key;
pub mod selinux;
pub mod sshd_config;
pub mod strict_modes;
pub mod verdict;

pub use finding::{Finding, Severity};
pub use fingerprint::Fingerprint;
pub use public_key::PublicKey;
pub use verdict::Verdict;

use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind, Timestamp};
use crate::guest::linux::fstab::{self, Mount, SameVolume};
use crate::guest::linux::{System, User};
use crate::guest::select::Access;
use key_files::KeyFile;
use match_block::{Effective, Subject};
use selinux::Labels;
use sshd_config::{Directive, SshdConfig};

/// Bound on the Match blocks that are looked at to find out who has keys, over all users.
const MATCHES_MAX: usize = 20_000_000;

/// Everything about a guest that decides a login, read once.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The root file system.
    pub fs: &'a dyn FileSystem,
    /// What is on it.
    pub system: &'a System,
    /// The configuration of sshd.
    pub config: SshdConfig,
    /// The mounts of fstab.
    pub mounts: Vec<Mount>,
    /// The labels that new files get.
    pub labels: Labels,
    /// The date that decides expiry (LOGIN-4).
    pub now: Timestamp,
}

/// What sshd makes of a user before it looks at keys.
#[derive(Debug, Clone)]
pub struct UserLogin {
    /// The key files, in sshd's order.
    pub files: Vec<KeyFile>,
    /// True if `StrictModes` is on.
    pub is_strict: bool,
    /// What speaks against a login, whatever the key.
    pub findings: Vec<Finding>,
}

impl<'a> Guest<'a> {
    /// Reads what decides logins on `fs`.
    ///
    /// # Errors
    /// `Limit` for files beyond every reason; otherwise as the file system.
    pub fn open(fs: &'a dyn FileSystem, system: &'a System, now: Timestamp) -> Result<Self> {
        let config = SshdConfig::read(fs)?;
        let mounts = fstab::read(fs)?;
        let labels = Labels::read(fs)?;
        Ok(Self { fs, system, config, mounts, labels, now })
    }

    /// The settings that count for `user`, once for each assumption about the client.
    fn settings(&self, user: &User) -> Vec<Effective<'_>> {
        let groups = self.system.accounts.groups_of(user).map(|group| group.name.clone());
        let subject = Subject { name: user.name.clone(), groups: groups.collect() };
        self.config.effective(&subject)
    }

    /// Account, configuration and key files of a user.
    ///
    /// # Errors
    /// As the file system.
    pub fn user_login(&self, user: &User) -> Result<UserLogin> {
        let mut findings = self.config.findings.clone();
        let mut files = Vec::new();
        let mut is_strict = true;
        let mut by_client: Vec<Vec<Finding>> = Vec::new();
        for (index, effective) in self.settings(user).iter().enumerate() {
            let (found_files, mut found) = key_files::of_user(self.fs, effective, user)?;
            found.extend(account::setting_findings(self, user, effective));
            if index == 0 {
                files = found_files;
                is_strict = effective.flag("strictmodes", true);
            } else if found_files != files {
                let message = "which key files sshd reads depends on the client";
                let subject = self.config.client_blocks().collect::<Vec<_>>().join(", ");
                findings.push(Finding::warn(("conf-match", "LOGIN-3"), subject, message));
            }
            by_client.push(found);
        }
        findings.extend(agree(&by_client));
        findings.extend(account::account_findings(self, user, self.uses_pam(user)));
        findings.extend(account::home_findings(self.fs, user));
        findings.push(self.unknowns());
        dedup(&mut findings);
        Ok(UserLogin { files, is_strict, findings })
    }

    /// The key files of a user as in [`Guest::user_login`], without a look at anything else.
    ///
    /// # Errors
    /// As the file system.
    pub fn key_files(&self, user: &User) -> Result<Vec<KeyFile>> {
        let settings = self.settings(user);
        let Some(effective) = settings.first() else { return Ok(Vec::new()) };
        Ok(key_files::of_user(self.fs, effective, user)?.0)
    }

    /// Every key file of a user, whatever the client: those of [`Guest::key_files`], then those that sshd reads
    /// only for some clients (LOGIN-3).
    ///
    /// # Errors
    /// As the file system.
    pub fn every_key_file(&self, user: &User) -> Result<Vec<KeyFile>> {
        let mut files: Vec<KeyFile> = Vec::new();
        for effective in self.settings(user) {
            for file in key_files::of_user(self.fs, &effective, user)?.0 {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }

    /// The directives that decide `keyword` (in lower case) for a user, each once, whatever the client.
    pub fn deciding(&self, user: &User, keyword: &str) -> Vec<&Directive> {
        let mut found: Vec<&Directive> = Vec::new();
        for directive in self.settings(user).iter().filter_map(|set| set.first(keyword)) {
            if !found.iter().any(|known| known.place == directive.place) {
                found.push(directive);
            }
        }
        found
    }

    /// What speaks against one key, whatever the files say.
    pub fn key_findings(&self, user: &User, key: &PublicKey) -> Vec<Finding> {
        let settings = self.settings(user);
        let found = settings.iter().map(|effective| account::key_findings(effective, key));
        let found: Vec<Vec<Finding>> = found.map(|found| found.into_iter().collect()).collect();
        agree(&found)
    }

    /// What is not looked at (LOGIN-148, LOGIN-149): never silently taken as good.
    fn unknowns(&self) -> Finding {
        let subject = self.system.host_name.as_deref().unwrap_or(b"this system");
        let subject = crate::bytes::text::escape_limited(subject, 64);
        let message = "not decided here: PAM modules, crypto policy, options on sshd's command \
                       line, the version of sshd, firewalls, users outside /etc/passwd";
        Finding::info(("routes", "LOGIN-148"), subject, message)
    }

    fn uses_pam(&self, user: &User) -> bool {
        self.settings(user).first().is_some_and(|effective| effective.flag("usepam", false))
    }

    /// The finding that `path` (a real path) lies on another file system, if fstab says so
    /// (LOGIN-95).
    pub fn mount_finding(&self, path: &GuestPath) -> Option<Finding> {
        let mount = fstab::mount_of(&self.mounts, path)?;
        if mount.target == GuestPath::root()
            || mount.is_volume(&self.fs.identity()) == SameVolume::Yes
        {
            return None;
        }
        let source = crate::bytes::text::escape_limited(&mount.source, 128);
        let message =
            format!("fstab mounts {source} on {}, which hides what is written here", mount.target);
        let id = ("home-mount", "LOGIN-95");
        let is_automatic =
            !mount.options.split(|&byte| byte == b',').any(|option| option == b"noauto");
        let severity = if is_automatic { Severity::Block } else { Severity::Warn };
        Some(
            Finding::new(id, severity, path, message).fixed_by(format!("edit the volume {source}")),
        )
    }

    /// The real path of the home of `user`, if it exists as a directory.
    ///
    /// # Errors
    /// As [`find`].
    pub fn real_home(&self, user: &User) -> Result<Option<GuestPath>> {
        let Some(home) = &user.home else { return Ok(None) };
        let Some(found) = find(self.fs, home)? else { return Ok(None) };
        let is_directory = self.fs.metadata(found.node)?.kind == NodeKind::Directory;
        Ok(is_directory.then_some(found.real_path))
    }
}

impl Access for Guest<'_> {
    fn has_keys(&self, user: &User) -> Result<bool> {
        let work = self.system.accounts.users.len().saturating_mul(self.config.blocks.len());
        if work > MATCHES_MAX {
            let what = "number of users times Match blocks, unless a user is named";
            return Err(Error::limit(what, len_u64(MATCHES_MAX), len_u64(work)));
        }
        for file in self.key_files(user)? {
            // What cannot be read holds no key for us.
            let limit = crate::fs::FILE_BYTES_MAX;
            let content = crate::fs::path::read_file(self.fs, &file.path, limit);
            let content = content.ok().flatten().unwrap_or_default();
            if !file.is_shared && authorized_keys::key_lines(&content).next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn root_may_use_keys(&self) -> Result<bool> {
        let Some(root) = self.system.accounts.find(b"root") else { return Ok(false) };
        let may = |effective: &Effective<'_>| {
            !matches!(
                effective.value("permitrootlogin").as_deref(),
                Some(b"no" | b"forced-commands-only")
            )
        };
        Ok(self.settings(root).iter().all(may))
    }
}

/// Findings under several assumptions about the client: what holds under all of them stands, a
/// reason that
/// holds only under some becomes a warning (LOGIN-3).
fn agree(by_client: &[Vec<Finding>]) -> Vec<Finding> {
    let mut result = Vec::new();
    for found in by_client.iter().flatten() {
        let is_common = by_client.iter().all(|other| other.contains(found));
        let mut found = found.clone();
        if !is_common && found.is_blocking() {
            found.severity = Severity::Warn;
            found.is_undecided = true;
            found.message = format!("depends on the client: {}", found.message);
        }
        result.push(found);
    }
    result
}

/// Keeps the first of equal findings.
pub fn dedup(findings: &mut Vec<Finding>) {
    let mut seen = std::collections::HashSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
}

#[cfg(test)]
mod oracle_tests;
