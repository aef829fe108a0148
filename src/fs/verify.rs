//! Independent verification: what must be true of a volume after an edit, and who looked.
//!
//! A parser and a writer by the same hand share one misreading, so a finished edit is read back by
//! a reader that is not ours before anything leaves the overlay. Here are the questions; each file
//! system brings its readers.

use super::path::{GuestPath, Resolution, resolve};
use super::{FILE_BYTES_MAX, FileSystem, NodeKind};
use crate::bytes::arith;
use crate::error::{Error, Refusal, Result};

/// What must be at a path. No component of the path may be a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The real path.
    pub path: GuestPath,
    /// What must be there.
    pub state: Expected,
}

/// What must be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A regular file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Owner and permissions.
        owner: Owner,
    },
    /// A regular file that is too large to be compared as a whole.
    Pieces {
        /// Its size.
        size_bytes: u64,
        /// Where each piece starts in bytes, and its bytes. They do not overlap.
        pieces: Vec<(u64, Vec<u8>)>,
        /// Owner and permissions.
        owner: Owner,
    },
    /// A directory.
    Directory {
        /// Owner and permissions.
        owner: Owner,
    },
    /// Nothing.
    Absent,
}

/// Owner and permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits: `0..=0o7777`.
    pub mode: u32,
}

/// The readers that can confirm an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A reader that shares no code with the writer agrees.
    Independent {
        /// Its name.
        reader: &'static str,
    },
    /// Only our own reader, opened afresh, agrees.
    OwnReaderOnly {
        /// Why the independent one could not be asked.
        reason: String,
    },
}

impl Verdict {
    /// Who verified, as the report says it.
    pub fn reader(&self) -> &'static str {
        match self {
            Self::Independent { reader } => reader,
            Self::OwnReaderOnly { .. } => "own reader",
        }
    }
}

/// What a reader finds at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The kind; `None` for anything but files, directories and links.
    pub kind: Option<NodeKind>,
    /// Owner and permissions.
    pub owner: Owner,
    /// Size of the content in bytes.
    pub size_bytes: u64,
}

/// A reader that can be asked about paths.
pub trait VerifyReader {
    /// What is at `path`, without following a link in the last component; `None` if nothing.
    ///
    /// # Errors
    /// Whatever keeps the reader from answering.
    fn look(&self, path: &GuestPath) -> Result<Option<Found>>;

    /// The content of the regular file at `path`, which has `size_bytes`.
    ///
    /// # Errors
    /// Whatever keeps the reader from answering.
    fn content(&self, path: &GuestPath, size_bytes: u64) -> Result<Vec<u8>>;

    /// `len` bytes from `offset_bytes` of the regular file at `path`, which has `size_bytes`; fewer only at its
    /// end.
    ///
    /// # Errors
    /// Whatever keeps the reader from answering; `Limit` if it reads whole files only and this one is too large.
    fn piece(
        &self,
        path: &GuestPath,
        size_bytes: u64,
        offset_bytes: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        if size_bytes > FILE_BYTES_MAX {
            let what = "size of the file in bytes";
            return Err(Error::limit(what, FILE_BYTES_MAX, size_bytes));
        }
        let content = self.content(path, size_bytes)?;
        let start: usize = arith::to(offset_bytes)?;
        let end = start.saturating_add(len).min(content.len());
        Ok(content.get(start..end).unwrap_or_default().to_vec())
    }
}

/// Asks `reader` about every expectation.
///
/// # Errors
/// `Refused` ([`Refusal::NotVerified`]) with the first difference; the errors of the reader.
pub fn check(reader: &dyn VerifyReader, expectations: &[Expectation]) -> Result<()> {
    for Expectation { path, state } in expectations {
        let found = reader.look(path)?;
        let difference = match (state, found) {
            (Expected::Absent, None) => None,
            (Expected::Absent, Some(_)) => Some("is there, should be absent".to_owned()),
            (_, None) => Some("is not there".to_owned()),
            (Expected::Directory { owner }, Some(found)) => {
                node_difference(NodeKind::Directory, *owner, found)
            }
            (Expected::Pieces { size_bytes, pieces, owner }, Some(found)) => {
                match node_difference(NodeKind::File, *owner, found) {
                    Some(difference) => Some(difference),
                    None => piece_difference(reader, path, (*size_bytes, pieces), found)?,
                }
            }
            (Expected::File { content, owner }, Some(found)) => {
                match node_difference(NodeKind::File, *owner, found) {
                    Some(difference) => Some(difference),
                    None => content_difference(reader, path, content, found.size_bytes)?,
                }
            }
        };
        if let Some(difference) = difference {
            return Err(Refusal::NotVerified { detail: format!("{path} {difference}") }.into());
        }
    }
    Ok(())
}

fn node_difference(kind: NodeKind, expected: Owner, found: Found) -> Option<String> {
    if found.kind != Some(kind) {
        let found = found.kind.map_or("something else".to_owned(), |kind| format!("a {kind}"));
        return Some(format!("is {found}, should be a {kind}"));
    }
    let text = |owner: Owner| format!("{}:{} mode {:04o}", owner.uid, owner.gid, owner.mode);
    (found.owner != expected)
        .then(|| format!("has owner {}, should have {}", text(found.owner), text(expected)))
}

