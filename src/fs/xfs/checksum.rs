//! The checksum of every self-describing structure of version 5.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Metadata Integrity": CRC-32C over the whole structure
//! with the checksum field as zero, inverted, stored **little-endian** in otherwise big-endian structures.

use crate::bytes::checksum::{agrees, crc32c_raw};
use crate::bytes::field::{self, le_u32, put_le_u32};
use crate::error::Result;

/// A structure does not have the checksum that its bytes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("checksum is {stored:#x}, should be {computed:#x}")]
pub(crate) struct ChecksumDefect {
    /// What the structure says.
    pub(crate) stored: u32,
    /// What its bytes give.
    pub(crate) computed: u32,
}

/// The checksum of `bytes`, whose checksum field is at `crc_at`.
fn compute(bytes: &[u8], crc_at: usize) -> Result<u32> {
    let before = field::slice(bytes, 0, crc_at)?;
    let behind = crc_at.saturating_add(4);
    let after = field::slice(bytes, behind, bytes.len().saturating_sub(behind))?;
    Ok(!crc32c_raw(crc32c_raw(crc32c_raw(!0, before), &[0; 4]), after))
}

/// Checks the checksum field at `crc_at`; the inner error says how it is wrong.
///
/// # Errors
/// `Corrupt` if `bytes` ends before the field does.
pub(crate) fn verify(bytes: &[u8], crc_at: usize) -> Result<Result<(), ChecksumDefect>> {
    let (stored, computed) = (le_u32(bytes, crc_at)?, compute(bytes, crc_at)?);
    Ok(if agrees(stored, computed) { Ok(()) } else { Err(ChecksumDefect { stored, computed }) })
}

/// Stores the checksum of `bytes` at `crc_at`.
///
/// # Errors
/// `Corrupt` if `bytes` ends before the field does.
pub(crate) fn seal(bytes: &mut [u8], crc_at: usize) -> Result<()> {
    let computed = compute(bytes, crc_at)?;
    Ok(put_le_u32(bytes, crc_at, computed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_structure_verifies_and_a_changed_one_does_not() {
        let mut bytes: Vec<u8> = (0..64).collect();
        seal(&mut bytes, 12).unwrap();
        assert_eq!(verify(&bytes, 12).unwrap(), Ok(()));
        bytes[40] ^= 1;
        assert!(verify(&bytes, 12).unwrap().is_err());
        assert!(verify(&bytes, 61).is_err());
    }
}
