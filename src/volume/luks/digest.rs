//! The hashes that LUKS uses by name, and PBKDF2 with them.

use crate::bytes::text::escape_limited;
use crate::error::{Error, Result};
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// The one called `name`, or the name of what is not known, escaped.
    pub(super) fn named(name: &[u8]) -> Result<Self, String> {
        match name {
            b"sha1" => Ok(Self::Sha1),
            b"sha256" => Ok(Self::Sha256),
            b"sha512" => Ok(Self::Sha512),
            other => Err(escape_limited(other, 32)),
        }
    }

    /// Bytes of a hash.
    pub(super) fn len_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The hash of `parts` one after the other.
    pub(super) fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha1 => hashed::<Sha1>(parts),
            Self::Sha256 => hashed::<Sha256>(parts),
            Self::Sha512 => hashed::<Sha512>(parts),
        }
    }

    /// PBKDF2 (RFC 8018) with HMAC, into `derived`.
    ///
    /// # Errors
    /// None in practice: HMAC takes keys of every length.
    pub(super) fn pbkdf2(
        self,
        secret: &[u8],
        salt: &[u8],
        iterations: u32,
        derived: &mut [u8],
    ) -> Result<()> {
        let done = match self {
            Self::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(secret, salt, iterations, derived),
            Self::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(secret, salt, iterations, derived),
            Self::Sha512 => pbkdf2::pbkdf2::<Hmac<Sha512>>(secret, salt, iterations, derived),
        };
        done.map_err(|error| Error::unsupported(format!("PBKDF2: {error}")))
    }
}

fn hashed<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().to_vec()
}
