//! Bounds, met and exceeded by one.

use super::{GroupSpec, SegmentSpec, images, linear, logical, only_group, overlays, text};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::error::Result;
use crate::volume::lvm::LogicalDisk;
use std::sync::Arc;

#[test]
fn sections_lie_inside_each_other_sixteen_deep() {
    let nested = |depth: usize| "a {".repeat(depth) + &"}".repeat(depth);
    assert!(text::parse(nested(16).as_bytes()).is_ok());
    let defect = text::parse(nested(17).as_bytes()).unwrap_err().to_string();
    assert!(defect.contains("too deep"), "{defect}");
}

#[test]
fn a_segment_has_128_lanes_at_most() {
    for (count, is_right) in [(128_u64, true), (129, false)] {
        let lanes = (0..count).map(|extent| (0, extent)).collect();
        let striped = SegmentSpec::Striped { extents: count, stripe_bytes: 4096, lanes };
        let spec = GroupSpec::new(4096, &[count]).with("root", vec![striped]);
        let group = only_group(&images(&spec));
        assert_eq!(logical(&group, "root").mapping.is_ok(), is_right, "{count}");
    }
}

/// A disk with sectors of 4096 bytes.
#[derive(Debug)]
struct Large(Arc<Overlay>);

impl Disk for Large {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        4096
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset_bytes, buffer)
    }
}

impl DiskEdit for Large {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        self.0.write_at(offset_bytes, bytes, what)
    }
}

#[test]
fn a_logical_volume_has_the_larger_sectors_of_all_of_its_disks() {
    let segments = vec![linear(0, 1, 2), linear(1, 3, 1)];
    let images = images(&GroupSpec::new(65536, &[4, 4]).with("root", segments));
    let disks = overlays(&images);
    let mapping = logical(&only_group(&images), "root").mapping.clone().unwrap();
    let both: Vec<Arc<dyn DiskEdit>> = vec![disks[0].clone(), Arc::new(Large(disks[1].clone()))];
    let disk = LogicalDisk::new(mapping.clone(), both.clone()).unwrap();
    assert_eq!(disk.sector_size_bytes(), 4096);
    let error = LogicalDisk::new(mapping, both[..1].to_vec()).unwrap_err();
    assert_eq!(error.kind_name(), "usage");
}
