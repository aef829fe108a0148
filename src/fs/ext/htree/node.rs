//! One block of the index of a directory: the root or an interior node.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Hash Tree
//! Directories", tables "dx_root", "dx_node", "dx_entry" and "dx_tail". Both kinds of node hide
//! behind directory entries and continue with the same array, whose first slot holds `limit` and
//! `count` in place of a hash:
//!
//! | root | node | size | spec            | ours    | valid when                                |
//! |-----:|-----:|-----:|-----------------|---------|-------------------------------------------|
//! | 0x18 |    - |    4 | reserved_zero   | -       | 0                                         |
//! | 0x1c |    - |    1 | hash_version    | version | 0..=5                                     |
//! | 0x1d |    - |    1 | info_length     | -       | 8                                         |
//! | 0x1e |    - |    1 | indirect_levels | levels  | 0..=2, 3 with "large_dir"                 |
//! | 0x1f |    - |    1 | unused_flags    | -       | bit 0 clear                               |
//! | 0x20 |  0x8 |    2 | limit           | limit   | as many slots as the block has            |
//! | 0x22 |  0xa |    2 | count           | -       | 1..=limit                                 |
//! | 0x24 |  0xc |    4 | block           | slots   | inside the directory, not 0, no two alike |
//! | 0x28 | 0x10 |  8*n | entries         | slots   | hashes do not fall                        |
//!
//! With "metadata_csum" the last 8 bytes of the block are a "dx_tail": 4 reserved bytes and the
//! CRC-32C over the block up to the last used slot, then the reserved bytes, then four zero bytes.

use crate::bytes::{checksum, field};
use crate::fs::ext::directory::DirectoryFormat;
use std::collections::HashSet;

/// Where the slots start in the root.
const ROOT_SLOTS: usize = 0x20;
/// Where the slots start in an interior node.
const NODE_SLOTS: usize = 8;
/// Size of a slot.
const SLOT_LEN: usize = 8;
/// Size of the "dx_tail".
const TAIL_LEN: usize = 8;
/// `info_length`.
const INFO_LEN: u8 = 8;
/// Deepest index in `indirect_levels`, without "large_dir" and with it.
const LEVELS_MAX: [u8; 2] = [2, 3];

/// What is wrong with a block of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexDefect {
    /// The block is not as large as a block of this file system.
    #[error("has {actual} bytes instead of {expected}")]
    Size {
        /// Bytes there are.
        actual: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// The entries that hide the index are not as they must be.
    #[error("the entries that hide the index are damaged")]
    Disguise,
    /// `dx_root_info` makes no sense.
    #[error("dx_root_info: reserved {reserved:#x}, length {length}, flags {flags:#x}")]
    Info {
        /// `reserved_zero`.
        reserved: u32,
        /// `info_length`.
        length: u8,
        /// `unused_flags`.
        flags: u8,
    },
    /// `hash_version` is in no table.
    #[error("hash version {0} is unknown")]
    HashVersion(u8),
    /// The index is deeper than the format allows.
    #[error("indirect_levels {levels} exceeds {max}")]
    Levels {
        /// As stored.
        levels: u8,
        /// The deepest.
        max: u8,
    },
    /// `limit` or `count` do not fit the block.
    #[error("limit {limit} (should be {expected}), count {count}")]
    Count {
        /// As stored.
        limit: u16,
        /// What the block size gives.
        expected: usize,
        /// As stored.
        count: u16,
    },
    /// A slot leads to a block that cannot be a child.
    #[error("slot {slot} leads to block {block} of {block_count}")]
    Child {
        /// 0-based.
        slot: usize,
        /// As stored.
        block: u32,
        /// Blocks of the directory.
        block_count: u32,
    },
    /// Two ways lead to the same block.
    #[error("block {0} is reached twice")]
    Shared(u32),
    /// Hashes are not in order.
    #[error("slot {slot}: hash {hash:#010x} is out of order")]
    Order {
        /// 0-based.
        slot: usize,
        /// As stored.
        hash: u32,
    },
    /// A leaf holds a name that the index would not look for there.
    #[error("a name with hash {hash:#010x} is outside {from:#010x}..={to:#010x}")]
    Misplaced {
        /// Hash of the name.
        hash: u32,
        /// Lowest hash of the leaf.
        from: u32,
        /// Highest hash of the leaf.
        to: u32,
    },
    /// A node of the index stands where a leaf should be.
    #[error("is a node of the index where a leaf should be")]
    NotALeaf,
    /// The checksum of the block is wrong.
    #[error("checksum {stored:#010x} stored, {computed:#010x} computed")]
    Checksum {
        /// In the tail.
        stored: u32,
        /// Over the block.
        computed: u32,
    },
    /// A field is outside the block.
    #[error(transparent)]
    Short(#[from] field::Short),
}

/// One "dx_entry": names from `hash` on are in or below `block`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The low bit says that names with this hash start in the leaf before. 0 in the first slot.
    pub(super) hash: u32,
    /// Block of the directory.
    pub(super) block: u32,
}

