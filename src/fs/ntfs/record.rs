//! One record of the MFT: its header, its fix-ups, and the list of its attributes.
//!
//! Sources: linux-ntfs documentation, "FILE Record"; libyal libfsntfs, "MFT entry"; WIN-104, WIN-105. Everything
//! here is pure: bytes in, value or [`RecordDefect`] out. Editing the attributes is in [`super::attribute::edit`].

use super::attribute::{self, Attribute, AttributeKind};
use super::fix_up::{self, FixUpDefect};
use super::units::{FileReference, MftRecordNumber};
use crate::bytes::arith::{self, OutOfRange};
use crate::bytes::field::{self, Short};
use crate::error::Corrupt;

/// Length of the header since Windows XP, in bytes; older ones lack its last two fields.
const HEADER_BYTES: usize = 0x30;
/// Length of the header before Windows XP, in bytes.
const OLD_HEADER_BYTES: usize = 0x2a;
/// The type that ends the attributes.
const END_MARKER: u32 = 0xffff_ffff;
/// Length of the end marker and of the padding that counts as used behind it, in bytes.
const END_BYTES: usize = 8;
/// Largest record, in bytes.
const RECORD_BYTES_MAX: usize = 4096;
/// Bound on the attributes of one record: the smallest is 24 bytes long.
const ATTRIBUTES_MAX: usize = 4096 / 24;

/// Flags of a record.
pub(crate) mod flag {
    /// The record belongs to a file.
    pub(crate) const IN_USE: u16 = 0x1;
    /// The file is a directory: it has an index of names.
    pub(crate) const DIRECTORY: u16 = 0x2;
}

/// What can be wrong with an MFT record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordDefect {
    /// A structure is cut off.
    #[error(transparent)]
    Short(#[from] Short),
    /// A number left its type.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The fix-ups do not fit or do not agree.
    #[error(transparent)]
    FixUp(#[from] FixUpDefect),
    /// A record that chkdsk gave up.
    #[error("the record is marked as broken (BAAD)")]
    Broken,
    /// No record at all.
    #[error("signature is {0:x?}, not FILE")]
    Signature([u8; 4]),
    /// The size in the header is not that of the volume.
    #[error("allocated size is {found} bytes, not {expected}")]
    Allocated {
        /// Record size of the volume.
        expected: usize,
        /// The header's.
        found: u32,
    },
    /// Bytes in use behind the end or in front of the attributes, or not aligned.
    #[error("{used} bytes in use, attributes from {first:#x}, record of {len} bytes")]
    Used {
        /// Bytes in use.
        used: u32,
        /// Offset of the first attribute.
        first: u16,
        /// Length of the record.
        len: usize,
    },
    /// The list of attributes does not end where the header says.
    #[error("attributes end at {end:#x}, but {used:#x} bytes are in use")]
    End {
        /// Behind the end marker.
        end: usize,
        /// From the header.
        used: usize,
    },
    /// An attribute whose parts do not fit into it.
    #[error("attribute at {offset:#x} ({kind}): {problem}")]
    Attribute {
        /// Its place in the record.
        offset: usize,
        /// Its type.
        kind: AttributeKind,
        /// What does not fit.
        problem: &'static str,
    },
}

/// The header of a record.
///
/// 48 bytes, little-endian; 42 on volumes made before Windows XP.
///
/// | offset | size | field                          | here              | valid when                     |
/// |-------:|-----:|--------------------------------|-------------------|--------------------------------|
/// |    0x0 |    4 | signature                      | (checked)         | "FILE"                         |
/// |    0x4 |    4 | update sequence array          | (see `fix_up`)    |                                |
/// |    0x8 |    8 | $LogFile sequence number       | log_sequence      | any                            |
/// |   0x10 |    2 | sequence number                | sequence          | not 0 in a record in use       |
/// |   0x12 |    2 | hard link count                | link_count        | number of names, DOS ones too  |
/// |   0x14 |    2 | offset of the first attribute  | first_attribute   | multiple of 8, behind the array|
/// |   0x16 |    2 | flags                          | flags             | see [`flag`]                   |
/// |   0x18 |    4 | bytes in use                   | used_bytes        | multiple of 8, at most allocated|
/// |   0x1c |    4 | bytes allocated                | (checked)         | record size of the volume      |
/// |   0x20 |    8 | base record                    | base              | 0 in a base record             |
/// |   0x28 |    2 | next attribute id              | next_attribute_id | above every id in the record   |
/// |   0x2a |    2 | padding                        |                   |                                |
/// |   0x2c |    4 | number of this record          | (kept)            | low 32 bits                    |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Place in the log of the last change; kept by edits (WIN-105).
    pub(crate) log_sequence: u64,
    /// How often the record was used.
    pub(crate) sequence: u16,
    /// Number of names, those of type DOS included.
    pub(crate) link_count: u16,
    /// Offset of the first attribute in bytes.
    first_attribute: u16,
    /// See [`flag`].
    pub(crate) flags: u16,
    /// Bytes in use, the end marker and its padding included.
    used_bytes: u32,
    /// Raw reference of the base record; 0 if this is one.
    pub(crate) base_raw: u64,
    /// The id that the next new attribute gets.
    pub(crate) next_attribute_id: u16,
}

