//! `$ATTRIBUTE_LIST`: which record holds which attribute of a file that does not fit one record.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", sections "The attribute list attribute" and
//! "Attribute chains". Entries are sorted by type, name and first VCN. Everything here is pure; the records are
//! read in [`super::file`].

use super::attribute::AttributeKind;
use super::name::units_from_le;
use super::units::{FileReference, Vcn};
use crate::bytes::field::{self, Short, le_u16, le_u32, le_u64, u8_at};
use crate::error::{Corrupt, Error};

/// Longest list in bytes, as `$AttrDef` of every volume allows it.
pub(crate) const ATTRIBUTE_LIST_BYTES_MAX: u64 = 256 * 1024;
const ENTRY_HEADER_BYTES: usize = 26;

/// What can be wrong with an attribute list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListDefect {
    #[error("entry at {at:#x} of {len} bytes does not fit")]
    EntryLen { at: usize, len: u16 },
    #[error("entry at {at:#x} has a name of {units} units that does not fit")]
    Name { at: usize, units: u8 },
    #[error(transparent)]
    Short(#[from] Short),
}

impl From<ListDefect> for Error {
    fn from(defect: ListDefect) -> Self {
        Corrupt::new("$ATTRIBUTE_LIST", defect).into()
    }
}

/// One attribute, or one part of it.
///
/// | offset | size | field | here | valid when |
/// |-------:|-----:|-------|------|------------|
/// | 0x00 | 4 | type | kind | |
/// | 0x04 | 2 | length of the entry | (checked) | 26 or more, multiple of 8 |
/// | 0x06 | 1 | length of the name in units | name | name inside the entry |
/// | 0x07 | 1 | offset of the name | name | |
/// | 0x08 | 8 | first VCN | first | 0 for the first part |
/// | 0x10 | 8 | record | record | base record or an extension of it |
/// | 0x18 | 2 | id of the attribute in its record | id | |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) kind: AttributeKind,
    pub(crate) name: Vec<u16>,
    pub(crate) first: Vcn,
    pub(crate) record: FileReference,
    pub(crate) id: u16,
}

/// Parses the value of an attribute list, which the caller has bounded.
///
/// # Errors
/// [`ListDefect`].
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<ListEntry>, ListDefect> {
    let mut entries = Vec::new();
    let mut at = 0usize;
    // Every entry takes at least ENTRY_HEADER_BYTES.
    while at < bytes.len() {
        let len = le_u16(bytes, at.saturating_add(4))?;
        let entry = field::slice(bytes, at, usize::from(len))
            .map_err(|_| ListDefect::EntryLen { at, len })?;
        if entry.len() < ENTRY_HEADER_BYTES || !len.is_multiple_of(8) {
            return Err(ListDefect::EntryLen { at, len });
        }
        let units = u8_at(entry, 6)?;
        let name_at = usize::from(u8_at(entry, 7)?);
        let name = if units == 0 {
            &[]
        } else {
            field::slice(entry, name_at, usize::from(units).saturating_mul(2))
                .ok()
                .filter(|_| name_at >= ENTRY_HEADER_BYTES)
                .ok_or(ListDefect::Name { at, units })?
        };
        entries.push(ListEntry {
            kind: AttributeKind(le_u32(entry, 0)?),
            name: units_from_le(name),
            first: Vcn(le_u64(entry, 8)?),
            record: FileReference::from_raw(le_u64(entry, 0x10)?),
            id: le_u16(entry, 0x18)?,
        });
        at = at.saturating_add(entry.len());
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::field::{put, put_le_u16, put_le_u32, put_le_u64};

    fn entry(kind: u32, name: &str, first: u64, record: u64, id: u16) -> Vec<u8> {
        let units: Vec<u16> = name.encode_utf16().collect();
        let mut bytes = vec![0; (26 + 2 * units.len()).next_multiple_of(8)];
        let len = u16::try_from(bytes.len()).unwrap();
        put_le_u32(&mut bytes, 0, kind).unwrap();
        put_le_u16(&mut bytes, 4, len).unwrap();
        bytes[6] = u8::try_from(units.len()).unwrap();
        bytes[7] = 26;
        put_le_u64(&mut bytes, 8, first).unwrap();
        put_le_u64(&mut bytes, 16, record).unwrap();
        put_le_u16(&mut bytes, 24, id).unwrap();
        put(&mut bytes, 26, &crate::fs::ntfs::name::units_to_le(&units)).unwrap();
        bytes
    }

    #[test]
    fn entries_are_read_in_order() {
        let first = entry(0x10, "", 0, 0x0001_0000_0000_0040, 0);
        let second = entry(0xa0, "$I30", 596, 0x0002_0000_0000_0041, 7);
        let entries = parse(&[first, second].concat()).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].kind, AttributeKind::STANDARD_INFORMATION);
        let last = &entries[1];
        assert_eq!((last.kind, last.first), (AttributeKind::INDEX_ALLOCATION, Vcn(596)));
        assert_eq!((last.record.record.0, last.record.sequence, last.id), (0x41, 2, 7));
        assert_eq!(last.name, [0x24, 0x49, 0x33, 0x30]);
        assert_eq!(parse(&[]), Ok(Vec::new()));
    }

    #[test]
    fn every_defect_is_named() {
        let good = entry(0xa0, "$I30", 0, 1, 1);
        assert_eq!(good.len(), 40);
        for (at, value, expected) in [
            (4, 24, ListDefect::EntryLen { at: 0, len: 24 }),
            (4, 34, ListDefect::EntryLen { at: 0, len: 34 }),
            (4, 48, ListDefect::EntryLen { at: 0, len: 48 }),
            (6, 9, ListDefect::Name { at: 0, units: 9 }),
            (7, 8, ListDefect::Name { at: 0, units: 4 }),
        ] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert_eq!(parse(&bytes), Err(expected));
        }
        assert!(matches!(parse(&good[..5]), Err(ListDefect::Short(_))));
    }
}
