//! Patches: what a plan, an edit and its undo record have in common.
//!
//! A [`Patch`] holds every changed run of a target with its bytes before and after, and a
//! description for people. It knows bytes, not file systems: applying and undoing never parses
//! ext4. The file format is documented in [`format`](mod@format); the order in which things become
//! durable in [`apply()`].
//!
//! ```text
//! Patch::new -> store -> DurableUndo -> apply -> (state: Applied) -> undo -> (state: Unapplied)
//! ```
//!
//! A patch may be for several disks, which it sees as one ([`parts`]); [`order`] tells which of them is which. A mounted directory is changed file by file: its
//! patches are in [`files`], and [`load_any`] reads either.
//!
//! Not handled here: opening targets (`image`).

mod apply;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crash_joined;
pub mod description;
pub mod files;
pub mod format;
pub mod order;
pub mod parts;
pub mod show;
pub mod state;
pub mod store;

pub use apply::{Outcome, Progress, apply, undo};
pub use description::{Description, FileNote, PartIdentity, TargetIdentity, VolumeIdentity};
pub use format::{decode, encode, load};
pub use show::show;
pub use state::{State, state, state_of_medium};
pub use store::{DurableUndo, store, store_files};

use crate::bytes::arith::{self, len_u64};
use crate::disk::overlay::Change;
use crate::disk::{COMPLETING_LABEL, SECTOR_BYTES};
use crate::error::{Context as _, Corrupt, Result};
use std::ops::Range;

/// Bound on the labels of one run; those that do not fit are counted in the last one.
pub const LABELS_MAX: usize = 4096;

/// Bound on the length of one label in bytes; longer ones are cut.
pub const LABEL_BYTES_MAX: usize = 1024;

/// A patch file of either sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyPatch {
    /// For disks.
    Bytes(Patch),
    /// For a directory.
    Files(files::FilePatch),
}

/// Reads the patch file at `path`, whatever its target is.
///
/// # Errors
/// As [`load`] and [`files::decode`].
pub fn load_any(path: &std::path::Path) -> Result<AnyPatch> {
    let shown = || crate::bytes::text::escape(path.as_os_str().as_encoded_bytes());
    let decode_any = |bytes: Vec<u8>| {
        if format::version_of(&bytes).ok() == Some(files::format::FILES_FORMAT_VERSION) {
            return files::decode(&bytes).map(AnyPatch::Files);
        }
        decode(&bytes).map(AnyPatch::Bytes)
    };
    format::read_file(path).and_then(decode_any).context(shown)
}

/// A finished edit: what it is, and every run of bytes that it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    description: Description,
    /// Ascending, apart, inside the target, on sector boundaries: see [`check_runs`].
    runs: Vec<Run>,
}

/// Consecutive sectors that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Start on the target, a multiple of [`SECTOR_BYTES`].
    pub offset_bytes: u64,
    /// What the target holds before the edit; a multiple of [`SECTOR_BYTES`] long, but for the end
    /// of an odd target.
    pub before: Vec<u8>,
    /// What the target holds after the edit; as long as `before`.
    pub after: Vec<u8>,
    /// The structures in the run, for people.
    pub labels: Vec<String>,
}

/// What can be wrong with the runs of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunDefect {
    /// No bytes.
    #[error("is empty")]
    Empty,
    /// The two sides differ in length.
    #[error("has {before} bytes before and {after} bytes after")]
    Lengths {
        /// Length before in bytes.
        before: u64,
        /// Length after in bytes.
        after: u64,
    },
    /// Does not start or end on a sector boundary.
    #[error("with its {len_bytes} bytes is not made of whole sectors")]
    Unaligned {
        /// Length in bytes.
        len_bytes: u64,
    },
    /// Starts before the end of the run before it.
    #[error("starts before {previous_end_bytes:#x}, where the run before it ends")]
    Overlap {
        /// End of the run before it.
        previous_end_bytes: u64,
    },
    /// Ends behind its disk, or starts between two.
    #[error("with its {len_bytes} bytes ends behind the target of {size_bytes} bytes")]
    Outside {
        /// Length in bytes.
        len_bytes: u64,
        /// Where the disk ends in bytes.
        size_bytes: u64,
    },
}

