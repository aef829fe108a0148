//! PPK, version 3: the private key file of PuTTY.
//!
//! Format: PuTTY manual, appendix "PPK file format" (version 3). Text lines; strings and integers as in RFC 4251;
//! a MAC over everything that matters. Encrypted: Argon2id gives cipher key, vector and MAC key; the private part
//! is filled up to whole blocks of AES with random bytes. Not encrypted: the MAC key is empty.

use super::{KeyPair, failed, random};
use crate::error::Result;
use aes::Aes256;
use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64, Encoding as _};
use cbc::cipher::{BlockEncryptMut as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use ssh_key::private::KeypairData;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Memory of the key derivation, in KiB, and how often it is gone through: as PuTTY itself chooses.
const MEMORY_KIB: u32 = 8192;
const PASSES: u32 = 13;
/// A block of AES, in bytes.
const BLOCK_BYTES: usize = 16;
/// Characters of base64 in one line.
const LINE_CHARACTERS: usize = 64;

/// What encrypts and seals a file.
struct Secrets {
    salt: [u8; 16],
    /// 32 bytes of cipher key, 16 of vector, 32 of MAC key.
    derived: Zeroizing<[u8; 80]>,
}

impl Secrets {
    fn derive(passphrase: &[u8]) -> Result<Self> {
        let salt = random()?;
        let mut derived = Zeroizing::new([0u8; 80]);
        let parameters = Params::new(MEMORY_KIB, PASSES, 1, Some(derived.len())).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        argon2.hash_password_into(passphrase, &salt, derived.as_mut()).map_err(failed)?;
        Ok(Self { salt, derived })
    }

    fn encrypt(&self, bytes: &mut [u8]) -> Result<()> {
        let (key, rest) = self.derived.split_at(32);
        let vector = rest.get(..BLOCK_BYTES).unwrap_or_default();
        let mut cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, vector).map_err(failed)?;
        for block in bytes.chunks_exact_mut(BLOCK_BYTES) {
            cipher.encrypt_block_mut(block.into());
        }
        Ok(())
    }

    fn mac_key(&self) -> &[u8] {
        self.derived.get(48..).unwrap_or_default()
    }
}

pub(super) fn encode(pair: &KeyPair, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>> {
    let public = pair.public();
    let secrets = passphrase.map(Secrets::derive).transpose()?;
    let cipher = if secrets.is_some() { "aes256-cbc" } else { "none" };
    let mut private = private_blob(pair)?;
    if secrets.is_some() {
        let filler = random::<BLOCK_BYTES>()?;
        let used = private.len().checked_rem(BLOCK_BYTES).unwrap_or_default();
        let missing = BLOCK_BYTES.saturating_sub(used).checked_rem(BLOCK_BYTES).unwrap_or_default();
        private.extend(filler.iter().take(missing));
    }
    let mut sealed = Zeroizing::new(Vec::new());
    let parts = [public.key_type().as_bytes(), cipher.as_bytes(), public.comment().as_bytes()];
    for part in parts.into_iter().chain([public.blob(), private.as_slice()]) {
        push(&mut sealed, part);
    }
    let mac_key = secrets.as_ref().map_or(&b""[..], Secrets::mac_key);
    let mut mac = <Hmac<Sha256>>::new_from_slice(mac_key).map_err(failed)?;
    mac.update(&sealed);
    let mac = mac.finalize().into_bytes();
    if let Some(secrets) = &secrets {
        secrets.encrypt(&mut private)?;
    }
    let mut text = Zeroizing::new(String::new());
    let heads = [
        ("PuTTY-User-Key-File-3", public.key_type()),
        ("Encryption", cipher),
        ("Comment", public.comment()),
    ];
    for (name, value) in heads {
        writeln!(text, "{name}: {value}").map_err(failed)?;
    }
    write_base64(&mut text, "Public-Lines", public.blob())?;
    if let Some(secrets) = &secrets {
        write!(
            text,
            "Key-Derivation: Argon2id\nArgon2-Memory: {MEMORY_KIB}\nArgon2-Passes: {PASSES}\n\
             Argon2-Parallelism: 1\nArgon2-Salt: {}\n",
            hex(&secrets.salt)
        )
        .map_err(failed)?;
    }
    write_base64(&mut text, "Private-Lines", &private)?;
    writeln!(text, "Private-MAC: {}", hex(&mac)).map_err(failed)?;
    Ok(text)
}

/// The private fields: of Ed25519 the seed, of RSA the exponent, both primes and the coefficient.
fn private_blob(pair: &KeyPair) -> Result<Zeroizing<Vec<u8>>> {
    let mut blob = Zeroizing::new(Vec::new());
    match pair.private.key_data() {
        KeypairData::Ed25519(keys) => push(&mut blob, keys.private.as_ref()),
        KeypairData::Rsa(keys) => {
            let keys = &keys.private;
            for number in [&keys.d, &keys.p, &keys.q, &keys.iqmp] {
                push(&mut blob, number.as_bytes());
            }
        }
        _ => return Err(failed("no such form for this type")),
    }
    Ok(blob)
}

/// Appends a string of RFC 4251.
fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(field);
}

fn write_base64(text: &mut String, name: &str, bytes: &[u8]) -> Result<()> {
    let base64 = Zeroizing::new(Base64::encode_string(bytes));
    let lines = base64.as_bytes().chunks(LINE_CHARACTERS);
    writeln!(text, "{name}: {}", lines.len()).map_err(failed)?;
    for line in lines {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
