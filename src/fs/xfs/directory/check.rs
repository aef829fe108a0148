//! A check of a whole directory: what must hold between its blocks.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Directories". Each block is checked by its own
//! parser; here the entries are compared with the leaf entries, the free space with the index of
//! it, and the blocks that are mapped with those that belong to the tree.

use super::data::{self, Record};
use super::find::{
    Visited, entry_of, for_data_blocks, load_leaf, load_path_leaf, parse_block, parse_data,
};
use super::leaf::{Leaf, LeafDefect, LeafEntry, NO_BLOCK};
use super::node_edit::for_free_blocks;
use super::short::Short;
use super::{DirectoryDefect, Form, address_of, form, hash_name, leaf_extent, short_corrupt};
use crate::bytes::arith;
use crate::error::{Corrupt, Error, Result};
use crate::fs::xfs::da::header::DaKind;
use crate::fs::xfs::da::tree::Path;
use crate::fs::xfs::da::walk::walk;
use crate::fs::xfs::da::{DaBlocks, DaFormat, corrupt};
use crate::fs::xfs::units::{FileBlock, InodeNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// What does not fit together in a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckDefect {
    /// `.` and `..` are not the first two entries, or `.` is another inode.
    #[error("does not start with \".\" and \"..\"")]
    NoDots,
    /// An entry has no leaf entry, or a leaf entry no entry.
    #[error("leaf entry {hash:#010x} to address {address:#x} has no counterpart")]
    Unpaired {
        /// Its hash.
        hash: u32,
        /// Its address, in units of 8 bytes.
        address: u32,
    },
    /// The index has another free space for a data block.
    #[error("data block {block} has {actual:?} bytes of room, the index says {stored:?}")]
    Room {
        /// The data block.
        block: u32,
        /// In the block; `None` if there is none.
        actual: Option<u16>,
        /// In the index.
        stored: Option<u16>,
    },
    /// Two entries have one name.
    #[error("two entries have the name with hash {0:#010x}")]
    Twice(u32),
    /// A mapped block is not part of the directory.
    #[error("block {0} of the fork is mapped, but not used")]
    Unused(u64),
    /// The size is not where the data blocks end.
    #[error("{stored} bytes, but its data end at {actual}")]
    Size {
        /// In the inode.
        stored: u64,
        /// By its blocks.
        actual: u64,
    },
}

/// What a checked directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Number of names, without `.` and `..`.
    pub(crate) names: u64,
    /// The inode of `..`.
    pub(crate) parent: InodeNumber,
}

/// Checks a directory inside its inode.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn check_short(format: &DaFormat, bytes: &[u8]) -> Result<Summary> {
    let short = Short::parse(bytes, format).map_err(|defect| short_corrupt(format, defect))?;
    let mut names = BTreeSet::new();
    for it in &short.entries {
        let name = &it.entry.name;
        let key = if format.is_ascii_ci { super::fold_case(name) } else { name.clone() };
        if !names.insert(key) {
            return Err(defect(format, CheckDefect::Twice(hash_name(format, name))));
        }
    }
    Ok(Summary { names: arith::len_u64(names.len()), parent: short.parent })
}

/// Checks a directory whose inode says `size_bytes`.
///
/// # Errors
/// `Corrupt`.
pub(crate) fn check(blocks: &dyn DaBlocks, size_bytes: u64) -> Result<Summary> {
    let form = form(blocks)?;
    let mut found = Found::default();
    let mut indexed = Vec::new();
    for_data_blocks(blocks, &mut |number, bytes| {
        let records = if form == Form::Block && number == 0 {
            let (leaf, records) = parse_block(blocks, bytes)?;
            indexed = leaf.entries;
            records
        } else {
            parse_data(blocks, number, bytes)?
        };
        let best = data::best(bytes, blocks.format()).map_err(|defect| {
            corrupt(blocks, "directory block", FileBlock(number.into()), defect)
        })?;
        found.add(blocks.format(), number, &records, best)
    })?;
    let format = blocks.format();
    let parent = found.parent.ok_or_else(|| defect(format, CheckDefect::NoDots))?;
    check_size(format, &found, size_bytes)?;
    match form {
        Form::Block => check_mapping(blocks, &BTreeSet::new(), &BTreeSet::new())?,
        Form::Leaf => indexed = check_leaf(blocks, &found)?,
        Form::Node => indexed = check_tree(blocks, &found)?,
    }
    check_pairs(format, &mut found.entries, indexed)?;
    check_names(blocks, &found.entries)?;
    let names = arith::len_u64(found.entries.len()).saturating_sub(2);
    Ok(Summary { names, parent })
}

