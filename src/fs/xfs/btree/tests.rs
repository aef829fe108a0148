use super::kind::Form;
use super::node::TreeDefect;
use super::testing::{MemoryStore, shape};
use super::*;
use crate::error::{ErrorKind, Result};
use crate::fs::xfs::units::{AgBlock, AgInode, FileBlock, FsBlock};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// How many blocks a tree of a test may have.
const BLOCKS_MAX: u64 = 10_000;

/// A kind of tree with records to try out.
trait Sample: TreeKind {
    /// The smallest block with at least four entries.
    const BLOCK_SIZE: u32;
    /// A record of which no two in different slots overlap, and whose key lies in the slot.
    fn sample(slot: u32, seed: u32) -> Self::Record;
}

fn free_extent(slot: u32, seed: u32) -> FreeExtent {
    FreeExtent { start: AgBlock(slot * 10 + seed % 5), count: 1 + seed / 5 % 4 }
}

impl Sample for Bnobt {
    const BLOCK_SIZE: u32 = 0x38 + 48;
    fn sample(slot: u32, seed: u32) -> FreeExtent {
        free_extent(slot, seed)
    }
}

impl Sample for Cntbt {
    const BLOCK_SIZE: u32 = 0x38 + 48;
    fn sample(slot: u32, seed: u32) -> FreeExtent {
        FreeExtent { count: 1 + slot % 7, ..free_extent(slot, seed) }
    }
}

fn inode_chunk(slot: u32, seed: u32) -> InodeChunk {
    let holes = if seed.is_multiple_of(3) { 0xff } else { 0 };
    let hole_bits = if holes == 0 { 0 } else { 0xffff_ffff };
    let free = hole_bits | (u64::from(seed) << 20) | 1 << 63;
    InodeChunk {
        start: AgInode((slot + 1) * 64),
        holes,
        count: 64 - 4 * holes.count_ones(),
        free_count: (free & !hole_bits).count_ones(),
        free,
    }
}

impl Sample for Inobt {
    const BLOCK_SIZE: u32 = 0x38 + 64;
    fn sample(slot: u32, seed: u32) -> InodeChunk {
        inode_chunk(slot, seed)
    }
}

impl Sample for Finobt {
    const BLOCK_SIZE: u32 = 0x38 + 64;
    fn sample(slot: u32, seed: u32) -> InodeChunk {
        inode_chunk(slot, seed)
    }
}

impl Sample for Rmapbt {
    const BLOCK_SIZE: u32 = 0x38 + 176;
    /// Records overlap as much as they like.
    fn sample(slot: u32, seed: u32) -> ReverseMap {
        let (start, count) = (AgBlock(slot / 4), 1 + seed % 300);
        match seed % 7 {
            0 => ReverseMap::special(start, count, OWNER_INODES),
            1 => ReverseMap { is_bmbt: true, ..ReverseMap::file(start, count, 131, 0) },
            2 => ReverseMap {
                is_attribute_fork: true,
                ..ReverseMap::file(start, count, 130, u64::from(slot))
            },
            n => ReverseMap {
                is_unwritten: n == 3,
                ..ReverseMap::file(start, count, 128 + u64::from(n), u64::from(seed % 50))
            },
        }
    }
}

impl Sample for Refcountbt {
    const BLOCK_SIZE: u32 = 0x38 + 48;
    fn sample(slot: u32, seed: u32) -> ReferenceCount {
        let FreeExtent { start, count } = free_extent(slot, seed);
        let is_cow = slot.is_multiple_of(5);
        ReferenceCount { is_cow, start, count, references: if is_cow { 1 } else { 2 + seed % 9 } }
    }
}

impl Sample for Bmbt {
    const BLOCK_SIZE: u32 = 0x48 + 64;
    fn sample(slot: u32, seed: u32) -> Extent {
        Extent {
            file_block: FileBlock(u64::from(slot) * 10 + u64::from(seed % 5)),
            start: FsBlock(u64::from(seed) % (1 << 20)),
            count: 1 + seed / 5 % 4,
            is_unwritten: seed.is_multiple_of(2),
        }
    }
}

/// A tree in memory and what it should hold.
struct Pair<K: Sample> {
    store: MemoryStore,
    model: BTreeMap<K::Key, K::Record>,
    levels_seen: u32,
}

