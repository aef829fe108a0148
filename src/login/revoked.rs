//! RevokedKeys: lists of keys, and key revocation lists (LOGIN-28; OpenSSH, "PROTOCOL.krl").
//!
//! A list that cannot be read or is broken refuses every key. Bounds: [`FILE_BYTES_MAX`]. Certificates are not
//! looked at, but what is said about them must be well formed.

use super::PublicKey;
use super::daemon::Release;
use super::finding::Finding;
use super::match_block::Effective;
use super::public_key::{RSA_BITS_MIN, Shape, decode_base64};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bound on one file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// First bytes of a key revocation list.
const MAGIC: &[u8] = b"SSHKRL\n\0";
const VERSION: u32 = 1;
/// Sections of a list, and of its part about certificates.
const CERTIFICATES: u8 = 1;
const EXPLICIT_KEYS: u8 = 2;
const SHA1_HASHES: u8 = 3;
const SIGNATURE: u8 = 4;
const SHA256_HASHES: u8 = 5;
const EXTENSION: u8 = 255;
const CERTIFICATE_SECTIONS: std::ops::RangeInclusive<u8> = 0x20..=0x23;
const CERTIFICATE_EXTENSION: u8 = 0x39;

/// What a list says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    No,
    Yes,
    /// Releases differ about the list.
    Unsure(&'static str),
}

/// Why a list refuses every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken(&'static str);

/// Looks a key up in every list that counts.
pub(super) fn findings(
    fs: &dyn FileSystem,
    effective: &Effective<'_>,
    key: &PublicKey,
) -> Vec<Finding> {
    let Some(directive) = effective.first("revokedkeys") else { return Vec::new() };
    let id = ("revoked", "LOGIN-28");
    let mut findings = Vec::new();
    for given in &directive.arguments {
        if given.eq_ignore_ascii_case(b"none") {
            continue;
        }
        let path = match given.strip_prefix(b"~/") {
            // sshd expands it for itself.
            Some(below) => GuestPath::new("/root").join(below),
            None => GuestPath::root().join(given),
        };
        let all = |reason: &str| {
            let message = format!("RevokedKeys {path}: {reason}: sshd refuses every key");
            Finding::block(id, &directive.place, message).fixed_by("repair the list or the line")
        };
        let content = match read_file(fs, &path, FILE_BYTES_MAX) {
            Ok(Some(content)) => content,
            Ok(None) => {
                findings.push(all("it does not exist"));
                continue;
            }
            Err(error) if error.kind_name() == "limit" => {
                let message = format!("RevokedKeys {path} is too large to be looked at");
                findings.push(Finding::undecided(id, &directive.place, message));
                continue;
            }
            Err(error) => {
                findings.push(all(&error.kind().to_string()));
                continue;
            }
        };
        findings.extend(match lookup(&content, key.blob(), effective.release()) {
            Ok(Listed::No) => None,
            Ok(Listed::Yes) => {
                let message = format!("RevokedKeys {path} lists the key: sshd refuses it");
                Some(Finding::block(id, &directive.place, message))
            }
            Ok(Listed::Unsure(reason)) => {
                let message = format!("RevokedKeys {path}: {reason}");
                Some(Finding::undecided(id, &directive.place, message))
            }
            Err(Broken(reason)) => Some(all(reason)),
        });
    }
    findings
}

fn lookup(content: &[u8], blob: &[u8], release: Release) -> Result<Listed, Broken> {
    match content.strip_prefix(MAGIC) {
        Some(body) => in_revocation_list(body, blob, release),
        None => in_flat_list(content, blob),
    }
}

