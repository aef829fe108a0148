//! Attributes inside the inode ("short form").
//!
//! Format: "XFS Algorithms & Data Structures", chapter "Extended Attributes", section "Short Form
//! Attributes". Big-endian, not aligned. The document shows a header of 3 bytes; its own dump and
//! every volume have 4.
//!
//! | offset | size | spec     | ours      | valid when                                         |
//! |-------:|-----:|----------|-----------|----------------------------------------------------|
//! |    0x0 |    2 | totsize  | (checked) | where the last entry ends, inside the fork         |
//! |    0x2 |    1 | count    | -         | number of entries that follow                      |
//! |    0x3 |    1 | padding  | -         | any                                                |
//! |    0x4 |    - | list     | -         | the entries, one behind the other                  |
//! |    0x0 |    1 | namelen  | name      | 1..=255                                            |
//! |    0x1 |    1 | valuelen | value     | 12 for a parent pointer                            |
//! |    0x2 |    1 | flags    | namespace | no bit or one of ROOT, SECURE and PARENT           |
//! |    0x3 |    n | nameval  | name      | no NUL in the name; no two entries with one name   |

use super::{
    Attribute, AttributeDefect, FLAG_PARENT, FLAG_ROOT, FLAG_SECURE, Namespace, Value,
    check_double, check_one,
};
use crate::bytes::field::{self, be_u16, put_be_u16, u8_at};

/// Bytes before the first entry.
pub(super) const HEADER_BYTES: usize = 4;
/// Bytes of an entry before its name.
const ENTRY_HEADER_BYTES: usize = 3;
/// Names and values of this length or more are never put here (observed: a kernel puts a name of
/// 254 bytes here, and one of 255 bytes, or a value of 255, into a leaf).
const PART_BYTES_LIMIT: usize = 255;

/// The attributes in `fork`, all bytes of a local attribute fork.
///
/// # Errors
/// The first [`AttributeDefect`].
pub(crate) fn parse(fork: &[u8]) -> Result<Vec<Attribute>, AttributeDefect> {
    let total = usize::from(be_u16(fork, 0)?);
    let count = usize::from(u8_at(fork, 2)?);
    let bytes = fork.get(..total).unwrap_or(fork);
    let mut attributes: Vec<Attribute> = Vec::with_capacity(count);
    let mut offset = HEADER_BYTES;
    for index in 0..count {
        let attribute = parse_entry(bytes, index, offset)?;
        offset = offset.saturating_add(entry_len(&attribute));
        check_one(&attribute, index)?;
        check_double(&attributes, &attribute, index)?;
        attributes.push(attribute);
    }
    if total != offset || total > fork.len() {
        return Err(AttributeDefect::TotalSize { total, end: offset, space: fork.len() });
    }
    Ok(attributes)
}

fn parse_entry(bytes: &[u8], index: usize, offset: usize) -> Result<Attribute, AttributeDefect> {
    let outside = |_| AttributeDefect::Entry { index, offset, end: bytes.len() };
    let head = field::slice(bytes, offset, ENTRY_HEADER_BYTES).map_err(outside)?;
    let (name_len, value_len) = (usize::from(u8_at(head, 0)?), usize::from(u8_at(head, 1)?));
    let flags = u8_at(head, 2)?;
    let is_known = flags & !(FLAG_ROOT | FLAG_SECURE | FLAG_PARENT) == 0;
    let namespace = Namespace::parse(flags).filter(|_| is_known);
    let namespace = namespace.ok_or(AttributeDefect::Flags { index, flags })?;
    let name_at = offset.saturating_add(ENTRY_HEADER_BYTES);
    let name = field::slice(bytes, name_at, name_len).map_err(outside)?;
    let value_at = name_at.saturating_add(name_len);
    let value = field::slice(bytes, value_at, value_len).map_err(outside)?;
    Ok(Attribute::local(namespace, name, value))
}

/// The bytes of a local attribute fork with `attributes` in their order, without anything behind
/// them; `None` if one of them cannot be in short form.
pub(crate) fn encode(attributes: &[Attribute]) -> Option<Vec<u8>> {
    let mut bytes = vec![0, 0, u8::try_from(attributes.len()).ok()?, 0];
    for attribute in attributes {
        let value = short_value(attribute)?;
        let (name_len, value_len) = (attribute.name.len(), value.len());
        let flags = attribute.namespace.flags();
        bytes.extend([u8::try_from(name_len).ok()?, u8::try_from(value_len).ok()?, flags]);
        bytes.extend(&attribute.name);
        bytes.extend(value);
    }
    let total = u16::try_from(bytes.len()).ok()?;
    put_be_u16(&mut bytes, 0, total).ok()?;
    Some(bytes)
}

