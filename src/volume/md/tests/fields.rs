//! Fields of superblocks one by one, and the edges of mirrors.

use super::md_build::{self, MemberSpec};
use super::{Array, SIZE, array, data, mirror, open, superblock};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, DiskEdit};
use crate::error::{Error, VolumeObstacle};
use crate::volume::md::{Mirror, Superblock, assemble};
use std::sync::Arc;

/// Reads the member of `spec` after `edit` of its superblock, which gets its checksum again.
fn edited(spec: &MemberSpec, edit: impl Fn(&mut [u8])) -> Result<Option<Superblock>, Error> {
    let mut member = spec.member(&[]);
    let (place, len) = (spec.place() as usize, spec.superblock().len());
    let bytes = &mut member[place..place + len];
    edit(bytes);
    if spec.version.starts_with("0.90") {
        bytes[152..156].fill(0);
        let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        let sum: u64 = words.map(u64::from).sum();
        let folded = (sum as u32).wrapping_add((sum >> 32) as u32);
        bytes[152..156].copy_from_slice(&folded.to_le_bytes());
    } else {
        md_build::seal1(bytes);
    }
    Superblock::read(&MemoryDisk::new(member))
}

fn alone(superblock: Superblock) -> Array {
    assemble(&[superblock]).remove(0)
}

#[test]
fn a_member_of_0_90_is_in_use_only_if_it_is_active_and_in_sync_and_not_faulty() {
    let spec = MemberSpec::mirror("0.90", 0, SIZE as u64);
    for (state, is_in_use) in [(6, true), (0x206, true), (2, false), (4, false), (7, false)] {
        let found = edited(&spec, |bytes| {
            bytes[4 * (128 + 32 + 4)..][..2].copy_from_slice(&u16::to_le_bytes(state));
        });
        // The other member of two: missing if it is in use.
        let found = alone(found.unwrap().unwrap());
        assert_eq!(found.missing_count, usize::from(is_in_use), "{state:#x}");
    }
}

#[test]
fn a_reshape_of_0_90_has_another_minor_version() {
    let spec = MemberSpec::mirror("0.90", 0, SIZE as u64);
    let found = alone(edited(&spec, |bytes| bytes[8] = 91).unwrap().unwrap());
    assert_eq!(found.obstacle.unwrap().obstacle, VolumeObstacle::Unfinished);
    assert_eq!(edited(&spec, |bytes| bytes[8] = 92).unwrap(), None);
}

#[test]
fn data_lie_on_the_disk_beside_the_superblock() {
    let spec = MemberSpec::mirror("0.90", 0, SIZE as u64);
    let place = spec.place();
    for (size, is_right) in [(place, true), (place + 1024, false), (0, false)] {
        let kib = ((size / 1024) as u32).to_le_bytes();
        let found = edited(&spec, |bytes| bytes[32..36].copy_from_slice(&kib));
        assert_eq!(found.is_ok(), is_right, "{size}");
    }
    // Version 1: the start of the data and their size, in sectors.
    for (version, start, sectors, is_right) in [
        ("1.0", 0, 512, true),
        ("1.0", 0, u64::MAX >> 12, false),
        ("1.1", 8, 512, true),
        ("1.1", 7, 512, false),
        ("1.1", 0, 512, false),
        ("1.2", 16, 512, true),
        ("1.2", 15, 512, false),
        ("1.2", 0, 8, true),
        ("1.2", 0, 9, false),
        ("1.2", 2048, 0, false),
        ("1.2", u64::MAX / 512, 1, false),
    ] {
        let spec = MemberSpec::mirror(version, 0, SIZE as u64);
        let found = edited(&spec, |bytes| {
            bytes[128..136].copy_from_slice(&u64::to_le_bytes(start));
            bytes[80..88].copy_from_slice(&u64::to_le_bytes(sectors));
        });
        assert_eq!(found.is_ok(), is_right, "{version}: {start} {sectors}");
    }
    let spec = MemberSpec::mirror("1.0", 0, SIZE as u64);
    let sectors = spec.place() / 512;
    for (sectors, is_right) in [(sectors, true), (sectors + 1, false)] {
        let found = edited(&spec, |bytes| bytes[80..88].copy_from_slice(&sectors.to_le_bytes()));
        assert_eq!(found.is_ok(), is_right, "{sectors}");
    }
}