/// One key on each line; comments and empty lines are skipped, anything else is an error from which sshd does
/// not go on.
fn in_flat_list(content: &[u8], blob: &[u8]) -> Result<Listed, Broken> {
    let count = content.split(|&byte| byte == b'\n').count();
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let is_behind_the_end = index.saturating_add(1) == count && line.is_empty();
        let text = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let start =
            text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
        let text = text.get(start..).unwrap_or_default();
        if is_behind_the_end || text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let mut words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|w| !w.is_empty());
        let (word, base64) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let listed = decode_base64(base64).ok_or(Broken("a line is no key"))?;
        let shape = Shape::of(&listed).ok_or(Broken("a line is no key"))?;
        if shape.key_type.as_bytes() != word {
            return Err(Broken("a line says another type than its key"));
        }
        let is_short = shape.key_type == "ssh-rsa" && shape.bits < Some(RSA_BITS_MIN);
        if !is_short && listed == blob {
            return Ok(Listed::Yes);
        }
    }
    Ok(Listed::No)
}

/// Integers and strings of the SSH wire form.
struct Reader<'a>(&'a [u8]);

const SHORT: Broken = Broken("the list is cut off");

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn string(&mut self) -> Result<&'a [u8], Broken> {
        let len = usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| SHORT)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }
}

/// A binary list, behind its magic.
fn in_revocation_list(body: &[u8], blob: &[u8], release: Release) -> Result<Listed, Broken> {
    let mut reader = Reader(body);
    if u32::from_be_bytes(reader.array()?) != VERSION {
        return Err(Broken("the list has another version"));
    }
    // Version of the list, date, flags.
    reader.array::<24>()?;
    reader.string()?;
    reader.string()?;
    let sha1 = Sha1::digest(blob);
    let sha256 = Sha256::digest(blob);
    let mut is_listed = false;
    let mut unsure = None;
    while !reader.0.is_empty() {
        let section = reader.byte()?;
        let mut data = Reader(reader.string()?);
        match section {
            CERTIFICATES => certificates(&mut data, release)?,
            EXPLICIT_KEYS => is_listed |= has(&mut data, blob, None)?,
            SHA1_HASHES => is_listed |= has(&mut data, &sha1, Some(20))?,
            SHA256_HASHES if release.is_likely(7, 9) => {
                is_listed |= has(&mut data, &sha256, Some(32))?;
            }
            // Up to 9.3 only callers with keys to verify with looked at signatures.
            SIGNATURE if release.is_likely(9, 4) => {
                return Err(Broken("the list is signed, which sshd does not take"));
            }
            SIGNATURE => {
                unsure = Some("the list is signed, which is not looked at here");
                break;
            }
            EXTENSION if release.is_likely(9, 4) => extension(&mut data)?,
            _ => return Err(Broken("the list has a section that sshd does not know")),
        }
    }
    Ok(match unsure {
        _ if is_listed => Listed::Yes,
        Some(reason) => Listed::Unsure(reason),
        None => Listed::No,
    })
}

/// True if a string of a section is `wanted`; `len` is what each must have.
fn has(data: &mut Reader<'_>, wanted: &[u8], len: Option<usize>) -> Result<bool, Broken> {
    let mut is_there = false;
    while !data.0.is_empty() {
        let entry = data.string()?;
        if len.is_some_and(|len| entry.len() != len) {
            return Err(Broken("the list has a hash of a wrong length"));
        }
        is_there |= entry == wanted;
    }
    Ok(is_there)
}

/// What is said about certificates must be well formed as a whole.
fn certificates(data: &mut Reader<'_>, release: Release) -> Result<(), Broken> {
    data.string()?;
    data.string()?;
    while !data.0.is_empty() {
        let section = data.byte()?;
        let mut inner = Reader(data.string()?);
        match section {
            CERTIFICATE_EXTENSION if release.is_likely(9, 4) => extension(&mut inner)?,
            0x20 if inner.0.len() % 8 != 0 => return Err(SHORT),
            0x21 if inner.0.len() != 16 => return Err(SHORT),
            0x23 => drop(has(&mut inner, b"", None)?),
            section if CERTIFICATE_SECTIONS.contains(&section) => {}
            _ => return Err(Broken("the list has a section that sshd does not know")),
        }
    }
    Ok(())
}

/// An extension that matters is one that sshd does not know.
fn extension(data: &mut Reader<'_>) -> Result<(), Broken> {
    data.string()?;
    let is_critical = data.byte()? != 0;
    data.string()?;
    if is_critical {
        return Err(Broken("the list needs an extension that sshd does not know"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
