//! What the host says of the root: its file system, and how its driver names things.

use super::Directory;
use super::handle::Handle;
use super::mounts::Mount;
use crate::error::{Context as _, Result};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bound on the names that udev may have noted.
const NOTED_DISKS_MAX: usize = 4096;

/// The attribute that every file on a mounted NTFS volume has: with the name that its driver gives it.
const NTFS_ACL_NAMES: [&str; 2] = ["system.ntfs_acl", "system.ntfs_security"];

impl Directory {
    /// Type of the file system of the root, as the kernel names it.
    pub fn type_name(&self) -> &str {
        &self.mount.type_name
    }

    /// The name of the security descriptor of a file, if the root is on NTFS.
    pub fn ntfs_acl_name(&self) -> Option<&'static str> {
        self.ntfs_acl_name
    }

    /// The name that the host has for the attribute `name`.
    pub fn host_attribute<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        match self.ntfs_acl_name {
            Some(host_name) if name == NTFS_ACL_NAMES[0].as_bytes() => host_name.as_bytes(),
            _ => name,
        }
    }

    /// True for an attribute that the host makes up or sets on its own, so that it says nothing about an edit: those of
    /// the NTFS drivers, of its integrity measurement, and the label where it labels every file.
    pub fn is_made_by_host(&self, name: &[u8]) -> bool {
        (self.ntfs_acl_name.is_some() && name.starts_with(b"system."))
            || matches!(name, b"security.ima" | b"security.evm")
            || (name == b"security.selinux" && Path::new("/sys/fs/selinux/enforce").exists())
    }

    /// `path` of the host as a path inside the target, if it is below it; else as it was.
    pub fn inside(&self, path: Vec<u8>) -> Vec<u8> {
        match path.strip_prefix(self.host_path.as_slice()) {
            Some(rest) if rest.starts_with(b"/") => rest.to_vec(),
            _ => path,
        }
    }

    /// UUID of the file system of the root, as far as the host has noted it (udev).
    pub fn uuid(&self) -> Option<String> {
        let source = Path::new(std::ffi::OsStr::from_bytes(&self.mount.source));
        let device = std::fs::metadata(source).ok().filter(|_| source.starts_with("/dev"))?.rdev();
        let entries = std::fs::read_dir("/dev/disk/by-uuid").ok()?;
        let same = |path: &PathBuf| path.metadata().is_ok_and(|found| found.rdev() == device);
        let entry = entries.take(NOTED_DISKS_MAX).flatten().find(|entry| same(&entry.path()))?;
        entry.file_name().into_string().ok()
    }

    /// Size of the file system of the root, in bytes.
    pub fn size_bytes(&self) -> u64 {
        let found = rustix::fs::fstatvfs(self.root.fd());
        found.map_or(0, |found| found.f_blocks.saturating_mul(found.f_frsize))
    }

    /// True if `path` of the host, which need not exist, lies in the directory or below it.
    ///
    /// # Errors
    /// `Io` if its directory cannot be examined.
    pub fn holds(&self, path: &Path) -> Result<bool> {
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let parent = std::fs::canonicalize(parent).context(|| super::super::shown(parent))?;
        let host_path = Path::new(std::ffi::OsStr::from_bytes(&self.host_path));
        Ok(parent.starts_with(host_path))
    }
}

/// Finds out whether `root` is on NTFS: a mount by ntfs-3g says only that it is some program's. The root that mkntfs makes
/// has no descriptor that ntfs3 could give, but there the kernel itself says what it is.
pub(super) fn ntfs_acl_name(root: &Handle, mount: &Mount) -> Option<&'static str> {
    if mount.type_name == "ntfs3" {
        return Some(NTFS_ACL_NAMES[1]);
    }
    let may_be_ntfs = mount.type_name.starts_with("fuse") || mount.type_name.starts_with("ntfs");
    let has = |name: &&str| root.xattr(name.as_bytes()).ok().flatten().is_some();
    NTFS_ACL_NAMES.into_iter().find(|name| may_be_ntfs && has(name))
}
