//! Dquots in dirty logs. The kernel of the tests need not have quotas, so the logs are made here, and
//! `xfs_repair` counts for itself what the dquots must say after the replay.

use super::replay::Replayed;
use super::tests::{append_all, transaction_of};
use super::{Purpose, replay};
use crate::bytes::field::{be_u64, put_be_u64};
use crate::disk::DiskEdit as _;
use crate::disk::overlay::Overlay;
use crate::fs::xfs::Xfs;
use crate::fs::xfs::checksum;
use crate::fs::xfs::quota::QuotaKind::{self, Group, Project, User};
use crate::fs::xfs::quota::dquot::{CRC_AT, DQUOT_BYTES, LSN_AT};
use crate::fs::xfs::quota::tests::{dquot_of, with_quotas};
use crate::fs::xfs::testing::{RepairVerdict, assert_silent, repair};
use crate::fs::xfs::units::Lsn;
use crate::fs::xfs::volume::Volume;
use crate::fs::{FileEdit as _, FileSystem as _, Health};
use std::sync::Arc;

/// Offset of `d_icount`.
const INODES_AT: usize = 48;

type Item = Vec<Vec<u8>>;

/// The dquot of `id` with another number of inodes.
fn counting(volume: &Volume, kind: QuotaKind, id: u32, inodes: u64) -> Vec<u8> {
    let mut bytes = dquot_of(volume, kind, id).2;
    put_be_u64(&mut bytes, INODES_AT, inodes).unwrap();
    checksum::seal(&mut bytes, CRC_AT).unwrap();
    bytes
}

/// Writes a dquot to its place, as if it had been written back.
fn store(disk: &Overlay, volume: &Volume, kind: QuotaKind, id: u32, bytes: &[u8]) {
    let (block, at, _) = dquot_of(volume, kind, id);
    let offset = volume.superblock().block_offset(block).unwrap() + at as u64;
    disk.write_at(offset, bytes, "dquot").unwrap();
}

/// The item of a dquot that changed.
fn dquot_item(volume: &Volume, kind: QuotaKind, id: u32, dquot: &[u8]) -> Item {
    let (block, at, _) = dquot_of(volume, kind, id);
    let mut format = vec![0x3d, 0x12, 2, 0];
    format.extend(id.to_le_bytes());
    format.extend(volume.superblock().daddr(block).unwrap().to_le_bytes());
    format.extend((volume.superblock().block_size() as u32 / 512).to_le_bytes());
    format.extend((at as u32).to_le_bytes());
    vec![format, dquot[..104].to_vec()]
}

/// The item of a whole block of dquots, or of the cancellation of one.
fn buffer_item(volume: &Volume, flags: u16, id: u32, bytes: &[u8]) -> Item {
    let (block, ..) = dquot_of(volume, User, id);
    let sectors = volume.superblock().block_size() as u16 / 512;
    let regions = if bytes.is_empty() { 1_u16 } else { 2 };
    let mut format = vec![0x3c, 0x12];
    format.extend(regions.to_le_bytes());
    format.extend(flags.to_le_bytes());
    format.extend(sectors.to_le_bytes());
    format.extend(volume.superblock().daddr(block).unwrap().to_le_bytes());
    format.extend(1_u32.to_le_bytes());
    format.extend(u32::MAX.checked_shr(32 - u32::from(sectors) * 4).unwrap().to_le_bytes());
    if bytes.is_empty() { vec![format] } else { vec![format, bytes.to_vec()] }
}

/// New users' block, logged as a buffer.
const USER_BUFFER: u16 = 0x4 | 1 << 11;

/// The end of accounting, by the bits of `sb_qflags`.
fn quota_off(flags: u32) -> Item {
    let mut format = vec![0x3e, 0x12, 1, 0];
    format.extend(flags.to_le_bytes());
    format.resize(20, 0);
    vec![format]
}

fn log_of(volume: &Volume, transactions: &[Vec<Item>]) -> Vec<Lsn> {
    let records: Vec<_> = transactions.iter().map(|items| transaction_of(items)).collect();
    append_all(volume, &records)
}

fn replayed(volume: &mut Volume) -> Replayed {
    let replayed = replay(volume, Purpose::Edit).unwrap().unwrap();
    super::finish(volume, &replayed.pending).unwrap();
    replayed
}

fn assert_miscounted(disk: &Overlay, kind: QuotaKind) {
    let RepairVerdict::Findings(findings) = repair(disk) else { panic!("{kind} is not missed") };
    assert!(findings.iter().all(|finding| finding.contains(&kind.to_string())), "{findings:?}");
}

