//! Logs in memory, and those of real volumes.

use super::blocks::check_count;
use super::clean::{Ending, write_clean, write_for_mount};
use super::operation::Operation;
use super::operation::UNMOUNT;
use super::record::{LOG_BLOCK_BYTES, NewRecord};
use super::*;
use crate::bytes::arith::{len_u64, mul, to};
use crate::bytes::field::{join_u32, slice};
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use crate::fs::xfs::testing::{Copy, assert_silent, fixture, tools};
use crate::fs::xfs::units::{FsBlock, InodeNumber, Lsn};
use std::sync::Arc;

/// A log in memory.
#[derive(Debug)]
struct SliceLog<'a> {
    bytes: &'a [u8],
    block_count: u32,
}

impl<'a> SliceLog<'a> {
    /// A log of all whole blocks of `bytes`.
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let blocks = len_u64(bytes.len().checked_div(LOG_BLOCK_BYTES).unwrap_or_default());
        Ok(Self { bytes, block_count: check_count(blocks)? })
    }
}

impl LogBlocks for SliceLog<'_> {
    fn block_count(&self) -> u32 {
        self.block_count
    }

    fn read(&self, first: u32, count: u32) -> Result<Vec<u8>> {
        let start = to(mul(u64::from(first), 512)?)?;
        Ok(slice(self.bytes, start, to(mul(u64::from(count), 512)?)?)?.to_vec())
    }
}

/// Number of committed transactions in the bytes of a log.
fn scan_bytes(log: &[u8], uuid: [u8; 16]) -> Result<u32> {
    match scan_blocks(&SliceLog::new(log)?, &[uuid; 2])?.0 {
        LogState::Clean(_) => Ok(0),
        LogState::Dirty(dirty) => Ok(dirty.transactions),
    }
}

const UUID: [u8; 16] = *b"sixteen bytes id";
const BLOCKS: u32 = 8192;

/// A log that is written record by record, as the kernel does it.
struct Writer {
    bytes: Vec<u8>,
    head: Lsn,
    last: u32,
}

fn lsn(cycle: u32, block: u32) -> Lsn {
    Lsn(join_u32(cycle, block))
}

fn operation(id: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend([if flags & UNMOUNT == 0 { 0x69 } else { 0xaa }, flags, 0, 0]);
    bytes.extend(data);
    bytes
}

/// A transaction that logs one inode core of 176 bytes, as its operations.
fn transaction(id: u32, inode: u64) -> Vec<Vec<u8>> {
    let mut header = 0x5452_414e_u32.to_le_bytes().to_vec();
    header.resize(16, 0);
    let mut format = vec![0x3b, 0x12, 2, 0, 1, 0, 0, 0];
    format.resize(16, 0);
    format.extend(inode.to_le_bytes());
    format.resize(40, 0);
    format.extend(1000_u64.to_le_bytes());
    format.extend([32, 0, 0, 0, 0, 2, 0, 0]);
    vec![
        operation(id, 1, &[]),
        operation(id, 0, &header),
        operation(id, 0, &format),
        operation(id, 0, &[7; 176]),
        operation(id, 2, &[]),
    ]
}

impl Writer {
    /// An empty log whose first record goes to `head`; the blocks carry the cycle of a log that was
    /// gone through.
    fn new(head: Lsn) -> Self {
        let mut bytes = vec![0; BLOCKS as usize * 512];
        for (index, block) in bytes.chunks_mut(512).enumerate() {
            let is_before = index < head.block() as usize;
            let cycle = if is_before { head.cycle() } else { head.cycle() - 1 };
            block[..4].copy_from_slice(&cycle.to_be_bytes());
        }
        Self { bytes, head, last: 0 }
    }

    fn write(&mut self, tail: Lsn, operations: &[Vec<u8>]) -> Lsn {
        let position = self.head;
        let record = NewRecord {
            position,
            tail,
            previous: self.last,
            uuid: &UUID,
            unit_bytes: 512,
            data: &operations.concat(),
            operations: operations.len() as u32,
        };
        let log = SliceLog::new(&self.bytes).unwrap();
        let bytes = record.encode(&log).unwrap();
        self.head = ends::position_behind(&log, position, bytes.len() as u32 / 512);
        for (index, block) in bytes.chunks(512).enumerate() {
            let at = (position.block() as usize + index) % BLOCKS as usize * 512;
            self.bytes[at..at + 512].copy_from_slice(block);
        }
        self.last = position.block();
        position
    }

