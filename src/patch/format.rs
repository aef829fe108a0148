//! The patch file: one format for plan, patch and undo record.
//!
//! Our own format; this table is its definition. Everything is little-endian and nothing is padded.
//!
//! | offset | size | field              | valid when                                    |
//! |-------:|-----:|--------------------|-----------------------------------------------|
//! |      0 |    8 | magic              | equals [`MAGIC`]                              |
//! |      8 |    4 | format version     | 1                                             |
//! |     12 |    8 | file length, bytes | that of the file, at most [`PATCH_BYTES_MAX`] |
//! |     20 |    4 | description length | at most [`DESCRIPTION_BYTES_MAX`]             |
//! |     24 |    4 | run count          | as many runs as follow                        |
//! |     28 |    d | description        | UTF-8 JSON of [`Description`]                 |
//! |        |      | runs               | one after the other, as below                 |
//! | end-32 |   32 | digest             | SHA-256 over every byte before it             |
//!
//! A run:
//!
//! | offset | size | field           | valid when                                            |
//! |-------:|-----:|-----------------|-------------------------------------------------------|
//! |      0 |    8 | offset, bytes   | a multiple of 512, not inside the run before          |
//! |      8 |    4 | length n, bytes | above 0; a multiple of 512, or up to the target's end |
//! |     12 |    2 | label count     | at most [`LABELS_MAX`](super::LABELS_MAX)             |
//! |     14 |      | labels          | each: length (2 bytes, at most 1024), UTF-8           |
//! |        |    n | bytes before    |                                                       |
//! |        |    n | bytes after     |                                                       |
//!
//! # Compatibility
//! Magic, version, file length and digest keep their place in every version, so that damage is
//! always told from news: a file whose digest fails is `Corrupt`, a sound file of another version
//! is `Unsupported`. Version 1 stays readable for ever. What can be added without a new version is
//! a JSON field that an old reader may ignore. Version 2 has file records in place of runs, for
//! directories: see [`files::format`](super::files::format).
//!
//! # Assumptions about the medium
//! The target is changed in place, with this file as the journal. That is safe if
//!
//! 1. a sector of 512 bytes is written wholly or not at all, and a write that is cut off damages
//!    nothing else (power-safe overwrite);
//! 2. what was synced is durable;
//! 3. unsynced writes may be lost, kept or reordered in any way.
//!
//! Then after any interruption every sector of every run holds its bytes before or its bytes after,
//! and one command finishes the edit or takes it back: [`apply`](super::apply()) or
//! [`undo`](super::undo()).

use super::{Description, Patch, Run, cut_labels, description};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::{checksum, field, text};
use crate::error::{Context as _, Corrupt, Error, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

/// The first bytes of every patch file.
pub const MAGIC: [u8; 8] = *b"RGNPATCH";

/// The version that is written.
pub const FORMAT_VERSION: u32 = 1;

/// Bound on a patch file in bytes: both sides of the largest overlay, and a quarter more for the
/// rest.
pub const PATCH_BYTES_MAX: u64 = 1280 * 1024 * 1024;

/// Bound on the JSON description in bytes.
pub const DESCRIPTION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Length of the fixed part before the description.
pub(super) const HEADER_BYTES: usize = 28;

/// Length of the digest at the end.
const DIGEST_BYTES: usize = 32;

/// The digest at the end of a patch file, which names the patch.
pub(super) type PatchDigest = [u8; DIGEST_BYTES];

/// What can be wrong with a patch file, besides [`RunDefect`](super::RunDefect).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatDefect {
    /// Another kind of file.
    #[error("is not a patch made by regain")]
    Magic,
    /// Cut off, or longer than it was.
    #[error("is {actual} bytes long instead of {expected}")]
    Length {
        /// What the header says; the length of the smallest patch if there is no whole header.
        expected: u64,
        /// The length of the file.
        actual: u64,
    },
    /// A bit has changed.
    #[error("does not have the digest that it was written with")]
    Digest,
    /// The description is no such JSON.
    #[error("description: {0}")]
    Description(String),
    /// A field ends behind the file.
    #[error("ends inside a field that needs {needed} bytes, with {available} left")]
    Ends {
        /// Length of the field in bytes.
        needed: u64,
        /// Bytes left for it.
        available: u64,
    },
    /// A label is not text.
    #[error("has a label that is not UTF-8")]
    Label,
    /// Bytes between the last run and the digest.
    #[error("has {0} bytes behind its last run")]
    Rest(u64),
    /// A number that stands for nothing.
    #[error("has a number {0} that stands for nothing")]
    Number(u8),
}

