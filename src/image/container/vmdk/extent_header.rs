//! The header of a sparse extent.
//!
//! Source: "Virtual Disk Format 5.0", section "Hosted Sparse Extents", structure SparseExtentHeader. 512 bytes,
//! little-endian, not aligned. Offsets and sizes are in sectors of 512 bytes.
//!
//! | offset | size | specification      | here                     | valid when                                         |
//! |-------:|-----:|--------------------|--------------------------|----------------------------------------------------|
//! |      0 |    4 | magicNumber        | (checked)                | `KDMV`                                             |
//! |      4 |    4 | version            | `has_zeroed_grains`      | 1 to 3                                             |
//! |      8 |    4 | flags              | see below                | no unknown ones of the upper half                  |
//! |   0x0c |    8 | capacity           | `capacity_sectors`       | not 0                                              |
//! |   0x14 |    8 | grainSize          | `grain_sectors`          | a power of 2, 8 to 2^15                            |
//! |   0x1c |    8 | descriptorOffset   | `descriptor_sector`      | 0: no descriptor                                   |
//! |   0x24 |    8 | descriptorSize     | `descriptor_sectors`     | at most 1024                                       |
//! |   0x2c |    4 | numGTEsPerGT       | (checked)                | 512                                                |
//! |   0x30 |    8 | rgdOffset          | `redundant_directory_sector` | with flag 1                                    |
//! |   0x38 |    8 | gdOffset           | `directory_sector`       | the directory lies in the file; 2^64 - 1 if compressed: see [`super::stream`] |
//! |   0x40 |    8 | overHead           | `overhead_sectors`       | no grain starts before it                          |
//! |   0x48 |    1 | uncleanShutdown    | `is_unclean`             | any                                                |
//! |   0x49 |    4 | end of line characters | (checked)            | `\n`, space, `\r`, `\n` with flag 0                |
//! |   0x4d |    2 | compressAlgorithm  | (checked)                | 1 (deflate) if grains are compressed               |
//!
//! | flag | meaning                                                                    |
//! |-----:|----------------------------------------------------------------------------|
//! |    0 | the end of line characters are to be checked                               |
//! |    1 | there is a redundant grain directory                                       |
//! |    2 | a grain table entry of 1 is a grain of zeros (observed with qemu-img)      |
//! |   16 | grains are compressed                                                      |
//! |   17 | grains are preceded by markers                                             |

use super::super::block_map::Source;
use crate::bytes::{arith, field};
use crate::error::{Corrupt, Error, Refusal, Result};

/// Length of the header in bytes.
const HEADER_BYTES: usize = 512;

/// Entries of a grain table.
pub(super) const TABLE_ENTRIES: u64 = 512;

/// Bounds on the size of a grain in sectors: 4 KiB, and 16 MiB, far above the usual 64 KiB.
const GRAIN_SECTORS_MIN: u64 = 8;
const GRAIN_SECTORS_MAX: u64 = 1 << 15;

/// Bound on the embedded descriptor in sectors: 512 KiB.
const DESCRIPTOR_SECTORS_MAX: u64 = 1024;

/// Bound on the grain tables: 8 TiB in grains of 4 KiB, 128 TiB in those of 64 KiB.
const TABLES_MAX: u64 = 1 << 22;

/// The place of a directory that the footer knows.
const DIRECTORY_AT_END: u64 = u64::MAX;

const FLAG_NEWLINE_TEST: u32 = 1;
const FLAG_REDUNDANT: u32 = 2;
const FLAG_ZEROED_GRAINS: u32 = 4;
const FLAG_COMPRESSED: u32 = 0x1_0000;
const FLAG_MARKERS: u32 = 0x2_0000;

