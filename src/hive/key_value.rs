//! Key values (`vk`), the lists of them, and where their data lie.

use super::cell::Cell;
use super::defect::{Defect, corrupt};
use super::key_node::KeyNode;
use super::name::Name;
use super::pages::Pages;
use super::units::CellOffset;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};

/// Size of the fixed part of a key value, in bytes.
pub(super) const FIXED_LEN: usize = 20;

/// Bound on the name of a value, in bytes. Windows: 16,383 characters ("Registry element size limits").
pub(super) const VALUE_NAME_BYTES_MAX: u16 = 32_766;

/// Bound on the values of one key.
pub(super) const VALUES_MAX: u32 = 262_144;

/// Bound on the data of a value that is read, in bytes.
pub(super) const DATA_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Data of a segment, and the most that a value has outside big data, in bytes (WIN-100).
pub(super) const SEGMENT_BYTES: u32 = 16_344;

/// Most data that a key value holds itself, in bytes.
pub(super) const INLINE_BYTES_MAX: u32 = 4;

/// The data are in the key value itself.
pub(super) const SIZE_INLINE: u32 = 0x8000_0000;

/// The name has one byte a character.
pub(super) const FLAG_COMPRESSED_NAME: u16 = 1;

const STRUCTURE: &str = "key value";
const LIST: &str = "key values list";
const BIG: &str = "big data";

/// A value of a key.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Key value". 20 bytes and the
/// name, little-endian (WIN-100).
///
/// | offset | size | spec        | here      | valid when                                       |
/// |-------:|-----:|-------------|-----------|--------------------------------------------------|
/// |      0 |    2 | Signature   | (checked) | `vk`                                             |
/// |      2 |    2 | Name length | (name)    | bytes; 0 for the default value                   |
/// |      4 |    4 | Data size   | data_len  | bit 31: at most 4 bytes, in the next field       |
/// |      8 |    4 | Data offset | data      | a cell with the data or a big data record        |
/// |     12 |    4 | Data type   | kind      | any                                              |
/// |     16 |    2 | Flags       | (name)    | bit 0: one byte a character                      |
/// |     18 |    2 | Spare       | (kept)    | any                                              |
/// |     20 |  ... | Value name  | name      | one byte a character, or UTF-16LE                |
#[derive(Debug, Clone)]
pub(super) struct KeyValue {
    pub(super) cell: Cell,
    pub(super) name: Name,
    pub(super) kind: u32,
    pub(super) data_len: u32,
    pub(super) is_inline: bool,
    pub(super) data: CellOffset,
}

/// A run of bytes of the bins data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) offset: u32,
    pub(super) len: u32,
}

/// Cells of the data of a value that is not inline.
#[derive(Debug, Clone)]
pub(super) enum DataCells {
    /// One cell.
    Plain(Cell),
    /// The record, its list, and the segments.
    Big(Cell, Cell, Vec<Cell>),
}

impl KeyValue {
    /// Reads the key value at `at`.
    ///
    /// # Errors
    /// * `Corrupt` - no key value is there, or it does not fit its cell.
    /// * `Limit` - its name is too long.
    pub(super) fn read(pages: &Pages<'_>, at: CellOffset) -> Result<Self> {
        let cell = Cell::open(pages, at, STRUCTURE)?;
        let fixed = cell.read(pages, STRUCTURE, 0, FIXED_LEN)?;
        cell.expect(&fixed, STRUCTURE, "vk")?;
        let size = field::le_u32(&fixed, 4)?;
        let is_inline = size & SIZE_INLINE != 0;
        let data_len = size & !SIZE_INLINE;
        if is_inline && data_len > INLINE_BYTES_MAX {
            return Err(corrupt(STRUCTURE, at, Defect::InlineSize(data_len)));
        }
        let is_compressed = field::le_u16(&fixed, 16)? & FLAG_COMPRESSED_NAME != 0;
        Ok(Self {
            cell,
            name: read_name(pages, cell, field::le_u16(&fixed, 2)?, is_compressed)?,
            kind: field::le_u32(&fixed, 12)?,
            data_len,
            is_inline,
            data: CellOffset(field::le_u32(&fixed, 8)?),
        })
    }

