//! Log records: the unit in which the log is written, checksummed and torn.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Journaling Log", section "Log Records". What
//! the checksum covers is not in it and was measured on logs of kernel 6.18: the header up to byte
//! 328 with zeros for the checksum (hosts of 32 bits stop at 324, where the last field ends), of each
//! extended header in use the first 260 bytes, then `h_len` bytes as they lie in the log.

use super::LogDefect;
use super::blocks::LogBlocks;
use super::ends::position_behind;
use crate::bytes::arith::{self, OutOfRange, add, len_u64, mul, round_up};
use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{self, Short, be_u32, be_u64, le_u32};
use crate::bytes::field::{put, put_be_u32, put_be_u64, put_le_u32};
use crate::error::Result;
use crate::fs::xfs::units::Lsn;

/// Size of a log block ("basic block") in bytes. All positions in the log count these.
pub(super) const LOG_BLOCK_BYTES: usize = 512;
/// First word of a record.
const RECORD_MAGIC: u32 = 0xfeed_babe;
/// Most bytes of data that one header block can hold the replaced words for.
const CYCLE_DATA_BYTES: u32 = 32 * 1024;
/// Replaced words in one header block.
const CYCLE_DATA_WORDS: usize = 64;
/// Largest record the kernel writes, without its header.
pub(super) const RECORD_BYTES_MAX: u32 = 256 * 1024;
/// Bytes of an extended header that the checksum covers.
const EXTENDED_BYTES: usize = 260;
/// Ends of the header for the checksum, on hosts of 64 and of 32 bits.
const CHECKED_BYTES_64: usize = 328;
const CHECKED_BYTES_32: usize = 324;

const H_CYCLE: usize = 4;
const H_CRC: usize = 32;
const H_CYCLE_DATA: usize = 44;
const X_CYCLE_DATA: usize = 4;

/// The byte order and system that a record was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordFormat {
    /// Linux, little-endian: the only one whose items can be read here.
    LittleEndian,
    /// Linux or IRIX, big-endian.
    BigEndian,
}

/// Header of a record (`xlog_rec_header_t`), 512 bytes, big-endian but for the checksum.
///
/// | offset | size | field          | ours           | valid when |
/// |-------:|-----:|----------------|----------------|------------|
/// | 0      | 4    | h_magicno      |                | 0xfeedbabe |
/// | 4      | 4    | h_cycle        | `lsn`          | that of `h_lsn` |
/// | 8      | 4    | h_version      |                | 2 |
/// | 12     | 4    | h_len          | `data_bytes`   | within `h_size`, or of a single operation |
/// | 16     | 8    | h_lsn          | `lsn`          | cycle and block of this record |
/// | 24     | 8    | h_tail_lsn     | `tail`         | not behind this record |
/// | 32     | 4    | h_crc          | `crc`          | little-endian; 0: none |
/// | 36     | 4    | h_prev_block   |                | not used |
/// | 40     | 4    | h_num_logops   | `operations`   | they fit into `h_len` |
/// | 44     | 256  | h_cycle_data   |                | |
/// | 300    | 4    | h_fmt          | `format`       | 1, 2 or 3 |
/// | 304    | 16   | h_fs_uuid      | `uuid`         | that of the file system |
/// | 320    | 4    | h_size         | `header_blocks`| 0 (not set), or up to 256 KiB |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) lsn: Lsn,
    pub(super) tail: Lsn,
    pub(super) data_bytes: u32,
    pub(super) operations: u32,
    pub(super) crc: u32,
    pub(super) format: RecordFormat,
    pub(super) uuid: [u8; 16],
    pub(super) header_blocks: u32,
}

/// The cycle number in a block of the log: its first word, but for the header of a record.
pub(super) fn cycle_of(block: &[u8]) -> Result<u32, Short> {
    let word = be_u32(block, 0)?;
    if word == RECORD_MAGIC { be_u32(block, H_CYCLE) } else { Ok(word) }
}

/// True if `block` is the header of a record.
pub(super) fn is_header(block: &[u8]) -> bool {
    be_u32(block, 0) == Ok(RECORD_MAGIC)
}

