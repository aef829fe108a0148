//! Is a service started at boot? Units of systemd, links of SysV init, jobs of upstart, links of OpenRC
//! (LOGIN-106, LOGIN-107; systemd.unit(5), systemd.preset(5)).
//!
//! Read are the links and files that an administrator or a package makes. Not known: what another unit,
//! a generator or cloud-init starts, and conditions inside units.

use super::console::has_systemd;
use super::text::{exists, lines, optional, sorted_names};
use super::unit_file::{Assignment, UNIT_DIRECTORIES, assignments, find_unit, is_null};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, Resolution, find, resolve};

/// Bound on the directories of wanted units that are looked at.
const WANTS_MAX: usize = 256;
/// Bound on the preset files, and on the lines of one.
const PRESETS_MAX: usize = 256;
const LINES_MAX: usize = 10_000;

/// The targets that a machine reaches on its way up.
const BOOT_TARGETS: [&str; 11] = [
    "basic.target",
    "cloud-init.target",
    "default.target",
    "graphical.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "sockets.target",
    "sysinit.target",
    "timers.target",
];

/// When something is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At boot; what says so.
    Enabled(String),
    /// At the first boot, by a preset; the file that says so.
    Preset(String),
    /// It is there, but nothing on the volume starts it; what it is.
    Disabled(String),
    /// It cannot be started: the link that masks it.
    Masked(String),
    /// Nothing of that name is there.
    Missing,
}

impl Start {
    /// True if it is started at boot.
    pub fn is_at_boot(&self) -> bool {
        matches!(self, Self::Enabled(_) | Self::Preset(_))
    }

    /// The word for reports.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Enabled(_) | Self::Preset(_) => "enabled",
            Self::Disabled(_) => "disabled",
            Self::Masked(_) => "masked",
            Self::Missing => "missing",
        }
    }
}

/// When a service is started that goes by one of `names`, without suffix, as in `["ssh", "sshd"]`: the
/// most that any kind of init does for it.
pub fn start_of(fs: &dyn FileSystem, names: &[&str], is_first_boot: bool) -> Start {
    let mut states = Vec::new();
    if has_systemd(fs) {
        for name in names {
            for kind in ["service", "socket", "timer"] {
                states.push(unit_start(fs, &format!("{name}.{kind}"), is_first_boot));
            }
        }
    } else {
        for name in names {
            states.push(sysv_start(fs, name));
            states.push(upstart_start(fs, name));
            states.push(open_rc_start(fs, name));
        }
    }
    let rank = |state: &Start| match state {
        Start::Enabled(_) => 0,
        Start::Preset(_) => 1,
        Start::Disabled(_) => 2,
        Start::Masked(_) => 3,
        Start::Missing => 4,
    };
    states.into_iter().min_by_key(rank).unwrap_or(Start::Missing)
}

/// When a unit of systemd is started, by its whole name.
pub fn unit_start(fs: &dyn FileSystem, unit: &str, is_first_boot: bool) -> Start {
    if let Some(mask) = mask_of(fs, unit) {
        return Start::Masked(mask);
    }
    let Some(file) = find_unit(fs, unit) else { return sysv_unit_start(fs, unit) };
    for name in names_of(fs, unit) {
        if let Some(link) = wanted(fs, &name) {
            return Start::Enabled(link);
        }
    }
    if is_first_boot && let Some(preset) = preset(fs, unit) {
        return Start::Preset(preset);
    }
    Start::Disabled(file.to_string())
}

/// systemd makes a unit of a SysV script that has none, and starts it where its links say so.
fn sysv_unit_start(fs: &dyn FileSystem, unit: &str) -> Start {
    match unit.strip_suffix(".service") {
        Some(name) => sysv_start(fs, name),
        None => Start::Missing,
    }
}

/// The link or empty file that masks a unit.
fn mask_of(fs: &dyn FileSystem, unit: &str) -> Option<String> {
    let mut paths = UNIT_DIRECTORIES.iter().map(|base| GuestPath::new(base).join(unit));
    // The first file of that name hides the others.
    let path = paths.find(|path| matches!(resolve(fs, path, false), Ok(Resolution::Found(_))))?;
    is_null(fs, &path).then(|| path.to_string())
}

/// The unit's own name, and the aliases by which `/etc/systemd/system` knows it.
fn names_of(fs: &dyn FileSystem, unit: &str) -> Vec<String> {
    let mut names = vec![unit.to_owned()];
    let Some(file) = find_unit(fs, unit) else { return names };
    let directory = "/etc/systemd/system";
    let Ok(Some(found)) = find(fs, &GuestPath::new(directory)) else { return names };
    for name in sorted_names(fs, found.node).unwrap_or_default() {
        let path = found.real_path.join(&name);
        let Ok(name) = String::from_utf8(name) else { continue };
        let suffix = unit.rsplit_once('.').map(|(_, suffix)| suffix);
        if name == unit || name.rsplit_once('.').map(|(_, suffix)| suffix) != suffix {
            continue;
        }
        if let Ok(Some(target)) = find(fs, &path)
            && target.real_path == file
        {
            names.push(name);
        }
    }
    names
}

