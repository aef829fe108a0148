//! Adding and removing names, in all forms up to the single leaf.

use super::find::{Index, find, load_leaf, parse_data, store_leaf};
use super::free_index::{FreeBlock, set_best};
use super::leaf::{self, Leaf, LeafEntry, NO_BLOCK};
use super::short::{Short, first_offset};
use super::{
    DirectoryDefect, Entry, ForkChange, Form, NewEntry, address_of, block, data, data_at, form,
    hash_name, leaf_extent, node_edit, place_of, short_corrupt,
};
use crate::bytes::arith;
use crate::error::Result;
use crate::fs::xfs::da::header::{BlockKind, DaHeader, DaKind};
use crate::fs::xfs::da::{DaBlocks, DaFormat, corrupt, read_mapped};
use crate::fs::xfs::units::{FileBlock, InodeNumber};
use crate::fs::{NodeKind, entry_name};

const DATA: &str = "directory block";

/// The fork of a new directory.
///
/// # Errors
/// `Corrupt`, never for a directory without entries.
pub(crate) fn empty_short(format: &DaFormat, parent: InodeNumber) -> Result<Vec<u8>> {
    Short::new(parent).encode(format).map_err(|defect| short_corrupt(format, defect))
}

/// Adds an entry to a directory inside its inode, whose data fork has `room` bytes. `None` if it
/// does not fit: then [`convert_short`] and [`insert`] are to be used.
///
/// # Errors
/// `Refused` if the name exists or cannot be a name; `Corrupt`.
pub(crate) fn insert_short(
    format: &DaFormat,
    bytes: &[u8],
    room: usize,
    new: &NewEntry<'_>,
) -> Result<Option<ForkChange>> {
    entry_name::check(new.name)?;
    let mut short = Short::parse(bytes, format).map_err(|defect| short_corrupt(format, defect))?;
    if short.find(format, new.name).is_some() {
        return Err(entry_name::exists(new.name));
    }
    let fits = short.insert(format, &stored(format, new), room);
    if !fits.map_err(|defect| short_corrupt(format, defect))? {
        return Ok(None);
    }
    let bytes = short.encode(format).map_err(|defect| short_corrupt(format, defect))?;
    Ok(Some(ForkChange::Short(bytes)))
}

/// Removes an entry of a directory inside its inode and gives what it was.
///
/// # Errors
/// `NotFound`; `Refused` for `.` and `..`; `Corrupt`.
pub(crate) fn remove_short(
    format: &DaFormat,
    bytes: &[u8],
    name: &[u8],
) -> Result<(Entry, ForkChange)> {
    entry_name::check(name)?;
    let mut short = Short::parse(bytes, format).map_err(|defect| short_corrupt(format, defect))?;
    let index = short.find(format, name).ok_or_else(|| entry_name::missing(name))?;
    let removed = short.entries.remove(index).entry;
    let bytes = short.encode(format).map_err(|defect| short_corrupt(format, defect))?;
    Ok((removed, ForkChange::Short(bytes)))
}

/// Moves a directory out of its inode, into one block. The fork must map nothing.
///
/// # Errors
/// `Refused` without space; `Corrupt`.
pub(crate) fn convert_short(blocks: &mut dyn DaBlocks, bytes: &[u8]) -> Result<ForkChange> {
    let format = *blocks.format();
    let short = Short::parse(bytes, &format).map_err(|defect| short_corrupt(&format, defect))?;
    let dot = NewEntry::new(b".", format.inode, NodeKind::Directory);
    let dot_dot = NewEntry::new(b"..", short.parent, NodeKind::Directory);
    let dot_dot_at = first_offset(&format).saturating_sub(data::entry_len(&format, 2));
    let mut entries = vec![(data::header_len(&format), dot), (dot_dot_at, dot_dot)];
    entries.extend(short.entries.iter().map(|short| {
        let Entry { name, inode, file_type } = &short.entry;
        (short.offset, NewEntry { name, inode: *inode, file_type: *file_type })
    }));
    let at = FileBlock(0);
    blocks.allocate(at)?;
    let bytes = block::build(&format, blocks.daddr(at)?, &entries)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    blocks.write(at, &bytes, DATA)?;
    size_of(&format, 1)
}