#[test]
fn the_last_logged_dquot_counts() {
    for name in ["rhel10", "block-1k"] {
        let (disk, mut volume) = with_quotas(name);
        let right = [User, Group, Project].map(|kind| dquot_of(&volume, kind, 0).2);
        let inodes = be_u64(&right[0], INODES_AT).unwrap();
        for kind in [User, Group, Project] {
            store(&disk, &volume, kind, 0, &counting(&volume, kind, 0, 7777));
        }
        // A dquot of which only the first sector arrived has a wrong checksum.
        let mut torn = counting(&volume, User, 0, 1);
        torn[CRC_AT] ^= 1;
        torn[LSN_AT] = 0x7f;
        store(&disk, &volume, User, 0, &torn);
        assert!(matches!(repair(&*disk), RepairVerdict::Findings(_)), "{name}");
        let item = |kind, dquot: &[u8]| dquot_item(&volume, kind, 0, dquot);
        let positions = log_of(
            &volume,
            &[
                vec![item(User, &counting(&volume, User, 0, inodes + 1)), item(Group, &right[1])],
                vec![item(Project, &right[2]), item(User, &right[0])],
            ],
        );
        let done = replayed(&mut volume);
        assert_eq!((done.written, done.newer, done.ended), (4, 0, 0), "{name}");
        for (kind, lsn) in [(User, positions[1]), (Group, positions[0]), (Project, positions[1])] {
            let bytes = dquot_of(&volume, kind, 0).2;
            assert_eq!(be_u64(&bytes, LSN_AT).unwrap(), lsn.0, "{name}: {kind}");
        }
        assert_silent(&*disk, name);
    }
}

#[test]
fn a_dquot_of_a_later_change_is_left_alone() {
    let (disk, mut volume) = with_quotas("rhel10");
    let wrong = dquot_item(&volume, User, 0, &counting(&volume, User, 0, 5));
    let other = dquot_item(&volume, User, 1, &dquot_of(&volume, User, 1).2);
    let positions = log_of(&volume, &[vec![wrong], vec![other]]);
    let mut newer = dquot_of(&volume, User, 0).2;
    put_be_u64(&mut newer, LSN_AT, positions[1].0).unwrap();
    checksum::seal(&mut newer, CRC_AT).unwrap();
    store(&disk, &volume, User, 0, &newer);
    let done = replayed(&mut volume);
    assert_eq!((done.written, done.newer), (1, 1));
    assert_eq!(dquot_of(&volume, User, 0).2, newer);
    assert_silent(&*disk, "newer");
}

/// A block that became one of dquots in the log holds something else on the disk.
#[test]
fn a_new_block_of_dquots_comes_before_its_dquots() {
    for name in ["rhel10", "block-1k"] {
        let (disk, mut volume) = with_quotas(name);
        let (block, ..) = dquot_of(&volume, User, 0);
        let right = volume.read_blocks(block, 1).unwrap();
        let mut fresh = right.clone();
        for dquot in fresh.chunks_exact_mut(DQUOT_BYTES) {
            dquot[8..104].fill(0);
            checksum::seal(dquot, CRC_AT).unwrap();
        }
        let zero = right[..DQUOT_BYTES].to_vec();
        let new = buffer_item(&volume, USER_BUFFER, 0, &fresh);
        let change = dquot_item(&volume, User, 0, &zero);
        log_of(&volume, &[vec![change.clone(), new], vec![change]]);
        let offset = volume.superblock().block_offset(block).unwrap();
        disk.write_at(offset, &vec![0xdb; right.len()], "stale").unwrap();
        let done = replayed(&mut volume);
        assert_eq!((done.written, done.canceled), (3, 0), "{name}");
        assert_eq!(dquot_of(&volume, User, 0).2[..104], zero[..104], "{name}");
        // All ids in the fixtures but the superuser's lie in other blocks or own nothing.
        assert_silent(&*disk, name);
    }
}

#[test]
fn blocks_that_were_freed_stay_as_they_are() {
    let (disk, mut volume) = with_quotas("rhel10");
    let (block, ..) = dquot_of(&volume, User, 0);
    let right = volume.read_blocks(block, 1).unwrap();
    let new = buffer_item(&volume, USER_BUFFER, 0, &right);
    let change = dquot_item(&volume, User, 0, &counting(&volume, User, 0, 9));
    let gone = buffer_item(&volume, USER_BUFFER | 0x2, 0, &[]);
    log_of(&volume, &[vec![new], vec![change], vec![gone]]);
    let done = replayed(&mut volume);
    assert_eq!((done.written, done.canceled), (0, 2));
    assert_silent(&*disk, "canceled");
}

