//! Reading: hives by our own encoder, whole and damaged.

use super::testing::hive_build::{HiveShape, TestKey, build, seal, utf16z};
use super::testing::*;
use super::*;
use crate::error::ErrorKind;
use std::cell::Cell;

fn shapes() -> Vec<HiveShape> {
    let usual = HiveShape::default();
    vec![
        usual.clone(),
        HiveShape { minor: 3, list: b"lf", ..usual.clone() },
        HiveShape { minor: 4, list: b"li", leaf_max: 7, ..usual.clone() },
        HiveShape { minor: 6, leaf_max: 50, hole_bytes: 24, tail_bytes: 700, ..usual },
    ]
}

/// WIN-86, WIN-98, WIN-99, WIN-100.
#[test]
fn what_was_encoded_is_read() {
    for shape in shapes() {
        let root = sample();
        let built = build(&root, &shape);
        let hive = open(&built.bytes).unwrap();
        assert_eq!(read_all(&hive).unwrap(), sorted(&root), "{shape:?}");
        assert_eq!(hive.replayed(), None);
        assert!(hive.finish().unwrap().is_empty());
    }
}

#[test]
fn the_strict_reader_reads_the_encoder() {
    for shape in shapes().into_iter().filter(|shape| shape.list != b"li") {
        let root = sample();
        assert_eq!(hive_check::check(&build(&root, &shape).bytes), sorted(&root), "{shape:?}");
    }
}

#[test]
fn keys_are_found_by_path_whatever_their_case() {
    for shape in shapes() {
        let hive = open(&build(&sample(), &shape).bytes).unwrap();
        for (path, expected) in [
            ("", Some("ROOT")),
            ("\\", Some("ROOT")),
            ("many\\KEY 77", Some("key 77")),
            ("\\Sub\\deep\\deeper\\", Some("Deeper")),
            ("sub\\\u{e4}rger", Some("\u{c4}rger")),
            ("sub\\\u{436}\u{423}\u{41a}", Some("\u{416}\u{443}\u{43a}")),
            ("Many\\key 120", None),
            ("Sub\\Deep\\Deeper\\x", None),
            ("S", None),
        ] {
            let key = hive.key(path).unwrap();
            assert_eq!(key.map(|key| key.name().to_text()).as_deref(), expected, "{path}");
        }
        let deeper = hive.key("Sub\\Deep\\Deeper").unwrap().unwrap();
        assert_eq!(hive.class_name(&deeper).unwrap(), Some(Name::new("c1a55")));
        assert_eq!(hive.class_name(&hive.root().unwrap()).unwrap(), None);
    }
}

/// WIN-12 to WIN-15 are looked up like this.
#[test]
fn values_have_their_types() {
    let hive = open(&build(&sample(), &HiveShape::default()).bytes).unwrap();
    let get = |name: &str| hive.get("Types", name).unwrap().unwrap();
    assert_eq!(get("").as_text().as_deref(), Some("default"));
    assert_eq!(get("TEXT").as_text().as_deref(), Some("C:\\Windows"));
    assert_eq!(get("expand").as_text().as_deref(), Some("%SystemRoot%"));
    assert_eq!(get("Number").as_u32(), Some(0x0102_0304));
    assert_eq!(get("Big-endian").as_u32(), Some(0x0102_0304));
    assert_eq!(get("Texts").as_texts().unwrap(), ["one", "two"]);
    assert_eq!(get("Long number").as_u64(), Some(0x0102_0304_0506_0708));
    assert_eq!(get("Short").bytes, [9, 8]);
    assert!(get("Empty").bytes.is_empty());
    assert_eq!(get("gr\u{d6}\u{df}e").as_text().as_deref(), Some("latin"));
    assert_eq!(get("\u{436}").as_text().as_deref(), Some("cyrillic"));
    assert_eq!(get("Strange").kind, ValueKind::Other(0x1234));
    assert_eq!(get("Big").bytes.len(), 40_000);
    assert_eq!(hive.get("Types", "none").unwrap(), None);
    assert_eq!(hive.get("none", "").unwrap(), None);
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// WIN-87, WIN-94.
#[test]
fn base_blocks_that_are_none_or_wrong() {
    let good = build(&TestKey::new("r"), &HiveShape::default()).bytes;
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        put(&mut bytes, at, new);
        seal(&mut bytes[..4096]);
        open(&bytes).unwrap_err()
    };
    for (at, new, expected) in [
        (0, &b"Regf"[..], "signature [52, 65, 67, 66] instead of \"regf\""),
        (20, &[2], "hive of version 2.5"),
        (24, &[2], "hive of version 1.2"),
        (24, &[7], "hive of version 1.7"),
        (28, &[6], "file type 6 instead of 0"),
        (32, &[0], "file format 0 instead of 1"),
        (40, &[0, 0], "bins data of 0 bytes"),
        (40, &[1], "bins data of 4097 bytes"),
        (40, &[0, 0x20], "bins data end at byte 12288, the file at 8192"),
        (36, &[4], "cell 0x4: key node at 0x1004: pointer to 0x4 in bins data of 4096 bytes"),
        (36, &[0, 0x10], "pointer to 0x1000 in bins data of 4096 bytes"),
        (36, &[120], "key node at 0x1078: needs 76 bytes, its cell has 44"),
    ] {
        let said = with(at, new).to_string();
        assert!(said.contains(expected), "{at}: {said}");
    }
    let mut bytes = good.clone();
    bytes[508] ^= 1;
    let error = open(&bytes).unwrap_err();
    assert_eq!(dirty_detail(&error), "the checksum of the base block is wrong");
    assert!(matches!(with(0, b"MZ").kind(), ErrorKind::Corrupt(_)));
    for len in [0, 100, 511, 4096, 4100] {
        assert!(open(&good[..len]).is_err(), "{len}");
    }
}

