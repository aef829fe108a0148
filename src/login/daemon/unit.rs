//! How a guest starts sshd: the unit with its drop-ins and environment, or the defaults file of an init script
//! (systemd.unit(5), systemd.service(5); LOGIN-11, LOGIN-106 to LOGIN-108, LOGIN-114).
//!
//! Bounds: [`DROP_INS_MAX`]. Not handled: generators, presets, `systemctl set-environment`, what stands in
//! /run.

use super::Vendor;
use super::words::{self, Environment};
use crate::error::Result;
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::{TEXT_BYTES_MAX, sorted_names};
use crate::login::Finding;
use crate::login::pattern;
use crate::login::sshd_config::Place;
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the drop-ins of one unit.
const DROP_INS_MAX: usize = 256;

/// Where units are, the strongest first.
const DIRECTORIES: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The names that distributions give the unit (LOGIN-106).
const NAMES: [&str; 2] = ["sshd", "ssh"];

/// One word of a command line and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: Vec<u8>,
    pub(super) place: Place,
}

/// How sshd is started.
#[derive(Debug, Clone, Default)]
pub(super) struct Start {
    /// The program and its arguments; empty if it is not known.
    pub(super) words: Vec<Word>,
    /// True if a socket unit listens.
    pub(super) is_socket_activated: bool,
    /// What keeps the unit from starting, or could not be understood.
    pub(super) findings: Vec<Finding>,
}

/// A unit with its files.
#[derive(Debug, Default)]
struct Unit {
    /// Commands of `ExecStart=`, each with its place.
    commands: Vec<(Vec<u8>, Place)>,
    environment_files: Vec<(Vec<u8>, Place)>,
    environment: Environment<Place>,
    accepts: bool,
    findings: Vec<Finding>,
}

/// Every way in which sshd may be started; more than one if both a socket and a service are enabled.
pub(super) fn starts(fs: &dyn FileSystem, vendor: Vendor) -> Result<Vec<Start>> {
    let services = services(fs)?;
    let mut starts = Vec::new();
    for name in NAMES {
        let socket = format!("{name}.socket");
        if !is_wanted(fs, "sockets", &socket) {
            continue;
        }
        let Some(path) = fragment(fs, &socket)? else { continue };
        let names = BTreeSet::from([socket]);
        let unit = read_unit(fs, &path, &names)?;
        let service =
            if unit.accepts { format!("{name}@.service") } else { format!("{name}.service") };
        if let Some(path) = fragment(fs, &service)? {
            let start = start(fs, read_unit(fs, &path, &BTreeSet::from([service]))?)?;
            starts.push(Start { is_socket_activated: true, ..start });
        }
    }
    let mut others = Vec::new();
    for (path, names) in services {
        let found = start(fs, read_unit(fs, &path, &names)?)?;
        if names.iter().any(|name| is_wanted(fs, "multi-user", name)) {
            starts.push(found);
        } else {
            others.push(found);
        }
    }
    if starts.is_empty() {
        // Not enabled, which is another check: what it would be started with.
        starts = others.into_iter().take(1).collect();
    }
    if starts.is_empty() {
        starts = vec![from_defaults(fs, vendor)?];
    }
    Ok(starts)
}

/// The services by their real path, with every name that leads there.
fn services(fs: &dyn FileSystem) -> Result<BTreeMap<GuestPath, BTreeSet<String>>> {
    let mut services: BTreeMap<GuestPath, BTreeSet<String>> = BTreeMap::new();
    for name in NAMES {
        let service = format!("{name}.service");
        if let Some(path) = fragment(fs, &service)? {
            let real = String::from_utf8_lossy(path.file_name()).into_owned();
            services.entry(path).or_default().extend([service, real]);
        }
    }
    Ok(services)
}

/// The real path of a unit's file; `None` if there is none or it is masked.
fn fragment(fs: &dyn FileSystem, name: &str) -> Result<Option<GuestPath>> {
    for directory in DIRECTORIES {
        // A link into nothing is as good as none.
        let path = GuestPath::new(directory).join(name);
        if is_mask(fs, &path) {
            return Ok(None);
        }
        let Ok(Some(found)) = find(fs, &path) else { continue };
        let metadata = fs.metadata(found.node)?;
        if metadata.kind != NodeKind::File || metadata.size_bytes == 0 {
            return Ok(None);
        }
        return Ok(Some(found.real_path));
    }
    Ok(None)
}

