//! VHDX: the images of Hyper-V.
//!
//! Source: \[MS-VHDX\], "Virtual Hard Disk v2 (VHDX) File Format", revision 8.0. Numbers are little-endian, checksums
//! are CRC-32C with their own field as zeros.
//!
//! | part                            | length       | where                                                    |
//! |---------------------------------|--------------|----------------------------------------------------------|
//! | file type identifier `vhdxfile` | 64 KiB       | 0                                                        |
//! | two [`header`]s                 | 4 KiB each   | 64 KiB, 128 KiB                                          |
//! | two copies of the [`region`] table | 64 KiB each | 192 KiB, 256 KiB                                        |
//! | log                             | of the header | of the header, in MiB                                   |
//! | [`metadata`] region             | of its entry | region table, in MiB                                     |
//! | block allocation table          | of its entry | region table, in MiB                                     |
//! | payload blocks                  | block size   | [entry](map) of the table, in MiB                        |
//!
//! The log has what was about to be written to the header, the metadata and the table. An image with a log that was
//! not replayed is refused for reading, too: its table may be old, and what it says wrong.
//!
//! # Writing, and crash safety
//!
//! Assumption: a sector of 512 bytes is written wholly or not at all. Only blocks that are there are written, in place.
//! The specification wants every change of the table to go through the log, so an edit that needs a new block is
//! refused, before anything is written.
//!
//! Before the first change the header is written anew, in the place of the older one, with new identifiers of the file
//! and of the data, as the specification wants it; then sync. A cut leaves it whole or with a wrong checksum, and the
//! other one is current then. The guest sees the same in both cases. After that each sector of the guest is old or new.

mod header;
mod map;
mod metadata;
mod region;
#[cfg(test)]
mod tests;

use super::Opened;
use super::block_map::Source;
use super::block_map::disk::MappedDisk;
use super::block_map::medium::MappedMedium;
use super::files::{ReadFiles, WriteFiles};
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Corrupt, Error, Result};
use header::Header;
use map::VhdxMap;
use metadata::Metadata;
use region::Regions;
use std::sync::Arc;

/// First bytes of the file.
const FILE_TYPE: &[u8] = b"vhdxfile";

/// The unit of all parts behind the headers, in bytes.
const MIB: u64 = 1024 * 1024;

/// The file does not begin like a VHDX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no VHDX")]
struct NoVhdx;

/// Opens a VHDX for reading.
///
/// # Errors
/// * `Corrupt` - a checksum or a field is wrong.
/// * `Unsupported` - a log that was not replayed, a differencing image, or a required part that is not known.
/// * `Limit`, `Io`.
pub fn open(files: &mut dyn ReadFiles) -> Result<Opened> {
    let file = files.target();
    let map = read_map(&file)?;
    Ok(Opened::new(Arc::new(MappedDisk::new(map, file))))
}

/// Opens a VHDX for writing. Nothing is written yet.
///
/// # Errors
/// As [`open`].
pub fn open_writable(files: &WriteFiles) -> Result<Box<dyn Medium>> {
    let host: Box<dyn HostMedium> = Box::new(files.target()?);
    let map = read_map(&host)?;
    Ok(Box::new(MappedMedium::new(map, host)))
}

fn read_map(source: &dyn Source) -> Result<VhdxMap> {
    if source.len_bytes() < MIB || source.read_vec(0, FILE_TYPE.len())? != FILE_TYPE {
        return Err(Corrupt::new("file type identifier", NoVhdx).at(0).into());
    }
    let header = Header::read(source)?;
    if header.has_log() {
        return Err(Error::unsupported(
            "a VHDX whose log was not replayed: shut its machine down, or replay the log with \
             `qemu-img check -r all -f vhdx FILE`",
        ));
    }
    let regions = Regions::read(source, &header)?;
    let metadata = Metadata::read(source, &regions.metadata)?;
    VhdxMap::new(header, regions, metadata)
}
