//! What stands in the way of a logical volume that could be mapped.
//!
//! Flags of a status that are not known here forbid writing: LVM itself refuses groups with unknown ones. The
//! `system_id` of a group says on which host LVM may use it, and forbids nothing here: that host is not running.

use super::group::Unmapped;
use super::metadata::{LogicalMetadata, Metadata, has};
use super::segment_metadata::SegmentKind;
use crate::bytes::text::escape;
use crate::error::VolumeObstacle;
use std::collections::{BTreeMap, BTreeSet};

/// A segment that names other volumes: the volume that has it, and its type.
type Addition<'a> = (&'a [u8], &'a [u8]);

/// The segments that name other volumes, by these: those that are neither linear nor striped, and those of which a stripe
/// lies on a logical volume.
pub(super) struct Additions<'a> {
    /// By the volumes that they are an addition to.
    origins: BTreeMap<&'a [u8], Addition<'a>>,
    /// By the volumes that hold their data.
    uses: BTreeMap<&'a [u8], Addition<'a>>,
}

impl<'a> Additions<'a> {
    /// Those in `metadata`; the first one that names a volume is kept.
    pub(super) fn of(metadata: &'a Metadata) -> Self {
        let mut additions = Self { origins: BTreeMap::new(), uses: BTreeMap::new() };
        // LVM looks for a stripe among the physical volumes first.
        let physical: BTreeSet<&[u8]> =
            metadata.physical.iter().map(|physical| physical.name.as_slice()).collect();
        for volume in &metadata.logical {
            for segment in &volume.segments {
                match &segment.kind {
                    SegmentKind::Striped { stripes, .. } => {
                        let names = stripes.iter().map(|(name, _)| name.as_slice());
                        for name in names.filter(|name| !physical.contains(name)) {
                            additions.uses.entry(name).or_insert((&volume.name, b"striped"));
                        }
                    }
                    SegmentKind::Other { type_name, origins, uses } => {
                        let addition: Addition<'_> = (&volume.name, type_name);
                        for name in origins {
                            additions.origins.entry(name).or_insert(addition);
                        }
                        for name in uses {
                            additions.uses.entry(name).or_insert(addition);
                        }
                    }
                }
            }
        }
        additions
    }

    /// Why `logical` is no volume of its own.
    pub(super) fn part_of(&self, logical: &LogicalMetadata) -> Option<Unmapped> {
        let (owner, type_name) = self.uses.get(logical.name.as_slice())?;
        Some(Unmapped::PartOf { owner: escape(owner), type_name: escape(type_name) })
    }

    /// The volume that has `logical` as its origin, and its type.
    fn snapshot(&self, logical: &LogicalMetadata) -> Option<(String, String)> {
        let (owner, type_name) = self.origins.get(logical.name.as_slice())?;
        Some((escape(owner), escape(type_name)))
    }
}

/// Flags of a group that do not stand in the way of writing.
const GROUP_FLAGS: [&[u8]; 3] = [b"READ", b"WRITE", b"RESIZEABLE"];

/// The same of a logical volume.
const VOLUME_FLAGS: [&[u8]; 4] = [b"READ", b"WRITE", b"VISIBLE", b"FIXED_MINOR"];

/// Why `logical` must not be written.
pub(super) fn obstacle(
    metadata: &Metadata,
    additions: &Additions<'_>,
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
    if let Some((by, type_name)) = additions.snapshot(logical) {
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
