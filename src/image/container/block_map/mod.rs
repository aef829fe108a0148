//! What the formats with a table of blocks have in common.
//!
//! VHD, VHDX and sparse VMDK cut the disk of the guest into blocks of one size; a table says where in the file
//! each block is, or that it was never written and reads as zeros. A format brings a [`BlockMap`], which finds
//! bytes, and an [`Allocate`], which makes room; [`disk::MappedDisk`] reads through the first,
//! [`medium::MappedMedium`] writes through both.
//!
//! Tables are read when they are asked for, entry by entry and through a cache: opening costs the same for every
//! size of disk.

pub(crate) mod disk;
pub(crate) mod medium;
#[cfg(test)]
mod tests;

use crate::bytes::arith::{self, len_u64};
use crate::disk::cache::Cache;
use crate::disk::medium::HostMedium;
use crate::disk::{Disk, check_range};
use crate::error::{Corrupt, Result};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// A file of a container, whether it is open for reading or for writing.
pub(crate) trait Source {
    /// Length in bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `buffer` from `offset_bytes`.
    ///
    /// # Errors
    /// `Corrupt` if the range ends behind the file; `Io`.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()>;

    /// Reads `len` bytes, which the caller has bounded.
    ///
    /// # Errors
    /// As [`Source::read_at`].
    fn read_vec(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        check_range(self.len_bytes(), offset_bytes, len)?;
        let mut buffer = vec![0; len];
        self.read_at(offset_bytes, &mut buffer)?;
        Ok(buffer)
    }
}

impl Source for Arc<dyn Disk> {
    fn len_bytes(&self) -> u64 {
        (**self).len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        (**self).read_at(offset_bytes, buffer)
    }
}

impl Source for Cache {
    fn len_bytes(&self) -> u64 {
        Disk::len_bytes(self)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        Disk::read_at(self, offset_bytes, buffer)
    }
}

impl Source for Box<dyn HostMedium> {
    fn len_bytes(&self) -> u64 {
        (**self).len_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        (**self).read_at(offset_bytes, buffer)
    }
}

/// Where bytes of the guest are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: they are zeros.
    Zeros,
    /// In the file from this offset in bytes, but marked as never written: they must be zeros there, too.
    Unwritten(u64),
    /// In the file from this offset in bytes.
    At(u64),
}

/// A stretch of the guest's disk that lies in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where its first byte is.
    pub(crate) place: Place,
    /// How long it is, in bytes: at least 1, at most to the end of its block.
    pub(crate) len_bytes: u64,
}

/// What goes wrong in the table of any format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockDefect {
    /// A run without bytes.
    #[error("a run of no bytes")]
    EmptyRun,
    /// Bytes where the format promises zeros.
    #[error("sectors are marked as never written, but hold data")]
    UnwrittenData,
    /// Two blocks of the guest are in one place.
    #[error("blocks {first} and {second} of the disk are stored in one place")]
    Shared {
        /// One of them.
        first: u64,
        /// The other.
        second: u64,
    },
    /// A block lies over a structure of the format or behind the end of the file.
    #[error("{len_bytes} bytes at {start_bytes:#x} overlap {what}")]
    Misplaced {
        /// Where the block starts in the file.
        start_bytes: u64,
        /// How much of the file it takes.
        len_bytes: u64,
        /// What is there.
        what: &'static str,
    },
}

/// Finds the bytes of the guest.
pub(crate) trait BlockMap: Debug + Send + Sync {
    /// Length of the guest's disk in bytes.
    fn disk_bytes(&self) -> u64;

    /// Size of a logical sector in bytes.
    fn sector_size_bytes(&self) -> u32;

    /// Size of a block in bytes, not 0.
    fn block_bytes(&self) -> u64;

    /// How much belongs to a block right before its first byte in the file, in bytes.
    fn lead_bytes(&self) -> u64 {
        0
    }

    /// Where the byte at `offset_bytes` of the guest is, and how many of the same block follow it.
    ///
    /// # Errors
    /// `Corrupt` if the table leads to where no block can be; `Io`.
    fn locate(&self, tables: &dyn Source, offset_bytes: u64) -> Result<Run>;
}

/// Makes room for bytes of the guest.
///
/// No method changes what the guest sees, whatever part of its writes survives a power cut. Only
/// [`Allocate::publish`] does, entry by entry, and it is called once everything before it is durable.
pub(crate) trait Allocate: BlockMap {
    /// Prepares the file for the first change.
    ///
    /// # Errors
    /// `Io`.
    fn begin(&mut self, host: &mut Box<dyn HostMedium>) -> Result<()>;

