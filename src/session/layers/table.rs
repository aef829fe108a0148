//! Partition tables inside of volumes, as in a RAID that was partitioned.

use super::super::open::Found;
use super::super::{Content, Source};
use super::Layers;
use crate::error::Result;
use crate::volume::{self, place::Place};
use std::sync::Arc;

impl Layers<'_> {
    /// Finds the partitions of the volume at `index`, if it is no partition itself.
    pub(super) fn read_table(&mut self, index: usize, place: &Arc<Place>) -> Result<()> {
        let Some(below) = self.volumes.get(index) else { return Ok(()) };
        if matches!(below.source, Source::Partition) {
            return Ok(());
        }
        let below_id = below.volume.id.clone();
        let layout = volume::find(self.finder.stack(place)?.as_ref())?;
        if layout.volumes.is_empty() {
            return Ok(());
        }
        let table = layout.table.name().to_uppercase();
        self.set_content(index, Content::Layer(format!("a {table} partition table")));
        let warnings = layout.warnings.iter();
        self.warnings.extend(warnings.map(|warning| format!("volume {below_id}: {warning}")));
        for mut volume in layout.volumes {
            volume.id = format!("{below_id}:{}", volume.id);
            let place = place.part(volume.offset_bytes, volume.size_bytes);
            let (source, parents) = (Source::Partition, vec![index]);
            self.add(Found { volume, place, source, parents, obstacle: None })?;
        }
        Ok(())
    }
}
