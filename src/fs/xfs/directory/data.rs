//! The entries inside a directory block, and the free space between them.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories", section "Block Directories".
//! Everything here is pure: bytes in, bytes out. Entries and free regions cover the area between
//! the header and `end` exactly; `end` is the end of the block, or, in a directory of one block, the
//! start of its leaf entries.

use super::NewEntry;
use crate::bytes::field;
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::da::header::{BlockKind, HeaderDefect};
use crate::fs::xfs::units::InodeNumber;

/// Regions in the table of the largest free ones (`XFS_DIR2_DATA_FD_COUNT`).
const BEST_COUNT: usize = 3;
/// Alignment of entries in bytes.
pub(crate) const ALIGN: usize = 8;
/// `freetag`: what a free region has in the place of the first bytes of an inode number.
const FREE_TAG: u16 = 0xffff;
/// Bytes of an entry before its name.
const NAME_AT: usize = 9;
/// Bytes of the tag at the end of an entry or free region.
const TAG_LEN: usize = 2;
/// Highest code of a file type: that of an overlay whiteout.
pub(crate) const FILE_TYPE_MAX: u8 = 8;

/// What is wrong with the entries of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DataDefect {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderDefect),
    /// An entry or free region has an impossible length.
    #[error("entry at {offset:#x}: {len} bytes do not fit before {end:#x}")]
    Length {
        /// Where it starts.
        offset: usize,
        /// Its length in bytes.
        len: usize,
        /// The end of the area.
        end: usize,
    },
    /// The tag of an entry or free region is not its own offset.
    #[error("entry at {offset:#x}: tag {tag:#x}")]
    Tag {
        /// Where it starts.
        offset: usize,
        /// What its tag says.
        tag: usize,
    },
    /// Two free regions that should be one.
    #[error("free region at {offset:#x} follows another")]
    AdjacentFree {
        /// The second one.
        offset: usize,
    },
    /// The name is empty or contains `/` or NUL.
    #[error("entry at {offset:#x}: the name is empty or contains '/' or NUL")]
    Name {
        /// Where the entry starts.
        offset: usize,
    },
    /// The file type is none.
    #[error("entry at {offset:#x}: file type {file_type}")]
    FileType {
        /// Where the entry starts.
        offset: usize,
        /// As stored.
        file_type: u8,
    },
    /// The table of free regions does not name the largest.
    #[error("entry {index} of the free table is {length} bytes at {offset:#x}")]
    BestFree {
        /// Index in the table.
        index: usize,
        /// As stored.
        offset: usize,
        /// As stored.
        length: usize,
    },
    /// No entry starts there.
    #[error("no entry starts at {offset:#x}")]
    NoEntry {
        /// The offset in question.
        offset: usize,
    },
}

impl From<field::Short> for DataDefect {
    fn from(defect: field::Short) -> Self {
        Self::Header(defect.into())
    }
}

/// An entry or a free region: `xfs_dir2_data_entry` or `xfs_dir2_data_unused`. Big-endian.
///
/// | offset | size | spec         | ours      | valid when                                       |
/// |-------:|-----:|--------------|-----------|--------------------------------------------------|
/// |    0x0 |    8 | inumber      | inode     | below 2^56                                       |
/// |    0x8 |    1 | namelen      | name      | 1..=255                                          |
/// |    0x9 |    n | name         | name      | without `/` and NUL                              |
/// |  0x9+n |    1 | ftype        | file_type | 0..=8; only with the feature                     |
/// |  len-2 |    2 | tag          | offset    | where the entry starts; `len` is a multiple of 8 |
/// |        |      |              |           |                                                  |
/// |    0x0 |    2 | freetag      | -         | 0xffff                                           |
/// |    0x2 |    2 | length       | len       | multiple of 8, inside the area                   |
/// |  len-2 |    2 | tag          | offset    | where the region starts                          |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Where it starts in the block.
    pub(crate) offset: usize,
    /// Its length in bytes.
    pub(crate) len: usize,
    /// `None` if it is free.
    pub(crate) used: Option<Used<'a>>,
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used<'a> {
    /// The inode it names.
    pub(crate) inode: InodeNumber,
    /// The name.
    pub(crate) name: &'a [u8],
    /// The code of the file type; 0 without the feature.
    pub(crate) file_type: u8,
}

