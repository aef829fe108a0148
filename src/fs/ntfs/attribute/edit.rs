//! Changing the attributes of one record: insert, resize, replace, remove.
//!
//! Nothing here knows clusters: what does not fit any more is for the caller to move out of the record.

use super::super::record::{Record, RecordDefect};
use super::super::run_list::{RunDefect, RunList};
use super::super::upcase::UpCase;
use super::{
    Attribute, AttributeKind, Body, COMPRESSED_HEADER_BYTES, NON_RESIDENT_HEADER_BYTES,
    RESIDENT_HEADER_BYTES, Sizes,
};
use crate::bytes::arith::{self, OutOfRange};
use crate::bytes::field;

/// An attribute that is to be stored, or to replace one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewAttribute {
    /// Type.
    pub(crate) kind: AttributeKind,
    /// UTF-16 name.
    pub(crate) name: Vec<u16>,
    /// Flags.
    pub(crate) flags: u16,
    /// The rest.
    pub(crate) body: NewBody,
}

/// The value of a [`NewAttribute`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewBody {
    /// In the record.
    Resident {
        /// The value.
        value: Vec<u8>,
        /// True if an index holds a copy of it.
        is_indexed: bool,
    },
    /// In clusters.
    NonResident {
        /// The runs of this part.
        runs: RunList,
        /// Sizes of the whole; left out where the part is not the first.
        sizes: Sizes,
        /// As an exponent of two; 0 without compression.
        compression_unit_log2: u8,
    },
}

impl NewAttribute {
    /// A value in the record.
    pub(crate) fn resident(kind: AttributeKind, name: &[u16], value: &[u8]) -> Self {
        let body = NewBody::Resident { value: value.to_vec(), is_indexed: false };
        Self { kind, name: name.to_vec(), flags: 0, body }
    }

    /// A value in clusters, neither compressed nor sparse.
    pub(crate) fn non_resident(
        kind: AttributeKind,
        name: &[u16],
        runs: RunList,
        sizes: Sizes,
    ) -> Self {
        let body = NewBody::NonResident { runs, sizes, compression_unit_log2: 0 };
        Self { kind, name: name.to_vec(), flags: 0, body }
    }

    /// The same attribute, to be stored elsewhere.
    ///
    /// # Errors
    /// [`RunDefect`] if its run list is damaged.
    pub(crate) fn of(attribute: &Attribute<'_>) -> Result<Self, RunDefect> {
        let body = match attribute.body {
            Body::Resident(resident) => NewBody::Resident {
                value: resident.value.to_vec(),
                is_indexed: resident.is_indexed,
            },
            Body::NonResident(body) => NewBody::NonResident {
                runs: RunList::decode(body.runs, body.first)?,
                sizes: body.sizes,
                compression_unit_log2: body.compression_unit_log2,
            },
        };
        let (kind, name, flags) = (attribute.kind, attribute.name.clone(), attribute.flags);
        Ok(Self { kind, name, flags, body })
    }

    /// Length in a record, in bytes.
    ///
    /// # Errors
    /// [`RecordDefect`] for numbers that no attribute can have.
    pub(crate) fn len_bytes(&self) -> Result<usize, RecordDefect> {
        Ok(self.encode(0)?.len())
    }

