//! The checksums of ext4 metadata, each with its seed.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Checksums". With
//! `metadata_csum` everything is CRC-32C, raw (no final inversion), continued from a seed that is the
//! checksum of the UUID or stored in the superblock; with `uninit_bg` only group descriptors have a CRC-16.
//! Directory and attribute blocks are the work of their own modules, the journal of `journal`.

use super::units::{GroupIndex, InodeNumber};
use crate::bytes::checksum::{crc16, crc32c_raw};
use crate::bytes::field::{self, Short};

/// Offset of `s_checksum`: the last word of the superblock.
pub(super) const SUPERBLOCK_CHECKSUM_AT: usize = 0x3fc;
/// Offset of `bg_checksum`.
pub(super) const DESCRIPTOR_CHECKSUM_AT: usize = 0x1e;
/// Offsets of `l_i_checksum_lo` and `i_checksum_hi`.
pub(super) const INODE_CHECKSUM_LOW_AT: usize = 0x7c;
pub(super) const INODE_CHECKSUM_HIGH_AT: usize = 0x82;

/// The seed of one inode: of the inode itself, its extent nodes and its directory blocks.
pub(super) fn inode_seed(seed: u32, number: InodeNumber, generation: u32) -> u32 {
    crc32c_raw(crc32c_raw(seed, &number.0.to_le_bytes()), &generation.to_le_bytes())
}

/// Checksum of the superblock: everything before the field.
pub(super) fn superblock(bytes: &[u8]) -> Result<u32, Short> {
    Ok(crc32c_raw(!0, field::slice(bytes, 0, SUPERBLOCK_CHECKSUM_AT)?))
}

/// CRC-32C of a group descriptor, cut to 16 bits, its checksum field taken as 0.
pub(super) fn descriptor_crc32c(
    seed: u32,
    group: GroupIndex,
    descriptor: &[u8],
) -> Result<u16, Short> {
    let mut bytes = descriptor.to_vec();
    field::put_le_u16(&mut bytes, DESCRIPTOR_CHECKSUM_AT, 0)?;
    let sum = crc32c_raw(crc32c_raw(seed, &group.0.to_le_bytes()), &bytes);
    Ok(field::low_u16(sum))
}

/// CRC-16 of a group descriptor, its checksum field left out.
pub(super) fn descriptor_crc16(
    uuid: &[u8; 16],
    group: GroupIndex,
    descriptor: &[u8],
) -> Result<u16, Short> {
    let head = crc16(crc16(!0, uuid), &group.0.to_le_bytes());
    let body = crc16(head, field::slice(descriptor, 0, DESCRIPTOR_CHECKSUM_AT)?);
    let rest_at = DESCRIPTOR_CHECKSUM_AT.saturating_add(2);
    Ok(crc16(body, descriptor.get(rest_at..).unwrap_or_default()))
}

/// Checksum of an inode, its checksum fields taken as 0. `has_high` says that `i_checksum_hi` exists.
pub(super) fn inode(inode_seed: u32, inode: &[u8], has_high: bool) -> Result<u32, Short> {
    let mut bytes = inode.to_vec();
    field::put_le_u16(&mut bytes, INODE_CHECKSUM_LOW_AT, 0)?;
    if has_high {
        field::put_le_u16(&mut bytes, INODE_CHECKSUM_HIGH_AT, 0)?;
    }
    Ok(crc32c_raw(inode_seed, &bytes))
}
