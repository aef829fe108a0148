//! The array of directory entries inside one region: a directory block without its checksum tail,
//! or one of the two pieces of an inline directory.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Linear (Classic)
//! Directories", tables "ext4_dir_entry" and "ext4_dir_entry_2". Everything here is pure: bytes in,
//! bytes out. A region is parsed as a whole before anything in it is believed, and its entries
//! cover it exactly.
//!
//! | offset | size | spec      | ours      | valid when                                    |
//! |-------:|-----:|-----------|-----------|-----------------------------------------------|
//! |    0x0 |    4 | inode     | inode     | 0 means unused                                |
//! |    0x4 |    2 | rec_len   | rec_len   | multiple of 4, at least 12, inside the region |
//! |    0x6 |    1 | name_len  | name      | 1..=255 in a used entry, inside `rec_len`     |
//! |    0x7 |    1 | file_type | file_type | with "filetype", else 0 (end of name_len)     |
//! |    0x8 |    n | name      | name      | without `/` and NUL                           |

use crate::bytes::field;

/// Bytes of an entry before its name.
pub(crate) const HEADER_LEN: usize = 8;
/// Smallest `rec_len`: room for a name of one byte.
const RECORD_LEN_MIN: usize = 12;
/// Longest name in bytes.
pub(crate) const NAME_LEN_MAX: usize = 255;

/// What is wrong with a region of directory entries, or with the block around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockDefect {
    /// The block is not as large as a block of this file system.
    #[error("has {actual} bytes instead of {expected}")]
    Size {
        /// Bytes there are.
        actual: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// An entry starts so late that not even its header fits.
    #[error("entry at {offset:#x} does not fit into {end:#x} bytes")]
    Truncated {
        /// Start of the entry in its region.
        offset: usize,
        /// Length of the region.
        end: usize,
    },
    /// `rec_len` is impossible.
    #[error("entry at {offset:#x}: rec_len {rec_len} is below 12 or not a multiple of 4")]
    RecordLength {
        /// Start of the entry in its region.
        offset: usize,
        /// As decoded.
        rec_len: usize,
    },
    /// `rec_len` leads out of the region.
    #[error("entry at {offset:#x}: rec_len {rec_len} leads beyond {end:#x}")]
    BeyondEnd {
        /// Start of the entry in its region.
        offset: usize,
        /// As decoded.
        rec_len: usize,
        /// Length of the region.
        end: usize,
    },
    /// The name does not fit into its entry, or is longer than any name.
    #[error("entry at {offset:#x}: name of {name_len} bytes does not fit rec_len {rec_len}")]
    NameLength {
        /// Start of the entry in its region.
        offset: usize,
        /// As stored.
        name_len: usize,
        /// As decoded.
        rec_len: usize,
    },
    /// A used entry has no name, or one with `/` or NUL in it.
    #[error("entry at {offset:#x}: the name is empty or contains '/' or NUL")]
    Name {
        /// Start of the entry in its region.
        offset: usize,
    },
    /// `metadata_csum` is on, but the block has no checksum tail.
    #[error("no checksum tail")]
    NoTail,
    /// The checksum of the block is wrong.
    #[error("checksum {stored:#010x} stored, {computed:#010x} computed")]
    Checksum {
        /// In the tail.
        stored: u32,
        /// Over the block.
        computed: u32,
    },
    /// `.` and `..` are not the first two entries of the directory.
    #[error("does not start with \".\" and \"..\"")]
    NoDots,
    /// A number leaves its field.
    #[error(transparent)]
    Short(#[from] field::Short),
}

/// How entries of one directory are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Block size of the file system in bytes, which decides how `rec_len` is stored.
    pub(crate) block_size_bytes: usize,
    /// Feature "filetype".
    pub(crate) has_file_type: bool,
}

/// One entry of a parsed region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Start in the region.
    pub(crate) offset: usize,
    /// Length including unused space, in bytes.
    pub(crate) rec_len: usize,
    /// 0 if unused.
    pub(crate) inode: u32,
    /// 0 without "filetype".
    pub(crate) file_type: u8,
    /// Empty if unused.
    pub(crate) name: &'a [u8],
}

