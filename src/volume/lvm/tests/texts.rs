//! Texts with one wrong value.

use super::lvm_build::{self, dashed, uuid};
use super::{GroupSpec, linear, physical};

/// What is told of a volume whose text has `to` for `from`.
fn damage(from: &str, to: &str) -> String {
    let spec = GroupSpec::new(65536, &[4, 4]);
    let spec = spec.with("root", vec![linear(0, 1, 2)]).with("home", vec![linear(1, 0, 1)]);
    let text = spec.text();
    assert!(text.contains(from), "{from}: {text}");
    let mut image = spec.head_with(0, &text.replacen(from, to, 1));
    image.resize(spec.physical_bytes(0) as usize, 0);
    physical(&image).damage().concat()
}

#[test]
fn every_value_that_is_needed_is_checked() {
    let [first, second] = [0, 1].map(|index| dashed(&uuid('L', index)));
    for (from, to, part) in [
        ("Text Format Volume Group", "Text Format Backup", "\"contents\" is missing or is no text"),
        ("\nversion = 1\n", "\nversion = 2\n", "\"contents\" is missing or is no text format of"),
        ("\nversion = 1\n", "\n", "\"version\" is missing"),
        ("seqno = 1\n", "", "group: \"seqno\" is missing or is no number"),
        ("seqno = 1\n", "seqno = -1\n", "group: \"seqno\" is missing or is no number from 0"),
        ("seqno = 1\n", "seqno = \"1\"\n", "group: \"seqno\" is missing or is no number"),
        ("extent_size = 128\n", "", "group: \"extent_size\" is missing"),
        ("status = [\"RESIZEABLE\"", "status = [1", "group: \"status\" is missing or is no list"),
        ("pe_start = 2048\n", "", "pv0: \"pe_start\" is missing"),
        ("pe_count = 4\n", "", "pv0: \"pe_count\" is missing"),
        ("\nhome {", "\nroot {", "root occurs twice"),
        (&second, &first, "occurs twice"),
        ("pv1 {", "pv0 {", "pv0 occurs twice"),
        (&first, "x", "root: \"id\" is missing or is no identifier"),
        ("segment_count = 1\n", "segment_count = 2\n", "root: \"segment_count\""),
        ("segment_count = 1\n", "segment_count = 0\n", "root: \"segment_count\""),
        ("segment1 {", "segment2 {", "root: \"segmentN\" is missing or is no section"),
        ("start_extent = 0\n", "", "root: \"start_extent\" is missing"),
        ("type = \"striped\"\n", "", "root: \"type\" is missing"),
        ("stripe_count = 1\n", "stripe_count = 2\n", "root: \"stripes\""),
        ("\"pv0\", 1\n", "\"pv0\", 1, \"pv1\"\n", "root: \"stripes\""),
        ("\"pv0\", 1\n", "\"pv0\", -1\n", "root: \"stripes\""),
        ("\"pv0\", 1\n", "1, \"pv0\"\n", "root: \"stripes\""),
        ("}\n# Written", "}\nother { }\n# Written", "it describes 2 volume groups"),
    ] {
        let found = damage(from, to);
        assert!(found.contains(part), "{from:?} -> {to:?}: {found}");
    }
}

#[test]
fn areas_lie_on_the_disk_and_have_their_checksum() {
    let spec = GroupSpec::new(65536, &[4]).with("root", vec![linear(0, 1, 2)]);
    let mut image = spec.head(0);
    image.resize(spec.physical_bytes(0) as usize, 0);
    assert_eq!(physical(&image).damage(), [""; 0]);
    // Any byte of the header of the area.
    for at in [4096 + 25, 4096 + 64, 4096 + 511] {
        let mut image = image.clone();
        image[at] ^= 1;
        let found = physical(&image).damage().concat();
        assert!(found.contains("its bytes have"), "{at}: {found}");
    }
    // The place of the area, in the label and in its header.
    for (start, size) in [(4096, 512), (4096, 2 << 20), (1 << 40, 1 << 20), (u64::MAX, u64::MAX)] {
        let mut image = image.clone();
        for (at, number) in
            [(512 + 104, start), (512 + 112, size), (4096 + 24, start), (4096 + 32, size)]
        {
            image[at..at + 8].copy_from_slice(&u64::to_le_bytes(number));
        }
        lvm_build::seal(&mut image[512..1024], 16, 20);
        lvm_build::seal(&mut image[4096..4608], 0, 4);
        let found = physical(&image);
        assert_eq!((found.group(), found.damage().len()), (None, 1), "{start} {size}");
    }
}
