//! Files that we make on the host: written wholly or not at all, durable, and never over an existing one.

use super::output::{Failure, Outcome};
use crate::error::{Context as _, Refusal, Result};
use crate::image::{Image, in_use};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Creates `path` with `bytes` and `mode`.
///
/// # Errors
/// `Refused` ([`Refusal::FileExists`]); `Io`.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let shown = super::shown(path);
    check_absent(path)?;
    let directory = directory_of(path);
    let store = || -> io::Result<Option<tempfile::PersistError>> {
        let mut file = tempfile::Builder::new()
            .prefix(".regain-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Some(error)),
            Err(error) => Err(error.error),
            Ok(_) => File::open(directory)?.sync_all().map(|()| None),
        }
    };
    match store().context(|| shown.clone())? {
        Some(_) => Err(Refusal::FileExists { path: shown }.into()),
        None => Ok(()),
    }
}

/// Files that were just made, and go away again unless they are kept.
#[derive(Debug, Default)]
pub(crate) struct Fresh(Vec<PathBuf>);

impl Fresh {
    /// Creates one more, as [`create`].
    ///
    /// # Errors
    /// As [`create`].
    pub(crate) fn create(&mut self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        create(path, bytes, mode)?;
        self.0.push(path.to_owned());
        Ok(())
    }

    /// Keeps all of them.
    pub(crate) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        for path in &self.0 {
            // What made them useless is what has to be reported.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Refuses a place that is on `image` itself: what is written there would change the target behind our back, and
/// an undo file would be lost with it.
///
/// # Errors
/// `Refused` ([`Refusal::UnsuitableFile`]); `Io`.
pub(crate) fn check_apart(path: &Path, image: &Image) -> Outcome {
    if !in_use::is_kept_on(image, path)? {
        return Ok(());
    }
    let reason = format!("lies on {} itself", super::shown(&image.path));
    let error = Refusal::UnsuitableFile { path: super::shown(path), reason };
    Err(Box::new(Failure::from(error).hint("name a place on another disk")))
}

/// Refuses a name that is taken, also by a dangling link.
///
/// # Errors
/// `Refused` ([`Refusal::FileExists`]).
pub(crate) fn check_absent(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(Refusal::FileExists { path: super::shown(path) }.into()),
        Err(_) => Ok(()),
    }
}

/// The directory that holds `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Reads a small file, or standard input for `-`.
///
/// # Errors
/// `Limit` above `limit_bytes`; `Io`.
pub(crate) fn read_small(path: &Path, what: &str, limit_bytes: u64) -> Result<Vec<u8>> {
    let read = |source: &mut dyn io::Read| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        source.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = if path == Path::new("-") {
        read(&mut io::stdin().lock()).context(|| "standard input")?
    } else {
        let opened = File::open(path).and_then(|mut file| read(&mut file));
        opened.context(|| super::shown(path))?
    };
    let len = crate::bytes::arith::len_u64(bytes.len());
    if len > limit_bytes {
        let what = format!("size of {what} in bytes");
        return Err(crate::error::Error::limit(what, limit_bytes, len));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create(&path, b"one", 0o600).unwrap();
        assert_eq!(create(&path, b"two", 0o600).unwrap_err().exit_status(), 4);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn fresh_files_vanish_unless_they_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, dropped) = (directory.path().join("kept"), directory.path().join("dropped"));
        let mut fresh = Fresh::default();
        fresh.create(&kept, b"x", 0o600).unwrap();
        fresh.keep();
        fresh.create(&dropped, b"x", 0o600).unwrap();
        assert!(fresh.create(&kept, b"y", 0o600).is_err());
        drop(fresh);
        assert!(!dropped.exists());
        assert_eq!(std::fs::read(&kept).unwrap(), b"x");
    }

    #[test]
    fn a_dangling_link_is_taken_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(create(&path, b"x", 0o600).is_err());
    }
}