    /// The bytes of the attribute, with its id.
    ///
    /// # Errors
    /// [`RecordDefect`] for numbers that no attribute can have.
    pub(crate) fn encode(&self, id: u16) -> Result<Vec<u8>, RecordDefect> {
        let header_len = match &self.body {
            NewBody::Resident { .. } => RESIDENT_HEADER_BYTES,
            NewBody::NonResident { sizes: Sizes { compressed: Some(_), .. }, .. } => {
                COMPRESSED_HEADER_BYTES
            }
            NewBody::NonResident { .. } => NON_RESIDENT_HEADER_BYTES,
        };
        let name: Vec<u8> = self.name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut bytes = vec![0; header_len];
        bytes.extend_from_slice(&name);
        pad(&mut bytes)?;
        let payload_offset: u16 = arith::to(bytes.len())?;
        field::put_le_u32(&mut bytes, 0, self.kind.0)?;
        field::put(&mut bytes, 9, &[arith::to(self.name.len())?])?;
        field::put_le_u16(&mut bytes, 0xa, arith::to(header_len)?)?;
        field::put_le_u16(&mut bytes, 0xc, self.flags)?;
        field::put_le_u16(&mut bytes, 0xe, id)?;
        match &self.body {
            NewBody::Resident { value, is_indexed } => {
                field::put_le_u32(&mut bytes, 0x10, arith::to(value.len())?)?;
                field::put_le_u16(&mut bytes, 0x14, payload_offset)?;
                field::put(&mut bytes, 0x16, &[u8::from(*is_indexed)])?;
                bytes.extend_from_slice(value);
            }
            NewBody::NonResident { runs, sizes, compression_unit_log2 } => {
                let last = runs.end().0.wrapping_sub(1);
                field::put(&mut bytes, 8, &[1])?;
                field::put_le_u64(&mut bytes, 0x10, runs.first().0)?;
                field::put_le_u64(&mut bytes, 0x18, last)?;
                field::put_le_u16(&mut bytes, 0x20, payload_offset)?;
                field::put(&mut bytes, 0x22, &[*compression_unit_log2])?;
                field::put_le_u64(&mut bytes, 0x28, sizes.allocated)?;
                field::put_le_u64(&mut bytes, 0x30, sizes.value)?;
                field::put_le_u64(&mut bytes, 0x38, sizes.initialised)?;
                if let Some(compressed) = sizes.compressed {
                    field::put_le_u64(&mut bytes, 0x40, compressed)?;
                }
                bytes.extend_from_slice(&encode_runs(runs)?);
            }
        }
        pad(&mut bytes)?;
        let len = arith::to(bytes.len())?;
        field::put_le_u32(&mut bytes, 4, len)?;
        Ok(bytes)
    }
}

fn encode_runs(runs: &RunList) -> Result<Vec<u8>, RecordDefect> {
    runs.encode().map_err(|defect| match defect {
        RunDefect::Short(short) => short.into(),
        _ => OutOfRange.into(),
    })
}

/// Zeros up to the next multiple of 8.
fn pad(bytes: &mut Vec<u8>) -> Result<(), RecordDefect> {
    let len = arith::round_up(arith::len_u64(bytes.len()), 8)?;
    bytes.resize(arith::to(len)?, 0);
    Ok(())
}

impl Record {
    /// Stores a new attribute in the order of types and names, and gives it the next id. `None`, and nothing
    /// changed, if the record has no room.
    ///
    /// Names are compared by the `$UpCase` of the volume.
    ///
    /// # Errors
    /// [`RecordDefect`].
    pub(crate) fn insert(
        &mut self,
        new: &NewAttribute,
        up_case: &UpCase,
    ) -> Result<Option<u16>, RecordDefect> {
        let first_vcn = match &new.body {
            NewBody::Resident { .. } => 0,
            NewBody::NonResident { runs, .. } => runs.first().0,
        };
        let mut offset = self.end_offset()?;
        for attribute in self.attributes()? {
            let attribute_first = attribute.non_resident().map_or(0, |body| body.first.0);
            let order = attribute.kind.cmp(&new.kind);
            let order = order.then_with(|| up_case.collate(&attribute.name, &new.name));
            if order.then(attribute_first.cmp(&first_vcn)).is_gt() {
                offset = attribute.offset;
                break;
            }
        }
        let id = self.free_attribute_id()?;
        if !self.splice(offset, 0, &new.encode(id)?)? {
            return Ok(None);
        }
        self.header.next_attribute_id = self.header.next_attribute_id.max(id.saturating_add(1));
        Ok(Some(id))
    }

    /// An id that no attribute of the record has: the next one, or the lowest free one when the numbers have
    /// run out.
    fn free_attribute_id(&self) -> Result<u16, RecordDefect> {
        let used: Vec<u16> = self.attributes()?.iter().map(|attribute| attribute.id).collect();
        let next = self.header.next_attribute_id;
        if next < u16::MAX && !used.contains(&next) {
            return Ok(next);
        }
        (0..u16::MAX).find(|id| !used.contains(id)).ok_or(OutOfRange.into())
    }

