//! The structures of a quota file, and the way from an id to its entry.

use super::{QUOTA_BLOCK_BYTES, QuotaBlocks, QuotaDefect, QuotaKind, Usage, corrupt};
use crate::bytes::field::{self, le_u16, le_u32, le_u64, put_le_u16, put_le_u32, put_le_u64};
use crate::error::{Refusal, Result};

/// Block of the root of the tree.
const ROOT_BLOCK: u32 = 1;
/// Levels of the tree: one for each byte of an id.
const LEVELS: usize = 4;
/// Length of the header of a data block in bytes.
const DATA_HEADER_BYTES: usize = 16;
/// Length of an entry in bytes.
const ENTRY_BYTES: usize = 72;
/// Entries of a data block.
const ENTRIES: u16 = 14;

/// The header in block 0.
///
/// | offset | size | spec           | here       | valid when                        |
/// |-------:|-----:|----------------|------------|-----------------------------------|
/// |    0x0 |    4 | dqh_magic      | (checked)  | that of the kind                  |
/// |    0x4 |    4 | dqh_version    | (checked)  | 1                                 |
/// |   0x14 |    4 | dqi_blocks     | blocks     | 2.. up to the blocks of the file  |
/// |   0x18 |    4 | dqi_free_blk   | free_block | 0, or the first free block        |
/// |   0x1C |    4 | dqi_free_entry | free_entry | 0, or the first with a free entry |
pub(super) struct Header {
    kind: QuotaKind,
    bytes: Vec<u8>,
    blocks: u32,
    free_block: u32,
    free_entry: u32,
}

impl Header {
    pub(super) fn read(file: &dyn QuotaBlocks, kind: QuotaKind) -> Result<Self> {
        let bytes = file.read(0)?;
        let (magic, version) = (le_u32(&bytes, 0)?, le_u32(&bytes, 4)?);
        let wanted = match kind {
            QuotaKind::User => 0xd9c0_1f11,
            QuotaKind::Group => 0xd9c0_1927,
            QuotaKind::Project => 0xd9c0_3f14,
        };
        if (magic, version) != (wanted, 1) {
            return Err(corrupt(kind, QuotaDefect::Header { magic, version }));
        }
        let blocks = le_u32(&bytes, 0x14)?;
        let (free_block, free_entry) = (le_u32(&bytes, 0x18)?, le_u32(&bytes, 0x1c)?);
        let block_count = file.block_count();
        if blocks <= ROOT_BLOCK || blocks > block_count {
            return Err(corrupt(kind, QuotaDefect::Block { block: blocks, block_count }));
        }
        Ok(Self { kind, bytes, blocks, free_block, free_entry })
    }

    fn store(&mut self, file: &mut dyn QuotaBlocks) -> Result<()> {
        put_le_u32(&mut self.bytes, 0x14, self.blocks)?;
        put_le_u32(&mut self.bytes, 0x18, self.free_block)?;
        put_le_u32(&mut self.bytes, 0x1c, self.free_entry)?;
        file.write(0, &self.bytes)
    }

    /// Takes a block from the list of free ones, or from the end of the file, and clears it.
    fn take_block(&mut self, file: &mut dyn QuotaBlocks) -> Result<u32> {
        let empty = [0; QUOTA_BLOCK_BYTES];
        let block = self.free_block;
        if block != 0 {
            let free = read_block(file, self.kind, block)?;
            self.free_block = le_u32(&free, 0)?;
            file.write(block, &empty)?;
            return Ok(block);
        }
        let block = self.blocks;
        if block < file.block_count() {
            file.write(block, &empty)?;
        } else if file.append(&empty)? != block {
            let feature = "a quota file that does not end where its header says".to_owned();
            return Err(Refusal::NotWritable { feature }.into());
        }
        self.blocks = block.saturating_add(1);
        Ok(block)
    }
}

