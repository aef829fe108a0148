//! Would sshd on this volume accept this key for this user (linux-login.md)?
//!
//! Pure functions over [`FileSystem`], to be run again after an edit (LOGIN-6). The one answer for a user and a
//! key is [`Guest::check_key`]; what it is made of:
//!
//! * `user_login`: account, configuration and the names of the key files;
//! * `key_walk`: which line of which file decides;
//! * `way`: what on the way to a file keeps sshd from reading it;
//! * `agreement`: answers that depend on the client.

pub mod absent_user;
pub mod account;
mod address;
mod agreement;
mod algorithms;
pub mod authorized_keys;
mod client;
pub mod daemon;
pub mod finding;
pub mod fingerprint;
mod foreign_key;
mod home;
pub mod key_check;
pub mod key_files;
pub mod key_input;
pub mod key_options;
pub mod key_pair;
pub mod key_removal;
pub(crate) mod key_walk;
mod keyword;
mod line;
mod listening;
pub mod match_block;
pub mod pam;
pub mod pattern;
pub mod public_key;
mod revoked;
pub mod selinux;
pub mod service;
pub mod sshd_config;
pub mod strict_modes;
mod user_login;
mod value;
pub mod verdict;
pub mod way;
pub mod writers;

pub use finding::{Finding, Severity};
pub use fingerprint::Fingerprint;
pub use key_check::KeyCheck;
pub use public_key::PublicKey;
pub use user_login::{NOT_SEEN, UserLogin};
pub use verdict::Verdict;

use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind, Timestamp};
use crate::guest::linux::fstab::{self, Mount};
use crate::guest::linux::{System, User};
use crate::guest::select::Access;
use match_block::{Effective, Subject};
use selinux::Labels;
use sshd_config::SshdConfig;

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
    /// What is mounted over parts of the tree.
    pub mounts: Vec<Mount>,
    /// The labels that new files get.
    pub labels: Labels,
    /// The date that decides expiry (LOGIN-4).
    pub now: Timestamp,
    /// Whether sshd runs, looked at once.
    service: std::cell::OnceCell<Vec<Finding>>,
}

impl<'a> Guest<'a> {
    /// Reads what decides logins on `fs`.
    ///
    /// # Errors
    /// `Limit` for files beyond every reason; otherwise as the file system.
    pub fn open(fs: &'a dyn FileSystem, system: &'a System, now: Timestamp) -> Result<Self> {
        let config = SshdConfig::read(fs)?;
        let mounts = fstab::read(fs)?;
        let mut labels = Labels::read(fs)?;
        let fixed = |mount: &Mount| {
            fstab::is_in_tree(fs, mount).ok()?;
            Some((mount.target.clone(), mount.option("context")?.to_vec()))
        };
        labels.fixed = mounts.iter().filter_map(fixed).collect();
        Ok(Self { fs, system, config, mounts, labels, now, service: std::cell::OnceCell::new() })
    }

    /// The settings that count for `user`, once for each assumption about the client.
    pub(crate) fn settings(&self, user: &User) -> Vec<Effective<'_>> {
        self.config.effective(&self.subject(user))
    }

    fn subject(&self, user: &User) -> Subject {
        let groups = self.system.accounts.groups_of(user).map(|group| group.name.clone());
        Subject { name: user.name.clone(), groups: groups.collect() }
    }

    /// Refuses to look into the settings of every user where that would take too long.
    ///
    /// # Errors
    /// `Limit` above [`MATCHES_MAX`].
    pub fn check_size(&self) -> Result<()> {
        let work = self.system.accounts.users.len().saturating_mul(self.config.blocks.len());
        if work <= MATCHES_MAX {
            return Ok(());
        }
        let what = "number of users times Match blocks, unless a user is named";
        Err(Error::limit(what, len_u64(MATCHES_MAX), len_u64(work)))
    }

    /// The finding that `path` (a real path) lies on another file system, if fstab says so
    /// (LOGIN-95).
    pub fn mount_finding(&self, path: &GuestPath) -> Option<Finding> {
        home::mount_finding(self, path)
    }

    /// Why what sshd finds at `path` (a real path) is not known: it lies on something that is not at hand.
    pub(crate) fn unseen(&self, path: &GuestPath) -> Option<Finding> {
        home::unseen(self, path)
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
        self.check_size()?;
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

/// Keeps the first of equal findings.
pub fn dedup(findings: &mut Vec<Finding>) {
    let mut seen = std::collections::HashSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
}

#[cfg(test)]
mod config_oracle_tests;
#[cfg(test)]
mod distribution_tests;
#[cfg(test)]
mod key_check_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
pub(crate) mod testing;