    /// Replaces the attribute with `id` by `new`, which keeps the id. False, and nothing changed, if the record
    /// has no room.
    ///
    /// # Errors
    /// [`RecordDefect`]; `OutOfRange` if there is no such attribute.
    pub(crate) fn replace(&mut self, id: u16, new: &NewAttribute) -> Result<bool, RecordDefect> {
        let (offset, len) = self.place(id)?;
        self.splice(offset, len, &new.encode(id)?)
    }

    /// Takes the attribute with `id` out, and gives its bytes back.
    ///
    /// # Errors
    /// [`RecordDefect`]; `OutOfRange` if there is no such attribute.
    pub(crate) fn remove(&mut self, id: u16) -> Result<Vec<u8>, RecordDefect> {
        let (offset, len) = self.place(id)?;
        let bytes = field::slice(self.bytes(), offset, len)?.to_vec();
        self.splice(offset, len, &[])?;
        Ok(bytes)
    }

    /// Gives a resident attribute another value. Its header and name stay, later attributes move. False, and
    /// nothing changed, if the record has no room (WIN-111).
    ///
    /// # Errors
    /// [`RecordDefect`]; `OutOfRange` if there is no such resident attribute.
    pub(crate) fn set_value(&mut self, id: u16, value: &[u8]) -> Result<bool, RecordDefect> {
        let (offset, len) = self.place(id)?;
        let attribute = super::parse(self.bytes(), offset)?;
        let resident = attribute.resident().ok_or(OutOfRange)?;
        let mut bytes = field::slice(self.bytes(), offset, resident.value_offset)?.to_vec();
        bytes.extend_from_slice(value);
        pad(&mut bytes)?;
        let new_len = arith::to(bytes.len())?;
        field::put_le_u32(&mut bytes, 4, new_len)?;
        field::put_le_u32(&mut bytes, 0x10, arith::to(value.len())?)?;
        self.splice(offset, len, &bytes)
    }

