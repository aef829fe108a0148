//! Attributes in blocks: one leaf, or a tree of leaves.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Extended Attributes", sections "Leaf
//! Attributes" and "Node Attributes". The root is block 0 of the attribute fork; a fork without
//! blocks has no attributes.

use super::leaf::{self, LeafDefect};
use super::{Attribute, Value, remote};
use crate::bytes::arith::len_u64;
use crate::error::{Error, Refusal, Result};
use crate::fs::xfs::da::header::{DaHeader, DaKind};
use crate::fs::xfs::da::tree::{self, Extent, Path, link_behind, seal_and_write};
use crate::fs::xfs::da::{DaBlocks, corrupt, read_mapped};
use crate::fs::xfs::units::FileBlock;
use std::collections::HashSet;

/// Where the tree is: blocks have 32-bit numbers.
const EXTENT: Extent = Extent { root: FileBlock(0), end: FileBlock(1 << 32) };
/// Bound on the leaves of one inode that are read for one purpose.
const LEAVES_MAX: usize = 1 << 16;
const STRUCTURE: &str = "attribute leaf";

/// What became of the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlocksChange {
    /// Nothing changed.
    Same,
    /// Blocks changed.
    Changed,
    /// The last attribute is gone, and all blocks with it.
    Emptied,
}

/// A leaf on the way to which is `path`.
struct Leaf {
    path: Path,
    header: DaHeader,
    bytes: Vec<u8>,
    attributes: Vec<Attribute>,
}

impl Leaf {
    fn load(blocks: &dyn DaBlocks, path: Path) -> Result<Self> {
        let at = path.leaf;
        let defect = |defect: LeafDefect| corrupt(blocks, STRUCTURE, at, defect);
        let bytes = read_mapped(blocks, at, STRUCTURE)?;
        let header = tree::checked_header(blocks, at, &bytes)?;
        if header.kind != DaKind::AttributeLeaf {
            return Err(defect(LeafDefect::Kind));
        }
        let attributes = leaf::parse(&bytes, blocks.format()).map_err(defect)?;
        let last_hash = last_hash(blocks, &attributes);
        match (path.last_hash(), last_hash) {
            (Some(_), None) => return Err(defect(LeafDefect::Empty)),
            (Some(expected), Some(actual)) if expected != actual => {
                return Err(defect(LeafDefect::LastHash { actual, expected }));
            }
            _ => {}
        }
        Ok(Self { path, header, bytes, attributes })
    }

    /// The next leaf, whose hashes must not be below those of this one; `None` behind the last.
    fn next(mut self, blocks: &dyn DaBlocks, met: &mut HashSet<FileBlock>) -> Result<Option<Self>> {
        met.insert(self.path.leaf);
        if met.len() > LEAVES_MAX {
            let what = "number of attribute leaves of an inode";
            return Err(Error::limit(what, len_u64(LEAVES_MAX), len_u64(met.len())));
        }
        if !self.path.advance(blocks)? {
            return Ok(None);
        }
        let at = self.path.leaf;
        if met.contains(&at) {
            return Err(corrupt(blocks, STRUCTURE, at, LeafDefect::Loop));
        }
        let next = Self::load(blocks, self.path)?;
        let first_hash = next.attributes.first().map(|first| first.hash(blocks.format()));
        if first_hash < last_hash(blocks, &self.attributes) {
            return Err(corrupt(blocks, STRUCTURE, at, LeafDefect::Order { index: 0 }));
        }
        Ok(Some(next))
    }

    fn position(&self, wanted: &Attribute) -> Option<usize> {
        let is_wanted = |one: &Attribute| !one.is_incomplete && one.is_same(wanted);
        self.attributes.iter().position(is_wanted)
    }

