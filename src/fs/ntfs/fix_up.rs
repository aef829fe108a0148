//! Fix-ups: the update sequence array of a multi-sector record (FILE, INDX, RSTR, RCRD).
//!
//! Source: linux-ntfs documentation, "Fixup"; WIN-104. The last two bytes of every stride of 512 bytes, whatever
//! the sector size, are replaced by a number that grows with each write, and are kept in an array in the
//! header. A stride that carries another number was not written together with the rest: a torn write.
//!
//! | offset | size | field                          | valid when                                      |
//! |-------:|-----:|--------------------------------|-------------------------------------------------|
//! |    0x4 |    2 | offset of the array            | even, array inside the first 510 bytes          |
//! |    0x6 |    2 | count of its 16-bit words      | 1 + record size / 512                           |
//! |  array |    2 | number                         | 1..=0xffff when written by us (0 is skipped)    |
//! |     +2 |    2 | tail of each stride, in order  | any                                             |

use crate::bytes::arith::OutOfRange;
use crate::bytes::field::{self, Short};

/// Distance between two protected words, in bytes.
pub(crate) const STRIDE_BYTES: usize = 512;

/// What can be wrong with the update sequence array of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FixUpDefect {
    /// The record is cut off.
    #[error(transparent)]
    Short(#[from] Short),
    /// A number left its type.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The record is no whole number of strides.
    #[error("length of {0} bytes is no multiple of 512")]
    Length(usize),
    /// The array does not lie inside the first stride.
    #[error("update sequence array of {words} words at {offset:#x} does not fit")]
    Place {
        /// Offset of the array.
        offset: usize,
        /// Its count of words.
        words: usize,
    },
    /// A stride carries another number than the array.
    #[error("stride {stride} carries update sequence number {found:#x}, not {expected:#x}")]
    Torn {
        /// Index of the stride.
        stride: usize,
        /// The number of the array.
        expected: u16,
        /// The number of the stride.
        found: u16,
    },
}

/// Where the array lies and how many strides it protects.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: usize,
    strides: usize,
}

impl Place {
    fn of(bytes: &[u8]) -> Result<Self, FixUpDefect> {
        if !bytes.len().is_multiple_of(STRIDE_BYTES) || bytes.is_empty() {
            return Err(FixUpDefect::Length(bytes.len()));
        }
        let offset = usize::from(field::le_u16(bytes, 4)?);
        let words = usize::from(field::le_u16(bytes, 6)?);
        let strides = bytes.len().checked_div(STRIDE_BYTES).ok_or(OutOfRange)?;
        let end = offset.saturating_add(words.saturating_mul(2));
        let is_valid = offset >= 8
            && offset.is_multiple_of(2)
            && words.checked_sub(1) == Some(strides)
            && end <= STRIDE_BYTES.saturating_sub(2);
        if is_valid {
            Ok(Self { offset, strides })
        } else {
            Err(FixUpDefect::Place { offset, words })
        }
    }

    /// Pairs of stride index, offset of its tail and offset of its word in the array.
    fn words(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.strides).map(move |stride| {
            let tail = stride.saturating_add(1).saturating_mul(STRIDE_BYTES).saturating_sub(2);
            let word = self.offset.saturating_add(stride.saturating_add(1).saturating_mul(2));
            (stride, tail, word)
        })
    }
}

/// Verifies the number in every stride and puts the true bytes back.
///
/// # Errors
/// [`FixUpDefect`]; `bytes` is then as before.
pub(crate) fn remove(bytes: &mut [u8]) -> Result<(), FixUpDefect> {
    let place = Place::of(bytes)?;
    let expected = field::le_u16(bytes, place.offset)?;
    for (stride, tail, _) in place.words() {
        let found = field::le_u16(bytes, tail)?;
        if !crate::bytes::checksum::agrees(found, expected) {
            return Err(FixUpDefect::Torn { stride, expected, found });
        }
    }
    for (_, tail, word) in place.words() {
        let true_word: [u8; 2] = field::array(bytes, word)?;
        field::put(bytes, tail, &true_word)?;
    }
    Ok(())
}

/// Raises the number, skipping 0, and stamps it over the tail of every stride (WIN-104).
///
/// # Errors
/// [`FixUpDefect`] if the header has no room for the array.
pub(crate) fn stamp(bytes: &mut [u8]) -> Result<(), FixUpDefect> {
    let place = Place::of(bytes)?;
    let number = match field::le_u16(bytes, place.offset)?.wrapping_add(1) {
        0 => 1,
        number => number,
    };
    field::put_le_u16(bytes, place.offset, number)?;
    for (_, tail, word) in place.words() {
        let true_word: [u8; 2] = field::array(bytes, tail)?;
        field::put(bytes, word, &true_word)?;
        field::put_le_u16(bytes, tail, number)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u16) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..1024u32).map(|i| (i % 251) as u8).collect();
        field::put_le_u16(&mut bytes, 4, 0x30).unwrap();
        field::put_le_u16(&mut bytes, 6, 3).unwrap();
        field::put_le_u16(&mut bytes, 0x30, number).unwrap();
        bytes
    }

    /// WIN-104.
    #[test]
    fn stamping_raises_the_number_and_skips_zero() {
        for (before, after) in [(1u16, 2u16), (0xfffe, 0xffff), (0xffff, 1), (0, 1)] {
            let mut bytes = record(before);
            let tails = (bytes[510], bytes[1023]);
            stamp(&mut bytes).unwrap();
            assert_eq!(field::le_u16(&bytes, 510), Ok(after));
            assert_eq!(field::le_u16(&bytes, 1022), Ok(after));
            remove(&mut bytes).unwrap();
            assert_eq!((bytes[510], bytes[1023]), tails);
            assert_eq!(field::le_u16(&bytes, 0x30), Ok(after));
        }
    }

    /// WIN-104: a mismatch is a torn write.
    #[test]
    fn a_torn_write_is_found_and_nothing_is_changed() {
        let mut bytes = record(7);
        stamp(&mut bytes).unwrap();
        bytes[1022] = 9;
        let before = bytes.clone();
        let torn = FixUpDefect::Torn { stride: 1, expected: 8, found: 9 };
        assert_eq!(remove(&mut bytes), Err(torn));
        assert_eq!(bytes, before);
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        for (offset, words) in
            [(0x31, 3), (0x30, 2), (0x30, 4), (6, 3), (506, 3), (0xffff, 3), (0x30, 0)]
        {
            let mut bytes = record(7);
            field::put_le_u16(&mut bytes, 4, offset).unwrap();
            field::put_le_u16(&mut bytes, 6, words).unwrap();
            let place =
                FixUpDefect::Place { offset: usize::from(offset), words: usize::from(words) };
            assert_eq!(remove(&mut bytes), Err(place));
        }
        assert_eq!(remove(&mut [0; 100]), Err(FixUpDefect::Length(100)));
        assert_eq!(stamp(&mut []), Err(FixUpDefect::Length(0)));
    }
}