    /// Gives a non-resident attribute other sizes; nothing moves.
    ///
    /// # Errors
    /// [`RecordDefect`]; `OutOfRange` if there is no such attribute, or it is not the first part.
    pub(crate) fn set_sizes(&mut self, id: u16, sizes: Sizes) -> Result<(), RecordDefect> {
        let (offset, _) = self.place(id)?;
        let attribute = super::parse(self.bytes(), offset)?;
        let body = attribute.non_resident().filter(|body| body.first.0 == 0).ok_or(OutOfRange)?;
        let compressed = body.sizes.compressed.and(sizes.compressed);
        self.put(offset.saturating_add(0x28), &sizes.allocated.to_le_bytes())?;
        self.put(offset.saturating_add(0x30), &sizes.value.to_le_bytes())?;
        self.put(offset.saturating_add(0x38), &sizes.initialised.to_le_bytes())?;
        if let Some(compressed) = compressed {
            self.put(offset.saturating_add(0x40), &compressed.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes over a part of a resident value.
    ///
    /// # Errors
    /// [`RecordDefect`]; `OutOfRange` if there is no such resident attribute or the part ends behind it.
    pub(crate) fn overwrite_value(
        &mut self,
        id: u16,
        from: usize,
        bytes: &[u8],
    ) -> Result<(), RecordDefect> {
        let (offset, _) = self.place(id)?;
        let attribute = super::parse(self.bytes(), offset)?;
        let resident = attribute.resident().ok_or(OutOfRange)?;
        field::slice(resident.value, from, bytes.len())?;
        let at = offset.saturating_add(resident.value_offset).saturating_add(from);
        self.put(at, bytes)
    }

    fn place(&self, id: u16) -> Result<(usize, usize), RecordDefect> {
        let attributes = self.attributes()?;
        let found = attributes.iter().find(|attribute| attribute.id == id).ok_or(OutOfRange)?;
        Ok((found.offset, found.len_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::units::{Lcn, MftRecordNumber, Vcn};
    use super::super::INDEX_NAME;
    use super::*;

    fn up_case() -> UpCase {
        UpCase::for_tests()
    }

    fn record() -> Record {
        Record::format(MftRecordNumber(40), 1024, 1).unwrap()
    }

    fn kinds(record: &Record) -> Vec<(u32, usize, u16)> {
        let attributes = record.attributes().unwrap();
        attributes.iter().map(|a| (a.kind.0, a.name.len(), a.id)).collect()
    }

    fn reparsed(record: &Record) -> Record {
        Record::parse(record.number, record.encode().unwrap()).unwrap()
    }

    fn value_of<'a>(attributes: &'a [Attribute<'_>], id: u16) -> &'a [u8] {
        attributes.iter().find(|a| a.id == id).unwrap().resident().unwrap().value
    }

    fn runs(first: u64, parts: &[(u64, u64)]) -> RunList {
        let mut list = RunList::new(Vcn(first));
        for &(lcn, clusters) in parts {
            list.push(Some(Lcn(lcn)), clusters).unwrap();
        }
        list
    }

    /// WIN-112: attributes in the order of types.
    #[test]
    fn attributes_are_kept_in_order_whatever_the_order_of_insertion() {
        let mut record = record();
        for (kind, name) in [
            (AttributeKind::DATA, &[][..]),
            (AttributeKind::STANDARD_INFORMATION, &[]),
            (AttributeKind::INDEX_ROOT, &INDEX_NAME),
            (AttributeKind::DATA, &[0x5a, 0x5a]),
            (AttributeKind::DATA, &[0x61]),
            (AttributeKind::FILE_NAME, &[]),
            (AttributeKind::FILE_NAME, &[]),
        ] {
            record
                .insert(&NewAttribute::resident(kind, name, b"12345"), &up_case())
                .unwrap()
                .unwrap();
        }
        let record = reparsed(&record);
        // "a" comes in front of "ZZ".
        let expected = [
            (0x10, 0, 1),
            (0x30, 0, 5),
            (0x30, 0, 6),
            (0x80, 0, 0),
            (0x80, 1, 4),
            (0x80, 2, 3),
            (0x90, 4, 2),
        ];
        assert_eq!(kinds(&record), expected);
        assert_eq!(record.header.next_attribute_id, 7);
    }

    /// WIN-111: value length, alignment to 8 bytes, later attributes moved, bytes in use.
    #[test]
    fn resident_values_grow_and_shrink() {
        let mut record = record();
        let first = NewAttribute::resident(AttributeKind::DATA, &[], b"first");
        let second = NewAttribute::resident(AttributeKind::INDEX_ROOT, &INDEX_NAME, b"second");
        assert_eq!(record.insert(&first, &up_case()).unwrap(), Some(0));
        assert_eq!(record.insert(&second, &up_case()).unwrap(), Some(1));
        for (value, used) in [
            (&b"12345678"[..], 0x38 + 0x20 + 0x28 + 8),
            (b"123456789", 0x38 + 0x28 + 0x28 + 8),
            (b"", 0x38 + 0x18 + 0x28 + 8),
            (&[7; 800], 0x38 + 0x338 + 0x28 + 8),
        ] {
            assert!(record.set_value(0, value).unwrap());
            assert_eq!(record.used(), used);
            let again = reparsed(&record);
            let attributes = again.attributes().unwrap();
            assert_eq!(value_of(&attributes, 0), value);
            assert_eq!(value_of(&attributes, 1), b"second");
        }
        let before = record.clone();
        assert!(!record.set_value(0, &[7; 1000]).unwrap(), "no room");
        assert_eq!(record, before);
        record.overwrite_value(0, 798, b"xy").unwrap();
        assert_eq!(value_of(&record.attributes().unwrap(), 0)[796..], [7, 7, b'x', b'y']);
        assert!(record.overwrite_value(0, 799, b"xy").is_err());
        assert!(record.set_value(9, b"").is_err(), "no such attribute");
    }

    #[test]
    fn a_record_can_be_filled_to_the_last_byte() {
        let mut record = record();
        let room = record.free_bytes() - RESIDENT_HEADER_BYTES;
        let full = NewAttribute::resident(AttributeKind::DATA, &[], &vec![1; room]);
        let over = NewAttribute::resident(AttributeKind::DATA, &[], &vec![1; room + 1]);
        assert_eq!(record.insert(&over, &up_case()).unwrap(), None);
        assert_eq!(record.insert(&full, &up_case()).unwrap(), Some(0));
        assert_eq!(reparsed(&record).free_bytes(), 0);
        assert_eq!(record.remove(0).unwrap().len(), room + RESIDENT_HEADER_BYTES);
        assert_eq!(kinds(&reparsed(&record)), []);
    }

    #[test]
    fn resident_becomes_non_resident_and_its_sizes_change() {
        let mut record = record();
        record
            .insert(&NewAttribute::resident(AttributeKind::DATA, &[0x61], b"abc"), &up_case())
            .unwrap();
        let mut sizes = Sizes { allocated: 8192, value: 5000, initialised: 5000, compressed: None };
        let list = runs(0, &[(100, 1), (50, 1)]);
        let new = NewAttribute::non_resident(AttributeKind::DATA, &[0x61], list.clone(), sizes);
        assert!(record.replace(0, &new).unwrap());
        sizes.value = 6000;
        record.set_sizes(0, sizes).unwrap();
        let record = reparsed(&record);
        let attribute = record.attribute(AttributeKind::DATA, &[0x61]).unwrap().unwrap();
        let Body::NonResident(body) = attribute.body else { panic!("resident") };
        assert_eq!((body.first, body.last, body.sizes), (Vcn(0), Vcn(1), sizes));
        let decoded = RunList::decode(body.runs, body.first).unwrap();
        assert_eq!(decoded, list);
        assert_eq!(decoded.check_coverage(body.last), Ok(()));
    }

    #[test]
    fn later_parts_come_behind_earlier_ones() {
        let mut record = record();
        for first in [0, 40, 20] {
            let sizes = Sizes { allocated: 8192, value: 1, initialised: 1, compressed: None };
            let sizes = if first == 0 { sizes } else { Sizes::default() };
            let list = runs(first, &[(100, 20)]);
            let new = NewAttribute::non_resident(AttributeKind::DATA, &[], list, sizes);
            record.insert(&new, &up_case()).unwrap().unwrap();
        }
        let record = reparsed(&record);
        let attributes = record.attributes().unwrap();
        let firsts: Vec<u64> =
            attributes.iter().map(|a| a.non_resident().unwrap().first.0).collect();
        assert_eq!(firsts, [0, 20, 40]);
    }

    #[test]
    fn ids_are_found_when_their_numbers_have_run_out() {
        let mut record = record();
        record.header.next_attribute_id = u16::MAX;
        let new = NewAttribute::resident(AttributeKind::DATA, &[], b"");
        assert_eq!(record.insert(&new, &up_case()).unwrap(), Some(0));
        assert_eq!(record.insert(&new, &up_case()).unwrap(), Some(1));
    }

    /// Attributes without clusters, compressed ones, and sizes that cannot be.
    #[test]
    fn non_resident_headers_are_checked() {
        let sizes = Sizes { allocated: 65536, value: 9, initialised: 9, compressed: Some(4096) };
        let mut new =
            NewAttribute::non_resident(AttributeKind::DATA, &[], runs(0, &[(9, 16)]), sizes);
        new.flags = 1;
        let mut compressed = record();
        compressed.insert(&new, &up_case()).unwrap();
        let compressed = reparsed(&compressed);
        let body = compressed.attributes().unwrap()[0].non_resident().unwrap();
        assert_eq!((body.sizes, body.runs_offset), (sizes, 0x48));

        let mut empty = record();
        let none = Sizes::default();
        let new = NewAttribute::non_resident(AttributeKind::DATA, &[], RunList::new(Vcn(0)), none);
        empty.insert(&new, &up_case()).unwrap();
        assert_eq!(empty.attributes().unwrap()[0].non_resident().unwrap().last, Vcn(u64::MAX));
        for (offset, value, problem) in [
            (0x10, &[9u8, 0][..], "last VCN lies in front of the first"),
            (0x20, &[0x3f, 0], "runs overlap the header"),
            (0x20, &[0x60, 0], "runs lie outside"),
            (0x22, &[17], "compression unit is too large"),
            (0x30, &[1], "sizes contradict each other"),
            (0x38, &[1], "sizes contradict each other"),
        ] {
            let mut broken = empty.clone();
            broken.put(0x38 + offset, value).unwrap();
            let kind = AttributeKind::DATA;
            let defect = RecordDefect::Attribute { offset: 0x38, kind, problem };
            assert_eq!(broken.attributes().unwrap_err(), defect);
        }
    }
}
