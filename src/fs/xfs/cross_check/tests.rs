use super::*;
use crate::disk::Disk;
use crate::fs::Timestamp;
use crate::fs::xfs::btree::{NodeSource, NodeStore, Pointer, Root, Shape};
use crate::fs::xfs::testing::{RepairVerdict, fixture, repair};
use crate::fs::xfs::units::{AgBlock, FsBlock};
use std::sync::Arc;

fn open(name: &str) -> Volume {
    Volume::open(fixture(name), Timestamp { seconds: 0, nanoseconds: 0 }).unwrap()
}

fn check_all(volume: &Volume) -> u64 {
    let groups = (0..volume.superblock().ag_count).map(AgNumber);
    let counts = groups.map(|ag| match cross_check(volume, ag).unwrap() {
        CrossCheck::Complete { records } => records,
        other => panic!("{ag}: {other:?}"),
    });
    counts.sum()
}

#[test]
fn volumes_of_the_kernel_agree_with_themselves() {
    for name in [
        "default",
        "rhel7",
        "al2",
        "rhel8",
        "rhel10",
        "parent",
        "block-1k-rmap",
        "block-16k",
        "block-64k",
        "sector-4k",
        "inode-2k",
        "no-sparse",
        "rmap-no-reflink",
        "no-inobtcount",
        "changed-uuid",
        "parent-1k",
        "v4",
        "v4-512",
    ] {
        assert!(check_all(&open(name)) > 6, "{name}");
    }
}

/// A tree of a group whose leaves can be changed as long as that takes no block.
struct Leaves<'v> {
    source: GroupSource<'v>,
    volume: &'v Volume,
    ag: AgNumber,
}

impl NodeSource for Leaves<'_> {
    fn shape(&self) -> Shape {
        self.source.shape()
    }
    fn root(&self) -> Result<Root> {
        self.source.root()
    }
    fn daddr(&self, at: Pointer) -> Result<u64> {
        self.source.daddr(at)
    }
    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        self.source.read(at)
    }
}

impl NodeStore for Leaves<'_> {
    fn set_root(&mut self, _: Root) -> Result<()> {
        panic!("the root stays");
    }
    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        let block = AgBlock(u32::try_from(at.0).unwrap());
        let block: FsBlock = self.volume.superblock().join(self.ag, block)?;
        self.volume.write_blocks(block, bytes, "leaf")
    }
    fn allocate(&mut self, _: Pointer) -> Result<Pointer> {
        panic!("no block is needed");
    }
    fn free(&mut self, _: Pointer) -> Result<()> {
        panic!("no block is given back");
    }
}

const AG: AgNumber = AgNumber(0);

fn leaves<K: TreeKind>(volume: &Volume, root: TreeRoot) -> Tree<K, Leaves<'_>> {
    let source = GroupSource::new(volume, AG, root).unwrap();
    Tree::new(Leaves { source, volume, ag: AG })
}