fn piece_difference(
    reader: &dyn VerifyReader,
    path: &GuestPath,
    (size_bytes, pieces): (u64, &[(u64, Vec<u8>)]),
    found: Found,
) -> Result<Option<String>> {
    if found.size_bytes != size_bytes {
        return Ok(Some(format!("has {} bytes, should have {size_bytes}", found.size_bytes)));
    }
    for (offset_bytes, expected) in pieces {
        if reader.piece(path, size_bytes, *offset_bytes, expected.len())? != *expected {
            return Ok(Some(format!("has other bytes at {offset_bytes:#x} than were written")));
        }
    }
    Ok(None)
}

fn content_difference(
    reader: &dyn VerifyReader,
    path: &GuestPath,
    expected: &[u8],
    size_bytes: u64,
) -> Result<Option<String>> {
    let expected_bytes = arith::len_u64(expected.len());
    if size_bytes != expected_bytes {
        return Ok(Some(format!("has {size_bytes} bytes, should have {expected_bytes}")));
    }
    let content = reader.content(path, size_bytes)?;
    Ok((content != expected).then(|| "has other content than was written".to_owned()))
}

/// Our own reader, for what the independent one cannot read. Must be opened afresh, so that nothing
/// that the edit left in memory is asked.
#[derive(Debug)]
pub struct OwnReader<'a>(pub &'a dyn FileSystem);

impl VerifyReader for OwnReader<'_> {
    fn look(&self, path: &GuestPath) -> Result<Option<Found>> {
        let Resolution::Found(resolved) = resolve(self.0, path, false)? else { return Ok(None) };
        let metadata = self.0.metadata(resolved.node)?;
        let owner = Owner { uid: metadata.uid, gid: metadata.gid, mode: metadata.mode };
        let size_bytes = metadata.size_bytes;
        Ok(Some(Found { kind: Some(metadata.kind), owner, size_bytes }))
    }

    fn content(&self, path: &GuestPath, size_bytes: u64) -> Result<Vec<u8>> {
        match resolve(self.0, path, false)? {
            Resolution::Found(resolved) => self.0.read(resolved.node, size_bytes),
            Resolution::Missing { .. } => Ok(Vec::new()),
        }
    }

    fn piece(&self, path: &GuestPath, _: u64, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        match resolve(self.0, path, false)? {
            Resolution::Found(resolved) => self.0.read_at(resolved.node, offset_bytes, len),
            Resolution::Missing { .. } => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneFile(Found, &'static [u8]);

    impl VerifyReader for OneFile {
        fn look(&self, path: &GuestPath) -> Result<Option<Found>> {
            Ok((path.as_bytes() == b"/file").then_some(self.0))
        }

        fn content(&self, _: &GuestPath, _: u64) -> Result<Vec<u8>> {
            Ok(self.1.to_vec())
        }
    }

    #[test]
    fn every_difference_is_named() {
        let owner = Owner { uid: 1, gid: 2, mode: 0o600 };
        let file = Found { kind: Some(NodeKind::File), owner, size_bytes: 3 };
        let wrong_owner = Owner { uid: 0, gid: 2, mode: 0o4644 };
        let wants = |content: &[u8]| Expected::File { content: content.to_vec(), owner };
        let piece = |size_bytes, offset_bytes, bytes: &[u8]| Expected::Pieces {
            size_bytes,
            pieces: vec![(offset_bytes, bytes.to_vec())],
            owner,
        };
        for (found, path, state, expected) in [
            (file, "/file", wants(b"abc"), None),
            (file, "/other", Expected::Absent, None),
            (file, "/file", Expected::Absent, Some("/file is there, should be absent")),
            (file, "/other", wants(b"abc"), Some("/other is not there")),
            (file, "/file", wants(b"abd"), Some("/file has other content than was written")),
            (file, "/file", wants(b"ab"), Some("/file has 3 bytes, should have 2")),
            (file, "/file", piece(3, 1, b"bc"), None),
            (file, "/file", piece(4, 1, b"bc"), Some("/file has 3 bytes, should have 4")),
            (
                file,
                "/file",
                piece(3, 1, b"bd"),
                Some("/file has other bytes at 0x1 than were written"),
            ),
            (
                file,
                "/file",
                Expected::Directory { owner },
                Some("/file is a regular file, should be a directory"),
            ),
            (
                Found { kind: None, ..file },
                "/file",
                wants(b"abc"),
                Some("/file is something else, should be a regular file"),
            ),
            (
                Found { owner: wrong_owner, ..file },
                "/file",
                wants(b"abc"),
                Some("/file has owner 0:2 mode 4644, should have 1:2 mode 0600"),
            ),
        ] {
            let expectation = Expectation { path: GuestPath::new(path), state };
            let result = check(&OneFile(found, b"abc"), &[expectation]);
            let message = result.err().map(|error| error.to_string());
            let prefix = "the finished edit failed verification: ";
            assert_eq!(message, expected.map(|text| format!("{prefix}{text}")));
        }
    }
}
