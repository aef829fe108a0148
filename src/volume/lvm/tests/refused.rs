//! What is named and left alone.

use super::{GroupSpec, SegmentSpec, images, linear, logical, only_group, spec};
use crate::error::{Error, VolumeObstacle};

fn raw(lines: &str) -> Vec<SegmentSpec> {
    vec![SegmentSpec::Raw { extents: 2, lines: format!("{lines}\n") }]
}

/// Why `name` of `spec` cannot be read.
fn unmapped(spec: &GroupSpec, name: &str) -> String {
    logical(&only_group(&images(spec)), name).mapping.clone().unwrap_err().to_string()
}

#[test]
fn other_segment_types_are_named() {
    for kind in [
        "thin",
        "thin-pool",
        "cache",
        "cache-pool",
        "raid1",
        "raid10",
        "mirror",
        "snapshot",
        "writecache",
        "integrity",
        "vdo",
        "vdo-pool",
        "error",
        "zero",
        "striped+x",
    ] {
        let group = only_group(&images(&spec().with("other", raw(&format!("type = \"{kind}\"")))));
        let reason = logical(&group, "other").mapping.clone().unwrap_err();
        assert_eq!(reason.to_string(), format!("it is of type {kind}"));
        assert_eq!(Error::from(reason).kind_name(), "refused");
        assert!(logical(&group, "root").mapping.is_ok(), "the others stay");
    }
}

/// A cycle would have no end.
#[test]
fn no_volume_lies_on_itself_or_on_another() {
    for on in ["other", "root"] {
        let stripes = format!("type = \"striped\"\nstripe_count = 1\nstripes = [\n\"{on}\", 0\n]");
        let spec = spec().with("other", raw(&stripes));
        let reason = format!("a segment lies on {on}, which is no physical volume of the group");
        assert_eq!(unmapped(&spec, "other"), reason);
        // What another one lies on is a part of that.
        let is_alone = logical(&only_group(&images(&spec)), "root").mapping.is_ok();
        assert_eq!(is_alone, on == "other");
    }
}

#[test]
fn origins_are_read_and_not_written_and_stores_are_not_read() {
    let snapshot =
        raw("type = \"snapshot\"\nchunk_size = 8\norigin = \"root\"\ncow_store = \"store\"");
    let spec = spec().with("store", vec![linear(1, 0, 1)]).with("snapshot0", snapshot);
    let group = only_group(&images(&spec));
    let root = logical(&group, "root");
    assert!(root.mapping.is_ok());
    let (kind, reason) = root.obstacle.clone().unwrap();
    assert_eq!(kind, VolumeObstacle::Snapshot);
    assert_eq!(reason, "it is the origin of snapshot0, which is of type snapshot");
    assert_eq!(unmapped(&spec, "store"), "it is a part of snapshot0, which is of type snapshot");

    let thin = raw("type = \"thin\"\nthin_pool = \"pool\"\nexternal_origin = \"root\"");
    let group = only_group(&images(&super::spec().with("thin", thin)));
    assert!(logical(&group, "root").obstacle.is_some());
}

