//! Room for attributes: in the base record, in an extension record, in a new one.
//!
//! WIN-111. What does not fit its record any more goes, in this order: where it was; into the base record; into
//! an extension record of the file; into a new one. `$STANDARD_INFORMATION`, the attribute list and an index root
//! stay in the base record; other attributes leave it to make room for them. A run list that is too long for a
//! whole record is stored in parts. The attribute list is brought in line once, in the end.

use super::super::attribute::edit::{NewAttribute, NewBody};
use super::super::attribute::{AttributeKind, Sizes, flag as flag_of_value};
use super::super::attribute_list::ATTRIBUTE_LIST_BYTES_MAX;
use super::super::record::{Record, RecordDefect, flag};
use super::super::run_list::RunList;
use super::super::stream::{Place, Stream};
use super::super::units::{MftRecordNumber, Vcn};
use super::Editor;
use super::file::{EditedFile, Part};
use super::list;
use super::store::{on_record, on_runs};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Error, Refusal, Result};

/// Bound on rounds that make room; each moves an attribute out of the base record, which holds fewer.
const ROUNDS_MAX: usize = 200;

/// Attributes that never leave the base record.
fn stays_in_base(kind: AttributeKind) -> bool {
    matches!(
        kind,
        AttributeKind::STANDARD_INFORMATION
            | AttributeKind::ATTRIBUTE_LIST
            | AttributeKind::INDEX_ROOT
    )
}

impl EditedFile {
    /// Gives a resident stream, which may be new, this value.
    ///
    /// # Errors
    /// `Refused` without room, `Corrupt`, `Io`.
    pub(super) fn put_resident(
        &mut self,
        editor: &mut Editor<'_>,
        kind: AttributeKind,
        name: &[u16],
        value: &[u8],
    ) -> Result<()> {
        let parts = self.parts(kind, name)?;
        if let [part] = *parts {
            let is_resident = self.with_part(part, |found| found.resident().is_some())?;
            let record = self.records.get_mut(part.record).ok_or(arith::OutOfRange)?;
            if is_resident && on_record(record.number, record.set_value(part.id, value))? {
                return Ok(());
            }
        }
        let mut new = NewAttribute::resident(kind, name, value);
        new.flags = self.flags_of(&parts)?;
        for part in parts {
            self.remove_part(part)?;
        }
        self.place(editor, &new)
    }

    /// Gives a stream, which may be new, this value: in the base record if it has room, else in clusters.
    ///
    /// # Errors
    /// `Refused` without room or space, `Corrupt`, `Io`.
    pub(super) fn put_value(
        &mut self,
        editor: &mut Editor<'_>,
        kind: AttributeKind,
        name: &[u16],
        value: &[u8],
    ) -> Result<()> {
        self.remove_stream(editor, kind, name)?;
        if self.try_insert(0, &NewAttribute::resident(kind, name, value))? {
            return Ok(());
        }
        let mut runs = RunList::new(Vcn(0));
        let len = len_u64(value.len());
        let clusters = self.geometry.clusters_for(len)?;
        editor.resize_runs(&mut runs, clusters, None)?;
        editor.write_clusters(&runs, 0, value, &format!("{kind} of {}", self.label()))?;
        let allocated = arith::mul(clusters, self.geometry.cluster_size())?;
        let sizes = Sizes { allocated, value: len, initialised: len, compressed: None };
        self.put_runs(editor, kind, name, &runs, sizes)
    }

    /// Takes a stream away, with its clusters.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if its clusters are free already.
    pub(super) fn remove_stream(
        &mut self,
        editor: &mut Editor<'_>,
        kind: AttributeKind,
        name: &[u16],
    ) -> Result<()> {
        if let Some(runs) = self.stream(kind, name)?.as_ref().and_then(Stream::runs) {
            editor.free_clusters(runs.runs())?;
        }
        for part in self.parts(kind, name)? {
            self.remove_part(part)?;
        }
        Ok(())
    }

    /// Gives a stream, which may be new or resident, these runs and sizes. Parts that do not change stay as and
    /// where they are.
    ///
    /// # Errors
    /// `Refused` without room, `Corrupt`, `Io`.
    pub(super) fn put_runs(
        &mut self,
        editor: &mut Editor<'_>,
        kind: AttributeKind,
        name: &[u16],
        runs: &RunList,
        sizes: Sizes,
    ) -> Result<()> {
        let parts = self.parts(kind, name)?;
        let flags = self.flags_of(&parts)? & !(flag_of_value::COMPRESSION_MASK);
        let new = |runs: RunList, sizes| NewAttribute {
            flags,
            ..NewAttribute::non_resident(kind, name, runs, sizes)
        };
        if parts.is_empty() {
            return self.place(editor, &new(runs.clone(), sizes));
        }
        let is_kept = |part: &Part| part.first.0 == 0 || part.first < runs.end();
        let kept = parts.iter().filter(|part| is_kept(part)).count();
        for (index, &part) in parts.iter().enumerate() {
            if index >= kept {
                self.remove_part(part)?;
                continue;
            }
            let is_last = index.saturating_add(1) == kept;
            let next = parts.get(index.saturating_add(1)).filter(|_| !is_last);
            let end = next.map_or(runs.end(), |next| next.first);
            let piece = on_runs(self.number(), runs.part(part.first, end))?;
            let is_same = self.with_part(part, |found| found.non_resident().is_some())?
                && self.part_runs(part)? == piece;
            let piece_sizes = if index == 0 { sizes } else { Sizes::default() };
            if is_same {
                if index == 0 {
                    self.set_sizes(part, sizes)?;
                }
            } else if !self.replace_part(part, &new(piece.clone(), piece_sizes))? {
                self.remove_part(part)?;
                self.place(editor, &new(piece, piece_sizes))?;
            }
        }
        Ok(())
    }

