//! The times of an inode, in both forms.
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Timestamps". Without `bigtime` a time is two numbers of 32
//! bits, seconds and nanoseconds; with it one number of 64 bits, nanoseconds since 1901.

use super::{Inode, flag2};
use crate::bytes::arith::{add, mul, sub, to};
use crate::bytes::field::{self, join_u32, put_be_u64};
use crate::error::Result;
use crate::fs::Timestamp;

/// Seconds from the start of big timestamps, -2^31, to 1970.
const BIGTIME_EPOCH_SECONDS: i64 = 1 << 31;
const NANOSECONDS: u32 = 1_000_000_000;

/// The four times of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// Last access.
    Access,
    /// Last change of the content.
    Modify,
    /// Last change of the inode.
    Change,
    /// Creation; only in version 3.
    Create,
}

impl Time {
    fn place(self) -> usize {
        match self {
            Self::Access => 32,
            Self::Modify => 40,
            Self::Change => 48,
            Self::Create => 144,
        }
    }
}

impl Inode {
    pub(crate) fn time(&self, which: Time) -> Timestamp {
        if which == Time::Create && !self.is_version_3() {
            return Timestamp::default();
        }
        let at = which.place();
        if self.has_flag2(flag2::BIGTIME) {
            let raw = self.u64(at);
            let seconds = raw.checked_div(u64::from(NANOSECONDS)).unwrap_or_default();
            let nanoseconds = raw.checked_rem(u64::from(NANOSECONDS)).unwrap_or_default();
            return Timestamp {
                seconds: seconds.cast_signed().saturating_sub(BIGTIME_EPOCH_SECONDS),
                nanoseconds: field::low_u32(nanoseconds),
            };
        }
        let seconds = i64::from(self.u32(at).cast_signed());
        let nanoseconds = self.u32(at.saturating_add(4)).min(NANOSECONDS.saturating_sub(1));
        Timestamp { seconds, nanoseconds }
    }

    /// Sets a time, as exactly as the inode can hold it: until 2038, with big timestamps until 2486.
    pub(crate) fn set_time(&mut self, which: Time, time: Timestamp) -> Result<()> {
        if which == Time::Create && !self.is_version_3() {
            return Ok(());
        }
        let raw = if self.has_flag2(flag2::BIGTIME) {
            let seconds = time.seconds.saturating_add(BIGTIME_EPOCH_SECONDS).max(0);
            let limit = u64::MAX.checked_div(u64::from(NANOSECONDS)).unwrap_or_default();
            let seconds = seconds.unsigned_abs().min(sub(limit, 1)?);
            add(mul(seconds, u64::from(NANOSECONDS))?, u64::from(time.nanoseconds))?
        } else {
            let seconds = time.seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            let seconds: i32 = to(seconds)?;
            join_u32(seconds.cast_unsigned(), time.nanoseconds)
        };
        Ok(put_be_u64(&mut self.bytes, which.place(), raw)?)
    }
}
