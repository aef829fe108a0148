//! The clock of an edit, and UTC text.

use crate::error::{Error, Result};
use crate::fs::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// What `--reproducible` sets the clock to without `SOURCE_DATE_EPOCH`: 2000-01-01T00:00:00Z. Not 0, because
/// file systems use a time of 0 for "never".
pub const REPRODUCIBLE_SECONDS: i64 = 946_684_800;

/// The time of an edit: `SOURCE_DATE_EPOCH` if it is set, a fixed one if asked for, else now.
///
/// # Errors
/// `Usage` if `SOURCE_DATE_EPOCH` is not a number of seconds.
pub fn edit_time(is_reproducible: bool) -> Result<Timestamp> {
    match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(text) => {
            let seconds = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
                Error::usage("SOURCE_DATE_EPOCH is not a number of seconds since 1970-01-01 UTC")
            })?;
            Ok(Timestamp { seconds, nanoseconds: 0 })
        }
        None if is_reproducible => Ok(Timestamp { seconds: REPRODUCIBLE_SECONDS, nanoseconds: 0 }),
        None => Ok(now()),
    }
}

/// The present time of the host.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp { seconds, nanoseconds: since.subsec_nanos() }
}

/// `2026-01-02T03:04:05Z`.
pub fn utc(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds).map_or_else(
        |_| format!("{} seconds after 1970-01-01 UTC", time.seconds),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// `20260102T030405Z`, for file names.
pub fn utc_compact(time: Timestamp) -> String {
    utc(time).replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        let time = Timestamp { seconds: REPRODUCIBLE_SECONDS, nanoseconds: 7 };
        assert_eq!(utc(time), "2000-01-01T00:00:00Z");
        assert_eq!(utc_compact(time), "20000101T000000Z");
        assert!(utc(Timestamp { seconds: i64::MAX, nanoseconds: 0 }).contains("1970"));
    }
}
