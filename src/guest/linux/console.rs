//! Where a login is offered on a serial line, and whether root may use it (LOGIN-113, LOGIN-T5).
//!
//! Known are systemd (systemd-getty-generator(8), serial-getty@.service), SysV init (inittab(5)) and
//! upstart. Not known: what a console of a hypervisor is connected to.

use super::KernelCommandLine;
use super::text::{TEXT_BYTES_MAX, exists, lines, optional, sorted_names};
use super::unit_file::is_null;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};

/// Bound on the lines of one file that are looked at.
const LINES_MAX: usize = 10_000;
/// Bound on the length of the name of a terminal.
const NAME_BYTES_MAX: usize = 32;

/// How the names of terminals on a serial line begin.
const SERIAL: [&str; 8] = ["ttyS", "ttyAMA", "hvc", "xvc", "ttysclp", "ttyUSB", "ttymxc", "ttyPS"];

/// A terminal on a serial line that shows a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLogin {
    /// As in `ttyS0`.
    pub terminal: String,
    /// What says so: a file, or the kernel command line.
    pub evidence: String,
}

/// The terminals on serial lines that `console=` names on the kernel command line.
pub fn kernel_consoles(line: &KernelCommandLine) -> Vec<String> {
    let consoles = line.words.iter().filter_map(|word| word.strip_prefix(b"console="));
    let mut names: Vec<String> = consoles.filter_map(serial_terminal).collect();
    names.dedup();
    names
}

/// The terminals on serial lines that will show a login. `kernel` are those of [`kernel_consoles`].
pub fn serial_logins(fs: &dyn FileSystem, kernel: &[String]) -> Vec<SerialLogin> {
    let mut logins = Vec::new();
    if has_systemd(fs) {
        logins.extend(of_systemd(fs, kernel));
    }
    logins.extend(of_inittab(fs));
    logins.extend(of_upstart(fs, kernel));
    let mut seen = std::collections::BTreeSet::new();
    logins.retain(|login: &SerialLogin| seen.insert(login.terminal.clone()));
    logins
}

/// The terminal of a `console=` argument on a serial line, as in `ttyS0` of `ttyS0,115200n8`.
pub fn serial_terminal(console: &[u8]) -> Option<String> {
    let name = console.split(|&byte| byte == b',').next()?;
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= NAME_BYTES_MAX)?;
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_plain && SERIAL.iter().any(|start| name.starts_with(start))).then(|| name.to_owned())
}

/// What keeps root from logging in on `terminal`: pam_securetty, where `/etc/securetty` does not list
/// it. The kernel's own consoles are allowed unless the module is told `noconsole`.
pub fn root_bar(fs: &dyn FileSystem, terminal: &str, kernel: &[String]) -> Option<String> {
    let pam = optional(fs, "/etc/pam.d/login", &mut Vec::new())?;
    let is_module = |line: &&[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        !first.starts_with(b"#") && words.any(|word| word.ends_with(b"pam_securetty.so"))
    };
    let module = lines(&pam).take(LINES_MAX).find(is_module)?;
    let has_noconsole = module.split(u8::is_ascii_whitespace).any(|word| word == b"noconsole");
    if !has_noconsole && kernel.iter().any(|console| console == terminal) {
        return None;
    }
    // Without the file every terminal is allowed.
    let list = optional(fs, "/etc/securetty", &mut Vec::new())?;
    let is_listed = lines(&list).take(LINES_MAX).any(|line| {
        let name = line.trim_ascii();
        name.strip_prefix(b"/dev/").unwrap_or(name) == terminal.as_bytes()
    });
    (!is_listed).then(|| "/etc/securetty".to_owned())
}

/// True if systemd is what the system starts with.
pub fn has_systemd(fs: &dyn FileSystem) -> bool {
    exists(fs, "/usr/lib/systemd/systemd") || exists(fs, "/lib/systemd/systemd")
}

/// True if a unit, or the template that it is made from, is masked.
pub fn is_masked(fs: &dyn FileSystem, unit: &str) -> bool {
    let template = unit.split_once('@').map(|(name, rest)| {
        let suffix = rest.rsplit_once('.').map_or("service", |(_, suffix)| suffix);
        format!("{name}@.{suffix}")
    });
    std::iter::once(unit.to_owned())
        .chain(template)
        .any(|name| is_null(fs, &GuestPath::new("/etc/systemd/system").join(name)))
}

