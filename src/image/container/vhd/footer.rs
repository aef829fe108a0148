//! The footer: what the disk is.
//!
//! Source: "Virtual Hard Disk Image Format Specification", section "Hard Disk Footer Format". 512 bytes, big-endian;
//! files made before 2004 have one of 511 bytes, without the last reserved byte.
//!
//! | offset | size | specification       | here               | valid when                                       |
//! |-------:|-----:|---------------------|--------------------|--------------------------------------------------|
//! |      0 |    8 | Cookie              | (checked)          | `conectix`                                       |
//! |      8 |    4 | Features            |                    | any                                              |
//! |     12 |    4 | File Format Version | (checked)          | major version (high 16 bits) 1                   |
//! |     16 |    8 | Data Offset         | `data_offset_bytes`| dynamic: a header is there; fixed: not used      |
//! |     24 |   24 | time, creator       |                    | any                                              |
//! |     40 |    8 | Original Size       |                    | any                                              |
//! |     48 |    8 | Current Size        | `current_size_bytes` | whole sectors, not 0                           |
//! |     56 |    4 | Disk Geometry       |                    | any                                              |
//! |     60 |    4 | Disk Type           | `disk_type`        | 2 fixed, 3 dynamic, 4 differencing               |
//! |     64 |    4 | Checksum            | (checked)          | one's complement of the sum of the other bytes   |
//! |     68 |   16 | Unique Id           | `unique_id`        | any                                              |
//! |     84 |    1 | Saved State         | `has_saved_state`  | any                                              |
//! |     85 |  427 | Reserved            |                    | any                                              |

use super::super::block_map::{Source, is_zero};
use crate::bytes::{arith, checksum, field};
use crate::error::{Corrupt, Error, Result};

/// Length of the footer in bytes.
pub(super) const FOOTER_BYTES: u64 = 512;

/// Length of the footer of old files in bytes.
const OLD_FOOTER_BYTES: usize = 511;

const COOKIE: &[u8] = b"conectix";

/// What is wrong with a footer or with the two of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FooterDefect {
    #[error("no footer at the end of the file")]
    Missing,
    #[error("checksum {stored:#010x}, computed {computed:#010x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("disk type {0}")]
    DiskType(u32),
    #[error("size {0} is not a number of sectors")]
    Size(u64),
    #[error("the copy at the start of the file says something else")]
    CopyDiffers,
    #[error("a fixed disk of {disk_bytes} bytes in a file of {file_bytes}")]
    CutShort { disk_bytes: u64, file_bytes: u64 },
}

/// What kind of image it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskType {
    Fixed,
    Dynamic,
    Differencing,
}

/// What a footer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) disk_type: DiskType,
    pub(super) data_offset_bytes: u64,
    pub(super) current_size_bytes: u64,
    pub(super) unique_id: [u8; 16],
    pub(super) has_saved_state: bool,
}

/// The footer of a file, and where it was.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) footer: Footer,
    /// The footer as it is stored.
    pub(super) bytes: Vec<u8>,
    pub(super) at_end: AtEnd,
}

/// What is at the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    Footer,
    /// The 511 bytes of old files.
    OldFooter,
    /// An empty sector: a footer was about to be written there.
    Nothing,
}

impl AtEnd {
    /// How much of the end of the file the footer takes, or is to take.
    pub(super) fn footer_bytes(self) -> u64 {
        if self == Self::OldFooter { arith::len_u64(OLD_FOOTER_BYTES) } else { FOOTER_BYTES }
    }
}

impl Footer {
    /// Parses the 512 bytes of a footer, `Ok(None)` if it is none.
    ///
    /// # Errors
    /// `Corrupt`; `Unsupported` for a version that is not known.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if !bytes.starts_with(COOKIE) {
            return Ok(None);
        }
        check_sum(bytes, 64)?;
        let version = field::be_u32(bytes, 12)?;
        if field::high_u16(version) != 1 {
            return Err(Error::unsupported(format!("a VHD of version {version:#010x}")));
        }
        let disk_type = match field::be_u32(bytes, 60)? {
            2 => DiskType::Fixed,
            3 => DiskType::Dynamic,
            4 => DiskType::Differencing,
            other => return Err(defect(FooterDefect::DiskType(other)).into()),
        };
        let current_size_bytes = field::be_u64(bytes, 48)?;
        if current_size_bytes == 0 || arith::rem(current_size_bytes, 512)? != 0 {
            return Err(defect(FooterDefect::Size(current_size_bytes)).into());
        }
        Ok(Some(Self {
            disk_type,
            data_offset_bytes: field::be_u64(bytes, 16)?,
            current_size_bytes,
            unique_id: field::array(bytes, 68)?,
            has_saved_state: field::u8_at(bytes, 84)? != 0,
        }))
    }
}

