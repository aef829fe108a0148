//! The AG free list (AGFL): a ring of blocks that only the trees of the free space and the reverse map use.
//!
//! Blocks are taken at its first entry and given back behind its last one; the AGF says which entries are in
//! use, and entries out of use keep their old values.

use super::with_header;
use super::{Agf, Expected, FreeList, HeaderDefect, check_magic, seal_and_write};
use crate::bytes::field::{be_u32, put_be_u32};
use crate::error::{Corrupt, Result};
use crate::fs::xfs::units::{AgBlock, AgNumber};
use crate::fs::xfs::volume::{AgSector, Volume};

const MAGIC: u32 = 0x5841_464c;
const NAME: &str = "AGFL";

const NUMBER_AT: usize = 4;
const UUID_AT: usize = 8;
const CRC_AT: usize = 32;
/// Where the entries start with checksums; without them the sector has no header.
const ENTRIES_AT: u32 = 36;
const ENTRY_BYTES: u32 = 4;
/// An entry that was never used (`NULLAGBLOCK`).
const NO_BLOCK: u32 = u32::MAX;

/// One AGFL.
///
/// Big-endian; the header only exists with checksums (version 5).
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0 | 4 | agfl_magicnum | (checked) | `XAFL` |
/// | 4 | 4 | agfl_seqno | ag | the number of its AG |
/// | 8 | 16 | agfl_uuid | (checked) | the metadata UUID |
/// | 24 | 8 | agfl_lsn | (kept) | any |
/// | 32 | 4 | agfl_crc | (checked) | CRC-32C, little-endian |
/// | 36 | rest of the sector | agfl_bno | get, take, put | those in use inside the AG, none twice; others below sb_agblocks, or all ones |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agfl {
    pub(crate) ag: AgNumber,
    /// Entries of the ring, in use or not.
    size: u32,
    has_header: bool,
    bytes: Vec<u8>,
}

/// How many entries the ring has.
pub(super) fn ring_size(expected: &Expected) -> u32 {
    let header = if expected.features.has_crc() { ENTRIES_AT } else { 0 };
    expected.sector_bytes.saturating_sub(header).checked_div(ENTRY_BYTES).unwrap_or(0)
}

/// Whether the AGF's bounds describe a part of the ring.
pub(super) fn check_bounds(list: FreeList, size: u32) -> Result<(), HeaderDefect> {
    let FreeList { first, last, count } = list;
    let wrong = HeaderDefect::List { first, last, count, size };
    if first >= size || last >= size || count > size {
        return Err(wrong);
    }
    // An empty ring and a full one have the same bounds.
    let behind = last.saturating_add(1);
    let span = if last >= first {
        behind.saturating_sub(first)
    } else {
        size.saturating_sub(first).saturating_add(behind)
    };
    let is_right = span == count || (count == 0 && span == size);
    if is_right { Ok(()) } else { Err(wrong) }
}

impl Agfl {
    /// Reads and checks the AGFL that `agf` describes.
    pub(crate) fn load(volume: &Volume, agf: &Agf) -> Result<Self> {
        with_header(volume, agf.ag, AgSector::Agfl, NAME, |bytes, expected| {
            Self::parse(bytes, expected, agf.free_list)
        })
    }

    /// Writes the AGFL with a new checksum.
    pub(crate) fn store(&self, volume: &Volume) -> Result<()> {
        seal_and_write(volume, self.ag, AgSector::Agfl, NAME, self.bytes.clone(), CRC_AT)
    }

    pub(super) fn parse(
        bytes: Vec<u8>,
        expected: &Expected,
        list: FreeList,
    ) -> Result<Self, HeaderDefect> {
        if expected.features.has_crc() {
            check_magic(&bytes, MAGIC)?;
            expected.check_number(&bytes, NUMBER_AT)?;
            expected.check_seal(&bytes, UUID_AT, CRC_AT)?;
        }
        let size = ring_size(expected);
        check_bounds(list, size)?;
        let agfl = Self { ag: expected.ag, size, has_header: expected.features.has_crc(), bytes };
        if agfl.has_header {
            agfl.check_unused(expected)?;
        }
        let mut blocks = Vec::new();
        for index in 0..list.count {
            let block = agfl.entry(agfl.wrapped(list.first, index))?;
            expected.check_block("an entry", block)?;
            blocks.push(block);
        }
        blocks.sort_unstable();
        for pair in blocks.windows(2) {
            if let [a, b] = pair
                && a == b
            {
                return Err(HeaderDefect::ListedTwice(*a));
            }
        }
        Ok(agfl)
    }

    /// Kernels refuse a list in which any entry, in use or not, is no block of a whole group.
    fn check_unused(&self, expected: &Expected) -> Result<(), HeaderDefect> {
        for index in 0..self.size {
            let block = self.entry(index)?;
            if block != NO_BLOCK && block >= expected.whole_group_blocks {
                return Err(HeaderDefect::Place { what: "an entry out of use", block });
            }
        }
        Ok(())
    }

    /// The blocks in use, in the order in which they are taken.
    pub(crate) fn blocks(&self, list: FreeList) -> Result<Vec<AgBlock>> {
        let mut blocks = Vec::new();
        for index in 0..list.count.min(self.size) {
            blocks.push(AgBlock(self.entry(self.wrapped(list.first, index)).map_err(defect)?));
        }
        Ok(blocks)
    }

    /// Takes the first block out of the list; the caller stores `agf`. The AGFL itself does not change.
    pub(crate) fn take(&self, agf: &mut Agf) -> Result<AgBlock> {
        let list = &mut agf.free_list;
        if list.count == 0 {
            return Err(defect(HeaderDefect::ListFull { what: "empty" }).into());
        }
        let block = self.entry(list.first).map_err(defect)?;
        list.first = self.wrapped(list.first, 1);
        list.count = list.count.saturating_sub(1);
        Ok(AgBlock(block))
    }

    /// Puts `block` behind the last one; the caller stores `agf` and this.
    pub(crate) fn put(&mut self, agf: &mut Agf, block: AgBlock) -> Result<()> {
        let list = &mut agf.free_list;
        if list.count >= self.size {
            return Err(defect(HeaderDefect::ListFull { what: "full" }).into());
        }
        list.last = self.wrapped(list.last, 1);
        list.count = list.count.saturating_add(1);
        let at = self.entry_at(list.last);
        Ok(put_be_u32(&mut self.bytes, at, block.0)?)
    }

    /// The index `count` further on, round the ring.
    fn wrapped(&self, index: u32, count: u32) -> u32 {
        index.saturating_add(count).checked_rem(self.size).unwrap_or(0)
    }

    fn entry_at(&self, index: u32) -> usize {
        let start = if self.has_header { ENTRIES_AT } else { 0 };
        let at = start.saturating_add(index.saturating_mul(ENTRY_BYTES));
        usize::try_from(at).unwrap_or(usize::MAX)
    }

    fn entry(&self, index: u32) -> Result<u32, HeaderDefect> {
        Ok(be_u32(&self.bytes, self.entry_at(index))?)
    }
}

fn defect(defect: HeaderDefect) -> Corrupt {
    Corrupt::new(NAME, defect)
}