fn of_systemd(fs: &dyn FileSystem, kernel: &[String]) -> Vec<SerialLogin> {
    let mut logins = Vec::new();
    let directories = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    for directory in directories {
        for target in ["getty.target", "multi-user.target", "default.target"] {
            let directory = GuestPath::new(directory).join(format!("{target}.wants"));
            let Ok(Some(found)) = find(fs, &directory) else { continue };
            for name in sorted_names(fs, found.node).unwrap_or_default() {
                let Some(unit) = std::str::from_utf8(&name).ok() else { continue };
                let getty = unit
                    .strip_prefix("serial-getty@")
                    .or_else(|| unit.strip_prefix("getty@"))
                    .and_then(|rest| rest.strip_suffix(".service"));
                let Some(terminal) = getty.and_then(|name| serial_terminal(name.as_bytes())) else {
                    continue;
                };
                if !is_masked(fs, unit) {
                    let evidence = directory.join(&name).to_string();
                    logins.push(SerialLogin { terminal, evidence });
                }
            }
        }
    }
    let generator = "systemd-getty-generator";
    let has_generator = ["/usr/lib/systemd", "/lib/systemd"]
        .iter()
        .any(|base| exists(fs, &format!("{base}/system-generators/{generator}")));
    let masking = GuestPath::new("/etc/systemd/system-generators").join(generator);
    if has_generator && !is_null(fs, &masking) {
        for terminal in kernel.iter().filter(|name| serial_terminal(name.as_bytes()).is_some()) {
            if !is_masked(fs, &format!("serial-getty@{terminal}.service")) {
                let evidence = format!("console={terminal} on the kernel command line");
                logins.push(SerialLogin { terminal: terminal.clone(), evidence });
            }
        }
    }
    logins
}

/// Lines of SysV init that keep a getty on a serial line, as in
/// `T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100`.
fn of_inittab(fs: &dyn FileSystem) -> Vec<SerialLogin> {
    let content = optional(fs, "/etc/inittab", &mut Vec::new()).unwrap_or_default();
    let mut logins = Vec::new();
    for (line, number) in lines(&content).take(LINES_MAX).zip(1u64..) {
        let line = line.trim_ascii();
        let mut fields = line.splitn(4, |&byte| byte == b':');
        if line.starts_with(b"#") {
            continue;
        }
        let (action, process) = (fields.nth(2), fields.next());
        if action.is_some_and(|action| matches!(action, b"respawn" | b"ondemand"))
            && let Some(terminal) = process.and_then(getty_terminal)
        {
            logins.push(SerialLogin { terminal, evidence: format!("/etc/inittab:{number}") });
        }
    }
    logins
}

/// The serial terminal on the command line of a getty.
fn getty_terminal(process: &[u8]) -> Option<String> {
    let mut words = process.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.by_ref().find(|word| word.ends_with(b"getty"))?;
    words.find_map(serial_terminal)
}

