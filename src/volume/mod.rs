//! What a disk holds: the volumes named by its partition table, and what is made of them.
//!
//! [`lvm`] and [`luks`] each read the structures of their layer and lay a disk over other disks; a
//! [`Place`](place::Place) is the recipe for a volume over all of them.
//!
//! A GPT is preferred to an MBR, also to a hybrid one. A table is read and never written; its numbers are
//! checked against the disk before anything uses them (VOL-5), and numbers of partitions are those of the table,
//! with their holes (VOL-1). Type identifiers are labels for people and decide nothing (VOL-2).
//!
//! A disk without a table is no error: the caller tries [`fs::probe`](crate::fs::probe) on the whole disk
//! before it comes here, because a boot sector of a file system looks much like an MBR.
//!
//! Not handled: the Apple partition map, BSD disk labels, MBR tables with 4096-byte sectors in
//! image files (on a device of that sector size they are read).

mod gpt;
pub mod luks;
pub mod lvm;
mod mbr;
pub mod md;
pub mod place;
mod type_label;

#[cfg(test)]
mod tests;

use crate::bytes::guid::Uuid;
use crate::disk::Disk;
use crate::error::Result;
use std::collections::BTreeMap;

/// The volumes of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Which table was read.
    pub table: TableKind,
    /// The disk GUID of a GPT.
    pub table_guid: Option<Uuid>,
    /// The sector size that the table counts in, in bytes.
    pub sector_size_bytes: u32,
    /// The volumes inside the disk, by number.
    pub volumes: Vec<Volume>,
    /// What was wrong with the table without making it useless: sentences for people, safe to print.
    pub warnings: Vec<String>,
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// GUID partition table.
    Gpt,
    /// Master boot record.
    Mbr,
    /// No table.
    None,
}

impl TableKind {
    /// The name in JSON and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::None => "none",
        }
    }
}

/// One volume of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What the user calls it on the command line: the number, as text.
    pub id: String,
    /// Number of the table entry, from 1; logical partitions of an MBR from 5.
    pub number: u32,
    /// Where it starts on the disk.
    pub offset_bytes: u64,
    /// Its size; it ends inside the disk.
    pub size_bytes: u64,
    /// What the table says it is for, as in "EFI system".
    pub type_label: String,
    /// The partition name of a GPT as UTF-8 (broken UTF-16 is replaced by U+FFFD), unescaped.
    pub name: Vec<u8>,
    /// The unique GUID of a GPT partition.
    pub part_uuid: Option<Uuid>,
}

/// Reads the partition table of `disk`.
///
/// # Errors
/// * `Corrupt` - there is a table, but it is damaged beyond use, or nothing that it names lies on the disk.
/// * `Io`.
pub fn find(disk: &dyn Disk) -> Result<Layout> {
    let boot_record = mbr::read(disk)?;
    // An ordinary MBR without the protective entry means that a GPT on the same disk is a leftover.
    let has_only_mbr = boot_record.as_ref().is_some_and(|record| !record.is_protective());
    if !has_only_mbr && let Some(layout) = gpt::find(disk, boot_record.as_ref())? {
        return Ok(finish(layout));
    }
    match boot_record {
        Some(record) if record.has_partitions() => mbr::find(disk, &record).map(finish),
        _ => Ok(Layout {
            table: TableKind::None,
            table_guid: None,
            sector_size_bytes: disk.sector_size_bytes(),
            volumes: Vec::new(),
            warnings: Vec::new(),
        }),
    }
}

/// Sorts the volumes and warns of those that share bytes.
fn finish(mut layout: Layout) -> Layout {
    let mut by_offset: BTreeMap<(u64, u32), &Volume> = BTreeMap::new();
    for volume in &layout.volumes {
        by_offset.insert((volume.offset_bytes, volume.number), volume);
    }
    let mut reaching: Option<(u64, u32)> = None;
    for volume in by_offset.values() {
        let end = volume.offset_bytes.saturating_add(volume.size_bytes);
        match reaching {
            Some((other_end, other)) if other_end > volume.offset_bytes => {
                let (a, b) = (other.min(volume.number), other.max(volume.number));
                layout.warnings.push(format!("partitions {a} and {b} overlap"));
            }
            _ => {}
        }
        if reaching.is_none_or(|(other_end, _)| end > other_end) {
            reaching = Some((end, volume.number));
        }
    }
    layout.volumes.sort_by_key(|volume| volume.number);
    layout
}
