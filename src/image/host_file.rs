//! One file or block device of the host that holds bytes of a target, opened for reading.

use super::writable;
use crate::disk::file::FileDisk;
use crate::error::{Error, ErrorKind, Result};
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Logical sector size of files in bytes. A table made for 4096-byte sectors is found nevertheless.
const FILE_SECTOR_BYTES: u32 = 512;

/// A file or device of the host.
#[derive(Debug, Clone)]
pub struct HostFile {
    /// Where it was found.
    pub path: PathBuf,
    /// What it is.
    pub kind: ImageKind,
    /// The object behind the path, to recognise it when it is opened again.
    pub identity: ImageIdentity,
    /// Its bytes, without looking into a container.
    pub disk: Arc<FileDisk>,
    /// What an edit does with it.
    pub role: Role,
    /// The name by which a container refers to it; empty for the target.
    pub reference: String,
}

/// What the path of a file leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A regular file.
    File,
    /// A block device: a whole disk, a partition, or something mapped.
    BlockDevice,
}

/// What an edit does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It may be written, and is then held exclusively.
    Written,
    /// It is only read, such as the base of an overlay. Others may read it meanwhile.
    OnlyRead,
}

/// Which object of the host a file is.
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
    /// Which object `metadata` was taken of.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), device_number: metadata.rdev() }
    }
}

impl HostFile {
    /// Opens and measures `path` without looking at its content. It may be written.
    ///
    /// # Errors
    /// * `NotFound` - there is no such file, or it is empty.
    /// * `Unsupported` - neither a file nor a block device.
    /// * `Io`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // The type is checked before the open, because opening a pipe or a tape has effects, and again after it,
        // because the name may have changed its meaning in between.
        check_type(std::fs::metadata(path).map_err(missing_is_not_found)?.file_type())?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open(path)
            .map_err(missing_is_not_found)?;
        Self::measured(file, path)
    }

    /// Takes over `file`, which was found at `path`.
    ///
    /// # Errors
    /// As [`HostFile::open`].
    pub(super) fn measured(mut file: File, path: &Path) -> Result<Self> {
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
        let disk = Arc::new(FileDisk::new(file, len_bytes, sector_size_bytes));
        let identity = ImageIdentity::of(&metadata);
        let (path, reference) = (path.to_owned(), String::new());
        Ok(Self { path, kind, identity, disk, role: Role::Written, reference })
    }
}

/// Length and logical sector size in bytes.
pub(super) fn measure(file: &mut File, kind: ImageKind) -> Result<(u64, u32)> {
    // `st_size` of a block device is 0; the end can be sought on both.
    let len_bytes = file.seek(SeekFrom::End(0))?;
    let sector_size_bytes = match kind {
        ImageKind::File => FILE_SECTOR_BYTES,
        ImageKind::BlockDevice => rustix::fs::ioctl_blksszget(&*file).map_err(io::Error::from)?,
    };
    Ok((len_bytes, sector_size_bytes))
}

pub(super) fn check_type(file_type: FileType) -> Result<ImageKind> {
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

pub(super) fn missing_is_not_found(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound("no such file".into())),
        io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::NotFound("a part of the path is not a directory".into()))
        }
        _ => error.into(),
    }
}
