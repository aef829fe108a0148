//! Edits against a model.

use super::check::check;
use super::testing::*;
use super::*;
use crate::error::{ErrorKind, Refusal};
use crate::fs::ntfs::file_name::FileName;

/// Block size, cluster size, longest root, longest name that a block of that size takes.
const SIZES: [(u32, u32, usize, u64); 8] = [
    (512, 512, 400, 50),
    (512, 4096, 100, 50),
    (1024, 1024, 400, 190),
    (1024, 512, 56, 190),
    (2048, 4096, 300, 255),
    (4096, 4096, 700, 255),
    (4096, 512, 400, 255),
    (4096, 65536, 3000, 255),
];

/// Inserts and removals in random order, with many names that differ in case only; every edit is checked.
#[test]
fn random_edits_leave_a_sound_tree() {
    for (number, (block, cluster, root, units)) in SIZES.into_iter().enumerate() {
        for round in 0..sequences() {
            let steps = if round == 0 { 240 } else { 3000 };
            let mut random = Random(1 + number as u64 + 1000 * round);
            let mut directory = Directory::new(block, cluster, root);
            for step in 0..steps {
                // Grows, shrinks, grows again.
                let grows = if (steps / 3..steps * 2 / 3).contains(&step) { 2 } else { 7 };
                if random.below(10) < grows || directory.model.is_empty() {
                    let name = random.name(units);
                    directory.insert(&name);
                } else {
                    let at = random.below(directory.model.len() as u64);
                    let name = directory.model.keys().nth(at as usize).unwrap().0.clone();
                    directory.remove(&name);
                }
                directory.check();
            }
            directory.check_all();
        }
    }
}

/// In order and in reverse order, and down to nothing, from either end and from the middle: a small root again.
#[test]
fn ascending_and_descending_edits_leave_a_sound_tree() {
    for (block, cluster, root, _) in SIZES {
        let count = (block / 16).clamp(70, 110) * u32::try_from(sequences().min(10)).unwrap();
        let names: Vec<Vec<u16>> =
            (0..count).map(|i| utf16(&format!("a name of some length {i:05}"))).collect();
        let empty = Directory::new(block, cluster, root).host.root;
        for pattern in 0..6 {
            let mut directory = Directory::new(block, cluster, root);
            let mut order = names.clone();
            if pattern % 2 == 1 {
                order.reverse();
            }
            for name in &order {
                directory.insert(name);
                directory.check();
            }
            let summary = directory.check_all();
            assert!(summary.levels > 1 && summary.blocks > 1, "{summary:?}");
            match pattern / 2 {
                0 => {}
                1 => order.reverse(),
                _ => order.rotate_left(40),
            }
            for name in &order {
                directory.remove(name);
                directory.check();
            }
            assert_eq!(directory.host.root, empty);
            assert!(directory.host.bitmap.is_empty());
        }
    }
}

/// 1,000 entries in blocks of 4096 bytes: three levels.
fn thousand() -> Directory {
    let mut directory = Directory::new(4096, 4096, 300);
    for number in 0..1000 {
        directory.insert(&utf16(&format!("file with a number {:04}", number * 7 % 1000)));
    }
    let summary = directory.check();
    assert!(summary.levels >= 3, "{summary:?}");
    directory
}

/// Edits in a leaf write that leaf and nothing else; few edits write more.
#[test]
fn most_edits_write_one_block() {
    let mut directory = thousand();
    let root = directory.host.root.clone();
    let mut counts = [0usize; 8];
    for number in 0..1000 {
        let name = utf16(&format!("file with a number {number:04}"));
        directory.host.written = 0;
        directory.remove(&name);
        let removed = directory.host.written;
        directory.host.written = 0;
        directory.insert(&name);
        counts[removed.max(directory.host.written)] += 1;
    }
    assert!(counts[1] > 900 && counts[4..].iter().sum::<usize>() == 0, "{counts:?}");
    assert_eq!(directory.host.root.len(), root.len());
    directory.check_all();
}

