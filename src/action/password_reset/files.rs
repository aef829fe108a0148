//! Files of the guest as a plan needs them: read within bounds, changed as little as possible.

use super::Reset;
use crate::action::FileChange;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::windows::format::{self, ByteChange, CONFIG_BYTES_MAX, change};

/// A file that was read.
pub(super) struct ReadFile {
    /// Its real path.
    pub(super) path: GuestPath,
    pub(super) content: Vec<u8>,
}

/// Reads a small file.
///
/// # Errors
/// `NotFound`; `Refused` if it is no file; `Limit` above [`CONFIG_BYTES_MAX`]; as the file system.
pub(super) fn read(fs: &dyn FileSystem, path: &str) -> Result<ReadFile> {
    let found = find(fs, &GuestPath::new(path))?;
    let found = found.ok_or_else(|| Error::not_found(path.to_owned()))?;
    let kind = fs.metadata(found.node)?.kind;
    if kind != NodeKind::File {
        return Err(format::refused(path, &format!("is a {kind}")));
    }
    let content = fs.read(found.node, CONFIG_BYTES_MAX)?;
    Ok(ReadFile { path: found.real_path, content })
}

impl Reset<'_> {
    /// Plans `changes` of a file: in place where that is possible (WIN-2), else as a new content.
    ///
    /// # Errors
    /// `Refused` if the changes do not fit the file, which would be an error of ours.
    pub(super) fn change(
        &mut self,
        file: &ReadFile,
        changes: &[ByteChange],
        detail: &str,
    ) -> Result<()> {
        let content = change::apply(&file.content, changes)
            .map_err(|defect| format::refused(&file.path.to_string(), &defect))?;
        let path = file.path.clone();
        let detail = detail.to_owned();
        if changes.iter().all(ByteChange::keeps_length) {
            for ByteChange { offset_bytes, new, .. } in changes {
                let (path, detail) = (path.clone(), detail.clone());
                let (offset_bytes, bytes) = (*offset_bytes, new.clone());
                self.changes.push(FileChange::Overwrite { path, offset_bytes, bytes, detail });
            }
        } else {
            self.changes.push(FileChange::Replace { path, content, detail });
        }
        Ok(())
    }
}
