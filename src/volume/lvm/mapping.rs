//! Where the bytes of a logical volume are.

use crate::bytes::arith::{OutOfRange, add, div, len_u64, mul, rem, sub, to};
use crate::error::Result;
use std::sync::Arc;

/// Where the bytes of a logical volume are on its physical volumes.
///
/// Made by [`assemble`](super::assemble()), which has checked that the segments follow each other without a hole, lie
/// inside the extents of their physical volumes, and share no byte with another volume or with the metadata of LVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub(super) len_bytes: u64,
    /// Indices of physical volumes, in the order in which they were given to [`assemble`](super::assemble()).
    pub(super) members: Vec<usize>,
    /// In ascending order. Shared by all that lies on the volume.
    pub(super) segments: Arc<[Segment]>,
}

/// A run of a logical volume on one or more lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it starts in the logical volume, in bytes.
    pub(super) start_bytes: u64,
    pub(super) len_bytes: u64,
    /// Bytes that stand together on a lane; the length of the segment with one lane. Never 0.
    pub(super) stripe_bytes: u64,
    /// Never empty.
    pub(super) lanes: Vec<Lane>,
}

/// A part of a physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    /// Index into [`Mapping::members`].
    pub(super) member: usize,
    /// Where it starts there, in bytes.
    pub(super) start_bytes: u64,
}

/// Bytes that are together on a physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) member: usize,
    pub(super) offset_bytes: u64,
    pub(super) len_bytes: u64,
}

impl Mapping {
    /// Size of the logical volume in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The physical volumes that it lies on: indices into what [`assemble`](super::assemble()) was given. The disks for
    /// [`LogicalDisk::new`](super::LogicalDisk::new) are those of these physical volumes, in this order.
    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// Where the byte at `offset_bytes` is, and how many of the `wanted_bytes` from there stand together.
    pub(super) fn piece(&self, offset_bytes: u64, wanted_bytes: u64) -> Result<Piece> {
        let after = self.segments.partition_point(|segment| segment.start_bytes <= offset_bytes);
        let segment = after.checked_sub(1).and_then(|index| self.segments.get(index));
        let segment = segment.ok_or(OutOfRange)?;
        let inside = sub(offset_bytes, segment.start_bytes)?;
        let left = sub(segment.len_bytes, inside)?;
        let chunk = div(inside, segment.stripe_bytes)?;
        let lane_count = len_u64(segment.lanes.len());
        let lane_index: usize = to(rem(chunk, lane_count)?)?;
        let lane = segment.lanes.get(lane_index).ok_or(OutOfRange)?;
        let in_stripe = rem(inside, segment.stripe_bytes)?;
        let row = div(chunk, lane_count)?;
        let in_lane = add(mul(row, segment.stripe_bytes)?, in_stripe)?;
        let together = sub(segment.stripe_bytes, in_stripe)?.min(left);
        Ok(Piece {
            member: lane.member,
            offset_bytes: add(lane.start_bytes, in_lane)?,
            len_bytes: wanted_bytes.min(together),
        })
    }
}
