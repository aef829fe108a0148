//! Hashes of names in indexed directories.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Hash Tree
//! Directories", table "dirhash". The functions behind the names: half-MD4 is the compression
//! function of MD4 (RFC 1320) with 8 steps instead of 16 in each of its three rounds; TEA is the
//! Tiny Encryption Algorithm (Wheeler and Needham, 1994) with 16 cycles, its key being the text.
//! Both are chained over the name with feed-forward. The details that no document gives were found
//! by comparing with `debugfs dx_hash`.
//!
//! Not handled: SipHash (value 6), which belongs to encrypted casefolded directories.

use std::num::Wrapping;

/// How the names of one directory are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Multiply and add, from ext3's early days.
    Legacy,
    /// MD4 cut to half.
    HalfMd4,
    /// Tiny Encryption Algorithm.
    Tea,
}

/// A hash function for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameHash {
    /// The function.
    pub(crate) algorithm: Algorithm,
    /// Bytes from 0x80 on count as 128..=255 instead of -128..=-1.
    pub(crate) is_unsigned: bool,
    /// `s_hash_seed`; all zero stands for MD4's own start value.
    pub(crate) seed: [u32; 4],
}

/// Marks the end of a directory for readers, so no name may have it.
const END_OF_DIRECTORY: u32 = 0xffff_fffe;
/// Start of MD4 (RFC 1320, 3.3).
const MD4_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The constants of MD4's rounds (RFC 1320, 3.4).
const MD4_ROUND: [u32; 3] = [0, 0x5a82_7999, 0x6ed9_eba1];
/// Rotations in each round (RFC 1320, 3.4).
const MD4_ROTATE: [[u32; 4]; 3] = [[3, 7, 11, 19], [3, 5, 9, 13], [3, 9, 11, 15]];
/// Which word of the text each step of a round takes.
const MD4_ORDER: [[usize; 8]; 3] =
    [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 5, 7, 0, 2, 4, 6], [3, 7, 2, 6, 1, 5, 0, 4]];
/// Golden ratio of TEA.
const TEA_DELTA: u32 = 0x9e37_79b9;
/// Cycles of TEA.
const TEA_CYCLES: usize = 16;

impl NameHash {
    /// The hash function that the value of table "dirhash" means; `None` if it is not in the table.
    pub(crate) fn of_version(version: u8, is_unsigned: bool, seed: [u32; 4]) -> Option<Self> {
        let (algorithm, says_unsigned) = match version {
            0 => (Algorithm::Legacy, false),
            1 => (Algorithm::HalfMd4, false),
            2 => (Algorithm::Tea, false),
            3 => (Algorithm::Legacy, true),
            4 => (Algorithm::HalfMd4, true),
            5 => (Algorithm::Tea, true),
            _ => return None,
        };
        Some(Self { algorithm, is_unsigned: is_unsigned || says_unsigned, seed })
    }

    /// The hash of `name` as the index stores it: even, and never the end mark.
    pub(crate) fn hash(&self, name: &[u8]) -> u32 {
        let hash = match self.algorithm {
            Algorithm::Legacy => self.legacy(name),
            Algorithm::HalfMd4 => {
                let [_, hash, ..] = self.chain::<8>(name, half_md4);
                hash
            }
            Algorithm::Tea => {
                let [hash, ..] = self.chain::<4>(name, tea);
                hash
            }
        };
        match hash & !1 {
            END_OF_DIRECTORY => END_OF_DIRECTORY.wrapping_sub(2),
            hash => hash,
        }
    }

    /// A byte as a number, with or without sign.
    fn number(&self, byte: u8) -> u32 {
        if self.is_unsigned {
            u32::from(byte)
        } else {
            i32::from(i8::from_le_bytes([byte])).cast_unsigned()
        }
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for &byte in name {
            let product = self.number(byte).wrapping_mul(7_152_373);
            let mut next = before.wrapping_add(last ^ product);
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            before = last;
            last = next;
        }
        last << 1
    }

    /// Feeds the name, `WORDS` words at a time, through `step`.
    fn chain<const WORDS: usize>(
        &self,
        name: &[u8],
        step: fn([u32; 4], [u32; WORDS]) -> [u32; 4],
    ) -> [u32; 4] {
        let mut state = if self.seed == [0; 4] { MD4_START } else { self.seed };
        let mut rest = name;
        while !rest.is_empty() {
            state = step(state, self.words(rest));
            rest = rest.get(WORDS.saturating_mul(4)..).unwrap_or_default();
        }
        state
    }

    /// The next `WORDS` words: four characters each, the first on top, padded with the length that
    /// is left.
    fn words<const WORDS: usize>(&self, rest: &[u8]) -> [u32; WORDS] {
        // Names have at most 255 bytes.
        let len = u8::try_from(rest.len()).unwrap_or(u8::MAX);
        let pad = u32::from_le_bytes([len; 4]);
        let mut words = [pad; WORDS];
        for (word, group) in words.iter_mut().zip(rest.chunks(4)) {
            for &byte in group {
                *word = self.number(byte).wrapping_add(*word << 8);
            }
        }
        words
    }
}

