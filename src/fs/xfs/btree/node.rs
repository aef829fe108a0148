//! One block of a tree: header, records or keys and pointers.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Fixed Length Record B+trees", sections "Short Format
//! B+trees" and "Long Format B+trees". Big-endian, but for the checksum.
//!
//! | short | long | size | spec | here | valid when |
//! |------:|-----:|-----:|------|------|------------|
//! | 0x0 | 0x0 | 4 | bb_magic | (checked) | that of the tree, and of blocks with or without checksums |
//! | 0x4 | 0x4 | 2 | bb_level | level | one less than the parent's |
//! | 0x6 | 0x6 | 2 | bb_numrecs | (length) | not 0 but in the root leaf; fits |
//! | 0x8 | 0x8 | 4 / 8 | bb_leftsib | left | as the parent says; all ones for none |
//! | 0xc | 0x10 | 4 / 8 | bb_rightsib | right | as the parent says; all ones for none |
//! | 0x10 | 0x18 | 8 | bb_blkno | (checked) | v5: own address in units of 512 bytes |
//! | 0x18 | 0x20 | 8 | bb_lsn | (kept) | v5 |
//! | 0x20 | 0x28 | 16 | bb_uuid | (checked) | v5: the metadata UUID |
//! | 0x30 | 0x38 | 4 / 8 | bb_owner | (checked) | v5: allocation group / inode |
//! | 0x34 | 0x40 | 4 | bb_crc | (checked) | v5: little-endian CRC-32C of the block |
//! | - | 0x44 | 4 | bb_pad | (kept) | |
//!
//! The header ends at 0x38 / 0x48 with checksums, at 0x10 / 0x18 without. Records follow in a leaf. In an inner
//! node an array of keys follows (a low and a high key each in trees of overlapping records), and behind the place
//! for the last possible key an array of pointers.

use super::entries::{Entries, keys_bytes, parse_children, parse_pointer, parse_records};
use super::entries::{pointer_bytes, put_children, put_pointer};
use super::expected::{Expected, check_children, check_records};
use super::kind::{Form, RecordDefect, TreeKind};
use super::store::{NodeSource, Pointer, Shape};
use crate::bytes::arith::to;
use crate::bytes::field::{self, be_u16, be_u32, be_u64};
use crate::bytes::field::{put, put_be_u16, put_be_u32, put_be_u64};
use crate::error::{Corrupt, Error, Result};
use crate::fs::xfs::checksum::{self, ChecksumDefect};

/// Bound on the levels of a tree. The deepest that the format allows have 9 or 10.
pub(crate) const LEVELS_MAX: u32 = 12;

/// What can be wrong with a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TreeDefect {
    #[error("magic is {actual:#010x}, should be {expected:#010x}")]
    Magic { actual: u32, expected: u32 },
    #[error("volumes without checksums have no such tree")]
    NoSuchTree,
    #[error(transparent)]
    Checksum(#[from] ChecksumDefect),
    #[error(
        "it says that it is at {actual:#x}, but it was read from {expected:#x} (512-byte units)"
    )]
    Address { actual: u64, expected: u64 },
    #[error("it belongs to another file system")]
    Uuid,
    #[error("its owner is {actual}, should be {expected}")]
    Owner { actual: u64, expected: u64 },
    #[error("level is {actual}, should be {expected}")]
    Level { actual: u16, expected: u16 },
    #[error("{0} levels, which is outside 1 to 12")]
    Levels(u32),
    #[error("{actual} entries, should be {min} to {max}")]
    Entries { actual: usize, min: usize, max: usize },
    #[error("left sibling is {actual:?}, which contradicts its parent or neighbour")]
    LeftSibling { actual: Option<Pointer> },
    #[error("right sibling is {actual:?}, which contradicts its parent or neighbour")]
    RightSibling { actual: Option<Pointer> },
    #[error("record {index}: {defect}")]
    Record { index: usize, defect: RecordDefect },
    #[error("entry {0} is out of order or overlaps the one before it")]
    Order(usize),
    #[error("entry {0} is outside the keys that its parent gives")]
    Range(usize),
    #[error("entry {0} has a key that is not the one of the block it points to")]
    Key(usize),
    #[error("a record with this key exists already")]
    Exists,
    #[error("there is no record with this key")]
    Missing,
    #[error("the last record of a tree in an inode cannot be removed from the tree")]
    LastRecord,
    #[error("blocks of {0} bytes have no room for a tree")]
    BlockSize(u32),
    #[error("the root is in an inode instead of a block, or the other way round")]
    RootKind,
    #[error("the edit needs more blocks each time it is planned")]
    Unstable,
}

/// Sizes and places in the blocks of one kind of tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) header_bytes: usize,
    /// Records in a full leaf.
    pub(super) record_max: usize,
    /// Pointers in a full inner node.
    pub(super) child_max: usize,
}

