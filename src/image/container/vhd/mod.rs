//! VHD: the images of Virtual PC, older Hyper-V and Azure, and what AWS exports.
//!
//! Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (October 2006). Numbers are
//! big-endian. A fixed image is the disk of the guest with a [`footer`] behind it; a dynamic one is
//!
//! | part                    | length                              | where                                        |
//! |-------------------------|-------------------------------------|----------------------------------------------|
//! | copy of the footer      | 512                                 | 0                                            |
//! | [`dynamic`] header      | 1024                                | data offset of the footer                    |
//! | block allocation table  | 4 per block                         | table offset of the header                   |
//! | blocks                  | sector bitmap, then the block size  | entry of the table, in sectors of 512 bytes  |
//! | footer                  | 512                                 | the last sector                              |
//!
//! An entry of 0xffffffff is a block that was never written: zeros. So is a sector whose bit in the bitmap is
//! clear; programs that do not look at the bitmap read what is stored there instead, so bytes that are not zero
//! under a clear bit are refused as damage.
//!
//! The length of the disk is the field "current size". Virtual PC itself rounds it down to what cylinders, heads and
//! sectors can count; images whose size was made that way have the same number in both fields.
//!
//! # Crash safety
//!
//! Assumption: a sector of 512 bytes is written wholly or not at all. The footer of a fixed image is never touched. A
//! new block of a dynamic image takes the place of the footer:
//!
//! 1. The file grows by a block, the footer is written at the new end, sync. A cut leaves the old length, or the
//!    new one with or without a footer: the copy at the start still describes the disk, as the specification wants
//!    it, and a file whose last sector is empty gets its footer back before it is written again. The old footer, now
//!    inside the file, is still there, and no table leads to it.
//! 2. The bitmap, all bits set, goes over the old footer, the data behind it. No table leads there.
//! 3. Sync, then the entry in the table, then sync.
//!
//! In a block that is there, the bits of a sector are set and synced before its data are written: under them are
//! zeros, so the guest sees no difference.
//!
//! # Not handled
//!
//! Differencing images (their data are in other files) and images with a saved state are refused. The "batmap" of
//! XenServer is not looked at: it only says which bitmaps are full.

mod dynamic;
mod footer;
mod map;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;

use super::Opened;
use super::block_map::Source;
use super::block_map::disk::MappedDisk;
use super::block_map::medium::MappedMedium;
use super::files::{ReadFiles, WriteFiles};
use crate::disk::medium::{HostMedium, Medium};
use crate::disk::{Disk, check_range};
use crate::error::{Error, Refusal, Result};
use dynamic::Dynamic;
use footer::{DiskType, Footer, Found};
use map::VhdMap;
use std::ops::Range;
use std::sync::Arc;

/// The disk of the guest in a fixed image.
#[derive(Debug)]
struct FixedDisk {
    file: Arc<dyn Disk>,
    len_bytes: u64,
}

/// The same, open for writing.
#[derive(Debug)]
struct FixedMedium {
    host: Box<dyn HostMedium>,
    len_bytes: u64,
}

/// Opens a VHD for reading.
///
/// # Errors
/// * `Corrupt` - a checksum or a field is wrong.
/// * `Unsupported` - a differencing image, or a version that is not known.
/// * `Limit`, `Io`.
pub fn open(files: &mut dyn ReadFiles) -> Result<Opened> {
    let file = files.target();
    let found = footer::find(&file)?;
    let not_writable = not_writable(&found);
    let disk: Arc<dyn Disk> = match map_of(&file, &found)? {
        None => Arc::new(FixedDisk { file, len_bytes: found.footer.current_size_bytes }),
        Some(map) => Arc::new(MappedDisk::new(map, file)),
    };
    Ok(Opened { not_writable, ..Opened::new(disk) })
}

/// Opens a VHD for writing. Nothing is written yet.
///
/// # Errors
/// As [`open`]; and `Refused` if the image has a saved state.
pub fn open_writable(files: &WriteFiles) -> Result<Box<dyn Medium>> {
    let host: Box<dyn HostMedium> = Box::new(files.target_medium()?);
    let found = footer::find(&host)?;
    if let Some(refusal) = not_writable(&found) {
        return Err(refusal.into());
    }
    Ok(match map_of(&host, &found)? {
        None => Box::new(FixedMedium { host, len_bytes: found.footer.current_size_bytes }),
        Some(map) => Box::new(MappedMedium::new(map, host)),
    })
}

fn not_writable(found: &Found) -> Option<Refusal> {
    let what = "a VHD with a saved state of its machine, which would not fit the edited disk";
    let has_state = found.footer.has_saved_state;
    has_state.then(|| Refusal::ContainerNotWritable { what: what.to_owned() })
}

/// The map of a dynamic image, `None` for a fixed one.
fn map_of(source: &dyn Source, found: &Found) -> Result<Option<VhdMap>> {
    let Footer { disk_type, .. } = found.footer;
    match disk_type {
        DiskType::Fixed => Ok(None),
        DiskType::Dynamic => {
            let header = Dynamic::read(source, &found.footer)?;
            Ok(Some(VhdMap::new(header, found)?))
        }
        DiskType::Differencing => Err(Error::unsupported(
            "a differencing VHD: what it does not hold is in its parent; convert the last one of \
             the chain where all of them are: qemu-img convert -p -f vpc -O raw",
        )),
    }
}

impl Disk for FixedDisk {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        self.file.read_at(offset_bytes, buffer)
    }
}

impl Medium for FixedMedium {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        self.host.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        self.host.can_write(ranges)
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, bytes.len())?;
        self.host.write_at(offset_bytes, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.host.sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.host.drop_cache()
    }
}