/// True for a link to /dev/null, which is empty on a volume at rest.
fn is_mask(fs: &dyn FileSystem, path: &GuestPath) -> bool {
    let Ok(crate::fs::path::Resolution::Found(found)) = crate::fs::path::resolve(fs, path, false)
    else {
        return false;
    };
    fs.read_link(found.node).is_ok_and(|target| target == b"/dev/null")
}

/// True if a target wants the unit (LOGIN-107).
fn is_wanted(fs: &dyn FileSystem, target: &str, unit: &str) -> bool {
    let wants = format!("/etc/systemd/system/{target}.target.wants");
    let path = GuestPath::new(wants).join(unit);
    let looked = crate::fs::path::resolve(fs, &path, false);
    matches!(looked, Ok(crate::fs::path::Resolution::Found(_)))
}

fn read_unit(fs: &dyn FileSystem, path: &GuestPath, names: &BTreeSet<String>) -> Result<Unit> {
    let mut unit = Unit::default();
    let kind = names.iter().find_map(|name| name.rsplit('.').next()).unwrap_or("service");
    let all = names.iter().cloned().chain([kind.to_owned()]);
    let mut drop_ins: BTreeMap<Vec<u8>, GuestPath> = BTreeMap::new();
    for name in all {
        for directory in DIRECTORIES.into_iter().rev() {
            let directory = GuestPath::new(directory).join(format!("{name}.d"));
            let Ok(Some(found)) = find(fs, &directory) else { continue };
            for file in sorted_names(fs, found.node)? {
                if file.ends_with(b".conf") && drop_ins.len() < DROP_INS_MAX {
                    drop_ins.insert(file.clone(), directory.join(&file));
                }
            }
        }
    }
    let files = std::iter::once(path).chain(drop_ins.values());
    for file in files {
        match read_file(fs, file, TEXT_BYTES_MAX) {
            Ok(content) => unit.take(file, &content.unwrap_or_default()),
            // The usual mask of a drop-in.
            Err(_) if is_mask(fs, file) => {}
            Err(error) => {
                let message = format!("the options of sshd are not known: {}", error.kind());
                unit.findings.push(Finding::undecided(("conf-syntax", "LOGIN-11"), file, message));
            }
        }
    }
    Ok(unit)
}

impl Unit {
    /// Adds what a file says.
    fn take(&mut self, path: &GuestPath, content: &[u8]) {
        let mut section = Vec::new();
        let mut lines = content.split(|&byte| byte == b'\n').zip(1u64..);
        while let Some((line, number)) = lines.next() {
            let mut line = line.trim_ascii().to_vec();
            if line.starts_with(b"#") || line.starts_with(b";") {
                continue;
            }
            while line.ends_with(b"\\") {
                let Some((next, _)) = lines.next() else { break };
                let next = next.trim_ascii();
                if next.starts_with(b"#") || next.starts_with(b";") {
                    continue;
                }
                line.pop();
                line.push(b' ');
                line.extend_from_slice(next);
            }
            if line.starts_with(b"[") {
                section = line;
                continue;
            }
            let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
            let (key, value) = line.split_at(equals);
            let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
            let place = Place { path: path.clone(), line: number };
            self.assign(&section, key.trim_ascii(), value, place);
        }
    }

    fn assign(&mut self, section: &[u8], key: &[u8], value: Vec<u8>, place: Place) {
        match (section, key) {
            (b"[Service]", b"ExecStart") if value.is_empty() => self.commands.clear(),
            (b"[Service]", b"ExecStart") => self.commands.push((value, place)),
            (b"[Service]", b"EnvironmentFile") if value.is_empty() => {
                self.environment_files.clear();
            }
            (b"[Service]", b"EnvironmentFile") => self.environment_files.push((value, place)),
            (b"[Service]", b"Environment") if value.is_empty() => self.environment.clear(),
            (b"[Service]", b"Environment") => {
                for word in words::split(&value).unwrap_or_default() {
                    let Some(equals) = word.iter().position(|&byte| byte == b'=') else { continue };
                    let (name, value) = word.split_at(equals);
                    let value = value.get(1..).unwrap_or_default().to_vec();
                    self.environment.insert(name.to_vec(), (value, place.clone()));
                }
            }
            (b"[Socket]", b"Accept") => {
                let value = value.to_ascii_lowercase();
                self.accepts = matches!(value.as_slice(), b"yes" | b"true" | b"on" | b"1");
            }
            _ => {}
        }
    }
}

