//! The trees of subvolumes as a reader sees them: those of the last transaction, with the log replayed over them.

use super::key::Key;
use super::tree::{TreeRoot, Visit};
use super::volume::Volume;
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Bound on the items that a replay changes.
const CHANGES_MAX: usize = 1 << 20;

/// Items that replace those of a tree; `None` for those that are gone.
pub(crate) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// A volume, and what its log changes.
#[derive(Debug)]
pub(crate) struct View {
    volume: Volume,
    changes: BTreeMap<u64, Changes>,
    /// Checksums of data that only the log has, by logical address.
    checksums: BTreeMap<u64, Vec<u8>>,
    count: usize,
}

impl View {
    /// The trees as they were committed.
    pub(crate) fn new(volume: Volume) -> Self {
        Self { volume, changes: BTreeMap::new(), checksums: BTreeMap::new(), count: 0 }
    }

    /// The volume.
    pub(crate) fn volume(&self) -> &Volume {
        &self.volume
    }

    /// The volume, to be changed.
    pub(crate) fn volume_mut(&mut self) -> &mut Volume {
        &mut self.volume
    }

    /// Takes out what the log changed: items of each subvolume, and checksums of data by logical address.
    pub(crate) fn take_changes(&mut self) -> (BTreeMap<u64, Changes>, BTreeMap<u64, Vec<u8>>) {
        self.count = 0;
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.checksums))
    }

    /// Forgets what the log changed.
    pub(crate) fn revert(&mut self) {
        (self.changes, self.checksums, self.count) = (BTreeMap::new(), BTreeMap::new(), 0);
    }

    /// The tree of a subvolume.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`.
    pub(crate) fn root(&self, subvolume: u64) -> Result<TreeRoot> {
        self.volume.root(subvolume)
    }

    /// Replaces an item, or removes it.
    ///
    /// # Errors
    /// `Limit`.
    pub(crate) fn change(&mut self, subvolume: u64, key: Key, data: Option<Vec<u8>>) -> Result<()> {
        self.count = self.count.saturating_add(1);
        if self.count > CHANGES_MAX {
            let what = "number of items that the log changes";
            return Err(Error::limit(what, len_u64(CHANGES_MAX), len_u64(self.count)));
        }
        self.changes.entry(subvolume).or_default().insert(key, data);
        Ok(())
    }

    /// Adds checksums of the data from a logical address on.
    pub(crate) fn add_checksums(&mut self, logical: u64, data: Vec<u8>) {
        self.checksums.insert(logical, data);
    }

    /// The last checksums of the log that start at or before a logical address.
    pub(crate) fn log_checksums(&self, logical: u64) -> Option<(u64, &[u8])> {
        let found = self.checksums.range(..=logical).next_back();
        found.map(|(start, data)| (*start, data.as_slice()))
    }

    /// The data of the item with exactly this key.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn get(&self, subvolume: u64, key: Key) -> Result<Option<Vec<u8>>> {
        match self.changes.get(&subvolume).and_then(|changes| changes.get(&key)) {
            Some(changed) => Ok(changed.clone()),
            None => self.volume.get(&self.root(subvolume)?, key),
        }
    }

    /// Calls `visit` with every item from `from` to `to`, both included, ascending, until it breaks.
    ///
    /// # Errors
    /// `Corrupt`; the error of `visit`.
    pub(crate) fn for_each(
        &self,
        subvolume: u64,
        from: Key,
        to: Key,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let root = self.root(subvolume)?;
        let Some(changes) = self.changes.get(&subvolume) else {
            return self.volume.for_each(&root, from, to, visit);
        };
        let mut changed = changes.range(from..=to).peekable();
        let mut is_over = false;
        self.volume.for_each(&root, from, to, &mut |key, data| {
            let mut flow = ControlFlow::Continue(());
            let mut is_replaced = false;
            while let Some((at, new)) = changed.next_if(|(at, _)| **at <= key) {
                is_replaced = *at == key;
                if let (Some(new), true) = (new, flow.is_continue()) {
                    flow = visit(*at, new)?;
                }
            }
            if flow.is_continue() && !is_replaced {
                flow = visit(key, data)?;
            }
            is_over = flow.is_break();
            Ok(flow)
        })?;
        if !is_over {
            for (key, new) in changed {
                if let Some(new) = new
                    && visit(*key, new)?.is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The last item from `from` to `to`, both included.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn last_of(
        &self,
        subvolume: u64,
        from: Key,
        to: Key,
    ) -> Result<Option<(Key, Vec<u8>)>> {
        let root = self.root(subvolume)?;
        let none = Changes::new();
        let changes = self.changes.get(&subvolume).unwrap_or(&none);
        let mut committed = self.volume.last_up_to(&root, to)?;
        // Every round goes below a key that the log changed.
        while let Some((key, _)) = committed.as_ref().filter(|(key, _)| changes.contains_key(key)) {
            committed = match previous(*key) {
                Some(key) => self.volume.last_up_to(&root, key)?,
                None => None,
            };
        }
        let committed = committed.filter(|(key, _)| *key >= from);
        let mut changed = if from <= to { changes.range(from..=to) } else { none.range(from..) };
        let changed = changed.rfind(|(_, new)| new.is_some());
        let changed = changed.and_then(|(key, new)| Some((*key, new.clone()?)));
        Ok(committed.into_iter().chain(changed).max_by_key(|(key, _)| *key))
    }
}

/// The key right before `key`.
fn previous(key: Key) -> Option<Key> {
    let Key { objectid, kind, offset } = key;
    if let Some(offset) = offset.checked_sub(1) {
        return Some(Key::new(objectid, kind, offset));
    }
    if let Some(kind) = kind.checked_sub(1) {
        return Some(Key::new(objectid, kind, u64::MAX));
    }
    objectid.checked_sub(1).map(Key::last_of)
}
