//! Indexed directories: a tree over the hashes of the names, hidden in blocks that look empty.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Hash Tree
//! Directories". [`node`] has the blocks of the index, [`grow`] makes room in it; the leaves are
//! ordinary directory blocks. Names with the same hash may fill several leaves in a row: the slot
//! of every leaf but the first then has the low bit of its hash set.
//!
//! Every way through the tree is as short as the format allows, leads from lower to higher hashes
//! only, and never to a block twice. A damaged index is never edited.
//!
//! Not handled: SipHash (encrypted casefolded directories), which is refused, and merging of
//! leaves, which the kernel does not do either.

mod grow;
pub(crate) mod node;
#[cfg(test)]
mod tests;

use super::directory::region::{self, NewRecord, Record};
use super::directory::{self, DirectoryBlocks, DirectoryFormat, Place, block};
use super::hash::NameHash;
use crate::error::{Error, Refusal, Result};
use crate::fs::entry_name;
pub(super) use grow::convert;
use node::{IndexDefect, Node, RootInfo, Slot};

/// `hash_version` of SipHash.
const SIPHASH: u8 = 6;

/// Finds `name` through the index.
///
/// # Errors
/// `Corrupt`; `Refused` if the hash is SipHash.
pub(super) fn find(blocks: &dyn DirectoryBlocks, name: &[u8]) -> Result<Option<Place>> {
    Path::to(blocks, name)?.find(blocks, name)
}

/// Adds an entry, with room made for it where there is none.
///
/// # Errors
/// `Refused` if the name exists or the index is full; `Corrupt`.
pub(super) fn insert(blocks: &mut dyn DirectoryBlocks, new: NewRecord<'_>) -> Result<()> {
    let mut path = Path::to(blocks, new.name)?;
    grow::check_depth(path.info, blocks.format())?;
    if path.clone().find(blocks, new.name)?.is_some() {
        return Err(entry_name::exists(new.name));
    }
    let leaf = path.leaf();
    let mut bytes = path.read_leaf(blocks)?;
    path.check_leaf(&bytes, blocks.format())?;
    let format = blocks.format();
    if block::insert(&mut bytes, new, format)
        .map_err(|defect| format.corrupt("directory block", leaf, defect))?
    {
        return blocks.write(leaf, &bytes);
    }
    path.make_room(blocks)?;
    path.split_leaf(blocks, &bytes, new)
}

/// True if block `file_block` belongs to the index and not to its leaves.
pub(super) fn is_index_block(file_block: u32, bytes: &[u8], format: &DirectoryFormat) -> bool {
    file_block == 0 || node::looks_like_node(bytes, format)
}

/// The entries that a reader without index sees in a block of the index: `.` and `..` in the root.
///
/// # Errors
/// `Corrupt`.
pub(super) fn visible_records<'a>(
    file_block: u32,
    bytes: &'a [u8],
    format: &DirectoryFormat,
) -> Result<Vec<Record<'a>>> {
    if file_block != 0 {
        return Ok(Vec::new());
    }
    region::parse(bytes, format.layout())
        .map_err(|defect| format.corrupt("directory index root", file_block, defect))
}

/// A node on the way to a leaf.
#[derive(Debug, Clone)]
struct Step {
    node: Node,
    /// The slot that the way takes.
    at: usize,
}

impl Step {
    fn slot(&self) -> Slot {
        // Every node has a slot, and `at` comes from `position` or is checked.
        self.node.slots.get(self.at).copied().unwrap_or(Slot { hash: 0, block: 0 })
    }

    fn next_slot(&self) -> Option<Slot> {
        self.node.slots.get(self.at.saturating_add(1)).copied()
    }
}

/// The way from the root to the leaf that a name belongs into.
#[derive(Debug, Clone)]
struct Path {
    info: RootInfo,
    name_hash: NameHash,
    /// Hash of the name.
    hash: u32,
    /// The root first; never empty.
    steps: Vec<Step>,
}

impl Path {
    /// Walks from the root to the leaf for `name`.
    fn to(blocks: &dyn DirectoryBlocks, name: &[u8]) -> Result<Self> {
        let format = blocks.format();
        let wrong = |defect| corrupt(format, 0, defect);
        let root = blocks.read(0)?;
        let info = node::parse_root_info(&root, format).map_err(wrong)?;
        let name_hash = name_hash(info.hash_version, format)?;
        let root = Node::parse(0, root, format, directory::block_count(blocks)?).map_err(wrong)?;
        let hash = name_hash.hash(name);
        let at = root.position(hash);
        let mut path = Self { info, name_hash, hash, steps: vec![Step { node: root, at }] };
        for _ in 0..info.levels {
            path.descend(blocks, |node| node.position(hash))?;
        }
        Ok(path)
    }

