//! Whether an edit fits into a container, found out before anything is opened for writing.
//!
//! The container is opened as for writing, over host files that keep in memory what would be written: no file is
//! touched and no lock is taken. So a plan that is only shown is refused for what its execution would be refused for.

use super::files::{Access, SharedMedium, WriteFile, WriteFiles};
use crate::disk::medium::{HostMedium, Medium};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit as _};
use crate::error::{Context as _, Result};
use crate::image::format::Format;
use crate::image::host_file::{HostFile, Role};
use crate::image::{Image, ImageKind, shown};
use std::io;
use std::ops::Range;

/// A host file of which only a copy is written.
#[derive(Debug)]
struct TrialFile {
    overlay: Overlay,
    is_device: bool,
}

/// Checks that `ranges` of the disk in `image` can be written.
///
/// # Errors
/// As [`super::open_writable`] and [`Medium::can_write`].
pub(in crate::image) fn can_write(image: &Image, ranges: &[Range<u64>]) -> Result<()> {
    if let Some(refusal) = &image.not_writable {
        return Err(refusal.clone().into());
    }
    if image.format == Format::Raw {
        return Ok(());
    }
    let files = WriteFiles::new(image.files().map(trial_file).collect());
    let medium = super::open_writable(image.format, files);
    medium.and_then(|medium| medium.can_write(ranges)).context(|| shown(&image.path))
}

fn trial_file(file: &HostFile) -> WriteFile {
    let is_device = file.kind == ImageKind::BlockDevice;
    let access = match file.role {
        Role::Written => {
            let overlay = Overlay::new(file.disk.clone());
            Access::Written(SharedMedium::new(Box::new(TrialFile { overlay, is_device })))
        }
        Role::OnlyRead => Access::OnlyRead(file.disk.clone()),
    };
    WriteFile { reference: file.reference.clone(), access }
}

impl Medium for TrialFile {
    fn len_bytes(&self) -> u64 {
        self.overlay.len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.overlay.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.overlay.write_at(offset_bytes, bytes, "trial")
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

impl HostMedium for TrialFile {
    /// Opening a container never does this.
    fn set_len(&mut self, _len_bytes: u64) -> Result<()> {
        Err(io::Error::other("the length of a file is changed before it is written").into())
    }

    fn can_grow(&self) -> bool {
        !self.is_device
    }
}
