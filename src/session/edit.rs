//! An edit as one transaction in memory: run the plan, verify the result twice, hand out the patch.

use super::{OpenVolume, Session, clock, expect};
use crate::action::{self, FileChange, Plan};
use crate::error::{Context as _, Error, Result};
use crate::fs::known::Fresh;
use crate::fs::verify::Verdict;
use crate::fs::{FileSystem, Timestamp};
use crate::patch::{Description, FileNote, Patch, TargetIdentity, VolumeIdentity};

/// A further look at an edited file system, which may refuse the edit.
pub type After<'a> = &'a mut dyn FnMut(&dyn FileSystem) -> Result<()>;

/// A finished edit.
#[derive(Debug)]
pub struct Edit {
    /// The bytes.
    pub patch: Patch,
    /// The reader that agrees with it.
    pub verdict: Verdict,
}

impl Session {
    /// Carries out `plan` on the overlay of the volume at `index`, verifies the result, and gives the patch.
    /// The volume is closed then, because its changes are in the patch and nowhere else.
    ///
    /// # Errors
    /// As [`FileEdit`](crate::fs::FileEdit); `Refused` with
    /// [`NotVerified`](crate::error::Refusal::NotVerified) if a reader disagrees.
    /// The overlay is then as before.
    pub fn edit(
        &mut self,
        index: usize,
        plan: &Plan,
        command: &str,
        time: Timestamp,
    ) -> Result<Edit> {
        self.edit_checked(index, plan, command, time, &mut |_| Ok(()))
    }

    /// As [`Session::edit`]; the edited file system, freshly opened, must also pass `after`.
    ///
    /// # Errors
    /// As [`Session::edit`], and those of `after`.
    pub fn edit_checked(
        &mut self,
        index: usize,
        plan: &Plan,
        command: &str,
        time: Timestamp,
        after: After<'_>,
    ) -> Result<Edit> {
        let layer = format!("{}: {}", self.target_name(), self.volume_at(index)?.describe());
        let volume =
            self.volumes.get_mut(index).ok_or_else(|| Error::not_found("no such volume"))?;
        let super::Content::Open(open) = &mut volume.content else {
            return Err(Error::not_found("the volume is not open"));
        };
        let savepoint = open.overlay.savepoint();
        let verdict = match run_and_verify(open, plan, time, after) {
            Ok(verdict) => {
                drop(savepoint);
                verdict
            }
            Err(error) => {
                open.overlay.roll_back(savepoint);
                return Err(error).context(|| layer);
            }
        };
        let changes = open.overlay.take_changes();
        volume.content = super::Content::Unknown;
        let changes = changes.context(|| layer)?;
        let description = self.description(index, plan, command, time)?;
        Ok(Edit { patch: Patch::new(description, changes)?, verdict })
    }

    fn description(
        &self,
        index: usize,
        plan: &Plan,
        command: &str,
        time: Timestamp,
    ) -> Result<Description> {
        let volume = self.volume_at(index)?;
        let id = volume.volume.id.clone();
        let note = |change: &FileChange| FileNote {
            volume: id.clone(),
            path: change.path().to_string(),
            action: change.action_name().to_owned(),
            detail: change.detail().to_owned(),
        };
        // Pieces of one file that change for the same reason share a note.
        let mut files: Vec<FileNote> = plan.changes.iter().map(note).collect();
        files.dedup();
        let probe = volume.probe.as_ref();
        let uuid = probe.map(|probe| probe.uuid.clone()).filter(|uuid| !uuid.is_empty());
        Ok(Description {
            regain_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: clock::utc(time),
            command: command.to_owned(),
            identity: TargetIdentity {
                size_bytes: self.image.disk.len_bytes(),
                sector_size_bytes: self.image.disk.sector_size_bytes(),
                table_guid: self.layout.table_guid.map(|guid| guid.to_string()),
                volumes: vec![VolumeIdentity {
                    id: id.clone(),
                    offset_bytes: volume.volume.offset_bytes,
                    file_system: probe.map_or("", |probe| probe.kind.type_name()).to_owned(),
                    uuid,
                }],
            },
            files,
        })
    }
}

fn run_and_verify(
    open: &mut OpenVolume,
    plan: &Plan,
    time: Timestamp,
    after: After<'_>,
) -> Result<Verdict> {
    open.fs.check_writable()?;
    let promised = action::edit::expectations(plan, open.file_system())?;
    let questions = expect::questions(&promised, open.file_system())?;
    action::edit::run(plan, open.fs.as_mut())?;
    open.fs.finish()?;
    // A fresh look: nothing that the editor remembers can hide what it wrote.
    let fresh = Fresh::open(open.kind, open.window.clone(), &open.devices, time)?;
    expect::check_xattrs(&promised, fresh.file_system())?;
    after(fresh.file_system())?;
    fresh.verify(&open.window.inside(&open.overlay.written()), &questions)
}
