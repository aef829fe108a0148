//! Members that fell behind.

use super::{MemberSpec, SIZE, VERSIONS, array, mirror, obstacle};
use crate::error::VolumeObstacle;

/// What a member of three has: `roles` after `events` changes.
fn member(version: &'static str, number: usize, events: u64, roles: [u16; 3]) -> MemberSpec {
    let roles = roles.to_vec();
    MemberSpec { roles, events, ..MemberSpec::mirror(version, number, SIZE as u64) }
}

const FAILED: u16 = 0xfffe;

#[test]
fn a_member_that_fell_out_before_is_left_alone() {
    for version in VERSIONS {
        let alone = member(version, 0, 20, [0, FAILED, FAILED]);
        let stale = MemberSpec::mirror(version, 1, SIZE as u64);
        let found = array(&[stale.clone(), alone.clone()]);
        assert_eq!((found.obstacle, found.layout.unwrap().members()), (None, vec![1]));
        assert!(found.warnings[0].starts_with("1 of the members given are out of date"));

        // Another one has taken its place, and even its number.
        for number in [1, 2] {
            let mut roles = [0, FAILED, FAILED];
            roles[number] = 1;
            let first = member(version, 0, 20, roles);
            let new = member(version, number, 20, roles);
            let found = array(&[stale.clone(), new, first]);
            assert_eq!((found.obstacle, found.layout.unwrap().members()), (None, vec![2, 1]));
        }
    }
}

#[test]
fn a_member_that_the_kernel_may_let_pass_forbids_writing() {
    for version in VERSIONS {
        for (events, is_refused) in [(19, true), (18, false), (0, false)] {
            let stale = MemberSpec { events, ..MemberSpec::mirror(version, 1, SIZE as u64) };
            let found = array(&[member(version, 0, 20, [0, FAILED, FAILED]), stale]);
            assert!(found.layout.is_ok(), "it can be read");
            assert_eq!(found.obstacle.is_some(), is_refused, "{version}: {events}");
        }
    }
}

#[test]
fn a_member_that_should_be_in_sync_and_fell_behind_is_told() {
    for version in VERSIONS {
        for events in [3, 16] {
            let [first, mut second] = mirror(version);
            second.events = events;
            let (kind, reason) = obstacle(&[first, second]);
            assert_eq!(kind, VolumeObstacle::OutOfSync, "{version}");
            assert_eq!(reason, "1 of its in-sync members are out of date");
        }
    }
}

#[test]
fn members_that_went_their_own_ways_are_not_written() {
    for version in VERSIONS {
        // Each was used without the other, one of them longer.
        let newer = member(version, 0, 40, [0, FAILED, FAILED]);
        let older = member(version, 1, 30, [FAILED, 1, FAILED]);
        let (kind, reason) = obstacle(&[newer, older]);
        assert_eq!(kind, VolumeObstacle::OutOfSync, "{version}");
        assert!(reason.contains("used apart"), "{reason}");
    }
}
