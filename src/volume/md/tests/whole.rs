//! Superblocks at the end of a disk with a partition table.

use super::md_build::MemberSpec;
use super::{SIZE, data};
use crate::disk::memory::MemoryDisk;
use crate::volume::md::is_whole_member;
use std::ops::Range;

/// Of partitions their starts and ends.
fn is_whole(image: &[u8], partitions: &[(u64, u64)]) -> bool {
    let partitions: Vec<Range<u64>> = partitions.iter().map(|&(start, end)| start..end).collect();
    is_whole_member(&MemoryDisk::new(image.to_vec()), &partitions).unwrap()
}

/// A disk with a member as its last partition, which starts at `start`.
fn partitioned(spec: &MemberSpec, start: u64) -> (Vec<u8>, Range<u64>) {
    let mut disk = vec![0; start as usize];
    disk.extend(spec.member(&data()));
    let end = disk.len() as u64;
    (disk, start..end)
}

#[test]
fn the_disk_is_the_member_if_its_partitions_are_none() {
    for version in ["0.90", "0.90 big-endian", "1.0"] {
        let spec = MemberSpec::mirror(version, 0, SIZE as u64);
        let disk = spec.member(&data());
        let (len, size) = (disk.len() as u64, SIZE as u64);
        // Inside of the array; as long as it; and up to the end of the disk, from before there was an array.
        for start in [512, 63 * 512, 65536] {
            for end in [size, start + size, len] {
                // In 0.90 nothing tells this one from a member in the partition.
                let is_either = version != "1.0" && start % 65536 == 0 && end == len;
                let found = is_whole(&disk, &[(512, 512), (start, end)]);
                assert_eq!(found, !is_either, "{version}: {start}..{end}");
            }
        }
    }
}

#[test]
fn the_last_partition_may_be_the_member() {
    for version in ["0.90", "0.90 big-endian", "1.0"] {
        let spec = MemberSpec::mirror(version, 0, SIZE as u64);
        for start in [65536, 1 << 20] {
            let (disk, range) = partitioned(&spec, start);
            assert!(!is_whole(&disk, &[(512, start), (start, range.end)]), "{version}: {start}");
        }
    }
}

/// A member of another array in the last partition of an array of disks.
#[test]
fn a_partition_may_be_a_member_of_another_array() {
    let inner = MemberSpec { uuid: *b"the other array.", ..MemberSpec::mirror("1.2", 1, 65536) };
    let outer = MemberSpec { size: 2 << 20, ..MemberSpec::mirror("1.0", 0, 0) };
    let mut disk = outer.member(&[]);
    let inside = inner.member(&[7; 65536]);
    disk[65536..][..inside.len()].copy_from_slice(&inside);
    assert!(is_whole(&disk, &[(65536, 65536 + inside.len() as u64)]));
}

#[test]
fn other_superblocks_make_no_member_of_a_disk_with_partitions() {
    for version in ["1.1", "1.2"] {
        let disk = MemberSpec::mirror(version, 0, SIZE as u64).member(&data());
        assert!(!is_whole(&disk, &[(1 << 20, 1 << 21)]), "{version}");
    }
    assert!(!is_whole(&[0; 1 << 20], &[(512, 1024)]));
    // A damaged one: no array is made of it.
    let spec = MemberSpec::mirror("1.0", 0, SIZE as u64);
    let mut disk = spec.member(&data());
    disk[spec.place() as usize + 200] ^= 1;
    assert!(!is_whole(&disk, &[(512, 1024)]));
}

#[test]
fn a_disk_with_two_superblocks_is_a_member_of_something() {
    let spec = MemberSpec::mirror("1.0", 0, SIZE as u64);
    let mut disk = spec.member(&data());
    let old = MemberSpec::mirror("0.90", 0, SIZE as u64);
    assert_eq!(old.member_bytes(), spec.member_bytes());
    disk[old.place() as usize..][..4096].copy_from_slice(&old.superblock());
    assert!(is_whole(&disk, &[(512, 1024)]));
}
