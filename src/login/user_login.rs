//! What decides for a user before any key is looked at: account, configuration and key files.

use super::agreement::agree;
use super::finding::Finding;
use super::key_files::{self, KeyFile};
use super::match_block::Effective;
use super::{Guest, PublicKey, account, algorithms, dedup, home, key_check, pam, writers};
use crate::error::Result;
use crate::guest::linux::User;

/// What also decides a login, and is never on a volume (LOGIN-148).
pub const NOT_SEEN: [&str; 4] = [
    "firewalls and security groups",
    "users and groups of directory services",
    "other keys that the client offers first (MaxAuthTries)",
    "agents and cloud-init, which may write keys again at boot",
];

/// What sshd makes of a user before it looks at keys.
#[derive(Debug, Clone)]
pub struct UserLogin {
    /// The key files, in sshd's order.
    pub files: Vec<KeyFile>,
    /// True if `StrictModes` is on.
    pub is_strict: bool,
    /// The line that lets root in only by a key with a `command=` (LOGIN-63).
    pub needs_command: Option<String>,
    /// What speaks against a login, whatever the key.
    pub findings: Vec<Finding>,
}

impl Guest<'_> {
    /// Account, configuration and key files of a user.
    ///
    /// # Errors
    /// As the file system.
    pub fn user_login(&self, user: &User) -> Result<UserLogin> {
        let mut findings = self.user_findings(user)?;
        let mut files = Vec::new();
        let mut is_strict = true;
        let mut needs_command = None;
        let mut by_client: Vec<Vec<Finding>> = Vec::new();
        for (index, effective) in self.settings(user).iter().enumerate() {
            let (found_files, found) = self.client_findings(user, effective)?;
            if index == 0 {
                files = found_files;
                is_strict = effective.flag("strictmodes", true);
            } else if found_files != files {
                let message = "which key files sshd reads depends on the client";
                let subject = self.config.client_blocks().collect::<Vec<_>>().join(", ");
                findings.push(Finding::warn(("conf-match", "LOGIN-3"), subject, message));
            }
            needs_command = needs_command.or_else(|| key_check::needs_command(user, effective));
            by_client.push(found);
        }
        findings.extend(agree(&by_client));
        findings.push(self.not_seen());
        dedup(&mut findings);
        Ok(UserLogin { files, is_strict, needs_command, findings })
    }

    /// What does not depend on the client, or on the key.
    pub(super) fn user_findings(&self, user: &User) -> Result<Vec<Finding>> {
        let mut findings = self.config.findings.clone();
        findings.extend(self.config.client_findings(&self.subject(user)));
        findings.extend(self.config.group_finding(&self.system.accounts));
        findings.extend(account::account_findings(self, user, self.pam_service(user).as_deref()));
        findings.extend(home::findings(self.fs, user));
        findings.extend(self.labels.findings(self.fs));
        findings.extend(self.service_findings()?.iter().cloned());
        findings.extend(writers::findings(self, user));
        Ok(findings)
    }

    /// The key files under one set of values, and what these say about the user.
    pub(super) fn client_findings(
        &self,
        user: &User,
        effective: &Effective<'_>,
    ) -> Result<(Vec<KeyFile>, Vec<Finding>)> {
        let (files, mut findings) = key_files::of_user(self.fs, effective, user)?;
        findings.extend(account::setting_findings(self, user, effective));
        Ok((files, findings))
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

    /// What speaks against one key, whatever the files say.
    pub fn key_findings(&self, user: &User, key: &PublicKey) -> Vec<Finding> {
        let settings = self.settings(user);
        let found = settings.iter().map(|effective| algorithms::key_findings(self, effective, key));
        agree(&found.collect::<Vec<_>>())
    }

    /// What is not looked at (LOGIN-148): never silently taken as good.
    fn not_seen(&self) -> Finding {
        let subject = self.system.host_name.as_deref().unwrap_or(b"this system");
        let subject = crate::bytes::text::escape_limited(subject, 64);
        let message = format!("not to be seen on a volume: {}", NOT_SEEN.join("; "));
        Finding::info(("routes", "LOGIN-148"), subject, message)
    }

    /// The service under which sshd asks PAM, if it does (LOGIN-65, LOGIN-66).
    fn pam_service(&self, user: &User) -> Option<Vec<u8>> {
        let settings = self.settings(user);
        let effective = settings.first().filter(|effective| effective.flag("usepam", false))?;
        let named = effective.first("pamservicename").and_then(|found| found.arguments.first());
        Some(named.map_or_else(|| pam::SERVICE.to_vec(), Clone::clone))
    }
}
