//! Images of qemu-img, judged by qemu-img.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::testing::{
    Judged, Made, MemoryFiles, MemoryHost, can_write, mixed_disk, qemu_reads, random_writes,
    read_all, read_some, run, survives_damage, survives_power_cuts, write_both, write_files,
    write_some,
};
use super::*;
use crate::bytes::checksum::crc32c_raw;
use crate::disk::Disk;
use crate::disk::testing::directory;
use std::fs;

pub(super) const MIB_LEN: usize = 1 << 20;

pub(super) fn open_bytes(bytes: Vec<u8>) -> Result<Arc<dyn Disk>> {
    Ok(open(&mut MemoryFiles::one(bytes))?.disk)
}

pub(super) fn open_host(host: &MemoryHost) -> Result<Box<dyn Medium>> {
    open_writable(&write_files(&[("", host)]))
}

/// Repairs the sum of the structure of `len` bytes at `at`.
pub(super) fn sum(image: &mut [u8], at: usize, len: usize) {
    let Some(bytes) = image.get_mut(at..at + len) else { return };
    bytes[4..8].fill(0);
    let sum = !crc32c_raw(!0, bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn sums(image: &mut [u8]) {
    for (at, len) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        sum(image, at * 1024, len * 1024);
    }
}

/// Where the current header is.
pub(super) fn current(image: &[u8]) -> usize {
    let sequence = |at: usize| u64::from_le_bytes(image[at + 8..at + 16].try_into().unwrap());
    let [first, second] = [64 * 1024, 128 * 1024];
    if sequence(first) > sequence(second) { first } else { second }
}

pub(super) const OPTIONS: [&str; 3] = [
    "subformat=dynamic,block_size=1048576",
    "subformat=fixed,block_size=1048576",
    "subformat=dynamic,block_size=2097152,log_size=2097152",
];

#[test]
fn images_of_qemu_are_read_and_written_in_place() {
    let disk = mixed_disk(5 * MIB_LEN + 3 * 512, 4);
    for (seed, options) in OPTIONS.iter().enumerate() {
        let made = Made::from_disk(&disk, "vhdx", options);
        let before = made.bytes();
        let read = read_all(&*open_bytes(before.clone()).unwrap());
        assert!(read == made.as_qemu_reads_it(), "{options}");
        assert!(read[..disk.len()] == disk, "{options}");
        let mut raw = read;
        let host = MemoryHost::new(before.clone());
        let mut medium = open_host(&host).unwrap();
        let writes = random_writes(raw.len(), 60, seed as u64);
        let ranges: Vec<_> =
            writes.iter().map(|(at, bytes)| *at..*at + bytes.len() as u64).collect();
        medium.can_write(&ranges).unwrap();
        assert_eq!(host.operation_count(), 0);
        write_both(&mut *medium, &mut raw, &writes);
        let after = host.bytes();
        assert!(read_all(&*open_bytes(after.clone()).unwrap()) == raw);
        // The next header, with other identifiers, once.
        let [old, new] = [&before[current(&before)..], &after[current(&after)..]];
        let sequence = |header: &[u8]| u64::from_le_bytes(header[8..16].try_into().unwrap());
        assert_eq!(sequence(new), sequence(old) + 1);
        assert!(after[current(&before)..][..4096] == old[..4096], "in the place of the other one");
        assert!(
            new[16..32] != old[16..32] && new[32..48] != old[32..48] && new[48..80] == old[48..80]
        );
        fs::write(&made.image, after).unwrap();
        let (image, plain) = (made.image.to_str().unwrap(), made.directory.path().join("plain"));
        fs::write(&plain, &raw).unwrap();
        let plain = plain.to_str().unwrap();
        let compared = run("qemu-img", &["compare", "-f", "vhdx", "-F", "raw", image, plain]);
        assert!(compared.contains("Images are identical."), "{compared}");
        let checked = run("qemu-img", &["check", "-f", "vhdx", image]);
        assert!(checked.contains("No errors were found on the image."), "{checked}");
    }
}

#[test]
fn new_blocks_are_entered_through_the_log() {
    // The second entry after the border of a chunk, too: 4 GiB in blocks of 1 MiB.
    let len = (4 << 30) + 8 * MIB_LEN;
    let made = Made::empty(len, "vhdx", OPTIONS[0]);
    let host = MemoryHost::new(made.bytes());
    let mut medium = open_host(&host).unwrap();
    let border: u64 = 4 << 30;
    for (at, byte) in [(512, 1), (border - 512, 2), (border + MIB, 3), (border + 7 * MIB, 4)] {
        can_write(&*medium, at, at + 1024).unwrap();
        medium.write_at(at, &[byte; 1024]).unwrap();
    }
    // Zeros need no block.
    let before = host.operation_count();
    medium.write_at(9 << 20, &[0; 512]).unwrap();
    assert_eq!(host.operation_count(), before);
    medium.sync().unwrap();
    let after = host.bytes();
    let disk = open_bytes(after.clone()).unwrap();
    assert!(disk.read_vec(border - 512, 1024).unwrap() == [2; 1024]);
    fs::write(&made.image, &after).unwrap();
    let image = made.image.to_str().unwrap();
    let checked = run("qemu-img", &["check", "-f", "vhdx", image]);
    assert!(checked.contains("No errors were found on the image."), "{checked}");
    for (at, len, byte) in [
        (0, 512, 0),
        (512, 1024, 1),
        (border - 512, 1024, 2),
        (border + MIB, 1024, 3),
        (border + MIB + 1024, 4096, 0),
        (border + 7 * MIB, 1024, 4),
        (9 << 20, 4096, 0),
    ] {
        let command = format!("read -P {byte} {at} {len}");
        let text = run("qemu-io", &["-r", "-f", "vhdx", "-c", &command, image]);
        assert!(!text.contains("Pattern verification failed"), "{at}: {text}");
    }
}

#[test]
fn empty_images_take_random_writes() {
    for (seed, options) in [OPTIONS[0], OPTIONS[2]].iter().enumerate() {
        let len = 12 * MIB_LEN;
        let made = Made::empty(len, "vhdx", options);
        let (mut raw, host) = (vec![0; len], MemoryHost::new(made.bytes()));
        let mut medium = open_host(&host).unwrap();
        write_both(&mut *medium, &mut raw, &random_writes(len, 40, seed as u64));
        fs::write(&made.image, host.bytes()).unwrap();
        assert!(made.as_qemu_reads_it() == raw, "{options}");
        assert!(read_all(&*open_bytes(host.bytes()).unwrap()) == raw, "{options}");
    }
}

#[test]
fn every_power_cut_leaves_old_or_new_sectors_and_an_image_for_qemu() {
    // Of two blocks the second is there.
    let mut disk = vec![0; 2 * MIB_LEN];
    disk[MIB_LEN..].copy_from_slice(&mixed_disk(MIB_LEN, 6));
    disk[MIB_LEN] = 1;
    let made = Made::from_disk(&disk, "vhdx", OPTIONS[0]);
    let directory = directory();
    let path = directory.path().join("cut.vhdx");
    let judge = |files: &[Vec<u8>], seen: &[u8]| {
        fs::write(&path, &files[0]).unwrap();
        // A program that opens it for writing replays the log.
        run("qemu-img", &["check", "-r", "all", "-f", "vhdx", path.to_str().unwrap()]);
        assert!(qemu_reads(&path, "vhdx") == seen);
    };
    let format = Judged::one((&open, &|files| open_writable(&files)), &judge, 17);
    let writes = vec![((1 << 20) - 512, vec![2; 1024])];
    let looked_at = survives_power_cuts(&[made.bytes()], &writes, &format);
    assert!(looked_at > 50, "{looked_at}");
}

/// The entry of a block is only in the log, as an interrupted write leaves it: whoever ignores the log reads zeros.
#[test]
fn what_only_the_log_knows_is_read_as_after_a_replay_by_qemu() {
    let disk = vec![0x5a; 2 * MIB_LEN];
    let made = Made::from_disk(&disk, "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let bat = region(&image, [0x66, 0x77, 0xc2, 0x2d]);
    let page = image[bat..bat + 4096].to_vec();
    image[bat..bat + 8].fill(0);
    // One entry with one data descriptor and one data sector ([MS-VHDX], section 2.3.1).
    let guid = [0x22; 16];
    let mut entry = vec![0; 8192];
    let file_bytes = (image.len() as u64).to_le_bytes();
    for (at, bytes) in [
        (0, b"loge".as_slice()),
        (8, &8192u32.to_le_bytes()),
        (16, &1u64.to_le_bytes()),
        (24, &1u32.to_le_bytes()),
        (32, &guid),
        (48, &file_bytes),
        (56, &file_bytes),
        (64, b"desc"),
        (68, &page[4092..]),
        (72, &page[..8]),
        (80, &(bat as u64).to_le_bytes()),
        (88, &1u64.to_le_bytes()),
        (4096, b"data"),
        (4096 + 8, &page[8..4092]),
        (8188, &1u32.to_le_bytes()),
    ] {
        entry[at..at + bytes.len()].copy_from_slice(bytes);
    }
    sum(&mut entry, 0, 8192);
    let pages = [(bat as u64, page)];
    assert_eq!(log::entry(&guid, &pages, image.len() as u64).unwrap(), entry, "as we write it");
    let at = current(&image);
    let log_at = u64::from_le_bytes(image[at + 72..at + 80].try_into().unwrap()) as usize;
    image[log_at..log_at + 8192].copy_from_slice(&entry);
    // Without the identifier in the header the log counts as empty.
    assert!(open_bytes(image.clone()).unwrap().read_vec(0, 512).unwrap() == [0; 512]);
    image[at + 48..at + 64].copy_from_slice(&guid);
    sum(&mut image, at, 4096);
    let opened = open(&mut MemoryFiles::one(image.clone())).unwrap();
    assert!(read_all(&*opened.disk) == disk);
    let refusal = opened.not_writable.unwrap().to_string();
    assert!(refusal.contains("qemu-img check -r all -f vhdx"), "{refusal}");
    let host = MemoryHost::new(image.clone());
    assert_eq!(open_host(&host).unwrap_err().kind_name(), "refused");
    assert_eq!(host.operation_count(), 0);
    fs::write(&made.image, image).unwrap();
    run("qemu-img", &["check", "-r", "all", "-f", "vhdx", made.image.to_str().unwrap()]);
    assert!(read_all(&*open_bytes(made.bytes()).unwrap()) == disk);
    assert!(open_host(&MemoryHost::new(made.bytes())).is_ok());
}

#[test]
fn either_copy_of_the_headers_is_enough() {
    let made = Made::from_disk(&mixed_disk(MIB_LEN, 8), "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let expected = read_all(&*open_bytes(good.clone()).unwrap());
    for at in [64, 192] {
        let mut image = good.clone();
        image[at * 1024 + 100] ^= 1;
        assert!(read_all(&*open_bytes(image.clone()).unwrap()) == expected);
        let second = if at == 64 { 128 } else { 256 };
        image[second * 1024 + 100] ^= 1;
        assert_eq!(open_bytes(image).unwrap_err().kind_name(), "corrupt");
    }
    // Two headers that are the same, as some programs make them; two that only have the same number.
    let mut image = good.clone();
    image.copy_within(64 * 1024..68 * 1024, 128 * 1024);
    assert!(open_bytes(image.clone()).is_ok());
    image[64 * 1024 + 20] ^= 1;
    sums(&mut image);
    assert!(open_bytes(image).unwrap_err().to_string().contains("the sequence number"));
}

/// The places of the regions, from the table.
pub(super) fn region(image: &[u8], guid_start: [u8; 4]) -> usize {
    let table = &image[192 * 1024..];
    let count = u32::from_le_bytes(table[8..12].try_into().unwrap()) as usize;
    let mut entries = table[16..].chunks_exact(32).take(count);
    let entry = entries.find(|entry| entry[..4] == guid_start).unwrap();
    u64::from_le_bytes(entry[16..24].try_into().unwrap()) as usize
}

#[test]
fn damage_never_panics() {
    let made = Made::from_disk(&mixed_disk(3 * MIB_LEN, 11), "vhdx", OPTIONS[0]);
    let image = made.bytes();
    let bat = region(&image, [0x66, 0x77, 0xc2, 0x2d]);
    let metadata = region(&image, [0x06, 0xa2, 0x7c, 0x8b]);
    let structures = [
        64 * 1024..64 * 1024 + 80,
        128 * 1024..128 * 1024 + 80,
        192 * 1024 + 8..192 * 1024 + 80,
        metadata..metadata + 200,
        metadata + 65536..metadata + 65536 + 64,
        bat..bat + 40,
    ];
    let opened = survives_damage(&image, &structures, 250, &|mut bytes| {
        sums(&mut bytes);
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

#[test]
fn a_damaged_log_never_panics() {
    // What an interrupted write of ours leaves.
    let made = Made::empty(2 * MIB_LEN, "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let at = current(&image);
    let log = u64::from_le_bytes(image[at + 72..at + 80].try_into().unwrap()) as usize;
    let bat = region(&image, [0x66, 0x77, 0xc2, 0x2d]);
    let guid = header::own_log_guid().unwrap();
    let page = image[bat..bat + 4096].to_vec();
    let entry = log::entry(&guid, &[(bat as u64, page)], image.len() as u64).unwrap();
    image[log..log + entry.len()].copy_from_slice(&entry);
    image[at + 48..at + 64].copy_from_slice(&guid);
    sums(&mut image);
    assert!(open_host(&MemoryHost::new(image.clone())).is_ok());
    let structures = [log..log + 100, log + 4096..log + 4112, log + 8184..log + 8192];
    let opened = survives_damage(&image, &structures, 150, &|mut bytes| {
        sum(&mut bytes, log, 8192);
        let opened = open_bytes(bytes.clone()).is_ok_and(|disk| {
            read_some(&*disk);
            true
        });
        if let Ok(mut medium) = open_host(&MemoryHost::new(bytes)) {
            write_some(&mut *medium);
        }
        opened
    });
    assert!(opened > 3, "{opened}");
}

/// A chunk has more blocks where sectors are larger, so that entries of bitmaps are rarer. qemu reads no such image:
/// what the specification says decides.
#[test]
fn large_sectors_make_large_chunks() {
    let made = Made::empty(6 << 30, "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let metadata = region(&image, [0x06, 0xa2, 0x7c, 0x8b]);
    let entries = image[metadata + 32..metadata + 32 + 2047 * 32].chunks_exact(32);
    let found = entries.clone().find(|entry| entry[..4] == [0x1d, 0xbf, 0x41, 0x81]).unwrap();
    let at = metadata + u32::from_le_bytes(found[16..20].try_into().unwrap()) as usize;
    image[at..at + 4].copy_from_slice(&4096u32.to_le_bytes());
    let host = MemoryHost::new(image);
    let mut medium = open_host(&host).unwrap();
    medium.write_at(5120 << 20, &[3; 4096]).unwrap();
    medium.sync().unwrap();
    let image = host.bytes();
    let bat = region(&image, [0x66, 0x77, 0xc2, 0x2d]);
    // 2^23 sectors of 4096 bytes are 32768 blocks of 1 MiB: no entry of a bitmap is before that of block 5120.
    let entry = u64::from_le_bytes(image[bat + 5120 * 8..][..8].try_into().unwrap());
    assert_eq!(entry & 7, 6, "{entry:#x}");
    let disk = open_bytes(image).unwrap();
    assert_eq!(disk.sector_size_bytes(), 4096);
    assert!(disk.read_vec(5120 << 20, 8192).unwrap() == [[3; 4096], [0; 4096]].concat());
}

/// More pages of the table than one entry of the log can have.
#[test]
fn many_new_blocks_are_entered_part_by_part() {
    let count = log::PAGES_MAX as u64 + 3;
    let made = Made::empty((count as usize) << 29, "vhdx", OPTIONS[0]);
    let host = MemoryHost::new(made.bytes());
    let mut medium = open_host(&host).unwrap();
    // The entries of blocks that are 512 MiB apart are in pages of their own.
    for number in 0..count {
        medium.write_at(number << 29, &[number as u8 + 1; 512]).unwrap();
    }
    medium.sync().unwrap();
    let after = host.bytes();
    let disk = open_bytes(after).unwrap();
    for number in 0..count {
        assert_eq!(disk.read_vec(number << 29, 1).unwrap(), [number as u8 + 1]);
    }
}
