//! Room for cells: first fit in the free ones, a new bin where there is none, and giving back.
//!
//! Document: "Windows registry file format specification" (M. Suhanov), sections "Cell", "Unallocated cell",
//! "Hive bin". Rule WIN-98.

use super::super::bins::{self, Bin, HEADER_BYTES};
use super::super::cell::{Cell, SIZE_BYTES};
use super::super::defect::{Defect, corrupt};
use super::super::units::{BASE_BLOCK_BYTES, CellOffset, PAGE_BYTES};
use super::super::{BINS_BYTES_MAX, GROWTH_BYTES_MAX, Hive};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};
use std::rc::Rc;

/// Multiple and least of the size of a cell, in bytes.
const CELL_UNIT_BYTES: u32 = 8;

const STRUCTURE: &str = "cell of a bin";

/// A cell as the walk through a bin meets it.
#[derive(Debug, Clone, Copy)]
struct Found {
    at: u32,
    size_bytes: u32,
    is_free: bool,
}

impl Hive<'_> {
    /// A cell in use with `data` and zeros behind.
    pub(super) fn store_new(&mut self, data: &[u8]) -> Result<Cell> {
        let needed = arith::add(len_u64(data.len()), SIZE_BYTES.into())?;
        let size_bytes: u32 = arith::to(arith::round_up(needed, CELL_UNIT_BYTES.into())?)?;
        let free = match self.find_free(size_bytes)? {
            Some(free) => free,
            None => self.append_bin(size_bytes)?,
        };
        self.take(free, size_bytes)?;
        let cell = Cell { at: CellOffset(free.at), size_bytes };
        let mut padded = data.to_vec();
        padded.resize(arith::to(cell.capacity_bytes())?, 0);
        self.pages.write(cell.data_at(0), &padded)?;
        Ok(cell)
    }

    /// Stores `data` in `cell` if they fit, else in a new cell, and `cell` is given back.
    pub(super) fn store_again(&mut self, cell: Option<Cell>, data: &[u8]) -> Result<Cell> {
        match cell {
            Some(cell) if len_u64(data.len()) <= u64::from(cell.capacity_bytes()) => {
                self.pages.write(cell.data_at(0), data)?;
                Ok(cell)
            }
            Some(cell) => {
                let new = self.store_new(data)?;
                self.free(cell)?;
                Ok(new)
            }
            None => self.store_new(data),
        }
    }

    /// Gives `cell` back, together with the free cells beside it.
    pub(super) fn free(&mut self, cell: Cell) -> Result<()> {
        let bins = self.bins()?;
        let after = bins.partition_point(|bin| bin.offset <= cell.at.0);
        let Some(bin) = after.checked_sub(1).and_then(|index| bins.get(index)).copied() else {
            return Err(corrupt(STRUCTURE, cell.at, Defect::NoCell));
        };
        let (before, own, behind) = self.neighbours(bin, cell.at)?;
        let mut whole = own;
        if let Some(before) = before.filter(|before| before.is_free) {
            whole.at = before.at;
            whole.size_bytes = whole.size_bytes.saturating_add(before.size_bytes);
        }
        if let Some(behind) = behind.filter(|behind| behind.is_free) {
            whole.size_bytes = whole.size_bytes.saturating_add(behind.size_bytes);
        }
        self.put_size(whole.at, whole.size_bytes, true)
    }

    /// The cell at `at` as the walk through its bin meets it, the one before it, and the one behind it.
    fn neighbours(
        &self,
        bin: Bin,
        at: CellOffset,
    ) -> Result<(Option<Found>, Found, Option<Found>)> {
        let mut before = None;
        let mut next = bin.offset.saturating_add(HEADER_BYTES);
        // Each round goes on by at least 8 bytes.
        while u64::from(next) < bin.end_bytes() && next <= at.0 {
            let found = self.cell_in(bin, next)?;
            next = next.saturating_add(found.size_bytes);
            if found.at == at.0 && !found.is_free {
                let is_last = u64::from(next) >= bin.end_bytes();
                let behind = if is_last { None } else { Some(self.cell_in(bin, next)?) };
                return Ok((before, found, behind));
            }
            before = Some(found);
        }
        Err(corrupt(STRUCTURE, at, Defect::NoCell))
    }

    /// The first free cell of at least `size_bytes`.
    fn find_free(&mut self, size_bytes: u32) -> Result<Option<Found>> {
        for bin in self.bins()?.iter().copied() {
            let mut next = bin.offset.saturating_add(HEADER_BYTES);
            // Each round goes on by at least 8 bytes.
            while u64::from(next) < bin.end_bytes() {
                let found = self.cell_in(bin, next)?;
                if found.is_free && found.size_bytes >= size_bytes {
                    return Ok(Some(found));
                }
                next = next.saturating_add(found.size_bytes);
            }
        }
        Ok(None)
    }

    fn cell_in(&self, bin: Bin, at: u32) -> Result<Found> {
        let stored = field::le_u32(&self.pages.read(at, 4)?, 0)?.cast_signed();
        let size_bytes = stored.unsigned_abs();
        let end = u64::from(at).saturating_add(size_bytes.into());
        let is_size = size_bytes != 0 && size_bytes.is_multiple_of(CELL_UNIT_BYTES);
        if !is_size || end > bin.end_bytes() {
            return Err(corrupt(STRUCTURE, CellOffset(at), Defect::CellSize(stored)));
        }
        Ok(Found { at, size_bytes, is_free: stored > 0 })
    }

    /// Takes the first `size_bytes` of a free cell; the rest, if there is any, stays free.
    fn take(&mut self, free: Found, size_bytes: u32) -> Result<()> {
        let rest: u32 = arith::to(arith::sub(free.size_bytes.into(), size_bytes.into())?)?;
        if rest != 0 {
            self.put_size(free.at.saturating_add(size_bytes), rest, true)?;
        }
        self.put_size(free.at, size_bytes, false)
    }

    fn put_size(&mut self, at: u32, size_bytes: u32, is_free: bool) -> Result<()> {
        let size: i32 = arith::to(size_bytes)?;
        let stored = if is_free { size } else { size.saturating_neg() };
        self.pages.write(at, &stored.to_le_bytes())
    }

    /// Appends a bin with one free cell of at least `size_bytes`.
    fn append_bin(&mut self, size_bytes: u32) -> Result<Found> {
        let needed = arith::add(size_bytes.into(), HEADER_BYTES.into())?;
        let bin_bytes: u32 = arith::to(arith::round_up(needed, PAGE_BYTES.into())?)?;
        let offset = self.pages.bins_bytes();
        let bins_bytes = arith::add(offset.into(), bin_bytes.into())?;
        let file_bytes = self.pages.primary().len_bytes();
        let end_bytes = arith::add(BASE_BLOCK_BYTES, bins_bytes)?;
        if bins_bytes > BINS_BYTES_MAX.into()
            || end_bytes.saturating_sub(file_bytes) > GROWTH_BYTES_MAX
        {
            return Err(Error::limit("size of a hive in bytes", BINS_BYTES_MAX.into(), bins_bytes));
        }
        let mut bin = vec![0; arith::to(bin_bytes)?];
        field::put(&mut bin, 0, b"hbin")?;
        field::put_le_u32(&mut bin, 4, offset)?;
        field::put_le_u32(&mut bin, 8, bin_bytes)?;
        let size_bytes: u32 = arith::to(arith::sub(bin_bytes.into(), HEADER_BYTES.into())?)?;
        field::put_le_u32(&mut bin, 32, size_bytes)?;
        self.pages.resize(arith::to(bins_bytes)?);
        self.base.bins_bytes = self.pages.bins_bytes();
        self.pages.write(offset, &bin)?;
        self.bins = None;
        Ok(Found { at: offset.saturating_add(HEADER_BYTES), size_bytes, is_free: true })
    }

    /// The bins, read once.
    fn bins(&mut self) -> Result<Rc<[Bin]>> {
        if let Some(bins) = &self.bins {
            return Ok(Rc::clone(bins));
        }
        let bins: Rc<[Bin]> = bins::read_all(&self.pages)?.into();
        self.bins = Some(Rc::clone(&bins));
        Ok(bins)
    }
}