fn defect(format: &DaFormat, defect: CheckDefect) -> Error {
    Corrupt::new("directory", defect).of(format.inode.to_string()).into()
}

/// What the data blocks hold.
#[derive(Debug, Default)]
struct Found {
    /// A leaf entry for each entry.
    entries: Vec<LeafEntry>,
    /// The largest free region of each data block.
    bests: BTreeMap<u32, u16>,
    parent: Option<InodeNumber>,
}

impl Found {
    fn add(
        &mut self,
        format: &DaFormat,
        number: u32,
        records: &[Record<'_>],
        best: u16,
    ) -> Visited {
        self.bests.insert(number, best);
        for (index, record) in records.iter().enumerate() {
            let Some(entry) = entry_of(record) else { continue };
            let expected: &[u8] = match (number, index) {
                (0, 0) => b".",
                (0, 1) => b"..",
                _ => b"",
            };
            let is_dot = entry.name == b"." || entry.name == b"..";
            let is_self = entry.name != b"." || entry.inode == format.inode;
            if is_dot != (entry.name == expected) || is_dot == expected.is_empty() || !is_self {
                return Err(defect(format, CheckDefect::NoDots));
            }
            if entry.name == b".." {
                self.parent = Some(entry.inode);
            }
            let address = address_of(format, number, record.offset)?;
            self.entries.push(LeafEntry { hash: hash_name(format, &entry.name), address });
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn check_size(format: &DaFormat, found: &Found, stored: u64) -> Result<()> {
    let count = found.bests.keys().next_back().map_or(0, |last| u64::from(*last).saturating_add(1));
    let actual = arith::mul(count, format.da_block_size_bytes.into())?;
    if actual == stored {
        return Ok(());
    }
    Err(defect(format, CheckDefect::Size { stored, actual }))
}

/// Compares the free space of the data blocks with that in the index; `stored` is in order.
fn check_room(format: &DaFormat, found: &Found, stored: &BTreeMap<u32, u16>) -> Result<()> {
    for block in found.bests.keys().chain(stored.keys()) {
        let (actual, stored) = (found.bests.get(block).copied(), stored.get(block).copied());
        if actual != stored {
            return Err(defect(format, CheckDefect::Room { block: *block, actual, stored }));
        }
    }
    Ok(())
}

/// The index of free space without its holes.
fn without_holes(first: u32, bests: &[u16]) -> impl Iterator<Item = (u32, u16)> {
    let numbered = (first..).zip(bests.iter().copied());
    numbered.filter(|(_, best)| *best != NO_BLOCK)
}

fn check_leaf(blocks: &dyn DaBlocks, found: &Found) -> Result<Vec<LeafEntry>> {
    let root = leaf_extent(blocks.format()).root;
    let (leaf, _) = load_leaf(blocks, root, DaKind::DirectoryLeaf)?;
    check_room(blocks.format(), found, &without_holes(0, &leaf.bests).collect())?;
    check_mapping(blocks, &BTreeSet::from([root]), &BTreeSet::new())?;
    Ok(leaf.entries)
}

fn check_tree(blocks: &dyn DaBlocks, found: &Found) -> Result<Vec<LeafEntry>> {
    let extent = leaf_extent(blocks.format());
    let walk = walk(blocks, extent)?;
    let mut entries = Vec::new();
    let mut path = Path::descend(blocks, extent, 0)?;
    for (at, _) in &walk.leaves {
        if path.leaf != *at {
            let defect = DirectoryDefect::Misplaced(path.leaf.0);
            return Err(corrupt(blocks, "directory leaf", *at, defect));
        }
        let (leaf, _) = load_path_leaf(blocks, &path)?;
        check_order(blocks, *at, &entries, &leaf)?;
        entries.extend(leaf.entries);
        path.advance(blocks)?;
    }
    let mut stored = BTreeMap::new();
    let mut free_blocks = BTreeSet::new();
    for_free_blocks(blocks, &mut |index, block| {
        stored.extend(without_holes(block.first, &block.bests));
        free_blocks.insert(index);
        Ok(())
    })?;
    check_room(blocks.format(), found, &stored)?;
    check_mapping(blocks, &walk.reached, &free_blocks)?;
    Ok(entries)
}

/// A leaf starts where the leaf before it ended, or later.
fn check_order(
    blocks: &dyn DaBlocks,
    at: FileBlock,
    before: &[LeafEntry],
    leaf: &Leaf,
) -> Result<()> {
    let first = leaf.entries.first().map_or(0, |entry| entry.hash);
    if before.last().is_none_or(|last| last.hash <= first) {
        return Ok(());
    }
    Err(corrupt(blocks, "directory leaf", at, LeafDefect::Order { index: 0, hash: first }))
}

/// Nothing is mapped behind the data but the tree and the free index, whose blocks were checked.
fn check_mapping(
    blocks: &dyn DaBlocks,
    tree: &BTreeSet<FileBlock>,
    free: &BTreeSet<u32>,
) -> Result<()> {
    let format = blocks.format();
    let extent = leaf_extent(format);
    let step = format.blocks_per_da_block();
    let mut from = extent.root;
    while let Some(at) = blocks.next_mapped(from)? {
        if at >= extent.end && !free.is_empty() {
            return Ok(());
        }
        if !tree.contains(&at) {
            return Err(defect(format, CheckDefect::Unused(at.0)));
        }
        from = at.plus(step)?;
    }
    Ok(())
}

/// Entries and leaf entries are the same.
fn check_pairs(
    format: &DaFormat,
    entries: &mut [LeafEntry],
    mut indexed: Vec<LeafEntry>,
) -> Result<()> {
    indexed.retain(|entry| !entry.is_stale());
    indexed.sort_unstable();
    entries.sort_unstable();
    let differing = entries.iter().zip(&indexed).find(|(a, b)| a != b).map(|(a, b)| a.min(b));
    let shorter = entries.len().min(indexed.len());
    let surplus = || entries.get(shorter).or(indexed.get(shorter));
    match differing.or_else(surplus) {
        None => Ok(()),
        Some(LeafEntry { hash, address }) => {
            Err(defect(format, CheckDefect::Unpaired { hash: *hash, address: *address }))
        }
    }
}

/// No name exists twice. `entries` is sorted by hash.
fn check_names(blocks: &dyn DaBlocks, entries: &[LeafEntry]) -> Result<()> {
    let format = blocks.format();
    let pairs = entries.iter().zip(entries.iter().skip(1));
    let shared = pairs.filter(|(a, b)| a.hash == b.hash).map(|(a, _)| a.hash);
    let shared: BTreeSet<u32> = shared.collect();
    if shared.is_empty() {
        return Ok(());
    }
    let mut names = BTreeSet::new();
    super::visit(blocks, &mut |entry| {
        let hash = hash_name(format, &entry.name);
        let key =
            if format.is_ascii_ci { super::fold_case(&entry.name) } else { entry.name.clone() };
        if shared.contains(&hash) && !names.insert(key) {
            return Err(defect(format, CheckDefect::Twice(hash)));
        }
        Ok(ControlFlow::Continue(()))
    })
}
