//! The binary header of version 2: two copies, each with its JSON.
//!
//! LUKS2 On-Disk Format Specification 1.1, section 2.1. 4096 bytes, **big-endian**; the JSON follows up to the size of
//! the copy, and ends with its first NUL.
//!
//! | offset | size | spec         | valid when                                                 |
//! |-------:|-----:|--------------|------------------------------------------------------------|
//! |      0 |    6 | magic        | `LUKS\xba\xbe`, in the second copy `SKUL\xba\xbe`          |
//! |      6 |    2 | version      | 2                                                          |
//! |      8 |    8 | hdr_size     | in bytes, with the JSON: 16 KiB times a power of 2, to 4 MiB |
//! |     16 |    8 | seqid        | counts the changes; the higher one counts                  |
//! |     24 |   48 | label        | text, ends with NUL                                        |
//! |     72 |   32 | csum_alg     | "sha256"; here also "sha1", "sha512"                       |
//! |    104 |   64 | salt         | (ignored)                                                  |
//! |    168 |   40 | uuid         | text, ends with NUL                                        |
//! |    208 |   48 | subsystem    | (ignored)                                                  |
//! |    256 |    8 | hdr_offset   | where this copy is: 0, or the size of the first            |
//! |    448 |   64 | csum         | hash of the whole copy with zeros here                     |
//!
//! The second copy is looked for without the first only if that is overwritten with zeros: behind another content it
//! would be a leftover.

use super::Header;
use super::contents;
use super::defect::Defect;
use super::digest::Hash;
use super::header1::text;
use crate::bytes::arith::{len_u64, to};
use crate::bytes::checksum;
use crate::bytes::field::{self, be_u64};
use crate::bytes::text::escape_limited;
use crate::disk::Disk;
use crate::error::{Corrupt, Error, ErrorKind, Result};

const BINARY_BYTES: usize = 4096;

/// Sizes that a copy may have, which are also where the second one may be.
const SIZES: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

const FIRST: &[u8] = b"LUKS\xba\xbe\0\x02";
const SECOND: &[u8] = b"SKUL\xba\xbe\0\x02";

/// Reads the copies, and takes the newer one that is whole.
///
/// # Errors
/// As [`Header::read`].
pub(super) fn read(disk: &dyn Disk) -> Result<Header> {
    let first = copy_at(disk, 0, FIRST)?;
    let second = match &first {
        Some(Ok(copy)) => copy_at(disk, copy.size_bytes, SECOND)?,
        None if !starts_with_zeros(disk)? => return Err(Error::not_found("no LUKS header")),
        Some(Err(_)) | None => find_second(disk)?,
    };
    let (newest, damage) = match (first, second) {
        (None, None) => return Err(Error::not_found("no LUKS header")),
        (Some(Err(damage)), None | Some(Err(_))) | (None, Some(Err(damage))) => {
            return Err(damage.into());
        }
        (Some(Ok(first)), Some(Ok(second))) => {
            let differ = "the copies of the header are of different changes";
            let warning = (second.seqid != first.seqid).then(|| differ.to_owned());
            (if second.seqid > first.seqid { second } else { first }, warning)
        }
        (Some(Ok(copy)), other) | (other, Some(Ok(copy))) => {
            let damage = other.and_then(std::result::Result::err);
            let missing = || "a copy of the header is missing".to_owned();
            (copy, Some(damage.map_or_else(missing, |damage| damage.to_string())))
        }
    };
    let contents = contents::parse(&newest.json, newest.size_bytes.saturating_mul(2));
    let contents = contents.map_err(|defect| damaged(newest.offset_bytes, defect))?;
    Ok(Header {
        version: 2,
        uuid: newest.uuid,
        label: newest.label,
        warnings: damage.into_iter().collect(),
        keyslots: contents.keyslots,
        digests: contents.digests,
        segment: contents.segment,
    })
}

/// A copy whose checksum is right.
struct Copy {
    offset_bytes: u64,
    size_bytes: u64,
    seqid: u64,
    label: Vec<u8>,
    uuid: Vec<u8>,
    json: Vec<u8>,
}

fn damaged(offset_bytes: u64, defect: Defect) -> Corrupt {
    Corrupt::new("LUKS2 header", defect).at(offset_bytes)
}

fn starts_with_zeros(disk: &dyn Disk) -> Result<bool> {
    let start = read_if_there(disk, 0, BINARY_BYTES)?;
    Ok(start.is_some_and(|start| start.iter().all(|byte| *byte == 0)))
}

/// The second copy, wherever it may be if the first does not tell.
fn find_second(disk: &dyn Disk) -> Result<Option<std::result::Result<Copy, Corrupt>>> {
    let mut damage = None;
    for offset in SIZES {
        match copy_at(disk, offset, SECOND)? {
            Some(Ok(copy)) => return Ok(Some(Ok(copy))),
            Some(Err(corrupt)) => damage = Some(Err(corrupt)),
            None => {}
        }
    }
    Ok(damage)
}

/// The copy at `offset_bytes`, `None` if there is no `magic`.
///
/// # Errors
/// `Io`.
fn copy_at(
    disk: &dyn Disk,
    offset_bytes: u64,
    magic: &[u8],
) -> Result<Option<std::result::Result<Copy, Corrupt>>> {
    let Some(binary) = read_if_there(disk, offset_bytes, BINARY_BYTES)? else {
        return Ok(None);
    };
    if !binary.starts_with(magic) {
        return Ok(None);
    }
    let size_bytes = be_u64(&binary, 8)?;
    if !SIZES.contains(&size_bytes) {
        return Ok(Some(Err(damaged(offset_bytes, Defect::Size(size_bytes)))));
    }
    let Some(mut whole) = read_if_there(disk, offset_bytes, to(size_bytes)?)? else {
        return Ok(Some(Err(damaged(offset_bytes, Defect::Size(size_bytes)))));
    };
    if let Err(defect) = check(&mut whole, offset_bytes) {
        return Ok(Some(Err(damaged(offset_bytes, defect))));
    }
    Ok(Some(Ok(Copy {
        offset_bytes,
        size_bytes,
        seqid: be_u64(&binary, 16)?,
        label: text(field::slice(&binary, 24, 48)?).to_vec(),
        uuid: text(field::slice(&binary, 168, 40)?).to_vec(),
        json: text(whole.get(BINARY_BYTES..).unwrap_or_default()).to_vec(),
    })))
}

fn read_if_there(disk: &dyn Disk, offset_bytes: u64, len: usize) -> Result<Option<Vec<u8>>> {
    let end = offset_bytes.saturating_add(len_u64(len));
    if end > disk.len_bytes() {
        return Ok(None);
    }
    match disk.read_vec(offset_bytes, len) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks place and checksum; the checksum field is zero afterwards.
fn check(whole: &mut [u8], offset_bytes: u64) -> std::result::Result<(), Defect> {
    let short = |_| Defect::Size(len_u64(BINARY_BYTES));
    let said = be_u64(whole, 256).map_err(short)?;
    if said != offset_bytes {
        return Err(Defect::Elsewhere { said });
    }
    let name = text(field::slice(whole, 72, 32).map_err(short)?);
    let hash = Hash::named(name).map_err(|_| Defect::ChecksumKind(escape_limited(name, 32)))?;
    let stored: [u8; 64] = field::array(whole, 448).map_err(short)?;
    field::put(whole, 448, &[0; 64]).map_err(short)?;
    let computed = hash.of(&[whole]);
    if checksum::agrees(stored.get(..computed.len()), Some(computed.as_slice())) {
        Ok(())
    } else {
        Err(Defect::Checksum)
    }
}
