//! Damaged tree blocks with right checksums: no panic, an end, and a bound on the work.
//!
//! `REGAIN_DAMAGE_ROUNDS` makes more of them.

use super::Btrfs;
use super::node::Expected;
use super::testing::recorded;
use super::tree::TreeRoot;
use super::volume::Volume;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::error::Result;
use crate::fs::{FileSystem, NodeId, NodeKind, Timestamp};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Damaged volumes of each fixture in a usual run.
const ROUNDS: u64 = 100;
/// Nodes that are looked at in one damaged volume.
const NODES_MAX: usize = 400;
/// Bytes of each file that are read.
const READ_BYTES: usize = 300_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Where the blocks of all trees lie that a reader comes across.
fn blocks(volume: &Volume) -> Vec<u64> {
    let mut roots = vec![volume.root_tree(), volume.chunk_root()];
    for tree in (5..400).filter(|tree| !(10..256).contains(tree)) {
        roots.extend(volume.root(tree).ok());
    }
    let superblock = volume.superblock();
    if superblock.log_root != 0 {
        let generation = superblock.generation + 1;
        let (bytenr, level) = (superblock.log_root, superblock.log_root_level);
        let log = TreeRoot { tree: super::key::object::TREE_LOG, bytenr, level, generation };
        roots.push(log);
        let all = (super::key::Key::MIN, super::key::Key::MAX);
        volume
            .for_each(&log, all.0, all.1, &mut |_, data| {
                roots.push(TreeRoot::parse(super::key::object::TREE_LOG, data)?);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
    }
    let mut waiting: Vec<Expected> = roots.iter().map(|root| root.expected()).collect();
    let mut found = BTreeSet::new();
    while let Some(expected) = waiting.pop() {
        let Ok(node) = volume.node(expected) else { continue };
        if found.insert(expected.bytenr) && node.level > 0 {
            let level = node.level - 1;
            waiting.extend(node.pointers().iter().map(|pointer| Expected {
                bytenr: pointer.bytenr,
                generation: pointer.generation,
                level,
            }));
        }
    }
    found.into_iter().collect()
}

/// Changes bytes of one block, mostly where items are described or short ones stand, and puts its checksum right.
fn damage(disk: &Overlay, volume: &Volume, bytenr: u64, random: &mut Random) {
    let node_bytes = usize::try_from(volume.node_bytes()).unwrap();
    let copies = volume.chunks().copies(bytenr, volume.node_bytes()).unwrap();
    let mut block = disk.read_vec(copies[0], node_bytes).unwrap();
    for _ in 0..=random.below(3) {
        let at = match random.below(4) {
            0 => 80 + random.below(21),
            1 => 101 + random.below(1000.min(node_bytes - 101)),
            // Items grow from the end.
            2 => node_bytes - 1 - random.below(3000.min(node_bytes - 101)),
            _ => 32 + random.below(node_bytes - 32),
        };
        block[at] = match random.below(4) {
            0 => 0,
            1 => 0xff,
            2 => block[at].wrapping_add(1),
            _ => u8::try_from(random.below(256)).unwrap(),
        };
    }
    let checksum = volume.superblock().checksum.of(&block[32..]);
    block[..32].copy_from_slice(&checksum);
    for physical in copies {
        disk.write_at(physical, &block, "damage").unwrap();
    }
}

/// Looks at everything, up to a bound on nodes: how many there are, how many of them failed, how many warnings.
fn walk(fs: &dyn FileSystem) -> (usize, usize, usize) {
    let mut failed = usize::from(fs.subvolumes().is_err());
    let mut waiting = vec![fs.root()];
    let mut seen = BTreeSet::new();
    while let Some(node) = waiting.pop() {
        if seen.len() >= NODES_MAX || !seen.insert(node) {
            continue;
        }
        failed += usize::from(look(fs, node, &mut waiting).is_err());
    }
    (seen.len(), failed, fs.warnings().len())
}

fn look(fs: &dyn FileSystem, node: NodeId, waiting: &mut Vec<NodeId>) -> Result<()> {
    let _ = fs.xattrs(node);
    let metadata = fs.metadata(node)?;
    match metadata.kind {
        NodeKind::Directory => {
            let mut count = 0;
            fs.read_dir(node, &mut |entry| {
                count += 1;
                let _ = fs.lookup(node, &entry.name);
                waiting.push(entry.node);
                let is_enough = count > NODES_MAX;
                Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        }
        NodeKind::File => {
            fs.read_at(node, 0, READ_BYTES)?;
            fs.read_at(node, metadata.size_bytes.saturating_sub(1000), 2000).map(|_| ())
        }
        NodeKind::Symlink => fs.read_link(node).map(|_| ()),
        _ => Ok(()),
    }
}

fn rounds() -> u64 {
    let wanted = std::env::var("REGAIN_DAMAGE_ROUNDS").ok();
    wanted.map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

fn survives(name: &str, seed: u64) {
    let disk = recorded(name);
    let volume = Volume::open(disk.clone()).unwrap();
    let blocks = blocks(&volume);
    assert!(blocks.len() > 5, "{name}: only {} blocks", blocks.len());
    let whole = walk(&Btrfs::open(disk, Timestamp::default()).unwrap());
    assert!(whole.0 > 20 && whole.1 == 0, "{name}: {whole:?} nodes");
    let (mut opened, mut differed) = (0, 0);
    for round in 0..rounds() {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (round + 1) << 20 | 1);
        // Seeds that differ in a few bits give numbers that do, at first.
        for _ in 0..16 {
            random.next();
        }
        let damaged: Arc<Overlay> = recorded(name);
        let bytenr = blocks[random.below(blocks.len())];
        damage(&damaged, &volume, bytenr, &mut random);
        if let Ok(fs) = Btrfs::open(damaged, Timestamp::default()) {
            opened += 1;
            let _ = fs.check_writable();
            differed += u64::from(walk(&fs) != whole);
        }
    }
    // Damage that is never met, or always before anything is read, would prove nothing.
    assert!(opened * 2 > rounds() && differed > 0, "{name}: {opened} opened, {differed} differed");
}

#[test]
fn subvolumes_and_small_files() {
    survives("ubuntu", 1);
}

#[test]
fn many_levels() {
    survives("sha256", 2);
}

#[test]
fn snapshots_and_holes() {
    survives("mixed", 3);
}

#[test]
fn logs() {
    survives("dirty/rename-between", 4);
    survives("dirty/holes", 5);
}
