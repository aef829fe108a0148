//! Extent trees: parsing and looking up. Changing them is in `extent_edit`.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Extent Tree". The root lies
//! in `i_block` (60 bytes), every other node fills a block; little-endian; with `metadata_csum` a node in a
//! block ends with a CRC-32C.

use super::content::{MappedRun, Mapping};
use super::inode::Inode;
use super::units::{FileBlock, FsBlock};
use super::volume::Volume;
use crate::bytes::arith::{add, to};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{
    self, high_u32, join_u32, le_u16, le_u32, low_u16, low_u32, put_le_u16, put_le_u32,
};
use crate::error::{Corrupt, Result};

/// Bound on the depth of a tree, from the documentation.
pub(super) const DEPTH_MAX: u16 = 5;
const MAGIC: u16 = 0xf30a;
const HEADER_BYTES: usize = 12;
const ENTRY_BYTES: usize = 12;
/// Longest written extent; a larger length field means an unwritten extent.
pub(super) const WRITTEN_LENGTH_MAX: u16 = 32768;
/// Longest unwritten extent.
const UNWRITTEN_LENGTH_MAX: u16 = 32767;

/// What can be wrong with an extent tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExtentDefect {
    #[error("magic is {0:#x}, not 0xf30a")]
    Magic(u16),
    #[error("depth {0} exceeds 5")]
    TooDeep(u16),
    #[error("depth is {actual}, should be {expected}")]
    Depth { actual: u16, expected: u16 },
    #[error("{entries} entries of at most {limit}, in room for {room}")]
    Entries { entries: u16, limit: u16, room: usize },
    #[error("entry {0} is out of order")]
    Order(usize),
    #[error("entry {index}: {length} blocks at block {block} are outside the file system")]
    Outside { index: usize, length: u64, block: u64 },
    #[error("entry {0} has no length")]
    Empty(usize),
    #[error("checksum is {stored:#x}, should be {computed:#x}")]
    Checksum { stored: u32, computed: u32 },
}

/// A run of blocks of a file that lie next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u32,
    pub(crate) length: u16,
    pub(crate) start: FsBlock,
    pub(crate) is_unwritten: bool,
}

impl Extent {
    /// The first block of the file behind the extent.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.first).saturating_add(u64::from(self.length))
    }

    /// Where block `at` of the file lies.
    pub(crate) fn block_at(&self, at: u32) -> Result<FsBlock> {
        self.start.plus(u64::from(at).saturating_sub(u64::from(self.first)))
    }

    /// Longest extent of its kind.
    pub(crate) fn length_max(&self) -> u16 {
        if self.is_unwritten { UNWRITTEN_LENGTH_MAX } else { WRITTEN_LENGTH_MAX }
    }
}

/// The entries of a node: children of an index node, extents of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entries {
    Index(Vec<(u32, FsBlock)>),
    Leaf(Vec<Extent>),
}

/// One node.
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0x0 | 2 | eh_magic | (checked) | 0xf30a |
/// | 0x2 | 2 | eh_entries | entries | at most eh_max |
/// | 0x4 | 2 | eh_max | limit | fits the node |
/// | 0x6 | 2 | eh_depth | depth | at most 5, one less than the parent's |
/// | 0x8 | 4 | eh_generation | generation | any |
/// | 0xc | 12 each | ext4_extent_idx, ext4_extent | entries | ascending |
/// | behind the last | 4 | et_checksum | (checked) | not in the root |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) depth: u16,
    pub(crate) limit: u16,
    pub(crate) generation: u32,
    pub(crate) entries: Entries,
}

