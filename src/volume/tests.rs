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

/// The defect in the error, as text.
fn defect(result: Result<Layout>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind_name(), "corrupt", "{error}");
    error.to_string()
}

#[test]
fn a_damaged_primary_is_read_from_the_backup() {
    let good = debian_gpt();
    let expected = find_in(&good).unwrap();
    let check = |bytes: &[u8], warning: &str| {
        let layout = find_in(bytes).unwrap();
        assert_eq!(layout.volumes, expected.volumes, "{warning}");
        assert_eq!(layout.table_guid, expected.table_guid);
        assert!(layout.warnings.len() == 1 && layout.warnings[0].contains(warning), "{layout:?}");
    };
    let mut header = good.clone();
    header[512 + 60] ^= 1;
    check(&header, "the primary GPT is damaged (header checksum");
    let mut array = good.clone();
    array[1024 + 40] ^= 1;
    check(&array, "the primary GPT is damaged (entry array checksum");
    let mut zeroed = good.clone();
    zeroed[512..1024].fill(0);
    check(&zeroed, "the primary GPT is missing; its backup in block 131071 is used");
    // A disk that was made larger has its backup in the middle.
    for mut grown in [header, array, zeroed] {
        grown.resize(100 * MIB, 0);
        check(&grown, "the primary GPT is");
    }
}

/// VOL-4: normal after a volume was made larger, so there is no warning.
#[test]
fn a_grown_disk_needs_no_warning() {
    let mut grown = debian_gpt();
    let expected = find_in(&grown).unwrap();
    grown.resize(200 * MIB, 0);
    assert_eq!(find_in(&grown).unwrap(), expected);
}

#[test]
fn a_damaged_backup_is_a_warning() {
    let good = debian_gpt();
    let last = good.len() - 512;
    let mut damaged = good.clone();
    damaged[last + 60] ^= 1;
    let warnings = find_in(&damaged).unwrap().warnings;
    assert!(warnings[0].starts_with("the backup GPT is damaged (header checksum"), "{warnings:?}");
    let mut missing = good;
    missing[last..].fill(0);
    assert_eq!(find_in(&missing).unwrap().warnings, ["the backup GPT is missing"]);
}

#[test]
fn a_truncated_disk_keeps_the_partitions_that_are_left() {
    let mut bytes = debian_gpt();
    bytes.truncate(32 * MIB);
    let layout = find_in(&bytes).unwrap();
    assert_eq!(numbers(&layout), [14, 15]);
    assert_eq!(layout.warnings.len(), 2);
    assert!(layout.warnings[1].starts_with("partition 1 (blocks "), "{:?}", layout.warnings);
    bytes.truncate(MIB);
    assert!(defect(find_in(&bytes)).contains("none of its 3 partitions lies inside the disk"));
    // A table and nothing behind it is refused, too, and never read past the end.
    for len in [0, 1, 511, 512, 513, 1023, 1024, 1536, 17 * 1024 - 1] {
        let result = find_in(&bytes[..len]);
        assert!(result.is_err_and(|error| error.kind_name() == "corrupt") || len < 512, "{len}");
    }
}

#[test]
fn both_copies_damaged_is_corrupt() {
    let mut bytes = debian_gpt();
    let last = bytes.len() - 512;
    bytes[512 + 60] ^= 1;
    bytes[last + 60] ^= 1;
    let message = defect(find_in(&bytes));
    assert!(message.starts_with("GPT at 0x200: header checksum is"), "{message}");
    bytes[512..1024].fill(0);
    bytes[last..].fill(0);
    assert!(defect(find_in(&bytes)).contains("no copy of the GPT is left"));
}