    /// The data, in order.
    ///
    /// # Errors
    /// * `Corrupt` - a cell of them is wrong.
    /// * `Limit` - more than [`DATA_BYTES_MAX`].
    pub(super) fn read_data(&self, pages: &Pages<'_>, minor: u32) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for run in self.runs(pages, minor)? {
            bytes.extend_from_slice(&pages.read(run.offset, arith::to(run.len)?)?);
        }
        Ok(bytes)
    }

    /// Where the data lie, in order.
    ///
    /// # Errors
    /// As [`KeyValue::read_data`].
    pub(super) fn runs(&self, pages: &Pages<'_>, minor: u32) -> Result<Vec<Run>> {
        if self.is_inline {
            return Ok(vec![Run { offset: self.cell.data_at(8), len: self.data_len }]);
        }
        Ok(match self.data_cells(pages, minor)? {
            None => Vec::new(),
            Some(DataCells::Plain(cell)) => {
                vec![Run { offset: cell.data_at(0), len: self.data_len }]
            }
            Some(DataCells::Big(_, _, segments)) => {
                let mut rest = self.data_len;
                let run = |cell: &Cell| {
                    let len = rest.min(SEGMENT_BYTES);
                    rest = rest.saturating_sub(len);
                    Run { offset: cell.data_at(0), len }
                };
                segments.iter().map(run).collect()
            }
        })
    }

    /// The cells of the data, `None` if they are inline or empty.
    ///
    /// # Errors
    /// As [`KeyValue::read_data`].
    pub(super) fn data_cells(&self, pages: &Pages<'_>, minor: u32) -> Result<Option<DataCells>> {
        if self.is_inline || self.data_len == 0 {
            return Ok(None);
        }
        if self.data_len > DATA_BYTES_MAX {
            let (limit, actual) = (DATA_BYTES_MAX.into(), self.data_len.into());
            return Err(Error::limit("data of a registry value in bytes", limit, actual));
        }
        let cell = Cell::open(pages, self.data, "value data")?;
        if cell.capacity_bytes() >= self.data_len {
            return Ok(Some(DataCells::Plain(cell)));
        }
        if self.data_len <= SEGMENT_BYTES || minor < 4 {
            let (needed, available) = (self.data_len.into(), cell.capacity_bytes().into());
            let defect = Defect::CellShort { needed, available };
            return Err(corrupt("value data", cell.at, defect));
        }
        read_big(pages, cell, self.data_len).map(Some)
    }
}

/// Reads a big data record.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Big data". 8 bytes,
/// little-endian.
///
/// | offset | size | spec                         | valid when                                     |
/// |-------:|-----:|------------------------------|------------------------------------------------|
/// |      0 |    2 | Signature                    | `db`                                           |
/// |      2 |    2 | Number of segments           | as many as segments of 16344 bytes are needed  |
/// |      4 |    4 | Offset of a list of segments | a cell with one u32 offset for each            |
fn read_big(pages: &Pages<'_>, cell: Cell, data_len: u32) -> Result<DataCells> {
    let record = cell.read(pages, BIG, 0, 8)?;
    cell.expect(&record, BIG, "db")?;
    let found = field::le_u16(&record, 2)?;
    let expected = arith::div_ceil(data_len.into(), SEGMENT_BYTES.into())?;
    if u64::from(found) != expected {
        return Err(corrupt(BIG, cell.at, Defect::SegmentCount { expected, found }));
    }
    let list = Cell::open(pages, CellOffset(field::le_u32(&record, 4)?), BIG)?;
    let offsets = list.read(pages, BIG, 0, usize::from(found).saturating_mul(4))?;
    let mut segments = Vec::with_capacity(found.into());
    let mut rest = data_len;
    for offset in offsets.chunks_exact(4) {
        let segment = Cell::open(pages, CellOffset(field::le_u32(offset, 0)?), "data segment")?;
        let len = rest.min(SEGMENT_BYTES);
        rest = rest.saturating_sub(len);
        if segment.capacity_bytes() < len {
            let (needed, available) = (len.into(), segment.capacity_bytes().into());
            let defect = Defect::CellShort { needed, available };
            return Err(corrupt("data segment", segment.at, defect));
        }
        segments.push(segment);
    }
    Ok(DataCells::Big(cell, list, segments))
}

/// The offsets of the values of `node`, in the order of its list.
///
/// # Errors
/// * `Corrupt` - the list does not fit its cell.
/// * `Limit` - more than [`VALUES_MAX`].
pub(super) fn read_list(pages: &Pages<'_>, node: &KeyNode) -> Result<Vec<CellOffset>> {
    if node.value_count == 0 {
        return Ok(Vec::new());
    }
    if node.value_count > VALUES_MAX {
        let (limit, actual) = (VALUES_MAX.into(), node.value_count.into());
        return Err(Error::limit("number of values of a key", limit, actual));
    }
    let cell = Cell::open(pages, node.value_list, LIST)?;
    let len = arith::to(arith::mul(node.value_count.into(), 4)?)?;
    let bytes = cell.read(pages, LIST, 0, len)?;
    let offsets = bytes.chunks_exact(4).map(|offset| field::le_u32(offset, 0).map(CellOffset));
    Ok(offsets.collect::<Result<_, _>>()?)
}

fn read_name(pages: &Pages<'_>, cell: Cell, name_len: u16, is_compressed: bool) -> Result<Name> {
    if name_len > VALUE_NAME_BYTES_MAX {
        let (limit, actual) = (VALUE_NAME_BYTES_MAX.into(), name_len.into());
        return Err(Error::limit("name of a registry value in bytes", limit, actual));
    }
    if !is_compressed && !name_len.is_multiple_of(2) {
        return Err(corrupt(STRUCTURE, cell.at, Defect::NameLength(name_len)));
    }
    let offset = arith::to(len_u64(FIXED_LEN))?;
    Ok(Name::decode(&cell.read(pages, STRUCTURE, offset, name_len.into())?, is_compressed))
}
