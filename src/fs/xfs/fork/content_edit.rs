//! Writing the content of a regular file, and cutting it off.
//!
//! Whole blocks are put together in memory and then stored: in place where the block is written and nobody
//! else's, else after the fork was made so. Bytes behind the end of a file are zeros in what we write; what the
//! kernel left there (a last block that was longer once, blocks that were allocated in advance) never becomes
//! content.

use super::super::inode::{ForkKind, Inode};
use super::super::space::Run;
use super::super::units::FileBlock;
use super::super::volume::Volume;
use super::content::{ContentDefect, check_content};
use super::{FILE_END, corrupt};
use crate::bytes::arith::{add, div, div_ceil, len_u64, mul, rem, round_up, sub, to};
use crate::bytes::field::{put, slice};
use crate::error::Result;
use crate::fs::xfs::btree::Extent;
use crate::fs::xfs::inode::flag2;

/// Bytes that are put together at once; a multiple of every block size.
const CHUNK_BYTES: u64 = 1 << 20;
/// Largest file: 2^63 - 1 bytes.
const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

impl Volume {
    /// Writes `bytes` at `offset` into a regular file: allocates what is missing, converts what is unwritten, and
    /// copies what is shared. The size grows as needed; times are the caller's, as is storing the inode.
    ///
    /// # Errors
    /// `Refused` - no space, an extent size hint; `Corrupt`; `Unsupported` for a file on a realtime device.
    pub(crate) fn write_content(
        &mut self,
        inode: &mut Inode,
        offset: u64,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        check_content(inode)?;
        let end = add(offset, len_u64(bytes.len()))?;
        if end > SIZE_MAX {
            return Err(corrupt(inode, ForkKind::Data, ContentDefect::Size(end)));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let block_size = self.superblock().block_size();
        self.clear_behind_end(inode, div(offset, block_size)?, what)?;
        let mut position = offset;
        while position < end {
            let start = sub(position, rem(position, block_size)?)?;
            let stop = round_up(end, block_size)?.min(add(start, CHUNK_BYTES)?);
            let mut blocks = vec![0; to(sub(stop, start)?)?];
            if start < position || end < stop {
                let old = self.read_content(inode, start, blocks.len())?;
                put(&mut blocks, 0, &old)?;
            }
            let part_len = to(sub(end.min(stop), position)?)?;
            let part = slice(bytes, to(sub(position, offset)?)?, part_len)?;
            put(&mut blocks, to(sub(position, start)?)?, part)?;
            self.store_blocks(inode, FileBlock(div(start, block_size)?), &blocks, what)?;
            position = stop;
        }
        if end > inode.size_bytes() {
            inode.set_size_bytes(end)?;
        }
        Ok(())
    }

    /// Gives the content the length `size`: frees every block behind it, or lets it grow by a hole. Times are the
    /// caller's, as is storing the inode.
    ///
    /// # Errors
    /// `Refused`, `Corrupt`; `Unsupported` for a file on a realtime device.
    pub(crate) fn cut_content(&mut self, inode: &mut Inode, size: u64, what: &str) -> Result<()> {
        check_content(inode)?;
        if size > SIZE_MAX {
            return Err(corrupt(inode, ForkKind::Data, ContentDefect::Size(size)));
        }
        let block_size = self.superblock().block_size();
        if size > inode.size_bytes() {
            self.clear_behind_end(inode, div_ceil(size, block_size)?, what)?;
            return inode.set_size_bytes(size);
        }
        let from = FileBlock(div_ceil(size, block_size)?);
        self.unmap_blocks(inode, ForkKind::Data, from, FILE_END)?;
        inode.set_size_bytes(size)?;
        let last = div(size, block_size)?;
        if rem(size, block_size)? == 0 || self.is_shared_block(inode, FileBlock(last))? {
            // What is behind the end of a shared block is the content of another file.
            return Ok(());
        }
        self.clear_last_block(inode, what)
    }

    /// Makes sure that the file reads as zeros from its end up to file block `until`, once it is longer.
    fn clear_behind_end(&mut self, inode: &mut Inode, until: u64, what: &str) -> Result<()> {
        let (size, block_size) = (inode.size_bytes(), self.superblock().block_size());
        if div(size, block_size)? < until && rem(size, block_size)? != 0 {
            self.clear_last_block(inode, what)?;
        }
        let from = FileBlock(div_ceil(size, block_size)?);
        if from.0 < until {
            self.unmap_blocks(inode, ForkKind::Data, from, FileBlock(until))?;
        }
        Ok(())
    }

    /// Zeros what is behind the end of the file in its last, partly used block.
    fn clear_last_block(&mut self, inode: &mut Inode, what: &str) -> Result<()> {
        let (size, block_size) = (inode.size_bytes(), self.superblock().block_size());
        let last = FileBlock(div(size, block_size)?);
        let extent = self.find_extent(inode, ForkKind::Data, last)?;
        if extent.is_none_or(|extent| extent.is_unwritten) {
            return Ok(());
        }
        let start = mul(last.0, block_size)?;
        let mut block = self.read_content(inode, start, to(block_size)?)?;
        block.resize(to(block_size)?, 0);
        self.store_blocks(inode, last, &block, what)
    }

    /// True if file block `at` is one that another file has as well.
    fn is_shared_block(&self, inode: &Inode, at: FileBlock) -> Result<bool> {
        let Some(extent) = self.find_extent(inode, ForkKind::Data, at)? else { return Ok(false) };
        let run = Run { start: extent.block_at(at)?, count: 1 };
        Ok(inode.has_flag2(flag2::REFLINK) && !self.shared_in(run)?.is_empty())
    }

    /// Stores whole blocks from file block `at` on.
    fn store_blocks(
        &mut self,
        inode: &mut Inode,
        at: FileBlock,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        let block_size = self.superblock().block_size();
        let (mut at, mut rest) = (at, bytes);
        // Every round stores blocks, or brings those at `at` one step nearer to being stored.
        while !rest.is_empty() {
            let count = div(len_u64(rest.len()), block_size)?;
            let Some(whole) = self.find_extent(inode, ForkKind::Data, at)? else {
                let next = self.next_extent(inode, ForkKind::Data, at)?;
                let room = next.map_or(Ok(count), |next| sub(next.file_block.0, at.0))?;
                self.map_blocks(inode, ForkKind::Data, at, count.min(room))?;
                continue;
            };
            let Some(mut part) = whole.part(at, at.plus(count)?)? else { continue };
            if whole.is_unwritten {
                self.mark_written(inode, &whole, &part)?;
                continue;
            }
            if let Some(shared) = self.first_shared(inode, &part)? {
                if shared.file_block == at {
                    // Not asked again whether these are shared: a count that lies must not keep us here.
                    part = self.part_from_shared(inode, &whole, &shared)?;
                } else {
                    part.count = to(sub(shared.file_block.0, at.0)?)?;
                }
            }
            let len = to(mul(u64::from(part.count), block_size)?)?;
            self.write_blocks(part.start, slice(rest, 0, len)?, what)?;
            rest = rest.get(len..).unwrap_or_default();
            at = FileBlock(part.end());
        }
        Ok(())
    }

    /// The first part of an extent that another file has as well.
    fn first_shared(&self, inode: &Inode, part: &Extent) -> Result<Option<Extent>> {
        if !inode.has_flag2(flag2::REFLINK) {
            return Ok(None);
        }
        let shared = self.shared_in(Run { start: part.start, count: part.count })?;
        let Some(run) = shared.first() else { return Ok(None) };
        let from = part.file_block.plus(sub(run.start.0, part.start.0)?)?;
        part.part(from, from.plus(u64::from(run.count))?)
    }
}
