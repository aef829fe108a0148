//! Linux guests: is this a root file system, and what is on it (linux-volumes.md, sections 2 and
//! 5)?
//!
//! Not handled: FreeBSD and its relatives, the userdb of systemd, and what NSS services other than the files answer.

pub mod accounts;
pub mod agents;
pub mod arch;
pub mod cloud_init;
pub mod cloud_state;
pub mod console;
pub mod crypt;
pub mod crypttab;
pub mod fstab;
pub mod kernel_command_line;
pub mod name_services;
pub mod os_release;
pub mod root_subvolume;
pub mod routes;
pub mod service;
pub mod text;
pub mod unit_file;

pub use accounts::{Accounts, Group, Shadow, User};
pub use agents::Agent;
pub use cloud_state::CloudInit;
pub use kernel_command_line::KernelCommandLine;
pub use os_release::OsRelease;

use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::path::{GuestPath, find, resolve};
use crate::fs::{FileSystem, NodeKind};
use text::{exists, kind, lines, optional};

/// Bound on names that are shown, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A Linux root file system.
#[derive(Debug, Clone)]
pub struct System {
    /// The distribution.
    pub os: OsRelease,
    /// Content of `/etc/hostname`.
    pub host_name: Option<Vec<u8>>,
    /// Architecture by the name that `uname -m` prints, from the header of a binary.
    pub arch: Option<&'static str>,
    /// Users and groups.
    pub accounts: Accounts,
    /// True if `/etc/machine-id` holds an id (VOL-41).
    pub has_machine_id: bool,
    /// The instance id that cloud-init saw last (VOL-41).
    pub instance_id: Option<Vec<u8>>,
    /// Programs that write keys or offer another way in.
    pub agents: Vec<Agent>,
    /// What could not be read or was odd, escaped.
    pub warnings: Vec<String>,
}

impl System {
    /// The name for people, unescaped, as in `Debian GNU/Linux 13 (trixie)`.
    pub fn full_name(&self) -> &[u8] {
        let names = [&self.os.pretty_name, &self.os.name, &self.os.id];
        names.into_iter().find(|name| !name.is_empty()).map_or(b"Linux", Vec::as_slice)
    }
}

/// Where distributions say their name.
const RELEASE_FILES: [&str; 5] = [
    "/etc/os-release",
    "/usr/lib/os-release",
    // EL6 and its age had none of the two.
    "/etc/redhat-release",
    "/etc/system-release",
    "/etc/debian_version",
];

/// True if `fs` is a Linux root (VOL-7): cheap, reads no file.
pub fn is_root(fs: &dyn FileSystem) -> bool {
    let has_binaries = kind(fs, "/bin") == Some(NodeKind::Directory)
        || is_link_to_usr_bin(fs)
        || kind(fs, "/usr/bin") == Some(NodeKind::Directory);
    let names = RELEASE_FILES;
    exists(fs, "/etc/passwd") && has_binaries && names.iter().any(|path| exists(fs, path))
}

/// Fails if damage hides whether `fs` is a root: "not found" must not stand for "could not be read".
fn check_decidable(fs: &dyn FileSystem) -> Result<()> {
    let others = ["/etc/passwd", "/bin", "/usr/bin"];
    for path in others.into_iter().chain(RELEASE_FILES) {
        let looked = find(fs, &GuestPath::new(path))
            .and_then(|found| found.map(|found| fs.metadata(found.node)).transpose());
        match looked {
            // A loop of links, or a file where a directory should be: whole, but no root.
            Err(error) if is_about_the_path(&error) => {}
            other => drop(other.context(|| path.to_owned())?),
        }
    }
    Ok(())
}

fn is_about_the_path(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused(Refusal::UnsuitableFile { .. }))
}

