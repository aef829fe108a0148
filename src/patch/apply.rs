//! Taking a target from one side of a patch to the other.
//!
//! The order, and why:
//!
//! 1. The undo record is durable ([`DurableUndo`]): a crash after the first write can be taken
//!    back.
//! 2. The cache is dropped, so that what is compared is what the medium holds: after a failed sync
//!    the cache of the host may show writes that never arrived.
//! 3. Every sector is compared. One that belongs to neither side ends it; nothing has been written.
//! 4. The medium is asked whether it can take what is to be written ([`Medium::can_write`]).
//! 5. What is not right yet is written, ascending; what completes the edit comes last, each such
//!    structure behind a sync of its own, the first one at the very end. Undo writes these first.
//!    So a file system whose edits go into free space, up to the superblock, is at every moment
//!    whole, before the edit or after it.
//! 6. Synced, even if nothing was written: an earlier run may have been killed between write and
//!    sync.
//! 7. The cache is dropped again, everything is read back and compared.
//!
//! Both directions can be repeated after any interruption, and are done once they return success.

use super::state::{self, Direction, Range, Survey};
use super::{DurableUndo, Patch, Run, State};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::medium::Medium;
use crate::error::{Context as _, Error, Result};
use std::io;

/// Longest structure that completes an edit, in bytes.
const COMPLETING_BYTES_MAX: u64 = 4096;

/// Told after each write how many bytes of how many are done.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// What [`apply()`] or [`undo()`] has found and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The state before.
    pub found: State,
    /// Bytes read from the target.
    pub bytes_read: u64,
    /// Bytes written to the target.
    pub bytes_written: u64,
}

/// Takes `medium` to the bytes after the edit, then proves it by reading back.
///
/// A target that is already partly or wholly there is completed. Safe to call again after any
/// interruption.
///
/// # Errors
/// * `Mismatch` - another size, a sector that belongs to neither side, or an `undo_record` of
///   another patch. Nothing was written.
/// * `Io` - the target failed or did not keep what was written. [`Error::target_modified`] tells
///   whether anything was written; apply and undo both accept what is left.
pub fn apply(
    patch: &Patch,
    medium: &mut dyn Medium,
    undo_record: &DurableUndo,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    undo_record.check(patch)?;
    transfer(patch, medium, Direction::Apply, progress)
}

/// Takes `medium` to the bytes before the edit, then proves it by reading back.
///
/// The counterpart of [`apply()`], with the same promises.
///
/// # Errors
/// As [`apply()`].
pub fn undo(
    patch: &Patch,
    medium: &mut dyn Medium,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    transfer(patch, medium, Direction::Undo, progress)
}

fn transfer(
    patch: &Patch,
    medium: &mut dyn Medium,
    direction: Direction,
    progress: &mut Progress<'_>,
) -> Result<Outcome> {
    state::check_size(patch, medium.len_bytes())?;
    if patch.is_empty() {
        return Ok(Outcome { found: State::Applied, bytes_read: 0, bytes_written: 0 });
    }
    let survey = look(patch, medium, direction).context(|| "comparing the target")?;
    let found = survey.state();
    if let State::Foreign { offset_bytes } = found {
        return Err(Error::mismatch(format!(
            "the sector at {offset_bytes:#x} holds neither what it held before the edit nor what \
             it held after: another disk, or changed since"
        )));
    }
    check_writable(patch, medium, &survey).context(|| "nothing was written")?;
    let mut writing = Writing { bytes_written: 0, bytes_total: total_bytes(&survey)? };
    let finished = writing
        .write_ranges(patch, medium, direction, &survey, progress)
        .and_then(|()| settle(patch, medium, direction));
    let verified = finished.map_err(|error| {
        // A failed write may have reached the target in part, so what counts is that one was tried.
        if survey.ranges.is_empty() { error } else { error.after_first_write() }
    })?;
    let bytes_read = arith::add(survey.bytes_read, verified.bytes_read)?;
    Ok(Outcome { found, bytes_read, bytes_written: writing.bytes_written })
}

