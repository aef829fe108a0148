//! Containers: files that hold a disk in a form of their own.
//!
//! Each format has a module with two functions. One opens the container for reading and gives the disk inside, over
//! host files that are asked for through [`ReadFiles`]; the other opens it for writing over the same files,
//! now in [`WriteFiles`], and gives a [`Medium`]. [`open`] and [`open_writable`] choose between the modules.
//!
//! | format | read and written                                              | read only | refused by name       |
//! |--------|---------------------------------------------------------------|-----------|-----------------------|
//! | raw    | everything: the file is the disk                              |           |                       |
//! | qcow2  | version 2 and 3, overlays, snapshots, zlib, external data     | marked as dirty or corrupt | encryption, zstd, extended L2 |
//! | VHD    | fixed, dynamic                                                | saved state | differencing        |
//! | VHDX   | fixed, dynamic                                                | log not replayed | differencing   |
//! | VMDK   | flat, sparse, in one or several extents                       | streamOptimized, not closed | with a parent, ESX sparse |
//!
//! # What a writer promises
//!
//! `write_at` may allocate. What it changes in the files is ordered so that a power cut at any moment, with any part of
//! the unsynced sectors lost, leaves each sector of the guest as it was or as it should be, and the structures of the
//! container consistent but for room that nothing refers to. The means are the same everywhere: new data first, then a
//! sync, then what makes it reachable. Everything written is durable after `sync`, and not before.

mod block_map;
#[cfg(test)]
mod differential_tests;
pub mod files;
mod qcow2;
#[cfg(test)]
pub(crate) mod testing;
pub(super) mod trial;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

use super::format::Format;
use crate::disk::Disk;
use crate::disk::medium::Medium;
use crate::error::{Error, Refusal, Result};
use files::{ReadFiles, WriteFiles};
use std::sync::Arc;

/// A container that is open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The disk that the guest sees.
    pub disk: Arc<dyn Disk>,
    /// Why it must not be written, if so.
    pub not_writable: Option<Refusal>,
    /// What the user should know before an edit.
    pub warnings: Vec<String>,
}

impl Opened {
    /// A disk that can be written, without anything to be said.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, not_writable: None, warnings: Vec::new() }
    }
}

/// Opens what the target of `files` holds for reading.
///
/// # Errors
/// * `Unsupported` - the format, or a feature of it, is not read.
/// * `Corrupt` - its structures are damaged.
/// * `Refused` - it refers to a file that it may not refer to.
/// * `Io`.
pub fn open(format: Format, files: &mut dyn ReadFiles) -> Result<Opened> {
    match format {
        Format::Raw => Ok(Opened::new(files.target())),
        Format::Qcow2 => qcow2::open(files),
        Format::Vhd => vhd::open(files),
        Format::Vhdx => vhdx::open(files),
        Format::Vmdk => vmdk::open(files),
        _ => Err(not_supported(format)),
    }
}

/// Opens what `files` hold for writing. Raw targets need no container and are not meant here.
///
/// # Errors
/// * `Refused` - it must not be written.
/// * `Mismatch` - it changed since it was opened for reading.
/// * Otherwise as [`open`].
pub fn open_writable(format: Format, files: WriteFiles) -> Result<Box<dyn Medium>> {
    match format {
        Format::Qcow2 => qcow2::open_writable(files),
        Format::Vhd => vhd::open_writable(&files),
        Format::Vhdx => vhdx::open_writable(&files),
        Format::Vmdk => vmdk::open_writable(files),
        _ => Err(not_supported(format)),
    }
}

fn not_supported(format: Format) -> Error {
    Error::unsupported(format!("{} are not supported yet", format.plural()))
}