/// Bytes of the header: that of the block and the table of free regions, `xfs_dir2_data_hdr` or
/// `xfs_dir3_data_hdr`.
pub(crate) fn header_len(format: &DaFormat) -> usize {
    let padding = if format.has_crc { 4 } else { 0 };
    best_at(format, BEST_COUNT).saturating_add(padding)
}

/// Where entry `index` of the table of free regions is: 2 bytes offset, 2 bytes length.
fn best_at(format: &DaFormat, index: usize) -> usize {
    BlockKind::header_len(format).saturating_add(index.saturating_mul(4))
}

/// Bytes of an entry with a name of `name_len` bytes.
pub(crate) fn entry_len(format: &DaFormat, name_len: usize) -> usize {
    let file_type = usize::from(format.has_file_type);
    let len = NAME_AT.saturating_add(name_len).saturating_add(file_type).saturating_add(TAG_LEN);
    len.next_multiple_of(ALIGN)
}

/// Reads the entry or free region at `offset`.
fn record<'a>(
    bytes: &'a [u8],
    format: &DaFormat,
    end: usize,
    offset: usize,
) -> Result<Record<'a>, DataDefect> {
    let is_free = field::be_u16(bytes, offset)? == FREE_TAG;
    let len = if is_free {
        usize::from(field::be_u16(bytes, offset.saturating_add(2))?)
    } else {
        let name_len = field::u8_at(bytes, offset.saturating_add(8)).unwrap_or(u8::MAX);
        entry_len(format, name_len.into())
    };
    if len == 0 || !len.is_multiple_of(ALIGN) || offset.saturating_add(len) > end {
        return Err(DataDefect::Length { offset, len, end });
    }
    let tag_at = offset.saturating_add(len).saturating_sub(TAG_LEN);
    let tag = usize::from(field::be_u16(bytes, tag_at)?);
    if tag != offset {
        return Err(DataDefect::Tag { offset, tag });
    }
    let used = if is_free { None } else { Some(used(bytes, format, offset)?) };
    Ok(Record { offset, len, used })
}

fn used<'a>(bytes: &'a [u8], format: &DaFormat, offset: usize) -> Result<Used<'a>, DataDefect> {
    let inode = InodeNumber(field::be_u64(bytes, offset)?);
    let name_len = usize::from(field::u8_at(bytes, offset.saturating_add(8))?);
    let name_at = offset.saturating_add(NAME_AT);
    let name = field::slice(bytes, name_at, name_len)?;
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(DataDefect::Name { offset });
    }
    let file_type = if format.has_file_type {
        field::u8_at(bytes, name_at.saturating_add(name_len))?
    } else {
        0
    };
    if file_type > FILE_TYPE_MAX {
        return Err(DataDefect::FileType { offset, file_type });
    }
    Ok(Used { inode, name, file_type })
}

/// All entries and free regions up to `end`, and the table of the largest, checked.
///
/// # Errors
/// The first defect.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    format: &DaFormat,
    end: usize,
) -> Result<Vec<Record<'a>>, DataDefect> {
    let records = scan(bytes, format, end)?;
    check_best(bytes, format, &records)?;
    Ok(records)
}

fn scan<'a>(bytes: &'a [u8], format: &DaFormat, end: usize) -> Result<Vec<Record<'a>>, DataDefect> {
    let mut records: Vec<Record<'_>> = Vec::new();
    let mut offset = header_len(format);
    while offset < end {
        let record = record(bytes, format, end, offset)?;
        if record.used.is_none() && records.last().is_some_and(|last| last.used.is_none()) {
            return Err(DataDefect::AdjacentFree { offset });
        }
        offset = offset.saturating_add(record.len);
        records.push(record);
    }
    Ok(records)
}