    /// Adds the node that the last step leads to.
    fn descend(
        &mut self,
        blocks: &dyn DirectoryBlocks,
        choose: impl FnOnce(&Node) -> usize,
    ) -> Result<()> {
        let format = blocks.format();
        let child = self.leaf();
        let wrong = |defect| corrupt(format, child, defect);
        if self.steps.iter().any(|step| step.node.file_block == child) {
            return Err(wrong(IndexDefect::Shared(child)));
        }
        let count = directory::block_count(blocks)?;
        let node = Node::parse(child, blocks.read(child)?, format, count).map_err(wrong)?;
        let (from, to) = self.bounds();
        for (slot, &Slot { hash, .. }) in node.slots.iter().enumerate().skip(1) {
            if hash & !1 < from || hash & !1 > to {
                return Err(wrong(IndexDefect::Order { slot, hash }));
            }
        }
        let at = choose(&node);
        self.steps.push(Step { node, at });
        Ok(())
    }

    /// The block that the last step leads to.
    fn leaf(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.slot().block)
    }

    /// Lowest and highest hash that may be where the last step leads to.
    fn bounds(&self) -> (u32, u32) {
        let from = self.steps.iter().rev().find(|step| step.at > 0);
        let to = self.steps.iter().rev().find_map(Step::next_slot);
        let to = to.map_or(u32::MAX, |slot| {
            // With the low bit set, names with just this hash may already be in the leaf before.
            if slot.hash & 1 == 0 { slot.hash.saturating_sub(1) } else { slot.hash & !1 }
        });
        (from.map_or(0, |step| step.slot().hash & !1), to)
    }

    fn read_leaf(&self, blocks: &dyn DirectoryBlocks) -> Result<Vec<u8>> {
        let leaf = self.leaf();
        let bytes = blocks.read(leaf)?;
        let is_on_path = self.steps.iter().any(|step| step.node.file_block == leaf);
        if is_on_path || node::looks_like_node(&bytes, blocks.format()) {
            return Err(corrupt(blocks.format(), leaf, IndexDefect::NotALeaf));
        }
        Ok(bytes)
    }

    /// Finds `name`, whose hash led here, in this leaf and those that continue it.
    fn find(mut self, blocks: &dyn DirectoryBlocks, name: &[u8]) -> Result<Option<Place>> {
        // Hashes rise along the way and no leaf of a node comes twice; the bound holds for crossed
        // nodes too.
        for _ in 0..directory::block_count(blocks)? {
            let leaf = self.leaf();
            let bytes = self.read_leaf(blocks)?;
            let records = directory::leaf_records(leaf, &bytes, blocks.format())?;
            if let Some(place) = directory::find_in(&records, leaf, name) {
                return Ok(Some(place));
            }
            if !self.advance(blocks)? {
                return Ok(None);
            }
        }
        Err(corrupt(blocks.format(), self.leaf(), IndexDefect::Shared(self.leaf())))
    }

    /// Moves to the next leaf if names with this hash continue there.
    fn advance(&mut self, blocks: &dyn DirectoryBlocks) -> Result<bool> {
        let depth = self.steps.len();
        let Some(level) = self.steps.iter().rposition(|step| step.next_slot().is_some()) else {
            return Ok(false);
        };
        self.steps.truncate(level.saturating_add(1));
        let Some(step) = self.steps.last_mut() else { return Ok(false) };
        step.at = step.at.saturating_add(1);
        if step.slot().hash != self.hash | 1 {
            return Ok(false);
        }
        while self.steps.len() < depth {
            self.descend(blocks, |_| 0)?;
        }
        Ok(true)
    }

    /// Every name of the leaf must have a hash that leads there.
    fn check_leaf(&self, bytes: &[u8], format: &DirectoryFormat) -> Result<()> {
        let leaf = self.leaf();
        let (from, to) = self.bounds();
        for record in directory::leaf_records(leaf, bytes, format)? {
            let hash = self.name_hash.hash(record.name);
            if record.inode != 0 && (hash < from || hash > to) {
                return Err(corrupt(format, leaf, IndexDefect::Misplaced { hash, from, to }));
            }
        }
        Ok(())
    }
}

/// The hash function of a directory.
fn name_hash(version: u8, format: &DirectoryFormat) -> Result<NameHash> {
    if version == SIPHASH {
        let feature = "directories hashed with SipHash (casefold with encrypt)".into();
        return Err(Refusal::NotWritable { feature }.into());
    }
    NameHash::of_version(version, format.hash_is_unsigned, format.hash_seed)
        .ok_or_else(|| corrupt(format, 0, IndexDefect::HashVersion(version)))
}

fn corrupt(format: &DirectoryFormat, file_block: u32, defect: IndexDefect) -> Error {
    format.corrupt("directory index", file_block, defect)
}
