//! One entry of an index.
//!
//! Sources: linux-ntfs documentation, "Index Entry"; libyal libfsntfs, sections "The index value",
//! "Security descriptor identifier index value" and "$ObjID:$O".

use super::defect::{IndexDefect, in_entry};
use crate::bytes::arith::{OutOfRange, len_u64, round_up, to};
use crate::bytes::field;
use crate::error::{Error, Result};
use crate::fs::ntfs::file_name::{FILE_NAME_BYTES_MAX, FileName};
use crate::fs::ntfs::units::{FileReference, Vcn};

/// Bytes in front of the key.
const ENTRY_HEADER_LEN: usize = 16;
/// Bytes of a sub-node's VCN.
pub(super) const VCN_LEN: usize = 8;
/// Longest data that are written.
const DATA_BYTES_MAX: usize = 1024;
/// Flag: a VCN of a sub-node is in the last 8 bytes.
const HAS_SUB_NODE: u16 = 1;
/// Flag: last entry of its node; it has no key.
const IS_END: u16 = 2;

/// One entry: a key and what it leads to.
///
/// | offset | size | field              | ours          | valid when                                           |
/// |-------:|-----:|--------------------|---------------|------------------------------------------------------|
/// |    0x0 |    8 | file reference     | head          | directories; any                                     |
/// |    0x0 |    2 | offset of the data | head          | other indexes: data inside the entry, behind the key |
/// |    0x2 |    2 | length of the data | head          | the same                                             |
/// |    0x4 |    4 | 0                  | head          | the same                                             |
/// |    0x8 |    2 | length             | stored_len    | multiple of 8, inside the node                       |
/// |    0xa |    2 | length of the key  | key           | key (and VCN) inside the entry                       |
/// |    0xc |    2 | flags              | sub_node, end | 1: has a sub-node, 2: end entry                      |
/// |    0xe |    2 | padding            | reserved      | ignored, kept                                        |
/// |   0x10 |      | key                | body          | by the collation rule of the index                   |
/// |        |      | data or nothing    | body          | at its offset; a directory has remains here          |
/// |     -8 |    8 | VCN of the sub-node| sub_node      | only with flag 1: keys there are smaller             |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    head: [u8; 8],
    reserved: u16,
    key_len: usize,
    /// Key, data and padding: a multiple of 8 bytes.
    body: Vec<u8>,
    /// The node with the keys between the previous entry and this one.
    pub(super) sub_node: Option<Vcn>,
}

/// What stands at a place in a node.
#[derive(Debug)]
pub(super) enum Parsed {
    /// An entry and its length.
    Entry(Entry, usize),
    /// The end of the node: its sub-node, and its length.
    End(Option<Vcn>, usize),
}

impl Entry {
    /// An entry of a directory: `key` is a complete `$FILE_NAME` value.
    ///
    /// # Errors
    /// `Corrupt` if the key is longer than any file name.
    pub(crate) fn of_file(file: FileReference, key: &[u8]) -> Result<Self> {
        Self::build(file.to_raw()?.to_le_bytes(), key, &[]).map_err(in_entry)
    }

    /// An entry of another index, with `data` behind the key.
    ///
    /// # Errors
    /// `Corrupt` if key or data are too long.
    #[cfg(test)]
    pub(crate) fn of_view(key: &[u8], data: &[u8]) -> Result<Self> {
        let mut head = [0; 8];
        let data_at = ENTRY_HEADER_LEN.saturating_add(key.len());
        field::put_le_u16(&mut head, 0, to(data_at)?)?;
        field::put_le_u16(&mut head, 2, to(data.len())?)?;
        Self::build(head, key, data).map_err(in_entry)
    }

    fn build(head: [u8; 8], key: &[u8], data: &[u8]) -> Result<Self, IndexDefect> {
        if key.is_empty() || key.len() > FILE_NAME_BYTES_MAX || data.len() > DATA_BYTES_MAX {
            return Err(OutOfRange.into());
        }
        let mut body = [key, data].concat();
        body.resize(to(round_up(len_u64(body.len()), 8)?)?, 0);
        Ok(Self { head, reserved: 0, key_len: key.len(), body, sub_node: None })
    }

