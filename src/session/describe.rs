//! What a patch says about the edit that it holds.

use super::tree::{self, Mount};
use super::{Session, clock};
use crate::action::{FileChange, Plan};
use crate::error::{Error, Result};
use crate::fs::Timestamp;
use crate::patch::{Description, FileNote, TargetIdentity, VolumeIdentity};
use crate::volume::place::DiskIndex;

/// An edit that was made.
pub(super) struct Made<'a> {
    /// The volume of the system.
    pub(super) index: usize,
    /// The volumes of its tree.
    pub(super) parts: &'a [Mount],
    /// Those that were edited.
    pub(super) edited: &'a [usize],
    pub(super) plan: &'a Plan,
    pub(super) command: &'a str,
    pub(super) time: Timestamp,
}

impl Session {
    /// Describes the edit and the `disks` that it changes.
    pub(super) fn describe_edit(
        &self,
        made: &Made<'_>,
        disks: &[DiskIndex],
    ) -> Result<Description> {
        Ok(Description {
            regain_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: clock::utc(made.time),
            command: made.command.to_owned(),
            identity: self.identity(made.edited, disks)?,
            files: self.notes(made)?,
        })
    }

    fn notes(&self, made: &Made<'_>) -> Result<Vec<FileNote>> {
        let note = |change: &FileChange| {
            let part = tree::part_of(made.parts, change.path());
            let part = part.and_then(|(number, _)| made.parts.get(number));
            let volume = self.volume_at(part.map_or(made.index, |part| part.volume))?;
            Ok(FileNote {
                volume: volume.volume.id.clone(),
                path: change.path().to_string(),
                action: change.action_name().to_owned(),
                detail: change.detail().to_owned(),
            })
        };
        let mut notes: Vec<FileNote> = made.plan.changes.iter().map(note).collect::<Result<_>>()?;
        // Pieces of one file that change for the same reason share a note.
        notes.dedup();
        Ok(notes)
    }

    fn identity(&self, edited: &[usize], disks: &[DiskIndex]) -> Result<TargetIdentity> {
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
