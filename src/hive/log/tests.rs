//! Logs by our own encoder.

use super::super::testing::hive_build::{
    Built, HiveShape, TestEntry, TestKey, build, encode_entry, encode_log, encode_old_log,
    log_base, marvin, seal,
};
use super::super::testing::*;
use super::marvin::{Marvin32, marvin32};
use super::*;

/// The hash under another seed.
fn marvin_with(low: u32, high: u32, bytes: &[u8]) -> u64 {
    Marvin32::with_seed(low, high).hash(bytes)
}

/// Values that the public tests of .NET give for the seed 0x004fb61a001bdbcc.
#[test]
fn marvin_is_the_published_hash() {
    let (low, high) = (0x001b_dbcc, 0x004f_b61a);
    for (bytes, expected) in [
        (&[][..], 0x30ed_35c1_00cd_3c7d),
        (&[0xaf], 0x48e7_3fc7_7d75_ddc1),
        (&[0xe7, 0x0f], 0xb5f6_e1fc_485d_bff8),
        (&[0x37, 0xf4, 0x95], 0xf0b0_7c78_9b8c_f7e8),
        (&[0x86, 0x42, 0xdc, 0x59], 0x7008_f2e8_7e9c_f556),
        (&[0x15, 0x3f, 0xb7, 0x98, 0x26], 0xe6c0_8c6d_a2af_a997),
        (&[0x09, 0x32, 0xe6, 0x24, 0x6c, 0x47], 0x6f04_bf1a_5ea2_4060),
        (&[0xab, 0x42, 0x7e, 0xa8, 0xd1, 0x0f, 0xc7], 0xe118_47e4_f067_8c41),
    ] {
        assert_eq!(marvin_with(low, high, bytes), expected, "{bytes:02x?}");
    }
}

/// WIN-90.
#[test]
fn both_implementations_hash_alike() {
    let bytes: Vec<u8> = (0..1000u32).map(|index| (index * 31 % 256) as u8).collect();
    for len in (0..40).chain([511, 512, 999, 1000]) {
        assert_eq!(marvin32(&bytes[..len]), marvin(&bytes[..len]), "{len}");
    }
}

/// A hive, dirty, and what it becomes by writing `marks` into the pages.
struct Case {
    built: Built,
    bins_bytes: u32,
}

fn dirty_shape() -> HiveShape {
    HiveShape { primary: 21, secondary: 20, ..HiveShape::default() }
}

impl Case {
    fn new() -> Self {
        let built = build(&sample(), &dirty_shape());
        let bins_bytes = built.bytes.len() as u32 - 4096;
        Self { built, bins_bytes }
    }

    /// An entry that sets `Many\key N\Start` to `start`.
    fn entry(&self, sequence: u32, key: u32, start: u32) -> TestEntry {
        let mut after = self.built.bytes.clone();
        self.put(&mut after, key, start);
        self.entry_of(sequence, &after, &[self.page(key)])
    }

    fn entry_of(&self, sequence: u32, after: &[u8], pages: &[u32]) -> TestEntry {
        let page = |page: &u32| {
            let at = 4096 + *page as usize * 4096;
            (page * 4096, after[at..at + 4096].to_vec())
        };
        let pages = pages.iter().map(page).collect();
        TestEntry { sequence, flags: 0, bins_bytes: self.bins_bytes, pages }
    }

    fn value(&self, key: u32) -> u32 {
        self.built.values[&(format!("Many\\key {key}"), "Start".to_owned())]
    }

    fn page(&self, key: u32) -> u32 {
        self.value(key) / 4096
    }

    fn put(&self, bytes: &mut [u8], key: u32, start: u32) {
        let at = 4096 + self.value(key) as usize + 12;
        bytes[at..at + 4].copy_from_slice(&start.to_le_bytes());
    }

    fn log(&self, sequence: u32, entries: &[TestEntry]) -> Vec<u8> {
        encode_log(&self.built.bytes, sequence, entries)
    }

    fn open(&self, logs: &[Vec<u8>]) -> Result<super::super::Hive<'static>> {
        open_with(&self.built.bytes, logs)
    }
}

fn start(hive: &super::super::Hive<'_>, key: u32) -> u32 {
    let data = hive.get(&format!("Many\\key {key}"), "Start").unwrap().unwrap();
    data.as_u32().unwrap()
}

fn replay_of(entries: u64, pages: u64, last_sequence: u32) -> Replay {
    Replay { entries, pages, last_sequence }
}