/// Adds an entry; the directory takes the next form where it must.
///
/// # Errors
/// `Refused` if the name exists or cannot be a name, or without space; `Corrupt`.
pub(crate) fn insert(blocks: &mut dyn DaBlocks, new: &NewEntry<'_>) -> Result<ForkChange> {
    entry_name::check(new.name)?;
    if find(blocks, new.name)?.is_some() {
        return Err(entry_name::exists(new.name));
    }
    let new = stored(blocks.format(), new);
    match form(blocks)? {
        Form::Block => insert_block(blocks, &new),
        Form::Leaf => insert_leaf(blocks, &new),
        Form::Node => node_edit::insert(blocks, &new),
    }
}

/// Removes an entry and gives what it was.
///
/// # Errors
/// `NotFound`; `Refused` for `.` and `..`; `Corrupt`.
pub(crate) fn remove(blocks: &mut dyn DaBlocks, name: &[u8]) -> Result<(Entry, ForkChange)> {
    entry_name::check(name)?;
    let place = find(blocks, name)?.ok_or_else(|| entry_name::missing(name))?;
    let change = match place.index {
        Index::Block(index) => remove_block(blocks, index)?,
        Index::Leaf(index) => remove_leaf(blocks, index, place.address)?,
        Index::Node { path, index } => node_edit::remove(blocks, *path, index, place.address)?,
    };
    Ok((place.entry, change))
}

/// The entry as this volume stores it.
fn stored<'a>(format: &DaFormat, new: &NewEntry<'a>) -> NewEntry<'a> {
    NewEntry { file_type: if format.has_file_type { new.file_type } else { 0 }, ..*new }
}

/// The size of a directory with `count` data blocks, holes included.
pub(super) fn size_of(format: &DaFormat, count: usize) -> Result<ForkChange> {
    let size_bytes = arith::mul(arith::len_u64(count), format.da_block_size_bytes.into())?;
    Ok(ForkChange::Blocks { size_bytes })
}

fn insert_block(blocks: &mut dyn DaBlocks, new: &NewEntry<'_>) -> Result<ForkChange> {
    let (format, at) = (*blocks.format(), FileBlock(0));
    let daddr = blocks.daddr(at)?;
    let mut bytes = read_mapped(blocks, at, DATA)?;
    let is_inserted = block::insert(&mut bytes, &format, daddr, new)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    if is_inserted {
        blocks.write(at, &bytes, DATA)?;
        return size_of(&format, 1);
    }
    convert_block(blocks, bytes)?;
    insert_leaf(blocks, new)
}

fn remove_block(blocks: &mut dyn DaBlocks, index: usize) -> Result<ForkChange> {
    let (format, at) = (*blocks.format(), FileBlock(0));
    let daddr = blocks.daddr(at)?;
    let mut bytes = read_mapped(blocks, at, DATA)?;
    block::remove(&mut bytes, &format, daddr, index)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    blocks.write(at, &bytes, DATA)?;
    size_of(&format, 1)
}

/// Gives the leaf entries of a directory of one block a leaf of their own.
fn convert_block(blocks: &mut dyn DaBlocks, mut bytes: Vec<u8>) -> Result<()> {
    let (format, at) = (*blocks.format(), FileBlock(0));
    let daddr = blocks.daddr(at)?;
    let entries = block::into_data(&mut bytes, &format, daddr)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    let best = data::best(&bytes, &format).map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    blocks.write(at, &bytes, DATA)?;
    let root = leaf_extent(&format).root;
    blocks.allocate(root)?;
    let header = DaHeader::new(DaKind::DirectoryLeaf);
    let leaf = Leaf { header, entries, bests: vec![best] };
    store_leaf(blocks, root, &leaf, vec![0; format.block_len()])
}

fn insert_leaf(blocks: &mut dyn DaBlocks, new: &NewEntry<'_>) -> Result<ForkChange> {
    let format = *blocks.format();
    let root = leaf_extent(&format).root;
    let (mut leaf, bytes) = load_leaf(blocks, root, DaKind::DirectoryLeaf)?;
    let needed = data::entry_len(&format, new.name.len());
    let hole = leaf.bests.iter().position(|best| *best == NO_BLOCK);
    let room = leaf.bests.iter().position(|best| has_room(*best, needed));
    let number = room.or(hole).unwrap_or(leaf.bests.len());
    let blocks_count = leaf.bests.len().max(number.saturating_add(1));
    let capacity = Leaf::single_capacity(&format, blocks_count);
    let live = leaf.entries.len().saturating_sub(leaf::stale_count(&leaf.entries));
    if live >= capacity {
        convert_leaf(blocks, leaf, bytes)?;
        return node_edit::insert(blocks, new);
    }
    let (address, best) = put_data(blocks, arith::to(number)?, room.is_none(), new)?;
    set_best(&mut leaf.bests, number, best);
    let entry = LeafEntry { hash: hash_name(&format, new.name), address };
    leaf::insert(&mut leaf.entries, entry, capacity);
    store_leaf(blocks, root, &leaf, bytes)?;
    size_of(&format, leaf.bests.len())
}

