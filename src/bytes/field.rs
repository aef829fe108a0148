//! Integers at fixed offsets of a byte slice, little- and big-endian, read and written without panics.

use crate::error::{Corrupt, Error};

/// A structure is shorter than the field that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("needs {needed} bytes, has {available}")]
pub struct Short {
    /// End of the field, in bytes from the start of the structure.
    pub needed: usize,
    /// Length of the structure in bytes.
    pub available: usize,
}

impl From<Short> for Error {
    fn from(defect: Short) -> Self {
        Corrupt::new("structure", defect).into()
    }
}

/// `len` bytes of `bytes` from `offset`.
///
/// # Errors
/// [`Short`] if they are not all there.
pub fn slice(bytes: &[u8], offset: usize, len: usize) -> Result<&[u8], Short> {
    let end = offset.saturating_add(len);
    bytes.get(offset..end).ok_or(Short { needed: end, available: bytes.len() })
}

/// `len` mutable bytes of `bytes` from `offset`.
///
/// # Errors
/// [`Short`] if they are not all there.
pub fn slice_mut(bytes: &mut [u8], offset: usize, len: usize) -> Result<&mut [u8], Short> {
    let end = offset.saturating_add(len);
    let available = bytes.len();
    bytes.get_mut(offset..end).ok_or(Short { needed: end, available })
}

/// A fixed-size array from `offset`.
///
/// # Errors
/// [`Short`] if it is not all there.
pub fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Short> {
    let end = offset.saturating_add(N);
    slice(bytes, offset, N)?.try_into().map_err(|_| Short { needed: end, available: bytes.len() })
}

/// Copies `value` to `offset`.
///
/// # Errors
/// [`Short`] if it does not fit.
pub fn put(bytes: &mut [u8], offset: usize, value: &[u8]) -> Result<(), Short> {
    slice_mut(bytes, offset, value.len())?.copy_from_slice(value);
    Ok(())
}

/// The byte at `offset`.
///
/// # Errors
/// [`Short`] if `bytes` ends before.
pub fn u8_at(bytes: &[u8], offset: usize) -> Result<u8, Short> {
    Ok(u8::from_le_bytes(array(bytes, offset)?))
}

macro_rules! integers {
    ($($get:ident $put:ident $type:ty, $from:ident $to:ident, $order:literal;)*) => {$(
        #[doc = concat!("The ", $order, " `", stringify!($type), "` at `offset`.")]
        ///
        /// # Errors
        /// [`Short`] if `bytes` ends before the field does.
        pub fn $get(bytes: &[u8], offset: usize) -> Result<$type, Short> {
            Ok(<$type>::$from(array(bytes, offset)?))
        }

        #[doc = concat!("Stores a ", $order, " `", stringify!($type), "` at `offset`.")]
        ///
        /// # Errors
        /// [`Short`] if `bytes` ends before the field does.
        pub fn $put(bytes: &mut [u8], offset: usize, value: $type) -> Result<(), Short> {
            put(bytes, offset, &value.$to())
        }
    )*};
}

integers! {
    le_u16 put_le_u16 u16, from_le_bytes to_le_bytes, "little-endian";
    le_u32 put_le_u32 u32, from_le_bytes to_le_bytes, "little-endian";
    le_u64 put_le_u64 u64, from_le_bytes to_le_bytes, "little-endian";
    be_u16 put_be_u16 u16, from_be_bytes to_be_bytes, "big-endian";
    be_u32 put_be_u32 u32, from_be_bytes to_be_bytes, "big-endian";
    be_u64 put_be_u64 u64, from_be_bytes to_be_bytes, "big-endian";
}

/// Joins the two halves of a 64-bit number that a format stores apart.
pub fn join_u32(high: u32, low: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

/// The low 32 bits of `value`.
pub fn low_u32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The high 32 bits of `value`.
pub fn high_u32(value: u64) -> u32 {
    low_u32(value >> 32)
}

/// The low 16 bits of `value`.
pub fn low_u16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The high 16 bits of `value`.
pub fn high_u16(value: u32) -> u16 {
    low_u16(value >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_byte_orders() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(le_u16(&bytes, 1), Ok(0x0302));
        assert_eq!(be_u32(&bytes, 0), Ok(0x0102_0304));
        assert_eq!(le_u64(&bytes, 0), Ok(0x0807_0605_0403_0201));
    }

    #[test]
    fn short_input_names_the_lengths() {
        assert_eq!(le_u32(&[0; 6], 4), Err(Short { needed: 8, available: 6 }));
        assert_eq!(put_le_u16(&mut [0; 1], 0, 1), Err(Short { needed: 2, available: 1 }));
        assert_eq!(slice(&[], usize::MAX, 2).unwrap_err().available, 0);
    }

    #[test]
    fn halves_join_and_split() {
        let value = 0x0123_4567_89ab_cdef;
        assert_eq!(join_u32(high_u32(value), low_u32(value)), value);
        assert_eq!((high_u16(0x1234_5678), low_u16(0x1234_5678)), (0x1234, 0x5678));
    }
}
