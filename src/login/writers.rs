//! What writes keys, passwords and settings at the next boot (linux-login.md, section 12): none of it
//! decides what sshd answers now, all of it is worth knowing.
//!
//! The directories that Flatcar and Fedora CoreOS make key files from are checked with the key files.

use super::{Finding, Guest};
use crate::bytes::text::escape_limited;
use crate::fs::NodeKind;
use crate::fs::path::{Resolution, resolve};
use crate::guest::linux::service::{Start, start_of};
use crate::guest::linux::text::exists;
use crate::guest::linux::{CloudInit, User, cloud_init};

const CHECK: &str = "writers";

/// Tools that manage a configuration, by their program and the names of their service (LOGIN-105).
const MANAGERS: [(&str, &str, &[&str]); 7] = [
    ("puppet", "/opt/puppetlabs/bin/puppet", &["puppet"]),
    ("puppet", "/usr/bin/puppet", &["puppet"]),
    ("chef-client", "/usr/bin/chef-client", &["chef-client"]),
    ("chef-client", "/opt/chef/bin/chef-client", &["chef-client"]),
    ("salt-minion", "/usr/bin/salt-minion", &["salt-minion"]),
    ("cfengine", "/var/cfengine/bin/cf-agent", &["cfengine3", "cf-execd"]),
    ("ansible-pull", "/usr/bin/ansible-pull", &["ansible-pull"]),
];

/// Everything that may change what was decided for `user`.
pub fn findings(guest: &Guest<'_>, user: &User) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(state) = CloudInit::read(guest.fs) {
        findings.extend(cloud_init_findings(guest, user, &state));
    }
    findings.extend(agents(guest));
    findings.extend(managers(guest));
    findings
}

fn cloud_init_findings(guest: &Guest<'_>, user: &User, state: &CloudInit) -> Vec<Finding> {
    if let Some(off) = &state.off {
        let message = format!("cloud-init does not run: {off}");
        return vec![Finding::info((CHECK, "LOGIN-100"), state.evidence, message)];
    }
    let mut findings = Vec::new();
    let instance = state.instance_id.as_ref().map(|id| escape_limited(id, 64));
    let message = match &instance {
        Some(id) => format!("cloud-init leaves the edit alone as long as the disk boots in {id}"),
        None => {
            "cloud-init has not run on this disk: the next boot is that of a new instance".into()
        }
    };
    findings.push(Finding::info((CHECK, "LOGIN-96"), state.evidence, message));
    if state.is_pinned {
        let message = "manual_cache_clean: cloud-init trusts what it knows, in any instance";
        findings.push(Finding::info((CHECK, "LOGIN-100"), state.evidence, message));
        return findings;
    }
    let does = state.on_a_new_instance().join("; ");
    let message = format!("in an instance with another id cloud-init {does}");
    findings.push(Finding::info((CHECK, "LOGIN-97"), state.evidence, message));
    findings.extend(merges(guest, user, state));
    findings.extend(symlinks(guest, user));
    findings
}

/// What becomes of key lines on a new instance (LOGIN-98).
fn merges(guest: &Guest<'_>, user: &User, state: &CloudInit) -> Option<Finding> {
    let id = (CHECK, "LOGIN-98");
    if user.uid == 0 && state.disables_root {
        let message = "in a new instance cloud-init gives root the keys of the metadata with a command= that \
                       only tells people to log in as somebody else; another key of root stays";
        return Some(Finding::info(id, "root", message));
    }
    let default = cloud_init::default_user(guest.fs, &mut Vec::new());
    if default.as_deref() != Some(user.name.as_slice()) {
        return None;
    }
    let message = "in a new instance cloud-init adds the keys of the metadata and keeps all others";
    Some(Finding::info(id, user.display_name(), message))
}

/// cloud-init does not follow links on the way to a key file (LOGIN-99).
fn symlinks(guest: &Guest<'_>, user: &User) -> Option<Finding> {
    let home = user.home.as_ref()?;
    let is_link = |path: &crate::fs::path::GuestPath| match resolve(guest.fs, path, false) {
        Ok(Resolution::Found(found)) => {
            guest.fs.metadata(found.node).is_ok_and(|node| node.kind == NodeKind::Symlink)
        }
        _ => false,
    };
    let paths = [home.clone(), home.join(".ssh"), home.join(".ssh/authorized_keys")];
    let path = paths.iter().find(|path| is_link(path))?;
    let message = "is a link, which cloud-init does not follow: it writes keys to the usual place";
    Some(Finding::info((CHECK, "LOGIN-99"), path, message))
}

