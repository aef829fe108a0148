//! The block allocation table: where the payload blocks are.
//!
//! Source: \[MS-VHDX\], section 2.5. Entries of 8 bytes: bits 0 to 2 the state, bits 20 to 63 the place in MiB. After the
//! entries of one chunk (2^23 sectors) follows the entry of a sector bitmap, which only differencing images use: the
//! entry of the block `n` is the `n + n / r`th, where `r` is the number of blocks in a chunk.
//!
//! | state | specification                   | here                                                               |
//! |------:|---------------------------------|--------------------------------------------------------------------|
//! |     0 | PAYLOAD_BLOCK_NOT_PRESENT       | zeros                                                              |
//! |     1 | PAYLOAD_BLOCK_UNDEFINED         | zeros: the content may be anything                                 |
//! |     2 | PAYLOAD_BLOCK_ZERO              | zeros                                                              |
//! |     3 | PAYLOAD_BLOCK_UNMAPPED          | zeros: the content may be anything                                 |
//! |     6 | PAYLOAD_BLOCK_FULLY_PRESENT     | in the file                                                        |
//! |     7 | PAYLOAD_BLOCK_PARTIALLY_PRESENT | damage: only in differencing images                                |

use super::super::block_map::{Allocate, BlockMap, Place, Run, Source, check_block};
use super::MIB;
use super::header::{Header, own_log_guid};
use super::log;
use super::metadata::Metadata;
use super::region::Regions;
use crate::bytes::{arith, field};
use crate::disk::medium::HostMedium;
use crate::error::{Corrupt, Error, Refusal, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Sectors of a chunk.
const CHUNK_SECTORS: u64 = 1 << 23;

const ENTRY_BYTES: u64 = 8;

/// The state of a block that is in the file.
const FULLY_PRESENT: u64 = 6;

/// How many bytes of the table are read at once when all of it is looked at.
const TABLE_CHUNK_BYTES: u64 = 64 * 1024;

/// What is wrong with the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BatDefect {
    #[error("{entries} entries do not fit into {region_bytes} bytes")]
    TooShort { entries: u64, region_bytes: u64 },
    #[error("block {index} has the state {state}")]
    State { index: u64, state: u64 },
}

/// The payload blocks.
#[derive(Debug)]
pub(super) struct VhdxMap {
    header: Header,
    regions: Regions,
    metadata: Metadata,
    blocks_per_chunk: u64,
}

impl VhdxMap {
    /// The map of a file whose headers are known.
    ///
    /// # Errors
    /// `Corrupt` if the table is too short for the disk.
    pub(super) fn new(header: Header, regions: Regions, metadata: Metadata) -> Result<Self> {
        let chunk_bytes = arith::mul(CHUNK_SECTORS, metadata.sector_size_bytes.into())?;
        let blocks_per_chunk = arith::div(chunk_bytes, metadata.block_bytes)?;
        let map = Self { header, regions, metadata, blocks_per_chunk };
        let last = map.entry_offset(arith::sub(map.block_count()?, 1)?)?;
        if arith::add(last, ENTRY_BYTES)? > map.regions.bat.end {
            let region_bytes = arith::sub(map.regions.bat.end, map.regions.bat.start)?;
            let defect = BatDefect::TooShort { entries: map.block_count()?, region_bytes };
            return Err(corrupt(map.regions.bat.start, defect));
        }
        Ok(map)
    }

    fn block_count(&self) -> Result<u64> {
        Ok(arith::div_ceil(self.metadata.disk_bytes, self.metadata.block_bytes)?)
    }

    /// Where the entry of a block is in the file.
    fn entry_offset(&self, index: u64) -> Result<u64> {
        let entry = arith::add(index, arith::div(index, self.blocks_per_chunk)?)?;
        Ok(arith::add(self.regions.bat.start, arith::mul(entry, ENTRY_BYTES)?)?)
    }

    /// How much of a block the disk has: all of it, but for the last one.
    fn used_bytes(&self, index: u64) -> Result<u64> {
        let start = arith::mul(index, self.metadata.block_bytes)?;
        Ok(arith::sub(self.metadata.disk_bytes, start)?.min(self.metadata.block_bytes))
    }

    /// Where a block is, if it is in the file, as its entry says.
    fn place(&self, index: u64, entry: u64) -> Result<Option<u64>> {
        match entry & 7 {
            0..=3 => Ok(None),
            FULLY_PRESENT => Ok(Some(arith::mul(entry >> 20, MIB)?)),
            state => Err(corrupt(self.entry_offset(index)?, BatDefect::State { index, state })),
        }
    }
}