/// The link by which a target of the boot wants a unit.
fn wanted(fs: &dyn FileSystem, unit: &str) -> Option<String> {
    let directories = UNIT_DIRECTORIES.iter().flat_map(|base| {
        BOOT_TARGETS.iter().flat_map(move |target| {
            ["wants", "requires"].map(|kind| format!("{base}/{target}.{kind}"))
        })
    });
    for directory in directories.take(WANTS_MAX) {
        let path = GuestPath::new(directory).join(unit);
        if matches!(resolve(fs, &path, false), Ok(Resolution::Found(_))) && !is_null(fs, &path) {
            return Some(path.to_string());
        }
    }
    BOOT_TARGETS.iter().find_map(|target| wanted_in(fs, target, unit))
}

/// The line of a target or its drop-ins that wants a unit.
fn wanted_in(fs: &dyn FileSystem, target: &str, unit: &str) -> Option<String> {
    let wants = |line: &Assignment| {
        matches!(line.key.as_slice(), b"Wants" | b"Requires")
            && line.value.split(u8::is_ascii_whitespace).any(|word| word == unit.as_bytes())
    };
    assignments(fs, target).into_iter().find(wants).map(|line| line.place)
}

/// The preset that enables a unit at the first boot; without any line about it, systemd enables it.
fn preset(fs: &dyn FileSystem, unit: &str) -> Option<String> {
    let mut files: Vec<(Vec<u8>, GuestPath)> = Vec::new();
    for directory in ["/etc/systemd/system-preset", "/usr/lib/systemd/system-preset"] {
        let Ok(Some(found)) = find(fs, &GuestPath::new(directory)) else { continue };
        for name in sorted_names(fs, found.node).unwrap_or_default() {
            // A file in /etc hides the one of the same name below /usr.
            if name.ends_with(b".preset") && !files.iter().any(|(known, _)| *known == name) {
                let path = GuestPath::new(directory).join(&name);
                files.push((name, path));
            }
        }
    }
    files.sort();
    for (_, path) in files.into_iter().take(PRESETS_MAX) {
        let text = optional(fs, &path.to_string(), &mut Vec::new()).unwrap_or_default();
        for (line, number) in lines(&text).take(LINES_MAX).zip(1u64..) {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let (Some(verb), Some(pattern)) = (words.next(), words.next()) else { continue };
            if !matches!(verb, b"enable" | b"disable") || !glob(pattern, unit.as_bytes()) {
                continue;
            }
            return (verb == b"enable").then(|| format!("{path}:{number}"));
        }
    }
    Some("the default preset".to_owned())
}

/// Matches `*`, all that presets use, by its pieces: the first at the start, the last at the end, each other
/// at the first place after the one before.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|&byte| byte == b'*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let places = rest.windows(piece.len().max(1));
        let found = if piece.is_empty() {
            Some(0)
        } else {
            places.zip(0usize..).find_map(|(window, at)| (window == piece).then_some(at))
        };
        let Some(at) = found else { return false };
        rest = rest.get(at.saturating_add(piece.len())..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// A SysV script with a start link in a run level of the normal operation.
fn sysv_start(fs: &dyn FileSystem, name: &str) -> Start {
    let scripts = [format!("/etc/init.d/{name}"), format!("/etc/rc.d/init.d/{name}")];
    let Some(script) = scripts.into_iter().find(|path| exists(fs, path)) else {
        return Start::Missing;
    };
    for level in ["3", "5", "2"] {
        for base in ["/etc", "/etc/rc.d"] {
            let directory = format!("{base}/rc{level}.d");
            let Ok(Some(found)) = find(fs, &GuestPath::new(&directory)) else { continue };
            for link in sorted_names(fs, found.node).unwrap_or_default() {
                let digits = link.strip_prefix(b"S").unwrap_or_default();
                let is_start =
                    digits.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_digit))
                        && digits.get(2..) == Some(name.as_bytes());
                if is_start {
                    return Start::Enabled(GuestPath::new(directory).join(link).to_string());
                }
            }
        }
    }
    Start::Disabled(script)
}

/// A job of upstart; `manual` in it or its override keeps it from starting.
fn upstart_start(fs: &dyn FileSystem, name: &str) -> Start {
    let path = format!("/etc/init/{name}.conf");
    let Some(job) = optional(fs, &path, &mut Vec::new()) else { return Start::Missing };
    let over = optional(fs, &format!("/etc/init/{name}.override"), &mut Vec::new());
    let over = over.unwrap_or_default();
    let mut all = lines(&job).chain(lines(&over)).map(<[u8]>::trim_ascii);
    let starts = lines(&job).any(|line| line.trim_ascii().starts_with(b"start on"));
    if starts && !all.any(|line| line == b"manual") {
        return Start::Enabled(path);
    }
    Start::Disabled(path)
}

