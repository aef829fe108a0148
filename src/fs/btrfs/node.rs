//! Tree blocks: leaves with items, nodes with pointers.
//!
//! Format: Btrfs documentation, "On-disk format", sections "Header", "Leaf", "Node". A tree block has `nodesize` bytes:
//! the header, then in a leaf (level 0) the items ascending, with their data from the end of the block towards them; in
//! a node the pointers.
//!
//! | offset | size | header field    | valid when                                         |
//! |-------:|-----:|-----------------|----------------------------------------------------|
//! |      0 |   32 | csum            | of the bytes behind it                             |
//! |     32 |   16 | fsid            | the metadata UUID of the superblock                |
//! |     48 |    8 | bytenr          | the logical address of the block                   |
//! |     56 |    8 | flags           | see [`flag`]; the top byte is 1 (mixed references) |
//! |     64 |   16 | chunk_tree_uuid | any                                                |
//! |     80 |    8 | generation      | as its parent says, up to that of the superblock   |
//! |     88 |    8 | owner           | the tree it was made for                           |
//! |     96 |    4 | nritems         | as many as fit; 0 only in the root of an empty tree |
//! |    100 |    1 | level           | one below its parent                               |
//!
//! | offset | size | item field | valid when                                     |
//! |-------:|-----:|------------|------------------------------------------------|
//! |      0 |   17 | key        | above that of the item before                  |
//! |     17 |    4 | offset     | of the data, from the end of the header        |
//! |     21 |    4 | size       | the data end where those of the item before begin |
//!
//! | offset | size | pointer field | valid when                    |
//! |-------:|-----:|---------------|-------------------------------|
//! |      0 |   17 | key           | the first key of the block    |
//! |     17 |    8 | blockptr      | multiple of sectorsize        |
//! |     25 |    8 | generation    | that of the block             |

use super::checksum::FIELD_BYTES;
use super::key::{KEY_BYTES, Key};
use super::superblock::{LEVELS_MAX, Superblock};
use crate::bytes::arith::{OutOfRange, to};
use crate::bytes::field::{self, le_u32, le_u64, put_le_u32, put_le_u64, u8_at};
use crate::error::{Corrupt, Result};

/// Size of the header, in bytes.
pub(crate) const HEADER_BYTES: usize = 101;
/// Size of an item without its data, in bytes.
pub(crate) const ITEM_BYTES: usize = 25;
/// Size of a pointer, in bytes.
pub(crate) const POINTER_BYTES: usize = 33;

/// Bits of the flags of a header.
pub(crate) mod flag {
    /// The block is on the disk.
    pub(crate) const WRITTEN: u64 = 1;
    /// The top byte: references are of the mixed kind.
    pub(crate) const MIXED: u64 = 1 << 56;
}

/// What can be wrong with a tree block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// The checksum is wrong, in all copies.
    #[error("wrong checksum")]
    Checksum,
    /// It is a block of another volume.
    #[error("it belongs to another file system")]
    Uuid,
    /// A header field is not what it must be.
    #[error("{field} is {found}, must be {wanted}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it must be.
        wanted: u64,
    },
    /// More items than fit.
    #[error("{0} items do not fit")]
    ItemCount(u64),
    /// Keys do not ascend, or are outside the range of the block.
    #[error("key {0} is out of order")]
    Order(usize),
    /// Data of an item are not where they must be.
    #[error("item {0} has its data in the wrong place")]
    ItemData(usize),
    /// A pointer to nowhere.
    #[error("pointer {0} leads to {1}")]
    Pointer(usize, u64),
}

/// An item of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its key.
    pub(crate) key: Key,
    /// Its data.
    pub(crate) data: Vec<u8>,
}

/// A pointer of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// The first key of the block.
    pub(crate) key: Key,
    /// The logical address of the block.
    pub(crate) bytenr: u64,
    /// The generation of the block.
    pub(crate) generation: u64,
}

