//! Damaged superblocks: no panic, an end, and no byte outside the disk.

use super::md_build::{self, MemberSpec};
use super::{SIZE, Superblock, VERSIONS, assemble, data, superblock};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit};
use crate::volume::md::Mirror;
use std::sync::Arc;

fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn damaged_superblocks_end_in_a_defect_or_in_something_whole() {
    let (mut seed, mut whole) = (9, 0);
    for round in 0..1500 {
        let spec = MemberSpec::mirror(VERSIONS[round % 5], 0, SIZE as u64);
        let mut member = spec.member(&[]);
        let place = spec.place() as usize;
        let length = if round % 5 < 2 { 4096 } else { 256 + 4 };
        for _ in 0..=(next(&mut seed) % 3) {
            let fields = if length == 4096 { 700 } else { length };
            let at = place + next(&mut seed) % fields;
            member[at] = [0, 1, 0x7f, 0x80, 0xff, next(&mut seed) as u8][next(&mut seed) % 6];
        }
        if length != 4096 {
            md_build::seal1(&mut member[place..place + length]);
        }
        let disk = Arc::new(MemoryDisk::new(member));
        let Ok(Some(found)) = Superblock::read(disk.as_ref()) else { continue };
        let other = superblock(&MemberSpec::mirror(VERSIONS[round % 5], 1, SIZE as u64));
        for array in assemble(&[found.clone(), other]) {
            let _ = format!("{array:?}");
        }
        for array in assemble(&[found]) {
            let Ok(layout) = array.layout else { continue };
            let mirror = Mirror::new(
                &layout,
                vec![Arc::new(Overlay::new(disk.clone())) as Arc<dyn DiskEdit>],
            )
            .unwrap();
            whole += 1;
            mirror.read_vec(mirror.len_bytes() - 1, 1).unwrap();
            mirror.write_at(0, b"x", "a test").unwrap();
        }
    }
    assert!(whole > 200, "{whole}");
}

#[test]
fn the_checksum_covers_the_superblock() {
    for version in VERSIONS {
        let spec = MemberSpec::mirror(version, 0, SIZE as u64);
        let length = spec.superblock().len();
        let good = spec.member(&data());
        // The magic, the version and the place tell whether there is one at all.
        for at in (16..length).step_by(length / 64).filter(|at| !(144..152).contains(at)) {
            let mut member = good.clone();
            member[spec.place() as usize + at] ^= 4;
            let error = Superblock::read(&MemoryDisk::new(member)).map(|found| found.is_some());
            assert!(error.is_err(), "{version}: {at}: {error:?}");
        }
    }
}

#[test]
fn other_disks_are_no_members() {
    for len in [0, 1, 511, 4096, 8191, 65536, 100_000] {
        assert_eq!(Superblock::read(&MemoryDisk::new(vec![0; len])).unwrap(), None, "{len}");
    }
    // A superblock that slipped: it says where it should be.
    let spec = MemberSpec::mirror("1.2", 0, SIZE as u64);
    let mut moved = spec.member(&[])[4096..].to_vec();
    moved.extend(vec![0; 4096]);
    assert_eq!(Superblock::read(&MemoryDisk::new(moved)).unwrap(), None);
}
