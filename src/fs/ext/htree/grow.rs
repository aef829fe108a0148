//! Making room in an index: a leaf is split in two, a full node is split in two, a full root gets a
//! new level below it, and a full linear directory of one block becomes indexed.

use super::node::{Node, RootInfo, Slot};
use super::{Path, Step, corrupt, name_hash};
use crate::bytes::arith;
use crate::error::{Error, Refusal, Result};
use crate::fs::ext::directory::region::{self, NewRecord};
use crate::fs::ext::directory::{self, DirectoryBlocks, DirectoryFormat, block};

/// Deepest index that kernels read, in `indirect_levels`, without "large_dir" and with it: one less
/// than what the document says, which counts the root.
const WRITABLE_LEVELS_MAX: [u8; 2] = [1, 2];
/// Bound on the nodes that one insertion splits or adds: each level at most once, and one new
/// level.
const ROUNDS_MAX: usize = 8;

fn levels_max(format: &DirectoryFormat) -> u8 {
    let [small, large] = WRITABLE_LEVELS_MAX;
    if format.is_large { large } else { small }
}

/// Refuses an index that is deeper than kernels can read.
pub(super) fn check_depth(info: RootInfo, format: &DirectoryFormat) -> Result<()> {
    if info.levels > levels_max(format) {
        let feature = format!("a directory index of {} levels below its root", info.levels);
        return Err(Refusal::NotWritable { feature }.into());
    }
    Ok(())
}

/// Turns a linear directory of one block into an indexed one of two.
///
/// # Errors
/// `Corrupt`; `Refused` if there is no space, or if the file system hashes with SipHash.
pub(in crate::fs::ext) fn convert(blocks: &mut dyn DirectoryBlocks) -> Result<()> {
    let format = blocks.format().clone();
    let wrong = |defect| format.corrupt("directory block", 0, defect);
    let bytes = blocks.read(0)?;
    let records = directory::leaf_records(0, &bytes, &format)?;
    let all: Vec<_> = records.iter().filter(|record| record.inode != 0).map(new_record).collect();
    let version = format.default_hash_version;
    name_hash(version, &format)?;
    let Some((dots, rest)) = all.split_at_checked(2) else {
        return Err(wrong(region::BlockDefect::NoDots));
    };
    let mut start = [0; 24];
    region::pack(&mut start, dots, format.layout()).map_err(wrong)?;
    let leaf = block::build(rest, &format).map_err(wrong)?.ok_or_else(|| full(&format))?;
    let child = append(blocks, &leaf)?;
    let root = Node::new_root(start, version, child, &format)
        .map_err(|defect| corrupt(&format, 0, defect))?;
    store(blocks, &root)?;
    blocks.set_indexed(true)
}

impl Path {
    /// Gives the last node room for another slot.
    pub(super) fn make_room(&mut self, blocks: &mut dyn DirectoryBlocks) -> Result<()> {
        let format = blocks.format().clone();
        for _ in 0..ROUNDS_MAX {
            // Everything below the deepest node with room is full.
            match self.steps.iter().rposition(|step| step.node.has_room(&format)) {
                None => self.add_level(blocks, &format)?,
                Some(level) if level.saturating_add(1) == self.steps.len() => return Ok(()),
                Some(level) => self.split_node(blocks, &format, level)?,
            }
        }
        Err(full(&format))
    }

    /// Moves all slots of the root into a new node, which becomes its only child.
    fn add_level(
        &mut self,
        blocks: &mut dyn DirectoryBlocks,
        format: &DirectoryFormat,
    ) -> Result<()> {
        if self.info.levels >= levels_max(format) {
            return Err(full(format));
        }
        let Some(root) = self.steps.first_mut() else { return Ok(()) };
        let slots = std::mem::take(&mut root.node.slots);
        let node = append_node(blocks, slots, format)?;
        root.node.slots = vec![Slot { hash: 0, block: node.file_block }];
        let below = Step { node, at: root.at };
        root.at = 0;
        self.info.levels = self.info.levels.saturating_add(1);
        root.node.set_levels(self.info.levels).map_err(|defect| corrupt(format, 0, defect))?;
        store(blocks, &root.node)?;
        self.steps.insert(1, below);
        Ok(())
    }

