//! Removing a name, and the file with its last name.
//!
//! WIN-108, WIN-109: a long name and its short twin go together. A hard link in another directory keeps the file.

use super::super::attribute::AttributeKind;
use super::super::file_name::{FileName, NameSpace};
use super::super::index::Collation;
use super::super::name::from_wtf8;
use super::super::stream::{Place, Stream};
use super::super::units::{FileReference, MftRecordNumber};
use super::Editor;
use super::file::{EditedFile, Part};
use super::host::FileIndex;
use super::information::Time;
use super::names::unsuitable;
use super::store::needs_check;
use crate::bytes::field;
use crate::error::Result;
use crate::fs::{NodeId, entry_name};

/// Names of the indexes in `$Extend\$ObjId` and `$Extend\$Reparse`, and of these files.
const OBJECT_INDEX: [u16; 2] = [0x24, 0x4f];
const OBJECT_FILE: &[u8] = b"$ObjId";

impl Editor<'_> {
    /// Removes `name` from `directory`.
    ///
    /// # Errors
    /// `NotFound` if there is no such name; `Refused` for directories, and as in [`super`].
    pub(super) fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let mut parent = self.editable_directory(directory)?;
        let missing = || entry_name::missing(name);
        let units = from_wtf8(name).ok_or_else(missing)?;
        let entry = self.index_find_name(&mut parent, &units)?.ok_or_else(missing)?;
        let entry_units = entry.file_name()?.name;
        let reference = entry.file();
        let mut file = self.editable_file(NodeId(reference.record.0))?;
        if !reference.matches(file.base()?.header.sequence) {
            return Err(needs_check(format!(
                "{} has an entry for a file that is gone",
                parent.label()
            )));
        }
        let names = file.names()?;
        let wanted = wanted_names(&names, parent.base()?.reference(), &entry_units);
        if wanted.is_empty() {
            let detail = format!("{} does not know its name in {}", file.label(), parent.label());
            return Err(needs_check(detail));
        }
        for (_, name) in &wanted {
            let removed = self.index_remove(&mut parent, &name.encode()?)?;
            if removed.is_none_or(|removed| removed.file() != file_reference(&file)) {
                let detail = format!("{} has no entry for {}", parent.label(), file.label());
                return Err(needs_check(detail));
            }
        }
        self.touch_directory(&mut parent)?;
        parent.store(self)?;
        if wanted.len() < names.len() {
            return self.unlink(&mut file, &wanted);
        }
        self.delete(file)
    }

    /// Takes names away from a file that keeps others.
    fn unlink(&mut self, file: &mut EditedFile, wanted: &[(Part, FileName)]) -> Result<()> {
        for (part, _) in wanted {
            file.remove_part(*part)?;
        }
        let left = file.names()?.len();
        file.base_mut()?.header.link_count = crate::bytes::arith::to(left)?;
        file.set_time(Time::Changed, self.now())?;
        file.store(self)?;
        self.refresh_names(file)
    }

    /// Gives back everything that a file has.
    fn delete(&mut self, file: EditedFile) -> Result<()> {
        let label = file.label();
        self.remove_object_id(&file)?;
        for (kind, name) in file.stream_names()? {
            if kind == AttributeKind::FILE_NAME {
                continue;
            }
            if let Some(Stream { place: Place::Clusters { runs, .. }, .. }) =
                file.stream(kind, &name)?
            {
                self.free_clusters(runs.runs())?;
            }
        }
        for (index, record) in file.records.into_iter().enumerate() {
            let extension = format!("{}, extension of {label}", record.number);
            self.free_record(record, if index == 0 { &label } else { &extension })?;
        }
        Ok(())
    }

    /// Removes the entry of the object id in `$Extend\$ObjId`: a key of 16 bytes (WIN-109).
    fn remove_object_id(&mut self, file: &EditedFile) -> Result<()> {
        let Some(id) = file.stream(AttributeKind::OBJECT_ID, &[])? else { return Ok(()) };
        let Place::Resident(value) = &id.place else {
            return Err(unsuitable(file, "has an object id outside of its record"));
        };
        let key: [u8; 16] = field::array(value, 0)?;
        let mut extend = EditedFile::load(self.volume, MftRecordNumber::EXTEND)?;
        let units = from_wtf8(OBJECT_FILE).unwrap_or_default();
        let Some(entry) = self.index_find_name(&mut extend, &units)? else { return Ok(()) };
        let mut object_ids = EditedFile::load_reference(self.volume, entry.file())?;
        // An id that is not there does no harm: Windows then does not find the file by it.
        FileIndex::new(self, &mut object_ids, &OBJECT_INDEX).remove(Collation::U32s, &key)?;
        object_ids.store(self)
    }
}

fn file_reference(file: &EditedFile) -> FileReference {
    FileReference {
        record: file.number(),
        sequence: file.records.first().map_or(0, |base| base.header.sequence),
    }
}

/// The name in the directory that was meant, and its twin.
fn wanted_names(
    names: &[(Part, FileName)],
    parent: FileReference,
    units: &[u16],
) -> Vec<(Part, FileName)> {
    let here = |name: &FileName| name.parent.record == parent.record;
    let Some((_, meant)) = names.iter().find(|(_, name)| here(name) && name.name == units) else {
        return Vec::new();
    };
    let twin = match meant.name_space {
        NameSpace::Win32 => Some(NameSpace::Dos),
        NameSpace::Dos => Some(NameSpace::Win32),
        NameSpace::Posix | NameSpace::Win32AndDos => None,
    };
    let is_wanted =
        |name: &FileName| name == meant || (here(name) && Some(name.name_space) == twin);
    names.iter().filter(|(_, name)| is_wanted(name)).cloned().collect()
}
