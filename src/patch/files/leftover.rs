//! The other names that objects have in the middle of a change, and what an interrupted run leaves under them.
//!
//! The names follow from the digest of the patch, so that both directions know what either has left. What another
//! patch has left is told of, and not touched: only its own sides say whether it is that.

use super::FilePatch;
use super::format::{digest_of, encode};
use crate::bytes::arith;
use crate::bytes::text::escape;
use crate::error::Result;
use crate::image::directory::Directory;
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, Record, Side};
use crate::image::directory::stat::Kind;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const PREFIX: &str = ".regain-";
const SUFFIX: &str = ".tmp";

/// Bytes of the digest that are part of a name.
const DIGEST_BYTES: usize = 8;

/// Bound on the leftovers of others that are told.
const TOLD_MAX: usize = 16;

/// The other name of each object in the middle of its change: the same for apply and undo.
pub(super) fn temporaries(patch: &FilePatch) -> Result<Vec<Vec<u8>>> {
    let digest = digest_of(&encode(patch)?)?;
    let mut stem = String::from(PREFIX);
    for byte in digest.iter().take(DIGEST_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(stem, "{byte:02x}");
    }
    let name = |index: usize| format!("{stem}-{index}{SUFFIX}").into_bytes();
    Ok((0..patch.records().len()).map(name).collect())
}

/// True for a name that [`temporaries`] may give.
fn is_temporary(name: &[u8]) -> bool {
    let inner = name.strip_prefix(PREFIX.as_bytes());
    let inner = inner.and_then(|inner| inner.strip_suffix(SUFFIX.as_bytes()));
    let Some(inner) = inner else { return false };
    let mut parts = inner.split(|&byte| byte == b'-');
    let (digest, index) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    digest.len() == DIGEST_BYTES.saturating_mul(2)
        && digest.iter().all(u8::is_ascii_hexdigit)
        && !index.is_empty()
        && index.iter().all(u8::is_ascii_digit)
        && parts.next().is_none()
}

/// True if an interrupted run of this patch has left something under one of `temporaries`.
///
/// # Errors
/// `Io`; `Mismatch` if a directory is none any more.
pub(super) fn are_there(
    patch: &FilePatch,
    directory: &Directory,
    temporaries: &[Vec<u8>],
) -> Result<bool> {
    for (record, temporary) in patch.records().iter().zip(temporaries) {
        if let Some(place) = directory.walk(record.directory())?
            && directory.child(&place, temporary)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What interrupted runs of other patches have left beside the files of `patch`: paths that are safe to print.
///
/// # Errors
/// `Io`; `Mismatch` if a directory is none any more.
pub fn leftovers_of_others(patch: &FilePatch, directory: &Directory) -> Result<Vec<String>> {
    let own: BTreeSet<Vec<u8>> = temporaries(patch)?.into_iter().collect();
    let places: BTreeSet<Vec<&[u8]>> =
        patch.records().iter().map(|record| record.directory().collect()).collect();
    let mut found = Vec::new();
    for names in places {
        let Some(place) = directory.walk(names.iter().copied())? else { continue };
        if place.standing.reason().is_some() {
            continue;
        }
        directory.names(&place, &mut |name| {
            if is_temporary(name) && !own.contains(name) {
                let parts = names.iter().copied().chain([name]);
                let path: Vec<u8> =
                    parts.flat_map(|part| [b"/".as_slice(), part].concat()).collect();
                found.push(escape(&path));
            }
            Ok(found.len() < TOLD_MAX)
        })?;
    }
    Ok(found)
}

/// True if the object under the other name of `record` is what an interrupted run leaves: all or the beginning of one
/// of the sides.
pub(super) fn is_leftover(record: &Record, left: &Handle) -> Result<bool> {
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
            let content = left.read_at(0, arith::to(left.stat.size_bytes)?)?;
            Ok(sides.any(|side| {
                matches!(&side.content, Content::Whole(whole)
                    if side.kind == Kind::File && whole.starts_with(&content))
            }))
        }
        _ => Ok(false),
    }
}
