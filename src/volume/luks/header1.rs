//! The header of version 1.
//!
//! LUKS1 On-Disk Format Specification 1.2.3, section 2.2. 592 bytes, **big-endian**; sectors have 512 bytes.
//!
//! | offset | size | spec                | valid when                                    |
//! |-------:|-----:|---------------------|-----------------------------------------------|
//! |      0 |    6 | magic               | `LUKS\xba\xbe`                                |
//! |      6 |    2 | version             | 1                                             |
//! |      8 |   32 | cipher-name         | text, ends with NUL; here: "aes"              |
//! |     40 |   32 | cipher-mode         | here: "xts-plain64"                           |
//! |     72 |   32 | hash-spec           | here: "sha1", "sha256", "sha512"              |
//! |    104 |    4 | payload-offset      | in sectors; 0: the header is detached         |
//! |    108 |    4 | key-bytes           | here: 32 or 64                                |
//! |    112 |   20 | mk-digest           | PBKDF2 of the volume key                      |
//! |    132 |   32 | mk-digest-salt      |                                               |
//! |    164 |    4 | mk-digest-iter      | at least 1                                    |
//! |    168 |   40 | uuid                | text, ends with NUL                           |
//! |    208 | 8 x 48 | key slots         |                                               |
//!
//! A key slot:
//!
//! | offset | size | spec                | valid when                                    |
//! |-------:|-----:|---------------------|-----------------------------------------------|
//! |      0 |    4 | active              | 0x00ac71f3: in use, 0x0000dead: not           |
//! |      4 |    4 | iterations          | at least 1                                    |
//! |      8 |   32 | salt                |                                               |
//! |     40 |    4 | key-material-offset | in sectors, before the payload                |
//! |     44 |    4 | stripes             | 4000                                          |

use super::defect::Defect;
use super::digest::Hash;
use super::kdf::Kdf;
use super::keyslot::{KeyDigest, Keyslot, Method, STRIPES_MAX, key_length};
use super::{Header, Segment, Unusable};
use crate::bytes::arith::{add, len_u64, mul, to};
use crate::bytes::field::{self, be_u32};
use crate::bytes::text::escape_limited;
use crate::disk::Disk;
use crate::error::{Corrupt, Result};

const HEADER_BYTES: usize = 592;

const SLOT_COUNT: u32 = 8;

const ACTIVE: u32 = 0x00ac_71f3;
const INACTIVE: u32 = 0x0000_dead;

/// Text up to its NUL.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn number(what: &'static str, value: u32) -> Corrupt {
    Corrupt::new("LUKS header", Defect::Number { what, value: value.into() }).at(0)
}

/// Reads the header; its magic and version have been seen.
///
/// # Errors
/// As [`Header::read`].
pub(super) fn read(disk: &dyn Disk) -> Result<Header> {
    let bytes = disk.read_vec(0, HEADER_BYTES)?;
    let hash = Hash::named(text(field::slice(&bytes, 72, 32)?));
    let segment = segment(&bytes)?;
    let key_bytes = to(be_u32(&bytes, 108)?)?;
    let mut keyslots = Vec::new();
    for number in 0..SLOT_COUNT {
        let at = add(208, mul(number.into(), 48)?)?;
        if let Some(method) = slot(field::slice(&bytes, to(at)?, 48)?, key_bytes, &hash)? {
            keyslots.push(Keyslot { number, token: None, method });
        }
    }
    if let Ok(segment) = &segment {
        check_place(segment, &keyslots)?;
    }
    let digests = match &hash {
        Ok(hash) => vec![digest(&bytes, *hash)?],
        Err(_) => Vec::new(),
    };
    Ok(Header {
        version: 1,
        uuid: text(field::slice(&bytes, 168, 40)?).to_vec(),
        label: Vec::new(),
        warnings: Vec::new(),
        keyslots,
        digests,
        segment,
    })
}

