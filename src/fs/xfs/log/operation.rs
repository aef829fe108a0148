//! Operations of a record, and the transactions that they add up to.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log", section "Log Operations".
//! Headers are big-endian; what they carry is in the byte order of the host that wrote it.
//!
//! A transaction is the operations of one id from START to COMMIT, over as many records as it takes.
//! A region that did not fit into its record continues in the next one. Operations of an id that was
//! not started belong to a transaction that started before the tail: everything in it is on the disk.

use super::LogDefect;
use crate::bytes::field::{array, be_u32, le_u16, le_u32, slice, u8_at};
use crate::error::{Corrupt, Error, Result};
use crate::fs::xfs::units::Lsn;
use std::collections::BTreeMap;

/// Size of an operation header.
const HEADER_BYTES: usize = 12;
/// Size of the header of a transaction.
const TRANSACTION_HEADER_BYTES: usize = 16;
/// "TRAN", little-endian.
const TRANSACTION_MAGIC: u32 = 0x5452_414e;
/// Bound on the transactions that are open at once; the kernel has a handful.
const OPEN_MAX: usize = 64;
/// Bound on what open transactions hold: the kernel's are below half of its default log.
const OPEN_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bound on the regions of an item: a buffer of 64 KiB with every second part changed, its format,
/// and room.
const REGIONS_MAX: u16 = 1024;

const CLIENT_TRANSACTION: u8 = 0x69;
const CLIENT_VOLUME: u8 = 0x02;
const CLIENT_LOG: u8 = 0xaa;

const START: u8 = 0x01;
const COMMIT: u8 = 0x02;
const CONTINUED: u8 = 0x08;
pub(super) const UNMOUNT: u8 = 0x20;

/// One operation (`xlog_op_header_t`) with its data.
///
/// | offset | size | field       | ours    | valid when |
/// |-------:|-----:|-------------|---------|------------|
/// | 0      | 4    | oh_tid      | `id`    | |
/// | 4      | 4    | oh_len      | `data`  | inside the record |
/// | 8      | 1    | oh_clientid |         | 0x69, 0x02, 0xaa |
/// | 9      | 1    | oh_flags    | `flags` | |
/// | 10     | 2    | oh_res2     |         | |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation<'a> {
    id: u32,
    flags: u8,
    data: &'a [u8],
}

impl Operation<'_> {
    pub(super) fn is_unmount(&self) -> bool {
        self.flags & UNMOUNT != 0
    }
}

/// The `count` operations in the data of a record.
pub(super) fn parse(data: &[u8], count: u32) -> Result<Vec<Operation<'_>>, LogDefect> {
    let mut operations = Vec::new();
    let mut at = 0usize;
    for _ in 0..count {
        let header: [u8; HEADER_BYTES] = array(data, at)?;
        let client = u8_at(&header, 8)?;
        if ![CLIENT_TRANSACTION, CLIENT_VOLUME, CLIENT_LOG].contains(&client) {
            return Err(LogDefect::Client(client));
        }
        let len = usize::try_from(be_u32(&header, 4)?).unwrap_or(usize::MAX);
        at = at.saturating_add(HEADER_BYTES);
        let (id, flags) = (be_u32(&header, 0)?, u8_at(&header, 9)?);
        operations.push(Operation { id, flags, data: slice(data, at, len)? });
        at = at.saturating_add(len);
    }
    Ok(operations)
}

/// One item of a transaction: its format, and the regions that it announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawItem {
    pub(super) regions: Vec<Vec<u8>>,
    expected: usize,
}

/// A committed transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The record that it starts in: what the kernel stamps into what it replays.
    pub(super) lsn: Lsn,
    pub(super) items: Vec<RawItem>,
}

/// A transaction without its COMMIT.
#[derive(Debug)]
struct Open {
    lsn: Lsn,
    header: Vec<u8>,
    items: Vec<RawItem>,
    bytes: usize,
}

/// Puts transactions together from the operations of record after record.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: BTreeMap<u32, Open>,
    bytes: usize,
}

