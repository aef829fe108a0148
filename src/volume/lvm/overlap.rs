//! Bytes that two volumes claim, or that belong to LVM itself.

use super::group::{LogicalVolume, Unmapped};
use super::label::{Area, LABELS_BYTES};
use crate::bytes::arith::{OutOfRange, add, div, len_u64};
use crate::bytes::text::escape;

/// A claim on a physical volume.
#[derive(Debug, Clone, Copy)]
struct Claim {
    /// Index of the disk.
    disk: usize,
    start_bytes: u64,
    end_bytes: u64,
    /// Index of the logical volume; `None`: LVM itself.
    owner: Option<usize>,
}

/// Takes the mapping of every volume that shares bytes with another, with itself, or with the metadata of LVM.
/// `areas` are the metadata areas of the disks that were given, with the index of the disk.
pub(super) fn refuse(volumes: &mut [LogicalVolume], areas: &[(usize, Area)]) {
    let mut claims: Vec<Claim> = areas.iter().map(|(disk, area)| own_claim(*disk, *area)).collect();
    for (index, volume) in volumes.iter().enumerate() {
        claims.extend(of_volume(index, volume).unwrap_or_default());
    }
    claims.sort_by_key(|claim| (claim.disk, claim.start_bytes));
    let mut reaching: Option<Claim> = None;
    let mut clashes = Vec::new();
    for claim in claims {
        if let Some(other) = reaching
            && other.disk == claim.disk
            && other.end_bytes > claim.start_bytes
        {
            clashes.push((claim.owner, other.owner));
        }
        let reaches = |other: Claim| other.disk != claim.disk || claim.end_bytes > other.end_bytes;
        if reaching.is_none_or(reaches) {
            reaching = Some(claim);
        }
    }
    for (one, other) in clashes {
        take(volumes, one, other);
        take(volumes, other, one);
    }
}

fn own_claim(disk: usize, area: Area) -> Claim {
    let end_bytes = area.start_bytes.saturating_add(area.size_bytes);
    Claim { disk, start_bytes: area.start_bytes, end_bytes, owner: None }
}

/// The sectors of the label.
pub(super) fn label_area() -> Area {
    Area { start_bytes: 0, size_bytes: LABELS_BYTES }
}

fn of_volume(index: usize, volume: &LogicalVolume) -> Result<Vec<Claim>, OutOfRange> {
    let Ok(mapping) = &volume.mapping else {
        return Ok(Vec::new());
    };
    let mut claims = Vec::new();
    for segment in mapping.segments.iter() {
        let lane_bytes = div(segment.len_bytes, len_u64(segment.lanes.len()))?;
        for lane in &segment.lanes {
            let disk = mapping.members.get(lane.member).copied().ok_or(OutOfRange)?;
            let end_bytes = add(lane.start_bytes, lane_bytes)?;
            let owner = Some(index);
            claims.push(Claim { disk, start_bytes: lane.start_bytes, end_bytes, owner });
        }
    }
    Ok(claims)
}

fn take(volumes: &mut [LogicalVolume], loser: Option<usize>, other: Option<usize>) {
    let name = match other.and_then(|index| volumes.get(index)) {
        Some(other) => escape(&other.name),
        None => "the metadata of LVM".to_owned(),
    };
    if let Some(volume) = loser.and_then(|index| volumes.get_mut(index)) {
        volume.mapping = Err(Unmapped::Overlap(name));
    }
}
