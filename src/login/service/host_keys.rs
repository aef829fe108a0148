//! Host keys: without one sshd says "no hostkeys available" and ends (LOGIN-109, LOGIN-110).

use super::unit_lines;
use crate::error::Result;
use crate::fs::path::{GuestPath, find};
use crate::fs::{Metadata, NodeKind};
use crate::guest::linux::text::{exists, optional};
use crate::login::match_block::Subject;
use crate::login::{Finding, Guest};

const ID: (&str, &str) = ("sshd-hostkeys", "LOGIN-109");
/// Bound on the keys that a configuration names.
const KEYS_MAX: usize = 64;
/// Size above which a file is no private key, in bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Where sshd looks without `HostKey`.
const DEFAULTS: [&str; 3] =
    ["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"];

/// The start of every private key in OpenSSH's own format without a passphrase: magic, and the cipher "none".
const CLEAR_START: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

pub(super) fn findings(guest: &Guest<'_>) -> Result<Vec<Finding>> {
    let nobody = Subject { name: Vec::new(), groups: Vec::new() };
    let settings = guest.config.effective(&nobody);
    let Some(effective) = settings.first() else { return Ok(Vec::new()) };
    let named = effective.all("hostkey");
    let mut keys: Vec<GuestPath> =
        named.iter().filter_map(|found| found.arguments.first()).map(GuestPath::new).collect();
    if keys.is_empty() {
        keys.extend(DEFAULTS.map(GuestPath::new));
    }
    let mut problems = Vec::new();
    let mut can_be_made = false;
    for key in keys.iter().take(KEYS_MAX) {
        match problem(guest, key)? {
            None => return Ok(unusable(problems)),
            Some(Problem::Missing) => {
                let path = key.to_string();
                can_be_made |= DEFAULTS.contains(&path.as_str());
            }
            Some(Problem::Unusable(reason)) => {
                problems.push(Finding::warn(ID, key, format!("sshd does not use it: {reason}")));
            }
        }
    }
    let mut findings = problems;
    let subject = keys.first().map_or_else(|| "/etc/ssh".to_owned(), ToString::to_string);
    if effective.value("hostkeyagent").is_some_and(|value| value != b"none") {
        let message = "no host key is usable without HostKeyAgent, which is not seen here";
        findings.push(Finding::undecided(ID, subject, message));
        return Ok(findings);
    }
    findings.push(match maker(guest).filter(|_| can_be_made) {
        Some(Maker::AtStart(evidence)) => {
            let message = format!("no host key is there; new ones are made at the start, by {evidence}");
            Finding::warn(("sshd-hostkeys", "LOGIN-110"), subject, message)
        }
        Some(Maker::CloudInit { is_first_boot: true }) => {
            let message = "no host key is there; cloud-init makes new ones at the first boot";
            Finding::warn(("sshd-hostkeys", "LOGIN-110"), subject, message)
        }
        Some(Maker::CloudInit { is_first_boot: false }) => {
            let message = "no host key is there, and cloud-init makes new ones only on an instance with \
                           another id";
            Finding::undecided(("sshd-hostkeys", "LOGIN-110"), subject, message)
        }
        None => {
            let message = "no host key is usable, and nothing makes new ones: sshd ends at once";
            Finding::block(ID, subject, message).fixed_by("`ssh-keygen -A` on a rescue machine")
        }
    });
    Ok(findings)
}

/// Beside a usable key the others are only worth a note.
fn unusable(mut problems: Vec<Finding>) -> Vec<Finding> {
    for problem in &mut problems {
        problem.severity = crate::login::Severity::Info;
    }
    problems
}

enum Problem {
    Missing,
    Unusable(String),
}

fn problem(guest: &Guest<'_>, path: &GuestPath) -> Result<Option<Problem>> {
    let fs = guest.fs;
    let Ok(Some(found)) = find(fs, path) else { return Ok(Some(Problem::Missing)) };
    let metadata = fs.metadata(found.node)?;
    if metadata.kind != NodeKind::File {
        return Ok(Some(Problem::Unusable(format!("it is a {}", metadata.kind))));
    }
    if metadata.size_bytes == 0 {
        // A generator makes an empty file anew.
        return Ok(Some(Problem::Missing));
    }
    if has_open_mode(guest, &metadata) {
        let reason = format!("mode {:04o} lets others read it", metadata.mode);
        return Ok(Some(Problem::Unusable(reason)));
    }
    if metadata.size_bytes > KEY_BYTES_MAX {
        return Ok(Some(Problem::Unusable("it is too large for a key".to_owned())));
    }
    let content = fs.read(found.node, KEY_BYTES_MAX)?;
    Ok(content_problem(&content).map(|reason| Problem::Unusable(reason.to_owned())))
}

/// Root's own file must be closed to all others, but the RHEL family lets its group ssh_keys read it.
fn has_open_mode(guest: &Guest<'_>, metadata: &Metadata) -> bool {
    let others = metadata.mode & 0o077;
    if metadata.uid != 0 || others == 0 {
        return false;
    }
    let group = guest.system.accounts.groups.iter().find(|group| group.gid == metadata.gid);
    let is_for_its_group = group.is_some_and(|group| group.name == b"ssh_keys");
    !(is_for_its_group && others & !0o040 == 0)
}

fn content_problem(content: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    let Some(head) = lines.next() else { return Some("it is no private key") };
    if head.contains("OPENSSH PRIVATE KEY") {
        let is_clear = lines.next().is_some_and(|line| line.starts_with(CLEAR_START));
        return (!is_clear).then_some("it has a passphrase, or is damaged");
    }
    let is_encrypted = head.contains("ENCRYPTED") || lines.any(|line| line.contains("ENCRYPTED"));
    if is_encrypted {
        return Some("it has a passphrase");
    }
    (!head.contains("PRIVATE KEY")).then_some("it is no private key")
}

enum Maker {
    /// A unit or script that runs before sshd.
    AtStart(String),
    CloudInit {
        is_first_boot: bool,
    },
}

/// What makes host keys that are missing.
fn maker(guest: &Guest<'_>) -> Option<Maker> {
    let fs = guest.fs;
    let words = ["sshd-keygen", "ssh-keygen", "sshd-gen-keys", "sshdgenkeys"];
    let names_one = |value: &[u8]| words.iter().any(|word| contains(value, word.as_bytes()));
    let made_by = unit_lines(guest).into_iter().find(|line| {
        let keys: [&[u8]; 4] = [b"Wants", b"Requires", b"BindsTo", b"ExecStartPre"];
        keys.contains(&line.key.as_slice()) && names_one(&line.value)
    });
    if let Some(line) = made_by {
        let units = String::from_utf8_lossy(&line.value).into_owned();
        let is_masked = |unit: &str| {
            names_one(unit.as_bytes())
                && crate::guest::linux::service::unit_start(fs, unit, false).word() == "masked"
        };
        if !units.split_whitespace().any(is_masked) {
            return Some(Maker::AtStart(line.place));
        }
    }
    if !crate::guest::linux::console::has_systemd(fs) {
        for path in ["/etc/init.d/sshd", "/etc/rc.d/init.d/sshd", "/etc/init.d/ssh"] {
            let script = optional(fs, path, &mut Vec::new()).unwrap_or_default();
            if names_one(&script) {
                return Some(Maker::AtStart(path.to_owned()));
            }
        }
    }
    let is_cloud =
        exists(fs, "/usr/bin/cloud-init") && !exists(fs, "/etc/cloud/cloud-init.disabled");
    is_cloud.then_some(Maker::CloudInit { is_first_boot: guest.system.instance_id.is_none() })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
