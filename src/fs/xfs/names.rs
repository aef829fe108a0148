//! The names of a directory, whatever its form.

use super::directory::{self, Entry, ForkChange, NewEntry};
use super::fork_blocks::{self, ForkBlocks};
use super::inode::{ForkFormat, ForkKind, Inode, InodeDefect};
use super::volume::Volume;
use crate::bytes::arith::{len_u64, to};
use crate::bytes::field;
use crate::error::Result;
use std::ops::ControlFlow;

/// The bytes of a directory inside its inode; `None` if it is in blocks.
fn short_form(directory: &Inode) -> Result<Option<&[u8]>> {
    if directory.format(ForkKind::Data)? != ForkFormat::Local {
        return Ok(None);
    }
    let size = directory.size_bytes();
    let len = usize::try_from(size).map_err(|_| directory.corrupt(InodeDefect::Size(size)))?;
    Ok(Some(field::slice(directory.fork(ForkKind::Data), 0, len)?))
}

impl Volume {
    /// Finds `name` in `directory`. `.` and `..` are names like any other.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn find_name(&self, directory: &Inode, name: &[u8]) -> Result<Option<Entry>> {
        match short_form(directory)? {
            Some(bytes) => {
                let format = fork_blocks::format(self, directory, ForkKind::Data)?;
                directory::lookup_short(&format, bytes, name)
            }
            None => directory::lookup(&ForkBlocks::read(self, directory, ForkKind::Data)?, name),
        }
    }

    /// Calls `visit` for every entry of `directory` until it breaks; `.` and `..` may be among them.
    ///
    /// # Errors
    /// `Corrupt`; the error of `visit`.
    pub(super) fn visit_names(
        &self,
        directory: &Inode,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match short_form(directory)? {
            Some(bytes) => {
                let format = fork_blocks::format(self, directory, ForkKind::Data)?;
                directory::visit_short(&format, bytes, visit)
            }
            None => directory::visit(&ForkBlocks::read(self, directory, ForkKind::Data)?, visit),
        }
    }

    /// Adds a name. The inode is changed, but not stored; links and times are the caller's.
    ///
    /// # Errors
    /// `Refused` if the name exists, or without space; `Corrupt`.
    pub(super) fn insert_name(&mut self, directory: &mut Inode, new: &NewEntry<'_>) -> Result<()> {
        if let Some(bytes) = short_form(directory)? {
            let bytes = bytes.to_vec();
            let format = fork_blocks::format(self, directory, ForkKind::Data)?;
            let room = directory.fork(ForkKind::Data).len();
            if let Some(change) = directory::insert_short(&format, &bytes, room, new)? {
                return put_change(directory, change);
            }
            directory.set_format(ForkKind::Data, ForkFormat::Extents)?;
            directory.put_fork(ForkKind::Data, &[])?;
            let mut blocks = ForkBlocks::edit(self, directory, ForkKind::Data)?;
            let change = directory::convert_short(&mut blocks, &bytes)?;
            put_change(directory, change)?;
        }
        let mut blocks = ForkBlocks::edit(self, directory, ForkKind::Data)?;
        let change = directory::insert(&mut blocks, new)?;
        put_change(directory, change)
    }

    /// Removes a name and gives what it was. The inode is changed, but not stored.
    ///
    /// # Errors
    /// `NotFound`; `Refused` for `.` and `..`; `Corrupt`.
    pub(super) fn take_name(&mut self, directory: &mut Inode, name: &[u8]) -> Result<Entry> {
        let (entry, change) = if let Some(bytes) = short_form(directory)? {
            let format = fork_blocks::format(self, directory, ForkKind::Data)?;
            directory::remove_short(&format, bytes, name)?
        } else {
            let mut blocks = ForkBlocks::edit(self, directory, ForkKind::Data)?;
            directory::remove(&mut blocks, name)?
        };
        put_change(directory, change)?;
        Ok(entry)
    }
}

fn put_change(directory: &mut Inode, change: ForkChange) -> Result<()> {
    match change {
        ForkChange::Short(bytes) => {
            directory.set_format(ForkKind::Data, ForkFormat::Local)?;
            directory.put_fork(ForkKind::Data, &bytes)?;
            directory.set_size_bytes(len_u64(bytes.len()))
        }
        ForkChange::Blocks { size_bytes } => directory.set_size_bytes(to(size_bytes)?),
    }
}

/// Checks all of a directory: names, index and free space must fit together.
///
/// # Errors
/// `Corrupt`.
pub(super) fn check(volume: &Volume, directory: &Inode) -> Result<()> {
    if let Some(bytes) = short_form(directory)? {
        let format = fork_blocks::format(volume, directory, ForkKind::Data)?;
        directory::check::check_short(&format, bytes)?;
    } else {
        let blocks = ForkBlocks::read(volume, directory, ForkKind::Data)?;
        directory::check::check(&blocks, directory.size_bytes())?;
    }
    Ok(())
}
