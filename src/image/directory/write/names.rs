//! Names that come, go, and lead elsewhere, each in one step.

use super::super::handle::Handle;
use super::super::stat::Kind;
use super::{IsExpected, Writer, taken};
use crate::bytes::text::escape;
use crate::error::{Error, Result};
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use std::io;

/// A system call that gives a name to something else, or to nothing.
type NameChange<'a> = &'a dyn Fn() -> Result<(), Errno>;

impl Writer<'_> {
    /// Gives the object `temporary` of `place` the name `name`, which must be free.
    ///
    /// # Errors
    /// `Mismatch` if it is taken; `Io`.
    pub fn publish(&self, place: &Handle, temporary: &[u8], name: &[u8]) -> Result<()> {
        self.begin("publish", place)?;
        match self.move_to_free(place, temporary, name) {
            Ok(()) => return Ok(()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(taken_is_mismatch(error)),
        }
        let link = |flags| rustix::fs::linkat(place.fd(), temporary, place.fd(), name, flags);
        match link(AtFlags::empty()) {
            Ok(()) => {
                self.step("unlink")?;
                Ok(unlink(place, temporary).map_err(io::Error::from)?)
            }
            // Directories, and file systems without second names.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                if self.directory.child(place, name)?.is_some() {
                    return Err(taken());
                }
                let renamed = rustix::fs::renameat(place.fd(), temporary, place.fd(), name);
                renamed.map_err(taken_is_mismatch)
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
        is_expected: IsExpected<'_>,
    ) -> Result<()> {
        self.begin("exchange", place)?;
        let exchange = || self.rename(place, temporary, name, RenameFlags::EXCHANGE);
        let replace = || rustix::fs::renameat(place.fd(), temporary, place.fd(), name);
        self.take_away(place, (temporary, name), is_expected, [&exchange, &exchange, &replace])
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
        is_expected: IsExpected<'_>,
    ) -> Result<()> {
        self.begin("remove", place)?;
        let aside = || self.move_to_free(place, name, temporary);
        let back = || self.move_to_free(place, temporary, name);
        let at_once = || unlink(place, name);
        self.take_away(place, (temporary, name), is_expected, [&aside, &back, &at_once])
    }

    /// Takes away what has the name: `aside` gives it the other one, where it is looked at before it goes; if it is not
    /// what was expected, `back` undoes that. `at_once` is for file systems that cannot do that.
    fn take_away(
        &self,
        place: &Handle,
        (temporary, name): (&[u8], &[u8]),
        is_expected: IsExpected<'_>,
        [aside, back, at_once]: [NameChange<'_>; 3],
    ) -> Result<()> {
        let look = |name| self.child(place, name).and_then(|found| is_expected(&found));
        match aside() {
            Ok(()) => {
                let verdict = look(temporary);
                if !matches!(verdict, Ok(true)) {
                    back().map_err(io::Error::from)?;
                    return Err(verdict.err().unwrap_or_else(changed_meanwhile));
                }
                self.step("unlink")?;
                Ok(unlink(place, temporary).map_err(io::Error::from)?)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if look(name)? => {
                Ok(at_once().map_err(io::Error::from)?)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(changed_meanwhile()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Removes what an interrupted run has left: a file or link, never opened, or an empty directory.
    ///
    /// # Errors
    /// `Io`.
    pub fn discard(&self, place: &Handle, temporary: &[u8], kind: Kind) -> Result<()> {
        self.begin("discard", place)?;
        if kind == Kind::Directory {
            remove_empty(place, temporary)
        } else {
            Ok(unlink(place, temporary).map_err(io::Error::from)?)
        }
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// `Io`; `Mismatch` if it is not empty.
    pub fn remove_directory(&self, place: &Handle, name: &[u8]) -> Result<()> {
        self.begin("remove directory", place)?;
        remove_empty(place, name)
    }

    fn move_to_free(&self, place: &Handle, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        self.rename(place, from, to, RenameFlags::NOREPLACE)
    }

    fn rename(
        &self,
        place: &Handle,
        from: &[u8],
        to: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if !self.directory.has_rename_flags() {
            return Err(Errno::INVAL);
        }
        rustix::fs::renameat_with(place.fd(), from, place.fd(), to, flags)
    }
}

fn unlink(place: &Handle, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::unlinkat(place.fd(), name, AtFlags::empty())
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
        // What renameat(2) says of a directory with names in it.
        Errno::EXIST | Errno::NOTEMPTY => taken(),
        error => io::Error::from(error).into(),
    }
}

fn changed_meanwhile() -> Error {
    Error::mismatch("somebody else has changed it in the meantime; it is left as they made it")
}
