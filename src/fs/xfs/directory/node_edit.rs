//! Adding and removing names in node form: data blocks, the tree of leaves, the free index.

use super::edit::{has_room, put_data, size_of, take_data};
use super::find::{load_path_leaf, store_leaf};
use super::free_index::FreeBlock;
use super::leaf::{self, Leaf, LeafEntry, NO_BLOCK};
use super::{
    DIRECTORY_BLOCKS_MAX, DirectoryDefect, END_OFFSET_BYTES, FREE_OFFSET_BYTES, ForkChange,
    NewEntry, block_at, data, hash_name, leaf_extent, place_of,
};
use crate::bytes::arith;
use crate::error::{Error, Result};
use crate::fs::xfs::da::tree::{Path, link_behind};
use crate::fs::xfs::da::{DaBlocks, DaFormat, corrupt, read_mapped};
use crate::fs::xfs::units::FileBlock;

const LEAF: &str = "directory leaf";
const FREE: &str = "directory free index";
/// A leaf is split once for a new entry; the second attempt has room.
const ATTEMPTS: usize = 2;

/// Adds an entry that does not exist.
pub(super) fn insert(blocks: &mut dyn DaBlocks, new: &NewEntry<'_>) -> Result<ForkChange> {
    let format = *blocks.format();
    let room = find_room(blocks, data::entry_len(&format, new.name.len()))?;
    let (address, best) = put_data(blocks, room.number, room.is_new, new)?;
    set_free(blocks, room.number, best)?;
    insert_hash(blocks, LeafEntry { hash: hash_name(&format, new.name), address })?;
    size(blocks)
}

/// Removes the entry at `address`, to which leaf entry `index` at the end of `path` leads.
pub(super) fn remove(
    blocks: &mut dyn DaBlocks,
    path: Path,
    index: usize,
    address: u32,
) -> Result<ForkChange> {
    let (number, offset) = place_of(blocks.format(), address)?;
    let best = take_data(blocks, number, offset)?;
    set_free(blocks, number, best)?;
    let (mut leaf, bytes) = load_path_leaf(blocks, &path)?;
    if let Some(entry) = leaf.entries.get_mut(index) {
        entry.address = 0;
    }
    if leaf.is_empty() && !path.is_root() {
        path.remove_leaf(blocks)?;
    } else {
        store_leaf(blocks, path.leaf, &leaf, bytes)?;
    }
    size(blocks)
}

/// Adds a leaf entry, splitting a leaf that is full.
fn insert_hash(blocks: &mut dyn DaBlocks, new: LeafEntry) -> Result<()> {
    let format = *blocks.format();
    for _ in 0..ATTEMPTS {
        let mut path = Path::descend(blocks, leaf_extent(&format), new.hash)?;
        let (mut leaf, bytes) = load_path_leaf(blocks, &path)?;
        if leaf::insert(&mut leaf.entries, new, Leaf::capacity(&format)) {
            store_leaf(blocks, path.leaf, &leaf, bytes)?;
            return path.set_last_hash(blocks, leaf.last_hash());
        }
        split(blocks, path, leaf)?;
    }
    let root = leaf_extent(&format).root;
    Err(corrupt(blocks, LEAF, root, DirectoryDefect::NoRoom))
}

/// Splits the leaf at the end of `path` into halves.
fn split(blocks: &mut dyn DaBlocks, mut path: Path, mut left: Leaf) -> Result<()> {
    if path.is_root() {
        path.raise_root(blocks, left.last_hash())?;
    }
    let new = path.allocate(blocks)?;
    let upper = left.entries.split_off(left.entries.len() / 2);
    let header = link_behind(blocks, path.leaf, left.header, new)?;
    left.header.forw = Some(new);
    let right = Leaf { header, entries: upper, bests: Vec::new() };
    let bytes = read_mapped(blocks, path.leaf, LEAF)?;
    store_leaf(blocks, path.leaf, &left, bytes)?;
    let empty = vec![0; blocks.format().block_len()];
    store_leaf(blocks, new, &right, empty)?;
    path.insert_behind(blocks, new, left.last_hash(), right.last_hash())
}

/// Where a new entry goes.
struct Room {
    /// The data block.
    number: u32,
    /// It is a hole still.
    is_new: bool,
}

/// Where block `index` of the free index is.
fn free_at(format: &DaFormat, index: u32) -> Result<FileBlock> {
    let start = block_at(format, FREE_OFFSET_BYTES);
    start.plus(arith::mul(index.into(), format.blocks_per_da_block())?)
}

/// The first data block that block `index` of the free index is about.
fn first_of(format: &DaFormat, index: u32) -> Result<u32> {
    let capacity = arith::len_u64(FreeBlock::capacity(format));
    Ok(arith::to(arith::mul(index.into(), capacity)?)?)
}

