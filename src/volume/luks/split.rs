//! The anti-forensic splitter: one key, spread over many blocks, all of which are needed.
//!
//! LUKS1 On-Disk Format Specification 1.2.3, section 2.4. All blocks but the last are combined: each is added (xor) to
//! what there is, which is then hashed piece by piece, each piece with its number in front. The last one added to
//! that is the key.

use super::digest::Hash;
use crate::bytes::arith::len_u64;
use zeroize::Zeroizing;

/// Merges the blocks of `key_bytes` in `material`. Nothing is lost if its end is no whole block.
pub(super) fn merge(material: &[u8], key_bytes: usize, hash: Hash) -> Zeroizing<Vec<u8>> {
    let mut state = Zeroizing::new(vec![0; key_bytes]);
    let mut blocks = material.chunks_exact(key_bytes.max(1)).peekable();
    while let Some(block) = blocks.next() {
        for (byte, other) in state.iter_mut().zip(block) {
            *byte ^= other;
        }
        if blocks.peek().is_some() {
            diffuse(&mut state, hash);
        }
    }
    state
}

fn diffuse(state: &mut [u8], hash: Hash) {
    for (number, piece) in state.chunks_mut(hash.len_bytes()).enumerate() {
        let number = u32::try_from(len_u64(number)).unwrap_or(u32::MAX).to_be_bytes();
        let hashed = Zeroizing::new(hash.of(&[&number, piece]));
        for (byte, hashed) in piece.iter_mut().zip(hashed.iter()) {
            *byte = *hashed;
        }
    }
}