/// The command line of a service, its variables replaced.
fn start(fs: &dyn FileSystem, mut unit: Unit) -> Result<Start> {
    let mut start = Start { findings: std::mem::take(&mut unit.findings), ..Start::default() };
    for (file, place) in std::mem::take(&mut unit.environment_files) {
        read_environment(fs, &file, &place, &mut unit.environment, &mut start.findings)?;
    }
    if let Some((_, place)) = unit.commands.get(1) {
        let message = "the unit does not start: it has more than one ExecStart";
        let finding = Finding::block(("conf-syntax", "LOGIN-11"), place, message);
        start.findings.push(finding.fixed_by("put a line ExecStart= before the new one"));
    }
    let Some((command, place)) = unit.commands.first() else { return Ok(start) };
    let prefix = command.iter().take_while(|byte| b"@-:+!|".contains(byte)).count();
    let (prefix, command) = command.split_at_checked(prefix).unwrap_or_default();
    let Some(mut words) = words::split(command) else {
        let message = "the command line of the unit is not understood: a quote is not closed";
        start.findings.push(Finding::undecided(("conf-syntax", "LOGIN-11"), place, message));
        return Ok(start);
    };
    if prefix.contains(&b'@') && words.len() > 1 {
        // The second word is the name that the program sees.
        words.remove(1);
    }
    let is_plain = prefix.contains(&b':');
    for (index, word) in words.into_iter().enumerate() {
        let expanded = if is_plain || index == 0 {
            vec![(word, None)]
        } else {
            words::expand(&word, &unit.environment)
        };
        for (text, origin) in expanded {
            let place = origin.unwrap_or_else(|| place.clone());
            start.words.push(Word { text: specifiers(text), place });
        }
    }
    Ok(start)
}

/// `%%` is a percent sign; other specifiers of units stay as they are.
fn specifiers(text: Vec<u8>) -> Vec<u8> {
    let mut result = Vec::new();
    let mut bytes = text.into_iter().peekable();
    while let Some(byte) = bytes.next() {
        result.push(byte);
        if byte == b'%' && bytes.peek() == Some(&b'%') {
            bytes.next();
        }
    }
    result
}

/// Adds the variables of an environment file, a pattern perhaps; a `-` before it lets it be missing.
fn read_environment(
    fs: &dyn FileSystem,
    file: &[u8],
    place: &Place,
    environment: &mut Environment<Place>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let optional = file.strip_prefix(b"-");
    let path = GuestPath::new(optional.unwrap_or(file));
    let paths = pattern::expand(fs, &path)?;
    if paths.is_empty() && optional.is_none() {
        let message = format!("the unit does not start: its EnvironmentFile {path} is missing");
        let id = ("conf-syntax", "LOGIN-11");
        // What is in /run is made at boot.
        findings.push(if path.as_bytes().starts_with(b"/run/") {
            Finding::undecided(id, place, message)
        } else {
            Finding::block(id, place, message)
        });
    }
    for path in paths {
        match read_file(fs, &path, TEXT_BYTES_MAX) {
            Ok(content) => {
                for (name, value, line) in words::assignments(&content.unwrap_or_default()) {
                    let place = Place { path: path.clone(), line };
                    environment.insert(name, (value, place));
                }
            }
            Err(error) => {
                let message = format!("the options of sshd are not known: {}", error.kind());
                findings.push(Finding::undecided(("conf-syntax", "LOGIN-11"), &path, message));
            }
        }
    }
    Ok(())
}

/// Without a unit: the files from which init scripts take the options.
fn from_defaults(fs: &dyn FileSystem, vendor: Vendor) -> Result<Start> {
    let sources: &[(&str, &str)] = if vendor == Vendor::FreeBsd {
        &[("/etc/rc.conf", "sshd_flags"), ("/etc/rc.conf.local", "sshd_flags")]
    } else {
        &[
            ("/etc/sysconfig/sshd", "OPTIONS"),
            ("/etc/default/ssh", "SSHD_OPTS"),
            ("/etc/sysconfig/ssh", "SSHD_OPTS"),
            ("/etc/conf.d/sshd", "SSHD_OPTS"),
        ]
    };
    let mut start = Start::default();
    let program = Place { path: GuestPath::new(super::PROGRAM), line: 0 };
    start.words.push(Word { text: super::PROGRAM.into(), place: program });
    for (path, name) in sources {
        let mut environment = Environment::new();
        let file = [b"-", path.as_bytes()].concat();
        let place = Place { path: GuestPath::new(path), line: 1 };
        read_environment(fs, &file, &place, &mut environment, &mut start.findings)?;
        let variable = [b"$", name.as_bytes()].concat();
        for (text, origin) in words::expand(&variable, &environment) {
            let place = origin.unwrap_or_else(|| place.clone());
            start.words.push(Word { text, place });
        }
    }
    Ok(start)
}

#[cfg(test)]
mod tests;