#[test]
fn hostile_entries_are_left_out() {
    let mut table = Table::new(512, 4096);
    table.add(1, 100, 199);
    for (number, first, last) in [
        (2, u64::MAX, u64::MAX),
        (3, 0, u64::MAX),
        (4, 300, 299),
        (5, u64::MAX / 512, u64::MAX / 512),
        (6, 4000, 4096),
        (7, 0, 10),
        (8, 4000, 4095),
        (9, 150, 249),
    ] {
        table.add(number, first, last);
    }
    let layout = find_in(&table.encode()).unwrap();
    assert_eq!(numbers(&layout), [1, 8, 9]);
    assert_eq!(layout.warnings.len(), 7);
    assert_eq!(layout.warnings[6], "partitions 1 and 9 overlap");
    // The array reaches the limit of our bound, or of the disk.
    for (count, words) in [
        (u32::MAX, "4294967295 partition entries, more than 1024"),
        (1025, "1025 partition entries, more than 1024"),
        (1000, "entry array checksum"),
    ] {
        table.entry_count = count;
        let message = defect(find_in(&table.encode()));
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_table_of_1024_entries_is_read() {
    let mut table = Table::new(512, 8192);
    table.entries.resize(1024 * 128, 0);
    table.entry_count = 1024;
    table.add(1023, 3000, 3001);
    let layout = find_in(&table.encode()).unwrap();
    assert_eq!(layout.volumes[0].id, "1023");
    assert_eq!(layout.warnings, Vec::<String>::new());
}

#[test]
fn every_header_field_is_checked() {
    let good = Table::new(512, 4096);
    let mutate = |offset: usize, value: &[u8]| {
        let mut bytes = good.encode();
        for header in [512, 4095 * 512] {
            bytes[header + offset..header + offset + value.len()].copy_from_slice(value);
            bytes[header + 16..header + 20].fill(0);
            let checksum = crate::bytes::checksum::crc32(&bytes[header..header + 92]);
            bytes[header + 16..header + 20].copy_from_slice(&checksum.to_le_bytes());
        }
        defect(find_in(&bytes))
    };
    for (offset, value, words) in [
        (12, 91u64, "header size 91"),
        (12, 513, "header size 513"),
        (24, 7, "header in block 1 says that it is in block 7"),
        (72, u64::MAX, "lies outside the disk"),
        (72, 4090, "lies outside the disk"),
    ] {
        let width = if offset == 12 { 4 } else { 8 };
        let message = mutate(offset, &value.to_le_bytes()[..width]);
        assert!(message.contains(words), "{message}");
    }
    for entry_bytes in [0u32, 64, 129, 192, 2048, u32::MAX] {
        let message = mutate(84, &entry_bytes.to_le_bytes());
        assert!(
            message.contains(&format!("partition entries of {entry_bytes} bytes")),
            "{message}"
        );
    }
}

#[test]
fn an_empty_table_has_no_volumes() {
    let layout = find_in(&Table::new(512, 4096).encode()).unwrap();
    assert_eq!((layout.table, layout.volumes.len(), layout.warnings.len()), (TableKind::Gpt, 0, 0));
}

#[test]
fn a_hybrid_or_missing_mbr_does_not_hide_the_gpt() {
    let mut bytes = disk_made_by(64 * MIB, "sgdisk", &["-n1:2048:8191", "-n2:8192:0", "-h1"], "");
    let layout = find_in(&bytes).unwrap();
    assert_eq!((layout.table, numbers(&layout)), (TableKind::Gpt, vec![1, 2]));
    assert_eq!(layout.warnings, ["the MBR is hybrid; the GPT is used"]);
    bytes[..512].fill(0);
    let layout = find_in(&bytes).unwrap();
    assert_eq!((layout.table, numbers(&layout)), (TableKind::Gpt, vec![1, 2]));
    assert_eq!(layout.warnings, ["the GPT has no protective MBR"]);
}

#[test]
fn an_mbr_made_over_a_gpt_wins() {
    let mut bytes = debian_gpt();
    let mbr = disk_made_by(64 * MIB, "sfdisk", &["-q"], "label: dos\n,8M,83\n");
    bytes[..512].copy_from_slice(&mbr[..512]);
    let layout = find_in(&bytes).unwrap();
    assert_eq!((layout.table, numbers(&layout)), (TableKind::Mbr, vec![1]));
    assert_eq!(layout.volumes[0].type_label, "Linux file system");
}

#[test]
fn a_disk_without_a_table_has_no_volumes() {
    for bytes in [vec![], vec![0; 100], vec![0; MIB], vec![0xff; MIB]] {
        let layout = find_in(&bytes).unwrap();
        assert_eq!((layout.table, layout.volumes.len()), (TableKind::None, 0));
    }
    let fat = disk_made_by(8 * MIB, "mkfs.vfat", &[], "");
    assert_eq!(find_in(&fat).unwrap().table, TableKind::None);
    let ntfs = disk_made_by(8 * MIB, "mkntfs", &["-qFf"], "");
    assert_eq!(find_in(&ntfs).unwrap().table, TableKind::None);
}

#[test]
fn an_mbr_counts_in_the_sectors_of_the_device() {
    let bytes =
        disk_made_by(16 * MIB, "sfdisk", &["-q"], "label: dos\nstart=256,size=512,type=83\n");
    let layout = find(&SectorDisk(bytes, 4096)).unwrap();
    assert_eq!(layout.volumes[0].offset_bytes, 256 * 4096);
    assert_eq!(layout.volumes[0].size_bytes, 512 * 4096);
}

/// Writes an MBR or EBR: type, first block, blocks.
fn put_record(disk: &mut [u8], lba: usize, entries: &[(u8, u32, u32)]) {
    let record = &mut disk[lba * 512..(lba + 1) * 512];
    for (index, &(type_code, first, count)) in entries.iter().enumerate() {
        let entry = &mut record[446 + index * 16..][..16];
        entry[4] = type_code;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    record[510..].copy_from_slice(&[0x55, 0xaa]);
}

#[test]
fn chains_of_logical_partitions_end() {
    let chain = |second: &[(u8, u32, u32)]| {
        let mut disk = vec![0; 4 * MIB];
        put_record(&mut disk, 0, &[(0x83, 10, 10), (5, 1000, 5000)]);
        put_record(&mut disk, 1000, &[(0x83, 2, 8), (5, 100, 50)]);
        put_record(&mut disk, 1100, second);
        let layout = find_in(&disk).unwrap();
        (numbers(&layout), layout.warnings.join("; "))
    };
    let start = "extended partition 2: the chain of logical partitions";
    assert_eq!(chain(&[(0x83, 2, 8)]), (vec![1, 5, 6], String::new()));
    assert_eq!(
        chain(&[(0x83, 2, 8), (5, 100, 50)]),
        (vec![1, 5, 6], format!("{start} is a loop at block 1100"))
    );
    assert_eq!(
        chain(&[(0, 0, 0), (15, u32::MAX, 1)]),
        (vec![1, 5], format!("{start} leads outside of it at block 4294968295"))
    );
    assert_eq!(
        chain(&[(0x82, 2, 8), (5, 200, 50)]),
        (vec![1, 5, 6], format!("{start} leads to a block without a boot record at block 1200"))
    );
    let (numbers, warnings) = chain(&[(0x83, u32::MAX, u32::MAX)]);
    assert_eq!(numbers, [1, 5]);
    assert!(
        warnings.contains("partition 6 (block 4294968395, 4294967295 blocks) is ignored"),
        "{warnings}"
    );
    // Behind the extended partition, but on the disk.
    let (numbers, warnings) = chain(&[(0x83, 2, 5000)]);
    assert_eq!(
        (numbers, warnings.as_str()),
        (vec![1, 5, 6], "partition 6 ends behind its extended partition")
    );
}

#[test]
fn chains_of_logical_partitions_are_bounded() {
    let mut disk = vec![0; 4 * MIB];
    put_record(&mut disk, 0, &[(15, 1, 8000)]);
    for index in 0..200 {
        put_record(&mut disk, 1 + index * 2, &[(0x83, 1, 1), (5, (index as u32 + 1) * 2, 2)]);
    }
    let layout = find_in(&disk).unwrap();
    assert_eq!((layout.volumes.len(), layout.volumes[127].number), (128, 132));
    assert!(
        layout.warnings[0].contains("has more than 128 links at block 257"),
        "{:?}",
        layout.warnings
    );
}

#[test]
fn mbr_partitions_outside_the_disk_are_named() {
    let mut disk = vec![0; MIB];
    put_record(&mut disk, 0, &[(0x83, 10, 10), (0x83, 2000, 100), (0x83, 0, 5), (5, 30, 1)]);
    let layout = find_in(&disk).unwrap();
    assert_eq!((numbers(&layout), layout.warnings.len()), (vec![1], 3));
    assert!(layout.warnings[0].starts_with("partition 2 (block 2000, 100 blocks) is ignored"));
    let mut disk = vec![0; MIB];
    put_record(&mut disk, 0, &[(0x83, u32::MAX, u32::MAX)]);
    assert!(defect(find_in(&disk)).contains("none of its 1 partitions lies inside the disk"));
}

proptest::proptest! {
    /// Whatever a table says, its volumes lie on the disk; with the checksums repaired, too.
    #[test]
    fn volumes_lie_inside_the_disk(
        changes in proptest::collection::vec((0..128 * 12usize, proptest::prelude::any::<u8>()), 0..40),
        records in proptest::collection::vec((446..512usize, proptest::prelude::any::<u8>()), 0..8),
    ) {
        let mut table = Table::new(512, 2048);
        table.add(1, 100, 199);
        table.add(2, 200, 299);
        for (at, value) in changes {
            table.entries[at] = value;
        }
        let mut bytes = table.encode();
        for (at, value) in records {
            bytes[at] = value;
        }
        for volume in find_in(&bytes).map(|layout| layout.volumes).unwrap_or_default() {
            let end = volume.offset_bytes.checked_add(volume.size_bytes).unwrap();
            proptest::prop_assert!(volume.size_bytes > 0 && end <= bytes.len() as u64);
        }
    }
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