/// A record of the MFT without its fix-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place in the MFT.
    pub(crate) number: MftRecordNumber,
    /// The header; what is changed here is stored by [`Record::encode`].
    pub(crate) header: RecordHeader,
    /// The whole record; its header is that of the last parse.
    bytes: Vec<u8>,
}

impl RecordHeader {
    fn parse(bytes: &[u8]) -> Result<Self, RecordDefect> {
        let len = bytes.len();
        let header = Self {
            log_sequence: field::le_u64(bytes, 0x8)?,
            sequence: field::le_u16(bytes, 0x10)?,
            link_count: field::le_u16(bytes, 0x12)?,
            first_attribute: field::le_u16(bytes, 0x14)?,
            flags: field::le_u16(bytes, 0x16)?,
            used_bytes: field::le_u32(bytes, 0x18)?,
            base_raw: field::le_u64(bytes, 0x20)?,
            next_attribute_id: field::le_u16(bytes, 0x28)?,
        };
        let found = field::le_u32(bytes, 0x1c)?;
        if arith::to::<_, usize>(found)? != len {
            return Err(RecordDefect::Allocated { expected: len, found });
        }
        let array = usize::from(field::le_u16(bytes, 4)?);
        let words = usize::from(field::le_u16(bytes, 6)?);
        let (first, used) = (header.first_attribute, header.used_bytes);
        let is_valid = array >= OLD_HEADER_BYTES
            && usize::from(first) >= array.saturating_add(words.saturating_mul(2))
            && first.is_multiple_of(8)
            && used.is_multiple_of(8)
            && arith::to::<_, usize>(used)? <= len
            && u32::from(first) < used;
        if is_valid { Ok(header) } else { Err(RecordDefect::Used { used, first, len }) }
    }

    fn store(&self, bytes: &mut [u8]) -> Result<(), RecordDefect> {
        field::put_le_u64(bytes, 0x8, self.log_sequence)?;
        field::put_le_u16(bytes, 0x10, self.sequence)?;
        field::put_le_u16(bytes, 0x12, self.link_count)?;
        field::put_le_u16(bytes, 0x14, self.first_attribute)?;
        field::put_le_u16(bytes, 0x16, self.flags)?;
        field::put_le_u32(bytes, 0x18, self.used_bytes)?;
        field::put_le_u64(bytes, 0x20, self.base_raw)?;
        field::put_le_u16(bytes, 0x28, self.next_attribute_id)?;
        Ok(())
    }
}