impl VhdxMap {
    /// Writes pages of the table through the log; what they lead to is durable already.
    fn write_pages(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        pages: &[(u64, Vec<u8>)],
    ) -> Result<()> {
        let guid = own_log_guid()?;
        let entry = log::entry(&guid, pages, Source::len_bytes(host))?;
        host.write_at(self.header.log.start, &entry)?;
        host.sync()?;
        self.header.open_log(host, guid)?;
        for (start, page) in pages {
            host.write_at(*start, page)?;
        }
        host.sync()?;
        self.header.close_log(host)
    }
}

fn corrupt(at: u64, defect: BatDefect) -> Error {
    Corrupt::new("VHDX block allocation table", defect).at(at).into()
}

impl BlockMap for VhdxMap {
    fn disk_bytes(&self) -> u64 {
        self.metadata.disk_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        self.metadata.sector_size_bytes
    }

    fn block_bytes(&self) -> u64 {
        self.metadata.block_bytes
    }

    fn locate(&self, tables: &dyn Source, offset_bytes: u64) -> Result<Run> {
        let index = arith::div(offset_bytes, self.metadata.block_bytes)?;
        let inside = arith::rem(offset_bytes, self.metadata.block_bytes)?;
        let used = self.used_bytes(index)?;
        let len_bytes = arith::sub(used, inside)?;
        let entry = field::le_u64(&tables.read_vec(self.entry_offset(index)?, 8)?, 0)?;
        let Some(start) = self.place(index, entry)? else {
            return Ok(Run { place: Place::Zeros, len_bytes });
        };
        check_block(tables.len_bytes(), &self.regions.taken, start, used)?;
        Ok(Run { place: Place::At(arith::add(start, inside)?), len_bytes })
    }
}

impl Allocate for VhdxMap {
    fn begin(&mut self, host: &mut Box<dyn HostMedium>) -> Result<()> {
        self.header.renew(host)
    }

    fn claim(&mut self, _host: &mut Box<dyn HostMedium>, _guest: Range<u64>) -> Result<()> {
        Ok(())
    }

    fn check_room(&self, _host: &dyn HostMedium, _blocks: u64) -> Result<()> {
        let len_bytes = self.header.log.end.saturating_sub(self.header.log.start);
        if len_bytes >= MIB {
            return Ok(());
        }
        let what = "a VHDX without a log, which has no block yet where the edit would write";
        Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into())
    }

    fn allocate(&mut self, host: &mut Box<dyn HostMedium>, _index: u64) -> Result<u64> {
        let start = arith::round_up(Source::len_bytes(host), MIB)?;
        host.set_len(arith::add(start, self.metadata.block_bytes)?)?;
        Ok(start)
    }

    fn publish(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        blocks: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        // The pages of the table as they will be: where each is in the file, and its bytes.
        let mut pages: Vec<(u64, Vec<u8>)> = Vec::new();
        for (index, start) in blocks {
            let at = self.entry_offset(*index)?;
            let inside = arith::rem(at, log::SECTOR_BYTES)?;
            let page_start = arith::sub(at, inside)?;
            if pages.last().is_none_or(|(last, _)| *last != page_start) {
                if pages.len() >= log::PAGES_MAX {
                    self.write_pages(host, &std::mem::take(&mut pages))?;
                }
                let page = Source::read_vec(host, page_start, arith::to(log::SECTOR_BYTES)?)?;
                pages.push((page_start, page));
            }
            if let Some((_, page)) = pages.last_mut() {
                field::put_le_u64(page, arith::to(inside)?, start | FULLY_PRESENT)?;
            }
        }
        self.write_pages(host, &pages)
    }

    fn each_block(
        &self,
        host: &dyn Source,
        visit: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let blocks = self.block_count()?;
        let (mut index, mut chunk, mut chunk_start) = (0, Vec::new(), 0);
        while index < blocks {
            let at = self.entry_offset(index)?;
            let inside = arith::sub(at, chunk_start)?;
            if chunk.is_empty() || inside >= arith::len_u64(chunk.len()) {
                let left = arith::sub(self.regions.bat.end, at)?;
                chunk = host.read_vec(at, arith::to(left.min(TABLE_CHUNK_BYTES))?)?;
                chunk_start = at;
            }
            let inside = arith::to(arith::sub(at, chunk_start)?)?;
            let entry = field::le_u64(&chunk, inside)?;
            if let Some(start) = self.place(index, entry)? {
                visit(index, start)?;
            }
            index = arith::add(index, 1)?;
        }
        Ok(())
    }
}
