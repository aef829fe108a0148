//! The numbers of an NTFS volume that must not be confused, as types, and the sizes that tie them together.
//!
//! Sources: linux-ntfs documentation, "Concepts" (cluster, file record, file reference); libyal libfsntfs, "New
//! Technologies File System (NTFS)", sections "File reference" and "Data runs".

use crate::bytes::arith::{add, div, div_ceil, mul, to};
use crate::error::{Corrupt, Result};
use std::fmt;

/// Bits of a file reference that hold the record number: 48 bits.
const RECORD_BITS: u32 = 48;
/// Bound on MFT record numbers.
const MFT_RECORDS_MAX: u64 = 1 << RECORD_BITS;

/// A cluster, counted from the start of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lcn(pub(crate) u64);

/// A cluster, counted from the start of the value of an attribute. Inside an index it counts
/// clusters of the index, or blocks of 512 bytes: see [`super::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vcn(pub(crate) u64);

/// The place of a record in the MFT: below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MftRecordNumber(pub(crate) u64);

/// A record, and how often it had been used when the reference was made: 8 bytes, little-endian, the record
/// number in the low 48 bits and the sequence number in the high 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileReference {
    /// The record.
    pub(crate) record: MftRecordNumber,
    /// The sequence number that the record must have; 0 matches any.
    pub(crate) sequence: u16,
}

/// A number that leads out of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutsideVolume {
    #[error("MFT record number {0} does not fit 48 bits")]
    Record(u64),
}

impl Lcn {
    /// Where the cluster starts, in bytes from the start of the volume.
    pub(crate) fn to_byte_offset(self, geometry: &Geometry) -> Result<u64> {
        Ok(mul(self.0, geometry.cluster_size())?)
    }
}

impl Vcn {
    /// The cluster `count` further on.
    pub(crate) fn plus(self, count: u64) -> Result<Self> {
        Ok(Self(add(self.0, count)?))
    }

    /// Where the cluster starts, in bytes from the start of the value.
    pub(crate) fn to_byte_offset(self, geometry: &Geometry) -> Result<u64> {
        Ok(mul(self.0, geometry.cluster_size())?)
    }

    /// The cluster that holds the byte at `offset_bytes` of the value.
    pub(crate) fn of_byte(offset_bytes: u64, geometry: &Geometry) -> Result<Self> {
        Ok(Self(div(offset_bytes, geometry.cluster_size())?))
    }
}

impl MftRecordNumber {
    /// The MFT itself.
    pub(crate) const MFT: Self = Self(0);
    /// The copy of the first records.
    pub(crate) const MFT_MIRROR: Self = Self(1);
    /// `$LogFile`.
    pub(crate) const LOG_FILE: Self = Self(2);
    /// `$Volume`: name, version and flags.
    pub(crate) const VOLUME: Self = Self(3);
    /// The root directory.
    pub(crate) const ROOT: Self = Self(5);
    /// `$Bitmap`: clusters in use.
    pub(crate) const BITMAP: Self = Self(6);
    /// `$Secure`: shared security descriptors.
    pub(crate) const SECURE: Self = Self(9);
    /// `$UpCase`.
    pub(crate) const UP_CASE: Self = Self(10);
    /// `$Extend`: the directory of further metadata files.
    pub(crate) const EXTEND: Self = Self(11);
    /// The first record that is not set aside for metadata files (0 to 15 are theirs, 16 to 23 stay free).
    pub(crate) const FIRST_USER: Self = Self(24);

    /// Checks that `number` can be stored in a file reference.
    ///
    /// # Errors
    /// `Corrupt` if it needs more than 48 bits.
    pub(crate) fn new(number: u64) -> Result<Self> {
        if number < MFT_RECORDS_MAX {
            Ok(Self(number))
        } else {
            Err(Corrupt::new("MFT record number", OutsideVolume::Record(number)).into())
        }
    }

    /// True for the records 0 to 15: the metadata files.
    pub(crate) fn is_metadata(self) -> bool {
        self.0 < 16
    }
}

impl FileReference {
    /// Reads the stored form.
    pub(crate) fn from_raw(raw: u64) -> Self {
        let [_, _, _, _, _, _, low, high] = raw.to_le_bytes();
        Self {
            record: MftRecordNumber(raw & (MFT_RECORDS_MAX.saturating_sub(1))),
            sequence: u16::from_le_bytes([low, high]),
        }
    }

    /// The stored form.
    ///
    /// # Errors
    /// `Corrupt` if the record number needs more than 48 bits.
    pub(crate) fn to_raw(self) -> Result<u64> {
        let record = MftRecordNumber::new(self.record.0)?;
        Ok(record.0 | (u64::from(self.sequence) << RECORD_BITS))
    }

    /// True if a record with `sequence` is the one that was meant. A reference with sequence number 0 does not
    /// check (libfsntfs, "File reference").
    pub(crate) fn matches(self, sequence: u16) -> bool {
        self.sequence == 0 || self.sequence == sequence
    }
}

/// The sizes of a volume. All are powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// A sector: 512 to 4096 bytes.
    pub(crate) sector_size_bytes: u32,
    /// A cluster: one sector to 2 MiB.
    pub(crate) cluster_size_bytes: u32,
    /// An MFT record: 1024 to 4096 bytes.
    pub(crate) record_size_bytes: u32,
    /// An index record of a directory: 512 bytes to 64 KiB.
    pub(crate) index_record_size_bytes: u32,
    /// Whole clusters of the volume: the valid [`Lcn`]s are below.
    pub(crate) total_clusters: u64,
}

impl Geometry {
    /// A cluster in bytes.
    pub(crate) fn cluster_size(&self) -> u64 {
        u64::from(self.cluster_size_bytes)
    }

    /// An MFT record in bytes.
    pub(crate) fn record_size(&self) -> u64 {
        u64::from(self.record_size_bytes)
    }

    /// An MFT record in bytes, as a length in memory.
    pub(crate) fn record_len(&self) -> Result<usize> {
        Ok(to(self.record_size_bytes)?)
    }

    /// Clusters that `bytes` need.
    pub(crate) fn clusters_for(&self, bytes: u64) -> Result<u64> {
        Ok(div_ceil(bytes, self.cluster_size())?)
    }
}

impl fmt::Display for Lcn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {}", self.0)
    }
}

impl fmt::Display for MftRecordNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MFT record {}", self.0)
    }
}

impl fmt::Display for FileReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (sequence {})", self.record, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_both_numbers() {
        for (raw, record, sequence) in [
            (0, 0, 0),
            (0x0005_0000_0000_0005, 5, 5),
            (u64::MAX, (1 << 48) - 1, u16::MAX),
            (0x0001_8000_0000_0000, 0x8000_0000_0000, 1),
        ] {
            let reference = FileReference::from_raw(raw);
            assert_eq!((reference.record.0, reference.sequence), (record, sequence));
            assert_eq!(reference.to_raw().unwrap(), raw);
        }
        let large = FileReference { record: MftRecordNumber(1 << 48), sequence: 0 };
        assert!(large.to_raw().is_err());
    }
}