/// Asks `medium` whether everything that is to be written can be.
fn check_writable(patch: &Patch, medium: &dyn Medium, survey: &Survey) -> Result<()> {
    let mut ranges = Vec::new();
    for range in &survey.ranges {
        let Some(run) = patch.runs().get(range.run_index) else { continue };
        let start = arith::add(run.offset_bytes, len_u64(range.start))?;
        ranges.push(start..arith::add(start, len_u64(range.len))?);
    }
    medium.can_write(&ranges)
}

/// Compares the medium itself, not the cache of the host, with both sides of `patch`.
fn look(patch: &Patch, medium: &mut dyn Medium, direction: Direction) -> Result<Survey> {
    medium.drop_cache()?;
    let medium = &*medium;
    let read_at = |offset_bytes, buffer: &mut [u8]| medium.read_at(offset_bytes, buffer);
    state::survey(patch, direction, &read_at)
}

/// Makes durable what was written, and proves by reading back that it is there.
fn settle(patch: &Patch, medium: &mut dyn Medium, direction: Direction) -> Result<Survey> {
    medium.sync().context(|| "syncing, after everything was written")?;
    let survey = look(patch, medium, direction).context(|| "reading back")?;
    if let Some(offset_bytes) = survey.first_difference(patch) {
        let what = format!("the sector at {offset_bytes:#x} did not keep what was written to it");
        return Err(Error::from(io::Error::other(what))).context(|| "reading back");
    }
    Ok(survey)
}

fn total_bytes(survey: &Survey) -> Result<u64> {
    let mut total = 0;
    for range in &survey.ranges {
        total = arith::add(total, len_u64(range.len))?;
    }
    Ok(total)
}

/// How far the writing has come.
struct Writing {
    bytes_written: u64,
    bytes_total: u64,
}

impl Writing {
    fn write_ranges(
        &mut self,
        patch: &Patch,
        medium: &mut dyn Medium,
        direction: Direction,
        survey: &Survey,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        for (number, phase) in phases(patch, direction, survey).into_iter().enumerate() {
            // Also behind nothing: an earlier run may have been killed before its sync.
            if number > 0 {
                medium.sync().context(|| "syncing, before the next structures are written")?;
            }
            for range in phase {
                self.write_range(patch, medium, direction, range)?;
                progress(self.bytes_written, self.bytes_total);
            }
        }
        Ok(())
    }

    fn write_range(
        &mut self,
        patch: &Patch,
        medium: &mut dyn Medium,
        direction: Direction,
        range: &Range,
    ) -> Result<()> {
        let Some(run) = patch.runs().get(range.run_index) else { return Ok(()) };
        let offset_bytes = arith::add(run.offset_bytes, len_u64(range.start))?;
        let bytes = field::slice(direction.wanted(run), range.start, range.len)?;
        let (done, total) = (self.bytes_written, self.bytes_total);
        medium
            .write_at(offset_bytes, bytes)
            .context(|| format!("writing at {offset_bytes:#x}, after {done} of {total} bytes"))?;
        self.bytes_written = arith::add(done, len_u64(range.len))?;
        Ok(())
    }
}