fn check_block(file: &dyn QuotaBlocks, kind: QuotaKind, block: u32) -> Result<()> {
    let block_count = file.block_count();
    if block <= ROOT_BLOCK || block >= block_count {
        return Err(corrupt(kind, QuotaDefect::Block { block, block_count }));
    }
    Ok(())
}

fn read_block(file: &dyn QuotaBlocks, kind: QuotaKind, block: u32) -> Result<Vec<u8>> {
    check_block(file, kind, block)?;
    file.read(block)
}

/// Where the tree leads for an id.
pub(super) struct Path {
    /// The tree blocks from the root on, as far as there are any.
    blocks: Vec<u32>,
    /// The data block; 0 if the id has no entry.
    pub(super) data_block: u32,
}

/// Offset of the number for `id` in a tree block of `level`, in bytes.
fn number_offset(id: u32, level: usize) -> usize {
    let byte = id.to_be_bytes().get(level).copied().unwrap_or_default();
    usize::from(byte).saturating_mul(4)
}

/// Follows the tree.
pub(super) fn find(file: &dyn QuotaBlocks, kind: QuotaKind, id: u32) -> Result<Path> {
    let mut blocks = Vec::new();
    let mut next = ROOT_BLOCK;
    for level in 0..LEVELS {
        blocks.push(next);
        next = le_u32(&file.read(next)?, number_offset(id, level))?;
        if next == 0 {
            break;
        }
        check_block(file, kind, next)?;
    }
    Ok(Path { blocks, data_block: next })
}

/// Makes an entry for `id`: finds it a slot, then hangs the data block into the tree.
pub(super) fn insert(
    file: &mut dyn QuotaBlocks,
    header: &mut Header,
    path: &Path,
    id: u32,
) -> Result<(Data, Slot)> {
    let (data, slot) = take_slot(file, header, id)?;
    let mut child = data.block;
    for level in (path.blocks.len()..LEVELS).rev() {
        let block = header.take_block(file)?;
        let mut bytes = vec![0; QUOTA_BLOCK_BYTES];
        put_le_u32(&mut bytes, number_offset(id, level), child)?;
        file.write(block, &bytes)?;
        child = block;
    }
    if let (Some(&parent), Some(level)) = (path.blocks.last(), path.blocks.len().checked_sub(1)) {
        let mut bytes = file.read(parent)?;
        put_le_u32(&mut bytes, number_offset(id, level), child)?;
        file.write(parent, &bytes)?;
    }
    header.store(file)?;
    data.store(file)?;
    Ok((data, slot))
}

/// A free slot in the first data block that has one, or in a new data block.
fn take_slot(file: &mut dyn QuotaBlocks, header: &mut Header, id: u32) -> Result<(Data, Slot)> {
    if header.free_entry == 0 {
        header.free_entry = header.take_block(file)?;
    }
    let mut data = Data::read(file, header.kind, header.free_entry)?;
    let Some(slot) = data.free_slot()? else {
        return Err(data.entry_count_defect()?);
    };
    let count = data.count()?.saturating_add(1);
    put_le_u16(&mut data.bytes, 8, count)?;
    if count >= ENTRIES {
        // A full block leaves the list of those with free entries, at whose head it stands.
        let next = le_u32(&data.bytes, 0)?;
        header.free_entry = next;
        put_le_u32(&mut data.bytes, 0, 0)?;
        put_le_u32(&mut data.bytes, 4, 0)?;
        if next != 0 {
            let mut following = read_block(file, header.kind, next)?;
            put_le_u32(&mut following, 4, 0)?;
            file.write(next, &following)?;
        }
    }
    data.set_usage(slot, id, Usage::default())?;
    Ok((data, slot))
}

