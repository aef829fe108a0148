//! Attributes of one record, and run lists.
//!
//! Format: libyal, "New Technologies File System (NTFS)", sections "MFT attribute" and "Data runs".

use super::bytes::{align8, u16_at, u32_at, u64_at, utf16_at};
use super::volume::Found;
use std::ops::Range;

pub(super) const STANDARD_INFORMATION: u32 = 0x10;
pub(super) const ATTRIBUTE_LIST: u32 = 0x20;
pub(super) const FILE_NAME: u32 = 0x30;
pub(super) const OBJECT_ID: u32 = 0x40;
pub(super) const SECURITY_DESCRIPTOR: u32 = 0x50;
pub(super) const VOLUME_INFORMATION: u32 = 0x70;
pub(super) const DATA: u32 = 0x80;
pub(super) const INDEX_ROOT: u32 = 0x90;
pub(super) const INDEX_ALLOCATION: u32 = 0xa0;
pub(super) const BITMAP: u32 = 0xb0;
pub(super) const REPARSE_POINT: u32 = 0xc0;
const END: u32 = 0xffff_ffff;

pub(super) const IS_COMPRESSED: u16 = 0x0001;
pub(super) const IS_SPARSE: u16 = 0x8000;
const IS_ENCRYPTED: u16 = 0x4000;

/// Some clusters of a stream; without place they are a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the clusters lie.
    pub(super) lcn: Option<u64>,
    /// How many.
    pub(super) count: u64,
}

/// Where the value of an attribute is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In the record.
    Resident { value: Range<usize>, is_indexed: bool },
    /// In clusters.
    Runs(NonResident),
}

/// The part of a stream that one attribute describes.
#[derive(Debug, Clone)]
pub(super) struct NonResident {
    pub(super) lowest_vcn: u64,
    pub(super) runs: Vec<Run>,
    pub(super) unit: u16,
    pub(super) allocated: u64,
    pub(super) data: u64,
    pub(super) initialised: u64,
    pub(super) compressed: Option<u64>,
}

impl NonResident {
    /// Clusters and holes.
    pub(super) fn vcn_count(&self) -> u64 {
        self.runs.iter().map(|run| run.count).sum()
    }
}

/// One attribute.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) kind: u32,
    pub(super) name: Vec<u16>,
    pub(super) flags: u16,
    pub(super) id: u16,
    pub(super) place: Place,
}

/// All attributes of `record`, whose fix-ups are undone, from `start` to `end` (bytes in use).
pub(super) fn parse_all(
    record: &[u8],
    start: usize,
    end: usize,
    cluster_count: u64,
) -> Found<Vec<Attribute>> {
    let mut attributes = Vec::new();
    let mut at = start;
    loop {
        let kind = u32_at(record, at).ok_or("the attributes have no end")?;
        if kind == END {
            // The mark is four bytes, and the bytes in use end on a border of eight.
            return if at + 8 == end {
                Ok(attributes)
            } else {
                Err(format!("the attributes end at {at:#x}, the bytes in use at {end:#x}"))
            };
        }
        let len = u32_at(record, at + 4).unwrap_or(0) as usize;
        if len < 24 || !len.is_multiple_of(8) || at + len + 8 > end {
            return Err(format!("attribute {kind:#x} of {len} bytes at {at:#x}"));
        }
        let bytes = &record[at..at + len];
        let parsed = parse(bytes, at, kind, cluster_count);
        attributes.push(parsed.map_err(|error| format!("attribute {kind:#x}: {error}"))?);
        at += len;
    }
}

fn parse(bytes: &[u8], at: usize, kind: u32, cluster_count: u64) -> Found<Attribute> {
    let is_resident = match bytes[8] {
        0 => true,
        1 => false,
        other => return Err(format!("form {other}")),
    };
    if !(STANDARD_INFORMATION..=0x100).contains(&kind) || !kind.is_multiple_of(0x10) {
        return Err("an unknown type".to_owned());
    }
    let name_len = usize::from(bytes[9]);
    let name_at = usize::from(u16_at(bytes, 10).unwrap_or(0));
    let name = utf16_at(bytes, name_at, name_len).ok_or("the name is outside")?;
    let flags = u16_at(bytes, 12).unwrap_or(0);
    if flags & !(IS_COMPRESSED | IS_SPARSE | IS_ENCRYPTED) != 0 {
        return Err(format!("flags {flags:#x}"));
    }
    let header_end = if is_resident {
        24
    } else if flags & (IS_COMPRESSED | IS_SPARSE) != 0 {
        72
    } else {
        64
    };
    if name_len > 0 && name_at < header_end {
        return Err("the name is in the header".to_owned());
    }
    let after_name = if name_len > 0 { name_at + name_len * 2 } else { header_end };
    let place = if is_resident {
        parse_resident(bytes, at, after_name)?
    } else {
        Place::Runs(parse_non_resident(bytes, after_name, flags, cluster_count)?)
    };
    Ok(Attribute { kind, name, flags, id: u16_at(bytes, 14).unwrap_or(0), place })
}

