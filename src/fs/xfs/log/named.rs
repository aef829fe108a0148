//! What the transactions of a log name, and which of its intents are open.
//!
//! An edit that touches no inode and no sector of the [`ConflictSet`] commutes with a replay: the
//! replay writes only parts of structures that are named, and reads nothing else.

use super::item::{self, IntentKind, IntentTargets, Item, buffer_flag};
use super::operation::{RawItem, Transaction};
use super::pending::Pending;
use super::quota::QuotaKinds;
use crate::bytes::arith::{add, div_ceil, len_u64};
use crate::error::{Error, Result};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{AgBlock, AgNumber, FsBlock, InodeNumber};
use std::collections::{BTreeMap, BTreeSet};

/// Bound on what one log can name: as many items as the largest log has blocks.
const NAMED_MAX: usize = 4 * 1024 * 1024;

/// Bound on the intents that are open at once, in bytes of their items.
const OPEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An intent without its done item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) kind: IntentKind,
    /// Ties it to its done item.
    pub(crate) id: u64,
}

/// Everything that the committed transactions of a log name.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConflictSet {
    /// By inode items and intents.
    inodes: BTreeSet<InodeNumber>,
    /// By buffers, also canceled ones, and quota records: start in units of 512 bytes to length.
    sectors: BTreeMap<u64, u64>,
    /// Where the inodes lie that inode items name.
    clusters: BTreeMap<u64, u64>,
    /// By inode creations: group, block, blocks.
    created: BTreeSet<(u32, u32, u32)>,
    /// By intents: packed block, blocks.
    extents: BTreeSet<(u64, u64)>,
}

impl ConflictSet {
    /// True if the log names `inode`: by itself, in an intent, or as a part of a buffer.
    ///
    /// # Errors
    /// `Corrupt` if there can be no such inode.
    pub(crate) fn names_inode(&self, superblock: &Superblock, inode: InodeNumber) -> Result<bool> {
        if self.inodes.contains(&inode) {
            return Ok(true);
        }
        let (block, from) = superblock.inode_place(inode)?;
        let start_bytes = add(superblock.block_offset(block)?, from)?;
        let end_bytes = add(start_bytes, u64::from(superblock.inode_size_bytes))?;
        let (start, end) = (start_bytes >> 9, div_ceil(end_bytes, 512)?);
        Ok(overlaps(&self.sectors, start, end) || self.names_block(superblock, block)?)
    }

