//! The steps by which a directory is changed; nothing else opens anything beneath a target for writing.
//!
//! A file with a new content is made under another name in the directory where it belongs ([`Writer::stage`]): opened
//! with `O_CREAT | O_EXCL | O_NOFOLLOW`, so that it is never an object that was there; with its owner, mode, attributes and
//! times, and synced. Then it takes its name in one step: [`Writer::publish`] where there was nothing, and never over
//! anything; [`Writer::exchange`] where there was something, which then has the other name and is looked at once more
//! before it goes. Metadata and pieces are changed through a handle of the object itself ([`object`]), and only of regular
//! files and directories. Every step is relative to the handle of a directory that was reached name by name, and none
//! touches what lies on a mount that is not entered.
//!
//! What file systems lack is made up for: without `RENAME_NOREPLACE` a second name is made and the first one removed
//! (link(2) never replaces either); without `RENAME_EXCHANGE` the object is looked at just before it is replaced.

mod names;
mod object;
#[cfg(test)]
mod tests;

use super::Directory;
use super::handle::Handle;
use super::record::{Content, Side};
use super::stat::Kind;
use crate::bytes::text::escape;
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write as _};

/// Access to a file that is not finished.
const STAGED_MODE: u32 = 0o600;
/// Access to a directory that is not finished.
const STAGED_DIRECTORY_MODE: u32 = 0o700;

/// Asked before every step that changes something; the test double of a kill fails from one step on.
pub type BeforeStep<'a> = &'a dyn Fn(&str) -> Result<()>;

/// Says whether an object is the one that a change is about.
pub type IsExpected<'a> = &'a dyn Fn(&Handle) -> Result<bool>;

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

    /// Starts a change of `handle`, or of a name in it: never on a mount that is not entered.
    fn begin(&self, what: &str, handle: &Handle) -> Result<()> {
        match handle.standing.reason() {
            Some(reason) => Err(self.directory.barred(handle, reason)),
            None => self.step(what),
        }
    }

    /// Makes the object `side` as `name` in `place`, whole and synced.
    ///
    /// # Errors
    /// `Io`, also if there is something of that name; `Mismatch` if somebody puts something else there at once.
    pub fn stage(&self, place: &Handle, name: &[u8], side: &Side) -> Result<()> {
        self.begin("stage", place)?;
        match (side.kind, &side.content) {
            (Kind::Directory, _) => {
                let mode = Mode::from_bits_retain(STAGED_DIRECTORY_MODE);
                rustix::fs::mkdirat(place.fd(), name, mode).map_err(io::Error::from)?;
                let made = self.just_made(place, name, Kind::Directory)?;
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
                self.set_link(&self.just_made(place, name, Kind::Symlink)?, side)
            }
            _ => Err(Error::unsupported("only files, directories and links are made")),
        }
    }

    /// The directory or link that was made a moment ago, unless somebody has put something else there since: what gets
    /// owner and mode next must not be an object that was there before.
    fn just_made(&self, place: &Handle, name: &[u8], kind: Kind) -> Result<Handle> {
        let made = self.child(place, name)?;
        let is_own = self.directory.ntfs_acl_name().is_some()
            || made.stat.uid == nix::unistd::geteuid().as_raw();
        let mut is_empty = true;
        if made.stat.kind == Kind::Directory {
            self.directory.names(&made, &mut |_| {
                is_empty = false;
                Ok(false)
            })?;
        }
        if made.stat.kind == kind && is_own && is_empty { Ok(made) } else { Err(taken()) }
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
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn taken() -> Error {
    Error::mismatch("somebody else has made a file of that name")
}