/// Nothing of a kind whose accounting ended is replayed, before the end or behind it.
#[test]
fn the_end_of_accounting_ends_the_replay_of_its_kind() {
    for (flag, ended, others) in [(0x1, User, [Group, Project]), (0x40, Group, [User, Project])] {
        let (disk, mut volume) = with_quotas("rhel10");
        let right = others.map(|kind| dquot_of(&volume, kind, 0).2);
        for kind in others {
            store(&disk, &volume, kind, 0, &counting(&volume, kind, 0, 7777));
        }
        let wrong = dquot_item(&volume, ended, 0, &counting(&volume, ended, 0, 5));
        let items = [0, 1].map(|index| dquot_item(&volume, others[index], 0, &right[index]));
        log_of(&volume, &[vec![wrong.clone()], vec![quota_off(flag)], vec![wrong], items.to_vec()]);
        let done = replayed(&mut volume);
        assert_eq!((done.written, done.ended), (2, 2), "{ended}");
        assert_silent(&*disk, &ended.to_string());
    }
    // A block of users' dquots, with the end of users' accounting.
    let (disk, mut volume) = with_quotas("rhel10");
    let junk = vec![0xdb; volume.superblock().block_size() as usize];
    let block = buffer_item(&volume, USER_BUFFER, 0, &junk);
    log_of(&volume, &[vec![block], vec![quota_off(0x1)]]);
    assert_eq!(replayed(&mut volume).ended, 1);
    assert_silent(&*disk, "users");
}

#[test]
fn dquots_in_a_log_that_lie_are_refused() {
    let (_, volume) = with_quotas("rhel10");
    let block_bytes = volume.superblock().block_size() as usize;
    let dquot = |change: &dyn Fn(&mut Item)| {
        let mut item = dquot_item(&volume, User, 3, &dquot_of(&volume, User, 3).2);
        change(&mut item);
        item
    };
    let (block, ..) = dquot_of(&volume, User, 3);
    let right = volume.read_blocks(block, 1).unwrap();
    let buffer = |flags, change: &dyn Fn(&mut [u8])| {
        let mut bytes = right.clone();
        change(&mut bytes);
        buffer_item(&volume, flags, 3, &bytes)
    };
    let far = (block_bytes as u32 - 100).to_le_bytes();
    let cases: [(Item, &str); 9] = [
        (dquot(&|item| item[1][0] = 0), "magic number is 0x51"),
        (dquot(&|item| item[1][2] = 7), "version is 7"),
        (dquot(&|item| item[1][3] = 3), "type 0x3"),
        (dquot(&|item| item[1][7] = 4), "is that of 4"),
        (dquot(&|item| item[1].truncate(100)), "needs 104 bytes, has 100"),
        (dquot(&|item| item[0][20..24].copy_from_slice(&far)), "no place for it"),
        (buffer(USER_BUFFER, &|bytes| bytes[200] ^= 1), "checksum is"),
        (buffer(USER_BUFFER, &|bytes| bytes[0] ^= 1), "magic number is"),
        (buffer(0x10 | 3 << 11, &|_| ()), "has type 0x1, should be 0x4"),
    ];
    for (item, expected) in cases {
        let (_, mut volume) = with_quotas("rhel10");
        log_of(&volume, &[vec![item]]);
        let message = replay(&mut volume, Purpose::Edit).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

/// The usual crash: the owner of the edited file is named by the log.
#[test]
fn an_edit_counts_on_top_of_a_replay() {
    let (disk, volume) = with_quotas("rhel10");
    let right = dquot_of(&volume, User, 0).2;
    store(&disk, &volume, User, 0, &counting(&volume, User, 0, 7777));
    assert_miscounted(&disk, User);
    log_of(&volume, &[vec![dquot_item(&volume, User, 0, &right)]]);
    let clock = volume.clock();
    drop(volume);
    let base: Arc<Overlay> = Arc::new(Overlay::new(disk.clone()));
    let mut xfs = Xfs::open(base.clone(), clock).unwrap();
    assert_eq!(xfs.health(), Health::JournalDirty);
    let root = xfs.root();
    let new = crate::fs::NewNode { mode: 0o600, uid: 0, gid: 0, xattrs: Vec::new() };
    xfs.create_file(root, b"new", &new, &[b'x'; 20_000]).unwrap();
    xfs.finish().unwrap();
    drop(xfs);
    assert_silent(&*base, "edited");
    let volume = Volume::open(base, clock).unwrap();
    let after = dquot_of(&volume, User, 0).2;
    let inodes = |dquot: &[u8]| be_u64(dquot, INODES_AT).unwrap();
    assert_eq!(inodes(&after), inodes(&right) + 1);
    assert!(volume.superblock().has_checked_quotas());
}
