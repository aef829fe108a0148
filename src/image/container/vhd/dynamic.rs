//! The header of dynamic images: how long a block is, and where the table is.
//!
//! Source: "Virtual Hard Disk Image Format Specification", section "Dynamic Disk Header Format". 1024 bytes, big-endian.
//!
//! | offset | size | specification     | here                 | valid when                                        |
//! |-------:|-----:|-------------------|----------------------|---------------------------------------------------|
//! |      0 |    8 | Cookie            | (checked)            | `cxsparse`                                        |
//! |      8 |    8 | Data Offset       |                      | any                                               |
//! |     16 |    8 | Table Offset      | `table_offset_bytes` | the table lies in the file, in whole sectors      |
//! |     24 |    4 | Header Version    | (checked)            | major version (high 16 bits) 1                    |
//! |     28 |    4 | Max Table Entries | `entry_count`        | enough for the disk                               |
//! |     32 |    4 | Block Size        | `block_bytes`        | a power of 2, 512 bytes to 256 MiB                |
//! |     36 |    4 | Checksum          | (checked)            | one's complement of the sum of the other bytes    |
//! |     40 |  728 | parent            |                      | differencing images only                          |
//! |    768 |  256 | Reserved          |                      | any                                               |

use super::super::block_map::Source;
use super::footer::{Footer, check_sum};
use crate::bytes::{arith, field};
use crate::error::{Corrupt, Error, Result};

/// Length of the header in bytes.
pub(super) const HEADER_BYTES: usize = 1024;

/// Bounds on the size of a block in bytes: one sector, and far above the usual 2 MiB.
const BLOCK_BYTES_MIN: u64 = 512;
const BLOCK_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bound on the entries of the table: 128 TiB in blocks of 2 MiB.
const ENTRIES_MAX: u64 = 1 << 26;

/// What is wrong with the header of a dynamic image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DynamicDefect {
    #[error("no dynamic disk header")]
    Missing,
    #[error("blocks of {0} bytes")]
    BlockSize(u64),
    #[error("a table of {entries} blocks of {block_bytes} bytes for a disk of {disk_bytes} bytes")]
    TooFewEntries { entries: u64, block_bytes: u64, disk_bytes: u64 },
    #[error("the table of {len_bytes} bytes at {start_bytes:#x} does not lie in the file")]
    TableOutside { start_bytes: u64, len_bytes: u64 },
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// Where the header itself is.
    pub(super) offset_bytes: u64,
    pub(super) table_offset_bytes: u64,
    pub(super) entry_count: u64,
    pub(super) block_bytes: u64,
}

impl Dynamic {
    /// Reads and checks the header that `footer` leads to.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Unsupported` for a version that is not known.
    pub(super) fn read(source: &dyn Source, footer: &Footer) -> Result<Self> {
        let at = footer.data_offset_bytes;
        let bytes = source.read_vec(at, HEADER_BYTES)?;
        if !bytes.starts_with(b"cxsparse") {
            return Err(corrupt(at, DynamicDefect::Missing));
        }
        check_sum(&bytes, 36)?;
        let version = field::be_u32(&bytes, 24)?;
        if field::high_u16(version) != 1 {
            return Err(Error::unsupported(format!("a dynamic VHD of version {version:#010x}")));
        }
        let header = Self {
            offset_bytes: at,
            table_offset_bytes: field::be_u64(&bytes, 16)?,
            entry_count: field::be_u32(&bytes, 28)?.into(),
            block_bytes: field::be_u32(&bytes, 32)?.into(),
        };
        header.check(source.len_bytes(), footer.current_size_bytes)?;
        Ok(header)
    }

    fn check(&self, file_bytes: u64, disk_bytes: u64) -> Result<()> {
        let (entries, block_bytes) = (self.entry_count, self.block_bytes);
        let bounds = BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX;
        if !block_bytes.is_power_of_two() || !bounds.contains(&block_bytes) {
            return Err(corrupt(self.offset_bytes, DynamicDefect::BlockSize(block_bytes)));
        }
        if arith::mul(entries, block_bytes)? < disk_bytes {
            let defect = DynamicDefect::TooFewEntries { entries, block_bytes, disk_bytes };
            return Err(corrupt(self.offset_bytes, defect));
        }
        if entries > ENTRIES_MAX {
            return Err(Error::limit("blocks of the VHD", ENTRIES_MAX, entries));
        }
        let (start_bytes, len_bytes) = (self.table_offset_bytes, self.table_bytes()?);
        if arith::add(start_bytes, len_bytes)? > file_bytes || arith::rem(start_bytes, 512)? != 0 {
            let defect = DynamicDefect::TableOutside { start_bytes, len_bytes };
            return Err(corrupt(self.offset_bytes, defect));
        }
        Ok(())
    }

    /// Length of the table in bytes, in whole sectors.
    pub(super) fn table_bytes(&self) -> Result<u64> {
        Ok(arith::round_up(arith::mul(self.entry_count, 4)?, 512)?)
    }

    /// Length of the sector bitmap before each block in bytes, in whole sectors.
    pub(super) fn bitmap_bytes(&self) -> Result<u64> {
        Ok(arith::round_up(arith::div_ceil(self.block_bytes, 512 * 8)?, 512)?)
    }
}

fn corrupt(at: u64, defect: DynamicDefect) -> Error {
    Corrupt::new("VHD dynamic header", defect).at(at).into()
}
