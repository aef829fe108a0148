//! The patch file of a directory: version 2 of the format of [`patch::format`](crate::patch::format).
//!
//! Magic, version, file length and digest are where they are in every version. Everything is little-endian and nothing is
//! padded.
//!
//! | offset | size | field              | valid when                                    |
//! |-------:|-----:|--------------------|-----------------------------------------------|
//! |      0 |    8 | magic              | equals [`MAGIC`]                              |
//! |      8 |    4 | format version     | 2                                             |
//! |     12 |    8 | file length, bytes | that of the file, at most [`PATCH_BYTES_MAX`] |
//! |     20 |    4 | description length | at most [`DESCRIPTION_BYTES_MAX`]             |
//! |     24 |    4 | record count       | as many records as follow                     |
//! |     28 |    d | description        | UTF-8 JSON of [`FilesDescription`]            |
//! |        |      | records            | one after the other, as below                 |
//! | end-32 |   32 | digest             | SHA-256 over every byte before it             |
//!
//! A record:
//!
//! | size | field         | valid when                                                                    |
//! |-----:|---------------|-------------------------------------------------------------------------------|
//! |    1 | kind          | 0 create, 1 replace, 2 remove, 3 metadata, 4 pieces in place, 5 directory times |
//! |    2 | path length p | at most 4096                                                                  |
//! |    p | path          | absolute, of plain components, the same for no other record of its sort       |
//! |    1 | sides         | bit 0: before, bit 1: after; as the kind needs                                |
//! |      | before, after | each as below                                                                 |
//!
//! A side:
//!
//! | size | field            | valid when                                                |
//! |-----:|------------------|-----------------------------------------------------------|
//! |    1 | object           | 0 file, 1 directory, 2 symbolic link                      |
//! |    2 | mode             | at most 0o7777                                            |
//! |  4+4 | uid, gid         |                                                           |
//! |  8+4 | time of change   | seconds (signed), nanoseconds below 1,000,000,000         |
//! |    2 | attribute count  |                                                           |
//! |      | attributes       | each: length (2), name, length (4), value; ascending      |
//! |    1 | content          | 0 stays, 1 whole, 2 pieces                                |
//! |  8+n | whole            | length, bytes                                             |
//! |  8+4 | pieces           | size of the file, count; each: offset (8), length (8), bytes |
//!
//! A change of the meaning of any of this needs a new version; versions 1 and 2 stay readable for ever.

use super::{FilePatch, FilesDescription};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Context as _, Corrupt, Error, Result};
use crate::image::directory::record::{Content, How, Piece, Record, Side};
use crate::image::directory::stat::{Kind, Time};
use crate::patch::description::clean;
use crate::patch::format::{
    DESCRIPTION_BYTES_MAX, FormatDefect, HEADER_BYTES, Located, MAGIC, PATCH_BYTES_MAX,
    PatchDigest, Reader, check_file_size, check_frame, version_of,
};
use sha2::{Digest as _, Sha256};
use std::io;

/// The version that is written.
pub const FILES_FORMAT_VERSION: u32 = 2;

/// The objects of a side, by their numbers.
const KINDS: [Kind; 3] = [Kind::File, Kind::Directory, Kind::Symlink];

/// The bytes of the patch file of `patch`.
///
/// # Errors
/// `Limit`.
pub fn encode(patch: &FilePatch) -> Result<Vec<u8>> {
    let description = serde_json::to_vec(patch.description()).map_err(io::Error::from)?;
    let mut body = Vec::new();
    for record in patch.records() {
        put_record(&mut body, record)?;
    }
    if len_u64(description.len()) > DESCRIPTION_BYTES_MAX {
        let what = "size of the patch description in bytes";
        return Err(Error::limit(what, DESCRIPTION_BYTES_MAX, len_u64(description.len())));
    }
    let fixed = HEADER_BYTES.saturating_add(Sha256::output_size());
    let total = fixed.saturating_add(description.len()).saturating_add(body.len());
    if len_u64(total) > PATCH_BYTES_MAX {
        let what = "size of the patch in bytes";
        return Err(Error::limit(what, PATCH_BYTES_MAX, len_u64(total)));
    }
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FILES_FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&len_u64(total).to_le_bytes());
    bytes.extend_from_slice(&arith::to::<_, u32>(description.len())?.to_le_bytes());
    bytes.extend_from_slice(&arith::to::<_, u32>(patch.records().len())?.to_le_bytes());
    bytes.extend_from_slice(&description);
    bytes.append(&mut body);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    Ok(bytes)
}

