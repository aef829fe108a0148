//! Short form: a directory inside its inode.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories", section "Short Form
//! Directories". Everything here is pure: the bytes of the data fork in, new ones out. `.` is not
//! stored, `..` is the parent in the header.

use super::data::{self, FILE_TYPE_MAX};
use super::leaf::ENTRY_LEN;
use super::{Entry, NewEntry, is_same_name};
use crate::bytes::field;
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::units::InodeNumber;

/// Largest inode number that is stored in 4 bytes.
const SMALL_INODE_MAX: u64 = 0xffff_ffff;
/// Bytes of the header before the parent.
const PARENT_AT: usize = 2;
/// Bytes of an entry before its name.
const NAME_AT: usize = 3;
/// Bytes of the counts at the end of a directory of one block.
const BLOCK_TAIL_LEN: usize = 8;

/// What is wrong with a short form directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShortDefect {
    /// The bytes end inside an entry.
    #[error(transparent)]
    Short(#[from] field::Short),
    /// There are bytes behind the last entry.
    #[error("{len} bytes, but its entries end at {end}")]
    Size {
        /// Bytes there are.
        len: usize,
        /// The end of the last entry.
        end: usize,
    },
    /// The name is empty or contains `/` or NUL.
    #[error("entry {0}: the name is empty or contains '/' or NUL")]
    Name(usize),
    /// The file type is none.
    #[error("entry {index}: file type {file_type}")]
    FileType {
        /// Index of the entry.
        index: usize,
        /// As stored.
        file_type: u8,
    },
    /// The offset does not leave room for the entry before, or is not aligned, or is beyond a block.
    #[error("entry {index}: offset {offset:#x}")]
    Offset {
        /// Index of the entry.
        index: usize,
        /// As stored.
        offset: usize,
    },
    /// The number of inode numbers that need 8 bytes is wrong.
    #[error("{actual} inode numbers need 8 bytes, counted as {stored}")]
    LargeInodes {
        /// `i8count`.
        stored: usize,
        /// As counted.
        actual: usize,
    },
    /// More entries than can be counted.
    #[error("{0} entries")]
    Count(usize),
}

/// An entry in short form: `xfs_dir2_sf_entry`. Big-endian.
///
/// | offset | size | spec    | ours      | valid when                                          |
/// |-------:|-----:|---------|-----------|-----------------------------------------------------|
/// |    0x0 |    1 | namelen | name      | 1..=255                                             |
/// |    0x1 |    2 | offset  | offset    | ascending, with room for the entries in a block     |
/// |    0x3 |    n | name    | name      | without `/` and NUL                                 |
/// |  0x3+n |    1 | ftype   | file_type | 0..=8; only with the feature                        |
/// |  0x4+n |  4,8 | inumber | inode     | 8 bytes in all entries if one number needs them     |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortEntry {
    /// Where the entry would be in a block; keeps its place when the directory becomes one.
    pub(crate) offset: usize,
    /// What it says.
    pub(crate) entry: Entry,
}

/// A short form directory: `xfs_dir2_sf`. Big-endian, packed.
///
/// | offset | size | spec    | ours      | valid when                                          |
/// |-------:|-----:|---------|-----------|-----------------------------------------------------|
/// |    0x0 |    1 | count   | entries   | the entries end where the fork does                 |
/// |    0x1 |    1 | i8count | (counted) | inode numbers above 32 bits, the parent included    |
/// |    0x2 |  4,8 | parent  | parent    | 8 bytes if `i8count` is not 0                       |
/// |    6,a |      | list[]  | entries   |                                                     |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Short {
    /// The inode of `..`.
    pub(crate) parent: InodeNumber,
    /// The entries, by ascending offset.
    pub(crate) entries: Vec<ShortEntry>,
}

/// Bytes of an inode number.
fn inode_len(large_count: usize) -> usize {
    if large_count == 0 { 4 } else { 8 }
}

fn get_inode(bytes: &[u8], at: usize, len: usize) -> Result<InodeNumber, field::Short> {
    let number =
        if len == 4 { field::be_u32(bytes, at)?.into() } else { field::be_u64(bytes, at)? };
    Ok(InodeNumber(number))
}

/// The offset of the first entry behind `.` and `..` in a block.
pub(crate) fn first_offset(format: &DaFormat) -> usize {
    data::header_len(format)
        .saturating_add(data::entry_len(format, 1))
        .saturating_add(data::entry_len(format, 2))
}

impl Short {
    /// An empty directory.
    pub(crate) fn new(parent: InodeNumber) -> Self {
        Self { parent, entries: Vec::new() }
    }

