//! Checked arithmetic and conversions that read like a formula.
//!
//! `add(start, mul(count, size)?)?` instead of a chain of `checked_*().ok_or(...)`. The error becomes
//! [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) when it leaves a parser, because only numbers
//! from a volume can be that large.

use crate::error::{Corrupt, Error};

/// A number from the volume is so large that arithmetic on it leaves its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("number out of range")]
pub struct OutOfRange;

impl From<OutOfRange> for Error {
    fn from(defect: OutOfRange) -> Self {
        Corrupt::new("arithmetic on a number from the volume", defect).into()
    }
}

/// `a + b`.
///
/// # Errors
/// [`OutOfRange`] if the sum does not fit.
pub fn add(a: u64, b: u64) -> Result<u64, OutOfRange> {
    a.checked_add(b).ok_or(OutOfRange)
}

/// `a - b`.
///
/// # Errors
/// [`OutOfRange`] if `b > a`.
pub fn sub(a: u64, b: u64) -> Result<u64, OutOfRange> {
    a.checked_sub(b).ok_or(OutOfRange)
}

/// `a * b`.
///
/// # Errors
/// [`OutOfRange`] if the product does not fit.
pub fn mul(a: u64, b: u64) -> Result<u64, OutOfRange> {
    a.checked_mul(b).ok_or(OutOfRange)
}

/// `a / b`, rounded down.
///
/// # Errors
/// [`OutOfRange`] if `b` is 0.
pub fn div(a: u64, b: u64) -> Result<u64, OutOfRange> {
    a.checked_div(b).ok_or(OutOfRange)
}

/// `a % b`.
///
/// # Errors
/// [`OutOfRange`] if `b` is 0.
pub fn rem(a: u64, b: u64) -> Result<u64, OutOfRange> {
    a.checked_rem(b).ok_or(OutOfRange)
}

/// `a / b`, rounded up.
///
/// # Errors
/// [`OutOfRange`] if `b` is 0.
pub fn div_ceil(a: u64, b: u64) -> Result<u64, OutOfRange> {
    Ok(if rem(a, b)? == 0 { div(a, b)? } else { add(div(a, b)?, 1)? })
}

/// `a` rounded up to a multiple of `step`.
///
/// # Errors
/// [`OutOfRange`] if `step` is 0 or the result does not fit.
pub fn round_up(a: u64, step: u64) -> Result<u64, OutOfRange> {
    mul(div_ceil(a, step)?, step)
}

/// `2^exponent`.
///
/// # Errors
/// [`OutOfRange`] if `exponent > 63`.
pub fn pow2(exponent: u32) -> Result<u64, OutOfRange> {
    1u64.checked_shl(exponent).ok_or(OutOfRange)
}

/// Converts between integer types.
///
/// # Errors
/// [`OutOfRange`] if the value does not fit the target type.
pub fn to<T, U: TryFrom<T>>(value: T) -> Result<U, OutOfRange> {
    U::try_from(value).map_err(|_| OutOfRange)
}

/// A length in memory as `u64`; exact on every platform Rust has.
pub fn len_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_wraps() {
        assert_eq!(add(u64::MAX, 1), Err(OutOfRange));
        assert_eq!(sub(0, 1), Err(OutOfRange));
        assert_eq!(mul(u64::MAX, 2), Err(OutOfRange));
        assert_eq!(div(1, 0), Err(OutOfRange));
        assert_eq!(pow2(64), Err(OutOfRange));
        assert_eq!(to::<u64, u32>(1 << 32), Err(OutOfRange));
    }

    #[test]
    fn rounding_is_exact_at_the_edges() {
        for (a, step, expected) in [(0, 4, 0), (1, 4, 4), (4, 4, 4), (5, 4, 8)] {
            assert_eq!(round_up(a, step), Ok(expected), "round_up({a}, {step})");
        }
        assert_eq!(round_up(u64::MAX, 2), Err(OutOfRange));
    }
}