    /// Stores the leaf with `attributes`, which may be any but none; splits it if they do not fit.
    fn store(self, blocks: &mut dyn DaBlocks, attributes: Vec<Attribute>) -> Result<()> {
        let Self { mut path, header, bytes, .. } = self;
        let Some(mut bytes) = leaf::encode(&attributes, blocks.format(), &bytes) else {
            let old = Self { path, header, bytes, attributes: self.attributes };
            return old.split(blocks, attributes);
        };
        seal_and_write(blocks, path.leaf, header, &mut bytes)?;
        match highest_hash(blocks, &attributes) {
            Some(hash) => path.set_last_hash(blocks, hash),
            None => Ok(()),
        }
    }

    /// Spreads `attributes` over this leaf and new ones behind it.
    fn split(self, blocks: &mut dyn DaBlocks, attributes: Vec<Attribute>) -> Result<()> {
        let Self { mut path, bytes, .. } = self;
        if path.is_root() {
            let hash = last_hash(blocks, &self.attributes).unwrap_or_default();
            path.raise_root(blocks, hash)?;
        }
        let groups = divide(blocks, attributes)?;
        let Some((first, behind)) = groups.split_first() else { return Ok(()) };
        // The last group first, because each goes right behind the leaf.
        for (index, group) in behind.iter().enumerate().rev() {
            let before = groups.get(index).map(Vec::as_slice).unwrap_or_default();
            let left = highest_hash(blocks, before).unwrap_or_default();
            let right = highest_hash(blocks, group).unwrap_or_default();
            let new = path.allocate(blocks)?;
            let old_bytes = read_mapped(blocks, path.leaf, STRUCTURE)?;
            let header = tree::checked_header(blocks, path.leaf, &old_bytes)?;
            let new_header = link_behind(blocks, path.leaf, header, new)?;
            write_leaf(blocks, new, new_header, group, &vec![0; bytes.len()])?;
            let header = DaHeader { forw: Some(new), ..header };
            seal_and_write(blocks, path.leaf, header, &mut old_bytes.clone())?;
            path.insert_behind(blocks, new, left, right)?;
        }
        let old_bytes = read_mapped(blocks, path.leaf, STRUCTURE)?;
        let header = tree::checked_header(blocks, path.leaf, &old_bytes)?;
        write_leaf(blocks, path.leaf, header, first, &old_bytes)
    }
}

fn write_leaf(
    blocks: &mut dyn DaBlocks,
    at: FileBlock,
    header: DaHeader,
    attributes: &[Attribute],
    old: &[u8],
) -> Result<()> {
    let encoded = leaf::encode(attributes, blocks.format(), old);
    let mut bytes = encoded.ok_or_else(|| too_large(blocks))?;
    seal_and_write(blocks, at, header, &mut bytes)
}

fn too_large(blocks: &dyn DaBlocks) -> crate::error::Error {
    let feature = format!("an attribute of {} that fits no leaf", blocks.format().inode);
    Refusal::NotWritable { feature }.into()
}

/// The last hash of sorted attributes.
fn last_hash(blocks: &dyn DaBlocks, attributes: &[Attribute]) -> Option<u32> {
    attributes.last().map(|last| last.hash(blocks.format()))
}

/// The highest hash of attributes in any order.
fn highest_hash(blocks: &dyn DaBlocks, attributes: &[Attribute]) -> Option<u32> {
    attributes.iter().map(|one| one.hash(blocks.format())).max()
}