/// What the check says after `damage`; xfs_repair must find something as well.
fn defect_after(name: &str, damage: impl FnOnce(&Volume, Agf, Agi)) -> CrossDefect {
    let disk = fixture(name);
    let volume = Volume::open(disk.clone(), Timestamp { seconds: 0, nanoseconds: 0 }).unwrap();
    let (agf, agi) = (Agf::load(&volume, AG).unwrap(), Agi::load(&volume, AG).unwrap());
    damage(&volume, agf, agi);
    let disk: Arc<dyn Disk> = disk;
    assert!(matches!(repair(&*disk), RepairVerdict::Findings(_)), "xfs_repair agrees");
    let error = cross_check(&volume, AG).unwrap_err();
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
    corrupt.defect.downcast_ref::<CrossDefect>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn the_agf_must_count_what_there_is() {
    let defect = defect_after("default", |volume, mut agf, _| {
        agf.free_blocks += 1;
        agf.store(volume).unwrap();
    });
    assert!(matches!(defect, CrossDefect::Count { what: "free blocks", stored, found }
        if stored == found + 1));
    let defect = defect_after("default", |volume, mut agf, _| {
        agf.longest_blocks -= 1;
        agf.store(volume).unwrap();
    });
    let what = "blocks of the longest free extent";
    assert!(matches!(defect, CrossDefect::Count { what: w, .. } if w == what));
    let defect = defect_after("default", |volume, mut agf, _| {
        agf.tree_blocks += 1;
        agf.store(volume).unwrap();
    });
    let what = "blocks of bnobt, cntbt and rmapbt";
    assert!(matches!(defect, CrossDefect::Count { what: w, .. } if w == what));
}

#[test]
fn both_trees_of_free_space_must_have_the_same_extents() {
    let mut expected = None;
    let defect = defect_after("default", |volume, agf, _| {
        let mut tree = leaves::<Cntbt>(volume, agf.by_size);
        let first = tree.first().unwrap().unwrap();
        tree.remove(&Cntbt::key(&first)).unwrap();
        expected = Some(Run::of(first.start, first.count));
    });
    assert_eq!(Some(defect), expected.map(CrossDefect::FreeInOne));
}

#[test]
fn inode_trees_must_agree_with_each_other_and_the_agi() {
    let defect = defect_after("default", |volume, _, agi| {
        let mut tree = leaves::<Finobt>(volume, agi.free_inodes.unwrap());
        let last = tree.last().unwrap().unwrap();
        let free = last.free & (last.free - 1);
        let free_count = last.free_count - 1;
        tree.replace(&last.start, InodeChunk { free_count, free, ..last }).unwrap();
    });
    assert!(matches!(defect, CrossDefect::Chunk(_)));
    let defect = defect_after("default", |volume, _, mut agi| {
        agi.inode_count += 64;
        agi.store(volume).unwrap();
    });
    assert!(matches!(defect, CrossDefect::Count { what: "inodes", .. }));
}

#[test]
fn every_block_must_have_an_owner_or_be_free() {
    let change = |change: fn(ReverseMap) -> ReverseMap| {
        defect_after("rmap-no-reflink", |volume, agf, _| {
            let mut tree = leaves::<Rmapbt>(volume, agf.reverse_map.unwrap());
            let mut found = None;
            tree.visit_all(|record| {
                let is_plain = record.is_of_inode() && record.count > 3;
                found = Some(record).filter(|_| is_plain);
                Ok(if is_plain {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                })
            })
            .unwrap();
            let found = found.unwrap();
            tree.replace(&Rmapbt::key(&found), change(found)).unwrap();
        })
    };
    let defect = change(|record| ReverseMap { count: record.count - 1, ..record });
    assert!(matches!(defect, CrossDefect::Lost(run) if run.count() == 1), "{defect:?}");
    let defect = change(|record| ReverseMap { count: record.count + 1, ..record });
    let is_twice = matches!(defect, CrossDefect::OwnedTwice(_) | CrossDefect::FreeAndOwned(_));
    assert!(is_twice, "{defect:?}");
    let special = |record: ReverseMap| {
        ReverseMap::special(record.start, record.count, crate::fs::xfs::btree::OWNER_INODES)
    };
    let defect = change(special);
    assert!(matches!(defect, CrossDefect::Owner { what: "inode chunks", .. }), "{defect:?}");
}

#[test]
fn references_must_be_those_of_the_owners() {
    let defect = defect_after("rhel10", |volume, agf, _| {
        let mut tree = leaves::<Refcountbt>(volume, agf.reference_counts.unwrap());
        let first = tree.first().unwrap().unwrap();
        let more = ReferenceCount { references: first.references + 1, ..first };
        tree.replace(&Refcountbt::key(&first), more).unwrap();
    });
    assert!(matches!(defect, CrossDefect::References { what: "shared blocks", .. }), "{defect:?}");
}

#[test]
fn large_trees_are_left_out() {
    let volume = open("rhel10");
    let within = |records_max| cross_check_up_to(&volume, AG, records_max).unwrap();
    let CrossCheck::Complete { records: all } = within(10_000) else { panic!("complete") };
    assert_eq!(within(1), CrossCheck::TooLarge);
    let CrossCheck::WithoutOwners { records } = within(all / 4) else { panic!("partial") };
    assert!(0 < records && records < all);
}

#[test]
fn runs_are_joined_and_compared() {
    let run = |start, end| Run { start, end };
    assert_eq!(join([run(1, 3), run(3, 4), run(6, 9), run(7, 8)]), [run(1, 4), run(6, 9)]);
    assert_eq!(difference(&[run(1, 2)], &[run(1, 2)]), None);
    assert_eq!(difference(&[], &[run(1, 2)]), Some((Runs(None), Runs(Some(run(1, 2))))));
}
