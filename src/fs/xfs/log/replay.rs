//! Replay: what the log holds is written to its places in the overlay.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log". Two walks over the log:
//!
//! 1. Which buffers are canceled, and by which transaction last. What was logged for a canceled
//!    buffer in that transaction or before must not be replayed: its blocks were freed, and may hold
//!    data by now.
//! 2. Transaction by transaction, in the order of commits. Inside of one, the order is: buffers and
//!    new inodes, then inodes and quota records, then the pointers of unlinked inodes. New inodes
//!    come before what was done to them, and pointers last because they change inodes too.
//!
//! A structure that carries the number of a later change than that of the transaction is on the disk
//! already and is left alone; but not a buffer of dquots, which has no number: what happened to its dquots
//! later comes later in the log. If the numbers are equal it is written again: several transactions can
//! start in one record, and writing what is there already changes nothing.

use super::blocks::{LogBlocks, VolumeLog};
use super::inode_core;
use super::item::{self, Buffer, Inode, InodeCreate, Item, Quota, buffer_flag, inode_field};
use super::named::{Intent, Summary};
use super::operation::Transaction;
use super::pending::Pending;
use super::quota::{self, QuotaKinds};
use super::structure::{self, Content};
use super::{Dirty, LogDefect, LogState, counters, walk};
use crate::bytes::arith::{add, len_u64, mul, to};
use crate::bytes::field::{self, put, put_be_u16, put_be_u32, put_be_u64, slice, slice_mut};
use crate::error::{Context, Corrupt, Refusal, Result};
use crate::fs::xfs::btree::INODES_PER_CHUNK;
use crate::fs::xfs::checksum;
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::inode::MAGIC as INODE_MAGIC;
use crate::fs::xfs::quota::dquot::{DQUOT_BYTES, Dquot, DquotDefect};
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{AgBlock, AgInode, AgNumber, Lsn, NULL_AG_INODE};
use crate::fs::xfs::volume::Volume;

/// What a replay is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be edited: what is left to do must be something that a mount can be made to do.
    Edit,
    /// To be read only: open intents change no content that can be read.
    View,
}

/// What a replay did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replayed {
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) transactions: u32,
    /// Buffers, inodes and quota records written, each as often as it was.
    pub(crate) written: u64,
    /// Those that were on the disk already, in a later state.
    pub(crate) newer: u64,
    /// Those that belong to freed blocks.
    pub(crate) canceled: u64,
    /// Those of quotas that ended later in the log.
    pub(crate) ended: u64,
    /// What only a mount can finish; to be given to [`finish`](super::finish) if it
    /// is not empty.
    pub(crate) pending: Pending,
}

/// Replays the log of `volume` into its overlay, and recomputes the counters of the superblock as a
/// mount does. `None` if the log is clean. The log itself is not touched: see
/// [`finish`](super::finish).
///
/// # Errors
/// * `Refused` - something that is refused by name; more of it for [`Purpose::Edit`].
/// * `Corrupt` - the log, or what it wants to change, is damaged.
/// * `Limit`, `Io`.
pub(crate) fn replay(volume: &mut Volume, purpose: Purpose) -> Result<Option<Replayed>> {
    let log = super::internal(volume)?;
    let (state, summary) = super::scan_blocks(&log, &super::uuids(volume))?;
    let LogState::Dirty(dirty) = state else { return Ok(None) };
    check_supported(volume.superblock(), &dirty, purpose)?;
    let before = volume.superblock().clone();
    let mut replayer = Replayer {
        volume,
        log: &log,
        summary: &summary,
        index: 0,
        replayed: Replayed {
            transactions: dirty.transactions,
            pending: dirty.pending,
            ..Replayed::default()
        },
    };
    walk::transactions(&log, &dirty.ends, &super::uuids(volume), &mut |transaction| {
        replayer.transaction(&transaction)
    })
    .context(|| "log replay")?;
    let replayed = replayer.replayed;
    volume.reload_superblock().context(|| "log replay")?;
    check_geometry(&before, volume.superblock())?;
    counters::recompute(volume).context(|| "log replay")?;
    Ok(Some(replayed))
}

