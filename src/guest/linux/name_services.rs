//! `/etc/nsswitch.conf`: where users and groups come from besides the files (nsswitch.conf(5); LOGIN-57).
//!
//! A service that is named but has no configuration on the volume answers nothing, as on the many installations
//! that name `sss` without SSSD. Not handled: what the services answer, and the actions in brackets.

use super::text::{exists, kind, lines, optional};
use crate::fs::FileSystem;
use crate::fs::NodeKind;

/// Bound on the services of one database.
const SERVICES_MAX: usize = 32;

/// What is known about one database, as in `passwd`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Database {
    /// Service names in their order.
    services: Vec<String>,
}

/// The sources of users and groups.
#[derive(Debug, Clone, Default)]
pub struct NameServices {
    passwd: Database,
    group: Database,
    shadow: Database,
    initgroups: Database,
    netgroup: Database,
    /// Services that would answer: they are configured on the volume.
    active: Vec<String>,
    /// True if passwd has `+` entries of NIS.
    pub(super) has_nis_entries: bool,
}

/// Services whose answers are on the volume and read here.
const READ: [&str; 5] = ["files", "compat", "altfiles", "db", "cache"];

/// Services that answer only if one of these files exists; a service that is not named here is taken to answer.
const EVIDENCE: [(&str, &[&str]); 8] = [
    ("sss", &["/etc/sssd/sssd.conf", "/etc/sssd/conf.d", "/usr/lib/sssd/conf/sssd.conf"]),
    (
        "ldap",
        &["/etc/nslcd.conf", "/etc/ldap.conf", "/etc/libnss-ldap.conf", "/etc/ldap/ldap.conf"],
    ),
    ("winbind", &["/etc/samba/smb.conf"]),
    ("nis", &["/etc/yp.conf", "/etc/defaultdomain"]),
    ("nisplus", &["/var/nis/NIS_COLD_START"]),
    ("systemd", &["/etc/userdb", "/usr/lib/userdb", "/var/lib/systemd/home"]),
    ("extrausers", &["/var/lib/extrausers/passwd"]),
    // Names of machines, not of users.
    ("mymachines", &[]),
];

impl NameServices {
    /// Reads the configuration; without one the C library asks the files alone.
    pub(super) fn read(fs: &dyn FileSystem, warnings: &mut Vec<String>) -> Self {
        let mut found = Self::default();
        let paths = ["/etc/nsswitch.conf", "/usr/etc/nsswitch.conf"];
        let content = paths.into_iter().find_map(|path| optional(fs, path, warnings));
        for line in lines(&content.unwrap_or_default()) {
            found.take_line(line);
        }
        let named =
            [&found.passwd, &found.group, &found.shadow, &found.initgroups, &found.netgroup];
        let mut active: Vec<String> = Vec::new();
        for service in named.iter().flat_map(|database| &database.services) {
            if !active.contains(service) && answers(fs, service) {
                active.push(service.clone());
            }
        }
        found.active = active;
        found
    }

    fn take_line(&mut self, line: &[u8]) {
        let text = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let Ok(text) = std::str::from_utf8(text) else { return };
        let Some((name, list)) = text.split_once(':') else { return };
        let database = match name.trim() {
            "passwd" => &mut self.passwd,
            "group" => &mut self.group,
            "shadow" => &mut self.shadow,
            "initgroups" => &mut self.initgroups,
            "netgroup" => &mut self.netgroup,
            _ => return,
        };
        // The last line of a database counts; `[...]` says what follows an answer.
        let mut is_action = false;
        let mut services = Vec::new();
        for word in list.replace('[', " [").replace(']', "] ").split_whitespace() {
            is_action |= word.starts_with('[');
            if !is_action && services.len() < SERVICES_MAX {
                services.push(word.to_owned());
            }
            is_action &= !word.ends_with(']');
        }
        *database = Database { services };
    }

    fn others<'a>(&'a self, database: &'a Database) -> impl Iterator<Item = &'a str> {
        let services = database.services.iter().filter(|service| self.active.contains(service));
        services.map(String::as_str)
    }

    /// Services besides the files that may know a user.
    pub fn other_users(&self) -> Vec<&str> {
        let mut others: Vec<&str> = self.others(&self.passwd).collect();
        if self.has_nis_entries && self.is_compat() {
            others.push("compat");
        }
        others
    }

