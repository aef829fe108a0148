//! The table of attributes and the values behind it, which an inode and a block have in common.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Extended
//! Attributes", table "ext4_xattr_entry". Entries follow each other, rounded up to 4 bytes, until
//! one whose first 4 bytes are zero; values grow from the end of the area towards them.
//!
//! | offset | size | spec         | ours  | valid when                                  |
//! |-------:|-----:|--------------|-------|---------------------------------------------|
//! |    0x0 |    1 | e_name_len   | name  | entry inside the area                       |
//! |    0x1 |    1 | e_name_index | index | no two entries with the same index and name |
//! |    0x2 |    2 | e_value_offs | value | behind the table; values do not overlap     |
//! |    0x4 |    4 | e_value_inum | value | 0, or the inode of the value ("ea_inode")   |
//! |    0x8 |    4 | e_value_size | value | inside the area                             |
//! |    0xc |    4 | e_hash       | hash  | 0, or fits name and value                   |
//! |   0x10 |    n | e_name       | name  | without NUL                                 |

use super::{Attribute, Value, hash};
use crate::bytes::field::{self, Short};
use std::collections::HashSet;
use std::ops::Range;

/// Bytes of an entry before its name.
const ENTRY_LEN: usize = 16;
/// The end mark after the last entry.
const END_LEN: usize = 4;

/// What is wrong with extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XattrDefect {
    /// The header of the block makes no sense.
    #[error("magic {magic:#010x}, {reference_count} references, {block_count} blocks")]
    Header {
        /// `h_magic`.
        magic: u32,
        /// `h_refcount`.
        reference_count: u32,
        /// `h_blocks`.
        block_count: u32,
    },
    /// The checksum of the block is wrong.
    #[error("checksum {stored:#010x} stored, {computed:#010x} computed")]
    Checksum {
        /// In the header.
        stored: u32,
        /// Over the block.
        computed: u32,
    },
    /// An entry or the end mark is not wholly inside the area.
    #[error("entry at {offset:#x} leads beyond {end:#x}")]
    Entry {
        /// Where it starts.
        offset: usize,
        /// Length of the area.
        end: usize,
    },
    /// A name contains NUL.
    #[error("entry at {offset:#x}: the name contains NUL")]
    Name {
        /// Where the entry starts.
        offset: usize,
    },
    /// Two entries have the same name.
    #[error("entry at {offset:#x}: the name is there twice")]
    Duplicate {
        /// Where the second one starts.
        offset: usize,
    },
    /// A value is not wholly between the table and the end of the area.
    #[error(
        "entry at {offset:#x}: value of {size} bytes at {value_offset:#x} is \
         outside {from:#x}..{to:#x}"
    )]
    Value {
        /// Where the entry starts.
        offset: usize,
        /// `e_value_offs`.
        value_offset: usize,
        /// `e_value_size`.
        size: u32,
        /// End of the table.
        from: usize,
        /// Length of the area.
        to: usize,
    },
    /// Two values have a byte in common.
    #[error("values at {first:#x} and {second:#x} overlap")]
    Overlap {
        /// The lower one.
        first: usize,
        /// The higher one.
        second: usize,
    },
    /// `e_hash` does not fit.
    #[error("entry at {offset:#x}: hash {stored:#010x} does not fit name and value")]
    Hash {
        /// Where the entry starts.
        offset: usize,
        /// `e_hash`.
        stored: u32,
    },
    /// `e_hash` does not fit the value in its own inode.
    #[error("hash {stored:#010x} does not fit the value")]
    OutsideHash {
        /// `e_hash`.
        stored: u32,
    },
    /// A field is outside the structure.
    #[error(transparent)]
    Short(#[from] Short),
}

/// Bytes with a table of entries; value offsets count from their start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the table starts.
    pub(super) entries_start: usize,
}

/// An entry before its value was looked at.
struct RawEntry<'a> {
    offset: usize,
    index: u8,
    name: &'a [u8],
    value_offset: u16,
    value_inode: u32,
    value_size: u32,
    hash: u32,
}

impl<'a> Area<'a> {
    /// Parses table and values.
    ///
    /// # Errors
    /// The first [`XattrDefect`].
    pub(super) fn parse(&self) -> Result<Vec<Attribute>, XattrDefect> {
        let (entries, table_end) = self.parse_table()?;
        let mut names = HashSet::new();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut attributes = Vec::with_capacity(entries.len());
        for entry in &entries {
            if !names.insert((entry.index, entry.name)) {
                return Err(XattrDefect::Duplicate { offset: entry.offset });
            }
            let value = self.parse_value(entry, table_end, &mut ranges)?;
            let name = entry.name.to_vec();
            attributes.push(Attribute { index: entry.index, name, value, hash: entry.hash });
        }
        ranges.sort_by_key(|range| range.start);
        for (first, second) in ranges.iter().zip(ranges.iter().skip(1)) {
            if first.end > second.start {
                let (first, second) = (first.start, second.start);
                return Err(XattrDefect::Overlap { first, second });
            }
        }
        Ok(attributes)
    }

