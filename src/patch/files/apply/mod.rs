//! Taking a directory from one side of a patch to the other.
//!
//! The order, and why:
//!
//! 1. The undo record is durable ([`DurableUndo`]): a crash after the first write can be taken back.
//! 2. Every object is compared. One that belongs to neither side ends it; nothing has been written.
//! 3. What an interrupted run has left under its other names (they follow from the digest of the patch) is removed, if
//!    it is what such a run leaves.
//! 4. Every file that gets a new content is made and synced under its other name, as far as its directory exists.
//!    What can go wrong for want of room or permission goes wrong here, while every name leads where it led.
//! 5. One object after the other gets to its side; each way there is looked up anew, and what has the name is looked
//!    at once more when it is replaced.
//! 6. Times of directories are set, and directories synced.
//! 7. The target is opened again by its path, and everything is read back past the cache and compared.
//!
//! Both directions can be repeated after any interruption, and are done once they return success.

mod bring;
mod finish;
mod stage;

use super::FilePatch;
use super::format::{digest_of, encode};
use super::leftover::temporaries;
use super::state::{self, FilesState, Look, Standing};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Result};
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Record, Side};
use crate::image::directory::stat::Time;
use crate::image::directory::write::{BeforeStep, Writer};
use crate::patch::{DurableUndo, Progress};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What [`apply()`] or [`undo()`] has found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The state before.
    pub found: FilesState,
    /// Objects that were changed, or removed as leftovers of an interrupted run.
    pub objects_changed: u64,
    /// Bytes of content that were written.
    pub bytes_written: u64,
}

/// Which side the directory is taken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Apply,
    Undo,
}

/// Takes `directory` to what it is after the edit, then proves it by reading back.
///
/// # Errors
/// * `Refused` - it cannot be written.
/// * `Mismatch` - an object belongs to neither side, or `undo_record` to another patch. Nothing was written, unless
///   [`Error::target_modified`] says so: then somebody changed a file in the middle of it, and theirs was left.
/// * `Io` - apply and undo both accept what is left.
pub fn apply(
    patch: &FilePatch,
    directory: &Directory,
    undo_record: &DurableUndo,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    undo_record.check_digest(|| digest_of(&encode(patch)?))?;
    transfer(patch, directory, Direction::Apply, &|_| Ok(()), progress)
}

/// Takes `directory` to what it was before the edit, then proves it by reading back.
///
/// # Errors
/// As [`apply()`].
pub fn undo(
    patch: &FilePatch,
    directory: &Directory,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    transfer(patch, directory, Direction::Undo, &|_| Ok(()), progress)
}

pub(super) fn transfer(
    patch: &FilePatch,
    directory: &Directory,
    direction: Direction,
    before_step: BeforeStep<'_>,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    directory.check_writable()?;
    let temporaries = temporaries(patch)?;
    let (found, standings) = state::found(patch, directory, &temporaries)?;
    if let FilesState::Foreign { path, reason } = &found {
        return Err(Error::mismatch(format!("{path} {reason}")));
    }
    let writer = Writer::new(directory, before_step);
    let mut run = Run {
        patch,
        directory,
        direction,
        temporaries,
        writer,
        staged: BTreeSet::new(),
        dated: BTreeMap::new(),
    };
    run.check_directories()?;
    let discarded = run.discard_leftovers()?;
    let pending = run.pending(&standings);
    if let Err(error) = run.stage_all(&pending) {
        run.discard_staged();
        return Err(error);
    }
    let mut outcome = Outcome { found, objects_changed: discarded, bytes_written: 0 };
    let total = len_u64(pending.len());
    let mut written = || -> Result<()> {
        for (&index, done) in pending.iter().zip(1..) {
            let bytes = run.bring(index)?;
            outcome.objects_changed = outcome.objects_changed.saturating_add(1);
            outcome.bytes_written = outcome.bytes_written.saturating_add(bytes);
            progress(done, total);
        }
        let (dated, corrected) = run.settle()?;
        if pending.is_empty() {
            outcome.objects_changed = outcome.objects_changed.saturating_add(corrected);
        }
        run.read_back(&dated).context(|| "reading back")
    };
    let result = written();
    // A failed step may have changed something, so what counts is that one was tried.
    result.map_err(|error| if pending.is_empty() { error } else { error.after_first_write() })?;
    Ok(outcome)
}

/// One patch on its way into one directory.
struct Run<'a> {
    patch: &'a FilePatch,
    directory: &'a Directory,
    direction: Direction,
    temporaries: Vec<Vec<u8>>,
    writer: Writer<'a>,
    /// The records whose new object is ready under its other name.
    staged: BTreeSet<usize>,
    /// The directories in which something was made, by a record of theirs, and their times before that.
    dated: BTreeMap<Vec<u8>, Time>,
}

impl Run<'_> {
    fn record(&self, index: usize) -> Result<(&Record, &[u8])> {
        let pair = self.patch.records().get(index).zip(self.temporaries.get(index));
        let (record, temporary) = pair.ok_or_else(|| Error::not_found("the record of a patch"))?;
        Ok((record, temporary.as_slice()))
    }

    /// What the record has now, and what it shall have.
    fn sides<'r>(&self, record: &'r Record) -> (Option<&'r Side>, Option<&'r Side>) {
        let (before, after) = (record.before.as_ref(), record.after.as_ref());
        match self.direction {
            Direction::Apply => (before, after),
            Direction::Undo => (after, before),
        }
    }

    fn place(&self, record: &Record) -> Result<Option<Rc<Handle>>> {
        self.directory.walk(record.directory())
    }

    /// The directory of an object that is about to change: it must be there.
    fn place_now(&self, record: &Record) -> Result<Rc<Handle>> {
        let missing = || Error::mismatch("its directory is gone");
        self.place(record)?.ok_or_else(missing)
    }

    fn look<'b>(&'b self, temporary: &'b [u8]) -> Look<'b> {
        Look { directory: self.directory, temporary, is_past_cache: false }
    }

    /// The records that are not on the wanted side, in the order in which they are brought there.
    fn pending(&self, standings: &[Standing]) -> Vec<usize> {
        let done = match self.direction {
            Direction::Apply => Standing::After,
            Direction::Undo => Standing::Before,
        };
        let is_pending = |standing: &Standing| *standing != done && *standing != Standing::Both;
        let all = standings.iter().enumerate();
        let mut pending: Vec<usize> =
            all.filter(|(_, standing)| is_pending(standing)).map(|(index, _)| index).collect();
        if self.direction == Direction::Undo {
            pending.reverse();
        }
        pending
    }
}
