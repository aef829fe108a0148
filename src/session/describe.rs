//! What a patch says about the edit that it holds.

use super::Session;
use crate::action::{FileChange, Plan};
use crate::error::{Error, Result};
use crate::patch::{FileNote, TargetIdentity, VolumeIdentity};
use crate::volume::place::DiskIndex;

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

    /// What identifies the `disks` that an edit of the volumes `edited` changes.
    pub(super) fn identity(&self, edited: &[usize], disks: &[DiskIndex]) -> Result<TargetIdentity> {
        let disk = match disks {
            // A plan that changes no byte is about the target.
            [] => DiskIndex(0),
            [disk] => *disk,
            _ => return Err(Error::unsupported("an edit that changes several disks")),
        };
        let found = self.disk(disk)?;
        let mut volumes = Vec::new();
        for &index in edited {
            let volume = self.volume_at(index)?;
            let probe = volume.probe.as_ref();
            let uuid = probe.map(|probe| probe.uuid.clone()).filter(|uuid| !uuid.is_empty());
            volumes.push(VolumeIdentity {
                id: volume.volume.id.clone(),
                offset_bytes: volume.place.start().map_or(0, |(_, offset_bytes)| offset_bytes),
                file_system: probe.map_or("", |probe| probe.kind.type_name()).to_owned(),
                uuid,
            });
        }
        Ok(TargetIdentity {
            size_bytes: found.image.disk.len_bytes(),
            sector_size_bytes: found.image.disk.sector_size_bytes(),
            table_guid: found.layout.table_guid.map(|guid| guid.to_string()),
            volumes,
        })
    }
}
