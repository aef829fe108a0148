//! A mounted root directory as a target: every object beneath it is reached from one handle, name by name.
//!
//! There are no paths here. [`Directory::child`] opens one name in one directory that is held open, with
//! `openat2(2)` and `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`, or, where the kernel or a sandbox does
//! not know that call, with `openat(2)` and `O_NOFOLLOW`, after the name was checked: one component, neither `.` nor
//! `..`. Either way the result is an object in that directory, or a symbolic link that was not followed, whatever
//! somebody else does to the names in the meantime. Following links is the work of
//! [`fs::path`](crate::fs::path), which knows only this way down.
//!
//! The one way out that remains is a mount; [`mounts`] says which are entered. Content is opened for regular files and
//! directories only (see [`handle`]). The part that writes is [`mod@write`].

pub mod handle;
mod host;
pub mod mounts;
pub mod record;
pub mod stat;
pub mod write;

use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Refusal, Result};
use handle::Handle;
use mounts::{Mount, Mounts, Standing};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How often a lookup is tried again that the kernel could not answer because of a rename or mount elsewhere.
const LOOKUP_ATTEMPTS: u32 = 64;

/// A directory of the host that stands for the root of a system.
#[derive(Debug)]
pub struct Directory {
    /// The path as it was given.
    pub path: PathBuf,
    root: Rc<Handle>,
    /// The canonical path, as mounts name it.
    host_path: Vec<u8>,
    mount: Mount,
    mounts: RefCell<Mounts>,
    /// The name of the security descriptor, on NTFS.
    ntfs_acl_name: Option<&'static str>,
    has_openat2: Cell<bool>,
    has_rename_flags: Cell<bool>,
    bytes_read: Rc<Cell<u64>>,
}

