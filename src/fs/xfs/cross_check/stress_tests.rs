//! Random edits of files on fragmented volumes with trees of several levels; after some of them the groups must agree
//! with themselves, and xfs_repair must have nothing to say.

use super::*;
use crate::disk::overlay::Overlay;
use crate::fs::xfs::inode::ForkKind;
use crate::fs::xfs::inode::Inode;
use crate::fs::xfs::testing::{assert_silent, fixture};
use crate::fs::xfs::units::{AgInode, InodeNumber};
use crate::fs::{NodeKind, Timestamp};
use std::sync::Arc;

/// A small generator; the seed of a failure is in its message.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// The regular files of a volume, those with the most extents first.
fn files(volume: &Volume) -> Vec<InodeNumber> {
    let mut found = Vec::new();
    for ag in (0..volume.superblock().ag_count).map(AgNumber) {
        let root = Agi::load(volume, ag).unwrap().inodes;
        let tree = Tree::<Inobt, _>::new(GroupSource::new(volume, ag, root).unwrap());
        let visit = |chunk: InodeChunk| {
            for bit in (0..64).filter(|bit| chunk.free >> bit & 1 == 0) {
                let number = AgInode(chunk.start.0 + bit);
                let number = volume.superblock().join_inode(ag, number).unwrap();
                let inode = volume.load_inode(number).unwrap();
                if inode.kind().unwrap() == NodeKind::File && !is_internal(volume, number) {
                    found.push((inode.extent_count(ForkKind::Data), number));
                }
            }
            Ok(())
        };
        tree.check(RECORDS_MAX, visit).unwrap();
    }
    found.sort_unstable_by_key(|(count, number)| (std::cmp::Reverse(*count), *number));
    found.into_iter().map(|(_, number)| number).take(40).collect()
}

fn is_internal(volume: &Volume, number: InodeNumber) -> bool {
    let superblock = volume.superblock();
    superblock.realtime_inodes.contains(&number) || superblock.quota_inodes.contains(&number)
}

fn edit(volume: &mut Volume, inode: &mut Inode, random: &mut Random) -> Result<()> {
    let size = inode.size_bytes().min(1 << 27);
    let at = random.below(size + 100_000);
    match random.below(10) {
        0 => volume.cut_content(inode, at, "file"),
        1..=3 => {
            let block = volume.superblock().block_size();
            let bytes =
                vec![b'a' + u8::try_from(at % 26).unwrap(); 1 + usize::try_from(at).unwrap() % 90];
            volume.write_content(inode, at / block * block, &bytes, "file")
        }
        _ => {
            let len = 1 + usize::try_from(random.below(9000)).unwrap();
            let bytes = vec![b'A' + u8::try_from(at % 26).unwrap(); len];
            volume.write_content(inode, at, &bytes, "file")?;
            assert_eq!(volume.read_content(inode, at, len)?, bytes);
            Ok(())
        }
    }
}

/// Makes `count` edits; how many the volume had room for.
fn random_edits(disk: &Arc<Overlay>, name: &str, seed: u64, count: usize) -> usize {
    let clock = Timestamp { seconds: 1_800_000_000, nanoseconds: 5 };
    let mut volume = Volume::open(disk.clone(), clock).unwrap();
    let (files, mut random) = (files(&volume), Random(seed | 1));
    let mut done = 0;
    for round in 0..count {
        // Half of the edits go to the four largest.
        let limit = if round.is_multiple_of(2) { 4 } else { files.len() as u64 };
        let number = files[usize::try_from(random.below(limit)).unwrap() % files.len()];
        let mut inode = volume.load_inode(number).unwrap();
        match edit(&mut volume, &mut inode, &mut random) {
            Ok(()) => {
                volume.store_inode(&mut inode).unwrap();
                done += 1;
            }
            // The caller of a refused edit drops the overlay, so nothing can follow it.
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{name} {seed}: {error}");
                return done;
            }
        }
        if round % 25 == 24 {
            for ag in (0..volume.superblock().ag_count).map(AgNumber) {
                if let Err(error) = cross_check(&volume, ag) {
                    panic!("{name}, seed {seed}, edit {round}: {error}");
                }
            }
        }
        if round % 100 == 99 {
            assert_silent(&**disk, &format!("{name}, seed {seed}, edit {round}"));
        }
    }
    done
}

/// Edits volumes of the kernel; at least `done_min` must have had room.
fn edits_of(names: &[&str], count: usize, done_min: usize) {
    for (name, seed) in names.iter().zip(1..) {
        let done = random_edits(&fixture(name), name, seed * 7919, count);
        assert!(done >= done_min, "{name}: {done} edits");
    }
}

#[test]
fn random_edits_of_files_leave_groups_that_agree() {
    edits_of(&["rhel10", "block-1k-rmap", "parent-1k"], 100, 50);
}

#[test]
fn random_edits_of_files_leave_groups_that_agree_without_an_rmapbt() {
    edits_of(&["rhel7", "default", "block-1k"], 100, 50);
}

#[test]
fn random_edits_of_files_leave_groups_that_agree_in_scattered_space() {
    edits_of(&["scattered", "scattered-1k"], 100, 10);
}

/// Takes inodes until the AGI says what `until` wants.
fn take_inodes(volume: &mut Volume, until: impl Fn(&Agi) -> bool) -> Vec<InodeNumber> {
    let root = volume.superblock().root;
    let mut taken = Vec::new();
    while !until(&Agi::load(volume, AgNumber(0)).unwrap()) {
        let mut inode = volume.allocate_inode(root, NodeKind::File).unwrap();
        volume.store_inode(&mut inode).unwrap();
        taken.push(inode.number);
        assert!(taken.len() < 10_000);
    }
    cross_check(volume, AgNumber(0)).unwrap();
    taken
}

/// Gives back inodes in another order.
fn give_back_inodes(volume: &mut Volume, mut taken: Vec<InodeNumber>, random: &mut Random) {
    while !taken.is_empty() {
        let at = usize::try_from(random.below(taken.len() as u64)).unwrap();
        let mut inode = volume.load_inode(taken.swap_remove(at)).unwrap();
        volume.free_inode(&mut inode).unwrap();
        if taken.len().is_multiple_of(500) {
            cross_check(volume, AgNumber(0)).unwrap();
        }
    }
}

/// Chunks stay when they are empty, so the tree of all chunks grows, and the tree of those with free inodes grows,
/// shrinks and grows again.
#[test]
fn inode_trees_that_grew_and_shrank_agree() {
    let disk = fixture("block-1k-rmap");
    let clock = Timestamp { seconds: 1_800_000_000, nanoseconds: 5 };
    let mut volume = Volume::open(disk.clone(), clock).unwrap();
    let mut random = Random(4711);
    let free_levels = |agi: &Agi| agi.free_inodes.unwrap().levels;
    let load = |volume: &Volume| Agi::load(volume, AgNumber(0)).unwrap();

    let taken = take_inodes(&mut volume, |agi| agi.inodes.levels == 2);
    assert_eq!(free_levels(&load(&volume)), 1);
    give_back_inodes(&mut volume, taken, &mut random);
    assert_eq!(free_levels(&load(&volume)), 2);
    let taken = take_inodes(&mut volume, |agi| free_levels(agi) == 1);
    give_back_inodes(&mut volume, taken, &mut random);
    assert_silent(&*disk, "all inodes were given back");
}
