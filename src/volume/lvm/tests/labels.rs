//! Labels: where they may stand, and what they must say.

use super::lvm_build;
use super::{GroupSpec, fixture, images, linear, logical, only_group, physical, spec};
use crate::disk::memory::MemoryDisk;
use crate::volume::lvm::{assemble, read};

/// The first fixture with its label in another sector, which says that it is sector `said`.
fn moved(to: usize, said: u64) -> Vec<u8> {
    let mut image = fixture().remove(0);
    let mut label = image[512..1024].to_vec();
    image[512..1024].fill(0);
    label[8..16].copy_from_slice(&said.to_le_bytes());
    lvm_build::seal(&mut label, 16, 20);
    image[to * 512..][..512].copy_from_slice(&label);
    image
}

#[test]
fn a_label_stands_in_one_of_the_first_four_sectors() {
    let uuid = physical(&fixture()[0]).uuid();
    for sector in 0..4 {
        assert_eq!(physical(&moved(sector, sector as u64)).uuid(), uuid, "{sector}");
        let error = read(&MemoryDisk::new(moved(sector, sector as u64 + 1))).unwrap_err();
        assert_eq!(error.kind_name(), "corrupt", "{error}");
    }
    assert_eq!(read(&MemoryDisk::new(moved(4, 4))).unwrap_err().kind_name(), "not_found");
}

#[test]
fn what_a_label_points_to_lies_in_its_sector() {
    for offset in [0_u32, 31, 500, 512, u32::MAX] {
        let mut image = fixture().remove(0);
        let label = &mut image[512..1024];
        label[20..24].copy_from_slice(&offset.to_le_bytes());
        lvm_build::seal(label, 16, 20);
        // Below 32 it is taken for 32, where every label has its header.
        let found = read(&MemoryDisk::new(image));
        assert_eq!(found.is_ok(), offset < 32, "{offset}: {found:?}");
    }
    let mut image = fixture().remove(0);
    image[512 + 72..1024].fill(1);
    lvm_build::seal(&mut image[512..1024], 16, 20);
    let error = read(&MemoryDisk::new(image)).unwrap_err();
    assert!(error.to_string().contains("does not end in the sector"), "{error}");
}

#[test]
fn extents_never_reach_into_the_labels() {
    // The group says that its extents start at byte 1024; the metadata area of this volume is far behind.
    let spec = GroupSpec::new(512, &[4]).with("root", vec![linear(0, 0, 1)]);
    let text = spec.text().replace("pe_start = 2048\n", "pe_start = 2\n");
    assert_ne!(text, spec.text());
    let mut image = spec.head_with(0, &text);
    image.resize(2 << 20, 0);
    let group = only_group(&[image]);
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert_eq!(reason, "it shares extents with the metadata of LVM");
}

/// Metadata of one group, on a physical volume that another group names as its own.
#[test]
fn a_disk_whose_metadata_are_of_another_group_is_not_taken() {
    let first = images(&spec());
    let other = spec().text().replace(
        &lvm_build::dashed(&lvm_build::uuid('G', 0)),
        &lvm_build::dashed(&lvm_build::uuid('G', 7)),
    );
    assert_ne!(other, spec().text());
    let mut stolen = spec().head_with(1, &other);
    stolen.resize(first[1].len(), 0);
    let groups = assemble(&[physical(&first[0]), physical(&stolen)]);
    assert_eq!(groups.len(), 2);
    for group in groups {
        assert_eq!((group.members.len(), group.missing.len()), (1, 1), "{group:?}");
        assert!(logical(&group, "root").mapping.is_err());
    }
}
