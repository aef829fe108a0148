//! The boot sector, and access to clusters.
//!
//! Format: libyal, "New Technologies File System (NTFS)", section "The volume header".

use super::bytes::{slice, u16_at, u64_at};

/// Something that may be wrong, in words.
pub(super) type Found<T> = Result<T, String>;

/// Where what lies.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    /// Bytes of a sector.
    pub(super) sector_bytes: u64,
    /// Bytes of a cluster.
    pub(super) cluster_bytes: u64,
    /// Whole clusters of the volume.
    pub(super) cluster_count: u64,
    /// Sectors of the volume, without the backup of the boot sector.
    pub(super) sector_count: u64,
    /// Bytes of a record of the MFT.
    pub(super) record_bytes: usize,
    /// Bytes of an index block of a directory.
    pub(super) index_bytes: usize,
    /// First cluster of the MFT.
    pub(super) mft_lcn: u64,
    /// First cluster of its mirror.
    pub(super) mirror_lcn: u64,
}

/// A whole volume in memory.
#[derive(Debug)]
pub(super) struct Volume<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) geometry: Geometry,
}

impl Geometry {
    /// Reads a boot sector.
    pub(super) fn parse(boot: &[u8]) -> Found<Self> {
        let short = || "boot sector: too short".to_owned();
        if slice(boot, 3, 8).ok_or_else(short)? != b"NTFS    " {
            return Err("boot sector: not the signature of NTFS".to_owned());
        }
        let sector_bytes = u64::from(u16_at(boot, 11).ok_or_else(short)?);
        if !sector_bytes.is_power_of_two() || !(256..=4096).contains(&sector_bytes) {
            return Err(format!("boot sector: sectors of {sector_bytes} bytes"));
        }
        let cluster_sectors = match boot[13] {
            count @ 1..=128 if count.is_power_of_two() => u64::from(count),
            shift @ 0xf4..=0xff => 1 << (256 - u32::from(shift)),
            other => return Err(format!("boot sector: {other} sectors in a cluster")),
        };
        let cluster_bytes = sector_bytes * cluster_sectors;
        let sector_count = u64_at(boot, 40).ok_or_else(short)?;
        let geometry = Self {
            sector_bytes,
            cluster_bytes,
            cluster_count: sector_count / cluster_sectors,
            sector_count,
            record_bytes: size(boot[64], cluster_bytes)?,
            index_bytes: size(boot[68], cluster_bytes)?,
            mft_lcn: u64_at(boot, 48).ok_or_else(short)?,
            mirror_lcn: u64_at(boot, 56).ok_or_else(short)?,
        };
        if sector_count > 1 << 40 || geometry.cluster_count == 0 {
            return Err(format!("boot sector: {sector_count} sectors"));
        }
        if geometry.mft_lcn == geometry.mirror_lcn {
            return Err("boot sector: the MFT is its own mirror".to_owned());
        }
        Ok(geometry)
    }
}

/// Clusters if positive, else the negative logarithm of bytes.
fn size(raw: u8, cluster_bytes: u64) -> Found<usize> {
    let bytes = match raw {
        0x01..=0x7f => u64::from(raw) * cluster_bytes,
        0xe8..=0xf7 => 1 << (256 - u32::from(raw)),
        _ => 0,
    };
    let is_good = bytes.is_power_of_two() && (512..=1 << 24).contains(&bytes);
    if is_good { Ok(bytes as usize) } else { Err(format!("boot sector: a size of {raw:#x}")) }
}

impl<'a> Volume<'a> {
    /// Reads the boot sector of a volume and compares it with its backup.
    pub(super) fn open(bytes: &'a [u8], findings: &mut Vec<String>) -> Found<Self> {
        let geometry = Geometry::parse(bytes)?;
        if slice(bytes, 510, 2) != Some(&[0x55, 0xaa]) {
            findings.push("boot sector: no mark at its end".to_owned());
        }
        let sector = geometry.sector_bytes as usize;
        let backup = (geometry.sector_count * geometry.sector_bytes) as usize;
        match slice(bytes, backup, sector) {
            None => findings.push("boot sector: the volume is longer than the disk".to_owned()),
            Some(backup) if backup != &bytes[..sector] => {
                findings.push("boot sector: the backup differs".to_owned());
            }
            Some(_) => {}
        }
        Ok(Self { bytes, geometry })
    }

    /// The bytes of `count` clusters from `lcn`.
    pub(super) fn clusters(&self, lcn: u64, count: u64) -> Found<&'a [u8]> {
        let cluster = self.geometry.cluster_bytes;
        let range = lcn.checked_mul(cluster).zip(count.checked_mul(cluster));
        let bytes = range.and_then(|(at, len)| slice(self.bytes, at as usize, len as usize));
        bytes.ok_or_else(|| format!("clusters {lcn}+{count} are outside the disk"))
    }
}

/// Undoes the fix-ups of a record or index block.
pub(super) fn fix_up(raw: &[u8], magic: [u8; 4]) -> Found<Vec<u8>> {
    check_fix_up(raw, magic)?;
    let mut bytes = raw.to_vec();
    let (at, sectors) = size_of_fix_ups(raw);
    for sector in 0..sectors {
        let tail = sector * 512 + 510;
        let saved = at + 2 + sector * 2;
        bytes[tail] = raw[saved];
        bytes[tail + 1] = raw[saved + 1];
    }
    Ok(bytes)
}

/// Where the fix-ups of a block start, and how many strides of 512 bytes it has.
pub(super) fn size_of_fix_ups(raw: &[u8]) -> (usize, usize) {
    (usize::from(u16_at(raw, 4).unwrap_or(0)), raw.len() / 512)
}

/// All strides have the number of the update.
pub(super) fn check_fix_up(raw: &[u8], magic: [u8; 4]) -> Found<()> {
    let start = slice(raw, 0, 8).ok_or("too short")?;
    if start[..4] != magic {
        return Err(format!("starts with {:?}", String::from_utf8_lossy(&start[..4])));
    }
    let (at, sectors) = size_of_fix_ups(raw);
    let count = usize::from(u16_at(raw, 6).unwrap_or(0));
    if at % 2 != 0 || at < 0x28 || at + 2 * (sectors + 1) > 510 || count != sectors + 1 {
        return Err(format!("{count} fix-ups at {at:#x}"));
    }
    let number = u16_at(raw, at);
    if number == Some(0) {
        return Err("fix-up number 0".to_owned());
    }
    match (0..sectors).find(|sector| u16_at(raw, sector * 512 + 510) != number) {
        Some(sector) => Err(format!("stride {sector} was not written with the others")),
        None => Ok(()),
    }
}