    /// Services that are asked before the files and may know a user by the same name.
    pub fn before_files(&self) -> Vec<&str> {
        let is_read = |service: &String| READ.contains(&service.as_str());
        let files = self.passwd.services.iter().position(is_read);
        let first = self.passwd.services.iter().take(files.unwrap_or(0));
        first.filter(|service| self.active.contains(service)).map(String::as_str).collect()
    }

    /// Services besides the files that may put a local user into a group.
    pub fn other_groups(&self) -> Vec<&str> {
        let database =
            if self.initgroups.services.is_empty() { &self.group } else { &self.initgroups };
        self.others(database).collect()
    }

    /// Services besides the files that may know the days of a password.
    pub fn other_shadow(&self) -> Vec<&str> {
        self.others(&self.shadow).collect()
    }

    /// True if a service, named or not, is configured on the volume.
    pub fn is_configured(&self, fs: &dyn FileSystem, service: &str) -> bool {
        self.active.iter().any(|active| active == service) || answers(fs, service)
    }

    /// Services that may know a netgroup.
    pub fn netgroups(&self) -> Vec<&str> {
        self.others(&self.netgroup).collect()
    }

    /// True if passwd is read by the rules of `compat`, with `+` and `-` entries.
    pub fn is_compat(&self) -> bool {
        self.passwd.services.iter().any(|service| service == "compat")
    }

    /// True if the users of the distribution are in `/usr/lib/passwd`.
    pub(super) fn has_altfiles(&self) -> bool {
        self.passwd.services.iter().any(|service| service == "altfiles")
    }

    /// True if the files are asked at all: `nsswitch.conf` may leave them out.
    pub fn asks_files(&self) -> bool {
        let services = &self.passwd.services;
        services.is_empty() || services.iter().any(|service| READ.contains(&service.as_str()))
    }
}

/// True if a service may know more than the files that are read here.
fn answers(fs: &dyn FileSystem, service: &str) -> bool {
    if READ.contains(&service) {
        return false;
    }
    let Some((_, paths)) = EVIDENCE.iter().find(|(name, _)| *name == service) else { return true };
    paths.iter().any(|path| match kind(fs, path) {
        Some(NodeKind::Directory) => has_names(fs, path),
        Some(_) => exists(fs, path),
        None => false,
    })
}

fn has_names(fs: &dyn FileSystem, path: &str) -> bool {
    let found = crate::fs::path::find(fs, &crate::fs::path::GuestPath::new(path));
    let Ok(Some(found)) = found else { return true };
    let names = super::text::sorted_names(fs, found.node);
    names.map_or(true, |names| names.iter().any(|name| !name.starts_with(b".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn only_configured_services_count_login_57() {
        let sssd: (&str, &[u8]) = ("/etc/sssd/sssd.conf", b"[sssd]\n");
        let none: (&str, &[u8]) = ("/etc/x", b"");
        for (text, extra, users, groups, before) in [
            ("", none, vec![], vec![], vec![]),
            ("passwd: files systemd\ngroup: files systemd\n", none, vec![], vec![], vec![]),
            ("passwd: sss files\ngroup: sss files\n", none, vec![], vec![], vec![]),
            ("passwd: sss files\ngroup: sss files\n", sssd, vec!["sss"], vec!["sss"], vec!["sss"]),
            ("passwd:files sss # x\ngroup: files\n", sssd, vec!["sss"], vec![], vec![]),
            ("passwd: files [NOTFOUND=return] sss\n", sssd, vec!["sss"], vec![], vec![]),
            ("group: files [SUCCESS=merge] sss\n", sssd, vec![], vec!["sss"], vec![]),
            ("group: files\ninitgroups: files sss\n", sssd, vec![], vec!["sss"], vec![]),
            ("passwd: files\npasswd: vendor files\n", none, vec!["vendor"], vec![], vec!["vendor"]),
            ("passwd: compat winbind\n", none, vec![], vec![], vec![]),
            (
                "passwd: files systemd\n",
                ("/etc/userdb/x.user", b""),
                vec!["systemd"],
                vec![],
                vec![],
            ),
        ] {
            let mut tree = MemoryTree::new();
            tree.file("/etc/nsswitch.conf", 0, 0o644, text.as_bytes());
            tree.file(extra.0, 0, 0o600, extra.1);
            let found = NameServices::read(&tree, &mut Vec::new());
            assert_eq!(found.other_users(), users, "{text}");
            assert_eq!(found.other_groups(), groups, "{text}");
            assert_eq!(found.before_files(), before, "{text}");
            assert!(found.asks_files());
        }
    }
}
