//! All records of one file: its base record, and the extension records that its `$ATTRIBUTE_LIST` names.
//!
//! Source: libyal libfsntfs, "New Technologies File System (NTFS)", sections "MFT entry header" (base record) and
//! "The attribute list attribute".

use super::attribute::{Attribute, AttributeKind};
use super::attribute_list::{self, ATTRIBUTE_LIST_BYTES_MAX, ListEntry};
use super::file_name::FileName;
use super::record::Record;
use super::stream::Stream;
use super::units::{FileReference, Geometry, MftRecordNumber};
use super::volume::Volume;
use crate::bytes::arith::to;
use crate::disk::Disk;
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeMap;

/// Bound on the extension records of a file: more entries do not fit the longest attribute list.
const EXTENSIONS_MAX: usize = 8192;

/// What can be wrong with the records of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileDefect {
    #[error("is not in use")]
    NotInUse,
    #[error("belongs to {0}")]
    Extension(FileReference),
    #[error("does not belong to {0}")]
    NotExtension(FileReference),
    #[error("has sequence number {found}, should have {expected}")]
    Sequence { expected: u16, found: u16 },
    #[error("has no {kind} with id {id}, which the attribute list of {base} names")]
    NoAttribute { kind: AttributeKind, id: u16, base: MftRecordNumber },
    #[error("has no {0}")]
    Missing(AttributeKind),
    #[error("{0} does not lie in the record")]
    NotResident(AttributeKind),
    #[error("attribute list names more than {EXTENSIONS_MAX} records")]
    TooManyExtensions,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// The record that names the file.
    pub(crate) base: Record,
    /// The other records.
    pub(crate) extensions: BTreeMap<MftRecordNumber, Record>,
    /// The attribute list, if there is one.
    pub(crate) list: Option<Vec<ListEntry>>,
}

impl File {
    /// Number of the base record.
    pub(crate) fn number(&self) -> MftRecordNumber {
        self.base.number
    }

    /// True if it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.base.is_directory()
    }

    /// All parts of the attributes of `kind` with `name`, in the order of the list, which is that of their VCNs.
    ///
    /// # Errors
    /// `Corrupt` if a record is damaged, or does not hold what the attribute list says.
    pub(crate) fn parts(&self, kind: AttributeKind, name: &[u16]) -> Result<Vec<Attribute<'_>>> {
        let Some(list) = &self.list else {
            let mut attributes = attributes(&self.base)?;
            attributes.retain(|attribute| attribute.is(kind, name));
            return Ok(attributes);
        };
        let mut parts = Vec::new();
        for entry in list.iter().filter(|entry| entry.kind == kind && entry.name == name) {
            parts.push(self.part(entry)?);
        }
        Ok(parts)
    }

    fn part(&self, entry: &ListEntry) -> Result<Attribute<'_>> {
        let record = self.record(entry.record.record);
        let found = match record {
            Some(record) => attributes(record)?.into_iter().find(|attribute| {
                attribute.is(entry.kind, &entry.name) && attribute.id == entry.id
            }),
            None => None,
        };
        let base = self.number();
        found.ok_or_else(|| {
            let defect = FileDefect::NoAttribute { kind: entry.kind, id: entry.id, base };
            corrupt(entry.record.record, defect)
        })
    }

    /// The record of this file that has `number`.
    pub(crate) fn record(&self, number: MftRecordNumber) -> Option<&Record> {
        if number == self.base.number { Some(&self.base) } else { self.extensions.get(&number) }
    }

    /// The value of the attribute of `kind` with `name`, if there is one.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn stream(
        &self,
        volume: &Volume,
        kind: AttributeKind,
        name: &[u16],
    ) -> Result<Option<Stream>> {
        let parts = self.parts(kind, name)?;
        Stream::from_parts(self.number(), &parts, volume.geometry())
    }

    /// The value of the unnamed attribute of `kind`, which must lie in a record.
    ///
    /// # Errors
    /// `Corrupt` if it is missing, or lies elsewhere.
    pub(crate) fn resident(&self, kind: AttributeKind) -> Result<&[u8]> {
        let number = self.number();
        let first = self.parts(kind, &[])?.into_iter().next();
        let attribute = first.ok_or_else(|| corrupt(number, FileDefect::Missing(kind)))?;
        let resident = attribute.resident();
        let value = resident.ok_or_else(|| corrupt(number, FileDefect::NotResident(kind)))?.value;
        Ok(value)
    }

    /// All names, those of type DOS included.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn names(&self) -> Result<Vec<FileName>> {
        let kind = AttributeKind::FILE_NAME;
        let mut names = Vec::new();
        for attribute in self.parts(kind, &[])? {
            let Some(resident) = attribute.resident() else {
                return Err(corrupt(self.number(), FileDefect::NotResident(kind)));
            };
            names.push(FileName::parse(resident.value)?);
        }
        Ok(names)
    }
}

