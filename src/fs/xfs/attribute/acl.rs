//! Access control lists as XFS stores them, and as [`crate::fs::acl`] knows them.
//!
//! No format document describes them; observed with `setfacl` and xfs_db (xfsprogs 6.1, Linux
//! 6.18): big-endian, all entries of the same length, ids of all ones where they mean nothing. The
//! forms of [`crate::fs::acl`] are little-endian; lists are handed out in the one of `getxattr(2)`
//! and taken in both. Order and permissions are its business; here only what cannot be translated
//! is a defect.
//!
//! | offset | size | spec    | ours        | valid when                         |
//! |-------:|-----:|---------|-------------|------------------------------------|
//! |    0x0 |    4 | acl_cnt | -           | number of entries that follow      |
//! |    0x4 |  12n | entries | -           | up to the end                      |
//! |    0x0 |    4 | ae_tag  | tag         | 1, 2, 4, 8, 0x10 or 0x20           |
//! |    0x4 |    4 | ae_id   | id          | means something with tags 2 and 8  |
//! |    0x8 |    2 | ae_perm | permissions | 0..=7                              |
//! |    0xa |    2 | ae_pad  | -           | any                                |

use crate::bytes::field::{self, be_u16, be_u32, le_u16, le_u32};
use crate::error::{Corrupt, Result};

/// Bytes before the entries, in both forms.
const HEADER_BYTES: usize = 4;
/// Bytes of a stored entry.
const STORED_ENTRY_BYTES: usize = 12;
/// The form of `fs::acl` without ids that mean nothing.
const VERSION_SHORT: u32 = 1;
/// The form of `fs::acl` and `getxattr(2)` with all ids.
const VERSION_LONG: u32 = 2;
/// The id where there is none.
const NO_ID: u32 = u32::MAX;

/// What can be wrong with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum ListDefect {
    #[error("{count} entries do not fill {len} bytes")]
    Count { count: u32, len: usize },
    #[error("version is {0}, not 1 or 2")]
    Version(u32),
    #[error("entry {index} has tag {tag:#x}")]
    Tag { index: usize, tag: u32 },
    #[error(transparent)]
    Short(#[from] field::Short),
}

/// True if entries with this tag are about somebody with an id; `None` if there is no such tag.
fn has_id(tag: u32) -> Option<bool> {
    match tag {
        0x2 | 0x8 => Some(true),
        0x1 | 0x4 | 0x10 | 0x20 => Some(false),
        _ => None,
    }
}

