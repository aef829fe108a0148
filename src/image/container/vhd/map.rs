//! The blocks of a dynamic image: finding them, and making new ones. What may be cut off where is told in [`super`].

use super::super::block_map::{Allocate, BlockMap, Place, Run, Source, check_block};
use super::dynamic::{Dynamic, HEADER_BYTES};
use super::footer::{AtEnd, FOOTER_BYTES, Found};
use crate::bytes::arith::{self, len_u64};
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Refusal, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// The entry of a block that is not there.
const UNUSED: u32 = 0xffff_ffff;

/// Bound on the bytes of a sector bitmap that are looked at for one run: 512 bytes are the bitmap of 2 MiB.
const BITMAP_READ_BYTES_MAX: u64 = 512;

/// How many bytes of the table are read at once when all of it is looked at.
const TABLE_CHUNK_BYTES: u64 = 64 * 1024;

/// The blocks of a dynamic image.
#[derive(Debug)]
pub(super) struct VhdMap {
    header: Dynamic,
    disk_bytes: u64,
    bitmap_bytes: u64,
    /// Parts of the file that no block may touch.
    taken: Vec<(&'static str, Range<u64>)>,
    footer: Vec<u8>,
    at_end: AtEnd,
}

impl VhdMap {
    /// The map of a file whose headers are known.
    ///
    /// # Errors
    /// `Corrupt` if the parts overflow.
    pub(super) fn new(header: Dynamic, found: &Found) -> Result<Self> {
        let header_end = arith::add(header.offset_bytes, len_u64(HEADER_BYTES))?;
        let table_end = arith::add(header.table_offset_bytes, header.table_bytes()?)?;
        let taken = vec![
            ("the copy of the footer", 0..FOOTER_BYTES),
            ("the dynamic disk header", header.offset_bytes..header_end),
            ("the block allocation table", header.table_offset_bytes..table_end),
        ];
        Ok(Self {
            header,
            disk_bytes: found.footer.current_size_bytes,
            bitmap_bytes: header.bitmap_bytes()?,
            taken,
            footer: found.bytes.clone(),
            at_end: found.at_end,
        })
    }

    fn entry_offset(&self, index: u64) -> Result<u64> {
        Ok(arith::add(self.header.table_offset_bytes, arith::mul(index, 4)?)?)
    }

    /// Where the `index`th block of the guest starts in the file, with its bitmap.
    fn block_start(&self, tables: &dyn Source, index: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        tables.read_at(self.entry_offset(index)?, &mut entry)?;
        let sector = u32::from_be_bytes(entry);
        if sector == UNUSED {
            return Ok(None);
        }
        let start = arith::mul(sector.into(), 512)?;
        let room = tables.len_bytes().saturating_sub(self.at_end.footer_bytes());
        check_block(room, &self.taken, start, self.stored_bytes()?)?;
        Ok(Some(start))
    }

    /// What a block takes of the file, in bytes.
    fn stored_bytes(&self) -> Result<u64> {
        Ok(arith::add(self.bitmap_bytes, self.header.block_bytes)?)
    }

    /// Whether the sector at `inside_bytes` of a block is marked as written, and for how many bytes from there on
    /// that is so.
    fn bits(&self, tables: &dyn Source, start: u64, inside_bytes: u64) -> Result<(bool, u64)> {
        let sector = arith::div(inside_bytes, 512)?;
        let sectors = arith::div(self.header.block_bytes, 512)?;
        let first_byte = arith::div(sector, 8)?;
        let bytes_left = arith::sub(arith::div_ceil(sectors, 8)?, first_byte)?;
        let len = arith::to(bytes_left.min(BITMAP_READ_BYTES_MAX))?;
        let bitmap = tables.read_vec(arith::add(start, first_byte)?, len)?;
        let skip: usize = arith::to(arith::rem(sector, 8)?)?;
        let mut bits = bitmap.iter().flat_map(|byte| bits_of(*byte)).skip(skip);
        let is_written = bits.next().unwrap_or(false);
        let same = arith::add(len_u64(bits.take_while(|bit| *bit == is_written).count()), 1)?;
        let end = arith::mul(arith::add(sector, same)?, 512)?.min(self.header.block_bytes);
        Ok((is_written, arith::sub(end, inside_bytes)?))
    }
}

/// The bits of a byte, the most significant first, which belongs to the first sector.
fn bits_of(byte: u8) -> [bool; 8] {
    [0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1].map(|bit| byte & bit != 0)
}

impl BlockMap for VhdMap {
    fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn block_bytes(&self) -> u64 {
        self.header.block_bytes
    }

    fn lead_bytes(&self) -> u64 {
        self.bitmap_bytes
    }

