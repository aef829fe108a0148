//! `$STANDARD_INFORMATION`: times, attribute flags and the security id of a file.
//!
//! Format: libyal libfsntfs, "New Technologies File System (NTFS)", section "The standard information attribute";
//! Microsoft, [MS-FSCC] section 2.6 "File Attributes"; [MS-DTYP] section 2.3.3 (FILETIME).

use crate::bytes::field::{Short, le_u32, le_u64};
use crate::fs::Timestamp;

/// Intervals of 100 ns in a second.
const TICKS_PER_SECOND: u64 = 10_000_000;
/// Seconds from 1601-01-01 to 1970-01-01.
const EPOCH_SECONDS: i64 = 11_644_473_600;

/// Bits of the file attributes ([MS-FSCC] 2.6).
pub(crate) mod file_flag {
    /// Deletes and writes are refused by Windows.
    pub(crate) const READ_ONLY: u32 = 0x1;
    /// To be backed up.
    pub(crate) const ARCHIVE: u32 = 0x20;
    /// Has holes.
    pub(crate) const SPARSE: u32 = 0x200;
    /// Compressed, or new files in it are.
    pub(crate) const COMPRESSED: u32 = 0x800;
    /// Encrypted, or new files in it are.
    pub(crate) const ENCRYPTED: u32 = 0x4000;
    /// In `$FILE_NAME` only: a directory.
    pub(crate) const DIRECTORY: u32 = 0x1000_0000;
}

/// Times, flags and security id, little-endian.
///
/// | offset | size | field | here | valid when |
/// |-------:|-----:|-------|------|------------|
/// | 0x00 | 8 | creation time | created | FILETIME |
/// | 0x08 | 8 | modification time | modified | FILETIME |
/// | 0x10 | 8 | record change time | changed | FILETIME |
/// | 0x18 | 8 | access time | accessed | FILETIME |
/// | 0x20 | 4 | file attribute flags | flags | see [`file_flag`] |
/// | 0x24 | 12 | versions, class | (kept) | |
/// | 0x30 | 4 | owner id | (kept) | only if 72 bytes long |
/// | 0x34 | 4 | security id | security_id | only if 72 bytes long; 0 for none |
/// | 0x38 | 16 | quota, update sequence number | (kept) | only if 72 bytes long |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StandardInformation {
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) changed: u64,
    pub(crate) accessed: u64,
    pub(crate) flags: u32,
    /// Number of the descriptor in `$Secure`; `None` if there is none there.
    pub(crate) security_id: Option<u32>,
}

impl StandardInformation {
    /// Parses the value.
    ///
    /// # Errors
    /// [`Short`] if it ends before the flags do.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Short> {
        Ok(Self {
            created: le_u64(bytes, 0)?,
            modified: le_u64(bytes, 0x08)?,
            changed: le_u64(bytes, 0x10)?,
            accessed: le_u64(bytes, 0x18)?,
            flags: le_u32(bytes, 0x20)?,
            security_id: le_u32(bytes, 0x34).ok().filter(|id| *id != 0),
        })
    }
}

/// The moment that a FILETIME is: intervals of 100 ns since 1601-01-01 UTC.
pub(crate) fn timestamp(file_time: u64) -> Timestamp {
    let seconds = file_time.checked_div(TICKS_PER_SECOND).unwrap_or(0);
    let ticks = file_time.checked_rem(TICKS_PER_SECOND).unwrap_or(0);
    Timestamp {
        // At most 2^64 / 10^7.
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX).saturating_sub(EPOCH_SECONDS),
        nanoseconds: u32::try_from(ticks).unwrap_or(0).saturating_mul(100),
    }
}

/// The FILETIME of a moment; the first or last one there is for what lies outside.
pub(crate) fn file_time(moment: Timestamp) -> u64 {
    let Ok(seconds) = u64::try_from(moment.seconds.saturating_add(EPOCH_SECONDS)) else { return 0 };
    let ticks = u64::from(moment.nanoseconds).checked_div(100).unwrap_or(0);
    seconds.saturating_mul(TICKS_PER_SECOND).saturating_add(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_converted_both_ways() {
        for (ticks, seconds, nanoseconds) in [
            (0, -11_644_473_600, 0),
            (116_444_736_000_000_000, 0, 0),
            (116_444_736_000_000_001, 0, 100),
            (116_444_735_999_999_999, -1, 999_999_900),
            (133_000_000_000_000_000, 1_655_526_400, 0),
            (u64::MAX, 1_833_029_933_770, 955_161_500),
        ] {
            let moment = Timestamp { seconds, nanoseconds };
            assert_eq!(timestamp(ticks), moment, "{ticks}");
            assert_eq!(file_time(moment), ticks);
        }
        let before = Timestamp { seconds: i64::MIN, nanoseconds: 5 };
        assert_eq!(file_time(before), 0);
        assert_eq!(file_time(Timestamp { seconds: i64::MAX, nanoseconds: 0 }), u64::MAX);
    }

    #[test]
    fn old_and_new_forms_are_read() {
        let mut bytes: Vec<u8> = (0..0x48).collect();
        let read = StandardInformation::parse(&bytes).unwrap();
        assert_eq!(read.flags, 0x2322_2120);
        assert_eq!(read.security_id, Some(0x3736_3534));
        assert_eq!(StandardInformation::parse(&bytes[..0x30]).unwrap().security_id, None);
        bytes[0x34..0x38].fill(0);
        assert_eq!(StandardInformation::parse(&bytes).unwrap().security_id, None);
        assert!(StandardInformation::parse(&bytes[..0x20]).is_err());
    }
}