impl Assembler {
    /// Takes the next operation, of the record at `lsn`; gives back the transaction that it commits.
    pub(super) fn take(
        &mut self,
        operation: Operation<'_>,
        lsn: Lsn,
    ) -> Result<Option<Transaction>> {
        if operation.is_unmount() {
            return Ok(None);
        }
        if operation.flags & START != 0 {
            self.start(operation.id, lsn)?;
        }
        if operation.flags & COMMIT != 0 {
            return self.commit(operation.id);
        }
        let Some(open) = self.open.get_mut(&operation.id) else { return Ok(None) };
        if !operation.data.is_empty() {
            self.bytes = self.bytes.saturating_add(operation.data.len());
            open.bytes = open.bytes.saturating_add(operation.data.len());
            open.add(operation).map_err(|wrong| corrupt(wrong, operation.id))?;
        }
        if self.bytes > OPEN_BYTES_MAX {
            let limit = crate::bytes::arith::len_u64(OPEN_BYTES_MAX);
            let actual = crate::bytes::arith::len_u64(self.bytes);
            return Err(Error::limit("bytes of unfinished log transactions", limit, actual));
        }
        Ok(None)
    }

    fn start(&mut self, id: u32, lsn: Lsn) -> Result<()> {
        let open = Open { lsn, header: Vec::new(), items: Vec::new(), bytes: 0 };
        // One of the same id was left unfinished by a crash before the last one.
        if let Some(unfinished) = self.open.insert(id, open) {
            self.bytes = self.bytes.saturating_sub(unfinished.bytes);
        }
        if self.open.len() > OPEN_MAX {
            return Err(corrupt(LogDefect::OpenTransactions(OPEN_MAX), id));
        }
        Ok(())
    }

    fn commit(&mut self, id: u32) -> Result<Option<Transaction>> {
        let Some(open) = self.open.remove(&id) else { return Ok(None) };
        self.bytes = self.bytes.saturating_sub(open.bytes);
        if let Some(item) = open.items.last().filter(|item| !item.is_complete()) {
            let (found, expected) = (item.regions.len(), item.expected);
            return Err(corrupt(LogDefect::Regions { found, expected }, id));
        }
        Ok(Some(Transaction { lsn: open.lsn, items: open.items }))
    }
}

fn corrupt(defect: LogDefect, id: u32) -> Error {
    Corrupt::new("log", defect).of(format!("log transaction {id:#x}")).into()
}

impl RawItem {
    /// Bytes of all regions.
    pub(super) fn len_bytes(&self) -> usize {
        self.regions.iter().map(Vec::len).sum()
    }

    fn is_complete(&self) -> bool {
        self.regions.len() == self.expected
    }
}

impl Open {
    fn add(&mut self, operation: Operation<'_>) -> Result<(), LogDefect> {
        let data = operation.data;
        if self.header.len() < TRANSACTION_HEADER_BYTES {
            return self.add_header(data);
        }
        let last = self.items.last_mut();
        if operation.flags & CONTINUED != 0 {
            let region = last.and_then(|item| item.regions.last_mut());
            region.ok_or(LogDefect::NothingToContinue)?.extend_from_slice(data);
            return Ok(());
        }
        if let Some(item) = last.filter(|item| !item.is_complete()) {
            item.regions.push(data.to_vec());
            return Ok(());
        }
        let size = le_u16(data, 2)?;
        if !(1..=REGIONS_MAX).contains(&size) {
            return Err(LogDefect::ItemSize(size));
        }
        self.items.push(RawItem { regions: vec![data.to_vec()], expected: size.into() });
        Ok(())
    }

    /// The header may itself be split.
    fn add_header(&mut self, data: &[u8]) -> Result<(), LogDefect> {
        self.header.extend_from_slice(data);
        if self.header.len() > TRANSACTION_HEADER_BYTES {
            return Err(LogDefect::TransactionHeader);
        }
        if self.header.len() == TRANSACTION_HEADER_BYTES
            && le_u32(&self.header, 0)? != TRANSACTION_MAGIC
        {
            return Err(LogDefect::TransactionHeader);
        }
        Ok(())
    }
}
