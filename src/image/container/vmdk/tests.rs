//! Images of qemu-img, judged by qemu-img; small ones made by hand, for power cuts and damage.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::testing::{
    Judged, Made, MemoryFiles, MemoryHost, mixed_disk, qemu_reads, random_writes, read_all,
    read_some, run, survives_damage, survives_power_cuts, write_both, write_files, write_some,
};
use super::*;
use crate::disk::memory::MemoryDisk;
use crate::disk::testing::directory;
use std::fs;
use std::path::Path;

pub(super) const MIB: usize = 1 << 20;

pub(super) fn memory(bytes: Vec<u8>) -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new(bytes))
}

/// The names of the files that an image refers to.
fn extents_of(image: &[u8]) -> Vec<String> {
    match shape(&memory(image.to_vec())).unwrap() {
        Shape::Monolithic(_) => Vec::new(),
        Shape::Described(descriptor) => descriptor.files(),
    }
}

/// Opens an image and what it refers to.
fn open_path(path: &Path) -> Result<Arc<dyn Disk>> {
    let first = fs::read(path).unwrap();
    let of = |name: String| (name.clone(), fs::read(path.parent().unwrap().join(name)).unwrap());
    let others = extents_of(&first).into_iter().map(of).collect();
    Ok(open(&mut MemoryFiles::new(first, others))?.disk)
}

/// An image and what it refers to, in memory.
struct Hosts(Vec<(String, MemoryHost)>);

impl Hosts {
    fn read(path: &Path) -> Self {
        let first = fs::read(path).unwrap();
        let of = |name: String| {
            (name.clone(), MemoryHost::new(fs::read(path.parent().unwrap().join(name)).unwrap()))
        };
        let others: Vec<_> = extents_of(&first).into_iter().map(of).collect();
        Self([vec![(String::new(), MemoryHost::new(first))], others].concat())
    }

    fn open(&self) -> Result<Box<dyn Medium>> {
        let files: Vec<_> = self.0.iter().map(|(name, host)| (name.as_str(), host)).collect();
        open_writable(write_files(&files))
    }

    fn store(&self, path: &Path) {
        for (name, host) in &self.0 {
            let place = if name.is_empty() { path } else { &path.parent().unwrap().join(name) };
            fs::write(place, host.bytes()).unwrap();
        }
    }
}

pub(super) fn open_host(host: &MemoryHost) -> Result<Box<dyn Medium>> {
    open_writable(write_files(&[("", host)]))
}

/// Makes `writes` to an image and what it refers to, and to `raw`.
fn write_path(path: &Path, raw: &mut [u8], writes: &[(u64, Vec<u8>)]) {
    let hosts = Hosts::read(path);
    let mut medium = hosts.open().unwrap();
    let ranges: Vec<_> = writes.iter().map(|(at, bytes)| *at..*at + bytes.len() as u64).collect();
    medium.can_write(&ranges).unwrap();
    write_both(&mut *medium, raw, writes);
    hosts.store(path);
}

fn check_with_qemu(path: &Path) {
    let text = run("qemu-img", &["check", "-f", "vmdk", path.to_str().unwrap()]);
    assert!(text.contains("No errors were found on the image."), "{text}");
}

const SUBFORMATS: [&str; 5] = [
    "subformat=monolithicSparse",
    "subformat=monolithicFlat",
    "subformat=twoGbMaxExtentSparse",
    "subformat=twoGbMaxExtentFlat",
    "subformat=monolithicSparse,zeroed_grain=on",
];

#[test]
fn images_of_qemu_are_read_and_written_as_raw_disks() {
    let disk = mixed_disk(5 * MIB + 512 * 3, 3);
    for (seed, options) in SUBFORMATS.iter().enumerate() {
        let made = Made::from_disk(&disk, "vmdk", options);
        assert!(read_all(&*open_path(&made.image).unwrap()) == disk, "{options}");
        let mut raw = disk.clone();
        write_path(&made.image, &mut raw, &random_writes(disk.len(), 60, seed as u64));
        assert!(read_all(&*open_path(&made.image).unwrap()) == raw, "{options}");
        assert!(made.as_qemu_reads_it() == raw, "{options}");
        if options.contains("Sparse") {
            check_with_qemu(&made.image);
        }
    }
}

#[test]
fn empty_images_take_their_first_grains() {
    for (seed, options) in SUBFORMATS.iter().enumerate() {
        // Two grain tables, and an end inside of a grain.
        let len = 40 * MIB + 512;
        let made = Made::empty(len, "vmdk", options);
        let mut raw = vec![0; len];
        write_path(&made.image, &mut raw, &random_writes(len, 30, seed as u64));
        assert!(made.as_qemu_reads_it() == raw, "{options}");
        if options.contains("Sparse") {
            check_with_qemu(&made.image);
        }
    }
}

/// More than one extent, as products that split at 2 GB make them.
#[test]
fn a_disk_in_several_extents_is_written_across_their_borders() {
    let len = 5 << 30;
    let made = Made::empty(len, "vmdk", "subformat=twoGbMaxExtentSparse");
    let names = extents_of(&made.bytes());
    assert_eq!(names, ["disk-s001.img", "disk-s002.img", "disk-s003.img"]);
    let hosts = Hosts::read(&made.image);
    let mut medium = hosts.open().unwrap();
    assert_eq!(medium.len_bytes(), len as u64);
    let descriptor = String::from_utf8(made.bytes()).unwrap();
    let sectors = descriptor.lines().find_map(|line| line.strip_prefix("RW ")).unwrap();
    let border: u64 = sectors.split(' ').next().unwrap().parse::<u64>().unwrap() * 512;
    let bytes: Vec<u8> = (0..4096u32).map(|i| (i % 253) as u8).collect();
    medium.write_at(border - 2048, &bytes).unwrap();
    medium.sync().unwrap();
    let mut back = vec![0; 4096];
    medium.read_at(border - 2048, &mut back).unwrap();
    assert_eq!(back, bytes);
    hosts.store(&made.image);
    check_with_qemu(&made.image);
    let pattern = |at: u64, byte: &str| {
        let command = format!("read -P {byte} {at} 1");
        run("qemu-io", &["-r", "-f", "vmdk", "-c", &command, made.image.to_str().unwrap()])
    };
    for (at, byte) in [(border - 2048, "0"), (border, "24"), (border + 2047, "47")] {
        let text = pattern(at, byte);
        assert!(!text.contains("Pattern verification failed"), "{text}");
    }
}

