//! Taking and giving back at random, judged by `xfs_repair` and by a walk through all trees.

use super::*;
use crate::disk::overlay::Overlay;
use crate::fs::Timestamp;
use crate::fs::xfs::ag::Agf;
use crate::fs::xfs::btree::{Bnobt, FreeExtent};
use crate::fs::xfs::cross_check::cross_check;
use crate::fs::xfs::testing;
use std::ops::ControlFlow;
use std::sync::Arc;

mod damage;
mod files;

/// A small generator whose seed a failing test prints.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn open(disk: &Arc<Overlay>) -> Volume {
    Volume::open(disk.clone(), Timestamp { seconds: 0, nanoseconds: 0 }).unwrap()
}

fn groups(volume: &Volume) -> impl Iterator<Item = AgNumber> + use<> {
    (0..volume.superblock().ag_count).map(AgNumber)
}

fn agf(volume: &Volume, ag: AgNumber) -> Agf {
    Agf::load(volume, ag).unwrap()
}

/// Blocks that are free, on a free list, or in a tree of free space or owners.
fn free_of(volume: &Volume) -> u64 {
    let sum = |agf: Agf| {
        u64::from(agf.free_blocks) + u64::from(agf.free_list.count) + u64::from(agf.tree_blocks)
    };
    groups(volume).map(|ag| sum(agf(volume, ag))).sum()
}

/// What must hold while blocks are out that only the reverse map knows: it names owners that have nothing.
fn check(volume: &Volume) {
    for ag in groups(volume) {
        if let Err(error) = cross_check(volume, ag) {
            let text = error.to_string();
            let is_invented = ["the rmapbt has", "the rmapbt counts"];
            assert!(is_invented.iter().any(|start| text.contains(start)), "{text}");
        }
    }
    assert_eq!(free_of(volume), volume.superblock().free_blocks);
}

/// What must hold when every block is where it was.
fn check_whole(volume: &Volume) {
    for ag in groups(volume) {
        cross_check(volume, ag).unwrap();
    }
    assert_eq!(free_of(volume), volume.superblock().free_blocks);
}

/// The parts of `run` that are free, ascending. Blocks of the AGFL are not free.
fn free_in(volume: &Volume, run: Run) -> Vec<Run> {
    let (ag, start) = volume.superblock().split(run.start).unwrap();
    let end = u64::from(start.0 + run.count);
    let mut free = Vec::new();
    let collect = |extent: FreeExtent| {
        let (from, behind) = (extent.start.max(start), extent.end().min(end));
        if behind > u64::from(from.0) {
            let count = behind as u32 - from.0;
            free.push(Run { start: volume.superblock().join(ag, from).unwrap(), count });
        }
        Ok(ControlFlow::Continue(()))
    };
    store::tree::<Bnobt, _>(volume, ag).visit_all(collect).unwrap();
    free
}

/// An owner that no fixture has: file blocks far behind everything.
fn owner(volume: &Volume, random: &mut Random) -> Owner {
    let inode = volume.superblock().root;
    let file_block = FileBlock((1 << 40) + random.next(1 << 40));
    match random.next(6) {
        0 => Owner::Inodes,
        1 => Owner::InodeBtree,
        2 => Owner::ForkBtree { inode, kind: ForkKind::Data },
        3 => Owner::Fork { inode, kind: ForkKind::Attribute, file_block },
        _ => Owner::Fork { inode, kind: ForkKind::Data, file_block },
    }
}

fn request(volume: &Volume, random: &mut Random, taken: &[(Run, Owner)]) -> Request {
    let scale = random.next(7);
    let max_blocks = 1 + u32::try_from(random.next(1 << scale)).unwrap();
    let near = match taken.last() {
        Some((run, _)) if random.next(2) == 0 => {
            let (ag, block) = volume.superblock().split(run.start).unwrap();
            let behind = AgBlock(block.0 + run.count);
            volume.superblock().join(ag, behind).map_or(Near::Group(ag), Near::Block)
        }
        _ => {
            let count = u64::from(volume.superblock().ag_count);
            Near::Group(AgNumber(u32::try_from(random.next(count)).unwrap()))
        }
    };
    Request {
        near,
        min_blocks: 1 + u32::try_from(random.next(max_blocks.into())).unwrap(),
        max_blocks,
        alignment: [1, 1, 1, 4, 8][usize::try_from(random.next(5)).unwrap()],
        owner: owner(volume, random),
    }
}

