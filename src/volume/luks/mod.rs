//! LUKS, versions 1 and 2: the key slots of an encrypted volume, and the volume as a disk of clear text.
//!
//! Sources: "LUKS1 On-Disk Format Specification" 1.2.3; "LUKS2 On-Disk Format Specification" 1.1. Both headers become
//! one [`Header`]: key slots, digests of the volume key, and one encrypted segment. A [`Secret`] opens a slot:
//!
//! ```text
//! secret -> kdf -> key of the slot -> decrypt the area -> merge (split) -> volume key -> compare its digest
//! ```
//!
//! Known: AES in XTS mode with keys of 2 x 128 and 2 x 256 bits and the vector `plain64`, sectors of 512 to 4096 bytes;
//! PBKDF2 with SHA-1, SHA-256 and SHA-512, Argon2i and Argon2id. Everything else is named and refused, and so are a
//! reencryption that is not finished, integrity tags, detached headers, and headers without a slot for a passphrase.
//! The header is never written. Keys are overwritten in memory when they are dropped, and are never shown.

mod contents;
mod decrypted_disk;
mod defect;
mod digest;
mod header1;
mod header2;
mod json;
mod kdf;
mod keyslot;
mod slots;
mod split;
#[cfg(test)]
mod tests;
mod unlock;
mod xts;

pub use defect::Defect;
pub use unlock::Unlocked;

use crate::bytes::arith;
use crate::disk::Disk;
use crate::error::{Error, Refusal, Result, VolumeObstacle};
use keyslot::{KeyDigest, Keyslot};
use std::fmt;
use zeroize::Zeroizing;

/// A passphrase, or the content of a key file.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` as they are; the caller has taken off the line break of a passphrase.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The header of an encrypted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2.
    pub version: u16,
    /// The UUID, as its tools write it, unescaped.
    pub uuid: Vec<u8>,
    /// The label of version 2, unescaped; may be empty.
    pub label: Vec<u8>,
    /// What is wrong without making it useless: sentences for people, safe to print.
    pub warnings: Vec<String>,
    /// In the order in which they are tried.
    keyslots: Vec<Keyslot>,
    digests: Vec<KeyDigest>,
    /// What is encrypted, or why regain does not know it.
    segment: std::result::Result<Segment, Unusable>,
}

/// The encrypted part of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    offset_bytes: u64,
    /// `None`: up to the end.
    size_bytes: Option<u64>,
    sector_bytes: u64,
    /// Added to the number of every 512 bytes.
    iv_tweak: u64,
    key_bytes: usize,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unusable {
    obstacle: VolumeObstacle,
    /// Safe to print.
    reason: String,
}

impl Unusable {
    fn layout(reason: impl Into<String>) -> Self {
        Self { obstacle: VolumeObstacle::Layout, reason: reason.into() }
    }

    fn unfinished(reason: impl Into<String>) -> Self {
        Self { obstacle: VolumeObstacle::Unfinished, reason: reason.into() }
    }
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        let Unusable { obstacle, reason } = unusable;
        Refusal::UnsuitableVolume { what: "the encrypted volume".to_owned(), obstacle, reason }
            .into()
    }
}

impl Header {
    /// Reads the header at the start of `disk`.
    ///
    /// # Errors
    /// * `NotFound` - there is no header.
    /// * `Refused` - a version 1 that is being reencrypted.
    /// * `Corrupt` - it is damaged, in version 2: both copies.
    /// * `Unsupported` - another version.
    /// * `Io`.
    pub fn read(disk: &dyn Disk) -> Result<Self> {
        let start = disk.read_vec(0, arith::to(disk.len_bytes().min(8))?)?;
        match start.as_slice() {
            [b'L', b'U', b'K', b'S', 0xba, 0xbe, 0, 1] => header1::read(disk),
            [b'L', b'U', b'K', b'S', 0xba, 0xbe, 0, 2] => header2::read(disk),
            [b'L', b'U', b'K', b'S', 0xba, 0xbe, high, low] => {
                let version = u16::from_be_bytes([*high, *low]);
                Err(Error::unsupported(format!("LUKS version {version}")))
            }
            // What the offline tool for version 1 leaves while it works.
            [b'L', b'U', b'K', b'S', 0xde, 0xad, ..] => {
                Err(Unusable::unfinished("its reencryption is not finished").into())
            }
            // The first copy of a version 2 may be gone.
            _ => header2::read(disk),
        }
    }

    /// Why no secret would help, if that is known from the header alone: another cipher, an unfinished reencryption, a
    /// detached header, no slot for a passphrase.
    pub fn obstacle(&self) -> Option<Error> {
        match self.usable() {
            Ok(_) => None,
            Err(unusable) => Some(unusable.into()),
        }
    }

    fn usable(&self) -> std::result::Result<Segment, Unusable> {
        let segment = self.segment.clone()?;
        if self.keyslots.is_empty() {
            let reason = "no key slot takes a passphrase or a key file".to_owned();
            return Err(Unusable { obstacle: VolumeObstacle::NoPassphrase, reason });
        }
        Ok(segment)
    }
}

/// Parses `text` as the JSON of a header of version 2, for the fuzzer.
#[doc(hidden)]
pub fn is_metadata(text: &[u8]) -> bool {
    contents::parse(text, 0).is_ok()
}
