//! The mounts of the host: which of them belong to the system beneath the target.
//!
//! Source: proc_pid_mountinfo(5). One line for each mount, fields separated by spaces, with space, tab, newline and
//! backslash as three octal digits behind a backslash:
//!
//! | field | content                                    | here           |
//! |------:|--------------------------------------------|----------------|
//! |     1 | mount ID                                   | `id`           |
//! |     2 | parent ID                                  |                |
//! |     3 | major:minor                                | `device`       |
//! |     4 | path inside the file system that is shown  |                |
//! |     5 | mount point, seen from the process's root  | `point`        |
//! |     6 | options                                    |                |
//! |   7.. | optional fields, ended by a lone `-`       |                |
//! |   +1  | file system type                           | `type_name`    |
//! |   +2  | source                                     | `source`       |
//! |   +3  | options of the file system                 |                |
//!
//! A mount below the target is entered if its file system is of a kind that keeps files on a disk of this machine,
//! and is mounted nowhere but below the target: what is also mounted elsewhere (a bind mount of a directory of the
//! host) does not belong to the system that is rescued. What the kernel makes up (proc, sysfs, ...) and what is gone
//! at the next start (tmpfs) looks empty where systems have such file systems, because there is nothing on the disk
//! there; elsewhere it hides something, and like everything else is an error when it is entered.

use crate::bytes::text::escape;
use crate::error::{Error, Refusal, Result};
use std::io::Read as _;
use std::rc::Rc;

/// Bound on the list of mounts in bytes.
const MOUNTINFO_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// File systems whose files are made up by the kernel, or gone at the next start.
const VOLATILE: [&str; 25] = [
    "autofs",
    "bdev",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Where every system has such a file system itself, so that its disk has an empty directory there.
const VOLATILE_PLACES: [&str; 8] =
    ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/lock", "/var/run", "/var/tmp"];

/// File systems whose files another machine keeps.
const NETWORK: [&str; 13] = [
    "9p", "afs", "ceph", "cifs", "coda", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs",
    "virtiofs",
];

/// File systems on which an edit keeps its promises: names are replaced in one step, what was synced stays, and owner,
/// mode and extended attributes are kept.
const LOCAL: [&str; 16] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs", "ntfs3",
    "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs",
];

/// What a mount means for the objects on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They belong to the system.
    Inside,
    /// They do not, and on the disk there is an empty directory in their place.
    Empty(Rc<str>),
    /// They do not, and what there is on the disk is not known.
    Barred(Rc<str>),
}

impl Standing {
    /// Why nothing on the mount is touched.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Inside => None,
            Self::Empty(reason) | Self::Barred(reason) => Some(reason),
        }
    }
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number in this run of the kernel.
    pub id: u64,
    /// `major:minor` of the file system.
    pub device: Vec<u8>,
    /// Where it is mounted, as an absolute path of the host.
    pub point: Vec<u8>,
    /// Type of the file system, as in `ext4` or `fuse.sshfs`.
    pub type_name: String,
    /// The device or server, as mount(8) was told.
    pub source: Vec<u8>,
}

/// The mounts of this process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads them.
    ///
    /// # Errors
    /// `Io` if /proc is not mounted.
    pub fn read() -> Result<Self> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open("/proc/self/mountinfo")?;
        file.take(MOUNTINFO_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    /// Lines that make no sense are left out: their mounts are then unknown, and never entered.
    pub fn parse(bytes: &[u8]) -> Self {
        Self(bytes.split(|&byte| byte == b'\n').filter_map(parse_line).collect())
    }

    /// The mount with number `id`.
    pub fn find(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// The mounts below the directory `target` of the host.
    pub fn below<'a>(&'a self, target: &'a [u8]) -> impl Iterator<Item = &'a Mount> {
        self.0.iter().filter(move |mount| is_below(&mount.point, target))
    }

    /// What the mount `id` means for what lies on it, if it is met below the directory `target` of the host.
    pub fn standing(&self, id: u64, target: &[u8]) -> Standing {
        let barred = |reason: String| Standing::Barred(reason.into());
        let Some(mount) = self.find(id) else {
            return barred("a mount that the kernel does not list".to_owned());
        };
        let name = &mount.type_name;
        if VOLATILE.contains(&name.as_str()) {
            let reason = format!("a mount of {name}, which is not on the disk");
            let inside = mount.point.get(target.len()..).unwrap_or_default();
            let is_usual = VOLATILE_PLACES
                .iter()
                .any(|place| inside == place.as_bytes() || is_below(inside, place.as_bytes()));
            return if is_usual { Standing::Empty(reason.into()) } else { barred(reason) };
        }
        if NETWORK.contains(&name.as_str()) {
            return barred(format!("a mount of {name}, whose files another machine keeps"));
        }
        let elsewhere = self.0.iter().find(|other| {
            other.device == mount.device && other.point != target && !is_below(&other.point, target)
        });
        if let Some(other) = elsewhere {
            let point = escape(&other.point);
            return barred(format!(
                "a mount of a file system that is also mounted on {point}, outside the target"
            ));
        }
        if !LOCAL.contains(&name.as_str()) && !is_read_only_image(name) {
            return barred(format!("a mount of {name}, which regain does not know"));
        }
        Standing::Inside
    }
}

impl Mount {
    /// Why nothing can be edited on a root of this type, whatever the mount options say.
    ///
    /// # Errors
    /// `Refused`.
    pub fn check_writable_type(&self) -> Result<()> {
        let name = &self.type_name;
        if LOCAL.contains(&name.as_str()) {
            return Ok(());
        }
        let why = if NETWORK.contains(&name.as_str()) {
            "another machine keeps its files"
        } else if name.starts_with("fuse") {
            "a program makes up its files"
        } else {
            "it is not proven for that"
        };
        Err(Refusal::ForeignMount { type_name: name.clone(), why }.into())
    }

    /// Refuses a target that cannot be a root at all.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn check_root(&self) -> Result<()> {
        let name = self.type_name.as_str();
        if VOLATILE.contains(&name) && !matches!(name, "tmpfs" | "ramfs") {
            return Err(Error::unsupported(format!(
                "a directory of {name} is no root of a system"
            )));
        }
        Ok(())
    }
}

/// Read-only by nature, so there is nothing to get wrong.
fn is_read_only_image(type_name: &str) -> bool {
    matches!(type_name, "erofs" | "iso9660" | "squashfs")
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/") && rest.len() > 1)
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = fields.nth(1)?.to_vec();
    let point = unescape(fields.nth(1)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let type_name = String::from_utf8(unescape(rest.next()?)).ok()?;
    let source = unescape(rest.next()?);
    Some(Mount { id, device, point, type_name, source })
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if first == b'\\' => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
