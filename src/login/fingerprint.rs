//! Fingerprints of public keys, in the forms in which people have them.
//!
//! OpenSSH shows `SHA256:` with base64 without padding (`ssh-keygen -l`) and, before 6.8 or with `-E md5`, 16
//! pairs of hexadecimal digits with colons (RFC 4716, section 4). EC2 shows the same of the DER form
//! (SubjectPublicKeyInfo, RFC 5280) for RSA keys that were imported; it is understood, too. Not handled: the SHA-1
//! over the private key that clouds show for the pairs that they made.

use base64ct::{Base64Unpadded, Encoding as _};
use md5::Md5;
use pkcs8::SubjectPublicKeyInfoRef;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use pkcs8::spki::AlgorithmIdentifierRef;
use sha2::{Digest as _, Sha256};
use std::fmt;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Bytes of a SHA-256 digest in hexadecimal pairs.
const SHA256_PAIRS: usize = 32;
/// The same of SHA-1.
const SHA1_PAIRS: usize = 20;

/// The digest of a key blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fingerprint {
    /// As current releases of OpenSSH show it.
    Sha256([u8; 32]),
    /// As old releases do.
    Md5([u8; 16]),
}

impl Fingerprint {
    /// The SHA-256 fingerprint of a blob.
    pub fn sha256(blob: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(blob).into())
    }

    /// The MD5 fingerprint of a blob.
    pub fn md5(blob: &[u8]) -> Self {
        Self::Md5(Md5::digest(blob).into())
    }

    /// Reads `SHA256:...`, `MD5:aa:bb:...`, or either without its prefix.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(base64) = strip_prefix(text, "SHA256:") {
            return sha256_of_base64(base64).ok_or_else(|| {
                "after SHA256: there must be 43 characters of base64, as `ssh-keygen -l` prints \
                 them"
                    .to_owned()
            });
        }
        if let Some(hex) = strip_prefix(text, "MD5:") {
            return md5_of_pairs(hex).ok_or_else(|| {
                "after MD5: there must be 16 pairs of hexadecimal digits with colons".to_owned()
            });
        }
        if let Some(found) = md5_of_pairs(text).or_else(|| sha256_of_base64(text)) {
            return Ok(found);
        }
        Err(match pairs(text).map(|bytes| bytes.len()) {
            Some(SHA1_PAIRS) => "this is a SHA-1 fingerprint, which clouds compute from the \
                                 private key; `regain key list` shows the ones to use"
                .to_owned(),
            Some(SHA256_PAIRS) => {
                "SHA-256 is written in base64, as `ssh-keygen -l` prints it".to_owned()
            }
            _ => "this is no fingerprint; it looks like SHA256:... or MD5:aa:bb:...".to_owned(),
        })
    }

    /// True if this is the fingerprint of `blob`.
    pub fn is_of(&self, blob: &[u8]) -> bool {
        match self {
            Self::Sha256(_) => *self == Self::sha256(blob),
            Self::Md5(_) => {
                *self == Self::md5(blob)
                    || rsa_der(blob).is_some_and(|der| *self == Self::md5(&der))
            }
        }
    }
}

/// As `ssh-keygen -l` prints it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "SHA256:{}", Base64Unpadded::encode_string(digest)),
            Self::Md5(digest) => {
                f.write_str("MD5")?;
                digest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
            }
        }
    }
}

/// An RSA key as SubjectPublicKeyInfo.
fn rsa_der(blob: &[u8]) -> Option<Vec<u8>> {
    let rest = blob.strip_prefix(b"\0\0\0\x07ssh-rsa")?;
    let (exponent, rest) = take_integer(rest)?;
    let (modulus, _) = take_integer(rest)?;
    let key = pkcs1::RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        public_exponent: UintRef::new(exponent).ok()?,
    };
    let key = key.to_der().ok()?;
    let algorithm = AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) };
    let subject_public_key = BitStringRef::from_bytes(&key).ok()?;
    SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()
}