#[test]
fn the_superblock_of_1_0_stands_on_a_multiple_of_4_kib() {
    let spec = MemberSpec::mirror("1.0", 0, SIZE as u64);
    let good = spec.member(&data());
    for more in [0, 512, 3584] {
        let member = [good.clone(), vec![0; more]].concat();
        assert!(Superblock::read(&MemoryDisk::new(member)).unwrap().is_some(), "{more}");
    }
    let member = [good, vec![0; 4096]].concat();
    assert_eq!(Superblock::read(&MemoryDisk::new(member)).unwrap(), None);
}

#[test]
fn a_resync_that_has_come_half_way_is_not_clean() {
    for (offset, is_clean) in [(u64::MAX, true), (u64::MAX - 1, false), (8, false), (0, false)] {
        let spec = MemberSpec::mirror("1.2", 0, SIZE as u64);
        let found = edited(&spec, |bytes| bytes[208..216].copy_from_slice(&offset.to_le_bytes()));
        assert_eq!(found.unwrap().unwrap().is_clean, is_clean, "{offset:#x}");
    }
}

#[test]
fn a_long_write_is_compared_to_its_end() {
    let specs = mirror("1.2");
    let mut images: Vec<_> = specs.iter().map(|spec| spec.member(&data())).collect();
    images[1][(1 << 20) + 199_999] ^= 1;
    let (overlays, disk) = open(&array(&specs), &images);
    let error = disk.write_at(0, &vec![7; 200_000], "a test").unwrap_err();
    assert!(error.to_string().contains("copies differ"), "{error}");
    assert!(overlays.iter().all(|overlay| overlay.written().is_empty()));
    disk.write_at(0, &vec![7; 199_999 / 512 * 512], "a test").unwrap();
}

/// A disk with sectors of 4096 bytes.
#[derive(Debug)]
struct Large(Overlay);

impl Disk for Large {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        4096
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> crate::error::Result<()> {
        self.0.read_at(offset_bytes, buffer)
    }
}

impl DiskEdit for Large {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> crate::error::Result<()> {
        self.0.write_at(offset_bytes, bytes, what)
    }
}

#[test]
fn a_mirror_ends_where_its_data_end_and_has_the_larger_sectors() {
    let specs = mirror("1.2");
    let layout = array(&specs).layout.unwrap();
    let overlay = |len: usize| {
        let mut member = specs[0].member(&data());
        member.truncate(len);
        Overlay::new(Arc::new(MemoryDisk::new(member)))
    };
    let len = (1 << 20) + SIZE;
    let disks: Vec<Arc<dyn DiskEdit>> =
        vec![Arc::new(overlay(len)), Arc::new(Large(overlay(len + 4096)))];
    let disk = Mirror::new(&layout, disks.clone()).unwrap();
    assert_eq!(disk.sector_size_bytes(), 4096);
    // The members go on, the mirror does not.
    let error = disk.read_at(SIZE as u64 - 1, &mut [0; 2]).unwrap_err();
    assert_eq!(error.kind_name(), "corrupt");
    assert!(disk.write_at(SIZE as u64 - 1, &[0; 2], "a test").is_err());
    let short: Arc<dyn DiskEdit> = Arc::new(overlay(len - 1));
    assert!(Mirror::new(&layout, vec![disks[0].clone(), short]).is_err());
    assert_eq!(Mirror::new(&layout, disks[..1].to_vec()).unwrap_err().kind_name(), "usage");
    assert_eq!(superblock(&specs[0]).size_bytes(), SIZE as u64);
}