/// Reads block `index` of the free index; `None` if it is a hole.
pub(super) fn load_free(blocks: &dyn DaBlocks, index: u32) -> Result<Option<(FreeBlock, Vec<u8>)>> {
    let format = blocks.format();
    let (at, first) = (free_at(format, index)?, first_of(format, index)?);
    let Some(bytes) = blocks.read(at)? else { return Ok(None) };
    let block = FreeBlock::parse(&bytes, format, blocks.daddr(at)?, first)
        .map_err(|defect| corrupt(blocks, FREE, at, defect))?;
    Ok(Some((block, bytes)))
}

/// Writes block `index` of the free index, which is mapped first if it is a hole.
pub(super) fn store_free(blocks: &mut dyn DaBlocks, index: u32, block: &FreeBlock) -> Result<()> {
    let format = *blocks.format();
    let at = free_at(&format, index)?;
    let mut bytes = if let Some(bytes) = blocks.read(at)? {
        bytes
    } else {
        blocks.allocate(at)?;
        vec![0; format.block_len()]
    };
    block
        .encode(&mut bytes, &format, blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, FREE, at, defect))?;
    blocks.write(at, &bytes, FREE)
}

/// Calls `visit` with the index and content of every block of the free index, in order.
pub(super) fn for_free_blocks(
    blocks: &dyn DaBlocks,
    visit: &mut dyn FnMut(u32, FreeBlock) -> Result<()>,
) -> Result<()> {
    let format = blocks.format();
    let (start, step) = (free_at(format, 0)?, format.blocks_per_da_block());
    let mut from = start;
    for _ in 0..DIRECTORY_BLOCKS_MAX {
        let Some(at) = blocks.next_mapped(from)? else { return Ok(()) };
        let distance = arith::sub(at.0, start.0)?;
        if at >= block_at(format, END_OFFSET_BYTES) || !distance.is_multiple_of(step) {
            return Err(corrupt(blocks, FREE, at, DirectoryDefect::Misplaced(at.0)));
        }
        let index = arith::to(arith::div(distance, step)?)?;
        if let Some((block, _)) = load_free(blocks, index)? {
            visit(index, block)?;
        }
        from = at.plus(step)?;
    }
    let what = format!("size of directory {} in blocks", format.inode);
    Err(Error::limit(what, DIRECTORY_BLOCKS_MAX, DIRECTORY_BLOCKS_MAX.saturating_add(1)))
}

/// The first data block with a free region of `needed` bytes, else the first hole.
fn find_room(blocks: &dyn DaBlocks, needed: usize) -> Result<Room> {
    let format = *blocks.format();
    let capacity = FreeBlock::capacity(&format);
    let mut room = None;
    let mut hole = None;
    let mut next = 0;
    for_free_blocks(blocks, &mut |index, block| {
        if index != next {
            hole = hole.or(Some(first_of(&format, next)?));
        }
        next = index.saturating_add(1);
        let numbered = |index: usize| -> Result<u32> {
            Ok(arith::to(arith::add(block.first.into(), arith::len_u64(index))?)?)
        };
        if let Some(index) = block.bests.iter().position(|best| has_room(*best, needed)) {
            room = room.or(Some(numbered(index)?));
        }
        let free = block.bests.iter().position(|best| *best == NO_BLOCK);
        let free = free.unwrap_or(block.bests.len());
        if free < capacity {
            hole = hole.or(Some(numbered(free)?));
        }
        Ok(())
    })?;
    if let Some(number) = room {
        return Ok(Room { number, is_new: false });
    }
    let end = first_of(&format, next)?;
    Ok(Room { number: hole.unwrap_or(end), is_new: true })
}

/// Tells the free index the largest free region of data block `number`, [`NO_BLOCK`] for a hole. A
/// block of the index without any data block is freed.
fn set_free(blocks: &mut dyn DaBlocks, number: u32, best: u16) -> Result<()> {
    let format = *blocks.format();
    let capacity = arith::len_u64(FreeBlock::capacity(&format));
    let index = arith::to(arith::div(number.into(), capacity)?)?;
    let place = arith::to(arith::rem(number.into(), capacity)?)?;
    let first = first_of(&format, index)?;
    let old = load_free(blocks, index)?.map(|(block, _)| block);
    let mut block = old.clone().unwrap_or(FreeBlock { first, bests: Vec::new() });
    block.set(place, best);
    if old.as_ref() == Some(&block) {
        return Ok(());
    }
    if block.bests.is_empty() && old.is_some() {
        return blocks.free(free_at(&format, index)?);
    }
    store_free(blocks, index, &block)
}

/// The size: to the end of the last data block.
fn size(blocks: &dyn DaBlocks) -> Result<ForkChange> {
    let mut count = 0;
    for_free_blocks(blocks, &mut |_, block| {
        let first: usize = arith::to(block.first)?;
        count = first.saturating_add(block.bests.len());
        Ok(())
    })?;
    size_of(blocks.format(), count)
}
