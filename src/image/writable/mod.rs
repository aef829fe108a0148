//! The one place that opens a target for writing.
//!
//! Every file of a target that may be written is held exclusively: a block device with `O_EXCL`, which the kernel
//! refuses for anything mounted or claimed (a plain open for writing succeeds there); any file with flock(2) and with
//! the open file description locks that qemu takes, so that no machine starts from the disk while it is written. A
//! file that is only read, such as the base of an overlay, is held so that others may read it, too.

mod held_file;
mod locks;

pub use held_file::HeldFile;
pub(super) use held_file::drop_pages;

use super::container::files::{Access, SharedMedium, WriteFile, WriteFiles};
use super::format::Format;
use super::host_file::{HostFile, Role, check_type, measure};
use super::in_use::{self, in_use, lock_holder, loop_device};
use super::{Image, ImageIdentity, ImageKind, container, shown};
use crate::disk::Disk as _;
use crate::disk::medium::Medium;
use crate::error::{Context as _, Error, Refusal, Result};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

/// A target that is open for writing and held exclusively until it is dropped: the disk that the guest sees.
#[derive(Debug)]
pub struct WritableImage {
    medium: Box<dyn Medium>,
}

/// Opens the target of `image` for writing and takes hold of every file that it is made of.
///
/// # Errors
/// * `Refused` - it is in use, read-only, or a container that must not be written.
/// * `Mismatch` - a path leads to another object than when `image` was opened, or its size changed.
/// * `Io`.
pub fn open(image: &Image) -> Result<WritableImage> {
    if let Some(refusal) = &image.not_writable {
        return Err(refusal.clone().into());
    }
    if image.format == Format::Raw {
        return Ok(WritableImage { medium: Box::new(hold_written(&image.file)?) });
    }
    let mut files = Vec::new();
    for file in image.files() {
        let access = match file.role {
            Role::Written => Access::Written(SharedMedium::new(Box::new(hold_written(file)?))),
            Role::OnlyRead => Access::OnlyRead(Arc::new(locks::ReadHeld::new(file)?)),
        };
        files.push(WriteFile { reference: file.reference.clone(), access });
    }
    let medium = container::open_writable(image.format, WriteFiles::new(files));
    let medium = medium.context(|| shown(&image.path))?;
    if medium.len_bytes() != image.disk.len_bytes() {
        let path = shown(&image.path);
        return Err(Error::mismatch(format!("the disk in {path} changed since it was read")));
    }
    Ok(WritableImage { medium })
}

/// Opens a file that may be written, and takes hold of it.
fn hold_written(host: &HostFile) -> Result<HeldFile> {
    if let Some(refusal) = in_use::read_only(host)? {
        return Err(refusal.into());
    }
    let check_loop = || match loop_device(host.identity) {
        Some(device) if host.kind == ImageKind::File => {
            Err(Error::from(in_use(&host.path, Some(device))))
        }
        _ => Ok(()),
    };
    check_loop()?;
    let mut file = open_exclusively(host)?;
    check_unchanged(host, &mut file)?;
    // Made before the locks are taken, because dropping it gives them back.
    let held = HeldFile::new(file, host.disk.len_bytes(), host.kind);
    locks::hold(host, held.file())?;
    // Once more: it may have been set up between the first look and the locks, which it does not respect.
    check_loop()?;
    Ok(held)
}

fn open_exclusively(host: &HostFile) -> Result<File> {
    let exclusive = if host.kind == ImageKind::BlockDevice { libc::O_EXCL } else { 0 };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(exclusive | libc::O_NONBLOCK | libc::O_NOCTTY);
    #[expect(clippy::disallowed_methods, reason = "this is the one place that opens a target")]
    options.write(true);
    let error = match options.open(&host.path) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let holder = in_use::device_holder(host.identity.device_number)
                .or_else(|| lock_holder(host.disk.file(), host.identity));
            Err(in_use(&host.path, holder).into())
        }
        Some(libc::ETXTBSY) => {
            Err(in_use(&host.path, lock_holder(host.disk.file(), host.identity)).into())
        }
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            Err(Refusal::ReadOnly { what: shown(&host.path) }.into())
        }
        _ => Err(error).context(|| shown(&host.path)),
    }
}

/// Makes sure that `file` is what was read before.
fn check_unchanged(host: &HostFile, file: &mut File) -> Result<()> {
    let metadata = file.metadata()?;
    let kind = check_type(metadata.file_type()).ok();
    if kind != Some(host.kind) || ImageIdentity::of(&metadata) != host.identity {
        let path = shown(&host.path);
        return Err(Error::mismatch(format!("{path} was replaced since it was read")));
    }
    let (len_bytes, _) = measure(file, host.kind)?;
    let known = crate::disk::Disk::len_bytes(&*host.disk);
    if len_bytes != known {
        let path = shown(&host.path);
        return Err(Error::mismatch(format!(
            "{path} had {known} bytes when it was read and has {len_bytes} now"
        )));
    }
    Ok(())
}

impl Medium for WritableImage {
    fn len_bytes(&self) -> u64 {
        self.medium.len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.medium.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        self.medium.can_write(ranges)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.medium.write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.medium.sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.medium.drop_cache()
    }
}
