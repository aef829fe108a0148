//! Plants defects in a volume: finds structures as the checker does and changes bytes of them, with fix-ups that are
//! right again, so that only the defect itself can be noticed.

use super::attribute::Place;
use super::bytes::{u16_at, u32_at};
use super::volume::{fix_up, size_of_fix_ups};
use super::{Whole, names};
use std::ops::Range;

/// A good volume, read once.
#[derive(Debug)]
pub(crate) struct Good<'a>(Whole<'a>);

impl<'a> Good<'a> {
    /// Reads it.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        Self(Whole::read(bytes, &mut Vec::new()).unwrap())
    }

    /// A copy to be spoiled.
    pub(crate) fn spoil(&self) -> Surgeon<'_> {
        Surgeon { bytes: self.0.volume.bytes.to_vec(), good: &self.0 }
    }
}

/// A volume that is being spoiled; everything is found where it was when it was good.
#[derive(Debug)]
pub(crate) struct Surgeon<'a> {
    /// The volume.
    pub(crate) bytes: Vec<u8>,
    good: &'a Whole<'a>,
}

impl Surgeon<'_> {
    /// The record number of a path.
    pub(crate) fn find(&self, path: &str) -> u64 {
        let whole = self.good;
        let mut at = 5;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let is_it = |name: &names::FileName| {
                name.parent.record == at && String::from_utf16_lossy(&name.name) == part
            };
            let file = whole.files.iter().find(|file| file.names.iter().any(is_it));
            at = file.unwrap_or_else(|| panic!("{path}: no {part}")).number;
        }
        at
    }

    /// Where `len` bytes of a stream lie on the volume, from `offset`; they are in one run.
    pub(crate) fn place(&self, record: u64, kind: u32, name: &str, offset: u64) -> usize {
        let whole = self.good;
        let cluster = whole.volume.geometry.cluster_bytes;
        let file = whole.files.iter().find(|file| file.number == record).unwrap();
        let mut left = offset;
        for run in file.stream(kind, name).unwrap().runs() {
            if left < run.count * cluster {
                return (run.lcn.unwrap() * cluster + left) as usize;
            }
            left -= run.count * cluster;
        }
        panic!("no byte {offset} in record {record}")
    }

    /// Changes a record, and its copy in the mirror if it has one.
    pub(crate) fn record(&mut self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let len = self.good.volume.geometry.record_bytes;
        let offset = number * len as u64;
        let at = self.place(0, super::DATA, "", offset);
        self.block(at, len, *b"FILE", change);
        if number < 4 {
            let mirror = self.place(1, super::DATA, "", offset);
            self.bytes.copy_within(at..at + len, mirror);
        }
    }

    /// Changes the index block `index` of a directory.
    pub(crate) fn index_block(
        &mut self,
        record: u64,
        index: u64,
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        self.index_block_of(record, "$I30", index, change);
    }

    /// Changes the index block `index` of the index `name`.
    pub(crate) fn index_block_of(
        &mut self,
        record: u64,
        name: &str,
        index: u64,
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        let len = self.good.volume.geometry.index_bytes;
        let at = self.place(record, super::INDEX_ALLOCATION, name, index * len as u64);
        self.block(at, len, *b"INDX", change);
    }

    fn block(&mut self, at: usize, len: usize, magic: [u8; 4], change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fix_up(&self.bytes[at..at + len], magic).unwrap();
        change(&mut bytes);
        let (array, strides) = size_of_fix_ups(&bytes);
        for stride in 0..strides {
            let (tail, saved) = (stride * 512 + 510, array + 2 + stride * 2);
            bytes.copy_within(tail..tail + 2, saved);
            bytes.copy_within(array..array + 2, tail);
        }
        self.bytes[at..at + len].copy_from_slice(&bytes);
    }

    /// Where an attribute of a record lies in it.
    pub(crate) fn attribute(&self, record: u64, kind: u32, name: &str) -> Range<usize> {
        self.attributes(record, kind, name).into_iter().next().unwrap()
    }

    /// All of that type and name in the record.
    pub(crate) fn attributes(&self, record: u64, kind: u32, name: &str) -> Vec<Range<usize>> {
        let whole = self.good;
        let record = &whole.mft.records[&record];
        let mut at = usize::from(u16_at(&record.bytes, 20).unwrap());
        let mut found = Vec::new();
        for attribute in &record.attributes {
            let len = u32_at(&record.bytes, at + 4).unwrap() as usize;
            let is_name = attribute.name.iter().copied().eq(name.encode_utf16());
            if attribute.kind == kind && is_name {
                found.push(at..at + len);
            }
            at += len;
        }
        found
    }

    /// Where the value of a resident attribute starts in its record.
    pub(crate) fn value(&self, record: u64, kind: u32, name: &str) -> usize {
        let whole = self.good;
        let is_it = |attribute: &&super::attribute::Attribute| {
            attribute.kind == kind && attribute.name.iter().copied().eq(name.encode_utf16())
        };
        let attribute = whole.mft.records[&record].attributes.iter().find(is_it).unwrap();
        let Place::Resident { value, .. } = &attribute.place else { panic!("not resident") };
        value.start
    }

    /// The records that a file has beside its base record.
    pub(crate) fn extensions(&self, record: u64) -> Vec<u64> {
        self.good.mft.extensions.get(&record).cloned().unwrap_or_default()
    }

    /// How many index blocks a directory has.
    pub(crate) fn index_blocks(&self, record: u64) -> u64 {
        let file = self.good.files.iter().find(|file| file.number == record).unwrap();
        let blocks = file.stream(super::INDEX_ALLOCATION, "$I30");
        blocks.map_or(0, |it| it.data_bytes() / self.good.volume.geometry.index_bytes as u64)
    }
}