/// What is in a tree block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Level 0.
    Leaf(Vec<Item>),
    /// Level 1 and above.
    Node(Vec<Pointer>),
}

/// A tree block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its logical address.
    pub(crate) bytenr: u64,
    /// See [`flag`].
    pub(crate) flags: u64,
    /// Any.
    pub(crate) chunk_tree_uuid: [u8; 16],
    /// The transaction that wrote it.
    pub(crate) generation: u64,
    /// The tree it was made for.
    pub(crate) owner: u64,
    /// Distance from the leaves.
    pub(crate) level: u8,
    /// Items or pointers.
    pub(crate) body: Body,
}

/// What is known of a block before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Expected {
    /// Logical address.
    pub(crate) bytenr: u64,
    /// Generation.
    pub(crate) generation: u64,
    /// Level.
    pub(crate) level: u8,
}

impl Node {
    /// Parses a block whose checksum was found right.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn parse(bytes: &[u8], superblock: &Superblock, expected: Expected) -> Result<Self> {
        let corrupt = |defect| Corrupt::new("tree block", defect).at(expected.bytenr);
        if field::slice(bytes, FIELD_BYTES, 16)? != superblock.metadata_uuid.0.as_slice() {
            return Err(corrupt(Defect::Uuid).into());
        }
        let level = u8_at(bytes, 100)?;
        for (field, found, wanted) in [
            ("bytenr", le_u64(bytes, 48)?, expected.bytenr),
            ("generation", le_u64(bytes, 80)?, expected.generation),
            ("level", u64::from(level), u64::from(expected.level)),
        ] {
            if found != wanted {
                return Err(corrupt(Defect::Header { field, found, wanted }).into());
            }
        }
        let count = le_u32(bytes, 96)?;
        let body = if level == 0 {
            Body::Leaf(parse_items(bytes, count).map_err(|defect| defect.map_corrupt(&corrupt))?)
        } else {
            let pointers = parse_pointers(bytes, count, superblock);
            Body::Node(pointers.map_err(|defect| defect.map_corrupt(&corrupt))?)
        };
        Ok(Self {
            bytenr: expected.bytenr,
            flags: le_u64(bytes, 56)?,
            chunk_tree_uuid: field::array(bytes, 64)?,
            generation: expected.generation,
            owner: le_u64(bytes, 88)?,
            level,
            body,
        })
    }

    /// The items of a leaf; none of a node.
    pub(crate) fn items(&self) -> &[Item] {
        match &self.body {
            Body::Leaf(items) => items,
            Body::Node(_) => &[],
        }
    }

    /// The pointers of a node; none of a leaf.
    pub(crate) fn pointers(&self) -> &[Pointer] {
        match &self.body {
            Body::Leaf(_) => &[],
            Body::Node(pointers) => pointers,
        }
    }

    /// The items of a leaf, to be changed.
    ///
    /// # Errors
    /// `Corrupt` if it is a node.
    pub(crate) fn items_mut(&mut self) -> Result<&mut Vec<Item>> {
        match &mut self.body {
            Body::Leaf(items) => Ok(items),
            Body::Node(_) => Err(wrong_level(self.bytenr, self.level, 0)),
        }
    }

    /// The pointers of a node, to be changed.
    ///
    /// # Errors
    /// `Corrupt` if it is a leaf.
    pub(crate) fn pointers_mut(&mut self) -> Result<&mut Vec<Pointer>> {
        match &mut self.body {
            Body::Leaf(_) => Err(wrong_level(self.bytenr, self.level, 1)),
            Body::Node(pointers) => Ok(pointers),
        }
    }

    /// Brings the block into `bytes`, which has the size of a tree block, with its checksum.
    ///
    /// # Errors
    /// `Corrupt` if it does not fit.
    pub(crate) fn encode(&self, superblock: &Superblock, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(0);
        field::put(bytes, FIELD_BYTES, &superblock.metadata_uuid.0)?;
        put_le_u64(bytes, 48, self.bytenr)?;
        put_le_u64(bytes, 56, self.flags)?;
        field::put(bytes, 64, &self.chunk_tree_uuid)?;
        put_le_u64(bytes, 80, self.generation)?;
        put_le_u64(bytes, 88, self.owner)?;
        put_le_u32(bytes, 96, to(self.len())?)?;
        field::put(bytes, 100, &[self.level])?;
        let (mut at, mut data_end) = (HEADER_BYTES, bytes.len().saturating_sub(HEADER_BYTES));
        for item in self.items() {
            data_end = data_end.checked_sub(item.data.len()).ok_or(OutOfRange)?;
            field::put(bytes, at, &item.key.to_bytes())?;
            put_le_u32(bytes, at.saturating_add(KEY_BYTES), to(data_end)?)?;
            put_le_u32(bytes, at.saturating_add(21), to(item.data.len())?)?;
            field::put(bytes, data_end.saturating_add(HEADER_BYTES), &item.data)?;
            at = at.saturating_add(ITEM_BYTES);
        }
        if self.level == 0 && at > data_end.saturating_add(HEADER_BYTES) {
            return Err(OutOfRange.into());
        }
        for pointer in self.pointers() {
            field::put(bytes, at, &pointer.key.to_bytes())?;
            put_le_u64(bytes, at.saturating_add(KEY_BYTES), pointer.bytenr)?;
            put_le_u64(bytes, at.saturating_add(25), pointer.generation)?;
            at = at.saturating_add(POINTER_BYTES);
        }
        let checksum = superblock.checksum.of(bytes.get(FIELD_BYTES..).unwrap_or_default());
        Ok(field::put(bytes, 0, &checksum)?)
    }

    /// How many items or pointers there are.
    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Leaf(items) => items.len(),
            Body::Node(pointers) => pointers.len(),
        }
    }

    /// The first key; `None` in an empty leaf.
    pub(crate) fn first_key(&self) -> Option<Key> {
        match &self.body {
            Body::Leaf(items) => items.first().map(|item| item.key),
            Body::Node(pointers) => pointers.first().map(|pointer| pointer.key),
        }
    }

    /// The last key; `None` in an empty leaf.
    pub(crate) fn last_key(&self) -> Option<Key> {
        match &self.body {
            Body::Leaf(items) => items.last().map(|item| item.key),
            Body::Node(pointers) => pointers.last().map(|pointer| pointer.key),
        }
    }

    /// The pointer whose block would hold `key`, if any does; the first one for a key before all.
    pub(crate) fn child_of(&self, key: Key) -> usize {
        self.pointers().partition_point(|pointer| pointer.key <= key).saturating_sub(1)
    }

    /// Space that items or pointers take, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        match &self.body {
            Body::Leaf(items) => {
                items.iter().map(|item| ITEM_BYTES.saturating_add(item.data.len())).sum()
            }
            Body::Node(pointers) => pointers.len().saturating_mul(POINTER_BYTES),
        }
    }
}

