//! Values in blocks of their own.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Extended Attributes", section "Remote Values". A value lies in
//! consecutive blocks of the attribute fork. In version 5 each starts with a header ([`PartHeader`]) and holds as much
//! as fits behind it; before, there is none.

use super::VALUE_BYTES_MAX;
use crate::bytes::arith::{self, add, to};
use crate::bytes::field::{self, Short};
use crate::error::{Error, Result};
use crate::fs::xfs::da::{DaBlocks, DaFormat, corrupt, read_mapped};
use crate::fs::xfs::part_header::{HEADER_BYTES, PartDefect, PartHeader, PartPlace};
use crate::fs::xfs::units::FileBlock;

/// "XARM".
const MAGIC: u32 = 0x5841_524d;
/// Bound on the mapped blocks that are skipped to find room for a value.
const BLOCKS_MAX: u64 = 1 << 16;
const STRUCTURE: &str = "remote attribute value";

/// What can be wrong with a block of a remote value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoteDefect {
    /// The header is not that of this block of this value.
    #[error(transparent)]
    Header(#[from] PartDefect),
    /// The block holds another part of a value.
    #[error("holds {bytes} bytes from {offset}, not {expected_bytes} from {expected_offset}")]
    Part {
        /// `rm_offset`.
        offset: u32,
        /// `rm_bytes`.
        bytes: u32,
        /// Where the content must start.
        expected_offset: u32,
        /// How much there must be.
        expected_bytes: u32,
    },
    /// The block is too short.
    #[error(transparent)]
    Short(#[from] Short),
}

/// A part of a value: what one block holds.
#[derive(Debug, Clone, Copy)]
struct Part {
    at: FileBlock,
    offset: u32,
    bytes: u32,
}

fn header_len(format: &DaFormat) -> usize {
    if format.has_crc { HEADER_BYTES } else { 0 }
}

/// The parts of a value of `size_bytes` from `block` on.
fn parts(format: &DaFormat, block: u32, size_bytes: u32) -> Result<Vec<Part>> {
    if size_bytes > VALUE_BYTES_MAX {
        let what = "size of an extended attribute in bytes";
        return Err(Error::limit(what, VALUE_BYTES_MAX.into(), size_bytes.into()));
    }
    let room: u32 = to(format.block_len().saturating_sub(header_len(format)))?;
    let count = size_bytes.checked_div(room).ok_or(arith::OutOfRange)?;
    let mut parts = Vec::new();
    for index in 0..=count {
        let offset = index.saturating_mul(room);
        let bytes = size_bytes.saturating_sub(offset).min(room);
        if bytes > 0 {
            let at = FileBlock(add(u64::from(block), u64::from(index))?);
            parts.push(Part { at, offset, bytes });
        }
    }
    Ok(parts)
}

/// Number of blocks of a value.
///
/// # Errors
/// `Limit` if no value may be so large.
pub(super) fn block_count(format: &DaFormat, size_bytes: u32) -> Result<u64> {
    Ok(arith::len_u64(parts(format, 0, size_bytes)?.len()))
}

/// Reads the value of `size_bytes` that starts in `block`.
///
/// # Errors
/// `Corrupt` if a block is a hole or makes no sense; `Limit` if the value is too large.
pub(super) fn read(blocks: &dyn DaBlocks, block: u32, size_bytes: u32) -> Result<Vec<u8>> {
    let mut value = Vec::new();
    for part in parts(blocks.format(), block, size_bytes)? {
        let bytes = read_mapped(blocks, part.at, STRUCTURE)?;
        let daddr = blocks.daddr(part.at)?;
        let content = parse(&bytes, blocks.format(), daddr, part)
            .map_err(|defect| corrupt(blocks, STRUCTURE, part.at, defect))?;
        value.extend_from_slice(content);
    }
    Ok(value)
}

/// The content of the block that was read at `daddr`.
fn parse<'a>(
    block: &'a [u8],
    format: &DaFormat,
    daddr: u64,
    part: Part,
) -> Result<&'a [u8], RemoteDefect> {
    let header_len = header_len(format);
    let len = usize::try_from(part.bytes).unwrap_or(usize::MAX);
    if format.has_crc {
        check_header(block, format, daddr, part)?;
    }
    Ok(field::slice(block, header_len, len)?)
}

fn check_header(
    block: &[u8],
    format: &DaFormat,
    daddr: u64,
    part: Part,
) -> Result<(), RemoteDefect> {
    let header = PartHeader::parse(block, &place(format, daddr))?;
    let (offset, bytes) = (header.offset_bytes, header.len_bytes);
    if (offset, bytes) == (part.offset, part.bytes) {
        return Ok(());
    }
    let (expected_offset, expected_bytes) = (part.offset, part.bytes);
    Err(RemoteDefect::Part { offset, bytes, expected_offset, expected_bytes })
}

fn place(format: &DaFormat, daddr: u64) -> PartPlace {
    PartPlace { magic: MAGIC, meta_uuid: format.meta_uuid, owner: format.inode, daddr }
}

/// Writes `value` into blocks of its own and gives the first one.
///
/// # Errors
/// `Refused` without space; `Limit` if the value is too large.
pub(super) fn create(blocks: &mut dyn DaBlocks, value: &[u8]) -> Result<u32> {
    let format = *blocks.format();
    let size_bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
    let first = hole(blocks, block_count(&format, size_bytes)?)?;
    for part in parts(&format, first, size_bytes)? {
        blocks.allocate(part.at)?;
        let (from, len) = (to(part.offset)?, to(part.bytes)?);
        let content = field::slice(value, from, len)?;
        let block = encode(content, &format, blocks.daddr(part.at)?, part)?;
        blocks.write(part.at, &block, STRUCTURE)?;
    }
    Ok(first)
}

fn encode(content: &[u8], format: &DaFormat, daddr: u64, part: Part) -> Result<Vec<u8>> {
    let mut block = vec![0; format.block_len()];
    field::put(&mut block, header_len(format), content)?;
    if format.has_crc {
        let header = PartHeader { offset_bytes: part.offset, len_bytes: part.bytes };
        header.seal(&mut block, &place(format, daddr))?;
    }
    Ok(block)
}

/// The first place behind the root where `count` blocks are free.
fn hole(blocks: &dyn DaBlocks, count: u64) -> Result<u32> {
    let mut from: u64 = 1;
    for _ in 0..BLOCKS_MAX {
        match blocks.next_mapped(FileBlock(from))? {
            Some(mapped) if mapped.0 < add(from, count)? => from = add(mapped.0, 1)?,
            _ => return Ok(to(from)?),
        }
    }
    Err(Error::limit("size of an attribute fork in blocks", BLOCKS_MAX, add(BLOCKS_MAX, count)?))
}

/// Frees the blocks of a value.
///
/// # Errors
/// `Corrupt` if one is a hole.
pub(super) fn free(blocks: &mut dyn DaBlocks, block: u32, size_bytes: u32) -> Result<()> {
    for part in parts(blocks.format(), block, size_bytes)? {
        blocks.free(part.at)?;
    }
    Ok(())
}
