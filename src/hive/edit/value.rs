//! Values of another length, and new values.

use super::super::Hive;
use super::super::cell::Cell;
use super::super::data::Data;
use super::super::defect::{Defect, corrupt};
use super::super::key_node::KeyNode;
use super::super::key_value::{
    self, DataCells, FIXED_LEN, FLAG_COMPRESSED_NAME, INLINE_BYTES_MAX, KeyValue, SEGMENT_BYTES,
    SIZE_INLINE, VALUE_NAME_BYTES_MAX, VALUES_MAX,
};
use super::super::name::Name;
use super::super::read::Key;
use super::super::units::{CellOffset, FileTime};
use super::step;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};

/// Places of fields of a key node.
const NODE_WRITTEN_AT: u32 = 4;
const NODE_VALUE_COUNT_AT: u32 = 36;
const NODE_VALUE_LIST_AT: u32 = 40;
const NODE_LARGEST_NAME_AT: u32 = 60;
const NODE_LARGEST_DATA_AT: u32 = 64;

impl Hive<'_> {
    /// Sets the value `name` of `key` to `data`, and makes it if there is none; an empty name is the default
    /// value. `written` becomes the time of the key, if given.
    ///
    /// # Errors
    /// * `Limit` - more than 16344 bytes, or a name longer than Windows allows, or no room.
    /// * `Corrupt` - a structure that the edit needs is damaged.
    pub fn set_value(
        &mut self,
        key: &Key,
        name: &str,
        data: &Data,
        written: Option<FileTime>,
    ) -> Result<()> {
        self.attempt(|hive| {
            let data_len = len_u64(data.bytes.len());
            if data_len > SEGMENT_BYTES.into() {
                let what = "data of a new registry value in bytes";
                return Err(Error::limit(what, SEGMENT_BYTES.into(), data_len));
            }
            let name = Name::new(name);
            let node = KeyNode::read(&hive.pages, key.at)?;
            let list = key_value::read_list(&hive.pages, &node)?;
            let mut existing = None;
            for offset in &list {
                let value = KeyValue::read(&hive.pages, *offset)?;
                if value.name.matches(&name) {
                    existing = Some(value);
                    break;
                }
            }
            match existing {
                Some(value) => hive.replace_data(&value, data)?,
                None => hive.add_value(&node, list, &name, data)?,
            }
            hive.note_value(&node, &name, arith::to(data_len)?, written)
        })
    }

    fn replace_data(&mut self, value: &KeyValue, data: &Data) -> Result<()> {
        let old = value.data_cells(&self.pages, self.base.minor)?;
        let (size, place) = match (inline(&data.bytes), old) {
            (Some(inline), old) => {
                self.free_data(old)?;
                inline
            }
            (None, Some(DataCells::Plain(cell))) => self.stored(&data.bytes, Some(cell))?,
            (None, old) => {
                let new = self.stored(&data.bytes, None)?;
                self.free_data(old)?;
                new
            }
        };
        let mut fields = [0; 12];
        put_data_fields(&mut fields, 0, size, place, data)?;
        self.pages.write(value.cell.data_at(4), &fields)
    }

    /// Data that are not inline, in a cell.
    fn stored(&mut self, bytes: &[u8], cell: Option<Cell>) -> Result<(u32, u32)> {
        let cell = self.store_again(cell, bytes)?;
        Ok((arith::to(bytes.len())?, cell.at.0))
    }

    fn free_data(&mut self, old: Option<DataCells>) -> Result<()> {
        match old {
            None => Ok(()),
            Some(DataCells::Plain(cell)) => self.free(cell),
            Some(DataCells::Big(record, list, segments)) => {
                for cell in segments.into_iter().chain([list, record]) {
                    self.free(cell)?;
                }
                Ok(())
            }
        }
    }

    fn add_value(
        &mut self,
        node: &KeyNode,
        list: Vec<CellOffset>,
        name: &Name,
        data: &Data,
    ) -> Result<()> {
        let count = step(node.value_count, true, "key node", node.cell.at)?;
        if count > VALUES_MAX {
            return Err(Error::limit("values of a key", VALUES_MAX.into(), count.into()));
        }
        if node.has_predefined_handle {
            return Err(corrupt("key node", node.cell.at, Defect::PredefinedHandle));
        }
        let (stored_name, is_compressed) = name.encode();
        if len_u64(stored_name.len()) > VALUE_NAME_BYTES_MAX.into() {
            let (limit, actual) = (VALUE_NAME_BYTES_MAX.into(), len_u64(stored_name.len()));
            return Err(Error::limit("name of a registry value in bytes", limit, actual));
        }
        let (size, place) = match inline(&data.bytes) {
            Some(inline) => inline,
            None => self.stored(&data.bytes, None)?,
        };
        let mut record = vec![0; FIXED_LEN];
        field::put(&mut record, 0, b"vk")?;
        field::put_le_u16(&mut record, 2, arith::to(stored_name.len())?)?;
        put_data_fields(&mut record, 4, size, place, data)?;
        field::put_le_u16(&mut record, 16, if is_compressed { FLAG_COMPRESSED_NAME } else { 0 })?;
        record.extend_from_slice(&stored_name);
        let value = self.store_new(&record)?;
        let offsets = list.into_iter().chain([value.at]);
        let bytes: Vec<u8> = offsets.flat_map(|offset| offset.0.to_le_bytes()).collect();
        let old = match node.value_count {
            0 => None,
            _ => Some(Cell::open(&self.pages, node.value_list, "key values list")?),
        };
        let list = self.store_again(old, &bytes)?;
        self.pages.write(node.cell.data_at(NODE_VALUE_COUNT_AT), &count.to_le_bytes())?;
        self.pages.write(node.cell.data_at(NODE_VALUE_LIST_AT), &list.at.0.to_le_bytes())
    }

    /// Raises the largest name and data of the key to those of the value, and sets its time.
    fn note_value(
        &mut self,
        node: &KeyNode,
        name: &Name,
        data_len: u32,
        written: Option<FileTime>,
    ) -> Result<()> {
        let name_bytes: u32 = arith::to(arith::mul(len_u64(name.units().len()), 2)?)?;
        self.raise(node.cell, NODE_LARGEST_NAME_AT, name_bytes)?;
        self.raise(node.cell, NODE_LARGEST_DATA_AT, data_len)?;
        self.note_written(node, written)
    }

    /// Sets the time of a key, if one is given.
    pub(super) fn note_written(&mut self, node: &KeyNode, written: Option<FileTime>) -> Result<()> {
        let Some(FileTime(written)) = written else { return Ok(()) };
        self.pages.write(node.cell.data_at(NODE_WRITTEN_AT), &written.to_le_bytes())
    }

    /// Raises the dword at `offset` of `cell` to at least `number`.
    fn raise(&mut self, cell: Cell, offset: u32, number: u32) -> Result<()> {
        let at = cell.data_at(offset);
        if field::le_u32(&self.pages.read(at, 4)?, 0)? < number {
            self.pages.write(at, &number.to_le_bytes())?;
        }
        Ok(())
    }
}

/// Size and place of data that a key value holds itself; of empty data too, which have no cell.
fn inline(bytes: &[u8]) -> Option<(u32, u32)> {
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= INLINE_BYTES_MAX)?;
    let mut place = [0; 4];
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = *from;
    }
    Some((SIZE_INLINE | len, u32::from_le_bytes(place)))
}

/// Size, place and type of the data, as they follow one another in a key value.
fn put_data_fields(bytes: &mut [u8], at: usize, size: u32, place: u32, data: &Data) -> Result<()> {
    let numbers = [size, place, data.kind.into()];
    let fields: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    field::put(bytes, at, &fields)?;
    Ok(())
}