const GRAIN: usize = 4096;
const GRAINS: usize = 1100;

/// A monolithic sparse image with grains of 4 KiB, of which `present` are there. Only the first table is there.
pub(super) fn small(present: &[usize]) -> Vec<u8> {
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
         createType=\"monolithicSparse\"\n\nRW {} SPARSE \"old name.vmdk\"\n",
        GRAINS * 8
    );
    let mut image = vec![0; 16 * 512];
    image[..4].copy_from_slice(b"KDMV");
    let mut put = |at: usize, value: u64, len: usize| {
        image[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    };
    put(4, 1, 4);
    put(8, 3, 4);
    put(0x0c, GRAINS as u64 * 8, 8);
    put(0x14, 8, 8);
    // Descriptor at 1, redundant directory at 3, its table at 4, directory at 8, its table at 9.
    put(0x1c, 1, 8);
    put(0x24, 2, 8);
    put(0x2c, 512, 4);
    put(0x30, 3, 8);
    put(0x38, 8, 8);
    put(0x40, 16, 8);
    put(3 * 512, 4, 4);
    put(8 * 512, 9, 4);
    image[0x49..0x4d].copy_from_slice(b"\n \r\n");
    image[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
    for (number, grain) in present.iter().enumerate() {
        let sector = (image.len() / 512) as u32;
        for table in [4, 9] {
            image[table * 512 + grain * 4..][..4].copy_from_slice(&sector.to_le_bytes());
        }
        image.extend(vec![0x60 + number as u8; GRAIN]);
    }
    image
}

pub(super) fn open_small(bytes: Vec<u8>) -> Result<Arc<dyn Disk>> {
    Ok(open(&mut MemoryFiles::one(bytes))?.disk)
}

#[test]
fn every_power_cut_leaves_old_or_new_sectors_and_a_clean_image() {
    let directory = directory();
    let path = directory.path().join("cut.vmdk");
    let judge = |files: &[Vec<u8>], seen: &[u8]| {
        fs::write(&path, &files[0]).unwrap();
        check_with_qemu(&path);
        assert!(qemu_reads(&path, "vmdk") == seen);
    };
    let format = Judged::one((&open, &open_writable), &judge, 31);
    // In place and on into two new grains; a new grain with a table; zeros; a new grain with a new table.
    let writes = vec![
        (512, vec![1; 8192]),
        (7 * 4096, vec![2; 512]),
        (20 * 4096, vec![0; 4096]),
        (600 * 4096 + 1024, vec![3; 1024]),
        (1099 * 4096 + 3584, vec![4; 512]),
    ];
    let looked_at = survives_power_cuts(&[small(&[0, 7])], &writes, &format);
    assert!(looked_at > 100, "{looked_at}");
}

#[test]
fn compressed_images_are_read_and_not_written() {
    let disk = mixed_disk(5 * MIB + 512, 5);
    let made = Made::from_disk(&disk, "vmdk", "subformat=streamOptimized");
    let image = made.bytes();
    let opened = open(&mut MemoryFiles::one(image.clone())).unwrap();
    assert!(read_all(&*opened.disk) == disk);
    assert!(opened.not_writable.unwrap().to_string().contains("stream-optimized"));
    let error = open_host(&MemoryHost::new(image.clone())).unwrap_err();
    assert_eq!(error.kind_name(), "refused");
    // As products that can only append make it: the directory is behind the grains, and only the footer knows where.
    let mut end = image[..512].to_vec();
    end[8] &= !2;
    let streamed = [image.clone(), vec![0; 512], end, vec![0; 512]].concat();
    let mut streamed = streamed;
    streamed[0x38..0x40].fill(0xff);
    assert!(read_all(&*open_small(streamed.clone()).unwrap()) == disk);
    let footer = streamed.len() - 1024;
    streamed[footer + 0x0c] ^= 1;
    let error = open_small(streamed).unwrap_err();
    assert!(error.to_string().contains("the footer is of another disk"), "{error}");
    // Damage in the grains and their tables ends in an error or in bytes.
    let header = 8..0x60;
    let opened =
        survives_damage(&image, &[header, 0x4a00..0x6000, 0x10000..0x14000], 200, &|bytes| {
            let Ok(disk) = open_small(bytes) else { return false };
            read_some(&*disk);
            true
        });
    assert!(opened > 20, "{opened}");
}

#[test]
fn damage_never_panics() {
    let image = small(&[0, 7, 300]);
    let structures = [
        4..0x60,
        0x60..512,
        512..900,
        3 * 512..3 * 512 + 16,
        8 * 512..8 * 512 + 16,
        4 * 512..4 * 512 + 40,
        9 * 512..9 * 512 + 40,
    ];
    let opened = survives_damage(&image, &structures, 1500, &|bytes| {
        let host = MemoryHost::new(bytes.clone());
        let Ok(disk) = open_small(bytes) else { return false };
        read_some(&*disk);
        if let Ok(mut medium) = open_host(&host) {
            write_some(&mut *medium);
        }
        true
    });
    assert!(opened > 10, "{opened}");
}