/// WIN-88: dirty without logs is refused, clean ignores what the logs say.
#[test]
fn dirty_is_decided_by_the_primary_file() {
    let case = Case::new();
    for logs in [vec![], vec![vec![]], vec![vec![0; 700], vec![0; 5]]] {
        let detail = dirty_detail(&case.open(&logs).unwrap_err());
        assert_eq!(detail, "none of the hive's logs applies");
    }
    let mut clean = case.built.bytes.clone();
    clean[4] = 20;
    seal(&mut clean[..4096]);
    let hive = open_with(&clean, &[case.log(20, &[case.entry(20, 3, 777)])]).unwrap();
    assert_eq!((hive.replayed(), start(&hive, 3)), (None, 3));
}

/// WIN-91: the logs in either order, the numbers going on from one to the other.
#[test]
fn entries_apply_in_the_order_of_their_numbers() {
    let case = Case::new();
    // The last log starts again with a page that the first has, as the log is written over and over.
    let one = case.log(40, &[case.entry(40, 3, 700), case.entry(41, 5, 800)]);
    let two = case.log(42, &[case.entry(42, 3, 701)]);
    for logs in [[one.clone(), two.clone()], [two, one]] {
        let hive = case.open(&logs).unwrap();
        assert_eq!(hive.replayed().unwrap(), replay_of(3, 3, 42));
        assert_eq!(start(&hive, 3), 701);
        // The entry 42 has the whole page as it was before 41.
        assert_eq!(start(&hive, 5), if case.page(3) == case.page(5) { 5 } else { 800 });
        assert!(hive.finish().unwrap().is_empty(), "a replay alone changes nothing");
    }
}

/// WIN-91, WIN-92: what ends a log, and what is left out.
#[test]
fn stale_torn_and_lost_entries_are_left_out() {
    let case = Case::new();
    let (first, second) = (case.entry(30, 3, 700), case.entry(31, 90, 800));
    assert_ne!(case.page(3), case.page(90));
    let good = case.log(30, &[first.clone(), second.clone()]);
    let second_at = 512 + encode_entry(&first).len();
    let with = |at: usize, mask: u8| {
        let mut log = good.clone();
        log[at] ^= mask;
        log
    };
    let stale = case.log(12, &[case.entry(12, 3, 1), case.entry(13, 90, 2)]);
    let gap = case.log(33, &[case.entry(33, 90, 900)]);
    let mut remnant = case.log(30, std::slice::from_ref(&first));
    remnant.extend(encode_entry(&case.entry(29, 90, 4)));
    let mut other_bins = second.clone();
    other_bins.bins_bytes = 4097;
    for (what, logs, expected) in [
        ("all", vec![good.clone()], 2),
        ("a stale log", vec![stale.clone(), good.clone()], 2),
        ("a gap between the logs", vec![gap.clone(), good.clone()], 2),
        ("wrong hash of the header", vec![with(second_at + 16, 1)], 1),
        ("wrong hash of the pages", vec![with(good.len() - 1, 1)], 1),
        ("no signature", vec![with(second_at, 1)], 1),
        ("cut off", vec![good[..good.len() - 512].to_vec()], 1),
        ("older entries behind", vec![remnant], 1),
        ("odd size of the bins data", vec![case.log(30, &[first.clone(), other_bins])], 1),
        ("an empty log", vec![vec![], good.clone()], 2),
    ] {
        let hive = case.open(&logs).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            hive.replayed().unwrap(),
            replay_of(expected, expected, 29 + expected as u32),
            "{what}"
        );
        let starts = (start(&hive, 3), start(&hive, 90));
        assert_eq!(starts, (700, if expected == 2 { 800 } else { 90 }), "{what}");
    }
    for (what, logs) in [
        ("only a stale log", vec![stale]),
        ("the first entry torn", vec![with(520, 1)]),
        ("not the first entry", vec![case.log(29, &[first.clone(), second.clone()])]),
        ("base block of the log damaged", vec![with(40, 1)]),
        ("another type", vec![[log_base(&case.built.bytes, 30, 5), good[512..].to_vec()].concat()]),
    ] {
        let detail = dirty_detail(&case.open(&logs).expect_err(what));
        assert_eq!(detail, "none of the hive's logs applies", "{what}");
    }
}

/// Here WIN-91 (skip entries) and the document (skip the log) differ, so it is refused.
#[test]
fn a_log_that_begins_before_the_hive_and_ends_after_is_refused() {
    let case = Case::new();
    let log = case.log(19, &[case.entry(19, 3, 1), case.entry(20, 3, 2)]);
    let detail = dirty_detail(&case.open(&[log]).unwrap_err());
    assert_eq!(detail, "a log has the sequences 19 to 20, the hive has 20");
}

