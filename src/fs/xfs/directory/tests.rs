//! Directories against a model, with a full check after each step.

use super::check::{Summary, check, check_short};
use super::*;
use crate::fs::xfs::da::memory::{MemoryBlocks, format};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const PARENT: InodeNumber = InodeNumber(128);

/// A directory in any form, with room for `room` bytes in its inode.
#[derive(Debug, Clone)]
pub(super) struct Tested {
    pub(super) format: DaFormat,
    pub(super) room: usize,
    /// `None` once the directory has blocks.
    pub(super) short: Option<Vec<u8>>,
    pub(super) blocks: MemoryBlocks,
    pub(super) size_bytes: u64,
}

impl Tested {
    pub(super) fn new(format: DaFormat, room: usize) -> Self {
        let short = empty_short(&format, PARENT).unwrap();
        let size_bytes = short.len() as u64;
        Self { format, room, short: Some(short), blocks: MemoryBlocks::new(format), size_bytes }
    }

    fn take(&mut self, change: ForkChange) {
        match change {
            ForkChange::Short(bytes) => {
                assert!(bytes.len() <= self.room);
                self.size_bytes = bytes.len() as u64;
                self.short = Some(bytes);
            }
            ForkChange::Blocks { size_bytes } => self.size_bytes = size_bytes,
        }
    }

