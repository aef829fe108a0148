//! `$STANDARD_INFORMATION` of a file that is edited, and the copies of it and of the sizes in its directories.
//!
//! WIN-103, WIN-111: the entry of a directory repeats times, flags and sizes of the file. `$FILE_NAME` in the record
//! does so too, but no writer keeps that one up to date.

use super::super::attribute::{AttributeKind, Sizes};
use super::super::file_name::FileName;
use super::super::standard_information::{StandardInformation, file_flag, file_time};
use super::super::stream::Place;
use super::Editor;
use super::file::EditedFile;
use super::store::needs_check;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;

/// Length of `$STANDARD_INFORMATION` before version 3, which has no security id.
const OLD_BYTES: usize = 0x30;
/// Length of `$STANDARD_INFORMATION` of version 3 (WIN-112).
const BYTES: usize = 0x48;
const FLAGS_AT: usize = 0x20;
const SECURITY_ID_AT: usize = 0x34;

/// One of the four times, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// Of the content.
    Modified,
    /// Of the record.
    Changed,
    /// Last access.
    Accessed,
}

impl Time {
    fn offset(self) -> usize {
        match self {
            Self::Modified => 0x08,
            Self::Changed => 0x10,
            Self::Accessed => 0x18,
        }
    }
}

impl EditedFile {
    /// Times, flags and security id.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn information(&self) -> Result<StandardInformation> {
        let value = self.resident(AttributeKind::STANDARD_INFORMATION, &[])?;
        Ok(StandardInformation::parse(&value)?)
    }

    fn put_information(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let parts = self.parts(AttributeKind::STANDARD_INFORMATION, &[])?;
        let part = *parts.first().ok_or(arith::OutOfRange)?;
        self.overwrite_resident(part, offset, bytes)
    }

    /// Sets one of the times, a FILETIME.
    pub(super) fn set_time(&mut self, time: Time, file_time: u64) -> Result<()> {
        self.put_information(time.offset(), &file_time.to_le_bytes())
    }

    /// Sets the file attributes.
    pub(super) fn set_file_flags(&mut self, flags: u32) -> Result<()> {
        self.put_information(FLAGS_AT, &flags.to_le_bytes())
    }

    /// Sets the number of the security descriptor; the attribute becomes one of version 3 for it.
    pub(super) fn set_security_id(&mut self, editor: &mut Editor<'_>, id: u32) -> Result<()> {
        let kind = AttributeKind::STANDARD_INFORMATION;
        let mut value = self.resident(kind, &[])?;
        if value.len() < BYTES {
            field::slice(&value, 0, OLD_BYTES)?;
            value.resize(BYTES, 0);
        }
        field::put_le_u32(&mut value, SECURITY_ID_AT, id)?;
        self.put_resident(editor, kind, &[], &value)
    }

    /// Allocated size and size of the content as a directory entry shows them.
    ///
    /// # Errors
    /// `Corrupt`.
    fn shown_sizes(&self) -> Result<(u64, u64)> {
        Ok(match self.stream(AttributeKind::DATA, &[])?.map(|data| data.place) {
            None => (0, 0),
            Some(Place::Resident(value)) => {
                let len = len_u64(value.len());
                (arith::round_up(len, 8)?, len)
            }
            Some(Place::Clusters { sizes: Sizes { allocated, value, compressed, .. }, .. }) => {
                (compressed.unwrap_or(allocated), value)
            }
        })
    }

    /// Copies times, flags and sizes to `name`.
    pub(super) fn copy_to_name(&self, name: &mut FileName) -> Result<()> {
        let information = self.information()?;
        name.created = information.created;
        name.modified = information.modified;
        name.changed = information.changed;
        name.accessed = information.accessed;
        let is_directory = self.base()?.is_directory();
        let directory = if is_directory { file_flag::DIRECTORY } else { 0 };
        name.flags = information.flags | directory;
        (name.allocated_bytes, name.size_bytes) = self.shown_sizes()?;
        Ok(())
    }
}

impl Editor<'_> {
    /// The time of the edit as a FILETIME.
    pub(super) fn now(&self) -> u64 {
        file_time(self.volume.clock())
    }

    /// Sets the times as a change of the content does.
    pub(super) fn touch_content(&self, file: &mut EditedFile) -> Result<()> {
        file.set_time(Time::Modified, self.now())?;
        file.set_time(Time::Changed, self.now())
    }

    /// Copies times, flags and sizes to the entry of every name.
    ///
    /// # Errors
    /// `Refused` (needs a check) if a directory has no such entry; `Corrupt`, `Io`.
    pub(super) fn refresh_names(&mut self, file: &EditedFile) -> Result<()> {
        let reference = file.base()?.reference();
        for (_, mut name) in file.names()? {
            file.copy_to_name(&mut name)?;
            let mut directory = EditedFile::load_reference(self.volume, name.parent)?;
            let found = self.index_find(&mut directory, &name.encode()?)?;
            let is_ours = found.as_ref().is_some_and(|entry| entry.file() == reference);
            if !is_ours {
                let detail = format!("{} has no entry for {}", directory.label(), file.label());
                return Err(needs_check(detail));
            }
            // What only the entry knows stays: the tag of a reparse point, or the size of extended attributes.
            if let Some(entry) = found {
                name.extended = entry.file_name()?.extended;
            }
            self.index_replace(&mut directory, &name.encode()?)?;
            directory.store(self)?;
        }
        Ok(())
    }
}

/// The value of `$STANDARD_INFORMATION` of a new file (WIN-112).
pub(super) fn new_information(now: u64, flags: u32, security_id: u32) -> Result<Vec<u8>> {
    let mut value = vec![0; BYTES];
    for offset in [0, 0x08, 0x10, 0x18] {
        field::put_le_u64(&mut value, offset, now)?;
    }
    field::put_le_u32(&mut value, FLAGS_AT, flags)?;
    field::put_le_u32(&mut value, SECURITY_ID_AT, security_id)?;
    Ok(value)
}
