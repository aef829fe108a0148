//! Several metadata areas on one physical volume, and texts of every size.

use super::lvm_build::{self, DATA_START_BYTES};
use super::{GroupSpec, images, linear, logical, only_group, physical, spec};
use crate::disk::memory::MemoryDisk;
use crate::error::VolumeObstacle;
use crate::volume::lvm::{TEXT_BYTES_MAX, assemble, read};

/// Where the first area starts, and the second one behind the extents.
const FIRST: usize = 4096;
const AREA_BYTES: usize = DATA_START_BYTES as usize - FIRST;

/// Moves the area in `image`, which starts at 0 there, to `at` and says so in its header.
fn placed(area: &[u8], at: usize) -> Vec<u8> {
    let mut area = area.to_vec();
    area[24..32].copy_from_slice(&(at as u64).to_le_bytes());
    lvm_build::seal(&mut area[..512], 0, 4);
    area
}

/// The first physical volume of `first` with a second area, as that of `second`.
fn with_two_areas(first: &GroupSpec, second: &GroupSpec) -> Vec<u8> {
    let mut image = images(first).remove(0);
    let at = image.len();
    let other = images(second).remove(0);
    image.extend(placed(&other[FIRST..FIRST + AREA_BYTES], at));
    let label = &mut image[512..1024];
    label[120..128].copy_from_slice(&(at as u64).to_le_bytes());
    label[128..136].copy_from_slice(&(AREA_BYTES as u64).to_le_bytes());
    label[136..].fill(0);
    lvm_build::seal(label, 16, 20);
    image
}

fn one_disk(seqno: u64, extents: u64) -> GroupSpec {
    let spec = GroupSpec::new(65536, &[8]).with("root", vec![linear(0, 1, extents)]);
    GroupSpec { seqno, ..spec }
}

#[test]
fn the_newer_of_two_areas_counts_and_the_older_one_is_told() {
    for (first, second, size) in [(3, 3, 2), (3, 9, 4), (9, 3, 2)] {
        let newer = one_disk(second, if first == second { 2 } else { 4 });
        let image = with_two_areas(&one_disk(first, 2), &newer);
        let group = only_group(&[image]);
        let root = logical(&group, "root");
        assert_eq!((group.seqno, root.size_bytes), (first.max(second), size * 65536));
        assert!(root.mapping.is_ok());
        if first == second {
            assert_eq!((root.obstacle.clone(), group.warnings.len()), (None, 0));
        } else {
            let (kind, reason) = root.obstacle.clone().unwrap();
            assert_eq!(kind, VolumeObstacle::Damaged);
            assert!(reason.ends_with("has sequence number 3, another one 9"), "{reason}");
        }
    }
}

#[test]
fn areas_of_one_number_that_differ_are_corrupt() {
    let image = with_two_areas(&one_disk(3, 2), &one_disk(3, 4));
    let error = read(&MemoryDisk::new(image)).unwrap_err();
    assert_eq!(error.kind_name(), "corrupt");
    assert!(error.to_string().contains("sequence number 3"), "{error}");
}

#[test]
fn an_area_that_is_ignored_or_empty_does_not_count() {
    for (at, value) in [(60, 1), (40, 0)] {
        let mut image = with_two_areas(&one_disk(3, 2), &one_disk(9, 4));
        let area = image.len() - AREA_BYTES;
        image[area + at..area + at + 4].fill(0);
        image[area + at] = value;
        image[area + 44..area + 48].fill(0);
        lvm_build::seal(&mut image[area..area + 512], 0, 4);
        let group = only_group(&[image]);
        assert_eq!((group.seqno, group.warnings.len()), (3, 0), "{at}");
    }
}

/// The change that was being made when the machine stopped is behind the entry that counts.
#[test]
fn a_change_that_was_not_committed_does_not_count() {
    let mut image = images(&one_disk(3, 2)).remove(0);
    let area = &mut image[FIRST..FIRST + 512];
    area.copy_within(40..64, 64);
    area[64 + 16] ^= 1;
    lvm_build::seal(area, 0, 4);
    assert_eq!(only_group(&[image]).warnings, [""; 0]);
}

#[test]
fn an_area_that_cannot_be_read_is_damage_with_its_reason() {
    let header = FIRST..FIRST + 512;
    for (at, value, part) in [
        (4, b"X".as_slice(), "no magic number"),
        (20, &[2], "version is 2"),
        (24, &[1], "the area of"),
        (32, &[1], "the area of"),
        (40, &[0, 1], "is not inside"),
        (48, &[0, 0, 0, 1], "is not inside"),
    ] {
        let mut image = images(&one_disk(3, 2)).remove(0);
        image[FIRST + at..FIRST + at + value.len()].copy_from_slice(value);
        lvm_build::seal(&mut image[header.clone()], 0, 4);
        let found = physical(&image);
        assert_eq!(found.group(), None);
        assert_eq!(found.damage().len(), 1);
        assert!(found.damage()[0].contains(part), "{part}: {:?}", found.damage());
        assert!(assemble(&[found]).is_empty());
    }
}

#[test]
fn a_text_of_a_thousand_volumes_is_read_and_one_beyond_the_limit_is_not() {
    let mut large = GroupSpec::new(65536, &[4000]);
    for extent in 0..1000 {
        large = large.with(["a", "b"][extent % 2], vec![linear(0, extent as u64, 1)]);
    }
    // Names have to differ.
    let mut text = large.text();
    for number in 0..1000 {
        text = text.replacen("\na {", &format!("\nvolume-{number} {{"), 1);
        text = text.replacen("\nb {", &format!("\nother-{number} {{"), 1);
    }
    assert!(text.len() > 200_000, "{}", text.len());
    let mut image = large.head_with(0, &text);
    image.resize(large.physical_bytes(0) as usize, 0);
    let group = only_group(&[image]);
    assert_eq!(group.logical_volumes.len(), 1000);
    assert!(group.logical_volumes.iter().all(|volume| volume.mapping.is_ok()));

    // An area of the size that it claims to need, and a text as long.
    let mut image = images(&spec()).remove(0);
    let size = (TEXT_BYTES_MAX + (1 << 20)).to_le_bytes();
    image[512 + 112..][..8].copy_from_slice(&size);
    lvm_build::seal(&mut image[512..1024], 16, 20);
    image[FIRST + 32..][..8].copy_from_slice(&size);
    image[FIRST + 48..][..8].copy_from_slice(&(TEXT_BYTES_MAX + 1).to_le_bytes());
    lvm_build::seal(&mut image[FIRST..FIRST + 512], 0, 4);
    image.resize(FIRST + (TEXT_BYTES_MAX + (1 << 20)) as usize, 0);
    let damage = physical(&image).damage().concat();
    assert!(damage.contains("4194304"), "{damage}");
}
