//! Directories in memory with a model, and random names, for tests.

use super::check::{IndexSummary, check};
use super::memory::MemoryIndex;
use super::read::LEVELS_MAX;
use super::*;
use crate::error::Result;
use crate::fs::ntfs::file_name::FileName;
use crate::fs::ntfs::fix_up;
use crate::fs::ntfs::units::{FileReference, MftRecordNumber};
use crate::fs::ntfs::upcase::UpCase;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

pub(super) static UPCASE: LazyLock<UpCase> = LazyLock::new(UpCase::for_tests);

/// How many random sequences run for each size of blocks: `REGAIN_NTFS_INDEX_SEQUENCES`, 1 if unset.
pub(super) fn sequences() -> u64 {
    std::env::var("REGAIN_NTFS_INDEX_SEQUENCES").map_or(1, |number| number.parse().unwrap())
}

pub(super) fn by_name() -> Collation<'static> {
    Collation::FileName(&UPCASE)
}

pub(super) fn key(name: &[u16]) -> Vec<u8> {
    FileName::for_tests(name).encode().unwrap()
}

pub(super) fn entry(record: u64, name: &[u16]) -> Entry {
    let file = FileReference { record: MftRecordNumber(record), sequence: 1 };
    Entry::of_file(file, &key(name)).unwrap()
}

pub(super) fn utf16(name: &str) -> Vec<u16> {
    name.encode_utf16().collect()
}

/// Pseudo-random numbers: xorshift64*.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// A name of 1 to `units_max` units, more often a short one, over an alphabet with both cases.
    pub(super) fn name(&mut self, units_max: u64) -> Vec<u16> {
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
pub(super) struct Sorted(pub(super) Vec<u16>);

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
pub(super) struct Directory {
    pub(super) host: MemoryIndex,
    pub(super) cluster_size_bytes: u32,
    pub(super) model: BTreeMap<Sorted, u64>,
    next: u64,
}

impl Directory {
    pub(super) fn new(
        block_size_bytes: u32,
        cluster_size_bytes: u32,
        root_bytes_max: usize,
    ) -> Self {
        let host =
            MemoryIndex::new(by_name(), block_size_bytes, cluster_size_bytes, root_bytes_max);
        Self { host, cluster_size_bytes, model: BTreeMap::new(), next: 24 }
    }

    pub(super) fn editor(&mut self) -> IndexEditor<'_> {
        IndexEditor::open(&mut self.host, self.cluster_size_bytes, by_name()).unwrap()
    }

    pub(super) fn index(&self) -> Index<'_> {
        Index::open(&self.host, self.cluster_size_bytes, by_name()).unwrap()
    }

    pub(super) fn insert(&mut self, name: &[u16]) {
        self.next += 1;
        let record = self.next;
        let is_new = !self.model.contains_key(&Sorted(name.to_vec()));
        assert_eq!(self.editor().insert(entry(record, name)).unwrap(), is_new, "{name:?}");
        self.model.entry(Sorted(name.to_vec())).or_insert(record);
    }

    pub(super) fn remove(&mut self, name: &[u16]) {
        let expected = self.model.remove(&Sorted(name.to_vec()));
        let removed = self.editor().remove(&key(name)).unwrap();
        assert_eq!(removed.map(|entry| entry.file().record.0), expected, "{name:?}");
    }

    pub(super) fn list(&self) -> Vec<(Vec<u16>, u64)> {
        list(&self.index()).unwrap()
    }

    /// The strict check, and the number of entries.
    pub(super) fn check(&self) -> IndexSummary {
        let summary = check(&self.host, self.cluster_size_bytes, by_name()).unwrap();
        assert_eq!(summary.entries, self.model.len() as u64);
        assert!(summary.is_tidy(), "{summary:?}");
        summary
    }

    /// The strict check, and all entries in order.
    pub(super) fn check_all(&self) -> IndexSummary {
        let expected: Vec<_> = self.model.iter().map(|(name, at)| (name.0.clone(), *at)).collect();
        assert_eq!(self.list(), expected);
        self.check()
    }
}

pub(super) fn list(index: &Index<'_>) -> Result<Vec<(Vec<u16>, u64)>> {
    let mut names = Vec::new();
    index.visit(&mut |entry| {
        names.push((entry.file_name()?.name, entry.file().record.0));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// A copy of `host` with one to three bytes changed, in blocks with fix-ups that are made good again most of the
/// time.
pub(super) fn damaged(host: &MemoryIndex, random: &mut Random) -> MemoryIndex {
    let mut host = host.clone();
    for _ in 0..=random.below(3) {
        let chosen = random.below(host.blocks.len() as u64 + 1) as usize;
        let is_block = chosen < host.blocks.len();
        let bytes = if is_block { &mut host.blocks[chosen] } else { &mut host.root };
        let is_sealed = is_block && random.below(8) != 0;
        if is_sealed && fix_up::remove(bytes).is_err() {
            continue;
        }
        let head = random.below(2) == 0;
        let bound = if head { bytes.len().min(160) } else { bytes.len() };
        let at = random.below(bound as u64) as usize;
        match random.below(3) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            _ => bytes[at] = random.below(16) as u8,
        }
        if is_sealed {
            let _ = fix_up::stamp(bytes);
        }
    }
    host
}

/// Uses the damaged index in every way. Nothing panics, and reads are bounded; `Ok` is possible, as not every
/// byte matters.
pub(super) fn exercise(
    mut host: MemoryIndex,
    cluster_size_bytes: u32,
    collation: Collation<'_>,
    names: &[Vec<u16>],
) {
    let blocks = host.blocks.len();
    host.read.set(0);
    if let Ok(index) = Index::open(&host, cluster_size_bytes, collation) {
        let _ = list(&index);
        assert!(host.read.get() <= blocks + 1);
        for name in names {
            host.read.set(0);
            let _ = index.find_name(name);
            assert!(host.read.get() <= 2 * LEVELS_MAX);
        }
    }
    let _ = check(&host, cluster_size_bytes, collation);
    for name in names {
        host.read.set(0);
        if let Ok(mut editor) = IndexEditor::open(&mut host, cluster_size_bytes, collation) {
            let _ = editor.replace_key(&key(name));
            let _ = editor.remove(&key(name));
            let _ = editor.insert(entry(1, name));
            assert!(host.read.get() <= 2 * blocks + 8 * LEVELS_MAX, "{}", host.read.get());
        }
    }
}
