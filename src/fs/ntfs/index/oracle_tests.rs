//! Trees that ntfs-3g built: those of `fixtures/ntfs`, and new ones for the tests that need FUSE and root.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::check::check;
use super::memory::MemoryIndex;
use super::testing::*;
use super::*;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::fs::ntfs::attribute::{AttributeKind, INDEX_NAME};
use crate::fs::ntfs::name::to_wtf8;
use crate::fs::ntfs::testing::{CLOCK, Image, succeed};
use crate::fs::ntfs::units::MftRecordNumber;
use crate::fs::ntfs::volume::Volume;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// A copy of the index `name` of a record.
fn load(volume: &Volume, number: MftRecordNumber, name: &[u16]) -> MemoryIndex {
    let file = volume.load_file(number).unwrap();
    let value = |kind| {
        let stream = file.stream(volume, kind, name).unwrap();
        stream.map(|stream| stream.read_all(volume, 1 << 26).unwrap()).unwrap_or_default()
    };
    let root = value(AttributeKind::INDEX_ROOT);
    let block_len = IndexRoot::parse(&root).unwrap().block_size_bytes as usize;
    let bitmap = value(AttributeKind::BITMAP);
    let is_set = |bit: &u64| bitmap[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
    MemoryIndex {
        root_bytes_max: root.len().max(300),
        root,
        blocks: value(AttributeKind::INDEX_ALLOCATION)
            .chunks(block_len)
            .map(<[u8]>::to_vec)
            .collect(),
        bitmap: (0..bitmap.len() as u64 * 8).filter(is_set).collect(),
        blocks_max: usize::MAX,
        written: 0,
        read: Cell::default(),
    }
}

/// A volume of `fixtures/ntfs`, and the lines that ntfs-3g gave for it: path, kind, and more.
fn fixture(name: &str) -> (Volume, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ntfs");
    let unpack = |name: &str, more: &[&str]| {
        let path = folder.join(format!("{name}.zst"));
        succeed("zstd", &[&["-q", "-d", "-c"], more, &[path.to_str().unwrap()]].concat())
    };
    // Every volume has the same $UpCase, which is stored once.
    let upcase = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(upcase.path(), unpack("upcase", &[])).unwrap();
    let known = format!("--patch-from={}", upcase.path().to_str().unwrap());
    let bytes = unpack(name, &["--long=31", &known]);
    let disk = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))));
    let tree = String::from_utf8(unpack(&format!("{name}.tree"), &[])).unwrap();
    (Volume::open(disk, CLOCK).unwrap(), tree)
}

/// The names in `directory` by the lines of a fixture, with the short ones.
fn names_of(tree: &str, directory: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in tree.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if let Some(name) = fields[0].strip_prefix(&format!("{directory}/"))
            && !name.is_empty()
            && !name.contains('/')
        {
            names.push(name.to_owned());
            names.extend((fields[6] != "-").then(|| fields[6].to_owned()));
        }
    }
    names.sort();
    names
}

/// WIN-107: the same names in the order of the index, whatever a VCN counts; 10,000 of them in `crowd`; and the
/// tables of `$Secure`.
#[test]
fn trees_of_ntfs_3g_are_read() {
    for (name, directories) in [
        ("crowd", &["crowd", "names"][..]),
        ("c512", &["names", "Windows"]),
        ("c64k", &["names", "Windows"]),
        ("s4k-c64k", &["names", "Windows"]),
    ] {
        let (volume, listed) = fixture(name);
        for directory in directories {
            let names = names_of(&listed, &format!("/{directory}"));
            assert!(!names.is_empty());
            let tree = load(&volume, number_of(&volume, directory), &INDEX_NAME);
            compare(&tree, &volume, &names);
        }
        let cluster = volume.geometry().cluster_size_bytes;
        for (name, collation) in [("$SII", Collation::U32), ("$SDH", Collation::SecurityHash)] {
            let table = load(&volume, MftRecordNumber::SECURE, &utf16(name));
            let summary = check(&table, cluster, collation).unwrap();
            assert!(summary.entries > 1 && summary.is_tidy(), "{summary:?}");
        }
    }
}

/// Edits of 10,000 names that ntfs-3g inserted, and damage to its blocks.
#[test]
fn trees_of_ntfs_3g_are_edited() {
    let (volume, listed) = fixture("crowd");
    let tree = load(&volume, number_of(&volume, "crowd"), &INDEX_NAME);
    edit(tree, &volume, names_of(&listed, "/crowd"), 300);
}