    /// The flags of a stream that is there, or none.
    fn flags_of(&self, parts: &[Part]) -> Result<u16> {
        match parts.first() {
            Some(&part) => self.with_part(part, |found| found.flags),
            None => Ok(0),
        }
    }

    /// Finds room for a new attribute.
    ///
    /// # Errors
    /// `Refused` without room, `Corrupt`, `Io`.
    pub(super) fn place(&mut self, editor: &mut Editor<'_>, new: &NewAttribute) -> Result<()> {
        if self.try_insert(0, new)? {
            return Ok(());
        }
        if stays_in_base(new.kind) {
            for _ in 0..ROUNDS_MAX {
                if !self.move_out(editor)? {
                    break;
                }
                if self.try_insert(0, new)? {
                    return Ok(());
                }
            }
            return Err(self.no_room(new.kind));
        }
        self.place_outside(editor, new)
    }

    /// Finds room in an extension record.
    fn place_outside(&mut self, editor: &mut Editor<'_>, new: &NewAttribute) -> Result<()> {
        // The first runs of the MFT must be found without it; that it has more pieces than fit is rare.
        if self.number() == MftRecordNumber::MFT {
            let feature = "a longer attribute list of $MFT".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        for index in 1..self.records.len() {
            if self.try_insert(index, new)? {
                return Ok(());
            }
        }
        let index = self.add_extension(editor)?;
        if self.try_insert(index, new)? {
            return Ok(());
        }
        // Not even an empty record holds it: its runs go into several.
        let room = self.records.get(index).map_or(0, Record::free_bytes);
        let mut rest = new.clone();
        let mut index = index;
        // Each turn stores at least one run.
        while let Some((head, tail)) = split(&rest, room)? {
            if !self.try_insert(index, &head)? {
                break;
            }
            let Some(tail) = tail else { return Ok(()) };
            index = self.add_extension(editor)?;
            rest = tail;
        }
        Err(self.no_room(new.kind))
    }

    fn no_room(&self, kind: AttributeKind) -> Error {
        let what = format!("room for {kind} in {}", self.label());
        Refusal::NoSpace { what, needed: 1, available: 0 }.into()
    }

    fn try_insert(&mut self, index: usize, new: &NewAttribute) -> Result<bool> {
        let record = self.records.get_mut(index).ok_or(arith::OutOfRange)?;
        Ok(on_record(record.number, record.insert(new, &self.up_case))?.is_some())
    }

    /// Adds a record to the file, and says its index.
    fn add_extension(&mut self, editor: &mut Editor<'_>) -> Result<usize> {
        let base = self.base()?.reference();
        let mut record = editor.allocate_record()?;
        record.header.flags = flag::IN_USE;
        record.header.base_raw = base.to_raw()?;
        self.records.push(record);
        Ok(self.records.len().saturating_sub(1))
    }

    /// Moves one attribute out of the base record: the longest that may, a name only if there is nothing else.
    /// False if there is none.
    fn move_out(&mut self, editor: &mut Editor<'_>) -> Result<bool> {
        let base = self.base()?;
        let attributes = on_record(base.number, base.attributes())?;
        let movable = attributes.iter().filter(|found| !stays_in_base(found.kind));
        let longest = movable
            .max_by_key(|found| (found.kind != AttributeKind::FILE_NAME, found.len_bytes))
            .map(|found| (found.id, NewAttribute::of(found)));
        let Some((id, moved)) = longest else { return Ok(false) };
        let moved = on_runs(self.number(), moved)?;
        let part = Part { record: 0, id, first: Vcn(0) };
        self.remove_part(part)?;
        self.place_outside(editor, &moved)?;
        Ok(true)
    }

    /// Gives back extension records that became empty, and brings the attribute list in line with the records.
    fn settle(&mut self, editor: &mut Editor<'_>) -> Result<()> {
        self.drop_empty(editor)?;
        if self.records.len() == 1 {
            let kind = AttributeKind::ATTRIBUTE_LIST;
            self.remove_stream(editor, kind, &[])?;
            self.stored_list = None;
            return Ok(());
        }
        for _ in 0..ROUNDS_MAX {
            let entries = list::of_records(&self.records, &self.up_case)?;
            if self.stored_list.as_ref() == Some(&entries) {
                return Ok(());
            }
            let bytes = list::encode(&entries)?;
            if len_u64(bytes.len()) > ATTRIBUTE_LIST_BYTES_MAX {
                let what = "size of an attribute list in bytes";
                return Err(Error::limit(what, ATTRIBUTE_LIST_BYTES_MAX, len_u64(bytes.len())));
            }
            if self.try_put_list(editor, &bytes)? {
                self.stored_list = Some(entries);
                return Ok(());
            }
            if !self.move_out(editor)? {
                self.put_list_outside(editor, &bytes)?;
            }
        }
        Err(self.no_room(AttributeKind::ATTRIBUTE_LIST))
    }

    fn drop_empty(&mut self, editor: &mut Editor<'_>) -> Result<()> {
        let mut kept = Vec::new();
        for (index, record) in std::mem::take(&mut self.records).into_iter().enumerate() {
            if index > 0 && on_record(record.number, record.attributes())?.is_empty() {
                let label = format!("{} (free)", record.number);
                self.stored.retain(|stored| stored.number != record.number);
                editor.free_record(record, &label)?;
            } else {
                kept.push(record);
            }
        }
        self.records = kept;
        Ok(())
    }

    /// Stores the list where it is, or as a resident attribute. False without room in the base record.
    fn try_put_list(&mut self, editor: &mut Editor<'_>, bytes: &[u8]) -> Result<bool> {
        let kind = AttributeKind::ATTRIBUTE_LIST;
        let parts = self.parts(kind, &[])?;
        match (self.stream(kind, &[])?.map(|stream| stream.place), parts.first()) {
            (Some(Place::Resident(_)), Some(part)) => {
                let base = self.base_mut()?;
                on_record(base.number, base.set_value(part.id, bytes))
            }
            (Some(Place::Clusters { .. }), _) => {
                self.put_list_outside(editor, bytes)?;
                Ok(true)
            }
            _ => self.try_insert(0, &NewAttribute::resident(kind, &[], bytes)),
        }
    }

    /// Stores the list in clusters.
    fn put_list_outside(&mut self, editor: &mut Editor<'_>, bytes: &[u8]) -> Result<()> {
        let kind = AttributeKind::ATTRIBUTE_LIST;
        let list = self.stream(kind, &[])?;
        let old = list.as_ref().and_then(Stream::runs).cloned();
        let mut runs = old.unwrap_or_else(|| RunList::new(Vcn(0)));
        let clusters = self.geometry.clusters_for(len_u64(bytes.len()))?;
        editor.resize_runs(&mut runs, clusters, None)?;
        let label = format!("attribute list of {}", self.label());
        editor.write_clusters(&runs, 0, bytes, &label)?;
        let value = len_u64(bytes.len());
        let allocated = arith::mul(clusters, self.geometry.cluster_size())?;
        let sizes = Sizes { allocated, value, initialised: value, compressed: None };
        let new = NewAttribute::non_resident(kind, &[], runs, sizes);
        for part in self.parts(kind, &[])? {
            self.remove_part(part)?;
        }
        if self.try_insert(0, &new)? { Ok(()) } else { Err(self.no_room(kind)) }
    }

    /// Writes every record that changed.
    ///
    /// # Errors
    /// `Refused` without room for the attribute list, `Corrupt`, `Io`.
    pub(super) fn store(&mut self, editor: &mut Editor<'_>) -> Result<()> {
        self.settle(editor)?;
        let label = self.label();
        for (index, record) in self.records.iter().enumerate() {
            if self.stored.contains(record) {
                continue;
            }
            let extension = format!("{}, extension of {label}", record.number);
            let what = if index == 0 { &label } else { &extension };
            editor.put_record(record, what)?;
        }
        self.stored.clone_from(&self.records);
        Ok(())
    }
}

/// The first part of a run list that fits `room` bytes, and the rest if there is one. `None` if there is no such
/// part, or it is no run list.
fn split(new: &NewAttribute, room: usize) -> Result<Option<(NewAttribute, Option<NewAttribute>)>> {
    let NewBody::NonResident { runs, sizes, compression_unit_log2 } = &new.body else {
        return Ok(None);
    };
    let with = |runs, sizes| NewAttribute {
        body: NewBody::NonResident { runs, sizes, compression_unit_log2: *compression_unit_log2 },
        ..new.clone()
    };
    let number = MftRecordNumber::MFT;
    // As many runs as fit, by halving.
    let (mut fits, mut too_many) = (0, runs.runs().len().saturating_add(1));
    while too_many.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(too_many);
        let end = runs.runs().get(middle).map_or(runs.end(), |run| run.vcn);
        let head = with(on_runs(number, runs.part(runs.first(), end))?, *sizes);
        let len =
            head.len_bytes().map_err(|defect: RecordDefect| Record::corrupt(number, defect))?;
        if len <= room { fits = middle } else { too_many = middle }
    }
    if fits == 0 {
        return Ok(None);
    }
    let end = runs.runs().get(fits).map_or(runs.end(), |run| run.vcn);
    let head = with(on_runs(number, runs.part(runs.first(), end))?, *sizes);
    let rest = on_runs(number, runs.part(end, runs.end()))?;
    let tail = (end < runs.end()).then(|| with(rest, Sizes::default()));
    Ok(Some((head, tail)))
}
