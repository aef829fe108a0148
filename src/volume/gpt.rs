//! GUID partition tables: UEFI Specification 2.10, chapter 5 "GUID Partition Table (GPT) Disk Layout".
//!
//! The header says in which block it lies but not how large a block is, so 512 and 4096 bytes are tried. Of the
//! two copies the primary is used if its header and its entry array pass their checksums, and the backup
//! otherwise (VOL-4). The backup is looked for where the primary says, where the protective MBR says, and at the
//! end of the disk; a disk that was made larger has it elsewhere than at the end, which is normal.
//!
//! A parser of our own, because the `gpt` crate reads entry by entry and gives up when only the primary
//! entry array is damaged.

use super::mbr::BootRecord;
use super::type_label;
use super::{Layout, TableKind, Volume};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::checksum::{agrees, crc32};
use crate::bytes::field::{self, le_u16, le_u32, le_u64};
use crate::bytes::guid::Uuid;
use crate::disk::Disk;
use crate::error::{Corrupt, Result};

const SIGNATURE: &[u8] = b"EFI PART";

/// Length of the fields of a header in bytes.
const HEADER_BYTES: usize = 92;

/// Block of the primary header.
const PRIMARY_LBA: u64 = 1;

/// Bound on the entries of a table; sgdisk makes 128, and nothing in the field has more than 256.
const GPT_ENTRIES_MAX: u32 = 1024;

/// Bound on the size of an entry in bytes; all known tables use 128.
const GPT_ENTRY_BYTES_MAX: u32 = 1024;

/// The size of an entry without its reserved part, in bytes.
const GPT_ENTRY_BYTES_MIN: u32 = 128;

/// Why one copy of a GPT cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GptDefect {
    /// `HeaderSize` is no possible length.
    #[error("header size {0} is not between 92 and the size of a sector")]
    HeaderSize(u32),
    /// `HeaderCRC32` does not match.
    #[error("header checksum is {computed:#010x}, stored {stored:#010x}")]
    HeaderChecksum {
        /// In the header.
        stored: u32,
        /// Of the header.
        computed: u32,
    },
    /// `MyLBA` names another block.
    #[error("header in block {actual} says that it is in block {stored}")]
    MyLba {
        /// In the header.
        stored: u64,
        /// Where it was read.
        actual: u64,
    },
    /// `SizeOfPartitionEntry` is no 128 * 2^n, or too large.
    #[error("partition entries of {0} bytes")]
    EntrySize(u32),
    /// `NumberOfPartitionEntries` is beyond our bound.
    #[error("{0} partition entries, more than 1024")]
    EntryCount(u32),
    /// The entry array does not lie on the disk.
    #[error("entry array at block {0} lies outside the disk")]
    ArrayOutside(u64),
    /// `PartitionEntryArrayCRC32` does not match.
    #[error("entry array checksum is {computed:#010x}, stored {stored:#010x}")]
    ArrayChecksum {
        /// In the header.
        stored: u32,
        /// Of the array.
        computed: u32,
    },
    /// Entries are in use, but none of them lies on the disk.
    #[error("none of its {0} partitions lies inside the disk")]
    NothingInside(usize),
}

/// A GPT header.
///
/// UEFI 2.10, table 5-5 "GPT Header". 92 bytes, little-endian, alone in its block.
///
/// | offset | size | spec                     | here            | valid when                          |
/// |-------:|-----:|--------------------------|-----------------|-------------------------------------|
/// |      0 |    8 | Signature                | (checked)       | `EFI PART`                          |
/// |      8 |    4 | Revision                 | (ignored)       | 0x00010000                          |
/// |     12 |    4 | HeaderSize               | (checked)       | 92..=block size                     |
/// |     16 |    4 | HeaderCRC32              | (checked)       | CRC-32 with this field zero         |
/// |     20 |    4 | Reserved                 | (ignored)       | 0                                   |
/// |     24 |    8 | MyLBA                    | (checked)       | the block it is in                  |
/// |     32 |    8 | AlternateLBA             | alternate_lba   | the block of the other copy         |
/// |     40 |    8 | FirstUsableLBA           | (ignored)       |                                     |
/// |     48 |    8 | LastUsableLBA            | (ignored)       |                                     |
/// |     56 |   16 | DiskGUID                 | disk_guid       | any                                 |
/// |     72 |    8 | PartitionEntryLBA        | array_lba       | array inside the disk               |
/// |     80 |    4 | NumberOfPartitionEntries | entry_count     | at most 1024 (our bound)            |
/// |     84 |    4 | SizeOfPartitionEntry     | entry_bytes     | 128 * 2^n, at most 1024 (our bound) |
/// |     88 |    4 | PartitionEntryArrayCRC32 | array_checksum  | CRC-32 of all entries               |
#[derive(Debug, Clone, Copy)]
struct Header {
    alternate_lba: u64,
    disk_guid: Uuid,
    array_lba: u64,
    entry_count: u32,
    entry_bytes: u32,
    array_checksum: u32,
}