/// Room for three entries.
const FORK_BYTES: usize = 4 + 3 * 16 + 5;

impl<K: Sample> Pair<K> {
    fn new(has_crc: bool) -> Self {
        let mut model = BTreeMap::new();
        let shape = shape(K::FORM, K::BLOCK_SIZE, has_crc);
        let magic = if has_crc { K::MAGIC_V5 } else { K::MAGIC_V4.unwrap() };
        let store = match K::FORM {
            Form::Short => MemoryStore::with_empty_leaf(shape, K::FORM, magic),
            Form::Long => {
                let mut store = MemoryStore::new(shape, Root::Inode(Vec::new()));
                let first = K::sample(3000, 7);
                let mut tree = Tree::<K, _>::new(&mut store);
                tree.build(FORK_BYTES, vec![first], Pointer(0)).unwrap();
                model.insert(K::key(&first), first);
                store
            }
        };
        Self { store, model, levels_seen: 0 }
    }

    fn tree(&mut self) -> Tree<K, &mut MemoryStore> {
        Tree::new(&mut self.store)
    }

    /// The whole tree is right and holds what it should.
    fn check(&mut self) {
        let mut records = Vec::new();
        let summary = self.tree().check(BLOCKS_MAX, |record| {
            records.push(record);
            Ok(())
        });
        let summary = summary.unwrap_or_else(|error| panic!("{error}"));
        assert!(records.iter().eq(self.model.values()), "{records:?}\n{:?}", self.model);
        assert_eq!(summary.blocks, self.store.blocks.len() as u64);
        assert_eq!(summary.records, self.model.len() as u64);
        if let Root::Block { levels, .. } = self.store.root {
            assert_eq!(summary.levels, levels);
        }
        self.levels_seen = self.levels_seen.max(summary.levels);
    }

    /// Would `record` overlap something, when the record with `without` is gone?
    fn is_free_for(&self, record: &K::Record, without: Option<&K::Key>) -> bool {
        let key = K::key(record);
        let others = || self.model.iter().filter(|(key, _)| Some(*key) != without);
        let before = others().rfind(|(other, _)| **other <= key);
        let after = others().find(|(other, _)| **other >= key);
        before.is_none_or(|(other, before)| *other != key && K::may_follow(before, record))
            && after.is_none_or(|(_, after)| K::may_follow(record, after))
    }

    fn step(&mut self, op: u8, slot: u32, seed: u32) {
        let record = K::sample(slot, seed);
        let nth = self.model.len().checked_sub(1).map(|last| slot as usize % (last + 1));
        let victim = nth.and_then(|nth| self.model.keys().nth(nth).copied());
        match (op, victim) {
            (0, Some(victim)) if K::FORM == Form::Long && self.model.len() == 1 => {
                let error = self.tree().remove(&victim).unwrap_err();
                assert_eq!(defect(&error), TreeDefect::LastRecord);
            }
            (0, Some(victim)) => {
                let removed = self.tree().remove(&victim).unwrap();
                assert_eq!(Some(removed), self.model.remove(&victim));
            }
            (1, Some(victim)) if self.is_free_for(&record, Some(&victim)) => {
                self.tree().replace(&victim, record).unwrap();
                self.model.remove(&victim);
                self.model.insert(K::key(&record), record);
            }
            _ if self.is_free_for(&record, None) => {
                self.tree().insert(record).unwrap();
                self.model.insert(K::key(&record), record);
            }
            _ => {
                let error = self.tree().insert(record).unwrap_err();
                assert!(matches!(defect(&error), TreeDefect::Exists | TreeDefect::Order(_)));
            }
        }
    }

    /// Looking things up agrees with the model around `key`.
    fn look_up(&mut self, key: &K::Key) {
        let model = self.model.clone();
        let tree = self.tree();
        assert_eq!(tree.get(key).unwrap(), model.get(key).copied());
        let before = model.range(..=*key).next_back().map(|(_, record)| *record);
        assert_eq!(tree.at_or_before(key).unwrap(), before);
        let after: Vec<_> = model.range(*key..).map(|(_, record)| *record).collect();
        assert_eq!(tree.at_or_after(key).unwrap(), after.first().copied());
        let mut visited = Vec::new();
        tree.visit_from(key, |record| Ok(collect(&mut visited, record))).unwrap();
        assert_eq!(visited, after);
        let mut visited = Vec::new();
        tree.visit_back_from(key, |record| Ok(collect(&mut visited, record))).unwrap();
        assert!(visited.iter().eq(model.range(..=*key).rev().map(|(_, record)| record)));
        assert_eq!(tree.first().unwrap(), model.values().next().copied());
        assert_eq!(tree.last().unwrap(), model.values().next_back().copied());
    }
}