fn check_run(volume: &Volume, request: &Request, run: Run) {
    assert!((request.min_blocks..=request.max_blocks).contains(&run.count), "{run:?} {request:?}");
    let (ag, block) = volume.superblock().split(run.start).unwrap();
    assert_eq!(block.0 % request.alignment, 0);
    assert_eq!(free_in(volume, run), []);
    if request.owner.stays_in_group() {
        let near = match request.near {
            Near::Group(near) => near,
            Near::Block(near) => volume.superblock().split(near).unwrap().0,
        };
        assert_eq!(near, ag);
    }
}

/// Gives back a part of a run that was taken; what is left of it stays in `taken`.
fn give_part(volume: &mut Volume, random: &mut Random, taken: &mut Vec<(Run, Owner)>) {
    let index = usize::try_from(random.next(taken.len() as u64)).unwrap();
    let (run, owner) = taken.swap_remove(index);
    let from = if random.next(3) == 0 { random.next(run.count.into()) as u32 } else { 0 };
    let left = run.count - from;
    let count = if random.next(3) == 0 { 1 + random.next(left.into()) as u32 } else { left };
    let part = |from: u32, count: u32| {
        let start = FsBlock(run.start.0 + u64::from(from));
        let owner = match owner {
            Owner::Fork { inode, kind, file_block } => {
                let file_block = FileBlock(file_block.0 + u64::from(from));
                Owner::Fork { inode, kind, file_block }
            }
            other => other,
        };
        (Run { start, count }, owner)
    };
    let (gone, gone_owner) = part(from, count);
    volume.free_blocks(gone, &gone_owner).unwrap();
    assert!(free_in(volume, gone) == [gone] || free_list_has(volume, gone));
    taken.extend(
        [part(0, from), part(from + count, left - count)].into_iter().filter(|p| p.0.count > 0),
    );
}

/// A block that was given back may have been taken by the next correction of the free list.
fn free_list_has(volume: &Volume, run: Run) -> bool {
    let (ag, block) = volume.superblock().split(run.start).unwrap();
    let agf = agf(volume, ag);
    let agfl = crate::fs::xfs::ag::Agfl::load(volume, &agf).unwrap();
    agfl.blocks(agf.free_list)
        .unwrap()
        .iter()
        .any(|listed| (block.0..block.0 + run.count).contains(&listed.0))
}

/// `steps` random edits, everything given back at the end; the checker must not see a difference.
fn round(disk: &Arc<Overlay>, name: &str, seed: u64, steps: u32) {
    let mut volume = open(disk);
    let mut random = Random(seed);
    let before = free_of(&volume);
    assert_eq!(before, volume.superblock().free_blocks, "{name}");
    check(&volume);
    let mut taken: Vec<(Run, Owner)> = Vec::new();
    for step in 0..steps {
        // The first half mostly takes, the second mostly gives.
        let takes = random.next(8) < if step < steps / 2 { 5 } else { 3 };
        if takes || taken.is_empty() {
            let request = request(&volume, &mut random, &taken);
            match volume.allocate_blocks(&request) {
                Ok(run) => {
                    check_run(&volume, &request, run);
                    taken.push((run, request.owner));
                }
                Err(error) => assert!(error.to_string().starts_with("no free blocks"), "{error}"),
            }
        } else {
            give_part(&mut volume, &mut random, &mut taken);
        }
        if step % 128 == 0 {
            check(&volume);
        }
    }
    let held: u64 = taken.iter().map(|(run, _)| u64::from(run.count)).sum();
    assert_eq!(volume.superblock().free_blocks + held, before, "{name} seed {seed}");
    while let Some((run, owner)) = taken.pop() {
        volume.free_blocks(run, &owner).unwrap();
    }
    check_whole(&volume);
    assert_eq!(volume.superblock().free_blocks, before, "{name} seed {seed}");
    testing::assert_silent(&**disk, &format!("{name} seed {seed}"));
}

#[test]
fn what_is_taken_and_given_back_leaves_no_trace() {
    let names = [
        "al2",
        "block-1k",
        "block-1k-rmap",
        "block-64k",
        "default",
        "one-group",
        "parent",
        "rhel10",
        "rhel7",
        "rmap-no-reflink",
        "sector-4k",
    ];
    for (seed, name) in names.into_iter().enumerate() {
        round(&testing::fixture(name), name, seed as u64, 400);
    }
}
