//! What every directory says about the name of a new or removed entry.

use crate::bytes::arith;
use crate::bytes::text;
use crate::error::{Error, Refusal, Result};

/// Longest name of a directory entry, in bytes.
const NAME_LEN_MAX: usize = 255;

/// Refuses what cannot be the name of a new or removed entry.
///
/// # Errors
/// `Refused`; `Limit` if it is too long.
pub(crate) fn check(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.contains(&b'/') || name.contains(&0) {
        return Err(unsuitable(name, "is not a file name"));
    }
    if name == b"." || name == b".." {
        return Err(unsuitable(name, "is a fixed entry of every directory"));
    }
    if name.len() > NAME_LEN_MAX {
        let what = format!("length of the file name {} in bytes", text::escape_limited(name, 40));
        return Err(Error::limit(what, arith::len_u64(NAME_LEN_MAX), arith::len_u64(name.len())));
    }
    Ok(())
}

/// The refusal of a name that is taken.
pub(crate) fn exists(name: &[u8]) -> Error {
    unsuitable(name, "exists already")
}

/// The name to remove is not there.
pub(crate) fn missing(name: &[u8]) -> Error {
    Error::not_found(format!("no entry {}", text::escape(name)))
}

/// The refusal of a name that cannot be used.
pub(crate) fn unsuitable(name: &[u8], reason: &str) -> Error {
    Refusal::UnsuitableFile { path: text::escape(name), reason: reason.into() }.into()
}