fn remove_leaf(blocks: &mut dyn DaBlocks, index: usize, address: u32) -> Result<ForkChange> {
    let format = *blocks.format();
    let root = leaf_extent(&format).root;
    let (mut leaf, bytes) = load_leaf(blocks, root, DaKind::DirectoryLeaf)?;
    let (number, offset) = place_of(&format, address)?;
    let best = take_data(blocks, number, offset)?;
    set_best(&mut leaf.bests, arith::to(number)?, best);
    if let Some(entry) = leaf.entries.get_mut(index) {
        entry.address = 0;
    }
    store_leaf(blocks, root, &leaf, bytes)?;
    size_of(&format, leaf.bests.len())
}

/// Makes a single leaf the first of a tree; the free space goes to a free index.
fn convert_leaf(blocks: &mut dyn DaBlocks, mut leaf: Leaf, bytes: Vec<u8>) -> Result<()> {
    let root = leaf_extent(blocks.format()).root;
    let free = FreeBlock { first: 0, bests: std::mem::take(&mut leaf.bests) };
    leaf.header.kind = DaKind::DirectoryNodeLeaf;
    store_leaf(blocks, root, &leaf, bytes)?;
    node_edit::store_free(blocks, 0, &free)
}

/// True if a data block whose largest free region is `best` has room.
pub(super) fn has_room(best: u16, needed: usize) -> bool {
    best != NO_BLOCK && usize::from(best) >= needed
}

/// Puts an entry into data block `number`, which is mapped first if it is new. Gives the address of
/// the entry, and the largest free region that is left.
pub(super) fn put_data(
    blocks: &mut dyn DaBlocks,
    number: u32,
    is_new: bool,
    new: &NewEntry<'_>,
) -> Result<(u32, u16)> {
    let format = *blocks.format();
    let at = data_at(&format, number)?;
    let mut bytes = vec![0; format.block_len()];
    if is_new {
        blocks.allocate(at)?;
        data::clear(&mut bytes, &format, format.block_len())
            .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    } else {
        bytes = read_mapped(blocks, at, DATA)?;
        parse_data(blocks, number, &bytes)?;
    }
    let offset = data::insert(&mut bytes, &format, format.block_len(), new)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?
        .ok_or_else(|| corrupt(blocks, DATA, at, DirectoryDefect::Room { block: number }))?;
    let best = store_data(blocks, at, bytes)?;
    Ok((address_of(&format, number, offset)?, best))
}

/// Takes the entry at `offset` out of data block `number`, which is freed if it becomes empty. Gives
/// the largest free region, or [`NO_BLOCK`].
pub(super) fn take_data(blocks: &mut dyn DaBlocks, number: u32, offset: usize) -> Result<u16> {
    let format = *blocks.format();
    let at = data_at(&format, number)?;
    let mut bytes = read_mapped(blocks, at, DATA)?;
    parse_data(blocks, number, &bytes)?;
    let removed = data::remove(&mut bytes, &format, format.block_len(), offset)
        .and_then(|()| data::parse(&bytes, &format, format.block_len()))
        .map(|records| data::is_empty(&records));
    // The first block holds `.` and `..`, and must stay.
    if removed.map_err(|defect| corrupt(blocks, DATA, at, defect))? && number != 0 {
        blocks.free(at)?;
        return Ok(NO_BLOCK);
    }
    store_data(blocks, at, bytes)
}

/// Writes a data block and gives its largest free region.
fn store_data(blocks: &mut dyn DaBlocks, at: FileBlock, mut bytes: Vec<u8>) -> Result<u16> {
    let format = *blocks.format();
    BlockKind::Data
        .seal(&mut bytes, &format, blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))?;
    blocks.write(at, &bytes, DATA)?;
    data::best(&bytes, &format).map_err(|defect| corrupt(blocks, DATA, at, defect))
}