/// A service of OpenRC.
fn open_rc_start(fs: &dyn FileSystem, name: &str) -> Start {
    for level in ["default", "boot"] {
        let path = format!("/etc/runlevels/{level}/{name}");
        if matches!(resolve(fs, &GuestPath::new(&path), false), Ok(Resolution::Found(_))) {
            return Start::Enabled(path);
        }
    }
    Start::Missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn systemd() -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.file("/usr/lib/systemd/systemd", 0, 0o755, b"")
            .file("/usr/lib/systemd/system/ssh.service", 0, 0o644, b"[Unit]\n")
            .file("/usr/lib/systemd/system/ssh.socket", 0, 0o644, b"[Socket]\n");
        tree
    }

    fn word(tree: &MemoryTree, is_first_boot: bool) -> &'static str {
        match start_of(tree, &["ssh", "sshd"], is_first_boot) {
            Start::Preset(_) => "preset",
            state => state.word(),
        }
    }

    #[test]
    fn units_are_enabled_disabled_and_masked_login_107() {
        let unit = "/usr/lib/systemd/system/ssh.service";
        let mut tree = systemd();
        assert_eq!(word(&tree, false), "disabled");
        assert_eq!(word(&tree, true), "preset");
        tree.link("/etc/systemd/system/multi-user.target.wants/ssh.service", unit);
        assert_eq!(word(&tree, false), "enabled");
        tree.link("/etc/systemd/system/ssh.service", "/dev/null");
        assert_eq!(word(&tree, false), "disabled", "the socket is there, but not enabled");
        tree.link("/etc/systemd/system/sockets.target.wants/ssh.socket", "/x");
        assert_eq!(word(&tree, false), "enabled", "the socket starts an instance of its own");
        tree.link("/etc/systemd/system/ssh.socket", "/dev/null");
        assert_eq!(word(&tree, true), "masked");
        assert_eq!(word(&MemoryTree::new(), false), "missing");
    }

    #[test]
    fn aliases_presets_and_other_targets() {
        let unit = "/usr/lib/systemd/system/ssh.service";
        let mut tree = systemd();
        tree.link("/etc/systemd/system/sshd.service", unit)
            .link("/etc/systemd/system/multi-user.target.wants/sshd.service", unit);
        assert_eq!(unit_start(&tree, "ssh.service", false).word(), "enabled");
        let mut tree = systemd();
        let drop_in = "/etc/systemd/system/multi-user.target.d/50-regain-sshd.conf";
        tree.file(drop_in, 0, 0o644, b"[Unit]\nWants=a.service ssh.service\n");
        assert_eq!(word(&tree, false), "enabled");
        let mut tree = systemd();
        tree.link("/etc/systemd/system/rescue.target.wants/ssh.service", unit);
        assert_eq!(word(&tree, false), "disabled");
        tree.file("/usr/lib/systemd/system-preset/99-x.preset", 0, 0o644, b"disable *\n");
        assert_eq!(word(&tree, true), "disabled");
        tree.file("/etc/systemd/system-preset/50-y.preset", 0, 0o644, b"#\nenable ssh.serv*\n");
        let found = unit_start(&tree, "ssh.service", true);
        assert_eq!(found, Start::Preset("/etc/systemd/system-preset/50-y.preset:2".to_owned()));
        tree.file("/etc/systemd/system-preset/99-x.preset", 0, 0o644, b"");
        assert_eq!(unit_start(&tree, "ssh.socket", true).word(), "enabled");
    }

    #[test]
    fn patterns_of_presets() {
        for (pattern, text, expected) in [
            ("*", "ssh.service", true),
            ("ssh.service", "ssh.service", true),
            ("ssh.service", "ssh.services", false),
            ("ssh*", "ssh.service", true),
            ("*.service", "ssh.service", true),
            ("s*h*.s*e", "sssh.service", true),
            ("a*a", "a", false),
            ("**x**", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn older_inits() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/init.d/sshd", 0, 0o755, b"");
        assert_eq!(word(&tree, false), "disabled");
        tree.link("/etc/rc3.d/S55sshd", "../init.d/sshd");
        assert_eq!(word(&tree, false), "enabled");
        let mut tree = MemoryTree::new();
        tree.file("/etc/init/ssh.conf", 0, 0o644, b"start on runlevel [2345]\n");
        assert_eq!(word(&tree, false), "enabled");
        tree.file("/etc/init/ssh.override", 0, 0o644, b"manual\n");
        assert_eq!(word(&tree, false), "disabled");
        tree.link("/etc/runlevels/default/sshd", "/etc/init.d/sshd");
        assert_eq!(word(&tree, false), "enabled");
        let mut tree = systemd();
        tree.file("/etc/init.d/old", 0, 0o755, b"").link("/etc/rc5.d/S01old", "../init.d/old");
        assert_eq!(start_of(&tree, &["old"], false).word(), "enabled");
    }
}