/// A copy of the table whose checksums are right.
#[derive(Debug)]
struct Table {
    header: Header,
    entries: Vec<u8>,
}

/// What lies in a block where a header could be.
#[derive(Debug)]
enum Copy {
    /// No signature, or no such block.
    Absent,
    /// A header that cannot be used.
    Damaged(GptDefect),
    /// A table.
    Good(Table),
}

/// The defects of the copies with a signature, in the order in which they were tried: block and defect.
type Damages = Vec<(u64, GptDefect)>;

/// Finds the GPT of `disk`, with either sector size; `None` if no block has its signature.
///
/// # Errors
/// `Corrupt` if there is a table and no copy of it can be used; `Io`.
pub(super) fn find(disk: &dyn Disk, boot_record: Option<&BootRecord>) -> Result<Option<Layout>> {
    let own = disk.sector_size_bytes();
    let other = if own == 4096 { 512 } else { 4096 };
    let mut defects: Vec<(u32, Damages)> = Vec::new();
    for sector_bytes in [own, other] {
        let mut damages = Damages::new();
        let protective_last_lba = boot_record.and_then(BootRecord::protective_last_lba);
        let found = find_copy(disk, sector_bytes, protective_last_lba, &mut damages)?;
        if let Some((table, mut warnings)) = found {
            warnings.extend(boot_record_warning(boot_record));
            return layout(disk, sector_bytes, &table, warnings).map(Some);
        }
        defects.push((sector_bytes, damages));
    }
    for (sector_bytes, damages) in defects {
        if let Some(&(lba, defect)) = damages.first() {
            let at = lba.saturating_mul(sector_bytes.into());
            return Err(Corrupt::new("GPT", defect).at(at).into());
        }
    }
    Ok(None)
}

fn boot_record_warning(boot_record: Option<&BootRecord>) -> Option<String> {
    let is_hybrid = boot_record.is_some_and(BootRecord::is_hybrid);
    match boot_record.and_then(BootRecord::protective_last_lba) {
        None => Some("the GPT has no protective MBR".into()),
        Some(_) if is_hybrid => Some("the MBR is hybrid; the GPT is used".into()),
        Some(_) => None,
    }
}

/// Finds the copy to use for one sector size, and says what is wrong with the others.
fn find_copy(
    disk: &dyn Disk,
    sector_bytes: u32,
    protective_last_lba: Option<u64>,
    damages: &mut Damages,
) -> Result<Option<(Table, Vec<String>)>> {
    let last_lba = arith::div(disk.len_bytes(), sector_bytes.into())?.saturating_sub(1);
    let primary = read_copy(disk, sector_bytes, PRIMARY_LBA)?;
    let reason = match primary {
        Copy::Good(table) => {
            let warnings = check_backup(disk, sector_bytes, &table)?;
            return Ok(Some((table, warnings)));
        }
        Copy::Damaged(defect) => {
            damages.push((PRIMARY_LBA, defect));
            format!("the primary GPT is damaged ({defect})")
        }
        Copy::Absent => "the primary GPT is missing".into(),
    };
    let hint = alternate_lba_hint(disk, sector_bytes)?;
    let mut tried = vec![0, PRIMARY_LBA];
    for lba in [hint, protective_last_lba, Some(last_lba)].into_iter().flatten() {
        if tried.contains(&lba) {
            continue;
        }
        tried.push(lba);
        match read_copy(disk, sector_bytes, lba)? {
            Copy::Absent => {}
            Copy::Damaged(defect) => damages.push((lba, defect)),
            Copy::Good(table) => {
                let warning = format!("{reason}; its backup in block {lba} is used");
                return Ok(Some((table, vec![warning])));
            }
        }
    }
    Ok(None)
}

