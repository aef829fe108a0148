//! The metadata: how long the disk and its blocks and sectors are.
//!
//! Source: \[MS-VHDX\], section 2.6. The region begins with a table of 64 KiB: 32 bytes (`metadata`, 2 reserved, number of
//! entries up to 2047 in 2 bytes, 20 reserved), then entries:
//!
//! | offset | size | specification | valid when                                                                       |
//! |-------:|-----:|---------------|----------------------------------------------------------------------------------|
//! |      0 |   16 | ItemId        | known, or not required                                                           |
//! |     16 |    4 | Offset        | from the start of the region, at least 64 KiB                                    |
//! |     20 |    4 | Length        | the item is in the region                                                        |
//! |     24 |    4 | flags         | bit 0 of the user, bit 1 of the disk, bit 2 required                             |
//! |     28 |    4 | Reserved      | any                                                                              |
//!
//! | item                 | size | content                                                                           |
//! |----------------------|-----:|-----------------------------------------------------------------------------------|
//! | File Parameters      |    8 | block size, a power of 2 of 1 to 256 MiB; bit 0 leave allocated, bit 1 has a parent |
//! | Virtual Disk Size    |    8 | bytes, whole sectors, at most 64 TiB                                              |
//! | Logical Sector Size  |    4 | 512 or 4096                                                                       |
//! | Virtual Disk ID, Physical Sector Size, Parent Locator | | not looked at                                           |

use super::super::block_map::Source;
use super::MIB;
use crate::bytes::guid::Uuid;
use crate::bytes::{arith, field};
use crate::error::{Corrupt, Error, Result};
use std::ops::Range;

/// Length of the table in bytes; no item starts before its end.
const TABLE_BYTES: u64 = 64 * 1024;

/// Bound on the entries.
const ENTRIES_MAX: u16 = 2047;

const ENTRY_BYTES: usize = 32;

/// Bound on the disk in bytes.
const DISK_BYTES_MAX: u64 = 64 << 40;

const FLAG_REQUIRED: u32 = 4;

/// Bits of the second number of the file parameters.
const HAS_PARENT: u32 = 2;

/// CAA16737-FA36-4D43-B3B6-33F0AA44E76B
const FILE_PARAMETERS: [u8; 16] = [
    0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b,
];

/// 2FA54224-CD1B-4876-B211-5DBED83BF4B8
const DISK_SIZE: [u8; 16] = [
    0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8,
];

/// 8141BF1D-A96F-4709-BA47-F233A8FAAB5F
const LOGICAL_SECTOR_SIZE: [u8; 16] = [
    0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f,
];

/// Items that say nothing about where bytes are: CDA348C7-445D-4471-9CC9-E9885251C556 (physical sector size),
/// BECA12AB-B2E6-4523-93EF-C309E000C746 (identifier of the disk), A8D35F2D-B30B-454D-ABF7-D3D84834AB0C (parent, of
/// images that are refused).
const IRRELEVANT: [[u8; 16]; 3] = [
    [
        0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5,
        0x56,
    ],
    [
        0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7,
        0x46,
    ],
    [
        0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab,
        0x0c,
    ],
];

/// What is wrong with the metadata.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MetadataDefect {
    #[error("no metadata table")]
    Missing,
    #[error("{0} entries")]
    Count(u16),
    #[error("no {0}, or two of them")]
    NotOne(&'static str),
    #[error("an item of {len_bytes} bytes at {start_bytes:#x} of the region")]
    Misplaced { start_bytes: u32, len_bytes: u32 },
    #[error("blocks of {0} bytes")]
    BlockSize(u64),
    #[error("sectors of {0} bytes")]
    SectorSize(u32),
    #[error("a disk of {0} bytes")]
    DiskSize(u64),
}

/// The lengths.
#[expect(
    clippy::struct_field_names,
    reason = "all of them are lengths, and the unit is in the name"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) block_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) sector_size_bytes: u32,
}

/// The items that are needed, as they are found.
#[derive(Default)]
struct Items {
    parameters: Option<[u8; 8]>,
    disk_size: Option<[u8; 8]>,
    sector_size: Option<[u8; 4]>,
}