/// One block of MD4 with half the steps (RFC 1320, 3.4).
fn half_md4(state: [u32; 4], text: [u32; 8]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = state.map(Wrapping);
    for (round, order) in MD4_ORDER.iter().enumerate() {
        let constant = Wrapping(MD4_ROUND.get(round).copied().unwrap_or_default());
        let rotate = MD4_ROTATE.get(round).copied().unwrap_or_default();
        for (&word, &bits) in order.iter().zip(rotate.iter().cycle()) {
            let mixed = match round {
                0 => (b & c) | (!b & d),
                1 => (b & c) | (b & d) | (c & d),
                _ => b ^ c ^ d,
            };
            let word = Wrapping(text.get(word).copied().unwrap_or_default());
            let Wrapping(sum) = wrapping_sum([a, mixed, word, constant]);
            (a, b, c, d) = (d, Wrapping(sum.rotate_left(bits)), b, c);
        }
    }
    feed_forward(state, [a, b, c, d])
}

/// TEA of the first two words of the state; the text is the key.
fn tea(state: [u32; 4], key: [u32; 4]) -> [u32; 4] {
    let [start0, start1, third, fourth] = state;
    let [k0, k1, k2, k3] = key.map(Wrapping);
    let (mut v0, mut v1) = (Wrapping(start0), Wrapping(start1));
    let mut sum = Wrapping(0);
    for _ in 0..TEA_CYCLES {
        sum = wrapping_sum([sum, Wrapping(TEA_DELTA)]);
        v0 = wrapping_sum([v0, tea_half(v1, k0, k1, sum)]);
        v1 = wrapping_sum([v1, tea_half(v0, k2, k3, sum)]);
    }
    let [first, second, ..] = feed_forward(state, [v0, v1, Wrapping(0), Wrapping(0)]);
    [first, second, third, fourth]
}

fn tea_half(
    v: Wrapping<u32>,
    key_left: Wrapping<u32>,
    key_right: Wrapping<u32>,
    sum: Wrapping<u32>,
) -> Wrapping<u32> {
    wrapping_sum([v << 4, key_left]) ^ wrapping_sum([v, sum]) ^ wrapping_sum([v >> 5, key_right])
}

fn feed_forward(state: [u32; 4], result: [Wrapping<u32>; 4]) -> [u32; 4] {
    let mut sums = state;
    for (sum, Wrapping(part)) in sums.iter_mut().zip(result) {
        *sum = sum.wrapping_add(part);
    }
    sums
}

/// Adds modulo 2^32, as the published functions do.
fn wrapping_sum<const N: usize>(parts: [Wrapping<u32>; N]) -> Wrapping<u32> {
    Wrapping(parts.iter().fold(0, |sum: u32, part| sum.wrapping_add(part.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// 01234567-89ab-cdef-0123-456789abcdef as `debugfs` reads a seed.
    const SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89];
    const SEED_TEXT: &str = "01234567-89ab-cdef-0123-456789abcdef";

    fn hash(version: u8, seed: [u32; 4], name: &[u8]) -> u32 {
        NameHash::of_version(version, false, seed).unwrap().hash(name)
    }

    #[test]
    fn known_vectors() {
        assert_eq!(hash(0, SEED, b"hello"), 0x3225_2546);
        assert_eq!(hash(1, SEED, b"hello"), 0xa26e_4a80);
        assert_eq!(hash(2, SEED, b"hello"), 0x6f5b_b1a8);
        assert_eq!(hash(1, [0; 4], b"hello"), 0x1746_da32);
        assert_eq!(hash(1, SEED, b"a\xc3\xa9\xff"), 0x1a8f_6736);
    }

    /// Names of every length, with bytes on both sides of 0x80, that debugfs can take on a command
    /// line.
    fn names() -> Vec<Vec<u8>> {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (state >> 24) as u8 {
                byte @ (b'a'..=b'z' | b'0'..=b'9' | b'.' | 0x80..) => byte,
                byte => b'a' + byte % 26,
            }
        };
        let mut all: Vec<Vec<u8>> = Vec::new();
        for len in (1..=255).chain(1..=40) {
            all.push((0..len).map(|_| next()).collect());
        }
        all
    }

    /// Oracle: `debugfs dx_hash` (it knows only the signed functions).
    #[test]
    fn debugfs_agrees() {
        use std::io::Write as _;
        for (version, algorithm) in [(0, "legacy"), (1, "half_md4"), (2, "tea")] {
            let mut script = tempfile::NamedTempFile::new().unwrap();
            let names = names();
            for name in &names {
                write!(script, "dx_hash -h {algorithm} -s {SEED_TEXT} ").unwrap();
                script.write_all(name).unwrap();
                script.write_all(b"\n").unwrap();
            }
            script.flush().unwrap();
            let output = Command::new("debugfs").arg("-f").arg(script.path()).output();
            let output = output.expect("debugfs (package e2fsprogs) is needed").stdout;
            let mut hashes = Vec::new();
            for line in output.split(|&byte| byte == b'\n').filter(|l| l.starts_with(b"Hash of")) {
                let line = String::from_utf8_lossy(line).into_owned();
                let hex = line.rsplit(" is 0x").next().unwrap().split(' ').next().unwrap();
                hashes.push(u32::from_str_radix(hex, 16).unwrap());
            }
            assert_eq!(hashes.len(), names.len(), "{algorithm}");
            for (name, expected) in names.iter().zip(hashes) {
                let actual = hash(version, SEED, name);
                assert_eq!(actual, expected, "{algorithm} of {name:02x?}");
            }
        }
    }

    #[test]
    fn signs_matter_only_from_0x80_on() {
        for version in 0..3 {
            assert_eq!(hash(version, SEED, b"plain"), hash(version + 3, SEED, b"plain"));
            assert_ne!(hash(version, SEED, b"\xe9t\xe9"), hash(version + 3, SEED, b"\xe9t\xe9"));
        }
    }
}