/// The hashes are right, so no interrupted write explains it.
#[test]
fn pages_at_impossible_places_are_damage() {
    let case = Case::new();
    let page = vec![0; 4096];
    for (pages, expected) in [
        (vec![(case.bins_bytes, page.clone())], "page of 4096 bytes at"),
        (vec![(case.bins_bytes - 2048, page.clone())], "page of 4096 bytes at"),
        (vec![(100, page.clone())], "page of 4096 bytes at 0x64"),
        (vec![(0, vec![1; 100])], "page of 100 bytes at 0x0"),
        (vec![(0, vec![])], "page of 0 bytes at 0x0"),
        (vec![(u32::MAX - 511, page)], "page of 4096 bytes at 0xfffffe00"),
        (vec![(0, vec![0; 4096])], "signature [00, 00, 00, 00] instead of \"hbin\""),
    ] {
        let entry = TestEntry { sequence: 30, flags: 0, bins_bytes: case.bins_bytes, pages };
        let error = case.open(&[case.log(30, &[entry])]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // More pages than the entry has bytes; hashes to match.
    for (count, expected) in [(9u32, "9 pages of 0 bytes in"), (1 << 30, "pages of a log entry")] {
        let entry =
            TestEntry { sequence: 30, flags: 0, bins_bytes: case.bins_bytes, pages: vec![] };
        let mut bytes = encode_entry(&entry);
        let count = if count == 9 { 200 } else { count };
        bytes[20..24].copy_from_slice(&count.to_le_bytes());
        let hash = marvin(&bytes[..32]);
        bytes[32..40].copy_from_slice(&hash.to_le_bytes());
        let log = [log_base(&case.built.bytes, 30, 6), bytes].concat();
        let error = case.open(&[log]).unwrap_err().to_string();
        assert!(error.contains(expected.trim_start_matches("9 ")), "{error}");
    }
}

/// WIN-91, WIN-25: bit 0 of the flags comes from the entry, and other bits stay.
#[test]
fn the_flag_of_transactions_comes_from_the_last_entry() {
    let case = Case::new();
    for (before, entry_flags, is_pending) in
        [(0, 1, true), (3, 0, false), (1, 3, true), (2, 2, false)]
    {
        let shape = HiveShape { flags: before, ..dirty_shape() };
        let built = build(&sample(), &shape);
        let entry = TestEntry { flags: entry_flags, ..case.entry(30, 3, 700) };
        let log = encode_log(&built.bytes, 30, &[entry]);
        let mut hive = open_with(&built.bytes, &[log]).unwrap();
        assert_eq!(hive.may_have_transactions(), is_pending, "{before} {entry_flags}");
        let key = hive.key("Types").unwrap().unwrap();
        let value = hive.value(&key, "Number").unwrap().unwrap();
        hive.set_dword(&value, 5).unwrap();
        let after = applied(&built.bytes, &hive.finish().unwrap());
        assert_eq!(after[144], before as u8 & 2 | u8::from(is_pending));
    }
}

/// WIN-91: the bins data grow, also behind the end of the file.
#[test]
fn a_replay_lets_the_hive_grow() {
    let mut larger = sample();
    for index in 0..200 {
        larger = larger.at("More", TestKey::new(&format!("new {index}")).text("a", "some text"));
    }
    let shape = dirty_shape();
    let after = build(&larger, &shape).bytes;
    for (tail_bytes, is_whole) in [(0, true), (5000, true), (300, true), (0, false)] {
        let shape = HiveShape { tail_bytes, ..shape.clone() };
        let built = build(&sample(), &shape);
        assert!(after.len() > built.bytes.len() + 8192);
        let mut pages: Vec<(u32, Vec<u8>)> = after[4096..]
            .chunks(4096)
            .enumerate()
            .map(|(index, page)| (index as u32 * 4096, page.to_vec()))
            .collect();
        if !is_whole {
            pages.pop();
        }
        let bins_bytes = after.len() as u32 - 4096;
        let entry = TestEntry { sequence: 30, flags: 0, bins_bytes, pages };
        let hive = open_with(&built.bytes, &[encode_log(&built.bytes, 30, &[entry])]);
        if !is_whole {
            let error = hive.unwrap_err().to_string();
            assert!(error.contains("of the grown bins data is in no log"), "{error}");
            continue;
        }
        // The root is where it was, as the encoder places it first.
        let mut hive = hive.unwrap();
        assert_eq!(read_all(&hive).unwrap(), sorted(&larger), "{tail_bytes}");
        let key = hive.key("Types").unwrap().unwrap();
        hive.set_value(&key, "Number", &super::super::Data::dword(9), None).unwrap();
        let written = applied(&built.bytes, &hive.finish().unwrap());
        assert_eq!(written.len(), after.len().max(built.bytes.len()), "{tail_bytes}");
        let mut expected = larger.clone();
        let types = expected.subkeys.iter_mut().find(|key| key.name == "Types").unwrap();
        let number = types.values.iter_mut().find(|value| value.name == "Number").unwrap();
        number.data = vec![9, 0, 0, 0];
        assert_eq!(hive_check::check(&written), sorted(&expected));
    }
}

/// WIN-96: the sequence after an edit is above all others, and the replayed pages are written too.
#[test]
fn an_edit_of_a_dirty_hive_writes_the_replay() {
    let case = Case::new();
    let applying = case.log(30, &[case.entry(30, 3, 700)]);
    for (what, other, expected) in [
        ("the entries", vec![], 31),
        ("a stale log", case.log(12, &[case.entry(12, 3, 1)]), 31),
        ("a log that goes on after a gap", case.log(50, &[case.entry(50, 3, 1)]), 51),
        ("the base block of an empty log", log_base(&case.built.bytes, 77, 6), 78),
        ("a remnant", [vec![0; 1536], encode_entry(&case.entry(90, 3, 1))].concat(), 91),
    ] {
        let mut hive = case.open(&[applying.clone(), other]).unwrap();
        let key = hive.key("Many\\key 90").unwrap().unwrap();
        let value = hive.value(&key, "Start").unwrap().unwrap();
        hive.set_dword(&value, 4).unwrap();
        let after = applied(&case.built.bytes, &hive.finish().unwrap());
        let mut expected_bytes = case.built.bytes.clone();
        case.put(&mut expected_bytes, 3, 700);
        case.put(&mut expected_bytes, 90, 4);
        for at in [4, 8] {
            expected_bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(expected));
        }
        seal(&mut expected_bytes[..4096]);
        assert!(after == expected_bytes, "{what}");
    }
}

#[test]
fn no_sequence_above_the_highest_is_an_error() {
    let case = Case::new();
    let last = case.log(u32::MAX, &[case.entry(u32::MAX, 3, 700)]);
    let mut hive = case.open(&[last]).unwrap();
    assert_eq!(hive.replayed().unwrap(), replay_of(1, 1, u32::MAX));
    let key = hive.key("Types").unwrap().unwrap();
    hive.set_value(&key, "Number", &super::super::Data::dword(9), None).unwrap();
    let error = hive.finish().unwrap_err();
    assert!(error.to_string().contains("leaves none above it"), "{error}");
}

/// WIN-95.
#[test]
fn logs_of_the_old_format_apply_by_time_and_number() {
    let case = Case::new();
    let mut after = case.built.bytes.clone();
    case.put(&mut after, 3, 700);
    case.put(&mut after, 90, 800);
    let sector = |key| (case.value(key) + 12) / 512;
    let sectors = [sector(3), sector(90)];
    let log = |sequence| encode_old_log(&case.built.bytes, sequence, &sectors, &after);
    for (what, logs) in [
        ("since Vista: the new number", vec![log(21)]),
        ("before: the old number", vec![log(20)]),
        ("an empty second log", vec![vec![], log(21)]),
        ("a second log of an earlier time", {
            let mut other = log(21);
            other[12] ^= 1;
            seal(&mut other[..512]);
            vec![other, log(21)]
        }),
    ] {
        let hive = case.open(&logs).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(hive.replayed().unwrap(), replay_of(1, 2, 21), "{what}");
        assert_eq!((start(&hive, 3), start(&hive, 90)), (700, 800), "{what}");
    }
    let changed = |at: usize, byte: u8| {
        let mut log = log(21);
        log[at] = byte;
        seal(&mut log[..512]);
        vec![log]
    };
    for (what, logs, expected) in [
        ("two of them", vec![log(21), log(20)], "two logs of the old format apply"),
        ("another number", vec![log(19)], "none of the hive's logs applies"),
        ("another time", changed(12, 9), "none of the hive's logs applies"),
        ("not finished", changed(4, 20), "none of the hive's logs applies"),
        ("another size", changed(41, 0), "its log is of a hive of another size"),
    ] {
        assert_eq!(dirty_detail(&case.open(&logs).unwrap_err()), expected, "{what}");
    }
    for (what, logs, expected) in [
        ("no vector", changed(512, b'd'), "instead of \"DIRT\""),
        ("cut off", vec![log(21)[..2000].to_vec()], "2 pages with 1024 bytes in a log of 2000"),
        ("no pages", vec![log(21)[..520].to_vec()], "0 pages with 512 bytes in a log of 520"),
    ] {
        let error = case.open(&logs).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}
