//! Trees that the kernel and mkfs.xfs made, compared record by record with what `xfs_db` prints.

use super::*;
use crate::disk::Disk;
use crate::error::Result;
use crate::fs::Timestamp;
use crate::fs::xfs::ag::{Agf, Agi, TreeRoot};
use crate::fs::xfs::inode::{ForkFormat, ForkKind, Inode};
use crate::fs::xfs::testing::{Copy, base, fixture, tools};
use crate::fs::xfs::units::{AgInode, AgNumber, FsBlock, InodeNumber};
use crate::fs::xfs::volume::Volume;

/// How many blocks a tree of a fixture may have.
const BLOCKS_MAX: u64 = 10_000;

fn open(name: &str) -> Volume {
    Volume::open(fixture(name), Timestamp { seconds: 0, nanoseconds: 0 }).unwrap()
}

/// The records of the leaves in the output of `btdump`.
fn dumped(text: &str) -> Vec<String> {
    let mut is_leaf = false;
    let mut records = Vec::new();
    for line in text.lines() {
        if line.contains(" level ") {
            is_leaf = line.contains(" level 0 ");
        }
        let record = line.split_once(":[").filter(|(number, _)| number.parse::<u32>().is_ok());
        if let (true, Some((_, record))) = (is_leaf, record) {
            records.push(record.trim_end_matches([']', ' ']).to_owned());
        }
    }
    records
}

/// Checks the whole tree and formats its records as `xfs_db` does.
fn checked<K: TreeKind, S: NodeSource>(
    tree: &Tree<K, S>,
    format: impl Fn(&K::Record) -> String,
) -> (Summary, Vec<String>) {
    let mut records = Vec::new();
    let visit = |record| {
        records.push(format(&record));
        Ok(())
    };
    let summary = tree.check(BLOCKS_MAX, visit).unwrap_or_else(|error| panic!("{error}"));
    (summary, records)
}

fn free_extent(record: FreeExtent) -> String {
    format!("{},{}", record.start, record.count)
}

fn reverse_map(record: &ReverseMap) -> String {
    let ReverseMap { start, count, offset, .. } = record;
    let owner = record.owner.cast_signed();
    let flags = [record.is_unwritten, record.is_attribute_fork, record.is_bmbt].map(u8::from);
    let [unwritten, attribute, bmbt] = flags;
    format!("{start},{count},{owner},{offset},{unwritten},{attribute},{bmbt}")
}

fn reference_count(record: &ReferenceCount) -> String {
    let ReferenceCount { start, count, references, is_cow } = record;
    format!("{start},{count},{references},{}", u8::from(*is_cow))
}

fn inode_chunk(record: &InodeChunk, is_sparse: bool) -> String {
    let hex = |value: u64| if value == 0 { "0".to_owned() } else { format!("{value:#x}") };
    let InodeChunk { start, count, free_count, .. } = record;
    let sparse = format!("{},{count},", hex(record.holes.into()));
    format!("{start},{}{free_count},{}", if is_sparse { &sparse } else { "" }, hex(record.free))
}

fn extent(record: &Extent) -> String {
    let Extent { file_block, start, count, is_unwritten } = record;
    format!("{file_block},{start},{count},{}", u8::from(*is_unwritten))
}

fn tree<K: TreeKind>(volume: &Volume, ag: AgNumber, root: TreeRoot) -> Tree<K, GroupSource<'_>> {
    Tree::new(GroupSource::new(volume, ag, root).unwrap())
}

/// Compares one tree; the number of its levels.
fn compare(image: &Copy, to_root: &[&str], ours: (Summary, Vec<String>)) -> u32 {
    let (summary, ours) = ours;
    let text = tools::db(&image.path, &[to_root, &["btdump"]].concat());
    assert_eq!(ours, dumped(&text), "{to_root:?}");
    summary.levels
}

