//! Arrays out of members, and what may be done with them.

use super::mirror::{Copy, MirrorLayout};
use super::{Role, Superblock, level_name, stale};
use crate::bytes::guid::Uuid;
use crate::error::{Error, Refusal, VolumeObstacle};
use std::collections::BTreeMap;

/// An array with what was given of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// What tells it apart.
    pub uuid: Uuid,
    /// Its name, unescaped; may be empty.
    pub name: Vec<u8>,
    /// The version of its superblocks.
    pub version: &'static str,
    /// The level by the name its tools use, as in "raid1".
    pub level: String,
    /// Size of a mirror in bytes; of other levels what they use of each member.
    pub size_bytes: u64,
    /// All members that were given: indices into what [`assemble`] was given.
    pub given: Vec<usize>,
    /// In-sync members that were not given.
    pub missing_count: usize,
    /// What is wrong without making it useless: sentences for people, safe to print.
    pub warnings: Vec<String>,
    /// The mirror, or why it cannot be read.
    pub layout: Result<MirrorLayout, Unusable>,
    /// Why it must not be written, although it can be read.
    pub obstacle: Option<Unusable>,
}

/// Why an array cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The kind of obstacle.
    pub obstacle: VolumeObstacle,
    /// Why, safe to print.
    pub reason: String,
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        let Unusable { obstacle, reason } = unusable;
        Refusal::UnsuitableVolume { what: "the RAID array".to_owned(), obstacle, reason }.into()
    }
}

pub(super) fn unusable(obstacle: VolumeObstacle, reason: impl Into<String>) -> Unusable {
    Unusable { obstacle, reason: reason.into() }
}

/// A member with its index.
type Member<'a> = (usize, &'a Superblock);

/// Puts arrays together out of `superblocks`; their indices are what the result counts in. The order of the arrays is
/// that of their first members.
pub fn assemble(superblocks: &[Superblock]) -> Vec<Array> {
    let mut arrays: Vec<(Uuid, Vec<Member<'_>>)> = Vec::new();
    for (index, superblock) in superblocks.iter().enumerate() {
        match arrays.iter_mut().find(|(uuid, _)| *uuid == superblock.uuid) {
            Some((_, members)) => members.push((index, superblock)),
            None => arrays.push((superblock.uuid, vec![(index, superblock)])),
        }
    }
    arrays.iter().filter_map(|(_, members)| array(members)).collect()
}

/// `None` if there are no members.
fn array(members: &[Member<'_>]) -> Option<Array> {
    let newest = members.iter().map(|(_, one)| *one).max_by_key(|one| one.events)?;
    let fresh: Vec<Member<'_>> =
        members.iter().filter(|(_, one)| one.events == newest.events).copied().collect();
    let in_sync: BTreeMap<u32, Vec<Member<'_>>> = in_sync(&fresh);
    let active = newest.roles.iter().filter(|role| matches!(role, Role::Active(_))).count();
    let missing_count = active.saturating_sub(in_sync.len());
    let layout = layout(newest, &fresh, &in_sync);
    let stale: Vec<&Superblock> =
        members.iter().map(|(_, one)| *one).filter(|one| one.events != newest.events).collect();
    let up_to_date: Vec<&Superblock> = fresh.iter().map(|(_, one)| *one).collect();
    let obstacle = stale::obstacle(&up_to_date, &stale)
        .or_else(|| obstacle(newest, &fresh, active, missing_count));
    let warning = format!("{} of the members given are out of date, and are not used", stale.len());
    Some(Array {
        uuid: newest.uuid,
        name: newest.name.clone(),
        version: newest.version,
        level: level_name(newest.level),
        size_bytes: newest.size_bytes,
        given: members.iter().map(|(index, _)| *index).collect(),
        missing_count,
        warnings: (!stale.is_empty()).then_some(warning).into_iter().collect(),
        layout,
        obstacle,
    })
}

/// The members whose data are whole, by their place; several at one place are copies of a disk.
fn in_sync<'a>(fresh: &[Member<'a>]) -> BTreeMap<u32, Vec<Member<'a>>> {
    let mut in_sync: BTreeMap<u32, Vec<Member<'a>>> = BTreeMap::new();
    for (index, member) in fresh {
        match member.role() {
            Role::Active(place) if !member.is_recovering => {
                in_sync.entry(place).or_default().push((*index, member));
            }
            Role::Active(_) | Role::Other => {}
        }
    }
    in_sync
}

fn layout(
    newest: &Superblock,
    fresh: &[Member<'_>],
    in_sync: &BTreeMap<u32, Vec<Member<'_>>>,
) -> Result<MirrorLayout, Unusable> {
    if newest.level != 1 {
        let reason = format!("it is of level {}", level_name(newest.level));
        return Err(unusable(VolumeObstacle::Layout, reason));
    }
    let agrees = |one: &Superblock| {
        (one.level, one.raid_disks, one.size_bytes, &one.roles, one.version)
            == (newest.level, newest.raid_disks, newest.size_bytes, &newest.roles, newest.version)
    };
    if !fresh.iter().all(|(_, one)| agrees(one)) {
        let reason = "its members disagree about each other: they were used apart";
        return Err(unusable(VolumeObstacle::OutOfSync, reason));
    }
    if in_sync.values().any(|copies| copies.len() > 1) {
        let reason = "a member was given more than once: a disk and its copy";
        return Err(unusable(VolumeObstacle::OutOfSync, reason));
    }
    let copies: Vec<Copy> = in_sync
        .values()
        .flatten()
        .map(|(disk, member)| Copy { disk: *disk, start_bytes: member.data_offset_bytes })
        .collect();
    if copies.is_empty() {
        let reason = "none of its members that are in sync was given";
        return Err(unusable(VolumeObstacle::Incomplete, reason));
    }
    Ok(MirrorLayout { len_bytes: newest.size_bytes, copies })
}

fn obstacle(
    newest: &Superblock,
    fresh: &[Member<'_>],
    active: usize,
    missing_count: usize,
) -> Option<Unusable> {
    use VolumeObstacle as Kind;
    if let Some((kind, what)) = fresh.iter().find_map(|(_, one)| one.hindrances.first()) {
        return Some(unusable(*kind, *what));
    }
    if fresh.iter().any(|(_, one)| one.is_recovering) {
        return Some(unusable(Kind::Unfinished, "the rebuild of a member is not finished"));
    }
    if missing_count > 0 {
        let reason = format!("{missing_count} of its {active} in-sync members not given");
        return Some(unusable(Kind::Incomplete, reason));
    }
    if active > 1 && !fresh.iter().all(|(_, one)| one.is_clean) {
        let reason = "it was not stopped cleanly, so its copies may differ";
        return Some(unusable(Kind::OutOfSync, reason));
    }
    let is_degraded = crate::bytes::arith::len_u64(active) < u64::from(newest.raid_disks);
    if is_degraded && newest.has_bitmap {
        let reason = "it is degraded and has a write-intent bitmap, by which a member that comes \
                      back would miss the edit (`mdadm --grow --bitmap=none` removes it)";
        return Some(unusable(Kind::OutOfSync, reason));
    }
    None
}
