//! Hives for the tests of these modules.

// The encoder and the strict reader serve these tests and the black-box ones.
#[path = "../../tests/integration/support/hive_build.rs"]
pub(crate) mod hive_build;
#[path = "../../tests/integration/support/hive_check.rs"]
pub(crate) mod hive_check;

use super::{Hive, HiveChanges, Key, MemorySource, Source};
use crate::error::{Error, ErrorKind, Refusal, Result};
use hive_build::{TestKey, TestValue};
use std::cell::Cell;
use std::rc::Rc;

/// A hive in memory without logs.
pub(crate) fn open(bytes: &[u8]) -> Result<Hive<'static>> {
    open_with(bytes, &[])
}

/// A hive in memory with logs.
pub(crate) fn open_with(bytes: &[u8], logs: &[Vec<u8>]) -> Result<Hive<'static>> {
    let source = |bytes: &[u8]| Box::new(MemorySource::new(bytes.to_vec())) as Box<dyn Source>;
    Hive::open(source(bytes), logs.iter().map(|log| source(log)).collect())
}

/// Counts what is read.
pub(crate) struct Counting {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reads: Rc<Cell<usize>>,
}

impl Source for Counting {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        assert!(len <= 64 * 1024, "a read of {len} bytes");
        self.reads.set(self.reads.get() + 1);
        let at = offset_bytes as usize;
        Ok(self.bytes.get(at..at + len).expect("reads stay inside the file").to_vec())
    }
}

/// The file after `changes`.
pub(crate) fn applied(before: &[u8], changes: &HiveChanges) -> Vec<u8> {
    let mut bytes = before.to_vec();
    bytes.extend(&changes.appended);
    assert_eq!(bytes.len() as u64, changes.new_len_bytes);
    let mut end = 4096;
    let (base, data) = changes.overwrites.split_last().expect("changes end with the base block");
    assert_eq!((base.0, base.1.len()), (0, 512), "the base block comes last (WIN-96)");
    for (offset, new) in data {
        assert!(*offset >= end && !new.is_empty(), "ascending, without overlap");
        end = offset + new.len() as u64;
        assert!(end <= before.len() as u64, "what is behind the end is appended");
        bytes[*offset as usize..end as usize].copy_from_slice(new);
    }
    bytes[..512].copy_from_slice(&base.1);
    bytes
}

/// Everything in the hive, as this module reads it.
pub(crate) fn read_all(hive: &Hive<'_>) -> Result<TestKey> {
    let mut left = u32::MAX;
    read_key(hive, &hive.root()?, &mut left)
}

/// A key and what is below it. `left` counts the keys down that may still be read.
pub(crate) fn read_key(hive: &Hive<'_>, key: &Key, left: &mut u32) -> Result<TestKey> {
    *left = left.checked_sub(1).expect("the walk ends");
    let mut found = TestKey::new(&key.name().to_text());
    found.written = key.last_written().0;
    found.class = hive.class_name(key)?.map(|class| class.to_text());
    for value in hive.values(key)? {
        let data = hive.data(&value)?;
        found.values.push(TestValue {
            name: value.name().to_text(),
            kind: data.kind.into(),
            data: data.bytes,
        });
    }
    for subkey in hive.subkeys(key)? {
        found.subkeys.push(read_key(hive, &subkey, left)?);
    }
    Ok(found)
}

/// The tree with subkeys in the order of their lists.
pub(crate) fn sorted(key: &TestKey) -> TestKey {
    let mut key = key.clone();
    key.subkeys.sort_by_key(|subkey| hive_build::upper(&subkey.name));
    key.subkeys = key.subkeys.iter().map(sorted).collect();
    key
}

/// Why a hive is not clean.
pub(crate) fn dirty_detail(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Refused(Refusal::DirtyLog { detail }) => detail.clone(),
        other => panic!("{other:?}"),
    }
}

/// Some of everything: names in both forms, classes, all types, big data, an empty key.
pub(crate) fn sample() -> TestKey {
    let long: Vec<u8> = (0..40_000u32).map(|index| (index * 7 % 253) as u8).collect();
    let mut many = TestKey::new("Many");
    for index in 0..120 {
        many = many.subkey(TestKey::new(&format!("key {index}")).dword("Start", index));
    }
    let types = TestKey::new("Types")
        .value("", 1, &hive_build::utf16z("default"))
        .text("Text", "C:\\Windows")
        .value("Expand", 2, &hive_build::utf16z("%SystemRoot%"))
        .value("Bytes", 3, &[1, 2, 3, 4, 5, 6, 7, 8, 9])
        .dword("Number", 0x0102_0304)
        .value("Big-endian", 5, &[1, 2, 3, 4])
        .value(
            "Texts",
            7,
            &[hive_build::utf16z("one"), hive_build::utf16z("two"), vec![0, 0]].concat(),
        )
        .value("Long number", 11, &0x0102_0304_0506_0708u64.to_le_bytes())
        .value("Short", 3, &[9, 8])
        .value("Empty", 3, &[])
        .value("Big", 3, &long)
        .value("Two segments", 3, &long[..16345])
        .value("Just one", 3, &long[..16344])
        .value("Strange", 0x1234, &[1])
        .value("Gr\u{f6}\u{df}e", 1, &hive_build::utf16z("latin"))
        .value("\u{416}", 1, &hive_build::utf16z("cyrillic"));
    let mut root = TestKey::new("ROOT").subkey(many).subkey(types);
    root = root.at("Sub\\Deep", TestKey::new("Deeper").class("c1a55").text("x", "y"));
    root = root.at("Sub", TestKey::new("\u{c4}rger").dword("n", 1));
    root = root.at("Sub", TestKey::new("\u{416}\u{443}\u{43a}").dword("n", 2));
    root.at("Select", TestKey::new("Nothing"))
}
