//! The steps by which a directory is changed; nothing else opens anything beneath a target for writing.
//!
//! A file with a new content is made under another name in the directory where it belongs ([`Writer::stage`]): opened
//! with `O_CREAT | O_EXCL | O_NOFOLLOW`, so that it is never an object that was there; with its owner, mode, attributes and
//! times, and synced. Then it takes its name in one step: [`Writer::publish`] where there was nothing, and never over
//! anything; [`Writer::exchange`] where there was something, which then has the other name and is looked at once more
//! before it goes. Metadata and pieces are changed through a handle of the object itself, and only of regular files and
//! directories. Every step is relative to the handle of a directory that was reached name by name.
//!
//! What file systems lack is made up for: without `RENAME_NOREPLACE` a second name is made and the first one removed
//! (link(2) never replaces either); without `RENAME_EXCHANGE` the object is looked at just before it is replaced.

use super::Directory;
use super::handle::{self, Handle};
use super::mounts::Standing;
use super::record::{Content, Piece, Side};
use super::stat::{Kind, Time};
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

/// Access to a file that is not finished.
const STAGED_MODE: u32 = 0o600;
/// Access to a directory that is not finished.
const STAGED_DIRECTORY_MODE: u32 = 0o700;

/// Asked before every step that changes something; the test double of a kill fails from one step on.
pub type BeforeStep<'a> = &'a dyn Fn(&str) -> Result<()>;

/// Changes a directory.
pub struct Writer<'a> {
    directory: &'a Directory,
    before_step: BeforeStep<'a>,
}

impl<'a> Writer<'a> {
    /// A writer into `directory`.
    pub fn new(directory: &'a Directory, before_step: BeforeStep<'a>) -> Self {
        Self { directory, before_step }
    }

    fn step(&self, what: &str) -> Result<()> {
        (self.before_step)(what)
    }

    /// Makes the object `side` as `name` in `place`, whole and synced.
    ///
    /// # Errors
    /// `Io`, also if there is something of that name.
    pub fn stage(&self, place: &Handle, name: &[u8], side: &Side) -> Result<()> {
        self.step("stage")?;
        match (side.kind, &side.content) {
            (Kind::Directory, _) => {
                let mode = Mode::from_bits_retain(STAGED_DIRECTORY_MODE);
                rustix::fs::mkdirat(place.fd(), name, mode).map_err(io::Error::from)?;
                let made = self.child(place, name)?;
                self.set_all(&made.open_content()?, side)
            }
            (Kind::File, Content::Whole(content)) => {
                let flags = OFlags::RDWR
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::NOCTTY
                    | OFlags::CLOEXEC;
                let mode = Mode::from_bits_retain(STAGED_MODE);
                let file = rustix::fs::openat(place.fd(), name, flags, mode);
                let mut file = File::from(file.map_err(io::Error::from)?);
                self.step("fill")?;
                file.write_all(content)?;
                self.set_all(&file, side)?;
                self.step("sync file")?;
                Ok(file.sync_all()?)
            }
            (Kind::Symlink, Content::Whole(target)) => {
                rustix::fs::symlinkat(target.as_slice(), place.fd(), name)
                    .map_err(io::Error::from)?;
                self.set_link(place, name, side)
            }
            _ => Err(Error::unsupported("only files, directories and links are made")),
        }
    }

    /// Gives the object `temporary` of `place` the name `name`, which must be free.
    ///
    /// # Errors
    /// `Mismatch` if it is taken; `Io`.
    pub fn publish(&self, place: &Handle, temporary: &[u8], name: &[u8]) -> Result<()> {
        self.step("publish")?;
        match move_to_free(place, temporary, name) {
            Ok(()) => return Ok(()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(taken_is_mismatch(error)),
        }
        let link = |flags| rustix::fs::linkat(place.fd(), temporary, place.fd(), name, flags);
        match link(AtFlags::empty()) {
            Ok(()) => {
                self.step("unlink")?;
                unlink(place, temporary)
            }
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                if self.directory.child(place, name)?.is_some() {
                    return Err(taken_is_mismatch(Errno::EXIST));
                }
                let renamed = rustix::fs::renameat(place.fd(), temporary, place.fd(), name);
                Ok(renamed.map_err(io::Error::from)?)
            }
            Err(error) => Err(taken_is_mismatch(error)),
        }
    }