impl Patch {
    /// Makes a patch from the changes of an overlay.
    ///
    /// Text that could drive a terminal is escaped, and labels beyond [`LABELS_MAX`] or
    /// [`LABEL_BYTES_MAX`] are cut.
    ///
    /// # Errors
    /// `Corrupt` with [`RunDefect`] if the changes are not ascending, apart, made of whole sectors
    /// and inside the target that `description` names.
    pub fn new(description: Description, changes: Vec<Change>) -> Result<Self> {
        let runs = changes.into_iter().map(Run::from).collect();
        Self::from_parts(description, runs)
    }

    fn from_parts(description: Description, runs: Vec<Run>) -> Result<Self> {
        let disks = parts::ranges(&description.identity)?;
        check_runs(&disks, &runs)?;
        Ok(Self { description: description.cleaned(), runs })
    }

    /// What the patch is for.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The changed runs, ascending and apart.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// True if the patch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes that really differ, over all runs.
    pub fn bytes_changed(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.bytes_changed()))
    }

    /// Sectors that really differ, over all runs.
    pub fn sectors_changed(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.sectors_changed()))
    }

    /// Bytes of all runs together, changed or not.
    pub fn len_bytes(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.len_bytes()))
    }
}

impl Run {
    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        len_u64(self.after.len())
    }

    /// Bytes that really differ.
    pub fn bytes_changed(&self) -> u64 {
        let pairs = self.before.iter().zip(&self.after);
        len_u64(pairs.filter(|(before, after)| before != after).count())
    }

    /// Sectors that really differ.
    pub fn sectors_changed(&self) -> u64 {
        let sectors = self.before.chunks(SECTOR_BYTES).zip(self.after.chunks(SECTOR_BYTES));
        len_u64(sectors.filter(|(before, after)| before != after).count())
    }

    /// True if the run is written last, as it completes the edit.
    pub fn completes_edit(&self) -> bool {
        self.labels.iter().any(|label| label == COMPLETING_LABEL)
    }
}

impl From<Change> for Run {
    fn from(change: Change) -> Self {
        let Change { offset_bytes, before, after, labels } = change;
        Self { offset_bytes, before, after, labels: cut_labels(&labels) }
    }
}

/// Brings labels below their bounds, so that an odd label can never make a patch unreadable.
fn cut_labels(labels: &[String]) -> Vec<String> {
    let count = labels.len();
    let kept = if count > LABELS_MAX { LABELS_MAX.saturating_sub(1) } else { count };
    let mut cut: Vec<String> = labels.iter().take(kept).map(|label| cut_label(label)).collect();
    if count > kept {
        cut.push(format!("{} more", count.saturating_sub(kept)));
    }
    cut
}

fn cut_label(label: &str) -> String {
    let mut label = description::clean(label);
    let end = (0..=LABEL_BYTES_MAX).rev().find(|&end| label.is_char_boundary(end)).unwrap_or(0);
    label.truncate(end);
    label
}

/// Checks what every patch promises about its runs on a target whose disks lie at `disks`.
///
/// # Errors
/// `Corrupt` with [`RunDefect`] at the first run that breaks the promise.
fn check_runs(disks: &[Range<u64>], runs: &[Run]) -> Result<()> {
    let mut previous_end_bytes = 0;
    for run in runs {
        let number = disks.partition_point(|disk| disk.end <= run.offset_bytes);
        // Behind the last disk it lies outside of that one.
        let disk = disks.get(number).or(disks.last()).cloned().unwrap_or_default();
        previous_end_bytes = check_run(&disk, previous_end_bytes, run)
            .map_err(|defect| Corrupt::new("patch run", defect).at(run.offset_bytes))?;
    }
    Ok(())
}

