//! The boot sector: sizes and where the MFT starts.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", section "Volume header"; linux-ntfs
//! documentation, "$Boot". A copy lies in the sector behind the last one that the volume counts; it is never read
//! here, and no edit touches either. The boot code is not looked at.

use super::units::{Geometry, Lcn};
use crate::bytes::arith::{OutOfRange, div, mul, pow2, to};
use crate::bytes::field::{self, Short, le_u16, le_u64, u8_at};
use crate::error::{Corrupt, Result};
use std::ops::RangeInclusive;

/// Bytes of the boot sector that are read.
pub(crate) const BOOT_BYTES: usize = 512;
const SIGNATURE: &[u8; 8] = b"NTFS    ";
const SECTOR_BYTES: RangeInclusive<u64> = 512..=4096;
/// Windows 10 makes clusters up to this size.
const CLUSTER_BYTES_MAX: u64 = 2 << 20;
/// Largest number of sectors per cluster that stands in the byte as it is.
const SECTORS_PER_CLUSTER_PLAIN_MAX: u8 = 0x80;
const RECORD_BYTES: RangeInclusive<u64> = 1024..=4096;
const INDEX_RECORD_BYTES: RangeInclusive<u64> = 512..=65536;
/// Clusters are counted by signed numbers of 64 bits in run lists; 2^32 - 1 is the documented limit of Windows, so
/// this leaves room.
const CLUSTERS_MAX: u64 = 1 << 40;

