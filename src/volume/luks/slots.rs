//! The key slots in the JSON of version 2.

use super::contents::{number, value};
use super::defect::Defect;
use super::digest::Hash;
use super::json::{self, Document};
use super::kdf::Kdf;
use super::keyslot::{KeyDigest, Keyslot, Method, STRIPES_MAX, base64, key_length};
use crate::bytes::text::escape_limited;
use std::cmp::Reverse;

/// Bound on the key slots of a header, as the format has it.
const KEYSLOTS_MAX: usize = 32;

/// Tokens whose key slots people open: the others hold secrets that a chip, a server or a stick gives.
const PASSPHRASE_TOKENS: [&str; 2] = ["luks2-keyring", "systemd-recovery"];

/// The slots that hold a key of `digests`, in the order in which they are tried: those of tokens last, and of the
/// others the preferred ones first.
///
/// # Errors
/// [`Defect`].
pub(super) fn of(document: &Document, digests: &[KeyDigest]) -> Result<Vec<Keyslot>, Defect> {
    if document.keyslots.len() > KEYSLOTS_MAX {
        return Err(value("the list of key slots", "list of 32 at most"));
    }
    let mut keyslots = Vec::new();
    for (name, slot) in &document.keyslots {
        let number: u32 = name.parse().map_err(|_| value("the name of a key slot", "number"))?;
        if slot.kind == "luks2" && digests.iter().any(|digest| digest.covers(number)) {
            let token = token_of(document, name);
            // 2 is preferred, 0 is to be left alone unless nothing else opens.
            let priority = slot.priority.unwrap_or(1);
            keyslots.push((priority, Keyslot { number, token, method: method(number, slot)? }));
        }
    }
    keyslots
        .sort_by_key(|(priority, slot)| (slot.token.is_some(), Reverse(*priority), slot.number));
    Ok(keyslots.into_iter().map(|(_, slot)| slot).collect())
}

/// Where the areas of the key slots end, those included that are for something else.
///
/// # Errors
/// [`Defect`].
pub(super) fn areas_end(document: &Document) -> Result<u64, Defect> {
    let mut end = 0;
    for slot in document.keyslots.values() {
        let (Some(offset), Some(size)) = (&slot.area.offset, &slot.area.size) else { continue };
        let what = "the place of an area";
        let area_end = number(offset, what)?.checked_add(number(size, what)?);
        end = area_end.ok_or_else(|| value(what, "place on a disk"))?.max(end);
    }
    Ok(end)
}

fn token_of(document: &Document, keyslot: &str) -> Option<String> {
    let mut tokens = document.tokens.values();
    let token = tokens.find(|token| {
        let is_for_people = PASSPHRASE_TOKENS.contains(&token.kind.as_str());
        !is_for_people && token.keyslots.iter().any(|name| name == keyslot)
    })?;
    Some(escape_limited(token.kind.as_bytes(), 32))
}

/// How a slot is opened, or why regain cannot.
fn method(number: u32, slot: &json::Keyslot) -> Result<Result<Method, String>, Defect> {
    let incomplete =
        || value(format!("key slot {number}"), "slot with area, split and key derivation");
    let split = slot.af.as_ref().ok_or_else(incomplete)?;
    let kdf = slot.kdf.as_ref().ok_or_else(incomplete)?;
    if split.stripes == 0 || split.stripes > STRIPES_MAX {
        return Err(value(format!("key slot {number}"), "slot with 1 to 4000 stripes"));
    }
    let kdf = key_derivation(kdf).ok_or_else(incomplete)?;
    let area_key = slot.area.key_size.ok_or_else(incomplete)?;
    let offset = slot.area.offset.as_deref().ok_or_else(incomplete)?;
    let area_offset_bytes = self::number(offset, "the offset of an area")?;
    let size = slot.area.size.as_deref().ok_or_else(incomplete)?;
    let split_bytes = slot.key_size.saturating_mul(split.stripes.into());
    if self::number(size, "the size of an area")? < split_bytes {
        return Err(value(format!("key slot {number}"), "slot with room for its stripes"));
    }
    Ok(known(slot, split, kdf, area_key).map(|method| Method { area_offset_bytes, ..method }))
}

/// The method, if everything in it is known; its offset is not set.
fn known(
    slot: &json::Keyslot,
    split: &json::Split,
    kdf: Result<Kdf, String>,
    area_key: u64,
) -> Result<Method, String> {
    let encryption = slot.area.encryption.as_deref().unwrap_or_default();
    if slot.area.kind != "raw" || split.kind != "luks1" || encryption != "aes-xts-plain64" {
        let shown = escape_limited(encryption.as_bytes(), 64);
        return Err(format!("its area is encrypted with {shown}"));
    }
    let unknown_hash = |name| format!("its hash is {name}");
    let split_hash = Hash::named(split.hash.as_bytes()).map_err(unknown_hash)?;
    let kdf = kdf?;
    if let Some(excess) = kdf.excess() {
        return Err(excess);
    }
    Ok(Method {
        kdf,
        key_bytes: key_length(slot.key_size)?,
        area_key_bytes: key_length(area_key)?,
        area_offset_bytes: 0,
        stripes: split.stripes,
        split_hash,
    })
}

/// `None` if members are missing.
fn key_derivation(kdf: &json::Kdf) -> Option<Result<Kdf, String>> {
    let salt = base64(&kdf.salt)?;
    match kdf.kind.as_str() {
        "pbkdf2" => {
            let hash = match Hash::named(kdf.hash.as_deref()?.as_bytes()) {
                Ok(hash) => hash,
                Err(name) => return Some(Err(format!("its hash is {name}"))),
            };
            let iterations = kdf.iterations.filter(|count| *count > 0)?;
            Some(Ok(Kdf::Pbkdf2 { hash, iterations, salt }))
        }
        "argon2i" | "argon2id" => Some(Ok(Kdf::Argon2 {
            is_id: kdf.kind == "argon2id",
            passes: kdf.time.filter(|count| *count > 0)?,
            memory_kib: kdf.memory?,
            lanes: kdf.cpus.filter(|count| *count > 0)?,
            salt,
        })),
        other => {
            Some(Err(format!("its key derivation is {}", escape_limited(other.as_bytes(), 32))))
        }
    }
}
