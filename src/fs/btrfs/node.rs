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

mod encode;
mod parse;

use super::checksum::FIELD_BYTES;
use super::key::Key;
use super::superblock::LEVELS_MAX;
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