/// Checks the sum of a structure that holds it at `at`.
///
/// # Errors
/// `Corrupt` with [`FooterDefect::Checksum`].
pub(super) fn check_sum(bytes: &[u8], at: usize) -> Result<()> {
    let stored = field::be_u32(bytes, at)?;
    let own = stored.to_be_bytes();
    let sum =
        |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    let computed = !sum(bytes).wrapping_sub(sum(&own));
    if checksum::agrees(stored, computed) {
        return Ok(());
    }
    Err(defect(FooterDefect::Checksum { stored, computed }).into())
}

fn defect(defect: FooterDefect) -> Corrupt {
    Corrupt::new("VHD footer", defect)
}

/// Reads the footer at the end and its copy at the start, and compares them.
///
/// # Errors
/// `Corrupt`, `Unsupported`, `Io`.
pub(super) fn find(source: &dyn Source) -> Result<Found> {
    let file_bytes = source.len_bytes();
    let head = read_footer(source, 0, FOOTER_BYTES.min(file_bytes))?;
    let end = find_at_end(source, file_bytes)?;
    let Some((footer, bytes, at_end)) = end else {
        return find_by_copy(source, &head, file_bytes);
    };
    if footer.disk_type == DiskType::Fixed {
        let room = arith::sub(file_bytes, at_end.footer_bytes())?;
        if head.starts_with(COOKIE) {
            // The guest may have put it there; some programs would believe it.
            return Err(defect(FooterDefect::CopyDiffers).into());
        }
        if footer.current_size_bytes > room {
            let disk_bytes = footer.current_size_bytes;
            return Err(defect(FooterDefect::CutShort { disk_bytes, file_bytes }).into());
        }
    } else if Footer::parse(&head)? != Some(footer) {
        return Err(defect(FooterDefect::CopyDiffers).into());
    }
    Ok(Found { footer, bytes, at_end })
}

/// The footer at the end of the file, in either length.
fn find_at_end(source: &dyn Source, file_bytes: u64) -> Result<Option<(Footer, Vec<u8>, AtEnd)>> {
    for at_end in [AtEnd::Footer, AtEnd::OldFooter] {
        let len = at_end.footer_bytes();
        let Some(start) = file_bytes.checked_sub(len) else { continue };
        let bytes = read_footer(source, start, len)?;
        if let Some(footer) = Footer::parse(&bytes)? {
            return Ok(Some((footer, bytes, at_end)));
        }
    }
    Ok(None)
}

/// What the copy at the start says, if an interrupted write has left the last sector empty.
fn find_by_copy(source: &dyn Source, head: &[u8], file_bytes: u64) -> Result<Found> {
    let missing = || Error::from(defect(FooterDefect::Missing).at(file_bytes));
    let start = file_bytes.checked_sub(FOOTER_BYTES).ok_or_else(missing)?;
    let is_empty = is_zero(&read_footer(source, start, FOOTER_BYTES)?);
    let footer = Footer::parse(head)?.ok_or_else(missing)?;
    if !is_empty || footer.disk_type == DiskType::Fixed {
        return Err(missing());
    }
    Ok(Found { footer, bytes: head.to_vec(), at_end: AtEnd::Nothing })
}

/// `len_bytes` from `start_bytes`, filled up to a whole footer with zeros.
fn read_footer(source: &dyn Source, start_bytes: u64, len_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = source.read_vec(start_bytes, arith::to(len_bytes)?)?;
    bytes.resize(arith::to(FOOTER_BYTES)?, 0);
    Ok(bytes)
}
