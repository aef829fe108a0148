//! Reading: keys by path, subkeys, values and their data.

use super::Hive;
use super::data::{Data, ValueKind};
use super::defect::{Defect, corrupt};
use super::key_node::KeyNode;
use super::key_value::{self, KeyValue};
use super::name::Name;
use super::subkey_list::SubkeyLists;
use super::units::{CellOffset, FileTime};
use crate::error::{Error, Result};
use std::collections::HashSet;

/// Bound on the levels of keys. Windows: 512 ("Registry element size limits").
pub(super) const KEY_LEVELS_MAX: u16 = 512;

/// A key of a hive. It stays valid while the hive is edited, but for the counts and times in it.
#[derive(Debug, Clone)]
pub struct Key {
    pub(super) at: CellOffset,
    pub(super) level: u16,
    name: Name,
    last_written: FileTime,
    subkey_count: u32,
    value_count: u32,
}

impl Key {
    pub(super) fn new(node: &KeyNode, level: u16) -> Self {
        Self {
            at: node.cell.at,
            level,
            name: node.name.clone(),
            last_written: node.last_written,
            subkey_count: node.subkey_count,
            value_count: node.value_count,
        }
    }

    /// Its cell.
    pub fn cell(&self) -> CellOffset {
        self.at
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// When it was last written.
    pub fn last_written(&self) -> FileTime {
        self.last_written
    }

    /// Number of subkeys when it was looked up.
    pub fn subkey_count(&self) -> u32 {
        self.subkey_count
    }

    /// Number of values when it was looked up.
    pub fn value_count(&self) -> u32 {
        self.value_count
    }
}

/// A value of a key, without its data. It stays valid while the hive is edited, but for the length.
#[derive(Debug, Clone)]
pub struct Value {
    pub(super) at: CellOffset,
    name: Name,
    kind: ValueKind,
    len_bytes: u32,
    is_inline: bool,
}

impl Value {
    fn new(value: KeyValue) -> Self {
        Self {
            at: value.cell.at,
            name: value.name,
            kind: value.kind.into(),
            len_bytes: value.data_len,
            is_inline: value.is_inline,
        }
    }

    /// Its cell.
    pub fn cell(&self) -> CellOffset {
        self.at
    }

    /// Its name; empty for the default value.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its type.
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Length of its data in bytes when it was looked up.
    pub fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    /// True if its data are in the key value itself.
    pub fn is_inline(&self) -> bool {
        self.is_inline
    }
}

impl Hive<'_> {
    /// The key at the top.
    ///
    /// # Errors
    /// `Corrupt` - there is none.
    pub fn root(&self) -> Result<Key> {
        Ok(Key::new(&KeyNode::read(&self.pages, self.base.root)?, 0))
    }

