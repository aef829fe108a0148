//! One leaf block of a directory: its entries and its checksum tail.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Linear (Classic)
//! Directories", table "ext4_dir_entry_tail". With "metadata_csum" the last 12 bytes of a leaf look
//! like an unused entry; old software sees no name there.
//!
//! | in tail | size | spec               | valid when                     |
//! |--------:|-----:|--------------------|--------------------------------|
//! |     0x0 |    4 | det_reserved_zero1 | 0                              |
//! |     0x4 |    2 | det_rec_len        | 12                             |
//! |     0x6 |    1 | det_reserved_zero2 | 0                              |
//! |     0x7 |    1 | det_reserved_ft    | 0xde                           |
//! |     0x8 |    4 | det_checksum       | CRC-32C of all before the tail |

use super::DirectoryFormat;
use super::region::{self, BlockDefect, Layout, NewRecord, Record};
use crate::bytes::{checksum, field};

/// Length of the checksum tail in bytes.
pub(crate) const TAIL_LEN: usize = 12;
/// The tail up to its checksum.
const TAIL_START: [u8; 8] = [0, 0, 0, 0, 12, 0, 0, 0xde];

/// Bytes of a leaf that hold entries.
pub(crate) fn entries_len(format: &DirectoryFormat) -> usize {
    let size = format.block_size();
    if format.checksum_seed.is_some() { size.saturating_sub(TAIL_LEN) } else { size }
}

/// The entries of a leaf, after its size and checksum were checked.
///
/// # Errors
/// The first [`BlockDefect`].
pub(crate) fn parse<'a>(
    block: &'a [u8],
    format: &DirectoryFormat,
) -> Result<Vec<Record<'a>>, BlockDefect> {
    region::parse(check(block, format)?, format.layout())
}

/// Checks size and checksum, and gives the region of entries.
///
/// # Errors
/// `Size`, `NoTail`, `Checksum`.
fn check<'a>(block: &'a [u8], format: &DirectoryFormat) -> Result<&'a [u8], BlockDefect> {
    let expected = format.block_size();
    if block.len() != expected {
        return Err(BlockDefect::Size { actual: block.len(), expected });
    }
    let entries = field::slice(block, 0, entries_len(format))?;
    if let Some(seed) = format.checksum_seed {
        if field::slice(block, entries.len(), TAIL_START.len())? != TAIL_START {
            return Err(BlockDefect::NoTail);
        }
        let stored = field::le_u32(block, expected.saturating_sub(4))?;
        let computed = checksum::crc32c_raw(seed, entries);
        if !checksum::agrees(stored, computed) {
            return Err(BlockDefect::Checksum { stored, computed });
        }
    }
    Ok(entries)
}

/// Writes the tail with the checksum of what is before it, if this directory has checksums.
fn seal(block: &mut [u8], format: &DirectoryFormat) -> Result<(), BlockDefect> {
    let Some(seed) = format.checksum_seed else { return Ok(()) };
    let len = entries_len(format);
    let computed = checksum::crc32c_raw(seed, field::slice(block, 0, len)?);
    field::put(block, len, &TAIL_START)?;
    field::put_le_u32(block, len.saturating_add(TAIL_START.len()), computed)?;
    Ok(())
}

/// A leaf that holds `records` and nothing else; `None` if they do not fit.
///
/// # Errors
/// [`BlockDefect`] if the format makes no sense.
pub(crate) fn build(
    records: &[NewRecord<'_>],
    format: &DirectoryFormat,
) -> Result<Option<Vec<u8>>, BlockDefect> {
    let mut block = vec![0; format.block_size()];
    let entries = field::slice_mut(&mut block, 0, entries_len(format))?;
    if !region::pack(entries, records, format.layout())? {
        return Ok(None);
    }
    seal(&mut block, format)?;
    Ok(Some(block))
}

/// Adds an entry; `false` if there is no room.
///
/// # Errors
/// [`BlockDefect`] if the block is damaged.
pub(crate) fn insert(
    block: &mut [u8],
    new: NewRecord<'_>,
    format: &DirectoryFormat,
) -> Result<bool, BlockDefect> {
    check(block, format)?;
    let entries = field::slice_mut(block, 0, entries_len(format))?;
    let is_inserted = region::insert(entries, new, format.layout())?;
    if is_inserted {
        seal(block, format)?;
    }
    Ok(is_inserted)
}

/// Removes the entry at `offset`, as [`parse`] gave it.
///
/// # Errors
/// [`BlockDefect`] if the block is damaged.
pub(crate) fn remove(
    block: &mut [u8],
    offset: usize,
    format: &DirectoryFormat,
) -> Result<(), BlockDefect> {
    check(block, format)?;
    let entries = field::slice_mut(block, 0, entries_len(format))?;
    region::remove(entries, offset, format.layout())?;
    seal(block, format)
}

impl DirectoryFormat {
    /// How its entries are laid out.
    pub(crate) fn layout(&self) -> Layout {
        Layout { block_size_bytes: self.block_size(), has_file_type: self.has_file_type }
    }
}
