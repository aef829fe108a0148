//! The region table: where the metadata and the block allocation table are.
//!
//! Source: \[MS-VHDX\], section 2.2.3. 64 KiB, at 192 KiB and at 256 KiB. A header of 16 bytes (`regi`, CRC-32C of the 64
//! KiB, number of entries up to 2047, reserved), then entries:
//!
//! | offset | size | specification | here       | valid when                                                          |
//! |-------:|-----:|---------------|------------|---------------------------------------------------------------------|
//! |      0 |   16 | Guid          | which      | known, or not required                                              |
//! |     16 |    8 | FileOffset    | start      | whole MiB, at least 1 MiB                                           |
//! |     24 |    4 | Length        | length     | whole MiB; the region is in the file and over no other              |
//! |     28 |    4 | Required      | (checked)  | lowest bit: who does not know the region must not open the file     |

use super::super::block_map::{Source, overlaps};
use super::MIB;
use super::header::{Header, has_right_sum};
use crate::bytes::guid::Uuid;
use crate::bytes::{arith, field};
use crate::error::{Corrupt, Error, Result};
use std::ops::Range;

/// Where the two copies are, in bytes.
const OFFSETS: [u64; 2] = [192 * 1024, 256 * 1024];

/// Length of the table in bytes.
const TABLE_BYTES: usize = 64 * 1024;

/// Bound on the entries.
const ENTRIES_MAX: u32 = 2047;

const ENTRY_BYTES: usize = 32;

/// 2DC27766-F623-4200-9D64-115E9BFD4A08
const BAT: [u8; 16] = [
    0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08,
];

/// 8B7CA206-4790-4B9A-B8FE-575F050F886E
const METADATA: [u8; 16] = [
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
];

/// What is wrong with the region table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegionDefect {
    #[error("neither copy has its signature and the right checksum")]
    NoneValid,
    #[error("{0} entries")]
    Count(u32),
    #[error("a region of {len_bytes} bytes at {start_bytes:#x}")]
    Misplaced { start_bytes: u64, len_bytes: u64 },
    #[error("no {0} region, or two of them")]
    NotOne(&'static str),
}

/// Where the parts of the file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Regions {
    pub(super) bat: Range<u64>,
    pub(super) metadata: Range<u64>,
    /// All of them, the headers and the log: no block may touch them.
    pub(super) taken: Vec<(&'static str, Range<u64>)>,
}

fn corrupt(defect: RegionDefect) -> Error {
    Corrupt::new("VHDX region table", defect).at(OFFSETS[0]).into()
}

impl Regions {
    /// Reads the table and checks that all parts lie in the file, apart from each other.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Unsupported` for a required region that is not known.
    pub(super) fn read(source: &dyn Source, header: &Header) -> Result<Self> {
        let mut valid = None;
        for at in OFFSETS {
            let bytes = source.read_vec(at, TABLE_BYTES)?;
            if bytes.starts_with(b"regi") && has_right_sum(&bytes)? {
                valid = Some(bytes);
                break;
            }
        }
        let bytes = valid.ok_or_else(|| corrupt(RegionDefect::NoneValid))?;
        let mut taken = vec![("the headers", 0..MIB)];
        if !header.log.is_empty() {
            add(&mut taken, "the log", &header.log, source.len_bytes())?;
        }
        let count = field::le_u32(&bytes, 8)?;
        if count > ENTRIES_MAX {
            return Err(corrupt(RegionDefect::Count(count)));
        }
        let entries = bytes.get(16..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
        let (mut bat, mut metadata) = (None, None);
        for entry in entries.take(arith::to(count)?) {
            let (name, place) = match field::array(entry, 0)? {
                BAT => ("block allocation table", Some(&mut bat)),
                METADATA => ("metadata", Some(&mut metadata)),
                other => (check_unknown(other, entry)?, None),
            };
            let start = field::le_u64(entry, 16)?;
            let end = arith::add(start, field::le_u32(entry, 24)?.into())?;
            add(&mut taken, name, &(start..end), source.len_bytes())?;
            if place.is_some_and(|place| place.replace(start..end).is_some()) {
                return Err(corrupt(RegionDefect::NotOne(name)));
            }
        }
        let bat = bat.ok_or_else(|| corrupt(RegionDefect::NotOne("block allocation table")))?;
        let metadata = metadata.ok_or_else(|| corrupt(RegionDefect::NotOne("metadata")))?;
        Ok(Self { bat, metadata, taken })
    }
}

/// The name of a region that is not known, if that does no harm.
fn check_unknown(guid: [u8; 16], entry: &[u8]) -> Result<&'static str> {
    if field::le_u32(entry, 28)? & 1 == 0 {
        return Ok("another region");
    }
    let guid = Uuid::from_gpt_bytes(guid);
    Err(Error::unsupported(format!("a VHDX with the required region {guid}")))
}

fn add(
    taken: &mut Vec<(&'static str, Range<u64>)>,
    name: &'static str,
    range: &Range<u64>,
    file_bytes: u64,
) -> Result<()> {
    let is_whole = range.start.is_multiple_of(MIB) && range.end.is_multiple_of(MIB);
    let is_apart = taken.iter().all(|(_, other)| !overlaps(other, range));
    if is_whole && is_apart && !range.is_empty() && range.end <= file_bytes {
        taken.push((name, range.clone()));
        return Ok(());
    }
    let len_bytes = arith::sub(range.end, range.start)?;
    Err(corrupt(RegionDefect::Misplaced { start_bytes: range.start, len_bytes }))
}
