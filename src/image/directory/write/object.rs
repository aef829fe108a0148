//! Changes of an object that stays: through a handle or an open file, never by its name.

use super::super::handle::{self, Handle};
use super::super::record::{Piece, Side};
use super::super::stat::{Kind, Time};
use super::Writer;
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

impl Writer<'_> {
    /// Gives the file or directory owner, mode and attributes of `side`, one after the other, and makes them durable.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_metadata(&self, node: &Handle, side: &Side) -> Result<()> {
        self.begin("change", node)?;
        let file = node.open_content()?;
        self.set_owner_and_attributes(&file, side)?;
        if side.kind == Kind::File {
            self.set_modified(node, side.modified)?;
        }
        self.step("sync")?;
        Ok(file.sync_all()?)
    }

    /// Overwrites pieces of the file: the end first, then from the back to the front, so that what says that the file is
    /// whole, at its start, comes last; then moves its end.
    ///
    /// # Errors
    /// `Io`.
    pub fn write_pieces(&self, node: &Handle, size_bytes: u64, pieces: &[Piece]) -> Result<()> {
        self.begin("change", node)?;
        let file = open_for_writing(node)?;
        for piece in pieces.iter().rev() {
            self.step("write piece")?;
            file.write_all_at(&piece.bytes, piece.offset_bytes)?;
        }
        if file.metadata()?.size() != size_bytes {
            self.step("set size")?;
            rustix::fs::ftruncate(&file, size_bytes).map_err(io::Error::from)?;
        }
        self.step("sync file")?;
        Ok(file.sync_all()?)
    }

    /// Sets the time of the last change of the content; the time of access stays. `Ok(false)` if this user may not set
    /// that of a directory, which then keeps the time that the kernel has set.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_modified(&self, node: &Handle, modified: Time) -> Result<bool> {
        self.begin("set time", node)?;
        let set = rustix::fs::utimensat(CWD, node.own_path(), &times(modified), AtFlags::empty());
        match set {
            Err(Errno::PERM | Errno::ACCESS) if node.stat.kind == Kind::Directory => Ok(false),
            set => Ok(set.map(|()| true).map_err(io::Error::from)?),
        }
    }

    pub(super) fn set_all(&self, file: &File, side: &Side) -> Result<()> {
        self.set_owner_and_attributes(file, side)?;
        self.step("set time")?;
        let set = rustix::fs::futimens(file, &times(side.modified));
        Ok(set.map_err(io::Error::from)?)
    }

    fn set_owner_and_attributes(&self, file: &File, side: &Side) -> Result<()> {
        if self.directory.ntfs_acl_name().is_none() {
            let found = file.metadata()?;
            if (found.uid(), found.gid()) != (side.uid, side.gid) {
                self.step("set owner")?;
                let (uid, gid) = owner(side);
                let given = rustix::fs::fchown(file, uid, gid);
                given.map_err(io::Error::from).context(|| giving(side))?;
            }
            self.step("set mode")?;
            let mode = Mode::from_bits_retain(side.mode);
            rustix::fs::fchmod(file, mode).map_err(io::Error::from)?;
        }
        self.set_attributes(file, side)
    }

    fn set_attributes(&self, file: &File, side: &Side) -> Result<()> {
        for name in handle::names_of_file(file)? {
            let is_wanted = side.xattrs.iter().any(|(wanted, _)| *wanted == name);
            if is_wanted || self.directory.is_made_by_host(&name) {
                continue;
            }
            self.step("remove attribute")?;
            match rustix::fs::fremovexattr(file, name.as_slice()) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(error) => return Err(io::Error::from(error)).context(|| escape(&name)),
            }
        }
        for (name, value) in &side.xattrs {
            let host_name = self.directory.host_attribute(name);
            if handle::attribute_of_file(file, host_name)?.as_ref() == Some(value) {
                continue;
            }
            self.step("set attribute")?;
            let set = rustix::fs::fsetxattr(file, host_name, value, XattrFlags::empty());
            set.map_err(io::Error::from).context(|| format!("setting {}", escape(name)))?;
        }
        Ok(())
    }

    /// Owner, attributes and time of a symbolic link, which has no mode. The path of its handle leads to the link itself.
    pub(super) fn set_link(&self, made: &Handle, side: &Side) -> Result<()> {
        let path = made.own_path();
        let found = &made.stat;
        let is_ntfs = self.directory.ntfs_acl_name().is_some();
        if !is_ntfs && (found.uid, found.gid) != (side.uid, side.gid) {
            self.step("set owner")?;
            let (uid, gid) = owner(side);
            let given = rustix::fs::chownat(CWD, path.as_str(), uid, gid, AtFlags::empty());
            given.map_err(io::Error::from).context(|| giving(side))?;
        }
        for (name, value) in &side.xattrs {
            self.step("set attribute")?;
            let host_name = self.directory.host_attribute(name);
            rustix::fs::setxattr(path.as_str(), host_name, value, XattrFlags::empty())
                .map_err(io::Error::from)
                .context(|| format!("setting {}", escape(name)))?;
        }
        self.step("set time")?;
        let set = rustix::fs::utimensat(CWD, path, &times(side.modified), AtFlags::empty());
        Ok(set.map_err(io::Error::from)?)
    }
}

fn owner(side: &Side) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(side.uid)), Some(Gid::from_raw(side.gid)))
}

/// What an ordinary user fails at first.
fn giving(side: &Side) -> String {
    format!("giving it to {}:{}", side.uid, side.gid)
}

fn open_for_writing(node: &Handle) -> Result<File> {
    if node.stat.kind != Kind::File {
        return Err(Error::unsupported("not a regular file"));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, node.own_path(), flags, Mode::empty());
    Ok(File::from(file.map_err(io::Error::from)?))
}

fn times(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: i64::from(modified.nanoseconds),
        },
    }
}
