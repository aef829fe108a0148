//! The checksums that file systems and partition tables use.
//!
//! File systems feed CRC-32C and CRC-16 from an arbitrary seed and leave the result uninverted, which
//! most libraries hide; these functions give that raw form.

use crc::{CRC_16_ARC, CRC_32_ISO_HDLC, CRC_32_MPEG_2, Crc};
use sha2::{Digest, Sha256};

const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_ARC);
const CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CRC32_MSB: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);

/// CRC-32C (Castagnoli, reflected) of `bytes`, continued from `seed`, without the final inversion.
///
/// A fresh checksum starts from `!0`.
pub fn crc32c_raw(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// CRC-16 (polynomial 0x8005, reflected) of `bytes`, continued from `seed`.
///
/// ext3 and ext4 group descriptors without `metadata_csum` start it from `!0`.
pub fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    let mut digest = CRC16.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// CRC-32 (polynomial 0x04c11db7, most significant bit first) of `bytes`, continued from `seed`, without
/// inversion.
///
/// JBD2's first checksum format starts it from `!0`.
pub fn crc32_msb(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC32_MSB.digest_with_initial(seed);
    digest.update(bytes);
    digest.finalize()
}

/// CRC-32 (polynomial 0x04c11db7, reflected, inverted) of `bytes`, as GPT uses it.
pub fn crc32(bytes: &[u8]) -> u32 {
    CRC32.checksum(bytes)
}

/// CRC-32 (polynomial 0x04c11db7, reflected) of `bytes`, continued from `seed`, without inversion.
///
/// LVM2 starts it from 0xf597a6cf.
pub fn crc32_raw(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC32.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    !digest.finalize()
}

/// True if the checksum that a structure carries is the one that its bytes have.
///
/// A fuzzer cannot repair checksums, so in its builds (`cfg(fuzzing)`) every checksum passes.
pub fn agrees<T: PartialEq + Copy>(stored: T, computed: T) -> bool {
    cfg!(fuzzing) || stored == computed
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4: 32 bytes of zeros give 0x8a9136aa (inverted form).
    #[test]
    fn crc32c_matches_the_published_vector() {
        assert_eq!(!crc32c_raw(!0, &[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn checksums_can_be_continued() {
        let (a, b) = (b"update ".as_slice(), b"sequence".as_slice());
        assert_eq!(crc32c_raw(crc32c_raw(7, a), b), crc32c_raw(7, b"update sequence"));
        assert_eq!(crc16(crc16(9, a), b), crc16(9, b"update sequence"));
        assert_eq!(crc32_msb(crc32_msb(!0, a), b), crc32_msb(!0, b"update sequence"));
    }

    /// The catalogue's check value of CRC-32/ISO-HDLC.
    #[test]
    fn crc32_matches_the_published_vector() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    /// CRC-32/JAMCRC is the same without inversion at the end; its check value in the catalogue.
    #[test]
    fn crc32_raw_matches_the_published_vector() {
        assert_eq!(crc32_raw(!0, b"123456789"), 0x340b_c6d9);
        assert_eq!(crc32_raw(crc32_raw(!0, b"1234"), b"56789"), 0x340b_c6d9);
    }

    /// The catalogue's check value of CRC-16/ARC.
    #[test]
    fn crc16_matches_the_published_vector() {
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }

    /// The catalogue's check value of CRC-32/MPEG-2.
    #[test]
    fn crc32_msb_matches_the_published_vector() {
        assert_eq!(crc32_msb(!0, b"123456789"), 0x0376_e6e7);
    }
}
