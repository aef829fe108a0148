//! File systems of other systems and of media: NTFS, FAT, exFAT, ISO 9660, UFS, ZFS.
//!
//! Sources: Microsoft, "FAT: General Overview of On-Disk Format" and "exFAT file system specification"; the NTFS
//! boot sector as mkntfs writes it; ECMA-119 (ISO 9660), section 8.4; FreeBSD fs(5); "ZFS On-Disk Specification",
//! chapter 1. Labels of exFAT, UFS and ZFS do not stand in the superblock and are not read; that of NTFS is one MFT
//! record away.

use super::{Probe, ProbeKind, Source, without_padding};
use crate::bytes::field::{self, be_u32, le_u16, le_u32, le_u64};
use crate::error::Result;
use crate::fs::ntfs;

fn unnamed(kind: ProbeKind, uuid: String) -> Probe {
    Probe { kind, label: Vec::new(), uuid }
}

/// Little-endian: `NTFS` at 3, sector size at 11, serial number at 72.
pub(super) fn ntfs(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(sector) = source.head(0, 512) else { return Ok(None) };
    let sector_bytes = le_u16(sector, 11)?;
    let is_ntfs = field::slice(sector, 3, 8)? == b"NTFS    "
        && sector_bytes.is_power_of_two()
        && (256..=4096).contains(&sector_bytes);
    if !is_ntfs {
        return Ok(None);
    }
    let uuid = format!("{:016X}", le_u64(sector, 72)?);
    let label = match ntfs::volume_record(sector) {
        Some((offset_bytes, len)) => source.read(offset_bytes, len)?,
        None => None,
    };
    let label = label.and_then(ntfs::label_in).unwrap_or_default();
    Ok(Some(Probe { kind: ProbeKind::Ntfs, label, uuid }))
}

/// Little-endian: `EXFAT` at 3, serial number at 100, log2 of the sector size at 108.
pub(super) fn exfat(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(sector) = source.head(0, 512) else { return Ok(None) };
    let is_exfat = field::slice(sector, 3, 8)? == b"EXFAT   "
        && (9..=12).contains(&field::u8_at(sector, 108)?);
    let serial = le_u32(sector, 100)?;
    Ok(is_exfat.then(|| unnamed(ProbeKind::Exfat, serial_of_fat(serial))))
}

fn serial_of_fat(serial: u32) -> String {
    format!("{:04X}-{:04X}", field::high_u16(serial), field::low_u16(serial))
}

/// Little-endian BIOS parameter block: sector size at 11, sectors per cluster at 13, reserved sectors at 14, FATs
/// at 16, sectors at 19 or 32, media at 21, sectors per FAT at 22 or (FAT32) 36. The extended boot signature 0x28
/// or 0x29 precedes the serial number, and 0x29 the label; it stands at 38, with FAT32 at 66.
pub(super) fn vfat(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(sector) = source.head(0, 512) else { return Ok(None) };
    let is_fat = matches!(field::u8_at(sector, 0)?, 0xeb | 0xe9)
        && matches!(le_u16(sector, 11)?, 512 | 1024 | 2048 | 4096)
        && field::u8_at(sector, 13)?.is_power_of_two()
        && le_u16(sector, 14)? != 0
        && matches!(field::u8_at(sector, 16)?, 1 | 2)
        && matches!(field::u8_at(sector, 21)?, 0xf0 | 0xf8..)
        && (le_u16(sector, 19)? != 0 || le_u32(sector, 32)? != 0);
    let is_fat32 = le_u16(sector, 22)? == 0;
    if !is_fat || (is_fat32 && le_u32(sector, 36)? == 0) {
        return Ok(None);
    }
    let signature_at: usize = if is_fat32 { 66 } else { 38 };
    let extended = field::slice(sector, signature_at, 16)?;
    let (serial, label) = match field::u8_at(extended, 0)? {
        0x28 => (serial_of_fat(le_u32(extended, 1)?), Vec::new()),
        0x29 => (serial_of_fat(le_u32(extended, 1)?), field::slice(extended, 5, 11)?.to_vec()),
        _ => (String::new(), Vec::new()),
    };
    let label = if label == b"NO NAME    " { Vec::new() } else { without_padding(&label) };
    Ok(Some(Probe { kind: ProbeKind::Vfat, label, uuid: serial }))
}

/// The primary volume descriptor in sector 16 of 2048 bytes: type 1, `CD001` at 1, volume identifier at 40.
pub(super) fn iso9660(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(descriptor) = source.head(32768, 2048) else { return Ok(None) };
    if !descriptor.starts_with(b"\x01CD001\x01") {
        return Ok(None);
    }
    let label = without_padding(field::slice(descriptor, 40, 32)?);
    Ok(Some(Probe { kind: ProbeKind::Iso9660, label, uuid: String::new() }))
}

/// UFS2: superblock at 64 KiB, magic at 1372 of it, in the byte order of its machine.
pub(super) fn ufs2(source: &Source<'_>) -> Result<Option<Probe>> {
    ufs(source, 65536, 0x1954_0119, 2)
}

/// UFS1: superblock at 8 KiB, magic at 1372 of it, in the byte order of its machine.
pub(super) fn ufs1(source: &Source<'_>) -> Result<Option<Probe>> {
    ufs(source, 8192, 0x0001_1954, 1)
}

fn ufs(source: &Source<'_>, place: usize, magic: u32, version: u16) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(place, 1376) else { return Ok(None) };
    let stored = (le_u32(superblock, 1372)?, be_u32(superblock, 1372)?);
    let is_ufs = stored.0 == magic || stored.1 == magic;
    Ok(is_ufs.then(|| unnamed(ProbeKind::Ufs { version }, String::new())))
}

/// The first label of a pool member: uberblocks of at least 1 KiB from 128 KiB to 256 KiB, each starting with its
/// magic in the byte order of its machine.
pub(super) fn zfs(source: &Source<'_>) -> Result<Option<Probe>> {
    const MAGIC: u64 = 0x00ba_b10c;
    let Some(uberblocks) = source.read(128 * 1024, 128 * 1024)? else { return Ok(None) };
    for uberblock in uberblocks.chunks_exact(1024) {
        let stored = le_u64(uberblock, 0)?;
        if stored == MAGIC || stored == MAGIC.swap_bytes() {
            return Ok(Some(unnamed(ProbeKind::Zfs, String::new())));
        }
    }
    Ok(None)
}