    /// Splits the node below `level`, which has room for the new slot.
    fn split_node(
        &mut self,
        blocks: &mut dyn DirectoryBlocks,
        format: &DirectoryFormat,
        level: usize,
    ) -> Result<()> {
        let Some([parent, child]) = self.steps.get_mut(level..=level.saturating_add(1)) else {
            return Ok(());
        };
        let half = child.node.slots.len() / 2;
        let mut upper = child.node.slots.split_off(half);
        let Some(first) = upper.first_mut() else { return Ok(()) };
        let hash = std::mem::take(&mut first.hash);
        let new = append_node(blocks, upper, format)?;
        let slot = Slot { hash, block: new.file_block };
        parent.node.slots.insert(parent.at.saturating_add(1), slot);
        store(blocks, &child.node)?;
        store(blocks, &parent.node)?;
        if child.at >= half {
            child.at = child.at.saturating_sub(half);
            child.node = new;
            parent.at = parent.at.saturating_add(1);
        }
        Ok(())
    }

    /// Distributes the entries of the full leaf and the new one over two leaves. The last node has
    /// room.
    pub(super) fn split_leaf(
        mut self,
        blocks: &mut dyn DirectoryBlocks,
        bytes: &[u8],
        new: NewRecord<'_>,
    ) -> Result<()> {
        let format = blocks.format().clone();
        let leaf = self.leaf();
        let wrong = |defect| format.corrupt("directory block", leaf, defect);
        let records = directory::leaf_records(leaf, bytes, &format)?;
        let used = records.iter().filter(|record| record.inode != 0).map(new_record);
        let mut all: Vec<_> =
            used.chain([new]).map(|record| (self.name_hash.hash(record.name), record)).collect();
        all.sort_by_key(|&(hash, _)| hash);
        let (hashes, sorted): (Vec<u32>, Vec<NewRecord<'_>>) = all.into_iter().unzip();
        let middle = middle(&sorted);
        let (Some((lower, upper)), Some(&last), Some(&first)) = (
            sorted.split_at_checked(middle),
            hashes.get(middle.saturating_sub(1)),
            hashes.get(middle),
        ) else {
            return Err(full(&format));
        };
        let lower = block::build(lower, &format).map_err(wrong)?.ok_or_else(|| full(&format))?;
        let upper = block::build(upper, &format).map_err(wrong)?.ok_or_else(|| full(&format))?;
        let added = append(blocks, &upper)?;
        blocks.write(leaf, &lower)?;
        let Some(step) = self.steps.last_mut() else { return Err(full(&format)) };
        let is_continued = u32::from(last == first);
        let slot = Slot { hash: first | is_continued, block: added };
        step.node.slots.insert(step.at.saturating_add(1), slot);
        store(blocks, &step.node)
    }
}

/// Where to split, so that both sides need about the same space; never at an end.
fn middle(sorted: &[NewRecord<'_>]) -> usize {
    let need = |record: &NewRecord<'_>| region::needed_len(record.name.len());
    let total = sorted.iter().map(need).fold(0, usize::saturating_add);
    let mut sum = 0usize;
    let middle = sorted.iter().position(|record| {
        sum = sum.saturating_add(need(record));
        sum.saturating_mul(2) > total
    });
    middle.unwrap_or(0).max(1)
}

fn new_record<'a>(record: &region::Record<'a>) -> NewRecord<'a> {
    NewRecord { inode: record.inode, file_type: record.file_type, name: record.name }
}

fn store(blocks: &mut dyn DirectoryBlocks, node: &Node) -> Result<()> {
    let bytes = node
        .encode(blocks.format())
        .map_err(|defect| corrupt(blocks.format(), node.file_block, defect))?;
    blocks.write(node.file_block, &bytes)
}

/// Appends a new interior node.
fn append_node(
    blocks: &mut dyn DirectoryBlocks,
    slots: Vec<Slot>,
    format: &DirectoryFormat,
) -> Result<Node> {
    let file_block = directory::block_count(blocks)?;
    let node = Node::new(file_block, slots, format);
    let bytes = node.encode(format).map_err(|defect| corrupt(format, file_block, defect))?;
    append(blocks, &bytes)?;
    Ok(node)
}

/// Appends a block, which gets the next number.
fn append(blocks: &mut dyn DirectoryBlocks, bytes: &[u8]) -> Result<u32> {
    let expected = directory::block_count(blocks)?;
    let file_block = blocks.append(bytes)?;
    if file_block != expected {
        return Err(arith::OutOfRange.into());
    }
    Ok(file_block)
}

fn full(format: &DirectoryFormat) -> Error {
    let what = format!("slots in the index of directory inode {}", format.inode);
    Refusal::NoSpace { what, needed: 1, available: 0 }.into()
}
