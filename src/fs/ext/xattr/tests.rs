//! Attributes round trip, damage is named, nothing panics.

use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;

fn attribute(name: &str, value: &[u8]) -> Attribute {
    Attribute::new(name.as_bytes(), value).unwrap()
}

/// Names and values, without hashes, which only appear on the disk.
fn plain(attributes: &[Attribute]) -> Vec<(Vec<u8>, Value)> {
    let full = |a: &Attribute| (a.full_name().unwrap(), a.value.clone());
    attributes.iter().map(full).collect()
}

#[test]
fn names_split_into_index_and_rest() {
    for (name, index, rest) in [
        ("user.a", 1, "a"),
        ("system.posix_acl_access", 2, ""),
        ("system.posix_acl_default", 3, ""),
        ("trusted.overlay.opaque", 4, "overlay.opaque"),
        ("security.selinux", 6, "selinux"),
        ("system.data", 7, "data"),
        ("system.richacl", 8, ""),
    ] {
        let attribute = attribute(name, b"");
        assert_eq!((attribute.index, attribute.name.as_slice()), (index, rest.as_bytes()));
        assert_eq!(attribute.full_name().unwrap(), name.as_bytes());
    }
    for name in ["user.", "other.x", "", "user"] {
        assert_eq!(Attribute::new(name.as_bytes(), b""), None, "{name}");
    }
}

#[test]
fn a_region_without_magic_has_no_attributes() {
    assert_eq!(parse_region(&[]), Ok(Vec::new()));
    assert_eq!(parse_region(&[0; 96]), Ok(Vec::new()));
    assert_eq!(encode_region(&[], 96), Some(vec![0; 96]));
}

#[test]
fn a_region_holds_what_fits_and_not_a_byte_more() {
    // 4 (magic) + 24 (entry with a name of 7 bytes) + 4 (end mark) + value.
    let label = [attribute("security.selinux", &[b'x'; 64])];
    assert_eq!(encode_region(&label, 95), None);
    let region = encode_region(&label, 96).unwrap();
    assert_eq!(plain(&parse_region(&region).unwrap()), plain(&label));
    assert_eq!(region[4..8], [7, 6, 28, 0]);
    assert_eq!(region[16..20], [0; 4], "no hash in an inode");
}

#[test]
fn every_damage_of_a_region_is_named() {
    let content = [attribute("user.a", b"1234"), attribute("user.b", b"56789")];
    let good = encode_region(&content, 96).unwrap();
    assert_eq!(plain(&parse_region(&good).unwrap()), plain(&content));
    for (at, value, expected) in [
        (4, 90, "entry at 0x0 leads beyond 0x5c"),
        (4 + 16, 0, "entry at 0x0: the name contains NUL"),
        (4 + 2, 7, "value of 4 bytes at 0x7 is outside 0x2c..0x5c"),
        (4 + 2, 89, "value of 4 bytes at 0x59 is outside"),
        (4 + 8, 77, "value of 77 bytes"),
        (4 + 11, 255, "value of 4278190084 bytes"),
        (4 + 2, 84, "values at 0x50 and 0x54 overlap"),
        (4 + 12, 1, "hash 0x00000001 does not fit"),
        (24 + 16, b'a', "entry at 0x14: the name is there twice"),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        let message = parse_region(&bad).unwrap_err().to_string();
        assert!(message.contains(expected), "byte {at} = {value}: {message}");
    }
    let full = [&good[..4], &[1; 92]].concat();
    assert!(matches!(parse_region(&full), Err(XattrDefect::Entry { .. })));
}

#[test]
fn a_block_is_sorted_and_sealed() {
    let content = XattrBlock {
        reference_count: 3,
        attributes: vec![
            attribute("security.selinux", b"label"),
            attribute("user.bb", b"2"),
            attribute("user.c", b"1"),
            attribute("user.caf\u{e9}", b""),
        ],
    };
    let block = encode_block(&content, 1024, 77, Some(5)).unwrap();
    let parsed = parse_block(&block, 77, Some(5)).unwrap();
    let names: Vec<_> = parsed.attributes.iter().map(|a| a.full_name().unwrap()).collect();
    let expected = ["user.c", "user.bb", "user.caf\u{e9}", "security.selinux"];
    assert_eq!(names, expected.map(|name| name.as_bytes().to_vec()));
    assert_eq!(encode_block(&parsed, 1024, 77, Some(5)), Some(block.clone()));
    assert!(matches!(parse_block(&block, 78, Some(5)), Err(XattrDefect::Checksum { .. })));
    for (at, value) in [(0, 1), (4, 0), (5, 5), (8, 2)] {
        let mut bad = block.clone();
        bad[at] = value;
        assert!(matches!(parse_block(&bad, 77, Some(5)), Err(XattrDefect::Header { .. })));
    }
    let mut bad = block.clone();
    bad[1020] ^= 1;
    assert!(matches!(parse_block(&bad, 77, None), Err(XattrDefect::Hash { .. })));
}