/// WIN-87: the two results that the rule replaces.
#[test]
fn checksums_are_never_0_or_all_ones() {
    let mut head = [0u8; 512];
    assert_eq!(base_block::xor_checksum(&head).unwrap(), 1);
    head[..4].fill(0xff);
    assert_eq!(base_block::xor_checksum(&head).unwrap(), 0xffff_fffe);
    head[4] = 1;
    assert_eq!(base_block::xor_checksum(&head).unwrap(), 0xffff_fffe);
    head[5] = 1;
    assert_eq!(base_block::xor_checksum(&head).unwrap(), 0xffff_fefe);
}

/// WIN-25.
#[test]
fn a_hive_that_may_have_transactions_says_so_and_keeps_saying_so() {
    for (flags, may_have) in [(0, false), (1, true), (2, false), (3, true)] {
        let built = build(&sample(), &HiveShape { flags, ..HiveShape::default() }).bytes;
        let mut hive = open(&built).unwrap();
        assert_eq!(hive.may_have_transactions(), may_have, "{flags}");
        let key = hive.key("Types").unwrap().unwrap();
        hive.set_value(&key, "Number", &Data::dword(77), None).unwrap();
        let mut edited = built.clone();
        for (at, bytes) in hive.finish().unwrap().overwrites {
            edited[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        let hive = open(&edited).unwrap();
        assert_eq!(hive.may_have_transactions(), may_have, "{flags}");
        assert_eq!(hive.get("Types", "Number").unwrap().unwrap().as_u32(), Some(77));
    }
}

/// One wrong field each: what it is, which is read, and the defect.
#[test]
fn damaged_structures_are_named() {
    let built = build(&sample(), &HiveShape { leaf_max: 50, ..HiveShape::default() });
    let file = |at: u32| at as usize + 4096;
    let key = |path: &str| file(built.keys[path]);
    let cell = |what: &str| file(built.cells[what]);
    let value = |name: &str| file(built.values[&("Types".to_owned(), name.to_owned())]);
    let size = |at: usize| i32::from_le_bytes(built.bytes[at..at + 4].try_into().unwrap());
    let free = |at: usize| (-size(at)).to_le_bytes().to_vec();
    for (at, new, expected) in [
        (key("Sub") + 4, b"kn".to_vec(), "key node at"),
        (key("Sub"), free(key("Sub")), "cell is free"),
        (key("Sub"), vec![0; 4], "cell of size 0"),
        (key("Sub"), vec![0xfc], "cell of size -"),
        (key("Sub"), vec![0, 0, 0, 0x80], "cell of size -2147483648"),
        (key("Sub") + 4 + 16, vec![8], "parent is"),
        (key("Sub") + 4 + 72, vec![0xff, 1], "needs 587 bytes, its cell has"),
        (key("Sub") + 4 + 72, vec![0xff, 0xff], "name of a key in bytes"),
        (key("Sub") + 4 + 20, vec![99], "3 subkeys in its lists, 99 by its key node"),
        (key("Sub") + 4 + 20, vec![0, 0, 0, 1], "number of subkeys of a key"),
        (key("Sub") + 4 + 28, vec![0xff; 4], "pointer to 0xffffffff"),
        (key("Types") + 4 + 36, vec![0, 0, 0, 1], "number of values of a key"),
        (key("Types") + 4 + 40, vec![0xf8, 0xff, 0xff, 0x7f], "key values list"),
        (key("Types") + 4 + 36, vec![200], "needs 800 bytes"),
        (key("Sub\\Deep\\Deeper") + 4 + 74, vec![0xff, 0xff], "class name of a key in bytes"),
        (cell("list 0 of Many") + 4, b"xx".to_vec(), "subkey list with signature [78, 78]"),
        (cell("list 0 of Many") + 4, b"ri".to_vec(), "index root below an index root"),
        (cell("list 0 of Many") + 6, vec![0xff, 0xff], "needs 524284 bytes"),
        (cell("root list of Many") + 6, vec![1, 0], "50 subkeys in its lists, 120"),
        (value("Text") + 4, b"kv".to_vec(), "key value at"),
        (value("Number") + 8, vec![5], "5 bytes inline"),
        (value("Text") + 6, vec![0xff, 0xff], "name of a registry value in bytes"),
        (value("Text") + 6, vec![0xfe, 0x7f], "needs 32786 bytes"),
        (value("Bytes") + 8, vec![0xff, 0xff, 0xff, 0x7f], "data of a registry value in bytes"),
        (value("Bytes") + 8, vec![0xff], "value data at"),
        (value("Big") + 12, vec![3], "pointer to"),
        (cell("data of Types Big") + 4, b"bd".to_vec(), "signature [62, 64, 03, 00]"),
        (cell("data of Types Big") + 6, vec![2], "2 segments for 3"),
        (cell("data of Types Big 2"), vec![0xf8], "data segment at"),
    ] {
        let mut bytes = built.bytes.clone();
        put(&mut bytes, at, &new);
        let error = open(&bytes).and_then(|hive| read_all(&hive)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(expected), "{said} instead of {expected}");
        // The rest can still be read, unless the way to it is what is damaged.
        open(&bytes).unwrap().get("Select\\Nothing", "").unwrap();
    }
}

#[test]
fn odd_utf16_names_are_damage() {
    let built = build(&TestKey::new("r").subkey(TestKey::new("abc")), &HiveShape::default());
    let mut bytes = built.bytes.clone();
    put(&mut bytes, built.keys["abc"] as usize + 4096 + 6, &[0]);
    let error = open(&bytes).unwrap().key("abc").unwrap_err();
    assert!(error.to_string().contains("UTF-16 name of 3 bytes"), "{error}");
}

#[test]
fn cycles_end_and_duplicates_come_once() {
    let root = TestKey::new("r")
        .at("a\\b", TestKey::new("c").dword("one", 1).dword("two", 2))
        .at("a", TestKey::new("d"));
    let built = build(&root, &HiveShape::default());
    let cell = |what: &str| built.cells[what] as usize + 4096;
    // The list of "a\b" holds the root, "a", or itself: each time the parent disagrees.
    for target in ["", "a", "a\\b"] {
        let mut bytes = built.bytes.clone();
        put(&mut bytes, cell("list 0 of a\\b") + 8, &built.keys[target].to_le_bytes());
        let hive = open(&bytes).unwrap();
        let error = read_all(&hive).unwrap_err();
        assert!(error.to_string().contains("parent is"), "{error}");
    }
    // A root that names itself as its parent.
    let mut bytes = built.bytes.clone();
    let root_at = built.keys[""];
    put(&mut bytes, root_at as usize + 4096 + 4 + 16, &root_at.to_le_bytes());
    put(&mut bytes, cell("list 0 of ") + 8, &root_at.to_le_bytes());
    assert!(read_all(&open(&bytes).unwrap()).unwrap_err().to_string().contains("parent is"));
    let mut bytes = built.bytes.clone();
    put(&mut bytes, cell("list 0 of a") + 16, &built.keys["a\\b"].to_le_bytes());
    let one = built.values[&("a\\b\\c".to_owned(), "one".to_owned())];
    put(&mut bytes, cell("values of a\\b\\c") + 8, &one.to_le_bytes());
    let hive = open(&bytes).unwrap();
    let a = hive.key("a").unwrap().unwrap();
    assert_eq!((a.subkey_count(), hive.subkeys(&a).unwrap().len()), (2, 1));
    let c = hive.key("a\\b\\c").unwrap().unwrap();
    assert_eq!((c.value_count(), hive.values(&c).unwrap().len()), (2, 1));
}

#[test]
fn levels_are_bounded_as_in_windows() {
    let mut key = TestKey::new("k");
    for _ in 0..513 {
        key = TestKey::new("k").subkey(key);
    }
    let hive = open(&build(&key, &HiveShape::default()).bytes).unwrap();
    assert!(hive.key(&"k\\".repeat(512)).unwrap().is_some());
    let error = hive.key(&"k\\".repeat(513)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit { limit: 512, .. }), "{error}");
}

/// A lookup reads what is on its way, and a page once.
#[test]
fn a_lookup_reads_little_of_a_large_hive() {
    let mut root = sample();
    for index in 0..300 {
        let key = TestKey::new(&format!("filler {index}")).value("x", 3, &[7; 9000]);
        root = root.at("Filler", key);
    }
    let bytes = build(&root, &HiveShape::default()).bytes;
    assert!(bytes.len() > 3_000_000);
    let reads = Rc::new(Cell::new(0));
    let source = Counting { bytes, reads: Rc::clone(&reads) };
    let hive = Hive::open(Box::new(source), Vec::new()).unwrap();
    let text = hive.get("Sub\\Deep\\Deeper", "x").unwrap().unwrap();
    assert_eq!(text.bytes, utf16z("y"));
    assert!(reads.get() < 12, "{} reads", reads.get());
    let before = reads.get();
    hive.get("Sub\\Deep\\Deeper", "x").unwrap();
    assert_eq!(reads.get(), before);
    read_all(&hive).unwrap();
}