    /// Marks sectors as written, durably. They have a place in the file, which holds zeros.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn claim(&mut self, host: &mut Box<dyn HostMedium>, guest: Range<u64>) -> Result<()>;

    /// Checks what the tables say about a block that the file has, and brings together what an interrupted write
    /// has left apart. Called before the block is written in place.
    ///
    /// # Errors
    /// `Corrupt` if the tables disagree; `Io`.
    fn settle(&mut self, _host: &mut Box<dyn HostMedium>, _index: u64) -> Result<()> {
        Ok(())
    }

    /// Checks that the tables lie apart from each other and from `blocks`: where each starts in the file, and its
    /// index.
    ///
    /// # Errors
    /// `Corrupt`, `Limit`, `Io`.
    fn check_tables(&self, _host: &dyn Source, _blocks: &BTreeMap<u64, u64>) -> Result<()> {
        Ok(())
    }

    /// Checks that `host`, which can grow, can take so many more blocks.
    ///
    /// # Errors
    /// `Refused` if not.
    fn check_room(&self, host: &dyn HostMedium, blocks: u64) -> Result<()>;

    /// Makes a block of zeros for the `index`th of the guest; the table does not know it yet.
    /// There is room, as [`Allocate::check_room`] has said. Returns where its first byte is in the file.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn allocate(&mut self, host: &mut Box<dyn HostMedium>, index: u64) -> Result<u64>;

    /// Enters blocks into the table: index, and what [`Allocate::allocate`] has returned.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn publish(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        blocks: &BTreeMap<u64, u64>,
    ) -> Result<()>;

    /// Calls `visit` with every block that the table has: its index, and where its first byte is in the file.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, and those of `visit`.
    fn each_block(
        &self,
        host: &dyn Source,
        visit: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<()>;
}

/// Reads bytes of the guest from the file `data`, whose tables are read from `tables`.
pub(crate) fn read(
    map: &dyn BlockMap,
    tables: &dyn Source,
    data: &dyn Source,
    offset_bytes: u64,
    buffer: &mut [u8],
) -> Result<()> {
    check_range(map.disk_bytes(), offset_bytes, buffer.len())?;
    let mut offset = offset_bytes;
    let mut rest = buffer;
    while !rest.is_empty() {
        let run = locate(map, tables, offset)?;
        let len = run_len(run, rest.len());
        let (head, tail) = rest.split_at_mut(len);
        match run.place {
            Place::Zeros => head.fill(0),
            Place::At(start) => data.read_at(start, head)?,
            Place::Unwritten(start) => {
                data.read_at(start, head)?;
                if !is_zero(head) {
                    return Err(Corrupt::new("block", BlockDefect::UnwrittenData).at(start).into());
                }
            }
        }
        offset = arith::add(offset, len_u64(len))?;
        rest = tail;
    }
    Ok(())
}

/// [`BlockMap::locate`], with at least one byte.
fn locate(map: &dyn BlockMap, tables: &dyn Source, offset_bytes: u64) -> Result<Run> {
    let run = map.locate(tables, offset_bytes)?;
    if run.len_bytes == 0 {
        return Err(Corrupt::new("block table", BlockDefect::EmptyRun).into());
    }
    Ok(run)
}

/// How many of `wanted` bytes `run` has.
fn run_len(run: Run, wanted: usize) -> usize {
    usize::try_from(run.len_bytes).unwrap_or(usize::MAX).min(wanted)
}

/// True if nothing in `bytes` is set.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// True if the two ranges of a file have a byte in common.
pub(crate) fn overlaps(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Checks that a block of `len_bytes` at `start_bytes` lies in the file and on none of `taken`.
///
/// # Errors
/// `Corrupt` with [`BlockDefect::Misplaced`].
pub(crate) fn check_block(
    file_bytes: u64,
    taken: &[(&'static str, Range<u64>)],
    start_bytes: u64,
    len_bytes: u64,
) -> Result<()> {
    let end = arith::add(start_bytes, len_bytes)?;
    let mut what =
        taken.iter().find(|(_, range)| overlaps(&(start_bytes..end), range)).map(|(what, _)| *what);
    if end > file_bytes {
        what = Some("the end of the file");
    }
    match what {
        None => Ok(()),
        Some(what) => {
            let defect = BlockDefect::Misplaced { start_bytes, len_bytes, what };
            Err(Corrupt::new("block table", defect).into())
        }
    }
}
