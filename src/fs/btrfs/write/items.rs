//! Insert, replace and delete items of a tree.

use super::super::key::Key;
use super::super::node::{ITEM_BYTES, Item, room_bytes};
use super::super::volume::Volume;
use crate::bytes::arith::{OutOfRange, len_u64};
use crate::error::{Corrupt, Error, Result};

/// What can be wrong with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// The item is there already.
    #[error("tree {0} has the item {1} already")]
    Exists(u64, Key),
    /// The item is not there.
    #[error("tree {0} has no item {1}")]
    Missing(u64, Key),
}

impl Volume {
    /// Inserts an item that is not there yet.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if it does not fit a leaf; `Refused` if there is no room for new blocks.
    pub(crate) fn insert(&mut self, tree: u64, key: Key, data: Vec<u8>) -> Result<()> {
        self.store(tree, Item { key, data }, false)
    }

    /// Gives an item new data, of any size.
    ///
    /// # Errors
    /// As [`Volume::insert`].
    pub(crate) fn replace(&mut self, tree: u64, key: Key, data: Vec<u8>) -> Result<()> {
        self.store(tree, Item { key, data }, true)
    }

    fn store(&mut self, tree: u64, item: Item, exists: bool) -> Result<()> {
        let (key, room) = (item.key, room_bytes(self.superblock().node_bytes));
        let size = ITEM_BYTES.saturating_add(item.data.len());
        if size > room {
            return Err(Error::limit("size of an item", len_u64(room), len_u64(size)));
        }
        let path = self.writable_path(tree, key)?;
        let items = self.node_mut(path.leaf)?.items_mut()?;
        match (items.binary_search_by_key(&key, |item| item.key), exists) {
            (Ok(index), true) => *items.get_mut(index).ok_or(OutOfRange)? = item,
            (Err(index), false) => items.insert(index, item),
            (Ok(_), false) => {
                return Err(Corrupt::new("tree", Defect::Exists(tree, key)).into());
            }
            (Err(_), true) => {
                return Err(Corrupt::new("tree", Defect::Missing(tree, key)).into());
            }
        }
        self.settle_keys(&path)?;
        self.split_leaf(&path)
    }

    /// Removes an item.
    ///
    /// # Errors
    /// As [`Volume::insert`].
    pub(crate) fn delete(&mut self, tree: u64, key: Key) -> Result<()> {
        let path = self.writable_path(tree, key)?;
        let items = self.node_mut(path.leaf)?.items_mut()?;
        let Ok(index) = items.binary_search_by_key(&key, |item| item.key) else {
            return Err(Corrupt::new("tree", Defect::Missing(tree, key)).into());
        };
        items.remove(index);
        self.settle_keys(&path)?;
        self.shrink(&path)
    }
}
