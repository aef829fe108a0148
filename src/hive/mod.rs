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
//! Not handled: hives before version 1.3, and base blocks that have to be recovered from a log, which are refused by
//! name; transactions of the registry that wait in logs of their own (CLFS), see [`Hive::may_have_transactions`].

mod base_block;
mod bins;
mod cell;
mod changes;
mod data;
mod defect;
mod edit;
mod key_node;
mod key_value;
mod log;
mod name;
mod pages;
mod read;
mod source;
mod subkey_list;
mod units;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use changes::HiveChanges;
pub use data::{Data, ValueKind};
pub use defect::Defect;
pub use log::Replay;
pub use name::Name;
pub use read::{Key, Value};
pub use source::{MemorySource, Source};
pub use units::{CellOffset, FileTime};

use crate::bytes::arith;
use crate::error::{Corrupt, Error, Result};
use base_block::{BaseBlock, HEAD_LEN};
use bins::Bin;
use pages::Pages;
use std::rc::Rc;
use units::BASE_BLOCK_BYTES;

/// Bound on the bins data, in bytes. Windows: a hive has at most 2 GiB.
const BINS_BYTES_MAX: u32 = 0x8000_0000;

/// Bound on what a replay or an edit appends to the file, in bytes.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An open hive.
#[derive(Debug)]
pub struct Hive<'a> {
    pages: Pages<'a>,
    base: BaseBlock,
    replay: Option<Replay>,
    /// Read when room is needed.
    bins: Option<Rc<[Bin]>>,
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
        let pages = Pages::new(primary, logs, base.bins_bytes);
        let mut hive = Self { pages, base, replay: None, bins: None };
        if hive.base.is_dirty() {
            hive.replay()?;
        } else {
            hive.check_size(0)?;
        }
        hive.root()?;
        Ok(hive)
    }

    /// What the replay of its logs did; `None` for a hive that was clean.
    pub fn replayed(&self) -> Option<Replay> {
        self.replay
    }

    fn replay(&mut self) -> Result<()> {
        self.replay = Some(log::replay(&mut self.pages, &mut self.base)?);
        self.check_size(GROWTH_BYTES_MAX)?;
        if let Some(page) = self.pages.first_missing() {
            return Err(Corrupt::new("log of a hive", Defect::PageMissing(page)).into());
        }
        // Windows repairs bins that come damaged out of a replay; we do not.
        bins::read_all(&self.pages)?;
        Ok(())
    }

    /// Checks that the bins data end inside the file, or at most `growth_bytes` behind it.
    fn check_size(&self, growth_bytes: u64) -> Result<()> {
        let bins_bytes = self.base.bins_bytes;
        if bins_bytes > BINS_BYTES_MAX {
            let (limit, actual) = (BINS_BYTES_MAX.into(), bins_bytes.into());
            return Err(Error::limit("size of a hive in bytes", limit, actual));
        }
        let end_bytes = arith::add(BASE_BLOCK_BYTES, bins_bytes.into())?;
        let file_bytes = self.pages.primary().len_bytes();
        if end_bytes > file_bytes.saturating_add(growth_bytes) {
            let defect = Defect::BinsOutsideFile { end_bytes, file_bytes };
            return Err(Corrupt::new("base block", defect).at(0).into());
        }
        Ok(())
    }

    /// True if the hive says that transactions of the registry are "pending or anticipated" (WIN-25).
    ///
    /// No reason against an edit: the bit does not say that one is left, and three of four SYSTEM hives of real machines
    /// have it. What is left lies in logs beside the hive (CLFS), not in it, and is about keys and values, not about
    /// places: Windows carries it out on the hive that it finds. At worst it sets the edited value once more.
    pub fn may_have_transactions(&self) -> bool {
        self.base.has_transactions()
    }
}