fn parse_stored(stored: &[u8]) -> Result<Vec<u8>, ListDefect> {
    let count = be_u32(stored, 0)?;
    let entries = stored.get(HEADER_BYTES..).unwrap_or_default();
    let chunks = entries.chunks_exact(STORED_ENTRY_BYTES);
    let fits = chunks.remainder().is_empty() && u32::try_from(chunks.len()) == Ok(count);
    if !fits {
        return Err(ListDefect::Count { count, len: stored.len() });
    }
    let mut list = VERSION_LONG.to_le_bytes().to_vec();
    for (index, entry) in chunks.enumerate() {
        let (tag, id, permissions) = (be_u32(entry, 0)?, be_u32(entry, 4)?, be_u16(entry, 8)?);
        let defect = ListDefect::Tag { index, tag };
        let id = if has_id(tag).ok_or(defect)? { id } else { NO_ID };
        list.extend(field::low_u16(tag).to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    Ok(list)
}

fn encode_stored(list: &[u8]) -> Result<Vec<u8>, ListDefect> {
    let version = le_u32(list, 0)?;
    if !matches!(version, VERSION_SHORT | VERSION_LONG) {
        return Err(ListDefect::Version(version));
    }
    let mut rest = list.get(HEADER_BYTES..).unwrap_or_default();
    let mut entries = Vec::new();
    let mut count: u32 = 0;
    while !rest.is_empty() {
        let (tag, permissions) = (u32::from(le_u16(rest, 0)?), le_u16(rest, 2)?);
        let index = entries.len().checked_div(STORED_ENTRY_BYTES).unwrap_or_default();
        let has_id = has_id(tag).ok_or(ListDefect::Tag { index, tag })?;
        let len = if has_id || version == VERSION_LONG { 8 } else { 4 };
        field::slice(rest, 0, len)?;
        let id = if has_id { le_u32(rest, 4)? } else { NO_ID };
        entries.extend(tag.to_be_bytes());
        entries.extend(id.to_be_bytes());
        entries.extend(permissions.to_be_bytes());
        entries.extend([0; 2]);
        count = count.saturating_add(1);
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok([count.to_be_bytes().as_slice(), &entries].concat())
}

/// The list in the form of [`crate::fs::acl`].
///
/// # Errors
/// `Corrupt` if it makes no sense.
pub(super) fn from_stored(stored: &[u8]) -> Result<Vec<u8>> {
    Ok(parse_stored(stored).map_err(|defect| Corrupt::new("access control list", defect))?)
}

/// The list as XFS stores it.
///
/// # Errors
/// `Corrupt` if it makes no sense.
pub(super) fn to_stored(list: &[u8]) -> Result<Vec<u8>> {
    Ok(encode_stored(list).map_err(|defect| Corrupt::new("access control list", defect))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `setfacl -m u:1000:rwx,g:50:r` stored on a file with mode 0644.
    const STORED: [u8; 76] = [
        0, 0, 0, 6, 0, 0, 0, 1, 255, 255, 255, 255, 0, 6, 0, 0, 0, 0, 0, 2, 0, 0, 3, 0xe8, 0, 7, 0,
        0, 0, 0, 0, 4, 255, 255, 255, 255, 0, 4, 0, 0, 0, 0, 0, 8, 0, 0, 0, 50, 0, 4, 0, 0, 0, 0,
        0, 0x10, 255, 255, 255, 255, 0, 7, 0, 0, 0, 0, 0, 0x20, 255, 255, 255, 255, 0, 4, 0, 0,
    ];
    /// What `getfattr` showed of it.
    const LIST: [u8; 52] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255,
        255, 255, 255, 8, 0, 4, 0, 50, 0, 0, 0, 0x10, 0, 7, 0, 255, 255, 255, 255, 0x20, 0, 4, 0,
        255, 255, 255, 255,
    ];
    /// The same as ext stores it.
    const SHORT: [u8; 36] = [
        1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 8, 0, 4, 0, 50, 0, 0, 0,
        0x10, 0, 7, 0, 0x20, 0, 4, 0,
    ];

    #[test]
    fn what_a_kernel_stored_passes_both_ways() {
        assert_eq!(parse_stored(&STORED).unwrap(), LIST);
        assert_eq!(encode_stored(&LIST).unwrap(), STORED);
        assert_eq!(encode_stored(&SHORT).unwrap(), STORED);
        assert!(crate::fs::acl::with_mode(&LIST, 0o640).unwrap().is_some());
    }

    #[test]
    fn every_defect_is_named() {
        let changed = |at: usize, value: u8| {
            let mut stored = STORED;
            stored[at] = value;
            parse_stored(&stored)
        };
        assert_eq!(changed(3, 5), Err(ListDefect::Count { count: 5, len: 76 }));
        assert_eq!(changed(0, 255), Err(ListDefect::Count { count: 0xff00_0006, len: 76 }));
        assert_eq!(changed(7, 3), Err(ListDefect::Tag { index: 0, tag: 3 }));
        let short = parse_stored(&STORED[..75]);
        assert_eq!(short, Err(ListDefect::Count { count: 6, len: 75 }));
        assert!(matches!(parse_stored(&[0; 3]), Err(ListDefect::Short(_))));
        let mut list = LIST;
        list[0] = 3;
        assert_eq!(encode_stored(&list), Err(ListDefect::Version(3)));
        list[0] = 2;
        list[12] = 3;
        assert_eq!(encode_stored(&list), Err(ListDefect::Tag { index: 1, tag: 3 }));
        assert!(matches!(encode_stored(&LIST[..51]), Err(ListDefect::Short(_))));
        assert!(matches!(encode_stored(&SHORT[..35]), Err(ListDefect::Short(_))));
        assert_eq!(from_stored(&[]).unwrap_err().kind_name(), "corrupt");
        assert_eq!(to_stored(&[]).unwrap_err().kind_name(), "corrupt");
    }
}