/// A data block.
///
/// | offset | size | spec           | here        | valid when                                    |
/// |-------:|-----:|----------------|-------------|-----------------------------------------------|
/// |    0x0 |    4 | dqdh_next_free | (list)      | 0, or the next block with a free entry        |
/// |    0x4 |    4 | dqdh_prev_free | (list)      | 0, or the block before in that list           |
/// |    0x8 |    2 | dqdh_entries   | count       | 0..=14                                        |
/// |   0x10 |   72 | (entries)      | slots       | 14 of them; all zeros means free              |
///
/// An entry:
///
/// | offset | size | spec          | here              | valid when                     |
/// |-------:|-----:|---------------|-------------------|--------------------------------|
/// |    0x0 |    4 | dqb_id        | id                | any                            |
/// |   0x18 |    8 | dqb_curinodes | usage.inode_count | any                            |
/// |   0x30 |    8 | dqb_curspace  | usage.space_bytes | any                            |
/// |   0x40 |    8 | dqb_itime     | (mark)            | 1 keeps an empty entry of id 0 |
/// |        |      |               |                   | from being all zeros           |
pub(super) struct Data {
    kind: QuotaKind,
    block: u32,
    bytes: Vec<u8>,
}

/// Offset of an entry in its data block, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    fn all() -> impl Iterator<Item = Self> {
        (0..usize::from(ENTRIES))
            .map(|index| Self(DATA_HEADER_BYTES.saturating_add(index.saturating_mul(ENTRY_BYTES))))
    }

    fn at(self, offset: usize) -> usize {
        self.0.saturating_add(offset)
    }
}

impl Data {
    pub(super) fn read(file: &dyn QuotaBlocks, kind: QuotaKind, block: u32) -> Result<Self> {
        Ok(Self { kind, block, bytes: read_block(file, kind, block)? })
    }

    pub(super) fn store(&self, file: &mut dyn QuotaBlocks) -> Result<()> {
        file.write(self.block, &self.bytes)
    }

    fn count(&self) -> Result<u16> {
        Ok(le_u16(&self.bytes, 8)?)
    }

    fn entry(&self, slot: Slot) -> Result<&[u8]> {
        Ok(field::slice(&self.bytes, slot.0, ENTRY_BYTES)?)
    }

    fn is_free(&self, slot: Slot) -> Result<bool> {
        Ok(self.entry(slot)?.iter().all(|&byte| byte == 0))
    }

    /// A free slot, if the block also counts one.
    fn free_slot(&self) -> Result<Option<Slot>> {
        if self.count()? != self.used()? {
            return Ok(None);
        }
        for slot in Slot::all() {
            if self.is_free(slot)? {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn used(&self) -> Result<u16> {
        let mut found = 0u16;
        for slot in Slot::all() {
            found = found.saturating_add(u16::from(!self.is_free(slot)?));
        }
        Ok(found)
    }

    fn entry_count_defect(&self) -> Result<crate::error::Error> {
        let (block, count, found) = (self.block, self.count()?, self.used()?);
        Ok(corrupt(self.kind, QuotaDefect::EntryCount { block, count, found }))
    }

    /// The slot of `id`.
    pub(super) fn find(&self, id: u32) -> Result<Slot> {
        for slot in Slot::all() {
            if !self.is_free(slot)? && le_u32(self.entry(slot)?, 0)? == id {
                return Ok(slot);
            }
        }
        Err(corrupt(self.kind, QuotaDefect::NoEntry { id, block: self.block }))
    }

    pub(super) fn usage(&self, slot: Slot) -> Result<Usage> {
        Ok(Usage {
            inode_count: le_u64(&self.bytes, slot.at(0x18))?,
            space_bytes: le_u64(&self.bytes, slot.at(0x30))?,
        })
    }

    pub(super) fn set_usage(&mut self, slot: Slot, id: u32, usage: Usage) -> Result<()> {
        put_le_u32(&mut self.bytes, slot.at(0), id)?;
        put_le_u64(&mut self.bytes, slot.at(0x18), usage.inode_count)?;
        put_le_u64(&mut self.bytes, slot.at(0x30), usage.space_bytes)?;
        if self.is_free(slot)? {
            put_le_u64(&mut self.bytes, slot.at(0x40), 1)?;
        }
        Ok(())
    }
}
