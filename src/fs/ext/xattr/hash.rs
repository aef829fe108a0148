//! Hashes of attributes and of whole attribute blocks.
//!
//! Both rotate and exclusive-or 32-bit numbers. Old kernels took the bytes of the name as signed or
//! unsigned numbers depending on the machine; both are found on disks and mean the same, so both
//! are accepted. New hashes are unsigned, as in current kernels.

/// Rotation before each byte of the name.
const NAME_BITS: u32 = 5;
/// Rotation before each word of the value, and before each entry of a block.
const VALUE_BITS: u32 = 16;

/// How bytes of a name count.
#[derive(Debug, Clone, Copy)]
enum Bytes {
    Signed,
    Unsigned,
}

fn entry_hash(name: &[u8], value: &[u8], bytes: Bytes) -> u32 {
    let of_name = name.iter().fold(0u32, |hash, &byte| {
        let number = match bytes {
            Bytes::Unsigned => u32::from(byte),
            Bytes::Signed => i32::from(i8::from_le_bytes([byte])).cast_unsigned(),
        };
        hash.rotate_left(NAME_BITS) ^ number
    });
    value.chunks(4).fold(of_name, |hash, chunk| {
        let mut word = [0; 4];
        for (byte, value) in word.iter_mut().zip(chunk) {
            *byte = *value;
        }
        hash.rotate_left(VALUE_BITS) ^ u32::from_le_bytes(word)
    })
}

/// `e_hash` of an attribute.
pub(super) fn of_entry(name: &[u8], value: &[u8]) -> u32 {
    entry_hash(name, value, Bytes::Unsigned)
}

/// True if `stored` is the hash of this attribute in either way of counting.
pub(super) fn fits(stored: u32, name: &[u8], value: &[u8]) -> bool {
    [Bytes::Unsigned, Bytes::Signed].map(|bytes| entry_hash(name, value, bytes)).contains(&stored)
}

/// `h_hash` of a block with these `e_hash`; 0 means that the block must not be shared.
pub(super) fn of_block(hashes: &[u32]) -> u32 {
    if hashes.contains(&0) {
        return 0;
    }
    hashes.iter().fold(0, |sum: u32, hash| sum.rotate_left(VALUE_BITS) ^ hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_sign_is_accepted() {
        let (name, value) = (b"caf\xc3\xa9".as_slice(), b"value".as_slice());
        let signed = entry_hash(name, value, Bytes::Signed);
        let unsigned = entry_hash(name, value, Bytes::Unsigned);
        assert_ne!(signed, unsigned);
        assert!(fits(signed, name, value) && fits(unsigned, name, value));
        assert!(!fits(unsigned ^ 1, name, value));
        assert_eq!(entry_hash(b"plain", value, Bytes::Signed), of_entry(b"plain", value));
    }

    #[test]
    fn a_block_with_an_unhashed_entry_has_no_hash() {
        assert_eq!(of_block(&[1, 0]), 0);
        assert_eq!(of_block(&[0x1_0000, 3]), 2);
    }
}
