//! Volume groups out of physical volumes.

use super::PhysicalVolume;
use super::group::{LogicalVolume, Unmapped, VolumeGroup};
use super::metadata::{LogicalMetadata, Metadata, has};
use super::obstacle::{Additions, obstacle};
use super::overlap;
use super::segment::{Builder, Member, Presence};
use super::uuid::LvmUuid;
use crate::error::VolumeObstacle;
use std::collections::BTreeMap;

/// Puts groups together out of `volumes`; their indices are what the result counts in. Physical volumes of several
/// groups may be mixed; those without metadata of their own go to the group that names them.
///
/// The order of the groups is that of their identifiers.
pub fn assemble(volumes: &[PhysicalVolume]) -> Vec<VolumeGroup> {
    let mut newest: BTreeMap<LvmUuid, (&Metadata, bool)> = BTreeMap::new();
    for metadata in volumes.iter().filter_map(|volume| volume.metadata.as_deref()) {
        let kept = newest.entry(metadata.uuid).or_insert((metadata, false));
        if metadata.seqno > kept.0.seqno {
            *kept = (metadata, false);
        } else if metadata.seqno == kept.0.seqno && metadata != kept.0 {
            kept.1 = true;
        }
    }
    newest.into_values().map(|(metadata, differ)| group(metadata, differ, volumes)).collect()
}

fn group(metadata: &Metadata, differ: bool, volumes: &[PhysicalVolume]) -> VolumeGroup {
    let members: Vec<Member<'_>> = metadata
        .physical
        .iter()
        .map(|physical| Member {
            metadata: physical,
            presence: if physical.is_missing {
                Presence::Missing
            } else {
                presence(physical.uuid, metadata.uuid, volumes)
            },
        })
        .collect();
    let given = members.iter().filter_map(|member| match member.presence {
        Presence::Given(index, _) => Some(index),
        Presence::Missing | Presence::Twice => None,
    });
    let given: Vec<usize> = given.collect();
    let missing = members.iter().filter(|member| member.presence == Presence::Missing);
    let missing: Vec<LvmUuid> = missing.map(|member| member.metadata.uuid).collect();
    let members = members.into_iter().map(|member| (member.metadata.name.as_slice(), member));
    let builder = Builder { metadata, members: members.collect() };
    let additions = Additions::of(metadata);
    let volume = |logical| volume(&builder, &additions, logical);
    let mut logical_volumes: Vec<LogicalVolume> = metadata.logical.iter().map(volume).collect();
    overlap::refuse(&mut logical_volumes, &own_areas(&given, volumes));
    // Only now, because what is a part of another volume has extents, too.
    for (volume, logical) in logical_volumes.iter_mut().zip(&metadata.logical) {
        if let (Ok(_), Some(reason)) = (&volume.mapping, additions.part_of(logical)) {
            volume.mapping = Err(reason);
        }
    }
    if differ {
        for volume in &mut logical_volumes {
            volume.mapping = Err(Unmapped::Contradiction(metadata.seqno));
        }
    }
    let warnings = warnings(metadata, &given, volumes);
    if let Some(first) = warnings.first() {
        for volume in &mut logical_volumes {
            let obstacle = (VolumeObstacle::Damaged, first.clone());
            volume.obstacle.get_or_insert(obstacle);
        }
    }
    VolumeGroup {
        name: metadata.name.clone(),
        uuid: metadata.uuid,
        seqno: metadata.seqno,
        members: given,
        missing,
        warnings,
        logical_volumes,
    }
}

/// Where a physical volume of `group` is. One whose own metadata are of another group is not it.
fn presence(wanted: LvmUuid, group: LvmUuid, volumes: &[PhysicalVolume]) -> Presence {
    let of_group = |volume: &PhysicalVolume| volume.group().is_none_or(|(uuid, _)| uuid == group);
    let mut found = volumes.iter().enumerate();
    let mut found = found.by_ref().filter(|(_, volume)| volume.uuid == wanted && of_group(volume));
    match (found.next(), found.next()) {
        (None, _) => Presence::Missing,
        (Some((index, volume)), None) => Presence::Given(index, volume.len_bytes),
        (Some(_), Some(_)) => Presence::Twice,
    }
}

fn own_areas(given: &[usize], volumes: &[PhysicalVolume]) -> Vec<(usize, super::Area)> {
    let mut areas = Vec::new();
    for index in given {
        areas.push((*index, overlap::label_area()));
        let volume = volumes.get(*index).into_iter();
        areas.extend(volume.flat_map(|volume| &volume.areas).map(|area| (*index, *area)));
    }
    areas
}

fn warnings(metadata: &Metadata, given: &[usize], volumes: &[PhysicalVolume]) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in given.iter().filter_map(|index| volumes.get(*index)) {
        let uuid = volume.uuid;
        for damage in &volume.damage {
            warnings.push(format!("physical volume {uuid}: {damage}"));
        }
        match &volume.metadata {
            Some(own) if own.seqno < metadata.seqno => warnings.push(format!(
                "physical volume {uuid} has metadata of sequence number {}, the group of {}",
                own.seqno, metadata.seqno
            )),
            _ => {}
        }
    }
    warnings
}

fn volume(
    builder: &Builder<'_>,
    additions: &Additions<'_>,
    logical: &LogicalMetadata,
) -> LogicalVolume {
    LogicalVolume {
        name: logical.name.clone(),
        uuid: logical.uuid,
        size_bytes: builder.size_bytes(logical),
        is_visible: has(&logical.status, b"VISIBLE"),
        mapping: builder.mapping(logical),
        obstacle: obstacle(builder.metadata, additions, logical),
    }
}
