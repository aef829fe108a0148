//! File systems of Linux: ext2/3/4, XFS, Btrfs, F2FS, EROFS, SquashFS, and swap.
//!
//! Sources: kernel documentation, "ext4 Data Structures and Algorithms", "The Super Block"; "XFS Filesystem Disk
//! Structures", "Superblocks"; Btrfs documentation, "On-disk format", "Superblock"; kernel documentation "EROFS"
//! and "Flash-Friendly File System (F2FS)"; "SquashFS Binary Format", "The Superblock"; mkswap(8). Offsets that
//! these do not give were compared with volumes made by their tools.

use super::{Probe, ProbeKind, Source, until_nul, uuid};
use crate::bytes::field::{self, be_u16, be_u32, le_u16, le_u32, le_u64};
use crate::error::Result;

/// Where the superblocks of ext2/3/4, EROFS and F2FS start.
const AT_1024: usize = 1024;

const EXT_MAGIC: u16 = 0xef53;
const EXT_COMPAT_HAS_JOURNAL: u32 = 0x4;
const EXT_INCOMPAT_JOURNAL_DEV: u32 = 0x8;
/// filetype, recover, meta_bg: what ext2 and ext3 know.
const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
/// sparse_super, large_file, btree_dir: what ext2 and ext3 know.
const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

/// Little-endian: `s_inodes_count` at 0, `s_blocks_count_lo` at 4, `s_log_block_size` at 24, `s_magic` at 56, the
/// feature words at 92, 96 and 100, `s_uuid` at 104, `s_volume_name` at 120.
pub(super) fn ext(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(AT_1024, 136) else { return Ok(None) };
    let is_ext = le_u16(superblock, 56)? == EXT_MAGIC
        && le_u32(superblock, 24)? <= 6
        && le_u32(superblock, 4)? != 0;
    if !is_ext {
        return Ok(None);
    }
    let compat = le_u32(superblock, 92)?;
    let incompat = le_u32(superblock, 96)?;
    let ro_compat = le_u32(superblock, 100)?;
    let kind = if incompat & EXT_INCOMPAT_JOURNAL_DEV != 0 {
        ProbeKind::ExtJournal
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        ProbeKind::Ext4
    } else if compat & EXT_COMPAT_HAS_JOURNAL != 0 {
        ProbeKind::Ext3
    } else {
        ProbeKind::Ext2
    };
    let label = until_nul(field::slice(superblock, 120, 16)?);
    Ok(Some(Probe { kind, label, uuid: uuid(field::array(superblock, 104)?) }))
}

/// Big-endian: `sb_magicnum` at 0, `sb_blocksize` at 4, `sb_uuid` at 32, `sb_sectsize` at 102, `sb_fname` at 108.
pub(super) fn xfs(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(0, 120) else { return Ok(None) };
    let (block_bytes, sector_bytes) = (be_u32(superblock, 4)?, be_u16(superblock, 102)?);
    let is_xfs = superblock.starts_with(b"XFSB")
        && block_bytes.is_power_of_two()
        && (512..=65536).contains(&block_bytes)
        && sector_bytes.is_power_of_two();
    if !is_xfs {
        return Ok(None);
    }
    let label = until_nul(field::slice(superblock, 108, 12)?);
    Ok(Some(Probe { kind: ProbeKind::Xfs, label, uuid: uuid(field::array(superblock, 32)?) }))
}

/// Little-endian, at 64 KiB: UUID at 32, its own place at 48, magic at 64, label at 299.
pub(super) fn btrfs(source: &Source<'_>) -> Result<Option<Probe>> {
    const PLACE: usize = 65536;
    let Some(superblock) = source.head(PLACE, 4096) else { return Ok(None) };
    if field::slice(superblock, 64, 8)? != b"_BHRfS_M" || le_u64(superblock, 48)? != 65536 {
        return Ok(None);
    }
    let label = until_nul(field::slice(superblock, 299, 256)?);
    Ok(Some(Probe { kind: ProbeKind::Btrfs, label, uuid: uuid(field::array(superblock, 32)?) }))
}

/// Little-endian: magic at 0, log2 of the block size at 16, UUID at 108, name of 512 UTF-16 units at 124.
pub(super) fn f2fs(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(AT_1024, 1148) else { return Ok(None) };
    if le_u32(superblock, 0)? != 0xf2f5_2010 || !(12..=16).contains(&le_u32(superblock, 16)?) {
        return Ok(None);
    }
    let mut units = Vec::new();
    for pair in field::slice(superblock, 124, 1024)?.chunks_exact(2) {
        match le_u16(pair, 0)? {
            0 => break,
            unit => units.push(unit),
        }
    }
    let label = String::from_utf16_lossy(&units).into_bytes();
    Ok(Some(Probe { kind: ProbeKind::F2fs, label, uuid: uuid(field::array(superblock, 108)?) }))
}

/// Little-endian: magic at 0, log2 of the block size at 12, UUID at 48, name at 64.
pub(super) fn erofs(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(AT_1024, 128) else { return Ok(None) };
    let is_block_size = (9..=16).contains(&field::u8_at(superblock, 12)?);
    if le_u32(superblock, 0)? != 0xe0f5_e1e2 || !is_block_size {
        return Ok(None);
    }
    let label = until_nul(field::slice(superblock, 64, 16)?);
    Ok(Some(Probe { kind: ProbeKind::Erofs, label, uuid: uuid(field::array(superblock, 48)?) }))
}

/// Little-endian: magic at 0, block size at 12, its log2 at 22, major version at 28.
pub(super) fn squashfs(source: &Source<'_>) -> Result<Option<Probe>> {
    let Some(superblock) = source.head(0, 96) else { return Ok(None) };
    let block_bytes = 1u32.checked_shl(le_u16(superblock, 22)?.into());
    let is_squashfs = superblock.starts_with(b"hsqs")
        && le_u16(superblock, 28)? == 4
        && block_bytes == Some(le_u32(superblock, 12)?);
    let probe = || Probe { kind: ProbeKind::Squashfs, label: Vec::new(), uuid: String::new() };
    Ok(is_squashfs.then(probe))
}

/// Sizes of a page on the machines that Linux runs on.
const PAGE_BYTES: [usize; 4] = [4096, 8192, 16384, 65536];

/// The signature is the last 10 bytes of the first page; UUID at 1036, label at 1052. A suspended system replaces
/// the signature by one of its own.
pub(super) fn swap(source: &Source<'_>) -> Result<Option<Probe>> {
    const SUSPENDED: [&[u8]; 4] = [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"];
    for page_bytes in PAGE_BYTES {
        let Some(signature) = source.head(page_bytes.saturating_sub(10), 10) else {
            return Ok(None);
        };
        let is_hibernated = SUSPENDED.contains(&signature);
        if !is_hibernated && signature != b"SWAPSPACE2" && signature != b"SWAP-SPACE" {
            continue;
        }
        let Some(header) = source.head(1024, 44) else { return Ok(None) };
        // The first version of the format has neither UUID nor label.
        let has_names = signature != b"SWAP-SPACE";
        let kind = ProbeKind::Swap { is_hibernated };
        let label = if has_names { until_nul(field::slice(header, 28, 16)?) } else { Vec::new() };
        let uuid = if has_names { uuid(field::array(header, 12)?) } else { String::new() };
        return Ok(Some(Probe { kind, label, uuid }));
    }
    Ok(None)
}
