//! A test double over [`Medium`]: it counts, fails, lies, tears, and shows what a crash leaves
//! behind.
//!
//! It keeps two pictures of the medium: what is durable, and what the host would read through its
//! cache. Writes change the second; only [`Medium::sync`] makes them durable. A power cut at any
//! moment keeps an arbitrary part of the unsynced writes: [`FaultMedium::after_crash`] gives the
//! image for each choice, which covers lost and reordered writes alike.
//!
//! Modelled as the worst that the assumptions of [`Medium`] allow: a failed sync forgets what it
//! should have written while the cache still shows it, as Linux does, so that a later success
//! proves nothing. Not modelled: damage to sectors that were not written, which no undo record
//! could mend.

use super::medium::{HostMedium, Medium};
use super::{SECTOR_BYTES, check_range};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

/// One operation on a medium, as [`FaultMedium::operations`] lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Medium::read_at`].
    Read,
    /// [`Medium::write_at`] of this many sectors.
    Write {
        /// Sectors, the last one perhaps not whole.
        sectors: usize,
    },
    /// [`Medium::sync`].
    Sync,
    /// [`Medium::drop_cache`].
    DropCache,
    /// [`HostMedium::set_len`].
    SetLen,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The operation fails without effect; those after it work. A failing sync forgets the unsynced
    /// writes.
    Once,
    /// The operation and every later one fail. A failing write leaves its first sectors behind,
    /// unsynced.
    PowerCut {
        /// How many sectors of a failing write are written.
        torn_sectors: usize,
    },
    /// The operation claims success: a write or a sync makes nothing durable, a read gives nothing,
    /// a cache stays.
    Lie,
}

/// A failure at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// 0-based index among all operations.
    pub at: usize,
    /// What goes wrong there.
    pub failure: Failure,
}

/// A write that was not synced. One without bytes is a new length: `start`.
#[derive(Debug, Clone)]
struct Unsynced {
    start: usize,
    bytes: Vec<u8>,
}

/// A medium in memory that fails as told.
#[derive(Debug, Clone)]
pub struct FaultMedium {
    durable: Vec<u8>,
    cached: Vec<u8>,
    unsynced: Vec<Unsynced>,
    fault: Option<Fault>,
    // Reads take `&self`, and count too.
    operations: RefCell<Vec<Operation>>,
    is_off: Cell<bool>,
}

impl FaultMedium {
    /// A medium that holds `image`, durably, and never fails.
    pub fn new(image: Vec<u8>) -> Self {
        Self {
            cached: image.clone(),
            durable: image,
            unsynced: Vec::new(),
            fault: None,
            operations: RefCell::new(Vec::new()),
            is_off: Cell::new(false),
        }
    }

    /// The same medium with `fault` ahead.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// What was done so far, failed operations included.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.borrow().clone()
    }

    /// What the host reads.
    pub fn cached(&self) -> &[u8] {
        &self.cached
    }

    /// What was synced.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// How many sectors each unsynced write has.
    pub fn unsynced_sectors(&self) -> Vec<usize> {
        self.unsynced.iter().map(|write| write.bytes.len().div_ceil(SECTOR_BYTES)).collect()
    }

    /// The image after a power cut now, if of the unsynced writes those sectors survive for which
    /// `survives` says so, asked with the index of the write and of the sector inside it.
    ///
    /// # Errors
    /// None for writes that this medium has accepted.
    pub fn after_crash(&self, survives: &mut dyn FnMut(usize, usize) -> bool) -> Result<Vec<u8>> {
        let mut image = self.durable.clone();
        for (write_index, write) in self.unsynced.iter().enumerate() {
            let mut start = write.start;
            if write.bytes.is_empty() && survives(write_index, 0) {
                image.resize(start, 0);
            }
            for (sector_index, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                if survives(write_index, sector_index) {
                    // Data can arrive without the length that was asked for first.
                    let end = start.saturating_add(sector.len());
                    image.resize(end.max(image.len()), 0);
                    field::put(&mut image, start, sector)?;
                }
                start = start.saturating_add(sector.len());
            }
        }
        Ok(image)
    }

    /// The same medium after the program was killed: the host and its cache live on, and nothing
    /// fails any more.
    #[must_use]
    pub fn after_kill(self) -> Self {
        let (operations, is_off) = (RefCell::new(Vec::new()), Cell::new(false));
        Self { fault: None, operations, is_off, ..self }
    }

    /// Counts an operation and says what goes wrong in it, apart from simple failure.
    fn begin(&self, operation: Operation) -> Result<Option<Failure>> {
        let mut operations = self.operations.borrow_mut();
        let index = operations.len();
        operations.push(operation);
        if self.is_off.get() {
            return Err(injected("there is no power"));
        }
        let failure = self.fault.filter(|fault| fault.at == index).map(|fault| fault.failure);
        if matches!(failure, Some(Failure::PowerCut { .. })) {
            self.is_off.set(true);
        }
        Ok(failure)
    }

    /// Changes the cached picture, and remembers `bytes` as unsynced unless they get lost.
    fn accept(&mut self, start: usize, bytes: &[u8], is_lost: bool) -> Result<()> {
        field::put(&mut self.cached, start, bytes)?;
        if !is_lost && !bytes.is_empty() {
            self.unsynced.push(Unsynced { start, bytes: bytes.to_vec() });
        }
        Ok(())
    }
}

