//! What a replay leaves for the next mount to finish.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log", and what the kernel logs when
//! a file system is frozen: a transaction with nothing but the superblock.
//!
//! An intent without its done item is a promise that the kernel keeps after its replay. Once
//! everything else is in its places, the intents can be logged again, word for word, as the only
//! content of the log: the kernel then finds the same state and the same promises as before.

use super::item::IntentKind;
use super::named::{ConflictSet, Intent};
use super::operation::RawItem;
use crate::bytes::arith::{len_u64, to};
use crate::error::Result;
use crate::fs::xfs::superblock::Superblock;
use std::collections::BTreeMap;

/// Id of the transaction; any would do in a log of one.
const TRANSACTION_ID: u32 = 0x7265_6761;
const START: u8 = 0x01;
const COMMIT: u8 = 0x02;
const CLIENT_TRANSACTION: u8 = 0x69;
/// "TRAN", then the type CHECKPOINT, 40.
const TRANSACTION_HEADER: [u8; 8] = [0x4e, 0x41, 0x52, 0x54, 40, 0, 0, 0];
/// Bytes of the superblock that are logged: up to the counters, so that nothing in them changes.
const SUPERBLOCK_BYTES: usize = 128;

/// Open intents, with what they name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    items: BTreeMap<(IntentKind, u64), RawItem>,
    named: ConflictSet,
}

impl Pending {
    pub(super) fn new(items: BTreeMap<(IntentKind, u64), RawItem>, named: ConflictSet) -> Self {
        Self { items, named }
    }

    /// The intents.
    pub(crate) fn intents(&self) -> Vec<Intent> {
        self.items.keys().map(|&(kind, id)| Intent { kind, id }).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What the intents name: nothing of it may be edited.
    pub(crate) fn named(&self) -> &ConflictSet {
        &self.named
    }

    /// A transaction of the start of the superblock and all intents: its operations and their number.
    pub(super) fn operations(&self, superblock: &Superblock) -> Result<(Vec<u8>, u32)> {
        let bytes = superblock.encode()?;
        let start = crate::bytes::field::slice(&bytes, 0, SUPERBLOCK_BYTES)?;
        let format = superblock_item(superblock)?;
        let regions = self.items.values().flat_map(|item| item.regions.iter().map(Vec::as_slice));
        let regions: Vec<&[u8]> = [&format[..], start].into_iter().chain(regions).collect();
        let count: u32 = to(regions.len())?;
        let mut header = TRANSACTION_HEADER.to_vec();
        header.extend(TRANSACTION_ID.to_le_bytes());
        header.extend(count.to_le_bytes());
        let mut data = Vec::new();
        push(&mut data, START, &[])?;
        push(&mut data, 0, &header)?;
        for region in regions {
            push(&mut data, 0, region)?;
        }
        push(&mut data, COMMIT, &[])?;
        Ok((data, count.saturating_add(3)))
    }
}

/// A buffer item for the first 128 bytes of the superblock.
fn superblock_item(superblock: &Superblock) -> Result<[u8; 24]> {
    let mut item = [0; 24];
    let sectors: u16 = to(superblock.sector_size_bytes >> 9)?;
    crate::bytes::field::put(&mut item, 0, &[0x3c, 0x12, 2, 0, 0, 0x90])?;
    crate::bytes::field::put_le_u16(&mut item, 6, sectors)?;
    crate::bytes::field::put(&mut item, 16, &[1, 0, 0, 0, 1, 0, 0, 0])?;
    Ok(item)
}

fn push(data: &mut Vec<u8>, flags: u8, region: &[u8]) -> Result<()> {
    let len: u32 = to(len_u64(region.len()))?;
    data.extend(TRANSACTION_ID.to_be_bytes());
    data.extend(len.to_be_bytes());
    data.extend([CLIENT_TRANSACTION, flags, 0, 0]);
    data.extend(region);
    Ok(())
}
