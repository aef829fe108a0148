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

use super::FilePatch;
use super::format::{digest_of, encode};
use super::state::{self, FilesState, Look, Standing, is_same_time};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape;
use crate::error::{Context as _, Error, Result};
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, How, Record, Side};
use crate::image::directory::stat::Kind;
use crate::image::directory::write::{BeforeStep, Writer};
use crate::patch::{DurableUndo, Progress};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::rc::Rc;

/// What [`apply()`] or [`undo()`] has found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The state before.
    pub found: FilesState,
    /// Objects that were changed.
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

/// The other name of each object in the middle of its change: the same for apply and undo.
pub(super) fn temporaries(patch: &FilePatch) -> Result<Vec<Vec<u8>>> {
    let digest = digest_of(&encode(patch)?)?;
    let mut stem = String::from(".regain-");
    for byte in digest.iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(stem, "{byte:02x}");
    }
    let name = |index: usize| format!("{stem}-{index}.tmp").into_bytes();
    Ok((0..patch.records().len()).map(name).collect())
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
    let standings = state::survey(patch, directory, &temporaries, false)?;
    let found = state::summary(patch, &standings);
    if let FilesState::Foreign { path, reason } = &found {
        return Err(Error::mismatch(format!("{path} {reason}")));
    }
    let writer = Writer::new(directory, before_step);
    let mut run = Run { patch, directory, direction, temporaries, writer, staged: BTreeSet::new() };
    run.check_directories()?;
    run.discard_leftovers()?;
    let pending = run.pending(&standings);
    if let Err(error) = run.stage_all(&pending) {
        run.discard_staged();
        return Err(error);
    }
    let mut outcome = Outcome { found, objects_changed: 0, bytes_written: 0 };
    let total = len_u64(pending.len());
    let mut written = || -> Result<()> {
        for &index in &pending {
            let bytes = run.bring(index)?;
            outcome.objects_changed = outcome.objects_changed.saturating_add(1);
            outcome.bytes_written = outcome.bytes_written.saturating_add(bytes);
            progress(outcome.objects_changed, total);
        }
        let dated = run.settle()?;
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

    /// Refuses to take back a new directory in which there is by now what this patch did not make.
    fn check_directories(&self) -> Result<()> {
        if self.direction == Direction::Apply {
            return Ok(());
        }
        let is_ours = |path: &[u8]| self.patch.records().iter().any(|record| record.path == path);
        for record in self.patch.records() {
            let is_directory =
                record.after.as_ref().is_some_and(|side| side.kind == Kind::Directory);
            if record.how != How::Create || !is_directory {
                continue;
            }
            let names = record.path.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
            let Some(handle) = self.directory.walk(names)? else { continue };
            let mut foreign = None;
            self.directory.names(&handle, &mut |name| {
                let path = [&record.path, b"/".as_slice(), name].concat();
                if !is_ours(&path) && !self.temporaries.iter().any(|other| other == name) {
                    foreign = Some(escape(&path));
                }
                Ok(foreign.is_none())
            })?;
            if let Some(path) = foreign {
                let what =
                    format!("{path} is not of this edit, and would be left without directory");
                return Err(Error::mismatch(what));
            }
        }
        Ok(())
    }

    /// Removes what an interrupted run has left.
    fn discard_leftovers(&self) -> Result<()> {
        for (record, temporary) in self.patch.records().iter().zip(&self.temporaries) {
            let Some(place) = self.place(record)? else { continue };
            let Some(left) = self.directory.child(&place, temporary)? else { continue };
            let name = || format!("{} beside {}", escape(temporary), escape(&record.path));
            if !is_leftover(record, &left).context(name)? {
                let what =
                    format!("{} is no leftover of regain: look at it, and remove it", name());
                return Err(Error::mismatch(what));
            }
            self.writer.discard(&place, temporary, left.stat.kind).context(name)?;
        }
        Ok(())
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

    /// Makes every new object whose directory is there.
    fn stage_all(&mut self, pending: &[usize]) -> Result<()> {
        for &index in pending {
            let (record, _) = self.record(index)?;
            if needs_staging(record.how, self.sides(record)) && self.place(record)?.is_some() {
                let path = escape(&record.path);
                self.stage(index).context(|| path)?;
            }
        }
        Ok(())
    }

    fn stage(&mut self, index: usize) -> Result<()> {
        if self.staged.contains(&index) {
            return Ok(());
        }
        let (record, temporary) = self.record(index)?;
        let place = self.place_now(record)?;
        let missing = || Error::not_found("the wanted side of a record");
        let wanted = self.sides(record).1.ok_or_else(missing)?;
        self.writer.stage(&place, temporary, wanted).inspect_err(|_| {
            // It could not be finished; that it cannot be removed either is not the error to report.
            if let Ok(Some(left)) = self.directory.child(&place, temporary) {
                let _ = self.writer.discard(&place, temporary, left.stat.kind);
            }
        })?;
        self.staged.insert(index);
        Ok(())
    }

    fn discard_staged(&self) {
        for &index in &self.staged {
            let Ok((record, temporary)) = self.record(index) else { continue };
            let kind = self.sides(record).1.map_or(Kind::File, |side| side.kind);
            if let Ok(Some(place)) = self.place(record) {
                // The next run finds what is left.
                let _ = self.writer.discard(&place, temporary, kind);
            }
        }
    }

    /// Brings one object to the wanted side, and gives the bytes of content that were written for it.
    fn bring(&mut self, index: usize) -> Result<u64> {
        let path = escape(&self.record(index)?.0.path);
        self.bring_one(index).context(|| path)
    }

    fn bring_one(&mut self, index: usize) -> Result<u64> {
        let (record, _) = self.record(index)?;
        if needs_staging(record.how, self.sides(record)) {
            self.stage(index)?;
        }
        let (record, temporary) = self.record(index)?;
        let place = self.place_now(record)?;
        let (present, wanted) = self.sides(record);
        let look = self.look(temporary);
        let is_present = |found: &Handle| match present {
            Some(present) => Ok(look.difference(present, found, 2)?.is_none()),
            None => Ok(false),
        };
        match (record.how, wanted) {
            (How::Times, _) => {}
            (How::Metadata | How::InPlace, Some(wanted)) => {
                if let Standing::Foreign(reason) = look.at(record)? {
                    return Err(Error::mismatch(reason));
                }
                self.change(record, &place, wanted)?;
            }
            (_, None) => match present.map(|side| side.kind) {
                Some(Kind::Directory) => self.writer.remove_directory(&place, record.name())?,
                _ => self.writer.remove(&place, temporary, record.name(), &is_present)?,
            },
            (_, Some(_)) if present.is_some() => {
                self.writer.exchange(&place, temporary, record.name(), &is_present)?;
            }
            (_, Some(_)) => self.writer.publish(&place, temporary, record.name())?,
        }
        Ok(wanted.map_or(0, Side::content_bytes))
    }

    /// Changes an object that stays.
    fn change(&self, record: &Record, place: &Rc<Handle>, wanted: &Side) -> Result<()> {
        let node = self.node(record, place)?;
        if let Content::Pieces { size_bytes, pieces } = &wanted.content {
            self.writer.write_pieces(&node, *size_bytes, pieces)?;
        }
        self.writer.set_metadata(&node, wanted)
    }

    fn node(&self, record: &Record, place: &Rc<Handle>) -> Result<Rc<Handle>> {
        if record.name().is_empty() {
            return Ok(place.clone());
        }
        let child = self.directory.child(place, record.name())?;
        Ok(Rc::new(child.ok_or_else(|| Error::mismatch("is gone"))?))
    }

    /// Sets the times of directories, and makes all names durable. Gives the records whose times were set.
    fn settle(&self) -> Result<Vec<usize>> {
        let mut dated = Vec::new();
        let mut places: BTreeSet<Vec<&[u8]>> = BTreeSet::new();
        for (index, record) in self.patch.records().iter().enumerate() {
            if record.how != How::Times {
                places.insert(record.directory().collect());
                if record.after.as_ref().is_some_and(|side| side.kind == Kind::Directory) {
                    places.insert(parts(&record.path).collect());
                }
                continue;
            }
            let Some(wanted) = self.sides(record).1 else { continue };
            let Some(node) = self.directory.walk(parts(&record.path))? else { continue };
            if self.writer.set_modified(&node, wanted.modified).context(|| escape(&record.path))? {
                dated.push(index);
            }
        }
        for names in places {
            if let Some(place) = self.directory.walk(names.into_iter())? {
                self.writer.sync_directory(&place)?;
            }
        }
        Ok(dated)
    }

    /// Looks at everything again from the path of the target on.
    fn read_back(&self, dated: &[usize]) -> Result<()> {
        let again = Directory::open(&self.directory.path)?;
        if !again.is_same(self.directory) {
            let what = "the path of the target leads to another directory by now";
            return Err(Error::mismatch(what));
        }
        let standings = state::survey(self.patch, &again, &self.temporaries, true)?;
        if let Some(&index) = self.pending(&standings).first() {
            let (record, _) = self.record(index)?;
            let path = escape(&record.path);
            return Err(match standings.get(index) {
                Some(Standing::Foreign(reason)) => Error::mismatch(format!("{path} {reason}")),
                _ => io::Error::other(format!("{path} did not keep what was written")).into(),
            });
        }
        for &index in dated {
            let (record, _) = self.record(index)?;
            let Some(wanted) = self.sides(record).1 else { continue };
            let Some(node) = again.walk(parts(&record.path))? else { continue };
            if !is_same_time(wanted.modified, node.stat.modified) {
                let path = escape(&record.path);
                return Err(io::Error::other(format!("{path} did not keep its time")).into());
            }
        }
        Ok(())
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

/// True if a new object takes the name.
fn needs_staging(how: How, (_, wanted): (Option<&Side>, Option<&Side>)) -> bool {
    matches!(how, How::Create | How::Replace | How::Remove) && wanted.is_some()
}

/// True if the object under the other name of `record` is what an interrupted run leaves: all or the beginning of one
/// of the sides.
fn is_leftover(record: &Record, left: &Handle) -> Result<bool> {
    let mut sides = [&record.before, &record.after].into_iter().flatten();
    match left.stat.kind {
        Kind::Directory => Ok(sides.any(|side| side.kind == Kind::Directory)),
        Kind::Symlink => {
            let target = left.link_target()?;
            Ok(sides.any(|side| {
                side.kind == Kind::Symlink && side.content == Content::Whole(target.clone())
            }))
        }
        Kind::File => {
            let longest = sides.clone().map(Side::content_bytes).max().unwrap_or(0);
            if left.stat.size_bytes > longest {
                return Ok(false);
            }
            let content = left.read_at(0, crate::bytes::arith::to(left.stat.size_bytes)?)?;
            Ok(sides.any(|side| {
                matches!(&side.content, Content::Whole(whole)
                    if side.kind == Kind::File && whole.starts_with(&content))
            }))
        }
        _ => Ok(false),
    }
}
