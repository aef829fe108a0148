//! Registry hives and their logs with damage: opened, read, edited, and read back.

#[path = "../../tests/integration/support/hive_build.rs"]
mod hive_build;

use crate::{Good, damage};
use hive_build::{HiveShape, TestEntry, TestKey, build, encode_log, encode_old_log};
use regain::hive::{Data, FileTime, Hive, HiveChanges, Key, MemorySource, Source};
use std::sync::LazyLock;

/// A hive and its logs in one piece, and their lengths.
struct Parts {
    good: [Good; 1],
    lens: Vec<usize>,
}

static HIVES: LazyLock<Vec<Parts>> = LazyLock::new(|| {
    let usual = HiveShape::default();
    let dirty = HiveShape { primary: 9, ..usual.clone() };
    let clean = build(&tree(1), &HiveShape { leaf_max: 7, hole_bytes: 20, ..usual.clone() }).bytes;
    let old_lists = HiveShape { minor: 3, list: b"lf", tail_bytes: 900, ..usual };
    let (before, after) = (build(&tree(1), &dirty).bytes, build(&tree(2), &dirty).bytes);
    let bins_bytes = after.len() as u32 - 4096;
    let pages = after[4096..].chunks(4096).enumerate();
    let pages: Vec<(u32, Vec<u8>)> =
        pages.map(|(index, page)| (index as u32 * 4096, page.to_vec())).collect();
    let entry = |sequence, pages: &[(u32, Vec<u8>)]| TestEntry {
        sequence,
        flags: 0,
        bins_bytes,
        pages: pages.to_vec(),
    };
    let one = encode_log(&before, 20, &[entry(20, &pages[..1]), entry(21, &pages[1..])]);
    let two = encode_log(&before, 22, &[entry(22, &pages[..2])]);
    let sectors: Vec<u32> = (0..bins_bytes / 512).collect();
    let old = encode_old_log(&before, 9, &sectors, &after);
    let part = |files: &[&[u8]]| Parts {
        good: [Good::new(files.concat())],
        lens: files.iter().map(|file| file.len()).collect(),
    };
    vec![
        part(&[&clean]),
        part(&[&build(&tree(1), &old_lists).bytes]),
        part(&[&before, &one, &two]),
        part(&[&before, &old]),
    ]
});

fn tree(number: u32) -> TestKey {
    let mut root =
        TestKey::new("r").class("class").at("a\\b", TestKey::new("c").dword("n", number));
    for index in 0..20 {
        root = root.at("many", TestKey::new(&format!("k{index}")).text("name", "some text"));
    }
    root.value("big", 3, &[7; 17_000]).text("text", "a text")
}

/// Opens a damaged hive with its damaged logs, reads and edits it, and reads the result back.
pub fn try_hive(bytes: &[u8]) {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let parts = &HIVES[usize::from(*choice) % HIVES.len()];
    let mut files = damage(&parts.good, &[&[0], rest].concat());
    let mut logs = Vec::new();
    for len in parts.lens.iter().skip(1).rev() {
        logs.push(files.split_off(files.len() - len));
    }
    let source = |bytes: &[u8]| Box::new(MemorySource::new(bytes.to_vec())) as Box<dyn Source>;
    let open = |hive: &[u8], logs: &[Vec<u8>]| {
        Hive::open(source(hive), logs.iter().map(|log| source(log)).collect())
    };
    let Ok(mut hive) = open(&files, &logs) else { return };
    let mut keys = Vec::new();
    if let Ok(root) = hive.root() {
        collect(&hive, &root, &mut keys);
    }
    let text = Data::text("a text that is rather long");
    let mut written = Vec::new();
    for key in keys.iter().take(6) {
        let _ = hive.class_name(key);
        for value in hive.values(key).unwrap_or_default().iter().take(4) {
            let _ = hive.data(value);
        }
        let is_set = hive.set_value(key, "text", &text, Some(FileTime(3))).is_ok();
        let _ = hive.set_value(key, "big", &Data::binary(&[1]), None);
        let is_set = is_set && hive.set_value(key, "new", &Data::binary(&[5; 6000]), None).is_ok();
        let _ = hive.create_subkey(key, "new", FileTime(4));
        if is_set {
            written.push(key);
        }
    }
    let Ok(changes) = hive.finish() else { return };
    if changes.is_empty() {
        return;
    }
    // Damaged cells may lie over each other, and over the root; but the hive is clean.
    let again = match open(&applied(&files, &changes), &logs) {
        Ok(again) => again,
        Err(error) => return assert_ne!(error.kind_name(), "refused", "{error}"),
    };
    assert!(again.replayed().is_none());
    for key in written {
        let _ = again
            .value(key, "text")
            .and_then(|value| value.map(|value| again.data(&value)).transpose());
    }
}

fn collect(hive: &Hive<'_>, key: &Key, keys: &mut Vec<Key>) {
    assert!(keys.len() < 10_000, "the walk does not end");
    keys.push(key.clone());
    for subkey in hive.subkeys(key).unwrap_or_default() {
        collect(hive, &subkey, keys);
    }
}

/// The file after `changes`.
fn applied(before: &[u8], changes: &HiveChanges) -> Vec<u8> {
    let mut bytes = before.to_vec();
    bytes.extend(&changes.appended);
    for (offset, new) in &changes.overwrites {
        let at = *offset as usize;
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes
}
