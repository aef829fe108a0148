//! Directories whose entries live in the inode (feature "inline_data").
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Inline
//! Directories". The entries have two pieces, each covered exactly by its entries: the 56 bytes of
//! `i_block` after the inode number of the parent, and the value of the attribute `system.data`,
//! which may be empty. There is neither `.` nor `..` and no checksum tail. Everything here is pure:
//! the caller stores the pieces.
//!
//! | offset in i_block | size | content                    |
//! |------------------:|-----:|----------------------------|
//! |               0x0 |    4 | inode number of the parent |
//! |               0x4 |   56 | directory entries          |

use super::region::{self, BlockDefect, NewRecord, Record};
use super::{DirectoryFormat, Entry, block};
use crate::bytes::field;
use crate::error::{Corrupt, Error, Result};
use crate::fs::{NodeKind, entry_name};
use std::ops::ControlFlow;

/// Length of `i_block` in bytes.
const I_BLOCK_LEN: usize = 60;
/// Where the entries start in `i_block`.
const ENTRIES_START: usize = 4;

/// The two pieces of an inline directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InlineDirectory {
    /// `i_block` of the inode, 60 bytes.
    pub(crate) i_block: Vec<u8>,
    /// The value of `system.data`.
    pub(crate) rest: Vec<u8>,
}

impl InlineDirectory {
    /// The inode number of the parent.
    ///
    /// # Errors
    /// `Corrupt` if `i_block` is not 60 bytes long.
    pub(crate) fn parent(&self, format: &DirectoryFormat) -> Result<u32> {
        field::le_u32(&self.i_block, 0).map_err(|defect| corrupt(format, defect.into()))
    }

    /// Finds `name`; `.` and `..` are not entries here.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn lookup(&self, format: &DirectoryFormat, name: &[u8]) -> Result<Option<Entry>> {
        let records = self.records(format)?;
        Ok(records.iter().find(|record| record.name == name).map(Entry::of))
    }

    /// Calls `visit` for every entry until it breaks.
    ///
    /// # Errors
    /// `Corrupt`; the error of `visit`.
    pub(crate) fn visit(
        &self,
        format: &DirectoryFormat,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for record in self.records(format)? {
            if visit(&Entry::of(&record))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Adds `name`; `false` if there is no room, and the directory has to become a block
    /// ([`InlineDirectory::to_block`]).
    ///
    /// # Errors
    /// `Refused` if the name exists or cannot be a name; `Corrupt`.
    pub(crate) fn insert(
        &mut self,
        format: &DirectoryFormat,
        name: &[u8],
        inode: u32,
        kind: NodeKind,
    ) -> Result<bool> {
        entry_name::check(name)?;
        if self.lookup(format, name)?.is_some() {
            return Err(entry_name::exists(name));
        }
        let new = NewRecord { inode, file_type: kind.entry_type(), name };
        for piece in self.pieces_mut(format)? {
            let is_inserted = region::insert(piece, new, format.layout());
            if is_inserted.map_err(|defect| corrupt(format, defect))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes `name` and gives what it was.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`.
    pub(crate) fn remove(&mut self, format: &DirectoryFormat, name: &[u8]) -> Result<Entry> {
        entry_name::check(name)?;
        self.records(format)?;
        let layout = format.layout();
        for piece in self.pieces_mut(format)? {
            let records = region::parse(piece, layout).map_err(|defect| corrupt(format, defect))?;
            let found = records.iter().find(|record| record.inode != 0 && record.name == name);
            let Some((offset, entry)) = found.map(|record| (record.offset, Entry::of(record)))
            else {
                continue;
            };
            region::remove(piece, offset, layout).map_err(|defect| corrupt(format, defect))?;
            return Ok(entry);
        }
        Err(entry_name::missing(name))
    }

    /// The only block of the same directory without "inline_data".
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn to_block(&self, format: &DirectoryFormat) -> Result<Vec<u8>> {
        let file_type = NodeKind::Directory.entry_type();
        let dot = NewRecord { inode: format.inode, file_type, name: b"." };
        let dot_dot = NewRecord { inode: self.parent(format)?, file_type, name: b".." };
        let mut all = vec![dot, dot_dot];
        all.extend(self.records(format)?.iter().map(|record| NewRecord {
            inode: record.inode,
            file_type: record.file_type,
            name: record.name,
        }));
        let block = block::build(&all, format).map_err(|defect| corrupt(format, defect))?;
        let actual = self.rest.len();
        // What fits into an inode fits into a block, unless the region is larger than any inode.
        block.ok_or_else(|| corrupt(format, BlockDefect::Size { actual, expected: I_BLOCK_LEN }))
    }

    /// The used entries of both pieces.
    fn records(&self, format: &DirectoryFormat) -> Result<Vec<Record<'_>>> {
        let wrong = |defect| corrupt(format, defect);
        let first = self.i_block.get(ENTRIES_START..I_BLOCK_LEN).unwrap_or_default();
        if self.i_block.len() != I_BLOCK_LEN {
            let actual = self.i_block.len();
            return Err(wrong(BlockDefect::Size { actual, expected: I_BLOCK_LEN }));
        }
        let mut records = region::parse(first, format.layout()).map_err(wrong)?;
        records.extend(region::parse(&self.rest, format.layout()).map_err(wrong)?);
        records.retain(|record| record.inode != 0);
        Ok(records)
    }

    fn pieces_mut(&mut self, format: &DirectoryFormat) -> Result<[&mut [u8]; 2]> {
        let len = I_BLOCK_LEN.saturating_sub(ENTRIES_START);
        let first = field::slice_mut(&mut self.i_block, ENTRIES_START, len);
        Ok([first.map_err(|defect| corrupt(format, defect.into()))?, &mut self.rest])
    }
}

fn corrupt(format: &DirectoryFormat, defect: BlockDefect) -> Error {
    let object = format!("directory inode {}", format.inode);
    Corrupt::new("inline directory", defect).of(object).into()
}

#[cfg(test)]
#[path = "inline_tests.rs"]
mod tests;
