//! Keys that are not OpenSSH public key lines: RFC 4716, PEM (RFC 7468) with SubjectPublicKeyInfo (RFC 5280) or
//! PKCS#1 (RFC 8017), and the public half of private keys: OpenSSH, PKCS#1, PKCS#8 (RFC 5958), SEC1 (RFC 5915), PPK
//! (PuTTY manual, appendix "PPK file format").
//!
//! Nothing here decrypts. A private key is used only if its public half is readable without a
//! passphrase;
//! the private part never leaves the functions of this module and never reaches a message. Not
//! handled: the
//! old encrypted PEM of OpenSSL, PKCS#8 keys of curves without the public point.

use super::public_key::decode_base64;
use pkcs8::der::Decode as _;
use pkcs8::der::asn1::ObjectIdentifier;
use pkcs8::{PrivateKeyInfo, SubjectPublicKeyInfoRef};

/// Bound on the blocks of one input.
const BLOCKS_MAX: usize = 256;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

/// Curves by object identifier, with the name that SSH uses and the size of an uncompressed point
/// in bytes.
const CURVES: [(ObjectIdentifier, &str, usize); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), "nistp256", 65),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "nistp384", 97),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "nistp521", 133),
];

const ENCRYPTED: &str = "this is a private key whose public half cannot be read without its passphrase; \
                         give the public key";
const DAMAGED: &str = "the key data are damaged or cut off";

/// A key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) blob: Vec<u8>,
    pub(super) comment: String,
    pub(super) is_private: bool,
}

/// True for an input that is not made of OpenSSH lines.
pub(super) fn is_foreign(content: &[u8]) -> bool {
    let mut lines = content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.any(|line| line.starts_with(b"-----BEGIN ") || line.starts_with(b"---- BEGIN "))
        || content.starts_with(b"PuTTY-User-Key-File-")
}

/// Reads all keys of such an input; the error is a phrase without any content of the input.
pub(super) fn parse(content: &[u8]) -> Result<Vec<Found>, String> {
    if content.starts_with(b"PuTTY-User-Key-File-") {
        return ppk(content).map(|found| vec![found]).ok_or_else(|| DAMAGED.to_owned());
    }
    let mut found = Vec::new();
    let mut lines = content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some((begin, end)) = markers(line) else { continue };
        let body: Vec<&[u8]> = lines.by_ref().take_while(|line| *line != end).collect();
        if found.len() >= BLOCKS_MAX {
            return Err("there are too many keys in it".to_owned());
        }
        let body = Body::parse(&body, begin == "SSH2 PUBLIC KEY").ok_or(DAMAGED)?;
        // OpenSSL puts the curve before an EC private key.
        if begin != "EC PARAMETERS" {
            found.push(block(&begin, &body)?);
        }
    }
    Ok(found)
}

/// The label of a BEGIN line and the END line that belongs to it.
fn markers(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let line = std::str::from_utf8(line).ok()?;
    for dashes in ["-----", "---- "] {
        let label = line.strip_prefix(dashes).and_then(|rest| rest.strip_prefix("BEGIN "));
        let closing = dashes.trim_end();
        if let Some(label) = label.and_then(|label| label.trim_end().strip_suffix(closing)) {
            let label = label.trim_end();
            let space = if dashes.ends_with(' ') { " " } else { "" };
            let end = format!("{dashes}END {label}{space}{closing}");
            return Some((label.to_owned(), end.into_bytes()));
        }
    }
    None
}

/// What stands between the two lines.
struct Body {
    bytes: Vec<u8>,
    comment: String,
    is_encrypted: bool,
}

impl Body {
    /// Separates headers (`Name: value`, continued by `\`) from base64.
    fn parse(lines: &[&[u8]], is_rfc4716: bool) -> Option<Self> {
        let mut base64 = Vec::new();
        let mut headers: Vec<Vec<u8>> = Vec::new();
        let mut continues = false;
        for line in lines {
            if continues {
                let header = headers.last_mut()?;
                header.pop();
                header.extend_from_slice(line);
            } else if line.contains(&b':') {
                headers.push(line.to_vec());
            } else {
                base64.extend_from_slice(line);
                continue;
            }
            continues = is_rfc4716 && line.ends_with(b"\\");
        }
        let text = |header: &Vec<u8>| String::from_utf8_lossy(header).into_owned();
        let headers: Vec<String> = headers.iter().map(text).collect();
        let comment = headers.iter().find_map(|header| {
            let (name, value) = header.split_once(':')?;
            let value = value.trim();
            let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            name.eq_ignore_ascii_case("comment").then(|| plain.unwrap_or(value).to_owned())
        });
        Some(Self {
            bytes: decode_base64(&base64)?,
            comment: comment.unwrap_or_default(),
            is_encrypted: headers.iter().any(|header| header.contains("ENCRYPTED")),
        })
    }
}

fn block(label: &str, body: &Body) -> Result<Found, String> {
    let public = |blob: Option<Vec<u8>>| (blob, false);
    let private = |blob: Option<Vec<u8>>| (blob, true);
    let bytes = body.bytes.as_slice();
    if body.is_encrypted {
        return Err(ENCRYPTED.to_owned());
    }
    let (blob, is_private) = match label {
        "SSH2 PUBLIC KEY" => public(Some(bytes.to_vec())),
        "PUBLIC KEY" => public(spki(bytes)?),
        "RSA PUBLIC KEY" => public(pkcs1_public(bytes)),
        "OPENSSH PRIVATE KEY" => private(openssh_private(bytes)),
        "RSA PRIVATE KEY" => private(pkcs1_private(bytes)),
        "PRIVATE KEY" => private(pkcs8_private(bytes)?),
        "EC PRIVATE KEY" => private(sec1_private(bytes, None)?),
        "ENCRYPTED PRIVATE KEY" => return Err(ENCRYPTED.to_owned()),
        "DSA PRIVATE KEY" | "DSA PUBLIC KEY" => return Err(DSA_REFUSED.to_owned()),
        "CERTIFICATE" => return Err("this is an X.509 certificate, not a public key".to_owned()),
        _ => return Err("this kind of PEM block is no key that sshd takes".to_owned()),
    };
    let blob = blob.ok_or(DAMAGED)?;
    Ok(Found { blob, comment: body.comment.clone(), is_private })
}

