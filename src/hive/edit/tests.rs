//! Edits, judged by the strict reader of the tests.

use super::super::testing::hive_build::{HiveShape, TestKey, TestValue, build, upper, utf16z};
use super::super::testing::hive_check::check;
use super::super::testing::*;
use super::super::{Data, FileTime, Hive, HiveChanges, Key, ValueKind};
use crate::error::ErrorKind;
use proptest::prelude::*;

fn key(hive: &Hive<'_>, path: &str) -> Key {
    hive.key(path).unwrap().unwrap()
}

/// The hive `bytes` after `edit`, and what changed.
fn edited(bytes: &[u8], edit: impl FnOnce(&mut Hive<'_>)) -> (Vec<u8>, HiveChanges) {
    let mut hive = open(bytes).unwrap();
    edit(&mut hive);
    let changes = hive.finish().unwrap();
    (applied(bytes, &changes), changes)
}

/// WIN-101, WIN-2: a few bytes in place are a few bytes and the base block.
#[test]
fn bytes_are_overwritten_in_place() {
    let built = build(&sample(), &HiveShape::default());
    let place = |what: &str| u64::from(built.cells[what]) + 4096 + 4;
    let value =
        |name: &str| u64::from(built.values[&("Types".to_owned(), name.to_owned())]) + 4096 + 12;
    for (name, offset, bytes, expected) in [
        ("Bytes", 3, &[0x40, 0x41, 0x42, 0x43][..], vec![(place("data of Types Bytes") + 3, 4)]),
        ("Just one", 16340, &[254; 4], vec![(place("data of Types Just one") + 16340, 4)]),
        ("Number", 0, &[0xff, 0xff, 0xff, 0xff], vec![(value("Number"), 4)]),
        ("Number", 2, &[0xff], vec![(value("Number") + 2, 1)]),
        ("Short", 1, &[0xff], vec![(value("Short") + 1, 1)]),
        // From one segment into the next.
        (
            "Big",
            16342,
            &[254; 4],
            vec![(place("data of Types Big 0") + 16342, 2), (place("data of Types Big 1"), 2)],
        ),
        ("Big", 39_999, &[254], vec![(place("data of Types Big 2") + 39_999 - 2 * 16344, 1)]),
    ] {
        let (after, changes) = edited(&built.bytes, |hive| {
            let value = hive.value(&key(hive, "Types"), name).unwrap().unwrap();
            hive.overwrite_data(&value, offset, bytes).unwrap();
        });
        let (_, data) = changes.overwrites.split_last().unwrap();
        let runs: Vec<_> = data.iter().map(|(at, bytes)| (*at, bytes.len())).collect();
        assert_eq!(runs, expected, "{name}");
        let mut model = sample();
        let types = model.subkeys.iter_mut().find(|key| key.name == "Types").unwrap();
        let changed = types.values.iter_mut().find(|value| value.name == name).unwrap();
        changed.data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        assert_eq!(check(&after), sorted(&model), "{name}");
    }
}

#[test]
fn an_edit_that_changes_nothing_is_no_edit() {
    let bytes = build(&sample(), &HiveShape::default()).bytes;
    let mut hive = open(&bytes).unwrap();
    let types = key(&hive, "Types");
    let number = hive.value(&types, "number").unwrap().unwrap();
    hive.set_dword(&number, 0x0102_0304).unwrap();
    hive.set_value(&types, "Bytes", &Data::binary(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), None).unwrap();
    hive.overwrite_data(&number, 4, &[]).unwrap();
    assert!(hive.finish().unwrap().is_empty());
    hive.set_dword(&number, 1).unwrap();
    assert!(!hive.finish().unwrap().is_empty());
    hive.set_dword(&number, 0x0102_0304).unwrap();
    assert!(hive.finish().unwrap().is_empty());
}

/// Everything as before: no half of an edit is left.
#[test]
fn an_edit_that_fails_leaves_nothing() {
    let built = build(&sample(), &HiveShape { hole_bytes: 24, ..HiveShape::default() });
    // A cell in the way of the search for room is broken, but not one that is read.
    let mut bytes = built.bytes.clone();
    bytes[built.cells["security"] as usize + 4096 + 4] = b'x';
    bytes[built.cells["data of Types \u{416}"] as usize + 4096] = 3;
    let mut hive = open(&bytes).unwrap();
    let types = key(&hive, "Types");
    let long = Data::binary(&[7; 12_000]);
    let number = hive.value(&types, "Number").unwrap().unwrap();
    let text = hive.value(&types, "Text").unwrap().unwrap();
    // This fits the list of values as it is; the next one does not.
    hive.set_value(&types, "First", &Data::dword(1), None).unwrap();
    let before = hive.finish().unwrap();
    assert!(!before.is_empty());
    let outcomes = [
        hive.set_value(&types, "New", &long, None),
        hive.set_value(&types, "New", &Data::dword(1), None),
        hive.create_subkey(&types, "New", FileTime(1)).map(drop),
        hive.overwrite_data(&number, 1, &[0; 4]),
        hive.overwrite_data(&number, u32::MAX, &[0; 4]),
        hive.set_dword(&text, 1),
        hive.set_value(&types, "Number", &Data::binary(&[0; 16345]), None),
        hive.set_value(&types, &"x".repeat(32_767), &long, None),
    ];
    let said: Vec<String> =
        outcomes.into_iter().map(|done| done.unwrap_err().to_string()).collect();
    for (said, expected) in said.iter().zip([
        "cell of size",
        "cell of size",
        "signature [78, 6b, 00, 00] instead of \"sk\"",
        "4 bytes from byte 1 of a value of 4 bytes",
        "4 bytes from byte 4294967295 of a value of 4 bytes",
        "the value Text is no REG_DWORD",
        "data of a new registry value in bytes",
        "name of a registry value in bytes",
    ]) {
        assert!(said.contains(expected), "{said} instead of {expected}");
    }
    assert_eq!(hive.finish().unwrap(), before);
}

#[test]
fn names_that_windows_would_not_take() {
    let bytes = build(&sample(), &HiveShape::default()).bytes;
    let mut hive = open(&bytes).unwrap();
    let types = key(&hive, "Types");
    for name in ["", "a\\b", "a\0", "\u{e4}"] {
        let error = hive.create_subkey(&types, name, FileTime(1)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{name:?}: {error}");
    }
    let error = hive.create_subkey(&types, &"x".repeat(256), FileTime(1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit { limit: 510, .. }), "{error}");
    hive.create_subkey(&types, &"x".repeat(255), FileTime(1)).unwrap();
    assert!(hive.finish().unwrap().overwrites.len() > 1);
}

/// WIN-99: lists are cut, and an index root is made and grows.
#[test]
fn many_new_keys_stay_sorted() {
    for (minor, list, count) in [(5, b"lh", 400), (3, b"lf", 180)] {
        let shape = HiveShape { minor, list, ..HiveShape::default() };
        let mut model = TestKey::new("r").subkey(TestKey::new("Here"));
        let mut bytes = build(&model, &shape).bytes;
        let mut number = 0u32;
        for _ in 0..3 {
            (bytes, _) = edited(&bytes, |hive| {
                let here = key(hive, "Here");
                for _ in 0..count {
                    number += 1;
                    let name = format!("Key {:08x}", number.wrapping_mul(0x9e37_79b1));
                    let made = hive.create_subkey(&here, &name, FileTime(77)).unwrap();
                    assert_eq!(made.name().to_text(), name);
                    let mut subkey = TestKey::new(&name);
                    subkey.written = 77;
                    model.subkeys[0].subkeys.push(subkey);
                }
                model.subkeys[0].written = 77;
                // One that is there already is given as it is.
                let name = model.subkeys[0].subkeys[0].name.to_lowercase();
                hive.create_subkey(&here, &name, FileTime(78)).unwrap();
            });
            assert_eq!(check(&bytes), sorted(&model));
        }
    }
}

/// WIN-98: a new bin behind the last, over the tail of the file or behind its end.
#[test]
fn a_hive_without_room_gets_a_bin() {
    for tail_bytes in [0, 100, 4096, 20_000] {
        let shape = HiveShape { tail_bytes, ..HiveShape::default() };
        let before = build(&sample(), &shape);
        let data = Data::binary(&[0xaa; 9000]);
        let (after, changes) = edited(&before.bytes, |hive| {
            hive.set_value(&key(hive, "Select"), "large", &data, None).unwrap();
        });
        assert_eq!(changes.appended.len(), 12_288usize.saturating_sub(tail_bytes), "{tail_bytes}");
        let old_bins = u32::from_le_bytes(before.bytes[40..44].try_into().unwrap());
        let new_bins = u32::from_le_bytes(after[40..44].try_into().unwrap());
        assert_eq!(new_bins - old_bins, 12_288);
        let mut model = sample();
        let select = model.subkeys.iter_mut().find(|key| key.name == "Select").unwrap();
        *select = select.clone().value("large", 3, &data.bytes);
        assert_eq!(check(&after), sorted(&model));
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Set { key: usize, name: usize, kind: u32, data: Vec<u8>, written: Option<u64> },
    Create { key: usize, name: usize },
    Overwrite { key: usize, value: usize, offset: usize, byte: u8, len: usize },
}

const NAMES: &[&str] = &[
    "",
    "Start",
    "CmdLine",
    "SetupType",
    "a",
    "B",
    "A much longer name of a value than others",
    "Gr\u{f6}\u{df}e",
    "\u{416}",
    "start",
    "zz",
    "key 5",
    "KEY 50",
    "_",
    "Types",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let len = prop_oneof![3 => 0usize..6, 3 => 0usize..200, 1 => 0usize..16_345];
    let data = (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    let written = proptest::option::of(any::<u64>());
    let set = (any::<usize>(), 0..NAMES.len(), 0u32..13, data, written)
        .prop_map(|(key, name, kind, data, written)| Edit::Set { key, name, kind, data, written });
    let create =
        (any::<usize>(), 0..NAMES.len()).prop_map(|(key, name)| Edit::Create { key, name });
    let overwrite =
        (any::<usize>(), any::<usize>(), any::<usize>(), any::<u8>(), 0usize..40).prop_map(
            |(key, value, offset, byte, len)| Edit::Overwrite { key, value, offset, byte, len },
        );
    let edit = prop_oneof![4 => set, 2 => create, 2 => overwrite];
    prop::collection::vec(edit, 1..30)
}

fn paths(key: &TestKey, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    for subkey in &key.subkeys {
        paths(subkey, &format!("{path}\\{}", subkey.name), all);
    }
}

fn find<'a>(root: &'a mut TestKey, path: &str) -> &'a mut TestKey {
    path.split('\\')
        .filter(|name| !name.is_empty())
        .fold(root, |key, name| key.subkeys.iter_mut().find(|subkey| subkey.name == name).unwrap())
}

fn apply(hive: &mut Hive<'_>, model: &mut TestKey, edit: &Edit) {
    let mut all = Vec::new();
    paths(model, "", &mut all);
    match edit {
        Edit::Set { key: index, name, kind, data, written } => {
            let path = &all[index % all.len()];
            let name = NAMES[*name];
            let value = Data { kind: ValueKind::from(*kind), bytes: data.clone() };
            let here = key(hive, path);
            hive.set_value(&here, name, &value, written.map(FileTime)).unwrap();
            let found = find(model, path);
            found.written = written.unwrap_or(found.written);
            let old = found.values.iter_mut().find(|value| upper(&value.name) == upper(name));
            match old {
                Some(old) => (old.kind, old.data) = (*kind, data.clone()),
                None => found.values.push(TestValue {
                    name: name.to_owned(),
                    kind: *kind,
                    data: data.clone(),
                }),
            }
        }
        Edit::Create { key: index, name } => {
            let path = &all[index % all.len()];
            let name = NAMES[*name];
            let here = key(hive, path);
            let found = find(model, path);
            let is_there = found.subkeys.iter().any(|key| upper(&key.name) == upper(name));
            let made = hive.create_subkey(&here, name, FileTime(5));
            if is_there {
                assert!(made.is_ok());
            } else if name.is_empty() || !name.is_ascii() {
                made.unwrap_err();
            } else {
                made.unwrap();
                found.written = 5;
                found.subkeys.push(TestKey { written: 5, ..TestKey::new(name) });
            }
        }
        Edit::Overwrite { key: index, value, offset, byte, len } => {
            let path = &all[index % all.len()];
            let here = key(hive, path);
            let found = find(model, path);
            let count = found.values.len();
            let Some(old) = found.values.get_mut(value % count.max(1)) else { return };
            let offset = offset % (old.data.len() + 1);
            let bytes = vec![*byte; *len];
            let value = hive.value(&here, &old.name).unwrap().unwrap();
            let done = hive.overwrite_data(&value, offset as u32, &bytes);
            if offset + len > old.data.len() {
                done.unwrap_err();
            } else {
                done.unwrap();
                old.data[offset..offset + len].copy_from_slice(&bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Random edits in two rounds, each written and taken apart by the strict reader.
    #[test]
    fn random_edits_do_what_the_model_does(
        rounds in [edits(), edits()],
        minor in 3u32..7,
        leaf_max in prop_oneof![Just(500usize), Just(40)],
        hole_bytes in prop_oneof![Just(0usize), Just(4), Just(60), Just(500)],
        tail_bytes in prop_oneof![Just(0usize), Just(1000), Just(9000)],
    ) {
        let list = if minor >= 5 { b"lh" } else { b"lf" };
        let shape =
            HiveShape { minor, list, leaf_max, hole_bytes, tail_bytes, ..HiveShape::default() };
        let mut model = sample();
        let mut bytes = build(&model, &shape).bytes;
        for edits in &rounds {
            let mut hive = open(&bytes).unwrap();
            for edit in edits {
                apply(&mut hive, &mut model, edit);
            }
            prop_assert_eq!(read_all(&hive).unwrap(), sorted(&model));
            let changes = hive.finish().unwrap();
            if !changes.is_empty() {
                let written = applied(&bytes, &changes);
                let before = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
                let after = u32::from_le_bytes(written[4..8].try_into().unwrap());
                prop_assert_eq!(after, before + 1);
                bytes = written;
            }
            prop_assert_eq!(check(&bytes), sorted(&model));
        }
    }
}

/// A text that grows and shrinks uses its cell again where it can.
#[test]
fn data_that_fit_stay_in_their_cell() {
    let built = build(&sample(), &HiveShape::default());
    let types = |hive: &Hive<'_>| key(hive, "Types");
    let (_, changes) = edited(&built.bytes, |hive| {
        hive.set_value(&types(hive), "Text", &Data::text("D:\\Win"), None).unwrap();
    });
    let first = u64::from(built.values[&("Types".to_owned(), "Text".to_owned())]) + 4096 + 4 + 4;
    let data = u64::from(built.cells["data of Types Text"]) + 4096 + 4;
    // The cells are neighbours, so both are in one run.
    let [(at, bytes), (0, _)] = changes.overwrites.as_slice() else { panic!("{changes:?}") };
    assert_eq!((*at, at + bytes.len() as u64), (data, first + 1));
    assert_eq!(utf16z("D:\\Win").len(), 14);
}
