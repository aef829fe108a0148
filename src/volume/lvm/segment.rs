//! From the segments of a logical volume to its mapping.

use super::group::Unmapped;
use super::mapping::{Lane, Mapping, Segment};
use super::metadata::{LogicalMetadata, Metadata, PhysicalMetadata};
use super::segment_metadata::{SegmentKind, SegmentMetadata};
use crate::bytes::arith::{OutOfRange, add, div, len_u64, mul, rem};
use crate::bytes::text::escape;
use std::collections::BTreeMap;

/// Bound on the lanes of a segment; LVM stops at 128.
const LANES_MAX: usize = 128;

/// Bound on the segments of a logical volume, and on the lanes of a group together.
const SEGMENTS_MAX: usize = 65_536;

/// A physical volume of the group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) metadata: &'a PhysicalMetadata,
    /// What was given of it.
    pub(super) presence: Presence,
}

/// What was given of a physical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing.
    Missing,
    /// More than one disk claims to be it.
    Twice,
    /// A disk, by its index, with its length in bytes.
    Given(usize, u64),
}

/// Bytes of the group in a segment count from here, times the size of an extent.
pub(super) struct Builder<'a> {
    pub(super) metadata: &'a Metadata,
    /// By their names in the metadata.
    pub(super) members: BTreeMap<&'a [u8], Member<'a>>,
}

fn bad(number: usize, what: &'static str) -> Unmapped {
    Unmapped::BadSegment { number, what }
}

impl Builder<'_> {
    /// Size of an extent in bytes.
    fn extent_bytes(&self) -> Result<u64, OutOfRange> {
        mul(self.metadata.extent_sectors, 512)
    }

    /// The sum of the segments; what does not fit is as large as can be.
    pub(super) fn size_bytes(&self, volume: &LogicalMetadata) -> u64 {
        let extents = volume.segments.iter().map(|segment| segment.extent_count);
        let extents = extents.fold(0, u64::saturating_add);
        extents.saturating_mul(self.metadata.extent_sectors).saturating_mul(512)
    }

    /// The mapping of `volume`.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub(super) fn mapping(&self, volume: &LogicalMetadata) -> Result<Mapping, Unmapped> {
        let (mut len_bytes, mut members, mut segments) = (0, Vec::new(), Vec::new());
        if volume.segments.is_empty() || volume.segments.len() > SEGMENTS_MAX {
            return Err(bad(0, "no segments, or too many"));
        }
        let mut next_extent = 0;
        for (index, segment) in volume.segments.iter().enumerate() {
            let number = index.saturating_add(1);
            if segment.start_extent != next_extent || segment.extent_count == 0 {
                return Err(bad(number, "it does not continue the one before"));
            }
            let too_large = |_| bad(number, "it is too large");
            next_extent = add(next_extent, segment.extent_count).map_err(too_large)?;
            let made = self.segment(&mut members, segment, number)?;
            len_bytes = add(len_bytes, made.len_bytes).map_err(too_large)?;
            segments.push(made);
        }
        Ok(Mapping { len_bytes, members, segments: segments.into() })
    }

    fn segment(
        &self,
        used: &mut Vec<usize>,
        segment: &SegmentMetadata,
        number: usize,
    ) -> Result<Segment, Unmapped> {
        let (stripe_sectors, stripes) = match &segment.kind {
            SegmentKind::Striped { stripe_sectors, stripes } => (*stripe_sectors, stripes),
            SegmentKind::Other { type_name, .. } => {
                return Err(Unmapped::SegmentType(escape(type_name)));
            }
        };
        if stripes.is_empty() || stripes.len() > LANES_MAX {
            return Err(bad(number, "no stripes, or too many"));
        }
        let too_large = |_| bad(number, "it is too large");
        let extent_bytes = self.extent_bytes().map_err(too_large)?;
        let len_bytes = mul(segment.extent_count, extent_bytes).map_err(too_large)?;
        let start_bytes = mul(segment.start_extent, extent_bytes).map_err(too_large)?;
        let lane_count = len_u64(stripes.len());
        let lane_bytes = div(len_bytes, lane_count).map_err(too_large)?;
        let stripe_bytes = match lane_count {
            1 => len_bytes,
            _ => mul(stripe_sectors, 512).map_err(too_large)?,
        };
        let lane_extents = div(segment.extent_count, lane_count).map_err(too_large)?;
        if rem(segment.extent_count, lane_count) != Ok(0) || rem(lane_bytes, stripe_bytes) != Ok(0)
        {
            return Err(bad(number, "its stripes do not come out even"));
        }
        let lanes = stripes
            .iter()
            .map(|(name, extent)| self.lane(used, (name, *extent), lane_extents, number));
        let lanes = lanes.collect::<Result<_, _>>()?;
        Ok(Segment { start_bytes, len_bytes, stripe_bytes, lanes })
    }

    fn lane(
        &self,
        used: &mut Vec<usize>,
        (name, first_extent): (&[u8], u64),
        extent_count: u64,
        number: usize,
    ) -> Result<Lane, Unmapped> {
        let member = self.members.get(name);
        let member = member.ok_or_else(|| Unmapped::NotPhysical(escape(name)))?;
        let too_large = |_| bad(number, "it is too large");
        let end_extent = add(first_extent, extent_count).map_err(too_large)?;
        let uuid = member.metadata.uuid;
        if end_extent > member.metadata.extent_count {
            return Err(bad(number, "it ends behind the extents of its physical volume"));
        }
        let to_bytes = |extent: u64| -> Result<u64, OutOfRange> {
            let inside = mul(extent, self.extent_bytes()?)?;
            add(mul(member.metadata.start_sectors, 512)?, inside)
        };
        let start_bytes = to_bytes(first_extent).map_err(too_large)?;
        let needed_bytes = to_bytes(end_extent).map_err(too_large)?;
        let (disk, actual_bytes) = match member.presence {
            Presence::Missing => return Err(Unmapped::Missing(uuid)),
            Presence::Twice => return Err(Unmapped::GivenTwice(uuid)),
            Presence::Given(disk, len_bytes) => (disk, len_bytes),
        };
        if needed_bytes > actual_bytes {
            return Err(Unmapped::Short { uuid, needed_bytes, actual_bytes });
        }
        let position = used.iter().position(|other| *other == disk);
        let member = position.unwrap_or_else(|| {
            used.push(disk);
            used.len().saturating_sub(1)
        });
        Ok(Lane { member, start_bytes })
    }
}
