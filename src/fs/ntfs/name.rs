//! Names as UTF-16, as the volume stores them, and as bytes, as everything above sees them.
//!
//! A name on the volume is any sequence of 16-bit units, so that it may hold surrogates without a partner. As bytes
//! it is WTF-8 ("The WTF-8 encoding", sections 3 and 4): UTF-8 in which such a unit is encoded as if it were a
//! character. Both ways keep every name apart from every other.

use crate::bytes::field::le_u16;

/// Longest name of a directory entry, in UTF-16 units.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// The UTF-16 units of little-endian `bytes`; an odd last byte is left out.
pub(crate) fn units_from_le(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).filter_map(|unit| le_u16(unit, 0).ok()).collect()
}

/// The little-endian bytes of `units`.
pub(crate) fn units_to_le(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

/// The WTF-8 form of `units`.
pub(crate) fn to_wtf8(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(units.len());
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(surrogate) => {
                bytes.extend_from_slice(&surrogate_bytes(surrogate.unpaired_surrogate()));
            }
        }
    }
    bytes
}

/// The UTF-16 units of `bytes`; `None` if they are not well-formed WTF-8, so that no name on a volume has this form.
pub(crate) fn from_wtf8(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    // Every round takes at least one byte.
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(rest.get(..error.valid_up_to())?).ok()?,
        };
        units.extend(valid.encode_utf16());
        rest = rest.get(valid.len()..)?;
        let Some(encoded) = rest.get(..3) else {
            if rest.is_empty() {
                break;
            }
            return None;
        };
        let surrogate = surrogate_of(encoded)?;
        // Two halves that belong together have a shorter form, so this spelling of the name does not exist.
        let is_low = (0xdc00..=0xdfff).contains(&surrogate);
        let follows_high =
            valid.is_empty() && units.last().is_some_and(|unit| (0xd800..=0xdbff).contains(unit));
        if is_low && follows_high {
            return None;
        }
        units.push(surrogate);
        rest = rest.get(3..)?;
    }
    Some(units)
}

/// The generalised UTF-8 form of a surrogate: 1110xxxx 10xxxxxx 10xxxxxx.
fn surrogate_bytes(unit: u16) -> [u8; 3] {
    let [high, low] = unit.to_be_bytes();
    [0xe0 | (high >> 4), 0x80 | ((high & 0x0f) << 2) | (low >> 6), 0x80 | (low & 0x3f)]
}

fn surrogate_of(encoded: &[u8]) -> Option<u16> {
    let &[0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf] = encoded else { return None };
    Some(0xd000 | (u16::from(second & 0x3f) << 6) | u16::from(third & 0x3f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_a_name() {
        for (units, bytes) in [
            (vec![0x61, 0xe9, 0x20ac], "a\u{e9}\u{20ac}".as_bytes().to_vec()),
            (vec![0xd83d, 0xde00], "\u{1f600}".as_bytes().to_vec()),
            (vec![0xd800], vec![0xed, 0xa0, 0x80]),
            (vec![0xdfff, 0x61], vec![0xed, 0xbf, 0xbf, 0x61]),
            (vec![0xde00, 0xd83d], vec![0xed, 0xb8, 0x80, 0xed, 0xa0, 0xbd]),
            (vec![], vec![]),
        ] {
            assert_eq!(to_wtf8(&units), bytes);
            assert_eq!(from_wtf8(&bytes), Some(units));
        }
    }

    #[test]
    fn what_no_name_looks_like_is_refused() {
        for bytes in [
            b"\xff".as_slice(),
            b"a\xc3",
            b"\xed\xa0",
            b"\xed\x9f",
            b"\xf5\x80\x80\x80",
            b"\xc0\x80",
            // The two halves of U+1F600 encoded apart.
            b"\xed\xa0\xbd\xed\xb8\x80",
        ] {
            assert_eq!(from_wtf8(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn little_endian_bytes_hold_units() {
        assert_eq!(units_from_le(&[0x41, 0, 0xac, 0x20, 7]), [0x41, 0x20ac]);
        assert_eq!(units_to_le(&[0x41, 0x20ac]), [0x41, 0, 0xac, 0x20]);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(
            units in prop::collection::vec(
                prop_oneof![any::<u16>(), 0xd7f0u16..0xe010], 0..40)
        ) {
            prop_assert_eq!(from_wtf8(&to_wtf8(&units)), Some(units));
        }

        #[test]
        fn every_form_is_the_only_one(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), Just(0xed), 0xa0u8..0xc0], 0..20))
        {
            if let Some(units) = from_wtf8(&bytes) {
                prop_assert_eq!(to_wtf8(&units), bytes);
            }
        }
    }
}
