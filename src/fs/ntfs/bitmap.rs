//! Bits that say what is in use: clusters in `$Bitmap`, records in the `$BITMAP` of `$MFT`, blocks in that of an
//! index.
//!
//! Source: linux-ntfs documentation, "$Bitmap" and "$BITMAP". Bit 0 is the lowest bit of the first byte. Pure: a
//! part of a bitmap is a slice of bytes, and bits are counted from its start. Which part is read, and where it
//! is stored, is for the callers.

use crate::bytes::arith::{self, OutOfRange};
use crate::bytes::field::{self, Short};
use std::ops::Range;

/// What can be wrong with bits that are to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BitDefect {
    /// The bitmap is shorter than that.
    #[error(transparent)]
    Short(#[from] Short),
    /// A number left its type.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A bit that should be free is set, or the other way round.
    #[error("bit {bit} is {}", if *is_set { "set" } else { "clear" })]
    Unexpected {
        /// From the start of the part.
        bit: u64,
        /// What it is.
        is_set: bool,
    },
}

/// True if `bit` is set.
///
/// # Errors
/// [`BitDefect`] if the bitmap is shorter.
pub(crate) fn is_set(bytes: &[u8], bit: u64) -> Result<bool, BitDefect> {
    let byte = field::u8_at(bytes, arith::to(bit >> 3)?)?;
    Ok(byte & mask(bit) != 0)
}

/// Sets or clears the `bits`, all of which must be the other way before.
///
/// # Errors
/// [`BitDefect`]; `bytes` may then be half changed.
pub(crate) fn flip(bytes: &mut [u8], bits: Range<u64>, to_set: bool) -> Result<(), BitDefect> {
    // Bounded by the length of the bitmap.
    for bit in bits {
        if is_set(bytes, bit)? == to_set {
            return Err(BitDefect::Unexpected { bit, is_set: to_set });
        }
        let at = arith::to(bit >> 3)?;
        let byte = field::u8_at(bytes, at)? ^ mask(bit);
        field::put(bytes, at, &[byte])?;
    }
    Ok(())
}

/// Checks that all `bits` are set, or all clear.
///
/// # Errors
/// [`BitDefect`].
pub(crate) fn check(bytes: &[u8], bits: Range<u64>, should_be_set: bool) -> Result<(), BitDefect> {
    for bit in bits {
        if is_set(bytes, bit)? != should_be_set {
            return Err(BitDefect::Unexpected { bit, is_set: !should_be_set });
        }
    }
    Ok(())
}

/// The first stretch of clear bits inside `within`, as long as it is there.
pub(crate) fn next_clear(bytes: &[u8], within: Range<u64>) -> Option<Range<u64>> {
    let end = within.end.min(arith::len_u64(bytes.len()).saturating_mul(8));
    let mut bit = within.start;
    // Ends with the bitmap; whole bytes of ones are skipped.
    while bit < end {
        let byte = bytes.get(usize::try_from(bit >> 3).ok()?).copied()?;
        if byte == 0xff {
            bit = (bit | 7).saturating_add(1);
        } else if byte & mask(bit) != 0 {
            bit = bit.saturating_add(1);
        } else {
            break;
        }
    }
    if bit >= end {
        return None;
    }
    let start = bit;
    while bit < end {
        let byte = bytes.get(usize::try_from(bit >> 3).ok()?).copied()?;
        if byte == 0 && bit.is_multiple_of(8) {
            bit = bit.saturating_add(8);
        } else if byte & mask(bit) == 0 {
            bit = bit.saturating_add(1);
        } else {
            break;
        }
    }
    Some(start..bit.min(end))
}

fn mask(bit: u64) -> u8 {
    1u8.checked_shl(u32::try_from(bit & 7).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stretches_of_clear_bits_are_found() {
        let bytes = [0xff, 0b0000_1111, 0x00, 0b1111_0001, 0xff];
        for (within, expected) in [
            (0..40, Some(12..24)),
            (13..40, Some(13..24)),
            (13..20, Some(13..20)),
            (24..40, Some(25..28)),
            (28..40, None),
            (12..12, None),
            (0..12, None),
            (40..99, None),
        ] {
            assert_eq!(next_clear(&bytes, within.clone()), expected, "{within:?}");
        }
    }

    #[test]
    fn bits_are_flipped_only_if_all_are_the_other_way() {
        let mut bytes = [0b0000_0110, 0];
        flip(&mut bytes, 3..10, true).unwrap();
        assert_eq!(bytes, [0b1111_1110, 0b11]);
        assert_eq!(
            flip(&mut bytes, 8..11, false),
            Err(BitDefect::Unexpected { bit: 10, is_set: false })
        );
        let mut bytes = [0b0000_0110, 0];
        let set = BitDefect::Unexpected { bit: 1, is_set: true };
        assert_eq!(flip(&mut bytes, 0..2, true), Err(set));
        assert_eq!(check(&[0b0000_0110, 0], 0..2, false), Err(set));
        assert_eq!(check(&[0b0000_0110, 0], 1..3, true), Ok(()));
        let short = BitDefect::Short(Short { needed: 3, available: 2 });
        assert_eq!(flip(&mut bytes, 15..17, true), Err(short));
    }

    proptest! {
        /// Against a search bit by bit.
        #[test]
        fn the_search_agrees_with_the_simple_one(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..20),
            start in 0u64..170, end in 0u64..170,
        ) {
            let bits: Vec<bool> =
                (0..bytes.len() as u64 * 8).map(|bit| is_set(&bytes, bit).unwrap()).collect();
            let end_in = (end as usize).min(bits.len());
            let expected = (start as usize..end_in).find(|&bit| !bits[bit]).map(|from| {
                let to = (from..end_in).find(|&bit| bits[bit]).unwrap_or(end_in);
                from as u64..to as u64
            });
            prop_assert_eq!(next_clear(&bytes, start..end), expected);
        }
    }
}
