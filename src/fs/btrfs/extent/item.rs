//! Extent items with the references inside them.
//!
//! | offset | size | field      | valid when                                                             |
//! |-------:|-----:|------------|------------------------------------------------------------------------|
//! |      0 |    8 | refs       | sum of all references, inside the item and as items of their own       |
//! |      8 |    8 | generation | the transaction that allocated it                                      |
//! |     16 |    8 | flags      | see [`flag`]                                                           |
//! |     24 |   17 | key        | tree blocks under an EXTENT_ITEM only: the first key of the block      |
//! |     41 |    1 | level      | as key                                                                 |
//!
//! Behind that come references, ascending by type, and descending by root, parent or hash within a type. A reference
//! that finds no room is an item of its own with the key (address, type, root or parent or hash).
//!
//! | type                  | inside the item, behind the type byte            | as an item                 |
//! |-----------------------|--------------------------------------------------|----------------------------|
//! | TREE_BLOCK_REF (176)  | root (8)                                         | nothing                    |
//! | EXTENT_DATA_REF (178) | root (8), inode (8), file offset (8), count (4)  | the same                   |
//! | SHARED_BLOCK_REF (182)| parent (8)                                       | nothing                    |
//! | SHARED_DATA_REF (184) | parent (8), count (4)                            | count (4)                  |

use crate::bytes::checksum::crc32c_raw;
use crate::bytes::field::{self, le_u32, le_u64, u8_at};
use crate::error::{Corrupt, Result};
use crate::fs::btrfs::key::{KEY_BYTES, Key, item};

const FIXED_BYTES: usize = 24;
const BLOCK_INFO_BYTES: usize = KEY_BYTES + 1;

/// Bits of the flags.
pub(crate) mod flag {
    /// Holds data.
    pub(crate) const DATA: u64 = 1;
    /// Is a tree block.
    pub(crate) const TREE_BLOCK: u64 = 2;
    /// What the block points to is referenced by its address, not by its tree.
    pub(crate) const FULL_BACKREF: u64 = 256;
}

/// What can be wrong with the extent tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// A reference of a type that is not known.
    #[error("a reference has type {0}")]
    Type(u8),
    /// Space that is used is not recorded.
    #[error("no extent item")]
    Missing,
    /// Something uses the extent that the extent does not know.
    #[error("the {0} is not recorded")]
    Unrecorded(Reference),
    /// Numbers that do not agree.
    #[error("{0} references, but {1} are recorded")]
    Count(u64, u64),
}

/// Who uses an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// A tree block, by the tree.
    Tree(u64),
    /// Data, by a file; the offset is that of the start of the extent in the file, and may wrap.
    Data {
        /// The tree.
        root: u64,
        /// The inode.
        inode: u64,
        /// Where the extent would start in the file.
        offset: u64,
    },
    /// A tree block, by the block that points to it.
    SharedTree(u64),
    /// Data, by the leaf that points to it.
    SharedData(u64),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tree(tree) => write!(f, "reference of tree {tree}"),
            Self::Data { root, inode, .. } => {
                write!(f, "reference of inode {inode} in tree {root}")
            }
            Self::SharedTree(block) | Self::SharedData(block) => {
                write!(f, "reference of the block at {block}")
            }
        }
    }
}

impl Reference {
    /// The type of the item that a reference is.
    pub(crate) fn kind(self) -> u8 {
        match self {
            Self::Tree(_) => item::TREE_BLOCK_REF,
            Self::Data { .. } => item::EXTENT_DATA_REF,
            Self::SharedTree(_) => item::SHARED_BLOCK_REF,
            Self::SharedData(_) => item::SHARED_DATA_REF,
        }
    }

    /// What references of one type are sorted by: the root, the parent, or a hash.
    pub(crate) fn sequence(self) -> u64 {
        match self {
            Self::Tree(number) | Self::SharedTree(number) | Self::SharedData(number) => number,
            Self::Data { root, inode, offset } => {
                let high = crc32c_raw(!0, &root.to_le_bytes());
                let low = crc32c_raw(!0, &inode.to_le_bytes());
                let low = crc32c_raw(low, &offset.to_le_bytes());
                (u64::from(high) << 31) ^ u64::from(low)
            }
        }
    }

    /// How many bytes it takes inside an extent item.
    pub(crate) fn inline_bytes(self) -> usize {
        match self {
            Self::Tree(_) | Self::SharedTree(_) => 9,
            Self::Data { .. } => 29,
            Self::SharedData(_) => 13,
        }
    }

    /// The data of an item of its own.
    pub(crate) fn item_data(self, count: u32) -> Vec<u8> {
        match self {
            Self::Tree(_) | Self::SharedTree(_) => Vec::new(),
            Self::Data { root, inode, offset } => {
                let numbers = [root, inode, offset].map(u64::to_le_bytes).concat();
                [numbers.as_slice(), &count.to_le_bytes()].concat()
            }
            Self::SharedData(_) => count.to_le_bytes().to_vec(),
        }
    }

    /// Reads an item of its own: the reference and its count.
    ///
    /// # Errors
    /// `Corrupt` if it is too short or of another type.
    pub(crate) fn parse_item(key: Key, data: &[u8]) -> Result<(Self, u32)> {
        Ok(match key.kind {
            item::TREE_BLOCK_REF => (Self::Tree(key.offset), 1),
            item::SHARED_BLOCK_REF => (Self::SharedTree(key.offset), 1),
            item::SHARED_DATA_REF => (Self::SharedData(key.offset), le_u32(data, 0)?),
            item::EXTENT_DATA_REF => parse_data(data)?,
            kind => return Err(wrong_type(kind, key.objectid)),
        })
    }
}