    fn scan(&self) -> Result<LogState> {
        scan_blocks(&SliceLog::new(&self.bytes)?, &[UUID; 2]).map(|(state, _)| state)
    }

    fn dirty(&self) -> Box<Dirty> {
        match self.scan().unwrap() {
            LogState::Dirty(dirty) => dirty,
            LogState::Clean(ends) => panic!("clean: {ends:?}"),
        }
    }
}

#[test]
fn transactions_between_tail_and_head_count() {
    for start in [lsn(1, 2), lsn(5, 2), lsn(5, 3000), lsn(5, BLOCKS - 3), lsn(5, 0)] {
        let mut log = Writer::new(start);
        log.write(start, &transaction(1, 131));
        let tail = log.write(start, &transaction(2, 132));
        log.write(tail, &transaction(3, 133));
        let dirty = log.dirty();
        assert_eq!((dirty.ends.head, dirty.ends.tail), (log.head, tail), "{start}");
        assert_eq!(dirty.transactions, 2);
        assert!(dirty.named.inodes().eq([InodeNumber(132), InodeNumber(133)]), "{:?}", dirty.named);
    }
}

#[test]
fn an_unmount_record_makes_a_log_clean() {
    let mut log = Writer::new(lsn(3, 100));
    log.write(lsn(3, 100), &transaction(1, 131));
    let last = log.write(lsn(3, 100), &[operation(9, UNMOUNT, &[0x6e, 0x55, 0, 0, 0, 0, 0, 0])]);
    let LogState::Clean(ends) = log.scan().unwrap() else { panic!() };
    assert_eq!((ends.head, ends.tail, ends.last), (log.head, log.head, Some(last)));
    log.write(log.head, &transaction(2, 132));
    assert_eq!(log.dirty().transactions, 1);
    assert_eq!(scan_bytes(&log.bytes, UUID).unwrap(), 1);
}

#[test]
fn a_log_of_zeros_is_clean() {
    assert_eq!(scan_bytes(&vec![0; BLOCKS as usize * 512], UUID).unwrap(), 0);
}

#[test]
fn regions_continue_in_the_next_record() {
    let start = lsn(2, 10);
    let mut log = Writer::new(start);
    let operations = transaction(1, 131);
    let (core, mut first) = (&operations[3][12..], operations[..3].to_vec());
    first.push(operation(1, 4, &core[..100]));
    log.write(start, &first);
    log.write(start, &[operation(1, 8 | 4, &core[100..150])]);
    log.write(start, &[operation(1, 8 | 0x10, &core[150..]), operation(1, 2, &[])]);
    assert_eq!(log.dirty().transactions, 1);
    // Without its commit, it does not count; nor do operations of one that was started before.
    let mut log = Writer::new(start);
    log.write(start, &first);
    log.write(start, &[operation(7, 0, &[1; 40]), operation(7, 2, &[])]);
    assert_eq!(log.dirty().transactions, 0);
}

#[test]
fn a_torn_last_record_ends_the_log_before_it() {
    let start = lsn(4, BLOCKS - 2);
    for torn in 1..=8 {
        let mut log = Writer::new(start);
        for id in 0..10 {
            log.write(start, &transaction(id, 100 + u64::from(id)));
        }
        // Two blocks each; the first one reaches the end of the log exactly.
        let block = (10 - torn - 1) * 2 + 1;
        log.bytes[block * 512 + 300] ^= 1;
        assert_eq!(log.dirty().transactions, 10 - torn as u32, "{torn}");
    }
}

#[test]
fn a_record_that_never_arrived_ends_the_log_before_it() {
    let start = lsn(4, 500);
    let mut log = Writer::new(start);
    for id in 0..6 {
        log.write(start, &transaction(id, 100 + u64::from(id)));
    }
    for block in 504..506 {
        log.bytes[block * 512..block * 512 + 512].fill(0);
        log.bytes[block * 512 + 3] = 3;
    }
    let dirty = log.dirty();
    assert_eq!((dirty.transactions, dirty.ends.head), (2, lsn(4, 504)));
}

fn message(log: &Writer) -> String {
    log.scan().unwrap_err().to_string()
}