/// Divides attributes, of which all but one fitted a leaf, into two or three groups that fit one
/// each, in the order of their hashes. Equal hashes stay together, if possible.
fn divide(blocks: &dyn DaBlocks, mut attributes: Vec<Attribute>) -> Result<Vec<Vec<Attribute>>> {
    let format = *blocks.format();
    attributes.sort_by_key(|one| one.hash(&format));
    let capacity = leaf::capacity(&format);
    let total: usize = attributes.iter().map(leaf::len_of).sum();
    let mut best = None;
    let mut left: usize = 0;
    for (index, pair) in attributes.windows(2).enumerate() {
        let [before, behind] = pair else { continue };
        left = left.saturating_add(leaf::len_of(before));
        let right = total.saturating_sub(left);
        if left <= capacity && right <= capacity {
            let is_torn = before.hash(&format) == behind.hash(&format);
            let rating = (is_torn, left.abs_diff(right));
            if best.is_none_or(|(best, _)| rating < best) {
                best = Some((rating, index.saturating_add(1)));
            }
        }
    }
    if let Some((_, at)) = best {
        let right = attributes.split_off(at);
        return Ok(vec![attributes, right]);
    }
    // A large one in the middle: one leaf for what is before it, one for itself, one for the rest.
    let largest = attributes.iter().enumerate().max_by_key(|(_, one)| leaf::len_of(one));
    let at = largest.map_or(0, |(index, _)| index);
    let right = attributes.split_off(at.saturating_add(1).min(attributes.len()));
    let middle = attributes.split_off(at.min(attributes.len()));
    let groups = vec![attributes, middle, right];
    let fits = |group: &Vec<Attribute>| {
        !group.is_empty() && group.iter().map(leaf::len_of).sum::<usize>() <= capacity
    };
    if groups.iter().all(fits) { Ok(groups) } else { Err(too_large(blocks)) }
}

/// Calls `visit` for all attributes, also incomplete ones, in the order of their hashes.
///
/// # Errors
/// `Corrupt`; the error of `visit`.
pub(super) fn visit(
    blocks: &dyn DaBlocks,
    visit: &mut dyn FnMut(Attribute) -> Result<()>,
) -> Result<()> {
    if blocks.next_mapped(EXTENT.root)?.is_none() {
        return Ok(());
    }
    let mut met = HashSet::new();
    let mut next = Some(Leaf::load(blocks, Path::descend(blocks, EXTENT, 0)?)?);
    while let Some(leaf) = next {
        for attribute in &leaf.attributes {
            visit(attribute.clone())?;
        }
        next = leaf.next(blocks, &mut met)?;
    }
    Ok(())
}

/// The first leaf that may hold `wanted`, or that does.
fn find_leaf(blocks: &dyn DaBlocks, wanted: &Attribute) -> Result<(Leaf, Option<usize>)> {
    let hash = wanted.hash(blocks.format());
    let mut met = HashSet::new();
    let mut leaf = Leaf::load(blocks, Path::descend(blocks, EXTENT, hash)?)?;
    loop {
        let position = leaf.position(wanted);
        if position.is_some() || last_hash(blocks, &leaf.attributes) != Some(hash) {
            return Ok((leaf, position));
        }
        // More with the same hash may be in the next leaf; if not, any of them takes it.
        let path = leaf.path.clone();
        match leaf.next(blocks, &mut met)? {
            Some(next) if next.first_hash(blocks) == Some(hash) => leaf = next,
            _ => return Ok((Leaf::load(blocks, path)?, None)),
        }
    }
}

impl Leaf {
    fn first_hash(&self, blocks: &dyn DaBlocks) -> Option<u32> {
        self.attributes.first().map(|first| first.hash(blocks.format()))
    }
}

/// The attribute that is the same as `wanted`.
///
/// # Errors
/// `Corrupt`.
pub(super) fn find(blocks: &dyn DaBlocks, wanted: &Attribute) -> Result<Option<Attribute>> {
    if blocks.next_mapped(EXTENT.root)?.is_none() {
        return Ok(None);
    }
    let (leaf, position) = find_leaf(blocks, wanted)?;
    Ok(position.and_then(|position| leaf.attributes.get(position).cloned()))
}

/// The value of an attribute of these blocks.
///
/// # Errors
/// `Corrupt`.
pub(super) fn value(blocks: &dyn DaBlocks, attribute: &Attribute) -> Result<Vec<u8>> {
    match &attribute.value {
        Value::Local(value) => Ok(value.clone()),
        &Value::Remote { block, size_bytes } => remote::read(blocks, block, size_bytes),
    }
}

