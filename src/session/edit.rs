//! An edit as one transaction in memory: run the plan, verify the result twice, hand out the patch.

use super::{Content, Session, clock, expect, lower};
use crate::action::{self, Plan};
use crate::bytes::arith::{self, len_u64};
use crate::disk::Disk;
use crate::disk::overlay::{Change, Overlay, Savepoint};
use crate::error::{Context as _, Error, Result};
use crate::fs::known::Fresh;
use crate::fs::mounted::Location;
use crate::fs::verify::{Expectation, Verdict};
use crate::fs::{FileSystem, Timestamp};
use crate::patch::{Description, Patch};
use crate::volume::place::{DiskIndex, Place};
use std::sync::Arc;

/// A further look at an edited file system, which may refuse the edit.
pub type After<'a> = &'a mut dyn FnMut(&dyn FileSystem) -> Result<()>;

/// A finished edit.
#[derive(Debug)]
pub struct Edit {
    /// The bytes.
    pub patch: Patch,
    /// The disks that the patch is for, in the order of its parts.
    pub disks: Vec<DiskIndex>,
    /// The reader that agrees with it.
    pub verdict: Verdict,
}

/// What a plan promises about one volume of a tree.
struct Promise {
    /// Index of the volume.
    volume: usize,
    /// What must be on it.
    expected: Vec<action::edit::Expected>,
    /// The same as questions.
    questions: Vec<Expectation>,
}

