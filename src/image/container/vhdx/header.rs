//! The header: which file and which data it is, and where the log is.
//!
//! Source: \[MS-VHDX\], section 2.2.2. 4 KiB, at 64 KiB and at 128 KiB; the current one is that with the right checksum
//! and the higher sequence number. It is changed by writing the other one, with the next number.
//!
//! | offset | size | specification  | here               | valid when                                              |
//! |-------:|-----:|----------------|--------------------|---------------------------------------------------------|
//! |      0 |    4 | Signature      | (checked)          | `head`                                                  |
//! |      4 |    4 | Checksum       | (checked)          | CRC-32C of the 4 KiB                                    |
//! |      8 |    8 | SequenceNumber | `sequence_number`  | any                                                     |
//! |     16 |   16 | FileWriteGuid  | (written)          | any                                                     |
//! |     32 |   16 | DataWriteGuid  | (written)          | any                                                     |
//! |     48 |   16 | LogGuid        | `log_guid`         | zero: nothing to replay                                 |
//! |     64 |    2 | LogVersion     | (checked)          | 0                                                       |
//! |     66 |    2 | Version        | (checked)          | 1                                                       |
//! |     68 |    4 | LogLength      | `log`              | whole MiB                                               |
//! |     72 |    8 | LogOffset      | `log`              | whole MiB, at least 1 MiB                               |
//! |     80 | 4016 | Reserved       |                    | any                                                     |

use super::super::block_map::{Source, is_zero};
use super::MIB;
use crate::bytes::{arith, checksum, field};
use crate::disk::medium::HostMedium;
use crate::error::{Corrupt, Error, Result};
use ssh_key::rand_core::{OsRng, RngCore as _};
use std::ops::Range;

/// Where the two headers are, in bytes.
const OFFSETS: [u64; 2] = [64 * 1024, 128 * 1024];

/// Length of a header in bytes.
const HEADER_BYTES: usize = 4096;

const CHECKSUM_AT: usize = 4;
const SEQUENCE_AT: usize = 8;
const FILE_WRITE_GUID_AT: usize = 16;
const DATA_WRITE_GUID_AT: usize = 32;
const LOG_GUID_AT: usize = 48;

/// How the identifiers of logs of regain begin: what is in them can be finished by regain.
const OWN_LOG: [u8; 8] = *b"regain\0\x01";

/// What is wrong with the headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderDefect {
    #[error("neither header has its signature and the right checksum")]
    NoneValid,
    #[error("both headers have the sequence number {0}, and differ")]
    SameSequence(u64),
    #[error("a log of {len_bytes} bytes at {start_bytes:#x}")]
    Log { start_bytes: u64, len_bytes: u64 },
}

/// The current header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// As it is stored.
    bytes: Vec<u8>,
    /// Which of the two it is.
    slot: usize,
    sequence_number: u64,
    pub(super) log: Range<u64>,
}

fn corrupt(defect: HeaderDefect) -> Error {
    Corrupt::new("VHDX header", defect).at(OFFSETS[0]).into()
}