/// What the root says about the whole index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RootInfo {
    /// `hash_version`.
    pub(super) hash_version: u8,
    /// `indirect_levels`: levels of nodes below the root.
    pub(super) levels: u8,
}

/// One block of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Block of the directory; the root is block 0.
    pub(super) file_block: u32,
    /// The whole block as it was read.
    bytes: Vec<u8>,
    /// Never empty.
    pub(super) slots: Vec<Slot>,
}

/// Where the slots start in block `file_block`.
fn slots_start(file_block: u32) -> usize {
    if file_block == 0 { ROOT_SLOTS } else { NODE_SLOTS }
}

/// Slots that fit into block `file_block`.
fn limit(file_block: u32, format: &DirectoryFormat) -> usize {
    let tail = if format.checksum_seed.is_some() { TAIL_LEN } else { 0 };
    let used = slots_start(file_block).saturating_add(tail);
    format.block_size().saturating_sub(used) / SLOT_LEN
}

/// True if `bytes` look like an interior node: one unused entry without a name over the whole
/// block, and the limit of a node.
pub(super) fn looks_like_node(bytes: &[u8], format: &DirectoryFormat) -> bool {
    let stored_limit = field::le_u16(bytes, NODE_SLOTS).map(usize::from);
    node_disguise(format).is_some_and(|start| bytes.starts_with(&start))
        && stored_limit == Ok(limit(1, format))
}

/// The entry that hides an interior node.
fn node_disguise(format: &DirectoryFormat) -> Option<[u8; 8]> {
    let stored = u16::try_from(format.block_size_bytes).ok();
    // A block of 64 KiB is stored as 65535 (see `directory::region`).
    let [low, high] =
        stored.or((format.block_size_bytes == 65536).then_some(u16::MAX))?.to_le_bytes();
    Some([0, 0, 0, 0, low, high, 0, 0])
}

/// Checks the root's own part.
///
/// # Errors
/// The first [`IndexDefect`].
pub(super) fn parse_root_info(
    bytes: &[u8],
    format: &DirectoryFormat,
) -> Result<RootInfo, IndexDefect> {
    let dots = (field::array::<4>(bytes, 4)?, field::array::<4>(bytes, 16)?);
    let ([12, 0, 1, _], [_, _, 2, _]) = dots else { return Err(IndexDefect::Disguise) };
    let self_inode = field::le_u32(bytes, 0)?;
    if self_inode != format.inode || field::slice(bytes, 8, 1)? != b"." {
        return Err(IndexDefect::Disguise);
    }
    let rest = format.block_size_bytes.saturating_sub(12);
    if u32::from(field::le_u16(bytes, 16)?) != rest || field::slice(bytes, 20, 2)? != b".." {
        return Err(IndexDefect::Disguise);
    }
    let reserved = field::le_u32(bytes, 0x18)?;
    let [hash_version, length, levels, flags] = field::array(bytes, 0x1c)?;
    if reserved != 0 || length != INFO_LEN || flags & 1 != 0 {
        return Err(IndexDefect::Info { reserved, length, flags });
    }
    let [small, large] = LEVELS_MAX;
    let max = if format.is_large { large } else { small };
    if levels > max {
        return Err(IndexDefect::Levels { levels, max });
    }
    Ok(RootInfo { hash_version, levels })
}

impl Node {
    /// Parses block `file_block` of a directory of `block_count` blocks.
    ///
    /// # Errors
    /// The first [`IndexDefect`].
    pub(super) fn parse(
        file_block: u32,
        bytes: Vec<u8>,
        format: &DirectoryFormat,
        block_count: u32,
    ) -> Result<Self, IndexDefect> {
        let expected = format.block_size();
        if bytes.len() != expected {
            return Err(IndexDefect::Size { actual: bytes.len(), expected });
        }
        if file_block != 0 && !node_disguise(format).is_some_and(|start| bytes.starts_with(&start))
        {
            return Err(IndexDefect::Disguise);
        }
        let start = slots_start(file_block);
        let stored_limit = field::le_u16(&bytes, start)?;
        let count = field::le_u16(&bytes, start.saturating_add(2))?;
        let expected = limit(file_block, format);
        if usize::from(stored_limit) != expected || count == 0 || count > stored_limit {
            return Err(IndexDefect::Count { limit: stored_limit, expected, count });
        }
        let mut slots = Vec::with_capacity(usize::from(count));
        for index in 0..usize::from(count) {
            let at = start.saturating_add(index.saturating_mul(SLOT_LEN));
            let hash = if index == 0 { 0 } else { field::le_u32(&bytes, at)? };
            slots.push(Slot { hash, block: field::le_u32(&bytes, at.saturating_add(4))? });
        }
        let node = Self { file_block, bytes, slots };
        node.check_checksum(format)?;
        node.check_slots(block_count)?;
        Ok(node)
    }

