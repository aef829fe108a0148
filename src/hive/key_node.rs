//! Key nodes (`nk`).

use super::cell::Cell;
use super::defect::{Defect, corrupt};
use super::name::Name;
use super::pages::Pages;
use super::units::{CellOffset, FileTime};
use crate::bytes::field;
use crate::error::{Error, Result};

/// Size of the fixed part of a key node, in bytes.
pub(super) const FIXED_LEN: usize = 76;

/// Bound on the name of a key, in bytes. Windows: 255 characters ("Registry element size limits").
pub(super) const KEY_NAME_BYTES_MAX: u16 = 512;

/// Bound on a class name, in bytes. Windows has no use for more than 32.
const CLASS_BYTES_MAX: u16 = 4096;

const STRUCTURE: &str = "key node";

/// The name has one byte a character.
pub(super) const FLAG_COMPRESSED_NAME: u16 = 0x20;
/// The number of values is a handle.
const FLAG_PREDEFINED_HANDLE: u16 = 0x40;

/// A key.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Key node". 76 bytes and the
/// name, little-endian.
///
/// | offset | size | spec                         | here          | valid when                           |
/// |-------:|-----:|------------------------------|---------------|--------------------------------------|
/// |      0 |    2 | Signature                    | (checked)     | `nk`                                 |
/// |      2 |    2 | Flags                        | flags         | any                                  |
/// |      4 |    8 | Last written timestamp       | last_written  | any                                  |
/// |     12 |    4 | Access bits                  | (kept)        | any                                  |
/// |     16 |    4 | Parent                       | parent        | the key whose list has this one      |
/// |     20 |    4 | Number of subkeys            | subkey_count  | elements of the lists                |
/// |     24 |    4 | Number of volatile subkeys   | (kept)        | no meaning on a disk                 |
/// |     28 |    4 | Subkeys list offset          | subkey_list   | a list, if there are subkeys         |
/// |     32 |    4 | Volatile subkeys list offset | (kept)        | no meaning on a disk                 |
/// |     36 |    4 | Number of key values         | value_count   | any                                  |
/// |     40 |    4 | Key values list offset       | value_list    | a list, if there are values          |
/// |     44 |    4 | Key security offset          | security      | an `sk` cell                         |
/// |     48 |    4 | Class name offset            | class         | a cell, or -1                        |
/// |     52 |    4 | Largest subkey name length   | (kept)        | bytes, UTF-16; upper half is flags   |
/// |     56 |    4 | Largest subkey class length  | (kept)        | bytes                                |
/// |     60 |    4 | Largest value name length    | (kept)        | bytes, UTF-16                        |
/// |     64 |    4 | Largest value data size      | (kept)        | bytes                                |
/// |     68 |    4 | WorkVar                      | (kept)        | no meaning                           |
/// |     72 |    2 | Key name length              | (name)        | bytes, at most 512                   |
/// |     74 |    2 | Class name length            | class_len     | bytes                                |
/// |     76 |  ... | Key name string              | name          | one byte a character, or UTF-16LE    |
#[derive(Debug, Clone)]
pub(super) struct KeyNode {
    pub(super) cell: Cell,
    pub(super) last_written: FileTime,
    pub(super) parent: CellOffset,
    pub(super) subkey_count: u32,
    pub(super) subkey_list: CellOffset,
    /// The number of values is a handle, and there are none.
    pub(super) has_predefined_handle: bool,
    /// 0 for a predefined handle.
    pub(super) value_count: u32,
    pub(super) value_list: CellOffset,
    pub(super) security: CellOffset,
    class: CellOffset,
    class_len: u16,
    pub(super) name: Name,
}

impl KeyNode {
    /// Reads the key node at `at`.
    ///
    /// # Errors
    /// * `Corrupt` - no key node is there, or it does not fit its cell.
    /// * `Limit` - its name is too long.
    pub(super) fn read(pages: &Pages<'_>, at: CellOffset) -> Result<Self> {
        let cell = Cell::open(pages, at, STRUCTURE)?;
        let fixed = cell.read(pages, STRUCTURE, 0, FIXED_LEN)?;
        cell.expect(&fixed, STRUCTURE, "nk")?;
        let flags = field::le_u16(&fixed, 2)?;
        let name_len = field::le_u16(&fixed, 72)?;
        let name = read_name(pages, cell, name_len, flags & FLAG_COMPRESSED_NAME != 0)?;
        let value_count = field::le_u32(&fixed, 36)?;
        let has_predefined_handle = flags & FLAG_PREDEFINED_HANDLE != 0;
        Ok(Self {
            cell,
            last_written: FileTime(field::le_u64(&fixed, 4)?),
            parent: CellOffset(field::le_u32(&fixed, 16)?),
            subkey_count: field::le_u32(&fixed, 20)?,
            subkey_list: CellOffset(field::le_u32(&fixed, 28)?),
            has_predefined_handle,
            value_count: if has_predefined_handle { 0 } else { value_count },
            value_list: CellOffset(field::le_u32(&fixed, 40)?),
            security: CellOffset(field::le_u32(&fixed, 44)?),
            class: CellOffset(field::le_u32(&fixed, 48)?),
            class_len: field::le_u16(&fixed, 74)?,
            name,
        })
    }

    /// The class name, if the key has one.
    ///
    /// # Errors
    /// * `Corrupt` - its cell is wrong.
    /// * `Limit` - it is too long.
    pub(super) fn class(&self, pages: &Pages<'_>) -> Result<Option<Name>> {
        let (Some(at), true) = (self.class.given(), self.class_len != 0) else { return Ok(None) };
        if self.class_len > CLASS_BYTES_MAX {
            let (limit, actual) = (CLASS_BYTES_MAX.into(), self.class_len.into());
            return Err(Error::limit("class name of a key in bytes", limit, actual));
        }
        let structure = "class name";
        let cell = Cell::open(pages, at, structure)?;
        Ok(Some(Name::decode(&cell.read(pages, structure, 0, self.class_len.into())?, false)))
    }
}

fn read_name(pages: &Pages<'_>, cell: Cell, name_len: u16, is_compressed: bool) -> Result<Name> {
    if name_len > KEY_NAME_BYTES_MAX {
        let (limit, actual) = (KEY_NAME_BYTES_MAX.into(), name_len.into());
        return Err(Error::limit("name of a key in bytes", limit, actual));
    }
    if !is_compressed && !name_len.is_multiple_of(2) {
        return Err(corrupt(STRUCTURE, cell.at, Defect::NameLength(name_len)));
    }
    let stored = cell.read(pages, STRUCTURE, 76, name_len.into())?;
    Ok(Name::decode(&stored, is_compressed))
}
