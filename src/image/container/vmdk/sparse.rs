//! The grains of a sparse extent: finding them, and making new ones.
//!
//! Source: "Virtual Disk Format 5.0", sections "Grain Directories and Grain Tables" and "Grains". The grain directory
//! has 4 bytes for each grain table: its sector, or 0 if none of its grains is there. A grain table has 512 entries of
//! 4 bytes: the sector of the grain, or 0 if it is not there, or 1 if it is zeros (with flag 2 of the header). There
//! are two of each; readers use the first, the second is for repair. All are little-endian.
//!
//! # Crash safety
//!
//! Assumption: a sector of 512 bytes is written wholly or not at all. New tables and grains go behind the end of the
//! file, so that nothing leads to them.
//!
//! 1. A grain whose table is not there needs one first: the file grows, the empty table is synced, then the directory
//!    gets its sector; so for both directories. The guest sees the same zeros before and after. Nothing is entered into
//!    the table before the next sync.
//! 2. The file grows to a whole grain and by one, the data go there.
//! 3. Sync, then the entry in the first and in the second table, then sync. After a cut the second may be behind the
//!    first or ahead of it: one of the two is 0 then. The guest sees what the first says, and the next write to that
//!    grain brings both together. Tables that lead to different grains are damage, and are not written.
//!
//! The content id (`CID`) of the descriptor is left as it is.
//!
//! What a cut may leave is unused room at the end of the file.

use super::super::block_map::{Allocate, BlockDefect, BlockMap, Place, Run, Source, check_block};
use super::extent_header::{ExtentHeader, TABLE_ENTRIES};
use super::{read_u32, sectors};
use crate::bytes::arith;
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Corrupt, Error, Refusal, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Length of a grain table in bytes.
const TABLE_BYTES: u64 = TABLE_ENTRIES * 4;

/// The entry of a grain of zeros.
const ZEROED: u32 = 1;

/// The two tables lead to different grains, or one of them is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grain {grain} is at sector {first} in the first, at {second} in the second")]
pub(super) struct GrainDefect {
    grain: u64,
    first: u32,
    second: u32,
}

/// What a table says about a grain.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where the entry is in the file, `None` if there is no table.
    at: Option<u64>,
    /// Where the grain is, 0 if it is nowhere.
    sector: u32,
}

/// The grains of a sparse extent.
#[derive(Debug)]
pub(super) struct SparseMap {
    header: ExtentHeader,
    disk_bytes: u64,
    grain_bytes: u64,
    /// What a grain takes of the file at least.
    stored_bytes: u64,
    /// What no grain may touch: the header, the descriptor, the directories and the tables made with them.
    taken: Vec<(&'static str, Range<u64>)>,
}

impl SparseMap {
    /// The map of an extent whose header is known.
    ///
    /// # Errors
    /// `Corrupt` if its numbers overflow.
    pub(super) fn new(header: ExtentHeader) -> Result<Self> {
        let directory = sectors(header.directory_sector)?;
        let directory_end = arith::add(directory, header.directory_bytes()?)?;
        let taken = vec![
            ("the metadata", 0..sectors(header.overhead_sectors)?.max(512)),
            ("the grain directory", directory..directory_end),
        ];
        let (disk_bytes, grain_bytes) = (header.capacity_bytes()?, header.grain_bytes()?);
        Ok(Self { header, disk_bytes, grain_bytes, stored_bytes: grain_bytes, taken })
    }

    /// The map of an extent with compressed grains: it finds where they start, and is only for reading.
    ///
    /// # Errors
    /// As [`SparseMap::new`].
    pub(super) fn compressed(header: ExtentHeader) -> Result<Self> {
        Ok(Self { stored_bytes: 512, ..Self::new(header)? })
    }

    /// Where the entry of a table is in a directory.
    fn directory_entry(directory_sector: u64, table: u64) -> Result<u64> {
        Ok(arith::add(sectors(directory_sector)?, arith::mul(table, 4)?)?)
    }

    /// Where the `table`th table of a directory is in the file, if it is there.
    fn table_start(source: &dyn Source, directory_sector: u64, table: u64) -> Result<Option<u64>> {
        let sector = read_u32(source, Self::directory_entry(directory_sector, table)?)?;
        if sector == 0 {
            return Ok(None);
        }
        let start = sectors(sector.into())?;
        let header = [("the header", 0..512)];
        check_block(source.len_bytes(), &header, start, TABLE_BYTES)?;
        Ok(Some(start))
    }

