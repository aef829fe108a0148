//! A strict reader of registry hives for tests. It shares nothing with the code under test: it takes a hive
//! apart as a whole, and panics at everything that Windows would not write.
//!
//! Checked: the base block, bins and cells without gaps; every cell that is in use is used exactly once; lists
//! sorted, with right hashes and hints, as long as the keys say; parents; number of users of the security
//! descriptor; the largest names and data not less than they are; both neighbours of a free cell in use,
//! unless told otherwise.
#![allow(dead_code, reason = "each test uses its part")]

use super::hive_build::{TestKey, TestValue, name_hash, upper};
use std::collections::{BTreeMap, HashMap};

/// Signature of a list that has hints, and the hint.
type Hint<'a> = Option<(&'a [u8; 2], u32)>;

struct Reader<'a> {
    bins: &'a [u8],
    /// Cells in use, and how often something points at them.
    used: BTreeMap<u32, u32>,
    security: HashMap<u32, u32>,
    minor: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Takes a clean hive apart, and gives what is in it.
pub(crate) fn check(hive: &[u8]) -> TestKey {
    assert_eq!(&hive[..4], b"regf");
    assert_eq!(u32_at(hive, 4), u32_at(hive, 8), "dirty");
    let sum = (0..508).step_by(4).fold(0, |sum, at| sum ^ u32_at(hive, at));
    assert_eq!(u32_at(hive, 508), sum.clamp(1, u32::MAX - 1), "checksum");
    let bins_bytes = u32_at(hive, 40) as usize;
    let bins = &hive[4096..4096 + bins_bytes];
    let used = cells(bins);
    let mut reader = Reader { bins, used, security: HashMap::new(), minor: u32_at(hive, 24) };
    let root = reader.key(u32_at(hive, 36), None);
    for (at, count) in reader.security.clone() {
        let record = reader.data(at, true);
        assert_eq!(&record[..2], b"sk");
        assert_eq!(u32_at(record, 12), count, "users of the security at {at:#x}");
    }
    for (at, count) in &reader.used {
        assert_eq!(*count, 1, "the cell at {at:#x} is used {count} times");
    }
    root
}

/// All cells in use.
fn cells(bins: &[u8]) -> BTreeMap<u32, u32> {
    let mut used = BTreeMap::new();
    let mut bin = 0;
    while bin < bins.len() {
        assert_eq!(&bins[bin..bin + 4], b"hbin", "bin at {bin:#x}");
        assert_eq!(u32_at(bins, bin + 4) as usize, bin);
        let end = bin + u32_at(bins, bin + 8) as usize;
        assert!(end > bin && end.is_multiple_of(4096) && end <= bins.len());
        let mut at = bin + 32;
        let mut was_free = false;
        while at < end {
            let size = u32_at(bins, at) as i32;
            assert!(size != 0 && size % 8 == 0, "cell at {at:#x} of {size}");
            assert!(!(was_free && size > 0), "two free cells in a row at {at:#x}");
            was_free = size > 0;
            if size < 0 {
                used.insert(at as u32, 0);
            }
            at += size.unsigned_abs() as usize;
        }
        assert_eq!(at, end, "cells of the bin at {bin:#x}");
        bin = end;
    }
    used
}

