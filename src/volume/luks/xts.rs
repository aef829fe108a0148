//! AES in XTS mode (IEEE 1619-2007), with the number of the sector as the tweak (`plain64`).

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit as _};
use aes::{Aes128, Aes256};
use std::fmt;

/// Bytes of a block of AES.
const BLOCK_BYTES: usize = 16;

/// Blocks that are given to the cipher at once.
const BATCH: usize = 32;

/// The units that the numbers of sectors count, in bytes, whatever the size of an encrypted sector.
const UNIT_BYTES: u64 = 512;

type Block = GenericArray<u8, aes::cipher::consts::U16>;

/// A cipher with its keys, which are overwritten when it is dropped.
#[derive(Clone)]
pub(super) enum Xts {
    /// A key for the data and one for the tweak.
    Aes128(Box<(Aes128, Aes128)>),
    Aes256(Box<(Aes256, Aes256)>),
}

impl fmt::Debug for Xts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xts(..)")
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

impl Xts {
    /// Takes a key of 32 or 64 bytes: one half for the data, the other for the tweak. `None` for other lengths.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let (data, tweak) = key.split_at_checked(key.len() / 2)?;
        match key.len() {
            32 => {
                let data = Aes128::new_from_slice(data).ok()?;
                Some(Self::Aes128(Box::new((data, Aes128::new_from_slice(tweak).ok()?))))
            }
            64 => {
                let data = Aes256::new_from_slice(data).ok()?;
                Some(Self::Aes256(Box::new((data, Aes256::new_from_slice(tweak).ok()?))))
            }
            _ => None,
        }
    }

    /// Decrypts the sectors of `sector_bytes` in `bytes`, of which the first has the number `first` in units of 512
    /// bytes. The sector is a multiple of 512 bytes; nothing is done to the end if that is no whole sector.
    pub(super) fn decrypt(&self, bytes: &mut [u8], sector_bytes: usize, first: u64) {
        self.sectors(bytes, sector_bytes, first, Direction::Decrypt);
    }

    /// Encrypts, as [`Xts::decrypt`].
    pub(super) fn encrypt(&self, bytes: &mut [u8], sector_bytes: usize, first: u64) {
        self.sectors(bytes, sector_bytes, first, Direction::Encrypt);
    }

    fn sectors(&self, bytes: &mut [u8], sector_bytes: usize, first: u64, direction: Direction) {
        let sector_bytes = sector_bytes.max(BLOCK_BYTES);
        let step = (crate::bytes::arith::len_u64(sector_bytes) / UNIT_BYTES).max(1);
        let mut number = first;
        for sector in bytes.chunks_exact_mut(sector_bytes) {
            match self {
                Self::Aes128(keys) => one_sector(&keys.0, &keys.1, sector, number, direction),
                Self::Aes256(keys) => one_sector(&keys.0, &keys.1, sector, number, direction),
            }
            // The vector is a 64-bit number, which wraps by its definition.
            number = number.wrapping_add(step);
        }
    }
}

fn one_sector<Cipher>(
    data: &Cipher,
    tweak: &Cipher,
    sector: &mut [u8],
    number: u64,
    direction: Direction,
) where
    Cipher: BlockEncrypt
        + BlockDecrypt
        + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let mut first = Block::default();
    if let Some(low) = first.get_mut(..8) {
        low.copy_from_slice(&number.to_le_bytes());
    }
    tweak.encrypt_block(&mut first);
    let mut mask = u128::from_le_bytes(first.into());
    for batch in sector.chunks_mut(BATCH * BLOCK_BYTES) {
        let mut masks = [0_u128; BATCH];
        let mut blocks = [Block::default(); BATCH];
        let whole = batch.as_chunks::<BLOCK_BYTES>().0;
        let mut count = 0_usize;
        for ((block, bytes), kept) in blocks.iter_mut().zip(whole).zip(&mut masks) {
            *block = (u128::from_le_bytes(*bytes) ^ mask).to_le_bytes().into();
            *kept = mask;
            mask = doubled(mask);
            count = count.saturating_add(1);
        }
        let used = blocks.get_mut(..count).unwrap_or_default();
        match direction {
            Direction::Encrypt => data.encrypt_blocks(used),
            Direction::Decrypt => data.decrypt_blocks(used),
        }
        let whole = batch.as_chunks_mut::<BLOCK_BYTES>().0;
        for ((bytes, block), mask) in whole.iter_mut().zip(used.iter()).zip(masks) {
            *bytes = (u128::from_le_bytes((*block).into()) ^ mask).to_le_bytes();
        }
    }
}

/// `mask` times x in GF(2^128), modulo x^128 + x^7 + x^2 + x + 1.
fn doubled(mask: u128) -> u128 {
    let carry = if mask >> 127 == 1 { 0x87 } else { 0 };
    (mask << 1) ^ carry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
            .collect()
    }

    /// IEEE 1619-2007, annex B: vectors 2, 3 (AES-128, one unit of 32 bytes) and the start of 10 (AES-256).
    #[test]
    fn the_published_vectors_come_out() {
        let ones = "11".repeat(16) + &"22".repeat(16);
        let descending = "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f022222222222222222222222222222222";
        let digits = "2718281828459045235360287471352662497757247093699959574966967627\
                      3141592653589793238462643383279502884197169399375105820974944592";
        let counting: Vec<u8> = (0..512).map(|byte| byte as u8).collect();
        for (key, number, plain, cipher) in [
            (
                ones.as_str(),
                0x33_3333_3333,
                vec![0x44; 32],
                "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
            ),
            (
                descending,
                0x33_3333_3333,
                vec![0x44; 32],
                "af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89",
            ),
            (
                digits,
                0xff,
                counting,
                "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
            ),
        ] {
            let xts = Xts::new(&hex(key)).unwrap();
            let mut bytes = plain.clone();
            let len = bytes.len();
            xts.encrypt(&mut bytes, len, number);
            assert_eq!(bytes[..32], hex(cipher)[..], "{key}");
            xts.decrypt(&mut bytes, len, number);
            assert_eq!(bytes, plain, "{key}");
        }
    }

    #[test]
    fn sectors_are_numbered_in_units_of_512_bytes() {
        let xts = Xts::new(&[7; 64]).unwrap();
        let mut together = vec![1; 3 * 4096];
        xts.encrypt(&mut together, 4096, 80);
        for (index, apart) in [80, 88, 96].into_iter().enumerate() {
            let mut sector = vec![1; 4096];
            xts.encrypt(&mut sector, 4096, apart);
            assert_eq!(sector, together[index * 4096..][..4096]);
        }
        assert!(Xts::new(&[0; 48]).is_none());
        assert_eq!(format!("{xts:?}"), "Xts(..)");
    }
}