fn collect<R>(all: &mut Vec<R>, record: R) -> ControlFlow<()> {
    all.push(record);
    ControlFlow::Continue(())
}

fn defect(error: &crate::error::Error) -> TreeDefect {
    match error.kind() {
        ErrorKind::Corrupt(corrupt) => match corrupt.defect.downcast_ref::<TreeDefect>() {
            Some(defect) => defect.clone(),
            None => panic!("{error}"),
        },
        _ => panic!("{error}"),
    }
}

/// Grows a tree by random edits, then shrinks it.
fn random_edits<K: Sample>(steps: &[(u8, u32, u32)], has_crc: bool) -> u32 {
    let mut pair = Pair::<K>::new(has_crc);
    let half = steps.len() / 2;
    for (at, &(op, slot, seed)) in steps.iter().enumerate() {
        // Mostly inserts first, mostly removals then.
        let op = match (at < half, op) {
            (true, 0..=1) | (false, 0..=6) => 0,
            (_, 2) | (false, _) => 1,
            _ => 2,
        };
        pair.step(op, slot, seed);
        pair.check();
        if at.is_multiple_of(8) {
            pair.look_up(&K::key(&K::sample(slot ^ 1, seed)));
        }
    }
    pair.levels_seen
}

macro_rules! random_edit_tests {
    ($($name:ident $kind:ident $has_crc:literal;)*) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(12))]
            #[test]
            fn $name(
                steps in prop::collection::vec((0..10_u8, 0..4000_u32, any::<u32>()), 1..700)
            ) {
                random_edits::<$kind>(&steps, $has_crc);
            }
        }
    )*};
}

random_edit_tests! {
    random_edits_of_a_bnobt Bnobt true;
    random_edits_of_a_bnobt_without_checksums Bnobt false;
    random_edits_of_a_cntbt Cntbt true;
    random_edits_of_an_inobt Inobt true;
    random_edits_of_a_finobt Finobt true;
    random_edits_of_an_rmapbt Rmapbt true;
    random_edits_of_a_refcountbt Refcountbt true;
    random_edits_of_a_bmbt Bmbt true;
    random_edits_of_a_bmbt_without_checksums Bmbt false;
}

/// Fills a tree in one order and empties it in another.
fn fill_and_empty<K: Sample>(fill: impl Fn(u32) -> u32, empty: impl Fn(usize) -> usize) {
    const COUNT: u32 = 400;
    let mut pair = Pair::<K>::new(true);
    for at in 0..COUNT {
        let record = K::sample(fill(at), at % 3);
        pair.tree().insert(record).unwrap();
        pair.model.insert(K::key(&record), record);
        pair.check();
    }
    assert!(pair.levels_seen >= 4, "{} levels", pair.levels_seen);
    while pair.model.len() > 1 {
        let key = *pair.model.keys().nth(empty(pair.model.len())).unwrap();
        pair.tree().remove(&key).unwrap();
        pair.model.remove(&key);
        pair.check();
    }
}

#[test]
fn trees_are_filled_and_emptied_from_both_ends() {
    fill_and_empty::<Bnobt>(|at| at, |_| 0);
    fill_and_empty::<Bnobt>(|at| 5000 - at, |len| len - 1);
    fill_and_empty::<Bmbt>(|at| at, |len| len - 1);
    fill_and_empty::<Bmbt>(|at| 2000 - at, |len| len / 2);
    fill_and_empty::<Rmapbt>(|at| at * 4, |_| 0);
    fill_and_empty::<Rmapbt>(|at| 5000 - at * 4, |len| len - 1);
    fill_and_empty::<Inobt>(|at| at, |len| len / 2);
}

