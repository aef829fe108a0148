//! LVM2 on volumes that lvm made (fixtures/lvm), and on some that it would not make.

mod areas;
mod edges;
mod hostile;
mod labels;
#[path = "../../../../tests/integration/support/lvm_build.rs"]
#[allow(dead_code, reason = "the black-box tests use more of it")]
mod lvm_build;
mod parts;
mod refused;
mod texts;

use super::{LogicalDisk, LogicalVolume, PhysicalVolume, VolumeGroup, assemble, read, text};
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit};
use lvm_build::{GroupSpec, SegmentSpec, linear};
use std::io::Read as _;
use std::sync::Arc;

/// The two physical volumes that lvm made.
fn fixture() -> Vec<Vec<u8>> {
    let compressed: [&[u8]; 2] = [
        include_bytes!("../../../../fixtures/lvm/first.zst"),
        include_bytes!("../../../../fixtures/lvm/second.zst"),
    ];
    let unpack = |mut bytes: &[u8]| {
        let mut raw = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut bytes).unwrap();
        decoder.read_to_end(&mut raw).unwrap();
        raw
    };
    compressed.map(unpack).into()
}

fn physical(bytes: &[u8]) -> PhysicalVolume {
    read(&MemoryDisk::new(bytes.to_vec())).unwrap()
}

fn only_group(images: &[Vec<u8>]) -> VolumeGroup {
    let physical: Vec<_> = images.iter().map(|image| physical(image)).collect();
    let mut groups = assemble(&physical);
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn logical<'a>(group: &'a VolumeGroup, name: &str) -> &'a LogicalVolume {
    group.logical_volumes.iter().find(|volume| volume.name == name.as_bytes()).unwrap()
}

fn overlays(images: &[Vec<u8>]) -> Vec<Arc<Overlay>> {
    images
        .iter()
        .map(|image| Arc::new(Overlay::new(Arc::new(MemoryDisk::new(image.clone())))))
        .collect()
}

/// The logical volume `name` over `disks`, which are the group's in the order of assembly.
fn open(group: &VolumeGroup, name: &str, disks: &[Arc<Overlay>]) -> LogicalDisk {
    let mapping = logical(group, name).mapping.clone().unwrap();
    let members = mapping.members().iter();
    let members = members.map(|index| Arc::clone(&disks[*index]) as Arc<dyn DiskEdit>).collect();
    LogicalDisk::new(mapping, members).unwrap()
}

/// What `fixtures/lvm/generate` put there.
fn content(name: &str, sectors: usize) -> Vec<u8> {
    let sector = |number| format!("{:<512}", format!("{name} {number:08}")).into_bytes();
    (0..sectors).flat_map(sector).collect()
}

#[test]
fn volumes_made_by_lvm_are_read() {
    // The order in which they are given does not matter.
    for images in [fixture(), fixture().into_iter().rev().collect()] {
        let group = only_group(&images);
        assert_eq!((group.name.as_slice(), group.seqno), (b"group".as_slice(), 8));
        assert_eq!((group.missing.len(), group.warnings.len()), (0, 0), "{:?}", group.warnings);
        let disks = overlays(&images);
        for (name, extents) in [("root", 20), ("striped", 8), ("exposed", 4)] {
            let disk = open(&group, name, &disks);
            let sectors = extents * 128;
            assert_eq!(disk.len_bytes(), sectors as u64 * 512, "{name}");
            assert_eq!(logical(&group, name).size_bytes, disk.len_bytes(), "{name}");
            let found = disk.read_vec(0, sectors * 512).unwrap();
            assert!(found == content(name, sectors), "{name}");
        }
        assert_eq!(logical(&group, "root").obstacle, None);
        let (_, reason) = logical(&group, "exposed").obstacle.clone().unwrap();
        assert_eq!(reason, "it is read-only");
    }
}

#[test]
fn writes_go_where_reads_come_from_and_nowhere_else() {
    let images = fixture();
    let group = only_group(&images);
    for (name, len) in [("root", 20 * 65536_usize), ("striped", 8 * 65536)] {
        let disks = overlays(&images);
        let disk = open(&group, name, &disks);
        let mut model = content(name, len / 512);
        let mut seed = 7_u64;
        for round in 0..200_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = [1, 511, 4096, 20_000, 200_000][round as usize % 5];
            let at = (seed >> 20) as usize % (len - size);
            let bytes = vec![round as u8; size];
            disk.write_at(at as u64, &bytes, "a test").unwrap();
            model[at..at + size].copy_from_slice(&bytes);
        }
        assert!(disk.read_vec(0, len).unwrap() == model, "{name}");
        let written: u64 =
            disks.iter().flat_map(|disk| disk.written()).map(|range| range.end - range.start).sum();
        assert!(written <= len as u64, "{name}: {written}");
        let changes = disks[0].changes().unwrap();
        assert!(format!("{changes:?}").contains("a test"), "the label passes through");
        assert!(disk.write_at(len as u64 - 1, b"ab", "a test").is_err());
        // LVM still accepts what is around.
        let after: Vec<_> =
            disks.iter().map(|disk| disk.read_vec(0, disk.len_bytes() as usize).unwrap()).collect();
        assert_eq!(only_group(&after), group);
    }
}