impl Volume {
    /// Reads all records of the file whose base record is `number`.
    ///
    /// # Errors
    /// `Corrupt` if the record is not in use, is no base record, or its attribute list does not fit.
    pub(crate) fn load_file(&self, number: MftRecordNumber) -> Result<File> {
        let base = self.read_record(number)?;
        if !base.is_in_use() {
            return Err(corrupt(number, FileDefect::NotInUse));
        }
        if let Some(owner) = base.base() {
            return Err(corrupt(number, FileDefect::Extension(owner)));
        }
        let Some(list) = read_list(&base, self.disk().as_ref(), self.geometry())? else {
            return Ok(File { base, extensions: BTreeMap::new(), list: None });
        };
        let mut extensions = BTreeMap::new();
        for entry in &list {
            let wanted = entry.record;
            if wanted.record == number || extensions.contains_key(&wanted.record) {
                continue;
            }
            if extensions.len() >= EXTENSIONS_MAX {
                return Err(corrupt(number, FileDefect::TooManyExtensions));
            }
            let record = self.read_record(wanted.record)?;
            check_extension(&record, wanted, base.reference())?;
            extensions.insert(wanted.record, record);
        }
        Ok(File { base, extensions, list: Some(list) })
    }

    /// [`Volume::load_file`], with the sequence number of the reference checked.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn load_reference(&self, reference: FileReference) -> Result<File> {
        let file = self.load_file(reference.record)?;
        check_sequence(&file.base, reference)?;
        Ok(file)
    }
}

/// The attribute list of a base record. Its own clusters are always named in that record, so that no list leads to
/// another.
///
/// # Errors
/// `Corrupt`; `Limit` if it is longer than any list can be.
pub(super) fn read_list(
    base: &Record,
    disk: &dyn Disk,
    geometry: &Geometry,
) -> Result<Option<Vec<ListEntry>>> {
    let kind = AttributeKind::ATTRIBUTE_LIST;
    let mut parts = attributes(base)?;
    parts.retain(|attribute| attribute.is(kind, &[]));
    let Some(stream) = Stream::from_parts(base.number, &parts, geometry)? else { return Ok(None) };
    let size_bytes = stream.size_bytes();
    if size_bytes > ATTRIBUTE_LIST_BYTES_MAX {
        let what = format!("size of {kind} of {} in bytes", base.number);
        return Err(Error::limit(what, ATTRIBUTE_LIST_BYTES_MAX, size_bytes));
    }
    let bytes = stream.read_from(disk, geometry, 0, to(size_bytes)?)?;
    Ok(Some(attribute_list::parse(&bytes)?))
}

/// Checks that `record` is the extension record that an attribute list of `base` meant by `wanted`.
///
/// # Errors
/// `Corrupt`.
pub(super) fn check_extension(
    record: &Record,
    wanted: FileReference,
    base: FileReference,
) -> Result<()> {
    if !record.is_in_use() {
        return Err(corrupt(record.number, FileDefect::NotInUse));
    }
    check_sequence(record, wanted)?;
    match record.base() {
        Some(owner) if owner.record == base.record && owner.matches(base.sequence) => Ok(()),
        _ => Err(corrupt(record.number, FileDefect::NotExtension(base))),
    }
}

fn check_sequence(record: &Record, wanted: FileReference) -> Result<()> {
    let found = record.header.sequence;
    if wanted.matches(found) {
        return Ok(());
    }
    Err(corrupt(record.number, FileDefect::Sequence { expected: wanted.sequence, found }))
}

/// The attributes of a record; damage names the record.
pub(super) fn attributes(record: &Record) -> Result<Vec<Attribute<'_>>> {
    Ok(record.attributes().map_err(|defect| Record::corrupt(record.number, defect))?)
}

fn corrupt(number: MftRecordNumber, defect: FileDefect) -> Error {
    Corrupt::new("MFT record", defect).of(number.to_string()).into()
}
