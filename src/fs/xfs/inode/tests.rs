use super::*;
use crate::fs::Timestamp;

fn inode(flags2: u64) -> Inode {
    let mut bytes = vec![0; 512];
    bytes[VERSION_AT] = 3;
    put_be_u64(&mut bytes, FLAGS2_AT, flags2).unwrap();
    Inode { number: InodeNumber(131), bytes, offset_bytes: 0 }
}

#[test]
fn both_kinds_of_timestamp_hold_what_they_were_given() {
    for (flags2, seconds) in [
        (0, -5),
        (0, 1_800_000_000),
        (flag2::BIGTIME, -(1 << 31)),
        (flag2::BIGTIME, 16_000_000_000),
    ] {
        let mut inode = inode(flags2);
        let time = Timestamp { seconds, nanoseconds: 999_999_999 };
        inode.set_time(Time::Create, time).unwrap();
        assert_eq!(inode.time(Time::Create), time, "{flags2:#x} {seconds}");
    }
    let mut old = inode(0);
    old.set_time(Time::Modify, Timestamp { seconds: 1 << 40, nanoseconds: 0 }).unwrap();
    assert_eq!(old.time(Time::Modify).seconds, i64::from(i32::MAX));
}

#[test]
fn extent_counts_move_with_nrext64() {
    for flags2 in [0, flag2::NREXT64] {
        let mut inode = inode(flags2);
        inode.set_extent_count(ForkKind::Data, 70_000).unwrap();
        inode.set_extent_count(ForkKind::Attribute, 3).unwrap();
        assert_eq!(inode.extent_count(ForkKind::Data), 70_000);
        assert_eq!(inode.extent_count(ForkKind::Attribute), 3);
        let is_big = inode.set_extent_count(ForkKind::Data, 1 << 40).is_ok();
        assert_eq!(is_big, flags2 != 0);
    }
}

#[test]
fn forks_share_the_literal_area() {
    let mut inode = inode(0);
    assert_eq!((inode.fork(ForkKind::Data).len(), inode.fork(ForkKind::Attribute).len()), (336, 0));
    inode.set_fork_offset_bytes(120).unwrap();
    assert_eq!(
        (inode.fork(ForkKind::Data).len(), inode.fork(ForkKind::Attribute).len()),
        (120, 216)
    );
    inode.put_fork(ForkKind::Attribute, &[7; 216]).unwrap();
    assert!(inode.put_fork(ForkKind::Data, &[1; 121]).is_err());
    inode.put_fork(ForkKind::Data, &[1]).unwrap();
    assert_eq!(inode.fork(ForkKind::Data)[..2], [1, 0]);
    assert!(inode.set_fork_offset_bytes(336).is_err());
}
