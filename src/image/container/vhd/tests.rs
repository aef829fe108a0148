//! Images of qemu-img, judged by qemu-img; small ones made by hand, for power cuts and damage.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::files::{Access, SharedMedium, WriteFile};
use super::super::testing::{
    FailingHost, Judged, Made, MemoryFiles, MemoryHost, can_write, mixed_disk, qemu_reads,
    random_writes, read_all, read_some, run, survives_damage, survives_power_cuts, write_both,
    write_files, write_some,
};
use super::*;
use crate::disk::testing::directory;
use std::fs;

const MIB: usize = 1 << 20;

pub(super) fn open_bytes(bytes: Vec<u8>) -> Result<Arc<dyn Disk>> {
    Ok(open(&mut MemoryFiles::one(bytes))?.disk)
}

pub(super) fn open_host(host: &MemoryHost) -> Result<Box<dyn Medium>> {
    open_writable(&write_files(&[("", host)]))
}

pub(super) fn sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = !bytes.iter().fold(0u32, |sum, byte| sum + u32::from(*byte));
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

pub(super) fn footer(disk_type: u32, disk_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..8].copy_from_slice(b"conectix");
    bytes[8..12].copy_from_slice(&2u32.to_be_bytes());
    bytes[12..16].copy_from_slice(&0x0001_0000u32.to_be_bytes());
    bytes[16..24].copy_from_slice(&512u64.to_be_bytes());
    // A creator whose "current size" qemu believes.
    bytes[28..32].copy_from_slice(b"win ");
    bytes[40..48].copy_from_slice(&(disk_bytes as u64).to_be_bytes());
    bytes[48..56].copy_from_slice(&(disk_bytes as u64).to_be_bytes());
    bytes[60..64].copy_from_slice(&disk_type.to_be_bytes());
    bytes[68..84].copy_from_slice(b"regain unit test");
    sum(&mut bytes, 64);
    bytes
}

pub(super) const BLOCK: usize = 4096;
pub(super) const BLOCKS: usize = 40;

