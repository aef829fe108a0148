//! What a patch says about the edit that it holds.

use super::Session;
use super::lower::DiskChanges;
use crate::action::{FileChange, Plan};
use crate::bytes::arith;
use crate::disk::joined;
use crate::disk::overlay::Change;
use crate::error::Result;
use crate::patch::{self, FileNote, PartIdentity, TargetIdentity, VolumeIdentity};
use crate::volume::place::DiskIndex;
use std::collections::BTreeMap;

impl Session {
    /// The files that `plan` edits in the tree of the volume at `index`.
    pub(super) fn notes(&self, index: usize, plan: &Plan) -> Result<Vec<FileNote>> {
        let note = |change: &FileChange| {
            let volume = self.volume_at(self.locate(index, change.path())?.volume)?;
            Ok(FileNote {
                volume: volume.volume.id.clone(),
                path: change.path().to_string(),
                action: change.action_name().to_owned(),
                detail: change.detail().to_owned(),
            })
        };
        let mut notes: Vec<FileNote> = plan.changes.iter().map(note).collect::<Result<_>>()?;
        // Pieces of one file that change for the same reason share a note.
        notes.dedup();
        Ok(notes)
    }

    /// What an edit of the volumes `edited` is for, and its `changes` as those of one disk.
    pub(super) fn identify(
        &self,
        edited: &[usize],
        mut changes: Vec<DiskChanges>,
    ) -> Result<(TargetIdentity, Vec<Change>)> {
        let base_of = self.bases(&changes)?;
        let volumes = edited.iter().map(|&index| self.volume_identity(index, &base_of));
        let volumes = volumes.collect::<Result<_>>()?;
        if changes.len() > 1 {
            let part = |(disk, changes)| Ok((self.part_identity(disk)?, changes));
            let disks = changes.into_iter().map(part).collect::<Result<_>>()?;
            let (identity, joined) = patch::parts::join(disks)?;
            return Ok((TargetIdentity { volumes, ..identity }, joined));
        }
        // A plan that changes no byte is about the target.
        let (disk, changes) = changes.pop().unwrap_or((DiskIndex(0), Vec::new()));
        let PartIdentity { size_bytes, sector_size_bytes, table_guid, .. } =
            self.part_identity(disk)?;
        let parts = Vec::new();
        let identity = TargetIdentity { size_bytes, sector_size_bytes, table_guid, volumes, parts };
        Ok((identity, changes))
    }

    /// Where each changed disk starts in the patch.
    fn bases(&self, changes: &[DiskChanges]) -> Result<BTreeMap<DiskIndex, u64>> {
        let disks: Vec<DiskIndex> = changes.iter().map(|(disk, _)| *disk).collect();
        let len_bytes = |disk: &DiskIndex| Ok(self.disk(*disk)?.image.disk.len_bytes());
        let lens = disks.iter().map(len_bytes).collect::<Result<Vec<u64>>>()?;
        let ranges = joined::ranges(lens)?;
        Ok(disks.into_iter().zip(ranges.into_iter().map(|range| range.start)).collect())
    }

    fn part_identity(&self, disk: DiskIndex) -> Result<PartIdentity> {
        let found = self.disk(disk)?;
        Ok(PartIdentity {
            name: found.name(),
            size_bytes: found.image.disk.len_bytes(),
            sector_size_bytes: found.image.disk.sector_size_bytes(),
            table_guid: found.layout.table_guid.map(|guid| guid.to_string()),
        })
    }

    fn volume_identity(
        &self,
        index: usize,
        base_of: &BTreeMap<DiskIndex, u64>,
    ) -> Result<VolumeIdentity> {
        let volume = self.volume_at(index)?;
        let probe = volume.probe.as_ref();
        let uuid = probe.map(|probe| probe.uuid.clone()).filter(|uuid| !uuid.is_empty());
        let start = |(disk, offset_bytes)| {
            base_of.get(&disk).and_then(|base| arith::add(*base, offset_bytes).ok())
        };
        Ok(VolumeIdentity {
            id: volume.volume.id.clone(),
            offset_bytes: volume.place.start().and_then(start).unwrap_or(0),
            file_system: probe.map_or("", |probe| probe.kind.type_name()).to_owned(),
            uuid,
        })
    }
}
