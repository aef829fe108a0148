//! Tree blocks from bytes.

use super::{Body, Defect, Expected, HEADER_BYTES, ITEM_BYTES, Item, Node, POINTER_BYTES, Pointer};
use crate::bytes::arith::to;
use crate::bytes::field::{self, le_u32, le_u64, u8_at};
use crate::error::{Corrupt, Error, Result};
use crate::fs::btrfs::checksum::FIELD_BYTES;
use crate::fs::btrfs::key::{KEY_BYTES, Key};
use crate::fs::btrfs::superblock::Superblock;

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
}

/// Either the structure is too short, or it is wrong.
#[derive(Debug)]
enum Bad {
    Short(field::Short),
    Wrong(Defect),
}

impl Bad {
    fn map_corrupt(self, corrupt: &dyn Fn(Defect) -> Corrupt) -> Error {
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