fn injected(what: &str) -> crate::error::Error {
    io::Error::other(format!("injected: {what}")).into()
}

impl Medium for FaultMedium {
    fn len_bytes(&self) -> u64 {
        len_u64(self.cached.len())
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        match self.begin(Operation::Read)? {
            None => {
                let start = arith::to(offset_bytes)?;
                buffer.copy_from_slice(field::slice(&self.cached, start, buffer.len())?);
                Ok(())
            }
            Some(Failure::Lie) => Ok(()),
            Some(_) => Err(injected("the read fails")),
        }
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        let sectors = bytes.len().div_ceil(SECTOR_BYTES);
        let start = arith::to(offset_bytes)?;
        match self.begin(Operation::Write { sectors })? {
            None => self.accept(start, bytes, false),
            Some(Failure::Lie) => self.accept(start, bytes, true),
            Some(Failure::Once) => Err(injected("the write fails")),
            Some(Failure::PowerCut { torn_sectors }) => {
                let torn_bytes = torn_sectors.saturating_mul(SECTOR_BYTES);
                self.accept(start, bytes.get(..torn_bytes).unwrap_or(bytes), false)?;
                Err(injected("the power goes during a write"))
            }
        }
    }

    fn sync(&mut self) -> Result<()> {
        match self.begin(Operation::Sync)? {
            None => {
                self.durable = self.after_crash(&mut |_, _| true)?;
                self.unsynced.clear();
                Ok(())
            }
            Some(Failure::Lie) => {
                self.unsynced.clear();
                Ok(())
            }
            Some(Failure::Once) => {
                self.unsynced.clear();
                Err(injected("the sync fails"))
            }
            Some(Failure::PowerCut { .. }) => Err(injected("the power goes during a sync")),
        }
    }

    fn drop_cache(&mut self) -> Result<()> {
        match self.begin(Operation::DropCache)? {
            None => {
                // What was not synced yet cannot be dropped.
                self.cached = self.after_crash(&mut |_, _| true)?;
                Ok(())
            }
            Some(Failure::Lie) => Ok(()),
            Some(_) => Err(injected("the cache cannot be dropped")),
        }
    }
}

impl HostMedium for FaultMedium {
    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        let len = arith::to(len_bytes)?;
        match self.begin(Operation::SetLen)? {
            None => {
                self.cached.resize(len, 0);
                self.unsynced.push(Unsynced { start: len, bytes: Vec::new() });
                Ok(())
            }
            Some(_) => Err(injected("the length cannot be changed")),
        }
    }

    fn can_grow(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(medium: &FaultMedium, offset: u64) -> u8 {
        let mut byte = [0];
        medium.read_at(offset, &mut byte).unwrap();
        byte[0]
    }

    #[test]
    fn a_crash_keeps_any_part_of_what_was_not_synced() {
        let mut medium = FaultMedium::new(vec![0; 2048]);
        medium.write_at(0, &[1; 512]).unwrap();
        medium.sync().unwrap();
        medium.write_at(512, &[2; 1024]).unwrap();
        assert_eq!((medium.durable()[512], medium.cached()[512]), (0, 2));
        assert_eq!(medium.unsynced_sectors(), [2]);
        let image = medium.after_crash(&mut |_, sector| sector == 1).unwrap();
        assert_eq!((image[0], image[512], image[1024]), (1, 0, 2));
        let expected = [Operation::Write { sectors: 1 }, Operation::Sync];
        assert_eq!(medium.operations()[..2], expected);
    }

    #[test]
    fn a_power_cut_tears_its_write_and_ends_everything() {
        let fault = Fault { at: 0, failure: Failure::PowerCut { torn_sectors: 1 } };
        let mut medium = FaultMedium::new(vec![0; 1024]).with_fault(fault);
        assert!(medium.write_at(0, &[1; 1024]).is_err());
        assert!(medium.sync().is_err());
        assert!(medium.read_at(0, &mut [0]).is_err());
        assert_eq!(medium.unsynced_sectors(), [1]);
        let medium = medium.after_kill();
        assert_eq!((read(&medium, 511), read(&medium, 512)), (1, 0));
    }

    #[test]
    fn a_failed_sync_forgets_and_the_cache_hides_it() {
        let fault = Fault { at: 1, failure: Failure::Once };
        let mut medium = FaultMedium::new(vec![0; 512]).with_fault(fault);
        medium.write_at(0, &[1; 512]).unwrap();
        assert!(medium.sync().is_err());
        medium.sync().unwrap();
        assert_eq!(read(&medium, 0), 1);
        medium.drop_cache().unwrap();
        assert_eq!(read(&medium, 0), 0);
    }

    #[test]
    fn a_lying_write_is_seen_once_the_cache_is_dropped() {
        let fault = Fault { at: 0, failure: Failure::Lie };
        let mut medium = FaultMedium::new(vec![0; 512]).with_fault(fault);
        medium.write_at(0, &[1; 512]).unwrap();
        medium.sync().unwrap();
        assert_eq!(read(&medium, 0), 1);
        medium.drop_cache().unwrap();
        assert_eq!(read(&medium, 0), 0);
    }
}
