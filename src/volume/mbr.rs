//! Master boot records and the chains of extended boot records in them.
//!
//! UEFI Specification 2.10, section 5.2 "LBA 0 Format", defines the record and the protective entry. Extended
//! partitions are defined by no standard; the layout here is what every tool writes, observed with sfdisk: the
//! first entry of an extended boot record (EBR) is a logical partition relative to that EBR, the second one
//! leads to the next EBR relative to the extended partition.
//!
//! A boot sector of NTFS, exFAT or FAT ends in the same two bytes and is told apart by its own fields.

use super::type_label;
use super::{Layout, TableKind, Volume};
use crate::bytes::arith;
use crate::bytes::field::{self, le_u16, le_u32};
use crate::disk::Disk;
use crate::error::{Corrupt, Result};
use std::collections::BTreeSet;

/// The record is the first 512 bytes of its sector, whatever the size of the sector.
const RECORD_BYTES: usize = 512;

const SIGNATURE: &[u8] = &[0x55, 0xaa];

/// Entries of a record.
const ENTRY_COUNT: usize = 4;

/// Number of the first logical partition.
const LOGICAL_FIRST: u32 = 5;

/// Bound on the length of an EBR chain; sfdisk stops at 60.
const EBR_MAX: usize = 128;

/// Type of the entry that protects a GPT.
const PROTECTIVE_TYPE: u8 = 0xee;

/// Why an MBR cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MbrDefect {
    /// Entries are in use, but none of them lies on the disk.
    #[error("none of its {0} partitions lies inside the disk")]
    NothingInside(usize),
    /// The record says that there is a GPT, and there is none.
    #[error("the MBR protects a GPT, but no copy of the GPT is left")]
    GptIsGone,
}

/// An entry of a boot record.
///
/// UEFI 2.10, table 5-2 "Legacy MBR Partition Record". 16 bytes, little-endian.
///
/// | offset | size | spec           | here         | valid when                |
/// |-------:|-----:|----------------|--------------|---------------------------|
/// |      0 |    1 | BootIndicator  | (checked)    | 0x00 or 0x80              |
/// |      1 |    3 | StartingCHS    | (ignored)    |                           |
/// |      4 |    1 | OSType         | type_code    | not 0 (0: unused)         |
/// |      5 |    3 | EndingCHS      | (ignored)    |                           |
/// |      8 |    4 | StartingLBA    | first_lba    | not 0                     |
/// |     12 |    4 | SizeInLBA      | sector_count | not 0                     |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    type_code: u8,
    first_lba: u32,
    sector_count: u32,
}

impl Entry {
    fn is_used(self) -> bool {
        self.type_code != 0 && self.sector_count != 0
    }

    fn is_extended(self) -> bool {
        matches!(self.type_code, 0x05 | 0x0f | 0x85)
    }
}

/// The four entries of a boot record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootRecord {
    entries: [Entry; ENTRY_COUNT],
}

impl BootRecord {
    /// Parses a record, `None` if `bytes` are something else.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        if field::slice(bytes, 510, 2)? != SIGNATURE || is_boot_sector(bytes)? {
            return Ok(None);
        }
        let mut entries = [Entry { type_code: 0, first_lba: 0, sector_count: 0 }; ENTRY_COUNT];
        for (index, entry) in entries.iter_mut().enumerate() {
            let at = index.saturating_mul(16).saturating_add(446);
            if !matches!(field::u8_at(bytes, at)?, 0 | 0x80) {
                return Ok(None);
            }
            *entry = Entry {
                type_code: field::u8_at(bytes, at.saturating_add(4))?,
                first_lba: le_u32(bytes, at.saturating_add(8))?,
                sector_count: le_u32(bytes, at.saturating_add(12))?,
            };
        }
        Ok(Some(Self { entries }))
    }

    /// True if a GPT is to be expected, or may be: there is a protective entry, or none at all.
    pub(super) fn is_protective(&self) -> bool {
        self.protective().is_some() || !self.has_partitions()
    }

    /// True if partitions stand beside the protective entry.
    pub(super) fn is_hybrid(&self) -> bool {
        let others = |entry: &Entry| entry.is_used() && entry.type_code != PROTECTIVE_TYPE;
        self.protective().is_some() && self.entries.iter().any(others)
    }

    /// True if any entry is used.
    pub(super) fn has_partitions(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_used())
    }

    /// Last block that the protective entry covers: the end of the disk when the GPT was made.
    pub(super) fn protective_last_lba(&self) -> Option<u64> {
        let entry = self.protective()?;
        let end = u64::from(entry.first_lba).saturating_add(entry.sector_count.into());
        Some(end.saturating_sub(1))
    }

    fn protective(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.type_code == PROTECTIVE_TYPE)
    }
}

