//! The times of an inode. With room behind the first 128 bytes each has an extra word.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Index Nodes", "Inode Timestamps".

use super::Inode;
use crate::bytes::arith::to;
use crate::bytes::field::{high_u32, low_u32, put_le_u32};
use crate::error::Result;
use crate::fs::Timestamp;

const ACCESS_TIME_AT: usize = 0x8;
const CHANGE_TIME_AT: usize = 0xc;
const MODIFY_TIME_AT: usize = 0x10;
const CHANGE_TIME_EXTRA_AT: usize = 0x84;
const MODIFY_TIME_EXTRA_AT: usize = 0x88;
const ACCESS_TIME_EXTRA_AT: usize = 0x8c;
const CREATE_TIME_AT: usize = 0x90;
const CREATE_TIME_EXTRA_AT: usize = 0x94;

/// The four times of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Access,
    Change,
    Modify,
    Create,
}

impl Time {
    fn places(self) -> (usize, usize) {
        match self {
            Self::Access => (ACCESS_TIME_AT, ACCESS_TIME_EXTRA_AT),
            Self::Change => (CHANGE_TIME_AT, CHANGE_TIME_EXTRA_AT),
            Self::Modify => (MODIFY_TIME_AT, MODIFY_TIME_EXTRA_AT),
            Self::Create => (CREATE_TIME_AT, CREATE_TIME_EXTRA_AT),
        }
    }
}

impl Inode {
    /// One of the four times; the creation time is 0 where it does not exist.
    ///
    /// The low two bits of the extra word extend the seconds beyond 2038, the others are nanoseconds.
    pub(crate) fn time(&self, which: Time) -> Timestamp {
        let (at, extra_at) = which.places();
        if which == Time::Create && !self.has_extra(at, 4) {
            return Timestamp::default();
        }
        let seconds = i64::from(self.u32(at).cast_signed());
        if !self.has_extra(extra_at, 4) {
            return Timestamp { seconds, nanoseconds: 0 };
        }
        let extra = self.u32(extra_at);
        let epoch = i64::from(extra & 3);
        let nanoseconds = (extra >> 2).min(999_999_999);
        Timestamp { seconds: seconds.saturating_add(epoch << 32), nanoseconds }
    }

    /// Sets a time, as exactly as the inode can hold it. Without an extra word it ends in 2038.
    pub(crate) fn set_time(&mut self, which: Time, time: Timestamp) -> Result<()> {
        let (at, extra_at) = which.places();
        if which == Time::Create && !self.has_extra(at, 4) {
            return Ok(());
        }
        if !self.has_extra(extra_at, 4) {
            let seconds = time.seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            let seconds: i32 = to(seconds)?;
            return Ok(put_le_u32(&mut self.bytes, at, seconds.cast_unsigned())?);
        }
        // Four epochs of 2^32 seconds: 1901 to 2446.
        let last = (3i64 << 32).saturating_add(i64::from(i32::MAX));
        let seconds = time.seconds.clamp(i64::from(i32::MIN), last);
        let low = low_u32(seconds.cast_unsigned());
        let above = seconds.saturating_sub(i64::from(low.cast_signed()));
        let epoch = high_u32(above.cast_unsigned()) & 3;
        put_le_u32(&mut self.bytes, at, low)?;
        Ok(put_le_u32(&mut self.bytes, extra_at, (time.nanoseconds << 2) | epoch)?)
    }
}