/// What can be wrong with a boot sector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BootDefect {
    #[error("has no \"NTFS\" signature")]
    Signature,
    #[error("{what} of {bytes} bytes is not supported by the format")]
    Size { what: &'static str, bytes: u64 },
    #[error("{what}: size code {code:#04x} makes no sense")]
    Code { what: &'static str, code: u8 },
    #[error("{sectors} sectors make {clusters} clusters")]
    Clusters { sectors: u64, clusters: u64 },
    #[error("volume of {volume_bytes} bytes does not fit a disk of {disk_bytes}")]
    LargerThanDisk { volume_bytes: u64, disk_bytes: u64 },
    #[error("{what} at cluster {lcn} does not lie on the volume of {clusters} clusters")]
    Place { what: &'static str, lcn: u64, clusters: u64 },
    #[error(transparent)]
    Short(#[from] Short),
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

/// The boot sector, little-endian.
///
/// | offset | size | field | here | valid when |
/// |-------:|-----:|-------|------|------------|
/// | 0x03 | 8 | OEM name | (checked) | `NTFS` and four spaces (WIN-16) |
/// | 0x0b | 2 | bytes per sector | geometry | power of two, 512 to 4096 |
/// | 0x0d | 1 | sectors per cluster | geometry | power of two up to 0x80, or 0x100 minus the exponent; cluster up to 2 MiB |
/// | 0x28 | 8 | total sectors | sectors | without the backup boot sector; fits the disk |
/// | 0x30 | 8 | cluster of $MFT | mft | on the volume |
/// | 0x38 | 8 | cluster of $MFTMirr | mft_mirror | on the volume |
/// | 0x40 | 1 | clusters per MFT record | geometry | signed: clusters, or minus the exponent of bytes; 1024 to 4096 bytes (WIN-105) |
/// | 0x44 | 1 | clusters per index record | geometry | as above; 512 bytes to 64 KiB |
/// | 0x48 | 8 | serial number | serial | any |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootSector {
    pub(crate) geometry: Geometry,
    /// Sectors of the volume, without the one that holds the backup boot sector.
    pub(crate) sectors: u64,
    /// Where the MFT starts.
    pub(crate) mft: Lcn,
    /// Where the copy of the first records starts.
    pub(crate) mft_mirror: Lcn,
    pub(crate) serial: u64,
}

impl BootSector {
    /// Parses the first [`BOOT_BYTES`] of a volume of `disk_bytes`.
    ///
    /// # Errors
    /// `Corrupt` if a field makes no sense.
    pub(crate) fn parse(sector: &[u8], disk_bytes: u64) -> Result<Self> {
        parse(sector, disk_bytes).map_err(|defect| Corrupt::new("boot sector", defect).at(0).into())
    }
}

fn parse(sector: &[u8], disk_bytes: u64) -> Result<BootSector, BootDefect> {
    if field::slice(sector, 3, SIGNATURE.len())? != SIGNATURE {
        return Err(BootDefect::Signature);
    }
    let sector_bytes = u64::from(le_u16(sector, 0x0b)?);
    if !sector_bytes.is_power_of_two() || !SECTOR_BYTES.contains(&sector_bytes) {
        return Err(BootDefect::Size { what: "sector", bytes: sector_bytes });
    }
    let cluster_bytes = cluster_bytes(sector_bytes, u8_at(sector, 0x0d)?)?;
    let record_code = u8_at(sector, 0x40)?;
    let record_bytes = coded_bytes("MFT record", record_code, cluster_bytes, &RECORD_BYTES)?;
    let index_code = u8_at(sector, 0x44)?;
    let index_bytes = coded_bytes("index record", index_code, cluster_bytes, &INDEX_RECORD_BYTES)?;

    let sectors = le_u64(sector, 0x28)?;
    let volume_bytes = sectors.saturating_mul(sector_bytes);
    let clusters = div(volume_bytes, cluster_bytes)?;
    if clusters == 0 || clusters > CLUSTERS_MAX {
        return Err(BootDefect::Clusters { sectors, clusters });
    }
    if volume_bytes > disk_bytes {
        return Err(BootDefect::LargerThanDisk { volume_bytes, disk_bytes });
    }
    let (mft, mft_mirror) = (le_u64(sector, 0x30)?, le_u64(sector, 0x38)?);
    for (what, lcn) in [("$MFT", mft), ("$MFTMirr", mft_mirror)] {
        if lcn >= clusters {
            return Err(BootDefect::Place { what, lcn, clusters });
        }
    }
    let geometry = Geometry {
        sector_size_bytes: to(sector_bytes)?,
        cluster_size_bytes: to(cluster_bytes)?,
        record_size_bytes: to(record_bytes)?,
        index_record_size_bytes: to(index_bytes)?,
        total_clusters: clusters,
    };
    let serial = le_u64(sector, 0x48)?;
    Ok(BootSector { geometry, sectors, mft: Lcn(mft), mft_mirror: Lcn(mft_mirror), serial })
}

/// Cluster size. Up to 0x80 the byte is the number of sectors; above, it is 0x100 minus the exponent of that
/// number (as observed from mkntfs: 0xf4 is 4096 sectors, a cluster of 2 MiB).
fn cluster_bytes(sector_bytes: u64, code: u8) -> Result<u64, BootDefect> {
    let sectors = if code <= SECTORS_PER_CLUSTER_PLAIN_MAX {
        u64::from(code)
    } else {
        negated_exponent("cluster", code)?
    };
    let bytes = sectors.saturating_mul(sector_bytes);
    if !sectors.is_power_of_two() || bytes > CLUSTER_BYTES_MAX {
        return Err(BootDefect::Size { what: "cluster", bytes });
    }
    Ok(bytes)
}

/// Size of a record: clusters if the code is positive, else 2 to the negated code in bytes.
fn coded_bytes(
    what: &'static str,
    code: u8,
    cluster_bytes: u64,
    allowed: &RangeInclusive<u64>,
) -> Result<u64, BootDefect> {
    let bytes = if code < 0x80 {
        mul(u64::from(code), cluster_bytes)?
    } else {
        negated_exponent(what, code)?
    };
    if !bytes.is_power_of_two() || !allowed.contains(&bytes) {
        return Err(BootDefect::Size { what, bytes });
    }
    Ok(bytes)
}

fn negated_exponent(what: &'static str, code: u8) -> Result<u64, BootDefect> {
    pow2(u32::from(code.wrapping_neg())).map_err(|_| BootDefect::Code { what, code })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::field::{put, put_le_u16, put_le_u64};

    const DISK_BYTES: u64 = 64 << 20;

    /// The boot sector that mkntfs writes for 64 MiB with clusters of 4096 bytes.
    fn sector() -> Vec<u8> {
        let mut sector = vec![0; BOOT_BYTES];
        put(&mut sector, 3, SIGNATURE).unwrap();
        put_le_u16(&mut sector, 0x0b, 512).unwrap();
        sector[0x0d] = 8;
        put_le_u64(&mut sector, 0x28, 0x1_ffff).unwrap();
        put_le_u64(&mut sector, 0x30, 4).unwrap();
        put_le_u64(&mut sector, 0x38, 0x1fff - 1).unwrap();
        sector[0x40] = 0xf6;
        sector[0x44] = 1;
        put_le_u64(&mut sector, 0x48, 0x6a4b_1564_780d_a8bc).unwrap();
        sector
    }

    #[test]
    fn a_usual_boot_sector_is_read() {
        let boot = BootSector::parse(&sector(), DISK_BYTES).unwrap();
        assert_eq!(boot.geometry.cluster_size_bytes, 4096);
        assert_eq!(boot.geometry.record_size_bytes, 1024);
        assert_eq!(boot.geometry.index_record_size_bytes, 4096);
        assert_eq!(boot.geometry.total_clusters, 0x3fff);
        assert_eq!((boot.mft, boot.mft_mirror), (Lcn(4), Lcn(0x1ffe)));
        assert_eq!(boot.serial, 0x6a4b_1564_780d_a8bc);
    }

    /// WIN-105: sizes by signed codes; clusters from 512 bytes to 2 MiB.
    #[test]
    fn sizes_are_decoded() {
        for (sector_bytes, cluster, record, index, expected) in [
            (512, 0x01, 2, 8, (512, 1024, 4096)),
            (512, 0x08, 0xf6, 1, (4096, 1024, 4096)),
            (512, 0x80, 0xf6, 0xf4, (65536, 1024, 4096)),
            (512, 0xf8, 0xf6, 0xf4, (131_072, 1024, 4096)),
            (512, 0xf4, 0xf6, 0xf4, (2 << 20, 1024, 4096)),
            (4096, 0x01, 1, 1, (4096, 4096, 4096)),
            (4096, 0x10, 0xf4, 0xf4, (65536, 4096, 4096)),
        ] {
            let mut bytes = sector();
            put_le_u16(&mut bytes, 0x0b, sector_bytes).unwrap();
            put_le_u64(&mut bytes, 0x28, DISK_BYTES / u64::from(sector_bytes) - 1).unwrap();
            put_le_u64(&mut bytes, 0x38, 2).unwrap();
            (bytes[0x0d], bytes[0x40], bytes[0x44], bytes[0x30]) = (cluster, record, index, 1);
            let geometry = BootSector::parse(&bytes, DISK_BYTES).unwrap().geometry;
            let found = (
                geometry.cluster_size_bytes,
                geometry.record_size_bytes,
                geometry.index_record_size_bytes,
            );
            assert_eq!(found, expected, "codes {cluster:#x} {record:#x} {index:#x}");
        }
    }

    #[test]
    fn every_defect_is_named() {
        type Change = fn(&mut Vec<u8>);
        let cases: [(Change, BootDefect); 11] = [
            (|b| put(b, 3, b"-FVE-FS-").unwrap(), BootDefect::Signature),
            (
                |b| put_le_u16(b, 0x0b, 768).unwrap(),
                BootDefect::Size { what: "sector", bytes: 768 },
            ),
            (|b| b[0x0d] = 0, BootDefect::Size { what: "cluster", bytes: 0 }),
            (|b| b[0x0d] = 3, BootDefect::Size { what: "cluster", bytes: 1536 }),
            (|b| b[0x0d] = 0xf3, BootDefect::Size { what: "cluster", bytes: 4 << 20 }),
            (|b| b[0x0d] = 0x81, BootDefect::Code { what: "cluster", code: 0x81 }),
            (|b| b[0x40] = 0xf7, BootDefect::Size { what: "MFT record", bytes: 512 }),
            (|b| b[0x44] = 0x80, BootDefect::Code { what: "index record", code: 0x80 }),
            (|b| put_le_u64(b, 0x28, 7).unwrap(), BootDefect::Clusters { sectors: 7, clusters: 0 }),
            (
                |b| put_le_u64(b, 0x28, 0x2_0001).unwrap(),
                BootDefect::LargerThanDisk { volume_bytes: 0x2_0001 * 512, disk_bytes: DISK_BYTES },
            ),
            (
                |b| put_le_u64(b, 0x30, 0x3fff).unwrap(),
                BootDefect::Place { what: "$MFT", lcn: 0x3fff, clusters: 0x3fff },
            ),
        ];
        for (change, expected) in cases {
            let mut bytes = sector();
            change(&mut bytes);
            assert_eq!(parse(&bytes, DISK_BYTES), Err(expected));
        }
        assert!(BootSector::parse(&sector()[..70], DISK_BYTES).is_err(), "a short sector");
    }
}