/// True for the first sector of a NTFS, exFAT or FAT file system.
///
/// Microsoft, "FAT: General Overview of On-Disk Format": the BIOS parameter block at 11, the name of the type
/// at 54 (FAT12, FAT16) or 82 (FAT32). NTFS and exFAT have their name at 3.
fn is_boot_sector(bytes: &[u8]) -> Result<bool> {
    if matches!(field::slice(bytes, 3, 8)?, b"NTFS    " | b"EXFAT   ") {
        return Ok(true);
    }
    let sector_bytes = le_u16(bytes, 11)?;
    let has_parameters = matches!(sector_bytes, 512 | 1024 | 2048 | 4096)
        && field::u8_at(bytes, 13)?.is_power_of_two()
        && le_u16(bytes, 14)? != 0
        && matches!(field::u8_at(bytes, 16)?, 1 | 2);
    let names_fat =
        field::slice(bytes, 54, 3)? == b"FAT" || field::slice(bytes, 82, 5)? == b"FAT32";
    Ok(has_parameters && names_fat)
}

/// Reads the boot record of `disk`; `None` if there is none.
///
/// # Errors
/// `Io`.
pub(super) fn read(disk: &dyn Disk) -> Result<Option<BootRecord>> {
    if disk.len_bytes() < arith::len_u64(RECORD_BYTES) {
        return Ok(None);
    }
    BootRecord::parse(&disk.read_vec(0, RECORD_BYTES)?)
}

/// Collects the partitions of a boot record.
#[derive(Debug)]
struct Finder<'a> {
    disk: &'a dyn Disk,
    sector_bytes: u64,
    volumes: Vec<Volume>,
    used_count: usize,
    warnings: Vec<String>,
}

/// Finds the partitions of `record`, the first sector of `disk`.
///
/// # Errors
/// `Corrupt` if partitions are named and none of them lies on the disk; `Io`.
pub(super) fn find(disk: &dyn Disk, record: &BootRecord) -> Result<Layout> {
    let sector_size_bytes = disk.sector_size_bytes();
    let mut finder = Finder {
        disk,
        sector_bytes: sector_size_bytes.into(),
        volumes: Vec::new(),
        used_count: 0,
        warnings: Vec::new(),
    };
    if record.protective().is_some() && !record.is_hybrid() {
        return Err(Corrupt::new("MBR", MbrDefect::GptIsGone).at(0).into());
    }
    let mut extended: Option<(u32, Entry)> = None;
    for (number, &entry) in (1u32..).zip(&record.entries) {
        if !entry.is_used() || entry.type_code == PROTECTIVE_TYPE {
            continue;
        }
        if !entry.is_extended() {
            finder.add(number, 0, entry);
        } else if extended.is_none() {
            extended = Some((number, entry));
        } else {
            finder.warnings.push(format!("partition {number} is a second extended one: ignored"));
        }
    }
    if let Some((number, entry)) = extended {
        finder.walk_extended(number, entry)?;
    }
    if finder.volumes.is_empty() && finder.used_count > 0 {
        let defect = MbrDefect::NothingInside(finder.used_count);
        return Err(Corrupt::new("MBR", defect).at(0).into());
    }
    Ok(Layout {
        table: TableKind::Mbr,
        table_guid: None,
        sector_size_bytes,
        volumes: finder.volumes,
        warnings: finder.warnings,
    })
}

