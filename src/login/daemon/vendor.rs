//! Which distribution built the sshd of a guest, and what it ships (LOGIN-8, LOGIN-9, table LOGIN-T1).

use super::version::Version;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};
use crate::guest::linux::OsRelease;
use crate::guest::linux::text::TEXT_BYTES_MAX;

/// Families of distributions whose sshd differs from upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Debian, Ubuntu and what is like them.
    Debian,
    /// RHEL, its rebuilds, Fedora.
    RedHat,
    /// Amazon Linux.
    Amazon,
    /// SLES, openSUSE.
    Suse,
    /// The base system of FreeBSD.
    FreeBsd,
    /// Everything else: upstream's behaviour is assumed.
    Other,
}

impl Vendor {
    /// The vendor by `os-release` (LOGIN-8).
    pub fn of(os: &OsRelease) -> Self {
        let is_any = |ids: &[&str]| ids.iter().any(|id| os.is_like(id));
        match os.id.as_slice() {
            b"amzn" => Self::Amazon,
            b"freebsd" => Self::FreeBsd,
            _ if is_any(&["debian", "ubuntu"]) => Self::Debian,
            _ if is_any(&["rhel", "fedora", "centos"]) => Self::RedHat,
            _ if is_any(&["suse", "opensuse", "sles"]) => Self::Suse,
            _ if os.id.starts_with(b"opensuse") || os.id.starts_with(b"sle") => Self::Suse,
            _ => Self::Other,
        }
    }
}

/// What the release files of a guest say.
pub(super) fn read_os(fs: &dyn FileSystem) -> OsRelease {
    let read = |path: &str| read_file(fs, &GuestPath::new(path), TEXT_BYTES_MAX).ok().flatten();
    let found = ["/etc/os-release", "/usr/lib/os-release"].into_iter().find_map(read);
    found.map(|content| OsRelease::parse(&content)).unwrap_or_default()
}

/// The release that a distribution ships, where it has only one (table LOGIN-T1).
pub(super) fn shipped(os: &OsRelease) -> Option<Version> {
    let id = std::str::from_utf8(&os.id).ok()?;
    let id = match (id, Vendor::of(os)) {
        ("fedora", _) => return None,
        (_, Vendor::RedHat) => "rhel",
        ("sles" | "sled" | "opensuse-leap", _) => "leap",
        _ => id,
    };
    // Rebuilds of RHEL count their minor releases; the major one decides.
    let is_of = |version: &&str| {
        let rest = os.version_id.strip_prefix(version.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    };
    SHIPPED.iter().find(|row| row.0 == id && is_of(&row.1)).map(|row| row.2)
}

/// `ID`, `VERSION_ID`, the release of OpenSSH.
const SHIPPED: [(&str, &str, Version); 25] = [
    ("rhel", "7", Version::new(7, 4)),
    ("rhel", "8", Version::new(8, 0)),
    ("rhel", "9", Version::new(8, 7)),
    ("rhel", "10", Version::new(9, 9)),
    ("amzn", "2", Version::new(7, 4)),
    ("amzn", "2023", Version::new(8, 7)),
    ("debian", "9", Version::new(7, 4)),
    ("debian", "10", Version::new(7, 9)),
    ("debian", "11", Version::new(8, 4)),
    ("debian", "12", Version::new(9, 2)),
    ("debian", "13", Version::new(10, 0)),
    ("ubuntu", "16.04", Version::new(7, 2)),
    ("ubuntu", "18.04", Version::new(7, 6)),
    ("ubuntu", "20.04", Version::new(8, 2)),
    ("ubuntu", "22.04", Version::new(8, 9)),
    ("ubuntu", "24.04", Version::new(9, 6)),
    ("ubuntu", "24.10", Version::new(9, 7)),
    ("ubuntu", "25.04", Version::new(9, 9)),
    ("ubuntu", "25.10", Version::new(10, 0)),
    ("leap", "15.2", Version::new(8, 1)),
    ("leap", "15.3", Version::new(8, 4)),
    ("leap", "15.4", Version::new(8, 4)),
    ("leap", "15.5", Version::new(8, 4)),
    ("leap", "15.6", Version::new(9, 6)),
    ("freebsd", "14.1", Version::new(9, 7)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_told_apart_login_8_and_9() {
        for (text, vendor, version) in [
            ("ID=debian\nVERSION_ID=\"12\"", Vendor::Debian, Some((9, 2))),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"20.04\"", Vendor::Debian, Some((8, 2))),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21\"", Vendor::Debian, None),
            (
                "ID=amzn\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"",
                Vendor::Amazon,
                Some((7, 4)),
            ),
            ("ID=amzn\nID_LIKE=fedora\nVERSION_ID=\"2023\"", Vendor::Amazon, Some((8, 7))),
            (
                "ID=almalinux\nID_LIKE=\"rhel centos\"\nVERSION_ID=\"8.9\"",
                Vendor::RedHat,
                Some((8, 0)),
            ),
            ("ID=rhel\nID_LIKE=fedora\nVERSION_ID=\"10.0\"", Vendor::RedHat, Some((9, 9))),
            ("ID=fedora\nVERSION_ID=40", Vendor::RedHat, None),
            (
                "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=15.6",
                Vendor::Suse,
                Some((9, 6)),
            ),
            ("ID=sles\nVERSION_ID=15.5", Vendor::Suse, Some((8, 4))),
            ("ID=freebsd\nVERSION_ID=14.1", Vendor::FreeBsd, Some((9, 7))),
            ("ID=arch", Vendor::Other, None),
            ("", Vendor::Other, None),
        ] {
            let os = OsRelease::parse(text.as_bytes());
            let version = version.map(|(major, minor)| Version::new(major, minor));
            assert_eq!((Vendor::of(&os), shipped(&os)), (vendor, version), "{text}");
        }
    }
}