/// A dynamic image with blocks of 4 KiB, of which `present` are there, with the bits of their first half set.
pub(super) fn small(present: &[usize]) -> Vec<u8> {
    let footer = footer(3, BLOCK * BLOCKS);
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[8..16].fill(0xff);
    header[16..24].copy_from_slice(&1536u64.to_be_bytes());
    header[24..28].copy_from_slice(&0x0001_0000u32.to_be_bytes());
    header[28..32].copy_from_slice(&(BLOCKS as u32).to_be_bytes());
    header[32..36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    sum(&mut header, 36);
    let mut image = [footer.clone(), header, vec![0xff; 512]].concat();
    for (number, index) in present.iter().enumerate() {
        let sector = (image.len() / 512) as u32;
        image[1536 + index * 4..][..4].copy_from_slice(&sector.to_be_bytes());
        image.extend([0xf0]);
        image.extend(vec![0; 511]);
        image.extend(vec![0x40 + number as u8; BLOCK / 2]);
        image.extend(vec![0; BLOCK / 2]);
    }
    [image, footer].concat()
}

#[test]
fn images_of_qemu_are_read_as_qemu_reads_them() {
    let disk = mixed_disk(6 * MIB, 1);
    for options in [
        "subformat=dynamic",
        "subformat=fixed",
        "subformat=dynamic,force_size=on",
        "subformat=fixed,force_size=on",
    ] {
        let made = Made::from_disk(&disk, "vpc", options);
        let opened = open_bytes(made.bytes()).unwrap();
        assert!(read_all(&*opened) == made.as_qemu_reads_it(), "{options}");
        let is_exact = options.contains("force_size");
        assert_eq!(opened.len_bytes() == disk.len() as u64, is_exact, "{options}");
    }
}

#[test]
fn random_writes_give_what_a_raw_disk_would_hold() {
    let disk = mixed_disk(6 * MIB, 2);
    let made = [
        Made::from_disk(&disk, "vpc", "subformat=dynamic"),
        Made::from_disk(&disk, "vpc", "subformat=fixed,force_size=on"),
        Made::empty(20 * MIB, "vpc", "subformat=dynamic"),
    ];
    for (seed, made) in made.iter().enumerate() {
        let mut raw = made.as_qemu_reads_it();
        let before = made.bytes();
        let host = MemoryHost::new(before.clone());
        let mut medium = open_host(&host).unwrap();
        let writes = random_writes(raw.len(), 60, seed as u64);
        let ranges: Vec<_> =
            writes.iter().map(|(at, bytes)| *at..*at + bytes.len() as u64).collect();
        medium.can_write(&ranges).unwrap();
        write_both(&mut *medium, &mut raw, &writes);
        let after = host.bytes();
        assert_eq!(after[after.len() - 512..], before[before.len() - 512..], "footer");
        assert!(read_all(&*open_bytes(after.clone()).unwrap()) == raw);
        fs::write(&made.image, after).unwrap();
        let (image, plain) = (made.image.to_str().unwrap(), made.directory.path().join("plain"));
        fs::write(&plain, &raw).unwrap();
        let compared =
            run("qemu-img", &["compare", "-f", "vpc", "-F", "raw", image, plain.to_str().unwrap()]);
        assert!(compared.contains("Images are identical."), "{compared}");
    }
}

#[test]
fn every_power_cut_leaves_old_or_new_sectors_and_an_image_for_qemu() {
    let directory = directory();
    let path = directory.path().join("cut.vhd");
    let judge = |files: &[Vec<u8>], seen: &[u8]| {
        fs::write(&path, &files[0]).unwrap();
        assert!(qemu_reads(&path, "vpc") == seen);
    };
    let format = Judged::one((&open, &|files| open_writable(&files)), &judge, 31);
    // In place, into the half of a block without bits, across two blocks that are not there, and zeros.
    let writes = vec![
        (0, vec![1; 1024]),
        (2048 + 512, vec![2; 1024]),
        (2 * 4096 + 512, vec![3; 512]),
        (9 * 4096 + 2048, vec![4; 4096]),
        (20 * 4096, vec![0; 4096]),
        (39 * 4096 + 3584, vec![5; 512]),
    ];
    let looked_at = survives_power_cuts(&[small(&[0, 7])], &writes, &format);
    assert!(looked_at > 100, "{looked_at}");
}

/// After a failed sync the data of a new block are in doubt: no later one may enter it into the table.
#[test]
fn nothing_is_published_after_a_failure() {
    let host = MemoryHost::new(small(&[0]));
    // One sync moves the footer; the next is to make the data durable.
    let failing = FailingHost { host: host.clone(), good_syncs: 1, syncs: 0 };
    let access = Access::Written(SharedMedium::new(Box::new(failing)));
    let file = WriteFile { reference: String::new(), access };
    let mut medium = open_writable(&WriteFiles::new(vec![file])).unwrap();
    medium.write_at(9 * 4096, &[1; 512]).unwrap();
    assert!(medium.sync().is_err());
    let before = host.bytes();
    assert!(medium.sync().is_err() && medium.write_at(0, &[1; 512]).is_err());
    assert!(host.bytes() == before);
    assert!(open_bytes(before).unwrap().read_vec(9 * 4096, 512).unwrap() == [0; 512]);
}

#[test]
fn a_footer_that_was_never_written_comes_back_first() {
    let whole = small(&[3]);
    let mut image = whole.clone();
    image.extend(vec![0; 512 + BLOCK]);
    let host = MemoryHost::new(image);
    let mut medium = open_host(&host).unwrap();
    assert_eq!(host.operation_count(), 0);
    medium.write_at(3 * 4096, &[9; 512]).unwrap();
    medium.sync().unwrap();
    let bytes = host.bytes();
    assert_eq!(bytes[bytes.len() - 512..], whole[whole.len() - 512..]);
    // Anything but zeros is no interrupted write.
    let mut image = whole;
    image.extend([vec![0; BLOCK], vec![1; 512]].concat());
    assert_eq!(open_bytes(image).unwrap_err().kind_name(), "corrupt");
}

#[test]
fn a_footer_of_511_bytes_is_read_and_never_moved() {
    let fixed = [vec![6; 4096], footer(2, 4096)[..511].to_vec()].concat();
    assert_eq!(read_all(&*open_bytes(fixed.clone()).unwrap()), [6; 4096]);
    let host = MemoryHost::new(fixed);
    let mut medium = open_host(&host).unwrap();
    medium.write_at(512, &[7; 512]).unwrap();
    assert_eq!(host.bytes()[4096..], footer(2, 4096)[..511]);
    let mut dynamic = small(&[0]);
    dynamic.pop();
    let medium = open_host(&MemoryHost::new(dynamic)).unwrap();
    can_write(&*medium, 0, 512).unwrap();
    assert_eq!(can_write(&*medium, 4096, 4608).unwrap_err().kind_name(), "refused");
}

#[test]
fn damage_never_panics() {
    let image = small(&[0, 7, 39]);
    let end = image.len() - 512;
    // With right sums, so that the fields are looked at.
    let opened = survives_damage(&image, &[16..84, 512..560, 1536..1700], 1500, &|mut bytes| {
        if bytes.len() > 2048 {
            sum(&mut bytes[..512], 64);
            sum(&mut bytes[512..1536], 36);
        }
        if bytes.len() == end + 512 {
            bytes.copy_within(0..512, end);
        }
        let host = MemoryHost::new(bytes.clone());
        let Ok(disk) = open_bytes(bytes) else { return false };
        read_some(&*disk);
        if let Ok(mut medium) = open_host(&host) {
            write_some(&mut *medium);
        }
        true
    });
    assert!(opened > 10, "{opened}");
}