impl Record {
    /// Parses the record `number` as it is stored. The attributes are not looked at.
    ///
    /// # Errors
    /// [`RecordDefect`].
    pub(crate) fn parse(number: MftRecordNumber, mut bytes: Vec<u8>) -> Result<Self, RecordDefect> {
        match &field::array(&bytes, 0)? {
            b"FILE" => {}
            b"BAAD" => return Err(RecordDefect::Broken),
            &signature => return Err(RecordDefect::Signature(signature)),
        }
        fix_up::remove(&mut bytes)?;
        let header = RecordHeader::parse(&bytes)?;
        Ok(Self { number, header, bytes })
    }

    /// An empty record of `len` bytes that is not in use, as a new one of the MFT is made (WIN-112).
    ///
    /// # Errors
    /// [`RecordDefect`] if `len` is no valid length of a record.
    pub(crate) fn format(
        number: MftRecordNumber,
        len: usize,
        sequence: u16,
    ) -> Result<Self, RecordDefect> {
        if len > RECORD_BYTES_MAX {
            return Err(FixUpDefect::Length(len).into());
        }
        let words = len.checked_div(fix_up::STRIDE_BYTES).ok_or(OutOfRange)?.saturating_add(1);
        let array_end = arith::len_u64(HEADER_BYTES.saturating_add(words.saturating_mul(2)));
        let first_attribute: u16 = arith::to(arith::round_up(array_end, 8)?)?;
        let mut bytes = vec![0; len];
        field::put(&mut bytes, 0, b"FILE")?;
        field::put_le_u16(&mut bytes, 4, arith::to(HEADER_BYTES)?)?;
        field::put_le_u16(&mut bytes, 6, arith::to(words)?)?;
        field::put_le_u32(&mut bytes, 0x1c, arith::to(len)?)?;
        field::put_le_u32(&mut bytes, 0x2c, field::low_u32(number.0))?;
        field::put_le_u32(&mut bytes, usize::from(first_attribute), END_MARKER)?;
        let header = RecordHeader {
            log_sequence: 0,
            sequence,
            link_count: 0,
            first_attribute,
            flags: 0,
            used_bytes: u32::from(first_attribute).saturating_add(8),
            base_raw: 0,
            next_attribute_id: 0,
        };
        header.store(&mut bytes)?;
        Ok(Self { number, header, bytes })
    }

    /// An empty record in the place of `old`, a free one: its sequence number and its update sequence go on.
    ///
    /// # Errors
    /// As [`Record::format`].
    pub(crate) fn format_over(old: &Self) -> Result<Self, RecordDefect> {
        let mut new = Self::format(old.number, old.len(), old.header.sequence.max(1))?;
        let old_array = usize::from(field::le_u16(&old.bytes, 4)?);
        let update_sequence: [u8; 2] = field::array(&old.bytes, old_array)?;
        field::put(&mut new.bytes, HEADER_BYTES, &update_sequence)?;
        Ok(new)
    }

