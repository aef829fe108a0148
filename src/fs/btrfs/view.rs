//! The trees of subvolumes as a reader sees them: those of the last transaction, with the log replayed over them.

use super::key::Key;
use super::tree::{TreeRoot, Visit};
use super::volume::Volume;
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bound on the items that a replay changes.
const CHANGES_MAX: usize = 1 << 20;

/// Bound on the items of the log and of the trees that a replay looks at, and on those that are gone: a log can name
/// the same ones again and again.
const LOOKS_MAX: u64 = 1 << 24;

/// Bound on the checksums of data that only the log has, in bytes: those of 16 GiB with CRC-32C.
const CHECKSUM_BYTES_MAX: usize = 16 << 20;

/// Items that replace those of a tree; `None` for those that are gone.
pub(crate) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// A volume, and what its log changes.
#[derive(Debug)]
pub(crate) struct View {
    volume: Volume,
    changes: BTreeMap<u64, Changes>,
    /// Checksums of data that only the log has, by logical address.
    checksums: BTreeMap<u64, Vec<u8>>,
    checksum_bytes: usize,
    count: usize,
    looks: AtomicU64,
}

impl View {
    /// The trees as they were committed.
    pub(crate) fn new(volume: Volume) -> Self {
        Self {
            volume,
            changes: BTreeMap::new(),
            checksums: BTreeMap::new(),
            checksum_bytes: 0,
            count: 0,
            looks: AtomicU64::new(0),
        }
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
        (self.count, self.checksum_bytes) = (0, 0);
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.checksums))
    }

    /// Forgets what the log changed.
    pub(crate) fn revert(&mut self) {
        self.take_changes();
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

    /// Counts what a replay looks at.
    ///
    /// # Errors
    /// `Limit` above what a log can be worth.
    pub(crate) fn look(&self, count: usize) -> Result<()> {
        let before = self.looks.fetch_add(len_u64(count), Ordering::Relaxed);
        let looks = before.saturating_add(len_u64(count));
        if looks > LOOKS_MAX {
            return Err(Error::limit(
                "items that the replay of the log looks at",
                LOOKS_MAX,
                looks,
            ));
        }
        Ok(())
    }

    /// Adds checksums of the data from a logical address on.
    ///
    /// # Errors
    /// `Limit`.
    pub(crate) fn add_checksums(&mut self, logical: u64, data: &[u8]) -> Result<()> {
        self.checksum_bytes = self.checksum_bytes.saturating_add(data.len());
        if self.checksum_bytes > CHECKSUM_BYTES_MAX {
            let (limit, actual) = (len_u64(CHECKSUM_BYTES_MAX), len_u64(self.checksum_bytes));
            return Err(Error::limit("checksums in the log in bytes", limit, actual));
        }
        self.checksums.insert(logical, data.to_vec());
        Ok(())
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
        // A log may name ranges that end before they start.
        if from > to {
            return Ok(());
        }
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
            self.look(1)?;
            committed = match previous(*key) {
                Some(key) => self.volume.last_up_to(&root, key)?,
                None => None,
            };
        }
        let committed = committed.filter(|(key, _)| *key >= from);
        let mut changed = if from <= to { changes.range(from..=to) } else { none.range(from..) };
        let mut gone = 0;
        let changed = changed.rfind(|(_, new)| {
            gone = usize::saturating_add(gone, usize::from(new.is_none()));
            new.is_some()
        });
        self.look(gone)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::btrfs::key::item;
    use crate::fs::btrfs::testing::recorded;

    fn view() -> View {
        View::new(Volume::open(recorded("default")).unwrap())
    }

    /// As a log makes them that says that the names from 9 to 3 are gone.
    #[test]
    fn ranges_that_end_before_they_start_are_empty() {
        let mut view = view();
        view.change(5, Key::new(256, item::DIR_INDEX, 7), None).unwrap();
        let key = |offset| Key::new(256, item::DIR_INDEX, offset);
        let seen = &mut 0;
        let mut count = |_: Key, _: &[u8]| {
            *seen += 1;
            Ok(ControlFlow::Continue(()))
        };
        view.for_each(5, key(9), key(3), &mut count).unwrap();
        assert_eq!(*seen, 0);
        assert_eq!(view.last_of(5, key(9), key(3)).unwrap(), None);
    }

    #[test]
    fn what_a_log_may_cost_is_bounded() {
        let view = view();
        view.look(1 << 24).unwrap();
        assert_eq!(view.look(1).unwrap_err().kind_name(), "limit");
        let mut view = View::new(view.volume);
        let mut add = |number| view.add_checksums(number, &[0; 1 << 20]);
        (0..16).for_each(|number| add(number).unwrap());
        assert_eq!(add(16).unwrap_err().kind_name(), "limit");
    }
}
