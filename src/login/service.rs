//! Will sshd run after the next boot, and can it be reached (linux-login.md, section 13)?
//!
//! Four checks: `sshd-enabled`, `sshd-hostkeys`, `sshd-privsep`, `sshd-reach`. What keeps sshd from running
//! for everybody blocks; what may start it unseen leaves the answer open; what a firewall does is only told.
//! Of a tree without any init, which no machine boots, nothing is said.

mod host_keys;
mod privilege_separation;
mod reach;

use super::daemon::Daemon;
use super::{Finding, Guest};
use crate::error::Result;
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, find};
use crate::guest::linux::KernelCommandLine;
use crate::guest::linux::service::{Start, start_of};
use crate::guest::linux::text::exists;
use crate::guest::linux::unit_file::{Assignment, assignments};

/// The names of the unit or script (LOGIN-106).
pub const SSHD_NAMES: [&str; 2] = ["sshd", "ssh"];
/// What enabling the unit repairs.
const ENABLED: (&str, &str) = ("sshd-enabled", "LOGIN-107");
/// What it does not.
const RUNS: (&str, &str) = ("sshd-reach", "LOGIN-106");

/// What starts services, or has scripts for it.
const INITS: [&str; 4] =
    ["/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/init.d"];

/// Everything that decides whether sshd runs.
///
/// # Errors
/// As the file system.
pub fn findings(guest: &Guest<'_>) -> Result<Vec<Finding>> {
    let fs = guest.fs;
    if let Some(mount) = guest.mount_finding(&GuestPath::new("/usr/sbin")) {
        let message = "the programs are on another volume, so whether sshd starts is not known";
        return Ok(vec![Finding { fix: mount.fix, ..Finding::undecided(RUNS, "/usr", message) }]);
    }
    if !INITS.iter().any(|path| exists(fs, path)) {
        return Ok(Vec::new());
    }
    let daemon = Daemon::read(fs)?;
    if !exists(fs, &daemon.program.to_string()) {
        let finding = Finding::block(RUNS, &daemon.program, "there is no sshd on this volume");
        return Ok(vec![finding.fixed_by("another way in: `regain inspect` lists them")]);
    }
    let mut findings = program_findings(fs, &daemon)?;
    findings.extend(start_findings(guest));
    findings.extend(boot_findings(guest));
    findings.extend(host_keys::findings(guest)?);
    findings.extend(privilege_separation::findings(guest, &daemon)?);
    findings.extend(reach::findings(guest, &daemon)?);
    Ok(findings)
}

impl Guest<'_> {
    /// As [`findings`], looked at once.
    ///
    /// # Errors
    /// As [`findings`].
    pub fn service_findings(&self) -> Result<&[Finding]> {
        if let Some(known) = self.service.get() {
            return Ok(known);
        }
        let found = findings(self)?;
        Ok(self.service.get_or_init(|| found))
    }
}

/// When sshd is started.
pub fn start(guest: &Guest<'_>) -> Start {
    start_of(guest.fs, &SSHD_NAMES, !guest.system.has_machine_id)
}

fn program_findings(fs: &dyn crate::fs::FileSystem, daemon: &Daemon) -> Result<Vec<Finding>> {
    let Some(found) = find(fs, &daemon.program)? else { return Ok(Vec::new()) };
    let metadata = fs.metadata(found.node)?;
    let problem = if metadata.kind != NodeKind::File {
        "is not a regular file"
    } else if metadata.size_bytes == 0 {
        "is empty"
    } else if metadata.mode & 0o111 == 0 {
        "is not executable"
    } else {
        return Ok(Vec::new());
    };
    let message = format!("the program {problem}: sshd cannot start");
    Ok(vec![Finding::block(RUNS, &daemon.program, message)])
}

fn start_findings(guest: &Guest<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match start(guest) {
        Start::Enabled(evidence) | Start::Preset(evidence) => {
            findings.push(Finding::info(ENABLED, evidence, "sshd is started at boot"));
        }
        Start::Disabled(evidence) => {
            let message = "sshd is not enabled: nothing seen here starts it at boot";
            let finding = Finding::undecided(ENABLED, evidence, message);
            findings.push(finding.fixed_by("`systemctl enable` of its unit, on a rescue machine"));
        }
        Start::Masked(mask) => {
            let message = "the unit is masked: sshd is never started";
            let finding = Finding::block(ENABLED, mask, message);
            findings.push(finding.fixed_by("remove the link to /dev/null on a rescue machine"));
        }
        Start::Missing => {
            let message = "no unit, script or job that starts sshd was found";
            findings.push(Finding::undecided(ENABLED, "sshd", message));
        }
    }
    findings.extend(conditions(guest));
    findings
}

/// The file by which Debian keeps sshd from starting, if the unit asks for it.
fn conditions(guest: &Guest<'_>) -> Option<Finding> {
    let path = "/etc/ssh/sshd_not_to_be_run";
    if !exists(guest.fs, path) {
        return None;
    }
    let condition = [b"!".as_slice(), path.as_bytes()].concat();
    let asks = |line: &Assignment| line.key == b"ConditionPathExists" && line.value == condition;
    let is_asked = unit_lines(guest).iter().any(asks) || guest.system.os.is_like("debian");
    let message = "it exists, so sshd is not started";
    let finding = Finding::block(RUNS, path, message).fixed_by("remove the file");
    is_asked.then_some(finding)
}

/// What the unit of sshd and its drop-ins say.
fn unit_lines(guest: &Guest<'_>) -> Vec<Assignment> {
    let units = SSHD_NAMES.iter().map(|name| format!("{name}.service"));
    let found = units.map(|unit| assignments(guest.fs, &unit)).find(|lines| !lines.is_empty());
    found.unwrap_or_default()
}

/// A boot that ends before services start (VOL-18).
fn boot_findings(guest: &Guest<'_>) -> Vec<Finding> {
    let line = KernelCommandLine::read(guest.fs);
    let mut findings = Vec::new();
    let single = ["single", "s", "S", "1", "rescue", "emergency", "-b", "rd.break"];
    let target = line.value("systemd.unit").filter(|unit| is_rescue(unit));
    let word = single.iter().find(|word| line.has_word(word)).map(|word| (*word).to_owned());
    let word = word
        .or_else(|| target.map(|unit| crate::bytes::text::escape_limited(unit, 64)))
        .or_else(|| line.value("init").map(|_| "init=".to_owned()));
    if let Some(word) = word {
        let message = format!("the kernel command line has {word}: the boot may end before sshd");
        findings.push(Finding::undecided(RUNS, &line.source, message));
    }
    let default = "/etc/systemd/system/default.target";
    if let Ok(crate::fs::path::Resolution::Found(found)) =
        crate::fs::path::resolve(guest.fs, &GuestPath::new(default), false)
    {
        let target = guest.fs.read_link(found.node).unwrap_or_default();
        if is_rescue(GuestPath::new(&target).file_name()) {
            let message = "the machine boots into a rescue shell, without sshd";
            findings.push(Finding::block(RUNS, default, message));
        }
    }
    findings
}

fn is_rescue(target: &[u8]) -> bool {
    let targets: [&[u8]; 5] = [
        b"rescue.target",
        b"emergency.target",
        b"runlevel1.target",
        b"halt.target",
        b"poweroff.target",
    ];
    targets.contains(&target)
}

#[cfg(test)]
mod tests;
