//! What is told besides the keys: mounts that hide files, settings that let keys in without a file, programs that
//! add keys at boot.

use super::{KeySources, SourceFile, deciding, first};
use crate::bytes::text::escape_limited;
use crate::fs::path::GuestPath;
use crate::guest::linux::text::exists;
use crate::guest::linux::{agents, fstab};
use crate::login::Guest;
use crate::login::finding::Finding;
use crate::login::match_block::Effective;

impl KeySources<'_> {
    /// Says once for each mount that what it holds is not part of the tree (LOGIN-95).
    pub(super) fn tell_mount(&mut self, guest: &Guest<'_>, path: &GuestPath) {
        let Some(finding) = guest.mount_finding(path) else { return };
        let Some(mount) = fstab::mount_of(&guest.mounts, path) else { return };
        let source = escape_limited(&mount.source, 128);
        let message = format!("{source} is mounted there: the key files on it are not looked into");
        if self.told.insert(format!("mount {}", mount.target)) {
            let id = ("home-mount", "LOGIN-95");
            let fix = fstab::is_in_tree(guest.fs, mount).is_err_and(|why| why.is_some());
            let fix = fix.then_some(finding.fix).flatten();
            self.findings.push(Finding { fix, ..Finding::warn(id, &mount.target, message) });
        }
    }

    /// What sshd asks besides files, and the list of keys that it refuses (LOGIN-28, LOGIN-35, LOGIN-139).
    pub(super) fn tell_settings(&mut self, settings: &[Effective<'_>]) {
        for keyword in ["authorizedkeyscommand", "trustedusercakeys", "revokedkeys"] {
            for directive in deciding(settings, keyword) {
                let value = first(directive).unwrap_or(b"none");
                let is_none = value.eq_ignore_ascii_case(b"none");
                if !is_none && self.told.insert(format!("{keyword} {}", directive.place)) {
                    let (id, message) = setting_message(keyword, value);
                    self.findings.push(Finding::info(id, &directive.place, message));
                }
            }
        }
    }

    /// Programs that add keys at boot (LOGIN-97, LOGIN-103 to LOGIN-105).
    pub(super) fn tell_writers(&mut self, guest: &Guest<'_>) {
        for agent in agents::find(guest.fs) {
            let (rule, message) = match agent.name {
                "cloud-init" if exists(guest.fs, "/etc/cloud/cloud-init.disabled") => continue,
                "cloud-init" => (
                    "LOGIN-97",
                    "in a new instance cloud-init adds the key pair of the launch to its default user \
                     and to root",
                ),
                "google-guest-agent" => (
                    "LOGIN-104",
                    "Google's guest agent adds the keys of the metadata while the machine runs",
                ),
                "waagent" => {
                    ("LOGIN-105", "Azure's agent adds keys when a machine is made, and on VMAccess")
                }
                "puppet" | "chef-client" | "salt-minion" => {
                    ("LOGIN-105", "configuration management may put keys back")
                }
                _ => continue,
            };
            self.findings.push(Finding::info(("writers", rule), agent.evidence, message));
        }
        for path in ["/usr/sbin/ec2_fetchkey", "/usr/local/etc/rc.d/ec2_fetchkey"] {
            if exists(guest.fs, path) {
                let message = "it adds the key pair of the launch at boot";
                self.findings.push(Finding::info(("writers", "LOGIN-105"), path, message));
            }
        }
        let is_rewritten =
            |file: &&SourceFile| file.path.as_bytes().ends_with(b"/authorized_keys.d/afterburn");
        for file in self.files.iter().filter(is_rewritten) {
            let message = "afterburn writes this file anew from the metadata at every boot";
            self.findings.push(Finding::info(("writers", "LOGIN-103"), &file.path, message));
        }
    }
}

/// What is to be said about one of the settings in [`KeySources::tell_settings`].
fn setting_message(keyword: &str, value: &[u8]) -> ((&'static str, &'static str), String) {
    let shown = escape_limited(value, 256);
    match keyword {
        "authorizedkeyscommand" => (("writers", "LOGIN-35"), command_message(value)),
        "trustedusercakeys" => {
            let message = format!(
                "certificates of the authorities in {shown} let users in; they are revoked in \
                 RevokedKeys, or with the authority"
            );
            (("writers", "LOGIN-139"), message)
        }
        _ => {
            let message = format!("sshd refuses the keys in {shown}, wherever else they stand");
            (("revoked", "LOGIN-28"), message)
        }
    }
}

/// What is to be said about the program of AuthorizedKeysCommand.
fn command_message(program: &[u8]) -> String {
    let shown = escape_limited(program, 256);
    let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    match name {
        b"ssh-key-dir" => {
            format!("sshd also takes the keys that {shown} reads from ~/.ssh/authorized_keys.d")
        }
        b"eic_run_authorized_keys" => format!(
            "sshd also takes keys for one minute that EC2 Instance Connect hands to {shown}; IAM \
             decides who may"
        ),
        _ => format!("sshd also takes the keys that {shown} prints, which are not on this volume"),
    }
}
