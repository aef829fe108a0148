//! Finding and listing names.

use super::block;
use super::data::{self, DataDefect, Record};
use super::leaf::{Leaf, LeafDefect, LeafEntry};
use super::short::Short;
use super::{
    DIRECTORY_BLOCKS_MAX, DirectoryDefect, Entry, Form, data_at, form, hash_name, is_same_name,
    leaf_extent, place_of, short_corrupt,
};
use crate::bytes::arith;
use crate::error::{Error, Result};
use crate::fs::xfs::da::header::{BlockKind, DaKind};
use crate::fs::xfs::da::tree::Path;
use crate::fs::xfs::da::{DaBlocks, DaFormat, corrupt, read_mapped};
use crate::fs::xfs::units::FileBlock;
use std::ops::ControlFlow;

/// What a visitor of entries gives.
pub(crate) type Visited = Result<ControlFlow<()>>;

const DATA: &str = "directory block";
const LEAF: &str = "directory leaf";

/// Finds `name` in a directory inside its inode. `.` and `..` are names like any other.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn lookup_short(format: &DaFormat, bytes: &[u8], name: &[u8]) -> Result<Option<Entry>> {
    let mut found = None;
    visit_short(format, bytes, &mut |entry| {
        let is_found = is_same_name(format, &entry.name, name);
        found = is_found.then(|| entry.clone());
        Ok(if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// Calls `visit` for every entry of a directory inside its inode, `.` and `..` included, until it
/// breaks.
///
/// # Errors
/// `Corrupt`; the error of `visit`.
pub(crate) fn visit_short(
    format: &DaFormat,
    bytes: &[u8],
    visit: &mut dyn FnMut(&Entry) -> Visited,
) -> Result<()> {
    let short = Short::parse(bytes, format).map_err(|defect| short_corrupt(format, defect))?;
    let file_type = if format.has_file_type { 2 } else { 0 };
    let dot = Entry { name: b".".to_vec(), inode: format.inode, file_type };
    let dot_dot = Entry { name: b"..".to_vec(), inode: short.parent, file_type };
    for entry in [&dot, &dot_dot].into_iter().chain(short.entries.iter().map(|it| &it.entry)) {
        if visit(entry)?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Finds `name` by its hash. `.` and `..` are names like any other.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn lookup(blocks: &dyn DaBlocks, name: &[u8]) -> Result<Option<Entry>> {
    Ok(find(blocks, name)?.map(|place| place.entry))
}

/// Calls `visit` for every entry, `.` and `..` included, until it breaks.
///
/// # Errors
/// `Corrupt`; the error of `visit`.
pub(crate) fn visit(blocks: &dyn DaBlocks, visit: &mut dyn FnMut(&Entry) -> Visited) -> Result<()> {
    let is_block = form(blocks)? == Form::Block;
    for_data_blocks(blocks, &mut |number, bytes| {
        let records = if is_block && number == 0 {
            parse_block(blocks, bytes)?.1
        } else {
            parse_data(blocks, number, bytes)?
        };
        for record in records {
            if let Some(entry) = entry_of(&record)
                && visit(&entry)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Calls `visit` with the number and content of every data block, in order.
pub(super) fn for_data_blocks(
    blocks: &dyn DaBlocks,
    visit: &mut dyn FnMut(u32, &[u8]) -> Visited,
) -> Result<()> {
    let format = blocks.format();
    let (step, end) = (format.blocks_per_da_block(), leaf_extent(format).root);
    let mut from = FileBlock(0);
    for _ in 0..DIRECTORY_BLOCKS_MAX {
        let Some(at) = blocks.next_mapped(from)?.filter(|at| *at < end) else { return Ok(()) };
        if !at.0.is_multiple_of(step) {
            return Err(corrupt(blocks, DATA, at, DirectoryDefect::Misplaced(at.0)));
        }
        let number = arith::to(arith::div(at.0, step)?)?;
        if visit(number, &read_mapped(blocks, at, DATA)?)?.is_break() {
            return Ok(());
        }
        from = at.plus(step)?;
    }
    let what = format!("size of directory {} in blocks", format.inode);
    Err(Error::limit(what, DIRECTORY_BLOCKS_MAX, DIRECTORY_BLOCKS_MAX.saturating_add(1)))
}

/// The entry in a record, if it is one.
pub(super) fn entry_of(record: &Record<'_>) -> Option<Entry> {
    let used = record.used?;
    Some(Entry { name: used.name.to_vec(), inode: used.inode, file_type: used.file_type })
}

/// Parses a directory of one block.
pub(super) fn parse_block<'a>(
    blocks: &dyn DaBlocks,
    bytes: &'a [u8],
) -> Result<(block::BlockLeaf, Vec<Record<'a>>)> {
    let at = FileBlock(0);
    block::parse(bytes, blocks.format(), blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, DATA, at, defect))
}

/// Parses data block `number`.
pub(super) fn parse_data<'a>(
    blocks: &dyn DaBlocks,
    number: u32,
    bytes: &'a [u8],
) -> Result<Vec<Record<'a>>> {
    let format = blocks.format();
    let at = data_at(format, number)?;
    let daddr = blocks.daddr(at)?;
    let parsed = BlockKind::Data
        .check(bytes, format, daddr)
        .map_err(DataDefect::from)
        .and_then(|()| data::parse(bytes, format, bytes.len()));
    parsed.map_err(|defect| corrupt(blocks, DATA, at, defect))
}

/// Reads the leaf at `at`, which must be of `kind`.
pub(super) fn load_leaf(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    kind: DaKind,
) -> Result<(Leaf, Vec<u8>)> {
    let bytes = read_mapped(blocks, at, LEAF)?;
    let leaf = Leaf::parse(&bytes, blocks.format(), blocks.daddr(at)?, kind)
        .map_err(|defect| corrupt(blocks, LEAF, at, defect))?;
    Ok((leaf, bytes))
}

/// Reads the leaf at the end of `path`, and compares it with its parent.
pub(super) fn load_path_leaf(blocks: &dyn DaBlocks, path: &Path) -> Result<(Leaf, Vec<u8>)> {
    let (leaf, bytes) = load_leaf(blocks, path.leaf, DaKind::DirectoryNodeLeaf)?;
    let actual = leaf.last_hash();
    match path.last_hash() {
        Some(expected) if expected != actual => {
            let defect = LeafDefect::LastHash { actual, expected };
            Err(corrupt(blocks, LEAF, path.leaf, defect))
        }
        _ => Ok((leaf, bytes)),
    }
}

/// Writes a leaf over `bytes`, the content of `at`.
pub(super) fn store_leaf(
    blocks: &mut dyn DaBlocks,
    at: FileBlock,
    leaf: &Leaf,
    mut bytes: Vec<u8>,
) -> Result<()> {
    let format = *blocks.format();
    leaf.encode(&mut bytes, &format, blocks.daddr(at)?)
        .map_err(|defect| corrupt(blocks, LEAF, at, defect))?;
    blocks.write(at, &bytes, LEAF)
}

/// Where an entry is, in the data and in the index.
#[derive(Debug)]
pub(super) struct Place {
    /// What was found.
    pub(super) entry: Entry,
    /// Its address, in units of 8 bytes.
    pub(super) address: u32,
    /// The leaf entry that leads to it.
    pub(super) index: Index,
}

/// The place of a leaf entry.
#[derive(Debug)]
pub(super) enum Index {
    /// In a directory of one block: its index.
    Block(usize),
    /// In a single leaf: its index.
    Leaf(usize),
    /// In a leaf of a tree.
    Node {
        /// The way to the leaf.
        path: Box<Path>,
        /// Its index there.
        index: usize,
    },
}

/// Finds `name`.
pub(super) fn find(blocks: &dyn DaBlocks, name: &[u8]) -> Result<Option<Place>> {
    match form(blocks)? {
        Form::Block => {
            let at = FileBlock(0);
            let bytes = read_mapped(blocks, at, DATA)?;
            let (leaf, records) = parse_block(blocks, &bytes)?;
            let found = search(blocks, name, &leaf.entries, &|leaf_entry, offset, number| {
                let records = if number == 0 { records.as_slice() } else { &[] };
                pick(blocks, at, records, leaf_entry, offset)
            })?;
            Ok(found.map(|(index, place)| Place { index: Index::Block(index), ..place }))
        }
        Form::Leaf => {
            let root = leaf_extent(blocks.format()).root;
            let (leaf, _) = load_leaf(blocks, root, DaKind::DirectoryLeaf)?;
            let found = search_data(blocks, name, &leaf.entries)?;
            Ok(found.map(|(index, place)| Place { index: Index::Leaf(index), ..place }))
        }
        Form::Node => find_in_tree(blocks, name),
    }
}

fn find_in_tree(blocks: &dyn DaBlocks, name: &[u8]) -> Result<Option<Place>> {
    let hash = hash_name(blocks.format(), name);
    let mut path = Path::descend(blocks, leaf_extent(blocks.format()), hash)?;
    loop {
        let (leaf, _) = load_path_leaf(blocks, &path)?;
        if let Some((index, place)) = search_data(blocks, name, &leaf.entries)? {
            return Ok(Some(Place { index: Index::Node { path: Box::new(path), index }, ..place }));
        }
        // Names with one hash can fill several leaves.
        if leaf.last_hash() != hash || !path.advance(blocks)? {
            return Ok(None);
        }
    }
}

/// Searches leaf entries whose names are in data blocks.
fn search_data(
    blocks: &dyn DaBlocks,
    name: &[u8],
    entries: &[LeafEntry],
) -> Result<Option<(usize, Place)>> {
    search(blocks, name, entries, &|leaf_entry, offset, number| {
        let at = data_at(blocks.format(), number)?;
        let bytes = read_mapped(blocks, at, DATA)?;
        pick(blocks, at, &parse_data(blocks, number, &bytes)?, leaf_entry, offset)
    })
}

/// Searches leaf entries; `resolve` gives the entry for a leaf entry, its offset and data block.
fn search(
    blocks: &dyn DaBlocks,
    name: &[u8],
    entries: &[LeafEntry],
    resolve: &dyn Fn(LeafEntry, usize, u32) -> Result<Entry>,
) -> Result<Option<(usize, Place)>> {
    let format = blocks.format();
    let hash = hash_name(format, name);
    let start = entries.partition_point(|entry| entry.hash < hash);
    let same = entries.iter().enumerate().skip(start);
    for (index, found) in same.take_while(|(_, entry)| entry.hash == hash) {
        if found.is_stale() {
            continue;
        }
        let (number, offset) = place_of(format, found.address)?;
        let entry = resolve(*found, offset, number)?;
        if is_same_name(format, &entry.name, name) {
            let address = found.address;
            return Ok(Some((index, Place { entry, address, index: Index::Leaf(index) })));
        }
    }
    Ok(None)
}

/// The entry at `offset`, to which `leaf_entry` leads.
pub(super) fn pick(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    records: &[Record<'_>],
    leaf_entry: LeafEntry,
    offset: usize,
) -> Result<Entry> {
    let LeafEntry { hash, address } = leaf_entry;
    let index = records.binary_search_by_key(&offset, |record| record.offset);
    let record = index.ok().and_then(|index| records.get(index));
    let Some(entry) = record.and_then(entry_of) else {
        return Err(corrupt(blocks, DATA, at, DirectoryDefect::Dangling { hash, address }));
    };
    let actual = hash_name(blocks.format(), &entry.name);
    if actual == hash {
        return Ok(entry);
    }
    Err(corrupt(blocks, DATA, at, DirectoryDefect::Hash { stored: hash, actual }))
}
