//! What a target is made of: a raw image file, a block device, or a container with a disk inside, opened for reading.
//!
//! The format is told from the content, never from the name (see [`format`](mod@format)). An [`Image`] is the disk that
//! the guest sees, and the host files that it is made of: one for a raw image, more for a container that names others
//! (see [`container`]). Reading takes no locks: looking at a disk that a machine uses is allowed, and
//! [`in_use::in_use_report`] says what would stand in the way of a write. The one place that opens a target for
//! writing is [`writable`].
//!
//! A mounted directory is no disk, and has a module of its own: [`directory`]. Not handled: compressed streams.

pub mod container;
pub mod directory;
pub mod format;
pub mod gate;
pub mod host_file;
pub mod in_use;
pub mod writable;

#[cfg(test)]
mod root_tests;
#[cfg(test)]
mod tests;

use crate::disk::Disk;
use crate::error::{Context as _, Error, Refusal, Result};
use container::Opened;
use format::Format;
use gate::FileGate;
use host_file::HostFile;
pub use host_file::{ImageIdentity, ImageKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A target that is open for reading.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bytes that the guest sees.
    pub disk: Arc<dyn Disk>,
    /// The container format.
    pub format: Format,
    /// The path as it was given.
    pub path: PathBuf,
    /// The file or device behind the path.
    pub file: HostFile,
    /// Further files that the container refers to, in the order in which they were opened.
    pub further_files: Vec<HostFile>,
    /// Why it can be read but must not be written, if so.
    pub not_writable: Option<Refusal>,
    /// What the user should know before an edit.
    pub warnings: Vec<String>,
}

/// How to open a target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The container format, if the caller knows better than the content.
    pub format: Option<Format>,
    /// Files that the container may refer to although they lie elsewhere.
    pub allowed_files: &'a [PathBuf],
}

impl Image {
    /// Every host file, the one that was named first.
    pub fn files(&self) -> impl Iterator<Item = &HostFile> {
        std::iter::once(&self.file).chain(&self.further_files)
    }

    /// Further files that lie elsewhere than the image: it can only be opened by a caller who allows them.
    pub fn files_elsewhere(&self) -> impl Iterator<Item = &Path> {
        let directory = self.file.path.parent();
        let is_elsewhere = move |path: &&Path| path.parent() != directory;
        self.further_files.iter().map(|file| file.path.as_path()).filter(is_elsewhere)
    }

    /// Checks that `ranges` of the disk can be written, without writing anything: a container may have no room for
    /// what it does not hold yet, or be damaged there.
    ///
    /// # Errors
    /// `Refused` if one of them cannot be written; `Corrupt`, `Limit`, `Io`.
    pub fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        container::trial::can_write(self, ranges)
    }

    /// Bytes read from the host so far.
    pub fn bytes_read(&self) -> u64 {
        self.files().fold(0, |sum, file| sum.saturating_add(file.disk.bytes_read()))
    }
}

/// Opens a target for reading and finds out what it is. `format` overrides what the content says. A container may
/// refer to files of its own directory only.
///
/// Never waits: a named pipe is refused, not opened. Errors carry the path as their outermost layer.
///
/// # Errors
/// * `NotFound` - there is no such file, or it is empty.
/// * `Unsupported` - a directory, a pipe, a socket, a character device, or a format or feature that is not read.
/// * `Corrupt` - the container is damaged.
/// * `Refused` - the container refers to a file that it may not refer to.
/// * `Io` - no permission, or the host failed.
pub fn open(path: &Path, format: Option<Format>) -> Result<Image> {
    open_with(path, &Options { format, ..Options::default() })
}

/// As [`open`], with more to choose.
///
/// # Errors
/// As [`open`].
pub fn open_with(path: &Path, options: &Options<'_>) -> Result<Image> {
    open_target(path, options).context(|| shown(path))
}

/// The format of the content of `path`, also of those that [`open`] refuses: for hints and reports.
///
/// # Errors
/// As [`open`], but for the formats.
pub fn recognise(path: &Path) -> Result<Format> {
    let found = HostFile::open(path).and_then(|file| format::detect(file.disk.as_ref()));
    found.context(|| shown(path))
}

fn open_target(path: &Path, options: &Options<'_>) -> Result<Image> {
    let file = HostFile::open(path)?;
    let format = match options.format {
        Some(format) => format,
        None => match format::detect(file.disk.as_ref())? {
            // Cipher text on a raw disk, which is a matter of volumes.
            Format::Luks => Format::Raw,
            format => format,
        },
    };
    let mut gate = FileGate::new(file, options.allowed_files);
    let Opened { disk, not_writable, warnings } = container::open(format, &mut gate)?;
    if disk.len_bytes() == 0 {
        return Err(Error::not_found("the disk inside is empty"));
    }
    let (file, further_files) = gate.into_files();
    let path = path.to_owned();
    Ok(Image { disk, format, path, file, further_files, not_writable, warnings })
}

/// The path as one safe line of text.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    crate::bytes::text::escape(path.as_os_str().as_bytes())
}