impl Metadata {
    /// Reads and checks the metadata in `region`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Unsupported` for a differencing image and for a required item that is not known.
    pub(super) fn read(source: &dyn Source, region: &Range<u64>) -> Result<Self> {
        let corrupt = |defect| Error::from(Corrupt::new("VHDX metadata", defect).at(region.start));
        let table = source.read_vec(region.start, arith::to(TABLE_BYTES)?)?;
        if !table.starts_with(b"metadata") {
            return Err(corrupt(MetadataDefect::Missing));
        }
        let count = field::le_u16(&table, 10)?;
        if count > ENTRIES_MAX {
            return Err(corrupt(MetadataDefect::Count(count)));
        }
        let mut items = Items::default();
        let entries = table.get(32..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
        for entry in entries.take(count.into()) {
            items.add(source, region, entry)?;
        }
        let missing = |name| move || corrupt(MetadataDefect::NotOne(name));
        let parameters = items.parameters.ok_or_else(missing("file parameters"))?;
        let disk_size = items.disk_size.ok_or_else(missing("size of the disk"))?;
        let sector_size = items.sector_size.ok_or_else(missing("logical sector size"))?;
        if field::le_u32(&parameters, 4)? & HAS_PARENT != 0 {
            return Err(Error::unsupported(
                "a differencing VHDX: what it does not hold is in its parent; convert the last \
                 one of the chain where all of them are: qemu-img convert -p -f vhdx -O raw",
            ));
        }
        let metadata = Self {
            block_bytes: field::le_u32(&parameters, 0)?.into(),
            disk_bytes: u64::from_le_bytes(disk_size),
            sector_size_bytes: u32::from_le_bytes(sector_size),
        };
        metadata.check().map_err(corrupt)?;
        Ok(metadata)
    }

    fn check(&self) -> Result<(), MetadataDefect> {
        let block_bytes = self.block_bytes;
        if !block_bytes.is_power_of_two() || !(MIB..=256 * MIB).contains(&block_bytes) {
            return Err(MetadataDefect::BlockSize(block_bytes));
        }
        if !matches!(self.sector_size_bytes, 512 | 4096) {
            return Err(MetadataDefect::SectorSize(self.sector_size_bytes));
        }
        let is_whole = self.disk_bytes.is_multiple_of(self.sector_size_bytes.into());
        if !is_whole || !(1..=DISK_BYTES_MAX).contains(&self.disk_bytes) {
            return Err(MetadataDefect::DiskSize(self.disk_bytes));
        }
        Ok(())
    }
}

impl Items {
    fn add(&mut self, source: &dyn Source, region: &Range<u64>, entry: &[u8]) -> Result<()> {
        let flags = field::le_u32(entry, 24)?;
        let id: [u8; 16] = field::array(entry, 0)?;
        let is_twice = match id {
            FILE_PARAMETERS => {
                self.parameters.replace(item(source, region, entry)?).map(|_| "file parameters")
            }
            DISK_SIZE => {
                self.disk_size.replace(item(source, region, entry)?).map(|_| "size of the disk")
            }
            LOGICAL_SECTOR_SIZE => self
                .sector_size
                .replace(item(source, region, entry)?)
                .map(|_| "logical sector size"),
            _ if flags & FLAG_REQUIRED == 0 || IRRELEVANT.contains(&id) => None,
            _ => {
                let id = Uuid::from_gpt_bytes(id);
                return Err(Error::unsupported(format!("a VHDX with the required metadata {id}")));
            }
        };
        match is_twice {
            None => Ok(()),
            Some(name) => {
                let defect = MetadataDefect::NotOne(name);
                Err(Corrupt::new("VHDX metadata", defect).at(region.start).into())
            }
        }
    }
}

/// The content of an item of `N` bytes.
fn item<const N: usize>(source: &dyn Source, region: &Range<u64>, entry: &[u8]) -> Result<[u8; N]> {
    let (start_bytes, len_bytes) = (field::le_u32(entry, 16)?, field::le_u32(entry, 20)?);
    let start = arith::add(region.start, start_bytes.into())?;
    let end = arith::add(start, len_bytes.into())?;
    let is_inside = u64::from(start_bytes) >= TABLE_BYTES && end <= region.end;
    if !is_inside || usize::try_from(len_bytes) != Ok(N) {
        let defect = MetadataDefect::Misplaced { start_bytes, len_bytes };
        return Err(Corrupt::new("VHDX metadata", defect).at(region.start).into());
    }
    Ok(field::array(&source.read_vec(start, N)?, 0)?)
}