impl Finder<'_> {
    /// Adds partition `number`, whose numbers count from `base_lba`, or a warning.
    fn add(&mut self, number: u32, base_lba: u64, entry: Entry) {
        self.used_count = self.used_count.saturating_add(1);
        // Three 32-bit numbers and a sector size cannot leave 64 bits.
        let first_lba = base_lba.saturating_add(entry.first_lba.into());
        let offset_bytes = first_lba.saturating_mul(self.sector_bytes);
        let size_bytes = u64::from(entry.sector_count).saturating_mul(self.sector_bytes);
        let end = offset_bytes.saturating_add(size_bytes);
        if first_lba == 0 || entry.first_lba == 0 || end > self.disk.len_bytes() {
            self.warnings.push(format!(
                "partition {number} (block {first_lba}, {} blocks) is ignored: it is not a range \
                 inside the disk",
                entry.sector_count
            ));
            return;
        }
        self.volumes.push(Volume {
            id: number.to_string(),
            number,
            offset_bytes,
            size_bytes,
            type_label: type_label::mbr(entry.type_code),
            name: Vec::new(),
            part_uuid: None,
        });
    }

    /// Follows the chain of EBRs in the extended partition `extended`.
    fn walk_extended(&mut self, extended_number: u32, extended: Entry) -> Result<()> {
        let base_lba = u64::from(extended.first_lba);
        let end_lba = base_lba.saturating_add(extended.sector_count.into());
        let mut seen = BTreeSet::new();
        let mut next = Some(base_lba);
        let mut number = LOGICAL_FIRST;
        while let Some(lba) = next {
            let problem = if lba < base_lba || lba >= end_lba {
                Some("leads outside of it")
            } else if !seen.insert(lba) {
                Some("is a loop")
            } else if seen.len() > EBR_MAX {
                Some("has more than 128 links")
            } else {
                None
            };
            let record = if problem.is_none() { self.read_ebr(lba)? } else { None };
            let Some(record) = record else {
                let problem = problem.unwrap_or("leads to a block without a boot record");
                self.warnings.push(format!(
                    "extended partition {extended_number}: the chain of logical partitions \
                     {problem} at block {lba}"
                ));
                return Ok(());
            };
            if let Some(&entry) =
                record.entries.iter().find(|entry| entry.is_used() && !entry.is_extended())
            {
                self.add_logical(number, lba, end_lba, entry);
                number = number.saturating_add(1);
            }
            let link = record.entries.iter().find(|entry| entry.is_used() && entry.is_extended());
            next = link.map(|link| base_lba.saturating_add(link.first_lba.into()));
        }
        Ok(())
    }

    fn add_logical(&mut self, number: u32, ebr_lba: u64, end_lba: u64, entry: Entry) {
        let end = ebr_lba
            .saturating_add(entry.first_lba.into())
            .saturating_add(entry.sector_count.into());
        if end > end_lba {
            self.warnings.push(format!("partition {number} ends behind its extended partition"));
        }
        self.add(number, ebr_lba, entry);
    }

    /// The boot record in block `lba`; `None` if there is none.
    fn read_ebr(&self, lba: u64) -> Result<Option<BootRecord>> {
        let offset_bytes = lba.saturating_mul(self.sector_bytes);
        let end = offset_bytes.saturating_add(arith::len_u64(RECORD_BYTES));
        if end > self.disk.len_bytes() {
            return Ok(None);
        }
        BootRecord::parse(&self.disk.read_vec(offset_bytes, RECORD_BYTES)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(entries: &[(u8, u32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        for (index, &(type_code, first, count)) in entries.iter().enumerate() {
            let at = 446 + index * 16;
            bytes[at + 4] = type_code;
            bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
        }
        bytes[510..].copy_from_slice(SIGNATURE);
        bytes
    }

    #[test]
    fn boot_sectors_of_file_systems_are_no_tables() {
        let mut ntfs = record(&[(7, 2048, 100)]);
        ntfs[3..11].copy_from_slice(b"NTFS    ");
        assert_eq!(BootRecord::parse(&ntfs).unwrap(), None);
        let mut fat = record(&[(7, 2048, 100)]);
        fat[11..17].copy_from_slice(&[0, 2, 8, 32, 0, 2]);
        fat[82..87].copy_from_slice(b"FAT32");
        assert_eq!(BootRecord::parse(&fat).unwrap(), None);
        let mut odd_indicator = record(&[(7, 2048, 100)]);
        odd_indicator[446] = 0x4f;
        assert_eq!(BootRecord::parse(&odd_indicator).unwrap(), None);
        assert!(BootRecord::parse(&record(&[(7, 2048, 100)])).unwrap().is_some());
    }

    #[test]
    fn the_protective_entry_is_told_from_a_hybrid_one() {
        let parse = |entries| BootRecord::parse(&record(entries)).unwrap().unwrap();
        let pure = parse(&[(0xee, 1, 99)]);
        assert!(pure.is_protective() && !pure.is_hybrid());
        assert_eq!(pure.protective_last_lba(), Some(99));
        let hybrid = parse(&[(0xee, 1, 33), (0x83, 34, 10)]);
        assert!(hybrid.is_protective() && hybrid.is_hybrid());
        let plain = parse(&[(0x83, 34, 10)]);
        assert!(!plain.is_protective() && plain.protective_last_lba().is_none());
    }
}
