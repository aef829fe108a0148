//! What stands between the network and sshd, as far as the volume says it (LOGIN-108, LOGIN-112): told, never
//! decided, and never changed.

use crate::error::Result;
use crate::guest::linux::service::start_of;
use crate::guest::linux::text::{exists, lines, optional};
use crate::guest::linux::unit_file::assignments;
use crate::login::daemon::{Daemon, version};
use crate::login::match_block::Subject;
use crate::login::{Finding, Guest};

const ID: (&str, &str) = ("sshd-reach", "LOGIN-112");
/// Bound on the lines of one file that are looked at.
const LINES_MAX: usize = 10_000;

/// Firewalls: the names of the service, and the file with the rules.
const FIREWALLS: [(&[&str], &str, &str); 6] = [
    (&["firewalld"], "/etc/firewalld/firewalld.conf", "firewalld"),
    (&["nftables"], "/etc/nftables.conf", "nftables"),
    (&["nftables"], "/etc/sysconfig/nftables.conf", "nftables"),
    (&["iptables"], "/etc/sysconfig/iptables", "iptables"),
    (&["netfilter-persistent", "iptables-persistent"], "/etc/iptables/rules.v4", "iptables"),
    (&["SuSEfirewall2"], "/etc/sysconfig/SuSEfirewall2", "SuSEfirewall2"),
];

pub(super) fn findings(guest: &Guest<'_>, daemon: &Daemon) -> Result<Vec<Finding>> {
    let mut findings = addresses(guest);
    findings.extend(sockets(guest));
    findings.extend(wrappers(guest, daemon)?);
    findings.extend(firewalls(guest));
    let script = "/etc/ssh/sshrc";
    if exists(guest.fs, script) {
        let message = "runs at every login before the shell; a mistake in it can end the login";
        findings.push(Finding::info(ID, script, message));
    }
    Ok(findings)
}

/// Port, ListenAddress and AddressFamily.
fn addresses(guest: &Guest<'_>) -> Vec<Finding> {
    let nobody = Subject { name: Vec::new(), groups: Vec::new() };
    let settings = guest.config.effective(&nobody);
    let Some(effective) = settings.first() else { return Vec::new() };
    let mut findings = Vec::new();
    let ports = effective.all("port");
    let is_usual = |value: &[u8]| value == b"22";
    let has_usual = ports.iter().any(|found| found.arguments.first().is_some_and(|v| is_usual(v)));
    if let (Some(first), false) = (ports.first(), has_usual) {
        let port = shown(first.arguments.first());
        let message = format!("sshd listens on port {port}, not on 22");
        findings.push(Finding::info(ID, &first.place, message));
    }
    let listen = effective.all("listenaddress");
    let is_local = |value: &[u8]| {
        value == b"localhost"
            || value.starts_with(b"127.")
            || value.starts_with(b"::1")
            || value.starts_with(b"[::1]")
    };
    if let Some(first) = listen.first() {
        let all: Vec<&[u8]> =
            listen.iter().filter_map(|f| f.arguments.first()).map(Vec::as_slice).collect();
        let any = |value: &[u8]| {
            value.starts_with(b"0.0.0.0")
                || value.starts_with(b"::") && !is_local(value)
                || value.starts_with(b"[::]")
        };
        if all.iter().all(|value| is_local(value)) {
            let message = "sshd listens only on the machine itself: nobody reaches it from outside";
            findings.push(Finding::warn(ID, &first.place, message));
        } else if !all.iter().any(|value| any(value)) {
            let message = format!(
                "sshd listens on {}: the machine must have that address",
                shown(first.arguments.first())
            );
            findings.push(Finding::info(ID, &first.place, message));
        }
    }
    if let Some(family) = effective.value("addressfamily").filter(|family| family != b"any") {
        let message = format!("sshd listens with {} only", shown(Some(&family)));
        let place = effective.first("addressfamily").map(|found| found.place.to_string());
        findings.push(Finding::info(ID, place.unwrap_or_default(), message));
    }
    findings
}

fn shown(value: Option<&Vec<u8>>) -> String {
    crate::bytes::text::escape_limited(value.map(Vec::as_slice).unwrap_or_default(), 64)
}

/// A socket that starts sshd decides where it listens (LOGIN-108).
fn sockets(guest: &Guest<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for unit in ["ssh.socket", "sshd.socket"] {
        let start =
            crate::guest::linux::service::unit_start(guest.fs, unit, !guest.system.has_machine_id);
        if !start.is_at_boot() {
            continue;
        }
        for line in assignments(guest.fs, unit) {
            let is_own = line.place.starts_with("/etc/");
            if line.key == b"ListenStream" && is_own && !line.value.is_empty() {
                let message =
                    format!("{unit} starts sshd, and listens on {}", shown(Some(&line.value)));
                findings.push(Finding::info(("sshd-reach", "LOGIN-108"), line.place, message));
            }
        }
    }
    findings
}

/// Rules of tcp_wrappers, which only some builds of sshd read.
fn wrappers(guest: &Guest<'_>, daemon: &Daemon) -> Result<Option<Finding>> {
    let path = "/etc/hosts.deny";
    let content = optional(guest.fs, path, &mut Vec::new()).unwrap_or_default();
    let found = lines(&content).take(LINES_MAX).zip(1u64..).find(|(line, _)| is_rule(line));
    let Some((_, number)) = found else { return Ok(None) };
    let allowed = optional(guest.fs, "/etc/hosts.allow", &mut Vec::new()).unwrap_or_default();
    let lets_all_in = |line: &[u8]| is_rule(line) && is_all(line);
    if lines(&allowed).take(LINES_MAX).any(lets_all_in) {
        return Ok(None);
    }
    let words = version::words_in_program(guest.fs, &daemon.program, &["libwrap.so.0"])?;
    if words.is_some_and(|words| !words.contains(&true)) {
        return Ok(None);
    }
    let message = "tcp_wrappers turns clients away from sshd, unless /etc/hosts.allow lets them in";
    Ok(Some(Finding::undecided(ID, format!("{path}:{number}"), message)))
}

/// True for a rule of tcp_wrappers that is about sshd.
fn is_rule(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let services = line.split(|&byte| byte == b':').next().unwrap_or_default();
    let mut names = services.split(|byte| byte.is_ascii_whitespace() || *byte == b',');
    !line.starts_with(b"#") && names.any(|name| matches!(name, b"ALL" | b"sshd" | b"ssh"))
}

/// True for a rule `services: ALL` and nothing more.
fn is_all(line: &[u8]) -> bool {
    let mut parts = line.split(|&byte| byte == b':').skip(1);
    parts.next().is_some_and(|clients| clients.trim_ascii() == b"ALL") && parts.next().is_none()
}

fn firewalls(guest: &Guest<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (services, rules, name) in FIREWALLS {
        let is_on = || start_of(guest.fs, services, !guest.system.has_machine_id).is_at_boot();
        if exists(guest.fs, rules) && is_on() {
            let message =
                format!("{name} is enabled; whether its rules let ssh in is not decided here");
            findings.push(Finding::info(ID, rules, message));
        }
    }
    let ufw = optional(guest.fs, "/etc/ufw/ufw.conf", &mut Vec::new()).unwrap_or_default();
    if lines(&ufw).take(LINES_MAX).any(|line| line.trim_ascii() == b"ENABLED=yes") {
        let message = "ufw is enabled; whether its rules let ssh in is not decided here";
        findings.push(Finding::info(ID, "/etc/ufw/ufw.conf", message));
    }
    findings
}
