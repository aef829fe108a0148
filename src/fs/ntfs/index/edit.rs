//! Inserting, removing and changing one entry.
//!
//! Every edit reads the nodes from the root to the entry, changes them in memory and settles them from the
//! bottom up (see [`settle`](super::settle)). Only nodes that changed are written: an insertion into a leaf with
//! room, a removal from a leaf that keeps an entry, and a change of sizes or times write one node. Edits that take
//! or free blocks read the whole index first, and are not made if it is not sound.

use super::block::Block;
use super::check::check;
use super::collation::Collation;
use super::defect::{IndexDefect, in_entry, in_root};
use super::entry::{Entry, VCN_LEN};
use super::format::IndexFormat;
use super::host::IndexHost;
use super::node::Node;
use super::path::Path;
use super::read::load_root;
use crate::error::{Error, Result};
use crate::fs::ntfs::units::Vcn;
use std::cmp::Ordering;

/// How many leaves without entries one removal clears away: other drivers leave hardly any.
const EMPTY_LEAVES_MAX: usize = 64;

/// An index that is edited.
pub(crate) struct IndexEditor<'a> {
    pub(super) host: &'a mut dyn IndexHost,
    pub(super) format: IndexFormat,
    collation: Collation<'a>,
    cluster_size_bytes: u32,
    /// True once the whole index was found sound.
    is_checked: bool,
}

impl std::fmt::Debug for IndexEditor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexEditor").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<'a> IndexEditor<'a> {
    /// Opens the index of `host` on a volume with clusters of `cluster_size_bytes`.
    ///
    /// # Errors
    /// `Corrupt` if its root is damaged or its keys are of another kind.
    pub(crate) fn open(
        host: &'a mut dyn IndexHost,
        cluster_size_bytes: u32,
        collation: Collation<'a>,
    ) -> Result<Self> {
        let (_, format) = load_root(host, cluster_size_bytes, collation)?;
        Ok(Self { host, format, collation, cluster_size_bytes, is_checked: false })
    }

    fn path(&self) -> Result<Path<'a>> {
        let (root, format) = load_root(self.host, self.cluster_size_bytes, self.collation)?;
        Ok(Path::new(root, format, self.collation))
    }

    /// Checks the whole index before the first edit that takes or frees blocks: a wrong bitmap would hand out a
    /// block that is in use, and a block to which two ways lead would be freed below the other.
    fn check_before(&mut self, path: &Path<'_>) -> Result<()> {
        if !self.is_checked && self.changes_blocks(path)? {
            check(self.host, self.cluster_size_bytes, self.collation)?;
            self.is_checked = true;
        }
        Ok(())
    }

    /// Inserts `entry`. False, and nothing is changed, if there is an entry with the same key.
    ///
    /// # Errors
    /// `Corrupt` if a node on the way is damaged, not sorted, or free according to the bitmap; `Unsupported`
    /// if the entry is too long for the index blocks; `Refused` without space; those of the host.
    pub(crate) fn insert(&mut self, mut entry: Entry) -> Result<bool> {
        self.check_length(&entry)?;
        entry.sub_node = None;
        let mut path = self.path()?;
        if path.descend_to(self.host, entry.key())? {
            return Ok(false);
        }
        if let Some(leaf) = path.levels.last_mut() {
            let position = leaf.position;
            leaf.edit().entries.insert(position, entry);
        }
        self.check_before(&path)?;
        self.settle(path)?;
        Ok(true)
    }

    /// Removes the entry with `key` and gives it; `None` if there is none. Of a file name only the name counts.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<Option<Entry>> {
        for _ in 0..EMPTY_LEAVES_MAX {
            let mut path = self.path()?;
            if !path.descend_to(self.host, key)? {
                return Ok(None);
            }
            let depth = path.levels.len().saturating_sub(1);
            path.descend_to_last(self.host)?;
            let removed = take(&mut path, depth);
            if removed.is_none() {
                // The leaf that should have given a substitute has no entries: it goes, then we look again.
                if let Some(leaf) = path.levels.last_mut() {
                    leaf.is_dirty = true;
                }
            }
            self.check_before(&path)?;
            for homeless in self.settle(path)? {
                self.insert(homeless)?;
            }
            if removed.is_some() {
                return Ok(removed);
            }
        }
        Err(in_root(IndexDefect::NoEntries(EMPTY_LEAVES_MAX)))
    }

    /// Replaces the key of an entry in its place by `key`, which has the same length and the same rank: sizes
    /// and times of a directory entry (WIN-103, WIN-111). False if there is no such entry.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub(crate) fn replace_key(&mut self, key: &[u8]) -> Result<bool> {
        let mut path = self.path()?;
        if !path.descend_to(self.host, key)? {
            return Ok(false);
        }
        if let Some(level) = path.levels.last_mut() {
            let position = level.position;
            if let Some(entry) = level.edit().entries.get_mut(position) {
                entry.set_key(key)?;
            }
        }
        self.settle(path)?;
        Ok(true)
    }

    /// Refuses entries for which a full block could not be split.
    fn check_length(&self, entry: &Entry) -> Result<()> {
        let is_key = self.collation.compare(entry.key(), entry.key()).map_err(in_entry)?;
        let block = Block::new(self.format, Vcn(0), Node::default()).map_err(in_entry)?;
        let needed = entry.stored_len().saturating_add(VCN_LEN);
        if is_key == Ordering::Equal && needed <= block.entry_bytes_max() {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "an index entry of {needed} bytes in index blocks of {} bytes",
            self.format.block_len()
        )))
    }
}

/// Takes the entry at the position of level `depth` out of the way. In an inner node the last entry of the
/// leaf at the end of the way takes its place, which keeps the sub-node. `None` if that leaf is empty.
fn take(path: &mut Path<'_>, depth: usize) -> Option<Entry> {
    let is_leaf = depth.saturating_add(1) == path.levels.len();
    let substitute = if is_leaf { None } else { Some(path.levels.last_mut()?.take_last()?) };
    let level = path.levels.get_mut(depth)?;
    let position = level.position;
    let node = level.edit();
    match substitute {
        None if position < node.entries.len() => Some(node.entries.remove(position)),
        None => None,
        Some(mut substitute) => {
            let place = node.entries.get_mut(position)?;
            substitute.sub_node = place.sub_node;
            let mut removed = std::mem::replace(place, substitute);
            removed.sub_node = None;
            Some(removed)
        }
    }
}
