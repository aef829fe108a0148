//! New keys.
//!
//! Document: "Windows registry file format specification" (M. Suhanov), sections "Index leaf" to "Key node",
//! "Key security". Rules WIN-99, WIN-100.

use super::super::Hive;
use super::super::cell::Cell;
use super::super::key_node::{self, FLAG_COMPRESSED_NAME, KEY_NAME_BYTES_MAX, KeyNode};
use super::super::name::Name;
use super::super::read::Key;
use super::super::subkey_list::{Element, Leaf, LeafKind, SUBKEYS_MAX, SubkeyLists};
use super::super::units::{CellOffset, FileTime};
use super::step;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};

/// Elements at which a list is cut in two, so that each fits a bin of one page.
const LEAF_ELEMENTS_MAX: usize = 507;

/// Places of fields of a key node.
const NODE_SUBKEY_COUNT_AT: u32 = 20;
const NODE_SUBKEY_LIST_AT: u32 = 28;
const NODE_LARGEST_SUBKEY_AT: u32 = 52;

/// Place of the number of key nodes in an `sk` record.
const SECURITY_COUNT_AT: u32 = 12;

/// Bytes of an `sk` record before the security descriptor.
const SECURITY_LEN: usize = 20;

const SECURITY: &str = "key security";

impl Hive<'_> {
    /// The subkey `name` of `key`. If there is none, it is made with the security of `key`, and `written` becomes
    /// the time of both; else it is given as it is.
    ///
    /// # Errors
    /// * `Usage` - the name is empty, has a backslash or NUL, or characters outside ASCII, whose order by
    ///   Windows is not known here.
    /// * `Limit` - the name is too long, or there are too many subkeys or levels.
    /// * `Corrupt` - a structure that the edit needs is damaged.
    pub fn create_subkey(&mut self, key: &Key, name: &str, written: FileTime) -> Result<Key> {
        if let Some(subkey) = self.subkey(key, name)? {
            return Ok(subkey);
        }
        self.attempt(|hive| {
            let name = Name::new(name);
            check_name(&name)?;
            let node = KeyNode::read(&hive.pages, key.at)?;
            let count = step(node.subkey_count, true, "key node", key.at)?;
            if u64::from(count) > SUBKEYS_MAX {
                return Err(Error::limit("subkeys of a key", SUBKEYS_MAX, count.into()));
            }
            hive.share_security(&node)?;
            let record = new_node(&node, &name, written)?;
            let subkey = hive.store_new(&record)?;
            let list = hive.insert(key, &node, &name, subkey.at)?;
            let cell = node.cell;
            hive.pages.write(cell.data_at(NODE_SUBKEY_COUNT_AT), &count.to_le_bytes())?;
            hive.pages.write(cell.data_at(NODE_SUBKEY_LIST_AT), &list.0.to_le_bytes())?;
            hive.raise_u16(cell, NODE_LARGEST_SUBKEY_AT, utf16_bytes(&name)?)?;
            hive.note_written(&node, Some(written))?;
            hive.read_subkey(key, subkey.at)
        })
    }

    /// Counts one key more that uses the security descriptor of `node`.
    fn share_security(&mut self, node: &KeyNode) -> Result<()> {
        let cell = Cell::open(&self.pages, node.security, SECURITY)?;
        let record = cell.read(&self.pages, SECURITY, 0, SECURITY_LEN)?;
        cell.expect(&record, SECURITY, "sk")?;
        let count = step(field::le_u32(&record, 12)?, true, SECURITY, cell.at)?;
        self.pages.write(cell.data_at(SECURITY_COUNT_AT), &count.to_le_bytes())
    }

    /// Puts `subkey` into the lists of `node` at its place, and gives the place of the lists.
    fn insert(
        &mut self,
        key: &Key,
        node: &KeyNode,
        name: &Name,
        subkey: CellOffset,
    ) -> Result<CellOffset> {
        let mut lists = SubkeyLists::read(&self.pages, node)?;
        let index = self.leaf_for(key, &lists, name)?;
        let Some(leaf) = lists.leaves.get_mut(index) else {
            let kind = if self.base.minor >= 5 { LeafKind::Hash } else { LeafKind::Fast };
            let element = Element { key: subkey, hint: hint(kind, name)? };
            return Ok(self.store_new(&encode_leaf(kind, &[element])?)?.at);
        };
        let place = self.place_in(key, leaf, name)?;
        leaf.elements.insert(place, Element { key: subkey, hint: hint(leaf.kind, name)? });
        let mut second = Vec::new();
        if leaf.elements.len() > LEAF_ELEMENTS_MAX {
            second = leaf.elements.split_off(leaf.elements.len().div_euclid(2));
        }
        let (cell, kind) = (leaf.cell, leaf.kind);
        let bytes = encode_leaf(kind, &leaf.elements)?;
        let first = self.store_again(Some(cell), &bytes)?;
        let old: Vec<CellOffset> = lists.leaves.iter().map(|leaf| leaf.cell.at).collect();
        let mut offsets = old.clone();
        if let Some(offset) = offsets.get_mut(index) {
            *offset = first.at;
        }
        if !second.is_empty() {
            let second = self.store_new(&encode_leaf(kind, &second)?)?;
            offsets.insert(index.saturating_add(1), second.at);
        }
        match (lists.root, offsets.as_slice()) {
            (Some(root), _) if offsets == old => Ok(root.at),
            (None, [only]) => Ok(*only),
            (root, _) => Ok(self.store_again(root, &encode_root(&offsets)?)?.at),
        }
    }

    /// The list that takes `name`: the first that ends behind it, else the last.
    fn leaf_for(&self, key: &Key, lists: &SubkeyLists, name: &Name) -> Result<usize> {
        for (index, leaf) in lists.leaves.iter().enumerate() {
            if let Some(last) = leaf.elements.last()
                && self.read_subkey(key, last.key)?.name().upper().gt(name.upper())
            {
                return Ok(index);
            }
        }
        Ok(lists.leaves.len().saturating_sub(1))
    }

    /// The place of `name` in a list, which is sorted: before the first greater one.
    fn place_in(&self, key: &Key, leaf: &Leaf, name: &Name) -> Result<usize> {
        let (mut low, mut high) = (0, leaf.elements.len());
        // Each round halves the rest.
        while low < high {
            let middle = low.midpoint(high);
            let Some(element) = leaf.elements.get(middle) else { break };
            if self.read_subkey(key, element.key)?.name().upper().gt(name.upper()) {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        Ok(low)
    }

    /// Raises the 16-bit number at `offset` of `cell`, whose neighbours are flags.
    fn raise_u16(&mut self, cell: Cell, offset: u32, number: u16) -> Result<()> {
        let at = cell.data_at(offset);
        if field::le_u16(&self.pages.read(at, 2)?, 0)? < number {
            self.pages.write(at, &number.to_le_bytes())?;
        }
        Ok(())
    }
}

fn check_name(name: &Name) -> Result<()> {
    let has_bad = name.units().iter().any(|unit| [0, u16::from(b'\\')].contains(unit));
    if name.units().is_empty() || has_bad || !name.is_ascii() {
        return Err(Error::usage(format!("{name:?} cannot be the name of a new registry key")));
    }
    let len = utf16_bytes(name)?;
    // 255 characters and no end mark.
    if len >= KEY_NAME_BYTES_MAX {
        let limit = u64::from(KEY_NAME_BYTES_MAX).saturating_sub(2);
        return Err(Error::limit("name of a registry key in bytes", limit, len.into()));
    }
    Ok(())
}

fn utf16_bytes(name: &Name) -> Result<u16> {
    Ok(arith::to(arith::mul(len_u64(name.units().len()), 2)?)?)
}

/// A key node without subkeys and values, below `parent`.
fn new_node(parent: &KeyNode, name: &Name, written: FileTime) -> Result<Vec<u8>> {
    let (stored, is_compressed) = name.encode();
    let mut record = vec![0; key_node::FIXED_LEN];
    field::put(&mut record, 0, b"nk")?;
    field::put_le_u16(&mut record, 2, if is_compressed { FLAG_COMPRESSED_NAME } else { 0 })?;
    field::put_le_u64(&mut record, 4, written.0)?;
    field::put_le_u32(&mut record, 16, parent.cell.at.0)?;
    // Lists of subkeys, of volatile subkeys and of values, and the class.
    for at in [28, 32, 40, 48] {
        field::put_le_u32(&mut record, at, CellOffset::NONE.0)?;
    }
    field::put_le_u32(&mut record, 44, parent.security.0)?;
    field::put_le_u16(&mut record, 72, arith::to(stored.len())?)?;
    record.extend_from_slice(&stored);
    Ok(record)
}

/// What a list of this kind has beside the offset of a key.
fn hint(kind: LeafKind, name: &Name) -> Result<u32> {
    Ok(match kind {
        LeafKind::Index => 0,
        LeafKind::Hash => name.hash(),
        LeafKind::Fast => {
            let (mut stored, _) = name.encode();
            stored.resize(4, 0);
            field::le_u32(&stored, 0)?
        }
    })
}

fn encode_leaf(kind: LeafKind, elements: &[Element]) -> Result<Vec<u8>> {
    let signature = match kind {
        LeafKind::Index => b"li",
        LeafKind::Fast => b"lf",
        LeafKind::Hash => b"lh",
    };
    let count: u16 = arith::to(elements.len())?;
    let mut bytes = [&signature[..], &count.to_le_bytes()].concat();
    for element in elements {
        bytes.extend_from_slice(&element.key.0.to_le_bytes());
        if kind != LeafKind::Index {
            bytes.extend_from_slice(&element.hint.to_le_bytes());
        }
    }
    Ok(bytes)
}

fn encode_root(offsets: &[CellOffset]) -> Result<Vec<u8>> {
    let count: u16 = arith::to(offsets.len())?;
    let mut bytes = [&b"ri"[..], &count.to_le_bytes()].concat();
    for offset in offsets {
        bytes.extend_from_slice(&offset.0.to_le_bytes());
    }
    Ok(bytes)
}
