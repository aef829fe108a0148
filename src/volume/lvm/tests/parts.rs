//! Volumes of which others are made, in the ways in which LVM makes them.

use super::{GroupSpec, SegmentSpec, VolumeGroup, images, linear, logical, only_group, spec};
use crate::error::VolumeObstacle;

fn raw(lines: &str) -> Vec<SegmentSpec> {
    vec![SegmentSpec::Raw { extents: 1, lines: lines.to_owned() + "\n" }]
}

/// A group with a visible volume `part`, and one that is made of it as `lines` say.
fn made_of(lines: &str) -> VolumeGroup {
    let spec = GroupSpec::new(65536, &[4, 4]).with("part", vec![linear(1, 0, 1)]);
    only_group(&images(&spec.with("whole", raw(lines))))
}

#[test]
fn what_a_volume_is_made_of_is_not_read() {
    for (kind, more) in [
        ("raid1", "device_count = 2\nraids = [\"other\", \"part\"]"),
        ("raid5", "raids = [\n\"part\", \"other\"\n]"),
        ("mirror", "mirror_count = 2\nmirror_log = \"log\"\nmirrors = [\"part\", 0, \"other\", 0]"),
        ("mirror", "mirror_log = \"part\"\nmirrors = [\"x\", 0]"),
        ("thin-pool", "metadata = \"part\"\npool = \"other\""),
        ("thin-pool", "metadata = \"other\"\npool = \"part\""),
        ("thin", "thin_pool = \"part\"\ntransaction_id = 0\ndevice_id = 1"),
        ("cache", "cache_pool = \"part\"\norigin = \"other\""),
        ("cache-pool", "data = \"part\"\nmetadata = \"other\""),
        ("writecache", "origin = \"other\"\nwritecache = \"part\""),
        ("vdo", "vdo_pool = \"part\"\nvdo_offset = 0"),
        ("vdo-pool", "data = \"part\""),
        ("integrity", "origin = \"other\"\nmeta_dev = \"part\""),
        ("snapshot", "origin = \"other\"\ncow_store = \"part\""),
        // A key that is not known may name it as well.
        ("tomorrow", "lies_on = \"part\""),
    ] {
        let group = made_of(&format!("type = \"{kind}\"\n{more}"));
        let reason = logical(&group, "part").mapping.clone().unwrap_err().to_string();
        assert_eq!(reason, format!("it is a part of whole, which is of type {kind}"), "{more}");
        let reason = logical(&group, "whole").mapping.clone().unwrap_err().to_string();
        assert_eq!(reason, format!("it is of type {kind}"));
    }
    let striped = "type = \"striped\"\nstripe_count = 1\nstripes = [\"part\", 0]";
    let group = made_of(striped);
    let reason = logical(&group, "part").mapping.clone().unwrap_err().to_string();
    assert_eq!(reason, "it is a part of whole, which is of type striped");
}

#[test]
fn origins_are_read_and_not_written() {
    for (kind, more) in [
        ("snapshot", "origin = \"part\"\ncow_store = \"other\""),
        ("thin", "thin_pool = \"other\"\nexternal_origin = \"part\""),
        ("thin", "thin_pool = \"other\"\norigin = \"part\""),
        ("cache", "cache_pool = \"other\"\norigin = \"part\""),
    ] {
        let group = made_of(&format!("type = \"{kind}\"\n{more}"));
        let part = logical(&group, "part");
        assert!(part.mapping.is_ok(), "{more}");
        assert_eq!(part.obstacle.clone().unwrap().0, VolumeObstacle::Snapshot, "{more}");
    }
}

#[test]
fn words_of_lvm_name_no_volume() {
    let lines = "type = \"cache\"\ncache_mode = \"part\"\npolicy = \"part\"\ndiscards = \"part\"";
    let group = made_of(lines);
    assert!(logical(&group, "part").mapping.is_ok());
    // A stripe on a physical volume is none on the volume that has its name.
    let spec = GroupSpec::new(65536, &[4, 4]).with("pv0", vec![linear(0, 0, 1)]);
    let group = only_group(&images(&spec.with("whole", vec![linear(0, 1, 1)])));
    assert!(logical(&group, "pv0").mapping.is_ok());
}

#[test]
fn the_extents_of_parts_count_as_taken() {
    let snapshot = raw("type = \"snapshot\"\norigin = \"other\"\ncow_store = \"store\"");
    let spec = spec().with("store", vec![linear(0, 2, 1)]).with("snapshot0", snapshot);
    let group = only_group(&images(&spec));
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert_eq!(reason, "it shares extents with store");
}

#[test]
fn a_disk_that_was_away_is_missing_though_it_was_given() {
    let spec = spec();
    let away = spec.text().replacen("status = [\"ALLOCATABLE\"]", "status = [\"MISSING\"]", 1);
    let image = |index: usize| {
        let mut image = spec.head_with(index, &away);
        image.resize(spec.physical_bytes(index) as usize, 0);
        image
    };
    let group = only_group(&[image(0), image(1)]);
    assert_eq!((group.missing.len(), group.members.len()), (1, 1));
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert!(reason.ends_with("which is missing"), "{reason}");
}

#[test]
fn a_copy_of_a_disk_that_was_changed_since_is_not_chosen_either() {
    let older = GroupSpec { seqno: 1, ..spec() };
    let newer = GroupSpec { seqno: 2, ..spec() };
    let [old, new] = [&older, &newer].map(images);
    for given in [[&old[0], &new[0], &new[1]], [&new[0], &old[0], &new[1]]] {
        let group = only_group(&given.map(Clone::clone));
        let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
        assert!(reason.ends_with("given more than once"), "{reason}");
    }
}

#[test]
fn tags_and_flags_that_may_be_ignored_stand_in_nobodys_way() {
    let spec = spec();
    let text = spec.text().replacen(
        "flags = []\nsegment_count",
        "flags = [\"ACTIVATION_SKIP\"]\ntags = [\"a\", \"b.c+d\"]\nallocation_policy = \"cling\"\nsegment_count",
        1,
    );
    assert_ne!(text, spec.text());
    let images: Vec<Vec<u8>> = (0..2)
        .map(|index| {
            let mut image = spec.head_with(index, &text);
            image.resize(spec.physical_bytes(index) as usize, 0);
            image
        })
        .collect();
    let group = only_group(&images);
    let root = logical(&group, "root");
    assert!(root.mapping.is_ok() && root.is_visible);
    assert_eq!(root.obstacle, None);
}
