//! Public keys: the wire form, its type and size, fingerprints (RFC 4253 section 6.6, RFC 5656, RFC
//! 8709,
//! OpenSSH "PROTOCOL.u2f").
//!
//! Every key that a caller gives passes [`PublicKey::new`], which lets `ssh-key` decode it completely (LOGIN-119)
//! and refuses what sshd would not take (LOGIN-81). Keys that are on the volume only go through [`Shape::of`],
//! which must cope with anything.

use super::fingerprint::Fingerprint;
use crate::bytes::text::escape_limited;
use base64ct::{Base64, Encoding as _};

/// RSA keys below this many bits are refused by every sshd (LOGIN-76).
pub const RSA_BITS_MIN: u32 = 1024;
/// RSA keys below this many bits are refused by current crypto policies (LOGIN-76).
pub const RSA_BITS_RECOMMENDED: u32 = 2048;
/// Bound on a comment that is written, in bytes.
const COMMENT_BYTES_MAX: usize = 1024;
/// Bound on one key blob, in bytes: RSA with 16384 bits needs about 2 kB.
pub const BLOB_BYTES_MAX: usize = 16 * 1024;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDefect {
    /// No sshd takes DSA any more.
    #[error("DSA keys are refused by every current sshd")]
    Dsa,
    /// RSA below the minimum.
    #[error("RSA with {bits} bits is refused by sshd; at least {RSA_BITS_MIN} are needed")]
    RsaTooSmall {
        /// Size of the modulus.
        bits: u32,
    },
    /// A certificate, not a key.
    #[error("this is a certificate; give the plain public key")]
    Certificate,
    /// A type that we do not know.
    #[error("the key type {name} is unknown")]
    UnknownType {
        /// Its name, escaped.
        name: String,
    },
    /// The type word and the type inside differ.
    #[error("the line says {word}, the key inside is {inside}")]
    TypeMismatch {
        /// The word of the line, escaped.
        word: String,
        /// The type in the blob.
        inside: String,
    },
    /// The blob does not decode.
    #[error("the key data are damaged or cut off")]
    Damaged,
    /// A comment that cannot be written into one line.
    #[error("the comment is longer than {COMMENT_BYTES_MAX} bytes or has control characters")]
    BadComment,
}

/// What the wire form says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Type name, one of [`KEY_TYPES`].
    pub key_type: &'static str,
    /// Size in bits as `ssh-keygen -l` shows it; `None` where we cannot tell.
    pub bits: Option<u32>,
}

/// Key types that a current sshd knows in an authorized_keys file (LOGIN-77), certificates included
/// because a
/// `cert-authority` line or a mistake may hold one.
pub const KEY_TYPES: [&str; 16] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    MLDSA,
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
];

const MLDSA: &str = "ssh-mldsa44-ed25519@openssh.com";

/// The known key type called `word`.
pub fn known_type(word: &[u8]) -> Option<&'static str> {
    KEY_TYPES.into_iter().find(|known| known.as_bytes() == word)
}

impl Shape {
    /// Looks into a blob; `None` if it is no key of a known type.
    pub fn of(blob: &[u8]) -> Option<Self> {
        let mut fields = Fields(blob);
        let key_type = known_type(fields.next()?)?;
        let bits = match key_type {
            "ssh-rsa" => {
                fields.next()?;
                Some(integer_bits(fields.next()?))
            }
            "ssh-dss" => Some(integer_bits(fields.next()?)),
            "ssh-ed25519" | "sk-ssh-ed25519@openssh.com" => {
                (fields.next()?.len() == 32).then_some(Some(256))?
            }
            "ecdsa-sha2-nistp256" | "sk-ecdsa-sha2-nistp256@openssh.com" => Some(256),
            "ecdsa-sha2-nistp384" => Some(384),
            "ecdsa-sha2-nistp521" => Some(521),
            _ => None,
        };
        Some(Self { key_type, bits })
    }
}

/// The length-prefixed fields of a blob (RFC 4251, section 5, "string").
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let field = rest.get(..length)?;
        self.0 = rest.get(length..)?;
        Some(field)
    }
}

/// Bits of a big-endian integer without its leading zeros.
fn integer_bits(bytes: &[u8]) -> u32 {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let top = digits.first().map_or(0, |byte| byte.leading_zeros());
    u32::try_from(digits.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(top)
}

/// The fingerprint of a blob as `ssh-keygen -l` shows it.
pub fn fingerprint(blob: &[u8]) -> String {
    Fingerprint::sha256(blob).to_string()
}

/// Decodes base64 as sshd does, which skips white space; `None` if it is none.
pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Base64::decode_vec(std::str::from_utf8(&text).ok()?).ok()
}

/// A public key that may be written into an authorized_keys file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    shape: Shape,
    blob: Vec<u8>,
    comment: String,
}

impl PublicKey {
    /// Checks a key that a caller gave.
    ///
    /// # Errors
    /// The defect that makes it useless.
    pub fn new(blob: Vec<u8>, comment: &str) -> Result<Self, KeyDefect> {
        let mut fields = Fields(&blob);
        let name = fields.next().ok_or(KeyDefect::Damaged)?;
        let unknown = || KeyDefect::UnknownType { name: escape_limited(name, 64) };
        let key_type = known_type(name).ok_or_else(unknown)?;
        if key_type.contains("-cert-v01@") {
            return Err(KeyDefect::Certificate);
        }
        if key_type == "ssh-dss" {
            return Err(KeyDefect::Dsa);
        }
        let shape = Shape::of(&blob).ok_or(KeyDefect::Damaged)?;
        if let ("ssh-rsa", Some(bits)) = (key_type, shape.bits)
            && bits < RSA_BITS_MIN
        {
            return Err(KeyDefect::RsaTooSmall { bits });
        }
        // `ssh-key` does not know the newest type; its fields must still end where the blob ends.
        let is_whole = if key_type == MLDSA {
            let mut count = 0u32;
            while fields.next().is_some() {
                count = count.saturating_add(1);
            }
            fields.0.is_empty() && count > 0
        } else {
            ssh_key::PublicKey::from_bytes(&blob).is_ok_and(|key| key.key_data().other().is_none())
        };
        let comment = comment.trim();
        if !is_whole || blob.len() > BLOB_BYTES_MAX {
            return Err(KeyDefect::Damaged);
        }
        if comment.len() > COMMENT_BYTES_MAX || comment.chars().any(char::is_control) {
            return Err(KeyDefect::BadComment);
        }
        Ok(Self { shape, blob, comment: comment.to_owned() })
    }

    /// Type name, as in `ssh-ed25519`.
    pub fn key_type(&self) -> &'static str {
        self.shape.key_type
    }

    /// Size in bits, where it is known.
    pub fn bits(&self) -> Option<u32> {
        self.shape.bits
    }

    /// Wire form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Comment; printable, possibly empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// For messages: fingerprint, and the comment if there is one.
    pub fn display_name(&self) -> String {
        let comment = if self.comment.is_empty() { "no comment" } else { &self.comment };
        format!("{} {} ({comment})", self.key_type(), self.fingerprint())
    }

    /// The line for an authorized_keys file (LOGIN-120), with its LF.
    pub fn to_line(&self, options: Option<&str>) -> Vec<u8> {
        let options = options.map(|options| format!("{options} ")).unwrap_or_default();
        let base64 = Base64::encode_string(&self.blob);
        let comment = if self.comment.is_empty() { "" } else { " " };
        let key_type = self.key_type();
        format!("{options}{key_type} {base64}{comment}{}\n", self.comment).into_bytes()
    }
}