#[test]
fn damage_is_named() {
    let start = lsn(4, 500);
    let new = || {
        let mut log = Writer::new(start);
        for id in 0..20 {
            log.write(start, &transaction(id, 100));
        }
        log
    };
    let mut middle = new();
    middle.bytes[505 * 512 + 40] ^= 1;
    assert!(message(&middle).contains("at 0x3f000: checksum 0x"), "{}", message(&middle));
    let other = scan_bytes(&new().bytes, [1; 16]).unwrap_err().to_string();
    assert!(other.contains("record of another file system"), "{other}");
    let mut cycles = new();
    cycles.bytes[3] = 9;
    assert!(
        message(&cycles).contains("cycle 9 at the start, 3 at the end"),
        "{}",
        message(&cycles)
    );
    let mut tail = new();
    tail.write(lsn(5, 0), &transaction(99, 100));
    assert!(message(&tail).contains("tail 0x500000000 of the record"), "{}", message(&tail));
    let mut none = new();
    none.write(lsn(4, 501), &transaction(99, 100));
    assert!(message(&none).contains("no record (magic 0x4)"), "{}", message(&none));
    let mut client = Writer::new(start);
    client.write(start, &[[0; 8].to_vec(), [1, 0, 0, 0].to_vec()]);
    assert!(message(&client).contains("operation of client"), "{}", message(&client));
    let short = scan_bytes(&[0; 1024], UUID).unwrap_err().to_string();
    assert!(short.contains("2 blocks of 512 bytes"), "{short}");
}

#[test]
fn logs_of_the_other_byte_order_are_refused() {
    let start = lsn(4, 500);
    let mut log = Writer::new(start);
    log.write(start, &transaction(1, 100));
    let header = &mut log.bytes[500 * 512..501 * 512];
    header[303] = 2;
    header[32..36].fill(0);
    assert!(message(&log).contains("it was written by a big-endian host"), "{}", message(&log));
}

#[test]
fn unknown_items_are_refused() {
    let start = lsn(4, 500);
    let mut log = Writer::new(start);
    let mut operations = transaction(1, 100);
    operations[2][12..14].copy_from_slice(&[0x60, 0x12]);
    log.write(start, &operations);
    assert!(message(&log).contains("items of the unknown type 0x1260"), "{}", message(&log));
}

#[test]
fn any_damaged_byte_gives_an_answer() {
    let start = lsn(4, BLOCKS - 6);
    let mut log = Writer::new(start);
    for id in 0..8 {
        let record = log.write(start, &transaction(id, 100));
        // Without a checksum, damage reaches everything behind it.
        let at = record.block() as usize * 512 + 32;
        log.bytes[at..at + 4].fill(0);
    }
    assert_eq!(log.dirty().transactions, 8);
    let clean = log.bytes.clone();
    let records = (BLOCKS as usize - 6) * 512..BLOCKS as usize * 512;
    for at in records.chain(0..10 * 512).step_by(11) {
        for change in [0xff, 0x01, 0x80] {
            log.bytes[at] ^= change;
            let _ = log.scan();
            log.bytes[at] = clean[at];
        }
    }
}

#[test]
fn mkfs_leaves_clean_logs() {
    for name in ["default", "rhel7", "block-1k", "parent", "sector-4k-parent"] {
        let volume = Volume::open(fixture(name), Timestamp::default()).unwrap();
        let LogState::Clean(ends) = scan(&volume).unwrap() else { panic!("{name} is dirty") };
        assert!(ends.last.is_some(), "{name}");
    }
}

/// The operations that [`write_for_mount`] writes, put together again.
fn committed(data: &[u8], count: u32) -> operation::Transaction {
    let mut assembler = operation::Assembler::default();
    let operations: Vec<Operation<'_>> = operation::parse(data, count).unwrap();
    let mut committed = Vec::new();
    for operation in operations {
        committed.extend(assembler.take(operation, lsn(1, 2)).unwrap());
    }
    committed.pop().unwrap()
}

fn volume(overlay: &Arc<Overlay>) -> Volume {
    Volume::open(overlay.clone(), Timestamp::default()).unwrap()
}

/// Puts a record with these operations behind the unmount record of a clean volume.
fn append(volume: &Volume, data: &[u8], operations: u32) -> Lsn {
    append_all(volume, &[(data.to_vec(), operations)])[0]
}

/// Puts records with these operations and their numbers behind the unmount record of a clean volume.
pub(super) fn append_all(volume: &Volume, records: &[(Vec<u8>, u32)]) -> Vec<Lsn> {
    let log = internal(volume).unwrap();
    let LogState::Clean(ends) = scan(volume).unwrap() else { panic!() };
    let mut position = ends.head;
    let mut positions = Vec::new();
    for (data, operations) in records {
        let record = NewRecord {
            position,
            tail: ends.head,
            previous: positions.last().map_or(0, |last: &Lsn| last.block()),
            uuid: &volume.superblock().uuid.0,
            unit_bytes: 512,
            data,
            operations: *operations,
        };
        let bytes = record.encode(&log).unwrap();
        log.write(position.block(), &bytes).unwrap();
        positions.push(position);
        position = ends::position_behind(&log, position, bytes.len() as u32 / 512);
    }
    positions
}

