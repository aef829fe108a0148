//! The bins data as pages in three layers: the primary file, over it what its logs say, over that our edits.
//!
//! Only edits and a bounded cache are in memory; of a log only the places of its pages are kept.

use super::defect::{Defect, corrupt};
use super::source::Source;
use super::units::{BASE_BLOCK_BYTES, CellOffset, PAGE_BYTES, PAGE_LEN};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

/// Bound on the cached pages: 1 MiB. When it is reached, all are forgotten.
const CACHE_PAGES_MAX: usize = 256;

/// Unit of the pages in logs, in bytes.
pub(super) const SECTOR_BYTES: u32 = 512;

/// [`SECTOR_BYTES`] as a length in memory.
pub(super) const SECTOR_LEN: usize = 512;

/// Sectors of a page.
const SECTORS_PER_PAGE: u32 = PAGE_BYTES / SECTOR_BYTES;

/// Where a log keeps a sector of the bins data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogSector {
    pub(super) log_index: usize,
    pub(super) offset_bytes: u64,
}

/// The bins data.
pub(super) struct Pages<'a> {
    primary: Box<dyn Source + 'a>,
    logs: Vec<Box<dyn Source + 'a>>,
    bins_bytes: u32,
    /// By sector of the bins data.
    replayed: BTreeMap<u32, LogSector>,
    /// By page of the bins data.
    edited: BTreeMap<u32, Box<[u8]>>,
    cache: RefCell<HashMap<u32, Rc<[u8]>>>,
}

/// Edits at some moment.
#[derive(Debug)]
pub(super) struct Edits {
    pages: BTreeMap<u32, Box<[u8]>>,
    bins_bytes: u32,
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("bins_bytes", &self.bins_bytes)
            .field("replayed_sectors", &self.replayed.len())
            .field("edited_pages", &self.edited.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Pages<'a> {
    /// The bins data of `primary`, which claims to have `bins_bytes` of them.
    pub(super) fn new(
        primary: Box<dyn Source + 'a>,
        logs: Vec<Box<dyn Source + 'a>>,
        bins_bytes: u32,
    ) -> Self {
        let (replayed, edited) = (BTreeMap::new(), BTreeMap::new());
        Self { primary, logs, bins_bytes, replayed, edited, cache: RefCell::default() }
    }

    pub(super) fn bins_bytes(&self) -> u32 {
        self.bins_bytes
    }

    pub(super) fn primary(&self) -> &dyn Source {
        &*self.primary
    }

    pub(super) fn logs(&self) -> &[Box<dyn Source + 'a>] {
        &self.logs
    }

    /// `len` bytes from `offset` of the bins data, as they are after replay and edits.
    ///
    /// `len` must be bounded by the caller.
    ///
    /// # Errors
    /// `Corrupt` - the range ends behind the bins data.
    pub(super) fn read(&self, offset: u32, len: usize) -> Result<Vec<u8>> {
        self.check(offset, len)?;
        let mut bytes = Vec::with_capacity(len);
        let mut at = u64::from(offset);
        // Each round takes at least one byte.
        while bytes.len() < len {
            let (page, from) = split(at)?;
            let rest = len.saturating_sub(bytes.len());
            let take = rest.min(PAGE_LEN.saturating_sub(from));
            match self.edited.get(&page) {
                Some(edited) => bytes.extend_from_slice(field::slice(edited, from, take)?),
                None => bytes.extend_from_slice(field::slice(&self.cached(page)?, from, take)?),
            }
            at = arith::add(at, len_u64(take))?;
        }
        Ok(bytes)
    }

    /// Stores `bytes` at `offset` of the bins data, in memory.
    ///
    /// # Errors
    /// `Corrupt` - the range ends behind the bins data.
    pub(super) fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        let mut at = u64::from(offset);
        let mut rest = bytes;
        // Each round takes at least one byte.
        while !rest.is_empty() {
            let (page, from) = split(at)?;
            let take = rest.len().min(PAGE_LEN.saturating_sub(from));
            let (head, tail) = rest.split_at(take);
            if !self.edited.contains_key(&page) {
                let copy = self.cached(page)?.to_vec().into_boxed_slice();
                self.edited.insert(page, copy);
            }
            if let Some(edited) = self.edited.get_mut(&page) {
                field::put(edited, from, head)?;
            }
            at = arith::add(at, len_u64(take))?;
            rest = tail;
        }
        Ok(())
    }

    /// Lets the bins data end at `bins_bytes`, a multiple of 4096.
    pub(super) fn resize(&mut self, bins_bytes: u32) {
        self.bins_bytes = bins_bytes;
        self.replayed.split_off(&bins_bytes.div_euclid(SECTOR_BYTES));
        self.edited.split_off(&bins_bytes.div_euclid(PAGE_BYTES));
        self.cache.borrow_mut().clear();
    }

    /// Puts a sector of a log over that of the primary file. Only before the first edit.
    pub(super) fn replay(&mut self, sector: u32, place: LogSector) {
        self.replayed.insert(sector, place);
        self.cache.borrow_mut().clear();
    }

    /// Our edits, and the size that the bins data have with them.
    pub(super) fn edits(&self) -> Edits {
        Edits { pages: self.edited.clone(), bins_bytes: self.bins_bytes }
    }

