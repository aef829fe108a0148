//! A handle of one object beneath the target, and what can be read through it.
//!
//! A handle is opened with `O_PATH | O_NOFOLLOW`: that opens nothing, so no device notices, no pipe waits, and no link
//! is followed. Content is read through a second descriptor, which is opened for regular files and directories
//! only, and through the first one (`/proc/self/fd`), so that it is the same object whatever its name leads to by
//! then.

use super::stat::{Kind, Stat};
use crate::bytes::arith;
use crate::error::{Error, Result};
use rustix::fs::{CWD, Mode, OFlags};
use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

/// Bound on the list of names of extended attributes, and on the value of one, as in Linux.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// How often an attribute is asked for again that has grown in between.
const XATTR_ATTEMPTS: u32 = 4;

/// An object beneath the target.
#[derive(Debug)]
pub struct Handle {
    fd: OwnedFd,
    /// What it was when the handle was made.
    pub stat: Stat,
    /// What the mount that it lies on means for it.
    pub standing: super::mounts::Standing,
    content: OnceCell<File>,
    /// Bytes of content read through all handles of the target.
    bytes_read: Rc<Cell<u64>>,
}

impl Handle {
    /// Takes over a path descriptor.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn new(
        fd: OwnedFd,
        standing: super::mounts::Standing,
        bytes_read: Rc<Cell<u64>>,
    ) -> Result<Self> {
        let stat = Stat::of(&fd)?;
        Ok(Self { fd, stat, standing, content: OnceCell::new(), bytes_read })
    }

    /// The descriptor, good for lookups below it.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The name under which the kernel knows exactly this object.
    pub(super) fn own_path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// What it is now.
    ///
    /// # Errors
    /// `Io`.
    pub fn stat_now(&self) -> Result<Stat> {
        Stat::of(&self.fd)
    }

    /// Fails if this process may not write to it, without opening it.
    ///
    /// # Errors
    /// `Io`.
    pub fn check_writable(&self) -> Result<()> {
        let (path, access) = (self.own_path(), rustix::fs::Access::WRITE_OK);
        let allowed = rustix::fs::accessat(CWD, path, access, rustix::fs::AtFlags::EACCESS);
        Ok(allowed.map_err(io::Error::from)?)
    }

    /// Lets what is read next come from the medium, where the host can do that.
    ///
    /// # Errors
    /// `Io`.
    pub fn drop_cache(&self) -> Result<()> {
        if self.stat.kind == Kind::File {
            super::super::writable::drop_pages(&self.open_content()?)?;
        }
        Ok(())
    }

    /// Opens a regular file or directory for reading, without changing its time of access where that is allowed.
    pub(super) fn open_content(&self) -> Result<File> {
        let only = match self.stat.kind {
            Kind::File => OFlags::empty(),
            Kind::Directory => OFlags::DIRECTORY,
            _ => return Err(Error::unsupported("neither a regular file nor a directory")),
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | only;
        let open = |flags| rustix::fs::openat(CWD, self.own_path(), flags, Mode::empty());
        let opened = match open(flags | OFlags::NOATIME) {
            Err(rustix::io::Errno::PERM) => open(flags),
            opened => opened,
        };
        Ok(File::from(opened.map_err(io::Error::from)?))
    }

    /// Reads up to `len` bytes of a regular file; less only at its end.
    ///
    /// # Errors
    /// `Io`; `Unsupported` for anything else.
    pub fn read_at(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        if self.content.get().is_none() {
            let _ = self.content.set(self.open_content()?);
        }
        let missing = || Error::unsupported("neither a regular file nor a directory");
        let file = self.content.get().ok_or_else(missing)?;
        let bytes = read_at(file, offset_bytes, len)?;
        let count = self.bytes_read.get().saturating_add(arith::len_u64(bytes.len()));
        self.bytes_read.set(count);
        Ok(bytes)
    }

    /// The names in a directory, but for `.` and `..`, in the order of the file system.
    ///
    /// # Errors
    /// `Io`; those of `visit`.
    pub fn names(&self, visit: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let directory = self.open_content()?;
        let mut names = rustix::fs::Dir::new(directory).map_err(io::Error::from)?;
        while let Some(entry) = names.read() {
            let entry = entry.map_err(io::Error::from)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") && !visit(name)? {
                break;
            }
        }
        Ok(())
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// `Io`.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.fd, "", Vec::new()).map_err(io::Error::from)?;
        Ok(target.into_bytes())
    }

    /// The names of the extended attributes that the kernel lists.
    ///
    /// # Errors
    /// `Io`; nothing is an error on file systems that have none.
    pub fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let path = self.own_path();
        let list = grown(
            || rustix::fs::listxattr_query(path.as_str()),
            |buffer| rustix::fs::listxattr(path.as_str(), buffer),
        )?;
        Ok(names_in(&list.unwrap_or_default()))
    }

    /// The value of an extended attribute; `None` if it is not there.
    ///
    /// # Errors
    /// `Io`.
    pub fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let path = self.own_path();
        grown(
            || rustix::fs::getxattr_query(path.as_str(), name),
            |buffer| rustix::fs::getxattr(path.as_str(), name, buffer),
        )
    }
}

/// Reads up to `len` bytes; less only at the end of the file.
pub(super) fn read_at(file: &File, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
    let size_bytes = file.metadata()?.len();
    let left = size_bytes.saturating_sub(offset_bytes);
    let wanted: usize = arith::to(left.min(arith::len_u64(len)))?;
    let mut bytes = vec![0; wanted];
    let mut done = 0usize;
    while done < wanted {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        match file.read_at(rest, arith::add(offset_bytes, arith::len_u64(done))?) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn names_in(list: &[u8]) -> Vec<Vec<u8>> {
    let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}

/// The attributes of an open file that the kernel lists.
pub(super) fn names_of_file(file: &File) -> Result<Vec<Vec<u8>>> {
    let list = grown(
        || rustix::fs::flistxattr_query(file),
        |buffer| rustix::fs::flistxattr(file, buffer),
    )?;
    Ok(names_in(&list.unwrap_or_default()))
}

/// The value of an attribute of an open file.
pub(super) fn attribute_of_file(file: &File, name: &[u8]) -> Result<Option<Vec<u8>>> {
    grown(
        || rustix::fs::fgetxattr_query(file, name),
        |buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// Asks for the length, then with a buffer of that length: ntfs-3g has no other way for its own attributes.
pub(super) fn grown(
    query: impl Fn() -> rustix::io::Result<usize>,
    ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Option<Vec<u8>>> {
    for _ in 0..XATTR_ATTEMPTS {
        let found = query().and_then(|len| {
            let mut buffer = vec![0; len.min(XATTR_BYTES_MAX)];
            // A buffer without room would ask for the length again.
            let len = if len == 0 { 0 } else { ask(&mut buffer)? };
            buffer.truncate(len);
            Ok(buffer)
        });
        match found {
            Ok(buffer) => return Ok(Some(buffer)),
            Err(rustix::io::Errno::RANGE) => {}
            // The last one is what ntfs3 says of a file without a descriptor.
            Err(
                rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOENT,
            ) => return Ok(None),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Err(Error::mismatch("an extended attribute changes all the time"))
}
