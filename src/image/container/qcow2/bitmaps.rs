//! Persistent dirty bitmaps, which say what a backup still has to copy.
//!
//! A write that they do not record makes them worthless. Each bitmap has a flag for that, `in_use`, as qemu sets
//! while a machine runs; with it the bitmap stays a part of the image, and is never trusted again.
//!
//! Extension 23852875: nb_bitmaps (4), reserved (4), size (8) and offset (8) of the directory. Entries of the directory,
//! each padded to 8 bytes:
//!
//! | offset | size | field               |                            |
//! |-------:|-----:|---------------------|----------------------------|
//! |      0 |    8 | bitmap_table_offset | not read                   |
//! |      8 |    4 | bitmap_table_size   | not read                   |
//! |     12 |    4 | flags               | bit 0: in_use              |
//! |     16 |    2 | type, granularity   | not read                   |
//! |     18 |    2 | name_size           | at most 1023               |
//! |     20 |    4 | extra_data_size     | bytes before the name      |

use super::defect::Defect;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::medium::Medium as _;
use crate::error::{Corrupt, Error, Result};
use crate::image::container::files::SharedMedium;

/// Bound on the directory in bytes; qemu makes at most 65535 bitmaps, and nobody has more than a few.
const DIRECTORY_BYTES_MAX: u64 = 1 << 20;

/// Length of the fixed part of an entry.
const ENTRY_BYTES: u64 = 24;

const IN_USE: u32 = 1;

/// Where the directory of bitmaps is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Directory {
    /// Number of bitmaps.
    pub(super) count: u32,
    /// Length in bytes.
    pub(super) len_bytes: u64,
    /// Offset in the file.
    pub(super) offset: u64,
}

impl Directory {
    /// Reads the content of the header extension.
    pub(super) fn parse(extension: &[u8]) -> Result<Self> {
        Ok(Self {
            count: field::be_u32(extension, 0)?,
            len_bytes: field::be_u64(extension, 8)?,
            offset: field::be_u64(extension, 16)?,
        })
    }
}

/// Marks every bitmap as not to be trusted.
///
/// # Errors
/// As [`places`]; nothing was written then.
pub(super) fn invalidate(directory: &Directory, file: &mut SharedMedium) -> Result<()> {
    for (at, flags) in places(directory, file)? {
        file.write_at(at, &flags.to_be_bytes())?;
    }
    Ok(())
}

/// Where flags have to change, and to what.
///
/// # Errors
/// `Corrupt` if the directory is damaged; `Limit`, `Io`.
pub(super) fn places(directory: &Directory, file: &SharedMedium) -> Result<Vec<(u64, u32)>> {
    let len = directory.len_bytes;
    if len > DIRECTORY_BYTES_MAX {
        let what = "size of the bitmap directory in bytes";
        return Err(Error::limit(what, DIRECTORY_BYTES_MAX, len));
    }
    let mut bytes = vec![0; arith::to(len)?];
    file.read_at(directory.offset, &mut bytes)?;
    let damaged = || -> Error {
        Corrupt::new("qcow2 bitmap directory", Defect::Bitmaps).at(directory.offset).into()
    };
    let mut places = Vec::new();
    let mut at = 0u64;
    for _ in 0..directory.count {
        let start: usize = arith::to(at)?;
        let flags = field::be_u32(&bytes, start.saturating_add(12)).map_err(|_| damaged())?;
        let name = field::be_u16(&bytes, start.saturating_add(18)).map_err(|_| damaged())?;
        let extra = field::be_u32(&bytes, start.saturating_add(20)).map_err(|_| damaged())?;
        if flags & IN_USE == 0 {
            places.push((arith::add(directory.offset, arith::add(at, 12)?)?, flags | IN_USE));
        }
        let variable = arith::add(u64::from(name), u64::from(extra))?;
        at = arith::add(at, arith::round_up(arith::add(ENTRY_BYTES, variable)?, 8)?)?;
        if at > len_u64(bytes.len()) {
            return Err(damaged());
        }
    }
    Ok(places)
}
