//! LVM2: physical volumes, the volume groups that they form, and logical volumes as disks.
//!
//! The [label] of a physical volume leads to its [metadata areas](metadata_area), whose
//! [text] describes the whole group; of several texts the one with the highest sequence number counts.
//! Groups are told apart by their UUIDs, never by their names (VOL-16). Logical volumes whose segments are linear or
//! striped are disks; everything else is named and left alone: [`Unmapped`] says why a volume cannot be read, and
//! [`LogicalVolume::obstacle`] why it must not be written.
//!
//! ```text
//! read (each disk) -> PhysicalVolume -> assemble -> VolumeGroup -> Mapping -> LogicalDisk
//! ```
//!
//! LVM's own structures are never written: none of them changes when the content of a logical volume does.
//! Not handled: LVM1, thin and VDO volumes, caches, RAID and mirrors, snapshots, PVs inside LVs.

mod assemble;
mod defect;
mod group;
mod label;
mod logical_disk;
mod mapping;
mod metadata;
mod metadata_area;
mod obstacle;
mod overlap;
mod segment;
mod segment_metadata;
#[cfg(test)]
mod tests;
mod text;
mod uuid;

pub use assemble::assemble;
pub use defect::Defect;
pub use group::{LogicalVolume, Unmapped, VolumeGroup};
pub use logical_disk::LogicalDisk;
pub use mapping::Mapping;
pub use text::TEXT_BYTES_MAX;
pub use uuid::LvmUuid;

use crate::disk::Disk;
use crate::error::{Corrupt, Error, ErrorKind, Result};
use label::Area;
use metadata::Metadata;
use std::sync::Arc;

/// What every checksum of LVM2 starts from.
const CRC_SEED: u32 = 0xf597_a6cf;

/// A disk that belongs to LVM, and what it says about its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhysicalVolume {
    uuid: LvmUuid,
    len_bytes: u64,
    areas: Vec<Area>,
    /// The newest text in its metadata areas.
    metadata: Option<Arc<Metadata>>,
    damage: Vec<String>,
}

impl PhysicalVolume {
    /// Its identifier.
    pub fn uuid(&self) -> LvmUuid {
        self.uuid
    }

    /// The identifier and the name (unescaped) of the group in its own metadata. A physical volume may have none:
    /// then those of another one tell.
    pub fn group(&self) -> Option<(LvmUuid, &[u8])> {
        self.metadata.as_ref().map(|metadata| (metadata.uuid, metadata.name.as_slice()))
    }

    /// What is wrong with its metadata areas: sentences for people, safe to print. A logical volume of its group
    /// is then not written, because newer metadata may have been in the area that is damaged.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }
}

/// Reads the label and the metadata of a physical volume. Damaged metadata areas are no error, see
/// [`PhysicalVolume::damage`].
///
/// # Errors
/// * `NotFound` - there is no label of LVM2.
/// * `Corrupt` - the label is damaged, or its metadata areas contradict each other.
/// * `Io`.
pub fn read(disk: &dyn Disk) -> Result<PhysicalVolume> {
    let label = label::read(disk)?;
    let label = label.ok_or_else(|| Error::not_found("no label of an LVM physical volume"))?;
    let mut volume = PhysicalVolume {
        uuid: label.uuid,
        len_bytes: disk.len_bytes(),
        areas: label.metadata_areas,
        metadata: None,
        damage: Vec::new(),
    };
    for area in volume.areas.clone() {
        match read_area(disk, area) {
            Ok(Some(metadata)) => volume.keep_newest(metadata)?,
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => return Err(error),
            Err(error) => volume.damage.push(error.to_string()),
        }
    }
    Ok(volume)
}

impl PhysicalVolume {
    fn keep_newest(&mut self, found: Metadata) -> Result<()> {
        match &self.metadata {
            Some(kept) if kept.uuid == found.uuid && kept.seqno != found.seqno => {
                let (kept_seqno, seqno) = (kept.seqno, found.seqno);
                self.damage.push(format!(
                    "one metadata area has sequence number {}, another one {}",
                    kept_seqno.min(seqno),
                    kept_seqno.max(seqno)
                ));
                if kept_seqno < seqno {
                    self.metadata = Some(Arc::new(found));
                }
                Ok(())
            }
            Some(kept) if **kept != found => {
                let defect = Defect::Contradiction { uuid: kept.uuid, seqno: kept.seqno };
                Err(Corrupt::new("metadata areas", defect).into())
            }
            Some(_) => Ok(()),
            None => {
                self.metadata = Some(Arc::new(found));
                Ok(())
            }
        }
    }
}

fn read_area(disk: &dyn Disk, area: Area) -> Result<Option<Metadata>> {
    let Some(text) = metadata_area::read(disk, area)? else {
        return Ok(None);
    };
    let at = |defect| Corrupt::new("metadata text", defect).at(area.start_bytes);
    let file = text::parse(&text).map_err(at)?;
    Ok(Some(Metadata::new(&file).map_err(at)?))
}

/// Parses `text` as metadata of a group, for the fuzzer.
#[doc(hidden)]
pub fn is_metadata(text: &[u8]) -> bool {
    text::parse(text).and_then(|file| Metadata::new(&file)).is_ok()
}