/// What is wrong with the header of a sparse extent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderDefect {
    #[error("no header of a sparse extent")]
    Missing,
    #[error("a capacity of {0} sectors")]
    Capacity(u64),
    #[error("grains of {0} sectors")]
    GrainSize(u64),
    #[error("tables of {0} entries")]
    TableEntries(u32),
    #[error("a descriptor of {0} sectors")]
    DescriptorSize(u64),
    #[error("the footer is of another disk than the header")]
    FooterDiffers,
    #[error("line ends were changed: the file was copied as text")]
    CopiedAsText,
    #[error("the grain directory of {len_bytes} bytes at sector {sector} is not in the file")]
    DirectoryOutside { sector: u64, len_bytes: u64 },
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtentHeader {
    pub(super) capacity_sectors: u64,
    pub(super) grain_sectors: u64,
    descriptor_sector: u64,
    descriptor_sectors: u64,
    /// `None` if there is none.
    pub(super) redundant_directory_sector: Option<u64>,
    pub(super) directory_sector: u64,
    pub(super) overhead_sectors: u64,
    pub(super) has_zeroed_grains: bool,
    is_unclean: bool,
    pub(super) is_compressed: bool,
}

fn corrupt(defect: HeaderDefect) -> Error {
    Corrupt::new("VMDK sparse extent header", defect).at(0).into()
}

