//! What a target is made of: a raw image file or a block device, opened for reading.
//!
//! The format is told from the content, never from the name (see [`format`](mod@format)). Everything but raw bytes is
//! refused with the name of the format. Reading takes no locks: looking at a disk that a machine uses is
//! allowed, and [`in_use::in_use_report`] says what would stand in the way of a write. The one place that opens
//! a target for writing is [`writable`].
//!
//! Not handled: container formats (qcow2, VMDK, VHD, VHDX, VDI), compressed streams, mounted directories.

pub mod format;
pub mod in_use;
pub mod writable;

#[cfg(test)]
mod root_tests;
#[cfg(test)]
mod tests;

use crate::disk::file::FileDisk;
use crate::error::{Context as _, Error, ErrorKind, Result};
use format::Format;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Logical sector size of image files in bytes. A table made for 4096-byte sectors is found nevertheless.
const FILE_SECTOR_BYTES: u32 = 512;

/// A target that is open for reading.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bytes that the guest sees.
    pub disk: Arc<FileDisk>,
    /// The container format.
    pub format: Format,
    /// What the path leads to.
    pub kind: ImageKind,
    /// The path as it was given.
    pub path: PathBuf,
    /// The object behind the path, to recognise it when it is opened again.
    pub identity: ImageIdentity,
}

/// What the path of a target leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A regular file.
    File,
    /// A block device: a whole disk, a partition, or something mapped.
    BlockDevice,
}

/// Which object of the host a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageIdentity {
    /// `st_dev` of the file, or of the device node.
    pub device: u64,
    /// `st_ino` of the file, or of the device node.
    pub inode: u64,
    /// `st_rdev`: the number of a block device, 0 for a file.
    pub device_number: u64,
}

impl ImageIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), device_number: metadata.rdev() }
    }
}

/// Opens a target for reading and finds out what it is. `format` overrides what the content says.
///
/// Never waits: a named pipe is refused, not opened. Errors carry the path as their outermost layer.
///
/// # Errors
/// * `NotFound` - there is no such file, or it is empty.
/// * `Unsupported` - a directory, a pipe, a socket, a character device, or a container format other than raw.
/// * `Io` - no permission, or the host failed.
pub fn open(path: &Path, format: Option<Format>) -> Result<Image> {
    open_target(path, format).context(|| shown(path))
}

/// The format of the content of `path`, also of those that [`open`] refuses: for hints and reports.
///
/// # Errors
/// As [`open`], but for the formats.
pub fn recognise(path: &Path) -> Result<Format> {
    let found = open_raw(path).and_then(|(disk, ..)| format::detect(&disk));
    found.context(|| shown(path))
}

fn open_target(path: &Path, format: Option<Format>) -> Result<Image> {
    let (disk, kind, identity) = open_raw(path)?;
    let format = match format {
        Some(format) => format,
        None => format::detect(&disk)?,
    };
    if format != Format::Raw {
        return Err(Error::unsupported(format!("{} are not supported yet", format.plural())));
    }
    Ok(Image { disk: Arc::new(disk), format, kind, path: path.to_owned(), identity })
}

/// Opens and measures `path` without looking at its content.
fn open_raw(path: &Path) -> Result<(FileDisk, ImageKind, ImageIdentity)> {
    // The type is checked before the open, because opening a pipe or a tape has effects, and again after it,
    // because the name may have changed its meaning in between.
    check_type(std::fs::metadata(path).map_err(missing_is_not_found)?.file_type())?;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .map_err(missing_is_not_found)?;
    let metadata = file.metadata()?;
    let kind = check_type(metadata.file_type())?;
    if kind == ImageKind::BlockDevice {
        // The nodes of a disk and of its partitions have caches of their own: what was written through another
        // node may not show in this one.
        writable::drop_pages(&file)?;
    }
    let (len_bytes, sector_size_bytes) = measure(&mut file, kind)?;
    if len_bytes == 0 {
        let what =
            if kind == ImageKind::File { "the file is empty" } else { "the device is empty" };
        return Err(Error::not_found(what));
    }
    let disk = FileDisk::new(file, len_bytes, sector_size_bytes);
    Ok((disk, kind, ImageIdentity::of(&metadata)))
}

/// Length and logical sector size in bytes.
fn measure(file: &mut File, kind: ImageKind) -> Result<(u64, u32)> {
    // `st_size` of a block device is 0; the end can be sought on both.
    let len_bytes = file.seek(SeekFrom::End(0))?;
    let sector_size_bytes = match kind {
        ImageKind::File => FILE_SECTOR_BYTES,
        ImageKind::BlockDevice => rustix::fs::ioctl_blksszget(&*file).map_err(io::Error::from)?,
    };
    Ok((len_bytes, sector_size_bytes))
}

fn check_type(file_type: FileType) -> Result<ImageKind> {
    let refused = if file_type.is_file() {
        return Ok(ImageKind::File);
    } else if file_type.is_block_device() {
        return Ok(ImageKind::BlockDevice);
    } else if file_type.is_dir() {
        "a directory: mounted roots are not supported yet"
    } else if file_type.is_fifo() {
        "a named pipe is not a disk"
    } else if file_type.is_socket() {
        "a socket is not a disk"
    } else {
        "a character device is not a disk"
    };
    Err(Error::unsupported(refused))
}

fn missing_is_not_found(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound("no such file".into())),
        io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::NotFound("a part of the path is not a directory".into()))
        }
        _ => error.into(),
    }
}

/// The path as one safe line of text.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    crate::bytes::text::escape(path.as_os_str().as_bytes())
}
