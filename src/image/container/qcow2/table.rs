//! Entries of the L1 and L2 tables, and reference counts: pure functions over numbers and bytes.

use super::defect::Defect;
use super::header::Header;
use crate::bytes::arith;
use crate::bytes::field;
use crate::error::{Corrupt, Error, Result};
use std::ops::RangeInclusive;

/// Bit 63: the reference count of the cluster is exactly 1, so it may be written in place.
pub(super) const COPIED: u64 = 1 << 63;

/// Bit 62 of an L2 entry: the cluster is compressed.
const COMPRESSED: u64 = 1 << 62;

/// Bit 0 of an L2 entry, since version 3: the cluster reads as zeros.
const ZERO: u64 = 1;

/// Bits 9 to 55: the offset of a cluster in its file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Unit of the length of a compressed cluster in bytes.
const COMPRESSED_UNIT_BYTES: u64 = 512;

/// An entry of the L1 table, or the place of a cluster: where it is, and whether it belongs to nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) is_copied: bool,
}

/// What an L2 entry says of a cluster of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Nothing: it reads as the backing file does, or as zeros.
    Unallocated,
    /// Zeros. The cluster that is kept for it, if there is one.
    Zero(Option<u64>),
    /// Its data are in a cluster.
    Data(Place),
    /// Its data are compressed, in clusters with these indices.
    Compressed(RangeInclusive<u64>),
}

/// The L2 table of an L1 entry.
pub(super) fn decode_l1(entry: u64, header: &Header) -> Result<Option<Place>> {
    let offset = offset_of(entry, header)?;
    Ok((offset != 0).then_some(Place { offset, is_copied: entry & COPIED != 0 }))
}

/// What an L2 entry means.
pub(super) fn decode_l2(entry: u64, header: &Header) -> Result<Mapping> {
    if entry & COMPRESSED != 0 {
        let (offset, len) = decode_compressed(entry, header)?;
        let last = arith::sub(arith::add(offset, len)?, 1)?;
        let cluster_bytes = header.cluster_bytes();
        let indices = arith::div(offset, cluster_bytes)?..=arith::div(last, cluster_bytes)?;
        return Ok(Mapping::Compressed(indices));
    }
    let offset = offset_of(entry, header)?;
    let is_copied = entry & COPIED != 0;
    if header.version >= 3 && entry & ZERO != 0 {
        return Ok(Mapping::Zero((offset != 0).then_some(offset)));
    }
    // In a data file the first cluster is at 0.
    if offset == 0 && !(is_copied && header.data_file.is_some()) {
        return Ok(Mapping::Unallocated);
    }
    Ok(Mapping::Data(Place { offset, is_copied }))
}

/// Where a compressed cluster starts, and how long it is at most, in bytes.
///
/// Bits from 0: the offset in bytes, then how many units of 512 bytes follow that of the offset.
pub(super) fn decode_compressed(entry: u64, header: &Header) -> Result<(u64, u64)> {
    let size_bits = header.cluster_bits.saturating_sub(8);
    let offset_bits = 62u32.saturating_sub(size_bits);
    let offset = entry & arith::sub(arith::pow2(offset_bits)?, 1)?;
    let units = (entry >> offset_bits) & arith::sub(arith::pow2(size_bits)?, 1)?;
    let skipped = arith::rem(offset, COMPRESSED_UNIT_BYTES)?;
    let len = arith::mul(arith::add(units, 1)?, COMPRESSED_UNIT_BYTES)?;
    Ok((offset, arith::sub(len, skipped)?))
}

fn offset_of(entry: u64, header: &Header) -> Result<u64> {
    let offset = entry & OFFSET;
    if arith::rem(offset, header.cluster_bytes())? != 0 {
        return Err(impossible(entry));
    }
    Ok(offset)
}

/// The error of an entry that leads nowhere.
pub(super) fn impossible(entry: u64) -> Error {
    Corrupt::new("qcow2 table", Defect::Entry { entry }).into()
}

/// The reference count with `index` in `bytes`, each of them `1 << order` bits wide.
pub(super) fn refcount(bytes: &[u8], index: u64, order: u32) -> Result<u64> {
    if let Some((byte, shift, mask)) = packed(index, order)? {
        return Ok(u64::from((field::u8_at(bytes, byte)? >> shift) & mask));
    }
    let width = 1usize << order.saturating_sub(3).min(3);
    let start = arith::mul(index, arith::to(width)?)?;
    let digits = field::slice(bytes, arith::to(start)?, width)?;
    Ok(digits.iter().fold(0, |value, &digit| (value << 8) | u64::from(digit)))
}