    /// Where the entry of a grain is in the table that the directory at `directory_sector` has for it.
    fn entry_offset(source: &dyn Source, directory_sector: u64, grain: u64) -> Result<Option<u64>> {
        let table = arith::div(grain, TABLE_ENTRIES)?;
        let Some(start) = Self::table_start(source, directory_sector, table)? else {
            return Ok(None);
        };
        Ok(Some(arith::add(start, arith::mul(arith::rem(grain, TABLE_ENTRIES)?, 4)?)?))
    }

    /// Where the entry of a grain is in the second table.
    fn second_entry_offset(&self, source: &dyn Source, grain: u64) -> Result<Option<u64>> {
        match self.header.redundant_directory_sector {
            None => Ok(None),
            Some(directory) => Self::entry_offset(source, directory, grain),
        }
    }

    /// True if the entry leads to a grain.
    fn leads_somewhere(&self, entry: u32) -> bool {
        entry != 0 && !(entry == ZEROED && self.header.has_zeroed_grains)
    }

    /// What both tables say about a grain, and where, with 0 for what leads nowhere.
    ///
    /// # Errors
    /// `Corrupt` if they lead to different grains.
    fn entries(&self, source: &dyn Source, grain: u64) -> Result<[Entry; 2]> {
        let first = Self::entry_offset(source, self.header.directory_sector, grain)?;
        let second = self.second_entry_offset(source, grain)?;
        let [first, second] = [self.entry(source, first)?, self.entry(source, second)?];
        let is_apart = first.sector != second.sector && first.sector != 0 && second.sector != 0;
        let has_no_table = self.header.redundant_directory_sector.is_some()
            && (first.at.is_none() && second.sector != 0
                || second.at.is_none() && first.sector != 0);
        if is_apart || has_no_table {
            let defect = GrainDefect { grain, first: first.sector, second: second.sector };
            return Err(Corrupt::new("VMDK grain tables", defect).into());
        }
        Ok([first, second])
    }

    fn entry(&self, source: &dyn Source, at: Option<u64>) -> Result<Entry> {
        let stored = at.map_or(Ok(0), |at| read_u32(source, at))?;
        Ok(Entry { at, sector: if self.leads_somewhere(stored) { stored } else { 0 } })
    }

    /// Makes the table of `grain` in the directory at `directory_sector`, if there is none.
    fn make_table(host: &mut Box<dyn HostMedium>, directory_sector: u64, grain: u64) -> Result<()> {
        let table = arith::div(grain, TABLE_ENTRIES)?;
        if Self::table_start(host, directory_sector, table)?.is_some() {
            return Ok(());
        }
        let start = arith::round_up(Source::len_bytes(host), 512)?;
        let sector: u32 = sector_of(start)?;
        host.set_len(arith::add(start, TABLE_BYTES)?)?;
        host.sync()?;
        host.write_at(Self::directory_entry(directory_sector, table)?, &sector.to_le_bytes())
    }
}

/// The sector at `offset_bytes`, as an entry of a table has it.
fn sector_of(offset_bytes: u64) -> Result<u32> {
    let sector = arith::div(offset_bytes, 512)?;
    u32::try_from(sector).map_err(|_| {
        Error::limit("size of a sparse VMDK extent in sectors", u32::MAX.into(), sector)
    })
}

impl BlockMap for SparseMap {
    fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn block_bytes(&self) -> u64 {
        self.grain_bytes
    }

    fn locate(&self, tables: &dyn Source, offset_bytes: u64) -> Result<Run> {
        let grain = arith::div(offset_bytes, self.grain_bytes)?;
        let inside = arith::rem(offset_bytes, self.grain_bytes)?;
        let len_bytes = arith::sub(self.grain_bytes, inside)?;
        let entry = match Self::entry_offset(tables, self.header.directory_sector, grain)? {
            Some(at) => read_u32(tables, at)?,
            None => 0,
        };
        if !self.leads_somewhere(entry) {
            return Ok(Run { place: Place::Zeros, len_bytes });
        }
        let start = sectors(entry.into())?;
        check_block(tables.len_bytes(), &self.taken, start, self.stored_bytes)?;
        Ok(Run { place: Place::At(arith::add(start, inside)?), len_bytes })
    }
}

impl Allocate for SparseMap {
    fn begin(&mut self, _host: &mut Box<dyn HostMedium>) -> Result<()> {
        Ok(())
    }