/// The digest at the end of the patch file `bytes`.
///
/// # Errors
/// `Corrupt` if they are too short.
pub(in crate::patch) fn digest_of(bytes: &[u8]) -> Result<PatchDigest> {
    let start = bytes.len().saturating_sub(Sha256::output_size());
    Ok(crate::bytes::field::array(bytes, start)?)
}

fn put_record(bytes: &mut Vec<u8>, record: &Record) -> Result<()> {
    bytes.push(number_of(&How::ALL, &record.how)?);
    bytes.extend_from_slice(&arith::to::<_, u16>(record.path.len())?.to_le_bytes());
    bytes.extend_from_slice(&record.path);
    let sides = u8::from(record.before.is_some()) | (u8::from(record.after.is_some()) << 1);
    bytes.push(sides);
    for side in [&record.before, &record.after].into_iter().flatten() {
        put_side(bytes, side)?;
    }
    Ok(())
}

fn put_side(bytes: &mut Vec<u8>, side: &Side) -> Result<()> {
    bytes.push(number_of(&KINDS, &side.kind)?);
    bytes.extend_from_slice(&arith::to::<_, u16>(side.mode)?.to_le_bytes());
    bytes.extend_from_slice(&side.uid.to_le_bytes());
    bytes.extend_from_slice(&side.gid.to_le_bytes());
    bytes.extend_from_slice(&side.modified.seconds.to_le_bytes());
    bytes.extend_from_slice(&side.modified.nanoseconds.to_le_bytes());
    bytes.extend_from_slice(&arith::to::<_, u16>(side.xattrs.len())?.to_le_bytes());
    for (name, value) in &side.xattrs {
        bytes.extend_from_slice(&arith::to::<_, u16>(name.len())?.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&arith::to::<_, u32>(value.len())?.to_le_bytes());
        bytes.extend_from_slice(value);
    }
    match &side.content {
        Content::Same => bytes.push(0),
        Content::Whole(content) => {
            bytes.push(1);
            bytes.extend_from_slice(&len_u64(content.len()).to_le_bytes());
            bytes.extend_from_slice(content);
        }
        Content::Pieces { size_bytes, pieces } => {
            bytes.push(2);
            bytes.extend_from_slice(&size_bytes.to_le_bytes());
            bytes.extend_from_slice(&arith::to::<_, u32>(pieces.len())?.to_le_bytes());
            for Piece { offset_bytes, bytes: piece } in pieces {
                bytes.extend_from_slice(&offset_bytes.to_le_bytes());
                bytes.extend_from_slice(&len_u64(piece.len()).to_le_bytes());
                bytes.extend_from_slice(piece);
            }
        }
    }
    Ok(())
}

fn number_of<T: PartialEq>(all: &[T], one: &T) -> Result<u8> {
    let at = all.iter().position(|other| other == one);
    Ok(arith::to(at.ok_or_else(|| Error::unsupported("no such kind of object in a patch"))?)?)
}

