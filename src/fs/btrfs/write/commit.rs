//! The end of a transaction.
//!
//! Bringing references into the extent tree changes the extent tree, its root item, block groups and the free space
//! tree, and each of these may copy blocks and so change references. The rounds end as every block is copied only once.

use super::super::extent::change::Changes;
use super::super::key::object;
use super::super::tree::{TreeRoot, root_item};
use super::super::volume::Volume;
use crate::bytes::arith::{mul, to};
use crate::bytes::field::{le_u64, put, put_le_u32, put_le_u64};
use crate::error::{Context as _, Corrupt, Error, Result};
use crate::fs::Timestamp;

/// Bound on the rounds: two or three are needed.
const ROUNDS_MAX: u64 = 64;

impl Volume {
    /// Brings the transaction onto the disk: all changed blocks, and the superblock with all its copies. Nothing
    /// happens if there is none.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if space runs out; `Limit`. The disk must then be rolled back and the volume dropped.
    pub(crate) fn commit(&mut self, clock: Timestamp) -> Result<()> {
        if self.changes().is_none() {
            return Ok(());
        }
        self.settle(clock).context(|| "finishing the transaction")?;
        self.check_reserve()?;
        let bytes_used = self.bytes_used()?;
        let generation = self.pending().generation;
        self.write_nodes()?;
        let raw = self.next_superblock(generation, bytes_used)?;
        let superblock = self.write_superblocks(raw)?;
        self.committed(superblock);
        Ok(())
    }

    fn settle(&mut self, clock: Timestamp) -> Result<()> {
        self.outdate_quota()?;
        for _ in 0..ROUNDS_MAX {
            let mut is_changed = self.apply_changes()?;
            is_changed |= self.store_groups()?;
            is_changed |= self.store_roots(clock)?;
            if !is_changed && self.changes().is_none_or(Changes::is_empty) {
                return Ok(());
            }
        }
        Err(Error::limit("rounds of a transaction", ROUNDS_MAX, ROUNDS_MAX.saturating_add(1)))
    }

    fn bytes_used(&mut self) -> Result<u64> {
        let mut used = self.superblock().bytes_used;
        let before = self.groups_before();
        for (start, before) in before {
            let now = self.group(start)?.used;
            used = used
                .checked_add(now)
                .and_then(|sum| sum.checked_sub(before))
                .ok_or(crate::bytes::arith::OutOfRange)?;
        }
        Ok(used)
    }

    /// Brings the new roots into the tree of trees. True if something changed.
    fn store_roots(&mut self, clock: Timestamp) -> Result<bool> {
        let roots: Vec<TreeRoot> =
            self.pending().roots().filter(|root| root.tree != object::ROOT_TREE).collect();
        let mut is_changed = false;
        for root in roots {
            is_changed |=
                self.store_root(&root, clock).context(|| format!("tree {}", root.tree))?;
        }
        Ok(is_changed)
    }

    fn store_root(&mut self, root: &TreeRoot, clock: Timestamp) -> Result<bool> {
        let generation = self.pending().generation;
        let count = self.pending().take_block_count(root.tree);
        let missing = || Corrupt::new("root item", super::super::extent::item::Defect::Missing);
        let (key, old) = self.root_item(root.tree)?.ok_or_else(missing)?;
        let mut data = old.clone();
        let is_whole = data.len() >= root_item::BYTES
            && le_u64(&data, root_item::GENERATION)? == le_u64(&data, root_item::GENERATION_V2)?;
        if !is_whole {
            // Written by a kernel that did not know the rest, which is void.
            data.truncate(root_item::GENERATION_V2);
            data.resize(root_item::BYTES, 0);
        }
        put_le_u64(&mut data, root_item::BYTENR, root.bytenr)?;
        put_le_u64(&mut data, root_item::GENERATION, generation)?;
        put_le_u64(&mut data, root_item::GENERATION_V2, generation)?;
        put(&mut data, root_item::LEVEL, &[root.level])?;
        let grown = mul(count.unsigned_abs(), self.node_bytes())?;
        let used = le_u64(&data, root_item::BYTES_USED)?;
        let used = if count < 0 { used.saturating_sub(grown) } else { used.saturating_add(grown) };
        put_le_u64(&mut data, root_item::BYTES_USED, used)?;
        if object::is_subvolume(root.tree) {
            put_le_u64(&mut data, root_item::CTRANSID, generation)?;
            put_le_u64(&mut data, root_item::CTIME, clock.seconds.cast_unsigned())?;
            let nanoseconds_at = root_item::CTIME.saturating_add(8);
            put_le_u32(&mut data, nanoseconds_at, clock.nanoseconds)?;
        }
        if data == old {
            return Ok(false);
        }
        self.replace(object::ROOT_TREE, key, data)?;
        Ok(true)
    }

    fn write_nodes(&mut self) -> Result<()> {
        let superblock = self.superblock().clone();
        let mut bytes = vec![0; to(superblock.node_bytes)?];
        let nodes: Vec<_> = self.pending().nodes().cloned().collect();
        for node in nodes {
            node.encode(&superblock, &mut bytes)?;
            let what = format!("tree {}, level {}", node.owner, node.level);
            for physical in self.chunks().copies(node.bytenr, self.node_bytes())? {
                self.disk().write_at(physical, &bytes, &what)?;
            }
        }
        Ok(())
    }
}