    /// A new interior node with `slots`.
    pub(super) fn new(file_block: u32, slots: Vec<Slot>, format: &DirectoryFormat) -> Self {
        let mut bytes = vec![0; format.block_size()];
        let start = node_disguise(format).unwrap_or_default();
        for (byte, value) in bytes.iter_mut().zip(start) {
            *byte = value;
        }
        Self { file_block, bytes, slots }
    }

    /// A new root without levels, whose only child is `child`.
    ///
    /// # Errors
    /// `Short` if the block is smaller than any block.
    pub(super) fn new_root(
        dots: [u8; 24],
        hash_version: u8,
        child: u32,
        format: &DirectoryFormat,
    ) -> Result<Self, IndexDefect> {
        let mut bytes = vec![0; format.block_size()];
        field::put(&mut bytes, 0, &dots)?;
        let rest = format.block_size_bytes.saturating_sub(12);
        let rest = u16::try_from(rest).map_err(|_| IndexDefect::Disguise)?;
        field::put_le_u16(&mut bytes, 16, rest)?;
        field::put(&mut bytes, 0x1c, &[hash_version, INFO_LEN, 0, 0])?;
        Ok(Self { file_block: 0, bytes, slots: vec![Slot { hash: 0, block: child }] })
    }

    /// Sets `indirect_levels` of the root.
    ///
    /// # Errors
    /// `Short`: never for a node that was parsed.
    pub(super) fn set_levels(&mut self, levels: u8) -> Result<(), IndexDefect> {
        Ok(field::put(&mut self.bytes, 0x1e, &[levels])?)
    }

    /// True if another slot fits.
    pub(super) fn has_room(&self, format: &DirectoryFormat) -> bool {
        self.slots.len() < limit(self.file_block, format)
    }

    /// The slot whose part of the index holds `hash`.
    pub(super) fn position(&self, hash: u32) -> usize {
        self.slots.partition_point(|slot| slot.hash <= hash).saturating_sub(1)
    }

    /// The block with its slots and checksum.
    ///
    /// # Errors
    /// `Count` if the slots do not fit.
    pub(super) fn encode(&self, format: &DirectoryFormat) -> Result<Vec<u8>, IndexDefect> {
        let start = slots_start(self.file_block);
        let expected = limit(self.file_block, format);
        let limit = u16::try_from(expected).unwrap_or(u16::MAX);
        let count = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        if count == 0 || count > limit {
            return Err(IndexDefect::Count { limit, expected, count });
        }
        let mut bytes = self.bytes.clone();
        for (index, slot) in self.slots.iter().enumerate() {
            let at = start.saturating_add(index.saturating_mul(SLOT_LEN));
            field::put_le_u32(&mut bytes, at, slot.hash)?;
            field::put_le_u32(&mut bytes, at.saturating_add(4), slot.block)?;
        }
        field::put_le_u16(&mut bytes, start, limit)?;
        field::put_le_u16(&mut bytes, start.saturating_add(2), count)?;
        if let Some((computed, at)) = self.checksum(&bytes, format)? {
            field::put_le_u32(&mut bytes, at, computed)?;
        }
        Ok(bytes)
    }

    /// The checksum that `bytes` should have, and where it stands.
    fn checksum(
        &self,
        bytes: &[u8],
        format: &DirectoryFormat,
    ) -> Result<Option<(u32, usize)>, IndexDefect> {
        let Some(seed) = format.checksum_seed else { return Ok(None) };
        let start = slots_start(self.file_block);
        let end = |slots: usize| start.saturating_add(slots.saturating_mul(SLOT_LEN));
        let used = field::slice(bytes, 0, end(self.slots.len()))?;
        let tail = end(limit(self.file_block, format));
        let computed = checksum::crc32c_raw(seed, used);
        let computed = checksum::crc32c_raw(computed, field::slice(bytes, tail, 4)?);
        let computed = checksum::crc32c_raw(computed, &[0; 4]);
        Ok(Some((computed, tail.saturating_add(4))))
    }

    fn check_checksum(&self, format: &DirectoryFormat) -> Result<(), IndexDefect> {
        let Some((computed, at)) = self.checksum(&self.bytes, format)? else { return Ok(()) };
        let stored = field::le_u32(&self.bytes, at)?;
        if checksum::agrees(stored, computed) {
            Ok(())
        } else {
            Err(IndexDefect::Checksum { stored, computed })
        }
    }

    /// Children inside the directory, none twice, hashes in order.
    fn check_slots(&self, block_count: u32) -> Result<(), IndexDefect> {
        let mut seen = HashSet::with_capacity(self.slots.len());
        let mut before = 0;
        for (slot, &Slot { hash, block }) in self.slots.iter().enumerate() {
            if block == 0 || block >= block_count || block == self.file_block {
                return Err(IndexDefect::Child { slot, block, block_count });
            }
            if !seen.insert(block) {
                return Err(IndexDefect::Shared(block));
            }
            if hash < before {
                return Err(IndexDefect::Order { slot, hash });
            }
            before = hash;
        }
        Ok(())
    }
}
