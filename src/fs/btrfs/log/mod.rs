//! The log: what `fsync` wrote since the last transaction. After a crash the kernel brings it into the trees when it mounts
//! the volume; here the same is done in memory ([`View`]), for reading.
//!
//! Format: btrfs documentation, "On-disk Format", field `log_root` of the superblock; what it leaves open was observed in
//! volumes that were copied while they were mounted, and compared with what the kernel made of them (`fixtures/btrfs/dirty`).
//!
//! `log_root` is a tree with an item (TREE_LOG, ROOT_ITEM, subvolume) for every subvolume with a log. That is a tree with
//! the items of each inode that was brought to the disk: all of an inode that was synced, or only the fact that it exists
//! (`generation` 0). What the items mean is not what they mean in a subvolume:
//!
//! | item         | meaning                                                                                        |
//! |--------------|------------------------------------------------------------------------------------------------|
//! | INODE_ITEM   | replaces the inode; the size of a directory follows from its names; extents behind the size go |
//! | XATTR_ITEM   | replaces the item; attributes that are not in the log are gone                                  |
//! | DIR_LOG_INDEX | (directory, first): names from `first` to the number in the item that are not in the log are gone |
//! | DIR_INDEX    | adds a name, if what it names exists                                                            |
//! | INODE_REF    | adds names; those of the same directory that are not in the item are gone                       |
//! | EXTENT_DATA  | replaces whatever is in its range                                                               |
//! | EXTENT_CSUM  | checksums of data that the checksum tree does not know yet                                      |
//!
//! A name that is taken by something else, or whose place in the order of names is, is taken from it. How many names an
//! inode has is counted at the end.
//!
//! Not done: nothing is freed, and times that the kernel sets while it replays are not set.

mod extents;
mod inodes;
mod names;

use super::key::{Key, item, object};
use super::node::Node;
use super::tree::TreeRoot;
use super::view::View;
use super::volume::Volume;
use crate::bytes::arith::{add, len_u64};
use crate::error::{Context as _, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Bound on the items of a log.
const ITEMS_MAX: usize = 1 << 18;

/// Bound on the blocks of all logs.
const BLOCKS_MAX: usize = 1 << 18;

/// Bound on what they hold, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The log of one subvolume, while it is replayed.
struct Replay<'a> {
    view: &'a mut View,
    subvolume: u64,
    log: BTreeMap<Key, Vec<u8>>,
    /// Inodes whose names must be counted.
    touched: BTreeSet<u64>,
    /// Inodes of the log that had lost their last name.
    ignored: BTreeSet<u64>,
}

/// Replays the log over the committed trees.
///
/// # Errors
/// `Corrupt`; `Limit` if it is too large. The view must then be reverted.
pub(super) fn replay(view: &mut View) -> Result<()> {
    let logs = logs(view.volume(), &log_root(view.volume())?)?;
    let mut budget = Budget { items: ITEMS_MAX, bytes: BYTES_MAX };
    for (subvolume, root) in logs {
        view.load_log_checksums(&root)?;
        let log = load(view, &root, &mut budget)?;
        let (touched, ignored) = (BTreeSet::new(), BTreeSet::new());
        Replay { view, subvolume, log, touched, ignored }
            .run()
            .context(|| format!("log of subvolume {subvolume}"))?;
    }
    Ok(())
}

/// The tree of log trees.
fn log_root(volume: &Volume) -> Result<TreeRoot> {
    let superblock = volume.superblock();
    Ok(TreeRoot {
        tree: object::TREE_LOG,
        bytenr: superblock.log_root,
        level: superblock.log_root_level,
        generation: add(superblock.generation, 1)?,
    })
}

/// The log trees, with the subvolume of each.
fn logs(volume: &Volume, root: &TreeRoot) -> Result<Vec<(u64, TreeRoot)>> {
    let mut logs = Vec::new();
    let from = Key::new(object::TREE_LOG, item::ROOT_ITEM, 0);
    let to = Key::new(object::TREE_LOG, item::ROOT_ITEM, u64::MAX);
    volume.for_each(root, from, to, &mut |key, data| {
        logs.push((key.offset, TreeRoot::parse(object::TREE_LOG, data)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(logs)
}

/// The addresses of all blocks of the log.
///
/// # Errors
/// `Corrupt`; `Limit` if there are too many.
pub(super) fn blocks(volume: &Volume) -> Result<Vec<u64>> {
    let root = log_root(volume)?;
    let mut blocks = Vec::new();
    add_blocks(volume, &root, &*volume.root_node(&root)?, &mut blocks)?;
    for (_, root) in logs(volume, &root)? {
        add_blocks(volume, &root, &*volume.root_node(&root)?, &mut blocks)?;
    }
    Ok(blocks)
}

/// Depth is bounded by the level, which is checked.
fn add_blocks(volume: &Volume, root: &TreeRoot, node: &Node, blocks: &mut Vec<u64>) -> Result<()> {
    if blocks.len() >= BLOCKS_MAX {
        let limit = len_u64(BLOCKS_MAX);
        return Err(Error::limit("number of blocks of the log", limit, limit.saturating_add(1)));
    }
    blocks.push(node.bytenr);
    for index in 0..node.pointers().len() {
        add_blocks(volume, root, &*volume.child(root, node, index)?, blocks)?;
    }
    Ok(())
}

struct Budget {
    items: usize,
    bytes: usize,
}

fn load(view: &View, root: &TreeRoot, budget: &mut Budget) -> Result<BTreeMap<Key, Vec<u8>>> {
    let mut log = BTreeMap::new();
    let to = Key::last_of(object::LAST_FREE);
    view.volume().for_each(root, Key::first_of(object::FIRST_FREE), to, &mut |key, data| {
        let is_over = budget.items == 0 || budget.bytes < data.len();
        if is_over {
            let max = len_u64(BYTES_MAX);
            return Err(Error::limit("size of the log in bytes", max, max.saturating_add(1)));
        }
        budget.items = budget.items.saturating_sub(1);
        budget.bytes = budget.bytes.saturating_sub(data.len());
        log.insert(key, data.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(log)
}

impl Replay<'_> {
    /// Names come before all else but the inodes, as a name may be given away by one inode before another takes it.
    fn run(&mut self) -> Result<()> {
        for (key, data) in self.of_kind(item::INODE_ITEM) {
            self.replay_inode(key.objectid, &data)?;
        }
        for (key, data) in self.of_kind(item::DIR_INDEX) {
            self.replay_entry(key, &data)?;
        }
        // Once for each inode, in the order of their numbers.
        for (key, data) in self.log.clone() {
            if self.ignored.contains(&key.objectid) {
                continue;
            }
            match key.kind {
                item::XATTR_ITEM => self.view.change(self.subvolume, key, Some(data))?,
                item::INODE_REF | item::INODE_EXTREF => self.replay_names(key, &data)?,
                item::EXTENT_DATA => self.replay_extent(key, &data)?,
                _ => {}
            }
        }
        self.count_names()
    }

    fn of_kind(&self, kind: u8) -> Vec<(Key, Vec<u8>)> {
        let items = self.log.iter().filter(|(key, _)| key.kind == kind);
        let items = items.filter(|(key, _)| !self.ignored.contains(&key.objectid));
        items.map(|(key, data)| (*key, data.clone())).collect()
    }
}