fn compare_group(volume: &Volume, image: &Copy, ag: AgNumber) -> u32 {
    let (agf, agi) = (Agf::load(volume, ag).unwrap(), Agi::load(volume, ag).unwrap());
    let (to_agf, to_agi) = (format!("agf {}", ag.0), format!("agi {}", ag.0));
    let is_sparse = matches!(
        Shape::of_group(volume.superblock(), ag).unwrap().bounds,
        Bounds::AllocationGroup { has_sparse_inodes: true, .. }
    );
    let mut levels = vec![
        compare(
            image,
            &[&to_agf, "addr bnoroot"],
            checked(&tree::<Bnobt>(volume, ag, agf.by_block), |r| free_extent(*r)),
        ),
        compare(
            image,
            &[&to_agf, "addr cntroot"],
            checked(&tree::<Cntbt>(volume, ag, agf.by_size), |r| free_extent(*r)),
        ),
        compare(
            image,
            &[&to_agi, "addr root"],
            checked(&tree::<Inobt>(volume, ag, agi.inodes), |r| inode_chunk(r, is_sparse)),
        ),
    ];
    if let Some(root) = agi.free_inodes {
        let ours = checked(&tree::<Finobt>(volume, ag, root), |r| inode_chunk(r, is_sparse));
        levels.push(compare(image, &[&to_agi, "addr free_root"], ours));
    }
    if let Some(root) = agf.reverse_map {
        let ours = checked(&tree::<Rmapbt>(volume, ag, root), reverse_map);
        assert_eq!(ours.0.blocks, u64::from(agf.reverse_map_blocks));
        levels.push(compare(image, &[&to_agf, "addr rmaproot"], ours));
    }
    if let Some(root) = agf.reference_counts {
        let ours = checked(&tree::<Refcountbt>(volume, ag, root), reference_count);
        assert_eq!(ours.0.blocks, u64::from(agf.reference_count_blocks));
        levels.push(compare(image, &[&to_agf, "addr refcntroot"], ours));
    }
    levels.into_iter().max().unwrap_or(0)
}

/// The tree in a fork of an inode.
struct ForkSource<'v> {
    volume: &'v Volume,
    inode: Inode,
    fork: ForkKind,
}

impl NodeSource for ForkSource<'_> {
    fn shape(&self) -> Shape {
        Shape::of_fork(self.volume.superblock(), self.inode.number, false).unwrap()
    }
    fn root(&self) -> Result<Root> {
        Ok(Root::Inode(self.inode.fork(self.fork).to_vec()))
    }
    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.volume.superblock().daddr(FsBlock(at.0))
    }
    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.volume.read_blocks(FsBlock(at.0), 1)
    }
}

/// The inodes of a group whose data fork is a tree.
fn inodes_with_trees(volume: &Volume, ag: AgNumber) -> Vec<InodeNumber> {
    let agi = Agi::load(volume, ag).unwrap();
    let mut found = Vec::new();
    let mut visit = |chunk: InodeChunk| {
        for bit in (0..64).filter(|bit| chunk.free >> bit & 1 == 0) {
            let number = AgInode(chunk.start.0 + bit);
            let number = volume.superblock().join_inode(ag, number).unwrap();
            let inode = volume.load_inode(number).unwrap();
            if inode.format(ForkKind::Data).unwrap() == ForkFormat::Btree {
                found.push(number);
            }
        }
        Ok(())
    };
    tree::<Inobt>(volume, ag, agi.inodes).check(BLOCKS_MAX, &mut visit).unwrap();
    found
}

fn compare_forks(volume: &Volume, image: &Copy, ag: AgNumber) -> (usize, u32) {
    let (mut count, mut levels) = (0, 0);
    for number in inodes_with_trees(volume, ag) {
        let inode = volume.load_inode(number).unwrap();
        let source = ForkSource { volume, inode, fork: ForkKind::Data };
        let ours = checked(&Tree::<Bmbt, _>::new(source), extent);
        levels = levels.max(compare(image, &[&format!("inode {}", number.0)], ours));
        count += 1;
    }
    (count, levels)
}

/// Every tree of these fixtures is read as `xfs_db` reads it.
fn compare_fixtures(names: &[&str], levels_min: u32, forks_min: usize) {
    let (mut deepest, mut forks) = (0, 0);
    for name in names {
        let volume = open(name);
        let image = Copy::of(&*base(name) as &dyn Disk);
        for ag in (0..volume.superblock().ag_count).map(AgNumber) {
            let (count, levels) = compare_forks(&volume, &image, ag);
            deepest = deepest.max(levels).max(compare_group(&volume, &image, ag));
            forks += count;
        }
    }
    assert!(deepest >= levels_min, "{deepest} levels");
    assert!(forks >= forks_min, "{forks} forks");
}

#[test]
fn trees_of_common_volumes_are_read_as_xfs_db_reads_them() {
    compare_fixtures(&["default", "rhel7", "al2", "rhel8", "rhel10", "parent"], 2, 5);
}

#[test]
fn trees_with_other_blocks_are_read_as_xfs_db_reads_them() {
    compare_fixtures(&["block-1k-rmap", "block-16k", "sector-4k", "inode-2k", "parent-1k"], 3, 3);
}

#[test]
fn trees_of_unusual_volumes_are_read_as_xfs_db_reads_them() {
    compare_fixtures(&["rmap-no-reflink", "changed-uuid", "no-sparse", "no-inobtcount"], 2, 2);
}

#[test]
fn trees_without_checksums_are_read_as_xfs_db_reads_them() {
    compare_fixtures(&["v4", "v4-512", "v4-finobt-inode-1k"], 2, 1);
}
