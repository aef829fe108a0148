//! Directories: entries found, added, removed and changed; which files and directories may be edited.
//!
//! WIN-11 (case), WIN-27 and WIN-106 (what is refused by name), WIN-107.

use super::super::attribute::{AttributeKind, INDEX_NAME};
use super::super::index::{Collation, Entry, Index};
use super::super::index_view::IndexView;
use super::super::name::from_wtf8;
use super::super::reparse::{REPARSE_BYTES_MAX, Reparse};
use super::super::standard_information::file_flag;
use super::super::stream::{Place, Stream};
use super::super::units::{FileReference, MftRecordNumber};
use super::Editor;
use super::file::EditedFile;
use super::host::FileIndex;
use super::information::Time;
use crate::bytes::arith::len_u64;
use crate::bytes::field;
use crate::error::{Error, Refusal, Result};
use crate::fs::{NodeId, entry_name};
use std::ops::ControlFlow;

/// Name of the stream in which EFS keeps its keys: `$EFS`.
const EFS_NAME: [u16; 4] = [0x24, 0x45, 0x46, 0x53];

impl Editor<'_> {
    /// The entry of `directory` with this `$FILE_NAME`.
    pub(super) fn index_find(
        &mut self,
        directory: &mut EditedFile,
        key: &[u8],
    ) -> Result<Option<Entry>> {
        let up_case = directory.up_case.clone();
        FileIndex::new(self, directory, &INDEX_NAME).find(Collation::FileName(&up_case), key)
    }

    /// The entry of `directory` with this name, whatever its case.
    pub(super) fn index_find_name(
        &mut self,
        directory: &mut EditedFile,
        name: &[u16],
    ) -> Result<Option<Entry>> {
        let up_case = directory.up_case.clone();
        FileIndex::new(self, directory, &INDEX_NAME).find_name(Collation::FileName(&up_case), name)
    }

    /// Adds an entry to `directory`; false if there is one of this name.
    pub(super) fn index_insert(
        &mut self,
        directory: &mut EditedFile,
        file: FileReference,
        key: &[u8],
    ) -> Result<bool> {
        let up_case = directory.up_case.clone();
        let entry = Entry::of_file(file, key)?;
        FileIndex::new(self, directory, &INDEX_NAME).insert(Collation::FileName(&up_case), entry)
    }

    /// Removes the entry of this name.
    pub(super) fn index_remove(
        &mut self,
        directory: &mut EditedFile,
        key: &[u8],
    ) -> Result<Option<Entry>> {
        let up_case = directory.up_case.clone();
        FileIndex::new(self, directory, &INDEX_NAME).remove(Collation::FileName(&up_case), key)
    }

    /// Replaces times, flags and sizes of the entry of this name.
    pub(super) fn index_replace(&mut self, directory: &mut EditedFile, key: &[u8]) -> Result<bool> {
        let up_case = directory.up_case.clone();
        FileIndex::new(self, directory, &INDEX_NAME).replace_key(Collation::FileName(&up_case), key)
    }

    /// Shows every entry of `directory` until `visit` breaks.
    pub(super) fn index_visit(
        &mut self,
        directory: &EditedFile,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let plain = self.volume.load_file(directory.number())?;
        let view = IndexView::open(self.volume, &plain, &INDEX_NAME)?;
        let collation = Collation::FileName(self.volume.up_case());
        Index::open(&view, directory.geometry.cluster_size_bytes, collation)?.visit(visit)
    }

    /// A directory in which names may change.
    ///
    /// # Errors
    /// `Refused` if it is none, or is not to be edited.
    pub(super) fn editable_directory(&mut self, node: NodeId) -> Result<EditedFile> {
        let number = MftRecordNumber::new(node.0)?;
        let directory = EditedFile::load(self.volume, number)?;
        if !directory.base()?.is_directory() {
            return Err(unsuitable(&directory, "is not a directory"));
        }
        if number.is_metadata() && number != MftRecordNumber::ROOT {
            return Err(unsuitable(&directory, "belongs to the file system itself"));
        }
        self.check_reparse(&directory)?;
        self.check_records_used(&directory)?;
        let blocks = directory.stream(AttributeKind::INDEX_ALLOCATION, &INDEX_NAME)?;
        if let Some(runs) = blocks.as_ref().and_then(Stream::runs) {
            self.check_used(runs)?;
        }
        Ok(directory)
    }

    /// Sets the times of a directory as a change of its names does.
    pub(super) fn touch_directory(&self, directory: &mut EditedFile) -> Result<()> {
        directory.set_time(Time::Modified, self.now())?;
        directory.set_time(Time::Changed, self.now())
    }

    /// A file or directory whose metadata may change.
    ///
    /// # Errors
    /// `Refused` if it belongs to the file system, or a structure disagrees.
    pub(super) fn editable(&mut self, node: NodeId) -> Result<EditedFile> {
        let number = MftRecordNumber::new(node.0)?;
        let file = EditedFile::load(self.volume, number)?;
        let is_below_extend = |file: &EditedFile| -> Result<bool> {
            let names = file.names()?;
            Ok(names.iter().any(|(_, name)| name.parent.record == MftRecordNumber::EXTEND))
        };
        if number.is_metadata() || is_below_extend(&file)? {
            return Err(unsuitable(&file, "belongs to the file system itself"));
        }
        self.check_records_used(&file)?;
        Ok(file)
    }

    /// A regular file whose content may change.
    ///
    /// # Errors
    /// `Refused` with what stands against it (WIN-27, WIN-106).
    pub(super) fn editable_file(&mut self, node: NodeId) -> Result<EditedFile> {
        let file = self.editable(node)?;
        if file.base()?.is_directory() {
            return Err(unsuitable(&file, "is a directory, not a regular file"));
        }
        self.check_reparse(&file)?;
        let flags = file.information()?.flags;
        if flags & file_flag::READ_ONLY != 0 {
            return Err(unsuitable(&file, "has the read-only attribute"));
        }
        let efs = file.parts(AttributeKind::LOGGED_UTILITY_STREAM, &EFS_NAME)?;
        let data = file.stream(AttributeKind::DATA, &[])?;
        let is_encrypted = data.as_ref().is_some_and(Stream::is_encrypted);
        if flags & file_flag::ENCRYPTED != 0 || !efs.is_empty() || is_encrypted {
            return Err(Refusal::Encrypted { what: file.label() }.into());
        }
        if let Some(Place::Clusters { runs, .. }) = data.as_ref().map(|data| &data.place) {
            self.check_used(runs)?;
        }
        Ok(file)
    }

    /// Refuses what something else than NTFS provides or redirects.
    fn check_reparse(&self, file: &EditedFile) -> Result<()> {
        let Some(stream) = file.stream(AttributeKind::REPARSE_POINT, &[])? else { return Ok(()) };
        let value = stream.read_all(self.volume, REPARSE_BYTES_MAX)?;
        let tag = field::le_u32(&value, 0)?;
        let reason = match Reparse::parse(&value) {
            Ok(Reparse::Link { .. }) => format!("is a link (reparse tag {tag:#010x})"),
            _ => format!("is {}", Reparse::provider(tag)),
        };
        Err(unsuitable(file, &reason))
    }
}

