//! From the inode of an item to the inode on the disk.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log", section "Inode Data Log
//! Item", and chapter "On-disk Inode". The core in the log has the layout of the one on the disk, all
//! 176 bytes of version 3, in the byte order of the host. What is not in the document was measured:
//!
//! * times without bigtime are two numbers of 4 bytes, with it one of 8;
//! * `di_next_unlinked`, `di_crc` and `di_lsn` are in the core but mean nothing there;
//! * the root of an extent tree is logged as the kernel keeps it in memory: a whole long-form block
//!   header, with room for as many records as behind it fit into the region.

use super::LogDefect;
use super::item::{Inode as InodeItem, inode_field};
use crate::bytes::field::{self, be_u16, le_u16, le_u64, put, slice, slice_mut, u8_at};
use crate::error::{Corrupt, Result};
use crate::fs::xfs::checksum;
use crate::fs::xfs::inode::{CORE_BYTES, MAGIC, flag2};
use crate::fs::xfs::units::Lsn;

const VERSION_AT: usize = 4;
const BIG_EXTENTS_AT: usize = 24;
const TIMES_AT: [usize; 4] = [32, 40, 48, 144];
const EXTENTS_AT: usize = 76;
const ATTRIBUTE_EXTENTS_AT: usize = 80;
const FORK_OFFSET_AT: usize = 82;
pub(super) const GENERATION_AT: usize = 92;
pub(super) const NEXT_UNLINKED_AT: usize = 96;
pub(super) const CRC_AT: usize = 100;
pub(super) const LSN_AT: usize = 112;
const FLAGS2_AT: usize = 120;
pub(super) const NUMBER_AT: usize = 152;
pub(super) const UUID_AT: usize = 160;

/// Fields of one byte, or whose bytes have no order: offset, length.
const BYTES: &[(usize, usize)] = &[(VERSION_AT, 2), (FORK_OFFSET_AT, 2), (132, 12), (UUID_AT, 16)];
const WORDS_2: &[usize] = &[0, 2, 6, 20, 22, 88, 90];
const WORDS_4: &[usize] = &[8, 12, 16, 72, 84, GENERATION_AT, 128];
const WORDS_8: &[usize] = &[56, 64, 104, FLAGS2_AT, NUMBER_AT];

/// Size of the header of a block of an extent tree, version 5.
const LONG_HEADER_BYTES: usize = 72;
/// Size of the header of the root of an extent tree in an inode: level, number of records.
const ROOT_HEADER_BYTES: usize = 4;
/// Size of a key or a pointer.
const KEY_BYTES: usize = 8;

/// Puts what `item` says into the `inode` on the disk, and seals it.
///
/// # Errors
/// `Corrupt` if the core makes no sense, or a fork does not fit.
pub(super) fn apply(item: &InodeItem, inode: &mut [u8], lsn: Lsn) -> Result<()> {
    let corrupt =
        |defect: LogDefect| Corrupt::new("logged inode", defect).of(item.number.to_string());
    put_core(&item.core, inode).map_err(corrupt)?;
    if field::be_u64(inode, NUMBER_AT)? != item.number.0 {
        return Err(corrupt(LogDefect::InodeCore).into());
    }
    let (data, attribute) = forks(inode)?;
    put_data(item, slice_mut(inode, data.0, data.1)?).map_err(corrupt)?;
    if let Some(content) = &item.attribute {
        let fork = slice_mut(inode, attribute.0, attribute.1)?;
        let is_btree = item.fields & inode_field::ATTRIBUTE_BTREE != 0;
        put_fork(content, is_btree, fork).map_err(corrupt)?;
    }
    field::put_be_u64(inode, LSN_AT, lsn.0)?;
    checksum::seal(inode, CRC_AT)
}