#[test]
fn status_flags_forbid_writing() {
    for (status, more, part) in [
        (r#"["RESIZEABLE", "READ", "WRITE", "EXPORTED"]"#, "", "status EXPORTED"),
        (r#"["RESIZEABLE", "READ", "WRITE", "PARTIAL"]"#, "", "status PARTIAL"),
        (r#"["RESIZEABLE", "READ", "WRITE", "CLUSTERED"]"#, "", "status CLUSTERED"),
        (r#"["RESIZEABLE", "READ"]"#, "", "group is read-only"),
        (r#"["RESIZEABLE", "READ", "WRITE"]"#, "lock_type = \"sanlock\"", "locked by sanlock"),
    ] {
        let mut spec = spec();
        (spec.status, spec.more) = (status, more.to_owned());
        let group = only_group(&images(&spec));
        let (_, reason) = logical(&group, "root").obstacle.clone().unwrap();
        assert!(reason.contains(part), "{reason}");
        assert!(logical(&group, "root").mapping.is_ok(), "it can still be read");
    }
    for (status, part) in [
        (r#"["READ", "VISIBLE"]"#, "it is read-only"),
        (r#"["WRITE", "VISIBLE"]"#, "it is read-only"),
        (r#"["READ", "WRITE"]"#, "hidden"),
        (r#"["READ", "WRITE", "VISIBLE", "LOCKED"]"#, "status LOCKED"),
        (r#"["READ", "WRITE", "VISIBLE", "\x1b[2J"]"#, "status x1b[2J"),
    ] {
        let mut spec = spec();
        spec.logical[0].status = status;
        let group = only_group(&images(&spec));
        let (_, reason) = logical(&group, "root").obstacle.clone().unwrap();
        assert!(reason.contains(part), "{reason}");
    }
    for lock in ["", "lock_type = \"none\""] {
        let mut spec = spec();
        spec.more = lock.to_owned();
        assert_eq!(logical(&only_group(&images(&spec)), "root").obstacle, None);
    }
}

#[test]
fn overlapping_volumes_are_refused_together() {
    let spec = spec().with("other", vec![linear(0, 2, 1)]).with("third", vec![linear(0, 3, 1)]);
    assert_eq!(unmapped(&spec, "root"), "it shares extents with other");
    assert_eq!(unmapped(&spec, "other"), "it shares extents with root");
    assert!(logical(&only_group(&images(&spec)), "third").mapping.is_ok());
    let with_itself = super::spec().with("twice", vec![linear(1, 0, 2), linear(1, 1, 1)]);
    assert_eq!(unmapped(&with_itself, "twice"), "it shares extents with twice");
}

#[test]
fn extents_never_reach_into_the_metadata_of_lvm() {
    let spec = spec();
    for start in ["pe_start = 0\n", "pe_start = 1024\n"] {
        let text = spec.text().replace("pe_start = 2048\n", start);
        let images: Vec<_> = (0..2)
            .map(|index| {
                let mut image = spec.head_with(index, &text);
                image.resize(4 << 20, 0);
                image
            })
            .collect();
        let group = only_group(&images);
        let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
        assert_eq!(reason, "it shares extents with the metadata of LVM");
    }
}

#[test]
fn segments_that_make_no_sense_are_refused() {
    let stripes = |extents, stripe_bytes, lanes: &[(usize, u64)]| {
        vec![SegmentSpec::Striped { extents, stripe_bytes, lanes: lanes.to_vec() }]
    };
    for (segments, part) in [
        (vec![linear(0, 3, 2)], "ends behind the extents"),
        (vec![linear(0, u64::MAX >> 1, 2)], "ends behind the extents"),
        (vec![linear(0, 0, 0)], "does not continue"),
        (vec![], "no segments"),
        (vec![linear(0, 0, 1 << 62)], "too large"),
        (stripes(3, 4096, &[(0, 0), (1, 0)]), "do not come out even"),
        (stripes(2, 0, &[(0, 0), (1, 0)]), "do not come out even"),
        (stripes(2, 40960, &[(0, 0), (1, 0)]), "do not come out even"),
        (stripes(2, 4096, &[]), "no stripes"),
        (stripes(2, 4096, &[(0, 0), (0, 0)]), "shares extents with bad"),
        (raw("type = \"striped\"\nstripe_count = 1\nstripes = [\"root\", 0]"), "lies on root"),
        (raw("type = \"striped\"\nstripe_count = 1\nstripes = [\"bad\", 0]"), "lies on bad"),
    ] {
        let spec = GroupSpec::new(65536, &[4, 4]).with("bad", segments);
        let reason = unmapped(&spec, "bad");
        assert!(reason.contains(part), "{reason}");
    }
    let spec = spec();
    let text = spec.text().replace("start_extent = 2", "start_extent = 3");
    let mut images = images(&spec);
    images[0] = spec.head_with(0, &text);
    images[0].resize(4 << 20, 0);
    let group = only_group(&images[..1]);
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert!(reason.contains("segment 2: it does not continue"), "{reason}");
}

#[test]
fn a_disk_that_is_too_short_is_named() {
    let mut images = images(&spec());
    images[0].truncate((1 << 20) + 2 * 65536);
    let group = only_group(&images);
    let reason = logical(&group, "root").mapping.clone().unwrap_err().to_string();
    assert!(reason.contains("the disk at byte 1179648"), "{reason}");
}
