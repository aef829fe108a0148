//! What every patch promises about its records.

use super::RECORDS_MAX;
use crate::bytes::arith::{self, len_u64};
use crate::error::{Corrupt, Result};
use crate::image::directory::record::{Content, How, Piece, Record, Side};
use crate::image::directory::stat::Kind;
use std::collections::BTreeSet;

/// Bound on a path in bytes, as in Linux.
const PATH_BYTES_MAX: usize = 4096;

/// Bounds on the name and the value of an extended attribute, as in Linux.
const XATTR_NAME_BYTES_MAX: usize = 255;
const XATTR_BYTES_MAX: usize = 65_536;

/// Nanoseconds of a second.
const SECOND_NANOSECONDS: u32 = 1_000_000_000;

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordDefect {
    /// Relative, with an empty component, `.`, `..` or a NUL, or too long.
    #[error("has a path that is none")]
    Path,
    /// An object is changed twice.
    #[error("is about an object that another record is about")]
    Twice,
    /// The sides are not those of its kind of change.
    #[error("has other sides than its kind of change needs")]
    Sides,
    /// A mode, a time, or an attribute that cannot be.
    #[error("has a mode, a time or an attribute that cannot be")]
    Value,
    /// Pieces that overlap, lie outside, or do not fit those of the other side.
    #[error("has pieces that do not fit")]
    Pieces,
    /// The root itself is to be made or removed.
    #[error("makes or removes the root")]
    Root,
}

/// Checks what every patch promises about its records.
///
/// # Errors
/// `Corrupt` with [`RecordDefect`] at the first one that breaks the promise; `Limit`.
pub fn check_records(records: &[Record]) -> Result<()> {
    if records.len() > RECORDS_MAX {
        let actual = len_u64(records.len());
        return Err(crate::error::Error::limit("records of a patch", len_u64(RECORDS_MAX), actual));
    }
    let mut seen = BTreeSet::new();
    for record in records {
        let shown = || crate::bytes::text::escape_limited(&record.path, 200);
        let corrupt = |defect| Corrupt::new("patch record", defect).of(shown());
        check_record(record).map_err(corrupt)?;
        if !seen.insert((&record.path, record.how == How::Times)) {
            return Err(corrupt(RecordDefect::Twice).into());
        }
    }
    Ok(())
}

fn check_record(record: &Record) -> Result<(), RecordDefect> {
    check_path(&record.path)?;
    for side in [&record.before, &record.after].into_iter().flatten() {
        check_side(side)?;
    }
    let is_root = record.path == b"/";
    if is_root && !matches!(record.how, How::Metadata | How::Times) {
        return Err(RecordDefect::Root);
    }
    let fits = match (record.how, &record.before, &record.after) {
        (How::Create, None, Some(side)) | (How::Remove, Some(side), None) => {
            is_complete(side) && (record.how == How::Create || side.kind != Kind::Directory)
        }
        (How::Replace, Some(before), Some(after)) => {
            let is_file = |side: &Side| is_complete(side) && side.kind != Kind::Directory;
            is_file(before) && is_file(after)
        }
        (How::Metadata, Some(before), Some(after)) => {
            before.kind == after.kind
                && before.kind != Kind::Symlink
                && (&before.content, &after.content) == (&Content::Same, &Content::Same)
        }
        (How::Times, before, Some(after)) => {
            let is_directory =
                |side: &Side| side.kind == Kind::Directory && side.content == Content::Same;
            before.as_ref().is_none_or(is_directory) && is_directory(after)
        }
        (How::InPlace, Some(before), Some(after)) => {
            check_pieces(&before.content, &after.content)?;
            (before.kind, after.kind) == (Kind::File, Kind::File)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(RecordDefect::Sides) }
}

/// True if the object can be made from this side alone.
fn is_complete(side: &Side) -> bool {
    match side.kind {
        Kind::Directory => side.content == Content::Same,
        Kind::File => matches!(side.content, Content::Whole(_)),
        Kind::Symlink => matches!(&side.content, Content::Whole(target)
            if !target.is_empty() && target.len() < PATH_BYTES_MAX && !target.contains(&0)),
        _ => false,
    }
}

fn check_path(path: &[u8]) -> Result<(), RecordDefect> {
    let Some(rest) = path.strip_prefix(b"/") else { return Err(RecordDefect::Path) };
    let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    let is_sound = rest.is_empty() || rest.split(|&byte| byte == b'/').all(is_name);
    if path.len() > PATH_BYTES_MAX || path.contains(&0) || !is_sound {
        return Err(RecordDefect::Path);
    }
    Ok(())
}

fn check_side(side: &Side) -> Result<(), RecordDefect> {
    let is_xattr = |(name, value): &(Vec<u8>, Vec<u8>)| {
        !name.is_empty()
            && name.len() <= XATTR_NAME_BYTES_MAX
            && !name.contains(&0)
            && value.len() <= XATTR_BYTES_MAX
    };
    let is_ascending = side.xattrs.is_sorted_by(|(a, _), (b, _)| a < b);
    let is_sound = side.mode <= 0o7777
        && side.modified.nanoseconds < SECOND_NANOSECONDS
        && side.xattrs.iter().all(is_xattr)
        && is_ascending;
    if is_sound { Ok(()) } else { Err(RecordDefect::Value) }
}

/// Pieces of both sides inside the common part are at the same places and as long; behind it, the longer side has
/// one more piece that is all of its end.
fn check_pieces(before: &Content, after: &Content) -> Result<(), RecordDefect> {
    let (
        Content::Pieces { size_bytes: size_before, pieces: before },
        Content::Pieces { size_bytes: size_after, pieces: after },
    ) = (before, after)
    else {
        return Err(RecordDefect::Pieces);
    };
    let common_bytes = *size_before.min(size_after);
    let (before, tail_before) = split_tail(before, common_bytes, *size_before)?;
    let (after, tail_after) = split_tail(after, common_bytes, *size_after)?;
    let same_place = |(a, b): (&Piece, &Piece)| {
        (a.offset_bytes, a.bytes.len()) == (b.offset_bytes, b.bytes.len())
    };
    let is_sound = before.len() == after.len()
        && before.iter().zip(after).all(same_place)
        && tail_before.is_some() == (*size_before > common_bytes)
        && tail_after.is_some() == (*size_after > common_bytes);
    if is_sound { Ok(()) } else { Err(RecordDefect::Pieces) }
}

/// The pieces inside the common part, and the end of the longer side.
pub(super) fn split_tail(
    pieces: &[Piece],
    common_bytes: u64,
    size_bytes: u64,
) -> Result<(&[Piece], Option<&Piece>), RecordDefect> {
    let mut end_bytes = 0;
    for piece in pieces {
        let end = arith::add(piece.offset_bytes, len_u64(piece.bytes.len()));
        let end = end.map_err(|_| RecordDefect::Pieces)?;
        let crosses = piece.offset_bytes < common_bytes && end > common_bytes;
        if piece.bytes.is_empty() || piece.offset_bytes < end_bytes || crosses || end > size_bytes {
            return Err(RecordDefect::Pieces);
        }
        end_bytes = end;
    }
    match pieces.split_last() {
        Some((last, rest)) if last.offset_bytes >= common_bytes => {
            let is_all = last.offset_bytes == common_bytes && end_bytes == size_bytes;
            let is_only = rest.iter().all(|piece| piece.offset_bytes < common_bytes);
            if is_all && is_only { Ok((rest, Some(last))) } else { Err(RecordDefect::Pieces) }
        }
        _ => Ok((pieces, None)),
    }
}
