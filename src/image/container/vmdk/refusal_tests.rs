//! What is refused, and what is damage.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::super::testing::{Made, MemoryFiles, MemoryHost, can_write, read_all, write_files};
use super::tests::{MIB, memory, open_host, open_small, small};
use super::*;
use crate::disk::testing::directory;
use std::fs;
use std::slice::from_ref;

#[test]
fn tables_that_disagree_are_not_written() {
    let good = small(&[0, 7]);
    let host = |bytes: &[u8]| MemoryHost::new(bytes.to_vec());
    let put = |sector: usize, grain: usize, value: u32| {
        let mut image = good.clone();
        image[sector * 512 + grain * 4..][..4].copy_from_slice(&value.to_le_bytes());
        image
    };
    // An interrupted write: the second table is behind.
    let behind = host(&put(4, 7, 0));
    let mut medium = open_host(&behind).unwrap();
    medium.write_at(7 * 4096, &[1; 512]).unwrap();
    assert!(behind.bytes()[4 * 512..5 * 512] == behind.bytes()[9 * 512..10 * 512]);
    // Two different grains.
    let mut medium = open_host(&host(&put(4, 7, 16))).unwrap();
    let error = medium.write_at(7 * 4096, &[1; 512]).unwrap_err();
    assert!(error.to_string().contains("grain 7 is at sector 24"), "{error}");
    // One grain for two places.
    let shared = put(9, 7, 16);
    let medium = open_host(&host(&shared)).unwrap();
    assert!(can_write(&*medium, 0, 512).unwrap_err().to_string().contains("blocks 0 and 7"));
    // A grain over the tables, and behind the end.
    for sector in [9, 1_000_000] {
        let disk = open_small(put(9, 0, sector)).unwrap();
        assert_eq!(disk.read_vec(0, 1).unwrap_err().kind_name(), "corrupt");
    }
    // One table for two stretches, and a table over a grain.
    for (sector, message) in [(9, "another grain table"), (20, "a grain")] {
        let mut image = good.clone();
        image.extend(vec![0; 4096]);
        image[8 * 512 + 4..8 * 512 + 8].copy_from_slice(&u32::to_le_bytes(sector));
        let medium = open_host(&host(&image)).unwrap();
        let error = can_write(&*medium, 0, 512).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_descriptor_names_only_files_beside_it() {
    let with = |line: &str| {
        let text = format!("# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n{line}\n");
        Ok::<_, Error>(Descriptor::read_file(&memory(text.into_bytes()))?.files())
    };
    let good = [
        ("RW 8 FLAT \"a b.vmdk\" 0", vec!["a b.vmdk"]),
        (
            "RW 8 VMFS \"a-flat.vmdk\"\r\nRW 8 ZERO\nRDONLY 8 FLAT \"a-flat.vmdk\" 8",
            vec!["a-flat.vmdk"],
        ),
        ("RW 8 SPARSE \"..s001\"\nRW\t8  SPARSE  \"b\"", vec!["..s001", "b"]),
    ];
    for (line, names) in good {
        assert_eq!(with(line).unwrap(), names, "{line}");
    }
    for (line, kind) in [
        ("RW 8 FLAT \"../a\" 0", "corrupt"),
        ("RW 8 FLAT \"/etc/shadow\" 0", "corrupt"),
        ("RW 8 FLAT \"a\\b\" 0", "corrupt"),
        ("RW 8 FLAT \"..\" 0", "corrupt"),
        ("RW 8 FLAT \"\" 0", "corrupt"),
        ("RW 8 FLAT \"a\x1b[m\" 0", "corrupt"),
        ("RW 8 FLAT a 0", "corrupt"),
        ("RW 0 FLAT \"a\" 0", "corrupt"),
        ("RW x FLAT \"a\" 0", "corrupt"),
        ("RW 8 FLAT \"a\" -1", "corrupt"),
        ("RW 8 ZERO \"a\"", "corrupt"),
        ("RW 8 SPARSE \"a\" 8", "corrupt"),
        ("", "corrupt"),
        ("RW 8 VMFSSPARSE \"a\"", "unsupported"),
        ("RW 8 VMFSRDM \"a\"", "unsupported"),
        ("NOACCESS 8 FLAT \"a\" 0", "unsupported"),
        ("parentCID = 12345678\nRW 8 FLAT \"a\" 0", "unsupported"),
    ] {
        assert_eq!(with(line).unwrap_err().kind_name(), kind, "{line}");
    }
    let many = "RW 8 ZERO\n".repeat(5000);
    assert_eq!(with(&many).unwrap_err().kind_name(), "limit");
}

#[test]
fn extents_that_cannot_be_written_are_refused_before_anything_is() {
    let text =
        b"# Disk DescriptorFile\nparentCID=ffffffff\nRW 2 FLAT \"a\" 1\nRDONLY 2 FLAT \"b\" 0\n\
        RW 2 ZERO\n";
    let file = || MemoryHost::new(vec![5; 2048]);
    let hosts = [MemoryHost::new(text.to_vec()), file(), file()];
    let names = [("", &hosts[0]), ("a", &hosts[1]), ("b", &hosts[2])];
    let mut medium = open_writable(write_files(&names)).unwrap();
    can_write(&*medium, 0, 1024).unwrap();
    for start in [512, 2048] {
        assert_eq!(can_write(&*medium, start, start + 1024).unwrap_err().kind_name(), "refused");
    }
    medium.write_at(0, &[6; 1024]).unwrap();
    assert!(hosts[1].bytes()[512..1536] == [6; 1024] && hosts[1].bytes()[..512] == [5; 512]);
    let with = |len: usize| {
        let others = vec![("a".to_owned(), vec![1; len]), ("b".to_owned(), vec![2; 1024])];
        open(&mut MemoryFiles::new(text.to_vec(), others)).map(|opened| opened.disk)
    };
    let disk = with(1536).unwrap();
    assert_eq!(read_all(&*disk)[1023..2049], [vec![1], vec![2; 1024], vec![0]].concat());
    assert!(with(1535).unwrap_err().to_string().contains("do not fit into its 1535 bytes"));
    // Another file than was opened for reading, and one that is named twice.
    let renamed = [("", &hosts[0]), ("c", &hosts[1]), ("b", &hosts[2])];
    assert_eq!(open_writable(write_files(&renamed)).unwrap_err().kind_name(), "mismatch");
    let twice =
        MemoryHost::new(String::from_utf8_lossy(text).replace("\"b\"", "\"a\"").into_bytes());
    let error = open_writable(write_files(&[("", &twice), ("a", &hosts[1])])).unwrap_err();
    assert!(error.to_string().contains("two extents use the file a"), "{error}");
    // Not closed.
    let mut image = small(&[0]);
    image[0x48] = 1;
    assert!(open(&mut MemoryFiles::one(image.clone())).unwrap().not_writable.is_some());
    let error = open_host(&MemoryHost::new(image)).unwrap_err();
    assert!(error.to_string().contains("was not closed"), "{error}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = open_small([b"COWD".as_slice(), &[0; 4096]].concat()).unwrap_err();
    assert!(error.to_string().contains("COWD"), "{error}");
    let made = Made::empty(MIB, "vmdk", "subformat=twoGbMaxExtentSparse");
    let extent = fs::read(made.directory.path().join("disk-s001.img")).unwrap();
    assert!(
        open_small(extent).unwrap_err().to_string().contains("name the file with the descriptor")
    );
}

/// What has no place in the file, and cannot get one, is found out before the write.
#[test]
fn a_file_that_cannot_take_another_grain_says_so_first() {
    let host = MemoryHost::device(small(&[0]));
    let medium = open_host(&host).unwrap();
    can_write(&*medium, 0, 512).unwrap();
    let error = can_write(&*medium, 4096, 4608).unwrap_err();
    assert!(error.to_string().contains("on a device"), "{error}");
    let directory = directory();
    let path = directory.path().join("full.vmdk");
    fs::write(&path, small(&[0])).unwrap();
    let file = fs::File::options().append(true).open(&path).unwrap();
    for (spare_bytes, can) in [(0, false), (1 << 20, true)] {
        file.set_len((1 << 41) - spare_bytes).unwrap();
        let image = crate::image::open(&path, None).unwrap();
        image.can_write(from_ref(&(0..512))).unwrap();
        assert_eq!(image.can_write(from_ref(&(4096..4608))).is_ok(), can, "{spare_bytes}");
    }
}

/// Each field of the header of a sparse extent that says where something is.
#[test]
fn fields_that_cannot_be_are_refused() {
    let good = small(&[0]);
    for (at, value, len, kind) in [
        (4, 3, 4, None),
        (4, 0, 4, Some("unsupported")),
        (4, 4, 4, Some("unsupported")),
        (8, 1 << 18 | 3, 4, Some("unsupported")),
        (8, 1 << 16 | 3, 4, Some("unsupported")),
        (0x49, 0x0d0a_0d0a, 4, Some("corrupt")),
        (0x0c, 0, 8, Some("corrupt")),
        (0x0c, u64::MAX, 8, Some("corrupt")),
        (0x0c, 1 << 36, 8, Some("limit")),
        (0x14, 9, 8, Some("corrupt")),
        (0x14, 4, 8, Some("corrupt")),
        (0x14, 1 << 16, 8, Some("corrupt")),
        (0x24, 1025, 8, Some("corrupt")),
        (0x2c, 511, 4, Some("corrupt")),
        (0x30, 0, 8, Some("corrupt")),
        (0x38, 0, 8, Some("corrupt")),
        (0x38, 1 << 40, 8, Some("corrupt")),
        (0x38, u64::MAX, 8, Some("corrupt")),
    ] {
        let mut image = good.clone();
        image[at..at + len].copy_from_slice(&u64::to_le_bytes(value)[..len]);
        let found = open_small(image).map(|_| ());
        let found = found.as_ref().err().map(Error::kind_name);
        assert_eq!(found, kind, "{at:#x} {value:#x}");
    }
    let long = vec![b' '; 600 << 10];
    assert_eq!(open_small(long).unwrap_err().kind_name(), "limit");
    // An entry of 1 is a grain of zeros if the header says so, and one over the descriptor otherwise.
    let mut image = good.clone();
    image[9 * 512..][..4].copy_from_slice(&1u32.to_le_bytes());
    assert_eq!(
        open_small(image.clone()).unwrap().read_vec(0, 1).unwrap_err().kind_name(),
        "corrupt"
    );
    image[8] |= 4;
    assert!(
        open_small(image.clone()).unwrap().read_vec(0, 1).is_err(),
        "version 1 has no such entries"
    );
    image[4] = 2;
    assert_eq!(open_small(image).unwrap().read_vec(0, 1).unwrap(), [0]);
}

/// What leads over a structure: a grain over the directory behind the metadata, a table over the header, a table in
/// one directory only.
#[test]
fn grains_and_tables_over_structures_are_damage() {
    let good = small(&[0, 7]);
    let put = |at: usize, value: u32| {
        let mut image = good.clone();
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        image
    };
    let mut behind = good.clone();
    let directory = behind.len() / 512;
    behind.extend(vec![0; 8192]);
    behind[directory * 512..][..4].copy_from_slice(&9u32.to_le_bytes());
    behind[0x38..0x40].copy_from_slice(&(directory as u64).to_le_bytes());
    assert!(open_small(behind.clone()).unwrap().read_vec(0, 512).is_ok());
    behind[9 * 512..][..4].copy_from_slice(&(directory as u32).to_le_bytes());
    let error = open_small(behind).unwrap().read_vec(0, 1).unwrap_err();
    assert!(error.to_string().contains("the grain directory"), "{error}");
    // A table of the header itself.
    let image = put(8 * 512, 0);
    assert_eq!(open_small(image.clone()).unwrap().read_vec(0, 512).unwrap(), [0; 512]);
    let mut medium = open_host(&MemoryHost::new(image)).unwrap();
    let error = medium.write_at(0, &[1; 512]).unwrap_err();
    assert!(error.to_string().contains("grain 0 is at sector 0"), "{error}");
    let mut over = good.clone();
    over[8 * 512..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(open_small(over).unwrap().read_vec(0, 1).unwrap_err().kind_name(), "corrupt");
}
