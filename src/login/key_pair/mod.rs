//! New key pairs, and the files for their private halves: OpenSSH ("PROTOCOL.key"), PEM with PKCS#8 (RFC 5958,
//! RFC 7468, RFC 8018), PPK version 3.
//!
//! Nothing here prints or stores anything. Not handled: types other than Ed25519 and RSA with 4096 bits.

mod pem;
mod ppk;
#[cfg(test)]
mod tests;

use super::public_key::PublicKey;
use crate::error::Result;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::fmt;
use zeroize::Zeroizing;

/// Type of a new pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairType {
    /// Ed25519.
    Ed25519,
    /// RSA with 4096 bits.
    Rsa,
}

/// Form of the file with the private half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairFormat {
    /// As `ssh-keygen` writes it.
    OpenSsh,
    /// PKCS#8 in PEM, as OpenSSL writes it.
    Pem,
    /// PuTTY's own, version 3 (PuTTY 0.75 and later).
    Ppk,
}

/// A key pair that exists only in memory.
pub struct KeyPair {
    private: PrivateKey,
    public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Makes a pair with `comment`.
    ///
    /// # Errors
    /// `Io` if the host has no randomness.
    pub fn generate(pair_type: PairType, comment: &str) -> Result<Self> {
        let algorithm = match pair_type {
            PairType::Ed25519 => Algorithm::Ed25519,
            PairType::Rsa => Algorithm::Rsa { hash: None },
        };
        let mut private = PrivateKey::random(&mut OsRng, algorithm).map_err(failed)?;
        private.set_comment(comment);
        let blob = private.public_key().to_bytes().map_err(failed)?;
        let public = PublicKey::new(blob, comment).map_err(failed)?;
        Ok(Self { private, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The content of the file with the private half, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// `Io` if the host has no randomness.
    pub fn encode(
        &self,
        format: PairFormat,
        passphrase: Option<&[u8]>,
    ) -> Result<Zeroizing<String>> {
        match format {
            PairFormat::OpenSsh => self.openssh(passphrase),
            PairFormat::Pem => pem::encode(self, passphrase),
            PairFormat::Ppk => ppk::encode(self, passphrase),
        }
    }

    fn openssh(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>> {
        let text = match passphrase {
            Some(passphrase) => {
                let encrypted = self.private.encrypt(&mut OsRng, passphrase).map_err(failed)?;
                encrypted.to_openssh(LineEnding::LF)
            }
            None => self.private.to_openssh(LineEnding::LF),
        };
        text.map_err(failed)
    }
}

/// What goes wrong here is the host's fault.
fn failed(error: impl fmt::Display) -> crate::error::Error {
    std::io::Error::other(format!("making a key: {error}")).into()
}

/// Random bytes.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    ssh_key::rand_core::RngCore::try_fill_bytes(&mut OsRng, &mut bytes).map_err(failed)?;
    Ok(bytes)
}
