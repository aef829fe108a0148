//! Volume groups of LVM out of the physical volumes among the volumes.

use super::super::open::Found;
use super::super::{Content, Source};
use super::{Layers, Show};
use crate::bytes::text::escape;
use crate::error::{Refusal, Result};
use crate::volume::lvm::{self, LogicalVolume, VolumeGroup};
use crate::volume::{Volume, place::Place};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Layers<'_> {
    /// Reads the volume at `index` as a physical volume.
    pub(super) fn read_physical(&mut self, index: usize, place: &Place) -> Result<()> {
        let physical = lvm::read(self.finder.stack(place)?.as_ref())?;
        let text = match physical.group() {
            Some((_, name)) => format!("a physical volume of the group {}", escape(name)),
            None if physical.damage().is_empty() => "a physical volume".to_owned(),
            None => format!("a physical volume: {}", physical.damage().join("; ")),
        };
        self.set_content(index, Content::Layer(text));
        self.physical.push((index, physical));
        Ok(())
    }

    /// Adds the logical volumes of groups that are not shown yet.
    pub(super) fn show_groups(&mut self, which: Show) -> Result<()> {
        let physical: Vec<lvm::PhysicalVolume> =
            self.physical.iter().map(|(_, physical)| physical.clone()).collect();
        for group in lvm::assemble(&physical) {
            let is_due = which == Show::All || group.missing.is_empty();
            if is_due && self.shown_groups.insert(group.uuid) {
                let name = escape(&group.name);
                let warnings = group.warnings.iter();
                self.warnings.extend(warnings.map(|it| format!("volume group {name}: {it}")));
                for logical in group.logical_volumes.iter().filter(|logical| logical.is_visible) {
                    self.show_logical(&group, logical)?;
                }
            }
        }
        Ok(())
    }

    fn show_logical(&mut self, group: &VolumeGroup, logical: &LogicalVolume) -> Result<()> {
        let members = |indices: &[usize]| -> Vec<usize> {
            let found = indices.iter().filter_map(|&index| self.physical.get(index));
            found.map(|(volume, _)| *volume).collect()
        };
        let volume = Volume {
            id: format!("{}/{}", escape(&group.name), escape(&logical.name)),
            number: 0,
            offset_bytes: 0,
            size_bytes: logical.size_bytes,
            type_label: "LVM".to_owned(),
            name: Vec::new(),
            part_uuid: None,
        };
        let source = Source::Logical {
            group: group.name.clone(),
            group_uuid: group.uuid.to_string(),
            name: logical.name.clone(),
        };
        let obstacle = logical.obstacle.clone().map(|(obstacle, reason)| {
            let what = "the logical volume".to_owned();
            Refusal::UnsuitableVolume { what, obstacle, reason }
        });
        match &logical.mapping {
            Ok(mapping) => {
                let parents = members(mapping.members());
                let place_of =
                    |&parent: &usize| self.volumes.get(parent).map(|it| it.place.clone());
                let physical: Vec<Arc<Place>> = parents.iter().filter_map(place_of).collect();
                let place = Arc::new(Place::Logical { mapping: mapping.clone(), physical });
                self.add(Found { volume, place, source, parents, obstacle })
            }
            Err(reason) => {
                let parents = members(&group.members);
                let place = Arc::new(Place::Unknown);
                let found = Found { volume, place, source, parents, obstacle };
                self.add_closed(found, reason.clone().into())
            }
        }
    }

    /// Calls the volumes of groups that share a name by the identifiers of their groups (VOL-16).
    pub(super) fn tell_groups_apart(&mut self) {
        let mut groups: BTreeSet<(Vec<u8>, String)> = BTreeSet::new();
        for volume in &self.volumes {
            if let Source::Logical { group, group_uuid, .. } = &volume.source {
                groups.insert((group.clone(), group_uuid.clone()));
            }
        }
        let is_shared =
            |name: &[u8]| groups.iter().filter(|(group, _)| group == name).nth(1).is_some();
        for volume in &mut self.volumes {
            if let Source::Logical { group, group_uuid, name } = &volume.source
                && is_shared(group)
            {
                volume.volume.id = format!("{group_uuid}/{}", escape(name));
            }
        }
    }
}