/// WIN-103, WIN-111: sizes and times change in place, in leaves and in inner nodes, with one write each.
#[test]
fn sizes_and_times_are_replaced_in_place() {
    let mut directory = thousand();
    for number in 0..1000 {
        let name = utf16(&format!("file with a number {number:04}"));
        let record = directory.index().find_name(&name).unwrap().unwrap().file();
        let new =
            FileName { size_bytes: 1 << 40, modified: u64::MAX, ..FileName::for_tests(&name) };
        directory.host.written = 0;
        let root = directory.host.root.clone();
        assert!(directory.editor().replace_key(&new.encode().unwrap()).unwrap());
        let writes = directory.host.written + usize::from(directory.host.root != root);
        assert_eq!(writes, 1, "{number}");
        let found = directory.index().find_name(&name).unwrap().unwrap();
        assert_eq!((found.file_name().unwrap(), found.file()), (new, record));
    }
    directory.check_all();
    let before = directory.host.clone();
    assert!(!directory.editor().replace_key(&key(&utf16("missing"))).unwrap());
    assert_eq!((before.root, before.blocks), (directory.host.root, directory.host.blocks));
}

/// The update sequence number of a block rises with every write (WIN-104), and nothing remains of a removed name.
#[test]
fn writes_raise_the_number_and_leave_no_remains() {
    let mut directory = Directory::new(4096, 4096, 60);
    directory.insert(&utf16("first"));
    directory.insert(&utf16("second"));
    let number = |directory: &Directory| {
        let block = &directory.host.blocks[0];
        let at = usize::from(u16::from_le_bytes([block[4], block[5]]));
        let number = [block[at], block[at + 1]];
        assert!(block.chunks(512).all(|stride| stride[510..] == number));
        u16::from_le_bytes(number)
    };
    let before = number(&directory);
    directory.remove(&utf16("second"));
    assert_eq!(number(&directory), before + 1);
    let remains: Vec<u8> = utf16("second").into_iter().flat_map(u16::to_le_bytes).collect();
    assert!(!directory.host.blocks[0].windows(remains.len()).any(|window| window == remains));
}

/// WIN-11: a name is found whatever its case, and the one that is spelt the same comes first.
#[test]
fn names_are_found_in_any_case() {
    let mut directory = thousand();
    for name in ["Readme", "README", "readme", "\u{c9}t\u{e9}"] {
        directory.insert(&utf16(name));
    }
    let found_in = |directory: &Directory, name: &str| {
        let entry = directory.index().find_name(&utf16(name)).unwrap();
        entry.map(|entry| String::from_utf16(&entry.file_name().unwrap().name).unwrap())
    };
    let found = |name: &str| found_in(&directory, name);
    for name in ["Readme", "README", "readme", "\u{c9}t\u{e9}"] {
        assert_eq!(found(name).as_deref(), Some(name));
    }
    assert!(found("rEADME").is_some_and(|name| name.eq_ignore_ascii_case("readme")));
    assert_eq!(found("\u{e9}T\u{c9}").as_deref(), Some("\u{c9}t\u{e9}"));
    assert_eq!(found("FILE WITH A NUMBER 0500").as_deref(), Some("file with a number 0500"));
    assert_eq!(found("readm"), None);
    assert_eq!(found("readmee"), None);
    directory.remove(&utf16("README"));
    assert!(
        found_in(&directory, "README").is_some_and(|name| name == "Readme" || name == "readme")
    );
}

/// Names that one sees twice are refused, and nothing is written.
#[test]
fn a_key_is_inserted_once() {
    let mut directory = thousand();
    directory.host.written = 0;
    directory.insert(&utf16("file with a number 0500"));
    directory.remove(&utf16("nothing"));
    assert_eq!(directory.host.written, 0);
    directory.insert(&utf16("FILE with a number 0500"));
    directory.check_all();
}

fn number_key(number: u64) -> Vec<u8> {
    (number as u32).to_le_bytes().to_vec()
}

