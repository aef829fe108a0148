//! Patches of several disks.
//!
//! Such a patch is for the disks one after the other, each from the next multiple of
//! [`JOINT_BYTES`](joined::JOINT_BYTES) on ([`disk::joined`](joined)), in the order of
//! [`TargetIdentity::parts`]; `size_bytes` of its identity is the end of the last one. A run lies inside one disk. Only
//! disks that change are parts: a patch of one disk has none, whatever else the target was made of.
//!
//! A program that does not know parts takes such a patch for one of a single disk of the joined size, and refuses each
//! of the real ones.

use super::{PartIdentity, TargetIdentity};
use crate::bytes::arith;
use crate::disk::joined;
use crate::disk::overlay::Change;
use crate::error::{Corrupt, Result};
use std::ops::Range;

/// Bound on the disks of one patch.
pub const PARTS_MAX: usize = 256;

/// What can be wrong with the parts of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartsDefect {
    /// One part is no part, and too many are no real target.
    #[error("{0} disks; 2 to {PARTS_MAX} can be joined")]
    Count(usize),
    /// The sizes do not add up.
    #[error("the disks have {joined_bytes} bytes together instead of {size_bytes}")]
    Size {
        /// Size of the joined disks in bytes.
        joined_bytes: u64,
        /// What the identity says.
        size_bytes: u64,
    },
}

/// Where the disks of a patch lie in its address space: one disk, or each of the parts.
///
/// # Errors
/// `Corrupt` with [`PartsDefect`].
pub(super) fn ranges(identity: &TargetIdentity) -> Result<Vec<Range<u64>>> {
    let size_bytes = identity.size_bytes;
    let corrupt = |defect| Corrupt::new("patch description", defect);
    let count = identity.parts.len();
    if count == 0 {
        return Ok(std::iter::once(0..size_bytes).collect());
    }
    if count == 1 || count > PARTS_MAX {
        return Err(corrupt(PartsDefect::Count(count)).into());
    }
    let ranges = joined::ranges(identity.parts.iter().map(|part| part.size_bytes))?;
    let joined_bytes = joined::len_bytes(&ranges);
    if joined_bytes != size_bytes {
        return Err(corrupt(PartsDefect::Size { joined_bytes, size_bytes }).into());
    }
    Ok(ranges)
}

/// The disk on which the byte at `offset_bytes` of the patch lies, by its number from 0, and the offset there.
pub fn locate(identity: &TargetIdentity, offset_bytes: u64) -> (usize, u64) {
    let ranges = ranges(identity).unwrap_or_default();
    let number = ranges.partition_point(|range| range.end <= offset_bytes);
    let start = ranges.get(number).map_or(0, |range| range.start);
    (number, offset_bytes.saturating_sub(start))
}

/// Joins the changes of several disks, and gives the size that they have together.
///
/// # Errors
/// `Corrupt` if that does not fit a number.
pub fn join(disks: Vec<(PartIdentity, Vec<Change>)>) -> Result<(TargetIdentity, Vec<Change>)> {
    let ranges = joined::ranges(disks.iter().map(|(part, _)| part.size_bytes))?;
    let mut identity = TargetIdentity {
        size_bytes: joined::len_bytes(&ranges),
        sector_size_bytes: 0,
        table_guid: None,
        volumes: Vec::new(),
        parts: Vec::new(),
    };
    let mut joined = Vec::new();
    for ((part, changes), range) in disks.into_iter().zip(ranges) {
        for change in changes {
            let offset_bytes = arith::add(range.start, change.offset_bytes)?;
            joined.push(Change { offset_bytes, ..change });
        }
        identity.sector_size_bytes = identity.sector_size_bytes.max(part.sector_size_bytes);
        identity.parts.push(part);
    }
    Ok((identity, joined))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::patch::tests::{change, description};
    use crate::patch::{Description, Patch, RunDefect, decode, encode};

    fn part(size_bytes: u64) -> PartIdentity {
        PartIdentity {
            name: format!("disk of {size_bytes}"),
            size_bytes,
            sector_size_bytes: 512,
            table_guid: None,
        }
    }

    fn joined(disks: Vec<(PartIdentity, Vec<Change>)>) -> Result<Patch> {
        let (identity, changes) = join(disks)?;
        Patch::new(Description { identity, ..description(0) }, changes)
    }

    #[test]
    fn several_disks_are_one_address_space() {
        let odd = change(512, &[0; 100], &[1; 100]);
        let other = change(1024, &[0; 512], &[2; 512]);
        let patch = joined(vec![(part(612), vec![odd]), (part(2048), vec![other])]).unwrap();
        assert_eq!(patch.description().identity.size_bytes, 4096 + 2048);
        let offsets: Vec<_> = patch.runs().iter().map(|run| run.offset_bytes).collect();
        assert_eq!(offsets, [512, 5120]);
        let places = offsets.iter().map(|&at| locate(&patch.description().identity, at));
        assert_eq!(places.collect::<Vec<_>>(), [(0, 512), (1, 1024)]);
        let read = decode(&encode(&patch).unwrap()).unwrap();
        assert_eq!(read, patch);
    }

    #[test]
    fn nothing_lies_between_two_disks() {
        for (offset, len, end) in [(512, 512, 612), (1024, 512, 4096 + 2048), (0, 4608, 612)] {
            let run = change(offset, &vec![0; len], &vec![1; len]);
            let error = joined(vec![(part(612), vec![run]), (part(2048), Vec::new())]).unwrap_err();
            let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
            let expected = RunDefect::Outside { len_bytes: len as u64, size_bytes: end };
            assert_eq!(corrupt.defect.downcast_ref(), Some(&expected));
        }
    }

    #[test]
    fn sizes_and_count_must_fit() {
        let of_parts = |size_bytes, parts: Vec<PartIdentity>| {
            let mut description = description(size_bytes);
            description.identity.parts = parts;
            let error = Patch::new(description, Vec::new()).unwrap_err();
            let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
            *corrupt.defect.downcast_ref::<PartsDefect>().unwrap()
        };
        assert_eq!(of_parts(512, vec![part(512)]), PartsDefect::Count(1));
        let many = vec![part(512); PARTS_MAX + 1];
        assert_eq!(of_parts(512, many), PartsDefect::Count(PARTS_MAX + 1));
        let expected = PartsDefect::Size { joined_bytes: 4608, size_bytes: 1024 };
        assert_eq!(of_parts(1024, vec![part(512), part(512)]), expected);
    }
}