    /// The key at `path`, whose parts are separated by backslashes; the root for an empty path.
    ///
    /// # Errors
    /// `Corrupt` or `Limit` - a key or list on the way is damaged.
    pub fn key(&self, path: &str) -> Result<Option<Key>> {
        let mut key = self.root()?;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            match self.subkey(&key, name)? {
                Some(subkey) => key = subkey,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The subkey of `key` with this name, case ignored.
    ///
    /// As in Windows, a list with hashes is searched by hash: a key under a wrong hash is not there.
    ///
    /// # Errors
    /// `Corrupt` or `Limit` - the lists are damaged, or a key that may be meant is.
    pub fn subkey(&self, key: &Key, name: &str) -> Result<Option<Key>> {
        let name = Name::new(name);
        let hash = name.is_ascii().then(|| name.hash());
        let node = KeyNode::read(&self.pages, key.at)?;
        let mut seen = HashSet::new();
        for (at, stored) in SubkeyLists::read(&self.pages, &node)?.keys() {
            let is_other = matches!((hash, stored), (Some(hash), Some(has)) if hash != has);
            if is_other || !seen.insert(at) {
                continue;
            }
            let subkey = self.read_subkey(key, at)?;
            if subkey.name.matches(&name) {
                return Ok(Some(subkey));
            }
        }
        Ok(None)
    }

    /// All subkeys of `key`, in the order of its lists. One that is listed twice comes once.
    ///
    /// # Errors
    /// * `Corrupt` - a list or a subkey is damaged, or a subkey belongs to another key, as in a cycle.
    /// * `Limit` - more levels or subkeys than Windows allows.
    pub fn subkeys(&self, key: &Key) -> Result<Vec<Key>> {
        let node = KeyNode::read(&self.pages, key.at)?;
        let mut seen = HashSet::new();
        let lists = SubkeyLists::read(&self.pages, &node)?;
        let once = lists.keys().filter(|(at, _)| seen.insert(*at));
        once.map(|(at, _)| self.read_subkey(key, at)).collect()
    }

    /// All values of `key`, in the order of its list. One that is listed twice comes once.
    ///
    /// # Errors
    /// `Corrupt` or `Limit` - the list or a value is damaged.
    pub fn values(&self, key: &Key) -> Result<Vec<Value>> {
        let node = KeyNode::read(&self.pages, key.at)?;
        let mut seen = HashSet::new();
        let offsets = key_value::read_list(&self.pages, &node)?;
        let once = offsets.into_iter().filter(|offset| seen.insert(*offset));
        once.map(|offset| KeyValue::read(&self.pages, offset).map(Value::new)).collect()
    }

    /// The value of `key` with this name, case ignored; the default value for an empty name.
    ///
    /// # Errors
    /// As [`Hive::values`].
    pub fn value(&self, key: &Key, name: &str) -> Result<Option<Value>> {
        let name = Name::new(name);
        let node = KeyNode::read(&self.pages, key.at)?;
        for offset in key_value::read_list(&self.pages, &node)? {
            let value = KeyValue::read(&self.pages, offset)?;
            if value.name.matches(&name) {
                return Ok(Some(Value::new(value)));
            }
        }
        Ok(None)
    }

    /// The data of `value`.
    ///
    /// # Errors
    /// * `Corrupt` - a cell of them is damaged.
    /// * `Limit` - more than 16 MiB.
    pub fn data(&self, value: &Value) -> Result<Data> {
        let value = KeyValue::read(&self.pages, value.at)?;
        let bytes = value.read_data(&self.pages, self.base.minor)?;
        Ok(Data { kind: value.kind.into(), bytes })
    }

    /// The data of the value `name` of the key at `path`; `None` if there is no such key or value.
    ///
    /// # Errors
    /// As [`Hive::key`], [`Hive::value`] and [`Hive::data`].
    pub fn get(&self, path: &str, name: &str) -> Result<Option<Data>> {
        let Some(key) = self.key(path)? else { return Ok(None) };
        let Some(value) = self.value(&key, name)? else { return Ok(None) };
        self.data(&value).map(Some)
    }

    /// The class name of `key`, if it has one.
    ///
    /// # Errors
    /// `Corrupt` or `Limit` - it is damaged.
    pub fn class_name(&self, key: &Key) -> Result<Option<Name>> {
        KeyNode::read(&self.pages, key.at)?.class(&self.pages)
    }

    /// The key node at `at`, which a list of `key` names.
    ///
    /// A node below one that is not its parent would let walks run in circles; with this check every walk from
    /// the root is finite.
    pub(super) fn read_subkey(&self, key: &Key, at: CellOffset) -> Result<Key> {
        let node = KeyNode::read(&self.pages, at)?;
        if node.parent != key.at || at == self.base.root {
            let defect = Defect::Parent { expected: key.at.0, found: node.parent.0 };
            return Err(corrupt("key node", at, defect));
        }
        let level = key.level.saturating_add(1);
        if level > KEY_LEVELS_MAX {
            let limit = u64::from(KEY_LEVELS_MAX);
            return Err(Error::limit("levels of registry keys", limit, level.into()));
        }
        Ok(Key::new(&node, level))
    }
}
