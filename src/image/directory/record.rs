//! What an edit of a directory changes, object by object: plain data, with both sides.

use super::stat::{Kind, Stat, Time};
use crate::bytes::arith::len_u64;

/// Unit in which pieces of a file are compared: what a medium writes wholly or not at all.
pub const PIECE_UNIT_BYTES: usize = 512;

/// How one object gets from one side to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// There is nothing before; made under another name, and moved into place whole.
    Create,
    /// A new object takes the name in one step.
    Replace,
    /// There is nothing after.
    Remove,
    /// Owner, mode and extended attributes change, one after the other; the content stays.
    Metadata,
    /// Pieces of a file are overwritten, and its end moved.
    InPlace,
    /// The time of a directory in which names change. Never compared, because every change of a name sets it; brought
    /// to its value at the end.
    Times,
}

impl How {
    /// All of them, in the order of their numbers in a patch file.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::Replace, Self::Remove, Self::Metadata, Self::InPlace, Self::Times];
}

/// One object that an edit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Absolute path below the target, without links, `.` and `..`.
    pub path: Vec<u8>,
    /// How it changes.
    pub how: How,
    /// What is there before the edit; `None` is nothing.
    pub before: Option<Side>,
    /// What is there after it.
    pub after: Option<Side>,
}

/// An object, as it is on one side of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// A regular file, a directory or a symbolic link.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub modified: Time,
    /// Extended attributes, ascending by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is known of the content.
    pub content: Content,
}

/// The content of an object, as far as an edit concerns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It stays as it is.
    Same,
    /// All of it: the bytes of a file, the target of a link.
    Whole(Vec<u8>),
    /// Some of a file.
    Pieces {
        /// Its size in bytes.
        size_bytes: u64,
        /// Ascending and apart.
        pieces: Vec<Piece>,
    },
}

/// Bytes somewhere in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they start.
    pub offset_bytes: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Side {
    /// An object without its content.
    pub fn of(stat: &Stat, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let Stat { kind, mode, uid, gid, modified, .. } = *stat;
        Self { kind, mode, uid, gid, modified, xattrs, content: Content::Same }
    }

    /// Bytes of content that are stored.
    pub fn content_bytes(&self) -> u64 {
        match &self.content {
            Content::Same => 0,
            Content::Whole(bytes) => len_u64(bytes.len()),
            Content::Pieces { pieces, .. } => {
                pieces.iter().fold(0, |sum, piece| sum.saturating_add(len_u64(piece.bytes.len())))
            }
        }
    }
}

impl Record {
    /// The name in its directory.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// The path as components.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        components(&self.path)
    }

    /// The path of its directory, as components.
    pub fn directory(&self) -> impl Iterator<Item = &[u8]> {
        let end = self.path.len().saturating_sub(self.name().len());
        components(self.path.get(..end).unwrap_or_default())
    }
}

/// The names of a path, one after the other.
pub fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

/// The pieces in which `before` and `after` differ, as both sides of a file that is changed in place.
pub fn pieces_between(before: &[u8], after: &[u8]) -> (Content, Content) {
    let common = before.len().min(after.len());
    let (mut old, mut new): (Vec<Piece>, Vec<Piece>) = (Vec::new(), Vec::new());
    let units = before
        .get(..common)
        .unwrap_or_default()
        .chunks(PIECE_UNIT_BYTES)
        .zip(after.get(..common).unwrap_or_default().chunks(PIECE_UNIT_BYTES));
    let mut offset_bytes = 0u64;
    for (was, is) in units {
        if was != is {
            add(&mut old, offset_bytes, was);
            add(&mut new, offset_bytes, is);
        }
        offset_bytes = offset_bytes.saturating_add(len_u64(was.len()));
    }
    for (side, bytes) in [(&mut old, before), (&mut new, after)] {
        let tail = bytes.get(common..).unwrap_or_default();
        if !tail.is_empty() {
            side.push(Piece { offset_bytes: len_u64(common), bytes: tail.to_vec() });
        }
    }
    let content =
        |bytes: &[u8], pieces| Content::Pieces { size_bytes: len_u64(bytes.len()), pieces };
    (content(before, old), content(after, new))
}

/// Adds `bytes` to the last piece if they follow directly.
pub fn add(pieces: &mut Vec<Piece>, offset_bytes: u64, bytes: &[u8]) {
    if let Some(last) = pieces.last_mut()
        && last.offset_bytes.checked_add(len_u64(last.bytes.len())) == Some(offset_bytes)
    {
        last.bytes.extend_from_slice(bytes);
        return;
    }
    pieces.push(Piece { offset_bytes, bytes: bytes.to_vec() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_units_that_differ_and_the_longer_end_are_pieces() {
        let before = vec![0; 1500];
        let mut after = before.clone();
        after[600] = 1;
        after.truncate(1300);
        let (old, new) = pieces_between(&before, &after);
        let Content::Pieces { size_bytes, pieces } = old else { panic!() };
        assert_eq!(size_bytes, 1500);
        let places: Vec<_> = pieces.iter().map(|p| (p.offset_bytes, p.bytes.len())).collect();
        assert_eq!(places, [(512, 512), (1300, 200)]);
        let Content::Pieces { size_bytes, pieces } = new else { panic!() };
        assert_eq!((size_bytes, pieces.len(), pieces[0].bytes[88]), (1300, 1, 1));
    }

    #[test]
    fn paths_have_a_directory_and_a_name() {
        let record =
            Record { path: b"/a/b/c".to_vec(), how: How::Remove, before: None, after: None };
        assert_eq!(record.name(), b"c");
        assert_eq!(record.directory().collect::<Vec<_>>(), [b"a", b"b"]);
        let top = Record { path: b"/c".to_vec(), ..record };
        assert_eq!((top.name(), top.directory().count()), (b"c".as_slice(), 0));
    }
}
