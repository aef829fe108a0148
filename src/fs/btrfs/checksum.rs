//! The checksums that a Btrfs volume can use, and the hash of names.
//!
//! Format: Btrfs documentation, "Checksumming" and "On-disk format", field `csum_type` of the superblock. A checksum
//! stands at the start of a block in a field of 32 bytes, and covers the rest of the block.

use crate::bytes::checksum::{crc32c_raw, sha256};
use blake2::Digest as _;

/// Size of the checksum field of a block, in bytes.
pub(crate) const FIELD_BYTES: usize = 32;

/// The algorithm of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// CRC-32C; 4 bytes.
    Crc32c,
    /// xxHash64 with seed 0; 8 bytes.
    Xxhash64,
    /// SHA-256; 32 bytes.
    Sha256,
    /// BLAKE2b-256; 32 bytes.
    Blake2b,
}

impl Checksum {
    /// The algorithm that `csum_type` stands for; `None` if there is none.
    pub(crate) fn from_type(csum_type: u16) -> Option<Self> {
        match csum_type {
            0 => Some(Self::Crc32c),
            1 => Some(Self::Xxhash64),
            2 => Some(Self::Sha256),
            3 => Some(Self::Blake2b),
            _ => None,
        }
    }

    /// How many bytes a checksum has.
    pub(crate) fn size_bytes(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::Xxhash64 => 8,
            Self::Sha256 | Self::Blake2b => 32,
        }
    }

    /// The checksum of `bytes` as it stands on the disk, followed by zeros.
    pub(crate) fn of(self, bytes: &[u8]) -> [u8; FIELD_BYTES] {
        match self {
            Self::Crc32c => padded(&(!crc32c_raw(!0, bytes)).to_le_bytes()),
            Self::Xxhash64 => padded(&twox_hash::XxHash64::oneshot(0, bytes).to_le_bytes()),
            Self::Sha256 => sha256(bytes),
            Self::Blake2b => blake2::Blake2b256::digest(bytes).into(),
        }
    }

    /// True if a block carries the checksum of what follows it. A fuzzer cannot repair checksums, so in its builds
    /// every checksum passes.
    pub(crate) fn agrees(self, block: &[u8]) -> bool {
        let Some((stored, rest)) = block.split_at_checked(FIELD_BYTES) else { return false };
        let computed = self.of(rest);
        cfg!(fuzzing) || stored.get(..self.size_bytes()) == computed.get(..self.size_bytes())
    }
}

fn padded(checksum: &[u8]) -> [u8; FIELD_BYTES] {
    let mut field = [0; FIELD_BYTES];
    for (to, from) in field.iter_mut().zip(checksum) {
        *to = *from;
    }
    field
}

/// The hash of a name, as the offset of `DIR_ITEM` and `XATTR_ITEM` keys: CRC-32C from the seed 0xfffffffe,
/// uninverted.
pub(crate) fn name_hash(name: &[u8]) -> u64 {
    u64::from(crc32c_raw(!1, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // RFC 3720 B.4; the xxHash specification; FIPS 180-4; `b2sum -l 256` of nothing.
        assert_eq!(Checksum::Crc32c.of(&[0; 32])[..4], 0x8a91_36aa_u32.to_le_bytes());
        assert_eq!(Checksum::Xxhash64.of(b"")[..8], 0xef46_db37_51d8_e999_u64.to_le_bytes());
        assert_eq!(Checksum::Sha256.of(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(Checksum::Blake2b.of(b"")[..4], [0x0e, 0x57, 0x51, 0xc0]);
    }

    /// `btrfs inspect-internal dump-tree` shows `(6 DIR_ITEM 2378154706)` for `default`.
    #[test]
    fn the_hash_of_the_default_subvolume() {
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }
}