fn parse_data(data: &[u8]) -> Result<(Reference, u32)> {
    let (root, inode, offset) = (le_u64(data, 0)?, le_u64(data, 8)?, le_u64(data, 16)?);
    Ok((Reference::Data { root, inode, offset }, le_u32(data, 24)?))
}

fn wrong_type(kind: u8, bytenr: u64) -> crate::error::Error {
    Corrupt::new("extent item", Defect::Type(kind)).of(format!("extent at {bytenr}")).into()
}

/// An extent item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtentItem {
    /// Sum of all references.
    pub(crate) refs: u64,
    /// The transaction that allocated it.
    pub(crate) generation: u64,
    /// See [`flag`].
    pub(crate) flags: u64,
    /// First key and level, of tree blocks that are not `METADATA_ITEM`s.
    pub(crate) block: Option<(Key, u8)>,
    /// References inside the item with their counts.
    pub(crate) inline: Vec<(Reference, u32)>,
}

impl ExtentItem {
    /// Parses the item under `key`.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn parse(key: Key, data: &[u8]) -> Result<Self> {
        let flags = le_u64(data, 16)?;
        let has_block = flags & flag::TREE_BLOCK != 0 && key.kind == item::EXTENT_ITEM;
        let block =
            has_block.then(|| Ok::<_, field::Short>((Key::read(data, 24)?, u8_at(data, 41)?)));
        let block = block.transpose()?;
        let mut at = FIXED_BYTES;
        if has_block {
            at = at.saturating_add(BLOCK_INFO_BYTES);
        }
        let mut inline = Vec::new();
        while at < data.len() {
            let (reference, count) = parse_inline(key.objectid, data, at)?;
            at = at.saturating_add(reference.inline_bytes());
            inline.push((reference, count));
        }
        Ok(Self { refs: le_u64(data, 0)?, generation: le_u64(data, 8)?, flags, block, inline })
    }

    /// The item as it stands on the disk.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut data = [self.refs, self.generation, self.flags].map(u64::to_le_bytes).concat();
        if let Some((key, level)) = self.block {
            data.extend(key.to_bytes());
            data.push(level);
        }
        for &(reference, count) in &self.inline {
            data.push(reference.kind());
            match reference {
                Reference::Tree(number) | Reference::SharedTree(number) => {
                    data.extend(number.to_le_bytes());
                }
                Reference::SharedData(number) => {
                    data.extend(number.to_le_bytes());
                    data.extend(count.to_le_bytes());
                }
                Reference::Data { .. } => data.extend(reference.item_data(count)),
            }
        }
        data
    }

    /// Size on the disk, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        let block = self.block.map_or(0, |_| BLOCK_INFO_BYTES);
        let inline: usize = self.inline.iter().map(|(reference, _)| reference.inline_bytes()).sum();
        FIXED_BYTES.saturating_add(block).saturating_add(inline)
    }

    /// Adds a reference that is not there yet, in its place.
    pub(crate) fn insert(&mut self, reference: Reference, count: u32) {
        let place = |known: Reference| (known.kind(), std::cmp::Reverse(known.sequence()));
        let index = self.inline.partition_point(|&(known, _)| place(known) < place(reference));
        self.inline.insert(index, (reference, count));
    }
}

fn parse_inline(bytenr: u64, data: &[u8], at: usize) -> Result<(Reference, u32)> {
    let kind = u8_at(data, at)?;
    let at = at.saturating_add(1);
    Ok(match kind {
        item::TREE_BLOCK_REF => (Reference::Tree(le_u64(data, at)?), 1),
        item::SHARED_BLOCK_REF => (Reference::SharedTree(le_u64(data, at)?), 1),
        item::SHARED_DATA_REF => {
            (Reference::SharedData(le_u64(data, at)?), le_u32(data, at.saturating_add(8))?)
        }
        item::EXTENT_DATA_REF => parse_data(data.get(at..).unwrap_or_default())?,
        kind => return Err(wrong_type(kind, bytenr)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_come_back_in_their_order() {
        let mut extent = ExtentItem {
            refs: 7,
            generation: 9,
            flags: flag::DATA,
            block: None,
            inline: Vec::new(),
        };
        let data = |offset| Reference::Data { root: 5, inode: 257, offset };
        for reference in
            [Reference::SharedData(4096), data(0), Reference::SharedData(8192), data(4096)]
        {
            extent.insert(reference, 2);
        }
        let kinds: Vec<u8> = extent.inline.iter().map(|(reference, _)| reference.kind()).collect();
        assert_eq!(kinds, [178, 178, 184, 184]);
        assert_eq!(extent.inline[2].0, Reference::SharedData(8192));
        assert!(extent.inline[0].0.sequence() > extent.inline[1].0.sequence());
        let bytes = extent.encode();
        assert_eq!(bytes.len(), extent.len_bytes());
        let key = Key::new(1 << 20, item::EXTENT_ITEM, 4096);
        assert_eq!(ExtentItem::parse(key, &bytes).unwrap(), extent);
        assert!(ExtentItem::parse(key, &bytes[..bytes.len() - 1]).is_err());
    }

    /// `btrfs inspect-internal dump-tree` shows this key for a reference of tree 5, inode 257, offset 0.
    #[test]
    fn the_hash_of_a_data_reference() {
        let reference = Reference::Data { root: 5, inode: 257, offset: 0 };
        assert_eq!(
            reference.sequence(),
            (u64::from(crc32c_raw(!0, &5u64.to_le_bytes())) << 31)
                ^ u64::from(crc32c_raw(!0, &[257u64.to_le_bytes(), [0; 8]].concat()))
        );
    }
}
