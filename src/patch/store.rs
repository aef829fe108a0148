//! The durable undo record: what must exist before the first byte of a target changes.
//!
//! The record is written to a temporary file beside its final place, synced, renamed into place
//! without ever replacing a file, and then the directory is synced. A crash before the rename
//! leaves no record and, because [`apply`](super::apply()) asks for the [`DurableUndo`] that only
//! the last step gives, no write to the target.

use super::Patch;
use super::files::{self, FilePatch};
use super::format::{self, PatchDigest};
use crate::bytes::text;
use crate::error::{Context as _, Error, Refusal, Result};
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Access to a patch file: it holds content of the target, which may be secret.
const PATCH_FILE_MODE: u32 = 0o600;

/// Proof that the undo record of a patch is durable, or that the user has waived it.
#[derive(Debug)]
pub struct DurableUndo(Record);

#[derive(Debug)]
enum Record {
    Waived,
    Stored { digest: PatchDigest, path: PathBuf },
}

impl DurableUndo {
    /// The user wants no undo record (`--no-undo`).
    pub fn waived() -> Self {
        Self(Record::Waived)
    }

    /// Where the record is, unless it was waived.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Record::Waived => None,
            Record::Stored { path, .. } => Some(path),
        }
    }

    /// Checks that this is the record of `patch`.
    ///
    /// # Errors
    /// `Mismatch` if it belongs to another one.
    pub(super) fn check(&self, patch: &Patch) -> Result<()> {
        self.check_digest(|| format::digest(patch))
    }

    /// Checks that this is the record with that digest.
    ///
    /// # Errors
    /// `Mismatch` if it belongs to another patch.
    pub(super) fn check_digest(
        &self,
        expected: impl FnOnce() -> Result<PatchDigest>,
    ) -> Result<()> {
        match &self.0 {
            Record::Stored { digest, .. } if *digest != expected()? => {
                Err(Error::mismatch("the undo record belongs to another patch"))
            }
            _ => Ok(()),
        }
    }
}

/// Writes the patch file of `patch` to `path`, durably and only for the owner.
///
/// # Errors
/// * `Refused` with [`Refusal::FileExists`] - something is there already.
/// * `Limit` - as [`encode`](super::encode).
/// * `Io` - it cannot be written; no file is left at `path`.
pub fn store(patch: &Patch, path: &Path) -> Result<DurableUndo> {
    store_with(path, |sink| format::write_to(patch, sink))
}

/// Writes the patch file of the directory patch `patch` to `path`, as [`store`] does.
///
/// # Errors
/// As [`store`].
pub fn store_files(patch: &FilePatch, path: &Path) -> Result<DurableUndo> {
    let bytes = files::encode(patch)?;
    store_with(path, |sink| {
        sink.write_all(&bytes)?;
        files::format::digest_of(&bytes)
    })
}

fn store_with(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> Result<PatchDigest>,
) -> Result<DurableUndo> {
    let shown = || text::escape(path.as_os_str().as_encoded_bytes());
    if path.symlink_metadata().is_ok() {
        return Err(Refusal::FileExists { path: shown() }.into());
    }
    Staged::write(path, write).and_then(|staged| staged.publish(path)).context(shown)
}

/// A patch file that is written and synced, but not in its place.
struct Staged {
    file: NamedTempFile,
    digest: PatchDigest,
}

impl Staged {
    fn write(
        path: &Path,
        write: impl FnOnce(&mut dyn io::Write) -> Result<PatchDigest>,
    ) -> Result<Self> {
        let mut file = tempfile::Builder::new()
            .prefix(".regain-")
            .suffix(".tmp")
            .permissions(Permissions::from_mode(PATCH_FILE_MODE))
            .tempfile_in(directory_of(path))?;
        let mut sink = BufWriter::new(file.as_file_mut());
        let digest = write(&mut sink)?;
        sink.flush()?;
        drop(sink);
        file.as_file().sync_all()?;
        Ok(Self { file, digest })
    }

    fn publish(self, path: &Path) -> Result<DurableUndo> {
        let Self { file, digest } = self;
        file.persist_noclobber(path).map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => {
                let path = text::escape(path.as_os_str().as_encoded_bytes());
                Error::from(Refusal::FileExists { path })
            }
            _ => failed.error.into(),
        })?;
        if let Err(error) = File::open(directory_of(path)).and_then(|dir| dir.sync_all()) {
            // Not known to be durable, so it must not look like a record. The sync is the error to
            // report.
            let _ = std::fs::remove_file(path);
            return Err(error.into());
        }
        Ok(DurableUndo(Record::Stored { digest, path: path.to_owned() }))
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fault::FaultMedium;
    use crate::error::ErrorKind;
    use crate::patch::tests::{change, description};
    use crate::patch::{apply, load};

    fn patch(after: u8) -> Patch {
        Patch::new(description(512), vec![change(0, &[0; 512], &[after; 512])]).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_stored_patch_is_private_and_loads_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.patch");
        let record = store(&patch(1), &path).unwrap();
        assert_eq!(record.path(), Some(path.as_path()));
        assert_eq!(load(&path).unwrap(), patch(1));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(directory.path()), ["undo.patch"]);
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.patch");
        store(&patch(1), &path).unwrap();
        let dangling = directory.path().join("dangling");
        std::os::unix::fs::symlink("missing", &dangling).unwrap();
        for taken in [&path, &dangling] {
            let error = store(&patch(2), taken).unwrap_err();
            let is_refused = matches!(error.kind(), ErrorKind::Refused(Refusal::FileExists { .. }));
            assert!(is_refused, "{error}");
        }
        // Somebody else takes the name between the first look and the rename.
        let staged = Staged::write(&path, |sink| format::write_to(&patch(2), sink)).unwrap();
        let error = staged.publish(&path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::FileExists { .. })), "{error}");
        assert_eq!(load(&path).unwrap(), patch(1));
        assert_eq!(names(directory.path()).len(), 2);
    }

    /// Whatever ends the program before the rename, there is neither a record nor the token that
    /// `apply` demands; the name is free for the next run.
    #[test]
    fn a_crash_before_the_rename_leaves_no_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.patch");
        let staged = Staged::write(&path, |sink| format::write_to(&patch(1), sink)).unwrap();
        // Killed: no destructor runs.
        std::mem::forget(staged);
        assert!(!path.exists());
        store(&patch(1), &path).unwrap();
        assert_eq!(load(&path).unwrap(), patch(1));
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/undo.patch");
        let error = store(&patch(1), &path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io(_)), "{error}");
        assert!(error.to_string().contains("undo.patch"), "{error}");
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn the_record_of_another_patch_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let record = store(&patch(1), &directory.path().join("one")).unwrap();
        let mut medium = FaultMedium::new(vec![0; 512]);
        let error = apply(&patch(2), &mut medium, &record, &mut |_, _| ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Mismatch(_)), "{error}");
        assert_eq!(medium.operations(), []);
        apply(&patch(1), &mut medium, &record, &mut |_, _| ()).unwrap();
        assert_eq!(medium.durable(), [1; 512]);
    }
}