impl Record<'_> {
    /// Bytes that the entry needs.
    fn used_len(&self) -> usize {
        if self.inode == 0 { 0 } else { needed_len(self.name.len()) }
    }
}

/// Bytes that an entry with a name of `name_len` bytes needs.
pub(crate) fn needed_len(name_len: usize) -> usize {
    HEADER_LEN.saturating_add(name_len).next_multiple_of(4).max(RECORD_LEN_MIN)
}

/// `rec_len` as a number of bytes. In blocks of 64 KiB the two low bits, which are 0 in a length,
/// hold bits 16 and 17, and the values 0 and 65535 mean the whole block.
fn decode_rec_len(stored: u16, block_size_bytes: usize) -> usize {
    if block_size_bytes < 65536 {
        return usize::from(stored);
    }
    match stored {
        0 | u16::MAX => block_size_bytes,
        _ => usize::from(stored & !3) | (usize::from(stored & 3) << 16),
    }
}

/// The inverse of [`decode_rec_len`]; `None` if the length cannot be stored.
fn encode_rec_len(rec_len: usize, block_size_bytes: usize) -> Option<u16> {
    match u16::try_from(rec_len) {
        Ok(stored) => Some(stored),
        Err(_) if rec_len == block_size_bytes && rec_len == 65536 => Some(u16::MAX),
        Err(_) => None,
    }
}

/// Parses the whole region.
///
/// # Errors
/// The first [`BlockDefect`].
pub(crate) fn parse(region: &[u8], layout: Layout) -> Result<Vec<Record<'_>>, BlockDefect> {
    let mut records = Vec::new();
    let mut offset = 0;
    // Every round advances by at least RECORD_LEN_MIN bytes.
    while offset < region.len() {
        let record = parse_one(region, offset, layout)?;
        offset = offset.saturating_add(record.rec_len);
        records.push(record);
    }
    Ok(records)
}

fn parse_one(region: &[u8], offset: usize, layout: Layout) -> Result<Record<'_>, BlockDefect> {
    let end = region.len();
    let header = field::slice(region, offset, HEADER_LEN)
        .map_err(|_| BlockDefect::Truncated { offset, end })?;
    let inode = field::le_u32(header, 0)?;
    let rec_len = decode_rec_len(field::le_u16(header, 4)?, layout.block_size_bytes);
    if rec_len < RECORD_LEN_MIN || !rec_len.is_multiple_of(4) {
        return Err(BlockDefect::RecordLength { offset, rec_len });
    }
    let bytes = field::slice(region, offset, rec_len).map_err(|_| BlockDefect::BeyondEnd {
        offset,
        rec_len,
        end,
    })?;
    if inode == 0 {
        return Ok(Record { offset, rec_len, inode, file_type: 0, name: &[] });
    }
    let (name_len, file_type) = if layout.has_file_type {
        (usize::from(field::u8_at(header, 6)?), field::u8_at(header, 7)?)
    } else {
        (usize::from(field::le_u16(header, 6)?), 0)
    };
    if name_len > NAME_LEN_MAX {
        return Err(BlockDefect::NameLength { offset, name_len, rec_len });
    }
    let name = field::slice(bytes, HEADER_LEN, name_len).map_err(|_| BlockDefect::NameLength {
        offset,
        name_len,
        rec_len,
    })?;
    if name.is_empty() || name.iter().any(|&byte| byte == b'/' || byte == 0) {
        return Err(BlockDefect::Name { offset });
    }
    Ok(Record { offset, rec_len, inode, file_type, name })
}

/// A new entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) inode: u32,
    pub(crate) file_type: u8,
    pub(crate) name: &'a [u8],
}

