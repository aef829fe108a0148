//! Extended attributes: those after the fixed part of an inode, and those in a block of their own.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Extended
//! Attributes". Both places hold the same table of entries, with the values behind it ([`area`]);
//! they differ in their header and in what value offsets count from. Everything here is pure: the
//! caller reads and stores the bytes, and decides which attribute goes where.
//!
//! Not handled: changing an attribute whose value is in an inode of its own ("ea_inode"), which is
//! refused.

mod area;
mod hash;

use crate::bytes::{arith, checksum, field, text};
use crate::error::{Corrupt, Error, Refusal, Result};
use crate::fs::Xattr;
pub(crate) use area::XattrDefect;
use area::{Area, HashRule};

/// Start of both kinds of attribute storage.
const MAGIC: u32 = 0xea02_0000;
/// Length of "ext4_xattr_ibody_header".
const REGION_HEADER_LEN: usize = 4;
/// Length of "ext4_xattr_header".
const BLOCK_HEADER_LEN: usize = 32;
/// Highest reference count of a block.
pub(crate) const REFERENCES_MAX: u32 = 1024;
/// Longest name without its prefix, in bytes.
const NAME_LEN_MAX: usize = 255;
/// Name index of `system.data` and others without an index of their own.
const INDEX_SYSTEM: u8 = 7;

/// Name indices and what they stand for (table "Attribute Name Indices"). An index that stands for
/// a whole name comes before the prefix that would fit too.
const NAME_INDICES: [(u8, &[u8], bool); 7] = [
    (1, b"user.", false),
    (2, b"system.posix_acl_access", true),
    (3, b"system.posix_acl_default", true),
    (4, b"trusted.", false),
    (6, b"security.", false),
    (8, b"system.richacl", true),
    (INDEX_SYSTEM, b"system.", false),
];

/// Where the value of an attribute is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Beside its entry.
    Inside(Vec<u8>),
    /// In an inode of its own (feature "ea_inode").
    InInode {
        /// `e_value_inum`.
        inode: u32,
        /// `e_value_size`.
        size_bytes: u32,
    },
}

/// One attribute as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// `e_name_index`; also values that have no name here are kept.
    pub(crate) index: u8,
    /// `e_name`: the name without what `index` stands for.
    pub(crate) name: Vec<u8>,
    /// The value.
    pub(crate) value: Value,
    /// `e_hash` as stored; 0 means that there is none.
    hash: u32,
}

impl Attribute {
    /// A new attribute with the full name `name`; `None` if no index fits.
    pub(crate) fn new(name: &[u8], value: &[u8]) -> Option<Self> {
        let (index, name) = split_name(name)?;
        let value = Value::Inside(value.to_vec());
        Some(Self { index, name: name.to_vec(), value, hash: 0 })
    }

    /// The full name, as in `security.selinux`; `None` if the index is not in the table, as for
    /// those that only the kernel itself uses.
    pub(crate) fn full_name(&self) -> Option<Vec<u8>> {
        let (_, prefix, is_whole) =
            NAME_INDICES.into_iter().find(|&(index, ..)| index == self.index)?;
        if is_whole != self.name.is_empty() {
            return None;
        }
        Some([prefix, &self.name].concat())
    }

    /// True for `system.data`, the rest of the content of an inline file or directory.
    pub(crate) fn is_inline_data(&self) -> bool {
        self.index == INDEX_SYSTEM && self.name == b"data"
    }

    /// True if `name` is the full name of this attribute.
    pub(crate) fn is_named(&self, name: &[u8]) -> bool {
        split_name(name) == Some((self.index, self.name.as_slice()))
    }
}

/// The index and the rest of a full name; `None` if no attribute can have this name.
fn split_name(full: &[u8]) -> Option<(u8, &[u8])> {
    let split = NAME_INDICES.into_iter().find_map(|(index, prefix, is_whole)| {
        let rest = full.strip_prefix(prefix)?;
        (is_whole == rest.is_empty()).then_some((index, rest))
    });
    split.filter(|(_, rest)| rest.len() <= NAME_LEN_MAX && !rest.contains(&0))
}