/// The value of an attribute that may be in short form.
fn short_value(attribute: &Attribute) -> Option<&[u8]> {
    let Value::Local(value) = &attribute.value else { return None };
    let fits = attribute.name.len() < PART_BYTES_LIMIT && value.len() < PART_BYTES_LIMIT;
    (fits && !attribute.is_incomplete).then_some(value)
}

/// Bytes of an entry.
fn entry_len(attribute: &Attribute) -> usize {
    let value_len = match &attribute.value {
        Value::Local(value) => value.len(),
        Value::Remote { .. } => 0,
    };
    ENTRY_HEADER_BYTES.saturating_add(attribute.name.len()).saturating_add(value_len)
}

#[cfg(test)]
mod tests {
    use super::AttributeDefect as D;
    use super::*;
    use proptest::prelude::*;

    /// What a kernel stored for a file with the parent pointer `f` to inode 128, and two more.
    const OBSERVED: [u8; 36] = [
        0, 36, 2, 0, 1, 12, 8, b'f', 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 7, 6, 4, b's', b'e',
        b'l', b'i', b'n', b'u', b'x', b'l', b'a', b'b', b'e', b'l', 0,
    ];

    fn observed() -> Vec<Attribute> {
        let parent = [0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0];
        vec![
            Attribute::local(Namespace::Parent, b"f", &parent),
            Attribute::local(Namespace::Secure, b"selinux", b"label\0"),
        ]
    }

    #[test]
    fn what_a_kernel_stored_passes_both_ways() {
        assert_eq!(parse(&[OBSERVED.as_slice(), &[0; 40]].concat()).unwrap(), observed());
        assert_eq!(encode(&observed()).unwrap(), OBSERVED);
        assert_eq!(encode(&[]).unwrap(), [0, 4, 0, 0]);
        assert_eq!(parse(&[0, 4, 0, 0]), Ok(vec![]));
    }

    #[test]
    fn what_does_not_belong_here_is_not_encoded() {
        for (name, value) in [(255, 0), (1, 255), (0x1_0000, 0)] {
            let one = Attribute::local(Namespace::User, &vec![b'n'; name], &vec![0; value]);
            assert_eq!(encode(&[one]), None, "{name} {value}");
        }
        let mut attribute = Attribute::local(Namespace::User, &[b'n'; 254], &[0; 254]);
        assert_eq!(encode(&vec![attribute.clone(); 256]), None);
        assert!(encode(std::slice::from_ref(&attribute)).is_some());
        attribute.is_incomplete = true;
        assert_eq!(encode(&[attribute]), None);
    }

    #[test]
    fn every_defect_is_named() {
        let changed = |at: usize, value: u8| {
            let mut bytes = OBSERVED;
            bytes[at] = value;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(changed(1, 37), D::TotalSize { total: 37, end: 36, space: 36 });
        assert_eq!(changed(1, 35), D::Entry { index: 1, offset: 20, end: 35 });
        assert_eq!(changed(2, 1), D::TotalSize { total: 36, end: 20, space: 36 });
        assert_eq!(changed(2, 3), D::Entry { index: 2, offset: 36, end: 36 });
        assert_eq!(changed(4, 0), D::Name { index: 0 });
        assert_eq!(changed(7, 0), D::Name { index: 0 });
        assert_eq!(changed(20, 255), D::Entry { index: 1, offset: 20, end: 36 });
        assert_eq!(changed(5, 11), D::ParentValue { index: 0, size: 11 });
        for flags in [1, 6, 10, 0x80, 0x10] {
            assert_eq!(changed(22, flags), D::Flags { index: 1, flags });
        }
        let twice = [0, 12, 2, 0, 1, 0, 0, b'a', 1, 0, 0, b'a'];
        assert_eq!(parse(&twice), Err(D::Duplicate { index: 1 }));
        let apart = [0, 12, 2, 0, 1, 0, 0, b'a', 1, 0, 2, b'a'];
        assert_eq!(parse(&apart).unwrap().len(), 2);
        assert!(matches!(parse(&[0; 2]), Err(D::Short(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(attributes) = parse(&bytes)
                && let Some(again) = encode(&attributes)
            {
                prop_assert_eq!(parse(&again).unwrap(), attributes);
            }
        }
    }
}