    pub(super) fn insert(&mut self, name: &[u8], inode: u64) -> Result<()> {
        let new = NewEntry::new(name, InodeNumber(inode), NodeKind::File);
        if let Some(short) = &self.short {
            if let Some(change) = insert_short(&self.format, short, self.room, &new)? {
                self.take(change);
                return Ok(());
            }
            let short = self.short.take().unwrap();
            let change = convert_short(&mut self.blocks, &short)?;
            self.take(change);
            self.check();
        }
        let change = insert(&mut self.blocks, &new)?;
        self.take(change);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Result<Entry> {
        let (entry, change) = match &self.short {
            Some(short) => remove_short(&self.format, short, name)?,
            None => remove(&mut self.blocks, name)?,
        };
        self.take(change);
        Ok(entry)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Entry> {
        match &self.short {
            Some(short) => lookup_short(&self.format, short, name).unwrap(),
            None => lookup(&self.blocks, name).unwrap(),
        }
    }

    pub(super) fn check(&self) -> Summary {
        match &self.short {
            Some(short) => check_short(&self.format, short).unwrap(),
            None => check(&self.blocks, self.size_bytes).unwrap(),
        }
    }

    pub(super) fn list(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut found = BTreeMap::new();
        let mut take = |entry: &Entry| {
            assert!(found.insert(entry.name.clone(), entry.inode.0).is_none());
            Ok(ControlFlow::Continue(()))
        };
        match &self.short {
            Some(short) => visit_short(&self.format, short, &mut take).unwrap(),
            None => visit(&self.blocks, &mut take).unwrap(),
        }
        found
    }

    pub(super) fn form(&self) -> Option<Form> {
        self.short.is_none().then(|| form(&self.blocks).unwrap())
    }

    /// Levels of nodes above the leaves.
    pub(super) fn levels(&self) -> u16 {
        let root = leaf_extent(&self.format).root;
        let bytes = self.blocks.read(root).unwrap().unwrap();
        let daddr = self.blocks.daddr(root).unwrap();
        da::node::Node::parse(&bytes, &self.format, daddr).map_or(0, |node| node.level)
    }
}

/// A name of up to `len_max` bytes that depends on `number` alone, and that no other number has.
pub(super) fn name_of(number: u32, len_max: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let mut name = format!("{number:x}").into_bytes();
    let len = name.len().max(state as usize % len_max + 1);
    while name.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        // A digit would be taken for one of another number.
        let is_unfit = byte == 0 || byte == b'/' || byte.is_ascii_hexdigit();
        name.push(if is_unfit { b'x' } else { byte });
    }
    name
}

/// Different names with one and the same hash.
fn colliding(number: u32) -> Vec<u8> {
    let mut name = Vec::new();
    for bit in 0..12 {
        // The hash moves by 7 bits from byte to byte.
        let pair: [u8; 2] = if number >> bit & 1 == 0 { [0x61, 0x41] } else { [0x60, 0xc1] };
        name.extend(pair);
    }
    name
}

/// Runs the steps (number, is it an insertion) against a model.
fn run(tested: &mut Tested, steps: &[(u32, bool)], len_max: usize, check_every: usize) {
    let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for (step, (number, is_insertion)) in steps.iter().enumerate() {
        let name = name_of(*number, len_max);
        // Every fifth inode number needs more than 32 bits.
        let inode = u64::from(*number) + 1000 + if number % 5 == 0 { 1 << 33 } else { 0 };
        assert_eq!(tested.find(&name).map(|entry| entry.inode.0), model.get(&name).copied());
        if *is_insertion {
            let is_new = model.insert(name.clone(), inode).is_none();
            assert_eq!(tested.insert(&name, inode).is_ok(), is_new);
        } else {
            let removed = tested.remove(&name).ok().map(|entry| entry.inode.0);
            assert_eq!(removed, model.remove(&name));
        }
        if step % check_every == 0 || step + 1 == steps.len() {
            let summary = tested.check();
            assert_eq!(summary, Summary { names: model.len() as u64, parent: PARENT });
        }
    }
    model.insert(b".".to_vec(), tested.format.inode.0);
    model.insert(b"..".to_vec(), PARENT.0);
    assert_eq!(tested.list(), model);
    for (name, inode) in &model {
        assert_eq!(tested.find(name).unwrap().inode.0, *inode);
    }
}

fn any_format() -> impl Strategy<Value = DaFormat> {
    (0..4_u32, 0..4_u32, any::<bool>(), any::<bool>()).prop_map(|(log, da_log, crc, ftype)| {
        let base = format(512 << log, 512 << (log + da_log));
        DaFormat { has_crc: crc, has_file_type: ftype || crc, ..base }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn directories_are_what_was_put_in(
        format in any_format(),
        room in 60_usize..400,
        len_max in 1_usize..120,
        steps in prop::collection::vec((0_u32..150, prop::bool::weighted(0.6)), 1..400),
    ) {
        run(&mut Tested::new(format, room), &steps, len_max, 1);
    }

    #[test]
    fn hostile_blocks_give_errors_and_nothing_else(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u16>(), any::<u8>()), 1..6),
        names in 1_u32..300,
    ) {
        let mut tested = Tested::new(DaFormat { has_crc: false, ..format(512, 512) }, 60);
        for number in 0..names {
            tested.insert(&name_of(number, 20), 99).unwrap();
        }
        let blocks: Vec<u64> = tested.blocks.blocks.keys().copied().collect();
        for (block, at, value) in flips {
            if !blocks.is_empty() {
                let bytes = tested.blocks.blocks.get_mut(block.get(&blocks)).unwrap();
                bytes[usize::from(at) % 512] ^= value;
            }
        }
        let _ = check(&tested.blocks, tested.size_bytes);
        let _ = visit(&tested.blocks, &mut |_| Ok(ControlFlow::Continue(())));
        for number in 0..20 {
            let _ = lookup(&tested.blocks, &name_of(number, 20));
            let _ = remove(&mut tested.blocks.clone(), &name_of(number, 20));
        }
        let _ = insert(&mut tested.blocks, &NewEntry::new(b"new", PARENT, NodeKind::File));
    }
}

/// Fills a directory until it has nodes of several levels, and empties it again in another order.
#[test]
fn deep_trees_grow_and_shrink() {
    for (format, count, levels) in [
        (format(512, 512), 4000, 2),
        (DaFormat { has_crc: false, has_file_type: false, ..format(512, 512) }, 4000, 2),
        (format(1024, 4096), 3000, 1),
    ] {
        let mut tested = Tested::new(format, 100);
        let mut forms = Vec::new();
        let mut steps = Vec::new();
        for number in 0..count {
            steps.push((number * 7919 % count, true));
        }
        run(&mut tested, &steps, 12, 1000);
        assert_eq!(tested.levels(), levels);
        for number in 0..count {
            let name = name_of(number * 3331 % count, 12);
            tested.remove(&name).unwrap();
            if number % 500 == 0 {
                tested.check();
            }
            if forms.last() != Some(&tested.levels()) {
                forms.push(tested.levels());
            }
        }
        assert_eq!(tested.check().names, 0);
        assert_eq!(forms.last(), Some(&0));
        assert_eq!(tested.size_bytes, u64::from(format.da_block_size_bytes));
    }
}

#[test]
fn names_with_one_hash_fill_several_leaves() {
    let mut tested = Tested::new(format(512, 512), 60);
    let names: Vec<Vec<u8>> = (0..300).map(colliding).collect();
    for (number, name) in names.iter().enumerate() {
        tested.insert(name, number as u64 + 1).unwrap();
        tested.check();
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(tested.find(name).unwrap().inode.0, number as u64 + 1);
    }
    for name in &names {
        tested.remove(name).unwrap();
        tested.check();
    }
}