/// Jobs of upstart: one for a terminal, or `serial.conf`, which waits for the console of the kernel.
fn of_upstart(fs: &dyn FileSystem, kernel: &[String]) -> Vec<SerialLogin> {
    let mut logins = Vec::new();
    let directory = GuestPath::new("/etc/init");
    let Ok(Some(found)) = find(fs, &directory) else { return logins };
    for name in sorted_names(fs, found.node).unwrap_or_default() {
        let Some(job) = name.strip_suffix(b".conf") else { continue };
        let evidence = directory.join(&name).to_string();
        if job == b"serial" {
            let consoles = kernel.iter().filter(|name| serial_terminal(name.as_bytes()).is_some());
            logins.extend(consoles.map(|terminal| SerialLogin {
                terminal: terminal.clone(),
                evidence: evidence.clone(),
            }));
        } else if serial_terminal(job).is_some() {
            let node = find(fs, &directory.join(&name)).ok().flatten();
            let content = node.and_then(|found| fs.read(found.node, TEXT_BYTES_MAX).ok());
            let content = content.unwrap_or_default();
            let mut commands = lines(&content).take(LINES_MAX).map(<[u8]>::trim_ascii);
            let terminal = commands.find_map(|line| {
                let command =
                    line.strip_prefix(b"exec ").or_else(|| line.strip_prefix(b"respawn "));
                getty_terminal(command?)
            });
            logins.extend(terminal.map(|terminal| SerialLogin { terminal, evidence }));
        }
    }
    logins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn systemd() -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.file("/usr/lib/systemd/systemd", 0, 0o755, b"").file(
            "/usr/lib/systemd/system-generators/systemd-getty-generator",
            0,
            0o755,
            b"",
        );
        tree
    }

    fn terminals(tree: &MemoryTree, kernel: &[&str]) -> Vec<String> {
        let kernel: Vec<String> = kernel.iter().map(|&name| name.to_owned()).collect();
        serial_logins(tree, &kernel).into_iter().map(|login| login.terminal).collect()
    }

    #[test]
    fn the_generator_offers_a_login_on_the_console_of_the_kernel_login_113() {
        let mut tree = systemd();
        assert_eq!(terminals(&tree, &["ttyS0", "tty0"]), ["ttyS0"]);
        assert!(terminals(&tree, &["tty1"]).is_empty());
        tree.link("/etc/systemd/system/serial-getty@ttyS0.service", "/dev/null");
        assert!(terminals(&tree, &["ttyS0"]).is_empty());
        assert_eq!(terminals(&tree, &["hvc0"]), ["hvc0"]);
        tree.file("/etc/systemd/system/serial-getty@.service", 0, 0o644, b"");
        assert!(terminals(&tree, &["hvc0"]).is_empty());
        let mut tree = systemd();
        tree.link("/etc/systemd/system-generators/systemd-getty-generator", "/dev/null");
        assert!(terminals(&tree, &["ttyS0"]).is_empty());
    }

    #[test]
    fn a_getty_that_is_enabled_needs_no_kernel_command_line() {
        let mut tree = systemd();
        let wants = "/etc/systemd/system/getty.target.wants";
        tree.link(&format!("{wants}/serial-getty@ttyAMA0.service"), "/x")
            .link(&format!("{wants}/getty@tty1.service"), "/x")
            .link(&format!("{wants}/serial-getty@..service"), "/x");
        assert_eq!(terminals(&tree, &[]), ["ttyAMA0"]);
    }

    #[test]
    fn older_inits_are_read() {
        let mut tree = MemoryTree::new();
        tree.file(
            "/etc/inittab",
            0,
            0o644,
            b"#T0:23:respawn:/sbin/getty -L ttyS0\nT1:23:respawn:/sbin/getty -L ttyS1 9600 vt100\n\
              x:2:once:/sbin/getty ttyS2\ny:2:respawn:/bin/x ttyS3\n",
        );
        assert_eq!(terminals(&tree, &["ttyS0"]), ["ttyS1"]);
        let mut tree = MemoryTree::new();
        tree.file("/etc/init/ttyS0.conf", 0, 0o644, b"respawn\nexec /sbin/getty -L 115200 ttyS0\n")
            .file("/etc/init/serial.conf", 0, 0o644, b"instance $DEV\n");
        assert_eq!(terminals(&tree, &[]), ["ttyS0"]);
        assert_eq!(terminals(&tree, &["hvc0"]), ["hvc0", "ttyS0"]);
    }

    #[test]
    fn root_is_barred_by_securetty_only_where_the_kernel_has_no_console_there() {
        let mut tree = MemoryTree::new();
        let console = ["ttyS0".to_owned()];
        assert_eq!(root_bar(&tree, "ttyS0", &[]), None);
        tree.file("/etc/pam.d/login", 0, 0o644, b"#auth required pam_securetty.so\n");
        tree.file("/etc/securetty", 0, 0o600, b"tty1\n/dev/ttyS1\n");
        assert_eq!(root_bar(&tree, "ttyS0", &[]), None);
        tree.file("/etc/pam.d/login", 0, 0o644, b"auth [a=b] pam_securetty.so\n");
        assert!(root_bar(&tree, "ttyS0", &[]).is_some());
        assert_eq!(root_bar(&tree, "ttyS0", &console), None);
        assert_eq!(root_bar(&tree, "ttyS1", &[]), None);
        tree.file("/etc/pam.d/login", 0, 0o644, b"auth required pam_securetty.so noconsole\n");
        assert!(root_bar(&tree, "ttyS0", &console).is_some());
    }
}
