//! The label of a physical volume: where its metadata are.
//!
//! Sources: Red Hat, "Logical Volume Manager Administration", appendix "LVM Volume Group Metadata", section
//! "The Physical Volume Label"; offsets observed on volumes made by pvcreate 2.03 and printed by `pvck --dump headers`.
//!
//! A label is one of the first four 512-byte sectors of the volume. All little-endian.
//!
//! | offset | size | field                 | valid when                                           |
//! |-------:|-----:|-----------------------|------------------------------------------------------|
//! |      0 |    8 | magic                 | `LABELONE`                                           |
//! |      8 |    8 | sector number         | the sector that it stands in                         |
//! |     16 |    4 | checksum              | CRC-32 from 0xf597a6cf of bytes 20 to 511            |
//! |     20 |    4 | offset of the header  | at least 32, inside the sector                       |
//! |     24 |    8 | type                  | `LVM2 001`                                           |
//! |    +0  |   32 | UUID of the volume    | letters and digits                                   |
//! |    +32 |    8 | size of the device in bytes | any                                            |
//! |    +40 | 16 n | data areas: offset, size in bytes | ends with two zeros; size 0 is "the rest"  |
//! |        | 16 n | metadata areas: offset, size in bytes | ends with two zeros                    |
//!
//! What follows (version, flags, boot loader areas) is not needed.

use super::CRC_SEED;
use super::defect::Defect;
use super::uuid::LvmUuid;
use crate::bytes::arith::{add, mul, to};
use crate::bytes::checksum;
use crate::bytes::field::{self, le_u32, le_u64};
use crate::disk::Disk;
use crate::error::{Corrupt, Result};

/// Sectors in which a label may stand.
const LABEL_SECTORS: u64 = 4;

const SECTOR_BYTES: usize = 512;

/// Bound on the areas in a list; pvcreate makes 2 at most.
const AREAS_MAX: usize = 8;

/// Bytes at the start of a physical volume that belong to no logical volume.
pub(super) const LABELS_BYTES: u64 = 2048;

/// A part of a physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    /// Where it starts, in bytes.
    pub(super) start_bytes: u64,
    /// Its size in bytes.
    pub(super) size_bytes: u64,
}

/// What a label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) uuid: LvmUuid,
    pub(super) metadata_areas: Vec<Area>,
}

/// The first label in the first four sectors, `None` if there is none.
///
/// # Errors
/// `Corrupt` if the only labels are damaged; `Io`.
pub(super) fn read(disk: &dyn Disk) -> Result<Option<Label>> {
    let mut damage = None;
    for sector in 0..LABEL_SECTORS {
        let at = mul(sector, 512)?;
        if add(at, 512)? > disk.len_bytes() {
            break;
        }
        let bytes = disk.read_vec(at, SECTOR_BYTES)?;
        match parse(&bytes, sector) {
            Ok(None) => {}
            Ok(Some(label)) => return Ok(Some(label)),
            Err(defect) => damage = Some(Corrupt::new("label of a physical volume", defect).at(at)),
        }
    }
    damage.map_or(Ok(None), |corrupt| Err(corrupt.into()))
}

type Defective = Box<dyn std::error::Error + Send + Sync>;

fn parse(bytes: &[u8], sector: u64) -> Result<Option<Label>, Defective> {
    if !bytes.starts_with(b"LABELONE") || field::slice(bytes, 24, 8)? != b"LVM2 001" {
        return Ok(None);
    }
    let (stored, covered) = (le_u32(bytes, 16)?, bytes.get(20..).unwrap_or_default());
    let computed = checksum::crc32_raw(CRC_SEED, covered);
    if !checksum::agrees(stored, computed) {
        return Err(Defect::Checksum { stored, computed }.into());
    }
    let said = le_u64(bytes, 8)?;
    if said != sector {
        return Err(Defect::WrongSector { said, actual: sector }.into());
    }
    let header: usize = to(le_u32(bytes, 20)?.max(32))?;
    let uuid = LvmUuid::from_label(field::array(bytes, header)?).ok_or(Defect::BadUuid)?;
    let mut at = header.saturating_add(40);
    // The data areas: where the extents start is in the metadata of the group.
    areas(bytes, &mut at)?;
    let metadata_areas = areas(bytes, &mut at)?;
    Ok(Some(Label { uuid, metadata_areas }))
}

/// A list of areas, and `at` behind it.
fn areas(bytes: &[u8], at: &mut usize) -> Result<Vec<Area>, Defect> {
    let mut areas = Vec::new();
    loop {
        let start_bytes = le_u64(bytes, *at).map_err(|_| Defect::EndlessAreas)?;
        let size_bytes = le_u64(bytes, at.saturating_add(8)).map_err(|_| Defect::EndlessAreas)?;
        *at = at.saturating_add(16);
        if start_bytes == 0 && size_bytes == 0 {
            return Ok(areas);
        }
        if areas.len() >= AREAS_MAX {
            return Err(Defect::EndlessAreas);
        }
        areas.push(Area { start_bytes, size_bytes });
    }
}
