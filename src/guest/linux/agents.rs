//! Programs on the volume that write keys or offer another way in (LOGIN-T5, linux-login.md section 12).

use super::text::exists;
use crate::fs::FileSystem;

/// A program that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Its usual name.
    pub name: &'static str,
    /// The path that gave it away.
    pub evidence: &'static str,
}

const AGENTS: [(&str, &[&str]); 9] = [
    ("cloud-init", &["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"]),
    (
        "amazon-ssm-agent",
        &["/usr/bin/amazon-ssm-agent", "/snap/amazon-ssm-agent", "/etc/amazon/ssm"],
    ),
    (
        "ec2-instance-connect",
        &["/opt/aws/bin/eic_run_authorized_keys", "/usr/share/ec2-instance-connect"],
    ),
    ("google-guest-agent", &["/usr/bin/google_guest_agent"]),
    ("waagent", &["/usr/sbin/waagent", "/etc/waagent.conf"]),
    ("update-ssh-keys", &["/usr/bin/update-ssh-keys"]),
    ("puppet", &["/opt/puppetlabs/bin/puppet", "/usr/bin/puppet"]),
    ("chef-client", &["/usr/bin/chef-client"]),
    ("salt-minion", &["/usr/bin/salt-minion"]),
];

/// The agents on the volume.
pub fn find(fs: &dyn FileSystem) -> Vec<Agent> {
    let found = |&(name, paths): &(&'static str, &[&'static str])| {
        let evidence = paths.iter().copied().find(|path| exists(fs, path))?;
        Some(Agent { name, evidence })
    };
    AGENTS.iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn agents_are_found_by_their_files() {
        let mut tree = MemoryTree::new();
        tree.file("/usr/bin/cloud-init", 0, 0o755, b"").directory("/etc/amazon/ssm", 0, 0o755);
        let names = |agents: Vec<Agent>| agents.into_iter().map(|a| a.name).collect::<Vec<_>>();
        assert_eq!(names(find(&tree)), ["cloud-init", "amazon-ssm-agent"]);
    }
}
