//! What the JSON of version 2 means: the encrypted segment, and the digests of its key.

use super::defect::Defect;
use super::digest::Hash;
use super::json::{self, Document};
use super::keyslot::{KeyDigest, Keyslot, base64, key_length};
use super::slots;
use super::{Segment, Unusable};
use crate::bytes::text::escape_limited;

/// What a header says.
#[derive(Debug)]
pub(super) struct Contents {
    /// In the order in which they are tried.
    pub(super) keyslots: Vec<Keyslot>,
    pub(super) digests: Vec<KeyDigest>,
    pub(super) segment: Result<Segment, Unusable>,
}

/// Bound on the digests of a header; cryptsetup makes 8 at most. Each costs as much as a key slot.
const DIGESTS_MAX: usize = 8;

/// The only segment of a volume that is not being reencrypted.
const SEGMENT: &str = "0";

/// Takes what the text says; the two copies of the header end at `headers_end_bytes`.
///
/// # Errors
/// [`Defect`].
pub(super) fn parse(text: &[u8], headers_end_bytes: u64) -> Result<Contents, Defect> {
    let document = json::parse(text)?;
    if document.digests.len() > DIGESTS_MAX {
        return Err(value("the list of digests", "list of 8 at most"));
    }
    let segment = segment(&document)?;
    if let Ok(segment) = &segment {
        let taken_bytes = slots::areas_end(&document)?.max(headers_end_bytes);
        if segment.offset_bytes < taken_bytes || !segment.offset_bytes.is_multiple_of(512) {
            return Err(value("the offset of segment 0", "place behind the headers and key slots"));
        }
    }
    let mut digests = Vec::new();
    for (name, digest) in &document.digests {
        // The others speak of keys of segments that are backups, or of none.
        if digest.segments.iter().any(|segment| segment == SEGMENT) {
            digests.extend(key_digest(name, digest)?);
        }
    }
    let keyslots = slots::of(&document, &digests)?;
    Ok(Contents { keyslots, digests, segment })
}

pub(super) fn value(what: impl Into<String>, wanted: &'static str) -> Defect {
    Defect::Value { what: what.into(), wanted }
}

/// A number of 64 bits, which is a string in JSON.
pub(super) fn number(text: &str, what: &'static str) -> Result<u64, Defect> {
    text.parse().map_err(|_| value(what, "number"))
}

fn segment(document: &Document) -> Result<Result<Segment, Unusable>, Defect> {
    let requirements = document.config.requirements.iter();
    let mut mandatory = requirements.flat_map(|requirements| &requirements.mandatory);
    if let Some(requirement) = mandatory.next() {
        let shown = escape_limited(requirement.as_bytes(), 64);
        let unusable = if requirement.contains("reencrypt") {
            Unusable::unfinished(format!("its reencryption is not finished ({shown})"))
        } else {
            Unusable::layout(format!("it requires {shown}"))
        };
        return Ok(Err(unusable));
    }
    let Some(first) = document.segments.get(SEGMENT) else {
        return Err(value("the list of segments", "list with a segment 0"));
    };
    if document.segments.len() != 1 || !first.flags.is_empty() {
        let reason = "it has more than one segment, as during a reencryption";
        return Ok(Err(Unusable::unfinished(reason)));
    }
    one_segment(first, document)
}

fn one_segment(
    segment: &json::Segment,
    document: &Document,
) -> Result<Result<Segment, Unusable>, Defect> {
    let layout = |reason: String| Ok(Err(Unusable::layout(reason)));
    let kind = escape_limited(segment.kind.as_bytes(), 32);
    if kind != "crypt" {
        return layout(format!("its segment is of type {kind}"));
    }
    if segment.integrity.is_some() {
        return layout("it has integrity tags (dm-integrity)".to_owned());
    }
    let encryption = segment.encryption.as_deref().unwrap_or_default();
    if encryption != "aes-xts-plain64" {
        return layout(format!("its cipher is {}", escape_limited(encryption.as_bytes(), 64)));
    }
    let sector_bytes = segment.sector_size.unwrap_or(512);
    if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
        return Err(value("the sector size of segment 0", "size from 512 to 4096"));
    }
    let offset_bytes = number(&segment.offset, "the offset of segment 0")?;
    if offset_bytes == 0 {
        return layout("its header is detached: the data are on another device".to_owned());
    }
    let size_bytes = match segment.size.as_str() {
        "dynamic" => None,
        fixed => Some(number(fixed, "the size of segment 0")?),
    };
    let iv_tweak = number(segment.iv_tweak.as_deref().unwrap_or("0"), "the vector of segment 0")?;
    match key_length(key_size(document)) {
        Ok(key_bytes) => {
            Ok(Ok(Segment { offset_bytes, size_bytes, sector_bytes, iv_tweak, key_bytes }))
        }
        Err(reason) => layout(reason),
    }
}

/// The length of the volume key: that of the slots which a digest of the segment names. 64 where no slot is left.
fn key_size(document: &Document) -> u64 {
    let of_segment = document.digests.values();
    let of_segment = of_segment.filter(|digest| digest.segments.iter().any(|name| name == SEGMENT));
    let mut slots = of_segment.flat_map(|digest| &digest.keyslots);
    slots.find_map(|name| document.keyslots.get(name)).map_or(64, |slot| slot.key_size)
}

/// `None` if it is of a kind or hash that is not known.
fn key_digest(name: &str, digest: &json::Digest) -> Result<Option<KeyDigest>, Defect> {
    let what = || format!("digest {}", escape_limited(name.as_bytes(), 16));
    let hash = Hash::named(digest.hash.as_deref().unwrap_or_default().as_bytes());
    let (Ok(hash), "pbkdf2") = (hash, digest.kind.as_str()) else {
        return Ok(None);
    };
    let iterations = digest.iterations.unwrap_or_default();
    if iterations == 0 || iterations > KeyDigest::ITERATIONS_MAX {
        return Err(value(what(), "digest with 1 to 10000000 iterations"));
    }
    let expected =
        base64(&digest.value).filter(|digest| KeyDigest::LEN_BYTES.contains(&digest.len()));
    let keyslots: Option<Vec<u32>> = digest.keyslots.iter().map(|slot| slot.parse().ok()).collect();
    Ok(Some(KeyDigest {
        keyslots: Some(keyslots.ok_or_else(|| value(what(), "list of slots"))?),
        hash,
        iterations,
        salt: base64(&digest.salt).ok_or_else(|| value(what(), "digest with a salt"))?,
        digest: expected.ok_or_else(|| value(what(), "digest of 16 to 64 bytes"))?,
    }))
}