    fn claim(&mut self, _host: &mut Box<dyn HostMedium>, _guest: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, host: &mut Box<dyn HostMedium>, index: u64) -> Result<()> {
        match self.entries(host, index)? {
            [first, Entry { at: Some(at), sector: 0 }] if first.sector != 0 => {
                host.write_at(at, &first.sector.to_le_bytes())
            }
            _ => Ok(()),
        }
    }

    fn check_tables(&self, host: &dyn Source, blocks: &BTreeMap<u64, u64>) -> Result<()> {
        let mut starts = Vec::new();
        let second = self.header.redundant_directory_sector;
        for directory in [Some(self.header.directory_sector), second].into_iter().flatten() {
            for table in 0..self.header.table_count()? {
                starts.extend(Self::table_start(host, directory, table)?);
            }
        }
        starts.sort_unstable();
        let mut free_from = 0;
        for start in starts {
            let end = arith::add(start, TABLE_BYTES)?;
            let after_first = start.saturating_sub(self.grain_bytes).saturating_add(1);
            let grain = blocks.range(after_first.min(start)..end).next();
            let what = match grain {
                None if start >= free_from => None,
                None => Some("another grain table"),
                Some(_) => Some("a grain"),
            };
            if let Some(what) = what {
                let len_bytes = TABLE_BYTES;
                let defect = BlockDefect::Misplaced { start_bytes: start, len_bytes, what };
                return Err(Corrupt::new("VMDK grain table", defect).into());
            }
            free_from = end;
        }
        Ok(())
    }

    fn check_room(&self, host: &dyn HostMedium, blocks: u64) -> Result<()> {
        // Each grain may need two tables first, and starts at a whole grain.
        let with_tables = arith::add(self.grain_bytes, arith::mul(TABLE_BYTES, 2)?)?;
        let each = arith::add(self.grain_bytes, arith::round_up(with_tables, self.grain_bytes)?)?;
        let end = arith::add(Medium::len_bytes(host), arith::mul(each, blocks)?)?;
        if sector_of(end).is_ok() {
            return Ok(());
        }
        let what = "a sparse VMDK whose file is full: no grain can start behind 2 TiB of it";
        Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into())
    }

    fn allocate(&mut self, host: &mut Box<dyn HostMedium>, index: u64) -> Result<u64> {
        self.entries(host, index)?;
        Self::make_table(host, self.header.directory_sector, index)?;
        if let Some(directory) = self.header.redundant_directory_sector {
            Self::make_table(host, directory, index)?;
        }
        let start = arith::round_up(Source::len_bytes(host), self.grain_bytes)?;
        sector_of(start)?;
        host.set_len(arith::add(start, self.grain_bytes)?)?;
        Ok(start)
    }

    fn publish(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        blocks: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        for (grain, start) in blocks {
            let entry = sector_of(*start)?.to_le_bytes();
            let first = Self::entry_offset(host, self.header.directory_sector, *grain)?;
            let second = self.second_entry_offset(host, *grain)?;
            for at in [first, second].into_iter().flatten() {
                host.write_at(at, &entry)?;
            }
        }
        Ok(())
    }

    fn each_block(
        &self,
        host: &dyn Source,
        visit: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let grains = arith::div_ceil(self.disk_bytes, self.grain_bytes)?;
        for table in 0..self.header.table_count()? {
            let start = Self::table_start(host, self.header.directory_sector, table)?;
            let Some(start) = start else { continue };
            let entries = host.read_vec(start, arith::to(TABLE_BYTES)?)?;
            let first = arith::mul(table, TABLE_ENTRIES)?;
            for (grain, entry) in (first..grains).zip(entries.as_chunks::<4>().0) {
                let entry = u32::from_le_bytes(*entry);
                if self.leads_somewhere(entry) {
                    visit(grain, sectors(entry.into())?)?;
                }
            }
        }
        Ok(())
    }
}