/// The bytes of the patch file of `patch`.
///
/// # Errors
/// `Limit` if they exceed [`PATCH_BYTES_MAX`], or the description [`DESCRIPTION_BYTES_MAX`].
pub fn encode(patch: &Patch) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_to(patch, &mut bytes)?;
    Ok(bytes)
}

/// Writes the patch file of `patch` to `sink` and gives the digest at its end.
///
/// # Errors
/// As [`encode`], and `Io` of the sink.
pub(super) fn write_to(patch: &Patch, sink: &mut dyn Write) -> Result<PatchDigest> {
    let mut sink = HashingSink { sink, hash: Sha256::new() };
    let description = serde_json::to_vec(patch.description()).map_err(io::Error::from)?;
    check_limit("size of the patch description in bytes", DESCRIPTION_BYTES_MAX, &description)?;
    sink.write_all(&MAGIC)?;
    sink.write_all(&FORMAT_VERSION.to_le_bytes())?;
    sink.write_all(&file_len_bytes(patch, description.len())?.to_le_bytes())?;
    sink.write_all(&length_u32(description.len())?)?;
    sink.write_all(&length_u32(patch.runs().len())?)?;
    sink.write_all(&description)?;
    for run in patch.runs() {
        write_run(run, &mut sink)?;
    }
    let digest: PatchDigest = sink.hash.finalize().into();
    sink.sink.write_all(&digest)?;
    Ok(digest)
}

fn write_run(run: &Run, sink: &mut dyn Write) -> Result<()> {
    sink.write_all(&run.offset_bytes.to_le_bytes())?;
    sink.write_all(&length_u32(run.after.len())?)?;
    sink.write_all(&length_u16(run.labels.len())?)?;
    for label in &run.labels {
        sink.write_all(&length_u16(label.len())?)?;
        sink.write_all(label.as_bytes())?;
    }
    sink.write_all(&run.before)?;
    sink.write_all(&run.after)?;
    Ok(())
}

/// The digest that the patch file of `patch` ends with.
///
/// # Errors
/// As [`encode`].
pub(super) fn digest(patch: &Patch) -> Result<PatchDigest> {
    write_to(patch, &mut io::sink())
}

/// Length of the whole file, checked against its bound.
fn file_len_bytes(patch: &Patch, description_bytes: usize) -> Result<u64> {
    let fixed = HEADER_BYTES.saturating_add(DIGEST_BYTES).saturating_add(description_bytes);
    let mut len_bytes = len_u64(fixed);
    for run in patch.runs() {
        let labels = run
            .labels
            .iter()
            .fold(14usize, |sum, label| sum.saturating_add(2).saturating_add(label.len()));
        len_bytes = arith::add(len_bytes, arith::mul(run.len_bytes(), 2)?)?;
        len_bytes = arith::add(len_bytes, len_u64(labels))?;
    }
    if len_bytes > PATCH_BYTES_MAX {
        return Err(Error::limit("size of the patch in bytes", PATCH_BYTES_MAX, len_bytes));
    }
    Ok(len_bytes)
}

fn length_u32(length: usize) -> Result<[u8; 4]> {
    Ok(arith::to::<_, u32>(length)?.to_le_bytes())
}

fn length_u16(length: usize) -> Result<[u8; 2]> {
    Ok(arith::to::<_, u16>(length)?.to_le_bytes())
}

fn check_limit(what: &str, limit: u64, bytes: &[u8]) -> Result<()> {
    let actual = len_u64(bytes.len());
    if actual > limit { Err(Error::limit(what, limit, actual)) } else { Ok(()) }
}

/// Hashes what passes through.
struct HashingSink<'a> {
    sink: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for HashingSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Reads the patch file at `path`.