/// The operations of a transaction with these items, each a list of regions, and their number.
pub(super) fn transaction_of(items: &[Vec<Vec<u8>>]) -> (Vec<u8>, u32) {
    let mut header = 0x5452_414e_u32.to_le_bytes().to_vec();
    header.resize(16, 0);
    let mut operations = vec![operation(1, 1, &[]), operation(1, 0, &header)];
    operations.extend(items.iter().flatten().map(|region| operation(1, 0, region)));
    operations.push(operation(1, 2, &[]));
    (operations.concat(), operations.len() as u32)
}

/// A log with nothing in it but the start of the superblock is replayed, and ended in both ways, which
/// an outside reader of logs confirms.
#[test]
fn a_log_is_ended_so_that_others_agree() {
    for name in ["default", "rhel7", "sector-4k-parent"] {
        let overlay = fixture(name);
        let mut volume = volume(&overlay);
        let (data, count) = Pending::default().operations(volume.superblock()).unwrap();
        assert_eq!(committed(&data, count).items.len(), 1);
        let at = append(&volume, &data, count);
        assert!(matches!(scan(&volume).unwrap(), LogState::Dirty(_)), "{name}");
        write_for_mount(&volume, &Pending::default()).unwrap();
        let LogState::Dirty(dirty) = scan(&volume).unwrap() else { panic!("{name}") };
        assert!(dirty.ends.tail > at && dirty.ends.tail == dirty.ends.last.unwrap(), "{name}");
        let replayed = replay(&mut volume, Purpose::Edit).unwrap().unwrap();
        assert_eq!((replayed.transactions, replayed.written), (1, 1), "{name}");
        assert_eq!(finish(&mut volume, &replayed.pending).unwrap(), Ending::Unmounted, "{name}");
        assert!(matches!(scan(&volume).unwrap(), LogState::Clean(_)), "{name}");
        let image = Copy::of(&*overlay);
        let said = tools::run("xfs_logprint", &["-t", image.path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("state: <CLEAN>"), "{name}: {said}");
        assert_silent(&*overlay, name);
    }
}

/// What a crash left behind the head in the present cycle must not look like a part of the log.
#[test]
fn blocks_behind_the_new_head_are_cleared() {
    let overlay = fixture("default");
    let volume = volume(&overlay);
    let (data, count) = Pending::default().operations(volume.superblock()).unwrap();
    let at = append(&volume, &data, count);
    let log = internal(&volume).unwrap();
    // A record that never arrived, and one behind it that did.
    let stale = Lsn(at.0 + 200);
    let uuid = &volume.superblock().uuid.0;
    let (position, tail) = (stale, at);
    let record = NewRecord {
        position,
        tail,
        previous: 0,
        uuid,
        unit_bytes: 512,
        data: &data,
        operations: count,
    };
    log.write(stale.block(), &record.encode(&log).unwrap()).unwrap();
    write_clean(&volume).unwrap();
    let LogState::Clean(ends) = scan(&volume).unwrap() else { panic!() };
    assert_eq!(ends.last, Some(Lsn(at.0 + 2)));
    let bytes = log.read(stale.block(), 2).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    assert_silent(&*overlay, "cleared");
}

/// A made-up intent survives a replay and is logged again, byte by byte.
#[test]
fn open_intents_are_logged_again() {
    let overlay = fixture("default");
    let mut volume = volume(&overlay);
    let mut intent = vec![0x36, 0x12, 1, 0, 1, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9];
    intent.extend(70_u64.to_le_bytes());
    intent.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    append_all(&volume, &[transaction_of(&[vec![intent.clone()]])]);
    let replayed = replay(&mut volume, Purpose::Edit).unwrap().unwrap();
    let named = replayed.pending.named();
    let names = |block| named.names_blocks(volume.superblock(), FsBlock(block), 1).unwrap();
    assert_eq!([69, 70, 72, 73].map(names), [false, true, true, false]);
    assert_eq!(finish(&mut volume, &replayed.pending).unwrap(), Ending::LeftToMount);
    let LogState::Dirty(dirty) = scan(&volume).unwrap() else { panic!() };
    assert_eq!(dirty.pending.intents(), replayed.pending.intents());
    let (data, count) = dirty.pending.operations(volume.superblock()).unwrap();
    assert_eq!(committed(&data, count).items[1].regions, [intent]);
}
