//! Edits against a model, structures, and damage.

use super::memory::MemoryIndex;
use super::*;
use crate::error::{ErrorKind, Result};
use crate::fs::ntfs::file_name::{FileName, NameSpace};
use crate::fs::ntfs::units::{FileReference, MftRecordNumber};
use crate::fs::ntfs::upcase::UpCase;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

static UPCASE: LazyLock<UpCase> = LazyLock::new(UpCase::for_tests);

/// How much longer the campaign runs: `REGAIN_NTFS_INDEX_ROUNDS`, 1 if unset.
fn rounds() -> u64 {
    std::env::var("REGAIN_NTFS_INDEX_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

fn by_name() -> Collation<'static> {
    Collation::FileName(&UPCASE)
}

fn file_name(name: &[u16]) -> FileName {
    FileName {
        parent: FileReference { record: MftRecordNumber::ROOT, sequence: 5 },
        created: 1,
        modified: 2,
        changed: 3,
        accessed: 4,
        allocated_bytes: 4096,
        size_bytes: 5,
        flags: 0x20,
        extended: 0,
        name_space: NameSpace::Posix,
        name: name.to_vec(),
    }
}

fn key(name: &[u16]) -> Vec<u8> {
    file_name(name).encode().unwrap()
}

fn entry(record: u64, name: &[u16]) -> Entry {
    let file = FileReference { record: MftRecordNumber(record), sequence: 1 };
    Entry::of_file(file, &key(name)).unwrap()
}

fn utf16(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}

/// Pseudo-random numbers: xorshift64*.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// A name of 1 to `units_max` units, more often a short one, over an alphabet with both cases.
    fn name(&mut self, units_max: u64) -> Vec<u16> {
        let longest = if self.below(4) == 0 { units_max } else { units_max.min(20) };
        let length = 1 + self.below(longest);
        let alphabet = utf16("aAbByYzZ019_.~\u{e9}\u{c9}\u{44f}\u{42f}\u{20ac}");
        (0..length)
            .map(|_| match self.below(30) {
                0 => 0xd800 + u16::try_from(self.below(0x800)).unwrap(),
                _ => alphabet[usize::try_from(self.below(alphabet.len() as u64)).unwrap()],
            })
            .collect()
    }
}

/// A name in the order of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sorted(Vec<u16>);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        UPCASE.collate(&self.0, &other.0)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A directory and what it must hold.
struct Directory {
    host: MemoryIndex,
    cluster_size_bytes: u32,
    model: BTreeMap<Sorted, u64>,
    next: u64,
}

impl Directory {
    fn new(block_size_bytes: u32, cluster_size_bytes: u32, root_bytes_max: usize) -> Self {
        let host =
            MemoryIndex::new(by_name(), block_size_bytes, cluster_size_bytes, root_bytes_max);
        Self { host, cluster_size_bytes, model: BTreeMap::new(), next: 24 }
    }

    fn editor(&mut self) -> IndexEditor<'_> {
        IndexEditor::open(&mut self.host, self.cluster_size_bytes, by_name()).unwrap()
    }

    fn index(&self) -> Index<'_> {
        Index::open(&self.host, self.cluster_size_bytes, by_name()).unwrap()
    }

    fn insert(&mut self, name: &[u16]) {
        self.next += 1;
        let record = self.next;
        let is_new = !self.model.contains_key(&Sorted(name.to_vec()));
        assert_eq!(self.editor().insert(entry(record, name)).unwrap(), is_new, "{name:?}");
        self.model.entry(Sorted(name.to_vec())).or_insert(record);
    }

    fn remove(&mut self, name: &[u16]) {
        let expected = self.model.remove(&Sorted(name.to_vec()));
        let removed = self.editor().remove(&key(name)).unwrap();
        assert_eq!(removed.map(|entry| entry.file().record.0), expected, "{name:?}");
    }

    fn list(&self) -> Vec<(Vec<u16>, u64)> {
        list(&self.index()).unwrap()
    }

    /// The strict check, and the number of entries.
    fn check(&self) -> IndexSummary {
        let summary = check(&self.host, self.cluster_size_bytes, by_name()).unwrap();
        assert_eq!(summary.entries, self.model.len() as u64);
        summary
    }

    /// The strict check, and all entries in order.
    fn check_all(&self) -> IndexSummary {
        let expected: Vec<_> = self.model.iter().map(|(name, at)| (name.0.clone(), *at)).collect();
        assert_eq!(self.list(), expected);
        self.check()
    }
}

fn list(index: &Index<'_>) -> Result<Vec<(Vec<u16>, u64)>> {
    let mut names = Vec::new();
    index.visit(&mut |entry| {
        names.push((entry.file_name()?.name, entry.file().record.0));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

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
        for round in 0..rounds() {
            let steps = if round == 0 { 300 } else { 3000 };
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
        let count = (block / 10).clamp(90, 120) * u32::try_from(rounds().min(10)).unwrap();
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
