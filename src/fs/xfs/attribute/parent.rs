//! Parent pointers: for each name of a file, an attribute that says where that name is.
//!
//! Format: the design text posted for "XFS Algorithms & Data Structures", section "Directory Parent
//! Pointers": the name of the attribute is the name in the directory, the value names the
//! directory. They are attributes of a namespace of their own, never remote, and found by name and
//! value, because two directories may hold the same name.
//!
//! | offset | size | spec  | ours       | valid when          |
//! |-------:|-----:|-------|------------|---------------------|
//! |    0x0 |    8 | p_ino | inode      | any; big-endian     |
//! |    0x8 |    4 | p_gen | generation | any; big-endian     |
//!
//! Their hash is that of the name in the directory, with both halves of the directory's inode
//! number mixed in (observed with the `hash -p` command of xfs_db 7.2).

use super::{Attribute, Namespace, Value};
use crate::bytes::field::{self, be_u32, be_u64};
use crate::fs::xfs::da::DaFormat;
use crate::fs::xfs::directory::hash_name;
use crate::fs::xfs::units::InodeNumber;

/// Bytes of a value.
pub(super) const VALUE_BYTES: usize = 12;

/// One name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParentPointer {
    /// The directory.
    pub(crate) inode: InodeNumber,
    /// `di_gen` of the directory.
    pub(crate) generation: u32,
    /// The name in the directory.
    pub(crate) name: Vec<u8>,
}

impl ParentPointer {
    /// The attribute that stores it.
    pub(crate) fn to_attribute(&self) -> Attribute {
        let generation = self.generation.to_be_bytes();
        let value = [self.inode.0.to_be_bytes().as_slice(), &generation].concat();
        Attribute::local(Namespace::Parent, &self.name, &value)
    }

    /// The parent pointer that `attribute` stores; `None` if it is none.
    pub(crate) fn from_attribute(attribute: &Attribute) -> Option<Self> {
        let Value::Local(value) = &attribute.value else { return None };
        let is_visible = attribute.namespace == Namespace::Parent && !attribute.is_incomplete;
        let inode = InodeNumber(be_u64(value, 0).ok().filter(|_| is_visible)?);
        let generation = be_u32(value, 8).ok()?;
        Some(Self { inode, generation, name: attribute.name.clone() })
    }
}

/// The directory of a parent pointer; `None` if `attribute` is none.
pub(super) fn directory_of(attribute: &Attribute) -> Option<InodeNumber> {
    let Value::Local(value) = &attribute.value else { return None };
    let is_pointer = attribute.namespace == Namespace::Parent;
    be_u64(value, 0).ok().filter(|_| is_pointer).map(InodeNumber)
}

/// The hash of a parent pointer for `name` in `directory`.
pub(super) fn hash(name: &[u8], directory: InodeNumber, format: &DaFormat) -> u32 {
    let name_hash = hash_name(format, name);
    name_hash ^ field::high_u32(directory.0) ^ field::low_u32(directory.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::xfs::da::memory::format;

    /// Numbers from `xfs_db -c "hash -p INODE abcdefgh"`.
    #[test]
    fn hashes_are_those_of_xfs_db() {
        for (inode, expected) in [
            (0, 0x4c7a_38f6),
            (128, 0x4c7a_3876),
            (1 << 32, 0x4c7a_38f7),
            (0x1_0000_0001, 0x4c7a_38f6),
            (0x1234_5678_90ab, 0x1a02_ba69),
            (0xff_ffff_ffff_ffff, 0xb37a_38f6),
        ] {
            let format = format(4096, 4096);
            assert_eq!(hash(b"abcdefgh", InodeNumber(inode), &format), expected, "{inode:#x}");
        }
        let mut format = format(4096, 4096);
        format.is_ascii_ci = true;
        for (name, expected) in [
            (b"aBC".as_slice(), 0x18_7163),
            (b"\xc4x", 0x7278),
            (b"[@", 0x2dc0),
            (b"\xd7", 0xd7),
            (b"\xdf", 0xdf),
        ] {
            assert_eq!(hash(name, InodeNumber(0), &format), expected, "{name:?}");
        }
    }

    #[test]
    fn pointers_pass_both_ways() {
        let pointer = ParentPointer {
            inode: InodeNumber(0x0102_0304_0506_0708),
            generation: 0x090a_0b0c,
            name: b"f".to_vec(),
        };
        let mut attribute = pointer.to_attribute();
        assert_eq!(attribute.value, Value::Local((1..=12).collect()));
        assert_eq!(ParentPointer::from_attribute(&attribute), Some(pointer));
        attribute.namespace = Namespace::User;
        assert_eq!(ParentPointer::from_attribute(&attribute), None);
    }
}