/// Reads the bytes of a patch file of a directory. They are not trusted: nothing is allocated for a length before that
/// many bytes were seen.
///
/// # Errors
/// * `Corrupt` with [`FormatDefect`] or [`RecordDefect`](super::RecordDefect).
/// * `Unsupported` - a sound file of another version.
/// * `Limit`.
pub fn decode(bytes: &[u8]) -> Result<FilePatch> {
    check_file_size(len_u64(bytes.len()))?;
    let body = check_frame(bytes).map_err(|defect| Corrupt::new("patch file", defect))?;
    let version = version_of(bytes)?;
    if version != FILES_FORMAT_VERSION {
        let known = format!("directories have version {FILES_FORMAT_VERSION}");
        return Err(Error::unsupported(format!("patch file of version {version}; {known}")));
    }
    let description_bytes = u64::from(crate::bytes::field::le_u32(bytes, 20)?);
    if description_bytes > DESCRIPTION_BYTES_MAX {
        let what = "size of the patch description in bytes";
        return Err(Error::limit(what, DESCRIPTION_BYTES_MAX, description_bytes));
    }
    let count = crate::bytes::field::le_u32(bytes, 24)?;
    let (description, records) = parse_body(body, description_bytes, count)
        .map_err(|(defect, at)| Corrupt::new("patch file", defect).at(at))?;
    FilePatch::new(description, records).context(|| "patch file")
}

fn parse_body(
    body: &[u8],
    description_bytes: u64,
    count: u32,
) -> Result<(FilesDescription, Vec<Record>), Located> {
    let mut reader = Reader::new(body);
    let at = reader.at();
    let json = reader.take(description_bytes)?;
    let description = serde_json::from_slice(json)
        .map_err(|error| (FormatDefect::Description(clean(&error.to_string())), at))?;
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(take_record(&mut reader)?);
    }
    match reader.left_bytes() {
        0 => Ok((description, records)),
        rest => Err((FormatDefect::Rest(rest), reader.at())),
    }
}

fn take_record(reader: &mut Reader<'_>) -> Result<Record, Located> {
    let how = take_number(reader, &How::ALL)?;
    let path_bytes = u64::from(reader.u16()?);
    let path = reader.take(path_bytes)?.to_vec();
    let at = reader.at();
    let [sides] = reader.array()?;
    if sides > 3 {
        return Err((FormatDefect::Number(sides), at));
    }
    let before = if sides & 1 != 0 { Some(take_side(reader)?) } else { None };
    let after = if sides & 2 != 0 { Some(take_side(reader)?) } else { None };
    Ok(Record { path, how, before, after })
}

fn take_side(reader: &mut Reader<'_>) -> Result<Side, Located> {
    let kind = take_number(reader, &KINDS)?;
    let mode = u32::from(reader.u16()?);
    let uid = u32::from_le_bytes(reader.array()?);
    let gid = u32::from_le_bytes(reader.array()?);
    let seconds = i64::from_le_bytes(reader.array()?);
    let nanoseconds = u32::from_le_bytes(reader.array()?);
    let mut xattrs = Vec::new();
    for _ in 0..reader.u16()? {
        let name_bytes = u64::from(reader.u16()?);
        let name = reader.take(name_bytes)?.to_vec();
        let value_bytes = u64::from(u32::from_le_bytes(reader.array()?));
        xattrs.push((name, reader.take(value_bytes)?.to_vec()));
    }
    let at = reader.at();
    let content = match reader.array()? {
        [0] => Content::Same,
        [1] => {
            let len_bytes = u64::from_le_bytes(reader.array()?);
            Content::Whole(reader.take(len_bytes)?.to_vec())
        }
        [2] => {
            let size_bytes = u64::from_le_bytes(reader.array()?);
            let count = u32::from_le_bytes(reader.array()?);
            let mut pieces = Vec::new();
            for _ in 0..count {
                let offset_bytes = u64::from_le_bytes(reader.array()?);
                let len_bytes = u64::from_le_bytes(reader.array()?);
                pieces.push(Piece { offset_bytes, bytes: reader.take(len_bytes)?.to_vec() });
            }
            Content::Pieces { size_bytes, pieces }
        }
        [other] => return Err((FormatDefect::Number(other), at)),
    };
    Ok(Side { kind, mode, uid, gid, modified: Time { seconds, nanoseconds }, xattrs, content })
}

fn take_number<T: Copy>(reader: &mut Reader<'_>, all: &[T]) -> Result<T, Located> {
    let at = reader.at();
    let [number] = reader.array()?;
    all.get(usize::from(number)).copied().ok_or((FormatDefect::Number(number), at))
}
