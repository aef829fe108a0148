//! What stands in the way of a logical volume that could be mapped.
//!
//! Flags of a status that are not known here forbid writing: LVM itself refuses groups with unknown ones. The
//! `system_id` of a group says on which host LVM may use it, and forbids nothing here: that host is not running.

use super::group::Unmapped;
use super::metadata::{LogicalMetadata, Metadata, SegmentKind, has};
use crate::bytes::text::escape;
use crate::error::VolumeObstacle;

/// A segment that is neither linear nor striped.
struct Addition<'a> {
    /// The volume that has it.
    owner: &'a [u8],
    type_name: &'a [u8],
    /// The volumes that it is an addition to.
    origins: &'a [Vec<u8>],
    /// The volumes that hold its data.
    uses: &'a [Vec<u8>],
}

fn additions(metadata: &Metadata) -> impl Iterator<Item = Addition<'_>> {
    metadata.logical.iter().flat_map(|volume| {
        volume.segments.iter().filter_map(|segment| match &segment.kind {
            SegmentKind::Other { type_name, origins, uses } => {
                Some(Addition { owner: &volume.name, type_name, origins, uses })
            }
            SegmentKind::Striped { .. } => None,
        })
    })
}

/// Why `logical` is no volume of its own.
pub(super) fn part_of(metadata: &Metadata, logical: &LogicalMetadata) -> Option<Unmapped> {
    let mut additions = additions(metadata);
    let user = additions.find(|addition| addition.uses.contains(&logical.name))?;
    Some(Unmapped::PartOf { owner: escape(user.owner), type_name: escape(user.type_name) })
}

/// Flags of a group that do not stand in the way of writing.
const GROUP_FLAGS: [&[u8]; 3] = [b"READ", b"WRITE", b"RESIZEABLE"];

/// The same of a logical volume.
const VOLUME_FLAGS: [&[u8]; 4] = [b"READ", b"WRITE", b"VISIBLE", b"FIXED_MINOR"];

/// Why `logical` must not be written.
pub(super) fn obstacle(
    metadata: &Metadata,
    logical: &LogicalMetadata,
) -> Option<(VolumeObstacle, String)> {
    use VolumeObstacle as Kind;
    if let Some(lock) = &metadata.lock_type
        && !matches!(lock.as_slice(), b"none" | b"")
    {
        return Some((Kind::Shared, format!("its group is shared, locked by {}", escape(lock))));
    }
    for flag in &metadata.status {
        if !GROUP_FLAGS.contains(&flag.as_slice()) {
            return Some((Kind::Shared, format!("its group has the status {}", escape(flag))));
        }
    }
    if let Some((by, type_name)) = snapshot(metadata, logical) {
        return Some((
            Kind::Snapshot,
            format!("it is the origin of {by}, which is of type {type_name}"),
        ));
    }
    for flag in &logical.status {
        if !VOLUME_FLAGS.contains(&flag.as_slice()) {
            return Some((Kind::Unfinished, format!("it has the status {}", escape(flag))));
        }
    }
    for (status, owner) in [(&metadata.status, "its group"), (&logical.status, "it")] {
        if !has(status, b"READ") || !has(status, b"WRITE") {
            return Some((Kind::ReadOnly, format!("{owner} is read-only")));
        }
    }
    let hidden = (Kind::Layout, "it is a hidden part of another volume".to_owned());
    (!has(&logical.status, b"VISIBLE")).then_some(hidden)
}

/// The volume that has `logical` as its origin, and its type.
fn snapshot(metadata: &Metadata, logical: &LogicalMetadata) -> Option<(String, String)> {
    let by = additions(metadata).find(|addition| addition.origins.contains(&logical.name))?;
    Some((escape(by.owner), escape(by.type_name)))
}
