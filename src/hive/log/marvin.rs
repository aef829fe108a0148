//! Marvin32, the hash of log entries.
//!
//! A hash by Microsoft (N. Ferguson, US patent 8555057, "System and method for securely hashing data"; the
//! same as that of strings in .NET): a state of two dwords, into which each dword of the data is added and
//! mixed. The seed of hive logs is in "Windows registry file format specification" (M. Suhanov), section "Log
//! entries", note 3; its order was found with real logs (WIN-90).

use crate::bytes::field;

/// Low and high dword of the seed.
const SEED: (u32, u32) = (0x7a4e_55c5, 0x82ef_4d88);

/// A hash under way. Every piece but the last must be a multiple of 4 bytes long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marvin32 {
    low: u32,
    high: u32,
}

impl Marvin32 {
    /// The hash of nothing yet, under the seed of hive logs.
    pub(super) fn new() -> Self {
        Self::with_seed(SEED.0, SEED.1)
    }

    pub(super) fn with_seed(low: u32, high: u32) -> Self {
        Self { low, high }
    }

    /// The hash of `bytes` in one go.
    pub(super) fn hash(mut self, bytes: &[u8]) -> u64 {
        let (whole, rest) = bytes.split_at(bytes.len().saturating_sub(bytes.len() & 3));
        self.update(whole);
        self.finish(rest)
    }

    /// Adds the whole dwords of `bytes`; what is left over is what [`Marvin32::finish`] takes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        for dword in bytes.chunks_exact(4) {
            self.add(dword.try_into().map_or(0, u32::from_le_bytes));
        }
    }

    /// Adds the last 0 to 3 bytes and gives the hash.
    pub(super) fn finish(mut self, rest: &[u8]) -> u64 {
        let mut last = [0u8; 4];
        for (to, from) in last.iter_mut().zip(rest.iter().chain([&0x80])) {
            *to = *from;
        }
        self.add(u32::from_le_bytes(last));
        self.mix();
        field::join_u32(self.high, self.low)
    }

    fn add(&mut self, dword: u32) {
        self.low = self.low.wrapping_add(dword);
        self.mix();
    }

    fn mix(&mut self) {
        self.high ^= self.low;
        self.low = self.low.rotate_left(20).wrapping_add(self.high);
        self.high = self.high.rotate_left(9) ^ self.low;
        self.low = self.low.rotate_left(27).wrapping_add(self.high);
        self.high = self.high.rotate_left(19);
    }
}

/// The hash of `bytes` under the seed of hive logs.
pub(super) fn marvin32(bytes: &[u8]) -> u64 {
    Marvin32::new().hash(bytes)
}
