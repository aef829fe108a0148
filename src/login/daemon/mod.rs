//! The sshd of a guest itself: its release, who built it, and how it is started (LOGIN-8 to LOGIN-11).
//!
//! Nothing is executed: the release is a string in the program, and the options are read from the unit
//! that starts it.

pub mod command_line;
mod unit;
pub mod vendor;
pub mod version;
mod words;

pub use command_line::CommandLine;
pub use vendor::Vendor;
pub use version::{Release, Version};

use crate::error::Result;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};
use crate::guest::linux::kernel_command_line::KernelCommandLine;
use crate::guest::linux::text::{TEXT_BYTES_MAX, exists, lines};
use crate::login::Finding;
use unit::Start;

/// Where the program is, unless its unit says otherwise.
const PROGRAM: &str = "/usr/sbin/sshd";

/// Programs that OpenSSH 9.8 and later start for each connection; they name the release as well.
const SESSION_PROGRAMS: [&str; 4] = [
    "/usr/lib/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-session",
    "/usr/libexec/sshd-session",
    "/usr/lib/ssh/sshd-session",
];

/// The sshd of a guest.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Which release it is.
    pub release: Release,
    /// Who built it.
    pub vendor: Vendor,
    /// Where its program is.
    pub program: GuestPath,
    /// The options that it is started with.
    pub command_line: CommandLine,
    /// Whether the machine keeps to FIPS 140.
    pub fips: Fips,
}

/// Whether a machine keeps to FIPS 140, and what says so (LOGIN-80).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fips {
    /// It does not.
    Off,
    /// It does.
    On(&'static str),
    /// It is prepared to; what it is booted with is not known.
    Perhaps(&'static str),
}

impl Default for Daemon {
    /// An sshd that nothing is known of.
    fn default() -> Self {
        let program = GuestPath::new(PROGRAM);
        let command_line = CommandLine::default();
        let (release, vendor) = (Release::Unknown, Vendor::Other);
        Self { release, vendor, program, command_line, fips: Fips::Off }
    }
}

impl Daemon {
    /// Looks at the sshd of a guest.
    ///
    /// # Errors
    /// As the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let os = vendor::read_os(fs);
        let vendor = Vendor::of(&os);
        let starts = unit::starts(fs, vendor)?;
        let mut lines = starts.iter().map(|start| (start, options(start)));
        let (start, mut command_line) = lines.next().unzip();
        for (other, line) in lines {
            if let Some(known) = &mut command_line
                && !known.says_the_same(&line)
            {
                let message = "a socket and a service start sshd with different options";
                let id = ("conf-syntax", "LOGIN-108");
                let place = other.words.first().map(|word| word.place.to_string());
                known.findings.push(Finding::undecided(id, place.unwrap_or_default(), message));
            }
        }
        let named = start.and_then(|start| start.words.first()).map(|word| word.text.as_slice());
        let named = named.filter(|path| is_sshd(path) && path.starts_with(b"/"));
        let program = GuestPath::new(named.unwrap_or(PROGRAM.as_bytes()));
        let release = release(fs, &program, vendor::shipped(&os))?;
        let command_line = command_line.unwrap_or_default();
        Ok(Self { release, vendor, program, command_line, fips: fips(fs) })
    }

    /// The value of a switch that the configuration does not set (table LOGIN-T2, LOGIN-116), in lower case.
    /// `None` for keywords without a default that depends on release or vendor.
    pub fn default_value(&self, keyword: &str) -> Option<&'static str> {
        let is_free_bsd = self.vendor == Vendor::FreeBsd;
        Some(match keyword {
            "permitrootlogin" | "passwordauthentication" if is_free_bsd => "no",
            "usepam" | "usedns" if is_free_bsd => "yes",
            "permitrootlogin" if self.release.is_likely(7, 0) => "prohibit-password",
            "usedns" if self.release.is_likely(6, 8) => "no",
            "usepam" | "refuseconnection" => "no",
            "kbdinteractiveauthentication"
            | "passwordauthentication"
            | "permitrootlogin"
            | "permittty"
            | "pubkeyauthentication"
            | "strictmodes"
            | "usedns" => "yes",
            _ => return None,
        })
    }
}

