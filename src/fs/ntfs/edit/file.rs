//! A file as an edit sees it: its base record, its extension records, and the streams that lie in them.
//!
//! A `EditedFile` is loaded, changed in memory and stored; nothing reaches the disk before [`EditedFile::store`]. How
//! attributes find room when a record is full is in [`super::room`].

use super::super::attribute::edit::NewAttribute;
use super::super::attribute::{Attribute, AttributeKind, Body, Sizes};
use super::super::attribute_list::ListEntry;
use super::super::file_name::{FileName, NameSpace};
use super::super::name::to_wtf8;
use super::super::record::Record;
use super::super::run_list::RunList;
use super::super::stream::{Place, Stream};
use super::super::units::{FileReference, Geometry, MftRecordNumber, Vcn};
use super::super::upcase::UpCase;
use super::super::volume::Volume;
use super::list;
use super::store::{on_record, on_runs};
use crate::bytes::{arith, text};
use crate::error::{Corrupt, Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest name in a label, in characters.
const LABEL_NAME_CHARS: usize = 60;

/// The records of a file.
#[derive(Debug, Clone)]
pub(super) struct EditedFile {
    /// The base record, then the extension records, ascending.
    pub(super) records: Vec<Record>,
    /// The records as they are on the disk; a new one is not there.
    pub(super) stored: Vec<Record>,
    /// The attribute list as it is on the disk, sorted.
    pub(super) stored_list: Option<Vec<ListEntry>>,
    pub(super) geometry: Geometry,
    pub(super) up_case: Arc<UpCase>,
}

/// Where an attribute, or a part of one, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Index into the records of the file.
    pub(super) record: usize,
    pub(super) id: u16,
    pub(super) first: Vcn,
}

impl EditedFile {
    /// Reads the file whose base record is `number`, with all its records.
    ///
    /// # Errors
    /// `Corrupt` if the record is free, is no base record, or disagrees with its attribute list; `Io`.
    pub(super) fn load(volume: &Volume, number: MftRecordNumber) -> Result<Self> {
        let file = volume.load_file(number)?;
        let records: Vec<_> =
            std::iter::once(file.base).chain(file.extensions.into_values()).collect();
        let geometry = *volume.geometry();
        let stored = records.clone();
        let stored_list = file.list.map(|list| list::sorted(list, volume.up_case()));
        let up_case = volume.shared_up_case();
        let file = Self { records, stored, stored_list, geometry, up_case };
        file.check_ids()?;
        if let Some(listed) = &file.stored_list {
            // An edit makes the list anew: what it left out would come back, or be lost.
            if *listed != list::of_records(&file.records, volume.up_case())? {
                return Err(file.damage("attribute list", FileDefect::ListDiffers));
            }
        }
        Ok(file)
    }

    /// [`EditedFile::load`], with the sequence number of the reference checked.
    ///
    /// # Errors
    /// As [`EditedFile::load`].
    pub(super) fn load_reference(volume: &Volume, reference: FileReference) -> Result<Self> {
        let file = Self::load(volume, reference.record)?;
        let found = file.base()?.header.sequence;
        if reference.matches(found) {
            return Ok(file);
        }
        let expected = reference.sequence;
        Err(file.damage("MFT record", FileDefect::Sequence { expected, found }))
    }

    /// Checks that no two attributes of a record have the same id: an edit finds them by it.
    fn check_ids(&self) -> Result<()> {
        for record in &self.records {
            let mut ids = BTreeSet::new();
            for attribute in on_record(record.number, record.attributes())? {
                if !ids.insert(attribute.id) {
                    return Err(self.damage("attributes", FileDefect::SameId(attribute.id)));
                }
            }
        }
        Ok(())
    }

    /// A file that has only a new record so far.
    pub(super) fn new(base: Record, volume: &Volume) -> Self {
        let (geometry, up_case) = (*volume.geometry(), volume.shared_up_case());
        Self { records: vec![base], stored: Vec::new(), stored_list: None, geometry, up_case }
    }

