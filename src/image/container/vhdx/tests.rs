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

const MIB_LEN: usize = 1 << 20;

fn open_bytes(bytes: Vec<u8>) -> Result<Arc<dyn Disk>> {
    Ok(open(&mut MemoryFiles::one(bytes))?.disk)
}

fn open_host(host: &MemoryHost) -> Result<Box<dyn Medium>> {
    open_writable(&write_files(&[("", host)]))
}

/// Repairs the sum of the structure of `len` bytes at `at`.
fn sum(image: &mut [u8], at: usize, len: usize) {
    let Some(bytes) = image.get_mut(at..at + len) else { return };
    bytes[4..8].fill(0);
    let sum = !crc32c_raw(!0, bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

fn sums(image: &mut [u8]) {
    for (at, len) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        sum(image, at * 1024, len * 1024);
    }
}

/// Where the current header is.
fn current(image: &[u8]) -> usize {
    let sequence = |at: usize| u64::from_le_bytes(image[at + 8..at + 16].try_into().unwrap());
    let [first, second] = [64 * 1024, 128 * 1024];
    if sequence(first) > sequence(second) { first } else { second }
}

const OPTIONS: [&str; 3] = [
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

#[test]
fn a_log_that_is_not_there_is_damage() {
    let made = Made::from_disk(&mixed_disk(MIB_LEN, 7), "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let at = current(&image);
    image[at + 48..at + 64].fill(0x11);
    sum(&mut image, at, 4096);
    let error = open_bytes(image.clone()).unwrap_err();
    assert!(error.to_string().contains("no sequence of entries in it is complete"), "{error}");
    assert_eq!(open_host(&MemoryHost::new(image)).unwrap_err().kind_name(), "refused");
    // The older header may say what it wants.
    let mut image = made.bytes();
    let other = if at == 64 * 1024 { 128 * 1024 } else { 64 * 1024 };
    image[other + 48..other + 64].fill(0x11);
    sum(&mut image, other, 4096);
    assert!(open_bytes(image).is_ok());
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
fn region(image: &[u8], guid_start: [u8; 4]) -> usize {
    let table = &image[192 * 1024..];
    let count = u32::from_le_bytes(table[8..12].try_into().unwrap()) as usize;
    let mut entries = table[16..].chunks_exact(32).take(count);
    let entry = entries.find(|entry| entry[..4] == guid_start).unwrap();
    u64::from_le_bytes(entry[16..24].try_into().unwrap()) as usize
}

#[test]
fn blocks_in_one_place_or_over_structures_are_damage() {
    let disk = mixed_disk(4 * MIB_LEN, 9);
    let made = Made::from_disk(&disk, "vhdx", OPTIONS[1]);
    let good = made.bytes();
    let bat = region(&good, [0x66, 0x77, 0xc2, 0x2d]);
    let with = |index: usize, entry: u64| {
        let mut image = good.clone();
        image[bat + index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
        image
    };
    let first = u64::from_le_bytes(good[bat..bat + 8].try_into().unwrap());
    let medium = open_host(&MemoryHost::new(with(3, first))).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("blocks 0 and 3"), "{error}");
    can_write(&*medium, 1 << 20, (1 << 20) + 512).unwrap();
    for entry in [6, (1 << 20) | 6, ((bat as u64 >> 20) << 20) | 6, (1 << 40) | 6, first | 7] {
        let error = open_bytes(with(2, entry)).unwrap().read_vec(2 << 20, 1).unwrap_err();
        assert_eq!(error.kind_name(), "corrupt", "{entry:#x}");
    }
}

#[test]
fn differencing_images_are_refused_by_name() {
    let made = Made::from_disk(&mixed_disk(MIB_LEN, 10), "vhdx", OPTIONS[0]);
    let mut image = made.bytes();
    let metadata = region(&image, [0x06, 0xa2, 0x7c, 0x8b]);
    let entries = image[metadata + 32..metadata + 32 + 2047 * 32].chunks_exact(32);
    let found = entries.clone().find(|entry| entry[..4] == [0x37, 0x67, 0xa1, 0xca]).unwrap();
    let at = metadata + u32::from_le_bytes(found[16..20].try_into().unwrap()) as usize;
    image[at + 4] |= 2;
    let error = open_bytes(image).unwrap_err();
    assert!(error.to_string().contains("qemu-img convert -p -f vhdx -O raw"), "{error}");
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

#[test]
fn a_device_takes_no_new_block() {
    let made = Made::from_disk(&[vec![0; MIB_LEN], vec![1; MIB_LEN]].concat(), "vhdx", OPTIONS[0]);
    let host = MemoryHost::device(made.bytes());
    let medium = open_host(&host).unwrap();
    can_write(&*medium, 1 << 20, (1 << 20) + 512).unwrap();
    let error = can_write(&*medium, 0, 512).unwrap_err();
    assert!(error.to_string().contains("on a device"), "{error}");
    assert_eq!(host.operation_count(), 0);
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

/// Fields of the headers, the region table and the metadata that say where something is.
#[test]
fn fields_that_cannot_be_are_refused() {
    let made = Made::from_disk(&mixed_disk(2 * MIB_LEN, 12), "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let kind_of = |change: &dyn Fn(&mut [u8])| {
        let mut image = good.clone();
        change(&mut image);
        sums(&mut image);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name().to_owned())
    };
    let put = |at: usize, value: u64, len: usize| {
        kind_of(&|image| image[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]))
    };
    let is = |found: Option<String>, kind: &str| assert_eq!(found.as_deref(), Some(kind));
    let header = current(&good);
    is(put(header + 64, 1, 2), "unsupported");
    is(put(header + 66, 2, 2), "unsupported");
    is(put(header + 68, 4096, 4), "corrupt");
    is(put(header + 72, 1 << 60, 8), "corrupt");
    // Both copies of the region table: entries start at 16, each of 32 bytes.
    let both = |at: usize, bytes: &[u8]| {
        kind_of(&|image| {
            for table in [192 << 10, 256 << 10] {
                image[table + at..table + at + bytes.len()].copy_from_slice(bytes);
            }
        })
    };
    let first = &good[(192 << 10) + 16..][..32];
    let second = &good[(192 << 10) + 48..][..32];
    is(both(8, &2048u32.to_le_bytes()), "corrupt");
    is(both(8, &1u32.to_le_bytes()), "corrupt");
    is(both(48, first), "corrupt");
    // The second region where the first one is, and where the log is.
    is(both(48 + 16, &first[16..24]), "corrupt");
    is(both(48 + 16, &good[header + 72..header + 80]), "corrupt");
    is(both(48 + 16, &(1u64 << 50).to_le_bytes()), "corrupt");
    is(both(48 + 24, &4096u32.to_le_bytes()), "corrupt");
    // A third region that is not known: it may be there if it is not required.
    let end = (good.len() as u64).next_multiple_of(MIB);
    let third = |required: u32| {
        let mut image = good.clone();
        image.resize(end as usize + MIB_LEN, 0);
        let guid = [[7; 16].as_slice(), &end.to_le_bytes(), &(MIB as u32).to_le_bytes()].concat();
        for table in [192 << 10, 256 << 10] {
            image[table + 8..table + 12].copy_from_slice(&3u32.to_le_bytes());
            image[table + 80..table + 108].copy_from_slice(&guid);
            image[table + 108..table + 112].copy_from_slice(&required.to_le_bytes());
        }
        sums(&mut image);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name())
    };
    assert_eq!((third(0), third(1)), (None, Some("unsupported")));
    assert_ne!(first[..16], second[..16]);
}

/// Fields of the metadata.
#[test]
fn lengths_that_cannot_be_are_refused() {
    let made = Made::from_disk(&mixed_disk(2 * MIB_LEN, 12), "vhdx", OPTIONS[0]);
    let good = made.bytes();
    let table = region(&good, [0x06, 0xa2, 0x7c, 0x8b]);
    let entry_of = |start: [u8; 4]| {
        let entries = (0..16).map(|number| table + 32 + number * 32);
        entries.into_iter().find(|at| good[*at..at + 4] == start).unwrap()
    };
    let [parameters, size, sector] =
        [[0x37, 0x67, 0xa1, 0xca], [0x24, 0x42, 0xa5, 0x2f], [0x1d, 0xbf, 0x41, 0x81]]
            .map(entry_of);
    let item = |entry: usize| {
        table + u32::from_le_bytes(good[entry + 16..entry + 20].try_into().unwrap()) as usize
    };
    let kind = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        open_bytes(image).map(|_| ()).err().map(|error| error.kind_name())
    };
    for bytes in [512u32 << 10, 512 << 20, 3 << 20, 0] {
        assert_eq!(kind(item(parameters), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    for bytes in [0, 513, 65 << 40, u64::MAX - 511, 16 << 40] {
        assert_eq!(kind(item(size), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    for bytes in [0u32, 1024, 8192] {
        assert_eq!(kind(item(sector), &bytes.to_le_bytes()), Some("corrupt"), "{bytes}");
    }
    // Items in the table itself, behind the region, and of another length; twice; not there; unknown and required.
    assert_eq!(kind(sector + 16, &64u32.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector + 16, &(8u32 << 20).to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector + 20, &8u32.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(sector, &good[size..size + 32].to_owned()), Some("corrupt"));
    assert_eq!(
        kind(sector, &[[7; 16].as_slice(), &good[sector + 16..sector + 24], &[0; 4]].concat()),
        Some("corrupt")
    );
    assert_eq!(kind(sector, &[7; 32]), Some("unsupported"));
    assert_eq!(kind(table + 10, &2048u16.to_le_bytes()), Some("corrupt"));
    assert_eq!(kind(table, b"metadatA"), Some("corrupt"));
}