#[test]
fn a_missing_disk_takes_only_its_volumes() {
    let images = fixture();
    let [first, second] = [&images[..1], &images[1..]].map(only_group);
    for name in ["root", "striped"] {
        let reason = logical(&first, name).mapping.clone().unwrap_err().to_string();
        assert!(reason.ends_with("which is missing"), "{name}: {reason}");
        assert!(reason.contains(&first.missing[0].to_string()), "{name}: {reason}");
    }
    assert!(logical(&first, "exposed").mapping.is_err());
    assert!(logical(&second, "exposed").mapping.is_ok());
    assert!(logical(&second, "root").mapping.is_err());
}

#[test]
fn a_copy_of_a_disk_is_never_chosen() {
    let images = fixture();
    let group = only_group(&[images[0].clone(), images[1].clone(), images[0].clone()]);
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert!(reason.ends_with("given more than once"), "{reason}");
    assert!(logical(&group, "exposed").mapping.is_ok());
}

/// A volume of three extents on two disks; every extent has 64 KiB.
fn spec() -> GroupSpec {
    GroupSpec::new(65536, &[4, 4]).with("root", vec![linear(0, 1, 2), linear(1, 3, 1)])
}

fn images(spec: &GroupSpec) -> Vec<Vec<u8>> {
    let image = |index| {
        let mut image = spec.head(index);
        image.resize(spec.physical_bytes(index) as usize, 0);
        image
    };
    (0..spec.physical.len()).map(image).collect()
}

#[test]
fn a_text_that_wraps_around_is_one_text() {
    let straight = only_group(&images(&spec()));
    let mut spec = spec();
    spec.text_offset = (1 << 20) - 4096 - 512;
    assert_eq!(only_group(&images(&spec)), straight);
    assert!(straight.logical_volumes[0].mapping.is_ok());
}

#[test]
fn the_highest_sequence_number_counts() {
    let mut newer = spec();
    newer.seqno = 2;
    newer.logical[0].segments.pop();
    let mixed = [images(&spec()).remove(0), images(&newer).remove(1)];
    let group = only_group(&mixed);
    assert_eq!((group.seqno, group.logical_volumes[0].size_bytes), (2, 2 * 65536));
    assert!(group.logical_volumes[0].mapping.is_ok());
    assert!(group.warnings[0].contains("sequence number 1"), "{:?}", group.warnings);
    assert!(group.logical_volumes[0].obstacle.is_some());

    newer.seqno = 1;
    let group = only_group(&[images(&spec()).remove(0), images(&newer).remove(1)]);
    let reason = group.logical_volumes[0].mapping.clone().unwrap_err().to_string();
    assert!(reason.contains("different metadata"), "{reason}");
}

#[test]
fn a_volume_without_metadata_belongs_to_the_group_that_names_it() {
    let spec = spec();
    let mut images = images(&spec);
    // The list of metadata areas becomes empty.
    let label = &mut images[1][512..1024];
    label[104..120].fill(0);
    lvm_build::seal(label, 16, 20);
    assert_eq!(physical(&images[1]).group(), None);
    let group = only_group(&images);
    assert!(group.logical_volumes[0].mapping.is_ok());
}

#[test]
fn damage_to_one_copy_of_the_metadata_forbids_writing() {
    let mut images = fixture();
    // The second area of the second volume.
    images[1][3_145_728 + 14336 + 100] ^= 1;
    assert_eq!(physical(&images[1]).damage().len(), 1);
    let group = only_group(&images);
    assert!(logical(&group, "root").mapping.is_ok());
    let (_, reason) = logical(&group, "root").obstacle.clone().unwrap();
    assert!(reason.contains("checksum"), "{reason}");
}

#[test]
fn a_disk_without_a_label_is_no_physical_volume() {
    let error = read(&MemoryDisk::new(vec![0; 4096])).unwrap_err();
    assert_eq!(error.kind_name(), "not_found");
    assert!(read(&MemoryDisk::new(vec![0; 100])).is_err());
    let mut image = fixture().remove(0);
    image[512 + 100] ^= 1;
    assert_eq!(read(&MemoryDisk::new(image)).unwrap_err().kind_name(), "corrupt");
}

#[test]
fn the_grammar_has_comments_escapes_and_lists() {
    let file = text::parse(
        b"# c {\na { b = [\"x\\\"\", 2,\n-3 ,] c=\"d\" # }\n e { } }\nf = 1.5\0garbage }",
    );
    let file = file.unwrap();
    let a = file.section("a").unwrap();
    let list =
        [text::Value::Text(b"x\"".to_vec()), text::Value::Number(2), text::Value::Number(-3)];
    assert_eq!(a.value("b"), Some(&text::Value::List(list.into())));
    assert_eq!(a.value("c"), Some(&text::Value::Text(b"d".to_vec())));
    assert_eq!(file.value("f"), Some(&text::Value::Text(b"1.5".to_vec())));
    assert!(a.section("e").is_some());
}

#[test]
fn other_texts_are_refused_with_their_line() {
    let deep = "a {".repeat(100_000);
    let many = "a = 1\n".repeat(300_000);
    for (bad, line, part) in [
        ("a {\nb = 1\n", 3, "does not end"),
        ("a = [1, 2", 1, "does not end"),
        ("a = \"x", 1, "does not end"),
        ("a }", 1, "neither"),
        ("a = 1 }", 1, "closing brace"),
        ("\n\n= 1", 3, "a name"),
        ("a = [[1]]", 1, "a value"),
        ("a = 99999999999999999999", 1, "too large"),
        (&deep, 1, "too deep"),
        (&many, 200_001, "too many"),
    ] {
        let defect = text::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(defect.starts_with(&format!("line {line}: ")), "{defect}");
        assert!(defect.contains(part), "{defect}");
    }
}
