//! Mirrors of Linux RAID out of the members among the volumes.

use super::super::open::Found;
use super::super::{Content, Source};
use super::{Layers, Show};
use crate::bytes::text::escape;
use crate::error::{Refusal, Result};
use crate::volume::md::{self, Array};
use crate::volume::{Volume, place::Place};
use std::sync::Arc;

impl Layers<'_> {
    /// Reads the volume at `index` as a member of an array. False if it is none.
    pub(super) fn read_member(&mut self, index: usize, place: &Place) -> Result<bool> {
        let found = md::Superblock::read(self.finder.stack(place)?.as_ref())?;
        let Some(superblock) = found else { return Ok(false) };
        let text = format!("a member of the RAID {}", name_of(&superblock.name, superblock.uuid));
        self.set_content(index, Content::Layer(text));
        self.members.push((index, superblock));
        Ok(true)
    }

    /// Adds the arrays that are not shown yet.
    pub(super) fn show_arrays(&mut self, which: Show) -> Result<()> {
        let superblocks: Vec<md::Superblock> =
            self.members.iter().map(|(_, superblock)| superblock.clone()).collect();
        for array in md::assemble(&superblocks) {
            let is_due = which == Show::All || array.missing_count == 0;
            if is_due && self.shown_arrays.insert(array.uuid.to_string()) {
                self.show_array(&array)?;
            }
        }
        Ok(())
    }

    fn show_array(&mut self, array: &Array) -> Result<()> {
        let name = name_of(&array.name, array.uuid);
        let warnings = array.warnings.iter().map(|warning| format!("RAID {name}: {warning}"));
        self.warnings.extend(warnings);
        let volumes_of = |members: &[usize]| -> Vec<usize> {
            let found = members.iter().filter_map(|&member| self.members.get(member));
            found.map(|(volume, _)| *volume).collect()
        };
        let volume = Volume {
            id: format!("md:{name}"),
            number: 0,
            offset_bytes: 0,
            size_bytes: array.size_bytes,
            type_label: array.level.clone(),
            name: Vec::new(),
            part_uuid: None,
        };
        let uuid = array.uuid.to_string();
        let source = Source::Array { name: array.name.clone(), uuid };
        let obstacle = array.obstacle.clone().map(|unusable| {
            let (what, obstacle) = ("the RAID array".to_owned(), unusable.obstacle);
            Refusal::UnsuitableVolume { what, obstacle, reason: unusable.reason }
        });
        match &array.layout {
            Ok(layout) => {
                let parents = volumes_of(&layout.members());
                let place_of =
                    |&parent: &usize| self.volumes.get(parent).map(|it| it.place.clone());
                let copies: Vec<Arc<Place>> = parents.iter().filter_map(place_of).collect();
                let place = Arc::new(Place::Mirror { layout: layout.clone(), copies });
                self.add(Found { volume, place, source, parents, obstacle })
            }
            Err(reason) => {
                let (parents, place) = (volumes_of(&array.given), Arc::new(Place::Unknown));
                let found = Found { volume, place, source, parents, obstacle };
                self.add_closed(found, reason.clone().into())
            }
        }
    }
}

impl Layers<'_> {
    /// Calls arrays that share a name by their identifiers.
    pub(super) fn tell_arrays_apart(&mut self) {
        let ids: Vec<String> = self.volumes.iter().map(|volume| volume.volume.id.clone()).collect();
        for volume in &mut self.volumes {
            if let Source::Array { uuid, .. } = &volume.source
                && ids.iter().filter(|id| **id == volume.volume.id).nth(1).is_some()
            {
                volume.volume.id = format!("md:{uuid}");
            }
        }
    }
}

/// The name of an array for people, or its identifier if it has none.
fn name_of(name: &[u8], uuid: crate::bytes::guid::Uuid) -> String {
    if name.is_empty() { uuid.to_string() } else { escape(name) }
}