/// Stores a reference count.
///
/// # Errors
/// `Limit` if it is not wide enough for `value`.
pub(super) fn put_refcount(bytes: &mut [u8], index: u64, order: u32, value: u64) -> Result<()> {
    let limit = if order >= 6 { u64::MAX } else { arith::sub(arith::pow2(1 << order)?, 1)? };
    if value > limit {
        return Err(Error::limit("reference count of a cluster", limit, value));
    }
    if let Some((byte, shift, mask)) = packed(index, order)? {
        let [low, ..] = value.to_le_bytes();
        let others = field::u8_at(bytes, byte)? & !(mask << shift);
        field::put(bytes, byte, &[others | (low << shift)])?;
        return Ok(());
    }
    let width = 1usize << order.saturating_sub(3).min(3);
    let start = arith::mul(index, arith::to(width)?)?;
    let digits = value.to_be_bytes();
    let skip = digits.len().saturating_sub(width);
    field::put(bytes, arith::to(start)?, field::slice(&digits, skip, width)?)?;
    Ok(())
}

/// Byte, shift and mask of a count that is narrower than a byte; those with low indices are in the low bits.
fn packed(index: u64, order: u32) -> Result<Option<(usize, u32, u8)>> {
    let (bits, mask) = match order {
        0 => (1, 0b1),
        1 => (2, 0b11),
        2 => (4, 0b1111),
        _ => return Ok(None),
    };
    let position = arith::mul(index, bits)?;
    let shift = arith::to(arith::rem(position, 8)?)?;
    Ok(Some((arith::to(arith::div(position, 8)?)?, shift, mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, cluster_bits: u32) -> Header {
        Header {
            version,
            cluster_bits,
            size_bytes: 1 << 20,
            l1_offset: 1 << 16,
            l1_entries: 1,
            reftable_offset: 2 << 16,
            reftable_clusters: 1,
            refcount_order: 4,
            snapshots: 0,
            is_dirty: false,
            is_corrupt: false,
            autoclear: 0,
            backing: None,
            data_file: None,
            bitmaps: None,
        }
    }

    #[test]
    fn entries_mean_what_the_format_says() {
        let header3 = header(3, 16);
        let decode = |entry| decode_l2(entry, &header3).unwrap();
        assert_eq!(decode(0), Mapping::Unallocated);
        assert_eq!(decode(1), Mapping::Zero(None));
        assert_eq!(decode(0x5_0001), Mapping::Zero(Some(0x5_0000)));
        let place = Place { offset: 0x5_0000, is_copied: true };
        assert_eq!(decode(0x8000_0000_0005_0000), Mapping::Data(place));
        assert!(decode_l2(0x5_0200, &header3).is_err());
        // Version 2 has no zero clusters; bit 0 is reserved there.
        assert_eq!(decode_l2(1, &header(2, 16)).unwrap(), Mapping::Unallocated);
        // 62 - (16 - 8) = 54 bits of offset; three more units of 512 bytes, over the end of a cluster.
        let entry = (1 << 62) | (3 << 54) | 0x5_fc80;
        assert_eq!(decode(entry), Mapping::Compressed(5..=6));
        assert_eq!(decode((1 << 62) | 0x5_fc80), Mapping::Compressed(5..=5));
    }

    #[test]
    fn reference_counts_of_every_width() {
        for order in 0..=6 {
            let mut bytes = [0; 64];
            let top = if order == 6 { u64::MAX } else { (1 << (1 << order)) - 1 };
            for (index, value) in [(0, top), (1, 0), (2, 1), (7, top), (3, 1)] {
                put_refcount(&mut bytes, index, order, value).unwrap();
            }
            let read = |index| refcount(&bytes, index, order).unwrap();
            assert_eq!((read(0), read(1), read(2), read(3), read(7)), (top, 0, 1, 1, top));
            if order < 6 {
                let error = put_refcount(&mut bytes, 0, order, top + 1).unwrap_err();
                assert_eq!(error.kind_name(), "limit");
            }
        }
        // 16 bits are big-endian; single bits start at the lowest.
        assert_eq!(refcount(&[1, 2, 3, 4], 1, 4).unwrap(), 0x304);
        assert_eq!(refcount(&[0b0000_0100], 2, 0).unwrap(), 1);
    }
}
