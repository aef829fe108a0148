//! Patches of a directory: file records in the place of byte runs, with the same promises.
//!
//! A [`FilePatch`] holds every object that an edit changes, with all of it that matters on both sides. The file
//! format is in [`format`](mod@format), the comparison with a directory in [`state`](mod@state), the order of writing in
//! [`apply`](mod@apply).
//!
//! What comes back exactly: content, kind, mode, owner, group, extended attributes (access control lists and labels
//! among them), the time of the last change of content, of files as well as of the directories in which names came and
//! went. What cannot: inode numbers, the time of the last change of anything (ctime), the time of birth, the order of
//! names in a directory; on NTFS the 8.3 name of a file that was removed. An attribute that this user may not see (`trusted.*` without root) is lost from a file whose
//! content is replaced.

pub mod apply;
mod check;
pub mod description;
pub mod format;
mod leftover;
mod mix;
pub mod state;
#[cfg(test)]
mod tests;

pub use apply::{Outcome, apply, undo};
pub use check::{RecordDefect, check_records};
pub use description::{DirectoryIdentity, FilesDescription};
pub use format::{decode, encode};
pub use leftover::leftovers_of_others;
pub use state::{FilesState, has_times, state};

use crate::bytes::arith::len_u64;
use crate::error::Result;
use crate::image::directory::record::{Content, Piece, Record, Side};

/// Bound on the records of one patch.
pub const RECORDS_MAX: usize = 65_536;

/// A finished edit of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    description: FilesDescription,
    /// Sound: see [`check_records`]. In the order in which they are applied.
    records: Vec<Record>,
}

impl FilePatch {
    /// Makes a patch.
    ///
    /// # Errors
    /// `Corrupt` with [`RecordDefect`]; `Limit`.
    pub fn new(description: FilesDescription, records: Vec<Record>) -> Result<Self> {
        check_records(&records)?;
        Ok(Self { description: description.cleaned(), records })
    }

    /// What the patch is for.
    pub fn description(&self) -> &FilesDescription {
        &self.description
    }

    /// The records in the order in which they are applied.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// True if the patch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of content that differ, over all records; of an object that is new or gone, all of them.
    pub fn bytes_changed(&self) -> u64 {
        self.records.iter().fold(0, |sum, record| sum.saturating_add(bytes_changed(record)))
    }
}

/// Bytes of content in which the sides of `record` differ.
pub fn bytes_changed(record: &Record) -> u64 {
    let sides = (record.before.as_ref(), record.after.as_ref());
    let (Some(before), Some(after)) = sides else {
        return [sides.0, sides.1].into_iter().flatten().map(Side::content_bytes).sum();
    };
    let differing = |a: &[u8], b: &[u8]| {
        let common = a.iter().zip(b).filter(|(a, b)| a != b).count();
        len_u64(common.saturating_add(a.len().abs_diff(b.len())))
    };
    match (&before.content, &after.content) {
        (Content::Whole(before), Content::Whole(after)) => differing(before, after),
        (Content::Pieces { pieces: before, .. }, Content::Pieces { pieces: after, .. }) => {
            let none: &[u8] = &[];
            let count = before.len().max(after.len());
            let bytes = |pieces: &'_ [Piece], at: usize| {
                pieces.get(at).map_or(none.to_vec(), |piece| piece.bytes.clone())
            };
            (0..count).fold(0, |sum, at| {
                sum.saturating_add(differing(&bytes(before, at), &bytes(after, at)))
            })
        }
        _ => 0,
    }
}