/// Warnings about the backup of a good primary table.
fn check_backup(disk: &dyn Disk, sector_bytes: u32, primary: &Table) -> Result<Vec<String>> {
    let warning = match read_copy(disk, sector_bytes, primary.header.alternate_lba)? {
        Copy::Absent => "the backup GPT is missing".into(),
        Copy::Damaged(defect) => format!("the backup GPT is damaged ({defect})"),
        Copy::Good(backup) => {
            let is_same = backup.header.disk_guid == primary.header.disk_guid
                && backup.header.array_checksum == primary.header.array_checksum;
            if is_same {
                return Ok(Vec::new());
            }
            "the two copies of the GPT differ; the primary is used".into()
        }
    };
    Ok(vec![warning])
}

/// `AlternateLBA` of a primary header that has its signature, damaged or not. What is found there is checked
/// like any other copy, so that a wrong hint does no harm.
fn alternate_lba_hint(disk: &dyn Disk, sector_bytes: u32) -> Result<Option<u64>> {
    let Some(block) = read_block(disk, sector_bytes, PRIMARY_LBA)? else { return Ok(None) };
    Ok(if block.starts_with(SIGNATURE) { Some(le_u64(&block, 32)?) } else { None })
}

fn read_block(disk: &dyn Disk, sector_bytes: u32, lba: u64) -> Result<Option<Vec<u8>>> {
    read_inside(disk, sector_bytes, lba, sector_bytes.into())
}

/// `len_bytes` from block `lba`, or `None` if they do not lie on the disk.
fn read_inside(
    disk: &dyn Disk,
    sector_bytes: u32,
    lba: u64,
    len_bytes: u64,
) -> Result<Option<Vec<u8>>> {
    let Some(offset_bytes) = lba.checked_mul(sector_bytes.into()) else { return Ok(None) };
    let end = offset_bytes.checked_add(len_bytes);
    if end.is_none_or(|end| end > disk.len_bytes()) {
        return Ok(None);
    }
    disk.read_vec(offset_bytes, arith::to(len_bytes)?).map(Some)
}

fn read_copy(disk: &dyn Disk, sector_bytes: u32, lba: u64) -> Result<Copy> {
    let Some(block) = read_block(disk, sector_bytes, lba)? else { return Ok(Copy::Absent) };
    if !block.starts_with(SIGNATURE) {
        return Ok(Copy::Absent);
    }
    let header = match parse_header(&block, lba)? {
        Ok(header) => header,
        Err(defect) => return Ok(Copy::Damaged(defect)),
    };
    let array_bytes = arith::mul(header.entry_count.into(), header.entry_bytes.into())?;
    let Some(entries) = read_inside(disk, sector_bytes, header.array_lba, array_bytes)? else {
        return Ok(Copy::Damaged(GptDefect::ArrayOutside(header.array_lba)));
    };
    let (stored, computed) = (header.array_checksum, crc32(&entries));
    if !agrees(stored, computed) {
        return Ok(Copy::Damaged(GptDefect::ArrayChecksum { stored, computed }));
    }
    Ok(Copy::Good(Table { header, entries }))
}

/// Parses the header in `block`, which has the signature and was read from block `lba`.
fn parse_header(block: &[u8], lba: u64) -> Result<Result<Header, GptDefect>> {
    let header_size = le_u32(block, 12)?;
    let header_bytes: usize = arith::to(header_size)?;
    if header_bytes < HEADER_BYTES || header_bytes > block.len() {
        return Ok(Err(GptDefect::HeaderSize(header_size)));
    }
    let stored = le_u32(block, 16)?;
    let mut cleared = field::slice(block, 0, header_bytes)?.to_vec();
    field::put_le_u32(&mut cleared, 16, 0)?;
    let computed = crc32(&cleared);
    if !agrees(stored, computed) {
        return Ok(Err(GptDefect::HeaderChecksum { stored, computed }));
    }
    let my_lba = le_u64(block, 24)?;
    if my_lba != lba {
        return Ok(Err(GptDefect::MyLba { stored: my_lba, actual: lba }));
    }
    let (entry_count, entry_bytes) = (le_u32(block, 80)?, le_u32(block, 84)?);
    let is_possible = (GPT_ENTRY_BYTES_MIN..=GPT_ENTRY_BYTES_MAX).contains(&entry_bytes);
    if !is_possible || !entry_bytes.is_power_of_two() {
        return Ok(Err(GptDefect::EntrySize(entry_bytes)));
    }
    if entry_count > GPT_ENTRIES_MAX {
        return Ok(Err(GptDefect::EntryCount(entry_count)));
    }
    Ok(Ok(Header {
        alternate_lba: le_u64(block, 32)?,
        disk_guid: Uuid::from_gpt_bytes(field::array(block, 56)?),
        array_lba: le_u64(block, 72)?,
        entry_count,
        entry_bytes,
        array_checksum: le_u32(block, 88)?,
    }))
}

