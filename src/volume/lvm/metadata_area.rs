//! A metadata area: a ring in which every change of the group is a new text.
//!
//! Sources as for the [label](super::label). The first 512 bytes are the header, little-endian; the rest is the ring,
//! in which a text that reaches the end of the area goes on at byte 512.
//!
//! | offset | size | field               | valid when                                     |
//! |-------:|-----:|---------------------|------------------------------------------------|
//! |      0 |    4 | checksum            | CRC-32 from 0xf597a6cf of bytes 4 to 511       |
//! |      4 |   16 | magic               | `\x20LVM2\x20x[5A%r0N*>`                       |
//! |     20 |    4 | version             | 1                                              |
//! |     24 |    8 | start in bytes      | where the area starts on the volume            |
//! |     32 |    8 | size in bytes       | as in the label                                |
//! |     40 |    8 | offset of the text  | from the start of the area; 0: no text         |
//! |     48 |    8 | size of the text    | in bytes, with the final NUL                   |
//! |     56 |    4 | checksum of the text| CRC-32 from 0xf597a6cf                         |
//! |     60 |    4 | flags               | bit 0: the area is ignored                     |
//!
//! The entry behind it is for a change that is not committed yet, and is not looked at.

use super::CRC_SEED;
use super::defect::Defect;
use super::label::Area;
use super::text::TEXT_BYTES_MAX;
use crate::bytes::arith::{add, sub, to};
use crate::bytes::checksum;
use crate::bytes::field::{self, le_u32, le_u64};
use crate::disk::Disk;
use crate::error::{Corrupt, Error, Result};

const HEADER_BYTES: u64 = 512;

const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";

/// Bit of the flags: this area is not used.
const IGNORED: u32 = 1;

struct Location {
    offset_bytes: u64,
    size_bytes: u64,
    checksum: u32,
}

/// The text that is committed in `area`; `None` if there is none, or the area is ignored.
///
/// # Errors
/// `Corrupt`, `Limit`, `Io`.
pub(super) fn read(disk: &dyn Disk, area: Area) -> Result<Option<Vec<u8>>> {
    let at = |defect: Defect| -> Error {
        Corrupt::new("metadata area", defect).at(area.start_bytes).into()
    };
    let bad_area =
        || at(Defect::BadArea { start_bytes: area.start_bytes, size_bytes: area.size_bytes });
    let end = add(area.start_bytes, area.size_bytes)?;
    if area.size_bytes <= HEADER_BYTES || end > disk.len_bytes() {
        return Err(bad_area());
    }
    let header = disk.read_vec(area.start_bytes, to(HEADER_BYTES)?)?;
    check(&header).map_err(at)?;
    if le_u64(&header, 24)? != area.start_bytes || le_u64(&header, 32)? != area.size_bytes {
        return Err(bad_area());
    }
    let location = Location {
        offset_bytes: le_u64(&header, 40)?,
        size_bytes: le_u64(&header, 48)?,
        checksum: le_u32(&header, 56)?,
    };
    if location.offset_bytes == 0 || le_u32(&header, 60)? & IGNORED != 0 {
        return Ok(None);
    }
    let text = read_ring(disk, area, &location)?;
    let computed = checksum::crc32_raw(CRC_SEED, &text);
    if !checksum::agrees(location.checksum, computed) {
        let defect = Defect::Checksum { stored: location.checksum, computed };
        let offset = area.start_bytes.saturating_add(location.offset_bytes);
        return Err(Corrupt::new("metadata text", defect).at(offset).into());
    }
    Ok(Some(text))
}

fn check(header: &[u8]) -> Result<(), Defect> {
    let stored = le_u32(header, 0).unwrap_or_default();
    let computed = checksum::crc32_raw(CRC_SEED, header.get(4..).unwrap_or_default());
    if field::slice(header, 4, MAGIC.len()).is_ok_and(|magic| magic != MAGIC) {
        return Err(Defect::NoMagic);
    }
    if !checksum::agrees(stored, computed) {
        return Err(Defect::Checksum { stored, computed });
    }
    match le_u32(header, 20).unwrap_or_default() {
        1 => Ok(()),
        other => Err(Defect::Version(other)),
    }
}

fn read_ring(disk: &dyn Disk, area: Area, location: &Location) -> Result<Vec<u8>> {
    let (offset, size) = (location.offset_bytes, location.size_bytes);
    let ring_bytes = sub(area.size_bytes, HEADER_BYTES)?;
    if offset < HEADER_BYTES || offset >= area.size_bytes || size > ring_bytes {
        let defect = Defect::TextOutside { offset_bytes: offset, size_bytes: size };
        return Err(Corrupt::new("metadata area", defect).at(area.start_bytes).into());
    }
    if size > TEXT_BYTES_MAX {
        return Err(Error::limit("size of LVM metadata in bytes", TEXT_BYTES_MAX, size));
    }
    let first = size.min(sub(area.size_bytes, offset)?);
    let mut text = disk.read_vec(add(area.start_bytes, offset)?, to(first)?)?;
    let rest = sub(size, first)?;
    text.extend(disk.read_vec(add(area.start_bytes, HEADER_BYTES)?, to(rest)?)?);
    Ok(text)
}