fn segment(bytes: &[u8]) -> Result<std::result::Result<Segment, Unusable>> {
    let [cipher, mode] = [8, 40].map(|at| field::slice(bytes, at, 32).map(text));
    let (cipher, mode) = (cipher?, mode?);
    let (payload_sectors, key_bytes) = (be_u32(bytes, 104)?, be_u32(bytes, 108)?);
    if cipher != b"aes" || mode != b"xts-plain64" {
        let (cipher, mode) = (escape_limited(cipher, 32), escape_limited(mode, 32));
        return Ok(Err(Unusable::layout(format!("its cipher is {cipher}-{mode}"))));
    }
    let key_bytes = match key_length(key_bytes.into()) {
        Ok(key_bytes) => key_bytes,
        Err(reason) => return Ok(Err(Unusable::layout(reason))),
    };
    if payload_sectors == 0 {
        return Ok(Err(Unusable::layout("its header is detached: the data are on another device")));
    }
    Ok(Ok(Segment {
        offset_bytes: mul(payload_sectors.into(), 512)?,
        size_bytes: None,
        sector_bytes: 512,
        iv_tweak: 0,
        key_bytes,
    }))
}

/// Refuses a payload that reaches into the header or into the key material: to edit it would lose the key.
fn check_place(segment: &Segment, keyslots: &[Keyslot]) -> Result<()> {
    let mut taken_bytes = len_u64(HEADER_BYTES);
    for method in keyslots.iter().filter_map(|slot| slot.method.as_ref().ok()) {
        let split_bytes = mul(len_u64(method.key_bytes), method.stripes.into())?;
        taken_bytes = taken_bytes.max(add(method.area_offset_bytes, split_bytes)?);
    }
    if segment.offset_bytes < taken_bytes {
        let (what, value) =
            ("the start of the payload, inside the key slots,", segment.offset_bytes);
        return Err(Corrupt::new("LUKS header", Defect::Number { what, value }).at(104).into());
    }
    Ok(())
}

fn digest(bytes: &[u8], hash: Hash) -> Result<KeyDigest> {
    let iterations = be_u32(bytes, 164)?;
    if iterations == 0 || iterations > KeyDigest::ITERATIONS_MAX {
        return Err(number("the number of iterations of its digest", iterations).into());
    }
    Ok(KeyDigest {
        keyslots: None,
        hash,
        iterations,
        salt: field::slice(bytes, 132, 32)?.to_vec(),
        digest: field::slice(bytes, 112, 20)?.to_vec(),
    })
}

/// How the slot is opened; `None` if it is not in use.
fn slot(
    bytes: &[u8],
    key_bytes: usize,
    hash: &std::result::Result<Hash, String>,
) -> Result<Option<std::result::Result<Method, String>>> {
    match be_u32(bytes, 0)? {
        ACTIVE => {}
        INACTIVE => return Ok(None),
        other => return Err(number("the state of a key slot", other).into()),
    }
    let hash = match hash {
        Ok(hash) => *hash,
        Err(name) => return Ok(Some(Err(format!("its hash is {name}")))),
    };
    let (iterations, stripes) = (be_u32(bytes, 4)?, be_u32(bytes, 44)?);
    if iterations == 0 {
        return Err(number("the number of iterations of a key slot", iterations).into());
    }
    if stripes == 0 || stripes > STRIPES_MAX {
        return Err(number("the number of stripes of a key slot", stripes).into());
    }
    let kdf = Kdf::Pbkdf2 { hash, iterations, salt: field::slice(bytes, 8, 32)?.to_vec() };
    if let Some(excess) = kdf.excess() {
        return Ok(Some(Err(excess)));
    }
    Ok(Some(Ok(Method {
        kdf,
        key_bytes,
        area_key_bytes: key_bytes,
        area_offset_bytes: mul(be_u32(bytes, 40)?.into(), 512)?,
        stripes,
        split_hash: hash,
    })))
}