impl Session {
    /// Carries out `plan` on the tree of the volume at `index`, verifies the result, and gives the patch.
    /// The volumes that it edits are closed then, because their changes are in the patch and nowhere else.
    ///
    /// # Errors
    /// As [`FileEdit`](crate::fs::FileEdit); `Refused` with
    /// [`NotVerified`](crate::error::Refusal::NotVerified) if a reader disagrees.
    /// The overlays are then as before, unless the changes could not be brought down to the disks or do not fit into
    /// their images.
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
        let savepoints = self.savepoints(index)?;
        let (promises, verdict) = match self.run_and_verify(index, plan, time, after) {
            Ok(done) => {
                // What they share with the overlays would stay in memory.
                drop(savepoints);
                done
            }
            Err(error) => {
                for (overlay, state) in savepoints {
                    overlay.roll_back(state);
                }
                return Err(error).context(|| layer);
            }
        };
        let edited: Vec<usize> = promises.iter().map(|promise| promise.volume).collect();
        // While the tree is still as it was edited.
        let files = self.notes(index, plan).context(|| layer.clone())?;
        let changes = self.take_down(&edited).context(|| layer)?;
        self.check_room(&changes)?;
        let disks: Vec<DiskIndex> = changes.iter().map(|(disk, _)| *disk).collect();
        let (identity, changes) = self.identify(&edited, changes)?;
        let description = Description {
            regain_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: clock::utc(time),
            command: command.to_owned(),
            identity,
            files,
        };
        // The tree still shows the edit, which is not on the volumes any more.
        for volume in edited.into_iter().chain([index]) {
            self.close(volume);
        }
        Ok(Edit { patch: Patch::new(description, changes)?, disks, verdict })
    }

    fn savepoints(&self, index: usize) -> Result<Vec<(Arc<Overlay>, Savepoint)>> {
        let volumes = self.volumes_of(index)?.into_iter();
        let overlay = |volume| Ok(self.open_at(volume)?.overlay.clone());
        let overlays: Vec<Arc<Overlay>> = volumes.map(overlay).collect::<Result<_>>()?;
        Ok(overlays.into_iter().map(|overlay| (overlay.clone(), overlay.savepoint())).collect())
    }

    /// What is known of the volume at `index` is no longer true.
    fn close(&mut self, index: usize) {
        if let Some(volume) = self.volumes.get_mut(index) {
            volume.content = Content::Unknown;
        }
    }

    /// Asks each disk whether its image can take its changes.
    fn check_room(&self, changes: &[lower::DiskChanges]) -> Result<()> {
        for (disk, changes) in changes {
            let range = |change: &Change| {
                let end = arith::add(change.offset_bytes, len_u64(change.after.len()))?;
                Ok(change.offset_bytes..end)
            };
            let ranges = changes.iter().map(range).collect::<Result<Vec<_>>>()?;
            self.disk(*disk)?.image.can_write(&ranges)?;
        }
        Ok(())
    }

    /// Moves the changes of the volumes to their disks.
    fn take_down(&mut self, edited: &[usize]) -> Result<Vec<lower::DiskChanges>> {
        let disks: Vec<Arc<dyn Disk>> = self.disks().map(|disk| disk.bytes.clone()).collect();
        let mut volumes: Vec<(String, &Place, &Overlay)> = Vec::new();
        for &index in edited {
            let volume = self.volume_at(index)?;
            let overlay = self.open_at(index)?.overlay.as_ref();
            volumes.push((volume.describe(), volume.place.as_ref(), overlay));
        }
        lower::lower(&disks, &volumes)
    }

    fn run_and_verify(
        &mut self,
        index: usize,
        plan: &Plan,
        time: Timestamp,
        after: After<'_>,
    ) -> Result<(Vec<Promise>, Verdict)> {
        let before = self.open_at(index)?.file_system();
        before.check_writable()?;
        let promised = action::edit::expectations(plan, before)?;
        let questions = expect::questions(&promised, before)?;
        let editor = self.open_mut(index)?.editor();
        action::edit::run(plan, editor)?;
        editor.finish()?;
        let promises = self.promises(index, promised, questions)?;
        for promise in &promises {
            let volume = self.volume_at(promise.volume)?;
            match volume.check_writable() {
                // The layer of the edit says which volume it is.
                refused if promise.volume == index => refused?,
                refused => refused.context(|| volume.describe())?,
            }
        }
        let verdict = self.verify(&promises, time)?;
        self.look_after(index, time, after)?;
        Ok((promises, verdict))
    }

    /// Asks the readers of each volume.
    fn verify(&self, promises: &[Promise], time: Timestamp) -> Result<Verdict> {
        let mut weakest = None;
        for promise in promises {
            let open = self.open_at(promise.volume)?;
            // A fresh look: nothing that the editor remembers can hide what it wrote.
            let fresh =
                Fresh::open(open.kind_on_disk()?, open.overlay.clone(), &open.devices, time)?;
            expect::check_xattrs(&promise.expected, fresh.file_system())?;
            let verdict = fresh.verify(&open.overlay.written(), &promise.questions)?;
            match (&weakest, &verdict) {
                (Some(_), Verdict::Independent { .. }) => {}
                _ => weakest = Some(verdict),
            }
        }
        weakest.ok_or_else(|| Error::not_found("nothing to verify"))
    }

    /// Shows the edited tree, freshly opened, to `after`.
    fn look_after(&self, index: usize, time: Timestamp, after: After<'_>) -> Result<()> {
        let open = self.open_at(index)?;
        if let Some(tree) = &open.tree {
            return after(&self.tree_again(tree, time)?);
        }
        let fresh = Fresh::open(open.kind_on_disk()?, open.overlay.clone(), &open.devices, time)?;
        after(fresh.file_system())
    }

    /// Divides what a plan promises about a tree into what it promises about each volume, with the paths there.
    fn promises(
        &self,
        index: usize,
        promised: Vec<action::edit::Expected>,
        questions: Vec<Expectation>,
    ) -> Result<Vec<Promise>> {
        let mut promises: Vec<Promise> = Vec::new();
        for (mut expected, mut question) in promised.into_iter().zip(questions) {
            let Location { volume, path } = self.locate(index, &expected.path)?;
            expected.path.clone_from(&path);
            question.path = path;
            match promises.iter_mut().find(|promise| promise.volume == volume) {
                Some(promise) => {
                    promise.expected.push(expected);
                    promise.questions.push(question);
                }
                None => promises.push(Promise {
                    volume,
                    expected: vec![expected],
                    questions: vec![question],
                }),
            }
        }
        Ok(promises)
    }
}