/// FIPS by the crypto policy, by the kernel's command line, or by the mark of older systems.
fn fips(fs: &dyn FileSystem) -> Fips {
    let policies = ["/etc/crypto-policies/state/current", "/etc/crypto-policies/config"];
    for path in policies {
        let content = read_file(fs, &GuestPath::new(path), TEXT_BYTES_MAX).ok().flatten();
        let lines = content.iter().flat_map(|content| lines(content));
        let mut policy = lines.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        if let Some(name) = policy.find(|line| !line.starts_with(b"#")) {
            if name == b"FIPS" || name.starts_with(b"FIPS:") {
                return Fips::On(path);
            }
            break;
        }
    }
    let kernel = KernelCommandLine::read(fs);
    let source = "fips= of the kernel's command line";
    let is_on = kernel.value("fips").is_some_and(|value| value != b"0");
    match (is_on, kernel.is_certain_of("fips")) {
        (true, true) => Fips::On(source),
        (true, false) => Fips::Perhaps(source),
        (false, false) if exists(fs, "/etc/system-fips") => Fips::Perhaps("/etc/system-fips"),
        (false, _) => Fips::Off,
    }
}

fn is_sshd(path: &[u8]) -> bool {
    path.rsplit(|&byte| byte == b'/').next() == Some(b"sshd")
}

/// The options of one way to start sshd.
fn options(start: &Start) -> CommandLine {
    let mut line = CommandLine::default();
    if let Some((program, words)) = start.words.split_first() {
        if is_sshd(&program.text) {
            line = CommandLine::parse(words);
        } else {
            let message = "sshd is started through another program: its options are not known";
            let id = ("conf-syntax", "LOGIN-11");
            line.findings.push(Finding::undecided(id, &program.place, message));
        }
    }
    line.is_socket_activated = start.is_socket_activated;
    line.findings.extend(start.findings.iter().cloned());
    line
}

fn release(fs: &dyn FileSystem, program: &GuestPath, shipped: Option<Version>) -> Result<Release> {
    let sessions = SESSION_PROGRAMS.iter().map(GuestPath::new);
    for path in std::iter::once(program.clone()).chain(sessions) {
        if let Some(version) = version::of_program(fs, &path)? {
            return Ok(Release::Known(version));
        }
    }
    Ok(shipped.map_or(Release::Unknown, Release::Assumed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn the_program_says_more_than_the_distribution_login_9() {
        let mut tree = MemoryTree::new();
        assert_eq!(Daemon::read(&tree).unwrap().release, Release::Unknown);
        tree.file("/etc/os-release", 0, 0o644, b"ID=debian\nVERSION_ID=12\n");
        let daemon = Daemon::read(&tree).unwrap();
        assert_eq!(daemon.release, Release::Assumed(Version::new(9, 2)));
        assert_eq!(daemon.vendor, Vendor::Debian);
        tree.file("/usr/lib/openssh/sshd-session", 0, 0o755, b"\0OpenSSH_9.9p1\0");
        let daemon = Daemon::read(&tree).unwrap();
        assert_eq!(daemon.release, Release::Known(Version::new(9, 9)));
        tree.file("/usr/sbin/sshd", 0, 0o755, b"\0OpenSSH_10.0p1\0");
        let daemon = Daemon::read(&tree).unwrap();
        assert_eq!(daemon.release, Release::Known(Version::new(10, 0)));
    }

    #[test]
    fn defaults_depend_on_release_and_vendor_login_63_and_116() {
        for (os, program, keyword, value) in [
            ("ID=debian", "OpenSSH_9.2p1", "permitrootlogin", Some("prohibit-password")),
            ("ID=rhel", "OpenSSH_6.6p1", "permitrootlogin", Some("yes")),
            ("ID=freebsd", "OpenSSH_9.6p1", "permitrootlogin", Some("no")),
            ("ID=freebsd", "OpenSSH_9.6p1", "usepam", Some("yes")),
            ("ID=debian", "OpenSSH_9.2p1", "usepam", Some("no")),
            ("ID=debian", "OpenSSH_6.7p1", "usedns", Some("yes")),
            ("ID=debian", "OpenSSH_6.8p1", "usedns", Some("no")),
            ("ID=debian", "OpenSSH_6.8p1", "allowusers", None),
        ] {
            let mut tree = MemoryTree::new();
            tree.file("/etc/os-release", 0, 0o644, os.as_bytes());
            tree.file("/usr/sbin/sshd", 0, 0o755, program.as_bytes());
            let daemon = Daemon::read(&tree).unwrap();
            assert_eq!(daemon.default_value(keyword), value, "{os} {program} {keyword}");
        }
    }
}