/// The agents of clouds (LOGIN-104, LOGIN-105).
fn agents(guest: &Guest<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in ["/usr/bin/google_guest_agent", "/usr/bin/google_guest_agent_manager"] {
        if exists(guest.fs, path) {
            let message = "the agent of Google writes the key files again from the metadata: it keeps \
                           every line but the one after each `# Added by Google`";
            findings.push(Finding::info((CHECK, "LOGIN-104"), path, message));
            break;
        }
    }
    for path in ["/usr/sbin/waagent", "/usr/bin/waagent"] {
        if exists(guest.fs, path) {
            let message = "the agent of Azure sets passwords, keys and sudo rights when it provisions a \
                           machine, and through VMAccess";
            findings.push(Finding::info((CHECK, "LOGIN-105"), path, message));
            break;
        }
    }
    findings
}

/// Configuration management, which may take an edit back (LOGIN-105).
fn managers(guest: &Guest<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (name, path, units) in MANAGERS {
        if !exists(guest.fs, path) {
            continue;
        }
        let start = start_of(guest.fs, units, !guest.system.has_machine_id);
        let message = match start {
            Start::Enabled(evidence) | Start::Preset(evidence) => {
                format!("{name} starts at boot, by {evidence}, and may take the edit back")
            }
            _ => format!("{name} is installed but not started at boot; a job may still run it"),
        };
        findings.push(Finding::info((CHECK, "LOGIN-105"), path, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::guest::linux::detect;
    use crate::login::Severity;
    use crate::login::testing::{NOW, debian};

    fn found(tree: &MemoryTree, user: &str) -> Vec<(&'static str, String)> {
        let system = detect(tree).unwrap().unwrap();
        let guest = Guest::open(tree, &system, NOW).unwrap();
        let findings = findings(&guest, system.accounts.find(user.as_bytes()).unwrap());
        assert!(findings.iter().all(|f| f.severity == Severity::Info && !f.is_undecided));
        findings.into_iter().map(|finding| (finding.rule, finding.message)).collect()
    }

    fn rules(tree: &MemoryTree, user: &str) -> Vec<&'static str> {
        found(tree, user).into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn cloud_init_is_told_by_what_it_will_do() {
        let mut tree = debian("");
        assert!(rules(&tree, "admin").is_empty());
        tree.file("/usr/bin/cloud-init", 0, 0o755, b"");
        assert_eq!(rules(&tree, "admin"), ["LOGIN-96", "LOGIN-97"]);
        assert!(found(&tree, "admin")[0].1.contains("has not run"));
        tree.file("/var/lib/cloud/data/instance-id", 0, 0o644, b"i-07\n");
        assert!(found(&tree, "admin")[0].1.ends_with("boots in i-07"));
        let yaml = b"system_info:\n  default_user:\n    name: admin\n";
        tree.file("/etc/cloud/cloud.cfg", 0, 0o644, yaml);
        assert_eq!(rules(&tree, "admin"), ["LOGIN-96", "LOGIN-97", "LOGIN-98"]);
        assert!(found(&tree, "root")[2].1.contains("command="));
        tree.link("/home/admin/.ssh/authorized_keys", "/x");
        assert_eq!(rules(&tree, "admin"), ["LOGIN-96", "LOGIN-97", "LOGIN-98", "LOGIN-99"]);
        tree.file("/etc/cloud/cloud.cfg", 0, 0o644, b"manual_cache_clean: true\n");
        assert_eq!(rules(&tree, "admin"), ["LOGIN-96", "LOGIN-100"]);
        tree.file("/etc/cloud/cloud-init.disabled", 0, 0o644, b"");
        assert_eq!(rules(&tree, "admin"), ["LOGIN-100"]);
    }

    #[test]
    fn other_writers_are_named_login_104_login_105() {
        let mut tree = debian("");
        tree.file("/usr/bin/google_guest_agent", 0, 0o755, b"")
            .file("/usr/sbin/waagent", 0, 0o755, b"")
            .file("/usr/bin/salt-minion", 0, 0o755, b"")
            .file("/usr/lib/systemd/systemd", 0, 0o755, b"");
        assert_eq!(rules(&tree, "admin"), ["LOGIN-104", "LOGIN-105", "LOGIN-105"]);
        assert!(found(&tree, "admin")[2].1.contains("not started"));
        tree.file("/usr/lib/systemd/system/salt-minion.service", 0, 0o644, b"[Unit]\n")
            .link("/etc/systemd/system/multi-user.target.wants/salt-minion.service", "/x");
        assert!(found(&tree, "admin")[2].1.contains("may take the edit back"));
    }
}