/// What has to be written, in parts with a sync between each two. Of structures that complete the edit, sectors that
/// are less than [`COMPLETING_BYTES_MAX`] apart are one.
fn phases<'a>(patch: &Patch, direction: Direction, survey: &'a Survey) -> Vec<Vec<&'a Range>> {
    let run_of = |range: &Range| patch.runs().get(range.run_index);
    let is_completing = |range: &&Range| run_of(range).is_some_and(Run::completes_edit);
    let (completing, others): (Vec<_>, Vec<_>) = survey.ranges.iter().partition(is_completing);
    let mut copies: Vec<Vec<&Range>> = Vec::new();
    let mut end = 0u64;
    for range in completing {
        let start = run_of(range).map_or(0, |run| run.offset_bytes);
        let start = start.saturating_add(len_u64(range.start));
        match copies.last_mut() {
            Some(copy) if start.saturating_sub(end) < COMPLETING_BYTES_MAX => copy.push(range),
            _ => copies.push(vec![range]),
        }
        end = start.saturating_add(len_u64(range.len));
    }
    // The first copy is the one that counts: it comes last, when the others hold the new state. The way back is the other
    // way round, so that a torn copy is mended before another one is touched.
    match direction {
        Direction::Apply => {
            copies.reverse();
            copies.insert(0, others);
        }
        Direction::Undo => copies.push(others),
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fault::{Failure, Fault, FaultMedium, Operation};
    use crate::error::ErrorKind;
    use crate::patch::tests::{change, description};
    use proptest::prelude::*;

    /// Sectors 1 and 2, and sector 4, of a disk of six.
    fn patch() -> Patch {
        let changes = vec![change(512, &[0; 1024], &[1; 1024]), change(2048, &[0; 512], &[2; 512])];
        Patch::new(description(3072), changes).unwrap()
    }

    fn applied(patch: &Patch, mut image: Vec<u8>) -> Vec<u8> {
        for run in patch.runs() {
            let start = run.offset_bytes as usize;
            image[start..start + run.after.len()].copy_from_slice(&run.after);
        }
        image
    }

    fn run_apply(patch: &Patch, medium: &mut FaultMedium) -> Result<Outcome> {
        apply(patch, medium, &DurableUndo::waived(), &mut |_, _| ())
    }

    #[test]
    fn writes_once_per_range_and_proves_it() {
        use Operation::{DropCache, Read, Sync, Write};
        let mut medium = FaultMedium::new(vec![0; 3072]);
        let mut seen = Vec::new();
        let mut progress = |done, total| seen.push((done, total));
        let undo_record = DurableUndo::waived();
        let outcome = apply(&patch(), &mut medium, &undo_record, &mut progress).unwrap();
        let expected = Outcome { found: State::Unapplied, bytes_read: 3072, bytes_written: 1536 };
        assert_eq!(outcome, expected);
        assert_eq!(seen, [(1024, 1536), (1536, 1536)]);
        assert_eq!(medium.durable(), applied(&patch(), vec![0; 3072]));
        let expected = [
            DropCache,
            Read,
            Read,
            Write { sectors: 2 },
            Write { sectors: 1 },
            Sync,
            DropCache,
            Read,
            Read,
        ];
        assert_eq!(medium.operations(), expected);
    }

    #[test]
    fn the_second_run_writes_nothing_but_syncs() {
        let mut medium = FaultMedium::new(applied(&patch(), vec![0; 3072]));
        let outcome = run_apply(&patch(), &mut medium).unwrap();
        assert_eq!((outcome.found, outcome.bytes_written), (State::Applied, 0));
        assert!(medium.operations().contains(&Operation::Sync));
    }

    #[test]
    fn a_patch_without_changes_touches_nothing() {
        let empty = Patch::new(description(3072), Vec::new()).unwrap();
        let mut medium = FaultMedium::new(vec![0; 3072]);
        run_apply(&empty, &mut medium).unwrap();
        undo(&empty, &mut medium, &mut |_, _| ()).unwrap();
        assert_eq!(medium.operations(), []);
    }

    #[test]
    fn a_foreign_sector_is_a_mismatch_and_nothing_is_written() {
        for offset in [512, 1535, 2048] {
            let mut image = vec![0; 3072];
            image[offset] = 9;
            let mut medium = FaultMedium::new(image.clone());
            for result in
                [run_apply(&patch(), &mut medium), undo(&patch(), &mut medium, &mut |_, _| ())]
            {
                let error = result.unwrap_err();
                let sector = format!("{:#x}", offset / 512 * 512);
                assert!(error.to_string().contains(&sector), "{error}");
                assert_eq!((error.exit_status(), error.target_modified()), (6, false));
            }
            assert_eq!(medium.cached(), image);
        }
    }

    #[test]
    fn another_size_is_a_mismatch() {
        let mut medium = FaultMedium::new(vec![0; 3584]);
        let error = run_apply(&patch(), &mut medium).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Mismatch(_)), "{error}");
        assert_eq!(medium.operations(), []);
    }

    /// Each operation fails once; the next call mends it. The flag is exact: set from the first
    /// write on.
    #[test]
    fn an_error_at_any_operation_is_reported_and_mended_by_the_next_run() {
        let count = {
            let mut medium = FaultMedium::new(vec![0; 3072]);
            run_apply(&patch(), &mut medium).unwrap();
            medium.operations()
        };
        let first_write = count.iter().position(|o| matches!(o, Operation::Write { .. })).unwrap();
        for at in 0..count.len() {
            let fault = Fault { at, failure: Failure::Once };
            let mut medium = FaultMedium::new(vec![0; 3072]).with_fault(fault);
            let error = run_apply(&patch(), &mut medium).unwrap_err();
            assert_eq!((error.kind_name(), error.exit_status()), ("io", 1), "operation {at}");
            assert_eq!(error.target_modified(), at >= first_write, "operation {at}: {error}");
            let mut other = medium.clone();
            run_apply(&patch(), &mut medium).unwrap();
            assert_eq!(medium.durable(), applied(&patch(), vec![0; 3072]), "operation {at}");
            undo(&patch(), &mut other, &mut |_, _| ()).unwrap();
            assert_eq!(other.durable(), [0; 3072], "operation {at}");
        }
    }

    /// A medium that claims to have written or synced is found out, because the cache is dropped
    /// before the bytes are read back.
    #[test]
    fn a_lying_medium_is_found_out() {
        for (at, offset) in [(3, "0x200"), (4, "0x800"), (5, "0x200")] {
            let fault = Fault { at, failure: Failure::Lie };
            let mut medium = FaultMedium::new(vec![0; 3072]).with_fault(fault);
            let error = run_apply(&patch(), &mut medium).unwrap_err();
            assert!(error.to_string().contains("reading back"), "{error}");
            assert!(error.to_string().contains(offset), "{error}");
            assert_eq!((error.kind_name(), error.target_modified()), ("io", true));
            run_apply(&patch(), &mut medium).unwrap();
            assert_eq!(medium.durable(), applied(&patch(), vec![0; 3072]));
        }
    }

    #[test]
    fn errors_say_how_far_it_came() {
        let fault = Fault { at: 4, failure: Failure::Once };
        let mut medium = FaultMedium::new(vec![0; 3072]).with_fault(fault);
        let error = run_apply(&patch(), &mut medium).unwrap_err();
        let expected = "writing at 0x800, after 1024 of 1536 bytes: injected: the write fails";
        assert_eq!(error.to_string(), expected);
    }

    proptest! {
        #[test]
        fn undo_takes_back_what_apply_did(
            image in prop::collection::vec(any::<u8>(), 1..6000),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            use crate::disk::{DiskEdit as _, memory::MemoryDisk, overlay::Overlay};
            let overlay = Overlay::new(std::sync::Arc::new(MemoryDisk::new(image.clone())));
            let mut edited = image.clone();
            for (index, byte) in edits {
                let offset = index.index(image.len());
                edited[offset] = byte;
                overlay.write_at(offset as u64, &[byte], "edit").unwrap();
            }
            let changes = overlay.changes().unwrap();
            let patch = Patch::new(description(image.len() as u64), changes).unwrap();
            let mut medium = FaultMedium::new(image.clone());
            run_apply(&patch, &mut medium).unwrap();
            prop_assert_eq!(medium.durable(), &edited[..]);
            let again = run_apply(&patch, &mut medium).unwrap();
            prop_assert_eq!(again.bytes_written, 0);
            prop_assert_eq!(medium.durable(), &edited[..]);
            undo(&patch, &mut medium, &mut |_, _| ()).unwrap();
            prop_assert_eq!(medium.durable(), &image[..]);
            undo(&patch, &mut medium, &mut |_, _| ()).unwrap();
            prop_assert_eq!(medium.durable(), &image[..]);
        }
    }
}
