//! Changes of references that are not in the extent tree yet.
//!
//! Every copy of a tree block changes references, also a copy of a block of the extent tree itself. So the changes are
//! collected, and brought into the extent tree until none is left (`apply`). Changes that cancel each other out, as of
//! a block that was made and given up in one transaction, never reach the tree.

use super::item::Reference;
use std::collections::BTreeMap;

/// What an extent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A tree block of this level.
    Block(u8),
    /// Data of this many bytes.
    Data(u64),
}

/// What happened to the references of one extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// What it holds.
    pub(crate) extent: Extent,
    /// It was allocated and is not in the extent tree yet.
    pub(crate) is_new: bool,
    /// From now on, what the block points to is referenced by its address.
    pub(crate) sets_full_backref: bool,
    /// By how much each reference changes; never 0.
    pub(crate) deltas: BTreeMap<Reference, i64>,
}

impl Change {
    /// By how much the number of references changes.
    pub(crate) fn sum(&self) -> i64 {
        self.deltas.values().fold(0, |sum, delta| sum.saturating_add(*delta))
    }

    /// True if nothing is to be done.
    pub(crate) fn is_nothing(&self) -> bool {
        self.deltas.is_empty() && !self.sets_full_backref
    }
}

/// All changes by the address of the extent.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<u64, Change>);

impl Changes {
    /// The change of the extent at this address.
    pub(crate) fn get(&self, bytenr: u64) -> Option<&Change> {
        self.0.get(&bytenr)
    }

    fn entry(&mut self, bytenr: u64, extent: Extent) -> &mut Change {
        self.0.entry(bytenr).or_insert(Change {
            extent,
            is_new: false,
            sets_full_backref: false,
            deltas: BTreeMap::new(),
        })
    }

    /// Remembers a new extent with its first user.
    pub(crate) fn allocated(&mut self, bytenr: u64, extent: Extent, user: Reference) {
        self.entry(bytenr, extent).is_new = true;
        self.add(bytenr, extent, user, 1);
    }

    /// Adds `delta` to a reference.
    pub(crate) fn add(&mut self, bytenr: u64, extent: Extent, user: Reference, delta: i64) {
        let deltas = &mut self.entry(bytenr, extent).deltas;
        let sum = deltas.get(&user).copied().unwrap_or(0).saturating_add(delta);
        if sum == 0 {
            deltas.remove(&user);
        } else {
            deltas.insert(user, sum);
        }
    }

    /// From now on, what the block points to is referenced by its address.
    pub(crate) fn set_full_backref(&mut self, bytenr: u64, extent: Extent) {
        self.entry(bytenr, extent).sets_full_backref = true;
    }

    /// Takes out the change with the lowest address.
    pub(crate) fn take(&mut self) -> Option<(u64, Change)> {
        self.0.pop_first()
    }

    /// True if there is none left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_given_up_at_once_leaves_nothing_to_do() {
        let mut changes = Changes::default();
        changes.allocated(4096, Extent::Block(0), Reference::Tree(5));
        assert_eq!(changes.get(4096).unwrap().sum(), 1);
        changes.add(4096, Extent::Block(0), Reference::Tree(5), -1);
        let (_, change) = changes.take().unwrap();
        assert!(change.is_new && change.is_nothing());
    }
}