impl<'a> Reader<'a> {
    fn data(&mut self, at: u32, is_counted: bool) -> &'a [u8] {
        let count = self.used.get_mut(&at).unwrap_or_else(|| panic!("no cell at {at:#x}"));
        *count += u32::from(is_counted);
        let size = (u32_at(self.bins, at as usize) as i32).unsigned_abs() as usize;
        &self.bins[at as usize + 4..at as usize + size]
    }

    fn key(&mut self, at: u32, parent: Option<u32>) -> TestKey {
        let record = self.data(at, true);
        assert_eq!(&record[..2], b"nk");
        if let Some(parent) = parent {
            assert_eq!(u32_at(record, 16), parent, "parent of {at:#x}");
        }
        *self.security.entry(u32_at(record, 44)).or_default() += 1;
        let name = name(&record[76..][..u16_at(record, 72).into()], u16_at(record, 2) & 0x20 != 0);
        let class_len = u16_at(record, 74);
        let class = (class_len != 0).then(|| {
            let units = &self.data(u32_at(record, 48), true)[..class_len.into()];
            self::name(units, false)
        });
        let mut places = Vec::new();
        if u32_at(record, 20) != 0 {
            self.list(u32_at(record, 28), true, &mut places);
        }
        assert_eq!(places.len(), u32_at(record, 20) as usize, "subkeys of {name}");
        let mut subkeys = Vec::new();
        for (place, hint) in places {
            let subkey = self.key(place, Some(at));
            match hint {
                Some((b"lh", hint)) => assert_eq!(hint, name_hash(&subkey.name), "{}", subkey.name),
                Some((_, hint)) => {
                    let start: Vec<u8> = subkey.name.bytes().chain([0; 4]).take(4).collect();
                    if subkey.name.is_ascii() {
                        assert_eq!(hint.to_le_bytes(), *start, "{}", subkey.name);
                    }
                }
                None => {}
            }
            let len = subkey.name.encode_utf16().count() * 2;
            assert!(usize::from(u16_at(record, 52)) >= len, "longest subkey of {name}");
            subkeys.push(subkey);
        }
        let names: Vec<_> = subkeys.iter().map(|subkey| upper(&subkey.name)).collect();
        assert!(names.is_sorted_by(|one, other| one < other), "order below {name}");
        let values = self.values(record);
        TestKey {
            name,
            class,
            written: u64::from_le_bytes(record[4..12].try_into().unwrap()),
            values,
            subkeys,
        }
    }

    fn list(&mut self, at: u32, may_be_root: bool, places: &mut Vec<(u32, Hint<'a>)>) {
        let record = self.data(at, true);
        let signature: &[u8; 2] = record[..2].try_into().unwrap();
        for index in 0..usize::from(u16_at(record, 2)) {
            match signature {
                b"ri" => {
                    assert!(may_be_root);
                    self.list(u32_at(record, 4 + 4 * index), false, places);
                }
                b"li" => places.push((u32_at(record, 4 + 4 * index), None)),
                b"lf" | b"lh" => {
                    assert_eq!(self.minor >= 5, signature == b"lh");
                    let hint = Some((signature, u32_at(record, 8 + 8 * index)));
                    places.push((u32_at(record, 4 + 8 * index), hint));
                }
                other => panic!("list {other:?}"),
            }
        }
    }

    fn values(&mut self, key: &[u8]) -> Vec<TestValue> {
        let count = u32_at(key, 36) as usize;
        if count == 0 {
            return Vec::new();
        }
        let list = self.data(u32_at(key, 40), true);
        let mut values = Vec::new();
        for index in 0..count {
            let record = self.data(u32_at(list, 4 * index), true);
            assert_eq!(&record[..2], b"vk");
            let name = name(&record[20..][..u16_at(record, 2).into()], u16_at(record, 16) & 1 != 0);
            let size = u32_at(record, 4);
            let len = (size & 0x7fff_ffff) as usize;
            let data = match size {
                0x8000_0000.. => record[8..8 + len].to_vec(),
                0 => Vec::new(),
                _ => self.value_data(u32_at(record, 8), len),
            };
            assert!(u32_at(key, 60) as usize >= name.encode_utf16().count() * 2);
            assert!(u32_at(key, 64) as usize >= len);
            values.push(TestValue { name, kind: u32_at(record, 12), data });
        }
        values
    }

    fn value_data(&mut self, at: u32, len: usize) -> Vec<u8> {
        let cell = self.data(at, true);
        if len <= 16344 || self.minor < 4 {
            return cell[..len].to_vec();
        }
        assert_eq!(&cell[..2], b"db");
        let list = self.data(u32_at(cell, 4), true);
        let mut data = Vec::new();
        for index in 0..usize::from(u16_at(cell, 2)) {
            let segment = self.data(u32_at(list, 4 * index), true);
            data.extend(&segment[..16344.min(len - data.len())]);
        }
        assert_eq!(data.len(), len);
        data
    }
}

fn name(stored: &[u8], is_compressed: bool) -> String {
    if is_compressed {
        return stored.iter().map(|byte| char::from(*byte)).collect();
    }
    let units: Vec<u16> = stored.chunks(2).map(|pair| u16_at(pair, 0)).collect();
    String::from_utf16(&units).unwrap()
}