///
/// # Errors
/// As [`decode`]; `Usage` if it is no regular file; `Io`.
pub fn load(path: &Path) -> Result<Patch> {
    let shown = || text::escape(path.as_os_str().as_encoded_bytes());
    read_file(path).and_then(|bytes| decode(&bytes)).context(shown)
}

/// The bytes of the patch file at `path`.
///
/// # Errors
/// `Usage` if it is no regular file; `Limit`; `Io`.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    // Asked by name first, because opening a fifo would wait for a writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(Error::usage("is not a regular file"));
    }
    check_file_size(metadata.len())?;
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(PATCH_BYTES_MAX.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The version of a patch file, sound or not.
///
/// # Errors
/// `Corrupt` if it is too short.
pub(super) fn version_of(bytes: &[u8]) -> Result<u32> {
    Ok(field::le_u32(bytes, 8)?)
}

pub(super) fn check_file_size(actual: u64) -> Result<()> {
    if actual > PATCH_BYTES_MAX {
        return Err(Error::limit("size of the patch file in bytes", PATCH_BYTES_MAX, actual));
    }
    Ok(())
}

/// Reads the bytes of a patch file. They are not trusted: nothing is allocated for a length before
/// that many bytes were seen.
///
/// # Errors
/// * `Corrupt` with [`FormatDefect`] or [`RunDefect`](super::RunDefect).
/// * `Unsupported` - a sound file of another version.
/// * `Limit` - longer than [`PATCH_BYTES_MAX`] or [`DESCRIPTION_BYTES_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Patch> {
    check_file_size(len_u64(bytes.len()))?;
    let body = check_frame(bytes).map_err(|defect| Corrupt::new("patch file", defect))?;
    let version = version_of(bytes)?;
    if version != FORMAT_VERSION {
        let known = format!("this regain knows version {FORMAT_VERSION}");
        return Err(Error::unsupported(format!("patch file of version {version}; {known}")));
    }
    let description_bytes = u64::from(field::le_u32(bytes, 20)?);
    if description_bytes > DESCRIPTION_BYTES_MAX {
        let what = "size of the patch description in bytes";
        return Err(Error::limit(what, DESCRIPTION_BYTES_MAX, description_bytes));
    }
    let run_count = field::le_u32(bytes, 24)?;
    let (description, runs) = parse_body(body, description_bytes, run_count)
        .map_err(|(defect, at)| Corrupt::new("patch file", defect).at(at))?;
    Patch::from_parts(description, runs).context(|| "patch file")
}

/// Checks magic, length and digest, and gives the bytes between header and digest.
pub(super) fn check_frame(bytes: &[u8]) -> Result<&[u8], FormatDefect> {
    let actual = len_u64(bytes.len());
    let head = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if head.is_empty() || !MAGIC.starts_with(head) {
        return Err(FormatDefect::Magic);
    }
    let smallest = HEADER_BYTES.saturating_add(DIGEST_BYTES);
    let expected = field::le_u64(bytes, 12).unwrap_or(0).max(len_u64(smallest));
    if actual != expected {
        return Err(FormatDefect::Length { expected, actual });
    }
    let cut_off = |_| FormatDefect::Length { expected, actual };
    let hashed_bytes = bytes.len().saturating_sub(DIGEST_BYTES);
    let hashed = field::slice(bytes, 0, hashed_bytes).map_err(cut_off)?;
    let digest = field::array(bytes, hashed_bytes).map_err(cut_off)?;
    if !checksum::agrees(digest, checksum::sha256(hashed)) {
        return Err(FormatDefect::Digest);
    }
    hashed.get(HEADER_BYTES..).ok_or(FormatDefect::Length { expected, actual })
}

/// A defect and its offset in the file.
pub(super) type Located = (FormatDefect, u64);