    /// Lets `temporary` and `name` change places; then `is_expected` looks at what had the name, and it is removed.
    ///
    /// # Errors
    /// `Mismatch` if it is something else: then everything is as before. `Io`.
    pub fn exchange(
        &self,
        place: &Handle,
        temporary: &[u8],
        name: &[u8],
        is_expected: &dyn Fn(&Handle) -> Result<bool>,
    ) -> Result<()> {
        self.step("exchange")?;
        let exchange = || {
            rustix::fs::renameat_with(
                place.fd(),
                temporary,
                place.fd(),
                name,
                RenameFlags::EXCHANGE,
            )
        };
        match exchange() {
            Ok(()) => {
                if !is_expected(&self.child(place, temporary)?)? {
                    exchange().map_err(io::Error::from)?;
                    return Err(changed_meanwhile());
                }
                self.step("unlink")?;
                unlink(place, temporary)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if !is_expected(&self.child(place, name)?)? {
                    return Err(changed_meanwhile());
                }
                let renamed = rustix::fs::renameat(place.fd(), temporary, place.fd(), name);
                Ok(renamed.map_err(io::Error::from)?)
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Removes the file or link `name`: it gets the name `temporary`, `is_expected` looks at it, and then it goes.
    ///
    /// # Errors
    /// `Mismatch` if it is something else: then it has its name again. `Io`.
    pub fn remove(
        &self,
        place: &Handle,
        temporary: &[u8],
        name: &[u8],
        is_expected: &dyn Fn(&Handle) -> Result<bool>,
    ) -> Result<()> {
        self.step("remove")?;
        match move_to_free(place, name, temporary) {
            Ok(()) => {
                if !is_expected(&self.child(place, temporary)?)? {
                    move_to_free(place, temporary, name).map_err(io::Error::from)?;
                    return Err(changed_meanwhile());
                }
                self.step("unlink")?;
                unlink(place, temporary)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if !is_expected(&self.child(place, name)?)? {
                    return Err(changed_meanwhile());
                }
                unlink(place, name)
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Removes what an interrupted run has left: a file or link, never opened, or an empty directory.
    ///
    /// # Errors
    /// `Io`.
    pub fn discard(&self, place: &Handle, temporary: &[u8], kind: Kind) -> Result<()> {
        self.step("discard")?;
        if kind == Kind::Directory {
            remove_empty(place, temporary)
        } else {
            unlink(place, temporary)
        }
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// `Io`, also if it is not empty.
    pub fn remove_directory(&self, place: &Handle, name: &[u8]) -> Result<()> {
        self.step("remove directory")?;
        remove_empty(place, name)
    }

    /// Gives the file or directory owner, mode and attributes of `side`, one after the other, and makes them durable.
    ///
    /// # Errors
    /// `Io`.
    pub fn set_metadata(&self, node: &Handle, side: &Side) -> Result<()> {
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
        self.step("set time")?;
        let set = rustix::fs::utimensat(CWD, node.own_path(), &times(modified), AtFlags::empty());
        match set {
            Err(Errno::PERM | Errno::ACCESS) if node.stat.kind == Kind::Directory => Ok(false),
            set => Ok(set.map(|()| true).map_err(io::Error::from)?),
        }
    }

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync_directory(&self, place: &Handle) -> Result<()> {
        self.step("sync directory")?;
        Ok(place.open_content()?.sync_all()?)
    }

    fn child(&self, place: &Handle, name: &[u8]) -> Result<Handle> {
        let child = self.directory.child(place, name)?;
        child.ok_or_else(|| Error::mismatch(format!("{} is gone", escape(name))))
    }

    fn set_all(&self, file: &File, side: &Side) -> Result<()> {
        self.set_owner_and_attributes(file, side)?;
        self.step("set time")?;
        let set = rustix::fs::futimens(file, &times(side.modified));
        Ok(set.map_err(io::Error::from)?)
    }

    fn set_owner_and_attributes(&self, file: &File, side: &Side) -> Result<()> {
        let is_ntfs = self.directory.ntfs_acl_name().is_some();
        let found = file.metadata()?;
        if !is_ntfs && (found.uid(), found.gid()) != (side.uid, side.gid) {
            self.step("set owner")?;
            let (uid, gid) = (Uid::from_raw(side.uid), Gid::from_raw(side.gid));
            let set = rustix::fs::fchown(file, Some(uid), Some(gid));
            let owner = || format!("giving it to {}:{}", side.uid, side.gid);
            set.map_err(io::Error::from).context(owner)?;
        }
        if !is_ntfs {
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

    /// Owner, attributes and time of a symbolic link, which has no mode.
    fn set_link(&self, place: &Handle, name: &[u8], side: &Side) -> Result<()> {
        let (uid, gid) = (Uid::from_raw(side.uid), Gid::from_raw(side.gid));
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let made = self.child(place, name)?.stat;
        if self.directory.ntfs_acl_name().is_none() && (made.uid, made.gid) != (side.uid, side.gid)
        {
            self.step("set owner")?;
            rustix::fs::chownat(place.fd(), name, Some(uid), Some(gid), no_follow)
                .map_err(io::Error::from)?;
        }
        for (attribute, value) in &side.xattrs {
            self.step("set attribute")?;
            let path = [place.own_path().as_bytes(), b"/", name].concat();
            let attribute = attribute.as_slice();
            rustix::fs::lsetxattr(path.as_slice(), attribute, value, XattrFlags::empty())
                .map_err(io::Error::from)?;
        }
        self.step("set time")?;
        rustix::fs::utimensat(place.fd(), name, &times(side.modified), no_follow)
            .map_err(io::Error::from)?;
        Ok(())
    }
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn open_for_writing(node: &Handle) -> Result<File> {
    if node.stat.kind != Kind::File || node.standing != Standing::Inside {
        return Err(Error::unsupported("not a regular file of the target"));
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

fn move_to_free(place: &Handle, from: &[u8], to: &[u8]) -> Result<(), Errno> {
    rustix::fs::renameat_with(place.fd(), from, place.fd(), to, RenameFlags::NOREPLACE)
}

fn unlink(place: &Handle, name: &[u8]) -> Result<()> {
    Ok(rustix::fs::unlinkat(place.fd(), name, AtFlags::empty()).map_err(io::Error::from)?)
}

fn remove_empty(place: &Handle, name: &[u8]) -> Result<()> {
    match rustix::fs::unlinkat(place.fd(), name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let name = escape(name);
            Err(Error::mismatch(format!("the directory {name} holds what regain did not make")))
        }
        removed => Ok(removed.map_err(io::Error::from)?),
    }
}

fn taken_is_mismatch(error: Errno) -> Error {
    match error {
        Errno::EXIST => Error::mismatch("somebody else has made a file of that name"),
        error => io::Error::from(error).into(),
    }
}

fn changed_meanwhile() -> Error {
    Error::mismatch("somebody else has changed it in the meantime; it is left as they made it")
}