/// Either the structure is too short, or it is wrong.
#[derive(Debug)]
enum Bad {
    Short(field::Short),
    Wrong(Defect),
}

impl Bad {
    fn map_corrupt(self, corrupt: &dyn Fn(Defect) -> Corrupt) -> crate::error::Error {
        match self {
            Self::Short(short) => short.into(),
            Self::Wrong(defect) => corrupt(defect).into(),
        }
    }
}

impl From<field::Short> for Bad {
    fn from(short: field::Short) -> Self {
        Self::Short(short)
    }
}

/// Checks that `count` entries of `entry_bytes` fit behind the header.
fn check_count(bytes: &[u8], count: u32, entry_bytes: usize) -> Result<usize, Bad> {
    let room = bytes.len().saturating_sub(HEADER_BYTES);
    let wrong = Bad::Wrong(Defect::ItemCount(count.into()));
    match to::<u32, usize>(count) {
        Ok(count) if count.saturating_mul(entry_bytes) <= room => Ok(count),
        _ => Err(wrong),
    }
}

fn parse_items(bytes: &[u8], count: u32) -> Result<Vec<Item>, Bad> {
    let count = check_count(bytes, count, ITEM_BYTES)?;
    let body = field::slice(bytes, HEADER_BYTES, bytes.len().saturating_sub(HEADER_BYTES))?;
    let table_end = count.saturating_mul(ITEM_BYTES);
    let mut data_end = body.len();
    let mut items: Vec<Item> = Vec::with_capacity(count);
    for index in 0..count {
        let entry = field::slice(body, index.saturating_mul(ITEM_BYTES), ITEM_BYTES)?;
        let key = Key::read(entry, 0)?;
        if items.last().is_some_and(|last| last.key >= key) {
            return Err(Bad::Wrong(Defect::Order(index)));
        }
        let wrong = || Bad::Wrong(Defect::ItemData(index));
        let start: usize = to(le_u32(entry, KEY_BYTES)?).map_err(|_| wrong())?;
        let size: usize = to(le_u32(entry, 21)?).map_err(|_| wrong())?;
        if start < table_end || start.checked_add(size) != Some(data_end) {
            return Err(wrong());
        }
        items.push(Item { key, data: field::slice(body, start, size)?.to_vec() });
        data_end = start;
    }
    Ok(items)
}

