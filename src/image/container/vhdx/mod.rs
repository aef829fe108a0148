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
//! The [`log`] has what was about to be written to the metadata and the table. A log that was not replayed is replayed
//! in memory for reading; the image is not written then: its machine may be running on another host.
//!
//! # Writing, and crash safety
//!
//! Assumption: a sector of 512 bytes is written wholly or not at all.
//!
//! 1. Before the first change the header is written anew, in the place of the older one, with new identifiers of the
//!    file and of the data, as the specification wants it; then sync. A cut leaves it whole or with a wrong checksum, and
//!    the other one is current then. The guest sees the same in both cases.
//! 2. Blocks that are there are written in place: each sector of the guest is old or new. A new block goes behind the
//!    end of the file, where no table leads. Then sync.
//! 3. The table is changed through the log, as the specification wants it: the new pages of the table go into the log,
//!    sync; the header names the log, sync; the pages go into the table, sync; the header names no log, sync. A cut
//!    before the second sync leaves the old table; one after it leaves a log with all that is to be done, which every
//!    program that follows the specification replays. So does regain, here also for writing: it knows its own logs by
//!    the identifier.

mod header;
mod log;
#[cfg(test)]
mod log_tests;
mod map;
mod metadata;
#[cfg(test)]
mod refusal_tests;
mod region;
mod replayed;
#[cfg(test)]
mod tests;

use super::Opened;
use super::block_map::Source;
use super::block_map::disk::MappedDisk;
use super::block_map::medium::MappedMedium;
use super::files::{ReadFiles, WriteFiles};
use crate::disk::Disk;
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Context as _, Corrupt, Refusal, Result};
use header::Header;
use log::Content;
use map::VhdxMap;
use metadata::Metadata;
use region::Regions;
use replayed::Replayed;
use std::sync::Arc;

/// First bytes of the file.
const FILE_TYPE: &[u8] = b"vhdxfile";

/// The unit of all parts behind the headers, in bytes.
const MIB: u64 = 1024 * 1024;

/// The file does not begin like a VHDX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no VHDX")]
struct NoVhdx;

/// A log is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log with the identifier of regain has what regain does not write")]
struct NotOurs;

/// Opens a VHDX for reading. A log that was not replayed is replayed in memory.
///
/// # Errors
/// * `Corrupt` - a checksum or a field is wrong.
/// * `Unsupported` - a differencing image, or a required part that is not known.
/// * `Limit`, `Io`.
pub fn open(files: &mut dyn ReadFiles) -> Result<Opened> {
    let file = files.target();
    let header = read_header(&file)?;
    if !header.has_log() {
        let map = read_map(&file, header)?;
        return Ok(Opened::new(Arc::new(MappedDisk::new(map, file))));
    }
    let not_writable = foreign_log(&header);
    let warning = match &not_writable {
        Some(_) => {
            "the VHDX was not closed, as if its machine were running: its log is replayed in memory"
        }
        None => "an interrupted write to the VHDX is finished first",
    };
    let replay = log::read(&file, &header)?;
    let file: Arc<dyn Disk> = Arc::new(Replayed::new(file, replay));
    let map = read_map(&file, header)?;
    let disk = Arc::new(MappedDisk::new(map, file));
    Ok(Opened { disk, not_writable, warnings: vec![warning.to_owned()] })
}

/// Opens a VHDX for writing. What the guest sees is not changed yet; a log that an interrupted write of regain has left
/// is replayed.
///
/// # Errors
/// As [`open`]; and `Refused` if there is another log that was not replayed.
pub fn open_writable(files: &WriteFiles) -> Result<Box<dyn Medium>> {
    let mut host: Box<dyn HostMedium> = Box::new(files.target_medium()?);
    let mut header = read_header(&host)?;
    if header.has_log() {
        if let Some(refusal) = foreign_log(&header) {
            return Err(refusal.into());
        }
        finish(&mut host, &mut header).context(|| "finishing an interrupted write")?;
    }
    let map = read_map(&host, header)?;
    Ok(Box::new(MappedMedium::new(map, host)))
}

/// Why an image with a log must not be written, unless the log is ours.
fn foreign_log(header: &Header) -> Option<Refusal> {
    let what = "a VHDX whose log was not replayed: shut its machine down, or if it is not running anywhere, replay \
                the log with `qemu-img check -r all -f vhdx FILE`";
    (!header.has_own_log()).then(|| Refusal::ContainerNotWritable { what: what.to_owned() })
}

/// Replays the log.
fn finish(host: &mut Box<dyn HostMedium>, header: &mut Header) -> Result<()> {
    let replay = log::read(host, header)?;
    let is_longer = replay.file_bytes > Source::len_bytes(host);
    let has_zeros = |change: &log::Change| matches!(change.content, Content::Zeros(_));
    if is_longer || replay.changes.iter().any(has_zeros) {
        return Err(Corrupt::new("VHDX log", NotOurs).into());
    }
    for change in &replay.changes {
        if let Content::Sector(bytes) = &change.content {
            host.write_at(change.start_bytes, bytes)?;
        }
    }
    host.sync()?;
    header.close_log(host)
}

fn read_header(source: &dyn Source) -> Result<Header> {
    if source.len_bytes() < MIB || source.read_vec(0, FILE_TYPE.len())? != FILE_TYPE {
        return Err(Corrupt::new("file type identifier", NoVhdx).at(0).into());
    }
    Header::read(source)
}

fn read_map(source: &dyn Source, header: Header) -> Result<VhdxMap> {
    let regions = Regions::read(source, &header)?;
    let metadata = Metadata::read(source, &regions.metadata)?;
    VhdxMap::new(header, regions, metadata)
}
