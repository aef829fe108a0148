//! Members of arrays, and what may be done with them.

mod fields;
mod hostile;
#[path = "../../../../tests/integration/support/md_build.rs"]
#[allow(dead_code, reason = "the black-box tests use more of it")]
mod md_build;
mod stale;
mod whole;

use super::{Array, Mirror, Superblock, assemble};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit};
use crate::error::{Error, VolumeObstacle};
use md_build::MemberSpec;
use std::sync::Arc;

const SIZE: usize = 256 * 1024;

const VERSIONS: [&str; 5] = ["0.90", "0.90 big-endian", "1.0", "1.1", "1.2"];

fn data() -> Vec<u8> {
    (0..SIZE / 512).flat_map(|number| format!("{number:<512}").into_bytes()).collect()
}

/// Both members of a clean mirror.
fn mirror(version: &'static str) -> [MemberSpec; 2] {
    [0, 1].map(|number| MemberSpec::mirror(version, number, SIZE as u64))
}

fn superblock(spec: &MemberSpec) -> Superblock {
    Superblock::read(&MemoryDisk::new(spec.member(&[]))).unwrap().unwrap()
}

fn array(specs: &[MemberSpec]) -> Array {
    let superblocks: Vec<_> = specs.iter().map(superblock).collect();
    let mut arrays = assemble(&superblocks);
    assert_eq!(arrays.len(), 1);
    arrays.remove(0)
}

fn obstacle(specs: &[MemberSpec]) -> (VolumeObstacle, String) {
    let unusable = array(specs).obstacle.unwrap();
    (unusable.obstacle, unusable.reason)
}

fn open(array: &Array, images: &[Vec<u8>]) -> (Vec<Arc<Overlay>>, Mirror) {
    let layout = array.layout.clone().unwrap();
    let overlays: Vec<Arc<Overlay>> = images
        .iter()
        .map(|image| Arc::new(Overlay::new(Arc::new(MemoryDisk::new(image.clone())))))
        .collect();
    let disks =
        layout.members().into_iter().map(|index| overlays[index].clone() as Arc<dyn DiskEdit>);
    let mirror = Mirror::new(&layout, disks.collect()).unwrap();
    (overlays, mirror)
}

#[test]
fn every_version_is_read_and_written_to_all_members() {
    for version in VERSIONS {
        let [first, second] = mirror(version);
        // The order in which they are given does not matter.
        let specs = [second, first];
        let found = array(&specs);
        assert!(version.starts_with(found.version));
        assert_eq!((found.level.as_str(), found.size_bytes), ("raid1", SIZE as u64));
        assert_eq!((&found.obstacle, found.missing_count), (&None, 0), "{version}");
        assert_eq!(found.layout.clone().unwrap().members(), [1, 0], "reads come from role 0");
        let images: Vec<_> = specs.iter().map(|spec| spec.member(&data())).collect();
        let (overlays, disk) = open(&found, &images);
        assert!(disk.read_vec(0, SIZE).unwrap() == data(), "{version}");
        disk.write_at(1000, &[b'x'; 5000], "inode 5").unwrap();
        let mut model = data();
        model[1000..6000].fill(b'x');
        for (overlay, spec) in overlays.iter().zip(&specs) {
            assert!(overlay.read_vec(spec.data_start(), SIZE).unwrap() == model, "{version}");
            let start = spec.data_start() + 512;
            assert_eq!(overlay.written(), vec![start..start + 5632], "{version}");
            assert_eq!(overlay.changes().unwrap()[0].labels, ["inode 5"]);
        }
        assert!(disk.write_at(SIZE as u64, b"x", "a test").is_err());
        assert!(disk.read_vec(SIZE as u64 - 1, 2).is_err());
    }
}

#[test]
fn a_mirror_is_not_written_while_a_member_is_missing() {
    for version in VERSIONS {
        let [first, second] = mirror(version);
        for one in [first, second] {
            let found = array(std::slice::from_ref(&one));
            assert_eq!(found.missing_count, 1);
            let (kind, reason) = obstacle(&[one]);
            assert_eq!(kind, VolumeObstacle::Incomplete);
            assert_eq!(reason, "1 of its 2 in-sync members not given");
            assert!(found.layout.is_ok(), "it can be read");
        }
    }
}

#[test]
fn a_mirror_that_is_degraded_to_what_was_given_is_written() {
    for version in VERSIONS {
        let mut alone = MemberSpec::mirror(version, 0, SIZE as u64);
        alone.roles = vec![0, 0xfffe];
        assert_eq!(array(&[alone.clone()]).obstacle, None, "{version}");
        // There is one copy, so it cannot differ from another.
        alone.is_clean = false;
        assert_eq!(array(&[alone.clone()]).obstacle, None, "{version}");
        alone.features = 1;
        let (kind, reason) = obstacle(&[alone.clone()]);
        assert_eq!(kind, VolumeObstacle::OutOfSync, "{version}");
        assert!(reason.contains("write-intent bitmap"), "{reason}");
    }
}

