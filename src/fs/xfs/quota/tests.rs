//! A volume with quotas, made here: the kernel of the tests need not have them. `xfs_repair` counts for itself.

use super::*;
use crate::bytes::field::{put_be_u16, put_be_u32};
use crate::disk::overlay::Overlay;
use crate::disk::{Disk as _, DiskEdit as _};
use crate::fs::xfs::Xfs;
use crate::fs::xfs::checksum;
use crate::fs::xfs::testing::{self, RepairVerdict};
use crate::fs::xfs::units::{AgInode, FsBlock};
use crate::fs::xfs::{ag::Agi, units::AgNumber};
use crate::fs::{FileEdit as _, FileSystem as _, MetadataChange, NewNode, NodeKind, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ids below this have a dquot.
const IDS: u32 = 1200;

fn open(disk: &Arc<Overlay>) -> Volume {
    Volume::open(disk.clone(), Timestamp { seconds: 0, nanoseconds: 0 }).unwrap()
}

/// All inodes in use, but for the quota files.
fn inodes(volume: &Volume) -> Vec<Inode> {
    let superblock = volume.superblock();
    let mut inodes = Vec::new();
    for ag in (0..superblock.ag_count).map(AgNumber) {
        if Agi::load(volume, ag).unwrap().inode_count == 0 {
            continue;
        }
        let count = superblock.ag_length(ag).unwrap() << superblock.inodes_per_block_log;
        for inode in 0..count {
            let number = superblock.join_inode(ag, AgInode(inode)).unwrap();
            let Ok(inode) = volume.load_inode(number) else { continue };
            if !superblock.quota_inodes.contains(&number)
                && volume.is_allocated(number).is_ok_and(|is| is)
            {
                inodes.push(inode);
            }
        }
    }
    inodes
}

/// A file with all dquots of one kind, as the kernel lays them out; gives its inode.
fn quota_file(volume: &mut Volume, kind: QuotaKind, counts: &BTreeMap<u32, (u64, u64)>) -> Inode {
    let root = volume.superblock().root;
    let mut inode = volume.allocate_inode(root, NodeKind::File).unwrap();
    let block_size = volume.superblock().block_size() as usize;
    let in_block = block_size / DQUOT_BYTES;
    let blocks = (IDS as usize).div_ceil(in_block);
    let mut content = vec![0; blocks * block_size];
    for id in 0..blocks * in_block {
        let at = id / in_block * block_size + id % in_block * DQUOT_BYTES;
        let dquot = &mut content[at..at + DQUOT_BYTES];
        put_be_u16(dquot, 0, 0x4451).unwrap();
        put(dquot, 2, &[1, kind.dquot_type()]).unwrap();
        put_be_u32(dquot, 4, id as u32).unwrap();
        let (blocks, inodes) = counts.get(&(id as u32)).copied().unwrap_or_default();
        crate::bytes::field::put_be_u64(dquot, 40, blocks).unwrap();
        crate::bytes::field::put_be_u64(dquot, 48, inodes).unwrap();
        put(dquot, 120, &volume.superblock().meta_uuid.0).unwrap();
        checksum::seal(dquot, 108).unwrap();
    }
    volume.write_content(&mut inode, 0, &content, "quota").unwrap();
    inode.set_size_bytes(0).unwrap();
    volume.store_inode(&mut inode).unwrap();
    inode
}

/// The fixture `name` with all three quotas switched on and counted.
pub(in crate::fs::xfs) fn with_quotas(name: &str) -> (Arc<Overlay>, Volume) {
    let disk = testing::fixture(name);
    let mut volume = open(&disk);
    let mut numbers = Vec::new();
    let charges: Vec<Charge> = inodes(&volume).iter().map(Charge::of).collect();
    for kind in KINDS {
        let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for charge in &charges {
            let count = counts.entry(charge.payer(kind)).or_default();
            *count = (count.0 + charge.blocks, count.1 + 1);
        }
        numbers.push(quota_file(&mut volume, kind, &counts).number);
    }
    let mut sector = disk.read_vec(0, volume.superblock().sector_size_bytes as usize).unwrap();
    put_be_u16(&mut sector, 100, volume.superblock().features.version | VERSION_HAS_QUOTA).unwrap();
    put_be_u16(&mut sector, 176, KINDS.iter().fold(0, |all, kind| all | kind.flags())).unwrap();
    for (at, number) in [160, 168, 232].into_iter().zip(numbers) {
        crate::bytes::field::put_be_u64(&mut sector, at, number.0).unwrap();
    }
    checksum::seal(&mut sector, 224).unwrap();
    disk.write_at(0, &sector, "superblock").unwrap();
    volume.reload_superblock().unwrap();
    (disk, volume)
}

/// Where the dquot of `id` lies: its block, its offset inside, and its bytes.
pub(in crate::fs::xfs) fn dquot_of(
    volume: &Volume,
    kind: QuotaKind,
    id: u32,
) -> (FsBlock, usize, Vec<u8>) {
    let file = volume.load_inode(volume.superblock().quota_inodes[kind.index()]).unwrap();
    let in_block = volume.superblock().block_size() as u32 / DQUOT_BYTES as u32;
    let file_block = FileBlock(u64::from(id / in_block));
    let extent = volume.find_extent(&file, ForkKind::Data, file_block).unwrap().unwrap();
    let block = extent.block_at(file_block).unwrap();
    let at = (id % in_block) as usize * DQUOT_BYTES;
    let bytes = volume.read_blocks(block, 1).unwrap()[at..at + DQUOT_BYTES].to_vec();
    (block, at, bytes)
}

/// Changes an inode and expects the checker to miss that in the quotas of `kind` until it is counted.
fn change(
    disk: &Overlay,
    volume: &mut Volume,
    kind: QuotaKind,
    edit: impl FnOnce(&mut Volume, &mut Inode),
) {
    let mut inode =
        inodes(volume).into_iter().rfind(|one| one.kind().unwrap() == NodeKind::File).unwrap();
    let before = Charge::of(&inode);
    edit(volume, &mut inode);
    volume.store_inode(&mut inode).unwrap();
    let RepairVerdict::Findings(findings) = testing::repair(disk) else { panic!("{kind}") };
    assert!(findings.iter().all(|finding| finding.contains(&kind.to_string())), "{findings:?}");
    volume.recharge(Some(before), Some(Charge::of(&inode))).unwrap();
    assert!(volume.superblock().has_checked_quotas());
    testing::assert_silent(disk, &kind.to_string());
}

#[test]
fn what_an_edit_changes_is_counted() {
    for name in ["rhel10", "block-1k"] {
        let (disk, mut volume) = with_quotas(name);
        testing::assert_silent(&*disk, name);
        change(&disk, &mut volume, QuotaKind::User, |_, inode| inode.set_uid(1100).unwrap());
        change(&disk, &mut volume, QuotaKind::Group, |_, inode| inode.set_gid(1101).unwrap());
        change(&disk, &mut volume, QuotaKind::Project, |_, inode| inode.set_project(1102).unwrap());
        let mut inode = inodes(&volume).into_iter().rfind(|one| one.uid() == 1100).unwrap();
        let before = Charge::of(&inode);
        let end = inode.size_bytes();
        volume.write_content(&mut inode, end, &[b'x'; 70_000], "data").unwrap();
        volume.store_inode(&mut inode).unwrap();
        assert!(Charge::of(&inode).blocks > before.blocks);
        volume.recharge(Some(before), Some(Charge::of(&inode))).unwrap();
        testing::assert_silent(&*disk, name);
    }
}

#[test]
fn an_id_without_a_dquot_is_left_to_the_next_mount() {
    let (_, mut volume) = with_quotas("rhel10");
    let inode = inodes(&volume).pop().unwrap();
    let before = Charge::of(&inode);
    let after = Charge { uid: 40_000, ..before };
    volume.recharge(Some(before), Some(after)).unwrap();
    assert!(!volume.superblock().has_checked_quotas());
}

#[test]
fn quotas_that_are_not_counted_are_left_alone() {
    let disk = testing::fixture("rhel10");
    let mut volume = open(&disk);
    let inode = inodes(&volume).pop().unwrap();
    let before = Charge::of(&inode);
    volume.recharge(Some(before), None).unwrap();
    assert_eq!(disk.changes().unwrap(), []);
}

#[test]
fn more_than_there_is_cannot_be_given_back() {
    let (_, mut volume) = with_quotas("rhel10");
    let inode = inodes(&volume).pop().unwrap();
    let before = Charge { blocks: u64::MAX, ..Charge::of(&inode) };
    let error = volume.recharge(Some(before), None).unwrap_err().to_string();
    assert!(error.contains("user quota of") && error.contains("does not fit"), "{error}");
}

#[test]
fn every_edit_of_files_is_counted() {
    let (disk, volume) = with_quotas("rhel10");
    let clock = volume.clock();
    drop(volume);
    let mut xfs = Xfs::open(disk.clone(), clock).unwrap();
    let root = xfs.root();
    let new = |uid: u32| NewNode { mode: 0o700, uid, gid: uid + 1, xattrs: Vec::new() };
    let home = xfs.create_directory(root, b"new-home", &new(1000)).unwrap();
    testing::assert_silent(&*disk, "a new directory");
    for index in 0..200 {
        let name = format!("a-long-name-that-makes-the-directory-grow-{index}");
        xfs.create_file(home, name.as_bytes(), &new(1001), &[b'x'; 5000]).unwrap();
    }
    testing::assert_silent(&*disk, "many files");
    let first = b"a-long-name-that-makes-the-directory-grow-0";
    let file = xfs.lookup(home, first).unwrap().unwrap();
    xfs.append(file, &[b'y'; 100_000]).unwrap();
    let change = MetadataChange { uid: Some(1002), gid: Some(77), ..MetadataChange::default() };
    xfs.set_metadata(file, &change).unwrap();
    xfs.set_xattr(file, b"user.large", Some(&[b'v'; 9000])).unwrap();
    testing::assert_silent(&*disk, "a file that grew and changed hands");
    xfs.remove(home, first).unwrap();
    xfs.finish().unwrap();
    testing::assert_silent(&*disk, "a file less");
    let volume = open(&disk);
    assert!(volume.superblock().has_checked_quotas(), "nothing is left to count anew");
}