fn parse_resident(bytes: &[u8], at: usize, after_name: usize) -> Found<Place> {
    let len = u32_at(bytes, 16).unwrap_or(0) as usize;
    let value_at = usize::from(u16_at(bytes, 20).unwrap_or(0));
    if value_at < after_name || value_at % 8 != 0 || align8(value_at + len) != bytes.len() {
        return Err(format!("a value of {len} bytes at {value_at} in {}", bytes.len()));
    }
    let value = at + value_at..at + value_at + len;
    Ok(Place::Resident { value, is_indexed: bytes[22] & 1 == 1 })
}

fn parse_non_resident(
    bytes: &[u8],
    after_name: usize,
    flags: u16,
    cluster_count: u64,
) -> Found<NonResident> {
    let number = |at: usize| u64_at(bytes, at).ok_or("the header is too short");
    let lowest_vcn = number(16)?;
    let highest_vcn = number(24)?;
    let runs_at = usize::from(u16_at(bytes, 32).unwrap_or(0));
    let unit = u16_at(bytes, 34).unwrap_or(0);
    let (allocated, data, initialised) = (number(40)?, number(48)?, number(56)?);
    let has_total = flags & (IS_COMPRESSED | IS_SPARSE) != 0 && lowest_vcn == 0;
    let compressed = if has_total { Some(number(64)?) } else { None };
    let header_end = if lowest_vcn == 0 { after_name } else { after_name.min(64) };
    if runs_at < header_end || runs_at % 8 != 0 {
        return Err(format!("the runs start at {runs_at:#x}"));
    }
    let (runs, runs_end) = parse_runs(bytes, runs_at, cluster_count)?;
    if align8(runs_end) != bytes.len() {
        return Err(format!("the runs end at {runs_end:#x} of {:#x}", bytes.len()));
    }
    let part = NonResident { lowest_vcn, runs, unit, allocated, data, initialised, compressed };
    if lowest_vcn.checked_add(part.vcn_count()) != Some(highest_vcn.wrapping_add(1)) {
        return Err(format!("VCN {lowest_vcn} to {highest_vcn}, runs of {}", part.vcn_count()));
    }
    Ok(part)
}

/// The runs, and where their end mark ends.
fn parse_runs(bytes: &[u8], start: usize, cluster_count: u64) -> Found<(Vec<Run>, usize)> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut at, mut lcn, mut vcn) = (start, 0i64, 0u64);
    loop {
        let header = *bytes.get(at).ok_or("the runs have no end")?;
        at += 1;
        if header == 0 {
            return Ok((runs, at));
        }
        let (count_len, delta_len) = (usize::from(header & 15), usize::from(header >> 4));
        let count = signed(bytes, at, count_len).ok_or("a run without a length")?;
        // Holes may be as long as the file; the rest may not.
        let count = u64::try_from(count).ok().filter(|count| (1..1 << 40).contains(count));
        let count = count.ok_or("a run of no length")?;
        at += count_len;
        vcn += count;
        if vcn > 1 << 44 {
            return Err("more runs than a file can have".to_owned());
        }
        let place = if delta_len == 0 {
            None
        } else {
            let delta = signed(bytes, at, delta_len).ok_or("a run without a place")?;
            at += delta_len;
            lcn = lcn.checked_add(delta).ok_or("a run too far away")?;
            let first = u64::try_from(lcn).map_err(|_| "a run before the volume")?;
            if first >= cluster_count || count > cluster_count - first {
                return Err(format!("clusters {first}+{count} are outside the volume"));
            }
            Some(first)
        };
        runs.push(Run { lcn: place, count });
    }
}

fn signed(bytes: &[u8], at: usize, len: usize) -> Option<i64> {
    if !(1..=8).contains(&len) {
        return None;
    }
    let bytes = super::bytes::slice(bytes, at, len)?;
    let fill = if bytes[len - 1] & 0x80 == 0 { 0 } else { 0xff };
    let mut wide = [fill; 8];
    wide[..len].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}