/// Maps and writes the root of an empty tree.
///
/// # Errors
/// `Refused` without space.
fn create_root(blocks: &mut dyn DaBlocks) -> Result<()> {
    blocks.allocate(EXTENT.root)?;
    let empty = vec![0; blocks.format().block_len()];
    write_leaf(blocks, EXTENT.root, DaHeader::new(DaKind::AttributeLeaf), &[], &empty)
}

/// Makes blocks of `attributes` in a fork that has none.
///
/// # Errors
/// `Refused` without space.
pub(crate) fn create(blocks: &mut dyn DaBlocks, attributes: &[Attribute]) -> Result<()> {
    for attribute in attributes {
        set(blocks, attribute)?;
    }
    Ok(())
}

/// Sets an attribute whose value is given, whether it is there or not. A value that is too long for
/// a leaf goes into blocks of its own.
///
/// # Errors
/// `Refused` without space; `Corrupt`.
pub(crate) fn set(blocks: &mut dyn DaBlocks, new: &Attribute) -> Result<BlocksChange> {
    if blocks.next_mapped(EXTENT.root)?.is_none() {
        create_root(blocks)?;
    }
    let (leaf, position) = find_leaf(blocks, new)?;
    let mut attributes = leaf.attributes.clone();
    let old = position.map(|position| attributes.remove(position));
    if let (Some(old), Value::Local(value)) = (&old, &new.value) {
        if self::value(blocks, old)? == *value {
            return Ok(BlocksChange::Same);
        }
        free_value(blocks, old)?;
    }
    attributes.push(stored_form(blocks, new)?);
    leaf.store(blocks, attributes)?;
    Ok(BlocksChange::Changed)
}

/// `new` as a leaf holds it, with a long value already in its own blocks.
fn stored_form(blocks: &mut dyn DaBlocks, new: &Attribute) -> Result<Attribute> {
    let mut stored = new.clone();
    if let Value::Local(value) = &new.value
        && leaf::needs_remote(new.name.len(), value.len(), blocks.format())
    {
        let block = remote::create(blocks, value)?;
        let size_bytes = crate::bytes::arith::to(value.len())?;
        stored.value = Value::Remote { block, size_bytes };
    }
    Ok(stored)
}

/// Frees the blocks of a remote value, after a look at each: a wrong number must not free others.
fn free_value(blocks: &mut dyn DaBlocks, attribute: &Attribute) -> Result<()> {
    let Value::Remote { block, size_bytes } = attribute.value else { return Ok(()) };
    remote::read(blocks, block, size_bytes)?;
    remote::free(blocks, block, size_bytes)
}

/// Removes the attribute that is the same as `wanted`, with its value; nothing if there is none.
///
/// # Errors
/// `Corrupt`; `Refused` if blocks would be left that belong to no attribute.
pub(crate) fn remove(blocks: &mut dyn DaBlocks, wanted: &Attribute) -> Result<BlocksChange> {
    if blocks.next_mapped(EXTENT.root)?.is_none() {
        return Ok(BlocksChange::Same);
    }
    let (leaf, position) = find_leaf(blocks, wanted)?;
    let mut attributes = leaf.attributes.clone();
    let Some(position) = position else { return Ok(BlocksChange::Same) };
    let old = attributes.remove(position);
    free_value(blocks, &old)?;
    if !attributes.is_empty() {
        leaf.store(blocks, attributes)?;
        return Ok(BlocksChange::Changed);
    }
    if !leaf.path.is_root() {
        leaf.path.remove_leaf(blocks)?;
        return Ok(BlocksChange::Changed);
    }
    blocks.free(EXTENT.root)?;
    if blocks.next_mapped(EXTENT.root)?.is_some() {
        let detail = format!("{} has attribute blocks without a use", blocks.format().inode);
        return Err(Refusal::NeedsCheck { detail }.into());
    }
    Ok(BlocksChange::Emptied)
}