const DSA_REFUSED: &str = "DSA keys are refused by every current sshd";

/// Appends an SSH string (RFC 4251, section 5).
fn push(blob: &mut Vec<u8>, field: &[u8]) {
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(field);
}

/// Appends an SSH integer that is not negative, given without leading zeros.
fn push_integer(blob: &mut Vec<u8>, digits: &[u8]) {
    let mut field = Vec::new();
    if digits.first().is_some_and(|&byte| byte >= 0x80) {
        field.push(0);
    }
    field.extend_from_slice(digits);
    push(blob, &field);
}

fn rsa(exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    push(&mut blob, b"ssh-rsa");
    push_integer(&mut blob, exponent);
    push_integer(&mut blob, modulus);
    blob
}

fn ed25519(key: &[u8]) -> Option<Vec<u8>> {
    let mut blob = Vec::new();
    push(&mut blob, b"ssh-ed25519");
    push(&mut blob, key);
    (key.len() == 32).then_some(blob)
}

fn ecdsa(curve: ObjectIdentifier, point: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let known = CURVES.iter().find(|(known, _, _)| *known == curve);
    let Some((_, name, size)) = known else {
        return Err("this elliptic curve is not known to sshd".to_owned());
    };
    let mut blob = Vec::new();
    push(&mut blob, format!("ecdsa-sha2-{name}").as_bytes());
    push(&mut blob, name.as_bytes());
    push(&mut blob, point);
    Ok((point.len() == *size && point.first() == Some(&4)).then_some(blob))
}

fn pkcs1_public(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = pkcs1::RsaPublicKey::from_der(bytes).ok()?;
    Some(rsa(key.public_exponent.as_bytes(), key.modulus.as_bytes()))
}

fn pkcs1_private(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = pkcs1::RsaPrivateKey::from_der(bytes).ok()?;
    Some(rsa(key.public_exponent.as_bytes(), key.modulus.as_bytes()))
}

fn spki(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let info = SubjectPublicKeyInfoRef::from_der(bytes).map_err(|_| DAMAGED)?;
    let key = info.subject_public_key.as_bytes().ok_or(DAMAGED)?;
    match info.algorithm.oid {
        RSA => Ok(pkcs1_public(key)),
        ED25519 => Ok(ed25519(key)),
        EC => ecdsa(info.algorithm.parameters_oid().map_err(|_| DAMAGED)?, key),
        DSA => Err(DSA_REFUSED.to_owned()),
        _ => Err("this kind of key is not known to sshd".to_owned()),
    }
}

fn pkcs8_private(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let info = PrivateKeyInfo::from_der(bytes).map_err(|_| DAMAGED)?;
    match info.algorithm.oid {
        RSA => Ok(pkcs1_private(info.private_key)),
        // The key is an OCTET STRING with the 32 bytes of the seed (RFC 8410).
        ED25519 => Ok(match info.private_key {
            [4, 32, seed @ ..] => ed25519_of_seed(seed),
            _ => None,
        }),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| DAMAGED)?;
            sec1_private(info.private_key, Some(curve))
        }
        DSA => Err(DSA_REFUSED.to_owned()),
        _ => Err("this kind of key is not known to sshd".to_owned()),
    }
}

fn ed25519_of_seed(seed: &[u8]) -> Option<Vec<u8>> {
    let seed: [u8; 32] = seed.try_into().ok()?;
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    ed25519(&pair.public.0)
}

fn sec1_private(bytes: &[u8], curve: Option<ObjectIdentifier>) -> Result<Option<Vec<u8>>, String> {
    let key = sec1::EcPrivateKey::from_der(bytes).map_err(|_| DAMAGED)?;
    let named = key.parameters.and_then(sec1::EcParameters::named_curve);
    let curve = curve.or(named).ok_or("this elliptic curve is not known to sshd")?;
    match key.public_key {
        Some(point) => ecdsa(curve, point),
        None => Err("this private key does not hold its public half; give the public key".into()),
    }
}

/// The public half stands in clear text even if the key is encrypted (OpenSSH "PROTOCOL.key").
fn openssh_private(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let (_cipher, rest) = take_string(rest)?;
    let (_kdf, rest) = take_string(rest)?;
    let (_kdf_options, rest) = take_string(rest)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (public, _) = take_string(rest)?;
    (u32::from_be_bytes(*count) == 1).then(|| public.to_vec())
}

fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The public lines of a PPK file are never encrypted.
fn ppk(content: &[u8]) -> Option<Found> {
    let text = String::from_utf8_lossy(content);
    let mut comment = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(':')?;
        match name {
            "Comment" => value.trim().clone_into(&mut comment),
            "Public-Lines" => {
                let count = value.trim().parse::<usize>().ok().filter(|&count| count <= 1000)?;
                let base64: String = lines.by_ref().take(count).collect();
                let blob = decode_base64(base64.as_bytes())?;
                return Some(Found { blob, comment, is_private: true });
            }
            _ => {}
        }
    }
    None
}
