//! Registry hives of Windows: read at random places, replayed from their logs, edited in memory.
//!
//! Document: "Windows registry file format specification" by M. Suhanov (CC BY 4.0), all sections but "Very
//! old versions of Windows". Rules WIN-86 to WIN-102.
//!
//! [`Hive::open`] takes the primary file and its logs as [`Source`]s. A hive that its writer left dirty is
//! replayed in memory, so that what is read is what Windows would read. Edits are collected over that, and
//! [`Hive::finish`] says which bytes of the primary file change. Nothing here writes, and the logs are never
//! changed.
//!
//! Not handled: hives before version 1.3, pending transactions of the registry (CLFS), base blocks that have
//! to be recovered from a log. They are refused by name.

mod base_block;
mod cell;
mod data;
mod defect;
mod key_node;
mod key_value;
mod name;
mod pages;
mod read;
mod source;
mod subkey_list;
mod units;

pub use data::{Data, ValueKind};
pub use defect::Defect;
pub use name::Name;
pub use read::{Key, Value};
pub use source::{MemorySource, Source};
pub use units::{CellOffset, FileTime};

use crate::bytes::arith;
use crate::error::{Corrupt, Error, Result};
use base_block::{BaseBlock, HEAD_LEN};
use defect::corrupt;
use pages::Pages;
use units::BASE_BLOCK_BYTES;

/// Bound on the bins data, in bytes. Windows: a hive has at most 2 GiB.
const BINS_BYTES_MAX: u32 = 0x8000_0000;

/// An open hive.
#[derive(Debug)]
pub struct Hive<'a> {
    pages: Pages<'a>,
    base: BaseBlock,
}

impl<'a> Hive<'a> {
    /// Opens the hive `primary`, and replays `logs` (`.LOG1`, `.LOG2`, `.LOG`, in any order) if it is dirty.
    ///
    /// # Errors
    /// * `Refused` - the hive is dirty and its logs cannot be replayed.
    /// * `Unsupported` - a version that is not known.
    /// * `Corrupt` - it is no hive, or damaged where everything starts.
    pub fn open(primary: Box<dyn Source + 'a>, logs: Vec<Box<dyn Source + 'a>>) -> Result<Self> {
        let head = primary.read_at(0, HEAD_LEN)?;
        let base = BaseBlock::parse(&head)?;
        base.validate_primary()?;
        if base.is_dirty() {
            return Err(base_block::dirty("replay is not there yet"));
        }
        let end_bytes = arith::add(BASE_BLOCK_BYTES, base.bins_bytes.into())?;
        let file_bytes = primary.len_bytes();
        if end_bytes > file_bytes {
            let defect = Defect::BinsOutsideFile { end_bytes, file_bytes };
            return Err(Corrupt::new("base block", defect).at(0).into());
        }
        if base.bins_bytes > BINS_BYTES_MAX {
            let (limit, actual) = (BINS_BYTES_MAX.into(), base.bins_bytes.into());
            return Err(Error::limit("size of a hive in bytes", limit, actual));
        }
        let pages = Pages::new(primary, logs, base.bins_bytes);
        let hive = Self { pages, base };
        hive.root()?;
        Ok(hive)
    }

    /// Checks that the hive may be edited.
    ///
    /// # Errors
    /// `Refused` - transactions of the registry are pending (WIN-25).
    pub fn check_editable(&self) -> Result<()> {
        if self.base.has_transactions() {
            return Err(base_block::dirty("transactions of the registry are pending in the hive"));
        }
        Ok(())
    }
}