    fn locate(&self, tables: &dyn Source, offset_bytes: u64) -> Result<Run> {
        let index = arith::div(offset_bytes, self.header.block_bytes)?;
        let inside = arith::rem(offset_bytes, self.header.block_bytes)?;
        let Some(start) = self.block_start(tables, index)? else {
            let len_bytes = arith::sub(self.header.block_bytes, inside)?;
            return Ok(Run { place: Place::Zeros, len_bytes });
        };
        let (is_written, len_bytes) = self.bits(tables, start, inside)?;
        let at = arith::add(arith::add(start, self.bitmap_bytes)?, inside)?;
        let place = if is_written { Place::At(at) } else { Place::Unwritten(at) };
        Ok(Run { place, len_bytes })
    }
}

impl Allocate for VhdMap {
    fn begin(&mut self, host: &mut Box<dyn HostMedium>) -> Result<()> {
        if self.at_end == AtEnd::Nothing {
            let end = arith::sub(Source::len_bytes(host), FOOTER_BYTES)?;
            host.write_at(end, &self.footer)?;
            host.sync()?;
            self.at_end = AtEnd::Footer;
        }
        Ok(())
    }

    fn claim(&mut self, host: &mut Box<dyn HostMedium>, guest: Range<u64>) -> Result<()> {
        let index = arith::div(guest.start, self.header.block_bytes)?;
        let Some(start) = self.block_start(host, index)? else { return Ok(()) };
        let first = arith::div(arith::rem(guest.start, self.header.block_bytes)?, 512)?;
        let count = arith::div_ceil(arith::sub(guest.end, guest.start)?, 512)?;
        let end = arith::add(first, count)?;
        let first_byte = arith::div(first, 8)?;
        let at = arith::add(start, first_byte)?;
        let len = arith::to(arith::sub(arith::div_ceil(end, 8)?, first_byte)?)?;
        let mut bitmap = Source::read_vec(host, at, len)?;
        let mut sector = arith::mul(first_byte, 8)?;
        for byte in &mut bitmap {
            for bit in [0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1] {
                if (first..end).contains(&sector) {
                    *byte |= bit;
                }
                sector = arith::add(sector, 1)?;
            }
        }
        host.write_at(at, &bitmap)?;
        host.sync()
    }

    fn check_room(&self, host: &dyn HostMedium, blocks: u64) -> Result<()> {
        let len_bytes = Medium::len_bytes(host);
        let footer = len_bytes.saturating_sub(FOOTER_BYTES);
        let last = arith::add(footer, arith::mul(blocks.saturating_sub(1), self.stored_bytes()?)?)?;
        let what = if self.at_end == AtEnd::OldFooter {
            "a dynamic VHD with a footer of 511 bytes, as made before 2004"
        } else if !len_bytes.is_multiple_of(512) {
            "a dynamic VHD whose file does not end with a sector"
        } else if last >= arith::mul(u64::from(UNUSED), 512)? {
            "a dynamic VHD whose file is full: no block can start behind 2 TiB of it"
        } else {
            return Ok(());
        };
        Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into())
    }

    fn allocate(&mut self, host: &mut Box<dyn HostMedium>, _index: u64) -> Result<u64> {
        // Where the footer is.
        let start = arith::sub(Source::len_bytes(host), FOOTER_BYTES)?;
        let new_end = arith::add(start, self.stored_bytes()?)?;
        host.set_len(arith::add(new_end, FOOTER_BYTES)?)?;
        host.write_at(new_end, &self.footer)?;
        host.sync()?;
        host.write_at(start, &vec![0xff; arith::to(self.bitmap_bytes)?])?;
        Ok(arith::add(start, self.bitmap_bytes)?)
    }

    fn publish(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        blocks: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        for (index, data_start) in blocks {
            let sector = arith::div(arith::sub(*data_start, self.bitmap_bytes)?, 512)?;
            let entry: u32 = arith::to(sector)?;
            host.write_at(self.entry_offset(*index)?, &entry.to_be_bytes())?;
        }
        Ok(())
    }

    fn each_block(
        &self,
        host: &dyn Source,
        visit: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        let entries = arith::div_ceil(self.disk_bytes, self.header.block_bytes)?;
        let len_bytes = arith::mul(entries, 4)?;
        let (mut done, mut index) = (0, 0);
        while done < len_bytes {
            let len = TABLE_CHUNK_BYTES.min(arith::sub(len_bytes, done)?);
            let at = arith::add(self.header.table_offset_bytes, done)?;
            let chunk = host.read_vec(at, arith::to(len)?)?;
            for entry in chunk.as_chunks::<4>().0 {
                let sector = u32::from_be_bytes(*entry);
                if sector != UNUSED {
                    let start = arith::mul(sector.into(), 512)?;
                    visit(index, arith::add(start, self.bitmap_bytes)?)?;
                }
                index = arith::add(index, 1)?;
            }
            done = arith::add(done, len)?;
        }
        Ok(())
    }
}