impl Layout {
    /// The layout of the blocks of a tree.
    pub(super) fn of<K: TreeKind>(shape: &Shape) -> Result<Self> {
        let header_bytes = match (K::FORM, shape.uuid.is_some()) {
            (Form::Short, true) => 0x38,
            (Form::Short, false) => 0x10,
            (Form::Long, true) => 0x48,
            (Form::Long, false) => 0x18,
        };
        let room = to::<_, usize>(shape.block_size_bytes)?.saturating_sub(header_bytes);
        let child_bytes = keys_bytes::<K>().saturating_add(pointer_bytes(K::FORM));
        let record_max = room.checked_div(K::RECORD_BYTES).unwrap_or(0);
        let child_max = room.checked_div(child_bytes).unwrap_or(0);
        // With less than four, a node at its minimum could be without siblings.
        if record_max.min(child_max) < 4 {
            let defect = TreeDefect::BlockSize(shape.block_size_bytes);
            return Err(Corrupt::new(K::STRUCTURE, defect).into());
        }
        Ok(Self { header_bytes, record_max, child_max })
    }

    /// Entries in a full block of `level`.
    pub(super) fn capacity(&self, level: u16) -> usize {
        if level == 0 { self.record_max } else { self.child_max }
    }

    /// Entries that a block of `level` must have, unless it is the root.
    pub(super) fn minimum(&self, level: u16) -> usize {
        self.capacity(level) >> 1
    }
}

/// One block of a tree, or the root in an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node<K: TreeKind> {
    pub(super) level: u16,
    pub(super) left: Option<Pointer>,
    pub(super) right: Option<Pointer>,
    pub(super) entries: Entries<K>,
    /// The bytes as read; what is behind the entries is kept.
    pub(super) raw: Vec<u8>,
}

impl<K: TreeKind> Node<K> {
    /// A block that replaces whatever was there.
    pub(super) fn new(shape: &Shape, level: u16, entries: Entries<K>) -> Result<Self> {
        let raw = vec![0; to(shape.block_size_bytes)?];
        Ok(Self { level, left: None, right: None, entries, raw })
    }

    /// Reads and checks the block at `at`.
    pub(super) fn read<S: NodeSource>(
        source: &S,
        at: Pointer,
        expected: &Expected<K>,
    ) -> Result<Self> {
        let (shape, daddr) = (source.shape(), source.daddr(at)?);
        let raw = source.read(at)?;
        let parsed = Self::parse(raw, &shape, daddr, expected.level);
        let checked = parsed.and_then(|node| match node.check(expected, &shape) {
            Ok(()) => Ok(node),
            Err(defect) => Err(Parse::Defect(defect)),
        });
        checked.map_err(|error| match error {
            Parse::Defect(defect) => corrupt::<K>(defect, &shape, Some(daddr)),
            Parse::Other(error) => error,
        })
    }

    fn parse(raw: Vec<u8>, shape: &Shape, daddr: u64, level: u16) -> Result<Self, Parse> {
        let layout = Layout::of::<K>(shape)?;
        check_header::<K>(&raw, shape, daddr)?;
        let actual = be_u16(&raw, 0x4)?;
        if actual != level {
            return Err(TreeDefect::Level { actual, expected: level }.into());
        }
        let (count, max) = (usize::from(be_u16(&raw, 0x6)?), layout.capacity(level));
        if count > max {
            return Err(TreeDefect::Entries { actual: count, min: 1, max }.into());
        }
        let pointer_bytes = pointer_bytes(K::FORM);
        let left = parse_pointer(K::FORM, &raw, 0x8)?;
        let right = parse_pointer(K::FORM, &raw, 0x8_usize.saturating_add(pointer_bytes))?;
        let body = raw.get(layout.header_bytes..).unwrap_or_default();
        let entries = if level == 0 {
            Entries::Records(parse_records::<K>(body, count, &shape.bounds)?)
        } else {
            Entries::Children(parse_children(body, count, layout.child_max)?)
        };
        Ok(Self { level, left, right, entries, raw })
    }

    /// Checks order, place in the tree, and every record.
    pub(super) fn check(&self, expected: &Expected<K>, shape: &Shape) -> Result<(), TreeDefect> {
        if !expected.left.suits(self.left) {
            return Err(TreeDefect::LeftSibling { actual: self.left });
        }
        if !expected.right.suits(self.right) {
            return Err(TreeDefect::RightSibling { actual: self.right });
        }
        let is_empty_tree = expected.is_root && self.level == 0;
        if self.entries.len() == 0 && !is_empty_tree {
            return Err(TreeDefect::Entries { actual: 0, min: 1, max: usize::MAX });
        }
        match &self.entries {
            Entries::Records(records) => check_records::<K>(records, expected, &shape.bounds),
            Entries::Children(children) => check_children(children, expected),
        }
    }