#[test]
fn copies_that_may_differ_are_not_written() {
    for version in VERSIONS {
        let mut specs = mirror(version);
        specs[1].is_clean = false;
        let (kind, reason) = obstacle(&specs);
        assert_eq!(kind, VolumeObstacle::OutOfSync, "{version}");
        assert!(reason.contains("not stopped cleanly"), "{reason}");
        assert!(array(&specs).layout.is_ok(), "it can be read");

        // Each was used without the other.
        let mut apart = mirror(version);
        (apart[0].roles, apart[1].roles) = (vec![0, 0xfffe], vec![0xfffe, 1]);
        let reason = array(&apart).layout.unwrap_err().reason;
        assert!(reason.contains("used apart"), "{reason}");
    }
    // A clean mirror with a bitmap is whole.
    let mut specs = mirror("1.2");
    for spec in &mut specs {
        spec.features = 1;
    }
    assert_eq!(array(&specs).obstacle, None);
}

#[test]
fn a_write_where_the_copies_differ_is_refused() {
    let specs = mirror("1.2");
    let mut images: Vec<_> = specs.iter().map(|spec| spec.member(&data())).collect();
    images[1][(1 << 20) + 70_000] ^= 1;
    let (overlays, disk) = open(&array(&specs), &images);
    disk.write_at(0, &[0; 70_000], "a test").unwrap();
    let error = disk.write_at(69_999, b"xyz", "a test").unwrap_err();
    assert!(error.to_string().contains("copies differ"), "{error}");
    assert_eq!(error.kind_name(), "refused");
    assert_eq!(overlays[0].read_vec((1 << 20) + 69_999, 1).unwrap(), [0], "nothing was written");
}

#[test]
fn what_is_under_way_is_named() {
    use VolumeObstacle as Kind;
    for (features, kind, part) in [
        (2, Kind::Unfinished, "rebuild"),
        (4, Kind::Unfinished, "reshape"),
        (8, Kind::Damaged, "bad blocks"),
        (16, Kind::Unfinished, "replacement"),
        (32, Kind::Unfinished, "reshape"),
        (64, Kind::Unfinished, "reshape"),
        (128, Kind::Unfinished, "recovery with a bitmap"),
        (512, Kind::Layout, "journal"),
        (256, Kind::Shared, "cluster"),
        (0x8000, Kind::Layout, "not known"),
    ] {
        let mut specs = mirror("1.2");
        specs[1].features = features;
        let (found, reason) = obstacle(&specs);
        assert_eq!(found, kind, "{reason}");
        assert!(reason.contains(part), "{reason}");
    }
    // A member that is being rebuilt is not read.
    let mut specs = mirror("1.2");
    specs[0].features = 2;
    assert_eq!(array(&specs).layout.unwrap().members(), [1]);
    assert_eq!(array(&specs[..1]).layout.unwrap_err().obstacle, Kind::Incomplete);
}

#[test]
fn other_levels_are_named() {
    for version in VERSIONS {
        for (level, name) in
            [(-4, "multipath"), (-1, "linear"), (0, "raid0"), (5, "raid5"), (10, "raid10")]
        {
            let mut specs = mirror(version);
            for spec in &mut specs {
                spec.level = level;
            }
            let unusable = array(&specs).layout.unwrap_err();
            assert_eq!(unusable.reason, format!("it is of level {name}"));
            assert_eq!(Error::from(unusable).kind_name(), "refused");
        }
    }
}

#[test]
fn spares_and_copies_of_members_are_not_members() {
    let mut specs = mirror("1.2").to_vec();
    for spec in &mut specs {
        spec.roles = vec![0, 1, 0xffff];
    }
    specs.push(MemberSpec { number: 2, ..specs[0].clone() });
    let found = array(&specs);
    assert_eq!((&found.obstacle, found.layout.clone().unwrap().members()), (&None, vec![0, 1]));
    assert_eq!(found.given, [0, 1, 2]);
    let twice = [specs[0].clone(), specs[0].clone(), specs[1].clone()];
    assert!(array(&twice).layout.unwrap_err().reason.contains("more than once"));
    let mut other = specs[1].clone();
    other.uuid = *b"another array...";
    let superblocks = [&specs[0], &other].map(superblock);
    assert_eq!(assemble(&superblocks).len(), 2);
}

#[test]
fn leftovers_are_not_guessed_between() {
    // Version 1.0 and 0.90 stand at the end, 1.2 at the start.
    let new = MemberSpec::mirror("1.2", 0, SIZE as u64);
    let mut image = new.member(&[]);
    let old = MemberSpec { size: SIZE as u64 + (1 << 20), ..MemberSpec::mirror("0.90", 0, 0) };
    assert_eq!(old.member_bytes(), new.member_bytes());
    image[old.place() as usize..][..4096].copy_from_slice(&old.superblock());
    let error = Superblock::read(&MemoryDisk::new(image)).unwrap_err();
    assert_eq!(error.kind_name(), "ambiguous", "{error}");
}
