//! Bytes of a file that are to be replaced.

use crate::bytes::arith::len_u64;
use std::fmt;

/// One replacement of bytes.
///
/// Offsets count in the content before any change. The bytes can hold a password, so `Debug` shows
/// lengths only.
#[derive(Clone, PartialEq, Eq)]
pub struct ByteChange {
    /// Where the old bytes start, in bytes from the start of the file or value.
    pub offset_bytes: u64,
    /// What must be there.
    pub old: Vec<u8>,
    /// What takes its place.
    pub new: Vec<u8>,
}

/// Why a list of changes does not fit a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeDefect {
    /// The bytes to be replaced are not what they were when the change was made.
    #[error("the bytes at {offset_bytes:#x} are not the ones that were to be replaced")]
    Foreign {
        /// Where, in bytes.
        offset_bytes: u64,
    },
    /// Two changes overlap, or they are not in ascending order.
    #[error("the changes at {offset_bytes:#x} overlap")]
    Order {
        /// Where the later one starts, in bytes.
        offset_bytes: u64,
    },
}

impl ByteChange {
    /// True if nothing after the change moves.
    pub fn keeps_length(&self) -> bool {
        self.old.len() == self.new.len()
    }
}

impl fmt::Debug for ByteChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset_bytes, old, new } = self;
        write!(f, "ByteChange at {offset_bytes:#x}: {} bytes for {}", new.len(), old.len())
    }
}

/// `content` after `changes`, which must be in ascending order and must not overlap.
///
/// # Errors
/// [`ChangeDefect`] if they do not fit.
pub fn apply(content: &[u8], changes: &[ByteChange]) -> Result<Vec<u8>, ChangeDefect> {
    let mut result = Vec::with_capacity(content.len());
    let mut rest = content;
    let mut done_bytes = 0u64;
    for ByteChange { offset_bytes, old, new } in changes {
        let foreign = ChangeDefect::Foreign { offset_bytes: *offset_bytes };
        let order = ChangeDefect::Order { offset_bytes: *offset_bytes };
        let kept = offset_bytes.checked_sub(done_bytes).ok_or(order)?;
        let kept = usize::try_from(kept).map_err(|_| foreign)?;
        let (before, at) = rest.split_at_checked(kept).ok_or(foreign)?;
        rest = at.strip_prefix(old.as_slice()).ok_or(foreign)?;
        result.extend_from_slice(before);
        result.extend_from_slice(new);
        done_bytes = offset_bytes.saturating_add(len_u64(old.len()));
    }
    result.extend_from_slice(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(offset_bytes: u64, old: &str, new: &str) -> ByteChange {
        ByteChange { offset_bytes, old: old.into(), new: new.into() }
    }

    #[test]
    fn changes_are_made_where_they_fit_and_nowhere_else() {
        let content = b"type: static # x";
        let first = change(6, "static", "random");
        for (changes, expected) in [
            (vec![], Ok("type: static # x")),
            (vec![first.clone()], Ok("type: random # x")),
            (vec![change(0, "", "a: b\n"), first.clone()], Ok("a: b\ntype: random # x")),
            (vec![first.clone(), change(12, " # x", "")], Ok("type: random")),
            (vec![change(16, "", "!")], Ok("type: static # x!")),
            (vec![change(7, "static", "x")], Err(ChangeDefect::Foreign { offset_bytes: 7 })),
            (vec![change(17, "", "x")], Err(ChangeDefect::Foreign { offset_bytes: 17 })),
            (
                vec![change(u64::MAX, "", "x")],
                Err(ChangeDefect::Foreign { offset_bytes: u64::MAX }),
            ),
            (
                vec![first.clone(), change(11, "c", "x")],
                Err(ChangeDefect::Order { offset_bytes: 11 }),
            ),
        ] {
            let expected = expected.map(|text: &str| text.as_bytes().to_vec());
            assert_eq!(apply(content, &changes), expected, "{changes:?}");
        }
        assert!(first.keeps_length() && !change(0, "", "x").keeps_length());
    }

    #[test]
    fn a_change_is_shown_without_its_bytes() {
        let shown = format!("{:?}", change(6, "secret", "hidden!"));
        assert_eq!(shown, "ByteChange at 0x6: 7 bytes for 6");
    }
}
