//! Where a directory stands between the two sides of a patch.
//!
//! Each record is compared for itself. A name that is exchanged in one step is on one side or the other; where owner,
//! mode and attributes change one after the other, or pieces are overwritten, an interrupted run leaves a mix, and what
//! may be in such a mix is exactly what this module accepts. Anything else is of somebody else.
//!
//! The times of directories are never compared, because every change of a name sets them; those of files whose
//! pieces or metadata change are not compared in a mix.

use super::{FilePatch, leftover};
use crate::bytes::arith::len_u64;
use crate::bytes::text::escape;
use crate::error::{Context as _, Result};
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, How, Piece, Record, Side};
use crate::image::directory::stat::{Kind, Stat, Time};

/// How much of a file is read at once, in bytes: whole units.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Where a directory stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesState {
    /// Every object is as before the edit.
    Unapplied,
    /// Every object is as after the edit.
    Applied,
    /// A mix of both: an interrupted run, which apply finishes and undo takes back.
    Partial {
        /// Objects that are not, or not wholly, as after the edit.
        before: u64,
        /// Objects that are as after the edit.
        after: u64,
    },
    /// Some object is neither: another tree, or changed since. Apply and undo refuse it.
    Foreign {
        /// The first such object, safe to print.
        path: String,
        /// How it differs.
        reason: String,
    },
}

/// Where one object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// As before the edit.
    Before,
    /// As after it.
    After,
    /// Both sides are the same.
    Both,
    /// In the middle of a change that has several steps.
    Between,
    /// As on neither side.
    Foreign(String),
}

/// Compares the objects below `directory` with both sides of `patch`.
///
/// # Errors
/// `Io`, also if something may not be read.
pub fn state(patch: &FilePatch, directory: &Directory) -> Result<FilesState> {
    let names = leftover::temporaries(patch)?;
    Ok(found(patch, directory, &names)?.0)
}

/// Where the directory stands, and every record. What an interrupted run has left makes it one, wherever it came to.
pub(super) fn found(
    patch: &FilePatch,
    directory: &Directory,
    temporaries: &[Vec<u8>],
) -> Result<(FilesState, Vec<Standing>)> {
    let standings = survey(patch, directory, temporaries, false)?;
    let state = match summary(patch, &standings) {
        FilesState::Unapplied | FilesState::Applied
            if leftover::are_there(patch, directory, temporaries)? =>
        {
            let count = |side| len_u64(standings.iter().filter(|found| **found == side).count());
            FilesState::Partial { before: count(Standing::Before), after: count(Standing::After) }
        }
        state => state,
    };
    Ok((state, standings))
}