    /// Damage of a structure of this file.
    pub(super) fn damage(
        &self,
        structure: &'static str,
        defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Corrupt::new(structure, defect).of(self.number().to_string()).into()
    }

    /// The base record.
    pub(super) fn base(&self) -> Result<&Record> {
        self.records.first().ok_or_else(|| Error::from(arith::OutOfRange))
    }

    /// The base record, to be changed.
    pub(super) fn base_mut(&mut self) -> Result<&mut Record> {
        self.records.first_mut().ok_or_else(|| Error::from(arith::OutOfRange))
    }

    /// Number of the base record.
    pub(super) fn number(&self) -> MftRecordNumber {
        self.records.first().map_or(MftRecordNumber::MFT, |base| base.number)
    }

    /// Every part of the attribute, by first VCN.
    pub(super) fn parts(&self, kind: AttributeKind, name: &[u16]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for (index, record) in self.records.iter().enumerate() {
            for attribute in on_record(record.number, record.attributes())? {
                if attribute.is(kind, name) {
                    let first = attribute.non_resident().map_or(Vcn(0), |body| body.first);
                    parts.push(Part { record: index, id: attribute.id, first });
                }
            }
        }
        parts.sort_by_key(|part| part.first);
        Ok(parts)
    }

    /// Kind and name of every attribute, each once.
    pub(super) fn stream_names(&self) -> Result<BTreeSet<(AttributeKind, Vec<u16>)>> {
        let mut names = BTreeSet::new();
        for record in &self.records {
            for attribute in on_record(record.number, record.attributes())? {
                names.insert((attribute.kind, attribute.name));
            }
        }
        Ok(names)
    }

    /// Calls `visit` with the attribute at `part`.
    pub(super) fn with_part<T>(
        &self,
        part: Part,
        visit: impl FnOnce(&Attribute<'_>) -> T,
    ) -> Result<T> {
        let record = self.records.get(part.record).ok_or(arith::OutOfRange)?;
        let attributes = on_record(record.number, record.attributes())?;
        let found = attributes.iter().find(|attribute| attribute.id == part.id);
        Ok(visit(found.ok_or(arith::OutOfRange)?))
    }

    /// The attribute `kind` with `name`, put together and checked against itself and the volume.
    ///
    /// Not for `$FILE_NAME`, of which there are several: see [`EditedFile::names`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn stream(&self, kind: AttributeKind, name: &[u16]) -> Result<Option<Stream>> {
        let parts = self.parts(kind, name)?;
        let mut attributes = Vec::new();
        for part in &parts {
            let record = self.records.get(part.record).ok_or(arith::OutOfRange)?;
            let found = on_record(record.number, record.attributes())?;
            attributes.extend(found.into_iter().filter(|attribute| attribute.id == part.id));
        }
        let stream = Stream::from_parts(self.number(), &attributes, &self.geometry)?;
        if let Some(Stream { place: Place::Clusters { runs, sizes, .. }, .. }) = &stream {
            let clusters = arith::mul(runs.clusters(), self.geometry.cluster_size())?;
            if clusters != sizes.allocated {
                let defect = FileDefect::Allocated { sizes: sizes.allocated, runs: clusters };
                return Err(self.damage("attributes", defect));
            }
        }
        Ok(stream)
    }

    /// The runs of one part.
    pub(super) fn part_runs(&self, part: Part) -> Result<RunList> {
        let decoded = self.with_part(part, |attribute| match attribute.body {
            Body::Resident(_) => None,
            Body::NonResident(body) => Some(
                RunList::decode(body.runs, body.first)
                    .and_then(|runs| runs.check_coverage(body.last).map(|()| runs))
                    .and_then(|runs| {
                        runs.check_inside(self.geometry.total_clusters).map(|()| runs)
                    }),
            ),
        })?;
        let twice = || self.damage("attributes", FileDefect::Mixed);
        on_runs(self.number(), decoded.ok_or_else(twice)?)
    }

