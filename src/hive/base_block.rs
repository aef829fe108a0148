//! The base block: the first 4096 bytes of a hive, of which the first 512 matter.

use super::defect::Defect;
use super::units::{CellOffset, PAGE_BYTES};
use crate::bytes::checksum;
use crate::bytes::field;
use crate::error::{Corrupt, Error, Refusal, Result};

/// Bytes of the base block that the checksum covers, and the checksum itself.
pub(super) const HEAD_LEN: usize = 512;

/// Places of the fields that are rewritten.
const PRIMARY_AT: usize = 4;
const SECONDARY_AT: usize = 8;
const BINS_BYTES_AT: usize = 40;
const FLAGS_AT: usize = 144;
const CHECKSUM_AT: usize = 508;

/// The Kernel Transaction Manager has locked the hive: transactions are pending or anticipated.
const FLAG_TRANSACTIONS: u32 = 1;

/// First sector of a hive or of one of its logs.
///
/// Document: "Windows registry file format specification" (M. Suhanov), section "Base block". 4096 bytes,
/// little-endian (WIN-86).
///
/// | offset | size | spec                       | here            | valid when                          |
/// |-------:|-----:|----------------------------|-----------------|-------------------------------------|
/// |      0 |    4 | Signature                  | (checked)       | `regf`                              |
/// |      4 |    4 | Primary sequence number    | primary         | any                                 |
/// |      8 |    4 | Secondary sequence number  | secondary       | equals the primary, or the hive is dirty |
/// |     12 |    8 | Last written timestamp     | last_written    | any                                 |
/// |     20 |    4 | Major version              | (checked)       | 1                                   |
/// |     24 |    4 | Minor version              | minor           | 3 to 6                              |
/// |     28 |    4 | File type                  | file_type       | 0 hive, 1 or 2 old log, 6 new log   |
/// |     32 |    4 | File format                | file_format     | 1                                   |
/// |     36 |    4 | Root cell offset           | root            | inside the bins data                |
/// |     40 |    4 | Hive bins data size        | bins_bytes      | multiple of 4096, not 0             |
/// |     44 |    4 | Clustering factor          | (not used)      | 1                                   |
/// |     48 |   64 | File name                  | (not used)      | any                                 |
/// |    144 |    4 | Flags                      | flags           | bit 0 clear, or it must not be edited |
/// |    508 |    4 | Checksum                   | (checked)       | [`xor_checksum`] of the 508 before  |
#[derive(Debug, Clone)]
pub(super) struct BaseBlock {
    pub(super) primary: u32,
    pub(super) secondary: u32,
    pub(super) last_written: u64,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) file_type: u32,
    pub(super) file_format: u32,
    pub(super) root: CellOffset,
    pub(super) bins_bytes: u32,
    pub(super) flags: u32,
    pub(super) checksum_agrees: bool,
}

impl BaseBlock {
    /// Parses a first sector without judging it, but for its signature.
    ///
    /// # Errors
    /// `Corrupt` - no signature, or shorter than 512 bytes.
    pub(super) fn parse(head: &[u8]) -> Result<Self> {
        let found: [u8; 4] = field::array(head, 0)?;
        if &found != b"regf" {
            let defect = Defect::Signature { expected: "regf", found };
            return Err(Corrupt::new("base block", defect).at(0).into());
        }
        Ok(Self {
            primary: field::le_u32(head, PRIMARY_AT)?,
            secondary: field::le_u32(head, SECONDARY_AT)?,
            last_written: field::le_u64(head, 12)?,
            major: field::le_u32(head, 20)?,
            minor: field::le_u32(head, 24)?,
            file_type: field::le_u32(head, 28)?,
            file_format: field::le_u32(head, 32)?,
            root: CellOffset(field::le_u32(head, 36)?),
            bins_bytes: field::le_u32(head, BINS_BYTES_AT)?,
            flags: field::le_u32(head, FLAGS_AT)?,
            checksum_agrees: checksum::agrees(
                field::le_u32(head, CHECKSUM_AT)?,
                xor_checksum(head)?,
            ),
        })
    }

    /// Checks what a hive must fulfil before anything in it is believed.
    ///
    /// # Errors
    /// * `Refused` - the checksum is wrong: it would have to be recovered from a log (WIN-94).
    /// * `Unsupported` - versions before NT 4 and after 10.
    /// * `Corrupt` - type, format or size of the bins data.
    pub(super) fn validate_primary(&self) -> Result<()> {
        let broken = |defect| Error::from(Corrupt::new("base block", defect).at(0));
        if !self.checksum_agrees {
            return Err(dirty("the checksum of the base block is wrong"));
        }
        if self.major != 1 || !(3..=6).contains(&self.minor) {
            return Err(Error::unsupported(format!(
                "hive of version {}.{}",
                self.major, self.minor
            )));
        }
        if self.file_type != 0 {
            return Err(broken(Defect::FileType(self.file_type)));
        }
        if self.file_format != 1 {
            return Err(broken(Defect::FileFormat(self.file_format)));
        }
        if !is_bins_size(self.bins_bytes) {
            return Err(broken(Defect::BinsSize(self.bins_bytes)));
        }
        Ok(())
    }

    /// True if a writer was interrupted (WIN-88).
    pub(super) fn is_dirty(&self) -> bool {
        !self.checksum_agrees || self.primary != self.secondary
    }

    /// True if transactions of the registry are pending or anticipated (WIN-25).
    pub(super) fn has_transactions(&self) -> bool {
        self.flags & FLAG_TRANSACTIONS != 0
    }

    /// Takes over bit 0 of the flags of a log entry (WIN-91).
    pub(super) fn set_transactions_of(&mut self, entry_flags: u32) {
        self.flags = (self.flags & !FLAG_TRANSACTIONS) | (entry_flags & FLAG_TRANSACTIONS);
    }
}

/// True if bins data can have this size.
pub(super) fn is_bins_size(bins_bytes: u32) -> bool {
    bins_bytes != 0 && bins_bytes.is_multiple_of(PAGE_BYTES)
}

/// The refusal of a hive whose logs cannot be replayed, or must not be.
pub(super) fn dirty(detail: impl Into<String>) -> Error {
    Refusal::DirtyLog { detail: detail.into() }.into()
}

/// `head` with new sequence numbers, bins size and flags, and the checksum to them.
///
/// # Errors
/// `Corrupt` - `head` is shorter than 512 bytes.
pub(super) fn store(head: &mut [u8], sequence: u32, bins_bytes: u32, flags: u32) -> Result<()> {
    field::put_le_u32(head, PRIMARY_AT, sequence)?;
    field::put_le_u32(head, SECONDARY_AT, sequence)?;
    field::put_le_u32(head, BINS_BYTES_AT, bins_bytes)?;
    field::put_le_u32(head, FLAGS_AT, flags)?;
    let checksum = xor_checksum(head)?;
    field::put_le_u32(head, CHECKSUM_AT, checksum)?;
    Ok(())
}

/// Exclusive or of the first 127 dwords, with 0 and -1 replaced (WIN-87).
///
/// # Errors
/// `Corrupt` - `head` is shorter than 508 bytes.
pub(super) fn xor_checksum(head: &[u8]) -> Result<u32> {
    let covered = field::slice(head, 0, CHECKSUM_AT)?;
    let sum = covered.chunks_exact(4).fold(0, |sum, dword| {
        dword.try_into().map_or(sum, |dword| sum ^ u32::from_le_bytes(dword))
    });
    Ok(match sum {
        u32::MAX => u32::MAX ^ 1,
        0 => 1,
        sum => sum,
    })
}
