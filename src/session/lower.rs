//! Brings finished edits of volumes down to the bytes of the disks.
//!
//! The changes of each volume are written through its [`Place`] into fresh overlays of the disks: a mirror writes
//! them to every member, an encrypted volume as cipher text. Then they are read back the same way and compared:
//! a recipe that reads otherwise than it writes, or two volumes that share bytes, end here.

use crate::disk::overlay::{Change, Drained, Overlay};
use crate::disk::{Disk, DiskEdit};
use crate::error::{Refusal, Result};
use crate::volume::place::{DiskIndex, Place};
use std::sync::Arc;

/// The changes of one disk.
pub(super) type DiskChanges = (DiskIndex, Vec<Change>);

/// Moves the changes of `volumes`, each with its name for people, to the disks, and gives those of each disk that
/// has any. The overlays of the volumes are empty then, also after an error.
///
/// # Errors
/// * `Refused` ([`Refusal::NotVerified`]) - a volume does not read back as it was written.
/// * `Io`, `Corrupt`, `Limit` - as the layers of the stack.
pub(super) fn lower(
    disks: &[Arc<dyn Disk>],
    volumes: &[(String, &Place, &Overlay)],
) -> Result<Vec<DiskChanges>> {
    let overlays: Vec<Arc<Overlay>> =
        disks.iter().map(|disk| Arc::new(Overlay::recording(disk.clone()))).collect();
    let below: Vec<Arc<dyn DiskEdit>> = overlays.iter().cloned().map(shared).collect();
    let mut written: Vec<(&str, Arc<dyn DiskEdit>, Drained)> = Vec::new();
    for (name, place, overlay) in volumes {
        let target = place.on(&below)?;
        let drained = overlay.drain_to(target.as_ref())?;
        written.push((name, target, drained));
    }
    for (name, target, drained) in &written {
        if !drained.is_on(target.as_ref())? {
            let detail = format!("{name} does not read back from the disks as it was edited");
            return Err(Refusal::NotVerified { detail }.into());
        }
    }
    let mut changes = Vec::new();
    for (index, overlay) in overlays.iter().enumerate() {
        let of_disk = overlay.take_changes()?;
        if !of_disk.is_empty() {
            changes.push((DiskIndex(index), of_disk));
        }
    }
    Ok(changes)
}

fn shared(overlay: Arc<Overlay>) -> Arc<dyn DiskEdit> {
    overlay
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    fn disks(count: usize) -> Vec<Arc<dyn Disk>> {
        (0..count).map(|_| Arc::new(MemoryDisk::new(vec![0; 8192])) as Arc<dyn Disk>).collect()
    }

    fn overlay_of(disks: &[Arc<dyn Disk>], place: &Place) -> Overlay {
        let fixed = disks.iter().map(|disk| {
            Arc::new(crate::disk::fixed::Fixed::new(disk.clone())) as Arc<dyn DiskEdit>
        });
        Overlay::new(place.on(&fixed.collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn the_changes_of_each_volume_arrive_where_it_lies() {
        let disks = disks(3);
        let first = Arc::new(Place::Disk(DiskIndex(0))).part(1024, 2048);
        let second = Arc::new(Place::Disk(DiskIndex(2))).part(512, 2048);
        let overlays = [overlay_of(&disks, &first), overlay_of(&disks, &second)];
        overlays[0].write_at(5, b"ab", "inode 1").unwrap();
        overlays[1].write_at(512, b"c", "inode 2").unwrap();
        overlays[1].write_at(1024, &[0; 512], "same").unwrap();
        let volumes = [
            ("volume 1".to_owned(), first.as_ref(), &overlays[0]),
            ("volume 3:1".to_owned(), second.as_ref(), &overlays[1]),
        ];
        let changes = lower(&disks, &volumes).unwrap();
        let shape: Vec<_> = changes
            .iter()
            .map(|(disk, runs)| (disk.0, runs.len(), runs[0].offset_bytes, runs[0].labels.clone()))
            .collect();
        let labels = |label: &str| vec![label.to_owned()];
        assert_eq!(shape, [(0, 1, 1024, labels("inode 1")), (2, 1, 1024, labels("inode 2"))]);
        assert_eq!(changes[0].1[0].after[5..7], *b"ab");
        assert_eq!(overlays[0].written(), []);
    }

    #[test]
    fn volumes_that_share_bytes_do_not_read_back() {
        let disks = disks(1);
        let whole = Arc::new(Place::Disk(DiskIndex(0)));
        let (first, second) = (whole.part(0, 2048), whole.part(1024, 2048));
        let overlays = [overlay_of(&disks, &first), overlay_of(&disks, &second)];
        overlays[0].write_at(1030, b"a", "inode 1").unwrap();
        overlays[1].write_at(0, b"b", "inode 2").unwrap();
        let volumes = [
            ("volume 1".to_owned(), first.as_ref(), &overlays[0]),
            ("volume 2".to_owned(), second.as_ref(), &overlays[1]),
        ];
        let error = lower(&disks, &volumes).unwrap_err();
        assert!(error.to_string().contains("volume 1 does not read back"), "{error}");
        assert_eq!(error.exit_status(), 4);
    }
}