impl Node {
    /// Parses a node and checks all but its checksum and the places it points to.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Parse> {
        let magic = le_u16(bytes, 0x0)?;
        if magic != MAGIC {
            return Err(ExtentDefect::Magic(magic).into());
        }
        let (entries, limit) = (le_u16(bytes, 0x2)?, le_u16(bytes, 0x4)?);
        let room = bytes.len().saturating_sub(HEADER_BYTES).checked_div(ENTRY_BYTES).unwrap_or(0);
        if entries > limit || usize::from(limit) > room {
            return Err(ExtentDefect::Entries { entries, limit, room }.into());
        }
        let depth = le_u16(bytes, 0x6)?;
        if depth > DEPTH_MAX {
            return Err(ExtentDefect::TooDeep(depth).into());
        }
        let generation = le_u32(bytes, 0x8)?;
        let raw = bytes.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
        let raw = raw.take(usize::from(entries));
        let entries = if depth == 0 {
            Entries::Leaf(raw.map(parse_extent).collect::<Result<_, _>>()?)
        } else {
            Entries::Index(raw.map(parse_child).collect::<Result<_, _>>()?)
        };
        let node = Self { depth, limit, generation, entries };
        node.check_order()?;
        Ok(node)
    }

    fn check_order(&self) -> Result<(), ExtentDefect> {
        let mut next = 0u64;
        match &self.entries {
            Entries::Index(children) => {
                for (index, (first, _)) in children.iter().enumerate() {
                    if u64::from(*first) < next {
                        return Err(ExtentDefect::Order(index));
                    }
                    next = u64::from(*first).saturating_add(1);
                }
            }
            Entries::Leaf(extents) => {
                for (index, extent) in extents.iter().enumerate() {
                    if extent.length == 0 {
                        return Err(ExtentDefect::Empty(index));
                    }
                    if u64::from(extent.first) < next {
                        return Err(ExtentDefect::Order(index));
                    }
                    next = extent.end();
                }
            }
        }
        Ok(())
    }

    /// Writes header and entries into `bytes`, and zeros over what is left of the entries.
    pub(crate) fn encode(&self, bytes: &mut [u8]) -> Result<()> {
        let count = self.len();
        put_le_u16(bytes, 0x0, MAGIC)?;
        put_le_u16(bytes, 0x2, to(count)?)?;
        put_le_u16(bytes, 0x4, self.limit)?;
        put_le_u16(bytes, 0x6, self.depth)?;
        put_le_u32(bytes, 0x8, self.generation)?;
        let area = usize::from(self.limit).saturating_mul(ENTRY_BYTES);
        let area = field::slice_mut(bytes, HEADER_BYTES, area)?;
        let (used, _) = area.split_at_mut(count.saturating_mul(ENTRY_BYTES).min(area.len()));
        let slots = used.chunks_exact_mut(ENTRY_BYTES);
        match &self.entries {
            Entries::Index(children) => {
                for (slot, (first, child)) in slots.zip(children) {
                    put_le_u32(slot, 0, *first)?;
                    put_le_u32(slot, 4, low_u32(child.0))?;
                    put_le_u16(slot, 8, low_u16(high_u32(child.0)))?;
                    put_le_u16(slot, 10, 0)?;
                }
            }
            Entries::Leaf(extents) => {
                for (slot, extent) in slots.zip(extents) {
                    let offset = if extent.is_unwritten { WRITTEN_LENGTH_MAX } else { 0 };
                    put_le_u32(slot, 0, extent.first)?;
                    put_le_u16(slot, 4, extent.length.saturating_add(offset))?;
                    put_le_u16(slot, 6, low_u16(high_u32(extent.start.0)))?;
                    put_le_u32(slot, 8, low_u32(extent.start.0))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Index(children) => children.len(),
            Entries::Leaf(extents) => extents.len(),
        }
    }

    /// The first block of the file that the node is about.
    pub(crate) fn first(&self) -> Option<u32> {
        match &self.entries {
            Entries::Index(children) => children.first().map(|(first, _)| *first),
            Entries::Leaf(extents) => extents.first().map(|extent| extent.first),
        }
    }
}

/// Why a node could not be parsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Parse {
    #[error(transparent)]
    Defect(#[from] ExtentDefect),
    #[error(transparent)]
    Short(#[from] field::Short),
}

fn parse_extent(raw: &[u8]) -> Result<Extent, field::Short> {
    let stored = le_u16(raw, 4)?;
    let is_unwritten = stored > WRITTEN_LENGTH_MAX;
    let length = if is_unwritten { stored.saturating_sub(WRITTEN_LENGTH_MAX) } else { stored };
    let start = FsBlock(join_u32(u32::from(le_u16(raw, 6)?), le_u32(raw, 8)?));
    Ok(Extent { first: le_u32(raw, 0)?, length, start, is_unwritten })
}

fn parse_child(raw: &[u8]) -> Result<(u32, FsBlock), field::Short> {
    let block = join_u32(u32::from(le_u16(raw, 8)?), le_u32(raw, 4)?);
    Ok((le_u32(raw, 0)?, FsBlock(block)))
}

/// Where the checksum of a node in a block of `limit` entries lies.
pub(super) fn tail_at(limit: u16) -> usize {
    usize::from(limit).saturating_mul(ENTRY_BYTES).saturating_add(HEADER_BYTES)
}

/// Entries that fit a block, which ends with a checksum whether or not it is used.
pub(super) fn entries_per_block(block_size_bytes: u32) -> u16 {
    let room = usize::try_from(block_size_bytes).unwrap_or(0).saturating_sub(HEADER_BYTES);
    room.checked_div(ENTRY_BYTES).and_then(|count| u16::try_from(count).ok()).unwrap_or(0)
}

impl Volume {
    /// The root of a file's tree.
    pub(crate) fn read_extent_root(&self, inode: &Inode) -> Result<Node> {
        let node = Node::parse(inode.i_block()?).map_err(|defect| {
            Corrupt::new("extent tree root", defect).of(inode.number.to_string())
        })?;
        self.check_places(inode, &node, None)?;
        Ok(node)
    }

    /// The node in `block`, which must have `depth`.
    pub(crate) fn read_extent_node(
        &self,
        inode: &Inode,
        block: FsBlock,
        depth: u16,
    ) -> Result<Node> {
        let bytes = self.read_block(block)?;
        let offset = self.superblock().block_offset(block)?;
        let corrupt = |defect: Parse| {
            Corrupt::new("extent tree node", defect).at(offset).of(inode.number.to_string())
        };
        let node = Node::parse(&bytes).map_err(corrupt)?;
        if node.depth != depth {
            let defect = ExtentDefect::Depth { actual: node.depth, expected: depth };
            return Err(corrupt(defect.into()).into());
        }
        if let Some(seed) = self.inode_seed(inode) {
            let tail_at = tail_at(node.limit);
            let stored = le_u32(&bytes, tail_at)?;
            let computed = crc32c_raw(seed, field::slice(&bytes, 0, tail_at)?);
            if !agrees(stored, computed) {
                return Err(corrupt(ExtentDefect::Checksum { stored, computed }.into()).into());
            }
        }
        self.check_places(inode, &node, Some(offset))?;
        Ok(node)
    }

    /// Checks that everything a node points to lies inside the file system.
    fn check_places(&self, inode: &Inode, node: &Node, offset: Option<u64>) -> Result<()> {
        let places: Vec<(u64, u64)> = match &node.entries {
            Entries::Index(children) => children.iter().map(|(_, block)| (block.0, 1)).collect(),
            Entries::Leaf(extents) => {
                extents.iter().map(|extent| (extent.start.0, u64::from(extent.length))).collect()
            }
        };
        let superblock = self.superblock();
        for (index, (block, length)) in places.into_iter().enumerate() {
            let is_low = block <= u64::from(superblock.first_data_block);
            if is_low || add(block, length)? > superblock.blocks_count {
                let defect = ExtentDefect::Outside { index, length, block };
                let mut corrupt =
                    Corrupt::new("extent tree node", defect).of(inode.number.to_string());
                corrupt.offset_bytes = offset;
                return Err(corrupt.into());
            }
        }
        Ok(())
    }

    /// Finds block `at` of a file that is mapped by extents.
    pub(crate) fn find_extent(&self, inode: &Inode, at: FileBlock) -> Result<MappedRun> {
        let mut node = self.read_extent_root(inode)?;
        // The first block behind everything that the present node is about.
        let mut end = 1u64 << 32;
        loop {
            match &node.entries {
                Entries::Index(children) => {
                    let after = children.partition_point(|(first, _)| *first <= at.0);
                    if let Some((first, _)) = children.get(after) {
                        end = end.min(u64::from(*first));
                    }
                    let child = after.checked_sub(1).and_then(|index| children.get(index));
                    let Some((_, block)) = child else { return Ok(hole(at, end)) };
                    let depth = node.depth.saturating_sub(1);
                    node = self.read_extent_node(inode, *block, depth)?;
                }
                Entries::Leaf(extents) => return find_in_leaf(extents, at, end),
            }
        }
    }
}

fn find_in_leaf(extents: &[Extent], at: FileBlock, end: u64) -> Result<MappedRun> {
    let after = extents.partition_point(|extent| extent.first <= at.0);
    let before = after.checked_sub(1).and_then(|index| extents.get(index));
    if let Some(extent) = before.filter(|extent| extent.end() > u64::from(at.0)) {
        let block = extent.block_at(at.0)?;
        let mapping =
            if extent.is_unwritten { Mapping::Unwritten(block) } else { Mapping::Mapped(block) };
        let length = extent.end().saturating_sub(u64::from(at.0));
        return Ok(MappedRun { mapping, length });
    }
    let next = extents.get(after).map_or(end, |extent| u64::from(extent.first).min(end));
    Ok(hole(at, next))
}

fn hole(at: FileBlock, end: u64) -> MappedRun {
    let length = end.saturating_sub(u64::from(at.0)).max(1);
    MappedRun { mapping: Mapping::Hole, length }
}