fn refuse(detail: impl Into<String>) -> crate::error::Error {
    Refusal::DirtyLog { detail: detail.into() }.into()
}

fn check_supported(superblock: &Superblock, dirty: &Dirty, purpose: Purpose) -> Result<()> {
    if !superblock.has_crc() {
        return Err(refuse("the file system is of version 4"));
    }
    if purpose == Purpose::View {
        return Ok(());
    }
    let intents = dirty.pending.intents();
    let realtime = |intent: &&Intent| intent.kind.is_realtime();
    if let Some(intent) = intents.iter().find(realtime) {
        return Err(refuse(format!("the intent {} was left open", intent.kind.name())));
    }
    if superblock.realtime_blocks != 0 {
        return Err(refuse("the file system has a realtime device"));
    }
    if superblock.features.has_incompat(incompat::METADIR) {
        return Err(refuse("the file system has metadata directories"));
    }
    Ok(())
}

fn check_geometry(before: &Superblock, after: &Superblock) -> Result<()> {
    let shape = |superblock: &Superblock| {
        let groups = (superblock.blocks, superblock.ag_blocks, superblock.ag_count);
        (groups, superblock.log_start, superblock.log_blocks, superblock.root)
    };
    if shape(before) == shape(after) {
        return Ok(());
    }
    Err(refuse("it holds a change of the size of the file system"))
}

/// The second walk.
struct Replayer<'a> {
    volume: &'a Volume,
    log: &'a VolumeLog,
    summary: &'a Summary,
    /// Of the transaction, as the summary counts them.
    index: u32,
    replayed: Replayed,
}

/// Place of an item in the order inside a transaction.
fn rank(item: &Item) -> u8 {
    match item {
        Item::Buffer(buffer) if buffer.flags & buffer_flag::CANCEL != 0 => 3,
        Item::Buffer(buffer) if buffer.flags & buffer_flag::INODE != 0 => 2,
        Item::Buffer(_) | Item::InodeCreate(_) => 0,
        _ => 1,
    }
}

