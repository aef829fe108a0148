//! Tables made by sgdisk and sfdisk, damaged in named ways (VOL-1, VOL-4, VOL-5).

use super::*;
use crate::disk::check_range;
use crate::disk::memory::MemoryDisk;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tempfile::NamedTempFile;

const MIB: usize = 1024 * 1024;

/// A disk with the sector size of the test.
#[derive(Debug)]
struct SectorDisk(Vec<u8>, u32);

impl Disk for SectorDisk {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn sector_size_bytes(&self) -> u32 {
        self.1
    }
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let start = offset_bytes as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

fn find_in(bytes: &[u8]) -> Result<Layout> {
    find(&MemoryDisk::new(bytes.to_vec()))
}

fn numbers(layout: &Layout) -> Vec<u32> {
    layout.volumes.iter().map(|volume| volume.number).collect()
}

/// Runs `program` on an empty disk of `size` bytes and returns the disk. The tool must be installed (packages
/// gdisk and fdisk): these tests fail without it.
fn disk_made_by(size: usize, program: &str, arguments: &[&str], input: &str) -> Vec<u8> {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(size as u64).unwrap();
    let mut child = Command::new(program)
        .args(arguments)
        .arg(file.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
    std::fs::read(file.path()).unwrap()
}

/// The layout of a Debian cloud image: numbers 1, 14 and 15, not in the order of the disk.
fn debian_gpt() -> Vec<u8> {
    let arguments = [
        "-n14:2048:+3M",
        "-t14:ef02",
        "-n15:8192:+12M",
        "-t15:ef00",
        "-n1:0:0",
        "-t1:8303",
        "-c1:w\u{fc}rzel",
        "-U",
        "01234567-89ab-cdef-0123-456789abcdef",
    ];
    disk_made_by(64 * MIB, "sgdisk", &arguments, "")
}

#[test]
fn gpt_numbers_keep_their_holes() {
    let layout = find_in(&debian_gpt()).unwrap();
    assert_eq!((layout.table, layout.sector_size_bytes), (TableKind::Gpt, 512));
    assert_eq!(layout.warnings, Vec::<String>::new());
    let guid = layout.table_guid.unwrap().to_string();
    assert_eq!(guid, "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(numbers(&layout), [1, 14, 15]);
    let [root, bios, efi] = layout.volumes.as_slice() else { panic!("three volumes") };
    assert_eq!((bios.offset_bytes, bios.size_bytes), (2048 * 512, 3 * MIB as u64));
    assert_eq!((efi.offset_bytes, efi.size_bytes), (8192 * 512, 12 * MIB as u64));
    assert_eq!(root.name, "w\u{fc}rzel".as_bytes());
    assert_eq!((root.id.as_str(), bios.type_label.as_str()), ("1", "BIOS boot"));
    assert_eq!(efi.type_label, "EFI system");
    assert!(root.part_uuid.is_some());
}

#[test]
fn mbr_logical_partitions_are_numbered_from_five() {
    let script = "label: dos\n,8M,83\n,4M,82\n,,E\n,6M,83\n,5M,8e\n,,83\n";
    let layout = find_in(&disk_made_by(64 * MIB, "sfdisk", &["-q"], script)).unwrap();
    assert_eq!((layout.table, layout.warnings.len()), (TableKind::Mbr, 0));
    assert_eq!(numbers(&layout), [1, 2, 5, 6, 7]);
}

/// The table of a disk with 4096-byte sectors, on that disk and in an image file, which claims to have 512.
#[test]
fn gpt_for_large_sectors_is_found_in_a_file() {
    let mut table = Table::new(4096, 4096);
    table.add(3, 256, 511);
    let bytes = table.encode();
    for sector_size_bytes in [512, 4096] {
        let layout = find(&SectorDisk(bytes.clone(), sector_size_bytes)).unwrap();
        assert_eq!((layout.sector_size_bytes, numbers(&layout)), (4096, vec![3]));
        assert_eq!(layout.volumes[0].offset_bytes, 256 * 4096);
        assert_eq!(layout.volumes[0].size_bytes, 256 * 4096);
        assert_eq!(layout.warnings, Vec::<String>::new());
    }
}

/// An encoder of GPT disks for what no tool makes.
struct Table {
    sector: usize,
    sectors: u64,
    entry_count: u32,
    entries: Vec<u8>,
}

impl Table {
    fn new(sector: usize, sectors: u64) -> Self {
        Self { sector, sectors, entry_count: 128, entries: vec![0; 128 * 128] }
    }

    fn add(&mut self, number: usize, first_lba: u64, last_lba: u64) {
        let entry = &mut self.entries[(number - 1) * 128..number * 128];
        entry[..32].fill(number as u8);
        entry[32..40].copy_from_slice(&first_lba.to_le_bytes());
        entry[40..48].copy_from_slice(&last_lba.to_le_bytes());
    }

    fn header(&self, my_lba: u64, alternate_lba: u64, array_lba: u64) -> Vec<u8> {
        let mut header = vec![0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[24..32].copy_from_slice(&my_lba.to_le_bytes());
        header[32..40].copy_from_slice(&alternate_lba.to_le_bytes());
        header[56..72].fill(9);
        header[72..80].copy_from_slice(&array_lba.to_le_bytes());
        header[80..84].copy_from_slice(&self.entry_count.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        let checksum = crate::bytes::checksum::crc32(&self.entries);
        header[88..92].copy_from_slice(&checksum.to_le_bytes());
        let checksum = crate::bytes::checksum::crc32(&header);
        header[16..20].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Protective MBR, primary and backup.
    fn encode(&self) -> Vec<u8> {
        let mut disk = vec![0; self.sector * self.sectors as usize];
        let last_lba = self.sectors - 1;
        let array_sectors = self.entries.len().div_ceil(self.sector) as u64;
        disk[446 + 4] = 0xee;
        disk[446 + 8..446 + 12].copy_from_slice(&1u32.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&(last_lba as u32).to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut put = |lba: u64, bytes: &[u8]| {
            let at = lba as usize * self.sector;
            disk[at..at + bytes.len()].copy_from_slice(bytes);
        };
        let backup_array_lba = last_lba - array_sectors;
        put(1, &self.header(1, last_lba, 2));
        put(2, &self.entries);
        put(last_lba, &self.header(last_lba, 1, backup_array_lba));
        put(backup_array_lba, &self.entries);
        disk
    }
}
