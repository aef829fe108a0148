//! Blocks of real files: shared ones, unwritten ones, and those that nobody has in the end.

use super::*;
use crate::fs::NodeKind;
use crate::fs::xfs::btree::Extent;
use crate::fs::xfs::inode::{ForkFormat, Inode};
use crate::fs::xfs::testing::RepairVerdict;
use crate::fs::xfs::units::AgInode;

const HAS_SHARED: u64 = 0x2;

/// Files whose extents are a list, with what suits of them.
fn files(volume: &Volume, suits: impl Fn(&Inode, &[Extent]) -> bool) -> Vec<(Inode, Vec<Extent>)> {
    let mut found = Vec::new();
    let superblock = volume.superblock();
    let log = superblock.inodes_per_block_log;
    let numbers = groups(volume).flat_map(|ag| {
        let count = superblock.ag_length(ag).unwrap() << log;
        (0..count).map(move |inode| superblock.join_inode(ag, AgInode(inode)).unwrap())
    });
    for number in numbers {
        let Ok(inode) = volume.load_inode(number) else { continue };
        let is_listed = inode.link_count() > 0
            && inode.kind().is_ok_and(|kind| kind == NodeKind::File)
            && inode.format(ForkKind::Data).is_ok_and(|format| format == ForkFormat::Extents);
        if !is_listed {
            continue;
        }
        let mut extents = Vec::new();
        let collected = volume.visit_extents(&inode, ForkKind::Data, &mut |extent| {
            extents.push(extent);
            Ok(ControlFlow::Continue(()))
        });
        if collected.is_ok() && suits(&inode, &extents) {
            found.push((inode, extents));
        }
    }
    found
}

fn of(inode: &Inode, extent: &Extent) -> (Run, Owner) {
    let owner =
        Owner::Fork { inode: inode.number, kind: ForkKind::Data, file_block: extent.file_block };
    (Run { start: extent.start, count: extent.count }, owner)
}

/// Gives back all blocks of a file, piece by piece, and leaves it empty.
fn empty(volume: &mut Volume, inode: &mut Inode, extents: &[Extent], piece: u32) {
    let mut blocks = inode.block_count();
    for extent in extents {
        let (run, owner) = of(inode, extent);
        let mut from = 0;
        while from < run.count {
            let count = piece.min(run.count - from);
            let Owner::Fork { inode, kind, file_block } = owner else { panic!("no file") };
            let file_block = FileBlock(file_block.0 + u64::from(from));
            let part = Run { start: FsBlock(run.start.0 + u64::from(from)), count };
            volume.free_blocks(part, &Owner::Fork { inode, kind, file_block }).unwrap();
            from += count;
        }
        blocks -= u64::from(extent.count);
    }
    inode.set_block_count(blocks).unwrap();
    inode.set_extent_count(ForkKind::Data, 0).unwrap();
    inode.set_size_bytes(0).unwrap();
    inode.put_fork(ForkKind::Data, &[]).unwrap();
    volume.store_inode(inode).unwrap();
}

#[test]
fn files_that_share_blocks_can_be_emptied_in_any_order() {
    for (name, piece) in [("default", 1000), ("rhel10", 3), ("block-1k-rmap", 1), ("parent", 7)] {
        let disk = testing::fixture(name);
        let mut volume = open(&disk);
        let mut shared = files(&volume, |inode, _| inode.has_flag2(HAS_SHARED));
        assert!(shared.len() >= 3, "{name}: {} files", shared.len());
        shared.rotate_left(1);
        for (inode, extents) in &mut shared {
            empty(&mut volume, inode, extents, piece);
            check(&volume);
            testing::assert_silent(&*disk, &format!("{name} without {}", inode.number));
            for extent in extents {
                let (run, _) = of(inode, extent);
                let covered = |runs: Vec<Run>| runs.iter().map(|run| run.count).sum::<u32>();
                let shared = volume.shared_in(run).unwrap();
                assert!(covered(shared) + covered(free_in(&volume, run)) <= run.count);
            }
        }
    }
}

#[test]
fn extents_are_recorded_as_written_and_not() {
    for name in ["rhel10", "block-1k-rmap", "default"] {
        let disk = testing::fixture(name);
        let mut volume = open(&disk);
        let unwritten = |_: &Inode, extents: &[Extent]| extents.iter().any(|one| one.is_unwritten);
        let files = files(&volume, unwritten);
        assert!(!files.is_empty(), "{name}");
        for (mut inode, extents) in files {
            let before = inode.fork(ForkKind::Data).to_vec();
            for is_unwritten in [false, true] {
                let mut fork = before.clone();
                for (index, extent) in extents.iter().enumerate().filter(|one| one.1.is_unwritten) {
                    let (run, owner) = of(&inode, extent);
                    volume.set_unwritten(run, &owner, is_unwritten).unwrap();
                    // The flag is the first bit of the record.
                    fork[index * 16] =
                        if is_unwritten { 0x80 } else { 0 } | (fork[index * 16] & 0x7f);
                }
                inode.put_fork(ForkKind::Data, &fork).unwrap();
                volume.store_inode(&mut inode).unwrap();
                check(&volume);
                testing::assert_silent(&*disk, &format!("{name}: {} {is_unwritten}", inode.number));
            }
        }
    }
}

#[test]
fn blocks_that_nobody_has_are_a_leak_and_nothing_else() {
    for name in ["al2", "rhel10"] {
        let disk = testing::fixture(name);
        let mut volume = open(&disk);
        let owner = Owner::Inodes;
        let near = Near::Group(AgNumber(1));
        let request = Request { near, min_blocks: 3, max_blocks: 3, alignment: 1, owner };
        let run = volume.allocate_blocks(&request).unwrap();
        check(&volume);
        // Only the reverse map lets the checker miss an owner.
        let missing = "unknown block state, ag 1, blocks 4093-4095".to_owned();
        let expected = match name {
            "al2" => RepairVerdict::Silent,
            _ => RepairVerdict::Findings(vec![missing]),
        };
        assert_eq!(testing::repair(&*disk), expected, "{name}: {run:?}");
    }
}