/// Parses the region between the fixed part of an inode (128 + `i_extra_isize` bytes) and its end.
/// Without the magic number there are no attributes.
///
/// | offset | size | spec    | valid when                                  |
/// |-------:|-----:|---------|---------------------------------------------|
/// |    0x0 |    4 | h_magic | 0xea020000                                  |
/// |    0x4 |    - | entries | see [`area`]; value offsets count from here |
///
/// # Errors
/// The first [`XattrDefect`].
pub(crate) fn parse_region(region: &[u8]) -> Result<Vec<Attribute>, XattrDefect> {
    if field::le_u32(region, 0) != Ok(MAGIC) {
        return Ok(Vec::new());
    }
    Area { bytes: region.get(REGION_HEADER_LEN..).unwrap_or_default(), entries_start: 0 }.parse()
}

/// The region of an inode with `attributes` in their order; `None` if `space_bytes` are not enough.
/// Without attributes it is all zeros.
pub(crate) fn encode_region(attributes: &[Attribute], space_bytes: usize) -> Option<Vec<u8>> {
    let mut region = vec![0; space_bytes];
    if attributes.is_empty() {
        return Some(region);
    }
    field::put_le_u32(&mut region, 0, MAGIC).ok()?;
    let entries = region.get_mut(REGION_HEADER_LEN..)?;
    area::encode(entries, 0, attributes, HashRule::OnlyOutside)?;
    Some(region)
}

/// A block of attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XattrBlock {
    /// `h_refcount`: inodes that share it, 1..=[`REFERENCES_MAX`].
    pub(crate) reference_count: u32,
    /// In the order in which they are stored.
    pub(crate) attributes: Vec<Attribute>,
}

/// Parses the attribute block `block_number` of the file system; `checksum_seed` is that of the
/// whole file system, and `None` without "metadata_csum".
///
/// | offset | size | spec       | ours            | valid when                           |
/// |-------:|-----:|------------|-----------------|--------------------------------------|
/// |    0x0 |    4 | h_magic    | -               | 0xea020000                           |
/// |    0x4 |    4 | h_refcount | reference_count | 1..=1024                             |
/// |    0x8 |    4 | h_blocks   | -               | 1                                    |
/// |    0xc |    4 | h_hash     | -               | any; used by the kernel's cache      |
/// |   0x10 |    4 | h_checksum | -               | CRC-32C of block number and block    |
/// |   0x20 |    - | entries    | attributes      | see [`area`]; offsets from the block |
///
/// # Errors
/// The first [`XattrDefect`].
pub(crate) fn parse_block(
    block: &[u8],
    block_number: u64,
    checksum_seed: Option<u32>,
) -> Result<XattrBlock, XattrDefect> {
    let magic = field::le_u32(block, 0)?;
    let reference_count = field::le_u32(block, 4)?;
    let block_count = field::le_u32(block, 8)?;
    let is_shared_well = (1..=REFERENCES_MAX).contains(&reference_count);
    if magic != MAGIC || block_count != 1 || !is_shared_well {
        return Err(XattrDefect::Header { magic, reference_count, block_count });
    }
    if let Some(seed) = checksum_seed {
        let stored = field::le_u32(block, 0x10)?;
        let computed = block_checksum(block, block_number, seed);
        if !checksum::agrees(stored, computed) {
            return Err(XattrDefect::Checksum { stored, computed });
        }
    }
    let attributes = Area { bytes: block, entries_start: BLOCK_HEADER_LEN }.parse()?;
    Ok(XattrBlock { reference_count, attributes })
}

/// The attribute block `block_number`, sorted as the kernel wants it; `None` if `block_size_bytes`
/// are not enough.
pub(crate) fn encode_block(
    content: &XattrBlock,
    block_size_bytes: usize,
    block_number: u64,
    checksum_seed: Option<u32>,
) -> Option<Vec<u8>> {
    let mut block = vec![0; block_size_bytes];
    let mut sorted = content.attributes.clone();
    sorted.sort_by(|a, b| (a.index, a.name.len(), &a.name).cmp(&(b.index, b.name.len(), &b.name)));
    let hashes = area::encode(&mut block, BLOCK_HEADER_LEN, &sorted, HashRule::All)?;
    field::put_le_u32(&mut block, 0, MAGIC).ok()?;
    field::put_le_u32(&mut block, 4, content.reference_count).ok()?;
    field::put_le_u32(&mut block, 8, 1).ok()?;
    field::put_le_u32(&mut block, 0xc, hash::of_block(&hashes)).ok()?;
    if let Some(seed) = checksum_seed {
        let computed = block_checksum(&block, block_number, seed);
        field::put_le_u32(&mut block, 0x10, computed).ok()?;
    }
    Some(block)
}

