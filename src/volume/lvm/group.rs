//! A volume group as it was put together, and what stands in the way of its logical volumes.

use super::mapping::Mapping;
use super::uuid::LvmUuid;
use crate::error::{Corrupt, Error, ErrorKind, Refusal, VolumeObstacle};

/// A volume group with what was given of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name, unescaped; not unique among several targets.
    pub name: Vec<u8>,
    /// What tells it apart.
    pub uuid: LvmUuid,
    /// Number of changes that the metadata have seen.
    pub seqno: u64,
    /// Its physical volumes that were given: indices into what [`assemble`](super::assemble()) was given.
    pub members: Vec<usize>,
    /// Its physical volumes that were not given, or that were away while the group was changed.
    pub missing: Vec<LvmUuid>,
    /// What is wrong without making it useless: sentences for people, safe to print.
    pub warnings: Vec<String>,
    /// Its logical volumes, in the order of the metadata, with the hidden ones.
    pub logical_volumes: Vec<LogicalVolume>,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name, unescaped; unique in its group.
    pub name: Vec<u8>,
    /// What tells it apart.
    pub uuid: LvmUuid,
    /// Its size in bytes as its segments have it.
    pub size_bytes: u64,
    /// False for the parts that other volumes are made of, which are no volumes for people.
    pub is_visible: bool,
    /// Where its bytes are, or why that is not known.
    pub mapping: Result<Mapping, Unmapped>,
    /// Why it must not be written, although it can be read: the kind, and the reason for people, safe to print.
    pub obstacle: Option<(VolumeObstacle, String)>,
}

/// Why the bytes of a logical volume cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unmapped {
    /// A segment is neither linear nor striped.
    #[error("it is of type {0}")]
    SegmentType(
        /// The name of the type, escaped.
        String,
    ),
    /// Another volume keeps its data in it.
    #[error("it is a part of {owner}, which is of type {type_name}")]
    PartOf {
        /// The other volume, escaped.
        owner: String,
        /// The type of that, escaped.
        type_name: String,
    },
    /// A segment lies on another logical volume.
    #[error("a segment lies on {0}, which is no physical volume of the group")]
    NotPhysical(
        /// Its name, escaped.
        String,
    ),
    /// A physical volume was not given.
    #[error("a part of it is on the physical volume {0}, which is missing")]
    Missing(
        /// Which one.
        LvmUuid,
    ),
    /// A physical volume was given twice: a disk and its copy.
    #[error("a part of it is on the physical volume {0}, which was given more than once")]
    GivenTwice(
        /// Which one.
        LvmUuid,
    ),
    /// A disk ends before the extents that the metadata place on it.
    #[error(
        "its extents on the physical volume {uuid} end at byte {needed_bytes}, the disk at byte {actual_bytes}"
    )]
    Short {
        /// Which one.
        uuid: LvmUuid,
        /// Where the extents end, in bytes.
        needed_bytes: u64,
        /// Size of the disk in bytes.
        actual_bytes: u64,
    },
    /// Segments leave a hole, or make no sense.
    #[error("segment {number}: {what}")]
    BadSegment {
        /// Number of the segment, from 1.
        number: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Two segments share bytes.
    #[error("it shares extents with {0}")]
    Overlap(
        /// The other volume, escaped, or itself, or LVM's own metadata.
        String,
    ),
    /// Copies of the metadata contradict each other.
    #[error("two physical volumes have different metadata of the same sequence number {0}")]
    Contradiction(
        /// The number.
        u64,
    ),
}

impl From<Unmapped> for Error {
    fn from(reason: Unmapped) -> Self {
        let refused = |obstacle| {
            let what = "the logical volume".to_owned();
            Refusal::UnsuitableVolume { what, obstacle, reason: reason.to_string() }.into()
        };
        match &reason {
            Unmapped::SegmentType(_) | Unmapped::PartOf { .. } => refused(VolumeObstacle::Layout),
            Unmapped::NotPhysical(_) => refused(VolumeObstacle::Unfinished),
            Unmapped::Missing(_) => refused(VolumeObstacle::Incomplete),
            Unmapped::GivenTwice(_) => Self::usage(reason.to_string()),
            _ => Self::new(ErrorKind::Corrupt(Corrupt::new("logical volume", reason))),
        }
    }
}
