//! Reading small text files of a guest, within bounds and without trust.

use crate::error::{Context, Result};
use crate::fs::path::{GuestPath, read_file};
use crate::fs::{FileSystem, NodeId};
use std::ops::ControlFlow;

/// Bound on a configuration file that is read as a whole, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1024 * 1024;
/// Bound on the names taken from one directory of configuration files.
pub const DIRECTORY_NAMES_MAX: usize = 4096;

/// Reads a file that must be understood if it exists.
///
/// # Errors
/// As [`read_file`], with the path.
pub fn required(fs: &dyn FileSystem, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    read_file(fs, &GuestPath::new(path), limit_bytes).context(|| path.to_owned())
}

/// Reads a file that only informs: a failure becomes a warning.
pub fn optional(fs: &dyn FileSystem, path: &str, warnings: &mut Vec<String>) -> Option<Vec<u8>> {
    match required(fs, path, TEXT_BYTES_MAX) {
        Ok(content) => content,
        Err(error) => {
            warnings.push(format!("not read: {error}"));
            None
        }
    }
}

/// The lines of a file, without their LF. CR stays.
pub fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&byte| byte == b'\n')
}

/// The names in a directory, sorted by bytes; empty if it is no directory.
///
/// # Errors
/// As the file system; `Limit` above [`DIRECTORY_NAMES_MAX`].
pub fn sorted_names(fs: &dyn FileSystem, directory: NodeId) -> Result<Vec<Vec<u8>>> {
    if fs.metadata(directory)?.kind != crate::fs::NodeKind::Directory {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    fs.read_dir(directory, &mut |entry| {
        if names.len() >= DIRECTORY_NAMES_MAX {
            return Err(crate::error::Error::limit(
                "number of names in a configuration directory",
                crate::bytes::arith::len_u64(DIRECTORY_NAMES_MAX),
                crate::bytes::arith::len_u64(DIRECTORY_NAMES_MAX.saturating_add(1)),
            ));
        }
        names.push(entry.name);
        Ok(ControlFlow::Continue(()))
    })?;
    names.sort();
    Ok(names)
}

/// True if something exists at `path`, links followed; an unreadable path does not.
pub fn exists(fs: &dyn FileSystem, path: &str) -> bool {
    matches!(crate::fs::path::find(fs, &GuestPath::new(path)), Ok(Some(_)))
}

/// The kind of what `path` leads to, links followed.
pub fn kind(fs: &dyn FileSystem, path: &str) -> Option<crate::fs::NodeKind> {
    let found = crate::fs::path::find(fs, &GuestPath::new(path)).ok()??;
    fs.metadata(found.node).ok().map(|metadata| metadata.kind)
}