impl Directory {
    /// Opens `path`, following links: it is the user's own path.
    ///
    /// # Errors
    /// * `NotFound`, `Io`.
    /// * `Refused` ([`Refusal::RunningSystem`]) - the root of this machine.
    /// * `Unsupported` - a directory that the kernel makes up.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_at(path).context(|| super::shown(path))
    }

    fn open_at(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &Path| rustix::fs::openat(CWD, path, flags, Mode::empty());
        let fd =
            open(path).map_err(io::Error::from).map_err(super::host_file::missing_is_not_found)?;
        let bytes_read = Rc::new(Cell::new(0));
        let root = Handle::new(fd, Standing::Inside, bytes_read.clone())?;
        let running = stat::Stat::of(open(Path::new("/")).map_err(io::Error::from)?)?;
        if root.stat.key.is_same_inode(running.key) {
            return Err(Refusal::RunningSystem.into());
        }
        let host_path = std::fs::read_link(root.own_path())
            .context(|| "asking /proc where it lies")?
            .as_os_str()
            .as_bytes()
            .to_vec();
        let mounts = Mounts::read().context(|| "/proc/self/mountinfo")?;
        let unlisted = || Error::unsupported("it lies on a mount that the kernel does not list");
        let mount = mounts.find(root.stat.key.mount_id).cloned().ok_or_else(unlisted)?;
        mount.check_root()?;
        let ntfs_acl_name = host::ntfs_acl_name(&root, &mount);
        Ok(Self {
            path: path.to_owned(),
            root: Rc::new(root),
            host_path,
            mount,
            mounts: RefCell::new(mounts),
            ntfs_acl_name,
            has_openat2: Cell::new(true),
            has_rename_flags: Cell::new(true),
            bytes_read,
        })
    }

    /// The root itself.
    pub fn root(&self) -> &Rc<Handle> {
        &self.root
    }

    /// True if `other` is the same object of the host.
    pub fn is_same(&self, other: &Self) -> bool {
        self.root.stat.key.is_at(other.root.stat.key)
    }

    /// Follows `names` down from the root, through directories only.
    ///
    /// # Errors
    /// `Mismatch` if one of them is something else, such as a link; as [`Directory::child`].
    pub fn walk<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> Result<Option<Rc<Handle>>> {
        let mut at = self.root.clone();
        for name in names {
            let child = self.child(&at, name).context(|| escape(name))?;
            let Some(child) = child else { return Ok(None) };
            if child.stat.kind != stat::Kind::Directory {
                let name = escape(name);
                return Err(Error::mismatch(format!("{name} is no longer a directory")));
            }
            at = Rc::new(child);
        }
        Ok(Some(at))
    }

    /// Bytes of content read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Never again asks the kernel for `openat2`, as if it did not know it.
    pub fn forget_openat2(&self) {
        self.has_openat2.set(false);
    }

    /// Never again asks for a rename that exchanges names or never replaces one, as if the file system had neither.
    pub fn forget_rename_flags(&self) {
        self.has_rename_flags.set(false);
    }

    fn has_rename_flags(&self) -> bool {
        self.has_rename_flags.get()
    }

    /// The mounts below the target, each with its path inside the target and what it means.
    pub fn mounts_below(&self) -> Vec<(Vec<u8>, Standing)> {
        let mounts = self.mounts.borrow();
        let below = mounts.below(&self.host_path).map(|mount| {
            let path = mount.point.get(self.host_path.len()..).unwrap_or_default().to_vec();
            (path, mounts.standing(mount.id, &self.host_path))
        });
        below.collect()
    }

    /// Why nothing can be written here, as far as the mount says.
    ///
    /// # Errors
    /// `Refused` - mounted read-only, or a file system that is not edited.
    pub fn check_writable(&self) -> Result<()> {
        if self.ntfs_acl_name.is_none() {
            self.mount.check_writable_type()?;
        }
        self.check_mounted_writable(&self.root, || "it".to_owned())
    }

    /// Refuses what lies on a read-only mount; `name` says what that is.
    ///
    /// # Errors
    /// `Refused`.
    pub fn check_mounted_writable(
        &self,
        handle: &Handle,
        name: impl FnOnce() -> String,
    ) -> Result<()> {
        let found = rustix::fs::fstatvfs(handle.fd()).map_err(io::Error::from)?;
        if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
            let mounts = self.mounts.borrow();
            let mount = mounts.find(handle.stat.key.mount_id);
            let point = mount.map_or_else(|| self.host_path.clone(), |mount| mount.point.clone());
            return Err(Refusal::MountedReadOnly { what: name(), mount: escape(&point) }.into());
        }
        Ok(())
    }

    /// Opens `name` in `directory`; `None` if there is no such name. A symbolic link is not followed.
    ///
    /// # Errors
    /// * `Refused` - `directory` lies on a mount that is not entered, or is none.
    /// * `Io` - no permission, or the host failed.
    pub fn child(&self, directory: &Handle, name: &[u8]) -> Result<Option<Handle>> {
        match &directory.standing {
            Standing::Inside => {}
            Standing::Empty(_) => return Ok(None),
            Standing::Barred(reason) => return Err(self.barred(directory, reason)),
        }
        if name.is_empty() || matches!(name, b"." | b"..") || name.contains(&b'/') {
            return Ok(None);
        }
        let fd = match self.open_child(directory, name) {
            Ok(fd) => fd,
            // EINVAL: a NUL in the name.
            Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        };
        let mut child = Handle::new(fd, Standing::Inside, self.bytes_read.clone())?;
        if child.stat.key.mount_id != directory.stat.key.mount_id {
            child.standing = self.standing(child.stat.key.mount_id)?;
        }
        Ok(Some(child))
    }

    /// Lists the names of `directory`.
    ///
    /// # Errors
    /// As [`Directory::child`]; those of `visit`.
    pub fn names(
        &self,
        directory: &Handle,
        visit: &mut dyn FnMut(&[u8]) -> Result<bool>,
    ) -> Result<()> {
        match &directory.standing {
            Standing::Inside => directory.names(visit),
            Standing::Empty(_) => Ok(()),
            Standing::Barred(reason) => Err(self.barred(directory, reason)),
        }
    }

    fn barred(&self, directory: &Handle, reason: &str) -> Error {
        let mounts = self.mounts.borrow();
        let point = mounts.find(directory.stat.key.mount_id).map(|mount| &mount.point);
        let inside = point.and_then(|point| point.get(self.host_path.len()..));
        let path = escape(inside.unwrap_or(b"a mount"));
        let command = point.map(|point| format!(": umount {}", escape(point)));
        let command = command.unwrap_or_default();
        let reason = format!("is {reason}: not entered, unmount it first{command}");
        Refusal::UnsuitableFile { path, reason }.into()
    }

    fn standing(&self, mount_id: u64) -> Result<Standing> {
        if self.mounts.borrow().find(mount_id).is_none() {
            // Mounted since.
            *self.mounts.borrow_mut() = Mounts::read()?;
        }
        Ok(self.mounts.borrow().standing(mount_id, &self.host_path))
    }

    fn open_child(&self, directory: &Handle, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        for _ in 0..LOOKUP_ATTEMPTS {
            if !self.has_openat2.get() {
                break;
            }
            match rustix::fs::openat2(directory.fd(), name, flags, Mode::empty(), beneath) {
                // EPERM: what sandboxes answer to calls they do not know.
                Err(Errno::NOSYS | Errno::PERM) => self.has_openat2.set(false),
                Err(Errno::AGAIN | Errno::INTR) => {}
                found => return found,
            }
        }
        rustix::fs::openat(directory.fd(), name, flags, Mode::empty())
    }
}

#[cfg(test)]
mod tests;