    /// True if the log names anything in `count` blocks from `start`, among them the inodes there.
    ///
    /// # Errors
    /// `Corrupt` if there are no such blocks.
    #[cfg(test)]
    pub(crate) fn names_blocks(
        &self,
        superblock: &Superblock,
        start: FsBlock,
        count: u32,
    ) -> Result<bool> {
        superblock.check_run(start, count)?;
        let first = superblock.daddr(start)?;
        let len = crate::bytes::arith::mul(u64::from(count), superblock.block_size())? >> 9;
        let end = add(first, len)?;
        if overlaps(&self.sectors, first, end) || overlaps(&self.clusters, first, end) {
            return Ok(true);
        }
        for step in 0..count {
            if self.names_block(superblock, start.plus(step.into())?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The inodes that items and intents name.
    #[cfg(test)]
    pub(crate) fn inodes(&self) -> impl Iterator<Item = InodeNumber> {
        self.inodes.iter().copied()
    }

    /// Number of inodes and places that are named, for messages.
    pub(crate) fn len(&self) -> usize {
        [self.inodes.len(), self.sectors.len(), self.created.len(), self.extents.len()].iter().sum()
    }

    /// True if an inode creation or an intent names `block`.
    fn names_block(&self, superblock: &Superblock, block: FsBlock) -> Result<bool> {
        let (AgNumber(ag), AgBlock(ag_block)) = superblock.split(block)?;
        let is_created = self.created.iter().any(|&(other, start, count)| {
            other == ag && (start..start.saturating_add(count)).contains(&ag_block)
        });
        let is_in_extent = self
            .extents
            .iter()
            .any(|&(start, count)| (start..start.saturating_add(count)).contains(&block.0));
        Ok(is_created || is_in_extent)
    }

    fn add_targets(&mut self, targets: IntentTargets) {
        self.inodes.extend(targets.inodes);
        self.extents.extend(targets.extents);
    }

    fn add_sectors(map: &mut BTreeMap<u64, u64>, daddr: u64, sectors: u64) {
        let known = map.entry(daddr).or_default();
        *known = (*known).max(sectors);
    }
}

/// Longest entry that [`overlaps`] has to look back for, in sectors: a buffer of 64 KiB.
const LONGEST: u64 = 128;

fn overlaps(map: &BTreeMap<u64, u64>, start: u64, end: u64) -> bool {
    let mut near = map.range(start.saturating_sub(LONGEST)..end);
    near.any(|(&at, &len)| at.saturating_add(len) > start)
}

/// What one walk over a log finds out.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) transactions: u32,
    pub(super) named: ConflictSet,
    /// The last transaction that cancels a buffer, by start and length in sectors.
    pub(super) canceled: BTreeMap<(u64, u64), u32>,
    /// What is not counted any more: nothing of these kinds must be replayed.
    pub(super) quota_off: QuotaKinds,
    /// Intents without done item, as they were logged.
    open: BTreeMap<(IntentKind, u64), RawItem>,
    open_bytes: usize,
}

impl Summary {
    /// Adds what `transaction` says.
    pub(super) fn add(&mut self, transaction: &Transaction) -> Result<()> {
        for raw in &transaction.items {
            let item = item::parse(raw)?;
            if let Item::Intent(kind, id, _) = &item {
                self.open_bytes = self.open_bytes.saturating_add(raw.len_bytes());
                self.open.insert((*kind, *id), raw.clone());
            }
            self.add_item(item);
        }
        self.transactions = self.transactions.saturating_add(1);
        limit("structures named in the log", NAMED_MAX, self.named.len())?;
        limit("bytes of open intents in the log", OPEN_BYTES_MAX, self.open_bytes)
    }

    fn add_item(&mut self, item: Item) {
        let named = &mut self.named;
        match item {
            Item::Buffer(buffer) => {
                let sectors = u64::from(buffer.sectors);
                ConflictSet::add_sectors(&mut named.sectors, buffer.daddr, sectors);
                if buffer.flags & buffer_flag::CANCEL != 0 {
                    self.canceled.insert((buffer.daddr, sectors), self.transactions);
                }
            }
            Item::Inode(inode) => {
                named.inodes.insert(inode.number);
                let sectors = u64::from(inode.sectors).min(LONGEST);
                ConflictSet::add_sectors(&mut named.clusters, inode.daddr, sectors);
            }
            Item::Quota(quota) => {
                let sectors = u64::from(quota.sectors).min(LONGEST);
                ConflictSet::add_sectors(&mut named.sectors, quota.daddr, sectors);
            }
            Item::QuotaOff(kinds) => self.quota_off.add(kinds),
            Item::InodeCreate(new) => {
                named.created.insert((new.ag, new.ag_block, new.blocks));
            }
            Item::Intent(_, _, targets) => named.add_targets(targets),
            Item::Done(kind, id) => {
                if let Some(raw) = self.open.remove(&(kind, id)) {
                    self.open_bytes = self.open_bytes.saturating_sub(raw.len_bytes());
                }
            }
        }
    }

    /// The intents that no done item closes.
    pub(super) fn pending(&self) -> Result<Pending> {
        let mut named = ConflictSet::default();
        for raw in self.open.values() {
            if let Item::Intent(_, _, targets) = item::parse(raw)? {
                named.add_targets(targets);
            }
        }
        Ok(Pending::new(self.open.clone(), named))
    }
}

fn limit(what: &str, limit: usize, actual: usize) -> Result<()> {
    if actual <= limit {
        return Ok(());
    }
    Err(Error::limit(format!("number of {what}"), len_u64(limit), len_u64(actual)))
}