impl RecordHeader {
    /// Reads the header in `bytes`, without its checksum.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LogDefect> {
        let magic = be_u32(bytes, 0)?;
        if magic != RECORD_MAGIC {
            return Err(LogDefect::RecordMagic(magic));
        }
        let version = be_u32(bytes, 8)?;
        if version != 2 {
            return Err(LogDefect::Version(version));
        }
        let (cycle, lsn) = (be_u32(bytes, H_CYCLE)?, Lsn(be_u64(bytes, 16)?));
        if lsn.cycle() != cycle {
            return Err(LogDefect::RecordCycle { cycle, lsn: lsn.cycle() });
        }
        let format = match be_u32(bytes, 300)? {
            1 => RecordFormat::LittleEndian,
            2 | 3 => RecordFormat::BigEndian,
            other => return Err(LogDefect::Format(other)),
        };
        let data_bytes = be_u32(bytes, 12)?;
        let operations = be_u32(bytes, 40)?;
        Ok(Self {
            lsn,
            tail: Lsn(be_u64(bytes, 24)?),
            data_bytes,
            operations,
            crc: le_u32(bytes, H_CRC)?,
            format,
            uuid: field::array(bytes, 304)?,
            header_blocks: header_blocks(be_u32(bytes, 320)?, data_bytes, operations)?,
        })
    }

    /// Blocks of the whole record.
    pub(super) fn blocks(&self) -> u32 {
        self.header_blocks.saturating_add(self.data_blocks())
    }

    fn data_blocks(&self) -> u32 {
        self.data_bytes.div_ceil(512)
    }

    /// Header blocks that hold replaced words of this record's data.
    fn header_blocks_in_use(&self) -> usize {
        let blocks = self.data_bytes.div_ceil(CYCLE_DATA_BYTES).min(self.header_blocks);
        usize::try_from(blocks.max(1)).unwrap_or(1)
    }

    /// Checks the checksum of `record`, which is the whole record as it lies in the log.
    ///
    /// A checksum of 0 is none: mkfs.xfs writes its record without one.
    pub(super) fn verify(&self, record: &[u8]) -> Result<(), LogDefect> {
        if self.crc == 0 {
            return Ok(());
        }
        let mut computed = 0;
        for end in [CHECKED_BYTES_64, CHECKED_BYTES_32] {
            computed = self.checksum(record, end)?;
            if agrees(self.crc, computed) {
                return Ok(());
            }
        }
        Err(LogDefect::Checksum { stored: self.crc, computed })
    }

    fn checksum(&self, record: &[u8], checked_bytes: usize) -> Result<u32, LogDefect> {
        let mut crc = crc32c_raw(!0, field::slice(record, 0, H_CRC)?);
        crc = crc32c_raw(crc, &[0; 4]);
        let rest = checked_bytes.saturating_sub(H_CRC).saturating_sub(4);
        crc = crc32c_raw(crc, field::slice(record, H_CRC.saturating_add(4), rest)?);
        for block in 1..self.header_blocks_in_use() {
            let at = block.saturating_mul(LOG_BLOCK_BYTES);
            crc = crc32c_raw(crc, field::slice(record, at, EXTENDED_BYTES)?);
        }
        Ok(!crc32c_raw(crc, self.raw_data(record)?))
    }

    fn raw_data<'a>(&self, record: &'a [u8]) -> Result<&'a [u8], LogDefect> {
        let start: usize = arith::to(mul(u64::from(self.header_blocks), 512)?)?;
        Ok(field::slice(record, start, arith::to(self.data_bytes)?)?)
    }

    /// The data of the record, with the words put back that the cycle number replaced.
    pub(super) fn unpack(&self, record: &[u8]) -> Result<Vec<u8>, LogDefect> {
        let mut data = self.raw_data(record)?.to_vec();
        let headers = usize::try_from(self.header_blocks).unwrap_or_default();
        for (index, block) in data.chunks_mut(LOG_BLOCK_BYTES).enumerate() {
            // The record of mkfs.xfs can be longer than its header says, but has zeros there.
            if index.checked_div(CYCLE_DATA_WORDS).is_none_or(|header| header >= headers) {
                break;
            }
            let word = field::slice(record, arith::to(word_place(index)?)?, 4)?;
            put(block, 0, field::slice(word, 0, block.len().min(4))?)?;
        }
        Ok(data)
    }
}