/// Looks at a Linux root; `None` if `fs` is none (VOL-7, VOL-8).
///
/// # Errors
/// `Unsupported` for layouts whose root is not the root directory (VOL-12); the error of the file
/// system if that is why no root is seen; otherwise as [`Accounts::read`].
pub fn detect(fs: &dyn FileSystem) -> Result<Option<System>> {
    if !is_root(fs) {
        check_decidable(fs)?;
        if kind(fs, "/ostree/deploy") == Some(NodeKind::Directory) {
            return Err(Error::unsupported("a root in ostree deployments (/ostree/deploy)"));
        }
        return Ok(None);
    }
    let accounts = Accounts::read(fs)?;
    let mut warnings = accounts.warnings.clone();
    let os = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| optional(fs, path, &mut warnings));
    let os = os.map(|content| OsRelease::parse(&content)).unwrap_or_default();
    let host_name = first_line(optional(fs, "/etc/hostname", &mut warnings));
    let machine_id = first_line(optional(fs, "/etc/machine-id", &mut warnings));
    let instance_path = "/var/lib/cloud/data/instance-id";
    let instance_id = first_line(optional(fs, instance_path, &mut warnings));
    Ok(Some(System {
        os,
        host_name,
        arch: arch::detect(fs),
        accounts,
        has_machine_id: machine_id.is_some_and(|id| id.len() == 32),
        instance_id,
        agents: agents::find(fs),
        warnings,
    }))
}

fn is_link_to_usr_bin(fs: &dyn FileSystem) -> bool {
    let Ok(found) = resolve(fs, &GuestPath::new("/bin"), false) else { return false };
    let crate::fs::path::Resolution::Found(found) = found else { return false };
    let target = fs.read_link(found.node).unwrap_or_default();
    matches!(target.as_slice(), b"usr/bin" | b"/usr/bin")
}

fn first_line(content: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let content = content?;
    let line = lines(&content).map(<[u8]>::trim_ascii).find(|line| !line.is_empty())?;
    (line.len() <= NAME_BYTES_MAX).then(|| line.to_vec())
}

/// The node at `path` with its real path, if it exists and can be reached.
///
/// # Errors
/// As [`find`].
pub fn home_exists(fs: &dyn FileSystem, user: &User) -> Result<bool> {
    let Some(home) = &user.home else { return Ok(false) };
    let Some(found) = find(fs, home)? else { return Ok(false) };
    Ok(fs.metadata(found.node)?.kind == NodeKind::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn debian() -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/bash\n")
            .file("/usr/lib/os-release", 0, 0o644, b"ID=debian\nNAME=Debian\n")
            .link("/etc/os-release", "../usr/lib/os-release")
            .link("/bin", "usr/bin");
        tree
    }

    #[test]
    fn a_root_is_recognised_vol_7() {
        let mut tree = debian();
        tree.file("/etc/hostname", 0, 0o644, b"web-1\n");
        let system = detect(&tree).unwrap().unwrap();
        assert_eq!(system.os.id, b"debian");
        assert_eq!(system.host_name.as_deref(), Some(b"web-1".as_slice()));
    }

    #[test]
    fn what_is_no_root_is_not_vol_8() {
        for (name, tree) in [
            ("empty", MemoryTree::new()),
            ("boot", MemoryTree::new().file("/grub/grub.cfg", 0, 0o644, b"").clone()),
            ("home", MemoryTree::new().directory("/admin", 1000, 0o755).clone()),
            ("initramfs", {
                let mut tree = MemoryTree::new();
                tree.file("/etc/passwd", 0, 0o644, b"").directory("/bin", 0, 0o755).clone()
            }),
        ] {
            assert!(detect(&tree).unwrap().is_none(), "{name}");
        }
        let mut ostree = MemoryTree::new();
        ostree.directory("/ostree/deploy/fedora", 0, 0o755);
        assert_eq!(detect(&ostree).unwrap_err().kind_name(), "unsupported");
    }

    #[test]
    fn broken_side_files_only_warn() {
        let mut tree = debian();
        tree.directory("/etc/hostname", 0, 0o755).link("/etc/machine-id", "machine-id");
        let system = detect(&tree).unwrap().unwrap();
        assert_eq!(system.host_name, None);
        assert_eq!(system.warnings.len(), 2);
    }
}
