//! Damage: random bytes of good hives and logs are changed, and everything is tried.
//!
//! Nothing may panic, and every walk ends: the sources count what is read. `REGAIN_DAMAGE_ROUNDS=N` asks for
//! more than the usual number of rounds, `REGAIN_DAMAGE_SEED=N` for others.

use super::testing::hive_build::{
    HiveShape, TestEntry, TestKey, build, encode_log, encode_old_log, seal,
};
use super::testing::*;
use super::{Data, FileTime, Hive, Key, Source};
use std::cell::Cell;
use std::rc::Rc;

/// Rounds without `REGAIN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 700;

/// Reads of one round at most, of 4096 bytes as a rule: some hundred times the hive.
const READS_MAX: usize = 20_000;

/// A linear congruential generator; its high bits are random enough.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn small() -> TestKey {
    let mut root = TestKey::new("r").class("class").at("a\\b", TestKey::new("c").dword("n", 1));
    for index in 0..30 {
        root = root.at("many", TestKey::new(&format!("k{index}")).text("name", "some text"));
    }
    root.value("big", 3, &[7; 17_000]).value("text", 1, b"a\0b\0\0\0")
}

/// Good hives with their logs.
fn inputs() -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let usual = HiveShape::default();
    let dirty = HiveShape { primary: 9, ..usual.clone() };
    let clean = build(&small(), &HiveShape { leaf_max: 7, hole_bytes: 20, ..usual }).bytes;
    let before = build(&small(), &dirty).bytes;
    let mut root = small();
    root.subkeys[1].subkeys.iter_mut().for_each(|key| key.written = 5);
    let after = build(&root, &dirty).bytes;
    let pages: Vec<(u32, Vec<u8>)> = after[4096..]
        .chunks(4096)
        .enumerate()
        .map(|(index, page)| (index as u32 * 4096, page.to_vec()))
        .collect();
    let bins_bytes = after.len() as u32 - 4096;
    let entry = |sequence, pages: &[(u32, Vec<u8>)]| TestEntry {
        sequence,
        flags: 0,
        bins_bytes,
        pages: pages.to_vec(),
    };
    let one = encode_log(&before, 20, &[entry(20, &pages[..2]), entry(21, &pages[1..])]);
    let two = encode_log(&before, 22, &[entry(22, &pages)]);
    let old = encode_old_log(&before, 9, &(0..bins_bytes / 512).collect::<Vec<_>>(), &after);
    vec![(clean, vec![]), (before.clone(), vec![one, two]), (before, vec![old])]
}

/// Everything that can be done with a hive. Errors are fine.
fn try_everything(hive: &mut Hive<'_>) {
    let mut left = 10_000;
    let Ok(root) = hive.root() else { return };
    let mut keys = Vec::new();
    collect(hive, &root, &mut keys, &mut left);
    for key in keys.iter().take(8) {
        let values = hive.values(key).unwrap_or_default();
        for value in values.iter().take(4) {
            let _ = hive.data(value);
            let _ = hive.overwrite_data(value, 1, &[1, 2, 3]);
            let _ = hive.set_dword(value, 7);
        }
        let _ = hive.class_name(key);
        let _ = hive.set_value(key, "text", &Data::text("a text that is rather long"), None);
        let _ = hive.set_value(key, "big", &Data::binary(&[1]), Some(FileTime(3)));
        let _ = hive.set_value(key, "new", &Data::binary(&[5; 6000]), None);
        let _ = hive.create_subkey(key, "new", FileTime(4));
    }
    let _ = hive.get("a\\b\\c", "n");
    let _ = hive.finish();
}

fn collect(hive: &Hive<'_>, key: &Key, keys: &mut Vec<Key>, left: &mut u32) {
    *left = left.checked_sub(1).expect("the walk ends");
    keys.push(key.clone());
    for subkey in hive.subkeys(key).unwrap_or_default() {
        collect(hive, &subkey, keys, left);
    }
}

fn number_of(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn damaged_hives_and_logs_never_panic_or_run_on() {
    let seed = number_of("REGAIN_DAMAGE_SEED", 1);
    let inputs = inputs();
    let mut opened = 0;
    for round in 0..number_of("REGAIN_DAMAGE_ROUNDS", ROUNDS) {
        let mut random = Random(seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut hive, mut logs) = inputs[random.below(inputs.len())].clone();
        for _ in 0..=random.below(6) {
            let place = random.below(logs.len() + 2);
            let target = if place < logs.len() { &mut logs[place] } else { &mut hive };
            let at = match random.below(4) {
                0 => random.below(512),
                _ => random.below(target.len()),
            };
            target[at] = match random.below(4) {
                0 => 0xff,
                1 => target[at].wrapping_add(1),
                2 => target[at] ^ 0x80,
                _ => random.below(256) as u8,
            };
        }
        seal(&mut hive[..4096]);
        let reads = Rc::new(Cell::new(0));
        let source = |bytes: Vec<u8>| {
            Box::new(Counting { bytes, reads: Rc::clone(&reads) }) as Box<dyn Source>
        };
        let logs = logs.into_iter().map(source).collect();
        if let Ok(mut hive) = Hive::open(source(hive), logs) {
            opened += 1;
            try_everything(&mut hive);
        }
        let reads = reads.get();
        assert!(reads < READS_MAX, "{reads} reads in round {round}, seed {seed}");
    }
    assert!(opened > 0);
}

/// Every byte of the structures of a small hive, set to two values each.
#[test]
fn every_byte_of_a_small_hive_can_be_wrong() {
    let root = TestKey::new("r").at("a", TestKey::new("b").text("x", "y").dword("n", 1));
    let bytes = build(&root, &HiveShape::default()).bytes;
    let used = 4096..4096 + 1100;
    assert!(bytes[used.end..].iter().all(|byte| *byte == 0));
    for at in (0..200).chain(used) {
        for byte in [0xff, bytes[at] ^ 1] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            seal(&mut bytes[..4096]);
            if let Ok(mut hive) = open(&bytes) {
                try_everything(&mut hive);
            }
        }
    }
}