/// Checks one run on its disk and gives its end.
fn check_run(disk: &Range<u64>, previous_end_bytes: u64, run: &Run) -> Result<u64, RunDefect> {
    let len_bytes = run.len_bytes();
    if run.before.len() != run.after.len() {
        let before = len_u64(run.before.len());
        return Err(RunDefect::Lengths { before, after: len_bytes });
    }
    if len_bytes == 0 {
        return Err(RunDefect::Empty);
    }
    if run.offset_bytes < previous_end_bytes {
        return Err(RunDefect::Overlap { previous_end_bytes });
    }
    let outside = RunDefect::Outside { len_bytes, size_bytes: disk.end };
    let end = arith::add(run.offset_bytes, len_bytes).map_err(|_| outside)?;
    if run.offset_bytes < disk.start || end > disk.end {
        return Err(outside);
    }
    let sector_bytes = len_u64(SECTOR_BYTES);
    let ends_on_boundary = end.is_multiple_of(sector_bytes) || end == disk.end;
    if !run.offset_bytes.is_multiple_of(sector_bytes) || !ends_on_boundary {
        return Err(RunDefect::Unaligned { len_bytes });
    }
    Ok(end)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// A description for a target of `size_bytes` with every field set.
    pub(crate) fn description(size_bytes: u64) -> Description {
        Description {
            regain_version: "0.1.0".into(),
            created: "2026-11-21T12:00:00Z".into(),
            command: "key add".into(),
            identity: TargetIdentity {
                size_bytes,
                sector_size_bytes: 512,
                table_guid: Some("c12a7328-f81f-11d2-ba4b-00a0c93ec93b".into()),
                volumes: vec![VolumeIdentity {
                    id: "1".into(),
                    offset_bytes: 1024,
                    file_system: "ext4".into(),
                    uuid: Some("0fc63daf-8483-4772-8e79-3d69d8477de4".into()),
                }],
                parts: Vec::new(),
            },
            files: vec![FileNote {
                volume: "1".into(),
                path: "/home/admin/.ssh/authorized_keys".into(),
                action: "append".into(),
                detail: "1 key".into(),
            }],
        }
    }

    pub(crate) fn change(offset_bytes: u64, before: &[u8], after: &[u8]) -> Change {
        let labels = vec![format!("sector at {offset_bytes}")];
        Change { offset_bytes, before: before.to_vec(), after: after.to_vec(), labels }
    }

    fn defect_of(size_bytes: u64, changes: Vec<Change>) -> RunDefect {
        let error = Patch::new(description(size_bytes), changes).unwrap_err();
        let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
        *corrupt.defect.downcast_ref().unwrap()
    }

    #[test]
    fn each_broken_promise_about_runs_has_its_defect() {
        let (a, b) = ([0u8; 512], [1u8; 512]);
        for (changes, expected) in [
            (vec![change(0, &[], &[])], RunDefect::Empty),
            (vec![change(0, &a, &b[..511])], RunDefect::Lengths { before: 512, after: 511 }),
            (vec![change(1, &a, &b)], RunDefect::Unaligned { len_bytes: 512 }),
            (vec![change(0, &a[1..], &b[1..])], RunDefect::Unaligned { len_bytes: 511 }),
            (
                vec![change(512, &a, &b), change(512, &a, &b)],
                RunDefect::Overlap { previous_end_bytes: 1024 },
            ),
            (
                vec![change(512, &a, &b), change(0, &a, &b)],
                RunDefect::Overlap { previous_end_bytes: 1024 },
            ),
            (vec![change(2048, &a, &b)], RunDefect::Outside { len_bytes: 512, size_bytes: 2048 }),
            (
                vec![change(u64::MAX - 511, &a, &b)],
                RunDefect::Outside { len_bytes: 512, size_bytes: 2048 },
            ),
        ] {
            assert_eq!(defect_of(2048, changes), expected);
        }
    }

    #[test]
    fn the_end_of_an_odd_target_may_be_changed() {
        let patch = Patch::new(description(700), vec![change(512, &[0; 188], &[1; 188])]).unwrap();
        assert_eq!((patch.bytes_changed(), patch.sectors_changed()), (188, 1));
    }

    #[test]
    fn counts_are_of_what_really_differs() {
        let mut after = [0u8; 1536];
        after[3] = 1;
        after[1025] = 1;
        let patch = Patch::new(description(2048), vec![change(0, &[0; 1536], &after)]).unwrap();
        assert_eq!((patch.bytes_changed(), patch.sectors_changed()), (2, 2));
        assert_eq!(patch.len_bytes(), 1536);
    }

    #[test]
    fn labels_are_cut_to_their_bounds() {
        let mut long = change(0, &[0; 512], &[1; 512]);
        long.labels = vec!["\u{eb}".repeat(LABEL_BYTES_MAX); LABELS_MAX + 5];
        let patch = Patch::new(description(512), vec![long]).unwrap();
        let labels = &patch.runs()[0].labels;
        assert_eq!(labels.len(), LABELS_MAX);
        assert_eq!(labels[0].len(), LABEL_BYTES_MAX);
        assert_eq!(labels[LABELS_MAX - 1], "6 more");
    }
}