/// Writes an entry of exactly `rec_len` bytes; bytes after the name are left as they are.
///
/// # Errors
/// [`BlockDefect`] if it does not fit the region.
pub(crate) fn put(
    region: &mut [u8],
    offset: usize,
    rec_len: usize,
    record: NewRecord<'_>,
    layout: Layout,
) -> Result<(), BlockDefect> {
    let end = region.len();
    let name_len = record.name.len();
    let bytes = field::slice_mut(region, offset, rec_len).map_err(|_| BlockDefect::BeyondEnd {
        offset,
        rec_len,
        end,
    })?;
    let stored_name_len = u8::try_from(name_len).map_err(|_| BlockDefect::NameLength {
        offset,
        name_len,
        rec_len,
    })?;
    field::put_le_u32(bytes, 0, record.inode)?;
    put_rec_len(bytes, 0, rec_len, layout)?;
    let file_type = if layout.has_file_type { record.file_type } else { 0 };
    field::put(bytes, 6, &[stored_name_len, file_type])?;
    field::put(bytes, HEADER_LEN, record.name)?;
    Ok(())
}

fn put_rec_len(
    region: &mut [u8],
    offset: usize,
    rec_len: usize,
    layout: Layout,
) -> Result<(), BlockDefect> {
    let stored = encode_rec_len(rec_len, layout.block_size_bytes)
        .ok_or(BlockDefect::RecordLength { offset, rec_len })?;
    field::put_le_u16(region, offset.saturating_add(4), stored)?;
    Ok(())
}

/// Adds an entry where there is room, after whatever entry has enough unused space; `false` if none
/// has.
///
/// # Errors
/// [`BlockDefect`] if the region is damaged; it is then unchanged.
pub(crate) fn insert(
    region: &mut [u8],
    new: NewRecord<'_>,
    layout: Layout,
) -> Result<bool, BlockDefect> {
    let needed = needed_len(new.name.len());
    let host = parse(region, layout)?
        .iter()
        .find(|record| record.rec_len.saturating_sub(record.used_len()) >= needed)
        .map(|record| (record.offset, record.rec_len, record.used_len()));
    let Some((offset, rec_len, used_len)) = host else {
        return Ok(false);
    };
    if used_len > 0 {
        put_rec_len(region, offset, used_len, layout)?;
    }
    let start = offset.saturating_add(used_len);
    put(region, start, rec_len.saturating_sub(used_len), new, layout)?;
    Ok(true)
}

/// Removes the entry at `offset` of a region that was parsed: the entry before it takes its space,
/// or it becomes unused if it is the first. Its bytes are wiped.
///
/// # Errors
/// [`BlockDefect`] if the region is damaged or has no such entry.
pub(crate) fn remove(region: &mut [u8], offset: usize, layout: Layout) -> Result<(), BlockDefect> {
    let end = region.len();
    let records = parse(region, layout)?;
    let index = records
        .iter()
        .position(|record| record.offset == offset)
        .ok_or(BlockDefect::Truncated { offset, end })?;
    let rec_len = records.get(index).map_or(0, |record| record.rec_len);
    let before = index
        .checked_sub(1)
        .and_then(|before| records.get(before))
        .map(|record| (record.offset, record.rec_len));
    drop(records);
    field::slice_mut(region, offset, rec_len)?.fill(0);
    match before {
        Some((before, before_len)) => {
            put_rec_len(region, before, before_len.saturating_add(rec_len), layout)
        }
        None => put_rec_len(region, offset, rec_len, layout),
    }
}

/// Makes the whole region one unused entry.
///
/// # Errors
/// [`BlockDefect`] if no entry can have this length.
pub(crate) fn clear(region: &mut [u8], layout: Layout) -> Result<(), BlockDefect> {
    region.fill(0);
    put_rec_len(region, 0, region.len(), layout)
}