    /// Brings back earlier edits.
    pub(super) fn restore(&mut self, edits: Edits) {
        self.bins_bytes = edits.bins_bytes;
        self.edited = edits.pages;
    }

    /// True if an edit changed a byte.
    ///
    /// # Errors
    /// What reading gives.
    pub(super) fn is_edited(&self) -> Result<bool> {
        for (page, edited) in &self.edited {
            if **edited != *self.cached(*page)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first page behind the end of the primary file that is not all in a log.
    pub(super) fn first_missing(&self) -> Option<u32> {
        let there = self.primary.len_bytes().saturating_sub(BASE_BLOCK_BYTES);
        let first = u32::try_from(there.div_ceil(u64::from(SECTOR_BYTES))).unwrap_or(u32::MAX);
        let end = self.bins_bytes.div_euclid(SECTOR_BYTES);
        // A part of a sector at the end of the file is there, but the rest of it is not.
        let is_there = |sector: &u32| self.replayed.contains_key(sector);
        let torn = there.div_euclid(SECTOR_BYTES.into()) != u64::from(first);
        let first = if torn { first.saturating_sub(1) } else { first };
        (first..end).find(|sector| !is_there(sector)).map(|sector| sector / SECTORS_PER_PAGE)
    }

    /// The pages that differ, or may differ, from those of the primary file, ascending.
    pub(super) fn touched(&self) -> Vec<u32> {
        let replayed = self.replayed.keys().map(|sector| sector.div_euclid(SECTORS_PER_PAGE));
        let mut pages: Vec<u32> = replayed.chain(self.edited.keys().copied()).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// A page as it is after replay and edits.
    pub(super) fn page(&self, page: u32) -> Result<Rc<[u8]>> {
        match self.edited.get(&page) {
            Some(edited) => Ok(Rc::from(&**edited)),
            None => self.cached(page),
        }
    }

    /// A page of the primary file; what lies behind the end of the file is 0.
    pub(super) fn primary_page(&self, page: u32) -> Result<Vec<u8>> {
        let offset =
            arith::add(BASE_BLOCK_BYTES, arith::mul(u64::from(page), u64::from(PAGE_BYTES))?)?;
        let there = self.primary.len_bytes().saturating_sub(offset).min(u64::from(PAGE_BYTES));
        let mut bytes = match there {
            0 => Vec::new(),
            there => self.primary.read_at(offset, arith::to(there)?)?,
        };
        bytes.resize(PAGE_LEN, 0);
        Ok(bytes)
    }

    /// A page after replay.
    fn cached(&self, page: u32) -> Result<Rc<[u8]>> {
        if let Some(page) = self.cache.borrow().get(&page) {
            return Ok(Rc::clone(page));
        }
        let loaded: Rc<[u8]> = Rc::from(self.load(page)?);
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= CACHE_PAGES_MAX {
            cache.clear();
        }
        cache.insert(page, Rc::clone(&loaded));
        Ok(loaded)
    }

    fn load(&self, page: u32) -> Result<Vec<u8>> {
        let first: u32 = arith::to(arith::mul(u64::from(page), u64::from(SECTORS_PER_PAGE))?)?;
        let sectors = self.replayed.range(first..first.saturating_add(SECTORS_PER_PAGE));
        let sectors: Vec<(u32, LogSector)> = sectors.map(|(key, place)| (*key, *place)).collect();
        if let Some(bytes) = self.load_whole(&sectors)? {
            return Ok(bytes);
        }
        let mut bytes = self.primary_page(page)?;
        for (sector, place) in sectors {
            let at = u64::from(sector.saturating_sub(first)).saturating_mul(SECTOR_BYTES.into());
            if let Some(log) = self.logs.get(place.log_index) {
                let stored = log.read_at(place.offset_bytes, SECTOR_LEN)?;
                field::put(&mut bytes, arith::to(at)?, &stored)?;
            }
        }
        Ok(bytes)
    }

    /// The page, if all of it lies in one piece in a log, as it always does in logs since Windows 8.1.
    fn load_whole(&self, sectors: &[(u32, LogSector)]) -> Result<Option<Vec<u8>>> {
        let (Some((_, first)), true) =
            (sectors.first(), len_u64(sectors.len()) == u64::from(SECTORS_PER_PAGE))
        else {
            return Ok(None);
        };
        let mut expected = *first;
        for (_, place) in sectors {
            if *place != expected {
                return Ok(None);
            }
            expected.offset_bytes = arith::add(expected.offset_bytes, SECTOR_BYTES.into())?;
        }
        let Some(log) = self.logs.get(first.log_index) else { return Ok(None) };
        Ok(Some(log.read_at(first.offset_bytes, PAGE_LEN)?))
    }

    fn check(&self, offset: u32, len: usize) -> Result<()> {
        if arith::add(u64::from(offset), len_u64(len))? > u64::from(self.bins_bytes) {
            let defect = Defect::CellOffset { offset, bins_bytes: self.bins_bytes };
            return Err(corrupt("bins data", CellOffset(offset), defect));
        }
        Ok(())
    }
}

/// The page of a byte, and its place in the page.
fn split(at: u64) -> Result<(u32, usize)> {
    let page = arith::to(arith::div(at, PAGE_BYTES.into())?)?;
    Ok((page, arith::to(arith::rem(at, PAGE_BYTES.into())?)?))
}