impl ExtentHeader {
    /// Reads and checks the header of `source`.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Unsupported` for compressed grains and what is not known.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let header = Self::parse(&source.read_vec(0, HEADER_BYTES)?)?;
        if header.directory_sector != DIRECTORY_AT_END || !header.is_compressed {
            header.check(source.len_bytes())?;
        }
        Ok(header)
    }

    /// The header of a compressed extent with the place of the directory, which may be in the footer.
    ///
    /// # Errors
    /// As [`ExtentHeader::read`].
    pub(super) fn with_footer(&self, source: &dyn Source) -> Result<Self> {
        if self.directory_sector != DIRECTORY_AT_END {
            return Ok(*self);
        }
        let at = super::stream::footer_offset(source)?;
        let footer = Self::parse(&source.read_vec(at, HEADER_BYTES)?)?;
        let is_same = footer.capacity_sectors == self.capacity_sectors
            && footer.grain_sectors == self.grain_sectors
            && footer.is_compressed;
        if !is_same {
            return Err(Corrupt::new("VMDK footer", HeaderDefect::FooterDiffers).at(at).into());
        }
        footer.check(source.len_bytes())?;
        Ok(footer)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(b"KDMV") {
            return Err(corrupt(HeaderDefect::Missing));
        }
        let version = field::le_u32(bytes, 4)?;
        let flags = field::le_u32(bytes, 8)?;
        check_features(bytes, version, flags)?;
        let has_redundant = flags & FLAG_REDUNDANT != 0;
        let redundant = field::le_u64(bytes, 0x30)?;
        let entries = field::le_u32(bytes, 0x2c)?;
        if u64::from(entries) != TABLE_ENTRIES {
            return Err(corrupt(HeaderDefect::TableEntries(entries)));
        }
        Ok(Self {
            capacity_sectors: field::le_u64(bytes, 0x0c)?,
            grain_sectors: field::le_u64(bytes, 0x14)?,
            descriptor_sector: field::le_u64(bytes, 0x1c)?,
            descriptor_sectors: field::le_u64(bytes, 0x24)?,
            redundant_directory_sector: has_redundant.then_some(redundant),
            directory_sector: field::le_u64(bytes, 0x38)?,
            overhead_sectors: field::le_u64(bytes, 0x40)?,
            has_zeroed_grains: version >= 2 && flags & FLAG_ZEROED_GRAINS != 0,
            is_unclean: field::u8_at(bytes, 0x48)? != 0,
            is_compressed: flags & FLAG_COMPRESSED != 0,
        })
    }

    fn check(&self, file_bytes: u64) -> Result<()> {
        let grain = self.grain_sectors;
        if !grain.is_power_of_two() || !(GRAIN_SECTORS_MIN..=GRAIN_SECTORS_MAX).contains(&grain) {
            return Err(corrupt(HeaderDefect::GrainSize(grain)));
        }
        if self.capacity_sectors == 0 || self.capacity_sectors > u64::MAX >> 16 {
            return Err(corrupt(HeaderDefect::Capacity(self.capacity_sectors)));
        }
        if self.descriptor_sectors > DESCRIPTOR_SECTORS_MAX {
            return Err(corrupt(HeaderDefect::DescriptorSize(self.descriptor_sectors)));
        }
        let tables = self.table_count()?;
        if tables > TABLES_MAX {
            return Err(Error::limit("grain tables of the VMDK", TABLES_MAX, tables));
        }
        let len_bytes = self.directory_bytes()?;
        for sector in
            [Some(self.directory_sector), self.redundant_directory_sector].into_iter().flatten()
        {
            let end = super::sectors(sector).and_then(|start| Ok(arith::add(start, len_bytes)?));
            if sector == 0 || !end.is_ok_and(|end| end <= file_bytes) {
                return Err(corrupt(HeaderDefect::DirectoryOutside { sector, len_bytes }));
            }
        }
        Ok(())
    }

    /// Why the extent must not be written, if so.
    pub(super) fn not_writable(&self) -> Option<Refusal> {
        let what = if self.is_compressed {
            "a stream-optimized VMDK (compressed): it can be inspected, but not edited in place"
        } else if self.is_unclean {
            "a VMDK that was not closed by the program that wrote it: start and stop its machine \
             there, or check it with `qemu-img check -f vmdk`"
        } else {
            return None;
        };
        Some(Refusal::ContainerNotWritable { what: what.to_owned() })
    }

    /// How much of the disk the extent holds, in bytes.
    pub(super) fn capacity_bytes(&self) -> Result<u64> {
        super::sectors(self.capacity_sectors)
    }

    /// Size of a grain in bytes.
    pub(super) fn grain_bytes(&self) -> Result<u64> {
        super::sectors(self.grain_sectors)
    }

    /// Number of grain tables, which is that of the entries of the directory.
    pub(super) fn table_count(&self) -> Result<u64> {
        let covered = arith::mul(self.grain_sectors, TABLE_ENTRIES)?;
        Ok(arith::div_ceil(self.capacity_sectors, covered)?)
    }

    /// Length of the directory in bytes.
    pub(super) fn directory_bytes(&self) -> Result<u64> {
        Ok(arith::mul(self.table_count()?, 4)?)
    }

    /// Reads the descriptor in the extent, `Ok(None)` if there is none.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(super) fn descriptor(&self, source: &dyn Source) -> Result<Option<Vec<u8>>> {
        if self.descriptor_sector == 0 || self.descriptor_sectors == 0 {
            return Ok(None);
        }
        let start = super::sectors(self.descriptor_sector)?;
        let len = super::sectors(self.descriptor_sectors)?;
        let text = source.read_vec(start, arith::to(len)?)?;
        // Extents of a split disk may have room for one.
        Ok(if text.starts_with(&[0]) { None } else { Some(text) })
    }
}

/// Refuses what cannot be read.
fn check_features(bytes: &[u8], version: u32, flags: u32) -> Result<()> {
    let is_compressed = flags & FLAG_COMPRESSED != 0;
    let algorithm = field::le_u16(bytes, 0x4d)?;
    if is_compressed != (flags & FLAG_MARKERS != 0) || (is_compressed && algorithm != 1) {
        let what = format!("a VMDK with the flags {flags:#x} and compression {algorithm}");
        return Err(Error::unsupported(what));
    }
    if !(1..=3).contains(&version) {
        return Err(Error::unsupported(format!("a sparse VMDK of version {version}")));
    }
    if flags >> 18 != 0 {
        return Err(Error::unsupported(format!("a sparse VMDK with the flags {flags:#x}")));
    }
    if flags & FLAG_NEWLINE_TEST != 0 && field::slice(bytes, 0x49, 4)? != b"\n \r\n" {
        return Err(corrupt(HeaderDefect::CopiedAsText));
    }
    Ok(())
}