fn parse_body(
    body: &[u8],
    description_bytes: u64,
    run_count: u32,
) -> Result<(Description, Vec<Run>), Located> {
    let mut reader = Reader::new(body);
    let at = reader.at;
    let json = reader.take(description_bytes)?;
    let description = serde_json::from_slice(json).map_err(|error| {
        let shown = description::clean(&error.to_string());
        (FormatDefect::Description(shown), at)
    })?;
    let mut runs = Vec::new();
    for _ in 0..run_count {
        runs.push(reader.run()?);
    }
    match reader.rest.len() {
        0 => Ok((description, runs)),
        rest => Err((FormatDefect::Rest(len_u64(rest)), reader.at)),
    }
}

/// Takes fields from the front of the body.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of `rest` in the file.
    at: u64,
}

impl<'a> Reader<'a> {
    /// A reader of the bytes behind the header.
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, at: len_u64(HEADER_BYTES) }
    }

    /// Offset in the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left_bytes(&self) -> u64 {
        len_u64(self.rest.len())
    }

    pub(super) fn take(&mut self, len_bytes: u64) -> Result<&'a [u8], Located> {
        let available = len_u64(self.rest.len());
        let ends = (FormatDefect::Ends { needed: len_bytes, available }, self.at);
        let len = arith::to(len_bytes).map_err(|_| ends.clone())?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ends)?;
        self.rest = rest;
        self.at = self.at.saturating_add(len_bytes);
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Located> {
        let at = self.at;
        let bytes = self.take(len_u64(N))?;
        let (needed, available) = (len_u64(N), len_u64(bytes.len()));
        bytes.try_into().map_err(|_| (FormatDefect::Ends { needed, available }, at))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Located> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn run(&mut self) -> Result<Run, Located> {
        let offset_bytes = u64::from_le_bytes(self.array()?);
        let len_bytes = u64::from(u32::from_le_bytes(self.array()?));
        let label_count = self.u16()?;
        let mut labels = Vec::new();
        for _ in 0..label_count {
            labels.push(self.label()?);
        }
        let before = self.take(len_bytes)?.to_vec();
        let after = self.take(len_bytes)?.to_vec();
        Ok(Run { offset_bytes, before, after, labels: cut_labels(&labels) })
    }

    fn label(&mut self) -> Result<String, Located> {
        let at = self.at;
        let len_bytes = self.u16()?;
        let bytes = self.take(u64::from(len_bytes))?;
        let label = std::str::from_utf8(bytes).map_err(|_| (FormatDefect::Label, at))?;
        Ok(label.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::patch::RunDefect;
    use crate::patch::tests::{change, description};
    use proptest::prelude::*;

    fn small() -> Patch {
        let changes = vec![
            change(512, &[0; 512], &[1; 512]),
            change(1536, &[2; 1024], &[3; 1024]),
            change(4096, &[4; 4], &[5; 4]),
        ];
        Patch::new(super::super::tests::description(4100), changes).unwrap()
    }

    /// Puts the right length and digest around damaged bytes, so that what lies behind them is
    /// judged.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - DIGEST_BYTES);
        let len = (bytes.len() + DIGEST_BYTES) as u64;
        bytes[12..20].copy_from_slice(&len.to_le_bytes());
        let digest = checksum::sha256(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    fn description_bytes(bytes: &[u8]) -> usize {
        field::le_u32(bytes, 20).unwrap() as usize
    }

    fn format_defect(bytes: &[u8]) -> FormatDefect {
        let error = decode(bytes).unwrap_err();
        let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
        corrupt.defect.downcast_ref::<FormatDefect>().unwrap().clone()
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(decode(&encode(&small()).unwrap()).unwrap(), small());
        let empty = Patch::new(description(0), Vec::new()).unwrap();
        assert_eq!(decode(&encode(&empty).unwrap()).unwrap(), empty);
    }

    /// Version 1 stays readable for ever. If this test fails, a change has broken old patch files:
    /// undo it, or give the new layout a new `FORMAT_VERSION` and keep reading this one.
    #[test]
    fn a_file_of_version_1_stays_readable_and_is_still_written() {
        let json = concat!(
            r#"{"regain_version":"0.1.0","created":"2026-11-21T12:00:00Z","command":"key add","#,
            r#""identity":{"size_bytes":514,"sector_size_bytes":512,"#,
            r#""table_guid":"c12a7328-f81f-11d2-ba4b-00a0c93ec93b","volumes":[{"id":"1","#,
            r#""offset_bytes":1024,"file_system":"ext4","#,
            r#""uuid":"0fc63daf-8483-4772-8e79-3d69d8477de4"}]},"#,
            r#""files":[{"volume":"1","path":"/home/admin/.ssh/authorized_keys","#,
            r#""action":"append","detail":"1 key"}]}"#
        );
        let mut file = Vec::new();
        // Magic, version 1, length 489, description of 397 bytes, 1 run.
        file.extend(b"RGNPATCH\x01\0\0\0\xe9\x01\0\0\0\0\0\0\x8d\x01\0\0\x01\0\0\0");
        file.extend(json.as_bytes());
        // Offset 512, length 2, 1 label of 12 bytes, before, after.
        file.extend(b"\0\x02\0\0\0\0\0\0\x02\0\0\0\x01\0\x0c\0inode bitmap\xaa\xbb\xaa\xbc");
        // SHA-256 over the bytes above, computed by another program.
        let digest =
            concat!("d934da1a4c25a536c7f57327f85291d9", "c1fb825791a1cedbb9389c313d69b2fe");
        file.extend(
            (0..64).step_by(2).map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap()),
        );
        let mut expected_change = change(512, b"\xaa\xbb", b"\xaa\xbc");
        expected_change.labels = vec!["inode bitmap".into()];
        let expected = Patch::new(description(514), vec![expected_change]).unwrap();
        assert_eq!(encode(&expected).unwrap(), file, "the written layout has changed");
        assert_eq!(decode(&file).unwrap(), expected, "an old file is no longer readable");
    }

    #[test]
    fn a_file_cut_off_anywhere_is_corrupt() {
        let bytes = encode(&small()).unwrap();
        assert_eq!(format_defect(&[]), FormatDefect::Magic);
        for len in 1..bytes.len() {
            let expected = if len < 20 { 60 } else { bytes.len() as u64 };
            let defect = FormatDefect::Length { expected, actual: len as u64 };
            assert_eq!(format_defect(&bytes[..len]), defect, "cut at {len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        let (expected, actual) = (bytes.len() as u64, longer.len() as u64);
        assert_eq!(format_defect(&longer), FormatDefect::Length { expected, actual });
    }

    #[test]
    fn a_flipped_bit_anywhere_is_corrupt() {
        let bytes = encode(&small()).unwrap();
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << (index % 8);
            let defect = format_defect(&damaged);
            match index {
                0..8 => assert_eq!(defect, FormatDefect::Magic, "byte {index}"),
                12..20 => assert!(matches!(defect, FormatDefect::Length { .. }), "byte {index}"),
                _ => assert_eq!(defect, FormatDefect::Digest, "byte {index}"),
            }
        }
    }

    #[test]
    fn a_sound_file_of_another_version_is_unsupported() {
        let mut bytes = encode(&small()).unwrap();
        bytes[8] = 2;
        let error = decode(&sealed(bytes)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported(_)), "{error}");
    }

    #[test]
    fn absurd_lengths_are_refused_before_anything_is_allocated() {
        let good = encode(&small()).unwrap();
        let run = HEADER_BYTES + description_bytes(&good);
        let rest = (good.len() - run - DIGEST_BYTES) as u64;
        let label = "sector at 512".len() as u64;
        let ends = |needed, available| FormatDefect::Ends { needed, available };
        for (offset, value, expected) in [
            (20, 0x3f_ffffu32, ends(0x3f_ffff, rest + (run - HEADER_BYTES) as u64)),
            (24, u32::MAX, ends(8, 0)),
            (24, 0, FormatDefect::Rest(rest)),
            (run + 8, u32::MAX, ends(u64::from(u32::MAX), rest - 16 - label)),
        ] {
            let mut bytes = good.clone();
            bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(format_defect(&sealed(bytes)), expected, "{value} at {offset}");
        }
        let mut bytes = good;
        bytes[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = decode(&sealed(bytes)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{error}");
    }

    #[test]
    fn broken_runs_labels_and_descriptions_have_their_defects() {
        let good = encode(&small()).unwrap();
        let run = HEADER_BYTES + description_bytes(&good);
        let with = |offset: usize, value: &[u8]| {
            let mut bytes = good.clone();
            bytes[offset..offset + value.len()].copy_from_slice(value);
            sealed(bytes)
        };
        assert_eq!(format_defect(&with(run + 16, b"\xff")), FormatDefect::Label);
        let defect = format_defect(&with(HEADER_BYTES, b"["));
        assert!(matches!(defect, FormatDefect::Description(_)), "{defect}");
        let error = decode(&with(run, &513u64.to_le_bytes())).unwrap_err();
        let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
        let expected = RunDefect::Unaligned { len_bytes: 512 };
        assert_eq!(corrupt.defect.downcast_ref(), Some(&expected));
    }

    /// What a later version may add without a new format version, and what a smaller one may leave
    /// out.
    #[test]
    fn unknown_fields_are_ignored_and_optional_ones_filled_in() {
        let json = r#"{"regain_version":"9","created":"","command":"x","later":{"a":[1]},
            "identity":{"size_bytes":0,"sector_size_bytes":4096,"later":null}}"#;
        let mut file = encode(&Patch::new(description(0), Vec::new()).unwrap()).unwrap();
        file.splice(HEADER_BYTES..HEADER_BYTES + description_bytes(&file), json.bytes());
        file[20..24].copy_from_slice(&(json.len() as u32).to_le_bytes());
        let patch = decode(&sealed(file)).unwrap();
        assert_eq!(patch.description().regain_version, "9");
        assert_eq!(patch.description().identity.volumes, []);
        assert_eq!(patch.description().identity.table_guid, None);
    }

    #[test]
    fn text_from_a_hostile_file_cannot_drive_the_terminal() {
        let mut hostile = small();
        hostile.description.command = "\u{1b}[2J".into();
        hostile.runs[0].labels[0] = "\u{202e}\n".into();
        let decoded = decode(&encode(&hostile).unwrap()).unwrap();
        assert_eq!(decoded.description().command, "\\x1b[2J");
        assert_eq!(decoded.runs()[0].labels, ["\\u{202e}\\x0a"]);
    }

    #[test]
    fn too_large_is_a_limit_and_no_file() {
        let mut large = description(0);
        large.files = vec![large.files[0].clone(); 60_000];
        let error = encode(&Patch::new(large, Vec::new()).unwrap()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{error}");
    }

    /// The file is sparse: a bound that came after reading would show in the time and memory of
    /// this test.
    #[test]
    fn an_oversized_file_is_refused_unread() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(PATCH_BYTES_MAX + 1).unwrap();
        let error = load(file.path()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{error}");
    }

    #[test]
    fn only_regular_files_are_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let error = load(directory.path()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        let error = load(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io(_)), "{error}");
    }

    proptest! {
        #[test]
        fn encoding_is_undone_by_decoding(
            runs in prop::collection::vec((0u64..4, 1usize..4, any::<u8>(), "\\PC{0,40}"), 0..12),
            odd in 0usize..512,
        ) {
            let mut changes = Vec::new();
            let mut offset = 0;
            for (gap, sectors, fill, label) in runs {
                let mut next = change(
                    offset + gap * 512, &vec![fill; sectors * 512], &vec![!fill; sectors * 512]);
                next.labels.push(label);
                offset = next.offset_bytes + sectors as u64 * 512;
                changes.push(next);
            }
            if odd > 0 {
                changes.push(change(offset, &vec![7; odd], &vec![8; odd]));
                offset += odd as u64;
            }
            let patch = Patch::new(description(offset), changes).unwrap();
            prop_assert_eq!(decode(&encode(&patch).unwrap()).unwrap(), patch);
        }

        #[test]
        fn no_bytes_behind_a_good_digest_can_panic(
            place in 20usize..2000, value in any::<[u8; 4]>(),
        ) {
            let mut bytes = encode(&small()).unwrap();
            let place = place % (bytes.len() - DIGEST_BYTES - 4);
            if place >= 20 {
                bytes[place..place + 4].copy_from_slice(&value);
            }
            let _ = decode(&sealed(bytes));
        }
    }
}