/// Bytes that a block of `attributes` would need.
pub(crate) fn block_len_of(attributes: &[Attribute]) -> u64 {
    arith::len_u64(area::encoded_len(attributes).saturating_add(BLOCK_HEADER_LEN))
}

/// CRC-32C over the block number and the block, whose own field counts as zero.
fn block_checksum(block: &[u8], block_number: u64, seed: u32) -> u32 {
    let sum = checksum::crc32c_raw(seed, &block_number.to_le_bytes());
    let sum = checksum::crc32c_raw(sum, block.get(..0x10).unwrap_or_default());
    let sum = checksum::crc32c_raw(sum, &[0; 4]);
    checksum::crc32c_raw(sum, block.get(0x14..).unwrap_or_default())
}

/// Sets the attribute with the full name `name`, or removes it with `None`. A replaced attribute
/// keeps its place, a new one comes last. True if something changed.
///
/// # Errors
/// `Refused` if no attribute can have this name, if it is `system.data`, or if the old value is in
/// an inode of its own.
pub(crate) fn set(
    attributes: &mut Vec<Attribute>,
    name: &[u8],
    value: Option<&[u8]>,
) -> Result<bool> {
    let refused = |reason: &str| -> Error {
        let path = format!("attribute {}", text::escape_limited(name, 80));
        Refusal::UnsuitableFile { path, reason: reason.into() }.into()
    };
    let Some(new) = Attribute::new(name, value.unwrap_or_default()) else {
        return Err(refused("ext4 has no place for this name"));
    };
    if new.is_inline_data() {
        return Err(refused("holds the content of the file"));
    }
    let position = attributes.iter().position(|attribute| attribute.is_named(name));
    let Some(old) = position.and_then(|position| attributes.get_mut(position)) else {
        if value.is_some() {
            attributes.push(new);
        }
        return Ok(value.is_some());
    };
    if matches!(old.value, Value::InInode { .. }) {
        let feature = format!("a value in its own inode (ea_inode) of {}", text::escape(name));
        return Err(Refusal::NotWritable { feature }.into());
    }
    if value.is_none() {
        attributes.retain(|attribute| !attribute.is_named(name));
        return Ok(true);
    }
    let is_changed = old.value != new.value;
    if is_changed {
        *old = new;
    }
    Ok(is_changed)
}

/// The attributes that have a full name and are not `system.data`, with their values. `read_inode`
/// gives the content of a value's own inode, which must be as long as asked for; `checksum_seed` is
/// that of the whole file system.
///
/// # Errors
/// `Corrupt` if such a content does not fit its entry; the error of `read_inode`.
pub(crate) fn values(
    attributes: &[Attribute],
    checksum_seed: u32,
    read_inode: &mut dyn FnMut(u32, u32) -> Result<Vec<u8>>,
) -> Result<Vec<Xattr>> {
    let mut xattrs = Vec::new();
    for attribute in attributes.iter().filter(|attribute| !attribute.is_inline_data()) {
        let Some(name) = attribute.full_name() else { continue };
        let value = match &attribute.value {
            Value::Inside(value) => value.clone(),
            &Value::InInode { inode, size_bytes } => {
                let value = read_inode(inode, size_bytes)?;
                check_outside(attribute, inode, &value, checksum_seed)?;
                value
            }
        };
        xattrs.push(Xattr { name, value });
    }
    Ok(xattrs)
}

/// Compares the content of a value's own inode with the hash in the entry.
fn check_outside(attribute: &Attribute, inode: u32, value: &[u8], seed: u32) -> Result<()> {
    let value_hash = checksum::crc32c_raw(seed, value);
    let stored = attribute.hash;
    if stored != 0 && !hash::fits(stored, &attribute.name, &value_hash.to_le_bytes()) {
        let defect = XattrDefect::OutsideHash { stored };
        return Err(Corrupt::new("extended attribute", defect).of(format!("inode {inode}")).into());
    }
    Ok(())
}

impl From<XattrDefect> for Error {
    fn from(defect: XattrDefect) -> Self {
        Corrupt::new("extended attributes", defect).into()
    }
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