fn take_integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn sha256_of_base64(text: &str) -> Option<Fingerprint> {
    let text = text.strip_suffix('=').unwrap_or(text);
    let digest = Base64Unpadded::decode_vec(text).ok()?;
    Some(Fingerprint::Sha256(digest.try_into().ok()?))
}

fn md5_of_pairs(text: &str) -> Option<Fingerprint> {
    Some(Fingerprint::Md5(pairs(text)?.try_into().ok()?))
}

/// The bytes of `aa:bb:...`.
fn pairs(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &str| {
        let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_pair.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    text.split(':').map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::public_key::decode_base64;
    use proptest::prelude::*;

    const SHA256: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrIuXrcXpv2x6oHYS+hbQTQ";

    const IMPORTED: &str = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDAwhFjgng0NPF5SnJV2Uf3zr2o5xbBNUzVSlyI5bSZB0UABEIq\
        g3+G39gL7K+vVaftGR/Okp1SSYdz/18hKbDUp7C+aWXj37lmSCh5nJv3nwwFOgKTY5Wly365JPZ7oxSl\
        F28I2pxcRxPs4e8B0d24Z9170HtWzvD3OuOUqL7xjw==";
    const IMPORTED_MD5: &str = "17:71:03:69:e3:05:1c:97:af:f2:8c:b8:3e:d1:39:29";

    fn blob() -> Vec<u8> {
        let line = crate::login::authorized_keys::tests::ED25519;
        decode_base64(line.split(' ').nth(1).unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn every_written_form_names_the_same_key() {
        let blob = blob();
        let (sha256, md5) = (Fingerprint::sha256(&blob), Fingerprint::md5(&blob));
        let (long, short) = (sha256.to_string(), md5.to_string());
        let base64 = long.strip_prefix("SHA256:").unwrap();
        let hex = short.strip_prefix("MD5:").unwrap();
        for text in [&long, base64, &format!("{base64}="), &format!(" sha256:{base64}\n")] {
            assert_eq!(Fingerprint::parse(text), Ok(sha256), "{text}");
        }
        for text in [&short, hex, &hex.to_uppercase(), &format!("md5:{hex}")] {
            assert_eq!(Fingerprint::parse(text), Ok(md5), "{text}");
        }
        assert!(sha256.is_of(&blob) && md5.is_of(&blob));
        assert!(!sha256.is_of(b"x") && !md5.is_of(b"x"));
    }

    #[test]
    fn what_is_no_fingerprint_is_told_apart_from_one_that_is_nowhere() {
        let sha1 = ["aa"; 20].join(":");
        for (text, part) in [
            ("", "no fingerprint"),
            ("SHA256:", "43 characters"),
            (&SHA256[..49], "43 characters"),
            (&format!("{SHA256}A"), "43 characters"),
            (&SHA256.replace('u', "?"), "43 characters"),
            ("MD5:aa:bb", "16 pairs"),
            ("aa:bb", "no fingerprint"),
            (&["aa"; 16].join(":").replacen("aa", "+a", 1), "no fingerprint"),
            (&sha1, "SHA-1"),
            (&["aa"; 32].join(":"), "base64"),
            ("SHA512:x", "no fingerprint"),
        ] {
            let error = Fingerprint::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Fingerprint::parse(SHA256).is_ok());
    }

    /// A key made by `ssh-keygen -t rsa -b 1024`; the digest is that of `openssl pkey -pubin -outform DER | md5sum`.
    #[test]
    fn the_form_of_ec2_for_imported_keys_is_understood() {
        let imported = decode_base64(IMPORTED.as_bytes()).unwrap();
        let shown = Fingerprint::parse(IMPORTED_MD5).unwrap();
        assert!(shown.is_of(&imported) && !shown.is_of(&blob()));
        assert_ne!(shown, Fingerprint::md5(&imported));
        for end in 0..imported.len() {
            assert!(!shown.is_of(&imported[..end]));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_what_is_printed_is_read(
            text in ".{0,80}", blob in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            _ = Fingerprint::parse(&text);
            for made in [Fingerprint::sha256(&blob), Fingerprint::md5(&blob)] {
                prop_assert_eq!(Fingerprint::parse(&made.to_string()), Ok(made));
            }
        }
    }
}