#[test]
fn records_that_are_appended_leave_full_blocks_behind() {
    let mut pair = Pair::<Bnobt>::new(true);
    for slot in 0..600 {
        pair.tree().insert(Bnobt::sample(slot, 0)).unwrap();
    }
    // Six records fit a block; halves would take 200 leaves.
    assert!(pair.store.blocks.len() < 200, "{} blocks", pair.store.blocks.len());
}

#[test]
fn an_edit_without_room_changes_nothing() {
    let mut pair = Pair::<Bnobt>::new(true);
    pair.store.available = 9;
    let mut failures = 0;
    for slot in 0..200 {
        let before = (pair.store.blocks.clone(), pair.store.root.clone());
        let taken = pair.store.blocks.len();
        if pair.tree().insert(Bnobt::sample(slot * 7919 % 4000, slot)).is_err() {
            failures += 1;
            // Blocks that were taken for the edit may be left; the caller drops the whole edit.
            let old: BTreeMap<_, _> =
                pair.store.blocks.iter().take(taken).map(|(at, b)| (*at, b.clone())).collect();
            assert_eq!((old, pair.store.root.clone()), before);
        }
    }
    assert!(failures > 0);
}

#[test]
fn replacing_a_record_in_its_place_takes_and_gives_no_block() {
    let mut pair = Pair::<Bnobt>::new(true);
    for slot in 0..300 {
        pair.tree().insert(Bnobt::sample(slot, 4)).unwrap();
    }
    let blocks: Vec<u64> = pair.store.blocks.keys().copied().collect();
    pair.store.available = 0;
    for slot in 0..300 {
        // The start goes down by four, as when a run before it becomes free.
        let record = Bnobt::sample(slot, 0);
        pair.tree().replace(&Bnobt::key(&Bnobt::sample(slot, 4)), record).unwrap();
        pair.model.insert(Bnobt::key(&record), record);
    }
    pair.check();
    assert_eq!(blocks, pair.store.blocks.keys().copied().collect::<Vec<_>>());
}

#[test]
fn the_root_of_an_inode_follows_the_size_of_its_fork() {
    let mut pair = Pair::<Bmbt>::new(true);
    for slot in 0..40 {
        let record = Bmbt::sample(slot, 0);
        pair.tree().insert(record).unwrap();
        pair.model.insert(Bmbt::key(&record), record);
    }
    for fork_bytes in [20, 4 + 5 * 16, 21, 200] {
        pair.tree().resize_inode_root(fork_bytes, Pointer(0)).unwrap();
        assert!(matches!(&pair.store.root, Root::Inode(fork) if fork.len() == fork_bytes));
        pair.check();
    }
    assert!(pair.tree().resize_inode_root(3, Pointer(0)).is_err());
}

#[test]
fn a_tree_gives_back_all_its_blocks() {
    let mut pair = Pair::<Bmbt>::new(true);
    for slot in 0..100 {
        pair.tree().insert(Bmbt::sample(slot, 0)).unwrap();
    }
    let count = pair.store.blocks.len() as u64;
    assert!(matches!(pair.tree().free_all(count - 1).unwrap_err().kind(), ErrorKind::Limit { .. }));
    pair.tree().free_all(count).unwrap();
    assert!(pair.store.blocks.is_empty());
}

/// A store whose allocations insert records into the very tree that asks for a block.
struct Reentrant {
    store: MemoryStore,
    pending: Vec<FreeExtent>,
}

impl NodeSource for Reentrant {
    fn shape(&self) -> Shape {
        self.store.shape()
    }
    fn root(&self) -> Result<Root> {
        self.store.root()
    }
    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.store.daddr(at)
    }
    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.store.read(at)
    }
}

impl NodeStore for Reentrant {
    fn set_root(&mut self, root: Root) -> Result<()> {
        self.store.set_root(root)
    }
    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        self.store.write(at, bytes)
    }
    fn allocate(&mut self, near: Pointer) -> Result<Pointer> {
        if let Some(record) = self.pending.pop() {
            Tree::<Bnobt, _>::new(&mut *self).insert(record)?;
            self.store.root()?;
        }
        self.store.allocate(near)
    }
    fn free(&mut self, at: Pointer) -> Result<()> {
        self.store.free(at)
    }
}