    /// Parses the data fork of an inode, as long as its size says.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(bytes: &[u8], format: &DaFormat) -> Result<Self, ShortDefect> {
        let count = usize::from(field::u8_at(bytes, 0)?);
        let stored = usize::from(field::u8_at(bytes, 1)?);
        let inode_len = inode_len(stored);
        let mut short = Self::new(get_inode(bytes, PARENT_AT, inode_len)?);
        let mut at = PARENT_AT.saturating_add(inode_len);
        let mut lowest = first_offset(format);
        for index in 0..count {
            let parsed = parse_entry(bytes, format, at, index, inode_len)?;
            let (offset, len) = (parsed.offset, data::entry_len(format, parsed.entry.name.len()));
            if offset < lowest || !offset.is_multiple_of(data::ALIGN) {
                return Err(ShortDefect::Offset { index, offset });
            }
            lowest = offset.saturating_add(len);
            at = at.saturating_add(stored_len(format, &parsed.entry.name, inode_len));
            short.entries.push(parsed);
        }
        if at != bytes.len() {
            return Err(ShortDefect::Size { len: bytes.len(), end: at });
        }
        let actual = short.large_count();
        if actual != stored {
            return Err(ShortDefect::LargeInodes { stored, actual });
        }
        if let Some(last) = short.entries.last().filter(|_| short.block_len(format).is_none()) {
            let index = short.entries.len().saturating_sub(1);
            return Err(ShortDefect::Offset { index, offset: last.offset });
        }
        Ok(short)
    }

    /// The fork of an inode.
    ///
    /// # Errors
    /// The defect, if there are more than 255 entries.
    pub(crate) fn encode(&self, format: &DaFormat) -> Result<Vec<u8>, ShortDefect> {
        let overflow = ShortDefect::Count(self.entries.len());
        let count = u8::try_from(self.entries.len()).map_err(|_| overflow)?;
        let large = u8::try_from(self.large_count()).map_err(|_| overflow)?;
        let inode_len = inode_len(large.into());
        let mut bytes = vec![count, large];
        put_inode(&mut bytes, self.parent, inode_len);
        for (index, short) in self.entries.iter().enumerate() {
            let entry = &short.entry;
            let name_len = u8::try_from(entry.name.len()).map_err(|_| ShortDefect::Name(index))?;
            let offset = u16::try_from(short.offset)
                .map_err(|_| ShortDefect::Offset { index, offset: short.offset })?;
            bytes.push(name_len);
            bytes.extend(offset.to_be_bytes());
            bytes.extend(&entry.name);
            if format.has_file_type {
                bytes.push(entry.file_type);
            }
            put_inode(&mut bytes, entry.inode, inode_len);
        }
        Ok(bytes)
    }

    /// Number of inode numbers that need 8 bytes.
    fn large_count(&self) -> usize {
        let inodes = self.entries.iter().map(|short| short.entry.inode);
        inodes.chain([self.parent]).filter(|inode| inode.0 > SMALL_INODE_MAX).count()
    }

    /// The end of the entries in a block that they would make, if it holds them.
    fn block_len(&self, format: &DaFormat) -> Option<usize> {
        let end = self.entries.last().map_or(first_offset(format), |last| {
            last.offset.saturating_add(data::entry_len(format, last.entry.name.len()))
        });
        let leaf = self.entries.len().saturating_add(2).saturating_mul(ENTRY_LEN);
        let needed = end.saturating_add(leaf).saturating_add(BLOCK_TAIL_LEN);
        (needed <= format.block_len()).then_some(end)
    }

    /// The entry with `name`.
    pub(crate) fn find(&self, format: &DaFormat, name: &[u8]) -> Option<usize> {
        self.entries.iter().position(|short| is_same_name(format, &short.entry.name, name))
    }

    /// Adds an entry; false if the fork of `room` bytes, or the block that the directory would
    /// become, does not hold it.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn insert(
        &mut self,
        format: &DaFormat,
        new: &NewEntry<'_>,
        room: usize,
    ) -> Result<bool, ShortDefect> {
        if self.entries.len() >= usize::from(u8::MAX) {
            return Ok(false);
        }
        let len = data::entry_len(format, new.name.len());
        let mut lowest = first_offset(format);
        let mut place = self.entries.len();
        for (index, short) in self.entries.iter().enumerate() {
            if short.offset >= lowest.saturating_add(len) {
                place = index;
                break;
            }
            let used = data::entry_len(format, short.entry.name.len());
            lowest = short.offset.saturating_add(used);
        }
        let name = new.name.to_vec();
        let entry = Entry { name, inode: new.inode, file_type: new.file_type };
        self.entries.insert(place, ShortEntry { offset: lowest, entry });
        Ok(self.block_len(format).is_some() && self.encode(format)?.len() <= room)
    }
}

fn put_inode(bytes: &mut Vec<u8>, inode: InodeNumber, len: usize) {
    let stored = inode.0.to_be_bytes();
    bytes.extend(stored.iter().skip(stored.len().saturating_sub(len)));
}

/// Bytes of an entry in the fork.
fn stored_len(format: &DaFormat, name: &[u8], inode_len: usize) -> usize {
    let file_type = usize::from(format.has_file_type);
    NAME_AT.saturating_add(name.len()).saturating_add(file_type).saturating_add(inode_len)
}

fn parse_entry(
    bytes: &[u8],
    format: &DaFormat,
    at: usize,
    index: usize,
    inode_len: usize,
) -> Result<ShortEntry, ShortDefect> {
    let name_len = usize::from(field::u8_at(bytes, at)?);
    let offset = usize::from(field::be_u16(bytes, at.saturating_add(1))?);
    let name = field::slice(bytes, at.saturating_add(NAME_AT), name_len)?;
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(ShortDefect::Name(index));
    }
    let end = at.saturating_add(stored_len(format, name, inode_len));
    let inode_at = end.saturating_sub(inode_len);
    let inode = get_inode(bytes, inode_at, inode_len)?;
    let file_type =
        if format.has_file_type { field::u8_at(bytes, inode_at.saturating_sub(1))? } else { 0 };
    if file_type > FILE_TYPE_MAX {
        return Err(ShortDefect::FileType { index, file_type });
    }
    let entry = Entry { name: name.to_vec(), inode, file_type };
    Ok(ShortEntry { offset, entry })
}