/// Blocks of the header: one for each 32 KiB of the buffer that the record was written from.
///
/// mkfs.xfs writes its one operation with a smaller buffer than the data are long.
fn header_blocks(buffer_bytes: u32, data_bytes: u32, operations: u32) -> Result<u32, LogDefect> {
    let is_single = operations <= 1 && data_bytes <= RECORD_BYTES_MAX;
    let too_long = data_bytes > buffer_bytes && buffer_bytes != 0 && !is_single;
    if buffer_bytes > RECORD_BYTES_MAX || data_bytes > RECORD_BYTES_MAX || too_long {
        return Err(LogDefect::RecordLength { data_bytes, buffer_bytes });
    }
    let operation_bytes = mul(u64::from(operations), 12).map_err(|OutOfRange| LogDefect::Range)?;
    if operation_bytes > u64::from(data_bytes) {
        return Err(LogDefect::OperationCount { operations, data_bytes });
    }
    Ok(buffer_bytes.div_ceil(CYCLE_DATA_BYTES).max(1))
}

/// A record that is to be written.
#[derive(Debug)]
pub(super) struct NewRecord<'a> {
    /// Where it will start.
    pub(super) position: Lsn,
    pub(super) tail: Lsn,
    /// Block of the record before.
    pub(super) previous: u32,
    pub(super) uuid: &'a [u8; 16],
    /// What its length is a multiple of.
    pub(super) unit_bytes: u32,
    /// Operations, with their headers.
    pub(super) data: &'a [u8],
    pub(super) operations: u32,
}

impl NewRecord<'_> {
    /// The bytes as they are to lie in `log`.
    ///
    /// # Errors
    /// `Corrupt` if there are more data than a record can hold.
    pub(super) fn encode(&self, log: &dyn LogBlocks) -> Result<Vec<u8>> {
        let buffer_bytes = self.unit_bytes.max(CYCLE_DATA_BYTES);
        let header_blocks = usize::try_from(buffer_bytes.div_ceil(CYCLE_DATA_BYTES)).unwrap_or(1);
        let header_bytes = header_blocks.saturating_mul(LOG_BLOCK_BYTES);
        let len = len_u64(header_bytes.saturating_add(self.data.len()));
        let mut record = vec![0; arith::to(round_up(len, self.unit_bytes.into())?)?];
        let data_bytes = record.len().saturating_sub(header_bytes);
        put_be_u32(&mut record, 0, RECORD_MAGIC)?;
        put_be_u32(&mut record, H_CYCLE, self.position.cycle())?;
        put_be_u32(&mut record, 8, 2)?;
        put_be_u32(&mut record, 12, arith::to(data_bytes)?)?;
        put_be_u64(&mut record, 16, self.position.0)?;
        put_be_u64(&mut record, 24, self.tail.0)?;
        put_be_u32(&mut record, 36, self.previous)?;
        put_be_u32(&mut record, 40, self.operations)?;
        put_be_u32(&mut record, 300, 1)?;
        put(&mut record, 304, self.uuid)?;
        put_be_u32(&mut record, 320, buffer_bytes)?;
        put(&mut record, header_bytes, self.data)?;
        stamp(log, self.position, &mut record, header_blocks)?;
        let header = RecordHeader::parse(&record)?;
        let crc = header.checksum(&record, CHECKED_BYTES_64)?;
        put_le_u32(&mut record, H_CRC, crc)?;
        Ok(record)
    }
}

/// Puts the cycle number into every block but the first, and the words that it replaces into the
/// header.
fn stamp(
    log: &dyn LogBlocks,
    position: Lsn,
    record: &mut [u8],
    header_blocks: usize,
) -> Result<()> {
    let count = record.len().checked_div(LOG_BLOCK_BYTES).unwrap_or_default();
    for index in 1..count {
        let at = index.saturating_mul(LOG_BLOCK_BYTES);
        if let Some(data_block) = index.checked_sub(header_blocks) {
            let word: [u8; 4] = field::array(record, at)?;
            put(record, arith::to(word_place(data_block)?)?, &word)?;
        }
        let cycle = position_behind(log, position, arith::to(index)?).cycle();
        put_be_u32(record, at, cycle)?;
    }
    Ok(())
}

/// Where the header keeps the word that the cycle replaced in a block of the data.
fn word_place(data_block: usize) -> Result<u64, LogDefect> {
    let header = data_block.checked_div(CYCLE_DATA_WORDS).unwrap_or_default();
    let first = if header == 0 { H_CYCLE_DATA } else { X_CYCLE_DATA };
    let word = len_u64(data_block % CYCLE_DATA_WORDS);
    Ok(add(mul(len_u64(header), 512)?, add(len_u64(first), mul(word, 4)?)?)?)
}