    /// The record as it is stored, with the update sequence number raised (WIN-104).
    ///
    /// # Errors
    /// [`RecordDefect`] if the header has no room.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, RecordDefect> {
        let mut bytes = self.bytes.clone();
        self.header.store(&mut bytes)?;
        fix_up::stamp(&mut bytes)?;
        Ok(bytes)
    }

    /// The record without fix-ups, as a parser sees it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if the record belongs to a file.
    pub(crate) fn is_in_use(&self) -> bool {
        self.header.flags & flag::IN_USE != 0
    }

    /// True if the file is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.header.flags & flag::DIRECTORY != 0
    }

    /// The base record, if this is an extension record.
    pub(crate) fn base(&self) -> Option<FileReference> {
        (self.header.base_raw != 0).then(|| FileReference::from_raw(self.header.base_raw))
    }

    /// The reference that names this use of the record.
    pub(crate) fn reference(&self) -> FileReference {
        FileReference { record: self.number, sequence: self.header.sequence }
    }

    /// Bytes that a new attribute may take.
    pub(crate) fn free_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.used())
    }

    pub(super) fn used(&self) -> usize {
        // At most 4096.
        usize::try_from(self.header.used_bytes).unwrap_or(usize::MAX)
    }

    /// Every attribute, in the order of the record, with all their parts checked.
    ///
    /// # Errors
    /// [`RecordDefect`].
    pub(crate) fn attributes(&self) -> Result<Vec<Attribute<'_>>, RecordDefect> {
        let mut found = Vec::new();
        let used = self.used();
        let mut offset = usize::from(self.header.first_attribute);
        let bytes = field::slice(&self.bytes, 0, used)?;
        for _ in 0..=ATTRIBUTES_MAX {
            if field::le_u32(bytes, offset)? == END_MARKER {
                let end = offset.saturating_add(END_BYTES);
                // Some writers do not count the padding behind the marker.
                if end != used && offset.saturating_add(4) != used {
                    return Err(RecordDefect::End { end, used });
                }
                return Ok(found);
            }
            let attribute = attribute::parse(bytes, offset)?;
            offset = offset.saturating_add(attribute.len_bytes);
            found.push(attribute);
        }
        Err(RecordDefect::End { end: offset, used })
    }

    /// The first attribute of `kind` with `name`.
    ///
    /// # Errors
    /// [`RecordDefect`].
    pub(crate) fn attribute(
        &self,
        kind: AttributeKind,
        name: &[u16],
    ) -> Result<Option<Attribute<'_>>, RecordDefect> {
        Ok(self.attributes()?.into_iter().find(|attribute| attribute.is(kind, name)))
    }

    /// Replaces `old_len` bytes at `offset`, which hold whole attributes or none, by `new`, and moves what
    /// follows. Says false, and changes nothing, if the record has no room.
    pub(super) fn splice(
        &mut self,
        offset: usize,
        old_len: usize,
        new: &[u8],
    ) -> Result<bool, RecordDefect> {
        let (used, len) = (self.used(), self.bytes.len());
        let tail_from = offset.saturating_add(old_len);
        let tail_len = used.checked_sub(tail_from).ok_or(OutOfRange)?;
        let tail = field::slice(&self.bytes, tail_from, tail_len)?.to_vec();
        let tail_to = offset.saturating_add(new.len());
        let used_after = tail_to.saturating_add(tail_len);
        if used_after > len {
            return Ok(false);
        }
        field::put(&mut self.bytes, offset, new)?;
        field::put(&mut self.bytes, tail_to, &tail)?;
        if let Some(freed) = self.bytes.get_mut(used_after..used.max(used_after)) {
            freed.fill(0);
        }
        self.header.used_bytes = arith::to(used_after)?;
        Ok(true)
    }

    /// Writes over bytes inside an attribute.
    pub(super) fn put(&mut self, offset: usize, value: &[u8]) -> Result<(), RecordDefect> {
        Ok(field::put(&mut self.bytes, offset, value)?)
    }

    /// Where a new attribute goes that comes behind all others: the offset of the end marker.
    pub(super) fn end_offset(&self) -> Result<usize, RecordDefect> {
        let first = usize::from(self.header.first_attribute);
        let last = self.attributes()?.pop();
        Ok(last.map_or(first, |last| last.offset.saturating_add(last.len_bytes)))
    }

    /// The damage as an error, with the record that has it.
    pub(crate) fn corrupt(number: MftRecordNumber, defect: RecordDefect) -> Corrupt {
        Corrupt::new("MFT record", defect).of(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::edit::NewAttribute;
    use super::super::upcase::UpCase;
    use super::*;

    const NUMBER: MftRecordNumber = MftRecordNumber(131);

    fn stored() -> Vec<u8> {
        let mut record = Record::format(NUMBER, 1024, 7).unwrap();
        let value = NewAttribute::resident(AttributeKind::DATA, &[], b"content");
        assert!(record.insert(&value, &UpCase::for_tests()).unwrap().is_some());
        record.encode().unwrap()
    }

    /// WIN-104, WIN-112: header of a new record.
    #[test]
    fn new_records_of_both_sizes_are_read_back() {
        for (len, first, words) in [(1024, 0x38, 3), (2048, 0x40, 5), (4096, 0x48, 9)] {
            let record = Record::format(NUMBER, len, 7).unwrap();
            let bytes = record.encode().unwrap();
            assert_eq!(field::le_u16(&bytes, 6), Ok(words));
            assert_eq!(field::le_u32(&bytes, 0x2c), Ok(131));
            let again = Record::parse(NUMBER, bytes).unwrap();
            assert_eq!(again.header.first_attribute, first);
            assert_eq!(again.header, record.header);
            assert_eq!(again.attributes().unwrap(), []);
            assert!(!again.is_in_use());
        }
        assert!(Record::format(NUMBER, 8192, 1).is_err());
    }

    #[test]
    fn changed_headers_are_stored() {
        let mut record = Record::parse(NUMBER, stored()).unwrap();
        record.header.link_count = 2;
        record.header.flags = flag::IN_USE | flag::DIRECTORY;
        record.header.base_raw = 0x0003_0000_0000_0021;
        let again = Record::parse(NUMBER, record.encode().unwrap()).unwrap();
        assert_eq!(again.header, record.header);
        assert!(again.is_in_use() && again.is_directory());
        assert_eq!(again.base().map(|base| (base.record.0, base.sequence)), Some((0x21, 3)));
    }

    /// A change of one field, and the defect that it makes.
    #[test]
    fn broken_headers_name_their_defect() {
        let used = |used, first| RecordDefect::Used { used, first, len: 1024 };
        for (offset, value, defect) in [
            (0, &b"BAAD"[..], RecordDefect::Broken),
            (0, &b"INDX"[..], RecordDefect::Signature(*b"INDX")),
            (0x1c, &[0, 8][..], RecordDefect::Allocated { expected: 1024, found: 2048 }),
            (0x14, &[0x34][..], used(0x60, 0x34)),
            (0x14, &[0x30][..], used(0x60, 0x30)),
            (0x14, &[0x60][..], used(0x60, 0x60)),
            (0x18, &[0x5c][..], used(0x5c, 0x38)),
            (0x18, &[0x08, 0x04][..], used(0x408, 0x38)),
        ] {
            let mut bytes = stored();
            field::put(&mut bytes, offset, value).unwrap();
            assert_eq!(Record::parse(NUMBER, bytes).unwrap_err(), defect, "{offset:#x}");
        }
    }

    /// A change of one field of the attribute at 0x38, and the defect that it makes.
    #[test]
    fn broken_attributes_name_their_defect() {
        let attribute =
            |problem| RecordDefect::Attribute { offset: 0x38, kind: AttributeKind::DATA, problem };
        for (offset, value, defect) in [
            (0x3c, &[0x1c][..], attribute("length is no multiple of 8")),
            (0x3c, &[0x10][..], attribute("length is shorter than its header")),
            (0x3c, &[0x30][..], attribute("length leads behind the bytes in use")),
            (0x3c, &[0xf8, 255, 255, 255][..], attribute("length leads behind the bytes in use")),
            (0x41, &[0x20][..], attribute("name lies outside")),
            (0x48, &[0x20][..], attribute("value lies outside")),
            (0x48, &[255, 255, 255, 255][..], attribute("value lies outside")),
            (0x4c, &[0x1a][..], attribute("value lies outside")),
            (0x4c, &[0x08][..], attribute("value lies outside")),
            (0x40, &[1][..], attribute("length is shorter than its header")),
            (0x40, &[2][..], attribute("neither resident nor non-resident")),
            (0x58, &[0x90][..], RecordDefect::Short(Short { needed: 0x61, available: 0x60 })),
            (0x38, &[255; 4][..], RecordDefect::End { end: 0x40, used: 0x60 }),
        ] {
            let mut bytes = stored();
            field::put(&mut bytes, offset, value).unwrap();
            let record = Record::parse(NUMBER, bytes).unwrap();
            assert_eq!(record.attributes().unwrap_err(), defect, "{offset:#x} {value:x?}");
        }
    }
}