    /// The entries, and where the table with its end mark ends.
    fn parse_table(&self) -> Result<(Vec<RawEntry<'a>>, usize), XattrDefect> {
        let end = self.bytes.len();
        let mut offset = self.entries_start;
        let mut entries = Vec::new();
        // Every round advances by at least ENTRY_LEN bytes.
        loop {
            let outside = |_| XattrDefect::Entry { offset, end };
            if field::le_u32(self.bytes, offset).map_err(outside)? == 0 {
                return Ok((entries, offset.saturating_add(END_LEN)));
            }
            let head = field::slice(self.bytes, offset, ENTRY_LEN).map_err(outside)?;
            let name_len = usize::from(field::u8_at(head, 0)?);
            let name_start = offset.saturating_add(ENTRY_LEN);
            let name = field::slice(self.bytes, name_start, name_len).map_err(outside)?;
            if name.contains(&0) {
                return Err(XattrDefect::Name { offset });
            }
            entries.push(RawEntry {
                offset,
                index: field::u8_at(head, 1)?,
                name,
                value_offset: field::le_u16(head, 2)?,
                value_inode: field::le_u32(head, 4)?,
                value_size: field::le_u32(head, 8)?,
                hash: field::le_u32(head, 12)?,
            });
            offset = offset.saturating_add(entry_len(name_len));
        }
    }

    fn parse_value(
        &self,
        entry: &RawEntry<'_>,
        table_end: usize,
        ranges: &mut Vec<Range<usize>>,
    ) -> Result<Value, XattrDefect> {
        let offset = entry.offset;
        let size = entry.value_size;
        if entry.value_inode != 0 {
            return Ok(Value::InInode { inode: entry.value_inode, size_bytes: size });
        }
        let start = usize::from(entry.value_offset);
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let range = start..start.saturating_add(len);
        let value = if len == 0 {
            &[]
        } else {
            let inside = self.bytes.get(range.clone()).filter(|_| start >= table_end);
            let (from, to) = (table_end, self.bytes.len());
            let value_offset = start;
            ranges.push(range);
            inside.ok_or(XattrDefect::Value { offset, value_offset, size, from, to })?
        };
        if entry.hash != 0 && !hash::fits(entry.hash, entry.name, value) {
            return Err(XattrDefect::Hash { offset, stored: entry.hash });
        }
        Ok(Value::Inside(value.to_vec()))
    }
}

/// Which entries carry a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashRule {
    /// In a block: all.
    All,
    /// In an inode: only those with the value in an inode of its own.
    OnlyOutside,
}

/// Writes table and values into `area`, which is all zeros from `entries_start` on, and gives the
/// hashes; `None` if they do not fit.
pub(super) fn encode(
    area: &mut [u8],
    entries_start: usize,
    attributes: &[Attribute],
    rule: HashRule,
) -> Option<Vec<u32>> {
    let table_len: usize = attributes
        .iter()
        .map(|attribute| entry_len(attribute.name.len()))
        .fold(END_LEN, usize::saturating_add);
    let table_end = entries_start.checked_add(table_len)?;
    // Values start and end at multiples of 4.
    let mut values_start = area.len() & !3;
    let mut offset = entries_start;
    let mut hashes = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let (value_inode, size_bytes, hash) = match &attribute.value {
            &Value::InInode { inode, size_bytes } => (inode, size_bytes, attribute.hash),
            Value::Inside(value) => {
                values_start =
                    values_start.checked_sub(value.len().checked_next_multiple_of(4)?)?;
                if values_start < table_end {
                    return None;
                }
                field::put(area, values_start, value).ok()?;
                let hash = match rule {
                    HashRule::OnlyOutside => 0,
                    HashRule::All => stored_or_new_hash(attribute, value),
                };
                (0, u32::try_from(value.len()).ok()?, hash)
            }
        };
        let is_outside = value_inode != 0 || size_bytes == 0;
        let value_offset = if is_outside { 0 } else { u16::try_from(values_start).ok()? };
        let name_len = u8::try_from(attribute.name.len()).ok()?;
        field::put(area, offset, &[name_len, attribute.index]).ok()?;
        field::put_le_u16(area, offset.checked_add(2)?, value_offset).ok()?;
        field::put_le_u32(area, offset.checked_add(4)?, value_inode).ok()?;
        field::put_le_u32(area, offset.checked_add(8)?, size_bytes).ok()?;
        field::put_le_u32(area, offset.checked_add(12)?, hash).ok()?;
        field::put(area, offset.checked_add(ENTRY_LEN)?, &attribute.name).ok()?;
        hashes.push(hash);
        offset = offset.checked_add(entry_len(attribute.name.len()))?;
    }
    (table_end <= values_start).then_some(hashes)
}

/// Bytes that `attributes` take: entries, end mark, and the values beside them.
pub(super) fn encoded_len(attributes: &[Attribute]) -> usize {
    attributes.iter().fold(END_LEN, |sum, attribute| {
        let value = match &attribute.value {
            Value::Inside(value) => value.len().next_multiple_of(4),
            Value::InInode { .. } => 0,
        };
        sum.saturating_add(entry_len(attribute.name.len())).saturating_add(value)
    })
}

/// An attribute that was not changed keeps its hash, whichever way it was counted.
fn stored_or_new_hash(attribute: &Attribute, value: &[u8]) -> u32 {
    if attribute.hash != 0 && hash::fits(attribute.hash, &attribute.name, value) {
        attribute.hash
    } else {
        hash::of_entry(&attribute.name, value)
    }
}

/// Bytes of an entry with a name of `name_len` bytes.
fn entry_len(name_len: usize) -> usize {
    ENTRY_LEN.saturating_add(name_len).next_multiple_of(4)
}