fn parse_pointers(bytes: &[u8], count: u32, superblock: &Superblock) -> Result<Vec<Pointer>, Bad> {
    let count = check_count(bytes, count, POINTER_BYTES)?;
    if count == 0 {
        return Err(Bad::Wrong(Defect::ItemCount(0)));
    }
    let body = field::slice(bytes, HEADER_BYTES, bytes.len().saturating_sub(HEADER_BYTES))?;
    let mut pointers: Vec<Pointer> = Vec::with_capacity(count);
    for index in 0..count {
        let entry = field::slice(body, index.saturating_mul(POINTER_BYTES), POINTER_BYTES)?;
        let pointer = Pointer {
            key: Key::read(entry, 0)?,
            bytenr: le_u64(entry, KEY_BYTES)?,
            generation: le_u64(entry, 25)?,
        };
        if pointers.last().is_some_and(|last| last.key >= pointer.key) {
            return Err(Bad::Wrong(Defect::Order(index)));
        }
        if pointer.bytenr == 0 || !superblock.is_aligned(pointer.bytenr) {
            return Err(Bad::Wrong(Defect::Pointer(index, pointer.bytenr)));
        }
        pointers.push(pointer);
    }
    Ok(pointers)
}

fn wrong_level(bytenr: u64, found: u8, wanted: u64) -> crate::error::Error {
    let defect = Defect::Header { field: "level", found: found.into(), wanted };
    Corrupt::new("tree block", defect).at(bytenr).into()
}

/// Checks the level of the root of a tree.
///
/// # Errors
/// `Corrupt` if no tree is so high.
pub(crate) fn check_level(bytenr: u64, level: u8) -> Result<()> {
    if level < LEVELS_MAX {
        return Ok(());
    }
    let wanted = u64::from(LEVELS_MAX).saturating_sub(1);
    let defect = Defect::Header { field: "level", found: level.into(), wanted };
    Err(Corrupt::new("tree block", defect).at(bytenr).into())
}

/// Room for items or pointers in a block of `node_bytes`.
pub(crate) fn room_bytes(node_bytes: u32) -> usize {
    usize::try_from(node_bytes).unwrap_or(usize::MAX).saturating_sub(HEADER_BYTES)
}

/// Number of pointers that fit into a block of `node_bytes`.
pub(crate) fn pointers_max(node_bytes: u32) -> usize {
    room_bytes(node_bytes).checked_div(POINTER_BYTES).unwrap_or(0)
}

const _: () = assert!(HEADER_BYTES > FIELD_BYTES);

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_format() {
        assert_eq!(pointers_max(16384), 493);
        assert_eq!(room_bytes(4096), 3995);
    }
}