impl Header {
    /// Reads both headers and checks the current one.
    ///
    /// # Errors
    /// `Corrupt`, `Io`; `Unsupported` for a version that is not known.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let [first, second] = OFFSETS.map(|at| source.read_vec(at, HEADER_BYTES));
        let (first, second) = (first?, second?);
        let slot = match (sequence_of(&first)?, sequence_of(&second)?) {
            (None, None) => return Err(corrupt(HeaderDefect::NoneValid)),
            (Some(a), Some(b)) if a == b && first != second => {
                return Err(corrupt(HeaderDefect::SameSequence(a)));
            }
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
            (Some(a), Some(b)) => usize::from(b > a),
        };
        Self::parse(if slot == 0 { first } else { second }, slot)
    }

    fn parse(bytes: Vec<u8>, slot: usize) -> Result<Self> {
        let versions = [field::le_u16(&bytes, 64)?, field::le_u16(&bytes, 66)?];
        if versions != [0, 1] {
            let [log, file] = versions;
            return Err(Error::unsupported(format!("a VHDX of version {file}, log version {log}")));
        }
        let (start_bytes, len_bytes) =
            (field::le_u64(&bytes, 72)?, u64::from(field::le_u32(&bytes, 68)?));
        let is_whole = [start_bytes, len_bytes].iter().all(|number| number.is_multiple_of(MIB));
        if !is_whole || (len_bytes != 0 && start_bytes < MIB) {
            return Err(corrupt(HeaderDefect::Log { start_bytes, len_bytes }));
        }
        let log = start_bytes..arith::add(start_bytes, len_bytes)?;
        let sequence_number = field::le_u64(&bytes, SEQUENCE_AT)?;
        Ok(Self { bytes, slot, sequence_number, log })
    }

    /// True if there is something in the log.
    pub(super) fn has_log(&self) -> bool {
        !is_zero(self.log_guid())
    }

    /// True if the log is one that a write of regain has left.
    pub(super) fn has_own_log(&self) -> bool {
        self.log_guid().starts_with(&OWN_LOG)
    }

    /// The identifier of the entries of the log.
    pub(super) fn log_guid(&self) -> &[u8] {
        // A header is never shorter.
        self.bytes.get(LOG_GUID_AT..LOG_GUID_AT.saturating_add(16)).unwrap_or_default()
    }

    /// Gives the file and its data new identifiers, durably.
    ///
    /// # Errors
    /// `Io`; `Corrupt` if there is no next sequence number.
    pub(super) fn renew(&mut self, host: &mut Box<dyn HostMedium>) -> Result<()> {
        let guids = [random_guid()?, random_guid()?];
        self.store(host, &[(FILE_WRITE_GUID_AT, guids[0]), (DATA_WRITE_GUID_AT, guids[1])])
    }

    /// Names the log with entries of `guid` as one that is to be replayed, durably.
    ///
    /// # Errors
    /// As [`Header::renew`].
    pub(super) fn open_log(
        &mut self,
        host: &mut Box<dyn HostMedium>,
        guid: [u8; 16],
    ) -> Result<()> {
        self.store(host, &[(LOG_GUID_AT, guid)])
    }

    /// Says that there is nothing in the log, durably.
    ///
    /// # Errors
    /// As [`Header::renew`].
    pub(super) fn close_log(&mut self, host: &mut Box<dyn HostMedium>) -> Result<()> {
        self.store(host, &[(LOG_GUID_AT, [0; 16])])
    }

    /// Makes a header with other identifiers the current one, in the place of the older one, durably.
    fn store(&mut self, host: &mut Box<dyn HostMedium>, guids: &[(usize, [u8; 16])]) -> Result<()> {
        let sequence_number = arith::add(self.sequence_number, 1)?;
        let mut bytes = self.bytes.clone();
        field::put_le_u64(&mut bytes, SEQUENCE_AT, sequence_number)?;
        for (at, guid) in guids {
            field::put(&mut bytes, *at, guid)?;
        }
        put_sum(&mut bytes)?;
        let slot = usize::from(self.slot == 0);
        let at = if slot == 0 { OFFSETS[0] } else { OFFSETS[1] };
        host.write_at(at, &bytes)?;
        host.sync()?;
        *self = Self { bytes, slot, sequence_number, log: self.log.clone() };
        Ok(())
    }
}

/// An identifier for the entries of a log of ours.
///
/// # Errors
/// `Io` if the host has no random numbers.
pub(super) fn own_log_guid() -> Result<[u8; 16]> {
    let mut guid = random_guid()?;
    field::put(&mut guid, 0, &OWN_LOG)?;
    Ok(guid)
}

/// A random identifier (RFC 9562, version 4), in the order in which it is stored.
fn random_guid() -> Result<[u8; 16]> {
    let mut guid = [0; 16];
    OsRng.try_fill_bytes(&mut guid).map_err(std::io::Error::other)?;
    guid[7] = guid[7] & 0x0f | 0x40;
    guid[8] = guid[8] & 0x3f | 0x80;
    Ok(guid)
}

/// The sequence number of a valid header.
fn sequence_of(bytes: &[u8]) -> Result<Option<u64>> {
    let is_valid = bytes.starts_with(b"head") && has_right_sum(bytes)?;
    Ok(if is_valid { Some(field::le_u64(bytes, SEQUENCE_AT)?) } else { None })
}

/// True if the CRC-32C in the second four bytes is that of all bytes with zeros in its place.
///
/// # Errors
/// `Corrupt` if there are fewer than 8 bytes.
pub(super) fn has_right_sum(bytes: &[u8]) -> Result<bool> {
    let stored = field::le_u32(bytes, CHECKSUM_AT)?;
    let (head, rest) = bytes.split_at_checked(CHECKSUM_AT).unwrap_or_default();
    let sum = checksum::crc32c_raw(checksum::crc32c_raw(!0, head), &[0; 4]);
    let sum = !checksum::crc32c_raw(sum, rest.get(4..).unwrap_or_default());
    Ok(checksum::agrees(stored, sum))
}

/// Stores the CRC-32C of `bytes` in their second four bytes.
///
/// # Errors
/// `Corrupt` if there are fewer than 8 bytes.
pub(super) fn put_sum(bytes: &mut [u8]) -> Result<()> {
    field::put_le_u32(bytes, CHECKSUM_AT, 0)?;
    let sum = !checksum::crc32c_raw(!0, bytes);
    Ok(field::put_le_u32(bytes, CHECKSUM_AT, sum)?)
}
