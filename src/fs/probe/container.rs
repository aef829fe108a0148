//! What holds other volumes or cipher text: LUKS, BitLocker, md RAID, LVM2.
//!
//! Sources: "LUKS1 On-Disk Format Specification" 1.2.3, section 2.2; "LUKS2 On-Disk Format Specification" 1.1.1,
//! section 2.1; Linux RAID wiki, "RAID superblock formats"; the LVM2 label and the BitLocker signature as their
//! tools write them, compared with volumes made by pvcreate.

use super::{Probe, ProbeKind, Source, text, until_nul, uuid};
use crate::bytes::field::{self, be_u16, be_u32, be_u64, le_u32, le_u64};
use crate::error::Result;

/// The header of either LUKS version, big-endian: magic at 0, version at 6, label (LUKS2) at 24, UUID at 168.
pub(super) fn luks(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(header) = source.head(0, 208) else { return Ok(None) };
    let version = be_u16(header, 6)?;
    if !header.starts_with(b"LUKS\xba\xbe") || !matches!(version, 1 | 2) {
        return Ok(None);
    }
    let label = if version == 2 { until_nul(field::slice(header, 24, 48)?) } else { Vec::new() };
    let uuid = text(field::slice(header, 168, 40)?);
    Ok(Some(Probe { kind: ProbeKind::Luks { version }, label, uuid }))
}

/// Where the second header of LUKS2 may be, in bytes.
const SECOND_HEADERS: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

/// A LUKS2 whose first header is overwritten with zeros.
pub(super) fn luks_without_start(source: &Source<'_>) -> Result<Option<Probe>> {
    if !source.head(0, 4096).is_some_and(|start| start.iter().all(|byte| *byte == 0)) {
        return Ok(None);
    }
    for offset_bytes in SECOND_HEADERS {
        let Some(header) = source.read(offset_bytes, 264)? else { continue };
        let is_here = be_u64(&header, 256)? == offset_bytes;
        if header.starts_with(b"SKUL\xba\xbe\0\x02") && is_here {
            let label = until_nul(field::slice(&header, 24, 48)?);
            let uuid = text(field::slice(&header, 168, 40)?);
            return Ok(Some(Probe { kind: ProbeKind::Luks { version: 2 }, label, uuid }));
        }
    }
    Ok(None)
}

/// A boot sector whose OEM name, at 3, is that of BitLocker.
pub(super) fn bitlocker(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(sector) = source.head(0, 512) else { return Ok(None) };
    let is_bitlocker = field::slice(sector, 3, 8)? == b"-FVE-FS-";
    let probe = || Probe { kind: ProbeKind::Bitlocker, label: Vec::new(), uuid: String::new() };
    Ok(is_bitlocker.then(probe))
}

const MD_MAGIC: u32 = 0xa92b_4efc;

/// The superblocks of md: 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 near the end.
pub(super) fn md_raid(source: &Source<'_>) -> Result<Option<Probe>> {
    let len_bytes = source.disk.len_bytes();
    // 1.0: 4 KiB aligned, at least 8 KiB from the end. 0.90: 64 KiB aligned, at least 64 KiB from the end.
    let version_1_0 = len_bytes.saturating_sub(8192) & !4095;
    let version_0_90 = (len_bytes & !65535).checked_sub(65536);
    for offset in [0, 4096, version_1_0] {
        let Some(superblock) = source.read(offset, 256)? else { continue };
        if let Some(probe) = md_version_1(&superblock, offset)? {
            return Ok(Some(probe));
        }
    }
    let Some(offset) = version_0_90 else { return Ok(None) };
    let Some(superblock) = source.read(offset, 64)? else { return Ok(None) };
    md_version_0(&superblock)
}

/// Little-endian: magic at 0, major version at 4, set UUID at 16, set name at 32, its own place in sectors at 144.
fn md_version_1(superblock: &[u8], offset_bytes: u64) -> Result<Option<Probe>> {
    let is_md = le_u32(superblock, 0)? == MD_MAGIC && le_u32(superblock, 4)? == 1;
    if !is_md || le_u64(superblock, 144)?.checked_mul(512) != Some(offset_bytes) {
        return Ok(None);
    }
    let label = until_nul(field::slice(superblock, 32, 32)?);
    Ok(Some(Probe { kind: ProbeKind::MdRaid, label, uuid: uuid(field::array(superblock, 16)?) }))
}

/// Words in the byte order of the machine that wrote them: magic, major and minor version in words 0 to 2, the set UUID
/// in words 5 and 13 to 15.
fn md_version_0(superblock: &[u8]) -> Result<Option<Probe>> {
    let is_big_endian = be_u32(superblock, 0)? == MD_MAGIC;
    let word = |index: usize| {
        let at = index.saturating_mul(4);
        if is_big_endian { be_u32(superblock, at) } else { le_u32(superblock, at) }
    };
    if word(0)? != MD_MAGIC || !matches!((word(1)?, word(2)?), (0, 90 | 91)) {
        return Ok(None);
    }
    let [a, b, c, d] = [word(5)?, word(13)?, word(14)?, word(15)?].map(u32::to_be_bytes);
    let bytes = [a, b, c, d].concat().try_into().unwrap_or_default();
    Ok(Some(Probe { kind: ProbeKind::MdRaid, label: Vec::new(), uuid: uuid(bytes) }))
}

/// A label in one of the first four sectors: `LABELONE` at 0, `LVM2 001` at 24, and where its offset at 20 says,
/// the UUID of the physical volume as 32 characters.
pub(super) fn lvm2(source: &Source<'_>) -> Result<Option<Probe>> {
    for sector in [0, 512, 1024, 1536] {
        let Some(label) = source.head(sector, 512) else { return Ok(None) };
        if !label.starts_with(b"LABELONE") || field::slice(label, 24, 8)? != b"LVM2 001" {
            continue;
        }
        let header = usize::try_from(le_u32(label, 20)?).unwrap_or(usize::MAX);
        let stored = field::slice(label, header, 32).map(text).unwrap_or_default();
        let uuid = lvm2_uuid(&stored);
        return Ok(Some(Probe { kind: ProbeKind::Lvm2, label: Vec::new(), uuid }));
    }
    Ok(None)
}

/// Groups of 6, 4, 4, 4, 4, 4 and 6 characters, as LVM prints its identifiers.
fn lvm2_uuid(stored: &str) -> String {
    let mut printed = String::new();
    for (index, character) in stored.chars().enumerate() {
        if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) {
            printed.push('-');
        }
        printed.push(character);
    }
    printed
}