fn hash_key(number: u64) -> Vec<u8> {
    [((number * 0x9e37_79b9) as u32 % 50).to_le_bytes(), (number as u32).to_le_bytes()].concat()
}

fn reparse_key(number: u64) -> Vec<u8> {
    let tag: u32 = if number.is_multiple_of(3) { 0xa000_000c } else { 0xa000_0003 };
    [&tag.to_le_bytes()[..], &(number << 40 | 0x0001_0000_0000_0000 | number).to_le_bytes()]
        .concat()
}

fn object_key(number: u64) -> Vec<u8> {
    let mut random = Random(number + 1);
    (0..2).flat_map(|_| random.next().to_le_bytes()).collect()
}

/// Entries of `$Secure:$SII` and `$SDH`, `$Reparse:$R` and `$ObjId:$O`, with their data.
#[test]
fn other_indexes_are_sorted_by_their_rules() {
    type Key = fn(u64) -> Vec<u8>;
    let cases: [(Collation<'static>, Key, usize); 4] = [
        (Collation::U32, number_key, 20),
        (Collation::SecurityHash, hash_key, 20),
        (Collation::U32s, reparse_key, 0),
        (Collation::U32s, object_key, 56),
    ];
    for (collation, key, data_len) in cases {
        let mut host = memory::MemoryIndex::new(collation, 4096, 4096, 200);
        let mut editor = IndexEditor::open(&mut host, 4096, collation).unwrap();
        let data = |number: u64| vec![number as u8; data_len];
        for number in 0..600 {
            let number = number * 401 % 600;
            let entry = Entry::of_view(&key(number), &data(number)).unwrap();
            assert!(editor.insert(entry).unwrap());
        }
        for number in (0..600).step_by(2) {
            let removed = editor.remove(&key(number)).unwrap().unwrap();
            assert_eq!(removed.data().unwrap(), data(number));
        }
        let summary = check(&host, 4096, collation).unwrap();
        assert!(summary.entries == 300 && summary.levels > 1 && summary.is_tidy(), "{summary:?}");
        let index = Index::open(&host, 4096, collation).unwrap();
        for number in 0..600 {
            let found = index.find(&key(number)).unwrap();
            let expected = (number % 2 == 1).then(|| data(number));
            assert_eq!(found.map(|entry| entry.data().unwrap().to_vec()), expected);
        }
        assert!(index.find_name(&utf16("a")).is_err());
    }
}

/// The smallest root is large enough: it leads to one block. Below that, and without blocks, edits are refused.
#[test]
fn edits_without_space_are_refused() {
    let no_space = |result: crate::error::Result<bool>| {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::NoSpace { .. })), "{error}");
    };
    let mut directory = Directory::new(4096, 4096, 56);
    for number in 0..200 {
        directory.insert(&utf16(&format!("{number}")));
        directory.check();
    }
    assert_eq!(directory.host.root.len(), 56);
    let mut directory = Directory::new(4096, 4096, 48);
    no_space(directory.editor().insert(entry(1, &utf16("a"))));
    for blocks_max in 0..6 {
        let mut directory = Directory::new(512, 512, 200);
        directory.host.blocks_max = blocks_max;
        let refused = (0..200).find_map(|number| {
            let name = utf16(&format!("name {number}"));
            directory.editor().insert(entry(1, &name)).err()
        });
        no_space(Err(refused.unwrap()));
    }
}

/// A name that would not let a full block be split is not taken.
#[test]
fn entries_must_be_short_enough_for_the_blocks() {
    for (block, longest) in [(512, 50), (1024, 190), (2048, 255), (4096, 255)] {
        let mut directory = Directory::new(block, 4096, 1000);
        directory.insert(&vec![0x61; longest]);
        if longest < 255 {
            let error = directory.editor().insert(entry(1, &[0x62; 255])).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unsupported(_)), "{error}");
        }
        directory.check_all();
    }
}
