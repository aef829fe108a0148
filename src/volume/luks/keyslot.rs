//! A key slot: how a secret becomes the volume key; and how a volume key is recognised.

use super::Secret;
use super::digest::Hash;
use super::kdf::Kdf;
use super::split;
use super::xts::Xts;
use crate::bytes::arith::{self, len_u64, mul};
use crate::disk::Disk;
use crate::error::{Error, Result};
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// Bound on the blocks over which a key is spread; both formats have 4000.
pub(super) const STRIPES_MAX: u32 = 4000;

/// Bound on a salt or a digest, in bytes; they have 32 in practice.
const SALT_BYTES_MAX: usize = 512;

/// The length of a key for AES in XTS mode, or why it is none.
pub(super) fn key_length(bytes: u64) -> Result<usize, String> {
    match bytes {
        32 => Ok(32),
        64 => Ok(64),
        other => Err(format!("its key has {other} bytes, and not 32 or 64")),
    }
}

/// A salt or a digest as version 2 writes it; `None` if it is none.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok().filter(|bytes| bytes.len() <= SALT_BYTES_MAX)
}

/// A slot in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyslot {
    /// Its number, by which its tools call it.
    pub(super) number: u32,
    /// The type of the token whose secret opens it, escaped.
    pub(super) token: Option<String>,
    /// How it is opened, or why regain cannot: safe to print.
    pub(super) method: Result<Method, String>,
}

/// How a slot is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) kdf: Kdf,
    /// Length of the volume key.
    pub(super) key_bytes: usize,
    /// Length of the key with which the area is encrypted: 32 or 64.
    pub(super) area_key_bytes: usize,
    pub(super) area_offset_bytes: u64,
    pub(super) stripes: u32,
    pub(super) split_hash: Hash,
}

/// What a volume key is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyDigest {
    /// The numbers of the slots that hold the key; `None`: all.
    pub(super) keyslots: Option<Vec<u32>>,
    pub(super) hash: Hash,
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

impl Method {
    /// What the slot holds if `secret` is the right one, and noise if not.
    pub(super) fn open(&self, disk: &dyn Disk, secret: &Secret) -> Result<Zeroizing<Vec<u8>>> {
        let area_key = self.kdf.derive(&secret.0, self.area_key_bytes)?;
        let cipher = Xts::new(&area_key);
        let cipher = cipher.ok_or_else(|| Error::unsupported("a key of that length"))?;
        let split_bytes = mul(len_u64(self.key_bytes), self.stripes.into())?;
        let area_bytes = arith::to(arith::round_up(split_bytes, 512)?)?;
        let mut material = Zeroizing::new(disk.read_vec(self.area_offset_bytes, area_bytes)?);
        cipher.decrypt(&mut material, 512, 0);
        material.truncate(arith::to(split_bytes)?);
        Ok(split::merge(&material, self.key_bytes, self.split_hash))
    }
}

impl KeyDigest {
    /// Bound on the iterations of a digest. cryptsetup takes an eighth of a second for it.
    pub(super) const ITERATIONS_MAX: u32 = 10_000_000;

    /// Lengths of a digest: a short one would take wrong keys for the right one.
    pub(super) const LEN_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

    /// True if it speaks of slot `number`.
    pub(super) fn covers(&self, number: u32) -> bool {
        self.keyslots.as_ref().is_none_or(|slots| slots.contains(&number))
    }

    /// True if `key` is the volume key.
    pub(super) fn is_of(&self, key: &[u8]) -> Result<bool> {
        let mut computed = Zeroizing::new(vec![0; self.digest.len()]);
        self.hash.pbkdf2(key, &self.salt, self.iterations, &mut computed)?;
        Ok(*computed == self.digest && !computed.is_empty())
    }
}