#[test]
fn setting_keeps_places_and_refuses_what_is_not_ours() {
    let mut all = vec![attribute("system.data", b"rest"), attribute("user.a", b"1")];
    assert!(set(&mut all, b"security.selinux", Some(b"label")).unwrap());
    assert!(set(&mut all, b"user.a", Some(b"2")).unwrap());
    assert!(!set(&mut all, b"user.a", Some(b"2")).unwrap());
    assert!(!set(&mut all, b"user.none", None).unwrap());
    let names: Vec<_> = plain(&all).into_iter().map(|(name, _)| name).collect();
    let expected = [b"system.data".as_slice(), b"user.a", b"security.selinux"];
    assert_eq!(names, expected.map(<[u8]>::to_vec));
    assert!(set(&mut all, b"user.a", None).unwrap());
    assert_eq!(all.len(), 2);
    for (name, message) in [
        (b"system.data".as_slice(), "attribute system.data: holds the content"),
        (b"odd.name", "attribute odd.name: ext4 has no place"),
    ] {
        assert!(set(&mut all, name, Some(b"")).unwrap_err().to_string().contains(message));
    }
}

#[test]
fn values_in_their_own_inode_are_read_and_checked_but_not_changed() {
    let value = vec![7; 5000];
    let value_hash = checksum::crc32c_raw(3, &value).to_le_bytes();
    let outside = Attribute {
        index: 1,
        name: b"big".to_vec(),
        value: Value::InInode { inode: 20, size_bytes: 5000 },
        hash: hash::of_entry(b"big", &value_hash),
    };
    let region = encode_region(std::slice::from_ref(&outside), 96).unwrap();
    let mut all = parse_region(&region).unwrap();
    assert_eq!(all, [outside]);
    let mut read = |inode, size| {
        assert_eq!((inode, size), (20, 5000));
        Ok(value.clone())
    };
    assert_eq!(values(&all, 3, &mut read).unwrap()[0].value, value);
    assert!(matches!(values(&all, 4, &mut read).unwrap_err().kind(), ErrorKind::Corrupt(_)));
    for change in [None, Some(b"x".as_slice())] {
        let error = set(&mut all, b"user.big", change).unwrap_err();
        assert!(error.to_string().contains("ea_inode"), "{error}");
    }
}

fn any_attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let one = (1u8..9, "[a-z\u{e9}]{1,12}", proptest::collection::vec(any::<u8>(), 0..60));
    proptest::collection::vec(one, 0..6).prop_map(|all| {
        let mut attributes: Vec<Attribute> = Vec::new();
        for (prefix, name, value) in all {
            let prefix = if prefix > 4 { "user" } else { "trusted" };
            let new = Attribute::new(format!("{prefix}.{name}").as_bytes(), &value).unwrap();
            if !attributes.iter().any(|a| (a.index, &a.name) == (new.index, &new.name)) {
                attributes.push(new);
            }
        }
        attributes
    })
}

proptest! {
    #[test]
    fn regions_and_blocks_round_trip(attributes in any_attributes(), space in 0usize..400) {
        if let Some(region) = encode_region(&attributes, space) {
            prop_assert_eq!(region.len(), space);
            prop_assert_eq!(plain(&parse_region(&region).unwrap()), plain(&attributes));
        }
        let content = XattrBlock { reference_count: 1, attributes };
        let block = encode_block(&content, 1024, 9, Some(1)).unwrap();
        let parsed = parse_block(&block, 9, Some(1)).unwrap();
        let (mut a, mut b) = (plain(&parsed.attributes), plain(&content.attributes));
        a.sort_by(|x, y| x.0.cmp(&y.0));
        b.sort_by(|x, y| x.0.cmp(&y.0));
        prop_assert_eq!(a, b);
        prop_assert_eq!(encode_block(&parsed, 1024, 9, Some(1)), Some(block));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 36..200),
    ) {
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        let _ = parse_region(&bytes);
        bytes[4..12].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
        let _ = parse_block(&bytes, 0, None);
    }
}