    /// The bytes of the block with everything in it, sealed.
    pub(super) fn encode(&self, shape: &Shape, daddr: u64) -> Result<Vec<u8>> {
        let layout = Layout::of::<K>(shape)?;
        let mut raw = self.raw.clone();
        put_be_u32(&mut raw, 0x0, magic::<K>(shape)?)?;
        put_be_u16(&mut raw, 0x4, self.level)?;
        put_be_u16(&mut raw, 0x6, to(self.entries.len())?)?;
        let pointer_bytes = pointer_bytes(K::FORM);
        put_pointer(K::FORM, &mut raw, 0x8, self.left)?;
        put_pointer(K::FORM, &mut raw, 0x8_usize.saturating_add(pointer_bytes), self.right)?;
        let body = raw.get_mut(layout.header_bytes..).unwrap_or_default();
        match &self.entries {
            Entries::Records(records) => {
                for (bytes, record) in body.chunks_exact_mut(K::RECORD_BYTES).zip(records) {
                    K::encode(record, bytes, &shape.bounds)?;
                }
            }
            Entries::Children(children) => put_children(children, body, layout.child_max)?,
        }
        if let Some(uuid) = shape.uuid {
            let at = SelfDescription::of(K::FORM);
            put_be_u64(&mut raw, at.address, daddr)?;
            put(&mut raw, at.uuid, &uuid)?;
            match K::FORM {
                Form::Short => put_be_u32(&mut raw, at.owner, to(shape.owner)?)?,
                Form::Long => put_be_u64(&mut raw, at.owner, shape.owner)?,
            }
            checksum::seal(&mut raw, at.crc)?;
        }
        Ok(raw)
    }

    /// The place of `key`: of the record with it or the first behind it; of the child that would hold it.
    pub(super) fn search(&self, key: &K::Key) -> usize {
        match &self.entries {
            Entries::Records(all) => all.partition_point(|record| K::key(record) < *key),
            Entries::Children(all) => {
                all.partition_point(|child| K::order(&child.low) <= *key).saturating_sub(1)
            }
        }
    }
}

/// A defect of a tree without more than its place.
pub(super) fn corrupt<K: TreeKind>(defect: TreeDefect, shape: &Shape, daddr: Option<u64>) -> Error {
    let owner = match K::FORM {
        Form::Short => format!("allocation group {}", shape.owner),
        Form::Long => format!("inode {}", shape.owner),
    };
    let corrupt = Corrupt::new(K::STRUCTURE, defect).of(owner);
    match daddr.and_then(|daddr| daddr.checked_mul(512)) {
        Some(offset) => corrupt.at(offset).into(),
        None => corrupt.into(),
    }
}

/// A defect, or an error that already says where it is.
enum Parse {
    Defect(TreeDefect),
    Other(Error),
}

impl From<TreeDefect> for Parse {
    fn from(defect: TreeDefect) -> Self {
        Self::Defect(defect)
    }
}

impl From<Error> for Parse {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<field::Short> for Parse {
    fn from(defect: field::Short) -> Self {
        Self::Other(defect.into())
    }
}

/// Where the fields are that say where a block belongs.
struct SelfDescription {
    address: usize,
    uuid: usize,
    owner: usize,
    crc: usize,
}

impl SelfDescription {
    const fn of(form: Form) -> Self {
        match form {
            Form::Short => Self { address: 0x10, uuid: 0x20, owner: 0x30, crc: 0x34 },
            Form::Long => Self { address: 0x18, uuid: 0x28, owner: 0x38, crc: 0x40 },
        }
    }
}

fn magic<K: TreeKind>(shape: &Shape) -> Result<u32> {
    let magic = if shape.uuid.is_some() { Some(K::MAGIC_V5) } else { K::MAGIC_V4 };
    magic.ok_or_else(|| corrupt::<K>(TreeDefect::NoSuchTree, shape, None))
}

/// Checks magic, checksum, and that the block is where and whose it says.
fn check_header<K: TreeKind>(raw: &[u8], shape: &Shape, daddr: u64) -> Result<(), Parse> {
    let (actual, expected) = (be_u32(raw, 0x0)?, magic::<K>(shape)?);
    if actual != expected {
        return Err(TreeDefect::Magic { actual, expected }.into());
    }
    let Some(uuid) = shape.uuid else { return Ok(()) };
    let at = SelfDescription::of(K::FORM);
    checksum::verify(raw, at.crc)?.map_err(TreeDefect::from)?;
    let actual = be_u64(raw, at.address)?;
    if actual != daddr {
        return Err(TreeDefect::Address { actual, expected: daddr }.into());
    }
    if field::slice(raw, at.uuid, uuid.len())? != uuid {
        return Err(TreeDefect::Uuid.into());
    }
    let actual = match K::FORM {
        Form::Short => be_u32(raw, at.owner)?.into(),
        Form::Long => be_u64(raw, at.owner)?,
    };
    if actual != shape.owner {
        return Err(TreeDefect::Owner { actual, expected: shape.owner }.into());
    }
    Ok(())
}