#[test]
fn allocation_may_change_the_tree_that_asks() {
    let store = Pair::<Bnobt>::new(true).store;
    let pending = (0..150).map(|slot| Bnobt::sample(slot * 2 + 1, 0)).collect();
    let mut store = Reentrant { store, pending };
    for slot in 0..150 {
        Tree::<Bnobt, _>::new(&mut store).insert(Bnobt::sample(slot * 2, 0)).unwrap();
    }
    let inserted = 150 - store.pending.len();
    assert!(inserted > 20);
    let summary = Tree::<Bnobt, _>::new(&mut store).check(BLOCKS_MAX, |_| Ok(())).unwrap();
    assert_eq!(summary.records, 150 + inserted as u64);
    assert_eq!(summary.blocks, store.store.blocks.len() as u64);
}

#[test]
fn overlapping_records_are_found_by_any_of_their_blocks() {
    let mut pair = Pair::<Rmapbt>::new(true);
    for slot in 0..600_u32 {
        pair.step(2, slot * 7919 % 4000, slot.wrapping_mul(2_654_435_761) >> 7);
    }
    for (start, count) in [(0, 1), (3, 900), (250, 1), (700, 20), (1500, 1), (999, 1)] {
        let expected: Vec<_> = pair
            .model
            .values()
            .filter(|record| record.start.0 < start + count && record.end() > u64::from(start))
            .copied()
            .collect();
        let mut found = Vec::new();
        let visit = |record| Ok(collect(&mut found, record));
        pair.tree().visit_overlapping(AgBlock(start), count, visit).unwrap();
        assert_eq!(found, expected);
    }
}

/// Damages a tree, seals the blocks again, reads it and edits it: an error or not, but no panic, and no walk that
/// reads a block twice.
fn survives<K: Sample>(damage: &[(u16, u16, u8)], edits: &[(u32, u32)]) {
    let mut pair = Pair::<K>::new(true);
    for slot in 0..120 {
        pair.step(2, slot * 7 % 128, slot * 31);
    }
    let (siblings_end, crc_at, header) = match K::FORM {
        Form::Short => (0x10, 0x34, 0x38),
        Form::Long => (0x18, 0x40, 0x48),
    };
    let blocks: Vec<u64> = pair.store.blocks.keys().copied().collect();
    for (block, at, value) in damage {
        let block = blocks[usize::from(*block) % blocks.len()];
        let block = pair.store.blocks.get_mut(&block).unwrap();
        // Level, entries, siblings, keys, pointers and records; the rest of the header is compared bit by bit.
        let places = (4..siblings_end).chain(header..block.len()).collect::<Vec<_>>();
        block[places[usize::from(*at) % places.len()]] = *value;
        crate::fs::xfs::checksum::seal(block, crc_at).unwrap();
    }
    pair.store.reads.set(0);
    let first = K::key(&K::sample(0, 0));
    let _ = pair.tree().visit_from(&first, |_| Ok(ControlFlow::Continue(())));
    assert!(pair.store.reads.get() <= blocks.len());
    let _ = pair.tree().visit_back_from(&first, |_| Ok(ControlFlow::Continue(())));
    pair.store.reads.set(0);
    let _ = pair.tree().check(BLOCKS_MAX, |_| Ok(()));
    assert!(pair.store.reads.get() <= blocks.len());
    for (slot, seed) in edits {
        let record = K::sample(*slot, *seed);
        let key = K::key(&record);
        let _ = match seed % 3 {
            0 => pair.tree().insert(record),
            1 => match pair.tree().at_or_after(&key) {
                Ok(Some(found)) => pair.tree().remove(&K::key(&found)).map(|_| ()),
                other => other.map(|_| ()),
            },
            _ => match pair.tree().at_or_before(&key) {
                Ok(Some(found)) => pair.tree().replace(&K::key(&found), record),
                other => other.map(|_| ()),
            },
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn damaged_trees_do_no_harm(
        damage in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u8>()), 1..6),
        edits in prop::collection::vec((0..130_u32, 0..400_u32), 0..60),
    ) {
        survives::<Bnobt>(&damage, &edits);
        survives::<Cntbt>(&damage, &edits);
        survives::<Rmapbt>(&damage, &edits);
        survives::<Inobt>(&damage, &edits);
        survives::<Bmbt>(&damage, &edits);
    }
}