/// True if the directories in which names change have the times of the wanted side, which says nothing of anything
/// else.
///
/// # Errors
/// `Io`; `Mismatch` if a directory is none any more.
pub fn has_times(patch: &FilePatch, directory: &Directory, is_applied: bool) -> Result<bool> {
    for record in patch.records().iter().filter(|record| record.how == How::Times) {
        let side = if is_applied { &record.after } else { &record.before };
        if let Some(side) = side
            && let Some(node) = directory.walk(record.components())?
            && !is_same_time(side.modified, node.stat.modified)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The standing of every record.
pub(super) fn survey(
    patch: &FilePatch,
    directory: &Directory,
    temporaries: &[Vec<u8>],
    is_past_cache: bool,
) -> Result<Vec<Standing>> {
    let pairs = patch.records().iter().zip(temporaries);
    pairs
        .map(|(record, temporary)| {
            let look = Look { directory, temporary, is_past_cache };
            look.at(record).context(|| escape(&record.path))
        })
        .collect()
}

fn summary(patch: &FilePatch, standings: &[Standing]) -> FilesState {
    let (mut before, mut after, mut between) = (0u64, 0u64, 0u64);
    for (record, standing) in patch.records().iter().zip(standings) {
        match standing {
            Standing::Foreign(reason) => {
                let (path, reason) = (escape(&record.path), reason.clone());
                return FilesState::Foreign { path, reason };
            }
            Standing::Before => before = before.saturating_add(1),
            Standing::After => after = after.saturating_add(1),
            Standing::Between => between = between.saturating_add(1),
            Standing::Both => {}
        }
    }
    match (before, after, between) {
        (0, _, 0) => FilesState::Applied,
        (_, 0, 0) => FilesState::Unapplied,
        _ => FilesState::Partial { before: before.saturating_add(between), after },
    }
}

/// A look at single objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) directory: &'a Directory,
    /// The other name that the object may have in the middle of a change.
    pub(super) temporary: &'a [u8],
    pub(super) is_past_cache: bool,
}

impl Look<'_> {
    /// Where the object of `record` stands.
    pub(super) fn at(&self, record: &Record) -> Result<Standing> {
        if record.how == How::Times {
            return Ok(self.at_times(record));
        }
        let place = match self.directory.walk(record.directory()) {
            Ok(place) => place,
            Err(error) if error.exit_status() == 6 => {
                return Ok(Standing::Foreign(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let Some(place) = place else { return self.compare(record, None) };
        if let Some(reason) = place.standing.reason() {
            return Ok(Standing::Foreign(format!("is on {reason}")));
        }
        if record.name().is_empty() {
            return self.compare(record, Some((&place, 1)));
        }
        let Some(found) = self.directory.child(&place, record.name())? else {
            return self.compare(record, None);
        };
        let other = self.directory.child(&place, self.temporary)?;
        let has_other = other.is_some_and(|other| other.stat.key == found.stat.key);
        self.compare(record, Some((&found, if has_other { 2 } else { 1 })))
    }

    /// The time of a directory says nothing; that it lies on a mount of others does.
    fn at_times(&self, record: &Record) -> Standing {
        let node = self.directory.walk(record.components());
        // What is missing, or no directory, is told by the records of what is in it.
        let node = node.ok().flatten();
        let reason = node.as_ref().and_then(|node| node.standing.reason());
        reason.map_or(Standing::Both, |reason| Standing::Foreign(format!("is on {reason}")))
    }

    /// Where `found`, which may have so many names, stands; `None` is nothing.
    pub(super) fn compare(
        &self,
        record: &Record,
        found: Option<(&Handle, u32)>,
    ) -> Result<Standing> {
        let before = self.side_difference(record.before.as_ref(), found)?;
        let after = self.side_difference(record.after.as_ref(), found)?;
        Ok(match (before, after) {
            (None, None) => Standing::Both,
            (None, Some(_)) => Standing::Before,
            (Some(_), None) => Standing::After,
            (Some(reason), Some(_)) => match (found, &record.before, &record.after) {
                (Some((found, _)), Some(before), Some(after))
                    if matches!(record.how, How::Metadata | How::InPlace)
                        && self.is_mix(found, before, after)? =>
                {
                    Standing::Between
                }
                _ => Standing::Foreign(format!(
                    "is neither as before the edit ({reason}) nor as after it"
                )),
            },
        })
    }

    fn side_difference(
        &self,
        side: Option<&Side>,
        found: Option<(&Handle, u32)>,
    ) -> Result<Option<String>> {
        match (side, found) {
            (None, None) => Ok(None),
            (None, Some(_)) => Ok(Some("was not there".to_owned())),
            (Some(_), None) => Ok(Some("is gone".to_owned())),
            (Some(side), Some((found, names))) => self.difference(side, found, names),
        }
    }

    /// How `found`, which may have `names` names, differs from `side`; `None` if it does not.
    pub(super) fn difference(
        &self,
        side: &Side,
        found: &Handle,
        names: u32,
    ) -> Result<Option<String>> {
        let stat = found.stat_now()?;
        if stat.kind != side.kind {
            return Ok(Some("another kind of object".to_owned()));
        }
        if let Some(reason) = found.standing.reason() {
            return Ok(Some(reason.to_owned()));
        }
        let is_ntfs = self.directory.ntfs_acl_name().is_some();
        if stat.kind != Kind::Directory && stat.link_count > names && !is_ntfs {
            return Ok(Some(format!("it has {} names", stat.link_count)));
        }
        if !is_ntfs {
            if (stat.uid, stat.gid) != (side.uid, side.gid) {
                let (was, is) = ((side.uid, side.gid), (stat.uid, stat.gid));
                return Ok(Some(format!("owner {}:{}, not {}:{}", is.0, is.1, was.0, was.1)));
            }
            if stat.kind != Kind::Symlink && stat.mode != side.mode {
                return Ok(Some(format!("mode {:04o}, not {:04o}", stat.mode, side.mode)));
            }
        }
        if let Some(name) = self.attribute_difference(side, found)? {
            return Ok(Some(format!("the attribute {}", escape(&name))));
        }
        if side.kind != Kind::Directory && !is_same_time(side.modified, stat.modified) {
            return Ok(Some("the time of its last change".to_owned()));
        }
        self.content_difference(side, found, &stat)
    }

    fn attribute_difference(&self, side: &Side, found: &Handle) -> Result<Option<Vec<u8>>> {
        for name in found.xattr_names()? {
            let is_known = side.xattrs.iter().any(|(known, _)| *known == name);
            if !is_known && !self.directory.is_made_by_host(&name) {
                return Ok(Some(name));
            }
        }
        for (name, value) in &side.xattrs {
            if found.xattr(self.directory.host_attribute(name))?.as_ref() != Some(value) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn content_difference(
        &self,
        side: &Side,
        found: &Handle,
        stat: &Stat,
    ) -> Result<Option<String>> {
        let other = || Some("another content".to_owned());
        match &side.content {
            Content::Same => Ok(None),
            Content::Whole(target) if side.kind == Kind::Symlink => {
                Ok(if found.link_target()? == *target { None } else { other() })
            }
            Content::Whole(content) => {
                if stat.size_bytes != len_u64(content.len()) {
                    return Ok(Some(format!("{} bytes", stat.size_bytes)));
                }
                self.prepare(found)?;
                let piece = |(start, chunk): (usize, &[u8])| {
                    Ok(found.read_at(len_u64(start), chunk.len())? == chunk)
                };
                let starts = (0..).step_by(CHUNK_BYTES);
                let same: Result<Vec<bool>> =
                    starts.zip(content.chunks(CHUNK_BYTES)).map(piece).collect();
                Ok(if same?.into_iter().all(|same| same) { None } else { other() })
            }
            Content::Pieces { size_bytes, pieces } => {
                if stat.size_bytes != *size_bytes {
                    return Ok(Some(format!("{} bytes", stat.size_bytes)));
                }
                self.prepare(found)?;
                for Piece { offset_bytes, bytes } in pieces {
                    if found.read_at(*offset_bytes, bytes.len())? != *bytes {
                        return Ok(Some(format!("other bytes at {offset_bytes:#x}")));
                    }
                }
                Ok(None)
            }
        }
    }

    fn prepare(&self, found: &Handle) -> Result<()> {
        if self.is_past_cache { found.drop_cache() } else { Ok(()) }
    }
}

/// True if a file system that keeps times less exactly would give `found` for `wanted`.
pub(super) fn is_same_time(wanted: Time, found: Time) -> bool {
    let rounded = |unit: u32| {
        let rest = wanted.nanoseconds.checked_rem(unit).unwrap_or(0);
        wanted.nanoseconds.saturating_sub(rest)
    };
    wanted.seconds == found.seconds
        && [1, 100, 1000, 1_000_000_000].into_iter().any(|unit| rounded(unit) == found.nanoseconds)
}