/// The largest free regions, largest first: what the table should hold.
fn largest(records: &[Record<'_>]) -> Vec<(usize, usize)> {
    let free = records.iter().filter(|record| record.used.is_none());
    let mut free: Vec<(usize, usize)> = free.map(|record| (record.offset, record.len)).collect();
    free.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    free
}

/// Checks the table of free regions; among regions of one length it may name any.
fn check_best(bytes: &[u8], format: &DaFormat, records: &[Record<'_>]) -> Result<(), DataDefect> {
    let free = largest(records);
    let mut named = Vec::with_capacity(BEST_COUNT);
    for index in 0..BEST_COUNT {
        let at = best_at(format, index);
        let offset = usize::from(field::be_u16(bytes, at)?);
        let length = usize::from(field::be_u16(bytes, at.saturating_add(2))?);
        let entry = (offset, length);
        let is_right = match free.get(index) {
            Some((_, len)) => length == *len && free.contains(&entry) && !named.contains(&entry),
            None => entry == (0, 0),
        };
        if !is_right {
            return Err(DataDefect::BestFree { index, offset, length });
        }
        named.push(entry);
    }
    Ok(())
}

/// The length of the largest free region, from the table.
///
/// # Errors
/// The defect, if `bytes` is no block.
pub(crate) fn best(bytes: &[u8], format: &DaFormat) -> Result<u16, DataDefect> {
    Ok(field::be_u16(bytes, best_at(format, 0).saturating_add(2))?)
}

/// Writes the table of free regions anew.
fn write_best(bytes: &mut [u8], format: &DaFormat, end: usize) -> Result<(), DataDefect> {
    let free = largest(&scan(bytes, format, end)?);
    for index in 0..BEST_COUNT {
        let (offset, length) = free.get(index).copied().unwrap_or((0, 0));
        let at = best_at(format, index);
        put_u16(bytes, at, offset)?;
        put_u16(bytes, at.saturating_add(2), length)?;
    }
    Ok(())
}

fn put_u16(bytes: &mut [u8], at: usize, value: usize) -> Result<(), DataDefect> {
    let limit = DataDefect::Length { offset: at, len: value, end: usize::from(u16::MAX) };
    Ok(field::put_be_u16(bytes, at, u16::try_from(value).map_err(|_| limit)?)?)
}

/// Makes `len` bytes at `offset` a free region, without looking at its neighbours.
fn put_free(bytes: &mut [u8], offset: usize, len: usize) -> Result<(), DataDefect> {
    if len == 0 {
        return Ok(());
    }
    field::put_be_u16(bytes, offset, FREE_TAG)?;
    put_u16(bytes, offset.saturating_add(2), len)?;
    put_u16(bytes, offset.saturating_add(len).saturating_sub(TAG_LEN), offset)
}

/// Writes an entry at `offset`.
fn put_entry(
    bytes: &mut [u8],
    format: &DaFormat,
    offset: usize,
    new: &NewEntry<'_>,
) -> Result<(), DataDefect> {
    let len = entry_len(format, new.name.len());
    field::slice_mut(bytes, offset, len)?.fill(0);
    field::put_be_u64(bytes, offset, new.inode.0)?;
    let name_len = u8::try_from(new.name.len()).map_err(|_| DataDefect::Name { offset })?;
    field::put(bytes, offset.saturating_add(8), &[name_len])?;
    let name_at = offset.saturating_add(NAME_AT);
    field::put(bytes, name_at, new.name)?;
    if format.has_file_type {
        field::put(bytes, name_at.saturating_add(new.name.len()), &[new.file_type])?;
    }
    put_u16(bytes, offset.saturating_add(len).saturating_sub(TAG_LEN), offset)
}

/// Makes all of the area free: the start of a new block.
///
/// # Errors
/// The defect, if `bytes` is no block.
pub(crate) fn clear(bytes: &mut [u8], format: &DaFormat, end: usize) -> Result<(), DataDefect> {
    let start = header_len(format);
    put_free(bytes, start, end.saturating_sub(start))?;
    write_best(bytes, format, end)
}

/// Puts an entry at `offset`, into the free region that holds that place.
///
/// # Errors
/// The defect, if it is not free.
pub(crate) fn insert_at(
    bytes: &mut [u8],
    format: &DaFormat,
    end: usize,
    offset: usize,
    new: &NewEntry<'_>,
) -> Result<(), DataDefect> {
    let len = entry_len(format, new.name.len());
    let behind = offset.saturating_add(len);
    let host = scan(bytes, format, end)?.into_iter().find_map(|record| {
        let region_end = record.offset.saturating_add(record.len);
        let fits = record.offset <= offset && behind <= region_end;
        (record.used.is_none() && fits).then_some((record.offset, region_end))
    });
    let (region, region_end) = host.ok_or(DataDefect::Length { offset, len, end })?;
    put_free(bytes, region, offset.saturating_sub(region))?;
    put_entry(bytes, format, offset, new)?;
    put_free(bytes, behind, region_end.saturating_sub(behind))?;
    write_best(bytes, format, end)
}

/// Puts an entry into the smallest free region that holds it, and gives its offset; `None` if there
/// is no room.
///
/// # Errors
/// The defect.
pub(crate) fn insert(
    bytes: &mut [u8],
    format: &DaFormat,
    end: usize,
    new: &NewEntry<'_>,
) -> Result<Option<usize>, DataDefect> {
    let len = entry_len(format, new.name.len());
    let free = largest(&parse(bytes, format, end)?);
    let host = free.iter().rev().find(|(_, region_len)| *region_len >= len);
    let Some((offset, _)) = host.copied() else { return Ok(None) };
    insert_at(bytes, format, end, offset, new)?;
    Ok(Some(offset))
}

/// Frees the entry at `offset` and merges it with free neighbours.
///
/// # Errors
/// The defect, if no entry starts there.
pub(crate) fn remove(
    bytes: &mut [u8],
    format: &DaFormat,
    end: usize,
    offset: usize,
) -> Result<(), DataDefect> {
    let records = parse(bytes, format, end)?;
    let index = records.iter().position(|record| record.offset == offset && record.used.is_some());
    let index = index.ok_or(DataDefect::NoEntry { offset })?;
    let near = [index.checked_sub(1), Some(index), index.checked_add(1)];
    let (mut start, mut len) = (offset, 0_usize);
    for near in near.into_iter().flatten() {
        if let Some(record) = records.get(near).filter(|it| near == index || it.used.is_none()) {
            start = start.min(record.offset);
            len = len.saturating_add(record.len);
        }
    }
    put_free(bytes, start, len)?;
    write_best(bytes, format, end)
}

/// Moves the end of the area: what the area gains becomes free, what it loses must be free. False
/// if it is not.
///
/// # Errors
/// The defect.
pub(crate) fn resize(
    bytes: &mut [u8],
    format: &DaFormat,
    old_end: usize,
    new_end: usize,
) -> Result<bool, DataDefect> {
    let records = scan(bytes, format, old_end)?;
    let last = records.last().filter(|last| last.used.is_none());
    let start = last.map_or(old_end, |last| last.offset);
    if new_end < start {
        return Ok(false);
    }
    put_free(bytes, start, new_end.saturating_sub(start))?;
    write_best(bytes, format, new_end)?;
    Ok(true)
}

/// True if the block holds no entry.
pub(crate) fn is_empty(records: &[Record<'_>]) -> bool {
    records.iter().all(|record| record.used.is_none())
}
