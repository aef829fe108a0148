//! Writing the disk of the guest through a block map.
//!
//! The order, and why a power cut between any two writes does no harm:
//!
//! 1. Bytes of a block that the file has are written in place: each sector is old or new.
//! 2. Bytes of a block that the file does not have go into a new block, which no table knows: the guest still
//!    sees zeros, and what is left after a cut is unused room.
//! 3. [`Medium::sync`] makes both durable, then enters the new blocks into the table, then makes that durable.
//!    An entry lies in one sector, so it is there or not, and what it leads to is already complete.
//!
//! After a failure nothing more is written: what was meant to be durable is in doubt, and no table may lead there.

use super::{Allocate, BlockDefect, Place, Source, is_zero, locate, run_len};
use crate::bytes::arith::{self, len_u64};
use crate::disk::check_range;
use crate::disk::medium::{HostMedium, Medium};
use crate::error::{Corrupt, Error, Refusal, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

/// The disk of the guest in a file that is open for writing.
#[derive(Debug)]
pub(crate) struct MappedMedium<M> {
    map: M,
    host: Box<dyn HostMedium>,
    /// New blocks that the table does not have yet: index, and where they start in the file.
    pending: BTreeMap<u64, u64>,
    has_begun: bool,
    has_failed: bool,
}

impl<M: Allocate> MappedMedium<M> {
    /// Writes `host` through `map`.
    pub(crate) fn new(map: M, host: Box<dyn HostMedium>) -> Self {
        Self { map, host, pending: BTreeMap::new(), has_begun: false, has_failed: false }
    }

    /// Notes the blocks of `range`: those that the file has by where they start in it, the others in `missing`.
    fn check_blocks(
        &self,
        range: &Range<u64>,
        blocks: &mut BTreeMap<u64, u64>,
        missing: &mut BTreeSet<u64>,
    ) -> Result<()> {
        let host: &dyn Source = &self.host;
        let mut offset = range.start;
        while offset < range.end {
            let run = locate(&self.map, host, offset)?;
            let index = arith::div(offset, self.map.block_bytes())?;
            match run.place {
                Place::Zeros => {
                    missing.insert(index);
                }
                Place::At(at) | Place::Unwritten(at) => {
                    let inside = arith::rem(offset, self.map.block_bytes())?;
                    let start = arith::sub(at, inside)?;
                    let other = blocks.insert(start, index).unwrap_or(index);
                    check_same(index, other)?;
                }
            }
            offset = arith::add(offset, run.len_bytes)?;
        }
        Ok(())
    }

    /// Checks that so many blocks can be made.
    fn check_room(&self, blocks: usize) -> Result<()> {
        if blocks == 0 {
            return Ok(());
        }
        if !self.host.can_grow() {
            let what = "an image on a device, which cannot become longer, with no block yet where the edit would write";
            return Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into());
        }
        self.map.check_room(&*self.host, len_u64(blocks))
    }

    fn check_not_shared(&self, blocks: &BTreeMap<u64, u64>) -> Result<()> {
        if blocks.is_empty() {
            return Ok(());
        }
        // Two blocks are apart if their first bytes are as far apart as one takes in the file.
        let len_bytes = arith::add(self.map.lead_bytes(), self.map.block_bytes())?;
        self.map.each_block(&self.host, &mut |index, start| {
            let after_first = start.saturating_sub(len_bytes).saturating_add(1);
            let end = start.saturating_add(len_bytes);
            let near = blocks.range(after_first.min(start)..end);
            near.into_iter().try_for_each(|(_, other)| check_same(index, *other))
        })
    }

    /// Writes `bytes`, which do not leave their block.
    fn write_in_block(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let index = arith::div(offset_bytes, self.map.block_bytes())?;
        let mut offset = offset_bytes;
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(start) = self.pending.get(&index) {
                let at = arith::add(*start, arith::rem(offset, self.map.block_bytes())?)?;
                return self.host.write_at(at, rest);
            }
            let run = locate(&self.map, &self.host, offset)?;
            let (head, tail) = rest.split_at(run_len(run, rest.len()));
            self.write_run(run.place, index, offset, head)?;
            offset = arith::add(offset, len_u64(head.len()))?;
            rest = tail;
        }
        Ok(())
    }

    fn write_run(&mut self, place: Place, index: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        match place {
            // Zeros over zeros need no room.
            Place::Zeros | Place::Unwritten(_) if is_zero(bytes) => Ok(()),
            Place::At(at) => {
                self.begin()?;
                self.map.settle(&mut self.host, index)?;
                self.host.write_at(at, bytes)
            }
            Place::Unwritten(at) => {
                let len_bytes = len_u64(bytes.len());
                if !is_zero(&Source::read_vec(&self.host, at, bytes.len())?) {
                    return Err(Corrupt::new("block", BlockDefect::UnwrittenData).at(at).into());
                }
                self.begin()?;
                self.map.claim(&mut self.host, offset..arith::add(offset, len_bytes)?)?;
                self.host.write_at(at, bytes)
            }
            Place::Zeros => {
                self.check_room(1)?;
                self.begin()?;
                let start = self.map.allocate(&mut self.host, index)?;
                self.pending.insert(index, start);
                let at = arith::add(start, arith::rem(offset, self.map.block_bytes())?)?;
                self.host.write_at(at, bytes)
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        if !self.has_begun {
            self.map.begin(&mut self.host)?;
            self.has_begun = true;
        }
        Ok(())
    }

    fn write_blocks(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let block_bytes = self.map.block_bytes();
        let mut offset = offset_bytes;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = arith::sub(block_bytes, arith::rem(offset, block_bytes)?)?;
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let (head, tail) = rest.split_at(len);
            self.write_in_block(offset, head)?;
            offset = arith::add(offset, len_u64(len))?;
            rest = tail;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        self.host.sync()?;
        if !self.pending.is_empty() {
            self.map.publish(&mut self.host, &self.pending)?;
            self.host.sync()?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Lets nothing happen after a failure.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.has_failed {
            return Err(Error::from(io::Error::other("the image is in doubt since a failure")));
        }
        let result = work(self);
        self.has_failed = result.is_err();
        result
    }
}

fn check_same(index: u64, other: u64) -> Result<()> {
    if index == other {
        return Ok(());
    }
    let defect = BlockDefect::Shared { first: index.min(other), second: index.max(other) };
    Err(Corrupt::new("block table", defect).into())
}

impl<M: Allocate> Medium for MappedMedium<M> {
    fn len_bytes(&self) -> u64 {
        self.map.disk_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let block_bytes = self.map.block_bytes();
        check_range(self.map.disk_bytes(), offset_bytes, buffer.len())?;
        let mut offset = offset_bytes;
        let mut rest = buffer;
        while !rest.is_empty() {
            let inside = arith::rem(offset, block_bytes)?;
            let room = usize::try_from(arith::sub(block_bytes, inside)?).unwrap_or(usize::MAX);
            let (head, tail) = rest.split_at_mut(room.min(rest.len()));
            match self.pending.get(&arith::div(offset, block_bytes)?) {
                Some(start) => self.host.read_at(arith::add(*start, inside)?, head)?,
                None => super::read(&self.map, &self.host, &self.host, offset, head)?,
            }
            offset = arith::add(offset, len_u64(head.len()))?;
            rest = tail;
        }
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.map.disk_bytes(), offset_bytes, bytes.len())?;
        self.guard(|medium| medium.write_blocks(offset_bytes, bytes))
    }

    /// Each block has a place that nothing else shares, or can be made.
    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        // Where the blocks that will be written start in the file, and which they are.
        let mut blocks = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for range in ranges {
            self.check_blocks(range, &mut blocks, &mut missing)?;
        }
        self.check_room(missing.len())?;
        self.map.check_tables(&self.host, &blocks)?;
        self.check_not_shared(&blocks)
    }

    fn sync(&mut self) -> Result<()> {
        self.guard(Self::publish)
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.host.drop_cache()
    }
}