/// A used entry of a GPT.
///
/// UEFI 2.10, table 5-6 "GPT Partition Entry". At least 128 bytes, little-endian.
///
/// | offset | size | spec                | here        | valid when                              |
/// |-------:|-----:|---------------------|-------------|-----------------------------------------|
/// |      0 |   16 | PartitionTypeGUID   | type_guid   | not zero (zero: unused)                 |
/// |     16 |   16 | UniquePartitionGUID | unique_guid | any                                     |
/// |     32 |    8 | StartingLBA         | first_lba   | at least 1                              |
/// |     40 |    8 | EndingLBA           | last_lba    | at least `first_lba`, inside the disk   |
/// |     48 |    8 | Attributes          | (ignored)   |                                         |
/// |     56 |   72 | PartitionName       | name        | UTF-16, ends at the first NUL           |
#[derive(Debug)]
struct Entry {
    type_guid: Uuid,
    unique_guid: Uuid,
    first_lba: u64,
    last_lba: u64,
    name: String,
}

impl Entry {
    /// Parses one entry; `None` if it is unused.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let type_guid = Uuid::from_gpt_bytes(field::array(bytes, 0)?);
        if type_guid.is_nil() {
            return Ok(None);
        }
        Ok(Some(Self {
            type_guid,
            unique_guid: Uuid::from_gpt_bytes(field::array(bytes, 16)?),
            first_lba: le_u64(bytes, 32)?,
            last_lba: le_u64(bytes, 40)?,
            name: parse_name(field::slice(bytes, 56, 72)?)?,
        }))
    }

    /// Start and size in bytes, if the entry lies on a disk of `disk_bytes`.
    fn range(&self, sector_bytes: u32, disk_bytes: u64) -> Option<(u64, u64)> {
        let start = self.first_lba.checked_mul(sector_bytes.into())?;
        let end = self.last_lba.checked_add(1)?.checked_mul(sector_bytes.into())?;
        let is_inside = start > 0 && start < end && end <= disk_bytes;
        is_inside.then(|| (start, end.saturating_sub(start)))
    }
}

fn parse_name(bytes: &[u8]) -> Result<String> {
    let mut units = Vec::new();
    for offset in (0..bytes.len()).step_by(2) {
        match le_u16(bytes, offset)? {
            0 => break,
            unit => units.push(unit),
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

fn layout(
    disk: &dyn Disk,
    sector_bytes: u32,
    table: &Table,
    mut warnings: Vec<String>,
) -> Result<Layout> {
    let mut volumes = Vec::new();
    let mut used_count: usize = 0;
    let entry_len = arith::to(table.header.entry_bytes)?;
    for (number, bytes) in (1u32..).zip(table.entries.chunks_exact(entry_len)) {
        let Some(entry) = Entry::parse(bytes)? else { continue };
        used_count = used_count.saturating_add(1);
        match entry.range(sector_bytes, disk.len_bytes()) {
            Some((offset_bytes, size_bytes)) => volumes.push(Volume {
                id: number.to_string(),
                number,
                offset_bytes,
                size_bytes,
                type_label: type_label::gpt(entry.type_guid),
                name: entry.name.into_bytes(),
                part_uuid: (!entry.unique_guid.is_nil()).then_some(entry.unique_guid),
            }),
            None => warnings.push(format!(
                "partition {number} (blocks {} to {}) is ignored: it is not a range inside the disk",
                entry.first_lba, entry.last_lba
            )),
        }
    }
    if volumes.is_empty() && used_count > 0 {
        let at = table.header.array_lba.saturating_mul(sector_bytes.into());
        return Err(Corrupt::new("GPT", GptDefect::NothingInside(used_count)).at(at).into());
    }
    debug_assert!(len_u64(volumes.len()) <= u64::from(GPT_ENTRIES_MAX));
    Ok(Layout {
        table: TableKind::Gpt,
        table_guid: Some(table.header.disk_guid),
        sector_size_bytes: sector_bytes,
        volumes,
        warnings,
    })
}