/// The refusal of a file that is not to be edited.
pub(super) fn unsuitable(file: &EditedFile, reason: &str) -> Error {
    Refusal::UnsuitableFile { path: file.label(), reason: reason.to_owned() }.into()
}

/// The UTF-16 form of a new name, which Windows must be able to open.
///
/// # Errors
/// `Refused` if Windows could not; `Limit` if it is too long.
pub(super) fn new_name(name: &[u8]) -> Result<Vec<u16>> {
    /// Characters that no name of the Win32 subsystem has.
    const RESERVED: &[u8] = b"\\:*?\"<>|";
    /// Longest name in UTF-16 units.
    const UNITS_MAX: usize = super::super::name::NAME_UNITS_MAX;
    if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
        return Err(entry_name::unsuitable(name, "is not a file name"));
    }
    if name.iter().any(|byte| *byte < 0x20 || RESERVED.contains(byte)) {
        return Err(entry_name::unsuitable(name, "has a character that Windows does not allow"));
    }
    if name.ends_with(b".") || name.ends_with(b" ") {
        return Err(entry_name::unsuitable(name, "ends with a dot or a space"));
    }
    let Some(units) = from_wtf8(name) else {
        return Err(entry_name::unsuitable(name, "is not UTF-8"));
    };
    if units.len() > UNITS_MAX {
        let what = "length of the file name in UTF-16 units";
        return Err(Error::limit(what, len_u64(UNITS_MAX), len_u64(units.len())));
    }
    Ok(units)
}

/// True if `name` is a legal 8.3 name, whatever its case: it then needs no second one (WIN-112).
pub(super) fn is_short_name(name: &[u16]) -> bool {
    const SIGNS: &[u8] = b"!#$%&'()-@^_`{}~";
    let is_legal = |unit: &u16| {
        u8::try_from(*unit).is_ok_and(|byte| byte.is_ascii_alphanumeric() || SIGNS.contains(&byte))
    };
    let mut parts = name.split(|unit| *unit == u16::from(b'.'));
    let (base, extension) = (parts.next().unwrap_or_default(), parts.next());
    let fits = |part: &[u16], units_max: usize| {
        (1..=units_max).contains(&part.len()) && part.iter().all(is_legal)
    };
    parts.next().is_none() && fits(base, 8) && extension.is_none_or(|part| fits(part, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_cannot_open_are_refused() {
        for (name, is_allowed) in [
            (&b"config.xml"[..], true),
            (b".run-once", true),
            ("Zo\u{eb} \u{1f511}".as_bytes(), true),
            (b"", false),
            (b".", false),
            (b"..", false),
            (b"a/b", false),
            (b"a\\b", false),
            (b"a:b", false),
            (b"a\x1f", false),
            (b"a\0", false),
            (b"a.", false),
            (b"a ", false),
            (b"\xff", false),
            (&[b'x'; 255], true),
            (&[b'x'; 256], false),
        ] {
            assert_eq!(new_name(name).is_ok(), is_allowed, "{name:?}");
        }
    }

    /// WIN-112.
    #[test]
    fn short_names_are_those_of_dos() {
        for (name, is_short) in [
            ("config.xml", true),
            ("GPT.INI", true),
            ("a", true),
            ("12345678.123", true),
            ("123456789", false),
            ("a.1234", false),
            (".run-once", false),
            ("a.", false),
            ("a.b.c", false),
            ("a b", false),
            ("a+b", false),
            ("a\u{eb}", false),
        ] {
            let units: Vec<u16> = name.encode_utf16().collect();
            assert_eq!(is_short_name(&units), is_short, "{name}");
        }
    }
}
