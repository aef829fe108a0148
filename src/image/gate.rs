//! Which further files a container may have opened.
//!
//! An image is written by whoever had it before, and may name any file of this host as a part of itself. So a name is
//! followed only if the file lies in the directory of the file that names it, as `qemu-img` and VMware leave
//! them, or if the user named that very file ([`super::Options::allowed_files`]). Names of protocols (`nbd:`, `json:`,
//! `https:`) are never followed.

use super::container::files::{FileId, ReadFiles};
use super::host_file::{HostFile, Role, missing_is_not_found};
use super::shown;
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape;
use crate::disk::Disk;
use crate::error::{Context as _, Error, Refusal, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bound on the files of one container: a disk of 1 TB in extents of 2 GB, and less than a process may have open.
const FILES_MAX: usize = 480;

/// Opens the files that belong to a target.
#[derive(Debug)]
pub(super) struct FileGate<'a> {
    target: HostFile,
    further: Vec<HostFile>,
    allowed: &'a [PathBuf],
}

impl<'a> FileGate<'a> {
    /// Only `target` is open, and lets in what lies beside it and `allowed`.
    pub(super) fn new(target: HostFile, allowed: &'a [PathBuf]) -> Self {
        Self { target, further: Vec::new(), allowed }
    }

    /// The target and the files that were opened.
    pub(super) fn into_files(self) -> (HostFile, Vec<HostFile>) {
        (self.target, self.further)
    }

    fn file(&self, id: FileId) -> &HostFile {
        let index = id.0.checked_sub(1);
        index.and_then(|index| self.further.get(index)).unwrap_or(&self.target)
    }

    /// Finds and opens `name`.
    fn find(&self, from: &Path, name: &str) -> Result<HostFile> {
        let refused = |reason: &str| -> Error {
            let file = escape(name.as_bytes());
            Refusal::ForeignFile { file, reason: reason.to_owned() }.into()
        };
        if has_protocol(name) {
            return Err(refused("only files can be followed, not what names a protocol"));
        }
        let directory = match from.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let wanted = directory.join(name);
        if let Some(path) = self.allowed.iter().find(|allowed| is_same_object(allowed, &wanted)) {
            // The name that the user gave is opened, not that in the image.
            return HostFile::open(path);
        }
        let Some(leaf) = leaf_in(directory, Path::new(name)) else {
            return Err(refused("it is not in the directory of the image"));
        };
        match open_beneath(directory, leaf) {
            Ok(file) => HostFile::measured(file, &directory.join(leaf)),
            Err(error) if leads_out(&error) => {
                Err(refused("it is a symbolic link out of the directory of the image"))
            }
            Err(error) => Err(missing_is_not_found(error)),
        }
    }
}

impl ReadFiles for FileGate<'_> {
    fn target(&self) -> Arc<dyn Disk> {
        self.target.disk.clone()
    }

    fn open(&mut self, from: FileId, name: &str, role: Role) -> Result<(FileId, Arc<dyn Disk>)> {
        let id = FileId(self.further.len().saturating_add(1));
        if id.0 >= FILES_MAX {
            let (limit, actual) = (len_u64(FILES_MAX), len_u64(id.0).saturating_add(1));
            return Err(Error::limit("number of files of the image", limit, actual));
        }
        let file = self.find(&self.file(from).path, name);
        let file =
            file.context(|| format!("the file {:?} of the image", escape(name.as_bytes())))?;
        let others = std::iter::once(&self.target).chain(&self.further);
        if others.into_iter().any(|other| other.identity == file.identity) {
            let reason = "the image is made of it already".to_owned();
            let file = shown(&file.path);
            return Err(Refusal::ForeignFile { file, reason }.into());
        }
        let disk = file.disk.clone();
        self.further.push(HostFile { role, reference: name.to_owned(), ..file });
        Ok((id, disk))
    }
}

/// True for what qemu takes as the name of a protocol: a colon before the first slash.
fn has_protocol(name: &str) -> bool {
    name.split('/').next().is_some_and(|first| first.contains(':'))
}

fn is_same_object(allowed: &Path, wanted: &Path) -> bool {
    let (Ok(allowed), Ok(wanted)) = (allowed.metadata(), wanted.metadata()) else { return false };
    (allowed.dev(), allowed.ino()) == (wanted.dev(), wanted.ino())
}