    /// Reads what stands at `at` of `bytes`, a node from its header to the end of its entries.
    pub(super) fn parse(bytes: &[u8], at: usize) -> Result<Parsed, IndexDefect> {
        let head = field::array(bytes, at)?;
        let length = field::le_u16(bytes, at.saturating_add(0x8))?;
        let key = field::le_u16(bytes, at.saturating_add(0xa))?;
        let flags = field::le_u16(bytes, at.saturating_add(0xc))?;
        let reserved = field::le_u16(bytes, at.saturating_add(0xe))?;
        let defect = IndexDefect::Entry { at, length, key, flags };
        let stored = field::slice(bytes, at, length.into()).map_err(|_| defect.clone())?;
        let vcn_len = if flags & HAS_SUB_NODE == 0 { 0 } else { VCN_LEN };
        let body_end = stored.len().checked_sub(vcn_len).ok_or_else(|| defect.clone())?;
        let body = stored.get(ENTRY_HEADER_LEN..body_end).ok_or_else(|| defect.clone())?;
        if !length.is_multiple_of(8) {
            return Err(defect);
        }
        let sub_node = match vcn_len {
            0 => None,
            _ => Some(Vcn(field::le_u64(stored, body_end)?)),
        };
        if flags & IS_END != 0 {
            return Ok(Parsed::End(sub_node, length.into()));
        }
        let key_len = usize::from(key);
        if key_len == 0 || key_len > body.len() {
            return Err(defect);
        }
        let entry = Self { head, reserved, key_len, body: body.to_vec(), sub_node };
        Ok(Parsed::Entry(entry, length.into()))
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        self.body.get(..self.key_len).unwrap_or_default()
    }

    /// The file that an entry of a directory leads to.
    pub(crate) fn file(&self) -> FileReference {
        FileReference::from_raw(u64::from_le_bytes(self.head))
    }

    /// The key of an entry of a directory.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn file_name(&self) -> Result<FileName> {
        FileName::parse(self.key()).map_err(in_entry)
    }

    /// The data of an entry of an index that is no directory.
    ///
    /// # Errors
    /// `Corrupt` if they do not lie behind the key, inside the entry.
    pub(crate) fn data(&self) -> Result<&[u8]> {
        let at = usize::from(field::le_u16(&self.head, 0)?);
        let len = usize::from(field::le_u16(&self.head, 2)?);
        let key_end = ENTRY_HEADER_LEN.saturating_add(self.key_len);
        let data = at
            .checked_sub(ENTRY_HEADER_LEN)
            .filter(|_| at >= key_end)
            .and_then(|at| self.body.get(at..at.saturating_add(len)));
        data.ok_or_else(|| -> Error {
            let needed = at.saturating_add(len);
            let available = ENTRY_HEADER_LEN.saturating_add(self.body.len());
            in_entry(field::Short { needed, available })
        })
    }

    /// Replaces the key by one of the same length.
    ///
    /// # Errors
    /// `Corrupt` if the length differs.
    pub(super) fn set_key(&mut self, key: &[u8]) -> Result<()> {
        if key.len() != self.key_len {
            return Err(in_entry(field::Short { needed: key.len(), available: self.key_len }));
        }
        Ok(field::put(&mut self.body, 0, key)?)
    }

    /// Bytes that the entry takes in a node.
    pub(super) fn stored_len(&self) -> usize {
        let vcn_len = if self.sub_node.is_some() { VCN_LEN } else { 0 };
        ENTRY_HEADER_LEN.saturating_add(self.body.len()).saturating_add(vcn_len)
    }

    /// Appends the stored form to `out`.
    pub(super) fn store(&self, out: &mut Vec<u8>) -> Result<(), IndexDefect> {
        let flags = if self.sub_node.is_some() { HAS_SUB_NODE } else { 0 };
        out.extend_from_slice(&self.head);
        let [length, key_len] = [to::<_, u16>(self.stored_len())?, to(self.key_len)?];
        for word in [length, key_len, flags, self.reserved] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.body);
        if let Some(vcn) = self.sub_node {
            out.extend_from_slice(&vcn.0.to_le_bytes());
        }
        Ok(())
    }
}

/// Bytes of an end entry.
pub(super) fn end_len(has_sub_node: bool) -> usize {
    ENTRY_HEADER_LEN.saturating_add(if has_sub_node { VCN_LEN } else { 0 })
}

/// Appends an end entry to `out`.
pub(super) fn store_end(sub_node: Option<Vcn>, out: &mut Vec<u8>) -> Result<(), IndexDefect> {
    let sub_flag = if sub_node.is_some() { HAS_SUB_NODE } else { 0 };
    out.extend_from_slice(&[0; 8]);
    for word in [to(end_len(sub_node.is_some()))?, 0, sub_flag | IS_END, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    if let Some(vcn) = sub_node {
        out.extend_from_slice(&vcn.0.to_le_bytes());
    }
    Ok(())
}