fn put_core(core: &[u8], inode: &mut [u8]) -> Result<(), LogDefect> {
    slice(core, 0, CORE_BYTES)?;
    if le_u16(core, 0)? != MAGIC || u8_at(core, VERSION_AT)? != 3 {
        return Err(LogDefect::InodeCore);
    }
    for &(at, len) in BYTES {
        put(inode, at, slice(core, at, len)?)?;
    }
    for &at in WORDS_2 {
        swap(core, inode, at, 2)?;
    }
    for &at in WORDS_4 {
        swap(core, inode, at, 4)?;
    }
    for &at in WORDS_8 {
        swap(core, inode, at, 8)?;
    }
    let flags2 = le_u64(core, FLAGS2_AT)?;
    swap(core, inode, BIG_EXTENTS_AT, 8)?;
    swap(core, inode, EXTENTS_AT, 4)?;
    swap(core, inode, ATTRIBUTE_EXTENTS_AT, 2)?;
    for at in TIMES_AT {
        if flags2 & flag2::BIGTIME != 0 {
            swap(core, inode, at, 8)?;
        } else {
            swap(core, inode, at, 4)?;
            swap(core, inode, at.saturating_add(4), 4)?;
        }
    }
    Ok(())
}

/// Copies a number and turns its byte order.
fn swap(core: &[u8], inode: &mut [u8], at: usize, len: usize) -> Result<(), LogDefect> {
    let place = slice_mut(inode, at, len)?;
    place.copy_from_slice(slice(core, at, len)?);
    place.reverse();
    Ok(())
}

/// Start and length of both forks.
fn forks(inode: &[u8]) -> Result<((usize, usize), (usize, usize))> {
    let literal = inode.len().saturating_sub(CORE_BYTES);
    let offset = usize::from(u8_at(inode, FORK_OFFSET_AT)?).saturating_mul(8);
    if offset >= literal {
        return Err(Corrupt::new("logged inode", LogDefect::InodeCore).into());
    }
    if offset == 0 {
        return Ok(((CORE_BYTES, literal), (inode.len(), 0)));
    }
    let start = CORE_BYTES.saturating_add(offset);
    Ok(((CORE_BYTES, offset), (start, literal.saturating_sub(offset))))
}

fn put_data(item: &InodeItem, fork: &mut [u8]) -> Result<(), LogDefect> {
    if item.fields & inode_field::DEVICE != 0 {
        put(fork, 0, &item.device.to_be_bytes())?;
    }
    let Some(content) = &item.data else { return Ok(()) };
    put_fork(content, item.fields & inode_field::DATA_BTREE != 0, fork)
}

fn put_fork(content: &[u8], is_btree: bool, fork: &mut [u8]) -> Result<(), LogDefect> {
    if !is_btree {
        return Ok(put(fork, 0, content)?);
    }
    let records = |len: usize, header| len.saturating_sub(header) >> 4;
    let (logged_max, max) =
        (records(content.len(), LONG_HEADER_BYTES), records(fork.len(), ROOT_HEADER_BYTES));
    let count = usize::from(be_u16(content, 6)?);
    if count == 0 || count > logged_max || count > max {
        return Err(LogDefect::TreeRoot { count, max });
    }
    put(fork, 0, slice(content, 4, ROOT_HEADER_BYTES)?)?;
    let len = count.saturating_mul(KEY_BYTES);
    put(fork, ROOT_HEADER_BYTES, slice(content, LONG_HEADER_BYTES, len)?)?;
    let behind = |header: usize, max: usize| header.saturating_add(max.saturating_mul(KEY_BYTES));
    let pointers = slice(content, behind(LONG_HEADER_BYTES, logged_max), len)?;
    Ok(put(fork, behind(ROOT_HEADER_BYTES, max), pointers)?)
}

/// True if the inode on the disk was changed after `lsn`.
pub(super) fn is_newer(inode: &[u8], lsn: Lsn) -> Result<bool> {
    let present = field::be_u64(inode, LSN_AT)?;
    Ok(present != u64::MAX && present > lsn.0)
}
