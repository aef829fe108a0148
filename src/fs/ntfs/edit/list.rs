//! `$ATTRIBUTE_LIST`: which record holds which attribute of a file that does not fit one record.
//!
//! Source: linux-ntfs documentation, "$ATTRIBUTE_LIST"; libyal libfsntfs, "The attribute list". The list names
//! every attribute of the file but itself, those of the base record too, ordered by type, name and first VCN.
//! An edit makes it anew from the records, so that the two always agree; they are compared when it is read.

use super::super::attribute::AttributeKind;
use super::super::attribute_list::ListEntry;
use super::super::name::units_to_le;
use super::super::record::Record;
use super::super::units::Vcn;
use super::super::upcase::UpCase;
use super::store::on_record;
use crate::bytes::arith;
use crate::bytes::field;
use crate::error::Result;

/// Length of an entry without its name, in bytes.
const ENTRY_BYTES: usize = 0x1a;

/// The entries in the order in which they are stored.
pub(super) fn sorted(mut entries: Vec<ListEntry>, up_case: &UpCase) -> Vec<ListEntry> {
    entries.sort_by(|a, b| {
        let key = |entry: &ListEntry| (entry.first, entry.record, entry.id);
        let order = a.kind.cmp(&b.kind).then_with(|| up_case.collate(&a.name, &b.name));
        order.then_with(|| key(a).cmp(&key(b)))
    });
    entries
}

/// The stored form of `entries`.
pub(super) fn encode(entries: &[ListEntry]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        let name = units_to_le(&entry.name);
        let unpadded = arith::len_u64(ENTRY_BYTES.saturating_add(name.len()));
        let len: usize = arith::to(arith::round_up(unpadded, 8)?)?;
        let mut stored = vec![0; len];
        field::put_le_u32(&mut stored, 0, entry.kind.0)?;
        field::put_le_u16(&mut stored, 4, arith::to(len)?)?;
        field::put(&mut stored, 6, &[arith::to(entry.name.len())?, arith::to(ENTRY_BYTES)?])?;
        field::put_le_u64(&mut stored, 8, entry.first.0)?;
        field::put_le_u64(&mut stored, 0x10, entry.record.to_raw()?)?;
        field::put_le_u16(&mut stored, 0x18, entry.id)?;
        field::put(&mut stored, ENTRY_BYTES, &name)?;
        bytes.extend_from_slice(&stored);
    }
    Ok(bytes)
}

/// The entries that a list of these records has.
pub(super) fn of_records(records: &[Record], up_case: &UpCase) -> Result<Vec<ListEntry>> {
    let mut entries = Vec::new();
    for record in records {
        for attribute in on_record(record.number, record.attributes())? {
            if attribute.kind == AttributeKind::ATTRIBUTE_LIST {
                continue;
            }
            entries.push(ListEntry {
                kind: attribute.kind,
                first: attribute.non_resident().map_or(Vcn(0), |body| body.first),
                record: record.reference(),
                id: attribute.id,
                name: attribute.name,
            });
        }
    }
    Ok(sorted(entries, up_case))
}

#[cfg(test)]
mod tests {
    use super::super::super::attribute_list::parse;
    use super::super::super::units::{FileReference, MftRecordNumber};
    use super::*;

    fn entry(kind: u32, name: &str, first: u64, record: u64, id: u16) -> ListEntry {
        let record = FileReference { record: MftRecordNumber(record), sequence: 3 };
        let name = name.encode_utf16().collect();
        ListEntry { kind: AttributeKind(kind), name, first: Vcn(first), record, id }
    }

    #[test]
    fn entries_are_sorted_and_read_as_they_were_written() {
        let entries = [
            entry(0x10, "", 0, 40, 0),
            entry(0x80, "", 0, 41, 1),
            entry(0x80, "", 99, 42, 0),
            entry(0x80, "a", 0, 42, 2),
            entry(0x80, "Z", 0, 41, 2),
            entry(0xa0, "$I30", 0, 42, 7),
        ];
        let bytes = encode(&entries).unwrap();
        assert_eq!(bytes.len(), 5 * 0x20 + 0x28);
        assert_eq!(parse(&bytes).unwrap(), entries);
        let shuffled = [5, 2, 0, 4, 3, 1].map(|index: usize| entries[index].clone());
        assert_eq!(sorted(shuffled.to_vec(), &UpCase::for_tests()), entries);
    }
}