/// Creates `count` files in a new directory, in random order, with names that differ in case only among them.
fn populate(directory: &Path, count: u64, random: &mut Random) {
    std::fs::create_dir(directory).unwrap();
    let create = |name: &str| drop(std::fs::File::create(directory.join(name)).unwrap());
    for number in 0..count {
        let mut units = random.name(60);
        // ntfs-3g takes no unpaired surrogates.
        units.retain(|unit| !(0xd800..0xe000).contains(unit));
        create(&format!("{}{number}", String::from_utf16(&units).unwrap()));
    }
    for number in 0..64u8 {
        let case = |bit: u8, name: char| {
            if number >> bit & 1 == 0 { name } else { name.to_ascii_uppercase() }
        };
        let name: String = (0..).zip("casing".chars()).map(|(bit, name)| case(bit, name)).collect();
        create(&name);
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A volume with a full directory and one from which most names were removed again, and their names.
fn volume(cluster: &str, count: u64) -> (Image, [Vec<String>; 2]) {
    let image = Image::make(48, &["-c", cluster]);
    let mut random = Random(count);
    let names = image.mounted("rw", |root| {
        let [full, thin] = ["full", "thin"].map(|name| root.join(name));
        populate(&full, count, &mut random);
        populate(&thin, count / 2, &mut random);
        let mut thinned = names_in(&thin);
        while thinned.len() > 70 {
            let name = thinned.swap_remove(random.below(thinned.len() as u64) as usize);
            std::fs::remove_file(thin.join(name)).unwrap();
        }
        [names_in(&full), names_in(&thin)]
    });
    (image, names)
}

fn number_of(volume: &Volume, name: &str) -> MftRecordNumber {
    let root = load(volume, MftRecordNumber::ROOT, &INDEX_NAME);
    let collation = Collation::FileName(volume.up_case());
    let index = Index::open(&root, volume.geometry().cluster_size_bytes, collation).unwrap();
    index.find_name(&utf16(name)).unwrap().unwrap().file().record
}

/// Checks a tree against the names that ntfs-3g shows: listing, lookup in the same and in another case.
fn compare(tree: &MemoryIndex, volume: &Volume, names: &[String]) {
    let collation = Collation::FileName(volume.up_case());
    let cluster = volume.geometry().cluster_size_bytes;
    let summary = check(tree, cluster, collation).unwrap();
    assert_eq!(summary.entries, names.len() as u64);
    assert!(summary.loose_nodes == 0 && summary.lost_blocks == 0, "{summary:?}");
    let index = Index::open(tree, cluster, collation).unwrap();
    let listed = list(&index).unwrap();
    assert!(listed.is_sorted_by(|(a, _), (b, _)| volume.up_case().collate(a, b).is_lt()));
    let mut found: Vec<String> =
        listed.iter().map(|(name, _)| String::from_utf8(to_wtf8(name)).unwrap()).collect();
    found.sort();
    assert!(found == names);
    for (name, record) in listed.iter().step_by(7) {
        let entry = index.find_name(name).unwrap().unwrap();
        assert_eq!(entry.file().record.0, *record);
        let upper: Vec<u16> = name.iter().map(|unit| volume.up_case().upper(*unit)).collect();
        let other = index.find_name(&upper).unwrap().unwrap().file_name().unwrap().name;
        let other = other.iter().map(|unit| volume.up_case().upper(*unit));
        assert!(other.eq(upper.iter().copied()));
    }
    assert_eq!(index.find_name(&utf16("no such name")).unwrap(), None);
}

/// Damages copies of `tree`, then removes up to `removals` names in random order, with some insertions; at the
/// end all of them are gone if there were no more.
fn edit(mut tree: MemoryIndex, volume: &Volume, mut names: Vec<String>, removals: usize) {
    let collation = Collation::FileName(volume.up_case());
    let cluster = volume.geometry().cluster_size_bytes;
    let mut random = Random(3);
    let units: Vec<Vec<u16>> = names.iter().map(|name| utf16(name)).collect();
    for _ in 0..20 * sequences() {
        let some: Vec<_> =
            (0..3).map(|_| units[random.below(units.len() as u64) as usize].clone()).collect();
        exercise(damaged(&tree, &mut random), cluster, collation, &some);
    }
    for round in 0..removals.min(names.len()) {
        let name = names.swap_remove(random.below(names.len() as u64) as usize);
        let mut editor = IndexEditor::open(&mut tree, cluster, collation).unwrap();
        assert!(editor.remove(&key(&utf16(&name))).unwrap().is_some(), "{name}");
        if random.below(4) == 0 {
            let new = utf16(&format!("{name} again"));
            assert!(editor.insert(entry(1, &new)).unwrap());
            assert!(editor.remove(&key(&new)).unwrap().is_some());
        }
        if round.is_multiple_of(50) || names.is_empty() {
            let summary = check(&tree, cluster, collation).unwrap();
            assert_eq!((summary.entries, summary.empty_leaf_blocks), (names.len() as u64, 0));
        }
    }
    if names.is_empty() {
        // As ntfs-3g leaves a directory whose last name is removed: a small root, and no block in use.
        let empty = IndexRoot::empty(&collation, 4096, cluster).unwrap().store().unwrap();
        assert_eq!(tree.root[0x10..], empty[0x10..]);
        assert!(tree.bitmap.is_empty());
    }
}

/// Directories that ntfs-3g has just filled, and emptied again in part: it leaves uneven trees. Read and edited
/// down to nothing.
#[test]
#[ignore = "needs root and FUSE"]
fn root_only_uneven_trees_of_ntfs_3g_are_edited() {
    for cluster in ["512", "4096", "65536"] {
        let (image, names) = volume(cluster, 3000);
        let volume = Volume::open(image.overlay(), CLOCK).unwrap();
        for (directory, names) in ["full", "thin"].into_iter().zip(names) {
            let tree = load(&volume, number_of(&volume, directory), &INDEX_NAME);
            assert!(tree.blocks.len() > 20);
            compare(&tree, &volume, &names);
            edit(tree, &volume, names, usize::MAX);
        }
    }
}