    /// Sizes and runs of a stream that must be non-resident.
    pub(super) fn non_resident(
        &self,
        kind: AttributeKind,
        name: &[u16],
    ) -> Result<(Sizes, RunList)> {
        match self.stream(kind, name)?.map(|stream| stream.place) {
            Some(Place::Clusters { runs, sizes, .. }) => Ok((sizes, runs)),
            _ => Err(self.damage("attributes", FileDefect::Missing(kind))),
        }
    }

    /// The value of a stream that must be resident.
    pub(super) fn resident(&self, kind: AttributeKind, name: &[u16]) -> Result<Vec<u8>> {
        match self.stream(kind, name)?.map(|stream| stream.place) {
            Some(Place::Resident(value)) => Ok(value),
            _ => Err(self.damage("attributes", FileDefect::Missing(kind))),
        }
    }

    /// Every name, with its place.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn names(&self) -> Result<Vec<(Part, FileName)>> {
        let mut names = Vec::new();
        for part in self.parts(AttributeKind::FILE_NAME, &[])? {
            let value = self.with_part(part, |attribute| {
                attribute.resident().map(|resident| resident.value.to_vec())
            })?;
            let missing =
                || self.damage("attributes", FileDefect::Missing(AttributeKind::FILE_NAME));
            names.push((part, FileName::parse(&value.ok_or_else(missing)?)?));
        }
        Ok(names)
    }

    /// What the file is called in messages and labels: its first name, escaped.
    pub(super) fn display_name(&self) -> String {
        let names = self.names().unwrap_or_default();
        let long = names.iter().find(|(_, name)| name.name_space != NameSpace::Dos);
        let name = long.or(names.first()).map(|(_, name)| to_wtf8(&name.name));
        text::escape_limited(&name.unwrap_or_default(), LABEL_NAME_CHARS)
    }

    /// As in "MFT record 131 (config.xml)".
    pub(super) fn label(&self) -> String {
        format!("{} ({})", self.number(), self.display_name())
    }

    /// Stores the value of a resident attribute of the base record that is already there and keeps its length.
    pub(super) fn overwrite_resident(
        &mut self,
        part: Part,
        from: usize,
        bytes: &[u8],
    ) -> Result<()> {
        let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
        on_record(record.number, record.overwrite_value(part.id, from, bytes))
    }

    /// Gives a resident attribute another value. False if its record has no room.
    pub(super) fn try_set_value(&mut self, part: Part, value: &[u8]) -> Result<bool> {
        let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
        on_record(record.number, record.set_value(part.id, value))
    }

    /// Gives the first part of a stream other sizes.
    pub(super) fn set_sizes(&mut self, part: Part, sizes: Sizes) -> Result<()> {
        let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
        on_record(record.number, record.set_sizes(part.id, sizes))
    }

    /// Takes the attribute at `part` out. Ids of other parts stay valid.
    pub(super) fn remove_part(&mut self, part: Part) -> Result<()> {
        let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
        on_record(record.number, record.remove(part.id))?;
        Ok(())
    }

    /// Puts `new` in the place of `part`. False if its record has no room.
    pub(super) fn replace_part(&mut self, part: Part, new: &NewAttribute) -> Result<bool> {
        let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
        on_record(record.number, record.replace(part.id, new))
    }
}

/// What can be wrong with the records of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileDefect {
    #[error("names other attributes than the records hold")]
    ListDiffers,
    #[error("has sequence number {found}, should have {expected}")]
    Sequence { expected: u16, found: u16 },
    #[error("two of one record have the id {0}")]
    SameId(u16),
    #[error("a stream is partly resident")]
    Mixed,
    #[error("{0} is missing, or not where it must be")]
    Missing(AttributeKind),
    #[error("allocated size is {sizes} bytes, the runs have {runs}")]
    Allocated { sizes: u64, runs: u64 },
}