/// The last component of `name` if it lies in `directory` itself, whether it is given relative to it or absolutely.
fn leaf_in<'a>(directory: &Path, name: &'a Path) -> Option<&'a Path> {
    let mut components = name.components().filter(|component| *component != Component::CurDir);
    let last = components.next_back()?;
    let Component::Normal(leaf) = last else { return None };
    let is_beside = if name.is_absolute() {
        is_same_object(name.parent()?, directory)
    } else {
        components.next().is_none()
    };
    is_beside.then_some(Path::new(leaf))
}

/// Opens `leaf` in `directory` for reading without leaving it through symbolic links; only a regular file.
fn open_beneath(directory: &Path, leaf: &Path) -> io::Result<File> {
    let flags = nix::libc::O_DIRECTORY | nix::libc::O_PATH;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
    let open = |flags: OFlags| -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = match openat2(&directory, leaf, flags, Mode::empty(), resolve) {
            // An old kernel: then no link at all.
            Err(rustix::io::Errno::NOSYS) => {
                rustix::fs::openat(&directory, leaf, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            result => result,
        };
        Ok(File::from(file?))
    };
    // Opening a device or a pipe can have effects, so its type is looked at first.
    let found = open(OFlags::PATH)?.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(io::Error::other("it was replaced while it was opened"));
    }
    Ok(file)
}

fn leads_out(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EXDEV | nix::libc::ELOOP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_from_paths() {
        for name in ["json:{}", "nbd:localhost:10809", "https://host/x", "a:b"] {
            assert!(has_protocol(name), "{name}");
        }
        for name in ["base.img", "./a:b", "/tmp/a:b", "dir/a:b"] {
            assert!(!has_protocol(name), "{name}");
        }
    }

    #[test]
    fn only_the_same_directory_counts() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("base.img");
        let leaf = |name: &str| leaf_in(directory.path(), Path::new(name)).map(Path::to_owned);
        for name in ["base.img", "./base.img", inside.to_str().unwrap()] {
            assert_eq!(leaf(name), Some(PathBuf::from("base.img")), "{name}");
        }
        for name in ["../base.img", "a/base.img", "/etc/passwd", "..", ".", "", "a/../base.img"] {
            assert_eq!(leaf(name), None, "{name}");
        }
    }

    fn open_in(directory: &Path, name: &str, allowed: &[PathBuf]) -> Result<Vec<u8>> {
        let target = HostFile::open(&directory.join("disk.img"))?;
        let mut gate = FileGate::new(target, allowed);
        let (id, disk) = gate.open(FileId::TARGET, name, Role::OnlyRead)?;
        assert_eq!(id, FileId(1));
        disk.read_vec(0, 4)
    }

    #[test]
    fn nothing_outside_is_opened_unless_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let put = |path: &Path, text: &str| {
            std::io::Write::write_all(&mut File::create_new(path).unwrap(), text.as_bytes())
                .unwrap();
        };
        let secret = outside.path().join("secret");
        put(&secret, "hush");
        put(&directory.path().join("disk.img"), "disk");
        put(&directory.path().join("base"), "base");
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, directory.path().join(name)).unwrap();
        };
        link(&secret, "out");
        link(Path::new("base"), "in");
        link(Path::new("disk.img"), "self");
        nix::unistd::mkfifo(&directory.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open_in(directory.path(), "in", &[]).unwrap(), b"base");
        let text = secret.to_str().unwrap();
        for name in ["out", text, "self", "disk.img", "/proc/self/root/etc/passwd"] {
            let error = open_in(directory.path(), name, &[]).unwrap_err();
            assert_eq!(error.kind_name(), "refused", "{name}: {error}");
        }
        assert_eq!(open_in(directory.path(), "pipe", &[]).unwrap_err().kind_name(), "io");
        assert_eq!(open_in(directory.path(), "gone", &[]).unwrap_err().kind_name(), "not_found");
        let allowed = [secret.clone()];
        for name in ["out", text] {
            assert_eq!(open_in(directory.path(), name, &allowed).unwrap(), b"hush", "{name}");
        }
        let other = open_in(directory.path(), "/etc/passwd", &allowed).unwrap_err();
        assert_eq!(other.kind_name(), "refused");
    }
}