/// Fills the region with `records`, packed from the start; the last takes the rest. `false` if they
/// do not fit.
///
/// # Errors
/// [`BlockDefect`] if a length cannot be stored.
pub(crate) fn pack(
    region: &mut [u8],
    records: &[NewRecord<'_>],
    layout: Layout,
) -> Result<bool, BlockDefect> {
    let total = records
        .iter()
        .fold(0usize, |total, record| total.saturating_add(needed_len(record.name.len())));
    if total > region.len() {
        return Ok(false);
    }
    clear(region, layout)?;
    let mut offset = 0;
    for (index, record) in records.iter().enumerate() {
        let is_last = index.saturating_add(1) == records.len();
        let rest = region.len().saturating_sub(offset);
        let rec_len = if is_last { rest } else { needed_len(record.name.len()) };
        put(region, offset, rec_len, *record, layout)?;
        offset = offset.saturating_add(rec_len);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { block_size_bytes: 1024, has_file_type: true };

    fn region(entries: &[(u32, u16, u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; entries.iter().map(|entry| usize::from(entry.1)).sum()];
        let mut offset = 0;
        for &(inode, rec_len, name_len, name) in entries {
            field::put_le_u32(&mut bytes, offset, inode).unwrap();
            field::put_le_u16(&mut bytes, offset + 4, rec_len).unwrap();
            field::put(&mut bytes, offset + 6, &[name_len, 1]).unwrap();
            field::put(&mut bytes, offset + 8, name).unwrap();
            offset += usize::from(rec_len);
        }
        bytes
    }

    #[test]
    fn every_damage_is_named() {
        let good = region(&[(5, 12, 1, b"a"), (6, 20, 3, b"bcd")]);
        assert_eq!(parse(&good, LAYOUT).unwrap().len(), 2);
        for (at, value, expected) in [
            (4, 0, BlockDefect::RecordLength { offset: 0, rec_len: 0 }),
            (4, 8, BlockDefect::RecordLength { offset: 0, rec_len: 8 }),
            (4, 13, BlockDefect::RecordLength { offset: 0, rec_len: 13 }),
            (4, 36, BlockDefect::BeyondEnd { offset: 0, rec_len: 36, end: 32 }),
            (4, 28, BlockDefect::Truncated { offset: 28, end: 32 }),
            (6, 5, BlockDefect::NameLength { offset: 0, name_len: 5, rec_len: 12 }),
            (6, 0, BlockDefect::Name { offset: 0 }),
            (8, b'/', BlockDefect::Name { offset: 0 }),
            (8, 0, BlockDefect::Name { offset: 0 }),
            (18, 13, BlockDefect::NameLength { offset: 12, name_len: 13, rec_len: 20 }),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad, LAYOUT), Err(expected), "byte {at} = {value}");
        }
    }

    #[test]
    fn without_file_type_the_name_length_has_16_bits() {
        let layout = Layout { has_file_type: false, ..LAYOUT };
        let bytes = region(&[(5, 12, 1, b"a")]);
        let expected = BlockDefect::NameLength { offset: 0, name_len: 257, rec_len: 12 };
        assert_eq!(parse(&bytes, layout), Err(expected));
    }

    #[test]
    fn lengths_of_64_kib_blocks_round_trip() {
        for (rec_len, stored) in [(12, 12), (65532, 65532), (65536, 65535)] {
            assert_eq!(encode_rec_len(rec_len, 65536), Some(stored));
            assert_eq!(decode_rec_len(stored, 65536), rec_len);
        }
        assert_eq!(decode_rec_len(0, 65536), 65536);
        assert_eq!(decode_rec_len(0, 4096), 0);
        assert_eq!(encode_rec_len(65536, 4096), None);
    }

    #[test]
    fn removed_space_is_used_again() {
        let mut bytes = vec![0; 48];
        clear(&mut bytes, LAYOUT).unwrap();
        let new = |inode, name| NewRecord { inode, file_type: 1, name };
        for (inode, name) in [(1, b"a".as_slice()), (2, b"bb"), (3, b"ccc"), (4, b"dddd")] {
            assert_eq!(insert(&mut bytes, new(inode, name), LAYOUT), Ok(true));
        }
        assert_eq!(insert(&mut bytes, new(5, b"e"), LAYOUT), Ok(false));
        remove(&mut bytes, 12, LAYOUT).unwrap();
        remove(&mut bytes, 0, LAYOUT).unwrap();
        assert_eq!(insert(&mut bytes, new(6, b"0123456789abcdef"), LAYOUT), Ok(true));
        let names: Vec<_> = parse(&bytes, LAYOUT).unwrap().iter().map(|r| r.name).collect();
        assert_eq!(names, [b"0123456789abcdef".as_slice(), b"ccc", b"dddd"]);
    }
}
