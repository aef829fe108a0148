//! Volumes that lie, volumes that are full, and what a small edit touches.

use super::*;
use crate::fs::xfs::ag::Agfl;
use crate::fs::xfs::btree::{Cntbt, FreeExtent, Refcountbt, ReferenceCount, Rmapbt};
use crate::fs::xfs::space::store::tree;

const AG: AgNumber = AgNumber(1);

fn wanted(near: Near, blocks: u32) -> Request {
    Request { near, min_blocks: blocks, max_blocks: blocks, alignment: 1, owner: Owner::Inodes }
}

fn run(volume: &Volume, block: AgBlock, count: u32) -> Run {
    Run { start: volume.superblock().join(AG, block).unwrap(), count }
}

fn longest(volume: &Volume) -> FreeExtent {
    tree::<Cntbt, _>(volume, AG).last().unwrap().unwrap()
}

/// The message of an allocation in group 1 after `damage`.
fn refusal(name: &str, damage: impl FnOnce(&mut Volume)) -> String {
    let mut volume = open(&testing::fixture(name));
    damage(&mut volume);
    volume.allocate_blocks(&wanted(Near::Group(AG), 1)).unwrap_err().to_string()
}

#[test]
fn free_space_that_lies_is_refused() {
    let message = refusal("al2", |volume| {
        let FreeExtent { start, .. } = longest(volume);
        tree::<Bnobt, _>(volume, AG).remove(&start).unwrap();
    });
    assert!(message.contains("are not in the tree by block"), "{message}");
    let message = refusal("al2", |volume| {
        let mut agf = agf(volume, AG);
        agf.longest_blocks -= 1;
        agf.store(volume).unwrap();
    });
    assert!(message.contains("but the AGF says"), "{message}");
    let message = refusal("rhel10", |volume| {
        let last = longest(volume);
        let owner = ReverseMap::special(AgBlock(last.end() as u32 - 1), 1, OWNER_INODES);
        tree::<Rmapbt, _>(volume, AG).insert(owner).unwrap();
    });
    assert!(message.contains("belongs to 0xfffffffffffffff9 as well"), "{message}");
}

#[test]
fn blocks_of_metadata_that_are_said_to_be_free_are_not_taken() {
    let mut volume = open(&testing::fixture("al2"));
    let agf = agf(&volume, AG);
    let root = agf.by_block.block;
    let listed = Agfl::load(&volume, &agf).unwrap().blocks(agf.free_list).unwrap()[0];
    let log = volume.superblock().split(volume.superblock().log_start).unwrap();
    assert_eq!(log.0, AG, "the fixture has its log there");
    let cases = [(AgBlock(0), "headers"), (root, "root"), (listed, "free list"), (log.1, "log")];
    for (block, what) in cases {
        let one = run(&volume, block, 1);
        let error = volume.free_blocks(one, &Owner::Inodes).unwrap_err().to_string();
        assert!(error.contains("overlap the ") && error.contains(what), "{error}");
        let extent = FreeExtent { start: block, count: 1 };
        let error = volume.take_free(AG, extent, block, 1).unwrap_err().to_string();
        assert!(error.contains("overlap the ") && error.contains(what), "{error}");
    }
}

#[test]
fn nothing_is_given_back_twice_or_by_somebody_else() {
    for name in ["al2", "rhel10"] {
        let mut volume = open(&testing::fixture(name));
        let inode = volume.superblock().root;
        let of = |block| Owner::Fork { inode, kind: ForkKind::Data, file_block: FileBlock(block) };
        let request = Request { owner: of(1 << 30), ..wanted(Near::Group(AG), 4) };
        let taken = volume.allocate_blocks(&request).unwrap();
        if name == "rhel10" {
            for wrong in
                [of(1 << 29), Owner::Inodes, Owner::ForkBtree { inode, kind: ForkKind::Data }]
            {
                let error = volume.free_blocks(taken, &wrong).unwrap_err().to_string();
                assert!(error.contains("does not belong to"), "{error}");
            }
        }
        volume.free_blocks(taken, &of(1 << 30)).unwrap();
        let error = volume.free_blocks(taken, &of(1 << 30)).unwrap_err().to_string();
        let expected = ["in use and free at once", "does not belong to"];
        assert!(expected.iter().any(|expected| error.contains(expected)), "{error}");
    }
}

#[test]
fn shared_metadata_is_refused() {
    let mut volume = open(&testing::fixture("rhel10"));
    let taken = volume.allocate_blocks(&wanted(Near::Group(AG), 1)).unwrap();
    let (_, start) = volume.superblock().split(taken.start).unwrap();
    let record = ReferenceCount { is_cow: false, start, count: 1, references: 2 };
    tree::<Refcountbt, _>(&mut volume, AG).insert(record).unwrap();
    let error = volume.free_blocks(taken, &Owner::Inodes).unwrap_err().to_string();
    assert!(error.contains("is shared"), "{error}");
    assert_eq!(volume.shared_in(taken).unwrap(), [taken]);
}

#[test]
fn a_volume_can_be_filled_up_and_emptied() {
    for name in ["one-group", "block-1k-rmap", "al2"] {
        let disk = testing::fixture(name);
        let mut volume = open(&disk);
        let before = volume.superblock().free_blocks;
        let mut taken = Vec::new();
        for blocks in [1024, 64, 5, 1] {
            let error = loop {
                match volume.allocate_blocks(&wanted(Near::Group(AgNumber(0)), blocks)) {
                    Ok(run) => taken.push(run),
                    Err(error) => break error.to_string(),
                }
            };
            let size = volume.superblock().block_size_bytes;
            let expected = format!(
                "no free blocks of {size} bytes that lie next to each other: {blocks} needed, "
            );
            assert!(error.starts_with(&expected), "{error}");
            check(&volume);
        }
        let left = volume.superblock().free_blocks;
        assert!(left < before / 8, "{name}: {left} of {before} blocks are left");
        for run in taken {
            volume.free_blocks(run, &Owner::Inodes).unwrap();
        }
        check_whole(&volume);
        assert_eq!(volume.superblock().free_blocks, before);
        testing::assert_silent(&*disk, name);
    }
}

#[test]
fn one_block_touches_one_leaf_of_each_tree() {
    let cases: [(&str, &[&str]); 2] =
        [("al2", &["by block", "by size"]), ("rhel10", &["by block", "by size", "reverse map"])];
    for (name, trees) in cases {
        let disk = testing::fixture(name);
        let mut volume = open(&disk);
        volume.allocate_blocks(&wanted(Near::Group(AG), 1)).unwrap();
        let mut labels: Vec<String> =
            disk.changes().unwrap().into_iter().flat_map(|change| change.labels).collect();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), 2 + trees.len(), "{name}: {labels:?}");
        for what in trees.iter().chain(&["AGF", "superblock"]) {
            assert!(labels.iter().any(|label| label.contains(what)), "{name}: {labels:?}");
        }
    }
}

#[test]
fn a_tree_outside_its_group_is_not_read() {
    let volume = open(&testing::fixture("rhel10"));
    let agf = agf(&volume, AG);
    assert!(agf.reverse_map.is_some() && agf.reference_counts.is_some());
    let shape = store::shape(&volume, AG);
    assert_eq!(shape.owner, 1);
    let beyond = volume.superblock().ag_length(AG).unwrap();
    let outside = run(&volume, AgBlock(beyond - 1), 2);
    assert!(volume.shared_in(outside).is_err());
}