impl Replayer<'_> {
    fn transaction(&mut self, transaction: &Transaction) -> Result<()> {
        let mut items = Vec::new();
        for raw in &transaction.items {
            items.push(item::parse(raw)?);
        }
        items.sort_by_key(rank);
        for item in &items {
            match item {
                Item::Buffer(buffer) => self.buffer(buffer, transaction.lsn)?,
                Item::Inode(inode) => self.inode(inode, transaction.lsn)?,
                Item::Quota(quota) => self.quota(quota, transaction.lsn)?,
                Item::InodeCreate(new) => self.create_inodes(*new)?,
                Item::QuotaOff(_) | Item::Intent(..) | Item::Done(..) => {}
            }
        }
        self.index = self.index.saturating_add(1);
        Ok(())
    }

    /// True if the buffer is canceled by this transaction or a later one.
    fn is_canceled(&self, daddr: u64, sectors: u64) -> bool {
        self.summary.canceled.get(&(daddr, sectors)).is_some_and(|&last| last >= self.index)
    }

    /// Checks that sectors lie inside the file system and outside the log; gives their byte offset.
    fn place(&self, daddr: u64, sectors: u64) -> Result<u64> {
        let superblock = self.volume.superblock();
        let wrong = || Corrupt::new("log item", LogDefect::Place { daddr, sectors });
        let end = add(daddr, sectors)?;
        let fs_sectors = mul(superblock.blocks, superblock.block_size())? >> 9;
        let log_start = superblock.block_offset(superblock.log_start)? >> 9;
        let log_end = add(log_start, u64::from(self.log.block_count()))?;
        let is_in_log = daddr < log_end && end > log_start;
        if sectors == 0 || end > fs_sectors || is_in_log {
            return Err(wrong().into());
        }
        Ok(mul(daddr, 512)?)
    }

    fn write(&mut self, offset: u64, bytes: &[u8], what: &str) -> Result<()> {
        self.replayed.written = self.replayed.written.saturating_add(1);
        self.volume.disk().write_at(offset, bytes, &format!("log replay: {what}"))
    }

    fn buffer(&mut self, buffer: &Buffer, lsn: Lsn) -> Result<()> {
        let sectors = u64::from(buffer.sectors);
        if buffer.flags & buffer_flag::CANCEL != 0 {
            return Ok(());
        }
        if self.is_canceled(buffer.daddr, sectors) {
            self.replayed.canceled = self.replayed.canceled.saturating_add(1);
            return Ok(());
        }
        let quotas = QuotaKinds::of_buffer(buffer.flags);
        if self.summary.quota_off.has_any(quotas) {
            self.replayed.ended = self.replayed.ended.saturating_add(1);
            return Ok(());
        }
        let offset = self.place(buffer.daddr, sectors)?;
        let mut bytes = self.volume.disk().read_vec(offset, to(mul(sectors, 512)?)?)?;
        if buffer.flags & buffer_flag::INODE != 0 {
            return self.unlinked_pointers(buffer, offset, &mut bytes);
        }
        let present = structure::present_lsn(self.volume.superblock(), &bytes);
        if present.is_some_and(|present| present > lsn) {
            self.replayed.newer = self.replayed.newer.saturating_add(1);
            return Ok(());
        }
        for (at, part) in &buffer.parts {
            put(&mut bytes, *at, part)?;
        }
        if !quotas.is_empty() {
            quota::check_buffer(self.volume.superblock(), quotas, &bytes)
                .map_err(|wrong| Corrupt::new("logged dquot", wrong).at(offset))?;
            return self.write(offset, &bytes, "dquots");
        }
        let content =
            structure::check(self.volume.superblock(), buffer.flags, buffer.daddr, &bytes)?;
        let what = match content {
            Content::Structure(structure) => {
                structure.seal(&mut bytes, lsn)?;
                structure.name()
            }
            Content::Plain => "realtime bitmap or summary",
        };
        self.write(offset, &bytes, what)
    }

    /// Of a buffer of inodes, only the pointers to the next unlinked inode count.
    fn unlinked_pointers(&mut self, buffer: &Buffer, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let size = usize::from(self.volume.superblock().inode_size_bytes);
        for (index, inode) in bytes.chunks_exact_mut(size).enumerate() {
            let pointer_at =
                index.saturating_mul(size).saturating_add(inode_core::NEXT_UNLINKED_AT);
            let logged = buffer
                .parts
                .iter()
                .find_map(|(at, part)| slice(part, pointer_at.checked_sub(*at)?, 4).ok());
            if let Some(pointer) = logged {
                if field::be_u16(inode, 0)? != INODE_MAGIC {
                    return Err(Corrupt::new("logged inode", LogDefect::InodeCore)
                        .at(offset)
                        .into());
                }
                put(inode, inode_core::NEXT_UNLINKED_AT, pointer)?;
                checksum::seal(inode, inode_core::CRC_AT)?;
            }
        }
        self.write(offset, bytes, "unlinked inodes")
    }

    fn inode(&mut self, item: &Inode, lsn: Lsn) -> Result<()> {
        let sectors = u64::from(item.sectors);
        if self.is_canceled(item.daddr, sectors) {
            self.replayed.canceled = self.replayed.canceled.saturating_add(1);
            return Ok(());
        }
        if item.fields & inode_field::OWNERS != 0 {
            return Err(refuse(format!(
                "it changes the owner of the extent tree of {}",
                item.number
            )));
        }
        let superblock = self.volume.superblock();
        let buffer_offset = self.place(item.daddr, sectors)?;
        let offset = add(buffer_offset, u64::from(item.offset_bytes))?;
        if self.volume.inode_offset(item.number)? != offset {
            let wrong = LogDefect::Place { daddr: item.daddr, sectors };
            return Err(Corrupt::new("log item", wrong).of(item.number.to_string()).into());
        }
        let len = usize::from(superblock.inode_size_bytes);
        let mut bytes = self.volume.disk().read_vec(offset, len)?;
        if field::be_u16(&bytes, 0)? != INODE_MAGIC {
            let wrong = Corrupt::new("logged inode", LogDefect::InodeCore).at(offset);
            return Err(wrong.of(item.number.to_string()).into());
        }
        if inode_core::is_newer(&bytes, lsn)? {
            self.replayed.newer = self.replayed.newer.saturating_add(1);
            return Ok(());
        }
        inode_core::apply(item, &mut bytes, lsn)?;
        self.write(offset, &bytes, &item.number.to_string())
    }

    fn quota(&mut self, quota: &Quota, lsn: Lsn) -> Result<()> {
        let sectors = u64::from(quota.sectors);
        if self.is_canceled(quota.daddr, sectors) {
            self.replayed.canceled = self.replayed.canceled.saturating_add(1);
            return Ok(());
        }
        if self.summary.quota_off.has_any(quota::kind_of(quota)?) {
            self.replayed.ended = self.replayed.ended.saturating_add(1);
            return Ok(());
        }
        let start = self.place(quota.daddr, sectors)?;
        let offset = add(start, u64::from(quota.offset_bytes))?;
        let buffer_end = add(start, mul(sectors, 512)?)?;
        if add(offset, len_u64(DQUOT_BYTES))? > buffer_end {
            let wrong = LogDefect::Place { daddr: quota.daddr, sectors };
            return Err(Corrupt::new("log item", wrong).of(quota.name()).into());
        }
        let mut bytes = self.volume.disk().read_vec(offset, DQUOT_BYTES)?;
        let uuid = self.volume.superblock().meta_uuid.0;
        let wrong = |defect: DquotDefect| Corrupt::new("dquot", defect).at(offset).of(quota.name());
        if quota::is_newer(&bytes, lsn, &uuid).map_err(wrong)? {
            self.replayed.newer = self.replayed.newer.saturating_add(1);
            return Ok(());
        }
        quota::apply(quota, &mut bytes, lsn)?;
        Dquot::check(&bytes, &uuid).map_err(wrong)?;
        self.write(offset, &bytes, "dquot")
    }

    /// Writes empty inodes.
    fn create_inodes(&mut self, new: InodeCreate) -> Result<()> {
        let superblock = self.volume.superblock();
        let (ag, first) = (AgNumber(new.ag), AgBlock(new.ag_block));
        let start = superblock.join(ag, first)?;
        superblock.check_run(start, new.blocks)?;
        let len = mul(u64::from(new.blocks), superblock.block_size())?;
        let inode_bytes = u64::from(superblock.inode_size_bytes);
        let fits = u64::from(new.inode_bytes) == inode_bytes
            && mul(u64::from(new.inodes), inode_bytes)? == len
            && new.inodes > 0
            && new.inodes
                <= 1u32
                    .checked_shl(superblock.inodes_per_block_log.into())
                    .unwrap_or(0)
                    .max(INODES_PER_CHUNK);
        if !fits {
            let wrong = LogDefect::InodeCreate { inodes: new.inodes, blocks: new.blocks };
            return Err(Corrupt::new("log item", wrong).into());
        }
        let offset = self.place(superblock.daddr(start)?, len >> 9)?;
        let range = (offset >> 9, 0)..(add(offset, len)? >> 9, 0);
        let mut canceled = self.summary.canceled.range(range);
        if canceled.any(|(_, &last)| last >= self.index) {
            self.replayed.canceled = self.replayed.canceled.saturating_add(1);
            return Ok(());
        }
        let mut bytes = vec![0; to(len)?];
        let per_block = u32::from(superblock.inodes_per_block_log);
        let first = mul(u64::from(new.ag_block), 1u64.checked_shl(per_block).unwrap_or(0))?;
        for index in 0..new.inodes {
            let at = to(mul(u64::from(index), inode_bytes)?)?;
            let number = superblock.join_inode(ag, AgInode(to(add(first, index.into())?)?))?;
            let inode = slice_mut(&mut bytes, at, to(inode_bytes)?)?;
            put_be_u16(inode, 0, INODE_MAGIC)?;
            put(inode, 4, &[3])?;
            put_be_u32(inode, inode_core::GENERATION_AT, new.generation)?;
            put_be_u32(inode, inode_core::NEXT_UNLINKED_AT, NULL_AG_INODE.0)?;
            put_be_u64(inode, inode_core::NUMBER_AT, number.0)?;
            put(inode, inode_core::UUID_AT, &superblock.meta_uuid.0)?;
            checksum::seal(inode, inode_core::CRC_AT)?;
        }
        self.write(offset, &bytes, "new inodes")
    }
}
